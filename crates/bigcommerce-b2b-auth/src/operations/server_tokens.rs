//! Server-to-server tokens of the legacy kind: create, delete, list. The vendor deprecated all three operations as of
//! 30 September 2025; access tokens from the control panel take their place.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::SystemTime,
};

use bigcommerce_b2b_auth_api::{calls, operations, types};
use futures_util::{Stream, TryStreamExt, stream};

use crate::{
    CallOptions, ChannelId, Client, CreatedServerToken, Error, LegacyAuthToken, NamesStore, Reply,
    ReplyMeta, Secret, ServerToken, ServerTokenId,
    error::Malformed,
    operations::input::{Life, filled, filled_secret},
    token::bearer::{self, Unsendable},
};

/// The most tokens that the service puts on a page.
const LARGEST_PAGE: u32 = 250;

impl<C: NamesStore> Client<C> {
    /// Creates a server-to-server token with the login of a backend user, by `POST /auth/backend`.
    ///
    /// Only users with the role Administrator or Store Owner can. Each success leaves a new token behind, so an attempt
    /// that may have happened is never repeated: see [`Error::may_have_been_applied`].
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// # use bigcommerce_b2b_auth::{Client, StoreHash};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder().credentials(StoreHash::new(demo::STORE_HASH)?).base_url(sandbox.base_url()).build()?;
    /// let created = client
    ///     .create_server_token()
    ///     .email(demo::ADMINISTRATOR_EMAIL)
    ///     .password(demo::ADMINISTRATOR_PASSWORD)
    ///     .name("nightly export")
    ///     .send()
    ///     .await?;
    /// # drop(created);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call; [`Hint::BadLogin`](crate::Hint::BadLogin) and
    /// [`Hint::RoleForbidden`](crate::Hint::RoleForbidden) tell the two documented refusals apart.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30: create an access token in the control panel instead"
    )]
    pub fn create_server_token(&self) -> CreateServerToken<'_, C> {
        self.begin_create()
    }
}

impl Client<LegacyAuthToken> {
    /// Deletes a server-to-server token, by `DELETE /auth/backend`.
    ///
    /// When an attempt may have deleted the token, and the service answers the retry with "No matching token was found.", the
    /// call succeeds, with a [status](crate::ReplyMeta::status) of 404. Any other 404, such as a proxy's, is an error whose
    /// [`may_have_been_applied`](Error::may_have_been_applied) is `true`.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) when there is
    /// no such token.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30, together with the tokens that it deletes"
    )]
    pub fn delete_server_token(&self, id: ServerTokenId) -> DeleteServerToken<'_> {
        self.begin_delete(id)
    }

    /// Gets one page of the store's server-to-server tokens, by `GET /backend/tokens`. **The list holds whole tokens.**
    ///
    /// [`all_server_tokens`](Self::all_server_tokens) goes through the pages by itself.
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call.
    #[deprecated(
        note = "deprecated by the vendor as of 2025-09-30, together with the tokens that it lists"
    )]
    pub fn list_server_tokens(&self) -> ListServerTokens<'_> {
        self.begin_list()
    }

    /// Goes through all of the store's server-to-server tokens, page by page as they are read.
    ///
    /// The service pages by offset: a token that is created or deleted meanwhile can make another one appear twice or not
    /// at all. To delete while listing, collect first.
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// # use bigcommerce_b2b_auth::{Client, LegacyAuthToken};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let token = LegacyAuthToken::new(sandbox.auth_token(demo::STORE_HASH).unwrap())?;
    /// # let client = Client::builder().credentials(token).base_url(sandbox.base_url()).build()?;
    /// use futures_util::TryStreamExt;
    ///
    /// let tokens: Vec<_> = client.all_server_tokens().page_size(100).stream().try_collect().await?;
    /// # drop(tokens);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The stream ends with the first error, of any [`ErrorKind`](crate::ErrorKind) of a call.
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
    async fn send_create(
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
        let life = Life::new(begin_at, end_at)?;
        let body = types::PostAuthBackendRequest {
            begin_at: life.begin_at,
            channel_id: channel.map(ChannelId::get),
            email: filled("e-mail address", email)?,
            end_at: life.end_at,
            name: filled("name", name)?,
            password: filled_secret("password", &password)?.to_body(),
            store_hash: self.store_hash().as_str().to_owned(),
        };
        let call = calls::PostAuthBackend { body };
        let read = |reply, _: &ReplyMeta| {
            // In full, so that a field that the document gains stops the build here.
            let types::PostAuthBackendResponse200 {
                code: _,
                data,
                meta: _,
            } = reply;
            created(data)
        };
        self.perform(&call, options, read).await
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
    async fn send_delete(
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
        let body = types::DeleteAuthBackendRequest {
            email,
            id: id.get(),
            name,
        };
        let call = calls::DeleteAuthBackend { body };
        self.perform(&call, options, |_, _| Ok(())).await
    }

    #[builder(
        start_fn(name = begin_list, vis = ""),
        finish_fn(name = send, vis = "pub"),
        builder_type(vis = "pub", name = ListServerTokens, doc {
            /// A call that lists server tokens; [`Client::list_server_tokens`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    async fn send_list(
        &self,
        /// Tokens on a page, 1 to 250. The service's own default, 10, if unset.
        limit: Option<u32>,
        /// Tokens to skip. None if unset.
        offset: Option<u32>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<ServerTokenPage>, Error> {
        self.page(limit, offset, options).await
    }

    #[builder(
        start_fn(name = begin_walk, vis = ""),
        finish_fn(name = stream, vis = "pub"),
        builder_type(vis = "pub", name = AllServerTokens, doc {
            /// A walk through all server tokens; [`Client::all_server_tokens`] starts it, `stream()` gives the stream.
        }),
        state_mod(vis = "pub(crate)")
    )]
    fn walk(
        &self,
        /// Tokens for each request, 1 to 250. 250 if unset, since each request is one of the store's budget.
        #[builder(default = LARGEST_PAGE)]
        page_size: u32,
        /// How the request for each page differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> ServerTokenStream {
        // A clone is cheap and lets the stream outlive this handle.
        let client = self.clone();
        let pages = stream::try_unfold(Some(Position::default()), move |position| {
            let client = client.clone();
            let options = options.clone();
            async move {
                let Some(position) = position else {
                    return Ok(None);
                };
                let page = client
                    .page(Some(page_size), Some(position.offset), options)
                    .await?;
                let next = position.after(&page)?;
                let tokens = page.into_value().tokens;
                Ok::<_, Error>(Some((stream::iter(tokens.into_iter().map(Ok)), next)))
            }
        });
        ServerTokenStream(Box::pin(pages.try_flatten()))
    }

    async fn page(
        &self,
        limit: Option<u32>,
        offset: Option<u32>,
        options: Option<CallOptions>,
    ) -> Result<Reply<ServerTokenPage>, Error> {
        if limit.is_some_and(|limit| !(1..=LARGEST_PAGE).contains(&limit)) {
            return Err(Error::invalid_input("a page holds 1 to 250 tokens"));
        }
        let call = calls::GetBackendTokens {
            limit: limit.map(i64::from),
            offset: offset.map(i64::from),
        };
        let read = |reply, _: &ReplyMeta| {
            // In full, so that a field that the document gains stops the build here.
            let types::GetBackendTokensResponse200 {
                code: _,
                data,
                meta,
            } = reply;
            let tokens = data
                .into_iter()
                .map(server_token)
                .collect::<Result<_, _>>()?;
            let pagination = meta.and_then(|meta| meta.pagination);
            let told = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
            Ok(ServerTokenPage {
                tokens,
                total: told(pagination.as_ref().and_then(|told| told.total_count)),
                limit: told(pagination.as_ref().and_then(|told| told.limit)),
                offset: offset.unwrap_or_default(),
            })
        };
        self.perform(&call, options, read).await
    }
}

#[cfg(feature = "blocking")]
impl<C: NamesStore, S: create_server_token::IsComplete> CreateServerToken<'_, C, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<CreatedServerToken>, Error> {
        crate::blocking::run(self.send())?
    }
}

#[cfg(feature = "blocking")]
impl<S: delete_server_token::IsComplete> DeleteServerToken<'_, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<()>, Error> {
        crate::blocking::run(self.send())?
    }
}

#[cfg(feature = "blocking")]
impl<S: list_server_tokens::IsComplete> ListServerTokens<'_, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<ServerTokenPage>, Error> {
        crate::blocking::run(self.send())?
    }
}

#[cfg(feature = "blocking")]
impl<S: all_server_tokens::IsComplete> AllServerTokens<'_, S> {
    /// Goes through the tokens by an iterator that blocks while it gets a page; see [`blocking`](crate::blocking).
    ///
    /// ```
    /// # #![allow(deprecated)]
    /// # use bigcommerce_b2b_auth::{Client, LegacyAuthToken};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let runtime = tokio::runtime::Runtime::new()?;
    /// # let sandbox = runtime.block_on(Sandbox::builder().start())?;
    /// # let token = LegacyAuthToken::new(sandbox.auth_token(demo::STORE_HASH).unwrap())?;
    /// # let client = Client::builder().credentials(token).base_url(sandbox.base_url()).build()?;
    /// for token in client.all_server_tokens().page_size(100).iter_blocking() {
    ///     println!("{:?}", token?.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The iterator ends with the first error: as from `stream()`, and
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn iter_blocking(self) -> crate::blocking::ServerTokenIter {
        crate::blocking::ServerTokenIter::new(self.stream())
    }
}

/// The document says a list; a client once met the bare object.
pub(crate) fn created(
    data: types::PostAuthBackendResponse200Data,
) -> Result<CreatedServerToken, Malformed> {
    let first = match data {
        types::PostAuthBackendResponse200Data::One(token) => Some(token),
        types::PostAuthBackendResponse200Data::Many(tokens) => tokens.into_iter().next(),
    };
    let Some(types::PostAuthBackendResponse200DataItem { name, token }) = first else {
        return Err(Malformed::new("its list of tokens is empty"));
    };
    if token.is_empty() {
        return Err(Malformed::new("the token is empty"));
    }
    if bearer::is_too_long(token.expose_secret()) {
        return Err(Malformed::new(Unsendable::TooLong.to_string()));
    }
    Ok(CreatedServerToken {
        name,
        token: Secret::from_body(token),
    })
}

fn server_token(
    item: types::GetBackendTokensResponse200DataItem,
) -> Result<ServerToken, Malformed> {
    // In full, so that a field that the document gains stops the build here.
    let types::GetBackendTokensResponse200DataItem {
        email,
        event_channel,
        id,
        name,
        store_hash,
        token,
    } = item;
    let id = ServerTokenId::new(id)
        .map_err(|_| Malformed::new("a server token in the list has an id below 1"))?;
    if token
        .as_ref()
        .is_some_and(|token| bearer::is_too_long(token.expose_secret()))
    {
        return Err(Malformed::new(format!(
            "the server token {id} in the list is longer than 16 KiB: delete it by its id, or list the other pages"
        )));
    }
    Ok(ServerToken {
        id,
        name,
        email,
        store_hash,
        token: token.map(Secret::from_body),
        event_channel: event_channel.map(Into::into),
    })
}

/// All server-to-server tokens of a store, page by page as they are read; made by
/// [`Client::all_server_tokens`]. It ends with the first error.
pub struct ServerTokenStream(Pin<Box<dyn Stream<Item = Result<ServerToken, Error>> + Send>>);

impl Stream for ServerTokenStream {
    type Item = Result<ServerToken, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

impl fmt::Debug for ServerTokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTokenStream").finish_non_exhaustive()
    }
}

/// One page of server-to-server tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerTokenPage {
    /// The tokens on this page.
    pub tokens: Vec<ServerToken>,
    /// How many there are on all pages, if the service says so.
    pub total: Option<u64>,
    /// How many the service says it puts on a page.
    limit: Option<u64>,
    /// How many were skipped.
    offset: u32,
}

impl ServerTokenPage {
    /// The offset of the page after this one; `None` when this is the last.
    #[must_use]
    pub fn next_offset(&self) -> Option<u32> {
        let held = u32::try_from(self.tokens.len()).ok()?;
        let next = self.offset.checked_add(held)?;
        let more = match self.total {
            Some(total) => u64::from(next) < total,
            // A page that is not full by the service's own measure is the last one; without one, an empty page is.
            None => self.limit.is_none_or(|limit| u64::from(held) >= limit),
        };
        (held > 0 && more).then_some(next)
    }
}

/// Where a walk through the pages stands.
#[derive(Debug, Default)]
struct Position {
    offset: u32,
    first_of_last_page: Option<ServerTokenId>,
}

impl Position {
    /// A service that ignored the offset would give the first page for ever.
    fn after(self, page: &Reply<ServerTokenPage>) -> Result<Option<Self>, Error> {
        let first = page.tokens.first().map(|token| token.id);
        if first.is_some() && first == self.first_of_last_page {
            return Err(Error::of_call(
                operations::GET_BACKEND_TOKENS.name,
                crate::ErrorKind::UnexpectedReply,
                "the service gave the same page twice",
            )
            .with_meta(page.meta().clone()));
        }
        Ok(page.next_offset().map(|offset| Self {
            offset,
            first_of_last_page: first,
        }))
    }
}
