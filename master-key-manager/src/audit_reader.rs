//! The lines of the audit log that a caller may see.
//!
//! Guarantees that nothing of others is in a page, unless the caller has `read-audit` where they acted: no line, no number
//! of lines, and no hash of one. A page looks at a bounded part of the log.

use std::collections::HashMap;
use std::sync::Arc;

use manager_api::audit::AuditLine;
use manager_api::name::EnvironmentName;
use manager_policy::{Action, Basis, ReadAudit, Scope, Visible};
use manager_store::ManagerStore;
use service_runtime::Refusal;
use service_runtime::audit::{AuditLog, AuditPlace};
use shared_proto::id::{CredentialId, SecretId};

use crate::access::{Caller, Registry, View};
use crate::environments::Environments;

/// A page of lines, the newest first.
#[derive(Debug, Default)]
pub struct AuditPage {
    /// The lines.
    pub lines: Vec<AuditLine>,
    /// The place that older pages end before; `None` at the beginning of the log.
    pub next: Option<AuditPlace>,
}

/// The log, and what decides who sees its lines.
#[derive(Clone, Copy)]
pub struct AuditReader<'a> {
    /// The log.
    pub log: &'a AuditLog,
    /// Principals, credentials and policy.
    pub registry: &'a Arc<Registry>,
    /// The secrets that lines are about.
    pub store: &'a dyn ManagerStore,
    /// The environments that lines are about.
    pub environments: &'a Environments,
}

/// The most blocks of 256 KiB that a page looks at: 1 MiB, about 2,000 lines. That is the work of a few mints.
const BLOCKS: usize = 4;
/// Lines whose secrets are looked up together.
const LINES_AT_ONCE: usize = 32;
/// The most secrets that a page looks up, and those of the last lines.
const MOST_SECRETS: usize = 512;

/// A page of the lines before a place that a caller may see.
///
/// # Errors
/// He has lost his right, or log or database cannot be read.
pub async fn page(
    reader: AuditReader<'_>,
    caller: &Caller,
    before: Option<AuditPlace>,
    limit: usize,
) -> Result<AuditPage, Refusal> {
    let view = reader.registry.now().await?;
    let mut sight = Sight::of(&caller.again(&view)?, &view)?;
    let mut page = AuditPage { lines: Vec::new(), next: before };
    'blocks: for _ in 0..BLOCKS {
        let only_with = sight.mark();
        let read = move |line: &[u8]| {
            let is_wanted = |mark: &String| std::str::from_utf8(line).is_ok_and(|text| text.contains(mark));
            let wanted = only_with.as_ref().is_none_or(is_wanted).then_some(line)?;
            serde_json::from_slice::<AuditLine>(wanted).ok()
        };
        let block = reader.log.read_back(page.next, read).await?;
        let mut lines = block.lines.into_iter();
        loop {
            let some: Vec<(AuditPlace, AuditLine)> = lines.by_ref().take(LINES_AT_ONCE).collect();
            let Some((last, _)) = some.last() else { break };
            let last = *last;
            if let Sight::Part(part) = &mut sight {
                part.learn(reader.store, some.iter().map(|(_, line)| line)).await?;
            }
            for (place, line) in some {
                page.lines.extend(sight.shown(reader.environments, line));
                if page.lines.len() >= limit {
                    page.next = Some(place);
                    break 'blocks;
                }
            }
            if sight.has_looked_up_enough() {
                page.next = Some(last);
                break 'blocks;
            }
        }
        page.next = block.next;
        if page.next.is_none() {
            break;
        }
    }
    reader.store.look_again_at(sight.basis()).await?;
    Ok(page)
}

/// The lines of the log that are a caller's to see.
enum Sight {
    /// All of it.
    All(Basis),
    /// His own lines, and those about what he has `read-audit` for.
    Part(Box<Part>),
}

struct Part {
    basis: Basis,
    subject: String,
    /// The credentials whose lines he sees; `None` means all of his.
    credentials: Option<Vec<String>>,
    audited: Visible,
    is_auditor: bool,
    /// The secrets that lines are about, and whether he audits them.
    secrets: HashMap<SecretId, bool>,
}

impl Sight {
    fn of(caller: &Caller, view: &View) -> Result<Self, Refusal> {
        let audited = caller.may(Action::ReadAudit);
        if caller.permit::<ReadAudit>(&Scope::Installation).is_ok() {
            return Ok(Self::All(audited.basis()));
        }
        let (basis, own) = caller.own_credentials(view)?;
        let is_limited = view.state.credential(caller.credential()).is_none_or(|shown| shown.limits.is_some());
        let is_auditor = audited.lines().next().is_some();
        Ok(Self::Part(Box::new(Part {
            basis: basis.and(audited.basis()).unwrap_or(basis),
            subject: caller.subject().map_or_else(String::new, |subject| subject.to_string()),
            credentials: is_limited.then(|| own.iter().map(CredentialId::to_string).collect()),
            is_auditor,
            audited,
            secrets: HashMap::new(),
        })))
    }

    fn basis(&self) -> Basis {
        match self {
            Self::All(basis) => *basis,
            Self::Part(part) => part.basis,
        }
    }

    fn has_looked_up_enough(&self) -> bool {
        matches!(self, Self::Part(part) if part.secrets.len() >= MOST_SECRETS)
    }

    /// A text in every line that may be shown, so that others need not be read.
    fn mark(&self) -> Option<String> {
        match self {
            Self::Part(part) if !part.is_auditor => Some(format!("\"principal\":\"{}\"", part.subject)),
            Self::Part(_) | Self::All(_) => None,
        }
    }

    /// The line as the caller may see it.
    fn shown(&self, environments: &Environments, line: AuditLine) -> Option<AuditLine> {
        match self {
            Self::All(_) => Some(line),
            Self::Part(part) => {
                if !part.is_own(&line) && !part.is_audited(environments, &line) {
                    return None;
                }
                // Whoever audits the folder that a secret lies in need not audit the one that it came from.
                let is_own = part.is_own(&line);
                let line = AuditLine { former_path: line.former_path.filter(|_| is_own), ..line };
                // Their difference to the next one would count what others did.
                let line = AuditLine { sequence: None, previous_hash: None, ..line };
                // The line that forbids would tell a secret that is there from one that is not.
                Some(if line.status == SUCCESS { line } else { AuditLine { policy: Vec::new(), ..line } })
            }
        }
    }
}

const SUCCESS: &str = "success";

impl Part {
    fn is_own(&self, line: &AuditLine) -> bool {
        line.principal.as_ref() == Some(&self.subject)
            && self.credentials.as_ref().is_none_or(|own| line.credential.as_ref().is_some_and(|one| own.contains(one)))
    }

    /// A line is about several secrets if it names a token for them: he audits all of them, or does not see it.
    fn is_audited(&self, environments: &Environments, line: &AuditLine) -> bool {
        let mut secrets = secrets_of(line).peekable();
        if secrets.peek().is_some() {
            return secrets.all(|secret| self.secrets.get(&secret) == Some(&true));
        }
        let is_environment = self.is_auditor && line.status == SUCCESS && line.action.starts_with("environment.");
        let named = line.target.as_ref().filter(|_| is_environment);
        let found = named.and_then(|name| environments.named(&EnvironmentName::parse(name).ok()?));
        found.is_some_and(|environment| self.audited.shows(&Scope::Environment(environment.id)))
    }

    /// Finds out about the secrets of lines of others.
    async fn learn(
        &mut self,
        store: &(impl ManagerStore + ?Sized),
        lines: impl Iterator<Item = &AuditLine> + Send,
    ) -> Result<(), Refusal> {
        if !self.is_auditor {
            return Ok(());
        }
        let others = lines.filter(|line| !self.is_own(line)).flat_map(secrets_of);
        let mut new: Vec<SecretId> = others.filter(|secret| !self.secrets.contains_key(secret)).collect();
        new.sort_unstable();
        new.dedup();
        let found = store.secret_facts(new.clone()).await?;
        for (secret, facts) in new.into_iter().zip(found) {
            self.secrets.insert(secret, facts.is_some_and(|facts| self.audited.shows(&facts)));
        }
        Ok(())
    }
}

fn secrets_of(line: &AuditLine) -> impl Iterator<Item = SecretId> {
    line.key_id.into_iter().chain(line.secrets.iter().map(|version| version.key_id))
}
