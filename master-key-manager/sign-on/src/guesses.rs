//! Slowing guesses of passwords and codes, without locking the owner out.
//!
//! An attempt counts before it is verified, so that a thousand at the same time are a thousand, and is taken back when
//! it succeeds. Delays double with each failure, and failures are forgotten by half-lives.
//! - From a device on which the person has signed on before (it shows its device code, [`crate::code::CodeHasher::known_device`]), only the failures of this device
//!   count. So nobody else can lock the owner out there.
//! - From elsewhere, the failures at this account from this address, those of the address at all accounts, and those of
//!   all strangers at this account count; the longest delay applies.
//!
//! An account that does not exist is counted like one that does. The state is bounded. Accounts share a fixed number of
//! counts, of which none ever gives way: guesses at names that do not exist wash no failures away, and can only slow others
//! down. When another table is full, the entry with the fewest failures gives way.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::IpAddr;

/// A login as far as guessing is concerned.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// The account: an id, or a keyed hash of the name that was entered.
    pub account: [u8; 16],
    /// The address that it comes from.
    pub address: IpAddr,
    /// The device that the person has signed on from before, if it proved that.
    pub device: Option<[u8; 16]>,
}

/// An attempt comes too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts; the next one counts in {seconds} seconds")]
pub struct TooEarly {
    /// Seconds until an attempt is looked at: `Retry-After`.
    pub seconds: u64,
}

/// The failures of the last hours. One lock of the caller's guards it.
pub struct Guesses {
    devices: Table<[u8; 32]>,
    pairs: Table<([u8; 16], Network)>,
    addresses: Table<Network>,
    accounts: Slots,
}

impl Guesses {
    /// No failures, with room for so many entries in each of three tables; an entry has about 60 bytes. The counts of
    /// accounts are 1 MiB.
    pub fn new(most: usize) -> Self {
        Self {
            devices: Table::new(PAIR, most),
            pairs: Table::new(PAIR, most),
            addresses: Table::new(ADDRESS, most),
            accounts: Slots::new(ACCOUNT),
        }
    }

    /// Counts an attempt that is to be verified now (Unix seconds).
    ///
    /// # Errors
    /// It comes too early. It is not verified then, and does not count.
    pub fn begin(&mut self, attempt: &Attempt, now: u64) -> Result<(), TooEarly> {
        let network = Network::of(attempt.address);
        let wait = match attempt.device {
            Some(device) => self.devices.wait(&known(attempt.account, device), now),
            None => [
                self.pairs.wait(&(attempt.account, network), now),
                self.addresses.wait(&network, now),
                self.accounts.wait(&attempt.account, now),
            ]
            .into_iter()
            .max()
            .unwrap_or(0),
        };
        if wait > 0 {
            return Err(TooEarly { seconds: wait });
        }
        if let Some(device) = attempt.device {
            self.devices.count(known(attempt.account, device), now);
        } else {
            self.pairs.count((attempt.account, network), now);
            self.addresses.count(network, now);
            self.accounts.count(&attempt.account, now);
        }
        Ok(())
    }

    /// Takes an attempt back that was not looked at: it is no failure.
    pub fn withdraw(&mut self, attempt: &Attempt) {
        let network = Network::of(attempt.address);
        if let Some(device) = attempt.device {
            self.devices.take_back(&known(attempt.account, device));
        } else {
            self.pairs.take_back(&(attempt.account, network));
            self.addresses.take_back(&network);
            self.accounts.take_back(&attempt.account);
        }
    }

    /// Takes an attempt back that was right. The failures of device and account with this address are forgotten; of the
    /// address and of the account only this one attempt is, because others share them.
    pub fn succeeded(&mut self, attempt: &Attempt) {
        let network = Network::of(attempt.address);
        if let Some(device) = attempt.device {
            self.devices.tallies.remove(&known(attempt.account, device));
        } else {
            self.pairs.tallies.remove(&(attempt.account, network));
            self.addresses.take_back(&network);
            self.accounts.take_back(&attempt.account);
        }
    }
}

/// An address, or the network that one customer has of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Network(u64);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No global unicast prefix begins with zeros (RFC 4291), so that the two never meet.
            IpAddr::V4(v4) => Self(u64::from(u32::from(v4))),
            IpAddr::V6(v6) => Self(u64::try_from(u128::from(v6) >> 64).unwrap_or(0)),
        }
    }
}

fn known(account: [u8; 16], device: [u8; 16]) -> [u8; 32] {
    let mut key = [0; 32];
    for (to, from) in key.iter_mut().zip(account.into_iter().chain(device)) {
        *to = from;
    }
    key
}

/// The growth of delays.
#[derive(Clone, Copy)]
struct Rule {
    /// Failures without delay.
    free: u32,
    /// The longest delay in seconds.
    longest: u64,
    /// The time after which half of the failures are forgotten.
    half_life: u64,
}

impl Rule {
    /// The delay after so many failures: 1, 2, 4 … seconds.
    fn delay(self, failures: u32) -> u64 {
        match failures.checked_sub(self.free) {
            None | Some(0) => 0,
            Some(beyond) => 1_u64.checked_shl(beyond - 1).map_or(self.longest, |delay| delay.min(self.longest)),
        }
    }
}

#[derive(Clone, Copy)]
struct Tally {
    failures: u32,
    last: u64,
}

impl Tally {
    fn failures_at(self, now: u64, half_life: u64) -> u32 {
        let halves = now.saturating_sub(self.last) / half_life.max(1);
        u32::try_from(halves).ok().and_then(|halves| self.failures.checked_shr(halves)).unwrap_or(0)
    }

    fn wait(self, rule: Rule, now: u64) -> u64 {
        let delay = rule.delay(self.failures_at(now, rule.half_life));
        // A clock that went back starts the delay again, and never makes it longer.
        delay.saturating_sub(now.saturating_sub(self.last))
    }

    fn counted(self, rule: Rule, now: u64) -> Self {
        Self { failures: self.failures_at(now, rule.half_life).saturating_add(1), last: now }
    }
}

struct Table<K> {
    rule: Rule,
    most: usize,
    tallies: HashMap<K, Tally>,
}

impl<K: Copy + Eq + std::hash::Hash> Table<K> {
    fn new(rule: Rule, most: usize) -> Self {
        Self { rule, most: most.max(1), tallies: HashMap::new() }
    }

    fn wait(&self, key: &K, now: u64) -> u64 {
        self.tallies.get(key).map_or(0, |tally| tally.wait(self.rule, now))
    }

    fn count(&mut self, key: K, now: u64) {
        let half_life = self.rule.half_life;
        if self.tallies.len() >= self.most && !self.tallies.contains_key(&key) {
            let fewest = self.tallies.iter().min_by_key(|(_, tally)| (tally.failures_at(now, half_life), tally.last));
            if let Some(fewest) = fewest.map(|(key, _)| *key) {
                self.tallies.remove(&fewest);
            }
        }
        let tally = self.tallies.entry(key).or_insert(Tally { failures: 0, last: now });
        *tally = tally.counted(self.rule, now);
    }

    fn take_back(&mut self, key: &K) {
        if let Some(tally) = self.tallies.get_mut(key) {
            tally.failures = tally.failures.saturating_sub(1);
        }
    }
}

/// The counts of accounts. Which accounts share one is known to nobody.
struct Slots {
    rule: Rule,
    hasher: RandomState,
    tallies: Vec<Tally>,
}

/// Two of a thousand accounts share one with a probability of 0.8 %.
const SLOTS: u64 = 65_536;

impl Slots {
    fn new(rule: Rule) -> Self {
        let tallies = (0..SLOTS).map(|_| Tally { failures: 0, last: 0 }).collect();
        Self { rule, hasher: RandomState::new(), tallies }
    }

    fn slot(&self, account: &[u8; 16]) -> usize {
        usize::try_from(self.hasher.hash_one(account) % SLOTS).unwrap_or(0)
    }

    fn wait(&self, account: &[u8; 16], now: u64) -> u64 {
        self.tallies.get(self.slot(account)).map_or(0, |tally| tally.wait(self.rule, now))
    }

    fn count(&mut self, account: &[u8; 16], now: u64) {
        let (slot, rule) = (self.slot(account), self.rule);
        if let Some(tally) = self.tallies.get_mut(slot) {
            *tally = tally.counted(rule, now);
        }
    }

    fn take_back(&mut self, account: &[u8; 16]) {
        let slot = self.slot(account);
        if let Some(tally) = self.tallies.get_mut(slot) {
            tally.failures = tally.failures.saturating_sub(1);
        }
    }
}

/// One person, who mistypes, and one guesser: after ten failures one attempt in half a minute.
const PAIR: Rule = Rule { free: 5, longest: 900, half_life: 3600 };
/// An office behind one address.
const ADDRESS: Rule = Rule { free: 30, longest: 60, half_life: 600 };
/// Many addresses: NIST SP 800-63B section 3.2.2 has 100 failures at one account as the most.
const ACCOUNT: Rule = Rule { free: 100, longest: 60, half_life: 86_400 };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn attempt(account: u8, address: &str) -> Attempt {
        Attempt { account: [account; 16], address: address.parse().unwrap(), device: None }
    }

    fn at_device(account: u8, address: &str) -> Attempt {
        Attempt { device: Some([9; 16]), ..attempt(account, address) }
    }

    fn v4(number: u32) -> String {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).to_string()
    }

    /// The number of attempts of a persistent guesser that are looked at within these seconds.
    fn guesses_within(guesses: &mut Guesses, attempt: &Attempt, seconds: u64) -> usize {
        (0..seconds).filter(|second| guesses.begin(attempt, NOW + second).is_ok()).count()
    }

    #[test]
    fn guesses_at_names_that_do_not_exist_wash_no_failures_of_an_account_away() {
        let mut guesses = Guesses::new(50);
        let mut looked_at = 0;
        for round in 0..300_u32 {
            // Each time from another address, after newcomers that have more failures than the account.
            looked_at += usize::from(guesses.begin(&attempt(1, &v4(round)), NOW).is_ok());
            for invented in 0..100_u32 {
                let name = u8::try_from(2 + invented).unwrap();
                for again in 0..2 {
                    let _counted = guesses.begin(&attempt(name, &v4(1_000 + 400 * round + 2 * invented + again)), NOW);
                }
            }
        }
        assert!((95..=101).contains(&looked_at), "{looked_at}");
    }

    #[test]
    fn attempt_that_was_not_looked_at_is_no_failure() {
        let mut guesses = Guesses::new(50);
        for one in [attempt(1, "192.0.2.1"), at_device(1, "192.0.2.1")] {
            for _ in 0..200 {
                assert_eq!(guesses.begin(&one, NOW), Ok(()));
                guesses.withdraw(&one);
            }
        }
    }

    #[test]
    fn delays_double_from_the_sixth_failure_on_and_have_a_limit() {
        let mut guesses = Guesses::new(100);
        let one = attempt(1, "192.0.2.1");
        let mut now = NOW;
        for _ in 0..6 {
            assert_eq!(guesses.begin(&one, now), Ok(()));
        }
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            assert_eq!(guesses.begin(&one, now), Err(TooEarly { seconds }));
            assert_eq!(guesses.begin(&one, now + seconds - 1), Err(TooEarly { seconds: 1 }));
            now += seconds;
            assert_eq!(guesses.begin(&one, now), Ok(()), "after {seconds}");
        }
    }

    #[test]
    fn attempts_at_the_same_time_all_count() {
        let mut guesses = Guesses::new(100);
        let begun = (0..200).filter(|_| guesses.begin(&attempt(1, "192.0.2.1"), NOW).is_ok()).count();
        assert_eq!(begun, 6);
    }

    #[test]
    fn guesser_gets_few_attempts_in_a_day() {
        let mut guesses = Guesses::new(100);
        let tried = guesses_within(&mut guesses, &attempt(1, "192.0.2.1"), 86_400);
        assert!((10..150).contains(&tried), "{tried}");
    }

    #[test]
    fn stranger_does_not_lock_the_owner_out_of_his_device() {
        let mut guesses = Guesses::new(100_000);
        // From the owner's own address, and from ten thousand others.
        guesses_within(&mut guesses, &attempt(1, "192.0.2.1"), 1000);
        for number in 0..10_000 {
            let _ = guesses.begin(&attempt(1, &v4(number)), NOW + 1000);
        }
        assert!(guesses.begin(&attempt(1, "192.0.2.1"), NOW + 1000).is_err(), "the control");
        assert_eq!(guesses.begin(&at_device(1, "192.0.2.1"), NOW + 1000), Ok(()));
        // A stolen device is a guesser of its own, at this account.
        let tried = guesses_within(&mut guesses, &at_device(1, "192.0.2.1"), 3600);
        assert!(tried < 20, "{tried}");
        assert_eq!(guesses.begin(&at_device(2, "192.0.2.1"), NOW + 3600), Ok(()));
    }

    #[test]
    fn owner_at_a_new_place_is_let_through_while_a_few_strangers_guess() {
        let mut guesses = Guesses::new(100);
        for number in 0..15 {
            for _ in 0..6 {
                let _ = guesses.begin(&attempt(1, &v4(number)), NOW);
            }
        }
        assert_eq!(guesses.begin(&attempt(1, "192.0.2.1"), NOW), Ok(()));
    }

    #[test]
    fn many_addresses_share_the_limit_of_the_account() {
        let mut guesses = Guesses::new(100_000);
        let tried = (0..20_000).filter(|number| guesses.begin(&attempt(1, &v4(*number)), NOW).is_ok()).count();
        assert_eq!(tried, 101);
        assert_eq!(guesses.begin(&attempt(2, &v4(30_000)), NOW), Ok(()), "another account");
    }

    #[test]
    fn one_address_at_many_accounts_is_slowed() {
        let mut guesses = Guesses::new(1000);
        let tried = (0..200).filter(|account| guesses.begin(&attempt(*account, "192.0.2.1"), NOW).is_ok()).count();
        assert_eq!(tried, 31);
        let same_network = ["2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1"];
        let tried = (0..200).filter(|at| guesses.begin(&attempt(*at, same_network[usize::from(*at) % 3]), NOW).is_ok());
        assert_eq!(tried.count(), 31);
        assert_eq!(guesses.begin(&attempt(250, "::ffff:192.0.2.1"), NOW), Err(TooEarly { seconds: 1 }));
    }

    #[test]
    fn success_takes_back_its_own_attempt_and_no_other() {
        let mut guesses = Guesses::new(100);
        for _ in 0..50 {
            let right = attempt(1, "192.0.2.1");
            assert_eq!(guesses.begin(&right, NOW), Ok(()));
            guesses.succeeded(&right);
        }
        // A guesser with an account of his own does not get his address forgiven.
        let tried = (2..100)
            .filter(|account| {
                let own = attempt(1, "192.0.2.1");
                if guesses.begin(&own, NOW).is_ok() {
                    guesses.succeeded(&own);
                }
                guesses.begin(&attempt(*account, "192.0.2.1"), NOW).is_ok()
            })
            .count();
        assert_eq!(tried, 31);
    }

    #[test]
    fn failures_are_forgotten_by_half_lives() {
        let mut guesses = Guesses::new(100);
        let one = attempt(1, "192.0.2.1");
        for _ in 0..6 {
            assert_eq!(guesses.begin(&one, NOW), Ok(()));
        }
        assert!(guesses.begin(&one, NOW).is_err());
        for _ in 0..3 {
            assert_eq!(guesses.begin(&one, NOW + 3600), Ok(()));
        }
        assert!(guesses.begin(&one, NOW + 3600).is_err());
        assert_eq!(guesses.begin(&one, NOW + 3600 * 40), Ok(()));
    }

    #[test]
    fn flood_of_newcomers_washes_no_failures_away() {
        let mut guesses = Guesses::new(50);
        let one = attempt(1, "192.0.2.1");
        guesses_within(&mut guesses, &one, 60);
        assert!(guesses.begin(&one, NOW + 60).is_err());
        for number in 0..5000 {
            let account = u8::try_from(2 + number % 200).unwrap();
            let _ = guesses.begin(&attempt(account, &v4(number)), NOW + 60);
        }
        assert!(guesses.begin(&one, NOW + 60).is_err());
        assert!(guesses.pairs.tallies.len() <= 50);
        assert!(guesses.addresses.tallies.len() <= 50 && guesses.devices.tallies.len() <= 50);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_tables_stay_small(steps in proptest::collection::vec((any::<[u8; 16]>(), any::<[u8; 16]>(), any::<bool>(), any::<u64>()), 0..60)) {
            let mut guesses = Guesses::new(4);
            for (account, address, known, now) in steps {
                let attempt = Attempt { account, address: address.into(), device: known.then_some(account) };
                if guesses.begin(&attempt, now).is_ok() && now % 3 == 0 {
                    guesses.succeeded(&attempt);
                }
                prop_assert!(guesses.pairs.tallies.len() <= 4 && guesses.devices.tallies.len() <= 4);
            }
        }
    }
}
