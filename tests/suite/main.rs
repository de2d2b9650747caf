//! The system tests: both services together, seen from outside.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod security;
#[cfg(test)]
mod system;
