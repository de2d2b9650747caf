//! The extractor of routes for the manager: a signed command, verified from the header before its body is read.

use std::pin::Pin;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, AuditRecord, Origin};
use service_runtime::clock::Clock;
use service_runtime::http::{
    Access, Authenticates, Route, admit_command, bearer, note_known_sender, origin_of, read_body,
};
use service_runtime::tasks::by_size;
use shared_proto::command::{CommandClaims, LIFE_SECONDS};
use shared_proto::encoding::from_json;
use shared_proto::error::ErrorCode;
use shared_proto::id::VaultId;
use shared_proto::identity::Issuer;
use shared_proto::jwk::Thumbprint;
use shared_proto::jws::{Compact, Kind, VerifiedPayload, ed25519_key};
use shared_proto::token::Expected;
use shared_proto::{Malformed, Rejected};
use zeroize::Zeroizing;

use crate::keys::KeyRing;
use crate::manager_clock::ManagerClock;

/// A verified command with its body.
pub struct Command {
    /// Its claims.
    pub claims: CommandClaims,
    /// Its body, which the claims cover.
    pub body: CommandBody,
    /// Its origin, for the audit log.
    pub origin: Origin,
}

/// The body of a command. It is wiped when it is dropped.
pub struct CommandBody(Zeroizing<Vec<u8>>);

/// The parts that verify commands.
pub struct CommandGate {
    /// This vault.
    pub id: VaultId,
    /// Issuer of the pinned manager.
    pub issuer: Issuer,
    /// The keys of the vault, with the pinned identities of the manager.
    pub keys: Arc<KeyRing>,
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// The manager's clock.
    pub manager_clock: Arc<ManagerClock>,
    /// The audit log.
    pub audit: AuditLog,
}

impl Authenticates for Command {
    const ADMITS: &'static [Access] = &[Access::Command];
}

impl FromRequest for Command {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(req: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (req, payload) = (req.clone(), web::Payload::from_request(req, payload));
        Box::pin(async move {
            let gate = req.app_data::<web::Data<CommandGate>>();
            let gate = gate.cloned().ok_or_else(|| Refusal::internal("there is no gate"))?;
            let payload = payload.await.map_err(|_| Refusal::new(ErrorCode::BodyInvalid))?;
            gate.verify(&req, payload).await
        })
    }
}

impl CommandBody {
    /// Its length in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// `body_invalid`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        from_json(&self.0).map_err(|Malformed(_)| Refusal::new(ErrorCode::BodyInvalid))
    }
}

impl CommandGate {
    async fn verify(&self, req: &HttpRequest, payload: web::Payload) -> Result<Command, Refusal> {
        let origin = origin_of(req);
        let route = Route::of(req).ok_or_else(|| Refusal::internal("the route is not in the table"))?;
        let record = |origin: &Origin, refusal: &Refusal| {
            self.audit.record_refusal(AuditRecord::refused(route.id, refusal, origin));
        };
        let refused = |origin: &Origin, code| {
            let refusal = Refusal::new(code);
            record(origin, &refusal);
            refusal
        };
        let token = bearer(req).ok_or_else(|| refused(&origin, ErrorCode::CommandInvalid))?;
        let signed = self.verify_signature(token).map_err(|Rejected| refused(&origin, ErrorCode::CommandInvalid))?;
        let (payload_of_token, kid) = signed;
        let origin = origin.by(Some(self.issuer.manager), Some(format!("{kid:?}")));
        let claims = self.check_claims(&payload_of_token).map_err(|code| refused(&origin, code))?;
        admit_command(req)?;
        let body = read_body(req, payload, claims.op.body_limit()).await;
        let body = body.inspect_err(|refusal| record(&origin, refusal))?;
        let covered = by_size(body.len(), move || claims.covers(&body).map(|()| (claims, body))).await?;
        let (claims, body) = covered.map_err(|Rejected| refused(&origin, ErrorCode::CommandInvalid))?;
        // The body was waited for: time has passed, and an identity may have been unpinned.
        if self.keys.current().pins.key(&kid).is_none() {
            return Err(refused(&origin, ErrorCode::CommandInvalid));
        }
        if !self.is_current(&claims) {
            return Err(refused(&origin, ErrorCode::ClockDiffers));
        }
        note_known_sender(req);
        Ok(Command { claims, body: CommandBody(body), origin })
    }

    /// The payload of a command with a valid signature, and the key that signed it.
    fn verify_signature(&self, text: &str) -> Result<(VerifiedPayload, Thumbprint), Rejected> {
        let token = Compact::parse(Kind::Command, text)?;
        let keys = self.keys.current();
        let payload = token.verify(&ed25519_key(keys.pins.key(token.kid()).ok_or(Rejected)?))?;
        Ok((payload, *token.kid()))
    }

    fn check_claims(&self, payload: &VerifiedPayload) -> Result<CommandClaims, ErrorCode> {
        let expected = self.expected();
        let untimely = CommandClaims::is_untimely(payload, &expected);
        if !untimely {
            let claims = CommandClaims::check(payload, &expected).map_err(|Rejected| ErrorCode::CommandInvalid)?;
            if self.is_current(&claims) {
                return Ok(claims);
            }
        }
        self.manager_clock.note_untimely_command(&*self.clock);
        Err(ErrorCode::ClockDiffers)
    }

    /// Whether a command has not expired. A recorded one has expired by the boot clock, even when the wall clock was
    /// set back to its time.
    fn is_current(&self, claims: &CommandClaims) -> bool {
        let end = claims.issued_at().saturating_add(LIFE_SECONDS);
        claims.fits(&self.expected()) && !self.manager_clock.is_over(end, &*self.clock)
    }

    fn expected(&self) -> Expected {
        Expected { issuer: self.issuer, audience: self.id, now: self.clock.now() }
    }
}
