//! The least strength of passwords that an environment asks for.
//!
//! Guarantees that what is given is looked at before it is stored, that what is made is made again until it is strong enough, and
//! that no refusal says more of a value than that it is too weak.

use manager_api::fields::fields_of;
use manager_api::generate::Generate;
use manager_api::kind::SecretKind;
use manager_registry::EnvironmentRules;
use manager_secret_kinds::random::Random;
use manager_secret_kinds::url::passwords;
use manager_secret_kinds::{Generated, Refused, field, generate, strength};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;

use super::SecretWriter;
use super::deletion::rules_of;

/// The least score of a password, 0 to 4, as [`strength`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeastScore(pub(super) u8);

/// The reason why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// It is not what its kind says, or cannot be made.
    Invalid(Refused),
    /// A password in it is too weak.
    Weak,
}

impl From<Refused> for NotTaken {
    fn from(why: Refused) -> Self {
        Self::Invalid(why)
    }
}

impl From<NotTaken> for Refusal {
    fn from(why: NotTaken) -> Self {
        match why {
            NotTaken::Invalid(why) => Self::new(ErrorCode::ValueInvalid).detail(why.to_string()),
            NotTaken::Weak => Self::new(ErrorCode::ValueWeak),
        }
    }
}

impl SecretWriter {
    /// The rules of an environment. A change from here on, the permit of a write does not outlive.
    pub(super) async fn rules_in(&self, environment: EnvironmentId) -> Result<EnvironmentRules, Refusal> {
        let view = self.registry.now().await?;
        Ok(rules_of(&view, environment))
    }
}

impl LeastScore {
    /// That of an environment.
    pub(super) fn of(rules: &EnvironmentRules) -> Self {
        Self(rules.min_password_strength)
    }

    /// Refuses a value whose password is weaker: the value of a password, the field of structured kinds that has that name, and what
    /// is in the address of a database.
    pub(super) fn check(self, kind: SecretKind, value: &[u8]) -> Result<(), NotTaken> {
        if kind == SecretKind::Password {
            return self.check_password(value);
        }
        if self.0 > 0 && has_password(kind) {
            // Whoever connects without a password has none that is weak.
            field(kind, value, PASSWORD).map_or(Ok(()), |password| self.check_password(password.as_bytes()))?;
        }
        if self.0 > 0 && kind == SecretKind::Database {
            let address = field(kind, value, "url").unwrap_or_default();
            return passwords(&address).iter().try_for_each(|password| self.check_password(password));
        }
        Ok(())
    }

    /// A value that is made for a kind.
    pub(super) fn make(
        self,
        request: &Generate,
        kind: SecretKind,
        (random, now): (&mut dyn Random, u64),
    ) -> Result<Generated, NotTaken> {
        if kind == SecretKind::Password {
            self.make_password(request, (random, now))
        } else {
            Ok(generate(request, random, now)?)
        }
    }

    /// A value that is made for a field of a kind.
    pub(super) fn make_field(
        self,
        request: &Generate,
        (kind, name): (SecretKind, &str),
        (random, now): (&mut dyn Random, u64),
    ) -> Result<Generated, NotTaken> {
        if has_password(kind) && name == PASSWORD {
            self.make_password(request, (random, now))
        } else {
            Ok(generate(request, random, now)?)
        }
    }

    /// Makes another one as long as it is too weak, which a random one is only by chance, or because it is too short.
    fn make_password(self, request: &Generate, (random, now): (&mut dyn Random, u64)) -> Result<Generated, NotTaken> {
        let tries = match request {
            Generate::Password { .. } | Generate::Passphrase { .. } => TRIES,
            // None of these is weak by chance, and some take long to make.
            Generate::ApiKey { .. }
            | Generate::Key256 { .. }
            | Generate::Token { .. }
            | Generate::Uuid {}
            | Generate::SshKey { .. }
            | Generate::KeyPair { .. } => 1,
        };
        for _ in 0..tries {
            let made = generate(request, random, now)?;
            if self.check_password(made.value.as_bytes()).is_ok() {
                return Ok(made);
            }
        }
        Err(NotTaken::Weak)
    }

    fn check_password(self, password: &[u8]) -> Result<(), NotTaken> {
        if self.0 == 0 || strength(password).score >= self.0 { Ok(()) } else { Err(NotTaken::Weak) }
    }
}

fn has_password(kind: SecretKind) -> bool {
    fields_of(kind).iter().any(|field| field.name == PASSWORD)
}

/// The field of structured kinds that is a password.
const PASSWORD: &str = "password";

/// How often a password is made. Of the shortest ones with all classes one in some is too weak for the highest score; none of so
/// many is strong enough if the form itself is too short.
const TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that go on counting.
    struct Counting(u8);

    impl Random for Counting {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
            for byte in bytes {
                self.0 = self.0.wrapping_mul(73).wrapping_add(41);
                *byte = self.0;
            }
            Ok(())
        }
    }

    #[test]
    fn a_password_is_weak_by_itself_and_in_a_field_and_nothing_else_is() {
        let weak = |kind, value: &str| LeastScore(3).check(kind, value.as_bytes()) == Err(NotTaken::Weak);
        assert!(weak(SecretKind::Password, "password1") && !weak(SecretKind::Password, "kX9#vTq2!mZ7pLw4"));
        assert!(weak(SecretKind::Database, r#"{"user": "app", "password": "password1"}"#));
        assert!(!weak(SecretKind::Database, r#"{"user": "password1", "password": "kX9#vTq2!mZ7pLw4"}"#));
        assert!(!weak(SecretKind::Database, r#"{"url": "postgres://db/app"}"#), "it has none");
        assert!(weak(SecretKind::Database, r#"{"url": "postgres://app:p%61ssword1@db/app"}"#));
        assert!(weak(
            SecretKind::Database,
            r#"{"url": "jdbc:x://db?password=password1", "password": "kX9#vTq2!mZ7pLw4"}"#
        ));
        assert!(!weak(SecretKind::Database, r#"{"url": "postgres://password1:kX9%23vTq2!mZ7pLw4@db/app"}"#));
        assert!(!weak(SecretKind::Text, "password1") && !weak(SecretKind::Json, r#"{"password": "a"}"#));
        assert!(LeastScore(0).check(SecretKind::Password, b"a").is_ok());
    }

    #[test]
    fn a_password_is_made_strong_or_not_at_all() {
        let read = |text: &str| serde_json::from_str::<Generate>(text).unwrap();
        let (long, short) = (read(r#"{"form": "password"}"#), read(r#"{"form": "password", "length": 8}"#));
        let mut random = Counting(1);
        let made = LeastScore(4).make(&long, SecretKind::Password, (&mut random, 0)).unwrap_or_else(|_| panic!());
        assert!(strength(made.value.as_bytes()).score == 4);
        // Nothing of eight characters is as strong.
        let refused = LeastScore(4).make(&short, SecretKind::Password, (&mut random, 0)).err();
        assert_eq!(refused, Some(NotTaken::Weak));
        let field = |name| LeastScore(4).make_field(&short, (SecretKind::Database, name), (&mut Counting(1), 0)).err();
        assert_eq!((field("password"), field("host")), (Some(NotTaken::Weak), None));
        assert!(LeastScore(4).make(&short, SecretKind::Text, (&mut random, 0)).is_ok());
    }
}
