//! How failures look: each JSON shape of an error under each status, the bodies that are no JSON, and successes that
//! are none. Each snapshot shows Display, what the methods say, Debug, and the chain of sources.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, Client, CustomerId, Error, ErrorKind, RetryPolicy, StoreAccess,
    transport::{Operation as Called, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{CannedReply, Operation, Sandbox, demo};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tests::{Caller, InProcess, PausedClock, render};

const STATUSES: [u16; 8] = [400, 401, 403, 404, 422, 429, 500, 503];

fn client(sandbox: &Sandbox) -> Client {
    Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(InProcess::new(sandbox))
        .clock(std::sync::Arc::new(PausedClock::start()))
        .retry(RetryPolicy::none())
        .budget_limit(BudgetLimit::unlimited())
        .build()
        .unwrap()
}

/// The sandbox with request ids and a date that are the same every time.
fn sandbox() -> Sandbox {
    let clock = PausedClock::start();
    Sandbox::builder()
        .seed(1)
        .clock(move || clock.wall())
        .build()
}

async fn mint_answered_by(reply: CannedReply) -> Error {
    let sandbox = sandbox();
    sandbox.respond_next(Operation::Mint, reply);
    let error = client(&sandbox)
        .mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID).unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(sandbox.request_count(), 1);
    error
}

/// Renders one body under every status.
async fn under_every_status(body: impl Fn(u16) -> Value) -> String {
    let mut text = String::new();
    for status in STATUSES {
        let reply = CannedReply::json(StatusCode::from_u16(status).unwrap(), &body(status));
        let error = mint_answered_by(reply).await;
        assert_eq!(error.status(), Some(status));
        text.push_str(&render(&error));
        text.push('\n');
    }
    text
}

macro_rules! json_shape {
    ($name:ident, $body:expr) => {
        #[tokio::test(start_paused = true)]
        async fn $name() {
            insta::assert_snapshot!(stringify!($name), under_every_status($body).await);
        }
    };
}

json_shape!(
    err_msg_as_text,
    |code| json!({"code": code, "data": {"errMsg": "role forbidden"}, "meta": {"message": "API logic error"}})
);
json_shape!(
    err_msg_as_object,
    |code| json!({"code": code, "data": {"errMsg": {"customerId": ["unknown", "not active"]}}, "meta": {"message": "API logic error"}})
);
json_shape!(
    err_msg_as_array,
    |code| json!({"code": code.to_string(), "data": {"errMsg": ["first", "second"]}, "meta": {"message": "API logic error"}})
);
json_shape!(
    empty_data,
    |code| json!({"code": code, "data": {}, "meta": {"message": "Invalid access token"}})
);
json_shape!(
    code_and_message,
    |code| json!({"code": code, "message": "Invalid token"})
);
json_shape!(detail, |_| json!({"detail": "Not found."}));
json_shape!(
    status_title_errors,
    |status| json!({"status": status, "title": "The request is not valid", "errors": {"channelId": "unknown"}})
);
json_shape!(
    field_messages,
    |_| json!({"code": 0, "data": {"customerId": ["A valid integer is required."], "channelId": ["Unknown channel."]}})
);

#[tokio::test(start_paused = true)]
async fn bodies_that_are_no_json() {
    let mut text = String::new();
    for (content_type, body) in [
        (
            "text/html",
            &b"<html><body>502 Bad Gateway</body></html>"[..],
        ),
        ("text/plain", b"upstream connect error"),
        ("application/json", b""),
        ("application/json", b"{\"code\": 503, \"data\": {\"errM"),
        ("application/json", b"\xff\xfe\x00not text"),
    ] {
        for status in [403, 503] {
            let reply = CannedReply::new(StatusCode::from_u16(status).unwrap())
                .header(header::CONTENT_TYPE, HeaderValue::from_static(content_type))
                .body(body);
            text.push_str(&render(&mint_answered_by(reply).await));
            text.push('\n');
        }
    }
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn successes_that_are_none() {
    let mut text = String::new();
    for body in [
        // The service's own way to fail under HTTP 200.
        json!({"code": 422, "data": {"errMsg": "customer is not active"}, "meta": {"message": "API logic error"}}),
        json!({"code": "500", "data": {}, "meta": {"message": "Calling BC API failed"}}),
        json!({"code": 429, "data": {}, "meta": {"message": "slow down"}}),
        json!({"code": 0, "data": {"errMsg": "no such customer"}}),
        // Successes without a token.
        json!({"code": 200, "data": {"token": []}, "meta": {"message": "SUCCESS"}}),
        json!({"code": 200, "data": {"token": ""}, "meta": {"message": "SUCCESS"}}),
        json!({"code": 200, "data": {"token": "line\nbreak"}, "meta": {"message": "SUCCESS"}}),
        json!({"code": 200, "data": {"token": 7}, "meta": {"message": "SUCCESS"}}),
        json!({"code": 200, "data": {}, "meta": {"message": "SUCCESS"}}),
        json!({}),
        json!([]),
    ] {
        text.push_str(&format!("body:    {body}\n"));
        let reply = CannedReply::json(StatusCode::OK, &body);
        text.push_str(&render(&mint_answered_by(reply).await));
        text.push('\n');
    }
    let html = CannedReply::new(StatusCode::OK).body("<html>maintenance</html>");
    text.push_str(&render(&mint_answered_by(html).await));
    insta::assert_snapshot!(text);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_success_never_shows_its_token() {
    for body in [
        r#"{"code": 200, "data": {"token": {"hunter2": "hunter2"}}}"#,
        r#"{"code": 200, "data": {"token": ["hunter2"#,
        r#"{"code": 200, "data": "hunter2"}"#,
        r#""hunter2""#,
        "hunter2",
    ] {
        let error = mint_answered_by(CannedReply::new(StatusCode::OK).body(body)).await;
        assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{body}");
        assert!(error.may_have_been_applied());
        let shown = render(&error);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_repeats_a_credential_is_cut() {
    let body =
        json!({"code": 401, "data": {"errMsg": format!("bad token {}", demo::ACCESS_TOKEN)}});
    let error = mint_answered_by(CannedReply::json(StatusCode::UNAUTHORIZED, &body)).await;
    assert_eq!(error.message(), Some("bad token [REDACTED]"));
    let shown = render(&error);
    assert!(!shown.contains(demo::ACCESS_TOKEN), "{shown}");
}

/// Answers every request with this body under the status 200, and counts them.
#[derive(Debug)]
struct Always {
    body: String,
    requests: AtomicU32,
}

impl Transport for Always {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let response = http::Response::builder()
            .header(header::RETRY_AFTER, "0")
            .body(self.body.clone())
            .unwrap();
        Box::pin(async move { Ok(response.into()) })
    }
}

/// Makes the call with the default retry policy. The number is how many requests it sent.
async fn answered_by(operation: Operation, body: &Value) -> (Result<u32, Error>, u32) {
    let always = Arc::new(Always {
        body: body.to_string(),
        requests: AtomicU32::new(0),
    });
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::clone(&always) as Arc<dyn Transport>)
        .clock(Arc::new(PausedClock::start()))
        .budget_limit(BudgetLimit::unlimited())
        .build()
        .unwrap();
    let caller = Caller::new(client, &sandbox());
    let outcome = caller.call(operation, CallOptions::default()).await;
    let requests = always.requests.load(Ordering::Relaxed);
    (outcome.map(|(_, attempts)| attempts), requests)
}

/// The codes of bodies under the status 200 that state an error, and whether a repetition may help.
fn codes() -> [(Value, bool); 14] {
    [
        (json!(300), false),
        (json!(400), false),
        (json!(401), false),
        (json!(403), false),
        (json!(404), false),
        (json!(408), true),
        (json!(422), false),
        (json!(425), true),
        (json!(429), true),
        (json!("429"), true),
        (json!(500), true),
        (json!(501), false),
        (json!(503), true),
        (json!("DENIED"), false),
    ]
}

const OPAQUE: &str = "opaque-token-0123456789";

#[tokio::test(start_paused = true)]
async fn a_token_in_hand_ends_the_call_whatever_code_the_body_states() {
    let text = json!({"token": OPAQUE});
    let list = json!({"token": [OPAQUE]});
    let listed = json!([{"name": "test", "token": OPAQUE}]);
    for (operation, data) in [
        (Operation::Mint, [&list, &text]),
        (Operation::Login, [&text, &list]),
        (Operation::Exchange, [&text, &list]),
        (Operation::CreateServerToken, [&listed, &text]),
    ] {
        for data in data {
            for (code, _) in codes() {
                let body = json!({"code": code, "data": data, "message": "slow down", "meta": {"message": "API logic error"}});
                let (outcome, requests) = answered_by(operation, &body).await;
                assert_eq!((outcome.unwrap(), requests), (1, 1), "{operation:?} {body}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_under_a_success_status_may_have_been_applied_and_no_creation_is_repeated() {
    for operation in Caller::OPERATIONS {
        for (code, may_help) in codes() {
            let body = json!({"code": code, "data": {}, "meta": {"message": "API logic error"}});
            let (outcome, requests) = answered_by(operation, &body).await;
            let error = outcome.unwrap_err();
            let place = format!("{operation:?} {code}");
            assert!(error.may_have_been_applied(), "{place}");
            let repeats = may_help && operation != Operation::CreateServerToken;
            assert_eq!(error.is_retryable(), repeats, "{place}");
            assert_eq!(requests, if repeats { 4 } else { 1 }, "{place}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_a_refused_body_is_not_shown() {
    let too_long = OPAQUE.repeat(1024);
    let unfit = format!("{OPAQUE}\nline");
    for token in [OPAQUE, &too_long, &unfit] {
        for data in [
            json!({"token": token}),
            json!({"token": [token]}),
            json!([{"id": 1, "name": "n", "token": token}]),
            json!({"errMsg": {"token": [token]}, "token": token}),
            json!({"errMsg": {"accessToken": token}}),
            json!({"accessToken": [token]}),
        ] {
            let message = format!("the token {token} is there");
            let body = json!({"code": 422, "data": data, "message": message, "meta": {"message": message}});
            for operation in Caller::OPERATIONS {
                if let (Err(error), _) = answered_by(operation, &body).await {
                    let shown = render(&error);
                    assert!(!shown.contains(OPAQUE), "{operation:?} {data}: {shown}");
                }
            }
        }
    }
}
