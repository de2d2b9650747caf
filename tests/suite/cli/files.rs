//! The files of the command line: private, whole, and never elsewhere than they seem to be.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Output;

use super::User;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const LOGIN: &str = "splitvault -e lab login $MANAGER --credential-file credential";

#[tokio::test]
async fn write_that_is_cut_off_leaves_the_old_profile_whole() {
    let user = User::logged_in().await;
    let before = fs::read(user.profile()).unwrap();
    // No file may grow: the write ends in the middle, with a signal or an error.
    let output = user.shell(&format!("ulimit -f 0; trap '' XFSZ; {LOGIN}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(told(&output).contains("cannot be written: ") && told(&output).contains("Nothing was changed."));
    assert_eq!(fs::read(user.profile()).unwrap(), before);
    let killed = user.shell(&format!("ulimit -f 0; exec {LOGIN}")).output().unwrap();
    assert!(!killed.status.success());
    assert_eq!(fs::read(user.profile()).unwrap(), before);
    assert!(user.splitvault(&["whoami"]).output().unwrap().status.success());
    // As a control: without the limit the same command changes it.
    assert!(user.shell(LOGIN).output().unwrap().status.success());
    assert_ne!(fs::read(user.profile()).unwrap(), before);
}

#[tokio::test]
async fn profile_is_private_from_its_first_moment_whatever_the_mask_says() {
    let user = User::new().await;
    let output = user.shell(&format!("umask 0; {LOGIN}")).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(fs::metadata(user.profile()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(user.profile().parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    // A new file each time: one that somebody holds open does not show the next login.
    let first = fs::metadata(user.profile()).unwrap().ino();
    let held = fs::File::open(user.profile()).unwrap();
    assert!(user.shell(LOGIN).output().unwrap().status.success());
    assert_ne!(fs::metadata(user.profile()).unwrap().ino(), first);
    assert_eq!(held.metadata().unwrap().nlink(), 0);
}

#[tokio::test]
async fn symbolic_link_in_the_place_of_a_file_is_refused() {
    let user = User::logged_in().await;
    let target = user.home().join("target");
    fs::write(&target, "mine").unwrap();
    assert!(user.shell("printf x | splitvault put app/a").output().unwrap().status.success());
    for link in ["link", ".splitvault.toml"] {
        symlink(&target, user.home().join(link)).unwrap();
    }
    fs::rename(user.profile(), user.home().join("profile")).unwrap();
    for (command, link) in
        [("splitvault get dev:app/a --out link", "link"), ("splitvault init dev: --replace", ".splitvault.toml")]
    {
        fs::copy(user.home().join("profile"), user.profile()).unwrap();
        let output = user.shell(&format!("{command} || {{ rm -f .splitvault.toml.new; exit 1; }}")).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(told(&output).contains(&format!("{link} is a symbolic link")), "{}", told(&output));
    }
    fs::remove_file(user.home().join(".splitvault.toml")).unwrap();
    fs::remove_file(user.profile()).unwrap();
    symlink(user.home().join("profile"), user.profile()).unwrap();
    for command in [LOGIN, "splitvault whoami", "splitvault logout"] {
        let output = user.shell(command).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(told(&output).contains("is a symbolic link"), "{}", told(&output));
    }
    assert_eq!(fs::read_to_string(&target).unwrap(), "mine");
}

#[tokio::test]
async fn folder_that_cannot_be_written_is_named() {
    let user = User::new().await;
    // Nobody, not even root, makes folders there.
    let output = user.shell(&format!("XDG_CONFIG_HOME=/proc/self {LOGIN}")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        told(&output).starts_with("splitvault: The folder /proc/self/splitvault/profiles cannot be made: "),
        "{}",
        told(&output)
    );
    let logged_in = User::logged_in().await;
    assert!(logged_in.shell("printf x | splitvault put app/a").output().unwrap().status.success());
    let output = logged_in.shell("splitvault get app/a --out /proc/self/value").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("/proc/self/value cannot be written: "), "{}", told(&output));
}

#[tokio::test]
async fn file_of_another_user_says_nothing_about_a_folder() {
    let user = User::logged_in().await;
    let file = user.home().join(".splitvault.toml");
    fs::write(&file, "environment = \"dev\"\n").unwrap();
    if !rustix::process::geteuid().is_root() {
        // Only root can give files away.
        return;
    }
    std::os::unix::fs::chown(&file, Some(12_345), None).unwrap();
    let output = user.splitvault(&["list"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(told(&output).contains("belongs to another user"), "{}", told(&output));
    assert!(user.splitvault(&["--no-folder", "list"]).output().unwrap().status.success());
}
