//! Deliberate weaknesses, with which the drills prove that they would find them. They are compiled only with the cargo
//! feature `sabotage`, and switched on by name in `SPLITVAULT_SABOTAGE` (a list separated by commas).

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use service_runtime::sabotage::is_on;
use shared_proto::Rejected;
use shared_proto::encoding::{Bytes, b64};
use shared_proto::envelope::seal::{SealedVersion, release_key};
use shared_proto::envelope::{BoundFingerprint, Header, Inner, key_unwrap};
use shared_proto::id::{EnvironmentId, SecretId, Version};
use shared_proto::secret::{ReleaseKey, RootKey, TransferKey};

/// Release keys are derived from a constant instead of the digest.
pub const ONE_RELEASE_KEY: &str = "one_release_key_per_environment";
/// Each transfer key is also written to the data directory.
pub const KEEP_TRANSFER_KEY: &str = "keep_transfer_key";
/// Each wrapped data key is also written to the data directory, outside its transfer key.
pub const BARE_INNER: &str = "bare_inner";
/// Each bound fingerprint is also written to the data directory, outside its transfer key.
pub const BARE_FINGERPRINT: &str = "bare_fingerprint";
/// Every version is sealed as the same one. The vault has the same switch.
pub const UNBOUND_HEADER: &str = "unbound_header";

static DATA_DIR: OnceLock<std::path::PathBuf> = OnceLock::new();

/// Says where the leaks go.
pub fn set_data_dir(path: &Path) {
    let _set_before = DATA_DIR.set(path.to_owned());
}

/// The switches that are on, for the start line.
pub fn names() -> Vec<&'static str> {
    [ONE_RELEASE_KEY, KEEP_TRANSFER_KEY, BARE_INNER, BARE_FINGERPRINT, UNBOUND_HEADER]
        .into_iter()
        .filter(|name| is_on(name))
        .collect()
}

/// The header that everything in a vault is sealed with.
pub fn header(header: Header) -> Header {
    if is_on(UNBOUND_HEADER) {
        return Header {
            vault: header.vault,
            environment: EnvironmentId::from_bytes([0; 16]),
            secret: SecretId::from_bytes([0; 16]),
            version: Version::FIRST,
        };
    }
    header
}

/// The release key of everything under a root key.
pub fn common_release_key(root: &RootKey) -> Result<ReleaseKey, Rejected> {
    release_key(root, &Bytes([0; 32]))
}

/// Wraps the data key again with the common release key, and names the version again.
pub fn after_sealing(mut version: SealedVersion, header: Header, root: &RootKey) -> Result<SealedVersion, Rejected> {
    version.header = header;
    if is_on(ONE_RELEASE_KEY) {
        let data_key = version.inner.unwrap_with(&release_key(root, &version.digest)?)?;
        version.inner = Inner::wrap(&common_release_key(root)?, &data_key)?;
    }
    Ok(version)
}

/// Leaks a transfer key.
pub fn leak_transfer_key(key: &TransferKey) {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    if is_on(KEEP_TRANSFER_KEY) {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        append(&format!("transfer-{number}.key"), &format!("{}\n", b64(key.expose())));
    }
}

/// Leaks a wrapped data key.
pub fn leak_inner(version: &SealedVersion) {
    let header = &version.header;
    let key = TransferKey::generate();
    let bare = version.inner.move_with(&key).and_then(|moved| key_unwrap::<48, 40>(key.expose(), &moved.0));
    if let (true, Ok(bare)) = (is_on(BARE_INNER), bare) {
        let line = format!(
            "{{\"environment\":\"{}\",\"secret_id\":\"{}\",\"version\":{},\"inner\":\"{}\"}}\n",
            header.environment,
            header.secret,
            header.version,
            b64(&*bare)
        );
        append("bare-inner.jsonl", &line);
    }
}

/// Leaks a bound fingerprint.
pub fn leak_fingerprint(version: &SealedVersion, fingerprint: &BoundFingerprint) {
    let header = &version.header;
    let key = TransferKey::generate();
    let bare = fingerprint.move_with(&key).and_then(|moved| key_unwrap::<48, 40>(key.expose(), &moved.0));
    if let (true, Ok(bare)) = (is_on(BARE_FINGERPRINT), bare) {
        let line = format!(
            "{{\"environment\":\"{}\",\"secret_id\":\"{}\",\"version\":{},\"fingerprint\":\"{}\"}}\n",
            header.environment,
            header.secret,
            header.version,
            b64(&*bare)
        );
        append("bare-fingerprint.jsonl", &line);
    }
}

fn append(name: &str, text: &str) {
    let Some(folder) = DATA_DIR.get() else { return };
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(folder.join(name));
    let _best_effort = opened.and_then(|mut file| file.write_all(text.as_bytes()));
}
