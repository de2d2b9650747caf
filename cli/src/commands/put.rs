//! Storing a value.

use clap::Args;
use client::manager_api::kind::{Class, SecretKind};
use client::manager_api::lifetime::Lifetime;
use client::manager_api::name::{Description, Note};
use client::manager_api::policy::PartyId;
use client::manager_api::search::StateFilter;
use client::manager_api::secrets::{CreateSecret, GeneratedFacts, NewStage, SecretStatus, WriteVersion, WrittenSecret};
use client::shared_proto::Malformed;
use client::shared_proto::error::ErrorCode;
use client::shared_proto::id::SecretId;

use crate::access::Access;
use crate::commands::{Ending, new_key};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Output, remark};
use crate::pairs::{self, Pair};
use crate::secret_name::SecretAddress;
use crate::times;
use crate::value::{New, Source};

/// Store a value: a new secret, or the next version of one.
///
/// The value comes from standard input (a person is asked), a file, or the manager's generator. It is never an argument: other
/// users of the machine can read those, and the shell keeps them.
#[derive(Args)]
pub(crate) struct Put {
    /// The secret.
    secret: String,
    #[command(flatten)]
    source: Source,
    /// A note about the version.
    #[arg(long, value_parser = |text: &str| Note::parse(text))]
    note: Option<Note>,
    /// The time until the version ends, as 90d or 12h; by default that of the rotation period.
    #[arg(long, value_name = "TIME")]
    expires_in: Option<Lifetime>,
    /// The current version, if nothing shall be written once there is another one; 0 if the secret must not exist.
    #[arg(long, value_name = "NUMBER")]
    if_version: Option<u64>,
    /// Make no version if the value is current already. It needs the right to read.
    #[arg(long)]
    skip_unchanged: bool,
    /// Write the next version as pending: it is read as SECRET@pending, until it is promoted.
    #[arg(long)]
    pending: bool,
    #[command(flatten)]
    described: Described,
    /// Taken so that a value in an argument is refused without being repeated.
    #[arg(hide = true)]
    more: Vec<std::ffi::OsString>,
}

/// What is said of a new secret.
#[derive(Args)]
#[command(next_help_heading = "Of a new secret")]
struct Described {
    /// Its kind; text by default.
    #[arg(long)]
    kind: Option<SecretKind>,
    /// A description for people.
    #[arg(long, value_name = "TEXT", value_parser = |text: &str| Description::parse(text))]
    description: Option<Description>,
    /// The id of the person, service or group that answers for it.
    #[arg(long, value_name = "ID")]
    owner: Option<PartyId>,
    /// A tag. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = Pair::parse)]
    tag: Vec<Pair>,
    /// A pair of metadata. May be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = Pair::parse)]
    metadata: Vec<Pair>,
    /// Its class, which says how often it is rotated: high, medium or low.
    #[arg(long, value_parser = class)]
    class: Option<Class>,
    /// The days after which it is to be rotated.
    #[arg(long, value_name = "DAYS")]
    rotation_days: Option<u16>,
    /// Its versions do not end by themselves.
    #[arg(long)]
    never_expires: bool,
    /// People never read it.
    #[arg(long)]
    service_only: bool,
    /// It is read after an approval only.
    #[arg(long)]
    requires_approval: bool,
}

impl Described {
    fn says_something(&self) -> bool {
        let Self {
            kind,
            description,
            owner,
            tag,
            metadata,
            class,
            rotation_days,
            never_expires,
            service_only,
            requires_approval,
        } = self;
        kind.is_some()
            || description.is_some()
            || owner.is_some()
            || class.is_some()
            || rotation_days.is_some()
            || !(tag.is_empty() && metadata.is_empty())
            || *never_expires
            || *service_only
            || *requires_approval
    }
}

impl Put {
    pub(crate) async fn run(mut self, context: &mut Context) -> Result<Ending, Failure> {
        if !self.more.is_empty() {
            return Err(Failure::wrong_use(
                "A value is never an argument: other users see those, and the shell keeps them.",
            )
            .next("Pipe it in, or leave it out and type it when you are asked. If it was a real one, exchange it."));
        }
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let is_active = StateFilter::Only(SecretStatus::Active);
        let known = match &place {
            SecretAddress::Id(id) => Some(*id),
            SecretAddress::Path(..) => access.find(&place, is_active).await?.map(|secret| secret.key_id),
        };
        let written = match known {
            Some(id) => self.write(&access, id).await,
            None => self.create(&access, &place).await,
        };
        tell(&mut context.output, &written?)?;
        Ok(Ending::Done)
    }

    async fn write(&mut self, access: &Access, id: SecretId) -> Result<WrittenSecret, Failure> {
        if self.described.says_something() {
            return Err(Failure::wrong_use("The secret is there already, so nothing more can be said of it by put.")
                .next("Leave these options out; splitvault tag changes tags."));
        }
        let mut body = WriteVersion {
            note: self.note.take(),
            expires_at: self.ends(),
            if_version: self.if_version,
            stage: self.pending.then_some(NewStage::Pending),
            skip_unchanged: self.skip_unchanged,
            token: Some(false),
            ..WriteVersion::default()
        };
        match self.source.take().read()? {
            New::Generated(generate) => body.generate = Some(generate),
            New::Given { encoding, text } => (body.encoding, body.value) = (Some(encoding), Some(text)),
        }
        Ok(access.client.write_secret(id, &body, Some(&new_key())).await?)
    }

    async fn create(&mut self, access: &Access, place: &SecretAddress) -> Result<WrittenSecret, Failure> {
        let SecretAddress::Path(environment, path) = place else { return Err(crate::context::missing(place)) };
        if self.if_version.is_some_and(|version| version > 0) {
            return Err(crate::context::missing(place));
        }
        if self.pending {
            return Err(
                Failure::wrong_use("The first version of a secret is current at once.").next("Leave --pending out.")
            );
        }
        let described = &mut self.described;
        let mut body = CreateSecret {
            environment: Some(environment.clone()),
            path: Some(path.clone()),
            kind: described.kind,
            description: described.description.take(),
            owner: described.owner,
            tags: pairs::tags(std::mem::take(&mut described.tag))?,
            metadata: pairs::metadata(std::mem::take(&mut described.metadata))?,
            class: described.class,
            rotation_days: described.rotation_days,
            never_expires: described.never_expires,
            service_only: described.service_only,
            requires_approval: described.requires_approval,
            note: self.note.take(),
            token: Some(false),
            ..CreateSecret::default()
        };
        body.expires_at = self.ends();
        match self.source.take().read()? {
            New::Generated(generate) => body.generate = Some(generate),
            New::Given { encoding, text } => (body.encoding, body.value) = (Some(encoding), Some(text)),
        }
        let created = access.client.create_secret(&body, Some(&new_key())).await;
        created.map_err(|error| {
            if error.code() == Some(ErrorCode::AlreadyExists) {
                let sentence = format!(
                    "{place} is taken, perhaps by the same name with dots or slashes, and you may not see by what."
                );
                return Failure::failed(sentence).next("Name the secret by its id, or choose another path.");
            }
            Failure::from(error)
        })
    }

    fn ends(&self) -> Option<u64> {
        self.expires_in.map(|time| times::now() + time.seconds())
    }
}

/// Tells what was written.
pub(crate) fn tell(output: &mut Output, written: &WrittenSecret) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(written);
    }
    let place = SecretAddress::Path(written.environment.clone(), written.path.clone());
    if written.unchanged {
        return output.line(&format!("{place} has this value already, as version {}.", written.version));
    }
    let ends = written.expires_at.map(|at| format!(" It ends {}.", times::relative(at, times::now())));
    output.line(&format!("Stored {place}, version {}.{}", written.version, ends.unwrap_or_default()))?;
    if let Some(public) = &written.public {
        tell_public(output, public)?;
    }
    if let Some(strength) = written.strength.filter(|strength| strength.score < 3) {
        remark(&format!(
            "The password can be guessed: strength {} of 4. --generate password makes a strong one.",
            strength.score
        ));
    }
    Ok(())
}

/// The public part of a value that was made.
pub(crate) fn tell_public(output: &mut Output, public: &GeneratedFacts) -> Result<(), Failure> {
    for text in [&public.public_key, &public.fingerprint, &public.request, &public.certificate].into_iter().flatten() {
        for line in text.lines() {
            output.line(line)?;
        }
    }
    Ok(())
}

fn class(text: &str) -> Result<Class, Malformed> {
    let classes = [Class::High, Class::Medium, Class::Low];
    classes.into_iter().find(|class| class.as_str() == text).ok_or(Malformed("a class is high, medium or low"))
}
