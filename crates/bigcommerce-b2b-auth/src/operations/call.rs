//! Sending any operation of the document, also one without a builder.

use bigcommerce_b2b_auth_api::Call;

use crate::{CallOptions, Client, Credentials, Error, Reply};

impl<C: Credentials> Client<C> {
    /// Sends one call of any operation, also of one that has no builder yet: with this client's credentials, rate limit, retries,
    /// deadline, spans, redaction and errors.
    ///
    /// The values to send are generated from the vendor's document, one type for each operation: see
    /// [`operations`](crate::operations). An operation with a builder is better called by that: the builder checks arguments and
    /// returns the SDK's types.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{Client, StoreAccess};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
    /// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
    /// # let customer_id = i64::try_from(demo::CUSTOMER_ID)?;
    /// use bigcommerce_b2b_auth::operations::{PostAuthCustomersStorefront, types};
    ///
    /// let call = PostAuthCustomersStorefront {
    ///     body: types::PostAuthCustomersStorefrontRequest {
    ///         customer_id,
    ///         channel_id: None,
    ///         customer_access_token: None,
    ///     },
    /// };
    /// let response = client.send(&call).await?;
    /// println!("{:?} after {} attempts", response.data, response.meta().attempts); // the token prints as [REDACTED]
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call.
    /// [`CredentialsUnavailable`](crate::ErrorKind::CredentialsUnavailable), before anything is sent, if the client does not have
    /// the credentials of the operation: unlike those of a builder, they are checked when the call is sent.
    pub async fn send<K: Call>(&self, call: &K) -> Result<Reply<K::Response>, Error> {
        self.perform(call, None, |response, _| Ok(response)).await
    }

    /// The same as [`send`](Self::send), with options for this call.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_with<K: Call>(
        &self,
        call: &K,
        options: CallOptions,
    ) -> Result<Reply<K::Response>, Error> {
        self.perform(call, Some(options), |response, _| Ok(response))
            .await
    }
}

#[cfg(feature = "blocking")]
impl<C: Credentials> Client<C> {
    /// The blocking form of [`send`](Self::send); see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking<K: Call>(&self, call: &K) -> Result<Reply<K::Response>, Error> {
        crate::blocking::run(self.send(call))?
    }

    /// The blocking form of [`send_with`](Self::send_with); see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As [`send_blocking`](Self::send_blocking).
    pub fn send_with_blocking<K: Call>(
        &self,
        call: &K,
        options: CallOptions,
    ) -> Result<Reply<K::Response>, Error> {
        crate::blocking::run(self.send_with(call, options))?
    }
}
