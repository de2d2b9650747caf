//! The `OpenAPI` document, made from the table of routes.

use shared_proto::error::{ErrorCode, Problem};
use utoipa::PartialSchema;
use utoipa::openapi::{
    ComponentsBuilder, Content, HttpMethod, InfoBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem,
    PathsBuilder, Ref, RefOr, Required, ResponseBuilder, Schema, Type,
    path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
    request_body::RequestBodyBuilder,
    schema::SchemaType,
    security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::{Access, LIVE, Place, Route, TEXT, error::PROBLEM_JSON};

/// The document of a service. `schemas` are named as the rows name them; `Problem` is added.
pub fn openapi(title: &str, routes: &[Route], schemas: impl IntoIterator<Item = (String, RefOr<Schema>)>) -> OpenApi {
    let mut paths = PathsBuilder::new();
    for row in routes {
        paths = paths.path(public_path(row.path), PathItem::new(method_of(row), operation(row)));
    }
    let bearer = |text: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text)).build())
    };
    let components = ComponentsBuilder::new()
        .schemas_from_iter(schemas.into_iter().map(|(name, schema)| (name, without_null(schema))))
        .schema("Problem", without_null(Problem::schema()))
        .security_scheme("credential", bearer("A credential of the manager."))
        .security_scheme("access_token", bearer("An access token of the manager."))
        .security_scheme("command", bearer("A command or event signed by the manager."))
        .build();
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title(title).version(env!("CARGO_PKG_VERSION")).build())
        .paths(paths.build())
        .components(Some(components))
        .build()
}

/// The schema, in which a member that may be left out is never `null`: the derived one allows both. A member that is
/// always there keeps it.
fn without_null(mut schema: RefOr<Schema>) -> RefOr<Schema> {
    strip_null(&mut schema);
    schema
}

fn strip_null(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    if let Schema::Object(object) = schema {
        for (name, member) in &mut object.properties {
            if !object.required.contains(name) {
                never_null(member);
            }
            strip_null(member);
        }
    } else if let Schema::OneOf(any) = schema {
        any.items.iter_mut().for_each(strip_null);
    } else if let Schema::AllOf(all) = schema {
        all.items.iter_mut().for_each(strip_null);
    }
}

fn never_null(member: &mut RefOr<Schema>) {
    let RefOr::T(schema) = member else { return };
    let types = if let Schema::Object(object) = schema {
        &mut object.schema_type
    } else if let Schema::Array(array) = schema {
        &mut array.schema_type
    } else {
        if let Schema::OneOf(any) = schema {
            any.items.retain(|item| !is_null(item));
            if let [only] = any.items.as_slice() {
                *member = only.clone();
            }
        }
        return;
    };
    if let SchemaType::Array(several) = types {
        several.retain(|one| *one != Type::Null);
        if let [only] = several.as_slice() {
            *types = SchemaType::Type(only.clone());
        }
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

fn operation(row: &Route) -> Operation {
    let mut operation = OperationBuilder::new().operation_id(Some(row.id)).summary(Some(row.summary));
    for name in parameters(row.path) {
        operation = operation.parameter(parameter(name, ParameterIn::Path, None, None));
    }
    for known in row.parameters {
        let place = match known.place {
            Place::Query => ParameterIn::Query,
            Place::Header => ParameterIn::Header,
        };
        operation = operation.parameter(parameter(known.name, place, Some(known.description), known.integer));
    }
    if let Some(schema) = row.request_schema {
        let body = RequestBodyBuilder::new().content("application/json", json(schema)).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    let mut problems = problems(row);
    for answer in row.responses {
        let mut response = ResponseBuilder::new().description(answer.description);
        if answer.schema == TEXT {
            response = response.content("text/plain", Content::new(Some(text())));
        } else if let Some(schema) = answer.schema {
            response = response.content("application/json", json(schema));
        }
        // A status may say what was asked, and that something went wrong.
        if let Some(codes) = problems.remove(&answer.status) {
            response = response
                .description(format!("{} Or: {codes}", answer.description))
                .content(PROBLEM_JSON, json("Problem"));
        }
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for (status, codes) in problems {
        let response = ResponseBuilder::new().description(codes).content(PROBLEM_JSON, json("Problem"));
        operation = operation.response(status.to_string(), response.build());
    }
    for scheme in schemes(row.access) {
        operation = operation.security(SecurityRequirement::new(*scheme, Vec::<String>::new()));
    }
    if row.access == Access::AdministratorOrDevelopment {
        // Also without a credential.
        operation = operation.security(SecurityRequirement::default());
    }
    operation.build()
}

fn parameter(name: &str, place: ParameterIn, description: Option<&str>, integer: Option<(u64, u64)>) -> Parameter {
    let required = if place == ParameterIn::Path { Required::True } else { Required::False };
    let number = |(lowest, highest)| {
        let integer = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
        RefOr::T(Schema::Object(integer.minimum(Some::<u64>(lowest)).maximum(Some::<u64>(highest)).build()))
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .description(description)
        .schema(Some(integer.map_or_else(text, number)))
        .build()
}

fn text() -> RefOr<Schema> {
    RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build()))
}

/// The codes of each status.
fn problems(row: &Route) -> std::collections::BTreeMap<u16, String> {
    let mut codes: std::collections::BTreeMap<u16, Vec<&'static str>> = std::collections::BTreeMap::new();
    let everywhere = [ErrorCode::PathInvalid, ErrorCode::HostInvalid, ErrorCode::HeaderTooLarge, ErrorCode::Internal];
    // Being alive is told in any case.
    let overloaded = (row.path != LIVE.path).then_some(&ErrorCode::Overloaded);
    let with_body = [ErrorCode::BodyInvalid, ErrorCode::BodyTooLarge, ErrorCode::MediaTypeUnsupported];
    let of_body = with_body.iter().filter(|_| row.request_schema.is_some());
    for code in everywhere.iter().chain(overloaded).chain(of_body).chain(row.problems) {
        let names = codes.entry(code.status()).or_default();
        if !names.contains(&code.as_str()) {
            names.push(code.as_str());
        }
    }
    codes.into_iter().map(|(status, names)| (status, names.join(", "))).collect()
}

fn schemes(access: Access) -> &'static [&'static str] {
    match access {
        Access::Public => &[],
        Access::Administrator | Access::AdministratorOrDevelopment => &["credential"],
        Access::AccessToken => &["access_token"],
        Access::Command => &["command"],
    }
}

fn json(schema: &str) -> Content {
    Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name(schema))))
}

fn method_of(row: &Route) -> HttpMethod {
    match row.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "DELETE" => HttpMethod::Delete,
        "PATCH" => HttpMethod::Patch,
        "HEAD" => HttpMethod::Head,
        "OPTIONS" => HttpMethod::Options,
        _ => HttpMethod::Get,
    }
}

/// `{name:regex}` of actix is `{name}` in the document.
fn public_path(pattern: &str) -> String {
    let mut path = String::new();
    for (index, part) in pattern.split('{').enumerate() {
        if index == 0 {
            path.push_str(part);
        } else if let Some((name, rest)) = part.rsplit_once('}') {
            path.push('{');
            path.push_str(name.split(':').next().unwrap_or_default());
            path.push('}');
            path.push_str(rest);
        }
    }
    path
}

fn parameters(pattern: &str) -> Vec<&str> {
    pattern.split('{').skip(1).filter_map(|part| part.split([':', '}']).next()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::ToSchema;

    use super::*;

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "it exists for its schema")]
    struct Part {
        label: Option<String>,
    }

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "it exists for its schema")]
    struct Whole {
        number: Option<u64>,
        part: Option<Part>,
        list: Option<Vec<u64>>,
        #[schema(required = true)]
        nullable: Option<String>,
    }

    #[derive(ToSchema)]
    #[expect(dead_code, reason = "it exists for its schema")]
    enum Either {
        One { label: Option<String> },
        Other(u64),
    }

    #[test]
    fn what_may_be_left_out_is_never_null_and_what_is_always_there_may_be() {
        let whole = serde_json::to_value(without_null(Whole::schema())).unwrap();
        assert_eq!(whole["properties"]["number"]["type"], "integer");
        assert_eq!(whole["properties"]["list"]["type"], "array");
        assert_eq!(whole["properties"]["part"], json!({"$ref": "#/components/schemas/Part"}));
        assert_eq!(whole["properties"]["nullable"]["type"], json!(["string", "null"]));
        assert_eq!(whole["required"], json!(["nullable"]));
        let either = serde_json::to_string(&without_null(Either::schema())).unwrap();
        assert!(either.contains("label") && !either.contains("null"), "{either}");
    }

    #[test]
    fn only_the_answer_whether_it_is_alive_is_never_refused_for_load() {
        let live = problems(&LIVE);
        assert!(!live.values().any(|codes| codes.contains("overloaded")), "{live:?}");
        let other = problems(&Route { path: "/other", ..LIVE });
        assert!(other[&503].contains("overloaded"), "{other:?}");
    }
}
