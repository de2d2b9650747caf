//! The costly part of a token: release keys, their seal, the RS256 signature.

use std::sync::Arc;

use manager_api::wire::IssuedToken;
use service_runtime::Refusal;
use service_runtime::workers::Workers;
use shared_proto::id::VaultId;
use shared_proto::identity::Issuer;
use shared_proto::release;
use shared_proto::secret::ReleaseKey;
use shared_proto::statement::StatedKey;
use shared_proto::token::TokenTerms;
use zeroize::Zeroizing;

use crate::keys::{KeyRing, TokenSigner};
use crate::sealing::Sealer;
use crate::sealing::cipher_refused;
use manager_store::{NewToken, VersionRow};

/// Seals release keys into tokens and signs them.
pub struct TokenSealer {
    sealer: Arc<Sealer>,
    keys: Arc<KeyRing>,
    issuer: Issuer,
    vault: VaultId,
    workers: Workers<()>,
}

impl TokenSealer {
    /// A sealer for one vault.
    pub fn new(sealer: Arc<Sealer>, keys: Arc<KeyRing>, issuer: Issuer, vault: VaultId, workers: Workers<()>) -> Self {
        Self { sealer, keys, issuer, vault, workers }
    }

    /// The token signing key in use. Only the database knows whether it was revoked.
    ///
    /// # Errors
    /// The vault does not know it yet.
    pub fn signer(&self) -> Result<Arc<TokenSigner>, Refusal> {
        self.keys.signer()
    }

    /// Makes the token on a worker thread, where half a millisecond of arithmetic delays no other request.
    pub(super) async fn seal_and_sign(
        self: &Arc<Self>,
        token: NewToken,
        rseq: u64,
        versions: Vec<VersionRow>,
        (seal_key, signer): (StatedKey, Arc<TokenSigner>),
    ) -> Result<IssuedToken, Refusal> {
        let this = Arc::clone(self);
        let made = self.workers.run(move |()| this.make(token, rseq, &versions, seal_key, &signer));
        made.await.map_err(|_| Refusal::internal("the signing task broke down"))?
    }

    fn make(
        &self,
        token: NewToken,
        rseq: u64,
        versions: &[VersionRow],
        seal_key: StatedKey,
        signer: &TokenSigner,
    ) -> Result<IssuedToken, Refusal> {
        let release_keys: Vec<ReleaseKey> =
            versions.iter().map(|row| self.sealer.release_key(row)).collect::<Result<_, _>>()?;
        let (jti, expires_at) = (token.jti, token.expires_at);
        let terms = TokenTerms {
            issuer: self.issuer,
            audience: self.vault,
            subject: token.subject,
            client_id: token.credential,
            jti,
            confirmation: None,
            issued_at: token.issued_at,
            expires_at,
            rseq,
            environment: token.environment,
            grants: token.grants,
        };
        let claims = release::seal(terms, &release_keys, &[seal_key.key]).map_err(cipher_refused)?;
        let access_token = Zeroizing::new(signer.sign(&claims).map_err(cipher_refused)?);
        Ok(IssuedToken { access_token, token_type: "Bearer".to_owned(), jti, expires_at })
    }
}
