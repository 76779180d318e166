//! When a failed attempt is made again, and after how long. What may be repeated depends on the operation: making a
//! storefront token twice does no harm, making a server token twice leaves one behind.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use bigcommerce_b2b_auth_api::{Delivery, Operation};

use crate::telemetry::RetryCause;

/// How often and how patiently a call is repeated.
///
/// Repeated is what may pass by itself and does no harm twice:
///
/// | what happened | creating a server token, and operations that the SDK does not know to be repeatable | everything else |
/// |---|---|---|
/// | no connection, so that nothing was sent (but for a certificate that is refused) | repeated | repeated |
/// | the status 429 or 425: the request was not taken | repeated | repeated |
/// | the connection broke or time ran out after something was sent | not repeated | repeated |
/// | the status 408 or 5xx (but 501 and 505) | not repeated | repeated |
/// | any of these statuses as the code in the body of a success | not repeated | repeated |
/// | anything else | not repeated | not repeated |
///
/// After a response that may be the fault of its connection (one that broke off or timed out, a 408, a 5xx) the next attempt
/// is made over [another connection](crate::pipeline::transport::Transport#another-connection).
///
/// Where the service names a time, by `Retry-After`, `X-Retry-After` or, with a 429, its budget headers, the longest of
/// them is waited; that of a 429 up to [`BudgetLimit::max_retry_after`](crate::BudgetLimit::max_retry_after). Otherwise the
/// wait is drawn at random between zero and a bound that doubles each time. A wait that would end after
/// [`total_time`](RetryPolicyBuilder::total_time) or the call's deadline is not begun: the error comes at once, and
/// [`Error::retry_after`](crate::Error::retry_after) has the time that the service named.
///
/// ```
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::RetryPolicy;
///
/// let patient = RetryPolicy::builder().max_attempts(8).total_time(Duration::from_secs(300)).build();
/// # drop((patient, RetryPolicy::none()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, bon::Builder)]
#[builder(builder_type(doc {
    /// Builds a [`RetryPolicy`].
}))]
pub struct RetryPolicy {
    /// Attempts in all, the first included. 4 by default; 1 or 0 never repeats.
    #[builder(default = 4)]
    max_attempts: u32,
    /// The bound of the random wait before the first repetition; it doubles each time. 250 ms by default.
    #[builder(default = Duration::from_millis(250))]
    first_wait: Duration,
    /// What the doubling bound stops at. What the service asks for is not held to it. 20 seconds by default.
    #[builder(default = Duration::from_secs(20))]
    longest_wait: Duration,
    /// No attempt begins later than this after the first one did. 90 seconds by default.
    #[builder(default = Duration::from_secs(90))]
    total_time: Duration,
    /// How long to wait at least after a 500. The vendor's advice is three to five further tries, at least a minute apart:
    /// [`RetryPolicy::as_the_vendor_advises`]. Nothing of its own by default.
    #[builder(default)]
    least_wait_after_500: Duration,
    /// Whether repetitions draw from the [retry budget](RetryBudget) that the calls to a store have in common. They do by
    /// default.
    #[builder(default = true)]
    within_retry_budget: bool,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl RetryPolicy {
    /// Never repeats anything.
    #[must_use]
    pub fn none() -> Self {
        Self::builder().max_attempts(1).build()
    }

    /// The vendor's advice on a 500: five further tries, at least a minute apart. Such a call takes up to six minutes, so
    /// its deadline has to be raised too.
    #[must_use]
    pub fn as_the_vendor_advises() -> Self {
        Self::builder()
            .max_attempts(6)
            .least_wait_after_500(Duration::from_secs(60))
            .total_time(Duration::from_secs(6 * 60))
            .build()
    }

    /// What to do after a failed attempt.
    pub(crate) fn decide(&self, failed: &FailedAttempt, jitter: &dyn Jitter) -> Decision {
        let FailedAttempt {
            operation,
            failure,
            attempt,
            elapsed,
            time_left,
        } = *failed;
        if !failure.is_retryable(operation) {
            return Decision::Stop;
        }
        self.decide_repeatable(failure, attempt, elapsed, time_left, jitter)
    }

    /// The same for a failure that may pass by itself, of a call that can be repeated without doing harm.
    pub(crate) fn decide_repeatable(
        &self,
        failure: Failure,
        attempt: u32,
        elapsed: Duration,
        time_left: Option<Duration>,
        jitter: &dyn Jitter,
    ) -> Decision {
        if attempt >= self.max_attempts {
            return Decision::Stop;
        }
        let wait = self.wait(failure, attempt, jitter);
        // A wait that ends at the deadline leaves no time for an attempt.
        let in_time = elapsed.saturating_add(wait) <= self.total_time
            && time_left.is_none_or(|left| wait < left);
        if !in_time {
            return Decision::Stop;
        }
        Decision::Repeat { wait }
    }

    fn wait(&self, failure: Failure, attempt: u32, jitter: &dyn Jitter) -> Duration {
        if let Failure::Refused {
            wanted_wait: Some(wait),
            ..
        } = failure
        {
            return wait;
        }
        let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let bound = self
            .first_wait
            .saturating_mul(doubled)
            .min(self.longest_wait);
        let drawn = bound.mul_f64(jitter.fraction().clamp(0.0, 1.0));
        if matches!(failure, Failure::Refused { status: 500, .. }) {
            // The draw comes on top, or those who failed together would come back together.
            return self.least_wait_after_500.saturating_add(drawn);
        }
        drawn
    }

    /// Whether a repetition after this failure has to be paid for.
    pub(crate) fn charges(&self, failure: Failure) -> bool {
        // A refusal for want of budget stops everybody by itself: it cannot be multiplied.
        self.within_retry_budget && !failure.is_throttled()
    }
}

/// An attempt that failed, as far as repeating it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FailedAttempt {
    pub(crate) operation: &'static Operation,
    pub(crate) failure: Failure,
    /// Counts from 1.
    pub(crate) attempt: u32,
    /// Since the first attempt began.
    pub(crate) elapsed: Duration,
    /// Until the call's deadline.
    pub(crate) time_left: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Repeat { wait: Duration },
    Stop,
}

/// Chance for the waits between attempts, so that those who fail together do not come back together.
pub trait Jitter: fmt::Debug + Send + Sync + 'static {
    /// A number from 0 to 1: which part of the longest possible wait is waited.
    fn fraction(&self) -> f64;
}

/// Chance from the operating system's seed.
#[derive(Debug, Default)]
pub(crate) struct RandomJitter;

impl Jitter for RandomJitter {
    fn fraction(&self) -> f64 {
        fastrand::f64()
    }
}

/// How many repetitions the calls to one store have in common, so that an outage is not multiplied.
///
/// A repetition costs one; a call that succeeds after a repetition gets that one back, and one that succeeds at once adds
/// a fifth, up to what there was at first. While the service works, there is always enough; while it does not, what was
/// saved up is spent once, and then each call makes one attempt.
///
/// Clients that are made by [`Client::for_store`](crate::Client::for_store) share it, also one after the other: what was
/// spent is forgotten when a store was not used for a minute.
///
/// ```
/// use bigcommerce_b2b_auth::RetryBudget;
///
/// let strict = RetryBudget::of(5);
/// # drop((strict, RetryBudget::default()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    repetitions: u32,
}

impl RetryBudget {
    /// This many repetitions without a success in between.
    #[must_use]
    pub fn of(repetitions: u32) -> Self {
        Self { repetitions }
    }
}

impl Default for RetryBudget {
    /// 50 repetitions.
    fn default() -> Self {
        Self::of(50)
    }
}

/// What is left of a [`RetryBudget`], in fifths of a repetition.
#[derive(Debug)]
pub(crate) struct RetryTokens {
    most: u64,
    left: AtomicU64,
}

impl RetryTokens {
    const REPETITION: u64 = 5;
    const SUCCESS_AT_ONCE: u64 = 1;

    pub(crate) fn new(budget: RetryBudget) -> Self {
        let most = u64::from(budget.repetitions) * Self::REPETITION;
        Self {
            most,
            left: AtomicU64::new(most),
        }
    }

    /// As many again as this had at first.
    pub(crate) fn full(&self) -> Self {
        Self {
            most: self.most,
            left: AtomicU64::new(self.most),
        }
    }

    /// Pays for a repetition, if there is enough.
    pub(crate) fn pay(&self) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(Self::REPETITION)
            })
            .is_ok()
    }

    /// Books a call that succeeded; `paid` says whether its last attempt was one that was paid for.
    pub(crate) fn earn(&self, paid: bool) {
        let earned = if paid {
            Self::REPETITION
        } else {
            Self::SUCCESS_AT_ONCE
        };
        // There is rarely anything to add, and a read is cheaper than a write that other cores have to notice.
        if self.left.load(Ordering::Relaxed) >= self.most {
            return;
        }
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some((left + earned).min(self.most))
            });
    }
}

/// A failed attempt as far as repeating it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No whole reply came.
    NoReply(Delivery),
    /// No connection came about, because the other side was not to be trusted.
    Untrusted,
    /// A success came that is too long to be read, and would be again.
    Unreadable,
    /// The service said no, with this status (or this code in the body of a success).
    Refused {
        status: u16,
        /// Whether the body said so under the HTTP status of a success, which says the opposite.
        under_success: bool,
        wanted_wait: Option<Duration>,
    },
}

impl Failure {
    /// Whether the service may have done what was asked all the same.
    pub(crate) fn may_have_been_applied(self) -> bool {
        match self {
            Self::NoReply(delivery) => delivery != Delivery::NotSent,
            Self::Untrusted => false,
            Self::Unreadable => true,
            // A redirect may be the answer to something that was done, and a 408 is a proxy's guess.
            Self::Refused {
                status,
                under_success,
                ..
            } => under_success || matches!(status, 300..=399 | 408 | 500..),
        }
    }

    /// Whether the failure may pass by itself, and the operation can be repeated without doing harm.
    pub(crate) fn is_retryable(self, operation: &Operation) -> bool {
        self.is_retryable_if(operation.is_repeatable)
    }

    /// The same for a call of which it is known whether repeating it is harmless.
    pub(crate) fn is_retryable_if(self, is_harmless: bool) -> bool {
        self.may_pass() && (is_harmless || !self.may_have_been_applied())
    }

    /// Whether the failure may pass by itself.
    pub(crate) fn may_pass(self) -> bool {
        match self {
            Self::NoReply(_) => true,
            Self::Untrusted | Self::Unreadable => false,
            // 501 and 505 say what the service cannot do, and will not learn in a minute.
            Self::Refused { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 506..=599)
            }
        }
    }

    /// How long the service asked to wait.
    #[cfg(feature = "tokens")]
    pub(crate) fn wanted_wait(self) -> Option<Duration> {
        match self {
            Self::Refused { wanted_wait, .. } => wanted_wait,
            Self::NoReply(_) | Self::Untrusted | Self::Unreadable => None,
        }
    }

    /// Whether the connection may be the cause, or lead to a server that is: the next attempt then takes another one. After a
    /// 408 HTTP itself allows the repetition on a new connection.
    pub(crate) fn may_be_of_the_connection(self) -> bool {
        match self {
            Self::NoReply(delivery) => delivery != Delivery::NotSent,
            Self::Untrusted => false,
            Self::Unreadable => true,
            Self::Refused { status, .. } => matches!(status, 408 | 500..),
        }
    }

    /// Whether it was refused for want of budget.
    pub(crate) fn is_throttled(self) -> bool {
        matches!(self, Self::Refused { status: 429, .. })
    }

    /// The same, with the wait that a 429 asks for cut to the longest that is honoured.
    pub(crate) fn honoured(mut self, longest: Duration) -> Self {
        if let Self::Refused {
            status: 429,
            wanted_wait: Some(wait),
            ..
        } = &mut self
        {
            *wait = longest.min(*wait);
        }
        self
    }

    /// The failure in a word, for those who watch.
    pub(crate) fn cause(self) -> RetryCause {
        match self {
            Self::NoReply(Delivery::NotSent) | Self::Untrusted => RetryCause::NotSent,
            Self::NoReply(_) | Self::Unreadable => RetryCause::NoReply,
            Self::Refused { status: 429, .. } => RetryCause::Throttled,
            Self::Refused { status: 500.., .. } => RetryCause::ServerError,
            Self::Refused { .. } => RetryCause::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use bigcommerce_b2b_auth_api::operations;

    use super::*;

    const NOT_SENT: Failure = Failure::NoReply(Delivery::NotSent);
    const NO_REPLY: Failure = Failure::NoReply(Delivery::Unknown);
    const MINT: &Operation = &operations::POST_AUTH_CUSTOMERS_STOREFRONT;
    const CREATE: &Operation = &operations::POST_AUTH_BACKEND;

    /// Always the same part of the longest possible wait.
    #[derive(Debug)]
    struct Part(f64);

    impl Jitter for Part {
        fn fraction(&self) -> f64 {
            self.0
        }
    }

    fn refused(status: u16, wait: Option<u64>) -> Failure {
        Failure::Refused {
            status,
            under_success: false,
            wanted_wait: wait.map(Duration::from_secs),
        }
    }

    fn refused_under_success(code: u16) -> Failure {
        Failure::Refused {
            status: code,
            under_success: true,
            wanted_wait: None,
        }
    }

    fn first(failure: Failure) -> FailedAttempt {
        FailedAttempt {
            operation: MINT,
            failure,
            attempt: 1,
            elapsed: Duration::ZERO,
            time_left: None,
        }
    }

    fn wait_of(policy: &RetryPolicy, failed: FailedAttempt, part: f64) -> Option<Duration> {
        match policy.decide(&failed, &Part(part)) {
            Decision::Repeat { wait } => Some(wait),
            Decision::Stop => None,
        }
    }

    #[test]
    fn only_creating_a_server_token_is_not_repeatable() {
        for operation in operations::ALL {
            assert_eq!(
                operation.is_repeatable,
                operation.id != CREATE.id,
                "{}",
                operation.id
            );
        }
    }

    #[test]
    fn what_may_be_repeated_by_failure_and_operation() {
        for (failure, of_create, of_mint) in [
            (NOT_SENT, true, true),
            (NO_REPLY, false, true),
            (Failure::Untrusted, false, false),
            (Failure::Unreadable, false, false),
            (refused(307, None), false, false),
            (refused(400, None), false, false),
            (refused(401, None), false, false),
            (refused(404, None), false, false),
            (refused(408, None), false, true),
            (refused(425, None), true, true),
            (refused(429, None), true, true),
            (refused(500, None), false, true),
            (refused(501, None), false, false),
            (refused(502, None), false, true),
            (refused(503, Some(1)), false, true),
            (refused(504, None), false, true),
            (refused(505, None), false, false),
            (refused(507, None), false, true),
            (refused(599, None), false, true),
            (refused_under_success(400), false, false),
            (refused_under_success(425), false, true),
            (refused_under_success(429), false, true),
            (refused_under_success(501), false, false),
            (refused_under_success(503), false, true),
        ] {
            assert_eq!(failure.is_retryable(CREATE), of_create, "{failure:?}");
            assert_eq!(failure.is_retryable(MINT), of_mint, "{failure:?}");
            let decided = RetryPolicy::default().decide(&first(failure), &Part(1.0));
            assert_eq!(decided != Decision::Stop, of_mint, "{failure:?}");
        }
    }

    #[test]
    fn what_may_have_happened_by_failure() {
        for (failure, applied) in [
            (NOT_SENT, false),
            (NO_REPLY, true),
            (Failure::Untrusted, false),
            (Failure::Unreadable, true),
            (refused(299, None), false),
            (refused(300, None), true),
            (refused(399, None), true),
            (refused(400, None), false),
            (refused(408, None), true),
            (refused(429, None), false),
            (refused(500, None), true),
            (refused_under_success(400), true),
            (refused_under_success(403), true),
            (refused_under_success(429), true),
            (refused_under_success(500), true),
        ] {
            assert_eq!(failure.may_have_been_applied(), applied, "{failure:?}");
        }
    }

    #[test]
    fn which_failures_may_be_of_the_connection() {
        for (failure, of_the_connection) in [
            (NOT_SENT, false),
            (NO_REPLY, true),
            (Failure::Untrusted, false),
            (Failure::Unreadable, true),
            (refused(307, None), false),
            (refused(401, None), false),
            (refused(404, None), false),
            (refused(408, None), true),
            (refused(425, None), false),
            (refused(429, None), false),
            (refused(500, None), true),
            (refused(503, Some(1)), true),
            (refused_under_success(422), false),
            (refused_under_success(503), true),
        ] {
            assert_eq!(
                failure.may_be_of_the_connection(),
                of_the_connection,
                "{failure:?}"
            );
        }
    }

    #[test]
    fn the_bound_doubles_up_to_the_longest_and_the_wait_is_drawn_below_it() {
        let policy = RetryPolicy::builder()
            .max_attempts(100)
            .total_time(Duration::MAX)
            .build();
        for (attempt, bound) in [
            (1, 250),
            (2, 500),
            (3, 1000),
            (7, 16_000),
            (8, 20_000),
            (99, 20_000),
        ] {
            let failed = FailedAttempt {
                attempt,
                ..first(NO_REPLY)
            };
            for (part, expected) in [
                (0.0, 0),
                (0.5, bound / 2),
                (1.0, bound),
                (7.0, bound),
                (-1.0, 0),
            ] {
                assert_eq!(
                    wait_of(&policy, failed, part),
                    Some(Duration::from_millis(expected)),
                    "attempt {attempt}, {part}"
                );
            }
        }
    }

    #[test]
    fn the_wish_of_the_service_is_taken_as_it_is() {
        let policy = RetryPolicy::default();
        for status in [429, 503, 408, 500] {
            assert_eq!(
                wait_of(&policy, first(refused(status, Some(31))), 0.0),
                Some(Duration::from_secs(31))
            );
        }
        // Beyond the doubling bound, and up to the total time.
        assert!(wait_of(&policy, first(refused(429, Some(90))), 0.0).is_some());
        assert_eq!(wait_of(&policy, first(refused(429, Some(91))), 0.0), None);
    }

    #[test]
    fn a_wait_that_ends_too_late_is_not_begun() {
        let policy = RetryPolicy::builder()
            .total_time(Duration::from_secs(60))
            .build();
        let late = |elapsed, time_left: Option<u64>| FailedAttempt {
            elapsed: Duration::from_secs(elapsed),
            time_left: time_left.map(Duration::from_secs),
            ..first(refused(503, Some(10)))
        };
        assert!(wait_of(&policy, late(50, None), 0.0).is_some());
        assert!(wait_of(&policy, late(51, None), 0.0).is_none());
        assert!(wait_of(&policy, late(0, Some(11)), 0.0).is_some());
        // At the deadline itself there is no time for an attempt.
        assert!(wait_of(&policy, late(0, Some(10)), 0.0).is_none());
    }

    #[test]
    fn attempts_are_limited() {
        let at = |attempt| FailedAttempt {
            attempt,
            ..first(NOT_SENT)
        };
        let policy = RetryPolicy::default();
        assert!(wait_of(&policy, at(3), 0.0).is_some());
        assert!(wait_of(&policy, at(4), 0.0).is_none());
        assert!(wait_of(&RetryPolicy::none(), at(1), 0.0).is_none());
    }

    #[test]
    fn the_vendors_minute_is_for_a_500_alone_and_the_draw_comes_on_top() {
        let policy = RetryPolicy::as_the_vendor_advises();
        let at = |attempt, status| FailedAttempt {
            attempt,
            ..first(refused(status, None))
        };
        assert_eq!(
            wait_of(&policy, at(1, 500), 1.0),
            Some(Duration::from_millis(60_250))
        );
        assert_eq!(
            wait_of(&policy, at(1, 503), 1.0),
            Some(Duration::from_millis(250))
        );
        assert!(wait_of(&policy, at(5, 500), 1.0).is_some());
        assert!(wait_of(&policy, at(6, 500), 1.0).is_none());
        // Five minutes of waiting leave room for the last.
        let last = |elapsed| FailedAttempt {
            elapsed: Duration::from_secs(elapsed),
            ..at(5, 500)
        };
        assert!(wait_of(&policy, last(300), 0.0).is_some());
        assert!(wait_of(&policy, last(301), 0.0).is_none());
        // Without the advice, a 500 is like any other failure.
        assert_eq!(
            wait_of(&RetryPolicy::default(), at(1, 500), 1.0),
            Some(Duration::from_millis(250))
        );
    }

    #[test]
    fn repetitions_are_paid_for_but_not_those_for_want_of_budget() {
        let policy = RetryPolicy::default();
        assert!(policy.charges(NOT_SENT) && policy.charges(refused(503, None)));
        assert!(!policy.charges(refused(429, None)));
        let free = RetryPolicy::builder().within_retry_budget(false).build();
        assert!(!free.charges(NOT_SENT));
    }

    #[test]
    fn the_retry_budget_is_spent_and_earned_back() {
        let tokens = RetryTokens::new(RetryBudget::of(2));
        assert!(tokens.pay() && tokens.pay());
        assert!(!tokens.pay(), "two were all");
        tokens.earn(true);
        assert!(
            tokens.pay(),
            "a success gives back what its repetition cost"
        );
        for _ in 0..4 {
            tokens.earn(false);
        }
        assert!(!tokens.pay(), "four successes are four fifths");
        tokens.earn(false);
        assert!(tokens.pay() && !tokens.pay(), "the fifth makes it whole");
        for _ in 0..100 {
            tokens.earn(true);
        }
        assert!(
            tokens.pay() && tokens.pay() && !tokens.pay(),
            "never more than at first"
        );
        let new = tokens.full();
        assert!(new.pay() && new.pay() && !new.pay());
        assert!(!RetryTokens::new(RetryBudget::of(0)).pay());
    }

    #[test]
    fn the_wait_of_a_429_is_cut_to_the_longest_that_is_honoured() {
        let honoured = |failure: Failure| failure.honoured(Duration::from_secs(900));
        for (failure, expected) in [
            (refused(429, Some(86_400)), refused(429, Some(900))),
            (refused(429, Some(900)), refused(429, Some(900))),
            (refused(429, Some(7)), refused(429, Some(7))),
            (refused(429, None), refused(429, None)),
            (refused(503, Some(86_400)), refused(503, Some(86_400))),
            (NO_REPLY, NO_REPLY),
        ] {
            assert_eq!(honoured(failure), expected);
        }
    }

    #[test]
    fn each_failure_has_its_word() {
        for (failure, cause) in [
            (NOT_SENT, RetryCause::NotSent),
            (NO_REPLY, RetryCause::NoReply),
            (refused(429, None), RetryCause::Throttled),
            (refused(408, None), RetryCause::Refused),
            (refused(500, None), RetryCause::ServerError),
        ] {
            assert_eq!(failure.cause(), cause);
        }
    }

    #[test]
    fn chance_lies_between_nothing_and_everything_and_varies() {
        let drawn: Vec<f64> = (0..100).map(|_| RandomJitter.fraction()).collect();
        assert!(drawn.iter().all(|part| (0.0..=1.0).contains(part)));
        assert!(drawn.windows(2).any(|pair| pair[0] != pair[1]));
    }
}
