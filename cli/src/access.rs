//! The way to the services: addresses and login, from a profile or from the environment.
//!
//! A login is sent to the address that it was saved with, and nowhere else.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use client::manager_api::name::EnvironmentName;
use client::{Address, Client, Credential, Retries};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::profile::{Profile, ProfileName};
use crate::prompt;

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
        match (env::var_os("SPLITVAULT_CREDENTIAL_FILE").filter(|file| !file.is_empty()), name) {
            (Some(file), None) => Self::of_environment(&PathBuf::from(file)),
            // Of two logins none is the one that is surely meant.
            (Some(_), Some(name)) => Err(Failure::wrong_use(format!(
                "SPLITVAULT_CREDENTIAL_FILE is set, and the profile {} is named.",
                name.as_str()
            ))
            .next("Unset SPLITVAULT_CREDENTIAL_FILE, or name no profile by -p and SPLITVAULT_PROFILE.")),
            (None, name) => Self::of_profile(&name.cloned().unwrap_or_else(ProfileName::usual)),
        }
    }

    fn of_environment(file: &Path) -> Result<Self, Failure> {
        let url = variable("SPLITVAULT_URL").ok_or_else(|| {
            Failure::wrong_use("SPLITVAULT_CREDENTIAL_FILE is set, and SPLITVAULT_URL is not.")
                .next("Set SPLITVAULT_URL to the manager's address.")
        })?;
        let (vault_url, ca) = (variable("SPLITVAULT_VAULT_URL"), variable("SPLITVAULT_CA").map(PathBuf::from));
        let credential = Credential::parse(&credential_of(file)?)?;
        let addresses =
            Addresses { url: &url, vault_url: vault_url.as_deref(), ca: ca.as_deref(), danger_plain_http: false };
        Ok(Self { client: addresses.client(Some(credential))?, environment: None })
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
        // Not where the environment says: not the login, and not the tokens that it gets.
        let told = [("SPLITVAULT_URL", Some(&profile.url)), ("SPLITVAULT_VAULT_URL", profile.vault_url.as_ref())];
        for (variable_name, known) in told {
            let Some(told) = variable(variable_name) else { continue };
            let name = name.as_str();
            let sentence = match known {
                Some(known) if is_same_address(&told, known) => continue,
                Some(_) => format!(
                    "{variable_name} is another address than that of the profile {name}, whose login is for that one alone."
                ),
                None => format!("{variable_name} is set, and the profile {name} was made without it."),
            };
            return Err(Failure::wrong_use(sentence)
                .next(format!("Unset {variable_name}, or use another profile: splitvault -p NAME login URL")));
        }
        let credential = match login.session {
            None => Credential::parse(&login.credential)?,
            Some(_) => Credential::session(&login.credential)?,
        };
        let client = profile.addresses().client(Some(credential))?;
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
            let address = Address::parse(url)?;
            if !self.danger_plain_http && !address.is_private() {
                return Err(Failure::wrong_use(format!("{address} is not https: a login would travel in clear."))
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
    let what = format!("The credential file {}", file.display());
    let opened = File::open(file).map_err(|error| Failure::of_system(&format!("{what} cannot be read"), &error))?;
    let bytes = prompt::bounded(opened, MAX_CREDENTIAL, &what)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::failed(format!("{what} is not text.")))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// The longest file with a credential.
const MAX_CREDENTIAL: usize = 4 << 10;

/// Tells whether two addresses are one, however they are written.
pub(crate) fn is_same_address(one: &str, other: &str) -> bool {
    matches!((Address::parse(one), Address::parse(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_goes_over_plain_http_to_this_machine_alone_however_it_is_written() {
        let client = |url, vault_url, danger_plain_http| {
            Addresses { url, vault_url, ca: None, danger_plain_http }.client(None).map(drop)
        };
        for safe in ["https://a.example", "http://localhost:8000", "http://[::1]:8000"] {
            assert!(client(safe, Some(safe), false).is_ok(), "{safe}");
        }
        for open in ["http://a.example", "HTTP://a.example", "http:/a.example", "http:a.example", " http://a.example"] {
            assert!(client(open, None, false).is_err() && client("https://m.example", Some(open), false).is_err());
            assert!(client(open, Some(open), true).is_ok(), "{open}");
        }
    }

    #[test]
    fn address_is_the_same_with_and_without_a_slash_at_its_end() {
        assert!(is_same_address("https://a.example/", "https://A.example:443"));
        assert!(!is_same_address("https://a.example", "https://b.example"));
        assert!(!is_same_address("x", "x"), "what is no address is none's");
    }

    #[test]
    fn credential_is_read_up_to_a_bound() {
        assert!(credential_of(Path::new("/dev/zero")).is_err());
    }
}
