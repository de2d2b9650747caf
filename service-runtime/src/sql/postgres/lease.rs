//! The one copy of a service that may use a database.
//!
//! A copy that starts writes a random generation into the database, and renews its lease there twice a second with the
//! next number. It serves while its last renewal is younger than two seconds, also what it has in memory. Another copy
//! may take over when it has seen the same number for three seconds. Both measure with the clock of their machine that
//! runs on in a suspend; the server's clock decides nothing.
//!
//! Every transaction compares the generation and the number. So after a takeover the former copy does nothing more: a
//! write looks under a lock of the table that the takeover waits for, and none is in flight when the next copy reads its
//! first row. And a copy whose database went back to an older state, by a restore or a failover, sees a number from
//! before its last renewal.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::Duration,
};

use shared_proto::encoding::random;
use tokio::sync::watch;

use super::{
    super::{Schema, SqlError, Tx, location::Missing},
    Server, schema,
    session::{DURABILITY, Session, lossy},
};
use crate::{StartError, process::boot_clock};

/// How long a renewal lets a copy serve.
const LIFE: Duration = Duration::from_secs(2);
/// How long the next copy watches before it takes over. Longer than [`LIFE`], because clocks run at different speeds.
const WATCH: Duration = Duration::from_secs(3);
/// How often the lease is renewed.
const RENEWAL: Duration = Duration::from_millis(500);
/// How often a start looks at the lease of another copy.
const LOOK: Duration = Duration::from_millis(100);
/// How long a start waits for transactions of a copy whose lease has ended.
const PATIENCE: Duration = Duration::from_secs(15);

/// The lease of this process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    generation: String,
    /// The number of the last renewal that the server has confirmed.
    confirmed: AtomicU64,
    /// The number of the last renewal that was tried.
    tried: AtomicU64,
    /// Milliseconds of the boot clock until which the copy may serve.
    live_until: AtomicU64,
    /// Another copy has taken over, or the database went back.
    lost: watch::Sender<bool>,
}

/// The thread that renews. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Renewal {
    stop: Sender<Sender<()>>,
}

/// The row of the table of copies.
#[derive(PartialEq, Eq)]
struct Found {
    generation: String,
    renewal: u64,
    is_held: bool,
}

/// How the columns of [`Found`] are asked for.
const FOUND: &str = "SELECT generation, renewal, held FROM service_copy";

impl Lease {
    /// Takes the database over, brings its schema up to date, and renews the lease until [`Renewal::release`].
    ///
    /// # Errors
    /// The server cannot be used, another copy renews its lease, or the schema is foreign, newer or missing.
    pub(super) fn take(server: &Server, schema: &Schema, missing: Missing) -> Result<(Self, Renewal), StartError> {
        let lease = Self(Arc::new(State {
            generation: hex::encode(random::<16>()),
            confirmed: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            live_until: AtomicU64::new(0),
            lost: watch::Sender::new(false),
        }));
        let (stop, stopped) = channel();
        let (report, begun) = channel();
        let (kept, server, schema) = (lease.clone(), server.clone(), *schema);
        let run = move || match kept.begin(&server, &schema, missing) {
            Ok(session) => {
                let _caller_waits = report.send(Ok(()));
                kept.keep(&server, session, &stopped);
            }
            Err(error) => drop(report.send(Err(error))),
        };
        let cannot = |error| StartError::new(format!("A thread cannot be started ({error})."));
        thread::Builder::new().name("postgres-lease".to_owned()).spawn(run).map_err(cannot)?;
        begun.recv().map_err(|_| StartError::new("The database could not be taken over."))??;
        Ok((lease, Renewal { stop }))
    }

    /// The number of the last confirmed renewal, to be taken before a transaction begins.
    pub(super) fn confirmed(&self) -> u64 {
        self.0.confirmed.load(Ordering::SeqCst)
    }

    /// Whether a transaction that found this row is of this copy, and of a database that did not go back since
    /// `confirmed`.
    pub(super) fn is_own(&self, row: &[String], confirmed: u64) -> bool {
        let [generation, renewal] = row else { return false };
        *generation == self.0.generation && renewal.parse().is_ok_and(|found: u64| found >= confirmed)
    }

    /// Whether this copy may serve.
    pub(super) fn is_live(&self) -> bool {
        milliseconds(boot_clock()) < self.0.live_until.load(Ordering::SeqCst) && !*self.0.lost.borrow()
    }

    /// Ends this copy for good.
    pub(super) fn lose(&self) {
        if !self.0.lost.send_replace(true) {
            tracing::error!(
                "another copy of this service uses the database, or it went back to an older state: nothing more is served"
            );
        }
    }

    /// Returns when this copy was ended for good.
    pub(super) async fn lost(&self) {
        let mut lost = self.0.lost.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _is_lost = lost.wait_for(|lost| *lost).await;
    }

    /// Takes over, once the lease of the former copy has ended.
    fn begin(&self, server: &Server, schema: &Schema, missing: Missing) -> Result<Session, StartError> {
        let mut session = Session::connect(server)?.with_limit(PATIENCE);
        schema::prepare(&mut session, server, schema, missing)?;
        let failed =
            |error: SqlError| StartError::new(format!("The database {server} cannot be taken over ({error})."));
        let begun = boot_clock();
        let first = Found::read(&mut session).map_err(failed)?;
        if first.is_held {
            tracing::info!("waiting for the lease of the copy before, which did not give it back: some seconds");
        }
        loop {
            let watched = boot_clock().saturating_sub(begun);
            let seen = Found::read(&mut session).map_err(failed)?;
            if seen.is_held && seen != first {
                return Err(StartError::new(format!(
                    "Another copy of this service uses the database {server}; stop that one first."
                )));
            }
            if !seen.is_held || watched >= WATCH {
                missing.refuse_moved(&mut Tx::server(&mut session), server)?;
                match self.take_over(&mut session, &seen, missing) {
                    Ok(true) => break,
                    // Another copy was faster: the next look says so.
                    Ok(false) => {}
                    // The transactions of the former copy have not ended yet.
                    Err(error) if error.is_lock_timeout() && watched < PATIENCE => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            thread::sleep(LOOK);
        }
        schema::migrate(&mut session, server, schema, &self.0.generation)?;
        let mut kept = Some(session.with_limit(LIFE));
        self.renew(server, &mut kept);
        kept.filter(|_| self.is_live()).ok_or_else(|| failed(SqlError::lost()))
    }

    /// Writes this generation, unless the database takes part in a move by now. Waits for the writes that are in flight.
    fn take_over(&self, session: &mut Session, seen: &Found, missing: Missing) -> Result<bool, SqlError> {
        let unmarked = if missing == Missing::Copy { "" } else { "AND to_regclass('store_move') IS NULL" };
        let taken = session.simple(&format!(
            "BEGIN; LOCK TABLE service_copy IN EXCLUSIVE MODE;
             UPDATE service_copy SET generation = '{}', renewal = 0, held = TRUE
             WHERE generation = '{}' AND renewal = {} {unmarked} RETURNING 1; COMMIT",
            self.0.generation, seen.generation, seen.renewal
        ));
        if taken.is_err() {
            session.simple("ROLLBACK")?;
        }
        Ok(!taken?.is_empty())
    }

    fn keep(&self, server: &Server, session: Session, stopped: &Receiver<Sender<()>>) {
        let mut session = Some(session);
        let released = loop {
            match stopped.recv_timeout(RENEWAL) {
                Err(RecvTimeoutError::Timeout) => self.renew(server, &mut session),
                Err(RecvTimeoutError::Disconnected) => break None,
                Ok(reply) => break Some(reply),
            }
        };
        // First, because another copy may start as soon as the lease is given back.
        self.0.live_until.store(0, Ordering::SeqCst);
        if let Some(session) = &mut session {
            let _ends_by_itself = session
                .simple(&format!("UPDATE service_copy SET held = FALSE WHERE generation = '{}'", self.0.generation));
        }
        if let Some(reply) = released {
            let _caller_gone = reply.send(());
        }
    }

    /// Writes the next number. Nobody knows whether renewals counted whose answers were lost.
    fn renew(&self, server: &Server, session: &mut Option<Session>) {
        let was_live = self.is_live();
        if session.is_none() {
            match Session::connect(server) {
                Ok(connected) => *session = Some(connected.with_limit(LIFE)),
                Err(error) if was_live => tracing::warn!(%error, "the connection to the database was lost"),
                Err(_) => {}
            }
        }
        let Some(connected) = session else { return };
        let (asked, confirmed) = (boot_clock(), self.confirmed());
        let tried = self.0.tried.fetch_add(1, Ordering::SeqCst);
        let next = tried + 1;
        let renewed = connected.simple(&format!(
            "UPDATE service_copy SET renewal = {next}
             WHERE generation = '{}' AND renewal BETWEEN {confirmed} AND {tried} RETURNING {DURABILITY}",
            self.0.generation
        ));
        match renewed.as_ref().map(|rows| rows.first()) {
            Ok(None) => self.lose(),
            Ok(Some(row)) => {
                self.0.confirmed.store(next, Ordering::SeqCst);
                if let Some(setting) = lossy(row, server) {
                    if was_live {
                        tracing::error!(setting, "the server may lose what it has committed now: it is not used");
                    }
                    return;
                }
                self.0.live_until.store(milliseconds(asked + LIFE), Ordering::SeqCst);
                if !was_live && next > 1 && self.is_live() {
                    tracing::warn!("the database is in use again");
                }
            }
            Err(error) => {
                if was_live {
                    tracing::warn!(%error, "the lease of the database was not renewed");
                }
                *session = None;
            }
        }
    }
}

impl Found {
    fn read(session: &mut Session) -> Result<Self, SqlError> {
        let rows = session.simple(FOUND)?;
        let Some([generation, renewal, held]) = rows.first().map(Vec::as_slice) else {
            return Err(SqlError::unreadable());
        };
        let renewal = renewal.parse().map_err(|_| SqlError::unreadable())?;
        Ok(Self { generation: generation.clone(), renewal, is_held: held == "t" })
    }
}

impl Renewal {
    /// Gives the lease back, so that the next copy need not wait for its end.
    pub(super) fn release(&self) {
        let (reply, released) = channel();
        if self.stop.send(reply).is_ok() {
            let _ended = released.recv();
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
