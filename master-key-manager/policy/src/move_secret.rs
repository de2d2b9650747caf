//! Finding out whether a change of a secret's place, tags or audience gives it to somebody.

use std::collections::BTreeSet;

use shared_proto::id::Subject;

use crate::decide::rights;
use crate::region::Region;
use crate::{Action, Facts, Holder, Line, Party, SecretFacts, Target};

/// Tells whether somebody may do an action to a secret after its facts have changed, now or at a later time, who may not do it
/// at that time without the change.
///
/// The limits of credentials are not looked at: they are less than what their holder may. Takes as long as there are lines
/// with the place of the secret after the change, members of their groups, and lines of each of these.
pub fn may_gain(facts: &Facts, before: &SecretFacts, after: &SecretFacts, action: Action, now: u64) -> bool {
    let [old, new] = [before, after].map(|secret| Target::Secret(secret).region());
    let gives = |line: &&Line| line.allows() && line.actions().contains(action) && new.is_place_of(line);
    let mut holders = BTreeSet::new();
    for line in facts.near_all(new).filter(gives) {
        match line.party() {
            Party::Principal(subject) => holders.extend([Holder::Principal(subject)]),
            Party::Group(group) => holders.extend(members(facts, group)),
            Party::Strangers => holders.extend([Holder::Stranger]),
        }
    }
    let gains = |holder: Holder, second: u64| {
        let [had, has] = [old, new].map(|region| rights(facts, holder, region, second).contains(action));
        has && !had
    };
    holders.into_iter().any(|holder| turns(facts, holder, [old, new], now).any(|second| gains(holder, second)))
}

fn members(facts: &Facts, group: manager_api::id::GroupId) -> impl Iterator<Item = Holder> {
    facts.members(group).map(|subject: Subject| Holder::Principal(subject))
}

/// The seconds from now on at which a decision about a holder may become another one.
fn turns<'a>(
    facts: &'a Facts,
    holder: Holder,
    regions: [Region<'a>; 2],
    now: u64,
) -> impl Iterator<Item = u64> + use<'a> {
    let lines = regions.into_iter().flat_map(move |region| facts.near(holder, region));
    let bounds = lines.flat_map(|line| [Some(line.period().start()), line.period().end()]);
    let later: BTreeSet<u64> = bounds.flatten().filter(|second| *second > now).collect();
    std::iter::once(now).chain(later)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use manager_api::id::{GroupId, PermissionId};
    use manager_api::name::{SecretPath, TagKey, TagValue};
    use manager_api::policy::{Actions, Effect};
    use manager_api::tags::Tags;
    use shared_proto::id::{EnvironmentId, SecretId, ServiceId};

    use super::*;
    use crate::{Group, Note, Period, Permission, PolicyEpoch, Principal, Reach, State};

    const NOW: u64 = 100;

    fn reader(number: u8) -> Subject {
        Subject::Service(ServiceId::from_bytes([number; 16]))
    }

    fn tags_of(pairs: &[(&str, &str)]) -> Tags {
        let pair = |(key, value): &(&str, &str)| (TagKey::parse(*key).unwrap(), TagValue::parse(*value).unwrap());
        Tags::new(pairs.iter().map(pair)).unwrap()
    }

    fn secret(path: &str, tags: &[(&str, &str)], service_only: bool) -> SecretFacts {
        SecretFacts {
            id: SecretId::from_bytes([9; 16]),
            environment: EnvironmentId::from_bytes([1; 16]),
            path: SecretPath::parse(path).unwrap(),
            tags: tags_of(tags),
            service_only,
            number: 0,
        }
    }

    fn line(number: u8, party: Party, effect: Effect, pattern: &str, period: Period) -> Permission {
        Permission {
            id: PermissionId::from_bytes([number; 16]),
            party,
            effect,
            actions: Actions::NONE.with([Action::Read].into_iter().collect()),
            reach: Reach { environment: None, pattern: pattern.parse().unwrap() },
            condition: Tags::default(),
            period,
            note: Note { author: None, reason: None },
        }
    }

    fn facts(lines: Vec<Permission>) -> Facts {
        let principals = [1, 2].map(|number| Principal { id: reader(number), disabled: false }).into();
        let groups = vec![Group { id: GroupId::from_bytes([5; 16]), members: vec![reader(1), reader(2)] }];
        let lines = lines.into_iter().map(|line| Arc::new(Line::Permission(line))).collect();
        Facts::new(PolicyEpoch(1), State { principals, groups, lines })
    }

    fn gains(lines: Vec<Permission>, before: &SecretFacts, after: &SecretFacts) -> bool {
        may_gain(&facts(lines), before, after, Action::Read, NOW)
    }

    #[test]
    fn a_move_to_where_somebody_reads_gives_it_to_him_unless_he_reads_it_already() {
        let (one, group) = (Party::Principal(reader(1)), Party::Group(GroupId::from_bytes([5; 16])));
        let [from, to] = ["a/x", "b/x"].map(|path| secret(path, &[], false));
        let allow = |number, party, pattern| line(number, party, Effect::Allow, pattern, Period::ALWAYS);
        assert!(!gains(vec![allow(1, one, "a/**")], &from, &to));
        assert!(gains(vec![allow(1, one, "b/**")], &from, &to));
        assert!(!gains(vec![allow(1, one, "**")], &from, &to));
        // One of the group reads it already, and the other one does not.
        assert!(gains(vec![allow(1, one, "a/**"), allow(2, group, "b/**")], &from, &to));
        assert!(!gains(vec![allow(1, group, "a/**"), allow(2, one, "b/**")], &from, &to));
    }

    #[test]
    fn a_denial_that_stays_behind_gives_it_and_one_that_is_met_does_not() {
        let one = Party::Principal(reader(1));
        let [from, to] = ["a/x", "b/x"].map(|path| secret(path, &[], false));
        let all = line(1, one, Effect::Allow, "**", Period::ALWAYS);
        let deny = |pattern| line(2, one, Effect::Deny, pattern, Period::ALWAYS);
        assert!(gains(vec![all.clone(), deny("a/**")], &from, &to));
        assert!(!gains(vec![all, deny("b/**")], &from, &to));
    }

    #[test]
    fn a_line_that_begins_later_gives_it_and_one_that_has_ended_does_not() {
        let one = Party::Principal(reader(1));
        let [from, to] = ["a/x", "b/x"].map(|path| secret(path, &[], false));
        let during = |start, end| line(1, one, Effect::Allow, "b/**", Period::new(Some(start), Some(end)).unwrap());
        assert!(gains(vec![during(NOW + 50, NOW + 60)], &from, &to));
        assert!(!gains(vec![during(NOW - 50, NOW - 10)], &from, &to));
    }

    #[test]
    fn a_tag_of_a_condition_gives_it_and_so_does_a_secret_that_people_may_read_again() {
        let one = Party::Principal(reader(1));
        let mut tagged = line(1, one, Effect::Allow, "**", Period::ALWAYS);
        tagged.condition = tags_of(&[("team", "pay")]);
        let [without, with] = [&[][..], &[("team", "pay")]].map(|tags| secret("a/x", tags, false));
        assert!(gains(vec![tagged.clone()], &without, &with));
        assert!(!gains(vec![tagged], &with, &without));
        let person = Party::Principal(Subject::Person(shared_proto::id::PersonId::from_bytes([3; 16])));
        let mut own = facts(vec![line(1, person, Effect::Allow, "**", Period::ALWAYS)]).state().clone();
        let Party::Principal(id) = person else { unreachable!() };
        own.principals.push(Principal { id, disabled: false });
        let own = Facts::new(PolicyEpoch(1), own);
        let [services, all] = [true, false].map(|service_only| secret("a/x", &[], service_only));
        assert!(may_gain(&own, &services, &all, Action::Read, NOW));
        assert!(!may_gain(&own, &all, &services, Action::Read, NOW));
    }
}
