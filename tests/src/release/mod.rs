//! Installations that an earlier release left: how one is filled, kept as text and laid down again.
//!
//! A kept release is a folder of `tests/releases`: the two databases as statements, for each engine, the key folders, and
//! `known.json` with what its makers know of it.

mod kept;
mod populated;

pub use kept::{keep, kept_at, lay_down};
pub use populated::{Known, builder, populate, shown};
