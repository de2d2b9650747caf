//! The renewal of the rows of secrets whose places never changed.
//!
//! Such a row has no record that tells it from a row that somebody put back. While a secret is there, its row is found; when it is
//! removed, its record goes with it, and nothing but this would tell the row that it had before its first change.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Snapshot;

/// The newest renewal. Every row of a secret that is in use and has no record of its place was written or renewed when the registry
/// had the number `floor` or a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renewal {
    /// The id: there is one record.
    pub renewal_id: RenewalId,
    /// The number below which no such row counts.
    pub floor: u64,
    /// The number of the entry that says so. The entry sets it.
    pub number: u64,
}

/// The id of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RenewalId {
    /// Of places.
    Places,
}

impl fmt::Display for RenewalId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("places")
    }
}

impl Renewal {
    /// A renewal up to a number, which gets its own with its entry.
    pub const fn up_to(floor: u64) -> Self {
        Self { renewal_id: RenewalId::Places, floor, number: 0 }
    }
}

impl Snapshot {
    /// The number below which no row of a secret counts that has no record of its place; 0 before the first renewal. The record
    /// of a destroyed secret can be removed once its number is not above this one: each of its rows from before its first change
    /// is older.
    pub fn place_floor(&self) -> u64 {
        self.renewal(RenewalId::Places).map_or(0, |renewal| renewal.floor)
    }
}
