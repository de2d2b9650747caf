//! The one copy of a service that may use a database.
//!
//! A copy that starts writes a generation of its own into the database, and renews its lease there twice a second. It
//! serves while its last renewal is younger than two seconds by its own clock, also what it has in memory. Another copy
//! may take over three seconds after the last renewal by the clock of the server. From then on every transaction of the
//! former copy fails, because it compares the generation: a write does so under a lock of the table that the change of
//! generation waits for, so none is in flight when the next copy reads its first row.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use shared_proto::encoding::random;

use super::{
    super::{Schema, SqlError, Tx, location::Missing},
    Server, schema,
    session::{DURABILITY, Session, lossy},
};
use crate::StartError;

/// How long a renewal lets a copy serve, by its own clock.
const LIFE: Duration = Duration::from_secs(2);
/// The age of a renewal, by the server's clock, after which another copy may take over. Longer than [`LIFE`] by more than
/// two clocks differ meanwhile.
const LAPSED: &str = "interval '3 seconds'";
/// How often it is renewed.
const RENEWAL: Duration = Duration::from_millis(500);
/// How often a start looks whether a lease has lapsed.
const LOOK: Duration = Duration::from_millis(100);
/// How long a start waits for transactions of a copy whose lease has lapsed.
const PATIENCE: Duration = Duration::from_secs(15);

/// The lease of this process. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Lease(Arc<State>);

#[derive(Debug)]
struct State {
    generation: String,
    begun: Instant,
    /// Milliseconds after `begun` until which the copy may serve.
    live_until: AtomicU64,
    /// Another copy has taken over.
    replaced: AtomicBool,
}

/// The thread that renews. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Renewal {
    stop: Sender<Sender<()>>,
}

impl Lease {
    /// Takes the database over, brings its schema up to date, and renews the lease until [`Renewal::release`].
    ///
    /// # Errors
    /// The server cannot be used, another copy has a live lease, or the schema is foreign, newer or missing.
    pub(super) fn take(server: &Server, schema: &Schema, missing: Missing) -> Result<(Self, Renewal), StartError> {
        let lease = Self(Arc::new(State {
            generation: hex::encode(random::<16>()),
            begun: Instant::now(),
            live_until: AtomicU64::new(0),
            replaced: AtomicBool::new(false),
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

    /// The name of this copy in the database.
    pub(super) fn generation(&self) -> &str {
        &self.0.generation
    }

    /// Whether this copy may serve.
    pub(super) fn is_live(&self) -> bool {
        let now = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        now < self.0.live_until.load(Ordering::SeqCst) && !self.0.replaced.load(Ordering::SeqCst)
    }

    /// Ends this copy: another one has the database.
    pub(super) fn lose(&self) {
        if !self.0.replaced.swap(true, Ordering::SeqCst) {
            tracing::error!("another copy of this service uses the database now: this one serves nothing more");
        }
    }

    fn renewed(&self, asked: Instant) {
        let until = (asked + LIFE).saturating_duration_since(self.0.begun).as_millis();
        self.0.live_until.store(u64::try_from(until).unwrap_or(0), Ordering::SeqCst);
    }

    /// Takes over, once the lease of the former copy has lapsed.
    fn begin(&self, server: &Server, schema: &Schema, missing: Missing) -> Result<Session, StartError> {
        let mut session = Session::connect(server)?;
        schema::prepare(&mut session, server, schema, missing)?;
        let failed =
            |error: SqlError| StartError::new(format!("The database {server} cannot be taken over ({error})."));
        let (begun, mut first) = (Instant::now(), None);
        loop {
            let found = session.simple(&format!(
                // A renewal from the future is of a clock that was set back.
                "SELECT renewed_at, renewed_at BETWEEN clock_timestamp() - {LAPSED} AND clock_timestamp() + {LAPSED}
                 FROM service_copy"
            ));
            let found = found.map_err(failed)?;
            let Some([renewed, lives]) = found.first().map(Vec::as_slice) else {
                return Err(failed(SqlError::unreadable()));
            };
            if first.get_or_insert_with(|| renewed.clone()) != renewed {
                return Err(StartError::new(format!(
                    "Another copy of this service uses the database {server}; stop that one first."
                )));
            }
            if lives == "f" {
                missing.refuse_moved(&mut Tx::server(&mut session), server)?;
                let asked = Instant::now();
                match self.take_over(&mut session, renewed, missing) {
                    Ok(true) => {
                        self.renewed(asked);
                        schema::migrate(&mut session, server, schema)?;
                        return Ok(session);
                    }
                    // Another copy was faster, or the transactions of the former one have not ended yet.
                    Ok(false) => {}
                    Err(error) if !error.is_lost() && begun.elapsed() < PATIENCE => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            thread::sleep(LOOK);
        }
    }

    /// Writes this generation, unless the database takes part in a move by now. Waits for the writes that are in flight.
    fn take_over(&self, session: &mut Session, seen: &str, missing: Missing) -> Result<bool, SqlError> {
        let unmarked = if missing == Missing::Copy { "" } else { "AND to_regclass('store_move') IS NULL" };
        let taken = session.simple(&format!(
            "BEGIN; LOCK TABLE service_copy IN EXCLUSIVE MODE;
             UPDATE service_copy SET generation = '{}', renewed_at = clock_timestamp()
             WHERE renewed_at = '{seen}' {unmarked} RETURNING 1; COMMIT",
            self.generation()
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
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
                Ok(reply) => break Some(reply),
            }
            self.renew(server, &mut session);
        };
        if let Some(session) = &mut session {
            let _lapses_by_itself = session.simple(&format!(
                "UPDATE service_copy SET renewed_at = '-infinity' WHERE generation = '{}'",
                self.generation()
            ));
        }
        self.0.live_until.store(0, Ordering::SeqCst);
        if let Some(reply) = released {
            let _caller_gone = reply.send(());
        }
    }

    fn renew(&self, server: &Server, session: &mut Option<Session>) {
        let was_live = self.is_live();
        if session.is_none() {
            match Session::connect(server) {
                Ok(connected) => *session = Some(connected),
                Err(error) if was_live => tracing::warn!(%error, "the connection to the database was lost"),
                Err(_) => {}
            }
        }
        let Some(connected) = session else { return };
        let asked = Instant::now();
        let renewed = connected.simple(&format!(
            "UPDATE service_copy SET renewed_at = clock_timestamp() WHERE generation = '{}' RETURNING {DURABILITY}",
            self.generation()
        ));
        match renewed.as_ref().map(|rows| rows.first()) {
            Ok(None) => self.lose(),
            Ok(Some(row)) => {
                if let Some(setting) = lossy(row, server) {
                    tracing::error!(setting, "the server may lose what it has committed now: it is not used");
                    return;
                }
                self.renewed(asked);
                if !was_live && self.is_live() {
                    tracing::warn!("the database is in use again");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the lease of the database was not renewed");
                *session = None;
            }
        }
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
