//! Flights that do not end as they should: their task is dropped, their work panics, the table is closed, they are overdue.

use std::sync::Arc;

use futures_util::FutureExt as _;
use shuttle::future::{spawn, yield_now};

use crate::{
    explore::{Seen, explore, explore_in_order},
    flight::{Boarding, Landing, Urgency},
    site::{Aboard, Ending, Failure, Gate, Key, Seat, Site, Stage, Stop, Work},
};

/// The first flight's task is dropped at any moment. Whoever waited begins another one, once, and everybody gets a value.
#[test]
fn a_flight_that_vanishes_is_flown_again() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore(move || {
        let seen = noting.clone();
        async move {
            let site = Site::stopping(Stop::Sometime);
            let callers =
                [(); 3].map(|()| spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::SOON)));
            for caller in callers {
                let value = caller.await.unwrap().unwrap();
                assert_eq!(site.cached(Key::A), Some(value));
            }
            site.landed().await;
            seen.note(match site.works(Key::A)[..] {
                [Stage::Finished] => "one work",
                [Stage::GivenUp, Stage::Finished] => "dropped before it was committed",
                [Stage::Lost, Stage::Finished] => "dropped after it was committed",
                ref works => panic!("{works:?}"),
            });
        }
    });
    seen.must_have(&[
        "one work",
        "dropped before it was committed",
        "dropped after it was committed",
    ]);
}

/// The first one's runtime is gone already, so that its task is dropped before it was ever polled.
#[test]
fn a_flight_that_never_begins_is_flown_again() {
    explore_in_order(|| async {
        let site = Site::stopping(Stop::AtOnce);
        let callers =
            [(); 2].map(|()| spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::SOON)));
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(Key::A.value(1)));
        }
        site.landed().await;
        assert_eq!(site.works(Key::A), [Stage::Finished]);
    });
}

/// Work that panics is told as that to everybody who waits, and the key is free again.
#[test]
fn a_panic_goes_to_all() {
    explore(|| async {
        let site = Site::new();
        let gate = Gate::new();
        let panicking = Work::by(&gate).ending(Ending::Panic);
        let seats = [(); 2].map(|()| site.seat(Key::A, Urgency::Cold, &panicking));
        let callers = seats.map(|mut seat| {
            let site = Arc::clone(&site);
            spawn(async move {
                assert_eq!(seat.landing().await, Landing::Panicked);
                site.get(Key::A, Urgency::Cold, Work::SOON).await
            })
        });
        gate.open();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(Key::A.value(2)));
        }
        site.landed().await;
        assert_eq!(site.works(Key::A), [Stage::Lost, Stage::Finished]);
    });
}

/// The table is closed while two come whose work waits for ever: both are told, and nothing begins or goes on afterwards.
#[test]
fn nothing_begins_after_the_end() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore_in_order(move || {
        let seen = noting.clone();
        async move {
            let site = Site::new();
            let callers = [(); 2].map(|()| {
                let site = Arc::clone(&site);
                let seen = seen.clone();
                spawn(async move {
                    match site.board(Key::A, Urgency::Cold, &Work::STUCK) {
                        Aboard::Seated(mut seat) => {
                            assert_eq!(seat.landing().await, Landing::Closed);
                            seen.note("closed on board");
                        }
                        Aboard::Closed => seen.note("closed before"),
                        Aboard::There(_) => panic!("there is nothing"),
                    }
                })
            });
            site.close().await;
            assert!(site.flights.is_closed());
            for caller in callers {
                caller.await.unwrap();
            }
            site.landed().await;
        }
    });
    seen.must_have(&["closed on board", "closed before"]);
}

/// The table is closed while work is under way: it is finished if it was committed, and nobody gets anything otherwise.
#[test]
fn the_end_waits_for_what_is_committed() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore_in_order(move || {
        let seen = noting.clone();
        async move {
            let site = Site::new();
            let mut seat = site.seat(Key::A, Urgency::Cold, &Work::SOON);
            site.close().await;
            // It is told by then, and has not to wait for it.
            let landing = seat.landing().now_or_never().unwrap();
            let value = site.cached(Key::A);
            match (landing, &site.works(Key::A)[..]) {
                (Landing::Done(Ok(got)), [Stage::Finished]) => {
                    assert_eq!(value, Some(got));
                    seen.note("finished");
                }
                (Landing::Closed, [Stage::GivenUp]) => {
                    assert_eq!(value, None);
                    seen.note("given up");
                }
                other => panic!("{other:?}"),
            }
            site.landed().await;
        }
    });
    seen.must_have(&["finished", "given up"]);
}

/// Two close the table, while there are flights of every kind: one that nobody waits for, one that is given up meanwhile, one
/// that is committed.
#[test]
fn the_end_is_for_all() {
    explore(|| async {
        let site = Site::new();
        drop(site.seat(Key::A, Urgency::Background, &Work::STUCK));
        let leaver = spawn(Arc::clone(&site).get(Key::B, Urgency::Cold, Work::STUCK));
        let caller = spawn(Arc::clone(&site).get(Key::Apart(1), Urgency::Cold, Work::SOON));
        yield_now().await;
        let closing = [(); 2].map(|()| {
            let site = Arc::clone(&site);
            spawn(async move { site.close().await })
        });
        leaver.abort();
        for closing in closing {
            closing.await.unwrap();
        }
        match caller.await.unwrap() {
            Ok(value) => assert_eq!(site.cached(Key::Apart(1)), Some(value)),
            Err(failure) => assert_eq!(failure, Failure::Closed),
        }
        let _ = leaver.await;
        site.landed().await;
        assert!(!site.works(Key::A).contains(&Stage::Finished));
    });
}

/// A flight of which the pilot waits for a task, as on a runtime that is kept without being run, and a seat on it.
fn overdue(site: &Arc<Site>) -> (Seat, crate::site::Pilot) {
    let Boarding::Began(seat, pilot) = site.board_only(Key::A, Urgency::Cold) else {
        panic!("it is the first one");
    };
    (seat, pilot)
}

/// How an overdue flight ends after all.
#[derive(Debug, Clone, Copy)]
enum Late {
    Lands,
    Fails,
    IsDeserted,
    Vanishes,
}

/// An overdue flight is disowned, the next one begins, and the first one ends when it likes: the next one stays in the table
/// until it has landed, so that whoever comes joins it.
async fn late(how: Late) {
    let site = Site::new();
    let (seat, pilot) = overdue(&site);
    // Somebody else is more patient, but for the case in which nobody is.
    let patient = match site.board_only(Key::A, Urgency::Cold) {
        Boarding::Joined(seat) if !matches!(how, Late::IsDeserted) => Some(seat),
        Boarding::Joined(_) => None,
        _ => panic!("there is one"),
    };
    site.disown(seat);
    let work = match how {
        Late::Fails => Work::SOON.ending(Ending::Error),
        Late::IsDeserted => Work::STUCK,
        Late::Lands | Late::Vanishes => Work::SOON,
    };
    let flight = site.flight(Key::A, &work, pilot);
    let gate = Gate::new();
    let Boarding::Began(mut seat, next) = site.board_only(Key::A, Urgency::Cold) else {
        panic!("the first one was disowned");
    };
    site.take_off(Key::A, &Work::by(&gate), next);
    let late = spawn(async move {
        match how {
            Late::Vanishes => drop(flight),
            _ => flight.await,
        }
    });
    let joining = spawn({
        let site = Arc::clone(&site);
        async move {
            match site.board_only(Key::A, Urgency::Cold) {
                Boarding::Joined(mut seat) => {
                    gate.open();
                    seat.landing().await
                }
                // What the first one stored.
                Boarding::NoNeed(_) => panic!("a flight that is there is joined"),
                _ => panic!("the next one is not in the table any more"),
            }
        }
    });
    let landing = seat.landing().await;
    assert!(matches!(landing, Landing::Done(Ok(_))));
    assert_eq!(joining.await.unwrap(), landing);
    late.await.unwrap();
    if let Some(mut patient) = patient {
        match (how, patient.landing().await) {
            (Late::Lands, Landing::Done(Ok(_)))
            | (Late::Fails, Landing::Done(Err(_)))
            | (Late::Vanishes, Landing::Vanished) => {}
            other => panic!("{other:?}"),
        }
    }
    site.landed().await;
}

#[test]
fn a_late_landing_leaves_the_next_one_alone() {
    explore(|| late(Late::Lands));
}

#[test]
fn a_late_failure_leaves_the_next_one_alone() {
    explore(|| late(Late::Fails));
}

#[test]
fn a_late_desertion_leaves_the_next_one_alone() {
    explore(|| late(Late::IsDeserted));
}

#[test]
fn a_late_end_of_the_task_leaves_the_next_one_alone() {
    explore(|| late(Late::Vanishes));
}

/// Whoever disowns a flight that has ended by then takes nothing away from the next one.
#[test]
fn a_late_disowner_leaves_the_next_one_alone() {
    explore_in_order(|| async {
        let site = Site::new();
        let (seat, pilot) = overdue(&site);
        drop(pilot);
        let gate = Gate::new();
        let mut next = site.seat(Key::A, Urgency::Cold, &Work::by(&gate));
        let disowning = spawn({
            let site = Arc::clone(&site);
            async move { site.disown(seat) }
        });
        let joining = spawn({
            let site = Arc::clone(&site);
            async move {
                let Boarding::Joined(mut seat) = site.board_only(Key::A, Urgency::Cold) else {
                    panic!("the next one is not in the table any more");
                };
                gate.open();
                seat.landing().await
            }
        });
        assert_eq!(next.landing().await, Landing::Done(Ok(Key::A.value(1))));
        assert_eq!(joining.await.unwrap(), Landing::Done(Ok(Key::A.value(1))));
        disowning.await.unwrap();
        site.landed().await;
    });
}

/// Two lose their patience at once: only one flight begins in place of the overdue one.
#[test]
fn two_disowners_share_the_next_one() {
    explore(|| async {
        let site = Site::new();
        let (seat, pilot) = overdue(&site);
        let Boarding::Joined(other) = site.board_only(Key::A, Urgency::Cold) else {
            panic!("there is one");
        };
        let callers = [seat, other].map(|seat| {
            let site = Arc::clone(&site);
            spawn(async move {
                site.disown(seat);
                site.get(Key::A, Urgency::Cold, Work::SOON).await
            })
        });
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(Key::A.value(1)));
        }
        assert_eq!(site.works(Key::A), [Stage::Finished]);
        drop(pilot);
        site.landed().await;
    });
}
