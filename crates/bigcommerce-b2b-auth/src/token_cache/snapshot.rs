//! A snapshot of the cache on disk, so that a process which restarts does not mint all its tokens again: what a caller sees of
//! it, and who reads and writes when.
//!
//! What lives where: `key.rs` the key and what is made of it, `seal.rs` the seal, `format.rs` what is inside of it, `file.rs` the
//! files and the lock.

mod file;
mod format;
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/properties/snapshot.rs"]
pub(crate) mod fuzzing;
mod key;
mod report;
mod seal;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use futures_util::future::{Either, select};
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify, watch},
    time::Instant,
};

use self::{
    file::{Failed, Lock},
    format::{Head, Record, Records, Token},
    key::Keys,
    seal::{Flaw, RANDOM, Sealer},
};
pub use self::{
    key::SnapshotKey,
    report::{RestoreReport, SnapshotError, SnapshotEvent, SnapshotProblem, SnapshotWritten},
};
use super::{
    Shared, StorefrontTokens,
    cached_token::{CLOCK_TOLERANCE, Entry, Phase, Unfit},
    key::Key,
};
use crate::{
    ChannelId, ClockReading, CustomerId, StoreHash,
    telemetry::Observer,
    time::deadline::in_time,
    token::{
        bearer::{self, Unsendable},
        claims::Holder,
    },
};

/// Length of a chunk's text in the files that are written. A token that is longer is left out: no header could carry it.
const CHUNK: u32 = 64 * 1024;

/// How long a shutdown waits for the last snapshot.
const LAST_WRITE: Duration = Duration::from_secs(30);

/// How long after a log-out the snapshot is written anew: those within that time share one write.
const AFTER_LOG_OUT: Duration = Duration::from_secs(5);

/// Fills the bytes at random.
type Random = Arc<dyn Fn(&mut [u8]) -> io::Result<()> + Send + Sync>;

/// Where a cache of managed tokens keeps a snapshot of itself, sealed with a key, so that a process which restarts finds its
/// tokens again instead of minting them.
///
/// ```
/// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
/// use bigcommerce_b2b_auth::{Client, CustomerId, Snapshot, SnapshotKey, StoreAccess, StorefrontTokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sandbox = Sandbox::builder().start().await?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tokens.snapshot");
/// # let client = Client::builder()
/// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
/// #     .base_url(sandbox.base_url())
/// #     .build()?;
/// # let start = || -> Result<_, bigcommerce_b2b_auth::Error> {
/// #     let (client, path) = (client.clone(), path.clone());
/// #     let key_text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// let key = SnapshotKey::from_base64(key_text)?; // out of the environment, say
/// let tokens = StorefrontTokens::builder()
///     .client(client)
///     .snapshot(Snapshot::new(path, key))
///     .build();
/// #     Ok(tokens)
/// # };
/// # let tokens = start()?;
/// let report = tokens.restore().await; // before the first request is served
/// println!("{} tokens are back", report.restored);
/// # let customer = CustomerId::new(demo::CUSTOMER_ID)?;
/// let token = tokens.get(customer).await?;
/// tokens.shutdown().await; // writes the last snapshot
/// # let tokens = start()?;
/// # assert_eq!(tokens.restore().await.restored, 1);
/// # assert_eq!(tokens.get_cached(customer).unwrap().expose_secret(), token.expose_secret());
/// # Ok(())
/// # }
/// ```
///
/// # What happens when
/// Nothing about a snapshot is an error of [`get`](StorefrontTokens::get): what cannot be read is reported and ignored, and the
/// tokens are minted as if there were none.
///
/// | | |
/// |---|---|
/// | the first start, no file | nothing is restored, and that is no problem |
/// | a byte of the file is not what was written; its end is missing; something was appended, swapped, or put in from another file | [`Damaged`](SnapshotProblem::Damaged); no token of it is taken |
/// | it was sealed with another key | [`OtherKey`](SnapshotProblem::OtherKey), unless [`also_reads`](Self::also_reads) names it |
/// | the client's base URL was another one | [`OtherService`](SnapshotProblem::OtherService) |
/// | a newer version of the SDK wrote it | [`NewerVersion`](SnapshotProblem::NewerVersion) |
/// | a link, a folder, a pipe or a device is in the place of the file, or of one beside it | [`NotAFile`](SnapshotProblem::NotAFile); nothing is read there or written |
/// | the lock file is not empty | [`ForeignLock`](SnapshotProblem::ForeignLock), unless an earlier version of the SDK wrote what is in it; nothing is written |
/// | it is older than [`not_older_than`](Self::not_older_than) | [`TooOld`](SnapshotProblem::TooOld) |
/// | it was written in the future, by more than 30 seconds: the clock was set back since | [`FromTheFuture`](SnapshotProblem::FromTheFuture) |
/// | a token in it names another customer or store than it was kept for | it is left out, and [counted](RestoreReport::mismatched) |
/// | a token in it is longer than 16 KiB, or was requested in the future | it is left out |
/// | a token in it is over, or as good as | it is left out |
/// | the cache has a newer token of the customer, or that one was refused | it is left out |
/// | it holds more tokens than the cache | the cache evicts as it always does |
/// | another process has the lock | [`HeldByAnother`](SnapshotProblem::HeldByAnother): the snapshot is read and not written; at each interval the lock is tried again, and who gets it reads the snapshot once more and writes from then on |
/// | the process is killed while it writes | the old snapshot stays; what was half written is removed by whoever writes next |
/// | writing fails | the old snapshot stays, and it is tried again at the next interval |
/// | [`restore`](StorefrontTokens::restore) is never called | nothing is ever written, since what is there would be lost; [`shutdown`](StorefrontTokens::shutdown) says so in the log |
///
/// A snapshot that was reported and ignored is replaced by the next one that is written. What may be of use to others (no snapshot
/// at all, one under another key, of another service or of a newer version) is kept beside it first, as `….aside`, unless there
/// is something of that name: a path or a key that was mistaken destroys nothing.
///
/// # What is in the file
/// The tokens, whose they are, how long they last and when each is renewed, which was drawn once and is not drawn again. Anybody
/// who reads the file learns that it is such a snapshot, its version, a name of the key that tells nothing of the key, and by its
/// length about how many tokens it holds. The key opens all of it: keep it elsewhere.
///
/// After a [log-out](StorefrontTokens::forget) the snapshot is written anew within five seconds, without the customer's tokens.
/// A process that is killed before leaves them in the file.
///
/// Tokens for a customer access token are left out, since the fingerprint that tells them apart is of one process. A token that
/// was refused after the last snapshot comes back with it when the process is killed; it is refused and replaced once more.
///
/// # Files
/// The snapshot itself; beside it `….lock`, which is empty, held while a process writes the snapshot and free again when it ends,
/// however it does; for as long as a snapshot is written, `….tmp`; and `….aside`, where something else had to make room. On Unix
/// they are readable by the process's user alone. The folder has to be there, on a file system that has locks, and be writable.
///
/// Each of them is a regular file. A link is not followed, not even where the snapshot itself should be: it would be replaced by
/// the next snapshot, and not what it points to. The folder may be reached by a link.
///
/// A file says nothing of whether a newer one was written after it. Somebody who can write to the folder can put an earlier
/// snapshot back, and with it the tokens that it holds, until each of them ends.
#[derive(Clone)]
pub struct Snapshot {
    path: PathBuf,
    keys: Vec<Keys>,
    every: Duration,
    not_older_than: Duration,
    chunk: u32,
    random: Random,
}

impl Snapshot {
    /// A snapshot in this file, sealed with this key.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, key: SnapshotKey) -> Self {
        Self {
            path: path.into(),
            keys: vec![Keys::from(&key)],
            every: Duration::from_secs(5 * 60),
            not_older_than: Duration::from_secs(24 * 60 * 60),
            chunk: CHUNK,
            random: Arc::new(|bytes| getrandom::fill(bytes).map_err(io::Error::from)),
        }
    }

    /// How often it is written, if anything changed: what a process that is killed loses at most. 5 minutes by default; less
    /// than a second is taken for a second.
    #[must_use]
    pub fn every(mut self, interval: Duration) -> Self {
        self.every = interval.max(Duration::from_secs(1));
        self
    }

    /// A key that a snapshot may have been sealed with before. It is read with this one, and written with the one that
    /// [`new`](Self::new) was given: so a key is replaced without a token being lost.
    #[must_use]
    pub fn also_reads(mut self, old_key: SnapshotKey) -> Self {
        self.keys.push(Keys::from(&old_key));
        self
    }

    /// One that was written longer ago is not taken. A day by default, which is how long a token lasts.
    #[must_use]
    pub fn not_older_than(mut self, age: Duration) -> Self {
        self.not_older_than = age;
        self
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("path", &self.path)
            .field("every", &self.every)
            .field("not_older_than", &self.not_older_than)
            .finish_non_exhaustive()
    }
}

/// Who keeps the snapshot of a cache.
pub(super) struct Keeper {
    snapshot: Snapshot,
    /// The client's base URL.
    service: String,
    observer: Option<Arc<dyn Observer>>,
    /// Locked for as long as anything is read or written, so that nothing is written twice at once.
    state: Arc<Mutex<State>>,
    /// Whether nothing is written any more. The background writing ends with it, and when it is gone.
    ended: watch::Sender<bool>,
    /// Wakes the background writing after a log-out.
    log_out: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether what was there has been read: before that nothing is written.
    is_restored: bool,
    /// Whether the background writing was begun.
    is_running: bool,
    is_closed: bool,
    /// The lock, while it is ours.
    lock: Option<Lock>,
    /// The highest number that is known of.
    sequence: u64,
    /// What had changed in the cache when it was last written.
    written: u64,
    /// Whether what is there is to be kept under another name, before a snapshot takes its place.
    is_of_others: bool,
}

impl Keeper {
    pub(super) fn new(
        snapshot: Snapshot,
        service: &str,
        observer: Option<&Arc<dyn Observer>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            snapshot,
            service: service.to_owned(),
            observer: observer.cloned(),
            state: Arc::default(),
            ended: watch::Sender::new(false),
            log_out: Arc::default(),
        })
    }

    fn path(&self) -> &Path {
        &self.snapshot.path
    }

    /// The keys, of which the first one seals.
    fn keys(&self) -> &[Keys] {
        &self.snapshot.keys
    }

    fn tell(&self, event: SnapshotEvent<'_>) {
        event.log();
        if let Some(observer) = &self.observer {
            observer.on_snapshot(&event);
        }
    }
}

impl StorefrontTokens {
    /// Brings back the tokens of the [`Snapshot`], and from then on writes it in the background, unless another process does.
    ///
    /// Call it once, before the first request is served, in a tokio runtime if the builder was not given one. It never fails:
    /// what could not be had is in the report. A cache that is not restored never writes its snapshot.
    pub async fn restore(&self) -> RestoreReport {
        let Some(keeper) = self.shared.snapshot.clone() else {
            return RestoreReport::of(SnapshotProblem::NotSetUp);
        };
        let report = Shared::with_snapshot(&self.shared, &keeper, Shared::restore)
            .await
            .unwrap_or_else(|error| RestoreReport::of(error.into_problem(keeper.path())));
        keeper.tell(SnapshotEvent::Restored(&report));
        report
    }

    /// Writes the [`Snapshot`] now, whether anything changed or not.
    ///
    /// # Errors
    /// [`SnapshotError`], after which the old snapshot is still there.
    pub async fn write_snapshot(&self) -> Result<SnapshotWritten, SnapshotError> {
        let Some(keeper) = self.shared.snapshot.clone() else {
            return Err(SnapshotError::NotSetUp);
        };
        let (restored, written) =
            Shared::with_snapshot(&self.shared, &keeper, |shared, keeper, state| {
                if state.is_closed {
                    return (None, Err(SnapshotError::ShutDown));
                }
                if !state.is_restored {
                    return (None, Err(SnapshotError::NotRestored));
                }
                shared.own_and_write(keeper, state)
            })
            .await?;
        keeper.tell_all(restored.as_ref(), Some(&written));
        written
    }
}

impl Keeper {
    fn tell_all(
        &self,
        restored: Option<&RestoreReport>,
        written: Option<&Result<SnapshotWritten, SnapshotError>>,
    ) {
        if let Some(report) = restored {
            self.tell(SnapshotEvent::Restored(report));
        }
        match written {
            Some(Ok(written)) => self.tell(SnapshotEvent::Written(written)),
            Some(Err(error)) => self.tell(SnapshotEvent::Failed(error)),
            None => {}
        }
    }
}

/// What came of a turn: what was read, where the lock was taken, and what was written.
type Turn = (
    Option<RestoreReport>,
    Result<SnapshotWritten, SnapshotError>,
);

/// What was read.
#[derive(Default)]
struct Contents {
    stores: Vec<StoreHash>,
    found: Vec<Found>,
}

/// A token that was read, as an entry.
struct Found {
    store: usize,
    customer: CustomerId,
    channel: Option<ChannelId>,
    entry: Arc<Entry>,
}

impl Shared {
    fn runtime(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    /// Does this where it holds up no task. It goes on when its caller is dropped, and nobody else begins before it is done.
    async fn with_snapshot<T: Send + 'static>(
        shared: &Arc<Self>,
        keeper: &Arc<Keeper>,
        work: impl FnOnce(&Arc<Self>, &Keeper, &mut State) -> T + Send + 'static,
    ) -> Result<T, SnapshotError> {
        let mut state = Arc::clone(&keeper.state).lock_owned().await;
        let work = {
            let (shared, keeper) = (Arc::clone(shared), Arc::clone(keeper));
            move || work(&shared, &keeper, &mut state)
        };
        match shared.runtime() {
            Some(runtime) => runtime
                .spawn_blocking(work)
                .await
                .map_err(|_| SnapshotError::Interrupted),
            None => Ok(work()),
        }
    }

    fn restore(self: &Arc<Self>, keeper: &Keeper, state: &mut State) -> RestoreReport {
        let owned = if state.is_closed {
            Err(SnapshotError::ShutDown)
        } else {
            self.own(keeper, state)
        };
        let report = match owned {
            Ok(Some(report)) => report,
            // It was ours before: what is there was written by us.
            Ok(None) => self.read(keeper, state),
            Err(error) => {
                let mut report = self.read(keeper, state);
                report
                    .problem
                    .get_or_insert_with(|| error.into_problem(keeper.path()));
                report
            }
        };
        state.is_restored = true;
        if !state.is_running
            && !state.is_closed
            && let Some(runtime) = self.runtime()
        {
            state.is_running = true;
            let ended = keeper.ended.subscribe();
            drop(runtime.spawn(write_at_intervals(
                Arc::downgrade(self),
                keeper.snapshot.every,
                ended,
            )));
        }
        report
    }

    /// Sees to it that the lock is ours. When it was not before, the snapshot is read: somebody else may have written it.
    fn own(
        &self,
        keeper: &Keeper,
        state: &mut State,
    ) -> Result<Option<RestoreReport>, SnapshotError> {
        if state.lock.as_ref().is_some_and(Lock::is_in_place) {
            return Ok(None);
        }
        state.lock = None;
        let Some(lock) = Lock::take(keeper.path(), keeper.keys())? else {
            return Err(SnapshotError::HeldByAnother);
        };
        file::remove_left_over(keeper.path());
        state.lock = Some(lock);
        Ok(Some(self.read(keeper, state)))
    }

    fn own_and_write(&self, keeper: &Keeper, state: &mut State) -> Turn {
        match self.own(keeper, state) {
            Ok(restored) => (restored, self.write(keeper, state)),
            Err(error) => (None, Err(error)),
        }
    }

    /// Reads the snapshot and puts in what it brings.
    fn read(&self, keeper: &Keeper, state: &mut State) -> RestoreReport {
        let began = self.clock.instant();
        let mut report = RestoreReport::default();
        let read = match file::open(keeper.path()) {
            // The first start.
            Ok(None) => Ok(Contents::default()),
            Ok(Some(file)) => self.collect(file, keeper, state, &mut report),
            Err(failed) => Err(SnapshotError::from(failed).into_problem(keeper.path())),
        };
        match read {
            Ok(contents) => self.put_back(contents, &mut report),
            Err(problem) => {
                state.is_of_others = problem.is_of_others();
                report.problem = Some(problem);
            }
        }
        report.is_writing = state.lock.is_some();
        report.took = self.clock.instant().saturating_duration_since(began);
        report
    }

    /// Everything in a file, once all of it was read: none of what is damaged further on is taken.
    fn collect(
        &self,
        from: impl io::Read,
        keeper: &Keeper,
        state: &mut State,
        report: &mut RestoreReport,
    ) -> Result<Contents, SnapshotProblem> {
        let problem = |flaw: Flaw| flaw.into_problem(keeper.path());
        let now = self.clock.reading();
        let mut records = Records::begin(from, keeper.keys()).map_err(problem)?;
        let Some(Record::Head(head)) = records.next().map_err(problem)? else {
            return Err(problem(records.malformed()));
        };
        report.written_at = SystemTime::UNIX_EPOCH.checked_add(head.written_at);
        if let Some(problem) = check_head(&head, now, keeper) {
            return Err(problem);
        }
        let sequence = head.sequence;
        let mut contents = Contents::default();
        let mut expired = 0;
        let mut left_out = 0;
        let mut mismatched = 0;
        while let Some(record) = records.next().map_err(problem)? {
            let is_fit = match record {
                Record::Head(_) => false,
                Record::Store(hash) => StoreHash::new(hash)
                    .map(|hash| contents.stores.push(hash))
                    .is_ok(),
                Record::Token(token) => match entry(&token, &contents.stores, now) {
                    Some(Restored::Usable(found)) => {
                        contents.found.push(found);
                        true
                    }
                    Some(Restored::Expired) => {
                        expired += 1;
                        true
                    }
                    Some(Restored::LeftOut) => {
                        left_out += 1;
                        true
                    }
                    Some(Restored::Mismatch) => {
                        mismatched += 1;
                        true
                    }
                    None => false,
                },
            };
            if !is_fit {
                return Err(problem(records.malformed()));
            }
        }
        state.sequence = state.sequence.max(sequence);
        report.expired = expired;
        report.left_out = left_out;
        report.mismatched = mismatched;
        Ok(contents)
    }

    /// Has the snapshot written within some seconds, since a token that it holds has ended.
    pub(super) fn write_snapshot_soon(&self) {
        if let Some(keeper) = &self.snapshot {
            keeper.log_out.notify_one();
        }
    }

    /// Completes when the snapshot on disk was written after all changes up to now. One write serves all who wait for it.
    pub(super) async fn snapshot_is_clean(self: &Arc<Self>) -> Result<(), SnapshotError> {
        let Some(keeper) = self.snapshot.clone() else {
            return Ok(());
        };
        let changes = self.cache.changes();
        let turn = Self::with_snapshot(self, &keeper, move |shared, keeper, state| {
            if state.is_closed {
                return (None, Some(Err(SnapshotError::ShutDown)));
            }
            if !state.is_restored {
                return (None, Some(Err(SnapshotError::NotRestored)));
            }
            if state.written >= changes && state.lock.as_ref().is_some_and(Lock::is_in_place) {
                return (None, None);
            }
            let (restored, written) = shared.own_and_write(keeper, state);
            (restored, Some(written))
        });
        let (restored, written) = turn.await?;
        keeper.tell_all(restored.as_ref(), written.as_ref());
        written.map_or(Ok(()), |written| written.map(drop))
    }

    /// Puts what was read into the cache. What is there and newer stays, and what was refused does not come back.
    fn put_back(&self, contents: Contents, report: &mut RestoreReport) {
        let stores = contents.stores.iter();
        let stores: Vec<_> = stores.map(|hash| self.stores.of(hash).0).collect();
        for found in contents.found {
            let Some(store) = stores.get(found.store) else {
                continue;
            };
            let now = self.clock.reading();
            let key = Key::new(store.number, found.customer, found.channel, None);
            // One that is there stays as it is, with what is known of when it is due.
            if self.cache.has(&key, &found.entry)
                || self.forgotten.ends(key, &found.entry)
                || !self.rejections.accept(&key, &found.entry, now)
            {
                report.left_out += 1;
                continue;
            }
            let (there, evicted) = self.cache.insert_if_newer(key, &found.entry, now);
            if !Arc::ptr_eq(&there, &found.entry) {
                report.left_out += 1;
                continue;
            }
            if !self.rejections.replaced(&key, &found.entry, now)
                || self.forgotten.ends(key, &found.entry)
            {
                // Rejected or forgotten since the look above.
                self.cache.remove_up_to(&key, &found.entry);
                report.left_out += 1;
                continue;
            }
            // It gave a token once: its hash is not wrong.
            store.breaker.has_worked_before();
            report.restored += 1;
            report.evicted += evicted.len();
            self.counters.evicted_live.add(evicted.len());
        }
    }

    /// Writes the snapshot. Only who has the lock does.
    fn write(&self, keeper: &Keeper, state: &mut State) -> Result<SnapshotWritten, SnapshotError> {
        if state.lock.is_none() {
            return Err(SnapshotError::HeldByAnother);
        }
        let began = self.clock.instant();
        // Before anything is looked at: what changes meanwhile makes the next one necessary.
        let changes = self.cache.changes();
        let sequence = state.sequence.saturating_add(1);
        let snapshot = &keeper.snapshot;
        let [keys, ..] = keeper.keys() else {
            return Err(SnapshotError::NotSetUp);
        };
        let mut written = SnapshotWritten {
            sequence,
            ..SnapshotWritten::default()
        };
        if state.is_of_others {
            file::set_aside(keeper.path())?;
            state.is_of_others = false;
        }
        file::replace(keeper.path(), |file| {
            let mut random = [0; RANDOM];
            (snapshot.random)(&mut random)?;
            let mut sealer = Sealer::begin(file, keys, random, snapshot.chunk)?;
            self.seal_all(&mut sealer, &keeper.service, &mut written)?;
            written.bytes = sealer.finish()?;
            Ok(())
        })?;
        state.sequence = sequence;
        state.written = changes;
        written.took = self.clock.instant().saturating_duration_since(began);
        Ok(written)
    }

    fn seal_all<W: io::Write>(
        &self,
        sealer: &mut Sealer<W>,
        service: &str,
        written: &mut SnapshotWritten,
    ) -> io::Result<()> {
        let now = self.clock.reading();
        let head = Record::Head(Head {
            sequence: written.sequence,
            written_at: now.wall,
            service,
        });
        // In the file, a token's store is the place of its hash among the others.
        let stores = self.stores.by_number();
        let places: HashMap<u64, u32> = stores.iter().map(|(number, _)| *number).zip(0..).collect();
        let hashes = stores.iter().map(|(_, hash)| hash.as_str());
        for record in std::iter::once(head).chain(hashes.map(Record::Store)) {
            if !seal(sealer, &record)? {
                return Err(io::Error::other(
                    "the base URL or a store hash is too long for a snapshot",
                ));
            }
        }
        for (key, entry) in self.cache.iter() {
            // One of a store without a place came while this one was written; the next one will have it.
            let Some(store) = places.get(&key.store()) else {
                continue;
            };
            if entry.phase(now) == Phase::Over {
                continue;
            }
            let record = Record::Token(Token {
                store: *store,
                customer: key.customer(),
                channel: key.channel(),
                kept: entry.kept(now),
                text: entry.token(),
            });
            if key.fingerprint().is_none() && seal(sealer, &record)? {
                written.tokens += 1;
            } else {
                written.left_out += 1;
            }
        }
        Ok(())
    }

    /// What is done at each interval.
    fn turn(&self, keeper: &Keeper, state: &mut State) -> Option<Turn> {
        if state.is_closed {
            return None;
        }
        let restored = match self.own(keeper, state) {
            Ok(restored) => restored,
            // It was said when it was found out.
            Err(SnapshotError::HeldByAnother) => return None,
            Err(error) => return Some((None, Err(error))),
        };
        if restored.is_none() && self.cache.changes() == state.written {
            return None;
        }
        Some((restored, self.write(keeper, state)))
    }

    /// Writes the last one and gives the lock back.
    fn close(&self, keeper: &Keeper, state: &mut State) -> Option<Turn> {
        if std::mem::replace(&mut state.is_closed, true) {
            return None;
        }
        if !state.is_restored {
            tracing::warn!(
                path = %keeper.path().display(),
                "no snapshot of the tokens was written, since `restore` was never called"
            );
            return None;
        }
        let turn =
            (self.cache.changes() != state.written).then(|| self.own_and_write(keeper, state));
        state.lock = None;
        turn
    }

    /// The last snapshot, at a shutdown. What takes too long goes on without anybody waiting for it.
    pub(super) async fn close_snapshot(self: &Arc<Self>) {
        let Some(keeper) = self.snapshot.clone() else {
            return;
        };
        keeper.ended.send_replace(true);
        let ends_at = Instant::now().checked_add(LAST_WRITE);
        let closed = Self::with_snapshot(self, &keeper, |shared, keeper, state| {
            shared.close(keeper, state)
        });
        match in_time(ends_at, closed).await {
            Ok(Ok(Some((restored, written)))) => {
                keeper.tell_all(restored.as_ref(), Some(&written));
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => keeper.tell(SnapshotEvent::Failed(&error)),
            Err(_) => keeper.tell(SnapshotEvent::Failed(&SnapshotError::Interrupted)),
        }
    }
}

/// Writes at each interval, until the cache is shut down or gone. It keeps nothing of it alive meanwhile.
async fn write_at_intervals(
    shared: Weak<Shared>,
    every: Duration,
    mut ended: watch::Receiver<bool>,
) {
    loop {
        let of_cache = |shared: Arc<Shared>| {
            let log_out = Arc::clone(&shared.snapshot.as_ref()?.log_out);
            Some((Arc::clone(&shared.clock), log_out))
        };
        let Some((clock, log_out)) = shared.upgrade().and_then(of_cache) else {
            return;
        };
        let next = async {
            let log_out = std::pin::pin!(log_out.notified());
            if let Either::Right(_) = select(clock.sleep(every), log_out).await {
                clock.sleep(AFTER_LOG_OUT.min(every)).await;
            }
        };
        let end = std::pin::pin!(ended.wait_for(|ended| *ended));
        // With its sender gone, so is the cache.
        if let Either::Left(_) = select(end, std::pin::pin!(next)).await {
            return;
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let Some(keeper) = shared.snapshot.clone() else {
            return;
        };
        let turn = Shared::with_snapshot(&shared, &keeper, |shared, keeper, state| {
            shared.turn(keeper, state)
        });
        match turn.await {
            Ok(Some((restored, written))) => keeper.tell_all(restored.as_ref(), Some(&written)),
            Ok(None) => {}
            Err(error) => keeper.tell(SnapshotEvent::Failed(&error)),
        }
    }
}

/// What keeps the whole of a snapshot from being taken.
fn check_head(head: &Head<'_>, now: ClockReading, keeper: &Keeper) -> Option<SnapshotProblem> {
    if head.service != keeper.service {
        Some(SnapshotProblem::OtherService)
    } else if now.wall.saturating_sub(head.written_at) > keeper.snapshot.not_older_than {
        Some(SnapshotProblem::TooOld)
    } else if head.written_at > now.wall.saturating_add(CLOCK_TOLERANCE) {
        Some(SnapshotProblem::FromTheFuture)
    } else {
        None
    }
}

/// A token that was read from a snapshot.
enum Restored {
    Usable(Found),
    Expired,
    /// It is too long, or was requested in the future.
    LeftOut,
    /// It names another customer or store than it was kept for.
    Mismatch,
}

/// A token of a snapshot as an entry. `None` when the record is malformed: it has no such store, or no header can carry its text.
fn entry(token: &Token<'_>, stores: &[StoreHash], now: ClockReading) -> Option<Restored> {
    let store = usize::try_from(token.store).ok()?;
    let holder = Holder {
        customer: Some(token.customer),
        store_hash: Some(stores.get(store)?.as_str()),
    };
    let header = match bearer::header(token.text) {
        Ok(header) => header,
        Err(Unsendable::TooLong) => return Some(Restored::LeftOut),
        Err(Unsendable::NotAHeader) => return None,
    };
    if holder.inspect(token.text).is_mismatch {
        return Some(Restored::Mismatch);
    }
    Some(match Entry::of_kept(header, token.kept, now) {
        Ok(entry) => Restored::Usable(Found {
            store,
            customer: token.customer,
            channel: token.channel,
            entry: Arc::new(entry),
        }),
        Err(Unfit::FromTheFuture) => Restored::LeftOut,
        Err(Unfit::Expired | Unfit::NotYetValid) => Restored::Expired,
    })
}

/// Seals a record; `false` when it is too long.
fn seal<W: io::Write>(sealer: &mut Sealer<W>, record: &Record<'_>) -> io::Result<bool> {
    Ok(match sealer.room_for(record.length())? {
        Some(text) => record.append_to(text),
        None => false,
    })
}

impl Flaw {
    /// What to report of it.
    fn into_problem(self, path: &Path) -> SnapshotProblem {
        match self {
            Self::Damaged(at) => SnapshotProblem::Damaged { at },
            Self::OtherKey => SnapshotProblem::OtherKey,
            Self::NewerVersion(version) => SnapshotProblem::NewerVersion(version),
            Self::Io(error) => SnapshotProblem::Unreadable {
                path: path.to_owned(),
                kind: error.kind(),
            },
        }
    }
}

impl From<Failed> for SnapshotError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Io { doing, path, error } => Self::Io {
                doing,
                path,
                error: Arc::new(error),
            },
            Failed::NotAFile(path) => Self::NotAFile { path },
            Failed::ForeignLock(path) => Self::ForeignLock { path },
        }
    }
}
