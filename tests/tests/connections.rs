//! Which connection a request takes: connections are kept, and one whose responses are of no use is left. Over sockets, with a
//! server that gives each connection a number and keeps it open whatever the request says of it.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls use connections as well")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Client, ClientBuilder, CustomerId, Error, ErrorKind, RetryPolicy, StoreAccess,
    StorefrontApi, StorefrontTokens, client_builder,
    transport::{Delivery, HttpTransport, Operation, Transport, TransportError, TransportFuture},
};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tests::RecordingClock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A success of a mint and of a creation alike.
const MINTED: &str = r#"{"code": 200, "data": {"token": "opaque"}}"#;

/// How a connection answers.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// A whole response with this status and body.
    Whole(u16, &'static str),
    /// These bytes, and the end of the connection.
    Broken(&'static str),
    /// Nothing at all.
    Silence,
}

impl Answer {
    /// Only what is to time out gets a time so short that a busy machine could miss it.
    fn patience(self) -> Duration {
        match self {
            Self::Silence => Duration::from_millis(500),
            _ => Duration::from_secs(20),
        }
    }
}

const GOOD: Answer = Answer::Whole(200, MINTED);

/// A server that answers by the number of the connection, from 1, and of the request on it, from 1.
struct Server {
    base_url: String,
    /// The connection of each request, and whether the request said `Connection: close`.
    requests: Arc<Mutex<Vec<(u32, bool)>>>,
}

impl Server {
    async fn start(answer: impl Fn(u32, u32) -> Answer + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                tokio::spawn(serve(stream, connection, answer.clone(), Arc::clone(&log)));
            }
        });
        Self { base_url, requests }
    }

    /// The same by HTTP/2, for whole responses.
    async fn start_http2(answer: impl Fn(u32, u32) -> Answer + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                let (answer, log) = (answer.clone(), Arc::clone(&log));
                let number = AtomicU32::new(0);
                let service = service_fn(move |request: http::Request<_>| {
                    let says_close = request.headers().contains_key("connection");
                    log.lock().unwrap().push((connection, says_close));
                    let number = number.fetch_add(1, Ordering::Relaxed) + 1;
                    let response = match answer(connection, number) {
                        Answer::Whole(status, body) => {
                            let response = http::Response::builder().status(status);
                            Ok(response.body(body.to_owned()).unwrap())
                        }
                        _ => Err("the connection ends"),
                    };
                    drop::<http::Request<hyper::body::Incoming>>(request);
                    async move { response }
                });
                tokio::spawn(
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { base_url, requests }
    }

    /// How many requests came by each connection.
    fn by_connection(&self) -> Vec<u32> {
        let requests = self.requests.lock().unwrap();
        let mut counts = Vec::new();
        for (connection, _) in &*requests {
            let index = *connection as usize - 1;
            counts.resize(counts.len().max(index + 1), 0);
            counts[index] += 1;
        }
        counts
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: u32,
    answer: impl Fn(u32, u32) -> Answer,
    log: Arc<Mutex<Vec<(u32, bool)>>>,
) {
    for number in 1.. {
        let Some(head) = read_request(&mut stream).await else {
            return;
        };
        let says_close = head.contains("connection: close");
        log.lock().unwrap().push((connection, says_close));
        let bytes = match answer(connection, number) {
            Answer::Whole(status, body) => format!(
                "HTTP/1.1 {status} Any\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ),
            Answer::Broken(bytes) => {
                let _ = stream.write_all(bytes.as_bytes()).await;
                return;
            }
            Answer::Silence => std::future::pending().await,
        };
        if stream.write_all(bytes.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of a request in lower case, after its body was read. `None` when the client has closed the connection.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let length = stream.read(&mut chunk).await.ok()?;
        if length == 0 {
            return None;
        }
        request.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let declared = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        if body.len() >= declared {
            return Some(head.to_owned());
        }
    }
}

type Building = ClientBuilder<
    StoreAccess,
    client_builder::SetBudgetLimit<
        client_builder::SetClock<
            client_builder::SetBaseUrl<client_builder::SetCredentials<client_builder::Empty>>,
        >,
    >,
>;

fn building(server: &Server) -> Building {
    Client::builder()
        .credentials(StoreAccess::new("abc123", "an access token").unwrap())
        .base_url(&*server.base_url)
        .clock(Arc::new(RecordingClock::default()))
        .budget_limit(BudgetLimit::unlimited())
}

async fn mint(client: &Client) -> Result<u32, Error> {
    let mint = client.mint_storefront_token(CustomerId::new(42).unwrap());
    mint.send().await.map(|token| token.meta().attempts)
}

/// Five mints after each other: how many attempts each took.
async fn five_mints(client: &Client) -> Vec<u32> {
    let mut attempts = Vec::new();
    for _ in 0..5 {
        attempts.push(mint(client).await.unwrap());
    }
    attempts
}

/// What a retry mends. The first connection answers like this and all others well.
fn broken_answers() -> [Answer; 7] {
    [
        Answer::Whole(503, "<html>"),
        Answer::Whole(408, ""),
        Answer::Whole(200, r#"{"code": 500, "data": {}}"#),
        Answer::Broken(""),
        Answer::Broken("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"code\": 200"),
        Answer::Broken("nonsense\r\n\r\n"),
        Answer::Silence,
    ]
}

fn only_the_first(broken: Answer) -> impl Fn(u32, u32) -> Answer + Clone + Send + 'static {
    move |connection, _| if connection == 1 { broken } else { GOOD }
}

#[tokio::test]
async fn connections_are_kept_while_responses_are_good() {
    let server = Server::start(|_, _| GOOD).await;
    let client = building(&server).build().unwrap();
    assert_eq!(five_mints(&client).await, [1; 5]);
    assert_eq!(server.by_connection(), [5]);
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().all(|(_, says_close)| !says_close));
}

#[tokio::test]
async fn a_retry_takes_another_connection_and_a_broken_one_gets_one_more_request_at_most() {
    for broken in broken_answers() {
        let server = Server::start(only_the_first(broken)).await;
        let client = building(&server)
            .attempt_timeout(broken.patience())
            .build()
            .unwrap();
        let attempts = five_mints(&client).await;
        let by_connection = server.by_connection();
        assert!(by_connection[0] <= 2, "{broken:?}: {by_connection:?}");
        // Each attempt on the broken connection costs one retry, and every retry succeeds.
        assert!(
            attempts.iter().all(|attempts| *attempts <= 2),
            "{attempts:?}"
        );
        let sum: u32 = attempts.iter().sum();
        assert_eq!(sum, 5 + by_connection[0], "{broken:?}: {attempts:?}");
        // Afterwards connections are kept again.
        let before = server.by_connection().len();
        assert_eq!(five_mints(&client).await, [1; 5]);
        assert!(server.by_connection().len() <= before + 1, "{broken:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_after_it_worked_is_left_as_well() {
    for broken in broken_answers() {
        let server = Server::start(move |connection, number| {
            if connection == 1 && number > 2 {
                broken
            } else {
                GOOD
            }
        })
        .await;
        let client = building(&server)
            .attempt_timeout(broken.patience())
            .build()
            .unwrap();
        let attempts = five_mints(&client).await;
        assert_eq!(attempts[..2], [1, 1], "{broken:?}");
        assert!(
            attempts.iter().all(|attempts| *attempts <= 2),
            "{attempts:?}"
        );
        assert!(server.by_connection()[0] <= 4, "{broken:?}");
    }
}

#[tokio::test]
async fn without_a_retry_the_next_call_takes_another_connection() {
    for (broken, kind) in [
        (Answer::Whole(503, ""), ErrorKind::Server),
        (Answer::Whole(200, "<html>"), ErrorKind::UnexpectedReply),
        (
            Answer::Whole(200, "{\"code\": 200, \"da"),
            ErrorKind::UnexpectedReply,
        ),
        (
            Answer::Whole(200, r#"{"code": 200}"#),
            ErrorKind::UnexpectedReply,
        ),
    ] {
        let server = Server::start(only_the_first(broken)).await;
        let client = building(&server)
            .retry(RetryPolicy::none())
            .build()
            .unwrap();
        let mut failed = Vec::new();
        for call in 0..6 {
            if let Err(error) = mint(&client).await {
                assert_eq!(error.kind(), kind, "{broken:?}");
                failed.push(call);
            }
        }
        assert_eq!(failed, [0, 2], "{broken:?}: {:?}", server.by_connection());
        assert_eq!(server.by_connection()[0], 2, "{broken:?}");
    }
    // A creation is not repeated after a 503, and the next one does not meet the same connection.
    let server = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    let client = building(&server).build().unwrap();
    let create = || {
        let create = client.create_server_token().email("ada@example.com");
        create.password("a password").name("n").send()
    };
    assert_eq!(create().await.unwrap_err().kind(), ErrorKind::Server);
    create().await.unwrap();
    assert_eq!(server.by_connection(), [1, 1]);
}

#[tokio::test]
async fn refusals_that_are_not_of_the_connection_keep_it() {
    for status in [401, 404, 422, 429] {
        let server = Server::start(move |_, number| {
            if number == 1 {
                Answer::Whole(status, r#"{"message": "no"}"#)
            } else {
                GOOD
            }
        })
        .await;
        let client = building(&server)
            .retry(RetryPolicy::none())
            .build()
            .unwrap();
        mint(&client).await.unwrap_err();
        assert_eq!(five_mints(&client).await, [1; 5]);
        assert_eq!(server.by_connection(), [6], "{status}");
    }
}

#[tokio::test]
async fn a_retry_over_http2_takes_another_connection() {
    let server = Server::start_http2(only_the_first(Answer::Whole(503, ""))).await;
    let client = building(&server)
        .http(|| {
            reqwest::Client::builder()
                .http2_prior_knowledge()
                .no_proxy()
        })
        .build()
        .unwrap();
    // The header that would close the connection does not exist there: it stays in the pool, and costs each call a retry.
    assert_eq!(five_mints(&client).await, [2; 5]);
    assert_eq!(server.by_connection(), [5, 1, 1, 1, 1, 1]);
    let requests = server.requests.lock().unwrap();
    assert!(requests.iter().all(|(_, says_close)| !says_close));
}

/// A transport that wraps the client's own, and only counts.
#[derive(Debug)]
struct Counting(HttpTransport, AtomicU32);

impl Transport for Counting {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.send(request, operation)
    }
}

/// A transport that has a pool of its own and knows nothing of all this.
#[derive(Debug)]
struct Foreign(reqwest::Client);

impl Transport for Foreign {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async {
            let outcome = self.0.execute(request).await;
            outcome.map_err(|error| TransportError::new(Delivery::Unknown, error))
        })
    }
}

#[tokio::test]
async fn a_transport_that_wraps_or_replaces_the_clients_own_leaves_a_broken_connection_too() {
    let server = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    let counting = Counting(HttpTransport::new().unwrap(), AtomicU32::new(0));
    let counting = Arc::new(counting);
    let transport: Arc<dyn Transport> = counting.clone();
    let client = building(&server).transport(transport).build().unwrap();
    let attempts = five_mints(&client).await;
    assert_eq!(attempts, [2, 2, 1, 1, 1]);
    assert_eq!(counting.1.load(Ordering::Relaxed), 7);
    assert_eq!(server.by_connection()[0], 2);

    let server = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    let foreign = Arc::new(Foreign(reqwest::Client::new()));
    let client = building(&server).transport(foreign).build().unwrap();
    // Its pool hands out the same connection once more, which is closed after that.
    assert_eq!(five_mints(&client).await, [3, 1, 1, 1, 1]);
    assert_eq!(server.by_connection()[0], 2);
}

#[tokio::test]
async fn the_second_http_client_is_built_when_it_is_needed_and_done_without_if_it_cannot_be() {
    let healthy = Server::start(|_, _| GOOD).await;
    let broken = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    for (server, built) in [(&healthy, 1), (&broken, 2)] {
        let made = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&made);
        let client = building(server)
            .http(move || {
                count.fetch_add(1, Ordering::Relaxed);
                reqwest::Client::builder().no_proxy()
            })
            .build()
            .unwrap();
        five_mints(&client).await;
        assert_eq!(made.load(Ordering::Relaxed), built);
    }

    let server = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    let made = AtomicU32::new(0);
    let client = building(&server)
        .http(move || {
            let is_first = made.fetch_add(1, Ordering::Relaxed) == 0;
            let user_agent = if is_first { "a name" } else { "no\nname" };
            reqwest::Client::builder().no_proxy().user_agent(user_agent)
        })
        .build()
        .unwrap();
    assert_eq!(five_mints(&client).await, [3, 1, 1, 1, 1]);
    assert_eq!(server.by_connection()[0], 2);
}

#[tokio::test]
async fn calls_of_the_storefronts_apis_leave_a_broken_connection_too() {
    let service = Server::start(|_, _| GOOD).await;
    let client = building(&service).build().unwrap();
    let tokens = StorefrontTokens::builder().client(client).build();
    let api = |server: &Server| {
        let api = StorefrontApi::builder().tokens(tokens.clone());
        api.base_url(&*server.base_url).build().unwrap()
    };
    let customer = CustomerId::new(42).unwrap();

    let server = Server::start(only_the_first(Answer::Whole(503, ""))).await;
    let rest = api(&server);
    for _ in 0..5 {
        let request = rest.request(reqwest::Method::GET, "/any");
        let response = rest.send(customer, request).await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), MINTED);
    }
    assert_eq!(server.by_connection()[0], 2);

    // Without a retry, and with a body that is not GraphQL.
    for broken in [Answer::Whole(503, ""), Answer::Whole(200, "<html>")] {
        let server = Server::start(only_the_first(broken)).await;
        let graphql = api(&server);
        let mut failed = 0;
        for _ in 0..5 {
            let reply = graphql.graphql(customer, "{ a }").send().await;
            failed += u32::from(reply.is_err());
        }
        assert_eq!((failed, server.by_connection()[0]), (2, 2), "{broken:?}");
    }
}
