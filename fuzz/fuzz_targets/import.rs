//! Documents that are imported: nothing panics, no refusal repeats a value, the bounds hold, and a value that is written out
//! again in a form that all tools read alike is the same value.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use manager_api::import::{DocumentFormat, MAX_IMPORTED};
use manager_secret_kinds::document::{DEEPEST_FOLDER, Entry, read};
use serde_json::{Map, Value};

/// Stands in seeds where a value would be.
const CANARY: &str = "HUNTER2";
const FORMATS: [DocumentFormat; 3] = [DocumentFormat::Dotenv, DocumentFormat::Json, DocumentFormat::Yaml];

fuzz_target!(|data: &[u8]| {
    // The first byte chooses the format, so that the fuzzer learns about each one by itself.
    let Some((first, document)) = data.split_first() else { return };
    let format = FORMATS[usize::from(*first) % FORMATS.len()];
    let Ok(document) = std::str::from_utf8(document) else { return };
    match read(format, document) {
        Err(refused) => assert!(!refused.to_string().contains(CANARY)),
        Ok(entries) => {
            assert!((1..=MAX_IMPORTED).contains(&entries.len()));
            let values = values(&entries);
            again(&values);
            if format == DocumentFormat::Dotenv {
                again_in_quotes(&values);
            }
        }
    }
});

/// The values that were taken, by the names that lead to them. Each place has one.
fn values(entries: &[Entry]) -> BTreeMap<Vec<String>, String> {
    let mut values = BTreeMap::new();
    for Entry { names, value, .. } in entries {
        assert!((1..=DEEPEST_FOLDER).contains(&names.len()));
        match value {
            Err(refused) => assert!(!refused.to_string().contains(CANARY)),
            Ok(value) => {
                assert!(!value.is_empty());
                assert!(values.insert(names.clone(), value.to_string()).is_none(), "two values at one place");
            }
        }
    }
    values
}

/// The same values as a JSON document are read as the same values.
fn again(taken: &BTreeMap<Vec<String>, String>) {
    let mut root = Map::new();
    for (names, value) in taken {
        let (last, folders) = names.split_last().unwrap();
        let mut folder = &mut root;
        for name in folders {
            let inner = folder.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
            folder = inner.as_object_mut().expect("a place is a folder or a value");
        }
        folder.insert(last.clone(), Value::String(value.clone()));
    }
    if let Ok(entries) = read(DocumentFormat::Json, &Value::Object(root).to_string()) {
        assert_eq!(values(&entries), *taken);
    } else {
        assert!(taken.is_empty() || is_larger_in_json(taken));
    }
}

/// Escapes make a document longer, so one at the bound may be over it then.
fn is_larger_in_json(taken: &BTreeMap<Vec<String>, String>) -> bool {
    let bytes = |(names, value): (&Vec<String>, &String)| value.len() + names.iter().map(String::len).sum::<usize>();
    taken.iter().map(bytes).sum::<usize>() > 64 << 10
}

/// The same values in single quotes are read as the same values.
fn again_in_quotes(taken: &BTreeMap<Vec<String>, String>) {
    let plain: BTreeMap<_, _> = taken.iter().filter(|(_, value)| !value.contains('\'')).collect();
    let lines: String = plain.iter().map(|(names, value)| format!("{}='{value}'\n", names[0])).collect();
    if let Ok(entries) = read(DocumentFormat::Dotenv, &lines) {
        let read = values(&entries);
        assert_eq!(read.iter().collect::<BTreeMap<_, _>>(), plain);
    } else {
        assert!(plain.is_empty() || lines.len() > 64 << 10);
    }
}
