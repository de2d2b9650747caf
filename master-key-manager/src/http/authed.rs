//! The one extractor of every route that is not public.
//!
//! It authenticates from the header and only then reads the body: the framework polls separate extractors together, and
//! a stranger's bad body would be parsed and answered 400 instead of 401. When the body is there it looks at the
//! credential once more, because a body may be held back for as long as its time limit.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use service_runtime::audit::{AuditRecord, AuditStatus, Origin};
use service_runtime::http::{Access, Route, bearer, note_known_sender, origin_of, read_json, read_no_body};
use shared_proto::error::ErrorCode;

use crate::app::App;
use crate::identity::Caller;

/// An authenticated request with its body.
pub struct Authed<B> {
    /// Who calls.
    pub caller: Caller,
    /// Where from and by whom, for the audit log.
    pub meta: Origin,
    /// The body.
    pub body: B,
    /// The service.
    pub app: Arc<App>,
}

/// How a body is read after the caller is known.
pub trait Body: Sized + 'static {
    /// Reads it; `limit` is that of the route.
    fn read(
        req: HttpRequest,
        payload: web::Payload,
        limit: usize,
    ) -> impl Future<Output = Result<Self, Refusal>> + 'static;
}

/// A JSON body.
pub struct Json<T>(pub T);

/// No body.
pub struct NoBody(PhantomData<()>);

impl<T: DeserializeOwned + 'static> Body for Json<T> {
    async fn read(req: HttpRequest, payload: web::Payload, limit: usize) -> Result<Self, Refusal> {
        read_json(&req, payload, limit).await.map(Self)
    }
}

impl Body for NoBody {
    async fn read(req: HttpRequest, payload: web::Payload, _limit: usize) -> Result<Self, Refusal> {
        read_no_body(&req, payload).await.map(|()| Self(PhantomData))
    }
}

impl<B: Body> FromRequest for Authed<B> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), web::Payload::from_request(req, payload));
        Box::pin(async move {
            let meta = origin_of(&req);
            let internal = |what: &'static str| Refusal::new(ErrorCode::Internal).cause(what);
            let app = req.app_data::<web::Data<App>>().ok_or_else(|| internal("the application data is missing"))?;
            let app = Arc::clone(app);
            let route = Route::of(&req).ok_or_else(|| internal("the route is not in the table"))?;
            let _let_in = authenticate(&app, &req, route, &meta).await?;
            note_known_sender(&req);
            let payload = payload.await.map_err(|_| Refusal::new(ErrorCode::BodyInvalid))?;
            let read = B::read(req.clone(), payload, route.body_limit).await;
            let caller = authenticate(&app, &req, route, &meta).await?;
            let meta = meta.by(caller.subject(), Some(caller.credential()));
            let body = read.inspect_err(|refusal| record_refusal(&app, route.id, &meta, refusal))?;
            Ok(Self { caller, meta, body, app })
        })
    }
}

/// Records a refusal before the domain was asked. What one caller can cause is counted and sampled.
pub fn record_refusal(app: &App, action: &'static str, meta: &Origin, refusal: &Refusal) {
    app.audit.record_refusal(AuditRecord::new(action, AuditStatus::Denied, meta).code(refusal.code()));
}

async fn authenticate(app: &App, req: &HttpRequest, route: &Route, meta: &Origin) -> Result<Caller, Refusal> {
    let strangers_may = match route.access {
        Access::AdministratorOrDevelopment => app.mode.is_development(),
        // The rows with other kinds of access are not of this service or not of this extractor: nobody may.
        Access::Administrator | Access::Public | Access::AccessToken | Access::Command => false,
    };
    // Only without any Authorization header: a wrong credential is never an anonymous one.
    if strangers_may && !req.headers().contains_key(header::AUTHORIZATION) {
        return Ok(Caller::Anonymous { actor: app.installation.anonymous_actor() });
    }
    // Without a wait where there is no credential: the HTTP library drops the answer to a badly framed body otherwise.
    let found = match bearer(req) {
        Some(presented) => app.authenticator.administrator(Some(presented)).await.map_err(Refusal::from)?,
        None => None,
    };
    found
        .ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))
        .inspect_err(|refusal| record_refusal(app, route.id, meta, refusal))
}
