//! The end of a right, raced many times against acts that need it: nothing is done after the answer that it has ended.
//!
//! Each race sends the acts and, somewhat later, what ends the right. Rows are counted in the database when that is answered,
//! and again when all acts are.

use std::collections::BTreeMap;

use actix_web::http::Method;
use futures_util::future::join_all;
use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::name::AccountName;
use manager_api::policy::{Action, Effect, PartyId, PatternText, Role};
use manager_api::tags::Tags;
use manager_registry::{Change, Group, Permission, RoleAssignment, Service, Terms};
use rusqlite::Connection;
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::id::{Subject, TokenId};
use tokio::sync::watch;

use crate::support::{Answer, Installed, Manager, Principal, now};

/// The races of each test: `SPLITVAULT_RACES`, or a number that takes seconds.
fn races() -> usize {
    std::env::var("SPLITVAULT_RACES").ok().and_then(|number| number.parse().ok()).unwrap_or(RACES)
}

const RACES: usize = 60;

/// An act that needs the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Act {
    Mint,
    Write,
    Revoke,
    ChangePolicy,
    Destroy,
}

const ALL: [Act; 5] = [Act::Mint, Act::Write, Act::Revoke, Act::ChangePolicy, Act::Destroy];

struct World {
    installed: Installed,
    manager: Manager,
    database: Connection,
    robot: Principal,
    secret: String,
    /// Secrets that were written in a race, to be destroyed in another one.
    written: Vec<String>,
    /// How many of each act were done and refused.
    done: BTreeMap<(Act, bool), usize>,
}

impl World {
    async fn new() -> Self {
        let installed = Installed::new(Mode::Production).await;
        let manager = installed.start().await;
        let rate = json!({"per_second": 1_000_000, "burst": 1_000_000});
        manager.admin(Method::PATCH, "/api/settings/rate-limits", Some(json!({"principal": rate}))).await.expect(200);
        let database = Connection::open(installed.config.database()).unwrap();
        let robot = manager.service("robot").await;
        let secret = manager.store_value("app/db", "v").await.expect(201).member("key_id");
        Self { installed, manager, database, robot, secret, written: Vec::new(), done: BTreeMap::new() }
    }

    fn party(&self) -> PartyId {
        PartyId::Principal(self.robot.subject)
    }

    /// Everything that acts leave in the database.
    fn rows(&self) -> Vec<i64> {
        let count = |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            self.database.query_row(&query, [], |row| row.get::<_, i64>(0)).unwrap()
        };
        ["tokens", "versions", "events", "pending_revocations", "registry_log"].map(count).to_vec()
    }

    async fn act(&self, act: Act, race: usize) -> Answer {
        let (path, body) = match act {
            Act::Mint => ("/api/tokens".to_owned(), json!({"secrets": [{"key_id": self.secret}]})),
            Act::Write => {
                let path = format!("race/{race}");
                let body = json!({"user_id": "u", "key_data": "x", "path": path, "environment": "dev", "token": false});
                ("/api/keys".to_owned(), body)
            }
            Act::Revoke => {
                ("/api/revocations".to_owned(), json!({"kind": "token", "jti": TokenId::generate().to_string()}))
            }
            Act::ChangePolicy => {
                let body = json!({
                    "party": self.robot.id(), "effect": "deny", "actions": ["rotate"], "environment": "dev",
                    "pattern": format!("race/{race}"), "reason": "race",
                });
                ("/api/permissions".to_owned(), body)
            }
            Act::Destroy => {
                let key_id = self.written.last().map_or(self.secret.as_str(), String::as_str);
                (format!("/api/keys/{key_id}/destroy"), json!({"versions": [1]}))
            }
        };
        self.manager.by(&self.robot, Method::POST, &path, Some(body)).await
    }

    /// Races these acts with a request of the administrator that ends the right to them.
    async fn race(&mut self, race: usize, acts: &[Act], (method, path): (Method, String)) {
        // A change of the policy ends what is decided at the same time, so it has races of its own.
        let is_about_policy = acts.contains(&Act::ChangePolicy) && race % 4 == 3;
        let can_destroy = !self.written.is_empty();
        let is_raced =
            |act: &Act| (*act == Act::ChangePolicy) == is_about_policy && (*act != Act::Destroy || can_destroy);
        let acts: Vec<Act> = acts.iter().copied().filter(is_raced).collect();
        let this = &*self;
        // Either the acts begin later, or what ends the right does: when some of them are done, and later.
        let are_acts_late = (race / 4).is_multiple_of(2);
        let (done, mut seen) = watch::channel(0);
        let ending = async {
            if !are_acts_late {
                seen.wait_for(|done| *done >= race % (acts.len() + 1)).await.unwrap();
                turns(race % 37).await;
            }
            let ended = this.manager.admin(method, &path, None).await;
            let rows = this.rows();
            assert!(matches!(ended.status.as_u16(), 200 | 202), "{}", ended.text);
            rows
        };
        let racing = async {
            turns(if are_acts_late { race % 41 } else { 0 }).await;
            join_all(acts.iter().map(async |act| {
                let answer = this.act(*act, race).await;
                done.send_modify(|done| *done += 1);
                answer
            }))
            .await
        };
        let (answers, at_the_answer) = tokio::join!(racing, ending);
        assert_eq!(this.rows(), at_the_answer, "race {race}: something was done after the answer");
        // All of them, now and then; each in its turn.
        let late = if race.is_multiple_of(50) { &acts[..] } else { &acts[race % acts.len()..][..1] };
        for act in late {
            let answer = this.act(*act, races() + race).await;
            assert!(answer.status.is_client_error(), "{act:?}: {}", answer.text);
        }
        assert_eq!(this.rows(), at_the_answer, "race {race}: something was done by who asked after the answer");
        if acts.contains(&Act::Destroy) && is_done(&answers[acts.iter().position(|act| *act == Act::Destroy).unwrap()])
        {
            self.written.pop();
        }
        for (act, answer) in acts.iter().zip(&answers) {
            let status = answer.status.as_u16();
            assert!(
                is_done(answer) || matches!(status, 400 | 401 | 403 | 404 | 409),
                "{act:?}: {status} {}",
                answer.text
            );
            *self.done.entry((*act, is_done(answer))).or_default() += 1;
            if *act == Act::Write && is_done(answer) {
                self.written.push(answer.member("key_id"));
            }
        }
    }

    /// Acts were done in some races and refused in others: else they were none. Of many races, each act was.
    async fn end(self, acts: &[Act]) {
        for done in [true, false] {
            let times = |act: &Act| self.done.get(&(*act, done)).copied().unwrap_or_default();
            assert!(acts.iter().map(times).sum::<usize>() > 5, "{:?}", self.done);
            assert!(races() < 100 || acts.iter().all(|act| times(act) > 0), "{:?}", self.done);
        }
        self.manager.stop().await;
        drop(self.installed);
    }
}

/// Lets others go on.
async fn turns(times: usize) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

fn is_done(answer: &Answer) -> bool {
    answer.status.is_success()
}

/// All that the acts need, everywhere.
fn allowing(party: PartyId) -> Permission {
    let actions = [Action::List, Action::Read, Action::Write, Action::Rotate, Action::Destroy, Action::Share];
    Permission {
        permission_id: PermissionId::generate(),
        party,
        effect: Effect::Allow,
        actions: actions.into_iter().chain([Action::ManagePolicy]).collect(),
        environment: None,
        pattern: PatternText::parse("**").unwrap(),
        tags: Tags::default(),
        terms: Terms::unlimited(now()),
    }
}

#[actix_web::test]
async fn nothing_is_done_after_a_credential_was_disabled() {
    let mut world = World::new().await;
    world.manager.put(vec![allowing(world.party()).into()]).await;
    for race in 0..races() {
        let disable = format!("/api/services/{}/credentials/{}", world.robot.id(), world.robot.credential);
        world.race(race, &ALL, (Method::DELETE, disable)).await;
        world.robot = world.manager.another_credential(&world.robot, |_| {}).await;
    }
    world.end(&ALL).await;
}

#[actix_web::test]
async fn nothing_is_done_after_a_service_was_disabled() {
    let mut world = World::new().await;
    world.manager.put(vec![allowing(world.party()).into()]).await;
    let Subject::Service(id) = world.robot.subject else { panic!("a service") };
    for race in 0..races() {
        world.race(race, &ALL, (Method::POST, format!("/api/services/{id}:disable"))).await;
        let view = world.manager.app.registry.now().await.unwrap();
        let enabled = Service { disabled_at: None, ..view.state.service(id).unwrap().clone() };
        world.manager.put(vec![enabled.into()]).await;
    }
    world.end(&ALL).await;
}

/// Each way in which the policy gives it.
#[actix_web::test]
async fn nothing_is_done_after_a_permission_was_removed() {
    let mut world = World::new().await;
    for race in 0..races() {
        let line = allowing(world.party());
        let id = line.permission_id;
        world.manager.put(vec![line.into()]).await;
        world.race(race, &ALL, (Method::DELETE, format!("/api/permissions/{id}"))).await;
    }
    world.end(&ALL).await;
}

#[actix_web::test]
async fn nothing_is_done_after_a_role_was_removed() {
    let mut world = World::new().await;
    for race in 0..races() {
        let assignment_id = AssignmentId::generate();
        let role = RoleAssignment {
            assignment_id,
            party: world.party(),
            role: Role::SuperAdmin,
            environment: None,
            pattern: PatternText::parse("**").unwrap(),
            terms: Terms::unlimited(now()),
        };
        world.manager.put(vec![role.into()]).await;
        world.race(race, &ALL, (Method::DELETE, format!("/api/roles/{assignment_id}"))).await;
    }
    world.end(&ALL).await;
}

#[actix_web::test]
async fn nothing_is_done_after_a_member_was_removed() {
    let mut world = World::new().await;
    let group_id = GroupId::generate();
    let members = vec![world.robot.subject];
    let group =
        Group { group_id, name: AccountName::parse("team").unwrap(), description: None, members, created_at: now() };
    world.manager.put(vec![allowing(PartyId::Group(group_id)).into()]).await;
    for race in 0..races() {
        world.manager.put(vec![Change::from(group.clone())]).await;
        let remove = format!("/api/groups/{group_id}/members/{}", world.robot.id());
        world.race(race, &ALL, (Method::DELETE, remove)).await;
    }
    world.end(&ALL).await;
}

/// Nothing is minted or written; what is destroyed is destroyed all the same.
#[actix_web::test]
async fn nothing_is_minted_or_written_after_an_environment_was_frozen() {
    let mut world = World::new().await;
    world.manager.put(vec![allowing(world.party()).into()]).await;
    let acts = [Act::Mint, Act::Write];
    for race in 0..races() {
        world.race(race, &acts, (Method::POST, "/api/environments/dev:freeze".to_owned())).await;
        if race % 50 == 49 {
            let key_id = world.written.pop().unwrap();
            let destroy = json!({"versions": [1]});
            let path = format!("/api/keys/{key_id}/destroy");
            let unfreeze = world.manager.admin(Method::POST, "/api/environments/dev:unfreeze", None);
            let destroyed = world.manager.by(&world.robot, Method::POST, &path, Some(destroy));
            let (unfrozen, destroyed) = tokio::join!(unfreeze, destroyed);
            unfrozen.expect(200);
            assert_eq!(destroyed.expect(200).json()["status"], Value::from("destroyed"));
        } else {
            world.manager.admin(Method::POST, "/api/environments/dev:unfreeze", None).await.expect(200);
        }
    }
    world.end(&acts).await;
}
