//! Signals of the process.
//!
//! Guarantees that SIGTERM, SIGINT and SIGQUIT end it in order, and that SIGHUP makes it check its files at once.
//! SIGUSR1 and SIGUSR2, with which operators ask other programs for their status, do nothing.

use std::{future::Future, io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::StartError;

/// Ends when the process is asked to stop. Call it early: signals count from then on.
///
/// # Errors
/// The handlers cannot be installed.
pub fn shutdown_signal() -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
    let on = |kind| {
        signal(kind).map_err(|error: io::Error| StartError::new(format!("Signals cannot be handled ({error}).")))
    };
    let (mut terminate, mut interrupt) = (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    let mut quit = on(SignalKind::quit())?;
    for kind in [SignalKind::hangup(), SignalKind::user_defined1(), SignalKind::user_defined2()] {
        // The handler stays for the life of the process: without it the signal would kill.
        drop(on(kind)?);
    }
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Whether a process stops because it has lost its database.
#[derive(Debug)]
pub struct Loss(oneshot::Receiver<()>);

impl Loss {
    /// The error of a process that stopped because of it.
    ///
    /// # Errors
    /// It did.
    pub fn check(mut self) -> Result<(), StartError> {
        match self.0.try_recv() {
            Ok(()) => Err(StartError::new(
                "Another copy of this service uses the database, or it went back to an older state; this one has stopped.",
            )),
            Err(_) => Ok(()),
        }
    }
}

/// Ends when the process is asked to stop, or when it has `lost` its database, whichever is first.
pub fn shutdown_or_loss(
    shutdown: impl Future<Output = ()> + Send + 'static,
    lost: impl Future<Output = ()> + Send + 'static,
) -> (impl Future<Output = ()> + Send + 'static, Loss) {
    let (report, loss) = oneshot::channel();
    let ends = async move {
        tokio::select! {
            () = shutdown => {}
            () = lost => {
                let _nobody_asks = report.send(());
            }
        }
    };
    (ends, Loss(loss))
}

/// The times to check files: at an interval, and at once after a SIGHUP.
#[derive(Debug)]
pub struct Looks {
    ticks: Interval,
    hangup: Option<Signal>,
}

/// The reason for checking files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// The interval has passed.
    Due,
    /// The operator asked for it, so the files are complete.
    Asked,
}

impl Looks {
    /// Looks of which the first is due at once. Call it on a runtime.
    pub fn every(period: Duration) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Without the handler the files are looked at in time all the same.
        Self { ticks, hangup: signal(SignalKind::hangup()).ok() }
    }

    /// Waits until it is time.
    pub async fn next(&mut self) -> Look {
        let asked = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.ticks.tick() => Look::Due,
            _ = asked => Look::Asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{Signal, getpid, kill_process};

    use super::*;

    /// Signals reach the whole process, which runs these tests at once.
    static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

    #[tokio::test]
    async fn hangup_brings_every_look_forward_and_is_not_lost_while_one_is_made() {
        let _alone = ALONE.lock().await;
        let mut looks = [Looks::every(Duration::from_hours(1)), Looks::every(Duration::from_hours(1))];
        for looks in &mut looks {
            assert_eq!(looks.next().await, Look::Due);
        }
        // Nobody waits at this moment.
        kill_process(getpid(), Signal::HUP).unwrap();
        for looks in &mut looks {
            assert_eq!(looks.next().await, Look::Asked);
        }
    }

    #[tokio::test]
    async fn signals_that_mean_nothing_are_ignored_and_one_that_asks_to_stop_is_heard() {
        let _alone = ALONE.lock().await;
        let stop = shutdown_signal().unwrap();
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::QUIT] {
            kill_process(getpid(), signal).unwrap();
        }
        stop.await;
    }

    #[tokio::test]
    async fn process_that_lost_its_database_ends_with_an_error_and_one_that_was_stopped_without() {
        let (ends, loss) = shutdown_or_loss(std::future::pending(), std::future::ready(()));
        ends.await;
        assert!(loss.check().unwrap_err().sentence.contains("Another copy"));
        let (ends, loss) = shutdown_or_loss(std::future::ready(()), std::future::pending());
        ends.await;
        assert!(loss.check().is_ok());
    }
}
