//! The request budget of a store, which all its integrations share: who may send the next request, and when.
//! Here are the words for it and the seam at which a fleet can put a budget of its own.

#[cfg(test)]
mod header_tests;
mod held_permit;
mod ledger;
mod limiter;
mod per_store;
mod swept_map;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::held_permit::HeldPermit;
pub use self::limiter::LocalBudgets;
pub(crate) use self::per_store::{StoreLine, Stores};
#[cfg(feature = "tokens")]
pub(crate) use self::per_store::{Successes, SuccessesSoFar};
use crate::{BudgetReading, Clock};

/// How much of a store's budget this process takes for itself.
///
/// The vendor grants 150 requests a minute for the whole store. The default starts with 135 a minute, 15 at once after a
/// pause, until a reply tells the allocation; then it takes up to the whole of it, and less where others are seen to spend
/// as well. A 429 stops everybody for the time that the service names, up to [`max_retry_after`](Self::max_retry_after),
/// whatever the limit is; then one request goes alone, and the others follow when it is answered by anything but another
/// 429.
///
/// Rate-limit headers of any other response have no effect beyond the documented minute: values that the documented service
/// cannot mean are clamped, and whatever the headers say, one request is sent in each minute as a probe.
///
/// ```
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::BudgetLimit;
///
/// // A third of the store's budget, for a job in the background, or for each of three replicas.
/// let gentle = BudgetLimit::at_most(50, Duration::from_secs(60), 5);
/// # drop(gentle);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BudgetLimit {
    interval: Duration,
    burst: u32,
    follows_the_service: bool,
    longest_retry_after: Duration,
}

const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(15 * 60);

/// A longer interval is taken for this one, which every clock can be added to.
const LONGEST_INTERVAL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

impl BudgetLimit {
    /// What the service grants: 135 requests a minute with a burst of 15 until it has said, then the allocation.
    #[must_use]
    pub fn of_the_service() -> Self {
        Self {
            follows_the_service: true,
            ..Self::at_most(135, Duration::from_secs(60), 15)
        }
    }

    /// Never more than `requests` in each `window` in the long run, of which `burst` may go at once after a pause; less
    /// where the service grants less. 0 requests and a burst of 0 are taken for 1.
    #[must_use]
    pub fn at_most(requests: u32, window: Duration, burst: u32) -> Self {
        Self {
            interval: (window / requests.max(1)).min(LONGEST_INTERVAL),
            burst: burst.max(1),
            follows_the_service: false,
            longest_retry_after: LONGEST_RETRY_AFTER,
        }
    }

    /// No limit but the service's refusals: whoever takes it answers for the store's budget.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::at_most(1, Duration::ZERO, 1)
    }

    /// The longest wait after a 429 that is honoured. 15 minutes by default; less than a second is taken for a second.
    ///
    /// The vendor documents a limit per minute, so a longer wait is likely a mistake, and one mistaken response must not
    /// stop a store for a day. Where a 429 asks for more, the store is tried again after this time by one request alone.
    /// [`Error::retry_after`](crate::Error::retry_after) still tells what the service asked for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use bigcommerce_b2b_auth::BudgetLimit;
    ///
    /// let limit = BudgetLimit::of_the_service().max_retry_after(Duration::from_secs(5 * 60));
    /// # drop(limit);
    /// ```
    #[must_use]
    pub fn max_retry_after(self, longest: Duration) -> Self {
        Self {
            longest_retry_after: longest.max(Duration::from_secs(1)),
            ..self
        }
    }

    fn is_unlimited(self) -> bool {
        self.interval.is_zero()
    }

    fn interval(self) -> Duration {
        self.interval
    }

    fn burst(self) -> u32 {
        self.burst
    }

    fn follows_the_service(self) -> bool {
        self.follows_the_service
    }

    pub(crate) fn longest_retry_after(self) -> Duration {
        self.longest_retry_after
    }
}

impl Default for BudgetLimit {
    /// [`of_the_service`](Self::of_the_service).
    fn default() -> Self {
        Self::of_the_service()
    }
}

/// Who goes first when several wait for the budget. Within one priority it is first come, first served, and a call that is
/// repeated counts from when it came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Priority {
    /// Somebody waits for the outcome.
    #[default]
    Interactive,
    /// Somebody waits, and has something to fall back on: a token that is about to end, and still counts.
    Renewal,
    /// Nobody waits: it goes when nobody else is in line.
    Background,
}

/// The budgets of stores: what a client asks for the budget of each store that it talks to.
///
/// The default is a [`LocalBudgets`], which counts what this process sends. Implement it, together with
/// [`RequestBudget`], to share a budget between processes.
pub trait RequestBudgets: fmt::Debug + Send + Sync + 'static {
    /// The budget of a store. Asking twice for one store gives the same budget. `store_hash` is `None` for credentials that
    /// do not say which store they belong to.
    fn of_store(&self, store_hash: Option<&str>, clock: &Arc<dyn Clock>) -> Arc<dyn RequestBudget>;
}

/// The request budget of one store.
///
/// Every attempt takes a permit before it is sent and settles it afterwards, whatever became of it: a permit whose
/// attempt is dropped half way is settled with [`PermitOutcome::Unknown`].
pub trait RequestBudget: fmt::Debug + Send + Sync + 'static {
    /// A permit if one can be had without waiting and without getting ahead of anybody.
    fn try_acquire(&self, ask: &PermitAsk) -> Option<Permit>;

    /// Completes when the attempt may be sent. Dropped before that, it has taken nothing.
    ///
    /// # Errors
    /// [`TooLate`] as soon as it is known that the permit would come after the deadline.
    fn acquire<'a>(&'a self, ask: PermitAsk) -> PermitFuture<'a>;

    /// Says what became of a permit. Called once for each.
    fn settle(&self, permit: Permit, outcome: &PermitOutcome);

    /// What can be said of the budget now.
    fn status(&self) -> BudgetStatus;
}

/// What [`RequestBudget::acquire`] returns.
pub type PermitFuture<'a> = Pin<Box<dyn Future<Output = Result<Permit, TooLate>> + Send + 'a>>;

/// A wish for a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PermitAsk {
    /// Who goes first.
    pub priority: Priority,
    /// When the permit is of no use any more, on the client's [`Clock`]. `None` waits as long as it takes.
    pub deadline: Option<Instant>,
    /// Whether the call has had a permit before. Then it came before everybody of its priority who still waits for a first
    /// one, and goes before them.
    pub repeats: bool,
}

impl PermitAsk {
    /// A wish without a deadline.
    #[must_use]
    pub fn new(priority: Priority) -> Self {
        Self {
            priority,
            deadline: None,
            repeats: false,
        }
    }

    /// The same for a call that has had a permit before.
    #[must_use]
    pub fn again(self) -> Self {
        Self {
            repeats: true,
            ..self
        }
    }

    /// The same with a deadline.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self {
            deadline: Some(deadline),
            ..self
        }
    }
}

/// The right to send one request. The number means something to the budget that gave it, and to nobody else.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit(u64);

impl Permit {
    /// A permit that the budget will know again by this number.
    #[must_use]
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that the budget gave it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.0
    }
}

/// A permit would come after the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TooLate {
    /// In how long it would have come at the earliest, as far as is known.
    pub available_in: Duration,
}

impl TooLate {
    /// It would have come in this time at the earliest.
    #[must_use]
    pub fn new(available_in: Duration) -> Self {
        Self { available_in }
    }
}

/// What became of a permit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermitOutcome {
    /// Nothing was sent: the permit is given back.
    NotSent,
    /// It may have been sent, and no reply came.
    Unknown,
    /// The service answered.
    Answered {
        /// What the reply said of the budget.
        reading: BudgetReading,
    },
    /// The service answered with 429.
    Refused {
        /// What the reply said of the budget.
        reading: BudgetReading,
        /// How long it asked to wait, if it did.
        wait: Option<Duration>,
    },
}

/// What is left of a store's budget, as far as this process can tell. See [`Client::budget`](crate::Client::budget).
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct BudgetStatus {
    /// Requests that the service grants the store in a window; `None` until a reply has said so.
    pub allocated: Option<u64>,
    /// The length of the window; the documented minute until a reply has said so.
    pub window: Duration,
    /// Requests that are left in this window: what the service said, less what was sent since. `None` until it has said
    /// anything.
    pub left: Option<u64>,
    /// Requests that are under way.
    pub under_way: usize,
    /// Calls that wait for a permit.
    pub waiting: usize,
    /// Requests in a window that others are seen to spend: an estimate, 0 when there is no sign of any.
    pub others_per_window: f64,
    /// In how long the next permit can be had by a call that comes now with nobody in line: zero for at once, `None` when
    /// it depends on the response to a request that is under way.
    pub next_in: Option<Duration>,
    /// For how long everybody is stopped by a 429; `None` when nobody is. Never more than
    /// [`max_retry_after`](BudgetLimit::max_retry_after) of the limit.
    pub closed_for: Option<Duration>,
}

impl BudgetStatus {
    /// The status of a budget of which nothing is known yet, for implementations of [`RequestBudget`] to start from.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            allocated: None,
            window: Duration::from_secs(60),
            left: None,
            under_way: 0,
            waiting: 0,
            others_per_window: 0.0,
            next_in: Some(Duration::ZERO),
            closed_for: None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        sync::atomic::{AtomicU64, Ordering},
        time::SystemTime,
    };

    use super::*;

    /// A clock that is moved by hand.
    #[derive(Debug)]
    pub(crate) struct ByHand {
        start: Instant,
        seconds: AtomicU64,
    }

    impl ByHand {
        pub(crate) fn start() -> Arc<Self> {
            Arc::new(Self {
                start: Instant::now(),
                seconds: AtomicU64::new(0),
            })
        }

        pub(crate) fn pass(&self, seconds: u64) {
            self.seconds.fetch_add(seconds, Ordering::Relaxed);
        }
    }

    impl Clock for ByHand {
        fn now(&self) -> SystemTime {
            let passed = self.seconds.load(Ordering::Relaxed);
            SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + passed)
        }

        fn instant(&self) -> Instant {
            self.start + Duration::from_secs(self.seconds.load(Ordering::Relaxed))
        }

        fn sleep(&self, _: Duration) -> crate::Sleep {
            unreachable!("nobody waits here")
        }
    }

    #[test]
    fn limits_are_what_they_say() {
        let minute = Duration::from_secs(60);
        let of_the_service = BudgetLimit::default();
        assert_eq!(of_the_service, BudgetLimit::of_the_service());
        assert!(of_the_service.follows_the_service() && !of_the_service.is_unlimited());
        assert_eq!(of_the_service.interval(), minute / 135);
        assert_eq!(of_the_service.burst(), 15);
        let own = BudgetLimit::at_most(60, minute, 5);
        assert!(!own.follows_the_service() && !own.is_unlimited());
        assert_eq!((own.interval(), own.burst()), (Duration::from_secs(1), 5));
        let least = BudgetLimit::at_most(0, minute, 0);
        assert_eq!((least.interval(), least.burst()), (minute, 1));
        assert!(BudgetLimit::unlimited().is_unlimited());
        for limit in [of_the_service, own, BudgetLimit::unlimited()] {
            assert_eq!(limit.longest_retry_after(), 15 * minute);
            let gentle = limit.max_retry_after(2 * minute);
            assert_eq!(gentle.longest_retry_after(), 2 * minute);
            assert_eq!(
                (gentle.interval(), gentle.burst()),
                (limit.interval(), limit.burst())
            );
            assert_eq!(
                limit.max_retry_after(Duration::ZERO).longest_retry_after(),
                Duration::from_secs(1)
            );
        }
    }

    #[test]
    fn a_wish_is_built_up() {
        let now = Instant::now();
        let ask = PermitAsk::new(Priority::Background);
        assert_eq!(
            (ask.priority, ask.deadline, ask.repeats),
            (Priority::Background, None, false)
        );
        let ask = ask.until(now).again();
        assert_eq!(
            (ask.priority, ask.deadline, ask.repeats),
            (Priority::Background, Some(now), true)
        );
        assert!(
            Priority::Interactive < Priority::Renewal && Priority::Renewal < Priority::Background
        );
    }

    #[test]
    fn of_an_unknown_budget_nothing_is_told() {
        let status = BudgetStatus::unknown();
        assert_eq!(
            (status.allocated, status.left, status.closed_for),
            (None, None, None)
        );
        assert_eq!((status.under_way, status.waiting), (0, 0));
        assert_eq!(status.next_in, Some(Duration::ZERO));
    }
}
