//! The `OpenAPI` document and the table of routes say the same, and the committed copy is the current one.

use manager_api::name::MAX_ENVIRONMENT_BYTES;
use master_key_manager::routes::{ROUTES, openapi_document};
use serde_json::{Value, json};
use service_runtime::config::Mode;
use shared_proto::secret::MAX_VALUE_BYTES;
use shared_proto::token::{MAX_GRANTS, MAX_LIFE_SECONDS};

use crate::support::{Facts, Installed, compare, routes_of_services};

#[test]
fn the_openapi_document_is_the_committed_one_and_names_every_route() {
    let text = format!("{}\n", openapi_document().to_pretty_json().unwrap());
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    for route in ROUTES.rows() {
        let operation = &parsed["paths"][route.path][&route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], route.id);
        assert_eq!(ids_in_path(&parsed, operation), names_in(route.path), "{}", route.id);
    }
    let operations: usize = parsed["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(operations, ROUTES.rows().count());
    for reference in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(parsed["components"]["schemas"][reference].is_object(), "{reference} is named and not there");
    }
    compare("../docs/openapi/master-key-manager.json", &text);
}

/// The names of the parameters in the path of an operation. Each says what form its id has.
fn ids_in_path<'a>(document: &'a Value, operation: &'a Value) -> Vec<&'a str> {
    let all = operation["parameters"].as_array().into_iter().flatten();
    let in_path = all.filter(|parameter| parameter["in"] == "path");
    let id = |parameter: &'a Value| {
        let schema = parameter["schema"]["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        assert!(document["components"]["schemas"][schema]["pattern"].as_str().unwrap().starts_with('^'), "{schema}");
        parameter["name"].as_str().unwrap()
    };
    in_path.map(id).collect()
}

fn names_in(pattern: &str) -> Vec<&str> {
    pattern.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect()
}

#[test]
fn limits_of_a_request_are_those_that_the_code_has() {
    let document: Value = serde_json::from_str(&openapi_document().to_json().unwrap()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mint = &schemas["MintToken"]["properties"];
    assert_eq!(mint["secrets"]["maxItems"], MAX_GRANTS);
    assert_eq!(
        (&mint["life_seconds"]["minimum"], &mint["life_seconds"]["maximum"]),
        (&json!(1), &json!(MAX_LIFE_SECONDS))
    );
    assert_eq!(schemas["Destroy"]["properties"]["versions"]["maxItems"], 64);
    let in_base64 = MAX_VALUE_BYTES.div_ceil(3) * 4;
    assert_eq!(schemas["StoreKey"]["properties"]["key_data"]["maxLength"], in_base64);
    let name = format!("{{0,{}}}", MAX_ENVIRONMENT_BYTES - 1);
    assert!(schemas["EnvironmentName"]["pattern"].as_str().unwrap().contains(&name));
}

/// Every member that a schema requires, and every one that it knows.
fn members(document: &Value, schema: &Value) -> (Vec<String>, Vec<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|text| text.rsplit('/').next()) {
        return members(document, &document["components"]["schemas"][name]);
    }
    let required = schema["required"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap().to_owned());
    let known = schema["properties"].as_object().into_iter().flat_map(|all| all.keys().cloned());
    let mut found = (required.collect::<Vec<_>>(), known.collect::<Vec<_>>());
    for part in schema["allOf"].as_array().into_iter().flatten() {
        let (required, known) = members(document, part);
        found.0.extend(required);
        found.1.extend(known);
    }
    found
}

#[actix_web::test]
async fn answers_have_the_members_that_their_schemas_require_and_no_others() {
    let document: Value = serde_json::from_str(&openapi_document().to_json().unwrap()).unwrap();
    let installed = Installed::new(Mode::Production).await;
    let manager = installed.start().await;
    let facts = Facts::new(&installed, &manager).await;
    let without = json!({"user_id": "u", "key_data": "v", "environment": "dev", "token": false});
    let mut answers = vec![("/api/keys", "POST", manager.post("/api/keys", without).await.expect(201))];
    for route in routes_of_services() {
        let request = facts.request(route).unwrap();
        let answer = manager.admin(request.method, &request.target, request.body).await;
        answers.push((route.path, route.method.as_str(), answer));
    }
    for (path, method, answer) in answers {
        let status = answer.status.as_u16().to_string();
        let content = &document["paths"][path][method.to_lowercase()]["responses"][&status]["content"]["application/json"]
            ["schema"];
        let (required, known) = members(&document, content);
        let has: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        assert!(required.iter().all(|name| has.contains(name)), "{method} {path}: {required:?} of {has:?}");
        assert!(has.iter().all(|name| known.contains(name)), "{method} {path}: {has:?} of {known:?}");
    }
    manager.stop().await;
}

/// Words of the policy are made by a macro, whose renames a schema could miss.
#[test]
fn words_of_the_policy_are_those_that_a_body_takes() {
    use manager_api::policy::{Action, Effect, Role};
    let document = serde_json::to_value(master_key_manager::routes::openapi_document()).unwrap();
    let words = |name: &str| document["components"]["schemas"][name]["enum"].clone();
    let all = |words: Vec<&'static str>| serde_json::json!(words);
    assert_eq!(words("Action"), all(Action::ALL.iter().map(|one| one.as_str()).collect()));
    assert_eq!(words("Role"), all(Role::ALL.iter().map(|one| one.as_str()).collect()));
    assert_eq!(words("Effect"), all(Effect::ALL.iter().map(|one| one.as_str()).collect()));
}
