//! Acts of which several are alike: on environments, on secrets, on keys.

use super::action;

/// An act on an environment.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::VariantArray, strum::EnumMessage))]
pub enum EnvironmentAct {
    /// An environment is made, with a root key.
    Create,
    /// An environment is described.
    Show,
    /// The settings of an environment are changed.
    Update,
    /// An environment is frozen.
    Freeze,
    /// An environment is no longer frozen.
    Unfreeze,
    /// An environment is no longer disabled.
    Enable,
}

impl EnvironmentAct {
    /// Its action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Create => action::ENVIRONMENT_CREATE,
            Self::Show => action::ENVIRONMENT_SHOW,
            Self::Update => action::ENVIRONMENT_UPDATE,
            Self::Freeze => action::ENVIRONMENT_FREEZE,
            Self::Unfreeze => action::ENVIRONMENT_UNFREEZE,
            Self::Enable => action::ENVIRONMENT_ENABLE,
        }
    }
}

/// The action of a removal.
pub(super) const SECRET_PRUNE: &str = "secret.prune";

/// An act on a secret that makes no version.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::VariantArray, strum::EnumMessage))]
pub enum SecretAct {
    /// A secret is deleted for a time, and its tokens are revoked.
    Delete,
    /// The deletion of a secret is taken back.
    Undelete,
    /// A deleted secret is destroyed with all its versions: by command, after an approval, or because its time has passed.
    Destroy,
    /// The rows of a secret are removed that was destroyed long ago.
    Prune,
    /// A secret is rotated. The line of the version that is stored follows.
    Rotate,
    /// Somebody says that the pending version of a secret works.
    Verify,
    /// The pending version of a secret becomes current.
    Promote,
    /// The grace time of a former version ends, and the tokens of its envelope are revoked.
    Finish,
    /// The rest of a rotation is finished or taken back.
    Repair,
}

impl SecretAct {
    /// Its action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Delete => action::SECRET_DELETE,
            Self::Undelete => action::SECRET_UNDELETE,
            Self::Destroy => action::SECRET_ERASE,
            Self::Prune => SECRET_PRUNE,
            Self::Rotate => action::SECRET_ROTATE,
            Self::Verify => action::SECRET_VERIFY,
            Self::Promote => action::SECRET_PROMOTE,
            Self::Finish => action::SECRET_FINISH,
            Self::Repair => action::SECRET_REPAIR,
        }
    }
}

/// An act on versions that stores and destroys none.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::VariantArray, strum::EnumMessage))]
pub enum VersionAct {
    /// A list of the versions of a secret is given out.
    List,
    /// A version is described.
    Show,
    /// Two versions are compared.
    Compare,
    /// The note or the stages of a version are changed.
    Update,
}

impl VersionAct {
    /// Its action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::List => action::VERSION_LIST,
            Self::Show => action::VERSION_SHOW,
            Self::Compare => action::VERSION_DIFF,
            Self::Update => action::VERSION_UPDATE,
        }
    }
}

/// A step of a key rotation.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(test, derive(strum::VariantArray, strum::EnumMessage))]
pub enum KeyStep {
    /// Wrapped keys of up to 64 rows are exchanged for those of a newer root key.
    RootKeyExchange,
    /// The vault is ordered to erase the wrapped keys below an epoch.
    EpochRetire,
    /// The file of a root key says that nothing is under it.
    RootKeyRetire,
    /// A root key is destroyed.
    RootKeyDestroy,
    /// The next token signing key signs tokens.
    TokenSigningKeyActivate,
    /// The next token signing key takes the place of one that was revoked.
    TokenSigningKeyReplace,
    /// A replaced token signing key is destroyed.
    TokenSigningKeyDestroy,
    /// The next identity key is in use.
    IdentityKeyActivate,
}

impl KeyStep {
    /// Its action.
    pub const fn action(self) -> &'static str {
        match self {
            Self::RootKeyExchange => "root_key.exchange",
            Self::EpochRetire => "epoch.retire",
            Self::RootKeyRetire => "root_key.retire",
            Self::RootKeyDestroy => "root_key.destroy",
            Self::TokenSigningKeyActivate => "token_signing_key.activate",
            Self::TokenSigningKeyReplace => "token_signing_key.replace",
            Self::TokenSigningKeyDestroy => "token_signing_key.destroy",
            Self::IdentityKeyActivate => "identity_key.activate",
        }
    }
}
