//! References in values: which secrets they mean, and whether the author may read these.
//!
//! Guarantees that a target which the author may not read and one that does not exist are told apart by nothing, and that only
//! what he may read is recorded.

use std::collections::BTreeSet;

use manager_api::kind::SecretKind;
use manager_api::path_key::PathKey;
use manager_api::reference::{Reference, references_in};
use manager_api::versions::ReferencedSecret;
use manager_policy::{Basis, Permit, Read, SecretFacts};
use manager_secret_kinds::Refused;
use manager_store::{ManagerStore, ReadableTarget};
use service_runtime::Refusal;
use shared_proto::Malformed;
use shared_proto::id::{EnvironmentId, SecretId};

use super::secret_writer::SecretWriter;
use crate::access::Caller;
use crate::environments::Environments;

/// The references in a value of a kind. Bytes that are no text have none.
pub(super) fn references_of(kind: SecretKind, value: &[u8]) -> Result<Vec<Reference>, Refused> {
    let Ok(text) = std::str::from_utf8(value) else { return Ok(Vec::new()) };
    references_in(kind, text).map_err(|Malformed(reason)| Refused::new(reason))
}

impl SecretWriter {
    /// The secrets that references mean, those that the author may read.
    pub(super) async fn readable_targets(
        &self,
        references: &[Reference],
        author: &Caller,
    ) -> Result<Vec<ReadableTarget>, Refusal> {
        let mut known = BTreeSet::new();
        let is_new = |one: &&Reference| known.insert((one.environment.clone(), PathKey::of(&one.path)));
        let mut places = Vec::new();
        for reference in references.iter().filter(is_new) {
            // As many statements for an unknown environment as for one whose secrets he may not read.
            let environment = self.environments.known(author, &reference.environment);
            let environment = environment.map_or(EnvironmentId::from_bytes([0; 16]), |known| known.id);
            let twin = reference.path.from_dots().or_else(|| reference.path.to_dots());
            places.extend([Some(reference.path.clone()), twin].into_iter().flatten().map(|path| (environment, path)));
        }
        if places.is_empty() {
            return Ok(Vec::new());
        }
        Ok(readable(&self.store.facts_at(places).await?, author))
    }

    /// The same for secrets that are recorded already.
    pub(super) async fn readable_again(
        &self,
        recorded: Vec<SecretId>,
        author: &Caller,
    ) -> Result<Vec<ReadableTarget>, Refusal> {
        if recorded.is_empty() {
            return Ok(Vec::new());
        }
        Ok(readable(&self.store.secret_facts(recorded).await?, author))
    }
}

fn readable(facts: &[Option<SecretFacts>], author: &Caller) -> Vec<ReadableTarget> {
    let target = |facts: Option<&SecretFacts>| {
        let permit: Permit<Read> = author.permit_on(facts).ok()?;
        ReadableTarget::of(&permit, author.approved())
    };
    facts.iter().map(Option::as_ref).filter_map(target).collect()
}

/// Recorded targets as they are shown to somebody: where they lie now, those alone that he may read himself.
pub(super) async fn shown(
    store: &dyn ManagerStore,
    environments: &Environments,
    recorded: Vec<SecretId>,
    caller: &Caller,
) -> Result<Vec<ReferencedSecret>, Refusal> {
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let (mut shown, mut decided) = (Vec::new(), None::<Basis>);
    for facts in store.secret_facts(recorded).await?.into_iter().flatten() {
        let Ok(permit) = caller.permit_on::<Read>(Some(&facts)) else { continue };
        let Some(environment) = environments.with_id(facts.environment) else { continue };
        let basis = permit.basis_for(permit.scope());
        decided = match decided {
            Some(before) => basis.and_then(|basis| before.and(basis)),
            None => basis,
        };
        shown.push(ReferencedSecret { key_id: facts.id, environment: environment.name, path: facts.path });
    }
    if let Some(basis) = decided {
        store.look_again_at(basis).await?;
    }
    Ok(shown)
}
