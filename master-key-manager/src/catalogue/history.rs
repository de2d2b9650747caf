//! The history of a secret: its versions, the difference of two of them, and what may be changed about one.

use std::sync::Arc;

use manager_api::edit::Edit;
use manager_api::tokens::Stage;
use manager_api::versions::{ChangeVersion, DifferingMember, GivenStage, HistorySort, ReferencedSecret, VersionStatus};
use manager_policy::{AnyAction, List, Permit, Read, Write};
use manager_store::{
    ChangedVersion, Expiry, HistoryPage, HistoryPart, ManagerStore, StageChange, VersionChange, VersionEntry,
};
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, Origin};
use shared_proto::comparison::Likeness;
use shared_proto::error::ErrorCode;
use shared_proto::id::{SecretId, Version};

use super::Fingerprints;
use super::references::shown;
use super::secret_writer::{deleted, other_version};
use crate::access::Caller;
use crate::audit_event::{Act, VersionAct};
use crate::environments::Environments;

/// Shows versions, compares them, and changes what may change about them.
pub struct VersionKeeper {
    store: Arc<dyn ManagerStore>,
    fingerprints: Arc<Fingerprints>,
    environments: Arc<Environments>,
    audit: AuditLog,
}

/// A version as somebody may see it.
pub struct ShownVersion {
    /// The version. Its note and its author are for those who may list the secret.
    pub entry: VersionEntry,
    /// The secrets that its value refers to; none for one who may not read it.
    pub references: Vec<ReferencedSecret>,
}

/// A version after a change of it, as the one who made the change may see it.
pub enum AfterChange {
    /// All of it, for those who may list the secret.
    Seen(Box<VersionEntry>),
    /// Its number and its stages. Of a version that is missing it has none.
    Bare(Version, Vec<Stage>),
}

/// Two versions side by side.
pub struct Difference {
    /// The one that was asked about.
    pub version: VersionEntry,
    /// The other one.
    pub with: VersionEntry,
    /// Where they differ.
    pub differs: Vec<DifferingMember>,
    /// True if they have the same value. `None` if that is not known, or the caller may not read it.
    pub same_value: Option<bool>,
}

impl VersionKeeper {
    /// A keeper of the versions of this store.
    pub fn new(
        store: Arc<dyn ManagerStore>,
        fingerprints: Arc<Fingerprints>,
        environments: Arc<Environments>,
        audit: AuditLog,
    ) -> Self {
        Self { store, fingerprints, environments, audit }
    }

    /// A page of the versions of a secret.
    ///
    /// # Errors
    /// `SecretNotFound`: it is unknown, or the caller may not list it.
    pub async fn history(
        &self,
        secret: SecretId,
        (sort, after, limit): (HistorySort, Option<Version>, usize),
        caller: &Caller,
        origin: &Origin,
    ) -> Result<HistoryPage, Refusal> {
        let permit: Permit<List> = caller.permit_on_id(self.store.as_ref(), secret).await?;
        let part = HistoryPart { newest_first: sort == HistorySort::NewestFirst, after, limit };
        let page = self.store.history(&permit.to_look(), secret, part).await?.ok_or_else(not_found)?;
        self.audit.record(Act::Version(VersionAct::List, secret, Vec::new()), origin).await?;
        Ok(page)
    }

    /// One version, with what it refers to for those who may read it.
    ///
    /// # Errors
    /// `SecretNotFound`: the secret or the version is unknown, or the caller may neither list nor read it.
    pub async fn show(
        &self,
        secret: SecretId,
        version: Version,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<ShownVersion, Refusal> {
        let facts = self.store.secret_facts(vec![secret]).await?.into_iter().next().flatten();
        let list: Option<Permit<List>> = caller.permit_on(facts.as_ref()).ok();
        let read: Option<Permit<Read>> = caller.permit_on(facts.as_ref()).ok();
        let look = list.as_ref().map(Permit::to_look).or_else(|| read.as_ref().map(Permit::to_look));
        let [entry] = self.entries(&look.ok_or_else(not_found)?, secret, [version]).await?;
        let references = match &read {
            Some(read) => self.references((caller, read), secret, version).await?,
            None => Vec::new(),
        };
        self.audit.record(Act::Version(VersionAct::Show, secret, vec![version]), origin).await?;
        let entry = if list.is_some() { entry } else { VersionEntry { author: None, note: None, ..entry } };
        Ok(ShownVersion { entry, references })
    }

    /// The secrets that a version refers to; none if its value is not given out to the caller now.
    async fn references(
        &self,
        (caller, read): (&Caller, &Permit<Read>),
        secret: SecretId,
        version: Version,
    ) -> Result<Vec<ReferencedSecret>, Refusal> {
        let found = self.store.comparable(read, secret, vec![version], caller.approved().to_vec()).await?;
        let Some(Ok(_)) = found else { return Ok(Vec::new()) };
        let recorded = self.store.targets(&read.to_look(), secret, version).await?;
        shown(self.store.as_ref(), &self.environments, recorded, caller).await
    }

    /// The difference of two versions. Whether their values are the same is told to those only who may read them.
    ///
    /// # Errors
    /// `SecretNotFound`: the secret or a version is unknown, or the caller may not list it.
    pub async fn compare(
        &self,
        secret: SecretId,
        [version, with]: [Version; 2],
        caller: &Caller,
        origin: &Origin,
    ) -> Result<Difference, Refusal> {
        let facts = self.store.secret_facts(vec![secret]).await?.into_iter().next().flatten();
        let permit: Permit<List> = caller.permit_on(facts.as_ref())?;
        let read: Option<Permit<Read>> = caller.permit_on(facts.as_ref()).ok();
        let [one, other] = self.entries(&permit.to_look(), secret, [version, with]).await?;
        // Both rights are looked at again by the store, which knows them as they were decided.
        let again = match &read {
            Some(read) => Some(self.store.entries(&read.to_look(), secret, vec![version]).await?),
            None => None,
        };
        let same_value = match read.filter(|_| again.is_some()) {
            Some(read) => self.same_value((caller, &read), secret, [&one, &other], origin).await?,
            None => None,
        };
        self.audit.record(Act::Version(VersionAct::Compare, secret, vec![version, with]), origin).await?;
        Ok(Difference { differs: differs(&one, &other), version: one, with: other, same_value })
    }

    /// Changes the note of a version, or its stages. The version as it is then. Whoever may not list the secret learns by nothing
    /// but its stages whether there is such a version: a change of one that is missing changes nothing, and says so to nobody.
    ///
    /// # Errors
    /// `ParameterInvalid`: nothing is to change. `SecretNotFound`: the secret is unknown, the caller may not write it, or he may
    /// list it and the version is unknown. `VersionConflict`: another version is current, or the version cannot have or lose the stage.
    /// `SecretDeleted`, and a closed environment.
    pub async fn change(
        &self,
        (secret, version): (SecretId, Version),
        asked: ChangeVersion,
        caller: &Caller,
        origin: &Origin,
    ) -> Result<AfterChange, Refusal> {
        if asked.note.keeps() && asked.stage.keeps() {
            return Err(Refusal::parameter("Name what shall change."));
        }
        let facts = self.store.secret_facts(vec![secret]).await?.into_iter().next().flatten();
        let permit: Permit<Write> = caller.permit_on(facts.as_ref())?;
        let list: Option<Permit<List>> = caller.permit_on(facts.as_ref()).ok();
        if let Some(list) = &list {
            let [_known] = self.entries(&list.to_look(), secret, [version]).await?;
        }
        self.audit.record(Act::Version(VersionAct::Update, secret, vec![version]), origin).await?;
        let stage = match asked.stage {
            Edit::Keep => StageChange::Keep,
            Edit::Remove => StageChange::Take,
            Edit::Set(GivenStage::Previous) => StageChange::GivePrevious,
        };
        let change = VersionChange { secret, version, note: asked.note, stage, if_version: asked.if_version };
        match self.store.change_version(&permit, change).await? {
            ChangedVersion::Made(entry) if list.is_some() => Ok(AfterChange::Seen(Box::new(entry))),
            ChangedVersion::Made(entry) => Ok(AfterChange::Bare(version, entry.stages)),
            ChangedVersion::NotFound if list.is_some() => Err(not_found()),
            // As of one that is there and cannot have the stage, or has none.
            ChangedVersion::NotFound => match stage {
                StageChange::GivePrevious => Err(Refusal::new(ErrorCode::VersionConflict).detail(STAGE_STAYS)),
                StageChange::Keep | StageChange::Take => Ok(AfterChange::Bare(version, Vec::new())),
            },
            ChangedVersion::Deleted => Err(deleted()),
            ChangedVersion::OtherVersion => Err(other_version()),
            ChangedVersion::StageStays => Err(Refusal::new(ErrorCode::VersionConflict).detail(STAGE_STAYS)),
            ChangedVersion::Closed(closed) => Err(closed.into()),
        }
    }

    /// Tells whether two versions have the same value; `None` if that is not known. The permit shows that the caller may read
    /// both: the answer is a test of a guess.
    async fn same_value(
        &self,
        by: (&Caller, &Permit<Read>),
        secret: SecretId,
        [one, other]: [&VersionEntry; 2],
        origin: &Origin,
    ) -> Result<Option<bool>, Refusal> {
        if one.envelope == other.envelope && is_stored(one) && is_stored(other) {
            return Ok(Some(true));
        }
        match self.fingerprints.same(by, secret, [one.version, other.version], origin).await {
            Ok(Likeness::Same) => Ok(Some(true)),
            Ok(Likeness::Different) => Ok(Some(false)),
            Ok(Likeness::Unknown) => Ok(None),
            Err(refusal) if LEFT_OPEN.contains(&refusal.code()) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    async fn entries<const N: usize>(
        &self,
        look: &Permit<AnyAction>,
        secret: SecretId,
        versions: [Version; N],
    ) -> Result<[VersionEntry; N], Refusal> {
        let found = self.store.entries(look, secret, versions.to_vec()).await?;
        let found: Option<Vec<VersionEntry>> = found.into_iter().collect();
        found.and_then(|found| found.try_into().ok()).ok_or_else(not_found)
    }
}

const STAGE_STAYS: &str =
    "A stored version that is neither current nor pending can be previous, and current is not taken away.";

/// The reasons why it stays open whether values are the same. The rest of the difference is told all the same.
const LEFT_OPEN: [ErrorCode; 6] = [
    ErrorCode::SecretNotFound,
    ErrorCode::ApprovalRequired,
    ErrorCode::EnvironmentFrozen,
    ErrorCode::EnvironmentDisabled,
    ErrorCode::RateLimited,
    ErrorCode::Unavailable,
];

fn is_stored(entry: &VersionEntry) -> bool {
    match entry.status {
        VersionStatus::Committed | VersionStatus::Superseded | VersionStatus::Destroyed => true,
        VersionStatus::Pending | VersionStatus::Abandoned => false,
    }
}

fn differs(one: &VersionEntry, other: &VersionEntry) -> Vec<DifferingMember> {
    let end = |entry: &VersionEntry| match entry.expiry {
        Expiry::Known(end) => end,
        Expiry::Unverified => None,
    };
    let members = [
        (DifferingMember::Envelope, one.envelope != other.envelope),
        (DifferingMember::Author, one.author != other.author),
        (DifferingMember::Note, one.note != other.note),
        (DifferingMember::ExpiresAt, end(one) != end(other)),
    ];
    members.into_iter().filter(|(_, differs)| *differs).map(|(member, _)| member).collect()
}

fn not_found() -> Refusal {
    Refusal::new(ErrorCode::SecretNotFound)
}
