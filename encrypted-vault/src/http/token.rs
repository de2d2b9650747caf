//! The extractor of routes for holders of access tokens.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use service_runtime::http::{
    Access, AnswerRoom, Authenticates, Route, bearer, note_known_sender, origin_of, read_json,
};

use crate::reading::{Caller, Reader};

/// A request with an access token, which was verified from the header. Its body is not read yet.
pub struct ReadCall {
    caller: Caller,
    reader: web::Data<Reader>,
    req: HttpRequest,
}

impl Authenticates for ReadCall {
    const ADMITS: &'static [Access] = &[Access::AccessToken];
}

impl FromRequest for ReadCall {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(req: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Self::authenticated(req))
    }
}

impl ReadCall {
    fn authenticated(req: &HttpRequest) -> Result<Self, Refusal> {
        let reader = req.app_data::<web::Data<Reader>>().ok_or_else(|| Refusal::internal("there is no reader"))?;
        let route = Route::of(req).ok_or_else(|| Refusal::internal("the route is not in the table"))?;
        let caller = reader.authenticate(bearer(req), origin_of(req), route.id)?;
        note_known_sender(req);
        Ok(Self { caller, reader: reader.clone(), req: req.clone() })
    }

    /// Reads the JSON body. The reader checks the token again after it. A body that is refused counts like every other
    /// refusal of the token.
    ///
    /// # Errors
    /// It is not what the route takes.
    pub async fn json<T: DeserializeOwned>(&self, payload: web::Payload) -> Result<T, Refusal> {
        let limit = Route::of(&self.req).map_or(0, |row| row.body_limit);
        let read = read_json(&self.req, payload, limit).await;
        read.map_err(|refusal| self.reader.refuse_request(&self.caller, refusal))
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
