//! One call of an operation as a value. A loop around it can send it again, with the retry policy of its own operation.

use std::{fmt, future::Future};

use progenitor_client::{Error, ResponseValue};

use crate::{Client, Operation, SecretString};

/// One call of an operation: what it sends, and how one attempt is sent by the generated client.
///
/// A value is sent as often as its caller likes: an attempt only borrows it.
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
