//! What the manager orders.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use service_runtime::audit::{AuditRecord, Origin};
use service_runtime::http::{Access, Answer, Route, call, note_idle};
use service_runtime::tasks::by_size;
use service_runtime::{Fact, Refusal};
use shared_proto::Rejected;
use shared_proto::command::Operation;
use shared_proto::error::ErrorCode;
use shared_proto::feed::{FeedNonce, FeedState};
use shared_proto::wire::fingerprint::{Compare, ComparisonAnswer, Find};
use shared_proto::wire::vault::{
    self as wire, Inventory, MAX_PAGE, Poll, PollAnswer, Push, PushAnswer, Receipts, Replay, ReplayAnswer,
};
use utoipa::ToSchema;

use crate::app::Vault;
use crate::audit_event::{Outcome, action};
use crate::http::{Command, CommandBody};
use crate::manager_instances::SecondManager;
use crate::revocation::{FeedError, Mark};

pub(super) const ROUTES: &[Route] = &[
    Route::post(
        action::COMMAND_RUN,
        "/api/commands",
        "Carries out a signed command of the manager: poll, replay, store, settle, inventory, handout, rewrap, retire, compare or find.",
    )
    .body::<CommandOrder>(16 << 20)
    .answers(&[Answer::json::<CommandAnswer>(200, "The answer to the command.")])
    .problems(ON_COMMANDS)
    .needs(Access::Command, || call(commands)),
    Route::post(
        action::EVENT_PUSH,
        "/api/events",
        "Applies events of the manager durably, and signs how far they are applied.",
    )
    .body::<Push>(1 << 20)
    .answers(&[Answer::json::<PushAnswer>(202, "The feed state.")])
    .problems(ON_COMMANDS)
    .needs(Access::Command, || call(events)),
];

const ON_COMMANDS: &[ErrorCode] = &[
    ErrorCode::ParameterInvalid,
    ErrorCode::EventGap,
    ErrorCode::EventConflict,
    ErrorCode::SecondManager,
    ErrorCode::EpochIncomplete,
    ErrorCode::RateLimited,
    ErrorCode::AuditUnavailable,
    ErrorCode::StorageUnavailable,
    ErrorCode::OutcomeUnknown,
];

/// The body of `/api/commands`: what it is depends on the command's `op`.
#[derive(Serialize, ToSchema)]
#[schema(as = Command)]
#[serde(untagged)]
#[expect(dead_code, reason = "it exists for its schema")]
enum CommandOrder {
    Poll(Poll),
    Replay(Replay),
    Store(wire::Store),
    Settle(wire::Settle),
    Inventory(Inventory),
    Handout(wire::Handout),
    Rewrap(wire::Rewrap),
    Retire(wire::Retire),
    Compare(Compare),
    Find(Find),
}

/// The answer of `/api/commands`.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it exists for its schema")]
enum CommandAnswer {
    Poll(PollAnswer),
    Replay(ReplayAnswer),
    Store(wire::StoreAnswer),
    Receipts(Receipts),
    Handout(wire::HandoutAnswer),
    Retire(wire::RetireAnswer),
    Comparison(ComparisonAnswer),
}

/// `POST /api/commands`.
async fn commands(command: Command, req: HttpRequest, vault: web::Data<Arc<Vault>>) -> Result<HttpResponse, Refusal> {
    let origin = command.origin.clone();
    carry_out(command, &req, &vault).await.inspect_err(|refusal| {
        // A retirement that is not possible yet has a line of its own.
        if refusal.code() != ErrorCode::EpochIncomplete {
            vault.audit.record_refusal(AuditRecord::refused(action::COMMAND_RUN, refusal, &origin));
        }
    })
}

async fn carry_out(command: Command, req: &HttpRequest, vault: &Arc<Vault>) -> Result<HttpResponse, Refusal> {
    let Command { claims, body, origin: meta } = command;
    match claims.op {
        Operation::Poll => poll(vault, body.parse()?, claims.issued_at(), req).await,
        Operation::Store => {
            let order = by_size(body.size(), move || body.parse()).await??;
            let ingest = Arc::clone(&vault.ingest);
            to_its_end(vault, async move { ingest.store(order, &meta).await }).await
        }
        Operation::Settle => {
            let (order, ingest) = (body.parse()?, Arc::clone(&vault.ingest));
            to_its_end(vault, async move { ingest.settle(order, &meta).await }).await
        }
        Operation::Handout => Ok(HttpResponse::Ok().json(vault.rewrapper.handout(body.parse()?, &meta).await?)),
        Operation::Rewrap => {
            let (order, rewrapper) = (body.parse()?, Arc::clone(&vault.rewrapper));
            to_its_end(vault, async move { rewrapper.rewrap(order, &meta).await }).await
        }
        Operation::Retire => {
            let (order, rewrapper) = (body.parse()?, Arc::clone(&vault.rewrapper));
            to_its_end(vault, async move { rewrapper.retire(order, &meta).await }).await
        }
        Operation::Compare => Ok(HttpResponse::Ok().json(vault.comparer.compare(body.parse()?, &meta).await?)),
        Operation::Find => Ok(HttpResponse::Ok().json(vault.comparer.find(body.parse()?, &meta).await?)),
        Operation::Replay => replay(vault, &body.parse()?, &meta).await,
        Operation::Inventory => inventory(vault, &body.parse()?, &meta).await,
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
async fn events(command: Command, vault: web::Data<Arc<Vault>>) -> Result<HttpResponse, Refusal> {
    let Command { claims, body, origin: meta } = command;
    let push = push_in(claims.op, &body);
    let push = push.inspect_err(|refusal| {
        vault.audit.record_refusal(AuditRecord::refused(action::EVENT_PUSH, refusal, &meta));
    })?;
    let (worker, nonce) = (Arc::clone(&vault), push.nonce);
    let task = vault.tasks.run_to_end(async move {
        let applied = worker.feed.push(&push.events, push.dropped_below).await;
        let outcome = if applied.is_ok() { Outcome::EventApply } else { Outcome::EventNotApplied };
        // A revocation never waits for the audit log.
        worker.audit.note(outcome, &meta);
        applied
    });
    task.await.map_err(|_| Refusal::new(ErrorCode::OutcomeUnknown))?.map_err(into_refusal)?;
    Ok(HttpResponse::Accepted().json(PushAnswer { feed: feed_state(&vault, nonce).await? }))
}

/// The push that a command brings, if it is one.
fn push_in(op: Operation, body: &CommandBody) -> Result<Push, Refusal> {
    if op != Operation::Push {
        return Err(Refusal::new(ErrorCode::CommandInvalid));
    }
    let push: Push = body.parse()?;
    if (1..=MAX_PAGE).contains(&push.events.len()) { Ok(push) } else { Err(Refusal::parameter("1 to 256 events.")) }
}

async fn poll(vault: &Arc<Vault>, poll: Poll, stated_at: u64, req: &HttpRequest) -> Result<HttpResponse, Refusal> {
    if !(1..=2).contains(&poll.pins.len()) {
        return Err(Refusal::new(ErrorCode::ParameterInvalid).detail("1 or 2 pins."));
    }
    let instance = vault.manager_instances.note_poll(poll.instance, stated_at, vault.clock.boot());
    instance.map_err(|SecondManager| Refusal::new(ErrorCode::SecondManager))?;
    let names_living = poll.seal_key.is_some_and(|kid| vault.seal_keys.is_alive(&kid));
    let newest = Mark { applied: poll.newest, event_hash: poll.newest_hash };
    let order = vault.statements.learn(&poll.statements, stated_at).await;
    let order = order.map_err(|Rejected| Refusal::new(ErrorCode::CommandInvalid))?;
    // What an older poll says is no news: it is late, or somebody replays it.
    if order.is_ge() {
        vault.key_rotation.note_pins(&poll.pins).await;
    }
    vault.feed.note_poll(newest, names_living && order.is_ge(), order.is_gt()).await.map_err(into_refusal)?;
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
    let mark = vault.feed.acknowledge().await.map_err(into_refusal)?;
    let (keys, now) = (vault.keys.current(), vault.clock.now());
    Ok(FeedState::sign(&keys.identity, keys.id, nonce, mark.applied, mark.event_hash, now))
}

fn page(limit: usize) -> Result<usize, Refusal> {
    let fits = (1..=MAX_PAGE).contains(&limit);
    fits.then_some(limit).ok_or_else(|| Refusal::new(ErrorCode::ParameterInvalid).detail("A limit of 1 to 256."))
}

fn into_refusal(error: FeedError) -> Refusal {
    match error {
        FeedError::Gap { expected } => Refusal::new(ErrorCode::EventGap).fact(Fact::Expected(expected)),
        FeedError::Conflict => Refusal::new(ErrorCode::EventConflict),
        FeedError::Rejected => Refusal::new(ErrorCode::BodyInvalid).detail("An event is not the manager's."),
        FeedError::Store(fault) => fault.into(),
        FeedError::Mark => Refusal::new(ErrorCode::StorageUnavailable).cause("the mark cannot be raised"),
    }
}
