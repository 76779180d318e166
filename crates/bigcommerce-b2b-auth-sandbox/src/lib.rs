//! A stateful local stand-in for the BigCommerce B2B Edition Authentication API.
//!
//! All six operations, with customers, channels and backend users behind them; tokens with a real
//! signature and the claims that clients read; the rate limit of a store with its headers; the
//! documented errors with their texts. It can listen on a socket, or be called in-process with no
//! socket and no timer. It shares no code with the SDK, so that neither side hides the other's
//! mistakes.
//!
//! **It is no copy of the service.** It rests on documents and on replies that others captured.
//! Where these are silent it does what [`Assumptions`] says, and what it does there is evidence of
//! nothing.
//!
//! # Example
//!
//! ```
//! use bigcommerce_b2b_auth_sandbox::{Operation, Sandbox, demo};
//! use serde_json::{Value, json};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::builder().start().await?;
//!
//! let reply: Value = reqwest::Client::new()
//!     .post(format!("{}/api/io/auth/customers/storefront", sandbox.base_url()))
//!     .header("X-Store-Hash", demo::STORE_HASH)
//!     .header("X-Auth-Token", demo::ACCESS_TOKEN)
//!     .json(&json!({ "customerId": demo::CUSTOMER_ID }))
//!     .send()
//!     .await?
//!     .json()
//!     .await?;
//!
//! let token = reply["data"]["token"][0].as_str().ok_or("no token")?;
//! let claims = sandbox.verify(token).ok_or("not a token of this sandbox")?;
//! assert_eq!(claims["bc_customer_id"], demo::CUSTOMER_ID);
//! assert_eq!(sandbox.request_count_to(Operation::Mint), 1);
//! # Ok(())
//! # }
//! ```
//!
//! Without a socket the same state is a [`tower` service](Sandbox::service), and with a
//! [`ManualClock`] time stands still:
//!
//! ```
//! use std::time::Duration;
//! use axum::body::Body;
//! use axum::http::Request;
//! use bigcommerce_b2b_auth_sandbox::{ManualClock, RateLimit, Sandbox, demo};
//! use tower::ServiceExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = ManualClock::at_unix(1_800_000_000);
//! let limit = RateLimit::sliding(1, Duration::from_secs(60));
//! let sandbox = Sandbox::builder().clock(clock.clone()).rate_limit(limit).build();
//! let list = || {
//!     Request::get("/api/io/backend/tokens")
//!         .header("authToken", sandbox.auth_token(demo::STORE_HASH).unwrap_or_default())
//!         .body(Body::empty())
//! };
//!
//! assert_eq!(sandbox.service().oneshot(list()?).await?.status(), 200);
//! assert_eq!(sandbox.service().oneshot(list()?).await?.status(), 429);
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(sandbox.service().oneshot(list()?).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Routes
//!
//! | route | [`Operation`] | credential | `data` of the reply |
//! |---|---|---|---|
//! | `POST /api/io/auth/customers/storefront` | [`Mint`](Operation::Mint) | `X-Auth-Token` and `X-Store-Hash` | `{token: ["…"]}` |
//! | `POST /api/io/auth/customers` | [`Login`](Operation::Login) | the login in the body | `{name, token}` |
//! | `GET /api/io/auth/storefront` | [`Exchange`](Operation::Exchange) | `X-Store-Hash`, `jwtToken` in the query | `{token}` |
//! | `POST /api/io/auth/backend` | [`CreateServerToken`](Operation::CreateServerToken) | the login in the body | `[{name, token}]` |
//! | `DELETE /api/io/auth/backend` | [`DeleteServerToken`](Operation::DeleteServerToken) | `authToken` alone | `[]` |
//! | `GET /api/io/backend/tokens` | [`ListServerTokens`](Operation::ListServerTokens) | `authToken` alone | `[{id, name, email, storeHash, token, eventChannel}]` |
//!
//! Any other path, with `/api/v3/io` or a doubled slash too, answers 404 `{code, message}`; another
//! method on one of these answers 405.
//!
//! # What is documented or was seen
//!
//! - A missing or wrong `X-Store-Hash` is a server error, though the fault is the caller's. (That it is a 500 is assumed.)
//! - An access token without the B2B Edition scope: 403 "Invalid access token". A storefront token
//!   in its place: 403 "Invalid token".
//! - The texts of a failed login, exchange, creation and deletion, with their statuses.
//! - The purse belongs to the store: [`Sandbox::spend`] is what another integration of that store
//!   does.
//! - The rate-limit headers and their units, also where these look odd; `Date`, `X-Request-Id`,
//!   `Trace-Id` and `X-Envoy-Upstream-Service-Time`.
//! - The claims of each kind of token. A server token made by a call is known to name its user and
//!   its store and nothing that differs: here, two of one user have the same bytes.
//!
//! # What is assumed
//!
//! Each field of [`Assumptions`] is an assumption with a switch. These have none:
//!
//! - Both header sets together answer 400 with a text of the sandbox's own, and
//!   [`RecordedRequest::mixes_header_sets`] tells of it.
//! - A header that a login or a creation does not need has to be right if it is sent.
//! - A login or creation for an unknown store fails like one with a wrong password.
//! - Unless the body is JSON by its content type: 415. Over the
//!   [limit](SandboxBuilder::body_limit): 413.
//! - A list or deletion without `authToken`, and a mint without `X-Auth-Token`, answers 401 with
//!   the documented text of the exchange.
//! - Every request spends, refused ones too, except a 429. One whose store cannot be told spends
//!   nothing and has no rate-limit headers in its reply.
//! - A fixed window opens with the first request after the last one ended. Of a sliding one,
//!   `X-Request-Window-Resets-After` tells when the oldest request leaves it.
//! - `null` in a body counts as absent, and unknown fields are not looked at.
//! - In the claims: the value of `db`, of `token_version`, and of a session JWT's `iss`, `sub`,
//!   `aud`, `application_id`, `version` and `operation`.
//!
//! Secrets stay out of every `Debug`. They are no real ones, yet a test's log is a place where
//! people look for leaks.

mod assumptions;
mod call;
mod clock;
pub mod demo;
mod gateway;
mod header_rules;
mod jwt;
mod operation;
mod operations;
mod rate_limit;
mod recording;
mod reply;
mod sandbox;
mod secret;
mod server;
mod state;
mod store;

pub use assumptions::{
    Assumptions, CamelCaseExpiry, CreatedTokenShape, ExchangeChannel, RepeatedMint, RetrySignal,
    TokenShape,
};
pub use clock::{Clock, ManualClock};
pub use operation::{BASE_PATH, Operation};
pub use rate_limit::RateLimit;
pub use recording::RecordedRequest;
pub use reply::{CannedReply, ErrorShape};
pub use sandbox::{Sandbox, SandboxBuilder};
pub use server::RunningSandbox;
pub use store::{BackendUser, Customer, EventChannel, Role, ServerToken, Store};
