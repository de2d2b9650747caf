//! A database that somebody else writes to: the right value or a refusal, never another value.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use shared_proto::encoding::random;
use shared_proto::id::{EnvironmentId, SecretId};

use crate::support::{Secret, World};

/// Every column, and whether the value depends on it.
const COLUMNS: &[(&str, &str, bool)] = &[
    ("envelopes", "secret_id", true),
    ("envelopes", "version", true),
    ("envelopes", "environment_id", false),
    ("envelopes", "digest", false),
    ("envelopes", "key_commitment", true),
    ("envelopes", "nonce", true),
    ("envelopes", "ciphertext", true),
    ("envelopes", "stored_at", false),
    ("wrapped_keys", "secret_id", true),
    ("wrapped_keys", "version", true),
    ("wrapped_keys", "epoch", false),
    ("wrapped_keys", "storage_key", true),
    ("wrapped_keys", "wrapped", true),
];

fn roll(sides: usize) -> usize {
    usize::try_from(u32::from_be_bytes(random())).unwrap() % sides
}

fn key_of(secret: &Secret) -> [Value; 2] {
    [Value::Blob(secret.id.as_bytes().to_vec()), Value::Integer(secret.version.get().cast_signed())]
}

fn cell(conn: &Connection, table: &str, column: &str, secret: &Secret) -> Value {
    let sql = format!("SELECT {column} FROM {table} WHERE secret_id = ?1 AND version = ?2");
    conn.query_row(&sql, params_from_iter(key_of(secret)), |row| row.get(0)).unwrap()
}

fn set_cell(conn: &Connection, table: &str, column: &str, secret: &Secret, value: Value) {
    let [id, version] = key_of(secret);
    let sql = format!("UPDATE {table} SET {column} = ?1 WHERE secret_id = ?2 AND version = ?3");
    assert_eq!(conn.execute(&sql, params_from_iter([value, id, version])).unwrap(), 1);
}

#[actix_web::test]
async fn a_thousand_flipped_bits_never_give_another_value() {
    let world = World::new().await;
    let mut stored = Vec::new();
    for _ in 0..16 {
        let sealed: Vec<_> = (0..64)
            .map(|_| {
                let value = shared_proto::encoding::b64(&random::<24>());
                let (secret, envelope) = world.manager.seal(SecretId::generate(), 1, &value);
                (secret, envelope, value)
            })
            .collect();
        world.store(sealed.iter().map(|(_, envelope, _)| envelope.clone()).collect()).await;
        let secrets: Vec<Secret> = sealed.iter().map(|(secret, ..)| *secret).collect();
        let token = world.token(&secrets);
        stored.extend(sealed.into_iter().map(|(secret, _, value)| (secret, value, token.clone())));
    }
    let conn = world.database();
    let (mut refused, mut right) = (0, 0);
    for (number, (secret, value, token)) in stored.iter().enumerate() {
        if number % 16 == 0 {
            // Each token has its budget of refusals for a second.
            world.clock.advance(1);
        }
        let (table, column, essential) = COLUMNS[number % COLUMNS.len()];
        let flipped = match cell(&conn, table, column, secret) {
            Value::Blob(mut bytes) => {
                let bit = roll(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
                Value::Blob(bytes)
            }
            Value::Integer(integer) => Value::Integer(integer ^ (1_i64 << roll(64))),
            other @ (Value::Null | Value::Real(_) | Value::Text(_)) => panic!("{other:?} in {column}"),
        };
        set_cell(&conn, table, column, secret, flipped);
        match world.value(token, secret).await {
            Ok(found) => {
                assert!(found == *value, "another value after a flip in {table}.{column}");
                assert!(!essential, "{table}.{column} does not matter");
                right += 1;
            }
            Err((status, code)) => {
                let known = [(401, "token_invalid"), (404, "secret_not_found"), (503, "storage_unavailable")];
                assert!(known.contains(&(status, code.as_str())), "{status} {code} in {table}.{column}");
                refused += 1;
            }
        }
    }
    assert_eq!(refused + right, 1_024);
    assert!(refused > 700 && right > 200, "{refused} refused, {right} right");
}

#[actix_web::test]
async fn cells_of_another_type_or_length_are_refused() {
    let world = World::new().await;
    let strange = [Value::Null, Value::Integer(7), Value::Real(0.5), Value::Text("x".into()), Value::Blob(vec![1; 3])];
    for (table, column, essential) in
        COLUMNS.iter().filter(|(_, column, _)| !matches!(*column, "secret_id" | "version"))
    {
        for value in strange.clone() {
            let secret = world.secret("v").await;
            let conn = world.database();
            conn.pragma_update(None, "writable_schema", "RESET").unwrap();
            let token = world.token(&[secret]);
            let [id, version] = key_of(&secret);
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE secret_id = ?2 AND version = ?3");
            if conn.execute(&sql, params_from_iter([value.clone(), id, version])).is_err() {
                // SQLite itself refuses NULL there.
                continue;
            }
            if let Ok(found) = world.value(&token, &secret).await {
                assert!(found == "v" && !essential, "{table}.{column} = {value:?}");
            }
        }
    }
}

/// Sets of columns that an adversary exchanges between two rows.
const SWAPS: &[&[(&str, &str)]] = &[
    &[("envelopes", "ciphertext")],
    &[("envelopes", "nonce")],
    &[("envelopes", "key_commitment")],
    &[("wrapped_keys", "wrapped")],
    &[("envelopes", "ciphertext"), ("envelopes", "nonce")],
    &[("envelopes", "ciphertext"), ("envelopes", "nonce"), ("envelopes", "key_commitment")],
    &[
        ("envelopes", "ciphertext"),
        ("envelopes", "nonce"),
        ("envelopes", "key_commitment"),
        ("wrapped_keys", "wrapped"),
        ("wrapped_keys", "epoch"),
        ("wrapped_keys", "storage_key"),
        ("envelopes", "digest"),
        ("envelopes", "environment_id"),
    ],
];

#[actix_web::test]
async fn rows_exchanged_between_secrets_versions_and_environments_do_not_open() {
    let mut world = World::new().await;
    for swap in SWAPS {
        let id = SecretId::generate();
        let (old, first) = world.manager.seal(id, 1, "old");
        let (new, second) = world.manager.seal(id, 2, "new");
        let (mine, third) = world.manager.seal(SecretId::generate(), 1, "mine");
        let (other, fourth) = world.manager.seal(SecretId::generate(), 1, "other");
        let (here, fifth) = world.manager.seal(SecretId::generate(), 1, "here");
        world.store(vec![first, second, third, fourth, fifth]).await;
        let tokens: Vec<String> =
            [old, new, mine, other, here].into_iter().map(|secret| world.token(&[secret])).collect();
        let home = std::mem::replace(&mut world.manager.environment, EnvironmentId::generate());
        let there = world.secret("there").await;
        let token_there = world.token(&[there]);
        world.manager.environment = home;
        let pairs = [
            ((old, tokens[0].clone()), (new, tokens[1].clone())),
            ((mine, tokens[2].clone()), (other, tokens[3].clone())),
            ((here, tokens[4].clone()), (there, token_there)),
        ];
        let conn = world.database();
        for ((one, token), (two, token_two)) in pairs {
            for (table, column) in *swap {
                let (a, b) = (cell(&conn, table, column, &one), cell(&conn, table, column, &two));
                set_cell(&conn, table, column, &one, b);
                set_cell(&conn, table, column, &two, a);
            }
            let refused = Err((401, "token_invalid".to_owned()));
            assert_eq!(world.value(&token, &one).await, refused, "{swap:?}");
            assert_eq!(world.value(&token_two, &two).await, refused, "{swap:?}");
        }
    }
}

#[actix_web::test]
async fn an_altered_row_does_not_keep_its_neighbours_of_a_batch_back() {
    let world = World::new().await;
    let altered = [
        ("envelopes", "nonce", Value::Blob(vec![0; 12]), "token_invalid"),
        ("envelopes", "nonce", Value::Blob(vec![0; 11]), "secret_not_found"),
        ("envelopes", "ciphertext", Value::Text("x".into()), "secret_not_found"),
        ("envelopes", "key_commitment", Value::Integer(1), "secret_not_found"),
        ("wrapped_keys", "storage_key", Value::Integer(-1), "token_invalid"),
        ("wrapped_keys", "epoch", Value::Integer(1 << 40), "token_invalid"),
        ("wrapped_keys", "wrapped", Value::Text("x".into()), "token_invalid"),
    ];
    for (table, column, value, code) in altered {
        let (good, bad) = (world.secret("good").await, world.secret("bad").await);
        set_cell(&world.database(), table, column, &bad, value.clone());
        let body = format!(r#"{{"key_ids":["{}","{}"]}}"#, bad.id, good.id).into_bytes();
        let reply = crate::support::command(&world.vault, "/api/keys:read", &world.token(&[good, bad]), body).await;
        let keys = reply.json()["keys"].clone();
        assert_eq!(keys[0]["code"], code, "{table}.{column} = {value:?}");
        assert_eq!(keys[1]["decrypted_key"], "good", "{table}.{column} = {value:?}");
    }
}
