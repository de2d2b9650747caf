//! Rotation and rollback.

use std::path::PathBuf;

use clap::Args;
use client::manager_api::generate::Generate;
use client::manager_api::lifetime::Lifetime;
use client::manager_api::name::Note;
use client::manager_api::rotation::{Promote, Rotate, RotationAnswer, RotationState, RotationStep};
use client::manager_api::tokens::WantedVersion;
use client::manager_api::wire::Rollback as Request;
use client::shared_proto::id::Version;

use crate::commands::describe::{numbered, version};
use crate::commands::{Ending, new_key, put};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::secret_name::SecretAddress;
use crate::times;
use crate::value::{self, New};

/// Make the value of an older version current again, as the next version.
#[derive(Args)]
pub(crate) struct Rollback {
    /// The secret.
    secret: String,
    /// The version whose value is wanted: its number, or previous.
    #[arg(long, value_parser = version, default_value = "previous")]
    to: WantedVersion,
    /// The current version, if nothing shall be changed once there is another one.
    #[arg(long, value_name = "NUMBER", value_parser = number)]
    if_version: Option<Version>,
    /// A note about the new version.
    #[arg(long, value_parser = |text: &str| Note::parse(text))]
    note: Option<Note>,
}

/// Exchange the value of a secret. Without a value the manager makes one as the last time.
#[derive(Args)]
pub(crate) struct Rotation {
    /// The secret.
    secret: String,
    /// Have the manager make the value, as for put.
    #[arg(long, value_name = "FORM", value_parser = value::generate, conflicts_with = "file")]
    generate: Option<Generate>,
    /// Take the new value from this file; - is standard input.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Keep the new version pending until it is promoted.
    #[arg(long, conflicts_with = "activate")]
    staged: bool,
    /// Make the new version current at once.
    #[arg(long)]
    activate: bool,
    /// Revoke every token of the secret at once: there is no grace time.
    #[arg(long)]
    emergency: bool,
    /// The time in which the former value counts beside the new one, as 1h; up to 30 days.
    #[arg(long, value_name = "TIME")]
    grace: Option<Lifetime>,
    /// The current version, if nothing shall be written once there is another one.
    #[arg(long, value_name = "NUMBER")]
    if_version: Option<u64>,
    /// A note about the version.
    #[arg(long, value_parser = |text: &str| Note::parse(text))]
    note: Option<Note>,
}

/// Say that the pending version of a rotation works.
#[derive(Args)]
pub(crate) struct Verify {
    /// The secret.
    secret: String,
}

/// Make the pending version of a rotation current.
#[derive(Args)]
pub(crate) struct Promotion {
    /// The secret.
    secret: String,
    /// Although nobody has said that it works.
    #[arg(long)]
    unverified: bool,
    /// The time in which the former value counts beside the new one, as 1h; up to 30 days.
    #[arg(long, value_name = "TIME")]
    grace: Option<Lifetime>,
}

/// End the grace time of a rotation: tokens of the former version are revoked.
#[derive(Args)]
pub(crate) struct Finish {
    /// The secret.
    secret: String,
}

impl Rollback {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let version = numbered(&access, id, self.to).await?;
        let request = Request { version, if_version: self.if_version, note: self.note, expires_at: None };
        let answer = access.client.rollback(id, &request, Some(&new_key())).await?;
        let said = format!("{place} has the value of version {version} again, as version {}.", answer.version);
        context.output.told(&said, &answer)?;
        Ok(Ending::Done)
    }
}

impl Rotation {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let mut body = Rotate {
            generate: self.generate,
            activate: if self.activate || self.staged { Some(self.activate) } else { None },
            emergency: self.emergency,
            grace_seconds: self.grace.map(seconds).transpose()?,
            if_version: self.if_version,
            note: self.note,
            ..Rotate::default()
        };
        if let Some(file) = &self.file {
            match value::from_argument(file)? {
                New::Given { encoding, text } => (body.encoding, body.value) = (Some(encoding), Some(text)),
                New::Generated(generate) => body.generate = Some(generate),
            }
        }
        let answer = access.client.rotate(id, &body, Some(&new_key())).await?;
        let number = answer.version.map_or_else(String::new, |version| format!(", version {version}"));
        tell(&mut context.output, &answer, &place, &format!("Rotated {place}{number}."))?;
        Ok(Ending::Done)
    }
}

impl Verify {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let answer = access.client.verify_rotation(id, RotationStep::default()).await?;
        tell(&mut context.output, &answer, &place, &format!("The pending version of {place} works, you say."))?;
        Ok(Ending::Done)
    }
}

impl Promotion {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let grace_seconds = self.grace.map(seconds).transpose()?;
        let promote = Promote { unverified: self.unverified, grace_seconds, ..Promote::default() };
        let answer = access.client.promote(id, promote).await?;
        tell(&mut context.output, &answer, &place, &format!("Promoted the pending version of {place}."))?;
        Ok(Ending::Done)
    }
}

impl Finish {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let answer = access.client.finish_rotation(id, RotationStep::default()).await?;
        tell(&mut context.output, &answer, &place, &format!("The rotation of {place} is finished."))?;
        Ok(Ending::Done)
    }
}

fn tell(output: &mut Output, answer: &RotationAnswer, place: &SecretAddress, said: &str) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(answer);
    }
    output.line(said)?;
    let now = times::now();
    let next = match answer.rotation.state {
        RotationState::Idle => None,
        RotationState::Writing => Some("The new version is on its way to the vault.".to_owned()),
        RotationState::Pending if answer.rotation.verified_at.is_some() => {
            Some(format!("Make it current: splitvault promote {place}"))
        }
        RotationState::Pending => {
            Some(format!("It is pending. Try it as {place}@pending, then: splitvault verify {place}"))
        }
        RotationState::Grace => {
            let until = answer.rotation.grace_until.map(|at| times::relative(at, now));
            Some(format!("The former value counts until the grace time ends {}.", until.unwrap_or_default()))
        }
        RotationState::Revoking => Some("Tokens of before are about to be revoked.".to_owned()),
    };
    if let Some(next) = next {
        output.line(&next)?;
    }
    answer.public.as_ref().map_or(Ok(()), |public| put::tell_public(output, public))
}

fn seconds(time: Lifetime) -> Result<u32, Failure> {
    u32::try_from(time.seconds()).map_err(|_| Failure::wrong_use("The time is too long."))
}

fn number(text: &str) -> Result<Version, &'static str> {
    let number = text.parse().ok().and_then(|number| Version::new(number).ok());
    number.ok_or("a version is a number from 1")
}
