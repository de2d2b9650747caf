//! Secrets as variables of a program's environment: of a folder, by names that are mapped, or by references of a file.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::manager_api::fields;
use client::manager_api::kind::SecretKind;
use client::manager_api::name::{EnvironmentName, SecretPath};
use client::manager_api::search::SecretSummary;
use client::{Client, Finding, ReadSecret, Wanted};
use zeroize::Zeroizing;

use crate::access::Access;
use crate::context::{Scope, missing};
use crate::failure::{Exit, Failure};
use crate::folder::{FILE, check_variable};
use crate::risky_name::is_risky;
use crate::secret_name::{SecretAddress, SecretName};

/// A variable, and the secret that it is to hold.
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) secret: SecretName,
    pub(crate) wanted: Wanted,
}

/// A variable and its value.
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

/// The active secrets of a folder and of those below it that have a value, in the order of their paths.
pub(crate) async fn secrets_of(client: &Client, scope: &Scope) -> Result<Vec<SecretSummary>, Failure> {
    let mut finding = Finding {
        environment: Some(scope.environment.clone()),
        under: scope.path.clone(),
        limit: Some(PAGE),
        ..Finding::default()
    };
    let mut secrets = Vec::new();
    loop {
        let page = client.find_secrets(&finding).await?;
        secrets.extend(page.secrets.into_iter().filter(|secret| secret.stages.current.is_some()));
        if page.next.is_none() {
            return Ok(secrets);
        }
        finding.after = page.next;
    }
}

/// A variable for each secret of a folder, named by its path below the folder.
pub(crate) async fn of_folder(access: &Access, scope: &Scope) -> Result<Vec<Wish>, Failure> {
    let secrets = secrets_of(&access.client, scope).await?;
    let mut names: HashMap<String, SecretPath> = HashMap::new();
    let mut wishes = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let name = variable_of(&secret.path, scope.path.as_ref());
        if is_risky(&name) {
            return Err(Failure::failed(format!(
                "{} would be the variable {name}, which changes how programs are found or run.",
                secret.path
            ))
            .next("Name it yourself if that is meant: --set NAME=SECRET."));
        }
        if let Some(other) = names.insert(name.clone(), secret.path.clone()) {
            return Err(Failure::failed(format!("{other} and {} would both be the variable {name}.", secret.path))
                .next("Name them yourself: the table variables of .splitvault.toml."));
        }
        let place = SecretAddress::Path(secret.environment.clone(), secret.path);
        wishes.push(Wish {
            name,
            secret: SecretName { place, field: None, version: None },
            wanted: Wanted::id(secret.key_id, Some(secret.environment)),
        });
    }
    Ok(wishes)
}

/// Variables with names that somebody gave: `NAME` and a secret as in an argument.
pub(crate) fn of_names<'a>(
    named: impl IntoIterator<Item = (&'a str, &'a str)>,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<Wish>, Failure> {
    let wish = |(name, secret): (&str, &str)| {
        check_variable(name)?;
        let secret = SecretName::parse(secret, environment)?;
        let wanted = secret.wanted();
        Ok(Wish { name: name.to_owned(), secret, wanted })
    };
    named.into_iter().map(wish).collect()
}

/// Variables with names that a file gives, which somebody else may have written.
pub(crate) fn of_file<'a>(
    named: impl IntoIterator<Item = (&'a str, &'a str)> + Clone,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<Wish>, Failure> {
    if let Some((name, _)) = named.clone().into_iter().find(|(name, _)| is_risky(name)) {
        check_variable(name)?;
        return Err(risky(name));
    }
    of_names(named, environment)
}

/// A file shall not set this variable.
pub(crate) fn risky(name: &str) -> Failure {
    Failure::failed(format!("{FILE} names the variable {name}, which changes how programs are found or run."))
        .next("Take it out of the file, and name it yourself if that is meant: --set NAME=SECRET.")
}

/// Wishes by their names, of which the later ones count.
pub(crate) fn merged(wishes: impl IntoIterator<Item = Wish>) -> Vec<Wish> {
    let by_name: BTreeMap<String, Wish> = wishes.into_iter().map(|wish| (wish.name.clone(), wish)).collect();
    by_name.into_values().collect()
}

/// Reads all of them, or none.
pub(crate) async fn read(client: &Client, wishes: Vec<Wish>) -> Result<Vec<Variable>, Failure> {
    let wanted: Vec<Wanted> = wishes.iter().map(|wish| wish.wanted.clone()).collect();
    let read = client.read_secrets(&wanted).await;
    let mut variables = Vec::with_capacity(wishes.len());
    for (wish, read) in wishes.into_iter().zip(read) {
        let secret = read.map_err(|error| {
            let failure = Failure::from(error);
            if failure.exit() == Exit::NotFound {
                missing(&wish.secret.place)
            } else {
                failure.about(&wish.secret.place)
            }
        })?;
        let value = value_of(&secret, &wish.secret)?;
        variables.push(Variable { name: wish.name, value });
    }
    Ok(variables)
}

/// The value of a secret, or of the field of it that is meant.
pub(crate) fn value_of(secret: &Arc<ReadSecret>, name: &SecretName) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // EXPOSE: what is read for the user goes to him or to his program.
    let whole = secret.value.expose();
    let Some(field) = &name.field else { return Ok(Zeroizing::new(whole.to_vec())) };
    let text = fields::field(SecretKind::Json, whole, field.as_str());
    let text = text.map_err(|error| {
        Failure::failed(format!("The field {} of {} cannot be read: {error}.", field.as_str(), name.place))
    })?;
    Ok(Zeroizing::new(text.as_bytes().to_vec()))
}

/// The name of a variable for a path: `DB_PASSWORD` for `shop/db/password` in the folder `shop`.
pub(crate) fn variable_of(path: &SecretPath, folder: Option<&SecretPath>) -> String {
    let below = below(path, folder);
    let mut name: String =
        below.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// A path as it is seen from a folder.
pub(crate) fn below<'a>(path: &'a SecretPath, folder: Option<&SecretPath>) -> &'a str {
    let rest = folder.and_then(|folder| path.as_str().strip_prefix(folder.as_str())?.strip_prefix('/'));
    rest.unwrap_or(path.as_str())
}

const PAGE: u16 = 500;

#[cfg(test)]
mod tests {
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(Variable: std::fmt::Debug, Clone);

    fn path(text: &str) -> SecretPath {
        SecretPath::parse(text).unwrap()
    }

    #[test]
    fn variable_is_named_by_the_path_below_the_folder() {
        let shop = path("shop");
        for (text, folder, name) in [
            ("shop/db/password", Some(&shop), "DB_PASSWORD"),
            ("shop/db/password", None, "SHOP_DB_PASSWORD"),
            ("shop/api-key.v2", Some(&shop), "API_KEY_V2"),
            ("shop/2fa", Some(&shop), "_2FA"),
            ("shopping/é", Some(&shop), "SHOPPING__"),
        ] {
            assert_eq!(variable_of(&path(text), folder), name);
        }
    }

    #[test]
    fn file_of_a_folder_cannot_choose_where_code_comes_from() {
        let dev = "dev".parse().unwrap();
        for name in ["LD_PRELOAD", "BASH_ENV", "makeflags"] {
            assert!(of_file([(name, "one")], Some(&dev)).is_err(), "{name}");
            assert!(of_names([(name, "one")], Some(&dev)).is_ok(), "whoever runs the command may: {name}");
        }
        assert!(of_file([("DB", "one")], Some(&dev)).is_ok());
    }

    #[test]
    fn of_two_wishes_for_a_name_the_later_one_counts() {
        let dev = "dev".parse().unwrap();
        let wishes = of_names([("A", "one"), ("B", "two"), ("A", "lab:three")], Some(&dev)).unwrap();
        let merged: Vec<_> = merged(wishes).iter().map(|wish| format!("{}={}", wish.name, wish.secret.place)).collect();
        assert_eq!(merged, ["A=lab:three", "B=dev:two"]);
        assert!(of_names([("A-B", "one")], Some(&dev)).is_err());
    }
}
