//! A manager in this process, and a vault that does what the test wants.

mod manager;
mod vault;
mod vault_rotation;
mod vault_rows;

use std::time::{Duration, Instant};

pub(crate) use manager::{Answer, Holder, Installed, Manager, rsa_pem};
pub(crate) use vault::{FakeVault, Feed, Row, StoreMood, raw_key};
pub(crate) use vault_rotation::RewrapMood;

/// Waits for what must become true soon.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: did not happen in 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
