//! The extractor of routes for holders of access tokens.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use service_runtime::http::{AnswerRoom, Authenticates, Route, bearer, note_known_sender, origin_of, read_json};

use crate::reading::{Caller, Reader};

/// A request with an access token, which was verified from the header. Its body is not read yet.
pub struct ReadCall {
    caller: Caller,
    req: HttpRequest,
}

impl Authenticates for ReadCall {}

impl FromRequest for ReadCall {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(req: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let reader = req.app_data::<web::Data<Reader>>().ok_or_else(|| Refusal::internal("there is no reader"));
        let caller = reader.and_then(|reader| reader.authenticate(bearer(req), origin_of(req)));
        ready(caller.map(|caller| {
            note_known_sender(req);
            Self { caller, req: req.clone() }
        }))
    }
}

impl ReadCall {
    /// Reads the JSON body. The reader checks the token again after it.
    ///
    /// # Errors
    /// It is not what the route takes.
    pub async fn json<T: DeserializeOwned>(&self, payload: web::Payload) -> Result<T, Refusal> {
        let limit = Route::of(&self.req).map_or(0, |row| row.body_limit);
        read_json(&self.req, payload, limit).await
    }

    /// A part of the path.
    pub fn path(&self, name: &str) -> &str {
        self.req.match_info().query(name)
    }

    /// The caller, and the room for the answer.
    pub fn into_parts(self) -> (Caller, AnswerRoom) {
        (self.caller, AnswerRoom::of(&self.req))
    }
}
