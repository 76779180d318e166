//! Flights by themselves. In a file of their own, since `single_flight.rs` is compiled elsewhere as well, against another tokio.

use std::{
    future::pending,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::future::FutureExt as _;
use tokio::sync::Notify;

use super::single_flight::{Boarding, Flights, Landing, Pilot, Seat, Urgency};

type Table = Arc<Flights<u32, u32, &'static str>>;

fn table() -> Table {
    Arc::new(Flights::new())
}

fn board(table: &Table, urgency: Urgency) -> Boarding<u32, u32, &'static str, u32> {
    table.board(&1, urgency, || None, || "a flight")
}

fn begin(
    table: &Table,
    urgency: Urgency,
) -> (Seat<u32, u32, &'static str>, Pilot<u32, u32, &'static str>) {
    match board(table, urgency) {
        Boarding::Began(seat, pilot) => (seat, pilot),
        _ => panic!("there was a flight, or none may begin"),
    }
}

fn join(table: &Table, urgency: Urgency) -> Seat<u32, u32, &'static str> {
    match board(table, urgency) {
        Boarding::Joined(seat) => seat,
        _ => panic!("there was no flight"),
    }
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

/// Lets all tasks run as far as they get.
async fn let_run() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Sets a flag when it is dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn all_who_wait_get_what_one_flight_brings() {
    let table = table();
    let (mut first, pilot) = begin(&table, Urgency::Cold);
    assert_eq!(table.len(), 1);
    let mut second = join(&table, Urgency::Cold);
    assert_eq!(
        (pilot.waiting(), *second.tag(), *pilot.tag()),
        (2, "a flight", "a flight")
    );
    assert!(first.landing().now_or_never().is_none());
    pilot.fly(async { 7 }, || false).await;
    assert_eq!(first.landing().await, Landing::Done(7));
    assert_eq!(second.landing().await, Landing::Done(7));
    assert_eq!(table.len(), 0);
    // It is gone from the table: the next one is another.
    let (_, _) = begin(&table, Urgency::Cold);
}

#[tokio::test]
async fn other_keys_have_flights_of_their_own() {
    let table = table();
    let (_seat, _pilot) = begin(&table, Urgency::Cold);
    // More keys than shards, so that some share one.
    let others: Vec<_> = (2..100)
        .map(
            |key| match table.board(&key, Urgency::Cold, || None::<u32>, || "another") {
                Boarding::Began(seat, pilot) => (seat, pilot),
                _ => panic!("{key} had none"),
            },
        )
        .collect();
    assert_eq!(table.len(), 99);
    drop(others);
    assert_eq!(table.len(), 1);
}

#[tokio::test]
async fn a_second_look_that_finds_something_spares_a_flight() {
    let table = table();
    let found = table.board(&1, Urgency::Cold, || Some(5), || "none");
    assert!(matches!(found, Boarding::NoNeed(5)));
    assert_eq!(table.len(), 0);
    // It is not taken where there is a flight.
    let (_seat, _pilot) = begin(&table, Urgency::Cold);
    let joined = table.board(&1, Urgency::Cold, || Some(5), || "none");
    assert!(matches!(joined, Boarding::Joined(_)));
}

#[tokio::test]
async fn a_pilot_that_is_dropped_says_so() {
    let table = table();
    let (mut seat, pilot) = begin(&table, Urgency::Cold);
    drop(pilot);
    assert_eq!(seat.landing().await, Landing::Vanished);
    assert_eq!(table.len(), 0);
    let (_, _) = begin(&table, Urgency::Cold);
}

#[tokio::test]
async fn a_panic_is_told_to_all_and_ends_the_flight() {
    let table = table();
    let (mut seat, pilot) = begin(&table, Urgency::Cold);
    let flight = tokio::spawn(pilot.fly(async { panic!("as this test wants it") }, || true));
    assert_eq!(seat.landing().await, Landing::Panicked);
    assert!(flight.await.is_err());
    assert_eq!(table.len(), 0);
}

#[tokio::test]
async fn a_runtime_that_is_dropped_by_a_thread_which_panics_is_gone_and_nothing_more() {
    let table = table();
    let (mut seat, pilot) = begin(&table, Urgency::Cold);
    let owner = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async {
            tokio::spawn(pilot.fly(pending(), || true));
            let_run().await;
        });
        panic!("for a reason of its own, as this test wants it");
    });
    assert_eq!(seat.landing().await, Landing::Vanished);
    assert!(owner.join().is_err());
}

#[tokio::test]
async fn work_that_has_sent_nothing_is_given_up_when_all_have_left() {
    let table = table();
    let (first, pilot) = begin(&table, Urgency::Cold);
    let second = join(&table, Urgency::Cold);
    let is_dropped = Arc::new(AtomicBool::new(false));
    let dropped = Dropped(Arc::clone(&is_dropped));
    let work = async move {
        let _dropped = dropped;
        pending().await
    };
    let flight = tokio::spawn(pilot.fly(work, || false));
    let_run().await;
    drop(first);
    let_run().await;
    assert!(
        !is_dropped.load(Ordering::Relaxed),
        "somebody is still there"
    );
    drop(second);
    flight.await.unwrap();
    assert!(is_dropped.load(Ordering::Relaxed));
    assert_eq!(table.len(), 0);
    let (_, _) = begin(&table, Urgency::Cold);
}

#[tokio::test]
async fn work_that_was_sent_is_finished_although_all_have_left() {
    let table = table();
    let (seat, pilot) = begin(&table, Urgency::Cold);
    let (go, done) = (Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
    let work = {
        let (go, done) = (Arc::clone(&go), Arc::clone(&done));
        async move {
            go.notified().await;
            done.fetch_add(1, Ordering::Relaxed)
        }
    };
    let flight = tokio::spawn(pilot.fly(work, || true));
    let_run().await;
    drop(seat);
    let_run().await;
    assert_eq!(table.len(), 1);
    // Who comes now joins it.
    let mut late = join(&table, Urgency::Cold);
    go.notify_one();
    flight.await.unwrap();
    assert_eq!(late.landing().await, Landing::Done(0));
    assert_eq!(done.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn one_who_comes_back_in_time_keeps_the_flight() {
    let table = table();
    let (seat, pilot) = begin(&table, Urgency::Cold);
    let go = Arc::new(Notify::new());
    let work = {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            3
        }
    };
    let mut flight = pin!(pilot.fly(work, || false));
    assert!(flight.as_mut().now_or_never().is_none());
    drop(seat);
    // The pilot has not looked since.
    let mut seat = join(&table, Urgency::Cold);
    assert!(flight.as_mut().now_or_never().is_none());
    go.notify_one();
    flight.await;
    assert_eq!(seat.landing().await, Landing::Done(3));
}

#[tokio::test]
async fn one_who_comes_back_at_the_last_moment_keeps_the_flight() {
    let table = table();
    let (seat, pilot) = begin(&table, Urgency::Cold);
    drop(seat);
    let (go, came_back) = (Arc::new(Notify::new()), Arc::new(Mutex::new(None)));
    let work = {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            3
        }
    };
    // Asked when the pilot has seen that all have left, and before it looks again under the lock.
    let is_committed = {
        let (table, came_back) = (Arc::clone(&table), Arc::clone(&came_back));
        move || {
            let mut came_back = came_back.lock().unwrap();
            if came_back.is_none() {
                *came_back = Some(join(&table, Urgency::Cold));
            }
            false
        }
    };
    let flight = tokio::spawn(pilot.fly(work, is_committed));
    let_run().await;
    let mut seat = came_back.lock().unwrap().take().unwrap();
    // Nobody comes to wait for it a second time: this look is the last one.
    assert!(poll_once(pin!(seat.landing())).await.is_pending());
    go.notify_one();
    assert_eq!(seat.landing().await, Landing::Done(3));
    flight.await.unwrap();
}

#[tokio::test]
async fn a_renewal_goes_on_although_nobody_waits() {
    for urgency in [Urgency::Background, Urgency::Renewal] {
        let table = table();
        let (seat, pilot) = begin(&table, urgency);
        drop(seat);
        let go = Arc::new(Notify::new());
        let work = {
            let go = Arc::clone(&go);
            async move {
                go.notified().await;
                1
            }
        };
        let flight = tokio::spawn(pilot.fly(work, || false));
        let_run().await;
        assert_eq!(table.len(), 1, "{urgency:?}");
        go.notify_one();
        flight.await.unwrap();
        assert_eq!(table.len(), 0);
    }
}

#[tokio::test]
async fn the_most_urgent_of_those_who_wait_decides() {
    let table = table();
    let (_seat, pilot) = begin(&table, Urgency::Background);
    let mut watch = pilot.urgency();
    assert_eq!(watch.now(), Urgency::Background);
    assert!(
        watch
            .more_than(Urgency::Background)
            .now_or_never()
            .is_none()
    );
    let mut waiting = pilot.urgency();
    let waiting = tokio::spawn(async move { waiting.more_than(Urgency::Background).await });
    let_run().await;
    let _renewal = join(&table, Urgency::Renewal);
    let_run().await;
    assert!(waiting.is_finished(), "nobody woke who was waiting for it");
    assert_eq!(
        watch.more_than(Urgency::Background).now_or_never(),
        Some(())
    );
    assert!(watch.more_than(Urgency::Renewal).now_or_never().is_none());
    let _cold = join(&table, Urgency::Cold);
    assert_eq!(watch.now(), Urgency::Cold);
    // One who is less urgent takes nothing back, and neither does one who leaves.
    let _background = join(&table, Urgency::Background);
    drop(_cold);
    assert_eq!(watch.now(), Urgency::Cold);
    drop((pilot, _seat, _renewal, _background));
    // Nobody can raise it any more: that is no news.
    assert!(watch.more_than(Urgency::Cold).now_or_never().is_none());
}

#[tokio::test]
async fn closing_ends_what_has_sent_nothing_and_waits_for_the_rest() {
    let table = table();
    assert!(!table.is_closed());
    let (mut idle, idle_pilot) = begin(&table, Urgency::Cold);
    let idle_flight = tokio::spawn(idle_pilot.fly(pending(), || false));
    let Boarding::Began(mut sent, sent_pilot) =
        table.board(&2, Urgency::Cold, || None::<u32>, || "sent")
    else {
        panic!("2 had none");
    };
    let go = Arc::new(Notify::new());
    let work = {
        let go = Arc::clone(&go);
        async move {
            go.notified().await;
            9
        }
    };
    let sent_flight = tokio::spawn(sent_pilot.fly(work, || true));
    let_run().await;
    let mut closing = pin!(table.close());
    assert!(poll_once(closing.as_mut()).await.is_pending());
    assert!(table.is_closed());
    assert_eq!(idle.landing().await, Landing::Closed);
    idle_flight.await.unwrap();
    let_run().await;
    assert!(poll_once(closing.as_mut()).await.is_pending());
    assert!(matches!(board(&table, Urgency::Cold), Boarding::Closed));
    go.notify_one();
    closing.await;
    sent_flight.await.unwrap();
    assert_eq!(sent.landing().await, Landing::Done(9));
    assert_eq!(table.len(), 0);
    // What is there can still be found by a second look.
    let found = table.board(&1, Urgency::Cold, || Some(4), || "none");
    assert!(matches!(found, Boarding::NoNeed(4)));
}

#[tokio::test]
async fn a_pilot_that_takes_off_after_the_closing_ends_at_once() {
    let table = table();
    let (mut seat, pilot) = begin(&table, Urgency::Cold);
    let mut closing = pin!(table.close());
    assert!(poll_once(closing.as_mut()).await.is_pending());
    tokio::time::timeout(Duration::from_secs(5), pilot.fly(pending(), || false))
        .await
        .unwrap();
    assert_eq!(seat.landing().await, Landing::Closed);
    closing.await;
}

#[tokio::test]
async fn a_flight_that_is_disowned_is_out_of_the_way_and_harms_no_other() {
    let table = table();
    let (seat, overdue) = begin(&table, Urgency::Cold);
    let mut other = join(&table, Urgency::Cold);
    seat.disown();
    let (mut second_seat, second) = begin(&table, Urgency::Cold);
    assert_eq!(table.len(), 2);
    // It lands after all, with nothing to do with the second.
    overdue.fly(async { 1 }, || false).await;
    assert_eq!(other.landing().await, Landing::Done(1));
    let mut third_seat = join(&table, Urgency::Cold);
    second.fly(async { 2 }, || false).await;
    assert_eq!(second_seat.landing().await, Landing::Done(2));
    assert_eq!(third_seat.landing().await, Landing::Done(2));
    assert_eq!(table.len(), 0);
}

#[tokio::test]
async fn a_flight_that_was_disowned_and_deserted_does_not_take_the_next_one_with_it() {
    let table = table();
    let (seat, overdue) = begin(&table, Urgency::Cold);
    seat.disown();
    let (mut seat, second) = begin(&table, Urgency::Cold);
    // Nobody waits for the first one, which notices.
    overdue.fly(pending(), || false).await;
    let mut joined = join(&table, Urgency::Cold);
    second.fly(async { 2 }, || false).await;
    assert_eq!(seat.landing().await, Landing::Done(2));
    assert_eq!(joined.landing().await, Landing::Done(2));
}

#[tokio::test]
async fn a_disowned_flight_lands_for_those_who_wait_and_the_next_request_begins_another() {
    let table = table();
    let (mut old_seat, old) = begin(&table, Urgency::Cold);
    table.disown_all(|key| *key == 2);
    drop(join(&table, Urgency::Cold));
    table.disown_all(|key| *key == 1);
    let (mut new_seat, new) = begin(&table, Urgency::Cold);
    old.fly(async { 1 }, || true).await;
    assert_eq!(old_seat.landing().await, Landing::Done(1));
    // The one that ended was not the one in the table.
    drop(join(&table, Urgency::Cold));
    new.fly(async { 2 }, || true).await;
    assert_eq!(new_seat.landing().await, Landing::Done(2));
    assert_eq!(table.len(), 0);
}
