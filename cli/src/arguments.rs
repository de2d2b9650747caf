//! The command line.

use clap::{Args, Parser, ValueEnum};
use client::manager_api::name::EnvironmentName;

use crate::commands::Command;
use crate::profile::ProfileName;

/// Secrets of a Splitvault installation.
///
/// A SECRET is a path (db/password), a path with its environment (production:db/password), a reference
/// (sv://production/db/password#field@2), or an id (sec_…).
#[derive(Parser)]
#[command(name = "splitvault", version = client::shared_proto::VERSION, about, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The profile, which says where the services are and who you are.
    #[arg(short, long, global = true, env = "SPLITVAULT_PROFILE", value_name = "PROFILE", value_parser = ProfileName::parse)]
    pub(crate) profile: Option<ProfileName>,
    /// The environment of paths that name none.
    #[arg(short, long, global = true, env = "SPLITVAULT_ENVIRONMENT", value_name = "ENVIRONMENT")]
    pub(crate) environment: Option<EnvironmentName>,
    /// The form of the output.
    #[arg(long, global = true, value_name = "FORM", default_value = "text")]
    pub(crate) output: Form,
    /// Do not look for the file .splitvault.toml of a folder.
    #[arg(long, global = true)]
    pub(crate) no_folder: bool,
}

/// The form of the output.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Tables and sentences for people.
    Text,
    /// One JSON document for programs.
    Json,
}
