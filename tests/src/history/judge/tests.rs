//! Histories that must be accepted, and broken ones of every kind that must not.

use super::super::Store;
use super::*;

fn version(number: u64) -> VersionKey {
    ("sec_a".to_owned(), number)
}

fn span(asked: u64) -> Span {
    Span { asked, answered: asked + 1 }
}

fn store(value: &str, outcome: Outcome) -> Store {
    Store { path: "a/b".to_owned(), value: value.to_owned(), outcome, span: span(0) }
}

fn withdrawal(target: Target, told: Told) -> Withdrawal {
    Withdrawal { target, told, span: span(10) }
}

fn read(number: u64, value: &str, asked: u64) -> Read {
    Read { jti: "early".to_owned(), version: version(number), value: value.to_owned(), span: span(asked) }
}

/// Version 1 was acknowledged, of version 2 nobody knows, a third try was refused; two tokens open version 1.
fn history() -> History {
    let token = |jti: &str, asked| Token {
        jti: jti.to_owned(),
        text: String::new(),
        user: "somebody".to_owned(),
        grants: vec![version(1)],
        span: span(asked),
    };
    History {
        stores: vec![
            store("one", Outcome::Done(version(1))),
            store("two", Outcome::Unclear),
            store("three", Outcome::Nothing),
        ],
        tokens: vec![token("early", 2), token("late", 20)],
        reads: vec![read(1, "one", 4)],
        recorded: [("vault", "request".to_owned())].into(),
        ..History::default()
    }
}

fn observed() -> Observed {
    let trail = AuditTrail { requests: ["request".to_owned()].into(), broken: None };
    Observed {
        versions: [(version(1), Ok("one".to_owned())), (version(2), Ok("two".to_owned()))].into(),
        paths: [(version(1), "a/b".to_owned()), (version(2), "a/b".to_owned())].into(),
        tokens: ["early", "late"].map(|jti| (jti.to_owned(), [version(1)].into())).into(),
        audit: [("vault", trail)].into(),
    }
}

fn rules(history: &History, observed: &Observed) -> Vec<Rule> {
    let found: BTreeSet<Rule> = history.judge(observed).into_iter().map(|violation| violation.rule).collect();
    found.into_iter().collect()
}

/// What is found when the observation or the history is changed like this.
fn with(change: impl FnOnce(&mut History, &mut Observed)) -> Vec<Rule> {
    let (mut history, mut observed) = (history(), observed());
    change(&mut history, &mut observed);
    rules(&history, &observed)
}

#[test]
fn what_was_promised_and_what_nobody_knows_is_accepted() {
    assert_eq!(with(|_, _| ()), []);
    assert_eq!(with(|_, observed| drop(observed.versions.remove(&version(2)))), [], "nobody knows of version 2");
}

#[test]
fn lost_write_is_found() {
    assert_eq!(with(|_, observed| drop(observed.versions.remove(&version(1)))), [Rule::Kept]);
    let refused = Err("secret_not_found".to_owned());
    assert_eq!(with(|_, observed| drop(observed.versions.insert(version(1), refused))), [Rule::Kept]);
    assert_eq!(with(|history, _| history.denied.push("token".to_owned())), [Rule::Kept]);
}

#[test]
fn wrong_value_is_found() {
    let other = |value: &'static str| {
        move |_: &mut History, observed: &mut Observed| {
            observed.versions.insert(version(1), Ok(value.to_owned()));
        }
    };
    assert_eq!(with(other("never stored")), [Rule::Right, Rule::UsedOnce]);
    assert_eq!(with(other("two")), [Rule::Right, Rule::UsedOnce]);
    assert_eq!(with(|history, _| history.reads.push(read(1, "never stored", 5))), [Rule::Right, Rule::UsedOnce]);
    let moved = |_: &mut History, observed: &mut Observed| {
        observed.versions.insert(version(3), Ok("one".to_owned()));
    };
    assert_eq!(with(moved), [Rule::Right]);
    let renamed = |_: &mut History, observed: &mut Observed| {
        observed.paths.insert(version(2), "other".to_owned());
    };
    assert_eq!(with(renamed), [Rule::Right]);
}

#[test]
fn number_that_was_given_twice_is_found() {
    assert_eq!(
        with(|history, _| history.stores.push(store("four", Outcome::Done(version(1))))),
        [Rule::Right, Rule::UsedOnce]
    );
    assert_eq!(with(|history, _| history.reads.push(read(2, "one", 5))), [Rule::Right, Rule::UsedOnce]);
}

#[test]
fn value_that_was_said_to_be_unwritten_is_found() {
    let written = |_: &mut History, observed: &mut Observed| {
        observed.versions.insert(version(3), Ok("three".to_owned()));
    };
    assert_eq!(with(written), [Rule::NothingWritten]);
    assert_eq!(with(|history, _| history.reads.push(read(3, "three", 5))), [Rule::NothingWritten]);
}

#[test]
fn lost_revocation_of_every_kind_is_found() {
    let targets = [
        Target::Token("early".to_owned()),
        Target::Subject("somebody".to_owned()),
        Target::Secret("sec_a".to_owned()),
        Target::Version(version(1)),
        Target::All,
    ];
    for target in targets {
        for told in [Told::Applied, Told::Pending] {
            let revoked = withdrawal(target.clone(), told);
            let lost = with(|history, _| history.withdrawals.push(revoked.clone()));
            assert_eq!(lost, [Rule::Revoked], "{target:?} {told:?}");
            // A token minted afterwards may open.
            let kept = with(|history, observed| {
                history.withdrawals.push(revoked);
                observed.tokens.remove("early");
            });
            assert_eq!(kept, [], "{target:?} {told:?}");
        }
        let unclear = withdrawal(target, Told::Unclear);
        assert_eq!(with(|history, _| history.withdrawals.push(unclear)), []);
    }
}

#[test]
fn read_after_an_applied_revocation_is_found_and_one_during_it_is_not() {
    let reads_at = |asked, told| {
        with(|history, observed| {
            history.withdrawals.push(withdrawal(Target::Token("early".to_owned()), told));
            history.reads.push(read(1, "one", asked));
            observed.tokens.remove("early");
        })
    };
    assert_eq!(reads_at(12, Told::Applied), [Rule::Revoked]);
    assert_eq!(reads_at(11, Told::Applied), [], "it was asked before the answer");
    assert_eq!(reads_at(12, Told::Pending), [], "it was not said to hold already");
}

#[test]
fn lost_destruction_is_found() {
    let destroyed = |told| withdrawal(Target::Destruction(version(1)), told);
    for told in [Told::Applied, Told::Pending] {
        assert_eq!(with(|history, _| history.withdrawals.push(destroyed(told))), [Rule::Destroyed]);
        let gone = |history: &mut History, observed: &mut Observed| {
            history.withdrawals.push(destroyed(told));
            observed.versions.remove(&version(1));
            observed.tokens.clear();
        };
        assert_eq!(with(gone), []);
        let by_an_old_token = |history: &mut History, observed: &mut Observed| {
            history.withdrawals.push(destroyed(told));
            observed.versions.remove(&version(1));
        };
        assert_eq!(with(by_an_old_token), [Rule::Destroyed]);
    }
    let maybe = |history: &mut History, observed: &mut Observed| {
        history.withdrawals.push(destroyed(Told::Unclear));
        observed.versions.remove(&version(1));
    };
    assert_eq!(with(maybe), []);
}

#[test]
fn missing_audit_line_and_broken_chain_are_found() {
    assert_eq!(with(|_, observed| observed.audit.clear()), [Rule::Audited]);
    assert_eq!(with(|_, observed| drop(observed.audit.insert("vault", AuditTrail::default()))), [Rule::Audited]);
    let cut = |_: &mut History, observed: &mut Observed| {
        observed.audit.get_mut("vault").unwrap().broken = Some("line 3".to_owned());
    };
    assert_eq!(with(cut), [Rule::Chained]);
}
