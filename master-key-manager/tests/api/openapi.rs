//! The `OpenAPI` document and the table of routes say the same, and the committed copy is the current one.

use master_key_manager::routes::{ROUTES, openapi_document};

use crate::support::compare;

#[test]
fn the_openapi_document_is_the_committed_one_and_names_every_route() {
    let text = format!("{}\n", openapi_document().to_pretty_json().unwrap());
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    for route in ROUTES {
        let operation = &parsed["paths"][route.path][&route.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], route.id);
        let named: Vec<&str> = operation["parameters"]
            .as_array()
            .map(|all| all.iter().filter_map(|one| one["name"].as_str()).collect())
            .unwrap_or_default();
        assert!(route.parameters.iter().all(|parameter| named.contains(&parameter.name)), "{}", route.id);
    }
    let operations: usize = parsed["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(operations, ROUTES.len());
    for reference in text.split("\"#/components/schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(parsed["components"]["schemas"][reference].is_object(), "{reference} is named and not there");
    }
    compare("../docs/openapi/master-key-manager.json", &text);
}
