//! Reading with an access token.

use std::sync::Arc;

use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use service_runtime::audit::{AuditRecord, AuditStatus, Origin};
use service_runtime::http::{ApiError, bearer, note_known_sender, origin_of, read_json};
use service_runtime::tasks::by_size;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;
use shared_proto::secret::SecretValue;
use shared_proto::token::Expected;
use shared_proto::wire::vault::{MAX_BATCH, MAX_BATCH_BYTES, OpenedKey, ReadAnswer, ReadKeys, ReadResult};
use zeroize::Zeroizing;

use crate::app::Vault;
use crate::decrypt::{NotOpened, Opener};
use crate::grant::{Authorized, DecryptGrant, ReadRefusal, Unrevoked, UnverifiedToken};
use crate::store::Row;

/// The largest body of `POST /api/keys:read`, in bytes: 64 ids take about 2 KiB.
pub(super) const READ_LIMIT: usize = 8 * 1024;

/// `GET /api/keys/{key_id}`.
pub(super) async fn read_one(req: HttpRequest, vault: web::Data<Arc<Vault>>) -> Result<HttpResponse, ApiError> {
    let token = authenticate(&vault, &req)?;
    let meta = origin_of(&req);
    let asked = req.match_info().query("key_id").parse::<SecretId>();
    // What is not an id cannot name a secret either.
    let secret = asked.map_err(|_| refuse(&vault, &meta, None, ReadRefusal::NotFound))?;
    let refuse = |refusal| refuse(&vault, &meta, Some(secret), refusal);
    let (authorized, row) = find(&vault, &token, secret).await.map_err(|error| error.told(refuse))?;
    let mut grants = DecryptGrant::record_all(vec![authorized], &vault.audit, &meta).await?;
    let grant = grants.pop().ok_or_else(|| ApiError::new(ErrorCode::Internal))?;
    answer(&open(&vault, grant, row, &meta, secret).await?)
}

/// `POST /api/keys:read`.
pub(super) async fn read_many(
    req: HttpRequest,
    payload: web::Payload,
    vault: web::Data<Arc<Vault>>,
) -> Result<HttpResponse, ApiError> {
    let token = authenticate(&vault, &req)?;
    let asked: ReadKeys = read_json(&req, payload, READ_LIMIT).await?;
    if !(1..=MAX_BATCH).contains(&asked.key_ids.len()) {
        return Err(ApiError::new(ErrorCode::ParameterInvalid).detail("1 to 64 ids."));
    }
    let meta = origin_of(&req);
    let mut room = MAX_BATCH_BYTES;
    let (mut authorized, mut lines) = (Vec::new(), Vec::with_capacity(asked.key_ids.len()));
    for key_id in asked.key_ids {
        let found = choose(&vault, &token, key_id, &mut room, &meta).await?;
        lines.push((
            key_id,
            found.map(|(allowed, row)| {
                authorized.push(allowed);
                row
            }),
        ));
    }
    let mut grants = DecryptGrant::record_all(authorized, &vault.audit, &meta).await?.into_iter();
    let mut keys = Vec::with_capacity(lines.len());
    for (key_id, found) in lines {
        keys.push(match (found, &mut grants) {
            (Err(code), _) => ReadResult::Refused { key_id, code },
            (Ok(row), grants) => {
                let grant = grants.next().ok_or_else(|| ApiError::new(ErrorCode::Internal))?;
                match open(&vault, grant, row, &meta, key_id).await {
                    Ok(opened) => ReadResult::Opened(opened),
                    // An altered row must not keep the others back.
                    Err(error) if error.code() == ErrorCode::TokenInvalid => {
                        ReadResult::Refused { key_id, code: error.code() }
                    }
                    Err(error) => return Err(error),
                }
            }
        });
    }
    answer(&ReadAnswer { keys })
}

fn authenticate(vault: &Vault, req: &HttpRequest) -> Result<Unrevoked, ApiError> {
    let meta = || origin_of(req);
    let stranger = |refusal: ReadRefusal| {
        let record = AuditRecord::new("read", AuditStatus::Denied, &meta()).code(refusal.code());
        vault.audit.record_refusal(record);
        ApiError::new(refusal.code())
    };
    let text = bearer(req).ok_or_else(|| stranger(ReadRefusal::Token))?;
    let expected =
        Expected { issuer: vault.issuer, audience: vault.id, now: vault.manager_clock.token_time(&*vault.clock) };
    let claims = UnverifiedToken::new(text).verify(&vault.manager_keys, &vault.tokens, &expected).map_err(stranger)?;
    let jti = claims.jti();
    let token = claims.check_revocation(&vault.feed, &vault.refusals).map_err(|refusal| {
        let record = AuditRecord::new("read", AuditStatus::Denied, &meta()).jti(jti).code(refusal.code());
        vault.audit.record_without_waiting(record);
        ApiError::new(refusal.code())
    })?;
    note_known_sender(req);
    Ok(token)
}

/// Why a version is not opened: a decision, or a fault of the store.
enum NotFound {
    Refused(ReadRefusal),
    Fault(ApiError),
}

impl NotFound {
    fn told(self, refuse: impl FnOnce(ReadRefusal) -> ApiError) -> ApiError {
        match self {
            Self::Refused(refusal) => refuse(refusal),
            Self::Fault(error) => error,
        }
    }
}

async fn find(vault: &Vault, token: &Unrevoked, secret: SecretId) -> Result<(Authorized, Arc<Row>), NotFound> {
    let authorized = token.authorize(secret, &vault.feed).map_err(NotFound::Refused)?;
    authorized.unseal(&vault.seal_keys).map_err(NotFound::Refused)?;
    let grant = authorized.grant();
    let row = vault.row(grant.secret, grant.version).await.map_err(|fault| NotFound::Fault(fault.into()))?;
    Ok((authorized, row.ok_or(NotFound::Refused(ReadRefusal::NotFound))?))
}

async fn choose(
    vault: &Vault,
    token: &Unrevoked,
    key_id: SecretId,
    room: &mut usize,
    meta: &Origin,
) -> Result<Result<(Authorized, Arc<Row>), ErrorCode>, ApiError> {
    match find(vault, token, key_id).await {
        Err(NotFound::Fault(error)) => Err(error),
        Err(NotFound::Refused(refusal)) => Ok(Err(refuse(vault, meta, Some(key_id), refusal).code())),
        Ok((authorized, row)) => {
            // A frame is at least as long as its value.
            let Some(left) = room.checked_sub(row.ciphertext.bytes.len()) else {
                let record = AuditRecord::new("read", AuditStatus::Denied, meta).key_id(key_id.to_string());
                vault.audit.record_without_waiting(record.code(ErrorCode::BodyTooLarge));
                return Ok(Err(ErrorCode::BodyTooLarge));
            };
            *room = left;
            Ok(Ok((authorized, row)))
        }
    }
}

async fn open(
    vault: &Arc<Vault>,
    grant: DecryptGrant,
    row: Arc<Row>,
    meta: &Origin,
    key_id: SecretId,
) -> Result<OpenedKey, ApiError> {
    let version = grant.version();
    let mut opened = try_to_open(vault, grant, row).await?;
    if let Err(NotOpened(grant)) = opened {
        // Its wrapped keys may have been exchanged since it was kept in memory.
        vault.forget_rows(std::iter::once((key_id, version)));
        opened = match vault.row(key_id, version).await? {
            Some(row) => try_to_open(vault, grant, row).await?,
            None => Err(NotOpened(grant)),
        };
    }
    let value: SecretValue = opened.map_err(|_| {
        // The row was altered, or the token does not fit it; the allowed line is followed by what happened.
        let record = AuditRecord::new("read", AuditStatus::Failed, meta).key_id(key_id.to_string());
        vault.audit.record_without_waiting(record.code(ErrorCode::TokenInvalid));
        ApiError::new(ErrorCode::TokenInvalid).cause("a row did not open for a token that names it")
    })?;
    // EXPOSE: this is the answer that the token was made for.
    Ok(OpenedKey { key_id, version, encoding: value.encoding(), decrypted_key: value.expose_json() })
}

async fn try_to_open(
    vault: &Vault,
    grant: DecryptGrant,
    row: Arc<Row>,
) -> Result<Result<SecretValue, NotOpened>, ApiError> {
    let keys = vault.keys.current();
    Ok(by_size(row.ciphertext.bytes.len(), move || Opener::new(&keys.storage).open(grant, &row)).await?)
}

fn refuse(vault: &Vault, meta: &Origin, key_id: Option<SecretId>, refusal: ReadRefusal) -> ApiError {
    let mut record = AuditRecord::new("read", AuditStatus::Denied, meta).code(refusal.code());
    if let Some(key_id) = key_id {
        record = record.key_id(key_id.to_string());
    }
    vault.audit.record_without_waiting(record);
    ApiError::new(refusal.code())
}

fn answer<T: serde::Serialize>(body: &T) -> Result<HttpResponse, ApiError> {
    let mut json = Zeroizing::new(Vec::new());
    serde_json::to_writer(&mut *json, body).map_err(|_| ApiError::new(ErrorCode::Internal))?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(std::mem::take(&mut *json)))
}
