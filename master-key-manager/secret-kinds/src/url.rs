//! The passwords in an address that programs connect with, such as `postgres://app:password@db/shop`.

use zeroize::Zeroizing;

/// The passwords of an address: the one beside the user, and the one of a parameter `password` (of several the last one, which
/// counts for most programs). They are percent-decoded. Those that are empty are none. At most two, whatever is given.
pub fn passwords(address: &str) -> Vec<Zeroizing<Vec<u8>>> {
    let beside_user = user_information(address).and_then(|user| user.split_once(':')).map(|(_, password)| password);
    let parameter = address.split(['?', '&', ';']).skip(1).filter_map(password_parameter).last();
    let given = [beside_user, parameter].into_iter().flatten().filter(|text| !text.is_empty());
    given.map(decoded).collect()
}

/// The part before the last `@` of the authority. An address without a scheme begins with its authority.
fn user_information(address: &str) -> Option<&str> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').map(|(user, _)| user)
}

fn password_parameter(part: &str) -> Option<&str> {
    let (name, value) = part.split_once('=')?;
    name.eq_ignore_ascii_case("password").then(|| value.split('#').next().unwrap_or_default())
}

/// A text with `%` and two digits turned into the byte that they stand for. What has another form stays.
fn decoded(text: &str) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let byte = if *first == b'%' {
            after.split_first_chunk().and_then(|(pair, rest)| Some((hex(*pair)?, rest)))
        } else {
            None
        };
        let (byte, next) = byte.unwrap_or((*first, after));
        out.push(byte);
        rest = next;
    }
    out
}

fn hex([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some((digit(high)? << 4) | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_found_where_programs_find_it() {
        for (address, expected) in [
            ("postgres://app:hunter2@db:5432/shop", vec!["hunter2"]),
            ("postgres://app:h%75nter%32@db/shop", vec!["hunter2"]),
            ("redis://:hunter2@cache", vec!["hunter2"]),
            ("mongodb://app:hunter2@one,two/shop?w=1", vec!["hunter2"]),
            ("app:hunter2@tcp(db:3306)/shop", vec!["hunter2"]),
            ("postgres://app:a@b:c@db/shop", vec!["a@b:c"]),
            ("jdbc:postgresql://db/shop?user=app&password=hunter2", vec!["hunter2"]),
            ("jdbc:sqlserver://db;user=app;Password=hunter2", vec!["hunter2"]),
            ("postgres://app:one@db/?password=two&password=three#f", vec!["one", "three"]),
            ("postgres://app:100%25%zz%4@db", vec!["100%%zz%4"]),
            ("postgres://db/shop", vec![]),
            ("postgres://app@db/shop", vec![]),
            ("postgres://app:@db/shop?password=", vec![]),
            ("postgres://db/a:b@c", vec![]),
            ("", vec![]),
        ] {
            let found = passwords(address);
            let found: Vec<_> = found.iter().map(|found| String::from_utf8_lossy(found)).collect();
            assert_eq!(found, expected, "{address}");
        }
    }
}
