//! The sign-on key: everything stored about passwords, codes and seeds depends on it.

use manager_sign_on::code::CodeHasher;
use manager_sign_on::key::SignOnKey;
use manager_sign_on::password::{Cost, PasswordHasher};
use service_runtime::StartError;
use service_runtime::key_folder::{KeyFolder, read_key, refused, write_key};
use shared_proto::encoding::random;
use zeroize::Zeroizing;

use super::names;

/// The keys that are derived from the sign-on key. It has no `Debug` form.
pub struct SignOnKeys {
    /// Seals seeds, and hashes recovery codes.
    pub key: SignOnKey,
    /// Hashes passwords.
    pub passwords: PasswordHasher,
    /// Hashes the codes of sessions and enrolments.
    pub codes: CodeHasher,
}

impl SignOnKeys {
    /// Reads the key of a folder.
    ///
    /// # Errors
    /// The file is missing, open to others or not a key.
    pub fn load(folder: &KeyFolder) -> Result<Self, StartError> {
        let path = folder.file(names::SIGN_ON);
        if !path.exists() {
            let fix = "restore it from a backup of the key folder; without it no person can sign on";
            return Err(refused(&path, "it is missing", fix));
        }
        let bytes = read_key(&path)?;
        let key = SignOnKey::new(&bytes);
        Ok(Self {
            codes: CodeHasher::new(&key),
            passwords: PasswordHasher::new(SignOnKey::new(&bytes), Cost::OWASP),
            key,
        })
    }

    /// Makes the key of a folder of an earlier release, if nothing depends on one yet.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn make_if_unused(folder: &KeyFolder, has_people: bool) -> Result<(), StartError> {
        let path = folder.file(names::SIGN_ON);
        if has_people || std::fs::symlink_metadata(&path).is_ok() {
            return Ok(());
        }
        // EXPOSE: the key goes into its file.
        write_key(&path, &Zeroizing::new(random()))
    }
}
