//! The confirmation of a database by an operator: of one of an earlier day, or of an earlier release.

use manager_api::approvals::ApprovalState;
use manager_registry::{
    Anchor, Approval, Author, Broken, Change, Proposal, Record, RecordName, RegistryKey, SignOn, Snapshot, Standing,
    TaggedRows, TaggedRowsId,
};
use manager_store::{ChangeOutcome, RegistryRows, RegistryStore, Vouched};
use service_runtime::StartError;
use shared_proto::Rejected;
use shared_proto::encoding::b64;
use shared_proto::event::Event;
use shared_proto::id::CredentialId;

use super::consequences::MOST_EVENTS;
use super::registry::{altered, load, raise, unreadable};
use super::{AnchorFile, Registry};

/// Rows that one transaction of a take-over tags.
const VOUCHED_AT_ONCE: usize = 10_000;

impl Registry {
    /// Confirms what the database holds, though it is older than the anchor: an operator has looked at it. Returns it.
    ///
    /// # Errors
    /// It cannot be read or written, or was altered.
    pub async fn confirm(
        store: &dyn RegistryStore,
        key: &RegistryKey,
        anchor: &AnchorFile,
        (shown, now): (&str, u64),
    ) -> Result<Snapshot, StartError> {
        let (state, standing) = Self::look(store, key, anchor).await?;
        if word_for(&state) != shown {
            return Err(StartError::new(
                "The database holds something else than what that word stands for; look again with `policy show`.",
            ));
        }
        let used = anchor.read()?.map_or(0, |anchor| anchor.number);
        let rows = store.registry(u64::MAX).await.map_err(unreadable)?;
        let Some(newest) = rows.log.last() else {
            let state = take_over(store, rows, key, used, now).await?;
            return raise(anchor, &state).map(|()| state);
        };
        let state = load(&rows, newest, key).map_err(altered)?;
        if word_for(&state) != shown {
            return Err(StartError::new("The database changed meanwhile; look again with `policy show`."));
        }
        let mut changes = used_up_since(&state, now);
        // Of a registry that was put back the operator has looked at principals and policy alone: a start asks him again.
        if standing == Standing::Current && !versions_are_tagged(&state) {
            // Before the entry that says so: it goes on when it was cut short, and is never repeated.
            while store.vouch(Vouched::Versions, VOUCHED_AT_ONCE).await.map_err(unreadable)? > 0 {}
            changes.push(TaggedRows::VERSIONS.into());
        }
        let by = (Author::Operator, "confirmed", now);
        let proposal = state.propose(changes, by, used, key).map_err(|Rejected| altered(Broken))?;
        // Whatever the rows of tokens say: they are of that day.
        let ended: Vec<Event> = sessions(&state).map(Event::Credential).collect();
        let events = if ended.len() > MOST_EVENTS { vec![Event::All] } else { ended };
        match store.change_registry(proposal.rows, events, None, now).await.map_err(unreadable)? {
            ChangeOutcome::Made { .. } => {}
            ChangeOutcome::Moved | ChangeOutcome::Conflict(_) => {
                return Err(StartError::new("The database changed meanwhile; repeat the command."));
            }
        }
        raise(anchor, &proposal.after)?;
        Ok(proposal.after)
    }

    /// The registry that a database holds, and how it stands to the anchor.
    ///
    /// # Errors
    /// It cannot be read, or was altered.
    pub async fn look(
        store: &dyn RegistryStore,
        key: &RegistryKey,
        anchor: &AnchorFile,
    ) -> Result<(Snapshot, Standing), StartError> {
        let known = anchor.read()?;
        let rows = store.registry(known.map_or(0, |anchor| anchor.number)).await.map_err(unreadable)?;
        let Some(newest) = rows.log.last() else {
            // Not an entry yet: the number stays 0, and the word is that of its records.
            return Ok((first_entry(rows, key, 0, 0)?.after.unnumbered(), Standing::PutBack));
        };
        let state = load(&rows, newest, key).map_err(altered)?;
        let standing = known.map_or(Ok(Standing::PutBack), |known| known.compare(&rows.log, key));
        Ok((state, standing.map_err(|Rejected| altered(Broken))?))
    }
}

/// The word by which an operator confirms what he was shown: the entry's number and the beginning of its tag.
pub fn word_for(state: &Snapshot) -> String {
    let Anchor { number, tag } = state.anchor();
    let tag = b64(&tag.0);
    format!("{number}-{}", tag.get(..16).unwrap_or(&tag))
}

/// Tells whether an operator has vouched for the versions of secrets from before they bore tags, or there were none.
pub(super) fn versions_are_tagged(state: &Snapshot) -> bool {
    state.tagged_rows(TaggedRowsId::Versions).is_some()
}

/// What a state of an earlier day brings back that may have been used up since: sessions, enrolment codes and recovery
/// codes end, and so do acts that await approval or were approved.
fn used_up_since(state: &Snapshot, now: u64) -> Vec<Change> {
    let sessions = sessions(state).map(|session| Change::from(RecordName::from(session)));
    let codes = state.enrolments().map(|code| Change::from(RecordName::from(code.enrolment_id)));
    let people = state.sign_ons().filter(|own| !own.recovery.is_empty());
    let people = people.map(|own| Change::from(SignOn { recovery: Vec::new(), ..own.clone() }));
    let lasts = |known: &&Approval| known.over_since(now).is_none();
    let ended = |known: &Approval| Approval { state: ApprovalState::Ended, ended_at: Some(now), ..known.clone() };
    let approvals = state.approvals().filter(lasts).map(|known| Change::from(ended(known)));
    sessions.chain(codes).chain(people).chain(approvals).collect()
}

fn sessions(state: &Snapshot) -> impl Iterator<Item = CredentialId> + '_ {
    let all = state.credentials().filter(|credential| credential.proof.login().is_some());
    all.map(|session| session.credential_id)
}

/// Makes the first entry, with the credentials of a database from before there were records.
async fn take_over(
    store: &dyn RegistryStore,
    rows: RegistryRows,
    key: &RegistryKey,
    used: u64,
    now: u64,
) -> Result<Snapshot, StartError> {
    let first = first_entry(rows, key, used, now)?;
    // Before the entry: a take-over that was cut short goes on, and one that was made is never repeated.
    while store.vouch(Vouched::All, VOUCHED_AT_ONCE).await.map_err(unreadable)? > 0 {}
    match store.change_registry(first.rows, Vec::new(), None, now).await.map_err(unreadable)? {
        ChangeOutcome::Made { .. } => Ok(first.after),
        ChangeOutcome::Moved | ChangeOutcome::Conflict(_) => {
            Err(StartError::new("The database changed meanwhile; start again."))
        }
    }
}

/// The entry that takes the credentials of an earlier release over.
fn first_entry(rows: RegistryRows, key: &RegistryKey, used: u64, now: u64) -> Result<Proposal, StartError> {
    if rows.former.is_empty() {
        return Err(StartError::new("The database holds no principals and policy; restore a backup of it."));
    }
    let tagged = Record::from(TaggedRows::VERSIONS);
    let changes = rows.former.into_iter().chain([tagged]).map(Change::from).collect();
    let by = (Author::Service, "taken over from an earlier release", now);
    Snapshot::empty().propose(changes, by, used, key).map_err(|Rejected| altered(Broken))
}
