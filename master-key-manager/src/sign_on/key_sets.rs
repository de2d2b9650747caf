//! Key sets of trusts, fetched over the network.
//!
//! Takes no proxy, follows no redirect, and connects only to addresses that the rules permit, whatever a name resolves to.
//! A fetch has a time limit and a size limit. There is one at a time for each address and a few in all, and one in half
//! a minute for each address, whatever strangers ask for. The address is that of a trust: no token names one.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use manager_sign_on::jwk::{Jwk, MAX_SET_BYTES};
use manager_sign_on::trust::{
    AddressRules, CacheLimits, FetchFault, FetchKeySet, KeySetCache, KeySetUrl, Look, Trust, TrustKeys, key_of,
};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, StatusCode};
use service_runtime::StartError;
use service_runtime::clock::Clock;
use service_runtime::tls::{ClientFiles, client_config};
use tokio::sync::Semaphore;

/// The key sets of all trusts.
pub(super) struct KeySets {
    fetcher: Fetcher,
    caches: Mutex<HashMap<KeySetUrl, Arc<Mutex<KeySetCache>>>>,
    clock: Arc<dyn Clock>,
}

/// No key set can be had at the moment. The same token may count later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoKeySet;

/// More addresses than there are trusts at once.
const MOST_CACHES: usize = 512;

impl KeySets {
    /// Key sets from addresses under these rules. With a CA only that one is believed, else those of the machine.
    ///
    /// # Errors
    /// The file of the CA cannot be used.
    pub(super) fn new(rules: AddressRules, ca: Option<PathBuf>, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let ca = ca.map(|ca| ClientFiles { ca, certificate: None, key: None });
        if let Some(files) = &ca {
            client_config(files)?;
        }
        let fetcher = Fetcher { rules, ca, at_once: Semaphore::new(MOST_FETCHES) };
        Ok(Self { fetcher, caches: Mutex::default(), clock })
    }

    /// The rules for addresses.
    pub(super) fn rules(&self) -> &AddressRules {
        &self.fetcher.rules
    }

    /// The key of a trust with an id, fetched if need be; `None` if the issuer has none. Call it in a task that runs to its
    /// end: a fetch that is broken off counts as one.
    ///
    /// # Errors
    /// The key set cannot be had.
    pub(super) async fn key(&self, trust: &Trust, kid: &str) -> Result<Option<Jwk>, NoKeySet> {
        let url = match trust.keys() {
            TrustKeys::Pinned(set) => return Ok(set.find(kid).cloned()),
            TrustKeys::Url(url) => url,
        };
        let cache = self.cache(url);
        // A change of the date makes no set older or newer.
        match key_of(&cache, &self.fetcher, url, kid, || self.clock.boot()).await {
            Ok(key) => Ok(Some(key)),
            Err(Look::Unknown) => Ok(None),
            Err(Look::Key(_) | Look::Fetch | Look::Unavailable) => Err(NoKeySet),
        }
    }

    fn cache(&self, url: &KeySetUrl) -> Arc<Mutex<KeySetCache>> {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        if caches.len() >= MOST_CACHES && !caches.contains_key(url) {
            // Addresses of former trusts: only administrators make them.
            caches.clear();
        }
        let new = || Arc::new(Mutex::new(KeySetCache::new(CacheLimits::DEFAULT)));
        Arc::clone(caches.entry(url.clone()).or_insert_with(new))
    }
}

struct Fetcher {
    rules: AddressRules,
    ca: Option<ClientFiles>,
    at_once: Semaphore,
}

impl FetchKeySet for Fetcher {
    async fn fetch(&self, url: &KeySetUrl) -> Result<Vec<u8>, FetchFault> {
        // Nobody waits: slow issuers must not keep the tokens of others.
        let Ok(_place) = self.at_once.try_acquire() else { return Err(FetchFault) };
        self.get(url).await.map_err(|error| {
            // One line for a fetch, of which there are two in a minute at most.
            tracing::warn!(url = url.as_str(), error, "a key set cannot be fetched");
            FetchFault
        })
    }
}

impl Fetcher {
    async fn get(&self, url: &KeySetUrl) -> Result<Vec<u8>, String> {
        // A client for each fetch: they are rare, and the file of the CA may have been replaced.
        let client = self.client().map_err(|error| error.sentence)?;
        let causes = |error: reqwest::Error| {
            let error = error.without_url();
            let mut text = error.to_string();
            let mut next = error.source();
            while let Some(cause) = next {
                text = format!("{text}: {cause}");
                next = cause.source();
            }
            text
        };
        let mut response = client.get(url.as_str()).send().await.map_err(causes)?;
        if response.status() != StatusCode::OK {
            return Err(format!("the answer is {}", response.status().as_u16()));
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(causes)? {
            if document.len() + chunk.len() > MAX_SET_BYTES {
                return Err(format!("it has more than {MAX_SET_BYTES} bytes"));
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }

    fn client(&self) -> Result<Client, StartError> {
        let builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true)
            .connect_timeout(CONNECT_TIME)
            .timeout(TOTAL_TIME)
            .pool_max_idle_per_host(0)
            .dns_resolver(Arc::new(Permitted(self.rules.clone())));
        let unusable = |_: reqwest::Error| StartError::new("The machine's CA certificates cannot be used.");
        match &self.ca {
            Some(files) => {
                let config = client_config(files)?;
                Ok(config.try_map(|config| builder.tls_backend_preconfigured(config).build().map_err(unusable))?.value)
            }
            None => builder.build().map_err(unusable),
        }
    }
}

/// Resolves names to permitted addresses only. Addresses in the place of a name were looked at when the trust was defined.
struct Permitted(AddressRules);

impl Resolve for Permitted {
    fn resolve(&self, name: Name) -> Resolving {
        let rules = self.0.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One that is not permitted beside one that is says enough about the name.
            if found.is_empty() || !found.iter().all(|address| rules.permits(address.ip())) {
                return Err("its name has an address that is not permitted, or none".into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

const CONNECT_TIME: Duration = Duration::from_secs(3);
const TOTAL_TIME: Duration = Duration::from_secs(5);
/// 256 KiB each.
const MOST_FETCHES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that anybody may register can have any address.
    #[tokio::test]
    async fn names_with_an_address_that_is_not_permitted_are_not_connected_to() {
        let resolve = async |networks: &[&str]| {
            let networks: Vec<String> = networks.iter().map(|network| (*network).to_owned()).collect();
            let rules = AddressRules::with_networks(&networks).unwrap();
            Permitted(rules).resolve("localhost".parse().unwrap()).await.map(Iterator::count)
        };
        assert!(resolve(&[]).await.is_err());
        assert!(resolve(&["10.0.0.0/8"]).await.is_err());
        assert!(resolve(&["127.0.0.0/8", "::1/128"]).await.is_ok_and(|number| number > 0));
    }
}
