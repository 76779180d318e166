//! The low-level client of the BigCommerce B2B Edition Authentication API.
//!
//! [`Client`], [`types`], [`operations`] and [`calls`] are generated from the vendor's OpenAPI document with this project's
//! corrections. Written by hand are only the [`Transport`] through which requests leave, the trait [`Call`] of the values in
//! [`calls`], and the [`SecretString`] that passwords and tokens are.
//!
//! **Most people want the crate `bigcommerce-b2b-auth`**, which is built on this one and adds what a service in use
//! needs. This crate is for those who need the bare calls, or a transport of their own.
//!
//! # What this crate does not guard
//! With [`DirectTransport`], or any transport that does not see to it itself:
//!
//! - **Redirects** are the `reqwest::Client`'s affair. With its default policy a 307 carries `X-Auth-Token` and the
//!   password to another host: build the client with `redirect(Policy::none())`.
//! - **Time-outs** are the `reqwest::Client`'s affair too; it has none by default.
//! - **Bodies have no bound.** A reply is read whole, however long it is.
//! - **No retries and no budget.** The service allows 150 requests a minute for the whole store.
//! - **A success may be an error**: the service can answer `{"code": 422, …}` under HTTP 200, which is parsed here as
//!   if it were a success, or fails to parse.
//! - **Errors can hold secrets.** [`Error::InvalidResponsePayload`] has the whole body of a malformed success, and its
//!   `Display` prints it, token included. [`Error::ResponseBodyError`] can print the URL, which for the exchange call
//!   holds the session JWT. Log neither.
//! - **Error replies are not parsed**: every status but the success status is [`Error::UnexpectedResponse`].
//!
//! # Example
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use bigcommerce_b2b_auth_api::{Client, Operation, Transport, TransportFuture, types};
//!
//! /// Answers from memory, so that this example runs without a store.
//! #[derive(Debug)]
//! struct Canned(&'static str);
//!
//! impl Transport for Canned {
//!     fn send<'a>(&'a self, _: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
//!         Box::pin(async { Ok(http::Response::new(self.0).into()) })
//!     }
//! }
//!
//! let transport = Canned(r#"{"code": 200, "data": {"token": ["header.claims.signature"]}, "meta": {}}"#);
//! let client = Client::new_with_client("https://b2b.example.com/api/io", reqwest::Client::new(), Arc::new(transport));
//! let request = types::PostAuthCustomersStorefrontRequest { customer_id: 42, channel_id: None, customer_access_token: None };
//! let reply = client.post_auth_customers_storefront(&request).await?;
//! println!("{:?}", reply.data); // the token prints as [REDACTED]
//! # Ok(())
//! # }
//! ```

// Generated code names the secret type by this crate's name, so that the same tokens compile here and in the mock crate.
extern crate self as bigcommerce_b2b_auth_api;

mod call;
#[rustfmt::skip]
mod generated;
mod one_or_many;
mod operation;
mod secret;
mod transport;

pub use call::Call;
pub use generated::{Client, calls, operations, types};
pub use operation::Operation;
pub use progenitor_client::{ByteStream, Error, ResponseValue};
pub use secret::SecretString;
pub use transport::{Delivery, DirectTransport, Transport, TransportError, TransportFuture};
