//! A service that refuses some customers and some access tokens, before the sandbox, for the tests of what managed tokens
//! remember. In the *time* harness.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Client, Clock, Jitter, RetryPolicy, StoreAccess, StorefrontTokens,
    transport::{Operation, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{Customer, Sandbox, Store};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::{
    InProcess,
    managed::{ACCESS_TOKEN, Chance, STORE_HASH, SettableClock},
};

/// The transport to the service. Each request takes 50 milliseconds.
#[derive(Debug)]
pub struct Refusing {
    sandbox: Arc<InProcess>,
    rules: Mutex<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    forbidden: BTreeSet<u64>,
    everybody: Option<StatusCode>,
    /// The only access token that the service accepts.
    access_token: String,
    /// Whose mints were sent, in their order.
    minted_for: Vec<u64>,
}

impl Refusing {
    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses this customer with a 403 from now on.
    pub fn forbid(&self, customer: u64) {
        self.rules().forbidden.insert(customer);
    }

    /// Refuses this customer no longer.
    pub fn allow(&self, customer: u64) {
        self.rules().forbidden.remove(&customer);
    }

    /// Refuses everybody with this status, or nobody any longer.
    pub fn refuse_everybody(&self, status: Option<StatusCode>) {
        self.rules().everybody = status;
    }

    /// Accepts this access token from now on, and answers 401 to every other one.
    pub fn accept(&self, access_token: &str) {
        access_token.clone_into(&mut self.rules().access_token);
    }

    /// How many mints were sent.
    #[must_use]
    pub fn mints(&self) -> usize {
        self.rules().minted_for.len()
    }

    /// How many mints were sent for this customer.
    #[must_use]
    pub fn mints_for(&self, customer: u64) -> usize {
        let rules = self.rules();
        rules
            .minted_for
            .iter()
            .filter(|sent| **sent == customer)
            .count()
    }

    /// The status of the refusal of a request, if it is refused.
    fn judge(&self, request: &reqwest::Request) -> Option<StatusCode> {
        let mut rules = self.rules();
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let customer = body
            .and_then(|body| serde_json::from_slice::<Value>(body).ok())
            .and_then(|body| body.get("customerId")?.as_u64());
        rules.minted_for.extend(customer);
        let sent = request.headers().get("X-Auth-Token");
        if sent.is_some_and(|sent| sent.as_bytes() != rules.access_token.as_bytes()) {
            return Some(StatusCode::UNAUTHORIZED);
        }
        let is_forbidden = customer.is_some_and(|customer| rules.forbidden.contains(&customer));
        let forbidden = is_forbidden.then_some(StatusCode::FORBIDDEN);
        rules.everybody.or(forbidden)
    }
}

impl Transport for Refusing {
    fn send<'a>(
        &'a self,
        mut request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if let Some(status) = self.judge(&request) {
                let body = json!({"message": "This user is inactive"});
                let mut response = http::Response::new(body.to_string());
                *response.status_mut() = status;
                return Ok(response.into());
            }
            if let Some(token) = request.headers_mut().get_mut("X-Auth-Token") {
                // The sandbox knows one access token.
                *token = HeaderValue::from_static(ACCESS_TOKEN);
            }
            self.sandbox.send(request, operation).await
        })
    }
}

/// A service that refuses nobody yet, a client and a cache.
#[derive(Debug)]
pub struct Setting {
    /// What is behind the service's refusals.
    pub sandbox: Sandbox,
    /// The service.
    pub service: Arc<Refusing>,
    /// The client.
    pub client: Client,
    /// The cache.
    pub tokens: StorefrontTokens,
}

impl Setting {
    /// A store with so many customers, for a client with its access token. Inside of a runtime whose clock is paused.
    ///
    /// # Panics
    /// When the client cannot be built.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test without its fixture ends with a panic"
    )]
    pub fn new(customers: u64) -> Self {
        let access = StoreAccess::new(STORE_HASH, ACCESS_TOKEN).expect("they are fit");
        Self::with_access(customers, access)
    }

    /// The same with credentials of the test's own.
    ///
    /// # Panics
    /// When the client cannot be built.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a test without its fixture ends with a panic"
    )]
    pub fn with_access(customers: u64, access: StoreAccess) -> Self {
        let clock = SettableClock::start();
        let customers = (1..=customers)
            .map(|id| Customer::new(id, format!("customer-{id}@example.com"), "a password"));
        let store = customers.fold(
            Store::new(STORE_HASH)
                .with_access_token(ACCESS_TOKEN)
                .channel(1),
            Store::customer,
        );
        let service_clock = Arc::clone(&clock);
        let sandbox = Sandbox::builder()
            .seed(5)
            .clock(move || service_clock.true_time())
            .store(store)
            .rate_limit(bigcommerce_b2b_auth_sandbox::RateLimit::unlimited())
            .build();
        let service = Arc::new(Refusing {
            sandbox: InProcess::new(&sandbox),
            rules: Mutex::default(),
        });
        service.accept(ACCESS_TOKEN);
        let client = Client::builder()
            .credentials(access)
            .transport(Arc::clone(&service) as Arc<dyn Transport>)
            .clock(clock as Arc<dyn Clock>)
            .jitter(Chance::of(0.5) as Arc<dyn Jitter>)
            .budget_limit(BudgetLimit::unlimited())
            .retry(RetryPolicy::none())
            .build()
            .expect("it is fit");
        let tokens = StorefrontTokens::builder().client(client.clone()).build();
        Self {
            sandbox,
            service,
            client,
            tokens,
        }
    }
}
