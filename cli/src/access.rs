//! The way to the services: addresses and login, from a profile or from the environment.
//!
//! A login is sent to the address that it was saved with, and nowhere else.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use client::manager_api::name::EnvironmentName;
use client::{Client, Credential, Retries};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::profile::{Profile, ProfileName};

/// The way to the services.
pub(crate) struct Access {
    pub(crate) client: Client,
    /// The environment that the profile says.
    pub(crate) environment: Option<EnvironmentName>,
}

/// Addresses of the services, and what is believed of them.
pub(crate) struct Addresses<'a> {
    pub(crate) url: &'a str,
    pub(crate) vault_url: Option<&'a str>,
    pub(crate) ca: Option<&'a Path>,
    pub(crate) danger_plain_http: bool,
}

impl Access {
    /// The way that the environment says, or else a profile.
    pub(crate) fn of(name: Option<&ProfileName>) -> Result<Self, Failure> {
        match env::var_os("SPLITVAULT_CREDENTIAL_FILE").filter(|file| !file.is_empty()) {
            Some(file) => Self::of_environment(&PathBuf::from(file), name),
            None => Self::of_profile(&name.cloned().unwrap_or_else(ProfileName::usual)),
        }
    }

    fn of_environment(file: &Path, name: Option<&ProfileName>) -> Result<Self, Failure> {
        let profile = name.map(Profile::read).transpose()?.flatten();
        let profile = profile.as_ref();
        let url = variable("SPLITVAULT_URL").or_else(|| profile.map(|profile| profile.url.clone()));
        let url = url.ok_or_else(|| {
            Failure::wrong_use("SPLITVAULT_CREDENTIAL_FILE is set, and SPLITVAULT_URL is not.")
                .next("Set SPLITVAULT_URL to the manager's address.")
        })?;
        let vault_url =
            variable("SPLITVAULT_VAULT_URL").or_else(|| profile.and_then(|profile| profile.vault_url.clone()));
        let ca =
            variable("SPLITVAULT_CA").map(PathBuf::from).or_else(|| profile.and_then(|profile| profile.ca.clone()));
        let credential = Credential::parse(&credential_of(file)?)?;
        let addresses = Addresses {
            url: &url,
            vault_url: vault_url.as_deref(),
            ca: ca.as_deref(),
            danger_plain_http: profile.is_some_and(|profile| profile.danger_plain_http),
        };
        let client = addresses.client(Some(credential))?;
        let environment = profile.and_then(|profile| profile.environment.clone());
        Ok(Self { client, environment })
    }

    fn of_profile(name: &ProfileName) -> Result<Self, Failure> {
        let log_in = || match name.as_str() {
            "default" => "Log in: splitvault login URL".to_owned(),
            other => format!("Log in: splitvault -p {other} login URL"),
        };
        let profile = Profile::read(name)?;
        let profile = profile.ok_or_else(|| Failure::failed("You are not logged in.").next(log_in()))?;
        let login = profile.login.as_ref();
        let login = login.ok_or_else(|| Failure::failed("You are not logged in.").next(log_in()))?;
        let told = [("SPLITVAULT_URL", Some(&profile.url)), ("SPLITVAULT_VAULT_URL", profile.vault_url.as_ref())];
        for (variable_name, known) in told {
            if variable(variable_name).is_some_and(|told| known.is_some_and(|known| !is_same_address(&told, known))) {
                return Err(Failure::wrong_use(format!(
                    "{variable_name} is another address than that of the profile {}, whose login is for that one alone.",
                    name.as_str()
                ))
                .next(format!("Unset {variable_name}, or use another profile: splitvault -p NAME login URL")));
            }
        }
        let credential = match login.session {
            None => Credential::parse(&login.credential)?,
            Some(_) => Credential::session(&login.credential)?,
        };
        let vault_url = profile.vault_url.clone().or_else(|| variable("SPLITVAULT_VAULT_URL"));
        let addresses = Addresses { vault_url: vault_url.as_deref(), ..profile.addresses() };
        let client = addresses.client(Some(credential))?;
        Ok(Self { client, environment: profile.environment.clone() })
    }
}

impl Profile {
    pub(crate) fn addresses(&self) -> Addresses<'_> {
        Addresses {
            url: &self.url,
            vault_url: self.vault_url.as_deref(),
            ca: self.ca.as_deref(),
            danger_plain_http: self.danger_plain_http,
        }
    }
}

impl Addresses<'_> {
    /// A client for them. Without the vault's address it uses the one that the manager tells.
    pub(crate) fn client(&self, credential: Option<Credential>) -> Result<Client, Failure> {
        for url in [Some(self.url), self.vault_url].into_iter().flatten() {
            if !self.danger_plain_http && !is_safe(url) {
                return Err(Failure::wrong_use(format!("{url} is not https: a login would travel in clear."))
                    .next("Use https, or log in with --danger-plain-http where nobody listens."));
            }
        }
        let client = match (self.vault_url, self.ca) {
            (None, ca) => Client::of_manager(self.url, ca, credential)?,
            (Some(vault_url), Some(ca)) => Client::with_ca(self.url, vault_url, ca, credential)?,
            (Some(vault_url), None) => Client::new(self.url, vault_url, credential)?,
        };
        Ok(client.with_retries(Retries::usual()))
    }
}

/// The value of a variable that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A credential from a file that is mounted or written by somebody else, so its mode is not looked at.
pub(crate) fn credential_of(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = std::fs::read_to_string(file).map(Zeroizing::new);
    text.map_err(|error| Failure::of_system(&format!("The credential file {} cannot be read", file.display()), &error))
}

/// Tells whether nobody between reads what is sent there.
fn is_safe(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return true };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_same_address(one: &str, other: &str) -> bool {
    one.trim_end_matches('/') == other.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_this_machine_alone() {
        for safe in ["https://a.example", "http://localhost:8000", "http://127.0.0.1:1/", "http://[::1]:8000"] {
            assert!(is_safe(safe), "{safe}");
        }
        for unsafe_one in ["http://a.example", "http://localhost.example", "http://10.0.0.1", "http://user@localhost"] {
            assert!(!is_safe(unsafe_one), "{unsafe_one}");
        }
    }

    #[test]
    fn address_is_the_same_with_and_without_a_slash_at_its_end() {
        assert!(is_same_address("https://a.example/", "https://a.example"));
        assert!(!is_same_address("https://a.example", "https://b.example"));
    }
}
