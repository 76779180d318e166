//! One flight for all: its value, its error, its urgency, and what it leaves alone.

use std::sync::Arc;

use shuttle::future::spawn;

use crate::{
    explore::{Seen, explore, explore_in_order},
    flight::{Boarding, Landing, Urgency},
    site::{Ending, Failure, Gate, Key, Permit, Site, Stage, Work},
};

/// Several callers of a key that nobody has: the cache is looked into first, and once more under the lock.
async fn one_work(callers: usize) {
    let site = Site::new();
    let callers: Vec<_> = (0..callers)
        .map(|_| spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, Work::SOON)))
        .collect();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(Key::A.value(1)));
    }
    site.landed().await;
    assert_eq!(site.works(Key::A), [Stage::Finished]);
}

#[test]
fn the_work_runs_once_for_two() {
    explore_in_order(|| one_work(2));
}

#[test]
fn the_work_runs_once_for_four() {
    explore(|| one_work(4));
}

/// An error goes to everybody who was there, from one work. Whoever tries again afterwards does not get it again.
#[test]
fn an_error_goes_to_all() {
    explore(|| async {
        let site = Site::new();
        let gate = Gate::new();
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (site, gate) = (Arc::clone(&site), gate.clone());
                let failing = Work::by(&gate).ending(Ending::Error);
                let seat = site.seat(Key::A, Urgency::Cold, &failing);
                (site, seat)
            })
            .map(|(site, mut seat)| {
                spawn(async move {
                    assert_eq!(seat.landing().await, Landing::Done(Err("the work failed")));
                    site.get(Key::A, Urgency::Cold, Work::SOON).await
                })
            })
            .collect();
        gate.open();
        for caller in callers {
            assert_eq!(caller.await.unwrap(), Ok(Key::A.value(2)));
        }
        site.landed().await;
        assert_eq!(site.works(Key::A), [Stage::Finished, Stage::Finished]);
    });
}

/// An error while others come and look into the cache: everybody gets one, and none is told of a value.
#[test]
fn an_error_is_nobodys_value() {
    let seen = Seen::default();
    let noting = seen.clone();
    explore(move || {
        let seen = noting.clone();
        async move {
            let site = Site::new();
            let failing = Work::SOON.ending(Ending::Error);
            let callers: Vec<_> = (0..3)
                .map(|_| spawn(Arc::clone(&site).get(Key::A, Urgency::Cold, failing.clone())))
                .collect();
            for caller in callers {
                assert_eq!(caller.await.unwrap(), Err(Failure::Work("the work failed")));
            }
            site.landed().await;
            assert_eq!(site.cached(Key::A), None);
            seen.note(match site.works(Key::A).len() {
                1 => "one for all",
                _ => "one after another",
            });
        }
    });
    seen.must_have(&["one for all", "one after another"]);
}

/// Work that waits until somebody needs it gets to know of whoever joins, and is not called off by who needs it less.
#[test]
fn who_joins_makes_it_more_urgent() {
    explore_in_order(|| async {
        let site = Site::new();
        let urgent = Work::with(Permit::Cold);
        let seat = site.seat(Key::A, Urgency::Background, &urgent);
        let joiners = [Urgency::Cold, Urgency::Renewal]
            .map(|urgency| spawn(Arc::clone(&site).get(Key::A, urgency, Work::STUCK)));
        for joiner in joiners {
            assert_eq!(joiner.await.unwrap(), Ok(Key::A.value(1)));
        }
        drop(seat);
        site.landed().await;
        assert_eq!(site.works(Key::A), [Stage::Finished]);
    });
}

/// What the work reads is the most urgent of all, at each moment.
#[test]
fn urgency_only_rises() {
    explore_in_order(|| async {
        let site = Site::new();
        let Boarding::Began(_seat, pilot) = site.board_only(Key::A, Urgency::Background) else {
            panic!("it is the first one");
        };
        let watching = spawn({
            let mut urgency = pilot.urgency();
            async move {
                let mut known = urgency.now();
                while known < Urgency::Cold {
                    urgency.more_than(known).await;
                    assert!(urgency.now() > known);
                    known = urgency.now();
                }
            }
        });
        let joining = [Urgency::Renewal, Urgency::Cold, Urgency::Background].map(|urgency| {
            let site = Arc::clone(&site);
            spawn(async move {
                let Boarding::Joined(_) = site.board_only(Key::A, urgency) else {
                    panic!("there is one");
                };
            })
        });
        for joiner in joining {
            joiner.await.unwrap();
        }
        watching.await.unwrap();
        assert_eq!(pilot.urgency().now(), Urgency::Cold);
        drop(pilot);
        site.landed().await;
    });
}

/// One key fails, is given up and comes back, while the other one gets its value, from one work.
async fn two_keys(bad: Key, good: Key) {
    let site = Site::being_left();
    let gate = Gate::new();
    let failing = Work::by(&gate).ending(Ending::Error);
    let leaver = spawn(Arc::clone(&site).get(bad, Urgency::Cold, failing.clone()));
    let others = [(); 2].map(|()| spawn(Arc::clone(&site).get(good, Urgency::Cold, Work::SOON)));
    leaver.abort();
    let failed = spawn({
        let site = Arc::clone(&site);
        async move {
            let mut seat = site.seat(bad, Urgency::Cold, &failing);
            gate.open();
            seat.landing().await
        }
    });
    for other in others {
        assert_eq!(other.await.unwrap(), Ok(good.value(1)));
    }
    assert_eq!(failed.await.unwrap(), Landing::Done(Err("the work failed")));
    let _ = leaver.await;
    site.landed().await;
    assert_eq!(site.works(good), [Stage::Finished]);
    assert_eq!(site.cached(bad), None);
}

#[test]
fn two_keys_of_one_shard_are_strangers() {
    explore(|| two_keys(Key::A, Key::B));
}

#[test]
fn two_keys_of_two_shards_are_strangers() {
    explore(|| two_keys(Key::Apart(1), Key::Apart(2)));
}
