//! A manager beside the reference: takes a step at both, and tells where they differ.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use actix_web::http::Method;
use manager_api::policy::Action;
use serde_json::json;
use service_runtime::config::Mode;
use service_runtime::sql::{PostgresOptions, WriteFault};

use super::acts::{Act, Random};
use super::asking::ask;
use super::maybe::{Maybe, Trouble, unique};
use super::seeing::{Seen, look};
use super::world::{Said, World};
use crate::support::{CommandFault, Installed, Manager, now, until};

/// The parts of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Acts one after the other, and now and then a start anew.
    Sound,
    /// With faults.
    Faulty,
    /// Two acts at once.
    Pairs,
}

/// A fault that is planned for an act, and how many writes or commands come before it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    Write(u64, WriteFault),
    Command(u64, CommandFault),
}

/// The next step after an act whose outcome is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Nothing: the manager finishes it by itself.
    Wait,
    /// The same request under the same key.
    Repeat,
    /// `:repair`.
    Repair,
}

/// A manager, and what it may have become.
pub(super) struct Run {
    kind: Kind,
    installed: Installed,
    /// It ends with this; `None` on SQLite.
    _database: Option<test_postgres::Database>,
    manager: Option<Manager>,
    pub(super) other: String,
    pub(super) random: Random,
    pub(super) maybes: Vec<Maybe>,
    keys: u64,
    /// The acts so far, in words.
    pub(super) steps: Vec<String>,
}

/// A sentence when manager and reference differ.
pub(super) type Agreed = Result<(), String>;

/// How long what a fault has left may take to be finished.
const SOON: Duration = Duration::from_secs(20);

impl Run {
    pub(super) async fn new(kind: Kind, seed: u64) -> Self {
        let is_on_postgres = std::env::var("SPLITVAULT_TEST_ENGINE").is_ok_and(|engine| engine == "postgres");
        let database = is_on_postgres.then(test_postgres::Database::create);
        let installed = Installed::altered(Mode::Production, |raw| {
            raw.database = database.as_ref().map(test_postgres::Database::socket_url);
            let with_password =
                |file: PathBuf| PostgresOptions { password_file: Some(file), ..PostgresOptions::default() };
            raw.postgres = database.as_ref().map(|database| with_password(database.password_file()));
        });
        let installed = installed.await;
        let manager = installed.start().await;
        let rate = json!({"per_second": 1_000_000, "burst": 1_000_000});
        let rates = Some(json!({"principal": rate}));
        manager.admin(Method::PATCH, "/api/settings/rate-limits", rates).await.expect(200);
        let all = [
            Action::List,
            Action::Read,
            Action::Write,
            Action::Rotate,
            Action::Delete,
            Action::Destroy,
            Action::Share,
            Action::ReadAudit,
        ];
        let other = manager.service_with("other", &all, None).await.credential;
        Self {
            kind,
            installed,
            _database: database,
            manager: Some(manager),
            other,
            random: Random::new(seed),
            maybes: vec![Maybe::of(World::default())],
            keys: 0,
            steps: Vec::new(),
        }
    }

    pub(super) fn manager(&self) -> &Manager {
        self.manager.as_ref().expect("it runs")
    }

    /// Names of secrets and versions in acts.
    pub(super) fn world(&self) -> &World {
        &self.maybes[0].world
    }

    pub(super) async fn step(&mut self) -> Agreed {
        if self.kind == Kind::Pairs && self.world().secrets.len() >= 2 {
            return self.pair().await;
        }
        let act = {
            let world = self.world().clone();
            self.random.act(&world)
        };
        let fault = if self.kind == Kind::Faulty && !self.random.one_in(3) { Some(self.fault()) } else { None };
        let starts = self.random.one_in(if fault.is_some() { 6 } else { 15 });
        let way = self.random.pick(&[Way::Wait, Way::Repeat, Way::Repair]);
        self.act(&act, fault, (starts, way)).await.map(|_struck| ())
    }

    /// Asks for an act, and compares. With a fault, and perhaps a start anew, before it is looked. Returns what the fault came to,
    /// if it has come.
    pub(super) async fn act(
        &mut self,
        act: &Act,
        fault: Option<Fault>,
        (starts, way): (bool, Way),
    ) -> Result<Option<String>, String> {
        let bearer = if self.random.one_in(3) { self.other.clone() } else { self.manager().credential.clone() };
        let key = self.key();
        self.plan(fault);
        let said = ask(self.manager(), &bearer, &key, act, self.world()).await;
        let struck = self.lift();
        self.steps.push(format!("{act:?} with {fault:?} at {struck:?}: {said:?}"));
        let parts = act.parts();
        let trouble = if fault.is_some() { Trouble::Fault } else { Trouble::None };
        let after = unique(self.maybes.iter().flat_map(|maybe| maybe.after_all(&parts, &said, trouble)));
        self.agreed(after, "what was said")?;
        let starts = starts || self.manager().faults.is_dead();
        if starts {
            self.start_anew().await;
        }
        if fault.is_some() {
            self.repair_or_repeat((act, &said), (&bearer, &key), (starts, way)).await?;
        }
        let wholly = self.about(act);
        self.compare(fault.is_some() || starts, &wholly).await?;
        Ok(struck)
    }

    /// Asks for an act without a fault, and looks at its answer alone.
    pub(super) async fn prepare(&mut self, act: &Act) -> Agreed {
        let (key, bearer) = (self.key(), self.manager().credential.clone());
        let said = ask(self.manager(), &bearer, &key, act, self.world()).await;
        self.steps.push(format!("{act:?}: {said:?}"));
        let parts = act.parts();
        let after = self.maybes.iter().flat_map(|maybe| maybe.after_all(&parts, &said, Trouble::None));
        self.agreed(unique(after), "what was said")
    }

    /// The secrets that an act is about, and one more.
    pub(super) fn about(&mut self, act: &Act) -> BTreeSet<usize> {
        let mut about: BTreeSet<usize> = act.parts().iter().filter_map(Act::secret).collect();
        let count = self.world().secrets.len();
        if count > 0 {
            about.insert(count - 1);
            about.insert(usize::try_from(self.random.below(count as u64)).unwrap());
        }
        for part in act.parts() {
            if let Act::Create { path, .. } | Act::Put { path, .. } = &part {
                about.extend(self.world().at(path));
            }
        }
        about
    }

    pub(super) fn key(&mut self) -> String {
        self.keys += 1;
        format!("key-{}", self.keys)
    }

    fn fault(&mut self) -> Fault {
        let after = self.random.below(4);
        if self.random.one_in(3) {
            let faults = [CommandFault::Unheard, CommandFault::Unanswered, CommandFault::Late];
            return Fault::Command(self.random.below(2), self.random.pick(&faults));
        }
        let faults = [WriteFault::Fails, WriteFault::AnswerLost, WriteFault::DiesBefore, WriteFault::DiesAfter];
        Fault::Write(after, self.random.pick(&faults))
    }

    fn plan(&self, fault: Option<Fault>) {
        match fault {
            Some(Fault::Write(after, fault)) => self.manager().faults.strike(after, fault),
            Some(Fault::Command(after, fault)) => self.installed.vault.strike(after, fault),
            None => {}
        }
    }

    /// Lifts all faults. Returns what they came to.
    fn lift(&self) -> Option<String> {
        let job = self.manager().faults.lift_strike().map(str::to_owned);
        let command = self.installed.vault.lift_strike().map(|operation| operation.as_str().to_owned());
        job.or(command)
    }

    async fn start_anew(&mut self) {
        self.steps.push("the manager starts anew".to_owned());
        self.manager.take().expect("it runs").stop().await;
        self.manager = Some(self.installed.start().await);
    }

    /// The step of a caller who was not told what became of his act: nothing, a repeat under the same key, or `:repair`.
    async fn repair_or_repeat(
        &mut self,
        (act, said): (&Act, &[Said]),
        (bearer, key): (&str, &str),
        (forgotten, way): (bool, Way),
    ) -> Agreed {
        let manager = self.manager();
        until("the manager is ready", async || manager.get("/health/ready").await.status == 200).await;
        if self.random.one_in(2) {
            self.installed.vault.obey_late().await;
        }
        let parts = act.parts();
        match way {
            Way::Repeat if said.iter().any(Said::is_unclear) && !matches!(act, Act::Close(_)) => {
                let said = ask(self.manager(), bearer, key, act, self.world()).await;
                self.steps.push(format!("the same again: {said:?}"));
                let after = self.maybes.iter().flat_map(|maybe| maybe.repeated(&parts, &said, forgotten));
                self.agreed(unique(after), "what a repeat was told")?;
            }
            Way::Repair => {
                for secret in parts.iter().filter_map(Act::secret).collect::<BTreeSet<_>>() {
                    let repair = [Act::Repair { secret, abandon: false }];
                    let said = ask(self.manager(), bearer, key, &repair[0], self.world()).await;
                    self.steps.push(format!("{:?}: {said:?}", repair[0]));
                    let after = self.maybes.iter().flat_map(|maybe| maybe.after_all(&repair, &said, Trouble::None));
                    self.agreed(unique(after), "what a repair was told")?;
                }
            }
            Way::Wait | Way::Repeat => {}
        }
        self.installed.vault.obey_late().await;
        Ok(())
    }

    pub(super) fn agreed(&mut self, after: Vec<Maybe>, what: &str) -> Agreed {
        if after.is_empty() {
            let worlds = self.maybes.iter().map(|maybe| format!("{:#?}", maybe.world)).collect::<Vec<_>>().join("\n");
            return Err(format!("{what} is not what the reference says of {worlds}"));
        }
        self.maybes = after;
        Ok(())
    }

    /// Looks at everything, and keeps what it may be. After a fault maintenance has some time to finish what was begun.
    pub(super) async fn compare(&mut self, waits: bool, wholly: &BTreeSet<usize>) -> Agreed {
        let extra = self.random.below(1_000);
        let deadline = Instant::now() + SOON;
        loop {
            if waits {
                self.maintain().await;
            }
            let seen = self.look(wholly, extra).await;
            let mut differences = Vec::new();
            let mut fitting = Vec::new();
            for maybe in &self.maybes {
                let mut world = maybe.world.clone();
                match world.is_seen(&seen, extra) {
                    Ok(()) => fitting.push(Maybe::of(world)),
                    Err(difference) => differences.push(difference),
                }
            }
            if !fitting.is_empty() {
                self.maybes = unique(fitting.into_iter());
                return Ok(());
            }
            if !waits || Instant::now() > deadline {
                return Err(differences.join("\nor "));
            }
        }
    }

    async fn look(&self, wholly: &BTreeSet<usize>, extra: u64) -> Seen {
        let mut ids = BTreeSet::new();
        for maybe in &self.maybes {
            let known = wholly.iter().filter_map(|secret| maybe.world.secrets.get(*secret));
            ids.extend(known.filter_map(|secret| secret.id.clone()));
        }
        look(&self.installed, self.manager(), &ids, extra).await
    }

    /// The work that the manager does by itself within a minute.
    async fn maintain(&self) {
        let manager = self.manager();
        manager.app.secret_keeper.erase_due(&mut None, now(), || true).await.unwrap();
        manager.app.secret_rotator.end_all().await.unwrap();
        until("nothing is pending", async || manager.app.store.pending(9).await.unwrap().is_empty()).await;
    }

    pub(super) async fn stop(mut self) {
        self.manager.take().expect("it runs").stop().await;
    }
}
