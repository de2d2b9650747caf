//! An extractor that stands where one authenticates.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use service_runtime::{
    Refusal,
    http::{Access, Authenticates},
};

/// Lets everybody in.
pub(crate) struct Anybody;

impl FromRequest for Anybody {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self))
    }
}

impl Authenticates for Anybody {
    const ADMITS: &'static [Access] = &[Access::AccessToken, Access::Command];
}
