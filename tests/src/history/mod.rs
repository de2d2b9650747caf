//! What was asked of an installation and what it answered, while its services crash.
//!
//! A [`History`] is recorded by the clients of a [`Workload`](crate::Workload). Afterwards [`History::judge`] compares it
//! with what [`inspect`] found. It knows nothing of how the services work: only what each answer promises.

mod audit;
mod inspect;
mod judge;

use std::collections::BTreeSet;

pub use audit::{AuditTrail, audit_segments};
pub use inspect::inspect;
pub use judge::{Observed, Rule, Violation};

/// A secret's id and a version number.
pub type VersionKey = (String, u64);

/// When something was asked and answered, in ticks of the history's own counter: what was answered before another
/// thing was asked happened before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Just before the request was sent.
    pub asked: u64,
    /// Just after the answer arrived, or failed to.
    pub answered: u64,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged under this version.
    Done(VersionKey),
    /// `unavailable`: nothing was written.
    Nothing,
    /// `outcome_unknown`, or no answer.
    Unclear,
}

/// A submitted value. Values are different in each submission.
#[derive(Clone, Debug)]
pub struct Store {
    /// Its name.
    pub path: String,
    /// The value.
    pub value: String,
    /// What the manager answered.
    pub outcome: Outcome,
    /// When.
    pub span: Span,
}

/// An acknowledged token.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub jti: String,
    /// The token itself.
    pub text: String,
    /// The label of its subject.
    pub user: String,
    /// What it opens.
    pub grants: Vec<VersionKey>,
    /// When it was minted.
    pub span: Span,
}

/// What somebody takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One token, by id.
    Token(String),
    /// The tokens of a label.
    Subject(String),
    /// A secret in every token.
    Secret(String),
    /// A version in every token.
    Version(VersionKey),
    /// Every token.
    All,
    /// A version, for ever.
    Destruction(VersionKey),
}

/// What was said about a revocation or a destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// `revoked`: it holds from now on.
    Applied,
    /// `pending`: it is recorded, and holds when the services have caught up.
    Pending,
    /// Nobody knows.
    Unclear,
}

/// A revocation or a destruction.
#[derive(Clone, Debug)]
pub struct Withdrawal {
    /// What it hits.
    pub target: Target,
    /// What the manager answered.
    pub told: Told,
    /// When.
    pub span: Span,
}

/// A value that the vault gave out.
#[derive(Clone, Debug)]
pub struct Read {
    /// The token's id.
    pub jti: String,
    /// Which version.
    pub version: VersionKey,
    /// The value.
    pub value: String,
    /// When.
    pub span: Span,
}

/// Everything that was asked and answered.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Submissions.
    pub stores: Vec<Store>,
    /// Acknowledged tokens.
    pub tokens: Vec<Token>,
    /// Revocations and destructions.
    pub withdrawals: Vec<Withdrawal>,
    /// Values that were given out.
    pub reads: Vec<Read>,
    /// Acknowledged things that a service later claimed not to know.
    pub denied: Vec<String>,
    /// Request ids of what must not happen without an audit line: by service name and id.
    pub recorded: BTreeSet<(&'static str, String)>,
}

impl History {
    /// Every version that the history knows to be there.
    pub fn acknowledged(&self) -> impl Iterator<Item = (&VersionKey, &Store)> {
        self.stores.iter().filter_map(|store| match &store.outcome {
            Outcome::Done(version) => Some((version, store)),
            Outcome::Nothing | Outcome::Unclear => None,
        })
    }
}
