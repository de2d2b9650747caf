//! The log of a process: JSON lines on standard error.
//!
//! Guarantees that dependencies that see headers, bodies or SQL parameters stay below the level at which they print
//! them, whatever the filter says. A panic is logged with its place and without its message. Both are sampled, because
//! strangers can cause them. A stream that is full, blocked or closed loses lines and stops no work.

mod request;
mod stream;

use std::{io::Write as _, panic::Location, sync::OnceLock, thread, time::Duration};

use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

pub(crate) use self::request::Request;
use self::stream::{Lines, StandardError};
use crate::sampled::Sampled;

static LOG: Lines = Lines::new();
/// Set once the thread that writes the log runs.
static WRITING: OnceLock<()> = OnceLock::new();

/// Starts logging. `filter` is in the syntax of `tracing_subscriber::EnvFilter`, default `info`. A second call and an
/// unreadable filter have no effect.
pub fn init(filter: Option<&str>) {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(&LOG)
        .log_internal_errors(false)
        .with_env_filter(capped(filter))
        .finish()
        .with(DependenciesSampled::default())
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            static LINES: Sampled<u32> = Sampled::new();
            // The message is left out: `unwrap` on an error would print what the error holds.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            if let Some(unlogged) = LINES.line(panic.location().map_or(0, Location::line)) {
                tracing::error!(%place, unlogged, "panic");
            }
        }));
        let writer = thread::Builder::new().name("log".to_owned()).spawn(|| LOG.write_all_to(StandardError));
        // Without the thread all lines are lost. A process that gets no thread does not start anyway.
        let _started = writer.map(|_detached| WRITING.set(()));
    }
}

/// Writes the last line of the process, and waits a moment for earlier lines to be written.
pub(crate) fn end(line: &str) {
    if WRITING.get().is_none() {
        // A command without a log. Nothing is left to be done about a closed standard error.
        let _written = std::io::stderr().write_all(line.as_bytes());
        return;
    }
    LOG.push(line.as_bytes());
    LOG.wait_until_written(LAST_LINES);
}

/// Enough for a working disk. A blocked stream delays the end no longer than this.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Samples the lines of dependencies, such as those about a malformed head or a broken connection. Strangers cause
/// them.
#[derive(Default)]
struct DependenciesSampled {
    lines: Sampled,
}

impl<S: Subscriber> Layer<S> for DependenciesSampled {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if !CAPPED.iter().any(|capped| is_or_is_below(metadata.target(), capped)) {
            return true;
        }
        // The name of an event is its place in the source.
        let Some(unlogged) = self.lines.line(metadata.name()) else { return false };
        if unlogged > 0 {
            LOG.push(stream::note("lines like the next one were not logged", "unlogged", unlogged).as_bytes());
        }
        true
    }
}

/// The given filter with every talkative dependency capped.
fn capped(filter: Option<&str>) -> EnvFilter {
    let asked = filter.unwrap_or("info");
    // Directives for a capped target, or a part of it, are dropped: the more specific one would win over our cap.
    let kept: Vec<&str> = asked
        .split(',')
        .map(str::trim)
        .filter(|directive| {
            let target = directive.split(['=', '[']).next().unwrap_or_default().trim();
            !directive.contains('[') && !CAPPED.iter().any(|capped| is_or_is_below(target, capped))
        })
        .collect();
    let mut all = EnvFilter::try_new(kept.join(",")).unwrap_or_else(|_| EnvFilter::new("info"));
    for target in CAPPED {
        if let Ok(directive) = format!("{target}=warn").parse() {
            all = all.add_directive(directive);
        }
    }
    all
}

/// `tracing` compares targets by prefix of text: `h2=trace` also covers `h2::codec`.
fn is_or_is_below(target: &str, capped: &str) -> bool {
    target.starts_with(capped)
}

/// Crates that print headers, bodies, TLS records or SQL below `warn`.
const CAPPED: &[&str] = &[
    "actix_codec",
    "actix_http",
    "actix_router",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "jsonwebtoken",
    "mio",
    "reqwest",
    "rusqlite",
    "rustls",
    "tokio_postgres",
    "tokio_rustls",
    "tower",
    "want",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_dependencies_are_sampled_and_those_of_the_services_are_not() {
        static WRITTEN: Lines = Lines::new();
        let log = tracing_subscriber::fmt().with_writer(&WRITTEN).finish().with(DependenciesSampled::default());
        tracing::subscriber::with_default(log, || {
            for number in 0..1_000 {
                tracing::error!(target: "actix_http::h1::dispatcher", "stream error: of a stranger");
                if number < 20 {
                    tracing::warn!("of ours");
                }
            }
        });
        let text = WRITTEN.text();
        assert_eq!((text.matches("of a stranger").count(), text.matches("of ours").count()), (5, 20), "{text}");
    }

    #[test]
    fn dependencies_stay_capped_whatever_the_filter_says() {
        let asked = ["trace", "trace,actix_http=trace", "actix_http::h1=trace,debug", "hyper=trace", "[{x}]=trace"];
        for asked in asked.into_iter().chain(["tokio_postgres::query=debug"]) {
            let filter = capped(Some(asked)).to_string();
            assert!(filter.contains("actix_http=warn") && filter.contains("hyper=warn"), "{filter}");
            assert!(!filter.contains("actix_http=trace") && !filter.contains("h1=trace"), "{filter}");
            assert!(!filter.contains("hyper=trace"), "{filter}");
            assert!(filter.contains("tokio_postgres=warn") && !filter.contains("query=debug"), "{filter}");
        }
    }
}
