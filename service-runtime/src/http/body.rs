//! Bodies of requests, which an extractor reads once the sender is known.

use std::future::Future;

use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;

use super::{read_json, read_no_body};
use crate::Refusal;

/// A kind of body.
pub trait Body: Sized + 'static {
    /// Reads it; `limit` is that of the route, in bytes.
    fn read(
        req: HttpRequest,
        payload: web::Payload,
        limit: usize,
    ) -> impl Future<Output = Result<Self, Refusal>> + 'static;
}

/// A JSON body.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// No body.
#[derive(Clone, Copy, Debug)]
pub struct NoBody;

impl<T: DeserializeOwned + 'static> Body for Json<T> {
    async fn read(req: HttpRequest, payload: web::Payload, limit: usize) -> Result<Self, Refusal> {
        read_json(&req, payload, limit).await.map(Self)
    }
}

impl Body for NoBody {
    async fn read(req: HttpRequest, payload: web::Payload, _limit: usize) -> Result<Self, Refusal> {
        read_no_body(&req, payload).await.map(|()| Self)
    }
}
