//! Waits on a clock that stands still until it is waited for: the budget, the retry, and the sandbox's window.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{BudgetLimit, Client, CustomerId, ErrorKind, RetryPolicy, StoreAccess};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, Fault, Moment, Operation, RateLimit, RetrySignal, Sandbox, demo,
};
use tests::{InProcess, PausedClock};

const MINUTE: Duration = Duration::from_secs(60);

fn sandbox(clock: PausedClock, limit: RateLimit, signals: Vec<RetrySignal>) -> Sandbox {
    Sandbox::builder()
        .clock(move || clock.wall())
        .rate_limit(limit)
        .assumptions(Assumptions::default().throttle_signals(signals))
        .build()
}

fn client(sandbox: &Sandbox, clock: PausedClock, limit: BudgetLimit, retry: RetryPolicy) -> Client {
    Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(InProcess::new(sandbox))
        .clock(Arc::new(clock))
        .budget_limit(limit)
        .retry(retry)
        .build()
        .unwrap()
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_when_is_waited_out() {
    for signal in [
        RetrySignal::RetryAfterSeconds,
        RetrySignal::RetryAfterDate,
        RetrySignal::XRetryAfter,
        RetrySignal::RateLimitTimeResetMs,
    ] {
        let clock = PausedClock::start();
        let sandbox = sandbox(clock, RateLimit::fixed(1, MINUTE), vec![signal]);
        let client = client(
            &sandbox,
            clock,
            BudgetLimit::unlimited(),
            RetryPolicy::default(),
        );
        let mint = || client.mint_storefront_token(customer()).send();
        mint().await.unwrap();
        let second = mint().await.unwrap();
        assert_eq!(second.meta().attempts, 2, "{signal:?}");
        assert!(
            clock.elapsed() >= MINUTE,
            "{signal:?}: {:?}",
            clock.elapsed()
        );
        assert!(clock.elapsed() <= MINUTE + Duration::from_secs(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_request_is_the_same_as_the_first_but_for_its_connection() {
    let clock = PausedClock::start();
    let sandbox = sandbox(clock, RateLimit::unlimited(), vec![]);
    let client = client(
        &sandbox,
        clock,
        BudgetLimit::default(),
        RetryPolicy::default(),
    );
    let lost = Fault::ResetBeforeReply {
        moment: Moment::AfterEffect,
    };
    sandbox.fail_next_times(Operation::Mint, lost, 2);
    let mint = client.mint_storefront_token(customer());
    assert_eq!(mint.send().await.unwrap().meta().attempts, 3);
    let requests = sandbox.requests();
    let [first, repeated @ ..] = requests.as_slice() else {
        panic!("no request was recorded");
    };
    assert_eq!(repeated.len(), 2);
    assert!(first.headers().contains_key("accept") && first.headers().contains_key("content-type"));
    assert!(!first.headers().contains_key("connection"));
    for request in repeated {
        let mut headers = request.headers().clone();
        assert_eq!(headers.remove("connection").unwrap(), "close");
        assert_eq!(headers, *first.headers());
        assert_eq!(request.body(), first.body());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_without_retries_is_told_at_once_with_its_wait() {
    let clock = PausedClock::start();
    let sandbox = sandbox(
        clock,
        RateLimit::fixed(1, MINUTE),
        vec![RetrySignal::RetryAfterSeconds],
    );
    let client = client(
        &sandbox,
        clock,
        BudgetLimit::unlimited(),
        RetryPolicy::none(),
    );
    let mint = || client.mint_storefront_token(customer()).send();
    mint().await.unwrap();
    let error = mint().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.is_retryable() && !error.may_have_been_applied());
    assert_eq!(error.retry_after(), Some(MINUTE));
    assert_eq!(clock.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_client_of_two_stores_keeps_a_budget_for_each() {
    let clock = PausedClock::start();
    let sandbox = sandbox(clock, RateLimit::unlimited(), vec![]);
    let first = client(
        &sandbox,
        clock,
        BudgetLimit::at_most(1, MINUTE, 1),
        RetryPolicy::none(),
    );
    let second = first.for_store(StoreAccess::new("another", "token").unwrap());
    let again = first.for_store(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap());
    first
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    // The sandbox does not know the other store; the request is made at once all the same.
    second
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap_err();
    assert_eq!(clock.elapsed(), Duration::ZERO);
    again
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    // tokio's timer counts in milliseconds, and never fires early.
    assert!(clock.elapsed() >= MINUTE && clock.elapsed() < MINUTE + Duration::from_millis(2));
}
