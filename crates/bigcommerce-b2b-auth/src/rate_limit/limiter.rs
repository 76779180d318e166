//! The budget of a store as this process sees it: a ledger, and a line of those who wait.
//!
//! Whoever is first in line watches the clock, the others are asleep until it is their turn: a thousand waiters cost one
//! timer. Leaving the line, served or not, wakes the next one.

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

/// What decides who goes first. Within one priority, whoever had a permit before came before those who still wait for
/// their first.
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
mod tests {
    use std::time::SystemTime;

    use futures_util::future::join_all;

    use super::*;
    use crate::BudgetReading;
    use crate::rate_limit::tests::ByHand;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// tokio's clock, which is paused in these tests.
    #[derive(Debug)]
    struct Paused;

    impl Clock for Paused {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }

        fn instant(&self) -> Instant {
            tokio::time::Instant::now().into_std()
        }

        fn sleep(&self, duration: Duration) -> crate::Sleep {
            Box::pin(tokio::time::sleep(duration))
        }
    }

    fn budget(limit: BudgetLimit) -> Arc<LocalBudget> {
        Arc::new(LocalBudget::new(limit, Arc::new(Paused)))
    }

    /// One request a second, none ahead of its time.
    fn one_a_second() -> Arc<LocalBudget> {
        budget(BudgetLimit::at_most(60, MINUTE, 1))
    }

    fn interactive() -> PermitAsk {
        PermitAsk::new(Priority::Interactive)
    }

    fn background() -> PermitAsk {
        PermitAsk::new(Priority::Background)
    }

    fn refused(wait: Duration) -> PermitOutcome {
        PermitOutcome::Refused {
            reading: BudgetReading::default(),
            wait: Some(wait),
        }
    }

    /// Puts somebody in line who writes down when the permit came.
    fn in_line(
        budget: &Arc<LocalBudget>,
        ask: PermitAsk,
        name: &'static str,
        served: &Arc<Mutex<Vec<(&'static str, u64)>>>,
    ) -> tokio::task::JoinHandle<Result<Permit, TooLate>> {
        let (budget, served) = (Arc::clone(budget), Arc::clone(served));
        let start = tokio::time::Instant::now();
        tokio::spawn(async move {
            let permit = budget.acquire(ask).await?;
            served
                .lock()
                .unwrap()
                .push((name, start.elapsed().as_secs()));
            Ok(permit)
        })
    }

    /// Lets everybody who can run do so, without time passing.
    async fn settle_down() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn first_come_is_first_served_and_the_interactive_go_first() {
        let budget = one_a_second();
        let served = Arc::default();
        budget.acquire(interactive()).await.unwrap();
        let mut waiting = Vec::new();
        for (name, ask) in [
            ("background 1", background()),
            ("background 2", background()),
            ("interactive 1", interactive()),
            ("interactive 2", interactive()),
            ("background again", background().again()),
            ("interactive again", interactive().again()),
        ] {
            waiting.push(in_line(&budget, ask, name, &served));
            settle_down().await;
        }
        assert_eq!(budget.status().waiting, 6);
        join_all(waiting).await;
        assert_eq!(
            *served.lock().unwrap(),
            [
                ("interactive again", 1),
                ("interactive 1", 2),
                ("interactive 2", 3),
                ("background again", 4),
                ("background 1", 5),
                ("background 2", 6)
            ]
        );
        assert_eq!(budget.status().waiting, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_ahead_of_those_who_wait_but_by_priority() {
        let budget = one_a_second();
        assert!(budget.try_acquire(&interactive()).is_some());
        assert!(budget.try_acquire(&interactive()).is_none(), "not yet due");
        let served = Arc::default();
        let first = in_line(&budget, background(), "background", &served);
        settle_down().await;
        tokio::time::advance(SECOND).await;
        // The one in line has not run yet, and the permit is due.
        assert!(budget.try_acquire(&background()).is_none());
        assert!(budget.try_acquire(&interactive()).is_some());
        first.await.unwrap().unwrap();
        assert_eq!(*served.lock().unwrap(), [("background", 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_has_taken_nothing_and_holds_up_nobody() {
        let budget = one_a_second();
        budget.acquire(interactive()).await.unwrap();
        let served = Arc::default();
        let gone = in_line(&budget, interactive(), "gone", &served);
        settle_down().await;
        let stays = in_line(&budget, interactive(), "stays", &served);
        settle_down().await;
        gone.abort();
        stays.await.unwrap().unwrap();
        assert_eq!(*served.lock().unwrap(), [("stays", 1)]);
        // A thousand who give up leave no debt behind.
        let gave_up = join_all(
            (0..1000).map(|_| tokio::time::timeout(SECOND / 2, budget.acquire(interactive()))),
        )
        .await;
        assert!(gave_up.iter().all(Result::is_err));
        assert_eq!(budget.status().waiting, 0);
        let before = tokio::time::Instant::now();
        budget.acquire(interactive()).await.unwrap();
        assert!(before.elapsed() <= SECOND / 2 + Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_would_come_too_late_is_refused_at_once_with_its_moment() {
        let budget = one_a_second();
        let now = Paused.instant();
        budget.acquire(interactive()).await.unwrap();
        let served = Arc::default();
        let waiting: Vec<_> = (0..9)
            .map(|_| in_line(&budget, interactive(), "waiting", &served))
            .collect();
        settle_down().await;
        let late = budget
            .acquire(interactive().until(now + 9 * SECOND))
            .await
            .unwrap_err();
        assert_eq!(late.available_in, 10 * SECOND);
        assert_eq!(Paused.instant(), now, "it did not wait for that");
        // Exactly in time is in time.
        budget
            .acquire(interactive().until(now + 10 * SECOND))
            .await
            .unwrap();
        join_all(waiting).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_stops_those_in_line_and_sends_away_those_who_cannot_wait() {
        let budget = one_a_second();
        let now = Paused.instant();
        let permit = budget.acquire(interactive()).await.unwrap();
        let served = Arc::default();
        let patient = in_line(&budget, interactive(), "patient", &served);
        settle_down().await;
        let hurried: Vec<_> = (0..3)
            .map(|_| {
                in_line(
                    &budget,
                    interactive().until(now + 5 * SECOND),
                    "hurried",
                    &served,
                )
            })
            .collect();
        settle_down().await;
        budget.settle(permit, &refused(30 * SECOND));
        for outcome in join_all(hurried).await {
            let late = outcome.unwrap().unwrap_err();
            assert!(late.available_in >= 30 * SECOND, "{late:?}");
        }
        assert_eq!(Paused.instant(), now);
        patient.await.unwrap().unwrap();
        assert_eq!(*served.lock().unwrap(), [("patient", 30)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_that_is_given_back_serves_the_next_in_line() {
        let budget = one_a_second();
        let permit = budget.acquire(interactive()).await.unwrap();
        let served = Arc::default();
        let waiting = in_line(&budget, interactive(), "waiting", &served);
        settle_down().await;
        budget.settle(permit, &PermitOutcome::NotSent);
        waiting.await.unwrap().unwrap();
        assert_eq!(*served.lock().unwrap(), [("waiting", 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_serves_those_who_wait_for_one() {
        let budget = budget(BudgetLimit::default());
        let told = |allocated| PermitOutcome::Answered {
            reading: BudgetReading {
                allocated: Some(allocated),
                window: Some(SECOND),
                ..BudgetReading::default()
            },
        };
        let permit = budget.acquire(interactive()).await.unwrap();
        budget.settle(permit, &told(1));
        tokio::time::advance(2 * SECOND).await;
        let under_way = budget.acquire(interactive()).await.unwrap();
        assert_eq!(budget.status().under_way, 1);
        assert_eq!(budget.status().next_in, None);
        let served = Arc::default();
        let waiting = in_line(&budget, interactive(), "waiting", &served);
        settle_down().await;
        tokio::time::advance(7 * SECOND).await;
        budget.settle(under_way, &told(1));
        waiting.await.unwrap().unwrap();
        assert_eq!(*served.lock().unwrap(), [("waiting", 8)]);
    }

    #[tokio::test(start_paused = true)]
    async fn ten_thousand_wait_in_order() {
        let budget = budget(BudgetLimit::at_most(60_000, MINUTE, 1));
        let order = Mutex::new(Vec::new());
        join_all((0..10_000).map(|number| {
            let (budget, order) = (&budget, &order);
            async move {
                budget.acquire(interactive()).await.unwrap();
                order.lock().unwrap().push(number);
            }
        }))
        .await;
        assert!(order.lock().unwrap().is_sorted());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_has_one_budget_which_outlives_its_users_while_it_counts() {
        let clock: Arc<dyn Clock> = Arc::new(Paused);
        let budgets = LocalBudgets::new(BudgetLimit::default());
        let of = |store| budgets.of_store(store, &clock);
        let used = of(Some("abc123"));
        assert!(Arc::ptr_eq(&used, &of(Some("abc123"))));
        assert!(!Arc::ptr_eq(&used, &of(Some("def456"))));
        assert!(!Arc::ptr_eq(&of(None), &of(None)));
        let kept = || {
            let by_store = budgets.by_store.lock().unwrap();
            let mut kept: Vec<_> = by_store.keys().map(|hash| hash.to_string()).collect();
            kept.sort();
            kept
        };
        let permit = used.try_acquire(&interactive()).unwrap();
        used.settle(permit, &PermitOutcome::Unknown);
        drop(used);
        // One that was never used is forgotten with its last user, one that was used is not.
        drop(of(Some("ghi789")));
        assert_eq!(kept(), ["abc123", "ghi789"]);
        let status = of(Some("abc123")).status();
        assert_eq!(status.under_way, 0);
        tokio::time::advance(MINUTE).await;
        drop(of(Some("jkl012")));
        assert_eq!(kept(), ["jkl012"]);
        assert!(!budgets.counts_anything());
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_builds_a_client_for_each_request_has_one_purse() {
        let clock: Arc<dyn Clock> = Arc::new(Paused);
        let places = Places::default();
        let held = places.of("https://held.example", BudgetLimit::default());
        let mut granted = 0;
        for other in 0..100 {
            let budgets = places.of("https://purse.example", BudgetLimit::default());
            let budget = budgets.of_store(Some("abc123"), &clock);
            if let Some(permit) = budget.try_acquire(&interactive()) {
                budget.settle(permit, &PermitOutcome::Unknown);
                granted += 1;
            }
            drop((budget, budgets));
            // Other places come and go meanwhile.
            let other = format!("https://{other}.example");
            drop(places.of(&other, BudgetLimit::default()));
        }
        assert_eq!(granted, 15, "the burst, once");
        assert!(Arc::ptr_eq(
            &held,
            &places.of("https://held.example", BudgetLimit::default())
        ));
        // What is neither held nor counts is forgotten.
        let kept = || places.0.lock().unwrap().size().0;
        assert_eq!(kept(), 2);
        tokio::time::advance(MINUTE).await;
        drop(places.of("https://new.example", BudgetLimit::default()));
        assert_eq!(kept(), 2, "the one that is held and the new one");
    }

    #[test]
    fn stores_that_are_used_once_leave_no_memory_behind() {
        let by_hand = ByHand::start();
        let clock = Arc::clone(&by_hand) as Arc<dyn Clock>;
        let places = Places::default();
        let budgets = places.of("https://many.example", BudgetLimit::default());
        let size = || budgets.by_store.lock().unwrap().size();
        let used_once = |number: u32| {
            let budget = budgets.of_store(Some(&number.to_string()), &clock);
            let permit = budget.try_acquire(&interactive()).unwrap();
            budget.settle(permit, &PermitOutcome::Unknown);
        };
        // One a second: what was used within the last minute counts.
        for number in 0..200_000 {
            used_once(number);
            by_hand.pass(1);
            let (entries, room) = size();
            assert!(entries <= 100 && room <= 500, "{entries} {room}");
        }
        // All at once: then they go with the calls that follow.
        for number in 0..200_000 {
            used_once(number);
        }
        assert!(size().0 >= 200_000);
        by_hand.pass(60);
        for _ in 0..2_100 {
            drop(budgets.of_store(Some("another"), &clock));
        }
        let (entries, room) = size();
        assert!(entries <= 1 && room <= 500, "{entries} {room}");
        // And a place goes with the last of its stores.
        drop(budgets);
        for number in 0..10 {
            drop(places.of(&number.to_string(), BudgetLimit::default()));
        }
        assert!(places.0.lock().unwrap().size().0 <= 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_limit_holds_for_clients_that_are_built_for_each_request() {
        let clock: Arc<dyn Clock> = Arc::new(Paused);
        let hour = 60 * MINUTE;
        let budgets = LocalBudgets::new(BudgetLimit::at_most(6, hour, 6));
        let mut granted = 0;
        for minute in 0..60 {
            let budget = budgets.of_store(Some("abc123"), &clock);
            if let Some(permit) = budget.try_acquire(&interactive()) {
                budget.settle(permit, &PermitOutcome::Unknown);
                granted += 1;
            }
            drop(budget);
            for other in 0..20 {
                let other = format!("{minute} {other}");
                drop(budgets.of_store(Some(&other), &clock));
            }
            tokio::time::advance(MINUTE).await;
        }
        assert_eq!(granted, 6 + 5, "the burst, and one each ten minutes");
    }

    #[test]
    fn a_process_has_one_set_of_budgets_for_each_place_and_limit() {
        let gentle = BudgetLimit::at_most(50, MINUTE, 5);
        let of = |place, limit| LocalBudgets::of_process(place, limit);
        let here = of("https://one.example", BudgetLimit::default());
        assert!(Arc::ptr_eq(
            &here,
            &of("https://one.example", BudgetLimit::default())
        ));
        assert!(!Arc::ptr_eq(
            &here,
            &of("https://two.example", BudgetLimit::default())
        ));
        assert!(!Arc::ptr_eq(&here, &of("https://one.example", gentle)));
    }
}
