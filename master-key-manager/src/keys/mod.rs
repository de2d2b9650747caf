//! The key folder: everything the manager must keep from everybody, loaded and checked before anything else runs.
//!
//! Guarantees that every file is private to the service, is what its name says, and fits the others. Refuses a folder
//! with a file that it does not know: a key of the vault in here would end the split.

mod folder;
mod identity;
mod root;
mod token_signing;

pub use folder::{KeyFolder, LoadedKeys};
pub use identity::{fingerprint, read_pins};
pub use root::RootKeys;
pub(crate) use root::write_key_file;
pub use token_signing::TokenSigner;

/// File names in the key folder (docs/protocol.md section 11).
pub mod names {
    /// RSA key that signs access tokens, PKCS#8.
    pub const TOKEN_SIGNING: &str = "token-signing.pem";
    /// Its public half; optional.
    pub const TOKEN_SIGNING_PUBLIC: &str = "token-signing.pub.pem";
    /// Ed25519 identity key, PKCS#8.
    pub const IDENTITY: &str = "identity.pem";
    /// The identity document that is pinned at the vault.
    pub const IDENTITY_DOCUMENT: &str = "identity.json";
    /// Key of the hashes of service credentials.
    pub const CREDENTIAL_HMAC: &str = "credential-hmac.key";
    /// Folder of root keys.
    pub const ROOT_KEYS: &str = "root-keys";
    /// Folder of the vault's identity documents.
    pub const PINS: &str = "pins";
}
