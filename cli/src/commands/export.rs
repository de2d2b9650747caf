//! Writing the values of a folder as a document.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use client::{ReadSecret, Wanted};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::commands::{Ending, run};
use crate::context::{Context, Scope, missing};
use crate::env_file;
use crate::failure::{Exit, Failure};
use crate::private_file;
use crate::secret_name::SecretAddress;
use crate::value::text_of;
use crate::variables;

/// Write the values of a folder as a document.
///
/// dotenv and shell have variables, named as run names them; dotenv refuses a value that its readers take differently. json and yaml have the paths below the folder as nested objects,
/// as import reads them. A terminal is shown values with --reveal only.
#[derive(Args)]
pub(crate) struct Export {
    /// The folder: path, environment:path, or environment: for all of an environment. By default what .splitvault.toml says.
    folder: Option<String>,
    /// The form of the document.
    #[arg(long, value_name = "FORM", default_value = "dotenv")]
    format: DocumentForm,
    /// Write it to this file, which only you can read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Show the values on a terminal.
    #[arg(long)]
    reveal: bool,
}

/// The form of a document.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DocumentForm {
    /// Lines NAME=value, for shells, python-dotenv and Docker Compose.
    Dotenv,
    /// Nested objects.
    Json,
    /// Nested mappings.
    Yaml,
    /// Lines for eval in a shell: export NAME='value'.
    Shell,
}

/// Values by their paths. It has no `Debug` form.
enum Tree {
    Value(Zeroizing<String>),
    Folder(BTreeMap<String, Tree>),
}

impl Export {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        if self.out.is_none() && context.output.is_terminal() && !self.reveal {
            return Err(Failure::wrong_use("Values are not shown on a terminal.")
                .next("Add --out FILE, or pipe it on, or add --reveal if nobody looks."));
        }
        let access = context.access()?;
        let (text, count) = match self.format {
            DocumentForm::Dotenv | DocumentForm::Shell => self.lines(context, &access).await?,
            DocumentForm::Json | DocumentForm::Yaml => {
                let scope = context.scope(&access, self.folder.as_deref())?;
                self.nested(&access, &scope).await?
            }
        };
        match &self.out {
            Some(file) => {
                private_file::replace(file, text.as_bytes())?;
                let document = serde_json::json!({ "file": file, "secrets": count });
                context.output.told(&format!("Wrote {count} secrets to {}.", file.display()), &document)?;
            }
            None => context.output.secret(text.as_bytes())?,
        }
        Ok(Ending::Done)
    }

    async fn lines(&self, context: &Context, access: &Access) -> Result<(Zeroizing<String>, usize), Failure> {
        let wishes = match &self.folder {
            Some(folder) => variables::of_folder(access, &context.scope(access, Some(folder))?).await?,
            None if context.folder()?.is_some() => run::of_working_folder(context, access).await?,
            None => variables::of_folder(access, &context.scope(access, None)?).await?,
        };
        let variables = variables::read(&access.client, wishes).await?;
        // Each character of a value takes four bytes at most.
        let size: usize = variables.iter().map(|one| one.name.len() + one.value.len() * 4 + 16).sum();
        let mut text = Zeroizing::new(String::with_capacity(size));
        for variable in &variables {
            let value = std::str::from_utf8(&variable.value).map_err(|_| not_text(&variable.name))?;
            match self.format {
                DocumentForm::Shell => write_shell(&variable.name, value, &mut text),
                DocumentForm::Dotenv | DocumentForm::Json | DocumentForm::Yaml => {
                    env_file::write(&variable.name, value, &mut text)?;
                }
            }
        }
        Ok((text, variables.len()))
    }

    async fn nested(&self, access: &Access, scope: &Scope) -> Result<(Zeroizing<String>, usize), Failure> {
        let secrets = variables::secrets_of(&access.client, scope).await?;
        let wanted: Vec<Wanted> =
            secrets.iter().map(|secret| Wanted::id(secret.key_id, Some(secret.environment.clone()))).collect();
        let mut tree = BTreeMap::new();
        let mut size = 16;
        let read = access.client.read_secrets(&wanted).await;
        for (secret, read) in secrets.iter().zip(read) {
            let place = SecretAddress::Path(secret.environment.clone(), secret.path.clone());
            let read: Arc<ReadSecret> = read.map_err(|error| {
                let failure = Failure::from(error);
                if failure.exit() == Exit::NotFound { missing(&place) } else { failure.about(&place) }
            })?;
            let value = text_of(&read.value).ok_or_else(|| not_text(&place.to_string()))?;
            size += value.len() * 6 + secret.path.as_str().len() * 12 + 64;
            let below = variables::below(&secret.path, scope.path.as_ref());
            insert(&mut tree, below, Zeroizing::new(value.to_owned())).ok_or_else(|| {
                Failure::failed(format!("{place} is a secret and a folder, which such a document cannot hold."))
                    .next("Export it as shell, or one folder at a time.")
            })?;
        }
        let mut text = Zeroizing::new(String::with_capacity(size));
        if self.format == DocumentForm::Json {
            write_json(&tree, &mut text);
            text.push('\n');
        } else {
            write_yaml(&tree, 0, &mut text);
        }
        Ok((text, secrets.len()))
    }
}

fn not_text(what: &str) -> Failure {
    Failure::failed(format!("{what} is not text, so no document can hold it."))
        .next("Write it to a file of its own: splitvault get --out")
}

/// Puts a value at its place; nothing if a secret is in the way, or a folder.
fn insert(tree: &mut BTreeMap<String, Tree>, path: &str, value: Zeroizing<String>) -> Option<()> {
    match path.split_once('/') {
        None => match tree.insert(path.to_owned(), Tree::Value(value)) {
            None => Some(()),
            Some(_) => None,
        },
        Some((folder, rest)) => match tree.entry(folder.to_owned()).or_insert_with(|| Tree::Folder(BTreeMap::new())) {
            Tree::Folder(below) => insert(below, rest, value),
            Tree::Value(_) => None,
        },
    }
}

fn write_json(tree: &BTreeMap<String, Tree>, out: &mut Zeroizing<String>) {
    out.push('{');
    for (number, (name, below)) in tree.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_quoted(name, out);
        out.push(':');
        match below {
            Tree::Value(value) => write_quoted(value, out),
            Tree::Folder(below) => write_json(below, out),
        }
    }
    out.push('}');
}

fn write_yaml(tree: &BTreeMap<String, Tree>, depth: usize, out: &mut Zeroizing<String>) {
    for (name, below) in tree {
        out.extend(std::iter::repeat_n("  ", depth));
        write_quoted(name, out);
        match below {
            Tree::Value(value) => {
                out.push_str(": ");
                write_quoted(value, out);
                out.push('\n');
            }
            Tree::Folder(below) => {
                out.push_str(":\n");
                write_yaml(below, depth + 1, out);
            }
        }
    }
    if tree.is_empty() && depth == 0 {
        out.push_str("{}\n");
    }
}

/// A text in double quotes, as JSON and YAML read it alike.
fn write_quoted(text: &str, out: &mut Zeroizing<String>) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // What YAML does not take as it is: controls, line ends of Unicode, and a byte order mark.
            '\0'..=' ' | '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                if letter != ' ' =>
            {
                out.extend(["\\u", &format!("{:04x}", u32::from(letter))]);
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
}

/// A line that every POSIX shell takes for this value.
fn write_shell(name: &str, value: &str, out: &mut Zeroizing<String>) {
    out.push_str("export ");
    out.push_str(name);
    out.push_str("='");
    for letter in value.chars() {
        if letter == '\'' {
            out.push_str("'\\''");
        } else {
            out.push(letter);
        }
    }
    out.push_str("'\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(values: &[(&str, &str)]) -> Option<BTreeMap<String, Tree>> {
        let mut tree = BTreeMap::new();
        for (path, value) in values {
            insert(&mut tree, path, Zeroizing::new((*value).to_owned()))?;
        }
        Some(tree)
    }

    #[test]
    fn document_is_nested_and_quoted() {
        let tree = tree(&[("db/host", "h"), ("db/pw", "a\"b\\\n\u{85}é"), ("top", "")]).unwrap();
        let mut json = Zeroizing::new(String::new());
        write_json(&tree, &mut json);
        assert_eq!(*json, r#"{"db":{"host":"h","pw":"a\"b\\\n\u0085é"},"top":""}"#);
        let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(parsed["db"]["pw"], "a\"b\\\n\u{85}é");
        let mut yaml = Zeroizing::new(String::new());
        write_yaml(&tree, 0, &mut yaml);
        assert_eq!(*yaml, "\"db\":\n  \"host\": \"h\"\n  \"pw\": \"a\\\"b\\\\\\n\\u0085é\"\n\"top\": \"\"\n");
    }

    #[test]
    fn secret_that_is_a_folder_too_fits_no_nested_document() {
        assert!(tree(&[("a", "1"), ("a/b", "2")]).is_none());
        assert!(tree(&[("a/b", "2"), ("a", "1")]).is_none());
    }

    #[test]
    fn shell_reads_a_value_as_it_is() {
        let mut line = Zeroizing::new(String::new());
        write_shell("A", "it's $x `y`\n", &mut line);
        assert_eq!(*line, "export A='it'\\''s $x `y`\n'\n");
    }
}
