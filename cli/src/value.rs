//! Values that come from outside: standard input, a file, a person, or the manager's generator.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use client::manager_api::generate::Generate;
use client::shared_proto::secret::{MAX_VALUE_BYTES, SecretValue, ValueEncoding};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::remark;
use crate::prompt;

/// Where a value comes from. Standard input by default; a person is asked.
#[derive(Args)]
pub(crate) struct Source {
    /// Take the value from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    file: Option<PathBuf>,
    /// Have the manager make the value: password, passphrase, api-key, key-256, token, uuid, ssh-key or key-pair, with
    /// members as in password,length=32.
    #[arg(long, value_name = "FORM", value_parser = generate)]
    generate: Option<Generate>,
    /// Take one line break off the end of the value.
    #[arg(long)]
    trim: bool,
}

/// A value to be written, or the way in which it is made.
pub(crate) enum New {
    Given { encoding: ValueEncoding, text: Zeroizing<String> },
    Generated(Generate),
}

impl Source {
    /// The source; nothing but standard input is left in its place.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self { file: None, generate: None, trim: false })
    }

    pub(crate) fn read(self) -> Result<New, Failure> {
        if let Some(generate) = self.generate {
            return Ok(New::Generated(generate));
        }
        if self.file.is_none() && prompt::is_person() {
            let value = prompt::hidden("Value")?;
            if *prompt::hidden("Once more")? != *value {
                return Err(Failure::failed("The two are not the same, so nothing was written.").next("Try again."));
            }
            return not_empty(New::Given { encoding: ValueEncoding::Text, text: value });
        }
        let mut bytes = match &self.file {
            Some(file) => from_file(file)?,
            None => prompt::standard_input(MAX_VALUE_BYTES)?,
        };
        if self.trim {
            if bytes.ends_with(b"\n") {
                bytes.pop();
            }
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        } else if bytes.iter().position(|byte| *byte == b'\n').is_some_and(|at| at + 1 == bytes.len()) {
            remark("The line break at the end is a part of the value; --trim takes it off.");
        }
        not_empty(given(bytes))
    }
}

/// Bytes as text if they are text, and else as bytes.
fn given(mut bytes: Zeroizing<Vec<u8>>) -> New {
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => New::Given { encoding: ValueEncoding::Text, text: Zeroizing::new(text) },
        Err(error) => {
            let bytes = Zeroizing::new(error.into_bytes());
            let text = client::shared_proto::encoding::base64_value(&bytes);
            New::Given { encoding: ValueEncoding::Base64, text }
        }
    }
}

fn not_empty(new: New) -> Result<New, Failure> {
    match &new {
        New::Given { text, .. } if text.is_empty() => {
            Err(Failure::failed("The value is empty, so nothing was written.")
                .next("Pipe the value in, or name a file with --file."))
        }
        New::Given { .. } | New::Generated(_) => Ok(new),
    }
}

fn from_file(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let what = format!("{}", file.display());
    let opened = File::open(file).map_err(|error| Failure::of_system(&format!("{what} cannot be read"), &error))?;
    prompt::bounded(opened, MAX_VALUE_BYTES, &what)
}

/// The value in a file that an argument names; `-` is standard input.
pub(crate) fn from_argument(file: &Path) -> Result<New, Failure> {
    let bytes = if file == Path::new("-") { prompt::standard_input(MAX_VALUE_BYTES)? } else { from_file(file)? };
    not_empty(given(bytes))
}

/// A value that was read, as text; it may be bytes.
pub(crate) fn text_of(value: &SecretValue) -> Option<&str> {
    // EXPOSE: what is read for the user goes to him.
    std::str::from_utf8(value.expose()).ok()
}

/// `form` or `form,member=value,…`, or the JSON document of the interface.
pub(crate) fn generate(text: &str) -> Result<Generate, String> {
    let document = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        let mut members = serde_json::Map::new();
        let mut parts = text.split(',');
        members.insert("form".to_owned(), parts.next().unwrap_or_default().into());
        for part in parts {
            let (name, value) = part.split_once('=').ok_or("a member has the form name=value")?;
            let plain = || serde_json::Value::from(value);
            let known = serde_json::from_str(value).ok();
            let known = known.filter(|known: &serde_json::Value| known.is_u64() || known.is_boolean());
            members.insert(name.to_owned(), known.unwrap_or_else(plain));
        }
        serde_json::Value::Object(members)
    };
    serde_json::from_value(document).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_of_a_generated_value_is_short_or_json() {
        let long = generate(r#"{"form": "password", "length": 32, "no_lookalikes": true}"#).unwrap();
        assert_eq!(generate("password,length=32,no_lookalikes=true"), Ok(long));
        assert!(matches!(generate("api-key,prefix=shop"), Ok(Generate::ApiKey { prefix: Some(_), .. })));
        for wrong in ["", "pass", "password,length", "password,length=x", "uuid,length=3", "{"] {
            assert!(generate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_sent_as_base64() {
        let read = |bytes: &[u8]| match given(Zeroizing::new(bytes.to_vec())) {
            New::Given { encoding, text } => (encoding, text.to_string()),
            New::Generated(_) => panic!(),
        };
        assert_eq!(read("é\n".as_bytes()), (ValueEncoding::Text, "é\n".to_owned()));
        assert_eq!(read(&[0xff, 0]), (ValueEncoding::Base64, "/wA=".to_owned()));
    }
}
