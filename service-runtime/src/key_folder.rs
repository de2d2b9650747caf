//! A service's key folder: the checks of every such folder, and the kinds of file that both services have.
//!
//! Guarantees that every file is private to the service, holds what its name says and fits the others. Refuses a folder
//! with an unknown entry: a key of the other service in here would end the split.

use std::path::{Path, PathBuf};

use shared_proto::encoding::{b64, from_b64_secret, from_json};
use shared_proto::identity::{IdentityDocument, IdentityKey, Mode, Owner, Pins};
use shared_proto::rsa_key::RsaPrivate;
use zeroize::Zeroizing;

use crate::StartError;
use crate::files::{
    check_private_directory, create_private_directory, create_private_whole, is_left_behind, read_private,
};

/// The private identity key, PKCS#8.
pub const IDENTITY: &str = "identity.pem";
/// The identity document that is pinned at the other service.
pub const IDENTITY_DOCUMENT: &str = "identity.json";
/// Its document, to be pinned at the other service.
pub const IDENTITY_NEXT_DOCUMENT: &str = "identity-next.json";
/// Folder of the other service's identity documents.
pub const PINS: &str = "pins";

/// Folder of earlier pins, in the folder of pins.
pub(crate) const RETIRED: &str = "retired";

/// A key folder.
#[derive(Clone, Debug)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The folder at `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A file or folder in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Checks that the folder is private and holds only `known` names. Names that begin with one of `foreign` are those
    /// of the `other` service.
    ///
    /// # Errors
    /// The folder is open to others, or has another entry.
    pub fn check_entries(&self, known: &[&str], foreign: &[&str], other: &str) -> Result<(), StartError> {
        check_private_directory(&self.0)?;
        for name in entries(&self.0)? {
            let path = self.file(&name);
            if foreign.iter().any(|prefix| name.starts_with(prefix)) {
                return Err(refused(
                    &path,
                    &format!("it belongs to the {other}, and one service must never hold a key of the other"),
                    "move it to where it belongs and, if that is another machine, replace that key",
                ));
            }
            if !known.contains(&name.as_str()) {
                return Err(refused(&path, "it is not a file of this key folder", "move it away"));
            }
        }
        Ok(())
    }

    /// The identity key and its document, which must fit each other and the mode.
    ///
    /// # Errors
    /// A file is missing, open to others or malformed, or the two do not fit.
    pub fn identity(&self, mode: Mode) -> Result<(IdentityKey, IdentityDocument), StartError> {
        let key_path = self.file(IDENTITY);
        let key = IdentityKey::from_pem(&read_text(&key_path)?)
            .map_err(|error| refused(&key_path, error.0, "restore it from the backup"))?;
        let path = self.file(IDENTITY_DOCUMENT);
        let (mut document, next) = (read_document(&path)?, self.file(IDENTITY_NEXT_DOCUMENT));
        // While the identity changes, the key is the first to have its place.
        if document.key != *key.public() && next.exists() {
            document = read_document(&next)?;
        }
        if document.key != *key.public() {
            return Err(refused(&path, "it does not belong to identity.pem", "restore both from one backup"));
        }
        if document.mode != mode {
            return Err(refused(
                &path,
                &format!("it was made in {} mode and the configuration says {mode}", document.mode),
                "development and production never share keys; make an installation for each",
            ));
        }
        Ok((key, document))
    }

    /// Makes the identity key, its document and the folder of pins.
    ///
    /// # Errors
    /// One of them is there already, or cannot be written.
    pub fn create_identity(&self, id: Owner, mode: Mode) -> Result<IdentityDocument, StartError> {
        let (key, pem) = IdentityKey::generate()
            .map_err(|_| StartError::new("The machine gives no randomness; nothing is safe without it."))?;
        let document = IdentityDocument { id, mode, key: key.public().clone() };
        let json = serde_json::to_string(&document)
            .map_err(|_| StartError::new("The identity document cannot be written."))?;
        create_private_whole(&self.file(IDENTITY), pem.as_bytes())?;
        create_private_whole(&self.file(IDENTITY_DOCUMENT), format!("{json}\n").as_bytes())?;
        create_private_directory(&self.file(PINS))?;
        Ok(document)
    }

    /// The pinned identity of the other service.
    ///
    /// # Errors
    /// There is none, there are more than two, or one is not of a service in this mode.
    pub fn pins(&self, mode: Mode) -> Result<Pins, StartError> {
        const FIX: &str = "put one copy of the other service's identity.json there, two while it changes";
        let folder = self.file(PINS);
        check_private_directory(&folder)?;
        let mut documents = Vec::new();
        for name in entries(&folder)? {
            let path = folder.join(&name);
            if name == RETIRED {
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "json") {
                return Err(refused(&path, "it is not a pin (*.json)", "move it away"));
            }
            documents.push(read_document(&path)?);
        }
        let pins = Pins::new(&documents).map_err(|error| refused(&folder, error.0, FIX))?;
        if pins.mode() != mode {
            let reason = format!("the pinned service is in {} mode and this one in {mode} mode", pins.mode());
            return Err(refused(&folder, &reason, "pin a service of the same mode"));
        }
        Ok(pins)
    }

    /// An RSA private key, `<name>.pem`, compared with `<name>.pub.pem` if that is there.
    ///
    /// # Errors
    /// It is missing, open to others, not PKCS#8, weak or inconsistent, or the public file is of another key.
    pub fn rsa(&self, name: &str) -> Result<RsaPrivate, StartError> {
        let path = self.file(&format!("{name}.pem"));
        let key = RsaPrivate::from_pem(&read_text(&path)?).map_err(|error| {
            refused(
                &path,
                &error.to_string(),
                "put a sound one there, or remove it and run `init` of a new installation",
            )
        })?;
        let public = self.file(&format!("{name}.pub.pem"));
        match std::fs::read_to_string(&public) {
            Ok(pem) if key.matches_public_pem(&pem) => Ok(key),
            Ok(_) => Err(refused(
                &public,
                &format!("it does not belong to {name}.pem"),
                "remove it, or put the key back that it belongs to",
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(key),
            Err(error) => Err(refused(&public, &error.to_string(), "repair or remove it")),
        }
    }
}

/// The names in a folder, sorted, without files that a crash left half-written or half-destroyed.
///
/// # Errors
/// It cannot be listed.
pub fn entries(folder: &Path) -> Result<Vec<String>, StartError> {
    let cannot = |error: std::io::Error| refused(folder, &format!("it cannot be listed ({error})"), "repair it");
    let mut names = std::fs::read_dir(folder)
        .map_err(cannot)?
        .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    names.retain(|name| !is_passed_over(folder, name));
    names.sort_unstable();
    Ok(names)
}

/// Whether an entry of a key folder is none of its keys: a remnant of a crash, or the folder that a file system keeps
/// in its root.
pub(crate) fn is_passed_over(folder: &Path, name: &str) -> bool {
    let lost_and_found = || std::fs::symlink_metadata(folder.join(name)).is_ok_and(|meta| meta.is_dir());
    is_left_behind(name) || (name == "lost+found" && lost_and_found())
}

/// Reads a key file: `b64` of 32 bytes and a newline.
///
/// # Errors
/// It is missing, open to others, or not a key.
pub fn read_key(path: &Path) -> Result<Zeroizing<[u8; 32]>, StartError> {
    let text = read_text(path)?;
    from_b64_secret::<32>(text.strip_suffix('\n').unwrap_or(&text)).map_err(|_| {
        refused(path, "it is not a key (base64url of 32 bytes and a newline)", "restore it from the backup")
    })
}

/// Writes a new key file, private from the first moment.
///
/// # Errors
/// It is there already, or cannot be written.
pub fn write_key(path: &Path, key: &[u8; 32]) -> Result<(), StartError> {
    let text = Zeroizing::new(b64(key));
    // Not `push`: growing would leave an unwiped copy behind.
    let line = Zeroizing::new([text.as_bytes(), b"\n"].concat());
    create_private_whole(path, &line)
}

/// The refusal of a file, with the fault and the fix.
pub fn refused(path: &Path, reason: &str, fix: &str) -> StartError {
    StartError::new(format!("{} is refused: {reason}; {fix}.", path.display()))
}

pub(crate) fn read_text(path: &Path) -> Result<Zeroizing<String>, StartError> {
    let bytes = read_private(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| refused(path, "it is not a text file", "restore it from the backup"))?;
    // As an editor or another system may leave it: CRLF, blanks at the ends of lines, blank lines at the end. Room for
    // all of it: a string that grew would leave an unwiped copy behind.
    let mut plain = Zeroizing::new(String::with_capacity(text.len() + 1));
    for line in text.trim_end().lines() {
        plain.push_str(line.trim_end());
        plain.push('\n');
    }
    Ok(plain)
}

pub(crate) fn read_document(path: &Path) -> Result<IdentityDocument, StartError> {
    from_json(&read_private(path)?)
        .map_err(|_| refused(path, "it is not an identity document", "copy it again from its service"))
}
