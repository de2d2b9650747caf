//! Credentials and tokens: mute types, wiped when dropped.

use std::sync::Arc;

use shared_proto::credential::PlainCredential;
use zeroize::Zeroizing;

use crate::ClientError;

/// An access token for the vault.
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// A token in its compact form.
    pub fn new(compact: Zeroizing<String>) -> Self {
        Self(compact)
    }

    /// The compact form.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A service credential for the manager. The text is shared by the clones of a client and wiped with the last one.
#[derive(Clone)]
pub struct Credential(Arc<Zeroizing<String>>);

impl Credential {
    /// Reads the text form, and finds typing errors before anything is sent.
    ///
    /// # Errors
    ///
    /// It is not a service credential.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        PlainCredential::parse(text).map_err(|_| ClientError::Address("this is not a service credential"))?;
        Ok(Self(Arc::new(Zeroizing::new(text.to_owned()))))
    }

    /// The code of a person's session, which is sent as a credential is.
    ///
    /// # Errors
    ///
    /// It is not the code of a session.
    pub fn session(code: &str) -> Result<Self, ClientError> {
        let code = code.trim();
        if !code.starts_with("sps_") || !code.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Address("this is not the code of a session"));
        }
        Ok(Self(Arc::new(Zeroizing::new(code.to_owned()))))
    }

    /// The text form.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(AccessToken: std::fmt::Debug, std::fmt::Display, Clone, serde::Serialize, PartialEq);
    assert_not_impl_any!(Credential: std::fmt::Debug, std::fmt::Display, serde::Serialize, PartialEq);
    assert_not_impl_any!(crate::Client: std::fmt::Debug);
    assert_not_impl_any!(crate::Opened: std::fmt::Debug, Clone);
    assert_not_impl_any!(crate::Token: std::fmt::Debug, Clone);

    #[test]
    fn a_typing_error_in_a_credential_is_found_before_anything_is_sent() {
        let text = PlainCredential::generate().expose_text();
        assert_eq!(Credential::parse(&format!("{}\n", *text)).unwrap().expose(), *text);
        assert!(Credential::parse(&text[..text.len() - 1]).is_err());
    }
}
