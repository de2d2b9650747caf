//! Values of every kind, and texts with references: nothing panics, no refusal repeats a value, and what is accepted keeps
//! its meaning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manager_api::generate::Generate;
use manager_api::kind::SecretKind;
use manager_api::reference::{MAX_TARGETS, Reference, Template};
use manager_secret_kinds::{check, field, generate::verify, strength, with_field};

const NOW: u64 = 1_800_000_000;
/// Stands in seeds where a value would be.
const CANARY: &str = "HUNTER2";

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the kind, so that the fuzzer learns about each one by itself.
    let Some((first, value)) = data.split_first() else { return };
    let kind = SecretKind::ALL[usize::from(*first) % SecretKind::ALL.len()];
    match check(kind, value, NOW) {
        Ok(checked) => assert!(checked.expires_at.is_none_or(|end| end < 253_402_300_800)),
        Err(refused) => assert!(!refused.to_string().contains(CANARY)),
    }
    if let Ok(text) = field(kind, value, "password") {
        let changed = with_field(kind, value, "password", "other").ok();
        if let Some(changed) = changed {
            assert!(*field(kind, changed.as_bytes(), "password").unwrap() == "other");
            // Putting it back gives the same meaning.
            if let Ok(back) = with_field(kind, changed.as_bytes(), "password", &text) {
                assert_eq!(*field(kind, back.as_bytes(), "password").unwrap(), *text);
            }
        }
    }
    let Ok(text) = std::str::from_utf8(value) else { return };
    if let Ok(reference) = text.parse::<Reference>() {
        assert_eq!(reference.to_string(), text);
    }
    if let Ok(template) = Template::read(kind, text) {
        references(kind, text, &template);
    }
    if text.len() <= 256 {
        let strength = strength(value);
        assert!(strength.score <= 4 && strength.guesses_log10 >= 0.0);
    }
    if verify(text) {
        assert!(text.len() >= 38 && check(SecretKind::ApiKey, value, NOW).is_ok());
    }
    if let Ok(request) = serde_json::from_slice::<Generate>(value) {
        let again = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Generate>(&again).unwrap(), request);
    }
});

/// A filled-in text is of its kind as the text was, and has no reference where one was.
fn references(kind: SecretKind, text: &str, template: &Template) {
    let references = template.references();
    assert!(
        references.iter().map(|reference| reference.target()).collect::<std::collections::BTreeSet<_>>().len()
            <= MAX_TARGETS
    );
    let filled = template.fill(text, |_| Some("x: [\"\n")).unwrap();
    if references.is_empty() && !text.contains("$${") && !text.contains('\\') {
        assert_eq!(*filled, text);
    }
    if matches!(kind, SecretKind::Json | SecretKind::Yaml) {
        let [before, after] = [text, &filled].map(|text| check(kind, text.as_bytes(), NOW).is_ok());
        assert!(!before || after, "what is filled in is no longer {kind}");
    }
}
