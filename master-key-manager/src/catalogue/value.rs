//! The value of a new version: given and checked against its kind, or made here.
//!
//! Guarantees that a value which is not what its kind says is not stored, that no refusal repeats a value, and that the work of
//! making keys has a bound, whoever asks for it.

use std::sync::Arc;

use manager_api::generate::Generate;
use manager_api::kind::SecretKind;
use manager_api::name::UserLabel;
use manager_api::reference::Reference;
use manager_secret_kinds::random::Random;
use manager_secret_kinds::{PublicFacts, Refused, Strength};
use service_runtime::Refusal;
use service_runtime::tasks::{blocking, by_size};
use shared_proto::id::Subject;
use shared_proto::secret::{SecretValue, ValueEncoding};
use zeroize::Zeroizing;

use super::least_strength::{LeastScore, NotTaken};
use super::references::references_of;
use super::turns::{RSA_KEYS, takes_a_turn};
use crate::turns::Turns;

/// The value that a version gets.
#[derive(Clone)]
pub enum NewValue {
    /// This one.
    Given(Arc<SecretValue>),
    /// One that the manager makes.
    Made(Box<Generate>),
    /// A document of which fields get other texts.
    Filled {
        /// The document.
        document: Arc<SecretValue>,
        /// The fields, and what they get.
        fields: Vec<(String, Filling)>,
    },
}

/// The text that a field of a document gets.
#[derive(Clone)]
pub enum Filling {
    /// A value that the manager makes.
    Made(Box<Generate>),
    /// The name of an account.
    Account(UserLabel),
}

impl NewValue {
    /// Tells whether it takes a turn to make.
    fn takes_a_turn(&self) -> bool {
        match self {
            Self::Given(_) => false,
            Self::Made(wanted) => takes_a_turn(wanted),
            Self::Filled { fields, .. } => fields.iter().any(|(_, filling)| match filling {
                Filling::Made(wanted) => takes_a_turn(wanted),
                Filling::Account(_) => false,
            }),
        }
    }
}

/// A value that is what its kind says.
pub(super) struct CheckedValue {
    pub(super) value: Arc<SecretValue>,
    /// The end that the value itself has (Unix seconds).
    pub(super) expires_at: Option<u64>,
    /// The public part of a value that was made here.
    pub(super) public: Option<PublicFacts>,
    /// The strength of a password that was given.
    pub(super) strength: Option<Strength>,
    /// The references in it.
    pub(super) references: Vec<Reference>,
}

/// Makes and checks values.
pub struct Values {
    turns: Turns,
}

impl Default for Values {
    fn default() -> Self {
        Self { turns: Turns::new(RSA_KEYS) }
    }
}

impl Values {
    /// The value of a version of this kind that a principal writes, at a time in Unix seconds.
    ///
    /// # Errors
    /// `ValueInvalid`: it is not what its kind says, or what is to be made contradicts itself or its kind. `ValueWeak`: a password
    /// has less than the least score. `RateLimited`, `Unavailable`: RSA keys are waited for.
    pub(super) async fn checked(
        &self,
        new: &NewValue,
        (kind, least): (SecretKind, LeastScore),
        (principal, now): (Option<Subject>, u64),
    ) -> Result<CheckedValue, Refusal> {
        let _turn = if new.takes_a_turn() { Some(self.turns.take(principal).await?) } else { None };
        match new {
            NewValue::Given(value) => given(Arc::clone(value), (kind, least), now).await,
            NewValue::Made(request) => made(Box::clone(request), (kind, least), now).await,
            NewValue::Filled { document, fields } => {
                filled((Arc::clone(document), fields.clone()), (kind, least), now).await
            }
        }
    }
}

async fn filled(
    (document, fields): (Arc<SecretValue>, Vec<(String, Filling)>),
    by: (SecretKind, LeastScore),
    now: u64,
) -> Result<CheckedValue, Refusal> {
    let broken = |_| Refusal::internal("a task broke down");
    blocking(move || fill((&document, fields), by, now)).await.map_err(broken)?.map_err(Refusal::from)
}

async fn made(
    request: Box<Generate>,
    (kind, least): (SecretKind, LeastScore),
    now: u64,
) -> Result<CheckedValue, Refusal> {
    let broken = |_| Refusal::internal("a task broke down");
    let work = move || -> Result<CheckedValue, NotTaken> {
        let made = least.make(&request, kind, (&mut FromSystem, now))?;
        // EXPOSE: what was made is looked at as what is given, and goes to the vault.
        let checked = manager_secret_kinds::check(kind, made.value.as_bytes(), now)?;
        let references = references_of(kind, made.value.as_bytes())?;
        let value = SecretValue::from_json(ValueEncoding::Text, made.value);
        let value = value.map_err(|_| Refused::new("what was made is too large"))?;
        let (expires_at, public) = (checked.expires_at.or(made.public.expires_at), Some(made.public));
        Ok(CheckedValue { value: Arc::new(value), expires_at, public, strength: None, references })
    };
    blocking(work).await.map_err(broken)?.map_err(Refusal::from)
}

/// A document with other texts in fields, checked as a whole.
fn fill(
    (document, fields): (&SecretValue, Vec<(String, Filling)>),
    (kind, least): (SecretKind, LeastScore),
    now: u64,
) -> Result<CheckedValue, NotTaken> {
    let not_text = |_| Refused::new("a document with fields is text");
    // EXPOSE: it is copied once for each field that gets another text.
    let mut text = Zeroizing::new(std::str::from_utf8(document.expose()).map_err(not_text)?.to_owned());
    let mut public = None;
    for (name, filling) in fields {
        text = match filling {
            Filling::Made(request) => {
                let made = least.make_field(&request, (kind, &name), (&mut FromSystem, now))?;
                public = Some(made.public);
                manager_secret_kinds::with_field(kind, text.as_bytes(), &name, &made.value)?
            }
            Filling::Account(account) => {
                manager_secret_kinds::with_field(kind, text.as_bytes(), &name, account.as_str())?
            }
        };
    }
    let checked = manager_secret_kinds::check(kind, text.as_bytes(), now)?;
    let references = references_of(kind, text.as_bytes())?;
    least.check(kind, text.as_bytes())?;
    let value = SecretValue::from_json(ValueEncoding::Text, text);
    let value = value.map_err(|_| Refused::new("what was made is too large"))?;
    Ok(CheckedValue { value: Arc::new(value), expires_at: checked.expires_at, public, strength: None, references })
}

async fn given(
    value: Arc<SecretValue>,
    (kind, least): (SecretKind, LeastScore),
    now: u64,
) -> Result<CheckedValue, Refusal> {
    let broken = |_| Refusal::internal("a task broke down");
    // EXPOSE: only its length.
    let bytes = value.expose().len();
    let work = move || -> Result<CheckedValue, NotTaken> {
        // EXPOSE: it is compared with the rules of its kind; what comes out of it has no part of it.
        let checked = manager_secret_kinds::check(kind, value.expose(), now)?;
        // EXPOSE: it is searched for references, which the catalogue records by the ids of their secrets.
        let references = references_of(kind, value.expose())?;
        // EXPOSE: it is strong enough, or not.
        least.check(kind, value.expose())?;
        let strength =
            // EXPOSE: two numbers come out of it.
            (kind == SecretKind::Password).then(|| manager_secret_kinds::strength(value.expose()));
        Ok(CheckedValue { value, expires_at: checked.expires_at, public: None, strength, references })
    };
    by_size(bytes, work).await.map_err(broken)?.map_err(Refusal::from)
}

/// The random generator of the operating system.
struct FromSystem;

impl Random for FromSystem {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        aws_lc_rs::rand::fill(bytes).map_err(|_| Refused::new("the operating system gives no randomness"))
    }
}
