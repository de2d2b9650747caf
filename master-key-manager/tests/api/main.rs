//! The manager's HTTP interface against a vault that the tests control: one that is honest, absent, silent, or lying.

#[cfg(test)]
mod adopted;
#[cfg(test)]
mod approvals;
#[cfg(test)]
mod approved_comparisons;
#[cfg(test)]
mod approved_reads;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod audit_reading;
#[cfg(test)]
mod authentication;
#[cfg(test)]
mod authorization;
#[cfg(test)]
mod bulk;
#[cfg(test)]
mod bulk_rotation;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod deletion;
#[cfg(test)]
mod deletion_races;
#[cfg(test)]
mod environments;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod feed_snapshot;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod fingerprints;
#[cfg(test)]
mod flooding;
#[cfg(test)]
mod frozen_rotation;
#[cfg(test)]
mod given_up_creates;
#[cfg(test)]
mod groups;
#[cfg(test)]
mod hidden_secrets;
#[cfg(test)]
mod idempotency;
#[cfg(test)]
mod importing;
#[cfg(test)]
mod incident_notices;
#[cfg(test)]
mod incidents;
#[cfg(test)]
mod integrity;
#[cfg(test)]
mod key_sets;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod known_environments;
#[cfg(test)]
mod least_strength;
#[cfg(test)]
mod long_requests;
#[cfg(test)]
mod model;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod names;
#[cfg(test)]
mod narrow_callers;
#[cfg(test)]
mod oauth;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod owners;
#[cfg(test)]
mod people;
#[cfg(test)]
mod people_endings;
#[cfg(test)]
mod people_limits;
#[cfg(test)]
mod people_page;
#[cfg(test)]
mod places;
#[cfg(test)]
mod planted;
#[cfg(test)]
mod planted_life;
#[cfg(test)]
mod policy_lines;
#[cfg(test)]
mod policy_questions;
#[cfg(test)]
mod policy_versions;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod races;
#[cfg(test)]
mod rate_limits;
#[cfg(test)]
mod read_limits;
#[cfg(test)]
mod references;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod rights;
#[cfg(test)]
mod rollback;
#[cfg(test)]
mod root_keys;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod same_values;
#[cfg(test)]
mod secret_rotation;
#[cfg(test)]
mod secret_rotation_crashes;
#[cfg(test)]
mod service_keys;
#[cfg(test)]
mod services;
#[cfg(test)]
mod shown_freezes;
#[cfg(test)]
mod store_move;
#[cfg(test)]
mod storing;
#[cfg(test)]
mod support;
#[cfg(test)]
mod taking_away;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trusts;
#[cfg(test)]
mod twins;
#[cfg(test)]
mod unsettled;
#[cfg(test)]
mod version_approvals;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod visible_lists;
