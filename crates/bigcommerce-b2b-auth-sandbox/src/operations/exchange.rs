//! `GET /auth/storefront`: a storefront token for the JWT of a signed-in storefront session.
//! One documented error stands for all that can be wrong with that JWT, its absence included.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::assumptions::ExchangeChannel;
use crate::call::{Call, invalid_field, parse_number};
use crate::header_rules::{NO_CREDENTIALS, store_by_header};
use crate::jwt::Signer;
use crate::operations::mint::CHANNEL_NOT_LIVE;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::StoreState;
use crate::store::Customer;

pub(super) static OPERATION: Handler = Handler {
    operation_id: "get-auth-storefront",
    method: Method::GET,
    path: "/api/io/auth/storefront",
    credential: Credential::Headers {
        store: store_by_header,
        handle: exchange,
    },
};

/// How long a session JWT lives, in seconds.
const SESSION_LIFE: u64 = 900;

/// What a session JWT says that it is for.
const SESSION_OPERATION: &str = "current_customer";

/// The client id of the app that the sandbox exchanges session JWTs for.
pub(crate) const APP_CLIENT_ID: &str = "sandbox-app-client-id";

fn exchange(call: &Call<'_>, state: &mut StoreState) -> Result<Reply, Refusal> {
    let customer = signed_in_customer(call, state)?;

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
    if !state.store.is_live(channel) {
        return Err(Refusal::new(
            call.assumptions.mint_error_status,
            CHANNEL_NOT_LIVE,
        ));
    }

    let token =
        state.issue_storefront_token(&customer, channel, call.now, call.assumptions, call.signer);
    Ok(Reply::success(json!({ "token": token })))
}

/// The customer of the session, if the JWT is the sandbox's own, unexpired, of a session with this
/// store, and issued for the sandbox's own app.
fn signed_in_customer(call: &Call<'_>, state: &StoreState) -> Result<Customer, Refusal> {
    let refused = || Refusal::new(StatusCode::UNAUTHORIZED, NO_CREDENTIALS);
    let claims = call
        .query("jwtToken")
        .and_then(|jwt| call.signer.verify(jwt))
        .ok_or_else(refused)?;
    let claim = |name: &str| claims.get(name);
    let ours = claim("operation").and_then(Value::as_str) == Some(SESSION_OPERATION)
        && claim("store_hash").and_then(Value::as_str) == Some(state.store.hash());
    let alive = claim("exp")
        .and_then(Value::as_u64)
        .is_some_and(|expiry| call.now < expiry);
    if !(ours && alive) {
        return Err(refused());
    }
    if claim("aud").and_then(Value::as_str) != Some(APP_CLIENT_ID) {
        return Err(Refusal::new(
            call.assumptions.other_app_status,
            "Signature verification failed",
        ));
    }
    claim("customer")
        .and_then(|customer| customer.get("id")?.as_u64())
        .and_then(|id| state.store.customer_by_id(id))
        .cloned()
        .ok_or_else(refused)
}

/// The JWT of a session, with the claims of the Current Customer API. The values of `iss`, `sub`,
/// `aud`, `application_id` and `version` are made up.
pub(crate) fn session_jwt(
    store_hash: &str,
    customer: &Customer,
    app_client_id: &str,
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
        "aud": app_client_id,
        "application_id": app_client_id,
        "store_hash": store_hash,
        "version": 1,
        "operation": SESSION_OPERATION,
    }))
}
