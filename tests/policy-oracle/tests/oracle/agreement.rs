//! The two engines decide alike.

use fastrand::Rng;
use manager_api::name::SecretPath;
use manager_policy::{Action, Ruling, Scope, decide};
use shared_proto::id::EnvironmentId;

use crate::cedar::{Cedar, Mistake};
use crate::ours::{self, Decided};
use crate::world::{ACTIONS, EVERYBODY, Request, Secret, World};

const POLICIES: u64 = 400;
const REQUESTS: usize = 25;

/// The kinds of decisions, counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    allowed: usize,
    denied_by_a_line: usize,
    denied: usize,
    differences: usize,
}

#[test]
fn ten_thousand_requests_are_decided_as_cedar_decides_them() {
    let mut seen = Seen::default();
    for seed in 0..POLICIES {
        compare(seed, Mistake::None, &mut seen);
    }
    assert_eq!(seen.differences, 0, "{seen:?}");
    let all = seen.allowed + seen.denied_by_a_line + seen.denied;
    assert_eq!(all, 10_000);
    assert!([seen.allowed, seen.denied_by_a_line, seen.denied].iter().all(|kind| *kind > 800), "{seen:?}");
}

/// The controls: a policy engine with one mistake is told from ours.
#[test]
fn every_mistake_is_noticed() {
    for mistake in [
        Mistake::DenyIgnored,
        Mistake::TagsIgnored,
        Mistake::EndInclusive,
        Mistake::StartExclusive,
        Mistake::StarMatchesMore,
        Mistake::FolderHoldsItself,
        Mistake::TwinsAlias,
        Mistake::EnvironmentIgnored,
        Mistake::GroupsIgnored,
        Mistake::DisabledIgnored,
        Mistake::ServiceOnlyIgnored,
        Mistake::LimitsIgnored,
        Mistake::WriteImpliesRead,
    ] {
        let noticed = (0..POLICIES).any(|seed| {
            let mut seen = Seen::default();
            compare(seed, mistake, &mut seen);
            seen.differences > 0
        });
        assert!(noticed, "{mistake:?}");
    }
}

/// Rights in a whole scope: allows each of them for each secret of it.
#[test]
fn right_in_a_whole_scope_is_one_to_each_of_its_secrets() {
    let (mut rng, mut granted) = (Rng::with_seed(7), 0);
    for seed in 0..POLICIES {
        let world = World::generate(&mut Rng::with_seed(seed));
        let requests: Vec<_> = (0..REQUESTS).map(|_| anything(&world, &mut rng)).collect();
        let facts = ours::facts(&world);
        let cedar = Cedar::new(&world, requests.iter().map(|request| &request.secret), Mistake::None);
        for (number, request) in requests.iter().enumerate() {
            let (actor, action) = (ours::actor(&world, request), Action::parse(request.action).unwrap());
            for scope in around(&request.secret) {
                if let Ruling::Allowed(_) = decide(&facts, &actor, action, &scope, request.now) {
                    granted += 1;
                    assert!(cedar.decide(request, number).allowed, "{scope:?}\n{request:?}\n{world:?}");
                }
            }
        }
    }
    assert!(granted > 500, "{granted}");
}

/// A request that no line suggests.
fn anything(world: &World, rng: &mut Rng) -> Request {
    let secret = Secret::generate(rng);
    let who = EVERYBODY[rng.usize(..EVERYBODY.len())];
    let (action, now) = (ACTIONS[rng.usize(..ACTIONS.len())], rng.u64(..12));
    let credential = (rng.u8(..4) == 0).then(|| rng.usize(..world.credentials.len()));
    Request { who, credential, action, secret, now }
}

/// The scopes that a secret lies in.
fn around(secret: &Secret) -> Vec<Scope> {
    let environment = EnvironmentId::from_bytes([secret.environment; 16]);
    let folders = (1..secret.names.len()).map(|depth| secret.names[..depth].join("/"));
    let folders = folders.map(|folder| Scope::Folder(environment, SecretPath::parse(folder).unwrap()));
    let path = Scope::Path(environment, SecretPath::parse(secret.names.join("/")).unwrap());
    folders.chain([path, Scope::Environment(environment), Scope::Installation]).collect()
}

/// Decides generated requests over one generated policy with both.
fn compare(seed: u64, mistake: Mistake, seen: &mut Seen) {
    let mut rng = Rng::with_seed(seed);
    let world = World::generate(&mut rng);
    let requests: Vec<_> = (0..REQUESTS).map(|_| world.request(&mut rng)).collect();
    let facts = ours::facts(&world);
    let cedar = Cedar::new(&world, requests.iter().map(|request| &request.secret), mistake);
    for (number, request) in requests.iter().enumerate() {
        let (own, other) = (ours::decided(&facts, &world, request), cedar.decide(request, number));
        let same = match &own {
            Decided::Allowed(line) => other.allowed && other.lines.contains(line),
            Decided::DeniedBy(line) => !other.allowed && other.lines.contains(line),
            Decided::Denied => !other.allowed,
        };
        match own {
            Decided::Allowed(_) => seen.allowed += 1,
            Decided::DeniedBy(_) => seen.denied_by_a_line += 1,
            Decided::Denied => seen.denied += 1,
        }
        seen.differences += usize::from(!same);
        assert!(
            same || mistake != Mistake::None,
            "policy {seed}: {own:?}, and Cedar {} by {:?}\n{request:#?}\n{world:#?}",
            other.allowed,
            other.lines
        );
    }
}
