//! A request for a managed token: whose token, and how long the caller waits.

use std::time::Duration;

use crate::{ChannelId, CustomerAccessToken, CustomerId, Secret};

/// Whose token is wanted. A [`CustomerId`] alone is one as well.
///
/// ```
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::{ChannelId, CustomerId, TokenRequest};
///
/// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let request = TokenRequest::new(CustomerId::new(42)?)
///     .channel(ChannelId::new(2)?)
///     .wait_at_most(Duration::from_secs(3));
/// # drop(request);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TokenRequest {
    pub(super) customer: CustomerId,
    pub(super) channel: Option<ChannelId>,
    pub(super) customer_access_token: Option<CustomerAccessToken>,
    pub(super) wait_at_most: Option<Duration>,
    /// Zero if the request states none.
    pub(super) valid_for_at_least: Duration,
}

impl TokenRequest {
    /// A token of this customer.
    #[inline]
    #[must_use]
    pub fn new(customer: CustomerId) -> Self {
        Self {
            customer,
            channel: None,
            customer_access_token: None,
            wait_at_most: None,
            valid_for_at_least: Duration::ZERO,
        }
    }

    /// For this channel. The client's default channel if unset; the service's own if that is unset too.
    #[must_use]
    pub fn channel(mut self, channel: ChannelId) -> Self {
        self.channel = Some(channel);
        self
    }

    /// With this customer access token of the same customer, to be associated with the storefront token. Each such token has
    /// an entry of its own in the cache, which knows it by a keyed fingerprint.
    #[must_use]
    pub fn customer_access_token(mut self, token: CustomerAccessToken) -> Self {
        self.customer_access_token = Some(token);
        self
    }

    /// The customer.
    pub(crate) fn customer(&self) -> CustomerId {
        self.customer
    }

    /// The customer access token, which nothing that is shown may repeat.
    pub(crate) fn access_token(&self) -> Option<&Secret> {
        let token = self.customer_access_token.as_ref();
        token.map(CustomerAccessToken::value)
    }

    /// How long this caller waits for it. The fetch that others may wait for as well goes on without it.
    #[must_use]
    pub fn wait_at_most(mut self, patience: Duration) -> Self {
        self.wait_at_most = Some(patience);
        self
    }

    /// How long the token has to be valid from now on, for a job that takes that long. Any valid token will do if unset.
    ///
    /// A cached token with less left is refreshed first: the caller waits for the new one, and there is no fallback to the
    /// old one. The SDK stops to serve a token 30 seconds before it expires; the minimum counts up to that moment.
    /// [`get_cached`](crate::StorefrontTokens::get_cached) gives `None` for a token with less left.
    ///
    /// A new token is documented to be valid for 24 hours. A minimum above 23 h 55 min fails with
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), before anything is sent. If the service grants less than
    /// the minimum, the request fails with [`ErrorKind::TokenTooShort`](crate::ErrorKind::TokenTooShort), and no further
    /// token is minted for it within a minute.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// use std::time::{Duration, SystemTime};
    /// use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens, TokenRequest};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// let tokens = StorefrontTokens::builder().client(client).build();
    /// let export = Duration::from_secs(3 * 60 * 60);
    /// let request = TokenRequest::new(CustomerId::new(demo::CUSTOMER_ID)?).valid_for_at_least(export);
    /// let token = tokens.get(request).await?;
    /// assert!(token.remaining(SystemTime::now()) >= export);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn valid_for_at_least(mut self, least: Duration) -> Self {
        self.valid_for_at_least = least;
        self
    }
}

impl From<CustomerId> for TokenRequest {
    #[inline]
    fn from(customer: CustomerId) -> Self {
        Self::new(customer)
    }
}
