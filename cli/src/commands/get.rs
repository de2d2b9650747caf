//! Reading one value.

use std::path::PathBuf;

use clap::Args;
use client::manager_api::reference::FieldName;
use client::shared_proto::encoding::base64_value;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::commands::Ending;
use crate::context::{Context, missing};
use crate::failure::{Exit, Failure};
use crate::output::{is_harmless, remark};
use crate::secret_name::{SecretAddress, SecretName};
use crate::{private_file, times, variables};

/// Print the value of a secret.
///
/// The value goes to standard output as it is; only on a terminal a line break follows. Bytes that are no text are not shown on
/// a terminal.
#[derive(Args)]
pub(crate) struct Get {
    /// The secret, or a field or version of it: db/login#password@previous.
    secret: String,
    /// Write the value to this file, which only you can read.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The output for programs. It has no `Debug` form.
#[derive(Serialize)]
struct Shown<'a> {
    key_id: String,
    secret: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    encoding: &'static str,
    value: &'a str,
}

impl Get {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let name = context.name(&access, &self.secret)?;
        let mut read = access.client.read_secrets(&[name.wanted()]).await;
        let read = read.pop().unwrap_or(Err(client::ClientError::Malformed { status: 200 }));
        let secret = read.map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() == Exit::NotFound { missing_version(&name) } else { failure.about(&name.place) }
        })?;
        let value = variables::value_of(&secret, &name)?;
        if secret.expired {
            let ended = secret.expires_at.map(|at| format!(" {}", times::relative(at, times::now())));
            remark(&format!("Version {} of {} has expired{}.", secret.version, name.place, ended.unwrap_or_default()));
        }
        if let Some(file) = &self.out {
            private_file::replace(file, &value)?;
            let document = serde_json::json!({ "key_id": secret.key_id, "version": secret.version, "file": file });
            context.output.told(
                &format!("Wrote version {} of {} to {}.", secret.version, name.place, file.display()),
                &document,
            )?;
            return Ok(Ending::Done);
        }
        if context.output.is_json() {
            let text = std::str::from_utf8(&value).ok();
            let encoded = text.is_none().then(|| base64_value(&value));
            let shown = Shown {
                key_id: secret.key_id.to_string(),
                secret: name.place.to_string(),
                version: secret.version.get(),
                field: name.field.as_ref().map(FieldName::as_str),
                expires_at: secret.expires_at,
                encoding: if text.is_some() { "text" } else { "base64" },
                value: text.or(encoded.as_deref().map(String::as_str)).unwrap_or_default(),
            };
            context.output.secret(&document(&shown)?)?;
        } else {
            let is_terminal = context.output.is_terminal();
            if is_terminal && !is_harmless(&value) {
                return Err(Failure::failed("The value is not text, so it is not shown on a terminal.")
                    .next(format!("Write it to a file: splitvault get {} --out FILE", self.secret)));
            }
            context.output.secret(&value)?;
            if is_terminal {
                context.output.raw(b"\n")?;
            }
        }
        Ok(Ending::Done)
    }
}

fn missing_version(name: &SecretName) -> Failure {
    match (&name.place, name.version) {
        (_, None) | (SecretAddress::Id(_), Some(_)) => missing(&name.place),
        (SecretAddress::Path(..), Some(_)) => Failure::new(
            Exit::NotFound,
            format!("There is no such version of {}, or the secret is not yours to read.", name.place),
        )
        .next(format!("See what there is: splitvault history {}", name.place)),
    }
}

/// The document in a buffer that does not grow, so that no copy is left behind.
fn document(shown: &Shown<'_>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Each byte of a value is at most six in JSON.
    let mut bytes = Zeroizing::new(Vec::with_capacity(shown.value.len() * 6 + 4096));
    serde_json::to_writer(&mut *bytes, shown).map_err(|_| Failure::failed("The value cannot be written as JSON."))?;
    bytes.push(b'\n');
    Ok(bytes)
}
