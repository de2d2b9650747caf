//! `Idempotency-Key`: a repeat gets the result of the first request.
//!
//! Secret and version of a key are kept on disk for 24 hours. The body is compared by an HMAC under a key that exists in
//! memory only. On disk it would be a fingerprint against which guesses at the value could be checked.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use manager_api::name::IdempotencyKey;
use manager_store::KEPT_SECONDS;
use serde::Serialize;
use service_runtime::clock::Clock;
use shared_proto::encoding::{b64, random};
use shared_proto::id::Subject;
use zeroize::Zeroizing;

use crate::catalogue::KeyedLocks;

/// How a body compares with that of the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Same,
    /// Another one.
    Different,
    /// The first body is forgotten: the manager was restarted since.
    Forgotten,
}

/// A keyed hash of a body.
#[derive(Clone, Copy)]
pub struct BodyMark([u8; 32]);

/// The bodies of this process's lifetime, by their keyed hashes.
pub struct Bodies {
    key: hmac::Key,
    marks: Mutex<Marks>,
    clock: Arc<dyn Clock>,
    /// One request at a time for each caller and key.
    pub locks: KeyedLocks<CallersKey>,
}

type CallersKey = (String, IdempotencyKey);

#[derive(Default)]
struct Marks {
    of: HashMap<CallersKey, BodyMark>,
    /// With the time of each, oldest first. A key that is remembered again occurs twice.
    order: VecDeque<(u64, CallersKey)>,
}

/// Bodies that are remembered, of all callers together: some 40 MB. With more within a day the oldest are forgotten, as
/// with a restart: their repeats are answered `idempotency_unknown`. Their rows on disk are as many as the versions
/// that were written in that day, which stay permanently.
const MAX_BODIES: usize = 100_000;

impl Bodies {
    /// An empty memory of bodies.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let key = Zeroizing::new(random::<32>());
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*key);
        Self { key, marks: Mutex::default(), clock, locks: KeyedLocks::default() }
    }

    /// The mark of a request, over the JSON that its type writes: the same for every text that is read as this request,
    /// another one for every other request of the type. A member that is absent differs from its default.
    ///
    /// # Errors
    /// The type cannot be serialized.
    pub fn mark<B: Serialize + ?Sized>(&self, body: &B) -> Result<BodyMark, serde_json::Error> {
        let mut digest = Digest(hmac::Context::with_key(&self.key));
        serde_json::to_writer(&mut digest, body)?;
        let mut out = [0; 32];
        out.copy_from_slice(digest.0.sign().as_ref());
        Ok(BodyMark(out))
    }

    /// Compares a body with the remembered one of the key.
    pub fn compare(&self, subject: &Subject, key: &IdempotencyKey, mark: &BodyMark) -> Comparison {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        match marks.of.get(&(subject.to_string(), key.clone())) {
            None => Comparison::Forgotten,
            Some(known) if verify_slices_are_equal(&known.0, &mark.0).is_ok() => Comparison::Same,
            Some(_) => Comparison::Different,
        }
    }

    /// Remembers the body of a first request.
    pub fn remember(&self, subject: &Subject, key: &IdempotencyKey, mark: BodyMark) {
        let now = self.clock.now();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |marks: &Marks| {
            let old = |(at, _): &(u64, _)| now.saturating_sub(*at) >= KEPT_SECONDS;
            marks.order.len() >= MAX_BODIES || marks.order.front().is_some_and(old)
        };
        while is_over(&marks) {
            if let Some((_, oldest)) = marks.order.pop_front() {
                marks.of.remove(&oldest);
            }
        }
        let key = (subject.to_string(), key.clone());
        marks.of.insert(key.clone(), mark);
        marks.order.push_back((now, key));
    }
}

/// The key of one operation of a request with many. It is the same for each repeat, and has no other use.
pub fn key_of_part(key: &IdempotencyKey, number: usize) -> Option<IdempotencyKey> {
    let whole = digest(&SHA256, key.as_str().as_bytes());
    IdempotencyKey::parse(format!("part-{number}-{}", b64(whole.as_ref()))).ok()
}

/// Takes what is written into the HMAC at once: a buffer would keep a copy of the value.
struct Digest(hmac::Context);

impl Write for Digest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use service_runtime::clock::ManualClock;
    use shared_proto::id::ServiceId;

    use super::*;

    #[test]
    fn another_body_is_seen_and_a_new_process_has_forgotten() {
        let bodies = Bodies::new(Arc::new(ManualClock::new(1, 1)));
        let (subject, key) = (Subject::Service(ServiceId::generate()), IdempotencyKey::parse("k").unwrap());
        let mark_of = |members: [&str; 2]| bodies.mark(&members).unwrap();
        let mark = mark_of(["ab", "c"]);
        assert_eq!(bodies.compare(&subject, &key, &mark), Comparison::Forgotten);
        bodies.remember(&subject, &key, mark);
        assert_eq!(bodies.compare(&subject, &key, &mark_of(["ab", "c"])), Comparison::Same);
        for other in [["a", "bc"], ["ab", "\"c"], ["ab\",\"c", ""], ["ab", "c\0"]] {
            assert_eq!(bodies.compare(&subject, &key, &mark_of(other)), Comparison::Different, "{other:?}");
        }
    }

    #[test]
    fn the_oldest_bodies_are_forgotten_after_a_day_and_when_there_are_too_many() {
        let clock = Arc::new(ManualClock::new(1, 1));
        let bodies = Bodies::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let subject = Subject::Service(ServiceId::generate());
        let key = |number: usize| IdempotencyKey::parse(number.to_string()).unwrap();
        let mark = bodies.mark("body").unwrap();
        for number in 0..=MAX_BODIES {
            bodies.remember(&subject, &key(number), mark);
        }
        let known = |number| bodies.compare(&subject, &key(number), &mark) == Comparison::Same;
        assert!(!known(0) && known(1) && known(MAX_BODIES));
        clock.advance(KEPT_SECONDS);
        bodies.remember(&subject, &key(1), mark);
        assert!(known(1) && !known(2) && !known(MAX_BODIES));
    }
}
