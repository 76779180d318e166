//! Seeing what calls do: spans for `tracing` with OpenTelemetry's names, and a hook for metrics. No secret comes here: not
//! the URL with its query, not a header, not a body.

use std::{fmt, time::Duration};

use bigcommerce_b2b_auth_api::Operation;
use tracing::{Span, field::Empty};

use crate::{BudgetReading, CustomerId, Error, ErrorKind, ReplyMeta};

#[cfg(feature = "snapshot")]
pub use crate::token_cache::snapshot::SnapshotEvent;

/// Is told what calls do, as it happens: a hook for metrics.
///
/// Calls of the storefront's APIs by a `StorefrontApi` or a `TokenLayer` (feature `tokens`) are told as well: their operations have the ids `storefront-graphql` and `storefront-rest`, the latter without a path. A response that
/// is handed over with a status from 300 counts as failed.
///
/// Every method has an empty default. They run on the task of the call, between its steps: what takes long holds up the
/// call. What they panic with, the call panics with.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use bigcommerce_b2b_auth::telemetry::{Observer, RetryEvent};
///
/// #[derive(Debug, Default)]
/// struct Repetitions(AtomicU64);
///
/// impl Observer for Repetitions {
///     fn on_retry(&self, event: &RetryEvent<'_>) {
///         println!("{} again in {:?}: {:?}", event.operation.id, event.wait, event.cause);
///         self.0.fetch_add(1, Ordering::Relaxed);
///     }
/// }
/// ```
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// A call had to wait for the store's budget, and got its permit or gave up.
    fn on_permit_wait(&self, event: &PermitWaitEvent<'_>) {
        let _ = event;
    }

    /// An attempt ended.
    fn on_attempt(&self, event: &AttemptEvent<'_>) {
        let _ = event;
    }

    /// An attempt failed and will be made again.
    fn on_retry(&self, event: &RetryEvent<'_>) {
        let _ = event;
    }

    /// A call ended.
    fn on_call(&self, event: &CallEvent<'_>) {
        let _ = event;
    }

    /// A managed token was fetched, or could not be: once for all who waited for it.
    #[cfg(feature = "tokens")]
    fn on_token_fetch(&self, event: &TokenFetchEvent<'_>) {
        let _ = event;
    }

    /// A managed token had to go because the cache was full.
    #[cfg(feature = "tokens")]
    fn on_token_eviction(&self, event: &TokenEvictionEvent) {
        let _ = event;
    }

    /// The token backend of the managed tokens failed, or works again: once for each outage.
    #[cfg(feature = "tokens")]
    fn on_backend(&self, event: &BackendEvent<'_>) {
        let _ = event;
    }

    /// The snapshot of the managed tokens was read or written, or could not be.
    #[cfg(feature = "snapshot")]
    fn on_snapshot(&self, event: &SnapshotEvent<'_>) {
        let _ = event;
    }
}

/// A call that waited for the store's budget.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PermitWaitEvent<'e> {
    /// The operation.
    pub operation: &'static Operation,
    /// The store, where the credentials name it.
    pub store_hash: Option<&'e str>,
    /// How long it waited.
    pub waited: Duration,
    /// Whether it got its permit.
    pub granted: bool,
}

/// An attempt that ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AttemptEvent<'e> {
    /// The operation.
    pub operation: &'static Operation,
    /// The store, where the credentials name it.
    pub store_hash: Option<&'e str>,
    /// Which attempt of its call it was, from 1.
    pub attempt: u32,
    /// The HTTP status, if there was a reply.
    pub status: Option<u16>,
    /// How it failed; `None` when it did not.
    pub failed: Option<ErrorKind>,
    /// How long it took.
    pub latency: Duration,
    /// What the reply said of the budget.
    pub budget: BudgetReading,
}

/// A failed attempt that will be made again.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RetryEvent<'e> {
    /// The operation.
    pub operation: &'static Operation,
    /// The store, where the credentials name it.
    pub store_hash: Option<&'e str>,
    /// Which attempt failed, from 1.
    pub attempt: u32,
    /// Why it is made again.
    pub cause: RetryCause,
    /// After how long.
    pub wait: Duration,
}

/// Why an attempt is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RetryCause {
    /// Nothing was sent.
    NotSent,
    /// It may have been sent, and no whole reply came.
    NoReply,
    /// 429.
    Throttled,
    /// 5xx, or such a code in the body of a success.
    ServerError,
    /// 408 or 425.
    Refused,
    /// The credential was refused, and its provider had another one.
    NewCredential,
}

impl RetryCause {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::NoReply => "no_reply",
            Self::Throttled => "throttled",
            Self::ServerError => "server_error",
            Self::Refused => "refused",
            Self::NewCredential => "new_credential",
        }
    }
}

/// A call that ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CallEvent<'e> {
    /// The operation.
    pub operation: &'static Operation,
    /// The store, where the credentials name it.
    pub store_hash: Option<&'e str>,
    /// How many attempts were made.
    pub attempts: u32,
    /// How long it took, the waits included.
    pub latency: Duration,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallOutcome {
    /// With what was asked for.
    Succeeded,
    /// With an error.
    Failed(ErrorKind),
    /// Its future was dropped before it was done.
    Dropped,
}

/// A fetch of a managed token that ended.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TokenFetchEvent<'e> {
    /// The store.
    pub store_hash: &'e str,
    /// Why it was fetched.
    pub cause: FetchCause,
    /// How long it took, the waits for the budget and for other processes included.
    pub latency: Duration,
    /// Where the token came from; `None` when none did.
    pub source: Option<TokenSource>,
    /// How it failed; `None` when it did not.
    pub failed: Option<ErrorKind>,
}

/// Why a managed token is fetched.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FetchCause {
    /// There was none.
    Cold,
    /// It is renewed in the background, ahead of time.
    Soft,
    /// It is close to its end, or to what the request needs, and a new one is waited for.
    Blocking,
    /// The one before it was refused.
    Forced,
    /// It is fetched before anybody asks for it: [`StorefrontTokens::warm`](crate::StorefrontTokens::warm).
    Warm,
}

#[cfg(feature = "tokens")]
impl FetchCause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Soft => "soft",
            Self::Blocking => "blocking",
            Self::Forced => "forced",
            Self::Warm => "warm",
        }
    }
}

/// Where a managed token came from.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TokenSource {
    /// The service.
    Minted,
    /// The store that the fleet shares.
    SharedStore,
}

/// A managed token that had to go because the cache was full.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TokenEvictionEvent {
    /// Whether it was still valid, so that it costs a mint when it is asked for again.
    pub is_live: bool,
    /// For how long it would still have been served.
    pub remaining: Duration,
}

/// The token backend of the managed tokens, a [`TokenStore`](crate::TokenStore), failed or works again.
///
/// While it is down, tokens are minted without it: nothing fails, but each process pays for its own tokens.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackendEvent<'e> {
    /// A call failed, did not end in time, or panicked. Further failures of the same outage are not reported.
    #[non_exhaustive]
    Down {
        /// What the first failed call said: one line of at most 500 characters.
        error: &'e str,
    },
    /// A call succeeded: the outage is over.
    #[non_exhaustive]
    Recovered {
        /// How long the outage took, from the first failed call to the first one that succeeded.
        down_for: Duration,
        /// Calls that failed during the outage.
        failed_calls: u64,
        /// Calls that were not made, because a call had failed within the last seconds.
        skipped_calls: u64,
    },
}

/// The span of a fetch. It has no parent: it belongs to all who wait, whose spans follow from it.
#[cfg(feature = "tokens")]
pub(crate) fn fetch_span(store_hash: &str, cause: FetchCause) -> Span {
    tracing::info_span!(
        parent: None,
        "b2b_auth.fetch",
        otel.name = "fetch storefront token",
        otel.kind = "internal",
        otel.status_code = Empty,
        b2b.store_hash = store_hash,
        b2b.cause = cause.as_str(),
        error.r#type = Empty,
    )
}

/// The span of a whole call. It is entered while the call runs, so that the spans of its attempts are its children.
pub(crate) fn call_span(operation: &'static Operation, store_hash: Option<&str>) -> Span {
    tracing::info_span!(
        "b2b_auth.call",
        otel.name = operation.id,
        otel.kind = "internal",
        otel.status_code = Empty,
        b2b.operation = operation.id,
        b2b.store_hash = store_hash,
        b2b.customer_id = Empty,
        b2b.attempts = Empty,
        error.r#type = Empty,
    )
}

pub(crate) fn record_customer(span: &Span, customer: CustomerId) {
    span.record("b2b.customer_id", customer.get());
}

/// The span of one attempt on this host and port: that of an HTTP client by OpenTelemetry's conventions. `url` is the part of
/// the URL that can be shown: the query can hold a session JWT.
pub(crate) fn attempt_span(
    operation: &'static Operation,
    (host, port): (&str, u16),
    url: impl fmt::Display,
    attempt: u32,
    waited: Duration,
) -> Span {
    // A call whose path is the caller's own has none here.
    let template = Some(operation.path).filter(|path| !path.is_empty());
    let span = tracing::info_span!(
        "b2b_auth.attempt",
        otel.name = Empty,
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = operation.method,
        http.request.resend_count = Empty,
        http.response.status_code = Empty,
        url.full = Empty,
        url.template = template,
        server.address = host,
        server.port = port,
        network.protocol.version = Empty,
        b2b.attempt = attempt,
        b2b.wait_ms = millis(waited),
        b2b.budget.left = Empty,
        b2b.request_id = Empty,
        error.r#type = Empty,
    );
    // Texts that have to be put together are, only where somebody looks.
    if !span.is_disabled() {
        match template {
            Some(path) => span.record("otel.name", format_args!("{} {path}", operation.method)),
            None => span.record("otel.name", operation.method),
        };
        span.record("url.full", format_args!("{url}"));
        if attempt > 1 {
            span.record("http.request.resend_count", attempt - 1);
        }
    }
    span
}

pub(crate) fn record_protocol(span: &Span, version: http::Version) {
    if !span.is_disabled() {
        let version = match version {
            http::Version::HTTP_09 => "0.9",
            http::Version::HTTP_10 => "1.0",
            http::Version::HTTP_2 => "2",
            http::Version::HTTP_3 => "3",
            _ => "1.1",
        };
        span.record("network.protocol.version", version);
    }
}

/// Records the end of an attempt.
pub(crate) fn record_attempt(span: &Span, meta: Option<&ReplyMeta>, failed: Option<ErrorKind>) {
    if span.is_disabled() {
        return;
    }
    if let Some(kind) = failed {
        record_failed(span, meta.map(|meta| meta.status), kind);
    }
    if let Some(meta) = meta {
        record_response(span, meta);
    }
}

fn record_response(span: &Span, meta: &ReplyMeta) {
    span.record("http.response.status_code", meta.status);
    if let Some(left) = meta.budget.remaining {
        span.record("b2b.budget.left", left);
    }
    if let Some(id) = &meta.request_id {
        span.record("b2b.request_id", id.as_str());
    }
}

/// What a span is told of a failure: the status where there is one, else the kind, as OpenTelemetry asks.
pub(crate) fn record_failure(span: &Span, error: &Error) {
    record_failed(span, error.status(), error.kind());
}

/// The same by status and kind.
pub(crate) fn record_failed(span: &Span, status: Option<u16>, kind: ErrorKind) {
    if span.is_disabled() {
        return;
    }
    span.record("otel.status_code", "ERROR");
    match status.filter(|status| *status >= 300) {
        Some(status) => span.record("error.type", format_args!("{status}")),
        None => span.record("error.type", format_args!("{kind:?}")),
    };
}

pub(crate) fn note_retry(cause: RetryCause, attempt: u32, wait: Duration) {
    tracing::debug!(
        cause = cause.as_str(),
        attempt,
        wait_ms = millis(wait),
        "the attempt failed and is made again"
    );
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
