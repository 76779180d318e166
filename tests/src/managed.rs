//! The setting of the tests of managed tokens, in the *time* harness: a store with customers, a service that takes its time, a
//! clock that can be set, and a cache before it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, Clock, CustomerId, Jitter, RetryPolicy, Sleep, Snapshot,
    StoreAccess, StorefrontTokens, TokenStore,
    telemetry::Observer,
    transport::{Operation as Called, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CannedReply, Customer, Operation, RateLimit, Sandbox, Store,
};
use http::{HeaderName, StatusCode};
use serde_json::{Value, json};

use crate::{InProcess, PausedClock};

/// The store of the setting.
pub const STORE_HASH: &str = "managed";

/// Its access token.
pub const ACCESS_TOKEN: &str = "managed-access-token";

/// A day, which is how long a storefront token lasts.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The paused clock, with a wall clock that can be set besides.
#[derive(Debug)]
pub struct SettableClock {
    paused: PausedClock,
    wall_ahead: AtomicI64,
}

impl SettableClock {
    /// Starts now, inside of a runtime whose clock is paused.
    #[must_use]
    pub fn start() -> Arc<Self> {
        Arc::new(Self {
            paused: PausedClock::start(),
            wall_ahead: AtomicI64::new(0),
        })
    }

    /// Sets the wall clock forward by so many seconds, or back. The monotonic clock knows nothing of it.
    pub fn jump(&self, seconds: i64) {
        self.wall_ahead.fetch_add(seconds, Ordering::Relaxed);
    }

    /// The service's time, which nobody sets.
    #[must_use]
    pub fn true_time(&self) -> SystemTime {
        self.paused.wall()
    }
}

impl Clock for SettableClock {
    fn now(&self) -> SystemTime {
        let ahead = self.wall_ahead.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 {
            self.paused.wall() - by
        } else {
            self.paused.wall() + by
        }
    }

    fn instant(&self) -> Instant {
        self.paused.instant()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.paused.sleep(duration)
    }
}

/// Chance that a test decides.
#[derive(Debug)]
pub struct Chance(Mutex<f64>);

impl Chance {
    /// Always this part.
    #[must_use]
    pub fn of(fraction: f64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(fraction)))
    }

    /// This part from now on.
    pub fn set(&self, fraction: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fraction;
    }
}

impl Jitter for Chance {
    fn fraction(&self) -> f64 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sandbox, behind a way that takes its time: half of it there and half of it back.
#[derive(Debug)]
pub struct Distant {
    sandbox: Arc<InProcess>,
    millis: AtomicU64,
    panics: AtomicU64,
}

impl Distant {
    /// How long a request takes from now on.
    pub fn takes(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// The next so many requests panic in the transport.
    pub fn panics_next(&self, times: u64) {
        self.panics.store(times, Ordering::Relaxed);
    }
}

impl Transport for Distant {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Called,
    ) -> TransportFuture<'a> {
        Box::pin(async move {
            let one_less = |left: u64| left.checked_sub(1);
            let panics = self
                .panics
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
            assert!(panics.is_err(), "the transport of this test panics");
            let half = Duration::from_millis(self.millis.load(Ordering::Relaxed)) / 2;
            tokio::time::sleep(half).await;
            let reply = self.sandbox.send(request, operation).await;
            tokio::time::sleep(half).await;
            reply
        })
    }
}

/// What a test may want to be different.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// How many customers the store has. 10 if unset.
    pub customers: Option<u64>,
    /// How the sandbox behaves.
    pub assumptions: Option<Assumptions>,
    /// How many requests the service grants. None are refused if unset.
    pub rate_limit: Option<RateLimit>,
    /// What the client keeps to. Nothing if unset.
    pub budget_limit: Option<BudgetLimit>,
    /// Whether the client repeats what fails.
    pub retries: bool,
    /// How much the cache holds.
    pub capacity: Option<Capacity>,
    /// What the fleet shares.
    pub shared_store: Option<Arc<dyn TokenStore>>,
    /// How long a fetch may take.
    pub fetch_deadline: Option<Duration>,
    /// How many renewals run in the background.
    pub background_renewals: Option<usize>,
    /// Who watches.
    pub observer: Option<Arc<dyn Observer>>,
    /// Where the tokens are kept across restarts.
    pub snapshot: Option<Snapshot>,
}

/// A store, its service, a client and a cache.
#[derive(Debug)]
pub struct Managed {
    /// What both go by.
    pub clock: Arc<SettableClock>,
    /// The service.
    pub sandbox: Sandbox,
    /// The way to it.
    pub way: Arc<Distant>,
    /// What is drawn.
    pub chance: Arc<Chance>,
    /// The client.
    pub client: Client,
    /// The cache.
    pub tokens: StorefrontTokens,
}

impl Managed {
    /// The setting with what is wanted, inside of a runtime whose clock is paused. Half of everything is drawn.
    ///
    /// # Panics
    /// When the client cannot be built.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        let clock = SettableClock::start();
        let customers = (1..=wanted.customers.unwrap_or(10))
            .map(|id| Customer::new(id, format!("customer-{id}@example.com"), "a password"));
        let store = customers.fold(
            Store::new(STORE_HASH)
                .with_access_token(ACCESS_TOKEN)
                .channel(1)
                .channel(2),
            Store::customer,
        );
        let service_clock = Arc::clone(&clock);
        let sandbox = Sandbox::builder()
            .seed(5)
            .clock(move || service_clock.true_time())
            .store(store)
            .rate_limit(wanted.rate_limit.unwrap_or(RateLimit::unlimited()))
            .assumptions(wanted.assumptions.clone().unwrap_or_default())
            .build();
        Self::before(wanted, clock, sandbox)
    }

    /// Another process before the same service.
    #[must_use]
    pub fn another(&self, wanted: Wanted) -> Self {
        Self::before(wanted, Arc::clone(&self.clock), self.sandbox.clone())
    }

    #[expect(
        clippy::expect_used,
        reason = "a test without its fixture ends with a panic"
    )]
    fn before(wanted: Wanted, clock: Arc<SettableClock>, sandbox: Sandbox) -> Self {
        let way = Arc::new(Distant {
            sandbox: InProcess::new(&sandbox),
            millis: AtomicU64::new(50),
            panics: AtomicU64::new(0),
        });
        let chance = Chance::of(0.5);
        let retry = if wanted.retries {
            RetryPolicy::default()
        } else {
            RetryPolicy::none()
        };
        let client = Client::builder()
            .credentials(StoreAccess::new(STORE_HASH, ACCESS_TOKEN).expect("they are fit"))
            .transport(Arc::clone(&way) as Arc<dyn Transport>)
            .clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .jitter(Arc::clone(&chance) as Arc<dyn Jitter>)
            .budget_limit(wanted.budget_limit.unwrap_or(BudgetLimit::unlimited()))
            .retry(retry)
            .maybe_observer(wanted.observer)
            .build()
            .expect("it is fit");
        let tokens = StorefrontTokens::builder()
            .client(client.clone())
            .maybe_capacity(wanted.capacity)
            .maybe_shared_store(wanted.shared_store)
            .maybe_fetch_deadline(wanted.fetch_deadline)
            .maybe_background_renewals(wanted.background_renewals)
            .maybe_snapshot(wanted.snapshot)
            .build();
        Self {
            clock,
            sandbox,
            way,
            chance,
            client,
            tokens,
        }
    }

    /// How many times the service was asked for a token, in vain or not.
    #[must_use]
    pub fn mints(&self) -> u64 {
        self.sandbox.request_count_to(Operation::Mint)
    }

    /// The next mint gives a token with this life instead of a day's.
    pub fn next_token_lasts(&self, life: Duration) {
        let token = self.token_that_lasts(1, life);
        self.next_token_is(&token);
    }

    /// The next mint gives this token.
    pub fn next_token_is(&self, token: &str) {
        self.next_token_of(Operation::Mint, token, &[]);
    }

    /// The next response to this operation gives this token, with these headers in place of the usual ones.
    ///
    /// # Panics
    /// When a header cannot be sent.
    #[expect(
        clippy::expect_used,
        reason = "a test without its fixture ends with a panic"
    )]
    pub fn next_token_of(
        &self,
        operation: Operation,
        token: &str,
        headers: &[(&'static str, &str)],
    ) {
        let data = match operation {
            Operation::Mint => json!({"token": [token]}),
            Operation::CreateServerToken => json!([{"name": "test", "token": token}]),
            Operation::ListServerTokens => json!([{"id": 7, "token": token}]),
            _ => json!({"token": token}),
        };
        let body = json!({"code": 200, "data": data, "meta": {"message": "SUCCESS"}});
        let mut response = CannedReply::json(StatusCode::OK, &body);
        for (name, value) in headers {
            let value = value.parse().expect("a header can carry it");
            response = response.header(HeaderName::from_static(name), value);
        }
        self.sandbox.respond_next(operation, response);
    }

    /// A token of the customer as the service would sign it, with this claim `exp` or none.
    #[must_use]
    pub fn token_with_expiry(&self, customer: u64, exp: Option<Value>) -> String {
        let mut claims = json!({"bc_customer_id": customer, "store_hash": STORE_HASH});
        if let (Some(claims), Some(exp)) = (claims.as_object_mut(), exp) {
            claims.insert("exp".to_owned(), exp);
        }
        self.sandbox.sign(&claims)
    }

    /// The service's clock, so many seconds from now, as a claim states it.
    #[must_use]
    pub fn in_seconds(&self, seconds: i64) -> i64 {
        let now = self
            .clock
            .true_time()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(now.as_secs())
            .unwrap_or_default()
            .saturating_add(seconds)
    }

    /// A token as the service would sign it, that is over so long after now.
    #[must_use]
    pub fn token_that_lasts(&self, customer: u64, life: Duration) -> String {
        let now = self.clock.true_time();
        let exp = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            + life;
        self.sandbox.sign(&json!({
            "bc_customer_id": customer,
            "store_hash": STORE_HASH,
            "exp": exp.as_secs(),
        }))
    }

    /// Lets what runs in the background come to its end: time passes by what requests take.
    pub async fn settle(&self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// A time as the header `Date` states it.
#[must_use]
pub fn http_date(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// A customer by number.
///
/// # Panics
/// When it is 0.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a test without its fixture ends with a panic"
)]
pub fn customer(id: u64) -> CustomerId {
    CustomerId::new(id).expect("ids begin at 1")
}
