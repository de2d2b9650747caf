//! The words of lines, `noun.verb`. Those of routes are the ids of their rows.

/// `POST /api/keys`.
pub const SECRET_STORE: &str = "secret.store";
/// `POST /api/keys/{key_id}/destroy`.
pub const SECRET_DESTROY: &str = "secret.destroy";
/// `POST /api/secrets/{key_id}:rollback`.
pub const SECRET_ROLLBACK: &str = "secret.rollback";
/// `POST /api/secrets`.
pub const SECRET_CREATE: &str = "secret.create";
/// `PUT /api/secrets/{key_id}`.
pub const SECRET_UPDATE: &str = "secret.update";
/// `PATCH /api/secrets/{key_id}`.
pub const SECRET_CHANGE: &str = "secret.change";
/// `DELETE /api/secrets/{key_id}`.
pub const SECRET_DELETE: &str = "secret.delete";
/// `POST /api/secrets/{key_id}:undelete`.
pub const SECRET_UNDELETE: &str = "secret.undelete";
/// `POST /api/secrets/{key_id}:destroy`.
pub const SECRET_ERASE: &str = "secret.erase";
/// `POST /api/secrets:bulk`. Only refusals of the whole have it: each operation has the action of its own route.
pub const SECRET_BULK: &str = "secret.bulk";
/// `POST /api/secrets:import`. A value that is stored has `secret.store`.
pub const SECRET_IMPORT: &str = "secret.import";
/// `GET /api/secrets/{key_id}:same-value`.
pub const VALUE_FIND: &str = "value.find";
/// `POST /api/approvals`.
pub const APPROVAL_CREATE: &str = "approval.create";
/// `GET /api/approvals`.
pub const APPROVAL_LIST: &str = "approval.list";
/// `GET /api/approvals/{approval_id}`.
pub const APPROVAL_SHOW: &str = "approval.show";
/// `POST /api/approvals/{approval_id}:approve`.
pub const APPROVAL_APPROVE: &str = "approval.approve";
/// `POST /api/approvals/{approval_id}:reject`.
pub const APPROVAL_REJECT: &str = "approval.reject";
/// `POST /api/approvals/{approval_id}:cancel`.
pub const APPROVAL_CANCEL: &str = "approval.cancel";
/// `POST /api/secrets/{key_id}:rotate`.
pub const SECRET_ROTATE: &str = "secret.rotate";
/// `POST /api/secrets/{key_id}:verify`.
pub const SECRET_VERIFY: &str = "secret.verify";
/// `POST /api/secrets/{key_id}:promote`.
pub const SECRET_PROMOTE: &str = "secret.promote";
/// `POST /api/secrets/{key_id}:finish`.
pub const SECRET_FINISH: &str = "secret.finish";
/// `POST /api/secrets/{key_id}:repair`.
pub const SECRET_REPAIR: &str = "secret.repair";
/// `GET /api/rotations`.
pub const ROTATION_LIST: &str = "rotation.list";
/// `GET /api/rotations:calendar`.
pub const ROTATION_CALENDAR: &str = "rotation.calendar";
/// `GET /api/notices`.
pub const NOTICE_LIST: &str = "notice.list";
/// `GET /api/secrets/{key_id}`.
pub const SECRET_SHOW: &str = "secret.show";
/// `GET /api/secrets/{key_id}/versions`.
pub const VERSION_LIST: &str = "version.list";
/// `POST /api/secrets/{key_id}/versions`. Only refusals have it: a version that is stored has `secret.store`.
pub const VERSION_CREATE: &str = "version.create";
/// `GET /api/secrets/{key_id}/versions/{version}`.
pub const VERSION_SHOW: &str = "version.show";
/// `GET /api/secrets/{key_id}/versions/{version}:diff`.
pub const VERSION_DIFF: &str = "version.diff";
/// `PATCH /api/secrets/{key_id}/versions/{version}`.
pub const VERSION_UPDATE: &str = "version.update";
/// `DELETE /api/secrets/{key_id}/versions/{version}`. Only refusals have it: what is destroyed has `secret.destroy`.
pub const VERSION_DESTROY: &str = "version.destroy";
/// `GET /api/secrets`.
pub const SECRET_LIST: &str = "secret.list";
/// `GET /api/folders`.
pub const FOLDER_LIST: &str = "folder.list";
/// `POST /api/tokens`.
pub const TOKEN_MINT: &str = "token.mint";
/// `GET /api/tokens`.
pub const TOKEN_LIST: &str = "token.list";
/// `DELETE /api/tokens/{jti}`, and a revocation of that kind.
pub const TOKEN_REVOKE: &str = "token.revoke";
/// `POST /api/revocations`. Only refusals have it: what is revoked has an action of its own.
pub const REVOCATION_CREATE: &str = "revocation.create";
/// `GET /api/revocations`.
pub const REVOCATION_LIST: &str = "revocation.list";
/// `GET /api/audit`.
pub const AUDIT_LIST: &str = "audit.list";
/// `POST /api/environments`.
pub const ENVIRONMENT_CREATE: &str = "environment.create";
/// `GET /api/environments`.
pub const ENVIRONMENT_LIST: &str = "environment.list";
/// `GET /api/environments/{name}`.
pub const ENVIRONMENT_SHOW: &str = "environment.show";
/// `PATCH /api/environments/{name}`.
pub const ENVIRONMENT_UPDATE: &str = "environment.update";
/// `POST /api/environments/{name}:freeze`.
pub const ENVIRONMENT_FREEZE: &str = "environment.freeze";
/// `POST /api/environments/{name}:unfreeze`.
pub const ENVIRONMENT_UNFREEZE: &str = "environment.unfreeze";
/// `POST /api/environments/{name}:disable`.
pub const ENVIRONMENT_DISABLE: &str = "environment.disable";
/// `POST /api/environments/{name}:enable`.
pub const ENVIRONMENT_ENABLE: &str = "environment.enable";
/// `GET /api/settings/rate-limits`.
pub const RATE_LIMIT_SHOW: &str = "rate_limit.show";
/// `PATCH /api/settings/rate-limits`.
pub const RATE_LIMIT_UPDATE: &str = "rate_limit.update";
/// `POST /api/services`.
pub const SERVICE_CREATE: &str = "service.create";
/// `GET /api/services`.
pub const SERVICE_LIST: &str = "service.list";
/// `GET /api/services/{service_id}`.
pub const SERVICE_SHOW: &str = "service.show";
/// `PATCH /api/services/{service_id}`.
pub const SERVICE_UPDATE: &str = "service.update";
/// `POST /api/services/{service_id}:approve`.
pub const SERVICE_APPROVE: &str = "service.approve";
/// `POST /api/services/{service_id}:enable`.
pub const SERVICE_ENABLE: &str = "service.enable";
/// `GET /api/services/{service_id}/sole-secrets`.
pub const SERVICE_SECRETS: &str = "service.list_sole_secrets";
/// `POST /api/services/{service_id}/credentials`.
pub const CREDENTIAL_CREATE: &str = "credential.create";
/// `GET /api/services/{service_id}/credentials`.
pub const CREDENTIAL_LIST: &str = "credential.list";
/// `POST /api/services/{service_id}/credentials/{credential_id}:renew`.
pub const CREDENTIAL_RENEW: &str = "credential.renew";
/// `DELETE /api/services/{service_id}/credentials/{credential_id}`, and a revocation of that kind.
pub const CREDENTIAL_DISABLE: &str = "credential.disable";
/// `POST /tokens`.
pub const SERVICE_TOKEN_CREATE: &str = "service_token.create";
/// `POST /api/services/{service_id}:disable`.
pub const SERVICE_DISABLE: &str = "service.disable";
/// `POST /api/groups`.
pub const GROUP_CREATE: &str = "group.create";
/// `GET /api/groups`.
pub const GROUP_LIST: &str = "group.list";
/// `GET /api/groups/{group_id}`.
pub const GROUP_SHOW: &str = "group.show";
/// `PATCH /api/groups/{group_id}`.
pub const GROUP_UPDATE: &str = "group.update";
/// `DELETE /api/groups/{group_id}`.
pub const GROUP_DELETE: &str = "group.delete";
/// `GET /api/groups/{group_id}/members`.
pub const MEMBER_LIST: &str = "member.list";
/// `POST /api/groups/{group_id}/members`.
pub const MEMBER_ADD: &str = "member.add";
/// `DELETE /api/groups/{group_id}/members/{principal}`.
pub const MEMBER_REMOVE: &str = "member.remove";
/// `POST /api/roles`.
pub const ROLE_ASSIGN: &str = "role.assign";
/// `GET /api/roles`.
pub const ROLE_LIST: &str = "role.list";
/// `DELETE /api/roles/{assignment_id}`.
pub const ROLE_UNASSIGN: &str = "role.unassign";
/// `POST /api/permissions`.
pub const PERMISSION_CREATE: &str = "permission.create";
/// `GET /api/permissions`.
pub const PERMISSION_LIST: &str = "permission.list";
/// `GET /api/permissions/{permission_id}`.
pub const PERMISSION_SHOW: &str = "permission.show";
/// `DELETE /api/permissions/{permission_id}`.
pub const PERMISSION_DELETE: &str = "permission.delete";
/// `POST /api/permissions:explain`.
pub const PERMISSION_EXPLAIN: &str = "permission.explain";
/// `POST /api/permissions:who-can`.
pub const PERMISSION_WHO_CAN: &str = "permission.who_can";
/// `POST /api/permissions:dry-run`.
pub const PERMISSION_DRY_RUN: &str = "permission.dry_run";
/// `GET /api/policy/versions`.
pub const POLICY_VERSION_LIST: &str = "policy_version.list";
/// `GET /api/policy/versions/{number}`.
pub const POLICY_VERSION_SHOW: &str = "policy_version.show";
/// `POST /api/policy/versions/{number}:restore`.
pub const POLICY_VERSION_RESTORE: &str = "policy_version.restore";
/// `POST /api/people`.
pub const PERSON_CREATE: &str = "person.create";
/// `GET /api/people`.
pub const PERSON_LIST: &str = "person.list";
/// `GET /api/people/{person_id}`.
pub const PERSON_SHOW: &str = "person.show";
/// `PATCH /api/people/{person_id}`.
pub const PERSON_UPDATE: &str = "person.update";
/// `POST /api/people/{person_id}:disable`.
pub const PERSON_DISABLE: &str = "person.disable";
/// `POST /api/people/{person_id}:enable`.
pub const PERSON_ENABLE: &str = "person.enable";
/// `POST /api/people/{person_id}:reset`.
pub const PERSON_RESET: &str = "person.reset";
/// `POST /api/enrolments`.
pub const ENROLMENT_CREATE: &str = "enrolment.create";
/// `GET /api/enrolments`.
pub const ENROLMENT_LIST: &str = "enrolment.list";
/// `DELETE /api/enrolments/{enrolment_id}`.
pub const ENROLMENT_REMOVE: &str = "enrolment.remove";
/// `POST /api/enrolments:redeem`.
pub const ENROLMENT_REDEEM: &str = "enrolment.redeem";
/// `POST /api/sessions`.
pub const SESSION_CREATE: &str = "session.create";
/// `GET /api/sessions`.
pub const SESSION_LIST: &str = "session.list";
/// `DELETE /api/sessions/{session_id}`.
pub const SESSION_END: &str = "session.end";
/// `POST /api/sessions:reauthenticate`.
pub const SESSION_REAUTHENTICATE: &str = "session.reauthenticate";
/// `GET /api/me`.
pub const ME_SHOW: &str = "me.show";
/// `POST /api/me/password`.
pub const PASSWORD_CHANGE: &str = "password.change";
/// `POST /api/me/totp`.
pub const TOTP_OFFER: &str = "totp.offer";
/// `POST /api/me/totp:confirm`.
pub const TOTP_CONFIRM: &str = "totp.confirm";
/// `DELETE /api/me/totp`.
pub const TOTP_REMOVE: &str = "totp.remove";
/// `POST /api/me/recovery-codes`.
pub const RECOVERY_CODES_CREATE: &str = "recovery_code.create";
/// `POST /api/services/{service_id}/keys`.
pub const SERVICE_KEY_REGISTER: &str = "service_key.register";
/// `GET /api/services/{service_id}/keys`.
pub const SERVICE_KEY_LIST: &str = "service_key.list";
/// `DELETE /api/services/{service_id}/keys/{credential_id}`.
pub const SERVICE_KEY_DISABLE: &str = "service_key.disable";
/// `POST /api/trusts`.
pub const TRUST_CREATE: &str = "trust.create";
/// `GET /api/trusts`.
pub const TRUST_LIST: &str = "trust.list";
/// `GET /api/trusts/{trust_id}`.
pub const TRUST_SHOW: &str = "trust.show";
/// `PATCH /api/trusts/{trust_id}`.
pub const TRUST_UPDATE: &str = "trust.update";
/// `DELETE /api/trusts/{trust_id}`.
pub const TRUST_DISABLE: &str = "trust.disable";
/// `POST /api/trusts/{trust_id}:dry-run`.
pub const TRUST_DRY_RUN: &str = "trust.dry_run";
/// `POST /oauth/token`. Only refusals have it: a token is minted under an action of its own.
pub const OAUTH_TOKEN: &str = "oauth.token";
/// `GET /.well-known/oauth-authorization-server`.
pub const OAUTH_METADATA: &str = "oauth.metadata";
/// `POST /api/reconcile`.
pub const CATALOGUE_RECONCILE: &str = "catalogue.reconcile";
/// `GET /api/secrets/{key_id}/integrity`.
pub const SECRET_CHECK: &str = "secret.check";
/// `GET /api/integrity`.
pub const CATALOGUE_CHECK: &str = "catalogue.check";
/// `POST /api/secrets/{key_id}:compromise`.
pub const INCIDENT_OPEN: &str = "incident.open";
/// `GET /api/incidents`.
pub const INCIDENT_LIST: &str = "incident.list";
/// `GET /api/incidents/{incident_id}`.
pub const INCIDENT_SHOW: &str = "incident.show";
/// `PATCH /api/incidents/{incident_id}`.
pub const INCIDENT_UPDATE: &str = "incident.update";
/// `GET /api/incidents/{incident_id}/report`.
pub const INCIDENT_REPORT: &str = "incident.report";
