//! Logging a storefront user in with e-mail address and password.

use std::time::SystemTime;

use bigcommerce_b2b_auth_api::{calls, types};

use crate::{
    CallOptions, ChannelId, Client, Error, NamesStore, Reply, ReplyMeta, Secret, StorefrontToken,
    operations::input::{Life, filled, filled_secret},
    token::{claims::Holder, storefront_token},
};

#[bon::bon]
impl<C: NamesStore> Client<C> {
    /// Gets a storefront token with a user's e-mail address and password, by `POST /auth/customers`.
    ///
    /// It is valid for one day, or from [`begin_at`](LogInStorefrontUser::begin_at) to
    /// [`end_at`](LogInStorefrontUser::end_at). A client with an access token sends it along, as the vendor's newest
    /// document asks; one with a store hash alone sends no credential header, as known clients do. Whether the service
    /// takes that for ever is unknown.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{ChannelId, Client, StoreHash};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder().credentials(StoreHash::new(demo::STORE_HASH)?).base_url(sandbox.base_url()).build()?;
    /// let token = client
    ///     .log_in_storefront_user()
    ///     .email(demo::CUSTOMER_EMAIL)
    ///     .password(demo::CUSTOMER_PASSWORD)
    ///     .name("checkout")
    ///     .channel(ChannelId::DEFAULT)
    ///     .send()
    ///     .await?;
    /// assert_eq!(token.name(), Some("checkout"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call; [`Hint::BadLogin`](crate::Hint::BadLogin) when the two do not
    /// belong together. [`TokenMismatch`](crate::ErrorKind::TokenMismatch) when the token names another store;
    /// [`UnexpectedReply`](crate::ErrorKind::UnexpectedReply) when it had expired when it came.
    #[builder(
        finish_fn = send,
        builder_type(name = LogInStorefrontUser, doc {
            /// A call that logs a user in; [`Client::log_in_storefront_user`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub async fn log_in_storefront_user(
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
        let life = Life::new(begin_at, end_at)?;
        let body = types::PostAuthCustomerRequest {
            begin_at: life.begin_at,
            channel_id: channel.or(self.default_channel()).map(ChannelId::get),
            email: filled("e-mail address", email)?,
            end_at: life.end_at,
            name: filled("name", name)?,
            password: filled_secret("password", &password)?.to_body(),
            store_hash: self.store_hash().as_str().to_owned(),
        };
        let call = calls::PostAuthCustomer { body };
        let read = |reply, meta: &ReplyMeta| {
            // In full, so that a field that the document gains stops the build here.
            let types::PostAuthCustomerResponse200 {
                code: _,
                data,
                meta: _,
            } = reply;
            let types::PostAuthCustomerResponse200Data { name, token } = data;
            // The request names no customer.
            let holder = Holder {
                customer: None,
                store_hash: Some(self.store_hash().as_str()),
            };
            let token =
                StorefrontToken::received(storefront_token::first(token)?, name, holder, meta)?;
            Ok(token.asked_for(begin_at, end_at))
        };
        self.perform(&call, options, read).await
    }
}

#[cfg(feature = "blocking")]
impl<C: NamesStore, S: log_in_storefront_user::IsComplete> LogInStorefrontUser<'_, C, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<StorefrontToken>, Error> {
        crate::blocking::run(self.send())?
    }
}
