//! The vault's address: known from the start, or told by the manager.

use std::sync::{Arc, PoisonError, RwLock};

use crate::ClientError;
use crate::http::Peer;

/// The way to the vault.
#[derive(Clone)]
pub(crate) enum Vault {
    /// It was given to the client, which uses no other.
    Known(Peer),
    /// The newest one that the manager has told, to this client or a clone of it.
    Told(Arc<RwLock<Option<Peer>>>),
}

impl Vault {
    /// Keeps what the manager tells beside a token.
    ///
    /// # Errors
    /// It tells nothing, or what is not followed.
    pub(crate) fn note(&self, manager: &Peer, told: Option<&str>) -> Result<(), ClientError> {
        let Self::Told(known) = self else { return Ok(()) };
        let told = told.ok_or(UNKNOWN)?;
        let is_same = |known: &Option<Peer>| known.as_ref().is_some_and(|known| known.is_at(told));
        if is_same(&known.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let peer = manager.sibling(told)?;
        *known.write().unwrap_or_else(PoisonError::into_inner) = Some(peer);
        Ok(())
    }

    /// The vault, for a request.
    ///
    /// # Errors
    /// Nobody has told where it is.
    pub(crate) fn peer(&self) -> Result<Peer, ClientError> {
        match self {
            Self::Known(peer) => Ok(peer.clone()),
            Self::Told(known) => known.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(UNKNOWN),
        }
    }
}

const UNKNOWN: ClientError = ClientError::Address("the manager does not tell the vault's address");

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::http::library_client;

    fn told(manager: &str, vault: Option<&str>) -> Result<Vault, ClientError> {
        let manager = Peer::new(library_client(Duration::from_secs(1))?, manager)?;
        let told = Vault::Told(Arc::default());
        told.note(&manager, vault).map(|()| told)
    }

    #[test]
    fn address_is_followed_within_bounds() {
        let (secured, plain, here) = ("https://m.example", "http://m.example", "http://127.0.0.1:8000");
        for (manager, vault) in [
            (secured, "https://v.example:8001"),
            (plain, "http://v.example"),
            (plain, "https://v.example"),
            (here, "http://localhost:8001"),
            (here, "https://v.example"),
        ] {
            assert!(told(manager, Some(vault)).unwrap().peer().unwrap().is_at(vault), "{vault}");
        }
        for vault in [
            "http://v.example",
            "https://a@v.example",
            "https://v.example/x",
            "https://v.example?x",
            "ftp://v.example",
            "",
        ] {
            assert!(told(secured, Some(vault)).is_err(), "{vault}");
        }
        for vault in ["http://v.example", "HTTP:/v.example", "http://10.0.0.1"] {
            assert!(told(here, Some(vault)).is_err(), "{vault}");
        }
        assert!(told(secured, None).is_err());
    }

    #[test]
    fn newest_address_counts_and_a_known_one_is_kept() {
        let http = library_client(Duration::from_secs(1)).unwrap();
        let manager = Peer::new(http.clone(), "https://m.example").unwrap();
        let vault = Vault::Told(Arc::default());
        assert!(vault.peer().is_err(), "nobody has told it");
        for address in ["https://a.example", "https://b.example"] {
            vault.clone().note(&manager, Some(address)).unwrap();
            assert!(vault.peer().unwrap().is_at(address));
        }
        let known = Vault::Known(Peer::new(http, "https://k.example").unwrap());
        known.note(&manager, Some("https://a.example")).unwrap();
        assert!(known.peer().unwrap().is_at("https://k.example"));
    }
}
