//! The SDK against the sandbox, end to end: every documented success, every documented error, and the rules about
//! credentials. The sandbox knows nothing of the SDK, so what agrees here was understood twice.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls are served as well")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, ChannelId, Client, CustomerId, Error, ErrorKind, EventChannel, Hint,
    LegacyAuthToken, RetryPolicy, ServerTokenId, StoreAccess, StoreHash,
};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, CannedReply, CreatedTokenShape, ErrorShape, Operation, RateLimit, Sandbox, Store,
    TokenShape, demo,
};
use futures_util::TryStreamExt;
use http::StatusCode;
use tests::{InProcess, PausedClock};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A sandbox and a client of its demo store on one clock, without a socket between them.
struct World {
    sandbox: Sandbox,
    client: Client,
    clock: PausedClock,
}

impl World {
    fn new(assumptions: Assumptions) -> Self {
        let clock = PausedClock::start();
        let sandbox = Sandbox::builder()
            .seed(1)
            .clock(move || clock.wall())
            .assumptions(assumptions)
            .rate_limit(RateLimit::unlimited())
            .build();
        Self::with_sandbox(sandbox, clock)
    }

    fn with_sandbox(sandbox: Sandbox, clock: PausedClock) -> Self {
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .default_channel(ChannelId::DEFAULT)
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .retry(RetryPolicy::none())
            .budget_limit(BudgetLimit::unlimited())
            .build()
            .unwrap();
        Self {
            sandbox,
            client,
            clock,
        }
    }

    fn legacy(&self) -> Client<LegacyAuthToken> {
        let token = self.sandbox.auth_token(demo::STORE_HASH).unwrap();
        self.client
            .with_legacy_auth_token(LegacyAuthToken::new(token).unwrap())
    }

    fn other_store(&self, store: &str, token: &str) -> Client {
        self.client
            .for_store(StoreAccess::new(store, token).unwrap())
    }

    async fn create(&self, email: &str, password: &str) -> Result<String, Error> {
        let created = self
            .client
            .create_server_token()
            .email(email)
            .password(password)
            .name("export")
            .send()
            .await?;
        Ok(created.token.expose_secret().to_owned())
    }
}

fn customer() -> CustomerId {
    CustomerId::new(demo::CUSTOMER_ID).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_minted_token_is_real_and_knows_its_life() {
    for shape in [TokenShape::Array, TokenShape::String] {
        let world = World::new(Assumptions::default().mint_token(shape));
        let token = world
            .client
            .mint_storefront_token(customer())
            .send()
            .await
            .unwrap();
        let verified = world
            .sandbox
            .verify(token.secret().expose_secret())
            .unwrap();
        assert_eq!(verified["bc_customer_id"], demo::CUSTOMER_ID);
        let claims = token.claims().unwrap();
        assert_eq!(claims.email.as_deref(), Some(demo::CUSTOMER_EMAIL));
        assert_eq!(claims.channel_ids, [1]);
        assert_eq!(token.remaining(world.clock.wall()), DAY);
        assert_eq!(
            token.authorization().to_str().unwrap(),
            format!("Bearer {}", token.secret().expose_secret())
        );
        let meta = token.meta();
        assert_eq!((meta.status, meta.attempts), (200, 1));
        assert_eq!(meta.date, Some(world.clock.wall()));
        assert!(meta.request_id.is_some() && meta.trace_id.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_token_counts_as_long_as_was_asked() {
    let world = World::new(Assumptions::default());
    let begin = world.clock.wall();
    let end = begin + Duration::from_secs(600);
    let token = world
        .client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("checkout")
        .begin_at(begin)
        .end_at(end)
        .send()
        .await
        .unwrap();
    assert_eq!(token.expires_at(), end);
    assert_eq!(token.name(), Some("checkout"));
    assert_eq!(token.claims().unwrap().not_before, Some(begin));
    assert_eq!(token.claims().unwrap().customer_id, None);
}

#[tokio::test(start_paused = true)]
async fn a_session_jwt_is_exchanged_while_it_counts() {
    let world = World::new(Assumptions::default());
    let jwt = world
        .sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    let token = world
        .client
        .exchange_session_jwt(jwt.as_str())
        .send()
        .await
        .unwrap();
    assert_eq!(
        token.claims().unwrap().email.as_deref(),
        Some(demo::CUSTOMER_EMAIL)
    );

    tokio::time::advance(Duration::from_secs(901)).await;
    let error = world
        .client
        .exchange_session_jwt(jwt)
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.status(), error.hint()),
        (
            ErrorKind::Unauthenticated,
            Some(401),
            Some(Hint::BadSessionJwt)
        )
    );
    assert_eq!(error.code().and_then(|code| code.as_number()), Some(401));
    assert_eq!(
        error.message(),
        Some("Invalid token header. No credentials provided.")
    );
}

#[tokio::test(start_paused = true)]
async fn server_tokens_are_created_listed_and_deleted() {
    for shape in [CreatedTokenShape::Array, CreatedTokenShape::Object] {
        let world = World::new(Assumptions::default().created_token(shape));
        let created = world
            .create(demo::STORE_OWNER_EMAIL, demo::STORE_OWNER_PASSWORD)
            .await
            .unwrap();
        let legacy = world
            .client
            .with_legacy_auth_token(LegacyAuthToken::new(created.as_str()).unwrap());
        let page = legacy.list_server_tokens().send().await.unwrap();
        assert_eq!((page.total, page.next_offset()), (Some(2), None));
        let listed = &page.tokens[1];
        assert_eq!(listed.name.as_deref(), Some("export"));
        assert_eq!(listed.event_channel, Some(EventChannel::Api));
        assert_eq!(
            listed.token.as_ref().unwrap().expose_secret(),
            created.as_str()
        );

        legacy
            .delete_server_token(page.tokens[0].id)
            .send()
            .await
            .unwrap();
        let error = legacy
            .delete_server_token(page.tokens[0].id)
            .send()
            .await
            .unwrap_err();
        assert_eq!(
            (
                error.kind(),
                error.status(),
                error.message(),
                error.reason()
            ),
            (
                ErrorKind::NotFound,
                Some(404),
                Some("No matching token was found."),
                Some("Not Found Error")
            )
        );
        assert!(!error.may_have_been_applied());
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_of_a_creation_are_told_apart() {
    let world = World::new(Assumptions::default());
    for (email, password, message, hint) in [
        (
            demo::ADMINISTRATOR_EMAIL,
            "wrong password",
            "The email or password you have entered is incorrect. Please try again.",
            Hint::BadLogin,
        ),
        (
            demo::CUSTOM_ROLE_EMAIL,
            demo::CUSTOM_ROLE_PASSWORD,
            "role forbidden",
            Hint::RoleForbidden,
        ),
    ] {
        let error = world.create(email, password).await.unwrap_err();
        assert_eq!(
            (
                error.kind(),
                error.status(),
                error.message(),
                error.reason(),
                error.hint()
            ),
            (
                ErrorKind::Rejected,
                Some(400),
                Some(message),
                Some("API logic error"),
                Some(hint)
            )
        );
        assert_eq!(error.code().and_then(|code| code.as_number()), Some(400));
        assert!(!error.is_retryable() && !error.may_have_been_applied());
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_login_says_so() {
    let world = World::new(Assumptions::default());
    let error = world
        .client
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password("wrong password")
        .name("checkout")
        .send()
        .await
        .unwrap_err();
    assert_eq!(
        (
            error.status(),
            error.message(),
            error.reason(),
            error.hint()
        ),
        (
            Some(400),
            Some("Customer auth failed"),
            Some("Calling BC API failed"),
            Some(Hint::BadLogin)
        )
    );
}

#[tokio::test(start_paused = true)]
async fn misconfigurations_are_told_apart() {
    let world = World::new(Assumptions::default());
    let mint = async |client: &Client| {
        client
            .mint_storefront_token(customer())
            .send()
            .await
            .unwrap_err()
    };

    let error = mint(&world.other_store("nosuchstore", demo::ACCESS_TOKEN)).await;
    assert_eq!(
        (error.kind(), error.hint()),
        (ErrorKind::Server, Some(Hint::WrongStoreHash))
    );

    let storefront = world
        .client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    let wrong_kind = world.other_store(demo::STORE_HASH, storefront.secret().expose_secret());
    let error = mint(&wrong_kind).await;
    assert_eq!(
        (error.status(), error.message(), error.hint()),
        (
            Some(403),
            Some("Invalid token"),
            Some(Hint::WrongKindOfToken)
        )
    );

    let no_scope = Store::new("noscope")
        .with_access_token("scopeless-access")
        .without_b2b_scope();
    let no_scope = World::with_sandbox(
        Sandbox::builder().store(no_scope).build(),
        PausedClock::start(),
    );
    let error = mint(&no_scope.other_store("noscope", "scopeless-access")).await;
    assert_eq!(
        (error.status(), error.message(), error.hint()),
        (
            Some(403),
            Some("Invalid access token"),
            Some(Hint::MissingScope)
        )
    );

    let v3 = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url("https://b2b.example.com/api/v3/io/")
        .transport(InProcess::new(&world.sandbox))
        .build()
        .unwrap();
    let error = mint(&v3).await;
    assert_eq!(
        (error.kind(), error.hint()),
        (ErrorKind::NotFound, Some(Hint::WrongBasePath))
    );
}

#[tokio::test(start_paused = true)]
async fn a_password_that_occurs_in_the_message_does_not_hide_the_hint() {
    let world = World::new(Assumptions::default());
    let error = world
        .create(demo::ADMINISTRATOR_EMAIL, "password")
        .await
        .unwrap_err();
    assert_eq!(error.hint(), Some(Hint::BadLogin));
    assert_eq!(
        error.message(),
        Some("The email or [REDACTED] you have entered is incorrect. Please try again.")
    );
}

#[tokio::test(start_paused = true)]
async fn every_operation_keeps_status_code_and_message_of_an_error() {
    let world = World::new(Assumptions::default());
    let jwt = world
        .sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    for (operation, status) in Operation::ALL
        .into_iter()
        .flat_map(|operation| [400, 401, 403, 404, 422, 500, 503].map(|status| (operation, status)))
    {
        let reply = CannedReply::error(
            StatusCode::from_u16(status).unwrap(),
            ErrorShape::Envelope,
            "what went wrong",
        );
        world.sandbox.respond_next(operation, reply);
        let client = &world.client;
        let error = match operation {
            Operation::Mint => client
                .mint_storefront_token(customer())
                .send()
                .await
                .unwrap_err(),
            Operation::Login => client
                .log_in_storefront_user()
                .email("a@example.com")
                .password("a long password")
                .name("n")
                .send()
                .await
                .unwrap_err(),
            Operation::Exchange => client
                .exchange_session_jwt(jwt.as_str())
                .send()
                .await
                .unwrap_err(),
            Operation::CreateServerToken => world
                .create("a@example.com", "a long password")
                .await
                .unwrap_err(),
            Operation::DeleteServerToken => world
                .legacy()
                .delete_server_token(ServerTokenId::new(1).unwrap())
                .send()
                .await
                .unwrap_err(),
            Operation::ListServerTokens => world
                .legacy()
                .list_server_tokens()
                .send()
                .await
                .unwrap_err(),
            other => panic!("{other:?} has no place in the SDK"),
        };
        let method = match operation {
            Operation::Mint => "mint_storefront_token",
            Operation::Login => "log_in_storefront_user",
            Operation::Exchange => "exchange_session_jwt",
            Operation::CreateServerToken => "create_server_token",
            Operation::DeleteServerToken => "delete_server_token",
            _ => "list_server_tokens",
        };
        assert_eq!(error.operation(), Some(method));
        assert_eq!(error.status(), Some(status), "{operation:?}");
        assert_eq!(
            error.code().and_then(|code| code.as_number()),
            Some(i64::from(status))
        );
        assert_eq!(error.message(), Some("what went wrong"), "{operation:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn any_success_status_is_a_success_and_a_deletion_needs_no_body() {
    let world = World::new(Assumptions::default());
    let legacy = world.legacy();
    world.sandbox.respond_next(
        Operation::DeleteServerToken,
        CannedReply::new(StatusCode::NO_CONTENT),
    );
    let reply = legacy
        .delete_server_token(ServerTokenId::new(1).unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(reply.meta().status, 204);

    let body = serde_json::json!({"code": 201, "data": {"token": ["opaque"]}});
    world.sandbox.respond_next(
        Operation::Mint,
        CannedReply::json(StatusCode::CREATED, &body),
    );
    let token = world
        .client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    assert_eq!(token.meta().status, 201);
    // A token that says nothing of itself counts a day from when it was asked for.
    assert!(token.claims().is_none());
    assert_eq!(token.expires_at(), world.clock.wall() + DAY);
}

#[tokio::test(start_paused = true)]
async fn a_failed_deletion_is_never_taken_for_a_success() {
    let world = World::new(Assumptions::default());
    let legacy = world.legacy();
    for body in [
        serde_json::json!({"code": 404, "data": {"errMsg": "No matching token was found."}}),
        serde_json::json!({"code": 0, "data": {}, "meta": {"message": "Not Found Error"}}),
        serde_json::json!({"code": "0", "meta": {"message": "API logic error"}}),
        serde_json::json!({"data": {}, "meta": {"message": "Not Found Error"}}),
        serde_json::json!({"message": "no such route"}),
        serde_json::json!({"detail": "Not found."}),
        serde_json::json!({"status": 422, "title": "Invalid"}),
        serde_json::json!({"data": {"id": ["unknown"]}}),
    ] {
        world.sandbox.respond_next(
            Operation::DeleteServerToken,
            CannedReply::json(StatusCode::OK, &body),
        );
        let outcome = legacy
            .delete_server_token(ServerTokenId::new(1).unwrap())
            .send()
            .await;
        assert!(outcome.is_err(), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_uncertain_deletion_only_the_services_own_404_means_deleted() {
    let world = World::new(Assumptions::default());
    // A credential that occurs in the service's words must not hide them.
    for credential in ["a-legacy-token", "matching"] {
        let legacy = LegacyAuthToken::new(credential).unwrap();
        let legacy = world.client.with_legacy_auth_token(legacy);
        let delete = async |status: StatusCode, body: &str| {
            let bad_gateway = CannedReply::new(StatusCode::BAD_GATEWAY).body("<html>502</html>");
            let answer = CannedReply::new(status).body(body.to_owned());
            let operation = Operation::DeleteServerToken;
            world.sandbox.respond_next(operation, bad_gateway);
            world.sandbox.respond_next(operation, answer);
            legacy
                .delete_server_token(ServerTokenId::new(1).unwrap())
                .options(CallOptions::builder().retry(RetryPolicy::default()).build())
                .send()
                .await
        };
        let own = r#"{"code": 404, "data": {"errMsg": "No matching token was found."}, "meta": {"message": "Not Found Error"}}"#;
        for (status, body) in [
            (StatusCode::NOT_FOUND, own),
            (StatusCode::OK, own),
            (
                StatusCode::NOT_FOUND,
                r#"{"message": "no matching token  was found"}"#,
            ),
        ] {
            let reply = delete(status, body).await.unwrap();
            assert_eq!(
                (reply.meta().status, reply.meta().attempts),
                (status.as_u16(), 2)
            );
        }
        for body in [
            "",
            "default backend - 404",
            "<html>No matching token was found.</html>",
            "No matching token was found.",
            "{}",
            r#"{"code": 404, "message": "no route"}"#,
            r#"{"code": 404, "data": {}, "meta": {"message": "Not Found Error"}}"#,
            r#"{"detail": "Not found."}"#,
        ] {
            let error = delete(StatusCode::NOT_FOUND, body).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{body}");
            assert_eq!(error.attempts(), 2, "{body}");
            assert!(error.may_have_been_applied(), "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_read_of_a_reply_cannot_lose_a_token() {
    let world = World::new(Assumptions::default());
    let data = serde_json::json!({"token": ["opaque"], "new": {"field": 1}});
    for body in [
        serde_json::json!({"code": 200.0, "data": data}),
        serde_json::json!({"code": "200", "data": data, "meta": null}),
        serde_json::json!({"code": null, "data": data, "meta": "SUCCESS"}),
        serde_json::json!({"data": data, "meta": [], "more": []}),
        serde_json::json!({"code": 200, "data": data, "meta": {"message": ["SUCCESS"]}}),
    ] {
        world
            .sandbox
            .respond_next(Operation::Mint, CannedReply::json(StatusCode::OK, &body));
        let token = world.client.mint_storefront_token(customer()).send().await;
        assert_eq!(token.unwrap().secret().expose_secret(), "opaque", "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_default_channel_goes_with_mint_and_login_and_nothing_else() {
    let world = World::new(Assumptions::default());
    let second = ChannelId::new(demo::SECOND_CHANNEL_ID).unwrap();
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .default_channel(second)
        .transport(InProcess::new(&world.sandbox))
        .clock(Arc::new(world.clock))
        .build()
        .unwrap();
    let channel = |operation: Operation| {
        let request = world.sandbox.requests_to(operation).pop().unwrap();
        let in_body = request
            .json()
            .and_then(|body| body.get("channelId").and_then(serde_json::Value::as_u64));
        in_body.or_else(|| {
            request
                .query_value("channelId")
                .map(|id| id.parse().unwrap())
        })
    };
    let login = || {
        client
            .log_in_storefront_user()
            .email(demo::CUSTOMER_EMAIL)
            .password(demo::CUSTOMER_PASSWORD)
            .name("n")
    };
    client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    assert_eq!(channel(Operation::Mint), Some(demo::SECOND_CHANNEL_ID));
    login().send().await.unwrap();
    assert_eq!(channel(Operation::Login), Some(demo::SECOND_CHANNEL_ID));
    login().channel(ChannelId::DEFAULT).send().await.unwrap();
    assert_eq!(channel(Operation::Login), Some(1));
    let jwt = world
        .sandbox
        .session_jwt(demo::STORE_HASH, demo::CUSTOMER_ID)
        .unwrap();
    client.exchange_session_jwt(jwt).send().await.unwrap();
    assert_eq!(channel(Operation::Exchange), None);
    client
        .create_server_token()
        .email(demo::ADMINISTRATOR_EMAIL)
        .password(demo::ADMINISTRATOR_PASSWORD)
        .name("n")
        .send()
        .await
        .unwrap();
    assert_eq!(channel(Operation::CreateServerToken), None);
}

#[tokio::test(start_paused = true)]
async fn a_listing_without_a_total_goes_on_to_the_end() {
    let world = World::new(Assumptions::default());
    let page = |ids: &[u64], meta: serde_json::Value| {
        let data: Vec<_> = ids.iter().map(|id| serde_json::json!({"id": id})).collect();
        CannedReply::json(
            StatusCode::OK,
            &serde_json::json!({"code": 200, "data": data, "meta": meta}),
        )
    };
    let nothing = serde_json::json!({});
    let clamped = serde_json::json!({"pagination": {"limit": 2}});
    for (meta, pages, requests) in [
        // No word of how long a page is: the end is where nothing more comes.
        (nothing, [&[1, 2][..], &[3], &[]], 3),
        // The service puts fewer on a page than were asked for, and says so.
        (clamped, [&[1, 2], &[3, 4], &[5]], 3),
    ] {
        world.sandbox.clear_requests();
        for ids in pages {
            world
                .sandbox
                .respond_next(Operation::ListServerTokens, page(ids, meta.clone()));
        }
        let tokens: Vec<_> = world
            .legacy()
            .all_server_tokens()
            .stream()
            .try_collect()
            .await
            .unwrap();
        assert_eq!(tokens.len(), pages.concat().len());
        assert_eq!(world.sandbox.request_count(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_goes_through_all_pages_once() {
    let mut store = Store::demo();
    for number in 0..524 {
        store = store.server_token(
            format!("token {number}"),
            demo::ADMINISTRATOR_EMAIL,
            bigcommerce_b2b_auth_sandbox::EventChannel::Api,
        );
    }
    let clock = PausedClock::start();
    let sandbox = Sandbox::builder()
        .store(store)
        .clock(move || clock.wall())
        .build();
    let world = World::with_sandbox(sandbox, clock);
    let mut ids: Vec<_> = world
        .legacy()
        .all_server_tokens()
        .stream()
        .map_ok(|token| token.id)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(ids.len(), 525);
    ids.dedup();
    assert_eq!(ids.len(), 525);
    assert_eq!(world.sandbox.request_count(), 3);

    let error = world
        .legacy()
        .list_server_tokens()
        .limit(251)
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.sandbox.request_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_repeats_a_page_ends_the_listing() {
    let world = World::new(Assumptions::default());
    let page = serde_json::json!({"code": 200, "data": [{"id": 1}, {"id": 2}], "meta": {"pagination": {"totalCount": 9}}});
    for _ in 0..9 {
        world.sandbox.respond_next(
            Operation::ListServerTokens,
            CannedReply::json(StatusCode::OK, &page),
        );
    }
    let error = world
        .legacy()
        .all_server_tokens()
        .stream()
        .try_collect::<Vec<_>>()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
    assert_eq!(world.sandbox.request_count(), 2);
}

#[tokio::test(start_paused = true)]
async fn header_sets_are_never_mixed() {
    let world = World::new(Assumptions::default());
    let hash_only = world
        .client
        .for_store(StoreHash::new(demo::STORE_HASH).unwrap());
    world
        .client
        .mint_storefront_token(customer())
        .send()
        .await
        .unwrap();
    world
        .create(demo::ADMINISTRATOR_EMAIL, demo::ADMINISTRATOR_PASSWORD)
        .await
        .unwrap();
    hash_only
        .log_in_storefront_user()
        .email(demo::CUSTOMER_EMAIL)
        .password(demo::CUSTOMER_PASSWORD)
        .name("n")
        .send()
        .await
        .unwrap();
    world.legacy().list_server_tokens().send().await.unwrap();
    let requests = world.sandbox.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|request| !request.mixes_header_sets()));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_refused_before_anything_is() {
    let world = World::new(Assumptions::default());
    let client = &world.client;
    let login = |email: &str, password: &str| {
        client
            .log_in_storefront_user()
            .email(email)
            .password(password)
            .name("n")
            .send()
    };
    let long_ago = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    for error in [
        CustomerId::new(0).unwrap_err(),
        CustomerId::new(-1).unwrap_err(),
        login("", "p").await.unwrap_err(),
        login("a@example.com", "").await.unwrap_err(),
        client.exchange_session_jwt("").send().await.unwrap_err(),
        client
            .create_server_token()
            .email("a@example.com")
            .password("p")
            .name(" ")
            .send()
            .await
            .unwrap_err(),
        client
            .create_server_token()
            .email("a@example.com")
            .password("p")
            .name("n")
            .begin_at(long_ago)
            .send()
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert_eq!(error.attempts(), 0);
    }
    assert_eq!(world.sandbox.request_count(), 0);
}
