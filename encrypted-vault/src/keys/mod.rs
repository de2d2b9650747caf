//! The keys of the vault: its folder, its short-lived seal keys, and the stated keys of the manager.

mod folder;
mod manager;
mod ring;
mod runtime_dir;
pub mod seal;
mod storage;

pub use folder::{LoadedKeys, STORAGE_KEYS, TRANSPORT, TransportKey, create, own_id, refuse_existing};
pub use manager::ManagerKeys;
pub use ring::KeyRing;
pub use runtime_dir::RuntimeDirectory;
pub use seal::{SealKeys, Turn};
pub use storage::StorageKeys;
