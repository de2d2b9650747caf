//! What a user or an operator does, and what may happen to the services meanwhile.

mod backup;
mod clocks;
mod crash;
mod descriptors;
mod disk_faults;
mod first_secret;
mod floods;
mod generate_keys;
mod idempotency;
mod key_folder;
mod local_refusals;
mod log_streams;
mod minimal_machines;
mod model;
mod odd_requests;
mod operator;
mod other_user;
mod peer_down;
mod request_log;
mod rotation;
mod shutdown;
mod signals;
mod start_refusals;
mod tls;
mod two_managers;
mod values;
