//! Another path, a copy, other tags.

use clap::Args;
use client::manager_api::name::{Reason, TagKey};
use client::manager_api::search::StateFilter;
use client::manager_api::secrets::{ChangeSecret, CreateSecret, SecretStatus, WriteVersion};
use client::manager_api::wire::RevocationStatus;
use client::shared_proto::encoding::base64_value;
use client::shared_proto::secret::ValueEncoding;
use zeroize::Zeroizing;

use crate::commands::{Ending, new_key, put};
use crate::context::{Context, missing};
use crate::failure::{Exit, Failure};
use crate::pairs::{self, Pair};
use crate::secret_name::SecretAddress;
use crate::value::text_of;

/// Give a secret another path in its environment. Its id and its history stay; tokens for it are revoked.
#[derive(Args)]
pub(crate) struct Move {
    /// The secret.
    secret: String,
    /// Its new path.
    to: String,
    /// The reason, for the record.
    #[arg(long, value_parser = |text: &str| Reason::parse(text))]
    reason: Option<Reason>,
}

/// Copy the value of a secret to another path or environment. You read it and write it.
///
/// A new secret gets kind, class and restrictions (--service-only, --requires-approval) of the other one. Description, tags, end
/// and history stay where they are.
#[derive(Args)]
pub(crate) struct Copying {
    /// The secret, or a version of it.
    secret: String,
    /// The other one.
    to: String,
    /// Write the next version of the other one if it exists.
    #[arg(long)]
    replace: bool,
}

/// Show, add and remove tags.
#[derive(Args)]
pub(crate) struct Tag {
    /// The secret.
    secret: String,
    /// Tags to add.
    #[arg(value_name = "KEY=VALUE", value_parser = Pair::parse)]
    add: Vec<Pair>,
    /// The key of a tag to remove. May be given several times.
    #[arg(long, value_name = "KEY", value_parser = |text: &str| TagKey::parse(text))]
    remove: Vec<TagKey>,
}

impl Move {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let from = context.place(&access, &self.secret)?;
        let id = access.active(&from).await?;
        // A path that names no environment is in that of the secret.
        let environment = match &from {
            SecretAddress::Path(environment, _) => environment.clone(),
            SecretAddress::Id(id) => access.client.secret(*id).await?.environment,
        };
        let to = crate::secret_name::SecretName::parse(&self.to, Some(&environment))?.whole()?;
        let SecretAddress::Path(other, path) = &to else {
            return Err(Failure::wrong_use("A secret is moved to a path, and not to an id."));
        };
        if *other != environment {
            return Err(Failure::wrong_use("A secret stays in its environment.")
                .next(format!("Copy its value: splitvault copy {from} {to}")));
        }
        let change = ChangeSecret { path: Some(path.clone()), reason: self.reason, ..ChangeSecret::default() };
        let answer = access.client.change_secret(id, &change).await?;
        let pending = answer.status == RevocationStatus::Pending;
        let after = if pending { " Its tokens may count for some seconds." } else { "" };
        context.output.told(&format!("Moved {from} to {to}.{after}"), &answer)?;
        Ok(Ending::Done)
    }
}

impl Copying {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let from = context.name(&access, &self.secret)?;
        let to = context.place(&access, &self.to)?;
        let known = access.find(&to, StateFilter::Only(SecretStatus::Active)).await?;
        if known.is_some() && !self.replace {
            return Err(
                Failure::failed(format!("{to} exists already.")).next("Add --replace to write its next version.")
            );
        }
        let SecretAddress::Path(environment, path) = &to else {
            return Err(Failure::wrong_use("A value is copied to a path, and not to an id."));
        };
        let mut read = access.client.read_secrets(&[from.wanted()]).await;
        let read = read.pop().unwrap_or(Err(client::ClientError::Malformed { status: 200 }));
        let secret = read.map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() == Exit::NotFound { missing(&from.place) } else { failure.about(&from.place) }
        })?;
        // Not copied without what protects it.
        let described = access.client.secret(secret.key_id).await.map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() != Exit::NotFound {
                return failure;
            }
            Failure::new(failure.exit(), format!("You may read {}, but not see its restrictions.", from.place))
                .next("If the copy needs none, write it yourself: splitvault get SECRET | splitvault put OTHER")
        })?;
        let (encoding, value) = match (&from.field, text_of(&secret.value)) {
            (None, Some(text)) => (ValueEncoding::Text, Zeroizing::new(text.to_owned())),
            // EXPOSE: the value is written again.
            (None, None) => (ValueEncoding::Base64, base64_value(secret.value.expose())),
            (Some(_), _) => {
                let field = crate::variables::value_of(&secret, &from)?;
                let text = std::str::from_utf8(&field).unwrap_or_default();
                (ValueEncoding::Text, Zeroizing::new(text.to_owned()))
            }
        };
        let (value, encoding, token) = (Some(value), Some(encoding), Some(false));
        let written = if let Some(known) = known {
            let other = access.client.secret(known.key_id).await?;
            if described.service_only && !other.service_only || described.requires_approval && !other.requires_approval
            {
                return Err(Failure::failed(format!("{} has restrictions that {to} lacks.", from.place))
                    .next("Restrict the other one first, or copy it to a new path."));
            }
            let body = WriteVersion { value, encoding, token, ..WriteVersion::default() };
            access.client.write_secret(known.key_id, &body, Some(&new_key())).await?
        } else {
            let (environment, path) = (Some(environment.clone()), Some(path.clone()));
            let body = CreateSecret {
                environment,
                path,
                // A field is a text of its own.
                kind: from.field.is_none().then_some(described.kind),
                class: Some(described.class),
                service_only: described.service_only,
                requires_approval: described.requires_approval,
                value,
                encoding,
                token,
                ..CreateSecret::default()
            };
            access.client.create_secret(&body, Some(&new_key())).await?
        };
        put::tell(&mut context.output, &written)?;
        Ok(Ending::Done)
    }
}

impl Tag {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let secret = access.client.secret(id).await?;
        let mut tags = secret.tags.clone();
        if !(self.add.is_empty() && self.remove.is_empty()) {
            tags = pairs::changed(&tags, self.add, &self.remove)?;
            // Somebody else's change in between is not undone by this one.
            let change = ChangeSecret {
                tags: Some(tags.clone()),
                if_revision: Some(secret.revision),
                ..ChangeSecret::default()
            };
            access.client.change_secret(id, &change).await?;
        }
        if context.output.is_json() {
            context.output.json(&serde_json::json!({ "key_id": id, "tags": tags }))?;
        } else if tags.is_empty() {
            context.output.line(&format!("{place} has no tags."))?;
        } else {
            for (key, value) in tags.iter() {
                context.output.line(&format!("{key}={value}"))?;
            }
        }
        Ok(Ending::Done)
    }
}
