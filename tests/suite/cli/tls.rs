//! The command line over TLS, with a CA of its own.

use std::path::Path;

use system_tests::certificates::{Authority, Purpose};
use system_tests::{Installation, wait_until};

use super::User;

fn installation(folder: &Path, authority: &Authority) -> Installation {
    let host = |host: &str| folder.join(host).display().to_string();
    for (name, purpose, file, to) in [
        ("vault", Purpose::Server, "listener", "127.0.0.1"),
        ("manager", Purpose::Server, "listener", "127.0.0.1"),
        ("manager", Purpose::Client, "client", "manager.test"),
    ] {
        std::fs::create_dir_all(folder.join(name)).unwrap();
        authority.write(&folder.join(name), "ca.pem");
        authority.issue(&folder.join(name), file, to, purpose, (-1, 90));
    }
    let pair = |of: &str, name: &str| format!("certificate = \"{0}/{name}.pem\"\nkey = \"{0}/{name}.key\"\n", host(of));
    let ca = |of: &str| format!("ca = \"{}/ca.pem\"\n", host(of));
    Installation::builder()
        .https()
        .vault_table(&format!(
            "[tls]\n{}client_{}client_name = \"manager.test\"\n",
            pair("vault", "listener"),
            ca("vault")
        ))
        .manager_table(&format!("[tls]\n{}", pair("manager", "listener")))
        .manager_table(&format!("[vault_tls]\n{}{}", ca("manager"), pair("manager", "client")))
        .make()
}

#[tokio::test]
async fn private_ca_is_named_once_and_nobody_else_is_believed() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut installation = installation(folder.path(), &authority);
    installation.vault.start().await;
    installation.manager.start().await;
    let user = User::of(installation);
    authority.write(&user.home(), "ca.pem");
    Authority::new().write(&user.home(), "other.pem");
    let login = "splitvault -e dev login https${MANAGER#http} --credential-file credential";
    for wrong in ["", " --ca other.pem"] {
        let output = user.shell(&format!("{login}{wrong}")).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(!user.profile().exists());
    let output = user.shell(&format!("{login} --ca ca.pem")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // From anywhere, and as soon as the manager has reached the vault.
    wait_until("a value is stored", async || {
        user.shell("cd / && printf value | splitvault put app/a").output().unwrap().status.success()
    })
    .await;
    assert_eq!(user.shell("cd / && splitvault get app/a").output().unwrap().stdout, b"value");
}
