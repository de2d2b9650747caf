//! A model of the two services: random sequences of what users and operators do, compared after each step with a
//! reference in plain Rust.
//!
//! `SPLITVAULT_MODEL_SEED` replays one sequence (a failure names its seed), `SPLITVAULT_MODEL_STEPS` sets its length and
//! `SPLITVAULT_MODEL_SEQUENCES` how many follow, with the next seeds.

mod reference;
mod revoking;
mod services;
mod steps;
mod writing;

use system_tests::Installation;

use self::services::Services;

#[tokio::test]
async fn random_sequences_end_as_the_reference_says() {
    let (first, length) = (setting("SEED", 1), setting("STEPS", 30));
    for seed in first..first + setting("SEQUENCES", 2) {
        let _told_on_failure = Replay(seed);
        let installation = Installation::builder().manager_setting("token_life_seconds = 2700").running().await;
        if let Err(difference) = run(installation, seed, length).await {
            panic!("{difference}");
        }
    }
}

/// The control: a vault that checks no revocation differs from the reference.
#[tokio::test]
async fn vault_that_does_not_check_is_told_from_the_reference() {
    let installation = Installation::builder().sabotaged("no_authorization", "").running().await;
    assert!(run(installation, 1, 30).await.is_err());
}

async fn run(installation: Installation, seed: u64, length: u64) -> Result<(), String> {
    let mut services = Services::new(installation);
    let mut taken = Vec::new();
    for step in steps::sequence(seed, usize::try_from(length).unwrap()) {
        taken.push(step);
        let agreed = match services.take(step).await {
            Ok(()) => services.compare().await,
            Err(difference) => Err(difference),
        };
        agreed.map_err(|difference| format!("{difference}\nafter the steps {taken:#?}"))?;
    }
    Ok(())
}

fn setting(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("SPLITVAULT_MODEL_{name}"));
    text.map_or(default, |text| text.parse().expect("a number"))
}

struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("replay it with SPLITVAULT_MODEL_SEED={} SPLITVAULT_MODEL_SEQUENCES=1", self.0);
        }
    }
}
