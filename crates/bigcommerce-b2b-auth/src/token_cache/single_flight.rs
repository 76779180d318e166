//! Flights: the fetching of one value for all who want it at the moment.
//!
//! A flight belongs to the table and not to who began it: it is a task of its own, so that a caller who is dropped, cancelled
//! or not polled harms nobody. What it lands with, an error included, goes to all who wait. What can go wrong with it is
//! typed: a panic, a runtime that is gone, a table that was closed.
//!
//! Nothing here knows what is fetched. The crate `interleavings` compiles this file against shuttle, in place of the
//! standard library's mutex and tokio, and tries its interleavings.

use std::{
    collections::{HashMap, hash_map::RandomState},
    future::{Future, poll_fn},
    hash::{BuildHasher, Hash},
    pin::pin,
};

use futures_util::future::{Either, select};
use tokio::sync::{Notify, watch};

use super::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, PoisonError};

/// How urgent a flight is: the most urgent of those who wait for it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// Nobody waits.
    Background,
    /// Somebody waits, and has something to fall back on.
    Renewal,
    /// Somebody waits, and has nothing.
    Cold,
}

/// How a flight ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landing<V> {
    /// With this.
    Done(V),
    /// The table was closed before anything was sent.
    Closed,
    /// What it did panicked.
    Panicked,
    /// Its runtime dropped it half way, or it does not get polled.
    Vanished,
}

/// The flights that are under way, by key: nothing else is kept here, so that the table cannot grow.
pub(super) struct Flights<K, V, T> {
    shards: [Shard<K, V, T>; SHARDS],
    hasher: RandomState,
    /// How many pilots there are.
    under_way: watch::Sender<usize>,
    closed: AtomicBool,
    closing: Notify,
}

type Shard<K, V, T> = Mutex<HashMap<K, Arc<Flight<V, T>>>>;

struct Flight<V, T> {
    /// What it landed with. Its receivers are those who wait.
    landing: watch::Sender<Option<Landing<V>>>,
    urgency: watch::Sender<Urgency>,
    /// Whether it goes on although nobody waits: it renews what is in use.
    is_kept: bool,
    /// What who joins gets to know of it.
    tag: T,
}

/// What became of the wish to be on a flight.
pub(super) enum Boarding<K: Hash + Eq + Clone, V: Clone, T: Clone, S> {
    /// There is no need: the second look found this.
    NoNeed(S),
    /// A place on a flight that was there.
    Joined(Seat<K, V, T>),
    /// A place on a flight that begins now: whoever gets the pilot lets it fly.
    Began(Seat<K, V, T>, Pilot<K, V, T>),
    /// No flights any more.
    Closed,
}

const SHARDS: usize = 16;

impl<K: Hash + Eq + Clone, V: Clone, T: Clone> Flights<K, V, T> {
    pub(super) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            under_way: watch::Sender::new(0),
            closed: AtomicBool::new(false),
            closing: Notify::new(),
        }
    }

    /// A shard holds no more than what is in flight, and nothing under its lock panics or waits.
    fn shard(&self, key: &K) -> MutexGuard<'_, HashMap<K, Arc<Flight<V, T>>>> {
        let hash = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or_default();
        let [first, ..] = &self.shards;
        let shard = self.shards.get(hash).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on the flight of this key, which begins if there is none.
    ///
    /// `second_look` is taken under the lock: whoever missed the cache may have done so just before a flight landed, and
    /// would begin another one for what is there by now.
    pub(super) fn board<S>(
        self: &Arc<Self>,
        key: &K,
        urgency: Urgency,
        second_look: impl FnOnce() -> Option<S>,
        tag: impl FnOnce() -> T,
    ) -> Boarding<K, V, T, S> {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key) {
            let seat = Seat::new(self, key, flight);
            flight.raise(urgency);
            return Boarding::Joined(seat);
        }
        if let Some(found) = second_look() {
            return Boarding::NoNeed(found);
        }
        // Foreign code, which may panic: before anything is counted.
        let tag = tag();
        // Counted before the look at `closed`: who closes the table looks at the count after setting it.
        self.under_way.send_modify(|count| *count += 1);
        if self.closed.load(Ordering::SeqCst) {
            drop(shard);
            self.one_less();
            return Boarding::Closed;
        }
        let flight = Arc::new(Flight {
            landing: watch::Sender::new(None),
            urgency: watch::Sender::new(urgency),
            is_kept: urgency < Urgency::Cold,
            tag,
        });
        shard.insert(key.clone(), Arc::clone(&flight));
        let seat = Seat::new(self, key, &flight);
        drop(shard);
        Boarding::Began(
            seat,
            Pilot {
                flights: Arc::clone(self),
                key: key.clone(),
                flight,
                is_at_work: AtomicBool::new(false),
                has_landed: false,
            },
        )
    }

    /// How many flights are under way.
    pub(super) fn len(&self) -> usize {
        *self.under_way.borrow()
    }

    fn remove(&self, key: &K, flight: &Arc<Flight<V, T>>) {
        take_out(&mut self.shard(key), key, flight);
    }

    /// Takes out the flights of these keys. They go on and land for those who wait; a request that comes now begins another one.
    pub(super) fn disown_all(&self, is_meant: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|key, _| !is_meant(key));
        }
    }

    fn one_less(&self) {
        self.under_way
            .send_modify(|count| *count = count.saturating_sub(1));
    }

    /// Lets no flight begin any more, ends those that have sent nothing, and waits for the others.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        self.closing.notify_waiters();
        let mut under_way = self.under_way.subscribe();
        // The table has the sender, so that it cannot be gone.
        let _ = under_way.wait_for(|count| *count == 0).await;
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// Takes a flight out, and never the one that may have come after it.
fn take_out<K: Hash + Eq, V, T>(
    shard: &mut HashMap<K, Arc<Flight<V, T>>>,
    key: &K,
    flight: &Arc<Flight<V, T>>,
) {
    if shard
        .get(key)
        .is_some_and(|there| Arc::ptr_eq(there, flight))
    {
        shard.remove(key);
    }
}

impl<V, T> Flight<V, T> {
    fn raise(&self, urgency: Urgency) {
        self.urgency.send_if_modified(|now| {
            let raised = urgency.max(*now);
            std::mem::replace(now, raised) != raised
        });
    }
}

/// A place among those who wait. Given up on drop.
pub(super) struct Seat<K, V, T> {
    flights: Arc<Flights<K, V, T>>,
    key: K,
    flight: Arc<Flight<V, T>>,
    landing: watch::Receiver<Option<Landing<V>>>,
}

impl<K: Hash + Eq + Clone, V: Clone, T: Clone> Seat<K, V, T> {
    fn new(flights: &Arc<Flights<K, V, T>>, key: &K, flight: &Arc<Flight<V, T>>) -> Self {
        Self {
            flights: Arc::clone(flights),
            key: key.clone(),
            flight: Arc::clone(flight),
            landing: flight.landing.subscribe(),
        }
    }

    /// How the flight ends.
    pub(super) async fn landing(&mut self) -> Landing<V> {
        match self.landing.wait_for(Option::is_some).await {
            Ok(landing) => landing.clone().unwrap_or(Landing::Vanished),
            // The pilot says so before it goes. Should it ever not, that is what has become of it.
            Err(_) => Landing::Vanished,
        }
    }

    /// What was said of the flight when it began.
    pub(super) fn tag(&self) -> &T {
        &self.flight.tag
    }

    /// The flight is overdue, on a runtime that is kept without being run: the next one who comes begins another.
    pub(super) fn disown(self) {
        self.flights.remove(&self.key, &self.flight);
    }
}

/// Who flies: dropped before it has landed, it says so to all who wait.
pub(super) struct Pilot<K: Hash + Eq + Clone, V: Clone, T: Clone> {
    flights: Arc<Flights<K, V, T>>,
    key: K,
    flight: Arc<Flight<V, T>>,
    /// Whether the work is being polled.
    is_at_work: AtomicBool,
    has_landed: bool,
}

impl<K: Hash + Eq + Clone, V: Clone, T: Clone> Pilot<K, V, T> {
    /// How urgent it is, and whether that has changed, for the work.
    pub(super) fn urgency(&self) -> UrgencyWatch {
        UrgencyWatch(self.flight.urgency.subscribe())
    }

    /// What was said of the flight when it began.
    pub(super) fn tag(&self) -> &T {
        &self.flight.tag
    }

    /// How many wait for it.
    pub(super) fn waiting(&self) -> usize {
        self.flight.landing.receiver_count()
    }

    /// Does the work and lands. Work that is not committed yet, since it has sent nothing, is given up when nobody waits for
    /// it any more, or when the table is closed.
    pub(super) async fn fly(
        mut self,
        work: impl Future<Output = V>,
        is_committed: impl Fn() -> bool,
    ) {
        let landing = self.landing(work, is_committed).await;
        self.end(landing);
    }

    async fn landing(
        &self,
        work: impl Future<Output = V>,
        is_committed: impl Fn() -> bool,
    ) -> Landing<V> {
        let mut work = pin!(work);
        // What panics while it is at work leaves this set.
        let mut work = pin!(poll_fn(|context| {
            self.is_at_work.store(true, Ordering::SeqCst);
            let polled = work.as_mut().poll(context);
            self.is_at_work.store(false, Ordering::SeqCst);
            polled
        }));
        loop {
            let interruption = match select(work.as_mut(), pin!(self.interruption())).await {
                Either::Left((value, _)) => return Landing::Done(value),
                Either::Right((interruption, _)) => interruption,
            };
            if is_committed() {
                // What was sent is always finished, and kept: it is paid for.
                return Landing::Done(work.await);
            }
            match interruption {
                Interruption::Closing => return Landing::Closed,
                Interruption::Deserted if self.is_deserted_for_good() => return Landing::Closed,
                Interruption::Deserted => {}
            }
        }
    }

    async fn interruption(&self) -> Interruption {
        let closing = async {
            // Listened for before the look, so that it cannot slip in between.
            let closing = self.flights.closing.notified();
            if !self.flights.is_closed() {
                closing.await;
            }
        };
        let deserted = async {
            if self.flight.is_kept {
                std::future::pending::<()>().await;
            }
            self.flight.landing.closed().await;
        };
        match select(pin!(closing), pin!(deserted)).await {
            Either::Left(_) => Interruption::Closing,
            Either::Right(_) => Interruption::Deserted,
        }
    }

    /// Whether nobody has come back meanwhile. From then on nobody can.
    fn is_deserted_for_good(&self) -> bool {
        let mut shard = self.flights.shard(&self.key);
        if self.waiting() > 0 {
            return false;
        }
        take_out(&mut shard, &self.key, &self.flight);
        true
    }

    fn end(&mut self, landing: Landing<V>) {
        if self.has_landed {
            return;
        }
        self.has_landed = true;
        // First out of the table, so that who comes now looks at the cache; then told to those who are on it.
        self.flights.remove(&self.key, &self.flight);
        self.flight.landing.send_replace(Some(landing));
        self.flights.one_less();
    }
}

impl<K: Hash + Eq + Clone, V: Clone, T: Clone> Drop for Pilot<K, V, T> {
    fn drop(&mut self) {
        // Not whether the thread panics: it may do so for a reason of its own while it drops a runtime.
        self.end(if self.is_at_work.load(Ordering::SeqCst) {
            Landing::Panicked
        } else {
            Landing::Vanished
        });
    }
}

#[derive(Debug, Clone, Copy)]
enum Interruption {
    Closing,
    Deserted,
}

/// How urgent a flight is, for what it does.
#[derive(Debug, Clone)]
pub(super) struct UrgencyWatch(watch::Receiver<Urgency>);

impl UrgencyWatch {
    pub(super) fn now(&self) -> Urgency {
        *self.0.borrow()
    }

    /// Completes when it is more than this.
    pub(super) async fn more_than(&mut self, known: Urgency) {
        if self.0.wait_for(|urgency| *urgency > known).await.is_err() {
            // Nobody can raise it any more.
            std::future::pending::<()>().await;
        }
    }
}
