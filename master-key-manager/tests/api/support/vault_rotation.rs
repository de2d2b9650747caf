//! The vault's side of the exchange of root keys, with moods.

use std::sync::Arc;

use actix_web::HttpResponse;
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::envelope::Inner;
use shared_proto::envelope::open::unwrap_transfer_key;
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;
use shared_proto::receipt::ReceiptFacts;
use shared_proto::retirement::{Retirement, RetirementFacts};
use shared_proto::wire::vault::{
    HandedOut, Handout, HandoutAnswer, Retire, RetireAnswer, Rewrap, StoreAnswer, StoreResult,
};

use super::vault::{FakeVault, Row, problem};
use super::vault_rows::facts_of;

/// How rewrap commands are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RewrapMood {
    Honest,
    /// Signs for keys that it does not keep.
    LosesKeys,
    /// Keeps the keys, and signs for the epoch before.
    OldReceipt,
}

impl FakeVault {
    pub(super) fn handout(&self, order: &Handout) -> HttpResponse {
        let transfer = unwrap_transfer_key(&self.transport.decrypting_key().unwrap(), &order.transfer_key).unwrap();
        let state = self.state();
        let rows = order.versions.iter().map(|asked| match state.rows.get(&(asked.secret_id, asked.version)) {
            Some(Row::Stored { envelope, keys }) if keys.contains_key(&order.epoch) => {
                let inner = state.planted.as_ref().filter(|_| order.epoch > 1).unwrap_or(&keys[&order.epoch]);
                HandedOut::Key { digest: envelope.digest, moved: inner.move_with(&transfer).unwrap() }
            }
            _ => HandedOut::Refused { error: ErrorCode::SecretNotFound },
        });
        let rows = rows.collect();
        HttpResponse::Ok().json(HandoutAnswer { rows })
    }

    pub(super) fn rewrap(&self, order: &Rewrap) -> HttpResponse {
        let transfer = unwrap_transfer_key(&self.transport.decrypting_key().unwrap(), &order.transfer_key).unwrap();
        let mut state = self.state();
        let mood = state.rewrap_mood;
        let mut results = Vec::new();
        for row in &order.rows {
            let name = (row.secret_id, row.version);
            let Some(stored) = state.rows.get_mut(&name) else { panic!("a row that was never handed out") };
            let Row::Stored { keys, .. } = stored else { panic!("a row without a key") };
            if mood != RewrapMood::LosesKeys {
                let inner = Inner::from_moved(&transfer, &row.moved).unwrap();
                keys.entry(order.epoch).or_insert_with(|| Arc::new(inner));
            }
            let epoch = if mood == RewrapMood::OldReceipt { order.epoch - 1 } else { order.epoch };
            let facts = ReceiptFacts { epoch, ..facts_of(name, stored) };
            results.push(StoreResult { error: None, receipt: Some(self.receipt(&facts)) });
        }
        HttpResponse::Ok().json(StoreAnswer { results })
    }

    pub(super) fn retire(&self, order: &Retire) -> HttpResponse {
        let mut state = self.state();
        let mut rows = 0;
        for row in state.rows.values_mut() {
            let Row::Stored { envelope, keys } = row else { continue };
            if envelope.environment != order.environment {
                continue;
            }
            rows += 1;
            if keys.keys().all(|epoch| *epoch < order.epoch) {
                return problem(ErrorCode::EpochIncomplete);
            }
            keys.retain(|epoch, _| *epoch >= order.epoch);
        }
        let facts =
            RetirementFacts { environment: order.environment, epoch: order.epoch, rows, time: SystemClock.now() };
        let retirement = Retirement::sign(&self.identity(), self.id, &facts);
        HttpResponse::Ok().json(RetireAnswer { retirement })
    }

    /// The epochs under which each stored version of an environment has a key.
    pub(crate) fn epochs(&self, environment: EnvironmentId) -> Vec<Vec<u32>> {
        let state = self.state();
        let stored = state.rows.values().filter_map(|row| match row {
            Row::Stored { envelope, keys } if envelope.environment == environment => {
                Some(keys.keys().copied().collect())
            }
            Row::Stored { .. } | Row::Foreign { .. } | Row::Tombstone { .. } => None,
        });
        stored.collect()
    }
}
