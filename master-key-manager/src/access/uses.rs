//! Counting the uses of credentials that have a maximum of them.

use manager_registry::{Author, Uses};
use service_runtime::Refusal;
use shared_proto::error::ErrorCode;
use shared_proto::id::CredentialId;

use super::Registry;

impl Registry {
    /// Uses a credential once that has a maximum of uses. The count is durable when this returns, and of many that use it
    /// at once no more succeed than it has uses left.
    ///
    /// # Errors
    /// It is used up, which looks like a wrong credential, or the count cannot be written.
    pub async fn use_credential(&self, id: CredentialId, now: u64) -> Result<(), Refusal> {
        let counted = self.change((Author::Service, "", now), None, |view| {
            let known =
                view.state.credential(id).filter(|known| known.is_enabled_at(now) && view.state.has_uses_left(known));
            let known = known.ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))?;
            let uses_id = known.uses_id();
            let count = view.state.uses(uses_id).map_or(0, |uses| uses.count).saturating_add(1);
            Ok(vec![Uses { uses_id, count }.into()])
        });
        counted.await.map(drop)
    }
}
