//! Owners of services and secrets: principals or groups that there are.

use manager_api::policy::PartyId;
use service_runtime::Refusal;
use shared_proto::id::Subject;

use super::View;

/// Refuses an owner that is unknown. Whoever names one is told so; a group that ends later stays named.
///
/// # Errors
/// `parameter_invalid`.
pub fn check_owner(view: &View, owner: Option<PartyId>) -> Result<(), Refusal> {
    let is_known = match owner {
        None => true,
        Some(PartyId::Group(id)) => view.state.group(id).is_some(),
        Some(PartyId::Principal(Subject::Service(id))) => view.state.service(id).is_some(),
        Some(PartyId::Principal(Subject::Person(id))) => view.state.person(id).is_some(),
    };
    if is_known { Ok(()) } else { Err(Refusal::parameter("There is no such owner.")) }
}
