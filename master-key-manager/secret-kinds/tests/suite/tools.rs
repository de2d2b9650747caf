//! What the tests share: a source of randomness, requests, and files as other tools write them.

use manager_api::kind::SecretKind;
use manager_secret_kinds::random::Random;
use manager_secret_kinds::{Checked, Facts, Generated, Refused, check, generate};

/// A point in time.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A source with the same bytes in each run.
pub(crate) struct Seeded(fastrand::Rng);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }
}

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Refused> {
        self.0.fill(bytes);
        Ok(())
    }
}

pub(crate) fn made(request: &str, seed: u64) -> Generated {
    let request = serde_json::from_str(request).unwrap();
    generate(&request, &mut Seeded::new(seed), NOW).unwrap()
}

pub(crate) fn checked(kind: SecretKind, value: &str) -> Checked {
    check(kind, value.as_bytes(), NOW).unwrap_or_else(|refused| panic!("{kind}: {refused}"))
}

pub(crate) fn reason(kind: SecretKind, value: &str) -> String {
    check(kind, value.as_bytes(), NOW).expect_err("the value is accepted").to_string()
}

pub(crate) fn key_facts(kind: SecretKind, value: &str) -> manager_secret_kinds::key::KeyFacts {
    let Facts::Key(facts) = checked(kind, value).facts else { panic!("no facts of a key") };
    facts
}

/// A block of PEM with lines of `width` characters.
pub(crate) fn pem(label: &str, der: &[u8], width: usize) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The bytes of the first block.
pub(crate) fn der(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    let inner: String = text.lines().skip(1).take_while(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(inner).unwrap()
}
