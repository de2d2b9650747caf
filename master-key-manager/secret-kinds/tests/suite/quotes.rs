//! No refusal repeats a part of a value, and no value panics.

use manager_api::kind::SecretKind;
use manager_secret_kinds::{check, field, strength, with_field};
use proptest::prelude::*;

use crate::tools::{NOW, made, pem};

const CANARY: &str = "hunter2canary";

/// A value of the wild with the canary somewhere in it.
fn with_canary() -> impl Strategy<Value = String> {
    let whole = prop_oneof![
        Just(format!("{{\"password\":\"{CANARY}\"}}")),
        Just(format!("{{\"{CANARY}\":\"x\",\"password\":\"{CANARY}\"}}")),
        Just(format!("a: &{CANARY} [*{CANARY}]\n{CANARY}: {CANARY}\n{CANARY}: 1\n")),
        Just(format!("-----BEGIN {CANARY}-----\n{CANARY}\n-----END {CANARY}-----\n")),
        Just(format!("ssh-ed25519 {CANARY} {CANARY}\n")),
        Just(format!("{CANARY}.{CANARY}.{CANARY}")),
        Just(pem("PRIVATE KEY", CANARY.as_bytes(), 64)),
        Just(format!("{}{CANARY}", *made(r#"{"form":"ssh-key"}"#, 1).value)),
        Just(format!("{CANARY}\n{}", *made(r#"{"form":"key-pair","self_signed":{"names":[{"dns":"a"}]}}"#, 1).value)),
        "[ -~\n]{0,40}".prop_map(|text| format!("{text}{CANARY}{text}")),
    ];
    // Cut anywhere, and with a piece in the middle, so that each check fails somewhere else.
    (whole, any::<prop::sample::Index>(), "[-\\[\\]{}\":,a-z\n .=%&*]{0,6}", any::<bool>()).prop_map(
        |(text, at, piece, cut)| {
            let mut position = at.index(text.len() + 1);
            while !text.is_char_boundary(position) {
                position -= 1;
            }
            let (before, after) = text.split_at(position);
            if cut { format!("{before}{piece}") } else { format!("{before}{piece}{after}") }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn refusal_never_repeats_a_value(text in with_canary()) {
        for kind in SecretKind::ALL {
            if let Err(refused) = check(*kind, text.as_bytes(), NOW) {
                let said = format!("{refused} {refused:?} {}", refused.reason());
                prop_assert!(!said.to_lowercase().contains("hunter"), "{said}");
                prop_assert!(!said.to_lowercase().contains("canary"), "{said}");
            }
            for error in [field(*kind, text.as_bytes(), CANARY).err(), with_field(*kind, text.as_bytes(), CANARY, CANARY).err()] {
                let said = format!("{error:?}");
                prop_assert!(!said.contains(CANARY), "{said}");
            }
        }
    }

    #[test]
    fn no_value_panics(bytes: Vec<u8>, text in "[\\[\\]{}\":,.a-e0-9&*!|>#@%\n -]{0,60}") {
        for kind in SecretKind::ALL {
            let _ = check(*kind, &bytes, NOW);
            let _ = check(*kind, text.as_bytes(), NOW);
        }
        let _ = strength(&bytes);
    }
}
