//! One call of a storefront API, as it is sent: spans and observer events of the call and its attempts, retries of what may be
//! repeated, and permits of the store's rate limit.

use std::{
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use http::{HeaderMap, Method, StatusCode};
use reqwest::Request;
use tracing::{Instrument as _, Span};
use url::Url;

use super::replay::{Answer, CallError, TokenUse};
use crate::{
    Client, CustomerId, Error, ErrorKind, PermitAsk, PermitOutcome, Priority, ReplyMeta,
    RetryPolicy,
    pipeline::{
        response,
        retry::{Decision, Failure, RetryTokens},
        transport::{Operation, ask_for_another_connection, operations},
    },
    rate_limit::HeldPermit,
    telemetry::{self, AttemptEvent, CallEvent, CallOutcome, PermitWaitEvent, RetryEvent},
};

/// Calls of the GraphQL API, for spans and events.
pub(super) static GRAPHQL: Operation = operation("storefront-graphql", "POST", "/graphql");

/// Calls of the REST APIs, for spans and events. Their paths are the caller's own, and stay out.
static REST: [Operation; 7] = [
    operation(REST_ID, "GET", ""),
    operation(REST_ID, "HEAD", ""),
    operation(REST_ID, "POST", ""),
    operation(REST_ID, "PUT", ""),
    operation(REST_ID, "PATCH", ""),
    operation(REST_ID, "DELETE", ""),
    operation(REST_ID, "OPTIONS", ""),
];

/// Calls by a method of nobody's list.
static OTHER: Operation = operation(REST_ID, "_OTHER", "");

const REST_ID: &str = "storefront-rest";

const fn operation(id: &'static str, method: &'static str, path: &'static str) -> Operation {
    // The type has no constructor outside of its crate.
    let mut operation = operations::GET_BACKEND_TOKENS;
    operation.id = id;
    operation.rust_name = "send";
    operation.name = id;
    operation.method = method;
    operation.path = path;
    operation.success_status = 200;
    operation.deprecated = false;
    operation.is_repeatable = false;
    operation.absent_is_done = false;
    operation.issued_token = None;
    operation.credentials = &[&["Authorization"]];
    operation
}

/// The operation of a REST call.
pub(super) fn rest(method: &Method) -> &'static Operation {
    let known = REST.iter().find(|known| known.method == method.as_str());
    known.unwrap_or(&OTHER)
}

/// The kind of a response that is no success, and what it is in words.
pub(super) fn kind_of(status: u16) -> Option<(ErrorKind, &'static str)> {
    Some(match status {
        200..=299 => return None,
        300..=399 => (ErrorKind::Redirected, "the storefront API points elsewhere"),
        403 => (
            ErrorKind::Forbidden,
            "the storefront API does not allow this customer to do so",
        ),
        404 => (ErrorKind::NotFound, "the storefront API is not there"),
        429 => (
            ErrorKind::RateLimited,
            "the storefront API was asked too often",
        ),
        400..=499 => (ErrorKind::Rejected, "the storefront API rejected the call"),
        _ => (ErrorKind::Server, "the storefront API failed"),
    })
}

/// How calls are repeated, and what they count against.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) retry: RetryPolicy,
    /// Apart from those of the Authentication API: an outage of the one takes no retries from the other.
    pub(super) retry_tokens: RetryTokens,
    /// After this time no attempt begins that repeats another one.
    pub(super) deadline: Duration,
    /// Whether each attempt takes a permit of the store's rate limit.
    pub(super) takes_permits: bool,
}

/// What an attempt came to.
pub(super) struct Attempted<T, E = Error> {
    pub(super) answer: Result<Answer<T>, E>,
    /// What it failed with; `None` for a success, and for a rejected token, which is not a failure of the attempt.
    pub(super) failure: Option<Failure>,
    /// The kind of failure, for spans and events. A rejected token has one too.
    pub(super) kind: Option<ErrorKind>,
    pub(super) meta: Option<ReplyMeta>,
}

impl<T> Attempted<T> {
    /// An attempt without a response.
    pub(super) fn failed(failure: Failure, error: Error) -> Self {
        Self {
            kind: Some(error.kind()),
            answer: Err(error),
            failure: Some(failure),
            meta: None,
        }
    }

    /// What the rate limit is told.
    fn permit_outcome(&self) -> PermitOutcome {
        match (self.failure, &self.meta) {
            (Some(Failure::Untrusted), _) => PermitOutcome::NotSent,
            (Some(failure), None) if !failure.may_have_been_applied() => PermitOutcome::NotSent,
            (_, None) => PermitOutcome::Unknown,
            (Some(failure), Some(meta)) if failure.is_throttled() => PermitOutcome::Refused {
                reading: meta.budget,
                wait: failure.wanted_wait(),
            },
            (_, Some(meta)) => PermitOutcome::Answered {
                reading: meta.budget,
            },
        }
    }
}

impl<T, E> Attempted<T, E> {
    /// An attempt that was answered. `failure` is what its status or its body says, and `kind` what its body does.
    pub(super) fn answered(
        answer: Answer<T>,
        failure: Option<Failure>,
        kind: Option<ErrorKind>,
        meta: ReplyMeta,
    ) -> Self {
        let is_rejection = !matches!(answer, Answer::Accepted(_));
        let by_status = kind_of(meta.status).map(|(kind, _)| kind);
        Self {
            kind: if is_rejection {
                Some(ErrorKind::TokenRejected)
            } else {
                by_status.or(kind)
            },
            answer: Ok(answer),
            failure: failure.filter(|_| !is_rejection),
            meta: Some(meta),
        }
    }

    /// An attempt of which nothing is known but that it failed.
    pub(super) fn broken(error: E) -> Self {
        Self {
            answer: Err(error),
            failure: None,
            kind: Some(ErrorKind::Interrupted),
            meta: None,
        }
    }
}

/// What a response that is no success says by its status.
pub(super) fn failure_of(
    status: StatusCode,
    headers: &HeaderMap,
    now: SystemTime,
) -> Option<Failure> {
    let wanted_wait = match status.as_u16() {
        200..=299 => return None,
        408 | 425 | 429 | 500..=599 => response::wanted_wait(headers, now),
        _ => None,
    };
    Some(Failure::Refused {
        status: status.as_u16(),
        under_success: false,
        wanted_wait,
    })
}

/// One call, from its first attempt to its end, for those who watch. Dropped before its end, it says so.
pub(super) struct DataCall<'c> {
    client: &'c Client,
    operation: &'static Operation,
    span: Span,
    began: Instant,
    attempts: AtomicU32,
    may_have_been_applied: AtomicBool,
    progress: Mutex<Progress>,
    is_running: AtomicBool,
}

/// How far a call has come.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// When the call began, or its last attempt ended.
    idle_since: Instant,
    first_attempt: Option<Instant>,
    /// Whether the attempt that is under way was paid for out of the retry budget.
    is_paid: bool,
}

impl<'c> DataCall<'c> {
    pub(super) fn new(
        client: &'c Client,
        operation: &'static Operation,
        customer: CustomerId,
    ) -> Self {
        let span = telemetry::call_span(operation, Some(client.store_hash().as_str()));
        if client.records_customers() {
            telemetry::record_customer(&span, customer);
        }
        let began = client.clock().instant();
        Self {
            client,
            operation,
            span,
            began,
            attempts: AtomicU32::new(0),
            may_have_been_applied: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                idle_since: began,
                first_attempt: None,
                is_paid: false,
            }),
            is_running: AtomicBool::new(true),
        }
    }

    /// Runs what the call does within its span.
    pub(super) async fn within_span<T>(&self, call: impl Future<Output = T>) -> T {
        if self.span.is_disabled() {
            call.await
        } else {
            pin!(call).instrument(self.span.clone()).await
        }
    }

    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.began)
    }

    /// An error of the attempts, with what the call took.
    pub(super) fn told(&self, error: Error) -> Error {
        let may_have_been_applied = error.may_have_been_applied() || self.may_have_been_applied();
        error
            .with_effort(self.attempts(), self.elapsed())
            .maybe_applied(may_have_been_applied)
    }

    /// How a call went, with how often it was sent.
    pub(super) fn outcome<T>(
        &self,
        healed: Result<(T, TokenUse), CallError<Error>>,
    ) -> Result<(T, TokenUse), Error> {
        match healed {
            Ok((value, token_use)) => {
                let sent = self.attempts();
                Ok((value, TokenUse { sent, ..token_use }))
            }
            Err(CallError::Send(error)) => Err(self.told(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether one of the attempts may have been.
    fn may_have_been_applied(&self) -> bool {
        self.may_have_been_applied.load(Ordering::Relaxed)
    }

    fn now(&self) -> Instant {
        self.client.clock().instant()
    }

    fn progress<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes one attempt: `attempt` is given its number. Spans and events tell of it.
    pub(super) async fn attempt<T, E, F: Future<Output = Attempted<T, E>>>(
        &self,
        server: &Server,
        attempt: impl FnOnce(u32) -> F,
    ) -> Attempted<T, E> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        let began = self.now();
        let waited = self.progress(|progress| {
            progress.first_attempt.get_or_insert(began);
            began.saturating_duration_since(progress.idle_since)
        });
        let span = telemetry::attempt_span(
            self.operation,
            (&server.host, server.port),
            &server.url,
            number,
            waited,
        );
        let attempt = pin!(attempt(number));
        let attempted = if span.is_disabled() {
            attempt.await
        } else {
            attempt.instrument(span.clone()).await
        };
        let ended = self.now();
        self.progress(|progress| progress.idle_since = ended);
        let meta = attempted.meta.as_ref();
        telemetry::record_attempt(&span, meta, attempted.kind);
        if let Some(observer) = self.client.observer() {
            observer.on_attempt(&AttemptEvent {
                operation: self.operation,
                store_hash: Some(self.client.store_hash().as_str()),
                attempt: number,
                status: meta.map(|meta| meta.status),
                failed: attempted.kind,
                latency: ended.saturating_duration_since(began),
                budget: meta.map(|meta| meta.budget).unwrap_or_default(),
            });
        }
        if let Some(failure) = attempted.failure {
            self.may_have_been_applied
                .fetch_or(failure.may_have_been_applied(), Ordering::Relaxed);
        }
        attempted
    }

    /// Makes attempts until one is no failure that may pass by itself, or the rules allow no other one. What cannot be copied
    /// is sent once.
    pub(super) async fn attempts_of<T, F: Future<Output = Attempted<T>>>(
        &self,
        rules: &Rules,
        may_be_repeated: bool,
        mut request: Request,
        attempt: impl Fn(Request, u32) -> F,
    ) -> Result<Answer<T>, Error> {
        loop {
            let again = may_be_repeated.then(|| request.try_clone()).flatten();
            let permit = self.permit(rules).await?;
            let server = Server::of(request.url(), self.operation);
            let attempted = self
                .attempt(&server, |number| attempt(request, number))
                .await;
            if let Some(permit) = permit {
                permit.settle(&attempted.permit_outcome());
            }
            let Attempted {
                answer,
                failure,
                kind,
                ..
            } = attempted;
            let Some(failure) = failure else {
                if kind.is_none() {
                    rules
                        .retry_tokens
                        .earn(self.progress(|progress| progress.is_paid));
                }
                return answer;
            };
            let Some((wait, next)) =
                again.and_then(|again| Some((self.wait(rules, failure)?, again)))
            else {
                return answer;
            };
            // It may hold a connection, which the next attempt can do with.
            drop(answer);
            self.note_retry(failure, wait);
            self.client.clock().sleep(wait).await;
            request = next;
            if failure.may_be_of_the_connection() {
                ask_for_another_connection(request.headers_mut());
            }
            // What repeats an attempt has no longer than the call.
            let left = self.time_left(rules);
            if let Some(limit) = request.timeout_mut() {
                *limit = left.min(*limit);
            }
        }
    }

    fn time_left(&self, rules: &Rules) -> Duration {
        rules.deadline.saturating_sub(self.elapsed())
    }

    /// How long to wait before another attempt, if there is one.
    fn wait(&self, rules: &Rules, failure: Failure) -> Option<Duration> {
        if !failure.may_pass() {
            return None;
        }
        let elapsed = self.progress(|progress| {
            progress.first_attempt.map_or(Duration::ZERO, |first| {
                progress.idle_since.saturating_duration_since(first)
            })
        });
        let decision = rules.retry.decide_repeatable(
            failure,
            self.attempts(),
            elapsed,
            Some(self.time_left(rules)),
            &**self.client.jitter(),
        );
        let Decision::Repeat { wait } = decision else {
            return None;
        };
        let is_charged = rules.retry.charges(failure);
        if is_charged && !rules.retry_tokens.pay() {
            return None;
        }
        self.progress(|progress| progress.is_paid = is_charged);
        Some(wait)
    }

    fn note_retry(&self, failure: Failure, wait: Duration) {
        let cause = failure.cause();
        telemetry::note_retry(cause, self.attempts(), wait);
        if let Some(observer) = self.client.observer() {
            observer.on_retry(&RetryEvent {
                operation: self.operation,
                store_hash: Some(self.client.store_hash().as_str()),
                attempt: self.attempts(),
                cause,
                wait,
            });
        }
    }

    /// A permit of the store's rate limit, where calls take one.
    async fn permit(&self, rules: &Rules) -> Result<Option<HeldPermit<'_>>, Error> {
        if !rules.takes_permits {
            return Ok(None);
        }
        let mut ask = PermitAsk::new(Priority::Interactive);
        ask.deadline = self.began.checked_add(rules.deadline);
        ask.repeats = self.attempts() > 0;
        let left = self.time_left(rules);
        let deadline = tokio::time::Instant::now().checked_add(left);
        let store = self.client.store_line();
        let clock = self.client.clock();
        let (permit, waited) = HeldPermit::take(store, ask, deadline, &**clock).await;
        if let (Some(waited), Some(observer)) = (waited, self.client.observer()) {
            observer.on_permit_wait(&PermitWaitEvent {
                operation: self.operation,
                store_hash: Some(self.client.store_hash().as_str()),
                waited,
                granted: permit.is_ok(),
            });
        }
        permit.map(Some).map_err(|late| {
            Error::of_data_api(
                ErrorKind::RateLimited,
                "the rate limit of the store gives no permit before the call's deadline",
            )
            .with_retry_after(Some(late.available_in))
            .maybe_applied(self.may_have_been_applied())
            .retryable(true)
        })
    }

    /// The call ended: as a failure of this kind, or as a success.
    pub(super) fn ended(&self, failed: Option<ErrorKind>) {
        if let Some(kind) = failed {
            telemetry::record_failed(&self.span, None, kind);
        }
        self.has_ended(failed.map_or(CallOutcome::Succeeded, CallOutcome::Failed));
    }

    fn has_ended(&self, outcome: CallOutcome) {
        if !self.is_running.swap(false, Ordering::Relaxed) {
            return;
        }
        self.span.record("b2b.attempts", self.attempts());
        if let Some(observer) = self.client.observer() {
            observer.on_call(&CallEvent {
                operation: self.operation,
                store_hash: Some(self.client.store_hash().as_str()),
                attempts: self.attempts(),
                latency: self.elapsed(),
                outcome,
            });
        }
    }
}

impl Drop for DataCall<'_> {
    fn drop(&mut self) {
        self.has_ended(CallOutcome::Dropped);
    }
}

/// Where an attempt goes, as spans tell it: neither a path of the caller's own, nor a query, nor a user name.
#[derive(Debug, Clone)]
pub(super) struct Server {
    host: String,
    port: u16,
    url: String,
}

impl Server {
    pub(super) fn of(url: &Url, operation: &Operation) -> Self {
        let path = if operation.path.is_empty() {
            ""
        } else {
            url.path()
        };
        Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            url: url.origin().ascii_serialization() + path,
        }
    }
}
