//! Managed tokens as an application uses them: several stores, the budget's line, watching, and what a handle is.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, ChannelId, Client, Clock, CustomerAccessToken, ErrorKind, RetryPolicy, Sleep,
    StoreAccess, StorefrontTokens, TokenRequest,
    telemetry::{Observer, TokenEvictionEvent, TokenFetchEvent},
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, Sandbox, Store, demo};
use futures_util::future::join_all;
use http::StatusCode;
use tests::{
    InProcess, PausedClock,
    managed::{Chance, DAY, Managed, SettableClock, Wanted, customer},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// When a token of a day is due in the background, with half of everything drawn, and a second.
const SOFT: Duration = Duration::from_secs(19 * 3600 + 12 * 60 + 1);

#[tokio::test(start_paused = true)]
async fn stores_share_a_cache_and_nothing_else() {
    let clock = SettableClock::start();
    let service_clock = Arc::clone(&clock);
    let store = |hash: &str| {
        let customer =
            bigcommerce_b2b_auth_sandbox::Customer::new(1, "a@example.com", "a password");
        Store::new(hash)
            .with_access_token(format!("token of {hash}"))
            .channel(1)
            .customer(customer)
    };
    let sandbox = Sandbox::builder()
        .clock(move || service_clock.true_time())
        .store(store("first"))
        .store(store("second"))
        .build();
    let first = Client::builder()
        .credentials(StoreAccess::new("first", "token of first").unwrap())
        .transport(InProcess::new(&sandbox))
        .clock(clock)
        .jitter(Chance::of(0.5))
        .retry(RetryPolicy::none())
        .build()
        .unwrap();
    let second = first.for_store(StoreAccess::new("second", "token of second").unwrap());
    let wrong = first.for_store(StoreAccess::new("second", "another token").unwrap());

    let tokens = StorefrontTokens::builder().client(first.clone()).build();
    let of_second = tokens.for_store(second.clone());
    let one = tokens.get(customer(1)).await.unwrap();
    let other = of_second.get(customer(1)).await.unwrap();
    let store_of = |token: &bigcommerce_b2b_auth::ManagedToken| token.claims().unwrap().store_hash;
    assert_eq!(store_of(&one).as_deref(), Some("first"));
    assert_eq!(store_of(&other).as_deref(), Some("second"));
    assert_eq!(tokens.metrics().entries, 2);

    // Another client of a store finds what is there already; what it cannot fetch is that store's trouble alone.
    let of_wrong = tokens.for_store(wrong);
    assert!(of_wrong.get_cached(customer(1)).is_some());
    let on_channel = TokenRequest::new(customer(1)).channel(ChannelId::DEFAULT);
    let error = of_wrong.get(on_channel.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthenticated);
    let error = of_wrong.get(on_channel.clone()).await.unwrap_err();
    assert!(error.remembered_for().is_some());
    // The failure counts for the access token that it happened with.
    assert!(of_second.get(on_channel.clone()).await.is_ok());
    assert!(tokens.get(on_channel).await.is_ok());
    assert!(format!("{of_second:?}").contains("second"));
}

#[tokio::test(start_paused = true)]
async fn the_clients_default_channel_is_that_of_its_tokens() {
    let managed = Managed::new(Wanted::default());
    let client = Client::builder()
        .credentials(
            StoreAccess::new(tests::managed::STORE_HASH, tests::managed::ACCESS_TOKEN).unwrap(),
        )
        .transport(InProcess::new(&managed.sandbox))
        .clock(Arc::clone(&managed.clock) as Arc<dyn Clock>)
        .default_channel(ChannelId::new(2).unwrap())
        .build()
        .unwrap();
    let tokens = managed.tokens.for_store(client);
    let token = tokens.get(customer(1)).await.unwrap();
    assert_eq!(token.channel(), Some(ChannelId::new(2).unwrap()));
    assert_eq!(token.claims().unwrap().channel_ids, [2]);
    // The same one as for who names the channel.
    let named = TokenRequest::new(customer(1)).channel(ChannelId::new(2).unwrap());
    assert!(managed.tokens.get_cached(named).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_cold_caller_does_not_wait_behind_those_with_something_to_fall_back_on() {
    // One request a second: whoever comes first gets the next one.
    let managed = Managed::new(Wanted {
        budget_limit: Some(BudgetLimit::at_most(60, MINUTE, 1)),
        customers: Some(100),
        ..Wanted::default()
    });
    join_all((1..=5).map(|id| managed.tokens.get(customer(id)))).await;
    tokio::time::sleep(DAY - 4 * MINUTE).await;
    // Five renewals that are waited for, then one who has nothing.
    let began = tokio::time::Instant::now();
    let renewals = join_all((1..=5).map(|id| managed.tokens.get(customer(id))));
    let cold = async {
        managed.tokens.get(customer(50)).await.unwrap();
        began.elapsed()
    };
    let (_, cold) = tokio::join!(renewals, cold);
    assert!(cold < 2 * SECOND, "{cold:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewal_in_the_background_goes_forward_when_somebody_comes_to_need_it() {
    // One request a second, and somebody new a little more often than that: what is in the background never gets its turn.
    let managed = Managed::new(Wanted {
        budget_limit: Some(BudgetLimit::at_most(60, MINUTE, 1)),
        customers: Some(100),
        ..Wanted::default()
    });
    let first = managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SOFT).await;
    let tokens = managed.tokens.clone();
    let crowd = tokio::spawn(async move {
        for id in 2..=100 {
            let tokens = tokens.clone();
            tokio::spawn(async move { tokens.get(customer(id)).await });
            tokio::time::sleep(Duration::from_millis(900)).await;
        }
    });
    tokio::time::sleep(5 * SECOND).await;
    managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(30 * SECOND).await;
    assert_eq!(managed.tokens.metrics().fetches_soft, 1);
    assert_eq!(
        managed.tokens.metrics().fetches_under_way as u64,
        1 + waiting(&managed)
    );
    // The token is refused: whoever asks for it now has nothing to fall back on, and comes after those who are in line now.
    managed.tokens.invalidate(&first);
    let began = tokio::time::Instant::now();
    let renewed = managed.tokens.get(customer(1)).await.unwrap();
    assert_ne!(renewed.expose_secret(), first.expose_secret());
    let waited = began.elapsed();
    assert!(waited <= 8 * SECOND, "{waited:?}");
    assert_eq!(managed.tokens.metrics().fetches_forced, 0, "it joined");
    crowd.abort();
}

/// How many of the cold fetches have not come to their end yet.
fn waiting(managed: &Managed) -> u64 {
    let metrics = managed.tokens.metrics();
    metrics.fetches_cold - metrics.mints
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_a_runtime_that_does_not_run() {
    let managed = Managed::new(Wanted {
        fetch_deadline: Some(10 * SECOND),
        ..Wanted::default()
    });
    // A task of a runtime that is kept without being run never begins.
    let kept = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder()
        .client(managed.client.clone())
        .fetch_deadline(10 * SECOND)
        .runtime(kept.handle().clone())
        .build();
    let hurried = TokenRequest::new(customer(1)).wait_at_most(SECOND);
    let error = tokens.get(hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let began = tokio::time::Instant::now();
    tokens.shutdown().await;
    assert!(began.elapsed() <= 16 * SECOND, "{:?}", began.elapsed());
    kept.shutdown_background();
}

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl Observer for Lines {
    fn on_token_fetch(&self, event: &TokenFetchEvent<'_>) {
        self.0.lock().unwrap().push(format!(
            "{} {:?} in {:?}: {:?} {:?}",
            event.store_hash, event.cause, event.latency, event.source, event.failed
        ));
    }

    fn on_token_eviction(&self, event: &TokenEvictionEvent) {
        self.0.lock().unwrap().push(format!(
            "evicted, live: {}, for {:?}",
            event.is_live, event.remaining
        ));
    }
}

#[tokio::test(start_paused = true)]
async fn fetches_and_evictions_are_told_as_they_happen() {
    let lines = Arc::new(Lines::default());
    let managed = Managed::new(Wanted {
        observer: Some(Arc::clone(&lines) as Arc<dyn Observer>),
        capacity: Some(bigcommerce_b2b_auth::Capacity::entries(1)),
        ..Wanted::default()
    });
    let token = managed.tokens.get(customer(1)).await.unwrap();
    tokio::time::sleep(SOFT).await;
    managed.tokens.get(customer(1)).await.unwrap();
    managed.settle().await;
    assert_eq!(
        managed.tokens.invalidate(&token),
        bigcommerce_b2b_auth::Invalidation::Late
    );
    managed.tokens.get(customer(2)).await.unwrap();
    managed.sandbox.fail_next(
        Operation::Mint,
        Fault::EmptyError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            moment: Moment::BeforeEffect,
        },
    );
    managed.tokens.get(customer(3)).await.unwrap_err();
    assert_eq!(
        *lines.0.lock().unwrap(),
        [
            "managed Cold in 50ms: Some(Minted) None",
            "managed Soft in 50ms: Some(Minted) None",
            "evicted, live: true, for 86369.9s",
            "managed Cold in 50ms: Some(Minted) None",
            "managed Cold in 50ms: None Some(Server)",
        ]
    );
}

/// A clock that is set by hand, also where there is no runtime.
#[derive(Debug)]
struct ByHand(std::time::Instant, Mutex<Duration>);

impl Clock for ByHand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + PausedClock::EPOCH + *self.1.lock().unwrap()
    }

    fn instant(&self) -> std::time::Instant {
        self.0 + *self.1.lock().unwrap()
    }

    fn sleep(&self, _: Duration) -> Sleep {
        Box::pin(std::future::pending())
    }
}

#[test]
fn a_look_outside_of_a_runtime_serves_what_is_there() {
    let clock = Arc::new(ByHand(std::time::Instant::now(), Mutex::default()));
    let service_clock = Arc::clone(&clock);
    let sandbox = Sandbox::builder()
        .clock(move || service_clock.now())
        .build();
    let client = Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .transport(InProcess::new(&sandbox))
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .jitter(Chance::of(0.5))
        .build()
        .unwrap();
    let tokens = StorefrontTokens::builder().client(client).build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let customer = customer(demo::CUSTOMER_ID);
    runtime.block_on(tokens.get(customer)).unwrap();
    *clock.1.lock().unwrap() = SOFT;
    // It is due, and there is nobody who could renew it: that is put off, and tried again later.
    for _ in 0..3 {
        assert!(tokens.get_cached(customer).is_some());
    }
    assert_eq!(tokens.metrics().renewals_put_off, 1);
    assert_eq!(sandbox.request_count_to(Operation::Mint), 1);
    *clock.1.lock().unwrap() = DAY;
    assert!(tokens.get_cached(customer).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_ready_at_once_and_its_future_is_small() {
    let managed = Managed::new(Wanted::default());
    managed.tokens.get(customer(1)).await.unwrap();
    let get = managed.tokens.get(customer(1));
    assert!(size_of_val(&get) <= 256, "{}", size_of_val(&get));
    assert!(futures_util::FutureExt::now_or_never(get).unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_expired_customer_access_token_is_refused_unsent_and_burdens_nobody_else() {
    const ID: &str = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00";
    // Both expire an hour after the start: one states it at its end, the other in its text.
    let an_hour_from_the_start = (PausedClock::EPOCH + 60 * MINUTE).as_secs();
    for access_token in [
        CustomerAccessToken::new(format!("{ID}_{an_hour_from_the_start}")),
        CustomerAccessToken::new(ID).expires_at_text("2027-01-15T10:00:00+01:00"),
    ] {
        let managed = Managed::new(Wanted::default());
        let with = |id| TokenRequest::new(customer(id)).customer_access_token(access_token.clone());
        managed.tokens.get(with(1)).await.unwrap();
        tokio::time::sleep(60 * MINUTE).await;

        // A token that is in the cache is still served.
        managed.tokens.get(with(1)).await.unwrap();
        let mint = managed.client.mint_storefront_token(customer(1));
        for error in [
            managed.tokens.get(with(2)).await.unwrap_err(),
            managed.tokens.get(with(2)).await.unwrap_err(),
            mint.customer_access_token(access_token.clone())
                .send()
                .await
                .unwrap_err(),
        ] {
            let facts = (error.kind(), error.attempts(), error.remembered_for());
            assert_eq!(facts, (ErrorKind::InvalidInput, 0, None));
            let text = tests::render(&error);
            assert!(
                text.contains("invalid customer access token: expired"),
                "{text}"
            );
            assert!(!text.contains(ID), "{text}");
        }
        assert_eq!(managed.mints(), 1, "a mint was sent");

        // Neither the customer without it nor another one is held responsible.
        managed.tokens.get(customer(2)).await.unwrap();
        managed.tokens.get(customer(3)).await.unwrap();
        // After the cached token has ended, there is nothing left to serve.
        tokio::time::sleep(DAY).await;
        let error = managed.tokens.get(with(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(managed.mints(), 3);
    }
}
