//! What the SDK is around the flights, made small: a cache that is looked into first, work that waits for a permit, is
//! committed, finishes and stores, a task for each pilot, and a book of what the works did.
//!
//! The book and the flags are the standard library's, so that looking after a model adds no schedules. Whatever has to
//! hold in every model is checked here: which works may take a step, and that what was committed was finished and stored.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    mem,
    panic::{AssertUnwindSafe, resume_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures_util::FutureExt as _;
use shuttle::future::{JoinHandle, spawn, yield_now};

use crate::{
    flight::{self, Boarding, Flights, Landing, Urgency, UrgencyWatch},
    sync::{self, watch},
};

/// What is fetched. Those in a crowd all have the same hash, and so the same shard. The others have one each, most of the
/// time: which one depends on keys that are drawn anew in each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Crowd(u32),
    Apart(u32),
}

impl Key {
    pub(crate) const A: Self = Self::Crowd(1);
    pub(crate) const B: Self = Self::Crowd(2);
    const ALL: [Self; 4] = [Self::A, Self::B, Self::Apart(1), Self::Apart(2)];

    /// What the work of this number gives for this key.
    pub(crate) fn value(self, work: u32) -> u32 {
        let (Self::Crowd(key) | Self::Apart(key)) = self;
        100 * key + work
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Self::Apart(key) = self {
            key.hash(state);
        }
    }
}

pub(crate) type Value = Result<u32, &'static str>;
pub(crate) type Seat = flight::Seat<Key, Value, &'static str>;
pub(crate) type Pilot = flight::Pilot<Key, Value, &'static str>;

/// What every flight is tagged with.
pub(crate) const TAG: &str = "whoever began it";

/// What a work does.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) permit: Permit,
    pub(crate) ending: Ending,
}

/// When a work may be committed.
#[derive(Clone)]
pub(crate) enum Permit {
    Soon,
    Never,
    By(Gate),
    /// When somebody waits who has nothing.
    Cold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Value,
    Error,
    Panic,
}

impl Work {
    /// Succeeds as soon as it may.
    pub(crate) const SOON: Self = Self::with(Permit::Soon);
    /// Never gets its permit.
    pub(crate) const STUCK: Self = Self::with(Permit::Never);

    pub(crate) const fn with(permit: Permit) -> Self {
        Self {
            permit,
            ending: Ending::Value,
        }
    }

    pub(crate) fn by(gate: &Gate) -> Self {
        Self::with(Permit::By(gate.clone()))
    }

    pub(crate) fn ending(self, ending: Ending) -> Self {
        Self { ending, ..self }
    }
}

/// Something that a model opens when it is time.
#[derive(Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn opened(&self) {
        let mut receiver = self.0.subscribe();
        receiver
            .wait_for(|is_open| *is_open)
            .await
            .expect("the gate is there");
    }
}

/// How far a work came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Begun,
    Committed,
    Finished,
    /// Dropped before it was committed.
    GivenUp,
    /// Dropped although it was committed.
    Lost,
}

#[derive(Default)]
struct Book {
    works: Vec<(Key, Stage)>,
    /// [`Site::close`] has returned.
    is_closed: bool,
    /// A flight was disowned, so that its work may go on beside the next one's.
    may_overlap: bool,
    /// Callers give up, so that the next work may begin while one that was given up is being dropped.
    may_be_left: bool,
    /// A runtime was stopped, or a work panicked, so that committed work may be lost.
    may_lose: bool,
}

/// What becomes of the task of the first flight.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// It is dropped at any moment.
    Sometime,
    /// It is dropped without having been polled.
    AtOnce,
}

/// Why somebody got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    Work(&'static str),
    Panicked,
    Closed,
    RuntimeGone,
}

pub(crate) enum Aboard {
    There(u32),
    Seated(Seat),
    Closed,
}

pub(crate) struct Site {
    pub(crate) flights: Arc<Flights<Key, Value, &'static str>>,
    cache: sync::Mutex<HashMap<Key, u32>>,
    book: Mutex<Book>,
    pilots: Mutex<Vec<JoinHandle<()>>>,
    stop: Mutex<Option<Stop>>,
    moment: sync::Moment,
}

/// What a work panics with on purpose.
struct Crash;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Site {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            flights: Arc::new(Flights::new()),
            cache: sync::Mutex::default(),
            book: Mutex::default(),
            pilots: Mutex::default(),
            stop: Mutex::default(),
            moment: sync::Moment::default(),
        })
    }

    /// A site whose first flight loses its task.
    pub(crate) fn stopping(stop: Stop) -> Arc<Self> {
        let site = Self::new();
        *lock(&site.stop) = Some(stop);
        lock(&site.book).may_lose = true;
        site
    }

    /// A site whose callers may give up. The lock under which a flight is taken out of the table because nobody waits is not
    /// held while its work is dropped, which may take any time: whoever comes in between begins the next one. It is never
    /// committed, and takes no step.
    pub(crate) fn being_left() -> Arc<Self> {
        let site = Self::new();
        lock(&site.book).may_be_left = true;
        site
    }

    pub(crate) fn cached(&self, key: Key) -> Option<u32> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.get(&key).copied()
    }

    /// A value as the SDK gets it: from the cache, or from a flight, and from another one if that has vanished.
    pub(crate) async fn get(
        self: Arc<Self>,
        key: Key,
        urgency: Urgency,
        work: Work,
    ) -> Result<u32, Failure> {
        if let Some(value) = self.cached(key) {
            return Ok(value);
        }
        let mut has_vanished = false;
        loop {
            let mut seat = match self.board(key, urgency, &work) {
                Aboard::There(value) => return Ok(value),
                Aboard::Seated(seat) => seat,
                Aboard::Closed => return Err(Failure::Closed),
            };
            match seat.landing().await {
                Landing::Done(Ok(value)) => return Ok(value),
                Landing::Done(Err(error)) => return Err(Failure::Work(error)),
                Landing::Closed => return Err(Failure::Closed),
                Landing::Panicked => return Err(Failure::Panicked),
                Landing::Vanished if has_vanished => return Err(Failure::RuntimeGone),
                Landing::Vanished => has_vanished = true,
            }
        }
    }

    /// A seat, and a task for the pilot where there is one.
    pub(crate) fn board(self: &Arc<Self>, key: Key, urgency: Urgency, work: &Work) -> Aboard {
        match self.board_only(key, urgency) {
            Boarding::NoNeed(value) => Aboard::There(value),
            Boarding::Joined(seat) => Aboard::Seated(seat),
            Boarding::Began(seat, pilot) => {
                self.take_off(key, work, pilot);
                Aboard::Seated(seat)
            }
            Boarding::Closed => Aboard::Closed,
        }
    }

    /// A seat, where there has to be one.
    pub(crate) fn seat(self: &Arc<Self>, key: Key, urgency: Urgency, work: &Work) -> Seat {
        match self.board(key, urgency, work) {
            Aboard::Seated(seat) => seat,
            Aboard::There(_) | Aboard::Closed => panic!("there is no seat"),
        }
    }

    /// What the flights say, for models that let the pilot wait.
    pub(crate) fn board_only(
        &self,
        key: Key,
        urgency: Urgency,
    ) -> Boarding<Key, Value, &'static str, u32> {
        let boarding = self
            .flights
            .board(&key, urgency, || self.cached(key), || TAG);
        match &boarding {
            Boarding::Joined(seat) => assert_eq!(*seat.tag(), TAG),
            Boarding::Began(_, pilot) => {
                assert_eq!(*pilot.tag(), TAG);
                assert!(
                    !lock(&self.book).is_closed,
                    "a flight began after the table was closed"
                );
            }
            Boarding::NoNeed(_) | Boarding::Closed => {}
        }
        boarding
    }

    /// A task for this pilot.
    pub(crate) fn take_off(self: &Arc<Self>, key: Key, work: &Work, pilot: Pilot) {
        let flight = self.flight(key, work, pilot);
        let stop = lock(&self.stop).take();
        if let Some(Stop::AtOnce) = stop {
            drop(flight);
            return;
        }
        let task = spawn(flight);
        let handle = task.abort_handle();
        let mut tasks = vec![task];
        if let Some(Stop::Sometime) = stop {
            tasks.push(spawn(async move { handle.abort() }));
        }
        lock(&self.pilots).extend(tasks);
    }

    /// What the task of this pilot does.
    pub(crate) fn flight(
        self: &Arc<Self>,
        key: Key,
        work: &Work,
        pilot: Pilot,
    ) -> impl Future<Output = ()> + Send + 'static {
        let site = Arc::clone(self);
        let work = work.clone();
        async move {
            let is_committed = Arc::new(AtomicBool::new(false));
            let work = site.work(key, work, pilot.urgency(), Arc::clone(&is_committed));
            let flying = pilot.fly(work, move || is_committed.load(Ordering::SeqCst));
            // As tokio does, which shuttle does not.
            if let Err(panic) = AssertUnwindSafe(flying).catch_unwind().await
                && !panic.is::<Crash>()
            {
                resume_unwind(panic);
            }
        }
    }

    async fn work(
        self: Arc<Self>,
        key: Key,
        work: Work,
        mut urgency: UrgencyWatch,
        is_committed: Arc<AtomicBool>,
    ) -> Value {
        let doing = Doing::begin(&self, key);
        match work.permit {
            Permit::Soon => yield_now().await,
            Permit::Never => std::future::pending().await,
            Permit::By(gate) => gate.opened().await,
            Permit::Cold => loop {
                let known = urgency.now();
                if known == Urgency::Cold {
                    break;
                }
                urgency.more_than(known).await;
            },
        }
        is_committed.store(true, Ordering::SeqCst);
        doing.is_at(Stage::Committed);
        yield_now().await;
        doing.may_step();
        match work.ending {
            Ending::Value => {
                let value = key.value(doing.number);
                self.store(key, value);
                doing.is_at(Stage::Finished);
                Ok(value)
            }
            Ending::Error => {
                doing.is_at(Stage::Finished);
                Err("the work failed")
            }
            Ending::Panic => {
                lock(&self.book).may_lose = true;
                // Without the hook, which would print it each time.
                resume_unwind(Box::new(Crash))
            }
        }
    }

    fn store(&self, key: Key, value: u32) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(key, value);
    }

    /// Lets the table be closed. Nothing may happen after it.
    pub(crate) async fn close(&self) {
        self.flights.close().await;
        let mut book = lock(&self.book);
        book.is_closed = true;
        for (_, stage) in &book.works {
            assert!(
                !matches!(stage, Stage::Begun | Stage::Committed),
                "closed while a work was {stage:?}"
            );
        }
    }

    /// A caller whose patience with a flight is over: the next one may begin beside it.
    pub(crate) fn disown(&self, seat: Seat) {
        lock(&self.book).may_overlap = true;
        seat.disown();
    }

    /// Waits until every task is over. Then the table is empty, and what was committed is finished.
    pub(crate) async fn landed(&self) {
        loop {
            let pilots = mem::take(&mut *lock(&self.pilots));
            if pilots.is_empty() {
                break;
            }
            for pilot in pilots {
                // Those that were stopped say so.
                let _ = pilot.await;
            }
        }
        assert_eq!(self.flights.len(), 0, "all have landed");
        for key in Key::ALL {
            // Who comes now joins nobody.
            let boarding = self.board_only(key, Urgency::Cold);
            assert!(
                !matches!(boarding, Boarding::Joined(_)),
                "{key:?} is still in the table"
            );
        }
        assert_eq!(self.flights.len(), 0, "those have landed as well");
        let book = lock(&self.book);
        for (key, stage) in &book.works {
            match stage {
                Stage::Begun | Stage::Committed => panic!("a work was {stage:?} to the end"),
                Stage::Lost => assert!(book.may_lose, "committed work of {key:?} was lost"),
                Stage::Finished | Stage::GivenUp => {}
            }
        }
    }

    /// How far the works of a key came, in the order in which they began.
    pub(crate) fn works(&self, key: Key) -> Vec<Stage> {
        let book = lock(&self.book);
        book.works
            .iter()
            .filter(|(of, _)| *of == key)
            .map(|(_, stage)| *stage)
            .collect()
    }
}

/// A work that is under way.
struct Doing {
    site: Arc<Site>,
    key: Key,
    /// Its place in the book.
    place: usize,
    /// Which one of this key it is, from 1.
    number: u32,
}

impl Doing {
    fn begin(site: &Arc<Site>, key: Key) -> Self {
        let mut book = lock(&site.book);
        assert!(!book.is_closed, "a work began after the table was closed");
        let mut number = 1;
        for (of, stage) in &book.works {
            if *of == key {
                number += 1;
                let is_over = match stage {
                    Stage::Begun => book.may_be_left,
                    Stage::Committed => false,
                    Stage::Finished | Stage::GivenUp | Stage::Lost => true,
                };
                assert!(
                    is_over || book.may_overlap,
                    "a work of {key:?} began while another one was {stage:?}"
                );
            }
        }
        book.works.push((key, Stage::Begun));
        Self {
            site: Arc::clone(site),
            key,
            place: book.works.len() - 1,
            number,
        }
    }

    /// Nothing is done after the table was closed, or once the next work has begun.
    fn may_step(&self) {
        let book = lock(&self.site.book);
        assert!(!book.is_closed, "a work went on after the table was closed");
        let is_newest = book.works[self.place + 1..]
            .iter()
            .all(|(key, _)| *key != self.key);
        assert!(
            is_newest || book.may_overlap,
            "a work went on beside the next one"
        );
    }

    fn is_at(&self, stage: Stage) {
        self.may_step();
        lock(&self.site.book).works[self.place].1 = stage;
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        // What is dropped leaves queues and gives back leases: others may come before it has.
        self.site.moment.pass();
        let mut book = lock(&self.site.book);
        let stage = &mut book.works[self.place].1;
        *stage = match *stage {
            Stage::Begun => Stage::GivenUp,
            Stage::Committed => Stage::Lost,
            over => over,
        };
    }
}
