//! Acts as requests, and answers as what was said.

use actix_web::http::Method;
use serde_json::{Value, json};

use super::acts::{Act, Change, How};
use super::world::{Said, World};
use crate::support::{Answer, Manager};

/// Asks for an act under an `Idempotency-Key`. Returns what was said of each of its parts.
pub(super) async fn ask(manager: &Manager, bearer: &str, key: &str, act: &Act, world: &World) -> Vec<Said> {
    let incident = match act {
        Act::Close(secret) => Some(open_incident(manager, id(world, *secret)).await),
        _ => None,
    };
    let (method, route, body) = match incident {
        Some(incident) => {
            let done = ["contain", "tell", "rotate", "report"];
            let body = json!({"done": done, "lift_freeze": true, "close": true});
            (Method::PATCH, format!("/api/incidents/{incident}"), Some(body))
        }
        None => request(act, world),
    };
    let bearer = format!("Bearer {bearer}");
    let mut headers = vec![("authorization", bearer.as_str())];
    let takes_a_key = act.writes() || matches!(act, Act::Bulk(_) | Act::Import(_));
    headers.extend(Some(("idempotency-key", key)).filter(|_| takes_a_key));
    let answer = manager.send(method, &route, &headers, body.map(|body| body.to_string())).await;
    said(act, &answer)
}

/// The id of a secret that somebody has seen.
pub(super) fn id(world: &World, secret: usize) -> &str {
    world.secrets[secret].id.as_deref().expect("it was seen before")
}

/// The open incident of a secret, or one that does not exist any more.
async fn open_incident(manager: &Manager, secret: &str) -> String {
    let route = format!("/api/incidents?key_id={secret}");
    let list = manager.admin(Method::GET, &route, None).await.expect(200).json();
    let incidents = list["incidents"].as_array().unwrap();
    let open = incidents.iter().find(|one| one.get("closed_at").is_none());
    let any = open.or(incidents.first()).map(|one| one["incident_id"].as_str().unwrap().to_owned());
    any.unwrap_or_else(|| manager_api::id::IncidentId::generate().to_string())
}

fn request(act: &Act, world: &World) -> (Method, String, Option<Value>) {
    let of = |secret: usize| format!("/api/secrets/{}", id(world, secret));
    let verb = |secret: usize, verb: &str, body: Value| (Method::POST, format!("{}:{verb}", of(secret)), Some(body));
    match act {
        Act::Create { .. } => (Method::POST, "/api/secrets".to_owned(), Some(body(act))),
        Act::Write { secret, .. } => (Method::PUT, of(*secret), Some(body(act))),
        Act::RollBack { secret, .. } => verb(*secret, "rollback", body(act)),
        Act::Stage { secret, version, give } => {
            let body = json!({"stage": give.then_some("previous")});
            (Method::PATCH, format!("{}/versions/{version}", of(*secret)), Some(body))
        }
        Act::Rotate { secret, value, how } => {
            let body = match how {
                How::Activate => json!({"value": value, "activate": true}),
                How::Staged => json!({"value": value, "activate": false}),
                How::Emergency => json!({"value": value, "emergency": true}),
            };
            verb(*secret, "rotate", body)
        }
        Act::Verify(secret) => verb(*secret, "verify", json!({})),
        Act::Promote { secret, unverified } => verb(*secret, "promote", json!({"unverified": unverified})),
        Act::Finish(secret) => verb(*secret, "finish", json!({})),
        Act::Repair { secret, abandon } => verb(*secret, "repair", json!({"abandon": abandon})),
        Act::Change { secret, .. } => (Method::PATCH, of(*secret), Some(body(act))),
        Act::Delete(secret) => (Method::DELETE, of(*secret), None),
        Act::Undelete(secret) => (Method::POST, format!("{}:undelete", of(*secret)), None),
        Act::Destroy(secret) => verb(*secret, "destroy", json!({"reason": "test"})),
        Act::DestroyVersions { secret, .. } => {
            (Method::POST, format!("/api/keys/{}/destroy", id(world, *secret)), Some(body(act)))
        }
        Act::Compromise { secret, freeze } => {
            verb(*secret, "compromise", json!({"kind": "compromise", "reason": "test", "freeze": freeze}))
        }
        Act::Bulk(parts) => {
            let operations: Vec<Value> = parts.iter().map(|part| operation(part, world)).collect();
            (Method::POST, "/api/secrets:bulk".to_owned(), Some(json!({"operations": operations})))
        }
        Act::Import(puts) => {
            let line = |put: &Act| match put {
                Act::Put { path, value } => (path.clone(), Value::from(value.clone())),
                other => panic!("{other:?} is imported"),
            };
            let document: serde_json::Map<String, Value> = puts.iter().map(line).collect();
            let body = json!({"format": "json", "environment": "dev", "document": Value::from(document).to_string()});
            (Method::POST, "/api/secrets:import".to_owned(), Some(body))
        }
        Act::Close(_) | Act::Put { .. } => panic!("asked otherwise"),
    }
}

/// The body of an act that has the same one in a bulk request.
fn body(act: &Act) -> Value {
    let mut body = match act {
        Act::Create { path, value, team } => {
            json!({"environment": "dev", "path": path, "value": value, "token": false, "tags": tags(*team)})
        }
        Act::Write { value, pending, if_version, ends, .. } => {
            let stage = if *pending { "pending" } else { "current" };
            json!({"value": value, "token": false, "stage": stage, "if_version": if_version, "expires_at": ends})
        }
        Act::RollBack { version, if_version, .. } => json!({"version": version, "if_version": if_version}),
        Act::Change { change, .. } => {
            return match change {
                Change::Path(path) => json!({"path": path}),
                Change::Team(team) => json!({"tags": tags(*team)}),
                Change::ServiceOnly(is) => json!({"service_only": is}),
                Change::Keeps(versions) => json!({"retention": versions.map(|count| json!({"versions": count}))}),
                Change::Description(text) => json!({"description": text}),
            };
        }
        Act::DestroyVersions { versions, .. } => json!({"versions": versions}),
        other => panic!("{other:?} has no body of its own"),
    };
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    body
}

fn tags(team: Option<&str>) -> Value {
    team.map_or_else(|| json!({}), |team| json!({"team": team}))
}

fn operation(part: &Act, world: &World) -> Value {
    let Some(secret) = part.secret() else { return json!({"create": body(part)}) };
    let key_id = id(world, secret);
    let with_body = || json!({"key_id": key_id, "body": body(part)});
    match part {
        Act::Write { .. } => json!({"write": with_body()}),
        Act::RollBack { .. } => json!({"rollback": with_body()}),
        Act::Change { .. } => json!({"change": with_body()}),
        Act::DestroyVersions { .. } => json!({"destroy-versions": with_body()}),
        Act::Delete(_) => json!({"delete": {"key_id": key_id}}),
        Act::Undelete(_) => json!({"undelete": {"key_id": key_id}}),
        Act::Destroy(_) => json!({"destroy": {"key_id": key_id, "reason": "test"}}),
        other => panic!("{other:?} is in no bulk request"),
    }
}

fn said(act: &Act, answer: &Answer) -> Vec<Said> {
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let parts = act.parts();
    if answer.status.as_u16() >= 300 {
        return parts.iter().map(|_| Said { code: answer.code(), version: None, id: None }).collect();
    }
    let json = answer.json();
    match act {
        Act::Bulk(_) => {
            let results = json["results"].as_array().unwrap();
            let result = |(part, result): (&Act, &Value)| {
                let made = &result[if matches!(part, Act::RollBack { .. }) { "rolled_back" } else { "written" }];
                let code = word(&result["error"]["code"]).unwrap_or_default();
                Said { code, version: made["version"].as_u64(), id: word(&made["key_id"]) }
            };
            parts.iter().zip(results).map(result).collect()
        }
        Act::Import(_) => {
            let row = |row: &Value| {
                let code = word(&row["error"]["code"]).unwrap_or_default();
                Said { code, version: row["version"].as_u64(), id: word(&row["key_id"]) }
            };
            // The document is a map: its rows come in the order of their paths, as the parts do.
            json["secrets"].as_array().unwrap().iter().map(row).collect()
        }
        Act::Stage { .. } | Act::Repair { .. } => vec![Said { code: String::new(), version: None, id: None }],
        _ => vec![Said { code: String::new(), version: json["version"].as_u64(), id: word(&json["key_id"]) }],
    }
}
