//! The log line of a request: its id, route, status and duration, and nothing of its content.
//!
//! Guarantees a line for every request with an authenticated sender, and a bound for all others: a few lines for each
//! route and status, and the number of unwritten ones.

use std::time::Instant;

use actix_web::{HttpMessage as _, HttpRequest};

use super::Route;
use crate::Refusal;
use crate::{sampled::Sampled, telemetry};

/// A handler's notes about a request, in its extensions. There are none for strangers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Sender,
    Idle,
}

/// Notes that the sender of a request is authenticated, so that it gets a line of its own.
pub fn note_known_sender(req: &HttpRequest) {
    req.extensions_mut().insert(Known::Sender);
}

/// Notes that a periodic request brought nothing new: its line has the level `debug`, unless it failed.
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

impl<'a> Answered<'a> {
    /// Logs it. If the request is gone, it counts as one of a stranger.
    pub(super) fn log(self, req: Option<&HttpRequest>) {
        static STRANGERS: Sampled<(&str, u16)> = Sampled::new();
        if let Some(line) = self.line(req, &STRANGERS, Instant::now()) {
            line.log();
        }
    }

    /// Its line, if it gets one.
    fn line(
        self,
        req: Option<&HttpRequest>,
        strangers: &Sampled<(&'static str, u16)>,
        now: Instant,
    ) -> Option<telemetry::Request<'a>> {
        let route = req.and_then(Route::of).map_or("-", |row| row.id);
        let idle = self.status < 400 && req.and_then(known) == Some(Known::Idle);
        let unlogged = match req.and_then(known) {
            Some(_) => None,
            None => Some(strangers.line_at((route, self.status), now)?),
        };
        let Self { id, status, started } = self;
        Some(telemetry::Request { id, route, status, time: started.elapsed(), idle, unlogged })
    }
}

/// Logs why a request failed, if the refusal has a cause.
pub(super) fn log_cause(refusal: &Refusal, id: &str, req: Option<&HttpRequest>) {
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

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;
    use crate::sampled::WINDOW;

    #[test]
    fn burst_of_strangers_writes_a_few_lines_and_its_number_and_a_known_sender_one_for_each_request() {
        let (strangers, now) = (Sampled::new(), Instant::now());
        let (stranger, sender) = (TestRequest::default().to_http_request(), TestRequest::default().to_http_request());
        note_known_sender(&sender);
        // The number that its line tells; none without a line.
        let told = |req: Option<&HttpRequest>, status, now| {
            Answered { id: "A", status, started: now }.line(req, &strangers, now).map(|line| line.unlogged)
        };
        let written = |req: Option<&HttpRequest>| (0..1_000).filter(|_| told(req, 401, now).is_some()).count();
        assert_eq!(written(Some(&stranger)), 5);
        assert_eq!(written(None), 0, "one that is gone counts as one of theirs");
        assert_eq!(told(Some(&stranger), 404, now), Some(Some(0)), "another status");
        assert_eq!(told(Some(&stranger), 401, now + WINDOW), Some(Some(1_995)));
        assert_eq!(written(Some(&sender)), 1_000);
        assert_eq!(told(Some(&sender), 401, now), Some(None));
    }
}
