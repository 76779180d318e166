//! The service behind the fault server: stores with a rate limit, the tokens that it issued, the log of its requests, and what
//! the log says of the SDK.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bigcommerce_b2b_auth::ErrorKind;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    canary,
    faults::{self, Effect, Fault, STOPS},
    invariants::{Findings, Invariant},
    server::{Act, Request, Response, Wire},
};

/// What the vendor grants a store.
const LIMIT: usize = 150;
const WINDOW: Duration = Duration::from_secs(60);

/// From this many requests in a window on, a caller may be told that the rate limit is used up.
const LIMIT_IN_USE: usize = 110;

/// The same by even spacing, at 135 requests a minute before the service has said that there are more. Four in five of them:
/// what the faults make fail is not a request.
const PACED: Duration = Duration::from_secs(10);
const PACED_REQUESTS: usize = 18;

/// The client honours the wait of a 429 up to this bound.
pub(crate) const LONGEST_429: Duration = Duration::from_secs(5);

/// How long a fetch may take, its waits and retries included.
pub(crate) const LONGEST_FETCH: Duration = Duration::from_secs(20);

/// What scheduling may add to any duration on a machine that is busy.
const SLACK: Duration = Duration::from_secs(2);

/// After a stop one request goes first, which may be lost or slow.
const PROBE: Duration = Duration::from_secs(5);

/// For how long a store that had not worked yet may be held up by one customer if others come: five seconds, and a probe.
const NEVER_WORKED: Duration = Duration::from_secs(10);

/// How long a token has to be valid for a caller with a job.
pub(crate) const JOB: Duration = Duration::from_secs(60);
/// A token that is granted for less may be too short for a job: the SDK does not serve the last 30 seconds.
const TOO_SHORT: u64 = 95;

/// The longest token that may be served.
const LONGEST_TOKEN: usize = 16 * 1024;

/// The process number of mints that no cache makes.
pub(crate) const DIRECT: u32 = 0;

/// A customer whom the service does not serve.
pub(crate) const FORBIDDEN: u64 = 666;
/// A customer whose tokens the data API rejects, every one.
pub(crate) const REJECTED: u64 = 667;

/// How a store misbehaves besides the faults that all have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// Nothing besides.
    Steady,
    /// Rate-limit headers that say that nothing is left.
    Lies,
    /// 429, short and long.
    Limits,
    /// Outages of some seconds.
    Outages,
    /// More demand than the rate limit grants.
    Busy,
    /// Server tokens.
    Legacy,
    /// One of thousands of stores that are used once.
    Tiny,
}

/// The stores that customers use.
pub(crate) const SHOPS: [StoreKind; 5] = [
    StoreKind::Steady,
    StoreKind::Lies,
    StoreKind::Limits,
    StoreKind::Outages,
    StoreKind::Busy,
];

/// The number of the store with server tokens.
pub(crate) const LEGACY: usize = SHOPS.len();
const TINY: usize = SHOPS.len() + 1;

/// The hash of a store.
pub(crate) fn store_hash(store: usize) -> String {
    if store == TINY {
        "tiny-".to_owned()
    } else {
        format!("soak{store}")
    }
}

/// Whose token: process, store, customer, and a hash of the customer access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Who {
    pub(crate) process: u32,
    pub(crate) store: usize,
    pub(crate) customer: u64,
    pub(crate) access_token: u64,
}

impl Who {
    fn is_same_key(&self, other: &Self) -> bool {
        (self.store, self.customer, self.access_token)
            == (other.store, other.customer, other.access_token)
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Answered,
    /// The client closed the connection before the response.
    Abandoned,
}

#[derive(Debug, Clone)]
struct Entry {
    number: u64,
    arrived: Instant,
    ended: Instant,
    end: End,
    fault: Option<Fault>,
    connection: u64,
}

impl Entry {
    fn is_5xx(&self) -> bool {
        matches!(
            self.fault,
            Some(Fault::BrokenConnection | Fault::Status500 | Fault::Status502 | Fault::Status503)
        )
    }
}

/// A mint that began while another process of the fleet had one in flight for the same key. Judged a little later, when it is
/// known whether the token backend had failed.
#[derive(Debug)]
struct Overlap {
    first: (Who, u64),
    second: Who,
    began: Instant,
    waited: Duration,
}

/// A token that was issued. The text is not kept.
#[derive(Debug)]
struct Token {
    store: usize,
    customer: u64,
    /// What was wrong with the response that carried it.
    fault: Option<Fault>,
    length: usize,
    /// When the request arrived that it was issued for.
    asked_at: Instant,
    /// When the load put it into a cache by itself.
    put_at: Option<Instant>,
    expires_at: Option<SystemTime>,
    is_rejected: bool,
    /// The processes that were told so, and when.
    told: Vec<(u32, Instant)>,
}

/// A token as it was granted.
#[derive(Debug)]
struct Granted {
    process: u32,
    /// In seconds.
    life: u64,
    at: Instant,
    /// What was wrong with the response.
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Store {
    kind: StoreKind,
    secret: u32,
    arrivals: VecDeque<Instant>,
    most: usize,
    /// Times in which a client may be told that the rate limit is used up.
    stops: Vec<(Instant, Instant)>,
    outages: Vec<(Instant, Instant)>,
    /// When the credentials were replaced, and when the SDK was told.
    rotations: Vec<(Instant, Option<Instant>)>,
    next_stop: Instant,
    next_throttle: Instant,
    throttles: usize,
    stop_number: usize,
    /// The latest lies about the rate limit.
    lies: VecDeque<(Fault, Instant)>,
}

#[derive(Debug)]
struct Process {
    fleet: usize,
    closed_at: Option<Instant>,
    backend_failed_at: Option<Instant>,
}

/// A request in flight.
#[derive(Debug)]
enum Open {
    Mint(Who),
    Data {
        process: u32,
        token: u64,
        rejects: bool,
    },
}

#[derive(Debug)]
struct ServerToken {
    name: String,
    exists: bool,
    is_uncertain: bool,
}

struct State {
    random: Rng,
    stores: Vec<Store>,
    tokens: HashMap<u64, Token>,
    log: HashMap<Who, VecDeque<Entry>>,
    good_mints: HashMap<Who, u64>,
    open: HashMap<u64, Open>,
    overlaps: Vec<Overlap>,
    processes: HashMap<u32, Process>,
    /// When `forget` was called and when it returned.
    forgets: HashMap<(u32, usize, u64), (Instant, Instant)>,
    held_since: HashMap<Who, Instant>,
    /// When a process was first and last told that somebody else has the lease.
    lease_waits: HashMap<Who, (Instant, Instant)>,
    data_faults: HashMap<(u32, usize, u64), Instant>,
    last_rejection: HashMap<(usize, u64), Instant>,
    /// When a customer was last granted a token that is too short for a job.
    granted_little: HashMap<(usize, u64), Instant>,
    /// The latest tokens of a customer.
    granted: HashMap<(usize, u64), VecDeque<Granted>>,
    /// When a process first had a token of a store that was not put into its cache.
    shown: HashMap<(u32, usize), Instant>,
    /// When a process first learnt that a store does not serve the forbidden customer.
    forbade: HashMap<(u32, usize), Instant>,
    /// When a process first asked for a token of another customer after that.
    tried: HashMap<(u32, usize), Instant>,
    server_tokens: Vec<ServerToken>,
    created: HashMap<String, u32>,
    faults: BTreeMap<Fault, u64>,
    requests: u64,
    data_requests: u64,
}

/// The service.
pub(crate) struct Service {
    pub(crate) findings: Arc<Findings>,
    pub(crate) began: Instant,
    /// Events that are planned come no further apart than this.
    longest_period: Duration,
    state: Mutex<State>,
}

/// A failure as a caller saw it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: ErrorKind,
    pub(crate) remembered_for: Option<Duration>,
    pub(crate) text: String,
}

impl Service {
    pub(crate) fn new(seed: u64, total: Duration, findings: Arc<Findings>) -> Self {
        let now = Instant::now();
        let longest_period = total / 3;
        let kinds = SHOPS
            .into_iter()
            .chain([StoreKind::Legacy, StoreKind::Tiny]);
        let period = |seconds| Duration::from_secs(seconds).min(longest_period);
        let stores = kinds.map(|kind| Store {
            kind,
            secret: 0,
            arrivals: VecDeque::new(),
            most: 0,
            stops: Vec::new(),
            outages: Vec::new(),
            rotations: Vec::new(),
            next_stop: now + period(15),
            next_throttle: now + period(8),
            throttles: 0,
            stop_number: 0,
            lies: VecDeque::new(),
        });
        Self {
            findings,
            began: now,
            longest_period,
            state: Mutex::new(State {
                random: Rng::with_seed(seed),
                stores: stores.collect(),
                tokens: HashMap::new(),
                log: HashMap::new(),
                good_mints: HashMap::new(),
                open: HashMap::new(),
                overlaps: Vec::new(),
                processes: HashMap::new(),
                forgets: HashMap::new(),
                held_since: HashMap::new(),
                lease_waits: HashMap::new(),
                data_faults: HashMap::new(),
                last_rejection: HashMap::new(),
                granted_little: HashMap::new(),
                granted: HashMap::new(),
                shown: HashMap::new(),
                forbade: HashMap::new(),
                tried: HashMap::new(),
                server_tokens: Vec::new(),
                created: HashMap::new(),
                faults: BTreeMap::new(),
                requests: 0,
                data_requests: 0,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A period of planned events, shorter in a short run.
    pub(crate) fn period(&self, seconds: u64) -> Duration {
        Duration::from_secs(seconds).min(self.longest_period)
    }

    /// Seconds since the run began, for examples.
    pub(crate) fn at(&self, moment: Instant) -> String {
        format!(
            "{:.1} s",
            moment.saturating_duration_since(self.began).as_secs_f64()
        )
    }

    /// Counts a fault that was injected.
    pub(crate) fn inject(&self, fault: Fault) {
        *self.lock().faults.entry(fault).or_default() += 1;
    }

    pub(crate) fn faults(&self) -> BTreeMap<Fault, u64> {
        self.lock().faults.clone()
    }

    /// Requests to the service, requests to the data API, and the most requests of a store in a window.
    pub(crate) fn totals(&self) -> (u64, u64, usize) {
        let state = self.lock();
        let most = state.stores.iter().map(|store| store.most).max();
        (
            state.requests,
            state.data_requests,
            most.unwrap_or_default(),
        )
    }

    // What the load tells.

    pub(crate) fn process_began(&self, process: u32, fleet: usize) {
        let new = Process {
            fleet,
            closed_at: None,
            backend_failed_at: None,
        };
        self.lock().processes.insert(process, new);
    }

    /// A process ends: it may refuse what it is asked from now on.
    pub(crate) fn process_ends(&self, process: u32) {
        let now = Instant::now();
        if let Some(process) = self.lock().processes.get_mut(&process) {
            process.closed_at.get_or_insert(now);
        }
    }

    /// What one process knew before `moment` of log-outs and rejections, its successor must know too.
    pub(crate) fn inherits(&self, old: u32, new: u32, moment: Instant) {
        let mut state = self.lock();
        let known: Vec<_> = state
            .forgets
            .iter()
            .filter(|((process, ..), (_, returned))| *process == old && *returned < moment)
            .map(|((_, store, customer), times)| ((new, *store, *customer), *times))
            .collect();
        state.forgets.extend(known);
        for token in state.tokens.values_mut() {
            let told = token.told.iter().find(|(process, _)| *process == old);
            if let Some((_, at)) = told.copied().filter(|(_, at)| *at < moment) {
                token.told.push((new, at));
            }
        }
    }

    pub(crate) fn backend_failed(&self, process: u32) {
        let now = Instant::now();
        if let Some(process) = self.lock().processes.get_mut(&process) {
            process.backend_failed_at = Some(now);
        }
    }

    /// The answer to a wish for a lease: whether somebody else has it.
    pub(crate) fn lease_answered(&self, who: Who, is_held: bool) {
        let mut state = self.lock();
        if is_held {
            let now = Instant::now();
            state.held_since.entry(who).or_insert(now);
            state.lease_waits.entry(who).or_insert((now, now)).1 = now;
        } else {
            state.held_since.remove(&who);
        }
    }

    pub(crate) fn forgot(&self, who: Who, called: Instant) {
        let key = (who.process, who.store, who.customer);
        self.lock().forgets.insert(key, (called, Instant::now()));
    }

    /// The load puts this token into a cache by itself.
    pub(crate) fn puts(&self, token: &str) {
        let now = Instant::now();
        if let Some(token) = self.lock().tokens.get_mut(&hash(token)) {
            token.put_at = Some(now);
        }
    }

    /// From now on the data API rejects this token.
    pub(crate) fn reject(&self, token: &str) {
        if let Some(token) = self.lock().tokens.get_mut(&hash(token)) {
            token.is_rejected = true;
        }
    }

    /// Replaces the credentials of a store; the new ones are returned.
    pub(crate) fn rotate(&self, store: usize) -> String {
        let mut state = self.lock();
        let Some(of_store) = state.stores.get_mut(store) else {
            return String::new();
        };
        of_store.secret += 1;
        of_store.rotations.push((Instant::now(), None));
        credentials(store, of_store.secret)
    }

    /// The SDK has the new credentials now.
    pub(crate) fn rotated(&self, store: usize) {
        let mut state = self.lock();
        if let Some(of_store) = state.stores.get_mut(store)
            && let Some((_, told)) = of_store.rotations.last_mut()
        {
            *told = Some(Instant::now());
        }
    }

    pub(crate) fn begin_outage(&self, store: usize, length: Duration) {
        let now = Instant::now();
        if let Some(store) = self.lock().stores.get_mut(store) {
            store.outages.push((now, now + length));
        }
    }

    /// How many requests a store made in the last minute.
    pub(crate) fn requests_in_a_minute(&self, store: usize) -> usize {
        let now = Instant::now();
        let mut state = self.lock();
        let store = state.stores.get_mut(store);
        store.map_or(0, |store| store.in_window(now))
    }

    /// How long a process was told that somebody else has the lease of a key.
    pub(crate) fn waited_for_lease(&self, who: &Who) -> Duration {
        let state = self.lock();
        let told = state.lease_waits.get(who);
        told.map_or(Duration::ZERO, |(first, last)| last.duration_since(*first))
    }

    /// The good mints of a key so far.
    pub(crate) fn good_mints(&self, who: &Who) -> u64 {
        self.lock().good_mints.get(who).copied().unwrap_or_default()
    }

    /// The number of a server token that exists, by its name.
    pub(crate) fn server_token(&self, name: &str) -> Option<u64> {
        let state = self.lock();
        let found = state
            .server_tokens
            .iter()
            .position(|token| token.name == name && token.exists);
        found.map(|index| index as u64 + 1)
    }

    pub(crate) fn server_token_exists(&self, id: u64) -> bool {
        let state = self.lock();
        usize::try_from(id)
            .ok()
            .and_then(|id| state.server_tokens.get(id.checked_sub(1)?))
            .is_some_and(|token| token.exists)
    }

    /// How many server tokens were created under a name.
    pub(crate) fn created(&self, name: &str) -> u32 {
        self.lock().created.get(name).copied().unwrap_or_default()
    }

    // What the server tells.

    /// Decides what becomes of a request.
    pub(crate) fn handle(&self, request: &Request, connection: u64) -> Act {
        let now = Instant::now();
        let mut state = self.lock();
        let service = (self, &mut *state);
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/io/auth/customers/storefront") => {
                mint(service, request, connection, now, false)
            }
            ("GET", "/api/io/auth/storefront") => mint(service, request, connection, now, true),
            ("POST", "/api/io/auth/backend") => create(service, request, now),
            ("DELETE", "/api/io/auth/backend") => delete(service, request, now),
            (_, path) if path.starts_with("/shop/") => data(service, request, now),
            _ => act(Wire::Whole(problem(404, "no such address"))),
        }
    }

    /// A response is about to be written, or the client closed before it.
    pub(crate) fn finished(&self, number: Option<u64>, is_answered: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        let Some((number, open)) = number.and_then(|it| Some((it, state.open.remove(&it)?))) else {
            return;
        };
        match open {
            Open::Mint(who) => {
                let entries = state.log.get_mut(&who).into_iter().flatten();
                let mut is_good = false;
                for entry in entries.filter(|entry| entry.number == number) {
                    entry.ended = now;
                    entry.end = if is_answered {
                        End::Answered
                    } else {
                        End::Abandoned
                    };
                    is_good = is_answered
                        && entry
                            .fault
                            .is_none_or(|fault| fault.effect() == Effect::Good);
                }
                if is_good {
                    *state.good_mints.entry(who).or_default() += 1;
                }
            }
            Open::Data {
                process,
                token,
                rejects,
            } => {
                if rejects
                    && is_answered
                    && let Some(token) = state.tokens.get_mut(&token)
                    && !token.told.iter().any(|(told, _)| *told == process)
                {
                    token.told.push((process, now));
                }
            }
        }
    }

    /// Judges the overlaps of mints whose time has come, and forgets what is of no use any more.
    pub(crate) fn tidy(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let state = &mut *state;
        let (due, rest) = std::mem::take(&mut state.overlaps)
            .into_iter()
            .partition(|overlap| now.duration_since(overlap.began) > Duration::from_secs(1));
        state.overlaps = rest;
        for overlap in due {
            state.judge(self, &overlap);
        }
        let ended_long_ago = |process: &Process| {
            process
                .closed_at
                .is_some_and(|at| now.duration_since(at) > Duration::from_secs(90))
        };
        state.log.retain(|who, _| {
            let process = state.processes.get(&who.process);
            process.is_none_or(|process| !ended_long_ago(process))
        });
        state
            .processes
            .retain(|_, process| !ended_long_ago(process));
    }

    /// Checks a token that a caller received, or that was shown to the data API.
    pub(crate) fn check_token(&self, who: Who, token: &str, started: Instant) {
        self.lock()
            .check_token(self, who, token, started, Instant::now());
    }

    /// How long the token is still valid. `None` for one without an expiry.
    pub(crate) fn remaining(&self, token: &str) -> Option<Duration> {
        let state = self.lock();
        let expires_at = state.tokens.get(&hash(token))?.expires_at?;
        Some(
            expires_at
                .duration_since(SystemTime::now())
                .unwrap_or_default(),
        )
    }

    /// Why an access failed. `Err` when nothing that was done to it explains that.
    pub(crate) fn explain(
        &self,
        who: Who,
        failure: &Failure,
        started: Instant,
        ended: Instant,
    ) -> Result<&'static str, String> {
        self.lock().explain(who, failure, started, ended)
    }
}

impl Store {
    fn in_window(&mut self, now: Instant) -> usize {
        while self
            .arrivals
            .front()
            .is_some_and(|at| now.duration_since(*at) >= WINDOW)
        {
            self.arrivals.pop_front();
        }
        self.arrivals.len()
    }

    /// Whether a client has to wait for a permit.
    fn is_in_use(&mut self, now: Instant) -> bool {
        self.in_window(now) >= LIMIT_IN_USE || self.since(now, PACED) >= PACED_REQUESTS
    }

    /// How many requests arrived in the time before `now`.
    fn since(&self, now: Instant, time: Duration) -> usize {
        let is_within = |at: &&Instant| **at <= now && now.duration_since(**at) < time;
        self.arrivals.iter().rev().filter(is_within).count()
    }
}

impl State {
    fn judge(&mut self, service: &Service, overlap: &Overlap) {
        let Overlap {
            first: (first, number),
            second,
            began,
            waited,
        } = overlap;
        let entries = self.log.get(first).into_iter().flatten();
        let was_abandoned = entries
            .filter(|entry| entry.number == *number)
            .any(|entry| entry.end == End::Abandoned);
        let backend_failed = [first, second].iter().any(|who| {
            let process = self.processes.get(&who.process);
            // After a failure a cache goes on alone for some seconds.
            process
                .and_then(|process| process.backend_failed_at)
                .is_some_and(|at| at + Duration::from_secs(8) > *began)
        });
        let has_ended = |who: &Who| {
            let process = self.processes.get(&who.process);
            process.is_none_or(|process| process.closed_at.is_some())
        };
        let forgot = [first, second].iter().any(|who| {
            let key = (who.process, who.store, who.customer);
            self.forgets
                .get(&key)
                .is_some_and(|(called, _)| *began < *called + Duration::from_secs(30))
        });
        // A waiter goes on alone after a bounded time.
        let has_waited = *waited >= Duration::from_secs(1);
        let (invariant, is_allowed) = if first.process == second.process {
            (Invariant::OneMintPerCache, was_abandoned || forgot)
        } else {
            let is_alone = backend_failed || has_ended(first) || has_waited;
            (
                Invariant::OneMintPerFleet,
                was_abandoned || forgot || is_alone,
            )
        };
        if !is_allowed {
            service.findings.violated(invariant, || {
                format!(
                    "processes {} and {} for customer {} of {} at {}",
                    first.process,
                    second.process,
                    first.customer,
                    store_hash(first.store),
                    service.at(*began)
                )
            });
        }
    }

    fn check_token(
        &mut self,
        service: &Service,
        who: Who,
        text: &str,
        started: Instant,
        now: Instant,
    ) {
        let findings = &service.findings;
        let wall = SystemTime::now();
        let example = |what: String| {
            format!(
                "process {}, customer {} of {} at {}: {what}",
                who.process,
                who.customer,
                store_hash(who.store),
                service.at(now)
            )
        };
        for invariant in [
            Invariant::OwnToken,
            Invariant::NotExpired,
            Invariant::NotRejected,
            Invariant::NotForgotten,
            Invariant::TokenLength,
        ] {
            findings.checked(invariant);
        }
        let Some(token) = self.tokens.get(&hash(text)) else {
            findings.violated(Invariant::OwnToken, || {
                example("a token that was never issued".to_owned())
            });
            return;
        };
        if (token.store, token.customer) != (who.store, who.customer) {
            findings.violated(Invariant::OwnToken, || {
                example(format!(
                    "the token of customer {} of {}, issued with: {}",
                    token.customer,
                    store_hash(token.store),
                    token.fault.map_or("no fault", Fault::text)
                ))
            });
        } else if token.put_at.is_none() {
            self.shown.entry((who.process, who.store)).or_insert(now);
        }
        if let Some(expires_at) = token.expires_at
            && let Ok(ago) = wall.duration_since(expires_at)
        {
            findings.violated(Invariant::NotExpired, || {
                example(format!("expired {:.1} s ago", ago.as_secs_f64()))
            });
        }
        if token.length > LONGEST_TOKEN {
            findings.violated(Invariant::TokenLength, || {
                example(format!("{} bytes", token.length))
            });
        }
        let told = token
            .told
            .iter()
            .find(|(process, _)| *process == who.process);
        if let Some((_, at)) = told
            && who.customer != REJECTED
            && started > *at + SLACK
        {
            findings.violated(Invariant::NotRejected, || {
                let others = self
                    .tokens
                    .values()
                    .filter(|other| (other.store, other.customer) == (who.store, who.customer));
                let told = others.flat_map(|other| &other.told);
                let told: Vec<_> = told
                    .filter(|(process, _)| *process == who.process)
                    .map(|(_, at)| service.at(*at))
                    .collect();
                let granted = self.granted.get(&(who.store, who.customer));
                let granted: Vec<_> = granted
                    .into_iter()
                    .flatten()
                    .map(|granted| format!("{} to {}", service.at(granted.at), granted.process))
                    .collect();
                example(format!(
                    "rejected at {}; all that were: {}; granted: {}",
                    service.at(*at),
                    told.join(", "),
                    granted.join(", ")
                ))
            });
        }
        if let Some((called, returned)) = self.forgets.get(&(who.process, who.store, who.customer))
            && started > *returned
            && token.asked_at < *called
            && token.put_at.is_none_or(|put_at| put_at < *called)
        {
            findings.violated(Invariant::NotForgotten, || {
                example(format!(
                    "asked for at {}, forgotten at {}",
                    service.at(token.asked_at),
                    service.at(*called)
                ))
            });
        }
    }

    fn explain(
        &mut self,
        who: Who,
        failure: &Failure,
        started: Instant,
        ended: Instant,
    ) -> Result<&'static str, String> {
        use ErrorKind as Kind;

        let kind = failure.kind;
        if who.customer == FORBIDDEN && kind == Kind::Forbidden {
            return Ok("the forbidden customer");
        }
        if who.customer == REJECTED && kind == Kind::TokenRejected {
            return Ok("the customer whose tokens are all rejected");
        }
        // One customer's failure counts against a store that never worked, until another customer has tried: after five seconds,
        // or later if nobody comes. That fetch may wait for a permit, as all would.
        let place = (who.process, who.store);
        if kind == Kind::Forbidden
            && let Some(forbade) = self.forbade.get(&place)
            && self
                .shown
                .get(&place)
                .is_none_or(|shown| *forbade < *shown && started <= *shown)
            && self
                .tried
                .get(&place)
                .is_none_or(|tried| ended <= (*tried + LONGEST_FETCH).max(*forbade + NEVER_WORKED))
        {
            return Ok("a store that had not worked yet in this process");
        }
        if kind == Kind::TokenTooShort
            && self
                .granted_little
                .get(&(who.store, who.customer))
                .is_some_and(|at| ended.duration_since(*at) < Duration::from_secs(90))
        {
            return Ok("the service grants less than the job takes");
        }
        let is_closed = self
            .processes
            .get(&who.process)
            .is_some_and(|process| process.closed_at.is_some());
        if is_closed
            && matches!(
                kind,
                Kind::ShutDown | Kind::RuntimeGone | Kind::Interrupted | Kind::Connect
            )
        {
            return Ok("the process was ended");
        }
        let overlaps = |from: Instant, until: Instant| from <= ended && started <= until;
        let Some(store) = self.stores.get_mut(who.store) else {
            return Err("no such store".to_owned());
        };
        if matches!(kind, Kind::Unauthenticated | Kind::TokenRejected)
            && store.rotations.iter().any(|(from, told)| {
                overlaps(
                    *from,
                    told.map_or(ended, |told| told + Duration::from_millis(500)),
                )
            })
        {
            return Ok("credentials were being replaced");
        }
        // The circuit breaker opens for up to four seconds, and a probe may fail once more.
        let is_outage = |kind| {
            matches!(
                kind,
                Kind::Server
                    | Kind::Interrupted
                    | Kind::Timeout
                    | Kind::Connect
                    | Kind::TokenRejected
            )
        };
        if is_outage(kind)
            && store
                .outages
                .iter()
                .any(|(from, until)| overlaps(*from, *until + Duration::from_secs(10)))
        {
            return Ok("an outage of the store");
        }
        let is_limit = matches!(
            kind,
            Kind::RateLimited | Kind::Timeout | Kind::TokenRejected
        );
        if is_limit
            && store
                .stops
                .iter()
                .any(|(from, until)| overlaps(*from, *until + PROBE))
        {
            return Ok("the service said that nothing is left");
        }
        let is_in_use = store.is_in_use(ended);
        if is_limit && is_in_use {
            return Ok("the rate limit is in use");
        }
        if self
            .data_faults
            .get(&(who.process, who.store, who.customer))
            .is_some_and(|at| overlaps(*at, *at + Duration::from_millis(500)))
        {
            return Ok("a fault of the data API");
        }
        // A log-out in one process of a fleet ends what the others fetch.
        let fleet = self.processes.get(&who.process).map(|it| it.fleet);
        let of_fleet = |process: &u32| {
            *process == who.process || self.processes.get(process).map(|it| it.fleet) == fleet
        };
        // Another process may have a fetch under way that began before, and whoever joins it meets its end.
        let lasts = |process: &u32| {
            if *process == who.process {
                SLACK
            } else {
                LONGEST_FETCH + SLACK
            }
        };
        if kind == Kind::Forgotten
            && self
                .forgets
                .iter()
                .filter(|((process, store, customer), _)| {
                    (*store, *customer) == (who.store, who.customer) && of_fleet(process)
                })
                .any(|((process, ..), (called, returned))| {
                    overlaps(*called, *returned + lasts(process))
                })
        {
            return Ok("the customer logged out meanwhile");
        }
        let met = match self.own_fault(who, failure, started, ended) {
            Ok(reason) => return Ok(reason),
            Err(met) => met,
        };
        // One fault, and no permit in time for the retry.
        if is_in_use && met.is_retryable && matches!(kind, Kind::Server | Kind::Interrupted) {
            return Ok("a fault of their own request, and the rate limit is in use");
        }
        Err(self.facts(who, ended, &met.text))
    }

    /// What is known of a refusal that nothing explains.
    fn facts(&mut self, who: Who, ended: Instant, met: &str) -> String {
        let mut facts = if met.is_empty() {
            "no fault".to_owned()
        } else {
            met.to_owned()
        };
        if let Some(store) = self.stores.get_mut(who.store) {
            facts.push_str(&format!(
                "; {} requests in 60 s, {} in {} s",
                store.in_window(ended),
                store.since(ended, PACED),
                PACED.as_secs()
            ));
        }
        for Granted {
            process,
            life,
            at,
            fault,
        } in self
            .granted
            .get(&(who.store, who.customer))
            .into_iter()
            .flatten()
        {
            facts.push_str(&format!(
                "; {life} s granted to process {process} {:.1} s ago with {}",
                ended.saturating_duration_since(*at).as_secs_f64(),
                fault.map_or("no fault", Fault::text)
            ));
        }
        facts
    }

    /// Whether faults of the customer's own requests explain a failure: one that no retry mends, or several.
    fn own_fault(
        &self,
        who: Who,
        failure: &Failure,
        started: Instant,
        ended: Instant,
    ) -> Result<&'static str, Met> {
        // The fetch may have begun before this caller joined it, and its failure may be remembered.
        let earlier = Duration::from_secs(20) + failure.remembered_for.unwrap_or_default();
        let from = started.checked_sub(earlier).unwrap_or(started);
        let mut connections = Vec::new();
        let mut met = Vec::new();
        let mut is_retryable = false;
        for entry in self.log.get(&who).into_iter().flatten().rev() {
            if entry.end == End::Open || entry.arrived > ended {
                continue;
            }
            if entry.ended < from {
                break;
            }
            let Some(fault) = entry.fault.filter(|fault| fault.effect() != Effect::Good) else {
                if entry.end == End::Abandoned {
                    met.push("abandoned".to_owned());
                    connections.push(entry.number);
                    continue;
                }
                if ended.saturating_duration_since(entry.ended) > Duration::from_millis(400) {
                    met.push("a good response".to_owned());
                    break;
                }
                continue;
            };
            met.push(fault.text().to_owned());
            if fault.effect() == Effect::Final {
                return Ok("a fault of their own request that no retry mends");
            }
            is_retryable = true;
            let marked = if fault == Fault::BrokenConnection {
                entry.connection
            } else {
                // Apart from all connections.
                u64::MAX - entry.number
            };
            if !connections.contains(&marked) {
                connections.push(marked);
            }
            if connections.len() > 1 {
                return Ok("several faults of their own requests in a row");
            }
        }
        Err(Met {
            is_retryable,
            text: met.join(", "),
        })
    }
}

/// The faults of a customer's own requests, which do not explain a failure by themselves.
#[derive(Debug)]
struct Met {
    is_retryable: bool,
    text: String,
}

type Parts<'s> = (&'s Service, &'s mut State);

/// A request of a store arrives: it counts against the limit, and is refused if that is used up.
fn admit((service, state): (&Service, &mut State), store: usize, now: Instant) -> Option<Act> {
    service.findings.checked(Invariant::RateLimit);
    state.requests += 1;
    let of_store = state.stores.get_mut(store)?;
    if of_store.kind == StoreKind::Tiny {
        return None;
    }
    of_store.arrivals.push_back(now);
    let count = of_store.in_window(now);
    of_store.most = of_store.most.max(count);
    if count <= LIMIT {
        return None;
    }
    service.findings.violated(Invariant::RateLimit, || {
        format!(
            "{count} requests of {} in 60 s at {}; {} of them in the last second, {} in the last 5 s; latest lies: {}",
            store_hash(store),
            service.at(now),
            of_store.since(now, Duration::from_secs(1)),
            of_store.since(now, Duration::from_secs(5)),
            of_store.lies.iter().map(|(fault, at)| format!("{} at {}", fault.text(), service.at(*at))).collect::<Vec<_>>().join(", "),
        )
    });
    let oldest = of_store.arrivals.front().copied().unwrap_or(now);
    let wait = WINDOW.saturating_sub(now.duration_since(oldest));
    of_store.stops.push((now, now + wait + SLACK));
    let mut response = problem(429, "Too Many Requests");
    let seconds = wait.as_secs() + 1;
    response.headers.push(("Retry-After", seconds.to_string()));
    Some(act(Wire::Whole(response)))
}

/// The headers of a response that tells the truth.
fn honest(store: &mut Store, now: Instant) -> Vec<(&'static str, String)> {
    let used = store.in_window(now);
    let oldest = store.arrivals.front().copied().unwrap_or(now);
    let resets_after = WINDOW.saturating_sub(now.duration_since(oldest));
    vec![
        ("X-Requests-Allocated", format!("{LIMIT} times/60 s")),
        ("X-Requests-Window-Length", "0 times".to_owned()),
        (
            "X-Requests-Remaining",
            format!("{} times", LIMIT.saturating_sub(used)),
        ),
        (
            "X-Request-Window-Resets-After",
            format!("{:?} s", resets_after.as_secs_f64()),
        ),
    ]
}

/// A mint, or an exchange of a session JWT.
fn mint(
    (service, state): Parts<'_>,
    request: &Request,
    connection: u64,
    now: Instant,
    is_exchange: bool,
) -> Act {
    let Some(store) = request.header("x-store-hash").and_then(store_number) else {
        return act(Wire::Whole(problem(500, "Internal Server Error")));
    };
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let customer = if is_exchange {
        customer_of_session(&request.query)
    } else {
        body.get("customerId").and_then(Value::as_u64)
    };
    let Some(customer) = customer else {
        return act(Wire::Whole(problem(422, "customer_id: not a number")));
    };
    let access_token = body
        .pointer("/customerAccessToken/value")
        .and_then(Value::as_str);
    let who = Who {
        process: process(request),
        store,
        customer,
        access_token: access_token.map_or(0, hash),
    };
    if let Some(access_token) = access_token
        && let Some((_, expiry)) = access_token.rsplit_once('_')
        && expiry.parse().is_ok_and(|expiry: u64| expiry <= unix_now())
    {
        service
            .findings
            .violated(Invariant::ExpiredAccessToken, || {
                format!("customer {customer} at {}", service.at(now))
            });
    }
    let refused = admit((service, state), store, now);
    state.overlaps_of(service, who, now);
    state.retry_of(service, who, connection, now);
    let number = state.requests;
    let mut entry = Entry {
        number,
        arrived: now,
        ended: now,
        end: End::Open,
        fault: None,
        connection,
    };
    let mut done = match refused {
        Some(refused) => {
            entry.fault = Some(Fault::Throttles);
            refused
        }
        None => {
            let fault = state.fault_of(request, who, connection, now, is_exchange);
            entry.fault = fault;
            if fault == Some(Fault::TokenWithCode429) {
                service.findings.checked(Invariant::NothingAfterAToken);
            }
            respond(state, who, fault, now)
        }
    };
    if let Some(fault) = entry.fault {
        *state.faults.entry(fault).or_default() += 1;
    }
    let entries = state.log.entry(who).or_default();
    if entries.len() >= 10 {
        entries.pop_front();
    }
    entries.push_back(entry);
    state.open.insert(number, Open::Mint(who));
    done.number = Some(number);
    done
}

impl State {
    /// Whether another mint of the same key is in flight.
    fn overlaps_of(&mut self, service: &Service, who: Who, now: Instant) {
        if who.process == DIRECT {
            return;
        }
        service.findings.checked(Invariant::OneMintPerCache);
        service.findings.checked(Invariant::OneMintPerFleet);
        let fleet = self.processes.get(&who.process).map(|it| it.fleet);
        let mut found = Vec::new();
        for (number, open) in &self.open {
            let Open::Mint(other) = open else { continue };
            let other_fleet = self.processes.get(&other.process).map(|it| it.fleet);
            if other.process != DIRECT && other.is_same_key(&who) && other_fleet == fleet {
                found.push((*other, *number));
            }
        }
        let waited = self
            .held_since
            .remove(&who)
            .map(|since| now.duration_since(since));
        for first in found {
            self.overlaps.push(Overlap {
                first,
                second: who,
                began: now,
                waited: waited.unwrap_or_default(),
            });
        }
    }

    /// What the request before this one says of it.
    fn retry_of(&self, service: &Service, who: Who, connection: u64, now: Instant) {
        if who.process == DIRECT {
            return;
        }
        let Some(before) = self.log.get(&who).and_then(VecDeque::back) else {
            return;
        };
        let example = |what: &str| {
            format!(
                "process {}, customer {} of {} at {}: {what}",
                who.process,
                who.customer,
                store_hash(who.store),
                service.at(now)
            )
        };
        // No failure is remembered for less than a second: this is a retry of the same call.
        let is_retry = before.end == End::Answered
            && now.duration_since(before.ended) < Duration::from_millis(900);
        if is_retry && before.is_5xx() {
            service.findings.checked(Invariant::OtherConnection);
            if before.connection == connection {
                service.findings.violated(Invariant::OtherConnection, || {
                    example(&format!("connection {connection} again"))
                });
            }
        }
        let forgets = self.forgets.get(&(who.process, who.store, who.customer));
        let was_forgotten = forgets.is_some_and(|(called, _)| *called > before.arrived);
        // Nor where the token in hand was rejected.
        let rejection = self.last_rejection.get(&(who.store, who.customer));
        let was_rejected = rejection.is_some_and(|at| *at > before.arrived);
        if is_retry
            && before.fault == Some(Fault::TokenWithCode429)
            && !was_forgotten
            && !was_rejected
        {
            service
                .findings
                .violated(Invariant::NothingAfterAToken, || example("sent again"));
        }
    }

    /// Chooses what is wrong with the response to a mint or an exchange.
    fn fault_of(
        &mut self,
        request: &Request,
        who: Who,
        connection: u64,
        now: Instant,
        is_exchange: bool,
    ) -> Option<Fault> {
        let store = self.stores.get_mut(who.store)?;
        let is_out = |(from, until): &(Instant, Instant)| *from <= now && now < *until;
        if store.outages.iter().any(is_out) {
            return Some(Fault::Outage);
        }
        let expected = credentials(who.store, store.secret);
        if !is_exchange
            && store.kind != StoreKind::Tiny
            && request.header("x-auth-token") != Some(&expected)
        {
            return Some(Fault::OldCredentials);
        }
        if who.customer == FORBIDDEN {
            self.forbade.entry((who.process, who.store)).or_insert(now);
            return Some(Fault::Forbids);
        }
        let place = (who.process, who.store);
        if self.forbade.contains_key(&place) {
            self.tried.entry(place).or_insert(now);
        }
        if connection % 9 == 5 {
            return Some(Fault::BrokenConnection);
        }
        if store.kind == StoreKind::Lies && store.next_stop <= now {
            let fault = STOPS.get(store.stop_number % STOPS.len()).copied();
            store.stop_number += 1;
            store.next_stop = now + Duration::from_secs(100);
            return fault;
        }
        if store.kind == StoreKind::Limits && store.next_throttle <= now {
            store.throttles += 1;
            store.next_throttle = now + Duration::from_secs(20);
            return Some(if store.throttles % 3 == 2 {
                Fault::ThrottlesForAnHour
            } else {
                Fault::Throttles
            });
        }
        // The rate limit is tried by claims that there is more than there is, and by little besides.
        let fault = faults::of_mint(&mut self.random);
        match store.kind {
            StoreKind::Busy => fault.filter(|fault| {
                matches!(
                    fault,
                    Fault::ClaimsMoreThanAMinute
                        | Fault::ClaimsAFullMinute
                        | Fault::ClaimsHugeNumbers
                        | Fault::ClaimsNonsense
                        | Fault::Slow
                )
            }),
            StoreKind::Tiny => None,
            _ => fault,
        }
    }

    /// A token for somebody, and how long it lasts.
    fn issue(&mut self, who: Who, fault: Option<Fault>, now: Instant) -> String {
        let random = &mut self.random;
        let (mut store, mut customer) = (who.store, who.customer);
        match fault {
            Some(Fault::TokenOfAnotherCustomer) => customer = customer % 400 + 1,
            Some(Fault::TokenOfAnotherStore) => store = (store + 1) % SHOPS.len(),
            _ => {}
        }
        let life = match (fault, random.u32(..100)) {
            // Their mints are counted: none may be due for another reason.
            _ if customer == REJECTED => 3_600,
            (Some(Fault::OldDate | Fault::OldDateWithAge), _) => random.u64(30..45),
            (_, ..4) => random.u64(25..40),
            (_, 4..15) => random.u64(60..120),
            _ => random.u64(300..900),
        };
        if life < TOO_SHORT {
            self.granted_little.insert((store, customer), now);
        }
        let granted = self.granted.entry((store, customer)).or_default();
        granted.push_back(Granted {
            process: who.process,
            life,
            at: now,
            fault,
        });
        if granted.len() > 5 {
            granted.pop_front();
        }
        let random = &mut self.random;
        let wall = unix_now();
        let exp: Option<i64> = match fault {
            Some(Fault::ExpiryOfZero) => Some(0),
            Some(Fault::NegativeExpiry) => Some(-3_600),
            Some(Fault::NoExpiryLeft) => Some(wall.saturating_sub(3_600).cast_signed()),
            Some(Fault::NoClaims | Fault::NotAJwt) => None,
            _ => Some((wall + life).cast_signed()),
        };
        let claims = match fault {
            Some(Fault::NoClaims) => json!({"email": "somebody@example.com"}),
            _ => json!({
                "email": format!("customer-{customer}@example.com"),
                "bc_customer_id": customer,
                "store_hash": store_hash(store),
                "db": "b2b",
                "bc_channel_id": 1,
                "exp": exp,
            }),
        };
        let signature = canary::secret(random);
        let padding = if fault == Some(Fault::HugeToken) {
            "x".repeat(900_000)
        } else {
            String::new()
        };
        let token = if fault == Some(Fault::NotAJwt) {
            format!("opaque-{signature}")
        } else {
            let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let head = encode(&json!({"alg": "HS256", "typ": "JWT"}));
            format!("{head}.{}.{signature}{padding}", encode(&claims))
        };
        let expires_at = exp.map(|exp| {
            let since = Duration::from_secs(u64::try_from(exp).unwrap_or_default());
            SystemTime::UNIX_EPOCH + since
        });
        self.tokens.insert(
            hash(&token),
            Token {
                store,
                customer,
                fault,
                length: token.len(),
                asked_at: now,
                put_at: None,
                expires_at,
                is_rejected: false,
                told: Vec::new(),
            },
        );
        token
    }
}

/// The response to a mint or an exchange.
fn respond(state: &mut State, who: Who, fault: Option<Fault>, now: Instant) -> Act {
    let delay = match fault {
        Some(Fault::Slow) => state.random.u64(700..2_000),
        _ => state.random.u64(10..60),
    };
    let (mut status, mut body) = (200, String::new());
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    let date = match fault {
        Some(Fault::OldDateWithAge) => {
            headers.push(("Age", "72000".to_owned()));
            SystemTime::now() - Duration::from_secs(72_000)
        }
        Some(Fault::OldDate) => SystemTime::now() - Duration::from_secs(72_000),
        Some(Fault::FutureDate) => SystemTime::now() + Duration::from_secs(3_600),
        _ => SystemTime::now(),
    };
    headers.push(("Date", httpdate::fmt_http_date(date)));
    let refuse = |status: u16, message: &str| (status, problem(status, message).body);
    match fault {
        Some(Fault::Throttles | Fault::ThrottlesForAnHour) => {
            let seconds = if fault == Some(Fault::Throttles) {
                1
            } else {
                3_600
            };
            headers.push(("Retry-After", seconds.to_string()));
            let wait = Duration::from_secs(seconds).min(LONGEST_429);
            if let Some(store) = state.stores.get_mut(who.store) {
                store.stops.push((now, now + wait + SLACK));
            }
            (status, body) = refuse(429, "Too Many Requests");
        }
        Some(Fault::Forbids) => (status, body) = refuse(403, "This user is inactive"),
        Some(Fault::OldCredentials) => (status, body) = refuse(401, "Invalid access token"),
        Some(Fault::Status500) => (status, body) = refuse(500, "Internal Server Error"),
        Some(Fault::Status503 | Fault::BrokenConnection | Fault::Outage) => {
            (status, body) = refuse(503, "Service Unavailable");
        }
        Some(Fault::Status502) => {
            status = 502;
            "<html><body><h1>502 Bad Gateway</h1></body></html>".clone_into(&mut body);
        }
        Some(Fault::CodeIn200) => body = problem(500, "Internal Server Error").body,
        Some(Fault::NotJson) => "all is well".clone_into(&mut body),
        Some(Fault::EmptyBody) => {}
        _ => {
            let token = state.issue(who, fault, now);
            let token = match fault {
                Some(Fault::TokenAsText) => json!(token),
                _ => json!([token]),
            };
            let code = match fault {
                Some(Fault::TokenWithCode429) => {
                    headers.push(("Retry-After", "0".to_owned()));
                    429
                }
                _ => 200,
            };
            let message = if code == 200 {
                "SUCCESS"
            } else {
                "Too Many Requests"
            };
            body = json!({"code": code, "data": {"token": token}, "meta": {"message": message}})
                .to_string();
        }
    }
    let lies = fault.and_then(|fault| faults::lying_headers(fault, &mut state.random));
    let store = state.stores.get_mut(who.store);
    match (lies, store) {
        (Some(lies), Some(store)) => {
            headers.extend(lies);
            if let Some(fault) = fault {
                store.lies.push_back((fault, now));
                if store.lies.len() > 4 {
                    store.lies.pop_front();
                }
            }
            if fault.is_some_and(Fault::stops) {
                store.stops.push((now, now + WINDOW + SLACK));
            }
        }
        (None, Some(store)) if store.kind != StoreKind::Tiny => headers.extend(honest(store, now)),
        _ => {}
    }
    let response = Response {
        status,
        headers,
        body,
    };
    let is_reset = fault == Some(Fault::Outage) && state.random.bool();
    let wire = match fault {
        Some(Fault::Stalls) => Wire::Nothing,
        Some(Fault::ResetBeforeResponse) => Wire::Reset,
        Some(Fault::Outage) if is_reset => Wire::Reset,
        Some(Fault::ResetInBody) => Wire::ResetInBody(response),
        Some(Fault::Truncated) => Wire::CutOff(response),
        Some(Fault::NotHttp) => Wire::NotHttp,
        _ => Wire::Whole(response),
    };
    Act {
        number: None,
        delay: Duration::from_millis(delay),
        wire,
    }
}

/// Creates a server token.
fn create((service, state): Parts<'_>, request: &Request, now: Instant) -> Act {
    if let Some(refused) = admit((service, state), LEGACY, now) {
        return refused;
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let drawn = state.random.u32(..100);
    let fault = match drawn {
        ..15 => Some(Fault::TokenWithCode429),
        15..30 => Some(Fault::CreationLost),
        30..38 => Some(Fault::Status503),
        38..44 => Some(Fault::Throttles),
        _ => None,
    };
    if let Some(fault) = fault {
        *state.faults.entry(fault).or_default() += 1;
    }
    match fault {
        Some(Fault::Status503) => return act(Wire::Whole(problem(503, "Service Unavailable"))),
        Some(Fault::Throttles) => {
            let mut response = problem(429, "Too Many Requests");
            response.headers.push(("Retry-After", "1".to_owned()));
            return act(Wire::Whole(response));
        }
        _ => {}
    }
    *state.created.entry(name.to_owned()).or_default() += 1;
    state.server_tokens.push(ServerToken {
        name: name.to_owned(),
        exists: true,
        is_uncertain: false,
    });
    let token = canary::secret(&mut state.random);
    let (code, message) = match fault {
        Some(Fault::TokenWithCode429) => (429, "Too Many Requests"),
        _ => (200, "SUCCESS"),
    };
    let body = json!({
        "code": code,
        "data": [{"name": name, "token": token}],
        "meta": {"message": message},
    });
    let mut headers = vec![("Content-Type", "application/json".to_owned())];
    if code == 429 {
        headers.push(("Retry-After", "0".to_owned()));
    }
    let response = Response {
        status: 200,
        headers,
        body: body.to_string(),
    };
    act(match (fault, drawn % 3) {
        (Some(Fault::CreationLost), 0) => Wire::Reset,
        (Some(Fault::CreationLost), 1) => Wire::CutOff(response),
        (Some(Fault::CreationLost), _) => Wire::Whole(problem(502, "Bad Gateway")),
        _ => Wire::Whole(response),
    })
}

/// Deletes a server token.
fn delete((service, state): Parts<'_>, request: &Request, now: Instant) -> Act {
    if let Some(refused) = admit((service, state), LEGACY, now) {
        return refused;
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let id = body.get("id").and_then(Value::as_u64).unwrap_or_default();
    let index = usize::try_from(id).unwrap_or_default();
    let (random, faults) = (&mut state.random, &mut state.faults);
    let token = index
        .checked_sub(1)
        .and_then(|index| state.server_tokens.get_mut(index));
    let mut inject = |fault| *faults.entry(fault).or_default() += 1;
    let Some(token) = token else {
        return act(Wire::Whole(problem(404, "No matching token was found.")));
    };
    if token.is_uncertain && random.u32(..10) < 6 {
        inject(Fault::ForeignNotFound);
        let (kind, body) = match random.u32(..4) {
            0 => ("text/plain", "default backend - 404".to_owned()),
            1 => ("text/plain", String::new()),
            2 => (
                "text/html",
                "<html><body><h1>404 Not Found</h1></body></html>".to_owned(),
            ),
            _ => (
                "application/json",
                json!({"message": "no Route matched with those values"}).to_string(),
            ),
        };
        return act(Wire::Whole(Response {
            status: 404,
            headers: vec![("Content-Type", kind.to_owned())],
            body,
        }));
    }
    if !token.is_uncertain && random.u32(..10) < 6 {
        inject(Fault::DeletionLost);
        token.is_uncertain = true;
        if random.bool() {
            token.exists = false;
        }
        return act(Wire::Whole(Response {
            status: 502,
            headers: vec![("Content-Type", "text/html".to_owned())],
            body: "<html><body><h1>502 Bad Gateway</h1></body></html>".to_owned(),
        }));
    }
    if !token.exists {
        let mut response = problem(404, "No matching token was found.");
        response.body = json!({
            "code": 404,
            "data": {"errMsg": "No matching token was found."},
            "meta": {"message": "Not Found Error"},
        })
        .to_string();
        return act(Wire::Whole(response));
    }
    token.exists = false;
    act(Wire::Whole(Response {
        status: 200,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: json!({"code": 200, "data": [], "meta": {"message": "SUCCESS"}}).to_string(),
    }))
}

/// What a caller of the data API says of itself, in a header or in the variables of a GraphQL query: for whom, since when, and
/// whether the response should be late.
fn caller(service: &Service, request: &Request) -> Option<(u64, Instant, bool)> {
    let stated = match request.header("x-soak") {
        Some(stated) => stated.to_owned(),
        None => {
            let body: Value = serde_json::from_slice(&request.body).ok()?;
            body.pointer("/variables/soak")?.as_str()?.to_owned()
        }
    };
    let mut parts = stated.split(',');
    let customer = parts.next()?.parse().ok()?;
    let started: u64 = parts.next()?.parse().ok()?;
    let is_late = parts.next() == Some("late");
    Some((
        customer,
        service.began + Duration::from_micros(started),
        is_late,
    ))
}

/// The data API of a storefront.
fn data((service, state): Parts<'_>, request: &Request, now: Instant) -> Act {
    state.data_requests += 1;
    let mut parts = request.path.trim_start_matches("/shop/").split('/');
    let store = parts.next().and_then(store_number);
    let way = parts.next().unwrap_or_default().to_owned();
    let token = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let (Some(store), Some(token), Some((customer, started, is_late))) =
        (store, token, caller(service, request))
    else {
        return act(Wire::Whole(problem(400, "not a request of the soak")));
    };
    let who = Who {
        process: process(request),
        store,
        customer,
        access_token: 0,
    };
    state.check_token(service, who, token, started, now);
    let key = hash(token);
    let last = state.last_rejection.get(&(store, customer));
    // The replacement of a rejected token may come long after that, where the rate limit is used up, and is kept if it is rejected
    // within a minute of its own.
    let granted = state.granted.get(&(store, customer));
    let granted = granted.and_then(VecDeque::back).map(|granted| granted.at);
    let may_reject = last
        .into_iter()
        .chain(granted.as_ref().filter(|_| last.is_some()))
        .all(|at| now.duration_since(*at) > Duration::from_secs(75));
    let drawn = state.random.u32(..1_000);
    let is_busy = state
        .stores
        .get_mut(store)
        .is_some_and(|store| store.in_window(now) > 90);
    let is_expired = state
        .tokens
        .get(&key)
        .and_then(|token| token.expires_at)
        .is_some_and(|at| at <= SystemTime::now());
    let is_rejected = state.tokens.get(&key).is_none_or(|token| {
        token.is_rejected || (token.store, token.customer) != (store, customer)
    });
    let mut fault = None;
    if customer == REJECTED {
        fault = Some(Fault::RejectsAlways);
    } else if is_rejected || is_expired {
        fault = Some(if is_late {
            Fault::RejectsLate
        } else {
            Fault::Rejects
        });
    } else if drawn < 6 && may_reject && !is_busy {
        fault = Some(match (way.as_str(), drawn % 2) {
            ("soft", _) => Fault::RejectsBy419,
            (_, 0) => Fault::RejectsLate,
            _ => Fault::Rejects,
        });
    } else if (6..16).contains(&drawn) {
        fault = Some(Fault::Disallows);
    } else if (16..22).contains(&drawn) {
        fault = Some(Fault::DataFails);
    }
    let rejects = matches!(
        fault,
        Some(Fault::Rejects | Fault::RejectsLate | Fault::RejectsAlways | Fault::RejectsBy419)
    );
    if rejects {
        // The replacement of a rejected token is not replaced within a minute: in no process.
        state.last_rejection.insert((store, customer), now);
        if customer != REJECTED
            && let Some(token) = state.tokens.get_mut(&key)
        {
            token.is_rejected = true;
        }
    }
    if let Some(fault) = fault {
        *state.faults.entry(fault).or_default() += 1;
    }
    let is_graphql = way == "graphql";
    let graphql = |code: u64, message: &str| json!({"data": null, "errors": [{"message": message, "extensions": {"code": code}}]});
    let (status, body) = match fault {
        Some(_) if rejects && is_graphql => (200, graphql(40_101, "token expired").to_string()),
        Some(_) if rejects && way == "soft" => (419, json!({"message": "expired"}).to_string()),
        Some(_) if rejects => (401, json!({"message": "Unauthorized"}).to_string()),
        Some(Fault::Disallows) if is_graphql => {
            (200, graphql(403, "Invalid User Access").to_string())
        }
        Some(Fault::Disallows) => (403, json!({"message": "Forbidden"}).to_string()),
        Some(Fault::DataFails) => (500, json!({"message": "Internal"}).to_string()),
        _ => (200, json!({"data": {"__typename": "Query"}}).to_string()),
    };
    if matches!(fault, Some(Fault::DataFails | Fault::Disallows)) {
        state
            .data_faults
            .insert((who.process, store, customer), now);
    }
    let response = Response {
        status,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body,
    };
    let delay = if is_late || fault == Some(Fault::RejectsLate) {
        state.random.u64(200..800)
    } else {
        state.random.u64(1..10)
    };
    state.requests += 1;
    let number = state.requests;
    state.open.insert(
        number,
        Open::Data {
            process: who.process,
            token: key,
            rejects,
        },
    );
    let wire = if fault == Some(Fault::DataFails) && drawn % 2 == 0 {
        Wire::Reset
    } else {
        Wire::Whole(response)
    };
    Act {
        number: Some(number),
        delay: Duration::from_millis(delay),
        wire,
    }
}

fn act(wire: Wire) -> Act {
    Act {
        number: None,
        delay: Duration::from_millis(20),
        wire,
    }
}

fn problem(status: u16, message: &str) -> Response {
    Response {
        status,
        headers: vec![("Content-Type", "application/json".to_owned())],
        body: json!({"code": status, "data": {}, "meta": {"message": message}}).to_string(),
    }
}

/// The access token of a store after so many replacements.
pub(crate) fn credentials(store: usize, number: u32) -> String {
    format!("{}-access-{store}-{number}", canary::NEEDLE)
}

fn store_number(hash: &str) -> Option<usize> {
    if hash.starts_with("tiny-") {
        return Some(TINY);
    }
    let number = hash.strip_prefix("soak")?.parse().ok()?;
    (number <= LEGACY).then_some(number)
}

/// The process that sent a request: its number is in the user agent.
fn process(request: &Request) -> u32 {
    let agent = request.header("user-agent").unwrap_or_default();
    let number = agent.split("soak-").nth(1).unwrap_or_default();
    let number = number.split('/').next().unwrap_or_default();
    number.parse().unwrap_or(DIRECT)
}

/// The session JWT of a customer.
pub(crate) fn session_jwt(customer: u64, random: &mut Rng) -> String {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        encode(&json!({"alg": "HS256"})),
        encode(&json!({"customer": {"id": customer}, "exp": unix_now() + 900})),
        canary::secret(random)
    )
}

fn customer_of_session(query: &str) -> Option<u64> {
    let jwt = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("jwtToken="))?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.pointer("/customer/id")?.as_u64()
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// What stands for a text that is not kept.
pub(crate) fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
