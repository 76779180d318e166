//! Tokens that the SDK refuses, whether a response, a caller or the shared backend brings them: too long, expired, or of another
//! customer or store. In the *time* harness.
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
use bigcommerce_b2b_auth_sandbox::Operation;
use serde_json::{Value, json};
use tests::managed::{DAY, Managed, STORE_HASH, Wanted, customer, http_date};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// The longest token that is accepted.
const LONGEST: usize = 16 * 1024;

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
        managed.next_token_of(operation, &"x".repeat(LONGEST), &[]);
        call(&managed, operation).await.unwrap();
        let asked = managed.sandbox.request_count_to(operation);
        managed.next_token_of(operation, &"x".repeat(LONGEST + 1), &[]);
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
    managed.next_token_is(&"x".repeat(LONGEST + 1));
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

/// The operations that give a storefront token.
const GIVE_STOREFRONT_TOKENS: [Operation; 3] =
    [Operation::Mint, Operation::Login, Operation::Exchange];

#[tokio::test(start_paused = true)]
async fn a_direct_call_refuses_a_token_that_had_expired_when_it_came() {
    let managed = Managed::new(Wanted::default());
    let expired = |exp: Value| managed.token_with_expiry(1, Some(exp));
    let hour_ago = http_date(managed.clock.true_time() - HOUR);
    for operation in GIVE_STOREFRONT_TOKENS {
        for (exp, headers, is_refused) in [
            // Whatever any clock says.
            (json!(0), &[][..], true),
            (json!(-1), &[], true),
            (json!("-1"), &[], true),
            // By the service's own clock.
            (json!(managed.in_seconds(0)), &[], true),
            (json!(managed.in_seconds(-3600)), &[], true),
            (json!(managed.in_seconds(5)), &[], false),
            (
                json!(managed.in_seconds(-3500)),
                &[("date", hour_ago.as_str())],
                false,
            ),
            // A cached `Date` is not that clock: then this machine's decides.
            (
                json!(managed.in_seconds(-3500)),
                &[("date", hour_ago.as_str()), ("age", "3600")],
                true,
            ),
        ] {
            managed.next_token_of(operation, &expired(exp.clone()), headers);
            let result = call(&managed, operation).await;
            let Err(error) = result else {
                assert!(!is_refused, "{operation:?}, {exp}, {headers:?}");
                continue;
            };
            assert!(is_refused, "{operation:?}, {exp}, {headers:?}: {error}");
            assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{error}");
            assert!(error.may_have_been_applied() && !error.is_retryable());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_direct_call_works_where_this_machines_clock_is_days_ahead() {
    let managed = Managed::new(Wanted::default());
    managed.clock.jump(3 * 24 * 3600);
    // Every response tells the service's clock.
    for _ in 0..5 {
        call(&managed, Operation::Mint).await.unwrap();
    }
    // Where none does, the error says what to check.
    let token = managed.token_that_lasts(1, DAY);
    let cached = http_date(managed.clock.true_time());
    let other = Managed::new(Wanted::default());
    other.clock.jump(3 * 24 * 3600);
    other.next_token_of(Operation::Mint, &token, &[("date", &cached), ("age", "1")]);
    let error = call(&other, Operation::Mint).await.unwrap_err();
    assert!(
        error.to_string().contains("by the clock of this machine"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_date_that_is_ahead_makes_no_token_of_another_response_unusable() {
    let managed = Managed::new(Wanted::default());
    let token = managed.token_that_lasts(1, HOUR / 2);
    let ahead = http_date(managed.clock.true_time() + HOUR);
    managed.next_token_of(Operation::Mint, &token, &[("date", &ahead)]);
    let error = call(&managed, Operation::Mint).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
    // This one does not tell the service's clock.
    let now = http_date(managed.clock.true_time());
    let of_a_cache = [("date", now.as_str()), ("age", "1")];
    managed.next_token_of(Operation::Mint, &token, &of_a_cache);
    call(&managed, Operation::Mint).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_storefront_operation_refuses_a_token_of_another_store() {
    let managed = Managed::new(Wanted {
        retries: true,
        ..Wanted::default()
    });
    let exp = managed.in_seconds(3600);
    for operation in GIVE_STOREFRONT_TOKENS {
        let token = managed.sandbox.sign(
            &json!({"bc_customer_id": 1, "store_hash": "foreign7", "email": "b@example.com", "exp": exp}),
        );
        let asked = managed.sandbox.request_count_to(operation);
        managed.next_token_of(operation, &token, &[]);
        let error = call(&managed, operation).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TokenMismatch, "{operation:?}");
        assert!(error.may_have_been_applied() && !error.is_retryable());
        let shown = format!("{error} {error:?} {error:#?}");
        for secret in [token.as_str(), "foreign7", "b@example.com"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(managed.sandbox.request_count_to(operation), asked + 1);
    }
    // Claims that are missing, and tokens that cannot be read, are fine.
    for token in [
        managed.sandbox.sign(&json!({"email": "a@example.com"})),
        managed
            .sandbox
            .sign(&json!({"bc_customer_id": "1", "store_hash": "MANAGED"})),
        "opaque".to_owned(),
    ] {
        for operation in GIVE_STOREFRONT_TOKENS {
            managed.next_token_of(operation, &token, &[]);
            call(&managed, operation).await.unwrap();
        }
    }
}
