//! The same as a `tower` layer: a service that sends requests by `http`, with a token on each that says whose it is to carry.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    buffered_body::{Look, PeekedBody, is_readable},
    judge::{self, Judgement, ResponseJudge},
    origins::AllowedOrigins,
    rejection,
    replay::{Answer, CallError},
    sending::{self, Attempted, DataCall, Server},
};
use crate::{ErrorKind, ManagedToken, ReplyMeta, Secret, StorefrontTokens, TokenRequest};

/// A [`tower`](https://docs.rs/tower) layer that puts a storefront token on requests and heals refusals.
///
/// A request says whose token it is to carry by a [`TokenRequest`] among its extensions. It gets an `Authorization` header in
/// place of any that it has. One without, such as that of a guest, passes as it is.
///
/// ```
/// # use std::convert::Infallible;
/// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
/// use bigcommerce_b2b_auth::{
///     AllowedOrigins, Client, CustomerId, StoreAccess, StorefrontTokens, TokenLayer, TokenRequest,
/// };
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sandbox = Sandbox::builder().start().await?;
/// # let client = Client::builder()
/// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
/// #     .base_url(sandbox.base_url())
/// #     .build()?;
/// # let http_client = service_fn(|request: Request<String>| async move {
/// #     assert!(request.headers()["authorization"].is_sensitive());
/// #     Ok::<_, Infallible>(Response::new(String::from("{}")))
/// # });
/// let tokens = StorefrontTokens::builder().client(client).build();
/// let origins = AllowedOrigins::of_tokens(&tokens); // where the client is: production, or a sandbox
/// let service = ServiceBuilder::new()
///     .layer(TokenLayer::new(tokens, origins))
///     .service(http_client); // whatever sends `http` requests
///
/// let url = "https://api-b2b.bigcommerce.com/graphql";
/// # let url = format!("http://{}/graphql", sandbox.address());
/// let request = Request::post(url)
///     .extension(TokenRequest::new(CustomerId::new(demo::CUSTOMER_ID)?))
///     .body(String::from(r#"{"query": "{ __typename }"}"#))?;
/// let reply = service.oneshot(request).await?;
/// # assert_eq!(reply.status(), 200);
/// # Ok(())
/// # }
/// ```
///
/// # What it sees to
/// - **Refusals.** A 401, and to a path that ends in `/graphql` GraphQL's own way of saying it: the token is replaced, and the
///   request sent again. As for [`StorefrontTokens::call`], which it is built on, that is twice at most. JSON up to 64 KiB is
///   looked at for it; put the layer above what unpacks replies. For what signals an expired token in another way there is
///   [`judge_responses_by`](Self::judge_responses_by).
/// - **Bodies.** A body is sent twice only if it can be: by default it has to be [`Clone`]. For one that is not there are
///   [`repeat_by`](Self::repeat_by) and [`never_repeating`](Self::never_repeating). A request that cannot be repeated is sent
///   once; when its token is refused, that is replaced for the next one.
/// - **Places.** A token goes to the [`AllowedOrigins`] alone. A request for another place that asks for one ends with
///   [`CallError::Token`] and is not sent.
/// - **Observability.** Spans and [observer](crate::telemetry::Observer) events of the tokens' client tell of each call with a
///   token. Nothing is retried but for a rejected token: put a layer of `tower` below for that.
/// - **Telling.** Each reply to a call with a token has a [`TokenUse`](crate::TokenUse) among its extensions.
/// - **Redirects** are not followed. Put the layer *below* whatever follows them: each hop then comes by here and is looked at.
#[derive(Clone)]
pub struct TokenLayer<R = RepeatClone> {
    tokens: StorefrontTokens,
    origins: AllowedOrigins,
    judge: Option<ResponseJudge>,
    repeat: R,
}

impl TokenLayer {
    /// A layer for requests whose bodies can be cloned.
    #[must_use]
    pub fn new(tokens: StorefrontTokens, origins: AllowedOrigins) -> Self {
        Self {
            tokens,
            origins,
            judge: None,
            repeat: RepeatClone,
        }
    }
}

impl<R> TokenLayer<R> {
    /// The same for bodies that this makes another one of, or says by `None` that it cannot.
    #[must_use]
    pub fn repeat_by<F>(self, repeat: F) -> TokenLayer<RepeatBy<F>> {
        self.with(RepeatBy(repeat))
    }

    /// The same for bodies that are never sent twice.
    #[must_use]
    pub fn never_repeating(self) -> TokenLayer<RepeatNever> {
        self.with(RepeatNever)
    }

    /// Asks this function of each response whether the token was rejected, for an API or a gateway that says so by something
    /// else than a 401.
    #[must_use]
    pub fn judge_responses_by(self, judge: ResponseJudge) -> Self {
        Self {
            judge: Some(judge),
            ..self
        }
    }

    fn with<S>(self, repeat: S) -> TokenLayer<S> {
        TokenLayer {
            tokens: self.tokens,
            origins: self.origins,
            judge: self.judge,
            repeat,
        }
    }
}

impl<R> fmt::Debug for TokenLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLayer")
            .field("tokens", &self.tokens)
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}

impl<S, R: Clone> Layer<S> for TokenLayer<R> {
    type Service = TokenService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenService {
            inner,
            layer: self.clone(),
        }
    }
}

/// How a body is sent twice.
pub trait RepeatBody<B> {
    /// Another one of the same content, to be sent later. `None` when there can be none.
    fn repeat(&self, body: &B) -> Option<B>;
}

/// A body is sent twice by its clone.
#[derive(Debug, Clone, Copy)]
pub struct RepeatClone;

/// A body is never sent twice.
#[derive(Debug, Clone, Copy)]
pub struct RepeatNever;

/// A body is sent twice by what a function makes of it.
#[derive(Clone, Copy)]
pub struct RepeatBy<F>(pub(super) F);

impl<F> fmt::Debug for RepeatBy<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepeatBy")
    }
}

impl<B: Clone> RepeatBody<B> for RepeatClone {
    fn repeat(&self, body: &B) -> Option<B> {
        Some(body.clone())
    }
}

impl<B> RepeatBody<B> for RepeatNever {
    fn repeat(&self, _: &B) -> Option<B> {
        None
    }
}

impl<B, F: Fn(&B) -> Option<B>> RepeatBody<B> for RepeatBy<F> {
    fn repeat(&self, body: &B) -> Option<B> {
        (self.0)(body)
    }
}

/// The service that a [`TokenLayer`] makes.
#[derive(Clone)]
pub struct TokenService<S, R = RepeatClone> {
    inner: S,
    layer: TokenLayer<R>,
}

impl<S: fmt::Debug, R> fmt::Debug for TokenService<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenService")
            .field("inner", &self.inner)
            .field("layer", &self.layer)
            .finish()
    }
}

impl<S, R, B, D> Service<Request<B>> for TokenService<S, R>
where
    S: Service<Request<B>, Response = Response<D>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    R: RepeatBody<B> + Clone + Send + 'static,
    B: Send + 'static,
    D: Body + Send + 'static,
    D::Data: Send,
    D::Error: Send,
{
    type Response = Response<PeekedBody<D>>;
    type Error = CallError<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context).map_err(CallError::Send)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was made ready goes along, and a clone stays to be made ready for the next request.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let layer = self.layer.clone();
        Box::pin(layer.send(inner, request))
    }
}

impl<R> TokenLayer<R> {
    async fn send<S, B, D>(
        self,
        mut inner: S,
        mut request: Request<B>,
    ) -> Result<Response<PeekedBody<D>>, CallError<S::Error>>
    where
        S: Service<Request<B>, Response = Response<D>> + Clone,
        R: RepeatBody<B>,
        D: Body,
    {
        let Some(wish) = request.extensions_mut().remove::<TokenRequest>() else {
            let sent = inner.call(request).await.map_err(CallError::Send)?;
            return Ok(sent.map(PeekedBody::unread));
        };
        let url = self
            .origins
            .check_uri(request.uri())
            .map_err(CallError::Token)?;
        let is_graphql = is_graphql(request.uri().path());
        let operation = if is_graphql {
            &sending::GRAPHQL
        } else {
            sending::rest(request.method())
        };
        let client = self.tokens.client();
        let call = &DataCall::new(client, operation, wish.customer());
        let server = Server::of(&url, operation);
        let access_token = wish.access_token().cloned();
        let (parts, body) = request.into_parts();
        let again = self.repeat.repeat(&body).map(|body| {
            let request = Request::from_parts(parts.clone(), body);
            (inner.clone(), request)
        });
        let first = (inner, Request::from_parts(parts, body));
        let rule = self.judge.as_ref();
        let (server, access_token) = (&server, &access_token);
        let send = |(mut inner, mut request): (S, Request<B>), token: ManagedToken| async move {
            let authorization = token.authorization().clone();
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, authorization);
            // The first is ready as it is, and stays so; the one that was kept for later is made ready.
            poll_fn(|context| inner.poll_ready(context)).await?;
            let attempt = |number| async move {
                let requested_at = client.clock().now();
                let reply = match inner.call(request).await {
                    Ok(reply) => reply,
                    Err(error) => return Attempted::broken(error),
                };
                let status = reply.status().as_u16();
                let secrets: Vec<_> = access_token
                    .iter()
                    .cloned()
                    .chain([Secret::from(token.expose_secret())])
                    .collect();
                let meta = ReplyMeta::read(status, reply.headers(), number, requested_at, &secrets);
                Attempted::answered(judge(reply, is_graphql, rule).await, None, None, meta)
            };
            call.attempt(server, attempt).await.answer
        };
        let healed = call
            .within_span(self.tokens.heal(wish, first, again, send))
            .await;
        call.ended(match &healed {
            Ok((_, token_use)) if token_use.is_refused => Some(ErrorKind::TokenRejected),
            Ok((reply, _)) => sending::kind_of(reply.status().as_u16()).map(|(kind, _)| kind),
            Err(error) => Some(
                error
                    .token_error()
                    .map_or(ErrorKind::Interrupted, crate::Error::kind),
            ),
        });
        let (mut reply, token_use) = healed?;
        reply.extensions_mut().insert(token_use);
        Ok(reply)
    }
}

/// What the reply says of the token that was sent.
async fn judge<D: Body>(
    reply: Response<D>,
    is_graphql: bool,
    rule: Option<&ResponseJudge>,
) -> Answer<Response<PeekedBody<D>>> {
    let status = reply.status();
    let is_graphql = is_graphql && status.is_success() && is_readable(&reply);
    let mut reply = reply.map(PeekedBody::unread);
    let by_head = judge::of_head(rule, status, reply.headers());
    let is_looked_at = match by_head {
        Judgement::NeedsBody => true,
        Judgement::TokenAccepted => false,
        Judgement::NoOpinion | Judgement::TokenRejected => is_graphql,
    };
    let look = if is_looked_at {
        reply.body_mut().look().await
    } else {
        None
    };
    let body = look.as_ref().map(Look::bytes);
    let opinion = judge::of_body(rule, by_head, status, reply.headers(), body);
    let graphql = look.as_ref().and_then(Look::whole).filter(|_| is_graphql);
    rejection::of_response(opinion, status.as_u16(), graphql).with(reply)
}

/// Whether what is under this path answers in GraphQL.
fn is_graphql(path: &str) -> bool {
    path.trim_end_matches('/').ends_with("/graphql")
}
