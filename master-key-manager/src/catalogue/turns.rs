//! The values whose making takes a turn: RSA keys, which take a core for seconds each. Whatever else is made takes none.

use manager_api::generate::{Generate, KeyPairAlgorithm, SshAlgorithm};

use crate::turns::Work;

/// The making of RSA keys. The last one waits for seven others, which is less than a minute.
pub(super) const RSA_KEYS: Work = Work {
    at_once: 2,
    places: 16,
    // About the time of a key.
    pause: 5,
    is_busy: "Another RSA key is made for you: ask for one after the other.",
    is_full: "many RSA keys are waited for",
};

/// Tells whether a value takes a turn to make.
pub(super) fn takes_a_turn(wanted: &Generate) -> bool {
    match wanted {
        Generate::SshKey { algorithm, .. } => match algorithm {
            SshAlgorithm::Rsa3072 | SshAlgorithm::Rsa4096 => true,
            SshAlgorithm::Ed25519 | SshAlgorithm::EcdsaP256 => false,
        },
        Generate::KeyPair { algorithm, .. } => match algorithm {
            KeyPairAlgorithm::Rsa3072 | KeyPairAlgorithm::Rsa4096 => true,
            KeyPairAlgorithm::EcP256 | KeyPairAlgorithm::EcP384 | KeyPairAlgorithm::Ed25519 => false,
        },
        Generate::Password { .. }
        | Generate::Passphrase { .. }
        | Generate::ApiKey { .. }
        | Generate::Key256 { .. }
        | Generate::Token { .. }
        | Generate::Uuid {} => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rsa_takes_a_turn() {
        let wanted = |text: &str| takes_a_turn(&serde_json::from_str(text).unwrap());
        assert!(wanted(r#"{"form": "key-pair", "algorithm": "rsa-4096"}"#));
        assert!(wanted(r#"{"form": "ssh-key", "algorithm": "rsa-3072"}"#));
        assert!(!wanted(r#"{"form": "key-pair"}"#) && !wanted(r#"{"form": "ssh-key"}"#));
        assert!(!wanted(r#"{"form": "password"}"#) && !wanted(r#"{"form": "uuid"}"#));
    }
}
