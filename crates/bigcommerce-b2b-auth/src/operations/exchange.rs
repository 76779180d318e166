//! Exchanging the session JWT of a signed-in shopper for a storefront token.

use bigcommerce_b2b_auth_api::{calls, types};

use crate::{
    CallOptions, ChannelId, Client, Error, NamesStore, Reply, ReplyMeta, Secret, StorefrontToken,
    operations::input::filled_secret,
    token::{claims::Holder, storefront_token},
};

#[bon::bon]
impl<C: NamesStore> Client<C> {
    /// Exchanges a session JWT, which the Current Customer API hands to a signed-in shopper for 15 minutes, for a
    /// storefront token, by `GET /auth/storefront`.
    ///
    /// The service takes the JWT in the URL; no error or log of this SDK shows that URL. The client's default channel is
    /// **not** sent: in a store with one storefront a channel here has unpredictable results. An access token is not sent
    /// either, since the call does not need it.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{Client, StoreHash};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let session_jwt = sandbox.session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID).unwrap();
    /// # let client = Client::builder().credentials(StoreHash::new(demo::STORE_HASH)?).base_url(sandbox.base_url()).build()?;
    /// let token = client.exchange_session_jwt(session_jwt).send().await?;
    /// # drop(token);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call;
    /// [`Hint::BadSessionJwt`](crate::Hint::BadSessionJwt) when the JWT is not accepted.
    /// [`TokenMismatch`](crate::ErrorKind::TokenMismatch) when the token names another store;
    /// [`UnexpectedReply`](crate::ErrorKind::UnexpectedReply) when it had expired when it came.
    #[builder(
        finish_fn = send,
        builder_type(name = ExchangeSessionJwt, doc {
            /// A call that exchanges a session JWT; [`Client::exchange_session_jwt`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub async fn exchange_session_jwt(
        &self,
        #[builder(start_fn, into)] session_jwt: Secret,
        /// The channel of the session, in a store with several storefronts. Leave it out in a store with one.
        channel: Option<ChannelId>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let call = calls::GetAuthStorefront {
            channel_id: channel.map(ChannelId::get),
            jwt_token: filled_secret("session JWT", &session_jwt)?.to_body(),
        };
        let read = |reply, meta: &ReplyMeta| {
            // In full, so that a field that the document gains stops the build here.
            let types::GetAuthStorefrontResponse200 {
                code: _,
                data,
                meta: _,
            } = reply;
            let types::GetAuthStorefrontResponse200Data { token } = data;
            // The request names no customer.
            let holder = Holder {
                customer: None,
                store_hash: Some(self.store_hash().as_str()),
            };
            StorefrontToken::received(storefront_token::first(token)?, None, holder, meta)
        };
        self.perform(&call, options, read).await
    }
}

#[cfg(feature = "blocking")]
impl<C: NamesStore, S: exchange_session_jwt::IsComplete> ExchangeSessionJwt<'_, C, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<StorefrontToken>, Error> {
        crate::blocking::run(self.send())?
    }
}
