//! Objects inside bodies: an array in the place of an object is not read by position.

use manager_api::tokens::MintToken;
use serde_json::json;
use shared_proto::encoding::from_json;

const SECRET: &str = "sec_oxOWVv1CMnimDzkbyT2sXA";

#[test]
fn array_in_the_place_of_a_secret_is_refused() {
    let reads = |secret| from_json::<MintToken>(json!({"secrets": [secret]}).to_string().as_bytes()).is_ok();
    assert!(reads(json!({"key_id": SECRET, "version": 1})));
    assert!(!reads(json!([SECRET, 1])));
}
