//! A model of secrets: random sequences of what callers do, with faults of the database and of the vault, starts anew, and two
//! callers at once, compared after each step with a reference in plain Rust.
//!
//! `SPLITVAULT_SECRETS_MODEL_SEED` replays one sequence (a failure names its seed), `SPLITVAULT_SECRETS_MODEL_STEPS` sets its
//! length, and `SPLITVAULT_SECRETS_MODEL_SECONDS` for how long others follow, with the next seeds. `SPLITVAULT_TEST_ENGINE=postgres`
//! does it on the server of the environment.

#![expect(clippy::wildcard_enum_match_arm, reason = "what is said of one act is not said of the others")]

mod acts;
mod asking;
mod maybe;
mod pairs;
mod run;
mod secret;
mod seeing;
mod steps;
mod world;

use std::time::{Duration, Instant};

use self::run::{Kind, Run};

#[actix_web::test]
async fn random_sequences_end_as_the_reference_says() {
    sequences(Kind::Sound, 90).await;
}

#[actix_web::test]
async fn faults_and_starts_anew_leave_what_was_answered_and_nothing_in_between() {
    sequences(Kind::Faulty, 45).await;
}

#[actix_web::test]
async fn two_callers_at_once_get_what_one_after_the_other_would_have() {
    sequences(Kind::Pairs, 40).await;
}

async fn sequences(kind: Kind, length: u64) {
    let (first, length) = (setting("SEED").unwrap_or(1), setting("STEPS").unwrap_or(length));
    let end = Instant::now() + Duration::from_secs(setting("SECONDS").unwrap_or_default());
    for seed in first.. {
        let _told_on_failure = Replay(seed);
        let mut run = Run::new(kind, seed).await;
        for _ in 0..length {
            if let Err(difference) = run.step().await {
                panic!("{difference}\nafter {:#?}", run.steps);
            }
        }
        run.stop().await;
        if Instant::now() >= end {
            return;
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(format!("SPLITVAULT_SECRETS_MODEL_{name}")).ok()?;
    Some(text.parse().expect("a number"))
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay it with SPLITVAULT_SECRETS_MODEL_SEED={}", self.0);
        }
    }
}
