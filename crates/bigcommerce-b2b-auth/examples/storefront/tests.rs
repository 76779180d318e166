//! The back end without a browser: who gets in, what comes out, and what a shopper is told. The page is tested in `tests/browser`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode, header},
};
use bigcommerce_b2b_auth_sandbox::{RunningSandbox, Sandbox, demo};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::storefront_graphql::StorefrontGraphql;

/// A shop with all that is behind it, and the cookie of whoever uses it.
struct Setting {
    router: Router,
    sandbox: RunningSandbox,
    cookie: Option<String>,
    /// Every byte that came out.
    seen: String,
}

impl Setting {
    async fn new() -> Self {
        let sandbox = Sandbox::builder().start().await.unwrap();
        let graphql = StorefrontGraphql::start(sandbox.sandbox().clone())
            .await
            .unwrap();
        let shop = crate::shop(sandbox.base_url(), graphql).unwrap();
        Self {
            router: shop.router(),
            sandbox,
            cookie: None,
            seen: String::new(),
        }
    }

    async fn send(&mut self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let reply = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8(body.to_vec()).unwrap();
        for value in parts.headers.values() {
            self.seen.push_str(value.to_str().unwrap());
        }
        self.seen.push_str(&body);
        let body = serde_json::from_str(&body).unwrap_or(Value::Null);
        (parts.status, parts.headers, body)
    }

    async fn get(&mut self, path: &str) -> (StatusCode, Value) {
        let cookie = self.cookie.clone().unwrap_or_default();
        let request = Request::get(path).header(header::COOKIE, cookie);
        let (status, _, body) = self.send(request.body(Body::empty()).unwrap()).await;
        (status, body)
    }

    async fn post(&mut self, path: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(path)
            .header(header::COOKIE, self.cookie.clone().unwrap_or_default())
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.to_string().into())
            .unwrap();
        let (status, headers, body) = self.send(request).await;
        if let Some(cookie) = headers.get(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next().unwrap();
            self.cookie = Some(cookie.to_owned());
        }
        (status, body)
    }

    async fn log_in(&mut self) {
        let login = json!({ "email": demo::CUSTOMER_EMAIL, "password": demo::CUSTOMER_PASSWORD });
        let (status, body) = self.post("/api/login", login).await;
        assert_eq!(
            (status, &body["name"]),
            (StatusCode::OK, &json!("Bea Buyer"))
        );
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_once_a_minute_and_seen_by_nobody() {
    let mut setting = Setting::new().await;
    setting.log_in().await;
    let (status, first) = setting.post("/api/orders", json!({})).await;
    assert_eq!((status, &first["sent"]), (StatusCode::OK, &json!(1)));
    let (_, before) = setting.get("/api/token").await;
    assert_eq!(before["customer"], demo::CUSTOMER_ID);
    assert_eq!(before["token"]["from"], "log in");

    setting.post("/api/demo/revoke", json!({})).await;
    let (status, second) = setting.post("/api/orders", json!({})).await;
    assert_eq!((status, &second["sent"]), (StatusCode::OK, &json!(2)));
    assert_eq!(second["orders"], first["orders"]);
    let (_, after) = setting.get("/api/token").await;
    assert_eq!(after["token"]["from"], "mint");
    assert_ne!(after["token"]["expires_at"], before["token"]["expires_at"]);
    assert_eq!(after["counts"]["minted"], 1);
    assert_eq!(after["counts"]["refused"], 1);

    // The one that took its place is refused as well: it is kept, and the shopper told when to come back.
    setting.post("/api/demo/revoke", json!({})).await;
    let (status, told) = setting.post("/api/orders", json!({})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told["error"].as_str().unwrap().contains("minute"), "{told}");
    let (_, unchanged) = setting.get("/api/token").await;
    assert_eq!(
        unchanged["token"]["expires_at"],
        after["token"]["expires_at"]
    );
    assert_eq!(unchanged["counts"]["minted"], 1);

    assert!(setting.seen.contains("Bea Buyer"), "something was seen");
    assert!(!setting.seen.contains("eyJ"), "{}", setting.seen);
}

#[tokio::test]
async fn a_valid_token_outlives_an_outage_and_a_log_in_says_that_there_is_one() {
    let mut setting = Setting::new().await;
    setting.log_in().await;
    setting
        .post("/api/demo/maintenance", json!({ "on": true }))
        .await;
    let (status, _) = setting.post("/api/orders", json!({})).await;
    assert_eq!(status, StatusCode::OK);
    let login = json!({ "email": demo::CUSTOMER_EMAIL, "password": demo::CUSTOMER_PASSWORD });
    let (status, told) = setting.post("/api/login", login).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{told}");
    setting
        .post("/api/demo/maintenance", json!({ "on": false }))
        .await;
    setting.log_in().await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_log_in_or_after_a_log_out() {
    let mut setting = Setting::new().await;
    for (email, password) in [
        (demo::CUSTOMER_EMAIL, "wrong"),
        (demo::CUSTOMER_EMAIL, ""),
        ("nobody@demo.example", demo::CUSTOMER_PASSWORD),
    ] {
        let (status, told) = setting
            .post(
                "/api/login",
                json!({ "email": email, "password": password }),
            )
            .await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{told}");
        assert!(
            told["error"].as_str().unwrap().contains("password"),
            "{told}"
        );
    }
    assert_eq!(setting.cookie, None);
    assert_eq!(setting.get("/api/session").await.1, json!({ "name": null }));

    setting.log_in().await;
    let earlier = setting.cookie.clone();
    setting.log_in().await;
    let later = setting.cookie.clone();
    assert_ne!(earlier, later);
    setting.post("/api/logout", json!({})).await;
    for cookie in [None, earlier, later, Some("session=0".to_owned())] {
        setting.cookie = cookie;
        assert_eq!(setting.get("/api/token").await.0, StatusCode::UNAUTHORIZED);
        for path in ["orders", "demo/revoke", "demo/maintenance"] {
            let path = format!("/api/{path}");
            let (status, _) = setting.post(&path, json!({ "on": true })).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    assert!(
        setting
            .sandbox
            .remaining(demo::STORE_HASH)
            .is_some_and(|left| left > 100)
    );
}

#[tokio::test]
async fn a_post_that_a_form_could_send_is_refused() {
    let mut setting = Setting::new().await;
    setting.log_in().await;
    let cookie = setting.cookie.clone().unwrap();
    for path in [
        "login",
        "logout",
        "orders",
        "demo/revoke",
        "demo/maintenance",
    ] {
        for kind in [
            None,
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
        ] {
            let mut request =
                Request::post(format!("/api/{path}")).header(header::COOKIE, cookie.as_str());
            if let Some(kind) = kind {
                request = request.header(header::CONTENT_TYPE, kind);
            }
            let request = request.body(Body::from("{}")).unwrap();
            let (status, headers, _) = setting.send(request).await;
            assert_eq!(
                status,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "{path} {kind:?}"
            );
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'self';"), "{policy}");
        }
    }
    // None of them logged out.
    assert_eq!(setting.get("/api/token").await.0, StatusCode::OK);
}
