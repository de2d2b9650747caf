//! The layer between HTTP and the vault's parts: authenticates callers by an access token or by a signed command.

mod command;
mod token;

pub use command::{Command, CommandBody, CommandGate};
pub use token::ReadCall;
