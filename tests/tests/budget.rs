//! The store's budget over a long time: many calls, faults, neighbours and outages, under both kinds of window that the
//! service may have. In the *time* harness; the figures are the same each time, and stand in the snapshots.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, BudgetStatus, CallOptions, Client, Clock, CustomerId, Error, ErrorKind, Jitter,
    Permit, PermitAsk, PermitFuture, PermitOutcome, Priority, RequestBudget, RequestBudgets,
    RetryBudget, RetryPolicy, StoreAccess, TooLate,
};
use bigcommerce_b2b_auth_sandbox::{
    CannedReply, ErrorShape, Fault, FaultPlan, Moment, Operation, RateLimit, Sandbox, WrongLength,
    demo,
};
use futures_util::future::join_all;
use http::{HeaderName, StatusCode};
use serde_json::json;
use tests::{InProcess, PausedClock};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A different part each time, and the same ones in each run.
#[derive(Debug, Default)]
struct Spread(AtomicU64);

impl Jitter for Spread {
    fn fraction(&self) -> f64 {
        // The golden ratio spreads evenly.
        let drawn = self.0.fetch_add(1, Ordering::Relaxed) as f64 * 0.618_033_988_749_895;
        drawn.fract()
    }
}

struct Setting {
    clock: PausedClock,
    sandbox: Sandbox,
    client: Client,
}

impl Setting {
    fn new(window: RateLimit, limit: BudgetLimit, retry_budget: RetryBudget) -> Self {
        let clock = PausedClock::start();
        let sandbox = Sandbox::builder()
            .seed(4)
            .clock(move || clock.wall())
            .rate_limit(window)
            .record(100_000)
            .build();
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .jitter(Arc::new(Spread::default()))
            .budget_limit(limit)
            .retry_budget(retry_budget)
            .attempt_timeout(5 * SECOND)
            .deadline(DAY)
            .build()
            .unwrap();
        Self {
            clock,
            sandbox,
            client,
        }
    }

    async fn mint(&self) -> Result<u32, Error> {
        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        let token = self.client.mint_storefront_token(customer).send().await?;
        Ok(token.meta().attempts)
    }

    /// What reached the service in each whole minute, and how many of them it refused for want of budget.
    fn minutes(&self) -> Vec<(u64, u64)> {
        let start = SystemTime::UNIX_EPOCH + PausedClock::EPOCH;
        let mut minutes = Vec::new();
        for request in self.sandbox.requests() {
            let at = request.at().duration_since(start).unwrap();
            let minute = usize::try_from(at.as_secs() / 60).unwrap();
            if minutes.len() <= minute {
                minutes.resize(minute + 1, (0, 0));
            }
            let (reached, refused) = &mut minutes[minute];
            *reached += 1;
            *refused += u64::from(request.status() == StatusCode::TOO_MANY_REQUESTS);
        }
        minutes
    }
}

/// A fifth of all requests fails, in ten ways. There is no 429 among them, since that stops everybody by design.
fn a_fifth_fails() -> FaultPlan {
    let after = Moment::AfterEffect;
    let before = Moment::BeforeEffect;
    [
        Fault::RefuseConnection,
        Fault::ResetBeforeReply { moment: after },
        Fault::ResetDuringReply,
        Fault::StallBeforeReply { moment: before },
        Fault::TruncatedBody,
        Fault::WrongContentLength {
            length: WrongLength::TooLong,
        },
        Fault::HtmlError {
            status: StatusCode::BAD_GATEWAY,
            moment: before,
        },
        Fault::EmptyError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            moment: after,
        },
        Fault::ServerError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            moment: before,
        },
        Fault::BodyCode {
            code: 500,
            moment: after,
        },
    ]
    .into_iter()
    .fold(FaultPlan::new(4), |plan, fault| {
        plan.rate(None, 0.02, fault)
    })
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_calls_with_a_fifth_of_all_requests_failing() {
    let mut report = String::new();
    for (name, window) in [
        ("fixed", RateLimit::fixed(150, MINUTE)),
        ("sliding", RateLimit::sliding(150, MINUTE)),
    ] {
        let setting = Setting::new(window, BudgetLimit::default(), RetryBudget::default());
        setting.sandbox.set_faults(a_fifth_fails());
        let outcomes = join_all((0..10_000).map(|_| setting.mint())).await;
        assert_eq!(outcomes.len(), 10_000);
        let succeeded = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let failed: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .collect();
        let minutes = setting.minutes();
        let (whole, refused_later) = (&minutes[1..minutes.len() - 1], minutes[1..].iter());
        let refused_later: u64 = refused_later.map(|(_, refused)| refused).sum();
        assert_eq!(refused_later, 0, "{name}: {minutes:?}");
        let reached: u64 = whole.iter().map(|(reached, _)| reached).sum();
        let share = reached as f64 / (150 * whole.len()) as f64;
        assert!(share >= 0.98, "{name}: {share} {minutes:?}");
        assert!(failed.iter().all(|error| error.attempts() == 4), "{name}");
        let _ = writeln!(
            report,
            "{name}: {succeeded} calls succeeded and {} failed after four attempts, in {} minutes; 429 in the first minute {}, \
             later {refused_later}; of the allocation {:.1} % was used, in the worst whole minute {:.1} %",
            failed.len(),
            minutes.len(),
            minutes[0].1,
            share * 100.0,
            whole.iter().map(|(reached, _)| *reached).min().unwrap() as f64 / 1.5,
        );
    }
    insta::assert_snapshot!(report);
}

/// Another integration of the store, for as long as the calls run.
async fn neighbour(setting: &Setting, spends: u64, every: Duration) {
    loop {
        setting.sandbox.spend(demo::STORE_HASH, spends);
        tokio::time::sleep(every).await;
    }
}

#[tokio::test(start_paused = true)]
async fn beside_a_neighbour_who_takes_100_of_the_150() {
    let mut report = String::new();
    for (window_name, window) in [
        ("fixed", RateLimit::fixed(150, MINUTE)),
        ("sliding", RateLimit::sliding(150, MINUTE)),
    ] {
        for (manner, spends, every) in [
            ("one at a time", 1, Duration::from_millis(600)),
            ("all at once", 100, MINUTE),
        ] {
            let setting = Setting::new(window, BudgetLimit::default(), RetryBudget::default());
            let calls = join_all((0..1000).map(|_| setting.mint()));
            let outcomes = tokio::select! {
                // In this order, so that the figures are the same each time.
                biased;
                outcomes = calls => outcomes,
                () = neighbour(&setting, spends, every) => unreachable!("it does not end"),
            };
            assert!(
                outcomes.iter().all(Result::is_ok),
                "{window_name}, {manner}"
            );
            let minutes = setting.minutes();
            let worst = minutes.iter().map(|(_, refused)| *refused).max().unwrap();
            assert!(worst <= 1, "{window_name}, {manner}: {minutes:?}");
            let whole = &minutes[1..minutes.len() - 1];
            let reached: u64 = whole
                .iter()
                .map(|(reached, refused)| reached - refused)
                .sum();
            assert!(
                reached / whole.len() as u64 >= 40,
                "{window_name}, {manner}"
            );
            let _ = writeln!(
                report,
                "{window_name} window, a neighbour who takes {manner}: {} a minute for us, 429 in all {}, at most {worst} in a \
                 minute",
                reached / whole.len() as u64,
                minutes.iter().map(|(_, refused)| refused).sum::<u64>(),
            );
        }
    }
    insta::assert_snapshot!(report);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_tells_nothing_is_not_asked_again_within_a_minute() {
    // Neither window headers nor a word in the 429: nothing is known but the documented window.
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::default(),
        RetryBudget::default(),
    );
    let throttled = Fault::TooManyRequests {
        signals: vec![],
        wait: MINUTE,
    };
    setting
        .sandbox
        .fail_next_times(Operation::Mint, throttled, 2);
    let outcomes = join_all((0..300).map(|_| setting.mint())).await;
    assert!(outcomes.iter().all(Result::is_ok));
    let minutes = setting.minutes();
    assert!(
        minutes
            .iter()
            .all(|(reached, refused)| *refused <= 15 && *reached <= 150)
    );
}

async fn outage(limit: BudgetLimit, retry_budget: RetryBudget) -> (u64, usize) {
    let setting = Setting::new(RateLimit::unlimited(), limit, retry_budget);
    let options = CallOptions::builder().deadline(MINUTE).build();
    setting.sandbox.begin_outage(Fault::EmptyError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        moment: Moment::BeforeEffect,
    });
    // A thousand callers, spread over the minute of the outage.
    let calls = (0..1000_u32).map(|number| {
        let (setting, options) = (&setting, options.clone());
        async move {
            tokio::time::sleep(MINUTE * number / 1000).await;
            let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
            let mint = setting.client.mint_storefront_token(customer);
            mint.options(options).send().await.map(drop)
        }
    });
    let ends = async {
        tokio::time::sleep(MINUTE).await;
        let sent = setting.sandbox.request_count();
        setting.sandbox.end_outage();
        sent
    };
    let (outcomes, sent) = tokio::join!(join_all(calls), ends);
    // Afterwards all is well again.
    setting.mint().await.unwrap();
    (
        sent,
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
    )
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_minute_is_not_multiplied() {
    let mut report = String::new();
    for (name, limit) in [
        ("no request budget", BudgetLimit::unlimited()),
        ("135 a minute", BudgetLimit::default()),
    ] {
        let (with, _) = outage(limit, RetryBudget::default()).await;
        let (without, _) = outage(limit, RetryBudget::of(u32::MAX)).await;
        assert!(with < without || with <= 150, "{with} {without}");
        let _ = writeln!(
            report,
            "{name}: {with} requests during the outage, {without} without a retry budget"
        );
        if limit == BudgetLimit::unlimited() {
            assert!(
                with <= 1050,
                "a thousand calls and fifty repetitions: {with}"
            );
        }
    }
    insta::assert_snapshot!(report);
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_told_and_shared_by_relatives() {
    let setting = Setting::new(
        RateLimit::fixed(150, MINUTE),
        BudgetLimit::default(),
        RetryBudget::default(),
    );
    assert_eq!(setting.client.budget().allocated, None);
    setting.mint().await.unwrap();
    let clone = setting.client.clone();
    let again = setting
        .client
        .for_store(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap());
    let other = setting
        .client
        .for_store(StoreAccess::new("another", "token").unwrap());
    for relative in [&clone, &again] {
        let status = relative.budget();
        assert_eq!((status.allocated, status.left), (Some(150), Some(149)));
        assert_eq!((status.under_way, status.waiting), (0, 0));
        assert_eq!(status.window, MINUTE);
    }
    assert_eq!(other.budget().allocated, None);
}

/// A budget that somebody else keeps: it writes down what it is asked and told, and gives so many permits.
#[derive(Debug)]
struct Ledger {
    permits: AtomicU64,
    heard: std::sync::Mutex<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Elsewhere(Arc<Ledger>);

impl RequestBudgets for Elsewhere {
    fn of_store(&self, store_hash: Option<&str>, _: &Arc<dyn Clock>) -> Arc<dyn RequestBudget> {
        let mut heard = self.0.heard.lock().unwrap();
        heard.push(format!("store {store_hash:?}"));
        Arc::new(self.clone())
    }
}

impl RequestBudget for Elsewhere {
    fn try_acquire(&self, _: &PermitAsk) -> Option<Permit> {
        None // a budget elsewhere always has to be asked
    }

    fn acquire<'a>(&'a self, ask: PermitAsk) -> PermitFuture<'a> {
        Box::pin(async move {
            tokio::time::sleep(SECOND).await;
            let mut heard = self.0.heard.lock().unwrap();
            heard.push(format!("ask {:?}, again {}", ask.priority, ask.repeats));
            let number = self.0.permits.fetch_sub(1, Ordering::Relaxed);
            if number == 0 {
                return Err(TooLate::new(MINUTE));
            }
            Ok(Permit::new(number))
        })
    }

    fn settle(&self, permit: Permit, outcome: &PermitOutcome) {
        let outcome = match outcome {
            PermitOutcome::NotSent => "not sent",
            PermitOutcome::Unknown => "unknown",
            PermitOutcome::Answered { .. } => "answered",
            PermitOutcome::Refused { .. } => "refused",
            _ => "something new",
        };
        let mut heard = self.0.heard.lock().unwrap();
        heard.push(format!("permit {}: {outcome}", permit.number()));
    }

    fn status(&self) -> BudgetStatus {
        let mut status = BudgetStatus::unknown();
        status.left = Some(self.0.permits.load(Ordering::Relaxed));
        status
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_kept_elsewhere_is_asked_and_told_of_each_attempt() {
    let clock = PausedClock::start();
    let sandbox = Sandbox::builder().clock(move || clock.wall()).build();
    let ledger = Arc::new(Ledger {
        permits: AtomicU64::new(4),
        heard: std::sync::Mutex::default(),
    });
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(InProcess::new(&sandbox))
        .clock(Arc::new(clock))
        .jitter(Arc::new(Spread::default()))
        .budgets(Arc::new(Elsewhere(Arc::clone(&ledger))))
        .build()
        .unwrap();
    let mint = || {
        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        client.mint_storefront_token(customer).send()
    };
    sandbox.fail_next(Operation::Mint, Fault::RefuseConnection);
    mint().await.unwrap();
    // Dropped while its attempt is under way.
    let stall = Fault::StallBeforeReply {
        moment: Moment::AfterEffect,
    };
    sandbox.fail_next(Operation::Mint, stall);
    assert!(tokio::time::timeout(5 * SECOND, mint()).await.is_err());
    mint().await.unwrap();
    assert_eq!(client.budget().left, Some(0));
    let error = mint().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(MINUTE));
    assert_eq!(
        *ledger.heard.lock().unwrap(),
        [
            "store Some(\"demo1store\")",
            "ask Interactive, again false",
            "permit 4: not sent",
            "ask Interactive, again true",
            "permit 3: answered",
            "ask Interactive, again false",
            "permit 2: unknown",
            "ask Interactive, again false",
            "permit 1: answered",
            "ask Interactive, again false",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_429_stops_everybody_and_the_hurried_hear_when_it_is_over() {
    let setting = Setting::new(
        RateLimit::fixed(2, MINUTE),
        BudgetLimit::default(),
        RetryBudget::default(),
    );
    setting.sandbox.spend(demo::STORE_HASH, 2);
    tokio::time::sleep(20 * SECOND).await;
    let customer = || CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let patient = setting.mint();
    let hurried = async {
        tokio::time::sleep(SECOND).await;
        let options = CallOptions::builder().deadline(10 * SECOND).build();
        let mint = setting.client.mint_storefront_token(customer());
        let error = mint.options(options).send().await.unwrap_err();
        (error, setting.clock.elapsed())
    };
    let (patient, (hurried, at)) = tokio::join!(patient, hurried);
    assert_eq!(patient.unwrap(), 2);
    assert_eq!(hurried.kind(), ErrorKind::RateLimited);
    assert_eq!((hurried.attempts(), hurried.status()), (0, None));
    assert_eq!(hurried.retry_after(), Some(39 * SECOND));
    assert!(hurried.is_retryable() && !hurried.may_have_been_applied());
    assert_eq!(at, 21 * SECOND, "it did not wait for nothing");
    assert_eq!(setting.sandbox.request_count(), 2);
}

/// A success with a good token and these headers.
fn success(setting: &Setting, headers: &[(&'static str, &str)]) -> CannedReply {
    let now = setting.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
    let token = setting.sandbox.sign(&json!({
        "bc_customer_id": demo::CUSTOMER_ID,
        "store_hash": demo::STORE_HASH,
        "exp": (now.unwrap() + DAY).as_secs(),
    }));
    let body = json!({"code": 200, "data": {"token": [token]}, "meta": {"message": "SUCCESS"}});
    with_headers(CannedReply::json(StatusCode::OK, &body), headers)
}

fn with_headers(reply: CannedReply, headers: &[(&'static str, &str)]) -> CannedReply {
    headers.iter().fold(reply, |reply, (name, value)| {
        reply.header(HeaderName::from_static(name), value.parse().unwrap())
    })
}

/// A call with the deadline that is the default.
async fn mint_in_two_minutes(setting: &Setting) -> Result<u32, Error> {
    let options = CallOptions::builder().deadline(2 * MINUTE).build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let mint = setting.client.mint_storefront_token(customer);
    let token = mint.options(options).send().await?;
    Ok(token.meta().attempts)
}

const ALLOCATED: &str = "x-requests-allocated";
const REMAINING: &str = "x-requests-remaining";
const RESETS_AFTER: &str = "x-request-window-resets-after";

/// Rate-limit headers that the documented service cannot mean. The first of them stopped a store for a day.
fn lies() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let digits = "9".repeat(4_000);
    let of = |allocated: &str, remaining: &str, resets_after: &str| {
        vec![
            (ALLOCATED, allocated.to_owned()),
            (REMAINING, remaining.to_owned()),
            (RESETS_AFTER, resets_after.to_owned()),
        ]
    };
    vec![
        ("a day", of("150 times/60 s", "0 times", "86400 s")),
        (
            "one an hour",
            vec![(ALLOCATED, "1 times/3600 s".to_owned())],
        ),
        ("none", vec![(ALLOCATED, "0 times/60 s".to_owned())]),
        ("none left", of("0 times/60 s", "0 times", "3600 s")),
        ("an hour", of("100000 times/1 s", "0 times", "3600 s")),
        (
            "long numbers",
            of(
                &format!("{digits} times/{digits} s"),
                "0",
                &format!("{digits}.{digits} s"),
            ),
        ),
        (
            "a long window",
            of(&format!("1 times/{digits} s"), "0", &digits),
        ),
        (
            "long and unreadable",
            of(&digits, &digits, &format!("-{digits}")),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_success_with_lying_rate_limit_headers_makes_no_later_call_fail() {
    for (name, headers) in lies() {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, &**value))
            .collect();
        let setting = Setting::new(
            RateLimit::fixed(150, MINUTE),
            BudgetLimit::default(),
            RetryBudget::default(),
        );
        // One response lies, and a hundred callers come right after it.
        let lie = || {
            setting
                .sandbox
                .respond_next(Operation::Mint, success(&setting, &headers))
        };
        lie();
        assert_eq!(mint_in_two_minutes(&setting).await.unwrap(), 1, "{name}");
        let outcomes = join_all((0..100).map(|_| mint_in_two_minutes(&setting))).await;
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        assert_eq!(failed, 0, "{name}");
        assert!(setting.clock.elapsed() < 2 * MINUTE, "{name}");
        assert!(
            setting.minutes().iter().all(|(_, refused)| *refused == 0),
            "{name}"
        );
        // Every response lies: one call after the other still comes through, one in each window at least.
        tokio::time::sleep(MINUTE).await;
        for _ in 0..10 {
            let began = setting.clock.elapsed();
            lie();
            assert_eq!(mint_in_two_minutes(&setting).await.unwrap(), 1, "{name}");
            assert!(setting.clock.elapsed() - began <= MINUTE, "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_429_that_asks_for_a_day_is_honoured_for_a_quarter_of_an_hour_and_then_probed() {
    for limit in [BudgetLimit::default(), BudgetLimit::unlimited()] {
        let setting = Setting::new(RateLimit::unlimited(), limit, RetryBudget::default());
        let refuse = || {
            let error = CannedReply::error(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorShape::CodeAndMessage,
                "slow down",
            );
            let refused = with_headers(error, &[("retry-after", "86400")]);
            setting.sandbox.respond_next(Operation::Mint, refused);
        };
        refuse();
        let error = mint_in_two_minutes(&setting).await.unwrap_err();
        // What the service asks for is told, and nobody is stopped for that long.
        assert_eq!(error.retry_after(), Some(DAY));
        let error = mint_in_two_minutes(&setting).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::RateLimited, 0)
        );
        assert_eq!(error.retry_after(), Some(15 * MINUTE));
        assert_eq!(setting.clock.elapsed(), Duration::ZERO);
        // Then one goes alone, meets another 429, and the others hear of it at once.
        tokio::time::sleep(15 * MINUTE).await;
        refuse();
        let outcomes = join_all((0..20).map(|_| mint_in_two_minutes(&setting))).await;
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(setting.sandbox.request_count(), 2);
        assert_eq!(setting.clock.elapsed(), 15 * MINUTE);
        // The next probe is answered, and all go.
        tokio::time::sleep(15 * MINUTE).await;
        let outcomes = join_all((0..20).map(|_| mint_in_two_minutes(&setting))).await;
        assert!(outcomes.iter().all(Result::is_ok));
        assert_eq!(setting.sandbox.request_count(), 22);
    }
}

#[tokio::test(start_paused = true)]
async fn the_longest_wait_after_a_429_is_an_option_that_the_refused_call_keeps_to_as_well() {
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::default().max_retry_after(10 * SECOND),
        RetryBudget::default(),
    );
    let error = CannedReply::new(StatusCode::TOO_MANY_REQUESTS);
    let refused = with_headers(error, &[("retry-after", "86400")]);
    setting.sandbox.respond_next(Operation::Mint, refused);
    let (refused, other) = tokio::join!(setting.mint(), setting.mint());
    assert_eq!((refused.unwrap(), other.unwrap()), (2, 1));
    assert_eq!(setting.clock.elapsed(), 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_built_for_each_request_keeps_to_the_limit_and_the_retry_budget() {
    let hour = 60 * MINUTE;
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::at_most(10, hour, 10),
        RetryBudget::of(3),
    );
    setting.sandbox.begin_outage(Fault::EmptyError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        moment: Moment::BeforeEffect,
    });
    let access = |store: &str| StoreAccess::new(store, demo::ACCESS_TOKEN).unwrap();
    let (mut attempts, mut refused) = (Vec::new(), 0);
    for second in 0..3_599 {
        // Others come and go meanwhile.
        for other in 0..10 {
            drop(
                setting
                    .client
                    .for_store(access(&format!("{second}-{other}"))),
            );
        }
        if second % 30 == 0 {
            let client = setting.client.for_store(access("per-request"));
            let options = CallOptions::builder().deadline(SECOND).build();
            let mint = client.mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID).unwrap());
            let error = mint.options(options).send().await.unwrap_err();
            if error.kind() == ErrorKind::RateLimited {
                refused += 1;
            } else {
                attempts.push(error.attempts());
            }
        }
        tokio::time::sleep(SECOND).await;
    }
    // The burst of ten and, within the hour, nine or ten more. Three of them were repetitions.
    let sent: u32 = attempts.iter().sum();
    assert!((19..=20).contains(&sent), "{attempts:?}");
    assert_eq!(sent as usize - attempts.len(), 3, "{attempts:?}");
    assert_eq!(setting.sandbox.request_count(), u64::from(sent));
    assert!(refused > 90, "{refused}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_person_goes_first() {
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::at_most(60, MINUTE, 1),
        RetryBudget::default(),
    );
    let order = std::sync::Mutex::new(Vec::new());
    let call = |name: &'static str, priority, after| {
        let (setting, order) = (&setting, &order);
        async move {
            tokio::time::sleep(after).await;
            let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
            let options = CallOptions::builder().priority(priority).build();
            let mint = setting.client.mint_storefront_token(customer);
            mint.options(options).send().await.unwrap();
            order.lock().unwrap().push(name);
        }
    };
    let millis = Duration::from_millis;
    tokio::join!(
        call("first", Priority::Background, millis(0)),
        call("nobody waits 1", Priority::Background, millis(10)),
        call("nobody waits 2", Priority::Background, millis(20)),
        call("somebody waits 1", Priority::Interactive, millis(30)),
        call("somebody waits 2", Priority::Interactive, millis(40)),
    );
    assert_eq!(
        *order.lock().unwrap(),
        [
            "first",
            "somebody waits 1",
            "somebody waits 2",
            "nobody waits 1",
            "nobody waits 2"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_wish_that_is_longer_than_the_deadline_is_told_at_once() {
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::default(),
        RetryBudget::default(),
    );
    let maintenance = Fault::Maintenance {
        retry_after: 50 * SECOND,
    };
    for (deadline, attempts) in [(40 * SECOND, 1), (60 * SECOND, 2)] {
        setting
            .sandbox
            .fail_next(Operation::Mint, maintenance.clone());
        let began = setting.clock.elapsed();
        let options = CallOptions::builder().deadline(deadline).build();
        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        let mint = setting.client.mint_storefront_token(customer);
        match mint.options(options).send().await {
            Ok(token) => assert_eq!(token.meta().attempts, attempts),
            Err(error) => {
                assert_eq!(error.attempts(), attempts);
                assert_eq!(error.retry_after(), Some(50 * SECOND));
                assert_eq!(setting.clock.elapsed(), began);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_vendors_minute_after_a_500_is_an_option() {
    let setting = Setting::new(
        RateLimit::unlimited(),
        BudgetLimit::default(),
        RetryBudget::default(),
    );
    let fault = Fault::ServerError {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        moment: Moment::BeforeEffect,
    };
    setting.sandbox.fail_next_times(Operation::Mint, fault, 5);
    let options = CallOptions::builder()
        .retry(RetryPolicy::as_the_vendor_advises())
        .build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let mint = setting.client.mint_storefront_token(customer);
    let token = mint.options(options).send().await.unwrap();
    assert_eq!(token.meta().attempts, 6);
    assert!(setting.clock.elapsed() >= 5 * MINUTE);
}
