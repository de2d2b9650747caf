//! The measurements, and their report as ratios to the bare handler of the same run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::load::{Outcome, drive, get, once, post};
use crate::{Failure, read_line};

/// Where the services are, and how much is asked of them.
#[derive(Args)]
pub(crate) struct Plan {
    /// Address of the manager, `127.0.0.1:PORT`.
    #[arg(long)]
    manager: String,
    /// Address of the vault.
    #[arg(long)]
    vault: String,
    /// Address of the bare handler.
    #[arg(long)]
    bare: String,
    /// File with the administrator's credential.
    #[arg(long)]
    credential_file: PathBuf,
    /// Process ids of manager and vault, for CPU time per request.
    #[arg(long, num_args = 2)]
    pids: Vec<u32>,
    /// Connections of each measurement.
    #[arg(long, value_delimiter = ',', default_value = "16,256")]
    connections: Vec<usize>,
    /// Requests of each read measurement; writes and new tokens take a tenth.
    #[arg(long, default_value_t = 40_000)]
    requests: usize,
    /// RS256 signatures per second of one core, as `openssl speed` says.
    #[arg(long)]
    signatures: Option<f64>,
}

/// Measures and prints.
pub(crate) fn run(plan: &Plan) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(plan))
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    let credential = read_line(&plan.credential_file)?;
    let store = |token: bool| {
        let body =
            format!(r#"{{"user_id":"bench","key_data":"super_secret_value","environment":"dev","token":{token}}}"#);
        post(&plan.manager, "/api/keys", &credential, &body)
    };
    let first: Value = serde_json::from_str(&once(&plan.manager, &store(true), 201).await?)?;
    let (key_id, token) = (text(&first, "key_id")?, text(&first, "access_token")?);
    let path = format!("/api/keys/{key_id}");
    let few = (plan.requests / 10).max(1);
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7}  CPU/request µs (manager, vault)",
        "", "per s", "p50 ms", "p99 ms", "ratio"
    );
    for &connections in &plan.connections {
        println!("{connections} connections");
        let bare_requests = Arc::new(vec![get(&plan.bare, &path, &token)]);
        let warm_requests = Arc::new(vec![get(&plan.vault, &path, &token)]);
        drive(&plan.bare, Arc::clone(&bare_requests), few, connections, 200).await?;
        let bare = drive(&plan.bare, bare_requests, plan.requests, connections, 200).await?;
        print_line("  bare actix-web handler", &bare, &bare, "");
        drive(&plan.vault, Arc::clone(&warm_requests), few, connections, 200).await?;
        let meter = Meter::start(plan);
        let warm = drive(&plan.vault, warm_requests, plan.requests, connections, 200).await?;
        print_line("  warm reads", &warm, &bare, &meter.stop(&warm));
        let fresh = Arc::new(fresh_tokens(plan, &credential, &key_id, &path, few).await?);
        let meter = Meter::start(plan);
        let cold = drive(&plan.vault, fresh, few, connections, 200).await?;
        print_line("  reads, each with a new token", &cold, &bare, &meter.stop(&cold));
        for (name, token) in [("  writes with a token", true), ("  writes without a token", false)] {
            let meter = Meter::start(plan);
            let written = drive(&plan.manager, Arc::new(vec![store(token)]), few, connections, 201).await?;
            print_line(name, &written, &bare, &meter.stop(&written));
        }
    }
    if let Some(signatures) = plan.signatures {
        println!(
            "openssl speed, RSA-2048 signatures of one core: {signatures:.0} per s, {:.0} µs each",
            1e6 / signatures
        );
    }
    Ok(())
}

async fn fresh_tokens(
    plan: &Plan,
    credential: &str,
    key_id: &str,
    path: &str,
    count: usize,
) -> Result<Vec<Vec<u8>>, Failure> {
    let mint = post(&plan.manager, "/api/tokens", credential, &format!(r#"{{"grants":[{{"key_id":"{key_id}"}}]}}"#));
    let mut requests = Vec::with_capacity(count);
    for _ in 0..count {
        let minted: Value = serde_json::from_str(&once(&plan.manager, &mint, 201).await?)?;
        requests.push(get(&plan.vault, path, &text(&minted, "access_token")?));
    }
    Ok(requests)
}

fn text(answer: &Value, name: &str) -> Result<String, Failure> {
    Ok(answer.get(name).and_then(Value::as_str).ok_or("an answer lacks a member")?.to_owned())
}

fn print_line(name: &str, outcome: &Outcome, bare: &Outcome, cpu: &str) {
    println!(
        "{name:<44} {:>9.0} {:>9.2} {:>9.2} {:>7.2}  {cpu}",
        outcome.per_second(),
        millis(outcome.percentile(50)),
        millis(outcome.percentile(99)),
        outcome.per_second() / bare.per_second(),
    );
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// CPU time of the two services over a measurement.
struct Meter<'a> {
    plan: &'a Plan,
    before: Vec<f64>,
}

impl<'a> Meter<'a> {
    fn start(plan: &'a Plan) -> Self {
        Self { plan, before: plan.pids.iter().map(|pid| cpu_seconds(*pid)).collect() }
    }

    #[expect(clippy::cast_precision_loss, reason = "a report")]
    fn stop(&self, outcome: &Outcome) -> String {
        let after = self.plan.pids.iter().map(|pid| cpu_seconds(*pid));
        let each: Vec<String> = after
            .zip(&self.before)
            .map(|(after, before)| format!("{:.0}", (after - before) * 1e6 / outcome.answered.max(1) as f64))
            .collect();
        each.join(", ")
    }
}

/// User and system time of a process, in seconds; /proc counts in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<f64> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    (fields.get(11).unwrap_or(&0.0) + fields.get(12).unwrap_or(&0.0)) / 100.0
}
