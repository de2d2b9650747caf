//! Requests to a vault without a socket: the same application as in production.

use std::sync::Arc;

use actix_web::body::to_bytes;
use actix_web::dev::Payload;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, init_service};
use actix_web::{App, dev::Service as _, web};
use encrypted_vault::app::Vault;
use encrypted_vault::routes;
use futures_util::future::join;
use futures_util::stream::once;
use serde::de::DeserializeOwned;
use serde_json::Value;
use service_runtime::http::{Stack, mount};
use shared_proto::identity::Mode;
use tokio::sync::oneshot;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The body as a document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The body as a wire type, after a check of the status.
    #[track_caller]
    pub(crate) fn expect<T: DeserializeOwned>(&self, status: u16) -> T {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        serde_json::from_slice(&self.body).expect("the documented body")
    }

    /// The code of a problem document.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and code.
    pub(crate) fn problem(&self) -> (u16, String) {
        (self.status, self.code())
    }

    /// The body without what differs between two requests.
    pub(crate) fn body_without_id(&self) -> String {
        let id = self.headers.get("x-request-id").unwrap().to_str().unwrap();
        String::from_utf8(self.body.clone()).unwrap().replace(id, "")
    }
}

/// Sends a request.
pub(crate) async fn send(vault: &Arc<Vault>, request: TestRequest) -> Reply {
    respond(vault, request, None).await
}

/// Sends a request whose body is held back. Runs `meanwhile` when the service has begun to wait for the body, and sends
/// the body after it.
pub(crate) async fn send_held(
    vault: &Arc<Vault>,
    request: TestRequest,
    body: Vec<u8>,
    meanwhile: impl Future<Output = ()>,
) -> Reply {
    let (waits, waiting) = oneshot::channel();
    let (go, gone) = oneshot::channel();
    // Polled for the first time when the handler asks for the body: its head was looked at by then.
    let body = once(async move {
        waits.send(()).unwrap();
        gone.await.unwrap();
        Ok(web::Bytes::from(body))
    });
    let request = request.insert_header(("content-type", "application/json"));
    let answered = respond(vault, request, Some(Payload::Stream { payload: Box::pin(body) }));
    let held = async {
        waiting.await.expect("the service waits for the body");
        meanwhile.await;
        go.send(()).unwrap();
    };
    join(answered, held).await.0
}

async fn respond(vault: &Arc<Vault>, request: TestRequest, payload: Option<Payload>) -> Reply {
    let app =
        App::new().wrap(Stack::new(Mode::Development)).configure(routes::data(vault)).configure(mount(routes::ROUTES));
    let app = init_service(app).await;
    let mut request = request.insert_header(("host", "localhost")).to_request();
    if let Some(payload) = payload {
        request = request.replace_payload(payload).0;
    }
    let response = match app.call(request).await {
        Ok(response) => response.into_parts().1.map_into_boxed_body(),
        Err(error) => error.error_response(),
    };
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = to_bytes(response.into_body()).await.unwrap_or_default().to_vec();
    Reply { status, headers, body }
}

/// A `GET` with a bearer credential.
pub(crate) async fn get(vault: &Arc<Vault>, path: &str, bearer: &str) -> Reply {
    send(vault, TestRequest::get().uri(path).insert_header(("authorization", format!("Bearer {bearer}")))).await
}

/// A `POST` of a JSON body with a bearer credential.
pub(crate) async fn command(vault: &Arc<Vault>, path: &str, bearer: &str, body: Vec<u8>) -> Reply {
    let request = TestRequest::post()
        .uri(path)
        .insert_header(("authorization", format!("Bearer {bearer}")))
        .insert_header(("content-type", "application/json"))
        .set_payload(body);
    send(vault, request).await
}
