//! The manager's keys. They are loaded and checked before anything else runs, and again when the key folder changes.

mod folder;
mod ring;
mod root;
mod sign_on;
mod token_signing;

pub use folder::{LoadedKeys, credential_hasher};
pub use ring::KeyRing;
pub use root::{FIRST_EPOCH, RootKeys, RootSlot};
pub use sign_on::SignOnKeys;
pub use token_signing::{OVERLAP_SECONDS, TokenKey, TokenKeys, TokenSigner};

/// Names in the key folder that only the manager has (docs/protocol.md section 11).
pub mod names {
    /// RSA key that signs access tokens: `token-signing.pem`, PKCS#8.
    pub const TOKEN_SIGNING: &str = "token-signing";
    /// Key of the hashes of service credentials.
    pub const CREDENTIAL_HMAC: &str = "credential-hmac.key";
    /// Key of passwords, seeds and codes of people.
    pub const SIGN_ON: &str = "sign-on.key";
    /// The anchor of principals and policy: their newest entry.
    pub const REGISTRY_ANCHOR: &str = "registry-anchor.json";
    /// Folder of root keys.
    pub const ROOT_KEYS: &str = "root-keys";
}
