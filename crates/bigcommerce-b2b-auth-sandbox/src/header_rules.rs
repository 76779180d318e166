//! Which headers let a request in: the current pair, or the legacy `authToken`, never both.
//! Each rule gives the store that the request may act on, so that no operation forgets to ask.

use axum::http::{HeaderMap, StatusCode};

use crate::call::Call;
use crate::operations::Operation;
use crate::reply::Refusal;
use crate::state::{StoreState, Stores, is_storefront_token};

const ACCESS_TOKEN: &str = "x-auth-token";
const STORE_HASH: &str = "x-store-hash";
const LEGACY_TOKEN: &str = "authtoken";

/// A rule that checks the headers of a request and gives the store that it may act on.
pub(crate) type StoreRule =
    for<'s> fn(&Call<'_>, &'s mut Stores) -> Result<&'s mut StoreState, Refusal>;

/// The documented message for a request without the credential that it needs.
pub(crate) const NO_CREDENTIALS: &str = "Invalid token header. No credentials provided.";

/// Whether a request has the legacy header together with one of the current pair.
pub(crate) fn mixes_header_sets(headers: &HeaderMap) -> bool {
    headers.contains_key(LEGACY_TOKEN)
        && (headers.contains_key(ACCESS_TOKEN) || headers.contains_key(STORE_HASH))
}

/// Refuses a request with both header sets. All that is known is that the results are unexpected;
/// that the sandbox answers 400 with a text of its own is an assumption, so that a client that
/// mixes them cannot pass a test by luck.
pub(crate) fn refuse_mixture(headers: &HeaderMap) -> Result<(), Refusal> {
    if mixes_header_sets(headers) {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            "authToken came together with X-Auth-Token or X-Store-Hash",
        )
        .meta("sandbox: mixed header sets"));
    }
    Ok(())
}

/// The store of `X-Store-Hash`. Without a known one the service answers a server error, though the
/// fault is the caller's.
pub(crate) fn store_by_header<'s>(
    call: &Call<'_>,
    stores: &'s mut Stores,
) -> Result<&'s mut StoreState, Refusal> {
    call.header(STORE_HASH)
        .and_then(|hash| stores.get_mut(hash))
        .ok_or_else(|| wrong_store_hash(call))
}

/// The store of the current pair, `X-Auth-Token` and `X-Store-Hash`, if the access token is the
/// store's and has the scope.
pub(crate) fn current_pair<'s>(
    call: &Call<'_>,
    stores: &'s mut Stores,
) -> Result<&'s mut StoreState, Refusal> {
    let state = store_by_header(call, stores)?;
    let token = call.header(ACCESS_TOKEN).unwrap_or_default();
    if token.is_empty() {
        return Err(access_refused(
            call,
            StatusCode::UNAUTHORIZED,
            NO_CREDENTIALS,
        ));
    }
    if token != state.store.access_token() {
        return Err(wrong_credential(call, token));
    }
    if !state.store.has_b2b_scope() {
        return Err(access_refused(
            call,
            StatusCode::FORBIDDEN,
            "Invalid access token",
        ));
    }
    Ok(state)
}

/// Checks the current pair where the body carries the login: as far as it is there, and in full if
/// the caller says that it must be.
///
/// That a header which is not needed has to be right nevertheless is an assumption.
pub(crate) fn optional_pair(
    call: &Call<'_>,
    stores: &mut Stores,
    required: bool,
) -> Result<(), Refusal> {
    if required || call.headers.contains_key(ACCESS_TOKEN) {
        current_pair(call, stores)?;
    } else if call.headers.contains_key(STORE_HASH) {
        store_by_header(call, stores)?;
    }
    match (call.header(STORE_HASH), call.body_store_hash()) {
        (Some(header), Some(body)) if header != body => Err(wrong_store_hash(call)),
        _ => Ok(()),
    }
}

/// The store that the legacy `authToken` belongs to.
pub(crate) fn legacy_token<'s>(
    call: &Call<'_>,
    stores: &'s mut Stores,
) -> Result<&'s mut StoreState, Refusal> {
    let token = call.header(LEGACY_TOKEN).unwrap_or_default();
    if token.is_empty() {
        return Err(access_refused(
            call,
            StatusCode::UNAUTHORIZED,
            NO_CREDENTIALS,
        ));
    }
    store_of_token(token, stores).ok_or_else(|| wrong_credential(call, token))
}

/// Whose purse a request spends from, if it can be told before anything is checked: the store of
/// the legacy token, of `X-Store-Hash`, or of the body.
pub(crate) fn paying_store<'s>(
    operation: Option<Operation>,
    call: &Call<'_>,
    stores: &'s mut Stores,
) -> Option<&'s mut StoreState> {
    if let Some(token) = call.header(LEGACY_TOKEN) {
        return store_of_token(token, stores);
    }
    if let Some(hash) = call.header(STORE_HASH) {
        return stores.get_mut(hash);
    }
    operation.filter(|operation| operation.has_body_login())?;
    stores.get_mut(call.body_store_hash()?)
}

fn store_of_token<'s>(token: &str, stores: &'s mut Stores) -> Option<&'s mut StoreState> {
    stores.values_mut().find(|state| {
        state
            .server_tokens
            .iter()
            .any(|known| known.token.expose() == token)
    })
}

/// A token that nobody was given, or a storefront token where a store's credential belongs.
fn wrong_credential(call: &Call<'_>, token: &str) -> Refusal {
    if call
        .signer
        .verify(token)
        .is_some_and(|claims| is_storefront_token(&claims))
    {
        return access_refused(call, StatusCode::FORBIDDEN, "Invalid token");
    }
    access_refused(
        call,
        call.assumptions.wrong_credential_status,
        "Invalid token",
    )
}

fn access_refused(call: &Call<'_>, status: StatusCode, message: &'static str) -> Refusal {
    Refusal::new(status, message).shape(call.assumptions.access_error)
}

fn wrong_store_hash(call: &Call<'_>) -> Refusal {
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "server error")
        .shape(call.assumptions.store_hash_error)
}
