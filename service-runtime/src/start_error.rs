//! The refusal of a service to start.

/// Why a service refuses to start: one sentence that says what is wrong and how to repair it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct StartError {
    /// The sentence. Never holds a key, a secret or a value from a configuration file.
    pub sentence: String,
}

impl StartError {
    /// A refusal with this sentence.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into() }
    }
}
