//! Objects inside bodies: an array in the place of an object is not read by position.

use manager_api::wire::MintToken;
use serde_json::json;
use shared_proto::encoding::from_json;

const SECRET: &str = "sec_oxOWVv1CMnimDzkbyT2sXA";

#[test]
fn array_in_the_place_of_a_grant_is_refused() {
    let reads = |grant| from_json::<MintToken>(json!({"grants": [grant]}).to_string().as_bytes()).is_ok();
    assert!(reads(json!({"key_id": SECRET, "version": 1})));
    assert!(!reads(json!([SECRET, 1])));
}
