//! The blocking client: every call against the sandbox, what it answers where it must not block, and its thread.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls are mirrored as well")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, ChannelId, Client, CustomerId, Environment, Error, ErrorKind,
    LegacyAuthToken, RetryPolicy, Secret, SecretFuture, SecretProvider, ServerTokenId, StoreAccess,
    StoreHash, blocking,
    telemetry::{CallEvent, Observer},
};
use bigcommerce_b2b_auth_sandbox::{RateLimit, RunningSandbox, Sandbox, demo};
use tokio::{
    runtime::{Builder, Runtime},
    sync::Barrier,
};

/// A sandbox behind a socket, on a runtime of its own, so that the thread of the test has none.
struct World {
    sandbox: RunningSandbox,
    _runtime: Runtime,
}

impl World {
    fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let sandbox = Sandbox::builder().rate_limit(RateLimit::unlimited());
        let sandbox = runtime.block_on(sandbox.start()).unwrap();
        Self {
            sandbox,
            _runtime: runtime,
        }
    }

    fn client(&self) -> blocking::Client {
        let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap();
        let client = Client::builder()
            .credentials(credentials)
            .base_url(self.sandbox.base_url())
            .budget_limit(BudgetLimit::unlimited())
            .build()
            .unwrap();
        blocking::Client::new(client).unwrap()
    }

    fn legacy(&self, client: &blocking::Client) -> blocking::Client<LegacyAuthToken> {
        let token = self.sandbox.auth_token(demo::STORE_HASH).unwrap();
        client.with_legacy_auth_token(LegacyAuthToken::new(token).unwrap())
    }
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

fn create(client: &blocking::Client, name: &str) -> Result<Secret, Error> {
    client
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name(name)
        .send()
        .map(|created| created.into_value().token)
}

fn log_in(client: &blocking::Client) -> Result<Option<String>, Error> {
    client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("checkout")
        .channel(ChannelId::DEFAULT)
        .send()
        .map(|token| token.name().map(str::to_owned))
}

#[test]
fn every_call_is_there() {
    let world = World::start();
    let client = world.client();
    assert_eq!(client.store_hash().as_str(), demo::STORE_HASH);

    let minted = client.mint_storefront_token(customer()).send().unwrap();
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
    hash_only.exchange_session_jwt(jwt).send().unwrap();

    create(&client, "nightly export").unwrap();
    let legacy = world.legacy(&client);
    let page = legacy.list_server_tokens().limit(250).send().unwrap();
    let listed = page
        .tokens
        .iter()
        .find(|token| token.name.as_deref() == Some("nightly export"))
        .unwrap();
    legacy.delete_server_token(listed.id).send().unwrap();
    let left = legacy.all_server_tokens().iter();
    assert!(left.map(Result::unwrap).all(|token| token.id != listed.id));
    assert_eq!(world.sandbox.request_count(), 7);
}

#[test]
fn an_error_of_the_service_arrives_as_it_is() {
    let world = World::start();
    let error = world
        .legacy(&world.client())
        .delete_server_token(ServerTokenId::new(999_999).unwrap())
        .send()
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
        .iter();
    assert_eq!(world.sandbox.request_count(), 0);
    for requests in [1, 1, 2] {
        tokens.next().unwrap().unwrap();
        assert_eq!(world.sandbox.request_count(), requests);
    }
    assert_eq!(tokens.by_ref().map(Result::unwrap).count(), there - 3);
    assert!(tokens.next().is_none());

    let wrong = client.with_legacy_auth_token(LegacyAuthToken::new("of nobody").unwrap());
    let mut tokens = wrong.all_server_tokens().iter();
    assert!(tokens.next().unwrap().is_err());
    assert!(tokens.next().is_none());
}

/// Everything that would block, with the errors that came instead.
fn refusals(
    client: &blocking::Client,
    legacy: &blocking::Client<LegacyAuthToken>,
) -> Vec<Result<(), Error>> {
    vec![
        blocking::Client::new(Client::new("abc123", "token").unwrap()).map(drop),
        client.mint_storefront_token(customer()).send().map(drop),
        log_in(client).map(drop),
        client.exchange_session_jwt("a.b.c").send().map(drop),
        create(client, "never").map(drop),
        legacy.list_server_tokens().send().map(drop),
        legacy
            .delete_server_token(ServerTokenId::new(1).unwrap())
            .send()
            .map(drop),
        legacy.all_server_tokens().iter().next().unwrap().map(drop),
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
    assert_eq!(world.sandbox.request_count(), 0);
    // It is as good as before.
    client.mint_storefront_token(customer()).send().unwrap();
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
    let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap();
    let client = Client::builder()
        .credentials(credentials)
        .base_url(world.sandbox.base_url())
        .observer(Arc::new(Clumsy::default()))
        .build()
        .unwrap();
    let client = blocking::Client::new(client).unwrap();
    let error = create(&client, "made all the same").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(error.operation(), Some("create_server_token"));
    assert!(error.may_have_been_applied() && !error.is_retryable());
    create(&client, "another").unwrap();
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
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let client = client.clone();
            thread::spawn(move || client.mint_storefront_token(customer()).send().map(drop))
        })
        .collect();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
}

/// A server for one connection: it answers one call, and then says how the connection ended.
fn one_connection() -> (String, thread::JoinHandle<std::io::Result<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept()?;
        // Far more than it takes: the end of a connection is seen at once.
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut request = [0; 8 * 1024];
        let mut length = stream.read(&mut request)?;
        if !request[..length].ends_with(b"}") {
            length += stream.read(&mut request[length..])?;
        }
        assert!(length > 0);
        let body = r#"{"code": 200, "data": {"token": ["opaque"]}}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes())?;
        stream.read(&mut request)
    });
    (base_url, server)
}

#[test]
fn the_thread_ends_with_the_last_clone() {
    for in_async_context in [false, true] {
        let (base_url, server) = one_connection();
        let async_client = Client::builder()
            .credentials(StoreAccess::new("abc123", "token").unwrap())
            .base_url(base_url)
            .build()
            .unwrap();
        // The pool lives on in `async_client`: only the end of the runtime closes the connection.
        let client = blocking::Client::new(async_client.clone()).unwrap();
        let clone = client.clone();
        drop(client);
        clone.mint_storefront_token(customer()).send().unwrap();
        assert!(!server.is_finished());
        if in_async_context {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async { drop(clone) });
        } else {
            drop(clone);
        }
        assert_eq!(server.join().unwrap().unwrap(), 0);
        drop(async_client);
    }
}

#[test]
fn a_call_blocks_until_its_deadline_at_the_most() {
    // Connections are taken by the operating system, and nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", "token").unwrap())
        .base_url(format!("http://{}", listener.local_addr().unwrap()))
        .build()
        .unwrap();
    let client = blocking::Client::new(client).unwrap();
    let options = CallOptions::builder()
        .deadline(Duration::from_millis(100))
        .retry(RetryPolicy::none())
        .build();
    let error = client
        .mint_storefront_token(customer())
        .options(options)
        .send()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.elapsed() < Duration::from_secs(30));
}

#[test]
fn an_environment_makes_one_too() {
    let world = World::start();
    let environment = Environment::from_lookup(|name| match name {
        "BIGCOMMERCE_STORE_HASH" => Some(demo::STORE_HASH.into()),
        "BIGCOMMERCE_ACCESS_TOKEN" => Some(demo::ACCESS_TOKEN.into()),
        "B2B_API_HOST" => Some(world.sandbox.base_url().into()),
        _ => None,
    });
    let client = blocking::Client::<StoreAccess>::from_environment(&environment).unwrap();
    client.mint_storefront_token(customer()).send().unwrap();
    assert_eq!(client.budget().under_way, 0);
    let nothing = Environment::from_lookup(|_| None);
    let error = blocking::Client::<StoreHash>::from_environment(&nothing).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
}

#[test]
fn a_client_goes_to_any_thread() {
    fn is_send_and_sync<T: Send + Sync + Clone + 'static>() {}
    fn is_send<T: Send + 'static>() {}
    is_send_and_sync::<blocking::Client>();
    is_send_and_sync::<blocking::Client<StoreHash>>();
    is_send_and_sync::<blocking::Client<LegacyAuthToken>>();
    is_send::<blocking::ServerTokenIter>();
}
