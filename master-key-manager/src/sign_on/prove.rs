//! Who sends a token request: the credential that he proves, whatever the way.

use std::net::IpAddr;

use manager_api::name::AccountName;
use manager_policy::Actor;
use manager_registry::{Credential, Kind, Record};
use manager_sign_on::assertion::UnverifiedAssertion;
use manager_sign_on::jwk::Jwk;
use manager_sign_on::oauth::{Client, Grant, OauthError, OauthErrorCode, TokenRequest};
use manager_sign_on::trust::{ProvenByTrust, Trust, UnverifiedClaims, parse_token};
use service_runtime::audit::Origin;
use shared_proto::id::{CredentialId, ServiceId, Subject};

use super::endpoint::Failure;
use super::replays::Replayed;
use super::trusts::service_of;
use super::{MAX_KEYS, SignOn};
use crate::access::{Caller, View};

/// A proven credential.
pub struct Proven {
    /// The caller, before the facts of the state in which the proof was checked: what changed since then ends his permits.
    pub caller: Caller,
    /// The credential of the client that authenticated beside a grant.
    client: Option<Caller>,
    /// `sub` of the token of an external issuer.
    pub(super) external_subject: Option<String>,
    /// The error of a request whose proof does not count.
    code: OauthErrorCode,
}

/// The most trusts that a token is verified against. Each is a signature check.
const MOST_CANDIDATES: usize = 8;

impl SignOn {
    /// The sender of a request, who is the actor of `origin` as soon as anything of him is proven. A client that authenticates
    /// beside an assertion is the one that the assertion is of. Call it in a task that runs to its end: a key set may be
    /// fetched.
    ///
    /// # Errors
    /// The answer to the client.
    pub async fn prove(
        &self,
        request: &TokenRequest,
        from: Option<IpAddr>,
        origin: &mut Origin,
    ) -> Result<Proven, Failure> {
        let client = match &request.client {
            Client::Secret { id, secret } => Some(self.by_secret(id, secret, from).await?),
            Client::Assertion { id, assertion } => {
                Some(self.by_key(assertion, id.as_deref(), OauthErrorCode::InvalidClient).await?)
            }
            Client::Named(_) | Client::Unnamed => None,
        };
        if let Some(client) = &client {
            name(&client.caller, origin);
        }
        let named = match &request.client {
            Client::Named(id) => Some(id.as_str()),
            Client::Secret { .. } | Client::Assertion { .. } | Client::Unnamed => None,
        };
        let proven = match (&request.grant, &client) {
            (Grant::ClientCredentials, _) => return client.ok_or_else(no_client),
            (Grant::JwtBearer { assertion }, _) if is_of_a_service(assertion) => {
                self.by_key(assertion, named, OauthErrorCode::InvalidGrant).await?
            }
            (Grant::JwtBearer { assertion }, client) => {
                self.by_trust(assertion, named, client.as_ref(), OauthErrorCode::InvalidGrant).await?
            }
            // RFC 8693 section 2.2.2.
            (Grant::TokenExchange { subject_token }, client) => {
                self.by_trust(subject_token, named, client.as_ref(), OauthErrorCode::InvalidRequest).await?
            }
        };
        match client {
            Some(client) if client.caller.subject() != proven.caller.subject() => {
                let error = "The assertion is not of the client that authenticates.";
                Err(OauthError::new(OauthErrorCode::UnauthorizedClient, error).into())
            }
            client => {
                name(&proven.caller, origin);
                Ok(Proven { client: client.map(|client| client.caller), ..proven })
            }
        }
    }

    /// An opaque credential. A wrong one costs the same work, whoever is named.
    async fn by_secret(&self, id: &str, secret: &str, from: Option<IpAddr>) -> Result<Proven, Failure> {
        let (view, now) = (self.registry.now().await?, self.clock.now());
        let actor = self.authenticator.actor(&view, secret, from, now).ok_or_else(no_client)?;
        let service = view.state.credential(actor.credential).and_then(|known| service_of(known).ok());
        if !service.is_some_and(|service| is_named(&view, service, id)) {
            return Err(no_client());
        }
        Ok(Proven::new(actor, &view, now, OauthErrorCode::InvalidClient))
    }

    /// An assertion that is signed with a registered key.
    async fn by_key(&self, text: &str, named: Option<&str>, code: OauthErrorCode) -> Result<Proven, Failure> {
        let refused = |description| Failure::from(OauthError::new(code, description));
        let Some(issuer) = self.issuer() else {
            return Err(refused("This manager has no issuer configured, so that assertions have no audience."));
        };
        let (view, now) = (self.registry.now().await?, self.clock.now());
        let assertion = UnverifiedAssertion::parse(text).map_err(|_| refused(WRONG_ASSERTION))?;
        let service = assertion.claimed_service();
        let known = keys_in_use(&view, service, now);
        let keys: Vec<Jwk> = known.iter().map(|(_, key)| key.clone()).collect();
        let proven = assertion.verify(&keys, issuer, now).map_err(|_| refused(WRONG_ASSERTION))?;
        if !named.is_none_or(|id| is_named(&view, service, id)) {
            return Err(refused("The client_id is not that of the assertion."));
        }
        let by = known.iter().find(|(_, key)| key.thumbprint() == proven.key).map(|(id, _)| *id);
        let actor = by.and_then(|by| view.state.actor(by, now)).ok_or_else(|| refused(WRONG_ASSERTION))?;
        self.replays.use_once(&proven, now).map_err(|why| match why {
            Replayed::Used => refused("The assertion was used already, or has expired."),
            Replayed::BeforeStart => Failure::later("assertions from before the start are not accepted"),
            Replayed::Full => Failure::later("too many assertions were used in a short time"),
        })?;
        Ok(Proven::new(actor, &view, now, code))
    }

    /// A token of an external issuer.
    async fn by_trust(
        &self,
        text: &str,
        named: Option<&str>,
        client: Option<&Proven>,
        code: OauthErrorCode,
    ) -> Result<Proven, Failure> {
        let refused = || Failure::unproven(OauthError::new(code, NO_TRUST));
        let token = parse_token(text).map_err(|_| refused())?;
        let claims = UnverifiedClaims::of(&token).map_err(|_| refused())?;
        let (view, now) = (self.registry.now().await?, self.clock.now());
        let fits = |trust: &&Credential| {
            let is_client = || client.is_none_or(|client| client.caller.subject() == Some(trust.subject));
            let is_named =
                || named.is_none_or(|id| service_of(trust).is_ok_and(|service| is_named(&view, service, id)));
            let is_enabled = || view.state.actor(trust.credential_id, now).is_some();
            trust.proof.trust().is_some_and(|it| claims.may_meet(it)) && is_enabled() && is_client() && is_named()
        };
        let candidates: Vec<&Credential> = view.state.trusts().filter(fits).take(MOST_CANDIDATES + 1).collect();
        // Nothing is verified yet: a stranger is not told how many trusts there are.
        if candidates.len() > MOST_CANDIDATES {
            return Err(refused());
        }
        let (mut admitted, mut lacks_keys) = (Vec::new(), false);
        for known in candidates {
            let (Some(definition), Ok(service)) = (known.proof.trust(), service_of(known)) else { continue };
            // By the rules of the present version, which may be stricter than those it was defined under.
            let Ok(trust) = Trust::define(definition, service, self.key_sets.rules()) else { continue };
            match self.key_sets.key(&trust, token.kid()).await {
                Err(_) => lacks_keys = true,
                Ok(key) => {
                    let verified = trust.verify(&token, key.as_ref(), self.clock.now());
                    admitted.extend(verified.ok().map(|proven| (known, proven)));
                }
            }
        }
        let services: Vec<Subject> = admitted.iter().map(|(known, _)| known.subject).collect();
        if services.iter().any(|service| Some(service) != services.first()) {
            return Err(several_trusts());
        }
        // Of several for the same service the oldest counts.
        let oldest = admitted.into_iter().min_by_key(|(known, _)| (known.created_at, known.credential_id));
        match oldest {
            Some((known, proven)) => self.admitted(known, proven, code).await,
            None if lacks_keys => Err(Failure::later("the key set of an issuer cannot be fetched")),
            None => Err(refused()),
        }
    }

    /// The actor whom a trust admits. The network was waited for: the trust must still be what it was.
    async fn admitted(
        &self,
        known: &Credential,
        proven: ProvenByTrust,
        code: OauthErrorCode,
    ) -> Result<Proven, Failure> {
        let (view, now) = (self.registry.now().await?, self.clock.now());
        let is_same = view.state.credential(known.credential_id) == Some(known);
        let actor = view.state.actor(known.credential_id, now).filter(|_| is_same && proven.expires > now);
        let actor = actor.ok_or_else(|| Failure::unproven(OauthError::new(code, NO_TRUST)))?;
        // What is made with the token ends with it.
        let ends_at = Some(actor.ends_at.map_or(proven.expires, |end| end.min(proven.expires)));
        let external_subject = Some(proven.external_subject);
        Ok(Proven { external_subject, ..Proven::new(Actor { ends_at, ..actor }, &view, now, code) })
    }
}

impl Proven {
    fn new(actor: Actor, view: &View, now: u64, code: OauthErrorCode) -> Self {
        Self { caller: Caller::new(actor, view, now), client: None, external_subject: None, code }
    }

    /// All that was shown, of which each is a use, and the error of one that cannot be used any more.
    pub fn shown(&self) -> impl Iterator<Item = (&Caller, OauthErrorCode)> {
        let client = self.client.iter().map(|client| (client, OauthErrorCode::InvalidClient));
        client.chain([(&self.caller, self.code)])
    }
}

/// Makes a caller the actor of an origin.
fn name(caller: &Caller, origin: &mut Origin) {
    let named = origin.clone().by(caller.subject(), Some(caller.credential()));
    *origin = named.authenticated(caller.method(), caller.rules());
}

/// The registered keys of a service that may be used.
fn keys_in_use(view: &View, service: ServiceId, now: u64) -> Vec<(CredentialId, Jwk)> {
    let all = view.state.credentials_of(Subject::Service(service)).take(MOST_CREDENTIALS);
    let in_use = all.filter(|known| view.state.actor(known.credential_id, now).is_some());
    let key = |known: &Credential| {
        let (_, document) = known.proof.public_key()?;
        Some((known.credential_id, Jwk::parse(document.as_bytes()).ok()?))
    };
    in_use.filter_map(key).take(MAX_KEYS).collect()
}

/// True if a text is the id or the name of a service.
fn is_named(view: &View, service: ServiceId, text: &str) -> bool {
    let name = AccountName::parse(text).ok();
    let named = name.and_then(|name| view.state.named(Kind::Service, &name));
    text == service.to_string() || matches!(named, Some(Record::Service(known)) if known.service_id == service)
}

/// True if a token is one that a service signed itself. It decides nothing but by which keys it is verified.
fn is_of_a_service(text: &str) -> bool {
    UnverifiedAssertion::parse(text).is_ok_and(|assertion| assertion.claims_to_be_own())
}

pub(super) fn no_client() -> Failure {
    OauthError::new(
        OauthErrorCode::InvalidClient,
        "The client is unknown, or its secret is wrong, expired or disabled.",
    )
    .into()
}

fn several_trusts() -> Failure {
    let error = "The token fits trusts of several services; name the service by client_id.";
    OauthError::new(OauthErrorCode::InvalidRequest, error).into()
}

const WRONG_ASSERTION: &str =
    "The assertion is malformed, expired, for another audience, or not signed with a registered key of its service.";
const NO_TRUST: &str = "No trust admits the token. An administrator can find out why by a dry run.";
/// Those of other kinds included. Their number is bounded for each kind.
const MOST_CREDENTIALS: usize = 1_024;
