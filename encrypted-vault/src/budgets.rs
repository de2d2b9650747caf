//! The budgets of refusals that a token and a subject may cause within a second.
//!
//! Guarantees that wholly refused requests of a subject write at most 25 lines into the audit log within a second of
//! the clock, however many tokens it has, and that the counters take bounded memory. A token without budget is refused
//! until the second ends. A subject without budget is not: its tokens get their usual answers, and their refusals share
//! one sampled line. So a thief with a dead token neither locks the subject out nor hides the reason of a refusal from
//! it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use shared_proto::id::{Subject, TokenId};
use shared_proto::token::TokenHolder;

/// Refusals of one token within a second. A correct client causes a few: a dead token, a destroyed secret.
const PER_TOKEN: u32 = 20;
/// Refusals of all tokens of one subject within a second of the clock. Any span of one second has 50 lines at most.
const PER_SUBJECT: u32 = 24;
/// The most tokens that are counted within a second. Beyond it a refusal counts as over the budget.
const COUNTED: usize = 16_384;

/// The budget that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spent {
    /// That of this token.
    Token,
    /// That of all tokens of its subject, or of all that are counted.
    Subject,
}

/// Counts refusals by token and by subject, second by second of the boot clock.
#[derive(Debug, Default)]
pub struct RefusalBudgets(Mutex<Second>);

#[derive(Debug, Default)]
struct Second {
    number: u64,
    tokens: HashMap<TokenId, u32>,
    subjects: HashMap<Subject, u32>,
}

impl RefusalBudgets {
    /// Takes one refusal at `boot` seconds of the boot clock.
    ///
    /// # Errors
    /// The budget of the token or of its subject is spent; nothing is taken.
    pub fn take(&self, holder: &TokenHolder, boot: u64) -> Result<(), Spent> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        second.turn(boot);
        if is_spent(&second.tokens, &holder.jti, PER_TOKEN) {
            return Err(Spent::Token);
        }
        let is_full = second.tokens.len() >= COUNTED && !second.tokens.contains_key(&holder.jti);
        if is_full {
            return Err(Spent::Subject);
        }
        second.take_subject(&holder.subject)?;
        *second.tokens.entry(holder.jti).or_default() += 1;
        Ok(())
    }

    /// Counts a line about a request that also opened something. It takes nothing from the token's budget, so that a
    /// client that still asks for one destroyed secret keeps working.
    ///
    /// # Errors
    /// The budget of the subject is spent; nothing is taken.
    pub fn take_line(&self, holder: &TokenHolder, boot: u64) -> Result<(), Spent> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        second.turn(boot);
        second.take_subject(&holder.subject)
    }

    /// Checks the token's budget at `boot` seconds of the boot clock.
    ///
    /// # Errors
    /// Its budget is spent.
    pub fn check_token(&self, jti: &TokenId, boot: u64) -> Result<(), Spent> {
        let mut second = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        second.turn(boot);
        if is_spent(&second.tokens, jti, PER_TOKEN) { Err(Spent::Token) } else { Ok(()) }
    }
}

impl Second {
    fn turn(&mut self, boot: u64) {
        if self.number != boot {
            *self = Self { number: boot, ..Self::default() };
        }
    }

    fn take_subject(&mut self, subject: &Subject) -> Result<(), Spent> {
        let is_full = self.subjects.len() >= COUNTED && !self.subjects.contains_key(subject);
        if is_full || is_spent(&self.subjects, subject, PER_SUBJECT) {
            return Err(Spent::Subject);
        }
        *self.subjects.entry(*subject).or_default() += 1;
        Ok(())
    }
}

fn is_spent<K: Eq + Hash>(counts: &HashMap<K, u32>, key: &K, most: u32) -> bool {
    counts.get(key).is_some_and(|count| *count >= most)
}

#[cfg(test)]
mod tests {
    use shared_proto::id::{CredentialId, PersonId};

    use super::*;

    fn holder(subject: Subject) -> TokenHolder {
        TokenHolder { jti: TokenId::generate(), subject, client_id: CredentialId::generate() }
    }

    fn taken(budgets: &RefusalBudgets, holder: &TokenHolder, boot: u64) -> usize {
        (0..1_000).filter(|_| budgets.take(holder, boot).is_ok()).count()
    }

    #[test]
    fn a_token_and_a_subject_have_their_budgets_and_leave_those_of_others_alone() {
        let budgets = RefusalBudgets::default();
        let subject = Subject::Person(PersonId::generate());
        let (first, second, third) = (holder(subject), holder(subject), holder(subject));
        assert_eq!(taken(&budgets, &first, 7), 20);
        assert_eq!(budgets.check_token(&first.jti, 7), Err(Spent::Token));
        assert_eq!(budgets.check_token(&second.jti, 7), Ok(()));
        assert_eq!(taken(&budgets, &second, 7), 4, "then the subject's is spent");
        assert_eq!(budgets.take(&third, 7), Err(Spent::Subject));
        assert_eq!(budgets.take(&first, 7), Err(Spent::Token));
        assert_eq!(budgets.check_token(&third.jti, 7), Ok(()), "a good request of it is served");
        assert_eq!(taken(&budgets, &holder(Subject::Person(PersonId::generate())), 7), 20);
        assert_eq!(taken(&budgets, &first, 8), 20, "a second later");
    }

    #[test]
    fn what_is_counted_within_a_second_has_a_bound_and_is_forgotten_after_it() {
        let budgets = RefusalBudgets::default();
        let ask = |boot| {
            let counted = |_: &usize| budgets.take(&holder(Subject::Person(PersonId::generate())), boot).is_ok();
            (0..COUNTED + 10).filter(counted).count()
        };
        assert_eq!((ask(1), ask(1)), (COUNTED, 0));
        assert_eq!(ask(2), COUNTED);
        assert_eq!(budgets.0.lock().unwrap().subjects.len(), COUNTED);
    }
}
