//! Groups and lines of the policy with both services, through the client.

use client::LineFilter;
use client::manager_api::groups::{AddMembers, ChangeGroup, CreateGroup};
use client::manager_api::lines::{AssignRole, CreatePermission};
use client::manager_api::name::{AccountName, Description, Reason, SecretPath};
use client::manager_api::policy::{Action, Actions, Effect, PartyId, PatternText, Role};
use client::manager_api::policy_questions::{Because, DryRun, Explain, PolicyTarget, ProposedChange, WhoCan};
use client::manager_api::tags::Tags;
use client::manager_api::wire::RevocationStatus;
use client::shared_proto::id::Subject;
use serde_json::json;
use system_tests::{Installation, Stored};

fn reason() -> Reason {
    Reason::parse("test").unwrap()
}

fn permission(party: PartyId, effect: Effect, actions: &[Action]) -> CreatePermission {
    CreatePermission {
        party,
        effect,
        actions: actions.iter().copied().collect(),
        environment: Some("dev".parse().unwrap()),
        pattern: PatternText::parse("app/**").unwrap(),
        tags: Tags::default(),
        starts_at: None,
        ends_at: None,
        reason: reason(),
    }
}

fn database() -> PolicyTarget {
    let (environment, path) = ("dev".parse().unwrap(), SecretPath::parse("app/db").unwrap());
    PolicyTarget { environment: Some(environment), path: Some(path), ..<_>::default() }
}

/// The administrator is the only principal, so he tries it on himself.
#[tokio::test]
async fn a_denial_ends_the_tokens_of_its_group_at_the_vault_and_the_policy_explains_itself() {
    let installation = Installation::running().await;
    let client = installation.client();
    let body = json!({"user_id": "u", "key_data": "v", "path": "app/db", "environment": "dev"});
    let stored = Stored::of(&installation.admin_call("POST", "/api/keys", Some(body)).await);
    let roles = client.list_roles(&LineFilter::default(), None).await.unwrap();
    let PartyId::Principal(administrator) = roles.assignments[0].party else { panic!("a principal") };
    let new = CreateGroup { name: AccountName::parse("team").unwrap(), description: None, reason: None };
    let group = client.create_group(&new, Some("once")).await.unwrap();
    assert_eq!(client.create_group(&new, Some("once")).await.unwrap(), group);
    let description = Some(Description::parse("Those who build").unwrap());
    let changed = client.change_group(group.group_id, &ChangeGroup { description, ..<_>::default() }).await.unwrap();
    assert_eq!(client.group(group.group_id).await.unwrap(), changed);
    let members = AddMembers { principals: vec![administrator], reason: None };
    client.add_members(group.group_id, &members).await.unwrap();
    assert_eq!(client.list_members(group.group_id, None).await.unwrap().members, [administrator]);
    assert_eq!(client.list_groups(None).await.unwrap().groups.len(), 1);

    let party = PartyId::Group(group.group_id);
    let allowed = client.create_permission(&permission(party, Effect::Allow, &[Action::List]), None).await.unwrap();
    assert_eq!(client.permission(allowed.permission_id).await.unwrap(), allowed);
    let dry = DryRun {
        changes: vec![ProposedChange::CreatePermission(permission(party, Effect::Deny, &[Action::Read]))],
        secrets: Some(vec![database()]),
        below: None,
    };
    let found = client.dry_run(&dry).await.unwrap();
    assert_eq!((found.total, found.differences[0].principal), (1, Some(administrator)));
    assert_eq!(found.differences[0].loses, [Action::Read].into_iter().collect::<Actions>());
    let explain = Explain { principal: None, action: Action::Read, target: database() };
    assert_eq!(client.explain(&explain).await.unwrap().because, Because::Allowed);
    assert!(installation.opens(&stored).await);
    client.create_permission(&permission(party, Effect::Deny, &[Action::Read]), None).await.unwrap();
    installation.read(&stored.key_id, &stored.token).await.expect_code("token_invalid");
    assert_eq!(client.explain(&explain).await.unwrap().because, Because::Denied);
    let who = WhoCan { action: None, target: database(), after: None, limit: None };
    // Strangers of a development installation may.
    let readers = client.who_can(&who).await.unwrap().principals;
    assert!(readers.iter().all(|one| one.principal.is_none()), "{readers:?}");

    let versions = client.list_policy_versions(None).await.unwrap();
    let former = versions.versions[1].number;
    let page = client.policy_version(former, None).await.unwrap();
    assert_eq!((page.groups.len(), page.lines.len()), (1, 2));
    // He cannot lift what denies him something himself.
    assert!(client.restore_policy_version(former, reason()).await.is_err());
    let removed = client.delete_permission(allowed.permission_id, Some(&reason())).await.unwrap();
    assert_eq!((removed.status, removed.sequences.len()), (RevocationStatus::Revoked, 0));
    let filter = LineFilter { party: Some(party), environment: Some("dev".parse().unwrap()) };
    assert_eq!(client.list_permissions(&filter, None).await.unwrap().permissions.len(), 1);
    let role = AssignRole {
        role: Role::Auditor,
        party: PartyId::Principal(administrator),
        environment: None,
        pattern: PatternText::parse("**").unwrap(),
        starts_at: None,
        ends_at: None,
        reason: reason(),
    };
    let assigned = client.assign_role(&role, None).await.unwrap();
    client.unassign_role(assigned.assignment_id, None).await.unwrap();
    assert!(client.remove_member(group.group_id, administrator, None).await.is_err());
    assert!(client.delete_group(group.group_id, None).await.is_err());
    assert!(matches!(administrator, Subject::Service(_)));
}
