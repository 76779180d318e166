//! Calls of the storefront's APIs: what is repeated and when, what counts against the rate limit, and what those who watch get
//! to see. In the *wire* harness: real sockets, and sleeps that are recorded.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    AllowedOrigins, BudgetLimit, Client, CustomerId, Error, ErrorKind, GraphqlReply, Judgement,
    ResponseJudge, RetryBudget, RetryPolicy, StoreAccess, StorefrontApi, StorefrontTokens,
    TokenLayer, TokenRequest, TokenUse,
    reqwest::Response,
    telemetry::{AttemptEvent, CallEvent, Observer, PermitWaitEvent, RetryEvent},
};
use bigcommerce_b2b_auth_sandbox::{
    CannedReply, Fault, Moment, Operation, RunningSandbox, Sandbox, demo,
};
use http::{Method, StatusCode};
use tests::{LongestWait, RecordingClock};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tower::{Layer as _, ServiceExt as _, service_fn};

const SECOND: Duration = Duration::from_secs(1);

const DOWN: Fault = Fault::EmptyError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

/// What the storefront API does with a request.
#[derive(Debug, Clone, Copy)]
enum Does {
    /// It answers with this status.
    Says(u16),
    /// The same, with `Retry-After` in seconds.
    Later(u16, u64),
    /// It answers with a body in GraphQL that breaks off.
    BreaksOff,
    /// It closes the connection without an answer.
    HangsUp,
    /// It never answers.
    IsSilent,
}

use Does::*;

/// A storefront API that does one thing after the other, and then answers with 200.
struct Api {
    address: String,
    /// Method and token of each request.
    sent: Arc<Mutex<Vec<String>>>,
}

impl Api {
    async fn start(script: &[Does]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let sent: Arc<Mutex<Vec<String>>> = Arc::default();
        let script: Arc<Mutex<VecDeque<Does>>> =
            Arc::new(Mutex::new(script.iter().copied().collect()));
        let seen = Arc::clone(&sent);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
                tokio::spawn(async move { answer(stream, &script, &seen).await });
            }
        });
        Self { address, sent }
    }

    fn sent(&self) -> Vec<String> {
        self.sent.lock().unwrap().clone()
    }
}

/// Answers one request, and closes the connection.
async fn answer(mut stream: TcpStream, script: &Mutex<VecDeque<Does>>, sent: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut piece).await else {
            return;
        };
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let header = |name: &str| {
            let line = head.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then_some(value)
            });
            line.unwrap_or_default().to_owned()
        };
        let is_whole = match header("transfer-encoding").as_str() {
            "chunked" => body.ends_with("0\r\n\r\n"),
            _ => body.len() >= header("content-length").parse().unwrap_or(0),
        };
        if !is_whole {
            continue;
        }
        let method = head.split(' ').next().unwrap_or_default();
        let token = header("authorization");
        let number = token.rsplit('-').next().unwrap_or_default();
        sent.lock().unwrap().push(format!("{method} {number}"));
        let does = script.lock().unwrap().pop_front().unwrap_or(Says(200));
        let body = r#"{"data": {"company": "ours"}}"#;
        let (status, more, length) = match does {
            Says(status) => (status, String::new(), body.len()),
            Later(status, seconds) => (status, format!("retry-after: {seconds}\r\n"), body.len()),
            BreaksOff => (200, String::new(), body.len() + 1),
            HangsUp => return,
            IsSilent => return std::future::pending().await,
        };
        let body = if method == "HEAD" { "" } else { body };
        let response = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
             x-request-id: request-7\r\n{more}connection: close\r\n\r\n{body}"
        );
        let _ = stream.write_all(response.as_bytes()).await;
        return;
    }
}

/// What the hook is told, as a line each.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl Lines {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    /// What was told of calls of the storefront's APIs.
    fn take(&self) -> Vec<String> {
        let mut lines = std::mem::take(&mut *self.0.lock().unwrap());
        lines.retain(|line| line.contains("storefront-"));
        lines
    }
}

impl Observer for Lines {
    fn on_permit_wait(&self, event: &PermitWaitEvent<'_>) {
        self.add(format!("{} waited: {}", event.operation.id, event.granted));
    }

    fn on_attempt(&self, event: &AttemptEvent<'_>) {
        self.add(format!(
            "{} {} attempt {}: {:?} {:?}",
            event.operation.id, event.operation.method, event.attempt, event.status, event.failed
        ));
    }

    fn on_retry(&self, event: &RetryEvent<'_>) {
        self.add(format!(
            "{} again in {:?} after {}: {:?}",
            event.operation.id, event.wait, event.attempt, event.cause
        ));
    }

    fn on_call(&self, event: &CallEvent<'_>) {
        self.add(format!(
            "{} of {:?} after {}: {:?}",
            event.operation.id, event.store_hash, event.attempts, event.outcome
        ));
    }
}

/// A store, its Authentication API in process, and a client that waits for nothing.
struct Setting {
    clock: RecordingClock,
    client: Client,
    tokens: StorefrontTokens,
    lines: Arc<Lines>,
    sandbox: RunningSandbox,
}

impl Setting {
    async fn new() -> Self {
        Self::with(RetryPolicy::default(), BudgetLimit::unlimited()).await
    }

    async fn with(retry: RetryPolicy, limit: BudgetLimit) -> Self {
        let sandbox = Sandbox::builder().seed(1).start().await.unwrap();
        // Tokens of their own, which tell their number.
        for number in 1..5 {
            let body = format!(r#"{{"code": 200, "data": {{"token": ["token-{number}"]}}}}"#);
            sandbox.respond_next(Operation::Mint, CannedReply::new(StatusCode::OK).body(body));
        }
        let clock = RecordingClock::default();
        let lines = Arc::new(Lines::default());
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .base_url(sandbox.base_url())
            .clock(Arc::new(clock.clone()))
            .jitter(Arc::new(LongestWait))
            .budget_limit(limit)
            .retry(retry)
            .retry_budget(RetryBudget::of(5))
            .observer(Arc::clone(&lines) as Arc<dyn Observer>)
            .record_customer_id(true)
            .build()
            .unwrap();
        let tokens = StorefrontTokens::builder().client(client.clone()).build();
        Self {
            clock,
            client,
            tokens,
            lines,
            sandbox,
        }
    }

    fn api(&self, api: &Api) -> StorefrontApi {
        StorefrontApi::builder()
            .tokens(self.tokens.clone())
            .base_url(&api.address)
            .build()
            .unwrap()
    }

    async fn request(&self, api: &Api, method: Method) -> Result<Response, Error> {
        let client = self.api(api);
        let request = client.request(method, "/orders/7?with=secret");
        client.send(customer(), request).await
    }

    async fn query(&self, api: &Api) -> Result<GraphqlReply, Error> {
        let client = self.api(api);
        let call = client.graphql(customer(), "{ company }");
        call.may_be_repeated(true).send().await
    }
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

fn sent_times(response: &Response) -> u32 {
    response.extensions().get::<TokenUse>().unwrap().sent
}

#[tokio::test]
async fn a_request_that_may_be_repeated_is_repeated_after_what_may_pass() {
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ] {
        let (setting, api) = (
            Setting::new().await,
            Api::start(&[Says(503), Later(429, 3), HangsUp]).await,
        );
        let response = setting.request(&api, method.clone()).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), sent_times(&response)),
            (200, 4)
        );
        assert_eq!(api.sent(), vec![format!("{method} 1"); 4]);
        assert_eq!(
            setting.clock.slept(),
            [Duration::from_millis(250), 3 * SECOND, SECOND]
        );
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_repeated_is_sent_once() {
    for method in [Method::POST, Method::PATCH] {
        for does in [Says(503), Later(429, 3)] {
            let (setting, api) = (Setting::new().await, Api::start(&[does]).await);
            let response = setting.request(&api, method.clone()).await.unwrap();
            assert!(!response.status().is_success());
            assert_eq!((sent_times(&response), api.sent().len()), (1, 1));
        }
        let (setting, api) = (Setting::new().await, Api::start(&[HangsUp]).await);
        let error = setting.request(&api, method).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(error.may_have_been_applied() && !error.is_retryable());
        assert_eq!((error.attempts(), api.sent().len()), (1, 1));
        assert!(setting.clock.slept().is_empty());
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_copied_is_sent_once() {
    let (setting, api) = (Setting::new().await, Api::start(&[Says(503)]).await);
    let client = setting.api(&api);
    let pieces = futures_util::stream::iter([Ok::<_, Infallible>("a body")]);
    let body = bigcommerce_b2b_auth::reqwest::Body::wrap_stream(pieces);
    let request = client.request(Method::PUT, "/orders").body(body);
    let response = client.send(customer(), request).await.unwrap();
    assert_eq!((response.status().as_u16(), api.sent().len()), (503, 1));
}

#[tokio::test]
async fn what_does_not_pass_by_itself_is_not_repeated() {
    for status in [307, 400, 403, 404, 501, 505] {
        let (setting, api) = (Setting::new().await, Api::start(&[Says(status)]).await);
        let response = setting.request(&api, Method::GET).await.unwrap();
        assert_eq!((response.status().as_u16(), api.sent().len()), (status, 1));
    }
}

#[tokio::test]
async fn a_graphql_call_is_repeated_if_it_says_so() {
    for does in [Says(503), Later(429, 3), BreaksOff, HangsUp] {
        let (setting, api) = (Setting::new().await, Api::start(&[does]).await);
        let client = setting.api(&api);
        let error = client.graphql(customer(), "{ company }").send().await;
        let error = error.unwrap_err();
        assert_eq!((error.attempts(), api.sent().len()), (1, 1), "{error}");
        assert_eq!(error.is_retryable(), matches!(does, Later(..)), "{error}");

        let (setting, api) = (Setting::new().await, Api::start(&[does, does]).await);
        let answer = setting.query(&api).await.unwrap();
        assert_eq!((answer.times_sent(), answer.meta().attempts), (3, 3));
        assert_eq!(api.sent(), ["POST 1", "POST 1", "POST 1"]);
    }

    // For all calls of a client, but for those that say otherwise.
    let (setting, api) = (
        Setting::new().await,
        Api::start(&[Says(503), Says(200), Says(503)]).await,
    );
    let client = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .graphql_may_be_repeated(true)
        .build()
        .unwrap();
    let call = || client.graphql(customer(), "{ company }");
    assert_eq!(call().send().await.unwrap().times_sent(), 2);
    let once = call().may_be_repeated(false).send().await.unwrap_err();
    assert_eq!((once.status(), api.sent().len()), (Some(503), 3));
    assert!(once.may_have_been_applied() && !once.is_retryable());
}

#[tokio::test]
async fn an_error_tells_of_all_attempts() {
    let (setting, api) = (Setting::new().await, Api::start(&[Says(503); 9]).await);
    let error = setting.query(&api).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Server, 4));
    assert!(error.is_retryable() && error.may_have_been_applied());
    assert!(error.elapsed() >= Duration::from_millis(1_750), "{error}");
    assert!(error.to_string().contains("4 attempts in "), "{error}");
    assert_eq!(error.request_id(), Some("request-7"));

    // What may have been done in one attempt may have been done.
    let (setting, api) = (
        Setting::new().await,
        Api::start(&[HangsUp, Says(404)]).await,
    );
    let error = setting.query(&api).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::NotFound, 2));
    assert!(error.may_have_been_applied());
}

#[tokio::test]
async fn retries_keep_to_policy_deadline_and_budget() {
    let policy = RetryPolicy::builder().max_attempts(2).build();
    let setting = Setting::with(policy, BudgetLimit::unlimited()).await;
    let api = Api::start(&[Says(503); 9]).await;
    let response = setting.request(&api, Method::GET).await.unwrap();
    assert_eq!((response.status().as_u16(), api.sent().len()), (503, 2));

    // A policy of its own.
    let never = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let request = never.request(Method::GET, "/orders");
    assert_eq!(never.send(customer(), request).await.unwrap().status(), 503);
    assert_eq!(api.sent().len(), 3);

    // A wait that ends too late is not begun, and told.
    let (setting, api) = (Setting::new().await, Api::start(&[Later(429, 600)]).await);
    let error = setting.query(&api).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry_after(), Some(600 * SECOND));
    assert!(error.is_retryable() && setting.clock.slept().is_empty());

    // One that the policy would have waited for.
    let api = Api::start(&[Later(503, 20); 9]).await;
    let hurried = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .deadline(30 * SECOND)
        .build()
        .unwrap();
    let request = hurried.request(Method::GET, "/orders");
    let response = hurried.send(customer(), request).await.unwrap();
    assert_eq!((response.status().as_u16(), api.sent().len()), (503, 2));
    assert_eq!(setting.clock.slept(), [20 * SECOND]);

    // An attempt that repeats another one has no longer than is left.
    let api = Api::start(&[Says(503), IsSilent]).await;
    let hurried = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .retry(RetryPolicy::builder().first_wait(Duration::ZERO).build())
        .deadline(Duration::from_millis(200))
        .build()
        .unwrap();
    let request = hurried.request(Method::GET, "/orders");
    let error = hurried.send(customer(), request).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 2));
    assert!(error.elapsed() < 10 * SECOND, "{error}");

    // Five repetitions in an outage, and then none.
    let (setting, api) = (Setting::new().await, Api::start(&[Says(503); 99]).await);
    let client = setting.api(&api);
    for expected in [4, 3, 1, 1] {
        let request = client.request(Method::GET, "/orders");
        let response = client.send(customer(), request).await.unwrap();
        assert_eq!(sent_times(&response), expected);
    }
    // Five calls that work at once earn one.
    let script = [
        &[Says(503); 9][..],
        &[Says(200); 5],
        &[Says(503), Says(200)],
    ]
    .concat();
    let api = Api::start(&script).await;
    let client = setting.api(&api);
    for expected in [4, 3, 1, 1, 1, 1, 1, 1, 1, 2] {
        let request = client.request(Method::GET, "/orders");
        let response = client.send(customer(), request).await.unwrap();
        assert_eq!(sent_times(&response), expected);
    }
    // The calls of the Authentication API have theirs.
    setting.sandbox.begin_outage(DOWN);
    let mint = setting
        .client
        .mint_storefront_token(customer())
        .send()
        .await;
    assert_eq!(mint.unwrap_err().attempts(), 4);
}

#[tokio::test]
async fn a_rejected_token_and_retries_are_counted_together() {
    let script = [Says(503), Says(401), Says(503), Says(200)];
    let (setting, api) = (Setting::new().await, Api::start(&script).await);
    let response = setting.request(&api, Method::GET).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), sent_times(&response)),
        (200, 4)
    );
    assert_eq!(api.sent(), ["GET 1", "GET 1", "GET 2", "GET 2"]);

    let script = [Says(503), Says(503), Says(401), Says(503), Says(503)];
    let (setting, api) = (Setting::new().await, Api::start(&script).await);
    let response = setting.request(&api, Method::GET).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), sent_times(&response)),
        (503, 4)
    );
}

#[tokio::test]
async fn a_rejection_that_looks_like_an_outage_is_a_rejection() {
    let (setting, api) = (Setting::new().await, Api::start(&[Says(503)]).await);
    let judge = ResponseJudge::new(|response| match response.status.as_u16() {
        503 => Judgement::TokenRejected,
        _ => Judgement::NoOpinion,
    });
    let client = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .judge_responses_by(judge)
        .build()
        .unwrap();
    let request = client.request(Method::GET, "/orders");
    let response = client.send(customer(), request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), sent_times(&response)),
        (200, 2)
    );
    assert_eq!(api.sent(), ["GET 1", "GET 2"]);
}

#[tokio::test]
async fn attempts_take_permits_where_they_are_to() {
    let limit = BudgetLimit::at_most(60, 60 * SECOND, 1);
    let setting = Setting::with(RetryPolicy::default(), limit).await;
    let api = Api::start(&[]).await;
    // The token takes the one that is there; calls need none.
    for _ in 0..3 {
        setting.request(&api, Method::GET).await.unwrap();
    }
    assert!(setting.clock.slept().is_empty());
    setting.lines.take();

    let api = Api::start(&[Says(200), Says(503), Later(429, 7)]).await;
    let counted = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .counts_against_rate_limit(true)
        .build()
        .unwrap();
    let call = || counted.send(customer(), counted.request(Method::GET, "/orders"));
    call().await.unwrap();
    call().await.unwrap();
    assert_eq!(api.sent().len(), 4);
    let waits = setting.lines.take();
    let waits = waits.iter().filter(|line| line.contains("waited: true"));
    assert!(waits.count() >= 3);

    // A 429 stops everybody for as long as it says.
    let api = Api::start(&[Later(429, 600)]).await;
    let counted = StorefrontApi::builder()
        .tokens(setting.tokens.clone())
        .base_url(&api.address)
        .counts_against_rate_limit(true)
        .build()
        .unwrap();
    let call = || counted.send(customer(), counted.request(Method::GET, "/orders"));
    assert_eq!(call().await.unwrap().status(), 429);
    assert!(setting.client.budget().closed_for.is_some());
    let error = call().await.unwrap_err();
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::RateLimited, 0)
    );
    assert!(error.retry_after().is_some() && !error.may_have_been_applied());
    assert_eq!(api.sent().len(), 1);
}

#[tokio::test]
async fn calls_are_told_to_the_observer() {
    let script = [Says(503), Says(401), Says(200)];
    let (setting, api) = (Setting::new().await, Api::start(&script).await);
    setting.request(&api, Method::GET).await.unwrap();
    let store = format!("Some({:?})", demo::STORE_HASH);
    assert_eq!(
        setting.lines.take(),
        [
            "storefront-rest GET attempt 1: Some(503) Some(Server)",
            "storefront-rest again in 250ms after 1: ServerError",
            "storefront-rest GET attempt 2: Some(401) Some(TokenRejected)",
            "storefront-rest GET attempt 3: Some(200) None",
            &format!("storefront-rest of {store} after 3: Succeeded"),
        ]
    );

    let (setting, api) = (
        Setting::new().await,
        Api::start(&[Says(404), HangsUp]).await,
    );
    setting.request(&api, Method::POST).await.unwrap();
    setting.request(&api, Method::PATCH).await.unwrap_err();
    let client = setting.api(&api);
    client
        .graphql(customer(), "{ company }")
        .send()
        .await
        .unwrap();
    assert_eq!(
        setting.lines.take(),
        [
            "storefront-rest POST attempt 1: Some(404) Some(NotFound)",
            &format!("storefront-rest of {store} after 1: Failed(NotFound)"),
            "storefront-rest PATCH attempt 1: None Some(Interrupted)",
            &format!("storefront-rest of {store} after 1: Failed(Interrupted)"),
            "storefront-graphql POST attempt 1: Some(200) None",
            &format!("storefront-graphql of {store} after 1: Succeeded"),
        ]
    );

    // Without a token nothing is sent; and a call can be dropped.
    setting.tokens.shutdown().await;
    let unknown = TokenRequest::new(CustomerId::new(77).unwrap());
    client
        .graphql(unknown, "{ company }")
        .send()
        .await
        .unwrap_err();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = Api {
        address: format!("http://{}", listener.local_addr().unwrap()),
        sent: Arc::default(),
    };
    let call = setting.request(&silent, Method::GET);
    let accepted = async {
        let mut stream = listener.accept().await.unwrap().0;
        stream.read_u8().await.unwrap()
    };
    tokio::select! {
        _ = call => {}
        _ = accepted => {}
    }
    assert_eq!(
        setting.lines.take(),
        [
            format!("storefront-graphql of {store} after 0: Failed(ShutDown)"),
            format!("storefront-rest of {store} after 1: Dropped"),
        ]
    );
}

#[tokio::test]
async fn calls_through_the_layer_are_told_to_the_observer() {
    let setting = Setting::new().await;
    let layer = TokenLayer::new(setting.tokens.clone(), AllowedOrigins::bigcommerce());
    let answers = Arc::new(Mutex::new(VecDeque::from([
        Ok(401),
        Ok(200),
        Ok(500),
        Err("the line is cut"),
    ])));
    let service = layer.layer(service_fn(move |_: http::Request<String>| {
        let answer = answers.lock().unwrap().pop_front().unwrap();
        async move {
            let status = answer.map_err(std::io::Error::other)?;
            let mut response = http::Response::new(String::new());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            Ok::<_, std::io::Error>(response)
        }
    }));
    let send = |method: Method, path: &str| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("https://api-b2b.bigcommerce.com{path}"))
            .extension(TokenRequest::new(customer()))
            .body(String::new())
            .unwrap();
        service.clone().oneshot(request)
    };
    assert_eq!(send(Method::POST, "/graphql").await.unwrap().status(), 200);
    assert_eq!(send(Method::GET, "/orders").await.unwrap().status(), 500);
    assert!(send(Method::TRACE, "/orders").await.is_err());
    let store = format!("Some({:?})", demo::STORE_HASH);
    assert_eq!(
        setting.lines.take(),
        [
            "storefront-graphql POST attempt 1: Some(401) Some(TokenRejected)",
            "storefront-graphql POST attempt 2: Some(200) None",
            &format!("storefront-graphql of {store} after 2: Succeeded"),
            "storefront-rest GET attempt 1: Some(500) Some(Server)",
            &format!("storefront-rest of {store} after 1: Failed(Server)"),
            "storefront-rest _OTHER attempt 1: None Some(Interrupted)",
            &format!("storefront-rest of {store} after 1: Failed(Interrupted)"),
        ]
    );
}
