//! What the SDK does not accept of a token that a response, a caller, the shared backend or a snapshot brings: one that is too
//! long. In the *time* harness.
#![allow(
    deprecated,
    clippy::unwrap_used,
    reason = "the operations on server tokens are deprecated; a test that cannot go on ends with a panic"
)]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    ChannelId, Client, CustomerEpoch, Error, ErrorKind, LegacyAuthToken, MemoryTokenStore,
    StoreAccess, StoreHash, StoreKey, StoredToken, TokenStore,
};
use bigcommerce_b2b_auth_sandbox::{CannedReply, Operation};
use http::StatusCode;
use serde_json::{Value, json};
use tests::managed::{DAY, Managed, STORE_HASH, Wanted, customer};

/// The longest token that is accepted.
const LONGEST: usize = 16 * 1024;

fn success(data: &Value) -> CannedReply {
    CannedReply::json(
        StatusCode::OK,
        &json!({"code": 200, "data": data, "meta": {"message": "SUCCESS"}}),
    )
}

/// The next response to this operation holds the token, in the form that the operation has.
fn next_token(managed: &Managed, operation: Operation, token: &str) {
    let data = match operation {
        Operation::Mint => json!({"token": [token]}),
        Operation::CreateServerToken => json!([{"name": "test", "token": token}]),
        Operation::ListServerTokens => json!([{"id": 7, "token": token}]),
        _ => json!({"token": token}),
    };
    managed.sandbox.respond_next(operation, success(&data));
}

/// The operations that give a token.
const GIVE_TOKENS: [Operation; 5] = [
    Operation::Mint,
    Operation::Login,
    Operation::Exchange,
    Operation::CreateServerToken,
    Operation::ListServerTokens,
];

/// Calls the operation for customer 1.
async fn call(managed: &Managed, operation: Operation) -> Result<(), Error> {
    let client = &managed.client;
    let legacy = LegacyAuthToken::new("a legacy token").unwrap();
    match operation {
        Operation::Mint => client
            .mint_storefront_token(customer(1))
            .send()
            .await
            .map(drop),
        Operation::Login => {
            let login = client.log_in_storefront_user().email("a@example.com");
            let login = login.password("a password").name("test");
            login.channel(ChannelId::DEFAULT).send().await.map(drop)
        }
        Operation::Exchange => {
            let exchange = client.exchange_session_jwt("a session JWT");
            exchange.send().await.map(drop)
        }
        Operation::CreateServerToken => {
            let create = client.create_server_token().email("a@example.com");
            let create = create.password("a password").name("test");
            create.send().await.map(drop)
        }
        _ => {
            let client = client.with_legacy_auth_token(legacy);
            client.list_server_tokens().send().await.map(drop)
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_operation_rejects_a_token_longer_than_16_kib() {
    let managed = Managed::new(Wanted::default());
    for operation in GIVE_TOKENS {
        next_token(&managed, operation, &"x".repeat(LONGEST));
        call(&managed, operation).await.unwrap();
        let asked = managed.sandbox.request_count_to(operation);
        next_token(&managed, operation, &"x".repeat(LONGEST + 1));
        let error = call(&managed, operation).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{operation:?}");
        assert!(error.may_have_been_applied() && !error.is_retryable());
        let shown = format!("{error} {error:?}");
        assert!(
            shown.contains("longer than 16 KiB") && !shown.contains("xxxx"),
            "{shown}"
        );
        assert_eq!(managed.sandbox.request_count_to(operation), asked + 1);
        if operation == Operation::ListServerTokens {
            // It names the token, so that it can be deleted.
            assert!(shown.contains("server token 7"), "{shown}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn neither_the_cache_nor_the_shared_backend_takes_a_token_longer_than_16_kib() {
    let store = Arc::new(MemoryTokenStore::new());
    let managed = Managed::new(Wanted {
        shared_store: Some(Arc::clone(&store) as Arc<dyn TokenStore>),
        ..Wanted::default()
    });
    let key = |id| StoreKey::new(StoreHash::new(STORE_HASH).unwrap(), customer(id));
    next_token(&managed, Operation::Mint, &"x".repeat(LONGEST + 1));
    let error = managed.tokens.get(customer(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
    assert!(managed.tokens.get_cached(customer(1)).is_none());
    assert_eq!(store.load(&key(1)).await.unwrap(), None);

    // What is in the shared backend already is a miss.
    let now = managed.clock.true_time();
    let long = StoredToken::new("x".repeat(LONGEST + 1), now + DAY, now);
    store
        .put_if_newer(&key(2), &long, CustomerEpoch::default())
        .await
        .unwrap();
    let token = managed.tokens.get(customer(2)).await.unwrap();
    assert!(token.expose_secret().len() < LONGEST);
    assert_eq!(managed.tokens.metrics().from_shared_store, 0);
}

#[tokio::test(start_paused = true)]
async fn a_secret_longer_than_16_kib_is_not_sent() {
    let long = "x".repeat(LONGEST + 1);
    let error = StoreAccess::new(STORE_HASH, &*long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(LegacyAuthToken::new(&*long).is_err());
    let client = Client::new(STORE_HASH, "x".repeat(LONGEST)).unwrap();
    let exchange = client.exchange_session_jwt(&*long).send();
    let exchange = tokio::time::timeout(Duration::from_secs(1), exchange);
    let error = exchange.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (
            ErrorKind::InvalidInput,
            "the session JWT is longer than 16 KiB"
        )
    );
}
