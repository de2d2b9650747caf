//! The hours in which credentials were used last, until maintenance writes them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use shared_proto::id::CredentialId;

/// The last uses of credentials, to the hour. They inform, and nothing is decided from them.
///
/// There is one for each credential that was used since the start, so the number of credentials bounds them.
#[derive(Debug, Default)]
pub struct LastUses(Mutex<HashMap<CredentialId, LastUse>>);

#[derive(Clone, Copy, Debug)]
struct LastUse {
    hour: u64,
    is_written: bool,
}

/// An hour in seconds.
const HOUR: u64 = 3_600;

impl LastUses {
    /// Notes that a credential is used.
    pub fn note(&self, credential: CredentialId, now: u64) {
        let hour = now - now % HOUR;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(credential).or_insert(LastUse { hour, is_written: false });
        if known.hour < hour {
            *known = LastUse { hour, is_written: false };
        }
    }

    /// The hour of the last use that is noted here; `None` if there is none.
    pub fn of(&self, credential: CredentialId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&credential).map(|use_| use_.hour)
    }

    /// Up to `most` of those that are not written.
    pub fn unwritten(&self, most: usize) -> Vec<(CredentialId, u64)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let unwritten = all.iter().filter(|(_, use_)| !use_.is_written);
        unwritten.map(|(credential, use_)| (*credential, use_.hour)).take(most).collect()
    }

    /// Notes that these are written.
    pub fn written(&self, uses: &[(CredentialId, u64)]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (credential, hour) in uses {
            if let Some(known) = all.get_mut(credential).filter(|known| known.hour == *hour) {
                known.is_written = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_hour_of_a_credential_is_written_once() {
        let (uses, id) = (LastUses::default(), CredentialId::generate());
        for now in [7_200, 7_201, 10_799] {
            uses.note(id, now);
        }
        assert_eq!((uses.of(id), uses.unwritten(9)), (Some(7_200), vec![(id, 7_200)]));
        // Used in the next hour while that of before is written.
        let writing = uses.unwritten(9);
        uses.note(id, 10_800);
        uses.written(&writing);
        assert_eq!(uses.unwritten(9), [(id, 10_800)]);
        uses.written(&[(id, 10_800)]);
        uses.note(id, 10_801);
        // A clock that was put back makes no earlier use of it.
        uses.note(id, 7_200);
        assert!(uses.unwritten(9).is_empty());
        uses.note(CredentialId::generate(), 1);
        uses.note(CredentialId::generate(), 1);
        assert_eq!(uses.unwritten(1).len(), 1);
    }
}
