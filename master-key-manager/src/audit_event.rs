//! All audit events of the manager except refusals, which have the action of their route.
//!
//! docs/audit-events/master-key-manager.md is made from these enums: `UPDATE_EVIDENCE=1 cargo test audit_event`.

pub mod action;
mod acts;
pub mod response;
mod secret_change;
pub mod value;

use manager_api::name::{EnvironmentName, SecretPath};
use service_runtime::audit::{self, AuditRecord, AuditStatus, Origin};
use shared_proto::encoding::b64;
use shared_proto::error::ErrorCode;
use shared_proto::id::{CredentialId, SecretId, Subject, TokenId, Version};
use shared_proto::jwk::Thumbprint;

pub use self::acts::{EnvironmentAct, KeyStep, SecretAct, VersionAct};
pub use self::secret_change::SecretChange;

/// An event that takes effect only when its line is durable.
#[derive(Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum Act<'a> {
    /// A version is stored, or answered once more for the same idempotency key.
    SecretStore {
        /// Its secret.
        secret: SecretId,
        /// Its path.
        path: &'a SecretPath,
        /// The token that is made with it.
        token: Option<TokenId>,
    },
    /// Versions are destroyed.
    SecretDestroy {
        /// Their secret.
        secret: SecretId,
        /// Its path.
        path: &'a SecretPath,
        /// The versions.
        versions: Vec<Version>,
    },
    /// A secret is rolled back to a version, or the answer is given once more for the same idempotency key.
    SecretRollback {
        /// The secret.
        secret: SecretId,
        /// Its path.
        path: &'a SecretPath,
        /// The version whose value is wanted again.
        version: Version,
    },
    /// An act on a secret that makes no version.
    Secret(SecretAct, SecretId, &'a SecretPath),
    /// An act on versions that stores and destroys none, with their numbers.
    Version(VersionAct, SecretId, Vec<Version>),
    /// Versions are destroyed that the rule of their secret does not keep.
    VersionRetire {
        /// Their secret.
        secret: SecretId,
        /// Its path.
        path: &'a SecretPath,
        /// The versions.
        versions: Vec<Version>,
    },
    /// A token is signed. Its line names envelopes by their numbers, as the token does.
    TokenMint {
        /// Its id.
        token: TokenId,
        /// The envelopes that it opens.
        versions: Vec<(SecretId, Version)>,
    },
    /// The token of an external issuer is admitted by a trust, for a token that is made next. Its `sub` is in the line.
    TrustAdmit(String),
    /// A secret is described.
    SecretShow(SecretId),
    /// Somebody is told what an import would do.
    ImportTry,
    /// A list of secrets is given out.
    SecretList,
    /// What is in a folder is given out.
    FolderList,
    /// A list of secrets that are due for their next rotation is given out.
    RotationList,
    /// Numbers of secrets that are due for their next rotation are given out.
    RotationCalendar,
    /// A list of notices is given out.
    NoticeList,
    /// A list of tokens is given out.
    TokenList,
    /// A list of revocations is given out.
    RevocationList,
    /// Audit lines are given out.
    AuditList,
    /// The catalogue is compared with the vault's inventory.
    CatalogueReconcile,
    /// A list of environments is given out.
    EnvironmentList,
    /// An act on an environment.
    Environment(EnvironmentAct, &'a EnvironmentName),
    /// A step of a key rotation, with the key that it is about.
    KeyRotation(KeyStep, String),
    /// An act on the registry, with the id that it is about.
    Registry(RegistryAct, Option<String>),
}

macro_rules! registry_words {
    ($(#[$doc:meta])* $type:ident: $($(#[$own:meta])+ $name:ident = $action:expr;)+) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[cfg_attr(test, derive(strum::VariantArray, strum::EnumMessage))]
        pub enum $type {
            $($(#[$own])+ $name,)+
        }

        impl $type {
            /// Its action.
            pub const fn action(self) -> &'static str {
                match self {
                    $(Self::$name => $action,)+
                }
            }
        }
    };
}

registry_words! {
    /// An act on the registry that waits for its line: it makes something, or gives something out.
    RegistryAct:
    /// The rate limits are shown.
    RateLimitShow = action::RATE_LIMIT_SHOW;
    /// The rate limits are changed.
    RateLimitUpdate = action::RATE_LIMIT_UPDATE;
    /// A service is registered.
    ServiceCreate = action::SERVICE_CREATE;
    /// A group is made.
    GroupCreate = action::GROUP_CREATE;
    /// A list of groups is given out.
    GroupList = action::GROUP_LIST;
    /// A group is described.
    GroupShow = action::GROUP_SHOW;
    /// A group gets another name or description.
    GroupUpdate = action::GROUP_UPDATE;
    /// A group is deleted, which no line names.
    GroupDelete = action::GROUP_DELETE;
    /// A list of members is given out.
    MemberList = action::MEMBER_LIST;
    /// Principals join a group.
    MemberAdd = action::MEMBER_ADD;
    /// A role is assigned.
    RoleAssign = action::ROLE_ASSIGN;
    /// A list of role assignments is given out.
    RoleList = action::ROLE_LIST;
    /// A permission is made that allows.
    PermissionCreate = action::PERMISSION_CREATE;
    /// A list of permissions is given out.
    PermissionList = action::PERMISSION_LIST;
    /// A permission is described.
    PermissionShow = action::PERMISSION_SHOW;
    /// A permission is deleted that denies.
    DenialDelete = action::PERMISSION_DELETE;
    /// A decision is explained.
    PermissionExplain = action::PERMISSION_EXPLAIN;
    /// Somebody learns who may do something.
    PermissionWhoCan = action::PERMISSION_WHO_CAN;
    /// Somebody learns what a change would do.
    PermissionDryRun = action::PERMISSION_DRY_RUN;
    /// A list of versions of the policy is given out.
    PolicyVersionList = action::POLICY_VERSION_LIST;
    /// A version of the policy is given out.
    PolicyVersionShow = action::POLICY_VERSION_SHOW;
    /// A former version of the policy is put in force again.
    PolicyVersionRestore = action::POLICY_VERSION_RESTORE;
    /// A list of services is given out.
    ServiceList = action::SERVICE_LIST;
    /// A service is described.
    ServiceShow = action::SERVICE_SHOW;
    /// The description, owner or needs of a service are changed.
    ServiceUpdate = action::SERVICE_UPDATE;
    /// A service is allowed what it needs, or a part of it.
    ServiceApprove = action::SERVICE_APPROVE;
    /// A service is no longer disabled.
    ServiceEnable = action::SERVICE_ENABLE;
    /// A list of secrets that only one service may read is given out.
    ServiceSecrets = action::SERVICE_SECRETS;
    /// A credential of a service is made.
    CredentialCreate = action::CREDENTIAL_CREATE;
    /// A list of the credentials of a service is given out.
    CredentialList = action::CREDENTIAL_LIST;
    /// The next credential is made with the terms of another one.
    CredentialRenew = action::CREDENTIAL_RENEW;
    /// A credential of a service is made by its name.
    ServiceTokenCreate = action::SERVICE_TOKEN_CREATE;
    /// A person is made.
    PersonCreate = action::PERSON_CREATE;
    /// A list of people is given out.
    PersonList = action::PERSON_LIST;
    /// A person is described.
    PersonShow = action::PERSON_SHOW;
    /// A person's names are changed.
    PersonUpdate = action::PERSON_UPDATE;
    /// A person is no longer disabled.
    PersonEnable = action::PERSON_ENABLE;
    /// Password, authenticator and sessions of a person end, and a code for a new first login is made.
    PersonReset = action::PERSON_RESET;
    /// An enrolment code is made.
    EnrolmentCreate = action::ENROLMENT_CREATE;
    /// A list of enrolment codes is given out.
    EnrolmentList = action::ENROLMENT_LIST;
    /// An enrolment code is redeemed.
    EnrolmentRedeem = action::ENROLMENT_REDEEM;
    /// A person logs in.
    SessionCreate = action::SESSION_CREATE;
    /// A list of sessions is given out.
    SessionList = action::SESSION_LIST;
    /// A person repeats the login of a session.
    SessionReauthenticate = action::SESSION_REAUTHENTICATE;
    /// A caller asks who he is.
    MeShow = action::ME_SHOW;
    /// A person changes the password.
    PasswordChange = action::PASSWORD_CHANGE;
    /// A person gets the seed of an authenticator.
    TotpOffer = action::TOTP_OFFER;
    /// A person takes an authenticator into use.
    TotpConfirm = action::TOTP_CONFIRM;
    /// A person gets new recovery codes.
    RecoveryCodesCreate = action::RECOVERY_CODES_CREATE;
    /// A public key of a service is registered.
    ServiceKeyRegister = action::SERVICE_KEY_REGISTER;
    /// The public keys of a service are given out.
    ServiceKeyList = action::SERVICE_KEY_LIST;
    /// A trust is made.
    TrustCreate = action::TRUST_CREATE;
    /// A list of trusts is given out.
    TrustList = action::TRUST_LIST;
    /// A trust is described.
    TrustShow = action::TRUST_SHOW;
    /// A trust is changed. If other tokens count from now on, those that were made by it are revoked.
    TrustUpdate = action::TRUST_UPDATE;
    /// A token of an external issuer is checked with a trust.
    TrustDryRun = action::TRUST_DRY_RUN;
    /// Somebody asks for an act that somebody else approves.
    ApprovalCreate = action::APPROVAL_CREATE;
    /// A list of approvals is given out.
    ApprovalList = action::APPROVAL_LIST;
    /// An approval is described.
    ApprovalShow = action::APPROVAL_SHOW;
    /// Somebody approves what somebody else has asked for.
    ApprovalApprove = action::APPROVAL_APPROVE;
}

registry_words! {
    /// An act on the registry that never waits for its line: it takes something away.
    RegistryOutcome:
    /// A service is disabled, and the tokens of its credentials are revoked.
    ServiceDisable = action::SERVICE_DISABLE;
    /// A principal leaves a group.
    MemberRemove = action::MEMBER_REMOVE;
    /// A role assignment is deleted.
    RoleUnassign = action::ROLE_UNASSIGN;
    /// A permission is made that denies.
    DenialCreate = action::PERMISSION_CREATE;
    /// A permission is deleted that allows.
    PermissionDelete = action::PERMISSION_DELETE;
    /// A person is disabled, and the sessions and tokens of the person end.
    PersonDisable = action::PERSON_DISABLE;
    /// An enrolment code is taken back.
    EnrolmentRemove = action::ENROLMENT_REMOVE;
    /// A session ends, with its tokens.
    SessionEnd = action::SESSION_END;
    /// A person gives up the authenticator.
    TotpRemove = action::TOTP_REMOVE;
    /// A public key of a service is disabled, and the tokens that were made with it are revoked.
    ServiceKeyDisable = action::SERVICE_KEY_DISABLE;
    /// A trust is disabled, and the tokens that were made by it are revoked.
    TrustDisable = action::TRUST_DISABLE;
    /// What somebody has asked for is refused; or what was approved ends, with the tokens of its secret.
    ApprovalReject = action::APPROVAL_REJECT;
    /// What somebody has asked for himself is taken back; or what was approved ends, with the tokens of its secret.
    ApprovalCancel = action::APPROVAL_CANCEL;
}

impl Act<'_> {
    /// Its action.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::SecretStore { .. } => action::SECRET_STORE,
            Self::SecretDestroy { .. } => action::SECRET_DESTROY,
            Self::SecretRollback { .. } => action::SECRET_ROLLBACK,
            Self::Version(act, ..) => act.action(),
            Self::VersionRetire { .. } => VERSION_RETIRE,
            Self::Secret(act, _, _) => act.action(),
            Self::TokenMint { .. } => action::TOKEN_MINT,
            Self::TrustAdmit(_) => "trust.admit",
            Self::SecretShow(_) => action::SECRET_SHOW,
            Self::ImportTry => action::SECRET_IMPORT,
            Self::SecretList => action::SECRET_LIST,
            Self::FolderList => action::FOLDER_LIST,
            Self::RotationList => action::ROTATION_LIST,
            Self::RotationCalendar => action::ROTATION_CALENDAR,
            Self::NoticeList => action::NOTICE_LIST,
            Self::TokenList => action::TOKEN_LIST,
            Self::RevocationList => action::REVOCATION_LIST,
            Self::AuditList => action::AUDIT_LIST,
            Self::CatalogueReconcile => action::CATALOGUE_RECONCILE,
            Self::EnvironmentList => action::ENVIRONMENT_LIST,
            Self::Environment(act, _) => act.action(),
            Self::KeyRotation(step, _) => step.action(),
            Self::Registry(act, _) => act.action(),
        }
    }
}

impl audit::Act for Act<'_> {
    fn line(self, origin: &Origin) -> AuditRecord {
        let line = AuditRecord::new(self.action(), AuditStatus::Success, origin);
        match self {
            Self::SecretStore { secret, path, token } => {
                let line = line.key_id(secret.to_string()).key_path(path.as_str());
                match token {
                    Some(token) => line.jti(token.to_string()),
                    None => line,
                }
            }
            Self::SecretDestroy { secret, path, versions } | Self::VersionRetire { secret, path, versions } => {
                let line = line.key_id(secret.to_string()).key_path(path.as_str());
                line.secrets(versions.into_iter().map(|version| (secret, version)))
            }
            Self::SecretRollback { secret, path, version } => {
                line.key_id(secret.to_string()).key_path(path.as_str()).secrets([(secret, version)])
            }
            Self::Secret(_, secret, path) => line.key_id(secret.to_string()).key_path(path.as_str()),
            Self::Version(_, secret, versions) => {
                let line = line.key_id(secret.to_string());
                line.secrets(versions.into_iter().map(|version| (secret, version)))
            }
            Self::TokenMint { token, versions } => line.secrets(versions).jti(token.to_string()),
            Self::TrustAdmit(subject) => line.target(subject),
            Self::SecretShow(secret) => line.key_id(secret.to_string()),
            Self::ImportTry
            | Self::SecretList
            | Self::FolderList
            | Self::RotationList
            | Self::RotationCalendar
            | Self::NoticeList
            | Self::TokenList
            | Self::RevocationList
            | Self::AuditList
            | Self::EnvironmentList
            | Self::CatalogueReconcile
            | Self::Registry(_, None) => line,
            Self::Environment(_, name) => line.target(name.to_string()),
            Self::KeyRotation(_, key) => line.target(key),
            Self::Registry(_, Some(id)) => line.target(id),
        }
    }
}

const VERSION_RETIRE: &str = "version.retire";

/// An event that never waits for its line: a revocation that was recorded.
#[derive(Clone, Debug)]
#[cfg_attr(test, derive(strum::EnumCount, strum::EnumMessage))]
pub enum Outcome {
    /// A token is revoked.
    TokenRevoke(TokenId),
    /// The tokens of a subject are revoked.
    SubjectRevoke(Subject),
    /// The tokens that were made with a credential are revoked.
    CredentialRevoke(CredentialId),
    /// A credential is disabled, and the tokens that were made with it are revoked.
    CredentialDisable(CredentialId),
    /// An environment is disabled, and its tokens are revoked.
    EnvironmentDisable(EnvironmentName),
    /// The tokens of a secret are revoked.
    SecretRevoke(SecretId),
    /// The tokens of a version are revoked, and of all that point to the same envelope. Its number is in the line.
    VersionRevoke(SecretId, Version),
    /// The tokens that a key signed are revoked, and it signs none any more.
    SigningKeyRevoke(Thumbprint),
    /// All tokens are revoked.
    AllRevoke,
    /// The rows of a secret that was destroyed long ago are not removed, whatever the line before says, or nobody knows. The code says why.
    SecretUnpruned(SecretId, ErrorCode),
    /// A deleted secret whose time has passed is not destroyed, whatever the line before says, or nobody knows. The code says why.
    SecretKept(SecretId, ErrorCode),
    /// Versions that the rule of their secret does not keep are not destroyed, whatever the line before says, or nobody knows.
    VersionsKept(SecretId, Vec<Version>, ErrorCode),
    /// An act on the registry, with the id that it is about.
    Registry(RegistryOutcome, String),
}

impl Outcome {
    /// Its action.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::TokenRevoke(_) => action::TOKEN_REVOKE,
            Self::SubjectRevoke(_) => "subject.revoke",
            Self::CredentialRevoke(_) => "credential.revoke",
            Self::CredentialDisable(_) => action::CREDENTIAL_DISABLE,
            Self::EnvironmentDisable(_) => action::ENVIRONMENT_DISABLE,
            Self::SecretRevoke(_) => "secret.revoke",
            Self::VersionRevoke(..) => "version.revoke",
            Self::SigningKeyRevoke(_) => "signing_key.revoke",
            Self::AllRevoke => "token.revoke_all",
            Self::SecretUnpruned(..) => acts::SECRET_PRUNE,
            Self::SecretKept(..) => action::SECRET_ERASE,
            Self::VersionsKept(..) => VERSION_RETIRE,
            Self::Registry(act, _) => act.action(),
        }
    }
}

impl audit::Outcome for Outcome {
    fn line(self, origin: &Origin) -> AuditRecord {
        let status = match self {
            Self::SecretKept(..) | Self::SecretUnpruned(..) | Self::VersionsKept(..) => AuditStatus::Failed,
            Self::TokenRevoke(_)
            | Self::SubjectRevoke(_)
            | Self::CredentialRevoke(_)
            | Self::CredentialDisable(_)
            | Self::EnvironmentDisable(_)
            | Self::SecretRevoke(_)
            | Self::VersionRevoke(..)
            | Self::SigningKeyRevoke(_)
            | Self::AllRevoke
            | Self::Registry(..) => AuditStatus::Success,
        };
        let line = AuditRecord::new(self.action(), status, origin);
        match self {
            Self::SecretKept(secret, code) | Self::SecretUnpruned(secret, code) => {
                line.code(code).key_id(secret.to_string())
            }
            Self::VersionsKept(secret, versions, code) => {
                let versions = versions.into_iter().map(|version| (secret, version));
                line.code(code).key_id(secret.to_string()).secrets(versions)
            }
            Self::TokenRevoke(token) => line.jti(token.to_string()),
            Self::SubjectRevoke(subject) => line.target(subject.to_string()),
            Self::CredentialRevoke(credential) | Self::CredentialDisable(credential) => {
                line.target(credential.to_string())
            }
            Self::EnvironmentDisable(name) => line.target(name.to_string()),
            Self::SecretRevoke(secret) => line.key_id(secret.to_string()),
            Self::VersionRevoke(secret, version) => line.key_id(secret.to_string()).secrets([(secret, version)]),
            Self::SigningKeyRevoke(kid) => line.target(b64(&kid.0)),
            Self::AllRevoke => line,
            Self::Registry(_, id) => line.target(id),
        }
    }
}

#[cfg(test)]
mod tests;
