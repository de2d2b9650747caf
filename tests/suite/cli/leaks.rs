//! Values and credentials are where they belong, and nowhere else: no argument, no environment of another process, no log, no
//! error, no file that is left.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustix::process::{Pid, Signal, kill_process};
use system_tests::wait_until;

use super::User;

/// A value that is found nowhere by chance.
fn canary() -> String {
    format!("canary-{}", (0..24).map(|_| fastrand::alphanumeric()).collect::<String>())
}

/// The forms in which it could lie about. Of base64 the part that does not depend on what stands before.
fn forms(canary: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![canary.as_bytes().to_vec(), hex::encode(canary).into_bytes()];
    for shift in 0..3 {
        let text = [&b"xx"[..shift], canary.as_bytes()].concat();
        for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            forms.push(encoded.as_bytes()[4..encoded.len() - 4].to_vec());
        }
    }
    forms
}

fn has(bytes: &[u8], forms: &[Vec<u8>]) -> bool {
    forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form.as_slice()))
}

/// The files of a folder that hold one of these forms.
fn holders(folder: &Path, forms: &[Vec<u8>]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            found.extend(holders(&path, forms));
        } else if kind.is_file() && has(&fs::read(&path).unwrap_or_default(), forms) {
            found.push(path);
        }
    }
    found
}

/// Arguments and environment of each process but one, as far as they may be read.
fn seen_by_others(except: u32) -> Vec<u8> {
    let mut seen = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        seen.extend(fs::read(entry.path().join("cmdline")).unwrap_or_default());
        if name != except.to_string() {
            seen.extend(fs::read(entry.path().join("environ")).unwrap_or_default());
        }
    }
    seen
}

#[tokio::test]
async fn value_is_in_no_argument_no_other_process_and_no_file() {
    let user = User::logged_in().await;
    let value = canary();
    let forms = forms(&value);
    // While it is written: a part is read, the rest is waited for.
    let mut put = user.splitvault(&["put", "app/canary"]);
    let mut put = put.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    put.stdin.as_mut().unwrap().write_all(value.as_bytes()).unwrap();
    assert!(!has(&seen_by_others(0), &forms));
    drop(put.stdin.take());
    let mut said = vec![put.wait_with_output().unwrap()];
    assert!(said[0].status.success());
    // While a program runs with it: in the environment of that one alone.
    let mut run =
        user.splitvault(&["run", "--set", "A=app/canary", "--", "sh", "-c", "echo; read -r line; test -n \"$A\""]);
    let mut run = run.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Read::read_exact(run.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    assert!(!has(&seen_by_others(run.id()), &forms));
    assert!(has(&fs::read(format!("/proc/{}/environ", run.id())).unwrap(), &forms), "the control finds nothing");
    run.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(run.wait().unwrap().success());
    for arguments in [
        &["describe", "app/canary"][..],
        &["history", "app/canary"],
        &["list"],
        &["search", "canary"],
        &["diff", "app/canary", "1"],
        &["copy", "app/canary", "app/copy"],
        &["tag", "app/canary", "a=b"],
        &["move", "app/copy", "app/other"],
        &["rollback", "app/canary", "--to", "1"],
        &["delete", "app/other"],
        &["export"],
        &["get", "app/missing"],
        &["init", "dev:app"],
    ] {
        let output = user.splitvault(arguments).output().unwrap();
        assert!(arguments[0] == "export" || !has(&output.stdout, &forms), "{arguments:?}");
        said.push(output);
    }
    assert!(said.iter().all(|output| !has(&output.stderr, &forms)));
    let found = holders(user.installation.folder(), &forms);
    assert!(found.is_empty(), "{found:?}");
    // As a control, what is asked for.
    let output = user.splitvault(&["get", "app/canary", "--out", "value"]).output().unwrap();
    assert!(output.status.success());
    assert_eq!(holders(user.installation.folder(), &forms), [user.home().join("value")]);
    assert_eq!(fs::read_dir(user.temporary()).unwrap().count(), 0);
}

#[tokio::test]
async fn no_error_repeats_a_value() {
    let user = User::logged_in().await;
    let value = canary();
    let forms = forms(&value);
    for command in [
        format!("printf '{{\"a\": \"{value}' | splitvault put app/a --kind json"),
        format!("printf '{value}\\n' | splitvault put app/a --kind ssh-key"),
        format!("printf '{value}' > a.env; splitvault run --env-file a.env -- true"),
        format!("printf 'A=\"{value}' > a.env; splitvault run --env-file a.env -- true"),
        format!("printf '{value}\\n' | splitvault import - --folder app"),
        format!("printf '{{\"a\": [\"{value}\"]}}' | splitvault import - --format json --folder app"),
        format!("printf '{value}' | splitvault login"),
        format!("printf '{value}\\n{value}\\n' | splitvault login --person ann"),
        format!("splitvault put app/a '{value}'"),
        format!(
            "sed -i 's/^credential = .*/credential = \"{value}/' .config/splitvault/profiles/default.toml; splitvault whoami"
        ),
    ] {
        let output = user.shell(&command).output().unwrap();
        assert!(!output.status.success(), "{command}");
        assert!(
            !has(&output.stderr, &forms) && !has(&output.stdout, &forms),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[tokio::test]
async fn credential_is_in_the_profile_alone() {
    let user = User::logged_in().await;
    let credential = user.installation.admin();
    fs::remove_file(user.home().join("credential")).unwrap();
    let forms = forms(credential.strip_prefix("spv_").unwrap());
    for command in [
        "splitvault whoami",
        "splitvault profile list",
        "splitvault --output json profile list",
        "printf x | splitvault put app/a",
        "splitvault run --set A=app/a -- sh -c 'tr \"\\000\" \"\\n\" < /proc/self/environ'",
    ] {
        let output = user.shell(command).output().unwrap();
        assert!(output.status.success(), "{command}");
        assert!(!has(&output.stdout, &forms) && !has(&output.stderr, &forms), "{command}");
    }
    let mut found = holders(user.installation.folder(), &forms);
    found.retain(|file| file.file_name().is_none_or(|name| name != "admin-credential"));
    assert_eq!(found, [user.profile()]);
    assert!(user.splitvault(&["logout"]).output().unwrap().status.success());
    let mut found = holders(user.installation.folder(), &forms);
    found.retain(|file| file.file_name().is_none_or(|name| name != "admin-credential"));
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn no_core_file_holds_what_is_typed() {
    let user = User::logged_in().await;
    let mut put = user.shell("ulimit -c \"$(ulimit -H -c)\"; exec splitvault put app/core");
    let mut put = put.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    put.stdin.as_mut().unwrap().write_all(canary().as_bytes()).unwrap();
    let of_process = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", put.id())).unwrap();
    wait_until("the command forbids core files, which the shell before it allows", async || {
        let limits = of_process("limits");
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        of_process("comm") == "splitvault\n" && core.split_whitespace().next() == Some("0")
    })
    .await;
    kill_process(Pid::from_child(&put), Signal::QUIT).unwrap();
    let ended = put.wait().unwrap();
    assert_eq!(ended.signal(), Some(Signal::QUIT.as_raw()));
    assert!(!ended.core_dumped());
}
