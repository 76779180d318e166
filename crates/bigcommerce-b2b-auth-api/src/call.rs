//! One call of an operation as a value. A loop around it can send it again, with the retry policy of its own operation.
//! The values themselves ([`crate::calls`]) are generated beside the client.

use std::{fmt, future::Future};

use progenitor_client::{Error, ResponseValue};

use crate::{Client, Operation, SecretString};

/// One call of an operation: what it sends, and how one attempt is sent by the generated client.
///
/// [`calls`](crate::calls) has one type for each operation. A value is sent as often as its caller likes: an attempt only
/// borrows it.
///
/// ```
/// # use bigcommerce_b2b_auth_api::{Call, Client, Error, ResponseValue, calls};
/// async fn send_twice<C: Call>(call: &C, client: &Client) -> Result<ResponseValue<C::Response>, Error<()>> {
///     match call.send(client).await {
///         Err(_) if C::OPERATION.is_repeatable => call.send(client).await,
///         result => result,
///     }
/// }
/// # let _ = send_twice::<calls::GetBackendTokens>;
/// ```
pub trait Call: fmt::Debug + Send + Sync {
    /// The operation that is called.
    const OPERATION: &'static Operation;

    /// What a success returns.
    type Response: Send;

    /// Sends one attempt through `api`.
    ///
    /// # Errors
    /// The error of the generated method. It can hold secrets: see the
    /// [crate documentation](crate#what-this-crate-does-not-guard).
    fn send(
        &self,
        api: &Client,
    ) -> impl Future<Output = Result<ResponseValue<Self::Response>, Error<()>>> + Send;

    /// Visits every secret that the request holds, such as the password or the session JWT, so that the caller can remove
    /// them from messages.
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString));
}
