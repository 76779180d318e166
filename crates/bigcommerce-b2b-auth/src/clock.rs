//! Time as an argument: what the client reads and sleeps by, so that tests and simulations bring their own.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, Instant, SystemTime},
};

/// What [`Clock::sleep`] returns.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The clock of a client: wall time, monotonic time, and sleep.
///
/// The default is the system's clock and tokio's timer. Replace it to see or to shorten the waits for the budget and for
/// repetitions. What ends an attempt or a call that takes too long is not among them: that runs on tokio's timer, which a
/// test can pause.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Wall time, which token expiry is measured by.
    fn now(&self) -> SystemTime;

    /// Monotonic time, which waits are measured by.
    fn instant(&self) -> Instant;

    /// Completes when `duration` has passed on this clock: afterwards, [`instant`](Self::instant) is at least that much later
    /// than before.
    fn sleep(&self, duration: Duration) -> Sleep;
}

/// The system's wall clock, and tokio's monotonic clock and timer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}
