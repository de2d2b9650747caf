//! Holds the decisions of `manager-policy` against those of Cedar, a policy engine that others have written and proved.
//!
//! The crate has tests only. It stands apart so that Cedar, which is large, is in no other crate's tests.
