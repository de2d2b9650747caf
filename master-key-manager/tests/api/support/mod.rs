//! A manager in this process, and a vault that does what the test wants.

mod clock;
mod issuer;
mod life;
mod manager;
mod people;
mod principals;
mod readers;
mod requests;
mod vault;
mod vault_fingerprints;
mod vault_rotation;
mod vault_rows;
mod vault_strikes;
mod versions;

use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) use clock::MovedClock;
pub(crate) use issuer::{FakeIssuer, IssuerMood, Signer};
pub(crate) use manager::{Answer, Holder, ISSUER, Installed, Manager, rsa_pem};
pub(crate) use people::{PASSWORD, Person, account, add_person, totp, totp_now};
pub(crate) use principals::{Principal, now, permission};
pub(crate) use readers::Reader;
pub(crate) use requests::{Facts, changes_the_registry, guarded_routes, is_for_people, routes_of_services};
pub(crate) use vault::{FakeVault, Feed, Row, StoreMood, head_of, number_of, raw_key};
pub(crate) use vault_fingerprints::ComparisonMood;
pub(crate) use vault_rotation::RewrapMood;
pub(crate) use vault_strikes::CommandFault;

/// Compares with a committed file, or writes it when asked.
#[track_caller]
pub(crate) fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("UPDATE_EVIDENCE").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == found, "{name} differs; look at it with UPDATE_EVIDENCE=1, and commit it if it is meant");
}

/// Waits for what must become true soon.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "{what}: did not happen in 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
