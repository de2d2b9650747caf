//! The commands, one file for those of a kind.

mod completion;
mod describe;
mod export;
mod get;
mod import;
mod init;
mod lifecycle;
mod list;
mod login;
mod place;
mod profiles;
mod put;
mod rotation;
mod run;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// What follows when a command is done.
pub(crate) enum Ending {
    /// Nothing.
    Done,
    /// A part of what was asked was refused, which the output says.
    Refused,
    /// A program takes the place of this one.
    Become(std::process::Command),
}

macro_rules! commands {
    ($($variant:ident($arguments:ty),)*) => {
        /// What is to be done. Each says in its own file what it is for.
        #[derive(Subcommand)]
        pub(crate) enum Command {
            $($variant($arguments),)*
        }

        /// Does it.
        pub(crate) async fn run(command: Command, context: &mut Context) -> Result<Ending, Failure> {
            match command {
                $(Command::$variant(arguments) => Box::pin(arguments.run(context)).await,)*
            }
        }
    };
}

commands! {
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    Profile(profiles::Profiles),
    Init(init::Init),
    Get(get::Get),
    Put(put::Put),
    List(list::List),
    Search(list::Search),
    Describe(describe::Describe),
    History(describe::History),
    Diff(describe::Diff),
    Rollback(rotation::Rollback),
    Rotate(rotation::Rotation),
    Verify(rotation::Verify),
    Promote(rotation::Promotion),
    Finish(rotation::Finish),
    Delete(lifecycle::Delete),
    Undelete(lifecycle::Undelete),
    Destroy(lifecycle::Destroy),
    Move(place::Move),
    Copy(place::Copying),
    Tag(place::Tag),
    Run(run::Run),
    Export(export::Export),
    Import(import::Import),
    Completion(completion::Completion),
}

/// An `Idempotency-Key` of this run, so that what is sent again is carried out once.
pub(crate) fn new_key() -> String {
    use client::shared_proto::encoding::{b64, random};
    format!("cli-{}", b64(&random::<16>()))
}
