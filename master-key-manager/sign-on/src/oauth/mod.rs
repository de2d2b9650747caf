//! `OAuth` 2.0 for services: token requests, answers and metadata as types.
//!
//! Client credentials (RFC 6749 section 4.4), assertions as grants and for authentication (RFC 7523), exchange of a
//! token of an external issuer (RFC 8693), and what is wanted as `authorization_details` (RFC 9396). Parameters that
//! come twice are refused, unknown ones are ignored, and empty ones count as missing (RFC 6749 section 3.2). There are no
//! scopes, and no target but the vault.

mod details;
mod error;
mod form;
mod metadata;
mod request;

pub use self::details::{DETAIL_TYPE, GrantedDetail, MAX_SECRETS};
pub use self::error::{OauthError, OauthErrorCode};
pub use self::form::MAX_BODY_BYTES;
pub use self::metadata::{METADATA_PATH, Metadata};
pub use self::request::{Client, Grant, TokenAnswer, TokenRequest};
