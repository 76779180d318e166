//! The world around a contender: the service (the sandbox, in-process), the way to it, which takes its time, the clock, and
//! what the simulator itself knows of each customer's token. The clock is tokio's, which is paused: it jumps from one event to
//! the next.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Body};
use bigcommerce_b2b_auth::{
    Clock, ClockReading, CustomerId, Jitter, Sleep, StoreAccess,
    client_builder::{SetClock, SetCredentials, SetJitter, SetTransport},
    transport::{Delivery, Operation as Called, Transport, TransportError, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{
    ConnectionFault, Customer, Fault, FaultPlan, Moment, Operation, RateLimit, Sandbox, Store,
};
use http::StatusCode;
use tower::ServiceExt as _;

use crate::{
    Error, Scenario,
    chance::{Purpose, fraction_of, seed_of, stream},
    figures::Book,
    scenario::{OutageKind, Window},
};

const STORE_HASH: &str = "simulated";
const ACCESS_TOKEN: &str = "simulated-access-token";

/// How long a storefront token lasts, from the second in which it was signed.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long before its end a token is not served any more, by the SDK and by everybody else here.
pub(crate) const MARGIN: Duration = Duration::from_secs(30);

/// The first midnight, as the clocks on the wall have it: 2027-01-15 00:00:00 UTC.
const FIRST_MIDNIGHT: Duration = Duration::from_secs(1_799_971_200);

/// What a world is like apart from its scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nature {
    /// Whether nothing ever fails or is refused.
    pub(crate) is_ideal: bool,
    /// Whether the contender renews tokens ahead of their end.
    pub(crate) renews: bool,
    /// Whether renewals come due at times that differ.
    pub(crate) is_spread: bool,
}

/// The clock of a simulation: tokio's, with a wall clock that goes along with it from the first midnight on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SimulatedClock {
    start: tokio::time::Instant,
}

impl SimulatedClock {
    fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.start.elapsed()
    }

    /// When it was this time on the wall.
    pub(crate) fn elapsed_at(self, wall: SystemTime) -> Duration {
        let first_midnight = SystemTime::UNIX_EPOCH + FIRST_MIDNIGHT;
        wall.duration_since(first_midnight).unwrap_or_default()
    }

    pub(crate) fn ms(self) -> u32 {
        u32::try_from(self.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    pub(crate) async fn sleep_until_ms(self, ms: u32) {
        tokio::time::sleep_until(self.start + Duration::from_millis(ms.into())).await;
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + FIRST_MIDNIGHT + self.elapsed()
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }

    // By default monotonic time counts from the first reading of the process, which is a real moment. Here it counts from the
    // first midnight, so that it is rounded to the same hundredths of a second in each run.
    fn reading(&self) -> ClockReading {
        let elapsed = self.elapsed();
        ClockReading {
            wall: FIRST_MIDNIGHT + elapsed,
            monotonic: elapsed,
        }
    }
}

/// The chance that the SDK gets. When a token is renewed belongs to the customer and to which of their tokens it is, so that
/// it is the same for each contender whatever else was drawn before; waits come from a stream.
///
/// The two are told apart by the task: a fetch is a task of its own, and its first draw after a token came is for the moment of
/// its renewal.
#[derive(Debug)]
struct Chance {
    seed: u64,
    is_spread: bool,
    waits: Mutex<fastrand::Rng>,
    landed: Mutex<HashMap<tokio::task::Id, f64>>,
}

impl Chance {
    fn new(seed: u64, is_spread: bool) -> Self {
        Self {
            seed,
            is_spread,
            waits: Mutex::new(stream(seed, Purpose::Waits, &[])),
            landed: Mutex::default(),
        }
    }

    /// A token came for this task.
    fn token_came(&self, customer: u32, number: u32) {
        let Some(task) = tokio::task::try_id() else {
            return;
        };
        let fraction = if self.is_spread {
            fraction_of(
                self.seed,
                Purpose::Renewals,
                &[customer.into(), number.into()],
            )
        } else {
            0.5
        };
        locked(&self.landed).insert(task, fraction);
    }
}

impl Jitter for Chance {
    fn fraction(&self) -> f64 {
        let landed = tokio::task::try_id().and_then(|task| locked(&self.landed).remove(&task));
        landed.unwrap_or_else(|| locked(&self.waits).f64())
    }
}

/// What the simulator itself knows of a customer's token.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// How many came.
    tokens: u32,
    /// When the last one expires, since the first midnight; zero if the process that runs now does not have it.
    expires_at: Duration,
}

/// What the simulator itself knows of all customers' tokens.
#[derive(Debug)]
pub(crate) struct Record(Mutex<Vec<Known>>);

impl Record {
    fn new(customers: u32) -> Self {
        // Customers are numbered from 1.
        let places = customers as usize + 1;
        Self(Mutex::new(vec![Known::default(); places]))
    }

    /// Whether this process has a token of this customer that can be served, by the service's clock.
    pub(crate) fn has_live_token(&self, customer: u32, now: Duration) -> bool {
        let known = locked(&self.0).get(customer as usize).copied();
        known.unwrap_or_default().expires_at.saturating_sub(now) > MARGIN
    }

    /// The process was replaced, and the tokens are lost with it.
    pub(crate) fn all_lost(&self) {
        for known in locked(&self.0).iter_mut() {
            known.expires_at = Duration::ZERO;
        }
    }

    /// The process was replaced by one that has what was written down at this moment. Of whoever got a token later, an older one
    /// may be back; nothing is expected of that.
    pub(crate) fn lost_since(&self, written_at: Duration) {
        for known in locked(&self.0).iter_mut() {
            if known.expires_at > written_at + TOKEN_LIFE {
                known.expires_at = Duration::ZERO;
            }
        }
    }

    /// A token came. Says which one of this customer's it is.
    fn token_came(&self, customer: u32, expires_at: Duration) -> u32 {
        match locked(&self.0).get_mut(customer as usize) {
            Some(known) => {
                known.expires_at = expires_at;
                known.tokens += 1;
                known.tokens
            }
            None => 0,
        }
    }
}

/// The way to the service: half of the time there, half of it back. It writes down what it carries.
#[derive(Debug)]
struct Way {
    service: Router,
    clock: SimulatedClock,
    chance: Arc<Chance>,
    record: Arc<Record>,
    book: Arc<Book>,
    seed: u64,
    latency_ms: (u32, u32),
    sent: AtomicU64,
    /// Whether whoever asks draws for when a token is renewed.
    renews: bool,
}

impl Way {
    fn half(&self) -> Duration {
        let (least, most) = self.latency_ms;
        let number = self.sent.fetch_add(1, Ordering::Relaxed);
        let fraction = fraction_of(self.seed, Purpose::Latency, &[number]);
        let latency = f64::from(least) + f64::from(most - least) * fraction;
        Duration::from_secs_f64(latency / 2_000.0)
    }

    async fn carry(
        &self,
        request: reqwest::Request,
    ) -> Result<(Duration, http::Response<Body>), TransportError> {
        let request = http::Request::<reqwest::Body>::try_from(request)?.map(Body::new);
        let half = self.half();
        tokio::time::sleep(half).await;
        let arrived_at = self.clock.elapsed();
        let Ok(response) = self.service.clone().oneshot(request).await;
        let fault = response.extensions().get::<Fault>();
        let reached = fault.is_none_or(Fault::reaches_service);
        self.book.mint(response.status(), reached);
        match response.extensions().get::<ConnectionFault>() {
            // The client's own time-out is what ends it.
            Some(ConnectionFault::Stall) => return std::future::pending().await,
            Some(fault) => {
                let delivery = match fault {
                    ConnectionFault::NotSent => Delivery::NotSent,
                    _ => Delivery::Unknown,
                };
                let fault = *fault;
                tokio::time::sleep(half).await;
                return Err(TransportError::new(delivery, fault));
            }
            None => {}
        }
        tokio::time::sleep(half).await;
        Ok((arrived_at, response))
    }

    /// Takes note of a token, when it came whole.
    fn note(&self, customer: Option<u32>, answered_at: Duration, response: &http::Response<Body>) {
        let Some(customer) = customer else { return };
        if response.status() != StatusCode::OK || response.extensions().get::<Fault>().is_some() {
            return;
        }
        // The service signs whole seconds.
        let expires_at = Duration::from_secs(answered_at.as_secs()) + TOKEN_LIFE;
        let number = self.record.token_came(customer, expires_at);
        self.book.token_came();
        if self.renews {
            self.chance.token_came(customer, number);
        }
    }
}

impl Transport for Way {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Called) -> TransportFuture<'a> {
        Box::pin(async move {
            let customer = customer_of(&request);
            let (arrived_at, response) = self.carry(request).await?;
            self.note(customer, arrived_at, &response);
            let (parts, body) = response.into_parts();
            // A whole body knows its length, as one behind a socket does.
            let body = axum::body::to_bytes(body, usize::MAX)
                .await
                .map_err(|error| TransportError::new(Delivery::Unknown, error))?;
            Ok(http::Response::from_parts(parts, body).into())
        })
    }
}

/// Whose token a mint asks for.
fn customer_of(request: &reqwest::Request) -> Option<u32> {
    let body = request.body()?.as_bytes()?;
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    u32::try_from(body.get("customerId")?.as_u64()?).ok()
}

/// All that is around a contender.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Arc<Scenario>,
    pub(crate) nature: Nature,
    pub(crate) clock: SimulatedClock,
    pub(crate) book: Arc<Book>,
    pub(crate) record: Arc<Record>,
    sandbox: Sandbox,
    chance: Arc<Chance>,
    way: Arc<Way>,
}

/// A client's builder with everything that is of this world.
pub(crate) type Begun = bigcommerce_b2b_auth::ClientBuilder<
    StoreAccess,
    SetJitter<SetClock<SetTransport<SetCredentials>>>,
>;

impl World {
    /// Begins at the first midnight, inside of a runtime whose clock is paused.
    pub(crate) fn new(scenario: &Arc<Scenario>, nature: Nature) -> Self {
        let clock = SimulatedClock::start();
        let store = (1..=scenario.customers)
            .map(|id| Customer::new(id.into(), format!("customer-{id}@example.com"), ""))
            .fold(
                Store::new(STORE_HASH).with_access_token(ACCESS_TOKEN),
                Store::customer,
            );
        let minute = Duration::from_secs(60);
        let requests = scenario.limit_per_minute.into();
        let limit = match scenario.window {
            _ if nature.is_ideal => RateLimit::unlimited(),
            Window::Fixed => RateLimit::fixed(requests, minute),
            Window::Sliding => RateLimit::sliding(requests, minute),
        };
        let sandbox = Sandbox::builder()
            .seed(seed_of(scenario.seed, Purpose::Sandbox))
            .clock(move || clock.now())
            .store(store)
            .rate_limit(limit)
            .record(0)
            .build();
        let book = Arc::new(Book::new(scenario, clock));
        let record = Arc::new(Record::new(scenario.customers));
        let chance = Arc::new(Chance::new(scenario.seed, nature.is_spread));
        let way = Arc::new(Way {
            service: sandbox.service(),
            clock,
            chance: Arc::clone(&chance),
            record: Arc::clone(&record),
            book: Arc::clone(&book),
            seed: scenario.seed,
            latency_ms: (scenario.mint_ms_least, scenario.mint_ms_most),
            sent: AtomicU64::new(0),
            renews: nature.renews,
        });
        Self {
            scenario: Arc::clone(scenario),
            nature,
            clock,
            book,
            record,
            sandbox,
            chance,
            way,
        }
    }

    /// Begins a client of this world's store.
    pub(crate) fn client(&self) -> Result<Begun, Error> {
        Ok(bigcommerce_b2b_auth::Client::builder()
            .credentials(StoreAccess::new(STORE_HASH, ACCESS_TOKEN)?)
            .transport(Arc::clone(&self.way) as Arc<dyn Transport>)
            .clock(Arc::new(self.clock) as Arc<dyn Clock>)
            .jitter(Arc::clone(&self.chance) as Arc<dyn Jitter>))
    }

    /// From now on the share of mints that the scenario says meet a fault.
    pub(crate) fn begin_faults(&self) {
        let html = |status| Fault::HtmlError {
            status,
            moment: Moment::BeforeEffect,
        };
        let mixture = [
            Fault::ServerError {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                moment: Moment::BeforeEffect,
            },
            html(StatusCode::BAD_GATEWAY),
            html(StatusCode::SERVICE_UNAVAILABLE),
            Fault::RefuseConnection,
            Fault::ResetBeforeReply {
                moment: Moment::BeforeEffect,
            },
            // The token was made, and nobody heard of it.
            Fault::ResetBeforeReply {
                moment: Moment::AfterEffect,
            },
            Fault::StallBeforeReply {
                moment: Moment::BeforeEffect,
            },
        ];
        // There are a few of them: no precision is lost.
        let kinds = u32::try_from(mixture.len()).unwrap_or(u32::MAX).max(1);
        let each = self.scenario.fault_share / f64::from(kinds);
        let seed = seed_of(self.scenario.seed, Purpose::Faults);
        let plan = mixture
            .into_iter()
            .fold(FaultPlan::new(seed), |plan, fault| {
                plan.rate(Operation::Mint, each, fault)
            });
        self.sandbox.set_faults(plan);
    }

    pub(crate) fn begin_outage(&self) {
        self.sandbox.begin_outage(match self.scenario.outage_kind {
            OutageKind::Unavailable => Fault::HtmlError {
                status: StatusCode::SERVICE_UNAVAILABLE,
                moment: Moment::BeforeEffect,
            },
            OutageKind::Refused => Fault::RefuseConnection,
            OutageKind::Stalled => Fault::StallBeforeReply {
                moment: Moment::BeforeEffect,
            },
        });
    }

    pub(crate) fn end_outage(&self) {
        self.sandbox.end_outage();
    }

    /// Another integration spends from the same purse.
    pub(crate) fn foreign_request(&self) {
        self.sandbox.spend(STORE_HASH, 1);
        self.book.foreign();
    }

    /// When others spend, in milliseconds since the first midnight.
    pub(crate) fn foreign_times(&self) -> Vec<u32> {
        let Scenario {
            foreign_per_minute,
            seed,
            ..
        } = *self.scenario;
        let end = f64::from(self.scenario.all_days() * crate::scenario::DAY_MS);
        let mut rng = stream(seed, Purpose::Foreign, &[]);
        let mut times = Vec::new();
        if foreign_per_minute > 0.0 && !self.nature.is_ideal {
            let mut at = 0.0;
            loop {
                at -= (1.0 - rng.f64()).ln() * 60_000.0 / foreign_per_minute;
                if at >= end {
                    break;
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is positive and below the end, which fits"
                )]
                times.push(at as u32);
            }
        }
        times
    }
}

/// A customer by number.
pub(crate) fn customer_id(number: u32) -> Result<CustomerId, Error> {
    Ok(CustomerId::new(number)?)
}

/// Nothing under these locks panics, and there is one thread.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
