//! The seam between generated code and the network: every request of the generated client leaves through a
//! [`Transport`], so credentials, retries, bounds and classification have one place to live.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use progenitor_client::{ClientHooks, ClientInfo, OperationInfo};
use reqwest::{
    Request, Response,
    header::{HeaderName, HeaderValue},
};

use crate::{Client, Error, Operation, SecretString, operations};

/// What [`Transport::send`] returns: the response, or why there is none.
pub type TransportFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Sends one request of the generated client and brings the response back.
///
/// Implement it to add what this crate leaves out, or to replace the network. A transport may wrap another one.
/// Whoever implements it answers for what goes out: credentials, redirects, time-outs, and that no secret is logged.
///
/// # Another connection
/// A request with the header `Connection: close` asks for a connection of its own. The SDK sets it after a response that may be
/// the fault of the connection, or of the server behind it: a 5xx, a response that broke off, timed out or was malformed. A
/// transport that keeps connections sends such a request over a new one. A transport that only passes the header on still gets
/// rid of a broken HTTP/1.1 connection, since the server and `hyper` close it after the request. HTTP/2 forbids the header:
/// `hyper`, and with it `reqwest`, leaves it out there.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Sends `request`, which belongs to `operation`. Do not log it: the URL of the exchange call holds the session JWT, and
    /// the `Debug` of a request shows its URL.
    ///
    /// # Errors
    /// A [`TransportError`] when there is no response. A response with an error status is not an error here.
    fn send<'a>(&'a self, request: Request, operation: &'static Operation) -> TransportFuture<'a>;
}

impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn send<'a>(&'a self, request: Request, operation: &'static Operation) -> TransportFuture<'a> {
        (**self).send(request, operation)
    }
}

/// Why a transport has no response.
///
/// It travels through the generated client as the source of a `reqwest::Error`: [`TransportError::from_client_error`] gets it back
/// out. Clones share one cause.
#[derive(Clone)]
pub struct TransportError(Arc<Inner>);

struct Inner {
    delivery: Delivery,
    timed_out: bool,
    source: Source,
}

/// A `reqwest` error that is classified here goes back out as one; what an implementation classified keeps its verdict.
enum Source {
    Reqwest(reqwest::Error),
    Other(Box<dyn StdError + Send + Sync>),
}

/// What is known of a request that got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// It surely did not reach the service: it may be repeated whatever it does.
    NotSent,
    /// It may have reached the service and may have taken effect.
    Unknown,
}

impl TransportError {
    /// An error of a transport that is not `reqwest`'s.
    pub fn new(delivery: Delivery, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(delivery, false, source)
    }

    /// A time-out, marked as such.
    pub fn timed_out(
        delivery: Delivery,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::of(delivery, true, source)
    }

    fn of(
        delivery: Delivery,
        timed_out: bool,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self(Arc::new(Inner {
            delivery,
            timed_out,
            source: Source::Other(source.into()),
        }))
    }

    /// Whether the request may have reached the service.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Whether time ran out, rather than the connection failing.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.timed_out
    }

    fn cause(&self) -> &(dyn StdError + 'static) {
        match &self.0.source {
            Source::Reqwest(error) => error,
            Source::Other(error) => &**error,
        }
    }

    /// The cause itself, by value.
    #[must_use]
    pub fn into_source(self) -> Box<dyn StdError + Send + Sync> {
        match Arc::try_unwrap(self.0).map(|inner| inner.source) {
            Ok(Source::Reqwest(error)) => Box::new(error),
            Ok(Source::Other(error)) => error,
            // A clone needs the cause as well.
            Err(shared) => Box::new(Self(shared)),
        }
    }

    /// Takes the transport's error out of what a generated method returned.
    ///
    /// # Errors
    /// The client's error as it was when it is of another kind.
    #[expect(
        clippy::result_large_err,
        reason = "what comes back is the generated client's own error, as large as it is"
    )]
    pub fn from_client_error<E>(error: Error<E>) -> Result<Self, Error<E>> {
        match error {
            Error::CommunicationError(error) | Error::ResponseBodyError(error) => {
                Ok(Self::carried_by(&error).unwrap_or_else(|| error.into()))
            }
            other => Err(other),
        }
    }
}

impl From<reqwest::Error> for TransportError {
    /// Keeps the error without its URL: the URL of the exchange call holds the session JWT.
    fn from(error: reqwest::Error) -> Self {
        Self(Arc::new(Inner {
            delivery: if error.is_connect() || error.is_builder() {
                Delivery::NotSent
            } else {
                Delivery::Unknown
            },
            timed_out: error.is_timeout(),
            source: Source::Reqwest(error.without_url()),
        }))
    }
}

impl fmt::Debug for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportError")
            .field("delivery", &self.delivery())
            .field("timed_out", &self.is_timeout())
            .field("source", self.cause())
            .finish()
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_timeout() {
            "time ran out"
        } else {
            "no response came"
        };
        let delivery = match self.delivery() {
            Delivery::NotSent => "the request was not sent",
            Delivery::Unknown => "the request may have reached the service",
        };
        write!(f, "{what}; {delivery}")
    }
}

impl StdError for TransportError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause())
    }
}

impl TransportError {
    /// This error on its way through generated code, which can only return a `reqwest::Error`. Such an error cannot be made from
    /// another one, but reading a body that fails gives one, whose source is what the body failed with.
    async fn into_reqwest(self) -> reqwest::Result<Response> {
        let body = reqwest::Body::wrap(FailingBody(Some(self)));
        let read = Response::from(http::Response::new(body)).bytes().await;
        read.map(|bytes| http::Response::new(bytes).into())
            .map_err(reqwest::Error::without_url)
    }

    /// What an error of `reqwest` carries, if it does.
    fn carried_by(error: &reqwest::Error) -> Option<Self> {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(carried) = error.downcast_ref::<Self>() {
                return Some(carried.clone());
            }
            cause = error.source();
        }
        None
    }
}

/// A body that fails when it is read.
struct FailingBody(Option<TransportError>);

impl http_body::Body for FailingBody {
    type Data = bytes::Bytes;
    type Error = TransportError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        Poll::Ready(self.0.take().map(Err))
    }
}

impl ClientHooks<Arc<dyn Transport>> for Client {
    async fn exec(&self, request: Request, info: &OperationInfo) -> reqwest::Result<Response> {
        let known = operations::ALL
            .iter()
            .find(|operation| operation.rust_name == info.operation_id);
        let result = match known {
            Some(operation) => self.inner().send(request, operation).await,
            // Client and table come from one document in one run, so a generated file was edited.
            None => Err(TransportError::new(
                Delivery::NotSent,
                format!(
                    "{} is not in the table of operations: run `cargo xtask generate`",
                    info.operation_id
                ),
            )),
        };
        match result.map_err(|error| Arc::try_unwrap(error.0)) {
            Ok(response) => Ok(response),
            Err(Ok(Inner {
                source: Source::Reqwest(error),
                ..
            })) => Err(error),
            Err(Ok(inner)) => TransportError(Arc::new(inner)).into_reqwest().await,
            Err(Err(shared)) => TransportError(shared).into_reqwest().await,
        }
    }
}

/// The plainest transport: a `reqwest::Client` and the credentials that were given.
///
/// Of an operation's credential alternatives it sends the first whose headers it has, and nothing else. It guards
/// nothing: see the [crate documentation](crate#what-this-crate-does-not-guard).
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use bigcommerce_b2b_auth_api::{Client, DirectTransport};
///
/// // A redirect would carry the credentials to wherever it points.
/// let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
/// let transport = DirectTransport::new(http.clone())
///     .credential("X-Auth-Token", "an access token")
///     .credential("X-Store-Hash", "abc123");
/// let client = Client::new_with_client("https://b2b.example.com/api/io", http, Arc::new(transport));
/// # drop(client);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct DirectTransport {
    http: reqwest::Client,
    credentials: Vec<(&'static str, SecretString)>,
}

impl DirectTransport {
    /// Sends with `http` as it is configured, and with no credentials yet.
    #[must_use]
    pub fn new(http: reqwest::Client) -> Self {
        Self {
            http,
            credentials: Vec::new(),
        }
    }

    /// Adds the value of a credential header, named as in [`Operation::credentials`].
    #[must_use]
    pub fn credential(mut self, header: &'static str, value: impl Into<SecretString>) -> Self {
        self.credentials.push((header, value.into()));
        self
    }

    fn value(&self, header: &str) -> Option<&SecretString> {
        self.credentials
            .iter()
            .find(|(name, _)| *name == header)
            .map(|(_, value)| value)
    }
}

impl Transport for DirectTransport {
    fn send<'a>(
        &'a self,
        mut request: Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        Box::pin(async move {
            // A transport without any credentials leaves them to whoever wraps it.
            let headers = if self.credentials.is_empty() {
                &[]
            } else {
                operation
                    .choose_credentials(|header| self.value(header).is_some())
                    .ok_or_else(|| missing_credentials(operation))?
            };
            for header in headers {
                let Some(secret) = self.value(header) else {
                    continue;
                };
                let name = HeaderName::try_from(*header)
                    .map_err(|error| TransportError::new(Delivery::NotSent, error))?;
                let mut value = HeaderValue::try_from(secret.expose_secret())
                    .map_err(|error| TransportError::new(Delivery::NotSent, error))?;
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
            Ok(self.http.execute(request).await?)
        })
    }
}

fn missing_credentials(operation: &Operation) -> TransportError {
    TransportError::new(
        Delivery::NotSent,
        format!(
            "{} needs one of these sets of credential headers: {:?}",
            operation.id, operation.credentials
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with what it is told to.
    #[derive(Debug)]
    struct Failing(fn() -> TransportError);

    impl Transport for Failing {
        fn send<'a>(&'a self, _: Request, _: &'static Operation) -> TransportFuture<'a> {
            Box::pin(async { Err((self.0)()) })
        }
    }

    async fn fail_with(error: fn() -> TransportError) -> Error<()> {
        let http = reqwest::Client::new();
        let client = Client::new_with_client("http://127.0.0.1:1", http, Arc::new(Failing(error)));
        client.get_backend_tokens(None, None).await.unwrap_err()
    }

    fn reqwest_error() -> reqwest::Error {
        reqwest::Client::new().get("not a URL").build().unwrap_err()
    }

    #[tokio::test]
    async fn the_verdict_of_a_transport_survives_the_generated_client() {
        for (error, delivery) in [
            (
                (|| TransportError::new(Delivery::NotSent, "no cable")) as fn() -> TransportError,
                Delivery::NotSent,
            ),
            // Also where its cause is an error that would be classified otherwise.
            (
                || TransportError::timed_out(Delivery::Unknown, reqwest_error()),
                Delivery::Unknown,
            ),
        ] {
            let back = TransportError::from_client_error(fail_with(error).await).unwrap();
            assert_eq!(back.delivery(), delivery);
            assert_eq!(back.to_string(), error().to_string());
        }
    }

    #[tokio::test]
    async fn the_error_of_a_transport_is_the_source_of_an_error_of_reqwest() {
        let error = fail_with(|| TransportError::new(Delivery::NotSent, "no cable")).await;
        let Error::CommunicationError(error) = error else {
            panic!("{error:?}");
        };
        let carried = TransportError::carried_by(&error).unwrap();
        assert_eq!(carried.delivery(), Delivery::NotSent);
        assert_eq!(error.url(), None);
    }

    #[tokio::test]
    async fn an_error_of_reqwest_comes_out_as_what_a_client_has_for_it() {
        let error = fail_with(|| reqwest_error().into()).await;
        assert!(matches!(error, Error::CommunicationError(_)), "{error:?}");
        let back = TransportError::from_client_error(error).unwrap();
        assert_eq!(back.delivery(), Delivery::NotSent);
    }

    #[tokio::test]
    async fn a_transport_sends_the_credentials_of_one_alternative_or_nothing() {
        let http = reqwest::Client::new();
        let transport = DirectTransport::new(http.clone()).credential("X-Store-Hash", "abc123");
        let client = Client::new_with_client("http://127.0.0.1:1", http, Arc::new(transport));
        let error = client.get_backend_tokens(None, None).await.unwrap_err();
        let error = TransportError::from_client_error(error).unwrap();
        assert_eq!(error.delivery(), Delivery::NotSent);
        let cause = error.into_source().to_string();
        assert!(cause.contains("authToken"), "{cause}");
    }
}
