//! The canary: planted secrets are driven through every call, every fault, every type, every error, a panic, and every
//! snapshot, with the logs of the whole HTTP and TLS stack on at `trace`, and must come out nowhere.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls hold secrets too")]

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bigcommerce_b2b_auth::{
    AllowedOrigins, Answer, CallOptions, Capacity, ChannelId, Client, CustomerAccessToken,
    CustomerId, Environment, Error, LegacyAuthToken, MemoryTokenStore, RotatingSecret, Secret,
    Snapshot, SnapshotKey, StoreAccess, StoreError, StoreKey, StoredToken, StorefrontApi,
    StorefrontTokens, TokenLayer, TokenRequest, TokenStore,
    telemetry::{
        AttemptEvent, CallEvent, Observer, PermitWaitEvent, RetryEvent, SnapshotEvent,
        TokenEvictionEvent, TokenFetchEvent,
    },
    transport::{self, Delivery, Transport, TransportError, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{
    CannedReply, ErrorShape, EventChannel, Fault, Operation, RunningSandbox, Sandbox, Store,
    TlsIdentity, demo,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use tests::{Caller, LongestWait, RecordingClock, render};
use tracing_subscriber::{filter::LevelFilter, fmt::format::FmtSpan};

const CUSTOMER_ACCESS_TOKEN: &str = "planted-customer-access-token";

const SNAPSHOT_KEY: &[u8; 32] = b"planted-snapshot-key-of-32-bytes";

/// The same as it stands in an environment.
const SNAPSHOT_KEY_TEXT: &str = "cGxhbnRlZC1zbmFwc2hvdC1rZXktb2YtMzItYnl0ZXM=";

/// Where everything that anybody says is written down.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

/// A client shows its observer: what was heard so far would be heard again each time.
impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heard")
    }
}

impl Heard {
    fn note(&self, text: impl AsRef<[u8]>) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(text.as_ref());
        heard.push(b'\n');
    }

    fn text(&self) -> String {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }

    fn debug(&self, value: impl std::fmt::Debug) {
        self.note(format!("{value:?}\n{value:#?}"));
    }
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Observer for Heard {
    fn on_permit_wait(&self, event: &PermitWaitEvent<'_>) {
        self.debug(event);
    }

    fn on_attempt(&self, event: &AttemptEvent<'_>) {
        self.debug(event);
    }

    fn on_retry(&self, event: &RetryEvent<'_>) {
        self.debug(event);
    }

    fn on_call(&self, event: &CallEvent<'_>) {
        self.debug(event);
    }

    fn on_token_fetch(&self, event: &TokenFetchEvent<'_>) {
        self.debug(event);
    }

    fn on_token_eviction(&self, event: &TokenEvictionEvent) {
        self.debug(event);
    }

    fn on_snapshot(&self, event: &SnapshotEvent<'_>) {
        self.debug(event);
    }
}

/// What must come out nowhere, with a name for it.
#[derive(Debug, Default)]
struct Planted(Vec<(String, String)>);

impl Planted {
    /// A token is looked for whole and by its parts: half a secret is one too.
    fn add(&mut self, name: &str, secret: &str) {
        for part in secret.split('.').chain([secret]) {
            if part.len() >= 8 {
                self.0.push((name.to_owned(), part.to_owned()));
            }
        }
    }

    fn are_not_in(&self, text: &str, place: &str) {
        for (name, secret) in &self.0 {
            if let Some(at) = text.find(secret.as_str()) {
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                panic!("{place} shows {name}, after: {line}");
            }
        }
    }
}

fn tls() -> (TlsIdentity, reqwest::Certificate) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let identity = TlsIdentity::new([certificate.der().to_vec()], key.serialize_der());
    let root = reqwest::Certificate::from_der(certificate.der()).unwrap();
    (identity, root)
}

fn store() -> Store {
    Store::demo().server_token(
        "to be deleted",
        demo::ADMINISTRATOR_EMAIL,
        EventChannel::App,
    )
}

/// Every call with every value that it gives, each shown in every way that it can be.
async fn call_everything(client: &Client, sandbox: &RunningSandbox, heard: &Heard) -> Vec<String> {
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let auth_token = sandbox.auth_token(demo::STORE_HASH).unwrap();
    let session_jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let legacy = client.with_legacy_auth_token(LegacyAuthToken::new(&*auth_token).unwrap());
    let access = CustomerAccessToken::new(CUSTOMER_ACCESS_TOKEN);
    heard.debug(&access);
    let minted = client
        .mint_storefront_token(customer)
        .customer_access_token(access)
        .send()
        .await
        .unwrap();
    let login = client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("canary")
        .channel(ChannelId::DEFAULT);
    let logged_in = login.send().await.unwrap();
    let exchanged = client
        .exchange_session_jwt(&*session_jwt)
        .send()
        .await
        .unwrap();
    let created = client
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name("canary")
        .send()
        .await
        .unwrap();
    let listed = legacy.list_server_tokens().send().await.unwrap();
    let mut tokens = vec![auth_token, session_jwt];
    for token in [&minted, &logged_in, &exchanged] {
        heard.debug(token);
        heard.debug(token.authorization());
        heard.debug(token.claims());
        heard.debug(token.meta());
        tokens.push(token.secret().expose_secret().to_owned());
    }
    heard.debug(&created);
    tokens.push(created.token.expose_secret().to_owned());
    heard.debug(&listed);
    for token in &listed.tokens {
        heard.debug(token);
        tokens.extend(
            token
                .token
                .iter()
                .map(|token| token.expose_secret().to_owned()),
        );
    }
    heard.debug((client, &legacy, client.budget()));
    tokens
}

/// Managed tokens on every way that one can go: fetched, shared, evicted, refused, failed, and shut down. Their tokens are
/// returned.
async fn manage_tokens(client: &Client, sandbox: &RunningSandbox, heard: &Heard) -> Vec<String> {
    let store = Arc::new(MemoryTokenStore::new());
    let tokens = StorefrontTokens::builder()
        .client(client.clone())
        .capacity(Capacity::entries(1))
        .shared_store(Arc::clone(&store) as Arc<dyn TokenStore>)
        .build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let with_access_token = TokenRequest::new(customer)
        .customer_access_token(CustomerAccessToken::new(CUSTOMER_ACCESS_TOKEN));
    heard.debug(&with_access_token);
    let mut seen = Vec::new();
    let session_jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let exchanged = client
        .exchange_session_jwt(session_jwt)
        .send()
        .await
        .unwrap();
    let put = tokens
        .put(
            TokenRequest::new(customer).channel(ChannelId::DEFAULT),
            &exchanged,
        )
        .unwrap();
    for token in [
        tokens.get(customer).await.unwrap(),
        tokens.get(with_access_token.clone()).await.unwrap(),
        put,
    ] {
        heard.debug(&token);
        heard.debug((token.authorization(), token.claims()));
        heard.debug(tokens.invalidate(&token));
        seen.push(token.expose_secret().to_owned());
    }
    heard.debug((&tokens, tokens.metrics(), &store));
    let stored = StoredToken::new(
        seen[0].as_str(),
        std::time::SystemTime::now(),
        std::time::SystemTime::now(),
    );
    let fingerprint = store.fingerprint(&Secret::from(CUSTOMER_ACCESS_TOKEN));
    let key = StoreKey::new(client.store_hash().clone(), customer)
        .with_customer_access_token(fingerprint);
    heard.debug((&stored, &key, key.to_text()));
    heard.debug(StoreError::new("it is down"));
    // A failure that repeats what was sent, fresh and remembered.
    let text = format!(
        "no such thing as {CUSTOMER_ACCESS_TOKEN} and {}",
        demo::ACCESS_TOKEN
    );
    let reply = CannedReply::error(StatusCode::BAD_REQUEST, ErrorShape::Envelope, text);
    sandbox.respond_next(Operation::Mint, reply);
    for is_remembered in [false, true] {
        let error = tokens.get(with_access_token.clone()).await.unwrap_err();
        assert_eq!(error.remembered_for().is_some(), is_remembered);
        heard.note(render(&error));
    }
    tokens.shutdown().await;
    let error = tokens.get(CustomerId::new(77).unwrap()).await.unwrap_err();
    heard.note(render(&error));
    seen
}

/// The storefront's data APIs, called with managed tokens: refused, healed, failing with what was sent to them, and out of
/// reach. The tokens that were sent are returned.
async fn call_data_apis(client: &Client, heard: &Heard) -> Vec<String> {
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&sent);
    let handler = move |request: http::Request<axum::body::Body>| {
        let token = request.headers()["authorization"].to_str().unwrap();
        let token = token.trim_start_matches("Bearer ").to_owned();
        let mut seen = seen.lock().unwrap();
        let first = seen.first().is_none_or(|first| *first == token);
        seen.push(token.clone());
        async move {
            let body = if first {
                r#"{"errors": [{"message": "JWT verification failed"}]}"#.to_owned()
            } else {
                // The token is repeated in data and in a message.
                format!(
                    r#"{{"data": "{token}", "errors": [{{"message": "{token} is not yours"}}]}}"#
                )
            };
            let status = if request.uri().path() == "/graphql" {
                200
            } else {
                403
            };
            http::Response::builder()
                .status(status)
                .header("content-type", "application/json")
                .header("x-request-id", &token)
                .header("trace-id", format!("of {token}"))
                .body(axum::body::Body::from(body))
                .unwrap()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server =
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().fallback(handler)).await },
        );
    let tokens = StorefrontTokens::builder().client(client.clone()).build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    // Of another kind than what is minted in the very second that it is refused in.
    let login = client.log_in_storefront_user();
    let login = login
        .channel(ChannelId::DEFAULT)
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("data");
    tokens.put(customer, &login.send().await.unwrap()).unwrap();
    let api = |graphql_path: &str| {
        StorefrontApi::builder()
            .tokens(tokens.clone())
            .base_url(&address)
            .graphql_path(graphql_path)
            .http(|| reqwest::Client::builder().connection_verbose(true))
            .build()
            .unwrap()
    };
    heard.debug((
        api("graphql"),
        TokenLayer::new(tokens.clone(), AllowedOrigins::bigcommerce()),
    ));
    let reply = api("graphql").graphql(customer, "{ company }").send().await;
    heard.debug(&reply);
    let reply = reply.unwrap();
    heard.debug(reply.meta());
    heard.debug(&reply.errors()[0].message);
    heard.note(render(&reply.into_data::<u8>().unwrap_err()));
    let error = api("elsewhere")
        .graphql(customer, "{ company }")
        .send()
        .await
        .unwrap_err();
    heard.note(render(&error));
    let request = api("graphql").request(reqwest::Method::GET, "/orders");
    heard.debug(
        api("graphql")
            .send(customer, request)
            .await
            .unwrap()
            .status(),
    );
    let refused: Result<(), _> = tokens
        .call(customer, |token| {
            heard.debug(&token);
            async { Ok::<_, io::Error>(Answer::RefusedForGood(())) }
        })
        .await;
    heard.debug(&refused);
    server.abort();
    let _ = server.await;
    let error = api("graphql")
        .graphql(customer, "{ company }")
        .send()
        .await
        .unwrap_err();
    heard.note(render(&error));
    Arc::into_inner(sent)
        .map(|sent| sent.into_inner().unwrap())
        .unwrap_or_default()
}

/// A snapshot that is written, restored, refused and not to be written. Its tokens are returned, and its files as they are.
async fn keep_snapshots(client: &Client, heard: &Heard) -> (Vec<String>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.snapshot");
    let key = || SnapshotKey::from_base64(SNAPSHOT_KEY_TEXT).unwrap();
    heard.debug((key(), SnapshotKey::from(*SNAPSHOT_KEY)));
    for bad in [
        SNAPSHOT_KEY_TEXT.trim_end_matches('='),
        CUSTOMER_ACCESS_TOKEN,
    ] {
        heard.note(render(&SnapshotKey::from_base64(bad).unwrap_err()));
    }
    let cache = |snapshot: Snapshot| {
        heard.debug(&snapshot);
        StorefrontTokens::builder()
            .client(client.clone())
            .snapshot(snapshot)
            .build()
    };
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let tokens = cache(Snapshot::new(&path, key()));
    heard.debug(tokens.restore().await);
    let token = tokens.get(customer).await.unwrap();
    heard.debug((&tokens, tokens.write_snapshot().await));
    // Another process while that one runs, one with another key, and one that has nowhere to write.
    let other_key = SnapshotKey::from([0; 32]);
    for snapshot in [
        Snapshot::new(&path, key()),
        Snapshot::new(&path, other_key.clone()),
        Snapshot::new(&path, other_key).also_reads(key()),
        Snapshot::new(path.join("missing"), key()),
    ] {
        let other = cache(snapshot);
        let report = other.restore().await;
        heard.debug(&report);
        heard.note(report.problem.unwrap().to_string());
        let error = other.write_snapshot().await.unwrap_err();
        heard.note(format!(
            "{error} {error:?} {:?}",
            io::Error::other(error.to_string())
        ));
        other.shutdown().await;
    }
    tokens.shutdown().await;
    cache(Snapshot::new(&path, key())).shutdown().await;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        files.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    (vec![token.expose_secret().to_owned()], files)
}

/// Every fault of every call, and replies that repeat what was sent to them.
async fn fail_everything(client: &Client, sandbox: &RunningSandbox, heard: &Heard) {
    let caller = Caller::new(client.clone(), sandbox);
    let show = |error: &Error| heard.note(render(error));
    for (name, fault) in Fault::catalogue() {
        // A flood of headers or bytes says no more in the log than its beginning, but takes the log minutes.
        if matches!(
            fault,
            Fault::EndlessBody | Fault::HeaderFlood { .. } | Fault::GzipOfZeros { .. }
        ) {
            continue;
        }
        // What stalls is given up by the clock of the wire, which is the real one.
        let options = || {
            CallOptions::builder()
                .attempt_timeout(Duration::from_millis(200))
                .build()
        };
        for operation in Caller::OPERATIONS {
            // Waiting shows no more of one operation than of another: the one with a secret in its URL will do.
            let waits = name.starts_with("slow") || name.starts_with("stall");
            if waits && operation != Operation::Exchange {
                continue;
            }
            sandbox.fail_next_times(operation, fault.clone(), 1);
            if let Err(error) = caller.call(operation, options()).await {
                show(&error);
            }
            sandbox.clear_faults();
        }
    }
    let session_jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    for (operation, secret) in [
        (Operation::Mint, demo::ACCESS_TOKEN.to_owned()),
        (Operation::Login, demo::CUSTOMER_PASSWORD.to_owned()),
        (Operation::Exchange, session_jwt),
        (
            Operation::CreateServerToken,
            demo::ADMINISTRATOR_PASSWORD.to_owned(),
        ),
        (
            Operation::ListServerTokens,
            sandbox.auth_token(demo::STORE_HASH).unwrap(),
        ),
    ] {
        for shape in ErrorShape::ALL {
            for status in [
                StatusCode::BAD_REQUEST,
                StatusCode::FORBIDDEN,
                StatusCode::OK,
            ] {
                let text = format!("no such thing as {secret}, {secret}");
                let echo = http::HeaderValue::try_from(format!("of-{secret}")).unwrap();
                let reply = CannedReply::error(status, *shape, text)
                    .header(http::HeaderName::from_static("x-request-id"), echo.clone())
                    .header(http::HeaderName::from_static("trace-id"), echo);
                sandbox.respond_next(operation, reply);
                match caller.call(operation, CallOptions::default()).await {
                    Ok(_) => {}
                    Err(error) => show(&error),
                }
            }
        }
        for body in [
            format!(r#"{{"code":200,"data":{{"token":["{secret}"]}},"meta":7}}"#),
            format!(r#"{{"code":200,"data":{{"token":{{"a":"{secret}"}}}}}}"#),
            format!(r#"{{"code":200,"data":"{secret}"}}"#),
            format!(r#"{{"code":"{secret}"}}"#),
            format!(r#"{{"{secret}":1,"data":"#),
            secret.clone(),
        ] {
            let reply = CannedReply::new(StatusCode::OK).body(body);
            sandbox.respond_next(operation, reply);
            if let Err(error) = caller.call(operation, CallOptions::default()).await {
                show(&error);
            }
        }
    }
}

/// A way to write an echo: what it is called, and what it makes of a secret.
type Encoder = (&'static str, fn(&str) -> String);

/// The ways in which a service is known to repeat what was sent to it, and some more.
const ENCODERS: &[Encoder] = &[
    ("as it is", str::to_owned),
    ("JSON in JSON", |it| {
        let text = json!({"t": it}).to_string();
        serde_json::Value::from(text).to_string()
    }),
    ("JSON by code units, in JSON", |it| {
        it.chars()
            .map(|c| format!("\\\\u{:04x}", u32::from(c)))
            .collect()
    }),
    ("Python repr", |it| format!("{{'token': '{it}'}}")),
    ("Python repr of bytes", |it| {
        it.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }),
    ("HTML decimal", |it| {
        it.bytes().map(|byte| format!("&#{byte};")).collect()
    }),
    ("HTML hexadecimal, twice", |it| {
        it.bytes().map(|byte| format!("&amp;#x{byte:X};")).collect()
    }),
    ("HTML names", |it| format!("&lt;b&gt;{it}&quot;")),
    ("percent, lower case", |it| {
        it.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }),
    ("percent, upper case, twice", |it| {
        it.bytes().map(|byte| format!("%25{byte:02X}")).collect()
    }),
    ("form", |it| {
        format!("password={}+and", it.replace('-', "%2d"))
    }),
    ("base64", |it| BASE64.encode(it)),
    ("base64, second alignment", |it| {
        BASE64.encode(format!("-{it}-"))
    }),
    ("base64, third alignment", |it| {
        BASE64.encode(format!("--{it}"))
    }),
    ("Basic", |it| {
        format!("Basic {}", BASE64.encode(format!("user:{it}")))
    }),
    ("base64 for URLs", |it| {
        BASE64
            .encode(format!("~~{it}"))
            .replace('+', "-")
            .replace('/', "_")
            .trim_end_matches('=')
            .to_owned()
    }),
    ("base64 of base64", |it| BASE64.encode(BASE64.encode(it))),
    ("base64 of percent", |it| {
        let percent: String = it.bytes().map(|byte| format!("%{byte:02x}")).collect();
        BASE64.encode(percent)
    }),
    ("hexadecimal", |it| {
        it.bytes().map(|byte| format!("{byte:02x}")).collect()
    }),
    ("hexadecimal with colons", |it| {
        let bytes: Vec<_> = it.bytes().map(|byte| format!("{byte:02X}")).collect();
        bytes.join(":")
    }),
    ("upper case", str::to_uppercase),
    ("a line break", |it| in_pieces(it, "\r\n  ")),
    ("a zero-width space", |it| in_pieces(it, "\u{200b}")),
    ("a zero-width joiner", |it| in_pieces(it, "\u{200d}")),
    ("a byte order mark", |it| in_pieces(it, "\u{feff}")),
    ("a soft hyphen", |it| in_pieces(it, "\u{ad}")),
    ("a mark of direction", |it| in_pieces(it, "\u{202e}")),
    ("a list", |it| format!("[\"{}\"]", in_pieces(it, "\", \""))),
    ("base64 in lines", |it| {
        in_pieces(&BASE64.encode(it), "\r\n")
    }),
    ("the first three quarters", |it| {
        format!("{}...", &it[..it.len() * 3 / 4 + 2])
    }),
];

fn in_pieces(text: &str, between: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let pieces: Vec<String> = characters
        .chunks(7)
        .map(|piece| piece.iter().collect())
        .collect();
    pieces.join(between)
}

/// Where a reply has a text that can be shown, and the reply with a text there.
type Place = (&'static str, fn(&str) -> Option<CannedReply>);

const PLACES: &[Place] = &[
    ("errMsg", |echo| {
        bad(&json!({"code": 400, "data": {"errMsg": echo}}))
    }),
    ("an item of errMsg", |echo| {
        bad(&json!({"code": 400, "data": {"errMsg": ["one", echo, 3]}}))
    }),
    ("the name of a field", |echo| {
        bad(&json!({"data": {"errMsg": {echo: ["bad"]}}}))
    }),
    ("the messages of a field", |echo| {
        bad(&json!({"data": {"password": [echo]}}))
    }),
    ("meta.message", |echo| {
        bad(&json!({"data": {"errMsg": "no"}, "meta": {"message": echo}}))
    }),
    ("code", |echo| bad(&json!({"code": echo, "message": "no"}))),
    ("message", |echo| {
        bad(&json!({"code": 404, "message": echo}))
    }),
    ("detail", |echo| bad(&json!({"detail": echo}))),
    ("title", |echo| {
        bad(&json!({"title": echo, "errors": {"a": "b"}}))
    }),
    ("errors", |echo| {
        bad(&json!({"title": "Invalid", "errors": {"a": {"b": [echo]}}}))
    }),
    ("a text that is no JSON", |echo| {
        Some(CannedReply::new(StatusCode::BAD_REQUEST).body(echo.to_owned()))
    }),
    ("X-Request-Id", |echo| {
        with_header("x-request-id", echo, StatusCode::BAD_REQUEST)
    }),
    ("Trace-Id", |echo| {
        with_header("trace-id", echo, StatusCode::BAD_REQUEST)
    }),
    ("X-Request-Id of a success", |echo| {
        with_header("x-request-id", echo, StatusCode::OK)
    }),
    ("Trace-Id of a success", |echo| {
        with_header("trace-id", echo, StatusCode::OK)
    }),
];

#[expect(clippy::unnecessary_wraps, reason = "a header cannot hold every echo")]
fn bad(body: &serde_json::Value) -> Option<CannedReply> {
    Some(CannedReply::json(StatusCode::BAD_REQUEST, body))
}

/// `None` where no header can hold it: a line break.
fn with_header(name: &'static str, echo: &str, status: StatusCode) -> Option<CannedReply> {
    let value = HeaderValue::from_bytes(echo.as_bytes()).ok()?;
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjQxMDI0NDQ4MDB9.c2lnbmF0dXJl";
    let body = if status.is_success() {
        json!({"code": 200, "data": {"token": [jwt]}})
    } else {
        json!({"code": 400, "message": "no"})
    };
    Some(CannedReply::json(status, &body).header(HeaderName::from_static(name), value))
}

/// What of an echo must not be shown: no stretch of twenty characters, whatever is between them.
fn stretches(echo: &str) -> Vec<String> {
    let characters: Vec<char> = without_what_divides(echo).chars().collect();
    characters
        .windows(characters.len().min(16))
        .step_by(4)
        .map(|stretch| stretch.iter().collect())
        .collect()
}

fn without_what_divides(text: &str) -> String {
    let is_left_out =
        |c: char| c.is_whitespace() || "\u{200b}\u{200d}\u{feff}\u{ad}\u{202e}\"'[],;".contains(c);
    text.chars().filter(|c| !is_left_out(*c)).collect()
}

/// How many operations send a secret that a service may repeat.
const ECHOED: usize = 5;

/// A transport whose errors repeat what was sent.
#[derive(Debug)]
struct Repeats(Mutex<String>);

impl Transport for Repeats {
    fn send<'a>(
        &'a self,
        _: reqwest::Request,
        _: &'static transport::Operation,
    ) -> TransportFuture<'a> {
        let text = self.0.lock().unwrap().clone();
        let inner = io::Error::other(text.clone());
        let outer = io::Error::other(format!("the peer said {text}"));
        Box::pin(async move {
            Err(TransportError::new(
                Delivery::Unknown,
                if text.len().is_multiple_of(2) {
                    outer
                } else {
                    inner
                },
            ))
        })
    }
}

/// Every encoder in every place, for the secrets of the first operations. How many forms were answered, and how many no header
/// can hold.
async fn echo_everything(
    client: &Client,
    sandbox: &RunningSandbox,
    heard: &Heard,
    operations: usize,
    places: &[Place],
) -> (usize, usize) {
    let caller = Caller::new(client.clone(), sandbox);
    let once = || {
        CallOptions::builder()
            .retry(bigcommerce_b2b_auth::RetryPolicy::none())
            .build()
    };
    let session_jwt = sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let secrets = [
        (Operation::Mint, demo::ACCESS_TOKEN.to_owned()),
        (Operation::Login, demo::CUSTOMER_PASSWORD.to_owned()),
        (Operation::Exchange, session_jwt),
        (
            Operation::CreateServerToken,
            demo::ADMINISTRATOR_PASSWORD.to_owned(),
        ),
        (
            Operation::ListServerTokens,
            sandbox.auth_token(demo::STORE_HASH).unwrap(),
        ),
    ];
    let (mut answered, mut impossible) = (0, 0);
    for (number, (operation, secret)) in secrets.into_iter().take(operations).enumerate() {
        for (row, (encoder, encode)) in ENCODERS.iter().enumerate() {
            let echo = encode(&secret);
            for (column, (place, reply)) in places.iter().enumerate() {
                // All of the first operation; of the others a third, so that each has each encoder and each place.
                if number > 0 && (number + row + column) % 3 != 0 {
                    continue;
                }
                let Some(reply) = reply(&echo) else {
                    impossible += 1;
                    continue;
                };
                sandbox.respond_next(operation, reply);
                let shown = match caller.meta(operation, once()).await {
                    Ok(meta) => format!("{meta:?} {meta:#?}"),
                    Err(error) => format!(
                        "{} {:?} {:?} {:?} {:?} {error:#?}",
                        render(&error),
                        error.reason(),
                        error.request_id(),
                        error.trace_id(),
                        error.meta(),
                    ),
                };
                answered += 1;
                shows_nothing(
                    &shown,
                    &secret,
                    &echo,
                    &format!("{operation:?}: {encoder} in {place}"),
                );
                heard.note(shown);
            }
        }
    }
    (answered, impossible)
}

fn shows_nothing(shown: &str, secret: &str, echo: &str, what: &str) {
    let line = without_what_divides(shown);
    assert!(
        !line.contains(&without_what_divides(secret)),
        "{what}: {shown}"
    );
    for stretch in stretches(echo) {
        assert!(!line.contains(&stretch), "{what}: {stretch} in {shown}");
    }
    assert!(
        !shown.contains('\u{202e}') && !shown.contains('\u{200b}'),
        "{what}: {shown}"
    );
}

/// Every encoder in the errors of a transport of the caller's own.
async fn echo_in_foreign_errors(heard: &Heard) -> usize {
    let repeats = Arc::new(Repeats(Mutex::default()));
    for (encoder, encode) in ENCODERS {
        // A store of its own, so that none waits for its rate limit.
        let store = encoder.replace(|c: char| !c.is_ascii_alphanumeric(), "");
        let client = Client::builder()
            .credentials(StoreAccess::new(store, demo::ACCESS_TOKEN).unwrap())
            .transport(Arc::clone(&repeats) as Arc<dyn Transport>)
            .retry(bigcommerce_b2b_auth::RetryPolicy::none())
            .build()
            .unwrap();
        let echo = encode(demo::ACCESS_TOKEN);
        *repeats.0.lock().unwrap() = echo.clone();
        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        let error = client
            .mint_storefront_token(customer)
            .send()
            .await
            .unwrap_err();
        let shown = format!("{} {error:#?}", render(&error));
        assert!(shown.contains("[REDACTED]"), "{encoder}: {shown}");
        shows_nothing(&shown, demo::ACCESS_TOKEN, &echo, encoder);
        heard.note(shown);
    }
    ENCODERS.len()
}

/// Every encoder in each text of a GraphQL response that can be shown.
async fn echo_in_graphql(sandbox: &RunningSandbox, heard: &Heard) -> usize {
    let handler = |request: http::Request<axum::body::Body>| {
        let token = request.headers()["authorization"].to_str().unwrap();
        let token = token.trim_start_matches("Bearer ");
        let index: usize = request
            .uri()
            .path()
            .trim_start_matches('/')
            .parse()
            .unwrap();
        let echo = ENCODERS[index].1(token);
        let body = json!({"data": null, "errors": [
            {"message": echo, "extensions": {"code": echo}, "path": [echo]},
            {"message": [echo], "extensions": {"code": [echo]}},
        ]});
        let mut reply = http::Response::new(axum::body::Body::from(body.to_string()));
        if let Ok(value) = HeaderValue::from_bytes(echo.as_bytes()) {
            for name in ["x-request-id", "trace-id"] {
                reply.headers_mut().insert(name, value.clone());
            }
        }
        async move { reply }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server =
        tokio::spawn(
            async move { axum::serve(listener, axum::Router::new().fallback(handler)).await },
        );
    // On the real clock: one that only records how long it should sleep may be a day ahead.
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url(sandbox.base_url())
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder().client(client).build();
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let token = tokens.get(customer).await.unwrap();
    let token = token.expose_secret();
    let mut shown = String::new();
    for (index, (encoder, encode)) in ENCODERS.iter().enumerate() {
        let api = StorefrontApi::builder()
            .tokens(tokens.clone())
            .base_url(&address)
            .graphql_path(index.to_string())
            .build()
            .unwrap();
        let reply = api.graphql(customer, "{ company }").send().await.unwrap();
        let meta = reply.meta();
        shown = format!("{reply:?} {meta:?} {:?}", reply.errors());
        for error in reply.errors() {
            shown += &format!(" {}", error.message);
        }
        let code = reply.errors()[0].code.clone();
        let error = reply.into_data::<u8>().unwrap_err();
        shown += &format!(" {code:?} {} {error:#?}", render(&error));
        assert!(shown.contains("[REDACTED]"), "{encoder}: {shown}");
        shows_nothing(
            &shown,
            token,
            &encode(token),
            &format!("GraphQL: {encoder}"),
        );
        heard.note(&shown);
    }
    server.abort();
    assert!(!shown.is_empty());
    ENCODERS.len()
}

/// What a panic says when somebody unwraps what they should not have.
async fn panic_with_everything(client: &Client, sandbox: &RunningSandbox, heard: &Heard) {
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    let said = heard.clone();
    std::panic::set_hook(Box::new(move |info| said.note(info.to_string())));
    let failed = sandbox_refuses(client, sandbox, customer).await;
    let _ = catch_unwind(AssertUnwindSafe(|| failed.unwrap()));
    let token = client.mint_storefront_token(customer).send().await;
    let _ = catch_unwind(AssertUnwindSafe(|| token.map(drop).unwrap_err()));
    let access = StoreAccess::new("a store", demo::ACCESS_TOKEN);
    let _ = catch_unwind(AssertUnwindSafe(|| access.unwrap()));
    let access = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN);
    let _ = catch_unwind(AssertUnwindSafe(|| access.unwrap_err()));
    let secret = Secret::from(demo::ACCESS_TOKEN);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        assert_eq!(secret, Secret::from(demo::CUSTOMER_PASSWORD))
    }));
    let _ = std::panic::take_hook();
}

async fn sandbox_refuses(
    client: &Client,
    sandbox: &RunningSandbox,
    customer: CustomerId,
) -> Result<(), Error> {
    let text = format!("bad {}", demo::ACCESS_TOKEN);
    let reply = CannedReply::error(StatusCode::BAD_REQUEST, ErrorShape::Envelope, text);
    sandbox.respond_next(Operation::Mint, reply);
    client
        .mint_storefront_token(customer)
        .send()
        .await
        .map(drop)
}

fn show_what_is_made_without_a_call(heard: &Heard) {
    heard.debug(Secret::from(demo::ACCESS_TOKEN));
    heard.debug(RotatingSecret::new(demo::ACCESS_TOKEN));
    heard.debug(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN));
    heard.debug(StoreAccess::from_provider(
        demo::STORE_HASH,
        RotatingSecret::new(demo::ACCESS_TOKEN),
    ));
    heard.debug(LegacyAuthToken::new(demo::ACCESS_TOKEN));
    heard.debug(LegacyAuthToken::new(format!(" {}", demo::ACCESS_TOKEN)));
    let both = Environment::from_lookup(|name| {
        Some(match name {
            "BIGCOMMERCE_STORE_HASH" => demo::STORE_HASH.to_owned(),
            "BIGCOMMERCE_CHANNEL_ID" => "one".to_owned(),
            "B2B_API_HOST" => format!("https://user:{}@example.com", demo::ACCESS_TOKEN),
            _ => demo::ACCESS_TOKEN.to_owned(),
        })
    });
    heard.debug(&both);
    for error in [
        both.store_access().map(drop).unwrap_err(),
        both.legacy_auth_token().map(drop).unwrap_err(),
        both.base_url().map(drop).unwrap_err(),
        both.channel().map(drop).unwrap_err(),
    ] {
        heard.note(render(&error));
    }
}

/// Everything that is checked in as a snapshot.
fn snapshots() -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                below(&path, found);
            } else if name.ends_with(".snap") {
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    below(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")),
        &mut found,
    );
    found
}

#[tokio::test(flavor = "current_thread")]
async fn no_planted_secret_comes_out_anywhere() {
    let heard = Heard::default();
    let writer = heard.clone();
    // For `log` as well as for `tracing`: rustls and reqwest use the one, hyper and h2 the other.
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();

    let mut planted = Planted::default();
    for (name, secret) in [
        ("the access token", demo::ACCESS_TOKEN),
        ("a customer's password", demo::CUSTOMER_PASSWORD),
        ("an administrator's password", demo::ADMINISTRATOR_PASSWORD),
        ("the customer access token", CUSTOMER_ACCESS_TOKEN),
        (
            "the key of a snapshot",
            std::str::from_utf8(SNAPSHOT_KEY).unwrap(),
        ),
        ("the key of a snapshot", &SNAPSHOT_KEY_TEXT[..40]),
        (
            "the key of a snapshot",
            &format!("{:?}", &SNAPSHOT_KEY[..8])[1..20],
        ),
    ] {
        planted.add(name, secret);
    }
    let mut files = Vec::new();

    show_what_is_made_without_a_call(&heard);
    assert_eq!(echo_in_foreign_errors(&heard).await, ENCODERS.len());
    for (secure, http2) in [(false, false), (true, false), (true, true)] {
        let mut builder = Sandbox::builder()
            .store(store())
            .rate_limit(bigcommerce_b2b_auth_sandbox::RateLimit::unlimited());
        let mut root = None;
        if secure {
            let (identity, certificate) = tls();
            builder = builder.tls(identity);
            root = Some(certificate);
        }
        // The noisiest client that a caller can hand in.
        let http = move || {
            let mut http = reqwest::Client::builder()
                .connection_verbose(true)
                .referer(true);
            if let Some(root) = &root {
                http = http.tls_backend_rustls().tls_certs_only([root.clone()]);
            }
            if !http2 {
                http = http.http1_only();
            }
            http
        };
        let sandbox = builder.start().await.unwrap();
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .base_url(sandbox.base_url())
            .http(http)
            .observer(Arc::new(heard.clone()))
            .record_customer_id(true)
            .clock(Arc::new(RecordingClock::default()))
            .jitter(Arc::new(LongestWait))
            .build()
            .unwrap();
        for token in call_everything(&client, &sandbox, &heard).await {
            planted.add("a token", &token);
        }
        for token in manage_tokens(&client, &sandbox, &heard).await {
            planted.add("a managed token", &token);
        }
        let sent = call_data_apis(&client, &heard).await;
        assert!(sent.len() >= 4, "{}", sent.len());
        for token in sent {
            planted.add("a token that was sent", &token);
        }
        let (tokens, bytes) = keep_snapshots(&client, &heard).await;
        for token in tokens {
            planted.add("a token in a snapshot", &token);
        }
        files.extend(bytes);
        // What is shown of a response hardly depends on the connection: all of it once, and the headers over HTTP/2.
        let (operations, places, expected) = match (secure, http2) {
            (false, _) => (ECHOED, PLACES, (1031, 19)),
            (true, true) => (1, &PLACES[PLACES.len() - 4..], (112, 8)),
            (true, false) => (0, PLACES, (0, 0)),
        };
        let echoes = echo_everything(&client, &sandbox, &heard, operations, places).await;
        if !secure {
            assert_eq!(echo_in_graphql(&sandbox, &heard).await, ENCODERS.len());
        }
        println!(
            "{} echoes were answered, and {} fit no header",
            echoes.0, echoes.1
        );
        assert_eq!(echoes, expected);
        fail_everything(&client, &sandbox, &heard).await;
        panic_with_everything(&client, &sandbox, &heard).await;
    }

    // The canary is of use only where the miners are: each of these has said something.
    let text = heard.text();
    for speaker in [
        "bigcommerce_b2b_auth",
        "hyper_util",
        "hyper::",
        "h2::",
        "reqwest",
        "rustls",
        "b2b_auth.call",
        "b2b_auth.attempt",
        "b2b_auth.fetch",
        "TokenFetchEvent",
        "TokenEvictionEvent",
        "ManagedToken",
        "StorefrontApi",
        "GraphqlReply",
        "a token was refused",
        "RestoreReport",
        "SnapshotWritten",
        "a snapshot of the tokens was written",
        "panicked at",
        "[REDACTED]",
        "Sensitive",
    ] {
        assert!(text.contains(speaker), "nothing was heard of {speaker}");
    }
    planted.are_not_in(&text, "a log, a span, an error, a panic or a Debug");
    assert!(files.windows(8).any(|bytes| bytes == b"b2b-snap"));
    // What is no secret elsewhere is one there.
    let mut sealed = Planted(planted.0.clone());
    sealed.add("a customer's e-mail address", demo::CUSTOMER_EMAIL);
    sealed.add("the store", demo::STORE_HASH);
    sealed.are_not_in(&String::from_utf8_lossy(&files), "the file of a snapshot");

    let snapshots = snapshots();
    assert!(snapshots.len() > 20, "{}", snapshots.len());
    for (name, text) in &snapshots {
        planted.are_not_in(text, name);
    }
}
