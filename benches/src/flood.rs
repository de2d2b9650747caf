//! Reads at a steady rate beside a flood: the holder of a token asks for what it does not name, as fast as it is refused.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::http::{Connection, delete, post};
use crate::load::drive_paced;
use crate::process::Meter;
use crate::report::Report;
use crate::services::{Services, member};

/// How many read, and how many flood.
#[derive(Args)]
pub(crate) struct Flood {
    /// Connections of the readers.
    #[arg(long, default_value_t = 16)]
    readers: usize,
    /// Their reads per second in all.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Reads of each measurement.
    #[arg(long, default_value_t = 10_000)]
    reads: usize,
    /// Connections of the flood.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measurements with and without a flood, in turn.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
}

/// Ids of one batch, the most that there can be.
const BATCH: usize = 64;

impl Flood {
    /// Measures and reports.
    pub(crate) async fn measure(&self, services: &Services, report: &mut Report) -> Result<(), Failure> {
        let (key_id, token) = services.first().await?;
        let read = Rc::new(vec![services.read(&key_id, &token)]);
        let mut manager = Connection::open(&services.manager).await?;
        let mut foreign = Vec::with_capacity(BATCH);
        for _ in 0..BATCH {
            foreign.push(member(manager.expect(&services.store(false), 201).await?, "key_id")?);
        }
        let own = r#"{"user_id":"flood","key_data":"value","environment":"dev","token":true}"#;
        let stored = post(&services.manager, "/api/keys", &services.credential, own);
        let answer = manager.expect(&stored, 201).await?.to_owned();
        let body = serde_json::json!({ "key_ids": foreign }).to_string();
        let batch = post(&services.vault, "/api/keys:read", &member(&answer, "access_token")?, &body);
        let revoke =
            delete(&services.manager, &format!("/api/tokens/{}", member(&answer, "jti")?), &services.credential);
        for flooded_by in ["a token that names none of the ids", "the same token, revoked"] {
            for _ in 0..self.rounds {
                self.read(services, &read, report, "nobody floods").await?;
                let (stop, address, connections) = (Arc::default(), services.vault.clone(), self.connections);
                let (told, request) = (Arc::clone(&stop), batch.clone());
                let flood = std::thread::spawn(move || flood(&address, &request, connections, &told));
                self.read(services, &read, report, flooded_by).await?;
                stop.store(true, Ordering::SeqCst);
                let answers = flood.join().map_err(|_| "the flood broke down")??;
                println!("  answers to the flood per s, by status: {answers:?}");
            }
            if flooded_by.starts_with("a token") {
                // The first connection was idle for too long.
                Connection::open(&services.manager).await?.expect(&revoke, 200).await?;
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        services: &Services,
        read: &Rc<Vec<Vec<u8>>>,
        report: &mut Report,
        beside: &str,
    ) -> Result<(), Failure> {
        let (meter, pace) = (Meter::start(&services.pids), Duration::from_secs(1) / self.rate.max(1));
        let how = (self.readers, 200);
        let outcome = drive_paced(&services.vault, Rc::clone(read), self.reads, how, pace, |_| ()).await?;
        report.number(&format!("{beside}: reads, p50"), outcome.percentile(50), "ms")?;
        report.number(&format!("{beside}: reads, p99"), outcome.percentile(99), "ms")?;
        let cores = meter.stop(&outcome).iter().sum::<f64>() * outcome.per_second() / 1e6;
        report.number(&format!("{beside}: cores that the services took"), cores, "")
    }
}

/// Asks on a thread of its own until it is told to stop, whatever the answers are. Says how many of each status came in a second.
fn flood(
    address: &str,
    request: &[u8],
    connections: usize,
    stop: &Arc<AtomicBool>,
) -> Result<BTreeMap<u16, u64>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    let answers = tokio::task::LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut connection = Connection::open(address).await?;
            let (address, request, stop) = (address.to_owned(), request.to_vec(), Arc::clone(stop));
            tasks.push(tokio::task::spawn_local(async move {
                let mut answers = BTreeMap::<u16, u64>::new();
                while !stop.load(Ordering::SeqCst) {
                    match connection.exchange(&request).await {
                        Ok((status, _)) => *answers.entry(status).or_default() += 1,
                        Err(_) => connection = Connection::open(&address).await?,
                    }
                }
                Ok::<_, Failure>(answers)
            }));
        }
        let mut all: BTreeMap<u16, u64> = BTreeMap::new();
        for task in tasks {
            for (status, count) in task.await?? {
                *all.entry(status).or_default() += count;
            }
        }
        Ok::<_, Failure>(all)
    })?;
    let seconds = began.elapsed().as_secs().max(1);
    Ok(answers.into_iter().map(|(status, count)| (status, count / seconds)).collect())
}
