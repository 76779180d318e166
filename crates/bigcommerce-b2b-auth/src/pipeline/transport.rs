//! The seam to the network: what sends requests, for those who wrap or replace it.
//! Whatever stands here, credentials, budget, attempts and the reading of replies stay with the client.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use bigcommerce_b2b_auth_api::{
    Delivery, Operation, Transport, TransportError, TransportFuture, operations,
};
use http::{
    HeaderMap, HeaderValue,
    header::{CONNECTION, Entry},
};

use crate::Error;

/// Makes the builder of an HTTP client, the same each time: a `ClientBuilder` cannot be cloned.
#[derive(Clone)]
pub(crate) struct HttpSettings(Arc<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>);

impl HttpSettings {
    pub(crate) fn new(make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// The SDK's own settings, for where the requests go.
    pub(crate) fn for_address(is_loopback: bool, is_https: bool) -> Self {
        Self::new(move || {
            let builder = HttpTransport::defaults();
            match (is_loopback, is_https) {
                (false, _) => builder,
                // A proxy from the environment would get what is sent in the clear because it never leaves this machine.
                (true, true) => builder.no_proxy(),
                (true, false) => without_tls(builder.no_proxy()),
            }
        })
    }

    pub(crate) fn client(&self) -> Result<reqwest::Client, Error> {
        HttpTransport::protected((self.0)())
    }

    /// A client that opens a connection for each request, and closes it afterwards.
    fn client_without_pool(&self) -> Result<reqwest::Client, Error> {
        HttpTransport::protected((self.0)().pool_max_idle_per_host(0))
    }
}

impl fmt::Debug for HttpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings").finish_non_exhaustive()
    }
}

/// The client's own transport: a connection pool that follows no redirect, repeats nothing and logs nothing.
///
/// A request with the header [`Connection: close`](Transport#another-connection) is sent over a new connection, which is
/// closed afterwards. The pool may still hold the connection whose response was of no use. Over HTTP/1.1 the next request from
/// the pool therefore closes the connection that it takes, which is the one that was used last. With calls one after the
/// other, a broken connection gets one more request at most. HTTP/2 has no such header: there a connection to a broken server
/// stays in the pool until it ends, and each call that takes it needs a retry.
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
pub struct HttpTransport(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    pool: reqwest::Client,
    settings: HttpSettings,
    /// Opens a connection for each request. It is built when it is first needed, since that takes milliseconds. `None` if
    /// that fails.
    without_pool: OnceLock<Option<reqwest::Client>>,
    /// Whether the pool may hold a connection that was of no use.
    is_pool_suspect: AtomicBool,
    /// The connections of blocking calls, built when they are first needed. A connection of one runtime stalls a call on another
    /// one while the first does not run. `None` if that fails.
    #[cfg(feature = "blocking")]
    of_blocking_calls: OnceLock<Option<Box<Connections>>>,
}

impl HttpTransport {
    /// A new connection pool.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when TLS cannot be set up.
    pub fn new() -> Result<Self, Error> {
        Self::from_builder(Self::defaults)
    }

    /// A connection pool with your settings, and with what the SDK's safety rests on set on top: no redirects, no retries of
    /// its own, no `Referer`, no logging of connections.
    ///
    /// `make` is called twice at most, since there are two HTTP clients: one with a pool, and one that opens a connection for
    /// each retry. Blocking calls (feature `blocking`) have two more. It has to return the same settings each time.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::transport::HttpTransport;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let proxy = reqwest::Proxy::https("http://proxy.example.com:3128")?;
    /// let transport = HttpTransport::from_builder(move || reqwest::Client::builder().proxy(proxy.clone()))?;
    /// # drop(transport);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the HTTP client cannot be set up like this.
    pub fn from_builder(
        make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::with_settings(HttpSettings::new(make))
    }

    pub(crate) fn with_settings(settings: HttpSettings) -> Result<Self, Error> {
        Ok(Self(Arc::new(Connections::new(settings)?)))
    }

    /// The HTTP client with the pool.
    pub(crate) fn pool(&self) -> &reqwest::Client {
        &self.0.pool
    }

    pub(crate) async fn execute(
        &self,
        mut request: reqwest::Request,
    ) -> reqwest::Result<reqwest::Response> {
        let http = self.0.of_this_runtime().choose(request.headers_mut());
        http.execute(request).await
    }

    /// A response from the pool was of no use: the next request from the pool closes the connection that it takes.
    #[cfg(feature = "tokens")]
    pub(crate) fn suspect_pool(&self) {
        let connections = self.0.of_this_runtime();
        connections.is_pool_suspect.store(true, Ordering::Relaxed);
    }

    /// What builds requests where another transport sends them: no connection is ever opened.
    pub(crate) fn for_requests_alone() -> Result<reqwest::Client, Error> {
        Self::protected(without_tls(Self::defaults()))
    }

    fn defaults() -> reqwest::ClientBuilder {
        reqwest::Client::builder().connect_timeout(Duration::from_secs(10))
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

/// Where no TLS will be spoken, the certificates that the machine trusts need not be read, which takes milliseconds.
fn without_tls(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    #[cfg(any(
        feature = "rustls",
        feature = "rustls-no-provider",
        feature = "native-tls"
    ))]
    let builder = builder.tls_certs_only(Vec::<reqwest::Certificate>::new());
    builder
}

/// Asks for another connection: see [`Transport`].
pub(crate) fn ask_for_another_connection(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}

fn asks_for_another_connection(headers: &HeaderMap) -> bool {
    headers
        .get(CONNECTION)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

impl Connections {
    fn new(settings: HttpSettings) -> Result<Self, Error> {
        Ok(Self {
            pool: settings.client()?,
            settings,
            without_pool: OnceLock::new(),
            is_pool_suspect: AtomicBool::new(false),
            #[cfg(feature = "blocking")]
            of_blocking_calls: OnceLock::new(),
        })
    }

    /// The connections for the runtime that this code runs on: blocking calls have their own.
    fn of_this_runtime(&self) -> &Self {
        #[cfg(feature = "blocking")]
        if crate::blocking::is_runtime_current() {
            let build = || Self::new(self.settings.clone()).ok().map(Box::new);
            let own = self.of_blocking_calls.get_or_init(build);
            return own.as_deref().unwrap_or(self);
        }
        self
    }

    /// The HTTP client for this request.
    fn choose(&self, headers: &mut HeaderMap) -> &reqwest::Client {
        if asks_for_another_connection(headers) {
            self.is_pool_suspect.store(true, Ordering::Relaxed);
            let build = || self.settings.client_without_pool().ok();
            let without_pool = self.without_pool.get_or_init(build).as_ref();
            // With the header, the pool at least gets rid of the connection that it takes.
            return without_pool.unwrap_or(&self.pool);
        }
        if self.is_pool_suspect.swap(false, Ordering::Relaxed)
            && let Entry::Vacant(connection) = headers.entry(CONNECTION)
        {
            connection.insert(HeaderValue::from_static("close"));
        }
        &self.pool
    }
}

impl Transport for HttpTransport {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async move { Ok(self.execute(request).await?) })
    }
}
