//! Opening what `init` made.

use service_runtime::StartError;

use crate::config::Config;
use crate::store::sqlite::SqliteStore;
use crate::store::{IdentityStore as _, Installation};

/// Opens the database of a configuration; `init` must have made it.
///
/// # Errors
/// It is not there, or cannot be opened.
pub fn open_store(config: &Config) -> Result<SqliteStore, StartError> {
    let path = config.database();
    if !path.exists() {
        return Err(StartError::new(format!(
            "There is no database {}; run: master-key-manager --config <file> init",
            path.display()
        )));
    }
    SqliteStore::open(&path)
}

/// Reads what `init` wrote, and compares the mode.
///
/// # Errors
/// The database is empty, cannot be read, or is of the other mode.
pub async fn read_installation(config: &Config, store: &SqliteStore) -> Result<Installation, StartError> {
    let shown = config.database();
    let shown = shown.display();
    let found = store.installation().await.map_err(|fault| {
        StartError::new(format!("The database {shown} cannot be read ({fault}); restore a backup of it."))
    })?;
    let Some(installation) = found else {
        return Err(StartError::new(format!("The database {shown} is empty; remove it and run init.")));
    };
    if installation.mode != config.mode() {
        return Err(StartError::new(format!(
            "The configuration says {} mode and the database {shown} is of {} mode; the two never mix: use the other \
             configuration, or make a new installation.",
            config.mode(),
            installation.mode
        )));
    }
    Ok(installation)
}
