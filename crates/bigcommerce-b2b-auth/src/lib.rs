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
//! A call that its client's credentials do not allow does not compile. What is deprecated is so by the vendor, as of
//! 30 September 2025; the compiler says so where you use it.
//!
//! # What the client sees to
//! - **Budget.** A store has 150 requests a minute for all its integrations together. A client keeps to a [`Pace`] of
//!   135, and every [`ReplyMeta`] tells what the service says is left.
//! - **Repetition.** What surely did not happen is tried again, as the [`RetryPolicy`] says.
//! - **Success** is a 2xx status *and* a body that does not say otherwise: the service can answer 422 inside a 200.
//! - **Errors** say what happened, where, and for the known misconfigurations what to do: see [`Error`] and [`Hint`].
//! - **Bounds.** A reply over 1 MiB is cut off, and an attempt ends after 30 seconds.
//! - **Secrecy.** Secrets print as `[REDACTED]`; redirects are not followed; https is required unless the host is
//!   loopback.
//!
//! # Features
//! | feature | default | what it does |
//! |---|---|---|
//! | `rustls` | yes | TLS by rustls with the platform's certificate store; without it only plain http can be spoken |
//!
//! # Runtime
//! Calls run on tokio, with its time driver enabled. Dropping a call's future stops it; whether a request that was under
//! way took effect is then unknown.

mod attempt;
mod base_url;
#[cfg(feature = "blocking")]
pub mod blocking;
mod budget;
mod call;
mod claims;
mod client;
mod clock;
mod credentials;
mod envelope;
mod environment;
mod error;
mod exchange;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod hint;
mod ids;
mod input;
mod login;
mod mint;
mod options;
mod redact;
mod reply;
mod retry;
mod secret;
mod secret_provider;
mod server_tokens;
mod token;
pub mod transport;
pub mod watch;

pub use budget::{
    BudgetLimit, BudgetStatus, LocalBudgets, Permit, PermitAsk, PermitFuture, PermitOutcome,
    Priority, RequestBudget, RequestBudgets, TooLate,
};
pub use claims::Claims;
pub use client::{Client, ClientBuilder, client_builder};
pub use clock::{Clock, Sleep};
pub use credentials::{Credentials, LegacyAuthToken, NamesStore, StoreAccess, StoreHash};
pub use envelope::BodyCode;
pub use environment::Environment;
pub use error::{Error, ErrorKind};
pub use exchange::ExchangeSessionJwt;
pub use hint::Hint;
pub use ids::{ChannelId, CustomerId, ServerTokenId};
pub use login::LogInStorefrontUser;
pub use mint::{CustomerAccessToken, MintStorefrontToken};
pub use options::{CallOptions, CallOptionsBuilder};
pub use reply::{BudgetReading, Reply, ReplyMeta};
pub use retry::{Jitter, RetryBudget, RetryPolicy, RetryPolicyBuilder};
pub use secret::Secret;
pub use secret_provider::{RotatingSecret, SecretFuture, SecretProvider};
pub use server_tokens::{
    AllServerTokens, CreateServerToken, DeleteServerToken, ListServerTokens, ServerTokenPage,
    ServerTokenStream,
};
pub use token::{CreatedServerToken, EventChannel, ServerToken, StorefrontToken};
