//! What the tests are made of: keys, a manager, tokens written by hand, and a vault with its directories.

mod draft;
mod http;
mod keys;
mod manager;
mod target;
mod world;

pub(crate) use draft::{Draft, raw_jws, seal_by_hand};
pub(crate) use http::{Reply, command, get, send, send_held};
pub(crate) use keys::{rsa_pem, signing_keys, transport_pem};
pub(crate) use manager::{Manager, Secret};
pub(crate) use target::Target;
pub(crate) use world::{NOW, World, copy_database, put};
