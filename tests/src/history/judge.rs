//! The judgement: is everything that was promised still true?

use std::collections::{BTreeMap, BTreeSet};

use super::{AuditTrail, History, Outcome, Read, Span, Target, Token, Told, VersionKey, Withdrawal};

/// What an installation shows when nothing happens any more and the services have caught up.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// What a new token opens: the value, or the refusal. Asked for every acknowledged version and every one that the
    /// catalogue calls committed.
    pub versions: BTreeMap<VersionKey, Result<String, String>>,
    /// The name of each version in the catalogue.
    pub paths: BTreeMap<VersionKey, String>,
    /// What each recorded token still opens.
    pub tokens: BTreeMap<String, BTreeSet<VersionKey>>,
    /// The audit logs.
    pub audit: BTreeMap<&'static str, AuditTrail>,
}

/// A promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// What was acknowledged is there.
    Kept,
    /// What is read is what was written under that version.
    Right,
    /// One version number, one value.
    UsedOnce,
    /// What was answered `unavailable` was not written.
    NothingWritten,
    /// What was revoked is refused.
    Revoked,
    /// What was destroyed is gone.
    Destroyed,
    /// What happened has its audit line.
    Audited,
    /// The audit log is one chain.
    Chained,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Of what.
    pub about: String,
}

impl History {
    /// The promises that were broken: by what was read meanwhile, and by what is there now.
    pub fn judge(&self, observed: &Observed) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut broken = |rule, about: String| found.push(Violation { rule, about });
        for thing in &self.denied {
            broken(Rule::Kept, thing.clone());
        }
        self.judge_versions(observed, &mut broken);
        self.judge_values(observed, &mut broken);
        self.judge_withdrawals(observed, &mut broken);
        for (service, request) in &self.recorded {
            if observed.audit.get(service).is_none_or(|trail| !trail.requests.contains(request)) {
                broken(Rule::Audited, format!("request {request} at {service}"));
            }
        }
        for (service, trail) in &observed.audit {
            if let Some(place) = &trail.broken {
                broken(Rule::Chained, format!("{service}: {place}"));
            }
        }
        found
    }

    /// Every acknowledged version is there, and no number was given twice.
    fn judge_versions(&self, observed: &Observed, broken: &mut impl FnMut(Rule, String)) {
        let mut given = BTreeMap::new();
        for (version, store) in self.acknowledged() {
            if let Some(other) = given.insert(version, &store.value) {
                broken(Rule::UsedOnce, format!("{version:?} was given to {other:?} and to {:?}", store.value));
            }
            let gone = self.withdrawals.iter().any(|done| done.target == Target::Destruction(version.clone()));
            match observed.versions.get(version) {
                Some(Ok(_)) => {}
                // Also when nobody knows whether it was destroyed.
                Some(Err(_)) | None if gone => {}
                other => broken(Rule::Kept, format!("{version:?} of {}: {other:?}", store.path)),
            }
        }
    }

    /// Every value that was seen, then or now, is the one of its version.
    fn judge_values(&self, observed: &Observed, broken: &mut impl FnMut(Rule, String)) {
        let seen_now = observed.versions.iter().filter_map(|(version, found)| Some((version, found.as_ref().ok()?)));
        let seen_then = self.reads.iter().map(|read| (&read.version, &read.value));
        let mut seen: BTreeMap<&VersionKey, &String> = BTreeMap::new();
        for (version, value) in seen_then.chain(seen_now) {
            if let Some(other) = seen.insert(version, value).filter(|other| *other != value) {
                broken(Rule::UsedOnce, format!("{version:?} was read as {other:?} and as {value:?}"));
            }
            let Some(store) = self.stores.iter().find(|store| store.value == *value) else {
                broken(Rule::Right, format!("{version:?} holds {value:?}, which nobody stored"));
                continue;
            };
            let path = observed.paths.get(version);
            match &store.outcome {
                Outcome::Done(own) if own == version => {}
                Outcome::Done(own) => broken(Rule::Right, format!("{version:?} holds the value of {own:?}")),
                Outcome::Nothing => broken(Rule::NothingWritten, format!("{version:?} holds {value:?}")),
                // It may have been written: under its own name.
                Outcome::Unclear if path.is_none_or(|path| *path == store.path) => {}
                Outcome::Unclear => broken(Rule::Right, format!("{version:?} of {path:?} holds {value:?}")),
            }
        }
        let given: BTreeMap<_, _> = self.acknowledged().collect();
        for (version, value) in seen {
            if given.get(version).is_some_and(|store| store.value != *value) {
                broken(Rule::Right, format!("{version:?} was acknowledged with another value than {value:?}"));
            }
        }
    }

    fn judge_withdrawals(&self, observed: &Observed, broken: &mut impl FnMut(Rule, String)) {
        let tokens: BTreeMap<&str, &Token> = self.tokens.iter().map(|token| (token.jti.as_str(), token)).collect();
        for done in self.withdrawals.iter().filter(|done| done.told != Told::Unclear) {
            let rule = if matches!(done.target, Target::Destruction(_)) { Rule::Destroyed } else { Rule::Revoked };
            // Only what was told as applied holds at once; the rest when the services have caught up.
            let early = self.reads.iter().filter(|read| done.told == Told::Applied && read.span.is_after(done.span));
            for Read { jti, version, .. } in early {
                if tokens.get(jti.as_str()).is_some_and(|token| done.hits(token, version)) {
                    broken(rule, format!("{version:?} was read with {jti} after {:?}", done.target));
                }
            }
            for (jti, opened) in &observed.tokens {
                let Some(token) = tokens.get(jti.as_str()) else { continue };
                for version in opened.iter().filter(|version| done.hits(token, version)) {
                    broken(rule, format!("{version:?} opens with {jti} in spite of {:?}", done.target));
                }
            }
            if let Target::Destruction(version) = &done.target
                && let Some(Ok(_)) = observed.versions.get(version)
            {
                broken(rule, format!("{version:?} opens with a new token"));
            }
        }
    }
}

impl Span {
    fn is_after(&self, other: Self) -> bool {
        self.asked > other.answered
    }
}

impl Withdrawal {
    /// Whether this token must not open this version any more. A revocation hits tokens minted before it.
    fn hits(&self, token: &Token, version: &VersionKey) -> bool {
        let earlier = self.span.is_after(token.span);
        match &self.target {
            Target::Token(jti) => *jti == token.jti,
            Target::Destruction(gone) => gone == version,
            Target::Subject(user) => earlier && *user == token.user,
            Target::Secret(secret) => earlier && *secret == version.0,
            Target::Version(hit) => earlier && hit == version,
            Target::All => earlier,
        }
    }
}

#[cfg(test)]
mod tests;
