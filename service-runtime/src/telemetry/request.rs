//! The log line of a request, written without the detour over fields and formatters, because every request has one.

use std::{
    cell::RefCell,
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use tracing::Level;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

use super::LOG;

/// The result of a request, for its log line. All texts are the program's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// Its id.
    pub(crate) id: &'a str,
    /// The row it was routed to.
    pub(crate) route: &'static str,
    /// The status of its answer.
    pub(crate) status: u16,
    /// Its duration.
    pub(crate) time: Duration,
    /// Whether it is a periodic request without news: those are logged at `debug`, all others at `info`.
    pub(crate) idle: bool,
    /// How many of its kind were not logged since the last line; `None` for kinds that are always logged.
    pub(crate) unlogged: Option<u64>,
}

impl Request<'_> {
    /// Logs it.
    pub(crate) fn log(self) {
        thread_local! {
            static LINE: RefCell<Clock> = const { RefCell::new(Clock { second: u64::MAX, shown: String::new(), line: String::new() }) };
        }
        let asked = if self.idle {
            tracing::enabled!(target: TARGET, Level::DEBUG)
        } else {
            tracing::enabled!(target: TARGET, Level::INFO)
        };
        if asked {
            LINE.with_borrow_mut(|clock| {
                self.write(clock);
                LOG.push(clock.line.as_bytes());
            });
        }
    }

    fn write(self, clock: &mut Clock) {
        let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        clock.show(now.as_secs());
        let Clock { shown, line, .. } = clock;
        let Self { id, route, status, time, idle, unlogged } = self;
        let level = if idle { Level::DEBUG } else { Level::INFO };
        line.clear();
        // To write into a string cannot fail.
        let _written = write!(
            line,
            r#"{{"timestamp":"{shown}.{micros:06}Z","level":"{level}","message":"request","request_id":"{id}","route":"{route}","status":{status},"micros":{took}"#,
            micros = now.subsec_micros(),
            took = time.as_micros(),
        );
        if let Some(unlogged) = unlogged {
            let _written = write!(line, r#","unlogged":{unlogged}"#);
        }
        let _written = writeln!(line, r#","target":"{TARGET}"}}"#);
    }
}

/// The second that was shown last, and room for a line.
struct Clock {
    second: u64,
    shown: String,
    line: String,
}

impl Clock {
    /// Shows a second, as `2026-11-22T10:00:00`.
    fn show(&mut self, second: u64) {
        if self.second != second {
            self.second = second;
            self.shown.clear();
            // It reads the clock again: a line at the turn of a second may show the next one.
            let _written = SystemTime.format_time(&mut Writer::new(&mut self.shown));
            self.shown.truncate("2026-11-22T10:00:00".len());
        }
    }
}

/// Filters of operators name it.
const TARGET: &str = "service_runtime::http::stack";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_is_json_with_the_members_and_the_time_of_every_other_line() {
        let mut clock = Clock { second: 0, shown: String::new(), line: String::new() };
        let request = Request {
            id: "A_-z",
            route: "key.read",
            status: 200,
            time: Duration::from_micros(12),
            idle: false,
            unlogged: None,
        };
        for (unlogged, members) in [(None, 8), (Some(3), 9)] {
            let mut before = String::new();
            SystemTime.format_time(&mut Writer::new(&mut before)).unwrap();
            Request { unlogged, ..request }.write(&mut clock);
            let line: serde_json::Value = serde_json::from_str(&clock.line).unwrap();
            assert!(clock.line.ends_with("}\n"), "{}", clock.line);
            assert_eq!(line.as_object().unwrap().len(), members);
            assert_eq!(
                (&line["request_id"], &line["route"], &line["status"]),
                (&"A_-z".into(), &"key.read".into(), &200.into())
            );
            assert_eq!((&line["micros"], &line["unlogged"]), (&12.into(), &serde_json::json!(unlogged)));
            let shown = line["timestamp"].as_str().unwrap();
            assert!(shown.len() == before.len() && shown[..17] >= before[..17], "{shown} after {before}");
        }
    }
}
