//! What an attacker tries.

mod both_stolen;
mod canary;
mod crash_run;
mod database_killed;
mod forged_feed;
mod kill_cycles;
mod lives;
mod manager_stolen;
mod power_loss;
mod restored;
mod revoked_means_refused;
mod stolen_token;
mod stranger_probes;
mod tables_read;
mod traces;
mod treasure;
mod value_guessed;
mod vault_database_altered;
mod vault_database_stolen;
mod vault_stolen;
mod vault_without_authorization;
mod wrong_kind_of_token;
