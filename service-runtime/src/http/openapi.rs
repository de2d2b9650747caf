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

use super::{
    Access, LIVE, Route, Table,
    error::PROBLEM_JSON,
    route::{self, Form, SchemaOf},
};

/// The document of a service, with the schemas that its rows name.
pub fn openapi(title: &str, table: Table) -> OpenApi {
    let (mut paths, mut schemas) = (PathsBuilder::new(), Vec::new());
    for row in table.rows() {
        paths = paths.path(public_path(row.path), PathItem::new(method_of(row), operation(row)));
        named_by(row).for_each(|schema| (schema.add)(&mut schemas));
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

fn named_by(row: &Route) -> impl Iterator<Item = SchemaOf> {
    let parameters = row.parameters.iter().filter_map(|known| match known.form {
        Form::Type(schema) => Some(schema),
        Form::Integer(..) => None,
    });
    let answers = row.answers.iter().filter_map(|answer| match answer.content {
        route::Content::Json(schema) => Some(schema),
        route::Content::Text | route::Content::Other => None,
    });
    parameters.chain(row.body).chain(answers)
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
    for known in row.parameters {
        operation = operation.parameter(parameter(known));
    }
    if let Some(schema) = row.body {
        let body = RequestBodyBuilder::new().content("application/json", json(schema)).required(Some(Required::True));
        operation = operation.request_body(Some(body.build()));
    }
    if row.form {
        let any = RefOr::T(Schema::Object(ObjectBuilder::new().schema_type(SchemaType::new(Type::Object)).build()));
        let body = RequestBodyBuilder::new().content("application/x-www-form-urlencoded", Content::new(Some(any)));
        operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
    }
    let mut problems = problems(row);
    for answer in row.answers {
        let mut response = ResponseBuilder::new().description(answer.description);
        response = match answer.content {
            route::Content::Text => response.content("text/plain", Content::new(Some(text()))),
            route::Content::Json(schema) => response.content("application/json", json(schema)),
            route::Content::Other => response,
        };
        // A status may say what was asked, and that something went wrong.
        if let Some(codes) = problems.remove(&answer.status) {
            response = response
                .description(format!("{} Or: {codes}", answer.description))
                .content(PROBLEM_JSON, json(PROBLEM));
        }
        operation = operation.response(answer.status.to_string(), response.build());
    }
    for (status, codes) in problems {
        let response = ResponseBuilder::new().description(codes).content(PROBLEM_JSON, json(PROBLEM));
        operation = operation.response(status.to_string(), response.build());
    }
    for scheme in schemes(row.access) {
        operation = operation.security(SecurityRequirement::new(*scheme, Vec::<String>::new()));
    }
    if row.access == Access::CredentialOrDevelopment {
        // Also without a credential.
        operation = operation.security(SecurityRequirement::default());
    }
    operation.build()
}

fn parameter(known: &route::Parameter) -> Parameter {
    let (slot, required) = match known.slot {
        route::ParameterIn::Path => (ParameterIn::Path, Required::True),
        route::ParameterIn::Query => (ParameterIn::Query, Required::False),
        route::ParameterIn::Header => (ParameterIn::Header, Required::False),
    };
    let schema = match known.form {
        Form::Type(schema) => reference(schema),
        Form::Integer(least, most) => {
            let integer = ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer));
            RefOr::T(Schema::Object(integer.minimum(Some::<u64>(least)).maximum(Some::<u64>(most)).build()))
        }
    };
    ParameterBuilder::new()
        .name(known.name)
        .parameter_in(slot)
        .required(required)
        .description(Some(known.description))
        .schema(Some(schema))
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
    let of_body = with_body.iter().filter(|_| row.takes_body());
    let in_query = row.parameters.iter().any(|known| known.slot == route::ParameterIn::Query);
    let of_query = in_query.then_some(&ErrorCode::ParameterInvalid);
    let of_access = of_access(row.access);
    for code in everywhere.iter().chain(overloaded).chain(of_access).chain(of_body).chain(of_query).chain(row.problems)
    {
        let names = codes.entry(code.status()).or_default();
        if !names.contains(&code.as_str()) {
            names.push(code.as_str());
        }
    }
    codes.into_iter().map(|(status, names)| (status, names.join(", "))).collect()
}

/// The codes of whoever may not use a route, and of asking for that.
fn of_access(access: Access) -> &'static [ErrorCode] {
    match access {
        Access::Public => &[],
        Access::Credential | Access::CredentialOrDevelopment => &[
            ErrorCode::CredentialInvalid,
            ErrorCode::RateLimited,
            ErrorCode::BodyInvalid,
            ErrorCode::BodyTooLarge,
            ErrorCode::StorageUnavailable,
        ],
        Access::AccessToken => {
            &[ErrorCode::TokenInvalid, ErrorCode::SealKeyUnknown, ErrorCode::RateLimited, ErrorCode::RevocationsBehind]
        }
        Access::Command => {
            &[ErrorCode::CommandInvalid, ErrorCode::ClockDiffers, ErrorCode::BodyInvalid, ErrorCode::BodyTooLarge]
        }
    }
}

fn schemes(access: Access) -> &'static [&'static str] {
    match access {
        Access::Public => &[],
        Access::Credential | Access::CredentialOrDevelopment => &["credential"],
        Access::AccessToken => &["access_token"],
        Access::Command => &["command"],
    }
}

fn json(schema: SchemaOf) -> Content {
    Content::new(Some(reference(schema)))
}

fn reference(schema: SchemaOf) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name((schema.name)()))
}

const PROBLEM: SchemaOf = SchemaOf::new::<Problem>();

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
        let other = problems(&Route::get("other", "/other", "Another.").public(actix_web::web::get));
        assert!(other[&503].contains("overloaded"), "{other:?}");
    }
}
