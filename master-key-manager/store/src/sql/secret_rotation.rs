//! Rotations of secrets, each a row with a tag while it is under way.
//!
//! Guarantees that the row, the stages and the state of the new version change in one transaction.

use async_trait::async_trait;
use manager_api::generate::Generate;
use manager_api::name::UserLabel;
use manager_api::rotation::{GRACE_SECONDS, RotationPlan};
use manager_policy::{Permit, Rotate, Scope, Visible};
use manager_registry::{RowKey, RowKind, RowTag};
use service_runtime::sql::{SqlError, Tx, row_limit};
use shared_proto::encoding::from_json;
use shared_proto::event::Event;
use shared_proto::id::{SecretId, Version};

use super::catalogue::begin;
use super::environments::open_for_use;
use super::events::{defer, number};
use super::rows::{one_version, secret_state};
use super::search::index;
use super::{SqlStore, details, due, stages};
use crate::events::Effect;
use crate::secret_rotation::MOST_DISPLACED;
use crate::{
    Acted, BeginOutcome, Details, DuePage, DuePlace, Finished, NewRotation, NewVersion, Promotion, SecretRotation,
    SecretRotationStore, SecretState, ShownRotation, SignEvent, Stages, Step, StepOutcome, Stored, Verified, basis_for,
};

#[async_trait]
impl SecretRotationStore for SqlStore {
    async fn begin_rotation(&self, permit: &Permit<Rotate>, version: NewVersion) -> Acted<BeginOutcome> {
        let basis = basis_for(permit, &Scope::Path(version.row.environment, version.path.clone()))?;
        let key = self.key();
        self.write_as("begin_rotation", basis, move |tx| begin(tx, &key, &version)).await
    }

    async fn verify_rotation(
        &self,
        permit: &Permit<Rotate>,
        (secret, version): (SecretId, Option<Version>),
        verified: Verified,
    ) -> Acted<StepOutcome> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.write_as("verify_rotation", basis, move |tx| verify(tx, &key, (secret, version), verified)).await
    }

    async fn promote(&self, permit: &Permit<Rotate>, promotion: Promotion) -> Acted<StepOutcome> {
        let basis = basis_for(permit, &Scope::Secret(promotion.secret))?;
        let key = self.key();
        self.write_as("promote", basis, move |tx| promote(tx, &key, promotion)).await
    }

    async fn finish_rotation(
        &self,
        permit: &Permit<Rotate>,
        (secret, version): (SecretId, Option<Version>),
        sign: Option<SignEvent>,
        now: u64,
    ) -> Acted<Finished> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.write_as("finish_rotation", basis, move |tx| {
            let found = of(tx, &key, secret)?.filter(|found| version.is_none_or(|wanted| wanted == found.version));
            match found.filter(|found| matches!(found.step, Step::Grace | Step::Revoking)) {
                Some(found) => finish(tx, &key, (secret, &found), sign.as_ref(), now),
                None => Ok(Finished::default()),
            }
        })
        .await
    }

    async fn end_rotation(&self, secret: SecretId, sign: Option<SignEvent>, now: u64) -> Stored<Finished> {
        let key = self.key();
        self.sql
            .write("end_rotation", move |tx| match of(tx, &key, secret)? {
                Some(found) if found.is_over_at(now) => finish(tx, &key, (secret, &found), sign.as_ref(), now),
                // Whatever the column for search says, it is not looked at again before its time.
                Some(found) => write(tx, &key, secret, &found).map(|()| Finished::default()),
                None => remove(tx, secret).map(|()| Finished::default()),
            })
            .await
    }

    async fn give_up_rotation(&self, permit: &Permit<Rotate>, secret: SecretId) -> Acted<StepOutcome> {
        let basis = basis_for(permit, &Scope::Secret(secret))?;
        let key = self.key();
        self.write_as("give_up_rotation", basis, move |tx| {
            let Some(state) = secret_state(tx, &key, secret)? else { return Ok(StepOutcome::OtherStep) };
            let Some(pending) = state.stages.pending else { return Ok(StepOutcome::OtherStep) };
            let sql = "UPDATE secrets SET pending_version = NULL WHERE secret_id = ?1";
            tx.execute(sql, &[&secret.as_bytes()])?;
            index::moved(tx, secret)?;
            if of(tx, &key, secret)?.is_some_and(|found| found.version == pending) {
                remove(tx, secret)?;
            }
            Ok(StepOutcome::Done(pending))
        })
        .await
    }

    async fn ended_rotations(&self, now: u64, limit: usize) -> Stored<Vec<SecretId>> {
        self.sql
            .read("ended_rotations", move |tx| {
                let sql = "SELECT secret_id FROM rotations WHERE ends_at <= ?1 ORDER BY ends_at LIMIT ?2";
                tx.all(sql, &[&now, &row_limit(limit)], |row| row.get(0).map(SecretId::from_bytes))
            })
            .await
    }

    async fn due_rotations(
        &self,
        visible: &Visible,
        (from, before): (u64, u64),
        after: Option<DuePlace>,
        limit: usize,
    ) -> Acted<DuePage> {
        let (key, visible, bounds) = (self.key(), visible.clone(), self.bounds);
        self.read_as("due_rotations", visible.basis(), move |tx| {
            due::page(tx, &key, (&visible, bounds), ((from, before), after), limit)
        })
        .await
    }
}

/// The rotation of a secret; `None` for one that the manager did not write.
fn of(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId) -> Result<Option<SecretRotation>, SqlError> {
    let sql = "SELECT body, tag FROM rotations WHERE secret_id = ?1";
    let found: Option<(String, RowTag)> =
        tx.optional(sql, &[&secret.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let Some((body, tag)) = found else { return Ok(None) };
    if !key.fits(RowKind::Rotation, secret, &[secret.as_bytes(), body.as_bytes()], Some(&tag)) {
        return Ok(None);
    }
    from_json(body.as_bytes()).map(Some).map_err(|_| SqlError::unreadable())
}

fn write(tx: &mut Tx<'_>, key: &RowKey, secret: SecretId, rotation: &SecretRotation) -> Result<(), SqlError> {
    let body = serde_json::to_string(rotation).map_err(|_| SqlError::unreadable())?;
    let tag = key.tag(RowKind::Rotation, &[secret.as_bytes(), body.as_bytes()]);
    let ends_at = match rotation.step {
        Step::Grace => rotation.grace_until,
        Step::Revoking => Some(0),
        Step::Writing | Step::Pending => None,
    };
    tx.execute(
        "INSERT INTO rotations (secret_id, body, tag, ends_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (secret_id) DO UPDATE SET body = excluded.body, tag = excluded.tag, ends_at = excluded.ends_at",
        &[&secret.as_bytes(), &body, &tag, &ends_at],
    )
    .map(|_rows| ())
}

fn remove(tx: &mut Tx<'_>, secret: SecretId) -> Result<(), SqlError> {
    tx.execute("DELETE FROM rotations WHERE secret_id = ?1", &[&secret.as_bytes()]).map(|_rows| ())
}

/// The rotation as it is at this moment: one whose pending version has no stage any more is none.
fn under_way(tx: &mut Tx<'_>, key: &RowKey, state: &SecretState) -> Result<Option<SecretRotation>, SqlError> {
    let found = of(tx, key, state.secret)?;
    Ok(found.filter(|found| match found.step {
        Step::Pending => state.stages.pending == Some(found.version),
        Step::Writing => state.pending.iter().any(|row| row.version == found.version),
        Step::Grace | Step::Revoking => true,
    }))
}

/// Begins a rotation with a version, and says whether it did: not while another one is under way.
pub(super) fn start(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version): (SecretId, Version),
    (new, current): (&NewRotation, Option<Version>),
    now: u64,
) -> Result<bool, SqlError> {
    let Some(state) = secret_state(tx, key, secret)? else { return Ok(false) };
    let displaced = under_way(tx, key, &state)?;
    let is_busy = displaced.is_some() || state.stages.pending.is_some();
    let is_full = displaced.as_ref().is_some_and(|found| found.displaces() >= MOST_DISPLACED);
    if is_busy && !new.emergency || is_full {
        return Ok(false);
    }
    let rotation = SecretRotation {
        step: Step::Writing,
        version,
        from: current,
        activate: new.activate || new.emergency,
        emergency: new.emergency,
        grace_seconds: new.grace_seconds,
        started_at: now,
        verified: None,
        grace_until: None,
        displaced: displaced.map(Box::new),
    };
    write(tx, key, secret, &rotation)?;
    if let Some(generate) = &new.generate {
        keep(tx, key, &state, generate)?;
    }
    Ok(true)
}

/// Keeps the request for a value, which the next rotation repeats.
fn keep(tx: &mut Tx<'_>, key: &RowKey, state: &SecretState, generate: &Generate) -> Result<(), SqlError> {
    let plan = state.details.rotation.clone().unwrap_or_else(RotationPlan::none);
    let plan = RotationPlan { generate: Some(generate.clone()), ..plan };
    let after = Details { rotation: Some(plan), ..state.details.clone() };
    if after == state.details {
        return Ok(());
    }
    details::write(tx, key, state.secret, &after)?;
    due::refresh(tx, key, state.secret)?;
    index::described(tx, key, (state.secret, state.environment), &after)?;
    let sql = "UPDATE secrets SET revision = revision + 1 WHERE secret_id = ?1";
    tx.execute(sql, &[&state.secret.as_bytes()]).map(|_rows| ())
}

/// Takes the rotation of a version further that was committed or given up, in the same transaction.
pub(super) fn settled(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, version): (SecretId, Version),
    is_committed: bool,
) -> Result<(), SqlError> {
    let Some(found) = of(tx, key, secret)? else { return Ok(()) };
    if !is_about(&found, version) {
        return Ok(());
    }
    let state = secret_state(tx, key, secret)?.filter(|_| is_committed);
    match further(tx, found, (secret, version), state.map(|state| state.stages))? {
        Some(rotation) => write(tx, key, secret, &rotation),
        None => remove(tx, secret),
    }
}

/// Tells whether a rotation writes a version, or one that it took the place of does.
fn is_about(rotation: &SecretRotation, version: Version) -> bool {
    rotation.step == Step::Writing && rotation.version == version
        || rotation.displaced.as_ref().is_some_and(|displaced| is_about(displaced, version))
}

/// The rotation after its version, or that of one which it took the place of, was committed with these stages, or given up.
fn further(
    tx: &mut Tx<'_>,
    rotation: SecretRotation,
    (secret, version): (SecretId, Version),
    stages: Option<Stages>,
) -> Result<Option<SecretRotation>, SqlError> {
    let displaced = rotation.displaced.map(|displaced| *displaced);
    let found = SecretRotation { displaced: None, ..rotation };
    if found.step != Step::Writing || found.version != version {
        let displaced = match displaced {
            Some(displaced) => further(tx, displaced, (secret, version), stages)?,
            None => None,
        };
        return Ok(Some(SecretRotation { displaced: displaced.map(Box::new), ..found }));
    }
    // Given up: what it took the place of goes on.
    let Some(stages) = stages else { return Ok(displaced) };
    if !found.activate && stages.pending == Some(version) {
        return Ok(Some(SecretRotation { step: Step::Pending, ..found }));
    }
    if !found.activate || stages.current != Some(version) {
        // A later version has the stage.
        return Ok(displaced);
    }
    if found.emergency {
        let sql = "UPDATE secrets SET previous_version = NULL, pending_version = NULL WHERE secret_id = ?1";
        tx.execute(sql, &[&secret.as_bytes()])?;
        index::moved(tx, secret)?;
        return Ok(Some(SecretRotation { step: Step::Revoking, ..found }));
    }
    let grace_until = Some(found.started_at.saturating_add(found.grace_seconds));
    Ok(Some(SecretRotation { step: Step::Grace, grace_until, ..found }))
}

/// The pending version of a secret that may be promoted, with its rotation. One that was written without a rotation is as
/// one that began now.
fn pending(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, wanted): (SecretId, Option<Version>),
    now: u64,
) -> Result<Result<(SecretState, SecretRotation), StepOutcome>, SqlError> {
    let Some(state) = secret_state(tx, key, secret)? else { return Ok(Err(StepOutcome::OtherStep)) };
    if state.rules.deletion.is_some() {
        return Ok(Err(StepOutcome::Deleted));
    }
    if let Err(closed) = open_for_use(tx, key, state.environment)? {
        return Ok(Err(StepOutcome::Closed(closed)));
    }
    let pending = state.stages.pending.filter(|pending| wanted.is_none_or(|wanted| wanted == *pending));
    let Some(version) = pending else { return Ok(Err(StepOutcome::OtherStep)) };
    let rotation = match under_way(tx, key, &state)? {
        Some(found) if found.version == version && found.step == Step::Pending => found,
        // The former one ends first.
        Some(_) => return Ok(Err(StepOutcome::OtherStep)),
        None => SecretRotation {
            step: Step::Pending,
            version,
            from: state.stages.current,
            activate: false,
            emergency: false,
            grace_seconds: u64::from(state.details.rotation.as_ref().map_or(GRACE_SECONDS, |plan| plan.grace_seconds)),
            started_at: now,
            verified: None,
            grace_until: None,
            displaced: None,
        },
    };
    Ok(Ok((state, rotation)))
}

fn verify(
    tx: &mut Tx<'_>,
    key: &RowKey,
    about: (SecretId, Option<Version>),
    verified: Verified,
) -> Result<StepOutcome, SqlError> {
    let (_, rotation) = match pending(tx, key, about, verified.at)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    // The first word counts.
    let verified = rotation.verified.or(Some(verified));
    write(tx, key, about.0, &SecretRotation { verified, ..rotation.clone() })?;
    Ok(StepOutcome::Done(rotation.version))
}

fn promote(tx: &mut Tx<'_>, key: &RowKey, asked: Promotion) -> Result<StepOutcome, SqlError> {
    let (state, rotation) = match pending(tx, key, (asked.secret, asked.version), asked.now)? {
        Ok(found) => found,
        Err(outcome) => return Ok(outcome),
    };
    if rotation.verified.is_none() && !asked.unverified {
        return Ok(StepOutcome::Unverified);
    }
    if state.stages.current != rotation.from {
        return Ok(StepOutcome::OtherVersion);
    }
    tx.execute(
        "UPDATE secrets SET previous_version = current_version, current_version = pending_version, pending_version = NULL
         WHERE secret_id = ?1",
        &[&asked.secret.as_bytes()],
    )?;
    stages::promoted(tx, asked.secret, rotation.version)?;
    due::refresh(tx, key, asked.secret)?;
    index::moved(tx, asked.secret)?;
    let grace_seconds = asked.grace_seconds.unwrap_or(rotation.grace_seconds);
    let grace_until = Some(asked.now.saturating_add(grace_seconds));
    let version = rotation.version;
    write(tx, key, asked.secret, &SecretRotation { step: Step::Grace, grace_seconds, grace_until, ..rotation })?;
    Ok(StepOutcome::Done(version))
}

/// Ends a rotation whose new version is current, with the revocation that belongs to it.
fn finish(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, rotation): (SecretId, &SecretRotation),
    sign: Option<&SignEvent>,
    now: u64,
) -> Result<Finished, SqlError> {
    let event = if rotation.step == Step::Revoking {
        Some(Event::Secret(secret))
    } else {
        let former = former_envelope(tx, key, (secret, rotation))?;
        if let Some(former) = rotation.from {
            let sql = "UPDATE secrets SET previous_version = NULL WHERE secret_id = ?1 AND previous_version = ?2";
            tx.execute(sql, &[&secret.as_bytes(), &former.get()])?;
            index::moved(tx, secret)?;
        }
        former.map(|envelope| Event::Version(secret, envelope))
    };
    remove(tx, secret)?;
    let mut done = Finished { version: Some(rotation.version), ..Finished::default() };
    if let Some(event) = event {
        if let Some(sign) = sign {
            done.numbers.push(number(tx, &event, sign, now)?);
        } else {
            defer(tx, key, &Effect::Event(event), now)?;
            done.deferred = true;
        }
    }
    Ok(done)
}

/// The envelope of the former version, unless a version with a stage points to it: its value is in use again.
fn former_envelope(
    tx: &mut Tx<'_>,
    key: &RowKey,
    (secret, rotation): (SecretId, &SecretRotation),
) -> Result<Option<Version>, SqlError> {
    let Some(former) = rotation.from else { return Ok(None) };
    let envelope_of = |tx: &mut Tx<'_>, version: Version| -> Result<Option<Version>, SqlError> {
        Ok(one_version(tx, key, secret, version)?.map(|(row, _)| row.envelope))
    };
    let Some(envelope) = envelope_of(tx, former)? else { return Ok(None) };
    let Some(state) = secret_state(tx, key, secret)? else { return Ok(Some(envelope)) };
    for staged in [state.stages.current, state.stages.pending].into_iter().flatten() {
        if envelope_of(tx, staged)? == Some(envelope) {
            return Ok(None);
        }
    }
    Ok(Some(envelope))
}

/// The rotation of a secret as it is shown.
pub(super) fn shown(tx: &mut Tx<'_>, key: &RowKey, state: &SecretState) -> Result<ShownRotation, SqlError> {
    let due_at = due::of(tx, key, (state.secret, state.environment))?.map(|due| due.due_at);
    let [account, pending_account] =
        [account_of(tx, state.secret, state.stages.current)?, account_of(tx, state.secret, state.stages.pending)?];
    Ok(ShownRotation { under_way: under_way(tx, key, state)?, account, pending_account, due_at })
}

/// The account whose value a version has.
pub(super) fn account_of(
    tx: &mut Tx<'_>,
    secret: SecretId,
    version: Option<Version>,
) -> Result<Option<UserLabel>, SqlError> {
    let Some(version) = version else { return Ok(None) };
    let sql = "SELECT account FROM versions WHERE secret_id = ?1 AND version = ?2 AND account <> ''";
    let found: Option<String> = tx.optional(sql, &[&secret.as_bytes(), &version.get()], |row| row.get(0))?;
    found.map(|name| UserLabel::parse(name).map_err(|_| SqlError::unreadable())).transpose()
}
