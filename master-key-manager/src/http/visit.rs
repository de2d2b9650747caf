//! The extractor of public routes that take a body: for callers who have nothing to show yet.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use service_runtime::Refusal;
use service_runtime::audit::{AuditRecord, Origin};
use service_runtime::http::{Body, Json, Route, client_address, origin_of};
use shared_proto::error::ErrorCode;

use super::Gate;

/// A request of somebody who is not known yet, with its body. Its refusals are recorded, as those of a call.
pub struct Visit<T> {
    body: T,
    from: Option<IpAddr>,
    origin: Origin,
    gate: Arc<Gate>,
    route: &'static Route,
}

impl<T: serde::de::DeserializeOwned + 'static> FromRequest for Visit<T> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), web::Payload::from_request(req, payload));
        Box::pin(async move {
            let origin = origin_of(&req);
            let gate = req.app_data::<web::Data<Gate>>().ok_or_else(|| Refusal::internal("there is no gate"))?;
            let gate = Arc::clone(gate);
            let route = Route::of(&req).ok_or_else(|| Refusal::internal("the route is not in the table"))?;
            gate.take_address(&req, route, &origin)?;
            let from = client_address(&req);
            let payload = payload.await.map_err(|_| Refusal::new(ErrorCode::BodyInvalid))?;
            let read = Json::<T>::read(req, payload, route.body_limit).await;
            let refused = |refusal: &Refusal| {
                gate.audit.record_refusal(AuditRecord::refused(route.id, refusal, &origin));
            };
            let Json(body) = read.inspect_err(refused)?;
            Ok(Self { body, from, origin, gate, route })
        })
    }
}

impl<T> Visit<T> {
    /// Runs an operation to its end, whatever the client does. A refusal is recorded here.
    ///
    /// # Errors
    /// Those of the operation; `outcome_unknown` when the task broke down.
    pub async fn run<A, F>(self, operation: impl FnOnce(T, IpAddr, Origin) -> F) -> Result<A, Refusal>
    where
        A: Send + 'static,
        F: Future<Output = Result<A, Refusal>> + Send + 'static,
    {
        let Self { body, from, origin, gate, route } = self;
        let operation = operation(body, known(from), origin.clone());
        let audit = gate.audit.clone();
        let task = gate.tasks.run_to_end(async move {
            let refused = |refusal: &Refusal| audit.record_refusal(AuditRecord::refused(route.id, refusal, &origin));
            operation.await.inspect_err(refused)
        });
        task.await.map_err(|_| Refusal::outcome_unknown("a task broke down"))?
    }
}

/// The address that guesses are counted by. Those without one, as on a Unix socket or behind a proxy that does not say who
/// they are, share one.
pub(super) fn known(from: Option<IpAddr>) -> IpAddr {
    from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
}
