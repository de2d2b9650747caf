//! A server with a few routes, in this process.

use std::{net::SocketAddr, time::Duration};

use actix_web::{HttpRequest, HttpResponse, web};
use service_runtime::{
    Refusal, StartError,
    config::Mode,
    http::{
        Access, Answer, AnswerRoom, Draft, LIVE, Limits, Room, Route, ServeConfig, Table, Tables, admit_command, call,
        read_body, serve,
    },
    tasks::Tasks,
    tls::ServerFiles,
};
use tokio::sync::{Semaphore, oneshot};

use crate::anybody::Anybody;

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// More than the kernel buffers of both sides.
pub(crate) const LARGE: usize = 32 << 20;

static ROUTES: Table = Table::new(&[&[
    LIVE,
    get("read", "/read").public(|| web::to(read)),
    get("large", "/large").needs(Access::AccessToken, || call(|_: Anybody| large())),
    get("grown", "/grown").needs(Access::AccessToken, || call(grown)),
    get("document", "/document").public(|| web::to(large)),
    get("slow", "/slow").public(|| web::to(slow)),
    get("task", "/task").public(|| web::to(task)),
    post("write", "/write").public(|| web::to(write)),
    post("command", "/command").needs(Access::Command, || call(|_: Anybody, req, payload| command(req, payload))),
    post("stranger", "/stranger").needs(Access::Command, || call(|_: Anybody, gate| slow(gate))),
    post("slow_command", "/slow-command")
        .needs(Access::Command, || call(|_: Anybody, req, gate| slow_command(req, gate))),
    post("inventory", "/inventory").needs(Access::Command, || call(|_: Anybody| large())),
]]);

const fn get(id: &'static str, path: &'static str) -> Draft {
    Route::get(id, path, "A route of this test.").answers(const { &[Answer::other(200, "Done.")] })
}

const fn post(id: &'static str, path: &'static str) -> Draft {
    Route::post(id, path, "A route of this test.").answers(const { &[Answer::other(200, "Done.")] })
}

async fn read() -> HttpResponse {
    HttpResponse::Ok().body("read")
}

async fn large() -> HttpResponse {
    HttpResponse::Ok().body(vec![b'x'; LARGE])
}

/// An answer that was small when it was begun.
async fn grown(_: Anybody, req: HttpRequest) -> Result<HttpResponse, Refusal> {
    let mut room = Room::default();
    AnswerRoom::of(&req).grow(&mut room, 1)?;
    room.keep_with(HttpResponse::Ok().body(vec![b'x'; LARGE]))
}

async fn slow(gate: web::Data<Gate>) -> HttpResponse {
    gate.entered.add_permits(1);
    gate.go.acquire().await.unwrap().forget();
    HttpResponse::Ok().body("slow")
}

/// What a write does: it runs to its end, also when its client is gone.
async fn task(gate: web::Data<Gate>) -> HttpResponse {
    let tasks = gate.tasks.clone();
    let task = tasks.run_to_end(async move {
        gate.entered.add_permits(1);
        gate.go.acquire().await.unwrap().forget();
    });
    task.await.unwrap();
    HttpResponse::Ok().body("task")
}

async fn write(req: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refusal> {
    read_body(&req, payload, 64).await?;
    Ok(HttpResponse::Ok().body("written"))
}

/// A command whose sender is verified.
async fn command(req: HttpRequest, payload: web::Payload) -> Result<HttpResponse, Refusal> {
    admit_command(&req)?;
    write(req, payload).await
}

async fn slow_command(req: HttpRequest, gate: web::Data<Gate>) -> Result<HttpResponse, Refusal> {
    admit_command(&req)?;
    Ok(slow(gate).await)
}

/// Where `/slow` and `/task` wait.
pub(crate) struct Gate {
    pub(crate) tasks: Tasks,
    pub(crate) entered: Semaphore,
    pub(crate) go: Semaphore,
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gate: web::Data<Gate>,
    stop: oneshot::Sender<()>,
    running: actix_web::rt::task::JoinHandle<Result<(), StartError>>,
    _folder: tempfile::TempDir,
}

impl Server {
    pub(crate) async fn start(limits: Limits, tls: Option<ServerFiles>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let mut config = ServeConfig::new("127.0.0.1:0".parse().unwrap());
        (config.workers, config.limits, config.tls) = (1, limits, tls);
        config.shutdown_seconds = 3_600;
        config.ready_file = Some(ready.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let gate = web::Data::new(Gate {
            tasks: Tasks::new(tokio::runtime::Handle::current()),
            entered: Semaphore::new(0),
            go: Semaphore::new(0),
        });
        let data = gate.clone();
        let configure = move |app: &mut web::ServiceConfig| {
            app.app_data(data.clone());
        };
        let running = actix_web::rt::spawn(serve(
            config,
            Mode::Production,
            Tables { public: ROUTES, operator: Table::new(&[]) },
            configure,
            async {
                let _dropped = stopped.await;
            },
        ));
        let address = loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                break text.parse().unwrap();
            }
            assert!(!running.is_finished(), "{:?}", running.await);
            tokio::task::yield_now().await;
        };
        Self { address, gate, stop, running, _folder: folder }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(DEADLINE, self.running).await.expect("it stops").unwrap().unwrap();
    }
}
