//! A log stream that is full, closed or read by nobody costs lines, and neither requests nor the stop.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use system_tests::{Installation, wait_until};

type Stream = fn() -> Stdio;

const STREAMS: [(&str, Stream); 2] = [("full", full), ("without a reader", unread)];

fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// A pipe whose other end is closed.
fn unread() -> Stdio {
    let (_reader, writer) = std::io::pipe().unwrap();
    writer.into()
}

#[tokio::test]
async fn services_whose_log_is_full_or_closed_serve_and_stop_in_order() {
    for (what, stream) in STREAMS {
        let mut installation = Installation::builder().make();
        installation.vault.start_logging_to(stream()).await;
        installation.manager.start_logging_to(stream()).await;
        serves_and_stops(&mut installation, what).await;
    }
    let mut installation = Installation::builder().make();
    for service in [&mut installation.vault, &mut installation.manager] {
        service.set_shell("exec >&- 2>&-");
        service.start().await;
    }
    serves_and_stops(&mut installation, "closed").await;
}

#[tokio::test]
async fn services_whose_log_nobody_reads_serve_and_stop_in_order_and_log_again_when_it_is_read() {
    let mut installation = Installation::builder().make();
    let mut pipes = Vec::new();
    for service in [&mut installation.vault, &mut installation.manager] {
        let (reader, writer) = stuffed_pipe(&service.data().with_file_name("pipe"));
        service.start_logging_to(writer.into()).await;
        pipes.push(reader);
    }
    installation.ready().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await);
    assert_eq!(installation.vault.call("GET", "/health/live").send().await.status, 200);
    for reader in &mut pipes {
        let mut text = String::new();
        wait_until("what was kept is written", async || {
            let mut bytes = vec![0; 1 << 16];
            // Nothing there is an error on this end.
            let read = reader.read(&mut bytes).unwrap_or(0);
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            text.contains("listening")
        })
        .await;
    }
    for (service, reader) in [&mut installation.vault, &mut installation.manager].into_iter().zip(&mut pipes) {
        stuff(reader);
        assert!(service.stop().await.success(), "{}", service.name());
    }
}

async fn serves_and_stops(installation: &mut Installation, what: &str) {
    installation.ready().await;
    let stored = installation.store("value").await;
    assert!(installation.opens(&stored).await, "{what}");
    for service in [&mut installation.vault, &mut installation.manager] {
        assert_eq!(service.call("GET", "/none").send().await.status, 404, "{what}");
        assert!(service.stop().await.success(), "{what}: {}", service.name());
    }
}

/// Both ends of a pipe that is full; the first one does not wait.
fn stuffed_pipe(path: &Path) -> (File, File) {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut ours = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path).unwrap();
    let theirs = OpenOptions::new().write(true).open(path).unwrap();
    stuff(&mut ours);
    (ours, theirs)
}

fn stuff(pipe: &mut File) {
    while pipe.write(&[b'x'; 4096]).is_ok() {}
    while pipe.write(b"x").is_ok() {}
}

#[test]
fn command_that_cannot_print_fails_without_a_panic() {
    let installation = Installation::builder().make();
    for service in [&installation.vault, &installation.manager] {
        for arguments in [&["rotate-keys", "status"][..], &["check-config"], &["openapi"]] {
            for (what, stream) in STREAMS {
                let status = service.run_printing_to(arguments, stream(), Stdio::null());
                assert_eq!(status.code(), Some(1), "{} {arguments:?}, {what}", service.name());
            }
        }
        for (what, stream) in STREAMS {
            let status = service.run_printing_to(&["init"], Stdio::null(), stream());
            assert_eq!(status.code(), Some(1), "a refusal, {what}");
        }
    }
}
