//! Configuration files and the operating mode.
//!
//! Guarantees that an error names file, line and key and never repeats a value: people paste credentials into the
//! wrong line. Refuses addresses on which the chosen mode is not safe.

mod document;

use std::{
    fs::{File, Metadata},
    io,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use serde::{Deserialize, de::DeserializeOwned};
pub use shared_proto::identity::Mode;

use crate::StartError;

/// Reads a TOML file. The caller's type carries `deny_unknown_fields`.
///
/// # Errors
/// The file cannot be read, is not TOML, has a key that is missing, unknown or of the wrong form, or, outside
/// development, others may write it.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, StartError> {
    let cannot = |error: io::Error| {
        StartError::new(format!("The configuration file {} cannot be read ({}).", path.display(), error.kind()))
    };
    let file = File::open(path).map_err(cannot)?;
    let meta = file.metadata().map_err(cannot)?;
    let text = io::read_to_string(file).map_err(cannot)?;
    let raw = document::parse(&path.display().to_string(), &text).map_err(StartError::new)?;
    match toml::from_str::<ModeOnly>(&text) {
        // Many a desktop makes all files writable for a group that has one member.
        Ok(found) if found.mode.is_development() => {}
        Ok(_) | Err(_) => check_writers(path, &meta)?,
    }
    Ok(raw)
}

#[derive(Deserialize)]
struct ModeOnly {
    mode: Mode,
}

/// A writer of the configuration chooses whom the service believes.
fn check_writers(path: &Path, meta: &Metadata) -> Result<(), StartError> {
    let (shown, mode) = (path.display(), meta.mode() & 0o7777);
    if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(StartError::new(format!(
            "The configuration file {shown} belongs to another user, who could change it; make it root's or your own."
        )));
    }
    if mode & 0o022 != 0 {
        return Err(StartError::new(format!(
            "The configuration file {shown} has mode {mode:04o}, so others may write it; run: chmod go-w {shown}"
        )));
    }
    Ok(())
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
    use std::os::unix::fs::PermissionsExt as _;

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
    fn file_that_others_may_write_is_refused_outside_development() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("service.toml");
        for (mode, bits, accepted) in [
            ("production", 0o640, true),
            ("production", 0o620, false),
            ("production", 0o602, false),
            ("development", 0o666, true),
        ] {
            std::fs::write(&path, format!("mode = \"{mode}\"\n[server]\nworkers = 1\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(bits)).unwrap();
            let loaded = load::<Raw>(&path);
            assert_eq!(loaded.is_ok(), accepted, "{mode} {bits:o}");
            assert!(loaded.err().is_none_or(|refusal| refusal.sentence.contains("chmod go-w")));
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
