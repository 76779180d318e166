//! Operations without a builder: `Client::send` treats them like those with one.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    CallOptions, Client, Credentials, ErrorKind, Hint, LegacyAuthToken, RetryPolicy, StoreAccess,
    StoreHash,
    operations::{
        DeleteAuthBackend, GetBackendTokens, PostAuthBackend, PostAuthCustomer,
        PostAuthCustomersStorefront, types,
    },
};
use bigcommerce_b2b_auth_sandbox::{CannedReply, Fault, Moment, Operation, Sandbox, demo};
use http::StatusCode;
use serde_json::json;
use tests::{InProcess, PausedClock};

/// No value of the sandbox.
const PASSWORD: &str = "Tr0ub4dor&3-canary";

fn client<C: Credentials>(sandbox: &Sandbox, credentials: C) -> Client<C> {
    Client::builder()
        .credentials(credentials)
        .transport(InProcess::new(sandbox))
        .clock(Arc::new(PausedClock::start()))
        .build()
        .unwrap()
}

fn store_access(sandbox: &Sandbox) -> Client {
    let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap();
    client(sandbox, credentials)
}

fn mint() -> PostAuthCustomersStorefront {
    PostAuthCustomersStorefront {
        body: types::PostAuthCustomersStorefrontRequest {
            customer_id: i64::try_from(demo::CUSTOMER_ID).unwrap(),
            channel_id: None,
            customer_access_token: None,
        },
    }
}

fn log_in() -> PostAuthCustomer {
    PostAuthCustomer {
        body: types::PostAuthCustomerRequest {
            begin_at: None,
            channel_id: Some(1),
            email: demo::CUSTOMER_EMAIL.to_owned(),
            end_at: None,
            name: "test".to_owned(),
            password: PASSWORD.into(),
            store_hash: demo::STORE_HASH.to_owned(),
        },
    }
}

fn create() -> PostAuthBackend {
    PostAuthBackend {
        body: types::PostAuthBackendRequest {
            begin_at: None,
            channel_id: None,
            email: demo::ADMINISTRATOR_EMAIL.to_owned(),
            end_at: None,
            name: "test".to_owned(),
            password: demo::ADMINISTRATOR_PASSWORD.into(),
            store_hash: demo::STORE_HASH.to_owned(),
        },
    }
}

fn delete(id: u64) -> DeleteAuthBackend {
    DeleteAuthBackend {
        body: types::DeleteAuthBackendRequest {
            email: None,
            id: i64::try_from(id).unwrap(),
            name: None,
        },
    }
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_with_credentials_and_returns_metadata() {
    let sandbox = Sandbox::builder().build();
    let client = store_access(&sandbox);
    let response = client.send(&mint()).await.unwrap();
    assert_eq!((response.meta().status, response.meta().attempts), (200, 1));
    assert_eq!(response.meta().budget.remaining, Some(149));
    assert_eq!(client.budget().left, Some(149));
    assert!(response.meta().request_id.is_some());
    assert!(format!("{response:?}").contains("[REDACTED]"));
    let request = &sandbox.requests_to(Operation::Mint)[0];
    assert_eq!(request.header("x-auth-token"), Some(demo::ACCESS_TOKEN));
    assert_eq!(request.header("x-store-hash"), Some(demo::STORE_HASH));
}

#[tokio::test(start_paused = true)]
async fn it_can_be_spawned() {
    let sandbox = Sandbox::builder().build();
    let client = store_access(&sandbox);
    let call = tokio::spawn(async move { client.send(&mint()).await });
    assert!(call.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn it_is_retried_by_its_entry_in_the_operation_table() {
    let sandbox = Sandbox::builder().build();
    let client = store_access(&sandbox);
    let lost = Fault::ResetBeforeReply {
        moment: Moment::AfterEffect,
    };
    sandbox.fail_next_times(Operation::Mint, lost.clone(), 2);
    let response = client.send(&mint()).await.unwrap();
    assert_eq!(response.meta().attempts, 3);
    sandbox.fail_next(Operation::CreateServerToken, lost);
    let error = client.send(&create()).await.unwrap_err();
    assert_eq!(error.attempts(), 1, "each attempt could leave a token");
    assert!(error.may_have_been_applied());
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_was_lost_and_finds_nothing_is_a_success() {
    let sandbox = Sandbox::builder().build();
    store_access(&sandbox).send(&create()).await.unwrap();
    let id = sandbox.server_tokens(demo::STORE_HASH).last().unwrap().id();
    let token = sandbox.auth_token(demo::STORE_HASH).unwrap();
    let client = client(&sandbox, LegacyAuthToken::new(token).unwrap());
    let lost = Fault::ResetBeforeReply {
        moment: Moment::AfterEffect,
    };
    sandbox.fail_next(Operation::DeleteServerToken, lost);
    let response = client.send(&delete(id)).await.unwrap();
    assert_eq!((response.meta().status, response.meta().attempts), (404, 2));
    let error = client.send(&delete(id)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn options_count_for_this_call() {
    let sandbox = Sandbox::builder().build();
    sandbox.begin_outage(Fault::ServerError {
        status: StatusCode::SERVICE_UNAVAILABLE,
        moment: Moment::BeforeEffect,
    });
    let once = CallOptions::builder().retry(RetryPolicy::none()).build();
    let client = store_access(&sandbox);
    let error = client.send_with(&mint(), once).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Server, 1));
    assert_eq!(error.operation(), Some("mint_storefront_token"));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_in_time() {
    let sandbox = Sandbox::builder().build();
    sandbox.begin_outage(Fault::StallBeforeReply {
        moment: Moment::BeforeEffect,
    });
    let hurried = CallOptions::builder()
        .attempt_timeout(Duration::from_secs(1))
        .deadline(Duration::from_secs(3))
        .build();
    let client = store_access(&sandbox);
    let error = client.send_with(&mint(), hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn credentials_that_the_client_does_not_have_are_an_error_before_anything_is_sent() {
    let sandbox = Sandbox::builder().build();
    let hash_only = client(&sandbox, StoreHash::new(demo::STORE_HASH).unwrap());
    let error = hash_only.send(&mint()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CredentialsUnavailable);
    assert_eq!(
        error.to_string(),
        "mint_storefront_token: not sent: it needs X-Auth-Token with X-Store-Hash, and this client has X-Store-Hash; build a \
         client with the credentials of this operation"
    );
    let list = GetBackendTokens {
        limit: None,
        offset: None,
    };
    let error = store_access(&sandbox).send(&list).await.unwrap_err();
    assert!(error.to_string().contains("it needs authToken"), "{error}");
    assert_eq!(sandbox.request_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn no_message_repeats_a_secret_of_the_request() {
    let sandbox = Sandbox::builder().build();
    let body = json!({"code": 400, "data": {"errMsg": format!("bad password {PASSWORD}")}});
    sandbox.respond_next(
        Operation::Login,
        CannedReply::json(StatusCode::BAD_REQUEST, &body),
    );
    let call = log_in();
    assert!(!format!("{call:?}").contains(PASSWORD));
    let error = store_access(&sandbox).send(&call).await.unwrap_err();
    assert_eq!(error.message(), Some("bad password [REDACTED]"));
    let refused = store_access(&sandbox).send(&call).await.unwrap_err();
    assert_eq!(refused.hint(), Some(Hint::BadLogin));
}
