//! One service: its files, and its process while it runs.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use test_postgres::Database;

use crate::history::audit_segments;
use crate::http::{Answer, Call};
use crate::wait::{DEADLINE, PAUSE, wait_until};

/// One service of an installation. Its process is killed when this is dropped.
#[derive(Debug)]
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) sabotage: Option<String>,
    pub(crate) port: u16,
    pub(crate) head: String,
    /// Without one it keeps its data in SQLite.
    pub(crate) database: Option<Arc<Database>>,
    /// Reaches the database through its socket: the certificates of its server are of today.
    pub(crate) uses_socket: bool,
    listen: Option<String>,
    pub(crate) settings: Vec<String>,
    pub(crate) tables: Vec<String>,
    environment: Vec<(String, PathBuf)>,
    shell: Option<String>,
    process: Option<Child>,
}

impl Service {
    pub(crate) fn new(name: &'static str, root: &Path, binary: PathBuf) -> Self {
        let folder = root.join(name);
        crate::keys::make_folder(&folder);
        let (head, settings, tables) = (String::new(), Vec::new(), Vec::new());
        let (port, environment) = (free_port(), Vec::new());
        Self {
            name,
            folder,
            binary,
            sabotage: None,
            port,
            head,
            database: None,
            uses_socket: false,
            listen: None,
            settings,
            tables,
            environment,
            shell: None,
            process: None,
        }
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Its key folder.
    pub fn keys(&self) -> PathBuf {
        self.folder.join("keys")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("config.toml")
    }

    /// `encrypted-vault` or `master-key-manager`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The port on which it listens, the same after each restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the service runs").id()
    }

    /// What it has logged, from its first start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Waits until it has logged this: a line is written by another thread than the one that answers.
    pub async fn has_logged(&self, text: &str) {
        wait_until(&format!("{} logs {text}", self.name), async || self.log().contains(text)).await;
    }

    /// Its audit lines, from all segments.
    pub fn audit(&self) -> Vec<serde_json::Value> {
        let segments = audit_segments(&self.data()).into_iter();
        let text: String = segments.map(|(_, path)| std::fs::read_to_string(path).unwrap_or_default()).collect();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// A request to it.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.port, method, path)
    }

    /// A request to its operator's listener.
    ///
    /// # Errors
    /// No answer arrives.
    pub async fn ask_as_operator(&self, path: &str) -> std::io::Result<Answer> {
        Call::new(self.port, "GET", path).try_send_to_socket(&self.data().join("operator.sock")).await
    }

    /// Whether `/health/ready` says so.
    pub async fn is_ready(&self) -> bool {
        self.call("GET", "/health/ready").try_send().await.is_ok_and(|answer| answer.status == 200)
    }

    /// The words of the operator's `/health/ready`, without the settings of the installation; none when it does not answer.
    pub async fn readiness(&self) -> Vec<String> {
        let Ok(answer) = self.ask_as_operator("/health/ready").await else { return Vec::new() };
        let text = String::from_utf8(answer.body).unwrap();
        text.split(' ')
            .filter(|word| *word != "development" && !word.starts_with("danger."))
            .map(str::to_owned)
            .collect()
    }

    /// Adds a line to the configuration, as `workers = 1`. It counts from the next start.
    pub fn set(&mut self, line: &str) {
        let key = line.split('=').next().unwrap_or_default().trim().to_owned();
        self.settings.retain(|known| known.split('=').next().unwrap_or_default().trim() != key);
        self.settings.push(line.to_owned());
        self.write_config();
    }

    /// Adds a variable to the environment of the process, as `LD_PRELOAD`. It counts from the next start.
    pub fn set_variable(&mut self, name: &str, value: &Path) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Takes a line out of the configuration again.
    pub fn unset(&mut self, line: &str) {
        self.settings.retain(|known| known != line);
        self.write_config();
    }

    /// Adds a table to the configuration. It counts from the next start.
    pub fn add_table(&mut self, text: &str) {
        self.tables.push(text.to_owned());
        self.write_config();
    }

    /// Takes a table out of the configuration again.
    pub fn remove_table(&mut self, text: &str) {
        self.tables.retain(|known| known != text);
        self.write_config();
    }

    /// Changes what the configuration says of mode, runtime directory or the vault's address.
    pub fn replace_in_head(&mut self, from: &str, to: &str) {
        assert!(self.head.contains(from), "{}", self.head);
        self.head = self.head.replace(from, to);
        self.write_config();
    }

    /// Listens elsewhere; on its own port again when `address` is empty.
    pub fn listen_on(&mut self, address: &str) {
        self.listen = Some(address.to_owned()).filter(|address| !address.is_empty());
        self.write_config();
    }

    /// Starts the process and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub async fn start(&mut self) {
        if let Some(refusal) = self.try_start().await {
            panic!("{} does not start: {refusal}", self.name);
        }
    }

    /// Starts the process and waits until it listens, or ends; then the answer is what it said.
    pub async fn try_start(&mut self) -> Option<String> {
        let before = self.log().len();
        self.launch();
        self.listens().await.map(|()| self.log().split_off(before))
    }

    /// Starts the process with another stream for its log, and waits until it listens.
    ///
    /// # Panics
    ///
    /// When it ends instead.
    pub async fn start_logging_to(&mut self, stream: Stdio) {
        let mut command = self.command(&["run"]);
        command.stdout(Stdio::null()).stderr(stream);
        self.spawn(command);
        assert!(self.listens().await.is_none(), "{} ends", self.name);
    }

    /// Has a shell do something before it becomes the service, as `ulimit -n 256`. It counts from the next start.
    pub fn set_shell(&mut self, line: &str) {
        self.shell = Some(line.to_owned()).filter(|line| !line.is_empty());
    }

    /// Runs another command with another standard output and standard error to its end.
    pub fn run_printing_to(&self, arguments: &[&str], output: Stdio, error: Stdio) -> ExitStatus {
        let mut command = self.command(arguments);
        command
            .stdout(output)
            .stderr(error)
            .status()
            .unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    /// Waits until it listens; something when it ends instead.
    async fn listens(&mut self) -> Option<()> {
        let deadline = Instant::now() + DEADLINE;
        while !self.ready_file().exists() {
            if !self.is_running() {
                self.process = None;
                return Some(());
            }
            assert!(Instant::now() < deadline, "{} does not listen: {}", self.name, self.log());
            tokio::time::sleep(PAUSE).await;
        }
        None
    }

    /// Starts the process and waits for nothing.
    pub fn launch(&mut self) {
        let log = File::options().append(true).create(true).open(self.log_file()).unwrap();
        let mut command = self.command(&["run"]);
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.spawn(command);
    }

    fn spawn(&mut self, mut command: Command) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        self.write_config();
        let _gone = std::fs::remove_file(self.ready_file());
        let child =
            command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()));
        self.process = Some(child);
    }

    /// Asks it to end (SIGTERM) and waits.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait().await
    }

    /// Sends SIGTERM without waiting.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> ExitStatus {
        let mut child = self.process.take().expect("the service runs");
        let mut status = None;
        wait_until(&format!("{} ends", self.name), async || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap()
    }

    /// Ends it at once (SIGKILL).
    pub fn kill(&mut self) {
        let mut child = self.process.take().expect("the service runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Freezes the process (SIGSTOP), or lets it go on: a peer that neither answers nor hangs up.
    pub fn freeze(&self, frozen: bool) {
        self.signal(if frozen { Signal::STOP } else { Signal::CONT });
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Stops and starts it.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start().await;
    }

    /// Runs another command of the service to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    /// Runs another command, which must succeed; the answer is what it printed.
    pub fn run_well(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} {arguments:?}: {said}", self.name);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn write_config(&self) {
        let listen = self.listen.clone().unwrap_or_else(|| format!("127.0.0.1:{}", self.port));
        let (settings, tables) = (self.settings.join("\n"), self.tables.join("\n"));
        let (address, table) =
            self.database.as_ref().map(|database| lines_for(database, self.uses_socket)).unwrap_or_default();
        let text = format!(
            "{}{address}listen = \"{listen}\"\ndata_dir = \"data\"\nkey_dir = \"keys\"\nready_file = \"ready\"\n{settings}\n{tables}\n{table}",
            self.head
        );
        std::fs::write(self.config(), text).unwrap();
        std::fs::set_permissions(self.config(), std::fs::Permissions::from_mode(0o644)).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.shell.as_ref().map_or(self.binary.as_path(), |_| Path::new("sh")));
        if let Some(line) = &self.shell {
            command.args(["-c", &format!("{line}; exec \"$@\""), "sh"]).arg(&self.binary);
        }
        command.arg("--config").arg(self.config()).args(arguments);
        command.env_remove("SPLITVAULT_SABOTAGE").envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(switches) = &self.sabotage {
            command.env("SPLITVAULT_SABOTAGE", switches);
        }
        command
    }

    fn ready_file(&self) -> PathBuf {
        self.folder.join("ready")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    pub(crate) fn process_id(&self) -> Pid {
        i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a pid")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.process_id(), signal).expect("the process is ours");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.process {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let first = log.lines().filter(|line| line.contains("\"ERROR\"")).take(5);
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let lines: Vec<&str> = first.chain(tail.into_iter().rev()).collect();
            // Captured by the test runner and shown with the failed test.
            #[expect(clippy::print_stderr, reason = "the last words of a service explain the failure")]
            {
                eprintln!("--- last lines of {} ---\n{}", self.name, lines.join("\n"));
            }
        }
    }
}

/// The line and the table of a configuration that lead to a database.
fn lines_for(database: &Database, uses_socket: bool) -> (String, String) {
    let password = database.password_file();
    let (url, ca_file) = if uses_socket {
        (database.socket_url(), String::new())
    } else {
        (database.url(), format!("ca_file = \"{}\"\n", database.ca_file().display()))
    };
    let password = password.display();
    (
        format!("database = \"{url}\"\n"),
        format!("[postgres]\npassword_file = \"{password}\"\n{ca_file}connect_timeout_ms = 30000\n"),
    )
}

/// A port that is free now, below the range from which the kernel takes ports of outgoing connections: it stays free
/// while its service is down.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id();
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        // Processes that run at the same time begin far from each other; 37 is coprime to the size of the range.
        let offset = (start.wrapping_mul(977).wrapping_add(step * 37)) % 20_000;
        let port = 11_000 + u16::try_from(offset).unwrap_or(0);
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
