//! The rows of the database that bear tags. That is a part of the registry: rows without their tags count as planted, and who
//! writes the database cannot have them taken for those of an earlier release.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A fact about rows of one sort: the manager has written none without its tag since, and an operator has vouched for those of before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaggedRows {
    /// The rows.
    pub tagged_rows_id: TaggedRowsId,
}

/// A sort of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaggedRowsId {
    /// Versions of secrets.
    Versions,
}

impl TaggedRows {
    /// The fact that versions bear tags.
    pub const VERSIONS: Self = Self { tagged_rows_id: TaggedRowsId::Versions };
}

impl fmt::Display for TaggedRowsId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Versions => formatter.write_str("versions"),
        }
    }
}
