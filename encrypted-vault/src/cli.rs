//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use service_runtime::StartError;
use service_runtime::cli::{self, print};
use service_runtime::files::refuse_files_of_others;
use service_runtime::key_folder::KeyFolder;
use service_runtime::process::DirectoryLock;
use service_runtime::sqlite;
use shared_proto::encoding::b64;
use shared_proto::identity::Owner;
use shared_proto::jwk::Thumbprint;

use crate::config::Config;
use crate::key_rotation::{Rotate, rotate_keys};
use crate::keys;
use crate::revocation::{LocalRefusal, read_refusals, refuse_command};
use crate::store::SqlStore;
use crate::{routes, run};

/// Keeps ciphertext, and opens it for a valid, unrevoked token.
#[derive(Parser)]
#[command(version = shared_proto::VERSION, about)]
struct Arguments {
    /// Configuration file.
    #[arg(long, global = true, env = "SPLITVAULT_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve.
    Run,
    /// Make the identity, the storage key and the database of a new vault.
    Init,
    /// Pin the manager's identity document (its identity.json), which was carried here.
    Pin {
        /// The document; `-` reads standard input.
        file: PathBuf,
        /// The fingerprint that the manager's `init` printed: anything else is refused. One in 64 begins with a hyphen.
        #[arg(long, value_name = "KID", allow_hyphen_values = true)]
        fingerprint: Option<Thumbprint>,
    },
    /// Check the configuration file.
    CheckConfig,
    /// Copy the database to a new file, also while the vault runs.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Put a backup in the place of the database. The vault must be stopped.
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// Copy the database to another engine or server. The vault must be stopped. An interrupted copy goes on.
    MigrateStore {
        /// The configuration with which the vault ran.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The same with the new database.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Print the `OpenAPI` document.
    Openapi,
    /// Rotate keys, or print them with their ages and what is due.
    RotateKeys {
        #[command(subcommand)]
        what: Rotate,
        /// How long to wait for the running vault, in seconds.
        #[arg(long, global = true, default_value_t = 30)]
        wait: u64,
        /// Print one JSON document.
        #[arg(long, global = true)]
        json: bool,
    },
    /// Refuse tokens here, without the manager, until it is lifted.
    Refuse {
        #[command(subcommand)]
        what: Refuse,
    },
}

#[derive(Subcommand)]
enum Refuse {
    #[command(flatten)]
    Add(Refused),
    /// Print what is refused.
    List,
    /// Lift a refusal.
    Lift {
        #[command(subcommand)]
        what: Refused,
    },
}

#[derive(Subcommand)]
enum Refused {
    /// One token.
    Token {
        /// Its jti. One in 64 begins with a hyphen.
        #[arg(allow_hyphen_values = true)]
        jti: String,
    },
    /// All tokens of a subject.
    Subject {
        /// Its id.
        subject: String,
    },
    /// Every token.
    Everything,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::main("encrypted-vault", || run(arguments))
}

fn run(arguments: Arguments) -> Result<(), StartError> {
    if matches!(arguments.command, Command::Openapi) {
        return print(&routes::openapi_json());
    }
    if let Command::MigrateStore { from, to } = &arguments.command {
        return migrate_store(from, to);
    }
    let path = cli::config_path(arguments.config.as_ref())?;
    let config = Config::load(path)?;
    if !matches!(arguments.command, Command::CheckConfig) {
        refuse_files_of_others(config.own_files())?;
    }
    match arguments.command {
        Command::Run => cli::runtime()?.block_on(run::run(config)),
        Command::Init => init(&config),
        Command::Pin { file, fingerprint } => {
            let is_manager = |owner: &Owner| matches!(owner, Owner::Manager(_));
            let kid = KeyFolder::at(&config.key_dir).pin(&file, fingerprint.as_ref(), config.mode, is_manager)?;
            print(&cli::pinned(&kid, fingerprint.is_some(), "manager"))
        }
        Command::CheckConfig => {
            config.serve.check_machine()?;
            config.location.check_files()?;
            print(&format!("{} is good: {} mode.{}", path.display(), config.mode, config.location.unchecked()))
        }
        Command::Backup { file } => {
            sqlite::backup(config.location.file_for("pg_dump")?, &file)?;
            print(&format!("{} holds the database. Keys are backed up apart from it.", file.display()))
        }
        Command::Restore { file } => {
            let _lock = DirectoryLock::acquire(&config.data_dir)?;
            let database = config.location.file_for("pg_restore")?;
            let id = keys::own_id(&config.key_dir, config.mode)?;
            let replaced = SqlStore::restore(&file, database, id, config.mode)?;
            print(
                "Restored. If an event was applied since the backup, tokens from before are dead and the vault opens again \
                 when the manager has polled it.",
            )?;
            cli::print_replaced(replaced.as_deref())
        }
        Command::RotateKeys { what, wait, json } => {
            let report = rotate_keys(&config, &what, wait)?;
            print(if json { report.json() } else { report.text() }.trim_end())
        }
        Command::Refuse { what } => refuse(&config, what),
        Command::Openapi | Command::MigrateStore { .. } => Ok(()),
    }
}

fn migrate_store(from: &Path, to: &Path) -> Result<(), StartError> {
    let (from, to) = (Config::load(from)?, Config::load(to)?);
    refuse_files_of_others(from.own_files())?;
    SqlStore::migrate(from.moved(), to.moved(), keys::own_id(&from.key_dir, from.mode)?)
}

fn init(config: &Config) -> Result<(), StartError> {
    keys::refuse_existing(&config.key_dir)?;
    run::create_data_directory(config)?;
    // The database first: without it no key is made, and `init` can be run again.
    let (id, document, transport) = SqlStore::create_with(&config.location, config.mode, || {
        let (document, transport) = keys::create(&config.key_dir, config.mode)?;
        let Owner::Vault(id) = document.id else { return Err(StartError::new("The identity is not a vault's.")) };
        Ok((id, (id, document, transport)))
    })?;
    print(&format!(
        "Made {id} ({mode} mode).\nidentity key:  {identity}\ntransport key: {transport}\n\n\
         BACK UP {keys} NOW, apart from the manager's keys and from every database backup:\n\
         without storage-keys/ nothing stored can be opened.\n\
         Then carry {keys}/identity.json to the manager's host and pin it there, and pin the manager's here:\n\
         encrypted-vault pin FILE --fingerprint KID",
        mode = config.mode,
        identity = b64(&document.key.thumbprint().0),
        transport = b64(&transport.0),
        keys = config.key_dir.display(),
    ))
}

fn refuse(config: &Config, what: Refuse) -> Result<(), StartError> {
    let (refused, lift) = match what {
        Refuse::List => return print(&read_refusals(&config.data_dir)?.lines().join("\n")),
        Refuse::Add(refused) => (refused, false),
        Refuse::Lift { what } => (what, true),
    };
    let refusal = match refused {
        Refused::Token { jti } => {
            LocalRefusal::Token(jti.parse().map_err(|_| StartError::new("That is not the jti of a token."))?)
        }
        Refused::Subject { subject } => {
            LocalRefusal::Subject(subject.parse().map_err(|_| StartError::new("That is not the id of a subject."))?)
        }
        Refused::Everything => LocalRefusal::Everything,
    };
    print(refuse_command(&config.data_dir, refusal, lift)?)
}
