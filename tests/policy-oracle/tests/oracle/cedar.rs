//! The world in Cedar's own language: secrets lie in folders, folders in environments; principals in groups.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, Policy, PolicyId, PolicySet, Request as CedarRequest,
};
use serde_json::{Value, json};

use crate::world::{Gives, Line, Party, ROLES, Reach, Request, Secret, Who, World};

/// A mistake in the translation, by which the comparison shows that it notices one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    None,
    DenyIgnored,
    TagsIgnored,
    EndInclusive,
    StartExclusive,
    StarMatchesMore,
    FolderHoldsItself,
    TwinsAlias,
    EnvironmentIgnored,
    GroupsIgnored,
    DisabledIgnored,
    ServiceOnlyIgnored,
    LimitsIgnored,
    WriteImpliesRead,
}

pub(crate) struct Cedar {
    policies: PolicySet,
    authorizer: Authorizer,
    entities: Entities,
}

/// Cedar's decision, and the lines that it was made by.
pub(crate) struct Answer {
    pub(crate) allowed: bool,
    pub(crate) lines: BTreeSet<String>,
}

impl Cedar {
    /// An engine with the policies and groups of a world, and these secrets.
    pub(crate) fn new<'a>(world: &World, secrets: impl Iterator<Item = &'a Secret>, mistake: Mistake) -> Self {
        let lines = world.lines.iter().filter_map(|line| Some((line.number.to_string(), policy(line, mistake)?)));
        let mut all: BTreeMap<String, String> = lines.collect();
        if mistake != Mistake::DisabledIgnored {
            let enabled = "principal is Stranger || (principal has enabled && principal.enabled)";
            all.insert("enabled".to_owned(), format!("forbid(principal, action, resource) unless {{ {enabled} }};"));
        }
        if mistake != Mistake::ServiceOnlyIgnored {
            let text =
                r#"forbid(principal is Person, action == Action::"read", resource) when { resource.service_only };"#;
            all.insert("service_only".to_owned(), text.to_owned());
        }
        for (number, limits) in world.credentials.iter().enumerate() {
            let within = limits.iter().map(|limit| {
                format!("(action in [{}] && {})", actions(&limit.actions), place(&limit.reach, Mistake::None))
            });
            let within: Vec<_> = within.chain(["false".to_owned()]).collect();
            let text = format!(
                "forbid(principal, action, resource) when {{ context.credential == {number} }} unless {{ {} }};",
                within.join(" || ")
            );
            if mistake != Mistake::LimitsIgnored {
                all.insert(format!("limits{number}"), text);
            }
        }
        let parse = |(id, text): (String, String)| Policy::parse(Some(PolicyId::new(id)), text).unwrap();
        let policies = PolicySet::from_policies(all.into_iter().map(parse)).unwrap();
        let entities = principals(world, mistake).into_iter().chain(secret_entities(secrets));
        let entities = Entities::from_json_value(Value::Array(entities.collect()), None).unwrap();
        Self { policies, authorizer: Authorizer::new(), entities }
    }

    /// The decision about a request for the secret with this place among the secrets.
    pub(crate) fn decide(&self, request: &Request, secret: usize) -> Answer {
        let credential = request.credential.map_or(-1, |number| i64::try_from(number).unwrap());
        let context = json!({"now": request.now, "credential": credential});
        let uid = |text: &str| EntityUid::from_str(text).unwrap();
        let asked = CedarRequest::new(
            uid(&principal(request.who)),
            uid(&format!("Action::\"{}\"", request.action)),
            uid(&format!("Secret::\"{secret}\"")),
            Context::from_json_value(context, None).unwrap(),
            None,
        );
        let answer = self.authorizer.is_authorized(&asked.unwrap(), &self.policies, &self.entities);
        let errors: Vec<_> = answer.diagnostics().errors().map(ToString::to_string).collect();
        assert!(errors.is_empty(), "a policy that fails is skipped by Cedar: {errors:?}");
        let lines = answer.diagnostics().reason().map(ToString::to_string).collect();
        Answer { allowed: answer.decision() == Decision::Allow, lines }
    }
}

fn policy(line: &Line, mistake: Mistake) -> Option<String> {
    let who = match line.party {
        Party::One(who) => format!("principal == {}", principal(who)),
        Party::Group(group) => format!("principal in Group::\"{group}\""),
    };
    let (effect, named, tags) = match &line.gives {
        Gives::Role(role) => ("permit", ROLES[*role].1, [].as_slice()),
        Gives::Actions { deny: true, .. } if mistake == Mistake::DenyIgnored => return None,
        Gives::Actions { deny, actions, tags } => {
            (if *deny { "forbid" } else { "permit" }, actions.as_slice(), tags.as_slice())
        }
    };
    let mut conditions = vec![place(&line.reach, mistake)];
    if mistake != Mistake::TagsIgnored {
        conditions
            .extend(tags.iter().map(|(key, value)| {
                format!("resource.hasTag(\"{key}\") && resource.getTag(\"{key}\") == \"{value}\"")
            }));
    }
    let after = if mistake == Mistake::StartExclusive { ">" } else { ">=" };
    let before = if mistake == Mistake::EndInclusive { "<=" } else { "<" };
    conditions.extend(line.start.map(|start| format!("context.now {after} {start}")));
    conditions.extend(line.end.map(|end| format!("context.now {before} {end}")));
    let mut named = named.to_vec();
    if mistake == Mistake::WriteImpliesRead && named.contains(&"write") {
        named.push("read");
    }
    let actions = actions(&named);
    Some(format!("{effect}({who}, action in [{actions}], resource) when {{ {} }};", conditions.join(" && ")))
}

fn actions(actions: &[&str]) -> String {
    actions.iter().map(|action| format!("Action::\"{action}\"")).collect::<Vec<_>>().join(", ")
}

/// Tells whether the resource is in a reach. A folder whose name is spelled out is an entity that holds the secret. Where
/// there is a star, the names are compared one by one.
fn place(reach: &Reach, mistake: Mistake) -> String {
    let environment = reach.environment.filter(|_| mistake != Mistake::EnvironmentIgnored);
    let environment = environment.map_or("any".to_owned(), |number| number.to_string());
    let names: Vec<&str> = reach.segments.iter().copied().flatten().collect();
    let spelled_out = names.len() == reach.segments.len();
    if spelled_out && reach.below && !matches!(mistake, Mistake::TwinsAlias | Mistake::FolderHoldsItself) {
        return format!("resource in Folder::\"{environment}:{}\"", names.join("/"));
    }
    let depth = reach.segments.len();
    let more = mistake == Mistake::StarMatchesMore && !spelled_out;
    let comparison = match (reach.below, mistake == Mistake::FolderHoldsItself) {
        (true, true) => ">=",
        (true, false) => ">",
        (false, _) if more => ">=",
        (false, _) => "==",
    };
    let mut conditions =
        vec![format!("resource in Folder::\"{environment}:\""), format!("resource.depth {comparison} {depth}")];
    conditions.extend(reach.segments.iter().enumerate().filter_map(|(place, segment)| {
        let name = (*segment)?;
        if mistake == Mistake::TwinsAlias {
            // The star of a name is escaped, for it is one of `like`.
            return Some(format!("resource.names.n{place} like \"{}*\"", name.replace('*', "\\*")));
        }
        Some(format!("resource.names.n{place} == \"{name}\""))
    }));
    format!("({})", conditions.join(" && "))
}

fn principal(who: Who) -> String {
    match who {
        Who::Person(number) => format!("Person::\"{number}\""),
        Who::Service(number) => format!("Service::\"{number}\""),
        Who::Stranger => "Stranger::\"any\"".to_owned(),
    }
}

fn entity(kind: &str, id: &str, attributes: &Value, parents: Vec<(&str, String)>) -> Value {
    let parents: Vec<_> = parents.into_iter().map(|(kind, id)| json!({"type": kind, "id": id})).collect();
    json!({"uid": {"type": kind, "id": id}, "attrs": attributes, "parents": parents})
}

fn principals(world: &World, mistake: Mistake) -> Vec<Value> {
    let mut all: Vec<Value> =
        (0..world.groups.len()).map(|group| entity("Group", &group.to_string(), &json!({}), Vec::new())).collect();
    for who in crate::world::EVERYBODY {
        let (kind, id) = match who {
            Who::Person(number) => ("Person", number),
            Who::Service(number) => ("Service", number),
            Who::Stranger => continue,
        };
        let own = world.groups.iter().enumerate().filter(|(_, members)| members.contains(&who));
        let own = own.filter(|_| mistake != Mistake::GroupsIgnored).map(|(group, _)| ("Group", group.to_string()));
        let attributes = match world.known.iter().find(|(known, _)| *known == who) {
            Some((_, disabled)) => json!({"enabled": !disabled}),
            None => json!({}),
        };
        all.push(entity(kind, &id.to_string(), &attributes, own.collect()));
    }
    all
}

/// The secrets and the folders that they lie in: those of their environment, and those of any.
fn secret_entities<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Vec<Value> {
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    for (number, secret) in secrets.enumerate() {
        let roots = [secret.environment.to_string(), "any".to_owned()];
        let folder = |root: &str, depth: usize| format!("{root}:{}", secret.names[..depth].join("/"));
        for root in &roots {
            for depth in 0..secret.names.len() {
                let parents = depth.checked_sub(1).map(|above| ("Folder", folder(root, above)));
                let id = folder(root, depth);
                all.insert(id.clone(), entity("Folder", &id, &json!({}), parents.into_iter().collect()));
            }
        }
        let names: BTreeMap<String, &str> =
            secret.names.iter().enumerate().map(|(place, name)| (format!("n{place}"), *name)).collect();
        let attributes = json!({"depth": secret.names.len(), "names": names, "service_only": secret.service_only});
        let parents = roots.iter().map(|root| ("Folder", folder(root, secret.names.len() - 1))).collect();
        let mut it = entity("Secret", &number.to_string(), &attributes, parents);
        it["tags"] = secret.tags.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        all.insert(format!("secret {number}"), it);
    }
    all.into_values().collect()
}
