//! Tokens that were refused by those whom they were shown to, so that none of them comes back: not from a flight that began
//! before, not from a shared store, and not from a service that hands out the same one again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use super::{
    cache::{Notes, has_come},
    entry::Entry,
    key::Key,
    moments::Tick,
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

#[derive(Debug)]
pub(super) struct Rejections {
    notes: Notes<Rejection>,
    hasher: RandomState,
}

impl Rejections {
    pub(super) fn new() -> Self {
        Self {
            notes: Notes::new(MOST),
            hasher: RandomState::new(),
        }
    }

    fn of(&self, key: &Key, now: ClockReading) -> Option<Rejection> {
        let rejection = self.notes.get(key)?;
        if has_come(rejection.over, now) {
            self.notes.remove(key);
            return None;
        }
        Some(rejection)
    }

    /// Remembers that this token was refused. `false` when a newer one is known to have been.
    pub(super) fn note(&self, key: Key, entry: &Entry, now: ClockReading) -> bool {
        let known = self.of(&key, now);
        if known.is_some_and(|known| known.start.is_after(entry.start())) {
            return false;
        }
        /// A token may be over by our clock and not by the service's.
        const AT_LEAST: Duration = Duration::from_secs(5 * 60);
        let left = entry.served_for(now).max(AT_LEAST);
        self.notes.set(
            key,
            Rejection {
                start: entry.start(),
                fingerprint: self.hasher.hash_one(entry.token()),
                over: Tick::of(now.monotonic).plus(left),
                forced_at: known.and_then(|known| known.forced_at),
                is_replaced: false,
            },
        );
        true
    }

    /// Whether this token of the key was not refused, and is newer than the one that was.
    pub(super) fn accept(&self, key: &Key, entry: &Entry, now: ClockReading) -> bool {
        self.of(key, now).is_none_or(|rejection| {
            entry.start().is_after(rejection.start)
                && self.hasher.hash_one(entry.token()) != rejection.fingerprint
        })
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

    /// A token was minted after another one had been refused. `is_good` says that it is not that one again.
    pub(super) fn minted(&self, key: &Key, is_good: bool, now: ClockReading) {
        if let Some(rejection) = self.of(key, now).filter(|known| !known.is_replaced) {
            self.notes.set(
                *key,
                Rejection {
                    forced_at: Some(Tick::of(now.monotonic)),
                    is_replaced: is_good,
                    ..rejection
                },
            );
        }
    }

    pub(super) fn len(&self) -> usize {
        self.notes.len()
    }
}
