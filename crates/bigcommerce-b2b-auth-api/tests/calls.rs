//! Every operation is sent by its call value: the request that leaves is that of its entry in the table, all arguments go out,
//! and every secret of it is visited and hidden.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::sync::{Arc, Mutex};

use bigcommerce_b2b_auth_api::{
    Call, Client, Operation, SecretString, Transport, TransportFuture, calls, operations,
};
use serde_json::{Value, json};

/// Records what it is given and returns one response for everything.
#[derive(Debug)]
struct Recording {
    seen: Mutex<Vec<Seen>>,
    data: Value,
}

/// A request as it left.
#[derive(Debug)]
struct Seen {
    operation: &'static Operation,
    method: String,
    path: String,
    /// Query and body, as text.
    content: String,
}

impl Transport for Recording {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
        self.seen.lock().unwrap().push(Seen {
            operation,
            method: request.method().to_string(),
            path: request.url().path().to_owned(),
            content: format!("{} {body}", request.url().query().unwrap_or_default()),
        });
        let body = json!({"code": 200, "data": self.data, "meta": {"message": "SUCCESS"}});
        let mut response = http::Response::new(body.to_string());
        *response.status_mut() = http::StatusCode::from_u16(operation.success_status).unwrap();
        Box::pin(async { Ok(response.into()) })
    }
}

/// Sends `call` twice, checks both requests against the table, and returns the operation.
async fn sent<C>(call: C, data: Value, content: &[&str], secrets: &[&str]) -> &'static Operation
where
    C: Call + Clone,
    C::Response: serde::Serialize,
{
    let operation = C::OPERATION;
    let transport = Arc::new(Recording {
        seen: Mutex::default(),
        data,
    });
    let client = Client::new_with_client(
        "http://127.0.0.1:1/api/io",
        reqwest::Client::new(),
        transport.clone(),
    );
    for _ in 0..2 {
        let response = call.send(&client).await;
        let response = serde_json::to_value(&*response.unwrap()).unwrap();
        if let Some(members) = operation.issued_token {
            let issued = follow(&response, members);
            assert_eq!(issued, Some("planted"), "{}", operation.id);
        }
    }
    let seen = std::mem::take(&mut *transport.seen.lock().unwrap());
    assert_eq!(seen.len(), 2, "{}", operation.id);
    for seen in seen {
        assert_eq!(seen.operation, operation);
        assert_eq!(seen.method, operation.method);
        assert_eq!(seen.path, format!("/api/io{}", operation.path));
        for part in content.iter().chain(secrets) {
            assert!(seen.content.contains(part), "{}: {part}", operation.id);
        }
    }

    let mut visited = Vec::new();
    call.visit_secrets(&mut |secret| visited.push(secret.expose_secret().to_owned()));
    assert_eq!(visited, secrets, "{}", operation.id);
    let shown = format!("{call:?} {:#?}", call.clone());
    for secret in secrets {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert_eq!(shown.contains("[REDACTED]"), !secrets.is_empty(), "{shown}");
    operation
}

/// What stands under these names; a list stands for its first element.
fn follow<'v>(value: &'v Value, members: &[&str]) -> Option<&'v str> {
    match (value, members) {
        (Value::Array(list), _) => follow(list.first()?, members),
        (value, [first, rest @ ..]) => follow(value.get(first)?, rest),
        (value, []) => value.as_str(),
    }
}

fn request<T: serde::de::DeserializeOwned>(body: Value) -> T {
    serde_json::from_value(body).unwrap()
}

#[tokio::test]
async fn every_operation_is_sent_by_its_call() {
    let mint = calls::PostAuthCustomersStorefront {
        body: request(json!({
            "customerId": 4711, "channelId": 815,
            "customerAccessToken": {"value": "cat-secret", "expires_at": "2026-11-29"},
        })),
    };
    let log_in = calls::PostAuthCustomer {
        body: request(json!({
            "storeHash": "s", "email": "e@x.example", "password": "pass-secret", "channelId": 815, "name": "n",
        })),
    };
    let exchange = calls::GetAuthStorefront {
        channel_id: Some(815),
        jwt_token: SecretString::from("jwt-secret"),
    };
    let create = calls::PostAuthBackend {
        body: request(json!({
            "storeHash": "s", "email": "e@x.example", "password": "pass-secret", "name": "n",
        })),
    };
    let delete = calls::DeleteAuthBackend {
        body: request(json!({"id": 4711})),
    };
    let list = calls::GetBackendTokens {
        limit: Some(250),
        offset: Some(4711),
    };

    let token = json!({"token": ["planted"]});
    let item = json!([{"id": 1, "token": "planted"}]);
    let mut sent_operations = vec![
        sent(mint, token.clone(), &["4711", "815"], &["cat-secret"]).await,
        sent(
            log_in,
            token.clone(),
            &["e@x.example", "815"],
            &["pass-secret"],
        )
        .await,
        sent(exchange, token, &["channelId=815"], &["jwt-secret"]).await,
        sent(create, item.clone(), &["e@x.example"], &["pass-secret"]).await,
        sent(delete, json!([]), &["4711"], &[]).await,
        sent(list, item, &["limit=250", "offset=4711"], &[]).await,
    ];
    let mut all: Vec<&Operation> = operations::ALL.iter().collect();
    sent_operations.sort_by_key(|operation| operation.id);
    all.sort_by_key(|operation| operation.id);
    assert_eq!(
        sent_operations, all,
        "an operation has no call in this test"
    );
}

#[test]
fn a_call_of_an_optional_secret_shows_it_only_if_it_is_there() {
    let call = calls::PostAuthCustomersStorefront {
        body: request(json!({"customerId": 4711})),
    };
    let mut visited = 0;
    call.visit_secrets(&mut |_| visited += 1);
    assert_eq!(visited, 0);
}

#[test]
fn the_table_states_what_the_sdk_must_know() {
    for operation in operations::ALL {
        let issues = operation.issued_token.is_some();
        assert!(!issues || !operation.absent_is_done, "{}", operation.id);
        assert!(
            operation.is_repeatable || !operation.absent_is_done,
            "{}",
            operation.id
        );
        let same = operations::ALL
            .iter()
            .filter(|other| other.name == operation.name);
        assert_eq!(same.count(), 1, "{}", operation.name);
    }
    let named = |wanted: fn(&Operation) -> bool| -> Vec<&str> {
        let wanted = operations::ALL.iter().filter(|operation| wanted(operation));
        wanted.map(|operation| operation.name).collect()
    };
    assert_eq!(
        named(|operation| !operation.is_repeatable),
        ["create_server_token"]
    );
    assert_eq!(
        named(|operation| operation.absent_is_done),
        ["delete_server_token"]
    );
    assert_eq!(
        named(|operation| operation.issued_token.is_none()),
        ["delete_server_token", "list_server_tokens"]
    );
}

/// A call can be moved to another task, and so can its future.
#[tokio::test]
async fn a_call_is_spawned() {
    async fn generic<C: Call + 'static>(call: C, client: Client) -> bool {
        let task = tokio::spawn(async move { call.send(&client).await.is_ok() });
        task.await.unwrap()
    }
    let transport = Arc::new(Recording {
        seen: Mutex::default(),
        data: json!([]),
    });
    let client = Client::new_with_client("http://127.0.0.1:1", reqwest::Client::new(), transport);
    let call = calls::DeleteAuthBackend {
        body: request(json!({"id": 4711})),
    };
    assert!(generic(call, client).await);
}
