//! What a cache of managed tokens has done so far: counters, cheap enough for every hit.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// What a cache of managed tokens has done since it was made, and what it holds. See
/// [`StorefrontTokens::metrics`](crate::StorefrontTokens::metrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct TokenMetrics {
    /// Accesses that were served at once. Exact as long as no more than 64 threads use the cache.
    pub hits: u64,
    /// Accesses that found no token which still counted.
    pub misses: u64,
    /// Accesses that waited for a fetch which somebody else had begun.
    pub joined: u64,
    /// Fetches because there was no token.
    pub fetches_cold: u64,
    /// Fetches in the background, ahead of time.
    pub fetches_soft: u64,
    /// Fetches close to the end of a token, which was waited for.
    pub fetches_blocking: u64,
    /// Fetches because the last token was refused.
    pub fetches_forced: u64,
    /// Fetches before anybody had asked, by [`warm`](crate::StorefrontTokens::warm).
    pub fetches_warm: u64,
    /// Fetches that ended without a token.
    pub fetches_failed: u64,
    /// Tokens that were minted.
    pub mints: u64,
    /// Tokens that came from the shared store.
    pub from_shared_store: u64,
    /// Calls to the token backend that failed, took too long, or panicked.
    pub shared_store_errors: u64,
    /// How often the token backend went down so far.
    pub backend_outages: u64,
    /// Whether the token backend is down: its last call failed, and none has succeeded since.
    pub backend_is_down: bool,
    /// Fetches that found a token in the token backend which cannot be used: it names another customer or store, is longer than
    /// 16 KiB, or was requested in the future. Each is a miss.
    pub backend_tokens_unusable: u64,
    /// Accesses that were served a token which still counted because its renewal failed or took too long.
    pub served_around: u64,
    /// Accesses that were told a remembered failure, without anything being tried.
    pub remembered_failures: u64,
    /// Renewals that were put off: too many at once, too little of the budget left, or a failure that is remembered.
    pub renewals_put_off: u64,
    /// Mints that had to wait for the store's budget.
    pub budget_waits: u64,
    /// Tokens that were put in by the caller.
    pub puts: u64,
    /// Tokens that were refused and taken out.
    pub invalidated: u64,
    /// Refusals of a token that had been replaced already.
    pub invalidated_late: u64,
    /// Tokens that had to go although they were still valid, because the cache was full: each costs a mint when it is
    /// asked for again. Raise the capacity when this grows.
    pub evicted_live: u64,
    /// Tokens that were over when they had to go.
    pub evicted_expired: u64,
    /// Tokens that were over and swept out.
    pub swept: u64,
    /// Tokens that are there now.
    pub entries: usize,
    /// Fetches that are under way now.
    pub fetches_under_way: usize,
    /// Customers whose last failure is remembered now, also when it can be tried again: the next one in a row is remembered for
    /// longer.
    pub failures: usize,
    /// Refused tokens that are remembered now.
    pub rejections: usize,
}

macro_rules! counters {
    ($($name:ident),+ $(,)?) => {
        /// The counters behind [`TokenMetrics`], but for the hits.
        #[derive(Debug, Default)]
        pub(super) struct Counters {
            pub(super) hits: Hits,
            $(pub(super) $name: Counter,)+
        }

        impl Counters {
            /// What was counted so far.
            pub(super) fn read(&self) -> TokenMetrics {
                TokenMetrics {
                    hits: self.hits.read(),
                    $($name: self.$name.read(),)+
                    ..TokenMetrics::default()
                }
            }
        }
    };
}

counters! {
    misses, joined, fetches_cold, fetches_soft, fetches_blocking, fetches_forced, fetches_warm, fetches_failed, mints, from_shared_store,
    backend_tokens_unusable,
    served_around, remembered_failures, renewals_put_off, budget_waits, puts, invalidated,
    invalidated_late, evicted_live, evicted_expired, swept,
}

/// A count of what happens now and then.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Threads that each count for themselves.
const STRIPES: usize = 64;

/// The count of hits. An addition that all threads share would cost as much as the rest of a hit, so each thread has a place
/// of its own, in a line of the processor's cache of its own, and adds without locking the bus.
pub(super) struct Hits(Box<[Stripe; STRIPES]>);

#[derive(Default)]
#[repr(align(128))]
struct Stripe(AtomicU64);

impl Default for Hits {
    fn default() -> Self {
        Self(Box::new(std::array::from_fn(|_| Stripe::default())))
    }
}

impl fmt::Debug for Hits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hits").field(&self.read()).finish()
    }
}

impl Hits {
    #[inline]
    pub(super) fn one(&self) {
        let place = PLACE.with(Place::get) % STRIPES;
        if let Some(Stripe(count)) = self.0.get(place) {
            // Nobody else writes here, unless there are more threads than places: then one of two may be lost.
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> u64 {
        self.0
            .iter()
            .map(|Stripe(count)| count.load(Ordering::Relaxed))
            .sum()
    }
}

thread_local! {
    static PLACE: Place = const { Place(Cell::new(None)) };
}

/// The place of a thread, given back when the thread ends, so that the places of those that run stay few.
struct Place(Cell<Option<usize>>);

/// The places that were given back, and the next one that never was given.
static FREE: Mutex<(Vec<usize>, usize)> = Mutex::new((Vec::new(), 0));

impl Place {
    fn get(&self) -> usize {
        if let Some(place) = self.0.get() {
            return place;
        }
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.0.pop().unwrap_or_else(|| {
            free.1 += 1;
            free.1 - 1
        });
        self.0.set(Some(place));
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(place) = self.0.get() {
            let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
            free.0.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hit_of_every_thread_is_counted() {
        let hits = Hits::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        hits.one();
                    }
                });
            }
        });
        assert_eq!(hits.read(), 80_000);
    }

    #[test]
    fn a_thread_that_ends_gives_its_place_back() {
        let place = || PLACE.with(Place::get);
        let own = place();
        assert_eq!(place(), own);
        // Other tests run at the same time: what holds is that far fewer places are given than threads have been there.
        let most = (0..1000)
            .map(|_| std::thread::spawn(place).join().unwrap())
            .max()
            .unwrap();
        assert!(most < 500, "{most}");
    }

    #[test]
    fn what_was_counted_is_read_under_its_name() {
        let counters = Counters::default();
        counters.hits.one();
        counters.misses.one();
        counters.swept.add(7);
        let read = counters.read();
        assert_eq!(
            (read.hits, read.misses, read.swept, read.joined),
            (1, 1, 7, 0)
        );
    }
}
