//! The configuration file, declared once.
//!
//! Relative paths are relative to the file. Secrets are never in it, only the folders that hold them. What weakens a
//! property stands under `[danger]` and is repeated at every start.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use manager_sign_on::trust::AddressRules;
use serde::Deserialize;
use service_runtime::StartError;
use service_runtime::audit::AuditSettings;
use service_runtime::config::{self, Mode};
use service_runtime::http::{Limits, OperatorListen, ServeConfig, TrustedProxies};
use service_runtime::sql::{Location, MovedInstallation, PostgresOptions};
use service_runtime::tls::{ClientFiles, ServerFiles};
use shared_proto::Malformed;
use shared_proto::token::MAX_LIFE_SECONDS;

use crate::people::Place;

/// The file as it is written. Every field but `mode`, `vault_url`, `data_dir` and `key_dir` has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    /// `development` or `production`. Must be that of the data directory, the identity and the pins.
    pub mode: Mode,
    /// Address and port to listen on; default `127.0.0.1:8000`. Port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where the vault answers, for example `http://127.0.0.1:8001`.
    pub vault_url: String,
    /// Folder of the database and the audit log; `init` makes it.
    pub data_dir: PathBuf,
    /// A database on a PostgreSQL server, `postgres://ROLE@HOST:PORT/NAME`; default the SQLite file `manager.db` in the
    /// data directory.
    #[serde(default)]
    pub database: Option<String>,
    /// How to use that server.
    #[serde(default)]
    pub postgres: Option<PostgresOptions>,
    /// Folder of the keys and pins; `init` fills it.
    pub key_dir: PathBuf,
    /// Life of an access token in seconds when the request names none, 1 to 2,700; default 900.
    #[serde(default = "default_token_life")]
    pub token_life_seconds: u64,
    /// The longest life of an access token in seconds that a request may name, up to 2,700; default 2,700.
    #[serde(default = "default_max_token_life")]
    pub max_token_life_seconds: u64,
    /// The proxies whose `Forwarded` and `X-Forwarded-For` headers say where a request comes from, as up to 64 ranges of
    /// addresses; default none.
    #[serde(default)]
    pub trusted_proxies: TrustedProxies,
    /// Threads of the HTTP server; default 0, one per core.
    #[serde(default)]
    pub workers: usize,
    /// Where to write the bound address once connections are accepted; default none.
    #[serde(default)]
    pub ready_file: Option<PathBuf>,
    /// The operator's listener: a path, or a port of loopback; default `operator.sock` in the data directory.
    #[serde(default)]
    pub operator_listen: Option<String>,
    /// How long a stop waits for requests, in seconds, 1 to 50; default 20.
    #[serde(default = "default_shutdown")]
    pub shutdown_seconds: u64,
    /// How often the vault is polled, in milliseconds, 10 to 10,000; default 1,000.
    #[serde(default = "default_poll_interval")]
    pub poll_interval_ms: u64,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`; default `info`.
    #[serde(default = "default_log")]
    pub log: String,
    /// The audit log.
    #[serde(default)]
    pub audit: AuditSettings,
    /// How long replaced keys are kept.
    #[serde(default)]
    pub keys: KeysConfig,
    /// Assertions and trusts, by which services prove who they are.
    #[serde(default)]
    pub sign_on: SignOnConfig,
    /// Bounds of the server.
    #[serde(default)]
    pub limits: Limits,
    /// Certificate and key of the listener; default none: plain HTTP, on loopback.
    pub tls: Option<ServerFiles>,
    /// Whom to believe to be the vault, and the certificate to show it; default the machine's CAs, and none.
    pub vault_tls: Option<ClientFiles>,
    /// The place that is handed over with enrolment codes.
    #[serde(default)]
    pub public: Public,
    /// What weakens a property.
    #[serde(default)]
    pub danger: Danger,
}

/// `[public]`: how others reach the manager and know it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// The manager's address for clients, for example `https://manager.example:8000`; default `listen`.
    #[serde(default)]
    pub url: Option<String>,
    /// The vault's address for clients, for example `https://vault.example:8001`; default `vault_url`.
    #[serde(default)]
    pub vault_url: Option<String>,
    /// The certificate of the CA that clients pin, in PEM; default the last one of `tls.certificate`.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

/// `[keys]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// How many days a root key is kept that nothing is under any more, for a backup of the vault that is restored;
    /// default 30. With 0 it is destroyed at once.
    #[serde(default = "default_retention")]
    pub backup_retention_days: u64,
    /// How many seconds after the last version changed its root key the vault is told to forget the old one; default
    /// 3,600, and not less in production: tokens of the old key must have ended.
    #[serde(default = "default_overlap")]
    pub root_key_overlap_seconds: u64,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { backup_retention_days: default_retention(), root_key_overlap_seconds: default_overlap() }
    }
}

/// `[sign_on]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOnConfig {
    /// The address at which clients reach the manager, `https://manager.example:8000`: the audience of assertions, and the
    /// issuer of the metadata document. Default none: no assertion counts, and there is no document.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The CA that issuers of trusts are believed by when their key sets are fetched, in PEM; default those of the machine.
    #[serde(default)]
    pub key_set_ca: Option<PathBuf>,
    /// Private networks, and this machine, from which key sets may be fetched, as up to 16 of the form `10.96.0.0/12`;
    /// default none.
    #[serde(default)]
    pub key_set_networks: Vec<String>,
}

impl SignOnConfig {
    /// The rules for addresses of key sets.
    ///
    /// # Errors
    /// A network is malformed, or there are too many.
    pub fn rules(&self) -> Result<AddressRules, StartError> {
        let refused = |why: String| StartError::new(format!("sign_on.key_set_networks: {why}."));
        if self.key_set_networks.len() > MAX_NETWORKS {
            return Err(refused(format!("there are at most {MAX_NETWORKS}")));
        }
        AddressRules::with_networks(&self.key_set_networks).map_err(|Malformed(why)| refused(why.to_owned()))
    }

    fn check(&self, danger: Danger) -> Result<(), StartError> {
        self.rules()?;
        let Some(issuer) = &self.issuer else { return Ok(()) };
        let refused = |why: &str| Err(StartError::new(format!("sign_on.issuer {why}")));
        match reqwest::Url::parse(issuer) {
            // The plain form of an origin is its text with a slash.
            Ok(url) if url.as_str().strip_suffix('/') == Some(issuer) && url.username().is_empty() => {
                let plain = url.scheme() == "http" && (danger.plain_http || is_loopback(&url));
                if url.scheme() == "https" || plain { Ok(()) } else { refused("is not https.") }
            }
            _ => refused("is not an origin in its plain form; write for example \"https://manager.example:8000\"."),
        }
    }
}

/// `[danger]`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Danger {
    /// Plain HTTP off loopback, for listening and towards the vault; default false. Values and tokens are then
    /// readable on that network.
    #[serde(default)]
    pub plain_http: bool,
    /// A PostgreSQL server that may lose what it has committed, revocations too; default false.
    #[serde(default)]
    pub postgres_without_durability: bool,
}

impl Danger {
    /// The names of the options that are on.
    pub fn names(self) -> Vec<&'static str> {
        config::names_that_are_on(&[
            (self.plain_http, "danger.plain_http"),
            (self.postgres_without_durability, "danger.postgres_without_durability"),
        ])
    }
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    raw: RawConfig,
    operator_listen: OperatorListen,
    location: Location,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// It cannot be read or understood, or asks for what is refused.
    pub fn load(path: &Path) -> Result<Self, StartError> {
        let mut raw: RawConfig = config::load(path)?;
        let base = path.parent().unwrap_or_else(|| Path::new("."));
        raw.data_dir = base.join(&raw.data_dir);
        raw.key_dir = base.join(&raw.key_dir);
        raw.ready_file = raw.ready_file.map(|file| base.join(file));
        raw.tls = raw.tls.map(|files| files.beside(base));
        raw.vault_tls = raw.vault_tls.map(|files| files.beside(base));
        raw.public.ca = raw.public.ca.map(|file| base.join(file));
        raw.sign_on.key_set_ca = raw.sign_on.key_set_ca.map(|file| base.join(file));
        Self::beside(base, raw)
    }

    /// Checks a configuration.
    ///
    /// # Errors
    /// It asks for what is refused.
    pub fn new(raw: RawConfig) -> Result<Self, StartError> {
        Self::beside(Path::new("."), raw)
    }

    fn beside(base: &Path, raw: RawConfig) -> Result<Self, StartError> {
        config::check_listen(raw.mode, &raw.listen, raw.tls.is_some() || raw.danger.plain_http)?;
        raw.audit.check()?;
        if raw.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some() || tls.client_name.is_some()) {
            return Err(StartError::new(
                "The manager asks no client for a certificate; remove client_ca and client_name.",
            ));
        }
        check_peer_url("vault_url", &raw.vault_url, raw.danger)?;
        raw.public.url.as_deref().map_or(Ok(()), check_public_url)?;
        // Clients send tokens there.
        raw.public.vault_url.as_ref().map_or(Ok(()), |url| check_peer_url("public.vault_url", url, raw.danger))?;
        raw.sign_on.check(raw.danger)?;
        if raw.vault_tls.is_some() && !raw.vault_url.starts_with("https:") {
            return Err(StartError::new("There is [vault_tls], but vault_url is not https; correct one of them."));
        }
        let lives = 1..=MAX_LIFE_SECONDS;
        if !lives.contains(&raw.token_life_seconds) || !lives.contains(&raw.max_token_life_seconds) {
            return Err(StartError::new(format!(
                "token_life_seconds and max_token_life_seconds are 1 to {MAX_LIFE_SECONDS}; the vault refuses longer tokens."
            )));
        }
        if raw.token_life_seconds > raw.max_token_life_seconds {
            return Err(StartError::new("token_life_seconds is above max_token_life_seconds; lower it."));
        }
        if !(10..=10_000).contains(&raw.poll_interval_ms) {
            return Err(StartError::new("poll_interval_ms is 10 to 10000; 1000 is the default."));
        }
        if raw.trusted_proxies.len() > MAX_PROXIES {
            return Err(StartError::new("trusted_proxies has at most 64 ranges."));
        }
        if !raw.mode.is_development() && raw.keys.root_key_overlap_seconds < default_overlap() {
            return Err(StartError::new("keys.root_key_overlap_seconds is at least 3600 in production mode."));
        }
        let operator_listen = OperatorListen::new(raw.operator_listen.as_deref(), base, &raw.data_dir)?;
        let location = Location::new(
            raw.database.as_deref(),
            raw.postgres.as_ref(),
            base,
            raw.data_dir.join(DATABASE),
            raw.danger.postgres_without_durability,
        )?;
        let config = Self { raw, operator_listen, location };
        config.serve().check()?;
        Ok(config)
    }

    /// The place that is handed over with enrolment codes.
    pub fn place(&self) -> Place {
        let raw = &self.raw;
        let url = raw.public.url.clone().unwrap_or_else(|| Place::url_of(&raw.listen, raw.tls.is_some()));
        let ca = raw.public.ca.clone().or_else(|| raw.tls.as_ref().map(|tls| tls.certificate.clone()));
        Place { url, ca }
    }

    /// The vault's address for clients, without a slash at its end.
    pub fn public_vault_url(&self) -> &str {
        let raw = &self.raw;
        raw.public.vault_url.as_ref().unwrap_or(&raw.vault_url).trim_end_matches('/')
    }

    /// The settings of a server.
    pub fn serve(&self) -> ServeConfig {
        let raw = &self.raw;
        let mut serve = ServeConfig::new(raw.listen);
        serve.workers = raw.workers;
        serve.limits = raw.limits;
        serve.tls.clone_from(&raw.tls);
        serve.shutdown_seconds = raw.shutdown_seconds;
        serve.ready_file.clone_from(&raw.ready_file);
        serve.operator = Some(self.operator_listen.clone());
        serve
    }

    /// The checked values.
    pub fn get(&self) -> &RawConfig {
        &self.raw
    }

    /// Development or production.
    pub fn mode(&self) -> Mode {
        self.raw.mode
    }

    /// Where the database is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The file of a database that is not on a server.
    pub fn database(&self) -> PathBuf {
        self.raw.data_dir.join(DATABASE)
    }

    /// The facts for a move of the database.
    pub fn moved(&self) -> MovedInstallation<'_> {
        let raw = self.get();
        MovedInstallation { mode: raw.mode, data_dir: &raw.data_dir, key_dir: &raw.key_dir, location: self.location() }
    }

    /// Folders and files that must belong to the service's user, or no command works on them.
    pub fn own_files(&self) -> [PathBuf; 3] {
        let raw = self.get();
        [raw.data_dir.clone(), raw.key_dir.clone(), self.database()]
    }

    /// The first file of the audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.raw.data_dir.join("audit.jsonl")
    }
}

const DATABASE: &str = "manager.db";
/// Each request with one is compared with all of them.
const MAX_PROXIES: usize = 64;
/// Each address of a key set is compared with all of them.
const MAX_NETWORKS: usize = 16;

fn check_public_url(text: &str) -> Result<(), StartError> {
    let url = reqwest::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    if url.is_some_and(|url| url.origin().ascii_serialization() == text.trim_end_matches('/')) {
        return Ok(());
    }
    Err(StartError::new(
        "public.url is not scheme, host and port alone; write for example \"https://manager.example:8000\".",
    ))
}

fn check_peer_url(field: &str, text: &str, danger: Danger) -> Result<(), StartError> {
    let refused = |sentence: &str| Err(StartError::new(format!("{field} {sentence}")));
    let Ok(url) = reqwest::Url::parse(text) else {
        return refused("is not a URL; write for example \"http://127.0.0.1:8001\".");
    };
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !bare || !url.username().is_empty() || url.password().is_some() {
        return refused("has more than scheme, host and port; remove the rest.");
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(&url) || danger.plain_http => Ok(()),
        "http" => refused("is plain HTTP off loopback; use https, or set danger.plain_http."),
        _ => refused("is neither http nor https."),
    }
}

fn is_loopback(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8000))
}

// Long enough that a program rarely asks, short enough that a stolen token is soon dead.
fn default_token_life() -> u64 {
    15 * 60
}

fn default_max_token_life() -> u64 {
    MAX_LIFE_SECONDS
}

fn default_shutdown() -> u64 {
    service_runtime::http::DEFAULT_SHUTDOWN_SECONDS
}

fn default_poll_interval() -> u64 {
    1_000
}

fn default_retention() -> u64 {
    30
}

// The longest life of a token is 45 minutes; the rest is for clocks that differ.
fn default_overlap() -> u64 {
    3_600
}

fn default_log() -> String {
    "info".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(extra: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manager.toml");
        let text = format!("mode = \"production\"\ndata_dir = \"data\"\nkey_dir = \"/keys\"\n{extra}");
        std::fs::write(&path, text).unwrap();
        let loaded = Config::load(&path).map_err(|refusal| refusal.sentence);
        if let Ok(config) = &loaded {
            assert_eq!(config.database(), dir.path().join("data/manager.db"));
            assert_eq!(config.get().key_dir, Path::new("/keys"));
        }
        loaded
    }

    #[test]
    fn defaults_are_safe_and_dangers_need_their_name() {
        let config = load("vault_url = \"http://127.0.0.1:8001\"").unwrap();
        assert_eq!(config.get().token_life_seconds, 900);
        assert!(config.get().danger.names().is_empty());
        assert!(load("vault_url = \"http://vault.example:8001\"").unwrap_err().contains("danger.plain_http"));
        assert!(load("vault_url = \"http://vault.example\"\n[danger]\nplain_http = true").is_ok());
        assert!(load("vault_url = \"https://vault.example\"").is_ok());
        for url in ["ftp://x", "x", "http://127.0.0.1/path", "http://a:b@127.0.0.1", "http://127.0.0.1?x"] {
            assert!(load(&format!("vault_url = \"{url}\"")).is_err(), "{url}");
        }
        let good = "vault_url = \"http://[::1]:8001\"\n";
        for bad in ["token_life_seconds = 2701", "token_life_seconds = 0", "poll_interval_ms = 1", "typo = 1"] {
            assert!(load(&format!("{good}{bad}")).is_err(), "{bad}");
        }
        assert!(load(&format!("{good}[keys]\nroot_key_overlap_seconds = 3600\nbackup_retention_days = 0")).is_ok());
        assert!(load(&format!("{good}[keys]\nroot_key_overlap_seconds = 3599")).unwrap_err().contains("3600"));
        assert!(load(&format!("{good}trusted_proxies = [\"10.0.0.0/8\", \"2001:db8::/32\"]")).is_ok());
        for bad in ["\"10.0.0.0/33\"", "\"proxy\"", "7"] {
            assert!(load(&format!("{good}trusted_proxies = [{bad}]")).is_err(), "{bad}");
        }
        let many = vec!["\"10.0.0.0/8\""; 65].join(",");
        assert!(load(&format!("{good}trusted_proxies = [{many}]")).unwrap_err().contains("64"));
        let open = format!("{good}listen = \"0.0.0.0:8000\"\n");
        assert!(load(&open).unwrap_err().contains("[tls]"));
        let tls = "[tls]\ncertificate = \"tls/own.pem\"\nkey = \"tls/own.key\"\n";
        assert!(load(&format!("{open}{tls}")).is_ok());
        assert!(load(&format!("{good}{tls}client_ca = \"ca.pem\"\nclient_name = \"a.example\"\n")).is_err());
        assert!(load(&format!("{good}[vault_tls]\nca = \"ca.pem\"\n")).unwrap_err().contains("https"));
        for issuer in ["https://m.example", "https://m.example:8000", "http://127.0.0.1:8000"] {
            assert!(load(&format!("{good}[sign_on]\nissuer = \"{issuer}\"\n")).is_ok(), "{issuer}");
        }
        for issuer in [
            "http://m.example",
            "https://m.example/",
            "https://m.example/a",
            "https://M.example",
            "https://a@m.example",
            "m",
            "",
        ] {
            let refused = load(&format!("{good}[sign_on]\nissuer = \"{issuer}\"\n"));
            assert!(refused.unwrap_err().contains("sign_on.issuer"), "{issuer}");
        }
        assert!(load(&format!("{good}[sign_on]\nkey_set_networks = [\"10.96.0.0/12\"]\n")).is_ok());
        assert!(load(&format!("{good}[sign_on]\nkey_set_networks = [\"0.0.0.0/0\"]\n")).is_err());
        assert!(load(&format!("{good}[limits]\nconnections = 0\n")).unwrap_err().contains("[limits]"));
        assert!(load(&format!("{good}[audit]\nsegment_bytes = 4095\n")).unwrap_err().contains("[audit]"));
        assert_eq!(load(good).unwrap().place().url, "http://127.0.0.1:8000");
        assert_eq!(load(good).unwrap().public_vault_url(), "http://[::1]:8001");
        let vault = load(&format!("{good}[public]\nvault_url = \"https://v.example:8001/\"\n")).unwrap();
        assert_eq!(vault.public_vault_url(), "https://v.example:8001");
        let public = load(&format!("{good}[public]\nurl = \"https://m.example\"\nca = \"ca.pem\"\n")).unwrap().place();
        assert!(public.url == "https://m.example" && public.ca.is_some_and(|ca| ca.ends_with("ca.pem")));
        for url in ["m.example", "ftp://m.example", "https://m.example/x", "https://a@m.example"] {
            assert!(load(&format!("{good}[public]\nurl = \"{url}\"\n")).unwrap_err().contains("public.url"), "{url}");
        }
        for url in ["v.example", "ftp://v.example", "https://v.example/x", "https://a@v.example", "http://v.example"] {
            let refused = load(&format!("{good}[public]\nvault_url = \"{url}\"\n")).unwrap_err();
            assert!(refused.contains("public.vault_url "), "{url}");
        }
    }
}
