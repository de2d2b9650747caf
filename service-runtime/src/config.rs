//! Configuration files and the operating mode.
//!
//! Guarantees that an error names file, line and key and never repeats a value: people paste credentials into the
//! wrong line. Refuses addresses on which the chosen mode is not safe.

mod document;

use std::{net::SocketAddr, path::Path};

use serde::de::DeserializeOwned;
pub use shared_proto::identity::Mode;

use crate::process::StartError;

/// Reads a TOML file. The caller's type carries `deny_unknown_fields`.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a key that is missing, unknown or of the wrong form.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        StartError::new(format!("The configuration file {} cannot be read ({}).", path.display(), error.kind()))
    })?;
    document::parse(&path.display().to_string(), &text).map_err(StartError::new)
}

/// Checks that the mode may listen there.
///
/// # Errors
/// Development mode off loopback; plain HTTP off loopback without the `danger` option. `allowed` says that TLS
/// is configured, or that option is on.
pub fn check_listen(mode: Mode, addr: &SocketAddr, allowed: bool) -> Result<(), StartError> {
    if addr.ip().is_loopback() {
        return Ok(());
    }
    match mode {
        Mode::Development => {
            Err(StartError::new(format!("Development mode listens on loopback only, not on {addr}; use 127.0.0.1.")))
        }
        Mode::Production if allowed => Ok(()),
        Mode::Production => Err(StartError::new(format!(
            "Plain HTTP on {addr} would expose secrets to the network; add [tls] with a certificate and a key, listen on \
             loopback, or set danger.plain_http."
        ))),
    }
}

/// The names of those of a table's options that are on.
pub fn names_that_are_on(options: &[(bool, &'static str)]) -> Vec<&'static str> {
    options.iter().filter_map(|(on, name)| on.then_some(*name)).collect()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    const CANARY: &str = "hunter2-canary";

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its parsing is tested")]
    struct Raw {
        mode: Mode,
        server: Server,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its parsing is tested")]
    struct Server {
        workers: u16,
    }

    fn refusal(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.toml");
        std::fs::write(&path, text).unwrap();
        load::<Raw>(&path).unwrap_err().sentence
    }

    #[test]
    fn errors_name_the_place_and_never_the_value() {
        let wrong = [
            ("mode = \"production\"\n[server]\nworkers = \"hunter2-canary\"\n", "line 3", "server.workers"),
            ("mode = \"hunter2-canary\"\n[server]\nworkers = 1\n", "line 1", "mode"),
            ("mode = \"production\"\n[server]\nworkers = 1\nfoo = \"hunter2-canary\"\n", "line 4", "server.foo"),
            ("mode = \"production\"\n[server]\nworkers = hunter2-canary\n", "line 3", "server.workers"),
            ("mode = \"production\"\n\"hunter2-canary\" = 1\n[server]\nworkers = 1\n", "line 2", ""),
            ("mode = \"production\"\nhunter2-canary\n", "line 2", ""),
            ("mode = \"production\"\n[server]\n", "service.toml", "workers"),
        ];
        for (text, place, key) in wrong {
            let sentence = refusal(text);
            assert!(sentence.contains(place) && sentence.contains(key), "{sentence}");
            assert!(!sentence.contains(CANARY), "{sentence}");
        }
    }

    #[test]
    fn only_loopback_is_safe_without_a_danger_option() {
        let loopback: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let open: SocketAddr = "0.0.0.0:8000".parse().unwrap();
        check_listen(Mode::Development, &loopback, false).unwrap();
        check_listen(Mode::Development, &open, true).unwrap_err();
        check_listen(Mode::Production, &loopback, false).unwrap();
        check_listen(Mode::Production, &open, false).unwrap_err();
        check_listen(Mode::Production, &open, true).unwrap();
    }
}
