//! The file `.splitvault.toml` of a folder: environment, path and names of variables. Nothing in it is secret.
//!
//! It is looked for in the working folder and above. One that somebody else could have put there is refused: it says which
//! secrets a command gets, and under which names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use client::manager_api::name::{EnvironmentName, SecretPath};
use client::shared_proto::Malformed;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

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

/// The file of the working folder, or of the nearest one above.
pub(crate) fn find() -> Result<Option<Folder>, Failure> {
    let here =
        std::env::current_dir().map_err(|error| Failure::of_system("The working folder is not known", &error))?;
    for folder in here.ancestors() {
        let file = folder.join(FILE);
        match File::open(&file) {
            Ok(opened) => return read(&file, opened).map(Some),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Failure::of_system(&format!("{} cannot be read", file.display()), &error)),
        }
    }
    Ok(None)
}

fn read(file: &Path, mut opened: File) -> Result<Folder, Failure> {
    let failed = |error: io::Error| Failure::of_system(&format!("{} cannot be read", file.display()), &error);
    let found = opened.metadata().map_err(failed)?;
    let refused = |reason: &str| {
        Failure::failed(format!("{} {reason}, who could choose your secrets and their names by it.", file.display()))
            .next("Look into it and make it your own, or add --no-folder.")
    };
    if found.uid() != rustix::process::geteuid().as_raw() && found.uid() != 0 {
        return Err(refused("belongs to another user"));
    }
    if found.mode() & 0o002 != 0 {
        return Err(refused("can be written by everybody"));
    }
    let mut text = String::new();
    (&mut opened).take(64 << 10).read_to_string(&mut text).map_err(failed)?;
    toml::from_str(&text).map_err(|error| {
        let message = error.message().lines().next().unwrap_or_default().to_owned();
        Failure::failed(format!("{} is not in form: {message}.", file.display()))
            .next("Its keys are environment, path, and the table variables.")
    })
}

/// Makes the file in the working folder.
pub(crate) fn write(folder: &Folder, replace: bool) -> Result<PathBuf, Failure> {
    let text = toml::to_string(folder).map_err(|_| Failure::failed("The file cannot be written as TOML."))?;
    let text = format!("# Which secrets belong to this folder. Nothing here is secret.\n{text}");
    let failed = |error: &io::Error| Failure::of_system(&format!("{FILE} cannot be written"), error);
    if replace {
        let found = fs::symlink_metadata(FILE);
        if found.is_ok_and(|found| found.is_symlink()) {
            return Err(Failure::failed(format!("{FILE} is a symbolic link; nothing is written through it."))
                .next("Remove the link."));
        }
        let beside = format!("{FILE}.new");
        let made = File::create_new(&beside).and_then(|mut made| io::Write::write_all(&mut made, text.as_bytes()));
        made.and_then(|()| fs::rename(&beside, FILE)).map_err(|error| failed(&error))?;
    } else {
        match File::create_new(FILE) {
            Ok(mut made) => io::Write::write_all(&mut made, text.as_bytes()).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(
                    Failure::failed(format!("This folder has a {FILE} already.")).next("Change it, or add --replace.")
                );
            }
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(PathBuf::from(FILE))
}

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
    fn name_of_a_variable_is_that_of_shells() {
        for good in ["A", "_a1", "DB_URL"] {
            assert!(check_variable(good).is_ok(), "{good}");
        }
        for bad in ["", "1A", "A-B", "A=B", "Ä", "A B"] {
            assert!(check_variable(bad).is_err(), "{bad}");
        }
    }
}
