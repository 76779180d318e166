//! The sandbox itself: its builder, the handle that tests hold, and the one way to a reply.
//! It all happens in `Sandbox::answer`: the request is there whole, the reply has not left yet.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use crate::assumptions::Assumptions;
use crate::call::Call;
use crate::clock::{Clock, unix_seconds};
use crate::fault::{Fault, Skew};
use crate::fault_plan::{FaultPlan, Faults};
use crate::fault_reply;
use crate::gateway;
use crate::header_rules::paying_store;
use crate::jwt::Signer;
use crate::operations::Operation;
use crate::operations::exchange::{APP_CLIENT_ID, session_jwt};
use crate::rate_limit::{Permit, RateLimit};
use crate::recording::{RecordedRequest, Recorder};
use crate::reply::{CannedReply, Reply};
use crate::server::{Reuse, RunningSandbox, Security};
use crate::state::{StoreState, Stores};
use crate::store::{Customer, ServerToken, Store};
use crate::storefront;

/// How many requests are kept unless the builder says otherwise.
const DEFAULT_RECORDED: usize = 10_000;

/// How large a request body may be unless the builder says otherwise: 1 MiB.
const DEFAULT_BODY_LIMIT: usize = 1024 * 1024;

/// Puts a sandbox together. Everything has a default: the [demo store](Store::demo), 150 requests a
/// minute, the system clock.
#[must_use = "a builder does nothing until it is built or started"]
pub struct SandboxBuilder {
    stores: Vec<Store>,
    limit: RateLimit,
    assumptions: Assumptions,
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    recorded: usize,
    body_limit: usize,
    address: SocketAddr,
    faults: Option<FaultPlan>,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::TlsIdentity>,
}

impl SandboxBuilder {
    fn new() -> Self {
        Self {
            stores: Vec::new(),
            limit: RateLimit::default(),
            assumptions: Assumptions::default(),
            clock: Arc::new(SystemTime::now),
            seed: None,
            recorded: DEFAULT_RECORDED,
            body_limit: DEFAULT_BODY_LIMIT,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            faults: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Adds a store. With none added, the [demo store](Store::demo) is there. Of two with one hash
    /// the later stays.
    pub fn store(mut self, store: Store) -> Self {
        self.stores.push(store);
        self
    }

    /// Sets how many requests each store may make. Default: 150 in a fixed minute.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Sets where the time comes from: a [`ManualClock`](crate::ManualClock) or any
    /// `Fn() -> SystemTime`, which must not call the sandbox. Default: the system clock.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Sets how the sandbox behaves where the service's behaviour is unknown.
    pub fn assumptions(mut self, assumptions: Assumptions) -> Self {
        self.assumptions = assumptions;
        self
    }

    /// Sets what the signing key and the request ids are derived from. Two sandboxes with one seed
    /// and one clock answer byte for byte the same. Default: another seed for each sandbox of the
    /// process.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets how many of the latest requests are kept. Default: 10,000. The counts are exact however
    /// few are kept.
    pub fn record(mut self, latest: usize) -> Self {
        self.recorded = latest;
        self
    }

    /// Sets how many bytes a request body may have before it is answered with a 413. Default: 1
    /// MiB.
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Sets the address that [`start`](Self::start) binds. Default: a free port on 127.0.0.1.
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sets which requests fail by chance. Default: none.
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = Some(plan);
        self
    }

    /// Serves https, with this certificate and no other. It concerns [`start`](Self::start) alone:
    /// in-process there is nothing to encrypt.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, identity: crate::tls::TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// The sandbox without a socket, to be mounted with [`Sandbox::service`].
    #[must_use]
    pub fn build(self) -> Sandbox {
        /// Tells the sandboxes of a process apart, so that none takes the tokens of another for its
        /// own.
        static NEXT_SEED: AtomicU64 = AtomicU64::new(0);

        let seed = self
            .seed
            .unwrap_or_else(|| NEXT_SEED.fetch_add(1, Ordering::Relaxed));
        let signer = Signer::new(seed);
        let stores = if self.stores.is_empty() {
            vec![Store::demo()]
        } else {
            self.stores
        };
        let stores = stores
            .into_iter()
            .map(|store| {
                let hash = store.hash().to_owned();
                (
                    hash,
                    StoreState::new(store, self.limit, self.assumptions.auth_limit, &signer),
                )
            })
            .collect();
        Sandbox {
            shared: Arc::new(Shared {
                clock: self.clock,
                assumptions: self.assumptions,
                signer,
                body_limit: self.body_limit,
                state: Mutex::new(State {
                    stores,
                    recorder: Recorder::new(self.recorded),
                    canned: BTreeMap::new(),
                    faults: Faults::new(self.faults),
                    answered: 0,
                }),
            }),
        }
    }

    /// Binds the address and serves until the [`RunningSandbox`] is dropped.
    ///
    /// # Errors
    ///
    /// When the address cannot be bound, or the certificate cannot be served.
    pub async fn start(self) -> io::Result<RunningSandbox> {
        let address = self.address;
        #[cfg(feature = "tls")]
        let security = match &self.tls {
            Some(identity) => Security::Tls(identity.acceptor()?),
            None => Security::None,
        };
        #[cfg(not(feature = "tls"))]
        let security = Security::None;
        RunningSandbox::start(self.build(), address, security).await
    }
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxBuilder")
            .field("stores", &self.stores)
            .field("limit", &self.limit)
            .field("assumptions", &self.assumptions)
            .field("address", &self.address)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// A handle on a sandbox. Clones are cheap and share everything.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    assumptions: Assumptions,
    signer: Signer,
    body_limit: usize,
    state: Mutex<State>,
}

struct State {
    stores: Stores,
    recorder: Recorder,
    canned: BTreeMap<Operation, VecDeque<CannedReply>>,
    faults: Faults,
    /// How many requests have been answered: what request ids count by.
    answered: u64,
}

impl Sandbox {
    /// Begins a sandbox.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::new()
    }

    /// The sandbox as a `tower` service, to be called or mounted without a socket.
    ///
    /// It takes any `http::Request` whose body yields `Bytes`. It never waits on a timer and reads
    /// no clock but the sandbox's own, so it can be driven by a runtime whose time stands still. The
    /// one exception is the body of a [`Fault::SlowBody`], which goes by tokio's clock.
    ///
    /// A [fault](Fault) of the connection is an extension of the response:
    /// [`ConnectionFault`](crate::ConnectionFault).
    pub fn service(&self) -> Router {
        let sandbox = self.clone();
        Router::new().fallback(move |request: Request| {
            let sandbox = sandbox.clone();
            async move { sandbox.serve(request).await }
        })
    }

    /// The time by the sandbox's clock.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.shared.clock.now()
    }

    /// The stores, in the order of their hashes.
    #[must_use]
    pub fn stores(&self) -> Vec<Store> {
        self.lock()
            .stores
            .values()
            .map(|state| state.store.clone())
            .collect()
    }

    /// The session JWT that a signed-in customer would have, for the exchange. It lives 15 minutes
    /// from now.
    ///
    /// `None` if there is no such store or customer.
    #[must_use]
    pub fn session_jwt(&self, store_hash: &str, customer_id: u64) -> Option<String> {
        self.session_jwt_for_app(store_hash, customer_id, APP_CLIENT_ID)
    }

    /// The same for the app with this client id. The exchange accepts no app but the sandbox's own:
    /// the service answers a session JWT of another app with "Signature verification failed".
    ///
    /// `None` if there is no such store or customer.
    #[must_use]
    pub fn session_jwt_for_app(
        &self,
        store_hash: &str,
        customer_id: u64,
        app_client_id: &str,
    ) -> Option<String> {
        let now = unix_seconds(self.now());
        let state = self.lock();
        let customer: &Customer = state
            .stores
            .get(store_hash)?
            .store
            .customer_by_id(customer_id)?;
        Some(session_jwt(
            store_hash,
            customer,
            app_client_id,
            now,
            &self.shared.signer,
        ))
    }

    /// The value of a store's first server token: what goes into a legacy `authToken` header.
    ///
    /// `None` if there is no such store or it has none.
    #[must_use]
    pub fn auth_token(&self, store_hash: &str) -> Option<String> {
        Some(
            self.lock()
                .stores
                .get(store_hash)?
                .server_tokens
                .first()?
                .token()
                .to_owned(),
        )
    }

    /// The server tokens that a store has now.
    #[must_use]
    pub fn server_tokens(&self, store_hash: &str) -> Vec<ServerToken> {
        self.lock()
            .stores
            .get(store_hash)
            .map(|state| state.server_tokens.clone())
            .unwrap_or_default()
    }

    /// The claims of a token that this sandbox signed, also of an expired one; `None` for any other
    /// text. The signature is compared in constant time.
    #[must_use]
    pub fn verify(&self, token: &str) -> Option<Value> {
        self.shared.signer.verify(token)
    }

    /// Signs claims of the test's own making with the sandbox's key.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        self.shared.signer.sign(claims)
    }

    /// Spends from a store's purse, as another integration of the store would. An empty purse stays
    /// empty; an unknown store has none.
    pub fn spend(&self, store_hash: &str, requests: u64) {
        let mut state = self.lock();
        let now = self.now();
        if let Some(state) = state.stores.get_mut(store_hash) {
            state.purse.spend(requests, now);
        }
    }

    /// How many requests a store has left now; `None` without a limit or for an unknown store.
    #[must_use]
    pub fn remaining(&self, store_hash: &str) -> Option<u64> {
        let mut state = self.lock();
        let now = self.now();
        let purse = state.stores.get_mut(store_hash)?.calls_purse();
        purse.standing(now).map(|standing| standing.remaining)
    }

    /// Answers the next request to an operation with `reply`, whatever the request says; further
    /// calls queue up.
    ///
    /// The operation has no effect then, but the request is recorded and spends from the store's
    /// purse.
    pub fn respond_next(&self, operation: Operation, reply: CannedReply) {
        self.lock()
            .canned
            .entry(operation)
            .or_default()
            .push_back(reply);
    }

    /// Lets the next request to an operation meet a fault; further calls queue up.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Fault, Moment, Operation, Sandbox};
    /// # let sandbox = Sandbox::builder().build();
    /// // The first mint passes, the second loses its reply, the third passes.
    /// sandbox.pass_next_times(Operation::Mint, 1);
    /// sandbox.fail_next(Operation::Mint, Fault::ResetBeforeReply { moment: Moment::AfterEffect });
    /// ```
    pub fn fail_next(&self, operation: Operation, fault: Fault) {
        self.fail_next_times(operation, fault, 1);
    }

    /// Lets that many requests to an operation meet a fault, after what is queued for it already.
    pub fn fail_next_times(&self, operation: Operation, fault: Fault, times: usize) {
        self.lock().faults.script(operation, Some(fault), times);
    }

    /// Lets that many requests to an operation pass without a fault, after what is queued for it
    /// already: also where a [plan](FaultPlan) would have one.
    pub fn pass_next_times(&self, operation: Operation, times: usize) {
        self.lock().faults.script(operation, None, times);
    }

    /// Lets requests fail by chance from now on, in place of the plan before. The new plan begins
    /// at its beginning.
    pub fn set_faults(&self, plan: FaultPlan) {
        self.lock().faults.set_plan(Some(plan));
    }

    /// Ends every fault: the plan, what is queued, an outage, and maintenance. The counts stay.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Lets every request fail in one way, those to unknown paths too, until
    /// [`end_outage`](Self::end_outage).
    pub fn begin_outage(&self, fault: Fault) {
        self.lock().faults.set_outage(Some(fault));
    }

    /// Ends an outage.
    pub fn end_outage(&self) {
        self.lock().faults.set_outage(None);
    }

    /// Switches a store to maintenance and back. While it is on, every request of the store is
    /// answered like [`Fault::Maintenance`], with a `Retry-After` of two minutes, unless it meets
    /// another fault that has a reply of its own; all other stores go on.
    pub fn maintenance(&self, store_hash: &str, on: bool) {
        self.lock().faults.set_maintenance(store_hash, on);
    }

    /// How many requests have met a fault. Of a [`Fault::CloseOnReuse`], the request that it was
    /// drawn for is counted, not the next one on its connection.
    #[must_use]
    pub fn faults_injected(&self) -> u64 {
        self.lock().faults.counts().values().sum()
    }

    /// How many requests have met which kind of fault, by its [name](Fault::name).
    #[must_use]
    pub fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        self.lock().faults.counts().clone()
    }

    /// The requests so far, oldest first: the latest of them, if there were more than the sandbox
    /// [keeps](SandboxBuilder::record).
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.lock().recorder.requests().cloned().collect()
    }

    /// The requests to one operation among [`requests`](Self::requests).
    #[must_use]
    pub fn requests_to(&self, operation: Operation) -> Vec<RecordedRequest> {
        let state = self.lock();
        state
            .recorder
            .requests()
            .filter(|request| request.operation() == Some(operation))
            .cloned()
            .collect()
    }

    /// How many requests there were since the start or the last
    /// [`clear_requests`](Self::clear_requests).
    #[must_use]
    pub fn request_count(&self) -> u64 {
        self.lock().recorder.count()
    }

    /// How many of them asked for one operation.
    #[must_use]
    pub fn request_count_to(&self, operation: Operation) -> u64 {
        self.lock().recorder.count_to(operation)
    }

    /// Forgets the requests so far and their counts.
    pub fn clear_requests(&self) {
        self.lock().recorder.clear();
    }

    /// A panic elsewhere leaves the state as it was between two requests or within one: fit for a
    /// test to look at either way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole of a request's way. What a fault makes of a reply is described in the response;
    /// whoever called carries it out.
    pub(crate) async fn serve(&self, request: Request) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let fault = match self.meet(&parts) {
            Fate::ClosedOnReuse => return fault_reply::closed_on_reuse(),
            Fate::Fault(fault) => Some(fault),
            Fate::None => None,
        };
        if let Some(fault) = fault.as_ref().filter(|fault| !fault.reaches_service()) {
            if *fault == Fault::ResetDuringRequest {
                // The first part that arrives; a body that is not there has none.
                fault_reply::first_part(body).await;
            }
            return fault_reply::deliver(fault, Reply::empty(StatusCode::SERVICE_UNAVAILABLE));
        }
        // The one error that a caller can still hear of is a body over the limit: after any other
        // the connection is gone.
        let body = to_bytes(body, self.shared.body_limit).await.ok();
        self.answer(parts, body, fault)
    }

    /// What awaits a request whose head has arrived.
    fn meet(&self, parts: &Parts) -> Fate {
        let faults = &mut self.lock().faults;
        let reuse = parts.extensions.get::<Reuse>();
        let closed = match reuse {
            Some(reuse) => reuse.is_over(),
            None => std::mem::take(&mut faults.closed_on_reuse),
        };
        if closed {
            return Fate::ClosedOnReuse;
        }
        let operation = Operation::route(&parts.method, parts.uri.path()).ok();
        let Some(fault) = faults.draw(operation) else {
            return Fate::None;
        };
        if fault == Fault::CloseOnReuse {
            match reuse {
                Some(reuse) => reuse.end(),
                None => faults.closed_on_reuse = true,
            }
        }
        Fate::Fault(fault)
    }

    /// Answers one request, in one step of the state. `None` stands for a body over the limit.
    fn answer(&self, parts: Parts, body: Option<Bytes>, fault: Option<Fault>) -> Response<Body> {
        let state = &mut *self.lock();
        // Read under the lock, so that requests are dated in the order in which they are answered.
        let now = self.now();
        let shown = match &fault {
            Some(Fault::ClockSkew { by, direction }) => match direction {
                Skew::Ahead => now.checked_add(*by),
                Skew::Behind => now.checked_sub(*by),
            }
            .unwrap_or(now),
            _ => now,
        };
        let path = parts.uri.path();
        let query = parts.uri.query().unwrap_or_default();
        let route = Operation::route(&parts.method, path);
        let operation = route.as_ref().ok().copied();
        let assumptions = &self.shared.assumptions;
        let body_bytes = body.as_deref().unwrap_or_default();
        let call = Call::new(
            &parts.headers,
            query,
            body_bytes,
            unix_seconds(shown),
            assumptions,
            &self.shared.signer,
        );

        let paying = paying_store(operation, &call, &mut state.stores);
        let maintained = paying
            .as_ref()
            .is_some_and(|paying| state.faults.in_maintenance(paying.store.hash()));
        let fault = fault.or_else(|| {
            let fault = maintained.then(fault_reply::maintenance_fault)?;
            state.faults.count(&fault);
            Some(fault)
        });
        let permit = paying
            .filter(|_| fault.as_ref().is_none_or(Fault::spends))
            .map(|paying| paying.calls_purse().take(now));

        let taken = !maintained && fault.as_ref().is_none_or(Fault::is_taken);
        let mut reply = if taken {
            let canned =
                operation.and_then(|operation| state.canned.get_mut(&operation)?.pop_front());
            match (canned, permit, body.is_some()) {
                (Some(canned), ..) => canned.into(),
                (None, Some(Permit::Exhausted(standing)), _) => {
                    gateway::too_many_requests(standing, now, assumptions)
                }
                (None, _, false) => gateway::refuse(StatusCode::PAYLOAD_TOO_LARGE),
                (None, _, true) => match route {
                    Ok(operation) => operation
                        .answer(&call, &mut state.stores)
                        .unwrap_or_else(Reply::from),
                    Err(unrouted) => storefront::answer(&parts.method, path, &call, &state.stores)
                        .unwrap_or_else(|| gateway::refuse_unrouted(unrouted)),
                },
            }
        } else if maintained {
            fault_reply::maintenance_reply()
        } else {
            Reply::empty(StatusCode::SERVICE_UNAVAILABLE)
        };
        if let Some(fault) = &fault
            && let Some(replaced) = fault_reply::in_place(fault, &parts, shown, assumptions)
        {
            reply = replaced;
        }
        let window = !maintained && !fault.as_ref().is_some_and(fault_reply::hides_window);

        state.answered += 1;
        gateway::add_headers(
            &mut reply,
            permit.filter(|_| window),
            state.answered,
            shown,
            &self.shared.signer,
            assumptions,
        );
        state.recorder.record(RecordedRequest {
            operation,
            path: path.to_owned(),
            query: query.to_owned(),
            method: parts.method,
            headers: parts.headers,
            body: body.unwrap_or_default(),
            status: reply.status,
            at: now,
            fault: fault.clone(),
        });
        match fault {
            Some(fault) => fault_reply::deliver(&fault, reply),
            None => reply.into(),
        }
    }
}

/// What awaits a request before anybody looks at what it asks for.
enum Fate {
    None,
    Fault(Fault),
    /// Its connection is closed, since an earlier request on it met [`Fault::CloseOnReuse`].
    ClosedOnReuse,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let stores: Vec<_> = state.stores.keys().collect();
        f.debug_struct("Sandbox")
            .field("stores", &stores)
            .field("assumptions", &self.shared.assumptions)
            .field("requests", &state.recorder.count())
            .finish_non_exhaustive()
    }
}
