//! Between HTTP and the parts of the vault: who calls, by an access token or by a signed command.

mod command;
mod token;

pub use command::{Command, CommandGate};
pub use token::ReadCall;
