//! What a cache knows of each store. It is kept while the store is used and while a token or anything else is remembered of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::StoreState;
use crate::{ClockReading, StoreHash};

/// With fewer stores than this, new ones cause no sweep.
const FEW: usize = 64;

#[derive(Debug)]
pub(super) struct StoreStates(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    by_hash: HashMap<StoreHash, Kept>,
    next_number: u64,
    sweeps: u64,
    /// With how many stores the next sweep begins.
    sweep_at: usize,
}

#[derive(Debug)]
struct Kept {
    state: Arc<StoreState>,
    /// The sweep that found it unused, if nobody used it since.
    unused_in: Option<u64>,
}

/// A sweep that is under way.
#[derive(Debug)]
pub(super) struct Sweep(u64);

impl StoreStates {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner {
            by_hash: HashMap::new(),
            next_number: 0,
            sweeps: 0,
            sweep_at: FEW,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of a store, and whether there are so many by now that it is time to sweep.
    pub(super) fn of(&self, hash: &StoreHash) -> (Arc<StoreState>, bool) {
        let inner = &mut *self.lock();
        if let Some(kept) = inner.by_hash.get_mut(hash) {
            kept.unused_in = None;
            return (Arc::clone(&kept.state), false);
        }
        // Numbers are not reused, so that entries of a dropped store never belong to another one.
        let state = Arc::new(StoreState::new(inner.next_number));
        inner.next_number += 1;
        let kept = Kept {
            state: Arc::clone(&state),
            unused_in: None,
        };
        inner.by_hash.insert(hash.clone(), kept);
        let stores = inner.by_hash.len();
        let are_many = stores >= inner.sweep_at;
        if are_many {
            // Said once, until that sweep has come to its end, or is never done.
            inner.sweep_at = 2 * stores;
        }
        (state, are_many)
    }

    /// Notes which stores nobody uses, before it is looked up what is remembered of which.
    pub(super) fn begin_sweep(&self, now: ClockReading) -> Sweep {
        let inner = &mut *self.lock();
        inner.sweeps += 1;
        for kept in inner.by_hash.values_mut() {
            if Arc::strong_count(&kept.state) == 1 && kept.state.is_at_rest(now) {
                kept.unused_in.get_or_insert(inner.sweeps);
            }
        }
        Sweep(inner.sweeps)
    }

    /// Removes the stores that nobody has used since the sweep began, unless something is remembered of them. Nothing can have
    /// been added to what is remembered of a store that nobody used.
    ///
    /// The next sweep begins with twice as many stores, or later where there are many tokens to be looked at: then it costs each
    /// new store a constant part.
    pub(super) fn end_sweep(&self, sweep: &Sweep, remembered: &HashSet<u64>, tokens: usize) {
        let inner = &mut *self.lock();
        inner.by_hash.retain(|_, kept| {
            let was_unused = kept.unused_in == Some(sweep.0);
            if was_unused {
                kept.unused_in = None;
            }
            !was_unused || remembered.contains(&kept.state.number)
        });
        let left = inner.by_hash.len();
        inner.sweep_at = left + left.max(FEW).max(tokens / 8);
        if inner.by_hash.capacity() / 4 > left.max(FEW) {
            inner.by_hash.shrink_to(2 * left.max(FEW));
        }
    }

    /// The stores and their numbers, the lowest first.
    #[cfg(feature = "snapshot")]
    pub(super) fn by_number(&self) -> Vec<(u64, StoreHash)> {
        let inner = self.lock();
        let numbered = |(hash, kept): (&StoreHash, &Kept)| (kept.state.number, hash.clone());
        let mut stores: Vec<_> = inner.by_hash.iter().map(numbered).collect();
        stores.sort_unstable_by_key(|(number, _)| *number);
        stores
    }

    /// How many stores there are, and for how many there is room.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.by_hash.len(), inner.by_hash.capacity())
    }
}

#[cfg(test)]
mod tests;
