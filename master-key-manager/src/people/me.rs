//! Who the caller is.

use manager_api::policy::PartyId;
use manager_api::sessions::{Me, MyGroup, MyLogin, MyRole};
use service_runtime::Refusal;
use service_runtime::audit::Origin;
use shared_proto::error::ErrorCode;
use shared_proto::id::Subject;

use super::{People, no_person};
use crate::access::{Caller, View};
use crate::audit_event::{Act, RegistryAct};

impl People {
    /// Describes the caller to himself.
    ///
    /// # Errors
    /// The caller is a stranger, or his credential is disabled.
    pub async fn me(&self, caller: &Caller, origin: &Origin) -> Result<Me, Refusal> {
        let view = self.registry.fresh().await?;
        let caller = caller.again(&view)?;
        let subject = caller.subject().ok_or_else(no_person)?;
        let me = describe(&view, &caller, subject)?;
        self.audit.record(Act::Registry(RegistryAct::MeShow, Some(subject.to_string())), origin).await?;
        Ok(me)
    }
}

fn describe(view: &View, caller: &Caller, principal: Subject) -> Result<Me, Refusal> {
    let gone = || Refusal::new(ErrorCode::CredentialInvalid);
    let groups: Vec<MyGroup> = view
        .state
        .groups()
        .filter(|group| group.members.contains(&principal))
        .map(|group| MyGroup { group_id: group.group_id, name: group.name.clone() })
        .collect();
    let is_own = |party: PartyId| match party {
        PartyId::Principal(subject) => subject == principal,
        PartyId::Group(id) => groups.iter().any(|group| group.group_id == id),
    };
    let roles = view.state.assignments().filter(|line| is_own(line.party)).map(|line| MyRole {
        role: line.role,
        environment_id: line.environment,
        pattern: line.pattern.clone(),
        party: line.party,
    });
    let roles = roles.collect();
    let (name, display_name, email, own) = match principal {
        Subject::Person(id) => {
            let person = view.state.person(id).ok_or_else(gone)?;
            let own = view.state.sign_on_of(id);
            (person.name.clone(), Some(person.display_name.clone()), person.email.clone(), own)
        }
        Subject::Service(id) => (view.state.service(id).ok_or_else(gone)?.name.clone(), None, None, None),
    };
    let signed_on = caller.signed_on().and_then(|signed_on| signed_on.login().map(|login| (signed_on, login)));
    let login = signed_on.map(|(signed_on, login)| MyLogin {
        authenticated_at: login.authenticated_at,
        mfa: login.mfa,
        must_enrol_totp: signed_on.must_enrol(),
        totp: own.is_some_and(|own| own.seed.is_some()),
        recovery_codes: own.map_or(0, |own| own.recovery.len()),
    });
    let (client_id, expires_at) = (caller.credential(), caller.actor().ends_at);
    Ok(Me { principal, name, display_name, email, groups, roles, client_id, expires_at, login, vault_url: None })
}
