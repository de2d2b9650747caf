//! Facts that change outside of a service's life.

use manager_policy::{Actions, Party, PolicyEpoch, Reach};
use manager_store::sql::SqlStore;
use manager_store::{IdentityStore as _, NewCredential, PolicyStore as _};
use service_runtime::sql::Location;
use shared_proto::id::CredentialId;

#[tokio::test]
async fn first_administrator_changes_the_policy_and_his_successor_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqlStore::open(&Location::File(dir.path().join("manager.db")), true).unwrap();
    let facts = store.facts().await.unwrap();
    assert!(facts.state().lines.is_empty(), "nobody may anything before");
    let mut epoch = facts.epoch();
    for number in 1..3 {
        let credential = NewCredential { id: CredentialId::generate(), hmac: [number; 32] };
        store.reset_administrator(credential, 1).await.unwrap();
        if number == 1 {
            epoch = PolicyEpoch(epoch.0 + 1);
        }
        let facts = store.facts().await.unwrap();
        assert_eq!(facts.epoch(), epoch);
        let subject = store.credential([number; 32]).await.unwrap().row.unwrap().subject;
        let lines: Vec<_> =
            facts.state().lines.iter().map(|line| (line.party(), line.actions(), line.reach())).collect();
        assert_eq!(lines, [(Party::Principal(subject), Actions::ALL, &Reach::everything())]);
    }
}
