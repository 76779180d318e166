//! The seam to the network: what sends requests, for those who wrap or replace it.
//! Whatever stands here, credentials, budget, attempts and the reading of replies stay with the client.

use std::time::Duration;

use bigcommerce_b2b_auth_api::DirectTransport;
pub use bigcommerce_b2b_auth_api::{
    Delivery, Operation, Transport, TransportError, TransportFuture, operations,
};

use crate::Error;

/// The client's own transport: a connection pool that follows no redirect, repeats nothing and logs nothing.
///
/// Wrap it to add what every request should carry, or to count:
///
/// ```
/// use std::sync::Arc;
/// use bigcommerce_b2b_auth::{
///     Client, StoreAccess,
///     transport::{HttpTransport, Operation, Transport, TransportFuture},
/// };
///
/// #[derive(Debug)]
/// struct Tagged(HttpTransport);
///
/// impl Transport for Tagged {
///     fn send<'a>(&'a self, mut request: reqwest::Request, operation: &'static Operation) -> TransportFuture<'a> {
///         request.headers_mut().insert("x-tag", reqwest::header::HeaderValue::from_static("nightly"));
///         self.0.send(request, operation)
///     }
/// }
///
/// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let client = Client::builder()
///     .credentials(StoreAccess::new("abc123", "an access token")?)
///     .transport(Arc::new(Tagged(HttpTransport::new()?)))
///     .build()?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HttpTransport(DirectTransport);

impl HttpTransport {
    /// A new connection pool.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when TLS cannot be set up.
    pub fn new() -> Result<Self, Error> {
        Self::protected(Self::defaults()).map(Self::with_client)
    }

    /// A connection pool that is configured by you, with what the SDK's safety rests on set on top: no redirects, no retries
    /// of its own, no `Referer`, no logging of connections.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the HTTP client cannot be set up like this.
    pub fn from_builder(builder: reqwest::ClientBuilder) -> Result<Self, Error> {
        Self::protected(builder).map(Self::with_client)
    }

    pub(crate) fn with_client(http: reqwest::Client) -> Self {
        Self(DirectTransport::new(http))
    }

    /// The client's own configuration, for where it is going to.
    pub(crate) fn client(is_loopback: bool, is_https: bool) -> Result<reqwest::Client, Error> {
        if !is_loopback {
            return Self::protected(Self::defaults());
        }
        // A proxy from the environment would get what is sent in the clear because it never leaves this machine.
        let builder = Self::defaults().no_proxy();
        if is_https {
            Self::protected(builder)
        } else {
            Self::without_tls(builder)
        }
    }

    /// What builds requests where another transport sends them: no connection is ever opened.
    pub(crate) fn for_requests_alone() -> Result<reqwest::Client, Error> {
        Self::without_tls(Self::defaults())
    }

    fn defaults() -> reqwest::ClientBuilder {
        reqwest::Client::builder().connect_timeout(Duration::from_secs(10))
    }

    /// Where no TLS will be spoken, the certificates that the machine trusts need not be read, which takes milliseconds.
    fn without_tls(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
        #[cfg(any(
            feature = "rustls",
            feature = "rustls-no-provider",
            feature = "native-tls"
        ))]
        let builder = builder.tls_certs_only(Vec::<reqwest::Certificate>::new());
        Self::protected(builder)
    }

    /// The protections that hold whatever else is set. They come last: a client that is finished cannot be inspected.
    pub(crate) fn protected(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Error> {
        crypto_provider_is_installed()?;
        builder
            // A 307 would carry the access token and the password to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            // There is one place that repeats anything, and it takes the budget into account.
            .retry(reqwest::retry::never())
            .referer(false)
            .connection_verbose(false)
            .build()
            .map_err(|error| {
                Error::configuration("the HTTP client cannot be set up")
                    .with_source(Box::new(error))
            })
    }
}

/// Without a provider, reqwest panics: it sets TLS up also for a client that speaks plain http only.
fn crypto_provider_is_installed() -> Result<(), Error> {
    // The other TLS features bring what they need, and reqwest then takes that.
    #[cfg(all(
        feature = "rustls-no-provider",
        not(any(feature = "rustls", feature = "native-tls"))
    ))]
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::configuration(
            "no crypto provider is installed, which the feature \"rustls-no-provider\" leaves to the application: call \
             CryptoProvider::install_default before a client is built",
        ));
    }
    Ok(())
}

impl Transport for HttpTransport {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        self.0.send(request, operation)
    }
}
