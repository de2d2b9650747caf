//! The anchor: the newest entry that this manager has acknowledged, kept outside of the database.

use serde::{Deserialize, Serialize};
use shared_proto::Rejected;

use crate::{RegistryKey, Tag, WrittenEntry};

/// Number and tag of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The entry's number.
    pub number: u64,
    /// Its tag.
    pub tag: Tag,
}

/// How a database stands to the anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The anchor's entry is the newest of the log; or one more continues it, which a crash kept from the anchor.
    Current,
    /// The log lacks the anchor's entry, so that an earlier database was put back; or more than one entry follows, so that an
    /// earlier anchor was.
    PutBack,
}

impl Anchor {
    /// Compares the log with the anchor. `later` are its entries from the anchor's number on, in order.
    ///
    /// # Errors
    /// An entry was not written with this key, or does not continue the one before it.
    pub fn compare(&self, later: &[WrittenEntry], key: &RegistryKey) -> Result<Standing, Rejected> {
        let Some((first, rest)) = later.split_first() else { return Ok(Standing::PutBack) };
        if first.number != self.number || first.tag != self.tag {
            return Ok(Standing::PutBack);
        }
        let mut before = first;
        for next in rest {
            let entry = next.read(key)?;
            if entry.before != before.tag || entry.number <= before.number {
                return Err(Rejected);
            }
            before = next;
        }
        // Each change raises the anchor before the next one is made.
        Ok(if rest.len() > 1 { Standing::PutBack } else { Standing::Current })
    }
}

impl From<&WrittenEntry> for Anchor {
    fn from(entry: &WrittenEntry) -> Self {
        Self { number: entry.number, tag: entry.tag }
    }
}
