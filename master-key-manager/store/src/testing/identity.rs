//! Credentials: found by their hash, disabled at once, and refused afterwards.

use std::sync::Arc;

use manager_api::name::SecretPath;
use shared_proto::event::Event;
use shared_proto::id::{CredentialId, SecretId, ServiceId, Subject};

use super::{Kit, NOW, refused, rule, signer, text};
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
        let nobody = self.store.subject_of(self.actor, self.label.clone()).await;
        rule(nobody == Ok(None), "a label that nobody used stands for nobody")
    }

    /// Takes number 5, and leaves one event without a number.
    pub(super) async fn credentials(&self, sign: SignEvent) -> Result<(), String> {
        let decide = |decision| self.store.number(self.actor, vec![decision], Arc::clone(&sign), NOW);
        let last = decide(Decision::DisableCredential(self.credential)).await;
        rule(last == Err(ActError::LastAdministrator), "the last administrator is not disabled")?;
        let deferred = self.store.defer(self.actor, vec![Decision::DisableCredential(self.credential)], NOW).await;
        rule(deferred == Err(ActError::LastAdministrator), "nor while nothing is numbered")?;
        let unknown = decide(Decision::DisableCredential(CredentialId::generate())).await;
        rule(unknown == Err(ActError::CredentialUnknown), "an unknown credential is not disabled")?;
        let tokens = decide(Decision::Event(Event::Credential(self.credential))).await;
        rule(tokens == Ok(vec![5]), "the tokens of a credential are revoked")?;
        rule(self.store.look_again(self.actor).await.is_ok(), "a credential outlives its tokens")?;
        rule(self.store.look_again(self.anonymous).await.is_ok(), "strangers have a credential")?;
        let before = self.store.credential_generation().await.map_err(text)?;
        let anonymous = Decision::DisableCredential(self.anonymous.credential());
        let changes = self.store.credential_changes();
        self.store.defer(self.actor, vec![anonymous], NOW).await.map_err(text)?;
        rule(self.store.credential_changes() > changes, "a change is counted before its caller hears of it")?;
        let disabled = self.store.credential_generation().await.map_err(text)?;
        rule(disabled > before, "the generation grows with a credential that is disabled")?;
        self.store.defer(self.actor, vec![anonymous], NOW).await.map_err(text)?;
        let again = self.store.credential_generation().await;
        rule(again == Ok(disabled), "and not with one that was disabled before")?;
        let disabled = self.store.look_again(self.anonymous).await;
        rule(disabled == Err(ActError::CredentialDisabled), "a credential is disabled before its event has a number")
    }

    /// The last rule: afterwards the actor has no rights.
    pub(super) async fn disabled(&self) -> Result<(), String> {
        let late = self.new_version(SecretId::generate(), 1, &SecretPath::parse("late").map_err(text)?)?;
        let token = self.new_token(&late.row);
        self.store.begin(self.actor, late.clone()).await.map_err(text)?;
        let new = NewCredential { id: CredentialId::generate(), hmac: [2; 32] };
        let before = self.store.credential([1; 32]).await.map_err(text)?;
        self.store.reset_administrator(new, NOW).await.map_err(text)?;
        let old = self.store.credential([1; 32]).await.map_err(text)?;
        rule(old.row.is_some_and(|row| row.actor().is_none()), "a credential that was replaced is disabled")?;
        rule(old.generation > before.generation, "the generation grows with the replacement")?;
        let (secret, version, path) = (late.row.secret, late.row.version, late.path.clone());
        let next = self.new_version(secret, 2, &path)?;
        let subject = Subject::Service(ServiceId::generate());
        let decisions = || vec![Decision::Event(Event::All)];
        let order = self.new_order(vec![(secret, None)]);
        let (store, actor) = (self.store, self.actor);
        refused(store.look_again(actor).await, "look_again")?;
        refused(store.secret_at(actor, self.environment, path).await, "secret_at")?;
        refused(store.secret(actor, secret).await, "secret")?;
        refused(store.version(actor, secret, version).await, "version")?;
        refused(store.begin(actor, next).await, "begin")?;
        refused(store.secrets(actor, None, None, 9).await, "secrets")?;
        refused(store.missing(actor, Vec::new()).await, "missing")?;
        refused(store.adopt(actor, Vec::new(), NOW).await, "adopt")?;
        refused(store.move_back(actor, Vec::new()).await, "move_back")?;
        refused(store.idempotent(actor, subject, "key".to_owned(), NOW).await, "idempotent")?;
        refused(store.decide_token(actor, order).await, "decide_token")?;
        refused(store.tokens(actor, None, 9, NOW).await, "tokens")?;
        refused(store.revocations(actor, 0, 9).await, "revocations")?;
        refused(store.number(actor, decisions(), signer(), NOW).await, "number")?;
        refused(store.defer(actor, decisions(), NOW).await, "defer")?;
        refused(store.subject_of(actor, self.label.clone()).await, "subject_of")?;
        rule(store.deferred().await == Ok(1), "a refused decision leaves nothing behind")?;
        let committed = store.commit(secret, version, Some(token)).await;
        rule(committed == Ok(CommitOutcome::WithoutToken), "a disabled credential gets no token")
    }
}
