//! What only real sockets can show: redirects, time-outs, broken connections, and replies without end.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls meet the same network")]

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    Client, CustomerId, Error, ErrorKind, Hint, LegacyAuthToken, RetryPolicy, ServerTokenId,
    StoreAccess,
    transport::{Delivery, Operation, Transport, TransportError, TransportFuture},
};
use tests::{LongestWait, RecordingClock, render};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const ACCESS_TOKEN: &str = "planted-access-token";
const LEGACY_TOKEN: &str = "planted-legacy-token";
const PASSWORD: &str = "planted-password";
const SESSION_JWT: &str = "eyJplanted.eyJzZXNzaW9uIjoxfQ.signature";

/// A server that answers each connection's first request with `reply`, and keeps what it received.
#[derive(Clone)]
struct Server {
    base_url: String,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Server {
    async fn start<F>(reply: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = vec![0; 64 * 1024];
                // Requests of these tests arrive in one piece, or in two: head and body.
                let mut length = stream.read(&mut request).await.unwrap_or(0);
                if request[..length].ends_with(b"\r\n\r\n") && !request.starts_with(b"GET") {
                    length += stream.read(&mut request[length..]).await.unwrap_or(0);
                }
                kept.lock().unwrap().extend_from_slice(&request[..length]);
                tokio::spawn(reply(stream));
            }
        });
        Self { base_url, received }
    }

    fn received(&self) -> String {
        String::from_utf8_lossy(&self.received.lock().unwrap()).into_owned()
    }
}

fn client(base_url: &str, clock: &RecordingClock) -> Client {
    Client::builder()
        .credentials(StoreAccess::new("abc123", ACCESS_TOKEN).unwrap())
        .base_url(base_url)
        .attempt_timeout(Duration::from_millis(200))
        .clock(Arc::new(clock.clone()))
        .jitter(Arc::new(LongestWait))
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

async fn log_in(client: &Client) -> Result<(), Error> {
    client
        .log_in_storefront_user()
        .email("ada@example.com")
        .password(PASSWORD)
        .name("n")
        .send()
        .await
        .map(drop)
}

async fn create(client: &Client) -> Result<(), Error> {
    client
        .create_server_token()
        .email("ada@example.com")
        .password(PASSWORD)
        .name("n")
        .send()
        .await
        .map(drop)
}

async fn exchange(client: &Client) -> Result<(), Error> {
    client
        .exchange_session_jwt(SESSION_JWT)
        .send()
        .await
        .map(drop)
}

fn shows_no_secret(error: &Error) {
    let shown = render(error);
    for secret in [ACCESS_TOKEN, LEGACY_TOKEN, PASSWORD, "eyJ", "jwtToken"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_redirect_carries_nothing_to_another_host() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Server::start(async |mut stream: TcpStream| {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
                .await;
        })
        .await;
        let target = elsewhere.base_url.clone();
        let service = Server::start(move |mut stream| {
            let reply = format!(
                "HTTP/1.1 {status} Moved\r\nlocation: {target}/taken\r\ncontent-length: 0\r\n\r\n"
            );
            async move {
                let _ = stream.write_all(reply.as_bytes()).await;
            }
        })
        .await;
        let client = client(&service.base_url, &RecordingClock::default());
        let legacy = client.with_legacy_auth_token(LegacyAuthToken::new(LEGACY_TOKEN).unwrap());
        for error in [
            mint(&client).await.unwrap_err(),
            log_in(&client).await.unwrap_err(),
            exchange(&client).await.unwrap_err(),
            create(&client).await.unwrap_err(),
            legacy
                .list_server_tokens()
                .send()
                .await
                .map(drop)
                .unwrap_err(),
            legacy
                .delete_server_token(ServerTokenId::new(1).unwrap())
                .send()
                .await
                .map(drop)
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Redirected, "{error}");
            // "Done, and look there" is a redirect as well.
            assert!(error.may_have_been_applied() && !error.is_retryable());
            assert_eq!(error.hint(), Some(Hint::Redirect));
            shows_no_secret(&error);
        }
        // The service got the credentials, so they were there to be carried on.
        let received = service.received();
        for secret in [ACCESS_TOKEN, PASSWORD, LEGACY_TOKEN, SESSION_JWT] {
            assert!(received.contains(secret), "{secret}");
        }
        assert_eq!(elsewhere.received(), "", "after {status}");
    }
}

#[tokio::test]
async fn no_connection_is_tried_again_and_then_told() {
    // A port that was free a moment ago: nobody listens on it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let clock = RecordingClock::default();
    let client = client(&base_url, &clock);
    for error in [
        mint(&client).await.unwrap_err(),
        exchange(&client).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Connect);
        assert_eq!(error.attempts(), 4);
        assert!(error.is_retryable() && !error.may_have_been_applied());
        assert!(error.source().is_some());
        shows_no_secret(&error);
    }
    assert_eq!(
        clock.slept(),
        [250, 500, 1000, 250, 500, 1000].map(Duration::from_millis)
    );
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up() {
    let server = Server::start(|stream| async move {
        // Held open until the other side lets go.
        let (mut read, _write) = stream.into_split();
        let _ = read.read(&mut [0; 1]).await;
    })
    .await;
    let client = client(&server.base_url, &RecordingClock::default());
    for error in [
        mint(&client).await.unwrap_err(),
        exchange(&client).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::Timeout, 4));
        assert!(error.may_have_been_applied());
        shows_no_secret(&error);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_told_with_what_may_have_happened() {
    for reply in [
        &b""[..],
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"code\": 200",
        b"nonsense\r\n\r\n",
    ] {
        let server = Server::start(move |mut stream| async move {
            let _ = stream.write_all(reply).await;
        })
        .await;
        let client = client(&server.base_url, &RecordingClock::default());
        for error in [
            mint(&client).await.unwrap_err(),
            exchange(&client).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            assert_eq!(error.attempts(), 4);
            assert!(error.may_have_been_applied());
            shows_no_secret(&error);
        }
    }
}

#[tokio::test]
async fn a_status_outlives_a_body_that_stalls() {
    for (head, kind, retry_after) in [
        (
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: 9\r\n\r\n{",
            ErrorKind::Unauthenticated,
            None,
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nretry-after: 90\r\ncontent-length: 9\r\n\r\n{",
            ErrorKind::RateLimited,
            Some(Duration::from_secs(90)),
        ),
    ] {
        let server = Server::start(move |mut stream| async move {
            let _ = stream.write_all(head.as_bytes()).await;
            // Held open until the other side lets go.
            let _ = stream.read(&mut [0; 1]).await;
        })
        .await;
        let client = client(&server.base_url, &RecordingClock::default());
        let error = create(&client).await.unwrap_err();
        assert_eq!((error.kind(), error.retry_after()), (kind, retry_after));
        assert!(!error.may_have_been_applied(), "{error}");
        assert!(error.to_string().contains("did not end in time"), "{error}");
    }
}

/// Passes on what a connection said, URL included.
#[derive(Debug)]
struct Careless(reqwest::Client);

impl Transport for Careless {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async {
            let outcome = self.0.execute(request).await;
            outcome.map_err(|error| TransportError::new(Delivery::Unknown, error))
        })
    }
}

#[tokio::test]
async fn a_careless_transport_does_not_show_the_session_jwt() {
    let server = Server::start(async |_: TcpStream| ()).await;
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", ACCESS_TOKEN).unwrap())
        .base_url(&*server.base_url)
        .transport(Arc::new(Careless(reqwest::Client::new())))
        .build()
        .unwrap();
    let error = exchange(&client).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert!(error.source().is_some());
    shows_no_secret(&error);
}

/// What the test below runs in a process of its own, whose environment names a proxy.
const BEHIND_A_PROXY: &str = "B2B_TEST_BEHIND_A_PROXY";

#[tokio::test]
async fn what_is_for_loopback_never_goes_through_a_proxy() {
    if let Ok(base_url) = std::env::var(BEHIND_A_PROXY) {
        mint(&client(&base_url, &RecordingClock::default()))
            .await
            .unwrap();
        return;
    }
    let service = Server::start(async |mut stream: TcpStream| {
        let body = r#"{"code": 200, "data": {"token": ["opaque"]}}"#;
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(reply.as_bytes()).await;
    })
    .await;
    let proxy = Server::start(async |_: TcpStream| ()).await;
    let (base_url, proxy_url) = (service.base_url.clone(), proxy.base_url.clone());
    let child = tokio::task::spawn_blocking(move || {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "what_is_for_loopback_never_goes_through_a_proxy"])
            .env(BEHIND_A_PROXY, base_url)
            .envs(
                ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
                    .map(|name| (name, &proxy_url)),
            )
            .envs([("NO_PROXY", ""), ("no_proxy", "")])
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
    assert!(service.received().contains(ACCESS_TOKEN));
    assert_eq!(proxy.received(), "");
}

/// Sends `chunk` again and again, until the other side hangs up.
async fn endless(mut stream: TcpStream, head: &'static [u8]) {
    let chunk = [b' '; 16 * 1024];
    if stream.write_all(head).await.is_ok() {
        while stream.write_all(&chunk).await.is_ok() {}
    }
}

#[tokio::test]
async fn a_reply_over_one_mebibyte_is_cut_off() {
    for (head, kind) in [
        // It says how long it is.
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 1048577\r\n\r\n"[..],
            ErrorKind::ReplyTooLarge,
        ),
        // It does not, and has no end.
        (b"HTTP/1.1 200 OK\r\n\r\n", ErrorKind::ReplyTooLarge),
        // The status of a failure is told all the same.
        (
            b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
            ErrorKind::Server,
        ),
    ] {
        let server = Server::start(move |stream| endless(stream, head)).await;
        let client = Client::builder()
            .credentials(StoreAccess::new("abc123", ACCESS_TOKEN).unwrap())
            .base_url(&*server.base_url)
            .retry(RetryPolicy::none())
            .build()
            .unwrap();
        let error = mint(&client).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
    }
}

#[tokio::test]
async fn a_reply_of_just_one_mebibyte_is_read() {
    let server = Server::start(|mut stream| async move {
        let mut body = br#"{"code": 200, "data": {"token": ["opaque"]}}"#.to_vec();
        body.resize(1024 * 1024, b' ');
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(&body).await;
    })
    .await;
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", ACCESS_TOKEN).unwrap())
        .base_url(&*server.base_url)
        .build()
        .unwrap();
    mint(&client).await.unwrap();
}

/// On the one thread that the runtime of this test has: what is sent without end neither keeps the time-out from firing nor
/// counts as a sign of life.
#[tokio::test]
async fn a_flood_of_informational_responses_does_not_put_off_the_time_out() {
    let server = Server::start(async |mut stream| {
        let flood = "HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n".repeat(50);
        while stream.write_all(flood.as_bytes()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let began = std::time::Instant::now();
    let clock = RecordingClock::default();
    let error = mint(&client(&server.base_url, &clock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    // Four attempts of 200 ms each, on a machine that has other things to do.
    assert_eq!(error.attempts(), 4);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    shows_no_secret(&error);
}
