//! The thread that blocking calls run on, and the way there and back.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    process,
    sync::mpsc::{self, SyncSender},
    thread,
};

use bigcommerce_b2b_auth_api::Operation;
use tokio::{
    runtime::{self, Handle, Runtime},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::{Error, ErrorKind};

/// What threads are called in a debugger. Linux shows 15 letters.
const NAME: &str = "b2b-auth";

/// A call on its way to the thread.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A handle on the thread. The thread ends when the last one is dropped, since nothing can come any more.
#[derive(Clone)]
pub(super) struct RuntimeThread {
    jobs: UnboundedSender<Job>,
    /// The process that the thread is in. A fork copies the handle and not the thread.
    process: u32,
}

impl RuntimeThread {
    /// Starts a thread with a runtime.
    pub(super) fn start() -> Result<Self, Error> {
        refuse_async_context()?;
        let (jobs, arriving) = unbounded_channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(not_started)?;
        thread::Builder::new()
            .name(NAME.to_owned())
            .spawn(|| serve(runtime, arriving))
            .map_err(not_started)?;
        Ok(Self {
            jobs,
            process: process::id(),
        })
    }

    /// Runs `call` on the thread and waits for its result.
    pub(super) fn run<T: Send + 'static>(
        &self,
        operation: &'static Operation,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        self.wait_for(operation, call)?
    }

    /// As [`run`](Self::run), for what gives something else than a result.
    pub(super) fn wait_for<T: Send + 'static>(
        &self,
        operation: &'static Operation,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        refuse_async_context()?;
        self.refuse_other_process()?;
        let (give_back, result) = mpsc::sync_channel(1);
        self.jobs
            .send(Box::pin(hand_over(call, give_back)))
            .map_err(|_| Error::configuration("the thread of the blocking client has ended"))?;
        // Not one of tokio's channels, which would panic in an async context. This one fails when the job is dropped, and a
        // job does not outlive the thread.
        result.recv().map_err(|_| {
            Error::of_call(
                operation.name,
                ErrorKind::Interrupted,
                "the call broke off: something that the client was built with, such as an observer, panicked",
            )
            .maybe_applied(true)
        })
    }

    /// In a process that was forked off, nobody would ever take a call.
    fn refuse_other_process(&self) -> Result<(), Error> {
        if self.process == process::id() {
            return Ok(());
        }
        Err(Error::configuration(
            "the blocking client cannot be used in a forked process: the thread that makes its calls is in the process \
             that created it; create clients after the fork",
        ))
    }
}

impl fmt::Debug for RuntimeThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeThread")
            .field("running", &!self.jobs.is_closed())
            .finish()
    }
}

async fn hand_over<T>(call: impl Future<Output = T>, give_back: SyncSender<T>) {
    // There is room for it, and nobody stops waiting.
    let _ = give_back.send(call.await);
}

/// What the thread does.
fn serve(runtime: Runtime, mut arriving: UnboundedReceiver<Job>) {
    runtime.block_on(async {
        while let Some(job) = arriving.recv().await {
            // As a task, so that calls run side by side and a panic ends one of them.
            drop(tokio::spawn(job));
        }
    });
    // A name that is being looked up would be waited for otherwise.
    runtime.shutdown_background();
}

/// A thread that runs tasks must not wait.
fn refuse_async_context() -> Result<(), Error> {
    match Handle::try_current() {
        Ok(_) => Err(Error::configuration(
            "the blocking client was used inside of an async context, where it would hold up other tasks: use the async \
             Client there",
        )),
        Err(_) => Ok(()),
    }
}

fn not_started(error: std::io::Error) -> Error {
    Error::configuration("the thread of the blocking client cannot be started")
        .with_source(Box::new(error))
}

#[cfg(test)]
mod tests {
    use bigcommerce_b2b_auth_api::operations::POST_AUTH_CUSTOMERS_STOREFRONT;

    use super::*;

    #[test]
    fn a_thread_that_has_ended_is_told() {
        let (jobs, arriving) = unbounded_channel();
        drop(arriving);
        let thread = RuntimeThread {
            jobs,
            process: process::id(),
        };
        let error = thread
            .run(&POST_AUTH_CUSTOMERS_STOREFRONT, async { Ok(()) })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("has ended"), "{error}");
        assert!(!error.may_have_been_applied());
    }

    /// What a fork leaves: a handle whose thread is in another process, and a queue that nobody reads.
    #[test]
    fn a_call_in_another_process_than_the_threads_is_refused_at_once() {
        let (jobs, mut arriving) = unbounded_channel();
        let forked = RuntimeThread {
            jobs,
            process: process::id() + 1,
        };
        let error = forked
            .clone()
            .run(&POST_AUTH_CUSTOMERS_STOREFRONT, async { Ok(()) })
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("after the fork"), "{error}");
        assert!(!error.may_have_been_applied());
        assert!(arriving.try_recv().is_err());
    }

    #[test]
    fn a_runtime_that_goes_away_ends_what_waits() {
        let (jobs, mut arriving) = unbounded_channel();
        let waiting = thread::spawn(move || {
            let process = process::id();
            RuntimeThread { jobs, process }.run(&POST_AUTH_CUSTOMERS_STOREFRONT, async {
                std::future::pending::<Result<(), Error>>().await
            })
        });
        drop(arriving.blocking_recv());
        let error = waiting.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert!(error.may_have_been_applied());
    }
}
