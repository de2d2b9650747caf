//! The commands in the documents run as they stand there.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use system_tests::{Installation, binaries, repository};

/// The lines of the shell blocks of a document.
pub(super) fn commands(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join(document)).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// A copy of everything that a clone would have.
fn copy_of_the_repository(place: &Path) {
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(list.status.success());
    for name in list.stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).unwrap();
        let (from, to) = (repository().join(name), place.join(name));
        // A file that was deleted and not yet committed is listed all the same.
        if from.exists() {
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

fn run(place: &Path, command: &str) -> Output {
    Command::new("bash")
        .args(["-c", command])
        .current_dir(place)
        // What is tried are the scripts: a release build of the same programs takes minutes.
        .env("SPLITVAULT_BIN_DIR", binaries())
        // Or else the vault would leave one in shared memory.
        .env("RUNTIME_DIRECTORY", place.join("runtime"))
        .output()
        .unwrap()
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn quick_start_of_the_readme_does_what_it_says_on_a_fresh_clone() {
    assert_eq!(commands("README.md"), ["scripts/quickstart.sh", "scripts/test.sh"]);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    copy_of_the_repository(place);
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let (taken, vault) = (busy.local_addr().unwrap().port(), free_port());
    let quick_start = |manager: u16| format!("scripts/quickstart.sh --manager-port {manager} --vault-port {vault}");

    let refused = run(place, &quick_start(taken));
    assert!(!refused.status.success());
    assert!(shown(&refused).contains(&format!("port {taken} is taken")), "{}", shown(&refused));

    let manager = free_port();
    let first = run(place, &quick_start(manager));
    let text = shown(&first);
    let ended = Ended(place);
    assert!(first.status.success(), "{text}");
    for part in [
        r#"{"user_id": "user123", "key_data": "super_secret_value"}"#,
        r#""message":"Key stored successfully""#,
        r#""decrypted_key":"super_secret_value""#,
        r#""status":"revoked""#,
        r#""code":"token_invalid""#,
        "scripts/quickstart.sh --stop",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
    // It said that both go on running, and its next commands work.
    for command in text.lines().filter(|line| line.starts_with("  curl ")) {
        let command = command.split("          ").next().unwrap();
        let next = run(place, &command.replacen("curl ", "curl -fsS ", 1));
        assert!(next.status.success(), "{command}: {}", shown(&next));
    }
    let again = run(place, "scripts/quickstart.sh");
    assert!(again.status.success() && shown(&again).contains("runs already"), "{}", shown(&again));
    drop(ended);
    for port in [manager, vault] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "port {port} is still served");
    }
}

#[tokio::test]
async fn commands_of_the_operations_manual_run() {
    let installation = Installation::running().await;
    let mut ran = 0;
    for line in commands("docs/operations.md") {
        if line.starts_with("cargo build") {
            // The programs that are tried were built without --release.
            assert!(["master-key-manager", "encrypted-vault"].iter().any(|package| line.ends_with(package)), "{line}");
            continue;
        }
        if line.starts_with("scripts/make-certificates.sh") {
            let made = run(installation.folder(), &format!("{}/{line}", repository().display()));
            assert!(made.status.success(), "{}", shown(&made));
            assert!(installation.folder().join("certificates/encrypted-vault/listener.pem").exists());
            continue;
        }
        if line.starts_with("(umask 077; openssl rand 32 ") {
            let here = line.replace("/var/lib/splitvault-manager/keys/", "made-");
            let made = run(installation.folder(), &here);
            assert!(made.status.success(), "{}", shown(&made));
            let key = std::fs::read_to_string(installation.folder().join("made-sign-on.key")).unwrap();
            // 32 bytes in base64url without padding, as `init` writes them.
            assert_eq!(key.trim_end().len(), 43, "{line}");
            continue;
        }
        if line.starts_with("sudo -u postgres ") || line.starts_with("sudo install ") {
            // Run by postgres_manual.rs.
            continue;
        }
        if line.contains(" migrate-store ") || line.starts_with("sudo mv /etc/splitvault/") {
            // Done below.
            continue;
        }
        // What follows runs at an installation as docs/install.md makes it: the line names its user, and its files.
        let words: Vec<&str> = line.split(' ').collect();
        let ["sudo", "-u", user, program, option, file, arguments @ ..] = words.as_slice() else { panic!("{line}") };
        let services = [&installation.vault, &installation.manager];
        let service = services.into_iter().find(|service| deployed(service.name(), "systemd", "User=") == *user);
        let service = service.unwrap_or_else(|| panic!("no service has the user of {line}"));
        let data = deployed(service.name(), "", "data_dir = ");
        let data = Path::new(data.trim_matches('"'));
        ran += 1;
        if *program == "curl" {
            assert_eq!((*option, Path::new(file)), ("--unix-socket", data.join("operator.sock").as_path()), "{line}");
            let socket = service.data().join("operator.sock");
            let url = arguments.join(" ");
            let asked = run(installation.folder(), &format!("curl -s --unix-socket {} {url}", socket.display()));
            assert!(shown(&asked).contains("ready development"), "{}", shown(&asked));
            continue;
        }
        let installed = deployed(service.name(), "systemd", "ExecStart=");
        assert_eq!(format!("{program} {option} {file} run"), installed, "{line}");
        if let ["backup", target] = arguments {
            let target = Path::new(target);
            // The home of the service's user, into which he may write.
            assert_eq!(target.parent(), data.parent(), "{line}");
            let copy = installation.folder().join(target.file_name().unwrap());
            service.back_up(&copy);
        } else {
            assert_eq!(arguments[0], "rotate-keys", "{line}");
            service.run_well(arguments);
        }
    }
    assert_eq!(ran, 12);
}

#[tokio::test]
async fn moving_between_engines_goes_as_the_operations_manual_says_there_and_back() {
    let mut installation = Installation::running().await;
    let (kept, revoked) = (installation.store("kept").await, installation.store("revoked").await);
    installation.revoke(&revoked.jti).await;
    let lines: Vec<_> =
        commands("docs/operations.md").into_iter().filter(|line| line.contains(" migrate-store ")).collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for _there_and_back in 0..2 {
        for line in &lines {
            let services = [&mut installation.vault, &mut installation.manager];
            let service = services.into_iter().find(|service| line.contains(&format!("/{} ", service.name()))).unwrap();
            let (user, run) =
                (deployed(service.name(), "systemd", "User="), deployed(service.name(), "systemd", "ExecStart="));
            let [program, "--config", file, "run"] = run.split(' ').collect::<Vec<_>>()[..] else { panic!("{run}") };
            let new = file.replace(".toml", "-new.toml");
            assert_eq!(*line, format!("sudo -u {user} {program} migrate-store --from {file} --to {new}"));
            let running = service.move_to_other_engine();
            assert!(shown(&running).contains("in use by another process"), "{}", shown(&running));
            service.stop().await;
            let moved = service.move_to_other_engine();
            assert!(moved.status.success(), "{}", shown(&moved));
            service.start().await;
        }
        installation.ready().await;
        assert!(installation.opens(&kept).await && !installation.opens(&revoked).await);
        assert!(installation.opens(&installation.store("later").await).await);
    }
}

#[test]
fn units_go_on_trying_while_a_database_is_away() {
    for service in ["master-key-manager", "encrypted-vault"] {
        assert_eq!(deployed(service, "systemd", "StartLimitIntervalSec="), "0");
    }
}

/// The value of a line of a service's configuration file or unit in deploy/.
fn deployed(service: &str, folder: &str, start: &str) -> String {
    let kind = if folder == "systemd" { "service" } else { "toml" };
    let file = repository().join("deploy").join(folder).join(format!("{service}.{kind}"));
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned()
}

#[test]
fn measurements_of_the_performance_document_can_be_asked_for() {
    let help = run(&repository(), "scripts/bench.sh --help");
    assert!(help.status.success(), "{}", shown(&help));
    let lines = commands("docs/performance.md");
    assert!(lines.len() >= 3, "{lines:?}");
    for line in lines {
        let mut words = line.split(' ');
        assert_eq!(words.next(), Some("scripts/bench.sh"), "{line}");
        for option in words.filter(|word| word.starts_with("--")) {
            assert!(shown(&help).contains(&format!("  {option} ")), "{option} of {line} is not an option");
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends what the quick start began, also when the test fails.
struct Ended<'a>(&'a Path);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let stopped = run(self.0, "scripts/quickstart.sh --stop");
        assert!(stopped.status.success() || std::thread::panicking(), "{}", shown(&stopped));
    }
}
