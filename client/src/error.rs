//! Why a call failed.

use std::fmt;

use shared_proto::error::{ErrorCode, Problem};

/// Why a call failed. Holds no URL, header or value.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The service refused; `code` and its `retry()` say what to do.
    #[error("{}: {}", .0.code.as_str(), .0.title)]
    Refused(Box<Problem>),
    /// No answer arrived. Whether the request was carried out is unknown unless the connection was never made.
    #[error("no answer: {0}")]
    Transport(TransportFault),
    /// The answer is not what the protocol says.
    #[error("the answer (status {status}) is not in the form of the protocol")]
    Malformed {
        /// Its HTTP status.
        status: u16,
    },
    /// A base address, credential, token or header cannot be used.
    #[error("{0}")]
    Address(&'static str),
}

impl ClientError {
    /// The code of a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(problem) => Some(problem.code),
            Self::Transport(_) | Self::Malformed { .. } | Self::Address(_) => None,
        }
    }
}

/// What kept an answer from arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// No connection could be made: nothing was sent.
    Connect,
    /// The deadline passed.
    Deadline,
    /// The connection broke, or TLS failed on the way.
    Broken,
    /// The HTTP library could not be set up.
    SetUp,
}

impl fmt::Display for TransportFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Connect => "no connection could be made",
            Self::Deadline => "the deadline passed",
            Self::Broken => "the connection broke",
            Self::SetUp => "the HTTP library could not be set up",
        })
    }
}

// The library's error holds the URL; only its kind goes on.
impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        if error.is_builder() {
            return Self::Address("a header of the request cannot be sent");
        }
        Self::Transport(if error.is_connect() {
            TransportFault::Connect
        } else if error.is_timeout() {
            TransportFault::Deadline
        } else {
            TransportFault::Broken
        })
    }
}
