//! Verification of a token against a trust, and the dry run of it: one list of checks for both.

use manager_api::trusts::IssuerKind;
use shared_proto::id::Subject;

use super::{Trust, is_in_domain};
use crate::jwk::Jwk;
use crate::jwt::{Claims, JwtFault, UnverifiedJwt};
use crate::proof::{Method, Proof};

/// The longest life of a token of an issuer, in seconds: a day.
pub const MAX_LIFE_SECONDS: u64 = 86_400;

/// The reason why a trust does not admit a token. Claims are named as the trust names them; no value is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustFault {
    /// The token itself.
    #[error(transparent)]
    Token(#[from] JwtFault),
    /// A claim is not what the trust requires.
    #[error("the claim {0} is missing, or not what the trust requires")]
    Claim(String),
    /// The token comes from a pull or merge request, or does not say what it comes from, and the trust does not name that.
    #[error("the token comes from a pull or merge request, or may come from one, which the trust does not name")]
    PullRequest,
}

/// One line of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The check: `signature`, `issuer`, `audience`, `time`, `pull request`, or the claim's name.
    pub check: String,
    /// The reason why it failed; `None` if it holds.
    pub fault: Option<TrustFault>,
}

/// A service that a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenByTrust {
    /// The service.
    pub proof: Proof,
    /// `sub` of the token, for audit lines: at most 512 bytes, no control characters.
    pub external_subject: String,
    /// The end of the token (Unix seconds). Nothing made with it needs to live longer.
    pub expires: u64,
}

impl Trust {
    /// Verifies a token with the key of this trust's key set that [`UnverifiedJwt::kid`] names.
    ///
    /// # Errors
    /// A check fails; the first one that does is told.
    pub fn verify(&self, token: &UnverifiedJwt<'_>, key: Option<&Jwk>, now: u64) -> Result<ProvenByTrust, TrustFault> {
        let claims = token.verify(key.ok_or(JwtFault::UnknownKey)?)?;
        if let Some(fault) = self.checks(&claims, now).into_iter().find_map(|finding| finding.fault) {
            return Err(fault);
        }
        let subject = claims.text("sub").filter(|subject| is_presentable(subject)).ok_or(JwtFault::Subject)?;
        Ok(ProvenByTrust {
            proof: Proof { subject: Subject::Service(self.service), method: Method::Trust, at: now },
            external_subject: subject.to_owned(),
            expires: claims.times()?.expires,
        })
    }

    /// All checks of a token, each with its result, for an administrator who pasted it. Without a right signature
    /// nothing else is looked at.
    pub fn dry_run(&self, token: &UnverifiedJwt<'_>, key: Option<&Jwk>, now: u64) -> Vec<Finding> {
        let verified = key.ok_or(JwtFault::UnknownKey).and_then(|key| token.verify(key));
        let mut findings = vec![finding("signature", verified.as_ref().map(|_| ()).map_err(|fault| (*fault).into()))];
        if let Ok(claims) = verified {
            findings.extend(self.checks(&claims, now));
        }
        findings
    }

    fn checks(&self, claims: &Claims, now: u64) -> Vec<Finding> {
        let mut findings = vec![
            finding("issuer", self.check_issuer(claims).map_err(TrustFault::Token)),
            finding("audience", claims.only_audience(&self.audience).map_err(TrustFault::Token)),
            finding("time", check_time(claims, now).map_err(TrustFault::Token)),
        ];
        for condition in &self.conditions {
            let claim = condition.claim();
            let held = if condition.holds(claims) { Ok(()) } else { Err(TrustFault::Claim(claim.to_owned())) };
            findings.push(finding(claim, held));
        }
        findings.push(finding("pull request", self.check_pull_request(claims)));
        findings
    }

    fn check_issuer(&self, claims: &Claims) -> Result<(), JwtFault> {
        let same = match self.kind {
            // JWT-SVIDs need no `iss`: the trust domain is in the subject.
            IssuerKind::Spiffe => claims.text("sub").is_some_and(|subject| is_in_domain(&self.issuer, subject)),
            IssuerKind::GithubActions | IssuerKind::Gitlab | IssuerKind::Kubernetes | IssuerKind::Generic => {
                claims.text("iss") == Some(self.issuer.as_str())
            }
        };
        if same { Ok(()) } else { Err(JwtFault::Issuer) }
    }

    /// Code of pull requests is a stranger's, and runs before anybody has read it. Which event started a run is in
    /// `sub` or in a claim of its own, depending on issuer and settings; a trust that means such runs names them.
    fn check_pull_request(&self, claims: &Claims) -> Result<(), TrustFault> {
        let names = |claim: &str, value: &str| self.conditions.iter().any(|it| it.exact(claim) == Some(value));
        let named = match self.kind {
            IssuerKind::GithubActions => {
                let subject = claims.text("sub").unwrap_or_default();
                let event = claims.text("event_name").unwrap_or_default();
                let by_subject = subject.split(':').any(|part| part == "pull_request");
                let by_event = event.starts_with("pull_request");
                let subject_named = by_subject && names("sub", subject);
                (!by_subject || subject_named || (by_event && names("event_name", event)))
                    && (!by_event || names("event_name", event) || (subject_named && event == "pull_request"))
            }
            IssuerKind::Gitlab => {
                // A child pipeline says nothing of what started its parent. What has no source says nothing at all.
                let source = claims.text("pipeline_source").unwrap_or_default();
                let may_be_of_request =
                    matches!(source, "" | "merge_request_event" | "external_pull_request_event" | "parent_pipeline");
                !may_be_of_request || names("pipeline_source", source)
            }
            IssuerKind::Kubernetes | IssuerKind::Spiffe | IssuerKind::Generic => true,
        };
        if named { Ok(()) } else { Err(TrustFault::PullRequest) }
    }
}

fn check_time(claims: &Claims, now: u64) -> Result<(), JwtFault> {
    let times = claims.times()?;
    times.check(now)?;
    times.check_life(now, MAX_LIFE_SECONDS)
}

fn finding(check: &str, result: Result<(), TrustFault>) -> Finding {
    Finding { check: check.to_owned(), fault: result.err() }
}

fn is_presentable(subject: &str) -> bool {
    (1..=512).contains(&subject.len()) && !subject.chars().any(char::is_control)
}
