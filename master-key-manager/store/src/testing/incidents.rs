//! Frozen secrets, the tokens that name one, and notices of incidents.

use manager_api::id::IncidentId;
use manager_api::incidents::{IncidentKind, IncidentStep};
use manager_api::name::{Reason, SecretPath};
use manager_api::notices::NoticeKind;
use manager_registry::{Author, DoneStep, Incident, SecretRules};
use shared_proto::encoding::Bytes;
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use super::{Kit, NOW, rule, signer, text};
use crate::{CatalogueChanges, ChangeOutcome, NOTICE_SECONDS, NewPlace, TokenDecision, TokenRequest};

impl Kit<'_> {
    async fn order_of(&self, secret: SecretId) -> Result<TokenDecision, String> {
        let order = TokenRequest { signing_key: Bytes([6; 32]), ..self.new_order(vec![(secret, None)]) };
        self.store.decide_token(order).await.map_err(text)
    }

    pub(super) async fn frozen(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("frozen/one").map_err(text)?);
        self.written(self.new_version(secret, 1, &path)?).await?;
        let TokenDecision::Recorded { token, .. } = self.order_of(secret).await? else {
            return Err("a secret is read before it is frozen".to_owned());
        };
        let named = self.store.tokens_naming(&self.look()?, secret, None, NOW).await.map_err(text)?;
        rule(named.tokens.len() == 1 && named.next.is_none(), "a token names its secret")?;
        let found = named.tokens.first().ok_or("there is a token")?;
        rule((found.jti, found.subject, found.revoked) == (token.jti, token.subject, false), "and it is that token")?;
        let other = self.store.tokens_naming(&self.look()?, SecretId::generate(), None, NOW).await.map_err(text)?;
        rule(other.tokens.is_empty(), "and no other secret")?;
        let late = self.store.tokens_naming(&self.look()?, secret, None, token.expires_at).await.map_err(text)?;
        rule(late.tokens.is_empty(), "one that has ended is not alive")?;
        let rules = SecretRules { frozen: Some(IncidentId::generate()), ..SecretRules::default() };
        let place = NewPlace {
            secret,
            environment: self.environment,
            expected: 0,
            path,
            rules,
            details: None,
            if_revision: None,
        };
        let frozen = self.change_place(vec![place], vec![Event::Secret(secret)]).await?;
        rule(matches!(frozen, ChangeOutcome::Made { .. }), "a secret is frozen")?;
        rule(matches!(self.order_of(secret).await?, TokenDecision::Frozen), "nothing is minted for a frozen secret")?;
        let named = self.store.tokens_naming(&self.look()?, secret, None, NOW).await.map_err(text)?;
        rule(named.tokens.iter().all(|token| token.revoked), "a revocation hits the tokens of before")
    }

    /// Writes the record of an incident.
    async fn record(&self, incident: &Incident) -> Result<(), String> {
        let by = (Author::Operator, "", NOW);
        let proposal = self.known().propose(vec![incident.clone().into()], by, 0, &self.key);
        let proposal = proposal.map_err(|_| "an incident is written")?;
        self.store
            .change_places(proposal.rows, CatalogueChanges::default(), Vec::new(), Some(signer()), NOW)
            .await
            .map_err(text)?;
        self.take(proposal.after);
        Ok(())
    }

    pub(super) async fn incident_notices(&self) -> Result<(), String> {
        let (secret, path) = (SecretId::generate(), SecretPath::parse("incident/one").map_err(text)?);
        self.written(self.new_version(secret, 1, &path)?).await?;
        let opened_at = NOW + 7;
        let incident = Incident {
            incident_id: IncidentId::generate(),
            incident_kind: IncidentKind::Compromise,
            secret_id: secret,
            environment_id: self.environment,
            path,
            reason: Reason::parse("a test").map_err(text)?,
            since: None,
            opened_by: None,
            opened_at,
            done: Vec::new(),
            notes: Vec::new(),
            closed_by: None,
            closed_at: None,
        };
        let told = async || {
            let page = self.store.notices(&self.sees(), 0, 99).await.map_err(text)?;
            let own = page.notices.into_iter().map(|(notice, ..)| notice).filter(|notice| notice.secret == secret);
            let own = own.map(|notice| (notice.kind, notice.deadline_hours, notice.due_at - opened_at));
            Ok::<_, String>(own.collect::<Vec<_>>())
        };
        let deadlines = |hours: &[u64]| -> Vec<_> {
            hours.iter().map(|hours| (NoticeKind::Compromise, *hours, hours * 3_600)).collect()
        };
        self.store.notice_incident(incident.incident_id, opened_at).await.map_err(text)?;
        rule(told().await?.is_empty(), "an incident that is unknown has no notice")?;
        self.record(&incident).await?;
        for _ in 0..2 {
            self.store.notice_incident(incident.incident_id, opened_at).await.map_err(text)?;
            let mut after = None;
            loop {
                after = self.store.notice_incidents(after, opened_at, 1).await.map_err(text)?;
                if after.is_none() {
                    break;
                }
            }
        }
        rule(told().await? == deadlines(&[0, 1, 24, 48]), "an incident has one notice, and one for each deadline")?;
        let done = |step| DoneStep { step, by: None, at: NOW + 9 };
        let contained = Incident { done: vec![done(IncidentStep::Contain)], ..incident.clone() };
        self.record(&contained).await?;
        rule(told().await? == deadlines(&[0, 1, 24, 48]), "a deadline is for all of its steps")?;
        let steps = [IncidentStep::Contain, IncidentStep::Tell, IncidentStep::Report];
        let known = Incident { done: steps.map(done).to_vec(), ..incident.clone() };
        self.record(&known).await?;
        rule(told().await? == deadlines(&[0, 24]), "one whose steps are done is told no more")?;
        self.record(&Incident { closed_at: Some(NOW + 9), ..known }).await?;
        rule(told().await?.is_empty(), "nor is an incident that is closed")?;

        let next = Incident { incident_id: IncidentId::generate(), opened_at: opened_at + 60, ..incident };
        self.record(&next).await?;
        self.store.notice_incident(next.incident_id, opened_at + 60).await.map_err(text)?;
        let found = told().await?;
        rule(
            found.len() == 4 && found.iter().all(|(_, hours, due)| *due == hours * 3_600 + 60),
            "the next one is told",
        )?;
        let mut after = Some(0);
        while let Some(number) = after {
            after = self.store.drop_notices(number, opened_at + 60, 9).await.map_err(text)?;
        }
        rule(told().await?.len() == 4, "a drop keeps what is so")?;
        let late = opened_at + 60 + NOTICE_SECONDS;
        let mut after = Some(0);
        while let Some(number) = after {
            after = self.store.drop_notices(number, late, 9).await.map_err(text)?;
        }
        self.store.notice_incident(next.incident_id, late).await.map_err(text)?;
        rule(told().await?.is_empty(), "what is old is dropped, and not made again")
    }
}
