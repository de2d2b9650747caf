//! Groups, role assignments, permissions, questions about them and their former versions.

use manager_api::groups::{AddMembers, ChangeGroup, CreateGroup, GroupDetails, GroupList, MemberList};
use manager_api::id::{AssignmentId, GroupId, PermissionId};
use manager_api::lines::{
    AssignRole, AssignmentDetails, ChangeAnswer, CreatePermission, PermissionDetails, PermissionList, RoleList,
};
use manager_api::name::{EnvironmentName, Reason};
use manager_api::policy::PartyId;
use manager_api::policy_questions::{AccessList, DryRun, DryRunAnswer, Explain, Explanation, WhoCan};
use manager_api::policy_versions::{FormerPolicy, PolicyVersionList, RestoreAnswer, RestoreVersion};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::id::Subject;

use crate::http::{self, Body};
use crate::{Client, ClientError, Idempotency};

/// The lines of a list.
#[derive(Clone, Debug, Default)]
pub struct LineFilter {
    /// Only lines about this principal or group.
    pub party: Option<PartyId>,
    /// Only lines that hold in this environment.
    pub environment: Option<EnvironmentName>,
}

impl Client {
    /// Makes a group without members. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_group(
        &self,
        new: &CreateGroup,
        idempotency_key: Idempotency<'_>,
    ) -> Result<GroupDetails, ClientError> {
        self.post_once("/api/groups", new, idempotency_key).await
    }

    /// A page of groups. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_groups(&self, after: Option<&str>) -> Result<GroupList, ClientError> {
        http::send(self.at_manager(Method::GET, "/api/groups").query("after", after), Body::none()).await
    }

    /// A group.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn group(&self, id: GroupId) -> Result<GroupDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/groups/{id}")), Body::none()).await
    }

    /// Gives a group another name or description.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn change_group(&self, id: GroupId, change: &ChangeGroup) -> Result<GroupDetails, ClientError> {
        http::send(self.at_manager(Method::PATCH, &format!("/api/groups/{id}")), Body::json(change)?).await
    }

    /// Deletes a group that nothing names.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn delete_group(&self, id: GroupId, reason: Option<&Reason>) -> Result<ChangeAnswer, ClientError> {
        self.delete(&format!("/api/groups/{id}"), reason).await
    }

    /// A page of the members of a group. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_members(&self, id: GroupId, after: Option<&str>) -> Result<MemberList, ClientError> {
        let request = self.at_manager(Method::GET, &format!("/api/groups/{id}/members")).query("after", after);
        http::send(request, Body::none()).await
    }

    /// Adds principals to a group.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn add_members(&self, id: GroupId, members: &AddMembers) -> Result<ChangeAnswer, ClientError> {
        self.post_once(&format!("/api/groups/{id}/members"), members, None).await
    }

    /// Removes a principal from a group, and revokes what that took away.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn remove_member(
        &self,
        id: GroupId,
        member: Subject,
        reason: Option<&Reason>,
    ) -> Result<ChangeAnswer, ClientError> {
        self.delete(&format!("/api/groups/{id}/members/{member}"), reason).await
    }

    /// Assigns a role. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn assign_role(
        &self,
        new: &AssignRole,
        idempotency_key: Idempotency<'_>,
    ) -> Result<AssignmentDetails, ClientError> {
        self.post_once("/api/roles", new, idempotency_key).await
    }

    /// All roles, and a page of role assignments. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_roles(&self, filter: &LineFilter, after: Option<&str>) -> Result<RoleList, ClientError> {
        self.list_lines("/api/roles", filter, after).await
    }

    /// Deletes a role assignment, and revokes what it gave.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn unassign_role(&self, id: AssignmentId, reason: Option<&Reason>) -> Result<ChangeAnswer, ClientError> {
        self.delete(&format!("/api/roles/{id}"), reason).await
    }

    /// Makes a permission. The key is as for [`Self::store`].
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn create_permission(
        &self,
        new: &CreatePermission,
        idempotency_key: Idempotency<'_>,
    ) -> Result<PermissionDetails, ClientError> {
        self.post_once("/api/permissions", new, idempotency_key).await
    }

    /// A page of permissions. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_permissions(
        &self,
        filter: &LineFilter,
        after: Option<&str>,
    ) -> Result<PermissionList, ClientError> {
        self.list_lines("/api/permissions", filter, after).await
    }

    /// A permission.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn permission(&self, id: PermissionId) -> Result<PermissionDetails, ClientError> {
        http::send(self.at_manager(Method::GET, &format!("/api/permissions/{id}")), Body::none()).await
    }

    /// Deletes a permission, and revokes what it gave.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn delete_permission(
        &self,
        id: PermissionId,
        reason: Option<&Reason>,
    ) -> Result<ChangeAnswer, ClientError> {
        self.delete(&format!("/api/permissions/{id}"), reason).await
    }

    /// Explains why somebody may do something, or may not.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn explain(&self, question: &Explain) -> Result<Explanation, ClientError> {
        self.ask("/api/permissions:explain", question).await
    }

    /// A page of those who may do something.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn who_can(&self, question: &WhoCan) -> Result<AccessList, ClientError> {
        self.ask("/api/permissions:who-can", question).await
    }

    /// Asks who would gain and lose what by a change, which is not made.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn dry_run(&self, question: &DryRun) -> Result<DryRunAnswer, ClientError> {
        self.ask("/api/permissions:dry-run", question).await
    }

    /// A page of versions of the policy, newest first. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn list_policy_versions(&self, after: Option<u64>) -> Result<PolicyVersionList, ClientError> {
        let after = after.map(|number| number.to_string());
        let request = self.at_manager(Method::GET, "/api/policy/versions").query("after", after.as_deref());
        http::send(request, Body::none()).await
    }

    /// A page of groups and lines as they were after a version. `after` is `next` of the page before.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn policy_version(&self, number: u64, after: Option<&str>) -> Result<FormerPolicy, ClientError> {
        let request = self.at_manager(Method::GET, &format!("/api/policy/versions/{number}")).query("after", after);
        http::send(request, Body::none()).await
    }

    /// Makes lines and memberships what they were after a version.
    ///
    /// # Errors
    ///
    /// The manager refuses, cannot be reached, or answers out of form.
    pub async fn restore_policy_version(&self, number: u64, reason: Reason) -> Result<RestoreAnswer, ClientError> {
        self.post_once(&format!("/api/policy/versions/{number}:restore"), &RestoreVersion { reason }, None).await
    }

    async fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        idempotency_key: Idempotency<'_>,
    ) -> Result<T, ClientError> {
        http::send(self.keyed(Method::POST, path, idempotency_key), Body::json(body)?).await
    }

    /// A question, which changes nothing.
    async fn ask<T: DeserializeOwned>(&self, path: &str, question: &(impl Serialize + Sync)) -> Result<T, ClientError> {
        http::send(self.at_manager(Method::POST, path).reads(), Body::json(question)?).await
    }

    async fn delete(&self, path: &str, reason: Option<&Reason>) -> Result<ChangeAnswer, ClientError> {
        let request = self.at_manager(Method::DELETE, path).query("reason", reason.map(Reason::as_str));
        http::send(request, Body::none()).await
    }

    async fn list_lines<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &LineFilter,
        after: Option<&str>,
    ) -> Result<T, ClientError> {
        let party = filter.party.map(|party| party.to_string());
        let request = self
            .at_manager(Method::GET, path)
            .query("party", party.as_deref())
            .query("environment", filter.environment.as_ref().map(EnvironmentName::as_str))
            .query("after", after);
        http::send(request, Body::none()).await
    }
}
