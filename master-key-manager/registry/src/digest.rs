//! The digest over all records: a tree of two levels, so that a change costs one bucket and not all of them.
//!
//! Leaf: `SHA-256(LP("leaf", kind, id, body))`. A leaf lies in the bucket of the first byte of `SHA-256(LP(kind, id))`.
//! Bucket: `SHA-256(LP("bucket", place 1, leaf 1, …))` in the order of their places. Root: `SHA-256(LP("root", bucket 0,
//! …, bucket 255))`. `LP` is injective, so two sets of records never have the same text below the hash.

use rpds::RedBlackTreeMapSync;
use shared_proto::encoding::{lp, sha256};

use crate::RecordName;

/// SHA-256.
pub(crate) type Hash = [u8; 32];
const BUCKETS: usize = 256;

/// The leaves of all records, with the digests of their buckets. Clones share what they have in common.
#[derive(Clone)]
pub(crate) struct Tree {
    leaves: RedBlackTreeMapSync<Hash, Hash>,
    buckets: Vec<Hash>,
}

impl Tree {
    /// The tree of these records: names with their bodies.
    pub(crate) fn of<'a>(records: impl Iterator<Item = (&'a RecordName, &'a str)>) -> Self {
        let mut leaves = RedBlackTreeMapSync::new_sync();
        for (name, body) in records {
            leaves.insert_mut(place(name), leaf(name, body));
        }
        let mut tree = Self { leaves, buckets: Vec::new() };
        tree.buckets = (0..=u8::MAX).map(|bucket| tree.bucket(bucket)).collect();
        tree
    }

    /// Puts a record in, or takes it out.
    pub(crate) fn set(&mut self, name: &RecordName, body: Option<&str>) {
        let place = place(name);
        match body {
            Some(body) => self.leaves.insert_mut(place, leaf(name, body)),
            None => drop(self.leaves.remove_mut(&place)),
        }
        let [bucket, ..] = place;
        let digest = self.bucket(bucket);
        if let Some(known) = self.buckets.get_mut(usize::from(bucket)) {
            *known = digest;
        }
    }

    /// The digest over all records.
    pub(crate) fn root(&self) -> Hash {
        let mut parts: Vec<&[u8]> = Vec::with_capacity(BUCKETS + 1);
        parts.push(b"root");
        parts.extend(self.buckets.iter().map(Hash::as_slice));
        sha256(&lp(&parts))
    }

    fn bucket(&self, bucket: u8) -> Hash {
        let mut first = [0; 32];
        let mut last = [u8::MAX; 32];
        (first[0], last[0]) = (bucket, bucket);
        let mut parts: Vec<&[u8]> = vec![b"bucket"];
        for (place, leaf) in self.leaves.range(first..=last) {
            parts.extend([place.as_slice(), leaf.as_slice()]);
        }
        sha256(&lp(&parts))
    }
}

fn place(name: &RecordName) -> Hash {
    sha256(&lp(&[name.kind.as_str().as_bytes(), name.id.as_bytes()]))
}

fn leaf(name: &RecordName, body: &str) -> Hash {
    sha256(&lp(&[b"leaf", name.kind.as_str().as_bytes(), name.id.as_bytes(), body.as_bytes()]))
}
