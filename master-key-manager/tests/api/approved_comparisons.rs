//! Values that are compared after an approval: until it ends, also for a request that has waited.

use manager_policy::{Permit, Read};
use manager_registry::{Approval, AskedAct};
use master_key_manager::access::Caller;
use serde_json::json;
use service_runtime::audit::Origin;
use shared_proto::id::{SecretId, Version};

use crate::approved_reads::Guarded;
use crate::support::now;

/// How long a request has waited, in seconds.
const WAITED: u64 = 120;

impl Guarded {
    /// The approval of the reader was given before his request came, and lasts for so long.
    async fn lasts(&self, seconds: u64) {
        let approval: Approval = {
            let view = self.manager.app.registry.now().await.unwrap();
            view.state.approvals_of(self.reader.subject).next().unwrap().clone()
        };
        let act = AskedAct::Read { secret_id: approval.act.secret(), seconds };
        let decided_at = Some(now() - WAITED - 2);
        self.manager.put(vec![Approval { act, decided_at, ..approval }.into()]).await;
    }

    /// Looks for the value of a secret elsewhere, for a request of the reader that has waited for its turn. Names what was found,
    /// or the code of the refusal.
    async fn same_after_waiting(&self, secret: SecretId) -> Result<Vec<SecretId>, &'static str> {
        let app = &self.manager.app;
        let came = now() - WAITED;
        let view = app.registry.now().await.unwrap();
        let caller = Caller::new(view.actor(self.reader.credential, came).unwrap(), &view, came);
        assert_eq!(caller.approved().len(), 1, "it was in force when the request came");
        let permit: Permit<Read> = caller.permit_on_id(app.store.as_ref(), secret).await.unwrap();
        let about = (secret, Version::FIRST);
        let found = app.fingerprints.same_elsewhere((&caller, &permit), about, None, &Origin::background()).await;
        let found = found.map_err(|refusal| refusal.code().as_str())?;
        Ok(found.versions.into_iter().map(|(secret, _)| secret).collect())
    }
}

#[actix_web::test]
async fn an_approval_that_ends_while_a_request_waits_for_its_turn_compares_nothing() {
    let all = Guarded::new().await;
    let other = json!({"environment": "dev", "path": "app/other", "value": "v", "token": false});
    let open: SecretId = all.manager.post("/api/secrets", other).await.expect(201).member("key_id").parse().unwrap();
    let guarded: SecretId = all.secret.parse().unwrap();
    let id = all.ask(&all.reader, 600).await.expect(202).member("approval_id");
    all.decide(&all.approver, &id, "approve").await.expect(200);
    all.lasts(WAITED + 600).await;
    assert_eq!(all.same_after_waiting(guarded).await, Ok(vec![open]), "the control: it is in force");
    assert_eq!(all.same_after_waiting(open).await, Ok(vec![guarded]));
    all.lasts(WAITED).await;
    assert_eq!(all.same_after_waiting(guarded).await, Err("approval_required"));
    assert_eq!(all.same_after_waiting(open).await, Ok(Vec::new()), "it is not even compared");
    all.manager.stop().await;
}
