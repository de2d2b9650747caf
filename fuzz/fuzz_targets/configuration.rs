//! Configuration files: never two meanings, and errors that repeat no value.
#![no_main]

use std::net::SocketAddr;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use shared_proto::identity::Mode;
use splitvault_fuzz::meaning::tells_nothing;
use splitvault_fuzz::parse_config;

/// Fields of every type that the services' files have.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    mode: Mode,
    listen: Option<SocketAddr>,
    data_dir: PathBuf,
    workers: Option<usize>,
    #[serde(default)]
    audit: Audit,
    #[serde(default)]
    danger: Danger,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
struct Audit {
    sync: Option<String>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Default)]
#[serde(deny_unknown_fields)]
struct Danger {
    #[serde(default)]
    plain_http: bool,
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match parse_config::<File>(text) {
        Ok(file) => {
            let written = toml::to_string(&file).unwrap();
            assert_eq!(parse_config::<File>(&written).as_ref(), Ok(&file));
        }
        Err(sentence) => {
            tells_nothing(&sentence);
            assert!(!sentence.contains('\n') && sentence.ends_with('.'), "{sentence}");
        }
    }
});
