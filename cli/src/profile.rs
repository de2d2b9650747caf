//! Profiles: where the services are, and who their user is there. Each is a file of the user's configuration folder.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use client::manager_api::name::{AccountName, EnvironmentName};
use client::shared_proto::Malformed;
use client::shared_proto::id::{CredentialId, Subject};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::private_file;

/// The name of a profile: `default`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ProfileName(Arc<str>);

impl ProfileName {
    pub(crate) fn parse(text: &str) -> Result<Self, Malformed> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'-' | b'_' | b'.');
        if !(1..=63).contains(&text.len()) || !text.bytes().all(allowed) || text.starts_with(['.', '-']) {
            return Err(Malformed(
                "the name of a profile has 1 to 63 of a-z, 0-9, -, _ and ., and does not begin with . or -",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The profile of whoever names none.
    pub(crate) fn usual() -> Self {
        Self("default".into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a profile holds. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The manager's address.
    pub(crate) url: String,
    /// The vault's address, where the one that the manager tells does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vault_url: Option<String>,
    /// The file with the CAs that are believed, in place of those of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<PathBuf>,
    /// The environment of paths that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<EnvironmentName>,
    /// True if a login may go over plain HTTP to another machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) danger_plain_http: bool,
    /// The code of an earlier login here, which lets nobody in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) device_code: Option<Zeroizing<String>>,
    /// The login, until a logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<Login>,
}

/// A login. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) principal: Subject,
    pub(crate) name: AccountName,
    /// The session of a person. Absent for a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<CredentialId>,
    /// When it ends (Unix seconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<u64>,
    /// The credential, or the code of the session.
    pub(crate) credential: Zeroizing<String>,
}

impl Profile {
    /// Reads a profile; nothing if there is none of the name.
    pub(crate) fn read(name: &ProfileName) -> Result<Option<Self>, Failure> {
        let file = file(name)?;
        let Some(bytes) = private_file::read(&file)? else { return Ok(None) };
        let profile = std::str::from_utf8(&bytes).ok().and_then(|text| toml::from_str(text).ok());
        // The decoder's own message would repeat a line, which may be the credential's.
        let broken = || Failure::failed(format!("{} is not a profile.", file.display()));
        profile.map(Some).ok_or_else(|| broken().next("Move it away, and log in again: splitvault login"))
    }

    /// Puts it in the place of the former one, whole.
    pub(crate) fn write(&self, name: &ProfileName) -> Result<(), Failure> {
        let file = file(name)?;
        let text = toml::to_string(self).map(Zeroizing::new);
        let text = text.map_err(|_| Failure::failed("The profile cannot be written as TOML."))?;
        if let Some(folder) = file.parent() {
            private_file::make_folder(folder)?;
        }
        private_file::replace(&file, text.as_bytes())
    }

    /// Removes a profile, and tells whether there was one.
    pub(crate) fn remove(name: &ProfileName) -> Result<bool, Failure> {
        let file = file(name)?;
        match fs::remove_file(&file) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::of_system(&format!("{} cannot be removed", file.display()), &error)),
        }
    }

    /// The names of all profiles, in order.
    pub(crate) fn names() -> Result<Vec<ProfileName>, Failure> {
        let folder = folder()?;
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Failure::of_system(&format!("{} cannot be read", folder.display()), &error)),
        };
        let files = entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = files.filter_map(|file| ProfileName::parse(file.strip_suffix(".toml")?).ok()).collect();
        names.sort();
        Ok(names)
    }
}

fn file(name: &ProfileName) -> Result<PathBuf, Failure> {
    Ok(folder()?.join(format!("{}.toml", name.as_str())))
}

/// `$XDG_CONFIG_HOME/splitvault/profiles`, by default in `~/.config`.
fn folder() -> Result<PathBuf, Failure> {
    let told = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let config = told.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
    let config = config.filter(|folder| folder.is_absolute());
    let homeless = || Failure::failed("There is no configuration folder.").next("Set HOME or XDG_CONFIG_HOME.");
    Ok(config.ok_or_else(homeless)?.join("splitvault").join("profiles"))
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Profile: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);
    assert_not_impl_any!(Login: std::fmt::Debug, std::fmt::Display, Clone, PartialEq);

    #[test]
    fn name_of_a_profile_leads_to_no_other_folder() {
        for good in ["default", "prod-2", "a.b_c"] {
            assert_eq!(ProfileName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "..", ".x", "a/b", "-p", "A", "ä", &"a".repeat(64)] {
            assert!(ProfileName::parse(bad).is_err(), "{bad}");
        }
    }
}
