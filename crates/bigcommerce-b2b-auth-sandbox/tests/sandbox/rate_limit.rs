//! The purse of a store and the headers that tell of it, with a fixed and with a sliding window.

use std::time::{Duration, UNIX_EPOCH};

use bigcommerce_b2b_auth_sandbox::{
    Assumptions, Customer, ErrorShape, Operation, RateLimit, RetrySignal, Sandbox, Store, demo,
};
use serde_json::json;

use crate::support::{Answer, Ask, NOW, demo_sandbox, standing_still};

const MINUTE: Duration = Duration::from_secs(60);

fn window(answer: &Answer) -> [&str; 4] {
    [
        "x-requests-allocated",
        "x-requests-window-length",
        "x-requests-remaining",
        "x-request-window-resets-after",
    ]
    .map(|name| answer.header(name))
}

#[tokio::test]
async fn the_headers_have_their_units_on_success_and_error_alike() {
    let (builder, clock) = standing_still();
    let sandbox = builder.build();
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(
        window(&answer),
        ["150 times/60 s", "0 times", "149 times", "60.0 s"]
    );
    clock.advance(Duration::from_millis(59_610));
    let answer = Ask::mint().field("customerId", 999).send(&sandbox).await;
    assert_eq!(answer.status, 404);
    assert_eq!(
        window(&answer),
        ["150 times/60 s", "0 times", "148 times", "0.39 s"]
    );
}

#[tokio::test]
async fn a_fixed_window_ends_all_at_once() {
    let (builder, clock) = standing_still();
    let sandbox = builder.rate_limit(RateLimit::fixed(2, MINUTE)).build();
    let mut statuses = Vec::new();
    for step in [0, 40, 19, 1, 0, 0] {
        clock.advance(Duration::from_secs(step));
        statuses.push(Ask::mint().send(&sandbox).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
}

#[tokio::test]
async fn a_sliding_window_gives_back_request_by_request() {
    let (builder, clock) = standing_still();
    let sandbox = builder.rate_limit(RateLimit::sliding(2, MINUTE)).build();
    let mut statuses = Vec::new();
    for step in [0, 40, 19, 1, 0, 40] {
        clock.advance(Duration::from_secs(step));
        statuses.push(Ask::mint().send(&sandbox).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 429, 200, 429, 200]);
}

#[tokio::test]
async fn a_429_has_the_window_and_by_default_nothing_else() {
    let sandbox = standing_still()
        .0
        .rate_limit(RateLimit::fixed(1, MINUTE))
        .build();
    Ask::mint().send(&sandbox).await;
    let answer = Ask::mint().send(&sandbox).await;
    answer.assert_error(
        429,
        "sandbox: too many requests",
        "sandbox: too many requests",
    );
    assert_eq!(
        window(&answer),
        ["1 times/60 s", "0 times", "0 times", "60.0 s"]
    );
    for name in ["retry-after", "x-retry-after", "x-rate-limit-time-reset-ms"] {
        assert_eq!(answer.header(name), "");
    }
}

#[tokio::test]
async fn each_assumed_form_of_a_429_can_be_had() {
    for (signal, name, value) in [
        (RetrySignal::RetryAfterSeconds, "retry-after", "20"),
        (
            RetrySignal::RetryAfterDate,
            "retry-after",
            "Tue, 01 Jan 2030 00:01:00 GMT",
        ),
        (RetrySignal::XRetryAfter, "x-retry-after", "20"),
        (
            RetrySignal::RateLimitTimeResetMs,
            "x-rate-limit-time-reset-ms",
            "19500",
        ),
    ] {
        let (builder, clock) = standing_still();
        let assumptions = Assumptions::default()
            .throttle_signals(vec![signal])
            .throttle_window_headers(false)
            .throttle_body(ErrorShape::Empty);
        let sandbox = builder
            .rate_limit(RateLimit::fixed(1, MINUTE))
            .assumptions(assumptions)
            .build();
        Ask::mint().send(&sandbox).await;
        clock.advance(Duration::from_millis(40_500));
        let answer = Ask::mint().send(&sandbox).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header(name)),
            (429, value),
            "{signal:?}"
        );
        assert_eq!(window(&answer), [""; 4]);
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn all_integrations_of_a_store_spend_from_one_purse() {
    let other = Store::new("other")
        .with_access_token("other-token")
        .customer(Customer::new(1, "a@other.example", "x"));
    let sandbox = standing_still().0.store(Store::demo()).store(other).build();
    sandbox.spend(demo::STORE_HASH, 149);
    sandbox.spend("unknown", 1);
    assert_eq!(sandbox.remaining(demo::STORE_HASH), Some(1));
    assert_eq!(sandbox.remaining("unknown"), None);
    assert_eq!(Ask::login().send(&sandbox).await.status, 200);
    for ask in [
        Ask::mint(),
        Ask::login(),
        Ask::create(),
        Ask::list(&sandbox),
    ] {
        assert_eq!(ask.send(&sandbox).await.status, 429);
    }
    let theirs = Ask::mint()
        .header("x-store-hash", "other")
        .header("x-auth-token", "other-token");
    assert_eq!(
        theirs.field("customerId", 1).send(&sandbox).await.status,
        200
    );
}

#[tokio::test]
async fn the_operations_can_have_a_limit_of_their_own() {
    let assumptions = Assumptions::default().auth_limit(Some(RateLimit::fixed(2, MINUTE)));
    let sandbox = standing_still().0.assumptions(assumptions).build();
    sandbox.spend(demo::STORE_HASH, 150);
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(window(&answer)[2], "1 times");
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
    assert_eq!(Ask::mint().send(&sandbox).await.status, 429);
}

#[tokio::test]
async fn a_request_of_no_known_store_spends_nothing() {
    let sandbox = demo_sandbox();
    for ask in [
        Ask::mint().without("x-store-hash"),
        Ask::login().field("storeHash", "unknown"),
        Ask::to(Operation::ListServerTokens),
        Ask::to(Operation::ListServerTokens).header("authtoken", "wrong"),
    ] {
        let answer = ask.send(&sandbox).await;
        assert_eq!(window(&answer), [""; 4]);
        assert_eq!(answer.header("date"), "Tue, 01 Jan 2030 00:00:00 GMT");
    }
    assert_eq!(sandbox.remaining(demo::STORE_HASH), Some(150));
}

#[tokio::test]
async fn without_a_limit_there_are_no_window_headers() {
    let sandbox = standing_still()
        .0
        .rate_limit(RateLimit::unlimited())
        .build();
    assert_eq!(window(&Ask::mint().send(&sandbox).await), [""; 4]);
    assert_eq!(sandbox.remaining(demo::STORE_HASH), None);
}

#[tokio::test]
async fn every_reply_has_the_headers_of_the_service() {
    let sandbox = demo_sandbox();
    let mut ids = std::collections::BTreeSet::new();
    for ask in [
        Ask::mint(),
        Ask::mint().body("{"),
        Ask::mint().without("x-store-hash"),
        Ask::to(Operation::Exchange),
    ] {
        let answer = ask.send(&sandbox).await;
        assert_eq!(answer.header("date"), "Tue, 01 Jan 2030 00:00:00 GMT");
        assert_eq!(answer.header("content-type"), "application/json");
        assert!(
            answer
                .header("x-envoy-upstream-service-time")
                .parse::<u64>()
                .is_ok()
        );
        assert!(ids.insert(answer.header("x-request-id").to_owned()));
        assert!(ids.insert(answer.header("trace-id").to_owned()));
        assert_eq!(
            answer.json().get("code"),
            Some(&json!(answer.status.as_u16()))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_whose_time_stands_still_drives_the_sandbox_with_its_own_clock() {
    let started = tokio::time::Instant::now();
    let clock = move || UNIX_EPOCH + Duration::from_secs(NOW) + started.elapsed();
    let sandbox = Sandbox::builder()
        .clock(clock)
        .rate_limit(RateLimit::sliding(1, MINUTE))
        .build();
    assert_eq!(Ask::mint().send(&sandbox).await.status, 200);
    assert_eq!(Ask::mint().send(&sandbox).await.status, 429);
    assert_eq!(
        started.elapsed(),
        Duration::ZERO,
        "the sandbox waits on no timer"
    );
    tokio::time::advance(MINUTE).await;
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("date")),
        (200, "Tue, 01 Jan 2030 00:01:00 GMT")
    );
}
