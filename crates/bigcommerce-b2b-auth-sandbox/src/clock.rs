//! Where the sandbox reads the time, and how it writes it. Nothing else touches a clock:
//! everything takes the time as an argument, so that a test decides what time it is.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of the current time.
///
/// Every `Fn() -> SystemTime` is one, and so is [`ManualClock`].
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> SystemTime;
}

impl<F> Clock for F
where
    F: Fn() -> SystemTime + Send + Sync + 'static,
{
    fn now(&self) -> SystemTime {
        self()
    }
}

/// A clock that stands still until it is told otherwise. Clones share one time.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use bigcommerce_b2b_auth_sandbox::{ManualClock, Sandbox};
///
/// let clock = ManualClock::at_unix(1_800_000_000);
/// let sandbox = Sandbox::builder().clock(clock.clone()).build();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(sandbox.now(), UNIX_EPOCH + Duration::from_secs(1_800_000_060));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    time: Arc<Mutex<SystemTime>>,
}

impl ManualClock {
    /// A clock that shows `time`.
    #[must_use]
    pub fn new(time: SystemTime) -> Self {
        Self {
            time: Arc::new(Mutex::new(time)),
        }
    }

    /// A clock that shows the given Unix time, in seconds.
    #[must_use]
    pub fn at_unix(seconds: u64) -> Self {
        Self::new(
            UNIX_EPOCH
                .checked_add(Duration::from_secs(seconds))
                .unwrap_or(UNIX_EPOCH),
        )
    }

    /// Shows `time` from now on, whether it is later or earlier.
    pub fn set(&self, time: SystemTime) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Moves the time forward. A step beyond what the platform can represent leaves the time where
    /// it was.
    pub fn advance(&self, step: Duration) {
        let mut time = self.time.lock().unwrap_or_else(PoisonError::into_inner);
        *time = time.checked_add(step).unwrap_or(*time);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}

/// Whole seconds since 1970, and 0 for anything earlier.
pub(crate) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The time as an HTTP date, held within the years that the format can express (1970 to 9999).
pub(crate) fn http_date(time: SystemTime) -> String {
    const LAST_SECOND_OF_9999: u64 = 253_402_300_799;
    let seconds = unix_seconds(time).min(LAST_SECOND_OF_9999);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_time() {
        let clock = ManualClock::at_unix(1_000);
        let twin = clock.clone();
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(twin.now(), UNIX_EPOCH + Duration::from_millis(1_001_500));
        twin.set(UNIX_EPOCH);
        assert_eq!(unix_seconds(clock.now()), 0);
    }

    #[test]
    fn extreme_times_neither_panic_nor_wrap() {
        let clock = ManualClock::at_unix(u64::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(unix_seconds(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(
            http_date(UNIX_EPOCH - Duration::from_secs(1)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
        let far = UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(http_date(far), "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
