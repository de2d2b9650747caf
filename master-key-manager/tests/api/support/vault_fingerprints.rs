//! The vault's side of comparing values, with moods.

use std::sync::Arc;

use actix_web::HttpResponse;
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::comparison::{Comparison, ComparisonNonce, Likeness};
use shared_proto::encoding::Bytes;
use shared_proto::envelope::open::unwrap_transfer_key;
use shared_proto::envelope::{BoundFingerprint, ValueFingerprint};
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};
use shared_proto::secret::BindingKey;
use shared_proto::wire::fingerprint::{Compare, ComparisonAnswer, Find, VersionToCompare};

use super::vault::{FakeVault, problem};

/// How comparisons are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ComparisonMood {
    Honest,
    /// Says that everything is the same, under a key that is not pinned.
    ForgeSignature,
    /// Signs that everything is the same, for another question.
    WrongNonce,
    /// Signs a result too many.
    TooMany,
    /// Answers with nonsense.
    Garble,
    /// Says that there were too many guesses.
    Spent,
    /// Is a vault of before fingerprints: refuses a store that has one.
    OfBefore,
}

impl FakeVault {
    pub(super) fn refuses_as_before(&self, body: &[u8]) -> bool {
        let names = |word: &[u8]| body.windows(word.len()).any(|part| part == word);
        self.state().comparison_mood == ComparisonMood::OfBefore && names(b"\"fingerprint\"")
    }

    pub(super) fn compare(&self, order: &Compare) -> HttpResponse {
        let transfer = unwrap_transfer_key(&self.transport.decrypting_key().unwrap(), &order.transfer_key).unwrap();
        let results = order.values.iter().map(|value| {
            let asked = BoundFingerprint::from_moved(&transfer, &value.fingerprint).unwrap();
            match self.kept(value.secret_id, value.version) {
                Some(kept) if kept.is_same(&asked) => Likeness::Same,
                Some(_) => Likeness::Different,
                None => Likeness::Unknown,
            }
        });
        self.comparison(order.nonce, results.collect())
    }

    pub(super) fn find(&self, order: &Find) -> HttpResponse {
        let transfer = unwrap_transfer_key(&self.transport.decrypting_key().unwrap(), &order.transfer_key).unwrap();
        let read = |one: &VersionToCompare| -> Option<ValueFingerprint> {
            let key = BindingKey::from_moved(&transfer, &one.binding_key).unwrap();
            self.kept(one.secret_id, one.version)?.unbind_with(&key).ok()
        };
        let one = read(&order.one);
        let results = order.others.iter().map(|other| match (&one, read(other)) {
            (Some(one), Some(other)) if one.is_same(&other) => Likeness::Same,
            (Some(_), Some(_)) => Likeness::Different,
            _ => Likeness::Unknown,
        });
        self.comparison(order.nonce, results.collect())
    }

    fn kept(&self, secret: SecretId, version: Version) -> Option<Arc<BoundFingerprint>> {
        self.state().fingerprints.get(&(secret, version)).cloned()
    }

    fn comparison(&self, nonce: ComparisonNonce, results: Vec<Likeness>) -> HttpResponse {
        let mood = self.state().comparison_mood;
        let (key, now, lie) = (self.identity(), SystemClock.now(), vec![Likeness::Same; results.len()]);
        let comparison = match mood {
            ComparisonMood::Honest => Comparison::sign(&key, self.id, nonce, results, now),
            ComparisonMood::ForgeSignature => Comparison::sign(&self.stranger, self.id, nonce, lie, now),
            ComparisonMood::WrongNonce => Comparison::sign(&key, self.id, Bytes([0; 16]), lie, now),
            ComparisonMood::TooMany => {
                Comparison::sign(&key, self.id, nonce, vec![Likeness::Same; results.len() + 1], now)
            }
            ComparisonMood::Garble => return HttpResponse::Ok().body("?"),
            ComparisonMood::Spent => return problem(ErrorCode::RateLimited),
            ComparisonMood::OfBefore => return problem(ErrorCode::CommandInvalid),
        };
        HttpResponse::Ok().json(ComparisonAnswer { comparison })
    }
}
