//! Time as an argument: what the client reads and sleeps by, so that tests and simulations bring their own.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::LazyLock,
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

    /// Both clocks at once, for what asks often and is content with hundredths of a second, such as whether a token that is
    /// at hand still counts.
    ///
    /// The default reads [`now`](Self::now) and [`instant`](Self::instant). The system's own clock reads what Linux keeps
    /// ready at each of its ticks, which costs a tenth of that.
    fn reading(&self) -> ClockReading {
        ClockReading {
            wall: self
                .now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            monotonic: self.instant().saturating_duration_since(*ORIGIN),
        }
    }
}

/// What monotonic readings are counted from: the first of them.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What both clocks said at one moment. See [`Clock::reading`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// Wall time, since 1970.
    pub wall: Duration,
    /// Monotonic time, since some moment that is the same for all readings of one clock.
    pub monotonic: Duration,
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

    #[cfg(all(feature = "tokens", any(target_os = "linux", target_os = "android")))]
    fn reading(&self) -> ClockReading {
        use rustix::time::{ClockId, Timespec, clock_gettime};

        // Neither is ever negative on a machine whose clock is set to after 1970.
        let duration = |time: Timespec| {
            Duration::new(
                u64::try_from(time.tv_sec).unwrap_or_default(),
                u32::try_from(time.tv_nsec).unwrap_or_default(),
            )
        };
        ClockReading {
            wall: duration(clock_gettime(ClockId::RealtimeCoarse)),
            monotonic: duration(clock_gettime(ClockId::MonotonicCoarse)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clocks_go_along_with_the_precise_ones() {
        let clock = SystemClock;
        let first = clock.reading();
        let wall = clock
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        assert!(wall.abs_diff(first.wall) < Duration::from_secs(1));
        let began = Instant::now();
        let mut second = clock.reading();
        while second.monotonic == first.monotonic && began.elapsed() < Duration::from_secs(5) {
            second = clock.reading();
        }
        assert!(second.monotonic > first.monotonic);
    }
}
