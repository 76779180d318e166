//! The calls for server-to-server tokens, mirrored, and the iterator over all of them.
#![expect(
    deprecated,
    reason = "they pass on to the async calls, which are deprecated as they are"
)]

use std::{fmt, iter::FusedIterator, time::SystemTime};

use bigcommerce_b2b_auth_api::operations;
use futures_util::StreamExt as _;

use super::{Client, thread::RuntimeThread};
use crate::{
    CallOptions, ChannelId, CreatedServerToken, Error, LegacyAuthToken, NamesStore, Reply, Secret,
    ServerToken, ServerTokenId, ServerTokenPage, ServerTokenStream,
};

impl<C: NamesStore> Client<C> {
    /// Creates a server-to-server token with the login of a backend user, as
    /// [`crate::Client::create_server_token`] does.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30: create an access token in the control panel instead"
    )]
    pub fn create_server_token(&self) -> CreateServerToken<'_, C> {
        self.begin_create()
    }
}

impl Client<LegacyAuthToken> {
    /// Deletes a server-to-server token, as [`crate::Client::delete_server_token`] does.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30, together with the tokens that it deletes"
    )]
    pub fn delete_server_token(&self, id: ServerTokenId) -> DeleteServerToken<'_> {
        self.begin_delete(id)
    }

    /// Gets one page of the store's server-to-server tokens, as [`crate::Client::list_server_tokens`] does. **The list
    /// holds whole tokens.**
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call, and what the [module](crate::blocking) says.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30, together with the tokens that it lists"
    )]
    pub fn list_server_tokens(&self) -> ListServerTokens<'_> {
        self.begin_list()
    }

    /// Goes through all of the store's server-to-server tokens, as [`crate::Client::all_server_tokens`] does: a page is
    /// fetched when the iterator comes to it.
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// # use bigcommerce_b2b_auth::{Client, LegacyAuthToken, blocking};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let sandbox = runtime.block_on(Sandbox::builder().start())?;
    /// # let token = LegacyAuthToken::new(sandbox.auth_token(demo::STORE_HASH).unwrap())?;
    /// # let client = Client::builder().credentials(token).base_url(sandbox.base_url()).build()?;
    /// # let client = blocking::Client::new(client)?;
    /// for token in client.all_server_tokens().page_size(100).iter() {
    ///     println!("{:?}", token?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The iterator ends with the first error, of any [`ErrorKind`](crate::ErrorKind) of a call or what the
    /// [module](crate::blocking) says.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30, together with the tokens that it lists"
    )]
    pub fn all_server_tokens(&self) -> AllServerTokens<'_> {
        self.begin_walk()
    }
}

// The deprecated methods above start these: the macro would lose the attribute.
#[bon::bon]
impl<C: NamesStore> Client<C> {
    #[builder(
        start_fn(name = begin_create, vis = ""),
        finish_fn(name = send, vis = "pub"),
        builder_type(vis = "pub", name = CreateServerToken, doc {
            /// A call that creates a server token; [`Client::create_server_token`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    fn send_create(
        &self,
        /// The backend user's e-mail address.
        #[builder(into)]
        email: String,
        /// The backend user's password.
        #[builder(into)]
        password: Secret,
        /// A name for the token, by which the control panel shows it.
        #[builder(into)]
        name: String,
        /// The channel that the token is for; the client's default channel is not used here.
        channel: Option<ChannelId>,
        /// From when on the token is valid, in whole seconds.
        begin_at: Option<SystemTime>,
        /// Until when the token is valid, in whole seconds.
        end_at: Option<SystemTime>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<CreatedServerToken>, Error> {
        let client = self.calls.clone();
        let call = async move {
            client
                .create_server_token()
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
        self.thread.run(&operations::POST_AUTH_BACKEND, call)
    }
}

#[bon::bon]
impl Client<LegacyAuthToken> {
    #[builder(
        start_fn(name = begin_delete, vis = ""),
        finish_fn(name = send, vis = "pub"),
        builder_type(vis = "pub", name = DeleteServerToken, doc {
            /// A call that deletes a server token; [`Client::delete_server_token`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    fn send_delete(
        &self,
        #[builder(start_fn)] id: ServerTokenId,
        /// The e-mail address that the token belongs to, as a further condition.
        #[builder(into)]
        email: Option<String>,
        /// The token's name, as a further condition.
        #[builder(into)]
        name: Option<String>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<()>, Error> {
        let client = self.calls.clone();
        let call = async move {
            client
                .delete_server_token(id)
                .maybe_email(email)
                .maybe_name(name)
                .maybe_options(options)
                .send()
                .await
        };
        self.thread.run(&operations::DELETE_AUTH_BACKEND, call)
    }

    #[builder(
        start_fn(name = begin_list, vis = ""),
        finish_fn(name = send, vis = "pub"),
        builder_type(vis = "pub", name = ListServerTokens, doc {
            /// A call that lists server tokens; [`Client::list_server_tokens`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    fn send_list(
        &self,
        /// Tokens on a page, 1 to 250. The service's own default, 10, if unset.
        limit: Option<u32>,
        /// Tokens to skip. None if unset.
        offset: Option<u32>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<ServerTokenPage>, Error> {
        let client = self.calls.clone();
        let call = async move {
            client
                .list_server_tokens()
                .maybe_limit(limit)
                .maybe_offset(offset)
                .maybe_options(options)
                .send()
                .await
        };
        self.thread.run(&operations::GET_BACKEND_TOKENS, call)
    }

    #[builder(
        start_fn(name = begin_walk, vis = ""),
        finish_fn(name = iter, vis = "pub"),
        builder_type(vis = "pub", name = AllServerTokens, doc {
            /// A walk through all server tokens; [`Client::all_server_tokens`] starts it, `iter()` gives the iterator.
        }),
        state_mod(vis = "pub(crate)")
    )]
    fn walk(
        &self,
        /// Tokens for each request, 1 to 250. 250 if unset, since each request is one of the store's budget.
        page_size: Option<u32>,
        /// How the request for each page differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> ServerTokenIter {
        let pages = self
            .calls
            .all_server_tokens()
            .maybe_page_size(page_size)
            .maybe_options(options)
            .stream();
        ServerTokenIter {
            thread: self.thread.clone(),
            pages: Some(pages),
        }
    }
}

/// All server-to-server tokens of a store; made by [`Client::all_server_tokens`]. It ends with the first error.
pub struct ServerTokenIter {
    thread: RuntimeThread,
    /// `None` when it has ended.
    pages: Option<ServerTokenStream>,
}

impl Iterator for ServerTokenIter {
    type Item = Result<ServerToken, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut pages = self.pages.take()?;
        let step = async move {
            let token = pages.next().await;
            (token, pages)
        };
        let (token, pages) = match self.thread.wait_for(&operations::GET_BACKEND_TOKENS, step) {
            Ok(step) => step,
            Err(error) => return Some(Err(error)),
        };
        if let Some(Ok(_)) = token {
            self.pages = Some(pages);
        }
        token
    }
}

impl FusedIterator for ServerTokenIter {}

impl fmt::Debug for ServerTokenIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTokenIter").finish_non_exhaustive()
    }
}
