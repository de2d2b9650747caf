//! The only extractor of routes that are not public, and the methods of handlers on it.
//!
//! It authenticates from the header before it reads the body. The framework polls separate extractors together, so a
//! stranger's bad body would be parsed and answered with 400 instead of 401. After the body it checks the credential
//! again, because a client may hold a body back until its time limit.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, web};
use manager_api::name::IdempotencyKey;
use manager_policy::{ActionType, Actor, Holder, Permit, Scope};
use manager_registry::is_administrator;
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, AuditRecord, Origin};
use service_runtime::clock::Clock;
use service_runtime::config::Mode;
use service_runtime::http::{
    Access, Authenticates, Body, Json, NoBody, Route, bearer, client_address, note_known_sender, origin_of,
};
use service_runtime::tasks::Tasks;
use shared_proto::error::ErrorCode;

use super::query::parse_query;
use super::visit::known;
use crate::access::{Authenticator, Caller, LastUses, Limits, Registry, SignedOn, is_loopback};
use crate::audit_event::{Act, action};
use crate::turns::Turns;
use manager_store::{Acted, CHANGED};

/// The parts that authenticate, run and record calls.
pub struct Gate {
    /// Development or production.
    pub mode: Mode,
    /// The actor of anonymous callers in development mode.
    pub anonymous: Actor,
    /// Principals and policy, from which permits are decided.
    pub registry: Arc<Registry>,
    /// The time at which they are decided.
    pub clock: Arc<dyn Clock>,
    /// Checks credentials.
    pub authenticator: Authenticator,
    /// Counts requests against the rate limits.
    pub limits: Arc<Limits>,
    /// Remembers when credentials were used last.
    pub last_uses: Arc<LastUses>,
    /// The audit log.
    pub audit: AuditLog,
    /// Work that outlives its request.
    pub tasks: Tasks,
    /// The turns of requests that take long.
    pub long_requests: Turns,
    /// The turns of reports of incidents.
    pub incident_reports: Turns,
}

/// An authenticated request with its body. It knows its row, whose id is the action of its audit lines.
pub struct Call<B = NoBody> {
    caller: Caller,
    origin: Origin,
    body: B,
    req: HttpRequest,
    gate: Arc<Gate>,
    route: &'static Route,
}

impl<B: Body> Authenticates for Call<B> {
    const ADMITS: &'static [Access] = &[Access::Credential, Access::CredentialOrDevelopment];
}

impl<B: Body> FromRequest for Call<B> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), web::Payload::from_request(req, payload));
        Box::pin(async move {
            let origin = origin_of(&req);
            let gate = req.app_data::<web::Data<Gate>>().ok_or_else(|| Refusal::internal("there is no gate"))?;
            let gate = Arc::clone(gate);
            let route = Route::of(&req).ok_or_else(|| Refusal::internal("the route is not in the table"))?;
            let let_in = gate.admit(&req, route, &origin).await?;
            drop(let_in);
            note_known_sender(&req);
            let payload = payload.await.map_err(|_| Refusal::new(ErrorCode::BodyInvalid))?;
            let read = B::read(req.clone(), payload, route.body_limit).await;
            let caller = gate.authenticate(&req, route, &origin).await?;
            gate.use_credential(&caller, route, &origin).await?;
            let origin = origin.by(caller.subject(), Some(caller.credential()));
            let origin = origin.authenticated(caller.method(), caller.rules());
            let body = read.inspect_err(|refusal| gate.record_refusal(route, &origin, refusal))?;
            Ok(Self { caller, origin, body, req, gate, route })
        })
    }
}

impl<T> Call<Json<T>> {
    /// Separates the body from the call.
    pub fn with_body(self) -> (Call, T) {
        let Self { caller, origin, body: Json(body), req, gate, route } = self;
        (Call { caller, origin, body: NoBody, req, gate, route }, body)
    }
}

impl Call {
    /// The address that guesses are counted by.
    pub fn address(&self) -> IpAddr {
        known(client_address(&self.req))
    }

    /// The caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The permit of the caller for an action in a scope.
    ///
    /// # Errors
    /// The policy does not allow it.
    pub fn permit<A: ActionType>(&self, scope: &Scope) -> Result<Permit<A>, Refusal> {
        self.recorded(self.caller.permit(scope))
    }

    /// A header that may occur once at most.
    ///
    /// # Errors
    /// It occurs twice, or holds other than visible characters.
    pub fn header(&self, name: &str) -> Result<Option<&str>, HeaderInvalid> {
        let mut all = self.req.headers().get_all(name);
        let Some(first) = all.next() else { return Ok(None) };
        first.to_str().ok().filter(|_| all.next().is_none()).map(Some).ok_or(HeaderInvalid)
    }

    /// The `Idempotency-Key` of the request, if it has one.
    ///
    /// # Errors
    /// It is sent twice or breaks its rules, or the caller is anonymous.
    pub fn idempotency_key(&self) -> Result<Option<IdempotencyKey>, Refusal> {
        let given = self.header("idempotency-key");
        if given == Ok(None) {
            return Ok(None);
        }
        if self.caller.subject().is_none() {
            return self.recorded(Err(Refusal::new(ErrorCode::IdempotencyForbidden)));
        }
        let key = given.ok().flatten().and_then(|text| IdempotencyKey::parse(text).ok());
        let wrong = || Refusal::parameter("One Idempotency-Key of 1 to 128 visible ASCII characters.");
        self.recorded(key.map(Some).ok_or_else(wrong))
    }

    /// The query. The type refuses unknown and repeated parameters.
    ///
    /// # Errors
    /// `parameter_invalid`.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        self.recorded(parse_query(&self.req))
    }

    /// An id in the path. A text that is not an id is answered like an unknown id.
    ///
    /// # Errors
    /// `missing`.
    pub fn id<T: FromStr>(&self, name: &str, missing: ErrorCode) -> Result<T, Refusal> {
        let id = self.req.match_info().query(name).parse();
        self.recorded(id.map_err(|_| Refusal::new(missing)))
    }

    /// Records a refusal that came before any call of the domain.
    ///
    /// # Errors
    /// The given refusal.
    pub fn recorded<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| self.gate.record_refusal(self.route, &self.origin, refusal))
    }

    /// Runs an operation to its end in a task of its own, whatever the client does. The operation records its success
    /// itself, at the right moment. A refusal or failure is recorded here. These lines are sampled, because a caller
    /// may repeat them without limit.
    ///
    /// # Errors
    /// Those of the operation; `outcome_unknown` when the task broke down.
    pub async fn run<T, F>(self, operation: impl FnOnce(Caller, Origin) -> F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let Self { caller, origin, gate, route, .. } = self;
        let operation = operation(caller, origin.clone());
        let (audit, registry) = (gate.audit.clone(), Arc::clone(&gate.registry));
        let task = gate.tasks.run_to_end(async move {
            let refused = |refusal: &Refusal| {
                audit.record_refusal(AuditRecord::refused(route.id, refusal, &origin));
                // The policy may have changed under the permit: the next request is decided by the facts of its time.
                if refusal.cause_text() == Some(CHANGED) {
                    registry.suspect();
                }
            };
            operation.await.inspect_err(refused)
        });
        task.await.map_err(|_| Refusal::outcome_unknown("a task broke down"))?
    }

    /// The same for an operation that takes long: one at a time for each principal, and a few for all.
    ///
    /// # Errors
    /// Those of [`Self::run`], and of [`Turns::take`].
    pub async fn run_in_turn<T, F>(self, operation: impl FnOnce(Caller, Origin) -> F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        self.run_in(|gate| &gate.long_requests, operation).await
    }

    /// The same for a report of an incident, which no other request keeps waiting.
    ///
    /// # Errors
    /// Those of [`Self::run_in_turn`].
    pub async fn run_report<T, F>(self, operation: impl FnOnce(Caller, Origin) -> F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        self.run_in(|gate| &gate.incident_reports, operation).await
    }

    async fn run_in<T, F>(
        self,
        turns: fn(&Gate) -> &Turns,
        operation: impl FnOnce(Caller, Origin) -> F,
    ) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Refusal>> + Send + 'static,
    {
        let gate = Arc::clone(&self.gate);
        self.run(|caller, origin| {
            let principal = caller.subject();
            let operation = operation(caller, origin);
            async move {
                let _turn = turns(&gate).take(principal).await?;
                operation.await
            }
        })
        .await
    }

    /// Reads a list and records durably that it is given out.
    ///
    /// # Errors
    /// The caller has lost its right, or the database or the audit log does not work. Nothing may be given out then.
    pub async fn give_out<T, F>(self, act: Act<'static>, read: F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Acted<T>> + Send + 'static,
    {
        let audit = self.gate.audit.clone();
        self.run(|_, origin| async move {
            let list = read.await?;
            audit.record(act, &origin).await?;
            Ok(list)
        })
        .await
    }
}

/// The routes for people who must set up an authenticator before they do anything else.
const WITHOUT_AUTHENTICATOR: [&str; 5] =
    [action::ME_SHOW, action::TOTP_OFFER, action::TOTP_CONFIRM, action::SESSION_REAUTHENTICATE, action::SESSION_END];

/// The error for a header that occurs twice or cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderInvalid;

impl Gate {
    /// Records a refusal that came before any call of the domain. These lines are counted and sampled.
    fn record_refusal(&self, route: &Route, origin: &Origin, refusal: &Refusal) {
        self.audit.record_refusal(AuditRecord::refused(route.id, refusal, origin));
    }

    /// Lets a request in whose address and principal are within their rate limits.
    async fn admit(&self, req: &HttpRequest, route: &Route, origin: &Origin) -> Result<Caller, Refusal> {
        self.take_address(req, route, origin)?;
        let caller = self.authenticate(req, route, origin).await?;
        let Some(subject) = caller.subject() else { return Ok(caller) };
        match self.limits.take_principal(subject) {
            Ok(()) => Ok(caller),
            Err(_) if is_local(req) && is_administrator(caller.facts(), subject, caller.now()) => Ok(caller),
            Err(refusal) => {
                let origin = origin.clone().by(Some(subject), Some(caller.credential()));
                self.record_refusal(route, &origin, &refusal);
                Err(refusal)
            }
        }
    }

    /// Takes a request from its address, before anything is done for it. Routes without a caller call it, too.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn take_address(&self, req: &HttpRequest, route: &Route, origin: &Origin) -> Result<(), Refusal> {
        self.limits_of_address(req).inspect_err(|refusal| self.record_refusal(route, origin, refusal))
    }

    /// The same for a route that records its refusals itself.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn limits_of_address(&self, req: &HttpRequest) -> Result<(), Refusal> {
        if req.peer_addr().is_none() {
            return Ok(());
        }
        // Those whose proxy does not say who they are share one count.
        self.limits.take_address(client_address(req).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }

    /// Uses up one of the uses of a counted credential, whatever becomes of the request, and notes the hour. Whoever lets a
    /// caller in calls it.
    ///
    /// # Errors
    /// `credential_invalid` when it is used up, or the count cannot be written.
    pub async fn use_credential(&self, caller: &Caller, route: &Route, origin: &Origin) -> Result<(), Refusal> {
        self.count_use(caller).await.inspect_err(|refusal| self.record_refusal(route, origin, refusal))
    }

    /// The same for a route that records its refusals itself.
    ///
    /// # Errors
    /// Those of [`Self::use_credential`].
    pub async fn count_use(&self, caller: &Caller) -> Result<(), Refusal> {
        let (registry, id, now) = (Arc::clone(&self.registry), caller.credential(), caller.now());
        let is_counted = self.registry.now().await?.state.credential(id).is_some_and(|known| known.max_uses.is_some());
        if is_counted {
            // In a task of its own: what is counted is counted, also for a client that goes away.
            let task = self.tasks.run_to_end(async move { registry.use_credential(id, now).await });
            task.await.map_err(|_| Refusal::outcome_unknown("a task broke down"))??;
        }
        if caller.signed_on().is_none() {
            // Of a session nothing is left when it has ended.
            self.last_uses.note(id, now);
        }
        Ok(())
    }

    async fn authenticate(&self, req: &HttpRequest, route: &Route, origin: &Origin) -> Result<Caller, Refusal> {
        let strangers_may = match route.access {
            Access::CredentialOrDevelopment => self.mode.is_development(),
            // The rows with other kinds of access are not of this service or not of this extractor: nobody may.
            Access::Credential | Access::Public | Access::AccessToken | Access::Command => false,
        };
        let (view, now) = (self.registry.now().await?, self.clock.now());
        self.limits.set(view.rate_limits);
        // Only without any Authorization header: a wrong credential is never an anonymous one.
        let found = if strangers_may && !req.headers().contains_key(header::AUTHORIZATION) {
            // The row that names it is not verified: it must be that of strangers.
            view.actor(self.anonymous.credential, now).filter(|actor| actor.holder == Holder::Stranger)
        } else {
            let from = client_address(req);
            bearer(req).and_then(|presented| self.authenticator.actor(&view, presented, from, now))
        };
        let actor = found
            .ok_or_else(|| Refusal::new(ErrorCode::CredentialInvalid))
            .inspect_err(|refusal| self.record_refusal(route, origin, refusal))?;
        let caller = Caller::new(actor, &view, now);
        // Whatever the route would decide: it may have acts that need no permit.
        let signed_on = caller.signed_on().filter(|_| !WITHOUT_AUTHENTICATOR.contains(&route.id));
        signed_on.map_or(Ok(()), SignedOn::check_enrolled).inspect_err(|refusal| {
            let origin = origin.clone().by(caller.subject(), Some(caller.credential()));
            self.record_refusal(route, &origin, refusal);
        })?;
        Ok(caller)
    }
}

fn is_local(req: &HttpRequest) -> bool {
    client_address(req).is_some_and(is_loopback)
}
