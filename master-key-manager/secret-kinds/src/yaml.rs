//! YAML of a value: well formed, each key once, bounded depth, and bounded in what its aliases stand for.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser};

use crate::json::DEEPEST;
use crate::{Refused, text};

/// The largest YAML document. Parsers of YAML are slow, and configurations are small.
pub(crate) const MAX_YAML_BYTES: usize = 256 << 10;
/// The most nodes that a reader gets when it puts copies in place of aliases.
const MOST_NODES: usize = 100_000;

/// Checks that a value is YAML.
pub(crate) fn check(value: &[u8]) -> Result<(), Refused> {
    if value.len() > MAX_YAML_BYTES {
        return Err(Refused::new("a YAML document has at most 262144 bytes"));
    }
    let text = text::utf8(value)?;
    let mut walk = Walk::default();
    let mut line = 1;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Refused::at_line("the value is not YAML", error.marker().line()))?;
        line = span.start.line().max(line);
        walk.event(&event).map_err(|reason| Refused::at_line(reason, line))?;
    }
    if walk.documents == 0 { Err(Refused::new("the value is empty")) } else { Ok(()) }
}

#[derive(Default)]
struct Walk {
    open: Vec<Collection>,
    /// The nodes that an anchor stands for.
    anchors: HashMap<usize, usize>,
    nodes: usize,
    documents: usize,
}

struct Collection {
    anchor: usize,
    /// The nodes that were there when it began.
    before: usize,
    /// The keys of a mapping, and whether one comes next.
    keys: Option<(HashSet<String>, bool)>,
}

impl Walk {
    fn event(&mut self, event: &Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::Scalar(content, _, anchor, _) => {
                self.begin(Some(content))?;
                self.count(1)?;
                self.anchors.insert(*anchor, 1);
            }
            Event::Alias(anchor) => {
                self.begin(None)?;
                // An anchor that is still open is not known yet: the document would contain itself.
                let nodes =
                    self.anchors.get(anchor).copied().ok_or("an alias stands for something that contains it")?;
                self.count(nodes)?;
            }
            Event::SequenceStart(anchor, _) => self.open(*anchor, None)?,
            Event::MappingStart(anchor, _) => self.open(*anchor, Some((HashSet::new(), true)))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(closed) = self.open.pop() {
                    self.anchors.insert(closed.anchor, self.nodes - closed.before);
                }
            }
            Event::DocumentStart(_) => {
                self.documents += 1;
                self.anchors.clear();
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, keys: Option<(HashSet<String>, bool)>) -> Result<(), &'static str> {
        if self.open.len() == DEEPEST {
            return Err("the YAML is nested deeper than 64");
        }
        self.begin(None)?;
        // The same id may be in use again in another document.
        self.anchors.remove(&anchor);
        self.open.push(Collection { anchor, before: self.nodes, keys });
        self.count(1)
    }

    /// Notes a node of the collection that is open.
    fn begin(&mut self, scalar: Option<&str>) -> Result<(), &'static str> {
        let Some(Collection { keys: Some((known, key_comes)), .. }) = self.open.last_mut() else { return Ok(()) };
        let is_key = *key_comes;
        *key_comes = !is_key;
        match scalar {
            // The merge key may come more than once with some readers, and never with others.
            Some(key) if is_key && !known.insert(key.to_owned()) => Err("the YAML has a key twice"),
            _ => Ok(()),
        }
    }

    fn count(&mut self, nodes: usize) -> Result<(), &'static str> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MOST_NODES { Err("the YAML stands for more than 100000 nodes") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn documents_are_taken() {
        for good in [
            "a: 1\n",
            "a: 1\r\nb:\r\n  - x\r\n",
            "---\na: &x {b: 1}\nc: *x\n...\n---\nd: &x 1\ne: *x\n",
            "plain text",
            "? [a, b]\n: c\n",
            "a: |\n  block\n  text\n",
            "{a: [1, 2], 'b': \"c\"}",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn documents_out_of_form_are_refused_with_their_line() {
        for (bad, line) in [
            ("a: 1\nb: [", None),
            ("a: 1\na: 2\n", Some(2)),
            ("a: &x [*x]\n", Some(1)),
            ("a: *x\n", None),
            ("a: \"x\nb: 1", None),
        ] {
            let refused = check(bad.as_bytes()).expect_err(bad);
            assert!(line.is_none() || refused.line() == line, "{bad}: {refused}");
        }
        assert!(check(b"").is_err() && check(b"# only a comment\n").is_err() && check(b"\xef\xbb\xbfa: 1").is_err());
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let before = vec![format!("*a{}", level - 1); 10].join(", ");
            writeln!(bomb, "a{level}: &a{level} [{before}]").unwrap();
        }
        assert!(check(bomb.as_bytes()).unwrap_err().reason().contains("nodes"));
        assert_eq!(check(bomb.lines().take(4).collect::<Vec<_>>().join("\n").as_bytes()), Ok(()));
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(check(deep(64).as_bytes()), Ok(()));
        assert!(check(deep(65).as_bytes()).is_err());
        assert!(check("a: 1\n".repeat(60_000).as_bytes()).is_err());
    }
}
