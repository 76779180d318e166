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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        CustomerId,
        token::bearer,
        token_cache::{
            cache::{Capacity, TokenCache},
            cached_token::Life,
        },
    };

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(seconds: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000 + seconds),
            monotonic: Duration::from_secs(seconds),
        }
    }

    /// A token of a day that was asked for then.
    fn entry(token: &str, seconds: u64) -> Entry {
        let life = Life {
            requested_at: at(seconds).wall,
            expires_at: at(seconds).wall + DAY,
        };
        Entry::of_parts(bearer::header(token).unwrap(), life, at(seconds), 0.5).unwrap()
    }

    fn key(customer: i64) -> Key {
        Key::new(0, CustomerId::new(customer).unwrap(), None, None)
    }

    #[test]
    fn neither_the_token_that_was_refused_nor_an_older_one_is_taken() {
        let rejections = Rejections::new();
        let accept = |entry: &Entry, now| rejections.accept(&key(1), entry, at(now));
        let refused = entry("refused", 10);
        assert!(accept(&refused, 10));
        let newest = |customer| rejections.newest(&key(customer), at(20));
        assert_eq!(newest(1), None);
        assert!(rejections.note(key(1), &refused, at(20)));
        assert!(!accept(&refused, 20));
        assert_eq!((newest(1), newest(2)), (Some(refused.start()), None));
        assert!(!accept(&entry("older", 5), 20));
        assert!(!accept(&entry("as old", 10), 20));
        assert!(accept(&entry("newer", 11), 20));
        // The same one, as if it were newer.
        let same = entry("refused", 15);
        assert!(!accept(&same, 20));
        assert!(rejections.is_same(&key(1), &same, at(20)));
        assert!(!rejections.is_same(&key(1), &entry("newer", 11), at(20)));
        assert!(rejections.accept(&key(2), &refused, at(20)));
        assert!(!rejections.is_same(&key(2), &refused, at(20)));
        assert_eq!(rejections.len(), 1);
    }

    #[test]
    fn a_refusal_of_an_older_token_than_the_last_one_is_late() {
        let rejections = Rejections::new();
        assert!(rejections.note(key(1), &entry("newer", 10), at(20)));
        assert!(!rejections.note(key(1), &entry("older", 5), at(20)));
        assert!(rejections.note(key(1), &entry("newest", 15), at(20)));
    }

    #[test]
    fn a_second_rejection_of_a_token_does_not_undo_its_replacement() {
        let rejections = Rejections::new();
        assert!(rejections.note(key(1), &entry("one", 0), at(5)));
        assert!(!rejections.note(key(1), &entry("one", 0), at(5)));
        assert!(rejections.is_open(&key(1), at(5)));
        rejections.minted(&key(1), at(6));
        assert!(rejections.replaced(&key(1), &entry("two", 6), at(6)));
        // Two came while the first was still in use; nothing is waited for, wherever the second token has gone.
        assert!(!rejections.note(key(1), &entry("one", 0), at(7)));
        assert!(!rejections.is_open(&key(1), at(7)));
        assert_eq!(rejections.forced_mint_in(&key(1), at(7)), None);
        assert!(rejections.was_forced_lately(&key(1), at(7)));
    }

    /// What a rejection of the first token and the arrival of another one do, in their order.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Step {
        Note,
        Remove,
        Accept,
        Insert,
        Replaced,
    }

    /// Every order of the two.
    fn orders() -> Vec<Vec<Step>> {
        use Step::{Accept, Insert, Note, Remove, Replaced};
        let mut orders = Vec::new();
        for note in 0..4 {
            for remove in note..4 {
                let mut order = vec![Accept, Insert, Replaced];
                order.insert(remove, Remove);
                order.insert(note, Note);
                orders.push(order);
            }
        }
        orders
    }

    /// Plays an order as `StorefrontTokens::invalidate` and `Shared::keep` do; says whether the other one was kept.
    fn play(order: &[Step], first: &Arc<Entry>, other: &Arc<Entry>) -> (TokenCache, Rejections) {
        let cache = TokenCache::new(Capacity::entries(10));
        let rejections = Rejections::new();
        let (key, now) = (key(1), at(20));
        drop(cache.insert_if_newer(key, first, now));
        let mut is_accepted = false;
        for step in order {
            match step {
                Step::Note => assert!(rejections.note(key, first, now)),
                Step::Remove => {
                    if let Some(newer) = cache.remove_up_to(&key, first) {
                        rejections.replaced(&key, &newer, now);
                    }
                }
                Step::Accept => is_accepted = rejections.accept(&key, other, now),
                Step::Insert if is_accepted => drop(cache.insert_if_newer(key, other, now)),
                Step::Replaced if is_accepted => {
                    if !rejections.replaced(&key, other, now) {
                        cache.remove_up_to(&key, other);
                    }
                }
                Step::Insert | Step::Replaced => {}
            }
        }
        (cache, rejections)
    }

    #[test]
    fn a_rejection_and_the_next_token_end_alike_in_every_order() {
        let (first, second) = (Arc::new(entry("one", 0)), Arc::new(entry("two", 10)));
        assert_eq!(orders().len(), 10);
        for order in orders() {
            let (cache, rejections) = play(&order, &first, &second);
            let there = cache.get(&key(1));
            assert!(
                there.is_some_and(|there| Arc::ptr_eq(&there, &second)),
                "{order:?}"
            );
            assert!(!rejections.is_open(&key(1), at(20)), "{order:?}");
            assert!(!rejections.accept(&key(1), &first, at(20)), "{order:?}");
        }
    }

    #[test]
    fn a_rejected_token_that_arrives_again_is_not_kept_in_any_order() {
        let first = Arc::new(entry("one", 10));
        for again in [entry("one", 10), entry("one", 15), entry("older", 5)] {
            let again = Arc::new(again);
            for order in orders() {
                let (cache, rejections) = play(&order, &first, &again);
                assert!(cache.get(&key(1)).is_none(), "{order:?}, {}", again.token());
                assert!(rejections.is_open(&key(1), at(20)), "{order:?}");
            }
        }
    }

    #[test]
    fn a_refusal_is_forgotten_when_its_token_is_over_by_any_clock() {
        let rejections = Rejections::new();
        let refused = entry("refused", 0);
        assert!(rejections.note(key(1), &refused, at(0)));
        let hard = DAY.as_secs() - 30;
        assert!(!rejections.accept(&key(1), &refused, at(hard - 1)));
        assert!(rejections.accept(&key(1), &refused, at(hard)));
        assert_eq!(rejections.len(), 0);
        // One that is over by our clock may not be by the service's: it is remembered for some minutes.
        assert!(rejections.note(key(1), &refused, at(hard)));
        assert!(!rejections.accept(&key(1), &refused, at(hard + 299)));
        assert!(rejections.accept(&key(1), &refused, at(hard + 300)));
    }

    #[test]
    fn a_customer_whose_fresh_tokens_are_refused_costs_a_mint_a_minute() {
        let rejections = Rejections::new();
        let wait = |now| rejections.forced_mint_in(&key(1), at(now));
        assert_eq!(wait(0), None);
        assert!(!rejections.is_open(&key(1), at(0)));
        rejections.note(key(1), &entry("one", 0), at(5));
        assert!(rejections.is_open(&key(1), at(5)));
        assert_eq!(wait(5), None);
        rejections.minted(&key(1), at(6));
        rejections.replaced(&key(1), &entry("two", 6), at(6));
        let lately = |now| rejections.was_forced_lately(&key(1), at(now));
        assert!(lately(6) && lately(65) && !lately(66));
        // There is a good one, as far as is known: nothing to be forced, and nothing to wait for.
        assert!(!rejections.is_open(&key(1), at(6)));
        assert_eq!(wait(6), None);
        rejections.note(key(1), &entry("two", 6), at(10));
        assert!(rejections.is_open(&key(1), at(10)));
        assert!(!lately(10), "its replacement was refused as well");
        assert_eq!(wait(10), Some(56 * SECOND));
        assert_eq!(wait(65), Some(SECOND));
        assert_eq!(wait(66), None);
    }

    #[test]
    fn a_token_that_came_by_another_way_than_a_mint_is_no_reason_to_wait() {
        let rejections = Rejections::new();
        rejections.note(key(1), &entry("one", 0), at(5));
        rejections.replaced(&key(1), &entry("two", 6), at(6));
        assert!(!rejections.was_forced_lately(&key(1), at(6)));
        rejections.note(key(1), &entry("two", 6), at(7));
        assert_eq!(rejections.forced_mint_in(&key(1), at(7)), None);
        // What is minted for another reason says nothing of a refusal that has been answered.
        rejections.replaced(&key(1), &entry("three", 8), at(8));
        rejections.minted(&key(1), at(8));
        rejections.note(key(1), &entry("three", 8), at(9));
        assert_eq!(rejections.forced_mint_in(&key(1), at(9)), None);
    }
}
