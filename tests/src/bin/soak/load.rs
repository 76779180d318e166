//! What the callers do: thousands of accesses, log-outs, direct mints, server tokens, and the planned events besides.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error as _,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bigcommerce_b2b_auth::{
    Answer, CallError, Client, CustomerAccessToken, CustomerId, Error, ErrorKind, LegacyAuthToken,
    ManagedToken, ServerTokenId, StoreAccess, StorefrontToken, TokenRequest, TokenStore as _,
    reqwest,
};
use fastrand::Rng;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    canary,
    faults::Fault,
    fleet::{self, Cache, World, backend_key, hurried},
    invariants::{Findings, Invariant},
    service::{
        DIRECT, FORBIDDEN, Failure, JOB, REJECTED, SHOPS, Service, StoreKind, Who, hash,
        session_jwt, store_hash, unix_now,
    },
};

/// Customers of a store at the end of a long run.
const CUSTOMERS: u64 = 300;
/// Customers of a store at the beginning.
const FIRST_CUSTOMERS: u64 = 15;
/// How many more there are after each second.
const MORE_A_SECOND: f64 = 0.6;

/// Callers for each store in each process.
const CALLERS: usize = 4;
/// The same for the store whose demand is more than its rate limit.
const CALLERS_OF_THE_BUSY: usize = 8;

/// From this many requests in a minute on, callers of the other stores ask only for tokens that are there.
const ENOUGH: usize = 95;

/// No access may take longer.
const LONGEST_ACCESS: Duration = Duration::from_secs(60);

/// The customer whose token is rejected while many use it.
const IN_A_BURST: u64 = 700;
/// The first customer whose lease a dead process holds.
const OF_DEAD_LEASES: u64 = 800;
/// For how long a dead process holds a lease: with the margin of the SDK's own.
const DEAD_LEASE: Duration = Duration::from_secs(30);
/// How long the customer of a dead lease holder may have to wait for it.
const LONGEST_WAIT_FOR_THE_DEAD: Duration = Duration::from_secs(8);

/// Counts of accesses: by what was done, and by how it went.
pub(crate) type Accesses = BTreeMap<(&'static str, String), u64>;

/// The load.
pub(crate) struct Load {
    pub(crate) world: Arc<World>,
    pub(crate) findings: Arc<Findings>,
    ends_at: Instant,
    is_over: AtomicBool,
    accesses: Mutex<Accesses>,
    /// When something that is rare may happen next.
    next: Mutex<HashMap<(&'static str, usize), Instant>>,
}

impl Load {
    pub(crate) fn new(world: Arc<World>, findings: Arc<Findings>, total: Duration) -> Arc<Self> {
        Arc::new(Self {
            world,
            findings,
            ends_at: Instant::now() + total,
            is_over: AtomicBool::new(false),
            accesses: Mutex::default(),
            next: Mutex::default(),
        })
    }

    fn service(&self) -> &Service {
        &self.world.service
    }

    pub(crate) fn accesses(&self) -> Accesses {
        self.lock_accesses().clone()
    }

    fn lock_accesses(&self) -> MutexGuard<'_, Accesses> {
        self.accesses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed) || Instant::now() >= self.ends_at
    }

    /// Waits, but not past the end. `false` when the run is over.
    async fn wait(&self, duration: Duration) -> bool {
        let left = self.ends_at.saturating_duration_since(Instant::now());
        tokio::time::sleep(duration.min(left)).await;
        !self.is_over()
    }

    fn count(&self, what: &'static str, how: impl Into<String>) {
        *self.lock_accesses().entry((what, how.into())).or_default() += 1;
    }

    /// Whether something rare may happen now; not again before `every` is over.
    fn may(&self, what: &'static str, store: usize, every: Duration) -> bool {
        let now = Instant::now();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let next = next.entry((what, store)).or_insert(now);
        let is_due = *next <= now;
        if is_due {
            *next = now + every;
        }
        is_due
    }

    fn customers(&self) -> u64 {
        let seconds = self.service().began.elapsed().as_secs_f64();
        let more = (seconds * MORE_A_SECOND).min(CUSTOMERS as f64);
        (FIRST_CUSTOMERS + more as u64).min(CUSTOMERS)
    }

    /// Runs everything until the time is over.
    pub(crate) async fn run(self: &Arc<Self>, seed: u64) {
        let mut tasks = JoinSet::new();
        let mut seeds = Rng::with_seed(seed);
        for slot in 0..self.world.len() {
            for (store, kind) in SHOPS.into_iter().enumerate() {
                let callers = if kind == StoreKind::Busy {
                    CALLERS_OF_THE_BUSY
                } else {
                    CALLERS
                };
                for _ in 0..callers {
                    let random = Rng::with_seed(seeds.u64(..));
                    tasks.spawn(Arc::clone(self).call_for_customers(slot, store, random));
                }
                tasks.spawn(Arc::clone(self).reload_for_the_forbidden(slot, store));
            }
            tasks.spawn(Arc::clone(self).use_rejected_tokens(slot));
        }
        for store in 0..SHOPS.len() {
            let random = Rng::with_seed(seeds.u64(..));
            tasks.spawn(Arc::clone(self).mint_directly(store, random));
        }
        tasks.spawn(Arc::clone(self).create_and_delete());
        tasks.spawn(Arc::clone(self).use_many_stores());
        tasks.spawn(Arc::clone(self).reject_in_a_burst());
        tasks.spawn(Arc::clone(self).leave_leases_behind());
        tasks.spawn(Arc::clone(self).replace_credentials());
        tasks.spawn(Arc::clone(self).begin_outages());
        tasks.spawn(Arc::clone(self).break_the_backend());
        tasks.spawn(Arc::clone(self).restart_processes(seeds.u64(..)));
        tasks.spawn(Arc::clone(self).watch_backends());
        // A task that panics is counted by the panic hook.
        while tasks.join_next().await.is_some() {}
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// The callers of one store in one process.
    async fn call_for_customers(self: Arc<Self>, slot: usize, store: usize, mut random: Rng) {
        let is_regulated = SHOPS.get(store) != Some(&StoreKind::Busy);
        loop {
            if !self.wait(Duration::from_millis(random.u64(5..60))).await {
                return;
            }
            let Some(cache) = self.world.cache(slot) else {
                return;
            };
            // Some come often, and most seldom.
            let share = random.f64();
            let place = (self.customers() as f64 * share * share) as u64;
            let customer = place + 1;
            let is_enough = is_regulated && self.service().requests_in_a_minute(store) >= ENOUGH;
            let access = Access::new(&self, &cache, store, customer);
            match random.u32(..100) {
                _ if is_enough => access.look(),
                ..50 => access.get().await,
                50..65 => access.send(false).await,
                65..75 => access.graphql().await,
                75..85 => access.call(random.bool()).await,
                85..91 => access.get_for_long().await,
                91..95 => access.look(),
                95..97 if self.may("forget", store, Duration::from_secs(8)) => access.forget(),
                97..99 if self.may("access token", store, Duration::from_secs(10)) => {
                    access.get_with_access_token(&mut random).await;
                }
                _ => access.get().await,
            }
        }
    }

    /// A customer whom the service does not serve, and who reloads all the time.
    async fn reload_for_the_forbidden(self: Arc<Self>, slot: usize, store: usize) {
        while self.wait(Duration::from_millis(250)).await {
            let Some(cache) = self.world.cache(slot) else {
                return;
            };
            Access::new(&self, &cache, store, FORBIDDEN).get().await;
        }
    }

    /// A customer whose tokens are all rejected, and who tries all the time.
    async fn use_rejected_tokens(self: Arc<Self>, slot: usize) {
        let store = 0;
        let mut known: Option<(u32, Instant)> = None;
        while self.wait(Duration::from_millis(400)).await {
            let Some(cache) = self.world.cache(slot) else {
                return;
            };
            if known.is_none_or(|(process, _)| process != cache.process) {
                known = Some((cache.process, Instant::now()));
            }
            let access = Access::new(&self, &cache, store, REJECTED);
            access.send(false).await;
            let Some((_, since)) = known else { continue };
            self.findings.checked(Invariant::OneForcedMintPerMinute);
            let mints = self.service().good_mints(&access.who());
            let minutes = since.elapsed().as_secs() / 60;
            if mints > minutes + 2 {
                self.findings
                    .violated(Invariant::OneForcedMintPerMinute, || {
                        format!(
                            "process {}: {mints} mints in {} s",
                            cache.process,
                            since.elapsed().as_secs()
                        )
                    });
            }
        }
    }

    /// Mints and exchanges without the cache, and puts what comes into it.
    async fn mint_directly(self: Arc<Self>, store: usize, mut random: Rng) {
        let Ok(client) = self.world.client(DIRECT) else {
            return;
        };
        while self
            .wait(Duration::from_millis(random.u64(4_000..9_000)))
            .await
        {
            // A client that is built for one call.
            let Some(client) = self.of_store(&client, store) else {
                return;
            };
            let customer = random.u64(1..=self.customers());
            let who = Who {
                process: DIRECT,
                store,
                customer,
                access_token: 0,
            };
            let Ok(id) = CustomerId::new(customer) else {
                continue;
            };
            let is_exchange = random.bool();
            let started = Instant::now();
            let minted = if is_exchange {
                let jwt = session_jwt(customer, &mut random);
                let call = client.exchange_session_jwt(jwt).options(hurried());
                call.send().await
            } else {
                let call = client.mint_storefront_token(id).options(hurried());
                call.send().await
            };
            let what = if is_exchange {
                "direct exchange"
            } else {
                "direct mint"
            };
            match minted {
                Ok(minted) => {
                    self.count(what, "ok");
                    let token = minted.into_value();
                    self.put(store, customer, &token, is_exchange, started, &mut random)
                        .await;
                }
                Err(error) => self.failed(what, who, &error, started),
            }
        }
    }

    fn of_store(&self, client: &Client, store: usize) -> Option<Client> {
        Some(client.for_store(self.world.access(store).ok()?))
    }

    /// Puts a token under its customer, and tries to put it under another one.
    ///
    /// An exchange names no customer that the SDK knows of, so that a token of another customer is found out when it is put.
    async fn put(
        &self,
        store: usize,
        customer: u64,
        token: &StorefrontToken,
        is_exchange: bool,
        started: Instant,
        random: &mut Rng,
    ) {
        let who = Who {
            process: DIRECT,
            store,
            customer,
            access_token: 0,
        };
        let text = token.secret().expose_secret();
        let named = token.claims().and_then(|claims| claims.customer_id);
        let is_foreign = named.is_some_and(|named| u64::try_from(named) != Ok(customer));
        let is_to_be_refused = is_exchange && is_foreign;
        if !is_to_be_refused && !token.is_expired_at(SystemTime::now()) {
            self.service().check_token(who, text, started);
        }
        let Some(cache) = self.world.cache(random.usize(..self.world.len())) else {
            return;
        };
        let Some(tokens) = cache.tokens.get(store) else {
            return;
        };
        let (Ok(right), Ok(wrong)) = (CustomerId::new(customer), CustomerId::new(customer + 450))
        else {
            return;
        };
        if is_foreign {
            self.findings.checked(Invariant::PutOfAnother);
            match tokens.put(right, token) {
                Ok(_) => self.findings.violated(Invariant::PutOfAnother, || {
                    format!("an exchanged token of another customer for customer {customer}")
                }),
                Err(error) => {
                    canary::search_error(&error, &self.findings);
                    self.count(
                        "put of an exchanged token of another",
                        format!("refused: {:?}", error.kind()),
                    );
                }
            }
            return;
        }
        if named.is_some() {
            self.findings.checked(Invariant::PutOfAnother);
            if tokens.put(wrong, token).is_ok() {
                self.findings.violated(Invariant::PutOfAnother, || {
                    format!("a token of customer {customer} for customer {wrong}")
                });
                tokens.forget(wrong);
            }
        }
        self.service().puts(text);
        match tokens.put(right, token) {
            Ok(_) => self.count("put", "ok"),
            Err(error) => {
                canary::search_error(&error, &self.findings);
                self.count("put", format!("refused: {:?}", error.kind()));
            }
        }
    }

    /// Creates and deletes server tokens.
    #[expect(deprecated, reason = "deprecated by the vendor, and supported")]
    async fn create_and_delete(self: Arc<Self>) {
        let Ok(creator) = fleet::creator(&self.world) else {
            return;
        };
        let secret = canary::secret(&mut Rng::new());
        let deleter = LegacyAuthToken::new(secret)
            .ok()
            .and_then(|token| Some(self.world.client(DIRECT).ok()?.for_store(token)));
        let Some(deleter) = deleter else { return };
        let mut number = 0;
        while self.wait(Duration::from_millis(1_200)).await {
            number += 1;
            let name = format!("export-{number}");
            let created = creator
                .create_server_token()
                .email("admin@example.com")
                .password(format!("{}-password", canary::NEEDLE))
                .name(&name)
                .options(hurried())
                .send()
                .await;
            let applied = self.service().created(&name);
            self.findings.checked(Invariant::OneServerToken);
            if applied > 1 {
                self.findings.violated(Invariant::OneServerToken, || {
                    format!("{applied} tokens of one call")
                });
            }
            match created {
                Ok(_) => self.count("create", "ok"),
                Err(error) => {
                    let text = canary::search_error(&error, &self.findings);
                    self.count("create", format!("failed: {:?}", error.kind()));
                    self.findings.checked(Invariant::AppliedIsSaid);
                    if applied > 0 && !error.may_have_been_applied() {
                        self.findings.violated(Invariant::AppliedIsSaid, || text);
                    }
                }
            }
            let Some(id) = self.service().server_token(&name) else {
                continue;
            };
            let Ok(number) = ServerTokenId::new(id) else {
                continue;
            };
            let deleted = deleter
                .delete_server_token(number)
                .options(hurried())
                .send()
                .await;
            match deleted {
                Ok(_) => {
                    self.count("delete", "ok");
                    self.findings.checked(Invariant::DeletionIsTrue);
                    if self.service().server_token_exists(id) {
                        self.findings.violated(Invariant::DeletionIsTrue, || {
                            format!("server token {id} is still there")
                        });
                    }
                }
                Err(error) => {
                    canary::search_error(&error, &self.findings);
                    self.count("delete", format!("failed: {:?}", error.kind()));
                }
            }
        }
    }

    /// Handles on many stores, most of them for nothing.
    async fn use_many_stores(self: Arc<Self>) {
        let mut number = 0_u64;
        while self.wait(Duration::from_millis(20)).await {
            let Some(cache) = self.world.cache(self.world.len() - 1) else {
                return;
            };
            let Some(tokens) = cache.tokens.first() else {
                return;
            };
            for _ in 0..10 {
                number += 1;
                let access =
                    StoreAccess::new(format!("tiny-{number}"), format!("{}-tiny", canary::NEEDLE));
                let Ok(access) = access else { return };
                let client = cache.client.for_store(access);
                let of_store = tokens.for_store(client);
                if number.is_multiple_of(100)
                    && let Ok(customer) = CustomerId::new(1)
                {
                    let how = match of_store.get(customer).await {
                        Ok(_) => "ok".to_owned(),
                        Err(error) => format!("failed: {:?}", error.kind()),
                    };
                    self.count("store used once", how);
                }
                self.count("store handle", "made");
            }
        }
    }

    /// Rejects a token while many use it, with rejections that arrive late.
    async fn reject_in_a_burst(self: Arc<Self>) {
        let store = 0;
        let slot = self.world.len() - 1;
        if !self.wait(self.service().period(5)).await {
            return;
        }
        loop {
            self.burst(slot, store).await;
            // A token that takes the place of a rejected one is not replaced within a minute.
            if !self.wait(Duration::from_secs(75)).await {
                return;
            }
        }
    }

    async fn burst(self: &Arc<Self>, slot: usize, store: usize) {
        let Some(cache) = self.world.cache(slot) else {
            return;
        };
        let access = Access::new(self, &cache, store, IN_A_BURST);
        let Some(token) = access.token().await else {
            return;
        };
        let before = self.service().good_mints(&access.who());
        self.service().reject(token.expose_secret());
        let mut calls = JoinSet::new();
        for _ in 0..12 {
            let (load, cache) = (Arc::clone(self), Arc::clone(&cache));
            calls.spawn(async move {
                Access::new(&load, &cache, store, IN_A_BURST)
                    .send(true)
                    .await;
            });
        }
        while calls.join_next().await.is_some() {}
        tokio::time::sleep(Duration::from_millis(500)).await;
        let is_same = self
            .world
            .cache(slot)
            .is_some_and(|now| now.process == cache.process);
        if !is_same {
            return;
        }
        self.findings.checked(Invariant::OneMintPerRejection);
        let mints = self.service().good_mints(&access.who()) - before;
        if mints > 1 {
            self.findings.violated(Invariant::OneMintPerRejection, || {
                format!("{mints} mints in process {}", cache.process)
            });
        }
    }

    /// Takes leases as a process does that dies before it mints.
    async fn leave_leases_behind(self: Arc<Self>) {
        let (store, fleet) = (0, 0);
        let mut customer = OF_DEAD_LEASES;
        while self.wait(self.service().period(9)).await {
            customer += 1;
            let (Some(backend), Ok(key)) =
                (self.world.backend(fleet), backend_key(store, customer))
            else {
                return;
            };
            if backend.lease(&key, DEAD_LEASE).await.is_err() {
                continue;
            }
            self.service().inject(Fault::LeaseOfADeadProcess);
            let mut calls = JoinSet::new();
            for slot in 0..2 {
                let load = Arc::clone(&self);
                calls.spawn(async move {
                    let Some(cache) = load.world.cache(slot) else {
                        return;
                    };
                    let access = Access::new(&load, &cache, store, customer);
                    access.get().await;
                    // The wait for the holder alone: a permit and faults of the own mint come after it.
                    let took = load.service().waited_for_lease(&access.who());
                    load.findings.checked(Invariant::LeaseOfADeadProcess);
                    if took > LONGEST_WAIT_FOR_THE_DEAD {
                        load.findings.violated(Invariant::LeaseOfADeadProcess, || {
                            format!(
                                "process {} waited {took:.1?} from {} on",
                                cache.process,
                                load.service().at(access.started)
                            )
                        });
                    }
                });
            }
            while calls.join_next().await.is_some() {}
        }
    }

    /// Replaces the credentials of two stores now and then.
    async fn replace_credentials(self: Arc<Self>) {
        let mut random = Rng::with_seed(3);
        let mut turn = 0;
        while self.wait(self.service().period(25)).await {
            let store = if turn % 2 == 0 { 0 } else { 3 };
            turn += 1;
            let apart = Duration::from_millis(random.u64(500..2_000));
            self.world.rotate(store, apart).await;
        }
    }

    /// Outages of a store.
    async fn begin_outages(self: Arc<Self>) {
        let store = 3;
        while self.wait(self.service().period(40)).await {
            let length = self.service().period(15) / 3;
            self.service().begin_outage(store, length);
        }
    }

    /// The token backend goes down now and then.
    async fn break_the_backend(self: Arc<Self>) {
        while self.wait(self.service().period(30)).await {
            self.world.plan.go_down(self.service().period(12) / 3);
        }
    }

    /// Kills processes, and restarts the one with a snapshot.
    async fn restart_processes(self: Arc<Self>, seed: u64) {
        let mut random = Rng::with_seed(seed);
        let alone = self.world.len() - 1;
        while self.wait(self.service().period(20)).await {
            let (slot, is_killed) = match random.u32(..4) {
                0 => (1, true),
                1 => (alone, true),
                _ => (alone, false),
            };
            if let Err(error) = self.world.restart(slot, is_killed).await {
                self.count("restart", format!("failed: {error}"));
            }
        }
    }

    /// Notes which process has had trouble with its token backend, and judges what waits for that.
    async fn watch_backends(self: Arc<Self>) {
        let mut known = HashMap::new();
        while self.wait(Duration::from_millis(200)).await {
            let now = fleet::backend_errors(&self.world);
            for (process, errors) in &now {
                if known.get(process).is_some_and(|known| known < errors) {
                    self.service().backend_failed(*process);
                }
            }
            known = now;
            self.service().tidy();
        }
    }

    /// Counts an access that failed, and looks for what explains it.
    fn failed(&self, what: &'static str, who: Who, error: &Error, started: Instant) {
        let ended = Instant::now();
        let text = canary::search_error(error, &self.findings);
        // A call of the data API says what kept it from another token by its source.
        let mut root = error;
        while let Some(source) = root.source().and_then(|it| it.downcast_ref::<Error>()) {
            root = source;
        }
        let mut failure = Failure {
            kind: root.kind(),
            remembered_for: root.remembered_for(),
            text,
        };
        if failure.kind == ErrorKind::RateLimited
            && let Ok(client) = self.world.client(who.process)
            && let Some(client) = self.of_store(&client, who.store)
        {
            failure.text = format!("no permit in time [{:?}]", client.budget());
        }
        self.refused(what, who, &failure, started, ended);
    }

    fn refused(
        &self,
        what: &'static str,
        who: Who,
        failure: &Failure,
        started: Instant,
        ended: Instant,
    ) {
        self.findings.checked(Invariant::OnlyTheGuilty);
        match self.service().explain(who, failure, started, ended) {
            Ok(reason) => self.count(what, format!("refused: {reason}")),
            Err(met) => {
                self.count(what, "refused without a reason");
                let kind = format!("{:?} in {}", failure.kind, store_hash(who.store));
                self.findings
                    .violated_by(Invariant::OnlyTheGuilty, &kind, || {
                        format!(
                            "{what}, process {}, customer {} at {} to {}: {} (own requests: {})",
                            who.process,
                            who.customer,
                            self.service().at(started),
                            self.service().at(ended),
                            failure.text,
                            met
                        )
                    });
            }
        }
    }
}

/// One access of one customer.
struct Access<'l> {
    load: &'l Load,
    cache: &'l Cache,
    store: usize,
    customer: u64,
    started: Instant,
}

impl<'l> Access<'l> {
    fn new(load: &'l Load, cache: &'l Cache, store: usize, customer: u64) -> Self {
        Self {
            load,
            cache,
            store,
            customer,
            started: Instant::now(),
        }
    }

    fn who(&self) -> Who {
        Who {
            process: self.cache.process,
            store: self.store,
            customer: self.customer,
            access_token: 0,
        }
    }

    fn id(&self) -> Option<CustomerId> {
        CustomerId::new(self.customer).ok()
    }

    /// What the data API is told of the caller.
    fn stated(&self, is_late: bool) -> String {
        let since = self
            .started
            .saturating_duration_since(self.load.service().began);
        let late = if is_late { ",late" } else { "" };
        format!("{},{}{late}", self.customer, since.as_micros())
    }

    /// Waits for an access, which has to end.
    async fn ends<T>(&self, what: &'static str, access: impl Future<Output = T>) -> Option<T> {
        self.load.findings.checked(Invariant::EveryAccessEnds);
        match tokio::time::timeout(LONGEST_ACCESS, access).await {
            Ok(done) => Some(done),
            Err(_) => {
                self.load.findings.violated(Invariant::EveryAccessEnds, || {
                    format!(
                        "{what}, customer {} of {}, begun at {}",
                        self.customer,
                        store_hash(self.store),
                        self.load.service().at(self.started)
                    )
                });
                None
            }
        }
    }

    fn received(&self, what: &'static str, token: &ManagedToken) {
        self.load.findings.checked(Invariant::OnlyTheGuilty);
        self.load.count(what, "ok");
        self.load
            .service()
            .check_token(self.who(), token.expose_secret(), self.started);
    }

    fn failed(&self, what: &'static str, error: &Error) {
        self.load.failed(what, self.who(), error, self.started);
    }

    async fn token(&self) -> Option<ManagedToken> {
        let request = TokenRequest::new(self.id()?);
        let tokens = self.cache.tokens.get(self.store)?;
        match self.ends("get", tokens.get(request)).await? {
            Ok(token) => {
                self.received("get", &token);
                Some(token)
            }
            Err(error) => {
                self.failed("get", &error);
                None
            }
        }
    }

    async fn get(&self) {
        self.token().await;
    }

    /// A token for a job of some minutes.
    async fn get_for_long(&self) {
        let (Some(id), Some(tokens)) = (self.id(), self.cache.tokens.get(self.store)) else {
            return;
        };
        let request = TokenRequest::new(id).valid_for_at_least(JOB);
        match self.ends("get for a job", tokens.get(request)).await {
            Some(Ok(token)) => {
                self.received("get for a job", &token);
                self.load.findings.checked(Invariant::ValidForAtLeast);
                let left = self.load.service().remaining(token.expose_secret());
                if let Some(left) = left.filter(|left| *left + Duration::from_secs(2) < JOB) {
                    self.load.findings.violated(Invariant::ValidForAtLeast, || {
                        format!("customer {}: {left:.1?} left", self.customer)
                    });
                }
            }
            Some(Err(error)) => self.failed("get for a job", &error),
            None => {}
        }
    }

    /// A token with a customer access token, which has expired now and then.
    async fn get_with_access_token(&self, random: &mut Rng) {
        let is_expired = random.bool();
        let expires_at = if is_expired {
            unix_now() - 60
        } else {
            unix_now() + 3_600
        };
        let text = canary::access_token(expires_at, random);
        let (Some(id), Some(tokens)) = (self.id(), self.cache.tokens.get(self.store)) else {
            return;
        };
        let access_token = CustomerAccessToken::new(text.clone());
        let request = TokenRequest::new(id).customer_access_token(access_token);
        let who = Who {
            access_token: hash(&text),
            ..self.who()
        };
        let got = self
            .ends("get with an access token", tokens.get(request))
            .await;
        if is_expired {
            // The server sees whether it was sent.
            self.load.findings.checked(Invariant::ExpiredAccessToken);
            let how = match got {
                Some(Ok(_)) => "ok".to_owned(),
                Some(Err(error)) => {
                    canary::search_error(&error, &self.load.findings);
                    format!("refused: {:?}", error.kind())
                }
                None => return,
            };
            self.load.count("get with an expired access token", how);
            return;
        }
        match got {
            Some(Ok(token)) => {
                self.load.count("get with an access token", "ok");
                self.load
                    .service()
                    .check_token(who, token.expose_secret(), self.started);
            }
            Some(Err(error)) => {
                self.load
                    .failed("get with an access token", who, &error, self.started);
            }
            None => {}
        }
    }

    fn look(&self) {
        let (Some(id), Some(tokens)) = (self.id(), self.cache.tokens.get(self.store)) else {
            return;
        };
        match tokens.get_cached(id) {
            Some(token) => self.received("get_cached", &token),
            None => self.load.count("get_cached", "none"),
        }
    }

    /// The customer logs out.
    fn forget(&self) {
        let (Some(id), Some(tokens)) = (self.id(), self.cache.tokens.get(self.store)) else {
            return;
        };
        let called = Instant::now();
        tokens.forget(id);
        self.load.service().forgot(self.who(), called);
        self.load.service().inject(Fault::CustomerLogsOut);
        self.load.count("forget", "ok");
        Self::new(self.load, self.cache, self.store, self.customer).look();
    }

    /// A REST call of the data API.
    async fn send(&self, is_late: bool) {
        let what = "send";
        let (Some(id), Some(api)) = (self.id(), self.cache.apis.get(self.store)) else {
            return;
        };
        let way = if is_late || !self.customer.is_multiple_of(4) {
            "rest"
        } else {
            "soft"
        };
        let path = format!("/shop/{}/{way}", store_hash(self.store));
        let request = api
            .request(reqwest::Method::GET, &path)
            .header("x-soak", self.stated(is_late));
        match self.ends(what, api.send(id, request)).await {
            Some(Ok(response)) => self.answered(what, response.status().as_u16()),
            Some(Err(error)) => self.failed(what, &error),
            None => {}
        }
    }

    /// A response of the data API came.
    fn answered(&self, what: &'static str, status: u16) {
        if status != 401 && status != 419 {
            self.load.findings.checked(Invariant::OnlyTheGuilty);
            return self.load.count(what, format!("status {status}"));
        }
        if self.customer == REJECTED {
            return self
                .load
                .count(what, "refused: the customer whose tokens are all rejected");
        }
        // The token was refused, and so was the one that took its place, or there was none.
        let failure = Failure {
            kind: bigcommerce_b2b_auth::ErrorKind::TokenRejected,
            remembered_for: None,
            text: format!("status {status} at last"),
        };
        self.load
            .refused(what, self.who(), &failure, self.started, Instant::now());
    }

    /// A GraphQL call of the data API.
    async fn graphql(&self) {
        let what = "graphql";
        let (Some(id), Some(api)) = (self.id(), self.cache.apis.get(self.store)) else {
            return;
        };
        let call = api
            .graphql(id, "query Q($soak: String) { __typename }")
            .variables(json!({"soak": self.stated(false)}))
            .send();
        match self.ends(what, call).await {
            Some(Ok(_)) => {
                self.load.findings.checked(Invariant::OnlyTheGuilty);
                self.load.count(what, "ok");
            }
            Some(Err(error)) => self.failed(what, &error),
            None => {}
        }
    }

    /// A call of the data API by the caller's own means.
    async fn call(&self, is_soft: bool) {
        let what = "call";
        let (Some(id), Some(tokens), Some(api)) = (
            self.id(),
            self.cache.tokens.get(self.store),
            self.cache.apis.get(self.store),
        ) else {
            return;
        };
        let way = if is_soft { "soft" } else { "rest" };
        let path = format!("/shop/{}/{way}", store_hash(self.store));
        let agent = format!("soak-{}/1.0", self.cache.process);
        let send = |token: ManagedToken| {
            let request = api
                .request(reqwest::Method::GET, &path)
                .header("x-soak", self.stated(false))
                .header("user-agent", &agent)
                .header("authorization", token.authorization().clone());
            async move {
                let response = request.send().await?;
                let status = response.status().as_u16();
                // A service that rejects tokens in a way of its own.
                Ok::<_, reqwest::Error>(if status == 419 {
                    Answer::Refused(status)
                } else {
                    Answer::by_status(status, status)
                })
            }
        };
        match self.ends(what, tokens.call(id, send)).await {
            Some(Ok(status)) => self.answered(what, status),
            Some(Err(CallError::Token(error) | CallError::Renewal(error))) => {
                self.failed(what, &error);
            }
            // The data API's fault, and not the SDK's.
            Some(Err(_)) => self.load.count(what, "connection broke"),
            None => {}
        }
    }
}
