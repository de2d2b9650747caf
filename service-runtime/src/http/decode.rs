//! Decoder of JSON bodies, with errors that do not quote the body.
//!
//! serde's messages repeat the input (`invalid type: string "hunter2"`). Guarantees that an error about a bad body
//! consists of the program's own words: names of fields of the type, the expected form, the rule that a name breaks,
//! line and column.

use serde::{
    de::{DeserializeOwned, Deserializer, IgnoredAny, Visitor},
    forward_to_deserialize_any,
};
use shared_proto::{broken_rule, error::ErrorCode};

/// Deeper than any body of the API, shallower than any stack.
const MAX_DEPTH: usize = 32;

/// Decodes a whole body.
///
/// # Errors
/// The code and the sentence for the client: `name_invalid` with the rule for a name, else `body_invalid`.
pub(super) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, (ErrorCode, String)> {
    let invalid = |sentence| (ErrorCode::BodyInvalid, sentence);
    let text = std::str::from_utf8(body).map_err(|_| invalid("The body is not UTF-8.".to_owned()))?;
    if is_deeper_than(text, MAX_DEPTH) {
        return Err(invalid(format!("The body is nested more than {MAX_DEPTH} deep.")));
    }
    // serde also reads a struct from an array, by position.
    if !text.trim_start().starts_with('{') {
        return Err(invalid("The body is not a JSON object.".to_owned()));
    }
    // `from_str` refuses anything but white space after the document.
    serde_json::from_str(text).map_err(|error| match broken_rule(&error) {
        Some(rule) => (ErrorCode::NameInvalid, rule),
        None => invalid(explain::<T>(text, &error)),
    })
}

fn explain<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!("line {} column {}", error.line(), error.column());
    // A body that a member chooses the form of is read a second time, without its positions.
    let at = if error.line() == 0 { String::new() } else { format!(" at {position}") };
    // Of a word that is chosen, another form is an error of syntax, too.
    if (error.is_syntax() || error.is_eof()) && serde_json::from_str::<IgnoredAny>(text).is_err() {
        return format!("The body is not a JSON document: see {position}.");
    }
    // The name comes from the type, not from the body.
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return format!("The field `{field}` is missing.");
    }
    if message.starts_with("unknown field `") {
        return match fields_taken(&message) {
            Some(fields) => format!("There is a field that is not taken{at}: known here are {fields}."),
            None => format!("There is a field that is not taken{at}."),
        };
    }
    let known = field_at(text, error.line(), error.column()).filter(|name| known_fields::<T>().contains(name));
    let field = known.map_or_else(String::new, |name| format!(" `{name}`"));
    if message.starts_with("duplicate field `") {
        return format!("The field{field} is given twice{at}.");
    }
    let typed = ["invalid type: ", "invalid value: ", "invalid length ", "unknown variant `"];
    // Without a position the last of these words are the input's, if there are any.
    let reason =
        if error.line() == 0 { Some(message.as_str()) } else { message.rsplit_once(" at line ").map(|at| at.0) };
    let expected = reason
        .filter(|reason| typed.iter().any(|prefix| reason.starts_with(prefix)))
        // The input stands before the last of these words, what the program wanted behind it.
        .and_then(|reason| reason.rsplit_once(", expected "))
        .map(|(_, expected)| expected);
    match expected {
        Some(expected) => format!("The field{field}{at} does not fit: expected {}.", plain(expected)),
        None if error.is_syntax() => format!("The field{field}{at} does not fit: expected one of its words or forms."),
        None => format!("The field{field}{at} is not accepted."),
    }
}

/// The fields that the program knows where it met another one. They end the message; the input stands before them.
fn fields_taken(message: &str) -> Option<&str> {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let (_, fields) = message.rsplit_once(", expected ")?;
    let fields = fields.strip_prefix("one of ").unwrap_or(fields);
    (fields.starts_with('`') && fields.ends_with('`')).then_some(fields)
}

/// The expected form, in the words of JSON.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" | "i64" => "a whole number that is not too large",
        "a sequence" => "a list",
        "a map" => "an object",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

/// Counts brackets outside strings.
fn is_deeper_than(text: &str, limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The member of the outermost object that a position of an error lies in.
fn field_at(text: &str, line: usize, column: usize) -> Option<&str> {
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let end = line_start.saturating_add(column).min(text.len());
    let (mut depth, mut string_start, mut escaped) = (0_usize, None, false);
    let (mut last_string, mut field) = (None, None);
    for (at, byte) in text.bytes().enumerate().take(end) {
        match (byte, string_start) {
            _ if escaped => escaped = false,
            (b'\\', Some(_)) => escaped = true,
            (b'"', Some(start)) => {
                last_string = text.get(start..at);
                string_start = None;
            }
            (b'"', None) => string_start = Some(at + 1),
            (b':', None) if depth == 1 => field = last_string,
            (b'{' | b'[', None) => depth += 1,
            (b'}' | b']', None) => depth = depth.saturating_sub(1),
            // Inside a string, or white space and scalars.
            _ => {}
        }
    }
    field
}

/// The names of the fields of a struct, asked from its own `Deserialize`.
fn known_fields<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _always_an_error = T::deserialize(FieldsProbe { fields: &mut fields });
    fields
}

struct FieldsProbe<'a> {
    fields: &'a mut &'static [&'static str],
}

impl<'de> Deserializer<'de> for FieldsProbe<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom("only asked for its fields"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.fields = fields;
        Err(serde::de::Error::custom("only asked for its fields"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use shared_proto::Malformed;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its decoding is tested")]
    struct Body {
        name: String,
        count: u8,
        kind: Option<Kind>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Text,
    }

    fn refusal(body: &str) -> String {
        let (code, answer) = decode::<Body>(body.as_bytes()).unwrap_err();
        assert_eq!(code, ErrorCode::BodyInvalid, "{answer}");
        assert!(!answer.contains("canary"), "{answer}");
        answer
    }

    #[test]
    fn errors_name_field_and_position_and_never_quote_the_body() {
        assert!(refusal(r#"{"name":"x","count":"canary"}"#).contains("`count` at line 1 column 28"));
        assert!(refusal(r#"{"name":"x","count":"canary, expected canary"}"#).contains("expected a whole number"));
        assert!(refusal(r#"{"name":"x","count":1,"kind":"canary"}"#).contains("`kind`"));
        assert!(refusal(r#"{"name":"x","count":1,"canary":1}"#).contains("`name`, `count`, `kind`"));
        assert!(refusal(r#"{"name":"canary"}"#).contains("`count` is missing"));
        assert!(refusal(r#"{"name":"canary","name":"canary"}"#).contains("`name` is given twice"));
        for body in ["canary", r#"{"name":"x","count":1} canary"#, r#"{"name":"canary"#, "\u{feff}{}", "[\"canary\"]"] {
            refusal(body);
        }
        decode::<Body>(br#" {"name":"x","count":1} "#).unwrap();
    }

    #[test]
    fn body_whose_kind_chooses_its_form_is_refused_without_a_position_that_is_none() {
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        #[expect(dead_code, reason = "only its decoding is tested")]
        enum Tagged {
            One { count: u8 },
        }
        for body in [
            r#"{"kind":"One","count":"canary"}"#,
            r#"{"kind":"One","count":1,"canary":1}"#,
            r#"{"kind":"canary"}"#,
            r#"{"kind":"One","count":"a, expected canary at line 1"}"#,
        ] {
            let (_, answer) = decode::<Tagged>(body.as_bytes()).unwrap_err();
            assert!(!answer.contains("canary") && !answer.contains("line 0"), "{answer}");
        }
    }

    #[test]
    fn word_that_is_no_word_is_no_error_of_the_document() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its decoding is tested")]
        struct Worded {
            kind: Kind,
        }
        for body in [r#"{"kind":null}"#, r#"{"kind":{}}"#] {
            let (_, answer) = decode::<Worded>(body.as_bytes()).unwrap_err();
            assert!(answer.contains("`kind`") && answer.contains("does not fit"), "{answer}");
        }
        let (_, answer) = decode::<Worded>(br#"{"kind":nul}"#).unwrap_err();
        assert!(answer.contains("not a JSON document"), "{answer}");
    }

    #[derive(Debug)]
    struct Name;

    impl<'de> Deserialize<'de> for Name {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            String::deserialize(deserializer)?;
            Err(Malformed("a name has (no) canary").into_name_error())
        }
    }

    #[test]
    fn name_outside_its_rules_is_told_apart_wherever_it_stands() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its decoding is tested")]
        struct Named {
            name: Name,
            count: u8,
        }
        #[derive(Debug, Deserialize)]
        #[serde(tag = "kind", deny_unknown_fields)]
        #[expect(dead_code, reason = "only its decoding is tested")]
        enum Tagged {
            One { name: Name },
        }
        let rule = (ErrorCode::NameInvalid, "a name has (no) canary".to_owned());
        assert_eq!(decode::<Named>(br#"{"count":1,"name":"x) y"}"#).unwrap_err(), rule);
        assert_eq!(decode::<Tagged>(br#"{"kind":"One","name":"x) y"}"#).unwrap_err(), rule);
        // The same words in the body are not those of the program.
        let words = Malformed("canary").into_name_error::<serde::de::value::Error>().to_string();
        for body in [
            json!({"name": [words]}),
            json!({"count": words}),
            json!({words.as_str(): 1}),
            json!({"kind": words}),
            json!({"kind": "One", words.as_str(): 1}),
            json!({"kind": "One", "name": [words]}),
        ] {
            let body = body.to_string();
            for (code, sentence) in
                [decode::<Named>(body.as_bytes()).unwrap_err(), decode::<Tagged>(body.as_bytes()).unwrap_err()]
            {
                assert!(code == ErrorCode::BodyInvalid && !sentence.contains("canary"), "{body}: {sentence}");
            }
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        decode::<serde_json::Value>(nested(32).as_bytes()).unwrap();
        assert!(decode::<serde_json::Value>(nested(33).as_bytes()).is_err());
        decode::<serde_json::Value>(format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(99)).as_bytes()).unwrap();
        assert!(decode::<serde_json::Value>(b"{\"a\":\"\xff\"}").is_err());
        assert!(decode::<serde_json::Value>(b"[1]").is_err());
    }
}
