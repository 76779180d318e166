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
