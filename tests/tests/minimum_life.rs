//! Requests that state how long a token has to be valid. In the *time* harness, where a day takes no time.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    Answer, CallError, Error, ErrorKind, ManagedToken, MemoryTokenStore, TokenRequest, TokenStore,
    Warmed,
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment};
use futures_util::{StreamExt as _, future::join_all, stream};
use http::StatusCode;
use tests::managed::{DAY, Managed, Wanted, customer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

const DOWN: Fault = Fault::ServerError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

fn lasting(least: Duration) -> TokenRequest {
    TokenRequest::new(customer(1)).valid_for_at_least(least)
}

async fn get(managed: &Managed, least: Duration) -> Result<ManagedToken, Error> {
    managed.tokens.get(lasting(least)).await
}

async fn plain(managed: &Managed) -> String {
    let token = managed.tokens.get(customer(1)).await.unwrap();
    token.expose_secret().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_token_with_enough_left_is_served() {
    let managed = Managed::new(Wanted::default());
    let token = plain(&managed).await;
    tokio::time::sleep(10 * HOUR).await;
    let least = 13 * HOUR;
    let served = get(&managed, least).await.unwrap();
    assert_eq!(served.expose_secret(), token);
    let cached = managed.tokens.get_cached(lasting(least)).unwrap();
    assert_eq!(cached.expose_secret(), token);
    assert_eq!(managed.mints(), 1);
    assert_eq!(managed.tokens.metrics().hits, 2);
}

#[tokio::test(start_paused = true)]
async fn a_minimum_that_no_token_can_have_fails_before_anything_is_sent() {
    let managed = Managed::new(Wanted::default());
    let longest = DAY - 5 * MINUTE;
    for least in [longest + SECOND, DAY, 30 * DAY, Duration::MAX] {
        let error = get(&managed, least).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        assert!(error.to_string().contains("23h 55m"), "{error}");
        assert!(managed.tokens.get_cached(lasting(least)).is_none());
    }
    assert_eq!(managed.mints(), 0);
    let token = get(&managed, longest).await.unwrap();
    assert!(token.remaining(managed.clock.true_time()) >= longest);
    // It fails as well where there is a token.
    assert!(get(&managed, longest + SECOND).await.is_err());
    assert_eq!(managed.mints(), 1);
}

#[tokio::test(start_paused = true)]
async fn there_is_no_fallback_to_a_token_with_less() {
    let managed = Managed::new(Wanted::default());
    let old = plain(&managed).await;
    tokio::time::sleep(10 * HOUR).await;
    managed.sandbox.begin_outage(DOWN);
    let error = get(&managed, 20 * HOUR).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    // Others have the old one, which the failure took nothing from.
    assert_eq!(plain(&managed).await, old);
    managed.sandbox.end_outage();
    tokio::time::sleep(10 * SECOND).await;
    assert!(get(&managed, 20 * HOUR).await.is_ok());

    managed.way.takes(MINUTE);
    tokio::time::sleep(10 * HOUR).await;
    let hurried = lasting(20 * HOUR).wait_at_most(SECOND);
    let error = managed.tokens.get(hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn at_its_end_a_token_is_fallen_back_on_only_while_it_has_enough() {
    let managed = Managed::new(Wanted::default());
    let old = plain(&managed).await;
    managed.sandbox.begin_outage(DOWN);
    // Three minutes are left, and half a minute of them is not used.
    tokio::time::sleep(DAY - 3 * MINUTE).await;
    let served = get(&managed, 2 * MINUTE).await.unwrap();
    assert_eq!(served.expose_secret(), old);
    tokio::time::sleep(10 * SECOND).await;
    let error = get(&managed, 3 * MINUTE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server);
    managed.sandbox.end_outage();
    tokio::time::sleep(10 * SECOND).await;
    let new = get(&managed, 3 * MINUTE).await.unwrap();
    assert_ne!(new.expose_secret(), old);
}

#[tokio::test(start_paused = true)]
async fn many_requests_with_and_without_a_minimum_share_one_mint() {
    let managed = Managed::new(Wanted::default());
    let requests = (0..100_u32).map(|number| get(&managed, HOUR * (number % 3)));
    let tokens = join_all(requests).await;
    assert!(tokens.iter().all(Result::is_ok));
    assert_eq!(managed.mints(), 1);

    tokio::time::sleep(10 * HOUR).await;
    let old = plain(&managed).await;
    let requests = (0..100_u32).map(|number| get(&managed, HOUR * 20 * (number % 2)));
    let tokens = join_all(requests).await;
    for (number, token) in tokens.into_iter().enumerate() {
        // Who states no minimum does not wait for the others' token.
        let is_old = token.unwrap().expose_secret() == old;
        assert_eq!(is_old, number % 2 == 0);
    }
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_grants_too_little_is_asked_once_a_minute() {
    let managed = Managed::new(Wanted::default());
    managed.next_token_lasts(HOUR);
    let outcomes = join_all((0..100).map(|_| get(&managed, 2 * HOUR))).await;
    for outcome in outcomes {
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TokenTooShort);
        assert!(error.to_string().contains("59m"), "{error}");
    }
    assert_eq!(managed.mints(), 1);
    // The token is good for others.
    let short = plain(&managed).await;
    let served = get(&managed, 30 * MINUTE).await.unwrap();
    assert_eq!(served.expose_secret(), short);
    for _ in 0..50 {
        tokio::time::sleep(SECOND).await;
        assert!(get(&managed, 2 * HOUR).await.is_err());
    }
    assert_eq!(managed.mints(), 1);
    tokio::time::sleep(10 * SECOND).await;
    assert!(get(&managed, 2 * HOUR).await.is_ok());
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_short_token_that_was_put_in_is_replaced() {
    let managed = Managed::new(Wanted::default());
    let client = &managed.client;
    managed.next_token_lasts(HOUR);
    let minted = client.mint_storefront_token(customer(1)).send().await;
    managed.tokens.put(customer(1), &minted.unwrap()).unwrap();
    assert!(get(&managed, 2 * HOUR).await.is_ok());
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_less_is_not_taken_from_the_shared_cache() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokenStore::new());
    let sharing = || Wanted {
        shared_store: Some(Arc::clone(&store)),
        ..Wanted::default()
    };
    let one = Managed::new(sharing());
    one.next_token_lasts(HOUR);
    let short = plain(&one).await;
    one.settle().await;

    // A request without a minimum takes it; one with a minimum that joins its single flight does not.
    let other = one.another(sharing());
    let (token, long) = tokio::join!(plain(&other), get(&other, 2 * HOUR));
    assert_eq!(token, short);
    let long = long.unwrap();
    assert_ne!(long.expose_secret(), short);
    assert_eq!(one.mints(), 2);
    one.settle().await;

    // What was minted for it is shared in turn.
    let third = one.another(sharing());
    let shared = get(&third, 2 * HOUR).await.unwrap();
    assert_eq!(shared.expose_secret(), long.expose_secret());
    assert_eq!(one.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_with_less_in_the_shared_cache_is_looked_at_once() {
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokenStore::new());
    let sharing = || Wanted {
        shared_store: Some(Arc::clone(&store)),
        ..Wanted::default()
    };
    let one = Managed::new(sharing());
    one.next_token_lasts(HOUR);
    plain(&one).await;
    one.settle().await;
    let other = one.another(sharing());
    get(&other, 2 * HOUR).await.unwrap();
    let metrics = other.tokens.metrics();
    assert_eq!((metrics.from_shared_store, metrics.mints), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_falls_below_the_minimum_while_another_is_waited_for_is_not_served() {
    let managed = Managed::new(Wanted::default());
    let old = plain(&managed).await;
    // 150 seconds are left that it is used for, and the renewal takes longer than it is waited for.
    tokio::time::sleep(DAY - 3 * MINUTE).await;
    managed.way.takes(10 * SECOND);
    let least = 147 * SECOND;
    let token = get(&managed, least).await.unwrap();
    assert_ne!(token.expose_secret(), old);
    assert!(token.remaining(managed.clock.true_time()) >= least);
}

#[tokio::test(start_paused = true)]
async fn a_cached_token_with_less_is_not_shown_and_renewed_when_it_is_due() {
    let managed = Managed::new(Wanted::default());
    let old = plain(&managed).await;
    tokio::time::sleep(20 * HOUR).await;
    assert!(managed.tokens.get_cached(lasting(10 * HOUR)).is_none());
    managed.settle().await;
    let new = managed.tokens.get_cached(lasting(10 * HOUR)).unwrap();
    assert_ne!(new.expose_secret(), old);
    assert_eq!(managed.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn tokens_are_warmed_to_a_minimum() {
    let managed = Managed::new(Wanted::default());
    plain(&managed).await;
    let warm = |leasts: &[Duration]| {
        let requests: Vec<_> = leasts.iter().map(|least| lasting(*least)).collect();
        let warming = managed.tokens.warm(stream::iter(requests)).start();
        warming.map(|outcome| outcome.result).collect::<Vec<_>>()
    };
    tokio::time::sleep(10 * HOUR).await;
    let outcomes = warm(&[HOUR]).await;
    assert!(matches!(outcomes.as_slice(), [Ok(Warmed::AlreadyThere)]));
    let outcomes = warm(&[20 * HOUR]).await;
    assert!(matches!(outcomes.as_slice(), [Ok(Warmed::Fetched)]));
    assert_eq!(managed.mints(), 2);
    let outcomes = warm(&[2 * DAY]).await;
    assert!(matches!(outcomes.as_slice(), [Err(error)] if error.kind() == ErrorKind::InvalidInput));

    tokio::time::sleep(10 * HOUR).await;
    managed.next_token_lasts(HOUR);
    let outcomes = warm(&[20 * HOUR]).await;
    assert!(
        matches!(outcomes.as_slice(), [Err(error)] if error.kind() == ErrorKind::TokenTooShort)
    );
    assert_eq!(managed.mints(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_token_states_its_minimum() {
    let managed = Managed::new(Wanted::default());
    plain(&managed).await;
    tokio::time::sleep(10 * HOUR).await;
    let call = |least| {
        managed.tokens.call(lasting(least), |token| {
            let remaining = token.remaining(managed.clock.true_time());
            async move { Ok::<_, Error>(Answer::Accepted(remaining)) }
        })
    };
    assert!(call(20 * HOUR).await.unwrap() >= 20 * HOUR);
    let error = call(25 * HOUR).await.unwrap_err();
    assert!(matches!(error, CallError::Token(error) if error.kind() == ErrorKind::InvalidInput));
    assert_eq!(managed.mints(), 2);
}
