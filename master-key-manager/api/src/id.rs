//! Ids of what only the manager knows.

shared_proto::id::ids! {
    /// A group of principals.
    GroupId = "grp_";
    /// A permission: a line of the policy that allows or denies actions.
    PermissionId = "per_";
    /// A role assignment: a line of the policy that gives a role.
    AssignmentId = "asg_";
    /// The count of the uses of a credential. It has the bytes of the credential's id.
    UsesId = "use_";
    /// The means by which a person signs on. Its bytes are those of the person's id.
    SignOnId = "sgn_";
    /// An enrolment code.
    EnrolmentId = "enr_";
    /// An act that awaits approval, or did.
    ApprovalId = "apr_";
    /// An incident: the compromise or the loss of a secret.
    IncidentId = "inc_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_of_the_manager_is_refused_as_one_of_another_kind() {
        let group = GroupId::generate();
        assert_eq!(group.to_string().parse(), Ok(group));
        assert_eq!(serde_json::from_str::<GroupId>(&format!("\"{group}\"")).unwrap(), group);
        assert!(group.to_string().parse::<PermissionId>().is_err());
        assert!(PermissionId::generate().to_string().parse::<AssignmentId>().is_err());
    }
}
