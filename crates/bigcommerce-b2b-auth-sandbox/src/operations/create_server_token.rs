//! `POST /auth/backend`: creates a legacy server token. Deprecated.

use axum::http::{Method, StatusCode};
use serde_json::json;

use crate::assumptions::CreatedTokenShape;
use crate::call::Call;
use crate::operations::{Credential, Handler};
use crate::reply::{Refusal, Reply};
use crate::state::Stores;
use crate::store::{EventChannel, Role};

pub(super) static OPERATION: Handler = Handler {
    operation_id: "post-auth-backend",
    method: Method::POST,
    path: "/api/io/auth/backend",
    credential: Credential::BodyLogin {
        headers_required: |_| false,
        handle: create,
    },
};

fn create(call: &Call<'_>, stores: &mut Stores) -> Result<Reply, Refusal> {
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
    // Assumption: the service answers an unknown store like a wrong password.
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
