//! A search for what must not lie anywhere: as it is, in hex, base64, percent and number form.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

/// Something to look for.
#[derive(Clone, Debug)]
pub(super) struct Needle {
    what: String,
    forms: Vec<(&'static str, String)>,
}

impl Needle {
    /// The forms of some bytes, at least twelve, so that none occurs by chance.
    pub(super) fn new(what: &str, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 12, "{what} is too short to be looked for");
        let join =
            |separator: &str, form: fn(&u8) -> String| bytes.iter().map(form).collect::<Vec<_>>().join(separator);
        let mut forms = vec![
            ("raw", latin1(bytes)),
            ("lower hex", join("", |byte| format!("{byte:02x}"))),
            ("upper hex", join("", |byte| format!("{byte:02X}"))),
            ("lower percent", join("", |byte| format!("%{byte:02x}"))),
            ("upper percent", join("", |byte| format!("%{byte:02X}"))),
            ("numbers", join(", ", ToString::to_string)),
            ("dense numbers", join(",", ToString::to_string)),
        ];
        for (name, engine) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
            for before in 0..3 {
                let text = engine.encode([vec![0; before], bytes.to_vec()].concat());
                // The characters that share bits with the neighbours depend on them: 0, 2 or 3 at the start.
                let start = [0, 2, 3][before];
                let end = (before + bytes.len()) * 8 / 6;
                forms.push((name, text[start..end].to_owned()));
            }
        }
        Self { what: what.to_owned(), forms }
    }

    /// The form of a name.
    #[cfg(test)]
    pub(super) fn forms(&self) -> &[(&'static str, String)] {
        &self.forms
    }
}

/// Where the needles lie in some bytes: "place: what as form".
pub(super) fn in_bytes(place: &str, bytes: &[u8], needles: &[Needle]) -> Vec<String> {
    let text = latin1(bytes);
    let found = needles.iter().flat_map(|needle| {
        let hits = needle.forms.iter().filter(|(_, form)| text.contains(form.as_str()));
        hits.map(|(name, _)| format!("{place}: {} as {name}", needle.what)).collect::<Vec<_>>()
    });
    found.collect()
}

/// Where the needles lie in the files below a folder, and in the names of those files.
pub(super) fn in_tree(folder: &Path, needles: &[Needle]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let place = path.display().to_string();
        found.extend(in_bytes(&place, entry.file_name().as_encoded_bytes(), needles));
        if entry.file_type().unwrap().is_dir() {
            found.extend(in_tree(&path, needles));
        } else {
            // A service that runs removes temporary files meanwhile.
            found.extend(in_bytes(&place, &fs::read(&path).unwrap_or_default(), needles));
        }
    }
    found
}

/// One character for each byte, so that any bytes can be searched as text.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

#[test]
fn every_form_of_a_planted_canary_is_found_wherever_it_starts() {
    let canary: Vec<u8> = b"canary-".iter().copied().chain([0xfb, 0xff, 0xfe, 0x00, 0x3e, 0x3f, 0x3f]).collect();
    let needle = Needle::new("canary", &canary);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(in_tree(folder.path(), std::slice::from_ref(&needle)), Vec::<String>::new());
    for (form, text) in needle.forms() {
        let planted = [b"\xffbefore".to_vec(), text.chars().map(|c| u8::try_from(c).unwrap()).collect()].concat();
        let hits = in_bytes("here", &planted, std::slice::from_ref(&needle));
        assert!(hits.contains(&format!("here: canary as {form}")), "{form}: {hits:?}");
    }
    // Independent of how the forms are made: whole texts as an encoder gives them.
    let prefixes = ["", "x", "xy", "xyz"];
    for prefix in prefixes {
        let whole = [prefix.as_bytes(), &canary, b"after"].concat();
        for text in [STANDARD.encode(&whole), URL_SAFE.encode(&whole), format!("{whole:?}")] {
            assert!(!in_bytes("here", text.as_bytes(), std::slice::from_ref(&needle)).is_empty(), "{text}");
        }
    }
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    std::fs::write(folder.path().join("deep/file"), [b"log ".to_vec(), canary].concat()).unwrap();
    let hits = in_tree(folder.path(), std::slice::from_ref(&needle));
    assert_eq!(hits.len(), 1, "{hits:?}");
    assert!(hits[0].ends_with("deep/file: canary as raw"), "{hits:?}");
}
