//! Log-outs: which customers were forgotten, so that nothing that was requested before comes back. Not from a refresh in flight
//! and not from a snapshot.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::OnceCell;

#[cfg(feature = "snapshot")]
use super::cached_token::Entry;
use super::{
    cache::{Notes, has_come},
    expiry::Tick,
    key::Key,
};
use crate::ClockReading;

/// How many log-outs are remembered. Only those within the time of a fetch and of a snapshot matter.
const MOST: usize = 10_000;

/// How long the longest-lived token lasts.
const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The last log-out of a customer.
#[derive(Debug, Clone)]
struct LogOut {
    number: u64,
    at: Tick,
    told: Arc<OnceCell<()>>,
}

/// The customers that were forgotten of late.
#[derive(Debug)]
pub(super) struct Forgotten {
    notes: Notes<LogOut>,
    next: AtomicU64,
}

/// The log-out of a customer that was the last one at some moment. Another one means that the customer was forgotten since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Forgotten {
    pub(super) fn new() -> Self {
        Self {
            notes: Notes::new(MOST),
            next: AtomicU64::new(1),
        }
    }

    pub(super) fn note(&self, key: Key, now: ClockReading) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let at = Tick::of(now.monotonic);
        self.notes.set(
            key.of_customer_alone(),
            LogOut {
                number,
                at,
                told: Arc::default(),
            },
        );
    }

    /// Whether the token backend was told of the customer's last log-out. `None` for a customer without one.
    pub(super) fn told(&self, key: Key) -> Option<Arc<OnceCell<()>>> {
        Some(self.notes.get(&key.of_customer_alone())?.told)
    }

    /// The stores of the customers who logged out within a day, after which no token from before is valid.
    pub(super) fn stores(&self, now: ClockReading) -> impl Iterator<Item = u64> {
        let counts = move |log_out: &LogOut| !has_come(log_out.at.plus(A_DAY), now);
        self.notes.stores(counts)
    }

    /// The customer's last log-out. Compare it with that at a later moment.
    pub(super) fn epoch(&self, key: Key) -> Epoch {
        let last = self.notes.get(&key.of_customer_alone());
        Epoch(last.map_or(0, |last| last.number))
    }

    /// Whether this token was requested before the customer's last log-out.
    #[cfg(feature = "snapshot")]
    pub(super) fn ends(&self, key: Key, entry: &Entry) -> bool {
        self.notes
            .get(&key.of_customer_alone())
            .is_some_and(|last| !entry.start().is_after(last.at))
    }
}
