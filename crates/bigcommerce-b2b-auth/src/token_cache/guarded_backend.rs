//! Calls to the token backend: a time limit for each, panics caught, and a circuit breaker that reports an outage once.

use std::{
    error::Error as StdError,
    fmt,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::backend::{Fingerprint, StoreError, StoreFuture, TokenStore};
use crate::{
    Clock, Jitter, Secret,
    error::redact::{LONGEST_READ, Redactor},
    telemetry::{BackendEvent, Observer, millis},
};

/// How long a cache miss waits for one answer of the backend.
pub(super) const MISS_TIMEOUT: Duration = Duration::from_millis(100);

/// How long a background task waits for one answer of the backend.
pub(super) const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a mint is assumed to take before the first one was measured.
const FIRST_ESTIMATE: Duration = Duration::from_secs(2);

/// The estimate stays between these two.
const SHORTEST_ESTIMATE: Duration = Duration::from_millis(500);
const LONGEST_ESTIMATE: Duration = Duration::from_secs(10);

/// The token backend of a cache, and whether it works.
///
/// Whatever fails in it is an outage, and costs mints: an error, no answer in time, a panic.
pub(super) struct Backend {
    store: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    jitter: Arc<dyn Jitter>,
    observer: Option<Arc<dyn Observer>>,
    health: Mutex<Health>,
}

/// How long a mint of a store usually takes, in microseconds: a moving average. A store whose rate limit is in use says nothing of
/// the others.
#[derive(Debug)]
pub(super) struct UsualMint(AtomicU64);

/// What is known about the backend.
#[derive(Debug, Default)]
struct Health {
    /// `None` while it works.
    outage: Option<Outage>,
    outages: u64,
    failed_calls: u64,
}

#[derive(Debug)]
struct Outage {
    /// On the monotonic clock, as the next one.
    since: Duration,
    /// When a cache miss may try it again.
    retry_at: Duration,
    failed_calls: u64,
    skipped_calls: u64,
}

/// What [`TokenMetrics`](super::TokenMetrics) says about the backend.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BackendMetrics {
    pub(super) is_down: bool,
    pub(super) outages: u64,
    pub(super) failed_calls: u64,
}

impl Backend {
    pub(super) fn new(
        store: Arc<dyn TokenStore>,
        clock: &Arc<dyn Clock>,
        jitter: &Arc<dyn Jitter>,
        observer: Option<&Arc<dyn Observer>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock: Arc::clone(clock),
            jitter: Arc::clone(jitter),
            observer: observer.cloned(),
            health: Mutex::default(),
        })
    }

    /// Asks the backend for a cache miss. `None` when it fails, and also when it failed a moment ago: then it is not asked.
    pub(super) async fn ask<'s, T>(
        &'s self,
        call: impl FnOnce(&'s dyn TokenStore) -> StoreFuture<'s, T>,
    ) -> Option<T> {
        if !self.may_be_asked() {
            return None;
        }
        self.ask_now(MISS_TIMEOUT, call).await.ok()
    }

    /// Asks the backend, also during an outage.
    pub(super) async fn ask_now<'s, T>(
        &'s self,
        time_limit: Duration,
        call: impl FnOnce(&'s dyn TokenStore) -> StoreFuture<'s, T>,
    ) -> Result<T, StoreError> {
        let began_in = self.health().current_outage();
        let answer = match timeout(time_limit, catching_panics(|| call(&*self.store))).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::new("it did not answer in time")),
        };
        match &answer {
            Ok(_) => self.succeeded(began_in),
            Err(error) => self.failed(began_in, error),
        }
        answer
    }

    /// The fingerprint by which the fleet knows a customer access token; `None` when the backend panics.
    pub(super) fn fingerprint(&self, customer_access_token: &Secret) -> Option<Fingerprint> {
        let call = || self.store.fingerprint(customer_access_token);
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(fingerprint) => Some(fingerprint),
            Err(_) => {
                let began_in = self.health().current_outage();
                self.failed(began_in, &panicked());
                None
            }
        }
    }

    /// How long to wait for another process that holds the lease before minting alone: about twice a usual mint. A holder
    /// that was killed must not deny its customer for longer.
    pub(super) fn wait_for_holder(&self, usual: &UsualMint) -> Duration {
        let usual = Duration::from_micros(usual.0.load(Ordering::Relaxed));
        // Up to a quarter more, so that not all processes give up at the same time.
        let factor = 2.0 + 0.5 * self.fraction();
        usual
            .clamp(SHORTEST_ESTIMATE, LONGEST_ESTIMATE)
            .mul_f64(factor)
    }

    pub(super) fn metrics(&self) -> BackendMetrics {
        let health = self.health();
        BackendMetrics {
            is_down: health.outage.is_some(),
            outages: health.outages,
            failed_calls: health.failed_calls,
        }
    }

    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fraction(&self) -> f64 {
        self.jitter.fraction().clamp(0.0, 1.0)
    }

    /// After a failure the backend is left alone for so long.
    fn pause(&self) -> Duration {
        Duration::from_secs(1) + Duration::from_secs(4).mul_f64(self.fraction())
    }

    /// Whether a cache miss may ask the backend. During an outage one of them does every few seconds.
    fn may_be_asked(&self) -> bool {
        let now = self.clock.reading().monotonic;
        let mut health = self.health();
        let Some(outage) = &mut health.outage else {
            return true;
        };
        if now < outage.retry_at {
            outage.skipped_calls += 1;
            return false;
        }
        outage.retry_at = now + self.pause();
        true
    }

    /// Only a call that began during the outage shows that it is over.
    fn succeeded(&self, began_in: Option<u64>) {
        let Some(began_in) = began_in else {
            return;
        };
        let now = self.clock.reading().monotonic;
        let mut health = self.health();
        if health.current_outage() != Some(began_in) {
            return;
        }
        let Some(outage) = health.outage.take() else {
            return;
        };
        drop(health);
        let down_for = now.saturating_sub(outage.since);
        tracing::info!(
            down_ms = millis(down_for),
            failed_calls = outage.failed_calls,
            skipped_calls = outage.skipped_calls,
            "the token backend works again"
        );
        self.report(&BackendEvent::Recovered {
            down_for,
            failed_calls: outage.failed_calls,
            skipped_calls: outage.skipped_calls,
        });
    }

    fn failed(&self, began_in: Option<u64>, error: &StoreError) {
        let now = self.clock.reading().monotonic;
        let retry_at = now + self.pause();
        let mut health = self.health();
        health.failed_calls += 1;
        if let Some(outage) = &mut health.outage {
            outage.failed_calls += 1;
            outage.retry_at = retry_at;
            return;
        }
        if began_in.is_some() {
            // It began during an outage that is over by now.
            return;
        }
        health.outages += 1;
        health.outage = Some(Outage {
            since: now,
            retry_at,
            failed_calls: 1,
            skipped_calls: 0,
        });
        drop(health);
        let error = text_of(error);
        tracing::warn!(
            error,
            "the token backend failed: tokens are minted without it until it works again"
        );
        self.report(&BackendEvent::Down { error: &error });
    }

    fn report(&self, event: &BackendEvent<'_>) {
        if let Some(observer) = &self.observer {
            observer.on_backend(event);
        }
    }
}

impl Default for UsualMint {
    fn default() -> Self {
        Self(AtomicU64::new(micros(FIRST_ESTIMATE)))
    }
}

impl UsualMint {
    /// Takes into account how long a mint took, the wait for a permit included.
    pub(super) fn took(&self, duration: Duration) {
        let measured = micros(duration);
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |usual| {
                Some(usual - usual / 8 + measured / 8)
            });
    }
}

impl Health {
    /// The number of the outage, while there is one.
    fn current_outage(&self) -> Option<u64> {
        self.outage.as_ref().map(|_| self.outages)
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("store", &self.store)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// The answer to a call, where a panic is an error: of the call itself, or of its future.
async fn catching_panics<'s, T>(
    call: impl FnOnce() -> StoreFuture<'s, T>,
) -> Result<T, StoreError> {
    let Ok(mut future) = catch_unwind(AssertUnwindSafe(call)) else {
        return Err(panicked());
    };
    poll_fn(|context| {
        let poll = || future.as_mut().poll(context);
        catch_unwind(AssertUnwindSafe(poll)).unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

fn panicked() -> StoreError {
    StoreError::new("it panicked")
}

/// What an error and its sources say, as one line of bounded length.
fn text_of(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        // A chain can be long, or lead back to itself.
        source = cause.source().filter(|_| text.len() < LONGEST_READ);
    }
    Redactor::new([]).message(&text)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 2)
}
