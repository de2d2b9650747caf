//! Faults of single commands at the vault, which is honest otherwise.

use actix_web::{HttpResponse, web};
use shared_proto::command::Operation;

use super::vault::{FakeVault, obey};

/// A fault of one command. Its sender never learns what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommandFault {
    /// It is not obeyed.
    Unheard,
    /// It is obeyed, and the answer is lost.
    Unanswered,
    /// It is obeyed when [`FakeVault::obey_late`] says so: its sender has given up long before.
    Late,
}

/// The fault that is planned, how many commands come before it, and those that are held back.
#[derive(Default)]
pub(super) struct Strike {
    planned: Option<(u64, CommandFault)>,
    struck: Option<Operation>,
    late: Vec<(Operation, web::Bytes)>,
}

impl FakeVault {
    /// Plans a fault of the command that comes after so many others from now on. Polls and what belongs to the rotation of
    /// keys are not counted.
    pub(crate) fn strike(&self, after: u64, fault: CommandFault) {
        let strike = &mut self.state().strike;
        (strike.planned, strike.struck) = (Some((after, fault)), None);
    }

    /// Lifts a fault, and returns the command that it came to, if it has come.
    pub(crate) fn lift_strike(&self) -> Option<Operation> {
        let strike = &mut self.state().strike;
        strike.planned = None;
        strike.struck.take()
    }

    /// Obeys the commands that were held back.
    pub(crate) async fn obey_late(&self) {
        let late = std::mem::take(&mut self.state().strike.late);
        for (operation, body) in late {
            let _nobody_waits_for_it = obey(self, operation, &body).await;
        }
    }

    pub(super) async fn struck(&self, operation: Operation, body: web::Bytes) -> HttpResponse {
        let nonsense = || HttpResponse::Ok().body("{nonsense");
        match self.next_fault(operation) {
            None => obey(self, operation, &body).await,
            Some(CommandFault::Unheard) => nonsense(),
            Some(CommandFault::Unanswered) => {
                obey(self, operation, &body).await;
                nonsense()
            }
            Some(CommandFault::Late) => {
                self.state().strike.late.push((operation, body));
                nonsense()
            }
        }
    }

    fn next_fault(&self, operation: Operation) -> Option<CommandFault> {
        let counts = match operation {
            Operation::Store
            | Operation::Settle
            | Operation::Inventory
            | Operation::Push
            | Operation::Compare
            | Operation::Find => true,
            Operation::Poll | Operation::Replay | Operation::Handout | Operation::Rewrap | Operation::Retire => false,
        };
        let strike = &mut self.state().strike;
        let (left, fault) = strike.planned.filter(|_| counts)?;
        strike.planned = left.checked_sub(1).map(|left| (left, fault));
        if left > 0 {
            return None;
        }
        strike.struck = Some(operation);
        Some(fault)
    }
}
