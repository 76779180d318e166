//! A stateful local stand-in for the BigCommerce B2B Edition Authentication API.
//!
//! All operations, with customers, channels and backend users behind them; tokens with a real
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
//! Two more routes judge a storefront token and answer `{__typename}` at most: `POST /graphql`
//! ([`GRAPHQL_PATH`]) stands for the B2B host's storefront GraphQL API, `POST /core/graphql`
//! ([`CORE_GRAPHQL_PATH`]) for that of the core host, which accepts none of these tokens. Neither
//! spends from the rate limit.
//!
//! Any other path, with `/api/v3/io` or a doubled slash too, answers 404 `{code, message}`; another
//! method on one of these answers 405.
//!
//! # Faults
//!
//! Everything that can go wrong between a client and the service can be had on purpose: for the
//! next request to an operation ([`Sandbox::fail_next`]), by chance and repeatable
//! ([`SandboxBuilder::faults`]), for everybody ([`Sandbox::begin_outage`]) or for one store
//! ([`Sandbox::maintenance`]). Of these, an outage goes before the script, the script before
//! chance, and chance before maintenance; a fault of the connection during maintenance strikes the
//! maintenance reply. [`Fault::catalogue`] lists them all, for a test that goes through them.
//!
//! | [`Fault`] | applied? | behind a socket | in-process |
//! |---|---|---|---|
//! | [`RefuseConnection`](Fault::RefuseConnection) | no, not received | a reset after the request's head | [`NotSent`](ConnectionFault::NotSent) |
//! | [`ResetBeforeRequest`](Fault::ResetBeforeRequest) | no, not received | a reset after the request's head | [`Reset`](ConnectionFault::Reset) |
//! | [`ResetDuringRequest`](Fault::ResetDuringRequest) | no, not received | a reset after the first part of the body | `Reset` |
//! | [`ResetBeforeReply`](Fault::ResetBeforeReply) | as its [`Moment`] says | a reset, no byte | `Reset` |
//! | [`CloseBeforeReply`](Fault::CloseBeforeReply) | as its `Moment` says | an end, no byte | `Reset` |
//! | [`ResetDuringReply`](Fault::ResetDuringReply) | yes | a reset after half of the body | an error after half of the body |
//! | [`ResetAfterReply`](Fault::ResetAfterReply) | yes | a reset after the body | the reply |
//! | [`StallBeforeReply`](Fault::StallBeforeReply) | as its `Moment` says | silence | [`Stall`](ConnectionFault::Stall) |
//! | [`StallInHead`](Fault::StallInHead) | yes | silence after half of the head | `Stall` |
//! | [`StallInBody`](Fault::StallInBody) | yes | silence after half of the body | the same |
//! | [`SlowBody`](Fault::SlowBody) | yes | byte by byte | the same, by tokio's clock |
//! | [`TruncatedBody`](Fault::TruncatedBody) | yes | an end after half of the body | an error after half of the body |
//! | [`EndlessBody`](Fault::EndlessBody) | yes | chunk after chunk, up to 64 MiB | the same |
//! | [`WrongContentLength`](Fault::WrongContentLength) | yes | twice or half of the length | the same: an error at the end, or half of the body |
//! | [`DoubleContentLength`](Fault::DoubleContentLength) | yes | two that differ | [`Unreadable`](ConnectionFault::Unreadable) |
//! | [`GzipOfZeros`](Fault::GzipOfZeros) | yes | the packed bytes | the same |
//! | [`HtmlError`](Fault::HtmlError), [`EmptyError`](Fault::EmptyError), [`ServerError`](Fault::ServerError), [`BodyCode`](Fault::BodyCode) | as their `Moment` says | the reply | the same |
//! | [`BadUtf8`](Fault::BadUtf8), [`WrongContentType`](Fault::WrongContentType) | yes | the spoilt reply | the same |
//! | [`HeaderFlood`](Fault::HeaderFlood) | yes | the headers | `Unreadable` |
//! | [`Redirect`](Fault::Redirect) | no | the reply | the same |
//! | [`TooManyRequests`](Fault::TooManyRequests) | no, and spends nothing | the reply | the same |
//! | [`Maintenance`](Fault::Maintenance) | no | the reply | the same |
//! | [`ClockSkew`](Fault::ClockSkew) | yes | the reply, with other times | the same |
//! | [`CloseOnReuse`](Fault::CloseOnReuse) | yes; the next request on the connection: no | the reply; then an end as soon as the next request arrives | the reply; then `Reset` for the next request |
//!
//! A request that is not received is neither recorded nor paid for; every other one is both, except
//! that a 429 is not paid for. What is applied is so only as far as the request is in order and the
//! purse not empty. The replies of `HtmlError`, `EmptyError`, `Redirect`, `TooManyRequests` and
//! `Maintenance` come from in front of the service: they have no window headers.
//!
//! Three things belong to the socket and not to a request. [`RunningSandbox::stop_listening`]
//! refuses connections for good, [`RunningSandbox::hold_connections`] takes them and says nothing,
//! and with the feature `tls` a sandbox serves https with whatever certificate it is given:
//! one that has expired, that nobody vouches for, or of another name. With the feature `http2` it
//! speaks HTTP/2 there; a fault of the connection then ends it for every request on it, and one
//! that has no form in HTTP/2 (two lengths, half a head) is as in-process.
//!
//! # What is documented or was seen
//!
//! - A missing or wrong `X-Store-Hash` is a server error, though the fault is the caller's. (That it is a 500 is assumed.)
//! - An access token without the B2B Edition scope: 403 "Invalid access token". A storefront token
//!   in its place: 403 "Invalid token".
//! - The texts of a failed login, exchange, creation and deletion, with their statuses.
//! - The texts for a session JWT of another app ("Signature verification failed"), for a channel
//!   that is wrong or not live, and how those for a [company](CompanyStatus) that is pending or
//!   inactive begin. (Their statuses are assumed, and so is that a mint has the last two.)
//! - GraphQL's answers to a token that is expired (code 40101) or unreadable ("JWT verification
//!   failed"), the core's "String is not a JWT", and 403 "Permission denied" for a sales
//!   representative who is not assigned to the company. (Their forms are assumed.)
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
//! - Every request spends, refused ones too, except a 429 and what a [fault](Fault) kept from being
//!   received. One whose store cannot be told spends
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
mod broken_body;
mod call;
mod clock;
pub mod demo;
mod fault;
mod fault_plan;
mod fault_reply;
mod gateway;
mod header_rules;
mod jwt;
mod operations;
mod rate_limit;
mod recording;
mod reply;
mod sandbox;
mod secret;
mod server;
mod state;
mod store;
mod storefront;
#[cfg(feature = "tls")]
mod tls;
mod wire;

pub use assumptions::{
    Assumptions, CamelCaseExpiry, CreatedTokenShape, ExchangeChannel, RepeatedMint, RetrySignal,
    TokenShape,
};
pub use clock::{Clock, ManualClock};
pub use fault::{ConnectionFault, Fault, Moment, RedirectTarget, Skew, WrongLength};
pub use fault_plan::FaultPlan;
pub use operations::{BASE_PATH, Operation};
pub use rate_limit::RateLimit;
pub use recording::RecordedRequest;
pub use reply::{CannedReply, ErrorShape};
pub use sandbox::{Sandbox, SandboxBuilder};
pub use server::RunningSandbox;
pub use store::{BackendUser, CompanyStatus, Customer, EventChannel, Role, ServerToken, Store};
pub use storefront::{CORE_GRAPHQL_PATH, GRAPHQL_PATH};
#[cfg(feature = "tls")]
pub use tls::TlsIdentity;
