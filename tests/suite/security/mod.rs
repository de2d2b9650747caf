//! What an attacker tries.

mod both_stolen;
mod manager_stolen;
mod traces;
mod treasure;
mod vault_database_altered;
mod vault_database_stolen;
mod vault_stolen;
mod vault_without_authorization;
