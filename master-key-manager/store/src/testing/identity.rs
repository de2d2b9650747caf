//! Credentials: found by their hash, disabled at once, and refused afterwards.

use std::sync::Arc;

use manager_api::name::SecretPath;
use manager_policy::{Permit, Scope};
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, SecretId, ServiceId, Subject};

use super::{Kit, NOW, rule, text};
use crate::{ActError, CommitOutcome, Decision, FoundCredential, NewCredential, SignEvent};

impl Kit<'_> {
    pub(super) async fn identity(&self) -> Result<(), String> {
        let found = self.store.credential([1; 32]).await.map_err(text)?;
        let ours = found.row.as_ref().is_some_and(|row| row.id == self.credential && !row.disabled);
        rule(ours, "a credential is found by its hash")?;
        let generation = self.store.credential_generation().await;
        rule(generation == Ok(found.generation), "a credential comes with the generation of all")?;
        let wrong = self.store.credential([2; 32]).await.map_err(text)?;
        rule(wrong == FoundCredential { row: None, ..found.clone() }, "a wrong hash finds nothing")?;
        rule(self.store.credential([1; 32]).await == Ok(found), "a credential is found again")?;
        let nobody = self.store.subject_of(&self.may()?, self.label.clone()).await;
        rule(nobody == Ok(None), "a label that nobody used stands for nobody")
    }

    /// Takes number 5, and leaves one event without a number.
    pub(super) async fn credentials(&self, sign: SignEvent) -> Result<(), String> {
        let decide = |decision| self.store.number(vec![decision], Arc::clone(&sign), NOW);
        let disable = |credential| Decision::disable_credential(&self.may()?, credential).map_err(text);
        let last = decide(disable(self.credential)?).await;
        rule(last == Err(ActError::LastAdministrator), "the last administrator is not disabled")?;
        let deferred = self.store.defer(vec![disable(self.credential)?], NOW).await;
        rule(deferred == Err(ActError::LastAdministrator), "nor while nothing is numbered")?;
        let unknown = decide(disable(CredentialId::generate())?).await;
        rule(unknown == Err(ActError::CredentialUnknown), "an unknown credential is not disabled")?;
        let tokens = decide(self.revocation(Event::Credential(self.credential))?).await;
        rule(tokens == Ok(vec![5]), "the tokens of a credential are revoked")?;
        rule(self.store.look_again(&self.may()?).await.is_ok(), "a credential outlives its tokens")?;
        let strangers = Permit::decide(&self.facts, &self.anonymous, &Scope::Installation, NOW).map_err(text)?;
        let nothing = self.store.idempotent(&strangers, Subject::Service(ServiceId::generate()), String::new(), NOW);
        rule(nothing.await == Ok(None), "strangers have a credential")?;
        let before = self.store.credential_generation().await.map_err(text)?;
        let anonymous = disable(self.anonymous.credential)?;
        let changes = self.store.credential_changes();
        self.store.defer(vec![anonymous], NOW).await.map_err(text)?;
        rule(self.store.credential_changes() > changes, "a change is counted before its caller hears of it")?;
        let disabled = self.store.credential_generation().await.map_err(text)?;
        rule(disabled > before, "the generation grows with a credential that is disabled")?;
        self.store.defer(vec![anonymous], NOW).await.map_err(text)?;
        let again = self.store.credential_generation().await;
        rule(again == Ok(disabled), "and not with one that was disabled before")?;
        let subject = Subject::Service(ServiceId::generate());
        let disabled = self.store.idempotent(&strangers, subject, String::new(), NOW).await;
        rule(disabled == Err(ActError::CredentialDisabled), "a credential is disabled before its event has a number")
    }

    /// The last rule: afterwards the actor has no rights.
    pub(super) async fn disabled(&self) -> Result<(), String> {
        let late = self.new_version(SecretId::generate(), 1, &SecretPath::parse("late").map_err(text)?)?;
        let token = self.new_token(&late.row);
        self.store.begin(&self.may()?, late.clone()).await.map_err(text)?;
        let new = NewCredential { id: CredentialId::generate(), hmac: [2; 32] };
        let before = self.store.credential([1; 32]).await.map_err(text)?;
        self.store.reset_administrator(new, NOW).await.map_err(text)?;
        let old = self.store.credential([1; 32]).await.map_err(text)?;
        rule(old.row.is_some_and(|row| row.actor().is_none()), "a credential that was replaced is disabled")?;
        rule(old.generation > before.generation, "the generation grows with the replacement")?;
        self.refuses_all(&self.facts, &late, ActError::CredentialDisabled).await?;
        let committed = self.store.commit(late.row.secret, late.row.version, Some((self.may()?, token))).await;
        rule(committed == Ok(CommitOutcome::WithoutToken), "a disabled credential gets no token")
    }
}
