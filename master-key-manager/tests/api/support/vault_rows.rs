//! The vault's side of storing and settling, with moods.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::HttpResponse;
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::open::unwrap_transfer_key;
use shared_proto::envelope::{BoundFingerprint, Inner};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use shared_proto::receipt::{Receipt, ReceiptFacts, VersionState};
use shared_proto::wire::vault::{
    EnvelopeToStore, Inventory, Receipts, Settle, Store, StoreAnswer, StoreResult, VersionName,
};

use super::vault::{FakeVault, Row, StoreMood, problem};

impl FakeVault {
    pub(super) fn store(&self, order: &Store) -> HttpResponse {
        let transfer = unwrap_transfer_key(&self.transport.decrypting_key().unwrap(), &order.transfer_key).unwrap();
        assert_eq!(order.transport_kid, self.transport.public().thumbprint());
        let mut state = self.state();
        let mood = state.store_mood;
        state.batches.push(order.envelopes.len());
        let mut results = Vec::new();
        for envelope in &order.envelopes {
            let inner = Arc::new(Inner::from_moved(&transfer, &envelope.moved).unwrap());
            let name = (envelope.secret_id, envelope.version);
            let stores = matches!(mood, StoreMood::Honest | StoreMood::StoreAndGarble);
            if stores && !state.rows.contains_key(&name) {
                if let Some(moved) = &envelope.fingerprint {
                    let bound = BoundFingerprint::from_moved(&transfer, moved).unwrap();
                    state.fingerprints.insert(name, Arc::new(bound));
                }
                state.rows.insert(
                    name,
                    Row::Stored {
                        envelope: Box::new(envelope.clone()),
                        keys: BTreeMap::from([(envelope.epoch, inner)]),
                    },
                );
            }
            let facts = state.rows.get(&name).map_or_else(|| stored_facts(envelope), |row| facts_of(name, row));
            let conflict = facts.digest != envelope.digest;
            let error = (conflict || mood == StoreMood::OtherConflict).then_some(ErrorCode::VersionConflict);
            results.push(StoreResult { error, receipt: Some(self.moody_receipt(mood, &facts)) });
        }
        match mood {
            StoreMood::StoreAndGarble | StoreMood::Garble | StoreMood::Silent => HttpResponse::Ok().body("{nonsense"),
            StoreMood::NoReceipt => {
                let none = order.envelopes.iter().map(|_| StoreResult { error: None, receipt: None });
                HttpResponse::Ok().json(StoreAnswer { results: none.collect() })
            }
            StoreMood::Honest
            | StoreMood::Late
            | StoreMood::ForgeSignature
            | StoreMood::OtherVersion
            | StoreMood::OtherConflict
            | StoreMood::OtherDigest => HttpResponse::Ok().json(StoreAnswer { results }),
        }
    }

    fn moody_receipt(&self, mood: StoreMood, facts: &ReceiptFacts) -> Receipt {
        match mood {
            StoreMood::ForgeSignature => Receipt::sign(&self.stranger, self.id, facts, SystemClock.now()),
            StoreMood::OtherVersion => self.receipt(&ReceiptFacts { version: facts.version.next().unwrap(), ..*facts }),
            StoreMood::OtherConflict => {
                let version = facts.version.next().unwrap();
                self.receipt(&ReceiptFacts { version, digest: Bytes([9; 32]), ..*facts })
            }
            StoreMood::OtherDigest => self.receipt(&ReceiptFacts { digest: Bytes([9; 32]), ..*facts }),
            StoreMood::Honest
            | StoreMood::Late
            | StoreMood::StoreAndGarble
            | StoreMood::Garble
            | StoreMood::NoReceipt
            | StoreMood::Silent => self.receipt(facts),
        }
    }

    pub(super) fn settle(&self, order: &Settle) -> HttpResponse {
        let mut state = self.state();
        if state.settles_nothing {
            return HttpResponse::Ok().body("?");
        }
        let is_used = |asked: &VersionName| state.rows.contains_key(&(asked.secret_id, asked.version));
        if order.unused && order.versions.iter().any(is_used) {
            return problem(ErrorCode::VersionConflict);
        }
        let receipts = order.versions.iter().map(|asked| {
            let name = (asked.secret_id, asked.version);
            let row = state.rows.entry(name).or_insert(Row::Tombstone { environment: asked.environment });
            self.receipt(&facts_of(name, row))
        });
        let answer = Receipts { receipts: receipts.collect() };
        HttpResponse::Ok().json(answer)
    }

    pub(super) fn inventory(&self, order: &Inventory) -> HttpResponse {
        let after = order.after.map(|cursor| (cursor.secret_id, cursor.version));
        let state = self.state();
        let stored = state
            .rows
            .iter()
            .filter(|(name, row)| !matches!(row, Row::Tombstone { .. }) && after.is_none_or(|after| **name > after));
        let receipts = stored.take(order.limit).map(|(name, row)| self.receipt(&facts_of(*name, row)));
        HttpResponse::Ok().json(Receipts { receipts: receipts.collect() })
    }
}

fn stored_facts(envelope: &EnvelopeToStore) -> ReceiptFacts {
    ReceiptFacts {
        environment: envelope.environment,
        secret: envelope.secret_id,
        version: envelope.version,
        state: VersionState::Stored,
        epoch: envelope.epoch,
        digest: envelope.digest,
    }
}

pub(super) fn facts_of((secret, version): (SecretId, Version), row: &Row) -> ReceiptFacts {
    let (environment, state, epoch, digest) = match row {
        Row::Stored { envelope, keys } => {
            let epoch = keys.keys().last().copied().unwrap_or(envelope.epoch);
            return ReceiptFacts { epoch, ..stored_facts(envelope) };
        }
        Row::Foreign { environment } => (*environment, VersionState::Stored, 1, Bytes([8; 32])),
        Row::Tombstone { environment } => (*environment, VersionState::Tombstone, 0, Bytes([0; 32])),
    };
    ReceiptFacts { environment, secret, version, state, epoch, digest }
}
