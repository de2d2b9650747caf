//! Logging, in a process of its own because it is global.

use service_runtime::telemetry;

#[test]
fn second_start_and_bad_filter_are_harmless() {
    telemetry::init(Some("no such [filter"));
    telemetry::init(Some("info"));
    tracing::info!("still alive");
}
