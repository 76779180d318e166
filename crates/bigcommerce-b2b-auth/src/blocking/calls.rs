//! The three calls for storefront tokens, mirrored.

use std::time::SystemTime;

use bigcommerce_b2b_auth_api::operations;

use super::Client;
use crate::{
    CallOptions, ChannelId, CustomerAccessToken, CustomerId, Error, NamesStore, Reply, Secret,
    StoreAccess, StorefrontToken,
};

#[bon::bon]
impl Client<StoreAccess> {
    /// Mints a storefront token for a customer, as [`crate::Client::mint_storefront_token`] does.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[builder(
        finish_fn = send,
        builder_type(name = MintStorefrontToken, doc {
            /// A call that mints a storefront token; [`Client::mint_storefront_token`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub fn mint_storefront_token(
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
        let client = self.calls.clone();
        let call = async move {
            client
                .mint_storefront_token(customer)
                .maybe_channel(channel)
                .maybe_customer_access_token(customer_access_token)
                .maybe_options(options)
                .send()
                .await
        };
        self.thread
            .run(&operations::POST_AUTH_CUSTOMERS_STOREFRONT, call)
    }
}

#[bon::bon]
impl<C: NamesStore> Client<C> {
    /// Gets a storefront token with a user's e-mail address and password, as
    /// [`crate::Client::log_in_storefront_user`] does.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[builder(
        finish_fn = send,
        builder_type(name = LogInStorefrontUser, doc {
            /// A call that logs a user in; [`Client::log_in_storefront_user`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub fn log_in_storefront_user(
        &self,
        /// The user's e-mail address.
        #[builder(into)]
        email: String,
        /// The user's password.
        #[builder(into)]
        password: Secret,
        /// A name for the token, for your own use.
        #[builder(into)]
        name: String,
        /// The channel that the token is for. The client's default channel if unset; left out if that is unset too, which
        /// the service may refuse, since its document requires a channel here.
        channel: Option<ChannelId>,
        /// From when on the token is valid, in whole seconds. At once if unset.
        begin_at: Option<SystemTime>,
        /// Until when the token is valid, in whole seconds. A day if unset.
        end_at: Option<SystemTime>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let client = self.calls.clone();
        let call = async move {
            client
                .log_in_storefront_user()
                .email(email)
                .password(password)
                .name(name)
                .maybe_channel(channel)
                .maybe_begin_at(begin_at)
                .maybe_end_at(end_at)
                .maybe_options(options)
                .send()
                .await
        };
        self.thread.run(&operations::POST_AUTH_CUSTOMER, call)
    }

    /// Exchanges the session JWT of a signed-in shopper for a storefront token, as
    /// [`crate::Client::exchange_session_jwt`] does.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[builder(
        finish_fn = send,
        builder_type(name = ExchangeSessionJwt, doc {
            /// A call that exchanges a session JWT; [`Client::exchange_session_jwt`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub fn exchange_session_jwt(
        &self,
        #[builder(start_fn, into)] session_jwt: Secret,
        /// The channel of the session, in a store with several storefronts. Leave it out in a store with one.
        channel: Option<ChannelId>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let client = self.calls.clone();
        let call = async move {
            client
                .exchange_session_jwt(session_jwt)
                .maybe_channel(channel)
                .maybe_options(options)
                .send()
                .await
        };
        self.thread.run(&operations::GET_AUTH_STOREFRONT, call)
    }
}
