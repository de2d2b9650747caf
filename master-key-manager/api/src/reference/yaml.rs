//! Scalars of a YAML text, with their places.
//!
//! A scalar with a reference is plain or quoted, on one line, and it is no key. Its place is checked against its content
//! before anything is put there.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use shared_proto::Malformed;
use zeroize::Zeroizing;

/// The deepest nesting that is looked at.
const DEEPEST: usize = 64;

/// A scalar of a YAML text that is a value, not a key.
pub(super) struct YamlScalar {
    /// Its place with its quotes.
    pub(super) place: Range<usize>,
    /// Its meaning.
    pub(super) content: Zeroizing<String>,
}

/// The scalars of a text that hold `needle`, in their order.
pub(super) fn scalars(text: &str, needle: &str) -> Result<Vec<YamlScalar>, Malformed> {
    let mut found = Vec::new();
    let mut position = Position { text, characters: 0, bytes: 0 };
    let mut open: Vec<Collection> = Vec::new();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|_| Malformed("the value is not YAML"))?;
        match event {
            Event::Scalar(content, style, _, _) => {
                let content = Zeroizing::new(content.into_owned());
                if !begin_node(&mut open) && content.contains(needle) {
                    let place = position.of(span).and_then(|place| behind_properties(text, place));
                    let place = place.filter(|place| holds(text, place, style, &content));
                    let place =
                        place.ok_or(Malformed("a reference in YAML is in a plain or quoted scalar on one line"))?;
                    found.push(YamlScalar { place, content });
                }
            }
            Event::Alias(_) => {
                begin_node(&mut open);
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() == DEEPEST => {
                return Err(Malformed("the value is nested too deep"));
            }
            Event::SequenceStart(..) => {
                begin_node(&mut open);
                open.push(Collection::Sequence);
            }
            Event::MappingStart(..) => {
                begin_node(&mut open);
                open.push(Collection::Mapping { key_comes: true });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
    }
    Ok(found)
}

enum Collection {
    Sequence,
    Mapping { key_comes: bool },
}

/// Tells whether the node that begins is a key.
fn begin_node(open: &mut [Collection]) -> bool {
    match open.last_mut() {
        Some(Collection::Mapping { key_comes }) => {
            *key_comes = !*key_comes;
            !*key_comes
        }
        Some(Collection::Sequence) | None => false,
    }
}

/// The place without the anchor and the tag in front.
fn behind_properties(text: &str, mut place: Range<usize>) -> Option<Range<usize>> {
    // No scalar begins with these.
    while text.get(place.clone())?.starts_with(['&', '!']) {
        let found = text.get(place.clone())?;
        let (_, rest) = found.split_once([' ', '\t'])?;
        place.start = place.end - rest.trim_start_matches([' ', '\t']).len();
    }
    Some(place)
}

/// Tells whether exactly this scalar stands at the place.
fn holds(text: &str, place: &Range<usize>, style: ScalarStyle, content: &str) -> bool {
    let Some(found) = text.get(place.clone()) else { return false };
    let between = |quote: char| found.len() >= 2 && found.starts_with(quote) && found.ends_with(quote);
    !found.contains(['\n', '\r'])
        && match style {
            ScalarStyle::Plain => found == content,
            ScalarStyle::SingleQuoted => between('\''),
            ScalarStyle::DoubleQuoted => between('"'),
            ScalarStyle::Literal | ScalarStyle::Folded => false,
        }
}

/// Turns the parser's places, which count characters, into places in bytes. They only grow.
struct Position<'a> {
    text: &'a str,
    characters: usize,
    bytes: usize,
}

impl Position<'_> {
    fn of(&mut self, span: Span) -> Option<Range<usize>> {
        let start = self.advance(span.start.index())?;
        let end = self.advance(span.end.index())?;
        Some(start..end)
    }

    fn advance(&mut self, characters: usize) -> Option<usize> {
        let more = characters.checked_sub(self.characters)?;
        let rest = self.text.get(self.bytes..)?;
        let mut indices = rest.char_indices().map(|(index, _)| index).chain(std::iter::once(rest.len()));
        self.bytes += indices.nth(more)?;
        self.characters = characters;
        Some(self.bytes)
    }
}
