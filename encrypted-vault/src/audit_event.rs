//! All audit events of the vault except refusals.
//!
//! docs/audit-events/encrypted-vault.md is made from these enums: `UPDATE_EVIDENCE=1 cargo test audit_event`.

use service_runtime::audit::{self, AuditRecord, AuditStatus, Origin};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, TokenId};

/// The words of lines, `noun.verb`. Those of routes are the ids of their rows.
pub mod action {
    /// Reads, one by one or in a batch.
    pub const SECRET_READ: &str = "secret.read";
    /// Commands that were refused.
    pub const COMMAND_RUN: &str = "command.run";
    /// `POST /api/events`. Only refusals have it.
    pub const EVENT_PUSH: &str = "event.push";
    /// `store` commands.
    pub const ENVELOPE_STORE: &str = "envelope.store";
    /// `retire` commands.
    pub const EPOCH_RETIRE: &str = "epoch.retire";
}

/// An event that takes effect only when its line is durable.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum Act {
    /// A version is opened for a token.
    SecretRead(SecretId, TokenId),
    /// An envelope is taken in.
    EnvelopeStore(SecretId),
    /// Wrapped keys of so many rows are handed out.
    WrappedKeyHandOut(usize),
    /// Wrapped keys of a newer epoch are added to so many rows.
    WrappedKeyAdd(usize),
    /// The wrapped keys below an epoch are erased.
    EpochRetire,
    /// A value is compared with that of a version.
    ValueCompare(SecretId),
    /// The value of a version is compared with those of so many others.
    ValueFind(SecretId, usize),
}

impl audit::Act for Act {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = |action| AuditRecord::new(action, AuditStatus::Success, origin);
        let rows = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        match self {
            Self::SecretRead(secret, token) => {
                line(action::SECRET_READ).key_id(secret.to_string()).jti(token.to_string())
            }
            Self::EnvelopeStore(secret) => line(action::ENVELOPE_STORE).key_id(secret.to_string()),
            Self::WrappedKeyHandOut(count) => line("wrapped_key.hand_out").count(rows(count)),
            Self::WrappedKeyAdd(count) => line("wrapped_key.add").count(rows(count)),
            Self::EpochRetire => line(action::EPOCH_RETIRE),
            Self::ValueCompare(secret) => line("value.compare").key_id(secret.to_string()),
            Self::ValueFind(secret, others) => line("value.find").key_id(secret.to_string()).count(rows(others)),
        }
    }
}

/// An event that never waits for its line: events of the manager, and results of acts.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum Outcome {
    /// An envelope could not be taken in; it may have been written.
    EnvelopeNotStored(SecretId),
    /// An envelope was refused.
    EnvelopeRefused(SecretId, ErrorCode),
    /// The state of a version number is settled.
    EnvelopeSettle(SecretId),
    /// Receipts of a page of rows are given out.
    EnvelopeList,
    /// A row lacks the epoch: nothing was erased.
    EpochNotRetired(ErrorCode),
    /// Events of the manager are applied, revocations among them.
    EventApply,
    /// Events of the manager were not applied.
    EventNotApplied,
    /// Applied events are returned to the manager.
    EventReplay,
}

impl audit::Outcome for Outcome {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = |action, status| AuditRecord::new(action, status, origin);
        match self {
            Self::EnvelopeNotStored(secret) => {
                line(action::ENVELOPE_STORE, AuditStatus::Failed).key_id(secret.to_string())
            }
            Self::EnvelopeRefused(secret, code) => {
                line(action::ENVELOPE_STORE, AuditStatus::Denied).key_id(secret.to_string()).code(code)
            }
            Self::EnvelopeSettle(secret) => line("envelope.settle", AuditStatus::Success).key_id(secret.to_string()),
            Self::EnvelopeList => line("envelope.list", AuditStatus::Success),
            Self::EpochNotRetired(code) => line(action::EPOCH_RETIRE, AuditStatus::Denied).code(code),
            Self::EventApply => line(EVENT_APPLY, AuditStatus::Success),
            Self::EventNotApplied => line(EVENT_APPLY, AuditStatus::Failed),
            Self::EventReplay => line("event.replay", AuditStatus::Success),
        }
    }
}

const EVENT_APPLY: &str = "event.apply";

#[cfg(test)]
mod tests {
    use service_runtime::audit::{Act as _, Outcome as _, reference};
    use strum::{EnumCount as _, EnumMessage as _};

    use super::*;

    #[test]
    fn audit_event_reference_is_the_committed_one() {
        let (origin, secret, code) = (Origin::background(), SecretId::generate(), ErrorCode::Internal);
        let acts = [
            Act::SecretRead(secret, TokenId::generate()),
            Act::EnvelopeStore(secret),
            Act::WrappedKeyHandOut(1),
            Act::WrappedKeyAdd(1),
            Act::EpochRetire,
            Act::ValueCompare(secret),
            Act::ValueFind(secret, 1),
        ];
        let outcomes = [
            Outcome::EnvelopeNotStored(secret),
            Outcome::EnvelopeRefused(secret, code),
            Outcome::EnvelopeSettle(secret),
            Outcome::EnvelopeList,
            Outcome::EpochNotRetired(code),
            Outcome::EventApply,
            Outcome::EventNotApplied,
            Outcome::EventReplay,
        ];
        assert_eq!((acts.len(), outcomes.len()), (Act::COUNT, Outcome::COUNT));
        let acts = acts.map(|act| (act.get_documentation().unwrap(), act.line(&origin)));
        let outcomes = outcomes.map(|outcome| (outcome.get_documentation().unwrap(), outcome.line(&origin)));
        let text = reference("encrypted-vault", &acts, &outcomes);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit-events/encrypted-vault.md");
        if std::env::var_os("UPDATE_EVIDENCE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), text, "UPDATE_EVIDENCE=1 writes it");
    }
}
