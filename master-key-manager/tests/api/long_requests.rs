//! Requests that take long: one of a principal at a time, whatever it is about. Reports of incidents have turns of their own.

use actix_web::http::Method;
use manager_api::id::IncidentId;
use service_runtime::config::Mode;
use shared_proto::id::SecretId;

use crate::support::Installed;

#[actix_web::test]
async fn a_principal_has_one_long_request_at_a_time_and_the_others_have_theirs() {
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let (one, other) = (manager.service("one").await, manager.service("other").await);
    let secret = SecretId::generate();
    let paths = [
        ("/api/rotations:calendar".to_owned(), 200),
        ("/api/integrity".to_owned(), 403),
        (format!("/api/secrets/{secret}/integrity"), 404),
        (format!("/api/secrets/{secret}:same-value"), 404),
    ];
    let report = format!("/api/incidents/{}/report", IncidentId::generate());
    let held = manager.app.gate.long_requests.take(Some(one.subject)).await.ok().unwrap();
    for (path, without) in &paths {
        let refused = manager.with_bearer(one.bearer(), Method::GET, path, None).await;
        refused.expect(429).refused("rate_limited");
        manager.with_bearer(other.bearer(), Method::GET, path, None).await.expect(*without);
    }
    manager.with_bearer(one.bearer(), Method::GET, &report, None).await.expect(404);
    drop(held);
    let held = manager.app.gate.incident_reports.take(Some(one.subject)).await.ok().unwrap();
    manager.with_bearer(one.bearer(), Method::GET, &report, None).await.expect(429).refused("rate_limited");
    manager.with_bearer(other.bearer(), Method::GET, &report, None).await.expect(404);
    for (path, without) in &paths {
        manager.with_bearer(one.bearer(), Method::GET, path, None).await.expect(*without);
    }
    drop(held);
    manager.stop().await;
}
