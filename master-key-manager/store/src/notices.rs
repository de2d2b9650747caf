//! Notices: what people and programs are told before it happens.

use async_trait::async_trait;
use manager_api::id::IncidentId;
use manager_api::name::SecretPath;
use manager_api::notices::NoticeKind;
use manager_policy::Visible;
use shared_proto::id::{EnvironmentId, SecretId, Version};

use crate::{Acted, Stored};

/// Days before something is due at which there is a notice of it, from the last to the first.
pub const THRESHOLD_DAYS: [u64; 3] = [1, 7, 30];

/// How long a notice is kept, in seconds.
pub const NOTICE_SECONDS: u64 = 90 * 24 * 60 * 60;

/// Secrets that one transaction looks at for notices, and notices that one drops.
pub const NOTICED_AT_ONCE: usize = 256;

/// Notices of what is due, and of incidents. They inform, and nothing is decided from them.
#[async_trait]
pub trait NoticeStore: Send + Sync {
    /// Makes the notices of what is due within 30 days, for up to `limit` current versions after a place in their order.
    /// There is one notice for each version and threshold, whoever looks how often. Returns the place to go on from;
    /// `None` when none is left.
    async fn notice(
        &self,
        kind: NoticeKind,
        after: Option<DuePlace>,
        now: u64,
        limit: usize,
    ) -> Stored<Option<DuePlace>>;
    /// Makes the notices of an open incident: that it is open, and of each of its deadlines whose steps are not done. There is one
    /// of each, whoever looks how often. An incident that is unknown or closed has none.
    async fn notice_incident(&self, incident: IncidentId, now: u64) -> Stored<()>;
    /// The same for up to `limit` open incidents after one. Returns the one to go on from; `None` when none is left.
    async fn notice_incidents(&self, after: Option<IncidentId>, now: u64, limit: usize) -> Stored<Option<IncidentId>>;
    /// Drops notices after a number whose cause is gone, or that are too old, of up to `limit` of them. Returns the number
    /// to go on from; `None` when none is left.
    async fn drop_notices(&self, after: u64, now: u64, limit: usize) -> Stored<Option<u64>>;
    /// A page of up to `limit` notices after a number, of secrets that are visible. A page with fewer is the last one, or it
    /// looked at as many rows as a page of [`crate::SearchStore::secrets`].
    async fn notices(&self, visible: &Visible, after: u64, limit: usize) -> Acted<NoticePage>;
    /// Notices that were not delivered, in the order of their numbers.
    async fn undelivered_notices(&self, after: u64, limit: usize) -> Stored<Vec<Notice>>;
    /// Notes that a notice was delivered. One that is gone stays so.
    async fn note_delivered(&self, number: u64, now: u64) -> Stored<()>;
}

/// Incidents that one transaction looks at for notices.
pub const INCIDENTS_AT_ONCE: usize = 64;

/// A place in the order of what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DuePlace {
    /// When it is due (Unix seconds).
    pub due_at: u64,
    /// The secret.
    pub secret: SecretId,
}

/// A notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its number. Later ones have higher numbers, and none is given twice.
    pub number: u64,
    /// The act that is due.
    pub kind: NoticeKind,
    /// The secret.
    pub secret: SecretId,
    /// The version that was current.
    pub version: Version,
    /// The days before, at which it was made; 0 for an incident.
    pub threshold_days: u64,
    /// The hours after the opening of an incident; 0 for the opening itself, and for other kinds.
    pub deadline_hours: u64,
    /// When it is due (Unix seconds).
    pub due_at: u64,
    /// When the notice was made (Unix seconds).
    pub created_at: u64,
    /// When it was delivered (Unix seconds).
    pub delivered_at: Option<u64>,
}

/// A page of notices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticePage {
    /// The notices, with the places of their secrets.
    pub notices: Vec<(Notice, EnvironmentId, SecretPath)>,
    /// The number after which the next page begins; `None` after the last page.
    pub next: Option<u64>,
}

/// The threshold of the notice of something that is due, if there is one now. What is long over has none: its notices are
/// dropped, and are not made again.
pub(crate) fn threshold(due_at: u64, now: u64) -> Option<u64> {
    const DAY: u64 = 24 * 60 * 60;
    if due_at.saturating_add(THIRTY_DAYS) <= now {
        return None;
    }
    THRESHOLD_DAYS.into_iter().find(|days| due_at <= now.saturating_add(days * DAY))
}

/// The seconds before and after now in which a thing that is due has a notice.
pub(crate) const THIRTY_DAYS: u64 = 30 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_threshold_counts_and_what_is_long_over_has_none() {
        let (day, due) = (24 * 60 * 60, 1_000 * 24 * 60 * 60);
        let at = |days: u64| threshold(due, due - days * day);
        assert_eq!([31, 30, 8, 7, 2, 1, 0].map(at), [None, Some(30), Some(30), Some(7), Some(7), Some(1), Some(1)]);
        assert_eq!([29, 30].map(|days| threshold(due, due + days * day)), [Some(1), None]);
        const { assert!(NOTICE_SECONDS > THIRTY_DAYS * 2, "a notice is kept until it is not made again") }
    }
}
