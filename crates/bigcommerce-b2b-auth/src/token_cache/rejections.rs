//! Tokens that were refused by those whom they were shown to, so that none of them comes back: not from a flight that began
//! before, not from a shared store, and not from a service that hands out the same one again.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    cache::{Notes, has_come},
    cached_token::Entry,
    expiry::Tick,
    key::Key,
};
use crate::ClockReading;

/// How many customers' rejections are remembered.
const MOST: usize = 10_000;

/// A customer whose fresh tokens are refused as well does not cost more than a mint in this time.
pub(super) const BETWEEN_FORCED_MINTS: Duration = Duration::from_secs(60);

/// What is known of the newest token of a key that was refused.
#[derive(Debug, Clone, Copy)]
struct Rejection {
    start: Tick,
    /// Of its text, which is not kept.
    fingerprint: u64,
    /// When it does not count any more of itself, and this is of no use.
    over: Tick,
    /// When a token was last minted because another had been refused.
    forced_at: Option<Tick>,
    /// Whether there is a token in its place that was not refused.
    is_replaced: bool,
}

/// The newest rejected token of each customer.
///
/// A rejection and a token that arrives at the same time are decided alike in every order: a rejection is noted before the
/// token is removed from the cache, and a token is put into the cache before [`replaced`](Self::replaced) asks for the note.
#[derive(Debug)]
pub(super) struct Rejections {
    notes: Notes<Rejection>,
    hasher: RandomState,
    /// Held while a note is read, changed and written.
    writing: Mutex<()>,
}

impl Rejections {
    pub(super) fn new() -> Self {
        Self {
            notes: Notes::new(MOST),
            hasher: RandomState::new(),
            writing: Mutex::default(),
        }
    }

    fn of(&self, key: &Key, now: ClockReading) -> Option<Rejection> {
        let rejection = self.notes.get(key)?;
        let is_over = |rejection: &Rejection| has_come(rejection.over, now);
        if is_over(&rejection) {
            self.notes.remove_if(key, is_over);
            return None;
        }
        Some(rejection)
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that this token was rejected. `false` when that is known already, or when a newer one was rejected since.
    pub(super) fn note(&self, key: Key, entry: &Entry, now: ClockReading) -> bool {
        let _write = self.write();
        let fingerprint = self.hasher.hash_one(entry.token());
        let known = self.of(&key, now);
        // A second rejection of one token says nothing of what has taken its place since the first.
        if known.is_some_and(|known| {
            known.start.is_after(entry.start()) || known.fingerprint == fingerprint
        }) {
            return false;
        }
        /// A token may be over by our clock and not by the service's.
        const AT_LEAST: Duration = Duration::from_secs(5 * 60);
        let left = entry.served_for(now).max(AT_LEAST);
        self.notes.set(
            key,
            Rejection {
                start: entry.start(),
                fingerprint,
                over: Tick::of(now.monotonic).plus(left),
                forced_at: known.and_then(|known| known.forced_at),
                is_replaced: false,
            },
        );
        true
    }

    /// Whether this token of the key was not refused, and is newer than the one that was.
    pub(super) fn accept(&self, key: &Key, entry: &Entry, now: ClockReading) -> bool {
        self.of(key, now)
            .is_none_or(|rejection| self.is_after(&rejection, entry))
    }

    fn is_after(&self, rejection: &Rejection, entry: &Entry) -> bool {
        entry.start().is_after(rejection.start)
            && self.hasher.hash_one(entry.token()) != rejection.fingerprint
    }

    /// When the newest token of the key that was refused was asked for.
    pub(super) fn newest(&self, key: &Key, now: ClockReading) -> Option<Tick> {
        self.of(key, now).map(|rejection| rejection.start)
    }

    /// Whether this is the very token that was refused.
    pub(super) fn is_same(&self, key: &Key, entry: &Entry, now: ClockReading) -> bool {
        self.of(key, now)
            .is_some_and(|rejection| self.hasher.hash_one(entry.token()) == rejection.fingerprint)
    }

    /// Whether the key's last token was refused and nothing is in its place, so that the next fetch is a forced one.
    pub(super) fn is_open(&self, key: &Key, now: ClockReading) -> bool {
        self.of(key, now)
            .is_some_and(|rejection| !rejection.is_replaced)
    }

    /// In how long a forced mint is allowed; `None` when it is now.
    pub(super) fn forced_mint_in(&self, key: &Key, now: ClockReading) -> Option<Duration> {
        let rejection = self.of(key, now).filter(|known| !known.is_replaced)?;
        let again = rejection.forced_at?.plus(BETWEEN_FORCED_MINTS);
        let wait = again.until(Tick::of(now.monotonic));
        (!wait.is_zero()).then_some(wait)
    }

    /// Whether a refused token was replaced by a mint so short a time ago that another mint would not be allowed.
    pub(super) fn was_forced_lately(&self, key: &Key, now: ClockReading) -> bool {
        self.of(key, now).is_some_and(|rejection| {
            rejection.is_replaced
                && rejection
                    .forced_at
                    .is_some_and(|at| !has_come(at.plus(BETWEEN_FORCED_MINTS), now))
        })
    }

    /// A token was minted after another one had been refused, whether it is any good or not.
    pub(super) fn minted(&self, key: &Key, now: ClockReading) {
        let _write = self.write();
        if let Some(mut rejection) = self.of(key, now).filter(|known| !known.is_replaced) {
            rejection.forced_at = Some(Tick::of(now.monotonic));
            self.notes.set(*key, rejection);
        }
    }

    /// This token is in the cache, in the place of a rejected one if there was any. `false` when the token itself was
    /// rejected meanwhile, or is older than one that was: then it has to go again.
    pub(super) fn replaced(&self, key: &Key, entry: &Entry, now: ClockReading) -> bool {
        // Most customers have no rejected token. If one is noted after this look, who notes it finds this token in the cache.
        if self.of(key, now).is_none() {
            return true;
        }
        let _write = self.write();
        let Some(mut rejection) = self.of(key, now) else {
            return true;
        };
        if !self.is_after(&rejection, entry) {
            return false;
        }
        rejection.is_replaced = true;
        self.notes.set(*key, rejection);
        true
    }

    /// The stores of the customers whose rejection still matters.
    pub(super) fn stores(&self, now: ClockReading) -> impl Iterator<Item = u64> {
        self.notes
            .stores(move |rejection| !has_come(rejection.over, now))
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }
}

#[cfg(test)]
mod tests;
