//! The client for programs without async: the same calls, which block the calling thread until they end.
//!
//! ```
//! # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
//! use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, blocking};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let sandbox = runtime.block_on(Sandbox::builder().start())?;
//! # let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
//! let client = blocking::Client::new(
//!     Client::builder()
//!         .credentials(StoreAccess::new(store_hash, access_token)?)
//! #       .base_url(sandbox.base_url())
//!         .build()?,
//! )?;
//! let token = client.mint_storefront_token(CustomerId::new(customer_id)?).send()?;
//! # drop(token);
//! # Ok(())
//! # }
//! ```
//!
//! # Where the work is done
//! Each [`Client::new`] starts one thread with a tokio runtime of its own; clones and relatives of that client share it. Calls
//! may be made from any number of threads, and are under way side by side. When the last clone is dropped, the thread ends by
//! itself, and its connections with it: dropping waits for nothing, and is allowed anywhere. What the client was built with,
//! such as an [`Observer`](crate::telemetry::Observer) or a [`SecretProvider`](crate::SecretProvider), runs on that thread too: what
//! takes long there holds up every call.
//!
//! # Inside of an async context
//! A call would keep the thread from the other tasks of its runtime. So [`Client::new`] and every call give an error there,
//! of [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), and send nothing. They do so wherever a tokio runtime can be
//! reached, which includes its `spawn_blocking`. The [async client](crate::Client) is for there; where waiting is allowed, with
//! `Handle::current().block_on(…)`.
//!
//! # How long a call blocks
//! Until its deadline at the most, which covers the wait for the budget, every attempt, and the waits between them: see
//! [`ClientBuilder::deadline`](crate::ClientBuilder::deadline) and [`CallOptions`](crate::CallOptions). There is no other way
//! to end one early. A reply is read whole before it is handed over.
//!
//! # After a fork
//! A fork copies the client and not its thread. In the forked process every call gives an error of
//! [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) at once, and sends nothing. Create both the async client and this
//! one after the fork, as servers do that fork a process for each worker: a client that is older than the fork also shares its
//! connections with the parent process.
//!
//! # When something panics
//! A panic of what the client was built with ends the one call, with an error of
//! [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted), and leaves the others alone.

use crate::{
    BudgetStatus, Credentials, Environment, Error, LegacyAuthToken, NamesStore, StoreAccess,
    StoreHash,
};

mod calls;
mod server_tokens;
mod thread;

pub use calls::{ExchangeSessionJwt, LogInStorefrontUser, MintStorefrontToken};
pub use server_tokens::{
    AllServerTokens, CreateServerToken, DeleteServerToken, ListServerTokens, ServerTokenIter,
};

use thread::RuntimeThread;

/// A client of the B2B Edition Authentication API that blocks; see the [module](self).
///
/// It has the calls that [the async client](crate::Client) has with the same credentials `C`. It is cheap to clone.
#[derive(Debug, Clone)]
pub struct Client<C = StoreAccess> {
    calls: crate::Client<C>,
    thread: RuntimeThread,
}

impl Client {
    /// A client of one store with what the [`Environment`] of this process says.
    ///
    /// # Errors
    /// As [`crate::Client::from_env`] and [`Client::new`].
    pub fn from_env() -> Result<Self, Error> {
        Self::from_environment(&Environment::from_process())
    }
}

impl<C: Credentials> Client<C> {
    /// Makes the calls of an async client block, and starts the thread that they run on.
    ///
    /// Build the client for this purpose: connections that it has opened on a runtime elsewhere can only be used while
    /// that runtime runs.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) inside of an async context, and when the operating
    /// system gives no thread.
    pub fn new(client: crate::Client<C>) -> Result<Self, Error> {
        Ok(Self {
            calls: client,
            thread: RuntimeThread::start()?,
        })
    }

    /// A client with what an [`Environment`] says: credentials, base URL and default channel.
    ///
    /// # Errors
    /// As [`crate::Client::from_environment`] and [`Client::new`].
    pub fn from_environment(environment: &Environment) -> Result<Self, Error> {
        Self::new(crate::Client::from_environment(environment)?)
    }

    /// A client of another store, or of this one with other credentials, over the same thread, pool and policy.
    #[must_use]
    pub fn for_store<D: Credentials>(&self, credentials: D) -> Client<D> {
        Client {
            calls: self.calls.for_store(credentials),
            thread: self.thread.clone(),
        }
    }

    /// What is left of the store's request budget, as far as this process can tell.
    #[must_use]
    pub fn budget(&self) -> BudgetStatus {
        self.calls.budget()
    }
}

impl<C: NamesStore> Client<C> {
    /// The store that the client's credentials name.
    #[must_use]
    pub fn store_hash(&self) -> &StoreHash {
        self.calls.store_hash()
    }

    /// A client of the same store that authenticates with a legacy `authToken`: it lists and deletes server tokens, and
    /// spends from the same budget.
    #[must_use]
    pub fn with_legacy_auth_token(&self, token: LegacyAuthToken) -> Client<LegacyAuthToken> {
        Client {
            calls: self.calls.with_legacy_auth_token(token),
            thread: self.thread.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    /// The names of what a call can be told, as its function writes them down.
    fn parameters<'s>(source: &'s str, function: &str) -> Vec<&'s str> {
        let (_, rest) = source.split_once(&format!("fn {function}(")).unwrap();
        let (parameters, _) = rest.split_once(") ->").unwrap();
        let lines = parameters.lines().map(str::trim);
        lines
            .filter(|line| !line.starts_with('/'))
            .filter_map(|line| Some(line.split_once(": ")?.0))
            .map(|name| name.rsplit(' ').next().unwrap_or(name))
            .collect()
    }

    #[test]
    fn a_call_can_be_told_what_its_async_twin_can() {
        let (calls, tokens) = (
            include_str!("blocking/calls.rs"),
            include_str!("blocking/server_tokens.rs"),
        );
        let async_tokens = include_str!("operations/server_tokens.rs");
        for (function, its_own, twin) in [
            (
                "mint_storefront_token",
                calls,
                include_str!("operations/mint.rs"),
            ),
            (
                "log_in_storefront_user",
                calls,
                include_str!("operations/login.rs"),
            ),
            (
                "exchange_session_jwt",
                calls,
                include_str!("operations/exchange.rs"),
            ),
            ("send_create", tokens, async_tokens),
            ("send_delete", tokens, async_tokens),
            ("send_list", tokens, async_tokens),
            ("walk", tokens, async_tokens),
        ] {
            let twin = parameters(twin, function);
            assert_eq!(parameters(its_own, function), twin, "{function}");
            assert!(twin.contains(&"options"), "{function}: {twin:?}");
        }
    }
}
