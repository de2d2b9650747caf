//! The keys of an issuer in memory: when they are fetched, and how long they count.
//!
//! Guarantees that a stranger who names unknown keys causes one fetch in each gap at most, that a key that the issuer
//! has withdrawn is gone at the next fetch, also if it was the last one, and that an issuer that cannot be reached keeps its last keys for a bounded
//! time. Only one fetch runs at a time; whoever comes meanwhile gets what is known, or is asked to come again.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use super::KeySetUrl;
use crate::jwk::{Jwk, JwkError, KeySet};

/// The times of a cache in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The time that a set counts without being fetched again. A withdrawn key counts as long.
    pub fresh: u64,
    /// The shortest time between two fetches.
    pub gap: u64,
    /// The time that the last good set counts while the issuer cannot be reached.
    pub last_good: u64,
}

impl CacheLimits {
    /// Ten minutes, half a minute, and six hours.
    pub const DEFAULT: Self = Self { fresh: 600, gap: 30, last_good: 6 * 3600 };
}

/// Fetches key sets.
///
/// An implementation has a time-out, reads [`crate::jwk::MAX_SET_BYTES`] at most, follows no redirect, uses no proxy
/// that was not configured for it, and connects only to addresses that [`super::AddressRules::permits`].
pub trait FetchKeySet {
    /// The document at an address, if the answer is 200.
    fn fetch(&self, url: &KeySetUrl) -> impl Future<Output = Result<Vec<u8>, FetchFault>> + Send;
}

/// A key set could not be had. The cause is for the log of whoever fetches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key set cannot be fetched")]
pub struct FetchFault;

/// The answer of a cache about a key.
#[derive(Clone, Debug)]
pub enum Look {
    /// The key.
    Key(Jwk),
    /// The set is to be fetched first: [`KeySetCache::begin`].
    Fetch,
    /// The issuer has no such key, as far as is known.
    Unknown,
    /// No set counts. The same token may be accepted later.
    Unavailable,
}

/// The key set of one address.
#[derive(Debug)]
pub struct KeySetCache {
    limits: CacheLimits,
    good: Option<(KeySet, u64)>,
    /// The beginning of the last fetch.
    begun: Option<u64>,
}

impl KeySetCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Self {
        Self { limits, good: None, begun: None }
    }

    /// Looks a key up at this time (Unix seconds).
    pub fn look(&self, kid: &str, now: u64) -> Look {
        let age = self.good.as_ref().map(|(_, fetched)| now.abs_diff(*fetched));
        let found = self.good.as_ref().and_then(|(set, _)| set.find(kid));
        // A clock that went back makes a set old rather than new.
        let younger = |limit: u64| age.is_some_and(|age| age < limit);
        match found {
            Some(key) if younger(self.limits.fresh) => Look::Key(key.clone()),
            _ if self.begun.is_none_or(|begun| now.abs_diff(begun) >= self.limits.gap) => Look::Fetch,
            Some(key) if younger(self.limits.last_good) => Look::Key(key.clone()),
            None if younger(self.limits.last_good) => Look::Unknown,
            Some(_) | None => Look::Unavailable,
        }
    }

    /// Begins a fetch, if none has begun within the gap. Whoever is answered `true` fetches, and then calls
    /// [`Self::end`].
    pub fn begin(&mut self, now: u64) -> bool {
        let may = self.begun.is_none_or(|begun| now.abs_diff(begun) >= self.limits.gap);
        if may {
            self.begun = Some(now);
        }
        may
    }

    /// Ends a fetch with the document. A document that is no key set changes nothing. A set without a usable key takes the
    /// last one away: the issuer has withdrawn its keys.
    ///
    /// # Errors
    /// It is no key set.
    pub fn end(&mut self, document: &[u8], now: u64) -> Result<(), JwkError> {
        self.good = Some((KeySet::published(document)?, now));
        Ok(())
    }
}

/// The key of an issuer, fetched if need be. The lock is not held while waiting.
///
/// # Errors
/// [`Look::Unknown`] or [`Look::Unavailable`].
pub async fn key_of<F: FetchKeySet + Sync>(
    cache: &Mutex<KeySetCache>,
    fetcher: &F,
    url: &KeySetUrl,
    kid: &str,
    clock: impl Fn() -> u64,
) -> Result<Jwk, Look> {
    let locked = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    let first = locked().look(kid, clock());
    let now = clock();
    if matches!(first, Look::Fetch) && locked().begin(now) {
        let fetched = fetcher.fetch(url).await;
        if let Ok(document) = fetched {
            // The age counts from the beginning: the issuer may have changed its keys since.
            let _unusable = locked().end(&document, now);
        }
    }
    match locked().look(kid, clock()) {
        Look::Key(key) => Ok(key),
        Look::Fetch | Look::Unavailable => Err(Look::Unavailable),
        Look::Unknown => Err(Look::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::task::{Context, Poll, Waker};

    use serde_json::json;

    use super::*;
    use crate::testing::Signer;
    use crate::trust::AddressRules;

    const LIMITS: CacheLimits = CacheLimits { fresh: 600, gap: 30, last_good: 3600 };

    /// An issuer whose document changes, and that counts how often it is asked.
    struct Issuer {
        document: Mutex<Result<Vec<u8>, FetchFault>>,
        asked: AtomicU64,
    }

    impl FetchKeySet for Issuer {
        async fn fetch(&self, _url: &KeySetUrl) -> Result<Vec<u8>, FetchFault> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.document.lock().unwrap().clone()
        }
    }

    impl Issuer {
        fn new(signers: &[&Signer]) -> Self {
            let issuer = Self { document: Mutex::new(Err(FetchFault)), asked: AtomicU64::new(0) };
            issuer.publish(signers);
            issuer
        }

        fn publish(&self, signers: &[&Signer]) {
            let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
            *self.document.lock().unwrap() = Ok(json!({"keys": keys}).to_string().into_bytes());
        }

        fn fail(&self, document: Result<&str, FetchFault>) {
            *self.document.lock().unwrap() = document.map(|text| text.as_bytes().to_vec());
        }

        fn asked(&self) -> u64 {
            self.asked.load(Ordering::SeqCst)
        }
    }

    fn ask(cache: &Mutex<KeySetCache>, issuer: &Issuer, kid: &str, now: u64) -> Result<(), &'static str> {
        let url = KeySetUrl::parse("https://issuer.example/keys", &AddressRules::STRICT).unwrap();
        let future = pin!(key_of(cache, issuer, &url, kid, || now));
        let Poll::Ready(result) = future.poll(&mut Context::from_waker(Waker::noop())) else { panic!("it waits") };
        match result {
            Ok(key) => {
                assert_eq!(key.kid(), Some(kid));
                Ok(())
            }
            Err(Look::Unknown) => Err("unknown"),
            Err(_) => Err("unavailable"),
        }
    }

    fn cache() -> Mutex<KeySetCache> {
        Mutex::new(KeySetCache::new(LIMITS))
    }

    #[test]
    fn set_is_fetched_once_while_it_is_fresh() {
        let (one, cache) = (Signer::ed25519("one"), cache());
        let issuer = Issuer::new(&[&one]);
        for now in [1000, 1001, 1599] {
            assert_eq!(ask(&cache, &issuer, "one", now), Ok(()));
        }
        assert_eq!(issuer.asked(), 1);
        assert_eq!(ask(&cache, &issuer, "one", 1600), Ok(()));
        assert_eq!(issuer.asked(), 2);
    }

    #[test]
    fn new_key_is_found_after_the_gap_and_strangers_cause_one_fetch_in_each() {
        let (one, two, cache) = (Signer::ed25519("one"), Signer::ed25519("two"), cache());
        let issuer = Issuer::new(&[&one]);
        assert_eq!(ask(&cache, &issuer, "one", 1000), Ok(()));
        for now in 1001..1030 {
            assert_eq!(ask(&cache, &issuer, "evil", now), Err("unknown"));
        }
        assert_eq!(issuer.asked(), 1);
        issuer.publish(&[&one, &two]);
        assert_eq!(ask(&cache, &issuer, "two", 1029), Err("unknown"));
        assert_eq!(ask(&cache, &issuer, "two", 1030), Ok(()));
        for now in 1031..1091 {
            assert_eq!(ask(&cache, &issuer, "evil", now), Err("unknown"));
            assert_eq!(ask(&cache, &issuer, "one", now), Ok(()));
        }
        assert_eq!(issuer.asked(), 4);
    }

    #[test]
    fn withdrawn_key_is_gone_at_the_next_fetch() {
        let (one, two, cache) = (Signer::ed25519("one"), Signer::ed25519("two"), cache());
        let issuer = Issuer::new(&[&one]);
        assert_eq!(ask(&cache, &issuer, "one", 1000), Ok(()));
        issuer.publish(&[&two]);
        assert_eq!(ask(&cache, &issuer, "one", 1599), Ok(()));
        assert_eq!(ask(&cache, &issuer, "one", 1600), Err("unknown"));
        assert_eq!(ask(&cache, &issuer, "two", 1600), Ok(()));
    }

    #[test]
    fn last_good_set_counts_for_a_bounded_time_while_the_issuer_fails() {
        let (one, cache) = (Signer::ed25519("one"), cache());
        let issuer = Issuer::new(&[&one]);
        assert_eq!(ask(&cache, &issuer, "one", 1000), Ok(()));
        for (now, document) in
            [(1700, Err(FetchFault)), (1800, Ok("{}")), (1900, Ok("<html>")), (2000, Ok(r#"{"keys":[1]}"#))]
        {
            issuer.fail(document);
            assert_eq!(ask(&cache, &issuer, "one", now), Ok(()), "{now}");
        }
        assert_eq!(issuer.asked(), 5);
        assert_eq!(ask(&cache, &issuer, "one", 4599), Ok(()));
        assert_eq!(ask(&cache, &issuer, "one", 4600), Err("unavailable"));
        issuer.publish(&[&one]);
        assert_eq!(ask(&cache, &issuer, "one", 4601), Err("unavailable"), "within the gap");
        assert_eq!(ask(&cache, &issuer, "one", 4629), Ok(()));
    }

    #[test]
    fn set_without_a_usable_key_takes_the_last_one_away() {
        for document in [
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"EC","crv":"P-521","kid":"one"}]}"#,
            r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","d":"AA"}]}"#,
        ] {
            let (one, cache) = (Signer::ed25519("one"), cache());
            let issuer = Issuer::new(&[&one]);
            assert_eq!(ask(&cache, &issuer, "one", 1000), Ok(()));
            issuer.fail(Ok(document));
            assert_eq!(ask(&cache, &issuer, "one", 1600), Err("unknown"), "{document}");
            issuer.fail(Err(FetchFault));
            assert_eq!(ask(&cache, &issuer, "one", 1700), Err("unknown"), "{document}");
            issuer.publish(&[&one]);
            assert_eq!(ask(&cache, &issuer, "one", 1730), Ok(()), "{document}");
        }
    }

    #[test]
    fn issuer_that_was_never_reached_is_unavailable_and_not_unknown() {
        let (one, cache) = (Signer::ed25519("one"), cache());
        let issuer = Issuer::new(&[&one]);
        issuer.fail(Err(FetchFault));
        assert_eq!(ask(&cache, &issuer, "one", 1000), Err("unavailable"));
        assert_eq!(ask(&cache, &issuer, "one", 1001), Err("unavailable"));
        assert_eq!(issuer.asked(), 1);
    }

    #[test]
    fn only_one_fetch_begins_at_a_time() {
        let mut cache = KeySetCache::new(LIMITS);
        assert!(cache.begin(1000) && !cache.begin(1000) && !cache.begin(1029));
        assert!(matches!(cache.look("one", 1001), Look::Unavailable));
        assert!(cache.begin(1030));
    }

    #[test]
    fn clock_that_went_back_makes_the_set_old() {
        let (one, cache) = (Signer::ed25519("one"), cache());
        let issuer = Issuer::new(&[&one]);
        assert_eq!(ask(&cache, &issuer, "one", 100_000), Ok(()));
        issuer.fail(Err(FetchFault));
        assert_eq!(ask(&cache, &issuer, "one", 1000), Err("unavailable"));
    }
}
