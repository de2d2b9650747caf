//! The index of lists and searches, filled once: after an update, and after the database was copied.

use manager_store::SearchStore;
use service_runtime::StartError;

/// Secrets that are entered in one transaction.
const AT_ONCE: usize = 256;
/// How often the log says how far it is.
const TOLD_EACH: usize = 400 * AT_ONCE;

/// Enters all secrets into the index, if that was not done yet.
///
/// # Errors
/// The database cannot be read or written.
pub async fn fill_index(store: &dyn SearchStore) -> Result<(), StartError> {
    let unusable = |fault| StartError::new(format!("The index of secrets cannot be made ({fault}); start again."));
    if store.is_indexed().await.map_err(unusable)? {
        return Ok(());
    }
    let (mut after, mut entered) = (None, 0_usize);
    while let Some(last) = store.index(after, AT_ONCE).await.map_err(unusable)? {
        after = Some(last);
        entered += AT_ONCE;
        if entered.is_multiple_of(TOLD_EACH) {
            tracing::info!(entered, "the index of secrets is being made");
        }
    }
    Ok(())
}
