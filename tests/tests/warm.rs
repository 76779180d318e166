//! Tokens that are fetched before anybody asks for them: what it costs, in what order, and what comes in its way.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Clock, ErrorKind, TokenRequest, WarmOutcome, Warmed, Warming,
};
use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, RateLimit};
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use tests::managed::{DAY, Managed, Wanted, customer};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

const DOWN: Fault = Fault::ServerError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

/// A store with so many customers and the budget of the real one, and a client with its defaults.
fn store(customers: u64) -> Managed {
    Managed::new(Wanted {
        customers: Some(customers),
        rate_limit: Some(RateLimit::fixed(150, MINUTE)),
        budget_limit: Some(BudgetLimit::default()),
        retries: true,
        ..Wanted::default()
    })
}

fn warm(managed: &Managed, customers: std::ops::RangeInclusive<u64>, share: f64) -> Warming {
    let customers = stream::iter(customers.map(customer));
    managed.tokens.warm(customers).share(share).start()
}

/// Everything that comes out.
async fn all(warming: Warming) -> Vec<WarmOutcome> {
    warming.collect().await
}

fn count(outcomes: &[WarmOutcome], warmed: Warmed) -> usize {
    let is_it = |outcome: &&WarmOutcome| outcome.result.as_ref().ok() == Some(&warmed);
    outcomes.iter().filter(is_it).count()
}

fn failures(outcomes: &[WarmOutcome]) -> Vec<(u64, ErrorKind)> {
    let failed = |outcome: &WarmOutcome| {
        let error = outcome.result.as_ref().err()?;
        Some((outcome.position, error.kind()))
    };
    outcomes.iter().filter_map(failed).collect()
}

fn since(managed: &Managed, start: Instant) -> Duration {
    managed.clock.instant() - start
}

#[tokio::test(start_paused = true)]
async fn customers_get_their_tokens_within_a_share_of_the_budget() {
    for (share, least, most) in [(0.5, 239, 245), (0.2, 598, 608), (1.0, 119, 135)] {
        let managed = store(300);
        let start = managed.clock.instant();
        let outcomes = all(warm(&managed, 1..=300, share)).await;
        assert_eq!(count(&outcomes, Warmed::Fetched), 300, "{share}");
        // 300 of 75, of 30 and of 150 a minute; the first reply tells that there are 150.
        let took = since(&managed, start).as_secs();
        assert!((least..=most).contains(&took), "{share}: {took} s");
        assert_eq!(
            (managed.mints(), managed.sandbox.faults_injected()),
            (300, 0)
        );
        let places: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.position).collect();
        assert_eq!(places, (0..300).collect());
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.customer == customer(outcome.position + 1))
        );
        let metrics = managed.tokens.metrics();
        assert_eq!((metrics.fetches_warm, metrics.fetches_cold), (300, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_has_a_token_costs_nothing_and_whoever_is_to_be_renewed_a_mint() {
    let managed = store(200);
    all(warm(&managed, 1..=100, 0.5)).await;
    let start = managed.clock.instant();
    let outcomes = all(warm(&managed, 1..=100, 0.5)).await;
    assert_eq!(count(&outcomes, Warmed::AlreadyThere), 100);
    assert_eq!(
        (managed.mints(), since(&managed, start)),
        (100, Duration::ZERO)
    );
    // Past four fifths of their life they are due.
    tokio::time::sleep(DAY.mul_f64(0.85)).await;
    let outcomes = all(warm(&managed, 1..=100, 0.5)).await;
    assert_eq!(count(&outcomes, Warmed::Fetched), 100);
    assert_eq!(managed.mints(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_goes_before_those_who_are_warmed() {
    let managed = store(400);
    let mut warming = warm(&managed, 1..=300, 0.5);
    let mut slowest = Duration::ZERO;
    for newcomer in 301..=400 {
        for _ in 0..2 {
            warming.next().await.unwrap().result.unwrap();
        }
        let start = managed.clock.instant();
        let asked = managed.tokens.get(customer(newcomer));
        // Both at once: the warming does its work only while it is read.
        let mut asked = std::pin::pin!(asked);
        loop {
            tokio::select! {
                biased;
                token = &mut asked => break drop(token.unwrap()),
                outcome = warming.next() => drop(outcome),
            }
        }
        slowest = slowest.max(since(&managed, start));
    }
    // A permit comes every 0.4 s, and a mint takes 50 ms.
    assert!(slowest <= Duration::from_millis(450), "{slowest:?}");
}

#[tokio::test(start_paused = true)]
async fn customers_who_are_unknown_come_out_with_the_error_and_hold_up_nobody() {
    let managed = store(20);
    let start = managed.clock.instant();
    let outcomes = all(warm(&managed, 15..=25, 0.5)).await;
    assert_eq!(count(&outcomes, Warmed::Fetched), 6);
    let failed = failures(&outcomes);
    assert_eq!(failed.len(), 5);
    assert!(
        failed.iter().all(|(position, _)| *position >= 6),
        "{failed:?}"
    );
    assert!(since(&managed, start) < 12 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_and_costs_nobody_his_token() {
    let managed = store(200);
    let mut warming = warm(&managed, 1..=200, 0.5);
    for _ in 0..50 {
        warming.next().await.unwrap().result.unwrap();
    }
    managed.sandbox.begin_outage(DOWN);
    let before = managed.mints();
    let control = warming.control();
    let during = tokio::time::timeout(10 * MINUTE, warming.next()).await;
    // What was under way when it began may still come out.
    assert!(during.is_err() || during.unwrap().unwrap().result.is_ok());
    while tokio::time::timeout(MINUTE, warming.next()).await.is_ok() {}
    let trouble = control.progress().trouble.unwrap();
    assert_eq!(trouble.kind(), ErrorKind::Server);
    // A try every minute or so, of four attempts.
    let asked = managed.mints() - before;
    assert!((10..=100).contains(&asked), "{asked}");
    managed.sandbox.end_outage();
    let outcomes = all(warming).await;
    assert_eq!(failures(&outcomes), []);
    assert_eq!(
        (control.progress().fetched, control.progress().failed),
        (200, 0)
    );
    assert!(control.progress().trouble.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_does_not_work_for_too_long_is_given_up_and_can_be_gone_on_with() {
    for (fault, kind) in [
        (DOWN, ErrorKind::Server),
        (
            Fault::EmptyError {
                status: StatusCode::FORBIDDEN,
                moment: Moment::BeforeEffect,
            },
            ErrorKind::Forbidden,
        ),
    ] {
        let managed = store(40);
        managed.sandbox.begin_outage(fault);
        let start = managed.clock.instant();
        let warming = managed
            .tokens
            .warm(stream::iter((1..=40).map(customer)))
            .give_up_after(5 * MINUTE)
            .start();
        let control = warming.control();
        let outcomes = all(warming).await;
        let failed = failures(&outcomes);
        // Those who were tried, and nobody else.
        assert!((1..=9).contains(&failed.len()), "{failed:?}");
        assert_eq!((outcomes.len(), failed[0].1), (failed.len(), kind));
        let took = since(&managed, start);
        assert!((5 * MINUTE..9 * MINUTE).contains(&took), "{took:?}");
        assert_eq!(control.progress().trouble.unwrap().kind(), kind);

        managed.sandbox.end_outage();
        tokio::time::sleep(2 * MINUTE).await;
        let place = control.progress().resume_at;
        assert_eq!(place, failed.len() as u64);
        let rest = managed
            .tokens
            .warm(stream::iter((1..=40).map(customer)))
            .resume_at(place)
            .start();
        let outcomes = all(rest).await;
        assert_eq!(outcomes[0].position, place);
        assert_eq!(count(&outcomes, Warmed::Fetched), 40 - failed.len());
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_fails_while_others_do_not_comes_out_after_three_tries() {
    // Without repetitions in the client a try is one request.
    let managed = Managed::new(Wanted::default());
    let mut warming = managed
        .tokens
        .warm(stream::iter((1..=10).map(customer)))
        .at_once(1)
        .start();
    // The first is tried, and then somebody else, who succeeds; then the first again.
    for succeeds in [1, 2] {
        managed.sandbox.fail_next(Operation::Mint, DOWN);
        let outcome = warming.next().await.unwrap();
        assert_eq!(
            (outcome.position, outcome.result.unwrap()),
            (succeeds, Warmed::Fetched)
        );
    }
    managed.sandbox.fail_next(Operation::Mint, DOWN);
    let outcome = warming.next().await.unwrap();
    assert_eq!(
        (outcome.position, outcome.result.unwrap_err().kind()),
        (0, ErrorKind::Server)
    );
    let rest = all(warming).await;
    assert_eq!(
        (rest.len(), failures(&rest), managed.mints()),
        (7, vec![], 12)
    );
}

#[tokio::test(start_paused = true)]
async fn one_who_failed_is_tried_again_though_nobody_else_comes() {
    let managed = Managed::new(Wanted::default());
    let (sender, customers) = tokio::sync::mpsc::channel(1);
    sender.send(customer(1)).await.unwrap();
    let customers = stream::unfold(customers, |mut customers| async {
        let customer = customers.recv().await?;
        Some((customer, customers))
    });
    managed.sandbox.fail_next(Operation::Mint, DOWN);
    let mut warming = managed.tokens.warm(Box::pin(customers)).start();
    let outcome = tokio::time::timeout(MINUTE, warming.next()).await;
    assert_eq!(outcome.unwrap().unwrap().result.unwrap(), Warmed::Fetched);
    drop(sender);
    assert!(warming.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn it_stops_without_losing_what_was_sent() {
    let managed = store(100);
    managed.way.takes(5 * SECOND);
    let mut warming = warm(&managed, 1..=100, 1.0);
    let control = warming.control();
    warming.next().await.unwrap().result.unwrap();
    let under_way = control.progress().under_way;
    assert!(under_way > 3, "{under_way}");
    control.stop();
    let rest = all(warming).await;
    assert_eq!(rest.len() as u64, under_way);
    assert_eq!(failures(&rest), []);
    let progress = control.progress();
    assert_eq!((progress.under_way, progress.settled()), (0, under_way + 1));
    assert_eq!(
        (progress.resume_at, managed.mints()),
        (under_way + 1, under_way + 1)
    );

    // Dropped, what has been sent is finished and kept as well.
    let mut warming = warm(&managed, 1..=100, 1.0);
    let ahead = under_way + 2;
    for _ in 0..ahead {
        warming.next().await.unwrap().result.unwrap();
    }
    drop(warming);
    tokio::time::sleep(MINUTE).await;
    let kept = managed.tokens.metrics().entries as u64;
    assert_eq!(managed.mints(), kept);
    assert!((ahead + 1..=ahead + 8).contains(&kept), "{kept}");
}

#[tokio::test(start_paused = true)]
async fn a_shut_down_cache_ends_it() {
    let managed = store(100);
    let mut warming = warm(&managed, 1..=100, 0.5);
    for _ in 0..5 {
        warming.next().await.unwrap().result.unwrap();
    }
    managed.tokens.shutdown().await;
    let outcomes = all(warming).await;
    assert!(outcomes.len() < 10, "{}", outcomes.len());
    assert!(
        failures(&outcomes)
            .iter()
            .all(|(_, kind)| *kind == ErrorKind::ShutDown)
    );
    assert!(!failures(&outcomes).is_empty());
}

#[tokio::test(start_paused = true)]
async fn progress_tells_rate_and_time_left() {
    let managed = store(600);
    let mut warming = warm(&managed, 1..=600, 0.5);
    let control = warming.control();
    assert_eq!(
        (control.progress().total, control.progress().time_left),
        (Some(600), None)
    );
    for _ in 0..300 {
        warming.next().await.unwrap().result.unwrap();
    }
    let progress = control.progress();
    assert!(
        (70.0..80.0).contains(&progress.rate_per_minute),
        "{progress:?}"
    );
    let left = progress.time_left.unwrap().as_secs();
    assert!((230..250).contains(&left), "{left}");
    assert_eq!((progress.settled(), progress.failed), (300, 0));
    assert!((290..=300).contains(&progress.resume_at));
    assert!(format!("{warming:?} {control:?}").contains("fetched: 300"));
    // The rate is that of the last minute.
    tokio::time::sleep(2 * MINUTE).await;
    let progress = control.progress();
    assert_eq!((progress.rate_per_minute, progress.time_left), (0.0, None));
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_endless_and_take_its_time() {
    let managed = Managed::new(Wanted {
        capacity: Some(Capacity::entries(10)),
        ..Wanted::default()
    });
    managed.tokens.get(customer(1)).await.unwrap();
    // Says of itself how many there are, which nobody has to: the total is not known.
    let endless = stream::unfold(0_u64, |count| async move {
        if count.is_multiple_of(50_000) {
            tokio::time::sleep(SECOND).await;
        }
        Some((TokenRequest::new(customer(1)), count + 1))
    });
    let mut warming = managed.tokens.warm(endless).start();
    for _ in 0..200_000 {
        let outcome = warming.next().await.unwrap();
        assert_eq!(outcome.result.unwrap(), Warmed::AlreadyThere);
    }
    let progress = warming.control().progress();
    assert_eq!((progress.total, progress.already_there), (None, 200_000));
    assert_eq!(progress.resume_at, 200_000);
    assert_eq!(managed.mints(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_runs_far_ahead_of_one_who_takes_long() {
    let managed = Managed::new(Wanted::default());
    managed.tokens.get(customer(1)).await.unwrap();
    managed.way.takes(20 * SECOND);
    let customers = stream::iter(std::iter::once(2).chain(std::iter::repeat_n(1, 50_000)));
    let mut warming = managed.tokens.warm(customers.map(customer)).start();
    let mut ahead = 0;
    while warming.next().await.unwrap().position != 0 {
        ahead += 1;
    }
    assert_eq!(ahead, 9_999);
    assert_eq!(all(warming).await.len(), 50_000 - 9_999);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_has_begun_is_not_paid_for_twice() {
    let managed = store(40);
    managed.way.takes(2 * SECOND);
    let get = |id| {
        let tokens = managed.tokens.clone();
        tokio::spawn(async move { tokens.get(customer(id)).await })
    };
    let others: Vec<_> = (1..=8).map(get).collect();
    tokio::time::sleep(SECOND / 10).await;
    let start = managed.clock.instant();
    let outcomes = all(warm(&managed, 1..=9, 0.5)).await;
    assert_eq!(
        (outcomes.len(), failures(&outcomes), managed.mints()),
        (9, vec![], 9)
    );
    // Alone, nine of them would take seven seconds.
    assert!(
        since(&managed, start) <= 5 * SECOND,
        "{:?}",
        since(&managed, start)
    );
    for other in others {
        other.await.unwrap().unwrap();
    }
}
