//! What stands around the operations: unknown routes, the 429, the headers that all replies have.
//! Kept apart from the operations, since none of it depends on what was asked for.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderValue, StatusCode};

use crate::assumptions::{Assumptions, RetrySignal};
use crate::clock::http_date;
use crate::jwt::Signer;
use crate::operations::Unrouted;
use crate::rate_limit::{Permit, Standing};
use crate::reply::{ErrorShape, Refusal, Reply};

/// A refusal without an operation, in the shape that the service has for an unknown route.
pub(crate) fn refuse(status: StatusCode) -> Reply {
    Refusal::new(status, status.canonical_reason().unwrap_or_default())
        .shape(ErrorShape::CodeAndMessage)
        .into()
}

/// A refusal for a path that is unknown, or a method that the path does not take.
pub(crate) fn refuse_unrouted(unrouted: Unrouted) -> Reply {
    match unrouted {
        Unrouted::UnknownPath => refuse(StatusCode::NOT_FOUND),
        Unrouted::MethodNotAllowed(allowed) => {
            let mut reply = refuse(StatusCode::METHOD_NOT_ALLOWED);
            add(&mut reply, "allow", allowed);
            reply
        }
    }
}

/// The 429 for an empty purse, with the assumed body and the assumed ways of saying when to come
/// back.
pub(crate) fn too_many_requests(
    standing: Standing,
    now: SystemTime,
    assumptions: &Assumptions,
) -> Reply {
    let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, "sandbox: too many requests");
    let mut reply = Reply::from(refusal.shape(assumptions.throttle_body));
    let wait = standing.resets_after;
    let whole_seconds = whole_seconds(wait);
    for signal in &assumptions.throttle_signals {
        let (name, value) = match signal {
            RetrySignal::RetryAfterSeconds => ("retry-after", whole_seconds.to_string()),
            RetrySignal::RetryAfterDate => {
                // A date has whole seconds: the next full one after the window ends.
                let end = now
                    .checked_add(wait)
                    .and_then(|end| end.checked_add(Duration::from_nanos(999_999_999)));
                ("retry-after", http_date(end.unwrap_or(now)))
            }
            RetrySignal::XRetryAfter => ("x-retry-after", whole_seconds.to_string()),
            RetrySignal::RateLimitTimeResetMs => (
                "x-rate-limit-time-reset-ms",
                wait.as_nanos().div_ceil(1_000_000).to_string(),
            ),
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            reply.headers.insert(name, value);
        }
    }
    reply
}

/// A wait in the unit of `Retry-After`, rounded up.
pub(crate) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs()
        .saturating_add(u64::from(wait.subsec_nanos() > 0))
}

/// Adds what every reply has: the window of the store's purse, the date, and the ids of the
/// request.
///
/// A request whose store cannot be told spends from no purse, so its reply has no window headers.
pub(crate) fn add_headers(
    reply: &mut Reply,
    permit: Option<Permit>,
    number: u64,
    now: SystemTime,
    signer: &Signer,
    assumptions: &Assumptions,
) {
    let standing = match permit {
        Some(Permit::Granted(standing)) => standing,
        Some(Permit::Exhausted(standing)) => {
            Some(standing).filter(|_| assumptions.throttle_window_headers)
        }
        None => None,
    };
    if let Some(standing) = standing {
        for (name, value) in standing.headers() {
            add(reply, name, value);
        }
    }
    add(reply, "date", http_date(now));
    reply.add("x-request-id", signer.id("request", number));
    reply.add("trace-id", signer.id("trace", number));
    // No time passes within the sandbox; the figure is there because the service sends one.
    reply.add(
        "x-envoy-upstream-service-time",
        HeaderValue::from_static("1"),
    );
}

/// Adds a header whose value was written here, out of characters that a header may have.
fn add(reply: &mut Reply, name: &'static str, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        reply.add(name, value);
    }
}
