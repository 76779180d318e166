//! The two harnesses of the tests in `tests/`, which are never mixed: *time*, with the sandbox mounted in-process and
//! tokio's clock paused, and *wire*, with real sockets on the real clock and a sleeper that records and returns.

mod calls;
pub mod managed;
pub mod refusing;
mod seen;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use axum::{Router, body::Body};
use bigcommerce_b2b_auth::{
    Clock, Error, Jitter,
    transport::{Delivery, Operation, Transport, TransportError, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{ConnectionFault, Fault, Sandbox};
use tower::ServiceExt;

pub use calls::Caller;
pub use seen::Seen;

/// The sandbox as the far end of a client, without a socket between them.
///
/// A fault of the connection comes out as it would from one: as an error that says whether the request was sent, as a
/// reply that never comes, or as a body that breaks off, stalls or drips while it is read.
#[derive(Debug, Clone)]
pub struct InProcess(Router);

impl InProcess {
    /// Mounts a sandbox.
    #[must_use]
    pub fn new(sandbox: &Sandbox) -> Arc<Self> {
        Arc::new(Self(sandbox.service()))
    }
}

impl Transport for InProcess {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async move {
            let request = http::Request::<reqwest::Body>::try_from(request)?.map(Body::new);
            let Ok(response) = self.0.clone().oneshot(request).await;
            let (parts, body) = response.into_parts();
            match parts.extensions.get::<ConnectionFault>() {
                Some(fault @ ConnectionFault::NotSent) => {
                    return Err(TransportError::new(Delivery::NotSent, *fault));
                }
                // The client's own time-out is what ends it, on a paused clock as well.
                Some(ConnectionFault::Stall) => return std::future::pending().await,
                Some(fault) => return Err(TransportError::new(Delivery::Unknown, *fault)),
                None => {}
            }
            if parts.extensions.get::<Fault>().is_some() {
                let body = reqwest::Body::wrap_stream(body.into_data_stream());
                return Ok(http::Response::from_parts(parts, body).into());
            }
            // A whole body knows its length, as one behind a socket does.
            let body = axum::body::to_bytes(body, usize::MAX)
                .await
                .map_err(|error| TransportError::new(Delivery::Unknown, error))?;
            Ok(http::Response::from_parts(parts, body).into())
        })
    }
}

/// The clock of the *time* harness: tokio's, which is paused in a test, with a wall clock that moves along with it.
#[derive(Debug, Clone, Copy)]
pub struct PausedClock {
    start: tokio::time::Instant,
}

impl PausedClock {
    /// A round moment for the wall clock to start from: 2027-01-15 08:00:00 UTC.
    pub const EPOCH: Duration = Duration::from_secs(1_800_000_000);

    /// Starts now, inside of a runtime whose clock is paused.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: tokio::time::Instant::now(),
        }
    }

    /// The wall time.
    #[must_use]
    pub fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Self::EPOCH + self.elapsed()
    }

    /// What has passed since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.start.elapsed()
    }
}

impl Clock for PausedClock {
    fn now(&self) -> SystemTime {
        self.wall()
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The clock of the *wire* harness: the real one, with a sleep that writes down how long it should be, puts the clock
/// forward by that, and returns.
#[derive(Debug, Clone, Default)]
pub struct RecordingClock {
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl RecordingClock {
    /// The sleeps so far.
    #[must_use]
    pub fn slept(&self) -> Vec<Duration> {
        self.lock().clone()
    }

    fn ahead(&self) -> Duration {
        self.lock().iter().sum()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Duration>> {
        self.slept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for RecordingClock {
    fn now(&self) -> SystemTime {
        SystemTime::now() + self.ahead()
    }

    fn instant(&self) -> Instant {
        Instant::now() + self.ahead()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.lock().push(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Chance that is none: every wait is as long as it can be.
#[derive(Debug, Clone, Copy)]
pub struct LongestWait;

impl Jitter for LongestWait {
    fn fraction(&self) -> f64 {
        1.0
    }
}

/// An error as a person and as a log get to see it: Display, what its methods say, and the chain of its sources.
#[must_use]
pub fn render(error: &Error) -> String {
    use std::{error::Error as _, fmt::Write as _};

    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(text, "display: {error}");
    let _ = writeln!(
        text,
        "methods: kind={:?} status={:?} code={:?} message={:?} retryable={} retry_after={:?} applied={} hint={:?}",
        error.kind(),
        error.status(),
        error.code().map(ToString::to_string),
        error.message(),
        error.is_retryable(),
        error.retry_after(),
        error.may_have_been_applied(),
        error.hint(),
    );
    let _ = writeln!(text, "debug:   {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = writeln!(text, "source:  {cause}");
        source = cause.source();
    }
    text
}

/// The README's examples, run like any other.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
