//! JSON web tokens of somebody else: their form and their end. Signatures are their reader's to check.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::check::{Checked, Facts, Validity};
use crate::{Refused, json, text};

pub(crate) fn check(value: &[u8], now: u64) -> Result<Checked, Refused> {
    let text = text::token(value)?;
    let parts: Vec<&str> = text.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else {
        return Err(match parts.len() {
            5 => Refused::new("this is an encrypted token (JWE), of which nothing can be checked; use service-token"),
            _ => Refused::new("a JWT has three parts, joined by dots"),
        });
    };
    let header: Header = object(header)?;
    let claims: Claims = object(claims)?;
    if header.alg.eq_ignore_ascii_case("none") || signature.is_empty() {
        return Err(Refused::new("the JWT is not signed"));
    }
    if URL_SAFE_NO_PAD.decode(signature).is_err() {
        return Err(OUT_OF_FORM);
    }
    let expires_at = claims.exp.map(seconds).transpose()?;
    let not_before = claims.nbf.map(seconds).transpose()?;
    Ok(Checked { expires_at, validity: Validity::of(not_before, expires_at, now), facts: Facts::Jwt })
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
    nbf: Option<f64>,
}

fn object<T: for<'de> Deserialize<'de>>(part: &str) -> Result<T, Refused> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(part).map_err(|_| OUT_OF_FORM)?);
    json::check(&bytes).map_err(|_| OUT_OF_FORM)?;
    // serde would read a struct from an array, by position.
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(OUT_OF_FORM);
    }
    serde_json::from_slice(&bytes).map_err(|_| Refused::new("alg of a JWT is a text, exp and nbf are numbers"))
}

/// A time of a token in whole seconds. RFC 7519 section 2 allows fractions.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn seconds(time: f64) -> Result<u64, Refused> {
    let sensible = (0.0..=LAST_TIME).contains(&time);
    if sensible {
        Ok(time as u64)
    } else {
        Err(Refused::new("a time of the JWT lies outside of the years 1970 to 9999"))
    }
}

/// The end of the year 9999.
const LAST_TIME: f64 = 253_402_300_799.0;
const OUT_OF_FORM: Refused = Refused::new("a part of the JWT is not base64url of a JSON object with each member once");

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{header}.{claims}.c2ln")
    }

    fn checked(header: &str, claims: &str) -> Result<Checked, Refused> {
        check(token(header, claims).as_bytes(), NOW)
    }

    #[test]
    fn end_of_a_token_is_its_exp() {
        let rs = r#"{"alg":"RS256","typ":"JWT"}"#;
        let of = |claims: &str| checked(rs, claims).map(|checked| (checked.expires_at, checked.validity));
        assert_eq!(of(r#"{"sub":"a"}"#), Ok((None, Validity::Valid)));
        assert_eq!(of(r#"{"exp":1800000001}"#), Ok((Some(NOW + 1), Validity::Valid)));
        assert_eq!(of(r#"{"exp":1800000000.9}"#), Ok((Some(NOW), Validity::Ended)));
        assert_eq!(of(r#"{"nbf":1800000001,"exp":1900000000}"#), Ok((Some(1_900_000_000), Validity::NotYet)));
    }

    #[test]
    fn what_is_no_signed_token_is_refused_with_the_reason() {
        let good = token(r#"{"alg":"HS256"}"#, "{}");
        assert!(check(good.as_bytes(), NOW).is_ok());
        for (text, reason) in [
            (format!("{good}\n"), "line break"),
            (format!(" {good}"), "visible"),
            (format!("Bearer {good}"), "visible"),
            (format!("{good}.a.b"), "JWE"),
            (good.replace('.', ":"), "three parts"),
            (format!("{good}="), "base64url"),
            (token(r#"{"alg":"none"}"#, "{}"), "not signed"),
            (token(r#"{"alg":"HS256"}"#, "{}").trim_end_matches("c2ln").to_owned(), "not signed"),
            (token(r#"{"typ":"JWT"}"#, "{}"), "alg"),
            (token(r#"{"alg":"HS256"}"#, r#"{"exp":"soon"}"#), "exp"),
            (token(r#"{"alg":"HS256"}"#, r#"{"exp":1e300}"#), "1970"),
            (token(r#"{"alg":"HS256"}"#, r#"{"exp":-1}"#), "1970"),
            (token(r#"{"alg":"HS256"}"#, r#"{"exp":1,"exp":2}"#), "once"),
            (token(r#"{"alg":"HS256"}"#, "[1,2]"), "JSON object"),
        ] {
            let refused = check(text.as_bytes(), NOW).expect_err(reason);
            assert!(refused.reason().contains(reason), "{reason}: {refused}");
        }
    }
}
