//! The acts that make and change environments.
//!
//! An environment is its row and its first root key. The key's file is made first, and is not used before the row is
//! there: `<id>.1.unconfirmed.key`. A crash in between leaves a file without a row, with which nothing was ever sealed,
//! or a row whose key is not in use yet, which the next start or the next creation finishes. A file without a row is
//! never destroyed by itself: its row may be missing because an older database was restored.

use std::sync::Arc;

use manager_api::environments::{ChangeEnvironment, CreateEnvironment, ExpiredVersions};
use manager_api::name::{DisplayName, EnvironmentName};
use service_runtime::audit::{AuditLog, Origin};
use service_runtime::clock::Clock;
use service_runtime::{Refusal, StartError};
use shared_proto::error::ErrorCode;
use shared_proto::id::EnvironmentId;
use shared_proto::token::MAX_LIFE_SECONDS;
use tokio::sync::Mutex;

use crate::access::{Caller, View};
use crate::audit_event::{Act, EnvironmentAct};
use crate::keys::KeyRing;
use crate::revocation::{Revocations, Sequences};
use manager_policy::{ManageEnvironments, Scope};
use manager_registry::EnvironmentRules;
use manager_store::{CreateOutcome, Decision, Environment, EnvironmentChange, EnvironmentStore, NewEnvironment};

/// Makes and changes environments.
pub struct EnvironmentKeeper {
    store: Arc<dyn EnvironmentStore>,
    keys: Arc<KeyRing>,
    revocations: Arc<Revocations>,
    audit: AuditLog,
    clock: Arc<dyn Clock>,
    /// Held from before a creation looks until the list is read again, so that an older list never replaces a newer one.
    one_at_a_time: Mutex<()>,
}

/// An act of which nothing but the name is needed.
#[derive(Clone, Copy, Debug)]
pub enum Switch {
    /// Nothing is written or minted any more.
    Freeze,
    /// The opposite.
    Unfreeze,
    /// The opposite of disabling.
    Enable,
}

impl EnvironmentKeeper {
    /// A keeper of the environments that the ring has keys for.
    pub fn new(
        store: Arc<dyn EnvironmentStore>,
        keys: Arc<KeyRing>,
        revocations: Arc<Revocations>,
        audit: AuditLog,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { store, keys, revocations, audit, clock, one_at_a_time: Mutex::default() }
    }

    /// Makes an environment with a root key.
    ///
    /// # Errors
    /// The name or the id is taken, there are too many, or the key or the row cannot be written. `OutcomeUnknown`: it
    /// may be there after the next start.
    pub async fn create(
        &self,
        asked: CreateEnvironment,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Environment, Refusal> {
        let permit = caller.permit(&Scope::Installation)?;
        let life = asked.max_token_life_seconds.unwrap_or(MAX_LIFE_SECONDS);
        check_life(life)?;
        let _one = self.one_at_a_time.lock().await;
        self.finish().await?;
        let known = self.keys.environments().now();
        if known.iter().any(|known| known.name == asked.name || Some(known.id) == asked.environment_id) {
            return Err(taken());
        }
        let id = asked.environment_id.unwrap_or_else(EnvironmentId::generate);
        let is_new = asked.environment_id.is_none();
        if !is_new && !self.keys.now().roots.has_first(id) {
            return Err(Refusal::parameter("The key folder has no root key of this environment_id."));
        }
        self.audit.record(Act::Environment(EnvironmentAct::Create, &asked.name), meta).await?;
        if is_new {
            let keys = Arc::clone(&self.keys);
            on_disk(move || keys.create_root_key(id)).await?;
        }
        let new = NewEnvironment {
            id,
            display_name: asked.display_name.unwrap_or_else(|| DisplayName::of(&asked.name)),
            name: asked.name,
            max_token_life_seconds: life,
            now: self.clock.now(),
        };
        let made = self.store.create_environment(&permit, new).await.map_err(Refusal::from);
        if made.as_ref().is_err_and(|refusal| refusal.code() == ErrorCode::OutcomeUnknown) {
            // Row or no row: the next creation, or the next start, sees it.
            return made.and(Err(Refusal::outcome_unknown("the database did not confirm the environment")));
        }
        // Takes the key into use.
        let finished = self.finish().await;
        if is_new && finished.is_ok() && self.keys.environments().with_id(id).is_none() {
            let keys = Arc::clone(&self.keys);
            on_disk(move || keys.give_up_root_key(id)).await?;
        }
        match made? {
            CreateOutcome::Made(environment) => {
                finished.map_err(|_| Refusal::outcome_unknown("the root key of the environment is not in use yet"))?;
                Ok(environment)
            }
            CreateOutcome::Taken => Err(taken()),
            CreateOutcome::Full => Err(Refusal::parameter("There are 256 environments, and no more are made.")),
        }
    }

    /// Changes the settings of an environment.
    ///
    /// # Errors
    /// There is no such environment, or a setting is out of range.
    pub async fn change(
        &self,
        name: EnvironmentName,
        asked: ChangeEnvironment,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Environment, Refusal> {
        let (wanted, settings) = wanted(asked)?;
        if let Some(wanted) = &wanted {
            // Before anything is changed.
            let view = self.revocations.view().await?;
            may_change_rules((self.id_of(&name, caller)?, self.clock.now()), wanted, (caller, &view))?;
        }
        let changed = match settings {
            Some(change) => Some(self.apply(name.clone(), (EnvironmentAct::Update, change), caller, meta).await?),
            None => None,
        };
        if let Some(wanted) = wanted {
            self.change_rules(&name, wanted, caller, meta).await?;
        }
        let known = changed.or_else(|| self.keys.environments().named(&name));
        known.ok_or_else(|| Refusal::new(ErrorCode::EnvironmentNotFound))
    }

    /// Changes the rules of an environment. They are in the registry: whoever can write to the database alone cannot change
    /// them.
    async fn change_rules(
        &self,
        name: &EnvironmentName,
        wanted: WantedRules,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<(), Refusal> {
        let (id, now) = (self.id_of(name, caller)?, self.clock.now());
        let view = self.revocations.view().await?;
        may_change_rules((id, now), &wanted, (caller, &view))?;
        drop(view);
        self.audit.record(Act::Environment(EnvironmentAct::Update, name), meta).await?;
        let decide = move |caller: &Caller, view: &View| {
            let (before, after) = may_change_rules((id, now), &wanted, (caller, view))?;
            Ok(if before == after { Vec::new() } else { vec![after.into()] })
        };
        self.revocations.change(caller, None, decide).await.map(|_done| ())
    }

    /// Freezes an environment, or undoes that or its disabling. One that is so already stays as it is.
    ///
    /// # Errors
    /// There is no such environment.
    pub async fn switch(
        &self,
        name: EnvironmentName,
        switch: Switch,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Environment, Refusal> {
        let change = match switch {
            Switch::Freeze => (EnvironmentAct::Freeze, EnvironmentChange::Freeze(self.clock.now())),
            Switch::Unfreeze => (EnvironmentAct::Unfreeze, EnvironmentChange::Unfreeze),
            Switch::Enable => (EnvironmentAct::Enable, EnvironmentChange::Enable),
        };
        self.apply(name, change, caller, meta).await
    }

    /// Disables an environment and revokes its tokens. As other revocations, it waits for no lock and no audit line.
    ///
    /// # Errors
    /// There is no such environment, or the database cannot be written: nothing is revoked.
    pub async fn disable(
        &self,
        name: &EnvironmentName,
        revocations: &Revocations,
        caller: &Caller,
    ) -> Result<Sequences, Refusal> {
        let id = self.id_of(name, caller)?;
        let decision = Decision::disable_environment(&caller.permit(&Scope::Environment(id))?, id)?;
        let done = revocations.record(vec![decision]).await?;
        let _one = self.one_at_a_time.lock().await;
        self.refresh_or_warn().await;
        Ok(done)
    }

    async fn apply(
        &self,
        name: EnvironmentName,
        (act, change): (EnvironmentAct, EnvironmentChange),
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Environment, Refusal> {
        let _one = self.one_at_a_time.lock().await;
        let id = self.id_of(&name, caller)?;
        let permit = caller.permit(&Scope::Environment(id))?;
        self.audit.record(Act::Environment(act, &name), meta).await?;
        let changed = self.store.change_environment(&permit, id, change).await;
        self.refresh_or_warn().await;
        changed?.ok_or_else(|| Refusal::new(ErrorCode::EnvironmentNotFound))
    }

    /// Describes an environment.
    ///
    /// # Errors
    /// There is no such environment, or the caller may not know of it.
    pub async fn describe(
        &self,
        name: &EnvironmentName,
        caller: &Caller,
        meta: &Origin,
    ) -> Result<Environment, Refusal> {
        let id = self.id_of(name, caller)?;
        let found = self.store.environment(&caller.known_environments(), id).await?;
        let found = found.ok_or_else(|| Refusal::new(ErrorCode::EnvironmentNotFound))?;
        self.audit.record(Act::Environment(EnvironmentAct::Show, name), meta).await?;
        Ok(found)
    }

    /// One that the caller may not know of looks like an unknown one.
    fn id_of(&self, name: &EnvironmentName, caller: &Caller) -> Result<EnvironmentId, Refusal> {
        let found = self.keys.environments().known(caller, name);
        found.map(|found| found.id).ok_or_else(|| Refusal::new(ErrorCode::EnvironmentNotFound))
    }

    /// A list in memory that is late undoes nothing of what was done: the database decides.
    async fn refresh_or_warn(&self) {
        match self.store.environments().await {
            Ok(environments) => self.keys.environments().set(environments),
            Err(fault) => tracing::warn!(%fault, "the list of environments was not read again"),
        }
    }

    /// Finishes what an earlier creation left, and reads list and keys again.
    async fn finish(&self) -> Result<(), Refusal> {
        let environments = self.store.environments().await?;
        let (keys, rows) = (Arc::clone(&self.keys), environments.clone());
        // The keys first: whoever finds an environment in the list finds its key.
        on_disk(move || keys.finish_root_keys(&rows)).await?;
        self.keys.environments().set(environments);
        Ok(())
    }
}

/// The rules that a change names.
#[derive(Clone, Debug)]
struct WantedRules {
    require_mfa: Option<bool>,
    deletion_days: Option<u16>,
    destroy_needs_approval: Option<bool>,
    expired_versions: Option<ExpiredVersions>,
    min_password_strength: Option<u8>,
}

impl WantedRules {
    fn after(&self, before: EnvironmentRules) -> EnvironmentRules {
        EnvironmentRules {
            environment_id: before.environment_id,
            require_mfa: self.require_mfa.unwrap_or(before.require_mfa),
            deletion_days: self.deletion_days.or(before.deletion_days),
            destroy_needs_approval: self.destroy_needs_approval.unwrap_or(before.destroy_needs_approval),
            expired_versions: self.expired_versions.unwrap_or(before.expired_versions),
            min_password_strength: self.min_password_strength.unwrap_or(before.min_password_strength),
        }
    }

    /// Tells whether it names a rule as one that protects less.
    fn asks_for_less(&self, before: &EnvironmentRules) -> bool {
        self.require_mfa == Some(false)
            || self.destroy_needs_approval == Some(false)
            || self.expired_versions == Some(ExpiredVersions::Warn)
            || self.min_password_strength.is_some_and(|least| least < before.min_password_strength)
            || self.deletion_days.is_some_and(|days| days < before.deletion_days())
    }
}

/// Decides whether a caller may change the rules of an environment, and gives those of before and after.
fn may_change_rules(
    (id, now): (EnvironmentId, u64),
    wanted: &WantedRules,
    (caller, view): (&Caller, &View),
) -> Result<(EnvironmentRules, EnvironmentRules), Refusal> {
    caller.permit::<ManageEnvironments>(&Scope::Environment(id))?;
    let before = view.state.environment_rules(id).copied().unwrap_or(EnvironmentRules::new(id));
    match caller.signed_on() {
        // Otherwise a login with a stolen password would open what asks for more.
        Some(signed_on) if wanted.asks_for_less(&before) => signed_on.check_two_factors(now)?,
        Some(signed_on) => signed_on.check_recent(now)?,
        None => {}
    }
    Ok((before, wanted.after(before)))
}

/// The rules and the settings that a change names. It names one at least.
fn wanted(asked: ChangeEnvironment) -> Result<(Option<WantedRules>, Option<EnvironmentChange>), Refusal> {
    let ChangeEnvironment {
        display_name,
        max_token_life_seconds,
        require_mfa,
        deletion_days,
        destroy_needs_approval,
        expired_versions,
        min_password_strength,
    } = asked;
    max_token_life_seconds.map_or(Ok(()), check_life)?;
    if deletion_days.is_some_and(|days| !DELETION_DAYS.contains(&days)) {
        return Err(Refusal::parameter("deletion_days is 7 to 365."));
    }
    if min_password_strength.is_some_and(|least| least > MAX_STRENGTH) {
        return Err(Refusal::parameter("min_password_strength is 0 to 4."));
    }
    let has_rules = require_mfa.is_some()
        || deletion_days.is_some()
        || destroy_needs_approval.is_some()
        || expired_versions.is_some()
        || min_password_strength.is_some();
    let has_settings = display_name.is_some() || max_token_life_seconds.is_some();
    if !has_rules && !has_settings {
        return Err(Refusal::parameter("A change names a setting."));
    }
    let rules = has_rules.then_some(WantedRules {
        require_mfa,
        deletion_days,
        destroy_needs_approval,
        expired_versions,
        min_password_strength,
    });
    Ok((rules, has_settings.then_some(EnvironmentChange::Settings { display_name, max_token_life_seconds })))
}

/// The days for which a deleted secret can be taken back.
const DELETION_DAYS: std::ops::RangeInclusive<u16> = 7..=365;

/// The highest strength of a password.
const MAX_STRENGTH: u8 = 4;

fn check_life(seconds: u64) -> Result<(), Refusal> {
    if (1..=MAX_LIFE_SECONDS).contains(&seconds) {
        return Ok(());
    }
    Err(Refusal::parameter("max_token_life_seconds is 1 to 2700."))
}

fn taken() -> Refusal {
    Refusal::new(ErrorCode::AlreadyExists)
}

async fn on_disk(work: impl FnOnce() -> Result<(), StartError> + Send + 'static) -> Result<(), Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Refusal::internal("a task broke down"))?.map_err(|error| {
        tracing::error!(%error, "the key folder");
        Refusal::unavailable("the key folder cannot be used")
    })
}
