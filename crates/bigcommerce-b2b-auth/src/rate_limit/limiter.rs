//! The budget of a store as this process sees it: a ledger, and a line of those who wait.
//!
//! The first waiter in the queue sets a timer, and the others sleep until it is their turn: a thousand waiters cost one timer.
//! Leaving the queue, with or without a permit, wakes the next waiter.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use tokio::sync::Notify;

use super::{
    BudgetLimit, BudgetStatus, Permit, PermitAsk, PermitFuture, PermitOutcome, Priority,
    RequestBudget, RequestBudgets, TooLate,
    ledger::{Ledger, Next},
    swept_map::SweptMap,
};
use crate::Clock;

/// Budgets that count what one process sends, one for each store.
///
/// A client has one of its own by default, and clients that talk to the same place in the same way share it. Give one to
/// several builders to make clients share that would not.
///
/// ```
/// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
/// use std::{sync::Arc, time::Duration};
/// use bigcommerce_b2b_auth::{BudgetLimit, Client, LocalBudgets, StoreAccess};
///
/// let budgets = Arc::new(LocalBudgets::new(BudgetLimit::at_most(50, Duration::from_secs(60), 5)));
/// let client = Client::builder()
///     .credentials(StoreAccess::new("abc123", "an access token")?)
///     .budgets(budgets)
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LocalBudgets {
    limit: BudgetLimit,
    /// Each is kept while it is used and while anything that it counted still counts: a client that is built for each request
    /// must not start with a fresh limit each time.
    by_store: Mutex<SweptMap<Arc<str>, Arc<LocalBudget>>>,
}

impl LocalBudgets {
    /// A budget of `limit` for each store.
    #[must_use]
    pub fn new(limit: BudgetLimit) -> Self {
        Self {
            limit,
            by_store: Mutex::default(),
        }
    }

    /// The budgets of this process for a place: every client with the same address and the same limit gets the same ones,
    /// so that one who builds a client for each request does not have as many budgets.
    pub(crate) fn of_process(address: &str, limit: BudgetLimit) -> Arc<Self> {
        static PLACES: LazyLock<Places> = LazyLock::new(Places::default);
        PLACES.of(address, limit)
    }

    /// Whether any store is used or counted. Some that are neither are removed on the way.
    fn counts_anything(&self) -> bool {
        let mut by_store = self.by_store.lock().unwrap_or_else(PoisonError::into_inner);
        let removed = by_store.sweep(LocalBudget::stays);
        let is_empty = by_store.is_empty();
        drop((by_store, removed));
        !is_empty
    }
}

/// Budgets by address and limit, each kept while it is used or counts anything.
#[derive(Debug, Default)]
struct Places(Mutex<SweptMap<(String, BudgetLimit), Arc<LocalBudgets>>>);

impl Places {
    fn of(&self, address: &str, limit: BudgetLimit) -> Arc<LocalBudgets> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (address.to_owned(), limit);
        let known = places.get_mut(&place).map(|known| Arc::clone(known));
        let removed = places.sweep(|known| Arc::strong_count(known) > 1 || known.counts_anything());
        let budgets = known.unwrap_or_else(|| {
            let new = Arc::new(LocalBudgets::new(limit));
            places.insert(place, Arc::clone(&new));
            new
        });
        drop((places, removed));
        budgets
    }
}

impl RequestBudgets for LocalBudgets {
    fn of_store(&self, store_hash: Option<&str>, clock: &Arc<dyn Clock>) -> Arc<dyn RequestBudget> {
        let new = || Arc::new(LocalBudget::new(self.limit, Arc::clone(clock)));
        let Some(store_hash) = store_hash else {
            return new();
        };
        let mut by_store = self.by_store.lock().unwrap_or_else(PoisonError::into_inner);
        let known = by_store.get_mut(store_hash).map(|known| Arc::clone(known));
        let removed = by_store.sweep(LocalBudget::stays);
        let budget = known.unwrap_or_else(|| {
            let new = new();
            by_store.insert(Arc::from(store_hash), Arc::clone(&new));
            new
        });
        drop((by_store, removed));
        budget
    }
}

#[derive(Debug)]
struct LocalBudget {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// Those who wait: by rank, then by when they came.
    line: BTreeMap<(Rank, u64), Arc<Notify>>,
    /// How many of each rank there are.
    ranks: BTreeMap<Rank, usize>,
    next_number: u64,
}

/// The order of the queue. Within one priority, a retry goes before a first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: Priority,
    is_new: bool,
}

impl Rank {
    fn of(ask: &PermitAsk) -> Self {
        Self {
            priority: ask.priority,
            is_new: !ask.repeats,
        }
    }
}

impl State {
    fn wake_first(&self) {
        if let Some((_, first)) = self.line.first_key_value() {
            first.notify_one();
        }
    }

    /// How many would be in front of one who comes now.
    fn ahead_of_new(&self, rank: Rank) -> usize {
        self.ranks.range(..=rank).map(|(_, count)| count).sum()
    }

    fn is_first(&self, number: (Rank, u64)) -> bool {
        self.line
            .first_key_value()
            .is_some_and(|(first, _)| *first == number)
    }
}

impl LocalBudget {
    fn new(limit: BudgetLimit, clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::new(State {
                ledger: Ledger::new(limit),
                line: BTreeMap::new(),
                ranks: BTreeMap::new(),
                next_number: 0,
            }),
        }
    }

    /// Whether it is used by anybody besides the map that it is in, or still counts anything.
    fn stays(kept: &mut Arc<Self>) -> bool {
        Arc::strong_count(kept) > 1 || !kept.lock().ledger.is_over(kept.clock.instant())
    }

    /// Nothing under this lock panics; should it all the same, the books are as good as they were.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_in_line(&self, ask: PermitAsk) -> Result<Permit, TooLate> {
        let place = Place::take(self, ask)?;
        loop {
            match place.look(ask.deadline)? {
                Turn::Now(permit) => return Ok(permit),
                Turn::In(wait) => {
                    // Whichever comes first: what was known to be the moment may have changed meanwhile.
                    let woken = pin!(place.wake.notified());
                    match select(self.clock.sleep(wait), woken).await {
                        Either::Left(_) | Either::Right(_) => {}
                    }
                }
                Turn::Later => place.wake.notified().await,
            }
        }
    }
}

/// A place in line, given up on drop.
struct Place<'b> {
    budget: &'b LocalBudget,
    number: (Rank, u64),
    wake: Arc<Notify>,
}

enum Turn {
    Now(Permit),
    In(Duration),
    /// Somebody else is first.
    Later,
}

impl<'b> Place<'b> {
    fn take(budget: &'b LocalBudget, ask: PermitAsk) -> Result<Self, TooLate> {
        let mut state = budget.lock();
        let rank = Rank::of(&ask);
        let number = (rank, state.next_number);
        let now = budget.clock.instant();
        in_time(
            state.ledger.not_before(now, state.ahead_of_new(rank)),
            now,
            ask.deadline,
        )?;
        state.next_number += 1;
        let wake = Arc::new(Notify::new());
        state.line.insert(number, Arc::clone(&wake));
        *state.ranks.entry(rank).or_default() += 1;
        Ok(Self {
            budget,
            number,
            wake,
        })
    }

    fn look(&self, deadline: Option<Instant>) -> Result<Turn, TooLate> {
        let mut state = self.budget.lock();
        let now = self.budget.clock.instant();
        let first = state.is_first(self.number);
        // Also for those further back: a gate that has closed since is no reason to wait until the deadline.
        in_time(
            state.ledger.not_before(now, usize::from(!first)),
            now,
            deadline,
        )?;
        if !first {
            return Ok(Turn::Later);
        }
        Ok(match state.ledger.next(now) {
            Next::At(at) if at <= now => Turn::Now(Permit::new(state.ledger.take(now))),
            Next::At(at) => {
                in_time(at, now, deadline)?;
                Turn::In(at.duration_since(now))
            }
            Next::AfterResponse { at_latest } => Turn::In(at_latest.duration_since(now)),
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.budget.lock();
        state.line.remove(&self.number);
        if let Some(count) = state.ranks.get_mut(&self.number.0) {
            *count -= 1;
        }
        state.wake_first();
    }
}

fn in_time(at: Instant, now: Instant, deadline: Option<Instant>) -> Result<(), TooLate> {
    match deadline {
        Some(deadline) if at > deadline => Err(TooLate::new(at.saturating_duration_since(now))),
        _ => Ok(()),
    }
}

impl RequestBudget for LocalBudget {
    fn try_acquire(&self, ask: &PermitAsk) -> Option<Permit> {
        let mut state = self.lock();
        let nobody_first = state
            .line
            .first_key_value()
            .is_none_or(|((rank, _), _)| *rank > Rank::of(ask));
        let now = self.clock.instant();
        (nobody_first && matches!(state.ledger.next(now), Next::At(at) if at <= now))
            .then(|| Permit::new(state.ledger.take(now)))
    }

    fn acquire<'a>(&'a self, ask: PermitAsk) -> PermitFuture<'a> {
        Box::pin(self.wait_in_line(ask))
    }

    fn settle(&self, permit: Permit, outcome: &PermitOutcome) {
        let mut state = self.lock();
        let now = self.clock.instant();
        state.ledger.settle(permit.number(), now, outcome);
        if matches!(outcome, PermitOutcome::Refused { .. }) {
            // The moment has moved for everybody, and some may not want to wait that long.
            for waiting in state.line.values() {
                waiting.notify_one();
            }
        } else {
            state.wake_first();
        }
    }

    fn status(&self) -> BudgetStatus {
        let state = self.lock();
        let now = self.clock.instant();
        let described = state.ledger.describe(now);
        BudgetStatus {
            allocated: described.allocated,
            window: described.window,
            left: described.left,
            under_way: described.under_way,
            waiting: state.line.len(),
            others_per_window: described.others_per_window,
            next_in: described.next_in,
            closed_for: described.closed_for,
        }
    }
}

#[cfg(test)]
mod tests;
