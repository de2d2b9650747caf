//! What docs/operations.md says of PostgreSQL, done on a server of its own: set up, backed up, restored.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use system_tests::{Engine, Installation, only_on, repository};
use test_postgres::Server;

use super::documents::commands;

/// What stands for a host of the manual, and where it is in this test.
const HOSTS: [(&str, &str); 2] = [("192.0.2.10/32", "127.0.0.1/32"), ("database.example:5432", "127.0.0.1:PORT")];
const PASSWORD: &str = "a long random password";

/// The block of the manual that has this text.
fn block(kind: &str, part: &str) -> String {
    let text = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let start = format!("```{kind}\n");
    let mut blocks = text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(part)).expect("the manual has it").to_owned()
}

fn here(text: &str, server: &Server, folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    let text = HOSTS.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here));
    let text = text.replace("PORT", &server.port().to_string());
    text.replace("/var/lib/splitvault-vault/tls", folder).replace("/var/lib/splitvault-vault", folder)
}

/// Runs a command of the server's superuser. Without a terminal, so that a prompt reads the input.
fn run(server: &Server, folder: &Path, line: &str, input: &str) -> Output {
    let command = line.strip_prefix("sudo -u postgres ").unwrap().replace("/var/backups", folder.to_str().unwrap());
    let path = format!("{}:{}", server.programs().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("setsid");
    shell.args(["--wait", "bash", "-c", &command]).env("PATH", path).env("PGUSER", "postgres");
    shell.env("PGHOST", server.socket()).env("PGPORT", server.port().to_string()).env("PGPASSWORD", server.password());
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn run_well(server: &Server, folder: &Path, line: &str, input: &str) {
    let output = run(server, folder, line, input);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether the role gets in with this, over TCP.
fn gets_in(server: &Server, connection: &str) -> bool {
    let mut psql = Command::new(server.programs().join("psql"));
    psql.arg(format!("host=127.0.0.1 port={} user=splitvault_vault {connection}", server.port()));
    psql.args(["--no-psqlrc", "--command=SELECT 1"]).env("PGPASSWORD", PASSWORD);
    psql.output().unwrap().status.success()
}

#[tokio::test]
async fn postgres_chapter_of_the_operations_manual_sets_a_vault_up_backs_it_up_and_restores_it() {
    if !only_on(Engine::Sqlite, "it makes its database itself") {
        return;
    }
    let lines = commands("docs/operations.md").into_iter().filter(|line| line.starts_with("sudo -u postgres "));
    let lines: Vec<String> = lines.collect();
    let (set_up, rest) = lines.split_at(4);
    let (reload, set_up) = set_up.split_last().unwrap();
    let (back_up, restore) = rest.split_at(2);
    assert_eq!(restore.len(), 4, "{lines:?}");
    let (server, place) = (Server::own(), tempfile::tempdir().unwrap());
    let folder = place.path();

    for line in set_up {
        run_well(&server, folder, line, &format!("{PASSWORD}\n{PASSWORD}\n"));
    }
    let rules = server.data().join("pg_hba.conf");
    let before = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, here(&block("text", "hostssl"), &server, folder) + &before).unwrap();
    run_well(&server, folder, reload, "");
    let own = "dbname=splitvault_vault";
    assert!(gets_in(&server, &format!("{own} sslmode=require")));
    assert!(!gets_in(&server, &format!("{own} sslmode=disable")), "in the clear");
    assert!(!gets_in(&server, "dbname=postgres sslmode=require"), "another database");

    let config = here(&block("toml", "postgres://splitvault_vault@"), &server, folder);
    let (database, table) = config.split_once("[postgres]").unwrap();
    let database = database.lines().find(|line| line.starts_with("database = ")).unwrap();
    let carried = tempfile::tempdir().unwrap();
    fs::write(carried.path().join("database-password"), PASSWORD).unwrap();
    fs::copy(server.ca_file(), carried.path().join("database-ca.pem")).unwrap();
    for line in commands("docs/operations.md").iter().filter(|line| line.starts_with("sudo install ")) {
        let line = line.replace("sudo ", "").replace(" -o splitvault-vault -g splitvault-vault", "");
        let mut shell = Command::new("bash");
        let installed = shell.args(["-c", &here(&line, &server, folder)]).current_dir(carried.path()).status().unwrap();
        assert!(installed.success(), "{line}");
    }
    let builder = Installation::builder().vault_setting(database).vault_table(&format!("[postgres]{table}"));
    let mut installation = builder.running().await;
    let (kept, revoked) = (installation.store("kept").await, installation.store("revoked").await);
    let encrypted =
        "SELECT count(*) > 0 AND bool_and(version = 'TLSv1.3') FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE usename = 'splitvault_vault'";
    assert_eq!(server.tell("postgres", encrypted), "t");

    // The file is of the superuser of the server, whose part this process plays.
    for line in back_up {
        run_well(&server, folder, line, "");
    }
    installation.revoke(&revoked.jti).await;
    let lost = installation.store("lost").await;
    installation.vault.stop().await;
    for line in restore {
        run_well(&server, folder, line, "");
    }
    installation.vault.start().await;
    installation.ready().await;
    assert!(!installation.opens(&revoked).await);
    let token = installation.mint(&[(&kept.key_id, 1)]).await.expect(201).text("access_token");
    assert_eq!(installation.read(&kept.key_id, &token).await.expect(200).text("decrypted_key"), "kept");
    assert!(!installation.opens(&lost).await);
    assert!(installation.opens(&installation.store("later").await).await);
    let again = run(&server, folder, "sudo -u postgres dropdb splitvault_vault", "");
    assert!(!again.status.success(), "the service is connected");
}
