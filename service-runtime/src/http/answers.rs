//! Room for answers: the bytes of answers that may wait in memory to be written, in all and for one peer.
//!
//! Guarantees that clients that ask for much and read nothing cost a bounded amount of memory. An answer without room
//! is refused with 503 `overloaded`. A handler that knows the size of its answer takes the room before it opens
//! anything. Every other answer is counted when it is built. Small answers need no room: requests in work bound them.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::ServiceResponse,
};
use shared_proto::error::ErrorCode;

use super::{
    Access, Limits, Route,
    admission::{Full, Slot, Slots},
};
use crate::Refusal;

/// The room of a peer, from which a handler takes what its answer needs.
#[derive(Clone, Debug)]
pub struct AnswerRoom {
    // None where no server runs: in tests of a handler alone.
    of_peer: Option<(Arc<Slots>, IpAddr)>,
}

/// Room for one answer; free again when the answer is written.
#[derive(Debug, Default)]
pub struct Room(Option<Slot>);

/// The budget of a server; application data.
#[derive(Clone, Debug)]
pub(super) struct Answers(Arc<Slots>);

impl Answers {
    pub(super) fn new(limits: &Limits) -> Self {
        Self(Slots::new(limits.answer_bytes, limits.answer_bytes_per_peer))
    }
}

impl AnswerRoom {
    /// The room of the peer that sent this request.
    pub fn of(req: &HttpRequest) -> Self {
        let slots = req.app_data::<Answers>().map(|answers| Arc::clone(&answers.0));
        Self { of_peer: slots.zip(req.peer_addr().map(|peer| peer.ip())) }
    }

    /// The room of a peer of a server with these limits.
    pub fn within(limits: &Limits, peer: IpAddr) -> Self {
        Self { of_peer: Some((Answers::new(limits).0, peer)) }
    }

    /// Makes `room` large enough for an answer of so many bytes in all, once it is not small any more. Call it for each
    /// piece before the next one is read.
    ///
    /// # Errors
    /// `overloaded`: other answers fill the room.
    pub fn grow(&self, room: &mut Room, bytes: usize) -> Result<(), Refusal> {
        match &mut room.0 {
            Some(slot) => slot.resize(bytes).map_err(refusal)?,
            None if bytes > SMALL => *room = self.take(bytes)?,
            None => {}
        }
        Ok(())
    }

    /// Takes room for an answer of about so many bytes. Call it before anything is opened or read for the answer.
    ///
    /// # Errors
    /// `overloaded`: other answers fill the room.
    pub fn take(&self, bytes: usize) -> Result<Room, Refusal> {
        let Some((slots, peer)) = &self.of_peer else { return Ok(Room(None)) };
        slots.take(*peer, bytes).map(|slot| Room(Some(slot))).map_err(refusal)
    }
}

impl Room {
    /// Keeps the room with its answer, in the size that the answer turned out to have.
    ///
    /// # Errors
    /// `overloaded`: the answer is larger than announced, and there is no room for the rest.
    pub fn keep_with(mut self, mut answer: HttpResponse) -> Result<HttpResponse, Refusal> {
        if let (Some(slot), Some(bytes)) = (&mut self.0, size(answer.body())) {
            slot.resize(bytes).map_err(refusal)?;
        }
        // A small answer that grew has none, and takes it as every other answer does.
        if self.0.is_some() {
            answer.extensions_mut().insert(self);
        }
        Ok(answer)
    }
}

/// Takes room for an answer whose handler took none. Answers to commands need none: the manager reads what it asks for,
/// and must never get a refusal for a command that was carried out. Answers of public routes need none either: they
/// share one text.
pub(super) fn make_room(answer: &mut ServiceResponse<BoxBody>) -> Result<(), Refusal> {
    let Some(bytes) = size(answer.response().body()).filter(|bytes| *bytes > SMALL) else { return Ok(()) };
    let counted = Route::of(answer.request()).is_none_or(|row| match row.access {
        Access::Public | Access::Command => false,
        Access::Credential | Access::CredentialOrDevelopment | Access::AccessToken => true,
    });
    if !counted || answer.response().extensions().contains::<Room>() {
        return Ok(());
    }
    let room = AnswerRoom::of(answer.request()).take(bytes)?;
    answer.response_mut().extensions_mut().insert(room);
    Ok(())
}

/// None for a stream, which holds one piece at a time.
fn size(body: &BoxBody) -> Option<usize> {
    match body.size() {
        BodySize::Sized(bytes) => Some(usize::try_from(bytes).unwrap_or(usize::MAX)),
        BodySize::None | BodySize::Stream => None,
    }
}

fn refusal(full: Full) -> Refusal {
    Refusal::new(ErrorCode::Overloaded).cause(match full {
        Full::All => "answers that are not read yet fill all the room",
        Full::Peer => "answers that this peer has not read yet fill its room",
    })
}

/// Answers up to this size are bounded by the number of requests in work: 16 MiB with the default of 1024.
const SMALL: usize = 16 * 1024;
