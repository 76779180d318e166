//! What the generated client makes of the replies that are known: successes decode, and errors keep status and message.
//! Requests are written as JSON, so that this holds for the client of every revision of the document that CI puts here.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::sync::Arc;

use bigcommerce_b2b_auth_api::{
    Client, Error, Operation, SecretString, Transport, TransportFuture, types,
};
use serde_json::{Value, json};

/// Answers everything with one reply.
#[derive(Debug)]
struct Canned(u16, Value);

impl Transport for Canned {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        let mut response = http::Response::new(self.1.to_string());
        *response.status_mut() = http::StatusCode::from_u16(self.0).unwrap();
        Box::pin(async { Ok(response.into()) })
    }
}

fn answering(status: u16, body: &Value) -> Client {
    let transport = Arc::new(Canned(status, body.clone()));
    Client::new_with_client("http://127.0.0.1:1", reqwest::Client::new(), transport)
}

fn request<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

fn mint() -> types::PostAuthCustomersStorefrontRequest {
    request(json!({"customerId": 42}))
}

fn login() -> types::PostAuthCustomerRequest {
    request(json!({"storeHash": "s", "email": "e", "password": "p", "channelId": 1, "name": "n"}))
}

fn create() -> types::PostAuthBackendRequest {
    request(json!({"storeHash": "s", "email": "e", "password": "p", "name": "n"}))
}

fn delete() -> types::DeleteAuthBackendRequest {
    request(json!({"id": 7}))
}

fn success(data: &Value) -> Value {
    json!({"code": 200, "data": data, "meta": {"message": "SUCCESS"}})
}

/// The one token in what a reply decoded to, wherever it stands.
fn token(decoded: &impl serde::Serialize) -> Value {
    let decoded = serde_json::to_value(decoded).unwrap();
    let data = match &decoded["data"] {
        Value::Array(items) => &items[0],
        data => data,
    };
    match &data["token"] {
        Value::Array(tokens) => tokens[0].clone(),
        token => token.clone(),
    }
}

#[tokio::test]
async fn a_token_is_decoded_alone_and_in_a_list() {
    let jwt = SecretString::from("jwt");
    for data in [json!({"token": "planted"}), json!({"token": ["planted"]})] {
        let client = answering(200, &success(&data));
        let minted = client.post_auth_customers_storefront(&mint()).await;
        assert_eq!(token(&*minted.unwrap()), "planted", "{data}");
        let logged_in = client.post_auth_customer(&login()).await;
        assert_eq!(token(&*logged_in.unwrap()), "planted", "{data}");
        let exchanged = client.get_auth_storefront(None, &jwt).await;
        assert_eq!(token(&*exchanged.unwrap()), "planted", "{data}");
    }
}

#[tokio::test]
async fn server_tokens_are_decoded() {
    let item = json!({"id": 7, "name": "n", "email": "e", "storeHash": "s", "token": "planted", "eventChannel": "new"});
    for data in [json!([item]), item] {
        let created = answering(200, &success(&data))
            .post_auth_backend(&create())
            .await;
        assert_eq!(token(&*created.unwrap()), "planted", "{data}");
        if data.is_array() {
            let listed = answering(200, &success(&data))
                .get_backend_tokens(None, None)
                .await;
            assert_eq!(token(&*listed.unwrap()), "planted");
        }
    }
    for data in [json!([]), json!({}), Value::Null] {
        let deleted = answering(200, &success(&data))
            .delete_auth_backend(&delete())
            .await;
        assert!(deleted.is_ok(), "{data}");
    }
}

/// Status and body of what is no success, whole.
async fn refused<T: std::fmt::Debug>(outcome: Result<T, Error<()>>) -> (u16, Value) {
    match outcome {
        Err(Error::UnexpectedResponse(response)) => {
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            (status, serde_json::from_str(&body).unwrap())
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn every_documented_error_keeps_status_and_message() {
    let error = |status: u16, message: &str, meta: &str| json!({"code": status, "data": {"errMsg": message}, "meta": {"message": meta}});
    let bad_login = "The email or password you have entered is incorrect. Please try again.";
    let no_credentials = "Invalid token header. No credentials provided.";
    let jwt = SecretString::from("jwt");

    let body = error(400, "Customer auth failed", "Calling BC API failed");
    let outcome = answering(400, &body).post_auth_customer(&login()).await;
    assert_eq!(refused(outcome).await, (400, body));

    for message in [bad_login, "role forbidden"] {
        let body = error(400, message, "API logic error");
        let outcome = answering(400, &body).post_auth_backend(&create()).await;
        assert_eq!(refused(outcome).await, (400, body));
    }

    let body = error(401, no_credentials, no_credentials);
    let outcome = answering(401, &body).get_auth_storefront(None, &jwt).await;
    assert_eq!(refused(outcome).await, (401, body));

    let body = error(404, "No matching token was found.", "Not Found Error");
    let outcome = answering(404, &body).delete_auth_backend(&delete()).await;
    assert_eq!(refused(outcome).await, (404, body));
}
