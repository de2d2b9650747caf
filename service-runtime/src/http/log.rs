//! What the log says of a request: its id, route, status and time, and nothing of what was asked.
//!
//! Guarantees a line for every request whose sender proved who he is, and a bound for everybody else: a few lines for
//! each route and status, and the number of those that were not written.

use std::time::Instant;

use actix_web::{HttpMessage as _, HttpRequest};

use super::{ApiError, Route};
use crate::{sampled::Sampled, telemetry};

/// What a handler knows of a request, in its extensions. Nothing is there for strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Sender,
    Idle,
}

/// Notes that the sender of a request proved who he is: it gets a line of its own.
pub fn note_known_sender(req: &HttpRequest) {
    req.extensions_mut().insert(Known::Sender);
}

/// Notes that a request which is repeated for ever brought nothing new: its line is one of `debug`, unless it
/// failed.
pub fn note_idle(req: &HttpRequest) {
    req.extensions_mut().insert(Known::Idle);
}

/// A request that is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answered<'a> {
    pub(super) id: &'a str,
    pub(super) status: u16,
    pub(super) started: Instant,
}

impl Answered<'_> {
    /// Logs it; without the request, which is gone, as one of a stranger.
    pub(super) fn log(self, req: Option<&HttpRequest>) {
        static STRANGERS: Sampled<(&str, u16)> = Sampled::new();
        let route = req.and_then(Route::of).map_or("-", |row| row.id);
        let idle = self.status < 400 && req.and_then(known) == Some(Known::Idle);
        let unlogged = match req.and_then(known) {
            Some(_) => None,
            None => match STRANGERS.line((route, self.status)) {
                Some(unlogged) => Some(unlogged),
                None => return,
            },
        };
        let Self { id, status, started } = self;
        telemetry::Request { id, route, status, time: started.elapsed(), idle, unlogged }.log();
    }
}

/// Logs why a request failed, if the refusal knows more than it says.
pub(super) fn log_cause(refusal: &ApiError, id: &str, req: Option<&HttpRequest>) {
    static STRANGERS: Sampled = Sampled::new();
    let (Some(cause), code) = (refusal.cause_text(), refusal.code().as_str()) else { return };
    match req.and_then(known) {
        Some(_) => tracing::warn!(request_id = id, code, cause, "request failed"),
        None => {
            if let Some(unlogged) = STRANGERS.line(code) {
                tracing::warn!(request_id = id, code, cause, unlogged, "request failed");
            }
        }
    }
}

fn known(req: &HttpRequest) -> Option<Known> {
    req.extensions().get::<Known>().copied()
}
