//! Callers who give up, and what becomes of the work that they waited for.

use std::sync::Arc;

use shuttle::future::spawn;

use crate::{
    explore::{Seen, explore, explore_in_order},
    flight::{Landing, Urgency},
    site::{Aboard, Gate, Key, Permit, Site, Stage, Work},
};

/// Two give up at any moment, before, between and after two who stay. These get a value, and no two works are ever under way.
#[test]
fn whoever_stays_gets_a_value() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore(move || {
        let seen = noting.clone();
        async move {
            let site = Site::being_left();
            let caller = || spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::SOON));
            let leaver = caller();
            let stayer = caller();
            let other_leaver = caller();
            let other_stayer = caller();
            leaver.abort();
            other_leaver.abort();
            let value = stayer.await.unwrap().unwrap();
            assert_eq!(other_stayer.await.unwrap(), Ok(value));
            site.landed().await;
            assert_eq!(site.cached(Key::A), Some(value));
            let works = site.works(Key::A);
            let (last, others) = works.split_last().unwrap();
            assert_eq!(*last, Stage::Finished);
            assert!(
                others.iter().all(|stage| *stage == Stage::GivenUp),
                "{works:?}"
            );
            seen.note(if others.is_empty() {
                "one work"
            } else {
                "one given up before"
            });
        }
    });
    seen.must_have(&["one work", "one given up before"]);
}

/// The only one gives up at any moment: what was committed is finished and stored, what was not is given up.
#[test]
fn what_is_committed_is_finished() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore_in_order(move || {
        let seen = noting.clone();
        async move {
            let site = Site::being_left();
            let seat = site.seat(Key::A, Urgency::Cold, &Work::SOON);
            shuttle::future::yield_now().await;
            drop(seat);
            site.landed().await;
            let value = site.cached(Key::A);
            match site.works(Key::A)[..] {
                [Stage::Finished] => {
                    assert_eq!(value, Some(Key::A.value(1)));
                    seen.note("finished");
                }
                [Stage::GivenUp] => {
                    assert_eq!(value, None);
                    seen.note("given up");
                }
                // The work is made when the flight begins, and has not been looked at then.
                [] => assert_eq!(value, None),
                ref works => panic!("{works:?}"),
            }
        }
    });
    seen.must_have(&["finished", "given up"]);
}

/// Work that waits for ever is given up when the last one has gone, and whoever comes then gets a value.
#[test]
fn what_nobody_waits_for_is_given_up() {
    explore(|| async {
        let site = Site::being_left();
        let leavers =
            [(); 2].map(|()| spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::STUCK)));
        for leaver in &leavers {
            leaver.abort();
        }
        for leaver in leavers {
            assert!(leaver.await.is_err());
        }
        // Without one who gives it up, this would never end.
        site.landed().await;
        assert!(
            site.works(Key::A)
                .iter()
                .all(|stage| *stage == Stage::GivenUp)
        );
        let value = site.clone().get(Key::A, Urgency::Cold, Work::SOON).await;
        assert_eq!(value, Ok(site.cached(Key::A).unwrap()));
        site.landed().await;
    });
}

/// One comes just when the last one goes. It is on a flight that goes on, or begins the next.
#[test]
fn who_comes_when_the_last_one_goes_is_not_stranded() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore_in_order(move || {
        let seen = noting.clone();
        async move {
            let site = Site::being_left();
            let gate = Gate::new();
            let last = site.seat(Key::A, Urgency::Cold, &Work::by(&gate));
            let next = spawn({
                let site = Arc::clone(&site);
                async move {
                    let mut seat = site.seat(Key::A, Urgency::Cold, &Work::by(&gate));
                    gate.open();
                    seat.landing().await
                }
            });
            drop(last);
            let landing = next.await.unwrap();
            let Landing::Done(Ok(value)) = landing else {
                panic!("{landing:?}");
            };
            site.landed().await;
            assert_eq!(site.cached(Key::A), Some(value));
            seen.note(match site.works(Key::A)[..] {
                [Stage::Finished] => "one work",
                [Stage::GivenUp, Stage::Finished] => "two works",
                ref works => panic!("{works:?}"),
            });
        }
    });
    seen.must_have(&["one work", "two works"]);
}

/// A flight in the background, or for one who has something to fall back on, goes on although nobody waits.
#[test]
fn a_renewal_goes_on_without_anybody() {
    for urgency in [Urgency::Background, Urgency::Renewal] {
        explore_in_order(move || async move {
            let site = Site::being_left();
            let gate = Gate::new();
            drop(site.seat(Key::A, urgency, &Work::by(&gate)));
            gate.open();
            site.landed().await;
            assert_eq!(site.cached(Key::A), Some(Key::A.value(1)));
            assert_eq!(site.works(Key::A), [Stage::Finished]);
        });
    }
}

/// Nor does it matter to it that somebody who had nothing was on it for a while.
#[test]
fn a_renewal_goes_on_after_a_visit() {
    explore(|| async {
        let site = Site::being_left();
        let gate = Gate::new();
        let seat = site.seat(Key::A, Urgency::Background, &Work::by(&gate));
        let visitor = spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::STUCK));
        drop(seat);
        visitor.abort();
        let _ = visitor.await;
        gate.open();
        site.landed().await;
        assert_eq!(site.cached(Key::A), Some(Key::A.value(1)));
        assert_eq!(site.works(Key::A), [Stage::Finished]);
    });
}

/// Work that its urgency was raised for goes on for who is left, when the one who raised it has gone.
#[test]
fn who_raised_it_may_go() {
    explore(|| async {
        let site = Site::being_left();
        let urgent = Work::with(Permit::Cold);
        let first = site.seat(Key::A, Urgency::Renewal, &urgent);
        let Aboard::Seated(raising) = site.board(Key::A, Urgency::Cold, &Work::STUCK) else {
            panic!("there is one");
        };
        let staying = spawn(async move {
            let mut first = first;
            first.landing().await
        });
        drop(raising);
        assert_eq!(staying.await.unwrap(), Landing::Done(Ok(Key::A.value(1))));
        site.landed().await;
    });
}
