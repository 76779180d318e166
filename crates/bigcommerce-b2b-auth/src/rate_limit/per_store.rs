//! What all calls to one store have in common: its request budget and its retry budget. There is one for each store that
//! a client and its relatives talk to, kept while it is used and for a minute afterwards.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{RequestBudget, RequestBudgets, swept_map::SweptMap};
use crate::{Clock, pipeline::retry::RetryTokens};

/// One store, seen from the request path.
#[derive(Debug)]
pub(crate) struct StoreLine {
    pub(crate) budget: Arc<dyn RequestBudget>,
    pub(crate) retry_tokens: RetryTokens,
    pub(crate) successes: Successes,
}

/// Counts the successful calls to a store that cannot be made without its access token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Successes(Arc<AtomicU64>);

impl Successes {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many successes there were at some moment.
#[cfg(feature = "tokens")]
#[derive(Debug)]
pub(crate) struct SuccessesSoFar {
    counter: Successes,
    count: u64,
}

#[cfg(feature = "tokens")]
impl Successes {
    pub(crate) fn so_far(&self) -> SuccessesSoFar {
        SuccessesSoFar {
            counter: self.clone(),
            count: self.0.load(Ordering::Relaxed),
        }
    }
}

#[cfg(feature = "tokens")]
impl SuccessesSoFar {
    /// Whether there was another one since.
    pub(crate) fn are_outdated(&self) -> bool {
        self.counter.0.load(Ordering::Relaxed) != self.count
    }
}

/// How long the state of a store is kept when nobody uses it: a client that is built for each request must not start with a
/// fresh retry budget each time.
const KEPT_UNUSED: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Stores {
    budgets: Arc<dyn RequestBudgets>,
    retry_tokens: RetryTokens,
    by_store: Mutex<SweptMap<Arc<str>, Kept>>,
}

#[derive(Debug)]
struct Kept {
    line: Arc<StoreLine>,
    /// Since when nobody is known to use it.
    unused_since: Option<Instant>,
}

impl Kept {
    fn stays(&mut self, now: Instant) -> bool {
        if Arc::strong_count(&self.line) > 1 {
            self.unused_since = None;
            return true;
        }
        let since = *self.unused_since.get_or_insert(now);
        now.saturating_duration_since(since) < KEPT_UNUSED
    }
}

impl Stores {
    pub(crate) fn new(budgets: Arc<dyn RequestBudgets>, retry_tokens: RetryTokens) -> Self {
        Self {
            budgets,
            retry_tokens,
            by_store: Mutex::default(),
        }
    }

    /// The line of a store; one of its own for credentials that name no store.
    pub(crate) fn of(&self, store_hash: Option<&str>, clock: &Arc<dyn Clock>) -> Arc<StoreLine> {
        let new = || {
            Arc::new(StoreLine {
                budget: self.budgets.of_store(store_hash, clock),
                retry_tokens: self.retry_tokens.full(),
                successes: Successes::default(),
            })
        };
        let Some(store_hash) = store_hash else {
            return new();
        };
        let now = clock.instant();
        let mut by_store = self.by_store.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_store.get_mut(store_hash).map(|kept| {
            kept.unused_since = None;
            Arc::clone(&kept.line)
        });
        let removed = by_store.sweep(|kept| kept.stays(now));
        let line = known.unwrap_or_else(|| {
            let line = new();
            let kept = Kept {
                line: Arc::clone(&line),
                unused_since: None,
            };
            by_store.insert(Arc::from(store_hash), kept);
            line
        });
        drop((by_store, removed));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BudgetLimit, LocalBudgets, RetryBudget, rate_limit::tests::ByHand};

    fn stores(repetitions: u32) -> (Stores, Arc<ByHand>, Arc<dyn Clock>) {
        let budgets = Arc::new(LocalBudgets::new(BudgetLimit::default()));
        let retry_tokens = RetryTokens::new(RetryBudget::of(repetitions));
        let clock = ByHand::start();
        let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        (Stores::new(budgets, retry_tokens), clock, as_clock)
    }

    #[test]
    fn a_store_has_one_line() {
        let (stores, _, clock) = stores(1);
        let first = stores.of(Some("abc123"), &clock);
        assert!(!Arc::ptr_eq(&first, &stores.of(Some("def456"), &clock)));
        assert!(Arc::ptr_eq(&first, &stores.of(Some("abc123"), &clock)));
        assert!(!Arc::ptr_eq(
            &stores.of(None, &clock),
            &stores.of(None, &clock)
        ));
    }

    #[test]
    fn a_client_that_is_built_for_each_request_has_no_fresh_retry_budget() {
        let (stores, by_hand, clock) = stores(2);
        let mut paid = 0;
        for second in 0..600 {
            let line = stores.of(Some("abc123"), &clock);
            paid += u32::from(line.retry_tokens.pay());
            drop(line);
            drop(stores.of(Some(&format!("other {second}")), &clock));
            by_hand.pass(59);
        }
        assert_eq!(paid, 2);
        // After a minute without use it is forgotten, when others come and go.
        let others = || {
            for other in 0..100 {
                drop(stores.of(Some(&format!("another {other}")), &clock));
            }
        };
        others();
        assert!(!stores.of(Some("abc123"), &clock).retry_tokens.pay());
        others();
        by_hand.pass(60);
        others();
        assert!(stores.of(Some("abc123"), &clock).retry_tokens.pay());
    }

    #[test]
    fn stores_that_are_used_once_leave_no_memory_behind() {
        let (stores, by_hand, clock) = stores(1);
        let held = stores.of(Some("held"), &clock);
        for number in 0..200_000 {
            let line = stores.of(Some(&number.to_string()), &clock);
            assert!(line.retry_tokens.pay());
            drop(line);
            by_hand.pass(1);
            let (entries, room) = stores.by_store.lock().unwrap().size();
            assert!(entries <= 200 && room <= 900, "{entries} {room}");
        }
        assert!(Arc::ptr_eq(&held, &stores.of(Some("held"), &clock)));
    }
}
