//! The operations of the API. Most have a builder, which a method of [`Client`](crate::Client) starts; any of them can be sent
//! by [`Client::send`](crate::Client::send).
//!
//! The types that implement [`Call`] are generated from the vendor's document, one for each operation, with the body and
//! parameters as fields. [`types`] has their parts and what they return. They follow the document: a new version of it can change
//! them in a minor version of the SDK.

mod call;
pub(crate) mod exchange;
pub(crate) mod input;
pub(crate) mod login;
pub(crate) mod mint;
pub(crate) mod server_tokens;

pub use bigcommerce_b2b_auth_api::{Call, calls::*, types};
