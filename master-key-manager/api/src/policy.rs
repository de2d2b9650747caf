//! The words of the policy: actions, roles, effects and patterns.

use std::fmt;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared_proto::Malformed;

use crate::id::GroupId;
use shared_proto::id::Subject;

/// The longest pattern in bytes: the longest path, with each byte written as three, and `/**`.
pub const MAX_PATTERN_BYTES: usize = 3 * crate::name::MAX_PATH_BYTES + 3;

macro_rules! words {
    ($(#[$doc:meta])* enum $type:ident: $($(#[$own:meta])+ $name:ident $text:tt;)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[repr(u8)]
        pub enum $type {
            $($(#[$own])+ #[serde(rename = $text)] $name,)+
        }

        impl $type {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word of the policy for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// The one with this word.
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == word)
            }
        }
    };
}

words! {
    /// Something that a caller may do. No action implies another.
    enum Action:
    /// Sees that a secret exists: its path, versions and states, never a value.
    List "list";
    /// Gets tokens that open versions of a secret.
    Read "read";
    /// Stores versions of a secret.
    Write "write";
    /// Rotates a secret.
    Rotate "rotate";
    /// Deletes a secret for a time in which it can be recovered.
    Delete "delete";
    /// Erases versions for ever.
    Destroy "destroy";
    /// Gives others access to a secret, and takes it away by revoking tokens.
    Share "share";
    /// Makes and disables principals and their credentials.
    ManageIdentities "manage-identities";
    /// Changes roles and permissions.
    ManagePolicy "manage-policy";
    /// Makes, freezes and disables environments.
    ManageEnvironments "manage-environments";
    /// Rotates and revokes the keys of the service.
    ManageKeys "manage-keys";
    /// Reads what happened: audit lines, the tokens that were made, revocations.
    ReadAudit "read-audit";
    /// Approves what somebody else has asked for.
    Approve "approve";
    /// Runs the service: compares it with the vault, repairs it after a restore.
    Operate "operate";
}

impl Action {
    const fn bit(self) -> u16 {
        1 << (self as u8)
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self((1 << Action::ALL.len()) - 1);

    /// Tells whether an action is in the set.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & action.bit() != 0
    }

    /// The actions of both sets together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The actions that are not in the other set.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Tells whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The actions, in the order of [`Action::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.contains(*action))
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        Self(actions.into_iter().fold(0, |set, action| set | action.bit()))
    }
}

impl Serialize for Actions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Actions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Actions;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of actions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Actions, A::Error> {
                let mut set = Actions::NONE;
                while let Some(action) = list.next_element::<Action>()? {
                    if set.contains(action) {
                        return Err(A::Error::custom("an action is named twice"));
                    }
                    set = set.with([action].into_iter().collect());
                }
                Ok(set)
            }
        }

        deserializer.deserialize_seq(List)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Actions {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        <Vec<Action> as utoipa::PartialSchema>::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Actions {
    fn name() -> std::borrow::Cow<'static, str> {
        "Actions".into()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        schemas.push((<Action as utoipa::ToSchema>::name().into_owned(), <Action as utoipa::PartialSchema>::schema()));
    }
}

words! {
    /// A named set of actions, which a role assignment gives in a reach.
    enum Role:
    /// Everything, everywhere.
    SuperAdmin "super_admin";
    /// Secrets of a team, and the services that use them. It destroys nothing.
    ServiceAdmin "service_admin";
    /// Reads secrets.
    ServiceUser "service_user";
    /// Stores secrets and does not read them.
    Publisher "publisher";
    /// Runs the service and its keys. It has no action on a secret.
    Operator "operator";
    /// Sees what exists and what happened, and no value.
    Auditor "auditor";
}

impl Role {
    /// The actions that it allows.
    pub fn actions(self) -> Actions {
        use Action::{
            Approve, Delete, List, ManageIdentities, ManageKeys, Operate, Read, ReadAudit, Rotate, Share, Write,
        };
        let set = |actions: &[Action]| actions.iter().copied().collect();
        match self {
            Self::SuperAdmin => Actions::ALL,
            Self::ServiceAdmin => {
                set(&[List, Read, Write, Rotate, Delete, Share, Approve, ReadAudit, ManageIdentities])
            }
            Self::ServiceUser => set(&[List, Read]),
            Self::Publisher => set(&[List, Write]),
            Self::Operator => set(&[Operate, ManageKeys]),
            Self::Auditor => set(&[List, ReadAudit]),
        }
    }

    /// Tells whether it is only given for the whole installation.
    pub const fn is_for_everything(self) -> bool {
        match self {
            Self::SuperAdmin | Self::Operator => true,
            Self::ServiceAdmin | Self::ServiceUser | Self::Publisher | Self::Auditor => false,
        }
    }
}

words! {
    /// The effect of a permission on the actions that it names.
    enum Effect:
    /// It allows them, where no line denies.
    Allow "allow";
    /// It denies them, whatever other lines allow.
    Deny "deny";
}

/// A pattern of paths as text. The manager reads it; its grammar is in docs/policy.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct PatternText(String);

impl PatternText {
    /// A text of the right length.
    ///
    /// # Errors
    /// It is empty or too long.
    pub fn parse(text: impl Into<String>) -> Result<Self, Malformed> {
        let text = text.into();
        if (1..=MAX_PATTERN_BYTES).contains(&text.len()) { Ok(Self(text)) } else { Err(PATTERN_LENGTH) }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PatternText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(Malformed::into_name_error)
    }
}

shared_proto::schema::described!(PatternText, shared_proto::schema::name(MAX_PATTERN_BYTES));

/// The rule about the length of a pattern.
pub const PATTERN_LENGTH: Malformed = Malformed("a pattern has 1 to 1539 bytes");

/// The one whom a line of the policy is about, or who owns something: a principal or a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PartyId {
    /// A person or a service.
    Principal(Subject),
    /// A group.
    Group(GroupId),
}

impl fmt::Display for PartyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(subject) => subject.fmt(formatter),
            Self::Group(group) => group.fmt(formatter),
        }
    }
}

impl std::str::FromStr for PartyId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let group = text.parse().map(Self::Group);
        group
            .or_else(|_| text.parse().map(Self::Principal))
            .map_err(|_| Malformed("not an id of a person, a service or a group"))
    }
}

impl Serialize for PartyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

shared_proto::schema::described!(PartyId, shared_proto::schema::text("^(usr|svc|grp)_[A-Za-z0-9_-]{21}[AQgw]$"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_the_actions_that_were_put_in_and_no_other() {
        for one in Action::ALL {
            let set: Actions = [*one].into_iter().collect();
            let found: Vec<_> = Action::ALL.iter().filter(|action| set.contains(**action)).collect();
            assert_eq!(found, [one]);
            assert!(Actions::ALL.contains(*one));
            assert_eq!(Actions::ALL.without(set).with(set), Actions::ALL);
            assert!(!Actions::ALL.without(set).contains(*one) && set.without(set).is_empty());
            assert_eq!(Action::parse(one.as_str()), Some(*one));
        }
        let none: Actions = [].into_iter().collect();
        assert_eq!((none, none.iter().next()), (Actions::NONE, None));
        assert_eq!(Action::ALL.iter().copied().collect::<Actions>(), Actions::ALL);
    }

    #[test]
    fn words_of_actions_are_those_of_the_policy() {
        let words: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        let secrets = ["list", "read", "write", "rotate", "delete", "destroy", "share"];
        assert_eq!(words.get(..7), Some(&secrets[..]));
        let system = ["manage-identities", "manage-policy", "manage-environments", "manage-keys"];
        assert_eq!(words.get(7..11), Some(&system[..]));
        assert_eq!(words.get(11..), Some(&["read-audit", "approve", "operate"][..]));
    }

    /// The table of the product, typed once more.
    #[test]
    fn roles_have_the_actions_of_their_table() {
        let table = [
            ("service_admin", "list read write rotate delete share manage-identities read-audit approve"),
            ("service_user", "list read"),
            ("publisher", "list write"),
            ("operator", "manage-keys operate"),
            ("auditor", "list read-audit"),
        ];
        for (role, expected) in table {
            let words: Vec<_> = Role::parse(role).unwrap().actions().iter().map(Action::as_str).collect();
            assert_eq!(words.join(" "), expected, "{role}");
        }
        assert_eq!(Role::parse("super_admin").unwrap().actions(), Actions::ALL);
        assert_eq!(Role::ALL.len(), table.len() + 1);
    }

    #[test]
    fn actions_are_a_list_of_words_without_repeats() {
        let set: Actions = [Action::Read, Action::List].into_iter().collect();
        let text = serde_json::to_string(&set).unwrap();
        assert_eq!(text, r#"["list","read"]"#);
        assert_eq!(serde_json::from_str::<Actions>(&text).unwrap(), set);
        for wrong in [r#"["list","list"]"#, r#"["everything"]"#, r#""list""#, r#"["LIST"]"#, "{}"] {
            assert!(serde_json::from_str::<Actions>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn party_is_a_principal_or_a_group() {
        for text in ["usr_AAAAAAAAAAAAAAAAAAAAAA", "svc_AAAAAAAAAAAAAAAAAAAAAA", "grp_AAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(text.parse::<PartyId>().unwrap().to_string(), text);
        }
        assert!("sec_AAAAAAAAAAAAAAAAAAAAAA".parse::<PartyId>().is_err());
    }
}
