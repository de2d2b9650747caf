//! The first person, who is made by an operator on the manager's host.

use std::sync::Arc;

use manager_api::id::{AssignmentId, EnrolmentId};
use manager_api::name::{AccountName, DisplayName, EmailAddress};
use manager_api::policy::{PartyId, PatternText, Role};
use manager_registry::{Author, Change, Person, RoleAssignment, Terms};
use service_runtime::StartError;
use service_runtime::clock::{Clock as _, SystemClock};
use service_runtime::key_folder::KeyFolder;
use shared_proto::id::{PersonId, Subject};
use zeroize::Zeroizing;

use super::enrolment::{MOST_MINUTES, NewCode, new_code};
use super::person_named;
use crate::access::View;
use crate::config::Config;
use crate::installation::{InstallationLock, check_installation, open_registry, open_store};
use crate::keys::SignOnKeys;
use manager_store::ManagerStore as _;

/// A person to be made.
#[derive(Clone, Debug)]
pub struct NewPerson {
    /// The name of the account.
    pub name: AccountName,
    /// The name for people.
    pub display_name: Option<DisplayName>,
    /// The e-mail address.
    pub email: Option<EmailAddress>,
    /// A role for the whole installation.
    pub role: Option<Role>,
}

/// Makes a person, and a code for the first login, which counts for an hour. Returns the person's id and the code.
///
/// # Errors
/// The service runs, there is no installation, or the name is taken.
pub async fn add_person(config: &Config, new: NewPerson) -> Result<(PersonId, Zeroizing<String>), StartError> {
    let _lock = InstallationLock::acquire(config)?;
    let store = Arc::new(open_store(config)?);
    check_installation(config, &store).await?;
    let added = match open_registry(config, store.clone()).await {
        Ok(registry) => add(config, &registry, new).await,
        Err(error) => Err(error),
    };
    store.close().await;
    added
}

async fn add(
    config: &Config,
    registry: &crate::access::Registry,
    new: NewPerson,
) -> Result<(PersonId, Zeroizing<String>), StartError> {
    let failed = |why: &dyn std::fmt::Display| StartError::new(format!("The person cannot be made ({why})."));
    let keys = SignOnKeys::load(&KeyFolder::at(&config.get().key_dir))?;
    let (id, now) = (PersonId::generate(), SystemClock.now());
    let subject = Subject::Person(id);
    let order = NewCode { subject, credential: None, address: None, author: None, minutes: MOST_MINUTES };
    let (enrolment, code) = new_code(&keys, EnrolmentId::generate(), now, order);
    let display_name = new.display_name.unwrap_or_else(|| DisplayName::of_account(&new.name));
    let role = new.role.map(|role| everywhere(id, role, now)).transpose().map_err(|error| failed(&error.0))?;
    let name = new.name.clone();
    let person =
        Person { person_id: id, name: new.name, display_name, email: new.email, created_at: now, disabled_at: None };
    let mut taken = false;
    let decide = |view: &View| {
        if person_named(view, &name).is_some() {
            taken = true;
            return Ok(Vec::new());
        }
        let mut changes: Vec<Change> = vec![person.into(), enrolment.into()];
        changes.extend(role.map(Change::from));
        Ok(changes)
    };
    let by = (Author::Operator, "person add", now);
    registry.change(by, None, decide).await.map_err(|refusal| failed(&refusal))?;
    if taken {
        return Err(StartError::new(format!("There is a person with the name {name}; choose another one.")));
    }
    Ok((id, code))
}

fn everywhere(id: PersonId, role: Role, now: u64) -> Result<RoleAssignment, shared_proto::Malformed> {
    Ok(RoleAssignment {
        assignment_id: AssignmentId::generate(),
        party: PartyId::Principal(Subject::Person(id)),
        role,
        environment: None,
        pattern: PatternText::parse("**")?,
        terms: Terms::unlimited(now),
    })
}
