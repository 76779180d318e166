//! The token store that is a part of the program: for tests, for several caches in one process, and as the measure for
//! other implementations.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{
    CustomerEpoch, Fingerprint, Lease, LeaseOwner, Put, StoreError, StoreFuture, StoreKey,
    StoredToken, TokenStore,
};
use crate::{Clock, Secret, time::SystemClock};

/// Keeps tokens in the memory of this process. Clones are handles on the same store.
///
/// It has a bounded number of entries. When it is full, the token that expires first makes room.
///
/// ```
/// use bigcommerce_b2b_auth::{MemoryTokenStore, TokenStore};
///
/// let store = MemoryTokenStore::with_capacity(1_000);
/// let (of_one_cache, of_another) = (store.clone(), store);
/// # let cat = bigcommerce_b2b_auth::Secret::from("a customer access token");
/// # assert_eq!(of_one_cache.fingerprint(&cat), of_another.fingerprint(&cat));
/// ```
#[derive(Clone)]
pub struct MemoryTokenStore(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    capacity: usize,
    clock: Arc<dyn Clock>,
    /// The secret of the fleet, which here is one process.
    hasher: RandomState,
}

struct State {
    tokens: Expiring<SystemTime, StoredToken>,
    rejections: Expiring<SystemTime, Rejection>,
    leases: Expiring<Instant, LeaseOwner>,
    /// By the key of the customer alone.
    epochs: Expiring<Instant, CustomerEpoch>,
    last_epoch: u64,
}

/// How long a log-out is remembered: longer than a mint takes that began before.
const EPOCHS_LAST: Duration = Duration::from_secs(60 * 60);

/// What is remembered of the tokens of a key that were rejected.
struct Rejection {
    /// The times of a token that has the later of theirs. It has no text: what was rejected is not kept.
    bounds: StoredToken,
    /// The text of the last one, hashed.
    text: Fingerprint,
}

impl MemoryTokenStore {
    /// For how many tokens [`new`](Self::new) has room.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// A store with room for [`DEFAULT_CAPACITY`](Self::DEFAULT_CAPACITY) tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }

    /// A store with room for so many tokens, for as many rejections, and for as many leases at a time. 0 is taken for 1.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self::with_clock(entries, Arc::new(SystemClock))
    }

    /// The same on a clock of the caller's: tokens expire by its wall time, and leases run out by its monotonic time.
    #[must_use]
    pub fn with_clock(entries: usize, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            state: Mutex::new(State {
                tokens: Expiring::new(),
                rejections: Expiring::new(),
                leases: Expiring::new(),
                epochs: Expiring::new(),
                last_epoch: 0,
            }),
            capacity: entries.max(1),
            clock,
            hasher: RandomState::new(),
        }))
    }
}

impl Default for MemoryTokenStore {
    /// [`new`](Self::new).
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    /// No call panics while it holds the lock, and none waits.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, secret: &Secret) -> Fingerprint {
        Fingerprint::new(self.hasher.hash_one(secret.expose_secret()))
    }

    fn load(&self, key: &StoreKey) -> Option<StoredToken> {
        let now = self.clock.now();
        self.lock().tokens.get(key, now).cloned()
    }

    fn put_if_newer(&self, key: &StoreKey, token: &StoredToken, epoch: CustomerEpoch) -> Put {
        let (now, instant) = (self.clock.now(), self.clock.instant());
        let text = self.hash(token.secret());
        let mut state = self.lock();
        let current = state.epochs.get(&customer_of(key), instant);
        if current.is_some_and(|current| *current != epoch) {
            return Put::Forgotten;
        }
        let rejection = state.rejections.get(key, now);
        if rejection
            .is_some_and(|rejection| rejection.text == text || token.falls_with(&rejection.bounds))
        {
            return Put::Rejected;
        }
        let there = state.tokens.get(key, now);
        if there.is_some_and(|there| there.is_newer_than(token)) {
            return Put::NewerIsThere;
        }
        if !token.is_expired_at(now) {
            state.tokens.make_room(key, now, self.capacity);
            state.tokens.insert(key, token.clone(), token.expires_at());
        }
        Put::Stored
    }

    fn reject(&self, key: &StoreKey, token: &StoredToken) {
        let now = self.clock.now();
        let text = self.hash(token.secret());
        let mut state = self.lock();
        let there = state.tokens.get(key, now);
        if there.is_some_and(|there| there.falls_with(token)) {
            state.tokens.remove(key);
        }
        // What has expired cannot come back.
        if token.is_expired_at(now) {
            return;
        }
        let (mut expires_at, mut requested_at) = (token.expires_at(), token.requested_at());
        if let Some(Rejection { bounds, .. }) = state.rejections.get(key, now) {
            expires_at = expires_at.max(bounds.expires_at());
            requested_at = requested_at.max(bounds.requested_at());
        }
        let rejection = Rejection {
            bounds: StoredToken::new("", expires_at, requested_at),
            text,
        };
        state.rejections.make_room(key, now, self.capacity);
        state.rejections.insert(key, rejection, expires_at);
    }

    fn epoch(&self, key: &StoreKey) -> CustomerEpoch {
        let now = self.clock.instant();
        let state = self.lock();
        let current = state.epochs.get(&customer_of(key), now);
        current.copied().unwrap_or_default()
    }

    fn forget(&self, key: &StoreKey) {
        let now = self.clock.instant();
        let customer = customer_of(key);
        let mut state = self.lock();
        state.last_epoch += 1;
        let epoch = CustomerEpoch::new(state.last_epoch);
        state.epochs.make_room(&customer, now, self.capacity);
        // A clock that cannot be added to ends the epoch at once, and that of a process does not.
        let until = now.checked_add(EPOCHS_LAST).unwrap_or(now);
        state.epochs.insert(&customer, epoch, until);
        state.tokens.remove_all(|key| customer_of(key) == customer);
    }

    fn lease(&self, key: &StoreKey, length: Duration) -> Result<Lease, StoreError> {
        let now = self.clock.instant();
        let Some(end) = now.checked_add(length) else {
            return Err(StoreError::new(
                "the lease would run longer than the clock does; ask for a shorter one",
            ));
        };
        let mut state = self.lock();
        if state.leases.get(key, now).is_some() {
            return Ok(Lease::Held);
        }
        state.leases.drop_expired(now);
        // Other than a token, a lease that somebody relies on must not make room.
        if state.leases.len() >= self.capacity {
            return Err(StoreError::new(
                "as many leases are out as the store has entries; give it a larger capacity",
            ));
        }
        let owner = LeaseOwner::random();
        state.leases.insert(key, owner, end);
        Ok(Lease::Acquired(owner))
    }

    fn release(&self, key: &StoreKey, owner: LeaseOwner) {
        let now = self.clock.instant();
        let mut state = self.lock();
        if state.leases.get(key, now) == Some(&owner) {
            state.leases.remove(key);
        }
    }
}

impl TokenStore for MemoryTokenStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        Box::pin(async move { Ok(self.0.load(key)) })
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        Box::pin(async move { Ok(self.0.put_if_newer(key, token, epoch)) })
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        Box::pin(async move { Ok(self.0.epoch(key)) })
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.forget(key);
            Ok(())
        })
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.reject(key, token);
            Ok(())
        })
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        Box::pin(async move { self.0.lease(key, length) })
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.0.release(key, owner);
            Ok(())
        })
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.0.hash(customer_access_token)
    }
}

impl fmt::Debug for MemoryTokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("MemoryTokenStore")
            .field("tokens", &state.tokens.len())
            .field("rejections", &state.rejections.len())
            .field("leases", &state.leases.len())
            .field("epochs", &state.epochs.len())
            .field("capacity", &self.0.capacity)
            .field("clock", &self.0.clock)
            .finish_non_exhaustive()
    }
}

/// The key of the customer alone, without a channel and a customer access token.
fn customer_of(key: &StoreKey) -> StoreKey {
    StoreKey::new(key.store_hash.clone(), key.customer)
}

/// A map whose entries count until a moment each. What has expired stays until room is made, and is never given out.
///
/// The second map has the entries in the order of their moments, so that the next one to expire is found without looking
/// at all of them. Every entry of one map has its counterpart in the other.
struct Expiring<T, V> {
    entries: HashMap<Arc<StoreKey>, Entry<T, V>>,
    by_moment: BTreeMap<Moment<T>, Arc<StoreKey>>,
    inserted: u64,
}

/// The number tells entries apart that expire at the same time.
type Moment<T> = (T, u64);

struct Entry<T, V> {
    value: V,
    moment: Moment<T>,
}

impl<T: Copy + Ord, V> Expiring<T, V> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            by_moment: BTreeMap::new(),
            inserted: 0,
        }
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn get(&self, key: &StoreKey, now: T) -> Option<&V> {
        let Entry {
            value,
            moment: (until, _),
        } = self.entries.get(key)?;
        (*until > now).then_some(value)
    }

    fn insert(&mut self, key: &StoreKey, value: V, until: T) {
        self.remove(key);
        let key = Arc::new(key.clone());
        let moment = (until, self.inserted);
        self.inserted = self.inserted.wrapping_add(1);
        self.by_moment.insert(moment, Arc::clone(&key));
        self.entries.insert(key, Entry { value, moment });
    }

    fn remove(&mut self, key: &StoreKey) {
        if let Some(Entry { moment, .. }) = self.entries.remove(key) {
            self.by_moment.remove(&moment);
        }
    }

    fn remove_all(&mut self, is_meant: impl Fn(&StoreKey) -> bool) {
        let meant: Vec<_> = self
            .entries
            .keys()
            .filter(|key| is_meant(key))
            .cloned()
            .collect();
        for key in meant {
            self.remove(&key);
        }
    }

    /// Drops what has expired.
    fn drop_expired(&mut self, now: T) {
        while let Some(first) = self.by_moment.first_entry()
            && first.key().0 <= now
        {
            self.entries.remove(&first.remove());
        }
    }

    /// Makes sure that this key can be inserted without there being more entries than `capacity`, which is not 0: drops what
    /// has expired, and after that what expires first.
    fn make_room(&mut self, key: &StoreKey, now: T, capacity: usize) {
        self.drop_expired(now);
        let needed = usize::from(!self.entries.contains_key(key));
        while self.entries.len() + needed > capacity
            && let Some((_, first)) = self.by_moment.pop_first()
        {
            self.entries.remove(&first);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Barrier, thread};

    use super::{super::tests::Manual, *};
    use crate::{CustomerId, StoreHash};

    const SECOND: Duration = Duration::from_secs(1);

    fn manual(capacity: usize) -> (Arc<Manual>, MemoryTokenStore) {
        let clock = Arc::new(Manual::at(at(1000)));
        let store = MemoryTokenStore::with_clock(capacity, Arc::clone(&clock) as Arc<dyn Clock>);
        (clock, store)
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + SECOND * u32::try_from(seconds).unwrap()
    }

    fn key(customer: u64) -> StoreKey {
        StoreKey::new(
            StoreHash::new("abc123").unwrap(),
            CustomerId::new(customer).unwrap(),
        )
    }

    fn token(secret: &str, expires_at: u64, requested_at: u64) -> StoredToken {
        StoredToken::new(secret, at(expires_at), at(requested_at))
    }

    /// Which of the customers have a token.
    fn there(store: &MemoryTokenStore, customers: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        customers
            .filter(|&customer| store.0.load(&key(customer)).is_some())
            .collect()
    }

    fn sizes(store: &MemoryTokenStore) -> (usize, usize, usize) {
        let state = store.0.lock();
        for (entries, moments) in [
            (state.tokens.entries.len(), state.tokens.by_moment.len()),
            (
                state.rejections.entries.len(),
                state.rejections.by_moment.len(),
            ),
            (state.leases.entries.len(), state.leases.by_moment.len()),
        ] {
            assert_eq!(entries, moments, "the two maps have the same entries");
        }
        (
            state.tokens.len(),
            state.rejections.len(),
            state.leases.len(),
        )
    }

    #[test]
    fn an_epoch_lasts_an_hour_and_puts_of_any_are_stored_afterwards() {
        let (clock, store) = manual(10);
        store.0.forget(&key(1));
        let epoch = store.0.epoch(&key(1));
        assert_ne!(epoch, CustomerEpoch::default());
        clock.pass(EPOCHS_LAST - SECOND);
        assert_eq!(store.0.epoch(&key(1)), epoch);
        let token = token("a", 9000, 1000);
        let put = |epoch| store.0.put_if_newer(&key(1), &token, epoch);
        assert_eq!(put(CustomerEpoch::default()), Put::Forgotten);
        clock.pass(SECOND);
        assert_eq!(store.0.epoch(&key(1)), CustomerEpoch::default());
        assert_eq!(put(epoch), Put::Stored);
        assert_eq!(put(CustomerEpoch::default()), Put::Stored);
    }

    #[test]
    fn what_expires_first_makes_room() {
        let (_, store) = manual(3);
        for (customer, expires_at) in [(1, 2000), (2, 1500), (3, 3000)] {
            store.0.put_if_newer(
                &key(customer),
                &token("a", expires_at, 1000),
                CustomerEpoch::default(),
            );
        }
        // One that is there already needs no room.
        store
            .0
            .put_if_newer(&key(1), &token("b", 2001, 1000), CustomerEpoch::default());
        assert_eq!(there(&store, 1..=4), [1, 2, 3]);
        store
            .0
            .put_if_newer(&key(4), &token("a", 1200, 1000), CustomerEpoch::default());
        assert_eq!(there(&store, 1..=4), [1, 3, 4]);
        store
            .0
            .put_if_newer(&key(2), &token("a", 1100, 1000), CustomerEpoch::default());
        assert_eq!(there(&store, 1..=4), [1, 2, 3]);
        assert_eq!(sizes(&store), (3, 0, 0));
    }

    #[test]
    fn what_has_expired_makes_room_before_anything_else() {
        let (clock, store) = manual(3);
        for (customer, expires_at) in [(1, 1010), (2, 1010), (3, 2000)] {
            store.0.put_if_newer(
                &key(customer),
                &token("a", expires_at, 1000),
                CustomerEpoch::default(),
            );
        }
        clock.pass(SECOND * 10);
        assert_eq!(there(&store, 1..=4), [3]);
        store
            .0
            .put_if_newer(&key(4), &token("a", 2000, 1000), CustomerEpoch::default());
        assert_eq!(there(&store, 1..=4), [3, 4]);
        assert_eq!(sizes(&store), (2, 0, 0));
    }

    #[test]
    fn rejections_are_bounded_and_go_when_the_token_would_have() {
        let (clock, store) = manual(2);
        for (customer, expires_at) in [(1, 1010), (2, 3000), (3, 2000)] {
            store
                .0
                .reject(&key(customer), &token("a", expires_at, 1000));
        }
        assert_eq!(sizes(&store), (0, 2, 0));
        let put = |customer| {
            store.0.put_if_newer(
                &key(customer),
                &token("b", 1005, 1000),
                CustomerEpoch::default(),
            )
        };
        assert_eq!(put(1), Put::Stored, "forgotten, being the first to go");
        assert_eq!((put(2), put(3)), (Put::Rejected, Put::Rejected));
        clock.pass(SECOND * 1000);
        store.0.reject(&key(4), &token("a", 2500, 1000));
        assert_eq!(sizes(&store).1, 2);
        // Rejected after its time: there is nothing to remember.
        store.0.reject(&key(5), &token("a", 2000, 1000));
        assert_eq!(sizes(&store).1, 2);
    }

    #[test]
    fn of_several_rejections_the_later_times_count() {
        let (_, store) = manual(9);
        store.0.reject(&key(1), &token("a", 2000, 900));
        store.0.reject(&key(1), &token("b", 1500, 950));
        let put = |secret, expires_at, requested_at| {
            store.0.put_if_newer(
                &key(1),
                &token(secret, expires_at, requested_at),
                CustomerEpoch::default(),
            )
        };
        assert_eq!(put("a", 2000, 900), Put::Rejected);
        assert_eq!(put("b", 1500, 950), Put::Rejected);
        assert_eq!(put("b", 2001, 951), Put::Rejected);
        assert_eq!(put("c", 2000, 950), Put::Rejected);
        assert_eq!(put("c", 1200, 951), Put::Stored);
        assert_eq!(put("c", 2001, 900), Put::Stored);
        assert_eq!(sizes(&store), (1, 1, 0));
    }

    #[test]
    fn a_lease_does_not_make_room_and_one_that_has_run_out_does() {
        let (clock, store) = manual(2);
        let lease = |customer, seconds| store.0.lease(&key(customer), SECOND * seconds);
        let Lease::Acquired(first) = lease(1, 10).unwrap() else {
            panic!("nobody has it");
        };
        assert!(matches!(lease(2, 20), Ok(Lease::Acquired(_))));
        let error = lease(3, 10).unwrap_err();
        assert!(error.to_string().contains("larger capacity"), "{error}");
        assert_eq!(lease(1, 10).unwrap(), Lease::Held);
        store.0.release(&key(1), first);
        assert!(matches!(lease(3, 10), Ok(Lease::Acquired(_))));
        clock.pass(SECOND * 10);
        assert!(matches!(lease(1, 10), Ok(Lease::Acquired(_))));
        assert_eq!(sizes(&store), (0, 0, 2));
    }

    #[test]
    fn a_lease_beyond_all_time_is_an_error() {
        let (_, store) = manual(2);
        let error = store.0.lease(&key(1), Duration::MAX).unwrap_err();
        assert!(error.to_string().contains("shorter"), "{error}");
        // One without a length is over at once.
        for _ in 0..3 {
            assert_ne!(store.0.lease(&key(1), Duration::ZERO).unwrap(), Lease::Held);
        }
    }

    #[test]
    fn no_capacity_is_taken_for_one() {
        let (_, store) = manual(0);
        for customer in 1..=3 {
            store.0.put_if_newer(
                &key(customer),
                &token("a", 2000, 1000),
                CustomerEpoch::default(),
            );
            assert_eq!(there(&store, 1..=3), [customer]);
        }
    }

    #[test]
    fn a_token_that_has_expired_takes_no_room() {
        let (_, store) = manual(1);
        store
            .0
            .put_if_newer(&key(1), &token("a", 2000, 900), CustomerEpoch::default());
        store
            .0
            .put_if_newer(&key(2), &token("a", 1000, 900), CustomerEpoch::default());
        assert_eq!(there(&store, 1..=2), [1]);
    }

    #[test]
    fn stores_have_secrets_of_their_own_and_clones_share_one() {
        let (one, other) = (MemoryTokenStore::default(), MemoryTokenStore::new());
        let secret = Secret::from("hunter2");
        assert_ne!(one.fingerprint(&secret), other.fingerprint(&secret));
        assert_eq!(one.fingerprint(&secret), one.clone().fingerprint(&secret));
    }

    #[test]
    fn debug_counts_and_names_nobody() {
        let (_, store) = manual(7);
        store.0.put_if_newer(
            &key(424_242),
            &token("hunter2", 2000, 1000),
            CustomerEpoch::default(),
        );
        store.0.reject(&key(424_242), &token("hunter3", 2000, 900));
        store.0.lease(&key(424_242), SECOND).unwrap();
        store.0.forget(&key(424_243));
        let shown = format!("{store:?}");
        assert!(
            shown.contains("tokens: 1, rejections: 1, leases: 1, epochs: 1, capacity: 7"),
            "{shown}"
        );
        assert!(
            !shown.contains("hunter") && !shown.contains("424242"),
            "{shown}"
        );
    }

    #[test]
    fn of_many_threads_one_gets_the_lease_and_the_newest_token_stays() {
        const THREADS: u64 = 8;
        let store = MemoryTokenStore::new();
        let now = SystemTime::now();
        let barrier = Barrier::new(usize::try_from(THREADS).unwrap());
        for round in 1..=50 {
            let acquired: Vec<LeaseOwner> = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS)
                    .map(|thread| {
                        let (store, barrier) = (store.clone(), &barrier);
                        scope.spawn(move || {
                            barrier.wait();
                            let lease = store.0.lease(&key(round), SECOND * 60).unwrap();
                            let expires_at =
                                now + SECOND * 600 + SECOND * u32::try_from(thread).unwrap();
                            let token = StoredToken::new(thread.to_string(), expires_at, now);
                            store
                                .0
                                .put_if_newer(&key(round), &token, CustomerEpoch::default());
                            match lease {
                                Lease::Acquired(owner) => Some(owner),
                                Lease::Held => None,
                            }
                        })
                    })
                    .collect();
                threads
                    .into_iter()
                    .filter_map(|thread| thread.join().unwrap())
                    .collect()
            });
            assert_eq!(acquired.len(), 1);
            let token = store.0.load(&key(round)).unwrap();
            assert_eq!(token.secret().expose_secret(), (THREADS - 1).to_string());
        }
    }

    #[test]
    fn whatever_is_done_in_whatever_order_the_bounds_hold() {
        const CAPACITY: usize = 8;
        let mut random = fastrand::Rng::with_seed(7);
        let (clock, store) = manual(CAPACITY);
        let mut owners = HashSet::new();
        for _ in 0..20_000 {
            let key = key(random.u64(1..=20));
            let now = clock
                .now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs();
            let token = token(
                ["a", "b", "c"][random.usize(..3)],
                now + random.u64(..100),
                now - random.u64(..100),
            );
            match random.u8(..6) {
                0 | 1 => {
                    let before = store.0.load(&key);
                    let put = store.0.put_if_newer(&key, &token, CustomerEpoch::default());
                    let after = store.0.load(&key);
                    match put {
                        Put::Stored if token.is_expired_at(at(now)) => {}
                        Put::Stored => assert_eq!(after, Some(token)),
                        Put::NewerIsThere | Put::Rejected => assert_eq!(after, before),
                        Put::Forgotten => panic!("no customer was forgotten"),
                    }
                }
                2 => {
                    store.0.reject(&key, &token);
                    let left = store.0.load(&key);
                    assert!(left.is_none_or(|left| !left.falls_with(&token)));
                    if !token.is_expired_at(at(now)) {
                        assert_eq!(
                            store.0.put_if_newer(&key, &token, CustomerEpoch::default()),
                            Put::Rejected
                        );
                    }
                }
                3 => {
                    if let Ok(Lease::Acquired(owner)) =
                        store.0.lease(&key, SECOND * random.u32(..30))
                    {
                        assert!(owners.insert(owner));
                    }
                }
                4 => {
                    if let Some(&owner) = random.choice(&owners) {
                        store.0.release(&key, owner);
                    }
                }
                _ => clock.pass(SECOND * random.u32(..5)),
            }
            let (tokens, rejections, leases) = sizes(&store);
            assert!(tokens <= CAPACITY && rejections <= CAPACITY && leases <= CAPACITY);
        }
    }
}
