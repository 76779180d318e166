//! The sandbox's faults in-process: what the transport makes of each, and that the client never claims that nothing
//! happened when something did.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls meet the same faults")]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    Client, CustomerId, Error, RetryPolicy, StoreAccess,
    transport::{Delivery, Transport as _, TransportError, operations},
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, Sandbox, demo};
use tests::{InProcess, PausedClock, render};

const HOUR: Duration = Duration::from_secs(3600);

/// How long an attempt of the client may take here.
const ATTEMPT: Duration = Duration::from_secs(30);

fn sandbox(clock: PausedClock) -> Sandbox {
    Sandbox::builder().clock(move || clock.wall()).build()
}

fn client(sandbox: &Sandbox, clock: PausedClock) -> Client<StoreAccess> {
    Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(InProcess::new(sandbox))
        .clock(Arc::new(clock))
        .attempt_timeout(ATTEMPT)
        .retry(RetryPolicy::none())
        .build()
        .unwrap()
}

/// A mint as the transport gets it.
async fn send(sandbox: &Sandbox) -> Result<reqwest::Response, TransportError> {
    let url = format!("http://sandbox.invalid{}", Operation::Mint.path());
    let request = reqwest::Client::new()
        .post(url)
        .header("x-store-hash", demo::STORE_HASH)
        .header("x-auth-token", demo::ACCESS_TOKEN)
        .header("content-type", "application/json")
        .body(format!(r#"{{"customerId":{}}}"#, demo::CUSTOMER_ID))
        .build()
        .unwrap();
    let transport = InProcess::new(sandbox);
    transport
        .send(request, &operations::POST_AUTH_CUSTOMERS_STOREFRONT)
        .await
}

#[tokio::test(start_paused = true)]
async fn what_fails_before_the_reply_is_an_error_that_says_whether_it_was_sent() {
    let sandbox = sandbox(PausedClock::start());
    let moment = Moment::AfterEffect;
    for (fault, delivery) in [
        (Fault::RefuseConnection, Delivery::NotSent),
        (Fault::ResetBeforeRequest, Delivery::Unknown),
        (Fault::ResetBeforeReply { moment }, Delivery::Unknown),
        (Fault::CloseBeforeReply { moment }, Delivery::Unknown),
        (Fault::DoubleContentLength, Delivery::Unknown),
        (Fault::HeaderFlood { headers: 1 }, Delivery::Unknown),
    ] {
        sandbox.fail_next(Operation::Mint, fault.clone());
        let error = send(&sandbox).await.unwrap_err();
        assert_eq!(error.delivery(), delivery, "{fault:?}");
        assert!(!error.is_timeout());
    }
    for fault in [Fault::StallBeforeReply { moment }, Fault::StallInHead] {
        sandbox.fail_next(Operation::Mint, fault.clone());
        let waited = tokio::time::timeout(HOUR, send(&sandbox)).await;
        assert!(waited.is_err(), "{fault:?}");
    }
    assert_eq!(send(&sandbox).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_while_it_comes() {
    let sandbox = sandbox(PausedClock::start());
    let whole = send(&sandbox).await.unwrap().bytes().await.unwrap();
    for fault in [
        Fault::ResetDuringReply,
        Fault::TruncatedBody,
        Fault::StallInBody,
    ] {
        sandbox.fail_next(Operation::Mint, fault.clone());
        let mut response = send(&sandbox).await.unwrap();
        let half = response.chunk().await.unwrap().unwrap();
        assert_eq!(half.len(), whole.len() / 2, "{fault:?}");
        let end = tokio::time::timeout(HOUR, response.chunk()).await;
        assert_eq!(end.is_err(), fault == Fault::StallInBody);
        assert!(end.is_err() || end.unwrap().is_err(), "{fault:?}");
    }
    let every = Duration::from_secs(1);
    sandbox.fail_next(Operation::Mint, Fault::SlowBody { every });
    let start = tokio::time::Instant::now();
    let mut response = send(&sandbox).await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), whole.slice(..1));
    assert_eq!(start.elapsed(), every);
    // An hour has passed: the token is another one, and as long.
    assert_eq!(response.bytes().await.unwrap().len(), whole.len() - 1);
}

fn shows_no_secret(error: &Error) {
    let shown = render(error);
    for secret in [
        demo::ACCESS_TOKEN,
        demo::ADMINISTRATOR_PASSWORD,
        "eyJ",
        "jwtToken",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn under_no_fault_does_the_client_deny_what_happened_or_wait_for_ever() {
    for (name, fault) in Fault::catalogue() {
        let clock = PausedClock::start();
        let sandbox = sandbox(clock);
        let client = client(&sandbox, clock);
        sandbox.fail_next(Operation::CreateServerToken, fault.clone());
        let created = client
            .create_server_token()
            .email(demo::ADMINISTRATOR_EMAIL)
            .password(demo::ADMINISTRATOR_PASSWORD)
            .name("n")
            .send()
            .await;
        let happened = sandbox.server_tokens(demo::STORE_HASH).len() > 1;
        assert_eq!(happened, fault.is_taken(), "{name}");
        if let Err(error) = created {
            shows_no_secret(&error);
            assert!(
                !happened || error.may_have_been_applied(),
                "{name}: {error}"
            );
        } else {
            assert!(happened, "{name}: a token that was never made");
        }
        assert!(
            clock.elapsed() <= ATTEMPT + Duration::from_secs(1),
            "{name}"
        );
        // After the one request that a closed connection costs, all is well.
        let mint = || {
            let id = CustomerId::new(demo::CUSTOMER_ID).unwrap();
            client.mint_storefront_token(id).send()
        };
        if fault == Fault::CloseOnReuse {
            mint().await.unwrap_err();
        }
        mint().await.unwrap();
    }
}
