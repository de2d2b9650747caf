//! Bodies that carry a value, turned into requests of the catalogue.

use std::sync::Arc;

use manager_api::generate::Generate;
use manager_api::name::{EnvironmentName, IdempotencyKey, SecretPath};
use manager_api::secrets::{CreateSecret, EnvironmentSelector, NewStage, WriteVersion};
use manager_api::wire::StoreKey;
use manager_registry::SecretRules;
use manager_store::{AboutVersion, Details, IfVersion};
use service_runtime::Refusal;
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;
use shared_proto::id::SecretId;
use shared_proto::secret::{SecretValue, ValueEncoding, ValueError};
use zeroize::Zeroizing;

use crate::app::App;
use crate::catalogue::{NewValue, StoreRequest, StoreTo, check_plan, check_rotation};
use crate::idempotency::BodyMark;

/// The idempotency key and the mark of the body.
type Repeat = Option<(IdempotencyKey, BodyMark)>;

/// A request of `POST /api/keys`.
pub(super) fn parse_key(body: StoreKey, app: &App, idempotency: Repeat) -> Result<StoreRequest, Refusal> {
    check_path(body.path.as_ref())?;
    let environment = match body.environment {
        Some(name) => Ok(name),
        None if app.gate.mode.is_development() => EnvironmentName::parse(DEVELOPMENT_DEFAULT),
        None => Err(Malformed("an environment is needed")),
    };
    let environment = EnvironmentSelector::Name(environment.map_err(name_invalid)?);
    Ok(StoreRequest {
        label: Some(body.user_id),
        value: NewValue::Given(value(body.encoding, body.key_data)?),
        to: StoreTo::Path { environment, path: body.path },
        if_version: None,
        about: AboutVersion::default(),
        token: body.token.unwrap_or(true),
        rotation: None,
        skip_unchanged: false,
        idempotency,
    })
}

/// A request of `POST /api/secrets`.
pub(super) fn parse_new(body: CreateSecret, idempotency: Repeat) -> Result<StoreRequest, Refusal> {
    let path = one_of((body.path, body.name), "A secret has a path: give path or name, and not both.")?;
    check_path(Some(&path))?;
    check_rotation(body.rotation_days)?;
    check_plan(body.rotation.as_ref())?;
    let kind = match (body.kind, body.secret_type) {
        (Some(_), Some(_)) => return Err(Refusal::parameter("Give kind or secret_type, and not both.")),
        (kind, secret_type) => kind.or(secret_type),
    };
    let environment = one_of(
        (body.environment.map(EnvironmentSelector::Name), body.environment_id),
        "A secret has an environment: give environment or environment_id, and not both.",
    )?;
    let rules = SecretRules {
        tags: body.tags,
        service_only: body.service_only,
        requires_approval: body.requires_approval,
        retention: body.retention,
        rate_limit: body.rate_limit,
        ..SecretRules::default()
    };
    let details = Details {
        kind,
        class: body.class,
        description: body.description,
        owner: body.owner,
        metadata: body.metadata,
        rotation_days: body.rotation_days,
        never_expires: body.never_expires,
        rotation: body.rotation,
    };
    let value = new_value(body.encoding, body.value, body.generate)?;
    Ok(StoreRequest {
        label: body.user_id,
        value,
        to: StoreTo::New { environment, path, rules, details: Box::new(details) },
        if_version: None,
        about: AboutVersion { note: body.note, expires_at: body.expires_at, ..AboutVersion::default() },
        token: body.token.unwrap_or(true),
        rotation: None,
        skip_unchanged: false,
        idempotency,
    })
}

/// A request of `PUT /api/secrets/{key_id}`.
pub(super) fn parse_next(secret: SecretId, body: WriteVersion, idempotency: Repeat) -> Result<StoreRequest, Refusal> {
    let if_version = match body.if_version {
        None => None,
        Some(number) => Some(IfVersion::of(number).ok_or_else(|| Refusal::parameter("if_version is too large."))?),
    };
    let skip_unchanged = body.skip_unchanged;
    if skip_unchanged && (body.generate.is_some() || body.stage == Some(NewStage::Pending)) {
        return Err(Refusal::parameter("skip_unchanged is for a value that is given and becomes current."));
    }
    let value = new_value(body.encoding, body.value, body.generate)?;
    Ok(StoreRequest {
        label: body.user_id,
        value,
        to: StoreTo::Id(secret),
        if_version,
        about: AboutVersion {
            note: body.note,
            expires_at: body.expires_at,
            is_pending: body.stage == Some(NewStage::Pending),
            ..AboutVersion::default()
        },
        token: body.token.unwrap_or(true),
        rotation: None,
        skip_unchanged,
        idempotency,
    })
}

fn one_of<T>(two: (Option<T>, Option<T>), detail: &'static str) -> Result<T, Refusal> {
    match two {
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) | (Some(_), Some(_)) => Err(Refusal::parameter(detail)),
    }
}

/// The value that a body gives, or asks for.
fn new_value(
    encoding: Option<ValueEncoding>,
    given: Option<Zeroizing<String>>,
    generate: Option<Generate>,
) -> Result<NewValue, Refusal> {
    match (given, generate) {
        (Some(text), None) => Ok(NewValue::Given(value(encoding, text)?)),
        (None, Some(request)) if encoding.is_none() => Ok(NewValue::Made(Box::new(request))),
        (None, Some(_)) => Err(Refusal::parameter("A value that is generated is text: encoding is for given ones.")),
        (None, None) | (Some(_), Some(_)) => Err(Refusal::parameter("Give value or generate, and not both.")),
    }
}

pub(super) fn value(encoding: Option<ValueEncoding>, text: Zeroizing<String>) -> Result<Arc<SecretValue>, Refusal> {
    let value = SecretValue::from_json(encoding.unwrap_or(ValueEncoding::Text), text);
    value.map(Arc::new).map_err(|error| match error {
        ValueError::TooLarge => Refusal::new(ErrorCode::ValueTooLarge),
        ValueError::NotBase64 => Refusal::new(ErrorCode::EncodingInvalid),
    })
}

pub(super) fn check_path(path: Option<&SecretPath>) -> Result<(), Refusal> {
    if path.is_some_and(SecretPath::is_reserved) {
        return Err(name_invalid(Malformed("paths under unnamed/ and destroyed/ are given by the service")));
    }
    Ok(())
}

fn name_invalid(Malformed(rule): Malformed) -> Refusal {
    Refusal::new(ErrorCode::NameInvalid).detail(rule)
}

const DEVELOPMENT_DEFAULT: &str = "dev";
