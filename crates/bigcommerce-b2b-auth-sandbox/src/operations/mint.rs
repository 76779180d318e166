//! `POST /auth/customers/storefront`: a storefront token for a customer id. No error of this call
//! is documented: every refusal for an unknown customer or channel is an assumption.

use axum::http::Method;
use serde_json::json;

use crate::assumptions::TokenShape;
use crate::call::Call;
use crate::header_rules::current_pair;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::StoreState;

pub(super) static OPERATION: Handler = Handler {
    operation_id: "post-auth-customers-storefront",
    method: Method::POST,
    path: "/api/io/auth/customers/storefront",
    credential: Credential::Headers {
        store: current_pair,
        handle: mint,
    },
};

/// What clients know as the message for a channel that is wrong or not live.
pub(super) const CHANNEL_NOT_LIVE: &str =
    "Operation cannot be performed as the storefront channel is not live";

fn mint(call: &Call<'_>, state: &mut StoreState) -> Result<Reply, Refusal> {
    let mut fields = call.fields()?;
    let customer_id = fields.integer("customerId");
    let channel = fields.channel().unwrap_or(1);
    fields.customer_access_token();
    fields.check()?;

    let assumptions = call.assumptions;
    let refused = |message| {
        Refusal::new(assumptions.mint_error_status, message).shape(assumptions.mint_error)
    };
    if assumptions.refuse_unknown_channels && !state.store.channels().contains(&channel)
        || !state.store.is_live(channel)
    {
        return Err(refused(CHANNEL_NOT_LIVE));
    }
    let customer = state
        .store
        .customer_by_id(customer_id)
        .cloned()
        .ok_or_else(|| refused("sandbox: no such customer"))?;
    if let Some(message) = customer.company_status().refusal() {
        return Err(Refusal::new(assumptions.company_status, message).shape(assumptions.mint_error));
    }

    let token =
        state.issue_storefront_token(&customer, channel, call.now, assumptions, call.signer);
    Ok(Reply::success(match assumptions.mint_token {
        TokenShape::Array => json!({ "token": [token] }),
        TokenShape::String => json!({ "token": token }),
    }))
}
