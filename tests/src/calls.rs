//! Each of the six operations as a call that can be made and told apart, for tests that go through all of them.

use bigcommerce_b2b_auth::{
    CallOptions, ChannelId, Client, CustomerId, Error, LegacyAuthToken, ReplyMeta, ServerTokenId,
};
use bigcommerce_b2b_auth_sandbox::{Operation, Sandbox, demo};

/// A client of the demo store with everything that its six operations need.
#[derive(Debug)]
pub struct Caller {
    client: Client,
    legacy: Client<LegacyAuthToken>,
    session_jwt: String,
    server_token: i64,
}

impl Caller {
    /// All operations, in the order in which they are tried. A new one does not compile until it is listed.
    pub const OPERATIONS: [Operation; Operation::ALL.len()] = [
        Operation::Mint,
        Operation::Login,
        Operation::Exchange,
        Operation::CreateServerToken,
        Operation::ListServerTokens,
        Operation::DeleteServerToken,
    ];

    /// Takes what it needs besides from the sandbox.
    ///
    /// # Panics
    /// When the sandbox has no demo store.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test without its fixture ends with a panic"
    )]
    pub fn new(client: Client, sandbox: &Sandbox) -> Self {
        let auth_token = sandbox
            .auth_token(demo::STORE_HASH)
            .expect("the demo store has a server token");
        let tokens = sandbox.server_tokens(demo::STORE_HASH);
        let newest = tokens.last().map_or(1, |token| token.id());
        Self {
            legacy: client.with_legacy_auth_token(
                LegacyAuthToken::new(auth_token).expect("the sandbox gives usable tokens"),
            ),
            session_jwt: sandbox
                .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
                .expect("the demo store has its customer"),
            server_token: i64::try_from(newest).unwrap_or(1),
            client,
        }
    }

    /// Makes the call. What it gives is its HTTP status and its number of attempts.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn call(
        &self,
        operation: Operation,
        options: CallOptions,
    ) -> Result<(u16, u32), Error> {
        let meta = self.meta(operation, options).await?;
        Ok((meta.status, meta.attempts))
    }

    /// Makes the call. What it gives is what the reply said besides its value.
    ///
    /// # Errors
    /// Those of the call.
    pub async fn meta(
        &self,
        operation: Operation,
        options: CallOptions,
    ) -> Result<ReplyMeta, Error> {
        Ok(match operation {
            Operation::Mint => {
                let customer = CustomerId::new(demo::CUSTOMER_ID)?;
                let mint = self.client.mint_storefront_token(customer).options(options);
                mint.send().await?.into_parts().1
            }
            Operation::Login => {
                let login = self.client.log_in_storefront_user();
                login
                    .email(demo::CUSTOMER_EMAIL)
                    .password(demo::CUSTOMER_PASSWORD)
                    .name("test")
                    .channel(ChannelId::DEFAULT)
                    .options(options)
                    .send()
                    .await?
                    .into_parts()
                    .1
            }
            Operation::Exchange => {
                let exchange = self.client.exchange_session_jwt(&*self.session_jwt);
                exchange.options(options).send().await?.into_parts().1
            }
            _ => self.call_deprecated(operation, options).await?,
        })
    }

    #[allow(
        deprecated,
        reason = "what the vendor deprecated is there all the same"
    )]
    async fn call_deprecated(
        &self,
        operation: Operation,
        options: CallOptions,
    ) -> Result<ReplyMeta, Error> {
        Ok(match operation {
            Operation::CreateServerToken => {
                let create = self.client.create_server_token();
                create
                    .email(demo::ADMINISTRATOR_EMAIL)
                    .password(demo::ADMINISTRATOR_PASSWORD)
                    .name("test")
                    .options(options)
                    .send()
                    .await?
                    .into_parts()
                    .1
            }
            Operation::DeleteServerToken => {
                let delete = self
                    .legacy
                    .delete_server_token(ServerTokenId::new(self.server_token)?);
                delete.options(options).send().await?.into_parts().1
            }
            _ => {
                let list = self.legacy.list_server_tokens();
                list.options(options).send().await?.into_parts().1
            }
        })
    }
}
