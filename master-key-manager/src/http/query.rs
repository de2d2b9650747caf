//! Parsing of query strings, as strict as that of bodies.

use actix_web::error::QueryPayloadError;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use service_runtime::Refusal;
use shared_proto::broken_rule;
use shared_proto::error::ErrorCode;

/// Reads the query of a request. The type refuses unknown and repeated parameters.
///
/// # Errors
/// `name_invalid` for a name outside its rules, else `parameter_invalid`.
pub(super) fn parse_query<T: DeserializeOwned>(req: &HttpRequest) -> Result<T, Refusal> {
    web::Query::<T>::from_query(req.query_string()).map(web::Query::into_inner).map_err(|error| {
        let QueryPayloadError::Deserialize(error) = error else { return Refusal::parameter(OUTSIDE) };
        match broken_rule(&error) {
            Some(rule) => Refusal::new(ErrorCode::NameInvalid).detail(rule),
            None => Refusal::parameter(explain(&error.to_string())),
        }
    })
}

/// An explanation in the program's own words: the names of parameters that it knows.
fn explain(message: &str) -> String {
    let named = |start: &str| message.strip_prefix(start).and_then(|rest| rest.split('`').next());
    if let Some(name) = named("missing field `") {
        return format!("The parameter `{name}` is missing.");
    }
    if let Some(name) = named("duplicate field `") {
        return format!("The parameter `{name}` is given twice.");
    }
    // They end the message; the input stands before them.
    let known = message.rsplit_once(", expected ").map(|(_, known)| known.strip_prefix("one of ").unwrap_or(known));
    match known {
        Some(known) if message.starts_with("unknown field `") && known.starts_with('`') && known.ends_with('`') => {
            format!("There is a parameter that is not taken: known here are {known}.")
        }
        Some(_) | None => OUTSIDE.to_owned(),
    }
}

/// The size of a page, 1 to 500.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(try_from = "usize")]
pub struct Page(usize);

impl Page {
    /// The number of rows.
    pub fn rows(self) -> usize {
        self.0
    }
}

impl Default for Page {
    fn default() -> Self {
        Self(DEFAULT_ROWS)
    }
}

impl TryFrom<usize> for Page {
    type Error = &'static str;

    fn try_from(rows: usize) -> Result<Self, Self::Error> {
        if (1..=MAX_ROWS).contains(&rows) { Ok(Self(rows)) } else { Err("a limit is 1 to 500") }
    }
}

const OUTSIDE: &str = "A query parameter is out of its range.";
const DEFAULT_ROWS: usize = 100;
/// The most rows of a page: a few hundred kilobytes.
pub const MAX_ROWS: usize = 500;

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use manager_api::name::EnvironmentName;
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Asked {
        #[serde(default)]
        limit: Page,
        after: Option<u64>,
        environment: Option<EnvironmentName>,
    }

    #[test]
    fn unknown_repeated_and_excessive_parameters_are_refused() {
        let read = |text: &str| parse_query::<Asked>(&TestRequest::with_uri(&format!("/x?{text}")).to_http_request());
        assert_eq!(read("").unwrap().limit.rows(), 100);
        let asked = read("limit=500&after=7").unwrap();
        assert_eq!((asked.limit.rows(), asked.after), (500, Some(7)));
        for wrong in ["limit=0", "limit=501", "limit=-1", "limit=x", "limit=1&limit=2", "more=1", "after="] {
            assert_eq!(read(wrong).unwrap_err().code(), ErrorCode::ParameterInvalid, "{wrong}");
        }
        assert_eq!(read("environment=dev").unwrap().environment.unwrap().as_str(), "dev");
        for wrong in ["environment=", "environment=D", "limit=7&environment=a_b"] {
            assert_eq!(read(wrong).unwrap_err().code(), ErrorCode::NameInvalid, "{wrong}");
        }
    }
}
