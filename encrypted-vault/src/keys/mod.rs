//! The keys of the vault: its folder, its short-lived seal keys, and the stated keys of the manager.

mod folder;
mod manager;
mod runtime_dir;
pub mod seal;

pub use folder::{LoadedKeys, StorageKeys, create};
pub use manager::ManagerKeys;
pub use runtime_dir::RuntimeDirectory;
pub use seal::{SealKeys, Turn};
