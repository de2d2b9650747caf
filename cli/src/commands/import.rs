//! Storing the values of a document.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use client::manager_api::import::{
    DocumentFormat, ExistingSecrets, ImportAnswer, ImportOutcome, ImportSecrets, ImportedSecret, MAX_DOCUMENT_BYTES,
};
use client::manager_api::kind::SecretKind;
use client::manager_api::name::Note;
use zeroize::Zeroizing;

use crate::commands::{Ending, new_key};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::prompt;

/// Store the values of a document: a .env file, or JSON or YAML with nested objects.
///
/// Each value is stored by itself; one that is refused keeps none of the others away, and the exit code is 1 then.
#[derive(Args)]
pub(crate) struct Import {
    /// The document; - is standard input.
    file: PathBuf,
    /// Its form; by default that of its name (.json, .yaml, .yml), and else dotenv.
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
    /// The folder of the secrets: path, environment:path, or environment:. By default that of .splitvault.toml.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<String>,
    /// Say what would happen, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Leave secrets alone that exist.
    #[arg(long)]
    keep: bool,
    /// Make no version where the value is current already. It needs the right to read.
    #[arg(long)]
    skip_unchanged: bool,
    /// The kind of secrets that are made; text by default.
    #[arg(long)]
    kind: Option<SecretKind>,
    /// A note about each version.
    #[arg(long, value_parser = |text: &str| Note::parse(text))]
    note: Option<Note>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Dotenv,
    Json,
    Yaml,
}

impl Import {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let scope = context.scope(&access, self.folder.as_deref())?;
        let import = ImportSecrets {
            format: match self.format.unwrap_or_else(|| format_of(&self.file)) {
                Format::Dotenv => DocumentFormat::Dotenv,
                Format::Json => DocumentFormat::Json,
                Format::Yaml => DocumentFormat::Yaml,
            },
            document: document(&self.file)?,
            environment: scope.environment,
            folder: scope.path,
            kind: self.kind,
            existing: if self.keep { ExistingSecrets::Keep } else { ExistingSecrets::Update },
            skip_unchanged: self.skip_unchanged,
            note: self.note,
            dry_run: self.dry_run,
        };
        let answer = access.client.import_secrets(&import, Some(&new_key())).await?;
        let refused = answer.refused > 0;
        show(&mut context.output, answer)?;
        Ok(if refused { Ending::Refused } else { Ending::Done })
    }
}

fn document(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut bytes = if file == Path::new("-") {
        prompt::standard_input(MAX_DOCUMENT_BYTES)?
    } else {
        let what = file.display().to_string();
        let opened = std::fs::File::open(file);
        let opened = opened.map_err(|error| Failure::of_system(&format!("{what} cannot be read"), &error))?;
        prompt::bounded(opened, MAX_DOCUMENT_BYTES, &what)?
    };
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        drop(Zeroizing::new(error.into_bytes()));
        Failure::failed("The document is not text.").next("Store bytes one by one: splitvault put --file")
    })
}

fn format_of(file: &Path) -> Format {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Format::Json,
        Some("yaml" | "yml") => Format::Yaml,
        Some(_) | None => Format::Dotenv,
    }
}

fn show(output: &mut Output, answer: ImportAnswer) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&answer);
    }
    let row = |secret: ImportedSecret| {
        let reason = secret.error.map(|error| error.detail.unwrap_or_else(|| error.code.advice().to_owned()));
        [
            secret.line.map_or("-".to_owned(), |line| line.to_string()),
            secret.path.map_or("-".to_owned(), |path| path.to_string()),
            outcome(secret.outcome).to_owned(),
            secret.version.map_or_else(String::new, |version| version.to_string()),
            reason.unwrap_or_default(),
        ]
    };
    output.table(["LINE", "PATH", "OUTCOME", "VERSION", "REASON"], answer.secrets.into_iter().map(row).collect())?;
    let counts = [
        (answer.created, "created"),
        (answer.updated, "updated"),
        (answer.kept, "kept"),
        (answer.unchanged, "unchanged"),
        (answer.refused, "refused"),
    ];
    let counts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let counts = if counts.is_empty() { "nothing".to_owned() } else { counts.join(", ") };
    let would = if answer.dry_run { " That is what would happen; nothing was changed." } else { "" };
    output.line(&format!("{counts}.{would}"))
}

fn outcome(outcome: ImportOutcome) -> &'static str {
    match outcome {
        ImportOutcome::Created => "created",
        ImportOutcome::Updated => "updated",
        ImportOutcome::Kept => "kept",
        ImportOutcome::Unchanged => "unchanged",
        ImportOutcome::Refused => "refused",
    }
}
