//! RSA keys for the installations of one test process, made once by openssl: they take a second.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// A private key and its public half, in PEM.
pub(crate) struct RsaPem {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// The token signing key of the managers.
pub(crate) fn token_signing() -> &'static RsaPem {
    static KEY: OnceLock<RsaPem> = OnceLock::new();
    KEY.get_or_init(|| generate(2048, 65537))
}

/// The transport key of the vaults.
pub(crate) fn transport() -> &'static RsaPem {
    static KEY: OnceLock<RsaPem> = OnceLock::new();
    KEY.get_or_init(|| generate(3072, 65537))
}

impl RsaPem {
    /// Writes `<name>.pem` and `<name>.pub.pem`.
    pub(crate) fn write(&self, folder: &Path, name: &str) {
        write_private(&folder.join(format!("{name}.pem")), &self.private);
        write_private(&folder.join(format!("{name}.pub.pem")), &self.public);
    }
}

/// A new RSA key from openssl.
pub(crate) fn generate(bits: u32, exponent: u32) -> RsaPem {
    let private = openssl(&[
        "genpkey",
        "-algorithm",
        "RSA",
        "-pkeyopt",
        &format!("rsa_keygen_bits:{bits}"),
        "-pkeyopt",
        &format!("rsa_keygen_pubexp:{exponent}"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.pem");
    write_private(&file, &private);
    let public = openssl(&["pkey", "-pubout", "-in", file.to_str().unwrap()]);
    RsaPem { private, public }
}

/// Writes a file that only its owner may read, over what was there.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Makes a folder that only its owner may enter, and those above it.
pub(crate) fn make_folder(path: &Path) {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).unwrap();
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).output().expect("openssl is installed");
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
