//! Lists and searches of secrets, and folders.
//!
//! Guarantees that a page shows only what its caller may list, by rows that the manager wrote, and that the work of a page is
//! bounded whatever the catalogue holds. The [`index`] only says which rows to read.

mod conditions;
mod folders;
mod found;
pub(super) mod index;
mod keys;
mod pages;
mod ranges;
mod statements;
pub(super) mod within;

use async_trait::async_trait;
use manager_policy::Visible;
use service_runtime::sql::{SqlError, Tx};
use shared_proto::id::SecretId;

use super::SqlStore;
use crate::{Acted, FolderPage, FolderQuery, Position, SearchStore, SecretPage, SecretQuery, Stored};

#[async_trait]
impl SearchStore for SqlStore {
    async fn secrets(
        &self,
        visible: &Visible,
        query: SecretQuery,
        after: Option<Position>,
        limit: usize,
    ) -> Acted<SecretPage> {
        let (key, basis, bounds, visible) = (self.key(), visible.basis(), self.bounds, visible.clone());
        let read = move |tx: &mut Tx<'_>| {
            plan_along_indexes(tx)?;
            let asked = pages::Asked { visible: &visible, query: &query, after: after.as_ref(), limit, bounds };
            pages::page(tx, &key, &asked)
        };
        self.read_as("secrets", basis, read).await
    }

    async fn folders(&self, visible: &Visible, query: FolderQuery, limit: usize) -> Acted<FolderPage> {
        let (key, basis, bounds, visible) = (self.key(), visible.basis(), self.bounds, visible.clone());
        let read = move |tx: &mut Tx<'_>| {
            plan_along_indexes(tx)?;
            folders::page(tx, &key, &visible, &query, (limit, bounds))
        };
        self.read_as("folders", basis, read).await
    }

    async fn index(&self, after: Option<SecretId>, limit: usize) -> Stored<Option<SecretId>> {
        let key = self.key();
        self.sql.write("index", move |tx| index::fill(tx, &key, after, limit)).await
    }

    async fn is_indexed(&self) -> Stored<bool> {
        self.sql.read("is_indexed", |tx| tx.exists("SELECT 1 FROM search_filled WHERE only_row = 1", &[])).await
    }
}

/// Has PostgreSQL read in the order of an index wherever there is one, in this transaction. It takes conditions for rarer than
/// they are, and would read and sort the whole table for some pages. SQLite has no choice.
fn plan_along_indexes(tx: &mut Tx<'_>) -> Result<(), SqlError> {
    let settings = "SELECT set_config('enable_sort', 'off', true), set_config('enable_seqscan', 'off', true)";
    tx.exists(tx.choose("SELECT 1", settings), &[]).map(drop)
}
