//! `GET /backend/tokens`: lists the legacy server tokens, the one in `authToken` included. Deprecated.

use axum::http::Method;
use serde_json::{Value, json};

use crate::call::Call;
use crate::header_rules::legacy_token;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::StoreState;

pub(super) static OPERATION: Handler = Handler {
    operation_id: "get-backend-tokens",
    method: Method::GET,
    path: "/api/io/backend/tokens",
    credential: Credential::Headers {
        store: legacy_token,
        handle: list,
    },
};

const DEFAULT_LIMIT: u64 = 10;
const LARGEST_LIMIT: u64 = 250;

fn list(call: &Call<'_>, state: &mut StoreState) -> Result<Reply, Refusal> {
    let limit = call.query_number("limit", DEFAULT_LIMIT, 1..=LARGEST_LIMIT)?;
    let offset = call.query_number("offset", 0, 0..=u64::MAX)?;

    let page: Vec<Value> = state
        .server_tokens
        .iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .map(|token| {
            json!({
                "id": token.id,
                "name": token.name,
                "email": token.email,
                "storeHash": state.store.hash(),
                "token": token.token.expose(),
                "eventChannel": token.event_channel.as_str(),
            })
        })
        .collect();
    Ok(Reply::success_with_meta(
        page.into(),
        json!({
            "message": "SUCCESS",
            "pagination": { "totalCount": state.server_tokens.len(), "limit": limit, "offset": offset },
        }),
    ))
}
