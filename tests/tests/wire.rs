//! What goes over the wire, as a real socket receives it: method, path, query, headers and body of each operation.
//! Secrets are shown by name, so that a snapshot proves that the right one went to the right place.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls go over the wire as well")]

use std::time::{Duration, SystemTime};

use bigcommerce_b2b_auth::{
    ChannelId, Client, ClientBuilder, CustomerAccessToken, CustomerId, LegacyAuthToken,
    ServerTokenId, StoreAccess, StoreHash,
};
use bigcommerce_b2b_auth_sandbox::{Assumptions, RecordedRequest, RunningSandbox, Sandbox, demo};
use futures_util::TryStreamExt;

async fn sandbox() -> RunningSandbox {
    Sandbox::builder()
        .assumptions(Assumptions::default().login_requires_channel(false))
        .start()
        .await
        .unwrap()
}

fn store_access(sandbox: &RunningSandbox) -> Client {
    Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url(sandbox.base_url())
        .build()
        .unwrap()
}

fn store_hash(sandbox: &RunningSandbox) -> Client<StoreHash> {
    store_access(sandbox).for_store(StoreHash::new(demo::STORE_HASH).unwrap())
}

fn legacy(sandbox: &RunningSandbox) -> Client<LegacyAuthToken> {
    let token = sandbox.auth_token(demo::STORE_HASH).unwrap();
    store_access(sandbox).with_legacy_auth_token(LegacyAuthToken::new(token).unwrap())
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The last request, with each secret that was planted replaced by its name.
fn last(sandbox: &RunningSandbox, secrets: &[(&str, &str)]) -> String {
    let requests = sandbox.requests();
    let request = requests.last().unwrap();
    let mut text = render(request);
    let legacy = sandbox.auth_token(demo::STORE_HASH).unwrap();
    let known = [
        (demo::ACCESS_TOKEN, "access token"),
        (legacy.as_str(), "authToken"),
        (demo::CUSTOMER_PASSWORD, "customer's password"),
        (demo::ADMINISTRATOR_PASSWORD, "administrator's password"),
    ];
    for (secret, name) in known.iter().chain(secrets) {
        text = text.replace(secret, &format!("[redacted: {name}]"));
    }
    text
}

fn render(request: &RecordedRequest) -> String {
    let mut lines = vec![format!("{} {}", request.method(), request.path())];
    if !request.query().is_empty() {
        lines.push(format!("? {}", request.query()));
    }
    let mut headers: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| match name.as_str() {
            // They change with the port, the version and the length of a token.
            "host" | "content-length" => format!("{name}: …"),
            "user-agent" => format!(
                "{name}: {}",
                value
                    .to_str()
                    .unwrap()
                    .replace(env!("CARGO_PKG_VERSION"), "VERSION")
            ),
            _ => format!("{name}: {}", value.to_str().unwrap()),
        })
        .collect();
    headers.sort();
    lines.extend(headers);
    if let Some(body) = request.json() {
        lines.push(String::new());
        lines.push(serde_json::to_string_pretty(&body).unwrap());
    }
    lines.join("\n")
}

#[tokio::test]
async fn mint() {
    let sandbox = sandbox().await;
    let client = store_access(&sandbox);
    client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("mint", last(&sandbox, &[]));

    let token = CustomerAccessToken::new("a customer access token")
        .expires_at(at(1_900_000_000))
        .unwrap();
    client
        .mint_storefront_token(customer())
        .channel(ChannelId::new(demo::SECOND_CHANNEL_ID).unwrap())
        .customer_access_token(token)
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!(
        "mint_in_full",
        last(
            &sandbox,
            &[("a customer access token", "customer access token")]
        )
    );
}

#[tokio::test]
async fn log_in() {
    let sandbox = sandbox().await;
    let call = store_access(&sandbox);
    call.log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("checkout")
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("log_in", last(&sandbox, &[]));

    store_hash(&sandbox)
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("checkout")
        .channel(ChannelId::DEFAULT)
        .begin_at(at(1_900_000_000))
        .end_at(at(1_900_003_600))
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("log_in_without_access_token", last(&sandbox, &[]));
}

#[tokio::test]
async fn exchange() {
    let sandbox = sandbox().await;
    let jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    // Neither the access token nor the default channel of the client may go along.
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .default_channel(ChannelId::DEFAULT)
        .base_url(sandbox.base_url())
        .build()
        .unwrap();
    client
        .exchange_session_jwt(jwt.clone())
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("exchange", last(&sandbox, &[(&jwt, "session JWT")]));

    client
        .exchange_session_jwt(jwt.clone())
        .channel(ChannelId::new(demo::SECOND_CHANNEL_ID).unwrap())
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!(
        "exchange_with_channel",
        last(&sandbox, &[(&jwt, "session JWT")])
    );
}

#[tokio::test]
async fn create_server_token() {
    let sandbox = sandbox().await;
    store_access(&sandbox)
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name("nightly export")
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("create_server_token", last(&sandbox, &[]));
}

#[tokio::test]
async fn delete_server_token() {
    let sandbox = sandbox().await;
    let client = legacy(&sandbox);
    let id = sandbox.server_tokens(demo::STORE_HASH)[0].id();
    client
        .delete_server_token(ServerTokenId::new(id).unwrap())
        .email(demo::ADMINISTRATOR_EMAIL)
        .name(demo::SERVER_TOKEN_NAME)
        .send()
        .await
        .unwrap();
    let request = sandbox.requests().pop().unwrap();
    assert!(request.header("authToken").is_some());
    let token = request.header("authToken").unwrap().to_owned();
    let text = render(&request).replace(&token, "[redacted: authToken]");
    insta::assert_snapshot!("delete_server_token", text);
}

#[tokio::test]
async fn list_server_tokens() {
    let sandbox = sandbox().await;
    let client = legacy(&sandbox);
    client.list_server_tokens().send().await.unwrap();
    insta::assert_snapshot!("list_server_tokens", last(&sandbox, &[]));

    client
        .list_server_tokens()
        .limit(250)
        .offset(20)
        .send()
        .await
        .unwrap();
    insta::assert_snapshot!("list_server_tokens_page", last(&sandbox, &[]));

    let tokens: Vec<_> = client
        .all_server_tokens()
        .stream()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(tokens.len(), 1);
}

#[tokio::test]
async fn every_request_introduces_itself() {
    let sandbox = sandbox().await;
    let builder: ClientBuilder<StoreAccess> = Client::builder();
    let client = builder
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url(format!("{}/", sandbox.base_url()))
        .user_agent_suffix("my-shop/1.0")
        .build()
        .unwrap();
    client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    let request = sandbox.requests().pop().unwrap();
    let user_agent = request.header("user-agent").unwrap();
    assert_eq!(
        user_agent,
        concat!(
            "bigcommerce-b2b-auth-rust/",
            env!("CARGO_PKG_VERSION"),
            " my-shop/1.0"
        )
    );
    // The generator would send it with every request; the service does not know it.
    assert_eq!(request.header("api-version"), None);
    assert_eq!(request.path(), "/api/io/auth/customers/storefront");
}
