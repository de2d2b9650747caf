//! What the vault has and the catalogue lacks, or has of a later time.

use async_trait::async_trait;
use manager_api::name::SecretPath;
use manager_api::secrets::SecretStatus;
use manager_api::wire::CatalogueState;
use manager_policy::{Operate, Permit, Scope};
use manager_registry::{RowKey, SecretRules};
use service_runtime::sql::{SqlError, Tx};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::{EnvironmentId, SecretId};
use shared_proto::receipt::ReceiptFacts;

use super::rows::{state, version};
use super::search::index;
use super::version_tags::Tagged;
use super::{SqlStore, due, places, stages};
use crate::{Acted, Details, EnteredSecret, ReconcileStore, basis_for, event_name};

#[async_trait]
impl ReconcileStore for SqlStore {
    async fn missing(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>) -> Acted<Vec<ReceiptFacts>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("missing", basis, move |tx| missing(tx, &facts)).await
    }

    async fn absent(
        &self,
        permit: &Permit<Operate>,
        secrets: Vec<(SecretId, EnvironmentId)>,
    ) -> Acted<Vec<(SecretId, EnvironmentId)>> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.read_as("absent", basis, move |tx| {
            let mut absent = Vec::new();
            for (secret, environment) in &secrets {
                if is_absent(tx, *secret, *environment)? {
                    absent.push((*secret, *environment));
                }
            }
            Ok(absent)
        })
        .await
    }

    async fn adopt(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>, now: u64) -> Acted<u64> {
        let basis = basis_for(permit, &Scope::Installation)?;
        let key = self.key();
        self.write_as("adopt", basis, move |tx| adopt(tx, &key, &facts, now)).await
    }

    async fn move_back(&self, permit: &Permit<Operate>, facts: Vec<ReceiptFacts>) -> Acted<u64> {
        let basis = basis_for(permit, &Scope::Installation)?;
        self.write_as("move_back", basis, move |tx| move_back(tx, &facts)).await
    }
}

fn missing(tx: &mut Tx<'_>, facts: &[ReceiptFacts]) -> Result<Vec<ReceiptFacts>, SqlError> {
    let mut missing = Vec::new();
    for fact in facts {
        if lacks(tx, fact)? {
            missing.push(*fact);
        }
    }
    Ok(missing)
}

/// Tells whether the number is free, or was given up for other content. A rollback that was given up had no content.
fn lacks(tx: &mut Tx<'_>, fact: &ReceiptFacts) -> Result<bool, SqlError> {
    // A secret whose place is not the manager's has its versions all the same.
    let known = tx.optional(
        "SELECT v.state, v.envelope, e.digest FROM versions v
         JOIN envelopes e ON e.secret_id = v.secret_id AND e.envelope = v.envelope
         WHERE v.secret_id = ?1 AND v.version = ?2",
        &[&fact.secret.as_bytes(), &fact.version.get()],
        |row| Ok((state(row, 0)?, version(row, 1)?, Bytes(row.get(2)?))),
    )?;
    let Some((state, envelope, digest)) = known else {
        // One of a destroyed secret whose rows are removed: its event erases it at the vault, again after a restore.
        let name = event_name::name_of(&Event::Destroy(fact.environment, fact.secret, fact.version));
        return Ok(!tx.exists("SELECT 1 FROM events WHERE name = ?1", &[&name])?);
    };
    Ok(state == CatalogueState::Abandoned && !(envelope == fact.version && digest == fact.digest))
}

/// Tells whether a secret has no row, and its paths under `unnamed/` and `destroyed/` are free for one.
pub(super) fn is_absent(tx: &mut Tx<'_>, secret: SecretId, environment: EnvironmentId) -> Result<bool, SqlError> {
    let taken = "SELECT 1 FROM secrets WHERE secret_id = ?1
         UNION ALL SELECT 1 FROM secrets WHERE environment_id = ?2 AND path IN (?3, ?4) LIMIT 1";
    let (path, last) = (SecretPath::unnamed(secret), SecretPath::destroyed(secret));
    Ok(!tx.exists(taken, &[&secret.as_bytes(), &environment.as_bytes(), &path.as_str(), &last.as_str()])?)
}

/// Gives a secret without a row another one, with the number of its entry; 0 for none.
pub(super) fn enter(tx: &mut Tx<'_>, key: &RowKey, new: &EnteredSecret, number: u64) -> Result<(), SqlError> {
    let EnteredSecret { secret, environment, rules, now } = new;
    let is_destroyed = rules.status() == SecretStatus::Destroyed;
    let path = if is_destroyed { SecretPath::destroyed(*secret) } else { SecretPath::unnamed(*secret) };
    let details = Details::default();
    places::insert(tx, key, (*secret, *environment), (&path, rules), (number, *now))?;
    index::enter(
        tx,
        key,
        index::Entry {
            secret: *secret,
            environment: *environment,
            path: path.as_str(),
            rules,
            details: &details,
            created_at: *now,
            updated_at: *now,
        },
    )
}

fn adopt(tx: &mut Tx<'_>, key: &RowKey, facts: &[ReceiptFacts], now: u64) -> Result<u64, SqlError> {
    let mut adopted = 0;
    for fact in facts {
        if !lacks(tx, fact)? {
            continue;
        }
        if places::number_of(tx, fact.secret)?.is_none() {
            let (secret, environment, rules) = (fact.secret, fact.environment, SecretRules::of_lost(None));
            // A row without a number would not count, and keep the place of one that does.
            if key.has_changed(secret) || !is_absent(tx, secret, environment)? {
                continue;
            }
            enter(tx, key, &EnteredSecret { secret, environment, rules, now }, 0)?;
        }
        tx.execute(
            "INSERT INTO envelopes (secret_id, envelope, state, epoch, digest) VALUES (?1, ?2, 'committed', ?3, ?4)
             ON CONFLICT (secret_id, envelope) DO UPDATE
             SET state = excluded.state, epoch = excluded.epoch, digest = excluded.digest",
            &[&fact.secret.as_bytes(), &fact.version.get(), &fact.epoch, &fact.digest.0],
        )?;
        let tag =
            Tagged { created_at: now, ..Tagged::default() }.new_tag(key, (fact.secret, fact.version, fact.version));
        tx.execute(
            "INSERT INTO versions (secret_id, version, envelope, state, tag, created_at)
             VALUES (?1, ?2, ?2, 'committed', ?3, ?4) ON CONFLICT (secret_id, version) DO UPDATE
             SET envelope = excluded.envelope, state = excluded.state, note = excluded.note, author = excluded.author,
                 expires_at = excluded.expires_at, tag = excluded.tag, created_at = excluded.created_at",
            &[&fact.secret.as_bytes(), &fact.version.get(), &tag, &now],
        )?;
        // Whoever was given the number, and lost it to this content, repeats his request as a new one.
        tx.execute(
            "DELETE FROM idempotency WHERE secret_id = ?1 AND version = ?2",
            &[&fact.secret.as_bytes(), &fact.version.get()],
        )?;
        // What comes back of a destroyed secret is erased like the rest.
        tx.execute(
            "UPDATE secrets SET erase_at = 0 WHERE secret_id = ?1 AND path = ?2",
            &[&fact.secret.as_bytes(), &SecretPath::destroyed(fact.secret).as_str()],
        )?;
        stages::mend(tx, fact.secret)?;
        due::refresh(tx, key, fact.secret)?;
        adopted += 1;
    }
    Ok(adopted)
}

fn move_back(tx: &mut Tx<'_>, facts: &[ReceiptFacts]) -> Result<u64, SqlError> {
    let mut moved = 0;
    for fact in facts {
        let changed = tx.execute(
            "UPDATE envelopes SET epoch = ?3
             WHERE secret_id = ?1 AND envelope = ?2 AND state = 'committed' AND epoch > ?3 AND digest = ?4",
            &[&fact.secret.as_bytes(), &fact.version.get(), &fact.epoch, &fact.digest.0],
        )?;
        if changed > 0 {
            // Retirements that the vault signed before it was restored are no longer true.
            tx.execute(
                "UPDATE root_key_rotations SET retirement = NULL WHERE environment_id = ?1 AND epoch > ?2",
                &[&fact.environment.as_bytes(), &fact.epoch],
            )?;
            moved += 1;
        }
    }
    Ok(moved)
}
