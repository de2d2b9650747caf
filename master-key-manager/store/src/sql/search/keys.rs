//! Rows of the index, and their positions in a list.

use std::cmp::Ordering;

use manager_api::name::SecretPath;
use manager_policy::Visible;
use service_runtime::sql::{Row, SqlError};
use shared_proto::id::{EnvironmentId, SecretId};

use crate::{ListedSecret, OrderBy, Position};

/// A row of the index. Nothing of it is shown.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) secret: SecretId,
    pub(super) environment: EnvironmentId,
    pub(super) path: String,
    created_at: u64,
    updated_at: u64,
    due_at: u64,
}

/// The columns of a key.
pub(super) fn key_of(row: &Row<'_>) -> Result<Key, SqlError> {
    Ok(Key {
        secret: SecretId::from_bytes(row.get(0)?),
        environment: EnvironmentId::from_bytes(row.get(1)?),
        path: row.get(2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        due_at: row.get(5)?,
    })
}

impl Key {
    /// Tells whether a secret at its place may be visible. It saves the verification of others; the secret's own rows decide.
    pub(super) fn may_be_shown(&self, visible: &Visible) -> bool {
        SecretPath::parse(self.path.as_str()).is_ok_and(|path| visible.may_show(self.environment, &path))
    }

    pub(super) fn position(&self, by: OrderBy) -> Position {
        match by {
            OrderBy::Path => Position::Path(self.environment, self.path.clone()),
            OrderBy::CreatedAt => Position::Time(self.created_at, self.secret),
            OrderBy::UpdatedAt => Position::Time(self.updated_at, self.secret),
            OrderBy::DueAt => Position::Time(self.due_at, self.secret),
        }
    }
}

impl Position {
    /// The order of two positions of one list.
    pub(super) fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let order = match (self, other) {
            (Self::Path(environment, path), Self::Path(at, after)) => (environment, path).cmp(&(at, after)),
            (Self::Time(time, secret), Self::Time(at, after)) => (time, secret).cmp(&(at, after)),
            (Self::Path(..), Self::Time(..)) => Ordering::Less,
            (Self::Time(..), Self::Path(..)) => Ordering::Greater,
        };
        if descending { order.reverse() } else { order }
    }

    /// Tells whether it comes after another one.
    pub(super) fn is_behind(&self, other: &Self, descending: bool) -> bool {
        self.compare(other, descending) == Ordering::Greater
    }
}

impl ListedSecret {
    /// When its current version is to be replaced: at its rotation or its end, whatever is earlier (Unix seconds).
    pub fn due_at(&self) -> Option<u64> {
        self.rotation_due_at.into_iter().chain(self.expires_at).min()
    }
}
