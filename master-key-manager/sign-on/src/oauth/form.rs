//! Forms (`application/x-www-form-urlencoded`), read strictly, and HTTP Basic as RFC 6749 section 2.3.1 has it.
//!
//! Usual readers replace what is no UTF-8 and leave broken percent signs alone, so that two texts can mean one client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::{OauthError, OauthErrorCode};

/// The longest body of a token request in bytes: two tokens of others, and details.
pub const MAX_BODY_BYTES: usize = 64 << 10;
/// The most parameters.
const MAX_PARAMETERS: usize = 64;

/// The parameters of a request, each of which came once. It has no `Debug` form.
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    pub(super) fn parse(body: &[u8]) -> Result<Self, OauthError> {
        const MALFORMED: OauthError = OauthError::request("The body is not a form in UTF-8.");
        if body.len() > MAX_BODY_BYTES {
            return Err(OauthError::request("The body is too large."));
        }
        let mut pairs: Vec<(String, Zeroizing<String>)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at(at);
            let name = decoded(name).ok_or(MALFORMED)?;
            let value = decoded(value.strip_prefix(b"=").unwrap_or_default()).ok_or(MALFORMED)?;
            if pairs.iter().any(|(known, _)| *known == *name) {
                return Err(OauthError::request("A parameter comes twice."));
            }
            if pairs.len() >= MAX_PARAMETERS {
                return Err(OauthError::request("There are too many parameters."));
            }
            pairs.push((name.to_string(), value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter. An empty one is a missing one.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn secret(&self, name: &str) -> Option<Zeroizing<String>> {
        self.get(name).map(|value| Zeroizing::new(value.to_owned()))
    }
}

/// The client's id and secret in an `Authorization` header.
pub(super) fn basic(header: &str) -> Result<(String, Zeroizing<String>), OauthError> {
    const REFUSED: OauthError = OauthError::new(
        OauthErrorCode::InvalidClient,
        "The Authorization header is not HTTP Basic with id and secret.",
    );
    if header.len() > LONGEST_HEADER {
        return Err(REFUSED);
    }
    let (scheme, encoded) = header.split_once(' ').ok_or(REFUSED)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(REFUSED);
    }
    let pair = STANDARD.decode(encoded.trim_start_matches(' ')).map(Zeroizing::new).map_err(|_| REFUSED)?;
    let at = pair.iter().position(|byte| *byte == b':').ok_or(REFUSED)?;
    let (id, secret) = pair.split_at(at);
    let id = decoded(id).ok_or(REFUSED)?;
    let secret = decoded(secret.strip_prefix(b":").unwrap_or_default()).ok_or(REFUSED)?;
    if id.is_empty() || secret.is_empty() { Err(REFUSED) } else { Ok((id.to_string(), secret)) }
}

/// Percent and plus decoded; `None` if that is no UTF-8, or a percent sign has no two digits behind it.
fn decoded(text: &[u8]) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => digit(*rest.next()?)? << 4 | digit(*rest.next()?)?,
            other => *other,
        });
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

const LONGEST_HEADER: usize = 2048;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded_and_empty_ones_are_missing() {
        let form = Form::parse(b"a=1+2%2B%C3%A4&b=&c&d=x=y&&e=%26").unwrap_or_else(|_| unreachable!());
        assert_eq!(form.get("a"), Some("1 2+ä"));
        assert_eq!((form.get("b"), form.get("c"), form.get("z")), (None, None, None));
        assert_eq!((form.get("d"), form.get("e")), (Some("x=y"), Some("&")));
    }

    #[test]
    fn parameter_that_comes_twice_is_refused_however_it_is_spelled() {
        for body in ["a=1&a=2", "a=1&a=1", "a=1&%61=1", "x=1&x=", "a&a"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn broken_percent_signs_and_other_encodings_are_refused() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%+1", "a=%ff", "%ff=a"] {
            assert!(Form::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(Form::parse(b"a=\xff").is_err());
        assert!(Form::parse(&vec![b'a'; MAX_BODY_BYTES + 1]).is_err());
        let many: Vec<_> = (0..=MAX_PARAMETERS).map(|at| format!("p{at}=1")).collect();
        assert!(Form::parse(many.join("&").as_bytes()).is_err());
        assert!(Form::parse(many[1..].join("&").as_bytes()).is_ok());
    }

    /// RFC 6749 section 2.3.1, and a pair whose parts have to be encoded first.
    #[test]
    fn basic_is_form_decoded_after_the_colon_is_found() {
        let read = |header: &str| basic(header).map(|(id, secret)| (id, secret.to_string()));
        let of = |id: &str, secret: &str| Ok((id.to_owned(), secret.to_owned()));
        assert_eq!(read("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW"), of("s6BhdRkqt3", "gX1fBat3bV"));
        assert_eq!(read(&format!("basic  {}", STANDARD.encode("a%3Ab:c+d%25"))), of("a:b", "c d%"));
        assert_eq!(read(&format!("Basic {}", STANDARD.encode("a:b:c"))), of("a", "b:c"));
        for wrong in ["", "Basic", "Basic ", "Bearer abc", "Basic !!!!", "Basic YTpi=", "Basic YWI="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for pair in ["abc", ":b", "a:", "a:%", "a:%ff"] {
            assert!(read(&format!("Basic {}", STANDARD.encode(pair))).is_err(), "{pair}");
        }
    }

    proptest! {
        #[test]
        fn no_body_and_no_header_panics(body: Vec<u8>, text in "[a-z%+&=0-9]{0,40}", header: String) {
            let _ = Form::parse(&body);
            let _ = Form::parse(text.as_bytes());
            let _ = basic(&header);
            let _ = basic(&format!("Basic {}", STANDARD.encode(&body)));
        }

        #[test]
        fn what_others_encode_is_read_back(value: String) {
            let mut other = url::form_urlencoded::Serializer::new(String::new());
            other.append_pair("a", &value);
            let form = Form::parse(other.finish().as_bytes()).unwrap_or_else(|_| unreachable!());
            prop_assert_eq!(form.get("a").unwrap_or_default(), value);
        }
    }
}
