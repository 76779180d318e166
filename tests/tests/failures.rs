//! Whom a failure concerns: one forbidden customer must not lock out the others, and a store whose access token does not work
//! must not spend its rate limit on learning that. In the *time* harness, with half of everything drawn: a refusal is remembered
//! for 45 s.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{Error, ErrorKind, StorefrontTokens};
use http::StatusCode;
use tests::{
    managed::customer,
    refusing::{Refusing, Setting},
};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// How long a customer waits before they reload.
const TICK: Duration = Duration::from_millis(100);

async fn refusal(setting: &Setting, id: u64) -> Error {
    setting.tokens.get(customer(id)).await.unwrap_err()
}

async fn is_served(setting: &Setting, id: u64) -> bool {
    setting.tokens.get(customer(id)).await.is_ok()
}

/// A customer who reloads all the time, whatever comes of it.
fn reloads(tokens: &StorefrontTokens, id: u64, pause: Duration) -> tokio::task::JoinHandle<()> {
    let tokens = tokens.clone();
    tokio::spawn(async move {
        loop {
            let _ = tokens.get(customer(id)).await;
            sleep(pause).await;
        }
    })
}

#[tokio::test(start_paused = true)]
async fn one_forbidden_customer_who_reloads_all_the_time_locks_out_none_of_1470_others() {
    let setting = Setting::new(1_471);
    setting.service.forbid(666);
    // The store has just worked.
    assert!(is_served(&setting, 1).await);
    let guilty = reloads(&setting.tokens, 666, TICK);
    let began = Instant::now();
    let mut refused = 0;
    for (number, id) in (1..=1_471).filter(|id| *id != 666).enumerate() {
        sleep(
            (150 * SECOND)
                .mul_f64(number as f64 / 1_470.0)
                .saturating_sub(began.elapsed()),
        )
        .await;
        refused += u32::from(!is_served(&setting, id).await);
    }
    assert!(began.elapsed() >= 149 * SECOND);
    guilty.abort();
    assert_eq!(refused, 0, "others refused");
    // At the beginning, after 45 s and after 90 s more; a mint for each of the others.
    assert_eq!(setting.service.mints_for(666), 3);
    assert_eq!(setting.service.mints(), 1_470 + 3);
}

#[tokio::test(start_paused = true)]
async fn forbidden_customers_among_many_lock_out_nobody_as_long_as_others_succeed_in_between() {
    let setting = Setting::new(2_000);
    assert!(is_served(&setting, 1).await);
    let guilty = [666, 667, 668];
    for id in guilty {
        setting.service.forbid(id);
    }
    let mut others = (2..=2_000).filter(|id| !guilty.contains(id));
    for _ in 0..400 {
        for id in guilty {
            let error = refusal(&setting, id).await;
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert!(is_served(&setting, others.next().unwrap()).await);
            sleep(TICK).await;
        }
    }
    for id in guilty {
        assert!((3..=5).contains(&setting.service.mints_for(id)));
    }
}

#[tokio::test(start_paused = true)]
async fn two_customers_who_are_forbidden_in_a_row_hold_up_the_others_once_and_never_again() {
    let setting = Setting::new(100);
    assert!(is_served(&setting, 1).await);
    for id in [66, 67] {
        setting.service.forbid(id);
        assert_eq!(refusal(&setting, id).await.remembered_for(), None);
    }
    // That looks like the store's access token: it is one for up to a minute, until a third customer gets a token.
    let error = refusal(&setting, 2).await;
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(error.retry_after(), Some(45 * SECOND));
    sleep(45 * SECOND).await;
    // Neither of the two is the probe, though they come first; they hold up nobody.
    for id in [66, 67] {
        refusal(&setting, id).await;
        assert!(setting.tokens.get_cached(customer(id)).is_none());
    }
    assert!(is_served(&setting, 2).await);
    // From now on it is known to be their own.
    for id in 3..100 {
        if [66, 67].contains(&id) {
            continue;
        }
        // They fail in a row again.
        for guilty in [66, 67] {
            assert_eq!(refusal(&setting, guilty).await.kind(), ErrorKind::Forbidden);
        }
        assert!(is_served(&setting, id).await, "{id}");
        sleep(30 * SECOND).await;
    }
    // 45 minutes, with 10 minutes between the last tries.
    for id in [66, 67] {
        let mints = setting.service.mints_for(id);
        assert!((7..=12).contains(&mints), "{mints}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_store_that_never_worked_a_customer_who_failed_is_not_the_probe() {
    let setting = Setting::new(100);
    setting.service.forbid(66);
    refusal(&setting, 66).await;
    assert!(refusal(&setting, 1).await.remembered_for().is_some());
    let guilty = reloads(&setting.tokens, 66, TICK);
    sleep(45 * SECOND).await;
    // The customer who failed has tried again meanwhile, and failed.
    sleep(SECOND).await;
    assert_eq!(setting.service.mints_for(66), 2);
    assert!(is_served(&setting, 1).await);
    for id in 2..60 {
        assert!(is_served(&setting, id).await, "{id}");
        sleep(SECOND).await;
    }
    guilty.abort();
}

#[tokio::test(start_paused = true)]
async fn in_a_store_that_never_worked_another_customer_soon_shows_that_one_alone_is_refused() {
    let setting = Setting::new(100);
    setting.service.forbid(66);
    refusal(&setting, 66).await;
    refusal(&setting, 1).await;
    sleep(5 * SECOND).await;
    for id in 1..60 {
        assert!(is_served(&setting, id).await, "{id}");
    }
    // The customer who was refused waits longer.
    refusal(&setting, 66).await;
}

/// So many customers reload all the time, each of them a little after the one before.
async fn all_reload(setting: &Setting, customers: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let mut tasks = Vec::new();
    for id in 1..=customers {
        tasks.push(reloads(&setting.tokens, id, 3 * SECOND));
        sleep(Duration::from_millis(3)).await;
    }
    tasks
}

fn mints_of(service: &Refusing, customers: u64) -> usize {
    (1..=customers)
        .filter(|id| service.mints_for(*id) > 0)
        .count()
}

#[tokio::test(start_paused = true)]
async fn an_access_token_that_does_not_work_any_more_costs_few_requests_and_a_third_customer_finds_out_when_it_does()
 {
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let setting = Setting::new(200);
        assert!(is_served(&setting, 200).await);
        setting.service.refuse_everybody(Some(status));
        // The second customer makes it the store's, and a third is refused without a request.
        assert_eq!(refusal(&setting, 1).await.remembered_for(), None);
        assert_eq!(refusal(&setting, 2).await.remembered_for(), None);
        assert!(refusal(&setting, 3).await.remembered_for().is_some());
        assert_eq!(setting.service.mints(), 3);
        let before = setting.service.mints();
        let tasks = all_reload(&setting, 100).await;
        sleep(10 * MINUTE).await;
        // One probe every 45 s, and some customers who failed before and try on their own account.
        let spent = setting.service.mints() - before;
        assert!((12..=60).contains(&spent), "{spent}");
        // It works again: within a minute everybody who comes is served.
        setting.service.refuse_everybody(None);
        sleep(MINUTE).await;
        assert!((3..=100).contains(&mints_of(&setting.service, 100)));
        for id in 101..150 {
            assert!(is_served(&setting, id).await, "{id}");
        }
        for task in tasks {
            task.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn customers_who_all_failed_before_share_a_few_tries_a_minute() {
    // A day on which nothing works: every customer has failed before.
    let setting = Setting::new(50);
    assert!(is_served(&setting, 50).await);
    setting
        .service
        .refuse_everybody(Some(StatusCode::UNAUTHORIZED));
    let tasks = all_reload(&setting, 40).await;
    sleep(40 * MINUTE).await;
    assert_eq!(mints_of(&setting.service, 40), 40);
    let before = setting.service.mints();
    sleep(10 * MINUTE).await;
    let spent = setting.service.mints() - before;
    assert!((10..=10 * 4 + 3).contains(&spent), "{spent}");
    setting.service.refuse_everybody(None);
    sleep(MINUTE).await;
    assert!(is_served(&setting, 41).await);
    for task in tasks {
        task.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn the_only_customer_of_a_store_is_not_refused_for_ever() {
    for has_worked in [true, false] {
        let setting = Setting::new(2);
        if has_worked {
            assert!(is_served(&setting, 2).await);
        }
        setting.service.forbid(1);
        let task = reloads(&setting.tokens, 1, SECOND);
        sleep(60 * MINUTE).await;
        let tries = setting.service.mints_for(1);
        // In a store that never worked it is the store's access token that is waited for.
        let expected = if has_worked { 6..=12 } else { 70..=81 };
        assert!(expected.contains(&tries), "{tries}");
        setting.service.allow(1);
        sleep(10 * MINUTE).await;
        task.abort();
        assert!(setting.tokens.get_cached(customer(1)).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_told_of_a_customers_own_failure_is_true() {
    let setting = Setting::new(10);
    assert!(is_served(&setting, 1).await);
    setting.service.forbid(6);
    let mut holds = Vec::new();
    for _ in 0..6 {
        let first = refusal(&setting, 6).await;
        assert_eq!((first.remembered_for(), first.attempts()), (None, 1));
        sleep(10 * SECOND).await;
        let told = refusal(&setting, 6).await;
        assert_eq!(told.kind(), ErrorKind::Forbidden);
        assert_eq!(told.remembered_for(), Some(10 * SECOND));
        let left = told.retry_after().unwrap();
        holds.push((left + 10 * SECOND).as_secs());
        sleep(left - SECOND).await;
        assert!(refusal(&setting, 6).await.remembered_for().is_some());
        sleep(SECOND).await;
    }
    assert_eq!(holds, [45, 90, 180, 360, 600, 600]);
    // A success ends it: the next failure is a first one.
    setting.service.allow(6);
    assert!(is_served(&setting, 6).await);
    setting.tokens.forget(customer(6));
    setting.service.forbid(6);
    refusal(&setting, 6).await;
    let left = refusal(&setting, 6).await.retry_after().unwrap();
    assert_eq!(left, 45 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_customer_in_an_outage_does_not_keep_it_up() {
    let setting = Setting::new(100);
    assert!(is_served(&setting, 100).await);
    setting.service.forbid(66);
    refusal(&setting, 66).await;
    setting
        .service
        .refuse_everybody(Some(StatusCode::SERVICE_UNAVAILABLE));
    for id in 1..=5 {
        assert_eq!(refusal(&setting, id).await.kind(), ErrorKind::Server);
    }
    assert!(refusal(&setting, 7).await.remembered_for().is_some());
    setting.service.refuse_everybody(None);
    sleep(45 * SECOND).await;
    // The first who comes is no probe, and what the service says of them shows that it is back.
    refusal(&setting, 66).await;
    for id in 7..60 {
        assert!(is_served(&setting, id).await, "{id}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_can_be_forgotten_and_tried_again_at_once() {
    let setting = Setting::new(10);
    assert!(is_served(&setting, 1).await);
    // A customer's own failure, after several of them.
    setting.service.forbid(6);
    for _ in 0..4 {
        refusal(&setting, 6).await;
        sleep(6 * MINUTE).await;
    }
    refusal(&setting, 6).await;
    assert!(refusal(&setting, 6).await.remembered_for().is_some());
    setting.service.allow(6);
    setting.tokens.forget_failures();
    assert!(is_served(&setting, 6).await);

    // That of the store.
    setting
        .service
        .refuse_everybody(Some(StatusCode::FORBIDDEN));
    for id in 2..=4 {
        refusal(&setting, id).await;
    }
    assert!(refusal(&setting, 5).await.remembered_for().is_some());
    setting.service.refuse_everybody(None);
    setting.tokens.forget_failures();
    for id in 2..=5 {
        assert!(is_served(&setting, id).await, "{id}");
    }

    // It is no way around anything: what still fails is remembered as before.
    setting.service.forbid(7);
    refusal(&setting, 7).await;
    setting.tokens.forget_failures();
    assert_eq!(refusal(&setting, 7).await.remembered_for(), None);
    let before = setting.service.mints();
    assert!(refusal(&setting, 7).await.remembered_for().is_some());
    assert_eq!(setting.service.mints(), before);
}

#[tokio::test(start_paused = true)]
async fn the_failures_of_one_store_are_forgotten_and_not_those_of_another() {
    let setting = Setting::new(10);
    let other = Setting::new(10);
    let of_other = setting.tokens.for_store(
        other
            .client
            .for_store(bigcommerce_b2b_auth::StoreAccess::new("other", "a token").unwrap()),
    );
    let unknown = |tokens: &StorefrontTokens| {
        let tokens = tokens.clone();
        async move { tokens.get(customer(99)).await.unwrap_err() }
    };
    unknown(&setting.tokens).await;
    unknown(&of_other).await;
    setting.tokens.forget_failures();
    assert_eq!(unknown(&setting.tokens).await.remembered_for(), None);
    assert!(unknown(&of_other).await.remembered_for().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_forbidden_customer_does_not_hold_up_those_who_are_warmed_for_long() {
    use futures_util::{StreamExt as _, stream};

    let setting = Setting::new(100);
    assert!(is_served(&setting, 100).await);
    for id in [20, 40, 60] {
        setting.service.forbid(id);
    }
    let began = Instant::now();
    let warming = setting.tokens.warm(stream::iter((1..100).map(customer)));
    let outcomes: Vec<_> = warming.at_once(1).start().collect().await;
    let failed: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.position + 1, outcome.result.as_ref().err()?.kind())))
        .collect();
    assert_eq!(
        failed,
        [20, 40, 60].map(|id| (id, ErrorKind::Forbidden)),
        "{failed:?}"
    );
    // Some seconds for each of them, besides what the others take.
    assert!(began.elapsed() < 3 * MINUTE, "{:?}", began.elapsed());
}

/// A cache can be shared between threads, and so can what it waits for.
#[test]
fn the_futures_of_the_cache_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let client = bigcommerce_b2b_auth::Client::new("abc123", "a token").unwrap();
    let tokens = Arc::new(StorefrontTokens::builder().client(client).build());
    is_send(&tokens.get(customer(1)));
}
