//! What is known of a secret and its versions, without a value.

use clap::Args;
use client::manager_api::rotation::RotationState;
use client::manager_api::search::StateFilter;
use client::manager_api::secrets::{SecretDetails, SecretStatus};
use client::manager_api::tokens::{Stage, WantedVersion};
use client::manager_api::versions::{DifferingMember, HistorySort, VersionDetails, VersionDifference, VersionStatus};
use client::shared_proto::id::{SecretId, Version};
use serde::Serialize;

use crate::access::Access;
use crate::commands::Ending;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{Output, remark};
use crate::{pairs, times};

/// Show what is known of a secret.
#[derive(Args)]
pub(crate) struct Describe {
    /// The secret.
    secret: String,
}

/// Show the versions of a secret, the newest first.
#[derive(Args)]
pub(crate) struct History {
    /// The secret.
    secret: String,
    /// The most versions to show.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
}

/// Compare two versions of a secret: what is said of them, and whether they have one value.
#[derive(Args)]
pub(crate) struct Diff {
    /// The secret.
    secret: String,
    /// A version: its number, or current, previous or pending.
    #[arg(value_parser = version)]
    version: WantedVersion,
    /// The version to compare it with.
    #[arg(value_parser = version, default_value = "current")]
    with: WantedVersion,
}

#[derive(Serialize)]
struct Versions {
    versions: Vec<VersionDetails>,
    /// True if there are more than were asked for.
    more: bool,
}

impl Describe {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.id_of(&place, StateFilter::All).await?;
        let secret = access.client.secret(id).await?;
        if context.output.is_json() {
            context.output.json(&secret)?;
        } else {
            context.output.facts(&facts(&secret))?;
        }
        Ok(Ending::Done)
    }
}

fn facts(secret: &SecretDetails) -> Vec<(&'static str, String)> {
    let now = times::now();
    let at = |at: u64| times::full(at, now);
    let mut facts = vec![
        ("path", secret.path.to_string()),
        ("environment", secret.environment.to_string()),
        ("id", secret.key_id.to_string()),
        ("kind", secret.kind.to_string()),
    ];
    facts.extend(secret.description.as_ref().map(|text| ("description", text.to_string())));
    facts.extend(secret.owner.map(|owner| ("owner", owner.to_string())));
    let state = match secret.state {
        SecretStatus::Active => "active",
        SecretStatus::Deleted => "deleted",
        SecretStatus::Destroyed => "destroyed",
    };
    facts.push(("state", state.to_owned()));
    facts.extend(secret.recoverable_until.map(|until| ("recoverable", format!("until {}", at(until)))));
    let stages =
        [("current", secret.stages.current), ("previous", secret.stages.previous), ("pending", secret.stages.pending)];
    facts.extend(stages.into_iter().filter_map(|(stage, version)| Some((stage, format!("version {}", version?)))));
    facts.push(("class", format!("{}, rotated every {} days", secret.class.as_str(), secret.rotation_days)));
    let step = match secret.rotation.state {
        RotationState::Idle => None,
        RotationState::Writing => Some("the new version is on its way"),
        RotationState::Pending if secret.rotation.verified_at.is_some() => {
            Some("the pending version works, and waits to be promoted")
        }
        RotationState::Pending => Some("the pending version waits to be verified"),
        RotationState::Grace => Some("the former version counts beside the new one"),
        RotationState::Revoking => Some("tokens of before are about to be revoked"),
    };
    facts.extend(step.map(|step| ("rotation", step.to_owned())));
    facts.extend(secret.rotation.due_at.map(|due| ("rotation due", at(due))));
    facts.push(("made", at(secret.created_at)));
    if !secret.tags.is_empty() {
        facts.push(("tags", pairs::shown(&secret.tags)));
    }
    facts.extend(secret.metadata.iter().map(|(key, value)| ("metadata", format!("{key}={value}"))));
    let rules = [
        (secret.never_expires, "its versions do not end by themselves"),
        (secret.service_only, "people never read it"),
        (secret.requires_approval, "it is read after an approval only"),
    ];
    facts.extend(rules.into_iter().filter(|(holds, _)| *holds).map(|(_, rule)| ("rule", rule.to_owned())));
    facts
}

impl History {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.id_of(&place, StateFilter::All).await?;
        let mut versions = Vec::new();
        let mut after = None;
        let mut more = false;
        loop {
            let page = access.client.list_versions(id, HistorySort::NewestFirst, after).await?;
            versions.extend(page.versions);
            after = page.next;
            if after.is_none() || versions.len() > self.limit {
                more |= after.is_some() || versions.len() > self.limit;
                break;
            }
        }
        versions.truncate(self.limit);
        show(&mut context.output, Versions { versions, more })?;
        Ok(Ending::Done)
    }
}

fn show(output: &mut Output, history: Versions) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&history);
    }
    let now = times::now();
    let row = |version: VersionDetails| {
        let stages: Vec<_> = version.stages.iter().map(|stage| stage.as_str()).collect();
        let of =
            if version.envelope == version.version { String::new() } else { format!("value of {}", version.envelope) };
        let note = version.note.map(|note| note.to_string());
        [
            version.version.to_string(),
            status(version.state).to_owned(),
            stages.join(" "),
            times::relative(version.created_at, now),
            version.expires_at.map_or("never".to_owned(), |at| times::relative(at, now)),
            version.author.map_or("-".to_owned(), |author| author.to_string()),
            [of, note.unwrap_or_default()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; "),
        ]
    };
    let rows = history.versions.into_iter().map(row).collect();
    output.table(["VERSION", "STATE", "STAGE", "MADE", "ENDS", "AUTHOR", "NOTE"], rows)?;
    if history.more {
        remark("There are more; --limit shows them.");
    }
    Ok(())
}

fn status(status: VersionStatus) -> &'static str {
    match status {
        VersionStatus::Pending => "pending",
        VersionStatus::Committed => "committed",
        VersionStatus::Superseded => "superseded",
        VersionStatus::Abandoned => "abandoned",
        VersionStatus::Destroyed => "destroyed",
    }
}

impl Diff {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Ending, Failure> {
        let access = context.access()?;
        let place = context.place(&access, &self.secret)?;
        let id = access.active(&place).await?;
        let version = numbered(&access, id, self.version).await?;
        let with = numbered(&access, id, self.with).await?;
        let difference = access.client.diff_versions(id, version, with).await?;
        if context.output.is_json() {
            context.output.json(&difference)?;
        } else {
            told(&mut context.output, &difference)?;
        }
        Ok(Ending::Done)
    }
}

fn told(output: &mut Output, difference: &VersionDifference) -> Result<(), Failure> {
    let VersionDifference { version: one, with: other, .. } = difference;
    output.line(&match difference.same_value {
        Some(true) => format!("Versions {} and {} have the same value.", one.version, other.version),
        Some(false) => format!("Versions {} and {} have different values.", one.version, other.version),
        None => format!(
            "It is not known whether versions {} and {} have the same value, or not for you.",
            one.version, other.version
        ),
    })?;
    let now = times::now();
    let side = |version: &VersionDetails, member: DifferingMember| match member {
        DifferingMember::Envelope => format!("value of version {}", version.envelope),
        DifferingMember::Author => version.author.map_or("nobody".to_owned(), |author| author.to_string()),
        DifferingMember::Note => version.note.as_ref().map_or("none".to_owned(), ToString::to_string),
        DifferingMember::ExpiresAt => version.expires_at.map_or("never".to_owned(), |at| times::full(at, now)),
    };
    let rows = difference.differs.iter().map(|member| {
        let name = match member {
            DifferingMember::Envelope => "envelope",
            DifferingMember::Author => "author",
            DifferingMember::Note => "note",
            DifferingMember::ExpiresAt => "ends",
        };
        [name.to_owned(), side(one, *member), side(other, *member)]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    output.table(["", &format!("VERSION {}", one.version), &format!("VERSION {}", other.version)], rows)
}

/// The number of a version that an argument names by its stage.
pub(super) async fn numbered(access: &Access, id: SecretId, version: WantedVersion) -> Result<Version, Failure> {
    let stage = match version {
        WantedVersion::Number(number) => return Ok(number),
        WantedVersion::Stage(stage) => stage,
    };
    let stages = access.client.secret(id).await?.stages;
    let number = match stage {
        Stage::Current => stages.current,
        Stage::Previous => stages.previous,
        Stage::Pending => stages.pending,
    };
    number.ok_or_else(|| Failure::new(Exit::NotFound, format!("No version is {stage}.")))
}

/// A version in an argument: a number or a stage.
pub(super) fn version(text: &str) -> Result<WantedVersion, &'static str> {
    if let Ok(stage) = text.parse() {
        return Ok(WantedVersion::Stage(stage));
    }
    let number = text.parse().ok().and_then(|number| Version::new(number).ok());
    number.map(WantedVersion::Number).ok_or("a version is a number, current, previous or pending")
}
