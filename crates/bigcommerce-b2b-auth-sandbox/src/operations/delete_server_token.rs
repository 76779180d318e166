//! `DELETE /auth/backend`: deletes a legacy server token, which may be the one in `authToken`. Deprecated.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::call::Call;
use crate::header_rules::legacy_token;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::StoreState;

pub(super) static OPERATION: Handler = Handler {
    operation_id: "delete-auth-backend",
    method: Method::DELETE,
    path: "/api/io/auth/backend",
    credential: Credential::Headers {
        store: legacy_token,
        handle: delete,
    },
};

fn delete(call: &Call<'_>, state: &mut StoreState) -> Result<Reply, Refusal> {
    let mut fields = call.fields()?;
    let id = fields.integer("id");
    let email = fields.optional_text("email");
    let name = fields.optional_text("name");
    fields.check()?;

    let position = state
        .server_tokens
        .iter()
        .position(|token| {
            token.id == id
                && email.is_none_or(|email| email == token.email)
                && name.is_none_or(|name| name == token.name)
        })
        .ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, "No matching token was found.")
                .meta("Not Found Error")
        })?;
    state.server_tokens.remove(position);
    Ok(Reply::success(json!([])))
}
