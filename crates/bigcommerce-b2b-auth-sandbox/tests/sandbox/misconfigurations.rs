//! What people meet besides a wrong password: companies that are not active, channels that are not live, session JWTs of
//! another app, and tokens that went to the wrong GraphQL host.

use axum::http::Method;
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CORE_GRAPHQL_PATH, CompanyStatus, Customer, GRAPHQL_PATH, Sandbox, Store, demo,
};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, standing_still};

const CHANNEL_NOT_LIVE: &str =
    "Operation cannot be performed as the storefront channel is not live";

fn sandbox() -> Sandbox {
    let customer = |id: u64| Customer::new(id, format!("{id}@demo.example"), "a password");
    let store = Store::demo()
        .channel_not_live(3001)
        .customer(customer(201).company(CompanyStatus::Pending))
        .customer(customer(202).company(CompanyStatus::Inactive))
        .customer(customer(203).unassigned_sales_rep());
    let (builder, _) = standing_still();
    builder.store(store).build()
}

async fn mint(sandbox: &Sandbox, customer: u64) -> Answer {
    Ask::mint()
        .field("customerId", customer)
        .send(sandbox)
        .await
}

#[tokio::test]
async fn a_user_of_a_company_that_is_not_active_gets_no_token() {
    let sandbox = sandbox();
    for (customer, message) in [
        (201, "Your business account is pending approval"),
        (202, "This business account is inactive"),
    ] {
        let answer = mint(&sandbox, customer).await;
        answer.assert_error(403, message, message);
    }
    mint(&sandbox, 203).await.data();
}

#[tokio::test]
async fn a_channel_that_is_not_live_gets_no_token() {
    let sandbox = sandbox();
    let ask = Ask::mint().field("channelId", 3001);
    ask.send(&sandbox)
        .await
        .assert_error(404, CHANNEL_NOT_LIVE, CHANNEL_NOT_LIVE);
    let jwt = sandbox.session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID);
    let ask = Ask::exchange(&jwt.unwrap_or_default()).query("channelId=3001");
    ask.send(&sandbox)
        .await
        .assert_error(404, CHANNEL_NOT_LIVE, CHANNEL_NOT_LIVE);
}

#[tokio::test]
async fn a_session_jwt_of_another_app_is_not_exchanged() {
    let message = "Signature verification failed";
    for status in [401, 403] {
        let (builder, _) = standing_still();
        let assumed = status.try_into().expect("a status");
        let sandbox = builder
            .assumptions(Assumptions::default().other_app_status(assumed))
            .build();
        let jwt = sandbox.session_jwt_for_app(demo::STORE_HASH, demo::CUSTOMER_ID, "another app");
        let answer = Ask::exchange(&jwt.unwrap_or_default()).send(&sandbox).await;
        answer.assert_error(status, message, message);
    }
}

#[tokio::test]
async fn each_graphql_api_judges_the_token() {
    let sandbox = sandbox();
    let ask = async |path: &str, token: &str| {
        let ask = Ask::new(Method::POST, path).json(json!({ "query": "{ __typename }" }));
        ask.header("authorization", &format!("Bearer {token}"))
            .send(&sandbox)
            .await
    };
    let token = async |customer| {
        let answer = mint(&sandbox, customer).await;
        let token = answer.data()["token"][0].as_str().map(str::to_owned);
        token.unwrap_or_default()
    };
    let good = token(demo::CUSTOMER_ID).await;
    assert_eq!(
        ask(GRAPHQL_PATH, &good).await.json(),
        json!({ "data": { "__typename": "Query" } })
    );
    let message = |answer: &Answer| answer.json()["errors"][0]["message"].clone();
    let code = |answer: &Answer| answer.json()["errors"][0]["extensions"]["code"].clone();

    let unreadable = ask(GRAPHQL_PATH, "a token of the core").await;
    assert_eq!(message(&unreadable), "JWT verification failed");
    assert_eq!(code(&unreadable), Value::Null);
    let expired = sandbox.sign(&json!({
        "bc_customer_id": demo::CUSTOMER_ID, "store_hash": demo::STORE_HASH, "exp": 5,
    }));
    assert_eq!(code(&ask(GRAPHQL_PATH, &expired).await), 40101);

    let forbidden = ask(GRAPHQL_PATH, &token(203).await).await;
    assert_eq!(forbidden.status, 403);
    assert_eq!(forbidden.json()["message"], "Permission denied");

    let misplaced = ask(CORE_GRAPHQL_PATH, &good).await;
    assert_eq!(message(&misplaced), "String is not a JWT");
    let without = Ask::new(Method::POST, CORE_GRAPHQL_PATH)
        .send(&sandbox)
        .await;
    assert_eq!(message(&without), "invalid credentials");
    let get = Ask::new(Method::GET, GRAPHQL_PATH).send(&sandbox).await;
    assert_eq!(get.status, 404);
}
