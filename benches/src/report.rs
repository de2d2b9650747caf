//! The report: a line of text for each measurement, and the same as a line of JSON.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::load::Outcome;

/// Where the report goes besides standard output.
#[derive(Args)]
pub(crate) struct ReportTo {
    /// Append each measurement to this file, one JSON object on a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// What the lines are about, for example the value of `audit.sync`.
    #[arg(long, default_value = "")]
    label: String,
}

/// Prints measurements.
pub(crate) struct Report {
    json: Option<File>,
    label: String,
}

impl Report {
    /// Opens the file, if there is to be one.
    pub(crate) fn open(to: ReportTo) -> Result<Self, Failure> {
        let file = to.json.map(|path| File::options().append(true).create(true).open(path)).transpose()?;
        Ok(Self { json: file, label: to.label })
    }

    /// The heading of the lines of [`Self::rates`].
    pub(crate) fn heading(title: &str) {
        println!(
            "{title:<34} {:>9} {:>6} {:>8} {:>8} {:>6}  CPU µs per request",
            "per s", "ratio", "p50 ms", "p99 ms", "ratio"
        );
    }

    /// One line: rates and latencies beside those of the bare handler, CPU time of manager and vault.
    pub(crate) fn rates(
        &mut self,
        name: &str,
        connections: usize,
        outcome: &Outcome,
        bare: Option<&Outcome>,
        cpu: &[f64],
    ) -> Result<(), Failure> {
        let (rate, p50, p99) = (outcome.per_second(), outcome.percentile(50), outcome.percentile(99));
        let bare = bare.unwrap_or(outcome);
        let (ratio, p99_ratio) = (rate / bare.per_second(), p99 / bare.percentile(99));
        let spent: Vec<String> = cpu.iter().map(|micros| format!("{micros:.0}")).collect();
        println!(
            "  {name:<28} {connections:>3} {rate:>9.0} {ratio:>6.2} {p50:>8.2} {p99:>8.2} {p99_ratio:>6.2}  {}",
            spent.join(" + ")
        );
        self.keep(
            name,
            json!({
                "connections": connections, "per_second": rate, "ratio_to_bare": ratio, "p50_ms": p50, "p99_ms": p99,
                "p99_ratio_to_bare": p99_ratio, "cpu_us": cpu,
            }),
        )
    }

    /// One number with its unit.
    pub(crate) fn number(&mut self, name: &str, value: f64, unit: &str) -> Result<(), Failure> {
        println!("  {name:<55} {value:>9.2} {unit}");
        self.keep(name, json!({ "value": value, "unit": unit }))
    }

    /// A line of JSON.
    pub(crate) fn keep(&mut self, name: &str, mut line: Value) -> Result<(), Failure> {
        let Some(file) = &mut self.json else { return Ok(()) };
        let members = line.as_object_mut().map(std::mem::take).unwrap_or_default();
        let mut all = Map::new();
        all.insert("measurement".to_owned(), json!(name));
        all.insert("label".to_owned(), json!(self.label));
        all.extend(members);
        Ok(writeln!(file, "{}", Value::Object(all))?)
    }
}
