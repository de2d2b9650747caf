//! The cost of rights: mints of a subject with many lines and groups beside those of one with a single line, and a manager
//! with many services.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::Failure;
use crate::http::Connection;
use crate::load::{Outcome, drive};
use crate::process::{Meter, resident_mib};
use crate::report::Report;
use crate::services::{Services, member};

/// Two subjects that mint in turn.
#[derive(Args)]
pub(crate) struct Rights {
    /// Permissions of the subject with many.
    #[arg(long, default_value_t = 1_000)]
    permissions: usize,
    /// Groups that it is in, each with a permission of its own.
    #[arg(long, default_value_t = 50)]
    groups: usize,
    /// Turns of each.
    #[arg(long, default_value_t = 20)]
    turns: usize,
}

/// Mints of one turn. Processor time is counted in hundredths of a second.
const MINTS_OF_A_TURN: usize = 100;

/// Many services.
#[derive(Args)]
pub(crate) struct Crowd {
    /// Services, with two credentials each.
    #[arg(long, default_value_t = 10_000)]
    services: usize,
}

/// Services that are made at once.
const CONNECTIONS: usize = 8;

impl Rights {
    /// Measures and reports.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        services.without_rate_limits().await?;
        let secret = services.store_at("team/0/db").await?;
        let (few, many) = (services.service("few").await?, services.service("many").await?);
        services.permit(&few.id, "read", "team/0/db").await?;
        for number in 0..self.permissions.max(1) {
            services.permit(&many.id, "read", &format!("team/{number}/**")).await?;
        }
        for number in 0..self.groups {
            let group =
                services.created("/api/groups", &json!({"name": format!("group-{number}")}), "group_id").await?;
            let members = json!({"principals": [many.id]});
            services.asked("POST", &format!("/api/groups/{group}/members"), Some(&members), 200).await?;
            services.permit(&group, "read", &format!("group/{number}/**")).await?;
        }
        let body = json!({"secrets": [{"key_id": secret}]}).to_string();
        let mint = |who: &Holder| crate::http::post(&services.manager, "/api/tokens", &who.credential, &body);
        let mut sides = [(mint(&few), Vec::new(), 0.0), (mint(&many), Vec::new(), 0.0)];
        let mut connection = Connection::open(&services.manager).await?;
        for turn in 0..=self.turns {
            // The first one warms up; then each side is first as often as the other.
            let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
            for side in order {
                let (request, latencies, cpu) = sides.get_mut(side).ok_or("there are two sides")?;
                let meter = Meter::start(services.pids.get(..1).unwrap_or_default());
                let (mut all, started) = (Vec::with_capacity(MINTS_OF_A_TURN), Instant::now());
                for _ in 0..MINTS_OF_A_TURN {
                    let began = Instant::now();
                    connection.expect(request, 201).await?;
                    all.push(began.elapsed());
                }
                if turn > 0 {
                    *cpu += meter.stop(&Outcome::new(started.elapsed(), all.clone())).first().copied().unwrap_or(0.0);
                    latencies.extend(all);
                }
            }
        }
        let turns = f64::from(u32::try_from(self.turns.max(1))?);
        let [few, many] =
            sides.map(|(_, latencies, cpu)| (Outcome::new(Duration::ZERO, latencies).percentile(50), cpu));
        report.number("a mint with one permission, p50", few.0, "ms")?;
        report.number("a mint with many permissions and groups, p50", many.0, "ms")?;
        report.number("their ratio (target 1.10)", many.0 / few.0, "")?;
        report.number("a mint with one permission, CPU of the manager", few.1 / turns, "µs")?;
        report.number("a mint with many, CPU of the manager", many.1 / turns, "µs")?;
        report.number("their ratio (target 1.10)", many.1 / few.1, "")
    }
}

impl Crowd {
    /// Makes the services, over the public way.
    pub(crate) async fn fill(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        services.without_rate_limits().await?;
        let pid = services.pids.first().copied().ok_or("the manager's pid")?;
        let before = resident_mib(pid);
        let new = |number: usize| services.post("/api/services", &json!({"name": format!("service-{number:06}")}));
        let (ids, began) = (Rc::new(RefCell::new(Vec::new())), Instant::now());
        let kept = Rc::clone(&ids);
        let keep = move |body: &str| kept.borrow_mut().extend(member(body, "service_id"));
        let requests: Vec<_> = (0..self.services).map(new).collect();
        drive(&services.manager, Rc::new(requests), self.services, (CONNECTIONS, 201), keep).await?;
        let terms = json!({"name": "bench", "expires_in": "1y"});
        let credential = |id: &String| services.post(&format!("/api/services/{id}/credentials"), &terms);
        let requests: Vec<_> = ids.borrow().iter().map(credential).collect();
        drive(&services.manager, Rc::new(requests), 2 * self.services, (CONNECTIONS, 201), |_| ()).await?;
        report.number("services with two credentials each made", began.elapsed().as_secs_f64(), "s")?;
        report.number("memory of the manager before", before, "MiB")?;
        report.number("memory of the manager after", resident_mib(pid), "MiB")
    }
}

/// A service with a credential.
pub(crate) struct Holder {
    /// Its id.
    pub(crate) id: String,
    /// Its credential.
    pub(crate) credential: String,
}

impl Services {
    /// Lets principals ask as often as they can.
    pub(crate) async fn without_rate_limits(&self) -> Result<(), Failure> {
        let rate = json!({"per_second": 1_000_000, "burst": 1_000_000});
        let all = json!({"principal": rate, "address": rate});
        self.asked("PATCH", "/api/settings/rate-limits", Some(&all), 200).await.map(drop)
    }

    /// Stores a value of `dev` at a path, and answers with its id.
    pub(crate) async fn store_at(&self, path: &str) -> Result<String, Failure> {
        let body = json!({"user_id": "bench", "key_data": "v", "environment": "dev", "path": path, "token": false});
        self.created("/api/keys", &body, "key_id").await
    }

    /// Makes a service with a credential.
    pub(crate) async fn service(&self, name: &str) -> Result<Holder, Failure> {
        let id = self.created("/api/services", &json!({"name": name}), "service_id").await?;
        let token = json!({"service_name": name, "expires_in": "1d"});
        Ok(Holder { id, credential: self.created("/tokens", &token, "token").await? })
    }

    /// Allows an action, with `list`, in `dev`.
    pub(crate) async fn permit(&self, party: &str, action: &str, pattern: &str) -> Result<(), Failure> {
        let line = json!({
            "party": party, "effect": "allow", "actions": ["list", action], "environment": "dev", "pattern": pattern,
            "reason": "bench",
        });
        self.created("/api/permissions", &line, "permission_id").await.map(drop)
    }

    /// Makes something, and answers with a member of the answer.
    pub(crate) async fn created(&self, path: &str, body: &Value, name: &str) -> Result<String, Failure> {
        member(&self.asked("POST", path, Some(body), 201).await?, name)
    }

    /// Sends a request of the administrator.
    pub(crate) async fn asked(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
    ) -> Result<String, Failure> {
        let body = body.map(Value::to_string);
        let request = crate::http::request(method, &self.manager, path, &self.credential, body.as_deref());
        Ok(Connection::open(&self.manager).await?.expect(&request, status).await?.to_owned())
    }

    /// A request of the administrator with a body.
    fn post(&self, path: &str, body: &Value) -> Vec<u8> {
        crate::http::post(&self.manager, path, &self.credential, &body.to_string())
    }
}
