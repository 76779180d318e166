//! Managed tokens: a cache of storefront tokens that mints once for all who wait, renews ahead of expiry while the old token is
//! served, remembers failures, and never hands out a token that was refused.
//!
//! | file | what it holds |
//! |---|---|
//! | `cache.rs`, `cached_token.rs`, `key.rs` | the bounded map, a token with its schedule, what it is stored under |
//! | `lookup.rs` | the cache-miss path |
//! | `refresh.rs`, `single_flight.rs` | one refresh, and one refresh for all who wait |
//! | `expiry.rs`, `minimum_life.rs` | when a token is refreshed, and requests that state how long it has to be valid |
//! | `rejections.rs`, `forgotten.rs` | rejected tokens and log-outs |
//! | `negative_cache.rs`, `circuit_breaker.rs`, `access_token.rs` | remembered failures of customers and of the store, and the access token that met them |
//! | `backend.rs`, `guarded_backend.rs` | the seam for a shared cache, and its bounds and reports |
//! | `warm.rs`, `snapshot.rs` | tokens ahead of time, and across a restart |

mod access_token;
mod backend;
mod background_tasks;
mod cache;
mod cached_token;
mod circuit_breaker;
mod expiry;
mod forgotten;
mod guarded_backend;
mod key;
mod lookup;
mod metrics;
mod minimum_life;
mod negative_cache;
mod per_store;
mod refresh;
mod rejections;
mod request;
mod single_flight;
#[cfg(test)]
mod single_flight_tests;
#[cfg(feature = "snapshot")]
pub(crate) mod snapshot;
mod sync;
mod warm;

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use tokio::{runtime::Handle, sync::OnceCell, time::Instant};
use tracing::Span;

#[cfg(any(test, feature = "store-contract"))]
pub use self::backend::contract;
use self::{
    access_token::CurrentAccessToken,
    background_tasks::Chores,
    cache::TokenCache,
    cached_token::{Entry, Phase, Unfit},
    circuit_breaker::{Applicant, Breaker},
    forgotten::Forgotten,
    guarded_backend::{BACKGROUND_TIMEOUT, Backend, UsualMint},
    key::Key,
    metrics::Counters,
    minimum_life::ShortLives,
    negative_cache::{Failure, Failures},
    per_store::StoreStates,
    rejections::Rejections,
    single_flight::Flights,
};
pub use self::{
    backend::{
        CustomerEpoch, Fingerprint, Lease, LeaseOwner, MemoryTokenStore, Put, StoreError,
        StoreFuture, StoreKey, StoredToken, TokenStore,
    },
    cache::Capacity,
    cached_token::ManagedToken,
    metrics::TokenMetrics,
    request::TokenRequest,
    warm::{Warm, WarmOutcome, WarmProgress, Warmed, Warming, WarmingControl},
};
use crate::{
    Client, Clock, ClockReading, CustomerAccessToken, CustomerId, Error, ErrorKind, StoreAccess,
    StorefrontToken, pipeline::transport::operations, telemetry::TokenEvictionEvent,
    time::deadline::in_time, token::claims::Holder,
};

/// A cache of storefront tokens, one for each customer and channel.
///
/// [`get`](Self::get) is meant to be called for each request to the storefront's APIs: a token that is there costs a lookup.
/// One that is not is minted once, however many ask for it; one that comes close to its end is renewed in the background while
/// it is still served.
///
/// ```
/// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
/// use bigcommerce_b2b_auth::{Capacity, Client, CustomerId, StoreAccess, StorefrontTokens};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sandbox = Sandbox::builder().start().await?;
/// # let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
/// let client = Client::builder()
///     .credentials(StoreAccess::new(store_hash, access_token)?)
/// #   .base_url(sandbox.base_url())
///     .build()?;
/// let tokens = StorefrontTokens::builder().client(client).capacity(Capacity::entries(50_000)).build();
///
/// let token = tokens.get(CustomerId::new(customer_id)?).await?;
/// let header = token.authorization(); // `Bearer …`, ready to be sent
/// # assert!(header.is_sensitive());
/// // The API that it was shown to answered 401: it is thrown away, and the next `get` mints another one.
/// tokens.invalidate(&token);
/// # tokens.shutdown().await;
/// # Ok(())
/// # }
/// ```
///
/// It is cheap to clone, and clones are the same cache. Build one and keep it: the tokens are in it.
///
/// # What it sees to
/// | | |
/// |---|---|
/// | **one mint** for each customer at a time | all who wait share it, its failure too; a caller who gives up harms nobody, and what was sent is finished and kept |
/// | **renewal** | in the background after 70 to 90 % of a token's life, drawn anew for each so that they do not come due together, when it is used, and while two fifths of the store's budget are left; waited for in its last 5 minutes; not served in its last 30 seconds |
/// | **failures** | a valid token outlives every failed renewal; a failed mint of a customer is not repeated for 1 to 5 s if the service failed, and for 30 to 60 s if the customer is unknown or refused, twice as long after each further time, up to 10 minutes. When a second customer is refused in the same way, the store's access token is to blame: nobody tries for 30 to 60 s, then one customer tries for all; another access token is tried at once. In an outage, when five customers in a row fail because of the service, one tries for all every few seconds. [`forget_failures`](Self::forget_failures) ends all of these waits |
/// | **refused tokens** | [`invalidate`](Self::invalidate) takes out the token that was refused and no newer one; it does not come back; a customer costs one such mint a minute |
/// | **bounds** | [`Capacity`] by number or bytes; what is used least goes first; what is over is swept out; everything that is remembered is bounded |
///
/// # What it does not do
/// Login and exchange always call the service. [`put`](Self::put) keeps their result under a customer that *you* state: what
/// a token says of itself is not verified, so no lookup goes by it. Tokens of customers who do not come back are not renewed.
/// A data API that answers 403 has understood whose token it is: that invalidates nothing.
///
/// # Runtime
/// A fetch is a task of its own on the tokio runtime of whoever asked first, or on the one that the builder was given. When that
/// is shut down half way, another caller's runtime takes over, once.
///
/// # Cancelling
/// Dropping the future of [`get`](Self::get) harms nobody. A fetch that nobody waits for any more is given up as long as nothing
/// was sent.
#[derive(Clone)]
pub struct StorefrontTokens {
    shared: Arc<Shared>,
    store: Arc<Store>,
    /// The key of somebody in this store and the client's default channel: what a hit takes and changes the customer of.
    usual: Key,
}

/// What all stores of a cache have in common.
struct Shared {
    cache: TokenCache,
    flights: Arc<Flights<Key, Result<Arc<Entry>, Error>, Span>>,
    failures: Failures,
    rejections: Rejections,
    forgotten: Forgotten,
    short_lives: ShortLives,
    counters: Counters,
    /// How many renewals run in the background.
    background: AtomicUsize,
    chores: Chores,
    backend: Option<Arc<Backend>>,
    fingerprints: RandomState,
    clock: Arc<dyn Clock>,
    runtime: Option<Handle>,
    settings: Settings,
    stores: StoreStates,
    #[cfg(feature = "snapshot")]
    snapshot: Option<Arc<snapshot::Keeper>>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    fetch_deadline: Duration,
    wait_at_most: Option<Duration>,
    background_renewals: usize,
}

/// What is known of a store. Its tokens are found by its number, which no other store of the cache ever has.
#[derive(Debug)]
struct StoreState {
    number: u64,
    breaker: Breaker,
    usual_mint: UsualMint,
}

impl StoreState {
    fn new(number: u64) -> Self {
        Self {
            number,
            breaker: Breaker::default(),
            usual_mint: UsualMint::default(),
        }
    }

    /// Whether no failure of the store holds now.
    fn is_at_rest(&self, now: ClockReading) -> bool {
        self.breaker.is_at_rest(now)
    }
}

/// One store, with the client that talks to it.
struct Store {
    client: Client<StoreAccess>,
    state: Arc<StoreState>,
    access_token: CurrentAccessToken,
}

impl std::ops::Deref for Store {
    type Target = StoreState;

    fn deref(&self) -> &StoreState {
        &self.state
    }
}

impl Store {
    /// The key by which a fleet knows a token.
    fn key_in_shared_store(&self, key: &Key) -> StoreKey {
        let mut shared = StoreKey::new(self.client.store_hash().clone(), key.customer());
        if let Some(channel) = key.channel() {
            shared = shared.in_channel(channel);
        }
        if let Some(fingerprint) = key.fingerprint() {
            shared = shared.with_customer_access_token(Fingerprint::new(fingerprint));
        }
        shared
    }

    /// Whose a token of this key has to be.
    fn holder(&self, key: &Key) -> Holder<'_> {
        Holder {
            customer: Some(key.customer()),
            store_hash: Some(self.client.store_hash().as_str()),
        }
    }

    /// Whether a remembered failure counts for a mint of this client: it does not if it happened with another access token than
    /// the client would send now.
    async fn heeds(&self, failure: &Failure, ends_at: Option<Instant>) -> bool {
        match failure.token() {
            Some(token) => self.access_token.is(token, &self.client, ends_at).await,
            None => true,
        }
    }

    /// A token as a fleet keeps it.
    fn to_shared_store(&self, entry: &Entry) -> StoredToken {
        StoredToken::new(entry.token(), entry.expires_at(), entry.requested_at())
    }
}

/// What became of a refused token. See [`StorefrontTokens::invalidate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalidation {
    /// It was taken out: the next access fetches another one.
    Removed,
    /// It had been replaced, or taken out, before: nothing was done. Ask for the token again.
    Late,
}

/// A flight that takes this much longer than it may is on a runtime that does not run.
const OVERDUE: Duration = Duration::from_secs(5);

#[bon::bon]
impl StorefrontTokens {
    /// Starts a cache: give it a `client`, and whatever else differs from the defaults. Clock, chance and observer are the
    /// client's.
    #[builder(
        start_fn(name = builder, vis = "pub"),
        finish_fn(name = build, vis = "pub"),
        builder_type(name = StorefrontTokensBuilder, vis = "pub", doc {
            /// Builds [`StorefrontTokens`]; made by [`StorefrontTokens::builder`].
        }),
        state_mod(name = storefront_tokens_builder, vis = "pub")
    )]
    fn from_parts(
        /// What mints: the store, its credentials, its budget.
        client: Client<StoreAccess>,
        /// How much it holds. 100,000 tokens by default.
        #[builder(default)]
        capacity: Capacity,
        /// A store behind the cache that other processes share. It is asked when a token is not here, and never on a hit.
        shared_store: Option<Arc<dyn TokenStore>>,
        /// How long a fetch may take, with its waits for the budget and its repetitions. The client's deadline if unset.
        fetch_deadline: Option<Duration>,
        /// How long a caller waits unless its request says otherwise. As long as the fetch takes if unset.
        wait_at_most: Option<Duration>,
        /// How many renewals may run in the background at once. 8 by default; with 0 tokens are renewed at their end only.
        #[builder(default = 8)]
        background_renewals: usize,
        /// The runtime that fetches run on. That of whoever asks first if unset.
        runtime: Option<Handle>,
        /// Where the tokens are kept across restarts; see [`restore`](StorefrontTokens::restore).
        #[cfg(feature = "snapshot")]
        snapshot: Option<snapshot::Snapshot>,
    ) -> Self {
        let fetch_deadline = fetch_deadline.unwrap_or(client.default_deadline());
        let shared = Arc::new(Shared {
            cache: TokenCache::new(capacity),
            flights: Arc::new(Flights::new()),
            failures: Failures::new(),
            rejections: Rejections::new(),
            forgotten: Forgotten::new(),
            short_lives: ShortLives::new(),
            counters: Counters::default(),
            background: AtomicUsize::new(0),
            chores: Chores::new(runtime.clone()),
            backend: shared_store.map(|store| {
                Backend::new(store, client.clock(), client.jitter(), client.observer())
            }),
            fingerprints: RandomState::new(),
            clock: Arc::clone(client.clock()),
            runtime,
            settings: Settings {
                fetch_deadline,
                wait_at_most,
                background_renewals,
            },
            stores: StoreStates::new(),
            #[cfg(feature = "snapshot")]
            snapshot: snapshot
                .map(|it| snapshot::Keeper::new(it, client.base_url(), client.observer())),
        });
        Self::of_store(shared, client)
    }
}

impl StorefrontTokens {
    /// What fetches the tokens.
    pub(crate) fn client(&self) -> &Client<StoreAccess> {
        &self.store.client
    }

    /// The same cache for another store, or for this one by another client. The capacity is shared, what is remembered of a
    /// store is not.
    #[must_use]
    pub fn for_store(&self, client: Client<StoreAccess>) -> Self {
        Self::of_store(Arc::clone(&self.shared), client)
    }

    fn of_store(shared: Arc<Shared>, client: Client<StoreAccess>) -> Self {
        let channel = client.default_channel();
        let store = shared.store_of(client);
        let usual = Key::new(store.number, CustomerId::of_key(1), channel, None);
        Self {
            shared,
            store,
            usual,
        }
    }

    /// A token that is valid now.
    ///
    /// The future of a token that is there is ready at once, and allocates nothing. Where it has to be fetched, it waits for
    /// the fetch, which others may share, up to its own patience: see [`TokenRequest::wait_at_most`].
    ///
    /// # Errors
    /// Any [`ErrorKind`] of a mint, the same for all who waited for it; [`remembered_for`](Error::remembered_for) says when it
    /// is an earlier one. [`ErrorKind::Timeout`] when this caller's patience is over, while the fetch goes on. Besides:
    /// [`ErrorKind::TokenRejected`], [`ErrorKind::Panicked`], [`ErrorKind::RuntimeGone`] and [`ErrorKind::ShutDown`].
    /// [`ErrorKind::InvalidInput`] and [`ErrorKind::TokenTooShort`] for a minimum life that cannot be had: see
    /// [`TokenRequest::valid_for_at_least`].
    pub async fn get(&self, request: impl Into<TokenRequest>) -> Result<ManagedToken, Error> {
        let request = request.into();
        let key = self.key(&request);
        // A request that states a minimum life has to look at more than a hit does.
        if request.valid_for_at_least.is_zero()
            && let Some(token) = self.hit(key)
        {
            return Ok(token);
        }
        // Boxed, so that the future of a hit stays small.
        Box::pin(self.get_slowly(key, request)).await
    }

    /// The blocking form of [`get`](Self::get), for code without async. A refresh in the background continues between calls; see
    /// [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As [`get`](Self::get), and [`ErrorKind::Configuration`] where blocking is not possible.
    #[cfg(feature = "blocking")]
    pub fn get_blocking(&self, request: impl Into<TokenRequest>) -> Result<ManagedToken, Error> {
        crate::blocking::run(self.get(request))?
    }

    /// The token that is there, if there is one that is valid now: nothing is waited for and nothing is minted. Inside of a
    /// runtime, one that is due is renewed in the background.
    #[must_use]
    pub fn get_cached(&self, request: impl Into<TokenRequest>) -> Option<ManagedToken> {
        let request = request.into();
        let key = self.key(&request);
        let hit = request.valid_for_at_least.is_zero().then(|| self.hit(key));
        match hit.flatten() {
            Some(token) => Some(token),
            None => self.look_slowly(key, request),
        }
    }

    /// Puts in a token that a login or an exchange gave, under the customer that the caller states. What the token says of
    /// itself does not decide whose it is; but one that names another customer or another store is refused.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let session_jwt = sandbox.session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID).unwrap();
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// let tokens = StorefrontTokens::builder().client(client.clone()).build();
    /// let customer = CustomerId::new(demo::CUSTOMER_ID)?; // whoever your own session says it is
    /// let exchanged = client.exchange_session_jwt(session_jwt).send().await?;
    /// tokens.put(customer, &exchanged)?;
    /// assert!(tokens.get_cached(customer).is_some());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a token that is expired, or not valid yet, or that was requested in the future because
    /// this machine's clock was set back since. [`ErrorKind::TokenMismatch`] for one that names another customer or another store
    /// than the request and this cache. [`ErrorKind::TokenRejected`] for one that was refused.
    pub fn put(
        &self,
        request: impl Into<TokenRequest>,
        token: &StorefrontToken,
    ) -> Result<ManagedToken, Error> {
        let key = self.key(&request.into());
        let now = self.shared.clock.reading();
        let fraction = self.store.client.jitter().fraction();
        let holder = self.store.holder(&key);
        if holder.inspect(token.secret().expose_secret()).is_mismatch {
            return Err(self.error(
                ErrorKind::TokenMismatch,
                "the token names another customer or store than the one it was put for, and was not kept",
            ));
        }
        let mut entry = Entry::new(token, now, fraction).map_err(|unfit| {
            Error::invalid_input(match unfit {
                Unfit::Expired => "the token is expired, or as good as",
                Unfit::NotYetValid => "the token is not valid yet",
                Unfit::FromTheFuture => {
                    "the token was requested in the future: this machine's clock was set back since"
                }
            })
        })?;
        if let Some(there) = self.shared.cache.get(&key) {
            entry = entry.newer_than(&there);
        }
        let Some(entry) = self.shared.keep(key, Arc::new(entry), &self.store) else {
            return Err(self.error(
                ErrorKind::TokenRejected,
                "the token was refused before, or is older than one that was",
            ));
        };
        self.shared.failures.forget(&key);
        self.shared.counters.puts.one();
        if let Some(backend) = &self.shared.backend {
            let backend = Arc::clone(backend);
            let shared_key = self.store.key_in_shared_store(&key);
            let stored = self.store.to_shared_store(&entry);
            let told = self.shared.forgotten.told(key);
            self.shared.chores.begin(async move {
                // The cache has it; a backend that has not is asked in vain once.
                if tell_log_out(&backend, &shared_key, told).await.is_err() {
                    return;
                }
                let epoch = backend.ask_now(BACKGROUND_TIMEOUT, |store| store.epoch(&shared_key));
                let Ok(epoch) = epoch.await else {
                    return;
                };
                let _ = backend
                    .ask_now(BACKGROUND_TIMEOUT, |store| {
                        store.put_if_newer(&shared_key, &stored, epoch)
                    })
                    .await;
            });
        }
        Ok(ManagedToken { entry, key })
    }

    /// Says that a token was refused by those whom it was shown to: a 401 of the data API. It is taken out, here and in the
    /// shared store, and does not come back.
    ///
    /// A refusal that comes late, when the token has been replaced already, takes out nothing. The next access fetches another
    /// token; when that is refused as well, no third one is minted within a minute, and accesses end with
    /// [`ErrorKind::TokenRejected`].
    pub fn invalidate(&self, token: &ManagedToken) -> Invalidation {
        let ManagedToken { entry, key } = token;
        let now = self.shared.clock.reading();
        let counters = &self.shared.counters;
        let rejections = &self.shared.rejections;
        // Noted before it is removed: a token that arrives in between finds the note, and one that arrived before is found here.
        let is_news = rejections.note(*key, entry, now);
        let replacement = self.shared.cache.remove_up_to(key, entry);
        if let Some(replacement) = &replacement {
            rejections.replaced(key, replacement, now);
        }
        if !is_news || replacement.is_some() {
            counters.invalidated_late.one();
            return Invalidation::Late;
        }
        counters.invalidated.one();
        if let Some(backend) = &self.shared.backend {
            let backend = Arc::clone(backend);
            let shared_key = self.store.key_in_shared_store(key);
            let stored = self.store.to_shared_store(entry);
            self.shared.chores.begin(async move {
                // Should it fail, what the backend has is not taken from it here, and elsewhere is rejected once more.
                let _ = backend
                    .ask_now(BACKGROUND_TIMEOUT, |store| {
                        store.reject(&shared_key, &stored)
                    })
                    .await;
            });
        }
        Invalidation::Removed
    }

    /// Ends all tokens of a customer in this store, as a log-out has to: those of every channel and of every customer access
    /// token. Says whether the cache held any.
    ///
    /// - **Refreshes in flight** go on, and their result is dropped: who waits for one gets [`ErrorKind::Forgotten`].
    /// - **Tokens obtained afterwards** are not touched: a request that begins after this call mints anew.
    /// - **The token backend** is told in the background: it drops the tokens, and those that other processes are minting are
    ///   dropped where they are put. What other processes hold in memory already stays there until it expires. If the backend
    ///   cannot be reached, it is told before this process asks it for the customer again.
    /// - **The snapshot** (feature `snapshot`) is written anew within five seconds. Log-outs within that time share one write.
    ///   If the process is killed before, the next one restores the token.
    /// - **The token itself** stays valid until it expires, since the service has no call to revoke one.
    ///
    /// To forget a customer twice is fine. [`forget_and_confirm`](Self::forget_and_confirm) waits until it is done everywhere.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// let tokens = StorefrontTokens::builder().client(client).build();
    /// let customer = CustomerId::new(demo::CUSTOMER_ID)?;
    /// tokens.get(customer).await?;
    /// assert!(tokens.forget(customer)); // the customer logs out
    /// assert!(tokens.get_cached(customer).is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub fn forget(&self, customer: CustomerId) -> bool {
        let shared = &self.shared;
        let key = Key::new(self.store.number, customer, None, None);
        // First the note, then the tokens: what a refresh puts in meanwhile finds the note.
        shared.forgotten.note(key, shared.clock.reading());
        shared
            .flights
            .disown_all(|in_flight| in_flight.of_customer_alone() == key);
        let was_there = shared.cache.remove_customer(key);
        #[cfg(feature = "snapshot")]
        shared.write_snapshot_soon();
        if let Some(backend) = &shared.backend {
            let backend = Arc::clone(backend);
            let shared_key = self.store.key_in_shared_store(&key);
            let told = shared.forgotten.told(key);
            shared.chores.begin(async move {
                // Should it fail, the next fetch for this customer tells it first.
                let _ = tell_log_out(&backend, &shared_key, told).await;
            });
        }
        was_there
    }

    /// Ends all tokens of a customer as [`forget`](Self::forget) does, and completes when neither the token backend nor a
    /// snapshot on disk that this cache writes holds one of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotConfirmed`], with the cause as its source, when the backend did not answer within a second or the
    /// snapshot could not be written. In the memory of this process the tokens have ended all the same.
    pub async fn forget_and_confirm(&self, customer: CustomerId) -> Result<bool, Error> {
        let was_there = self.forget(customer);
        let shared = &self.shared;
        let key = Key::new(self.store.number, customer, None, None);
        let backend = async {
            let Some(backend) = &shared.backend else {
                return Ok(());
            };
            let shared_key = self.store.key_in_shared_store(&key);
            tell_log_out(backend, &shared_key, shared.forgotten.told(key)).await
        };
        let backend = backend.await;
        // Also where the backend failed: each is told of by itself.
        #[cfg(feature = "snapshot")]
        shared.snapshot_is_clean().await.map_err(|error| {
            self.not_confirmed(
                "the customer is forgotten here, but the snapshot may still hold a token",
                Box::new(error),
            )
        })?;
        backend.map_err(|error| {
            self.not_confirmed(
                "the customer is forgotten here, but the token backend may still hold a token",
                Box::new(error),
            )
        })?;
        Ok(was_there)
    }

    fn not_confirmed(
        &self,
        summary: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    ) -> Error {
        self.error(ErrorKind::NotConfirmed, summary)
            .with_source(source)
            .retryable(true)
    }

    /// [`invalidate`](Self::invalidate) for a token that an API rejected. A token that has just replaced a rejected one is kept: the
    /// token is probably not the cause, and one part of an API that rejects all tokens must not take them from the others.
    /// Returns whether the token was invalidated, so that another one is worth a try.
    pub(crate) fn refused(&self, token: &ManagedToken) -> bool {
        let ManagedToken { entry, key } = token;
        let now = self.shared.clock.reading();
        let is_there = self
            .shared
            .cache
            .get(key)
            .is_some_and(|there| there.token() == entry.token());
        if is_there && self.shared.rejections.was_forced_lately(key, now) {
            tracing::debug!(
                "a token was refused that had just taken the place of a refused one, and is kept"
            );
            return false;
        }
        tracing::debug!("a token was refused, and another one is fetched");
        self.invalidate(token);
        true
    }

    /// Forgets the failures of this store and its customers, so that the next access tries at once: after something was put right
    /// that the cache cannot know of, such as the scope of an access token, or a customer who was activated.
    ///
    /// There is no need for it after the access token itself was replaced: a failure counts for the token that it happened with.
    /// The store's rate limit holds as before, and so does the limit of one mint a minute for a customer whose new token was
    /// rejected as well.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// let tokens = StorefrontTokens::builder().client(client).build();
    /// let unknown = CustomerId::new(999_999)?;
    /// assert_eq!(tokens.get(unknown).await.unwrap_err().remembered_for(), None);
    /// assert!(tokens.get(unknown).await.unwrap_err().remembered_for().is_some());
    ///
    /// tokens.forget_failures(); // the customer was created meanwhile
    /// assert_eq!(tokens.get(unknown).await.unwrap_err().remembered_for(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn forget_failures(&self) {
        self.shared.failures.forget_store(self.store.number);
        self.store.breaker.forget_failures();
    }

    /// Throws out what does not count any more and says how many tokens that were. It happens by itself every ten minutes, as
    /// long as tokens are fetched.
    pub fn sweep(&self) -> usize {
        self.shared.sweep()
    }

    /// What the cache has done and holds.
    #[must_use]
    pub fn metrics(&self) -> TokenMetrics {
        let shared = &self.shared;
        let backend = shared.backend.as_ref();
        let backend = backend.map(|backend| backend.metrics()).unwrap_or_default();
        TokenMetrics {
            shared_store_errors: backend.failed_calls,
            backend_outages: backend.outages,
            backend_is_down: backend.is_down,
            entries: shared.cache.len(),
            fetches_under_way: shared.flights.len(),
            failures: shared.failures.len(),
            rejections: shared.rejections.len(),
            ..shared.counters.read()
        }
    }

    /// Fetches nothing any more, gives up what has sent nothing, and waits for what has: what was paid for is kept. Tokens that
    /// are there are served until they are over; whoever waits for another one gets [`ErrorKind::ShutDown`].
    ///
    /// It takes no longer than a fetch may, also where one is on a runtime that is kept without being run. Where the cache keeps a
    /// snapshot (feature `snapshot`), the last one is written then, for which it waits 30 seconds at most.
    pub async fn shutdown(&self) {
        let longest = self.shared.settings.fetch_deadline.saturating_add(OVERDUE);
        let ends_at = Instant::now().checked_add(longest);
        let done = async {
            self.shared.flights.close().await;
            self.shared.chores.done().await;
        };
        let _ = in_time(ends_at, done).await;
        #[cfg(feature = "snapshot")]
        self.shared.close_snapshot().await;
    }

    // Inlined where the request is made, what it does not have costs nothing.
    #[inline]
    fn key(&self, request: &TokenRequest) -> Key {
        if request.channel.is_none() && request.customer_access_token.is_none() {
            return self.usual.of(request.customer);
        }
        self.unusual_key(request)
    }

    fn unusual_key(&self, request: &TokenRequest) -> Key {
        let channel = request.channel.or(self.store.client.default_channel());
        let fingerprint = request
            .customer_access_token
            .as_ref()
            .map(|token| self.shared.fingerprint(token));
        Key::new(self.store.number, request.customer, channel, fingerprint)
    }

    /// What happens nearly always: no wait, no allocation, a lock that readers share, two clocks, two comparisons.
    #[inline]
    fn hit(&self, key: Key) -> Option<ManagedToken> {
        let entry = self.shared.cache.get(&key)?;
        if !entry.is_fresh(self.shared.clock.reading()) {
            return None;
        }
        self.shared.counters.hits.one();
        Some(ManagedToken { entry, key })
    }

    fn error(&self, kind: ErrorKind, summary: &'static str) -> Error {
        Error::of_call(
            operations::POST_AUTH_CUSTOMERS_STOREFRONT.name,
            kind,
            summary,
        )
    }
}

/// Tells the token backend of a customer's log-out, unless it knows.
async fn tell_log_out(
    backend: &Backend,
    key: &StoreKey,
    told: Option<Arc<OnceCell<()>>>,
) -> Result<(), StoreError> {
    let Some(told) = told else {
        return Ok(());
    };
    let forget = || backend.ask_now(BACKGROUND_TIMEOUT, |store| store.forget(key));
    told.get_or_try_init(forget).await.map(drop)
}

impl Shared {
    /// The remembered failure that a mint for this key has to wait for: the customer's own, or the store's.
    async fn refusal(&self, store: &Store, key: &Key, ends_at: Option<Instant>) -> Option<Failure> {
        let now = self.clock.reading();
        if let Some(failure) = self.failures.of(key, now)
            && store.heeds(&failure, ends_at).await
        {
            return Some(failure);
        }
        let failure = store.breaker.refusal(&self.applicant(key, now), now)?;
        store.heeds(&failure, ends_at).await.then_some(failure)
    }

    fn applicant(&self, key: &Key, now: ClockReading) -> Applicant {
        Applicant {
            key: *key,
            has_failed: self.failures.blames(key, now),
        }
    }

    fn store_of(self: &Arc<Self>, client: Client<StoreAccess>) -> Arc<Store> {
        let (state, are_many) = self.stores.of(client.store_hash());
        if are_many {
            self.sweep_aside();
        }
        Arc::new(Store {
            client,
            state,
            access_token: CurrentAccessToken::default(),
        })
    }

    fn fingerprint(&self, token: &CustomerAccessToken) -> u64 {
        // The whole fleet has to know it by the same one. Should the backend fail, this process finds it again at least.
        let of_fleet = self.backend.as_ref();
        of_fleet
            .and_then(|backend| backend.fingerprint(token.value()))
            .map_or_else(
                || self.fingerprints.hash_one(token.value().expose_secret()),
                Fingerprint::get,
            )
    }

    /// Puts a token into the cache, and says what had to go for it. What is there afterwards may be a newer one; `None` when
    /// the token was rejected, or is older than one that was.
    fn keep(&self, key: Key, entry: Arc<Entry>, store: &Store) -> Option<Arc<Entry>> {
        let now = self.clock.reading();
        if !self.rejections.accept(&key, &entry, now) {
            return None;
        }
        let (there, evicted) = self.cache.insert_if_newer(key, &entry, now);
        for (_, gone) in &evicted {
            let is_live = gone.phase(now) != Phase::Over;
            if is_live {
                self.counters.evicted_live.one();
            } else {
                self.counters.evicted_expired.one();
            }
            if let Some(observer) = store.client.observer() {
                observer.on_token_eviction(&TokenEvictionEvent {
                    is_live,
                    remaining: gone.served_for(now),
                });
            }
        }
        if !self.rejections.replaced(&key, &entry, now) {
            // Rejected since the look above.
            self.cache.remove_up_to(&key, &entry);
            return None;
        }
        Some(there)
    }

    fn sweep(&self) -> usize {
        let now = self.clock.reading();
        let sweep = self.stores.begin_sweep(now);
        let (swept, mut remembered) = self.cache.sweep(now);
        remembered.extend(self.failures.stores(now));
        remembered.extend(self.rejections.stores(now));
        remembered.extend(self.forgotten.stores(now));
        self.stores.end_sweep(&sweep, &remembered, self.cache.len());
        self.counters.swept.add(swept);
        swept
    }

    /// Sweeps when it is time to.
    fn sweep_now_and_then(self: &Arc<Self>) {
        if self.cache.is_to_be_swept(self.clock.reading()) {
            self.sweep_aside();
        }
    }

    /// Sweeps where it holds up no task: a million entries take tens of milliseconds.
    fn sweep_aside(self: &Arc<Self>) {
        match Handle::try_current() {
            Ok(runtime) => {
                let shared = Arc::clone(self);
                drop(runtime.spawn_blocking(move || shared.sweep()));
            }
            Err(_) => drop(self.sweep()),
        }
    }
}

impl fmt::Debug for StorefrontTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorefrontTokens")
            .field("store_hash", self.store.client.store_hash())
            .field("entries", &self.shared.cache.len())
            .field("fetches_under_way", &self.shared.flights.len())
            .finish_non_exhaustive()
    }
}
