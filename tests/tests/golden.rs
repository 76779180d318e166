//! Names that dashboards, alerts and build files of users depend on: spans with their fields, log events, hooks of the observer
//! with their values, metrics, cargo features, and the files of a snapshot. All but the features are observed while calls run.
//! A test that fails here reports a change that users notice. In the *time* harness.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    fmt::{self, Write as _},
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bigcommerce_b2b_auth::{
    AllowedOrigins, BudgetLimit, CallOptions, Capacity, Client, Clock, CustomerEpoch, CustomerId,
    Fingerprint, Lease, LeaseOwner, MemoryTokenStore, Put, RetryPolicy, Secret, SecretFuture,
    SecretProvider, Snapshot, SnapshotKey, StoreAccess, StoreError, StoreFuture, StoreHash,
    StoreKey, StoredToken, TokenLayer, TokenRequest, TokenStore,
    telemetry::{
        AttemptEvent, BackendEvent, CallEvent, Observer, PermitWaitEvent, RetryEvent,
        SnapshotEvent, TokenEvictionEvent, TokenFetchEvent,
    },
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, RetrySignal, Sandbox, demo};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use serde_json::Value;
use tests::{
    Caller, InProcess, LongestWait, PausedClock,
    managed::{DAY, Managed, STORE_HASH, SettableClock, Wanted, customer},
};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);

// -- What is written down

/// Fields with few values, which people filter and group by.
const LABELS: [&str; 7] = [
    "b2b.cause",
    "b2b.operation",
    "cause",
    "error.type",
    "http.request.method",
    "otel.kind",
    "why",
];

/// A span or an event: its declared fields, of which those with a value have `true`.
#[derive(Debug, Default)]
struct Seen {
    fields: BTreeMap<&'static str, bool>,
    labels: BTreeMap<&'static str, BTreeSet<String>>,
}

/// Collects every span and event of the SDK.
#[derive(Debug, Clone, Default)]
struct Collector(Arc<Mutex<BTreeMap<String, Seen>>>);

/// What a span or an event is given.
#[derive(Debug, Default)]
struct Given(Vec<(&'static str, String)>);

impl Visit for Given {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.name(), format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.name(), value.to_owned()));
    }
}

fn is_of_sdk(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some("bigcommerce_b2b_auth")
}

impl Collector {
    fn add(&self, metadata: &'static Metadata<'static>, given: Given) {
        let message = given.0.iter().find(|(name, _)| *name == "message");
        let title = match message {
            Some((_, message)) => format!("event, {}: {message}", metadata.level()),
            None => format!("span, {}: {}", metadata.level(), metadata.name()),
        };
        let mut all = self.0.lock().unwrap();
        let seen = all.entry(title).or_default();
        for field in metadata.fields() {
            seen.fields.entry(field.name()).or_default();
        }
        for (name, value) in given.0 {
            seen.fields.insert(name, true);
            if LABELS.contains(&name) {
                seen.labels.entry(name).or_default().insert(value);
            }
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (title, seen) in &*self.0.lock().unwrap() {
            let _ = writeln!(text, "{title}");
            for (field, has_value) in &seen.fields {
                let absent = if *has_value { "" } else { " (never recorded)" };
                let values = seen.labels.get(field).map_or_else(String::new, |values| {
                    let values: Vec<_> = values.iter().map(String::as_str).collect();
                    format!(": {}", values.join(" | "))
                });
                if *field != "message" {
                    let _ = writeln!(text, "  {field}{absent}{values}");
                }
            }
        }
        text
    }
}

impl<S: Subscriber + for<'s> tracing_subscriber::registry::LookupSpan<'s>> Layer<S> for Collector {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, _: &span::Id, _: Context<'_, S>) {
        if is_of_sdk(attributes.metadata()) {
            let mut given = Given::default();
            attributes.record(&mut given);
            self.add(attributes.metadata(), given);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let metadata = context.span(id).unwrap().metadata();
        if is_of_sdk(metadata) {
            let mut given = Given::default();
            values.record(&mut given);
            self.add(metadata, given);
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if is_of_sdk(event.metadata()) {
            let mut given = Given::default();
            event.record(&mut given);
            self.add(event.metadata(), given);
        }
    }
}

/// The hooks that were called, with those values that do not differ from run to run.
#[derive(Debug, Default)]
struct Hooks(Mutex<BTreeSet<String>>);

impl Hooks {
    fn add(&self, line: String) {
        self.0.lock().unwrap().insert(line);
    }

    fn text(&self) -> String {
        let lines = self.0.lock().unwrap();
        lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

impl Observer for Hooks {
    fn on_permit_wait(&self, event: &PermitWaitEvent<'_>) {
        self.add(format!("on_permit_wait granted={}", event.granted));
    }

    fn on_attempt(&self, event: &AttemptEvent<'_>) {
        self.add(format!(
            "on_attempt {} status={:?} failed={:?}",
            event.operation.id, event.status, event.failed
        ));
    }

    fn on_retry(&self, event: &RetryEvent<'_>) {
        self.add(format!("on_retry cause={:?}", event.cause));
    }

    fn on_call(&self, event: &CallEvent<'_>) {
        self.add(format!(
            "on_call {} outcome={:?}",
            event.operation.id, event.outcome
        ));
    }

    fn on_token_fetch(&self, event: &TokenFetchEvent<'_>) {
        self.add(format!(
            "on_token_fetch cause={:?} source={:?} failed={:?}",
            event.cause, event.source, event.failed
        ));
    }

    fn on_token_eviction(&self, event: &TokenEvictionEvent) {
        self.add(format!("on_token_eviction is_live={}", event.is_live));
    }

    fn on_backend(&self, event: &BackendEvent<'_>) {
        let name = match event {
            BackendEvent::Down { .. } => "Down",
            BackendEvent::Recovered { .. } => "Recovered",
            other => unreachable!("{other:?} is new"),
        };
        self.add(format!("on_backend {name}"));
    }

    fn on_snapshot(&self, event: &SnapshotEvent<'_>) {
        let line = match event {
            SnapshotEvent::Restored(report) => format!("Restored problem={:?}", report.problem),
            SnapshotEvent::Written(_) => "Written".to_owned(),
            SnapshotEvent::Failed(error) => format!("Failed {error:?}"),
            other => unreachable!("{other:?} is new"),
        };
        self.add(format!("on_snapshot {line}"));
    }
}

/// The names of the fields of a struct, by its `Debug` with one field per line.
fn field_names(pretty: &str) -> String {
    let fields = pretty.lines().filter_map(|line| {
        let line = line.strip_prefix("    ")?;
        let name = line.split_once(": ")?.0;
        (!name.starts_with(' ')).then(|| format!("{name}\n"))
    });
    fields.collect()
}

// -- What is run

/// One test, since the subscriber is that of the process.
#[tokio::test(start_paused = true)]
async fn names_of_spans_events_hooks_and_metrics() {
    let collector = Collector::default();
    let hooks = Arc::new(Hooks::default());
    let subscriber = tracing_subscriber::registry().with(collector.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();

    let budget = calls_of_the_service(&hooks).await;
    let metrics = managed_tokens(&hooks).await;
    storefront_calls(&hooks).await;
    token_backend(&hooks).await;
    let folder = tempfile::tempdir().unwrap();
    let files = snapshots(&hooks, folder.path()).await;

    let without_path = |text: String| text.replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!("spans_and_events", without_path(collector.text()));
    insta::assert_snapshot!("observer_hooks", without_path(hooks.text()));
    insta::assert_snapshot!("token_metrics", metrics);
    insta::assert_snapshot!("budget_status", budget);
    insta::assert_snapshot!("files_of_a_snapshot", files);
}

/// Gives a wrong access token, and the right one after it was refused.
#[derive(Debug)]
struct Renewed;

impl SecretProvider for Renewed {
    fn secret<'a>(&'a self, refused: Option<&'a Secret>) -> SecretFuture<'a> {
        let token = match refused {
            None => "an older access token",
            Some(_) => demo::ACCESS_TOKEN,
        };
        Box::pin(async move { Ok(token.into()) })
    }
}

/// The six operations, each kind of retry, and a wait for the rate limit.
async fn calls_of_the_service(hooks: &Arc<Hooks>) -> String {
    let clock = PausedClock::start();
    let sandbox = Sandbox::builder()
        .seed(1)
        .clock(move || clock.wall())
        .build();
    let client = |limit: BudgetLimit| {
        Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .base_url("https://b2b.example.com")
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .jitter(Arc::new(LongestWait))
            .budget_limit(limit)
            .observer(Arc::clone(hooks) as Arc<dyn Observer>)
            .record_customer_id(true)
            .build()
            .unwrap()
    };
    let unlimited = client(BudgetLimit::unlimited());
    let caller = Caller::new(unlimited.clone(), &sandbox);
    for operation in Caller::OPERATIONS {
        let done = caller.call(operation, CallOptions::default()).await;
        done.unwrap();
    }
    let status = |status| Fault::EmptyError {
        status,
        moment: Moment::BeforeEffect,
    };
    let retried = [
        Fault::RefuseConnection,
        Fault::CloseBeforeReply {
            moment: Moment::BeforeEffect,
        },
        status(StatusCode::SERVICE_UNAVAILABLE),
        status(StatusCode::REQUEST_TIMEOUT),
        Fault::TooManyRequests {
            signals: vec![RetrySignal::RetryAfterSeconds],
            wait: 3 * SECOND,
        },
    ];
    for fault in retried {
        sandbox.fail_next(Operation::Mint, fault);
        let done = caller.call(Operation::Mint, CallOptions::default()).await;
        assert_eq!(done.unwrap().1, 2);
    }
    let renewed = unlimited
        .for_store(StoreAccess::from_provider(demo::STORE_HASH, Arc::new(Renewed)).unwrap());
    let mint = renewed.mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID).unwrap());
    mint.send().await.unwrap();

    let once = CallOptions::builder().retry(RetryPolicy::none()).build();
    sandbox.fail_next(Operation::Mint, Fault::RefuseConnection);
    let failed = caller.call(Operation::Mint, once).await;
    failed.unwrap_err();
    let dropped = caller.call(Operation::Mint, CallOptions::default());
    sandbox.fail_next(
        Operation::Mint,
        Fault::StallBeforeReply {
            moment: Moment::BeforeEffect,
        },
    );
    let dropped = tokio::time::timeout(Duration::from_millis(10), dropped).await;
    dropped.unwrap_err();

    let limited = Caller::new(client(BudgetLimit::at_most(60, 60 * SECOND, 1)), &sandbox);
    let hurried = CallOptions::builder().deadline(SECOND / 2).build();
    for deadline in [None, None, Some(hurried)] {
        let options = deadline.unwrap_or_default();
        let _ = limited.call(Operation::Mint, options).await;
    }
    field_names(&format!("{:#?}", unlimited.budget()))
}

/// Each cause of a refresh, an eviction, and a failure.
async fn managed_tokens(hooks: &Arc<Hooks>) -> String {
    let managed = Managed::new(Wanted {
        observer: Some(Arc::clone(hooks) as Arc<dyn Observer>),
        ..Wanted::default()
    });
    let tokens = &managed.tokens;
    let first = tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(20 * HOUR).await;
    tokens.get(customer(1)).await.unwrap();
    managed.settle().await;
    tokio::time::sleep(DAY - 120 * SECOND).await;
    let blocked = tokens.get(customer(1)).await.unwrap();
    assert_ne!(blocked.expose_secret(), first.expose_secret());
    tokens.invalidate(&blocked);
    tokens.get(customer(1)).await.unwrap();
    let warming = tokens.warm(stream::iter([customer(2)])).share(0.5).start();
    assert_eq!(warming.count().await, 1);
    managed.sandbox.fail_next(
        Operation::Mint,
        Fault::EmptyError {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            moment: Moment::BeforeEffect,
        },
    );
    tokens.get(customer(3)).await.unwrap_err();
    let metrics = field_names(&format!("{:#?}", tokens.metrics()));

    let small = managed.another(Wanted {
        observer: Some(Arc::clone(hooks) as Arc<dyn Observer>),
        capacity: Some(Capacity::entries(1)),
        ..Wanted::default()
    });
    for id in 1..=10 {
        small.tokens.get(customer(id)).await.unwrap();
    }
    metrics
}

/// A storefront API that rejects the first tokens it sees, by GraphQL and by REST.
async fn storefront_calls(hooks: &Arc<Hooks>) {
    let managed = Managed::new(Wanted {
        observer: Some(Arc::clone(hooks) as Arc<dyn Observer>),
        ..Wanted::default()
    });
    let rejects = Arc::new(AtomicBool::new(false));
    let of_service = Arc::clone(&rejects);
    let service = TokenLayer::new(managed.tokens.clone(), AllowedOrigins::bigcommerce()).layer(
        service_fn(move |request: http::Request<String>| {
            let rejects = of_service.load(Ordering::Relaxed);
            async move {
                let mut response = http::Response::new(String::new());
                *response.status_mut() = match (rejects, request.uri().path()) {
                    (true, _) => StatusCode::UNAUTHORIZED,
                    (false, "/graphql") => StatusCode::OK,
                    (false, _) => StatusCode::NOT_FOUND,
                };
                let id = http::HeaderValue::from_static("request-7");
                response.headers_mut().insert("x-request-id", id);
                Ok::<_, Infallible>(response)
            }
        }),
    );
    for (path, rejected) in [
        ("/graphql", false),
        ("/orders", false),
        // It replaces the token, and then rejects the replacement as well.
        ("/graphql", true),
        ("/graphql", true),
    ] {
        rejects.store(rejected, Ordering::Relaxed);
        let request = http::Request::post(format!("https://api-b2b.bigcommerce.com{path}"))
            .extension(TokenRequest::new(customer(1)))
            .body(String::new())
            .unwrap();
        service.clone().oneshot(request).await.unwrap();
        tokio::time::sleep(2 * SECOND).await;
    }
}

/// A token backend that can be out of order.
#[derive(Debug)]
struct Backend {
    within: MemoryTokenStore,
    is_down: AtomicBool,
}

impl Backend {
    fn answer<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.is_down.load(Ordering::Relaxed) {
            Box::pin(async { Err(StoreError::new("out of order")) })
        } else {
            answer
        }
    }
}

impl TokenStore for Backend {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
        self.answer(self.within.load(key))
    }

    fn put_if_newer<'a>(
        &'a self,
        key: &'a StoreKey,
        token: &'a StoredToken,
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        self.answer(self.within.put_if_newer(key, token, epoch))
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        self.answer(self.within.epoch(key))
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        self.answer(self.within.forget(key))
    }

    fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
        self.answer(self.within.reject(key, token))
    }

    fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
        self.answer(self.within.lease(key, length))
    }

    fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
        self.answer(self.within.release(key, owner))
    }

    fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
        self.within.fingerprint(customer_access_token)
    }
}

/// A token from the backend, one that is not used, and an outage.
async fn token_backend(hooks: &Arc<Hooks>) {
    let clock = SettableClock::start() as Arc<dyn Clock>;
    let backend = Arc::new(Backend {
        within: MemoryTokenStore::with_clock(100, clock),
        is_down: AtomicBool::new(false),
    });
    let wanted = Wanted {
        observer: Some(Arc::clone(hooks) as Arc<dyn Observer>),
        shared_store: Some(Arc::clone(&backend) as Arc<dyn TokenStore>),
        ..Wanted::default()
    };
    let managed = Managed::new(wanted.clone());
    managed.tokens.get(customer(1)).await.unwrap();
    let other = managed.another(wanted);
    other.tokens.get(customer(1)).await.unwrap();

    let now = managed.clock.true_time();
    let text = managed.token_that_lasts(2, DAY);
    let from_the_future = StoredToken::new(text.as_str(), now + DAY, now + HOUR);
    let key = StoreKey::new(StoreHash::new(STORE_HASH).unwrap(), customer(2));
    let epoch = CustomerEpoch::default();
    let put = backend.put_if_newer(&key, &from_the_future, epoch).await;
    assert_eq!(put.unwrap(), Put::Stored);
    managed.tokens.get(customer(2)).await.unwrap();

    backend.is_down.store(true, Ordering::Relaxed);
    managed.tokens.get(customer(3)).await.unwrap();
    backend.is_down.store(false, Ordering::Relaxed);
    tokio::time::sleep(5 * SECOND).await;
    managed.tokens.get(customer(4)).await.unwrap();
}

/// A snapshot that is written, restored, held by another process, damaged, impossible to write, and never restored. The result
/// lists the files on disk at each point.
async fn snapshots(hooks: &Arc<Hooks>, folder: &Path) -> String {
    let wanted = |file: &str| Wanted {
        observer: Some(Arc::clone(hooks) as Arc<dyn Observer>),
        snapshot: Some(Snapshot::new(folder.join(file), SnapshotKey::from([1; 32]))),
        ..Wanted::default()
    };
    let mut text = String::new();
    let mut note = |when: &str| {
        let _ = writeln!(text, "{when}");
        for line in files(folder) {
            let _ = writeln!(text, "  {line}");
        }
    };
    let one = Managed::new(wanted("tokens.snapshot"));
    one.tokens.restore().await;
    one.tokens.get(customer(1)).await.unwrap();
    note("restored without a file");
    one.tokens.write_snapshot().await.unwrap();
    note("written");
    let two = one.another(wanted("tokens.snapshot"));
    assert!(!two.tokens.restore().await.is_writing);
    note("restored by a second process");
    one.tokens.forget(customer(1));
    one.tokens.shutdown().await;
    two.tokens.shutdown().await;
    note("both are shut down");

    fs::write(folder.join("tokens.snapshot"), "damaged").unwrap();
    let three = one.another(wanted("tokens.snapshot"));
    three.tokens.restore().await;
    note("a damaged file was restored");
    three.tokens.get(customer(1)).await.unwrap();
    three.tokens.shutdown().await;
    note("and replaced at the shutdown");

    let unrestored = one.another(wanted("tokens.snapshot"));
    unrestored.tokens.shutdown().await;
    let unwritable = one.another(wanted("folder.snapshot"));
    unwritable.tokens.restore().await;
    unwritable.tokens.get(customer(1)).await.unwrap();
    fs::create_dir(folder.join("folder.snapshot")).unwrap();
    unwritable.tokens.write_snapshot().await.unwrap_err();
    note("a folder is in the way of another snapshot");
    text
}

/// The files of a folder, with their permissions where the system has them.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        let kind = match (metadata.is_file(), metadata.len()) {
            (false, _) => "folder",
            (true, 0) => "empty file",
            (true, _) => "file",
        };
        #[cfg(unix)]
        let mode = {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = metadata.permissions().mode() & 0o777;
            // That of a folder is the test's own.
            if metadata.is_file() {
                format!(", mode {mode:o}")
            } else {
                String::new()
            }
        };
        #[cfg(not(unix))]
        let mode = ", mode 600";
        format!("{}: {kind}{mode}", entry.file_name().display())
    });
    let mut files: Vec<_> = entries.collect();
    files.sort();
    files
}

#[test]
fn features_of_the_published_crates() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut text = String::new();
    let mut packages: Vec<_> = metadata["packages"].as_array().unwrap().iter().collect();
    packages.sort_by_key(|package| package["name"].as_str());
    for package in packages {
        // An empty list is how `publish = false` reads.
        if package["publish"].as_array().is_some_and(Vec::is_empty) {
            continue;
        }
        let _ = writeln!(text, "{}", package["name"].as_str().unwrap());
        for (feature, enables) in package["features"].as_object().unwrap() {
            let enables = enables.as_array().unwrap().iter();
            // Dependencies are the crate's own business.
            let mut enables: Vec<_> = enables
                .filter_map(Value::as_str)
                .filter(|it| !it.contains([':', '/']))
                .collect();
            enables.sort_unstable();
            let _ = writeln!(text, "  {feature} = [{}]", enables.join(", "));
        }
    }
    insta::assert_snapshot!("cargo_features", text);
}
