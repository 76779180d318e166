//! The client and its builder: one pool, one policy and one clock, shared by all that is made from it.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use bigcommerce_b2b_auth_api::Transport;
use http::HeaderValue;

use crate::{
    BudgetLimit, BudgetStatus, ChannelId, Clock, Credentials, Environment, Error, Jitter,
    LegacyAuthToken, LocalBudgets, NamesStore, Priority, RequestBudgets, RetryBudget, RetryPolicy,
    Secret, StoreAccess, StoreHash,
    pipeline::{
        base_url::{self, BaseUrl},
        options::{DEFAULT_ATTEMPT_TIMEOUT, DEFAULT_DEADLINE, Settled},
        retry::{RandomJitter, RetryTokens},
        shared::Shared,
        transport::{HttpSettings, HttpTransport},
    },
    rate_limit::{StoreLine, Stores},
    telemetry::Observer,
    time::{SystemClock, service_clock::ServiceClock},
};
#[cfg(feature = "tokens")]
use crate::{auth::credentials::Token, rate_limit::Successes};

/// A client of the B2B Edition Authentication API.
///
/// What it can do depends on its credentials `C`, so that a call without the credential that it needs does not compile. [`send`](Self::send) alone
/// checks it when it is called.
///
/// | `C` | mint | log in, exchange, create server token | list and delete server tokens |
/// |---|---|---|---|
/// | [`StoreAccess`] (the default) | yes | yes | |
/// | [`StoreHash`] | | yes | |
/// | [`LegacyAuthToken`] | | | yes |
///
/// It is cheap to clone; clones, and clients made by [`for_store`](Self::for_store) and the like, share the connection
/// pool, the policy, and the budgets of each store. The request budget of a store is shared even between clients that were
/// built apart, as long as both have the same address, which is not loopback, and the same [`BudgetLimit`], and neither a
/// transport nor a clock of its own.
///
/// # Cancelling
/// A call is the future that `send()` returns. Dropping it ends the call at any point and leaves nothing behind: a place in
/// the line for the budget is given up, and a request that was under way is counted as spent. Whether that request took
/// effect is then unknown, which matters for the creation of a server token alone.
///
/// # Runtime
/// Calls run on tokio, current-thread or multi-thread, with its time and I/O drivers enabled. A client can be built outside
/// of a runtime, and serve several of them, one after the other or at once. Its pooled connections belong to the runtime that
/// opened them: a current-thread runtime that is kept without being run stalls those who get one of its connections from the
/// pool, so give it a client of its own.
///
/// ```
/// use bigcommerce_b2b_auth::Client;
///
/// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let client = Client::new("abc123", "an access token")?;
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// A call that lacks its credential is refused by the compiler:
///
/// ```compile_fail,E0599
/// use bigcommerce_b2b_auth::{Client, CustomerId, StoreHash};
///
/// # async fn run() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let client = Client::builder().credentials(StoreHash::new("abc123")?).build()?;
/// client.mint_storefront_token(CustomerId::new(42)?).send().await?; // a store hash alone cannot mint
/// # Ok(())
/// # }
/// ```
///
/// The same call compiles with the access token:
///
/// ```
/// use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
///
/// # async fn run() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let client = Client::builder().credentials(StoreAccess::new("abc123", "an access token")?).build()?;
/// client.mint_storefront_token(CustomerId::new(42)?).send().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Client<C = StoreAccess> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) credentials: Arc<C>,
    pub(crate) store: Arc<StoreLine>,
}

impl Client {
    /// A client of one store with its access token, and the defaults for everything else.
    ///
    /// # Errors
    /// As [`StoreAccess::new`] and [`Client::builder`].
    pub fn new(
        store_hash: impl Into<String>,
        access_token: impl Into<Secret>,
    ) -> Result<Self, Error> {
        Self::builder()
            .credentials(StoreAccess::new(store_hash, access_token)?)
            .build()
    }

    /// A client of one store with what the [`Environment`] of this process says.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), which names the variable.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_environment(&Environment::from_process())
    }
}

#[bon::bon]
impl<C: Credentials> Client<C> {
    /// Starts a client: give it `credentials`, and whatever else differs from the defaults.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) at `build()` when the base URL cannot be used, the
    /// user agent cannot be sent, or TLS cannot be set up.
    #[builder(
        start_fn(name = builder, vis = "pub"),
        finish_fn(name = build, vis = "pub"),
        builder_type(name = ClientBuilder, vis = "pub", doc {
            /// Builds a [`Client`]; made by [`Client::builder`].
        }),
        state_mod(name = client_builder, vis = "pub")
    )]
    fn from_parts(
        /// What the client authenticates with. It decides which operations the client has.
        credentials: C,
        /// The service's address, with its scheme. Without a path, `/api/io` is added. The vendor's host if unset.
        #[builder(into)]
        base_url: Option<String>,
        /// Whether plain http may go to a host that is not loopback. Credentials then travel in the clear.
        #[builder(default)]
        allow_insecure_http: bool,
        /// The channel that mint and login send when the call names none. The exchange never sends a default.
        default_channel: Option<ChannelId>,
        /// Your application's name and version, put behind the SDK's own in `User-Agent`.
        #[builder(into)]
        user_agent_suffix: Option<String>,
        /// What is repeated and after how long.
        #[builder(default)]
        retry: RetryPolicy,
        /// How many repetitions the calls to a store have in common.
        #[builder(default)]
        retry_budget: RetryBudget,
        /// How much of each store's request budget this client takes.
        #[builder(default)]
        budget_limit: BudgetLimit,
        /// The budgets themselves, for those who share them further than a process does: in place of `budget_limit`.
        budgets: Option<Arc<dyn RequestBudgets>>,
        /// How long a whole call may take: waiting for the budget, attempts, and the waits between them. 2 minutes by
        /// default.
        #[builder(default = DEFAULT_DEADLINE)]
        deadline: Duration,
        /// How long one attempt may take, the reading of the reply included, on tokio's timer. 30 seconds by default.
        #[builder(default = DEFAULT_ATTEMPT_TIMEOUT)]
        attempt_timeout: Duration,
        /// Who goes first when calls wait for the budget. Interactive by default.
        #[builder(default)]
        priority: Priority,
        /// Is told what calls do, for metrics.
        observer: Option<Arc<dyn Observer>>,
        /// Whether spans name the customer that a token is minted for. They do not by default.
        #[builder(default)]
        record_customer_id: bool,
        /// The clock to read and to sleep by. The system's if unset.
        clock: Option<Arc<dyn Clock>>,
        /// Where the random part of waits comes from. The system's chance if unset.
        #[builder(default = Arc::new(RandomJitter))]
        jitter: Arc<dyn Jitter>,
        /// Makes an HTTP client with your settings: proxies, certificates, connection pool, HTTP/2. What the SDK's safety
        /// rests on is set on top of it: no redirects, no retries of its own, no `Referer`, no logging of connections. Headers
        /// that you make a default of it are sent along; leave credentials out of them. Unlike the SDK's own, it takes a proxy
        /// from the environment also for a loopback address.
        ///
        /// It is a function because several HTTP clients are built with it: see [`HttpTransport::from_builder`].
        #[builder(with = |make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static| HttpSettings::new(make))]
        http: Option<HttpSettings>,
        /// What sends requests in place of the client's own [`HttpTransport`]: one that wraps it, or another one altogether.
        /// Whoever gives one answers for redirects (they must not be followed), for TLS, and for what it logs.
        transport: Option<Arc<dyn Transport>>,
    ) -> Result<Self, Error> {
        let base_url = BaseUrl::parse(
            base_url.as_deref().unwrap_or(base_url::PRODUCTION),
            allow_insecure_http,
        )?;
        if base_url.is_https && transport.is_none() && !HAS_TLS {
            return Err(Error::configuration(
                "https needs TLS: switch on one of the features \"rustls\", \"rustls-no-provider\" and \"native-tls\", or \
                 give a transport that speaks it",
            ));
        }
        // Clients that were built apart spend from one purse, unless time or the network are not the real ones. What listens
        // on loopback is a stand-in, and the next one on its port must not begin with what was spent at this one.
        let budgets = budgets.unwrap_or_else(|| {
            if transport.is_none() && clock.is_none() && !base_url.is_loopback {
                LocalBudgets::of_process(&base_url.prefix, budget_limit)
            } else {
                Arc::new(LocalBudgets::new(budget_limit))
            }
        });
        let (http, transport) = match (transport, http) {
            (Some(transport), Some(settings)) => (settings.client()?, transport),
            (Some(transport), None) => (HttpTransport::for_requests_alone()?, transport),
            (None, settings) => {
                let settings = settings.unwrap_or_else(|| {
                    HttpSettings::for_address(base_url.is_loopback, base_url.is_https)
                });
                let transport = HttpTransport::with_settings(settings)?;
                let http = transport.pool().clone();
                (http, Arc::new(transport) as Arc<dyn Transport>)
            }
        };
        let shared = Shared {
            http,
            transport,
            base_url,
            user_agent: user_agent(user_agent_suffix.as_deref())?,
            default_channel,
            clock: clock.unwrap_or_else(|| Arc::new(SystemClock)),
            jitter,
            observer,
            record_customer_id,
            is_connection_suspect: AtomicBool::new(false),
            service_clock: ServiceClock::default(),
            options: Settled {
                retry,
                deadline,
                attempt_timeout,
                priority,
            },
            longest_retry_after: budget_limit.longest_retry_after(),
            stores: Stores::new(budgets, RetryTokens::new(retry_budget)),
        };
        Ok(Self::with_shared(Arc::new(shared), credentials))
    }
}

impl<C: Credentials> Client<C> {
    /// A client with what an [`Environment`] says: credentials, base URL and default channel.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::{Client, Environment, LegacyAuthToken};
    ///
    /// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
    /// let environment = Environment::from_lookup(|name| (name == "B2B_API_TOKEN").then(|| "a token".into()));
    /// let client = Client::<LegacyAuthToken>::from_environment(&environment)?;
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), which names the variable.
    pub fn from_environment(environment: &Environment) -> Result<Self, Error> {
        Self::builder()
            .credentials(C::from_environment(environment)?)
            .maybe_base_url(environment.base_url()?)
            .maybe_default_channel(environment.channel()?)
            .build()
    }

    fn with_shared(shared: Arc<Shared>, credentials: C) -> Self {
        let store = shared.stores.of(credentials.budget_key(), &shared.clock);
        Self {
            shared,
            credentials: Arc::new(credentials),
            store,
        }
    }

    /// A client of another store, or of this one with other credentials, over the same pool and policy. Each store has a
    /// budget of its own.
    ///
    /// ```
    /// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
    /// use bigcommerce_b2b_auth::{Client, StoreAccess};
    ///
    /// let first = Client::new("abc123", "an access token")?;
    /// let second = first.for_store(StoreAccess::new("def456", "another access token")?);
    /// # drop(second);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn for_store<D: Credentials>(&self, credentials: D) -> Client<D> {
        Client::with_shared(Arc::clone(&self.shared), credentials)
    }

    /// What is left of the store's request budget, as far as this process can tell.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
    /// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
    /// assert_eq!(client.budget().left, None); // nothing is known before the first reply
    /// client.mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID)?).send().await?;
    /// assert_eq!(client.budget().left, Some(149));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn budget(&self) -> BudgetStatus {
        self.store.budget.status()
    }

    /// Counts the successful calls of this client and its relatives to the store.
    #[cfg(feature = "tokens")]
    pub(crate) fn successes(&self) -> &Successes {
        &self.store.successes
    }

    /// What the client reads the time by.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// By how much the service's clock was seen to differ from this machine's.
    #[cfg(feature = "tokens")]
    pub(crate) fn skew(&self) -> crate::time::service_clock::Skew {
        self.shared.service_clock.skew()
    }

    /// Where the random part of waits comes from.
    #[cfg(feature = "tokens")]
    pub(crate) fn jitter(&self) -> &Arc<dyn Jitter> {
        &self.shared.jitter
    }

    /// What is repeated by default, and after how long.
    #[cfg(feature = "tokens")]
    pub(crate) fn retry_policy(&self) -> &RetryPolicy {
        &self.shared.options.retry
    }

    /// What all calls to the store have in common.
    #[cfg(feature = "tokens")]
    pub(crate) fn store_line(&self) -> &StoreLine {
        &self.store
    }

    /// Whether spans name the customer.
    #[cfg(feature = "tokens")]
    pub(crate) fn records_customers(&self) -> bool {
        self.shared.record_customer_id
    }

    /// Who is told what happens.
    #[cfg(feature = "tokens")]
    pub(crate) fn observer(&self) -> Option<&Arc<dyn Observer>> {
        self.shared.observer.as_ref()
    }

    /// The address of the service, without a slash at its end.
    #[cfg(feature = "snapshot")]
    pub(crate) fn base_url(&self) -> &str {
        &self.shared.base_url.prefix
    }

    /// Where the client's requests go.
    #[cfg(feature = "tokens")]
    pub(crate) fn base(&self) -> &BaseUrl {
        &self.shared.base_url
    }

    /// How long a call may take by default.
    #[cfg(feature = "tokens")]
    pub(crate) fn default_deadline(&self) -> Duration {
        self.shared.options.deadline
    }

    /// The channel that mint and login send when the call names none.
    pub(crate) fn default_channel(&self) -> Option<ChannelId> {
        self.shared.default_channel
    }
}

#[cfg(feature = "tokens")]
impl<C: Credentials> Client<C> {
    /// The token that the client authenticates with, if it stays the same.
    pub(crate) fn fixed_token(&self) -> Option<&Secret> {
        match self.credentials.token() {
            Some((_, crate::auth::credentials::Token::Fixed(token))) => Some(token),
            _ => None,
        }
    }
}

#[cfg(feature = "tokens")]
impl Client<StoreAccess> {
    /// The access token, or what knows it.
    pub(crate) fn access_token(&self) -> &Token {
        self.credentials.access_token()
    }
}

impl<C: NamesStore> Client<C> {
    /// The store that the client's credentials name.
    #[must_use]
    pub fn store_hash(&self) -> &StoreHash {
        self.credentials.store_hash()
    }

    /// A client of the same store that authenticates with a legacy `authToken`: it lists and deletes server tokens, and
    /// spends from the same budget.
    #[must_use]
    pub fn with_legacy_auth_token(&self, token: LegacyAuthToken) -> Client<LegacyAuthToken> {
        self.for_store(token.of_store(self.store_hash().clone()))
    }
}

/// Whether any of the features that bring TLS is on.
pub(crate) const HAS_TLS: bool = cfg!(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
));

pub(crate) fn user_agent(suffix: Option<&str>) -> Result<HeaderValue, Error> {
    let own = concat!("bigcommerce-b2b-auth-rust/", env!("CARGO_PKG_VERSION"));
    let text = match suffix.map(str::trim) {
        Some(suffix) if !suffix.is_empty() => format!("{own} {suffix}"),
        _ => own.to_owned(),
    };
    if !text.is_ascii() {
        return Err(bad_user_agent());
    }
    HeaderValue::try_from(text).map_err(|_| bad_user_agent())
}

fn bad_user_agent() -> Error {
    Error::configuration(
        "the user agent suffix holds a control character or a letter outside ASCII: write it like my-shop/1.0",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_send_and_sync<T: Send + Sync + Clone + 'static>() {}

    #[test]
    fn a_client_goes_anywhere() {
        is_send_and_sync::<Client>();
        is_send_and_sync::<Client<LegacyAuthToken>>();
        is_send_and_sync::<Client<StoreHash>>();
    }

    #[test]
    fn relatives_of_one_store_share_its_budget() {
        let client = Client::new("abc123", "token").unwrap();
        let legacy = client.with_legacy_auth_token(LegacyAuthToken::new("legacy").unwrap());
        assert!(Arc::ptr_eq(&client.store, &legacy.store));
        let hash_only = client.for_store(StoreHash::new("abc123").unwrap());
        assert!(Arc::ptr_eq(&client.store, &hash_only.store));
        let other = client.for_store(StoreHash::new("def456").unwrap());
        assert!(!Arc::ptr_eq(&client.store, &other.store));
    }

    #[test]
    fn clients_that_are_built_apart_spend_from_one_purse_but_on_loopback() {
        let at = |base_url: &str| {
            Client::builder()
                .credentials(StoreAccess::new("purse", "token").unwrap())
                .base_url(base_url)
                .build()
                .unwrap()
        };
        let share =
            |one: &Client, other: &Client| Arc::ptr_eq(&one.store.budget, &other.store.budget);
        let (one, other) = (
            at("https://b2b.example.com"),
            at("https://b2b.example.com/"),
        );
        assert!(share(&one, &other));
        assert!(!share(&one, &at("https://b2c.example.com")));
        assert!(!share(&at("http://127.0.0.1:1"), &at("http://127.0.0.1:1")));
    }

    #[test]
    fn the_user_agent_names_sdk_and_application() {
        let own = concat!("bigcommerce-b2b-auth-rust/", env!("CARGO_PKG_VERSION"));
        assert_eq!(user_agent(None).unwrap(), own);
        assert_eq!(user_agent(Some(" ")).unwrap(), own);
        assert_eq!(
            user_agent(Some("shop/1.0")).unwrap(),
            format!("{own} shop/1.0")
        );
        for bad in ["a\r\nb", "caf\u{e9}"] {
            assert!(user_agent(Some(bad)).is_err());
        }
    }

    #[test]
    fn debug_shows_no_credential() {
        let client = Client::new("abc123", "hunter2").unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
    }
}
