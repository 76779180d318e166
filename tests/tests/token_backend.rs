//! Token backends that fail, hang, panic, or hold a lease for a process that was killed, in the *time* harness: they cost
//! mints and never an answer, and an outage is reported once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    cell::RefCell,
    pin::pin,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bigcommerce_b2b_auth::{
    Clock, CustomerAccessToken, CustomerEpoch, ErrorKind, Fingerprint, Lease, LeaseOwner,
    MemoryTokenStore, Put, Secret, StoreAccess, StoreError, StoreFuture, StoreHash, StoreKey,
    StoredToken, StorefrontTokens, TokenRequest, TokenStore,
    telemetry::{BackendEvent, Observer},
};
use bigcommerce_b2b_auth_sandbox::{CannedReply, Fault, Moment, Operation};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use tests::managed::{ACCESS_TOKEN, DAY, Managed, STORE_HASH, SettableClock, Wanted, customer};
use tokio::time::Instant;
use tracing::{Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

const DOWN: Fault = Fault::ServerError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Load,
    PutIfNewer,
    Epoch,
    Forget,
    Reject,
    Lease,
    Release,
    Fingerprint,
}

const METHODS: [Method; 8] = [
    Method::Load,
    Method::PutIfNewer,
    Method::Epoch,
    Method::Forget,
    Method::Reject,
    Method::Lease,
    Method::Release,
    Method::Fingerprint,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Fails,
    Hangs,
    PanicsWhenCalled,
    PanicsWhenPolled,
}

/// A backend in memory, of which some methods do not work.
#[derive(Debug)]
struct Troubled {
    within: MemoryTokenStore,
    trouble: Mutex<Vec<(Method, Trouble)>>,
    asked: Mutex<Vec<Method>>,
}

impl Troubled {
    fn new() -> Arc<Self> {
        // By the paused clock, as the rest of the setting.
        let clock = SettableClock::start() as Arc<dyn Clock>;
        Arc::new(Self {
            within: MemoryTokenStore::with_clock(1_000, clock),
            trouble: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    fn has(&self, trouble: impl Into<Vec<(Method, Trouble)>>) {
        *self.trouble.lock().unwrap() = trouble.into();
    }

    fn is_out_of_order(&self) {
        self.has(METHODS.map(|method| (method, Trouble::Fails)));
    }

    fn works(&self) {
        self.has([]);
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn begin(&self, method: Method) -> Option<Trouble> {
        self.asked.lock().unwrap().push(method);
        let troubles = self.trouble.lock().unwrap();
        let found = troubles.iter().find(|(of, _)| *of == method);
        let trouble = found.map(|(_, trouble)| *trouble);
        drop(troubles);
        if trouble == Some(Trouble::PanicsWhenCalled) {
            panic!("as this test wants it");
        }
        trouble
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        method: Method,
        answer: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        let trouble = self.begin(method);
        Box::pin(async move {
            match trouble {
                Some(Trouble::Fails) => Err(StoreError::new("out of order")
                    .with_source(format!("a long story\nof {}", "many words ".repeat(100)))),
                Some(Trouble::Hangs) => std::future::pending().await,
                Some(Trouble::PanicsWhenPolled) => panic!("as this test wants it"),
                Some(Trouble::PanicsWhenCalled) | None => answer.await,
            }
        })
    }
}

impl TokenStore for Troubled {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        self.answer(Method::Load, self.within.load(key))
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        self.answer(
            Method::PutIfNewer,
            self.within.put_if_newer(key, token, epoch),
        )
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        self.answer(Method::Epoch, self.within.epoch(key))
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        self.answer(Method::Forget, self.within.forget(key))
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        self.answer(Method::Reject, self.within.reject(key, token))
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        self.answer(Method::Lease, self.within.lease(key, length))
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        self.answer(Method::Release, self.within.release(key, owner))
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.begin(Method::Fingerprint);
        self.within.fingerprint(customer_access_token)
    }
}

/// Keeps what is reported about the backend, as a line each.
#[derive(Debug, Default)]
struct Reported(Mutex<Vec<String>>);

impl Reported {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Reported {
    fn on_backend(&self, event: &BackendEvent<'_>) {
        let line = match event {
            BackendEvent::Down { error, .. } => format!("down: {error}"),
            BackendEvent::Recovered {
                down_for,
                failed_calls,
                skipped_calls,
                ..
            } => format!("up after {down_for:?}: {failed_calls} failed, {skipped_calls} skipped"),
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
    }
}

fn wanted(backend: &Arc<Troubled>) -> Wanted {
    Wanted {
        customers: Some(100),
        shared_store: Some(Arc::clone(backend) as Arc<dyn TokenStore>),
        fetch_deadline: Some(5 * SECOND),
        ..Wanted::default()
    }
}

async fn secret(managed: &Managed, id: u64) -> String {
    let token = managed.tokens.get(customer(id)).await.unwrap();
    token.expose_secret().to_owned()
}

fn shared_key(id: u64) -> StoreKey {
    StoreKey::new(StoreHash::new(STORE_HASH).unwrap(), customer(id))
}

/// A process takes the lease of a customer, and is killed.
async fn leave_a_lease_behind(backend: &Troubled, id: u64) {
    let lease = backend.within.lease(&shared_key(id), HOUR).await.unwrap();
    assert!(matches!(lease, Lease::Acquired(_)));
}

/// Another process stores a token of this customer.
async fn store_from_elsewhere(managed: &Managed, backend: &Troubled, id: u64) -> String {
    let text = managed.token_that_lasts(id, DAY);
    let now = managed.clock.true_time();
    let token = StoredToken::new(text.as_str(), now + DAY, now);
    let put = backend
        .within
        .put_if_newer(&shared_key(id), &token, CustomerEpoch::default())
        .await;
    assert_eq!(put.unwrap(), Put::Stored);
    text
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_in_the_backend_costs_mints_and_never_an_answer() {
    for method in METHODS {
        for trouble in [
            Trouble::Fails,
            Trouble::Hangs,
            Trouble::PanicsWhenCalled,
            Trouble::PanicsWhenPolled,
        ] {
            let backend = Troubled::new();
            backend.has([(method, trouble)]);
            let managed = Managed::new(wanted(&backend));
            let other = managed.another(wanted(&backend));
            let began = Instant::now();
            let first = managed.tokens.get(customer(1)).await.unwrap();
            secret(&other, 1).await;
            secret(&managed, 2).await;
            let with_cat = TokenRequest::new(customer(3))
                .customer_access_token(CustomerAccessToken::new("a customer access token"));
            managed.tokens.get(with_cat.clone()).await.unwrap();
            let mints = managed.mints();
            managed.tokens.get(with_cat).await.unwrap();
            assert_eq!(managed.mints(), mints, "it is found again");
            // Never more than one time limit for each answer, and the mints themselves.
            assert!(
                began.elapsed() < SECOND,
                "{method:?} {trouble:?}: {:?}",
                began.elapsed()
            );
            tokio::time::sleep(SECOND).await;
            managed.tokens.invalidate(&first);
            managed.settle().await;
            assert_ne!(secret(&managed, 1).await, first.expose_secret());
            managed.tokens.forget(customer(2));
            assert!(managed.tokens.get_cached(customer(2)).is_none());
            tokio::time::sleep(2 * SECOND).await;
            secret(&managed, 2).await;
            assert!(managed.mints() <= 6, "{method:?} {trouble:?}");
            let works = method == Method::Fingerprint && trouble != Trouble::PanicsWhenCalled;
            assert_eq!(
                managed.tokens.metrics().backend_outages > 0,
                !works,
                "{method:?} {trouble:?}"
            );
            managed.tokens.shutdown().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_holder_was_killed_costs_its_customer_twice_a_mint_and_no_answer() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    leave_a_lease_behind(&backend, 1).await;
    // A mint is assumed to take two seconds at first: half of the five seconds is less than twice that.
    let began = Instant::now();
    secret(&managed, 1).await;
    assert!(began.elapsed() > Duration::from_millis(2_500));
    assert!(began.elapsed() < Duration::from_millis(2_700));
    assert_eq!(managed.mints(), 1);
    // Once some were measured, which take a twentieth of a second, it is not less than half a second.
    for id in 2..=40 {
        secret(&managed, id).await;
    }
    leave_a_lease_behind(&backend, 41).await;
    let began = Instant::now();
    secret(&managed, 41).await;
    assert!(began.elapsed() > SECOND, "{:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_millis(1_300),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(managed.mints(), 41);
    // What was minted without the lease is shared all the same.
    let other = managed.another(wanted(&backend));
    assert_eq!(secret(&other, 41).await, secret(&managed, 41).await);
    assert_eq!(managed.mints(), 41);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_takes_as_long_as_usual_is_waited_for() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    let other = managed.another(wanted(&backend));
    managed.way.takes(2 * SECOND);
    other.way.takes(2 * SECOND);
    let (first, second) = tokio::join!(secret(&managed, 1), secret(&other, 1));
    assert_eq!(first, second);
    assert_eq!(managed.mints(), 1);
}

#[tokio::test(start_paused = true)]
async fn slow_mints_are_waited_for_longer() {
    let backend = Troubled::new();
    let patient = || Wanted {
        fetch_deadline: Some(60 * SECOND),
        ..wanted(&backend)
    };
    let managed = Managed::new(patient());
    managed.way.takes(8 * SECOND);
    for id in 1..=30 {
        secret(&managed, id).await;
    }
    leave_a_lease_behind(&backend, 31).await;
    let began = Instant::now();
    secret(&managed, 31).await;
    let waited = began.elapsed() - 8 * SECOND;
    assert!(waited > 15 * SECOND && waited < 19 * SECOND, "{waited:?}");
    // However long they take, not longer than for twice ten seconds and a quarter more.
    managed.way.takes(25 * SECOND);
    for id in 32..=60 {
        secret(&managed, id).await;
    }
    managed.way.takes(SECOND);
    leave_a_lease_behind(&backend, 61).await;
    let began = Instant::now();
    secret(&managed, 61).await;
    assert!(began.elapsed() <= 26 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn slow_mints_of_one_store_lengthen_no_wait_in_another() {
    let backend = Troubled::new();
    let managed = Managed::new(Wanted {
        fetch_deadline: Some(60 * SECOND),
        ..wanted(&backend)
    });
    let access = StoreAccess::new("slow", ACCESS_TOKEN).unwrap();
    let slow = managed.tokens.for_store(managed.client.for_store(access));
    managed.way.takes(8 * SECOND);
    for id in 1..=30 {
        let claims = json!({"bc_customer_id": id, "exp": managed.in_seconds(86_400)});
        managed.next_token_is(&managed.sandbox.sign(&claims));
        slow.get(customer(id)).await.unwrap();
    }
    managed.way.takes(Duration::from_millis(50));
    leave_a_lease_behind(&backend, 31).await;
    let began = Instant::now();
    secret(&managed, 31).await;
    // Twice the two seconds that a first mint is assumed to take, and a quarter more.
    assert!(began.elapsed() < 5 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_killed_holder_is_waited_for_no_longer_than_half_of_what_callers_wait() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    let tokens = StorefrontTokens::builder()
        .client(managed.client.clone())
        .shared_store(Arc::clone(&backend) as Arc<dyn TokenStore>)
        .fetch_deadline(20 * SECOND)
        .wait_at_most(6 * SECOND)
        .build();
    managed.way.takes(2 * SECOND);
    leave_a_lease_behind(&backend, 1).await;
    let began = Instant::now();
    tokens.get(customer(1)).await.unwrap();
    let waited = began.elapsed() - 2 * SECOND;
    assert!(waited >= 3 * SECOND, "{waited:?}");
    assert!(waited < Duration::from_millis(3_300), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_long_job_gets_a_new_token_where_the_backend_has_an_older_and_longer_one_than_the_cache()
{
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    store_from_elsewhere(&managed, &backend, 1).await;
    tokio::time::sleep(SECOND).await;
    // The backend fails while a short token is minted here.
    backend.is_out_of_order();
    managed.next_token_lasts(200 * SECOND);
    let short = secret(&managed, 1).await;
    backend.works();
    // A minute later nothing is known of how long a new token lasts.
    tokio::time::sleep(61 * SECOND).await;
    let job = TokenRequest::new(customer(1)).valid_for_at_least(600 * SECOND);
    let token = managed.tokens.get(job).await.unwrap();
    assert_ne!(token.expose_secret(), short);
    assert!(token.remaining(managed.clock.now()) >= 600 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn where_the_backend_has_a_token_of_the_store_one_refused_customer_holds_up_nobody() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    let first = secret(&managed, 1).await;
    let restarted = managed.another(wanted(&backend));
    assert_eq!(secret(&restarted, 1).await, first);
    let refusal = json!({"code": 403, "data": {}, "meta": {"message": "This user is inactive"}});
    let refusal = CannedReply::json(StatusCode::FORBIDDEN, &refusal);
    managed.sandbox.respond_next(Operation::Mint, refusal);
    let error = restarted.tokens.get(customer(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    secret(&restarted, 3).await;
    assert_eq!(managed.mints(), 3);
}

#[tokio::test(start_paused = true)]
async fn while_a_killed_holder_is_waited_for_a_callers_time_and_a_shutdown_hold() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    leave_a_lease_behind(&backend, 1).await;
    let began = Instant::now();
    let hurried = TokenRequest::new(customer(1)).wait_at_most(Duration::from_millis(300));
    let error = managed.tokens.get(hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(began.elapsed(), Duration::from_millis(300));
    let mut waiting = pin!(managed.tokens.get(customer(1)));
    let polled = std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
    assert!(polled.is_pending());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    managed.tokens.shutdown().await;
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(managed.mints(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_while_a_killed_holder_is_waited_for_is_served() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    leave_a_lease_behind(&backend, 1).await;
    let from_elsewhere = async {
        tokio::time::sleep(SECOND).await;
        store_from_elsewhere(&managed, &backend, 1).await
    };
    let (served, stored) = tokio::join!(secret(&managed, 1), from_elsewhere);
    assert_eq!(served, stored);
    assert_eq!(managed.mints(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_failed_mint_is_not_reported_when_another_process_had_more_luck() {
    let backend = Troubled::new();
    let managed = Managed::new(wanted(&backend));
    managed.way.takes(SECOND);
    managed.sandbox.begin_outage(DOWN);
    let from_elsewhere = async {
        tokio::time::sleep(SECOND / 2).await;
        store_from_elsewhere(&managed, &backend, 1).await
    };
    let (served, stored) = tokio::join!(secret(&managed, 1), from_elsewhere);
    assert_eq!(served, stored);
    assert_eq!(managed.mints(), 1);
    let metrics = managed.tokens.metrics();
    assert_eq!(
        (
            metrics.from_shared_store,
            metrics.fetches_failed,
            metrics.failures
        ),
        (1, 0, 0)
    );
    // The lease was given back, and a customer without such luck gets the error.
    let lease = backend.within.lease(&shared_key(1), HOUR).await.unwrap();
    assert!(matches!(lease, Lease::Acquired(_)));
    let error = managed.tokens.get(customer(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    assert_eq!(managed.sandbox.request_count_to(Operation::Mint), 2);
}

thread_local! {
    /// The log lines about the backend. Each test has a thread of its own.
    static LOGGED: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
}

/// Keeps log lines about the backend. For the whole process: a subscriber of one thread misses events whose callsite another
/// thread was the first to reach.
struct Log;

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut text = String::new();
        event.record(
            &mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
                text.push_str(&format!("{value:?} "));
            },
        );
        if text.contains("token backend") && level <= Level::INFO {
            LOGGED.with_borrow_mut(|logged| logged.push((level, text)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_once_and_so_is_its_end() {
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(Log)).unwrap();
    let backend = Troubled::new();
    let reported = Arc::new(Reported::default());
    let managed = Managed::new(Wanted {
        observer: Some(Arc::clone(&reported) as Arc<dyn Observer>),
        ..wanted(&backend)
    });
    secret(&managed, 1).await;
    assert!(reported.take().is_empty());
    backend.is_out_of_order();
    let began = Instant::now();
    join_all((2..=51).map(|id| secret(&managed, id))).await;
    let lines = reported.take();
    let [down] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        down.starts_with("down: the token store failed: out of order: a long story of many words "),
        "{down}"
    );
    assert!(down.chars().count() <= "down: ".len() + 500, "{down}");
    let metrics = managed.tokens.metrics();
    assert!(metrics.backend_is_down);
    assert_eq!(metrics.backend_outages, 1);
    let failed_at_first = metrics.shared_store_errors;
    assert!((1..=50).contains(&failed_at_first), "{failed_at_first}");
    // During the outage one call in three seconds finds out whether it goes on.
    let asked = backend.asked();
    for id in 52..=81 {
        secret(&managed, id).await;
        tokio::time::sleep(SECOND - Duration::from_millis(50)).await;
    }
    let asked = backend.asked() - asked;
    assert!((9..=11).contains(&asked), "{asked}");
    assert!(reported.take().is_empty());
    backend.works();
    tokio::time::sleep(4 * SECOND).await;
    let down_for = began.elapsed();
    secret(&managed, 82).await;
    let metrics = managed.tokens.metrics();
    assert!(!metrics.backend_is_down);
    assert_eq!(metrics.backend_outages, 1);
    let failed = metrics.shared_store_errors;
    assert_eq!(failed, failed_at_first + asked as u64);
    let lines = reported.take();
    let [up] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        up.starts_with(&format!("up after {down_for:?}: {failed} failed, ")),
        "{up}, {failed}, {down_for:?}"
    );
    let skipped: u64 = up
        .rsplit(", ")
        .next()
        .and_then(|text| text.strip_suffix(" skipped"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(skipped >= 50, "{skipped}");
    // It is shared again.
    let other = managed.another(wanted(&backend));
    assert_eq!(secret(&other, 82).await, secret(&managed, 82).await);
    let logged = LOGGED.take();
    let levels: Vec<_> = logged.iter().map(|(level, _)| *level).collect();
    assert_eq!(levels, [Level::WARN, Level::INFO], "{logged:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_or_panics_is_down() {
    for (trouble, said) in [
        (
            Trouble::Hangs,
            "down: the token store failed: it did not answer in time",
        ),
        (
            Trouble::PanicsWhenCalled,
            "down: the token store failed: it panicked",
        ),
        (
            Trouble::PanicsWhenPolled,
            "down: the token store failed: it panicked",
        ),
    ] {
        let backend = Troubled::new();
        let reported = Arc::new(Reported::default());
        let managed = Managed::new(Wanted {
            observer: Some(Arc::clone(&reported) as Arc<dyn Observer>),
            ..wanted(&backend)
        });
        backend.has([(Method::Load, trouble)]);
        for id in 1..=20 {
            secret(&managed, id).await;
        }
        assert_eq!(reported.take(), [said]);
        assert!(managed.tokens.metrics().backend_is_down);
        backend.works();
        tokio::time::sleep(5 * SECOND).await;
        secret(&managed, 21).await;
        assert!(!managed.tokens.metrics().backend_is_down);
        assert_eq!(reported.take().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_of_a_call_from_before_an_outage_does_not_end_it() {
    let backend = Troubled::new();
    let reported = Arc::new(Reported::default());
    let managed = Managed::new(Wanted {
        observer: Some(Arc::clone(&reported) as Arc<dyn Observer>),
        ..wanted(&backend)
    });
    backend.has([(Method::Load, Trouble::Hangs)]);
    // Ten at once: the first failure begins the outage, the others belong to it.
    join_all((1..=10).map(|id| secret(&managed, id))).await;
    assert_eq!(reported.take().len(), 1);
    let metrics = managed.tokens.metrics();
    assert_eq!(
        (metrics.backend_outages, metrics.shared_store_errors),
        (1, 10)
    );
}
