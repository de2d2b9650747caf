//! The page about people, run as it stands.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use actix_web::{App, HttpServer};
use master_key_manager::routes::{ROUTES, data};
use service_runtime::config::Mode;
use service_runtime::http::{Stack, mount};

use crate::support::{Installed, PASSWORD, totp_now};

/// Runs commands of the page in a folder.
async fn run(script: String, folder: &Path, variables: Vec<(&'static str, String)>) {
    let mut shell = Command::new("sh");
    shell.arg("-e").arg("-c").arg(script).current_dir(folder).envs(variables);
    let ran = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}");
}

#[actix_web::test]
async fn people_begin_and_end_by_the_commands_of_the_page() {
    let installed = Installed::new(Mode::Production).await;
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/people.md")).unwrap();
    let blocks: Vec<&str> = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let [on_the_host, begin, offer, later @ ..] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    assert!(later.len() >= 3, "{} blocks", blocks.len());
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let raw = installed.config.get();
    let toml = format!(
        "mode = \"production\"\nlisten = \"127.0.0.1:0\"\nvault_url = \"{}\"\ndata_dir = {:?}\nkey_dir = {:?}\n",
        raw.vault_url, raw.data_dir, raw.key_dir
    );
    std::fs::write(folder.join("manager.toml"), toml).unwrap();
    std::fs::write(folder.join("password"), format!("{PASSWORD}\n")).unwrap();
    let here = |name: &str| folder.join(name).display().to_string();
    // The program of the test in place of an installed one, which no unit of this machine runs.
    let on_the_host = on_the_host
        .replace("sudo systemctl", ":")
        .replace("sudo -u splitvault-manager", "")
        .replace("/usr/local/bin/master-key-manager", env!("CARGO_BIN_EXE_master-key-manager"))
        .replace("/etc/splitvault/master-key-manager.toml", &here("manager.toml"))
        .replace("/var/lib/splitvault-manager/ann.code", &here("code"));
    run(on_the_host, folder, Vec::new()).await;

    let manager = installed.start().await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let app = Arc::clone(&manager.app);
    let server = HttpServer::new(move || {
        App::new().wrap(Stack::new(Mode::Production)).configure(data(Arc::clone(&app))).configure(mount(ROUTES))
    });
    let server = server.workers(1).disable_signals().listen(socket).unwrap().run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    run([*begin, *offer].concat(), folder, vec![("MANAGER", address.clone())]).await;
    let seed: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("seed")).unwrap()).unwrap();
    let code = totp_now(seed["secret"].as_str().unwrap(), 0);
    let (helper, _) = begin.split_once("}\n").unwrap();
    let rest = [helper, "}\n", &later.concat()].concat();
    run(rest, folder, vec![("MANAGER", address), ("CODE", code)]).await;
    assert!(!folder.join("seed").exists() && !folder.join("session").exists());
    handle.stop(false).await;
    serving.await.unwrap().unwrap();
    manager.stop().await;
}
