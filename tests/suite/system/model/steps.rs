//! What may happen, and random sequences of it. A step names tokens, versions and backups by numbers that wrap around,
//! so that every step can be taken in every state and a sequence can be cut anywhere.

/// One step.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Store {
        path: usize,
        label: usize,
    },
    /// With an `Idempotency-Key`, and one of two bodies.
    StoreAgain {
        key: usize,
        body: usize,
    },
    StoreAsStranger,
    /// With an `if_version`, which is the newest version or is not.
    Rollback {
        at: usize,
        conflict: bool,
    },
    Mint {
        first: usize,
        second: usize,
        label: usize,
    },
    MintNewest {
        secret: usize,
    },
    RevokeToken(usize),
    RevokeSubject(usize),
    RevokeSecret(usize),
    RevokeVersion(usize),
    RevokeStrangers,
    RevokeForeignKey,
    RevokeAll,
    Destroy(usize),
    RestartManager {
        kill: bool,
    },
    RestartVault {
        kill: bool,
    },
    BackupManager,
    BackupVault,
    RestoreManager(usize),
    RestoreVault(usize),
    RestoreBoth {
        vault: usize,
        manager: usize,
    },
    Refuse(Refused, usize),
    Lift(Refused, usize),
    LiftAll,
    Reconcile,
    Rotate(Rotated),
}

/// The keys that are rotated. That changes nothing that can be seen from outside.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rotated {
    Transport,
    StorageKey,
    TokenSigning,
    RootKey,
}

/// What the vault's operator refuses.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refused {
    Token,
    Subject,
    Everything,
}

/// A sequence; the same for the same seed.
pub(super) fn sequence(seed: u64, length: usize) -> Vec<Step> {
    let mut random = Random(seed);
    (0..length).map(|_| step(&mut random)).collect()
}

fn step(random: &mut Random) -> Step {
    let kill = random.below(2) == 0;
    let (one, other) = (random.below(997), random.below(997));
    let refused = [Refused::Token, Refused::Subject, Refused::Token, Refused::Everything][one % 4];
    match random.below(100) {
        0..=12 => Step::Store { path: one % 4, label: other % 3 },
        13..=17 => Step::Rollback { at: one, conflict: other % 8 == 0 },
        18..=24 => Step::StoreAgain { key: one % 2, body: other % 5 / 4 },
        25..=28 => Step::StoreAsStranger,
        29..=38 => Step::Mint { first: one, second: other, label: one % 3 },
        39..=42 => Step::MintNewest { secret: one },
        43..=47 => Step::RevokeToken(one),
        48..=50 => Step::RevokeSubject(one % 3),
        51..=53 => Step::RevokeSecret(one),
        54..=56 => Step::RevokeVersion(one),
        57 => Step::RevokeStrangers,
        58 => Step::RevokeForeignKey,
        59 => Step::RevokeAll,
        60..=64 => Step::Destroy(one),
        65..=68 => Step::RestartManager { kill },
        69..=72 => Step::RestartVault { kill },
        73..=76 => Step::BackupManager,
        77..=80 => Step::BackupVault,
        81..=83 => Step::RestoreManager(one),
        84..=86 => Step::RestoreVault(one),
        87..=88 => Step::RestoreBoth { vault: one, manager: other },
        89..=91 => Step::Refuse(refused, other),
        92 => Step::Lift(refused, other),
        93..=94 => Step::LiftAll,
        95..=96 => Step::Reconcile,
        _ => Step::Rotate([Rotated::Transport, Rotated::StorageKey, Rotated::TokenSigning, Rotated::RootKey][one % 4]),
    }
}

/// `SplitMix64`: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit).unwrap()
    }
}
