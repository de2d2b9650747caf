//! What the manager orders: signed commands, verified from the header before a body is read.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use service_runtime::audit::{AuditRecord, AuditStatus, Origin};
use service_runtime::http::{admit_command, bearer, note_idle, note_known_sender, origin_of, read_body};
use service_runtime::tasks::by_size;
use service_runtime::{Fact, Refusal};
use shared_proto::command::{CommandClaims, LIFE_SECONDS, Operation};
use shared_proto::encoding::from_json;
use shared_proto::error::ErrorCode;
use shared_proto::feed::{FeedNonce, FeedState};
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{Compact, Kind, VerifiedPayload, ed25519_key};
use shared_proto::token::Expected;
use shared_proto::wire::vault::{
    Inventory, MAX_PAGE, Poll, PollAnswer, Push, PushAnswer, Receipts, Replay, ReplayAnswer, VaultStatements,
};
use shared_proto::{Malformed, Rejected};
use zeroize::Zeroizing;

use crate::app::Vault;
use crate::audit_event::{Outcome, action};
use crate::manager_instances::SecondManager;
use crate::revocation::{FeedError, Mark};

/// `POST /api/commands`.
pub(super) async fn commands(
    req: HttpRequest,
    payload: web::Payload,
    vault: web::Data<Arc<Vault>>,
) -> Result<HttpResponse, Refusal> {
    let (claims, body, meta) = authenticate(&vault, &req, payload).await?;
    match claims.op {
        Operation::Poll => poll(&vault, parse(&body)?, claims.issued_at(), &req).await,
        Operation::Store => {
            let order = by_size(body.len(), move || parse(&body)).await??;
            let ingest = Arc::clone(&vault.ingest);
            to_its_end(&vault, async move { ingest.store(order, &meta).await }).await
        }
        Operation::Settle => {
            let (order, ingest) = (parse(&body)?, Arc::clone(&vault.ingest));
            to_its_end(&vault, async move { ingest.settle(order, &meta).await }).await
        }
        Operation::Handout => Ok(HttpResponse::Ok().json(vault.rewrapper.handout(parse(&body)?, &meta).await?)),
        Operation::Rewrap => {
            let (order, rewrapper) = (parse(&body)?, Arc::clone(&vault.rewrapper));
            to_its_end(&vault, async move { rewrapper.rewrap(order, &meta).await }).await
        }
        Operation::Retire => {
            let (order, rewrapper) = (parse(&body)?, Arc::clone(&vault.rewrapper));
            to_its_end(&vault, async move { rewrapper.retire(order, &meta).await }).await
        }
        Operation::Replay => replay(&vault, &parse(&body)?, &meta).await,
        Operation::Inventory => inventory(&vault, &parse(&body)?, &meta).await,
        Operation::Push => Err(Refusal::new(ErrorCode::CommandInvalid)),
    }
}

/// Carries an order out and answers. A manager that hangs up does not stop it half-way.
async fn to_its_end<T: Serialize + Send + 'static>(
    vault: &Vault,
    order: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<HttpResponse, Refusal> {
    let carried_out = vault.tasks.run_to_end(order).await;
    Ok(HttpResponse::Ok().json(carried_out.map_err(|_| Refusal::new(ErrorCode::OutcomeUnknown))??))
}

/// `POST /api/events`.
pub(super) async fn events(
    req: HttpRequest,
    payload: web::Payload,
    vault: web::Data<Arc<Vault>>,
) -> Result<HttpResponse, Refusal> {
    let (claims, body, meta) = authenticate(&vault, &req, payload).await?;
    if claims.op != Operation::Push {
        return Err(Refusal::new(ErrorCode::CommandInvalid));
    }
    let push: Push = parse(&body)?;
    if !(1..=MAX_PAGE).contains(&push.events.len()) {
        return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 to 256 events."));
    }
    let (worker, nonce) = (Arc::clone(&vault), push.nonce);
    let task = vault.tasks.run_to_end(async move {
        let applied = worker.feed.push(&push.events, push.dropped_below).await;
        let outcome = if applied.is_ok() { Outcome::EventApply } else { Outcome::EventNotApplied };
        // A revocation never waits for the audit log.
        worker.audit.note(outcome, &meta);
        applied
    });
    task.await.map_err(|_| Refusal::new(ErrorCode::OutcomeUnknown))?.map_err(told)?;
    Ok(HttpResponse::Accepted().json(PushAnswer { feed: feed_state(&vault, nonce).await? }))
}

/// `GET /api/key-statements`.
pub(super) async fn key_statements(vault: web::Data<Arc<Vault>>) -> HttpResponse {
    HttpResponse::Ok().json(VaultStatements { id: vault.id, statements: vault.statements.own() })
}

async fn authenticate(
    vault: &Vault,
    req: &HttpRequest,
    payload: web::Payload,
) -> Result<(CommandClaims, Zeroizing<Vec<u8>>, Origin), Refusal> {
    let origin = origin_of(req);
    let refused = |origin: &Origin, code| {
        let record = AuditRecord::new(action::COMMAND_RUN, AuditStatus::Denied, origin);
        vault.audit.record_refusal(record.code(code));
        Refusal::new(code)
    };
    let token = bearer(req).ok_or_else(|| refused(&origin, ErrorCode::CommandInvalid))?;
    let signed = verify_signature(vault, token).map_err(|Rejected| refused(&origin, ErrorCode::CommandInvalid))?;
    let (payload_of_token, kid) = signed;
    let origin = origin.by(Some(vault.issuer.manager), Some(format!("{kid:?}")));
    let claims = check_claims(vault, &payload_of_token).map_err(|code| refused(&origin, code))?;
    admit_command(req)?;
    let body = read_body(req, payload, claims.op.body_limit()).await?;
    let covered = by_size(body.len(), move || claims.covers(&body).map(|()| (claims, body))).await?;
    let (claims, body) = covered.map_err(|Rejected| refused(&origin, ErrorCode::CommandInvalid))?;
    // The body was waited for: time has passed, and an identity may have been unpinned.
    if vault.keys.current().pins.key(&kid).is_none() {
        return Err(refused(&origin, ErrorCode::CommandInvalid));
    }
    if !is_current(vault, &claims) {
        return Err(refused(&origin, ErrorCode::ClockDiffers));
    }
    note_known_sender(req);
    Ok((claims, body, origin))
}

/// The payload of a command whose signature holds, and the key that signed it.
fn verify_signature(vault: &Vault, text: &str) -> Result<(VerifiedPayload, Thumbprint), Rejected> {
    let token = Compact::parse(Kind::Command, text)?;
    let keys = vault.keys.current();
    let payload = token.verify(&ed25519_key(keys.pins.key(token.kid()).ok_or(Rejected)?))?;
    Ok((payload, *token.kid()))
}

fn check_claims(vault: &Vault, payload: &VerifiedPayload) -> Result<CommandClaims, ErrorCode> {
    let expected = expected(vault);
    let of_another_time = CommandClaims::is_of_another_time(payload, &expected);
    if !of_another_time {
        let claims = CommandClaims::check(payload, &expected).map_err(|Rejected| ErrorCode::CommandInvalid)?;
        if is_current(vault, &claims) {
            return Ok(claims);
        }
    }
    vault.manager_clock.heard_of_another_time(&*vault.clock);
    Err(ErrorCode::ClockDiffers)
}

/// Whether the time of a command has not passed. A recorded one is over by the boot clock, also when our wall clock was
/// set back to its time.
fn is_current(vault: &Vault, claims: &CommandClaims) -> bool {
    let end = claims.issued_at().saturating_add(LIFE_SECONDS);
    claims.fits(&expected(vault)) && !vault.manager_clock.is_over(end, &*vault.clock)
}

fn expected(vault: &Vault) -> Expected {
    Expected { issuer: vault.issuer, audience: vault.id, now: vault.clock.now() }
}

async fn poll(vault: &Arc<Vault>, poll: Poll, stated_at: u64, req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    if !(1..=2).contains(&poll.pins.len()) {
        return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 or 2 pins."));
    }
    let instance = vault.manager_instances.heard(poll.instance, stated_at, vault.clock.boot());
    instance.map_err(|SecondManager| Refusal::new(ErrorCode::SecondManager))?;
    let names_living = poll.seal_key.is_some_and(|kid| vault.seal_keys.is_alive(&kid));
    let newest = Mark { applied: poll.newest, event_hash: poll.newest_hash };
    let order = vault.statements.learn(&poll.statements, stated_at).await;
    let order = order.map_err(|Rejected| Refusal::new(ErrorCode::CommandInvalid))?;
    // What an older poll says is no news: it is late, or somebody replays it.
    if order.is_ge() {
        vault.key_rotation.heard_pins(&poll.pins).await;
    }
    vault.feed.heard(newest, names_living && order.is_ge(), order.is_gt()).await.map_err(told)?;
    let feed = feed_state(vault, poll.nonce).await?;
    if feed.applied == newest.applied {
        note_idle(req);
    }
    Ok(HttpResponse::Ok().json(PollAnswer { feed, statements: vault.statements.own() }))
}

async fn replay(vault: &Vault, order: &Replay, meta: &Origin) -> Result<HttpResponse, Refusal> {
    let limit = page(order.limit)?;
    let events = vault.feed.replay(order.after, limit).await?;
    vault.audit.note(Outcome::EventReplay, meta);
    Ok(HttpResponse::Ok().json(ReplayAnswer { events }))
}

async fn inventory(vault: &Vault, order: &Inventory, meta: &Origin) -> Result<HttpResponse, Refusal> {
    let limit = page(order.limit)?;
    let after = order.after.map(|cursor| (cursor.secret_id, cursor.version));
    let found = vault.store.inventory(after, limit).await?;
    vault.audit.note(Outcome::EnvelopeList, meta);
    let receipts = found.iter().map(|facts| vault.receipts.sign(facts)).collect();
    Ok(HttpResponse::Ok().json(Receipts { receipts }))
}

async fn feed_state(vault: &Vault, nonce: FeedNonce) -> Result<FeedState, Refusal> {
    let mark = vault.feed.acknowledge().await.map_err(told)?;
    let (keys, now) = (vault.keys.current(), vault.clock.now());
    Ok(FeedState::sign(&keys.identity, keys.id, nonce, mark.applied, mark.event_hash, now))
}

fn page(limit: usize) -> Result<usize, Refusal> {
    let fits = (1..=MAX_PAGE).contains(&limit);
    fits.then_some(limit).ok_or_else(|| Refusal::new(ErrorCode::ParameterInvalid).detail("A limit of 1 to 256."))
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    from_json(body).map_err(|Malformed(_)| Refusal::new(ErrorCode::BodyInvalid))
}

fn told(error: FeedError) -> Refusal {
    match error {
        FeedError::Gap { expected } => Refusal::new(ErrorCode::EventGap).fact(Fact::Expected(expected)),
        FeedError::Conflict => Refusal::new(ErrorCode::EventConflict),
        FeedError::Rejected => Refusal::new(ErrorCode::BodyInvalid).detail("An event is not the manager's."),
        FeedError::Store(fault) => fault.into(),
        FeedError::Mark => Refusal::new(ErrorCode::StorageUnavailable).cause("the mark cannot be raised"),
    }
}
