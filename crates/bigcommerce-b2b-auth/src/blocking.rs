//! Blocking calls, for programs without async: `send_blocking()` in place of `send().await`.
//!
//! ```
//! # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
//! use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Runtime::new()?;
//! # let sandbox = runtime.block_on(Sandbox::builder().start())?;
//! # let (store_hash, access_token, customer_id) = (demo::STORE_HASH, demo::ACCESS_TOKEN, demo::CUSTOMER_ID);
//! let client = Client::builder()
//!     .credentials(StoreAccess::new(store_hash, access_token)?)
//! #   .base_url(sandbox.base_url())
//!     .build()?;
//! let token = client.mint_storefront_token(CustomerId::new(customer_id)?).send_blocking()?;
//! # drop(token);
//! # Ok(())
//! # }
//! ```
//!
//! | async | blocking |
//! |---|---|
//! | `send().await` of a builder | `send_blocking()` |
//! | [`Client::send`](crate::Client::send), [`send_with`](crate::Client::send_with) | [`Client::send_blocking`](crate::Client::send_blocking), [`send_with_blocking`](crate::Client::send_with_blocking) |
//! | `all_server_tokens().stream()` | `all_server_tokens().iter_blocking()` |
//! | `StorefrontTokens::get` | `StorefrontTokens::get_blocking` |
//! | every other async method, such as `StorefrontTokens::shutdown` and `StorefrontApi::send` | [`run`] |
//!
//! # Runtime
//! The first blocking call starts one tokio runtime for the whole process, with one worker thread, `b2b-auth`. It stays until the
//! process ends. The call itself runs on the calling thread. The worker serves connections and timers, and runs background tasks
//! such as the refresh of a managed token, which therefore continue between calls. Do not block that thread: an
//! [`Observer`](crate::telemetry::Observer) or a [`SecretProvider`](crate::SecretProvider) of managed tokens can run there.
//!
//! A managed token is refreshed on the runtime of the caller who started that. If the same tokens also serve async calls on a
//! current-thread runtime that does not always run, give their builder a `runtime` that does.
//!
//! Any number of threads can call at the same time. Clients can be dropped anywhere, also in async code.
//!
//! A client can serve blocking and async calls at the same time. Blocking calls have a connection pool of their own, because a
//! connection works only while the runtime that opened it runs. A [`Transport`](crate::transport::Transport) of your own is used by
//! both; an [`HttpTransport`](crate::transport::HttpTransport) inside of it still has two pools.
//!
//! # Inside of an async context
//! A blocking call would keep the thread from its other tasks, so it returns an
//! [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) there and sends nothing. This holds for each thread that has a tokio
//! runtime, also for the threads of `spawn_blocking`: tokio does not tell them apart. In async code use the async form. On a thread
//! of `spawn_blocking` use `Handle::current().block_on(…)` with the async form.
//!
//! # How long a call blocks
//! At most until its deadline, which covers the wait for the rate limit, all attempts and the waits between them: see
//! [`ClientBuilder::deadline`](crate::ClientBuilder::deadline) and [`CallOptions`](crate::CallOptions). A blocking call cannot be
//! cancelled.
//!
//! # After a fork
//! A fork does not copy the runtime's thread. If the parent process has made a blocking call, each one in the forked process returns
//! an [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) at once and sends nothing. Servers that fork a process for each
//! worker should build clients and make calls after the fork only: a client that was used before it shares connections with the
//! parent process.

use std::{fmt, future::Future, io, iter::FusedIterator, process, sync::OnceLock};

use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{Error, ServerToken, ServerTokenStream};

/// The name of the worker thread. Linux shows 15 letters.
const THREAD_NAME: &str = "b2b-auth";

/// The runtime of all blocking calls. It is never dropped: that would panic in async code.
static RUNTIME: OnceLock<BlockingRuntime> = OnceLock::new();

/// Runs a future of this SDK to completion, and blocks the calling thread meanwhile.
///
/// It is the blocking form of every async method that has none of its own. If the future returns a `Result`, there are two: the outer
/// one says whether blocking is possible here.
///
/// ```
/// # use bigcommerce_b2b_auth::{Client, StoreAccess};
/// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "tokens")] {
/// # let runtime = tokio::runtime::Runtime::new()?;
/// # let sandbox = runtime.block_on(Sandbox::builder().start())?;
/// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
/// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
/// # let customer = bigcommerce_b2b_auth::CustomerId::new(demo::CUSTOMER_ID)?;
/// use bigcommerce_b2b_auth::{StorefrontTokens, blocking};
///
/// let tokens = StorefrontTokens::builder().client(client).build();
/// let token = tokens.get_blocking(customer)?;
/// # drop(token);
/// let is_forgotten = blocking::run(tokens.forget_and_confirm(customer))??;
/// assert!(is_forgotten);
/// blocking::run(tokens.shutdown())?;
/// # }
/// # Ok(())
/// # }
/// ```
///
/// A response of `StorefrontApi::send` is read in the same future: `run(async { api.send(customer, request).await?.text().await })`.
///
/// # Errors
/// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), before the future runs: inside of an async context, in a forked
/// process, and if the runtime cannot be started. See the [module](self).
///
/// # Panics
/// If the future panics, for example in an observer. Other calls are not affected.
pub fn run<F: Future>(future: F) -> Result<F::Output, Error> {
    refuse_async_context()?;
    Ok(BlockingRuntime::get()?.here()?.block_on(future))
}

/// Whether the code that asks is run by the runtime of blocking calls, on a calling thread or in a background task.
pub(crate) fn is_runtime_current() -> bool {
    let id = RUNTIME.get().map(|it| it.runtime.handle().id());
    id.is_some() && Handle::try_current().ok().map(|handle| handle.id()) == id
}

/// The runtime, and the process that its worker thread is in.
#[derive(Debug)]
struct BlockingRuntime {
    runtime: Runtime,
    process: u32,
}

impl BlockingRuntime {
    fn get() -> Result<&'static Self, Error> {
        if let Some(running) = RUNTIME.get() {
            return Ok(running);
        }
        // Started outside of the lock: a fork in the middle would leave the lock taken for ever in the forked process.
        let started = Self::start().map_err(|error| {
            Error::configuration("the runtime of blocking calls cannot be started")
                .with_source(Box::new(error))
        })?;
        if let Err(superfluous) = RUNTIME.set(started) {
            superfluous.runtime.shutdown_background();
        }
        // It is set now, by this thread or by another one.
        RUNTIME
            .get()
            .ok_or_else(|| Error::configuration("the runtime of blocking calls is not there"))
    }

    fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(THREAD_NAME)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime,
            process: process::id(),
        })
    }

    /// The runtime, unless its worker thread is in another process, where it serves nobody here.
    fn here(&self) -> Result<&Runtime, Error> {
        if self.process == process::id() {
            return Ok(&self.runtime);
        }
        Err(Error::configuration(
            "blocking calls are not possible in this forked process: the thread that serves their connections is in the parent \
             process; make the first blocking call after the fork",
        ))
    }
}

/// A thread that runs tasks must not block.
fn refuse_async_context() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Err(Error::configuration(
            "blocking calls are not possible inside of an async context, because they would hold up other tasks: use the async \
             form there, such as `send().await`, and on a thread of `spawn_blocking` run that by `Handle::current().block_on(…)`",
        )),
        // tokio would panic.
        Err(error) if error.is_thread_local_destroyed() => Err(Error::configuration(
            "blocking calls are not possible in a thread that is ending",
        )
        .with_source(Box::new(error))),
        Err(_) => Ok(()),
    }
}

/// All server-to-server tokens of a store, page by page as they are read; made by
/// [`AllServerTokens::iter_blocking`](crate::AllServerTokens::iter_blocking). It ends with the first error.
pub struct ServerTokenIter {
    /// `None` when it has ended.
    tokens: Option<ServerTokenStream>,
}

impl ServerTokenIter {
    pub(crate) fn new(tokens: ServerTokenStream) -> Self {
        Self {
            tokens: Some(tokens),
        }
    }
}

impl Iterator for ServerTokenIter {
    type Item = Result<ServerToken, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        // An error or a panic ends it.
        let mut tokens = self.tokens.take()?;
        let token = run(tokens.next()).unwrap_or_else(|error| Some(Err(error)));
        if let Some(Ok(_)) = token {
            self.tokens = Some(tokens);
        }
        token
    }
}

impl FusedIterator for ServerTokenIter {}

impl fmt::Debug for ServerTokenIter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTokenIter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// What a fork leaves: a runtime whose worker thread is in another process.
    #[test]
    fn a_call_in_another_process_than_the_runtimes_is_refused_at_once() {
        let forked = BlockingRuntime {
            process: process::id() + 1,
            ..BlockingRuntime::start().unwrap()
        };
        let error = forked.here().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("after the fork"), "{error}");
        assert!(!error.may_have_been_applied());
    }

    #[test]
    fn there_is_one_runtime_for_all_threads() {
        let id = || BlockingRuntime::get().unwrap().runtime.handle().id();
        let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(id)).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), id());
        }
    }

    #[test]
    fn the_runtime_is_current_in_a_call_and_in_its_tasks() {
        let of_task = || async { tokio::spawn(async { is_runtime_current() }).await.unwrap() };
        assert!(!is_runtime_current());
        assert!(run(async { is_runtime_current() }).unwrap());
        assert!(run(of_task()).unwrap());
        assert!(!is_runtime_current());
        let another = Builder::new_current_thread().build().unwrap();
        assert!(!another.block_on(of_task()));
    }

    /// Makes a blocking call when its thread ends.
    struct AtTheEnd(std::sync::mpsc::Sender<Result<(), Error>>);

    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.send(run(async {})).unwrap();
        }
    }

    thread_local!(static AT_THE_END: std::cell::RefCell<Option<AtTheEnd>> = const { std::cell::RefCell::new(None) });

    #[test]
    fn a_call_while_the_thread_ends_does_not_panic() {
        let (told, results) = std::sync::mpsc::channel();
        let ending = std::thread::spawn(move || {
            // Dropped after tokio's own thread-local value, which is made later.
            AT_THE_END.with_borrow_mut(|it| *it = Some(AtTheEnd(told)));
            run(async {}).unwrap();
        });
        ending.join().unwrap();
        let error = results.recv().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
    }
}
