//! The three deprecated calls about legacy server tokens: create, delete and list. The last two
//! go by the `authToken` header, which is one of the tokens that they are about.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::assumptions::CreatedTokenShape;
use crate::call::Call;
use crate::header_rules::{legacy_token, optional_pair};
use crate::reply::{Refusal, Reply};
use crate::state::Stores;
use crate::store::{EventChannel, Role};

const DEFAULT_LIMIT: u64 = 10;
const LARGEST_LIMIT: u64 = 250;

/// `POST /auth/backend`
pub(crate) fn create(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
    optional_pair(call, stores, false)?;

    let mut fields = call.fields()?;
    let store_hash = fields.text("storeHash");
    let email = fields.text("email");
    let password = fields.text("password");
    let name = fields.text("name");
    // In use, though not in the document: they have to be right and have no effect.
    fields.channel();
    fields.optional_integer("beginAt");
    fields.optional_integer("endAt");
    fields.check()?;

    let refused = |message: &'static str| {
        Refusal::new(StatusCode::BAD_REQUEST, message).meta("API logic error")
    };
    // That an unknown store is told apart from a wrong password by nothing is an assumption.
    let bad_login =
        || refused("The email or password you have entered is incorrect. Please try again.");
    let state = stores.get_mut(store_hash).ok_or_else(bad_login)?;
    let user = state
        .store
        .backend_user_by_login(email, password)
        .ok_or_else(bad_login)?;
    match user.role() {
        Role::Administrator | Role::StoreOwner => {}
        Role::Custom(_) => return Err(refused("role forbidden")),
    }

    let token = state.add_server_token(
        name.to_owned(),
        email.to_owned(),
        EventChannel::Api,
        call.signer,
    );
    let created = json!({ "name": name, "token": token });
    Ok(Reply::success(match call.assumptions.created_token {
        CreatedTokenShape::Array => json!([created]),
        CreatedTokenShape::Object => created,
    }))
}

/// `DELETE /auth/backend`
pub(crate) fn delete(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
    let state = legacy_token(call, stores)?;

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

/// `GET /backend/tokens`
pub(crate) fn list(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
    let state = legacy_token(call, stores)?;
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
