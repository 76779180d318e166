//! How people run it: an HTTP client of their own, proxies, connections that are kept, HTTP/2, credentials that change, and
//! one client on several runtimes. All of it over sockets on loopback.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls are deployed as well")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error as _,
    future::{Future, pending},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, Once,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Client, CustomerId, Error, ErrorKind, LegacyAuthToken, RotatingSecret, Secret,
    SecretFuture, SecretProvider, ServerTokenId, StoreAccess, StoreHash,
};
use http::{HeaderMap, Method, Response, StatusCode, Uri, Version, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::redirect::Policy;
use tests::{RecordingClock, render};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Handle, Runtime},
    sync::{Barrier, Notify},
};

const ACCESS_TOKEN: &str = "planted-access-token";
const NEWER_TOKEN: &str = "planted-newer-token";
const LEGACY_TOKEN: &str = "planted-legacy-token";
const PASSWORD: &str = "planted-password";
const SESSION_JWT: &str = "eyJplanted.eyJzZXNzaW9uIjoxfQ.signature";

/// A request as it arrived.
#[derive(Debug, Clone)]
struct Seen {
    method: Method,
    uri: Uri,
    version: Version,
    headers: HeaderMap,
}

impl Seen {
    fn token(&self) -> &str {
        self.headers
            .get("x-auth-token")
            .map_or("", |value| value.to_str().unwrap())
    }
}

type Answer = Response<String>;

/// A server that keeps its connections, and counts them.
#[derive(Debug, Clone, Default)]
struct Server {
    base_url: String,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start<F>(answer: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self::start_with(false, answer).await
    }

    async fn start_with<F>(http2: bool, answer: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            base_url: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let answer = Arc::new(answer);
        let this = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                this.connections.fetch_add(1, Ordering::SeqCst);
                let (answer, this) = (Arc::clone(&answer), this.clone());
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let (head, _) = request.into_parts();
                    let seen = Seen {
                        method: head.method,
                        uri: head.uri,
                        version: head.version,
                        headers: head.headers,
                    };
                    this.seen.lock().unwrap().push(seen.clone());
                    let answer = answer(seen);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let io = TokioIo::new(stream);
                tokio::spawn(async move {
                    if http2 {
                        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await;
                    } else {
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await;
                    }
                });
            }
        });
        server
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn tokens(&self) -> Vec<String> {
        self.seen()
            .iter()
            .map(|seen| seen.token().to_owned())
            .collect()
    }
}

fn minted() -> Answer {
    Response::new(r#"{"code": 200, "data": {"token": ["opaque"]}}"#.to_owned())
}

fn refused(status: u16) -> Answer {
    let text = r#"{"code": 403, "data": {}, "meta": {"message": "Invalid access token"}}"#;
    let mut answer = Response::new(text.to_owned());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    answer
}

/// A service that takes one token and refuses all others.
async fn takes(token: &'static str, status: u16) -> Server {
    Server::start(move |seen| async move {
        if seen.token() == token {
            minted()
        } else {
            refused(status)
        }
    })
    .await
}

fn access() -> StoreAccess {
    StoreAccess::new("abc123", ACCESS_TOKEN).unwrap()
}

fn provided(provider: impl SecretProvider) -> StoreAccess {
    StoreAccess::from_provider("abc123", provider).unwrap()
}

/// A client without a budget limit, whose waits between attempts are none.
fn client(base_url: &str, credentials: StoreAccess) -> Client {
    Client::builder()
        .credentials(credentials)
        .base_url(base_url)
        .budget_limit(BudgetLimit::unlimited())
        .clock(Arc::new(RecordingClock::default()))
        .build()
        .unwrap()
}

fn client_over(
    base_url: &str,
    http: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static,
) -> Client {
    Client::builder()
        .credentials(access())
        .base_url(base_url)
        .allow_insecure_http(true)
        .budget_limit(BudgetLimit::unlimited())
        .clock(Arc::new(RecordingClock::default()))
        .http(http)
        .build()
        .unwrap()
}

async fn mint(client: &Client) -> Result<(), Error> {
    client
        .mint_storefront_token(CustomerId::new(42).unwrap())
        .send()
        .await
        .map(drop)
}

/// The errors of all six operations.
async fn all_six(client: &Client) -> Vec<Error> {
    let legacy = client.with_legacy_auth_token(LegacyAuthToken::new(LEGACY_TOKEN).unwrap());
    let log_in = client
        .log_in_storefront_user()
        .email("ada@example.com")
        .password(PASSWORD)
        .name("n");
    let create = client
        .create_server_token()
        .email("ada@example.com")
        .password(PASSWORD)
        .name("n");
    let delete = legacy.delete_server_token(ServerTokenId::new(1).unwrap());
    let exchange = client.exchange_session_jwt(SESSION_JWT);
    vec![
        mint(client).await.unwrap_err(),
        log_in.send().await.unwrap_err(),
        exchange.send().await.unwrap_err(),
        create.send().await.unwrap_err(),
        legacy.list_server_tokens().send().await.unwrap_err(),
        delete.send().await.unwrap_err(),
    ]
}

fn shows_no_secret(error: &Error) {
    let shown = render(error);
    for secret in [
        ACCESS_TOKEN,
        NEWER_TOKEN,
        LEGACY_TOKEN,
        PASSWORD,
        "eyJ",
        "jwtToken",
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

// -- An HTTP client of the caller's own

#[tokio::test]
async fn a_builder_that_follows_redirects_follows_none() {
    let elsewhere = Server::start(async |_| minted()).await;
    let target = format!("{}/taken", elsewhere.base_url);
    let service = Server::start(move |_| {
        let target = target.clone();
        async move {
            let mut answer = Response::new(String::new());
            *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
            answer
                .headers_mut()
                .insert(header::LOCATION, target.parse().unwrap());
            answer
        }
    })
    .await;
    let hostile = || {
        reqwest::Client::builder()
            .redirect(Policy::limited(10))
            .referer(true)
            .no_proxy()
    };
    let errors = all_six(&client_over(&service.base_url, hostile)).await;
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Redirected, "{error}");
        shows_no_secret(error);
    }
    assert_eq!((service.seen().len(), errors.len()), (6, 6));
    assert_eq!(elsewhere.connections(), 0);
}

/// Keeps what is logged.
struct Logged(Mutex<String>);

static LOGGED: Logged = Logged(Mutex::new(String::new()));

impl log::Log for Logged {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push_str(&record.args().to_string());
    }

    fn flush(&self) {}
}

#[tokio::test]
async fn a_builder_that_logs_connections_logs_none() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&LOGGED).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
    let logged = |what: &str| LOGGED.0.lock().unwrap().contains(what);
    let service = Server::start(async |_| minted()).await;
    let talkative = || {
        reqwest::Client::builder()
            .connection_verbose(true)
            .no_proxy()
    };
    // So that the silence below says something.
    let plain = talkative().build().unwrap();
    let request = plain
        .get(&service.base_url)
        .header("x-probe", "logged-probe");
    request.send().await.unwrap();
    assert!(logged("logged-probe"));

    let credentials = StoreAccess::new("abc123", "planted-for-the-log").unwrap();
    let client = client_over(&service.base_url, talkative).for_store(credentials);
    mint(&client).await.unwrap();
    assert_eq!(service.tokens().last().unwrap(), "planted-for-the-log");
    assert!(!logged("planted-for-the-log"));
}

// -- Proxies

#[tokio::test]
async fn plain_http_goes_through_the_proxy_of_the_builder() {
    let proxy = Server::start(async |_| minted()).await;
    let through = reqwest::Proxy::all(&proxy.base_url).unwrap();
    let http = move || reqwest::Client::builder().proxy(through.clone());
    mint(&client_over("http://b2b.invalid", http))
        .await
        .unwrap();
    let seen = proxy.seen().pop().unwrap();
    assert_eq!(
        seen.uri,
        "http://b2b.invalid/api/io/auth/customers/storefront"
    );
    assert_eq!(seen.token(), ACCESS_TOKEN);
}

#[tokio::test]
async fn https_asks_the_proxy_for_a_tunnel_and_shows_it_nothing() {
    // The proxy takes part in the call until the tunnel is up: it refuses that.
    let proxy = Server::start(async |_| refused(502)).await;
    let through = reqwest::Proxy::all(&proxy.base_url)
        .unwrap()
        .basic_auth("proxy-user", "proxy-password");
    let http = move || reqwest::Client::builder().proxy(through.clone());
    let errors = all_six(&client_over("https://b2b.invalid", http)).await;
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(!error.may_have_been_applied() && error.is_retryable());
        shows_no_secret(error);
        assert!(!render(error).contains("proxy-password"));
    }
    let seen = proxy.seen();
    let attempts: u32 = errors.iter().map(Error::attempts).sum();
    assert_eq!(seen.len(), attempts as usize);
    for seen in seen {
        assert_eq!(seen.method, Method::CONNECT);
        assert_eq!(seen.uri, "b2b.invalid:443");
        assert!(seen.headers.contains_key(header::PROXY_AUTHORIZATION));
        for name in ["x-auth-token", "x-store-hash", "authtoken"] {
            assert!(!seen.headers.contains_key(name), "{name}");
        }
        let shown = format!("{seen:?}");
        for secret in [ACCESS_TOKEN, LEGACY_TOKEN, PASSWORD, SESSION_JWT, "abc123"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

// -- Connections

#[tokio::test]
async fn calls_one_after_another_share_a_connection() {
    let service = Server::start(async |_| minted()).await;
    let client = client(&service.base_url, access());
    for _ in 0..20 {
        // Clones and relatives are of one pool.
        mint(&client.for_store(access())).await.unwrap();
    }
    assert_eq!((service.connections(), service.seen().len()), (1, 20));
}

#[tokio::test]
async fn http2_carries_calls_side_by_side_on_one_connection() {
    const CALLS: usize = 16;
    // Nobody is answered before all are there.
    let all_there = Arc::new(Barrier::new(CALLS));
    let service = Server::start_with(true, move |_| {
        let all_there = Arc::clone(&all_there);
        async move {
            all_there.wait().await;
            minted()
        }
    })
    .await;
    let http = || {
        reqwest::Client::builder()
            .http2_prior_knowledge()
            .no_proxy()
    };
    let client = client_over(&service.base_url, http);
    let calls = (0..CALLS).map(|_| mint(&client));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert_eq!((service.connections(), service.seen().len()), (1, CALLS));
    let versions = service.seen();
    assert!(versions.iter().all(|seen| seen.version == Version::HTTP_2));
}

// -- Credentials that change

#[tokio::test]
async fn a_rotated_token_is_used_by_the_next_call() {
    let service = takes(NEWER_TOKEN, 401).await;
    let token = RotatingSecret::new(ACCESS_TOKEN);
    let client = client(&service.base_url, provided(token.clone()));
    let error = mint(&client).await.unwrap_err();
    // There is no newer one yet, so there is no other attempt.
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    assert_eq!(error.attempts(), 1);
    token.set(NEWER_TOKEN);
    mint(&client).await.unwrap();
    assert_eq!(service.tokens(), [ACCESS_TOKEN, NEWER_TOKEN]);
}

/// What a provider is to say when it is asked.
#[derive(Debug, Clone, Copy)]
enum Say {
    Token(&'static str),
    Failure,
    Nothing,
}

/// Says one thing after the other, the last one again and again, and keeps what it was told to be refused.
#[derive(Debug, Clone)]
struct Scripted(Arc<Mutex<Script>>);

#[derive(Debug)]
struct Script {
    to_say: VecDeque<Say>,
    refused: Vec<Option<String>>,
}

impl Scripted {
    fn new(to_say: impl IntoIterator<Item = Say>) -> Self {
        Self(Arc::new(Mutex::new(Script {
            to_say: to_say.into_iter().collect(),
            refused: Vec::new(),
        })))
    }

    /// One for each time that it was asked.
    fn refused(&self) -> Vec<Option<String>> {
        self.0.lock().unwrap().refused.clone()
    }
}

impl SecretProvider for Scripted {
    fn secret<'a>(&'a self, refused: Option<&'a Secret>) -> SecretFuture<'a> {
        let mut script = self.0.lock().unwrap();
        let refused = refused.map(|secret| secret.expose_secret().to_owned());
        script.refused.push(refused);
        let say = script.to_say[0];
        if script.to_say.len() > 1 {
            script.to_say.pop_front();
        }
        Box::pin(async move {
            match say {
                Say::Token(token) => Ok(token.into()),
                Say::Failure => Err("the vault is sealed".into()),
                Say::Nothing => pending().await,
            }
        })
    }
}

#[tokio::test]
async fn a_refused_token_is_asked_for_once_more() {
    for status in [401, 403] {
        let service = takes(NEWER_TOKEN, status).await;
        let provider = Scripted::new([Say::Token(ACCESS_TOKEN), Say::Token(NEWER_TOKEN)]);
        let client = client(&service.base_url, provided(provider.clone()));
        mint(&client).await.unwrap();
        assert_eq!(service.tokens(), [ACCESS_TOKEN, NEWER_TOKEN]);
        assert_eq!(provider.refused(), [None, Some(ACCESS_TOKEN.to_owned())]);
    }
}

#[tokio::test]
async fn a_provider_is_asked_twice_in_a_call_at_the_most() {
    let service = takes("another one", 403).await;
    for (second, attempts) in [
        (Say::Token(NEWER_TOKEN), 2),
        (Say::Token(ACCESS_TOKEN), 1),
        (Say::Failure, 1),
        (Say::Token("no\nheader"), 1),
    ] {
        let provider = Scripted::new([Say::Token(ACCESS_TOKEN), second, Say::Nothing]);
        let client = client(&service.base_url, provided(provider.clone()));
        let error = mint(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{second:?}");
        assert_eq!(error.attempts(), attempts, "{second:?}");
        assert_eq!(provider.refused().len(), 2);
        shows_no_secret(&error);
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let service = takes(ACCESS_TOKEN, 401).await;
    for say in [
        Say::Failure,
        Say::Token(""),
        Say::Token("planted-access-token\r\nx-evil: 1"),
        Say::Token(" planted-access-token"),
        Say::Nothing,
    ] {
        let provider = Scripted::new([say]);
        let client = Client::builder()
            .credentials(provided(provider.clone()))
            .base_url(&*service.base_url)
            .deadline(Duration::from_millis(100))
            .build()
            .unwrap();
        let error = mint(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CredentialsUnavailable, "{say:?}");
        assert_eq!(error.attempts(), 0);
        assert!(!error.may_have_been_applied());
        shows_no_secret(&error);
        match say {
            Say::Failure => {
                let source = error.source().unwrap().to_string();
                assert_eq!(source, "the vault is sealed");
            }
            Say::Nothing => assert!(error.elapsed() >= Duration::from_millis(100)),
            Say::Token(_) => assert!(error.source().is_some()),
        }
        // What sends no token asks for none.
        let jwt_only = client.exchange_session_jwt(SESSION_JWT).send().await;
        assert_eq!(
            jwt_only.unwrap_err().kind(),
            ErrorKind::Unauthenticated,
            "{say:?}"
        );
        assert_eq!(provider.refused().len(), 1);
    }
    assert!(service.tokens().iter().all(String::is_empty));
}

#[tokio::test]
async fn a_provider_that_hangs_after_a_refusal_leaves_the_refusal() {
    let service = takes(NEWER_TOKEN, 403).await;
    let provider = Scripted::new([Say::Token(ACCESS_TOKEN), Say::Nothing]);
    let client = Client::builder()
        .credentials(provided(provider))
        .base_url(&*service.base_url)
        .deadline(Duration::from_millis(200))
        .build()
        .unwrap();
    let error = mint(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    assert_eq!(service.tokens(), [ACCESS_TOKEN]);
}

#[tokio::test]
async fn a_legacy_token_is_provided_as_well() {
    let service = Server::start(async |_| refused(401)).await;
    let provider = Scripted::new([Say::Token(LEGACY_TOKEN), Say::Token(NEWER_TOKEN)]);
    let client = Client::builder()
        .credentials(LegacyAuthToken::from_provider(provider))
        .base_url(&*service.base_url)
        .build()
        .unwrap();
    let error = client.list_server_tokens().send().await.unwrap_err();
    assert_eq!(error.attempts(), 2);
    shows_no_secret(&error);
    let sent: Vec<_> = service
        .seen()
        .iter()
        .map(|seen| seen.headers["authtoken"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(sent, [LEGACY_TOKEN, NEWER_TOKEN]);
}

// -- Runtimes

fn runtime() -> Runtime {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_client_outlives_the_runtime_that_it_was_used_on() {
    let far = runtime();
    let service = far.block_on(Server::start(async |_| minted()));
    // Built outside of any runtime.
    let client = client(&service.base_url, access());
    for near in [current_thread(), runtime(), current_thread()] {
        let before = service.connections();
        near.block_on(async {
            mint(&client).await.unwrap();
            mint(&client).await.unwrap();
        });
        // The connection was of the runtime, and the next one notices that it is gone.
        assert!(service.connections() > before);
        drop(near);
    }
    assert_eq!(service.seen().len(), 6);
}

#[test]
fn a_client_serves_two_runtimes_at_once() {
    let far = runtime();
    let together = Arc::new(Barrier::new(2));
    let service = far.block_on(Server::start(move |_| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            minted()
        }
    }));
    let client = client(&service.base_url, access());
    let threads = [current_thread(), runtime()].map(|near| {
        let client = client.clone();
        std::thread::spawn(move || near.block_on(mint(&client)))
    });
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

/// Polls once.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// What a dropped call was about ends as soon as its task has had its turn.
async fn no_more_tasks_than(before: usize) {
    let ended = async {
        while tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    // Far more than it takes: a test that fails should end, too.
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_call_gives_its_place_back() {
    let client = Client::builder()
        .credentials(access())
        .base_url("http://127.0.0.1:1")
        .budget_limit(BudgetLimit::at_most(1, Duration::from_secs(60), 1))
        .build()
        .unwrap();
    let before = tasks();
    let call = || {
        client
            .mint_storefront_token(CustomerId::new(42).unwrap())
            .send()
    };
    {
        let mut under_way = pin!(call());
        assert!(poll(under_way.as_mut()).is_pending());
        assert_eq!(client.budget().under_way, 1);
        let mut waiting = pin!(call());
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!(client.budget().waiting, 1);
    }
    assert_eq!((client.budget().under_way, client.budget().waiting), (0, 0));
    // What was to open the connection ends by itself.
    no_more_tasks_than(before).await;
}

#[tokio::test]
async fn a_dropped_call_ends_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let client = client(&base_url, access());
    let arrived = Arc::new(Notify::new());
    let tell = Arc::clone(&arrived);
    let server = async move {
        let (mut stream, _): (TcpStream, _) = listener.accept().await.unwrap();
        let mut rest = [0; 8 * 1024];
        assert!(stream.read(&mut rest).await.unwrap() > 0);
        tell.notify_one();
        // The other side goes away, whatever of the request is still to come.
        while stream.read(&mut rest).await.is_ok_and(|length| length > 0) {}
        let _ = stream.shutdown().await;
    };
    let before = tasks();
    let caller = async {
        tokio::select! {
            biased;
            result = mint(&client) => panic!("nobody answers: {result:?}"),
            () = arrived.notified() => {}
        }
    };
    tokio::join!(server, caller);
    no_more_tasks_than(before).await;
    assert_eq!(client.budget().under_way, 0);
}

#[test]
fn every_future_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let client = client("http://127.0.0.1:1", access());
    let hash_only = client.for_store(StoreHash::new("abc123").unwrap());
    let legacy = client.with_legacy_auth_token(LegacyAuthToken::new(LEGACY_TOKEN).unwrap());
    is_send(
        &client
            .mint_storefront_token(CustomerId::new(42).unwrap())
            .send(),
    );
    let log_in = hash_only.log_in_storefront_user();
    is_send(&log_in.email("e").password("p").name("n").send());
    is_send(&hash_only.exchange_session_jwt(SESSION_JWT).send());
    let create = hash_only.create_server_token();
    is_send(&create.email("e").password("p").name("n").send());
    is_send(
        &legacy
            .delete_server_token(ServerTokenId::new(1).unwrap())
            .send(),
    );
    is_send(&legacy.list_server_tokens().send());
    is_send(&legacy.all_server_tokens().stream());
}
