//! The JSON bodies of the vault's requests and answers.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::encoding::{ByteString, Bytes, present, read_from_objects_only};
use crate::error::ErrorCode;
use crate::event::EventHash;
use crate::feed::{FeedNonce, FeedState};
use crate::id::{EnvironmentId, SecretId, VaultId, Version};
use crate::jwk::Thumbprint;
use crate::receipt::Receipt;
use crate::retirement::Retirement;
use crate::secret::ValueEncoding;
use crate::statement::KeyStatement;

/// 16 random bytes that name a process of the manager from its start to its end.
pub type InstanceId = Bytes<16>;

/// The most envelopes in a store command, versions in a settle or handout command, rows in a rewrap command and ids in a
/// batch read.
pub const MAX_BATCH: usize = 64;
/// The most value bytes in one answer of `keys:read`.
pub const MAX_BATCH_BYTES: usize = 8 << 20;
/// The most events in a push or replay, and receipts in an inventory.
pub const MAX_PAGE: usize = 256;

/// An opened version. It has no `Debug` form.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct OpenedKey {
    /// The secret.
    pub key_id: SecretId,
    /// The version that the token names.
    pub version: Version,
    /// Encoding of `decrypted_key`.
    pub encoding: ValueEncoding,
    /// The value: text unchanged, bytes in base64.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub decrypted_key: Zeroizing<String>,
}

/// Body of `POST /api/keys:read`.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReadKeys {
    /// 1 to 64 ids.
    #[cfg_attr(feature = "openapi", schema(value_type = std::collections::BTreeSet<SecretId>, min_items = 1, max_items = 64))]
    pub key_ids: Vec<SecretId>,
}

/// One line of the answer to [`ReadKeys`].
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, deny_unknown_fields, remote = "Self")]
pub enum ReadResult {
    /// It was opened.
    Opened(OpenedKey),
    /// It was not opened.
    Refused {
        /// The id of the request.
        key_id: SecretId,
        /// The reason.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        code: ErrorCode,
    },
}

read_from_objects_only!(ReadResult);

/// Answer to [`ReadKeys`], in the order of the request.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReadAnswer {
    /// One line for each id.
    pub keys: Vec<ReadResult>,
}

/// Answer of `GET /api/key-statements`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VaultStatements {
    /// The vault.
    pub id: VaultId,
    /// Its transport and seal keys.
    pub statements: Vec<KeyStatement>,
}

/// Body of a `poll` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Poll {
    /// Fresh randomness, answered under the feed state's signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: FeedNonce,
    /// Number of the manager's newest event.
    pub newest: u64,
    /// That event's hash.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub newest_hash: EventHash,
    /// A living seal key that the manager knows.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required = true))]
    pub seal_key: Option<Thumbprint>,
    /// The manager's living token signing keys.
    pub statements: Vec<KeyStatement>,
    /// The process of the manager, so that two managers are noticed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub instance: InstanceId,
    /// The one or two identity keys of this vault that the manager accepts.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>, min_items = 1, max_items = 2))]
    pub pins: Vec<Thumbprint>,
}

/// Answer to [`Poll`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PollAnswer {
    /// The vault's feed state.
    pub feed: FeedState,
    /// The vault's living keys.
    pub statements: Vec<KeyStatement>,
}

/// Body of a `push` command, `POST /api/events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// Fresh randomness, answered under the feed state's signature.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: FeedNonce,
    /// Compact events in order.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 256))]
    pub events: Vec<String>,
    /// Events below this number that are not in the list were dropped, because they have ended; 0 if none were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped_below: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Answer to [`Push`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PushAnswer {
    /// The vault's feed state after them.
    pub feed: FeedState,
}

/// Body of a `replay` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// Events after this number are wanted.
    pub after: u64,
    /// 1 to 256.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 256))]
    pub limit: usize,
}

/// Answer to [`Replay`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReplayAnswer {
    /// Compact events in order.
    pub events: Vec<String>,
}

/// Body of a `store` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The transfer key, encrypted to the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transfer_key: ByteString,
    /// Thumbprint of the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub transport_kid: Thumbprint,
    /// 1 to 64 envelopes.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub envelopes: Vec<EnvelopeToStore>,
}

/// One envelope of a [`Store`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct EnvelopeToStore {
    /// Environment.
    pub environment: EnvironmentId,
    /// Secret.
    pub secret_id: SecretId,
    /// Version.
    pub version: Version,
    /// Epoch of the root key that `moved` was made with, from 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub epoch: u32,
    /// The envelope's digest; the vault recomputes it.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Bytes<32>,
    /// The wrapped data key under the transfer key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub moved: Bytes<48>,
    /// Key commitment.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub commit: Bytes<32>,
    /// GCM nonce.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub nonce: Bytes<12>,
    /// Encrypted frame and tag.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub ciphertext: ByteString,
    /// The bound value fingerprint under the transfer key. A manager of before sends none.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, nullable = false))]
    pub fingerprint: Option<Bytes<48>>,
}

/// The result for one envelope of a [`Store`] or one row of a [`Rewrap`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct StoreResult {
    /// The reason of a refusal; absent when it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub error: Option<ErrorCode>,
    /// Receipt for what is stored under that version; absent when the envelope is malformed or nothing is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// Answer to [`Store`] and [`Rewrap`], in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StoreAnswer {
    /// One for each envelope or row.
    pub results: Vec<StoreResult>,
}

/// A version by its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct VersionName {
    /// Environment.
    pub environment: EnvironmentId,
    /// Secret.
    pub secret_id: SecretId,
    /// Version.
    pub version: Version,
}

/// Body of a `settle` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// 1 to 64 versions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub versions: Vec<VersionName>,
    /// Whether all of the numbers must be unused. If one is not, nothing is written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unused: bool,
}

/// The place at which an inventory continues.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct InventoryCursor {
    /// The last secret seen.
    pub secret_id: SecretId,
    /// Its last version seen.
    pub version: Version,
}

/// Body of an `inventory` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// `null` to begin.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub after: Option<InventoryCursor>,
    /// 1 to 256.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 256))]
    pub limit: usize,
}

/// Answer to [`Settle`] (in the order of the request) and [`Inventory`] (by secret and version, stored ones only).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// The receipts.
    pub receipts: Vec<Receipt>,
}

/// Body of a `handout` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Handout {
    /// The transfer key, encrypted to the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transfer_key: ByteString,
    /// Thumbprint of the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub transport_kid: Thumbprint,
    /// The epoch of the wanted wrapped keys, from 1.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub epoch: u32,
    /// 1 to 64 versions.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub versions: Vec<VersionName>,
}

/// One line of the answer to [`Handout`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, deny_unknown_fields, remote = "Self")]
pub enum HandedOut {
    /// The wrapped data key.
    Key {
        /// The envelope's digest.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        digest: Bytes<32>,
        /// The wrapped data key of the epoch, under the transfer key.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        moved: Bytes<48>,
    },
    /// The wrapped key is missing.
    Refused {
        /// The reason.
        #[cfg_attr(feature = "openapi", schema(value_type = String))]
        error: ErrorCode,
    },
}

/// Answer to [`Handout`], in the order of the request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoutAnswer {
    /// One for each version.
    pub rows: Vec<HandedOut>,
}

/// Body of a `rewrap` command.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Rewrap {
    /// The transfer key, encrypted to the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub transfer_key: ByteString,
    /// Thumbprint of the transport key.
    #[cfg_attr(feature = "openapi", schema(value_type = String, pattern = r"^[A-Za-z0-9_-]{43}$"))]
    pub transport_kid: Thumbprint,
    /// Epoch of the root key that each `moved` was made with.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub epoch: u32,
    /// 1 to 64 rows.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 64))]
    pub rows: Vec<RowToRewrap>,
}

/// One row of a [`Rewrap`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RowToRewrap {
    /// Environment.
    pub environment: EnvironmentId,
    /// Secret.
    pub secret_id: SecretId,
    /// Version.
    pub version: Version,
    /// Digest of the stored envelope.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub digest: Bytes<32>,
    /// The data key wrapped for the new epoch, under the transfer key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub moved: Bytes<48>,
}

/// Body of a `retire` command.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Retire {
    /// Environment.
    pub environment: EnvironmentId,
    /// Wrapped keys below this epoch are erased.
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub epoch: u32,
}

/// Answer to [`Retire`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetireAnswer {
    /// The vault's signed retirement.
    pub retirement: Retirement,
}

// Also where they stand in lists: what is derived alone would read each from an array, by position.
read_from_objects_only!(VersionName, InventoryCursor, EnvelopeToStore, RowToRewrap, StoreResult, OpenedKey, HandedOut);
