//! The server.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// A PostgreSQL server with its superuser.
#[derive(Debug)]
pub struct Server {
    port: u16,
    password: String,
    places: HashMap<String, PathBuf>,
    is_own: bool,
}

const PREFIX: &str = "SPLITVAULT_TEST_POSTGRES";
const NONE: &str =
    "this test needs PostgreSQL: run it through scripts/test.sh, or as scripts/postgres.sh run cargo test …";

impl Server {
    /// The server of the environment.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn of_environment() -> Arc<Self> {
        let variables = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
        Arc::new(Self::from(&variables, false).unwrap_or_else(|| panic!("{NONE}")))
    }

    /// A new server. It is removed when this is dropped, and with the server of the environment if the test is killed.
    pub fn own() -> Arc<Self> {
        match std::env::var(format!("{PREFIX}_FOLDER")) {
            Ok(folder) => Self::own_in(&Path::new(&folder).join(format!("own-{:016x}", fastrand::u64(..))), &[]),
            Err(_) => Self::printed_by(&script(&["start"], &[])),
        }
    }

    /// A new server in a folder that its user can reach, with variables in its environment.
    pub fn own_in(folder: &Path, variables: &[(&str, &Path)]) -> Arc<Self> {
        Self::printed_by(&script(&["start", folder.to_str().expect("a plain path")], variables))
    }

    fn printed_by(output: &Output) -> Arc<Self> {
        let lines = String::from_utf8(output.stdout.clone()).unwrap();
        let variables =
            lines.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into()));
        Arc::new(Self::from(&variables.collect(), true).expect("the script prints the environment"))
    }

    fn from(variables: &HashMap<String, String>, is_own: bool) -> Option<Self> {
        let url = variables.get(PREFIX)?;
        let port = url.rsplit(':').next()?.split('/').next()?.parse().ok()?;
        let place = |(name, value): (&String, &String)| Some((name.strip_prefix(PREFIX)?.to_owned(), value.into()));
        let places: HashMap<String, PathBuf> = variables.iter().filter_map(place).collect();
        let password = std::fs::read_to_string(places.get("_PASSWORD_FILE")?).ok()?.trim().to_owned();
        Some(Self { port, password, places, is_own })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The CA of the server's certificate, which names `127.0.0.1` and `localhost`.
    pub fn ca_file(&self) -> &Path {
        self.place("_CA_FILE")
    }

    /// The folder of the Unix socket.
    pub fn socket(&self) -> &Path {
        self.place("_SOCKET")
    }

    /// The data directory: all heap and write-ahead log files.
    pub fn data(&self) -> &Path {
        self.place("_DATA")
    }

    /// The folder of `psql`, `pg_dump` and the like.
    pub fn programs(&self) -> &Path {
        self.place("_BIN")
    }

    /// Whether it serves one test only.
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    /// Ends it in order.
    pub fn halt(&self) {
        self.control("halt");
    }

    /// Ends it and all of its processes at once (SIGKILL).
    pub fn kill(&self) {
        self.control("kill");
    }

    /// Starts it after [`Self::halt`] or [`Self::kill`], and waits until it takes connections.
    pub fn start(&self) {
        self.control("start");
    }

    /// Runs statements as the superuser. Returns the rows, one in a line.
    pub fn tell(&self, database: &str, statements: &str) -> String {
        let output = self.attempt(database, statements);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said} in {statements}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn attempt(&self, database: &str, statements: &str) -> Output {
        self.psql("postgres", &self.password, database, statements)
    }

    /// A program of PostgreSQL that connects as this role, through the Unix socket.
    pub fn program(&self, name: &str, role: &str, password: &str) -> Command {
        let mut command = Command::new(self.programs().join(name));
        command.arg("--host").arg(self.socket()).args(["--port", &self.port.to_string(), "--username", role]);
        command.arg("--no-password").env("PGPASSWORD", password);
        command
    }

    /// The password of the superuser.
    pub fn password(&self) -> &str {
        &self.password
    }

    pub(crate) fn psql(&self, role: &str, password: &str, database: &str, statements: &str) -> Output {
        let mut command = self.program("psql", role, password);
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]);
        command.args(["--dbname", database]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("psql runs");
        let mut input = child.stdin.take().expect("a pipe");
        let statements = statements.to_owned();
        let writer = std::thread::spawn(move || input.write_all(statements.as_bytes()));
        let output = child.wait_with_output().unwrap();
        // psql that failed has not read everything.
        let _said = writer.join();
        output
    }

    fn place(&self, name: &str) -> &Path {
        self.places.get(name).unwrap_or_else(|| panic!("{PREFIX}{name} is missing; {NONE}"))
    }

    fn control(&self, command: &str) {
        assert!(self.is_own, "other tests use this server");
        script(&[command, self.place("_FOLDER").to_str().expect("a plain path")], &[]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_own && !std::thread::panicking() {
            self.control("stop");
        } else if self.is_own {
            let _gone = Command::new(script_file()).arg("stop").arg(self.place("_FOLDER")).status();
        }
    }
}

fn script(arguments: &[&str], variables: &[(&str, &Path)]) -> Output {
    let output = Command::new(script_file())
        .args(arguments)
        .envs(variables.iter().copied())
        .output()
        .expect("scripts/postgres.sh runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn script_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres.sh")
}
