//! Running what was asked to its end, whatever the client does, and recording what did not work out.

use std::future::Future;
use std::sync::Arc;

use service_runtime::Refusal;
use service_runtime::audit::{AuditRecord, Origin};

use crate::app::App;
use crate::audit_event::Act;
use crate::store::Acted;

/// Runs an operation in a task of its own. Its audit line for what is allowed is its own duty, at the right moment; a
/// refusal or failure is recorded here, and sampled: a caller may repeat it as fast as he likes.
///
/// # Errors
/// Those of the operation; `outcome_unknown` when the task broke down.
pub async fn perform<T, F>(app: &Arc<App>, action: &'static str, meta: Origin, operation: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    let audit = app.audit.clone();
    let task = app.tasks.run_to_end(async move {
        operation.await.inspect_err(|refusal| audit.record_refusal(AuditRecord::refused(action, refusal, &meta)))
    });
    task.await.map_err(|_| Refusal::outcome_unknown("a task broke down"))?
}

/// Reads a list and records, durably, that it is given out.
///
/// # Errors
/// The caller may not any more, or the database or the audit log does not work. Nothing may be given out then.
pub async fn give_out<T, F>(app: &Arc<App>, act: Act<'static>, meta: Origin, read: F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Acted<T>> + Send + 'static,
{
    let (audit, origin) = (app.audit.clone(), meta.clone());
    perform(app, act.action(), meta, async move {
        let list = read.await?;
        audit.record(act, &origin).await?;
        Ok(list)
    })
    .await
}
