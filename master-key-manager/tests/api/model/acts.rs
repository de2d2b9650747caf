//! Acts of callers, and random sequences of them.

use super::world::World;

/// Something that a caller asks for. Secrets are named by their place in the reference.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Create {
        path: String,
        value: String,
        team: Option<&'static str>,
    },
    Write {
        secret: usize,
        value: String,
        pending: bool,
        if_version: Option<u64>,
        ends: Option<u64>,
    },
    RollBack {
        secret: usize,
        version: u64,
        if_version: Option<u64>,
    },
    Stage {
        secret: usize,
        version: u64,
        give: bool,
    },
    Rotate {
        secret: usize,
        value: String,
        how: How,
    },
    Verify(usize),
    Promote {
        secret: usize,
        unverified: bool,
    },
    Finish(usize),
    Repair {
        secret: usize,
        abandon: bool,
    },
    Change {
        secret: usize,
        change: Change,
    },
    Delete(usize),
    Undelete(usize),
    Destroy(usize),
    DestroyVersions {
        secret: usize,
        versions: Vec<u64>,
    },
    Compromise {
        secret: usize,
        freeze: bool,
    },
    Close(usize),
    Bulk(Vec<Act>),
    /// Of [`Act::Put`].
    Import(Vec<Act>),
    /// A value for a path; a part of an import.
    Put {
        path: String,
        value: String,
    },
}

/// The way of a rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Activate,
    Staged,
    Emergency,
}

/// A change of a secret that makes no version.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Path(String),
    Team(Option<&'static str>),
    ServiceOnly(bool),
    Keeps(Option<u64>),
    Description(Option<String>),
}

impl Act {
    /// The acts of which it consists.
    pub(super) fn parts(&self) -> Vec<Self> {
        match self {
            Self::Bulk(parts) | Self::Import(parts) => parts.clone(),
            one => vec![one.clone()],
        }
    }

    /// The secret that it is about, if that is there already.
    pub(super) fn secret(&self) -> Option<usize> {
        match self {
            Self::Write { secret, .. }
            | Self::RollBack { secret, .. }
            | Self::Stage { secret, .. }
            | Self::Rotate { secret, .. }
            | Self::Promote { secret, .. }
            | Self::Repair { secret, .. }
            | Self::Change { secret, .. }
            | Self::DestroyVersions { secret, .. }
            | Self::Compromise { secret, .. }
            | Self::Verify(secret)
            | Self::Finish(secret)
            | Self::Delete(secret)
            | Self::Undelete(secret)
            | Self::Destroy(secret)
            | Self::Close(secret) => Some(*secret),
            Self::Create { .. } | Self::Put { .. } | Self::Bulk(_) | Self::Import(_) => None,
        }
    }

    /// True if it makes a version, which an `Idempotency-Key` stands for.
    pub(super) fn writes(&self) -> bool {
        matches!(
            self,
            Self::Create { .. } | Self::Put { .. } | Self::Write { .. } | Self::RollBack { .. } | Self::Rotate { .. }
        )
    }
}

/// The source of a sequence: `SplitMix64`, small, and the same everywhere.
pub(super) struct Random {
    state: u64,
    values: u64,
}

const TEAMS: [Option<&str>; 3] = [None, Some("a"), Some("b")];
const PATHS: [&str; 5] = ["m/a", "m/b", "n/a", "n/a/deep", "n.c"];
/// An end of versions that no test lives to see.
pub(super) const FAR: u64 = 4_000_000_000;

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed, values: 0 }
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()].clone()
    }

    fn value(&mut self) -> String {
        self.values += 1;
        format!("value {}", self.values)
    }

    fn path(&mut self) -> String {
        self.pick(&PATHS).to_owned()
    }

    /// An act of one caller.
    pub(super) fn act(&mut self, world: &World) -> Act {
        match self.below(20) {
            0 => {
                let count = 1 + self.below(4);
                Act::Bulk((0..count).map(|_| self.part(world)).collect())
            }
            1 => {
                let mut paths: Vec<&str> = PATHS.iter().copied().filter(|path| !path.contains('.')).collect();
                paths.retain(|_| self.one_in(2));
                let puts = paths.into_iter().map(|path| Act::Put { path: path.to_owned(), value: self.value() });
                let puts: Vec<Act> = puts.collect();
                if puts.is_empty() { self.single(world) } else { Act::Import(puts) }
            }
            _ => self.single(world),
        }
    }

    /// An operation that `:bulk` has, too.
    fn part(&mut self, world: &World) -> Act {
        loop {
            let act = self.single(world);
            let is_in_bulk = match &act {
                Act::Create { .. }
                | Act::Write { .. }
                | Act::RollBack { .. }
                | Act::Change { .. }
                | Act::Delete(_)
                | Act::Undelete(_)
                | Act::Destroy(_)
                | Act::DestroyVersions { .. } => true,
                Act::Stage { .. }
                | Act::Rotate { .. }
                | Act::Verify(_)
                | Act::Promote { .. }
                | Act::Finish(_)
                | Act::Repair { .. }
                | Act::Compromise { .. }
                | Act::Close(_)
                | Act::Put { .. }
                | Act::Bulk(_)
                | Act::Import(_) => false,
            };
            if is_in_bulk {
                return act;
            }
        }
    }

    fn single(&mut self, world: &World) -> Act {
        // Those that are there are more often asked about than those that are gone.
        let named: Vec<usize> = (0..world.secrets.len()).filter(|one| world.secrets[*one].id.is_some()).collect();
        if named.is_empty() || self.one_in(10) {
            return Act::Create { path: self.path(), value: self.value(), team: self.pick(&TEAMS) };
        }
        let lives = |one: &usize| world.secrets[*one].path.len() < 12;
        let living: Vec<usize> = named.iter().copied().filter(lives).collect();
        let any = living.is_empty() || self.one_in(12);
        let secret = self.pick(if any { &named } else { &living });
        self.about(secret, world)
    }

    /// An act on a secret.
    pub(super) fn about(&mut self, secret: usize, world: &World) -> Act {
        let known = &world.secrets[secret];
        let version = 1 + self.below(known.last() + 1);
        let if_version = match self.below(8) {
            0 => Some(version),
            1 => known.current,
            _ => None,
        };
        if known.pending.is_some() && self.one_in(4) {
            // What is rare otherwise: another version became current while one waits.
            return match self.below(3) {
                0 => Act::Write { secret, value: self.value(), pending: false, if_version: None, ends: None },
                1 => Act::Verify(secret),
                _ => Act::Promote { secret, unverified: self.one_in(2) },
            };
        }
        let change = |change| Act::Change { secret, change };
        match self.below(100) {
            0..=16 => {
                let (pending, ends) = (self.one_in(4), self.one_in(5).then_some(FAR));
                Act::Write { secret, value: self.value(), pending, if_version, ends }
            }
            17..=24 => Act::RollBack { secret, version, if_version },
            25..=29 => Act::Stage { secret, version, give: self.one_in(2) },
            30..=39 => {
                let how = [How::Activate, How::Activate, How::Staged, How::Staged, How::Emergency];
                Act::Rotate { secret, value: self.value(), how: self.pick(&how) }
            }
            40..=44 => Act::Verify(secret),
            45..=50 => Act::Promote { secret, unverified: self.one_in(3) },
            51..=57 => Act::Finish(secret),
            58..=61 => Act::Repair { secret, abandon: self.one_in(2) },
            62..=66 => change(Change::Path(self.path())),
            67..=69 => change(Change::Team(self.pick(&TEAMS))),
            70 => change(Change::ServiceOnly(self.one_in(2))),
            71 => change(Change::Keeps(self.one_in(2).then_some(1_000))),
            72..=73 => change(Change::Description(self.one_in(2).then(|| "d".to_owned()))),
            74..=79 => Act::Delete(secret),
            80..=84 => Act::Undelete(secret),
            85..=88 => Act::Destroy(secret),
            89..=92 => {
                let versions = vec![version, 1 + self.below(known.last() + 1)];
                Act::DestroyVersions { secret, versions }
            }
            93..=96 => Act::Compromise { secret, freeze: self.one_in(2) },
            _ if known.incident.is_some() => Act::Close(secret),
            _ => Act::Repair { secret, abandon: false },
        }
    }
}
