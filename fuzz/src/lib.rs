//! What the fuzz targets share: an installation with keys made at the start, the assertions that recur, and the
//! services' own readers of JSON bodies and configuration files.
//!
//! A target asserts what an accepted text *means*, not only that reading it does not panic: it reads back the same, it
//! has one spelling, and another reader would not understand it differently.

pub mod installation;
pub mod meaning;
pub mod planted;

// The files themselves: depending on service-runtime would bring an HTTP server and a database into each target.
#[path = "../../service-runtime/src/config/document.rs"]
mod config_document;
#[path = "../../service-runtime/src/http/decode.rs"]
mod decode;

/// As the services read the body of a request.
///
/// # Errors
/// The sentence for the client.
pub fn decode_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    decode::decode(body).map_err(|(_code, sentence)| sentence)
}

/// As the services read a configuration file.
///
/// # Errors
/// The sentence for the operator.
pub fn parse_config<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    config_document::parse("service.toml", text)
}
