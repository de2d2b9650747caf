//! One database, and the role that owns it.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tempfile::TempDir;

use crate::server::Server;

/// A database that a role of its own owns, as docs/operations.md makes it. Both are removed when this and its copies are
/// dropped.
#[derive(Debug)]
pub struct Database {
    name: String,
    role: Arc<Role>,
}

#[derive(Debug)]
struct Role {
    server: Arc<Server>,
    name: String,
    password: String,
    folder: TempDir,
}

impl Database {
    /// An empty database on the server of the environment.
    pub fn create() -> Self {
        Self::create_on(&Server::of_environment())
    }

    /// An empty database on a server.
    pub fn create_on(server: &Arc<Server>) -> Self {
        let (name, password) = (random_name(), format!("{:032x}", fastrand::u128(..)));
        server.tell(
            "postgres",
            &format!(
                "CREATE ROLE {name} LOGIN PASSWORD '{password}';
                 CREATE DATABASE {name} OWNER {name};
                 REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
            ),
        );
        let folder = tempfile::tempdir().unwrap();
        let role = Role { server: Arc::clone(server), name: name.clone(), password, folder };
        write_private(&role.password_file(), &role.password);
        Self { name, role: Arc::new(role) }
    }

    /// The setting `database` of a service, over TCP.
    pub fn url(&self) -> String {
        format!("postgres://{}@127.0.0.1:{}/{}", self.role.name, self.server().port(), self.name)
    }

    /// The setting `database` of a service, over the Unix socket.
    pub fn socket_url(&self) -> String {
        let host = self.server().socket().to_str().expect("a plain path").replace('/', "%2F");
        format!("postgres://{}@{host}:{}/{}", self.role.name, self.server().port(), self.name)
    }

    /// The file with the role's password.
    pub fn password_file(&self) -> PathBuf {
        self.role.password_file()
    }

    /// The CA of the server's certificate.
    pub fn ca_file(&self) -> &Path {
        self.server().ca_file()
    }

    /// The database for a program that knows addresses of libpq, as the superuser.
    pub fn superuser_address(&self) -> String {
        let server = self.server();
        format!("postgresql://postgres:{}@127.0.0.1:{}/{}", server.password(), server.port(), self.name)
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the role.
    pub fn role(&self) -> &str {
        &self.role.name
    }

    /// Its server.
    pub fn server(&self) -> &Arc<Server> {
        &self.role.server
    }

    /// The only column of the only row of a query. Asked as the superuser.
    pub fn ask(&self, query: &str) -> String {
        self.server().tell(&self.name, query)
    }

    /// Runs statements as the superuser.
    pub fn alter(&self, statements: &str) {
        self.server().tell(&self.name, statements);
    }

    /// Whether the role may run these statements.
    pub fn role_may(&self, statements: &str) -> bool {
        self.server().psql(&self.role.name, &self.role.password, &self.name, statements).status.success()
    }

    /// Ends all connections of the role.
    pub fn disconnect(&self) {
        let query = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '{}' AND datname = '{}'",
            self.role.name, self.name
        );
        self.server().tell("postgres", &query);
    }

    /// A copy with the same owner. Nobody may be connected to this one.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self { name: random_name(), role: Arc::clone(&self.role) };
        copy.make_from(&self.name);
        copy
    }

    /// Replaces the content by that of a copy. Ends all connections to this one; nobody may be connected to the copy.
    pub fn put_back(&self, copy: &Self) {
        self.remove();
        self.make_from(&copy.name);
    }

    /// Writes a dump in the custom format, from a snapshot that any serial order of the transactions gives.
    pub fn dump(&self, file: &Path) {
        // It would be open to others.
        write_private(file, "");
        let mut command = self.program("pg_dump");
        command.args(["--format=custom", "--serializable-deferrable", "--file"]).arg(file);
        run(command.args(["--dbname", &self.name]));
    }

    /// Writes a dump as the text of statements.
    pub fn dump_text(&self, file: &Path) {
        run(self.program("pg_dump").arg("--file").arg(file).args(["--dbname", &self.name]));
    }

    /// Writes a dump as statements that any role may run, on a server of the same version or a newer one.
    pub fn dump_statements(&self, file: &Path) {
        let mut command = self.program("pg_dump");
        command.args(["--no-owner", "--no-privileges", "--inserts", "--file"]).arg(file);
        run(command.args(["--dbname", &self.name]));
        let text = std::fs::read_to_string(file).unwrap();
        // Settings of the session, and commands of a program, are not the database's.
        let kept = |line: &&str| !["SET ", "\\", "--"].iter().any(|start| line.starts_with(start)) && !line.is_empty();
        std::fs::write(file, text.lines().filter(kept).flat_map(|line| [line, "\n"]).collect::<String>()).unwrap();
    }

    /// Replaces the content by what such statements make. Ends all connections.
    pub fn load_statements(&self, file: &Path) {
        self.remove();
        self.make_from("template0");
        let statements = std::fs::read_to_string(file).unwrap();
        let output = self.server().psql(&self.role.name, &self.role.password, &self.name, &statements);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Replaces the content by that of a dump. Ends all connections.
    pub fn restore(&self, file: &Path) {
        self.remove();
        self.make_from("template0");
        let mut command = self.program("pg_restore");
        run(command.args(["--exit-on-error", "--single-transaction", "--dbname", &self.name]).arg(file));
    }

    /// A program of PostgreSQL that connects as the role.
    pub fn program(&self, name: &str) -> Command {
        self.server().program(name, &self.role.name, &self.role.password)
    }

    fn make_from(&self, template: &str) {
        let (name, owner) = (&self.name, &self.role.name);
        let statements = format!(
            "CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}; REVOKE ALL ON DATABASE {name} FROM PUBLIC;"
        );
        self.server().tell("postgres", &statements);
    }

    fn remove(&self) {
        self.server().tell("postgres", &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

impl Role {
    fn password_file(&self) -> PathBuf {
        self.folder.path().join("password")
    }

    /// Runs statements whose failure changes nothing: the server may have ended.
    fn clean_up(&self, statements: &str) {
        let _gone = self.server.attempt("postgres", statements);
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        self.role.clean_up(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        self.clean_up(&format!("DROP ROLE IF EXISTS {}", self.name));
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn random_name() -> String {
    format!("splitvault_test_{:016x}", fastrand::u64(..))
}

fn write_private(file: &Path, text: &str) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    file.and_then(|mut file| file.write_all(text.as_bytes())).unwrap();
}
