//! Events: the bytes as an event, and as the claims of an event whose signature holds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shared_proto::event::{EventClaims, event_hash};
use shared_proto::jws::{Compact, Kind};
use splitvault_fuzz::installation::INSTALLATION;
use splitvault_fuzz::meaning::{is_no_signature, means_one_thing};

fuzz_target!(|data: &[u8]| {
    is_no_signature(data);
    let event = INSTALLATION.signed(Kind::Event, data);
    let Ok(compact) = Compact::parse(Kind::Event, &event) else { return };
    let payload = compact.verify(&INSTALLATION.verifying(Kind::Event)).expect("our own signature");
    let expected = INSTALLATION.expected;
    let Ok(claims) = EventClaims::check(&payload, expected.issuer, expected.audience) else { return };
    assert!((1..1 << 53).contains(&claims.seq));
    means_one_thing(data, &claims);
    // What was verified is read back from the database as the same.
    let again = EventClaims::reread(&event).expect("what was accepted is read back");
    assert_eq!((again.seq, again.prev, again.event), (claims.seq, claims.prev, claims.event));
    assert_ne!(event_hash(&event), claims.prev);
});
