//! A call with a token that heals itself: what is refused is thrown away, renewed once, and the call made again. The layer and
//! the client for the storefront APIs are built on this one function.

use std::{error::Error as StdError, fmt};

use super::rejection;
use crate::{Error, ErrorKind, ManagedToken, StorefrontTokens, TokenRequest};

/// What a data API answered to a call with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer<T> {
    /// It had nothing against the token. Also where it refused the call: a 403 has understood whose token it is.
    Accepted(T),
    /// It refused the token, with a 401 or GraphQL's way of saying so. The call is made again with another one.
    Refused(T),
    /// It refused the token, and the call cannot be made again: its body is gone, or a part of it was done.
    RefusedForGood(T),
}

impl<T> Answer<T> {
    /// What an HTTP status says of the token: 401 refuses it, and nothing else does.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::Answer;
    ///
    /// assert_eq!(Answer::by_status(401, "reply"), Answer::Refused("reply"));
    /// assert_eq!(Answer::by_status(403, "reply"), Answer::Accepted("reply"));
    /// ```
    #[must_use]
    pub fn by_status(status: u16, reply: T) -> Self {
        rejection::of_status(status).with(reply)
    }

    /// What the JSON body of a GraphQL reply says of the token. It refuses it by an error with `extensions.code` 40101, or with
    /// the message "JWT verification failed" and no extensions, under a status of 200. Where data came along, a part was done,
    /// and the call is not made again. The codes 401 and 403 ("Invalid User Access") say that this customer may not do that:
    /// they do not refuse the token.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::Answer;
    ///
    /// let body = r#"{"data": null, "errors": [{"message": "expired", "extensions": {"code": 40101}}]}"#;
    /// assert_eq!(Answer::by_graphql(body.as_bytes(), "reply"), Answer::Refused("reply"));
    /// ```
    #[must_use]
    pub fn by_graphql(body: &[u8], reply: T) -> Self {
        rejection::of_graphql(body).with(reply)
    }
}

impl Answer<()> {
    /// The same, of this response.
    pub(crate) fn with<T>(self, response: T) -> Answer<T> {
        match self {
            Self::Accepted(()) => Answer::Accepted(response),
            Self::Refused(()) => Answer::Refused(response),
            Self::RefusedForGood(()) => Answer::RefusedForGood(response),
        }
    }
}

/// How a call came by its reply: in the extensions of each that a [`TokenLayer`](crate::TokenLayer) or
/// [`StorefrontApi::send`](crate::StorefrontApi::send) hands over for a call with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenUse {
    /// How often the call was sent: 2 when its token was refused and replaced, and more often where attempts were repeated.
    pub sent: u32,
    /// Whether the reply refuses the token that it was sent with at last.
    pub is_refused: bool,
}

/// Why a call with a token did not come to a reply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallError<E> {
    /// There was no token to send, or no place to send it to. The call itself was not sent; a mint for its token may have been.
    Token(Error),
    /// The token was refused, and another one could not be had.
    Renewal(Error),
    /// The call itself failed.
    Send(E),
}

impl<E> CallError<E> {
    /// What was wrong with the token, unless it was the call that failed.
    #[must_use]
    pub fn token_error(&self) -> Option<&Error> {
        match self {
            Self::Token(error) | Self::Renewal(error) => Some(error),
            Self::Send(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The mint of a token may have been sent, and says so itself.
            Self::Token(error) => write!(f, "no token for the call: {error}"),
            Self::Renewal(error) => write!(
                f,
                "the token was refused, and another one could not be had: {error}"
            ),
            Self::Send(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for CallError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Token(error) | Self::Renewal(error) => Some(error),
            Self::Send(error) => error.source(),
        }
    }
}

/// The error of the SDK's own kind. A renewal that failed is [`ErrorKind::TokenRejected`], with its own error as the source.
impl From<CallError<Error>> for Error {
    fn from(error: CallError<Error>) -> Self {
        match error {
            CallError::Token(error) | CallError::Send(error) => error,
            CallError::Renewal(error) => Error::of_data_api(
                ErrorKind::TokenRejected,
                "the storefront API refused the token, and another one could not be had",
            )
            .retryable(error.is_retryable())
            .with_retry_after(error.retry_after())
            .with_source(Box::new(error)),
        }
    }
}

impl StorefrontTokens {
    /// Calls a data API with a token, and heals a refusal: the token is [invalidated](Self::invalidate), another one is
    /// fetched, once for all whose calls were refused, and the call is made again. It is made twice at most; what the second
    /// one brings is returned, whatever it is.
    ///
    /// `send` is handed a token and says what the API answered: see [`Answer`]. For `http` and `reqwest` there are
    /// [`TokenLayer`](crate::TokenLayer) and [`StorefrontApi`](crate::StorefrontApi), which judge by themselves. An API that
    /// signals an expired token by something else than a 401 is judged by a [`ResponseJudge`](crate::ResponseJudge).
    ///
    /// A customer who is refused again with a token that took the place of a refused one within the last minute keeps that: the
    /// token is hardly to blame, and his other calls may well do with it.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// use bigcommerce_b2b_auth::{Answer, Client, CustomerId, StoreAccess, StorefrontTokens};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// # async fn post(_: http::HeaderValue) -> Result<(u16, &'static str), std::io::Error> {
    /// #     static CALLS: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    /// #     let is_first = CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
    /// #     Ok(if is_first { (401, "no") } else { (200, "an order") })
    /// # }
    /// let tokens = StorefrontTokens::builder().client(client).build();
    /// let order = tokens
    ///     .call(CustomerId::new(demo::CUSTOMER_ID)?, |token| {
    ///         let header = token.authorization().clone();
    ///         async move {
    ///             let (status, body) = post(header).await?; // by the HTTP client of your choice: 401 at first
    ///             Ok::<_, std::io::Error>(Answer::by_status(status, body))
    ///         }
    ///     })
    ///     .await?;
    /// assert_eq!(order, "an order");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`CallError::Token`] as from [`get`](Self::get), [`CallError::Renewal`] when the refused token cannot be replaced, and
    /// [`CallError::Send`] with what `send` failed with.
    pub async fn call<T, E, F>(
        &self,
        request: impl Into<TokenRequest>,
        mut send: impl FnMut(ManagedToken) -> F,
    ) -> Result<T, CallError<E>>
    where
        F: Future<Output = Result<Answer<T>, E>>,
    {
        let healed = self.heal(request.into(), (), Some(()), |(), token| send(token));
        healed.await.map(|(reply, _)| reply)
    }

    /// The same for what is used up by being sent: `first` is sent, and `again` when its token was refused, if there is one.
    /// How that went is told with the reply.
    pub(crate) async fn heal<Q, T, E, F>(
        &self,
        wish: TokenRequest,
        first: Q,
        again: Option<Q>,
        mut send: impl FnMut(Q, ManagedToken) -> F,
    ) -> Result<(T, TokenUse), CallError<E>>
    where
        F: Future<Output = Result<Answer<T>, E>>,
    {
        let sent_as = |sent, is_refused| TokenUse { sent, is_refused };
        let token = self.get(wish.clone()).await.map_err(CallError::Token)?;
        let answer = send(first, token.clone()).await.map_err(CallError::Send)?;
        let (reply, again) = match answer {
            Answer::Accepted(reply) => return Ok((reply, sent_as(1, false))),
            Answer::Refused(reply) => (reply, again),
            Answer::RefusedForGood(reply) => (reply, None),
        };
        let is_invalidated = self.refused(&token);
        let Some(again) = again.filter(|_| is_invalidated) else {
            return Ok((reply, sent_as(1, true)));
        };
        // What was refused may hold a connection, which the next call can do with.
        drop(reply);
        let token = self.get(wish).await.map_err(CallError::Renewal)?;
        match send(again, token.clone()).await.map_err(CallError::Send)? {
            Answer::Accepted(reply) => Ok((reply, sent_as(2, false))),
            Answer::Refused(reply) | Answer::RefusedForGood(reply) => {
                self.refused(&token);
                Ok((reply, sent_as(2, true)))
            }
        }
    }
}
