//! Dry runs of changes.

use std::sync::Arc;

use manager_policy::{
    Action, Difference, Effect, Facts, Group, Line, MAX_DRY_RUN, Party, PolicyEpoch, Principal, Reach, State, Target,
    TooMuch, dry_run,
};
use proptest::prelude::*;
use proptest::sample::Index;
use shared_proto::id::{ServiceId, Subject};

use crate::universe::{
    TIMES, actor, all_that_he_may, facts, group_of, holders, line, permission, scope, secret, service, state,
};

/// An edit of the policy.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Add(Line),
    Remove(Index),
    Replace(Index, Line),
    Join(u8, Index),
    Leave(u8),
    Switch(Index),
    Enter(u8),
    Other(State),
}

pub(crate) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => line().prop_map(Edit::Add),
        3 => any::<Index>().prop_map(Edit::Remove),
        2 => (any::<Index>(), line()).prop_map(|(index, line)| Edit::Replace(index, line)),
        2 => (0..2_u8, any::<Index>()).prop_map(|(group, index)| Edit::Join(group, index)),
        2 => (0..2_u8).prop_map(Edit::Leave),
        2 => any::<Index>().prop_map(Edit::Switch),
        1 => (0..3_u8).prop_map(Edit::Enter),
        1 => state().prop_map(Edit::Other),
    ]
}

impl Edit {
    pub(crate) fn apply(self, facts: &Facts) -> Facts {
        let mut state = facts.state().clone();
        match self {
            Self::Add(line) => state.lines.push(Arc::new(line)),
            Self::Remove(index) if !state.lines.is_empty() => {
                state.lines.remove(index.index(state.lines.len()));
            }
            Self::Replace(index, new) if !state.lines.is_empty() => {
                let place = index.index(state.lines.len());
                state.lines[place] = Arc::new(with_id_of(new, &state.lines[place]));
            }
            Self::Join(group, index) => {
                let subjects: Vec<_> = state.principals.iter().map(|principal| principal.id).collect();
                if !subjects.is_empty() {
                    state.groups[usize::from(group)].members.push(subjects[index.index(subjects.len())]);
                }
            }
            Self::Leave(group) => drop(state.groups[usize::from(group)].members.pop()),
            Self::Switch(index) if !state.principals.is_empty() => {
                let place = index.index(state.principals.len());
                state.principals[place].disabled ^= true;
            }
            Self::Enter(number) => state.principals.push(Principal { id: service(number), disabled: false }),
            Self::Other(other) => state = other,
            Self::Remove(_) | Self::Replace(..) | Self::Switch(_) => {}
        }
        Facts::new(PolicyEpoch(facts.epoch().0.wrapping_add(1)), state)
    }
}

fn with_id_of(new: Line, old: &Line) -> Line {
    match (new, old) {
        (Line::Permission(new), Line::Permission(old)) => {
            Line::Permission(manager_policy::Permission { id: old.id, ..new })
        }
        (new, _) => new,
    }
}

proptest! {
    #[test]
    fn dry_run_names_everybody_who_gains_or_loses_and_nobody_else(
        before in facts(), edit in edit(), scope in scope(), secret in secret(), now in 0..TIMES,
    ) {
        let after = edit.apply(&before);
        let targets = [Target::Scope(&scope), Target::Secret(&secret)];
        let mut expected = Vec::new();
        let mut all = holders();
        all.sort();
        for holder in all {
            for (place, target) in targets.iter().enumerate() {
                let [old, new] = [&before, &after].map(|facts| all_that_he_may(facts, &actor(holder), *target, now));
                if old != new {
                    expected.push(Difference { holder, target: place, gains: new.without(old), loses: old.without(new) });
                }
            }
        }
        prop_assert_eq!(dry_run(&before, &after, &targets, now), Ok(expected));
        prop_assert_eq!(dry_run(&before, &before, &targets, now), Ok(Vec::new()));
    }
}

#[test]
fn dry_run_over_too_many_principals_and_secrets_is_refused() {
    let members: Vec<Subject> = (0..1_001_u64)
        .map(|number| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            Subject::Service(ServiceId::from_bytes(id))
        })
        .collect();
    let line = permission(1, Party::Group(group_of(0)), Effect::Allow, &[Action::Read], Reach::everything());
    let with = |lines: Vec<Arc<Line>>, members: &[Subject]| {
        let groups = vec![Group { id: group_of(0), members: members.to_vec() }];
        Facts::new(PolicyEpoch(1), State { principals: Vec::new(), groups, lines })
    };
    let scope = manager_policy::Scope::Installation;
    let targets = vec![Target::Scope(&scope); 250];
    let run = |members| {
        dry_run(&with(Vec::new(), members), &with(vec![Arc::new(Line::Permission(line.clone()))], members), &targets, 1)
    };
    assert_eq!(MAX_DRY_RUN, 1_000 * 250);
    assert_eq!(run(&members[..1_000]), Ok(Vec::new()), "nobody is known, so nobody gains");
    assert_eq!(run(&members), Err(TooMuch));
}
