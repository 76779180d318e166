//! Mint, login and exchange: the tokens that they give and the errors that are documented for them.

use std::time::Duration;

use bigcommerce_b2b_auth_sandbox::{Customer, Sandbox, Store, demo};
use serde_json::json;

use crate::support::{Ask, NOW, demo_sandbox, standing_still};

const DAY: u64 = 86_400;

#[tokio::test]
async fn a_mint_gives_a_list_with_one_token_for_a_day() {
    let sandbox = demo_sandbox();
    let answer = Ask::mint().send(&sandbox).await;
    assert_eq!(answer.data()["token"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        answer.claims(&sandbox, "/token/0"),
        json!({
            "email": demo::CUSTOMER_EMAIL,
            "bc_customer_id": demo::CUSTOMER_ID,
            "store_hash": demo::STORE_HASH,
            "db": "default",
            "bc_channel_id": demo::CHANNEL_ID,
            "exp": NOW + DAY,
        }),
    );
}

#[tokio::test]
async fn a_mint_takes_a_channel_as_a_number_or_in_quotes() {
    let sandbox = demo_sandbox();
    for channel in [
        json!(demo::SECOND_CHANNEL_ID),
        json!(demo::SECOND_CHANNEL_ID.to_string()),
    ] {
        let answer = Ask::mint().field("channelId", channel).send(&sandbox).await;
        assert_eq!(
            answer.claims(&sandbox, "/token/0")["bc_channel_id"],
            demo::SECOND_CHANNEL_ID
        );
    }
}

#[tokio::test]
async fn a_mint_takes_a_customer_access_token_in_both_spellings() {
    let sandbox = demo_sandbox();
    for expiry in ["expires_at", "expiresAt"] {
        let token = json!({ "value": "opaque", expiry: "2030-01-02T00:00:00.0Z" });
        Ask::mint()
            .field("customerAccessToken", token)
            .send(&sandbox)
            .await
            .data();
    }
}

#[tokio::test]
async fn a_mint_names_every_wrong_field() {
    let sandbox = demo_sandbox();
    let answer = Ask::mint()
        .field("customerId", "101")
        .field("channelId", -1)
        .field(
            "customerAccessToken",
            json!({ "value": 1, "expires_at": "soon" }),
        )
        .send(&sandbox)
        .await;
    assert_eq!(answer.status, 400);
    let data = &answer.json()["data"];
    for (field, problems) in [
        ("customerId", 1),
        ("channelId", 1),
        ("customerAccessToken", 2),
    ] {
        assert_eq!(
            data[field].as_array().map(Vec::len),
            Some(problems),
            "{field} in {data}"
        );
    }
    let answer = Ask::mint()
        .field("customerId", json!(null))
        .send(&sandbox)
        .await;
    assert_eq!(
        answer.json()["data"],
        json!({ "customerId": ["is required"] })
    );
}

#[tokio::test]
async fn a_login_gives_a_token_with_claims_of_its_own() {
    let sandbox = demo_sandbox();
    let answer = Ask::login().send(&sandbox).await;
    assert_eq!(answer.data()["name"], "a login");
    assert_eq!(
        answer.claims(&sandbox, "/token"),
        json!({
            "email": demo::CUSTOMER_EMAIL,
            "store_hash": demo::STORE_HASH,
            "db": "default",
            "name": "a login",
            "channel_ids": [demo::CHANNEL_ID],
            "token_type": 3,
            "nbf": NOW,
            "exp": NOW + DAY,
        }),
    );
}

#[tokio::test]
async fn a_login_says_when_its_token_begins_and_ends() {
    let sandbox = demo_sandbox();
    let answer = Ask::login()
        .field("beginAt", NOW + 5)
        .field("endAt", NOW + 9)
        .send(&sandbox)
        .await;
    let claims = answer.claims(&sandbox, "/token");
    assert_eq!(
        (&claims["nbf"], &claims["exp"]),
        (&json!(NOW + 5), &json!(NOW + 9))
    );
}

#[tokio::test]
async fn a_failed_login_has_one_text_for_every_reason() {
    let sandbox = demo_sandbox();
    for (field, value) in [
        ("password", json!("wrong")),
        ("email", json!("nobody@demo.example")),
        ("storeHash", json!("unknown")),
        ("channelId", json!(7)),
    ] {
        let answer = Ask::login().field(field, value).send(&sandbox).await;
        answer.assert_error(400, "Customer auth failed", "Calling BC API failed");
    }
}

#[tokio::test]
async fn a_login_needs_each_of_its_fields() {
    let sandbox = demo_sandbox();
    for field in ["storeHash", "email", "password", "channelId", "name"] {
        let answer = Ask::login().field(field, json!(null)).send(&sandbox).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["data"].clone()),
            (400, json!({ field: ["is required"] }))
        );
    }
    let answer = Ask::login()
        .field("email", "")
        .field("password", 5)
        .send(&sandbox)
        .await;
    assert_eq!(
        answer.json()["data"],
        json!({ "email": ["must not be empty"], "password": ["must be a string"] })
    );
}

#[tokio::test]
async fn an_exchange_gives_the_token_of_a_mint() {
    let sandbox = demo_sandbox();
    let session = sandbox
        .session_jwt(demo::STORE_HASH, demo::SECOND_CUSTOMER_ID)
        .unwrap();
    let answer = Ask::exchange(&session).send(&sandbox).await;
    assert_eq!(
        answer.claims(&sandbox, "/token"),
        json!({
            "email": demo::SECOND_CUSTOMER_EMAIL,
            "bc_customer_id": demo::SECOND_CUSTOMER_ID,
            "store_hash": demo::STORE_HASH,
            "db": "default",
            "bc_channel_id": demo::CHANNEL_ID,
            "exp": NOW + DAY,
        }),
    );
    let with_channel = Ask::exchange(&session)
        .query("channelId=2001")
        .send(&sandbox)
        .await;
    assert_eq!(
        with_channel.claims(&sandbox, "/token")["bc_channel_id"],
        2001
    );
    for bad in ["channelId=x", "channelId=", "channelId=5"] {
        let answer = Ask::exchange(&session).query(bad).send(&sandbox).await;
        assert_eq!(answer.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_session_jwt_has_the_documented_claims() {
    let sandbox = demo_sandbox();
    let claims = sandbox
        .verify(
            &sandbox
                .session_jwt(demo::STORE_HASH, demo::SECOND_CUSTOMER_ID)
                .unwrap(),
        )
        .unwrap();
    assert_eq!(
        claims["customer"],
        json!({ "id": demo::SECOND_CUSTOMER_ID, "email": demo::SECOND_CUSTOMER_EMAIL, "group_id": "4" }),
    );
    assert_eq!(
        (&claims["iat"], &claims["exp"]),
        (&json!(NOW), &json!(NOW + 900))
    );
    assert_eq!(claims["store_hash"], demo::STORE_HASH);
    for name in [
        "iss",
        "sub",
        "aud",
        "application_id",
        "version",
        "operation",
    ] {
        assert!(!claims[name].is_null(), "{name}");
    }
    assert_eq!(sandbox.session_jwt(demo::STORE_HASH, 999), None);
    assert_eq!(sandbox.session_jwt("unknown", demo::CUSTOMER_ID), None);
}

#[tokio::test]
async fn an_exchange_refuses_every_jwt_but_a_live_one_of_this_store() {
    let (builder, clock) = standing_still();
    let other =
        Store::new("other").customer(Customer::new(demo::CUSTOMER_ID, demo::CUSTOMER_EMAIL, "x"));
    let sandbox = builder.store(Store::demo()).store(other).build();
    let live = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let foreign = Sandbox::builder()
        .build()
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let minted = Ask::mint().send(&sandbox).await.data()["token"][0]
        .as_str()
        .unwrap()
        .to_owned();
    let nobody = {
        let mut claims = sandbox.verify(&live).unwrap();
        claims["customer"]["id"] = json!(999);
        sandbox.sign(&claims)
    };
    for bad in [
        sandbox.session_jwt("other", demo::CUSTOMER_ID).unwrap(),
        foreign,
        minted,
        nobody,
        format!("{live}x"),
        sandbox.sign(&json!([])),
        String::new(),
    ] {
        let answer = Ask::exchange(&bad).send(&sandbox).await;
        answer.assert_error(401, NO_CREDENTIALS, NO_CREDENTIALS);
    }
    let without = Ask::to(bigcommerce_b2b_auth_sandbox::Operation::Exchange)
        .header("x-store-hash", demo::STORE_HASH);
    without
        .send(&sandbox)
        .await
        .assert_error(401, NO_CREDENTIALS, NO_CREDENTIALS);

    clock.advance(Duration::from_secs(899));
    Ask::exchange(&live).send(&sandbox).await.data();
    clock.advance(Duration::from_secs(1));
    Ask::exchange(&live)
        .send(&sandbox)
        .await
        .assert_error(401, NO_CREDENTIALS, NO_CREDENTIALS);
}

const NO_CREDENTIALS: &str = "Invalid token header. No credentials provided.";
