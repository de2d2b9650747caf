//! Weaknesses for the controls of the drills, chosen by `SPLITVAULT_SABOTAGE` (a list separated by commas). Compiled
//! only with the feature `sabotage`, which no release build has.

/// Whether a weakness is switched on.
pub fn is_on(name: &str) -> bool {
    std::env::var("SPLITVAULT_SABOTAGE").is_ok_and(|list| list.split(',').any(|word| word.trim() == name))
}
