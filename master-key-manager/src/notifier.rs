//! Notices of what is due, and of incidents: made and dropped beside requests, in bounded steps.

use std::sync::Arc;

use manager_api::notices::NoticeKind;
use manager_store::{INCIDENTS_AT_ONCE, NOTICED_AT_ONCE, NoticeStore, Stored};
use tokio::sync::watch;

/// Makes and drops notices.
pub struct Notifier {
    store: Arc<dyn NoticeStore>,
}

impl Notifier {
    /// A notifier of the secrets of this store.
    pub fn new(store: Arc<dyn NoticeStore>) -> Self {
        Self { store }
    }

    /// Drops the notices whose cause is gone, and makes those of what is due and of open incidents, until it is stopped. A fault
    /// of one kind keeps no other kind from its turn.
    ///
    /// # Errors
    /// The database cannot be written. The rest is done the next time.
    pub async fn run(&self, now: u64, stop: &watch::Receiver<bool>) -> Stored<()> {
        let dropped = self.drop_ended(now, stop).await;
        let incidents = self.of_incidents(now, stop).await;
        let expiry = self.of_due(NoticeKind::Expiry, now, stop).await;
        let rotation = self.of_due(NoticeKind::Rotation, now, stop).await;
        dropped.and(incidents).and(expiry).and(rotation)
    }

    async fn drop_ended(&self, now: u64, stop: &watch::Receiver<bool>) -> Stored<()> {
        let mut dropped = Some(0);
        while let Some(number) = dropped.filter(|_| !*stop.borrow()) {
            dropped = self.store.drop_notices(number, now, NOTICED_AT_ONCE).await?;
        }
        Ok(())
    }

    async fn of_incidents(&self, now: u64, stop: &watch::Receiver<bool>) -> Stored<()> {
        let mut after = None;
        while !*stop.borrow() {
            after = self.store.notice_incidents(after, now, INCIDENTS_AT_ONCE).await?;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn of_due(&self, kind: NoticeKind, now: u64, stop: &watch::Receiver<bool>) -> Stored<()> {
        let mut after = None;
        while !*stop.borrow() {
            after = self.store.notice(kind, after, now, NOTICED_AT_ONCE).await?;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, PoisonError};

    use async_trait::async_trait;
    use manager_api::id::IncidentId;
    use manager_policy::Visible;
    use manager_store::{Acted, DuePlace, Notice, NoticePage};
    use service_runtime::sql::StoreFault;

    use super::*;

    const FAULT: StoreFault = StoreFault::Unavailable;

    /// A store in which what was planted lets some kinds of work fail.
    #[derive(Default)]
    struct Faulty(Mutex<Vec<&'static str>>);

    impl Faulty {
        fn done<T>(&self, work: &'static str, result: Stored<T>) -> Stored<T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(work);
            result
        }
    }

    #[async_trait]
    impl NoticeStore for Faulty {
        async fn notice(&self, kind: NoticeKind, _: Option<DuePlace>, _: u64, _: usize) -> Stored<Option<DuePlace>> {
            match kind {
                NoticeKind::Expiry => self.done("expiry", Err(FAULT)),
                NoticeKind::Rotation | NoticeKind::Compromise | NoticeKind::Loss => self.done("rotation", Ok(None)),
            }
        }

        async fn notice_incident(&self, _: IncidentId, _: u64) -> Stored<()> {
            Ok(())
        }

        async fn notice_incidents(&self, _: Option<IncidentId>, _: u64, _: usize) -> Stored<Option<IncidentId>> {
            self.done("incidents", Err(FAULT))
        }

        async fn drop_notices(&self, _: u64, _: u64, _: usize) -> Stored<Option<u64>> {
            self.done("drop", Err(FAULT))
        }

        async fn notices(&self, _: &Visible, _: u64, _: usize) -> Acted<NoticePage> {
            unreachable!()
        }

        async fn undelivered_notices(&self, _: u64, _: usize) -> Stored<Vec<Notice>> {
            unreachable!()
        }

        async fn note_delivered(&self, _: u64, _: u64) -> Stored<()> {
            unreachable!()
        }
    }

    #[tokio::test]
    async fn a_fault_of_one_kind_of_notices_keeps_no_other_from_its_turn() {
        let store = Arc::new(Faulty::default());
        let (_stop, stopped) = watch::channel(false);
        assert!(Notifier::new(store.clone()).run(1, &stopped).await.is_err(), "it is told");
        let done = store.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert_eq!(done, ["drop", "incidents", "expiry", "rotation"]);
    }
}
