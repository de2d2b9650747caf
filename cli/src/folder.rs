//! The file `.splitvault.toml` of a folder: environment, path and names of variables. Nothing in it is secret.
//!
//! It is looked for in the working folder and above. One that somebody else could have put there is refused: it says which
//! secrets a command gets, and under which names.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use client::manager_api::name::{EnvironmentName, SecretPath};
use client::shared_proto::Malformed;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::{private_file, prompt};

/// The name of the file.
pub(crate) const FILE: &str = ".splitvault.toml";

/// What the file says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Folder {
    /// The environment of paths that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<EnvironmentName>,
    /// The folder of secrets that `run`, `export`, `import` and `list` take when they are given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<SecretPath>,
    /// Variables, and the secret of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) variables: BTreeMap<String, String>,
}

/// A file that was found.
pub(crate) struct Found {
    pub(crate) file: PathBuf,
    /// True if it is not in the working folder itself.
    pub(crate) is_above: bool,
    pub(crate) says: Folder,
}

/// The file of the working folder, or of the nearest one above.
pub(crate) fn find() -> Result<Option<Found>, Failure> {
    let here =
        std::env::current_dir().map_err(|error| Failure::of_system("The working folder is not known", &error))?;
    for folder in here.ancestors() {
        let file = folder.join(FILE);
        if let Some(says) = read(&file)? {
            return Ok(Some(Found { file, is_above: folder != here, says }));
        }
    }
    Ok(None)
}

/// Reads a file; nothing if there is none.
fn read(file: &Path) -> Result<Option<Folder>, Failure> {
    let failed = |error: io::Error| Failure::of_system(&format!("{} cannot be read", file.display()), &error);
    let refused = |reason: &str| {
        Failure::failed(format!("{} {reason}, who could choose your secrets and their names by it.", file.display()))
            .next("Look into it and make it your own, or add --no-folder.")
    };
    let no_file = |what: &str| {
        Failure::failed(format!("{} is {what}; it is not read.", file.display()))
            .next("Put the file itself there, or add --no-folder.")
    };
    // A link shows what is somebody else's choice, and a pipe would be waited for.
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let opened = match OpenOptions::new().read(true).custom_flags(flags).open(file) {
        Ok(opened) => opened,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(no_file("a symbolic link"));
        }
        Err(error) => return Err(failed(error)),
    };
    let found = opened.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(no_file("not a file"));
    }
    if found.uid() != rustix::process::geteuid().as_raw() && found.uid() != 0 {
        return Err(refused("belongs to another user"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(refused("can be written by everybody"));
    }
    if found.mode() & 0o020 != 0 {
        return Err(refused("can be written by its group"));
    }
    let bytes = prompt::bounded(opened, MAX_BYTES, &file.display().to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|_| no_file("not text"))?;
    toml::from_str(text).map(Some).map_err(|error: toml::de::Error| {
        // The decoder's own message would repeat a part of a file that was perhaps not meant to be this one.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Failure::failed(format!("{} is not in form (line {line}).", file.display()))
            .next("Its keys are environment, path, and the table variables.")
    })
}

/// Makes the file in the working folder.
pub(crate) fn write(folder: &Folder, replace: bool) -> Result<PathBuf, Failure> {
    let text = toml::to_string(folder).map_err(|_| Failure::failed("The file cannot be written as TOML."))?;
    let text = format!("# Which secrets belong to this folder. Nothing here is secret.\n{text}");
    let file = PathBuf::from(FILE);
    if !replace && fs::symlink_metadata(&file).is_ok() {
        return Err(Failure::failed(format!("This folder has a {FILE} already.")).next("Change it, or add --replace."));
    }
    private_file::put(&file, text.as_bytes(), MODE)?;
    Ok(file)
}

/// The longest file.
const MAX_BYTES: usize = 64 << 10;

/// Nothing in it is secret, and nobody else writes it.
const MODE: u32 = 0o644;

/// Checks the name of a variable.
pub(crate) fn check_variable(name: &str) -> Result<(), Malformed> {
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if begins && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        Ok(())
    } else {
        Err(Malformed("the name of a variable has a-z, A-Z, 0-9 and _, and does not begin with a digit"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_says_environment_path_and_variables_and_nothing_else() {
        let folder: Folder =
            toml::from_str("environment = \"dev\"\npath = \"shop\"\n[variables]\nDB = \"shop/db#password\"\n").unwrap();
        assert_eq!(folder.environment.unwrap().as_str(), "dev");
        assert_eq!(folder.variables["DB"], "shop/db#password");
        for wrong in ["credential = \"x\"", "environment = \"Dev\"", "path = \"/a\"", "variables = 1"] {
            assert!(toml::from_str::<Folder>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn file_that_somebody_else_could_have_chosen_is_not_read() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::TempDir::with_prefix("splitvault-cli-").unwrap();
        let file = folder.path().join(FILE);
        let refused = |reason: &str| {
            let failure = format!("{:?}", read(&file).err().unwrap());
            assert!(failure.contains(reason), "{failure}");
            failure
        };
        assert!(read(&file).unwrap().is_none());
        let other = folder.path().join("other");
        fs::write(&other, "environment = \"dev\"\n").unwrap();
        symlink(&other, &file).unwrap();
        refused("a symbolic link");
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        refused("not a file");
        fs::remove_file(&file).unwrap();
        fs::copy(&other, &file).unwrap();
        for (mode, reason) in [(0o664, "by its group"), (0o646, "by everybody")] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            refused(reason);
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&file).unwrap().is_some());
        for broken in ["\ns3cret = \"s3cret\"\n", "\nenvironment = \"S3cret s3cret\"\n", "\n[s3cret"] {
            fs::write(&file, broken).unwrap();
            let failure = refused("is not in form (line 2)").to_lowercase();
            assert!(!failure.contains("s3cret"), "{failure}");
        }
    }

    #[test]
    fn name_of_a_variable_is_that_of_shells() {
        for good in ["A", "_a1", "DB_URL"] {
            assert!(check_variable(good).is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "A=B", "Ä", "A B"] {
            assert!(check_variable(bad).is_err(), "{bad}");
        }
    }
}
