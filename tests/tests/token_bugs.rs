//! Bugs that caches of tokens have shipped, one named test each, so that ours has none of them. In the *time* harness,
//! but for what is about runtimes: there nothing waits, because the transport answers when it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant, SystemTime},
};

use bigcommerce_b2b_auth::{
    Answer, BudgetLimit, Capacity, ChannelId, Client, Clock, ClockReading, CustomerEpoch, Error,
    ErrorKind, Fingerprint, Invalidation, Jitter, Judgement, Lease, LeaseOwner, ManagedToken,
    MemoryTokenStore, Put, ResponseJudge, ResponseView, RetryPolicy, RotatingSecret, Secret,
    SecretFuture, SecretProvider, Sleep, Snapshot, SnapshotKey, SnapshotProblem, StoreAccess,
    StoreError, StoreFuture, StoreHash, StoreKey, StoredToken, StorefrontToken, StorefrontTokens,
    TokenRequest, TokenStore,
    transport::{Delivery, Operation as Called, Transport, TransportError, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CannedReply, ErrorShape, Fault, Moment, Operation, RepeatedMint, Sandbox, demo,
};
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use tests::{
    InProcess, PausedClock,
    managed::{
        ACCESS_TOKEN, Chance, DAY, Managed, STORE_HASH, SettableClock, Wanted, customer, http_date,
    },
    refusing::Setting,
};
use tokio::{runtime, sync::Notify};
use tracing_subscriber::{
    layer::{Context, Layer, SubscriberExt as _},
    registry::LookupSpan,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// When a token of a day is due in the background, with half of everything drawn, and a second.
const SOFT: Duration = Duration::from_secs(19 * 3600 + 12 * 60 + 1);

const DOWN: Fault = Fault::ServerError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

/// Polls it once.
async fn poll<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

async fn secret(managed: &Managed, id: u64) -> String {
    let token = managed.tokens.get(customer(id)).await.unwrap();
    token.expose_secret().to_owned()
}

async fn kind(managed: &Managed, id: u64) -> ErrorKind {
    managed.tokens.get(customer(id)).await.unwrap_err().kind()
}

#[tokio::test(start_paused = true)]
async fn bug_01_a_failing_load_is_repeated_by_every_waiter() {
    let managed = Managed::new(Wanted::default());
    managed.sandbox.begin_outage(DOWN);
    let began = tokio::time::Instant::now();
    let kinds = join_all((0..100).map(|_| kind(&managed, 1))).await;
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::Server));
    assert_eq!(managed.mints(), 1);
    assert!(
        began.elapsed() < Duration::from_millis(60),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn bug_02_a_cancelled_leader_wastes_the_mint_and_starves_the_rest() {
    let managed = Managed::new(Wanted::default());
    managed.way.takes(Duration::from_millis(200));
    let began = tokio::time::Instant::now();
    let leader = tokio::time::timeout(Duration::from_millis(120), secret(&managed, 1));
    let rest = join_all((0..40).map(|_| secret(&managed, 1)));
    let (leader, rest) = tokio::join!(leader, rest);
    assert!(leader.is_err());
    assert_eq!(rest.len(), 40);
    assert_eq!(managed.mints(), 1);
    assert!(
        began.elapsed() < Duration::from_millis(210),
        "{:?}",
        began.elapsed()
    );

    // And where all of them give up: what was sent is finished and kept, since it is paid for.
    let managed = Managed::new(Wanted::default());
    managed.way.takes(Duration::from_millis(200));
    let hurried = || tokio::time::timeout(Duration::from_millis(120), secret(&managed, 1));
    let all = join_all((0..40).map(|_| hurried())).await;
    assert!(all.iter().all(Result::is_err));
    managed.settle().await;
    secret(&managed, 1).await;
    assert_eq!(managed.mints(), 1);
}

#[tokio::test(start_paused = true)]
async fn bug_03_a_leader_that_is_alive_but_not_polled_blocks_all() {
    let managed = Managed::new(Wanted::default());
    let mut leader = pin!(managed.tokens.get(customer(1)));
    assert!(poll(leader.as_mut()).await.is_pending());
    // It is kept, and not polled any more, while the others come and go.
    for _ in 0..200 {
        let mut abandoned = Box::pin(managed.tokens.get(customer(1)));
        assert!(poll(abandoned.as_mut()).await.is_pending());
        drop(abandoned);
    }
    let token = secret(&managed, 1).await;
    assert_eq!(leader.await.unwrap().expose_secret(), token);
    assert_eq!(managed.mints(), 1);
}

/// A sandbox whose first requests are never answered.
#[derive(Debug)]
struct Silent {
    sandbox: Arc<InProcess>,
    unanswered: AtomicU64,
    /// Told for each of them.
    reached: Notify,
}

impl Transport for Silent {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Called,
    ) -> TransportFuture<'a> {
        Box::pin(async move {
            let one_less = |left: u64| left.checked_sub(1);
            let unanswered = &self.unanswered;
            if unanswered
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
            {
                self.reached.notify_one();
                std::future::pending::<()>().await;
            }
            self.sandbox.send(request, operation).await
        })
    }
}

/// A cache of the demo store, whose first so many requests are never answered; on the real clock.
fn silent(
    unanswered: u64,
    fetch_deadline: Option<Duration>,
    runtime: Option<runtime::Handle>,
) -> (StorefrontTokens, Arc<Silent>, Sandbox) {
    let sandbox = Sandbox::builder().seed(6).build();
    let way = Arc::new(Silent {
        sandbox: InProcess::new(&sandbox),
        unanswered: AtomicU64::new(unanswered),
        reached: Notify::new(),
    });
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::clone(&way) as Arc<dyn Transport>)
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder()
        .client(client)
        .maybe_fetch_deadline(fetch_deadline)
        .maybe_runtime(runtime)
        .build();
    (tokens, way, sandbox)
}

fn current_thread() -> runtime::Runtime {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Lets a runtime begin a fetch, and stop running in the middle of it.
fn begin_on(runtime: &runtime::Runtime, tokens: &StorefrontTokens, way: &Silent) {
    runtime.block_on(async {
        let mut leader = pin!(tokens.get(customer(demo::CUSTOMER_ID)));
        assert!(poll(leader.as_mut()).await.is_pending());
        way.reached.notified().await;
    });
}

#[test]
fn bug_03_a_runtime_that_is_kept_without_being_run_blocks_all() {
    let (tokens, way, sandbox) = silent(1, Some(Duration::from_millis(100)), None);
    let (kept, other) = (current_thread(), current_thread());
    begin_on(&kept, &tokens, &way);
    let token = other.block_on(async {
        let mut get = pin!(tokens.get(customer(demo::CUSTOMER_ID)));
        assert!(poll(get.as_mut()).await.is_pending());
        // It is waited for as long as a flight may take at most, and not for ever. Time is made to pass.
        tokio::time::pause();
        tokio::time::timeout(6 * SECOND, get).await.unwrap()
    });
    token.unwrap();
    assert_eq!(sandbox.request_count_to(Operation::Mint), 1);
    assert_eq!(tokens.metrics().fetches_cold, 2);
    drop(kept);
}

/// On the real clock nothing waits here. What does not come to an end is to fail and not to hang.
async fn in_the_end<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(20 * SECOND, future).await.unwrap()
}

#[test]
fn bug_04_a_waiter_panics_when_the_runtime_of_the_flight_is_gone() {
    let (tokens, way, sandbox) = silent(1, None, None);
    let (first, second) = (current_thread(), current_thread());
    begin_on(&first, &tokens, &way);
    let token = second.block_on(async {
        let mut get = pin!(tokens.get(customer(demo::CUSTOMER_ID)));
        assert!(poll(get.as_mut()).await.is_pending());
        // Its runtime cannot be dropped from within another one.
        std::thread::spawn(move || drop(first)).join().unwrap();
        in_the_end(get).await
    });
    token.unwrap();
    assert_eq!(sandbox.request_count_to(Operation::Mint), 1);

    // Where the runtime is given, and gone, there is nobody else who could: an error, and no panic.
    let gone = current_thread();
    let (tokens, way, _) = silent(1, None, Some(gone.handle().clone()));
    begin_on(&gone, &tokens, &way);
    let error = second.block_on(async {
        let mut get = pin!(tokens.get(customer(demo::CUSTOMER_ID)));
        assert!(poll(get.as_mut()).await.is_pending());
        std::thread::spawn(move || drop(gone)).join().unwrap();
        in_the_end(get).await.unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::RuntimeGone);
    assert_eq!(tokens.metrics().fetches_under_way, 0);

    // And outside of any.
    let (tokens, _, _) = silent(0, None, None);
    let mut get = pin!(tokens.get(customer(demo::CUSTOMER_ID)));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Err(error)) = get.as_mut().poll(&mut context) else {
        panic!("there is no runtime that could fetch anything");
    };
    assert_eq!(error.kind(), ErrorKind::RuntimeGone);
}

#[tokio::test(start_paused = true)]
async fn bug_05_a_failed_renewal_replaces_a_valid_token() {
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    tokio::time::sleep(SOFT).await;
    managed.sandbox.begin_outage(DOWN);
    // Up to its hard moment, 23 h 59 min 30 s after it was minted.
    for _ in 0..(4 * 60 + 47) {
        assert_eq!(secret(&managed, 1).await, first);
        tokio::time::sleep(MINUTE).await;
    }
    assert!(managed.mints() > 10, "it was tried: {}", managed.mints());

    // Nor does a failure of the whole store, which two others met with in the token's last minutes.
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    tokio::time::sleep(DAY - 4 * MINUTE).await;
    for other in [2, 3] {
        managed
            .sandbox
            .respond_next(Operation::Mint, refusal(StatusCode::FORBIDDEN));
        assert_eq!(kind(&managed, other).await, ErrorKind::Forbidden);
    }
    assert_eq!(secret(&managed, 1).await, first);
    assert_eq!(managed.mints(), 3);
}

fn refusal(status: StatusCode) -> CannedReply {
    CannedReply::error(status, ErrorShape::CodeAndMessage, "no")
}

/// A token that is due, whose renewal goes wrong once, is renewed all the same.
async fn is_renewed_although(name: &str, goes_wrong: impl FnOnce(&Managed)) {
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    tokio::time::sleep(SOFT).await;
    goes_wrong(&managed);
    assert_eq!(secret(&managed, 1).await, first, "{name}");
    // However long it takes, and whatever it was taken for.
    tokio::time::sleep(20 * MINUTE).await;
    secret(&managed, 1).await;
    tokio::time::sleep(MINUTE).await;
    assert_ne!(secret(&managed, 1).await, first, "{name}");
}

#[tokio::test(start_paused = true)]
async fn bug_06_one_misread_error_stops_renewal_for_ever() {
    for (name, fault) in Fault::catalogue() {
        is_renewed_although(name, |managed| {
            managed.sandbox.fail_next(Operation::Mint, fault);
        })
        .await;
    }
    // Those that look as if they were for ever, and a fetch that does not even end with one.
    for status in [400, 401, 403, 404, 409, 422] {
        let status = StatusCode::from_u16(status).unwrap();
        is_renewed_although(status.as_str(), |managed| {
            managed
                .sandbox
                .respond_next(Operation::Mint, refusal(status));
        })
        .await;
    }
    is_renewed_although("a panic", |managed| managed.way.panics_next(1)).await;
}

#[tokio::test(start_paused = true)]
async fn bug_07_a_late_401_kills_a_newer_token() {
    let managed = Managed::new(Wanted::default());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SOFT).await;
    secret(&managed, 1).await;
    managed.settle().await;
    let second = secret(&managed, 1).await;
    assert_ne!(second, first.expose_secret());
    assert_eq!(managed.tokens.invalidate(&first), Invalidation::Late);
    assert_eq!(secret(&managed, 1).await, second);
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_07_a_forced_renewal_joins_a_flight_that_brings_the_rejected_token() {
    // The flight of another caller is about to read the shared store, where the rejected token still is.
    let store = Arc::new(Watched::default());
    let wanted = Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        ..Wanted::default()
    };
    let managed = Managed::new(wanted.clone());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SOFT).await;
    store.keeps_what_is_rejected.store(1, Ordering::Relaxed);
    assert_eq!(managed.tokens.invalidate(&first), Invalidation::Removed);
    let tokens = join_all((0..50).map(|_| secret(&managed, 1))).await;
    assert!(tokens.iter().all(|token| *token != first.expose_secret()));
    assert_eq!(managed.mints(), 2);

    // A flight that had begun before the refusal, in another process.
    let second = managed.tokens.get(customer(1)).await.unwrap();
    managed.settle().await;
    let other = managed.another(wanted);
    let mut early = pin!(secret(&other, 1));
    assert!(poll(early.as_mut()).await.is_pending());
    assert_eq!(other.tokens.invalidate(&second), Invalidation::Removed);
    let tokens = join_all((0..50).map(|_| secret(&other, 1))).await;
    assert!(tokens.iter().all(|token| *token != second.expose_secret()));
    assert_eq!(early.await, tokens[0]);
    assert_eq!(other.tokens.metrics().fetches_cold, 1);
    assert_eq!(managed.mints(), 3);
}

#[tokio::test(start_paused = true)]
async fn bug_07_a_fallback_serves_the_rejected_token_again() {
    let managed = Managed::new(Wanted::default());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(DAY - 4 * MINUTE).await;
    // While a renewal is waited for that will fail, the token that would be fallen back on is refused.
    managed.way.takes(2 * SECOND);
    managed.sandbox.begin_outage(DOWN);
    let refuse = async {
        tokio::time::sleep(SECOND).await;
        assert_eq!(managed.tokens.invalidate(&first), Invalidation::Removed);
    };
    let (error, ()) = tokio::join!(kind(&managed, 1), refuse);
    assert_eq!(error, ErrorKind::Server);
}

#[tokio::test(start_paused = true)]
async fn bug_07_an_old_fetch_is_stored_after_an_invalidation() {
    let managed = Managed::new(Wanted::default());
    managed.way.takes(2 * SECOND);
    // It is begun, and takes its time.
    let old = managed.token_that_lasts(1, 10 * MINUTE);
    managed.next_token_is(&old);
    let fetch = async { secret(&managed, 1).await };
    let meanwhile = async {
        tokio::time::sleep(SECOND / 2).await;
        // A login brings a newer one, which is refused.
        let jwt = managed.sandbox.session_jwt(STORE_HASH, 1).unwrap();
        managed.way.takes(Duration::ZERO);
        let newer = managed
            .client
            .exchange_session_jwt(jwt)
            .send()
            .await
            .unwrap();
        let newer = managed.tokens.put(customer(1), &newer).unwrap();
        tokio::time::sleep(SECOND).await;
        assert_eq!(managed.tokens.invalidate(&newer), Invalidation::Removed);
        newer
    };
    let (fetched, newer) = tokio::join!(fetch, meanwhile);
    // What was asked for before the refusal is not taken: it is asked again.
    assert_ne!(fetched, old);
    assert_ne!(fetched, newer.expose_secret());
    assert_eq!(secret(&managed, 1).await, fetched);
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_08_jitter_is_larger_than_the_margin_or_drawn_again_at_each_read() {
    for fraction in [0.0, 0.5, 1.0] {
        let managed = Managed::new(Wanted::default());
        managed.chance.set(fraction);
        let first = secret(&managed, 1).await;
        let due = DAY.mul_f64(0.7 + 0.2 * fraction);
        // Whatever chance says at each read: it was drawn when the token came.
        tokio::time::sleep(due - 10 * MINUTE).await;
        for number in 0..100 {
            managed.chance.set(f64::from(number % 11) / 10.0);
            assert_eq!(secret(&managed, 1).await, first);
            managed.settle().await;
        }
        assert_eq!(managed.mints(), 1, "{fraction}");
        tokio::time::sleep(10 * MINUTE).await;
        assert_eq!(secret(&managed, 1).await, first);
        managed.settle().await;
        assert_eq!(managed.mints(), 2, "{fraction}");
    }
}

#[tokio::test(start_paused = true)]
async fn bug_08_a_million_tokens_of_one_hour_do_not_come_due_in_one_hour() {
    // As the cache draws it: 70 to 90 % of a day, from a moment within one hour.
    let mut due = [0_u32; 24];
    for number in 0..1_000_000 {
        let minted = f64::from(number) / 1_000_000.0;
        let fraction = (f64::from(number) * 0.618_033_988_749_895).fract();
        let hour = minted + 24.0 * (0.7 + 0.2 * fraction);
        due[hour as usize] += 1;
    }
    let most = due.iter().max().unwrap();
    assert!(*most < 220_000, "{due:?}");
    // And as it does it: of tokens minted at once, as many as are due show by what is renewed when all are used.
    let managed = Managed::new(Wanted {
        customers: Some(1_000),
        background_renewals: Some(1_000),
        ..Wanted::default()
    });
    for id in 1..=1_000 {
        managed
            .chance
            .set((id as f64 * 0.618_033_988_749_895).fract());
        secret(&managed, id).await;
    }
    tokio::time::sleep(DAY.mul_f64(0.7)).await;
    let mut asked = managed.mints();
    let mut most = 0;
    for _ in 0..5 {
        for id in 1..=1_000 {
            secret(&managed, id).await;
        }
        managed.settle().await;
        most = most.max(managed.mints() - asked);
        asked = managed.mints();
        tokio::time::sleep(60 * MINUTE).await;
    }
    assert!((150..300).contains(&most), "{most}");
}

/// A service whose tokens last for so long from when they are asked for.
#[derive(Debug)]
struct ShortLived {
    sandbox: Sandbox,
    clock: PausedClock,
    life: Duration,
    minted: AtomicU64,
}

impl Transport for ShortLived {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        let exp = PausedClock::EPOCH + self.clock.elapsed() + self.life;
        // Each of them is another one.
        let jti = self.minted.fetch_add(1, Ordering::Relaxed);
        let token = self
            .sandbox
            .sign(&serde_json::json!({"exp": exp.as_secs(), "jti": jti}));
        Box::pin(async move { Ok(minted(&token)) })
    }
}

/// The reply to a mint.
fn minted(token: &str) -> reqwest::Response {
    let body = serde_json::json!({"code": 200, "data": {"token": [token]}});
    http::Response::new(body.to_string()).into()
}

#[tokio::test(start_paused = true)]
async fn bug_09_a_renewal_loop_on_tokens_that_arrive_nearly_expired() {
    // For two minutes the service gives tokens of so many seconds, and somebody asks ten times a second: a token each three or
    // four seconds, and never one for each that asks. Those of one second are not worth being kept, which is a failure.
    for (life, is_served) in [(5, true), (1, false)] {
        let way = Arc::new(ShortLived {
            sandbox: Sandbox::builder().build(),
            clock: PausedClock::start(),
            life: life * SECOND,
            minted: AtomicU64::new(0),
        });
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .transport(Arc::clone(&way) as Arc<dyn Transport>)
            .clock(Arc::new(way.clock) as Arc<dyn Clock>)
            .jitter(Chance::of(0.5) as Arc<dyn Jitter>)
            .budget_limit(BudgetLimit::unlimited())
            .build()
            .unwrap();
        let tokens = StorefrontTokens::builder().client(client).build();
        for _ in 0..1_200 {
            assert_eq!(tokens.get(customer(1)).await.is_ok(), is_served, "{life}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let minted = way.minted.load(Ordering::Relaxed);
        assert!((24..=60).contains(&minted), "{life}: {minted}");
    }

    // And one that gives the same token until it is over.
    let managed = Managed::new(Wanted {
        assumptions: Some(Assumptions::default().repeated_mint(RepeatedMint::Same)),
        ..Wanted::default()
    });
    for _ in 0..(25 * 60 * 6) {
        let _ = managed.tokens.get(customer(1)).await;
        tokio::time::sleep(10 * SECOND).await;
    }
    assert!(managed.mints() <= 15, "{}", managed.mints());
}

#[tokio::test(start_paused = true)]
async fn bug_10_life_is_counted_from_the_reply() {
    // Twenty seconds for a token of a hundred. Half of that counts as the service's clock being ahead, so that the token is due
    // after 80 % of 90 seconds: 72 s after the request was begun, and not after the reply.
    let managed = Managed::new(Wanted::default());
    managed.way.takes(20 * SECOND);
    managed.next_token_lasts(100 * SECOND);
    let first = secret(&managed, 1).await;
    managed.way.takes(SECOND / 10);
    tokio::time::sleep(52 * SECOND).await;
    assert_eq!(secret(&managed, 1).await, first);
    managed.settle().await;
    assert_ne!(secret(&managed, 1).await, first);
}

#[tokio::test(start_paused = true)]
async fn bug_10_a_token_that_is_dead_on_arrival_is_accepted() {
    let managed = Managed::new(Wanted::default());
    managed.next_token_lasts(Duration::ZERO);
    assert_eq!(kind(&managed, 1).await, ErrorKind::UnexpectedReply);
    assert!(managed.tokens.get_cached(customer(1)).is_none());
}

#[tokio::test(start_paused = true)]
async fn bug_10_the_wall_clock_alone_or_the_monotonic_clock_alone_decides() {
    // A machine that slept: its monotonic clock stood still, the wall clock went on.
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    managed.clock.jump(24 * 3600 - 30);
    tokio::time::sleep(SECOND).await;
    assert_ne!(secret(&managed, 1).await, first);

    // A wall clock that is set back again and again.
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    for _ in 0..24 {
        tokio::time::sleep(60 * MINUTE).await;
        managed.clock.jump(-3600);
    }
    assert_ne!(secret(&managed, 1).await, first);
}

#[tokio::test(start_paused = true)]
async fn bug_11_one_lock_over_all_keys_during_the_network_call() {
    let managed = Managed::new(Wanted {
        customers: Some(100),
        ..Wanted::default()
    });
    managed.way.takes(10 * SECOND);
    let began = tokio::time::Instant::now();
    join_all((1..=100).map(|id| secret(&managed, id))).await;
    assert!(began.elapsed() < 11 * SECOND, "{:?}", began.elapsed());
    assert_eq!(managed.mints(), 100);
    // A hit of one customer while another one's is fetched.
    let mut slow = pin!(managed.tokens.get(
        TokenRequest::new(customer(1)).channel(bigcommerce_b2b_auth::ChannelId::new(2).unwrap())
    ));
    assert!(poll(slow.as_mut()).await.is_pending());
    managed.settle().await;
    assert_eq!(managed.tokens.metrics().fetches_under_way, 1);
    let mut hit = pin!(managed.tokens.get(customer(2)));
    assert!(poll(hit.as_mut()).await.is_ready());
}

#[tokio::test(start_paused = true)]
async fn bug_12_maps_that_grow_for_each_flight_and_each_failure() {
    let managed = Managed::new(Wanted {
        capacity: Some(Capacity::entries(1_000)),
        ..Wanted::default()
    });
    managed.way.takes(Duration::ZERO);
    // Customers that the service does not know: each fails.
    for id in 1_000..13_000 {
        assert_eq!(kind(&managed, id).await, ErrorKind::NotFound);
    }
    let metrics = managed.tokens.metrics();
    assert_eq!((metrics.fetches_under_way, metrics.entries), (0, 0));
    assert!(metrics.failures <= 11_000, "{metrics:?}");
    // Tokens of as many customers, all of them refused. The token names no customer.
    let jwt = managed.sandbox.session_jwt(STORE_HASH, 1).unwrap();
    managed.next_token_of(Operation::Exchange, "opaque", &[]);
    let token = managed
        .client
        .exchange_session_jwt(jwt)
        .send()
        .await
        .unwrap();
    for id in 1_000..13_000 {
        let token = managed.tokens.put(customer(id), &token).unwrap();
        assert_eq!(managed.tokens.invalidate(&token), Invalidation::Removed);
    }
    let metrics = managed.tokens.metrics();
    assert_eq!((metrics.fetches_under_way, metrics.entries), (0, 0));
    assert!(metrics.rejections <= 11_000, "{metrics:?}");

    // What no figure tells: whatever keeps an error keeps what it came from, of which it can be counted how often it is there.
    let cause = Arc::new(());
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::new(Unreachable::for_a(&cause)))
        .budget_limit(BudgetLimit::unlimited())
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder().client(client).build();
    for id in 1_000..17_000 {
        let error = tokens.get(customer(id)).await.unwrap_err();
        let expected = if id % 4 == 0 {
            ErrorKind::NotFound
        } else {
            ErrorKind::Connect
        };
        assert_eq!(error.kind(), expected);
    }
    // As many as failures are remembered.
    let kept = Arc::strong_count(&cause);
    assert!((6_750..=8_250).contains(&kept), "{kept}");
}

/// Hardly anybody can be reached, for a reason that is shared. One request in four is answered, so that it is no outage, which
/// would be one failure for all.
#[derive(Debug, Clone)]
struct Unreachable {
    #[expect(dead_code, reason = "it is counted, and not looked at")]
    cause: Arc<()>,
    requests: Arc<AtomicU64>,
}

impl Unreachable {
    fn for_a(cause: &Arc<()>) -> Self {
        Self {
            cause: Arc::clone(cause),
            requests: Arc::default(),
        }
    }
}

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody is there")
    }
}

impl std::error::Error for Unreachable {}

impl Transport for Unreachable {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        let is_answered = self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(4);
        Box::pin(async move {
            if is_answered {
                let mut reply = http::Response::new("");
                *reply.status_mut() = StatusCode::NOT_FOUND;
                return Ok(reply.into());
            }
            Err(TransportError::new(Delivery::NotSent, self.clone()))
        })
    }
}

#[test]
fn bug_13_no_second_look_after_the_lock() {
    // Whoever missed the cache just before another one's token came must not begin a flight. What happens while time is read for
    // the second time comes after both looks that miss, and before the lock is taken.
    let clock = Arc::new(Meanwhile::default());
    let (client, tokens) = at_once(Arc::clone(&clock) as Arc<dyn Clock>);
    current_thread().block_on(async {
        let token = client
            .mint_storefront_token(customer(1))
            .send()
            .await
            .unwrap();
        let others = tokens.clone();
        clock.during(2, move || {
            others.put(customer(1), &token).unwrap();
        });
        tokens.get(customer(1)).await.unwrap();
    });
    let metrics = tokens.metrics();
    assert_eq!((metrics.puts, metrics.misses, metrics.mints), (1, 1, 0));

    // And real threads that ask for the same customers at the same time, of a service that answers at once. `flight.rs` has the
    // same as a unit test, and the models try it in every order.
    let (_, tokens) = at_once(Arc::new(Meanwhile::default()));
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for id in 1..=500 {
            let callers = (0..8).map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { tokens.get(customer(id)).await.unwrap() })
            });
            join_all(callers).await;
        }
    });
    assert_eq!(tokens.metrics().mints, 500);
}

/// Answers each mint at once, whoever the customer is.
#[derive(Debug)]
struct AtOnce;

impl Transport for AtOnce {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        Box::pin(async move { Ok(minted("a.token")) })
    }
}

/// Answers each mint with this token.
#[derive(Debug)]
struct Gives(String);

impl Transport for Gives {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        Box::pin(async move { Ok(minted(&self.0)) })
    }
}

/// A client and a cache of a service that answers at once.
fn at_once(clock: Arc<dyn Clock>) -> (Client<StoreAccess>, StorefrontTokens) {
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::new(AtOnce))
        .clock(clock)
        .budget_limit(BudgetLimit::unlimited())
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder().client(client.clone()).build();
    (client, tokens)
}

/// A clock that stands still, and during one of whose readings something happens.
#[derive(Default)]
struct Meanwhile(Mutex<Option<(u32, Happening)>>);

type Happening = Box<dyn FnOnce() + Send>;

impl Meanwhile {
    /// During the reading of this number, counted from now on.
    fn during(&self, reading: u32, happening: impl FnOnce() + Send + 'static) {
        *self.0.lock().unwrap() = Some((reading, Box::new(happening)));
    }
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Meanwhile")
    }
}

impl Clock for Meanwhile {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + PausedClock::EPOCH
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    fn reading(&self) -> ClockReading {
        let mut planned = self.0.lock().unwrap();
        if let Some((left, _)) = &mut *planned {
            *left -= 1;
        }
        let happening = planned.take_if(|(left, _)| *left == 0);
        drop(planned);
        if let Some((_, happening)) = happening {
            happening();
        }
        ClockReading {
            wall: PausedClock::EPOCH,
            monotonic: MINUTE,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bug_14_a_task_for_each_key_leaks_and_renews_idle_keys() {
    let managed = Managed::new(Wanted {
        customers: Some(500),
        ..Wanted::default()
    });
    let alive = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = alive();
    for id in 1..=500 {
        secret(&managed, id).await;
    }
    managed.settle().await;
    assert_eq!(alive(), before);
    tokio::time::sleep(7 * DAY).await;
    assert_eq!(managed.mints(), 500);
}

#[tokio::test(start_paused = true)]
async fn bug_15_everything_is_dropped_when_it_is_full() {
    let managed = Managed::new(Wanted {
        customers: Some(1_100),
        capacity: Some(Capacity::entries(1_000)),
        ..Wanted::default()
    });
    for id in 1..=1_100 {
        secret(&managed, id).await;
    }
    let metrics = managed.tokens.metrics();
    assert!(metrics.entries >= 950, "{metrics:?}");
    assert_eq!(metrics.evicted_live + metrics.entries as u64, 1_100);
    assert_eq!(metrics.evicted_expired, 0);
}

/// A store of the fleet that is watched, and broken on demand.
#[derive(Debug)]
struct Watched {
    within: MemoryTokenStore,
    /// What tokens and leases in it are over by.
    clock: Arc<SettableClock>,
    asked: AtomicU64,
    is_down: AtomicU64,
    stalls: AtomicU64,
    is_leased_for_ever: AtomicU64,
    leases_fail: AtomicU64,
    keeps_what_is_rejected: AtomicU64,
    leases: Mutex<Vec<Duration>>,
    owner: Mutex<Option<LeaseOwner>>,
    released: AtomicU64,
}

impl Default for Watched {
    /// By the paused clock, as the rest of the setting: by the real one a test would depend on its date.
    fn default() -> Self {
        let clock = SettableClock::start();
        Self {
            within: MemoryTokenStore::with_clock(100, Arc::clone(&clock) as Arc<dyn Clock>),
            clock,
            asked: AtomicU64::default(),
            is_down: AtomicU64::default(),
            stalls: AtomicU64::default(),
            is_leased_for_ever: AtomicU64::default(),
            leases_fail: AtomicU64::default(),
            keeps_what_is_rejected: AtomicU64::default(),
            leases: Mutex::default(),
            owner: Mutex::default(),
            released: AtomicU64::default(),
        }
    }
}

impl Watched {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn answer<'a, T: Send + 'a>(
        &'a self,
        answer: impl Future<Output = Result<T, StoreError>> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if self.stalls.load(Ordering::Relaxed) > 0 {
                std::future::pending::<()>().await;
            }
            if self.is_down.load(Ordering::Relaxed) > 0 {
                return Err(StoreError::new("this test's store is down"));
            }
            answer.await
        })
    }
}

impl TokenStore for Watched {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        self.answer(self.within.load(key))
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        self.answer(self.within.put_if_newer(key, token, epoch))
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        self.answer(self.within.epoch(key))
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        self.answer(self.within.forget(key))
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        if self.keeps_what_is_rejected.load(Ordering::Relaxed) > 0 {
            return Box::pin(async { Ok(()) });
        }
        self.answer(self.within.reject(key, token))
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        self.leases.lock().unwrap().push(length);
        if self.is_leased_for_ever.load(Ordering::Relaxed) > 0 {
            return Box::pin(async { Ok(Lease::Held) });
        }
        if self.leases_fail.load(Ordering::Relaxed) > 0 {
            return Box::pin(async { Err(StoreError::new("this test's store gives no leases")) });
        }
        self.answer(async move {
            let lease = self.within.lease(key, length).await?;
            if let Lease::Acquired(owner) = lease {
                *self.owner.lock().unwrap() = Some(owner);
            }
            Ok(lease)
        })
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        self.released.fetch_add(1, Ordering::Relaxed);
        self.answer(self.within.release(key, owner))
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.within.fingerprint(customer_access_token)
    }
}

/// The key of a customer's token in a store of the fleet.
fn shared_key(id: u64) -> StoreKey {
    StoreKey::new(StoreHash::new(STORE_HASH).unwrap(), customer(id))
}

fn fleet_of_two(store: &Arc<Watched>) -> (Managed, Managed) {
    let wanted = Wanted {
        shared_store: Some(Arc::clone(store) as Arc<dyn TokenStore>),
        fetch_deadline: Some(10 * SECOND),
        ..Wanted::default()
    };
    let one = Managed::new(wanted.clone());
    let other = one.another(wanted);
    (one, other)
}

#[tokio::test(start_paused = true)]
async fn bug_16_a_hit_touches_the_shared_store() {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    let token = secret(&one, 1).await;
    let asked = store.asked();
    for _ in 0..1_000 {
        assert_eq!(secret(&one, 1).await, token);
    }
    assert_eq!(store.asked(), asked);
    // The other process finds it there, and then has it as well.
    assert_eq!(secret(&other, 1).await, token);
    assert_eq!(secret(&other, 1).await, token);
    assert_eq!((store.asked(), one.mints()), (asked + 1, 1));
    assert_eq!(other.tokens.metrics().from_shared_store, 1);
}

#[tokio::test(start_paused = true)]
async fn bug_16_a_value_without_expiry_comes_back_from_the_shared_store() {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    let token = secret(&one, 1).await;
    let key = shared_key(1);
    assert!(store.within.load(&key).await.unwrap().is_some());
    tokio::time::sleep(DAY).await;
    assert_eq!(store.within.load(&key).await.unwrap(), None);
    // Nor is it taken from a store that does not know that it is over: its clock is a day behind.
    store.clock.jump(-24 * 3600);
    assert!(store.within.load(&key).await.unwrap().is_some());
    assert_ne!(secret(&other, 1).await, token);
    assert_eq!(one.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_16_a_shared_store_that_is_down_is_taken_for_a_failure() {
    for stalls in [0, 1] {
        let store = Arc::new(Watched::default());
        let (one, _) = fleet_of_two(&store);
        store.is_down.store(1, Ordering::Relaxed);
        store.stalls.store(stalls, Ordering::Relaxed);
        let began = tokio::time::Instant::now();
        secret(&one, 1).await;
        secret(&one, 2).await;
        // A tenth of a second at most, and it is not asked again at once.
        assert!(
            began.elapsed() < Duration::from_millis(250),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(one.mints(), 2);
        assert_eq!(one.tokens.metrics().shared_store_errors, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn bug_16_a_lease_is_shorter_than_the_mint_or_freed_by_a_non_owner_or_an_error_is_taken_for_held()
 {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    one.way.takes(4 * SECOND);
    other.way.takes(4 * SECOND);
    // Both at once: one mints, and the other one waits for it.
    let (first, second) = tokio::join!(secret(&one, 1), secret(&other, 1));
    assert_eq!(first, second);
    assert_eq!(one.mints(), 1);
    let longest = 10 * SECOND;
    assert!(
        store
            .leases
            .lock()
            .unwrap()
            .iter()
            .all(|lease| *lease > longest)
    );
    // Released by who had it, and by nobody else.
    one.settle().await;
    assert_eq!(store.released.load(Ordering::Relaxed), 1);
    let lease_of = async |id| store.within.lease(&shared_key(id), MINUTE).await.unwrap();
    assert_ne!(lease_of(1).await, Lease::Held);

    // A lease that was lost meanwhile, and is somebody else's by now, stays theirs.
    let mut get = pin!(secret(&one, 4));
    assert!(poll(get.as_mut()).await.is_pending());
    tokio::time::sleep(SECOND).await;
    let owner = store.owner.lock().unwrap().unwrap();
    store.within.release(&shared_key(4), owner).await.unwrap();
    assert_ne!(lease_of(4).await, Lease::Held);
    get.await;
    one.settle().await;
    assert_eq!(store.released.load(Ordering::Relaxed), 2);
    assert_eq!(lease_of(4).await, Lease::Held);

    // A process that dies with its lease: the others wait for a while, and then mint alone.
    one.way.takes(SECOND);
    store.is_leased_for_ever.store(1, Ordering::Relaxed);
    let mints = one.mints();
    let began = tokio::time::Instant::now();
    secret(&one, 2).await;
    assert!(began.elapsed() < 7 * SECOND, "{:?}", began.elapsed());
    assert_eq!(one.mints(), mints + 1);

    // An error is neither, also where what is asked before it is answered.
    store.leases_fail.store(1, Ordering::Relaxed);
    store.is_leased_for_ever.store(0, Ordering::Relaxed);
    let began = tokio::time::Instant::now();
    secret(&one, 3).await;
    assert!(began.elapsed() < 2 * SECOND, "{:?}", began.elapsed());
    assert_eq!(one.tokens.metrics().shared_store_errors, 1);
}

#[tokio::test(start_paused = true)]
async fn bug_16_a_rejection_is_not_told_to_the_fleet() {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    let token = one.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SECOND).await;
    assert_eq!(one.tokens.invalidate(&token), Invalidation::Removed);
    one.settle().await;
    assert_ne!(secret(&other, 1).await, token.expose_secret());
    assert_eq!(one.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_17_a_retry_loop_in_each_layer() {
    let managed = Managed::new(Wanted {
        retries: true,
        ..Wanted::default()
    });
    managed.sandbox.begin_outage(DOWN);
    let kinds = join_all((0..100).map(|_| kind(&managed, 1))).await;
    assert!(kinds.iter().all(|kind| *kind == ErrorKind::Server));
    // The client's four attempts, and not four for each caller or each layer.
    assert_eq!(managed.mints(), 4);

    // What the service asks for is waited: by the client in the call, by the cache after it.
    let managed = Managed::new(Wanted::default());
    let pause = Fault::Maintenance {
        retry_after: 90 * SECOND,
    };
    managed.sandbox.begin_outage(pause);
    kind(&managed, 1).await;
    tokio::time::sleep(89 * SECOND).await;
    kind(&managed, 1).await;
    assert_eq!(managed.mints(), 1);
    tokio::time::sleep(2 * SECOND).await;
    kind(&managed, 1).await;
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_18_a_cache_timeout_shorter_than_the_retries_or_a_detached_mint_with_none() {
    // There is time for a first attempt that never ends, and for the one that the call inside makes after it.
    let managed = Managed::new(Wanted {
        retries: true,
        ..Wanted::default()
    });
    managed.sandbox.fail_next(
        Operation::Mint,
        Fault::StallBeforeReply {
            moment: Moment::BeforeEffect,
        },
    );
    secret(&managed, 1).await;
    assert_eq!(managed.mints(), 2);

    // The call inside knows the fetch's deadline: it ends by itself, with what failed, and nothing goes on behind.
    let managed = Managed::new(Wanted {
        retries: true,
        fetch_deadline: Some(3 * SECOND),
        ..Wanted::default()
    });
    managed.sandbox.begin_outage(Fault::StallBeforeReply {
        moment: Moment::BeforeEffect,
    });
    let began = tokio::time::Instant::now();
    assert_eq!(kind(&managed, 1).await, ErrorKind::Timeout);
    assert!(began.elapsed() <= 4 * SECOND, "{:?}", began.elapsed());
    assert_eq!(managed.tokens.metrics().fetches_under_way, 0);
    let asked = managed.mints();
    tokio::time::sleep(MINUTE).await;
    assert_eq!(managed.mints(), asked);

    // Nobody waits, and it ends all the same.
    let managed = Managed::new(Wanted::default());
    managed.sandbox.begin_outage(Fault::StallBeforeReply {
        moment: Moment::BeforeEffect,
    });
    let mut get = Box::pin(managed.tokens.get(customer(1)));
    assert!(poll(get.as_mut()).await.is_pending());
    managed.settle().await;
    drop(get);
    assert_eq!(managed.tokens.metrics().fetches_under_way, 1);
    tokio::time::sleep(3 * MINUTE).await;
    assert_eq!(managed.tokens.metrics().fetches_under_way, 0);
}

#[tokio::test(start_paused = true)]
async fn bug_19_the_first_callers_deadline_is_kept_in_the_shared_flight() {
    let managed = Managed::new(Wanted::default());
    managed.way.takes(SECOND);
    let hurried = TokenRequest::new(customer(1)).wait_at_most(Duration::from_millis(10));
    let (hurried, patient) = tokio::join!(managed.tokens.get(hurried), secret(&managed, 1));
    assert_eq!(hurried.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(!patient.is_empty());
    assert_eq!(managed.mints(), 1);
}

/// Writes down which span is the child of which, and which follows from which.
#[derive(Debug, Clone, Default)]
struct Family(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber + for<'s> LookupSpan<'s>> Layer<S> for Family {
    fn on_new_span(
        &self,
        _: &tracing::span::Attributes<'_>,
        id: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let span = context.span(id).unwrap();
        let parent = span.parent().map_or("none", |parent| parent.name());
        self.0
            .lock()
            .unwrap()
            .push(format!("{} in {parent}", span.name()));
    }

    fn on_follows_from(
        &self,
        id: &tracing::span::Id,
        follows: &tracing::span::Id,
        context: Context<'_, S>,
    ) {
        let name = |id| context.span(id).unwrap().name();
        self.0
            .lock()
            .unwrap()
            .push(format!("{} after {}", name(id), name(follows)));
    }
}

#[tokio::test(start_paused = true)]
async fn bug_19_the_first_callers_span_is_kept_in_the_shared_flight() {
    use tracing::Instrument as _;

    let family = Family::default();
    // As long as there is a single subscriber, tracing takes it that a span is of no interest when who comes to it first is
    // another test's thread. With two it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry().with(family.clone());
    let _guard = tracing::subscriber::set_default(subscriber);
    let managed = Managed::new(Wanted::default());
    let (first, second) = (tracing::info_span!("first"), tracing::info_span!("second"));
    tokio::join!(
        secret(&managed, 1).instrument(first),
        secret(&managed, 1).instrument(second)
    );
    let seen = family.0.lock().unwrap().clone();
    assert_eq!(
        seen,
        [
            "first in none",
            "second in none",
            "b2b_auth.fetch in none",
            "first after b2b_auth.fetch",
            "second after b2b_auth.fetch",
            "b2b_auth.call in b2b_auth.fetch",
            "b2b_auth.attempt in b2b_auth.call",
        ]
    );
}

/// A store that takes its time to keep what it is given.
#[derive(Debug)]
struct SlowToKeep(MemoryTokenStore);

impl TokenStore for SlowToKeep {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        self.0.load(key)
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(90)).await;
            self.0.put_if_newer(key, token, epoch).await
        })
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        self.0.epoch(key)
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        self.0.forget(key)
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        self.0.reject(key, token)
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        self.0.lease(key, length)
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        self.0.release(key, owner)
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.0.fingerprint(customer_access_token)
    }
}

#[tokio::test(start_paused = true)]
async fn bug_07_a_flight_that_has_its_token_brings_it_after_it_was_refused() {
    let clock = SettableClock::start();
    let within = MemoryTokenStore::with_clock(10, clock as Arc<dyn Clock>);
    let managed = Managed::new(Wanted {
        shared_store: Some(Arc::new(SlowToKeep(within)) as Arc<dyn TokenStore>),
        ..Wanted::default()
    });
    // The service's next token is of another second, and so another one.
    tokio::time::sleep(Duration::from_millis(960)).await;
    let mut early = pin!(secret(&managed, 1));
    assert!(poll(early.as_mut()).await.is_pending());
    // The token is here, and the flight still tells the store.
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert_eq!(managed.tokens.metrics().fetches_under_way, 1);
    let token = managed.tokens.get(customer(1)).await.unwrap();
    assert_eq!(managed.tokens.invalidate(&token), Invalidation::Removed);
    assert_ne!(secret(&managed, 1).await, token.expose_secret());
    assert_ne!(early.await, token.expose_secret());
}

#[tokio::test(start_paused = true)]
async fn bug_22_an_expiry_that_is_not_said_by_a_401_is_never_noticed() {
    let judge = ResponseJudge::new(|response| match (response.status.as_u16(), response.body) {
        (419 | 501, _) => Judgement::TokenRejected,
        (200, Some(b"token has expired")) => Judgement::TokenRejected,
        _ => Judgement::NoOpinion,
    });
    let headers = http::HeaderMap::new();
    for (status, body) in [(419, "no"), (501, "no"), (200, "token has expired")] {
        let managed = Managed::new(Wanted::default());
        let old = secret(&managed, 1).await;
        // Within one second the service would sign the same token again.
        tokio::time::sleep(SECOND).await;
        let mut sent = 0;
        let call = managed.tokens.call(customer(1), |token| {
            sent += 1;
            let (status, body) = if token.expose_secret() == old {
                (status, body)
            } else {
                (200, "an order")
            };
            let status = StatusCode::from_u16(status).unwrap();
            let view = ResponseView::new(status, &headers).with_body(body.as_bytes());
            let answer = judge.answer(&view, body);
            async move { Ok::<_, std::convert::Infallible>(answer) }
        });
        assert_eq!(call.await.unwrap(), "an order");
        assert_eq!((sent, managed.mints()), (2, 2), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn bug_25_a_token_dies_during_the_job_that_it_was_taken_for() {
    const JOB: Duration = Duration::from_secs(6 * 3600);
    let managed = Managed::new(Wanted::default());
    let old = secret(&managed, 1).await;
    // It is not due to be renewed yet, and has five hours left.
    tokio::time::sleep(SOFT - MINUTE).await;
    let request = TokenRequest::new(customer(1)).valid_for_at_least(JOB);
    let token = managed.tokens.get(request.clone()).await.unwrap();
    assert_ne!(token.expose_secret(), old);
    assert!(token.remaining(managed.clock.true_time()) >= JOB);
    assert_eq!(managed.mints(), 2);
    // The new one is what others get, and what the next job gets.
    assert_eq!(secret(&managed, 1).await, token.expose_secret());
    let next = managed.tokens.get(request).await.unwrap();
    assert_eq!(next.expose_secret(), token.expose_secret());
    assert_eq!(managed.mints(), 2);
}

#[test]
fn bug_25_a_token_that_is_too_short_comes_in_between() {
    // As for bug 13: it is put in after the look that missed, and before the lock is taken.
    let clock = Arc::new(Meanwhile::default());
    let (client, tokens) = at_once(Arc::clone(&clock) as Arc<dyn Clock>);
    let short = (PausedClock::EPOCH + 60 * MINUTE).as_secs();
    let short = Sandbox::builder().build().sign(&json!({ "exp": short }));
    let login = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::new(Gives(short.clone())))
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .build()
        .unwrap();
    current_thread().block_on(async {
        let put = login.mint_storefront_token(customer(1)).send().await;
        let (put, others) = (put.unwrap(), tokens.clone());
        clock.during(2, move || {
            others.put(customer(1), &put).unwrap();
        });
        let request = TokenRequest::new(customer(1)).valid_for_at_least(120 * MINUTE);
        let token = tokens.get(request).await.unwrap();
        assert_ne!(token.expose_secret(), short);
    });
    let metrics = tokens.metrics();
    assert_eq!((metrics.puts, metrics.mints), (1, 1));
    drop(client);
}

/// Other customers fill the cache until this one's token has to go.
async fn evict(managed: &Managed, id: u64) {
    // What is used more than once stays, so that the others are as well.
    for other in 20..50 {
        for _ in 0..3 {
            secret(managed, other).await;
        }
    }
    assert!(managed.tokens.get_cached(customer(id)).is_none());
}

/// A cache for five tokens, in a store of fifty customers.
fn small() -> Wanted {
    Wanted {
        customers: Some(50),
        capacity: Some(Capacity::entries(5)),
        ..Wanted::default()
    }
}

/// Waits until the service signs another token than a second ago.
async fn next_second() {
    tokio::time::sleep(SECOND).await;
}

#[tokio::test(start_paused = true)]
async fn bug_28_a_renewal_right_after_a_flight_landed_asked_for_with_the_old_token() {
    let managed = Managed::new(Wanted::default());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    next_second().await;
    // A hundred callers sent the first token. One rejection arrives, and the others while its mint is under way.
    assert_eq!(managed.tokens.invalidate(&first), Invalidation::Removed);
    let mut get = pin!(secret(&managed, 1));
    assert!(poll(get.as_mut()).await.is_pending());
    for _ in 0..50 {
        assert_eq!(managed.tokens.invalidate(&first), Invalidation::Late);
    }
    let second = get.await;
    // The rest arrives when the next token is there.
    for _ in 0..50 {
        assert_eq!(managed.tokens.invalidate(&first), Invalidation::Late);
        assert_eq!(secret(&managed, 1).await, second);
    }
    managed.settle().await;
    assert_eq!(managed.mints(), 2);
    let metrics = managed.tokens.metrics();
    assert_eq!((metrics.invalidated, metrics.invalidated_late), (1, 100));
}

#[tokio::test(start_paused = true)]
async fn bug_28_a_late_rejection_after_the_next_token_was_evicted_refuses_nobody() {
    let managed = Managed::new(small());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    next_second().await;
    managed.tokens.invalidate(&first);
    secret(&managed, 1).await;
    evict(&managed, 1).await;
    assert_eq!(managed.tokens.invalidate(&first), Invalidation::Late);
    // Nothing is known against the token that was evicted: another one is minted for the want of it alone.
    let before = managed.tokens.metrics();
    secret(&managed, 1).await;
    let after = managed.tokens.metrics();
    assert_eq!(after.mints, before.mints + 1);
    assert_eq!(after.fetches_forced, before.fetches_forced);
}

#[tokio::test(start_paused = true)]
async fn bug_28_a_late_rejection_after_another_token_was_put_in_mints_nothing() {
    let managed = Managed::new(small());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    let jwt = managed.sandbox.session_jwt(STORE_HASH, 1).unwrap();
    next_second().await;
    let exchanged = managed.client.exchange_session_jwt(jwt).send().await;
    let second = managed
        .tokens
        .put(customer(1), &exchanged.unwrap())
        .unwrap();
    assert_eq!(managed.tokens.invalidate(&first), Invalidation::Late);
    assert_eq!(secret(&managed, 1).await, second.expose_secret());
    assert_eq!(managed.mints(), 1);
    // The rejection counts all the same: the first token does not come back.
    evict(&managed, 1).await;
    let before = managed.tokens.metrics();
    managed.next_token_is(first.expose_secret());
    assert_ne!(secret(&managed, 1).await, first.expose_secret());
    let after = managed.tokens.metrics();
    assert_eq!(after.fetches_forced, before.fetches_forced);
}

#[tokio::test(start_paused = true)]
async fn bug_28_a_late_rejection_after_the_next_token_came_from_the_shared_store_mints_nothing() {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    let first = one.tokens.get(customer(1)).await.unwrap();
    let same = other.tokens.get(customer(1)).await.unwrap();
    next_second().await;
    // The other process notices first.
    other.tokens.invalidate(&same);
    other.settle().await;
    let second = secret(&other, 1).await;
    assert_eq!(one.tokens.invalidate(&first), Invalidation::Removed);
    assert_eq!(secret(&one, 1).await, second);
    assert_eq!(one.tokens.invalidate(&first), Invalidation::Late);
    one.settle().await;
    assert_eq!(secret(&one, 1).await, second);
    assert_eq!(secret(&other, 1).await, second);
    assert_eq!(one.mints(), 2);
    // In another process the second token is not touched by it either.
    let third = one.another(Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        ..Wanted::default()
    });
    assert_eq!(secret(&third, 1).await, second);
    assert_eq!(one.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn bug_28_calls_whose_rejections_come_one_after_the_other_share_one_mint() {
    let managed = Managed::new(Wanted::default());
    let first = managed.tokens.get(customer(1)).await.unwrap();
    next_second().await;
    // The data API rejects the first token: at once, while its replacement is minted, and after that.
    let call = async |after: u64| {
        let answer = managed.tokens.call(customer(1), |token| {
            let is_first = token.expose_secret() == first.expose_secret();
            async move {
                if !is_first {
                    return Ok::<_, std::convert::Infallible>(Answer::Accepted(
                        token.expose_secret().to_owned(),
                    ));
                }
                tokio::time::sleep(Duration::from_millis(after)).await;
                Ok(Answer::Refused(String::new()))
            }
        });
        answer.await.unwrap()
    };
    let sent = join_all([0, 0, 20, 49, 50, 51, 52, 1_000, 30_000].map(call)).await;
    assert!(sent.iter().all(|token| *token == sent[0]), "{sent:?}");
    assert_ne!(sent[0], first.expose_secret());
    assert_eq!(managed.mints(), 2);
}

/// The cache of a store that has worked, whose access token is not accepted any more; customers 1 and 2 have met that, so that
/// it is the store's failure.
async fn with_a_stale_access_token(access: StoreAccess) -> Setting {
    let setting = Setting::with_access(20, access);
    setting.tokens.get(customer(20)).await.unwrap();
    setting.service.accept("new");
    for id in [1, 2] {
        let error = setting.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated);
        assert_eq!(error.remembered_for(), None);
    }
    assert_refused(&setting.tokens, &[1, 2, 3]).await;
    setting
}

/// Each of these customers is refused because of what is remembered.
async fn assert_refused(tokens: &StorefrontTokens, customers: &[u64]) {
    for id in customers {
        let error = tokens.get(customer(*id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthenticated, "{id}");
        assert!(error.remembered_for().is_some(), "{id}: {error}");
    }
}

/// Each of these customers gets a token, at once.
async fn assert_served(tokens: &StorefrontTokens, customers: impl IntoIterator<Item = u64>) {
    for id in customers {
        if let Err(error) = tokens.get(customer(id)).await {
            panic!("{id}: {error}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_secret_that_was_rotated_is_not_seen_until_a_timer_ends() {
    let token = RotatingSecret::new(ACCESS_TOKEN);
    let access = StoreAccess::from_provider(STORE_HASH, token.clone()).unwrap();
    let setting = with_a_stale_access_token(access).await;
    // As long as it is the old one, nothing is sent.
    let before = setting.service.mints();
    tokio::time::sleep(10 * SECOND).await;
    assert_refused(&setting.tokens, &[1, 2, 3, 4]).await;
    assert_eq!(setting.service.mints(), before);
    token.set("new");
    // Those who failed, and those who did not; all of them at once.
    let all = join_all((1..=10).map(|id| setting.tokens.get(customer(id)))).await;
    assert!(all.iter().all(Result::is_ok));
    // A token that does not work either is a failure of its own.
    token.set("wrong");
    for id in [11, 12] {
        let error = setting.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.remembered_for(), None);
    }
    assert_refused(&setting.tokens, &[11, 12, 13]).await;
    token.set("new");
    assert_served(&setting.tokens, 11..=15).await;
}

#[tokio::test(start_paused = true)]
async fn bug_30_one_customers_failure_outlives_the_access_token_that_it_happened_with() {
    // The store has worked, and one customer alone has met the refusal; or it never worked.
    for has_worked in [true, false] {
        let token = RotatingSecret::new(ACCESS_TOKEN);
        let access = StoreAccess::from_provider(STORE_HASH, token.clone()).unwrap();
        let setting = Setting::with_access(20, access);
        if has_worked {
            assert_served(&setting.tokens, [20]).await;
        }
        setting.service.accept("new");
        // Several times, so that it is remembered for minutes.
        for _ in 0..4 {
            setting.tokens.get(customer(1)).await.unwrap_err();
            tokio::time::sleep(6 * MINUTE).await;
        }
        setting.tokens.get(customer(1)).await.unwrap_err();
        assert_refused(&setting.tokens, &[1]).await;
        token.set("new");
        assert_served(&setting.tokens, [1, 2, 3]).await;
    }
}

/// A provider that takes its time, and has what it is told to have.
#[derive(Debug, Clone)]
struct Vault(Arc<Mutex<VaultState>>);

#[derive(Debug)]
struct VaultState {
    secret: Option<&'static str>,
    takes: Duration,
    asked: u64,
}

impl Vault {
    fn new(secret: &'static str, takes: Duration) -> Self {
        Self(Arc::new(Mutex::new(VaultState {
            secret: Some(secret),
            takes,
            asked: 0,
        })))
    }

    fn has(&self, secret: Option<&'static str>) {
        self.0.lock().unwrap().secret = secret;
    }

    fn takes(&self, time: Duration) {
        self.0.lock().unwrap().takes = time;
    }

    fn asked(&self) -> u64 {
        self.0.lock().unwrap().asked
    }
}

impl SecretProvider for Vault {
    fn secret<'a>(&'a self, _: Option<&'a Secret>) -> SecretFuture<'a> {
        let (secret, takes) = {
            let mut state = self.0.lock().unwrap();
            state.asked += 1;
            (state.secret, state.takes)
        };
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            secret
                .map(Secret::from)
                .ok_or_else(|| "the vault is sealed".into())
        })
    }
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_provider_that_has_another_secret_is_not_asked_until_a_timer_ends() {
    let vault = Vault::new(ACCESS_TOKEN, SECOND / 10);
    let access = StoreAccess::from_provider(STORE_HASH, vault.clone()).unwrap();
    let setting = with_a_stale_access_token(access).await;
    let before = setting.service.mints();
    // It has the old one, has none, or does not answer in time: the refusal stays, and nobody waits for long.
    for (secret, takes) in [
        (Some(ACCESS_TOKEN), SECOND / 10),
        (None, SECOND / 10),
        (Some("new"), MINUTE),
    ] {
        vault.has(secret);
        vault.takes(takes);
        let began = tokio::time::Instant::now();
        assert_refused(&setting.tokens, &[1, 3]).await;
        assert!(began.elapsed() <= 2 * SECOND, "{:?}", began.elapsed());
    }
    assert_eq!(setting.service.mints(), before);
    // Those who are refused at the same time ask it once.
    vault.takes(SECOND / 10);
    vault.has(Some(ACCESS_TOKEN));
    let asked = vault.asked();
    let all = join_all((1..=19).map(|id| setting.tokens.get(customer(id)))).await;
    assert!(all.iter().all(Result::is_err));
    assert_eq!(vault.asked(), asked + 1);
    vault.has(Some("new"));
    let all = join_all((1..=10).map(|id| setting.tokens.get(customer(id)))).await;
    assert!(all.iter().all(Result::is_ok));
    // While nothing is remembered it is asked by the calls alone.
    let asked = vault.asked();
    assert_served(&setting.tokens, 1..=15).await;
    assert_eq!(vault.asked(), asked + 5);
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_provider_that_had_no_secret_is_not_asked_until_a_timer_ends() {
    let vault = Vault::new(ACCESS_TOKEN, SECOND / 10);
    let access = StoreAccess::from_provider(STORE_HASH, vault.clone()).unwrap();
    let setting = Setting::with_access(20, access);
    assert_served(&setting.tokens, [20]).await;
    vault.has(None);
    // No customer is involved: the first failure concerns all.
    for id in 1..=3 {
        let error = setting.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CredentialsUnavailable);
        assert_eq!(error.remembered_for().is_some(), id > 1);
    }
    vault.has(Some(ACCESS_TOKEN));
    assert_served(&setting.tokens, 1..=10).await;
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_client_with_another_access_token_is_refused_because_of_the_first_one() {
    let access = StoreAccess::new(STORE_HASH, ACCESS_TOKEN).unwrap();
    let setting = with_a_stale_access_token(access).await;
    let client = setting
        .client
        .for_store(StoreAccess::new(STORE_HASH, "new").unwrap());
    let with_new = setting.tokens.for_store(client);
    // The old one stays refused as long as nothing shows that the store works.
    assert_refused(&setting.tokens, &[1, 2, 3]).await;
    assert_served(&with_new, [1, 2, 3]).await;
    // What is in the cache is for both of them. The old one is tried again, and is refused on its own.
    assert_served(&setting.tokens, [1, 2, 3]).await;
    for id in [4, 5] {
        let error = setting.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.remembered_for(), None);
    }
    let before = setting.service.mints();
    assert_refused(&setting.tokens, &[4, 5, 6]).await;
    assert_eq!(setting.service.mints(), before);
    assert_served(&with_new, 4..=8).await;
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_call_that_succeeds_does_not_end_a_remembered_failure() {
    let access = StoreAccess::new(STORE_HASH, ACCESS_TOKEN).unwrap();
    let setting = with_a_stale_access_token(access).await;
    // The same token is accepted again. Nobody can know that, until a call succeeds outside of the cache.
    setting.service.accept(ACCESS_TOKEN);
    assert_refused(&setting.tokens, &[3]).await;
    let relative = setting.client.for_store(
        StoreAccess::from_provider(STORE_HASH, RotatingSecret::new(ACCESS_TOKEN)).unwrap(),
    );
    relative
        .mint_storefront_token(customer(19))
        .send()
        .await
        .unwrap();
    assert_served(&setting.tokens, 2..=10).await;
    // A call that fails, or that does without the access token, shows nothing.
    let access = StoreAccess::new(STORE_HASH, ACCESS_TOKEN).unwrap();
    let setting = with_a_stale_access_token(access).await;
    let failed = setting.client.mint_storefront_token(customer(19)).send();
    assert!(failed.await.is_err());
    let jwt = setting.sandbox.session_jwt(STORE_HASH, 19).unwrap();
    let exchanged = setting.client.exchange_session_jwt(jwt).send();
    assert!(exchanged.await.is_ok());
    assert_refused(&setting.tokens, &[3]).await;
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_failure_is_remembered_for_the_access_token_that_was_sent_last() {
    // The call asks its provider for a newer token when the first one is refused, and sends that.
    let token = RotatingSecret::new(ACCESS_TOKEN);
    #[derive(Debug)]
    struct Newer(RotatingSecret);
    impl SecretProvider for Newer {
        fn secret<'a>(&'a self, refused: Option<&'a Secret>) -> SecretFuture<'a> {
            if refused.is_some_and(|refused| refused.expose_secret() == "first") {
                self.0.set("second");
            }
            let secret = self.0.get();
            Box::pin(async move { Ok(secret) })
        }
    }
    let access = StoreAccess::from_provider(STORE_HASH, Newer(token.clone())).unwrap();
    let setting = Setting::with_access(20, access);
    assert_served(&setting.tokens, [20]).await;
    setting.service.accept("third");
    token.set("first");
    for id in [1, 2] {
        let error = setting.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.remembered_for(), None);
    }
    assert_eq!(token.get().expose_secret(), "second");
    // It counts for the second one, and not for the first.
    let before = setting.service.mints();
    assert_refused(&setting.tokens, &[1, 2, 3]).await;
    assert_eq!(setting.service.mints(), before);
    token.set("third");
    assert_served(&setting.tokens, 1..=5).await;
}

#[tokio::test(start_paused = true)]
async fn bug_30_a_renewal_in_the_background_is_refused_though_the_access_token_is_another_one() {
    let rotating = RotatingSecret::new(ACCESS_TOKEN);
    let vault = Vault::new(ACCESS_TOKEN, SECOND / 10);
    type Change = Box<dyn Fn()>;
    let changes: [(StoreAccess, Change); 2] = [
        (
            StoreAccess::from_provider(STORE_HASH, rotating.clone()).unwrap(),
            Box::new(move || rotating.set("new")),
        ),
        (
            StoreAccess::from_provider(STORE_HASH, vault.clone()).unwrap(),
            Box::new(move || vault.has(Some("new"))),
        ),
    ];
    for (access, change) in changes {
        let setting = Setting::with_access(20, access);
        assert_served(&setting.tokens, 4..=9).await;
        let secret = |id| {
            let token = setting.tokens.get_cached(customer(id)).unwrap();
            token.expose_secret().to_owned()
        };
        let old: Vec<_> = (4..=9).map(secret).collect();
        tokio::time::sleep(SOFT).await;
        setting.service.accept("new");
        for id in [1, 2] {
            setting.tokens.get(customer(id)).await.unwrap_err();
        }
        let before = setting.service.mints();
        // With the old one nothing is sent, and the token is served.
        assert_eq!(secret(4), old[0]);
        tokio::time::sleep(SECOND).await;
        assert_eq!(setting.service.mints(), before);
        change();
        for id in 5..=9 {
            assert_eq!(secret(id), old[id as usize - 4]);
        }
        tokio::time::sleep(SECOND).await;
        for id in 5..=9 {
            assert_ne!(secret(id), old[id as usize - 4], "{id}");
        }
        assert_eq!(setting.service.mints(), before + 5);
        // The one that had to wait comes to its turn as well.
        tokio::time::sleep(MINUTE).await;
        secret(4);
        tokio::time::sleep(SECOND).await;
        assert_ne!(secret(4), old[0]);
    }
}

#[tokio::test(start_paused = true)]
async fn bug_23_another_process_renewed_it_and_this_one_fails_without_looking() {
    let store = Arc::new(Watched::default());
    let (one, other) = fleet_of_two(&store);
    let old = secret(&one, 1).await;
    assert_eq!(secret(&other, 1).await, old);
    // The old token is in its last minutes. This process renews it, in vain, and so does another one, which had more luck.
    tokio::time::sleep(DAY - 4 * MINUTE).await;
    other.way.takes(2 * SECOND);
    other.sandbox.fail_next(Operation::Mint, DOWN);
    let mut failing = pin!(secret(&other, 1));
    assert!(poll(failing.as_mut()).await.is_pending());
    tokio::time::sleep(SECOND / 2).await;
    let renewed = one.token_that_lasts(1, DAY);
    let now = one.clock.true_time();
    let stored = StoredToken::new(renewed.as_str(), now + DAY, now);
    let put = store
        .within
        .put_if_newer(&shared_key(1), &stored, CustomerEpoch::default())
        .await;
    assert_eq!(put.unwrap(), Put::Stored);
    assert_eq!(failing.await, renewed);
    assert_eq!(secret(&other, 1).await, renewed);
    let metrics = other.tokens.metrics();
    assert_eq!((metrics.served_around, metrics.fetches_failed), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn bug_27_a_load_that_never_ends_freezes_readers() {
    let store = Arc::new(Watched::default());
    let (one, _) = fleet_of_two(&store);
    let there = secret(&one, 1).await;
    store.stalls.store(1, Ordering::Relaxed);
    let began = tokio::time::Instant::now();
    let readers = (2..=10).map(|id| secret(&one, id));
    let hits = (0..100).map(|_| secret(&one, 1));
    let (_, hits) = tokio::join!(join_all(readers), join_all(hits));
    assert!(hits.iter().all(|token| *token == there));
    // A tenth of a second for the backend, and a mint.
    assert!(
        began.elapsed() < Duration::from_millis(200),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(one.mints(), 10);
}

#[tokio::test(start_paused = true)]
async fn bug_31_a_late_response_does_not_bring_back_a_customer_who_logged_out() {
    let managed = Managed::new(Wanted::default());
    managed.way.takes(Duration::from_secs(10));
    let minting = tokio::spawn({
        let tokens = managed.tokens.clone();
        async move { tokens.get(customer(1)).await }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    managed.tokens.forget(customer(1));
    let error = minting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forgotten);
    assert_eq!(managed.mints(), 1);
    assert!(managed.tokens.get_cached(customer(1)).is_none());
}

/// A store of the fleet that keeps what it is given, by the true time.
fn backend(managed: &Managed) -> Arc<MemoryTokenStore> {
    Arc::new(MemoryTokenStore::with_clock(
        100,
        Arc::clone(&managed.clock) as Arc<dyn Clock>,
    ))
}

/// A token of customer 1 by an exchange.
async fn exchange(managed: &Managed) -> Result<StorefrontToken, Error> {
    let exchange = managed.client.exchange_session_jwt("a session JWT");
    Ok(exchange.send().await?.into_value())
}

#[tokio::test(start_paused = true)]
async fn bug_20_the_date_of_a_cached_response_lengthens_a_life() {
    let hour = 60 * MINUTE;
    // A response that a cache kept for 20 hours, with a token of one hour.
    for marker in [
        ("age", "72000"),
        ("x-cache", "Hit from cloudfront"),
        ("cf-cache-status", "HIT"),
    ] {
        let managed = Managed::new(Wanted::default());
        for _ in 0..4 {
            let token = managed.token_that_lasts(1, hour);
            let date = http_date(managed.clock.true_time() - 20 * hour);
            managed.next_token_of(Operation::Exchange, &token, &[("date", &date), marker]);
            let token = exchange(&managed).await.unwrap();
            let token = managed.tokens.put(customer(1), &token).unwrap();
            let now = managed.clock.true_time();
            assert!(token.remaining(now) <= hour, "{marker:?}");
        }
        tokio::time::sleep(hour).await;
        assert!(managed.tokens.get_cached(customer(1)).is_none());
    }
    // Where the response does not say that it was cached: one or two are not believed, and three in a row for five minutes.
    let managed = Managed::new(Wanted::default());
    for (number, longest) in [(1, hour), (2, hour), (3, hour + 5 * MINUTE)] {
        let token = managed.token_that_lasts(1, hour);
        let date = http_date(managed.clock.true_time() - 20 * hour);
        managed.next_token_of(Operation::Exchange, &token, &[("date", &date)]);
        let token = exchange(&managed).await.unwrap();
        let token = managed.tokens.put(customer(1), &token).unwrap();
        let remaining = token.remaining(managed.clock.true_time());
        assert!(remaining <= longest, "{number}: {remaining:?}");
        assert!(remaining > longest - MINUTE, "{number}: {remaining:?}");
    }
    // A `Date` that shortens acts at once.
    let token = managed.token_that_lasts(1, hour);
    let date = http_date(managed.clock.true_time() + hour / 2);
    managed.next_token_of(Operation::Exchange, &token, &[("date", &date)]);
    let token = exchange(&managed).await.unwrap();
    let token = managed.tokens.put(customer(1), &token).unwrap();
    assert!(token.remaining(managed.clock.true_time()) <= hour / 2);
}

#[tokio::test(start_paused = true)]
async fn bug_21_a_token_of_the_wrong_identity_is_minted_and_kept() {
    let before = Managed::new(Wanted::default());
    let store = backend(&before);
    let wanted = Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        retries: true,
        ..Wanted::default()
    };
    let managed = before.another(wanted);
    let exp = managed.in_seconds(24 * 3600);
    for (id, claims) in [
        (1, serde_json::json!({"bc_customer_id": 700_007})),
        (2, serde_json::json!({"bc_customer_id": "700007"})),
        (3, serde_json::json!({"customer": {"id": 700_007}})),
        (
            4,
            serde_json::json!({"bc_customer_id": 4, "store_hash": "foreign7"}),
        ),
    ] {
        let mut claims = claims;
        claims["exp"] = exp.into();
        let token = managed.sandbox.sign(&claims);
        let asked = managed.mints();
        managed.next_token_is(&token);
        // All who wait get the error, and it is not tried again.
        let (one, other) = tokio::join!(
            managed.tokens.get(customer(id)),
            managed.tokens.get(customer(id))
        );
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::TokenMismatch);
            assert!(error.may_have_been_applied());
            let shown = format!("{error} {error:?}");
            for hidden in [token.as_str(), "700007", "foreign7"] {
                assert!(!shown.contains(hidden), "{shown}");
            }
        }
        assert!(managed.tokens.get_cached(customer(id)).is_none());
        assert_eq!(store.load(&shared_key(id)).await.unwrap(), None);
        // It is that customer's failure, for half a minute at least, and nobody else's.
        tokio::time::sleep(29 * SECOND).await;
        let error = managed.tokens.get(customer(id)).await.unwrap_err();
        assert!(error.remembered_for().is_some());
        assert_eq!(managed.mints(), asked + 1);
        managed.tokens.get(customer(9)).await.unwrap();
        tokio::time::sleep(31 * SECOND).await;
        managed.tokens.get(customer(id)).await.unwrap();
    }
    let metrics = managed.tokens.metrics();
    assert_eq!((metrics.entries, metrics.fetches_failed), (5, 4));

    // The direct mint, in the same way.
    managed.next_token_is(&managed.token_that_lasts(2, DAY));
    let mint = managed.client.mint_storefront_token(customer(1));
    let error = mint.send().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::TokenMismatch, false)
    );
}

#[tokio::test(start_paused = true)]
async fn bug_21_a_token_of_the_wrong_identity_is_put_or_comes_out_of_the_shared_store() {
    let before = Managed::new(Wanted::default());
    let store = backend(&before);
    let managed = before.another(Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        ..Wanted::default()
    });
    let of_two = managed.token_that_lasts(2, DAY);
    managed.next_token_of(Operation::Exchange, &of_two, &[]);
    let token = exchange(&managed).await.unwrap();
    let error = managed.tokens.put(customer(1), &token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenMismatch);
    assert!(!format!("{error:?}").contains(&of_two));
    managed.settle().await;
    assert_eq!(store.load(&shared_key(1)).await.unwrap(), None);
    assert_eq!(managed.tokens.metrics().entries, 0);
    managed.tokens.put(customer(2), &token).unwrap();

    // What another process put under the wrong customer is a miss, and is counted once for the fetch.
    let now = managed.clock.true_time();
    let stored = StoredToken::new(of_two, now + DAY, now);
    store
        .put_if_newer(&shared_key(3), &stored, CustomerEpoch::default())
        .await
        .unwrap();
    let token = managed.tokens.get(customer(3)).await.unwrap();
    assert_eq!(token.claims().unwrap().customer_id, Some(3));
    let metrics = managed.tokens.metrics();
    assert_eq!(
        (
            metrics.backend_tokens_unusable,
            metrics.from_shared_store,
            metrics.mints
        ),
        (1, 0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn bug_24_no_expiry_or_an_expiry_of_zero_is_taken_for_ever() {
    let managed = Managed::new(Wanted::default());
    let remaining = |token: &ManagedToken| token.remaining(managed.clock.true_time());
    // What cannot be read is the documented day.
    for (id, exp) in [
        (1, None),
        (2, Some(serde_json::json!({"at": 5}))),
        (3, Some(serde_json::json!(null))),
        (4, Some(serde_json::json!(managed.in_seconds(3600) * 1000))),
    ] {
        managed.next_token_is(&managed.token_with_expiry(id, exp.clone()));
        let token = managed.tokens.get(customer(id)).await.unwrap();
        assert!(remaining(&token) <= DAY, "{exp:?}");
        assert!(remaining(&token) > DAY - MINUTE, "{exp:?}");
    }
    // 0, negative and past: a dead token is an error, and not valid for a day.
    for (id, exp) in [(5, 0), (6, -1), (7, managed.in_seconds(-1))] {
        managed.next_token_is(&managed.token_with_expiry(id, Some(exp.into())));
        let error = managed.tokens.get(customer(id)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{exp}");
        assert!(managed.tokens.get_cached(customer(id)).is_none());
    }
    // And one of a hundred years is of a day.
    let exp = managed.in_seconds(100 * 365 * 24 * 3600);
    managed.next_token_is(&managed.token_with_expiry(8, Some(exp.into())));
    let token = managed.tokens.get(customer(8)).await.unwrap();
    assert!(remaining(&token) <= DAY);
}

#[tokio::test(start_paused = true)]
async fn bug_26_a_token_outlives_a_clock_that_is_set_back_while_the_process_runs() {
    const A_DAY: i64 = 24 * 3600;
    // After the token came.
    let managed = Managed::new(Wanted::default());
    let first = secret(&managed, 1).await;
    managed.clock.jump(-A_DAY);
    tokio::time::sleep(DAY - MINUTE).await;
    managed.sandbox.begin_outage(DOWN);
    assert_eq!(secret(&managed, 1).await, first);
    tokio::time::sleep(30 * SECOND).await;
    assert!(managed.tokens.get(customer(1)).await.is_err());

    // While it was requested.
    let managed = Managed::new(Wanted::default());
    managed.way.takes(10 * SECOND);
    let mut get = pin!(managed.tokens.get(customer(1)));
    assert!(poll(get.as_mut()).await.is_pending());
    tokio::time::sleep(SECOND).await;
    managed.clock.jump(-A_DAY);
    get.await.unwrap();
    tokio::time::sleep(DAY - 11 * SECOND).await;
    assert!(managed.tokens.get_cached(customer(1)).is_none());

    // Before it was requested: the service's clock ends it, also where the response does not tell that clock.
    let managed = Managed::new(Wanted::default());
    secret(&managed, 2).await;
    managed.clock.jump(-A_DAY);
    secret(&managed, 3).await;
    let token = managed.token_that_lasts(1, 60 * MINUTE);
    let cached = http_date(managed.clock.true_time());
    managed.next_token_of(
        Operation::Exchange,
        &token,
        &[("date", &cached), ("age", "1")],
    );
    let token = exchange(&managed).await.unwrap();
    managed.tokens.put(customer(1), &token).unwrap();
    tokio::time::sleep(60 * MINUTE).await;
    assert!(managed.tokens.get_cached(customer(1)).is_none());

    // Between an exchange and its `put`: how old the token is cannot be told any more.
    let managed = Managed::new(Wanted::default());
    managed.next_token_of(Operation::Exchange, "opaque", &[]);
    let token = exchange(&managed).await.unwrap();
    managed.clock.jump(-A_DAY);
    let error = managed.tokens.put(customer(1), &token).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("clock was set back"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn bug_26_a_token_of_the_shared_store_outlives_a_clock_that_is_set_back() {
    let before = Managed::new(Wanted::default());
    let store = backend(&before);
    let wanted = Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        ..Wanted::default()
    };
    let one = before.another(wanted.clone());
    let first = secret(&one, 1).await;
    one.settle().await;
    one.clock.jump(-24 * 3600);
    // It was requested in the future, so its age is unknown. Another one is minted.
    let other = one.another(wanted.clone());
    assert_ne!(secret(&other, 1).await, first);
    assert_eq!(other.tokens.metrics().backend_tokens_unusable, 1);

    // Where its time of request seems to have come: 25 hours after the mint, by a clock that is a day behind. What is known of the
    // service's clock ends it.
    let other = one.another(wanted);
    secret(&other, 2).await;
    tokio::time::sleep(DAY + 60 * MINUTE).await;
    let stale = StoredToken::new(
        first.clone(),
        other.clock.now() + 23 * 60 * MINUTE,
        other.clock.now() - 60 * MINUTE,
    );
    store
        .put_if_newer(&shared_key(1), &stale, CustomerEpoch::default())
        .await
        .unwrap();
    assert_eq!(
        store.load(&shared_key(1)).await.unwrap(),
        Some(stale),
        "the store knows no better"
    );
    assert_ne!(secret(&other, 1).await, first);
}

#[tokio::test(start_paused = true)]
async fn bug_26_a_snapshot_outlives_a_clock_that_is_set_back_between_two_processes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.snapshot");
    let wanted = || Wanted {
        snapshot: Some(Snapshot::new(&path, SnapshotKey::from([1; 32]))),
        ..Wanted::default()
    };
    let before = Managed::new(wanted());
    before.tokens.restore().await;
    let first = secret(&before, 1).await;
    before.tokens.shutdown().await;
    before.settle().await;
    before.clock.jump(-24 * 3600);
    let after = before.another(wanted());
    let report = after.tokens.restore().await;
    assert_eq!(
        (report.restored, report.problem),
        (0, Some(SnapshotProblem::FromTheFuture))
    );
    assert_ne!(secret(&after, 1).await, first);
    // The next snapshot is one of the clock as it is now.
    after.tokens.shutdown().await;
    let third = before.another(wanted());
    assert_eq!(third.tokens.restore().await.restored, 1);
}

#[tokio::test(start_paused = true)]
async fn bug_29_an_expiry_as_text_or_as_a_float_fails_the_login() {
    let managed = Managed::new(Wanted::default());
    let exp = managed.in_seconds(3600);
    for exp in [
        serde_json::json!(exp),
        serde_json::json!(exp.to_string()),
        serde_json::json!(format!(" {exp}.0 ")),
        serde_json::from_str(&format!("{exp}.5")).unwrap(),
    ] {
        let token = managed.token_with_expiry(1, Some(exp.clone()));
        managed.next_token_of(Operation::Login, &token, &[]);
        let login = managed.client.log_in_storefront_user();
        let login = login.email("a@example.com").password("a password");
        let login = login.name("test").channel(ChannelId::DEFAULT);
        let token = login.send().await.unwrap();
        let token = managed.tokens.put(customer(1), &token).unwrap();
        let remaining = token.remaining(managed.clock.true_time());
        assert!(remaining <= 60 * MINUTE, "{exp}: {remaining:?}");
        assert!(remaining > 59 * MINUTE, "{exp}: {remaining:?}");
    }
}
