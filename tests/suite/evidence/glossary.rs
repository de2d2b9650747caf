//! The second half of the glossary names types and functions of the code. They exist where it says.

use std::fs;

use system_tests::repository;

/// A row of the table: its words, and the files that declare them.
struct Row {
    words: Vec<String>,
    files: Vec<String>,
}

#[test]
fn words_of_the_code_are_declared_where_the_glossary_says() {
    let text = fs::read_to_string(repository().join("docs/glossary.md")).unwrap();
    let rows = rows(&text);
    assert!(rows.len() >= 40, "the table has {} rows", rows.len());
    let read = |file: &str| fs::read_to_string(repository().join(file)).unwrap_or_default();
    let gone: Vec<_> = rows.iter().flat_map(|row| missing(row, read)).collect();
    assert!(gone.is_empty(), "the glossary names what the code does not have: {gone:#?}");
}

#[test]
fn renamed_word_and_moved_word_are_noticed() {
    let read = |file: &str| if file == "here.rs" { "pub(super) struct Room(u8);\nmod gate {" } else { "" }.to_owned();
    let row = |words: &[&str], files: &[&str]| Row {
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        files: files.iter().map(|file| (*file).to_owned()).collect(),
    };
    assert_eq!(missing(&row(&["Room", "gate"], &["here.rs"]), read), [""; 0]);
    assert_eq!(missing(&row(&["Roo"], &["here.rs"]), read), ["Roo is not in here.rs", "here.rs has none of Roo"]);
    assert_eq!(missing(&row(&["Room"], &["there.rs"]), read), ["Room is not in there.rs", "there.rs has none of Room"]);
    assert_eq!(missing(&row(&["Room"], &["here.rs", "there.rs"]), read), ["there.rs has none of Room"]);
    assert_eq!(rows("| `A` | x | a.rs |\n## Words of the code\n| `B`, `C` | y | b.rs, c.rs |")[0].words, ["B", "C"]);
}

fn rows(glossary: &str) -> Vec<Row> {
    let (_, half) = glossary.split_once("## Words of the code").unwrap();
    let lines = half.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let [_, words, _, files, _] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let words = words.split(',').map(|word| word.trim().trim_matches('`').to_owned());
        Row { words: words.collect(), files: files.split(',').map(|file| file.trim().to_owned()).collect() }
    };
    lines.map(row).collect()
}

/// The words that none of the row's files declares, and the files that declare none of its words.
fn missing(row: &Row, read: impl Fn(&str) -> String) -> Vec<String> {
    let (words, files) = (row.words.join(", "), row.files.join(", "));
    let sources: Vec<_> = row.files.iter().map(|file| (file, read(file))).collect();
    let lost = row.words.iter().filter(|word| !sources.iter().any(|(_, source)| declares(source, word)));
    let idle = sources.iter().filter(|(_, source)| !row.words.iter().any(|word| declares(source, word)));
    lost.map(|word| format!("{word} is not in {files}"))
        .chain(idle.map(|(file, _)| format!("{file} has none of {words}")))
        .collect()
}

/// Whether a line of the source declares the word.
fn declares(source: &str, word: &str) -> bool {
    let kinds = ["struct", "enum", "trait", "type", "fn", "mod"];
    source.lines().any(|line| {
        let mut rest = line
            .split_whitespace()
            .skip_while(|part| part.starts_with("pub") || part.ends_with(')') || *part == "async");
        let kind = rest.next().is_some_and(|kind| kinds.contains(&kind));
        let named = rest.next().and_then(|name| name.split(|sign: char| !sign.is_alphanumeric() && sign != '_').next());
        kind && named == Some(word)
    })
}
