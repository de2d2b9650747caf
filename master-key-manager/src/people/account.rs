//! What a person does with his own account: password, authenticator, recovery codes. Each needs a recent login.

use std::net::IpAddr;

use manager_api::sessions::{ChangePassword, ConfirmTotp, OfferedTotp, RecoveryCodes};
use manager_registry::{Change, Credential, Login, Proof, SignOn};
use manager_sign_on::password::{ChosenPassword, Password, Weakness};
use manager_sign_on::recovery::{RECOVERY_CODES, RecoveryCode, RecoveryHasher};
use manager_sign_on::totp::{Seed, Step};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::Rejected;
use shared_proto::encoding::{Bytes, random};
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, PersonId, Subject};
use zeroize::Zeroizing;

use super::prove::{Ask, Presented, login_failed};
use super::{People, each_once, end_codes, end_sessions, known_person, no_person, person_of, sign_on_of};
use crate::access::{Caller, View, manages};
use crate::audit_event::{Act, RegistryAct};
use crate::keys::SignOnKeys;
use crate::revocation::Sequences;

/// The name under which authenticators show their codes.
const ISSUER: &str = "Splitvault";

impl People {
    /// Changes the caller's password, and ends all other sessions with their tokens.
    ///
    /// # Errors
    /// The old one is wrong, the new one is weak, or the login is too long ago.
    pub async fn change_password(
        &self,
        asked: ChangePassword,
        address: IpAddr,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Sequences, Refusal> {
        let person = Self::enrolled_person(caller)?;
        self.recent(caller)?;
        let view = self.registry.now().await?;
        let ChangePassword { old_password, new_password } = asked;
        let presented = Presented {
            name: known_person(&view, person)?.name.clone(),
            password: old_password,
            totp: None,
            recovery_code: None,
            device_code: None,
            session: Some(caller.credential()),
            address,
        };
        let proven = self.prove(presented, Ask::Password).await?;
        let password = self.hash_chosen(&view, person, new_password).await?;
        self.audit.record(Act::Registry(RegistryAct::PasswordChange, Some(person.to_string())), origin).await?;
        let now = self.clock.now();
        let done = self
            .change_own(caller, "password changed", |view, session| {
                proven.use_up(view)?;
                let own = sign_on_of(view, person);
                let mut changes = end_sessions(view, person, Some(session));
                changes.extend(end_codes(view, Subject::Person(person)));
                changes.push(SignOn { password: Some(password), password_changed_at: Some(now), ..own }.into());
                Ok(each_once(changes))
            })
            .await?;
        self.let_in(&proven.attempt);
        Ok(done)
    }

    /// Hashes a password that a person chooses.
    ///
    /// # Errors
    /// It is weak, or too many wait.
    pub(super) async fn hash_chosen(
        &self,
        view: &View,
        person: PersonId,
        password: Zeroizing<String>,
    ) -> Result<String, Refusal> {
        let known = known_person(view, person)?;
        let mut context = vec![known.name.to_string(), known.display_name.to_string(), ISSUER.to_owned()];
        context.extend(known.email.as_ref().map(ToString::to_string));
        let keys = self.sign_on_keys();
        let hash = move || {
            let context: Vec<&str> = context.iter().map(String::as_str).collect();
            let chosen: Result<ChosenPassword, Weakness> =
                Password::entered(&password).map_err(Weakness::from).and_then(|entered| entered.choose(&context));
            chosen.map(|chosen| keys.passwords.hash(&chosen, person, random()).and_then(|stored| stored.to_text()))
        };
        match self.hashing.run(hash).await? {
            Ok(stored) => stored.map_err(|Rejected| Refusal::new(ErrorCode::Overloaded)),
            Err(weakness) => Err(Refusal::parameter(format!("The new password: {weakness}."))),
        }
    }

    /// Offers a new authenticator, which counts when a code of it has confirmed it.
    ///
    /// # Errors
    /// The login is too long ago.
    pub async fn offer_totp(&self, caller: &Caller, origin: &Origin) -> Result<OfferedTotp, Refusal> {
        let person = person_of(caller)?;
        self.recent(caller)?;
        let view = self.registry.now().await?;
        let account = known_person(&view, person)?.name.clone();
        let seed = Seed::new(Zeroizing::new(random()));
        let sealed = seed.seal(&self.sign_on_keys().key, person, random()).map_err(|Rejected| sealing())?;
        self.audit.record(Act::Registry(RegistryAct::TotpOffer, Some(person.to_string())), origin).await?;
        let offer = |view: &View, _session| {
            Ok(vec![SignOn { offered_seed: Some(Bytes(sealed)), ..sign_on_of(view, person) }.into()])
        };
        self.change_own(caller, "authenticator offered", offer).await?;
        Ok(OfferedTotp { uri: seed.expose_uri(ISSUER, account.as_str()), secret: seed.expose_base32() })
    }

    /// Takes the offered authenticator into use, with new recovery codes. The session has two factors from then on, and
    /// all others end.
    ///
    /// # Errors
    /// Nothing was offered, the code is wrong, or the login is too long ago.
    pub async fn confirm_totp(
        &self,
        asked: ConfirmTotp,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<RecoveryCodes, Refusal> {
        let person = person_of(caller)?;
        self.recent(caller)?;
        let (keys, now) = (self.sign_on_keys(), self.clock.now());
        let view = self.registry.now().await?;
        confirmed(&keys, &sign_on_of(&view, person), (person, &asked.code, now))?;
        let (codes, hashes) = new_recovery_codes(&keys, person);
        self.audit.record(Act::Registry(RegistryAct::TotpConfirm, Some(person.to_string())), origin).await?;
        self.change_own(caller, "authenticator set up", |view, session| {
            // Once more on the state of the moment: the step may have been used, or another seed offered.
            let own = sign_on_of(view, person);
            let Step(step) = confirmed(&keys, &own, (person, &asked.code, now))?;
            let mut changes = end_sessions(view, person, Some(session));
            changes.push(with_factors(view, session, true)?);
            let seed = own.offered_seed;
            changes.push(SignOn { seed, offered_seed: None, last_step: Some(step), recovery: hashes, ..own }.into());
            Ok(changes)
        })
        .await?;
        Ok(codes)
    }

    /// Gives up the caller's authenticator and recovery codes, and ends all other sessions.
    ///
    /// # Errors
    /// The caller manages the installation, and so needs one; or the login is too long ago.
    pub async fn remove_totp(&self, caller: &Caller) -> Result<Sequences, Refusal> {
        let person = Self::enrolled_person(caller)?;
        self.recent(caller)?;
        let now = self.clock.now();
        self.change_own(caller, "authenticator given up", |view, session| {
            if manages(&view.facts, Subject::Person(person), now) {
                return Err(Refusal::new(ErrorCode::MfaRequired).detail("Who manages the installation keeps one."));
            }
            let mut changes = end_sessions(view, person, Some(session));
            changes.push(with_factors(view, session, false)?);
            let own = sign_on_of(view, person);
            changes.push(SignOn { seed: None, offered_seed: None, recovery: Vec::new(), ..own }.into());
            Ok(changes)
        })
        .await
    }

    /// Replaces the caller's recovery codes.
    ///
    /// # Errors
    /// There is no authenticator, or the login is too long ago.
    pub async fn renew_recovery_codes(&self, caller: &Caller, origin: &Origin) -> Result<RecoveryCodes, Refusal> {
        let person = Self::enrolled_person(caller)?;
        self.recent(caller)?;
        let view = self.registry.now().await?;
        let with_seed = |view: &View| {
            let own = sign_on_of(view, person);
            let missing = || Refusal::parameter("There is no authenticator, which a recovery code stands in for.");
            own.seed.is_some().then_some(own).ok_or_else(missing)
        };
        with_seed(&view)?;
        let (codes, hashes) = new_recovery_codes(&self.sign_on_keys(), person);
        self.audit.record(Act::Registry(RegistryAct::RecoveryCodesCreate, Some(person.to_string())), origin).await?;
        self.change_own(caller, "recovery codes renewed", |view, _session| {
            Ok(vec![SignOn { recovery: hashes, ..with_seed(view)? }.into()])
        })
        .await?;
        Ok(codes)
    }

    fn recent(&self, caller: &Caller) -> Result<(), Refusal> {
        caller.signed_on().ok_or_else(no_person)?.check_recent(self.clock.now())
    }

    /// Changes what is the caller's own, if his session is still there.
    async fn change_own(
        &self,
        caller: &Caller,
        reason: &str,
        decide: impl FnOnce(&View, CredentialId) -> Result<Vec<Change>, Refusal> + Send,
    ) -> Result<Sequences, Refusal> {
        let [_, acts] = &self.pace;
        acts.take(*caller.credential().as_bytes())?;
        let by = (caller.author(), reason, self.clock.now());
        self.revocations
            .change_as(by, |view| {
                let caller = caller.again(view)?;
                decide(view, caller.credential())
            })
            .await
    }
}

/// The step of a code of the offered seed.
fn confirmed(
    keys: &SignOnKeys,
    own: &SignOn,
    (person, code, now): (PersonId, &Zeroizing<String>, u64),
) -> Result<Step, Refusal> {
    let missing = || Refusal::parameter("No authenticator was offered: begin with POST /api/me/totp.");
    let sealed = own.offered_seed.ok_or_else(missing)?;
    let seed = Seed::open(&keys.key, person, &sealed.0).map_err(|Rejected| sealing())?;
    seed.check(code, now, own.last_step.map(Step)).map_err(|_wrong| login_failed())
}

/// The session with two factors, or without.
fn with_factors(view: &View, session: CredentialId, mfa: bool) -> Result<Change, Refusal> {
    let gone = || Refusal::new(ErrorCode::CredentialInvalid);
    let known = view.state.credential(session).ok_or_else(gone)?;
    let Proof::Session { hmac, login } = known.proof else { return Err(gone()) };
    Ok(Credential { proof: Proof::Session { hmac, login: Login { mfa, ..login } }, ..known.clone() }.into())
}

fn new_recovery_codes(keys: &SignOnKeys, person: PersonId) -> (RecoveryCodes, Vec<Bytes<32>>) {
    let mut bytes = Zeroizing::new([[0; 10]; RECOVERY_CODES]);
    for code in bytes.iter_mut() {
        *code = random();
    }
    let codes = RecoveryCode::make_all(&bytes);
    let hasher = RecoveryHasher::new(&keys.key, person);
    let hashes = codes.iter().map(|code| Bytes(hasher.hash(code))).collect();
    (RecoveryCodes { recovery_codes: codes.iter().map(RecoveryCode::expose_text).collect() }, hashes)
}

fn sealing() -> Refusal {
    Refusal::internal("a seed cannot be sealed or opened")
}
