//! The manager's *registry*: who is known, by what he proves it, and what he may do. It is decided from memory, and
//! what is in memory was verified as a whole.
//!
//! The database holds records, and a log with an [`Entry`] for each change. An entry carries a digest over all records
//! and is authenticated with a key of the key folder. So an attacker with write access to the database cannot add,
//! alter, remove or put back records, one or all: they do not fit the newest entry. He can put back a whole earlier
//! state with its entry. The [`Anchor`] tells that: it is the newest entry's number and tag, kept outside of the
//! database.
//!
//! Guarantees that a [`Snapshot`] is made from verified records only, and changes only by an entry. The crate has no I/O and
//! no clock.

mod anchor;
mod approval;
mod credential;
mod digest;
mod entry;
mod facts;
mod history;
mod incident;
mod lines;
mod place;
mod principals;
mod record;
mod renewal;
mod row_key;
mod settings;
mod sign_on;
mod snapshot;
mod tagged_rows;

pub use self::anchor::{Anchor, Standing};
pub use self::approval::{Approval, ApprovedRead, AskedAct};
pub use self::credential::{Credential, CredentialLimit, Login, Proof, Uses};
pub use self::entry::{Author, Change, Entry, RegistryKey, Tag, WrittenEntry};
pub use self::facts::is_administrator;
pub use self::history::PolicyState;
pub use self::incident::{DoneStep, Incident};
pub use self::lines::{Permission, RoleAssignment, Terms, party};
pub use self::place::{Deletion, KEPT_DAYS, Place, PlaceRow, SecretRules};
pub use self::principals::{Group, Person, RequiredKeys, Service};
pub use self::record::{Kind, Record, RecordName, WrittenRecord};
pub use self::renewal::{Renewal, RenewalId};
pub use self::row_key::{RowKey, RowKind, RowTag};
pub use self::settings::{Settings, SettingsId};
pub use self::sign_on::{CredentialTerms, Enrolment, EnvironmentRules, SignOn};
pub use self::snapshot::{Broken, Proposal, Rows, Snapshot};
pub use self::tagged_rows::{TaggedRows, TaggedRowsId};
