//! The vault's side of the protocol, in memory, with moods.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use service_runtime::clock::{Clock as _, SystemClock};
use shared_proto::chain::{ChainHead, Step};
use shared_proto::command::{CommandClaims, Operation};
use shared_proto::encoding::{Bytes, from_json, random};
use shared_proto::envelope::open::open;
use shared_proto::envelope::{BoundFingerprint, Ciphertext, Header, Inner};
use shared_proto::error::{ErrorCode, Problem};
use shared_proto::event::{Event, EventClaims, event_hash};
use shared_proto::feed::{FeedNonce, FeedState};
use shared_proto::id::{EnvironmentId, SecretId, VaultId, Version};
use shared_proto::identity::{IdentityDocument, IdentityKey, Issuer, Mode, Owner};
use shared_proto::jwk::{Curve, PublicJwk};
use shared_proto::jws::{Compact, Kind, ed25519_key, sign};
use shared_proto::receipt::{Receipt, ReceiptFacts};
use shared_proto::release::{self, SealKey};
use shared_proto::rsa_key::{RsaPrivate, verifying_key};
use shared_proto::secret::SecretValue;
use shared_proto::statement::{KeyStatement, Purpose};
use shared_proto::token::{AccessClaims, Expected, TokenTerms};
use shared_proto::wire::vault::{EnvelopeToStore, Poll, PollAnswer, Push, PushAnswer, Replay, ReplayAnswer};

use super::vault_strikes::Strike;
use super::{ComparisonMood, Holder, RewrapMood, rsa_pem, until};

/// What is under a version number.
#[derive(Clone)]
pub(crate) enum Row {
    Stored {
        envelope: Box<EnvelopeToStore>,
        /// The wrapped data key by epoch.
        keys: BTreeMap<u32, Arc<Inner>>,
    },
    /// Content of somebody else.
    Foreign {
        environment: EnvironmentId,
    },
    Tombstone {
        environment: EnvironmentId,
    },
}

/// How store commands are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreMood {
    Honest,
    /// Stores, and answers nonsense.
    StoreAndGarble,
    /// Does not store, and answers nonsense.
    Garble,
    /// Does not store, and signs a receipt all the same, with another key.
    ForgeSignature,
    /// Signs a receipt for another version.
    OtherVersion,
    /// Says that the number is taken, with the receipt of another version and other content.
    OtherConflict,
    /// Signs a receipt with another digest.
    OtherDigest,
    /// Says that it is stored without a receipt.
    NoReceipt,
    /// Never answers.
    Silent,
    /// Answers honestly when it has another mood.
    Late,
}

/// How feed states are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feed {
    Honest,
    /// Claims to have applied everything, under a key that is not pinned.
    WrongSignature,
    /// Signs an old nonce.
    WrongNonce,
    /// Signs the right number with the hash of another event.
    WrongHash,
    /// Answers with nonsense.
    Garble,
    /// Is honest about the number, and gives no event back.
    Withhold,
}

pub(crate) struct State {
    pub(crate) rows: BTreeMap<(SecretId, Version), Row>,
    pub(crate) events: Vec<String>,
    pub(crate) store_mood: StoreMood,
    pub(crate) feed: Feed,
    /// Applies nothing that is pushed.
    pub(crate) deaf: bool,
    /// Does not say what became of versions.
    pub(crate) settles_nothing: bool,
    pub(crate) polls: u64,
    pub(crate) last_poll: Option<Poll>,
    pub(crate) batches: Vec<usize>,
    pub(crate) states_no_seal_key: bool,
    pub(crate) seal_life: u64,
    pub(crate) stated_transport: Option<PublicJwk>,
    pub(crate) rewrap_mood: RewrapMood,
    /// Handed out instead of what is stored.
    pub(crate) planted: Option<Arc<Inner>>,
    /// The bound fingerprints of stored versions.
    pub(crate) fingerprints: BTreeMap<(SecretId, Version), Arc<BoundFingerprint>>,
    pub(crate) comparison_mood: ComparisonMood,
    /// Every command that was obeyed.
    pub(crate) orders: Vec<Operation>,
    pub(super) strike: Strike,
    /// The end of the chain when it had so many events, of which this was the last.
    known_head: Option<(usize, String, ChainHead)>,
}

impl State {
    /// The end of the chain. Thousands of events are not read again at each poll.
    fn head(&mut self) -> ChainHead {
        let is_there = |(count, last, _): &&(usize, String, ChainHead)| self.events.get(count - 1) == Some(last);
        let (count, before) = match self.known_head.as_ref().filter(is_there) {
            Some((count, _, head)) => (*count, *head),
            None => (0, ChainHead::START),
        };
        let head = head_after(before, &self.events[count..]);
        self.known_head = self.events.last().map(|last| (self.events.len(), last.clone(), head));
        head
    }
}

/// A vault for one manager.
pub(crate) struct FakeVault {
    pub(crate) id: VaultId,
    pub(crate) url: String,
    identity: Mutex<Arc<IdentityKey>>,
    pub(super) stranger: IdentityKey,
    pub(super) transport: RsaPrivate,
    seal: SealKey,
    issuer: Mutex<Option<(Issuer, Vec<[u8; 32]>)>>,
    state: Mutex<State>,
    server: Mutex<Option<ServerHandle>>,
}

impl FakeVault {
    pub(crate) fn start() -> Arc<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let vault = Arc::new(Self {
            id: VaultId::generate(),
            url,
            identity: Mutex::new(Arc::new(IdentityKey::generate().unwrap().0)),
            stranger: IdentityKey::generate().unwrap().0,
            transport: RsaPrivate::from_pem(&rsa_pem(Holder::Vault)).unwrap(),
            seal: SealKey::generate().unwrap(),
            issuer: Mutex::default(),
            state: Mutex::new(State {
                rows: BTreeMap::new(),
                events: Vec::new(),
                store_mood: StoreMood::Honest,
                feed: Feed::Honest,
                deaf: false,
                settles_nothing: false,
                polls: 0,
                last_poll: None,
                batches: Vec::new(),
                states_no_seal_key: false,
                seal_life: 3_600,
                stated_transport: None,
                rewrap_mood: RewrapMood::Honest,
                planted: None,
                fingerprints: BTreeMap::new(),
                comparison_mood: ComparisonMood::Honest,
                orders: Vec::new(),
                strike: Strike::default(),
                known_head: None,
            }),
            server: Mutex::default(),
        });
        vault.listen(listener);
        vault
    }

    fn listen(self: &Arc<Self>, listener: std::net::TcpListener) {
        let data = web::Data::from(Arc::clone(self));
        let server = HttpServer::new(move || {
            let limits = web::PayloadConfig::new(16 << 20);
            App::new()
                .app_data(data.clone())
                .app_data(limits)
                .route("/api/commands", web::post().to(command))
                .route("/api/events", web::post().to(command))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .listen(listener)
        .unwrap()
        .run();
        *self.server.lock().unwrap() = Some(server.handle());
        tokio::spawn(server);
    }

    /// Nobody listens on its port any more.
    pub(crate) async fn go_down(&self) {
        let handle = self.server.lock().unwrap().take();
        handle.unwrap().stop(false).await;
    }

    pub(crate) async fn come_back(self: &Arc<Self>) {
        let address = self.url.strip_prefix("http://").unwrap().to_owned();
        let mut listener = None;
        super::until("the port is free again", async || {
            listener = std::net::TcpListener::bind(&address).ok();
            listener.is_some()
        })
        .await;
        self.listen(listener.unwrap());
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn document(&self, mode: Mode) -> IdentityDocument {
        IdentityDocument { id: Owner::Vault(self.id), mode, key: self.identity().public().clone() }
    }

    /// Pins the manager.
    pub(crate) fn trust(&self, issuer: Issuer, key: [u8; 32]) {
        *self.issuer.lock().unwrap() = Some((issuer, vec![key]));
    }

    /// Pins these keys of the manager, and no other.
    pub(crate) fn trust_keys(&self, keys: &[[u8; 32]]) {
        self.issuer.lock().unwrap().as_mut().unwrap().1 = keys.to_vec();
    }

    /// Signs with another identity key from now on.
    pub(crate) fn change_identity(&self, key: IdentityKey) {
        *self.identity.lock().unwrap() = Arc::new(key);
    }

    pub(super) fn identity(&self) -> Arc<IdentityKey> {
        Arc::clone(&self.identity.lock().unwrap())
    }

    fn pinned(&self) -> (Issuer, Vec<[u8; 32]>) {
        self.issuer.lock().unwrap().clone().unwrap()
    }

    /// The pinned key that signed.
    fn key_of(&self, compact: &Compact<'_>) -> Result<[u8; 32], shared_proto::Rejected> {
        let of = |key: &&[u8; 32]| PublicJwk::ed25519(**key).thumbprint() == *compact.kid();
        self.pinned().1.iter().find(of).copied().ok_or(shared_proto::Rejected)
    }

    /// Checks a token with the keys that the manager stated, and gives its terms.
    pub(crate) fn check_token(&self, token: &str) -> shared_proto::token::CheckedClaims {
        let statements = self.state().last_poll.as_ref().unwrap().statements.clone();
        let parsed = Compact::parse(Kind::AccessToken, token).unwrap();
        let stated = statements.iter().find(|statement| statement.key.thumbprint() == *parsed.kid()).unwrap();
        let payload = parsed.verify(&verifying_key(&stated.key).unwrap()).unwrap();
        let expected = Expected { issuer: self.pinned().0, audience: self.id, now: SystemClock.now() };
        AccessClaims::check(&payload, &expected).unwrap()
    }

    /// Opens what a token names, as a vault does.
    pub(crate) fn open(&self, token: &str) -> Vec<SecretValue> {
        let claims = self.check_token(token);
        let keys = release::open(&claims, |kid| (*kid == self.seal.kid()).then_some(&self.seal)).ok().unwrap();
        let terms: &TokenTerms = &claims.terms;
        let state = self.state();
        let pairs = terms.grants.iter().zip(&keys);
        pairs
            .map(|(grant, release_key)| {
                let Some(Row::Stored { envelope, keys: inners }) = state.rows.get(&(grant.secret, grant.version))
                else {
                    panic!("the token names what is not stored")
                };
                let header = Header {
                    vault: self.id,
                    environment: terms.environment,
                    secret: grant.secret,
                    version: grant.version,
                };
                let opened = inners
                    .values()
                    .rev()
                    .find_map(|inner| open(&header, release_key, inner, &ciphertext(envelope)).ok());
                opened.expect("the release key is of no epoch that is here")
            })
            .collect()
    }

    /// What happened, as far as it was pushed.
    pub(crate) fn applied(&self) -> Vec<Event> {
        self.state().events.iter().map(|compact| self.read_event(compact).unwrap().event).collect()
    }

    /// Puts an event into the chain that carries the manager's kid and not its signature.
    pub(crate) fn forge_event(&self, event: Event) {
        let (issuer, keys) = self.pinned();
        let after = head_of(&self.state().events);
        let claims = EventClaims::new(issuer, self.id, event, after, SystemClock.now());
        let kid = PublicJwk::ed25519(keys[0]).thumbprint();
        let forged = sign(Kind::Event, kid, &claims, |input| Ok(self.stranger.sign(input).0.to_vec())).unwrap();
        self.state().events.push(forged);
    }

    fn read_event(&self, compact: &str) -> Result<EventClaims, shared_proto::Rejected> {
        let parsed = Compact::parse(Kind::Event, compact)?;
        let payload = parsed.verify(&ed25519_key(&self.key_of(&parsed)?))?;
        EventClaims::check(&payload, self.pinned().0, self.id)
    }

    fn feed(&self, nonce: FeedNonce) -> FeedState {
        let mut state = self.state();
        let ChainHead { number: applied, hash, .. } = state.head();
        let now = SystemClock.now();
        let claimed = state.last_poll.as_ref().map_or((applied, hash), |poll| (poll.newest, poll.newest_hash));
        match state.feed {
            Feed::Honest | Feed::Garble | Feed::Withhold => {
                FeedState::sign(&self.identity(), self.id, nonce, applied, hash, now)
            }
            Feed::WrongSignature => FeedState::sign(&self.stranger, self.id, nonce, claimed.0, claimed.1, now),
            Feed::WrongNonce => {
                let old = FeedState::sign(&self.identity(), self.id, Bytes([0; 16]), claimed.0, claimed.1, now);
                FeedState { nonce, ..old }
            }
            Feed::WrongHash => FeedState::sign(&self.identity(), self.id, nonce, applied, Bytes(random()), now),
        }
    }

    fn statements(&self) -> Vec<KeyStatement> {
        let (now, state) = (SystemClock.now(), self.state());
        let transport = state.stated_transport.clone().unwrap_or_else(|| self.transport.public().clone());
        let sign = |purpose, key, life| {
            KeyStatement::sign(&self.identity(), Owner::Vault(self.id), purpose, key, (now - 60, now + life))
        };
        let mut all = vec![sign(Purpose::Transport, transport, 86_400)];
        if !state.states_no_seal_key {
            all.push(sign(Purpose::Seal, self.seal.public().clone(), state.seal_life));
        }
        all
    }

    pub(super) fn receipt(&self, facts: &ReceiptFacts) -> Receipt {
        Receipt::sign(&self.identity(), self.id, facts, SystemClock.now())
    }

    fn push(&self, order: &Push) -> HttpResponse {
        let mut head = self.state().head();
        for compact in &order.events {
            let claims = self.read_event(compact).unwrap();
            let mut state = self.state();
            if state.deaf {
                continue;
            }
            match head.step(&claims, compact, order.dropped_below) {
                Step::Known => continue,
                Step::Next(next) | Step::Over(next) => head = next,
                Step::Gap => return problem(ErrorCode::EventGap),
                Step::Conflict => return problem(ErrorCode::EventConflict),
            }
            if let Event::Destroy(environment, secret, version) = claims.event {
                state.rows.insert((secret, version), Row::Tombstone { environment });
                state.fingerprints.remove(&(secret, version));
            }
            state.events.push(compact.clone());
        }
        HttpResponse::Accepted().json(PushAnswer { feed: self.feed(order.nonce) })
    }

    fn poll(&self, poll: Poll) -> HttpResponse {
        let nonce = poll.nonce;
        {
            let mut state = self.state();
            state.polls += 1;
            state.last_poll = Some(poll);
            if state.feed == Feed::Garble {
                return HttpResponse::Ok().body("?");
            }
        }
        HttpResponse::Ok().json(PollAnswer { feed: self.feed(nonce), statements: self.statements() })
    }
}

async fn command(req: HttpRequest, body: web::Bytes, vault: web::Data<FakeVault>) -> HttpResponse {
    let Some(operation) = operation_of(&req, &body, &vault) else { return problem(ErrorCode::CommandInvalid) };
    vault.state().orders.push(operation);
    vault.struck(operation, body).await
}

/// Does what a command says.
pub(super) async fn obey(vault: &FakeVault, operation: Operation, body: &[u8]) -> HttpResponse {
    match operation {
        Operation::Poll => vault.poll(from_json(body).unwrap()),
        Operation::Push => vault.push(&from_json(body).unwrap()),
        Operation::Replay => {
            let order: Replay = from_json(body).unwrap();
            let state = vault.state();
            let kept =
                state.events.iter().filter(|compact| state.feed != Feed::Withhold && number_of(compact) > order.after);
            let events = kept.take(order.limit).cloned().collect();
            HttpResponse::Ok().json(ReplayAnswer { events })
        }
        Operation::Store if vault.state().store_mood == StoreMood::Silent => std::future::pending().await,
        Operation::Store if vault.state().store_mood == StoreMood::Late => {
            until("the vault answers", async || vault.state().store_mood != StoreMood::Late).await;
            vault.store(&from_json(body).unwrap())
        }
        Operation::Store if vault.refuses_as_before(body) => problem(ErrorCode::BodyInvalid),
        Operation::Store => vault.store(&from_json(body).unwrap()),
        Operation::Settle => vault.settle(&from_json(body).unwrap()),
        Operation::Inventory => vault.inventory(&from_json(body).unwrap()),
        Operation::Handout => vault.handout(&from_json(body).unwrap()),
        Operation::Rewrap => vault.rewrap(&from_json(body).unwrap()),
        Operation::Retire => vault.retire(&from_json(body).unwrap()),
        Operation::Compare => vault.compare(&from_json(body).unwrap()),
        Operation::Find => vault.find(&from_json(body).unwrap()),
    }
}

fn operation_of(req: &HttpRequest, body: &[u8], vault: &FakeVault) -> Option<Operation> {
    let header = req.headers().get("authorization")?.to_str().ok()?;
    let command = Compact::parse(Kind::Command, header.strip_prefix("Bearer ")?).ok()?;
    let payload = command.verify(&ed25519_key(&vault.key_of(&command).ok()?)).ok()?;
    let expected = Expected { issuer: vault.pinned().0, audience: vault.id, now: SystemClock.now() };
    let claims = CommandClaims::check(&payload, &expected).ok()?;
    claims.covers(body).ok()?;
    let right_route = (claims.op == Operation::Push) == (req.path() == "/api/events");
    right_route.then_some(claims.op)
}

pub(super) fn problem(code: ErrorCode) -> HttpResponse {
    let status = actix_web::http::StatusCode::from_u16(code.status()).unwrap();
    HttpResponse::build(status).json(Problem::new(code, "test"))
}

fn ciphertext(envelope: &EnvelopeToStore) -> Ciphertext {
    Ciphertext::new(envelope.commit, envelope.nonce, envelope.ciphertext.0.clone()).unwrap()
}

/// Where a chain ends, whatever is missing in it.
pub(crate) fn head_of(events: &[String]) -> ChainHead {
    head_after(ChainHead::START, events)
}

fn head_after(before: ChainHead, events: &[String]) -> ChainHead {
    events.iter().fold(before, |head, compact| {
        let (claims, hash) = (EventClaims::reread(compact).unwrap(), event_hash(compact));
        ChainHead { number: claims.seq, hash, lasting: if claims.event.lasts() { hash } else { head.lasting } }
    })
}

/// The number of an event.
pub(crate) fn number_of(compact: &str) -> u64 {
    EventClaims::reread(compact).unwrap().seq
}

/// The raw Ed25519 key of an identity document.
pub(crate) fn raw_key(document: &IdentityDocument) -> [u8; 32] {
    *document.key.okp(Curve::Ed25519).unwrap()
}
