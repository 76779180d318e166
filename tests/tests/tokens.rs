//! Managed tokens, a scenario at a time: a state, steps, and how often the service is asked. In the *time* harness, where a day
//! takes no time.
//!
//! Half of everything that is drawn is drawn here, so that a token of a day is due in the background after 19 h 12 min, waited to
//! be renewed after 23 h 55 min, and not served after 23 h 59 min 30 s.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{collections::HashMap, process::ExitCode, time::Duration};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, ChannelId, CustomerAccessToken, ErrorKind, Invalidation, ManagedToken,
    TokenMetrics, TokenRequest,
};
use bigcommerce_b2b_auth_sandbox::{
    Assumptions, Fault, Moment, Operation, RateLimit, RepeatedMint, RetrySignal,
};
use futures_util::future::join_all;
use http::StatusCode;
use libtest_mimic::Trial;
use tests::managed::{Managed, Wanted, customer};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// After this a token is renewed in the background: 19 h 12 min, and a second.
const SOFT: u64 = 19 * HOUR + 12 * MINUTE + 1;
/// After this it is waited for.
const BLOCKING: u64 = 23 * HOUR + 55 * MINUTE + 1;
/// After this it is not served.
const HARD: u64 = 23 * HOUR + 59 * MINUTE + 31;

/// What happens in a scenario. Customers are numbers; what they hold is the last token that they were given.
#[derive(Debug, Clone)]
enum Step {
    /// An access gives a token that the customer did not hold before.
    New(u64),
    /// An access gives the token that the customer holds.
    Same(u64),
    /// An access fails.
    Fails(u64, ErrorKind),
    /// An access fails with what is remembered of an earlier one.
    Remembers(u64, ErrorKind),
    /// So many accesses at once give one and the same token.
    Together(u64, usize),
    /// So many accesses at once fail alike.
    TogetherFail(u64, usize, ErrorKind),
    /// So many accesses at once give up after so many milliseconds.
    GiveUp(u64, usize, u64),
    /// So many accesses at once are dropped after so many milliseconds.
    Drop(u64, usize, u64),
    /// An access for a channel, or with a customer access token, gives a token of its own.
    OnChannel(u64, i64),
    WithAccessToken(u64, &'static str),
    /// What is there without waiting: a token, or none.
    Cached(u64),
    NotCached(u64),
    /// The customer's token is refused by the data API, and taken out.
    Refuse(u64),
    /// The token before that is refused, which comes too late.
    RefuseLate(u64),
    /// A login gives a token with this life in seconds, which is put in.
    Put(u64, u64),
    PutFails(u64, u64, ErrorKind),
    /// Seconds, or milliseconds, pass.
    Pass(u64),
    PassMillis(u64),
    /// A request takes so many milliseconds from now on.
    Takes(u64),
    /// The next so many mints meet this.
    Meets(usize, Fault),
    /// Every request meets this, until it is over.
    Outage(Fault),
    Recovers,
    /// The next mint gives a token with this life, in seconds.
    Lasts(u64),
    /// The next mint gives the token that the customer holds.
    GivesAgain(u64),
    /// The wall clock is set.
    Jump(i64),
    /// The next request panics in the transport.
    Panics,
    /// Others spend so much of the store's budget.
    Spend(u64),
    /// What runs in the background comes to its end.
    Settle,
    Sweep(usize),
    Shutdown,
    /// So often was the service asked so far.
    Asked(u64),
    /// So often by the cache's own count.
    Counts(fn(&TokenMetrics) -> u64, u64),
}

use Step::*;

struct Scenario {
    name: &'static str,
    wanted: Wanted,
    steps: Vec<Step>,
    /// How often the service was asked in all.
    asked: u64,
}

fn scenario(name: &'static str, steps: impl Into<Vec<Step>>, asked: u64) -> Scenario {
    scenario_with(name, Wanted::default(), steps, asked)
}

fn scenario_with(
    name: &'static str,
    wanted: Wanted,
    steps: impl Into<Vec<Step>>,
    asked: u64,
) -> Scenario {
    Scenario {
        name,
        wanted,
        steps: steps.into(),
        asked,
    }
}

/// A scenario while it is played.
struct Play<'s> {
    name: &'s str,
    managed: Managed,
    held: HashMap<u64, Vec<ManagedToken>>,
}

impl Play<'_> {
    fn holds(&self, id: u64) -> &ManagedToken {
        self.held[&id].last().unwrap()
    }

    fn knows(&self, id: u64, token: &ManagedToken) -> bool {
        self.held
            .get(&id)
            .is_some_and(|held| held.iter().any(|held| is_same(held, token)))
    }

    fn take(&mut self, id: u64, token: ManagedToken) {
        assert_eq!(token.customer(), customer(id));
        assert!(token.remaining(self.managed.clock.true_time()) > Duration::ZERO);
        self.held.entry(id).or_default().push(token);
    }

    async fn get(&self, request: impl Into<TokenRequest>) -> Result<ManagedToken, ErrorKind> {
        let token = self.managed.tokens.get(request).await;
        token.map_err(|error| error.kind())
    }

    async fn together(&self, id: u64, callers: usize) -> Vec<Result<ManagedToken, ErrorKind>> {
        join_all((0..callers).map(|_| self.get(customer(id)))).await
    }

    async fn takes_new(&mut self, id: u64, request: TokenRequest, at: &str) {
        let token = self.get(request).await;
        let token = token.unwrap_or_else(|kind| panic!("{at}: {kind:?}"));
        assert!(!self.knows(id, &token), "{at}: an old one came");
        self.take(id, token);
    }

    async fn play(&mut self, step: Step, at: &str) {
        match step {
            New(id) => self.takes_new(id, customer(id).into(), at).await,
            OnChannel(id, channel) => {
                let channel = ChannelId::new(channel).unwrap();
                let request = TokenRequest::new(customer(id)).channel(channel);
                self.takes_new(id, request, at).await;
            }
            WithAccessToken(id, token) => {
                let access_token = CustomerAccessToken::new(token);
                let request = TokenRequest::new(customer(id)).customer_access_token(access_token);
                self.takes_new(id, request, at).await;
            }
            Same(id) => {
                let token = self.get(customer(id)).await;
                let token = token.unwrap_or_else(|kind| panic!("{at}: {kind:?}"));
                assert!(is_same(&token, self.holds(id)), "{at}: another one came");
            }
            Fails(id, kind) => {
                let error = self.managed.tokens.get(customer(id)).await.unwrap_err();
                assert_eq!((error.kind(), error.remembered_for()), (kind, None), "{at}");
            }
            Remembers(id, kind) => {
                let error = self.managed.tokens.get(customer(id)).await.unwrap_err();
                assert_eq!(error.kind(), kind, "{at}");
                assert!(error.remembered_for().is_some(), "{at}: {error}");
                assert!(error.retry_after().is_some(), "{at}: {error}");
            }
            Together(id, callers) => {
                let tokens = self.together(id, callers).await;
                for token in tokens {
                    let token = token.unwrap_or_else(|kind| panic!("{at}: {kind:?}"));
                    if !self.knows(id, &token) {
                        self.take(id, token.clone());
                    }
                    assert!(is_same(&token, self.holds(id)), "{at}: not all the same");
                }
            }
            TogetherFail(id, callers, kind) => {
                for outcome in self.together(id, callers).await {
                    assert_eq!(outcome.unwrap_err(), kind, "{at}");
                }
            }
            GiveUp(id, callers, millis) => {
                let request =
                    TokenRequest::new(customer(id)).wait_at_most(Duration::from_millis(millis));
                let callers = (0..callers).map(|_| self.get(request.clone()));
                for outcome in join_all(callers).await {
                    assert_eq!(outcome.unwrap_err(), ErrorKind::Timeout, "{at}");
                }
            }
            Drop(id, callers, millis) => {
                let callers = join_all((0..callers).map(|_| self.get(customer(id))));
                let limit = Duration::from_millis(millis);
                let outcome = tokio::time::timeout(limit, callers).await;
                assert!(outcome.is_err(), "{at}: nobody was left to be dropped");
            }
            Cached(id) => {
                let token = self.managed.tokens.get_cached(customer(id));
                let token = token.unwrap_or_else(|| panic!("{at}: nothing is there"));
                assert!(is_same(&token, self.holds(id)), "{at}");
            }
            NotCached(id) => assert!(
                self.managed.tokens.get_cached(customer(id)).is_none(),
                "{at}"
            ),
            Refuse(id) => {
                let outcome = self.managed.tokens.invalidate(self.holds(id));
                assert_eq!(outcome, Invalidation::Removed, "{at}");
            }
            RefuseLate(id) => {
                let held = &self.held[&id];
                let outcome = self.managed.tokens.invalidate(&held[held.len() - 2]);
                assert_eq!(outcome, Invalidation::Late, "{at}");
            }
            Put(id, life) => {
                let token = self.log_in(id, life).await;
                let token = self.managed.tokens.put(customer(id), &token).unwrap();
                self.take(id, token);
            }
            PutFails(id, life, kind) => {
                let token = self.log_in(id, life).await;
                let error = self.managed.tokens.put(customer(id), &token).unwrap_err();
                assert_eq!(error.kind(), kind, "{at}");
            }
            step => self.arrange(step, at).await,
        }
    }

    /// What the world does, and what is counted.
    async fn arrange(&mut self, step: Step, at: &str) {
        let managed = &self.managed;
        match step {
            Pass(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            PassMillis(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Takes(millis) => managed.way.takes(Duration::from_millis(millis)),
            Meets(times, fault) => managed
                .sandbox
                .fail_next_times(Operation::Mint, fault, times),
            Outage(fault) => managed.sandbox.begin_outage(fault),
            Recovers => managed.sandbox.end_outage(),
            Lasts(seconds) => managed.next_token_lasts(Duration::from_secs(seconds)),
            GivesAgain(id) => managed.next_token_is(self.holds(id).expose_secret()),
            Jump(seconds) => managed.clock.jump(seconds),
            Panics => managed.way.panics_next(1),
            Spend(requests) => managed.sandbox.spend(tests::managed::STORE_HASH, requests),
            Settle => managed.settle().await,
            Sweep(expected) => assert_eq!(managed.tokens.sweep(), expected, "{at}"),
            Shutdown => managed.tokens.shutdown().await,
            Asked(times) => assert_eq!(managed.mints(), times, "{at}"),
            Counts(which, expected) => {
                let metrics = managed.tokens.metrics();
                assert_eq!(which(&metrics), expected, "{at}: {metrics:?}");
            }
            step => panic!("{}: {step:?} is played elsewhere", self.name),
        }
    }

    async fn log_in(&self, id: u64, life: u64) -> bigcommerce_b2b_auth::StorefrontToken {
        let token = self.managed.token_that_lasts(id, Duration::from_secs(life));
        self.managed.sandbox.respond_next(
            Operation::Login,
            bigcommerce_b2b_auth_sandbox::CannedReply::json(
                StatusCode::OK,
                &serde_json::json!({"code": 200, "data": {"token": token}, "meta": {"message": "SUCCESS"}}),
            ),
        );
        let login = self.managed.client.log_in_storefront_user();
        let login = login
            .email(format!("customer-{id}@example.com"))
            .password("a password")
            .name("test")
            .channel(ChannelId::DEFAULT);
        login.send().await.unwrap().into_value()
    }
}

fn is_same(one: &ManagedToken, other: &ManagedToken) -> bool {
    one.expose_secret() == other.expose_secret()
}

const DOWN: Fault = Fault::ServerError {
    status: StatusCode::SERVICE_UNAVAILABLE,
    moment: Moment::BeforeEffect,
};

const BROKEN: Fault = Fault::ServerError {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    moment: Moment::BeforeEffect,
};

fn refused(status: StatusCode) -> Fault {
    Fault::EmptyError {
        status,
        moment: Moment::BeforeEffect,
    }
}

fn with(change: impl FnOnce(&mut Wanted)) -> Wanted {
    let mut wanted = Wanted::default();
    change(&mut wanted);
    wanted
}

/// A budget of so many a minute, by a service that says so.
fn limited(requests: u64) -> Wanted {
    with(|wanted| {
        wanted.rate_limit = Some(RateLimit::fixed(requests, Duration::from_secs(MINUTE)));
        wanted.budget_limit = Some(BudgetLimit::default());
        wanted.retries = true;
        wanted.assumptions =
            Some(Assumptions::default().throttle_signals(vec![RetrySignal::RetryAfterSeconds]));
    })
}

fn access() -> Vec<Scenario> {
    vec![
        scenario("the first access mints", [New(1)], 1),
        scenario(
            "the second is a hit",
            [New(1), Same(1), Counts(|m| m.hits, 1)],
            1,
        ),
        scenario(
            "each customer has a token",
            [New(1), New(2), Same(1), Same(2)],
            2,
        ),
        scenario(
            "each channel has a token",
            [OnChannel(1, 1), OnChannel(1, 2), Asked(2)],
            2,
        ),
        scenario(
            "no channel is not channel 1, although the service may take it for that",
            [New(1), Pass(1), OnChannel(1, 1)],
            2,
        ),
        scenario(
            "each customer access token has a token",
            [
                New(1),
                Pass(1),
                WithAccessToken(1, "one"),
                Pass(1),
                WithAccessToken(1, "two"),
                Asked(3),
            ],
            3,
        ),
        scenario(
            "a hit does not wait",
            [New(1), Takes(60_000), Same(1), Cached(1)],
            1,
        ),
        scenario(
            "what is not there is not minted by a look",
            [NotCached(1)],
            0,
        ),
        scenario(
            "ten thousand callers of one cold key",
            [Together(1, 10_000), Counts(|m| m.joined, 9_999)],
            1,
        ),
        scenario(
            "a hundred callers each of three customers",
            [Together(1, 100), Together(2, 100), Together(3, 100)],
            3,
        ),
        scenario(
            "a caller who comes late joins",
            [Takes(1_000), Drop(1, 1, 400), Together(1, 3), Asked(1)],
            1,
        ),
    ]
}

fn patience() -> Vec<Scenario> {
    vec![
        scenario(
            "forty callers who each give up early: what was sent is finished, later callers are served",
            [Takes(200), GiveUp(1, 40, 120), Together(1, 36)],
            1,
        ),
        scenario(
            "all are dropped, and what was sent is kept",
            [
                Takes(200),
                Drop(1, 40, 120),
                PassMillis(100),
                NotCached(2),
                Together(1, 1),
                Counts(|m| m.hits, 1),
            ],
            1,
        ),
        scenario(
            "one gives up, the others are served",
            [Takes(1_000), GiveUp(1, 1, 100), Together(1, 5)],
            1,
        ),
        scenario_with(
            "all are dropped while the budget lets nobody through: nothing is sent",
            with(|wanted| {
                wanted.budget_limit = Some(BudgetLimit::at_most(1, Duration::from_secs(MINUTE), 1))
            }),
            [
                New(1),
                Drop(2, 10, 1_000),
                Pass(120),
                Asked(1),
                NotCached(2),
            ],
            1,
        ),
        scenario_with(
            "some are dropped while the budget lets nobody through: the rest is served",
            with(|wanted| {
                wanted.budget_limit = Some(BudgetLimit::at_most(1, Duration::from_secs(MINUTE), 1))
            }),
            [New(1), Drop(2, 10, 1_000), Together(2, 3), Asked(2)],
            2,
        ),
        scenario_with(
            "a fetch ends when its own time is over, and says so to all",
            with(|wanted| wanted.fetch_deadline = Some(Duration::from_secs(2))),
            [
                Takes(10_000),
                TogetherFail(1, 5, ErrorKind::Timeout),
                Remembers(1, ErrorKind::Timeout),
            ],
            0,
        ),
        scenario(
            "a caller without patience gets what is there",
            [New(1), Takes(5_000), Pass(1), Cached(1), Same(1)],
            1,
        ),
    ]
}

fn renewal() -> Vec<Scenario> {
    vec![
        scenario(
            "not before its time",
            [New(1), Pass(SOFT - 3), Same(1), Settle, Same(1)],
            1,
        ),
        scenario(
            "in the background after 70 to 90 %",
            [
                New(1),
                Pass(SOFT),
                Same(1),
                Settle,
                New(1),
                Counts(|m| m.fetches_soft, 1),
            ],
            2,
        ),
        scenario(
            "once, however many use it",
            [New(1), Pass(SOFT), Together(1, 1_000), Settle, New(1)],
            2,
        ),
        scenario(
            "a look renews as well",
            [New(1), Pass(SOFT), Cached(1), Settle, New(1)],
            2,
        ),
        scenario(
            "idle customers are not renewed",
            [New(1), Pass(SOFT), Pass(4 * HOUR), Asked(1)],
            1,
        ),
        scenario(
            "the old one is served while a slow renewal is under way",
            [
                New(1),
                Pass(SOFT),
                Takes(20_000),
                Same(1),
                Pass(5),
                Same(1),
                Asked(1),
                Pass(10),
                Same(1),
                Asked(2),
                Pass(6),
                New(1),
            ],
            2,
        ),
        scenario(
            "close to its end it is waited for",
            [
                New(1),
                Pass(BLOCKING),
                New(1),
                Counts(|m| m.fetches_blocking, 1),
            ],
            2,
        ),
        scenario(
            "by all who come, at the price of one",
            [New(1), Pass(BLOCKING), Together(1, 100)],
            2,
        ),
        scenario(
            "a renewal that takes too long is served around, and lands later",
            [
                New(1),
                Pass(BLOCKING),
                Takes(20_000),
                Same(1),
                Same(1),
                Counts(|m| m.served_around, 1),
                Pass(20),
                New(1),
            ],
            2,
        ),
        scenario(
            "in its last half minute it is not served",
            [New(1), Pass(HARD), New(1), Counts(|m| m.misses, 2)],
            2,
        ),
        scenario(
            "in its last half minute it is not served by a look either",
            [New(1), Pass(HARD), NotCached(1)],
            1,
        ),
        scenario(
            "after a day it is gone",
            [New(1), Pass(25 * HOUR), New(1)],
            2,
        ),
        scenario_with(
            "with nothing in the background it is renewed at its end",
            with(|wanted| wanted.background_renewals = Some(0)),
            [
                New(1),
                Pass(SOFT),
                Same(1),
                Settle,
                Asked(1),
                Counts(|m| m.renewals_put_off, 1),
                Pass(BLOCKING - SOFT),
                New(1),
            ],
            2,
        ),
        scenario_with(
            "not more in the background than were allowed",
            with(|wanted| wanted.background_renewals = Some(2)),
            [
                New(1),
                New(2),
                New(3),
                New(4),
                Pass(SOFT),
                Takes(2_000),
                Same(1),
                Same(2),
                Same(3),
                Same(4),
                Pass(3),
                Asked(6),
                Counts(|m| m.renewals_put_off, 2),
                Pass(10),
                Same(3),
                Same(4),
                Pass(3),
                Asked(8),
            ],
            8,
        ),
        scenario_with(
            "not in the background while less than two fifths of the budget are left",
            limited(100),
            [
                New(1),
                Pass(SOFT),
                New(2),
                Spend(70),
                New(3),
                Same(1),
                Settle,
                Asked(3),
                Counts(|m| m.renewals_put_off, 1),
                Pass(MINUTE),
                New(4),
                Same(1),
                Pass(30),
                New(1),
            ],
            5,
        ),
        scenario(
            "a short life has short margins",
            [
                Lasts(100),
                New(1),
                Pass(79),
                Same(1),
                Pass(2),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
        scenario(
            "a short life is waited for in its last tenth",
            [Lasts(100), New(1), Pass(91), New(1)],
            2,
        ),
        scenario(
            "a short life is not served in its last twentieth",
            [
                Lasts(100),
                New(1),
                Pass(96),
                Outage(DOWN),
                Fails(1, ErrorKind::Server),
            ],
            2,
        ),
        scenario(
            "a token that claims a month is renewed like one of the documented day",
            [
                Lasts(30 * 24 * HOUR),
                New(1),
                Pass(SOFT - 10),
                Same(1),
                Settle,
                Same(1),
                Pass(9),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
    ]
}

fn failed_renewal() -> Vec<Scenario> {
    vec![
        scenario(
            "keeps the old one",
            [
                New(1),
                Pass(SOFT),
                Outage(DOWN),
                Same(1),
                Settle,
                Same(1),
                Same(1),
                Asked(2),
            ],
            2,
        ),
        scenario(
            "is tried again after ten minutes and a bit",
            [
                New(1),
                Pass(SOFT),
                Meets(1, DOWN),
                Same(1),
                Settle,
                Pass(9 * MINUTE),
                Same(1),
                Settle,
                Asked(2),
                Pass(3 * MINUTE),
                Same(1),
                Settle,
                New(1),
            ],
            3,
        ),
        scenario(
            "is tried more often as the end comes near, and the last minutes are served as well",
            [
                New(1),
                Pass(BLOCKING),
                Outage(DOWN),
                Same(1),
                Same(1),
                Asked(2),
                Pass(100),
                Same(1),
                Asked(2),
                Pass(60),
                Same(1),
                Asked(3),
                Pass(60),
                Same(1),
                Asked(3),
                Recovers,
                Pass(35),
                New(1),
            ],
            4,
        ),
        scenario(
            "does not outlive the token",
            [
                New(1),
                Pass(BLOCKING),
                Outage(DOWN),
                Same(1),
                Pass(HARD - BLOCKING),
                Fails(1, ErrorKind::Server),
            ],
            3,
        ),
        scenario(
            "by a refusal of the store keeps every token",
            [
                New(1),
                New(2),
                Pass(SOFT),
                Outage(refused(StatusCode::UNAUTHORIZED)),
                Same(1),
                Settle,
                Same(2),
                Settle,
                // The second customer who is refused makes it the store's.
                Asked(4),
                Remembers(3, ErrorKind::Unauthenticated),
                Same(1),
                Same(2),
            ],
            4,
        ),
        scenario(
            "by an unknown customer keeps the token until it ends",
            [
                New(1),
                Pass(SOFT),
                Outage(refused(StatusCode::NOT_FOUND)),
                Same(1),
                Settle,
                Same(1),
                Pass(HARD - SOFT),
                Fails(1, ErrorKind::NotFound),
            ],
            3,
        ),
        scenario(
            "by a panic keeps the token",
            [
                New(1),
                Pass(SOFT),
                Panics,
                Same(1),
                Settle,
                Same(1),
                Pass(15 * MINUTE),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
        scenario(
            "by a token that is expired keeps the token",
            [
                New(1),
                Pass(SOFT),
                Lasts(0),
                Same(1),
                Settle,
                Same(1),
                Pass(15 * MINUTE),
                Same(1),
                Settle,
                New(1),
            ],
            3,
        ),
    ]
}

fn failure() -> Vec<Scenario> {
    vec![
        scenario(
            "a hundred callers of a failing key: one mint",
            [Outage(DOWN), TogetherFail(1, 100, ErrorKind::Server)],
            1,
        ),
        scenario(
            "is remembered for seconds when the service fails",
            [
                Outage(DOWN),
                Fails(1, ErrorKind::Server),
                Remembers(1, ErrorKind::Server),
                Recovers,
                Pass(2),
                Remembers(1, ErrorKind::Server),
                Pass(2),
                New(1),
            ],
            2,
        ),
        scenario(
            "of one customer is not another's",
            [
                Meets(1, DOWN),
                Fails(1, ErrorKind::Server),
                New(2),
                Remembers(1, ErrorKind::Server),
            ],
            2,
        ),
        scenario(
            "an unknown customer is remembered for the better part of a minute",
            [
                Fails(99, ErrorKind::NotFound),
                Pass(40),
                Remembers(99, ErrorKind::NotFound),
                Pass(10),
                Fails(99, ErrorKind::NotFound),
            ],
            2,
        ),
        scenario(
            "a rejection is remembered as long",
            [
                Meets(1, refused(StatusCode::UNPROCESSABLE_ENTITY)),
                Fails(1, ErrorKind::Rejected),
                Pass(44),
                Remembers(1, ErrorKind::Rejected),
                Pass(2),
                New(1),
            ],
            2,
        ),
        scenario(
            "401 concerns a store that never worked, and one probes for all",
            [
                Outage(refused(StatusCode::UNAUTHORIZED)),
                Fails(1, ErrorKind::Unauthenticated),
                Remembers(2, ErrorKind::Unauthenticated),
                Remembers(3, ErrorKind::Unauthenticated),
                Asked(1),
                Pass(46),
                Fails(2, ErrorKind::Unauthenticated),
                Remembers(3, ErrorKind::Unauthenticated),
                Asked(2),
                Recovers,
                Pass(46),
                New(3),
                New(1),
            ],
            4,
        ),
        scenario(
            "403 concerns a store that never worked as well",
            [
                Outage(refused(StatusCode::FORBIDDEN)),
                Fails(1, ErrorKind::Forbidden),
                Remembers(2, ErrorKind::Forbidden),
            ],
            1,
        ),
        scenario(
            "401 concerns a store that has worked when a second customer meets it",
            [
                New(9),
                Outage(refused(StatusCode::UNAUTHORIZED)),
                Fails(1, ErrorKind::Unauthenticated),
                Remembers(1, ErrorKind::Unauthenticated),
                Fails(2, ErrorKind::Unauthenticated),
                Remembers(3, ErrorKind::Unauthenticated),
                Asked(3),
                Pass(46),
                Recovers,
                New(3),
                New(2),
                New(1),
            ],
            6,
        ),
        scenario(
            "403 of one customer concerns nobody else",
            [
                New(9),
                Meets(1, refused(StatusCode::FORBIDDEN)),
                Fails(1, ErrorKind::Forbidden),
                Remembers(1, ErrorKind::Forbidden),
                New(2),
                Pass(44),
                Remembers(1, ErrorKind::Forbidden),
                Pass(2),
                New(1),
            ],
            4,
        ),
        scenario(
            "a customer who fails again waits twice as long, and from the beginning after a success",
            [
                Fails(99, ErrorKind::NotFound),
                Pass(46),
                Fails(99, ErrorKind::NotFound),
                Pass(89),
                Remembers(99, ErrorKind::NotFound),
                Pass(2),
                Fails(99, ErrorKind::NotFound),
                Pass(179),
                Remembers(99, ErrorKind::NotFound),
                Put(99, 2 * HOUR),
                Pass(2 * HOUR),
                Fails(99, ErrorKind::NotFound),
                Pass(46),
                Fails(99, ErrorKind::NotFound),
            ],
            5,
        ),
        scenario(
            "a server error before anything worked may be a wrong store hash, and concerns the store",
            [
                Outage(BROKEN),
                Fails(1, ErrorKind::Server),
                Remembers(2, ErrorKind::Server),
                Recovers,
                Pass(44),
                Remembers(3, ErrorKind::Server),
                Pass(2),
                New(2),
            ],
            2,
        ),
        scenario(
            "a server error after something worked is that of one customer",
            [
                New(3),
                Meets(1, BROKEN),
                Fails(1, ErrorKind::Server),
                New(2),
                Remembers(1, ErrorKind::Server),
                Pass(4),
                New(1),
            ],
            4,
        ),
        scenario(
            "a probe that meets another failure leaves the others waiting for a moment",
            [
                Meets(1, refused(StatusCode::FORBIDDEN)),
                Fails(1, ErrorKind::Forbidden),
                Pass(46),
                Meets(1, DOWN),
                Fails(2, ErrorKind::Server),
                Remembers(3, ErrorKind::Server),
                Pass(4),
                New(3),
                Asked(3),
            ],
            3,
        ),
        scenario(
            "a time that the service names is waited",
            [
                Meets(
                    1,
                    Fault::Maintenance {
                        retry_after: Duration::from_secs(20),
                    },
                ),
                Fails(1, ErrorKind::Server),
                Pass(19),
                Remembers(1, ErrorKind::Server),
                Pass(2),
                New(1),
            ],
            2,
        ),
        scenario(
            "a panic is an error, for all who waited, and remembered",
            [
                Panics,
                TogetherFail(1, 10, ErrorKind::Panicked),
                Remembers(1, ErrorKind::Panicked),
                Pass(4),
                New(1),
            ],
            1,
        ),
        scenario(
            "a token that is expired on arrival is one",
            [
                Lasts(0),
                Fails(1, ErrorKind::UnexpectedReply),
                Remembers(1, ErrorKind::UnexpectedReply),
                Pass(4),
                New(1),
            ],
            2,
        ),
        scenario(
            "a token that is as good as expired is one",
            [
                Lasts(2),
                Fails(1, ErrorKind::UnexpectedReply),
                Pass(4),
                New(1),
            ],
            2,
        ),
        scenario_with(
            "is repeated by the client alone",
            with(|wanted| wanted.retries = true),
            [Meets(2, DOWN), Together(1, 50)],
            3,
        ),
        scenario_with(
            "a spent budget is waited for once for all",
            limited(2),
            [
                New(1),
                New(2),
                Together(3, 500),
                Counts(|m| m.budget_waits, 1),
            ],
            3,
        ),
    ]
}

fn refusal() -> Vec<Scenario> {
    vec![
        scenario(
            "takes the token out, and another one comes",
            [
                New(1),
                Pass(1),
                Refuse(1),
                NotCached(1),
                New(1),
                Same(1),
                Counts(|m| m.fetches_forced, 1),
            ],
            2,
        ),
        scenario(
            "a thousand at once mint once",
            [New(1), Pass(1), Refuse(1), Together(1, 1_000)],
            2,
        ),
        scenario(
            "that comes late takes out nothing",
            [New(1), Pass(1), Refuse(1), New(1), RefuseLate(1), Same(1)],
            2,
        ),
        scenario(
            "that comes twice counts once",
            [
                New(1),
                Pass(1),
                Refuse(1),
                New(1),
                RefuseLate(1),
                RefuseLate(1),
                Counts(|m| m.invalidated, 1),
                Counts(|m| m.invalidated_late, 2),
            ],
            2,
        ),
        scenario(
            "of the next one as well is not minted for within a minute",
            [
                New(1),
                Pass(1),
                Refuse(1),
                New(1),
                Pass(1),
                Refuse(1),
                Fails(1, ErrorKind::TokenRejected),
                TogetherFail(1, 100, ErrorKind::TokenRejected),
                Asked(2),
                Pass(30),
                Fails(1, ErrorKind::TokenRejected),
                Pass(30),
                New(1),
            ],
            3,
        ),
        scenario(
            "an outage: after five customers in a row one tries for all",
            [
                New(9),
                Outage(DOWN),
                Fails(1, ErrorKind::Server),
                Fails(2, ErrorKind::Server),
                Fails(3, ErrorKind::Server),
                Fails(4, ErrorKind::Server),
                Fails(5, ErrorKind::Server),
                Asked(6),
                Remembers(6, ErrorKind::Server),
                Remembers(7, ErrorKind::Server),
                // Whoever has a token notices nothing.
                Same(9),
                Asked(6),
                Pass(4),
                Fails(6, ErrorKind::Server),
                Remembers(7, ErrorKind::Server),
                Asked(7),
                Recovers,
                Pass(5),
                New(7),
                New(6),
                New(1),
            ],
            10,
        ),
        scenario(
            "one customer who fails again and again is no outage",
            [
                Outage(DOWN),
                Fails(1, ErrorKind::Server),
                Pass(5),
                Fails(1, ErrorKind::Server),
                Pass(5),
                Fails(1, ErrorKind::Server),
                Pass(5),
                Fails(1, ErrorKind::Server),
                Pass(5),
                Fails(1, ErrorKind::Server),
                Recovers,
                New(2),
            ],
            6,
        ),
        scenario(
            "and the service gives the same one again: it is not taken",
            [
                New(1),
                Pass(10),
                Refuse(1),
                GivesAgain(1),
                Fails(1, ErrorKind::TokenRejected),
                NotCached(1),
                Fails(1, ErrorKind::TokenRejected),
                Asked(2),
                Pass(61),
                New(1),
            ],
            3,
        ),
        scenario(
            "and the service signs the same one again, as it does within a second: the next second is waited for",
            [
                New(1),
                Refuse(1),
                GivesAgain(1),
                New(1),
                Asked(3),
                Refuse(1),
                Fails(1, ErrorKind::TokenRejected),
            ],
            3,
        ),
        scenario(
            "and gives the same one again after that: it is not taken",
            [
                New(1),
                Refuse(1),
                GivesAgain(1),
                GivesAgain(1),
                Fails(1, ErrorKind::TokenRejected),
                NotCached(1),
                Asked(3),
            ],
            3,
        ),
        scenario(
            "while it is renewed: what comes is taken",
            [
                New(1),
                Pass(SOFT),
                Takes(1_000),
                Same(1),
                Refuse(1),
                New(1),
                Asked(2),
            ],
            2,
        ),
        scenario(
            "a valid token is not touched by that of another customer",
            [New(1), New(2), Pass(1), Refuse(1), Same(2), New(1)],
            3,
        ),
        scenario(
            "and the service is down: there is nothing to fall back on",
            [
                New(1),
                Pass(1),
                Refuse(1),
                Outage(DOWN),
                Fails(1, ErrorKind::Server),
                NotCached(1),
            ],
            2,
        ),
        scenario(
            "of a token that was put in is minted for at once, also after another one",
            [
                New(1),
                Refuse(1),
                Pass(1),
                Put(1, 3 * HOUR),
                Refuse(1),
                New(1),
            ],
            2,
        ),
        scenario(
            "a token that was refused cannot be put back",
            [
                Put(1, 3 * HOUR),
                Refuse(1),
                PutFails(1, 3 * HOUR, ErrorKind::TokenRejected),
            ],
            0,
        ),
    ]
}

fn put() -> Vec<Scenario> {
    vec![
        scenario(
            "a login's token is served",
            [Put(1, 24 * HOUR), Same(1), Cached(1)],
            0,
        ),
        scenario(
            "it displaces the one that was there",
            [New(1), Pass(1), Put(1, 24 * HOUR), Same(1)],
            1,
        ),
        scenario(
            "two in one moment: the later one stays",
            [Put(1, 24 * HOUR), Put(1, 23 * HOUR), Same(1)],
            0,
        ),
        scenario(
            "it is renewed by minting",
            [Put(1, 24 * HOUR), Pass(SOFT), Same(1), Settle, New(1)],
            1,
        ),
        scenario(
            "an expired one is not taken",
            [PutFails(1, 1, ErrorKind::InvalidInput), NotCached(1)],
            0,
        ),
        scenario(
            "what is put while a mint is under way is not displaced by it",
            [
                Takes(1_000),
                Drop(1, 1, 600),
                Put(1, 24 * HOUR),
                PassMillis(1_000),
                Same(1),
                Asked(1),
            ],
            1,
        ),
        scenario(
            "what is put ends a failure that is remembered",
            [Fails(99, ErrorKind::NotFound), Put(99, 24 * HOUR), Same(99)],
            1,
        ),
    ]
}

fn clocks() -> Vec<Scenario> {
    vec![
        scenario(
            "life counts from when the request was begun",
            [
                Takes(20_000),
                Lasts(100),
                New(1),
                Takes(50),
                Pass(52),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
        scenario(
            "a wall clock that is set forward ends a token",
            [New(1), Pass(1), Jump(86_370), New(1)],
            2,
        ),
        scenario(
            "a wall clock that is set back does not keep a token beyond its time",
            [
                New(1),
                Pass(HOUR),
                Jump(-20 * 3_600),
                Same(1),
                Pass(HARD - HOUR),
                New(1),
            ],
            2,
        ),
        scenario(
            "a wall clock that was wrong all the time makes no difference",
            [
                Jump(-7_200),
                New(1),
                Pass(SOFT - 60),
                Same(1),
                Pass(61),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
        scenario(
            "a wall clock that is half a day ahead costs renewals: tokens are renewed after most of twelve hours",
            [
                Jump(43_200),
                New(1),
                Pass(9 * HOUR),
                Same(1),
                Pass(40 * MINUTE),
                Same(1),
                Settle,
                New(1),
            ],
            2,
        ),
        scenario(
            "a wall clock that is two days ahead leaves five minutes, once three responses agree on it",
            [
                Jump(2 * 86_400),
                Fails(1, ErrorKind::UnexpectedReply),
                Fails(2, ErrorKind::UnexpectedReply),
                New(3),
                Pass(230),
                Same(3),
                Asked(3),
                Pass(71),
                New(3),
            ],
            4,
        ),
        scenario(
            "a service whose clock is behind gives tokens that are not over",
            [Jump(3_600), New(1), Pass(18 * HOUR), Same(1), Asked(1)],
            1,
        ),
    ]
}

fn bounds() -> Vec<Scenario> {
    vec![
        scenario_with(
            "a full cache gives up what is used least, and counts it",
            with(|wanted| {
                wanted.customers = Some(50);
                wanted.capacity = Some(Capacity::entries(5));
            }),
            (1..=50)
                .map(New)
                .chain([
                    Counts(|m| m.evicted_live, 45),
                    Counts(|m| m.entries as u64, 5),
                ])
                .collect::<Vec<_>>(),
            50,
        ),
        scenario_with(
            "by bytes as well",
            with(|wanted| {
                wanted.customers = Some(50);
                wanted.capacity = Some(Capacity::bytes(5_000));
            }),
            (1..=50)
                .map(New)
                .chain([
                    Counts(|m| u64::from((5..20).contains(&m.entries)), 1),
                    Counts(|m| m.evicted_live + m.entries as u64, 50),
                ])
                .collect::<Vec<_>>(),
            50,
        ),
        scenario_with(
            "one that does not fit is handed out all the same",
            with(|wanted| wanted.capacity = Some(Capacity::bytes(10))),
            [New(1), NotCached(1), Counts(|m| m.evicted_live, 1)],
            1,
        ),
        scenario(
            "what is over is swept out",
            [
                New(1),
                New(2),
                Pass(HOUR),
                New(3),
                Pass(HARD - HOUR),
                Sweep(2),
                Cached(3),
                Counts(|m| m.entries as u64, 1),
            ],
            3,
        ),
        scenario(
            "what is over is swept out by itself",
            [
                New(1),
                New(2),
                Pass(25 * HOUR),
                New(3),
                Settle,
                Counts(|m| m.swept, 2),
                Counts(|m| m.entries as u64, 1),
            ],
            3,
        ),
    ]
}

fn shutdown() -> Vec<Scenario> {
    vec![
        scenario(
            "serves what is there and fetches nothing",
            [New(1), Shutdown, Same(1), Fails(2, ErrorKind::ShutDown)],
            1,
        ),
        scenario(
            "serves a token to its end without renewing it",
            [
                New(1),
                Shutdown,
                Pass(SOFT),
                Same(1),
                Settle,
                Pass(BLOCKING - SOFT),
                Same(1),
                Asked(1),
                Pass(HARD - BLOCKING),
                Fails(1, ErrorKind::ShutDown),
            ],
            1,
        ),
        scenario(
            "finishes what was sent",
            [
                Takes(1_000),
                Drop(1, 1, 600),
                Shutdown,
                Asked(1),
                Together(1, 1),
                Counts(|m| m.hits, 1),
            ],
            1,
        ),
        scenario_with(
            "gives up what was not",
            with(|wanted| {
                wanted.budget_limit = Some(BudgetLimit::at_most(1, Duration::from_secs(MINUTE), 1))
            }),
            [
                New(1),
                Pass(SOFT),
                New(2),
                Same(1),
                Shutdown,
                Asked(2),
                Counts(|m| m.fetches_under_way as u64, 0),
            ],
            2,
        ),
        scenario(
            "twice is no harm",
            [Shutdown, Shutdown, Fails(1, ErrorKind::ShutDown)],
            0,
        ),
    ]
}

fn repeated_mints() -> Vec<Scenario> {
    vec![scenario_with(
        "a service that gives the same token until it is over is asked ever later, not ever more often",
        with(|wanted| {
            wanted.assumptions = Some(Assumptions::default().repeated_mint(RepeatedMint::Same));
        }),
        [
            New(1),
            Pass(SOFT),
            Same(1),
            Settle,
            Same(1),
            Same(1),
            Pass(HOUR),
            Same(1),
            Settle,
            Asked(2),
            Pass(3 * HOUR),
            Same(1),
            Settle,
            Asked(3),
        ],
        3,
    )]
}

/// One test for each scenario, so that one can be run by its name.
fn main() -> ExitCode {
    let groups = [
        ("access", access()),
        ("patience", patience()),
        ("renewal", renewal()),
        ("a failed renewal", failed_renewal()),
        ("a failure", failure()),
        ("a refusal", refusal()),
        ("put", put()),
        ("clocks", clocks()),
        ("bounds", bounds()),
        ("shutdown", shutdown()),
        ("repeated mints", repeated_mints()),
    ];
    let mut tests = Vec::new();
    for (group, scenarios) in groups {
        for scenario in scenarios {
            let name = format!("{group}: {}", scenario.name);
            tests.push(Trial::test(name.clone(), move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .start_paused(true)
                    .build()?;
                runtime.block_on(play(name, scenario));
                Ok(())
            }));
        }
    }
    assert!(tests.len() >= 60, "{}", tests.len());
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, tests).exit_code()
}

async fn play(name: String, scenario: Scenario) {
    let mut play = Play {
        name: scenario.name,
        managed: Managed::new(scenario.wanted),
        held: HashMap::new(),
    };
    for (number, step) in scenario.steps.into_iter().enumerate() {
        let at = format!("{name}, step {}, {step:?}", number + 1);
        play.play(step, &at).await;
    }
    assert_eq!(play.managed.mints(), scenario.asked, "{name}: asked in all");
}
