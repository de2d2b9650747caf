//! Routes are data.
//!
//! One table per service mounts the application, names metrics and audit lines, feeds the `OpenAPI` document and drives
//! the test that tries every row with wrong credentials. A known path with another method answers 405 with `Allow`.

use std::rc::Rc;

use actix_web::{
    Error, HttpMessage as _, HttpRequest,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    guard::{Guard, GuardContext},
    http::Method,
    middleware::{Next, from_fn},
    web,
};
use shared_proto::error::ErrorCode;

use super::connection::State;
use crate::tls::{ClientName, Side, Why};
use crate::{Fact, Refusal};

/// Who may use a route. The row says it; the extractor of the handler enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anybody.
    Public,
    /// An administrator's credential.
    Administrator,
    /// Anybody in development mode, else an administrator's credential.
    AdministratorOrDevelopment,
    /// An access token of the manager.
    AccessToken,
    /// A command or event signed by the manager. With `tls.client_ca` its certificate is checked before all else.
    Command,
}

/// An answer other than a problem document.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// One sentence.
    pub description: &'static str,
    /// Name of the schema of its JSON body, or [`TEXT`].
    pub schema: Option<&'static str>,
}

/// The schema of an answer that is plain text.
pub const TEXT: Option<&str> = Some("text/plain");

/// Where a parameter of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind the `?`.
    Query,
    /// In a header.
    Header,
}

/// An optional parameter of a request, apart from those in the path.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where it stands.
    pub place: Place,
    /// One sentence.
    pub description: &'static str,
    /// The lowest and highest integer that it may be; none for text.
    pub integer: Option<(u64, u64)>,
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Stable name, for example `secret.open`.
    pub id: &'static str,
    /// Its method.
    pub method: Method,
    /// Pattern of actix, for example `/api/keys/{key_id}`.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// The largest body in bytes, 0 for none.
    pub body_limit: usize,
    /// One sentence.
    pub summary: &'static str,
    /// Query and header parameters.
    pub parameters: &'static [Parameter],
    /// Name of the schema of the JSON body.
    pub request_schema: Option<&'static str>,
    /// What it answers when it does what was asked.
    pub responses: &'static [Answer],
    /// The codes that this route adds to those of every route.
    pub problems: &'static [ErrorCode],
    /// The handler: `|| web::to(function)`.
    pub handler: fn() -> actix_web::Route,
}

impl Route {
    /// The row that a request was routed to.
    pub fn of(req: &HttpRequest) -> Option<&'static Self> {
        // Noted by the guard that chose the row: to ask the framework for the pattern would match every path twice.
        req.extensions().get::<Chosen>().map(|chosen| chosen.0)
    }

    /// Its method, and with GET also HEAD (RFC 9110 section 9.1): the same answer, which the server sends without its body.
    fn takes(&self, method: &Method) -> bool {
        self.method == *method || self.method == Method::GET && *method == Method::HEAD
    }
}

/// Chooses a row of a path by its method.
struct Choose(&'static Route);

impl Guard for Choose {
    fn check(&self, context: &GuardContext<'_>) -> bool {
        let takes = self.0.takes(&context.head().method);
        if takes {
            context.req_data_mut().insert(Chosen(self.0));
        }
        takes
    }
}

struct Chosen(&'static Route);

/// Mounts a table: `App::new().configure(mount(ROUTES))`. Rows with the same path may stand anywhere; of several
/// patterns that fit, the first in the table wins.
pub fn mount(table: &'static [Route]) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        for (index, first) in table.iter().enumerate() {
            if table.iter().take(index).any(|row| row.path == first.path) {
                continue;
            }
            let rows = || table.iter().filter(|row| row.path == first.path);
            let heads = rows().any(|row| row.method == Method::GET).then_some("HEAD");
            let methods: Vec<&str> = rows().map(|row| row.method.as_str()).chain(heads).collect();
            let methods = methods.join(", ");
            let mut resource = web::resource(first.path);
            for row in rows() {
                let route = (row.handler)().guard(Choose(row));
                resource = match row.access {
                    Access::Command => resource.route(route.wrap(from_fn(check_client))),
                    Access::Public
                    | Access::Administrator
                    | Access::AdministratorOrDevelopment
                    | Access::AccessToken => resource.route(route),
                };
            }
            config.service(resource.default_service(web::to(move || {
                let refusal = Refusal::new(ErrorCode::MethodNotAllowed).fact(Fact::Allow(methods.clone()));
                async move { Err::<&'static str, _>(refusal) }
            })));
        }
        config.default_service(web::to(|| async { Err::<&'static str, _>(Refusal::new(ErrorCode::RouteNotFound)) }));
    }
}

/// Whether a client certificate is asked of who sends commands; application data of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandsNeedCertificate(pub(super) bool);

/// Refuses a command on a connection whose client did not prove to be the one that the configuration names.
async fn check_client<B: MessageBody + 'static>(
    req: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let needed = req.app_data::<CommandsNeedCertificate>().is_some_and(|needed| needed.0);
    if needed {
        let client = req.conn_data::<Rc<State>>().map_or(ClientName::Absent, |state| state.client());
        let why = match client {
            ClientName::Expected => return next.call(req).await,
            ClientName::Absent => Why::NO_CERTIFICATE,
            ClientName::Other => Why::OTHER_NAME,
        };
        if let Some(peer) = req.peer_addr() {
            why.log(Side::Server, &peer);
        }
        return Err(Refusal::new(ErrorCode::CommandInvalid).into());
    }
    next.call(req).await
}
