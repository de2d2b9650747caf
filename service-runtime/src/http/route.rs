//! Routes are data.
//!
//! One table per service mounts the application, names metrics and audit lines, feeds the `OpenAPI` document and drives
//! the test that tries every row with wrong credentials. A known path with another method answers 405 with `Allow`.
//!
//! A row stands beside its handler:
//!
//! ```
//! # use actix_web::{HttpRequest, HttpResponse, dev::Payload, FromRequest};
//! # use service_runtime::{Refusal, http::{Access, Answer, Authenticates, Route, call}};
//! # use shared_proto::error::{ErrorCode, Problem};
//! # use std::future::{Ready, ready};
//! struct Call;
//! # impl FromRequest for Call {
//! #     type Error = Refusal;
//! #     type Future = Ready<Result<Self, Refusal>>;
//! #     fn from_request(_: &HttpRequest, _: &mut Payload) -> Self::Future { ready(Err(Refusal::new(ErrorCode::CredentialInvalid))) }
//! # }
//! impl Authenticates for Call {
//!     const ADMITS: &'static [Access] = &[Access::Credential];
//! }
//! async fn list(_call: Call) -> HttpResponse { HttpResponse::Ok().finish() }
//! const ROUTES: &[Route] = &[Route::get("note.list", "/api/notes", "Lists notes.")
//!     .answers(&[Answer::json::<Problem>(200, "A page.")])
//!     .needs(Access::Credential, || call(list))];
//! ```
//!
//! A handler that forgets to authenticate does not compile behind [`Draft::needs`]:
//!
//! ```compile_fail,E0277
//! # use actix_web::HttpResponse;
//! # use service_runtime::http::{Access, Answer, Route, call};
//! # use shared_proto::error::Problem;
//! async fn list() -> HttpResponse { HttpResponse::Ok().finish() }
//! const ROUTES: &[Route] = &[Route::get("note.list", "/api/notes", "Lists notes.")
//!     .answers(&[Answer::json::<Problem>(200, "A page.")])
//!     .needs(Access::Credential, || call(list))];
//! ```

use std::borrow::Cow;
use std::rc::Rc;

use actix_web::{
    Error, FromRequest, Handler, HttpMessage as _, HttpRequest, Responder,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    guard::{Guard, GuardContext},
    http::Method,
    middleware::{Next, from_fn},
    web,
};
use shared_proto::error::ErrorCode;
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::connection::State;
use crate::tls::{ClientName, Side, Why};
use crate::{Fact, Refusal};

/// Who may use a route. The row says it; the extractor of the handler enforces it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Anybody.
    Public,
    /// A credential. What its caller may do is for the policy to say.
    Credential,
    /// Anybody in development mode, else a credential.
    CredentialOrDevelopment,
    /// An access token of the manager.
    AccessToken,
    /// A command or event signed by the manager. With `tls.client_ca` its certificate is checked before all else.
    Command,
}

/// The schema of a type, under the type's name.
#[derive(Clone, Copy, Debug)]
pub struct SchemaOf {
    pub(super) name: fn() -> Cow<'static, str>,
    pub(super) add: fn(&mut Vec<(String, RefOr<Schema>)>),
}

impl SchemaOf {
    /// The schema of `T`, with those of its members.
    pub const fn new<T: ToSchema>() -> Self {
        Self { name: T::name, add: add::<T> }
    }
}

fn add<T: ToSchema>(all: &mut Vec<(String, RefOr<Schema>)>) {
    all.push((T::name().into_owned(), T::schema()));
    T::schemas(all);
}

/// An answer other than a problem document.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) description: &'static str,
    pub(super) content: Content,
}

/// What an answer holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content {
    Json(SchemaOf),
    Text,
    /// A document that another standard describes.
    Other,
}

impl Answer {
    /// An answer with a `T` in JSON. The description is one sentence.
    pub const fn json<T: ToSchema>(status: u16, description: &'static str) -> Self {
        Self { status, description, content: Content::Json(SchemaOf::new::<T>()) }
    }

    /// An answer of plain text.
    pub const fn text(status: u16, description: &'static str) -> Self {
        Self { status, description, content: Content::Text }
    }

    /// An answer with a document that another standard describes.
    pub const fn other(status: u16, description: &'static str) -> Self {
        Self { status, description, content: Content::Other }
    }
}

/// A parameter of a request.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    pub(super) name: &'static str,
    pub(super) slot: ParameterIn,
    pub(super) description: &'static str,
    pub(super) form: Form,
}

/// Where a parameter stands. Only those of the path are required.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParameterIn {
    Path,
    Query,
    Header,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Type(SchemaOf),
    /// An integer from the first to the second number.
    Integer(u64, u64),
}

impl Parameter {
    /// The part of the path that the pattern names `{name}`.
    pub const fn path<T: ToSchema>(name: &'static str, description: &'static str) -> Self {
        Self { name, slot: ParameterIn::Path, description, form: Form::Type(SchemaOf::new::<T>()) }
    }

    /// An optional parameter behind the `?`.
    pub const fn query<T: ToSchema>(name: &'static str, description: &'static str) -> Self {
        Self { name, slot: ParameterIn::Query, description, form: Form::Type(SchemaOf::new::<T>()) }
    }

    /// An optional integer behind the `?`, from `least` to `most`.
    pub const fn integer(name: &'static str, description: &'static str, least: u64, most: u64) -> Self {
        Self { name, slot: ParameterIn::Query, description, form: Form::Integer(least, most) }
    }

    /// An optional header.
    pub const fn header<T: ToSchema>(name: &'static str, description: &'static str) -> Self {
        Self { name, slot: ParameterIn::Header, description, form: Form::Type(SchemaOf::new::<T>()) }
    }
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Stable name, for example `secret.open`.
    pub id: &'static str,
    /// Its method.
    pub method: &'static Method,
    /// Pattern of actix, for example `/api/keys/{key_id}`.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// The largest body in bytes, 0 for none.
    pub body_limit: usize,
    pub(super) summary: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) body: Option<SchemaOf>,
    /// True if it takes a form, which another standard describes.
    pub(super) form: bool,
    pub(super) answers: &'static [Answer],
    pub(super) problems: &'static [ErrorCode],
    handler: MadeBy,
}

#[derive(Clone, Copy, Debug)]
enum MadeBy {
    Public(fn() -> actix_web::Route),
    Guarded(fn() -> Guarded),
}

/// A row that lacks its handler.
#[derive(Clone, Copy, Debug)]
pub struct Draft(Route);

static GET: Method = Method::GET;
static POST: Method = Method::POST;
static PUT: Method = Method::PUT;
static PATCH: Method = Method::PATCH;
static DELETE: Method = Method::DELETE;

impl Route {
    /// A row for `GET`. The summary is one sentence.
    pub const fn get(id: &'static str, path: &'static str, summary: &'static str) -> Draft {
        Draft::new(&GET, id, path, summary)
    }

    /// A row for `POST`.
    pub const fn post(id: &'static str, path: &'static str, summary: &'static str) -> Draft {
        Draft::new(&POST, id, path, summary)
    }

    /// A row for `PUT`.
    pub const fn put(id: &'static str, path: &'static str, summary: &'static str) -> Draft {
        Draft::new(&PUT, id, path, summary)
    }

    /// A row for `PATCH`.
    pub const fn patch(id: &'static str, path: &'static str, summary: &'static str) -> Draft {
        Draft::new(&PATCH, id, path, summary)
    }

    /// A row for `DELETE`.
    pub const fn delete(id: &'static str, path: &'static str, summary: &'static str) -> Draft {
        Draft::new(&DELETE, id, path, summary)
    }

    /// The row that a request was routed to.
    pub fn of(req: &HttpRequest) -> Option<&'static Self> {
        // Noted by the guard that chose the row: to ask the framework for the pattern would match every path twice.
        req.extensions().get::<Chosen>().map(|chosen| chosen.0)
    }

    /// Whether it takes a JSON body.
    pub fn takes_body(&self) -> bool {
        self.body.is_some()
    }

    /// Its method, and with GET also HEAD (RFC 9110 section 9.1): the same answer, which the server sends without its body.
    fn takes(&self, method: &Method) -> bool {
        self.method == method || *self.method == Method::GET && *method == Method::HEAD
    }
}

impl Draft {
    const fn new(method: &'static Method, id: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self(Route {
            id,
            method,
            path,
            access: Access::Public,
            body_limit: 0,
            summary,
            parameters: &[],
            body: None,
            form: false,
            answers: &[],
            problems: &[],
            handler: MadeBy::Public(|| web::to(|| async { Err::<&'static str, _>(no_route()) })),
        })
    }

    /// Takes a `T` in JSON, in at most `limit` bytes.
    #[must_use]
    pub const fn body<T: ToSchema>(mut self, limit: usize) -> Self {
        self.0.body_limit = limit;
        self.0.body = Some(SchemaOf::new::<T>());
        self
    }

    /// Takes a form (`application/x-www-form-urlencoded`) in at most `limit` bytes.
    #[must_use]
    pub const fn form(mut self, limit: usize) -> Self {
        self.0.body_limit = limit;
        self.0.form = true;
        self
    }

    /// Takes parameters. Each name in the path has one.
    #[must_use]
    pub const fn parameters(mut self, parameters: &'static [Parameter]) -> Self {
        self.0.parameters = parameters;
        self
    }

    /// Answers so when it does what was asked.
    #[must_use]
    pub const fn answers(mut self, answers: &'static [Answer]) -> Self {
        self.0.answers = answers;
        self
    }

    /// Adds codes to those of every route, and to those that follow from who may use it and from its body and parameters.
    #[must_use]
    pub const fn problems(mut self, problems: &'static [ErrorCode]) -> Self {
        self.0.problems = problems;
        self
    }

    /// A row for everybody.
    pub const fn public(mut self, handler: fn() -> actix_web::Route) -> Route {
        self.0.handler = MadeBy::Public(handler);
        self.0
    }

    /// A row for those that `access` names. Its handler comes from [`call`].
    pub const fn needs(mut self, access: Access, handler: fn() -> Guarded) -> Route {
        self.0.access = access;
        self.0.handler = MadeBy::Guarded(handler);
        self.0
    }
}

/// An extractor that refuses a request whose sender may not use its route.
pub trait Authenticates: FromRequest {
    /// The kinds of access that it checks. A row with another kind refuses everybody.
    const ADMITS: &'static [Access];
}

/// The arguments of a handler, of which the first authenticates.
pub trait GuardedArguments: FromRequest {
    /// What the first one checks.
    const ADMITS: &'static [Access];
}

impl<A: Authenticates + 'static> GuardedArguments for (A,) {
    const ADMITS: &'static [Access] = A::ADMITS;
}
impl<A: Authenticates + 'static, B: FromRequest + 'static> GuardedArguments for (A, B) {
    const ADMITS: &'static [Access] = A::ADMITS;
}
impl<A: Authenticates + 'static, B: FromRequest + 'static, C: FromRequest + 'static> GuardedArguments for (A, B, C) {
    const ADMITS: &'static [Access] = A::ADMITS;
}

/// A handler whose first argument authenticates.
#[expect(missing_debug_implementations, reason = "the framework's route has none")]
pub struct Guarded {
    route: actix_web::Route,
    admits: &'static [Access],
}

impl Guarded {
    /// Its handler, or one that refuses everybody if it checks another kind of access than the row asks for.
    fn route_for(self, row: &Route) -> actix_web::Route {
        if self.admits.contains(&row.access) {
            return self.route;
        }
        tracing::error!(route = row.id, "the handler checks another kind of access than its row asks for");
        web::to(|| async { Err::<&'static str, _>(Refusal::internal("a handler of another kind of access")) })
    }
}

/// Makes a handler for a row that is not public.
pub fn call<F, Arguments>(handler: F) -> Guarded
where
    F: Handler<Arguments>,
    Arguments: GuardedArguments + 'static,
    F::Output: Responder + 'static,
{
    Guarded { route: web::to(handler), admits: Arguments::ADMITS }
}

/// The rows of a service, in pieces that stand beside their handlers.
#[derive(Clone, Copy, Debug)]
pub struct Table(&'static [&'static [Route]]);

impl Table {
    /// A table of these pieces.
    pub const fn new(pieces: &'static [&'static [Route]]) -> Self {
        Self(pieces)
    }

    /// The rows.
    pub fn rows(self) -> impl Iterator<Item = &'static Route> + Clone {
        self.0.iter().copied().flatten()
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
pub fn mount(table: Table) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        for (index, first) in table.rows().enumerate() {
            if table.rows().take(index).any(|row| row.path == first.path) {
                continue;
            }
            let rows = || table.rows().filter(|row| row.path == first.path);
            let heads = rows().any(|row| *row.method == Method::GET).then_some("HEAD");
            let methods: Vec<&str> = rows().map(|row| row.method.as_str()).chain(heads).collect();
            let methods = methods.join(", ");
            let mut resource = web::resource(first.path);
            for row in rows() {
                let route = match row.handler {
                    MadeBy::Public(make) => make(),
                    MadeBy::Guarded(make) => make().route_for(row),
                };
                let route = route.guard(Choose(row));
                resource = match row.access {
                    Access::Command => resource.route(route.wrap(from_fn(check_client))),
                    Access::Public | Access::Credential | Access::CredentialOrDevelopment | Access::AccessToken => {
                        resource.route(route)
                    }
                };
            }
            config.service(resource.default_service(web::to(move || {
                let refusal = Refusal::new(ErrorCode::MethodNotAllowed).fact(Fact::Allow(methods.clone()));
                async move { Err::<&'static str, _>(refusal) }
            })));
        }
        config.default_service(web::to(|| async { Err::<&'static str, _>(no_route()) }));
    }
}

fn no_route() -> Refusal {
    Refusal::new(ErrorCode::RouteNotFound)
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
