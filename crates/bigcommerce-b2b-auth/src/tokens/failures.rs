//! Failures that are remembered for a while, so that nobody repeats what just failed: of one customer, or of a whole store.
//!
//! | what failed | whose it is | for how long |
//! |---|---|---|
//! | 401, 403, a provider without a token, a wrong store hash | the store's | 30 to 60 s, then one probe |
//! | 404 and the other 4xx: an unknown customer | the customer's | 30 to 60 s |
//! | 5xx, a broken connection, a time-out, an unusable reply, a panic | the customer's | 1 to 5 s |
//! | 429, or no permit in time | nobody's: the store's budget has its own gate | |
//! | a 5xx, a broken connection or a time-out of five customers in a row | the service's: an outage | 2 to 4 s, then one probe |
//!
//! Where the service names a longer time, that holds, up to ten minutes. None of it ever displaces a token that is valid.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    cache::{Notes, has_come},
    key::Key,
    moments::Tick,
};
use crate::{ClockReading, Error, ErrorKind, Hint};

/// Whose failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    Store,
    Customer,
    Nobody,
}

/// How many customers' failures are remembered.
const MOST: usize = 10_000;

const LONGEST_WISH: Duration = Duration::from_secs(10 * 60);

/// Whose failure it is and how long it is remembered. `fraction` is a draw from 0 to 1.
pub(super) fn judge(error: &Error, has_ever_worked: bool, fraction: f64) -> (Blame, Duration) {
    let long = between(30, 60, fraction);
    let short = between(1, 5, fraction);
    let (blame, hold) = match error.kind() {
        ErrorKind::Unauthenticated | ErrorKind::Forbidden | ErrorKind::CredentialsUnavailable => {
            (Blame::Store, long)
        }
        // A store hash that is wrong is answered like this too, by the service itself: 502 to 504 are a proxy's. One that has
        // worked before is not wrong.
        ErrorKind::Server
            if error.hint() == Some(Hint::WrongStoreHash)
                && !matches!(error.status(), Some(502..=504))
                && !has_ever_worked =>
        {
            (Blame::Store, long)
        }
        ErrorKind::NotFound | ErrorKind::Rejected | ErrorKind::TokenMismatch => {
            (Blame::Customer, long)
        }
        ErrorKind::RateLimited
        | ErrorKind::InvalidInput
        | ErrorKind::Configuration
        | ErrorKind::TokenRejected
        | ErrorKind::TokenTooShort
        | ErrorKind::Forgotten
        | ErrorKind::NotConfirmed
        | ErrorKind::RuntimeGone
        | ErrorKind::ShutDown => (Blame::Nobody, Duration::ZERO),
        ErrorKind::Connect
        | ErrorKind::Timeout
        | ErrorKind::Interrupted
        | ErrorKind::Server
        | ErrorKind::Redirected
        | ErrorKind::UnexpectedReply
        | ErrorKind::ReplyTooLarge
        | ErrorKind::Panicked => (Blame::Customer, short),
    };
    let wish = error.retry_after().unwrap_or_default().min(LONGEST_WISH);
    (blame, hold.max(wish))
}

fn between(least: u32, most: u32, fraction: f64) -> Duration {
    let least = Duration::from_secs(least.into());
    least + (Duration::from_secs(most.into()) - least).mul_f64(fraction.clamp(0.0, 1.0))
}

/// A failure, and until when nothing is tried again.
#[derive(Debug, Clone)]
struct Failure {
    error: Error,
    at: Tick,
    until: Tick,
}

impl Failure {
    fn new(error: Error, now: ClockReading, hold: Duration) -> Self {
        let at = Tick::of(now.monotonic);
        Self {
            error,
            at,
            until: at.plus(hold),
        }
    }

    /// It, as it is told to those who ask before it is over.
    fn told(&self, now: ClockReading) -> Error {
        let now = Tick::of(now.monotonic);
        let age = now.until(self.at);
        self.error.clone().remembered(age, self.until.until(now))
    }
}

/// The failures of customers.
#[derive(Debug)]
pub(super) struct Failures(Notes<Failure>);

impl Failures {
    pub(super) fn new() -> Self {
        Self(Notes::new(MOST))
    }

    /// The failure that this key's next attempt has to wait for, if any.
    pub(super) fn of(&self, key: &Key, now: ClockReading) -> Option<Error> {
        let failure = self.0.get(key)?;
        if has_come(failure.until, now) {
            self.0
                .remove_if(key, |failure| has_come(failure.until, now));
            return None;
        }
        Some(failure.told(now))
    }

    pub(super) fn remember(&self, key: Key, error: Error, now: ClockReading, hold: Duration) {
        self.0.set(key, Failure::new(error, now, hold));
    }

    pub(super) fn forget(&self, key: &Key) {
        // Most have none: a look is cheaper than a removal.
        if self.0.get(key).is_some() {
            self.0.remove(key);
        }
    }

    /// The stores of the customers whose failure still holds.
    pub(super) fn stores(&self, now: ClockReading) -> impl Iterator<Item = u64> {
        self.0.stores(move |failure| !has_come(failure.until, now))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// How many customers in a row have to fail for what any other would have met as well, until it is taken for an outage. At one
/// fault in a hundred that comes about by chance once in ten billion.
const OUTAGE: u32 = 5;

/// The breaker of a store: once its credentials were refused, or the service fails for one customer after the other, nobody
/// tries for a while, and then one does.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: State,
    /// How many customers failed in a row, and the last of them: one alone is no outage, however often he fails.
    in_a_row: u32,
    last: Option<Key>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open(Failure),
    /// The time is over, and somebody is trying.
    HalfOpen(Failure),
}

/// Whether a fetch may begin.
#[derive(Debug)]
pub(super) enum Admission<'b> {
    Free,
    /// It is the one that tries whether the store's credentials work again.
    Probe(Probe<'b>),
    Refused(Error),
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure that everybody has to wait for, if there is one now.
    pub(super) fn refusal(&self, now: ClockReading) -> Option<Error> {
        match &self.lock().state {
            State::Open(failure) if !has_come(failure.until, now) => Some(failure.told(now)),
            State::HalfOpen(failure) => Some(failure.told(now)),
            State::Closed | State::Open(_) => None,
        }
    }

    /// Asks for admission. After the time of a failure is over, one gets to probe and the others go on being refused.
    pub(super) fn admit(&self, now: ClockReading) -> Admission<'_> {
        let state = &mut self.lock().state;
        match state {
            State::Closed => Admission::Free,
            State::Open(failure) if has_come(failure.until, now) => {
                *state = State::HalfOpen(failure.clone());
                Admission::Probe(Probe(self))
            }
            State::Open(failure) | State::HalfOpen(failure) => {
                Admission::Refused(failure.told(now))
            }
        }
    }

    /// A store's failure: nobody tries again before `hold` is over.
    pub(super) fn open(&self, error: Error, now: ClockReading, hold: Duration) {
        self.lock().state = State::Open(Failure::new(error, now, hold));
    }

    /// A fetch for this customer failed. When it is the last of several in a row, and all for what the service alone can have
    /// caused, nobody tries again for a moment: in an outage the budget is not spent on learning that it goes on.
    pub(super) fn failed(&self, key: &Key, error: &Error, now: ClockReading, fraction: f64) {
        let is_of_the_service = matches!(
            error.kind(),
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Interrupted | ErrorKind::Server
        );
        if error.attempts() == 0 {
            return;
        }
        let mut inner = self.lock();
        if !is_of_the_service {
            // It has looked at the request.
            inner.in_a_row = 0;
            return;
        }
        if inner.last.replace(*key) != Some(*key) || inner.in_a_row == 0 {
            inner.in_a_row = inner.in_a_row.saturating_add(1);
        }
        if inner.in_a_row >= OUTAGE && matches!(inner.state, State::Closed) {
            inner.state = State::Open(Failure::new(error.clone(), now, between(2, 4, fraction)));
        }
    }

    /// Something worked: the credentials do, and so does the service.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.state = State::Closed;
        inner.in_a_row = 0;
    }
}

/// The right to probe. Dropped before it is known whether the store works, the next one gets it at once.
#[derive(Debug)]
pub(super) struct Probe<'b>(&'b Breaker);

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        let state = &mut self.0.lock().state;
        if let State::HalfOpen(failure) = state {
            let mut failure = failure.clone();
            failure.until = failure.at;
            *state = State::Open(failure);
        }
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

    #[test]
    fn who_is_to_blame_and_for_how_long() {
        use Blame::{Customer, Nobody, Store};
        for (kind, blame, least, most) in [
            (ErrorKind::Unauthenticated, Store, 30, 60),
            (ErrorKind::Forbidden, Store, 30, 60),
            (ErrorKind::CredentialsUnavailable, Store, 30, 60),
            (ErrorKind::NotFound, Customer, 30, 60),
            (ErrorKind::Rejected, Customer, 30, 60),
            (ErrorKind::TokenMismatch, Customer, 30, 60),
            (ErrorKind::Server, Customer, 1, 5),
            (ErrorKind::Connect, Customer, 1, 5),
            (ErrorKind::Timeout, Customer, 1, 5),
            (ErrorKind::Interrupted, Customer, 1, 5),
            (ErrorKind::UnexpectedReply, Customer, 1, 5),
            (ErrorKind::ReplyTooLarge, Customer, 1, 5),
            (ErrorKind::Redirected, Customer, 1, 5),
            (ErrorKind::Panicked, Customer, 1, 5),
            (ErrorKind::RateLimited, Nobody, 0, 0),
            (ErrorKind::InvalidInput, Nobody, 0, 0),
            (ErrorKind::Configuration, Nobody, 0, 0),
            (ErrorKind::TokenRejected, Nobody, 0, 0),
            (ErrorKind::TokenTooShort, Nobody, 0, 0),
            (ErrorKind::Forgotten, Nobody, 0, 0),
            (ErrorKind::NotConfirmed, Nobody, 0, 0),
            (ErrorKind::RuntimeGone, Nobody, 0, 0),
            (ErrorKind::ShutDown, Nobody, 0, 0),
        ] {
            let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
            assert_eq!(judge(&error(kind), true, 0.0), (blame, least), "{kind:?}");
            assert_eq!(judge(&error(kind), false, 1.0), (blame, most), "{kind:?}");
        }
    }

    #[test]
    fn a_server_error_is_the_stores_only_while_its_hash_may_be_wrong() {
        let hinted = error(ErrorKind::Server).with_hint(Some(Hint::WrongStoreHash));
        assert_eq!(judge(&hinted, false, 0.0), (Blame::Store, 30 * SECOND));
        assert_eq!(judge(&hinted, true, 0.0), (Blame::Customer, SECOND));
        let other = error(ErrorKind::Server).with_hint(Some(Hint::Redirect));
        assert_eq!(judge(&other, false, 0.0), (Blame::Customer, SECOND));
    }

    #[test]
    fn what_the_service_names_holds_within_bounds() {
        let wish = |wish| error(ErrorKind::Server).with_retry_after(Some(wish));
        assert_eq!(judge(&wish(20 * SECOND), true, 0.0).1, 20 * SECOND);
        assert_eq!(judge(&wish(SECOND / 2), true, 0.0).1, SECOND);
        assert_eq!(judge(&wish(86_400 * SECOND), true, 0.0).1, LONGEST_WISH);
    }

    #[test]
    fn a_failure_is_told_until_it_is_over() {
        let failures = Failures::new();
        failures.remember(key(1), error(ErrorKind::NotFound), at(0), 30 * SECOND);
        let told = failures.of(&key(1), at(10)).unwrap();
        assert_eq!(told.kind(), ErrorKind::NotFound);
        assert_eq!(told.remembered_for(), Some(10 * SECOND));
        assert_eq!(told.retry_after(), Some(20 * SECOND));
        assert!(failures.of(&key(2), at(10)).is_none());
        assert!(failures.of(&key(1), at(30)).is_none());
        assert_eq!(failures.len(), 0);
        failures.remember(key(1), error(ErrorKind::NotFound), at(40), 30 * SECOND);
        failures.forget(&key(1));
        assert!(failures.of(&key(1), at(41)).is_none());
    }

    #[test]
    fn the_memory_of_failures_is_bounded() {
        let failures = Failures::new();
        for customer in 1..=3 * MOST as i64 {
            failures.remember(key(customer), error(ErrorKind::NotFound), at(0), SECOND);
        }
        assert!(failures.len() <= MOST + MOST / 10, "{}", failures.len());
    }

    #[test]
    fn customers_who_fail_in_a_row_for_what_is_the_services_are_an_outage() {
        let of_the_service = || error(ErrorKind::Server).with_effort(1, SECOND);
        let breaker = Breaker::default();
        let fail = |customer, error: Error| {
            breaker.failed(&key(customer), &error, at(0), 0.5);
            breaker.refusal(at(0)).is_some()
        };
        // One who fails alone is none, however often.
        assert!((0..20).all(|_| !fail(1, of_the_service())));
        // Nor are four, nor five with a success or an answer between them, nor what was not even sent.
        assert!((2..=4).all(|customer| !fail(customer, of_the_service())));
        breaker.close();
        assert!((5..=8).all(|customer| !fail(customer, of_the_service())));
        assert!(!fail(9, error(ErrorKind::NotFound).with_effort(1, SECOND)));
        assert!((1..=4).all(|customer| !fail(customer, of_the_service())));
        assert!(!fail(5, error(ErrorKind::Timeout)));
        assert!(fail(5, of_the_service()));
        assert_eq!(
            breaker.refusal(at(2)).map(|error| error.kind()),
            Some(ErrorKind::Server)
        );
        // After three seconds one probes.
        assert!(breaker.refusal(at(3)).is_none());
        let probe = breaker.admit(at(3));
        assert!(matches!(probe, Admission::Probe(_)) && breaker.refusal(at(3)).is_some());
        breaker.close();
        drop(probe);
        assert!(matches!(breaker.admit(at(3)), Admission::Free));
        for kind in [
            ErrorKind::Connect,
            ErrorKind::Timeout,
            ErrorKind::Interrupted,
        ] {
            breaker.close();
            let fails = |customer| fail(customer, error(kind).with_effort(1, SECOND));
            assert_eq!(
                (1..=5).filter(|customer| fails(*customer)).count(),
                1,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_breaker_lets_one_probe_through_when_its_time_is_over() {
        let breaker = Breaker::default();
        assert!(matches!(breaker.admit(at(0)), Admission::Free));
        assert!(breaker.refusal(at(0)).is_none());
        breaker.open(error(ErrorKind::Forbidden), at(0), 30 * SECOND);
        let Admission::Refused(told) = breaker.admit(at(29)) else {
            panic!("it is open");
        };
        assert_eq!(told.kind(), ErrorKind::Forbidden);
        assert_eq!(told.remembered_for(), Some(29 * SECOND));
        assert!(breaker.refusal(at(29)).is_some());
        assert!(breaker.refusal(at(30)).is_none());
        let Admission::Probe(probe) = breaker.admit(at(30)) else {
            panic!("its time is over");
        };
        // While somebody probes, the others are refused.
        assert!(matches!(breaker.admit(at(31)), Admission::Refused(_)));
        assert!(breaker.refusal(at(31)).is_some());
        // A probe that comes to nothing leaves its right to the next one.
        drop(probe);
        let Admission::Probe(probe) = breaker.admit(at(31)) else {
            panic!("nobody probes any more");
        };
        breaker.close();
        drop(probe);
        assert!(matches!(breaker.admit(at(31)), Admission::Free));
    }

    #[test]
    fn a_probe_that_fails_opens_the_breaker_anew() {
        let breaker = Breaker::default();
        breaker.open(error(ErrorKind::Forbidden), at(0), 30 * SECOND);
        let Admission::Probe(probe) = breaker.admit(at(30)) else {
            panic!("its time is over");
        };
        breaker.open(error(ErrorKind::Forbidden), at(31), 30 * SECOND);
        drop(probe);
        assert!(matches!(breaker.admit(at(60)), Admission::Refused(_)));
        assert!(matches!(breaker.admit(at(61)), Admission::Probe(_)));
    }
}
