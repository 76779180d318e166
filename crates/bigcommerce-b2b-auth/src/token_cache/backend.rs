//! A store of tokens that the processes of a fleet share, behind the cache that each of them has: the seam for it, and the
//! implementation that keeps them in memory.

#[cfg(any(test, feature = "store-contract"))]
pub mod contract;
mod memory;

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    hash::{BuildHasher as _, RandomState},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::memory::MemoryTokenStore;
use crate::{ChannelId, CustomerId, Secret, StoreHash};

/// What the methods of a [`TokenStore`] return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps tokens where all processes of a fleet find them, so that each token is minted once and not once in each process.
///
/// It stands behind the cache of a process. What the cache has is served from there and never touches the store. The cache
/// gets along without the store: whatever fails here costs mints, never an answer. An error, a panic and an answer that never
/// comes are the same to it, in every method; only [`fingerprint`](Self::fingerprint), which is not async, must not block.
///
/// # What the cache does with each answer
/// It waits 100 milliseconds for an answer. One that is late counts as an error, and after an error the cache goes on alone
/// and leaves the store in peace for a few seconds. The first failure and the first success after it are reported:
/// [`Observer::on_backend`](crate::telemetry::Observer::on_backend), [`TokenMetrics`](crate::TokenMetrics), and the log.
/// 1. It has no token for a key: it asks [`load`](Self::load). A token is served and kept. `None`, an error and a late answer
///    are a miss. So is a token that names another customer or store than the key, is longer than 16 KiB, or was requested
///    more than 30 seconds in the future; it is counted and logged.
/// 2. On a miss it asks for a [`lease`](Self::lease) that is longer than a mint may take.
///    - [`Lease::Acquired`]: it looks with `load` once more, since whoever had the lease before may have been faster. If
///      there is still nothing it mints, offers the token with [`put_if_newer`](Self::put_if_newer), and gives the lease
///      back with [`release`](Self::release). Before it reports a mint that failed, it asks `load` once more.
///    - [`Lease::Held`]: another process mints. It asks `load` and `lease` again and again, until the token is there or the
///      lease is free. It does so for about twice as long as a mint usually takes, and then mints alone: the process that
///      holds the lease may have been killed.
///    - An error: it mints alone, at once. An error is no sign that anybody else mints.
///
///    Before the mint it asks for the [`epoch`](Self::epoch) of the customer, and hands that over with the token: if the customer
///    is [forgotten](Self::forget) meanwhile, the token is dropped.
/// 3. A token that was refused where it was used goes to [`reject`](Self::reject), so that no process is given it again.
///
/// # For implementers
/// - **Keys** are told apart by [`StoreKey::to_text`], or by the `Eq` of [`StoreKey`]; not by a choice of their fields, since
///   a field can be added.
/// - **Values** are secrets: seal what leaves the process, with the key as associated data, so that a value cannot be moved
///   to another key. A value that cannot be read is an error on `load`, and is overwritten by `put_if_newer`.
/// - **Expiry** is set together with the value, in one step: a value without one stays for ever if the process dies in
///   between.
/// - **Each method is one step** for everybody else: what is read, decided and written in it is not interleaved with another
///   call for the same key. In Redis that is one script.
/// - **A future may be dropped** at any moment. What it was about to do has then happened or not, and never half.
/// - **Errors** are answered, not waited out: the cache has the time limits, and it has no use for a second attempt.
///
/// The module `store_contract`, of the feature `store-contract`, has a test for each sentence here that can be tested.
/// [`MemoryTokenStore`] is the implementation to compare with.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use bigcommerce_b2b_auth::{
///     CustomerId, Lease, MemoryTokenStore, Put, StoreHash, StoreKey, StoredToken, TokenStore,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryTokenStore::new();
/// let key = StoreKey::new(StoreHash::new("abc123")?, CustomerId::new(42)?);
/// assert_eq!(store.load(&key).await?, None);
///
/// if let Lease::Acquired(owner) = store.lease(&key, Duration::from_secs(60)).await? {
///     let requested_at = SystemTime::now();
///     let expires_at = requested_at + Duration::from_secs(86_400);
///     let token = StoredToken::new("a token that was minted", expires_at, requested_at);
///     let epoch = store.epoch(&key).await?; // before the mint
///     assert_eq!(store.put_if_newer(&key, &token, epoch).await?, Put::Stored);
///     store.release(&key, owner).await?;
///     assert_eq!(store.load(&key).await?, Some(token));
/// }
/// # Ok(())
/// # }
/// ```
pub trait TokenStore: fmt::Debug + Send + Sync + 'static {
    /// The token of this key, if there is one that has not expired.
    ///
    /// It comes back as it was put: the secret byte for byte, the times to the millisecond.
    ///
    /// # Errors
    /// Whatever kept it from knowing. The cache takes it for a miss.
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>>;

    /// Keeps the token until it expires, unless one [that is newer](StoredToken::is_newer_than) is there, a rejection
    /// [took it along](StoredToken::falls_with), or the customer was [forgotten](Self::forget) since `epoch` was read, which was
    /// before the token was requested.
    ///
    /// To put the same token again is fine: a call whose answer was lost can be repeated. The cache does not put a token that
    /// has expired; what the answer to that is stays open, and the token is not kept.
    ///
    /// # Errors
    /// Whatever kept it from storing the token. It may have been stored nevertheless. The cache serves it to its own process.
    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put>;

    /// The epoch of the customer of this key, whatever the channel and the customer access token:
    /// [`CustomerEpoch::default`] until the customer is forgotten for the first time.
    ///
    /// # Errors
    /// Whatever kept it from knowing. The token that is then minted is not put.
    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch>;

    /// Removes every token of the customer of this key, whatever the channel and the customer access token, and gives the
    /// customer another [`epoch`](Self::epoch): one that the customer did not have before. It is what a log-out does.
    ///
    /// Both happen in one step: a token whose request began before cannot be put afterwards. Rejections and leases stay. The
    /// new epoch is kept for longer than any mint takes that may be under way; an hour is enough. When it is gone, puts of any
    /// epoch are stored again.
    ///
    /// # Errors
    /// Whatever kept it from forgetting the customer. The cache of the process that asked has forgotten them nevertheless.
    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()>;

    /// Takes note that the token was refused where it was used. It is removed if it is there, and so is one that
    /// [falls with it](StoredToken::falls_with); one that does not, which is a newer one, stays.
    ///
    /// Until the rejected token would have expired, neither can be put again, whether any of them was there or not: a mint
    /// that was under way meanwhile must not bring it back.
    ///
    /// One note for each key is enough: the later of the rejected tokens' times, of both kinds, and the text of the last one
    /// or a keyed hash of it.
    ///
    /// # Errors
    /// Whatever kept it from taking note. The token is gone from the cache of this process nevertheless.
    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()>;

    /// Takes the lease of this key for `length`, or says that somebody has it. Who has it is not asked: not even the owner
    /// is given it twice.
    ///
    /// It has nothing to do with the token of the key. Nothing but [`release`](Self::release) and time ends it.
    ///
    /// # Errors
    /// Whatever kept it from knowing. It is never to be answered with [`Lease::Held`] instead: everybody would wait for a
    /// token that nobody mints.
    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease>;

    /// Gives a lease back before its time. It compares and deletes in one step: a lease of another owner stays, also where the
    /// owner's own has run out and the other one came after it.
    ///
    /// That there is nothing to give back is no error.
    ///
    /// # Errors
    /// Whatever kept it from deleting the lease, which then runs out by itself.
    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()>;

    /// What stands for a customer access token in a [`StoreKey`].
    ///
    /// It is a keyed hash (an HMAC, SipHash) under a secret that the fleet shares: the same in each process, and of no use to
    /// who reads the keys of the store.
    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint;
}

impl<S: TokenStore + ?Sized> TokenStore for Arc<S> {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        (**self).load(key)
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        (**self).put_if_newer(key, token, epoch)
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        (**self).epoch(key)
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        (**self).forget(key)
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        (**self).reject(key, token)
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        (**self).lease(key, length)
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        (**self).release(key, owner)
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        (**self).fingerprint(customer_access_token)
    }
}

/// Whose token it is, in a store that is shared. No part of it is a secret.
///
/// ```
/// use bigcommerce_b2b_auth::{ChannelId, CustomerId, StoreHash, StoreKey};
///
/// let key = StoreKey::new(StoreHash::new("abc123")?, CustomerId::new(42)?).in_channel(ChannelId::DEFAULT);
/// assert_eq!(key.to_text(), "customer=42,channel=1,cat=-,store=abc123");
/// # Ok::<(), bigcommerce_b2b_auth::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StoreKey {
    /// The store.
    pub store_hash: StoreHash,
    /// The customer whom the token is for.
    pub customer: CustomerId,
    /// The channel that it was minted for, if one was named.
    pub channel: Option<ChannelId>,
    /// The [fingerprint](TokenStore::fingerprint) of the customer access token that it was minted with, if there was one.
    pub customer_access_token: Option<Fingerprint>,
}

impl StoreKey {
    /// The key of a token for which no channel was named, and no customer access token.
    #[must_use]
    pub fn new(store_hash: StoreHash, customer: CustomerId) -> Self {
        Self {
            store_hash,
            customer,
            channel: None,
            customer_access_token: None,
        }
    }

    /// The same in a channel.
    #[must_use]
    pub fn in_channel(self, channel: ChannelId) -> Self {
        Self {
            channel: Some(channel),
            ..self
        }
    }

    /// The same with a customer access token.
    #[must_use]
    pub fn with_customer_access_token(self, fingerprint: Fingerprint) -> Self {
        Self {
            customer_access_token: Some(fingerprint),
            ..self
        }
    }

    /// The whole key as visible ASCII characters, for stores whose keys are text: one text for each key, and never one for
    /// two. A field that a later version adds will be in it.
    ///
    /// Hash or encrypt it where the numbers of customers are not to be read.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self {
            store_hash,
            customer,
            channel,
            customer_access_token,
        } = self;
        let channel = channel.map_or_else(|| "-".to_owned(), |channel| channel.to_string());
        let cat = customer_access_token
            .map_or_else(|| "-".to_owned(), |cat| format!("{:016x}", cat.get()));
        // The store hash comes last, since it alone can hold a comma.
        format!("customer={customer},channel={channel},cat={cat},store={store_hash}")
    }
}

/// A keyed fingerprint of a customer access token, from which the token cannot be found. See [`TokenStore::fingerprint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Takes what the store's hash function gave.
    #[must_use]
    pub const fn new(fingerprint: u64) -> Self {
        Self(fingerprint)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A token as a shared store keeps it. `Debug` hides the secret.
///
/// Its times are whole milliseconds from 1970 to 9999, so that they are the same after any store: what is finer is cut off,
/// and what is beyond is moved to the nearer end.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use bigcommerce_b2b_auth::StoredToken;
///
/// let now = SystemTime::now();
/// let hour = Duration::from_secs(3600);
/// let old = StoredToken::new("a token", now + hour, now);
/// let new = StoredToken::new("another token", now + 2 * hour, now + hour);
/// assert!(new.is_newer_than(&old) && !new.falls_with(&old) && old.falls_with(&new));
/// assert!(!format!("{old:?}").contains("a token"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoredToken {
    secret: Secret,
    expires_at: SystemTime,
    requested_at: SystemTime,
}

impl StoredToken {
    /// Takes a token in.
    ///
    /// `expires_at` is on the clock of the process that puts it, corrected by what that process knows of the service's clock.
    /// Processes that share a store keep their clocks together, as far as their margins ahead of expiry do not cover it.
    /// `requested_at` is when the request that brought the token was begun, on the same clock.
    #[must_use]
    pub fn new(
        secret: impl Into<Secret>,
        expires_at: SystemTime,
        requested_at: SystemTime,
    ) -> Self {
        Self {
            secret: secret.into(),
            expires_at: whole_milliseconds(expires_at),
            requested_at: whole_milliseconds(requested_at),
        }
    }

    /// The token itself.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Until when it counts.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// When the request that brought it was begun.
    #[must_use]
    pub fn requested_at(&self) -> SystemTime {
        self.requested_at
    }

    /// Whether it has expired at `now`.
    #[must_use]
    pub fn is_expired_at(&self, now: SystemTime) -> bool {
        self.expires_at <= now
    }

    /// Whether it takes the place of the other one: it expires later, or it expires at the same time and was requested later.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        (self.expires_at, self.requested_at) > (other.expires_at, other.requested_at)
    }

    /// Whether the rejection of `rejected` concerns this token as well: it is the same text, or it neither expires later nor
    /// was requested later.
    ///
    /// A token that was requested after the rejected one is let through even where it expires earlier: it may be meant to
    /// live shorter, or two estimates of the service's clock may differ.
    #[must_use]
    pub fn falls_with(&self, rejected: &Self) -> bool {
        (self.expires_at <= rejected.expires_at && self.requested_at <= rejected.requested_at)
            || self.secret == rejected.secret
    }
}

impl fmt::Debug for StoredToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredToken")
            .field("secret", &self.secret)
            .field("expires_at", &self.expires_at)
            .field("requested_at", &self.requested_at)
            .finish()
    }
}

/// The last millisecond of the year 9999, since 1970: a double holds it exactly, as scripts in Redis count.
const LAST: Duration = Duration::from_millis(253_402_300_799_999);

fn whole_milliseconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .min(LAST);
    let finer = Duration::from_nanos(u64::from(since.subsec_nanos() % 1_000_000));
    // Not more than LAST, which every platform's clock can say.
    SystemTime::UNIX_EPOCH
        .checked_add(since.saturating_sub(finer))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// What became of a token that was [put](TokenStore::put_if_newer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Put {
    /// It is what the store now has, as far as nothing came after it.
    Stored,
    /// [A newer one](StoredToken::is_newer_than) is there, and stays.
    NewerIsThere,
    /// It was rejected, or [fell with](StoredToken::falls_with) one that was.
    Rejected,
    /// The customer was forgotten after the token had been requested.
    Forgotten,
}

/// Counts the log-outs of a customer in a store that is shared. See [`TokenStore::epoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CustomerEpoch(u64);

impl CustomerEpoch {
    /// Takes a number: 0 for a customer who was not forgotten yet, and another one for each time that they are.
    #[must_use]
    pub const fn new(epoch: u64) -> Self {
        Self(epoch)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Who may mint for a key. An error of [`TokenStore::lease`] is the third answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lease {
    /// The asker, until the lease is given back or has run out.
    Acquired(LeaseOwner),
    /// Somebody else.
    Held,
}

/// Who has a lease: a number that nobody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseOwner(u128);

impl LeaseOwner {
    /// A new owner, at random.
    #[must_use]
    pub fn random() -> Self {
        // `fastrand` by itself starts from the time and the thread, which two processes can have in common. The keys of
        // `RandomState` come from the operating system.
        let state = RandomState::new();
        let half = || u128::from(state.hash_one(fastrand::u64(..)));
        Self((half() << 64) | half())
    }

    /// Takes a number that is unique by other means.
    #[must_use]
    pub const fn new(owner: u128) -> Self {
        Self(owner)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

/// A store could not do what it was asked. It is never the caller's error: the cache goes on without the store.
///
/// ```
/// use bigcommerce_b2b_auth::StoreError;
///
/// let error = StoreError::new("no connection to Redis; see whether its address can be reached from here")
///     .with_source(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
/// assert!(error.to_string().ends_with("see whether its address can be reached from here"));
/// ```
#[derive(Debug)]
pub struct StoreError {
    message: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// `message` says what failed and what to look at. It is fixed text, so that nothing of a token gets into it.
    #[must_use]
    pub fn new(message: &'static str) -> Self {
        Self {
            message,
            source: None,
        }
    }

    /// The same with what it came from. It is logged: do not hand in what holds a secret, such as the text of a reply or
    /// an address with a password.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            source: Some(source.into()),
            ..self
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token store failed: {}", self.message)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        sync::{Mutex, PoisonError},
        time::Instant,
    };

    use super::*;
    use crate::{Clock, Sleep};

    /// Stands still until it is put forward.
    #[derive(Debug)]
    pub(super) struct Manual {
        wall: SystemTime,
        monotonic: Instant,
        passed: Mutex<Duration>,
    }

    impl Manual {
        pub(super) fn at(wall: SystemTime) -> Self {
            Self {
                wall,
                monotonic: Instant::now(),
                passed: Mutex::default(),
            }
        }

        pub(super) fn pass(&self, time: Duration) {
            *self.passed.lock().unwrap_or_else(PoisonError::into_inner) += time;
        }

        fn passed(&self) -> Duration {
            *self.passed.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Clock for Manual {
        fn now(&self) -> SystemTime {
            self.wall + self.passed()
        }

        fn instant(&self) -> Instant {
            self.monotonic + self.passed()
        }

        fn sleep(&self, duration: Duration) -> Sleep {
            self.pass(duration);
            Box::pin(std::future::ready(()))
        }
    }

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn token(secret: &str, expires_at: u64, requested_at: u64) -> StoredToken {
        StoredToken::new(secret, at(expires_at), at(requested_at))
    }

    #[test]
    fn later_expiry_is_newer_and_then_the_later_request() {
        let token = |expires_at, requested_at| token("a", expires_at, requested_at);
        assert!(token(2, 0).is_newer_than(&token(1, 1)));
        assert!(token(1, 2).is_newer_than(&token(1, 1)));
        assert!(!token(1, 1).is_newer_than(&token(1, 1)));
        assert!(!token(1, 2).is_newer_than(&token(2, 1)));
    }

    #[test]
    fn a_rejection_concerns_the_same_text_and_what_is_later_in_nothing() {
        let rejected = token("a", 10, 5);
        for (falls, other) in [
            (true, token("a", 10, 5)),
            (true, token("a", 12, 7)),
            (true, token("b", 10, 5)),
            (true, token("b", 9, 4)),
            (false, token("b", 11, 4)),
            (false, token("b", 9, 6)),
            (false, token("b", 11, 6)),
        ] {
            assert_eq!(other.falls_with(&rejected), falls, "{other:?}");
        }
    }

    #[test]
    fn a_token_expires_on_the_dot() {
        assert!(!token("a", 10, 0).is_expired_at(at(9)));
        assert!(token("a", 10, 0).is_expired_at(at(10)));
    }

    #[test]
    fn times_are_whole_milliseconds_between_1970_and_9999() {
        let fine = SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567);
        let coarse = SystemTime::UNIX_EPOCH + Duration::from_millis(1234);
        let before = SystemTime::UNIX_EPOCH - HOUR;
        let beyond = SystemTime::UNIX_EPOCH + 2 * LAST;
        let token = StoredToken::new("a", fine, before);
        assert_eq!(token.expires_at(), coarse);
        assert_eq!(token.requested_at(), SystemTime::UNIX_EPOCH);
        let token = StoredToken::new("a", beyond, coarse);
        assert_eq!(token.expires_at(), SystemTime::UNIX_EPOCH + LAST);
        assert_eq!(token.requested_at(), coarse);
        assert_eq!(
            humantime::format_rfc3339_millis(token.expires_at()).to_string(),
            "9999-12-31T23:59:59.999Z"
        );
    }

    #[test]
    fn every_part_of_a_key_is_in_its_text_and_no_two_keys_share_one() {
        let mut keys = Vec::new();
        for store in ["a", "a,store=a", "1", "-"] {
            for customer in [1, 11] {
                let key = StoreKey::new(
                    StoreHash::new(store).unwrap(),
                    CustomerId::new(customer).unwrap(),
                );
                for channel in [None, Some(1), Some(11)] {
                    let key = match channel {
                        Some(channel) => key.clone().in_channel(ChannelId::new(channel).unwrap()),
                        None => key.clone(),
                    };
                    keys.push(key.clone());
                    for fingerprint in [0, 1, 0x11] {
                        keys.push(
                            key.clone()
                                .with_customer_access_token(Fingerprint::new(fingerprint)),
                        );
                    }
                }
            }
        }
        let texts: HashSet<_> = keys.iter().map(StoreKey::to_text).collect();
        assert_eq!(texts.len(), keys.len());
        assert_eq!(
            keys.iter().collect::<HashSet<_>>().len(),
            keys.len(),
            "the keys themselves are told apart"
        );
        assert_eq!(
            keys.last().unwrap().to_text(),
            "customer=11,channel=11,cat=0000000000000011,store=-"
        );
    }

    #[test]
    fn owners_fill_all_their_bits_and_do_not_repeat() {
        let owners: HashSet<_> = (0..1000).map(|_| LeaseOwner::random()).collect();
        assert_eq!(owners.len(), 1000);
        let ever = owners.iter().fold(0, |bits, owner| bits | owner.get());
        let always = owners
            .iter()
            .fold(u128::MAX, |bits, owner| bits & owner.get());
        assert_eq!((ever, always), (u128::MAX, 0));
        assert_eq!(LeaseOwner::new(7).get(), 7);
    }

    #[test]
    fn owners_differ_even_where_fastrand_is_seeded_alike() {
        let owner = || {
            fastrand::seed(1);
            LeaseOwner::random()
        };
        assert_ne!(owner(), owner());
    }

    #[test]
    fn an_error_says_its_text_and_keeps_its_source() {
        let error = StoreError::new("look there");
        assert_eq!(error.to_string(), "the token store failed: look there");
        assert!(error.source().is_none());
        let error = error.with_source("a time-out");
        assert_eq!(error.source().unwrap().to_string(), "a time-out");
    }

    #[tokio::test]
    async fn a_store_is_used_through_pointers() {
        let store: Arc<dyn TokenStore> = Arc::new(MemoryTokenStore::new());
        // The `Arc` is itself a store, and not only a way to one.
        let store: &dyn TokenStore = &store;
        let key = StoreKey::new(
            StoreHash::new("abc123").unwrap(),
            CustomerId::new(1).unwrap(),
        );
        let now = SystemTime::now();
        let token = StoredToken::new("hunter2", now + HOUR, now);
        let epoch = store.epoch(&key).await.unwrap();
        let put = store.put_if_newer(&key, &token, epoch).await;
        assert_eq!(put.unwrap(), Put::Stored);
        assert_eq!(store.load(&key).await.unwrap(), Some(token.clone()));
        let Lease::Acquired(owner) = store.lease(&key, HOUR).await.unwrap() else {
            panic!("nobody has it");
        };
        assert_eq!(store.lease(&key, HOUR).await.unwrap(), Lease::Held);
        store.release(&key, owner).await.unwrap();
        assert_ne!(store.lease(&key, HOUR).await.unwrap(), Lease::Held);
        store.reject(&key, &token).await.unwrap();
        assert_eq!(store.load(&key).await.unwrap(), None);
        store.forget(&key).await.unwrap();
        assert_ne!(store.epoch(&key).await.unwrap(), epoch);
        let secret = Secret::from("hunter2");
        assert_eq!(store.fingerprint(&secret), store.fingerprint(&secret));
    }
}
