//! Blocking calls over real sockets: each builder, managed tokens and the storefront's APIs, what they answer where they must not
//! block, and their runtime.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls have a blocking form as well")]

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use axum::{Router, extract::ConnectInfo};
use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, ChannelId, Client, Clock, CustomerId, Error, ErrorKind,
    LegacyAuthToken, RetryPolicy, Secret, SecretFuture, SecretProvider, ServerTokenId, StoreAccess,
    StoreHash, StorefrontApi, StorefrontTokens, blocking,
    operations::{PostAuthCustomersStorefront, types},
    telemetry::{CallEvent, FetchCause, Observer, TokenFetchEvent},
    transport::{HttpTransport, Operation, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{RateLimit, RunningSandbox, Sandbox, demo};
use http::Method;
use serde_json::json;
use tests::RecordingClock;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::Barrier,
};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

const MINTED: &str = r#"{"code": 200, "data": {"token": ["opaque"]}}"#;

fn worker() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A sandbox behind a socket, on a runtime of its own, so that the thread of the test has none.
struct World {
    sandbox: RunningSandbox,
    clock: RecordingClock,
    runtime: Runtime,
}

impl World {
    fn start() -> Self {
        let (runtime, clock) = (worker(), RecordingClock::default());
        let service_clock = clock.clone();
        let sandbox = Sandbox::builder()
            .clock(move || service_clock.now())
            .rate_limit(RateLimit::unlimited());
        let sandbox = runtime.block_on(sandbox.start()).unwrap();
        Self {
            sandbox,
            clock,
            runtime,
        }
    }

    fn client(&self) -> Client {
        self.client_with(None)
    }

    fn client_with(&self, observer: Option<Arc<dyn Observer>>) -> Client {
        let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap();
        Client::builder()
            .credentials(credentials)
            .base_url(self.sandbox.base_url())
            .budget_limit(BudgetLimit::unlimited())
            .clock(Arc::new(self.clock.clone()))
            .maybe_observer(observer)
            .build()
            .unwrap()
    }

    fn legacy(&self, client: &Client) -> Client<LegacyAuthToken> {
        let token = self.sandbox.auth_token(demo::STORE_HASH).unwrap();
        client.with_legacy_auth_token(LegacyAuthToken::new(token).unwrap())
    }
}

/// A client of an address where there is no sandbox.
fn client_at(base_url: &str, clock: &RecordingClock) -> Client {
    Client::builder()
        .credentials(StoreAccess::new("abc123", "token").unwrap())
        .base_url(base_url)
        .clock(Arc::new(clock.clone()))
        .attempt_timeout(PATIENCE)
        .build()
        .unwrap()
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

fn create(client: &Client, name: &str) -> Result<Secret, Error> {
    client
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name(name)
        .send_blocking()
        .map(|created| created.into_value().token)
}

fn log_in(client: &Client) -> Result<Option<String>, Error> {
    client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("checkout")
        .channel(ChannelId::DEFAULT)
        .send_blocking()
        .map(|token| token.name().map(str::to_owned))
}

/// A mint as the document has it.
fn generated_mint() -> PostAuthCustomersStorefront {
    PostAuthCustomersStorefront {
        body: types::PostAuthCustomersStorefrontRequest {
            customer_id: customer().get(),
            channel_id: None,
            customer_access_token: None,
        },
    }
}

#[test]
fn every_call_is_there() {
    let world = World::start();
    let client = world.client();

    let minted = client
        .mint_storefront_token(customer())
        .send_blocking()
        .unwrap();
    assert!(
        world
            .sandbox
            .verify(minted.secret().expose_secret())
            .is_some()
    );
    assert_eq!(minted.meta().attempts, 1);
    assert_eq!(log_in(&client).unwrap().as_deref(), Some("checkout"));
    let jwt = world
        .sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let hash_only = client.for_store(StoreHash::new(demo::STORE_HASH).unwrap());
    hash_only.exchange_session_jwt(jwt).send_blocking().unwrap();

    create(&client, "nightly export").unwrap();
    let legacy = world.legacy(&client);
    let page = legacy
        .list_server_tokens()
        .limit(250)
        .send_blocking()
        .unwrap();
    let listed = page
        .tokens
        .iter()
        .find(|token| token.name.as_deref() == Some("nightly export"))
        .unwrap();
    legacy
        .delete_server_token(listed.id)
        .send_blocking()
        .unwrap();
    let left = legacy.all_server_tokens().iter_blocking();
    assert!(left.map(Result::unwrap).all(|token| token.id != listed.id));
    assert_eq!(world.sandbox.request_count(), 7);
}

#[test]
fn any_operation_can_be_sent() {
    let world = World::start();
    let client = world.client();
    let response = client.send_blocking(&generated_mint()).unwrap();
    assert_eq!(response.meta().attempts, 1);
    let options = CallOptions::builder().retry(RetryPolicy::none()).build();
    client
        .send_with_blocking(&generated_mint(), options)
        .unwrap();
    assert_eq!(world.sandbox.request_count(), 2);
}

#[test]
fn an_error_of_the_service_arrives_as_it_is() {
    let world = World::start();
    let error = world
        .legacy(&world.client())
        .delete_server_token(ServerTokenId::new(999_999).unwrap())
        .send_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.operation(), Some("delete_server_token"));
}

#[test]
fn pages_are_fetched_when_the_iterator_comes_to_them() {
    let world = World::start();
    let client = world.client();
    for number in 0..5 {
        create(&client, &format!("token {number}")).unwrap();
    }
    let there = world.sandbox.server_tokens(demo::STORE_HASH).len();
    world.sandbox.clear_requests();

    let mut tokens = world
        .legacy(&client)
        .all_server_tokens()
        .page_size(2)
        .iter_blocking();
    assert_eq!(world.sandbox.request_count(), 0);
    for requests in [1, 1, 2] {
        tokens.next().unwrap().unwrap();
        assert_eq!(world.sandbox.request_count(), requests);
    }
    assert_eq!(tokens.by_ref().map(Result::unwrap).count(), there - 3);
    assert!(tokens.next().is_none());

    let wrong = client.with_legacy_auth_token(LegacyAuthToken::new("of nobody").unwrap());
    let mut tokens = wrong.all_server_tokens().iter_blocking();
    assert!(tokens.next().unwrap().is_err());
    assert!(tokens.next().is_none());
}

/// Hands on which fetches of managed tokens have ended.
#[derive(Debug)]
struct Fetches(mpsc::Sender<FetchCause>);

impl Observer for Fetches {
    fn on_token_fetch(&self, event: &TokenFetchEvent<'_>) {
        assert_eq!(event.failed, None);
        self.0.send(event.cause).unwrap();
    }
}

#[test]
fn a_managed_token_is_minted_once_and_refreshed_between_calls() {
    let world = World::start();
    let (told, fetches) = mpsc::channel();
    let client = world.client_with(Some(Arc::new(Fetches(told))));
    let tokens = StorefrontTokens::builder().client(client).build();
    let get = || {
        tokens
            .get_blocking(customer())
            .unwrap()
            .authorization()
            .clone()
    };

    let first = get();
    assert_eq!(fetches.recv_timeout(PATIENCE).unwrap(), FetchCause::Cold);
    assert_eq!(get(), first);
    assert_eq!(world.sandbox.request_count(), 1);

    // Its refresh is due: it is served once more. This thread then waits outside of any call.
    drop(world.clock.sleep(Duration::from_secs(22 * 60 * 60)));
    assert_eq!(get(), first);
    assert_eq!(fetches.recv_timeout(PATIENCE).unwrap(), FetchCause::Soft);
    assert_eq!(world.sandbox.request_count(), 2);
    assert_ne!(get(), first);

    blocking::run(tokens.shutdown()).unwrap();
    let other = CustomerId::new(demo::CUSTOMER_ID + 1).unwrap();
    let error = tokens.get_blocking(other).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ShutDown);
}

/// A server on a runtime that runs: it answers everything with `body`, and writes down the other end of each connection.
struct Peers {
    base_url: String,
    seen: Arc<Mutex<HashSet<SocketAddr>>>,
    _runtime: Runtime,
}

impl Peers {
    fn start(body: &'static str) -> Self {
        let runtime = worker();
        let seen: Arc<Mutex<HashSet<SocketAddr>>> = Arc::default();
        let log = Arc::clone(&seen);
        let answer = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
            log.lock().unwrap().insert(peer);
            ([("content-type", "application/json")], body)
        };
        let service = Router::new()
            .fallback(answer)
            .into_make_service_with_connect_info::<SocketAddr>();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move { axum::serve(listener, service).await });
        Self {
            base_url,
            seen,
            _runtime: runtime,
        }
    }

    /// The connections that were used since this was asked before.
    fn take(&self) -> HashSet<SocketAddr> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

#[test]
fn the_storefront_api_is_called_by_graphql_and_rest() {
    let world = World::start();
    let api = Peers::start(r#"{"data": {"company": "ours"}}"#);
    let tokens = StorefrontTokens::builder().client(world.client()).build();
    let client = StorefrontApi::builder()
        .tokens(tokens)
        .base_url(&api.base_url)
        .build()
        .unwrap();
    let reply = client
        .graphql(customer(), "{ company }")
        .send_blocking()
        .unwrap();
    assert_eq!(reply.data(), Some(&json!({"company": "ours"})));

    let request = client.request(Method::GET, "/orders/7");
    let body = blocking::run(async {
        let response = client.send(customer(), request).await?;
        Ok::<_, Box<dyn std::error::Error>>(response.text().await?)
    });
    assert!(body.unwrap().unwrap().contains("ours"));
    assert_eq!(world.sandbox.request_count(), 1);
}

#[test]
fn any_future_can_be_run_also_one_that_stays_on_its_thread() {
    let shared = Rc::new(7);
    let doubled = blocking::run(async {
        tokio::task::yield_now().await;
        *Rc::clone(&shared) * 2
    });
    assert_eq!(doubled.unwrap(), 14);
}

/// Everything that would block, with the errors that came instead.
fn refusals(client: &Client, legacy: &Client<LegacyAuthToken>) -> Vec<Result<(), Error>> {
    let tokens = StorefrontTokens::builder().client(client.clone()).build();
    let api = StorefrontApi::builder()
        .tokens(tokens.clone())
        .build()
        .unwrap();
    vec![
        client
            .mint_storefront_token(customer())
            .send_blocking()
            .map(drop),
        log_in(client).map(drop),
        client
            .exchange_session_jwt("a.b.c")
            .send_blocking()
            .map(drop),
        create(client, "never").map(drop),
        legacy.list_server_tokens().send_blocking().map(drop),
        legacy
            .delete_server_token(ServerTokenId::new(1).unwrap())
            .send_blocking()
            .map(drop),
        legacy
            .all_server_tokens()
            .iter_blocking()
            .next()
            .unwrap()
            .map(drop),
        client.send_blocking(&generated_mint()).map(drop),
        tokens.get_blocking(customer()).map(drop),
        api.graphql(customer(), "{ company }")
            .send_blocking()
            .map(drop),
        blocking::run(tokens.shutdown()),
    ]
}

#[test]
fn inside_of_an_async_context_it_answers_an_error() {
    let world = World::start();
    let client = world.client();
    let legacy = world.legacy(&client);
    world.sandbox.clear_requests();
    for runtime in [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap(),
    ] {
        let (client, legacy) = (client.clone(), legacy.clone());
        let results = runtime.block_on(async move {
            let mut all = refusals(&client, &legacy);
            let of_another = (client.clone(), legacy.clone());
            // A thread that may block, and belongs to the runtime all the same.
            let may_block =
                tokio::task::spawn_blocking(move || refusals(&of_another.0, &of_another.1));
            all.extend(may_block.await.unwrap());
            let in_a_task = tokio::spawn(async move {
                let refused = refusals(&client, &legacy);
                // Dropped here, in a task.
                drop((client, legacy));
                refused
            });
            all.extend(in_a_task.await.unwrap());
            all
        });
        for result in results {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains("async"), "{error}");
            assert!(!error.may_have_been_applied());
        }
    }
    // A blocking call is an async context as well.
    let within = blocking::run(async { refusals(&client, &legacy) }).unwrap();
    assert!(within.iter().all(Result::is_err));
    assert_eq!(world.sandbox.request_count(), 0);
    // It is as good as before.
    let mint = || client.mint_storefront_token(customer());
    mint().send_blocking().unwrap();
    // What the message recommends for a thread that may block.
    world.runtime.block_on(async {
        let (handle, client) = (Handle::current(), client.clone());
        let call = move || handle.block_on(client.mint_storefront_token(customer()).send());
        tokio::task::spawn_blocking(call).await.unwrap().unwrap();
    });
}

/// Panics once.
#[derive(Debug, Default)]
struct Clumsy(AtomicBool);

impl Observer for Clumsy {
    fn on_call(&self, _: &CallEvent<'_>) {
        assert!(self.0.swap(true, Ordering::Relaxed), "on purpose");
    }
}

#[test]
fn a_panic_ends_one_call() {
    let world = World::start();
    let client = world.client_with(Some(Arc::new(Clumsy::default())));
    // On the calling thread, whose panic it is.
    let call = AssertUnwindSafe(|| create(&client, "made all the same"));
    assert!(catch_unwind(call).is_err());
    create(&client, "another").unwrap();

    // In a background task, on the worker thread.
    let client = world.client_with(Some(Arc::new(Clumsy::default())));
    let tokens = StorefrontTokens::builder().client(client.clone()).build();
    let error = tokens.get_blocking(customer()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panicked);
    create(&client, "a third").unwrap();
    tokens.forget_failures();
    tokens.get_blocking(customer()).unwrap();
}

/// Knows the token as soon as a number of calls ask for it at once.
#[derive(Debug)]
struct Together(Barrier);

impl SecretProvider for Together {
    fn secret<'a>(&'a self, _: Option<&'a Secret>) -> SecretFuture<'a> {
        Box::pin(async {
            self.0.wait().await;
            Ok(demo::ACCESS_TOKEN.into())
        })
    }
}

#[test]
fn many_threads_call_side_by_side() {
    const THREADS: usize = 16;
    let world = World::start();
    let provider = Together(Barrier::new(THREADS));
    let client = world
        .client()
        .for_store(StoreAccess::from_provider(demo::STORE_HASH, provider).unwrap());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mint = client.mint_storefront_token(customer());
                mint.send_blocking().unwrap();
            });
        }
    });
    assert_eq!(world.sandbox.requests().len(), THREADS);
}

/// What the SDK's own transport is given through one that wraps it.
#[derive(Debug)]
struct Wrapped(HttpTransport);

impl Transport for Wrapped {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        self.0.send(request, operation)
    }
}

/// A connection works only while its runtime runs, and a current-thread runtime does not between its calls.
#[test]
fn blocking_and_async_calls_do_not_share_connections() {
    let server = Peers::start(r#"{"code": 200, "data": {"token": "opaque"}}"#);
    for is_wrapped in [false, true] {
        for is_blocking_first in [false, true] {
            let clock = RecordingClock::default();
            let transport = is_wrapped
                .then(|| Arc::new(Wrapped(HttpTransport::new().unwrap())) as Arc<dyn Transport>);
            let client = Client::builder()
                .credentials(StoreAccess::new("abc123", "token").unwrap())
                .base_url(&server.base_url)
                .clock(Arc::new(clock.clone()))
                .maybe_transport(transport)
                .build()
                .unwrap();
            let api = StorefrontApi::builder()
                .tokens(StorefrontTokens::builder().client(client.clone()).build())
                .build()
                .unwrap();
            let resting = Builder::new_current_thread().enable_all().build().unwrap();
            let call_async = || {
                resting.block_on(async {
                    let mint = client.mint_storefront_token(customer()).send().await;
                    let reply = api.graphql(customer(), "{ token }").send().await;
                    // The connections go back to their pools.
                    for _ in 0..100 {
                        tokio::task::yield_now().await;
                    }
                    (mint.unwrap().meta().attempts, reply.unwrap().times_sent())
                })
            };
            let call_blocking = || {
                let mint = client.mint_storefront_token(customer()).send_blocking();
                let reply = api.graphql(customer(), "{ token }").send_blocking();
                (mint.unwrap().meta().attempts, reply.unwrap().times_sent())
            };
            let calls: [&dyn Fn() -> (u32, u32); 2] = match is_blocking_first {
                true => [&call_blocking, &call_async],
                false => [&call_async, &call_blocking],
            };
            let used = calls.map(|call| {
                // Without a repetition.
                assert_eq!(call(), (1, 1));
                server.take()
            });
            assert!(used[0].is_disjoint(&used[1]), "{used:?}");
            // Each finds its own again.
            for call in calls {
                assert_eq!(call(), (1, 1));
            }
            assert!(clock.slept().is_empty());
            server.take();
        }
    }
}

/// A server that says nothing on its first connections, answers one call on the next, and then says how that connection ended.
fn one_answer(silent: usize) -> (String, thread::JoinHandle<std::io::Result<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let _silent: Vec<_> = listener.incoming().take(silent).collect();
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut request = [0; 8 * 1024];
        let mut length = stream.read(&mut request)?;
        if !request[..length].ends_with(b"}") {
            length += stream.read(&mut request[length..])?;
        }
        assert!(length > 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            MINTED.len()
        );
        stream.write_all(format!("{head}{MINTED}").as_bytes())?;
        stream.read(&mut request)
    });
    (base_url, server)
}

#[test]
fn connections_close_with_the_last_clone_wherever_it_is_dropped() {
    for in_async_context in [false, true] {
        let (base_url, server) = one_answer(0);
        let client = client_at(&base_url, &RecordingClock::default());
        let clone = client.clone();
        drop(client);
        let mint = clone.mint_storefront_token(customer());
        mint.send_blocking().unwrap();
        assert!(!server.is_finished());
        if in_async_context {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { drop(clone) });
        } else {
            drop(clone);
        }
        assert_eq!(server.join().unwrap().unwrap(), 0);
    }
}

#[test]
fn an_attempt_that_times_out_is_repeated() {
    let (base_url, server) = one_answer(1);
    let clock = RecordingClock::default();
    let client = client_at(&base_url, &clock);
    let options = CallOptions::builder()
        .attempt_timeout(Duration::from_millis(500))
        .build();
    let mint = client.mint_storefront_token(customer()).options(options);
    let token = mint.send_blocking().unwrap();
    assert_eq!(token.meta().attempts, 2);
    assert_eq!(clock.slept().len(), 1);
    drop(client);
    server.join().unwrap().unwrap();
}

#[test]
fn a_call_blocks_until_its_deadline_at_the_most() {
    // Connections are taken by the operating system, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let client = client_at(&base_url, &RecordingClock::default());
    let options = CallOptions::builder()
        .deadline(Duration::from_millis(100))
        .retry(RetryPolicy::none())
        .build();
    let error = client
        .mint_storefront_token(customer())
        .options(options)
        .send_blocking()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.elapsed() < PATIENCE);
}

#[test]
fn an_iterator_goes_to_any_thread() {
    fn is_send<T: Send + 'static>() {}
    is_send::<blocking::ServerTokenIter>();
}
