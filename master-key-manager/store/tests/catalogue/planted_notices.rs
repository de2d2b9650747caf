//! Notices of an incident, beside rows that somebody planted among them.

use manager_api::id::IncidentId;
use manager_api::incidents::IncidentKind;
use manager_api::name::{Reason, SecretPath};
use manager_registry::{Author, Incident, RegistryKey};
use manager_store::{NoticeStore as _, RegistryStore as _};
use shared_proto::id::SecretId;

use super::{Catalogue, Engine, NOW, environment};

/// Notices of the incident's secret that no engine can compute with, that cannot be read, and that take the next numbers.
const PLANTED: [&str; 4] = [
    "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
     SELECT 900, 'compromise', secret_id, 1, 0, 9223372036854775807, 5, 1000 FROM secrets",
    "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
     SELECT 901, 'compromise', secret_id, -1, 0, -9223372036854775807, -5, -1 FROM secrets",
    "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
     SELECT 2, 'expiry', secret_id, 1, 3, 0, 5, 1000 FROM secrets",
    "INSERT INTO notices (number, kind, secret_id, version, threshold_days, deadline_hours, due_at, created_at)
     SELECT 902, 'compromise', secret_id, 1, 0, 24, 5, 1000 FROM secrets",
];

impl Catalogue {
    async fn open_incident(&self, secret: SecretId) {
        let incident = Incident {
            incident_id: IncidentId::generate(),
            incident_kind: IncidentKind::Compromise,
            secret_id: secret,
            environment_id: environment(),
            path: SecretPath::parse("team/key").unwrap(),
            reason: Reason::parse("a test").unwrap(),
            since: None,
            opened_by: None,
            opened_at: NOW,
            done: Vec::new(),
            notes: Vec::new(),
            closed_by: None,
            closed_at: None,
        };
        let by = (Author::Operator, "", NOW);
        let key = RegistryKey::new(&[3; 32]);
        let proposal = self.state.propose(vec![incident.into()], by, 0, &key).unwrap();
        self.store.change_registry(proposal.rows, Vec::new(), None, NOW).await.unwrap();
        self.store.follow(&proposal.after);
    }

    async fn told(&self) -> Vec<(u64, u64)> {
        let page = self.store.notices(&self.sees(&["**"]), 0, 99).await.unwrap();
        page.notices.into_iter().map(|(notice, ..)| (notice.deadline_hours, notice.due_at)).collect()
    }
}

async fn planted_notices_stop_no_others(engine: Engine) {
    let all = Catalogue::on(engine).await;
    let secret = all.write("team/key").await;
    all.open_incident(secret).await;
    for planted in PLANTED {
        all.alter(planted).await;
    }
    assert_eq!(all.told().await, [], "{engine:?}");
    assert!(all.store.undelivered_notices(0, 99).await.is_ok(), "{engine:?}");
    let expected = [0, 1, 24, 48].map(|hours| (hours, NOW + hours * 3_600));
    all.store.notice_incidents(None, NOW, 9).await.unwrap();
    assert_eq!(all.told().await, expected, "{engine:?}");
    all.store.drop_notices(0, NOW, 99).await.unwrap();
    assert_eq!(all.told().await, expected, "{engine:?}");
    assert_eq!(all.store.undelivered_notices(0, 99).await.unwrap().len(), 4, "{engine:?}: what was planted is dropped");
    all.close().await;
}

#[tokio::test]
async fn notices_that_somebody_planted_stop_no_others() {
    planted_notices_stop_no_others(Engine::Sqlite).await;
}

#[tokio::test]
async fn notices_that_somebody_planted_stop_no_others_on_postgres_too() {
    planted_notices_stop_no_others(Engine::Postgres).await;
}
