//! Values with references in them, and the values that they stand for.
//!
//! A string of `json`, a scalar of `yaml` or a whole `text` may be a reference, or hold some in the form `${sv://…}`;
//! `$${sv://` stands for `${sv://`. Names of members are never references. The value around them stays as it is, byte for
//! byte. The manager that records what an author could read and the client that resolves use the same function, so that
//! neither sees a reference that the other does not.

use std::collections::BTreeSet;
use std::ops::Range;

use shared_proto::Malformed;
use shared_proto::secret::MAX_VALUE_BYTES;
use zeroize::Zeroizing;

use super::{MAX_TARGETS, Reference, SCHEME, json, yaml};
use crate::kind::SecretKind;

/// The places of a value that hold references.
pub struct Template {
    slots: Vec<Slot>,
}

/// A string of the value.
struct Slot {
    place: Range<usize>,
    quoted: bool,
    pieces: Vec<Piece>,
}

enum Piece {
    Text(Zeroizing<String>),
    Reference(Reference),
}

/// The different references in a value, in the order of their first places.
///
/// # Errors
///
/// The value is not of its kind, a reference is out of form, or more than [`MAX_TARGETS`] secrets are meant.
pub fn references_in(kind: SecretKind, text: &str) -> Result<Vec<Reference>, Malformed> {
    Ok(Template::read(kind, text)?.references().into_iter().cloned().collect())
}

impl Template {
    /// Finds the references in a value. Kinds other than `json`, `yaml` and `text` hold none.
    ///
    /// # Errors
    ///
    /// As [`references_in`].
    pub fn read(kind: SecretKind, text: &str) -> Result<Self, Malformed> {
        // Most values have no reference and need no parser; an escape could hide one.
        let may_have = text.contains(SCHEME) || text.contains('\\');
        let strings: Vec<(Range<usize>, Zeroizing<String>)> = if kind == SecretKind::Json && may_have {
            json::strings(text)?.into_iter().map(|found| (found.place, found.content)).collect()
        } else if kind == SecretKind::Yaml && may_have {
            yaml::scalars(text, SCHEME)?.into_iter().map(|found| (found.place, found.content)).collect()
        } else if kind == SecretKind::Text {
            let line = text.strip_suffix('\n').unwrap_or(text);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let end = if line.contains('\n') { text.len() } else { line.len() };
            vec![(0..end, Zeroizing::new(text.get(..end).unwrap_or_default().to_owned()))]
        } else {
            Vec::new()
        };
        let quoted = kind != SecretKind::Text;
        let mut slots = Vec::new();
        for (place, content) in strings {
            if let Some(pieces) = pieces(&content)? {
                slots.push(Slot { place, quoted, pieces });
            }
        }
        let template = Self { slots };
        let targets: BTreeSet<_> = template.references().into_iter().map(Reference::target).collect();
        if targets.len() > MAX_TARGETS {
            return Err(Malformed("a value refers to at most 64 secrets"));
        }
        Ok(template)
    }

    /// The different references, in the order of their first places.
    pub fn references(&self) -> Vec<&Reference> {
        let mut known = BTreeSet::new();
        let pieces = self.slots.iter().flat_map(|slot| &slot.pieces);
        let references = pieces.filter_map(|piece| match piece {
            Piece::Reference(reference) => Some(reference),
            Piece::Text(_) => None,
        });
        references.filter(|reference| known.insert(*reference)).collect()
    }

    /// The value with what its references stand for. `text` is the one that the template was read from.
    ///
    /// # Errors
    ///
    /// A reference is not known, or the result is larger than a value may be.
    pub fn fill<'a>(
        &self,
        text: &str,
        known: impl Fn(&Reference) -> Option<&'a str>,
    ) -> Result<Zeroizing<String>, Malformed> {
        const OTHER: Malformed = Malformed("this is not the text that the references were found in");
        let mut filled = Zeroizing::new(String::with_capacity(text.len()));
        let mut done = 0;
        for slot in &self.slots {
            push(&mut filled, text.get(done..slot.place.start).ok_or(OTHER)?)?;
            let mut content = Zeroizing::new(String::new());
            for piece in &slot.pieces {
                match piece {
                    Piece::Text(plain) => push(&mut content, plain)?,
                    Piece::Reference(reference) => {
                        push(&mut content, known(reference).ok_or(Malformed("a reference was not resolved"))?)?;
                    }
                }
            }
            let content = if slot.quoted { json::quoted(&content) } else { content };
            push(&mut filled, &content)?;
            done = slot.place.end;
        }
        push(&mut filled, text.get(done..).ok_or(OTHER)?)?;
        Ok(filled)
    }
}

/// Appends within the bound of a value, and leaves no copy behind when the text moves.
fn push(text: &mut Zeroizing<String>, more: &str) -> Result<(), Malformed> {
    let length = text.len() + more.len();
    if length > MAX_VALUE_BYTES {
        return Err(Malformed("the value is too large with what its references stand for"));
    }
    if length > text.capacity() {
        let mut larger = Zeroizing::new(String::with_capacity(length.next_power_of_two()));
        larger.push_str(text);
        *text = larger;
    }
    text.push_str(more);
    Ok(())
}

/// A string cut at its references; `None` if it stays as it is.
fn pieces(content: &str) -> Result<Option<Vec<Piece>>, Malformed> {
    const OPEN: &str = "${sv://";
    if content.starts_with(SCHEME) && !content.contains(['\n', '\r']) {
        return Ok(Some(vec![Piece::Reference(content.parse()?)]));
    }
    let mut pieces = Vec::new();
    let mut rest = content;
    while let Some(position) = rest.find(OPEN) {
        let (before, from) = rest.split_at(position);
        if let Some(plain) = before.strip_suffix('$') {
            pieces.push(Piece::Text(Zeroizing::new(format!("{plain}{OPEN}"))));
            rest = from.strip_prefix(OPEN).unwrap_or_default();
            continue;
        }
        let inner = from.strip_prefix("${").unwrap_or_default();
        let (reference, after) = inner.split_once('}').ok_or(Malformed("a reference in a text ends with }"))?;
        pieces.push(Piece::Text(Zeroizing::new(before.to_owned())));
        pieces.push(Piece::Reference(reference.parse()?));
        rest = after;
    }
    if pieces.is_empty() {
        return Ok(None);
    }
    pieces.push(Piece::Text(Zeroizing::new(rest.to_owned())));
    Ok(Some(pieces))
}
