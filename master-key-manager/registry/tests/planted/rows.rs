//! Rows that an attacker with write access to the database could leave. He has every row and every entry of the past, and
//! no key.

use manager_api::name::AccountName;
use manager_policy::Holder;
use manager_registry::{
    Anchor, Author, Change, Credential, Proof, Proposal, Record, RecordName, RegistryKey, RoleAssignment, Service,
    Snapshot, Standing, WrittenEntry, WrittenRecord,
};
use proptest::prelude::*;
use shared_proto::id::{CredentialId, ServiceId, Subject};

fn key() -> RegistryKey {
    RegistryKey::new(&[7; 32])
}

/// A database: records by their names, and the log.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct Rows {
    records: Vec<WrittenRecord>,
    log: Vec<WrittenEntry>,
}

impl Rows {
    fn write(&mut self, proposal: &Proposal) {
        let rows = &proposal.rows;
        for record in &rows.written {
            self.records.retain(|known| known.name != record.name);
            self.records.push(record.clone());
        }
        self.records.retain(|known| !rows.removed.contains(&known.name));
        self.records.sort_by(|one, other| one.name.cmp(&other.name));
        self.log.push(rows.entry.clone());
    }

    /// As a manager with this anchor starts on it.
    fn start(&self, anchor: Anchor) -> Result<(Snapshot, Standing), String> {
        let newest = self.log.last().ok_or("no entry")?;
        let state = Snapshot::load(&self.records, newest, &key()).map_err(|broken| broken.to_string())?;
        let later: Vec<_> = self.log.iter().filter(|entry| entry.number >= anchor.number).cloned().collect();
        let standing = anchor.compare(&later, &key()).map_err(|_| "the log was altered".to_owned())?;
        Ok((state, standing))
    }

    fn is_accepted(&self, anchor: Anchor) -> bool {
        matches!(self.start(anchor), Ok((_, Standing::Current)))
    }
}

fn credential(number: u8) -> Credential {
    let id = CredentialId::from_bytes([number; 16]);
    Credential::new(id, Subject::Service(ServiceId::from_bytes([1; 16])), Proof::opaque([number; 32]), 5)
}

fn service(created_at: u64) -> Change {
    let name = AccountName::parse("administrator").unwrap();
    Service::new(ServiceId::from_bytes([1; 16]), name, created_at).into()
}

fn propose(state: &Snapshot, changes: Vec<Change>) -> Proposal {
    state.propose(changes, (Author::Operator, "test", 9), 0, &key()).unwrap()
}

/// The states of a database after each change: three credentials are made, the second is disabled, the third removed.
fn history() -> Vec<(Rows, Snapshot)> {
    let id = ServiceId::from_bytes([1; 16]);
    let removed = Change::from(RecordName::from(CredentialId::from_bytes([3; 16])));
    let changes: Vec<Vec<Change>> = vec![
        vec![service(5), RoleAssignment::administrator(id, 5).unwrap().into(), credential(1).into()],
        vec![credential(2).into(), credential(3).into()],
        vec![Credential { disabled_at: Some(8), ..credential(2) }.into()],
        vec![removed],
    ];
    let (mut rows, mut state, mut all) = (Rows::default(), Snapshot::empty(), Vec::new());
    for changes in changes {
        let proposal = propose(&state, changes);
        rows.write(&proposal);
        state = proposal.after;
        all.push((rows.clone(), state.clone()));
    }
    all
}

#[test]
fn untouched_rows_are_read_back_with_what_they_say() {
    for (rows, state) in history() {
        let (read, standing) = rows.start(state.anchor()).unwrap();
        assert_eq!((read.number(), standing), (state.number(), Standing::Current));
        assert_eq!(read.facts(false), state.facts(false));
    }
    let (_, last) = history().pop().unwrap();
    assert!(last.actor(CredentialId::from_bytes([1; 16]), 9).is_some());
    assert!(last.actor(CredentialId::from_bytes([2; 16]), 9).is_none(), "it is disabled");
    assert!(last.credential_by_hmac(&[3; 32]).is_none() && last.credential_by_hmac(&[1; 32]).is_some());
    assert!(last.administrators(&last.facts(false), 9).eq([CredentialId::from_bytes([1; 16])]));
}

#[test]
fn one_row_of_the_past_put_back_or_taken_out_or_altered_is_not_accepted() {
    let all = history();
    let (rows, state) = all.last().unwrap();
    let anchor = state.anchor();
    for (number, record) in rows.records.iter().enumerate() {
        let mut without = rows.clone();
        without.records.remove(number);
        assert!(!without.is_accepted(anchor), "{:?} taken out", record.name);
        for (place, _) in record.body.char_indices() {
            let mut altered = rows.clone();
            altered.records[number].body.replace_range(place..=place, "0");
            assert!(altered == *rows || !altered.is_accepted(anchor), "{:?} altered at {place}", record.name);
        }
    }
    for old in all.iter().flat_map(|(rows, _)| &rows.records) {
        let mut back = rows.clone();
        back.records.retain(|known| known.name != old.name);
        back.records.push(old.clone());
        back.records.sort_by(|one, other| one.name.cmp(&other.name));
        assert!(back == *rows || !back.is_accepted(anchor), "{:?} put back", old.name);
    }
    let mut renamed = rows.clone();
    renamed.records[0].name.id = CredentialId::from_bytes([9; 16]).to_string();
    assert!(!renamed.is_accepted(anchor));
}

#[test]
fn all_rows_of_an_earlier_day_are_told_apart_by_the_anchor() {
    let all = history();
    for (now, (_, state)) in all.iter().enumerate() {
        for (then, (rows, _)) in all.iter().enumerate() {
            let (_, standing) = rows.start(state.anchor()).unwrap();
            // One entry more is what a crash leaves between the database and the anchor. More are of an older anchor.
            let is_current = then == now || then == now + 1;
            let expected = if is_current { Standing::Current } else { Standing::PutBack };
            assert_eq!(standing, expected, "rows of {then} at {now}");
        }
    }
}

#[test]
fn records_of_one_day_with_the_log_of_another_are_not_accepted() {
    let all = history();
    for (one, (rows, _)) in all.iter().enumerate() {
        for (other, (later, state)) in all.iter().enumerate().filter(|(other, _)| *other != one) {
            let mixed = Rows { records: rows.records.clone(), log: later.log.clone() };
            assert!(!mixed.is_accepted(state.anchor()), "records of {one}, log of {other}");
        }
    }
}

#[test]
fn a_log_with_a_gap_or_a_fork_or_an_altered_entry_is_not_accepted() {
    let all = history();
    let (rows, _) = all.last().unwrap();
    let first = Anchor::from(&rows.log[0]);
    for gone in 1..rows.log.len() - 1 {
        let mut gap = rows.clone();
        gap.log.remove(gone);
        assert!(!gap.is_accepted(first), "without entry {}", gone + 1);
    }
    // Two different changes of the first state: a restored manager went on from there.
    let (mut other, early) = all[0].clone();
    let fork = propose(&early, vec![Record::Credential(credential(4)).into()]);
    other.write(&fork);
    let (_, second) = &all[1];
    assert_eq!(other.start(second.anchor()).unwrap().1, Standing::PutBack);
    let mut altered = rows.clone();
    altered.log.last_mut().unwrap().text = altered.log.last().unwrap().text.replace("test", "tess");
    assert!(!altered.is_accepted(first));
    let mut renumbered = rows.clone();
    renumbered.log.last_mut().unwrap().number += 1;
    assert!(!renumbered.is_accepted(first));
}

#[test]
fn an_entry_under_another_key_is_not_accepted() {
    let all = history();
    let (rows, state) = all.last().unwrap();
    let other = RegistryKey::new(&[8; 32]);
    assert!(Snapshot::load(&rows.records, rows.log.last().unwrap(), &other).is_err());
    let forged = state.propose(vec![Record::Credential(credential(4)).into()], (Author::Operator, "", 1), 0, &other);
    let mut planted = rows.clone();
    planted.write(&forged.unwrap());
    assert!(!planted.is_accepted(state.anchor()));
}

#[test]
fn numbers_that_an_anchor_knows_are_not_used_again() {
    let all = history();
    let (_, old) = &all[1];
    let (_, new) = &all[3];
    let confirmed = old.propose(Vec::new(), (Author::Operator, "confirmed", 9), new.number(), &key()).unwrap();
    assert_eq!((confirmed.rows.expected, confirmed.rows.entry.number), (2, 5));
    assert_eq!(confirmed.after.number(), 5);
}

#[test]
fn a_record_under_another_name_is_not_proposed() {
    let name = RecordName::from(CredentialId::from_bytes([2; 16]));
    let change = Change { name, after: Some(Record::Credential(credential(1))) };
    assert!(Snapshot::empty().propose(vec![change], (Author::Operator, "", 1), 0, &key()).is_err());
}

proptest! {
    /// However a state came about, its digest is that of its records, and of no others.
    #[test]
    fn digest_follows_the_records_and_not_their_history(changes in prop::collection::vec((1_u8..20, any::<bool>()), 1..40)) {
        let (mut rows, mut state) = (Rows::default(), Snapshot::empty());
        for (number, is_there) in changes {
            let record = is_there.then(|| Record::Credential(credential(number)));
            let name = RecordName::from(CredentialId::from_bytes([number; 16]));
            let proposal = propose(&state, vec![Change { name, after: record }]);
            rows.write(&proposal);
            state = proposal.after;
        }
        let (read, standing) = rows.start(state.anchor()).unwrap();
        prop_assert_eq!(standing, Standing::Current);
        prop_assert_eq!(read.credentials().count(), rows.records.len());
        let extra = WrittenRecord { name: RecordName::from(CredentialId::from_bytes([30; 16])), body: rows.records.first().map(|one| one.body.clone()).unwrap_or_default() };
        rows.records.push(extra);
        prop_assert!(!rows.is_accepted(state.anchor()));
    }
}

#[test]
fn an_entry_concerns_the_credential_that_it_changes_and_no_other() {
    let all = history();
    let (rows, state) = &all[2];
    let disabling = &rows.log.last().unwrap().text;
    for (number, concerned) in [(1, false), (2, true), (3, false)] {
        let own = (Holder::Stranger, CredentialId::from_bytes([number; 16]));
        assert_eq!(WrittenEntry::may_concern(disabling, own, None), concerned, "{number}");
    }
    let of_a_service = propose(state, vec![service(6)]).rows.entry.text;
    let of = |number: u8| Holder::Principal(Subject::Service(ServiceId::from_bytes([number; 16])));
    let other = CredentialId::from_bytes([9; 16]);
    assert!(WrittenEntry::may_concern(&of_a_service, (of(1), other), None), "its own");
    assert!(!WrittenEntry::may_concern(&of_a_service, (of(2), other), None), "another one's");
    for text in ["", "{}", &disabling[1..]] {
        assert!(WrittenEntry::may_concern(text, (of(2), other), None), "{text}");
    }
}
