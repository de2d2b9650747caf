//! Machines with less than usual: few descriptors, no CA certificates.

use system_tests::http::Connection;
use system_tests::{DEADLINE, Installation};

#[tokio::test]
async fn services_with_256_descriptors_serve_readers_and_probes_beside_each_other_and_with_too_few_do_not_start() {
    let mut installation = Installation::builder().make();
    for service in [&mut installation.vault, &mut installation.manager] {
        service.set_shell("ulimit -n 64");
        let said = service.try_start().await.expect("too few");
        assert!(said.contains("LimitNOFILE"), "{said}");
        service.set_shell("ulimit -n 256");
    }
    installation.start().await;
    let mut others = Vec::new();
    for service in [&installation.vault, &installation.manager] {
        for _ in 0..12 {
            let mut connection = Connection::open(service.port()).await;
            connection.send(service.call("GET", "/health/live").deadline(DEADLINE)).await.expect(200);
            others.push(connection);
        }
    }
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    installation.revoke(&stored.jti).await;
    assert!(!installation.opens(&stored).await);
    installation.ready().await;
}

/// As systemd's `ProcSubset=pid` does it: a namespace of mounts with a `/proc` that shows processes only.
const HIDE: &str = "mount -t proc -o subset=pid proc /proc";

#[tokio::test]
async fn services_start_and_serve_where_proc_shows_processes_only() {
    let hidden = format!("{HIDE} && test ! -e /proc/sys && test ! -e /proc/swaps");
    // As root, or as the root of a namespace of users.
    let may = |flags: &&str| {
        let mut tried = std::process::Command::new("sh");
        tried.args(["-c", &format!("unshare {flags} sh -c '{hidden}'")]).status().is_ok_and(|status| status.success())
    };
    let Some(flags) = ["--mount", "--mount --map-root-user"].into_iter().find(may) else {
        // A sandbox without namespaces; `process.rs` tests the id of the boot with another path.
        return;
    };
    let mut installation = Installation::builder().make();
    for service in [&mut installation.vault, &mut installation.manager] {
        service.set_shell(&format!("exec unshare {flags} sh -c '{hidden} && exec \"$@\"' sh \"$@\""));
    }
    installation.start().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    // What is bound to the boot is found again, as far as that can be known.
    installation.vault.restart().await;
    installation.ready().await;
    assert!(installation.opens(&installation.store("another").await).await);
    installation.revoke(&stored.jti).await;
    assert!(!installation.opens(&stored).await);
    for service in [&mut installation.vault, &mut installation.manager] {
        assert!(service.is_running() && !service.log().contains("panicked"));
    }
}

#[tokio::test]
async fn manager_without_ca_certificates_starts_with_a_vault_that_needs_none_and_says_what_it_lacks_otherwise() {
    let mut installation = Installation::builder().make();
    let empty = installation.folder().join("no-certificates");
    std::fs::create_dir(&empty).unwrap();
    installation.manager.set_variable("SSL_CERT_FILE", &empty.join("none"));
    installation.manager.set_variable("SSL_CERT_DIR", &empty);
    installation.start().await;
    installation.store("value").await;
    installation.manager.stop().await;
    installation.manager.replace_in_head("http://", "https://");
    let said = installation.manager.try_start().await.expect("no CA");
    assert!(said.contains("ca-certificates") && said.contains("[vault_tls]"), "{said}");
    let checked = installation.manager.run(&["check-config"]);
    assert!(String::from_utf8_lossy(&checked.stderr).contains("ca-certificates"), "{checked:?}");
}

#[tokio::test]
async fn setting_that_would_not_start_is_refused_by_check_config_with_the_words_of_the_start() {
    let mut installation = Installation::builder().make();
    let device = "ready_file = \"/dev/null\"";
    for service in [&mut installation.vault, &mut installation.manager] {
        for line in [
            "workers = 100000",
            "shutdown_seconds = 18446744073709551615",
            device,
            "limits.idle_seconds = 9223372036854775807",
            "tls = { certificate = \"none.pem\", key = \"none.key\" }",
            "operator_listen = \"0.0.0.0:1\"",
        ] {
            service.set(line);
            let checked = service.run(&["check-config"]);
            let started = service.run(&["run"]);
            let words = String::from_utf8_lossy(&checked.stderr).lines().last().unwrap_or_default().to_owned();
            assert_eq!((checked.status.code(), started.status.code()), (Some(1), Some(1)), "{line}: {words}");
            assert!(String::from_utf8_lossy(&started.stderr).ends_with(&format!("{words}\n")), "{line}: {started:?}");
            service.unset(line);
        }
    }
    installation.start().await;
}
