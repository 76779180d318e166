//! The storefront's GraphQL and REST APIs by `reqwest`, with managed tokens: what most applications take.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderValue, Method, header};
use reqwest::{Request, RequestBuilder, Response, ResponseBuilderExt as _};
use serde_json::{Map, Value, json};
use url::Url;

use super::{
    buffered_body::{Look, PeekedBody},
    graphql::GraphqlReply,
    judge::{self, Judgement, ResponseJudge},
    origins::AllowedOrigins,
    rejection,
    replay::Answer,
    sending::{self, Attempted, DataCall, Rules},
};
use crate::{
    Error, ErrorKind, Hint, ManagedToken, ReplyMeta, RetryPolicy, Secret, StorefrontTokens,
    TokenRequest,
    client::{HAS_TLS, user_agent},
    error::redact::Redactor,
    pipeline::{
        attempt::{Body, is_about_trust},
        base_url, error_body,
        retry::Failure,
        transport::{Delivery, HttpSettings, HttpTransport, TransportError},
    },
};

/// How long a call may take unless it says otherwise, the reading of its reply included.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest GraphQL reply that is read.
const LONGEST_REPLY: usize = 8 * 1024 * 1024;

/// A client for the storefront's data APIs: each call carries the token of its customer, and one that is refused is replaced.
///
/// ```no_run
/// use bigcommerce_b2b_auth::{Client, CustomerId, StorefrontApi, StorefrontTokens};
/// use serde_json::json;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let tokens = StorefrontTokens::builder().client(Client::from_env()?).build();
/// let api = StorefrontApi::builder().tokens(tokens).build()?;
///
/// let customer = CustomerId::new(42)?; // whoever your session says it is
/// let reply = api
///     .graphql(customer, "query Named($shown: Boolean!) { __typename @include(if: $shown) }") // or one of your own
///     .variables(json!({ "shown": true }))
///     .send()
///     .await?;
/// println!("{:?}", reply.data());
///
/// let request = api.request(reqwest::Method::GET, "/path/of/an/endpoint");
/// let reply = api.send(customer, request).await?;
/// println!("{}", reply.status());
/// # Ok(())
/// # }
/// ```
///
/// It is cheap to clone, and clones share their connections.
///
/// - **Tokens**: as for [`TokenLayer`](crate::TokenLayer), a rejected token is replaced once and the call is repeated once, a
///   body that cannot be sent twice is sent once, a token goes to named origins only, and redirects are not followed.
/// - **Retries**: requests by GET, HEAD, OPTIONS, PUT and DELETE are repeated after failures that may pass by themselves, by a
///   [`RetryPolicy`], a [retry budget](crate::RetryBudget) of their own, `Retry-After` and a deadline. GraphQL calls are if they
///   [say so](CallGraphql::may_be_repeated). All other calls are sent once.
/// - **Observability**: spans and [observer](crate::telemetry::Observer) events as for other calls.
/// - **Rate limit**: calls do not count against the rate limit of the store unless the builder says so. Whether the service
///   counts them is unknown.
#[derive(Clone)]
pub struct StorefrontApi(Arc<Shared>);

struct Shared {
    tokens: StorefrontTokens,
    http: HttpTransport,
    /// Without a slash at its end.
    base: String,
    origins: AllowedOrigins,
    graphql: String,
    timeout: Duration,
    user_agent: HeaderValue,
    longest_reply: usize,
    judge: Option<ResponseJudge>,
    rules: Rules,
    graphql_may_be_repeated: bool,
}

#[bon::bon]
impl StorefrontApi {
    /// Starts a client: give it `tokens`, and whatever else differs from the defaults.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`] for a base URL that is none or would send tokens in the clear, and for an HTTP client that
    /// cannot be set up.
    #[builder(
        start_fn(name = builder, vis = "pub"),
        finish_fn(name = build, vis = "pub"),
        builder_type(name = StorefrontApiBuilder, vis = "pub", doc {
            /// Builds a [`StorefrontApi`]; made by [`StorefrontApi::builder`].
        }),
        state_mod(name = storefront_api_builder, vis = "pub")
    )]
    fn from_parts(
        /// Where the tokens come from.
        tokens: StorefrontTokens,
        /// Where the APIs are, and where tokens go: the origin (scheme, host and port) of the client's base URL if unset,
        /// which is `https://api-b2b.bigcommerce.com` unless the client was given another one. Plain http is for loopback,
        /// and for the client's own origin.
        #[builder(into)]
        base_url: Option<String>,
        /// Where tokens may go besides.
        also_allowed: Option<AllowedOrigins>,
        /// The path of the GraphQL API: `/graphql` if unset.
        #[builder(into, default = "/graphql")]
        graphql_path: String,
        /// How long an attempt may take, the reading of its response included, unless its request says otherwise. 30 seconds
        /// by default.
        #[builder(default = DEFAULT_TIMEOUT)]
        timeout: Duration,
        /// How calls are repeated that may be. The client's policy if unset.
        retry: Option<RetryPolicy>,
        /// After this time no attempt begins that repeats another one, and none takes longer. The client's deadline if unset,
        /// which is 2 minutes by default.
        deadline: Option<Duration>,
        /// Whether GraphQL calls may be repeated that do not say so themselves. They may not by default, since a mutation
        /// would be done twice.
        #[builder(default)]
        graphql_may_be_repeated: bool,
        /// Whether each attempt takes a permit of the store's rate limit, which the calls of the Authentication API share, and
        /// waits for it. They do not by default: whether the service counts calls of the storefront's APIs is unknown.
        #[builder(default)]
        counts_against_rate_limit: bool,
        /// The longest GraphQL reply that is read, in bytes. 8 MiB by default.
        #[builder(default = LONGEST_REPLY)]
        longest_reply: usize,
        /// A function that says of a response whether the token was rejected, for an API or a gateway that says so by something
        /// else than a 401.
        judge_responses_by: Option<ResponseJudge>,
        /// What your application is called, such as `my-shop/1.0`.
        #[builder(into)]
        user_agent_suffix: Option<String>,
        /// Makes an HTTP client with your settings, as for [`Client`](crate::ClientBuilder::http). What the SDK's safety
        /// rests on is set on top of it: no redirects, no retries of its own, no `Referer`, no logging of connections. A
        /// retry after a broken response goes over a new connection here as well.
        #[builder(with = |make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static| HttpSettings::new(make))]
        http: Option<HttpSettings>,
    ) -> Result<Self, Error> {
        let base = base_url.unwrap_or_else(|| tokens.client().base().origin());
        let base = base.trim();
        let origins = AllowedOrigins::of_tokens(&tokens).instead(base)?;
        let origins = match also_allowed {
            Some(also) => origins.and_all(also),
            None => origins,
        };
        if base.contains(['?', '#']) {
            return Err(Error::configuration(
                "the base URL has a query or a fragment: leave out everything from the ? or #",
            ));
        }
        let base = base.trim_end_matches('/').to_owned();
        let url = Url::parse(&base).ok();
        let is_https = url.as_ref().is_some_and(|url| url.scheme() == "https");
        if is_https && !HAS_TLS {
            return Err(Error::configuration(
                "https needs TLS: switch on one of the features \"rustls\", \"rustls-no-provider\" and \"native-tls\"",
            ));
        }
        let http = HttpTransport::with_settings(http.unwrap_or_else(|| {
            let is_loopback = url.as_ref().is_some_and(base_url::is_loopback);
            HttpSettings::for_address(is_loopback, is_https)
        }))?;
        let client = tokens.client();
        let rules = Rules {
            retry: retry.unwrap_or_else(|| client.retry_policy().clone()),
            retry_tokens: client.store_line().retry_tokens.full(),
            deadline: deadline.unwrap_or_else(|| client.default_deadline()),
            takes_permits: counts_against_rate_limit,
        };
        Ok(Self(Arc::new(Shared {
            tokens,
            rules,
            graphql_may_be_repeated,
            http,
            graphql: format!("{base}/{}", graphql_path.trim_start_matches('/')),
            base,
            origins,
            timeout,
            user_agent: user_agent(user_agent_suffix.as_deref())?,
            longest_reply,
            judge: judge_responses_by,
        })))
    }

    /// Calls the storefront's GraphQL API with the token of a customer.
    ///
    /// # Errors
    /// What getting a token may fail with; [`ErrorKind::TokenRejected`] when the token that took the place of a refused one is
    /// refused as well, or none can be had; a kind by the status of the reply; [`ErrorKind::UnexpectedReply`] for what is no
    /// GraphQL reply. Errors that GraphQL itself reports are no error here: see [`GraphqlReply::errors`].
    #[builder(
        finish_fn = send,
        builder_type(name = CallGraphql, doc {
            /// A call of the GraphQL API; [`StorefrontApi::graphql`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub async fn graphql(
        &self,
        #[builder(start_fn, into)] customer: TokenRequest,
        #[builder(start_fn, into)] query: String,
        /// The variables of the query, a JSON object.
        variables: Option<Value>,
        /// Which of the query's operations is meant, where it has several.
        #[builder(into)]
        operation_name: Option<String>,
        /// Whether the call may be repeated after a failure that may pass by itself: for a query, which changes nothing. As
        /// the builder says if unset.
        may_be_repeated: Option<bool>,
    ) -> Result<GraphqlReply, Error> {
        let shared = &*self.0;
        let mut body = Map::from_iter([("query".to_owned(), Value::from(query))]);
        body.extend(variables.map(|variables| ("variables".to_owned(), variables)));
        body.extend(operation_name.map(|name| ("operationName".to_owned(), json!(name))));
        let request = shared
            .http
            .pool()
            .post(&shared.graphql)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Value::from(body).to_string());
        let request = self.finished(request)?;
        let again = request.try_clone();
        let client = shared.tokens.client();
        let may_be_repeated = may_be_repeated.unwrap_or(shared.graphql_may_be_repeated);
        let access_token = customer.access_token().cloned();
        let call = DataCall::new(client, &sending::GRAPHQL, customer.customer());
        let reply = call
            .within_span(async {
                let send = |request, token: ManagedToken| {
                    let secrets = shared.secrets(&token, access_token.as_ref());
                    let once = move |request, number| {
                        shared.graphql_once(request, token.clone(), secrets.clone(), number)
                    };
                    call.attempts_of(&shared.rules, may_be_repeated, request, once)
                };
                let healed = shared.tokens.heal(customer, request, again, send).await;
                let (raw, token_use) = call.outcome(healed)?;
                let reply = raw.read(may_be_repeated);
                if matches!(&reply, Err(error) if error.kind() == ErrorKind::UnexpectedReply) {
                    shared.http.suspect_pool();
                }
                reply
                    .map(|reply| reply.sent(token_use.sent))
                    .map_err(|error| call.told(error))
            })
            .await;
        call.ended(reply.as_ref().err().map(Error::kind));
        reply
    }
}

#[cfg(feature = "blocking")]
impl<S: call_graphql::IsComplete> CallGraphql<'_, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<GraphqlReply, Error> {
        crate::blocking::run(self.send())?
    }
}

impl StorefrontApi {
    /// Starts a request for [`send`](Self::send): the path is one below the base URL, or a whole
    /// URL of an origin that is allowed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let shared = &*self.0;
        // A path is none by itself, also where its query holds one.
        let url = if Url::parse(path).is_ok() {
            path.to_owned()
        } else {
            format!("{}/{}", shared.base, path.trim_start_matches('/'))
        };
        shared.http.pool().request(method, url)
    }

    /// Sends a request with the token of a customer. The reply is handed over whatever its status is, with its body unread; a 401
    /// comes out of here only after a second token was refused, or when the request's body cannot be sent twice.
    ///
    /// Its extensions hold a [`TokenUse`](crate::TokenUse), which tells how often it was sent.
    ///
    /// The request may also be one of another `reqwest::Client`: it is sent by this one.
    ///
    /// # Errors
    /// What getting a token may fail with; [`ErrorKind::TokenRejected`] when a refused token cannot be replaced;
    /// [`ErrorKind::InvalidInput`] for a request that cannot be built, or goes to a place that was not named;
    /// [`ErrorKind::Connect`], [`ErrorKind::Timeout`] and [`ErrorKind::Interrupted`].
    pub async fn send(
        &self,
        customer: impl Into<TokenRequest>,
        request: RequestBuilder,
    ) -> Result<Response, Error> {
        let shared = &*self.0;
        let request = self.finished(request)?;
        let again = request.try_clone();
        let wish = customer.into();
        let client = shared.tokens.client();
        let may_be_repeated = request.method().is_idempotent();
        let access_token = wish.access_token().cloned();
        let call = DataCall::new(client, sending::rest(request.method()), wish.customer());
        let response = call
            .within_span(async {
                let send = |request, token: ManagedToken| {
                    let secrets = shared.secrets(&token, access_token.as_ref());
                    let once = move |request, number| {
                        shared.rest_once(request, token.clone(), secrets.clone(), number)
                    };
                    call.attempts_of(&shared.rules, may_be_repeated, request, once)
                };
                call.outcome(shared.tokens.heal(wish, request, again, send).await)
            })
            .await;
        call.ended(match &response {
            Ok((_, token_use)) if token_use.is_refused => Some(ErrorKind::TokenRejected),
            Ok((response, _)) => sending::kind_of(response.status().as_u16()).map(|(kind, _)| kind),
            Err(error) => Some(error.kind()),
        });
        let (mut response, token_use) = response?;
        response.extensions_mut().insert(token_use);
        Ok(response)
    }

    /// The request, if its token may go where it goes.
    fn finished(&self, request: RequestBuilder) -> Result<Request, Error> {
        let shared = &*self.0;
        let mut request = request.build().map_err(|error| {
            Error::invalid_input("the request to the storefront API cannot be built")
                .with_source(Box::new(error.without_url()))
        })?;
        shared.origins.check(request.url())?;
        request.timeout_mut().get_or_insert(shared.timeout);
        request
            .headers_mut()
            .entry(header::USER_AGENT)
            .or_insert_with(|| shared.user_agent.clone());
        Ok(request)
    }
}

impl Shared {
    async fn send_once(
        &self,
        mut request: Request,
        token: &ManagedToken,
    ) -> Result<Response, TransportError> {
        request
            .headers_mut()
            .insert(header::AUTHORIZATION, token.authorization().clone());
        Ok(self.http.execute(request).await?)
    }

    /// After a failure that may be of the connection, the pool closes the connection that it hands out next.
    fn leave_connection_after(&self, failure: Option<Failure>) {
        if failure.is_some_and(Failure::may_be_of_the_connection) {
            self.http.suspect_pool();
        }
    }

    /// What no text that is shown may repeat.
    fn secrets(&self, token: &ManagedToken, access_token: Option<&Secret>) -> Vec<Secret> {
        let own = self.tokens.client().fixed_token();
        let others = access_token.into_iter().chain(own).cloned();
        [Secret::from(token.expose_secret())]
            .into_iter()
            .chain(others)
            .collect()
    }

    async fn rest_once(
        &self,
        request: Request,
        token: ManagedToken,
        secrets: Vec<Secret>,
        number: u32,
    ) -> Attempted<Response> {
        let clock = self.tokens.client().clock();
        let requested_at = clock.now();
        let response = match self.send_once(request, &token).await {
            Ok(response) => response,
            Err(error) => return broken(error, &secrets),
        };
        let (status, headers) = (response.status(), response.headers());
        let meta = ReplyMeta::read(status.as_u16(), headers, number, requested_at, &secrets);
        let failure = sending::failure_of(status, headers, clock.now());
        self.leave_connection_after(failure);
        Attempted::answered(self.judged(response).await, failure, None, meta)
    }

    /// What a response says of the token that was sent.
    async fn judged(&self, response: Response) -> Answer<Response> {
        let rule = self.judge.as_ref();
        let status = response.status();
        let by_head = judge::of_head(rule, status, response.headers());
        if by_head != Judgement::NeedsBody {
            return rejection::of_response(by_head, status.as_u16(), None).with(response);
        }
        let url = response.url().clone();
        let mut response = http::Response::from(response).map(PeekedBody::unread);
        let look = response.body_mut().look().await;
        let body = look.as_ref().map(Look::bytes);
        let opinion = judge::of_body(rule, by_head, status, response.headers(), body);
        let answer = rejection::of_response(opinion, status.as_u16(), None);
        let (mut parts, body) = response.into_parts();
        // A response of `reqwest` keeps its URL among the extensions while it is built anew.
        if let Ok(with_url) = http::Response::builder().url(url).body(()) {
            parts.extensions.extend(with_url.into_parts().0.extensions);
        }
        answer.with(http::Response::from_parts(parts, reqwest::Body::wrap(body)).into())
    }

    async fn graphql_once(
        &self,
        request: Request,
        token: ManagedToken,
        secrets: Vec<Secret>,
        number: u32,
    ) -> Attempted<RawReply> {
        let clock = self.tokens.client().clock();
        let requested_at = clock.now();
        let mut response = match self.send_once(request, &token).await {
            Ok(response) => response,
            Err(error) => return broken(error, &secrets),
        };
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = match Body::read(response, self.longest_reply).await {
            Body::Whole(body) => Ok(body.to_vec()),
            Body::TooLong => Err(Error::of_data_api(
                ErrorKind::ReplyTooLarge,
                "the reply of the storefront API is longer than is read",
            )),
            Body::BrokenOff(error) => Err(Error::of_data_api(
                if error.is_timeout() {
                    ErrorKind::Timeout
                } else {
                    ErrorKind::Interrupted
                },
                "the reply of the storefront API broke off",
            )
            .with_source(Redactor::new(&secrets).source(error.into_source()))),
        };
        let rule = self.judge.as_ref();
        let read = body.as_deref().ok();
        let by_head = judge::of_head(rule, status, &headers);
        let opinion = judge::of_body(rule, by_head, status, &headers, read);
        let graphql = read.filter(|_| status.is_success());
        let verdict = rejection::of_response(opinion, status.as_u16(), graphql);
        let by_body = body.as_ref().err().map(|error| match error.kind() {
            ErrorKind::ReplyTooLarge => Failure::Unreadable,
            _ => Failure::NoReply(Delivery::Unknown),
        });
        let failure = sending::failure_of(status, &headers, clock.now()).or(by_body);
        self.leave_connection_after(failure);
        let kind = body.as_ref().err().map(Error::kind);
        let meta = ReplyMeta::read(status.as_u16(), &headers, number, requested_at, &secrets);
        let raw = RawReply {
            meta: meta.clone(),
            body,
            failure,
            is_refusal: verdict == Answer::Refused(()),
            secrets,
        };
        Attempted::answered(verdict.with(raw), failure, kind, meta)
    }
}

/// A reply of the GraphQL API, as it came.
struct RawReply {
    meta: ReplyMeta,
    body: Result<Vec<u8>, Error>,
    /// What its status or its body failed with.
    failure: Option<Failure>,
    /// Whether it refuses the token.
    is_refusal: bool,
    /// The token that was sent, and what else nothing that is shown may repeat.
    secrets: Vec<Secret>,
}

impl RawReply {
    fn read(self, may_be_repeated: bool) -> Result<GraphqlReply, Error> {
        let status = self.meta.status;
        if self.is_refusal {
            let errors = self
                .body
                .ok()
                .and_then(|body| GraphqlReply::read(&body, self.meta.clone(), &self.secrets).ok());
            let hint = errors.and_then(|reply| {
                let error = reply.errors().first()?;
                Hint::of_storefront_response(status, &error.message)
            });
            return Err(Error::of_data_api(
                ErrorKind::TokenRejected,
                "the storefront API refused the token that took the place of a refused one",
            )
            .with_hint(hint)
            .with_meta(self.meta));
        }
        let may_have_been_applied = self.failure.is_some_and(Failure::may_have_been_applied);
        let is_retryable = self
            .failure
            .is_some_and(|failure| failure.is_retryable_if(may_be_repeated));
        if let Some((kind, summary)) = sending::kind_of(status) {
            let problem = match &self.body {
                Ok(body) => error_body::read_problem(body, &self.secrets),
                Err(error) => error_body::Problem::described(error.summary().to_owned()),
            };
            let words = problem.message.as_deref().unwrap_or_default();
            let hint = Hint::of_storefront_response(status, words);
            return Err(Error::of_data_api(kind, summary)
                .with_message(problem.code, problem.message, problem.reason)
                .with_hint(hint)
                .with_retry_after(self.failure.and_then(Failure::wanted_wait))
                .maybe_applied(may_have_been_applied)
                .retryable(is_retryable)
                .with_meta(self.meta));
        }
        let meta = self.meta;
        let body = self.body.map_err(|error| {
            error
                .maybe_applied(true)
                .retryable(is_retryable)
                .with_meta(meta.clone())
        })?;
        GraphqlReply::read(&body, meta, &self.secrets)
    }
}

/// An attempt without a response. The error holds no URL and none of the secrets.
fn broken<T>(error: TransportError, secrets: &[Secret]) -> Attempted<T> {
    let delivery = error.delivery();
    let is_timeout = error.is_timeout();
    let source = error.into_source();
    let (kind, summary) = if delivery == Delivery::NotSent {
        (
            ErrorKind::Connect,
            "could not connect to the storefront API",
        )
    } else if is_timeout {
        (
            ErrorKind::Timeout,
            "the storefront API did not respond in time",
        )
    } else {
        (
            ErrorKind::Interrupted,
            "the connection broke before the storefront API had answered",
        )
    };
    let failure = if delivery == Delivery::NotSent && is_about_trust(&*source) {
        Failure::Untrusted
    } else {
        Failure::NoReply(delivery)
    };
    let error = Error::of_data_api(kind, summary)
        .maybe_applied(failure.may_have_been_applied())
        .retryable(failure.is_retryable_if(false))
        .with_source(Redactor::new(secrets).source(source));
    Attempted::failed(failure, error)
}

impl fmt::Debug for StorefrontApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorefrontApi")
            .field("base_url", &self.0.base)
            .field("origins", &self.0.origins)
            .field("tokens", &self.0.tokens)
            .finish_non_exhaustive()
    }
}
