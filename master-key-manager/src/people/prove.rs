//! Proving who a person is: password and second factor, with one refusal for all that is wrong.

use std::net::IpAddr;

use manager_api::name::AccountName;
use manager_registry::{Change, SignOn};
use manager_sign_on::guesses::Attempt;
use manager_sign_on::password::{Password, StoredPassword, Verdict};
use manager_sign_on::recovery::{RecoveryCode, RecoveryHasher};
use manager_sign_on::totp::{Seed, Step};
use service_runtime::Refusal;
use shared_proto::encoding::random;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, PersonId};
use zeroize::Zeroizing;

use super::{People, account_of, person_named};
use crate::access::View;
use crate::keys::SignOnKeys;

/// The proofs that somebody presents. It has no `Debug` form.
pub(super) struct Presented {
    pub(super) name: AccountName,
    pub(super) password: Zeroizing<String>,
    pub(super) totp: Option<Zeroizing<String>>,
    pub(super) recovery_code: Option<Zeroizing<String>>,
    pub(super) device_code: Option<Zeroizing<String>>,
    /// The session of the person in which this is presented. It counts as a device: nobody else is in his way there.
    pub(super) session: Option<CredentialId>,
    pub(super) address: IpAddr,
}

/// A proof that was right. It counts when the registry is changed by [`Proven::use_up`].
pub(super) struct Proven {
    pub(super) person: PersonId,
    /// The attempt, which is taken back when somebody is let in.
    pub(super) attempt: Attempt,
    /// The stored form that it was compared with.
    known: SignOn,
    /// The password hashed at the present cost, if that has changed.
    rehashed: Option<String>,
    second: Second,
}

/// A second factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    /// The account has none.
    None,
    /// A one-time code of this step.
    Step(Step),
    /// The recovery code with this keyed hash.
    Recovery([u8; 32]),
}

/// True if a second factor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// All that the account has.
    All,
    /// The password alone.
    Password,
}

impl People {
    /// Verifies what somebody presents. Each attempt counts until [`People::let_in`] takes it back.
    ///
    /// # Errors
    /// `rate_limited`, `overloaded`, or `login_failed` for all that is wrong.
    pub(super) async fn prove(&self, presented: Presented, ask: Ask) -> Result<Proven, Refusal> {
        let view = self.registry.now().await?;
        let keys = self.sign_on_keys();
        let Presented { name, password, totp, recovery_code, device_code, session, address } = presented;
        let person = person_named(&view, &name);
        let id = person.map(|person| person.person_id);
        let known = id.and_then(|id| view.state.sign_on_of(id)).cloned();
        let changed_at = changed_at(known.as_ref());
        let device = id.zip(device_code).and_then(|(id, code)| keys.codes.known_device((id, changed_at), &code));
        let device = session.map(|session| *session.as_bytes()).or(device);
        let attempt = Attempt { account: account_of(name.as_str()), address, device };
        self.begin(&self.logins, &attempt)?;
        let text = known.as_ref().and_then(|own| own.password.as_deref());
        let stored = text.and_then(|text| StoredPassword::parse(text).ok());
        let second = self.second_of(&keys, id.zip(known.as_ref()), totp.as_ref(), recovery_code.as_ref());
        let verify = move || {
            let entered = Password::entered(&password).ok();
            let verdict = keys.passwords.verify(entered.as_ref(), id.zip(stored.as_ref()));
            let rehash = verdict == Ok(Verdict::Right { rehash: true });
            let rehashed = entered.zip(id).filter(|_| rehash).and_then(|(entered, id)| {
                keys.passwords.rehash(&entered, id, random()).and_then(|stored| stored.to_text()).ok()
            });
            verdict.map(|verdict| (verdict, rehashed))
        };
        let verified = self.hashing.run(verify).await;
        let verified = verified.and_then(|outcome| outcome.map_err(|_| Refusal::new(ErrorCode::Overloaded)));
        // What was not verified is no wrong guess.
        let (verdict, rehashed) = verified.inspect_err(|_| Self::not_verified(&self.logins, &attempt))?;
        let second = if ask == Ask::All { second } else { Some(Second::None) };
        let is_enabled = person.is_some_and(|person| person.disabled_at.is_none());
        match (verdict, id, known, second) {
            (Verdict::Right { .. }, Some(person), Some(known), Some(second)) if is_enabled => {
                Ok(Proven { person, attempt, known, rehashed, second })
            }
            (Verdict::Right { .. } | Verdict::Wrong, ..) => Err(login_failed()),
        }
    }

    /// Notes that an attempt was right, after the change that it was for.
    pub(super) fn let_in(&self, attempt: &Attempt) {
        Self::succeeded(&self.logins, attempt);
    }

    /// The second factor; `None` if it is wrong or missing. A code is always looked at.
    fn second_of(
        &self,
        keys: &SignOnKeys,
        known: Option<(PersonId, &SignOn)>,
        totp: Option<&Zeroizing<String>>,
        recovery_code: Option<&Zeroizing<String>>,
    ) -> Option<Second> {
        let sealed = known.and_then(|(person, own)| own.seed.map(|seed| (person, seed)));
        let own = sealed.and_then(|(person, sealed)| Seed::open(&keys.key, person, &sealed.0).ok());
        let last = known.and_then(|(_, own)| own.last_step).map(Step);
        let code = totp.map_or("", |code| code.as_str());
        let step = own.as_ref().unwrap_or(&self.decoy).check(code, self.clock.now(), last).ok();
        let recovered = known.zip(recovery_code).and_then(|((person, own), code)| {
            let code = RecoveryCode::parse(code).ok()?;
            RecoveryHasher::new(&keys.key, person).find(&code, own.recovery.iter().map(|stored| &stored.0))
        });
        let (_, known) = known?;
        match (known.seed, own, totp) {
            (None, ..) => Some(Second::None),
            (Some(_), Some(_), Some(_)) => step.map(Second::Step),
            (Some(_), Some(_), None) => recovered.map(Second::Recovery),
            (Some(_), None, _) => None,
        }
    }
}

/// The time at which the password was chosen, which is another one for each password.
fn changed_at(known: Option<&SignOn>) -> u64 {
    known.and_then(|own| own.password_changed_at).unwrap_or(0)
}

impl Proven {
    /// The time at which the password was chosen.
    pub(super) fn password_changed_at(&self) -> u64 {
        changed_at(Some(&self.known))
    }

    /// True if there were two factors.
    pub(super) fn is_multi_factor(&self) -> bool {
        self.second != Second::None
    }

    /// Uses up what was proven, on the state of the moment.
    ///
    /// # Errors
    /// `login_failed`: it was used meanwhile, or the account is no longer what it was.
    pub(super) fn use_up(&self, view: &View) -> Result<Vec<Change>, Refusal> {
        let is_enabled = view.state.person(self.person).is_some_and(|person| person.disabled_at.is_none());
        let own = view.state.sign_on_of(self.person).filter(|_| is_enabled).ok_or_else(login_failed)?;
        if own.password != self.known.password || own.seed != self.known.seed {
            return Err(login_failed());
        }
        let mut after = own.clone();
        if self.rehashed.is_some() {
            after.password.clone_from(&self.rehashed);
        }
        match self.second {
            Second::None => {}
            Second::Step(Step(step)) => {
                if own.last_step.is_some_and(|last| step <= last) {
                    return Err(login_failed());
                }
                after.last_step = Some(step);
            }
            Second::Recovery(hash) => {
                after.recovery.retain(|stored| stored.0 != hash);
                if after.recovery.len() == own.recovery.len() {
                    return Err(login_failed());
                }
            }
        }
        Ok(if after == *own { Vec::new() } else { vec![after.into()] })
    }
}

pub(super) fn login_failed() -> Refusal {
    Refusal::new(ErrorCode::LoginFailed)
}
