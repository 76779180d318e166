//! What stands in for the vendor's storefront GraphQL API. No part of a back end of your own.
//!
//! Known, from the vendor's documents: it takes `POST /graphql` with `Authorization: Bearer …`; a bad token is a 200 with
//! `errors[].extensions.code` 40101, and one that is no JWT a 200 with the message "JWT verification failed" and no extensions.
//!
//! Assumed: that a call without a token, and one with a token that was withdrawn, is answered like one with a bad token. The
//! texts beside the code, and the orders and their fields, are made up. That the service withdraws a token before its end is not
//! documented; here it does so when told to, so that there is something to heal.

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::UNIX_EPOCH,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, header},
    routing::post,
};
use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// More tokens than a demonstration withdraws. Beyond it the earlier ones are forgotten.
const MOST_WITHDRAWN: usize = 1_000;

/// The running stand-in. Cheap to clone; it runs until the process ends.
#[derive(Clone)]
pub(crate) struct StorefrontGraphql {
    url: Arc<str>,
    sandbox: Sandbox,
    withdrawn: Arc<Mutex<HashSet<String>>>,
}

impl StorefrontGraphql {
    /// Starts it at a free port of this machine.
    pub(crate) async fn start(sandbox: Sandbox) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let graphql = Self {
            url: format!("http://{}/graphql", listener.local_addr()?).into(),
            sandbox,
            withdrawn: Arc::default(),
        };
        let router = Router::new()
            .route("/graphql", post(answer))
            .with_state(graphql.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(graphql)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Refuses this token from now on.
    pub(crate) fn withdraw(&self, token: &str) {
        let mut withdrawn = self
            .withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if withdrawn.len() >= MOST_WITHDRAWN {
            withdrawn.clear();
        }
        withdrawn.insert(token.to_owned());
    }

    /// Takes the Authentication API down for maintenance, and up again.
    pub(crate) fn maintenance(&self, on: bool) {
        self.sandbox.maintenance(demo::STORE_HASH, on);
    }

    fn is_withdrawn(&self, token: &str) -> bool {
        let withdrawn = self
            .withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        withdrawn.contains(token)
    }

    /// Whose token this is.
    fn customer(&self, token: &str) -> Option<String> {
        // The real service has the key as well: these claims, unlike those that a client reads, are verified.
        let claims = self.sandbox.verify(token)?;
        let now = self
            .sandbox
            .now()
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_secs();
        let is_valid = claims.get("exp")?.as_u64().is_some_and(|end| now < end)
            && claims.get("store_hash")? == demo::STORE_HASH
            && !self.is_withdrawn(token);
        let email = claims.get("email")?.as_str().filter(|_| is_valid)?;
        Some(email.to_owned())
    }
}

async fn answer(
    State(graphql): State<StorefrontGraphql>,
    headers: HeaderMap,
    Json(call): Json<Value>,
) -> Json<Value> {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if token.is_some_and(|token| token.split('.').count() != 3) {
        return Json(json!({ "errors": [{ "message": "JWT verification failed" }] }));
    }
    let Some(email) = token.and_then(|token| graphql.customer(token)) else {
        return Json(json!({
            "data": null,
            "errors": [{ "message": "Unauthorized", "extensions": { "code": 40101 } }],
        }));
    };
    let query = call
        .get("query")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !query.contains("orders") {
        return Json(json!({ "errors": [{ "message": "this stand-in knows orders alone" }] }));
    }
    Json(json!({ "data": { "orders": orders(&email) } }))
}

/// The orders of whoever has this e-mail address.
fn orders(email: &str) -> Value {
    match email {
        demo::CUSTOMER_EMAIL => json!([
            { "id": 1042, "placed": "2026-10-28", "total": "EUR 1,280.00", "status": "Shipped" },
            { "id": 1057, "placed": "2026-11-09", "total": "EUR 349.50", "status": "Awaiting approval" },
            { "id": 1063, "placed": "2026-11-21", "total": "EUR 76.20", "status": "In progress" },
        ]),
        demo::SECOND_CUSTOMER_EMAIL => json!([
            { "id": 1057, "placed": "2026-11-09", "total": "EUR 349.50", "status": "Awaiting approval" },
        ]),
        _ => json!([]),
    }
}
