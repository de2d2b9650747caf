//! The times of answers that must look the same: requests in random order, and a rank test.
//!
//! For a caller who may see little: a secret that is not there beside one that he may not see, an environment, a service,
//! and a credential likewise. The first comparison is of a request with itself, the last one of two that may differ.

use std::time::Instant;

use clap::Args;
use serde_json::json;

use crate::Failure;
use crate::http::{Connection, request};
use crate::report::Report;
use crate::rights::Holder;
use crate::scale::Random64;
use crate::services::Services;

/// How often it is asked.
#[derive(Args)]
pub(crate) struct Timing {
    /// Requests of each kind.
    #[arg(long, default_value_t = 4_000)]
    requests: usize,
}

/// Two requests whose answers look the same.
struct Pair {
    name: &'static str,
    requests: [Vec<u8>; 2],
    status: u16,
}

/// Standard deviations from which on a difference is no chance: one in 15,000 without any.
const SIGNIFICANT: f64 = 4.0;

impl Timing {
    /// Measures and reports.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        services.without_rate_limits().await?;
        let world = World::new(services).await?;
        let mut random = Random64::new();
        println!("{:<52} {:>9} {:>9} {:>7} {:>7}", "unknown beside forbidden", "p50 µs", "p50 µs", "better", "z");
        for pair in world.pairs() {
            let found = self.compare(services, &pair, &mut random).await?;
            let verdict = if found.z.abs() > SIGNIFICANT { "DIFFERENT" } else { "the same" };
            println!(
                "  {:<50} {:>9.1} {:>9.1} {:>7.3} {:>7.1}  {verdict}",
                pair.name, found.medians[0], found.medians[1], found.share, found.z
            );
            report.keep(
                pair.name,
                json!({
                    "p50_us": found.medians, "share": found.share, "z": found.z, "verdict": verdict,
                }),
            )?;
        }
        Ok(())
    }

    async fn compare(&self, services: &Services, pair: &Pair, random: &mut Random64) -> Result<Comparison, Failure> {
        let mut connection = Connection::open(&services.manager).await?;
        let mut samples = Vec::with_capacity(2 * self.requests);
        for round in 0..self.requests + self.requests / 10 {
            // Both in each round, in an order of chance: what else the machine does hits them alike.
            let first = random.below(2);
            for side in [first, 1 - first] {
                let sent = pair.requests.get(side).ok_or("there are two")?;
                let began = Instant::now();
                connection.expect(sent, pair.status).await?;
                let took = began.elapsed();
                if round >= self.requests / 10 {
                    samples.push((took.as_secs_f64() * 1e6, side));
                }
            }
        }
        Ok(Comparison::of(samples))
    }
}

/// The outcome of a rank test by Mann and Whitney.
struct Comparison {
    medians: [f64; 2],
    /// The share of pairs in which the second one took longer; a half without a difference.
    share: f64,
    /// The distance from a half in standard deviations.
    z: f64,
}

impl Comparison {
    #[expect(clippy::cast_precision_loss, reason = "a report")]
    fn of(mut samples: Vec<(f64, usize)>) -> Self {
        samples.sort_by(|one, other| one.0.total_cmp(&other.0));
        let median = |side: usize| {
            let own: Vec<f64> = samples.iter().filter(|(_, of)| *of == side).map(|(took, _)| *took).collect();
            own.get(own.len() / 2).copied().unwrap_or_default()
        };
        let medians = [median(0), median(1)];
        let second = samples.iter().filter(|(_, side)| *side == 1).count() as f64;
        let first = samples.len() as f64 - second;
        let ranks: f64 =
            samples.iter().enumerate().filter(|(_, (_, side))| *side == 1).map(|(rank, _)| rank as f64 + 1.0).sum();
        let pairs = ranks - second * (second + 1.0) / 2.0;
        let deviation = (first * second * (first + second + 1.0) / 12.0).sqrt();
        Self { medians, share: pairs / (first * second), z: (pairs - first * second / 2.0) / deviation }
    }
}

/// A narrow caller, with things that he may and may not see.
struct World<'a> {
    services: &'a Services,
    narrow: Holder,
    /// A credential that was disabled.
    disabled: Holder,
    other: Holder,
    own_secret: String,
    hidden_secret: String,
}

/// An id, and a credential, that nobody has.
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAA";

impl<'a> World<'a> {
    async fn new(services: &'a Services) -> Result<Self, Failure> {
        let narrow = services.service("narrow").await?;
        let (other, disabled) = (services.service("other").await?, services.service("disabled").await?);
        services.permit(&narrow.id, "read", "own/**").await?;
        services.permit(&other.id, "read", "hidden/**").await?;
        services.permit(&disabled.id, "read", "own/**").await?;
        services.asked("POST", &format!("/api/services/{}:disable", disabled.id), None, 200).await?;
        let (own_secret, hidden_secret) = (services.store_at("own/db").await?, services.store_at("hidden/db").await?);
        for number in 0..50 {
            services.store_at(&format!("hidden/more/{number}")).await?;
        }
        Ok(Self { services, narrow, disabled, other, own_secret, hidden_secret })
    }

    fn get(&self, path: &str) -> Vec<u8> {
        request("GET", &self.services.manager, path, &self.narrow.credential, None)
    }

    fn post(&self, path: &str, body: &serde_json::Value) -> Vec<u8> {
        request("POST", &self.services.manager, path, &self.narrow.credential, Some(&body.to_string()))
    }

    fn pairs(&self) -> Vec<Pair> {
        let secret = |id: &str| self.get(&format!("/api/secrets/{id}"));
        let mint = |id: &str| self.post("/api/tokens", &json!({"secrets": [{"key_id": id}]}));
        let also =
            |id: &str| self.post("/api/tokens", &json!({"secrets": [{"key_id": self.own_secret}, {"key_id": id}]}));
        let roll = |id: &str| self.post(&format!("/api/secrets/{id}:rollback"), &json!({"version": 1}));
        let explain =
            |id: &str| self.post("/api/permissions:explain", &json!({"action": "read", "target": {"key_id": id}}));
        let environment = |name: &str| self.get(&format!("/api/environments/{name}"));
        let list = |name: &str| self.get(&format!("/api/secrets?environment={name}"));
        let store = |environment: &str, path: &str| {
            let body =
                json!({"user_id": "u", "key_data": "v", "environment": environment, "path": path, "token": false});
            self.post("/api/keys", &body)
        };
        let service = |id: &str| self.get(&format!("/api/services/{id}"));
        let (unknown, hidden) = (format!("sec_{UNKNOWN}"), self.hidden_secret.as_str());
        let stranger = |credential: &str| request("GET", &self.services.manager, "/api/tokens", credential, None);
        let never_made = never_made(&self.narrow.credential);
        let pair = |name, first, second, status| Pair { name, requests: [first, second], status };
        vec![
            pair("control: one request beside itself", secret(&unknown), secret(&unknown), 404),
            pair("secret, described", secret(&unknown), secret(hidden), 404),
            pair("secret, minted for", mint(&unknown), mint(hidden), 404),
            pair("secret, minted for beside one's own", also(&unknown), also(hidden), 404),
            pair("secret, rolled back", roll(&unknown), roll(hidden), 404),
            pair("secret, explained", explain(&unknown), explain(hidden), 404),
            pair("path, written to", store("dev", "none/db"), store("dev", "hidden/db"), 404),
            pair("environment, described", environment("nowhere"), environment("staging"), 404),
            pair("environment, listed", list("nowhere"), list("staging"), 400),
            pair("environment, written to", store("nowhere", "own/x"), store("staging", "own/x"), 400),
            pair("service", service(&format!("svc_{UNKNOWN}")), service(&self.other.id), 404),
            pair(
                "credential, unknown beside disabled",
                stranger(&never_made),
                stranger(&self.disabled.credential),
                401,
            ),
            pair("credential, malformed beside unknown", stranger("x"), stranger(&never_made), 401),
            pair(
                "control: a list beside a list that is empty",
                self.get("/api/secrets"),
                self.get("/api/services?limit=1"),
                200,
            ),
        ]
    }
}

/// A credential of the right form that nobody has: a good one with other characters.
fn never_made(good: &str) -> String {
    let (head, tail) = good.split_at(good.len() / 2);
    let (turned, rest) = tail.split_at(8);
    format!("{head}{}{rest}", turned.chars().rev().collect::<String>())
}
