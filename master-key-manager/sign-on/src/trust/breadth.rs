//! The rules by which a trust is too broad: a stranger at the same issuer could meet its conditions.
//!
//! The big issuers sign tokens for everybody. There, a trust names a repository or a project. A cluster or a trust
//! domain belongs to one operator; there, it names at least a namespace or a path.

use manager_api::trusts::IssuerKind;
use url::Url;

use super::DefinitionError;
use super::condition::{Condition, Expected};

pub(super) fn check_issuer(kind: IssuerKind, issuer: &str) -> Result<(), DefinitionError> {
    let refused = |reason| Err(DefinitionError::Issuer(reason));
    if issuer.len() > LONGEST {
        return refused("has more than 256 bytes");
    }
    if kind == IssuerKind::Spiffe {
        let domain = issuer.strip_prefix("spiffe://").unwrap_or_default();
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_');
        // SPIFFE ID section 2.1.
        let well_formed = !domain.is_empty() && domain.bytes().all(allowed);
        return if well_formed { Ok(()) } else { refused("is not a trust domain of the form spiffe://example.org") };
    }
    let Ok(url) = Url::parse(issuer) else { return refused("is not an https address") };
    if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return refused("is not an https address without query, fragment and user");
    }
    if url.password().is_some() || issuer.chars().any(|character| character.is_control() || character == ' ') {
        return refused("is not an https address without query, fragment and user");
    }
    let right_kind = match url.host_str() {
        Some("token.actions.githubusercontent.com") => kind == IssuerKind::GithubActions,
        Some("gitlab.com") => kind == IssuerKind::Gitlab,
        _ => true,
    };
    // As another kind, its rules would not be applied.
    if right_kind { Ok(()) } else { refused("is a well-known one of another kind") }
}

pub(super) fn check_audience(issuer: &str, audience: &str) -> Result<(), DefinitionError> {
    let refused = |reason| Err(DefinitionError::Audience(reason));
    if audience.is_empty() || audience.len() > LONGEST || audience.chars().any(char::is_control) {
        return refused("has 1 to 256 bytes and no control character");
    }
    // Tokens with such an audience are in the hands of many.
    let shared = audience == issuer || audience == "sts.amazonaws.com" || audience.contains("kubernetes.default.svc");
    let shared = shared || audience.starts_with("https://github.com/") || audience == "api://AzureADTokenExchange";
    if shared {
        refused("is the default of other services, whose tokens would count here; choose one of your own")
    } else {
        Ok(())
    }
}

pub(super) fn check(kind: IssuerKind, issuer: &str, conditions: &[Condition]) -> Result<(), DefinitionError> {
    let named = |claim: &str| conditions.iter().find(|condition| condition.claim() == claim);
    let exact = |claim: &str| conditions.iter().find_map(|condition| condition.exact(claim));
    let subject = named("sub").map(Condition::expected);
    let narrow = match kind {
        IssuerKind::GithubActions => {
            subject.is_some_and(|subject| names_repository(subject, "repo:"))
                || exact("repository").is_some_and(|repository| segments(repository, '/') == Some(2))
                || exact("repository_id").is_some_and(is_number)
        }
        IssuerKind::Gitlab => {
            subject.is_some_and(|subject| names_repository(subject, "project_path:"))
                || exact("project_path").is_some_and(|path| segments(path, '/').is_some_and(|number| number > 1))
                || exact("project_id").is_some_and(is_number)
        }
        IssuerKind::Kubernetes => subject.is_some_and(names_namespace) || exact("/kubernetes.io/namespace").is_some(),
        IssuerKind::Spiffe => subject.is_some_and(|subject| names_workloads(subject, issuer)),
        IssuerKind::Generic => {
            subject.is_some_and(names_generic_subject) || IDENTIFYING.iter().any(|claim| exact(claim).is_some())
        }
    };
    if narrow { Ok(()) } else { Err(DefinitionError::TooBroad(advice(kind))) }
}

fn advice(kind: IssuerKind) -> &'static str {
    match kind {
        IssuerKind::GithubActions => {
            "GitHub signs for everybody; name one repository, by sub (repo:owner/name:…), repository or repository_id"
        }
        IssuerKind::Gitlab => {
            "name one project, by sub (project_path:group/name:…), project_path or project_id; a group is not enough"
        }
        IssuerKind::Kubernetes => {
            "name a namespace or a service account, by sub (system:serviceaccount:namespace:…) or /kubernetes.io/namespace"
        }
        IssuerKind::Spiffe => {
            "name a workload or a path of the issuer's own trust domain, by sub (spiffe://domain/path); the whole domain is not enough"
        }
        IssuerKind::Generic => {
            "require sub, exactly or with a prefix that names one namespace, repository or project, a path below a host, or two parts of another form; or another claim that names one client, such as azp or client_id"
        }
    }
}

/// `repo:owner/name:…`: owner and name are whole, and what follows is at least begun.
fn names_repository(subject: &Expected, scheme: &str) -> bool {
    let Some((path, rest)) = subject.text().strip_prefix(scheme).and_then(|rest| rest.split_once(':')) else {
        return false;
    };
    let whole = segments(path, '/').is_some_and(|number| number > 1);
    whole && (!rest.is_empty() || matches!(subject, Expected::Prefix(_)))
}

/// `system:serviceaccount:namespace:name`, or its beginning with the namespace.
fn names_namespace(subject: &Expected) -> bool {
    let rest = subject.text().strip_prefix("system:serviceaccount:");
    match (subject, rest.and_then(|rest| rest.split_once(':'))) {
        (Expected::Exact(_), Some((namespace, name))) => !namespace.is_empty() && !name.is_empty(),
        (Expected::Prefix(_), Some((namespace, _))) => !namespace.is_empty(),
        (_, None) => false,
    }
}

/// A path below the trust domain, whole or begun.
fn names_workloads(subject: &Expected, domain: &str) -> bool {
    let path = subject.text().strip_prefix(domain).and_then(|rest| rest.strip_prefix('/'));
    path.is_some_and(is_workload_path)
}

/// `ns/` alone is every namespace of a cluster: service meshes write `ns/namespace/sa/name`.
fn is_workload_path(path: &str) -> bool {
    let mut parts = path.split('/');
    !matches!((parts.next(), parts.next()), (None | Some(""), _) | (Some("ns"), Some("")))
}

/// One subject, or a prefix that is narrow by the rules of the issuers that write subjects like it.
fn names_generic_subject(subject: &Expected) -> bool {
    let Expected::Prefix(prefix) = subject else { return true };
    let parts = |text: &str| text.split(['/', ':']).filter(|part| !part.is_empty()).count();
    // Of a URL the host and a part below it.
    let below_host = |rest: &str, narrow: fn(&str) -> bool| {
        rest.split_once('/').is_some_and(|(host, path)| !host.is_empty() && narrow(path))
    };
    let (scheme, rest) = prefix.split_once(':').unwrap_or((prefix, ""));
    match (scheme.to_ascii_lowercase().as_str(), rest.strip_prefix("//")) {
        ("repo", _) => names_repository(subject, "repo:"),
        ("project_path", _) => names_repository(subject, "project_path:"),
        ("system", _) => names_namespace(subject),
        ("urn", _) => parts(rest) > 1,
        ("spiffe", rest) => rest.is_some_and(|rest| below_host(rest, is_workload_path)),
        (_, Some(rest)) => below_host(rest, |path| !path.starts_with(['/', ':']) && !path.is_empty()),
        (_, None) => parts(prefix) > 1,
    }
}

/// The number of parts, none of which is empty.
fn segments(text: &str, separator: char) -> Option<usize> {
    let parts = text.split(separator);
    parts.clone().all(|part| !part.is_empty()).then(|| parts.count())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

const LONGEST: usize = 256;
/// Claims of other issuers that name one client, account or repository.
const IDENTIFYING: [&str; 9] =
    ["azp", "client_id", "appid", "oid", "email", "repository", "repository_id", "project_id", "project_path"];
