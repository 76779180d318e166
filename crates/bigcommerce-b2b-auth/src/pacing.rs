//! Keeping within the store's budget: every attempt takes its turn. The pace is fixed, and just below the 150 requests a
//! minute that all integrations of a store share: it keeps this client within them, and makes no room for others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use crate::Clock;

/// How fast requests may follow one another, per store.
///
/// ```
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::Pace;
///
/// // A third of the store's budget, for a job in the background.
/// let gentle = Pace::new(50, Duration::from_secs(60), 5);
/// # drop(gentle);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From one request to the next, in the long run.
    interval: Duration,
    /// How far ahead of that a burst may get.
    headroom: Duration,
}

impl Pace {
    /// `requests` in each `window` in the long run, of which `burst` may go at once after a pause. 0 requests and a burst
    /// of 0 are taken for 1; a window of zero is no pace at all.
    #[must_use]
    pub fn new(requests: u32, window: Duration, burst: u32) -> Self {
        let interval = window / requests.max(1);
        Self {
            interval,
            headroom: interval.saturating_mul(burst.max(1) - 1),
        }
    }

    /// No pace at all: whoever takes it answers for the store's budget.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            interval: Duration::ZERO,
            headroom: Duration::ZERO,
        }
    }
}

impl Default for Pace {
    /// 135 requests a minute and 15 at once after a pause: in no minute more than the store's 150.
    fn default() -> Self {
        Self::new(135, Duration::from_secs(60), 15)
    }
}

/// The turns of one store, in the order in which they were asked for.
#[derive(Debug)]
pub(crate) struct Pacer {
    pace: Pace,
    /// When the next request is due if all were evenly spread. Who waits for a turn holds the lock, and the lock is fair:
    /// whoever gives up while waiting has spent nothing and holds up nobody.
    next: tokio::sync::Mutex<Option<Instant>>,
}

impl Pacer {
    fn new(pace: Pace) -> Self {
        Self {
            pace,
            next: tokio::sync::Mutex::new(None),
        }
    }

    /// Completes when the caller's turn has come.
    pub(crate) async fn take_turn(&self, clock: &dyn Clock) {
        let mut next = self.next.lock().await;
        let now = clock.instant();
        let due = next.map_or(now, |next| next.max(now));
        let wait = due.duration_since(now).saturating_sub(self.pace.headroom);
        if !wait.is_zero() {
            clock.sleep(wait).await;
        }
        *next = Some(due.checked_add(self.pace.interval).unwrap_or(due));
    }
}

/// The pacers of all stores that a client and its relatives talk to: one for each store, kept while somebody uses it.
#[derive(Debug)]
pub(crate) struct Pacers {
    pace: Pace,
    by_store: Mutex<HashMap<String, Weak<Pacer>>>,
}

impl Pacers {
    pub(crate) fn new(pace: Pace) -> Self {
        Self {
            pace,
            by_store: Mutex::default(),
        }
    }

    /// The pacer of a store; one of its own for credentials that name no store.
    pub(crate) fn of(&self, store_hash: Option<&str>) -> Arc<Pacer> {
        let Some(store_hash) = store_hash else {
            return Arc::new(Pacer::new(self.pace));
        };
        let mut by_store = self.by_store.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pacer) = by_store.get(store_hash).and_then(Weak::upgrade) {
            return pacer;
        }
        by_store.retain(|_, pacer| pacer.strong_count() > 0);
        let pacer = Arc::new(Pacer::new(self.pace));
        by_store.insert(store_hash.to_owned(), Arc::downgrade(&pacer));
        pacer
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// tokio's clock, which is paused in these tests.
    #[derive(Debug)]
    struct Paused;

    impl Clock for Paused {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn instant(&self) -> Instant {
            tokio::time::Instant::now().into_std()
        }

        fn sleep(&self, duration: Duration) -> crate::clock::Sleep {
            Box::pin(tokio::time::sleep(duration))
        }
    }

    /// When each of `count` callers, one after the other, has its turn.
    async fn turns(pacer: &Pacer, count: usize) -> Vec<Duration> {
        let start = Paused.instant();
        let mut turns = Vec::new();
        for _ in 0..count {
            pacer.take_turn(&Paused).await;
            turns.push(Paused.instant() - start);
        }
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_the_rest_at_the_pace() {
        let turns = turns(&Pacer::new(Pace::default()), 150).await;
        assert!(turns.iter().take(15).all(Duration::is_zero), "{turns:?}");
        assert!(turns.iter().skip(15).all(|turn| !turn.is_zero()));
        // tokio's timer counts in whole milliseconds and rounds up.
        let expected = Duration::from_secs(60);
        assert!(turns[149] >= expected && turns[149] < expected + Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_earns_the_burst_again_and_no_more() {
        let pacer = Pacer::new(Pace::new(60, Duration::from_secs(60), 2));
        turns(&pacer, 10).await;
        tokio::time::advance(Duration::from_secs(1000)).await;
        let turns = turns(&pacer, 3).await;
        assert_eq!(turns, [0, 0, 1].map(Duration::from_secs));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_waiting_has_spent_nothing() {
        let pacer = Pacer::new(Pace::new(1, Duration::from_secs(60), 1));
        pacer.take_turn(&Paused).await;
        let gave_up = futures_util::future::join_all(
            (0..1000)
                .map(|_| tokio::time::timeout(Duration::from_secs(1), pacer.take_turn(&Paused))),
        )
        .await;
        assert!(gave_up.iter().all(Result::is_err));
        let waited = turns(&pacer, 1).await;
        assert_eq!(waited, [Duration::from_secs(59)]);
    }

    #[tokio::test(start_paused = true)]
    async fn extremes_are_no_panic_and_mean_what_they_say() {
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        for (pace, second_turn_comes) in [
            (Pace::new(0, Duration::ZERO, 0), true),
            (Pace::new(u32::MAX, Duration::MAX, u32::MAX), true),
            (Pace::unlimited(), true),
            (Pace::new(1, 10 * year, 1), false),
        ] {
            let pacer = Pacer::new(pace);
            pacer.take_turn(&Paused).await;
            let second = tokio::time::timeout(year, pacer.take_turn(&Paused)).await;
            assert_eq!(second.is_ok(), second_turn_comes, "{pace:?}");
        }
    }

    #[test]
    fn a_store_has_one_pacer_and_it_goes_with_its_last_user() {
        let pacers = Pacers::new(Pace::default());
        let first = pacers.of(Some("abc123"));
        assert!(Arc::ptr_eq(&first, &pacers.of(Some("abc123"))));
        assert!(!Arc::ptr_eq(&first, &pacers.of(Some("def456"))));
        assert!(!Arc::ptr_eq(&pacers.of(None), &pacers.of(None)));
        drop(first);
        drop(pacers.of(Some("ghi789")));
        assert_eq!(pacers.by_store.lock().unwrap().len(), 1);
    }
}
