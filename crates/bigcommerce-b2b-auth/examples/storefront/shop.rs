//! The shop's back end: its routes, who may call them, and what goes wrong as a status and a sentence.
//!
//! The browser holds a session cookie and nothing else. Which customer that is stands in the session, which the shop's own table
//! filled; the storefront token stays here.

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bigcommerce_b2b_auth::{
    Client, CustomerId, Error, ErrorKind, Hint, ManagedToken, Secret, StoreAccess, StorefrontTokens,
};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::{
    orders::OrdersApi,
    sessions::{SessionId, Sessions},
    storefront_graphql::StorefrontGraphql,
};

/// How long the token of a log in is valid here: short enough to watch it run. Without `end_at` it is a day.
const LOGIN_TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// How long a minted token is valid, by the vendor's documents.
const MINTED_TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// What every request can reach. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shop {
    /// Logs shoppers in.
    client: Client<StoreAccess>,
    /// Keeps their tokens, and mints the next ones.
    tokens: StorefrontTokens,
    /// What is called with them.
    orders: OrdersApi,
    sessions: Sessions,
    /// By e-mail address in lower case.
    shoppers: Arc<HashMap<String, Arc<Shopper>>>,
    /// For the demonstration: what refuses a token when told to.
    graphql: StorefrontGraphql,
}

/// A line of the shop's own table of its shoppers.
pub(crate) struct Shopper {
    pub(crate) email: String,
    pub(crate) name: String,
    pub(crate) customer: CustomerId,
}

impl Shop {
    pub(crate) fn new(
        client: Client<StoreAccess>,
        tokens: StorefrontTokens,
        orders: OrdersApi,
        shoppers: impl IntoIterator<Item = Shopper>,
        graphql: StorefrontGraphql,
    ) -> Self {
        let shoppers = shoppers
            .into_iter()
            .map(|shopper| (shopper.email.to_lowercase(), Arc::new(shopper)))
            .collect();
        Self {
            client,
            tokens,
            orders,
            sessions: Sessions::default(),
            shoppers: Arc::new(shoppers),
            graphql,
        }
    }

    pub(crate) fn tokens(&self) -> &StorefrontTokens {
        &self.tokens
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route("/api/session", get(session))
            .route("/api/login", post(log_in))
            .route("/api/logout", post(log_out))
            .route("/api/token", get(token))
            .route("/api/orders", post(orders))
            .route("/api/demo/revoke", post(revoke))
            .route("/api/demo/maintenance", post(maintenance))
            .route_layer(middleware::from_fn(json_alone))
            .route(
                "/",
                get(page(
                    "text/html; charset=utf-8",
                    include_str!("page/page.html"),
                )),
            )
            .route(
                "/page.css",
                get(page("text/css", include_str!("page/page.css"))),
            )
            .route(
                "/page.js",
                get(page("text/javascript", include_str!("page/page.js"))),
            )
            .route(
                "/icon.svg",
                get(page("image/svg+xml", include_str!("page/icon.svg"))),
            )
            .layer(middleware::from_fn(with_safe_headers))
            .with_state(self)
    }
}

/// Whoever is logged in: a handler that takes this is not reached by anybody else.
struct LoggedIn(Arc<Shopper>);

impl FromRequestParts<Shop> for LoggedIn {
    type Rejection = ShopError;

    async fn from_request_parts(parts: &mut Parts, shop: &Shop) -> Result<Self, ShopError> {
        SessionId::of_request(&parts.headers)
            .and_then(|id| shop.sessions.shopper(id, Instant::now()))
            .map(Self)
            .ok_or(ShopError::LoggedOut)
    }
}

/// What the page asks for when it opens.
async fn session(shopper: Result<LoggedIn, ShopError>) -> Json<Value> {
    let name = shopper.ok().map(|LoggedIn(shopper)| shopper.name.clone());
    Json(json!({ "name": name }))
}

#[derive(Deserialize)]
struct Login {
    email: String,
    #[serde(deserialize_with = "secret")]
    password: Secret,
}

/// A password is a secret from the moment it is read: in no `Debug`, and wiped when it goes.
fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    String::deserialize(from).map(Secret::from)
}

/// Logs a shopper in at the service, and keeps the token that this gives.
///
/// Every log in is a call, and takes from the store's budget: limit how often one address may try before you open this to the
/// world.
async fn log_in(
    State(shop): State<Shop>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> Result<impl IntoResponse, ShopError> {
    let email = login.email.trim();
    let token = shop
        .client
        .log_in_storefront_user()
        .email(email)
        .password(login.password)
        .name("storefront")
        .end_at(SystemTime::now() + LOGIN_TOKEN_LIFE)
        .send()
        .await
        .map_err(ShopError::of_log_in)?;
    // Who that is, the shop's own table says. What the token says of itself is not verified, and decides nothing.
    let shopper = shop
        .shoppers
        .get(&email.to_lowercase())
        .ok_or(ShopError::WrongLogin)?;
    shop.tokens.put(shopper.customer, &token)?; // when it comes to its end, the next one is minted by customer id

    if let Some(earlier) = SessionId::of_request(&headers) {
        shop.sessions.end(earlier);
    }
    let id = shop
        .sessions
        .begin(Arc::clone(shopper), Instant::now())
        .map_err(ShopError::internal)?;
    Ok((
        [(header::SET_COOKIE, id.cookie())],
        Json(json!({ "name": shopper.name })),
    ))
}

async fn log_out(State(shop): State<Shop>, headers: HeaderMap) -> impl IntoResponse {
    if let Some(id) = SessionId::of_request(&headers) {
        if let Some(shopper) = shop.sessions.shopper(id, Instant::now()) {
            // Another session of the shopper, if there is one, fetches a token of its own.
            shop.tokens.forget(shopper.customer);
        }
        shop.sessions.end(id);
    }
    (
        [(header::SET_COOKIE, SessionId::no_cookie())],
        Json(json!({})),
    )
}

/// The life of the shopper's token, and what the cache has done so far. Never its value.
async fn token(State(shop): State<Shop>, LoggedIn(shopper): LoggedIn) -> Json<Value> {
    // What is there: nothing is minted in order to be shown.
    let token = shop.tokens.get_cached(shopper.customer);
    let done = shop.tokens.metrics();
    Json(json!({
        "customer": shopper.customer.get(),
        "token": token.map(|token| life_of(&token)),
        "counts": {
            "put": done.puts,
            "minted": done.mints,
            "hits": done.hits,
            "refused": done.invalidated,
        },
    }))
}

fn life_of(token: &ManagedToken) -> Value {
    let expires_at = token.expires_at();
    // Claims are good enough for what is only shown. The token of a log in says from when on it is valid; one that was minted
    // does not.
    let valid_from = token.claims().and_then(|claims| claims.not_before);
    let life = valid_from
        .and_then(|begin| expires_at.duration_since(begin).ok())
        .unwrap_or(MINTED_TOKEN_LIFE);
    let seconds = expires_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    json!({
        "from": if valid_from.is_some() { "log in" } else { "mint" },
        "expires_at": seconds.as_secs(),
        "seconds_left": token.remaining(SystemTime::now()).as_secs(),
        "life_seconds": life.as_secs(),
    })
}

/// The shopper's orders, by the storefront's GraphQL API.
async fn orders(
    State(shop): State<Shop>,
    LoggedIn(shopper): LoggedIn,
) -> Result<Json<Value>, ShopError> {
    let (orders, sent) = shop.orders.of(shopper.customer).await?;
    Ok(Json(json!({ "orders": orders, "sent": sent })))
}

/// For the demonstration: from now on the storefront refuses the token that the shopper has.
async fn revoke(State(shop): State<Shop>, LoggedIn(shopper): LoggedIn) -> Json<Value> {
    let token = shop.tokens.get_cached(shopper.customer);
    if let Some(token) = &token {
        shop.graphql.withdraw(token.expose_secret());
    }
    Json(json!({ "revoked": token.is_some() }))
}

#[derive(Deserialize)]
struct Maintenance {
    on: bool,
}

/// For the demonstration: the Authentication API is down, or up again.
async fn maintenance(
    State(shop): State<Shop>,
    LoggedIn(_): LoggedIn,
    Json(wish): Json<Maintenance>,
) -> Json<Value> {
    shop.graphql.maintenance(wish.on);
    Json(json!({ "on": wish.on }))
}

/// Takes posts of JSON alone. A form on another site cannot send that, and its script would have to ask first: a second lock
/// beside the cookie's `SameSite`.
async fn json_alone(request: Request, next: Next) -> Response {
    let is_json = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if request.method() == Method::POST && !is_json {
        return ShopError::NotJson.into_response();
    }
    next.run(request).await
}

/// Lets the page load what is from here and nothing else, be framed by nobody, and keeps replies out of caches.
async fn with_safe_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let policy = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A file of the page, which is part of the program.
fn page(
    kind: &'static str,
    text: &'static str,
) -> impl Fn() -> std::future::Ready<Response> + Clone + Send + Sync + 'static {
    move || std::future::ready(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// What may go wrong, by what the shopper is told of it.
#[derive(Debug)]
pub(crate) enum ShopError {
    LoggedOut,
    WrongLogin,
    NotJson,
    /// The storefront refuses a token that has only just taken the place of a refused one.
    TokenRefused,
    /// No token was to be had.
    Tokens(Error),
    /// The storefront's API did not answer as it should.
    Storefront(String),
    Internal(String),
}

impl ShopError {
    fn of_log_in(error: Error) -> Self {
        let is_wrong =
            error.hint() == Some(Hint::BadLogin) || error.kind() == ErrorKind::InvalidInput;
        if is_wrong {
            Self::WrongLogin
        } else {
            Self::Tokens(error)
        }
    }

    pub(crate) fn storefront(error: impl fmt::Display) -> Self {
        Self::Storefront(error.to_string())
    }

    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        Self::Internal(error.to_string())
    }

    /// What goes to the log. The SDK's errors say what to do, and hold no secret.
    fn log(&self) {
        match self {
            Self::LoggedOut | Self::WrongLogin | Self::NotJson => {}
            Self::TokenRefused => eprintln!("the storefront refuses a token that was just minted"),
            Self::Tokens(error) => eprintln!("{error}"),
            Self::Storefront(error) => eprintln!("the storefront's API failed: {error}"),
            Self::Internal(error) => eprintln!("the shop failed: {error}"),
        }
    }
}

impl IntoResponse for ShopError {
    fn into_response(self) -> Response {
        self.log();
        let (status, sentence) = match &self {
            Self::LoggedOut => (StatusCode::UNAUTHORIZED, "Please log in first."),
            Self::WrongLogin => (
                StatusCode::UNAUTHORIZED,
                "That e-mail address and password do not belong together.",
            ),
            Self::NotJson => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send application/json."),
            Self::TokenRefused => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The storefront refuses a token that is less than a minute old. Please try again in a minute.",
            ),
            Self::Tokens(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The storefront cannot be reached for you just now. Please try again in a moment.",
            ),
            Self::Storefront(_) => (
                StatusCode::BAD_GATEWAY,
                "The storefront did not answer as it should. Please try again in a moment.",
            ),
            Self::Internal(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong on our side.",
            ),
        };
        let mut response = (status, Json(json!({ "error": sentence }))).into_response();
        let wait = match &self {
            Self::TokenRefused => Some(Duration::from_secs(60)),
            Self::Tokens(error) => error.retry_after(),
            _ => None,
        };
        if let Some(wait) = wait {
            let seconds = wait.as_secs().max(1);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
