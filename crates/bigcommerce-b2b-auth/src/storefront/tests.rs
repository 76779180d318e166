//! Calls with tokens, as a function, as a layer and by `reqwest`: what is sent, how often, with which token, and where to.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, extract::State};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

use super::*;
use crate::{
    Client, CustomerId, Error, ErrorKind, RetryPolicy, StoreAccess, StorefrontTokens, TokenRequest,
    pipeline::transport::{Delivery, Operation, Transport, TransportError, TransportFuture},
};

/// The Authentication API: each mint gives the next token, unless it is out of order.
#[derive(Debug, Default)]
struct Mints {
    count: AtomicU64,
    is_down: AtomicBool,
}

impl Transport for Mints {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async {
            // So that others come while it is under way.
            tokio::task::yield_now().await;
            if self.is_down.load(Ordering::Relaxed) {
                return Err(TransportError::new(Delivery::NotSent, "down"));
            }
            let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            let body = json!({"code": 200, "data": {"token": [format!("token-{number}")]}});
            Ok(http::Response::new(body.to_string()).into())
        })
    }
}

struct Setting {
    mints: Arc<Mints>,
    tokens: StorefrontTokens,
}

impl Setting {
    fn new() -> Self {
        Self::at("https://api-b2b.bigcommerce.com")
    }

    /// With a client whose base URL is this one, in a network that is trusted.
    fn at(base_url: &str) -> Self {
        let mints = Arc::new(Mints::default());
        let client = Client::builder()
            .credentials(StoreAccess::new("abc123", "access").unwrap())
            .base_url(base_url)
            .allow_insecure_http(true)
            .transport(Arc::clone(&mints) as Arc<dyn Transport>)
            .retry(RetryPolicy::none())
            .build()
            .unwrap();
        Self {
            mints,
            tokens: StorefrontTokens::builder().client(client).build(),
        }
    }

    fn mints(&self) -> u64 {
        self.mints.count.load(Ordering::Relaxed)
    }

    /// Calls once, and says what each sending was done with.
    async fn call(
        &self,
        mut answer: impl FnMut(&str) -> Answer<&'static str>,
    ) -> (Result<&'static str, CallError<Infallible>>, Vec<String>) {
        let sent = Mutex::new(Vec::new());
        let result = self
            .tokens
            .call(customer(), |token| {
                sent.lock().unwrap().push(token.expose_secret().to_owned());
                let answer = answer(token.expose_secret());
                async move { Ok(answer) }
            })
            .await;
        (result, sent.into_inner().unwrap())
    }
}

fn customer() -> CustomerId {
    CustomerId::new(42).unwrap()
}

/// Refuses this token and takes every other one.
fn but(refused: &'static str) -> impl FnMut(&str) -> Answer<&'static str> {
    move |token| {
        if token == refused {
            Answer::Refused("no")
        } else {
            Answer::Accepted("yes")
        }
    }
}

#[tokio::test]
async fn what_is_forgotten_is_fetched_again_and_was_not_refused() {
    let setting = Setting::new();
    assert!(!setting.tokens.forget(customer()));
    setting.call(but("none")).await.0.unwrap();
    assert!(setting.tokens.forget(customer()));
    assert!(setting.tokens.get_cached(customer()).is_none());
    let (_, sent) = setting.call(but("none")).await;
    assert_eq!((sent, setting.mints()), (vec!["token-2".to_owned()], 2));
    assert_eq!(setting.tokens.metrics().invalidated, 0);
}

#[test]
fn answers_go_by_status_and_by_body() {
    assert_eq!(Answer::by_status(401, 1), Answer::Refused(1));
    for status in [200, 302, 400, 403, 500] {
        assert_eq!(Answer::by_status(status, 1), Answer::Accepted(1));
    }
    let refusal = br#"{"errors": [{"message": "JWT verification failed"}]}"#;
    assert_eq!(Answer::by_graphql(refusal, 1), Answer::Refused(1));
    assert_eq!(Answer::by_graphql(b"{}", 1), Answer::Accepted(1));
}

#[tokio::test]
async fn a_call_that_is_taken_is_made_once() {
    let setting = Setting::new();
    let (result, sent) = setting.call(but("none")).await;
    assert_eq!((result.unwrap(), setting.mints()), ("yes", 1));
    assert_eq!(sent, ["token-1"]);
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_call_made_again() {
    let setting = Setting::new();
    let (result, sent) = setting.call(but("token-1")).await;
    assert_eq!((result.unwrap(), setting.mints()), ("yes", 2));
    assert_eq!(sent, ["token-1", "token-2"]);
    // The next one has the good token.
    let (_, sent) = setting.call(but("token-1")).await;
    assert_eq!(sent, ["token-2"]);
}

#[tokio::test]
async fn what_refuses_everybody_is_called_twice_and_takes_no_token_from_others() {
    let setting = Setting::new();
    let refuse = |_: &str| Answer::Refused("no");
    let (result, sent) = setting.call(refuse).await;
    assert_eq!((result.unwrap(), setting.mints()), ("no", 2));
    assert_eq!(sent, ["token-1", "token-2"]);
    // Again within the minute: once, and no mint. What takes the token still has it.
    let (result, sent) = setting.call(refuse).await;
    assert_eq!((result.unwrap(), setting.mints()), ("no", 2));
    assert_eq!(sent, ["token-2"]);
    let (result, sent) = setting.call(but("none")).await;
    assert_eq!((result.unwrap(), sent), ("yes", vec!["token-2".to_owned()]));
    assert_eq!(setting.tokens.metrics().invalidated, 1);
}

#[tokio::test]
async fn what_cannot_be_sent_twice_is_not_and_its_token_is_replaced_all_the_same() {
    let setting = Setting::new();
    let (result, sent) = setting.call(|_| Answer::RefusedForGood("in part")).await;
    assert_eq!((result.unwrap(), setting.mints()), ("in part", 1));
    assert_eq!(sent, ["token-1"]);
    assert!(setting.tokens.get_cached(customer()).is_none());
    let (result, sent) = setting.call(but("token-1")).await;
    assert_eq!((result.unwrap(), sent), ("yes", vec!["token-2".to_owned()]));
}

#[tokio::test]
async fn errors_say_what_came_in_the_way() {
    let setting = Setting::new();
    setting.mints.is_down.store(true, Ordering::Relaxed);
    let (result, sent) = setting.call(but("none")).await;
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Token(_)) && sent.is_empty());
    assert_eq!(error.token_error().unwrap().kind(), ErrorKind::Connect);
    assert!(
        error
            .to_string()
            .starts_with("no token for the call: mint_storefront_token: "),
        "{error}"
    );
    assert!(std::error::Error::source(&error).is_some());

    let setting = Setting::new();
    setting.tokens.get(customer()).await.unwrap();
    setting.mints.is_down.store(true, Ordering::Relaxed);
    let (result, sent) = setting.call(but("token-1")).await;
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Renewal(_)) && sent.len() == 1);
    assert_eq!(error.token_error().unwrap().kind(), ErrorKind::Connect);
    assert!(error.to_string().contains("could not be had"), "{error}");
    let renewal = CallError::Renewal(error.token_error().unwrap().clone());
    let flat = Error::from(renewal);
    assert_eq!(flat.kind(), ErrorKind::TokenRejected);
    assert!(flat.is_retryable() && std::error::Error::source(&flat).is_some());

    let setting = Setting::new();
    let result: Result<(), _> = setting
        .tokens
        .call(customer(), |_| async {
            Err(std::io::Error::other("the line is cut"))
        })
        .await;
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Send(_)) && error.token_error().is_none());
    assert_eq!(error.to_string(), "the line is cut");
    assert_eq!(setting.tokens.metrics().invalidated, 0);
}

#[tokio::test]
async fn a_thousand_calls_with_a_refused_token_are_one_mint_and_two_sendings_each_at_most() {
    let setting = Setting::new();
    setting.tokens.get(customer()).await.unwrap();
    let most = AtomicUsize::new(0);
    let calls = (0..1_000).map(|number| {
        let sent = AtomicUsize::new(0);
        let (setting, most) = (&setting, &most);
        async move {
            let result = setting
                .tokens
                .call(customer(), |token| {
                    most.fetch_max(sent.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    async move {
                        // They answer in an order of their own, long before and long after the mint.
                        for _ in 0..number % 97 {
                            tokio::task::yield_now().await;
                        }
                        Ok::<_, Infallible>(but("token-1")(token.expose_secret()))
                    }
                })
                .await;
            assert_eq!(result.unwrap(), "yes");
        }
    });
    futures_util::future::join_all(calls).await;
    assert_eq!((setting.mints(), most.into_inner()), (2, 2));
}

/// What a service below the layer was sent: the token, and the body.
type Sent = Arc<Mutex<Vec<(Option<String>, String)>>>;

/// A service that refuses `token-1` in this way.
fn refusing(
    sent: &Sent,
    refusal: fn() -> Response<Full<bytes::Bytes>>,
) -> impl tower::Service<
    Request<String>,
    Response = Response<Full<bytes::Bytes>>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static {
    let sent = Arc::clone(sent);
    service_fn(move |request: Request<String>| {
        let token = request.headers().get(header::AUTHORIZATION).map(|value| {
            assert!(value.is_sensitive());
            value
                .to_str()
                .unwrap()
                .trim_start_matches("Bearer ")
                .to_owned()
        });
        assert!(request.extensions().get::<TokenRequest>().is_none());
        let reply = if token.as_deref() == Some("token-1") {
            refusal()
        } else {
            Response::new(Full::from(r#"{"data": {"ok": true}}"#))
        };
        sent.lock().unwrap().push((token, request.into_body()));
        async move { Ok(reply) }
    })
}

fn by_status(status: StatusCode) -> Response<Full<bytes::Bytes>> {
    let mut reply = Response::new(Full::from("no"));
    *reply.status_mut() = status;
    reply
}

fn by_graphql(body: &Value) -> Response<Full<bytes::Bytes>> {
    Response::builder()
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}

fn refusal_of_graphql() -> Response<Full<bytes::Bytes>> {
    by_graphql(&json!({"data": null, "errors": [{"message": "JWT verification failed"}]}))
}

fn request(uri: &str) -> Request<String> {
    Request::post(uri)
        .header("authorization", "Bearer of somebody else")
        .extension(TokenRequest::new(customer()))
        .body("a body".to_owned())
        .unwrap()
}

const GRAPHQL: &str = "https://api-b2b.bigcommerce.com/graphql";
const REST: &str = "https://api-b2b.bigcommerce.com/api/v3/io/orders";

async fn text<B: http_body::Body<Error: std::fmt::Debug>>(reply: Response<B>) -> String {
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Sends one request through the layer: its status and body, and what came to be sent.
async fn through(
    setting: &Setting,
    request: Request<String>,
    refusal: fn() -> Response<Full<bytes::Bytes>>,
) -> (u16, String, Vec<(Option<String>, String)>) {
    let sent = Sent::default();
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let service = layer.layer(refusing(&sent, refusal));
    let reply = service.oneshot(request).await.unwrap();
    let status = reply.status().as_u16();
    let times_sent = sent.lock().unwrap().len() as u32;
    match reply.extensions().get::<TokenUse>() {
        Some(token_use) => assert_eq!(token_use.sent, times_sent),
        None => assert!(sent.lock().unwrap()[0].0.is_none(), "a guest's"),
    }
    let body = text(reply).await;
    (
        status,
        body,
        Arc::into_inner(sent).unwrap().into_inner().unwrap(),
    )
}

fn tokens_of(sent: &[(Option<String>, String)]) -> Vec<&str> {
    sent.iter()
        .map(|(token, body)| {
            assert_eq!(body, "a body");
            token.as_deref().unwrap_or("none")
        })
        .collect()
}

#[tokio::test]
async fn the_layer_heals_a_401_and_what_graphql_says_under_a_200() {
    let unauthorized = || by_status(StatusCode::UNAUTHORIZED);
    for (uri, refusal) in [
        (REST, unauthorized as fn() -> _),
        (GRAPHQL, unauthorized),
        (GRAPHQL, refusal_of_graphql),
        (
            "https://api-b2b.bigcommerce.com/v2/graphql/?a=b",
            refusal_of_graphql,
        ),
    ] {
        let setting = Setting::new();
        let (status, body, sent) = through(&setting, request(uri), refusal).await;
        assert_eq!(
            (status, body.as_str()),
            (200, r#"{"data": {"ok": true}}"#),
            "{uri}"
        );
        assert_eq!(tokens_of(&sent), ["token-1", "token-2"]);
        assert_eq!(setting.mints(), 2);
    }
}

#[tokio::test]
async fn the_layer_leaves_alone_what_is_no_refusal() {
    let forbidden = || by_status(StatusCode::FORBIDDEN);
    let moved = || by_status(StatusCode::TEMPORARY_REDIRECT);
    let hidden = || {
        let mut reply = refusal_of_graphql();
        *reply.status_mut() = StatusCode::FORBIDDEN;
        reply
    };
    let in_text = || Response::new(refusal_of_graphql().into_body());
    for (uri, refusal, status) in [
        (GRAPHQL, forbidden as fn() -> _, 403),
        (GRAPHQL, moved, 307),
        (GRAPHQL, hidden, 403),
        (GRAPHQL, in_text, 200),
        // No GraphQL is spoken there.
        (REST, refusal_of_graphql, 200),
        (
            "https://api-b2b.bigcommerce.com/graphql/schema",
            refusal_of_graphql,
            200,
        ),
    ] {
        let setting = Setting::new();
        let (got, body, sent) = through(&setting, request(uri), refusal).await;
        assert_eq!(got, status, "{uri}");
        assert_eq!(body, text(refusal()).await);
        assert_eq!(tokens_of(&sent), ["token-1"]);
        assert_eq!(setting.tokens.metrics().invalidated, 0);
    }
}

#[tokio::test]
async fn the_layer_does_not_do_twice_what_was_done_in_part() {
    let setting = Setting::new();
    let in_part = || {
        by_graphql(&json!({
            "data": {"order": {"id": 7}, "me": null},
            "errors": [{"message": "expired", "extensions": {"code": 40101}}],
        }))
    };
    let (status, body, sent) = through(&setting, request(GRAPHQL), in_part).await;
    assert_eq!((status, body.contains("\"id\":7")), (200, true));
    assert_eq!(tokens_of(&sent), ["token-1"]);
    assert_eq!(setting.tokens.metrics().invalidated, 1);
}

#[tokio::test]
async fn the_layer_sends_no_token_where_none_was_asked_for_or_allowed() {
    let setting = Setting::new();
    let unauthorized = || by_status(StatusCode::UNAUTHORIZED);
    let guest = Request::post("https://elsewhere.example/")
        .body("a body".to_owned())
        .unwrap();
    let (status, _, sent) = through(&setting, guest, unauthorized).await;
    assert_eq!((status, tokens_of(&sent)), (200, vec!["none"]));

    let sent = Sent::default();
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    for uri in [
        "https://elsewhere.example/graphql",
        "http://api-b2b.bigcommerce.com/graphql",
        "/graphql",
    ] {
        let service = layer.layer(refusing(&sent, unauthorized));
        let error = service.oneshot(request(uri)).await.unwrap_err();
        assert_eq!(
            error.token_error().unwrap().kind(),
            ErrorKind::InvalidInput,
            "{uri}"
        );
    }
    assert!(sent.lock().unwrap().is_empty());
    assert_eq!(setting.mints(), 0);
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_twice_is_sent_once() {
    let sent = Sent::default();
    let unauthorized = || by_status(StatusCode::UNAUTHORIZED);

    let setting = Setting::new();
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let service = layer.never_repeating().layer(refusing(&sent, unauthorized));
    let reply = service.oneshot(request(REST)).await.unwrap();
    assert_eq!((reply.status().as_u16(), setting.mints()), (401, 1));
    assert_eq!(tokens_of(&sent.lock().unwrap()), ["token-1"]);

    for (can, expected) in [(true, 200), (false, 401)] {
        let setting = Setting::new();
        let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
        let layer = layer.repeat_by(move |body: &String| can.then(|| body.clone()));
        let service = layer.layer(refusing(&sent, unauthorized));
        let reply = service.oneshot(request(REST)).await.unwrap();
        assert_eq!(reply.status().as_u16(), expected);
        let token_use = reply.extensions().get::<TokenUse>().unwrap();
        assert_eq!(
            (token_use.is_refused, token_use.sent),
            (!can, 1 + u32::from(can))
        );
        // The token is replaced for the next one all the same.
        assert_eq!(setting.tokens.metrics().invalidated, 1);
    }
}

#[tokio::test]
async fn the_layer_waits_for_what_is_below_it_each_time_it_sends() {
    /// Ready for one call, and then not before it is asked twice.
    #[derive(Clone, Default)]
    struct Fussy {
        asked: Arc<AtomicUsize>,
        is_ready: bool,
    }

    impl tower::Service<Request<String>> for Fussy {
        type Response = Response<Full<bytes::Bytes>>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Self::Response, Infallible>>;

        fn poll_ready(
            &mut self,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            if !self.is_ready && self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
                context.waker().wake_by_ref();
                return std::task::Poll::Pending;
            }
            self.is_ready = true;
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<String>) -> Self::Future {
            assert!(std::mem::take(&mut self.is_ready), "it was not ready");
            let is_old = request.headers()[header::AUTHORIZATION] == "Bearer token-1";
            std::future::ready(Ok(if is_old {
                by_status(StatusCode::UNAUTHORIZED)
            } else {
                Response::new(Full::from("yes"))
            }))
        }
    }

    let setting = Setting::new();
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let mut service = layer.layer(Fussy::default());
    let is_ready = service.ready();
    let first_look = futures_util::FutureExt::now_or_never(is_ready);
    assert!(first_look.is_none(), "what is below is not ready");
    for _ in 0..2 {
        let reply = service.ready().await.unwrap().call(request(REST)).await;
        assert_eq!(text(reply.unwrap()).await, "yes");
    }
}

/// A rule for gateways that say it by 419, by 501, or by a page under a 200.
fn judge() -> ResponseJudge {
    ResponseJudge::new(|response| match (response.status.as_u16(), response.body) {
        (419 | 501, _) => Judgement::TokenRejected,
        (202, _) => Judgement::TokenAccepted,
        (200, None)
            if response
                .headers
                .get("content-type")
                .is_some_and(|kind| kind == "text/html") =>
        {
            Judgement::NeedsBody
        }
        (200, Some(body)) if body.starts_with(b"Session expired") => Judgement::TokenRejected,
        (299, _) => panic!("the judge of this test panics"),
        _ => Judgement::NoOpinion,
    })
}

fn page(text: impl Into<String>) -> Response<Full<bytes::Bytes>> {
    Response::builder()
        .header("content-type", "text/html")
        .body(Full::from(text.into()))
        .unwrap()
}

#[tokio::test]
async fn the_layer_replaces_a_token_that_was_rejected_without_a_401() {
    let by_419 = || by_status(StatusCode::from_u16(419).unwrap());
    let by_501 = || by_status(StatusCode::NOT_IMPLEMENTED);
    let by_401 = || by_status(StatusCode::UNAUTHORIZED);
    for (uri, rejection) in [
        (REST, by_419 as fn() -> _),
        (REST, by_501),
        (REST, || page("Session expired. Log in again.")),
        (GRAPHQL, || page("Session expired")),
        (GRAPHQL, by_419),
        // What it has no opinion of is judged as without it.
        (REST, by_401),
        (GRAPHQL, refusal_of_graphql),
    ] {
        let setting = Setting::new();
        let sent = Sent::default();
        let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
        let layer = layer.judge_responses_by(judge());
        let service = layer.layer(refusing(&sent, rejection));
        let response = service.oneshot(request(uri)).await.unwrap();
        let token_use: TokenUse = *response.extensions().get().unwrap();
        assert_eq!((token_use.sent, token_use.is_refused), (2, false));
        assert_eq!(text(response).await, r#"{"data": {"ok": true}}"#, "{uri}");
        assert_eq!(tokens_of(&sent.lock().unwrap()), ["token-1", "token-2"]);
        assert_eq!(setting.mints(), 2);

        // Without being able to repeat the call, the token is replaced for the next one.
        let setting = Setting::new();
        let sent = Sent::default();
        let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
        let layer = layer.judge_responses_by(judge()).never_repeating();
        let service = layer.layer(refusing(&sent, rejection));
        let response = service.oneshot(request(uri)).await.unwrap();
        let token_use: TokenUse = *response.extensions().get().unwrap();
        assert_eq!((token_use.sent, token_use.is_refused), (1, true));
        assert_eq!(text(response).await, text(rejection()).await);
        assert_eq!(setting.tokens.metrics().invalidated, 1);
    }
}

#[tokio::test]
async fn what_was_judged_comes_out_whole_and_once() {
    fn long() -> Response<Full<bytes::Bytes>> {
        page("x".repeat(200_000))
    }
    fn part() -> Response<Full<bytes::Bytes>> {
        page("A page")
    }
    for (uri, answer) in [(REST, part as fn() -> _), (REST, long), (GRAPHQL, long)] {
        let setting = Setting::new();
        let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
        let sent = Sent::default();
        let service = layer
            .judge_responses_by(judge())
            .layer(refusing(&sent, answer));
        let response = service.oneshot(request(uri)).await.unwrap();
        assert_eq!(text(response).await, text(answer()).await);
        assert_eq!((sent.lock().unwrap().len(), setting.mints()), (1, 1));
    }
}

#[tokio::test]
async fn a_judge_has_the_last_word_and_does_nothing_twice() {
    let setting = Setting::new();
    let accepting = ResponseJudge::new(|_| Judgement::TokenAccepted);
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let layer = layer.judge_responses_by(accepting);
    let sent = Sent::default();
    let service = layer.layer(refusing(&sent, || by_status(StatusCode::UNAUTHORIZED)));
    let response = service.oneshot(request(REST)).await.unwrap();
    assert_eq!((response.status().as_u16(), setting.mints()), (401, 1));

    // A part was done: the token is replaced, and the call not repeated.
    let setting = Setting::new();
    let rejecting = ResponseJudge::new(|_| Judgement::TokenRejected);
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let layer = layer.judge_responses_by(rejecting);
    let sent = Sent::default();
    let in_part = || by_graphql(&json!({"data": {"order": {"id": 7}}}));
    let service = layer.layer(refusing(&sent, in_part));
    let response = service.oneshot(request(GRAPHQL)).await.unwrap();
    assert!(text(response).await.contains("\"id\":7"));
    assert_eq!(sent.lock().unwrap().len(), 1);
    assert_eq!(setting.tokens.metrics().invalidated, 1);
}

#[tokio::test]
async fn a_judge_that_panics_ends_its_own_call_alone() {
    let setting = Setting::new();
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let layer = layer.judge_responses_by(judge());
    let sent = Sent::default();
    let by_299 = || by_status(StatusCode::from_u16(299).unwrap());
    let service = layer.layer(refusing(&sent, by_299));
    let calls = (0..10).map(|_| tokio::spawn(service.clone().oneshot(request(REST))));
    for call in futures_util::future::join_all(calls).await {
        let panic = call.unwrap_err().into_panic();
        let message = panic.downcast_ref::<&str>().unwrap();
        assert_eq!(*message, "the judge of this test panics");
    }
    // The token was not rejected, and nothing is held up.
    let service = layer.layer(refusing(&sent, || page("A page")));
    let response = service.oneshot(request(REST)).await.unwrap();
    assert_eq!(
        (text(response).await.as_str(), setting.mints()),
        ("A page", 1)
    );
    assert_eq!(setting.tokens.metrics().fetches_under_way, 0);
}

#[tokio::test]
async fn a_call_is_judged_by_the_same_function() {
    let setting = Setting::new();
    let headers = HeaderMap::new();
    let (result, sent) = setting
        .call(|token| {
            let status = if token == "token-1" { 419 } else { 200 };
            let status = StatusCode::from_u16(status).unwrap();
            let view = ResponseView::new(status, &headers).with_body(b"a body");
            judge().answer(&view, "yes")
        })
        .await;
    assert_eq!((result.unwrap(), setting.mints()), ("yes", 2));
    assert_eq!(sent, ["token-1", "token-2"]);
}

/// Method, URI, headers and body of a request.
type Received = (Method, String, HeaderMap, String);

/// A data API on a socket that refuses `token-1`, and what it was sent.
struct Api {
    address: String,
    sent: Arc<Mutex<Vec<Received>>>,
}

impl Api {
    async fn start(reply: fn(&str, &str) -> Response<axum::body::Body>) -> Self {
        let sent = Arc::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let handler = move |State(sent): State<Arc<Mutex<Vec<Received>>>>,
                            request: Request<axum::body::Body>| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let token = parts.headers.get(header::AUTHORIZATION).map(|value| {
                value
                    .to_str()
                    .unwrap()
                    .trim_start_matches("Bearer ")
                    .to_owned()
            });
            let reply = reply(parts.uri.path(), token.as_deref().unwrap_or("none"));
            let body = String::from_utf8(body.to_vec()).unwrap();
            sent.lock()
                .unwrap()
                .push((parts.method, parts.uri.to_string(), parts.headers, body));
            reply
        };
        let router = Router::new()
            .fallback(handler)
            .with_state(Arc::clone(&sent));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, sent }
    }

    fn client(&self, setting: &Setting) -> StorefrontApi {
        StorefrontApi::builder()
            .tokens(setting.tokens.clone())
            .base_url(&self.address)
            .build()
            .unwrap()
    }

    fn tokens(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let token =
            |headers: &HeaderMap| headers[header::AUTHORIZATION].to_str().unwrap().to_owned();
        sent.iter()
            .map(|(_, _, headers, _)| token(headers))
            .collect()
    }
}

fn reply(status: u16, body: impl ToString) -> Response<axum::body::Body> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .header("x-request-id", "request-7")
        .header("retry-after", "7")
        .body(axum::body::Body::from(body.to_string()))
        .unwrap()
}

fn refusing_the_first(_: &str, token: &str) -> Response<axum::body::Body> {
    if token == "token-1" {
        reply(
            200,
            json!({"errors": [{"message": "expired", "extensions": {"code": 40101}}], "data": null}),
        )
    } else {
        reply(200, json!({"data": {"company": "ours"}}))
    }
}

#[tokio::test]
async fn graphql_is_called_with_a_token_and_healed() {
    let (setting, api) = (Setting::new(), Api::start(refusing_the_first).await);
    let answer = api
        .client(&setting)
        .graphql(customer(), "query Q { company }")
        .variables(json!({"a": 1}))
        .operation_name("Q")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.data(), Some(&json!({"company": "ours"})));
    assert_eq!(answer.times_sent(), 2);
    assert_eq!(answer.meta().request_id.as_deref(), Some("request-7"));
    assert_eq!(api.tokens(), ["Bearer token-1", "Bearer token-2"]);
    let sent = api.sent.lock().unwrap();
    let (method, uri, headers, body) = &sent[1];
    assert_eq!((method, uri.as_str()), (&Method::POST, "/graphql"));
    assert_eq!(headers["content-type"], "application/json");
    let agent = headers["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("bigcommerce-b2b-auth-rust/"), "{agent}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        body,
        json!({"query": "query Q { company }", "variables": {"a": 1}, "operationName": "Q"})
    );
}

#[tokio::test]
async fn what_is_refused_twice_is_an_error_and_what_is_no_reply_as_well() {
    for (answer, kind) in [
        (
            (|_, _| reply(401, "{}")) as fn(&str, &str) -> _,
            ErrorKind::TokenRejected,
        ),
        (
            |_, _| {
                reply(
                    200,
                    json!({"errors": [{"message": "JWT verification failed"}]}),
                )
            },
            ErrorKind::TokenRejected,
        ),
        (
            |_, _| reply(403, json!({"message": "not yours"})),
            ErrorKind::Forbidden,
        ),
        (
            |_, _| {
                let error = json!({"message": "no", "extensions": {"code": 40101}});
                reply(403, json!({"errors": [error]}))
            },
            ErrorKind::Forbidden,
        ),
        (|_, _| reply(404, "{}"), ErrorKind::NotFound),
        (|_, _| reply(418, "{}"), ErrorKind::Rejected),
        (|_, _| reply(429, "{}"), ErrorKind::RateLimited),
        (|_, _| reply(503, "{}"), ErrorKind::Server),
        (|_, _| reply(307, ""), ErrorKind::Redirected),
        (|_, _| reply(200, "<html>"), ErrorKind::UnexpectedReply),
        (
            |_, _| reply(200, "x".repeat(2_000)),
            ErrorKind::ReplyTooLarge,
        ),
    ] {
        let (setting, api) = (Setting::new(), Api::start(answer).await);
        let client = StorefrontApi::builder()
            .tokens(setting.tokens.clone())
            .base_url(&api.address)
            .longest_reply(1_000)
            .build()
            .unwrap();
        let error = client
            .graphql(customer(), "{ a }")
            .send()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.request_id(), Some("request-7"));
        let is_refusal = kind == ErrorKind::TokenRejected;
        assert_eq!(api.tokens().len(), if is_refusal { 2 } else { 1 });
        assert_eq!(error.is_retryable(), kind == ErrorKind::RateLimited);
        let is_late = matches!(kind, ErrorKind::RateLimited | ErrorKind::Server);
        assert_eq!(
            error.retry_after(),
            is_late.then_some(Duration::from_secs(7))
        );
        let may_be_done = matches!(
            kind,
            ErrorKind::Server
                | ErrorKind::Redirected
                | ErrorKind::UnexpectedReply
                | ErrorKind::ReplyTooLarge
        );
        assert_eq!(error.may_have_been_applied(), may_be_done, "{error}");
    }
}

#[tokio::test]
async fn a_reply_may_be_long() {
    let long = |_: &str, _: &str| reply(200, json!({"data": "x".repeat(2_000_000)}));
    let (setting, api) = (Setting::new(), Api::start(long).await);
    let client = api.client(&setting);
    let answer = client.graphql(customer(), "{ a }").send();
    let data: String = answer.await.unwrap().into_data().unwrap();
    assert_eq!(data.len(), 2_000_000);
}

#[tokio::test]
async fn no_message_repeats_the_token() {
    let api =
        Api::start(|_, token| reply(403, json!({"message": format!("{token} is not yours")})))
            .await;
    let error = api
        .client(&Setting::new())
        .graphql(customer(), "{ a }")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.message(), Some("[REDACTED] is not yours"));
}

#[tokio::test]
async fn rest_is_called_with_a_token_and_healed_and_any_status_handed_over() {
    let answer = |path: &str, token: &str| match (path, token) {
        ("/moved", _) => {
            let mut reply = reply(307, "");
            reply
                .headers_mut()
                .insert("location", "/elsewhere".parse().unwrap());
            reply
        }
        (_, "token-1") => reply(401, "no"),
        _ => reply(403, "not yours"),
    };
    let (setting, api) = (Setting::new(), Api::start(answer).await);
    let client = api.client(&setting);
    let request = client
        .request(Method::PUT, "/api/v3/io/orders")
        .body("a body");
    let reply = client.send(customer(), request).await.unwrap();
    let healed = TokenUse {
        sent: 2,
        is_refused: false,
    };
    assert_eq!(reply.extensions().get(), Some(&healed));
    assert_eq!(reply.status(), 403);
    assert_eq!(reply.text().await.unwrap(), "not yours");
    assert_eq!(api.tokens(), ["Bearer token-1", "Bearer token-2"]);
    {
        let sent = api.sent.lock().unwrap();
        for (method, uri, _, body) in sent.iter() {
            assert_eq!(
                (method, uri.as_str(), body.as_str()),
                (&Method::PUT, "/api/v3/io/orders", "a body")
            );
        }
    }
    // A redirect is handed over, and not followed.
    let reply = client
        .send(customer(), client.request(Method::GET, "moved"))
        .await
        .unwrap();
    assert_eq!((reply.status().as_u16(), api.tokens().len()), (307, 3));
}

#[tokio::test]
async fn a_body_that_is_a_stream_is_sent_once() {
    let (setting, api) = (Setting::new(), Api::start(|_, _| reply(401, "no")).await);
    let client = api.client(&setting);
    let body = reqwest::Body::wrap(Full::new(bytes::Bytes::from("a body")));
    let request = client.request(Method::POST, "/upload").body(body);
    let reply = client.send(customer(), request).await.unwrap();
    assert_eq!((reply.status().as_u16(), api.tokens().len()), (401, 1));
    let token_use: &TokenUse = reply.extensions().get().unwrap();
    assert_eq!((token_use.sent, token_use.is_refused), (1, true));
    assert_eq!(setting.tokens.metrics().invalidated, 1);
}

#[tokio::test]
async fn a_token_goes_nowhere_else() {
    let (setting, api) = (Setting::new(), Api::start(|_, _| reply(200, "yes")).await);
    let other = Api::start(|_, _| reply(200, "yes")).await;
    let client = api.client(&setting);
    let request = client.request(Method::GET, &format!("{}/a", other.address));
    let error = client.send(customer(), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains(&other.address), "{error}");
    let error = client
        .send(customer(), client.request(Method::GET, "no://where"))
        .await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!((setting.mints(), other.sent.lock().unwrap().len()), (0, 0));

    let allowed = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .also_allowed(AllowedOrigins::only(&other.address).unwrap())
        .user_agent_suffix("shop/1.0")
        .build()
        .unwrap();
    let request = allowed.request(Method::GET, &format!("{}/a", other.address));
    assert!(
        allowed
            .send(customer(), request)
            .await
            .unwrap()
            .status()
            .is_success()
    );
    let request = allowed
        .request(Method::GET, "/b")
        .header("user-agent", "my own");
    allowed.send(customer(), request).await.unwrap();
    let agent = |api: &Api| {
        api.sent.lock().unwrap()[0].2["user-agent"]
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(agent(&other).ends_with(" shop/1.0"));
    assert_eq!(agent(&api), "my own");
}

#[tokio::test]
async fn tokens_go_to_where_the_client_is_unless_another_place_is_named() {
    let api = Api::start(|_, _| reply(200, json!({"data": {"company": "ours"}}))).await;
    let other = Api::start(|_, _| reply(200, json!({"data": {"company": "ours"}}))).await;
    let setting = Setting::at(&format!("{}/api/io/", api.address));
    let tokens = || setting.tokens.clone();
    let to = request;
    let client = StorefrontApi::builder().tokens(tokens()).build().unwrap();
    client
        .graphql(customer(), "{ company }")
        .send()
        .await
        .unwrap();
    let request = client.request(Method::GET, "/orders");
    client.send(customer(), request).await.unwrap();
    assert_eq!(api.sent.lock().unwrap()[0].1, "/graphql");
    assert_eq!(api.sent.lock().unwrap()[1].1, "/orders");
    // Production gets none, by no way.
    let request = client.request(Method::GET, REST);
    let error = client.send(customer(), request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let layer = TokenLayer::new(tokens(), AllowedOrigins::of_tokens(&setting.tokens));
    let sent = Sent::default();
    let service = layer.layer(refusing(&sent, || by_status(StatusCode::OK)));
    for (uri, expected) in [
        (GRAPHQL.to_owned(), false),
        (format!("{}/graphql", api.address), true),
    ] {
        let response = service.clone().oneshot(to(&uri)).await;
        assert_eq!(response.is_ok(), expected, "{uri}");
    }
    assert_eq!(sent.lock().unwrap().len(), 1);

    // An explicit base URL wins.
    let explicit = StorefrontApi::builder()
        .tokens(tokens())
        .base_url(&other.address)
        .build()
        .unwrap();
    explicit
        .graphql(customer(), "{ company }")
        .send()
        .await
        .unwrap();
    let request = explicit.request(Method::GET, &format!("{}/orders", api.address));
    assert!(explicit.send(customer(), request).await.is_err());
    assert_eq!((api.tokens().len(), other.tokens().len()), (2, 1));
}

#[test]
fn the_place_of_the_environment_is_where_tokens_go() {
    let environment = crate::Environment::from_lookup(|name| match name {
        "BIGCOMMERCE_STORE_HASH" => Some("abc123".into()),
        "BIGCOMMERCE_ACCESS_TOKEN" => Some("access".into()),
        "B2B_API_HOST" => Some("http://127.0.0.1:9/api/io".into()),
        _ => None,
    });
    let client = Client::<StoreAccess>::from_environment(&environment).unwrap();
    let tokens = StorefrontTokens::builder().client(client).build();
    let client = StorefrontApi::builder().tokens(tokens).build().unwrap();
    let request = client.request(Method::GET, "/orders").build().unwrap();
    assert_eq!(request.url().as_str(), "http://127.0.0.1:9/orders");
    let shown = format!("{client:?}");
    assert!(
        shown.contains("127.0.0.1") && !shown.contains("bigcommerce.com"),
        "{shown}"
    );
}

#[test]
fn plain_http_goes_where_the_client_goes_in_plain_http() {
    let setting = Setting::at("http://sandbox.internal:8080/api/io");
    let builder = || StorefrontApi::builder().tokens(setting.tokens.clone());
    let shown = format!("{:?}", builder().build().unwrap());
    assert!(
        shown.contains("\"http://sandbox.internal:8080\""),
        "{shown}"
    );
    for (base_url, expected) in [
        ("http://sandbox.internal:8080/shop", true),
        ("http://127.0.0.1:9", true),
        ("http://sandbox.internal:8081", false),
        ("http://sandbox.internal", false),
        ("http://user@sandbox.internal:8080", false),
    ] {
        let built = builder().base_url(base_url).build();
        assert_eq!(built.is_ok(), expected, "{base_url}");
    }
    let only = AllowedOrigins::only("http://sandbox.internal:8080");
    assert!(only.is_err());
    let setting = Setting::at("https://[::1]:8443/b2b");
    let shown = format!("{:?}", AllowedOrigins::of_tokens(&setting.tokens));
    assert!(shown.contains("[::1]") && shown.contains("8443"), "{shown}");
}

#[tokio::test]
async fn what_cannot_be_reached_or_read_in_time_is_told_without_the_url() {
    let setting = Setting::new();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let client = |timeout| {
        StorefrontApi::builder()
            .tokens(setting.tokens.clone())
            .base_url(&address)
            .timeout(timeout)
            .build()
            .unwrap()
    };
    let get = |client: StorefrontApi| async move {
        let request = client.request(Method::GET, "/secret-path");
        let error = client.send(customer(), request).await.unwrap_err();
        let texts = format!("{error} {error:?} {:?}", std::error::Error::source(&error));
        assert!(!texts.contains("secret-path"), "{texts}");
        error
    };
    // It listens, and never answers.
    let error = get(client(Duration::from_millis(50))).await;
    assert_eq!(
        (error.kind(), error.may_have_been_applied()),
        (ErrorKind::Timeout, true)
    );
    // It hangs up.
    let hang_up = tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let error = get(client(Duration::from_secs(20))).await;
    assert_eq!(
        (error.kind(), error.may_have_been_applied()),
        (ErrorKind::Interrupted, true)
    );
    hang_up.abort();
    let _ = hang_up.await;
    // There is nobody.
    let error = get(client(Duration::from_secs(20))).await;
    assert_eq!(
        (error.kind(), error.may_have_been_applied()),
        (ErrorKind::Connect, false)
    );
    assert!(error.is_retryable());
}

#[test]
fn a_client_is_not_built_for_a_place_that_is_none() {
    let setting = Setting::new();
    for (url, reason) in [
        ("api-b2b.bigcommerce.com", "absolute"),
        ("http://api.example", "in the clear"),
        ("https://api.example/?a=b", "a query"),
        ("https://api.example/#a", "a query"),
    ] {
        let built: Result<_, Error> = StorefrontApi::builder()
            .tokens(setting.tokens.clone())
            .base_url(url)
            .build();
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(reason), "{error}");
    }
    let usual = StorefrontApi::builder().tokens(setting.tokens.clone());
    assert_eq!(usual.build().is_ok(), crate::client::HAS_TLS);
    let client = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url("http://127.0.0.1:9/shop/")
        .graphql_path("b2b/graphql")
        .build()
        .unwrap();
    let request = client.request(Method::GET, "/a").build().unwrap();
    assert_eq!(request.url().as_str(), "http://127.0.0.1:9/shop/a");
    // A URL within the query does not make it one.
    let request = client
        .request(Method::GET, "/a?next=https://shop.example/")
        .build();
    let url = request.unwrap().url().clone();
    assert_eq!(
        url.as_str(),
        "http://127.0.0.1:9/shop/a?next=https://shop.example/"
    );
    assert!(format!("{client:?}").contains("http://127.0.0.1:9/shop"));
    let layer = TokenLayer::new(setting.tokens, AllowedOrigins::bigcommerce());
    assert!(format!("{layer:?}").contains("api-b2b"));
    let service = layer.layer("what is below");
    assert!(format!("{service:?}").contains("what is below"));
    assert_eq!(
        format!("{:?}", RepeatBy(|_: &String| None::<String>)),
        "RepeatBy"
    );
}

fn judged(api: &Api, setting: &Setting) -> StorefrontApi {
    StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .judge_responses_by(judge())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_rest_call_whose_token_was_rejected_without_a_401_is_repeated() {
    fn in_html(text: impl Into<axum::body::Body>) -> Response<axum::body::Body> {
        Response::builder()
            .header("content-type", "text/html")
            .body(text.into())
            .unwrap()
    }
    let answer = |path: &str, token: &str| match (path, token) {
        ("/long", _) => in_html("x".repeat(200_000)),
        (_, "token-2") => in_html("A page"),
        ("/419", _) => reply(419, "expired"),
        ("/501", _) => reply(501, "expired"),
        _ => in_html("Session expired"),
    };
    let api = Api::start(answer).await;
    for path in ["/419", "/501", "/page?a=b"] {
        let setting = Setting::new();
        let client = judged(&api, &setting);
        let request = client.request(Method::GET, path);
        let response = client.send(customer(), request).await.unwrap();
        let token_use: &TokenUse = response.extensions().get().unwrap();
        assert_eq!((token_use.sent, token_use.is_refused), (2, false), "{path}");
        // It is the response that came, also where its body was looked at.
        assert_eq!(response.url().as_str(), format!("{}{path}", api.address));
        assert_eq!(response.content_length(), Some(6));
        assert_eq!(response.headers()["content-type"], "text/html");
        assert_eq!(response.text().await.unwrap(), "A page");
        assert_eq!(setting.mints(), 2);

        let setting = Setting::new();
        let client = judged(&api, &setting);
        let body = reqwest::Body::wrap(Full::new(bytes::Bytes::from("a stream")));
        let request = client.request(Method::POST, path).body(body);
        let response = client.send(customer(), request).await.unwrap();
        let token_use: &TokenUse = response.extensions().get().unwrap();
        assert_eq!((token_use.sent, token_use.is_refused), (1, true), "{path}");
        assert!(response.text().await.unwrap().ends_with("expired"));
    }
    let setting = Setting::new();
    let client = judged(&api, &setting);
    let response = client.send(customer(), client.request(Method::GET, "/long"));
    let response = response.await.unwrap();
    assert_eq!(response.text().await.unwrap().len(), 200_000);
    assert_eq!(setting.mints(), 1);
}

#[tokio::test]
async fn a_graphql_call_whose_token_was_rejected_without_a_401_is_repeated() {
    let answer = |_: &str, token: &str| match token {
        "token-1" => Response::builder()
            .header("content-type", "text/html")
            .body("Session expired".into())
            .unwrap(),
        _ => reply(200, json!({"data": {"company": "ours"}})),
    };
    let (setting, api) = (Setting::new(), Api::start(answer).await);
    let client = judged(&api, &setting);
    let call = client.graphql(customer(), "{ company }").send();
    assert_eq!(call.await.unwrap().times_sent(), 2);

    let api = Api::start(|_, _| reply(419, "expired")).await;
    let setting = Setting::new();
    let client = judged(&api, &setting);
    let call = client.graphql(customer(), "{ company }").send();
    let error = call.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TokenRejected);
    assert_eq!((error.status(), setting.mints()), (Some(419), 2));
}

#[tokio::test]
async fn what_the_customer_may_not_do_costs_no_token_and_is_not_repeated() {
    fn answer(path: &str, _: &str) -> Response<axum::body::Body> {
        let code = match path {
            "/401" => json!(401),
            "/403" => json!("403"),
            _ => json!("INSUFFICIENT_ACCESS_SCOPE"),
        };
        let error = json!({"message": "Invalid User Access", "extensions": {"code": code}});
        reply(
            200,
            json!({"data": {"orders": null, "name": "ours"}, "errors": [error]}),
        )
    }
    let (setting, api) = (Setting::new(), Api::start(answer).await);
    for path in ["/401", "/403", "/scope"] {
        let client = StorefrontApi::builder()
            .tokens(setting.tokens.clone())
            .base_url(&api.address)
            .graphql_path(path)
            .build()
            .unwrap();
        let answer = client.graphql(customer(), "{ orders name }").send();
        let answer = answer.await.unwrap();
        assert!(answer.is_forbidden() && answer.times_sent() == 1);
        let error = answer.into_data::<Value>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert_eq!(error.request_id(), Some("request-7"));
    }
    assert_eq!((setting.mints(), api.tokens().len()), (1, 3));
    assert_eq!(setting.tokens.metrics().invalidated, 0);

    // The layer neither, whether in one response or in a batch of them.
    for body in [
        || json!({"errors": [{"message": "no", "extensions": {"code": 403}}]}),
        || json!([{"data": {"a": 1}}, {"errors": [{"message": "no", "extensions": {"code": "401"}}]}]),
    ] as [fn() -> Value; 2]
    {
        let setting = Setting::new();
        let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
        let service = layer.layer(service_fn(move |_: Request<String>| async move {
            Ok::<_, Infallible>(by_graphql(&body()))
        }));
        let response = service.oneshot(request(GRAPHQL)).await.unwrap();
        let token_use: &TokenUse = response.extensions().get().unwrap();
        assert_eq!((token_use.sent, token_use.is_refused), (1, false));
        assert_eq!(setting.mints(), 1);
    }
}
