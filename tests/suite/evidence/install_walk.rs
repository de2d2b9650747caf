//! `docs/install.md`, walked from two empty hosts to the first secret over TLS.
//!
//! Each machine is a folder. What a test may not do to its machine is done by stand-ins on the `PATH`: `sudo` (becomes the
//! service's user where the test runs as root), `useradd`, `scp` and `systemctl`, which carries out the unit files.
//! Everything else, above all what is installed and read, is the real thing.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use system_tests::{binaries, repository};
use tempfile::TempDir;

/// A block of the page: the machine that it runs on, and its text.
struct Block {
    machine: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let page = fs::read_to_string(repository().join("docs/install.md")).unwrap();
    let parts = page.split("```sh on=").skip(1).map(|rest| rest.split("```").next().unwrap());
    parts
        .map(|part| {
            let (machine, text) = part.split_once('\n').unwrap();
            Block { machine: machine.to_owned(), text: text.to_owned() }
        })
        .collect()
}

struct Walk {
    folder: TempDir,
    runtime: TempDir,
    ports: [u16; 2],
    /// Fingerprints that both `init`s printed.
    kids: Vec<(&'static str, String)>,
}

impl Walk {
    fn new() -> Self {
        let folder = TempDir::with_prefix("splitvault-install-").unwrap();
        let memory = Path::new("/dev/shm");
        let runtime = tempfile::Builder::new().prefix("splitvault-install-").tempdir_in(memory).unwrap();
        for open in [folder.path(), runtime.path()] {
            fs::set_permissions(open, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = free.map(|listener| listener.local_addr().unwrap().port());
        let walk = Self { folder, runtime, ports, kids: Vec::new() };
        for machine in ["desk", "vault", "manager"] {
            for part in ["home", "etc/systemd/system", "usr/local/bin", "var/lib"] {
                fs::create_dir_all(walk.root(machine).join(part)).unwrap();
            }
        }
        walk.make_desk();
        walk.make_stand_ins();
        walk
    }

    fn root(&self, machine: &str) -> PathBuf {
        self.folder.path().join(machine)
    }

    /// The desk has a clone, in which both programs are built.
    fn make_desk(&self) {
        let home = self.root("desk").join("home");
        for folder in ["scripts", "deploy/systemd", "target/release"] {
            fs::create_dir_all(home.join(folder)).unwrap();
        }
        let script = "scripts/make-certificates.sh";
        fs::copy(repository().join(script), home.join(script)).unwrap();
        for (service, machine) in [("master-key-manager", "manager"), ("encrypted-vault", "vault")] {
            fs::copy(binaries().join(service), home.join("target/release").join(service)).unwrap();
            for file in [format!("deploy/{service}.toml"), format!("deploy/systemd/{service}.service")] {
                let text = fs::read_to_string(repository().join(&file)).unwrap();
                let mut text = self.of(machine, &text);
                if file == "deploy/encrypted-vault.toml" && !self.machine_is_fit() {
                    text.push_str("\n[danger]\nswap = true\nruntime_on_disk = true\n");
                }
                fs::write(home.join(file), text).unwrap();
            }
        }
    }

    /// Whether this machine has no swap and keeps the runtime directory in memory, as the vault's host must.
    fn machine_is_fit(&self) -> bool {
        let swap = fs::read_to_string("/proc/swaps").unwrap_or_default().lines().count() > 1;
        let kind = Command::new("stat").args(["-f", "-c", "%T"]).arg(self.runtime.path()).output().unwrap();
        !swap && kind.stdout.starts_with(b"tmpfs")
    }

    /// A text of the page or of a file, as it is for a machine that is a folder.
    fn of(&self, machine: &str, text: &str) -> String {
        let root = self.root(machine);
        let [manager, vault] = self.ports;
        let mut text = text.to_owned();
        for path in ["/etc/splitvault", "/etc/systemd", "/var/lib/splitvault", "/usr/local/bin"] {
            text = text.replace(path, &format!("{}{path}", root.display()));
        }
        text.replace(":8000", &format!(":{manager}"))
            .replace(":8001", &format!(":{vault}"))
            .replace("0.0.0.0", "127.0.0.1")
            .replace("manager.example", "localhost")
            .replace("vault.example", "localhost")
    }

    fn make_stand_ins(&self) {
        let place = self.folder.path().join("stand-ins");
        fs::create_dir(&place).unwrap();
        let root = self.folder.path().display();
        let runtime = self.runtime.path().display();
        let sudo = r#"user=
if [[ $1 == -u ]]; then user=$2; shift 2; fi
uid() { case $1 in splitvault-manager) echo 71001 ;; splitvault-vault) echo 71002 ;; *) echo "no user $1" >&2; exit 1 ;; esac; }
[[ $(id -u) == 0 ]] && root=yes || root=
arguments=() after=
for argument in "$@"; do
    if [[ $after == -o || $after == -g ]]; then
        [[ $root ]] && arguments+=("$after" "$(uid "$argument")")
        after= ; continue
    fi
    after=$argument
    [[ $argument == -o || $argument == -g ]] || arguments+=("$argument")
done
if [[ $user && $root ]]; then exec setpriv --reuid "$(uid "$user")" --regid "$(uid "$user")" --clear-groups "${arguments[@]}"; fi
exec "${arguments[@]}""#;
        let systemctl = r#"[[ $1 != daemon-reload ]] || exit 0
[[ "$1 $2" == "enable --now" ]] || { echo "systemctl $*?" >&2; exit 1; }
unit=$HOST/etc/systemd/system/$3.service
of() { sed -n "s/^$1=//p" "$unit"; }
user=$(of User)
if [[ $(of RuntimeDirectory) ]]; then
    export RUNTIME_DIRECTORY=RUNTIME/$(of RuntimeDirectory)
    install -d -m 0700 "$RUNTIME_DIRECTORY"
    [[ $(id -u) != 0 ]] || chown 71002 "$RUNTIME_DIRECTORY"
fi
read -ra command <<<"$(of ExecStart)"
setsid sudo -u "$user" "${command[@]}" >"$HOST/$3.log" 2>&1 </dev/null &
echo $! >"ROOT/$3.pid""#;
        let scp = r#"recursive=
if [[ $1 == -r ]]; then recursive=-r; shift; fi
home() { case $1 in manager.example:*) echo "ROOT/manager/home/${1#*:}" ;; vault.example:*) echo "ROOT/vault/home/${1#*:}" ;; *) echo "$1" ;; esac; }
from=("${@:1:$#-1}")
for name in "${from[@]}"; do cp $recursive "$(home "$name")" "$(home "${!#}")"; done"#;
        for (name, text) in [("sudo", sudo), ("systemctl", systemctl), ("scp", scp), ("useradd", ":")] {
            let text = text.replace("RUNTIME/", &format!("{runtime}/")).replace("ROOT/", &format!("{root}/"));
            let path = place.join(name);
            fs::write(&path, format!("#!/bin/bash\nset -euo pipefail\n{text}\n")).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }

    /// Runs a block, which must end well, and returns what it printed.
    fn run(&mut self, block: &Block) -> String {
        let (machine, output) = (block.machine.as_str(), self.execute(block));
        let printed = shown(&output);
        assert!(output.status.success(), "on {machine}:\n{}\n{printed}\n{}", block.text, self.logs());
        if let Some(kid) = printed.lines().find_map(|line| line.strip_prefix("identity key:")) {
            let name = if machine == "vault" { "VAULT_KID" } else { "MANAGER_KID" };
            self.kids.push((name, kid.trim().to_owned()));
        }
        printed
    }

    fn execute(&self, block: &Block) -> Output {
        let machine = block.machine.as_str();
        let mut text = String::new();
        for line in block.text.lines().filter(|line| !line.starts_with("cargo build")) {
            // Hosts of scp are those of the page; the stand-in knows them.
            let mut line = if line.starts_with("scp ") { line.to_owned() } else { self.of(machine, line) };
            for (name, kid) in &self.kids {
                line = line.replace(name, kid);
            }
            text.push_str(&line);
            text.push('\n');
        }
        let root = self.root(machine);
        let path = std::env::var("PATH").unwrap();
        // Without /usr/local/bin: many a `sudo` does not look there.
        let path = format!("{}:{path}", self.folder.path().join("stand-ins").display());
        let mut command = Command::new("timeout");
        command.args(["120", "bash", "-euo", "pipefail", "-c", &text]).current_dir(root.join("home"));
        command.env("PATH", path).env("HOST", &root).env("no_proxy", "*").output().unwrap()
    }

    fn logs(&self) -> String {
        let log = |machine: &str, service: &str| {
            fs::read_to_string(self.root(machine).join(format!("{service}.log"))).unwrap_or_default()
        };
        format!("{}{}", log("vault", "encrypted-vault"), log("manager", "master-key-manager"))
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        for service in ["encrypted-vault", "master-key-manager"] {
            if let Ok(pid) = fs::read_to_string(self.folder.path().join(format!("{service}.pid"))) {
                let _gone = Command::new("kill").args(["-KILL", "--", &format!("-{}", pid.trim())]).status();
            }
        }
    }
}

fn shown(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn page_leads_from_two_empty_hosts_to_the_first_secret() {
    let mut walk = Walk::new();
    let all = blocks();
    assert!(all.len() >= 9, "the page has {} blocks", all.len());
    let printed: Vec<String> = all.iter().map(|block| walk.run(block)).collect();
    let value = r#""decrypted_key":"correct horse battery staple""#;
    assert!(printed.iter().any(|answer| answer.contains(value)), "{printed:?}");
    assert_eq!(walk.kids.len(), 2);
    // A document that is not the expected one is not pinned.
    let mut other = all.into_iter().find(|block| block.text.contains("MANAGER_KID")).unwrap();
    other.text = other.text.replace("MANAGER_KID", "VAULT_KID");
    let refused = walk.execute(&other);
    assert!(!refused.status.success() && shown(&refused).contains("not the expected one"), "{}", shown(&refused));
}

/// The fields that the table of the manual's chapter on configuration has for the service of this column.
fn described_fields(manual: &str, column: usize) -> BTreeSet<String> {
    let chapter = manual.split("\n## ").find(|chapter| chapter.starts_with("Configuration\n")).unwrap();
    let rows = chapter.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    rows.filter(|cells| cells.get(column) == Some(&"yes"))
        .flat_map(|cells| cells[1].split(", ").map(|field| field.trim_matches('`').to_owned()).collect::<Vec<_>>())
        .collect()
}

/// The fields that a configuration file has, also behind a #.
fn named_fields(text: &str) -> BTreeSet<String> {
    let mut table = String::new();
    let mut fields = BTreeSet::new();
    for line in text.lines().map(|line| line.trim_start_matches("# ")) {
        if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            table = format!("{name}.");
        } else if let Some((field, _)) = line.split_once(" = ") {
            fields.insert(format!("{table}{field}"));
        }
    }
    fields
}

#[test]
fn configuration_files_name_every_field_that_the_manual_describes() {
    let manual = fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    for (service, column) in [("master-key-manager", 2), ("encrypted-vault", 3)] {
        let text = fs::read_to_string(repository().join(format!("deploy/{service}.toml"))).unwrap();
        let (described, named) = (described_fields(&manual, column), named_fields(&text));
        assert!(described.len() >= 25, "{described:?}");
        assert_eq!(named, described, "{service}");
        let unit = fs::read_to_string(repository().join(format!("deploy/systemd/{service}.service"))).unwrap();
        assert!(
            unit.contains(&format!("ExecStart=/usr/local/bin/{service} --config /etc/splitvault/{service}.toml run"))
        );
    }
}
