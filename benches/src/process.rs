//! CPU time and memory of a process, from `/proc`.

use crate::load::Outcome;

/// CPU time of processes over a measurement.
pub(crate) struct Meter {
    before: Vec<(u32, f64)>,
}

impl Meter {
    /// From now on.
    pub(crate) fn start(pids: &[u32]) -> Self {
        Self { before: pids.iter().map(|pid| (*pid, cpu_seconds(*pid))).collect() }
    }

    /// Microseconds of CPU time for each answer, of each process.
    #[expect(clippy::cast_precision_loss, reason = "a report")]
    pub(crate) fn stop(&self, outcome: &Outcome) -> Vec<f64> {
        let answers = outcome.answered().max(1) as f64;
        self.before.iter().map(|(pid, before)| (cpu_seconds(*pid) - before) * 1e6 / answers).collect()
    }
}

/// Resident memory of a process in MiB.
pub(crate) fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or_default();
    kib / 1024.0
}

/// User and system time in seconds; `/proc` counts in hundredths.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command name may hold spaces: the fields are counted behind its bracket.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
