//! Circuit breaker of a store: decides whether a failure counts against one customer or against the whole store, and who may
//! try while the store's failure lasts.
//!
//! | what counts against the store | for how long |
//! |---|---|
//! | 401 or 403 of two customers, the same one with the same access token, with no success in between | 30 to 60 s, then one probe |
//! | 401 or 403 of the first customer, if the store never worked | 1 to 5 s, then one probe; if that is refused too, 30 to 60 s |
//! | a wrong store hash, if the store never worked | 30 to 60 s, then one probe |
//! | no access token, because its provider has none | 30 to 60 s, then one probe |
//! | an outage: a 5xx, a broken connection or a time-out of five customers in a row | 2 to 4 s, then one probe |
//!
//! A customer who failed before is never the probe: their failure says nothing of the store. While the store's failure lasts,
//! such customers may try for themselves. Their success ends it. Their failure delays only them.
//!
//! A store has worked when a token was minted for it, or when one is found in a snapshot or in the token backend.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    cache::has_come,
    expiry::Tick,
    key::Key,
    negative_cache::{Blame, Failure, between, blame, long_hold, short_hold},
};
use crate::{
    ClockReading, CustomerId, Error, ErrorKind,
    auth::credentials::TokenFingerprint,
    rate_limit::{Successes, SuccessesSoFar},
};

/// How many customers in a row have to fail in a way that is the service's until it is an outage. At one fault in a hundred
/// that happens by chance once in ten billion.
const OUTAGE: u32 = 5;

/// How many customers who failed in one failure of the store are remembered.
const MOST_FAILED: usize = 1_000;

/// While a failure of the store lasts, the customers who failed before try this far apart, all of them together.
const BETWEEN_OWN_TRIES: Duration = Duration::from_secs(15);

/// How far ahead of that they may be: after a pause three of them may try at once.
const OWN_TRIES_AHEAD: Duration = Duration::from_secs(2 * 15);

/// The breaker of a store.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The failure of the store, while it lasts.
    open: Option<Open>,
    /// Whether the store ever gave a token: then its hash is not wrong.
    has_worked: bool,
    /// A customer whose failure may be the store's: a second one decides it.
    suspicion: Option<Suspicion>,
    /// How many customers failed in a row in a way that is the service's, and the last of them. One customer alone is no outage,
    /// however often they fail.
    in_a_row: u32,
    last: Option<Key>,
}

/// The store failed.
#[derive(Debug)]
struct Open {
    /// What those who have to wait are told.
    failure: Failure,
    /// What the store's failure is about; `None` for an outage.
    cause: Option<Cause>,
    /// Who is trying, now that its time is over.
    probe: Option<Key>,
    /// The customers who failed in it, each with their own failure.
    failed: HashMap<CustomerId, Failure>,
    /// When the next of them may try, at [`BETWEEN_OWN_TRIES`].
    own_try: Tick,
}

/// A failure that may be the store's. Any success of the store's clients since then ends it.
#[derive(Debug)]
struct Cause {
    failure: Failure,
    successes: SuccessesSoFar,
}

#[derive(Debug)]
struct Suspicion {
    customer: CustomerId,
    cause: Cause,
}

/// Whose mint asks for admission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Applicant {
    pub(super) key: Key,
    /// Whether earlier failures are blamed on the customer.
    pub(super) has_failed: bool,
}

/// What an applicant may do.
enum Standing {
    Free,
    /// Try for all.
    Probe,
    /// Try. A failure counts against this customer only.
    OwnAccount,
    Refused(Failure),
}

/// A failed mint, as far as it matters here.
#[derive(Debug)]
pub(super) struct FailedMint<'f> {
    pub(super) error: &'f Error,
    /// The access token that was sent.
    pub(super) token: TokenFingerprint,
    /// Counts the successes of the client that minted.
    pub(super) successes: &'f Successes,
}

/// Where a failure is to be remembered besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is blamed on the customer, who has to wait the longer, the more often that happens. Where the access token may be to
    /// blame as well, it counts for that token alone.
    Customer { with_token: bool },
    /// It passes by itself: the customer waits for a moment.
    Passing,
    /// Nowhere: the breaker remembers it, or nobody does.
    Settled,
}

impl Inner {
    /// Drops what a success outside of this cache has ended.
    fn heed_successes(&mut self) {
        let cause = self.open.as_ref().and_then(|open| open.cause.as_ref());
        if cause.is_some_and(|cause| cause.successes.are_outdated()) {
            self.open = None;
            self.has_worked = true;
        }
        let suspicion = self.suspicion.as_ref();
        if suspicion.is_some_and(|suspicion| suspicion.cause.successes.are_outdated()) {
            self.suspicion = None;
        }
    }

    fn standing(&mut self, applicant: &Applicant, now: ClockReading) -> Standing {
        self.heed_successes();
        let Some(open) = &self.open else {
            return Standing::Free;
        };
        let own = open.failed.get(&applicant.key.customer());
        if open.failure.holds(now) {
            let longer = own.filter(|own| own.until().is_after(open.failure.until()));
            return Standing::Refused(longer.unwrap_or(&open.failure).clone());
        }
        if own.is_none() && !applicant.has_failed {
            return match open.probe {
                None => Standing::Probe,
                // Who else wants the token that is being minted waits for it.
                Some(key) if key == applicant.key => Standing::Probe,
                Some(_) => Standing::Refused(open.failure.clone()),
            };
        }
        let own = own.unwrap_or(&open.failure);
        if own.holds(now) {
            return Standing::Refused(own.clone());
        }
        let turn = open.own_try.minus(OWN_TRIES_AHEAD);
        if !has_come(turn, now) {
            return Standing::Refused(own.clone().postponed(turn));
        }
        Standing::OwnAccount
    }

    /// The store failed: nobody tries before the failure's time is over. These customers failed in it.
    fn open(&mut self, failure: Failure, cause: Option<Cause>, customers: &[CustomerId]) {
        let mut failed = self.open.take().map(|open| open.failed).unwrap_or_default();
        failed.retain(|_, other| other.is_like(&failure));
        self.suspicion = None;
        let mut open = Open {
            own_try: failure.until(),
            failure: failure.clone(),
            cause,
            probe: None,
            failed,
        };
        for customer in customers {
            open.failed_too(*customer, failure.clone());
        }
        self.open = Some(open);
    }

    /// Takes note of a mint that failed, and says who is to remember it besides.
    fn failed(
        &mut self,
        applicant: &Applicant,
        is_probe: bool,
        mint: &FailedMint<'_>,
        now: ClockReading,
        fraction: f64,
    ) -> Verdict {
        let error = mint.error;
        self.heed_successes();
        self.count_towards_an_outage(applicant, error, now, fraction);
        match blame(error) {
            Blame::Nobody => Verdict::Settled,
            Blame::Customer => {
                self.service_answered();
                Verdict::Customer { with_token: false }
            }
            Blame::AccessToken => {
                self.service_answered();
                let failure =
                    Failure::new(error.clone(), Some(mint.token), now, long_hold(fraction));
                // It may be this customer alone: another one finds out soon.
                let until = Tick::of(now.monotonic).plus(short_hold(fraction));
                self.failed_like_the_store(applicant, is_probe, Cause::new(failure, mint), until)
            }
            Blame::Provider => {
                let none = Some(TokenFingerprint::NONE);
                let failure = Failure::new(error.clone(), none, now, long_hold(fraction));
                // No customer was involved: each of them may be the probe.
                self.open(failure.clone(), Some(Cause::new(failure, mint)), &[]);
                Verdict::Settled
            }
            Blame::StoreHash if !self.has_worked => {
                let failure = Failure::new(error.clone(), None, now, long_hold(fraction));
                let until = failure.until();
                self.failed_like_the_store(applicant, is_probe, Cause::new(failure, mint), until)
            }
            Blame::StoreHash | Blame::Service => {
                if let Some(open) = self.open.as_mut().filter(|_| is_probe)
                    && error.attempts() > 0
                {
                    // Whether the store works again is still unknown, and the next customer would meet the same.
                    let token = open.failure.token();
                    open.failure = Failure::new(error.clone(), token, now, short_hold(fraction));
                }
                Verdict::Passing
            }
        }
    }

    /// A customer failed in a way that may be the store's. If that store never worked, the first customer's failure holds up the
    /// others until `next_probe`.
    fn failed_like_the_store(
        &mut self,
        applicant: &Applicant,
        is_probe: bool,
        cause: Cause,
        next_probe: Tick,
    ) -> Verdict {
        let customer = applicant.key.customer();
        let failure = cause.failure.clone();
        let known = self.open.as_ref().and_then(|open| open.cause.as_ref());
        let is_known = known.is_some_and(|known| known.failure.is_like(&failure));
        if let Some(open) = self.open.as_mut().filter(|_| is_known && !is_probe) {
            // On their own account, or sent before the store's failure was known.
            open.failed_too(customer, failure);
            return Verdict::Settled;
        }
        if is_known {
            self.open(failure, Some(cause), &[customer]);
            return Verdict::Settled;
        }
        if !self.has_worked {
            self.open(failure.clone().postponed(next_probe), Some(cause), &[]);
            if let Some(open) = &mut self.open {
                open.failed_too(customer, failure);
            }
            return Verdict::Settled;
        }
        if applicant.has_failed {
            // It says nothing new: the store has worked since the first time, or it is this customer who is suspected.
            return Verdict::Customer { with_token: true };
        }
        match &self.suspicion {
            Some(other) if other.customer != customer && other.cause.failure.is_like(&failure) => {
                let customers = [other.customer, customer];
                self.open(failure, Some(cause), &customers);
                Verdict::Settled
            }
            _ => {
                self.suspicion = Some(Suspicion { customer, cause });
                Verdict::Customer { with_token: true }
            }
        }
    }

    /// When several customers in a row fail in a way that only the service can have caused, nobody tries for a moment: in an
    /// outage the rate limit is not spent on learning that it lasts.
    fn count_towards_an_outage(
        &mut self,
        applicant: &Applicant,
        error: &Error,
        now: ClockReading,
        fraction: f64,
    ) {
        if error.attempts() == 0 {
            return;
        }
        let is_of_the_service = matches!(
            error.kind(),
            ErrorKind::Connect | ErrorKind::Timeout | ErrorKind::Interrupted | ErrorKind::Server
        );
        if !is_of_the_service {
            self.in_a_row = 0;
            return;
        }
        let key = applicant.key;
        if self.last.replace(key) != Some(key) || self.in_a_row == 0 {
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        if self.in_a_row >= OUTAGE && self.open.is_none() {
            let hold = between(2, 4, fraction);
            self.open(Failure::new(error.clone(), None, now, hold), None, &[]);
        }
    }

    /// The service has looked at a request: an outage is over.
    fn service_answered(&mut self) {
        if self.open.as_ref().is_some_and(|open| open.cause.is_none()) {
            self.open = None;
        }
    }
}

impl Cause {
    fn new(failure: Failure, mint: &FailedMint<'_>) -> Self {
        Self {
            failure,
            successes: mint.successes.so_far(),
        }
    }
}

impl Open {
    /// This customer failed in it, too.
    fn failed_too(&mut self, customer: CustomerId, failure: Failure) {
        if self.failed.len() < MOST_FAILED || self.failed.contains_key(&customer) {
            self.failed.insert(customer, failure);
        }
    }
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failure that this applicant has to wait for, if there is one now.
    pub(super) fn refusal(&self, applicant: &Applicant, now: ClockReading) -> Option<Failure> {
        match self.lock().standing(applicant, now) {
            Standing::Refused(failure) => Some(failure),
            Standing::Free | Standing::Probe | Standing::OwnAccount => None,
        }
    }

    /// Asks for admission. Once the time of a failure is over, one customer who did not fail before probes, and the others are
    /// refused until it is known how that ends.
    ///
    /// # Errors
    /// The failure that the applicant has to wait for.
    pub(super) fn admit(
        &self,
        applicant: Applicant,
        now: ClockReading,
    ) -> Result<Admission<'_>, Failure> {
        let mut inner = self.lock();
        let standing = inner.standing(&applicant, now);
        let is_probe = matches!(standing, Standing::Probe);
        match (standing, &mut inner.open) {
            (Standing::Refused(failure), _) => return Err(failure),
            (Standing::Probe, Some(open)) => open.probe = Some(applicant.key),
            (Standing::OwnAccount, Some(open)) => {
                let now = Tick::of(now.monotonic);
                open.own_try = open.own_try.max(now).plus(BETWEEN_OWN_TRIES);
            }
            (Standing::Free | Standing::Probe | Standing::OwnAccount, _) => {}
        }
        Ok(Admission {
            breaker: self,
            applicant,
            is_probe,
        })
    }

    /// Admission past the breaker, for a mint that does not have what the failure is about: it sends another access token.
    pub(super) fn admit_past(&self, applicant: Applicant) -> Admission<'_> {
        Admission {
            breaker: self,
            applicant,
            is_probe: false,
        }
    }

    /// A token was minted: the access token works, and so does the service.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.open = None;
        inner.suspicion = None;
        inner.has_worked = true;
        inner.in_a_row = 0;
    }

    /// The store gave a token at an earlier time, or to another process. One customer's failure that counted against a store that
    /// never worked does not any more.
    pub(super) fn has_worked_before(&self) {
        let mut inner = self.lock();
        let is_news = !std::mem::replace(&mut inner.has_worked, true);
        if is_news
            && inner
                .open
                .as_ref()
                .is_some_and(|open| open.cause.is_some() && open.failed.len() == 1)
        {
            inner.open = None;
        }
    }

    /// Whether the store ever gave a token.
    #[cfg(all(test, feature = "snapshot"))]
    pub(super) fn has_ever_worked(&self) -> bool {
        self.lock().has_worked
    }

    /// Whether nobody is refused, and nobody probes.
    pub(super) fn is_at_rest(&self, now: ClockReading) -> bool {
        let inner = self.lock();
        let is_over = |open: &Open| !open.failure.holds(now) && open.probe.is_none();
        inner.open.as_ref().is_none_or(is_over)
    }

    /// Forgets what failed.
    pub(super) fn forget_failures(&self) {
        let mut inner = self.lock();
        inner.open = None;
        inner.suspicion = None;
        inner.in_a_row = 0;
    }
}

/// The right to mint. If a probe ends without an answer of the store, the next customer may probe at once.
#[derive(Debug)]
pub(super) struct Admission<'b> {
    breaker: &'b Breaker,
    applicant: Applicant,
    is_probe: bool,
}

impl Admission<'_> {
    /// The mint failed. What is returned says who is to remember it besides.
    pub(super) fn failed(
        &self,
        mint: &FailedMint<'_>,
        now: ClockReading,
        fraction: f64,
    ) -> Verdict {
        self.breaker
            .lock()
            .failed(&self.applicant, self.is_probe, mint, now, fraction)
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        if !self.is_probe {
            return;
        }
        if let Some(open) = &mut self.breaker.lock().open
            && open.probe == Some(self.applicant.key)
        {
            open.probe = None;
        }
    }
}

#[cfg(test)]
mod tests;
