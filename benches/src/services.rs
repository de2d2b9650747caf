//! The services that are measured, and the requests that are sent to them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use serde_json::Value;

use crate::Failure;
use crate::http::{Connection, get, post};
use crate::load::drive;

/// Where the services are.
#[derive(Args)]
pub(crate) struct Addresses {
    /// Address of the manager, `127.0.0.1:PORT`.
    #[arg(long)]
    manager: String,
    /// Address of the vault.
    #[arg(long)]
    vault: String,
    /// Process ids of manager and vault, for CPU time and memory.
    #[arg(long, num_args = 2)]
    pids: Vec<u32>,
    /// File with the administrator's credential.
    #[arg(long)]
    credential_file: PathBuf,
}

/// Two running services.
pub(crate) struct Services {
    /// Address of the manager.
    pub(crate) manager: String,
    /// Address of the vault.
    pub(crate) vault: String,
    /// Process ids of manager and vault.
    pub(crate) pids: Vec<u32>,
    /// The administrator's credential.
    pub(crate) credential: String,
}

impl Services {
    /// With the credential read.
    pub(crate) fn new(addresses: Addresses) -> Result<Self, Failure> {
        let Addresses { manager, vault, pids, credential_file } = addresses;
        Ok(Self { manager, vault, pids, credential: read_line(&credential_file)? })
    }

    /// A request that stores a value, with or without a token.
    pub(crate) fn store(&self, token: bool) -> Vec<u8> {
        let body =
            format!(r#"{{"user_id":"bench","key_data":"super_secret_value","environment":"dev","token":{token}}}"#);
        post(&self.manager, "/api/keys", &self.credential, &body)
    }

    /// A request that mints a token for these secrets.
    pub(crate) fn mint(&self, key_ids: &[String], life_seconds: u64) -> Vec<u8> {
        let grants: Vec<Value> = key_ids.iter().map(|id| serde_json::json!({ "key_id": id })).collect();
        let body = serde_json::json!({ "secrets": grants, "life_seconds": life_seconds }).to_string();
        post(&self.manager, "/api/tokens", &self.credential, &body)
    }

    /// A request that reads a secret.
    pub(crate) fn read(&self, key_id: &str, token: &str) -> Vec<u8> {
        get(&self.vault, &path_of(key_id), token)
    }

    /// Stores one secret and answers with its id and a token.
    pub(crate) async fn first(&self) -> Result<(String, String), Failure> {
        let mut connection = Connection::open(&self.manager).await?;
        let body = connection.expect(&self.store(true), 201).await?;
        Ok((member(body, "key_id")?, member(body, "access_token")?))
    }

    /// Sends each mint request once and answers with the tokens, in no order.
    pub(crate) async fn tokens(&self, mints: Vec<Vec<u8>>) -> Result<Vec<String>, Failure> {
        let (count, tokens) = (mints.len(), Rc::new(RefCell::new(Vec::new())));
        let kept = Rc::clone(&tokens);
        let keep = move |body: &str| kept.borrow_mut().extend(member(body, "access_token"));
        drive(&self.manager, Rc::new(mints), count, (8.min(count.max(1)), 201), keep).await?;
        Ok(tokens.take())
    }
}

/// The path of a secret at the vault.
pub(crate) fn path_of(key_id: &str) -> String {
    format!("/api/keys/{key_id}")
}

/// A text member of an answer.
pub(crate) fn member(body: &str, name: &str) -> Result<String, Failure> {
    let answer: Value = serde_json::from_str(body)?;
    Ok(answer.get(name).and_then(Value::as_str).ok_or("an answer lacks a member")?.to_owned())
}

fn read_line(path: &Path) -> Result<String, Failure> {
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
