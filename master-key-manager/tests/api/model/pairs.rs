//! Two callers at once.

use std::collections::BTreeSet;

use futures_util::future::join;

use super::acts::{Act, Random};
use super::asking::ask;
use super::maybe::{Maybe, Trouble, unique};
use super::run::{Agreed, Run};
use super::world::{Said, World};

impl Run {
    /// Two acts at once, mostly on the same secret. The outcome is that of one of the orders of their parts.
    pub(super) async fn pair(&mut self) -> Agreed {
        let world = self.world().clone();
        let count = world.secrets.len();
        let two = [count - 1, count - 2];
        let [one, other] = if self.random.one_in(2) {
            let secret = self.random.pick(&two);
            [change_of(&mut self.random, secret, &world), change_of(&mut self.random, secret, &world)]
        } else {
            [one_of(&mut self.random, two, &world), one_of(&mut self.random, two, &world)]
        };
        let (keys, bearers) = ([self.key(), self.key()], [self.manager().credential.clone(), self.other.clone()]);
        let asked = join(
            ask(self.manager(), &bearers[0], &keys[0], &one, &world),
            ask(self.manager(), &bearers[1], &keys[1], &other, &world),
        );
        let (said_to_one, said_to_other) = asked.await;
        self.steps.push(format!("{one:?}: {said_to_one:?}\n  and {other:?}: {said_to_other:?}"));
        let parts = |act: &Act, said: Vec<Said>| act.parts().into_iter().zip(said).collect::<Vec<_>>();
        let both = [parts(&one, said_to_one), parts(&other, said_to_other)];
        let after = unique(self.maybes.iter().flat_map(|maybe| orders(maybe, &both[0], &both[1])));
        self.agreed(after, "what was said at once")?;
        let wholly: BTreeSet<usize> = self.about(&one).union(&self.about(&other)).copied().collect();
        self.compare(true, &wholly).await
    }
}

fn one_of(random: &mut Random, two: [usize; 2], world: &World) -> Act {
    if random.one_in(8) {
        return random.act(world);
    }
    let secret = random.pick(&two);
    random.about(secret, world)
}

/// A change of the place or the rules of a secret: two of them must not undo each other.
fn change_of(random: &mut Random, secret: usize, world: &World) -> Act {
    loop {
        let act = random.about(secret, world);
        let is_change = matches!(
            act,
            Act::Change { .. } | Act::Delete(_) | Act::Undelete(_) | Act::Compromise { .. } | Act::Close(_)
        );
        if is_change {
            return act;
        }
    }
}

/// The states after all orders of two lists of acts.
fn orders(from: &Maybe, one: &[(Act, Said)], other: &[(Act, Said)]) -> Vec<Maybe> {
    if one.is_empty() && other.is_empty() {
        return vec![Maybe::of(from.world.clone())];
    }
    let first = |(act, said): &(Act, Said)| from.after(act, said, Trouble::Other);
    let mut all = Vec::new();
    if let Some((next, rest)) = one.split_first() {
        all.extend(first(next).iter().flat_map(|maybe| orders(maybe, rest, other)));
    }
    if let Some((next, rest)) = other.split_first() {
        all.extend(first(next).iter().flat_map(|maybe| orders(maybe, one, rest)));
    }
    unique(all.into_iter())
}
