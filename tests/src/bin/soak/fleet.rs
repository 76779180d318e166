//! The caches of the run: each a process of its own as far as the SDK can tell, with a client, a runtime, and a token backend or
//! a snapshot. What the SDK offers and what it is set to stands here alone.

use std::{
    collections::HashMap,
    error::Error as StdError,
    future,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, Client, CustomerEpoch, CustomerId, Fingerprint, Judgement, Lease,
    LeaseOwner, LocalBudgets, MemoryTokenStore, Put, RequestBudgets, ResponseJudge, RetryBudget,
    RetryPolicy, RotatingSecret, Secret, Snapshot, SnapshotKey, StoreAccess, StoreError,
    StoreFuture, StoreHash, StoreKey, StoredToken, StorefrontApi, StorefrontTokens, TokenStore,
};
use fastrand::Rng;
use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};

use crate::{
    faults::Fault,
    service::{
        DIRECT, LEGACY, LONGEST_429, LONGEST_FETCH, SHOPS, Service, Who, credentials, store_hash,
    },
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn StdError + Send + Sync>>;

/// How long an attempt may take.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a caller waits.
const PATIENCE: Duration = Duration::from_secs(15);

/// What the rate limiter of all processes keeps to.
fn limit() -> BudgetLimit {
    BudgetLimit::default().max_retry_after(LONGEST_429)
}

/// How many processes a fleet has, in the order of the slots. The processes of a fleet share a token backend; one that is alone
/// has a snapshot instead.
pub(crate) const FLEETS: [usize; 2] = [2, 1];

/// What all processes share.
pub(crate) struct World {
    pub(crate) service: Arc<Service>,
    address: SocketAddr,
    limits: Arc<LocalBudgets>,
    secrets: Vec<RotatingSecret>,
    backends: Vec<MemoryTokenStore>,
    pub(crate) plan: Arc<BackendPlan>,
    folder: PathBuf,
    slots: Vec<RwLock<Arc<Cache>>>,
    next_process: AtomicU32,
}

/// One process: a cache with its client.
pub(crate) struct Cache {
    pub(crate) process: u32,
    pub(crate) fleet: usize,
    pub(crate) client: Client,
    /// The cache for each store.
    pub(crate) tokens: Vec<StorefrontTokens>,
    /// The storefront API of each store.
    pub(crate) apis: Vec<StorefrontApi>,
    runtime: Mutex<Option<Runtime>>,
}

impl World {
    /// The processes, all of them started.
    pub(crate) fn new(
        service: Arc<Service>,
        address: SocketAddr,
        folder: PathBuf,
        seed: u64,
    ) -> Result<Self> {
        let secrets = (0..SHOPS.len()).map(|store| RotatingSecret::new(credentials(store, 0)));
        let mut world = Self {
            plan: Arc::new(BackendPlan::new(Arc::clone(&service), seed)),
            service,
            address,
            limits: Arc::new(LocalBudgets::new(limit())),
            secrets: secrets.collect(),
            backends: FLEETS.iter().map(|_| MemoryTokenStore::new()).collect(),
            folder,
            slots: Vec::new(),
            next_process: AtomicU32::new(DIRECT + 1),
        };
        for (fleet, processes) in FLEETS.into_iter().enumerate() {
            for _ in 0..processes {
                let cache = world.begin(fleet)?;
                world.slots.push(RwLock::new(Arc::new(cache)));
            }
        }
        Ok(world)
    }

    /// The number of processes.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The process in a slot, as it is now.
    pub(crate) fn cache(&self, slot: usize) -> Option<Arc<Cache>> {
        let slot = self.slots.get(slot)?;
        let cache = slot.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&cache))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token backend of a fleet.
    pub(crate) fn backend(&self, fleet: usize) -> Option<&MemoryTokenStore> {
        self.backends.get(fleet)
    }

    /// A client of a process. All of them have one rate limiter, as a fleet has through Redis.
    pub(crate) fn client(&self, process: u32) -> Result<Client> {
        let builder = Client::builder()
            .credentials(self.access(0)?)
            .base_url(self.url())
            .user_agent_suffix(format!("soak-{process}/1.0"))
            .budgets(Arc::clone(&self.limits) as Arc<dyn RequestBudgets>)
            .budget_limit(limit())
            .retry(
                RetryPolicy::builder()
                    .total_time(Duration::from_secs(12))
                    .build(),
            )
            .retry_budget(RetryBudget::of(10_000))
            .attempt_timeout(ATTEMPT_TIMEOUT)
            .deadline(LONGEST_FETCH);
        Ok(builder.build()?)
    }

    /// The credentials of a store, which are replaced now and then.
    pub(crate) fn access(&self, store: usize) -> Result<StoreAccess> {
        let secret = self.secrets.get(store).ok_or("no such store")?;
        Ok(StoreAccess::from_provider(
            store_hash(store),
            secret.clone(),
        )?)
    }

    /// Replaces the credentials of a store, at the service first and for the SDK when the returned future is awaited.
    pub(crate) async fn rotate(&self, store: usize, apart: Duration) {
        self.service.inject(Fault::OldCredentials);
        let new = self.service.rotate(store);
        tokio::time::sleep(apart).await;
        if let Some(secret) = self.secrets.get(store) {
            secret.set(new);
        }
        self.service.rotated(store);
    }

    fn begin(&self, fleet: usize) -> Result<Cache> {
        let process = self.next_process.fetch_add(1, Ordering::Relaxed);
        self.service.process_began(process, fleet);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("process-{process}"))
            .enable_all()
            .build()?;
        let client = self.client(process)?;
        let has_backend = FLEETS.get(fleet).is_some_and(|processes| *processes > 1);
        let backend = self.backend(fleet).filter(|_| has_backend).map(|inner| {
            Arc::new(Backend {
                process,
                inner: inner.clone(),
                plan: Arc::clone(&self.plan),
            }) as Arc<dyn TokenStore>
        });
        let path = self.folder.join(format!("fleet-{fleet}.snapshot"));
        let snapshot = Snapshot::new(path, SnapshotKey::from([7; 32])).every(SNAPSHOT_EVERY);
        let first = StorefrontTokens::builder()
            .client(client.clone())
            .maybe_shared_store(backend)
            .wait_at_most(PATIENCE)
            .runtime(runtime.handle().clone())
            .maybe_snapshot((!has_backend).then_some(snapshot))
            .build();
        let mut tokens = Vec::new();
        let mut apis = Vec::new();
        for store in 0..SHOPS.len() {
            let of_store = first.for_store(client.for_store(self.access(store)?));
            let api = StorefrontApi::builder()
                .tokens(of_store.clone())
                .base_url(self.url())
                .graphql_path(format!("/shop/{}/graphql", store_hash(store)))
                .user_agent_suffix(format!("soak-{process}/1.0"))
                .judge_responses_by(rejects_by_419())
                .build()?;
            tokens.push(of_store);
            apis.push(api);
        }
        Ok(Cache {
            process,
            fleet,
            client,
            tokens,
            apis,
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// Ends the process in a slot and starts its successor, which restores the snapshot if the slot has one.
    ///
    /// A process that is killed loses its runtime without a word, with all that was in flight.
    pub(crate) async fn restart(&self, slot: usize, is_killed: bool) -> Result<()> {
        let Some(old) = self.cache(slot) else {
            return Ok(());
        };
        let has_snapshot = FLEETS
            .get(old.fleet)
            .is_some_and(|processes| *processes == 1);
        self.service.process_ends(old.process);
        if is_killed {
            self.service.inject(Fault::ProcessIsKilled);
        } else {
            self.service.inject(Fault::ProcessRestarts);
            if let Some(tokens) = old.tokens.first() {
                tokens.shutdown().await;
            }
        }
        let ended_at = Instant::now();
        old.kill();
        let new = Arc::new(self.begin(old.fleet)?);
        if has_snapshot {
            // What the last snapshot before a kill could not know, its successor does not know.
            let known_until = if is_killed {
                ended_at
                    .checked_sub(2 * SNAPSHOT_EVERY)
                    .unwrap_or(self.service.began)
            } else {
                ended_at
            };
            self.service.inherits(old.process, new.process, known_until);
            if let Some(tokens) = new.tokens.first() {
                tokens.restore().await;
            }
        }
        if let Some(slot) = self.slots.get(slot) {
            *slot.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    /// Ends all processes.
    pub(crate) fn end(&self) {
        for slot in 0..self.len() {
            if let Some(cache) = self.cache(slot) {
                self.service.process_ends(cache.process);
                cache.kill();
            }
        }
    }
}

/// How often a snapshot is written.
pub(crate) const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);

impl Cache {
    fn kill(&self) {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The rule of an API that rejects tokens by 419 as well.
fn rejects_by_419() -> ResponseJudge {
    ResponseJudge::new(|response| match response.status.as_u16() {
        419 => Judgement::TokenRejected,
        _ => Judgement::NoOpinion,
    })
}

/// A client that creates server tokens.
pub(crate) fn creator(world: &World) -> Result<Client<StoreHash>> {
    Ok(world
        .client(DIRECT)?
        .for_store(StoreHash::new(store_hash(LEGACY))?))
}

/// One try within three seconds, for calls that nobody has to wait for.
pub(crate) fn hurried() -> CallOptions {
    CallOptions::builder()
        .deadline(Duration::from_secs(8))
        .build()
}

/// When the token backend misbehaves.
pub(crate) struct BackendPlan {
    service: Arc<Service>,
    random: Mutex<Rng>,
    down: Mutex<Option<(Instant, Trouble)>>,
}

/// How a call of the token backend fails.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Hangs,
    Fails,
    Panics,
    PanicsAtOnce,
}

const TROUBLES: [Trouble; 4] = [
    Trouble::Hangs,
    Trouble::Fails,
    Trouble::Panics,
    Trouble::PanicsAtOnce,
];

/// What the panics that are injected say.
pub(crate) const INJECTED_PANIC: &str = "the soak's token backend panics";

impl BackendPlan {
    fn new(service: Arc<Service>, seed: u64) -> Self {
        Self {
            service,
            random: Mutex::new(Rng::with_seed(seed ^ 0xbac_e2d)),
            down: Mutex::new(None),
        }
    }

    /// All calls fail for so long, in one way.
    pub(crate) fn go_down(&self, length: Duration) {
        self.service.inject(Fault::BackendIsDown);
        let until = Instant::now() + length;
        let trouble = self.draw();
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = Some((until, trouble));
    }

    fn draw(&self) -> Trouble {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.choice(TROUBLES).unwrap_or(Trouble::Fails)
    }

    /// What is wrong with the next call.
    fn next(&self, process: u32) -> Option<Trouble> {
        let down = *self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = match down {
            Some((until, trouble)) if Instant::now() < until => Some(trouble),
            _ => {
                let is_drawn = {
                    let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                    random.u32(..100) == 0
                };
                is_drawn.then(|| self.draw())
            }
        }?;
        self.service.inject(match trouble {
            Trouble::Hangs => Fault::BackendHangs,
            Trouble::Fails => Fault::BackendFails,
            Trouble::Panics | Trouble::PanicsAtOnce => Fault::BackendPanics,
        });
        self.service.backend_failed(process);
        Some(trouble)
    }
}

/// The token backend as one process sees it.
#[derive(Clone)]
struct Backend {
    process: u32,
    inner: MemoryTokenStore,
    plan: Arc<BackendPlan>,
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}

impl Backend {
    /// The answer of the backend, unless something is wrong with it.
    #[expect(clippy::panic, reason = "a panic is one of the faults")]
    fn answer<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        match self.plan.next(self.process) {
            None => answer,
            Some(Trouble::Hangs) => future::pending().boxed(),
            Some(Trouble::Fails) => {
                future::ready(Err(StoreError::new("injected by the soak"))).boxed()
            }
            Some(Trouble::Panics) => async { panic!("{INJECTED_PANIC}") }.boxed(),
            Some(Trouble::PanicsAtOnce) => panic!("{INJECTED_PANIC}"),
        }
    }

    fn who(&self, key: &StoreKey) -> Option<Who> {
        Some(Who {
            process: self.process,
            store: key.store_hash.as_str().strip_prefix("soak")?.parse().ok()?,
            customer: key.customer.get().try_into().ok()?,
            access_token: 0,
        })
    }
}

impl TokenStore for Backend {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        let answer = self.inner.load(key);
        self.answer(Box::pin(async move {
            let answer = answer.await;
            if let (Ok(Some(_)), Some(who)) = (&answer, self.who(key)) {
                self.plan.service.lease_answered(who, false);
            }
            answer
        }))
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        self.answer(self.inner.put_if_newer(key, token, epoch))
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        self.answer(self.inner.epoch(key))
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        self.answer(self.inner.forget(key))
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        self.answer(self.inner.reject(key, token))
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        let answer = self.inner.lease(key, length);
        self.answer(Box::pin(async move {
            let answer = answer.await;
            if let (Ok(lease), Some(who)) = (&answer, self.who(key)) {
                let is_held = matches!(lease, Lease::Held);
                self.plan.service.lease_answered(who, is_held);
            }
            answer
        }))
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        self.answer(self.inner.release(key, owner))
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.inner.fingerprint(customer_access_token)
    }
}

/// The key of a customer in the token backend.
pub(crate) fn backend_key(store: usize, customer: u64) -> Result<StoreKey> {
    Ok(StoreKey::new(
        StoreHash::new(store_hash(store))?,
        CustomerId::new(customer)?,
    ))
}

/// How often the token backend of each process failed or was too late, as its cache counts it.
pub(crate) fn backend_errors(world: &World) -> HashMap<u32, u64> {
    (0..world.len())
        .filter_map(|slot| {
            let cache = world.cache(slot)?;
            let errors = cache.tokens.first()?.metrics().shared_store_errors;
            Some((cache.process, errors))
        })
        .collect()
}
