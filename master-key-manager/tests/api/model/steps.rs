//! Each step of an operation fails in turn: the process dies before it or after it, the vault does not hear it, its answer is lost, or
//! it is heard too late. Whatever is left is finished or taken back by maintenance, by a repeat or by `:repair`, and the operation can be asked
//! for again.

use service_runtime::sql::WriteFault;

use super::acts::{Act, Change, How};
use super::run::{Fault, Kind, Run, Way};
use crate::support::CommandFault;

#[actix_web::test]
async fn a_rotation_is_finished_or_taken_back_whichever_step_fails() {
    let rotate = |how| move |secret| Act::Rotate { secret, value: "rotated".to_owned(), how };
    let [activate, staged, emergency] = [How::Activate, How::Staged, How::Emergency].map(rotate);
    let mut steps = Steps::new().await;
    steps.each(&[], activate).await;
    steps.each(&[], staged).await;
    steps.each(&[&staged, &Act::Verify], emergency).await;
    steps.each(&[&staged], Act::Verify).await;
    steps.each(&[&staged, &Act::Verify], |secret| Act::Promote { secret, unverified: false }).await;
    steps.each(&[&activate], Act::Finish).await;
    steps.each(&[&staged], |secret| Act::Repair { secret, abandon: true }).await;
    let seen = ["begin_rotation", "commit", "verify_rotation", "promote", "finish_rotation", "give_up_rotation"];
    steps.end(&[&seen[..], &["store"]].concat()).await;
}

#[actix_web::test]
async fn a_move_is_made_or_not_whichever_step_fails() {
    let mut steps = Steps::new().await;
    steps.each(&[], |secret| Act::Change { secret, change: Change::Path(format!("moved/{secret}")) }).await;
    steps.each(&[], |secret| Act::Change { secret, change: Change::Team(Some("a")) }).await;
    steps.end(&["change_registry"]).await;
}

#[actix_web::test]
async fn a_deletion_is_made_or_not_and_a_destruction_ends_whichever_step_fails() {
    let mut steps = Steps::new().await;
    let write = |secret| Act::Write { secret, value: "w".to_owned(), pending: false, if_version: None, ends: None };
    let roll_back = |secret| Act::RollBack { secret, version: 1, if_version: None };
    steps.each(&[&write], Act::Delete).await;
    steps.each(&[&Act::Delete], Act::Undelete).await;
    steps.each_way(&[&write, &roll_back, &Act::Delete], Act::Destroy, true).await;
    steps.each(&[&write, &roll_back], |secret| Act::DestroyVersions { secret, versions: vec![2, 3] }).await;
    steps.end(&["change_registry", "erase", "destroy", "push", "inventory"]).await;
}

#[actix_web::test]
async fn each_operation_of_many_is_done_or_not_whichever_step_fails() {
    let mut steps = Steps::new().await;
    let bulk = |secret: usize| {
        let path = |name: &str| format!("bulk/{secret}-{name}");
        Act::Bulk(vec![
            Act::Create { path: path("new"), value: "new".to_owned(), team: None },
            Act::Write { secret, value: "w".to_owned(), pending: false, if_version: None, ends: None },
            Act::RollBack { secret, version: 1, if_version: None },
            Act::Change { secret, change: Change::Path(path("moved")) },
            Act::Delete(secret),
        ])
    };
    let import = |secret: usize| {
        let put = |name: &str| Act::Put { path: format!("import/{secret}-{name}"), value: name.to_owned() };
        Act::Import(vec![put("a"), put("b")])
    };
    steps.each(&[], bulk).await;
    steps.each(&[], import).await;
    steps.end(&["begin", "commit", "begin_rollback", "change_registry", "store", "settle"]).await;
}

/// Makes an act for a secret.
type Make<'a> = &'a dyn Fn(usize) -> Act;

/// A manager, and the steps at which it was struck.
struct Steps {
    run: Run,
    struck: Vec<String>,
}

/// More steps than any act has.
const MOST: u64 = 40;
const WAYS: [Way; 3] = [Way::Wait, Way::Repeat, Way::Repair];

impl Steps {
    async fn new() -> Self {
        Self { run: Run::new(Kind::Sound, 1).await, struck: Vec::new() }
    }

    /// For each step of an act: a new secret, what comes before, the act with a fault of that step, and the act again.
    async fn each(&mut self, before: &[Make<'_>], act: impl Fn(usize) -> Act) {
        self.each_way(before, act, false).await;
    }

    /// The same; perhaps with each way to go on after a death, and not one of them in turn.
    async fn each_way(&mut self, before: &[Make<'_>], act: impl Fn(usize) -> Act, all_ways: bool) {
        let writes = [WriteFault::DiesBefore, WriteFault::DiesAfter].map(|fault| (Some(fault), None));
        let commands = [CommandFault::Unheard, CommandFault::Unanswered, CommandFault::Late];
        let faults = writes.into_iter().chain(commands.into_iter().map(|fault| (None, Some(fault))));
        for (number, (write, command)) in faults.enumerate() {
            for step in 0..MOST {
                let fault = write.map(|fault| Fault::Write(step, fault));
                let fault = fault.or(command.map(|fault| Fault::Command(step, fault)));
                let first = (number + usize::try_from(step).unwrap()) % WAYS.len();
                let mut struck = None;
                for way in WAYS.iter().cycle().skip(first).take(if all_ways { WAYS.len() } else { 1 }) {
                    struck = self.one(before, &act, (fault, *way)).await;
                }
                let Some(struck) = struck else { break };
                self.struck.push(struck);
                assert!(step + 1 < MOST, "it never ends: {:?}", self.struck);
            }
        }
    }

    async fn one(
        &mut self,
        before: &[Make<'_>],
        act: &impl Fn(usize) -> Act,
        (fault, way): (Option<Fault>, Way),
    ) -> Option<String> {
        self.run.steps.clear();
        let secret = self.run.world().secrets.len();
        let create = Act::Create { path: format!("step/{secret}"), value: "first".to_owned(), team: None };
        self.prepare(&create).await;
        for make in before {
            self.prepare(&make(secret)).await;
        }
        let struck = match self.run.act(&act(secret), fault, (false, way)).await {
            Ok(struck) => struck,
            Err(difference) => panic!("{difference}\nafter {:#?}", self.run.steps),
        };
        // It goes on from there, whatever was left.
        self.prepare(&act(secret)).await;
        struck
    }

    async fn prepare(&mut self, act: &Act) {
        if let Err(difference) = self.run.prepare(act).await {
            panic!("{difference}\nafter {:#?}", self.run.steps);
        }
    }

    /// The steps that every one of these acts must have had.
    async fn end(self, expected: &[&str]) {
        for name in expected {
            assert!(self.struck.iter().any(|struck| struck == name), "{name} was never struck: {:?}", self.struck);
        }
        self.run.stop().await;
    }
}
