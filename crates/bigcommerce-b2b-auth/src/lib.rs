//! Authentication against BigCommerce B2B Edition: storefront tokens for customers, and the legacy server-to-server
//! tokens.
//!
//! ```
//! # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
//! use std::time::{Duration, SystemTime};
//! use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sandbox = Sandbox::builder().start().await?;
//! # let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
//! let client = Client::builder()
//!     .credentials(StoreAccess::new(store_hash, access_token)?)
//! #   .base_url(sandbox.base_url())
//!     .user_agent_suffix("my-shop/1.0")
//!     .build()?;
//!
//! let token = client.mint_storefront_token(CustomerId::new(customer_id)?).send().await?;
//! if !token.expires_within(Duration::from_secs(300), SystemTime::now()) {
//!     let header = token.authorization(); // `Bearer …`, marked as sensitive
//! #   assert!(header.is_sensitive());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Managed tokens
//! A storefront that needs a customer's token for each request does not mint each time: [`StorefrontTokens`] keeps them. One
//! that is there costs a lookup; one that is not is minted once, however many ask; one that comes close to its end is renewed
//! in the background; a failure is shared and remembered; what was refused does not come back.
//!
//! ```
//! # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
//! use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sandbox = Sandbox::builder().start().await?;
//! # let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
//! let client = Client::builder()
//!     .credentials(StoreAccess::new(store_hash, access_token)?)
//! #   .base_url(sandbox.base_url())
//!     .build()?;
//! let tokens = StorefrontTokens::builder().client(client).build();
//!
//! let customer = CustomerId::new(customer_id)?;
//! let token = tokens.get(customer).await?; // on each request
//! let header = token.authorization().clone(); // `Bearer …`, for the storefront GraphQL and REST APIs
//! # assert!(header.is_sensitive());
//! # Ok(())
//! # }
//! ```
//!
//! **Calling the storefront's APIs** with them is one line more: [`StorefrontApi`] sends GraphQL and REST calls by `reqwest`,
//! [`TokenLayer`] puts tokens on the requests of any `tower` service, and [`StorefrontTokens::call`] does the same for whatever
//! you send with. A token that is refused, by a 401 or GraphQL's own way of saying so, is replaced once and the call made again.
//!
//! ```
//! # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
//! use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontApi, StorefrontTokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let sandbox = Sandbox::builder().start().await?;
//! # let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! # let storefront = format!("http://{}", listener.local_addr()?);
//! # let answer = || async { (([("content-type", "application/json")]), r#"{"data": {"__typename": "Query"}}"#) };
//! # tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
//! # let client = Client::builder()
//! #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
//! #     .base_url(sandbox.base_url())
//! #     .build()?;
//! # let customer_id = demo::CUSTOMER_ID;
//! let tokens = StorefrontTokens::builder().client(client).build();
//! let api = StorefrontApi::builder()
//!     .tokens(tokens)
//! #   .base_url(storefront)
//!     .build()?;
//! let reply = api.graphql(CustomerId::new(customer_id)?, "{ __typename }").send().await?;
//! assert!(reply.errors().is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! **Before they are needed**, [`StorefrontTokens::warm`] fetches the tokens of many customers within a share of the budget.
//! **Across a restart**, the feature `snapshot` keeps the cache on disk, sealed, and a [`TokenStore`] is shared by a fleet.
//! **While somebody waits**, an attempt to mint takes up to 30 seconds by default: where shoppers are less patient, give the
//! client an `attempt_timeout` of a few.
//!
//! # The six operations
//! | call | needs | gives |
//! |---|---|---|
//! | [`mint_storefront_token`](Client::mint_storefront_token) | [`StoreAccess`] | [`StorefrontToken`] |
//! | [`log_in_storefront_user`](Client::log_in_storefront_user) | [`StoreHash`] or [`StoreAccess`] | [`StorefrontToken`] |
//! | [`exchange_session_jwt`](Client::exchange_session_jwt) | [`StoreHash`] or [`StoreAccess`] | [`StorefrontToken`] |
//! | [`create_server_token`](Client::create_server_token), deprecated | [`StoreHash`] or [`StoreAccess`] | [`CreatedServerToken`] |
//! | [`list_server_tokens`](Client::list_server_tokens), [`all_server_tokens`](Client::all_server_tokens), deprecated | [`LegacyAuthToken`] | [`ServerTokenPage`], a stream of [`ServerToken`] |
//! | [`delete_server_token`](Client::delete_server_token), deprecated | [`LegacyAuthToken`] | nothing |
//!
//! [`Client::send`] sends any operation of the vendor's document, also one without a builder: see [`operations`].
//!
//! A method of this table that its client's credentials do not allow does not compile; `Client::send` returns an error. What is deprecated is so by the vendor, as of
//! 30 September 2025; the compiler says so where you use it.
//!
//! # What the client sees to
//! - **Budget.** A store has 150 requests a minute for all its integrations together. Every attempt takes a permit: 135 a
//!   minute until a reply tells the allocation, then up to the whole of it, less where others are seen to spend, and none
//!   after a 429 until the moment that it names, which is at most 15 minutes away by default. See [`BudgetLimit`],
//!   [`Priority`] and [`Client::budget`].
//! - **Repetition.** What may pass by itself and does no harm twice is tried again, within a retry budget that keeps an
//!   outage from being multiplied. One server token at most comes of one call. See [`RetryPolicy`].
//! - **Time.** An attempt ends after 30 seconds and a call after 2 minutes, its waits included; a wait that cannot end in
//!   time is not begun. See [`CallOptions`].
//! - **Success** is a 2xx status *and* a body that does not say otherwise: the service can answer 422 inside a 200.
//! - **Errors** say what happened, where, and for the known misconfigurations what to do, with a link to a section of
//!   [`troubleshooting`]: see [`Error`] and [`Hint`].
//! - **Watching.** A call is a span, and so is each of its attempts, with OpenTelemetry's names; [`telemetry::Observer`] is
//!   a hook for metrics.
//! - **Bounds.** A reply over 1 MiB is cut off.
//! - **Secrecy.** Secrets print as `[REDACTED]`; redirects are not followed; https is required unless the host is
//!   loopback.
//!
//! # Features
//! | feature | default | what it does |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with aws-lc-rs and the platform's certificate store |
//! | `rustls-no-provider` | | TLS by rustls with the crypto provider that the application installs, before it builds a client |
//! | `native-tls` | | TLS by the system's library: OpenSSL on Linux, with its headers to build; used in place of rustls where both are on |
//! | `http2` | | HTTP/2 where the other side offers it, which is agreed on with TLS |
//! | `blocking` | | `send_blocking()` beside `send()`, for programs without async; see `blocking` |
//! | `tokens` | yes | [`StorefrontTokens`], the cache of managed tokens, and what calls the storefront's APIs with them |
//! | `snapshot` | | [`Snapshot`]: the managed tokens on disk, sealed, so that a restart does not mint them again |
//! | `store-contract` | | `store_contract`: tests that an implementation of [`TokenStore`] of your own can be held to |
//!
//! Without a TLS feature only plain http can be spoken.
//!
//! # Deployment
//! **Connections.** A client keeps its connections open and shares them between its clones, so build one and clone it. With
//! the feature `http2`, and over TLS, calls that are under way at once share one connection as soon as it is open. A connection is served by the
//! runtime that opened it: a current-thread runtime that is kept but not running keeps its connections from working, so give
//! each such runtime a client of its own.
//!
//! **Proxies.** `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are followed, except for a base URL that is loopback.
//! A proxy for https is only asked for a tunnel: it gets to see the name of the host, and no credential.
//!
//! **An HTTP client of your own.** Proxies, certificates and the connection pool are set on a [`reqwest::ClientBuilder`], by a
//! function that makes it: a retry after a broken response goes over a new connection, for which a second HTTP client is
//! built. On top of it the SDK sets what its safety rests on: no redirects, no retries but its own, no `Referer`, no logging of
//! connections. Everything else is as you leave it: there is no connect time-out unless you set one, and the proxies of the
//! environment are followed for loopback as well.
//!
//! ```
//! use std::time::Duration;
//! use bigcommerce_b2b_auth::{Client, StoreAccess};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = reqwest::Proxy::https("http://proxy.example.com:3128")?;
//! let http = move || {
//!     reqwest::Client::builder()
//!         .proxy(proxy.clone())
//!         .connect_timeout(Duration::from_secs(5))
//!         .pool_idle_timeout(Duration::from_secs(30))
//! };
//! let client = Client::builder().credentials(StoreAccess::new("abc123", "an access token")?).http(http).build()?;
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! **Credentials that change.** A [`RotatingSecret`] is replaced by whoever learns of a new token; a [`SecretProvider`] is
//! asked once for each call, and once more when the service refuses what it gave. A call whose provider has nothing to give
//! sends nothing, and ends with [`ErrorKind::CredentialsUnavailable`].
//!
//! ```
//! use bigcommerce_b2b_auth::{Client, Secret, SecretFuture, SecretProvider, StoreAccess};
//!
//! /// A file that the platform replaces, such as a secret that is mounted into a container.
//! #[derive(Debug)]
//! struct TokenFile(&'static str);
//!
//! impl SecretProvider for TokenFile {
//!     fn secret<'a>(&'a self, _refused: Option<&'a Secret>) -> SecretFuture<'a> {
//!         Box::pin(async { Ok(Secret::from(std::fs::read_to_string(self.0)?.trim_end().to_owned())) })
//!     }
//! }
//!
//! # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
//! let credentials = StoreAccess::from_provider("abc123", TokenFile("/run/secrets/bigcommerce-access-token"))?;
//! let client = Client::builder().credentials(credentials).build()?;
//! # drop(client);
//! # Ok(())
//! # }
//! ```
//!
//! **Without async.** With the feature `blocking`, builders have `send_blocking()` beside `send()`, and `blocking::run` runs every
//! other future of the SDK. Inside of an async context both return an error.
#![cfg_attr(
    feature = "blocking",
    doc = r#"
```
# use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};

# fn main() -> Result<(), Box<dyn std::error::Error>> {
# let runtime = tokio::runtime::Runtime::new()?;
# let sandbox = runtime.block_on(Sandbox::builder().start())?;
# let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
let client = Client::builder()
    .credentials(StoreAccess::new(store_hash, access_token)?)
#   .base_url(sandbox.base_url())
    .build()?;
let token = client.mint_storefront_token(CustomerId::new(customer_id)?).send_blocking()?;
# drop(token);
# Ok(())
# }
```

See the module [`blocking`].
"#
)]
//!
//! # Runtime
//! Calls run on tokio, with its time driver enabled. Dropping a call's future stops it; whether a request that was under
//! way took effect is then unknown.

mod auth;
#[cfg(feature = "blocking")]
pub mod blocking;
mod client;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
#[path = "../fuzz/properties.rs"]
pub mod fuzzing;
pub mod operations;
mod pipeline;
mod rate_limit;
#[cfg(feature = "tokens")]
mod storefront;
pub mod telemetry;
mod time;
mod token;
#[cfg(feature = "tokens")]
mod token_cache;
#[doc = include_str!("../docs/troubleshooting.md")]
pub mod troubleshooting {}

/// The `reqwest` whose `ClientBuilder` goes into [`ClientBuilder::http`], and whose requests a [`transport`] sees.
#[doc(no_inline)]
pub use reqwest;

pub use auth::Environment;
pub use auth::Secret;
pub use auth::{Credentials, LegacyAuthToken, NamesStore, StoreAccess, StoreHash};
pub use auth::{RotatingSecret, SecretFuture, SecretProvider};
pub use client::{Client, ClientBuilder, client_builder};
pub use error::Hint;
pub use error::{Error, ErrorKind};
pub use operations::exchange::ExchangeSessionJwt;
pub use operations::login::LogInStorefrontUser;
pub use operations::mint::{CustomerAccessToken, MintStorefrontToken};
pub use operations::server_tokens::{
    AllServerTokens, CreateServerToken, DeleteServerToken, ListServerTokens, ServerTokenPage,
    ServerTokenStream,
};
pub use pipeline::BodyCode;
pub use pipeline::transport;
pub use pipeline::{BudgetReading, Reply, ReplyMeta};
pub use pipeline::{CallOptions, CallOptionsBuilder};
pub use pipeline::{Jitter, RetryBudget, RetryPolicy, RetryPolicyBuilder};
pub use rate_limit::{
    BudgetLimit, BudgetStatus, LocalBudgets, Permit, PermitAsk, PermitFuture, PermitOutcome,
    Priority, RequestBudget, RequestBudgets, TooLate,
};
#[cfg(feature = "tokens")]
pub use storefront::{
    AllowedOrigins, Answer, CallError, CallGraphql, GraphqlError, GraphqlReply, Judgement,
    PeekedBody, RepeatBody, RepeatBy, RepeatClone, RepeatNever, ResponseJudge, ResponseView,
    StorefrontApi, StorefrontApiBuilder, TokenLayer, TokenService, TokenUse,
    storefront_api_builder,
};
pub use time::{Clock, ClockReading, Sleep};
pub use token::Claims;
pub use token::{ChannelId, CustomerId, ServerTokenId};
pub use token::{CreatedServerToken, EventChannel, ServerToken, StorefrontToken};
#[cfg(any(test, feature = "store-contract"))]
pub use token_cache::contract as store_contract;
#[cfg(feature = "snapshot")]
pub use token_cache::snapshot::{
    RestoreReport, Snapshot, SnapshotError, SnapshotKey, SnapshotProblem, SnapshotWritten,
};
#[cfg(feature = "tokens")]
pub use token_cache::{
    Capacity, CustomerEpoch, Fingerprint, Invalidation, Lease, LeaseOwner, ManagedToken,
    MemoryTokenStore, Put, StoreError, StoreFuture, StoreKey, StoredToken, StorefrontTokens,
    StorefrontTokensBuilder, TokenMetrics, TokenRequest, TokenStore, Warm, WarmOutcome,
    WarmProgress, Warmed, Warming, WarmingControl, storefront_tokens_builder,
};
