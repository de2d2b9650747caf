//! What a user or an operator does, and what may happen to the services meanwhile.

mod crash;
mod first_secret;
mod idempotency;
mod peer_down;
mod values;
