//! How an installation is made.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use test_postgres::Server;

use crate::database;
use crate::installation::Installation;
use crate::keys::{make_folder, token_signing, transport, write_private};
use crate::proxy::Proxy;
use crate::service::Service;
use crate::{binaries, target_dir};

/// An installation to be made.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Builder {
    production: bool,
    https: bool,
    recorded: bool,
    apart: bool,
    vault_server: Option<Arc<Server>>,
    vault_switches: Option<String>,
    manager_switches: Option<String>,
    vault_settings: Vec<String>,
    manager_settings: Vec<String>,
    vault_tables: Vec<String>,
    manager_tables: Vec<String>,
}

impl Builder {
    /// In production mode.
    #[must_use]
    pub fn production(mut self) -> Self {
        self.production = true;
        self
    }

    /// With an `https` address of the vault; the tables of both services say the rest.
    #[must_use]
    pub fn https(mut self) -> Self {
        self.https = true;
        self
    }

    /// With a proxy between manager and vault.
    #[must_use]
    pub fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// With a database server for each service, if they use one: nothing of the one lies among the files of the other.
    #[must_use]
    pub fn apart(mut self) -> Self {
        self.apart = true;
        self
    }

    /// With the vault's database on this server, if it uses one.
    #[must_use]
    pub fn vault_on(mut self, server: &Arc<Server>) -> Self {
        self.vault_server = Some(Arc::clone(server));
        self
    }

    /// With weaknesses in vault and manager: comma lists of their switches, empty for none.
    #[must_use]
    pub fn sabotaged(mut self, vault: &str, manager: &str) -> Self {
        self.vault_switches = Some(vault.to_owned()).filter(|list| !list.is_empty());
        self.manager_switches = Some(manager.to_owned()).filter(|list| !list.is_empty());
        self
    }

    /// With a line in the vault's configuration, as `log = "trace"`.
    #[must_use]
    pub fn vault_setting(mut self, line: &str) -> Self {
        self.vault_settings.push(line.to_owned());
        self
    }

    /// With a line in the manager's configuration, as `token_life_seconds = 2`.
    #[must_use]
    pub fn manager_setting(mut self, line: &str) -> Self {
        self.manager_settings.push(line.to_owned());
        self
    }

    /// With a table in the vault's configuration, as `[audit]` and its lines.
    #[must_use]
    pub fn vault_table(mut self, text: &str) -> Self {
        self.vault_tables.push(text.to_owned());
        self
    }

    /// With a table in the manager's configuration.
    #[must_use]
    pub fn manager_table(mut self, text: &str) -> Self {
        self.manager_tables.push(text.to_owned());
        self
    }

    /// Makes it, and starts both services.
    pub async fn running(self) -> Installation {
        let mut installation = self.make();
        installation.start().await;
        installation
    }

    /// Makes it: keys, `init` of both services, pins. Nothing runs yet.
    pub fn make(self) -> Installation {
        let folder = TempDir::with_prefix("splitvault-test-").unwrap();
        let runtime = runtime_folder();
        let mode = if self.production { "production" } else { "development" };
        let scheme = if self.https { "https" } else { "http" };
        let mut vault = service("encrypted-vault", self.vault_switches.clone(), &folder);
        let mut manager = service("master-key-manager", self.manager_switches.clone(), &folder);
        let proxy = self.recorded.then(|| Proxy::start(vault.port));
        let vault_port = proxy.as_ref().map_or(vault.port, Proxy::port);
        let runtime_dir = runtime.path().join("runtime");
        vault.head = format!("mode = \"{mode}\"\nruntime_dir = \"{}\"\n", runtime_dir.display());
        manager.head = format!("mode = \"{mode}\"\nvault_url = \"{scheme}://127.0.0.1:{vault_port}\"\n");
        vault.settings = self.vault_settings;
        manager.settings = ["poll_interval_ms = 50".to_owned()].into_iter().chain(self.manager_settings).collect();
        vault.tables = self.vault_tables;
        manager.tables = self.manager_tables;
        if self.production {
            // The machine of a test may have swap; what that means is tested apart.
            vault.tables.push("[danger]\nswap = true\nruntime_on_disk = true".to_owned());
        }
        vault.database = database::of_service(self.apart, self.vault_server.as_ref()).map(Arc::new);
        manager.database = database::of_service(self.apart, None).map(Arc::new);
        for service in [&mut vault, &mut manager] {
            if !service.tables.iter().any(|table| table.starts_with("[audit]")) {
                // So that an audit log of a test has several segments.
                service.tables.push("[audit]\nsegment_bytes = 16_384".to_owned());
            }
        }
        transport().write(&vault.keys(), "transport");
        token_signing().write(&manager.keys(), "token-signing");
        let credential = folder.path().join("admin-credential");
        for service in [&vault, &manager] {
            service.write_config();
        }
        vault.run_well(&["init"]);
        manager.run_well(&["init", "--credential-file", credential.to_str().unwrap()]);
        let installation = Installation { vault, manager, proxy, credential, runtime_dir, _runtime: runtime, folder };
        installation.place_pins();
        installation
    }
}

impl Installation {
    /// Copies each identity document to where the other service looks for its pin.
    pub(crate) fn place_pins(&self) {
        for (from, to, name) in [(&self.vault, &self.manager, "vault"), (&self.manager, &self.vault, "manager")] {
            let document = std::fs::read(from.keys().join("identity.json")).unwrap();
            write_private(&to.keys().join(format!("pins/{name}.json")), &document);
        }
    }
}

fn service(name: &'static str, switches: Option<String>, folder: &TempDir) -> Service {
    let binaries = match switches {
        Some(_) => sabotaged_binaries(),
        None => binaries(),
    };
    let binary = binaries.join(name);
    assert!(binary.exists(), "{} is missing; scripts/test.sh builds it", binary.display());
    let mut service = Service::new(name, folder.path(), binary);
    service.sabotage = switches;
    make_folder(&service.keys());
    service
}

fn sabotaged_binaries() -> PathBuf {
    std::env::var_os("SPLITVAULT_SABOTAGED_BIN_DIR").map_or_else(|| target_dir().join("sabotaged"), PathBuf::from)
}

/// In memory where there is memory, as in production.
fn runtime_folder() -> TempDir {
    let memory = std::path::Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("splitvault-test-").tempdir_in(memory);
    made.or_else(|_| TempDir::with_prefix("splitvault-test-")).unwrap()
}
