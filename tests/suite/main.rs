//! The system tests: both services together, seen from outside.

mod evidence;
mod security;
mod system;
