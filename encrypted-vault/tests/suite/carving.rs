//! Traces that a destroyed envelope leaves in the files of the database: read as bytes, without the engine.
//!
//! Each test finds the ciphertext before it is destroyed, so that it would find it afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use service_runtime::sql::{Location, PostgresOptions};
use shared_proto::event::Event;
use shared_proto::id::SecretId;
use test_postgres::{Database as Kept, Server};

use crate::support::World;

/// No file.
const NOWHERE: [PathBuf; 0] = [];

/// Long enough for several pages of either engine, and for its table of long values.
const VALUE_BYTES: usize = 20_000;
/// The length of the pieces that are looked for. Pages cut the ciphertext anywhere.
const PIECE: usize = 48;

/// Pieces of a ciphertext, from everywhere in it.
struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    fn of(ciphertext: &[u8]) -> Self {
        Self(ciphertext.chunks_exact(PIECE).step_by(8).map(<[u8]>::to_vec).collect())
    }

    /// The files below a folder that hold one of the pieces.
    fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(self.files(&path));
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) if self.are_in(&bytes) => found.push(path),
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display()),
            }
        }
        found
    }

    fn are_in(&self, bytes: &[u8]) -> bool {
        // Most places are told apart by two bytes: logs are large.
        let mut begins = vec![false; 1 << 16];
        let pair = |bytes: &[u8]| usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
        self.0.iter().for_each(|piece| begins[pair(piece)] = true);
        bytes
            .windows(2)
            .enumerate()
            .any(|(at, two)| begins[pair(two)] && self.0.iter().any(|piece| bytes[at..].starts_with(piece)))
    }
}

/// A vault with an envelope that is to be destroyed, and one that stays.
async fn stored(world: &World) -> (SecretId, Pieces, Pieces) {
    let value = |letter: char| String::from(letter).repeat(VALUE_BYTES);
    let (gone, envelope) = world.manager.seal(SecretId::generate(), 1, &value('a'));
    let (_, other) = world.manager.seal(SecretId::generate(), 1, &value('b'));
    let pieces = [&envelope, &other].map(|envelope| Pieces::of(&envelope.ciphertext.0));
    world.store(vec![envelope, other]).await;
    let [gone_pieces, other_pieces] = pieces;
    (gone.id, gone_pieces, other_pieces)
}

async fn destroy(world: &mut World, secret: SecretId) {
    let version = shared_proto::id::Version::FIRST;
    world.revoke(Event::Destroy(world.manager.environment, secret, version)).await;
}

#[actix_web::test]
async fn sqlite_files_hold_nothing_of_a_destroyed_envelope_once_the_log_is_cut() {
    let mut world = World::new().await;
    let (secret, gone, other) = stored(&world).await;
    let folder = world.config.data_dir.clone();
    assert!(!gone.files(&folder).is_empty(), "the control: it is found while it is there");
    world.reopen().await;
    let file = world.config.database();
    assert!(gone.files(&folder).contains(&file), "the control: in the database itself, too");
    destroy(&mut world, secret).await;
    world.stop().await;
    assert_eq!(gone.files(&folder), NOWHERE);
    assert!(other.files(&folder).contains(&file), "the control: what stays is found in the same way");
}

#[actix_web::test]
async fn postgresql_files_hold_nothing_of_a_destroyed_envelope_after_what_the_manual_says() {
    let server = Server::own();
    let kept = Kept::create_on(&server);
    let options = PostgresOptions { password_file: Some(kept.password_file()), ..PostgresOptions::default() };
    let location = Location::new(Some(&kept.socket_url()), Some(&options), Path::new("/"), PathBuf::new(), false);
    let mut world = World::on(location.unwrap()).await;
    let (secret, gone, other) = stored(&world).await;
    let tell = |statement: &str| server.tell(kept.name(), statement);
    tell("CHECKPOINT");
    let (tables, log) = (server.data().join("base"), server.data().join("pg_wal"));
    assert!(
        !gone.files(&tables).is_empty() && !gone.files(&log).is_empty(),
        "the control: it is found while it is there"
    );
    destroy(&mut world, secret).await;
    tell("CHECKPOINT");
    let of_ours = "SELECT count(*) FROM envelopes";
    assert_eq!(kept.ask(of_ours), "1", "no statement finds it");
    // Dead rows, and the log. This is what docs/deletion.md warns of.
    println!("after the destruction: {} files", gone.files(server.data()).len());

    for statement in ["VACUUM FULL envelopes", "VACUUM FULL wrapped_keys", "CHECKPOINT"] {
        tell(statement);
    }
    assert_eq!(gone.files(&tables), NOWHERE, "the tables are written anew");
    assert!(!other.files(&tables).is_empty(), "the control: what stays is found in the same way");
    for statement in ["ALTER SYSTEM SET wal_recycle = off", "SELECT pg_reload_conf()"] {
        tell(statement);
    }
    for _ in 0..3 {
        tell("SELECT pg_switch_wal()");
        tell("CHECKPOINT");
    }
    assert_eq!(gone.files(server.data()), NOWHERE, "the log of that time is gone");
    world.stop().await;
}
