//! Which headers let a request in, and what the service says of the wrong ones.

use bigcommerce_b2b_auth_sandbox::{Operation, Store, demo};
use serde_json::json;

use crate::support::{Ask, demo_sandbox, standing_still};

#[tokio::test]
async fn every_operation_succeeds_with_its_own_credentials() {
    let sandbox = demo_sandbox();
    for (operation, ask) in Ask::each(&sandbox) {
        assert_eq!(ask.send(&sandbox).await.status, 200, "{operation:?}");
        assert!(!sandbox.requests().last().unwrap().mixes_header_sets());
    }
}

#[tokio::test]
async fn both_header_sets_together_are_refused_and_told_of() {
    let sandbox = demo_sandbox();
    for (operation, ask) in Ask::each(&sandbox) {
        for header in ["x-auth-token", "x-store-hash"] {
            let mixed = ask
                .clone()
                .without("x-auth-token")
                .without("x-store-hash")
                .legacy(&sandbox);
            let answer = mixed.header(header, demo::STORE_HASH).send(&sandbox).await;
            assert_eq!(answer.status, 400, "{operation:?} with {header}");
            assert_eq!(
                answer.json()["meta"]["message"],
                "sandbox: mixed header sets"
            );
            assert!(sandbox.requests().last().unwrap().mixes_header_sets());
        }
    }
}

#[tokio::test]
async fn a_missing_or_wrong_store_hash_is_a_server_error() {
    let sandbox = demo_sandbox();
    let session = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    for ask in [Ask::mint(), Ask::exchange(&session)] {
        for ask in [
            ask.clone().without("x-store-hash"),
            ask.header("x-store-hash", "unknown"),
        ] {
            let answer = ask.send(&sandbox).await;
            assert_eq!(answer.status, 500);
            assert_eq!(answer.json()["code"], 500);
        }
    }
}

#[tokio::test]
async fn a_mint_needs_the_access_token_of_its_store() {
    let sandbox = demo_sandbox();
    assert_eq!(
        Ask::mint()
            .without("x-auth-token")
            .send(&sandbox)
            .await
            .status,
        401
    );
    assert_eq!(
        Ask::mint()
            .header("x-auth-token", "")
            .send(&sandbox)
            .await
            .status,
        401
    );
    assert_eq!(
        Ask::mint()
            .header("x-auth-token", "wrong")
            .send(&sandbox)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn a_store_without_an_access_token_lets_nobody_in() {
    let sandbox = standing_still()
        .0
        .store(Store::new(demo::STORE_HASH))
        .build();
    assert_eq!(
        Ask::mint()
            .header("x-auth-token", "")
            .send(&sandbox)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn an_access_token_without_the_scope_is_forbidden() {
    let sandbox = standing_still()
        .0
        .store(Store::demo().without_b2b_scope())
        .build();
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (
            403,
            json!({ "code": 403, "data": {}, "meta": { "message": "Invalid access token" } })
        ),
    );
}

#[tokio::test]
async fn a_storefront_token_is_no_credential_for_management() {
    let sandbox = demo_sandbox();
    let minted = Ask::mint().send(&sandbox).await.data()["token"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let logged_in = Ask::login().send(&sandbox).await.data()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for token in [minted, logged_in] {
        for ask in [
            Ask::mint().header("x-auth-token", &token),
            Ask::list(&sandbox).header("authtoken", &token),
            Ask::delete(&sandbox, 1).header("authtoken", &token),
        ] {
            let answer = ask.send(&sandbox).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.json()["meta"]["message"]),
                (403, &json!("Invalid token"))
            );
        }
    }
}

#[tokio::test]
async fn list_and_delete_take_the_legacy_header_alone() {
    let sandbox = demo_sandbox();
    for ask in [Ask::list(&sandbox), Ask::delete(&sandbox, 1)] {
        let bare = ask.without("authtoken");
        assert_eq!(bare.send(&sandbox).await.status, 401);
        assert_eq!(bare.clone().current_pair().send(&sandbox).await.status, 401);
        assert_eq!(
            bare.header("authtoken", "wrong")
                .send(&sandbox)
                .await
                .status,
            401
        );
    }
}

#[tokio::test]
async fn where_the_body_carries_the_login_a_header_is_not_needed_but_has_to_be_right() {
    let sandbox = demo_sandbox();
    for ask in [Ask::login(), Ask::create()] {
        for (ask, status) in [
            (ask.clone(), 200),
            (ask.clone().current_pair(), 200),
            (ask.clone().header("x-store-hash", demo::STORE_HASH), 200),
            (ask.clone().header("x-store-hash", "unknown"), 500),
            (
                ask.clone().current_pair().field("storeHash", "unknown"),
                500,
            ),
            (
                ask.clone().current_pair().header("x-auth-token", "wrong"),
                401,
            ),
            (ask.clone().header("x-auth-token", demo::ACCESS_TOKEN), 500),
        ] {
            assert_eq!(ask.send(&sandbox).await.status, status);
        }
    }
}

#[tokio::test]
async fn a_server_token_opens_its_own_store_alone() {
    let other = Store::new("other").server_token(
        "theirs",
        "admin@other.example",
        bigcommerce_b2b_auth_sandbox::EventChannel::Admin,
    );
    let sandbox = standing_still().0.store(Store::demo()).store(other).build();
    let theirs = sandbox.auth_token("other").unwrap();
    let listed = Ask::list(&sandbox)
        .header("authtoken", &theirs)
        .send(&sandbox)
        .await
        .data();
    assert_eq!(listed[0]["storeHash"], "other");
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(sandbox.requests_to(Operation::ListServerTokens).len(), 1);
}
