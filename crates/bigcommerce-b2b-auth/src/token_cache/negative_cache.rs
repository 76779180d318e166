//! Negative cache: remembers the failed mints of each customer, so that the next access does not repeat what just failed.
//!
//! | what failed | for how long |
//! |---|---|
//! | 401, 403, 404 and the other 4xx | 30 to 60 s; twice as long after each further one, up to 10 minutes |
//! | 5xx, a broken connection, a time-out, an unusable response, a panic | 1 to 5 s |
//! | 429, or no permit in time | not at all: the store's rate limit has its own gate |
//!
//! Where the service names a longer time, that holds, up to 10 minutes. What counts against the whole store is decided in
//! `circuit_breaker.rs`. None of it ever displaces a token that is valid.

use std::time::Duration;

use super::{cache::Notes, expiry::Tick, key::Key};
use crate::{ClockReading, Error, ErrorKind, Hint, auth::credentials::TokenFingerprint};

/// What a failure may be blamed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The customer.
    Customer,
    /// The customer or the access token: one failure alone does not say which.
    AccessToken,
    /// The provider of the access token, which had none. No customer was involved.
    Provider,
    /// The store hash, if it never worked; else the service.
    StoreHash,
    /// The service, or the way to it: it passes.
    Service,
    /// Nobody: nothing is remembered.
    Nobody,
}

/// What a failure may be blamed on, by its kind.
pub(super) fn blame(error: &Error) -> Blame {
    match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Blame::AccessToken,
        ErrorKind::CredentialsUnavailable => Blame::Provider,
        ErrorKind::NotFound | ErrorKind::Rejected | ErrorKind::TokenMismatch => Blame::Customer,
        // A wrong store hash is answered by the service itself: 502 to 504 are a proxy's.
        ErrorKind::Server
            if error.hint() == Some(Hint::WrongStoreHash)
                && !matches!(error.status(), Some(502..=504)) =>
        {
            Blame::StoreHash
        }
        ErrorKind::Connect
        | ErrorKind::Timeout
        | ErrorKind::Interrupted
        | ErrorKind::Server
        | ErrorKind::Redirected
        | ErrorKind::UnexpectedReply
        | ErrorKind::ReplyTooLarge
        | ErrorKind::Panicked => Blame::Service,
        ErrorKind::RateLimited
        | ErrorKind::InvalidInput
        | ErrorKind::Configuration
        | ErrorKind::TokenRejected
        | ErrorKind::TokenTooShort
        | ErrorKind::Forgotten
        | ErrorKind::NotConfirmed
        | ErrorKind::RuntimeGone
        | ErrorKind::ShutDown => Blame::Nobody,
    }
}

/// How many customers' failures are remembered.
const MOST: usize = 10_000;

/// The longest time for which a failure is remembered.
pub(super) const LONGEST_HOLD: Duration = Duration::from_secs(10 * 60);

/// How long a failure is remembered that does not pass by itself. `fraction` is a draw from 0 to 1.
pub(super) fn long_hold(fraction: f64) -> Duration {
    between(30, 60, fraction)
}

/// How long a failure of the service is remembered.
pub(super) fn short_hold(fraction: f64) -> Duration {
    between(1, 5, fraction)
}

pub(super) fn between(least: u32, most: u32, fraction: f64) -> Duration {
    let least = Duration::from_secs(least.into());
    least + (Duration::from_secs(most.into()) - least).mul_f64(fraction.clamp(0.0, 1.0))
}

/// A failure, and until when nothing is tried again.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    error: Error,
    at: Tick,
    until: Tick,
    /// The access token that it happened with, where that may be to blame.
    token: Option<TokenFingerprint>,
}

impl Failure {
    /// Remembers `error` for `hold`, or for as long as the service asks for.
    pub(super) fn new(
        error: Error,
        token: Option<TokenFingerprint>,
        now: ClockReading,
        hold: Duration,
    ) -> Self {
        let at = Tick::of(now.monotonic);
        let wish = error.retry_after().unwrap_or_default().min(LONGEST_HOLD);
        Self {
            error,
            at,
            until: at.plus(hold.max(wish)),
            token,
        }
    }

    /// Whether its time is not over. A failure that was not looked at for so long that a moment says nothing any more is over.
    pub(super) fn holds(&self, now: ClockReading) -> bool {
        let left = self.until.until(Tick::of(now.monotonic));
        !left.is_zero() && left <= LONGEST_HOLD
    }

    pub(super) fn until(&self) -> Tick {
        self.until
    }

    /// The same failure, remembered until another moment.
    pub(super) fn postponed(mut self, until: Tick) -> Self {
        self.until = until;
        self
    }

    /// Whether it is the same way to fail, with the same access token.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.error.kind() == other.error.kind() && self.token == other.token
    }

    /// The access token that it counts for; `None` when it counts for every one.
    pub(super) fn token(&self) -> Option<TokenFingerprint> {
        self.token
    }

    /// The error for those who ask before its time is over.
    pub(super) fn told(&self, now: ClockReading) -> Error {
        let now = Tick::of(now.monotonic);
        let age = now.until(self.at);
        self.error.clone().remembered(age, self.until.until(now))
    }
}

/// What is remembered of one customer.
#[derive(Debug, Clone)]
struct Remembered {
    failure: Failure,
    /// How many failures in a row are blamed on the customer.
    in_a_row: u32,
}

impl Remembered {
    /// Whether it still says something of the next failure.
    fn counts(&self, now: ClockReading) -> bool {
        let until = self.failure.until;
        self.failure.holds(now) || {
            let since = Tick::of(now.monotonic).until(until);
            !until.is_after(Tick::of(now.monotonic)) && since < LONGEST_HOLD
        }
    }
}

/// The failures of customers.
#[derive(Debug)]
pub(super) struct Failures(Notes<Remembered>);

impl Failures {
    pub(super) fn new() -> Self {
        Self(Notes::new(MOST))
    }

    /// The failure that this key's next attempt has to wait for, if any.
    pub(super) fn of(&self, key: &Key, now: ClockReading) -> Option<Failure> {
        let remembered = self.counting(key, now)?;
        remembered.failure.holds(now).then_some(remembered.failure)
    }

    /// Whether the customer's last failures are blamed on the customer, also when their time is over.
    pub(super) fn blames(&self, key: &Key, now: ClockReading) -> bool {
        self.counting(key, now)
            .is_some_and(|remembered| remembered.in_a_row > 0)
    }

    fn counting(&self, key: &Key, now: ClockReading) -> Option<Remembered> {
        let remembered = self.0.get(key)?;
        if !remembered.counts(now) {
            self.0.remove_if(key, |remembered| !remembered.counts(now));
            return None;
        }
        Some(remembered)
    }

    /// Remembers a failure that is blamed on the customer: the longer, the more of them there were in a row.
    pub(super) fn remember_blame(
        &self,
        key: Key,
        error: Error,
        token: Option<TokenFingerprint>,
        now: ClockReading,
        fraction: f64,
    ) {
        let before = self.counting(&key, now).map_or(0, |before| {
            let has_changed = matches!(
                (before.failure.token, token),
                (Some(before), Some(now)) if before != now
            );
            // Another access token starts anew.
            if has_changed { 0 } else { before.in_a_row }
        });
        let hold = long_hold(fraction).saturating_mul(1 << before.min(10));
        let failure = Failure::new(error, token, now, hold.min(LONGEST_HOLD));
        let in_a_row = before.saturating_add(1);
        self.0.set(key, Remembered { failure, in_a_row });
    }

    /// Remembers a failure that passes by itself.
    pub(super) fn remember_passing(
        &self,
        key: Key,
        error: Error,
        now: ClockReading,
        fraction: f64,
    ) {
        let in_a_row = self.counting(&key, now).map_or(0, |before| before.in_a_row);
        let failure = Failure::new(error, None, now, short_hold(fraction));
        self.0.set(key, Remembered { failure, in_a_row });
    }

    pub(super) fn forget(&self, key: &Key) {
        // Most have none: a look is cheaper than a removal.
        if self.0.get(key).is_some() {
            self.0.remove(key);
        }
    }

    /// The stores of the customers whose failures still count.
    pub(super) fn stores(&self, now: ClockReading) -> impl Iterator<Item = u64> {
        self.0.stores(move |remembered| remembered.counts(now))
    }

    /// Forgets the failures of a store's customers.
    pub(super) fn forget_store(&self, store: u64) {
        self.0.retain(|key| key.store() != store);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CustomerId;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000 + seconds),
            monotonic: Duration::from_secs(seconds),
        }
    }

    fn error(kind: ErrorKind) -> Error {
        Error::of_call("post-something", kind, "no")
    }

    fn key(customer: i64) -> Key {
        Key::new(0, CustomerId::new(customer).unwrap(), None, None)
    }

    fn token(secret: &str) -> Option<TokenFingerprint> {
        Some(TokenFingerprint::of(&secret.into()))
    }

    #[test]
    fn what_a_failure_is_blamed_on() {
        for (kind, expected) in [
            (ErrorKind::Unauthenticated, Blame::AccessToken),
            (ErrorKind::Forbidden, Blame::AccessToken),
            (ErrorKind::CredentialsUnavailable, Blame::Provider),
            (ErrorKind::NotFound, Blame::Customer),
            (ErrorKind::Rejected, Blame::Customer),
            (ErrorKind::TokenMismatch, Blame::Customer),
            (ErrorKind::Server, Blame::Service),
            (ErrorKind::Connect, Blame::Service),
            (ErrorKind::Timeout, Blame::Service),
            (ErrorKind::Interrupted, Blame::Service),
            (ErrorKind::UnexpectedReply, Blame::Service),
            (ErrorKind::ReplyTooLarge, Blame::Service),
            (ErrorKind::Redirected, Blame::Service),
            (ErrorKind::Panicked, Blame::Service),
            (ErrorKind::RateLimited, Blame::Nobody),
            (ErrorKind::InvalidInput, Blame::Nobody),
            (ErrorKind::Configuration, Blame::Nobody),
            (ErrorKind::TokenRejected, Blame::Nobody),
            (ErrorKind::TokenTooShort, Blame::Nobody),
            (ErrorKind::Forgotten, Blame::Nobody),
            (ErrorKind::NotConfirmed, Blame::Nobody),
            (ErrorKind::RuntimeGone, Blame::Nobody),
            (ErrorKind::ShutDown, Blame::Nobody),
        ] {
            assert_eq!(blame(&error(kind)), expected, "{kind:?}");
        }
        let hinted = error(ErrorKind::Server).with_hint(Some(Hint::WrongStoreHash));
        assert_eq!(blame(&hinted), Blame::StoreHash);
        let other = error(ErrorKind::Server).with_hint(Some(Hint::Redirect));
        assert_eq!(blame(&other), Blame::Service);
    }

    #[test]
    fn a_failure_is_remembered_as_long_as_the_service_asks_for_within_bounds() {
        let hold = |wish, hold| {
            let error = error(ErrorKind::Server).with_retry_after(Some(wish));
            let failure = Failure::new(error, None, at(0), hold);
            failure.told(at(0)).retry_after().unwrap()
        };
        assert_eq!(hold(20 * SECOND, SECOND), 20 * SECOND);
        assert_eq!(hold(SECOND / 2, SECOND), SECOND);
        assert_eq!(hold(86_400 * SECOND, SECOND), LONGEST_HOLD);
        assert_eq!((long_hold(0.0), long_hold(1.0)), (30 * SECOND, 60 * SECOND));
        assert_eq!((short_hold(0.0), short_hold(1.0)), (SECOND, 5 * SECOND));
        assert_eq!(
            (long_hold(-1.0), long_hold(2.0)),
            (30 * SECOND, 60 * SECOND)
        );
    }

    #[test]
    fn a_failure_is_told_until_it_is_over() {
        let failures = Failures::new();
        failures.remember_blame(key(1), error(ErrorKind::NotFound), None, at(0), 0.0);
        let told = failures.of(&key(1), at(10)).unwrap().told(at(10));
        assert_eq!(told.kind(), ErrorKind::NotFound);
        assert_eq!(told.remembered_for(), Some(10 * SECOND));
        assert_eq!(told.retry_after(), Some(20 * SECOND));
        assert!(failures.of(&key(2), at(10)).is_none());
        assert!(failures.of(&key(1), at(29)).is_some());
        assert!(failures.of(&key(1), at(30)).is_none());
        failures.remember_passing(key(2), error(ErrorKind::Server), at(40), 0.0);
        assert!(failures.of(&key(2), at(40)).is_some());
        assert!(failures.of(&key(2), at(41)).is_none());
        assert_eq!(failures.len(), 2);
        failures.forget(&key(2));
        assert_eq!(failures.len(), 1);
    }

    #[test]
    fn failures_that_are_blamed_on_the_customer_are_remembered_twice_as_long_each_time() {
        let failures = Failures::new();
        let mut now = 0;
        let mut holds = Vec::new();
        for _ in 0..7 {
            failures.remember_blame(key(1), error(ErrorKind::Forbidden), None, at(now), 0.5);
            let told = failures.of(&key(1), at(now)).unwrap().told(at(now));
            holds.push(told.retry_after().unwrap().as_secs());
            now += holds.last().unwrap();
        }
        assert_eq!(holds, [45, 90, 180, 360, 600, 600, 600]);
        // One that passes by itself neither adds to them nor ends them.
        failures.remember_passing(key(1), error(ErrorKind::Server), at(now), 0.5);
        assert!(failures.blames(&key(1), at(now)));
        failures.remember_blame(key(1), error(ErrorKind::Forbidden), None, at(now), 0.5);
        let held = |now| failures.of(&key(1), at(now)).is_some();
        assert!(held(now + 599) && !held(now + 600));
        // A success does, and so does time.
        failures.forget(&key(1));
        failures.remember_blame(key(1), error(ErrorKind::Forbidden), None, at(now), 0.5);
        assert!(held(now + 44) && !held(now + 45));
        assert!(failures.blames(&key(1), at(now + 45 + 599)));
        assert!(!failures.blames(&key(1), at(now + 45 + 600)));
        assert_eq!(failures.len(), 0);
    }

    #[test]
    fn the_failures_of_another_access_token_do_not_count() {
        let failures = Failures::new();
        let remember = |secret, now| {
            let error = error(ErrorKind::Unauthenticated);
            failures.remember_blame(key(1), error, token(secret), at(now), 0.0);
            let failure = failures.of(&key(1), at(now)).unwrap();
            assert_eq!(failure.token(), token(secret));
            failure.told(at(now)).retry_after().unwrap()
        };
        assert_eq!(remember("old", 0), 30 * SECOND);
        assert_eq!(remember("old", 30), 60 * SECOND);
        assert_eq!(remember("new", 40), 30 * SECOND);
        assert_eq!(remember("new", 70), 60 * SECOND);
    }

    #[test]
    fn a_failure_of_a_customer_who_stayed_away_for_most_of_a_year_is_over() {
        let failures = Failures::new();
        failures.remember_blame(key(1), error(ErrorKind::NotFound), None, at(0), 0.0);
        let day = 24 * 60 * 60;
        for days in [1, 240, 250, 300, 490] {
            assert!(failures.of(&key(1), at(days * day)).is_none(), "{days}");
        }
    }

    #[test]
    fn the_failures_of_one_store_are_forgotten_and_no_others() {
        let failures = Failures::new();
        let of_store = |store| Key::new(store, CustomerId::new(1).unwrap(), None, None);
        for store in 0..3 {
            let error = error(ErrorKind::NotFound);
            failures.remember_blame(of_store(store), error, None, at(0), 0.0);
        }
        failures.forget_store(1);
        let remembered = |store| failures.of(&of_store(store), at(1)).is_some();
        assert_eq!([0, 1, 2].map(remembered), [true, false, true]);
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let failures = Failures::new();
        for customer in 1..=3 * MOST as i64 {
            failures.remember_passing(key(customer), error(ErrorKind::Server), at(0), 0.0);
        }
        assert!(failures.len() <= MOST + MOST / 10, "{}", failures.len());
    }
}
