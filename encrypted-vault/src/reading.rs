//! Reading with an access token: one version, or a batch of them.
//!
//! Guarantees that a right that ends while its request waits opens nothing. Large values are opened and written on
//! other threads than those that serve. The bound of an answer counts the bytes that are sent. A row that does not open
//! blocks no other row. A refused request writes one audit line for each code, however many ids it names.

use std::sync::Arc;

use service_runtime::audit::{AuditLog, AuditRecord, AuditStatus, Origin};
use service_runtime::http::{AnswerRoom, Room};
use service_runtime::tasks::by_size;
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;
use shared_proto::secret::SecretValue;
use shared_proto::token::TokenHolder;
use shared_proto::wire::vault::{MAX_BATCH, MAX_BATCH_BYTES, OpenedKey, ReadAnswer, ReadResult};
use zeroize::Zeroizing;

use crate::answer::{json_len, to_json};
use crate::budgets::{RefusalBudgets, Spent};
use crate::decrypt::{NotOpened, Opener};
use crate::grant::{
    Authority, DecryptGrant, NotVerified, ReadRefusal, TokenCache, Unrevoked, Unsealed, UnverifiedToken, VerifiedClaims,
};
use crate::keys::KeyRing;
use crate::read_budgets::{BudgetSettings, Exhausted, ReadBudgets};
use crate::row_cache::RowCache;
use crate::store::Row;

/// Opens versions for the holders of access tokens.
pub struct Reader {
    authority: Arc<Authority>,
    tokens: Arc<TokenCache>,
    keys: Arc<KeyRing>,
    rows: Arc<RowCache>,
    audit: AuditLog,
    budgets: RefusalBudgets,
    read_budgets: ReadBudgets,
}

/// A request whose token was verified.
pub struct Caller {
    claims: VerifiedClaims,
    asker: Asker,
}

/// The asking holder, its origin and its route. Lines of refusals name them.
struct Asker {
    holder: TokenHolder,
    origin: Origin,
    action: &'static str,
}

/// The text of an answer with opened versions, and the room that it takes until it is written.
pub struct Opened {
    /// JSON, wiped when it is dropped.
    pub json: Zeroizing<Vec<u8>>,
    /// Its room.
    pub room: Room,
}

/// Why a version is not in the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
struct NotGiven {
    code: ErrorCode,
    status: AuditStatus,
    /// Seconds after which it may be asked for again.
    wait: Option<u64>,
}

impl NotGiven {
    /// The row was altered, or the token does not fit it.
    const UNOPENED: Self = Self { code: ErrorCode::TokenInvalid, status: AuditStatus::Failed, wait: None };

    fn of(code: ErrorCode) -> Self {
        Self { code, status: AuditStatus::of(code), wait: None }
    }
}

impl From<ReadRefusal> for NotGiven {
    fn from(refusal: ReadRefusal) -> Self {
        Self::of(refusal.code())
    }
}

impl From<Exhausted> for NotGiven {
    fn from(Exhausted { wait }: Exhausted) -> Self {
        Self { wait: Some(wait), ..Self::of(ErrorCode::RateLimited) }
    }
}

type Json = serde_json::Result<Zeroizing<Vec<u8>>>;

/// A requested secret, with its result.
type Asked<T> = (SecretId, Result<T, NotGiven>);

impl Reader {
    /// A reader of these rows.
    pub fn new(
        authority: Arc<Authority>,
        tokens: Arc<TokenCache>,
        keys: Arc<KeyRing>,
        (rows, settings): (Arc<RowCache>, BudgetSettings),
        audit: AuditLog,
    ) -> Self {
        let (budgets, read_budgets) = (RefusalBudgets::default(), ReadBudgets::new(settings));
        Self { authority, tokens, keys, rows, audit, budgets, read_budgets }
    }

    /// Verifies the token of a request, before its body is read.
    ///
    /// # Errors
    /// The token is missing or bad, or has caused too many refusals.
    pub fn authenticate(&self, token: Option<&str>, origin: Origin, action: &'static str) -> Result<Caller, Refusal> {
        let asker = |holder: TokenHolder, origin: Origin| {
            let origin = origin.by(Some(holder.subject), Some(holder.client_id));
            Asker { holder, origin, action }
        };
        let missing = NotVerified { holder: None };
        let verified = token.ok_or(missing).and_then(|text| self.verify(text));
        let claims = match verified {
            Ok(claims) => claims,
            Err(NotVerified { holder: Some(holder) }) => {
                return Err(self.refuse(&asker(holder, origin), ReadRefusal::Token.into(), None));
            }
            Err(NotVerified { holder: None }) => {
                let refusal = Refusal::new(ErrorCode::TokenInvalid);
                self.audit.record_refusal(AuditRecord::refused(action, &refusal, &origin));
                return Err(refusal);
            }
        };
        let asker = asker(claims.holder(), origin);
        if self.budgets.check_token(&asker.holder.jti, self.authority.clock.boot()).is_err() {
            return Err(self.refuse_spent(&asker));
        }
        claims.look(&self.authority).map_err(|refusal| self.refuse(&asker, refusal.into(), None))?;
        Ok(Caller { claims, asker })
    }

    /// Opens the version of one secret.
    ///
    /// # Errors
    /// The token does not open it, or a needed part of the vault does not work.
    pub async fn read_one(
        &self,
        caller: Caller,
        secret: Option<SecretId>,
        room: &AnswerRoom,
    ) -> Result<Opened, Refusal> {
        let Caller { claims, asker } = caller;
        let token = self.still_good(claims, &asker)?;
        // What is not an id cannot name a secret either.
        let Some(secret) = secret else {
            return Err(self.refuse(&asker, ReadRefusal::NotFound.into(), None));
        };
        let (room, mut opened) = self.open_all(&token, vec![secret], &asker, room).await?;
        let (_, outcome) = opened.pop().ok_or_else(|| Refusal::new(ErrorCode::Internal))?;
        let opened = outcome.map_err(|not_given| self.refuse(&asker, not_given, Some((secret, 1))))?;
        let size_of_json = opened.decrypted_key.len();
        // The work holds the room: a client that resets the connection does not free it before the work has ended.
        let write = move || (to_json(&opened, json_len(&opened)), room);
        let (json, room) = by_size(size_of_json, write).await?;
        Ok(Opened { json: json.map_err(|_| Refusal::new(ErrorCode::Internal))?, room })
    }

    /// Opens the versions of up to 64 secrets, each named once.
    ///
    /// # Errors
    /// There are no ids, too many or repeated ones, the token is no longer valid, or a needed part of the vault does
    /// not work.
    pub async fn read_many(&self, caller: Caller, ids: Vec<SecretId>, room: &AnswerRoom) -> Result<Opened, Refusal> {
        let Caller { claims, asker } = caller;
        let token = self.still_good(claims, &asker)?;
        check_ids(&ids).map_err(|refusal| self.count(&asker, NotGiven::of(refusal.code()), None, refusal))?;
        let (room, opened) = self.open_all(&token, ids, &asker, room).await?;
        let size = opened.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).map(|key| key.decrypted_key.len());
        let (size, asked) = (size.sum(), opened.len());
        let ((json, not_given), room) = by_size(size, move || (batch_answer(opened), room)).await?;
        self.note(&asker, &not_given, asked);
        Ok(Opened { json: json.map_err(|_| Refusal::new(ErrorCode::Internal))?, room })
    }

    fn verify(&self, text: &str) -> Result<VerifiedClaims, NotVerified> {
        UnverifiedToken::new(text).verify(&self.authority, &self.tokens)
    }

    /// Checks the token again, after the wait for the body.
    fn still_good(&self, claims: VerifiedClaims, asker: &Asker) -> Result<Unrevoked, Refusal> {
        claims.check_revocation(&self.authority).map_err(|refusal| self.refuse(asker, refusal.into(), None))
    }

    async fn open_all(
        &self,
        token: &Unrevoked,
        ids: Vec<SecretId>,
        asker: &Asker,
        answer_room: &AnswerRoom,
    ) -> Result<(Room, Vec<Asked<OpenedKey>>), Refusal> {
        let (mut unsealed, mut found, mut left) = (Vec::new(), Vec::with_capacity(ids.len()), MAX_BATCH_BYTES);
        let mut room = Room::default();
        for id in ids {
            let row = self.find(token, id).await?.and_then(|(right, row)| {
                self.read_budgets.take(asker.holder.subject, id, self.authority.clock.boot())?;
                // A frame is at least as long as its value.
                left = left.checked_sub(size(&row)).ok_or(NotGiven::of(ErrorCode::BodyTooLarge))?;
                unsealed.push(right);
                Ok(row)
            });
            // Before the next row is read: rows wait in memory, too.
            answer_room.grow(&mut room, (MAX_BATCH_BYTES - left).saturating_add(LINE * unsealed.len()))?;
            found.push((id, row));
        }
        let mut grants = DecryptGrant::record_all(unsealed, &self.audit, &asker.origin).await?.into_iter();
        let rights = found.into_iter().map(|(id, row)| match row {
            Ok(row) => grants.next().map(|grant| (id, Ok((grant, row)))).ok_or(ErrorCode::Internal),
            Err(not_given) => Ok((id, Err(not_given))),
        });
        let rights = rights.collect::<Result<Vec<_>, ErrorCode>>().map_err(Refusal::new)?;
        self.open_rows(rights, room).await
    }

    /// Finds the row of a version that the token names.
    async fn find(
        &self,
        token: &Unrevoked,
        secret: SecretId,
    ) -> Result<Result<(Unsealed, Arc<Row>), NotGiven>, Refusal> {
        let authorized = token.authorize(secret, &self.authority);
        match authorized.and_then(|authorized| authorized.unseal(&self.authority)) {
            Err(refusal) => Ok(Err(refusal.into())),
            Ok(unsealed) => {
                let row = self.rows.get(unsealed.grant().secret, unsealed.grant().version).await?;
                Ok(row.map(|row| (unsealed, row)).ok_or(ReadRefusal::NotFound.into()))
            }
        }
    }

    /// Opens rows. The room of their answer is held until this has ended, even when no client waits any more.
    async fn open_rows(
        &self,
        rights: Vec<Asked<(DecryptGrant, Arc<Row>)>>,
        room: Room,
    ) -> Result<(Room, Vec<Asked<OpenedKey>>), Refusal> {
        let bytes = rights.iter().filter_map(|(_, right)| right.as_ref().ok()).map(|(_, row)| size(row)).sum();
        let (keys, authority) = (self.keys.current(), Arc::clone(&self.authority));
        let tried = by_size(bytes, move || {
            let opener = Opener::new(&keys.storage, &authority);
            let open = |(id, right): Asked<_>| {
                (id, right.map(|(grant, row): (_, Arc<Row>)| try_to_open(&opener, id, grant, &row)))
            };
            (rights.into_iter().map(open).collect::<Vec<_>>(), room)
        });
        let (tried, room) = tried.await?;
        let mut opened = Vec::new();
        for (id, outcome) in tried {
            let outcome = match outcome {
                Ok(Err(NotOpened::Row(grant))) => self.open_fresh(id, grant).await?,
                Ok(outcome) => outcome.map_err(NotGiven::from),
                Err(not_given) => Err(not_given),
            };
            opened.push((id, outcome));
        }
        Ok((room, opened))
    }

    /// Tries again with the row that is in the database now: its wrapped keys may have been exchanged meanwhile.
    async fn open_fresh(&self, id: SecretId, grant: DecryptGrant) -> Result<Result<OpenedKey, NotGiven>, Refusal> {
        let row = self.rows.get_fresh(id, grant.version()).await?;
        let Some(row) = row else { return Ok(Err(NotOpened::Row(grant).into())) };
        let (keys, authority, bytes) = (self.keys.current(), Arc::clone(&self.authority), size(&row));
        let again =
            move || try_to_open(&Opener::new(&keys.storage, &authority), id, grant, &row).map_err(NotGiven::from);
        Ok(by_size(bytes, again).await?)
    }

    /// Records why versions of a batch of `asked` are not in the answer, with a line for each code. A batch that opened
    /// something is never limited, so that a client that still asks for one destroyed secret keeps working.
    fn note(&self, asker: &Asker, not_given: &[(SecretId, NotGiven)], asked: usize) {
        let mut rest = not_given.to_vec();
        while let Some((first, kind)) = rest.first().copied() {
            let before = rest.len();
            rest.retain(|(_, other)| *other != kind);
            let ids = Some((first, before - rest.len()));
            if not_given.len() < asked {
                let within = self.budgets.take_line(&asker.holder, self.authority.clock.boot()).is_ok();
                // Beyond that its lines are counted by subject, so that the tokens of one leave room for other callers.
                self.record(asker, within, kind, ids);
            } else {
                let _answered_line_by_line = self.refuse(asker, kind, ids);
            }
        }
    }

    /// Counts a request that was refused before anything was asked, and says what to answer.
    pub fn refuse_request(&self, caller: &Caller, refusal: Refusal) -> Refusal {
        self.count(&caller.asker, NotGiven::of(refusal.code()), None, refusal)
    }

    /// Counts a refusal, and says what to answer. `ids` is the first id that it is about, and how many there are.
    fn refuse(&self, asker: &Asker, not_given: NotGiven, ids: Option<(SecretId, usize)>) -> Refusal {
        let mut refusal = Refusal::new(not_given.code);
        if not_given == NotGiven::UNOPENED {
            refusal = refusal.cause("a row did not open for a token that names it");
        }
        if let Some(wait) = not_given.wait {
            refusal = refusal.detail("The budget of this subject is spent.").fact(Fact::Wait(wait));
        }
        self.count(asker, not_given, ids, refusal)
    }

    fn count(&self, asker: &Asker, not_given: NotGiven, ids: Option<(SecretId, usize)>, refusal: Refusal) -> Refusal {
        match self.budgets.take(&asker.holder, self.authority.clock.boot()) {
            Ok(()) => self.record(asker, true, not_given, ids),
            Err(Spent::Token) => return self.refuse_spent(asker),
            // Another token of the subject, perhaps a thief's, has used up the budget. This one gets the real reason:
            // it would retry without end otherwise.
            Err(Spent::Subject) => drop(self.refuse_spent(asker)),
        }
        refusal
    }

    /// Without naming the token its line is counted by subject.
    fn record(
        &self,
        asker: &Asker,
        names_token: bool,
        NotGiven { code, status, .. }: NotGiven,
        ids: Option<(SecretId, usize)>,
    ) {
        let mut record = AuditRecord::new(asker.action, status, &asker.origin).code(code);
        if names_token {
            record = record.jti(asker.holder.jti.to_string());
        }
        if let Some((first, count)) = ids {
            record = record.key_id(first.to_string());
            if count > 1 {
                record = record.count(u64::try_from(count).unwrap_or(u64::MAX));
            }
        }
        self.audit.record_refusal(record);
    }

    /// Counted by subject, which has many tokens.
    fn refuse_spent(&self, asker: &Asker) -> Refusal {
        let refusal = Refusal::new(ErrorCode::RateLimited);
        self.audit.record_refusal(AuditRecord::refused(asker.action, &refusal, &asker.origin));
        refusal
    }
}

fn check_ids(ids: &[SecretId]) -> Result<(), Refusal> {
    let refused = |detail| Err(Refusal::new(ErrorCode::ParameterInvalid).detail(detail));
    if !(1..=MAX_BATCH).contains(&ids.len()) {
        return refused("1 to 64 ids.");
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() < ids.len() { refused("An id is given twice.") } else { Ok(()) }
}

fn try_to_open(opener: &Opener<'_>, key_id: SecretId, grant: DecryptGrant, row: &Row) -> Result<OpenedKey, NotOpened> {
    let version = grant.version();
    let value: SecretValue = opener.open(grant, row)?;
    // EXPOSE: this is the answer that the token was made for.
    Ok(OpenedKey { key_id, version, encoding: value.encoding(), decrypted_key: value.expose_json() })
}

impl From<NotOpened> for NotGiven {
    fn from(not_opened: NotOpened) -> Self {
        match not_opened {
            NotOpened::Refused(refusal) => refusal.into(),
            NotOpened::Row(_grant_is_used_up) => Self::UNOPENED,
        }
    }
}

fn size(row: &Row) -> usize {
    row.ciphertext.bytes.len()
}

/// The answer of a batch, and the versions that are not in it. Counts the bytes that are sent: a byte of a value may
/// take six in JSON.
fn batch_answer(asked: Vec<Asked<OpenedKey>>) -> (Json, Vec<(SecretId, NotGiven)>) {
    let (mut not_given, mut sent) = (Vec::new(), 0_usize);
    let mut refused = |key_id, reason: NotGiven| {
        not_given.push((key_id, reason));
        ReadResult::Refused { key_id, code: reason.code }
    };
    let mut keys = Vec::with_capacity(asked.len());
    for (key_id, outcome) in asked {
        let mut line = outcome.map_or_else(|reason| refused(key_id, reason), ReadResult::Opened);
        if matches!(line, ReadResult::Opened(_)) && json_len(&line) > MAX_BATCH_BYTES.saturating_sub(sent) {
            line = refused(key_id, NotGiven::of(ErrorCode::BodyTooLarge));
        }
        sent = sent.saturating_add(json_len(&line)).saturating_add(1);
        keys.push(line);
    }
    (to_json(&ReadAnswer { keys }, sent.saturating_add(FRAME)), not_given)
}

/// The bytes around the lines of a batch.
const FRAME: usize = 16;
/// The bytes of a line beside its value.
const LINE: usize = 128;
