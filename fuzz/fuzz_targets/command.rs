//! Commands: the bytes as a command, as signed claims, and as the body of each operation.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared_proto::command::{CommandClaims, LIFE_SECONDS};
use shared_proto::encoding::from_json;
use shared_proto::jws::{Compact, Kind};
use shared_proto::wire::fingerprint::{Compare, Find};
use shared_proto::wire::vault::{Handout, Inventory, Poll, Push, Replay, Retire, Rewrap, Settle, Store};
use splitvault_fuzz::installation::{INSTALLATION, NOW};
use splitvault_fuzz::meaning::{is_no_signature, means_one_thing};

fuzz_target!(|data: &[u8]| {
    is_no_signature(data);
    claims(data);
    body::<Poll>(data);
    body::<Push>(data);
    body::<Replay>(data);
    body::<Store>(data);
    body::<Settle>(data);
    body::<Inventory>(data);
    body::<Handout>(data);
    body::<Rewrap>(data);
    body::<Retire>(data);
    body::<Compare>(data);
    body::<Find>(data);
});

fn claims(data: &[u8]) {
    let command = INSTALLATION.signed(Kind::Command, data);
    let Ok(compact) = Compact::parse(Kind::Command, &command) else { return };
    let payload = compact.verify(&INSTALLATION.verifying(Kind::Command)).expect("our own signature");
    let Ok(claims) = CommandClaims::check(&payload, &INSTALLATION.expected) else { return };
    let written = serde_json::to_value(&claims).unwrap();
    let number = |name: &str| written[name].as_u64().unwrap();
    assert!(number("exp") > NOW && number("exp") - number("iat") <= LIFE_SECONDS);
    assert!(claims.covers(b"a body that nobody signed for").is_err());
    means_one_thing(data, &claims);
}

fn body<T: Serialize + DeserializeOwned>(data: &[u8]) {
    if let Ok(accepted) = from_json::<T>(data) {
        means_one_thing(data, &accepted);
    }
}
