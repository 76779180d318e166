//! Typed mocks of the BigCommerce B2B Edition Authentication API, for the tests of code that uses the SDK.
//! Made from the same document as the client, on [`httpmock`]; [`MockServerExt`] adds a method for each operation.
//!
//! Each method takes a closure over *when* and *then*. *When* has a method for the body and for each parameter, *then*
//! one for the success that the document knows. Everything else, an error status or a body that no document promises,
//! goes through `into_inner()`, which gives the plain [`httpmock::When`] or [`httpmock::Then`] back.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use bigcommerce_b2b_auth_api::{Client, DirectTransport, SecretString, types};
//! use bigcommerce_b2b_auth_httpmock::MockServerExt as _;
//! use httpmock::MockServer;
//!
//! let server = MockServer::start_async().await;
//! let minted = server.post_auth_customers_storefront(|when, then| {
//!     when.body(&types::PostAuthCustomersStorefrontRequest {
//!         customer_id: 42,
//!         channel_id: None,
//!         customer_access_token: None,
//!     });
//!     then.ok(&types::PostAuthCustomersStorefrontResponse200 {
//!         code: None,
//!         data: types::PostAuthCustomersStorefrontResponse200Data {
//!             token: types::TokenOneOrMany::Many(vec![SecretString::from("header.claims.signature")]),
//!         },
//!         meta: None,
//!     });
//! });
//!
//! let http = reqwest::Client::new();
//! let transport = DirectTransport::new(http.clone())
//!     .credential("X-Auth-Token", "made-up")
//!     .credential("X-Store-Hash", "made-up");
//! let client = Client::new_with_client(&server.url("/api/io"), http, Arc::new(transport));
//! let request = types::PostAuthCustomersStorefrontRequest {
//!     customer_id: 42,
//!     channel_id: None,
//!     customer_access_token: None,
//! };
//! client.post_auth_customers_storefront(&request).await?;
//! minted.assert();
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//! - Paths are matched whole, `/api/io` included. The SDK is given [`httpmock::MockServer::base_url`] and adds that itself;
//!   the low-level client is given it with the rest, as above.
//! - Mocks share the document's view of the service. Where the service is known to answer otherwise (a token as a string
//!   or a list, an error under HTTP 200), write the body out with `into_inner()`, or use the sandbox crate.
//! - A mock holds and compares secrets in plain text, and what `httpmock` prints of a mismatch shows them: use made-up ones.

#[rustfmt::skip]
mod generated;

pub use generated::{MockServerExt, operations};
