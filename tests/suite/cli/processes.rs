//! The command among other processes: pipes, terminals, and the program that takes its place.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::User;

#[tokio::test]
async fn reader_who_has_gone_is_no_failure() {
    let user = User::logged_in().await;
    for arguments in [&["completion", "bash"][..], &["profile", "list"], &["whoami"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = user.splitvault(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn program_takes_the_place_of_the_command_and_gets_its_signals() {
    let user = User::logged_in().await;
    assert!(user.shell("printf x | splitvault put app/a").output().unwrap().status.success());
    let lines = "trap 'echo stopped; exit 7' TERM; echo $$; while read -r line; do :; done";
    let mut command = user.splitvault(&["run", "--set", "A=app/a", "--", "sh", "-c", lines]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(until(&mut child, "\n").trim(), child.id().to_string());
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    // What it waits for comes, so that the shell looks at its signals, unless it has done so.
    let _ = child.stdin.take().unwrap().write_all(b"\n");
    assert_eq!(until(&mut child, "stopped\n"), "stopped\n");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[tokio::test]
async fn program_with_a_hundred_secrets_costs_two_tokens_and_two_reads() {
    let user = User::logged_in().await;
    for number in 0..100 {
        user.installation.store_at(&format!("many/s{number}"), &format!("value {number}")).await;
    }
    let lines: Vec<_> = (0..100).map(|number| format!("S{number}=sv://dev/many/s{number}\n")).collect();
    std::fs::write(user.home().join("many.env"), lines.concat()).unwrap();
    // Audit lines are durable before anything is given out. Each request has an id; at the vault each secret has a line.
    let asked = |user: &User| {
        let (manager, vault) = (user.installation.manager.audit(), user.installation.vault.audit());
        let tokens = manager.iter().filter(|line| line["action"] == "token.mint").count();
        let reads = vault.iter().filter(|line| line["action"] == "secret.read");
        (tokens, reads.map(|line| line["request_id"].to_string()).collect::<BTreeSet<_>>().len())
    };
    let before = asked(&user);
    let test = "test \"$S0\" = 'value 0' && test \"$S99\" = 'value 99'";
    let output = user.splitvault(&["run", "--env-file", "many.env", "--", "sh", "-c", test]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = asked(&user);
    assert_eq!((after.0 - before.0, after.1 - before.1), (2, 2));
}

#[tokio::test]
async fn value_gets_a_line_break_on_a_terminal_alone_and_bytes_are_not_shown_there() {
    let user = User::logged_in().await;
    for (path, value) in [("app/text", "v\\303\\251"), ("app/bytes", "\\377\\000"), ("app/escape", "a\\033[2Jb")] {
        assert!(user.shell(&format!("printf '{value}' | splitvault put {path}")).output().unwrap().status.success());
    }
    let at_terminal = |arguments: &str| {
        let output =
            user.shell(&format!("script -qec 'splitvault {arguments}' /dev/null < /dev/null")).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), output.status.code())
    };
    assert_eq!(at_terminal("get app/text"), ("vé\r\n".to_owned(), Some(0)));
    for path in ["app/bytes", "app/escape"] {
        let (shown, code) = at_terminal(&format!("get {path}"));
        assert!(
            shown.contains("is not text, so it is not shown on a terminal") && !shown.contains('\u{1b}'),
            "{shown:?}"
        );
        assert_eq!(code, Some(1));
    }
    assert_eq!(at_terminal("export app").1, Some(2));
    assert!(at_terminal("export dev: --format json --reveal").0.contains("is not text"));
    // Text, and yet more than text to a terminal.
    assert!(user.shell("printf 'shown\\rhidden' | splitvault put odd/return").output().unwrap().status.success());
    assert!(user.shell("printf '\\302\\2332J' | splitvault put odd/control").output().unwrap().status.success());
    for arguments in
        ["get odd/return", "get odd/control", "--output json get odd/control", "export odd --format shell --reveal"]
    {
        let (shown, code) = at_terminal(arguments);
        assert!(shown.contains("is not shown on a terminal") && !shown.contains("hidden"), "{shown:?}");
        assert_eq!(code, Some(1), "{arguments}");
    }
    assert_eq!(user.splitvault(&["get", "app/text"]).output().unwrap().stdout, "vé".as_bytes());
    // Colours on a terminal, and never with NO_COLOR.
    let coloured = "TERM=xterm script -qec 'splitvault list' /dev/null < /dev/null";
    assert!(user.shell(coloured).output().unwrap().stdout.contains(&0x1b));
    assert!(!user.shell(&format!("NO_COLOR=1 {coloured}")).output().unwrap().stdout.contains(&0x1b));
}

#[tokio::test]
async fn value_that_is_typed_is_not_shown_and_is_asked_for_twice() {
    let user = User::logged_in().await;
    let typed = |second: &str| {
        let mut child = user.shell("exec script -qefc 'tty > tty; exec splitvault put app/typed' /dev/null");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = until(&mut child, "Value: ");
        hides(&user);
        child.stdin.as_mut().unwrap().write_all(b"typed-s3cret\n").unwrap();
        shown += &until(&mut child, "Once more: ");
        hides(&user);
        child.stdin.as_mut().unwrap().write_all(second.as_bytes()).unwrap();
        shown += &until(&mut child, ".\r\n");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!shown.contains("s3cret"), "{shown}");
        shown
    };
    assert!(typed("typed-s3cred\n").contains("not the same, so nothing was written"));
    assert!(typed("typed-s3cret\n").contains("Stored dev:app/typed, version 1."));
    assert_eq!(user.splitvault(&["get", "app/typed"]).output().unwrap().stdout, b"typed-s3cret");
}

/// Waits until the terminal shows nothing of what is typed. Nobody types as fast as a test.
fn hides(user: &User) {
    let is_hidden = || {
        let asked = user.shell("stty -a -F \"$(cat tty)\"").output().unwrap();
        String::from_utf8_lossy(&asked.stdout).split_whitespace().any(|word| word == "-echo")
    };
    assert!((0..10_000).any(|_| is_hidden()), "it is never hidden");
}

/// What a process writes until it has written this.
fn until(child: &mut Child, text: &str) -> String {
    let stdout = child.stdout.as_mut().unwrap();
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(text.as_bytes()) {
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "it ended after {}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}
