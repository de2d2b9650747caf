//! The name of a secret in an argument.

use client::Wanted;
use client::manager_api::name::{EnvironmentName, SecretPath};
use client::manager_api::reference::{FieldName, Reference, SCHEME, decoded, encoded};
use client::manager_api::tokens::WantedVersion;
use client::shared_proto::Malformed;
use client::shared_proto::id::SecretId;

use crate::failure::Failure;

/// A secret, or a field or a version of it, as an argument names it: `path`, `environment:path`, `sv://…`, or an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretName {
    pub(crate) place: SecretAddress,
    pub(crate) field: Option<FieldName>,
    pub(crate) version: Option<WantedVersion>,
}

/// A secret by its path or its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretAddress {
    Id(SecretId),
    Path(EnvironmentName, SecretPath),
}

impl SecretName {
    /// Reads an argument. A path that names no environment is in the one that is given.
    pub(crate) fn parse(text: &str, environment: Option<&EnvironmentName>) -> Result<Self, Failure> {
        if let Ok(id) = text.parse() {
            return Ok(Self { place: SecretAddress::Id(id), field: None, version: None });
        }
        let reference = if text.starts_with(SCHEME) {
            text.parse()
        } else if let Some((environment, rest)) = text.split_once(':') {
            in_environment(environment, rest)
        } else {
            let environment = environment.ok_or_else(no_environment)?;
            in_environment(environment.as_str(), text)
        };
        let reference = reference.map_err(|error| {
            Failure::wrong_use(format!("This is not the name of a secret: {error}."))
                .next("Write a path (db/password), environment:path, or sv://environment/path.")
        })?;
        let Reference { environment, path, field, version } = reference;
        Ok(Self { place: SecretAddress::Path(environment, path), field, version })
    }

    /// The secret alone: a field or a version makes no sense for a command.
    pub(crate) fn whole(self) -> Result<SecretAddress, Failure> {
        match (self.field, self.version) {
            (None, None) => Ok(self.place),
            (Some(_), _) => {
                Err(Failure::wrong_use("This is for a whole secret, and not for a field.").next("Leave #field out."))
            }
            (None, Some(_)) => Err(Failure::wrong_use("This is for a secret, and not for one of its versions.")
                .next("Leave @version out; an option says the version where one is wanted.")),
        }
    }

    /// What is read for it.
    pub(crate) fn wanted(&self) -> Wanted {
        let wanted = match &self.place {
            SecretAddress::Id(id) => Wanted::id(*id, None),
            SecretAddress::Path(environment, path) => Wanted::path(environment.clone(), path),
        };
        wanted.version(self.version)
    }
}

impl std::fmt::Display for SecretAddress {
    /// The form in which it can be an argument.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => write!(formatter, "{id}"),
            Self::Path(environment, path) => write!(formatter, "{environment}:{}", encoded(path.as_str())),
        }
    }
}

/// A folder in an argument, with the environment that it names: `path` or `environment:path`, or `environment:` for all of it.
pub(crate) fn parse_folder(text: &str) -> Result<(Option<EnvironmentName>, Option<SecretPath>), Failure> {
    let wrong = |error: Malformed| Failure::wrong_use(format!("This is not the name of a folder: {error}."));
    let (environment, path) = match text.strip_prefix(SCHEME) {
        Some(rest) => rest.split_once('/').map_or((Some(rest), ""), |(environment, path)| (Some(environment), path)),
        None => text.split_once(':').map_or((None, text), |(environment, path)| (Some(environment), path)),
    };
    let environment = environment.map(EnvironmentName::parse).transpose().map_err(wrong)?;
    let path = decoded(path.trim_end_matches('/')).map_err(wrong)?;
    let path = if path.is_empty() { None } else { Some(SecretPath::parse(path).map_err(wrong)?) };
    Ok((environment, path))
}

/// No environment is known.
pub(crate) fn no_environment() -> Failure {
    Failure::wrong_use("No environment is named.")
        .next("Add -e ENVIRONMENT, write environment:path, or run splitvault init.")
}

fn in_environment(environment: &str, rest: &str) -> Result<Reference, Malformed> {
    format!("{SCHEME}{environment}/{rest}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, Failure> {
        let dev = "dev".parse().unwrap();
        SecretName::parse(text, Some(&dev)).map(|name| format!("{} {:?} {:?}", name.place, name.field, name.version))
    }

    #[test]
    fn path_environment_and_reference_are_one_grammar() {
        assert_eq!(parse("a/b").unwrap(), "dev:a/b None None");
        assert_eq!(parse("lab:a%3Ab").unwrap(), "lab:a%3Ab None None");
        assert_eq!(parse("a/b#user@previous").unwrap(), parse("sv://dev/a/b#user@previous").unwrap());
        let id = SecretId::generate().to_string();
        assert_eq!(parse(&id).unwrap(), format!("{id} None None"));
        for wrong in ["", "/a", "a//b", "lab:", "Lab:a", "a@0", "a#", "a*", "sv://dev"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(SecretName::parse("a/b", None).is_err());
    }

    #[test]
    fn folder_may_be_a_whole_environment() {
        let folder = |text: &str| {
            let (environment, path) = parse_folder(text).unwrap();
            (environment.map(|name| name.to_string()), path.map(|path| path.to_string()))
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(folder("lab:"), (text("lab"), None));
        assert_eq!(folder("sv://lab/a/b"), (text("lab"), text("a/b")));
        assert_eq!(folder("a/b/"), (None, text("a/b")));
        assert!(parse_folder("lab:/a").is_err());
    }
}
