//! The rotation period of a secret, from which the end of its versions and the next rotation follow.

use manager_api::kind::{Class, SecretKind};
use manager_api::name::EnvironmentName;

use crate::Details;

const DAY: u64 = 24 * 60 * 60;

impl Details {
    /// The class of the secret in its environment.
    pub fn class_in(&self, environment: &EnvironmentName) -> Class {
        let kind = self.kind.unwrap_or(SecretKind::Text);
        self.class.unwrap_or_else(|| Class::default_of(kind, environment.as_str() == "dev"))
    }

    /// The rotation period in days.
    pub fn rotation_days_in(&self, environment: &EnvironmentName) -> u16 {
        self.rotation_days.unwrap_or_else(|| self.class_in(environment).rotation_days())
    }

    /// The end of a version that is written at a time (Unix seconds) and given none; `None` for never.
    pub fn end_of_version(&self, environment: &EnvironmentName, now: u64) -> Option<u64> {
        (!self.never_expires).then(|| now.saturating_add(u64::from(self.rotation_days_in(environment)) * DAY))
    }

    /// When a secret is due for its next rotation whose current version was made at a time (Unix seconds).
    pub fn rotation_due_at(&self, environment: &EnvironmentName, made_at: u64) -> u64 {
        let own = self.rotation.as_ref().and_then(|rotation| rotation.every_days);
        made_at.saturating_add(u64::from(own.unwrap_or_else(|| self.rotation_days_in(environment))) * DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_is_the_own_one_or_that_of_class_or_kind_and_environment() {
        let [dev, prod] = ["dev", "prod"].map(|name| EnvironmentName::parse(name).unwrap());
        let key = Details { kind: Some(SecretKind::ApiKey), ..Details::default() };
        assert_eq!((key.rotation_days_in(&dev), key.rotation_days_in(&prod)), (365, 180));
        let high = Details { class: Some(Class::High), ..key.clone() };
        assert_eq!(high.rotation_days_in(&dev), 90);
        let own = Details { rotation_days: Some(7), ..high };
        assert_eq!(own.end_of_version(&prod, 5), Some(7 * DAY + 5));
        let never = Details { never_expires: true, ..own };
        assert_eq!(never.end_of_version(&prod, 5), None);
        assert_eq!(never.rotation_due_at(&prod, 5), 7 * DAY + 5, "what never ends is rotated all the same");
    }
}
