//! Both services over TLS with certificates of a private CA.

use std::path::{Path, PathBuf};
use std::process::Command;

use client::manager_api::name::{EnvironmentName, UserLabel};
use client::shared_proto::id::SecretId;
use client::shared_proto::secret::{SecretValue, ValueEncoding};
use client::{Client, Credential, NewSecret, Stored};
use system_tests::certificates::{Authority, Purpose};
use system_tests::{Builder, Installation, Service, repository, wait_until};
use tempfile::TempDir;

const MANAGER: &str = "manager.test";
const VALID: (i64, i64) = (-1, 90);

/// The tables of both configurations, with the files where `scripts/make-certificates.sh` puts them.
fn with_tls(builder: Builder, certificates: &Path) -> Builder {
    let pair = |host: &str, name: &str| {
        let folder = certificates.join(host);
        format!("certificate = \"{0}/{name}.pem\"\nkey = \"{0}/{name}.key\"\n", folder.display())
    };
    let ca = |host: &str| certificates.join(host).join("ca.pem").display().to_string();
    let client = format!("client_ca = \"{}\"\nclient_name = \"{MANAGER}\"\n", ca("encrypted-vault"));
    builder
        .vault_table(&format!("[tls]\n{}{client}", pair("encrypted-vault", "listener")))
        .manager_table(&format!("[tls]\n{}", pair("master-key-manager", "listener")))
        .manager_table(&format!(
            "[vault_tls]\nca = \"{}\"\n{}",
            ca("master-key-manager"),
            pair("master-key-manager", "client")
        ))
}

fn make(builder: Builder, certificates: &Path) -> Installation {
    // Polls that bring nothing are logged, too: these tests look for commands that were obeyed.
    let builder = builder.https().vault_setting("log = \"info,service_runtime=debug\"");
    with_tls(builder, certificates).make()
}

/// Certificates as the script makes them, from a CA of this test.
struct Files {
    folder: TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let (folder, authority) = (TempDir::new().unwrap(), Authority::new());
        let files = Self { folder, authority };
        for host in ["encrypted-vault", "master-key-manager"] {
            std::fs::create_dir(files.of(host)).unwrap();
            files.authority.write(&files.of(host), "ca.pem");
            files.authority.issue(&files.of(host), "listener", "127.0.0.1", Purpose::Server, VALID);
        }
        files.client(&files.authority, MANAGER, VALID);
        files
    }

    fn of(&self, host: &str) -> PathBuf {
        self.folder.path().join(host)
    }

    fn client(&self, authority: &Authority, host: &str, days: (i64, i64)) {
        authority.issue(&self.of("master-key-manager"), "client", host, Purpose::Client, days);
    }

    fn vault(&self, authority: &Authority, host: &str, days: (i64, i64)) {
        authority.issue(&self.of("encrypted-vault"), "listener", host, Purpose::Server, days);
    }
}

fn client_of(installation: &Installation, ca: &Path) -> Client {
    let url = |service: &Service| format!("https://127.0.0.1:{}", service.port());
    let credential = Credential::parse(&installation.admin()).unwrap();
    Client::with_ca(&url(&installation.manager), &url(&installation.vault), ca, Some(credential)).unwrap()
}

async fn store(client: &Client, value: &str) -> Option<Stored> {
    let value = SecretValue::from_json(ValueEncoding::Text, value.to_owned().into()).unwrap();
    let environment = Some(EnvironmentName::parse("dev").unwrap());
    let secret = NewSecret { environment, ..NewSecret::new(UserLabel::parse("user123").unwrap(), value) };
    client.store(secret, None).await.ok()
}

/// Stores as soon as both services are ready for it, and reads.
async fn round_trip(client: &Client, value: &str) -> Stored {
    let mut stored = None;
    wait_until("a value is stored", async || {
        stored = store(client, value).await;
        stored.is_some()
    })
    .await;
    let stored = stored.unwrap();
    assert!(reads(client, &stored, stored.key_id).await);
    stored
}

async fn reads(client: &Client, stored: &Stored, key_id: SecretId) -> bool {
    client.read(&stored.token.as_ref().unwrap().access, key_id).await.is_ok()
}

async fn logs(service: &Service, from: usize, words: &[&str]) {
    wait_until(&format!("{} logs {words:?}", service.name()), async || {
        service.log()[from..].lines().any(|line| words.iter().all(|word| line.contains(word)))
    })
    .await;
}

#[tokio::test]
async fn installation_with_the_certificates_of_the_script_works_and_takes_renewed_ones_over() {
    let folder = TempDir::new().unwrap();
    let certificates = folder.path().join("certificates");
    let script = |options: &[&str]| {
        let mut command = Command::new(repository().join("scripts/make-certificates.sh"));
        command.arg("--out").arg(&certificates).args(options).args(["manager.test,127.0.0.1", "127.0.0.1"]);
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert_eq!(script(&[]), (true, String::new()));
    private_only(&certificates);
    let (made_again, said) = script(&[]);
    assert!(!made_again && said.contains("is not overwritten"), "{said}");

    let mut installation = make(Installation::builder().production(), &certificates);
    installation.vault.listen_on(&format!("0.0.0.0:{}", installation.vault.port()));
    installation.vault.start().await;
    installation.manager.start().await;
    let client = client_of(&installation, &certificates.join("ca/ca.pem"));
    let stored = round_trip(&client, "value").await;
    // Nothing is answered in the clear, and no other CA will do.
    assert!(!installation.vault.is_ready().await && !installation.manager.is_ready().await);
    let other = Authority::new().write(folder.path(), "other.pem");
    assert!(store(&client_of(&installation, &other), "value").await.is_none());

    let before = [installation.vault.log().len(), installation.manager.log().len()];
    assert_eq!(script(&["--renew"]), (true, String::new()));
    private_only(&certificates);
    logs(&installation.vault, before[0], &["certificates reloaded"]).await;
    // Its listener's and its client's.
    wait_until("both of the manager", async || {
        installation.manager.log()[before[1]..].matches("certificates reloaded").count() == 2
    })
    .await;
    round_trip(&client_of(&installation, &certificates.join("ca/ca.pem")), "after").await;
    assert!(reads(&client, &stored, stored.key_id).await);
    let jti = stored.token.as_ref().unwrap().jti;
    wait_until("it is revoked", async || {
        let answer = client.revoke_token(jti).await.unwrap();
        serde_json::to_value(answer).unwrap()["status"] == "revoked"
    })
    .await;
    assert!(!reads(&client, &stored, stored.key_id).await);
}

#[tokio::test]
async fn manager_with_a_bad_certificate_is_refused_with_a_line_on_both_sides() {
    let (files, stranger) = (Files::new(), Authority::new());
    let mut installation = make(Installation::builder(), files.folder.path());
    installation.vault.start().await;
    let peer = "\"peer\":\"127.0.0.1:";
    let cases = [
        (&files.authority, MANAGER, (-30, -1), "has expired", "refuses us"),
        (&files.authority, MANAGER, (1, 30), "not valid yet", "refuses us"),
        (&stranger, MANAGER, VALID, "not from our CA", "refuses us"),
        (&files.authority, "other.test", VALID, "of another name", ""),
    ];
    for (authority, host, days, at_vault, at_manager) in cases {
        files.client(authority, host, days);
        let before = [installation.vault.log().len(), installation.manager.log().len()];
        installation.manager.start().await;
        logs(&installation.vault, before[0], &["TLS peer refused", "\"side\":\"server\"", peer, at_vault]).await;
        if !at_manager.is_empty() {
            logs(&installation.manager, before[1], &["TLS peer refused", "\"side\":\"client\"", peer, at_manager])
                .await;
        }
        installation.manager.kill();
    }
    assert!(!installation.vault.log().contains("\"status\":200"), "a command was obeyed");
    files.client(&files.authority, MANAGER, VALID);
    installation.manager.start().await;
    round_trip(&client_of(&installation, &files.of("encrypted-vault").join("ca.pem")), "value").await;
}

#[tokio::test]
async fn vault_with_a_bad_certificate_is_sent_nothing_and_the_manager_says_why() {
    let (files, stranger) = (Files::new(), Authority::new());
    let mut installation = make(Installation::builder(), files.folder.path());
    let cases = [
        (&files.authority, "127.0.0.1", (-30, -1), "has expired"),
        (&files.authority, "127.0.0.1", (1, 30), "not valid yet"),
        (&files.authority, "other.test", VALID, "for another name"),
        (&stranger, "127.0.0.1", VALID, "not from our CA"),
    ];
    for (authority, host, days, why) in cases {
        files.vault(authority, host, days);
        installation.vault.start().await;
        let before = installation.manager.log().len();
        installation.manager.start().await;
        logs(&installation.manager, before, &["TLS peer refused", "\"side\":\"client\"", "127.0.0.1", why]).await;
        installation.manager.kill();
        installation.vault.kill();
    }
    assert!(!installation.vault.log().contains("\"route\""), "a request arrived: {}", installation.vault.log());
    files.vault(&files.authority, "127.0.0.1", VALID);
    installation.vault.start().await;
    installation.manager.start().await;
    round_trip(&client_of(&installation, &files.of("encrypted-vault").join("ca.pem")), "value").await;
    installation.vault.has_logged("\"route\":\"command.run\"").await;
}

#[tokio::test]
async fn broken_files_are_refused_with_a_line_and_an_end_within_two_weeks_is_told() {
    let files = Files::new();
    files.vault(&files.authority, "127.0.0.1", (-1, 13));
    let mut installation = make(Installation::builder(), files.folder.path());
    installation.vault.start().await;
    installation.manager.start().await;
    logs(&installation.vault, 0, &["expires within 14 days", "listener.pem", "\"expires\":"]).await;
    assert!(!installation.manager.log().contains("within 14 days"));
    let client = || client_of(&installation, &files.of("encrypted-vault").join("ca.pem"));
    round_trip(&client(), "value").await;

    let before = installation.vault.log().len();
    std::fs::write(files.of("encrypted-vault").join("listener.pem"), "half a certificate").unwrap();
    logs(&installation.vault, before, &["new certificates refused", "listener.pem"]).await;
    round_trip(&client(), "value").await;
    let before = installation.vault.log().len();
    files.vault(&files.authority, "127.0.0.1", VALID);
    logs(&installation.vault, before, &["certificates reloaded"]).await;
    round_trip(&client(), "value").await;
}

fn private_only(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            private_only(&entry.unwrap().path());
        }
    }
}
