//! A file that is open is not the file at its path.

use super::*;

/// Removes, moves or alters the file at a path, and says what it was.
type Loss = fn(&Path) -> &'static str;
/// Puts back what was there.
type Repair = fn(&Path, &[u8]);

fn aside(path: &Path) -> PathBuf {
    path.parent().unwrap().with_extension("aside")
}

fn write_privately(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

const LOSSES: [(Loss, Option<Repair>); 7] = [
    (
        |path| {
            std::fs::remove_file(path).unwrap();
            "removed"
        },
        Some(write_privately),
    ),
    (
        |path| {
            std::fs::rename(path, path.with_extension("renamed")).unwrap();
            "renamed"
        },
        Some(|path, _| std::fs::rename(path.with_extension("renamed"), path).unwrap()),
    ),
    (
        |path| {
            std::fs::rename(path, path.with_extension("renamed")).unwrap();
            write_privately(path, b"");
            "renamed, and an empty file in its place"
        },
        Some(|path, _| std::fs::rename(path.with_extension("renamed"), path).unwrap()),
    ),
    (
        |path| {
            let copy = std::fs::read(path).unwrap();
            std::fs::remove_file(path).unwrap();
            write_privately(path, &copy);
            "replaced by a copy"
        },
        // The copy has what was written: the log goes on behind it.
        None,
    ),
    (
        |path| {
            std::fs::File::options().write(true).open(path).unwrap().set_len(10).unwrap();
            "truncated"
        },
        Some(write_privately),
    ),
    (
        |path| {
            std::fs::rename(path.parent().unwrap(), aside(path)).unwrap();
            "folder gone"
        },
        Some(|path, _| std::fs::rename(aside(path), path.parent().unwrap()).unwrap()),
    ),
    (
        |path| {
            std::fs::rename(path.parent().unwrap(), aside(path)).unwrap();
            std::fs::create_dir(path.parent().unwrap()).unwrap();
            "an empty folder in its place"
        },
        Some(|path, _| {
            std::fs::remove_dir(path.parent().unwrap()).unwrap();
            std::fs::rename(aside(path), path.parent().unwrap()).unwrap();
        }),
    ),
];

impl Fixture {
    /// In a folder that can be moved.
    fn in_folder() -> Self {
        let mut fixture = Self::new();
        fixture.path = fixture.path.with_file_name("data").join("audit.jsonl");
        std::fs::create_dir(fixture.path.parent().unwrap()).unwrap();
        fixture
    }
}

#[tokio::test]
async fn log_whose_file_is_not_at_its_path_acknowledges_nothing_until_it_is_there_again() {
    for sync in [AuditSync::Fsync, AuditSync::Os] {
        for (lose, repair) in LOSSES {
            let fixture = Fixture::in_folder();
            let log = fixture.open_with(AuditSettings { sync, ..AuditSettings::default() }).unwrap();
            // What only the kernel has would be written again elsewhere: the second line makes the first one durable.
            for _ in 0..2 {
                log.append(line().key_id("before")).await.unwrap();
                fixture.clock.advance(1);
            }
            let bytes = std::fs::read(&fixture.path).unwrap();
            let what = lose(&fixture.path);
            fixture.clock.advance(1);
            assert_eq!(log.append(line().key_id("lost")).await, Err(AuditUnavailable), "{what}");
            assert!(!log.is_healthy(), "{what}");
            if let Some(repair) = repair {
                fixture.clock.advance(1);
                assert_eq!(log.append(line().key_id("lost")).await, Err(AuditUnavailable), "{what}");
                repair(&fixture.path, &bytes);
            }
            fixture.clock.advance(1);
            log.append(line().key_id("after")).await.unwrap_or_else(|_| panic!("{what}: it does not go on"));
            assert!(log.is_healthy());
            log.flush_and_close().await;
            // The thread may have tried by itself in between; then it says so in a line of its own.
            assert!(verify(&fixture.path).unwrap() >= 3, "{what}");
            let later: String =
                fixture.later_segments().iter().map(|(_, path)| std::fs::read_to_string(path).unwrap()).collect();
            assert!(later.contains("after") && !later.contains("lost"), "{what}");
        }
    }
}

#[tokio::test]
async fn file_that_somebody_else_appended_to_is_left_behind() {
    let fixture = Fixture::new();
    let log = fixture.open().unwrap();
    log.append(line()).await.unwrap();
    let mut file = std::fs::File::options().append(true).open(&fixture.path).unwrap();
    std::io::Write::write_all(&mut file, b"{\"sequence\":2}\n").unwrap();
    fixture.clock.advance(1);
    wait_until("it is noticed, though nobody asks", || !log.is_healthy());
    fixture.clock.advance(1);
    log.append(line()).await.unwrap();
    log.flush_and_close().await;
    assert!(verify(&fixture.path).unwrap() >= 2);
}

#[tokio::test]
async fn new_file_without_a_line_does_not_stand_for_those_before_it() {
    let fixture = Fixture::in_folder();
    fixture.write(3).await;
    // As a kill leaves it that came after a segment was made.
    write_privately(&fixture.path.with_file_name("audit-4.jsonl"), b"");
    let log = fixture.open().unwrap();
    std::fs::rename(fixture.path.parent().unwrap(), aside(&fixture.path)).unwrap();
    std::fs::create_dir(fixture.path.parent().unwrap()).unwrap();
    fixture.clock.advance(1);
    wait_until("it is noticed, though nobody asks", || !log.is_healthy());
    fixture.clock.advance(1);
    assert_eq!(log.append(line()).await, Err(AuditUnavailable));
    assert!(!fixture.path.with_file_name("audit-4.jsonl").exists());
}
