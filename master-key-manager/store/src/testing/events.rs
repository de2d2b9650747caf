//! The chain of events.

use std::sync::Arc;

use manager_api::name::SecretPath;
use shared_proto::chain::ChainHead;
use shared_proto::event::{Event, NO_EVENT, event_hash};
use shared_proto::id::{SecretId, TokenId};

use super::{Kit, NOW, rule, signer, text};
use crate::{BeginOutcome, DROPPED_AT_ONCE, Decision, NUMBERED_AT_ONCE, SignEvent, StoredEvent, TokenDecision};

impl Kit<'_> {
    pub(super) async fn events(&self) -> Result<(), String> {
        rule(self.store.newest_event().await == Ok((0, NO_EVENT)), "the chain begins with nothing")?;
        let (sign, jti) = (signer(), TokenId::generate());
        let asked = [Event::Token(jti), Event::All, Event::Token(jti), Event::All];
        let asked = asked.into_iter().map(|event| self.revocation(event)).collect::<Result<_, _>>()?;
        let numbers = self.store.number(asked, Arc::clone(&sign), NOW).await;
        rule(numbers == Ok(vec![1, 2, 1, 3]), "numbers have no gap, and what happens once has one")?;
        let chain = self.store.events_after(0, 9).await.map_err(text)?;
        let hashes: Vec<_> = chain.iter().map(|event| event_hash(&event.compact)).collect();
        let linked = chain.iter().zip([NO_EVENT].iter().chain(&hashes));
        rule(
            linked.into_iter().all(|(event, prev)| event.compact.ends_with(&format!("{prev:?}"))),
            "events are chained",
        )?;
        self.revoked_signing_key_makes_no_token(Arc::clone(&sign)).await?;
        self.credentials(Arc::clone(&sign)).await?;
        rule(self.store.deferred().await == Ok(1), "an event waits for its number")?;
        rule(
            self.store.number_deferred(Arc::clone(&sign), NOW).await == Ok(vec![6]),
            "deferred events are numbered in order",
        )?;
        rule(self.store.deferred().await == Ok(0), "a numbered event waits no more")?;
        let page = self.store.revocations(&self.may()?, 1, 2).await.map_err(text)?;
        let numbers: Vec<_> = page.events.iter().map(|event| event.sequence).collect();
        rule(numbers == [2, 3] && (page.newest, page.deferred) == (6, 0), "a page of events says how far they are")?;
        self.feed_snapshot().await?;
        self.deferred_events_are_numbered_a_few_at_a_time(sign).await
    }

    async fn feed_snapshot(&self) -> Result<(), String> {
        let end = self.store.chain_head().await.map_err(text)?;
        let all = self.store.events_after(0, 9).await.map_err(text)?;
        let lasting = all.iter().rev().find(|event| event.event.lasts()).map(|event| event.hash);
        let newest = self.store.newest_event().await;
        rule(newest == Ok((end.number, end.hash)) && lasting == Some(end.lasting), "the end of the chain is known")?;
        let returned = |sequence, may_be_dropped| StoredEvent {
            sequence,
            event: Event::All,
            compact: format!("taken {sequence}"),
            hash: event_hash(&format!("taken {sequence}")),
            issued_at: NOW + sequence,
            may_be_dropped,
        };
        let events =
            vec![returned(end.number + 1, true), returned(end.number + 5, false), returned(end.number + 6, true)];
        let wrong = ChainHead { number: end.number - 1, ..end };
        rule(
            self.store.recover_events(wrong, events.clone(), None).await == Ok(false),
            "events are taken back at the end only",
        )?;
        rule(
            self.store.recover_events(end, events.clone(), None).await == Ok(true),
            "events are taken back, also over a gap",
        )?;
        let now = self.store.chain_head().await;
        let last = ChainHead { number: end.number + 6, hash: returned(end.number + 6, true).hash, ..end };
        rule(now == Ok(last), "what was taken back is the newest")?;
        rule(self.store.events_after(end.number, 9).await == Ok(events), "and reads back")?;
        rule(self.store.event_hash(end.number + 2).await == Ok(None), "what was passed over is not there")?;
        rule(self.store.drop_events(last.number, NOW).await == Ok(0), "what is recent is not dropped")?;
        rule(self.store.drop_events(2, NOW + 1).await == Ok(1), "nor what is not below a number")?;
        let dropped = self.store.drop_events(last.number, NOW + 99).await;
        let left = self.store.events_after(0, 9).await.map_err(text)?;
        let ended = all.iter().filter(|event| event.may_be_dropped).count();
        // With the recovered event, without the one that was dropped before.
        rule(dropped == Ok(ended), "what does not last is dropped")?;
        let kept = left.iter().map(|event| (event.event.lasts(), event.may_be_dropped));
        rule(kept.clone().filter(|kept| *kept == (false, true)).count() == 1, "the newest one stays")?;
        rule(kept.filter(|kept| *kept == (false, false)).count() == 1, "and what a vault could not pass over")?;
        rule(self.store.chain_head().await == Ok(last), "and the end of the chain")
    }

    async fn deferred_events_are_numbered_a_few_at_a_time(&self, sign: SignEvent) -> Result<(), String> {
        let many = (0..=NUMBERED_AT_ONCE).map(|_| self.revocation(Event::Token(TokenId::generate())));
        let many = many.collect::<Result<_, _>>()?;
        self.store.defer(many, NOW).await.map_err(text)?;
        for (numbered, left) in [(NUMBERED_AT_ONCE, 1), (1, 0), (0, 0)] {
            let numbers = self.store.number_deferred(Arc::clone(&sign), NOW).await.map_err(text)?;
            rule(numbers.len() == numbered, "one transaction numbers a few deferred events")?;
            rule(self.store.deferred().await == Ok(left), "the others wait on")?;
        }
        let (newest, _hash) = self.store.newest_event().await.map_err(text)?;
        let dropped = self.store.drop_events(newest, NOW + 99).await;
        rule(dropped == Ok(DROPPED_AT_ONCE), "one transaction drops a few events")
    }

    /// Before the credential is disabled.
    async fn revoked_signing_key_makes_no_token(&self, sign: SignEvent) -> Result<(), String> {
        let row = self.list(&self.sees(), None, None, 99).await?.rows;
        let committed = row.iter().find(|row| row.stages.current.is_some());
        let order = self.new_order(vec![(committed.ok_or("a committed version is needed")?.secret, None)]);
        let revoked = Decision::revoke_signing_key(&self.may()?, order.signing_key).map_err(text)?;
        let numbers = self.store.number(vec![revoked], sign, NOW).await;
        rule(numbers.is_ok(), "a signing key is revoked")?;
        let mut new = self.new_version(SecretId::generate(), 1, &SecretPath::parse("unsigned").map_err(text)?)?;
        new.signing_key = Some(order.signing_key);
        let begun = self.store.begin(&self.may()?, new.clone()).await;
        let refused = begun == Ok(BeginOutcome::SigningKeyRevoked);
        rule(refused, "no write begins that would end in a token by a revoked key")?;
        rule(
            self.store.secret(&self.look()?, new.row.secret).await == Ok(None),
            "a write that is refused leaves nothing behind",
        )?;
        let ordered = self.store.decide_token(order).await.map_err(text)?;
        rule(matches!(ordered, TokenDecision::SigningKeyRevoked), "a revoked key signs nothing")
    }
}
