//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use manager_api::name::{AccountName, DisplayName, EmailAddress};
use manager_api::policy::Role;
use service_runtime::cli::{self, print, runtime};
use service_runtime::files::{create_private, refuse_files_of_others};
use service_runtime::key_folder::KeyFolder;
use service_runtime::process::DirectoryLock;
use service_runtime::{StartError, sqlite, telemetry};
use shared_proto::credential::PlainCredential;
use shared_proto::encoding::b64;
use shared_proto::identity::{Mode, Owner};
use shared_proto::jwk::Thumbprint;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::installation::{migrate_store, restore};
use crate::key_rotation::{RotateKeys, rotate_keys};
use crate::people::{NewPerson, add_person};
use crate::vault_client::check_client;
use crate::{init, routes, run};

/// The master-key-manager of Splitvault.
#[derive(Debug, Parser)]
#[command(version = shared_proto::VERSION, about)]
struct Cli {
    /// The configuration file.
    #[arg(long, value_name = "FILE", global = true, env = "SPLITVAULT_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Run,
    /// Make the keys, the database and the administrator of a new installation.
    Init(Init),
    /// Manage the administrator.
    Admin {
        #[command(subcommand)]
        command: Admin,
    },
    /// Manage people.
    Person {
        #[command(subcommand)]
        command: Person,
    },
    /// Pin the vault's identity document (its identity.json), which was carried here.
    Pin {
        /// The document; `-` reads standard input.
        file: PathBuf,
        /// The fingerprint that the vault's `init` printed: anything else is refused. One in 64 begins with a hyphen.
        #[arg(long, value_name = "KID", allow_hyphen_values = true)]
        fingerprint: Option<Thumbprint>,
    },
    /// Check the configuration file.
    CheckConfig,
    /// Copy the database into a new file; the service may run.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Look at principals and policy of the database, and confirm them after a restore; the service must not run.
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Put a backup in the place of the database; the service must not run.
    Restore {
        /// The backup.
        file: PathBuf,
    },
    /// Copy the database to another engine or server; the service must not run. An interrupted copy goes on.
    MigrateStore {
        /// The configuration with which the service ran.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The same with the new database.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Exchange keys while the service runs, and report on them.
    RotateKeys(RotateKeys),
    /// Print the `OpenAPI` document.
    Openapi,
}

#[derive(Debug, Args)]
struct Init {
    /// Must be the mode of the configuration file.
    #[arg(long)]
    mode: Option<ModeArgument>,
    #[command(flatten)]
    credential: CredentialOutput,
}

#[derive(Debug, Subcommand)]
enum Admin {
    /// Make a new administrator credential and disable the old one; the service must not run.
    Reset {
        #[command(flatten)]
        credential: CredentialOutput,
    },
}

#[derive(Debug, Subcommand)]
enum Person {
    /// Make a person with a code for the first login; the service must not run. The API makes all others.
    Add(AddPerson),
}

#[derive(Debug, Args)]
struct AddPerson {
    /// The name of the account: a-z, 0-9, -, _ and .
    #[arg(long, value_parser = account)]
    name: AccountName,
    /// The name for people; default the name of the account.
    #[arg(long, value_parser = display_name)]
    display_name: Option<DisplayName>,
    /// The e-mail address; nothing is sent to it.
    #[arg(long, value_parser = email)]
    email: Option<EmailAddress>,
    /// A role for the whole installation: `super_admin`, or another one.
    #[arg(long, value_parser = role)]
    role: Option<Role>,
    /// Write the code to this new file instead of printing it.
    #[arg(long, value_name = "FILE")]
    code_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Policy {
    /// Print who is known, and whether this manager wrote it last.
    Show,
    /// Let what the database holds hold from now on, though this manager had something newer.
    Confirm {
        /// The word that `show` printed with it.
        word: String,
    },
}

#[derive(Debug, Args)]
struct CredentialOutput {
    /// Write the administrator credential to this new file instead of printing it.
    #[arg(long, value_name = "FILE")]
    credential_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeArgument {
    Development,
    Production,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Cli::parse();
    cli::main("master-key-manager", || execute(arguments))
}

fn execute(cli: Cli) -> Result<(), StartError> {
    let load = || Config::load(cli::config_path(cli.config.as_ref())?);
    let config = || {
        let config = load()?;
        refuse_files_of_others(config.own_files())?;
        Ok(config)
    };
    match cli.command {
        Command::Run => {
            let config = config()?;
            telemetry::init(Some(&config.get().log));
            runtime()?.block_on(run::run(&config))
        }
        Command::Init(arguments) => make(&config()?, &arguments),
        Command::Admin { command: Admin::Reset { credential } } => {
            let config = config()?;
            refuse_existing_file(&credential)?;
            let made = runtime()?.block_on(init::reset_administrator(&config))?;
            hand_over(&made, &credential)
        }
        Command::Person { command: Person::Add(asked) } => person_add(&config()?, asked),
        Command::Policy { command } => {
            let confirm = match &command {
                Policy::Show => None,
                Policy::Confirm { word } => Some(word.as_str()),
            };
            print(&runtime()?.block_on(init::policy(&config()?, confirm))?)
        }
        Command::Pin { file, fingerprint } => {
            let config = config()?;
            let is_vault = |owner: &Owner| matches!(owner, Owner::Vault(_));
            let folder = KeyFolder::at(&config.get().key_dir);
            let kid = folder.pin(&file, fingerprint.as_ref(), config.mode(), is_vault)?;
            print(&cli::pinned(&kid, fingerprint.is_some(), "vault"))
        }
        Command::CheckConfig => {
            let config = load()?;
            config.serve().check_machine()?;
            check_client(&config.get().vault_url, config.get().vault_tls.as_ref())?;
            config.location().check_files()?;
            print(&format!("The configuration is in order ({} mode).{}", config.mode(), config.location().unchecked()))
        }
        Command::Backup { file } => {
            sqlite::backup(config()?.location().file_for("pg_dump")?, &file)?;
            print(&format!("Copied the database to {}.", file.display()))
        }
        Command::Restore { file } => {
            let config = config()?;
            let _lock = DirectoryLock::acquire(&config.get().data_dir)?;
            let replaced = restore(&config, &file)?;
            print("The database is restored. At its start the manager takes later events back from the vault.")?;
            cli::print_replaced(replaced.as_deref())
        }
        Command::MigrateStore { from, to } => {
            let (from, to) = (Config::load(&from)?, Config::load(&to)?);
            refuse_files_of_others(from.own_files())?;
            migrate_store(&from, &to)
        }
        Command::RotateKeys(arguments) => rotate_keys(&config()?, arguments),
        Command::Openapi => {
            let text = serde_json::to_string_pretty(&routes::openapi_document());
            print(&text.map_err(|_| StartError::new("The document cannot be written."))?)
        }
    }
}

fn make(config: &Config, arguments: &Init) -> Result<(), StartError> {
    let asked = arguments.mode.map(|mode| match mode {
        ModeArgument::Development => Mode::Development,
        ModeArgument::Production => Mode::Production,
    });
    if let Some(asked) = asked.filter(|asked| *asked != config.mode()) {
        return Err(StartError::new(format!(
            "--mode {asked} contradicts the configuration file, which says {}; correct one of them.",
            config.mode()
        )));
    }
    refuse_existing_file(&arguments.credential)?;
    let made = runtime()?.block_on(init::init(config))?;
    let environments: Vec<_> =
        made.environments.iter().map(|known| format!("Environment {}: {}\n", known.name, known.id)).collect();
    let text = format!(
        "Made {manager} ({mode} mode).\nidentity key:      {identity}\ntoken signing key: {token_signing}\n\
         {environments}\nBACK UP {keys} NOW, apart from the vault's keys and from every database backup:\n\
         without root-keys/ no stored value can ever be opened again; whoever has it and the vault's keys has every \
         value.\nThen carry {keys}/identity.json to the vault's host and pin it there, and pin the vault's here:\n\
         master-key-manager pin FILE --fingerprint KID\n",
        identity = b64(&made.identity.0),
        token_signing = b64(&made.token_signing.0),
        manager = made.manager,
        mode = config.mode(),
        environments = environments.concat(),
        keys = config.get().key_dir.display(),
    );
    print(&text)?;
    hand_over(&made.credential, &arguments.credential)
}

fn hand_over(credential: &PlainCredential, output: &CredentialOutput) -> Result<(), StartError> {
    if let Some(path) = &output.credential_file {
        init::write_credential(path, credential)?;
        return print(&format!("The administrator credential is in {}.", path.display()));
    }
    // EXPOSE: the only time that it is shown.
    let text = credential.expose_text();
    print("The administrator credential, shown this once:")?;
    print(&text)
}

fn account(text: &str) -> Result<AccountName, String> {
    AccountName::parse(text).map_err(|error| error.0.to_owned())
}

fn display_name(text: &str) -> Result<DisplayName, String> {
    DisplayName::parse(text).map_err(|error| error.0.to_owned())
}

fn email(text: &str) -> Result<EmailAddress, String> {
    EmailAddress::parse(text).map_err(|error| error.0.to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "there is no such role".to_owned())
}

fn person_add(config: &Config, asked: AddPerson) -> Result<(), StartError> {
    let AddPerson { name, display_name, email, role, code_file } = asked;
    if let Some(path) = code_file.as_deref().filter(|path| std::fs::symlink_metadata(path).is_ok()) {
        return Err(exists(path));
    }
    let made = runtime()?.block_on(add_person(config, NewPerson { name: name.clone(), display_name, email, role }));
    let (id, code) = made?;
    print(&format!("Made the person {name} ({id})."))?;
    if let Some(path) = &code_file {
        create_private(path, &Zeroizing::new([code.as_bytes(), b"\n"].concat()))?;
        return print(&format!("The enrolment code is in {}; it counts for an hour.", path.display()));
    }
    print("The enrolment code, shown this once. It counts for an hour, and is redeemed with a password:")?;
    print(&code)
}

fn refuse_existing_file(output: &CredentialOutput) -> Result<(), StartError> {
    match output.credential_file.as_deref().filter(|path| std::fs::symlink_metadata(path).is_ok()) {
        Some(path) => Err(exists(path)),
        None => Ok(()),
    }
}

fn exists(path: &Path) -> StartError {
    StartError::new(format!("{} exists and is not overwritten; choose another file.", path.display()))
}
