//! Every switch for something unknown, turned away from its default.
//! Those of the rate limit are in `rate_limit.rs`.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CamelCaseExpiry, CannedReply, CreatedTokenShape, Customer, ErrorShape,
    ExchangeChannel, Operation, RepeatedMint, Sandbox, Store, TokenShape, demo,
};
use serde_json::json;

use crate::support::{Ask, demo_sandbox, standing_still};

fn assuming(assumptions: Assumptions) -> Sandbox {
    standing_still().0.assumptions(assumptions).build()
}

#[tokio::test]
async fn a_mint_can_give_a_bare_string() {
    let sandbox = assuming(Assumptions::default().mint_token(TokenShape::String));
    Ask::mint().send(&sandbox).await.claims(&sandbox, "/token");
}

#[tokio::test]
async fn a_creation_can_give_an_object() {
    let sandbox = assuming(Assumptions::default().created_token(CreatedTokenShape::Object));
    Ask::create()
        .send(&sandbox)
        .await
        .claims(&sandbox, "/token");
}

#[tokio::test]
async fn a_refused_mint_comes_in_every_shape() {
    for &shape in ErrorShape::ALL {
        let assumptions = Assumptions::default()
            .mint_error(shape)
            .mint_error_status(StatusCode::UNPROCESSABLE_ENTITY);
        let sandbox = assuming(assumptions);
        let answer = Ask::mint().field("customerId", 999).send(&sandbox).await;
        let expected = if shape == ErrorShape::EnvelopeUnderHttp200 {
            200
        } else {
            422
        };
        assert_eq!(answer.status, expected, "{shape:?}");
        if shape == ErrorShape::EnvelopeUnderHttp200 {
            assert_eq!(answer.json()["code"], 422);
        }
    }
}

#[tokio::test]
async fn minting_again_gives_a_new_token_or_the_same() {
    for (repeated, same) in [(RepeatedMint::Anew, false), (RepeatedMint::Same, true)] {
        let (builder, clock) = standing_still();
        let sandbox = builder
            .assumptions(Assumptions::default().repeated_mint(repeated))
            .build();
        let mint = async || Ask::mint().send(&sandbox).await.data()["token"][0].clone();
        let first = mint().await;
        assert_eq!(
            mint().await,
            first,
            "within one second nothing in the claims differs"
        );
        clock.advance(Duration::from_secs(10));
        assert_eq!(mint().await == first, same, "{repeated:?}");
        let other = Ask::mint()
            .field("channelId", demo::SECOND_CHANNEL_ID)
            .send(&sandbox)
            .await;
        assert_ne!(other.data()["token"][0], first);
        clock.advance(Duration::from_secs(86_400));
        assert_ne!(mint().await, first, "the first has expired");
    }
}

#[tokio::test]
async fn the_camel_case_expiry_is_honoured_ignored_or_refused() {
    for (switch, good, bad) in [
        (CamelCaseExpiry::Honoured, 200, 400),
        (CamelCaseExpiry::Ignored, 200, 200),
        (CamelCaseExpiry::Refused, 400, 400),
    ] {
        let sandbox = assuming(Assumptions::default().camel_case_expiry(switch));
        for (expiry, status) in [("2030-01-02T00:00:00Z", good), ("soon", bad)] {
            let token = json!({ "value": "opaque", "expiresAt": expiry });
            let answer = Ask::mint()
                .field("customerAccessToken", token)
                .send(&sandbox)
                .await;
            assert_eq!(answer.status, status, "{switch:?} of {expiry}");
        }
    }
}

#[tokio::test]
async fn a_login_can_need_the_headers() {
    let sandbox = assuming(Assumptions::default().login_requires_headers(true));
    assert_eq!(Ask::login().send(&sandbox).await.status, 500);
    assert_eq!(Ask::login().current_pair().send(&sandbox).await.status, 200);
}

#[tokio::test]
async fn a_login_can_do_without_a_channel() {
    let sandbox = assuming(Assumptions::default().login_requires_channel(false));
    let answer = Ask::login()
        .field("channelId", json!(null))
        .send(&sandbox)
        .await;
    assert_eq!(answer.claims(&sandbox, "/token")["channel_ids"], json!([1]));
}

#[tokio::test]
async fn unknown_channels_are_refused_or_taken() {
    for (refuse, status) in [(true, 404), (false, 200)] {
        let sandbox = assuming(Assumptions::default().refuse_unknown_channels(refuse));
        assert_eq!(
            Ask::mint()
                .field("channelId", 77)
                .send(&sandbox)
                .await
                .status,
            status
        );
    }
    let sandbox = assuming(Assumptions::default().refuse_unknown_channels(false));
    let login = Ask::login().field("channelId", 77).send(&sandbox).await;
    assert_eq!(login.claims(&sandbox, "/token")["channel_ids"], json!([77]));
    let session = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let exchange = Ask::exchange(&session)
        .query("channelId=77")
        .send(&sandbox)
        .await;
    assert_eq!(exchange.claims(&sandbox, "/token")["bc_channel_id"], 77);
}

#[tokio::test]
async fn a_channel_in_the_exchange_of_a_single_storefront_cannot_be_relied_on() {
    let store = Store::new(demo::STORE_HASH).customer(Customer::new(1, "a@b.example", "x"));
    for (switch, arbitrary) in [
        (ExchangeChannel::Arbitrary, true),
        (ExchangeChannel::Ignored, false),
    ] {
        let assumptions = Assumptions::default().single_storefront_channel(switch);
        let sandbox = standing_still()
            .0
            .store(store.clone())
            .assumptions(assumptions)
            .build();
        let session = sandbox.session_jwt(demo::STORE_HASH, 1).unwrap();
        let without = Ask::exchange(&session).send(&sandbox).await;
        assert_eq!(without.claims(&sandbox, "/token")["bc_channel_id"], 1);
        let with = Ask::exchange(&session)
            .query("channelId=1")
            .send(&sandbox)
            .await;
        assert_eq!(
            with.claims(&sandbox, "/token")["bc_channel_id"] != 1,
            arbitrary,
            "{switch:?}"
        );
    }
}

#[tokio::test]
async fn the_shapes_of_undocumented_errors_can_be_chosen() {
    let sandbox = assuming(
        Assumptions::default()
            .wrong_credential_status(StatusCode::FORBIDDEN)
            .access_error(ErrorShape::Detail)
            .store_hash_error(ErrorShape::CodeAndMessage)
            .validation_error(ErrorShape::Problem)
            .validation_status(StatusCode::UNPROCESSABLE_ENTITY),
    );
    let answer = Ask::mint()
        .header("x-auth-token", "wrong")
        .send(&sandbox)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (403, json!({ "detail": "Invalid token" }))
    );
    let answer = Ask::mint()
        .header("x-store-hash", "wrong")
        .send(&sandbox)
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (500, json!({ "code": 500, "message": "server error" }))
    );
    let answer = Ask::mint()
        .field("customerId", json!(null))
        .send(&sandbox)
        .await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["errors"]),
        (422, &json!({ "customerId": ["is required"] }))
    );
}

#[tokio::test]
async fn a_test_can_put_its_own_reply_in_place_of_the_next() {
    let sandbox = demo_sandbox();
    let garbage = [0xff, 0x00, b'<'];
    sandbox.respond_next(
        Operation::Mint,
        CannedReply::new(StatusCode::BAD_GATEWAY)
            .header(
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("text/html"),
            )
            .header(
                HeaderName::from_static("x-request-id"),
                HeaderValue::from_static("mine"),
            )
            .body(garbage.to_vec()),
    );
    sandbox.respond_next(
        Operation::Mint,
        CannedReply::error(StatusCode::SERVICE_UNAVAILABLE, ErrorShape::Detail, "later"),
    );
    sandbox.respond_next(
        Operation::Login,
        CannedReply::json(StatusCode::NO_CONTENT, &json!(null)),
    );

    let first = Ask::mint().send(&sandbox).await;
    assert_eq!(
        (first.status.as_u16(), &first.body[..]),
        (502, &garbage[..])
    );
    assert_eq!(
        (first.header("content-type"), first.header("x-request-id")),
        ("text/html", "mine")
    );
    assert_eq!(
        first.header("x-requests-remaining"),
        "149 times",
        "it spends like any other"
    );
    let second = Ask::mint().without("x-store-hash").send(&sandbox).await;
    assert_eq!(
        (second.status.as_u16(), second.json()),
        (503, json!({ "detail": "later" }))
    );
    assert_eq!(
        Ask::mint().send(&sandbox).await.status,
        200,
        "the queue is empty"
    );
    assert_eq!(
        Ask::login().send(&sandbox).await.status,
        204,
        "each operation has a queue of its own"
    );
    assert_eq!(sandbox.request_count_to(Operation::Mint), 3);
}

#[tokio::test]
async fn a_canned_reply_has_no_effect_on_the_state() {
    let sandbox = demo_sandbox();
    sandbox.respond_next(
        Operation::CreateServerToken,
        CannedReply::new(StatusCode::OK),
    );
    Ask::create().send(&sandbox).await;
    assert_eq!(sandbox.server_tokens(demo::STORE_HASH).len(), 1);
}
