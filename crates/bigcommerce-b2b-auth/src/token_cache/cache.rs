//! The map behind the cache: bounded, swept of what is over, and never going from a newer token to an older one.
//!
//! `quick_cache` holds it: a hit takes a lock that readers share, of one of its shards, and clones an `Arc`. What it evicts
//! when it is full is what was used least. Evicting a token that is still valid costs a mint, so it is counted.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quick_cache::{
    DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter,
    sync::{Cache, EntryAction, EntryResult},
};

use super::{
    cached_token::{Entry, Phase},
    expiry::Tick,
    key::Key,
};
use crate::ClockReading;

/// How much a cache of managed tokens holds.
///
/// ```
/// use bigcommerce_b2b_auth::Capacity;
///
/// let by_number = Capacity::entries(50_000);
/// let by_memory = Capacity::bytes(64 * 1024 * 1024);
/// # drop((by_number, by_memory));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    limit: u64,
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Entries,
    Bytes,
}

impl Capacity {
    /// So many tokens. It is divided among shards that fill evenly but not exactly so, which is why a cache may begin to evict
    /// some hundredths below it. 0 is taken for 1.
    #[must_use]
    pub fn entries(entries: usize) -> Self {
        Self {
            limit: (entries as u64).max(1),
            unit: Unit::Entries,
        }
    }

    /// So many bytes, counted as the length of each token and what the cache keeps besides it. A token that is longer than a
    /// shard's part of it is handed out and not kept.
    #[must_use]
    pub fn bytes(bytes: usize) -> Self {
        Self {
            limit: (bytes as u64).max(1),
            unit: Unit::Bytes,
        }
    }

    /// How many entries to make room for at first, and to divide into shards by.
    fn estimated_entries(self) -> usize {
        /// A token of 300 bytes with what is kept besides.
        const USUAL_BYTES: u64 = 300 + BYTES_BESIDES;
        let entries = match self.unit {
            Unit::Entries => self.limit,
            Unit::Bytes => self.limit / USUAL_BYTES,
        };
        usize::try_from(entries)
            .unwrap_or(usize::MAX)
            .clamp(1, 1 << 31)
    }
}

impl Default for Capacity {
    /// 100,000 tokens: about 50 MB.
    fn default() -> Self {
        Self::entries(100_000)
    }
}

/// What an entry takes besides the text of its header, allocator and map included: measured, see BENCHMARKS.md.
const BYTES_BESIDES: u64 = 190;

impl Weighter<Key, Arc<Entry>> for Capacity {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        match self.unit {
            Unit::Entries => 1,
            Unit::Bytes => entry.header().len() as u64 + BYTES_BESIDES,
        }
    }
}

/// Collects what is evicted, so that it is dropped, and looked at, after the lock is given back.
#[derive(Debug, Clone, Copy)]
struct Collect;

impl Lifecycle<Key, Arc<Entry>> for Collect {
    type RequestState = Vec<(Key, Arc<Entry>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, key: Key, entry: Arc<Entry>) {
        evicted.push((key, entry));
    }
}

/// Tokens by whose they are.
pub(super) struct TokenCache {
    map: Cache<Key, Arc<Entry>, Capacity, DefaultHashBuilder, Collect>,
    /// When it is swept next, in milliseconds on the monotonic clock; 0 before anybody has looked.
    next_sweep: AtomicU64,
    /// How often something was put in or taken out. No hit comes near it.
    changes: AtomicU64,
    /// The keys in `map` that name a channel or a customer access token, by their customer: a log-out ends all of them.
    variants: Mutex<HashMap<Key, Vec<Key>>>,
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("entries", &self.map.len())
            .finish_non_exhaustive()
    }
}

/// How often what is over is thrown out.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(10 * 60);

/// A sweep locks one shard after the other: the more there are, the shorter it holds up anybody.
const ENTRIES_IN_A_SHARD: usize = 4096;

const MOST_SHARDS: usize = 1024;

impl TokenCache {
    pub(super) fn new(capacity: Capacity) -> Self {
        let entries = capacity.estimated_entries();
        let shards = (entries / ENTRIES_IN_A_SHARD)
            .next_power_of_two()
            .clamp(1, MOST_SHARDS);
        let mut options = OptionsBuilder::new();
        options
            .estimated_items_capacity(entries)
            .weight_capacity(capacity.limit)
            .shards(shards);
        let map = match options.build() {
            Ok(options) => {
                Cache::with_options(options, capacity, DefaultHashBuilder::default(), Collect)
            }
            // Cannot be: what it insists on was set. This is the same without the choice of shards.
            Err(_) => Cache::with(
                entries,
                capacity.limit,
                capacity,
                DefaultHashBuilder::default(),
                Collect,
            ),
        };
        Self {
            map,
            next_sweep: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            variants: Mutex::default(),
        }
    }

    #[inline]
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.map.get(key)
    }

    /// Keeps the entry, unless a newer one is there that still counts. What is there afterwards is returned, and what had to
    /// go for it.
    pub(super) fn insert_if_newer(
        &self,
        key: Key,
        entry: &Arc<Entry>,
        now: ClockReading,
    ) -> (Arc<Entry>, Vec<(Key, Arc<Entry>)>) {
        let mut evicted = Vec::new();
        let there = self.map.entry(&key, None, |_, there| {
            if there.is_newer_than(entry) && there.phase(now) != Phase::Over {
                return EntryAction::Retain((Arc::clone(there), None));
            }
            let old = std::mem::replace(there, Arc::clone(entry));
            self.changed(1);
            EntryAction::Retain((Arc::clone(entry), Some(old)))
        });
        match there {
            // The old one goes after the lock was given back.
            EntryResult::Retained((there, old)) => {
                drop(old);
                return (there, evicted);
            }
            EntryResult::Vacant(guard) => {
                // Refused only when it is too large, and then it is among the evicted.
                let _ = guard.insert_with_lifecycle(Arc::clone(entry), &mut evicted);
                self.changed(1);
                self.index(&key);
                for (gone, _) in &evicted {
                    self.index(gone);
                }
            }
            // Neither removed nor replaced above, and not waited for.
            EntryResult::Removed(..) | EntryResult::Replaced(..) | EntryResult::Timeout => {}
        }
        (Arc::clone(entry), evicted)
    }

    /// Removes every token of the customer of this key, whatever the channel and the customer access token, and says whether
    /// there was any. It counts as a change in any case: what is not here may still be in a snapshot.
    pub(super) fn remove_customer(&self, key: Key) -> bool {
        let customer = key.of_customer_alone();
        let variants = self.variants().remove(&customer).unwrap_or_default();
        let removed = std::iter::once(customer)
            .chain(variants)
            .filter(|key| self.map.remove(key).is_some())
            .count();
        self.changed(1);
        removed > 0
    }

    fn variants(&self) -> MutexGuard<'_, HashMap<Key, Vec<Key>>> {
        self.variants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the index of variants in line with whether this key is there. The map is asked under the lock of the index, so that
    /// the last of several changes decides.
    fn index(&self, key: &Key) {
        let customer = key.of_customer_alone();
        if *key == customer {
            return;
        }
        let mut variants = self.variants();
        let keys = variants.entry(customer).or_default();
        keys.retain(|known| known != key);
        if self.map.peek(key).is_some() {
            keys.push(*key);
        } else if keys.is_empty() {
            variants.remove(&customer);
        }
    }

    /// Removes the entry if it is this token or an older one. Another one is left and returned.
    ///
    /// Of two tokens that were requested within one hundredth of a second, the one in the cache came later.
    pub(super) fn remove_up_to(&self, key: &Key, entry: &Entry) -> Option<Arc<Entry>> {
        let mut left = None;
        let removed = self.map.remove_if(key, |there| {
            let falls = entry.is_newer_than(there) || there.token() == entry.token();
            left = (!falls).then(|| Arc::clone(there));
            falls
        });
        if removed.is_some() {
            self.changed(1);
            self.index(key);
        }
        left
    }

    fn changed(&self, by: u64) {
        self.changes.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it is time to sweep, and this caller is who does it.
    pub(super) fn is_to_be_swept(&self, now: ClockReading) -> bool {
        let due = self.next_sweep.load(Ordering::Relaxed);
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(now.monotonic);
        now >= due
            && self
                .next_sweep
                .compare_exchange(
                    due,
                    now + millis(BETWEEN_SWEEPS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
            // The first look only begins the count.
            && due != 0
    }

    /// Throws out what does not count any more. Says how many that were, and which stores the others belong to.
    pub(super) fn sweep(&self, now: ClockReading) -> (usize, HashSet<u64>) {
        let swept = RefCell::new(Vec::new());
        let stores = RefCell::new(HashSet::new());
        // Most tokens are of the store of the one before, where there are few stores.
        let last = Cell::new(None);
        self.map.retain(|key, entry| {
            let stays = entry.phase(now) != Phase::Over;
            if !stays {
                swept.borrow_mut().push(*key);
            } else if last.replace(Some(key.store())) != Some(key.store()) {
                stores.borrow_mut().insert(key.store());
            }
            stays
        });
        let swept = swept.into_inner();
        self.changed(swept.len() as u64);
        for key in &swept {
            self.index(key);
        }
        (swept.len(), stores.into_inner())
    }
}

#[cfg(feature = "snapshot")]
impl TokenCache {
    /// A number that is another one when something was put in or taken out.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Whether it has this token of the key. That is no use of it, as an access is.
    pub(super) fn has(&self, key: &Key, entry: &Entry) -> bool {
        let there = self.map.peek(key);
        there.is_some_and(|there| there.token() == entry.token())
    }

    /// Every entry, one at a time: a lock that readers share is taken for each, so that hits are not held up. What is put in
    /// or taken out meanwhile may be among them or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, Arc<Entry>)> {
        self.map.iter()
    }
}

/// A bounded map of what is known of keys besides their tokens: it forgets what was used least.
pub(super) struct Notes<V>(Cache<Key, V>);

impl<V: Clone> Notes<V> {
    pub(super) fn new(most: usize) -> Self {
        Self(Cache::new(most))
    }

    pub(super) fn get(&self, key: &Key) -> Option<V> {
        self.0.get(key)
    }

    pub(super) fn set(&self, key: Key, note: V) {
        self.0.insert(key, note);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.remove(key);
    }

    /// Removes the note if it is one of these, in one step for everybody else.
    pub(super) fn remove_if(&self, key: &Key, is_to_go: impl FnOnce(&V) -> bool) {
        self.0.remove_if(key, is_to_go);
    }

    /// Keeps the notes of these keys alone. It looks at every one.
    pub(super) fn retain(&self, stays: impl Fn(&Key) -> bool) {
        self.0.retain(|key, _| stays(key));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The stores of the customers with such a note, some of them several times.
    pub(super) fn stores(&self, counts: impl Fn(&V) -> bool) -> impl Iterator<Item = u64> {
        let notes = self.0.iter().filter(move |(_, note)| counts(note));
        notes.map(|(key, _)| key.store())
    }
}

impl<V: Clone> fmt::Debug for Notes<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notes").field(&self.0.len()).finish()
    }
}

/// When something is over, by the monotonic clock.
pub(super) fn has_come(at: Tick, now: ClockReading) -> bool {
    at.has_come(Tick::of(now.monotonic))
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{CustomerId, StorefrontToken};

    const MINUTE: Duration = Duration::from_secs(60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(seconds: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000 + seconds),
            monotonic: Duration::from_secs(1_000 + seconds),
        }
    }

    /// A token without an expiry of its own: it lasts a day from `seconds` on.
    fn entry(token: &str, seconds: u64) -> Arc<Entry> {
        let requested_at = SystemTime::UNIX_EPOCH + at(seconds).wall;
        let token = StorefrontToken::new(token.into(), None, requested_at).unwrap();
        Arc::new(Entry::new(&token, at(seconds), 0.5).unwrap())
    }

    fn key(customer: i64) -> Key {
        Key::new(0, CustomerId::new(customer).unwrap(), None, None)
    }

    #[test]
    fn a_capacity_is_by_number_or_by_bytes_and_never_nothing() {
        let entry = entry(&"x".repeat(300), 0);
        let weight = |capacity: Capacity| capacity.weight(&key(1), &entry);
        assert_eq!(weight(Capacity::entries(10)), 1);
        assert_eq!(
            weight(Capacity::bytes(10)),
            300 + "Bearer ".len() as u64 + BYTES_BESIDES
        );
        assert_eq!(Capacity::entries(0), Capacity::entries(1));
        assert_eq!(Capacity::bytes(0), Capacity::bytes(1));
        assert_ne!(Capacity::bytes(7), Capacity::entries(7));
        assert_eq!(Capacity::default(), Capacity::entries(100_000));
        assert_eq!(Capacity::entries(1_000).estimated_entries(), 1_000);
        assert_eq!(Capacity::bytes(49_000).estimated_entries(), 100);
        assert_eq!(Capacity::bytes(1).estimated_entries(), 1);
        assert_eq!(Capacity::entries(usize::MAX).estimated_entries(), 1 << 31);
    }

    #[test]
    fn a_cache_is_divided_so_that_a_sweep_holds_nobody_up() {
        let shards = |entries| TokenCache::new(Capacity::entries(entries)).map.num_shards();
        assert_eq!(shards(1), 1);
        assert_eq!(shards(4096), 1);
        assert_eq!(shards(100_000), 32);
        assert_eq!(shards(1_000_000), 256);
        assert_eq!(shards(20_000_000), MOST_SHARDS);
    }

    #[test]
    fn it_goes_from_an_older_token_to_a_newer_one_and_never_back() {
        let cache = TokenCache::new(Capacity::entries(10));
        let (old, new) = (entry("old", 0), entry("new", 10));
        let insert = |entry, now| cache.insert_if_newer(key(1), entry, at(now)).0;
        assert!(Arc::ptr_eq(&insert(&old, 10), &old));
        assert!(Arc::ptr_eq(&insert(&new, 10), &new));
        assert!(Arc::ptr_eq(&insert(&old, 10), &new));
        assert!(Arc::ptr_eq(&cache.get(&key(1)).unwrap(), &new));
        assert!(cache.get(&key(2)).is_none());
        assert_eq!(cache.len(), 1);
        // One of the same age is as good as a newer one.
        let same = entry("same", 10);
        assert!(Arc::ptr_eq(&insert(&same, 10), &same));
        // What is over holds up nobody.
        let tomorrow = 10 + DAY.as_secs();
        assert!(Arc::ptr_eq(&insert(&old, tomorrow), &old));
        assert_eq!(format!("{cache:?}"), "TokenCache { entries: 1, .. }");
    }

    #[test]
    fn what_has_to_go_is_told() {
        let cache = TokenCache::new(Capacity::entries(3));
        let mut gone = Vec::new();
        for customer in 1..=10 {
            let token = entry(&format!("token {customer}"), 0);
            gone.extend(cache.insert_if_newer(key(customer), &token, at(0)).1);
        }
        assert_eq!((cache.len(), gone.len()), (3, 7));
        for (key, entry) in gone {
            assert_eq!(entry.token(), format!("token {}", key.customer()));
            assert!(cache.get(&key).is_none());
        }
        let small = TokenCache::new(Capacity::bytes(100));
        let (there, gone) = small.insert_if_newer(key(1), &entry("token", 0), at(0));
        assert_eq!((there.token(), gone.len(), small.len()), ("token", 1, 0));
    }

    #[test]
    fn what_is_removed_is_that_token_or_an_older_one() {
        let cache = TokenCache::new(Capacity::entries(10));
        let (old, new) = (entry("old", 0), entry("new", 10));
        let put = |entry| drop(cache.insert_if_newer(key(1), entry, at(10)));
        put(&new);
        assert!(Arc::ptr_eq(
            &cache.remove_up_to(&key(1), &old).unwrap(),
            &new
        ));
        assert_eq!(cache.len(), 1);
        assert!(cache.remove_up_to(&key(1), &new).is_none());
        assert_eq!(cache.len(), 0);
        put(&old);
        assert!(cache.remove_up_to(&key(1), &new).is_none());
        assert_eq!(cache.len(), 0);
        // Another one of the same moment is not older.
        let as_old = entry("as old", 10);
        put(&as_old);
        let left = cache.remove_up_to(&key(1), &new);
        assert!(Arc::ptr_eq(&left.unwrap(), &as_old));
        assert!(cache.remove_up_to(&key(1), &as_old).is_none());
        // The same token under a later moment, as a shared store may bring it back.
        put(&entry("old", 20));
        assert!(cache.remove_up_to(&key(1), &old).is_none());
        assert_eq!(cache.len(), 0);
        assert!(cache.remove_up_to(&key(1), &old).is_none());
        drop(cache.insert_if_newer(key(1), &old, at(20)));
        assert!(cache.remove_customer(key(1)) && !cache.remove_customer(key(1)));
        assert_eq!(cache.len(), 0);
    }

    #[cfg(feature = "snapshot")]
    #[test]
    fn what_is_put_in_or_taken_out_is_a_change_and_nothing_else_is() {
        let cache = TokenCache::new(Capacity::entries(10));
        let (old, new) = (entry("old", 0), entry("new", 10));
        let mut last = cache.changes();
        let mut changed = || {
            let before = std::mem::replace(&mut last, cache.changes());
            before != last
        };
        let insert = |entry| drop(cache.insert_if_newer(key(1), entry, at(10)));
        assert!(!changed());
        insert(&old);
        assert!(changed() && cache.has(&key(1), &old) && !cache.has(&key(1), &new));
        insert(&new);
        assert!(changed() && cache.has(&key(1), &new) && !cache.has(&key(2), &new));
        insert(&old);
        let _ = (cache.get(&key(1)), cache.remove_up_to(&key(1), &old));
        assert_eq!((cache.sweep(at(10)).0, changed()), (0, false));
        assert_eq!(
            cache.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            [key(1)]
        );
        assert!(cache.remove_up_to(&key(1), &new).is_none() && changed());
        insert(&old);
        assert!(changed());
        assert!(cache.remove_customer(key(1)) && changed());
        // A snapshot may hold what is not here.
        assert!(!cache.remove_customer(key(1)) && changed());
        insert(&old);
        assert!(changed());
        assert_eq!((cache.sweep(at(2 * DAY.as_secs())).0, changed()), (1, true));
        assert_eq!(cache.iter().count(), 0);
    }

    #[test]
    fn what_is_over_is_swept_out_and_nothing_else() {
        let cache = TokenCache::new(Capacity::entries(100));
        for customer in 1..=10 {
            let since = u64::try_from(customer).unwrap() * 3_600;
            drop(cache.insert_if_newer(key(customer), &entry("token", since), at(since)));
        }
        let other = Key::new(7, CustomerId::new(1).unwrap(), None, None);
        drop(cache.insert_if_newer(other, &entry("token", 4 * 3_600), at(4 * 3_600)));
        let swept = |hours: u64| {
            let (swept, stores) = cache.sweep(at(hours * 3_600));
            let mut stores: Vec<_> = stores.into_iter().collect();
            stores.sort_unstable();
            (swept, stores)
        };
        assert_eq!(swept(10), (0, vec![0, 7]));
        // A day after the fifth of them.
        assert_eq!(swept(29), (6, vec![0]));
        assert_eq!(cache.len(), 5);
        assert!(cache.get(&key(5)).is_none() && cache.get(&key(6)).is_some());
    }

    #[test]
    fn it_is_time_to_sweep_every_ten_minutes_for_one_caller() {
        let cache = TokenCache::new(Capacity::entries(10));
        assert!(
            !cache.is_to_be_swept(at(0)),
            "the first look begins the count"
        );
        assert!(!cache.is_to_be_swept(at(599)));
        assert!(cache.is_to_be_swept(at(600)));
        assert!(!cache.is_to_be_swept(at(600)), "somebody does");
        assert!(!cache.is_to_be_swept(at(1_199)));
        assert!(cache.is_to_be_swept(at(1_200)));
    }

    #[test]
    fn notes_are_kept_replaced_and_bounded() {
        let notes = Notes::new(100);
        notes.set(key(1), "one");
        notes.set(key(1), "another");
        assert_eq!(
            (notes.get(&key(1)), notes.get(&key(2))),
            (Some("another"), None)
        );
        assert_eq!(notes.len(), 1);
        assert_eq!(format!("{notes:?}"), "Notes(1)");
        notes.remove_if(&key(1), |note| *note == "one");
        assert_eq!(notes.len(), 1);
        notes.remove_if(&key(1), |note| *note == "another");
        assert_eq!((notes.get(&key(1)), notes.len()), (None, 0));
        for customer in 1..=1_000 {
            notes.set(key(customer), "one");
        }
        assert!((90..=110).contains(&notes.len()), "{}", notes.len());
    }

    #[test]
    fn a_moment_has_come_when_it_is_now() {
        let moment = Tick::of(at(5).monotonic);
        assert!(!has_come(moment, at(4)));
        assert!(has_come(moment, at(5)) && has_come(moment, at(6)));
        assert!(has_come(moment.plus(MINUTE), at(65)));
    }

    #[test]
    fn the_index_of_variants_follows_the_map() {
        let cache = TokenCache::new(Capacity::entries(4));
        let id = |customer| CustomerId::new(customer).unwrap();
        let variant = |customer, number| Key::new(0, id(customer), None, Some(number));
        let indexed = || {
            let variants = cache.variants();
            let mut keys: Vec<_> = variants.values().flatten().copied().collect();
            assert!(variants.values().all(|keys| !keys.is_empty()));
            keys.sort_by_key(|key| (key.customer(), key.fingerprint()));
            keys
        };
        let in_map = || {
            let mut keys: Vec<_> = cache.map.iter().map(|(key, _)| key).collect();
            keys.retain(|key| *key != key.of_customer_alone());
            keys.sort_by_key(|key| (key.customer(), key.fingerprint()));
            keys
        };
        let day = |seconds| entry(&format!("token {seconds}"), seconds);
        for number in 1..=20_u64 {
            cache.insert_if_newer(
                variant(1 + number.cast_signed() % 3, number),
                &day(number),
                at(number),
            );
            cache.insert_if_newer(key(1), &day(number), at(number));
            assert_eq!(indexed(), in_map());
        }
        let Some(rejected) = in_map().first().copied() else {
            panic!("there are some");
        };
        let there = cache.get(&rejected).unwrap();
        cache.remove_up_to(&rejected, &there);
        assert_eq!(indexed(), in_map());
        cache.remove_customer(variant(2, 1));
        assert_eq!(indexed(), in_map());
        cache.sweep(at(2 * DAY.as_secs()));
        assert_eq!((indexed(), cache.len()), (Vec::new(), 0));
        let small = TokenCache::new(Capacity::bytes(100));
        small.insert_if_newer(variant(1, 1), &day(0), at(0));
        assert!(small.variants().is_empty(), "what is too large is not kept");
    }
}
