//! Keys take turns while both services serve: under load without a failed request, and killed in the middle of it.

mod killed;
mod load;
mod under_load;

use serde_json::Value;
use system_tests::{Installation, Service, wait_until};

/// `rotate-keys … --json`, which must succeed; its report.
fn rotate(service: &Service, arguments: &[&str]) -> Value {
    let all = [&["rotate-keys", "--json"], arguments].concat();
    // The load goes on meanwhile.
    let printed = tokio::task::block_in_place(|| service.run_well(&all));
    serde_json::from_str(&printed).unwrap()
}

/// The rows of a report about one kind of key, as (number, state, what is under it).
fn rows(report: &Value, kind: &str) -> Vec<(Option<u64>, String, Option<u64>)> {
    let rows = report["keys"].as_array().unwrap().iter().filter(|row| row["key"] == kind);
    let row =
        |row: &Value| (row["number"].as_u64(), row["state"].as_str().unwrap().to_owned(), row["under_it"].as_u64());
    rows.map(row).collect()
}

/// The rows of the root key of `dev`.
fn root_keys(report: &Value) -> Vec<(u64, String, u64)> {
    let rows = report["keys"].as_array().unwrap().iter();
    let dev = rows.filter(|row| row["key"] == "root-key" && row["environment"] == "dev");
    dev.map(|row| {
        (row["number"].as_u64().unwrap(), row["state"].as_str().unwrap().to_owned(), row["under_it"].as_u64().unwrap())
    })
    .collect()
}

/// The fingerprint of the key of this kind and state.
fn fingerprint(report: &Value, kind: &str, state: &str) -> String {
    let mut rows = report["keys"].as_array().unwrap().iter();
    let found = rows.find(|row| row["key"] == kind && row["state"] == state).unwrap_or_else(|| panic!("{report}"));
    found["fingerprint"].as_str().unwrap().to_owned()
}

/// Waits until the status of a service is so.
async fn until(service: &Service, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut report = Value::Null;
    wait_until(what, async || {
        report = rotate(service, &["status"]);
        holds(&report)
    })
    .await;
    report
}

/// Pins the next identity of one service at the other one.
fn pin_next(from: &Service, to: &Service) {
    let (pin, half) = (to.keys().join("pins/next.json"), to.keys().join("pins/.next.json.0.tmp"));
    std::fs::copy(from.keys().join("identity-next.json"), &half).unwrap();
    std::fs::rename(half, pin).unwrap();
}

/// Short overlaps, as development allows.
fn installation() -> system_tests::Builder {
    Installation::builder()
        .vault_table("[keys]\nbackup_retention_days = 0\ntransport_overlap_seconds = 2")
        .manager_table("[keys]\nbackup_retention_days = 30\nroot_key_overlap_seconds = 8")
}
