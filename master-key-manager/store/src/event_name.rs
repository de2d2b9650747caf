//! The name of an event: a text that stands for exactly one [`Event`], used as a database key.

use shared_proto::Malformed;
use shared_proto::encoding::{Bytes, b64, from_b64_exact};
use shared_proto::event::Event;
use shared_proto::id::Version;

/// The event's `kind` and target, joined by `:`.
pub(super) fn name_of(event: &Event) -> String {
    let word = event.kind();
    match event {
        Event::Token(jti) => format!("{word}:{jti}"),
        Event::Subject(subject) => format!("{word}:{subject}"),
        Event::Credential(credential) => format!("{word}:{credential}"),
        Event::Environment(environment) => format!("{word}:{environment}"),
        Event::Secret(secret) => format!("{word}:{secret}"),
        Event::Version(secret, version) => format!("{word}:{secret}:{version}"),
        Event::SigningKey(kid) => format!("{word}:{}", b64(&kid.0)),
        Event::All => format!("{word}:"),
        Event::Destroy(environment, secret, version) => format!("{word}:{environment}:{secret}:{version}"),
    }
}

/// The inverse of [`name_of`].
pub(super) fn event_of(name: &str) -> Result<Event, Malformed> {
    const REFUSED: Malformed = Malformed("not the name of an event");
    let (kind, rest) = name.split_once(':').ok_or(REFUSED)?;
    let version = |text: &str| text.parse().map_err(|_| REFUSED).and_then(Version::new);
    let mut parts = rest.split(':');
    let (first, second, third) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    match (kind, second, third, parts.next()) {
        ("token", None, None, None) => Ok(Event::Token(first.parse()?)),
        ("subject", None, None, None) => Ok(Event::Subject(first.parse()?)),
        ("credential", None, None, None) => Ok(Event::Credential(first.parse()?)),
        ("environment", None, None, None) => Ok(Event::Environment(first.parse()?)),
        ("secret", None, None, None) => Ok(Event::Secret(first.parse()?)),
        ("signing-key", None, None, None) => Ok(Event::SigningKey(Bytes(from_b64_exact(first)?))),
        ("all", None, None, None) if first.is_empty() => Ok(Event::All),
        ("version", Some(number), None, None) => Ok(Event::Version(first.parse()?, version(number)?)),
        ("destroy", Some(secret), Some(number), None) => {
            Ok(Event::Destroy(first.parse()?, secret.parse()?, version(number)?))
        }
        _ => Err(REFUSED),
    }
}

/// Whether a second event of this name would add nothing.
pub(super) fn happens_once(event: &Event) -> bool {
    match event {
        Event::Token(_) | Event::SigningKey(_) | Event::Destroy(..) => true,
        Event::Subject(_)
        | Event::Credential(_)
        | Event::Environment(_)
        | Event::Secret(_)
        | Event::Version(..)
        | Event::All => false,
    }
}

#[cfg(test)]
mod tests {
    use shared_proto::id::{CredentialId, EnvironmentId, SecretId, ServiceId, Subject, TokenId};

    use super::*;

    #[test]
    fn every_event_has_a_name_that_reads_back() {
        let secret = SecretId::generate();
        let events = [
            Event::Token(TokenId::generate()),
            Event::Subject(Subject::Service(ServiceId::generate())),
            Event::Credential(CredentialId::generate()),
            Event::Environment(EnvironmentId::generate()),
            Event::Secret(secret),
            Event::Version(secret, Version::FIRST),
            Event::SigningKey(Bytes([7; 32])),
            Event::All,
            Event::Destroy(EnvironmentId::generate(), secret, Version::FIRST),
        ];
        for event in events {
            assert_eq!(event_of(&name_of(&event)), Ok(event));
        }
        for wrong in ["", "all", "all:x", "token:", "version:x:1", "destroy:1:2:3", "token:a:b"] {
            assert!(event_of(wrong).is_err(), "{wrong}");
        }
    }
}
