//! What a token is asked for by.

use std::time::Duration;

use crate::{ChannelId, CustomerAccessToken, CustomerId};

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

    /// How long this caller waits for it. The fetch that others may wait for as well goes on without it.
    #[must_use]
    pub fn wait_at_most(mut self, patience: Duration) -> Self {
        self.wait_at_most = Some(patience);
        self
    }
}

impl From<CustomerId> for TokenRequest {
    #[inline]
    fn from(customer: CustomerId) -> Self {
        Self::new(customer)
    }
}
