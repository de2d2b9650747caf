//! Settings of the installation.

use actix_web::{HttpResponse, web};
use manager_api::settings::{ChangeRateLimits, RateLimits};
use manager_policy::{Operate, Scope};
use manager_registry::{Settings, SettingsId};
use service_runtime::Refusal;
use service_runtime::http::{Access, Answer, Json, Route, call};
use shared_proto::Malformed;
use shared_proto::error::ErrorCode;

use super::SMALL_LIMIT;
use crate::app::App;
use crate::audit_event::{Act, RegistryAct, action};
use crate::http::Call;

const LIMITS: &[Answer] = &[Answer::json::<RateLimits>(200, "The limits.")];

pub(super) const ROUTES: &[Route] = &[
    Route::get(action::RATE_LIMIT_SHOW, "/api/settings/rate-limits", "Shows the rate limits.")
        .answers(LIMITS)
        .problems(&[ErrorCode::NotPermitted, ErrorCode::AuditUnavailable])
        .needs(Access::Credential, || call(show)),
    Route::patch(action::RATE_LIMIT_UPDATE, "/api/settings/rate-limits", "Changes the rate limits.")
        .body::<ChangeRateLimits>(SMALL_LIMIT)
        .answers(LIMITS)
        .problems(&[
            ErrorCode::ParameterInvalid,
            ErrorCode::NotPermitted,
            ErrorCode::Unavailable,
            ErrorCode::OutcomeUnknown,
            ErrorCode::AuditUnavailable,
        ])
        .needs(Access::Credential, || call(update)),
];

async fn show(call: Call, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let app = app.into_inner();
    let limits = call
        .run(|caller, origin| async move {
            let permit = caller.permit::<Operate>(&Scope::Installation)?;
            // It is given out from memory.
            let limits = app.registry.now().await?.rate_limits;
            app.store.look_again(&permit).await?;
            app.gate.audit.record(Act::Registry(RegistryAct::RateLimitShow, None), &origin).await?;
            Ok(limits)
        })
        .await?;
    Ok(HttpResponse::Ok().json(limits))
}

async fn update(call: Call<Json<ChangeRateLimits>>, app: web::Data<App>) -> Result<HttpResponse, Refusal> {
    let (call, asked) = call.with_body();
    let app = app.into_inner();
    let limits = call
        .run(|caller, origin| async move {
            caller.permit::<Operate>(&Scope::Installation)?;
            if asked.principal.is_none() && asked.address.is_none() {
                return Err(Refusal::parameter("A change names a limit."));
            }
            for rate in [asked.principal, asked.address].into_iter().flatten() {
                rate.check().map_err(|Malformed(rule)| Refusal::parameter(rule))?;
            }
            caller.signed_on().map_or(Ok(()), |signed_on| signed_on.check_recent(caller.now()))?;
            app.gate.audit.record(Act::Registry(RegistryAct::RateLimitUpdate, None), &origin).await?;
            app.revocations
                .change(&caller, None, |caller, view| {
                    caller.permit::<Operate>(&Scope::Installation)?;
                    let rate_limits = RateLimits {
                        principal: asked.principal.unwrap_or(view.rate_limits.principal),
                        address: asked.address.unwrap_or(view.rate_limits.address),
                    };
                    Ok(vec![Settings { settings_id: SettingsId::RateLimits, rate_limits }.into()])
                })
                .await?;
            Ok(app.registry.now().await?.rate_limits)
        })
        .await?;
    Ok(HttpResponse::Ok().json(limits))
}
