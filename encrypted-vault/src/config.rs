//! The configuration file: every field with its unit and default. Unknown fields are refused.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::read_budgets::BudgetSettings;
use serde::Deserialize;
use service_runtime::StartError;
use service_runtime::audit::AuditSettings;
use service_runtime::config::{self, Mode};
use service_runtime::http::{Limits, OperatorListen, ServeConfig};
use service_runtime::sql::{Location, MovedInstallation, PostgresOptions};
use service_runtime::tls::ServerFiles;

/// What stands in the TOML file. Relative paths are relative to the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    /// `development` or `production`. Required.
    mode: Mode,
    /// Address to listen on. Default `127.0.0.1:8001`.
    #[serde(default = "default_listen")]
    listen: SocketAddr,
    /// Database, audit log, local refusals. Required.
    data_dir: PathBuf,
    /// A database on a PostgreSQL server, `postgres://ROLE@HOST:PORT/NAME`. Default: the SQLite file `vault.db` in the
    /// data directory.
    database: Option<String>,
    /// How to use that server.
    postgres: Option<PostgresOptions>,
    /// Key folder. Required.
    key_dir: PathBuf,
    /// Where the short-lived seal keys and the mark live. Default: `$RUNTIME_DIRECTORY`, else a folder in
    /// `$XDG_RUNTIME_DIR`, else one in `/dev/shm`.
    runtime_dir: Option<PathBuf>,
    /// HTTP threads; 0 means one for each core. Default 0.
    #[serde(default)]
    workers: usize,
    /// File that gets the bound address once connections are accepted. Default none.
    ready_file: Option<PathBuf>,
    /// The operator's listener: a path, or a port of loopback. Default `operator.sock` in the data directory.
    operator_listen: Option<String>,
    /// How long a stop waits for accepted requests, in seconds, 1 to 50. Default 20.
    shutdown_seconds: Option<u64>,
    /// Log filter, as `tracing` takes it. Default `info`.
    log: Option<String>,
    /// The audit log.
    #[serde(default)]
    audit: AuditSettings,
    /// Keys that were replaced.
    #[serde(default)]
    keys: RawKeys,
    /// Bounds of the server.
    #[serde(default)]
    limits: Limits,
    /// Certificate and key of the listener. Default none: plain HTTP, on loopback.
    tls: Option<ServerFiles>,
    /// Budgets of what the tokens of one subject may open.
    #[serde(default)]
    budgets: BudgetSettings,
    /// Options that weaken the service.
    #[serde(default)]
    danger: Danger,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKeys {
    /// How long a retired storage key is kept for backups that need it, in days. Default 30; 0 destroys it at once.
    backup_retention_days: Option<u64>,
    /// How long a replaced transport key is accepted, in seconds. Default 86,400, and not below it in production.
    transport_overlap_seconds: Option<u64>,
}

/// Options that weaken the service. Each one that is on is named at every start.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a name in the configuration file")]
pub struct Danger {
    /// Plain HTTP off loopback: tokens and values cross the network in the clear.
    #[serde(default)]
    pub plain_http: bool,
    /// A runtime directory on disk: seal keys may be found there after their end.
    #[serde(default)]
    pub runtime_on_disk: bool,
    /// Swap may be on: keys in memory may reach a disk.
    #[serde(default)]
    pub swap: bool,
    /// A PostgreSQL server that may lose what it has committed, revocations too.
    #[serde(default)]
    pub postgres_without_durability: bool,
}

impl Danger {
    /// The names of the options that are on.
    pub fn names(self) -> Vec<&'static str> {
        config::names_that_are_on(&[
            (self.plain_http, "danger.plain_http"),
            (self.runtime_on_disk, "danger.runtime_on_disk"),
            (self.swap, "danger.swap"),
            (self.postgres_without_durability, "danger.postgres_without_durability"),
        ])
    }
}

/// How long keys that were replaced stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyTimes {
    /// Seconds until a retired storage key is destroyed.
    pub backup_retention: u64,
    /// Seconds for which a replaced transport key is accepted.
    pub transport_overlap: u64,
}

impl Default for KeyTimes {
    fn default() -> Self {
        Self { backup_retention: 30 * DAY, transport_overlap: DAY }
    }
}

impl KeyTimes {
    fn new(raw: &RawKeys, mode: Mode) -> Result<Self, StartError> {
        let default = Self::default();
        let transport_overlap = raw.transport_overlap_seconds.unwrap_or(default.transport_overlap);
        if !mode.is_development() && transport_overlap < default.transport_overlap {
            return Err(StartError::new(format!(
                "keys.transport_overlap_seconds is {transport_overlap}; outside development it is {DAY} or more."
            )));
        }
        let days = raw.backup_retention_days.map(|days| days.saturating_mul(DAY));
        Ok(Self { backup_retention: days.unwrap_or(default.backup_retention), transport_overlap })
    }
}

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Mode of the installation.
    pub mode: Mode,
    /// The HTTP server.
    pub serve: ServeConfig,
    /// Database, audit log, local refusals.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub location: Location,
    /// Key folder.
    pub key_dir: PathBuf,
    /// Configured runtime directory.
    pub runtime_dir: Option<PathBuf>,
    /// Log filter.
    pub log: Option<String>,
    /// The audit log.
    pub audit: AuditSettings,
    /// How long keys that were replaced stay.
    pub key_times: KeyTimes,
    /// Budgets of what the tokens of one subject may open.
    pub budgets: BudgetSettings,
    /// Weakening options.
    pub danger: Danger,
}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// It cannot be read, has an unknown or malformed field, or asks for a listener that its mode may not have.
    pub fn load(path: &Path) -> Result<Self, StartError> {
        let raw: RawConfig = config::load(path)?;
        config::check_listen(raw.mode, &raw.listen, raw.tls.is_some() || raw.danger.plain_http)?;
        raw.audit.check()?;
        raw.budgets.check()?;
        raw.tls.as_ref().map_or(Ok(()), ServerFiles::check)?;
        let base = path.parent().unwrap_or(Path::new("."));
        let defaults = ServeConfig::new(raw.listen);
        let data_dir = base.join(raw.data_dir);
        let location = Location::new(
            raw.database.as_deref(),
            raw.postgres.as_ref(),
            base,
            data_dir.join(DATABASE),
            raw.danger.postgres_without_durability,
        )?;
        let config = Self {
            mode: raw.mode,
            serve: ServeConfig {
                listen: raw.listen,
                workers: raw.workers,
                limits: raw.limits,
                tls: raw.tls.map(|files| files.beside(base)),
                shutdown_seconds: raw.shutdown_seconds.unwrap_or(defaults.shutdown_seconds),
                ready_file: raw.ready_file.map(|file| base.join(file)),
                operator: Some(OperatorListen::new(raw.operator_listen.as_deref(), base, &data_dir)?),
            },
            data_dir,
            location,
            key_dir: base.join(raw.key_dir),
            runtime_dir: raw.runtime_dir.map(|dir| base.join(dir)),
            log: raw.log,
            audit: raw.audit,
            key_times: KeyTimes::new(&raw.keys, raw.mode)?,
            budgets: raw.budgets,
            danger: raw.danger,
        };
        config.serve.check()?;
        Ok(config)
    }

    /// The file of a database that is not on a server.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE)
    }

    /// The facts for a move of the database.
    pub fn moved(&self) -> MovedInstallation<'_> {
        MovedInstallation {
            mode: self.mode,
            data_dir: &self.data_dir,
            key_dir: &self.key_dir,
            location: &self.location,
        }
    }

    /// Folders and files that must belong to the service's user, or no command works on them.
    pub fn own_files(&self) -> [PathBuf; 3] {
        [self.data_dir.clone(), self.key_dir.clone(), self.database()]
    }

    /// The first segment of the audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.data_dir.join("audit.jsonl")
    }
}

const DATABASE: &str = "vault.db";

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8001))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(tables: &str) -> Result<Config, StartError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault.toml");
        std::fs::write(&path, format!("mode = \"production\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\n{tables}"))
            .unwrap();
        Config::load(&path)
    }

    #[test]
    fn values_out_of_range_are_refused_by_their_table() {
        assert_eq!(load("").unwrap().audit, AuditSettings::default());
        assert_eq!(load("[audit]\nsegment_bytes = 4096\n").unwrap().audit.segment_bytes, 4_096);
        for (table, line) in [("[audit]", "segment_bytes = 4095"), ("[limits]", "connections = 0")] {
            assert!(load(&format!("{table}\n{line}\n")).unwrap_err().sentence.contains(table), "{line}");
        }
    }
}
