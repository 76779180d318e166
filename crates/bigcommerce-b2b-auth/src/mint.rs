//! Minting a storefront token by customer id: the call that a server-side integration makes for its shoppers.

use std::{fmt::Write as _, sync::Arc, time::SystemTime};

use bigcommerce_b2b_auth_api::{operations, types};

use crate::{
    CallOptions, ChannelId, Client, CustomerId, Error, Reply, Secret, StoreAccess, StorefrontToken,
    call::Effort, input::filled_secret, token,
};

#[bon::bon]
impl Client<StoreAccess> {
    /// Mints a storefront token for a customer, by `POST /auth/customers/storefront`. It is valid for one day.
    ///
    /// Minting the same token twice does no harm.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
    /// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
    /// let token = client.mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID)?).send().await?;
    /// println!("{token:?}, {:?} requests left", token.meta().budget.remaining);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call. A wrong store hash is answered with a server error.
    #[builder(
        finish_fn = send,
        builder_type(name = MintStorefrontToken, doc {
            /// A call that mints a storefront token; [`Client::mint_storefront_token`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub async fn mint_storefront_token(
        &self,
        #[builder(start_fn)] customer: CustomerId,
        /// The channel that the token is for. The client's default channel if unset; the service's own if that is unset
        /// too.
        channel: Option<ChannelId>,
        /// A customer access token of the same customer, to be associated with the storefront token.
        customer_access_token: Option<CustomerAccessToken>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let mint = Mint {
            customer,
            channel: channel.or(self.default_channel()),
            customer_access_token,
        };
        mint.run(self, options, None).await
    }
}

/// What a storefront token is minted for.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    pub(crate) customer: CustomerId,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) customer_access_token: Option<CustomerAccessToken>,
}

impl Mint {
    /// Makes the call. `effort` is told how far it has come, for those who may want to give it up.
    pub(crate) async fn run(
        self,
        client: &Client<StoreAccess>,
        options: Option<CallOptions>,
        effort: Option<Arc<Effort>>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let Self {
            customer,
            channel,
            customer_access_token,
        } = self;
        if let Some(token) = &customer_access_token {
            filled_secret("customer access token", &token.value)?;
        }
        let secrets = customer_access_token
            .iter()
            .map(|token| token.value.clone())
            .collect();
        let body = types::PostAuthCustomersStorefrontRequest {
            customer_id: customer.get(),
            channel_id: channel.map(ChannelId::get),
            customer_access_token: customer_access_token.map(Into::into),
        };
        let call = client.followed_call(
            &operations::POST_AUTH_CUSTOMERS_STOREFRONT,
            options,
            secrets,
            effort,
        );
        call.concerns(customer);
        let result = call.api().post_auth_customers_storefront(&body).await;
        call.finish(result, |reply, meta| {
            // In full, so that a field that the document gains stops the build here.
            let types::PostAuthCustomersStorefrontResponse200 {
                code: _,
                data,
                meta: _,
            } = reply;
            let types::PostAuthCustomersStorefrontResponse200Data { token } = data;
            let token = StorefrontToken::new(token::first(token)?, None, meta.requested_at)?;
            Ok(token.served_at(meta.date))
        })
    }
}

/// A Customer Access Token (CAT) of the core storefront: opaque, and not a JWT.
#[derive(Debug, Clone)]
pub struct CustomerAccessToken {
    value: Secret,
    expires_at: Option<String>,
}

impl CustomerAccessToken {
    /// The token itself, which a cache tells whose entry is whose by.
    #[cfg(feature = "tokens")]
    pub(crate) fn value(&self) -> &Secret {
        &self.value
    }

    /// A token whose expiry is not stated.
    #[must_use]
    pub fn new(value: impl Into<Secret>) -> Self {
        Self {
            value: value.into(),
            expires_at: None,
        }
    }

    /// States the expiry as a time. It is sent in ISO 8601, in UTC and whole seconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a time before 1970 or after the year 9999.
    pub fn expires_at(mut self, time: SystemTime) -> Result<Self, Error> {
        let mut text = String::new();
        // Before 1970 there is no duration, and after 9999 the formatter refuses: neither may become a panic.
        let formatted = time.duration_since(SystemTime::UNIX_EPOCH).is_ok()
            && write!(text, "{}", humantime::format_rfc3339_seconds(time)).is_ok();
        if !formatted {
            return Err(Error::invalid_input(
                "the expiry of the customer access token is not between the years 1970 and 9999",
            ));
        }
        self.expires_at = Some(text);
        Ok(self)
    }

    /// States the expiry in the words of who issued the token, such as `2026-12-31T00:00:00Z`. They are sent as they are.
    #[must_use]
    pub fn expires_at_text(mut self, text: impl Into<String>) -> Self {
        self.expires_at = Some(text.into());
        self
    }
}

impl From<CustomerAccessToken> for types::PostAuthCustomersStorefrontRequestCustomerAccessToken {
    fn from(token: CustomerAccessToken) -> Self {
        Self {
            expires_at: token.expires_at,
            value: token.value.to_body(),
        }
    }
}
