//! A way to a server that tests can cut.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use test_postgres::Database as Kept;

use super::{Location, PostgresOptions, Server};

/// A way to a server that can be cut or fall silent.
pub(super) struct Proxy {
    folder: tempfile::TempDir,
    mode: Arc<Mutex<Mode>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything passes.
    Pass,
    /// Everything is swallowed.
    Silent,
    /// The connection that sends this text is cut instead.
    CutBefore(&'static [u8]),
    /// The connection that sends this text is cut when the server has answered.
    CutAfter(&'static [u8]),
}

impl Proxy {
    pub(super) fn to(kept: &Kept) -> Self {
        let proxy = Self { folder: tempfile::tempdir().unwrap(), mode: Arc::new(Mutex::new(Mode::Pass)) };
        let listener = UnixListener::bind(proxy.folder.path().join(".s.PGSQL.5432")).unwrap();
        let server = kept.server().socket().join(format!(".s.PGSQL.{}", kept.server().port()));
        let mode = Arc::clone(&proxy.mode);
        // Ends with the process of the tests.
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                Self::join(client, UnixStream::connect(&server).unwrap(), &mode);
            }
        });
        proxy
    }

    pub(super) fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
    }

    pub(super) fn location(&self, kept: &Kept) -> Location {
        let options = PostgresOptions {
            password_file: Some(kept.password_file()),
            statement_timeout_ms: 2_000,
            ..PostgresOptions::default()
        };
        let folder = self.folder.path().to_str().unwrap().replace('/', "%2F");
        let url = format!("postgres://{}@{folder}/{}", kept.role(), kept.name());
        Location::Server(Server::new(&url, &options, Path::new("/"), false).unwrap())
    }

    fn join(client: UnixStream, server: UnixStream, mode: &Arc<Mutex<Mode>>) {
        let cut = Arc::new(Mutex::new(false));
        let ends = [(client.try_clone().unwrap(), server.try_clone().unwrap(), true), (server, client, false)];
        for (from, to, is_question) in ends {
            let (mode, cut) = (Arc::clone(mode), Arc::clone(&cut));
            thread::spawn(move || Self::carry(from, to, is_question, &mode, &cut));
        }
    }

    fn carry(mut from: UnixStream, mut to: UnixStream, is_question: bool, mode: &Mutex<Mode>, cut: &Mutex<bool>) {
        let mut bytes = [0; 16_384];
        loop {
            let length = from.read(&mut bytes).unwrap_or(0);
            let part = &bytes[..length];
            let has = |text: &[u8]| is_question && part.windows(text.len()).any(|window| window == text);
            let now = *mode.lock().unwrap();
            match now {
                Mode::Silent if length > 0 => continue,
                Mode::CutBefore(text) if has(text) => *cut.lock().unwrap() = true,
                Mode::CutAfter(text) if has(text) => {
                    // First: the other half carries the answer.
                    *cut.lock().unwrap() = true;
                    to.write_all(part).unwrap();
                    continue;
                }
                Mode::Silent | Mode::Pass | Mode::CutBefore(_) | Mode::CutAfter(_) => {}
            }
            let ends = length == 0 || *cut.lock().unwrap() || to.write_all(part).is_err();
            if ends {
                let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
                return;
            }
        }
    }
}
