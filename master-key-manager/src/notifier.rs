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

    /// Drops the notices whose cause is gone, and makes those of what is due and of open incidents, until it is stopped.
    ///
    /// # Errors
    /// The database cannot be written. The rest is done the next time.
    pub async fn run(&self, now: u64, stop: &watch::Receiver<bool>) -> Stored<()> {
        let mut dropped = Some(0);
        while let Some(number) = dropped.filter(|_| !*stop.borrow()) {
            dropped = self.store.drop_notices(number, now, NOTICED_AT_ONCE).await?;
        }
        let mut after = None;
        while !*stop.borrow() {
            after = self.store.notice_incidents(after, now, INCIDENTS_AT_ONCE).await?;
            if after.is_none() {
                break;
            }
        }
        for kind in [NoticeKind::Expiry, NoticeKind::Rotation] {
            let mut after = None;
            while !*stop.borrow() {
                after = self.store.notice(kind, after, now, NOTICED_AT_ONCE).await?;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}
