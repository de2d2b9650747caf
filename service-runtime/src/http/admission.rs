//! Slots: the bound of connections, requests or bytes of answers at once, in all and for one peer.
//!
//! Guarantees that a peer that takes all of its slots leaves others for other peers. A caller that finds no slot is
//! refused at once: there is no queue.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::{HttpMessage as _, HttpRequest};
use shared_proto::error::ErrorCode;

use crate::Refusal;

/// A number of slots.
#[derive(Debug)]
pub(super) struct Slots {
    all: usize,
    per_peer: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_peer: HashMap<Peer, usize>,
}

/// A peer: an IPv4 address, or the /64 of an IPv6 address, because a subscriber chooses the rest of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Peer(IpAddr);

/// Slots that are taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    peer: Peer,
    count: usize,
}

/// No slot is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All slots are taken.
    All,
    /// All slots of this peer are taken.
    Peer,
}

/// The slot of a request that claims to be a command. It is empty until the command is verified.
#[derive(Debug)]
pub(super) struct CommandSlot {
    slots: Arc<Slots>,
    peer: IpAddr,
    taken: Mutex<Option<Slot>>,
}

impl CommandSlot {
    pub(super) fn new(slots: Arc<Slots>, peer: IpAddr) -> Self {
        Self { slots, peer, taken: Mutex::default() }
    }

    fn take(&self) -> Result<(), Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.is_none() {
            *taken = Some(self.slots.take(self.peer, 1)?);
        }
        Ok(())
    }
}

/// Takes a slot for a command whose sender is verified. Call it before its body is read.
///
/// # Errors
/// `overloaded`: too many commands are in work.
pub fn admit_command(req: &HttpRequest) -> Result<(), Refusal> {
    // None where no server runs: in tests of a handler alone.
    let slot = req.extensions().get::<Arc<CommandSlot>>().cloned();
    let taken = slot.map_or(Ok(()), |slot| slot.take());
    taken.map_err(|full| Refusal::new(ErrorCode::Overloaded).cause(full.as_str()))
}

impl Full {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all slots are taken",
            Self::Peer => "this peer has taken all slots of one peer",
        }
    }
}

impl Slots {
    pub(super) fn new(all: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { all, per_peer, taken: Mutex::default() })
    }

    pub(super) fn take(self: &Arc<Self>, address: IpAddr, count: usize) -> Result<Slot, Full> {
        let mut slot = Slot { slots: Arc::clone(self), peer: Peer::of(address), count: 0 };
        slot.resize(count)?;
        Ok(slot)
    }
}

impl Slot {
    /// Takes more slots, or gives some back. Nothing changes when there are too few.
    pub(super) fn resize(&mut self, count: usize) -> Result<(), Full> {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.by_peer.get(&self.peer).copied().unwrap_or(0);
        let all = taken.all.saturating_sub(self.count).saturating_add(count);
        let by_peer = of_peer.saturating_sub(self.count).saturating_add(count);
        if count > self.count && all > self.slots.all {
            return Err(Full::All);
        }
        if count > self.count && by_peer > self.slots.per_peer {
            return Err(Full::Peer);
        }
        taken.all = all;
        // Or else the table would remember every address that ever came.
        if by_peer == 0 {
            taken.by_peer.remove(&self.peer);
        } else {
            taken.by_peer.insert(self.peer, by_peer);
        }
        drop(taken);
        self.count = count;
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let _less_always_fits = self.resize(0);
    }
}

impl Peer {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(slots: &Arc<Slots>, address: &str) -> Result<Slot, Full> {
        slots.take(address.parse().unwrap(), 1)
    }

    #[test]
    fn one_peer_cannot_take_all_places_and_gives_its_own_back() {
        let slots = Slots::new(3, 2);
        let first = take(&slots, "10.0.0.1").unwrap();
        let _second = take(&slots, "::ffff:10.0.0.1").unwrap();
        assert_eq!(take(&slots, "10.0.0.1").unwrap_err(), Full::Peer);
        let _other = take(&slots, "2001:db8::1").unwrap();
        assert_eq!(take(&slots, "10.0.0.2").unwrap_err(), Full::All);
        drop(first);
        let _again = take(&slots, "10.0.0.1").unwrap();
        assert_eq!(slots.taken.lock().unwrap().by_peer.len(), 2);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one_peer_and_empty_entries_are_forgotten() {
        let slots = Slots::new(9, 1);
        let one = take(&slots, "2001:db8:0:1::1").unwrap();
        assert_eq!(take(&slots, "2001:db8:0:1:ffff::2").unwrap_err(), Full::Peer);
        let other = take(&slots, "2001:db8:0:2::1").unwrap();
        drop((one, other));
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
    }

    #[test]
    fn bytes_are_counted_and_what_does_not_fit_changes_nothing() {
        let (bytes, peer) = (Slots::new(100, 60), "10.0.0.1".parse().unwrap());
        let mut answer = bytes.take(peer, 50).unwrap();
        assert_eq!(answer.resize(61).unwrap_err(), Full::Peer);
        assert_eq!(bytes.take(peer, 11).unwrap_err(), Full::Peer);
        let _other = bytes.take("10.0.0.2".parse().unwrap(), 45).unwrap();
        assert_eq!(answer.resize(60).unwrap_err(), Full::All);
        answer.resize(20).unwrap();
        let _more = bytes.take(peer, 35).unwrap();
        assert_eq!(bytes.taken.lock().unwrap().all, 100);
    }
}
