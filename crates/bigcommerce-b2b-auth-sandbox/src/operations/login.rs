//! `POST /auth/customers`: a storefront token for an email address and a password. It names no
//! customer id and no `bc_channel_id`, unlike a mint's, but a name, channels and a beginning.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::call::Call;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::{DATABASE, STOREFRONT_TOKEN_LIFE, Stores};

pub(super) static OPERATION: Handler = Handler {
    operation_id: "post-auth-customer",
    method: Method::POST,
    path: "/api/io/auth/customers",
    credential: Credential::BodyLogin {
        headers_required: |assumptions| assumptions.login_requires_headers,
        handle: login,
    },
};

/// What the service writes as `token_type` into the token of a login.
const TOKEN_TYPE: u8 = 3;

fn login(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
    let mut fields = call.fields()?;
    let store_hash = fields.text("storeHash");
    let email = fields.text("email");
    let password = fields.text("password");
    let name = fields.text("name");
    let channel = fields.channel();
    let begin_at = fields.optional_integer("beginAt").unwrap_or(call.now);
    let end_at = fields
        .optional_integer("endAt")
        .unwrap_or(call.now.saturating_add(STOREFRONT_TOKEN_LIFE));
    if channel.is_none() && call.assumptions.login_requires_channel {
        fields.problem("channelId", "is required");
    }
    fields.check()?;

    // One message for every reason is documented. That it is also the one for an unknown store or
    // channel is an assumption.
    let refused = || {
        Refusal::new(StatusCode::BAD_REQUEST, "Customer auth failed").meta("Calling BC API failed")
    };
    let state = stores.get(store_hash).ok_or_else(refused)?;
    let channel = channel.unwrap_or(1);
    if call.assumptions.refuse_unknown_channels && !state.store.channels().contains(&channel) {
        return Err(refused());
    }
    let customer = state
        .store
        .customer_by_login(email, password)
        .ok_or_else(refused)?;

    let token = call.signer.sign(&json!({
        "email": customer.email(),
        "store_hash": store_hash,
        "db": DATABASE,
        "name": name,
        "channel_ids": [channel],
        "token_type": TOKEN_TYPE,
        "nbf": begin_at,
        "exp": end_at,
    }));
    Ok(Reply::success(json!({ "name": name, "token": token })))
}
