//! The hints: each known misconfiguration as the sandbox answers it, in every shape of body that its words may come in, and
//! the replies beside it that look alike and must not get its hint. Then what else an error knows of its call.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls have hints as well")]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    BudgetLimit, ChannelId, Client, CustomerId, Environment, Error, ErrorKind, Hint,
    LegacyAuthToken, RetryPolicy, ServerTokenId, StoreAccess, StoreHash,
    transport::{Operation as Called, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CannedReply, ErrorShape, Fault, Moment, Operation, Sandbox, SandboxBuilder, Store,
    demo,
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use tests::{InProcess, LongestWait, PausedClock};

/// Every shape of an error that has words in it.
fn wordy_shapes() -> impl Iterator<Item = ErrorShape> {
    ErrorShape::ALL
        .iter()
        .copied()
        .filter(|shape| *shape != ErrorShape::Empty)
}

/// A sandbox and a client of its demo store.
struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    fn new() -> Self {
        Self::assuming(Assumptions::default())
    }

    fn assuming(assumptions: Assumptions) -> Self {
        let no_scope = Store::new("noscope")
            .with_access_token("scopeless-access")
            .without_b2b_scope();
        Self::on(
            Sandbox::builder()
                .store(Store::demo())
                .store(no_scope)
                .assumptions(assumptions),
            RetryPolicy::none(),
        )
    }

    fn on(sandbox: SandboxBuilder, retry: RetryPolicy) -> Self {
        let clock = PausedClock::start();
        let sandbox = sandbox.seed(1).clock(move || clock.wall()).build();
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .default_channel(ChannelId::DEFAULT)
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .retry(retry)
            .jitter(Arc::new(LongestWait))
            .budget_limit(BudgetLimit::unlimited())
            .build()
            .unwrap();
        Self { sandbox, client }
    }

    /// A client with another base path, where the sandbox has nothing.
    fn at(&self, base_path: &str) -> Client {
        Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .base_url(format!("https://b2b.example.com{base_path}"))
            .transport(InProcess::new(&self.sandbox))
            .budget_limit(BudgetLimit::unlimited())
            .build()
            .unwrap()
    }

    fn legacy(&self) -> Client<LegacyAuthToken> {
        let token = self.sandbox.auth_token(demo::STORE_HASH).unwrap();
        self.client
            .with_legacy_auth_token(LegacyAuthToken::new(token).unwrap())
    }

    /// The error of an operation that is answered by `reply`.
    async fn answered(&self, operation: Operation, reply: CannedReply) -> Error {
        self.sandbox.respond_next(operation, reply);
        match operation {
            Operation::Mint => mint(&self.client).await,
            Operation::Login => log_in(&self.client, "p").await,
            Operation::Exchange => self
                .client
                .exchange_session_jwt("a jwt")
                .send()
                .await
                .unwrap_err(),
            Operation::CreateServerToken => {
                create(&self.client, demo::ADMINISTRATOR_EMAIL, "p").await
            }
            Operation::DeleteServerToken => self
                .legacy()
                .delete_server_token(ServerTokenId::new(1).unwrap())
                .send()
                .await
                .unwrap_err(),
            Operation::ListServerTokens => {
                self.legacy().list_server_tokens().send().await.unwrap_err()
            }
            other => panic!("{other:?} has no place in the SDK"),
        }
    }
}

async fn mint(client: &Client) -> Error {
    client
        .mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID).unwrap())
        .send()
        .await
        .unwrap_err()
}

async fn log_in(client: &Client, password: &str) -> Error {
    client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(password)
        .name("checkout")
        .send()
        .await
        .unwrap_err()
}

async fn create(client: &Client, email: &str, password: &str) -> Error {
    client
        .create_server_token()
        .email(email)
        .password(password)
        .name("export")
        .send()
        .await
        .unwrap_err()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap()
}

fn html(code: u16, text: &str) -> CannedReply {
    CannedReply::new(status(code))
        .header(header::CONTENT_TYPE, HeaderValue::from_static("text/html"))
        .body(format!("<html><body>{text}</body></html>"))
}

/// A refusal in the documented envelope.
fn refusal(code: u16, message: &str, general: &str) -> CannedReply {
    CannedReply::json(
        status(code),
        &json!({"code": code, "data": {"errMsg": message}, "meta": {"message": general}}),
    )
}

fn assert_hint(error: &Error, expected: Option<Hint>) {
    assert_eq!(error.hint(), expected, "{error}");
    let text = error.to_string();
    match expected {
        Some(hint) => {
            assert!(text.contains(&format!(". {hint}")), "{text}");
            assert!(text.contains(hint.link()), "{text}");
        }
        None => assert!(!text.contains("docs.rs"), "{text}"),
    }
}

#[tokio::test(start_paused = true)]
async fn scope_and_kind_of_token_are_told_apart_in_every_shape() {
    for shape in wordy_shapes() {
        let world = World::assuming(Assumptions::default().access_error(shape));
        let no_scope = StoreAccess::new("noscope", "scopeless-access").unwrap();
        let error = mint(&world.client.for_store(no_scope)).await;
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{shape:?}");
        assert_hint(&error, Some(Hint::MissingScope));

        let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
        let token = world
            .client
            .mint_storefront_token(customer)
            .send()
            .await
            .unwrap();
        let mistaken = StoreAccess::new(demo::STORE_HASH, token.secret().clone()).unwrap();
        for error in [
            mint(&world.client.for_store(mistaken.clone())).await,
            log_in(&world.client.for_store(mistaken), demo::CUSTOMER_PASSWORD).await,
        ] {
            assert_eq!(error.kind(), ErrorKind::Forbidden, "{shape:?}");
            assert_hint(&error, Some(Hint::WrongKindOfToken));
        }

        // A token that was not accepted is told by its form, where that is known.
        let of_a_shopper = format!("{}_1893456000", "0123456789abcdef".repeat(4));
        for (unknown, expected) in [
            ("nobody's token", Hint::WrongAccessToken),
            (of_a_shopper.as_str(), Hint::CustomerAccessTokenSent),
            ("eyJhbGciOiJIUzI1NiJ9.e30.c2ln", Hint::WrongKindOfToken),
        ] {
            let unknown = StoreAccess::new(demo::STORE_HASH, unknown).unwrap();
            let error = mint(&world.client.for_store(unknown)).await;
            assert_eq!(error.kind(), ErrorKind::Unauthenticated);
            assert_hint(&error, Some(expected));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_words_of_a_403_decide_in_either_place_and_in_any_case() {
    let world = World::new();
    let meta_alone = json!({"code": 403, "data": {}, "meta": {"message": "Invalid access token"}});
    for (reply, expected) in [
        (
            refusal(403, "INVALID ACCESS TOKEN.", "Forbidden"),
            Some(Hint::MissingScope),
        ),
        (
            refusal(403, "see the general word", "invalid token"),
            Some(Hint::WrongKindOfToken),
        ),
        (
            CannedReply::json(StatusCode::FORBIDDEN, &meta_alone),
            Some(Hint::MissingScope),
        ),
        // The body's code is the status where the status is that of a success.
        (
            CannedReply::json(StatusCode::OK, &meta_alone),
            Some(Hint::MissingScope),
        ),
        // What begins like it is something else, and so are other statuses.
        (
            refusal(
                403,
                "Invalid token header. No credentials provided.",
                "Forbidden",
            ),
            None,
        ),
        (refusal(403, "Invalid tokens", "Forbidden"), None),
        (
            refusal(403, "Not an invalid access token", "Forbidden"),
            None,
        ),
        (refusal(403, "role forbidden", "API logic error"), None),
        (
            refusal(401, "Invalid access token", "Unauthorized"),
            Some(Hint::WrongAccessToken),
        ),
        (CannedReply::new(StatusCode::UNAUTHORIZED), None),
        (html(401, "Sign in"), None),
        (refusal(400, "Invalid token", "API logic error"), None),
        (
            CannedReply::json(StatusCode::FORBIDDEN, &json!({"code": 403})),
            None,
        ),
        (html(403, "Invalid access token"), None),
        (CannedReply::new(StatusCode::FORBIDDEN), None),
        (
            CannedReply::new(StatusCode::FORBIDDEN).body("Invalid token"),
            None,
        ),
    ] {
        assert_hint(&world.answered(Operation::Mint, reply).await, expected);
    }
    // The exchange and the creation send no access token, so none can be wrong.
    for operation in [Operation::Exchange, Operation::CreateServerToken] {
        let reply = refusal(403, "Invalid access token", "Forbidden");
        assert_hint(&world.answered(operation, reply).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_error_may_be_a_wrong_store_hash_where_one_was_sent() {
    for shape in ErrorShape::ALL.iter().copied() {
        let world = World::assuming(Assumptions::default().store_hash_error(shape));
        let wrong = StoreAccess::new("nosuchstore", demo::ACCESS_TOKEN).unwrap();
        let client = world.client.for_store(wrong);
        let exchange = world
            .client
            .for_store(StoreHash::new("nosuchstore").unwrap());
        for error in [
            mint(&client).await,
            log_in(&client, demo::CUSTOMER_PASSWORD).await,
            exchange
                .exchange_session_jwt("a jwt")
                .send()
                .await
                .unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Server, "{shape:?}: {error}");
            assert_hint(&error, Some(Hint::WrongStoreHash));
        }
    }

    let world = World::new();
    let wrong_hash = Some(Hint::WrongStoreHash);
    for (operation, reply, expected) in [
        // A framework that fails answers in HTML too.
        (Operation::Mint, html(500, "Server Error (500)"), wrong_hash),
        (
            Operation::Mint,
            refusal(503, "server error", "x"),
            wrong_hash,
        ),
        // A gateway has no opinion on store hashes.
        (Operation::Mint, html(502, "Bad Gateway"), None),
        (Operation::Mint, CannedReply::new(status(503)), None),
        (
            Operation::Exchange,
            CannedReply::new(status(504)).body("upstream request timeout"),
            None,
        ),
        // No store hash was sent.
        (Operation::ListServerTokens, refusal(500, "x", "y"), None),
        (Operation::DeleteServerToken, refusal(500, "x", "y"), None),
        (Operation::CreateServerToken, refusal(500, "x", "y"), None),
        // Not a server error.
        (Operation::Mint, refusal(400, "server error", "y"), None),
    ] {
        assert_hint(&world.answered(operation, reply).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_404_under_v3_is_the_base_path_and_any_other_is_not() {
    let world = World::new();
    for (path, expected) in [
        ("/api/v3/io", Some(Hint::WrongBasePath)),
        ("/api/v3/io/", Some(Hint::WrongBasePath)),
        ("/api/v3", Some(Hint::WrongBasePath)),
        ("/api/v30/io", None),
        ("/api/io/v3", None),
        ("/b2b", None),
    ] {
        let error = mint(&world.at(path)).await;
        assert_eq!(error.status(), Some(404), "{path}");
        assert_hint(&error, expected);
    }
    // With the right path it is a thing that is missing.
    let error = world
        .legacy()
        .delete_server_token(ServerTokenId::new(999).unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::NotFound, Some("No matching token was found."))
    );
    assert_hint(&error, None);
    let unknown = CustomerId::new(999).unwrap();
    let error = world.client.mint_storefront_token(unknown).send().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_hint(&error, Some(Hint::UnknownCustomer));
    for (operation, reply) in [
        (Operation::Mint, html(404, "/api/v3/io")),
        (Operation::Exchange, refusal(404, "Invalid token", "x")),
    ] {
        assert_hint(&world.answered(operation, reply).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn company_channel_and_app_have_their_words_in_every_shape() {
    for shape in wordy_shapes() {
        let world = World::new();
        for (operation, code, message, expected) in [
            (
                Operation::Mint,
                403,
                "Your business account is pending approval. Please contact us.",
                Hint::CompanyNotActive,
            ),
            (
                Operation::Login,
                400,
                "This business account is inactive",
                Hint::CompanyNotActive,
            ),
            (
                Operation::Mint,
                400,
                "Operation cannot be performed as the storefront channel is not live",
                Hint::ChannelNotLive,
            ),
            (
                Operation::Exchange,
                401,
                "Signature verification failed",
                Hint::SessionJwtOfAnotherApp,
            ),
        ] {
            let reply = CannedReply::error(status(code), shape, message);
            assert_hint(&world.answered(operation, reply).await, Some(expected));
        }
    }
    // The words of one operation mean nothing in another, and these are no words of a gateway.
    let world = World::new();
    let reply = refusal(400, "Signature verification failed", "x");
    assert_hint(&world.answered(Operation::Mint, reply).await, None);
    let reply = html(403, "This business account is inactive");
    assert_hint(&world.answered(Operation::Mint, reply).await, None);
}

/// Answers everything alike, as a gateway at any path could.
#[derive(Debug)]
struct Always(u16, Value);

impl Transport for Always {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        let mut response = http::Response::new(self.1.to_string());
        *response.status_mut() = status(self.0);
        Box::pin(async move { Ok(response.into()) })
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_answers_under_v3_has_been_found() {
    let deleted = async |body: Value| {
        let client = Client::builder()
            .credentials(LegacyAuthToken::new("a token").unwrap())
            .base_url("https://gateway.example.com/api/v3/io")
            .transport(Arc::new(Always(404, body)))
            .build()
            .unwrap();
        client
            .delete_server_token(ServerTokenId::new(1).unwrap())
            .send()
            .await
            .unwrap_err()
    };
    let found = json!({"code": 404, "data": {"errMsg": "No matching token was found."}, "meta": {"message": "Not Found Error"}});
    assert_hint(&deleted(found).await, None);
    let not_found = json!({"code": 404, "message": "no route"});
    assert_hint(&deleted(not_found).await, Some(Hint::WrongBasePath));
}

/// A transport of a caller who adds a credential of the other kind.
#[derive(Debug)]
struct Adding(&'static str, String, Arc<InProcess>);

impl Transport for Adding {
    fn send<'a>(
        &'a self,
        mut request: reqwest::Request,
        operation: &'static Called,
    ) -> TransportFuture<'a> {
        request.headers_mut().insert(
            HeaderName::from_static(self.0),
            HeaderValue::from_str(&self.1).unwrap(),
        );
        self.2.send(request, operation)
    }
}

#[tokio::test(start_paused = true)]
async fn a_mixture_of_headers_is_told_where_the_reply_tells_it() {
    let world = World::new();
    let far_end = InProcess::new(&world.sandbox);
    let legacy = world.sandbox.auth_token(demo::STORE_HASH).unwrap();
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(Arc::new(Adding(
            "authtoken",
            legacy.clone(),
            far_end.clone(),
        )))
        .build()
        .unwrap();
    assert_hint(&mint(&client).await, Some(Hint::BothHeaderSets));
    assert!(world.sandbox.requests()[0].mixes_header_sets());

    let client = Client::builder()
        .credentials(LegacyAuthToken::new(legacy).unwrap())
        .transport(Arc::new(Adding(
            "x-store-hash",
            demo::STORE_HASH.to_owned(),
            far_end,
        )))
        .build()
        .unwrap();
    let error = client.list_server_tokens().send().await.unwrap_err();
    assert_hint(&error, Some(Hint::BothHeaderSets));

    // Whatever the status: nobody knows it.
    for (code, message, expected) in [
        (
            403,
            "AUTHTOKEN and x-auth-token must not be mixed",
            Some(Hint::BothHeaderSets),
        ),
        (
            500,
            "X-Store-Hash with authToken",
            Some(Hint::BothHeaderSets),
        ),
        // A word for one of them is a word for a header that was sent, or should have been.
        (400, "X-Auth-Token is not valid", None),
        (400, "authToken is not valid", None),
        (400, "X-Auth-Token and X-Store-Hash are not valid", None),
    ] {
        let reply = refusal(code, message, "API logic error");
        assert_hint(&world.answered(Operation::Mint, reply).await, expected);
    }
}

#[tokio::test]
async fn a_default_header_of_the_http_client_can_be_the_other_kind() {
    let sandbox = Sandbox::builder().start().await.unwrap();
    let legacy = sandbox.auth_token(demo::STORE_HASH).unwrap();
    let defaults = http::HeaderMap::from_iter([(
        HeaderName::from_static("authtoken"),
        HeaderValue::from_str(&legacy).unwrap(),
    )]);
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url(sandbox.base_url())
        .http(move || {
            reqwest::Client::builder()
                .no_proxy()
                .default_headers(defaults.clone())
        })
        .build()
        .unwrap();
    assert_hint(&mint(&client).await, Some(Hint::BothHeaderSets));
}

#[test]
fn both_kinds_in_the_environment_are_a_mixture_before_anything_is_sent() {
    let environment = |names: &'static [&'static str]| {
        Environment::from_lookup(move |name| names.contains(&name).then(|| "abc123".to_owned()))
    };
    let both = environment(&[
        "BIGCOMMERCE_STORE_HASH",
        "BIGCOMMERCE_ACCESS_TOKEN",
        "B2B_API_TOKEN",
    ]);
    for error in [
        Client::<StoreAccess>::from_environment(&both).unwrap_err(),
        Client::<LegacyAuthToken>::from_environment(&both).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!((error.attempts(), error.elapsed()), (0, Duration::ZERO));
        assert_hint(&error, Some(Hint::BothHeaderSets));
    }
    // A client that sends neither has nothing to mix.
    assert!(Client::<StoreHash>::from_environment(&both).is_ok());
    let neither = environment(&["BIGCOMMERCE_STORE_HASH"]);
    let error = Client::<StoreAccess>::from_environment(&neither).unwrap_err();
    assert_hint(&error, None);
}

#[tokio::test(start_paused = true)]
async fn role_and_login_are_told_apart_in_every_shape() {
    let world = World::new();
    let (role, login) = (Some(Hint::RoleForbidden), Some(Hint::BadLogin));
    let custom_role = create(
        &world.client,
        demo::CUSTOM_ROLE_EMAIL,
        demo::CUSTOM_ROLE_PASSWORD,
    );
    assert_hint(&custom_role.await, role);
    let wrong = create(&world.client, demo::ADMINISTRATOR_EMAIL, "wrong password");
    assert_hint(&wrong.await, login);
    assert_hint(&log_in(&world.client, "wrong password").await, login);

    let bad_login = "The email or password you have entered is incorrect. Please try again.";
    for shape in wordy_shapes() {
        for (operation, message, expected) in [
            (Operation::CreateServerToken, "role forbidden", role),
            (Operation::CreateServerToken, bad_login, login),
            (Operation::Login, "Customer auth failed", login),
            // The words of one operation mean nothing in another.
            (Operation::Login, "role forbidden", None),
            (Operation::Mint, "role forbidden", None),
            (Operation::Mint, "Customer auth failed", None),
            (Operation::Mint, bad_login, None),
        ] {
            let reply = CannedReply::error(StatusCode::BAD_REQUEST, shape, message);
            assert_hint(&world.answered(operation, reply).await, expected);
        }
    }
    for (operation, reply) in [
        // The general word alone says where it failed, and not why.
        (
            Operation::Login,
            refusal(400, "no such channel", "Calling BC API failed"),
        ),
        (
            Operation::CreateServerToken,
            refusal(400, "email or password: required", "API logic error"),
        ),
        (
            Operation::CreateServerToken,
            refusal(400, "role forbidden characters", "API logic error"),
        ),
        (Operation::Login, html(400, "Customer auth failed")),
        (Operation::CreateServerToken, html(403, "role forbidden")),
        (
            Operation::CreateServerToken,
            refusal(500, "role forbidden", "x"),
        ),
    ] {
        assert_hint(&world.answered(operation, reply).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_of_the_other_calls_are_told_from_a_proxys_refusal() {
    let world = World::new();
    let wrong = world
        .client
        .with_legacy_auth_token(LegacyAuthToken::new("not a server token").unwrap());
    let error = wrong.list_server_tokens().send().await.unwrap_err();
    assert_hint(&error, Some(Hint::BadLegacyToken));
    let error = world.client.exchange_session_jwt("a jwt").send().await;
    assert_hint(&error.unwrap_err(), Some(Hint::BadSessionJwt));

    let invalid = || refusal(403, "Invalid token", "Forbidden");
    for (operation, reply, expected) in [
        (
            Operation::ListServerTokens,
            invalid(),
            Some(Hint::BadLegacyToken),
        ),
        (
            Operation::DeleteServerToken,
            invalid(),
            Some(Hint::BadLegacyToken),
        ),
        (Operation::ListServerTokens, html(403, "Forbidden"), None),
        (
            Operation::DeleteServerToken,
            CannedReply::new(StatusCode::UNAUTHORIZED),
            None,
        ),
        (Operation::Exchange, html(401, "Sign in"), None),
        (Operation::Exchange, invalid(), None),
        (
            Operation::CreateServerToken,
            refusal(401, "Invalid token", "x"),
            None,
        ),
    ] {
        assert_hint(&world.answered(operation, reply).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_knows_its_attempts_its_time_and_its_ids() {
    let retry = RetryPolicy::builder()
        .max_attempts(3)
        .first_wait(Duration::from_secs(1))
        .build();
    let world = World::on(Sandbox::builder(), retry);
    let wrong = StoreAccess::new("nosuchstore", demo::ACCESS_TOKEN).unwrap();
    let error = mint(&world.client.for_store(wrong)).await;
    assert_hint(&error, Some(Hint::WrongStoreHash));
    // Two waits, of one second and of two.
    assert_eq!(
        (error.attempts(), error.elapsed()),
        (3, Duration::from_secs(3))
    );
    assert!(error.is_retryable() && error.may_have_been_applied());
    let text = error.to_string();
    assert!(text.contains("3 attempts in 3.0 s"), "{text}");
    let (request, trace) = (error.request_id().unwrap(), error.trace_id().unwrap());
    assert!(text.contains(request), "{text}");
    assert_ne!(request, trace);

    // The ids are those of the last attempt, and it had none.
    world
        .sandbox
        .respond_next(Operation::Mint, refusal(500, "x", "y"));
    world.sandbox.pass_next_times(Operation::Mint, 1);
    let lost = Fault::ResetBeforeReply {
        moment: Moment::AfterEffect,
    };
    world.sandbox.fail_next_times(Operation::Mint, lost, 2);
    let error = mint(&world.client).await;
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Interrupted, 3)
    );
    assert_eq!((error.request_id(), error.trace_id()), (None, None));
    assert_hint(&error, None);
}

#[tokio::test(start_paused = true)]
async fn whether_it_may_have_been_applied_follows_from_what_came_back() {
    let world = World::new();
    let lost = |moment| Fault::ResetBeforeReply { moment };
    for (fault, applied) in [
        (Fault::RefuseConnection, false),
        (lost(Moment::BeforeEffect), true),
        (lost(Moment::AfterEffect), true),
    ] {
        world
            .sandbox
            .fail_next(Operation::CreateServerToken, fault.clone());
        let error = create(
            &world.client,
            demo::ADMINISTRATOR_EMAIL,
            demo::ADMINISTRATOR_PASSWORD,
        )
        .await;
        assert_eq!(error.may_have_been_applied(), applied, "{fault:?}");
        // What may have left a token behind is not for repeating.
        assert_eq!(error.is_retryable(), !applied, "{fault:?}");
        assert_hint(&error, None);
    }
    for (code, applied, expected) in [
        (301, true, Some(Hint::Redirect)),
        (400, false, None),
        (403, false, None),
        (408, true, None),
        (429, false, Some(Hint::BudgetSpent)),
        (500, true, None),
    ] {
        let reply = refusal(code, "x", "y");
        let error = world.answered(Operation::CreateServerToken, reply).await;
        assert_eq!(error.may_have_been_applied(), applied, "{code}");
        assert_eq!(error.attempts(), 1);
        assert!(error.request_id().is_some() && error.trace_id().is_some());
        assert_hint(&error, expected);
    }
    // A success without what it should hold has happened.
    let reply = CannedReply::json(StatusCode::OK, &json!({"code": 200, "data": []}));
    let error = world.answered(Operation::CreateServerToken, reply).await;
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
    assert!(error.may_have_been_applied() && error.request_id().is_some());
    assert_hint(&error, None);
}
