//! The secrets as anybody sees them, and as the reference says that he sees them.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::http::Method;
use serde_json::{Value, json};
use shared_proto::event::Event;
use shared_proto::id::SecretId;

use super::acts::FAR;
use super::world::{Life, Secret, State, World};
use crate::support::{Installed, Manager, Row};

/// Views of secrets, by their ids.
pub(super) type Seen = BTreeMap<String, SeenSecret>;

/// Path, state, team and stages.
type Line = (String, &'static str, Option<String>, [Option<u64>; 3]);

/// A secret, as it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenSecret {
    /// A row of a list.
    line: Line,
    /// The rest, of those that are looked at.
    whole: Option<Box<Whole>>,
}

/// Number, envelope, state, stages and end.
type SeenVersion = (u64, u64, String, Vec<String>, Option<u64>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Whole {
    line_again: Line,
    last: u64,
    service_only: bool,
    keeps: Option<u64>,
    description: Option<String>,
    rotation: (String, bool),
    /// Open incidents, and whether they froze it.
    incidents: Vec<bool>,
    /// Number, envelope, state, stages, end.
    versions: Vec<SeenVersion>,
    /// The code, or `=` and the value, by the version that was asked for.
    reads: BTreeMap<String, String>,
    /// The envelopes that the vault has.
    envelopes: BTreeSet<u64>,
    revoked: usize,
}

/// Looks at all secrets from outside, at `wholly` in full, and reads these versions of them.
pub(super) async fn look(installed: &Installed, manager: &Manager, wholly: &BTreeSet<String>, extra: u64) -> Seen {
    let list = get(manager, "/api/secrets?environment=dev&state=all&limit=500").await;
    let mut seen = Seen::new();
    for row in list["secrets"].as_array().unwrap() {
        let id = row["key_id"].as_str().unwrap().to_owned();
        let whole =
            if wholly.contains(&id) { Some(Box::new(whole(installed, manager, &id, extra).await)) } else { None };
        seen.insert(id, SeenSecret { line: line(row), whole });
    }
    seen
}

async fn get(manager: &Manager, route: &str) -> Value {
    manager.admin(Method::GET, route, None).await.expect(200).json()
}

fn line(row: &Value) -> Line {
    let state = ["active", "deleted", "destroyed"].into_iter().find(|state| row["state"] == *state).unwrap();
    let stages = ["current", "previous", "pending"].map(|stage| row["stages"][stage].as_u64());
    (row["path"].as_str().unwrap().to_owned(), state, word(&row["tags"]["team"]), stages)
}

fn word(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

async fn whole(installed: &Installed, manager: &Manager, id: &str, extra: u64) -> Whole {
    let shown = get(manager, &format!("/api/secrets/{id}")).await;
    let history = get(manager, &format!("/api/secrets/{id}/versions?limit=500&sort=version")).await;
    let incidents = get(manager, &format!("/api/incidents?key_id={id}&open=true")).await;
    let version = |row: &Value| {
        let stages = row["stages"].as_array().unwrap().iter().map(|stage| word(stage).unwrap()).collect();
        let number = |name: &str| row[name].as_u64().unwrap();
        // The end of its period says nothing.
        let ends = row["expires_at"].as_u64().filter(|end| *end == FAR);
        (number("version"), number("envelope"), word(&row["state"]).unwrap(), stages, ends)
    };
    let last = shown["last_version"].as_u64().unwrap();
    let mut reads = BTreeMap::new();
    for (name, wanted) in asked_for(last, extra) {
        let mut body = json!({"key_id": id});
        body.as_object_mut().unwrap().extend(wanted.as_object().unwrap().clone());
        let answer = manager.post("/api/tokens", json!({"secrets": [body]})).await;
        let read = if answer.status == 201 {
            let opened = installed.vault.open(&answer.member("access_token"));
            format!("={}", String::from_utf8(opened[0].expose().to_vec()).unwrap())
        } else {
            answer.code()
        };
        reads.insert(name, read);
    }
    let secret: SecretId = id.parse().unwrap();
    let envelopes = {
        let state = installed.vault.state();
        let of = state.rows.iter().filter(|((of, _), row)| *of == secret && matches!(row, Row::Stored { .. }));
        of.map(|((_, envelope), _)| envelope.get()).collect()
    };
    let revoked = installed.vault.applied().iter().filter(|event| **event == Event::Secret(secret)).count();
    Whole {
        line_again: line(&shown),
        last,
        service_only: shown["service_only"] == true,
        keeps: shown["retention"]["versions"].as_u64(),
        description: word(&shown["description"]),
        rotation: (word(&shown["rotation"]["state"]).unwrap(), shown["rotation"].get("verified_at").is_some()),
        incidents: incidents["incidents"].as_array().unwrap().iter().map(|one| one["frozen"] == true).collect(),
        versions: history["versions"].as_array().unwrap().iter().map(version).collect(),
        reads,
        envelopes,
        revoked,
    }
}

/// The versions that are read: those with a stage, and one by its number.
fn asked_for(last: u64, extra: u64) -> [(String, Value); 4] {
    let number = 1 + extra % last;
    let stage = |name: &str| (name.to_owned(), json!({"stage": name}));
    [stage("current"), stage("previous"), stage("pending"), (number.to_string(), json!({"version": number}))]
}

impl World {
    /// True if this is what was seen. Secrets of which nobody has told the id are known by their paths then.
    pub(super) fn is_seen(&mut self, seen: &Seen, extra: u64) -> Result<(), String> {
        let known: BTreeSet<String> = self.secrets.iter().filter_map(|secret| secret.id.clone()).collect();
        for secret in self.secrets.iter_mut().filter(|secret| secret.id.is_none()) {
            let found = seen.iter().find(|(id, one)| !known.contains(*id) && one.line.0 == secret.path);
            secret.id = found.map(|(id, _)| id.clone());
        }
        for (id, one) in seen {
            let of = self.secrets.iter().find(|secret| secret.id.as_ref() == Some(id));
            let Some(secret) = of else { return Err(format!("a secret that is not there: {one:?}")) };
            let expected = secret.as_seen(one, extra);
            if expected != *one {
                return Err(format!("expected {expected:?}\n     got {one:?}"));
            }
        }
        let missing = self.secrets.iter().find(|secret| !secret.id.as_ref().is_some_and(|id| seen.contains_key(id)));
        missing.map_or(Ok(()), |secret| Err(format!("not seen: {secret:?}")))
    }
}

impl Secret {
    fn as_seen(&self, one: &SeenSecret, extra: u64) -> SeenSecret {
        let state = match self.life {
            Life::Active => "active",
            Life::Deleted => "deleted",
            Life::Destroyed => "destroyed",
        };
        let stages = [self.current, self.previous, self.pending];
        let line = (self.path.clone(), state, self.team.map(str::to_owned), stages);
        let whole = one.whole.as_ref().map(|seen| Box::new(self.wholly(&line, seen, extra)));
        SeenSecret { line, whole }
    }

    fn wholly(&self, line: &Line, seen: &Whole, extra: u64) -> Whole {
        let by_name = |name: &str| match name {
            "current" => self.current,
            "previous" => self.previous,
            "pending" => self.pending,
            number => number.parse().ok(),
        };
        let reads = asked_for(self.last(), extra).map(|(name, _)| (name.clone(), self.read(by_name(&name))));
        let rotation = match self.under_way() {
            Some(found) => (if found.is_grace { "grace" } else { "pending" }, found.is_verified),
            None if self.pending.is_some() => ("pending", false),
            None => ("idle", false),
        };
        Whole {
            line_again: line.clone(),
            last: self.last(),
            service_only: self.service_only,
            keeps: self.keeps,
            description: self.description.clone(),
            rotation: (rotation.0.to_owned(), rotation.1),
            incidents: self.incident.into_iter().collect(),
            versions: self.versions.keys().map(|number| self.version(*number)).collect(),
            reads: reads.into_iter().collect(),
            envelopes: self.envelopes(),
            // A move or another tag may revoke as well.
            revoked: seen.revoked.max(self.revoked),
        }
    }

    fn version(&self, number: u64) -> (u64, u64, String, Vec<String>, Option<u64>) {
        let version = &self.versions[&number];
        let staged = [(self.current, "current"), (self.previous, "previous"), (self.pending, "pending")];
        let own = staged.iter().filter(|(staged, _)| self.is_committed(number) && *staged == Some(number));
        let stages: Vec<String> = own.map(|(_, name)| (*name).to_owned()).collect();
        let state = match version.state {
            State::Committed if [self.current, self.pending].contains(&Some(number)) => "committed",
            State::Committed => "superseded",
            State::Abandoned => "abandoned",
            State::Destroyed => "destroyed",
        };
        (number, version.envelope, state.to_owned(), stages, version.ends)
    }
}
