//! The storefront GraphQL APIs, only as far as they judge a token: the one of the B2B host, which takes the sandbox's
//! storefront tokens, and the one of the core host, which does not.
//!
//! The messages and the code 40101 are known; that an answer has the status and the form that it has here is an assumption.

use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::call::Call;
use crate::reply::{ErrorShape, Refusal, Reply};
use crate::state::{Stores, is_storefront_token};

/// The path of the B2B host's GraphQL API.
pub const GRAPHQL_PATH: &str = "/graphql";

/// The path that stands for the GraphQL API of the core, which has a host of its own.
pub const CORE_GRAPHQL_PATH: &str = "/core/graphql";

/// What GraphQL answers to a token that is expired or bad.
const TOKEN_EXPIRED: i64 = 40101;

/// Answers a request to one of the two APIs. `None` for any other path or method.
pub(crate) fn answer(
    method: &Method,
    path: &str,
    call: &Call<'_>,
    stores: &Stores,
) -> Option<Reply> {
    if *method != Method::POST {
        return None;
    }
    match path {
        GRAPHQL_PATH => Some(b2b(call, stores)),
        CORE_GRAPHQL_PATH => Some(core(call)),
        _ => None,
    }
}

fn b2b(call: &Call<'_>, stores: &Stores) -> Reply {
    let Some(claims) = bearer(call)
        .and_then(|token| call.signer.verify(token))
        .filter(is_storefront_token)
    else {
        return error("JWT verification failed", None);
    };
    let expiry = claims.get("exp").and_then(Value::as_u64);
    if expiry.is_none_or(|expiry| expiry <= call.now) {
        return error("The token is expired", Some(TOKEN_EXPIRED));
    }
    let customer = claims
        .get("store_hash")
        .and_then(Value::as_str)
        .and_then(|hash| stores.get(hash))
        .zip(claims.get("bc_customer_id").and_then(Value::as_u64))
        .and_then(|(state, id)| state.store.customer_by_id(id));
    if customer.is_some_and(|customer| customer.is_unassigned_sales_rep()) {
        return Refusal::new(StatusCode::FORBIDDEN, "Permission denied")
            .shape(ErrorShape::CodeAndMessage)
            .into();
    }
    Reply::json(
        StatusCode::OK,
        &json!({ "data": { "__typename": "Query" } }),
    )
}

/// The core knows none of the sandbox's tokens.
fn core(call: &Call<'_>) -> Reply {
    match bearer(call) {
        Some(_) => error("String is not a JWT", None),
        None => error("invalid credentials", None),
    }
}

fn bearer<'c>(call: &Call<'c>) -> Option<&'c str> {
    call.header(header::AUTHORIZATION.as_str())?
        .strip_prefix("Bearer ")
}

/// An error as GraphQL reports it, under a status of 200.
fn error(message: &str, code: Option<i64>) -> Reply {
    let error = match code {
        Some(code) => json!({ "message": message, "extensions": { "code": code } }),
        None => json!({ "message": message }),
    };
    Reply::json(StatusCode::OK, &json!({ "data": null, "errors": [error] }))
}
