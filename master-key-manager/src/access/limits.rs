//! Rate limits: how many requests one principal and one address may make.
//!
//! Guarantees that counting takes bounded memory: an address that is seen while as many are counted as may be is refused.
//! Loopback has no limit of address, and an administrator who calls from there has none at all, so that nobody is locked
//! out of the settings.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use manager_api::settings::{Rate, RateLimits};
use service_runtime::{Fact, Refusal};
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

/// The most keys that are counted at once.
const MOST_KEYS: usize = 100_000;

/// Counts requests against the limits.
pub struct Limits<C: Clock + Clone = MonotonicClock> {
    clock: C,
    now: ArcSwap<Counters<C>>,
}

/// The pace of changes of the registry that need few rights: places and rules of a secret, and acts that are asked for. Each is an
/// entry, with a write to disk under the lock that revocations need, too.
pub struct ChangePace<C: Clock + Clone = MonotonicClock> {
    clock: C,
    principals: Keyed<Subject, C>,
}

/// Such changes of one principal: few enough that those of some leave most of the time to everybody else.
const CHANGES: Rate = Rate { per_second: 20, burst: 200 };

impl Default for ChangePace {
    fn default() -> Self {
        Self::new(MonotonicClock)
    }
}

impl<C: Clock + Clone> ChangePace<C> {
    fn new(clock: C) -> Self {
        Self { principals: keyed(CHANGES, &clock), clock }
    }

    /// Takes a change of a principal. Strangers of development mode are not counted.
    ///
    /// # Errors
    /// `rate_limited`, with the seconds to wait.
    pub fn take(&self, subject: Option<Subject>) -> Result<(), Refusal> {
        subject.map_or(Ok(()), |subject| take(&self.clock, &self.principals, &subject))
    }
}

struct Counters<C: Clock + Clone> {
    limits: RateLimits,
    principals: Keyed<Subject, C>,
    addresses: Keyed<IpAddr, C>,
}

type Keyed<K, C> = RateLimiter<K, DashMapStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl Default for Limits {
    fn default() -> Self {
        Self::new(RateLimits::default(), MonotonicClock)
    }
}

impl<C: Clock + Clone> Limits<C> {
    /// Counters for these limits.
    pub fn new(limits: RateLimits, clock: C) -> Self {
        let now = ArcSwap::from_pointee(Counters::new(limits, &clock));
        Self { clock, now }
    }

    /// Counts from now on against these limits. The same ones change nothing; others begin with nothing counted.
    pub fn set(&self, limits: RateLimits) {
        if self.now.load().limits != limits {
            self.now.store(Arc::new(Counters::new(limits, &self.clock)));
        }
    }

    /// Takes a request from an address, before anything is known of its caller.
    ///
    /// # Errors
    /// `rate_limited`, with the seconds to wait.
    pub fn take_address(&self, address: IpAddr) -> Result<(), Refusal> {
        if is_loopback(address) {
            return Ok(());
        }
        take(&self.clock, &self.now.load().addresses, &network(address))
    }

    /// Takes a request of a principal.
    ///
    /// # Errors
    /// `rate_limited`, with the seconds to wait.
    pub fn take_principal(&self, subject: Subject) -> Result<(), Refusal> {
        take(&self.clock, &self.now.load().principals, &subject)
    }

    /// Forgets keys that have as much left as one that was never seen.
    pub fn forget_idle(&self) {
        let now = self.now.load();
        now.principals.retain_recent();
        now.addresses.retain_recent();
    }
}

fn take<K: Hash + Eq + Clone, C: Clock + Clone>(clock: &C, keyed: &Keyed<K, C>, key: &K) -> Result<(), Refusal> {
    if keyed.len() >= MOST_KEYS {
        keyed.retain_recent();
        if keyed.len() >= MOST_KEYS {
            return Err(refused(1));
        }
    }
    keyed.check_key(key).map_err(|not_until| {
        let wait = not_until.wait_time_from(clock.now());
        refused(wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1))
    })
}

impl<C: Clock + Clone> Counters<C> {
    fn new(limits: RateLimits, clock: &C) -> Self {
        Self { limits, principals: keyed(limits.principal, clock), addresses: keyed(limits.address, clock) }
    }
}

fn keyed<K: Hash + Eq + Clone, C: Clock + Clone>(rate: Rate, clock: &C) -> Keyed<K, C> {
    let number = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    let quota = Quota::per_second(number(rate.per_second)).allow_burst(number(rate.burst));
    RateLimiter::dashmap_with_clock(quota, clock.clone())
}

fn refused(wait: u64) -> Refusal {
    Refusal::new(ErrorCode::RateLimited).fact(Fact::Wait(wait))
}

/// Tells whether an address is of this machine. An IPv4 address may be written as an IPv6 one.
pub fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// An IPv4 address, or the /64 of an IPv6 address, because a subscriber chooses the rest of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;
    use shared_proto::id::ServiceId;

    use super::*;

    fn limits(per_second: u32, burst: u32) -> (Limits<FakeRelativeClock>, FakeRelativeClock) {
        let (clock, rate) = (FakeRelativeClock::default(), Rate { per_second, burst });
        (Limits::new(RateLimits { principal: rate, address: rate }, clock.clone()), clock)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn wait(refusal: &Refusal) -> u64 {
        match refusal.known_fact() {
            Some(Fact::Wait(seconds)) => *seconds,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn principal_makes_its_burst_and_then_as_many_as_the_rate_gives() {
        let (limits, clock) = limits(2, 5);
        let [one, other] = [(); 2].map(|()| Subject::Service(ServiceId::generate()));
        assert_eq!((0..10).filter(|_| limits.take_principal(one).is_ok()).count(), 5);
        assert_eq!(wait(&limits.take_principal(one).unwrap_err()), 1);
        assert!(limits.take_principal(other).is_ok(), "others have their own");
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..10).filter(|_| limits.take_principal(one).is_ok()).count(), 2);
    }

    #[test]
    fn changes_have_a_pace_of_their_own_for_each_principal() {
        let clock = FakeRelativeClock::default();
        let pace = ChangePace::new(clock.clone());
        let [one, other] = [(); 2].map(|()| Some(Subject::Service(ServiceId::generate())));
        let burst = CHANGES.burst as usize;
        assert_eq!((0..1_000).filter(|_| pace.take(one).is_ok()).count(), burst);
        assert_eq!(wait(&pace.take(one).unwrap_err()), 1);
        assert!(pace.take(other).is_ok() && (0..1_000).all(|_| pace.take(None).is_ok()));
        clock.advance(Duration::from_secs(1));
        assert_eq!((0..1_000).filter(|_| pace.take(one).is_ok()).count(), CHANGES.per_second as usize);
    }

    #[test]
    fn networks_are_counted_and_loopback_is_not() {
        let (limits, _clock) = limits(1, 1);
        assert!(limits.take_address(address("192.0.2.1")).is_ok());
        assert!(limits.take_address(address("192.0.2.1")).is_err());
        assert!(limits.take_address(address("::ffff:192.0.2.1")).is_err(), "the same, written otherwise");
        assert!(limits.take_address(address("192.0.2.2")).is_ok());
        assert!(limits.take_address(address("2001:db8::1")).is_ok());
        assert!(limits.take_address(address("2001:db8::2")).is_err(), "of the same /64");
        assert!(limits.take_address(address("2001:db8:0:1::1")).is_ok());
        for own in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!((0..9).all(|_| limits.take_address(address(own)).is_ok()), "{own}");
        }
    }

    #[test]
    fn other_limits_count_anew_and_the_same_ones_go_on() {
        let (limits, _clock) = limits(1, 1);
        let one = Subject::Service(ServiceId::generate());
        let rate = |burst| Rate { per_second: 1, burst };
        assert!(limits.take_principal(one).is_ok());
        limits.set(RateLimits { principal: rate(1), address: rate(1) });
        assert!(limits.take_principal(one).is_err());
        limits.set(RateLimits { principal: rate(3), address: rate(1) });
        assert_eq!((0..9).filter(|_| limits.take_principal(one).is_ok()).count(), 3);
    }

    #[test]
    fn what_is_counted_has_a_bound() {
        let (limits, clock) = limits(1, 1);
        let subject = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            Subject::Service(ServiceId::from_bytes(id))
        };
        let most = u32::try_from(MOST_KEYS).unwrap();
        assert!((0..most).all(|number| limits.take_principal(subject(number)).is_ok()));
        assert!(limits.take_principal(subject(most)).is_err());
        clock.advance(Duration::from_secs(2));
        assert!(limits.take_principal(subject(most)).is_ok(), "those that are idle are forgotten");
    }
}
