//! The log of a process: JSON lines on standard error.
//!
//! Guarantees that dependencies which see headers, bodies or SQL parameters stay below the level at which they print
//! them, whatever the filter says, and that a panic is logged by its place and not by its message.

use tracing_subscriber::EnvFilter;

/// Starts logging; `filter` is in the syntax of `tracing_subscriber::EnvFilter`, default `info`. A second call, and a
/// filter that cannot be read, change nothing and harm nothing.
pub fn init(filter: Option<&str>) {
    let started = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .with_env_filter(capped(filter))
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // The message is left out: `unwrap` on an error would print what the error holds.
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(%place, "panic");
        }));
    }
}

/// The asked filter with every talkative dependency capped.
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
    "tokio_rustls",
    "tower",
    "want",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_stay_capped_whatever_the_filter_says() {
        for asked in ["trace", "trace,actix_http=trace", "actix_http::h1=trace,debug", "hyper=trace", "[{x}]=trace"] {
            let filter = capped(Some(asked)).to_string();
            assert!(filter.contains("actix_http=warn") && filter.contains("hyper=warn"), "{filter}");
            assert!(!filter.contains("actix_http=trace") && !filter.contains("h1=trace"), "{filter}");
            assert!(!filter.contains("hyper=trace"), "{filter}");
        }
    }
}
