//! What the sandbox remembers of requests, and what it never prints.

use std::time::{Duration, UNIX_EPOCH};

use axum::http::Method;
use bigcommerce_b2b_auth_sandbox::{
    BackendUser, CannedReply, Customer, EventChannel, Operation, Role, Sandbox, Store, demo,
};
use serde_json::json;

use crate::support::{Ask, NOW, demo_sandbox, standing_still};

#[tokio::test]
async fn a_request_is_recorded_as_it_came() {
    let (builder, clock) = standing_still();
    let sandbox = builder.build();
    clock.advance(Duration::from_secs(7));
    Ask::exchange("a%2Eb")
        .query("channelId=1&channelId=2")
        .send(&sandbox)
        .await;
    Ask::mint().header("X-Custom", "kept").send(&sandbox).await;

    let requests = sandbox.requests();
    assert_eq!(requests.len(), 2);
    let exchange = &requests[0];
    assert_eq!(exchange.operation(), Some(Operation::Exchange));
    assert_eq!(
        (exchange.method(), exchange.path()),
        (&Method::GET, "/api/io/auth/storefront")
    );
    assert_eq!(exchange.query(), "jwtToken=a%2Eb&channelId=1&channelId=2");
    assert_eq!(exchange.query_value("jwtToken").as_deref(), Some("a.b"));
    assert_eq!(exchange.query_value("channelId").as_deref(), Some("1"));
    assert_eq!(exchange.query_value("limit"), None);
    assert_eq!(exchange.status(), 401);
    assert_eq!(exchange.at(), UNIX_EPOCH + Duration::from_secs(NOW + 7));
    assert_eq!((exchange.json(), exchange.body().len()), (None, 0));
    let mint = &requests[1];
    assert_eq!(
        (mint.header("x-custom"), mint.header("X-Store-Hash")),
        (Some("kept"), Some(demo::STORE_HASH))
    );
    assert_eq!(mint.headers().len(), 4);
    assert_eq!(
        mint.json(),
        Some(json!({ "customerId": demo::CUSTOMER_ID }))
    );
}

#[tokio::test]
async fn requests_are_counted_by_operation() {
    let sandbox = standing_still().0.record(2).build();
    for ask in [
        Ask::mint(),
        Ask::mint(),
        Ask::login(),
        Ask::new(Method::GET, "/api/v3/io/auth/storefront"),
    ] {
        ask.send(&sandbox).await;
    }
    assert_eq!(
        (
            sandbox.request_count(),
            sandbox.request_count_to(Operation::Mint)
        ),
        (4, 2)
    );
    assert_eq!(
        (
            sandbox.requests().len(),
            sandbox.requests_to(Operation::Mint).len()
        ),
        (2, 0)
    );
    assert_eq!(sandbox.requests()[1].operation(), None);
    sandbox.clear_requests();
    assert_eq!((sandbox.request_count(), sandbox.requests().len()), (0, 0));
}

#[tokio::test]
async fn a_seed_makes_a_sandbox_repeat_itself() {
    let run = async |builder: bigcommerce_b2b_auth_sandbox::SandboxBuilder| {
        let sandbox = builder.build();
        let answer = Ask::mint().send(&sandbox).await;
        (answer.header("x-request-id").to_owned(), answer.body)
    };
    let fresh = || standing_still().0;
    assert_eq!(run(fresh().seed(5)).await, run(fresh().seed(5)).await);
    assert_ne!(run(fresh().seed(5)).await, run(fresh().seed(6)).await);
    assert_ne!(
        run(fresh()).await,
        run(fresh()).await,
        "by default no two are alike"
    );
}

#[tokio::test]
async fn no_debug_output_holds_a_secret() {
    let store = Store::new("hash")
        .with_access_token("canary-access-token")
        .customer(Customer::new(1, "buyer@a.example", "canary-password"))
        .backend_user(BackendUser::new(
            "admin@a.example",
            "canary-backend",
            Role::Custom("clerk".to_owned()),
        ))
        .server_token("name", "admin@a.example", EventChannel::Admin);
    let builder = Sandbox::builder().store(store.clone());
    let mut printed = vec![format!("{store:?} {store:#?} {builder:?}")];
    let running = builder.start().await.unwrap();
    let session = running.session_jwt("hash", 1).unwrap();
    let token = running.auth_token("hash").unwrap();
    for ask in [
        Ask::exchange(&session).header("authorization", "Bearer canary"),
        Ask::to(Operation::ListServerTokens).header("authtoken", &token),
        Ask::to(Operation::Mint)
            .header("x-auth-token", "canary-access-token")
            .header("x-store-hash", "hash")
            .json(json!({ "customerId": 1, "customerAccessToken": { "value": "canary-cat" } })),
        Ask::login().field("password", "canary-password"),
        Ask::login().body("canary, not JSON"),
        Ask::new(Method::POST, "/nowhere")
            .json(json!({ "canary": "canary" }))
            .body("[\"canary\"]"),
    ] {
        ask.send(&running).await;
    }
    let canned = CannedReply::new(axum::http::StatusCode::OK).body("canary");
    printed.push(format!(
        "{running:?} {:?} {:?} {canned:?}",
        running.requests(),
        running.server_tokens("hash")
    ));
    for text in printed {
        for secret in ["canary", session.as_str(), token.as_str()] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("[REDACTED]"), "{text}");
    }
    running.shutdown().await.unwrap();
}

#[test]
fn a_demo_store_is_there_until_another_is_named() {
    assert_eq!(demo_sandbox().stores()[0].hash(), demo::STORE_HASH);
    let named = Sandbox::builder().store(Store::new("only")).build();
    assert_eq!(
        named.stores().iter().map(Store::hash).collect::<Vec<_>>(),
        ["only"]
    );
    assert_eq!(
        Store::demo().channels(),
        [demo::CHANNEL_ID, demo::SECOND_CHANNEL_ID]
    );
    assert_eq!(
        Store::demo().customers()[0].password(),
        demo::CUSTOMER_PASSWORD
    );
    assert_eq!(
        Store::demo().backend_users()[0].role(),
        &Role::Administrator
    );
    assert_eq!(Store::demo().access_token(), demo::ACCESS_TOKEN);
}
