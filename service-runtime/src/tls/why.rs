//! The reason why this service or its peer ended a handshake: one line for the operator.
//!
//! A line names the side of this service, the peer's address and the reason. It quotes nothing that the peer sent
//! except the number of an alert.

use std::{error::Error, fmt::Display, io};

use rustls::{AlertDescription, CertificateError};

use crate::sampled::Sampled;

/// The side of this service in a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The server.
    Server,
    /// The client.
    Client,
}

/// A reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why {
    text: &'static str,
    alert: Option<AlertDescription>,
}

impl Why {
    /// The handshake took too long.
    pub const LATE: Self = Self::new("the handshake did not end in time");
    /// For what only the client with a certificate of the right name may do.
    pub const NO_CERTIFICATE: Self = Self::new("a command came without a client certificate");
    /// As before.
    pub const OTHER_NAME: Self = Self::new("a command came with a client certificate of another name");

    const fn new(text: &'static str) -> Self {
        Self { text, alert: None }
    }

    /// The reason of a failed handshake.
    pub fn of(error: &io::Error) -> Self {
        Self::find(error).unwrap_or(Self::new("it hung up during the handshake"))
    }

    /// The reason in a chain of errors, if TLS was one.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(reason) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of_tls(reason));
            }
            // The source of such an error is the source of what it holds, and not what it holds.
            let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            if let Some(found) = held.and_then(|held| Self::find(held)) {
                return Some(found);
            }
            next = error.source();
        }
        None
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the enums are not exhaustive; the rest is no decision, but words"
    )]
    fn of_tls(error: &rustls::Error) -> Self {
        use rustls::Error as Tls;
        Self::new(match error {
            Tls::InvalidCertificate(reason) => match reason {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => "its certificate has expired",
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "its certificate is not valid yet"
                }
                // A CA of the same name, but another key, has not signed it either.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate is not from our CA"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "its certificate is for another name"
                }
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                    "its certificate is not made for this side"
                }
                _ => "its certificate is not valid",
            },
            Tls::NoCertificatesPresented => "it shows no certificate",
            Tls::PeerIncompatible(_) => "it does not speak TLS 1.3 with our algorithms",
            Tls::InvalidMessage(_) | Tls::InappropriateMessage { .. } => "it does not speak TLS",
            Tls::AlertReceived(alert) => return Self { text: "it refuses us", alert: Some(*alert) },
            _ => "the handshake failed",
        })
    }

    /// Writes the line, unless there were many like it.
    pub fn log(self, side: Side, peer: &dyn Display) {
        static LINES: Sampled = Sampled::new();
        if let Some(unlogged) = LINES.line(self.text) {
            let side = match side {
                Side::Server => "server",
                Side::Client => "client",
            };
            let alert = self.alert.map(|alert| format!("{alert:?}")).unwrap_or_default();
            tracing::warn!(side, %peer, why = self.text, alert, unlogged, "TLS peer refused");
        }
    }
}
