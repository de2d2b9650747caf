//! A YAML mapping. Mappings in it are folders, scalars are values, and their text is what is written: `yes`, `010` and `1.10`
//! stay so. Aliases are refused, so that a document is no larger than it looks.

use std::collections::HashSet;

use saphyr_parser::{Event, Parser, ScalarStyle};
use zeroize::Zeroizing;

use super::{DEEPEST_FOLDER, Entries, Entry, filled};
use crate::Refused;
use crate::yaml::MAX_YAML_BYTES;

/// Reads a document.
pub(super) fn read(document: &str) -> Result<Vec<Entry>, Refused> {
    if document.len() > MAX_YAML_BYTES {
        return Err(Refused::new("a YAML document has at most 262144 bytes"));
    }
    let (mut walk, mut line) = (Walk::default(), 1);
    for event in Parser::new_from_str(document) {
        let not_yaml =
            |error: saphyr_parser::ScanError| Refused::at_line("the document is not YAML", error.marker().line());
        let (event, span) = event.map_err(not_yaml)?;
        line = span.start.line().max(line);
        walk.event(event, line).map_err(|refused| Refused::at_line(refused.reason(), line))?;
    }
    Ok(walk.entries.0)
}

#[derive(Default)]
struct Walk {
    entries: Entries,
    folders: Vec<Folder>,
    /// The lists that are open, whose content is passed over.
    lists: usize,
    documents: usize,
}

/// A mapping that is open.
#[derive(Default)]
struct Folder {
    known: HashSet<String>,
    /// The key whose value comes next.
    key: Option<String>,
}

impl Walk {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Refused> {
        match event {
            Event::Alias(_) => Err(Refused::new("aliases are not followed; write the value out")),
            Event::DocumentStart(_) if self.documents == 1 => Err(Refused::new("a second document begins")),
            Event::DocumentStart(_) => {
                self.documents += 1;
                Ok(())
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if self.lists > 0 => {
                self.lists += 1;
                if self.lists > DEEPEST_FOLDER { Err(too_deep()) } else { Ok(()) }
            }
            Event::SequenceEnd | Event::MappingEnd if self.lists > 0 => {
                self.lists -= 1;
                Ok(())
            }
            Event::Scalar(..) if self.lists > 0 => Ok(()),
            Event::SequenceStart(..) => {
                self.value(
                    line,
                    Err(Refused::at_line("a list is not a value; store it as a secret of the kind yaml", line)),
                )?;
                self.lists = 1;
                Ok(())
            }
            Event::MappingStart(_, tag) => {
                if tag.is_some() {
                    return Err(Refused::new("tags are not read"));
                }
                self.open()
            }
            Event::MappingEnd => {
                self.folders.pop();
                if let Some(folder) = self.folders.last_mut() {
                    folder.key = None;
                }
                Ok(())
            }
            Event::Scalar(text, style, _, tag) => self.scalar(&text, style, tag.is_some(), line),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::SequenceEnd => Ok(()),
        }
    }

    fn open(&mut self) -> Result<(), Refused> {
        if self.folders.last().is_some_and(|folder| folder.key.is_none()) {
            return Err(Refused::new("a key is not a text"));
        }
        if self.folders.len() == DEEPEST_FOLDER {
            return Err(too_deep());
        }
        self.folders.push(Folder::default());
        Ok(())
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, is_tagged: bool, line: usize) -> Result<(), Refused> {
        let Some(folder) = self.folders.last_mut() else {
            return Err(Refused::new("the document is not a mapping"));
        };
        if folder.key.is_none() {
            if is_tagged {
                return Err(Refused::new("tags are not read"));
            }
            if !folder.known.insert(text.to_owned()) {
                return Err(Refused::new("a key stands twice"));
            }
            folder.key = Some(text.to_owned());
            return Ok(());
        }
        let is_null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
        let value = if is_tagged {
            Err(Refused::at_line("tags are not read", line))
        } else if is_null {
            Err(Refused::at_line("the value is null", line))
        } else {
            filled(Zeroizing::new(text.to_owned())).map_err(|refused| Refused::at_line(refused.reason(), line))
        };
        self.value(line, value)
    }

    /// Takes the value of the key that is waiting for one.
    fn value(&mut self, line: usize, value: Result<Zeroizing<String>, Refused>) -> Result<(), Refused> {
        let names: Option<Vec<String>> = self.folders.iter().map(|folder| folder.key.clone()).collect();
        let names = names.filter(|names| !names.is_empty());
        let names = names.ok_or_else(|| Refused::new("the document is not a mapping, or a key is not a text"))?;
        if let Some(folder) = self.folders.last_mut() {
            folder.key = None;
        }
        self.entries.push(Entry { names, line: Some(line), value })
    }
}

fn too_deep() -> Refused {
    Refused::new("the document is nested deeper than 16")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(document: &str) -> Vec<(String, Option<String>)> {
        let row = |entry: Entry| (entry.names.join("/"), entry.value.ok().map(|value| value.to_string()));
        read(document).ok().unwrap().into_iter().map(row).collect()
    }

    #[test]
    fn mappings_are_folders_and_scalars_are_taken_as_they_are_written() {
        let document = "a:\n  b: yes\n  c: {d: 010, e: 1.10}\nf: '$HOME'\ng: \"x\\ny\"\nh: |\n  -----BEGIN\n  ab==\ni: ~\nj:\n\
            k: [1, {l: 2}]\nm: !!binary aGk=\nn: ''\no: last # comment\n";
        let value = |text: &str| Some(text.to_owned());
        let expected = [
            ("a/b", value("yes")),
            ("a/c/d", value("010")),
            ("a/c/e", value("1.10")),
            ("f", value("$HOME")),
            ("g", value("x\ny")),
            ("h", value("-----BEGIN\nab==\n")),
            ("i", None),
            ("j", None),
            ("k", None),
            ("m", None),
            ("n", None),
            ("o", value("last")),
        ];
        assert_eq!(rows(document), expected.map(|(path, value)| (path.to_owned(), value)));
    }

    #[test]
    fn nothing_of_a_document_out_of_form_is_taken() {
        for bad in [
            "a",
            "- a\n",
            "a: 1\na: 2\n",
            "a: &x 1\nb: *x\n",
            "a: &x {b: 1}\nc:\n  <<: *x\n",
            "a: 1\n---\nb: 2\n",
            "? [a]\n: b\n",
            "? {a: b}\n: c\n",
            "a: [",
            "!!set {a: b}\n",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let deep = |levels: usize| "{a: ".repeat(levels) + "1" + &"}".repeat(levels);
        assert!(read(&deep(DEEPEST_FOLDER)).is_ok() && read(&deep(DEEPEST_FOLDER + 1)).is_err());
        let lists = |levels: usize| format!("a: {}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&lists(DEEPEST_FOLDER)).is_ok() && read(&lists(DEEPEST_FOLDER + 1)).is_err());
    }
}
