//! `GET /auth/storefront`: a storefront token for the JWT of a signed-in storefront session.
//! One documented error stands for all that can be wrong with that JWT, its absence included.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::assumptions::ExchangeChannel;
use crate::call::{Call, invalid_field, parse_number};
use crate::header_rules::{NO_CREDENTIALS, store_by_header};
use crate::jwt::Signer;
use crate::reply::{Refusal, Reply};
use crate::state::{StoreState, Stores};
use crate::store::Customer;

/// How long a session JWT lives, in seconds.
const SESSION_LIFE: u64 = 900;

/// What a session JWT says that it is for.
const SESSION_OPERATION: &str = "current_customer";

pub(crate) fn exchange(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
    let state = store_by_header(call, stores)?;
    let customer = signed_in_customer(call, state)
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, NO_CREDENTIALS))?;

    let asked = match call.query("channelId") {
        None => None,
        Some(text) => Some(parse_number(text).ok_or_else(|| {
            invalid_field(
                call.assumptions,
                "channelId",
                "must be an integer, 0 or more",
            )
        })?),
    };
    let default = state.store.default_channel();
    let channel = match asked {
        None => default,
        Some(asked) if state.store.channels().len() == 1 => {
            match call.assumptions.single_storefront_channel {
                ExchangeChannel::Arbitrary => state.arbitrary_channel(asked),
                ExchangeChannel::Ignored => default,
            }
        }
        Some(asked)
            if call.assumptions.refuse_unknown_channels
                && !state.store.channels().contains(&asked) =>
        {
            return Err(invalid_field(
                call.assumptions,
                "channelId",
                "sandbox: no such channel",
            ));
        }
        Some(asked) => asked,
    };

    let token =
        state.issue_storefront_token(&customer, channel, call.now, call.assumptions, call.signer);
    Ok(Reply::success(json!({ "token": token })))
}

/// The customer of the session, if the JWT is the sandbox's own, unexpired, and of a session with
/// this store.
fn signed_in_customer(call: &Call<'_>, state: &StoreState) -> Option<Customer> {
    let claims = call.signer.verify(call.query("jwtToken")?)?;
    let claim = |name: &str| claims.get(name);
    let ours = claim("operation").and_then(Value::as_str) == Some(SESSION_OPERATION)
        && claim("store_hash").and_then(Value::as_str) == Some(state.store.hash());
    let alive = claim("exp")
        .and_then(Value::as_u64)
        .is_some_and(|expiry| call.now < expiry);
    if !(ours && alive) {
        return None;
    }
    state
        .store
        .customer_by_id(claim("customer")?.get("id")?.as_u64()?)
        .cloned()
}

/// The JWT of a session, with the claims of the Current Customer API. The values of `iss`, `sub`,
/// `aud`, `application_id` and `version` are made up.
pub(crate) fn session_jwt(
    store_hash: &str,
    customer: &Customer,
    now: u64,
    signer: &Signer,
) -> String {
    signer.sign(&json!({
        "customer": {
            "id": customer.id(),
            "email": customer.email(),
            "group_id": customer.group().to_string(),
        },
        "iss": "bigcommerce-b2b-auth-sandbox",
        "sub": store_hash,
        "iat": now,
        "exp": now.saturating_add(SESSION_LIFE),
        "aud": "sandbox-app-client-id",
        "application_id": "sandbox-app-client-id",
        "store_hash": store_hash,
        "version": 1,
        "operation": SESSION_OPERATION,
    }))
}
