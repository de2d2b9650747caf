//! Resolution of references in a value, only when somebody asks for it.
//!
//! Guarantees: each target is read with the reader's own rights, and only if the author of the value could read it when he
//! wrote; so nobody plants a reference that leaks what another one may read. A path that was given to another secret since then
//! is such a target. Circles, chains of more than 10 and more than
//! 64 targets are refused, and no result is larger than a value may be. An error holds no part of a value, and the names in
//! references are a part of it.

use std::collections::BTreeMap;
use std::future::Future;

use manager_api::fields;
use manager_api::kind::SecretKind;
use manager_api::name::EnvironmentName;
use manager_api::path_key::PathKey;
use manager_api::reference::{MAX_DEPTH, MAX_TARGETS, Reference, ReferenceTarget, Template};
use manager_api::versions::ReferencedSecret;
use shared_proto::Malformed;
use shared_proto::id::SecretId;
use shared_proto::secret::SecretValue;
use zeroize::Zeroizing;

/// Reads what references stand for.
pub trait FetchReferences {
    /// Why a read fails.
    type Error;

    /// Reads these versions with the reader's rights, and answers in the order of the request. Fields are not looked at.
    fn fetch(&self, wanted: &[ReferenceTarget]) -> impl Future<Output = Result<Vec<FetchedValue>, Self::Error>> + Send;
}

/// The secrets that the author of a value could read, by the places where they lie now.
pub type Recorded = BTreeMap<(EnvironmentName, PathKey), SecretId>;

/// References as `GET /api/secrets/{key_id}/versions/{version}` tells them.
pub fn recorded(references: Vec<ReferencedSecret>) -> Recorded {
    let place = |one: ReferencedSecret| ((one.environment, PathKey::of(&one.path)), one.key_id);
    references.into_iter().map(place).collect()
}

/// A version that was read. It has no `Debug` form.
pub struct FetchedValue {
    /// Its secret.
    pub secret: SecretId,
    /// Its kind.
    pub kind: SecretKind,
    /// Its value.
    pub value: SecretValue,
    /// The secrets that its author could read when he wrote it, as the manager recorded them.
    pub author_could_read: Recorded,
}

/// Why references are not resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError<E> {
    /// A target could not be read.
    #[error("what a reference stands for could not be read")]
    Fetch(#[source] E),
    /// A value or a reference is not in form, or the result is too large.
    #[error("{0}")]
    Malformed(Malformed),
    /// The author of the value could not read a target when he wrote, or its path has another secret since then.
    #[error("the author of a reference could not read what it stands for")]
    BeyondAuthor,
    /// A value refers to itself, directly or through others.
    #[error("references go in a circle")]
    Circle,
    /// A chain of references is longer than [`MAX_DEPTH`].
    #[error("a chain of references is longer than 10")]
    TooDeep,
    /// More than [`MAX_TARGETS`] secrets are meant, directly and through others.
    #[error("references stand for more than 64 secrets")]
    TooMany,
    /// A target is no text.
    #[error("a reference stands for bytes that are no text")]
    NotText,
    /// The answer to a read has another number of values.
    #[error("the answer has other values than were asked for")]
    OtherAnswer,
}

/// A value whose references are all read, and not filled in yet. It has no `Debug` form.
pub struct Resolution {
    root: Node,
    targets: BTreeMap<ReferenceTarget, Node>,
}

struct Node {
    secret: SecretId,
    kind: SecretKind,
    text: Zeroizing<String>,
    template: Template,
}

impl Resolution {
    /// Reads all that a value refers to, directly and through others; one request for each level.
    ///
    /// # Errors
    ///
    /// Each variant of [`ResolveError`] but [`ResolveError::Circle`].
    pub async fn read<F: FetchReferences>(value: FetchedValue, fetch: &F) -> Result<Self, ResolveError<F::Error>> {
        let (root, mut wanted) = Node::read(&value)?;
        let mut targets: BTreeMap<ReferenceTarget, Node> = BTreeMap::new();
        for level in 0.. {
            let is_another = |(target, secret): (&ReferenceTarget, &SecretId)| {
                targets.get(target).is_some_and(|known| known.secret != *secret)
            };
            if wanted.iter().any(is_another) {
                return Err(ResolveError::BeyondAuthor);
            }
            wanted.retain(|target, _| !targets.contains_key(target));
            if wanted.is_empty() {
                break;
            }
            if level == MAX_DEPTH {
                return Err(ResolveError::TooDeep);
            }
            if targets.len() + wanted.len() > MAX_TARGETS {
                return Err(ResolveError::TooMany);
            }
            let (asked, meant): (Vec<ReferenceTarget>, Vec<SecretId>) = std::mem::take(&mut wanted).into_iter().unzip();
            let fetched = fetch.fetch(&asked).await.map_err(ResolveError::Fetch)?;
            if fetched.len() != asked.len() {
                return Err(ResolveError::OtherAnswer);
            }
            for ((target, meant), value) in asked.into_iter().zip(meant).zip(fetched) {
                if value.secret != meant {
                    return Err(ResolveError::BeyondAuthor);
                }
                let (node, further) = Node::read(&value)?;
                for (target, secret) in further {
                    if *wanted.entry(target).or_insert(secret) != secret {
                        return Err(ResolveError::BeyondAuthor);
                    }
                }
                targets.insert(target, node);
            }
        }
        Ok(Self { root, targets })
    }

    /// The value with what its references stand for.
    ///
    /// # Errors
    ///
    /// References go in a circle or too deep, a field is missing, a target is no text, or the result is too large.
    pub fn fill<E>(&self) -> Result<Zeroizing<String>, ResolveError<E>> {
        let mut filled = BTreeMap::new();
        let mut open = Vec::new();
        self.fill_node(&self.root, &mut filled, &mut open).map(|done| done.text)
    }

    /// Fills one value after those that it refers to. `open` is the chain from the root to it.
    fn fill_node<'a, E>(
        &'a self,
        node: &'a Node,
        filled: &mut BTreeMap<&'a ReferenceTarget, Filled>,
        open: &mut Vec<&'a ReferenceTarget>,
    ) -> Result<Filled, ResolveError<E>> {
        let mut known = BTreeMap::new();
        let mut height = 0;
        for reference in node.template.references() {
            let (target, next) = self.targets.get_key_value(&reference.target()).ok_or(ResolveError::OtherAnswer)?;
            if open.contains(&target) {
                return Err(ResolveError::Circle);
            }
            if open.len() >= MAX_DEPTH {
                return Err(ResolveError::TooDeep);
            }
            if !filled.contains_key(target) {
                open.push(target);
                let done = self.fill_node(next, filled, open)?;
                open.pop();
                filled.insert(target, done);
            }
            let done = filled.get(target).ok_or(ResolveError::OtherAnswer)?;
            // Also when a shorter chain came here first.
            if open.len() + 1 + done.height > MAX_DEPTH {
                return Err(ResolveError::TooDeep);
            }
            height = height.max(done.height + 1);
            let text = match &reference.field {
                Some(name) => fields::field(next.kind, done.text.as_bytes(), name.as_str()),
                None => Ok(done.text.clone()),
            };
            known.insert(reference, text.map_err(ResolveError::Malformed)?);
        }
        let text = node.template.fill(&node.text, |reference| known.get(reference).map(|text| text.as_str()));
        Ok(Filled { text: text.map_err(ResolveError::Malformed)?, height })
    }
}

/// A value that is filled in.
struct Filled {
    text: Zeroizing<String>,
    /// The longest chain below it.
    height: usize,
}

impl Node {
    /// Reads a value, and the targets of its references with their secrets, which its author could all read.
    fn read<E>(fetched: &FetchedValue) -> Result<(Self, BTreeMap<ReferenceTarget, SecretId>), ResolveError<E>> {
        // EXPOSE: the value is searched for references and becomes a part of the result.
        let text = std::str::from_utf8(fetched.value.expose()).map_err(|_| ResolveError::NotText)?;
        let text = Zeroizing::new(text.to_owned());
        let template = Template::read(fetched.kind, &text).map_err(ResolveError::Malformed)?;
        let mut targets = BTreeMap::new();
        for target in template.references().into_iter().map(Reference::target) {
            let place = (target.environment.clone(), target.path.clone());
            let secret = fetched.author_could_read.get(&place).ok_or(ResolveError::BeyondAuthor)?;
            targets.insert(target, *secret);
        }
        Ok((Self { secret: fetched.secret, kind: fetched.kind, text, template }, targets))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    use shared_proto::secret::ValueEncoding;
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(FetchedValue: std::fmt::Debug, Clone);
    assert_not_impl_any!(Resolution: std::fmt::Debug, Clone);

    /// Secrets of the environment `dev` by path, and how many were asked for at each time.
    #[derive(Default)]
    struct Secrets {
        values: BTreeMap<String, (SecretKind, String)>,
        hidden_from_authors: BTreeSet<String>,
        /// Paths that another secret has since the values were written.
        given_to_another: BTreeSet<String>,
        asked: Mutex<Vec<usize>>,
    }

    impl Secrets {
        fn of<T: Into<String>>(values: impl IntoIterator<Item = (T, SecretKind, T)>) -> Self {
            let values = values.into_iter().map(|(path, kind, value)| (path.into(), (kind, value.into()))).collect();
            Self { values, ..Self::default() }
        }

        fn value(&self, secret: SecretId, kind: SecretKind, text: &str) -> FetchedValue {
            let value = SecretValue::from_json(ValueEncoding::Text, Zeroizing::new(text.to_owned())).ok().unwrap();
            let references = manager_api::reference::references_in(kind, text).unwrap_or_default();
            let could_read = references.iter().map(Reference::target);
            let could_read = could_read.filter(|target| !self.hidden_from_authors.contains(target.path.as_str()));
            let could_read = could_read.map(|target| {
                let secret = id(target.path.as_str());
                ((target.environment, target.path), secret)
            });
            FetchedValue { secret, kind, value, author_could_read: could_read.collect() }
        }

        fn resolve(&self, kind: SecretKind, text: &str) -> Result<String, ResolveError<&'static str>> {
            let mut reading = pin!(Resolution::read(self.value(id("root"), kind, text), self));
            let Poll::Ready(read) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
            read?.fill().map(|text| text.to_string())
        }
    }

    /// The secret that had a path when values were written.
    fn id(path: &str) -> SecretId {
        let mut bytes = [0; 16];
        bytes[..path.len()].copy_from_slice(path.as_bytes());
        SecretId::from_bytes(bytes)
    }

    impl FetchReferences for Secrets {
        type Error = &'static str;

        async fn fetch(&self, wanted: &[ReferenceTarget]) -> Result<Vec<FetchedValue>, &'static str> {
            self.asked.lock().unwrap().push(wanted.len());
            let read = |target: &ReferenceTarget| {
                let path = target.path.as_str();
                let (kind, text) = self.values.get(path).ok_or("not found or not allowed")?;
                let secret = if self.given_to_another.contains(path) { id("another") } else { id(path) };
                Ok(self.value(secret, *kind, text))
            };
            wanted.iter().map(read).collect()
        }
    }

    use SecretKind::{Database, Json, Password, Text, Yaml};

    #[test]
    fn references_are_resolved_through_others_with_one_request_for_each_level() {
        let secrets = Secrets::of([
            ("db", Database, r#"{"user":"app","password":"p\"w"}"#),
            ("url", Text, "postgres://${sv://dev/db#user}:${sv://dev/db#password}@h"),
            ("all", Yaml, "url: sv://dev/url\nkey: sv://dev/key\n"),
            ("key", Password, "sv://dev/db"),
        ]);
        let resolved =
            secrets.resolve(Json, r#"{"a": "sv://dev/url", "b": "sv://dev/all", "c": "sv://dev/key@current"}"#);
        assert_eq!(
            resolved.unwrap(),
            r#"{"a": "postgres://app:p\"w@h", "b": "url: \"postgres://app:p\\\"w@h\"\nkey: \"sv://dev/db\"\n", "c": "sv://dev/db"}"#
        );
        assert_eq!(*secrets.asked.lock().unwrap(), [3, 1]);
        assert_eq!(secrets.resolve(Json, r#"["plain"]"#).unwrap(), r#"["plain"]"#);
    }

    #[test]
    fn dotted_and_slashed_path_are_one_target() {
        let secrets = Secrets::of([("a/b", Password, "x")]);
        assert_eq!(secrets.resolve(Json, r#"["sv://dev/a.b", "sv://dev/a/b"]"#).unwrap(), r#"["x", "x"]"#);
        assert_eq!(*secrets.asked.lock().unwrap(), [1]);
    }

    #[test]
    fn planted_reference_that_its_author_could_not_read_is_refused() {
        let mut secrets = Secrets::of([("planted", Text, "sv://dev/prod-root"), ("prod-root", Password, "root")]);
        assert_eq!(secrets.resolve(Text, "${sv://dev/planted}").unwrap(), "root");
        secrets.hidden_from_authors.insert("prod-root".to_owned());
        assert!(matches!(secrets.resolve(Text, "${sv://dev/planted}"), Err(ResolveError::BeyondAuthor)));
        // The target was not read for it.
        assert_eq!(*secrets.asked.lock().unwrap(), [1, 1, 1]);
    }

    #[test]
    fn path_that_was_given_to_another_secret_is_beyond_the_author() {
        let mut secrets = Secrets::of([("a", Text, "sv://dev/b"), ("b", Password, "of before")]);
        assert_eq!(secrets.resolve(Text, "${sv://dev/a}").unwrap(), "of before");
        secrets.given_to_another.insert("b".to_owned());
        for start in ["${sv://dev/a}", "sv://dev/b", "${sv://dev/b} ${sv://dev/a}"] {
            assert!(matches!(secrets.resolve(Text, start), Err(ResolveError::BeyondAuthor)), "{start}");
        }
    }

    struct Two<F>(F);
    impl<F: Fn(&str) -> FetchedValue + Sync> FetchReferences for Two<F> {
        type Error = &'static str;

        async fn fetch(&self, wanted: &[ReferenceTarget]) -> Result<Vec<FetchedValue>, &'static str> {
            Ok(wanted.iter().map(|target| (self.0)(target.path.as_str())).collect())
        }
    }

    #[test]
    fn place_that_means_two_secrets_for_two_authors_is_refused() {
        let read = |references: Vec<(&str, SecretId)>, text: &str| FetchedValue {
            secret: id("one"),
            kind: Json,
            value: SecretValue::from_json(ValueEncoding::Text, Zeroizing::new(text.to_owned())).ok().unwrap(),
            author_could_read: recorded(
                references
                    .into_iter()
                    .map(|(path, key_id)| ReferencedSecret {
                        key_id,
                        environment: "dev".parse().unwrap(),
                        path: manager_api::name::SecretPath::parse(path).unwrap(),
                    })
                    .collect(),
            ),
        };
        let two = Two(|path: &str| match path {
            "one" => read(vec![("a.b", id("former"))], r#"["sv://dev/a/b"]"#),
            _ => FetchedValue { secret: id("former"), ..read(Vec::new(), r#"["end"]"#) },
        });
        let root =
            |former: SecretId| read(vec![("one", id("one")), ("a/b", former)], r#"["sv://dev/one", "sv://dev/a.b"]"#);
        let done = |former: SecretId| {
            let mut reading = pin!(Resolution::read(root(former), &two));
            let Poll::Ready(read) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
            read.is_ok()
        };
        assert!(done(id("former")));
        assert!(!done(id("another")));
    }

    #[test]
    fn circles_are_refused() {
        let secrets = Secrets::of([
            ("self", Text, "sv://dev/self"),
            ("a", Text, "x ${sv://dev/b}"),
            ("b", Json, r#"["sv://dev/a"]"#),
            ("dotted/self", Text, "sv://dev/dotted.self"),
        ]);
        for start in ["self", "a", "b", "dotted/self"] {
            let resolved = secrets.resolve(Text, &format!("sv://dev/{start}"));
            assert!(matches!(resolved, Err(ResolveError::Circle)), "{start}");
        }
    }

    #[test]
    fn chain_of_10_is_resolved_and_of_11_is_not_whatever_way_it_is_found() {
        let chain = |length: usize| {
            let links = (1..length).map(|link| (link.to_string(), Text, format!("sv://dev/{}", link + 1)));
            Secrets::of(links.chain([(length.to_string(), Text, "end".to_owned())]))
        };
        assert_eq!(chain(10).resolve(Text, "sv://dev/1").unwrap(), "end");
        assert!(matches!(chain(11).resolve(Text, "sv://dev/1"), Err(ResolveError::TooDeep)));
        // All are near the root, but the chain is as long.
        let all = |length: usize| {
            let strings: Vec<String> = (1..=length).rev().map(|link| format!("\"sv://dev/{link}\"")).collect();
            format!("[{}]", strings.join(","))
        };
        assert!(chain(10).resolve(Json, &all(10)).is_ok());
        assert!(matches!(chain(11).resolve(Json, &all(11)), Err(ResolveError::TooDeep)));
    }

    #[test]
    fn more_than_64_targets_are_refused_also_through_others() {
        let wide = |count: usize| {
            let strings: Vec<String> = (0..count).map(|number| format!("\"sv://dev/leaf{number}\"")).collect();
            let leaves = (0..count).map(|number| (format!("leaf{number}"), Password, "x".to_owned()));
            Secrets::of(leaves.chain([("wide".to_owned(), Json, format!("[{}]", strings.join(",")))]))
        };
        assert!(wide(63).resolve(Text, "sv://dev/wide").is_ok());
        assert!(matches!(wide(64).resolve(Text, "sv://dev/wide"), Err(ResolveError::TooMany)));
    }

    #[test]
    fn result_that_doubles_with_each_level_is_refused() {
        let double = |link: usize| (link.to_string(), Text, format!("${{sv://dev/{0}}}${{sv://dev/{0}}}", link + 1));
        let end = ("10".to_owned(), Text, "x".repeat(1 << 12));
        let secrets = Secrets::of((1..10).map(double).chain([end]));
        assert!(matches!(secrets.resolve(Text, "sv://dev/1"), Err(ResolveError::Malformed(_))));
    }

    #[test]
    fn missing_target_field_or_text_is_an_error_without_a_word_of_a_value() {
        let secrets = Secrets::of([("db", Database, r#"{"password":"hunter2"}"#), ("p", Password, "hunter2")]);
        for text in ["sv://dev/hunter2", "sv://dev/db#hunter2", "sv://dev/p#hunter2", "${sv://dev/hunter2:"] {
            let error = secrets.resolve(Text, text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
