//! The loop of a call: permit, one attempt by the generated method, outcome, then retry or return. Deadline, spans and
//! observer events of the call live here; what concerns one request lives in `attempt.rs`.

#[cfg(feature = "tokens")]
use std::sync::atomic::AtomicU64;
use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bigcommerce_b2b_auth_api::{self as api, Delivery, Operation, Transport};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header::InvalidHeaderName};
use tracing::{Instrument as _, Span};

#[cfg(feature = "tokens")]
use crate::auth::credentials::TokenFingerprint;
use crate::{
    CallOptions, Client, Credentials, CustomerId, Error, ErrorKind, Hint, Reply, ReplyMeta, Secret,
    auth::{
        credentials::{Sealed, Token},
        secret_provider::header_safe,
    },
    error::Malformed,
    pipeline::{
        attempt::{Attempt, Failed, NOTHING},
        error_body,
        options::Settled,
        retry::{Decision, FailedAttempt, Failure},
        shared::Shared,
    },
    rate_limit::{HeldPermit, PermitAsk, PermitOutcome, StoreLine, TooLate},
    telemetry::{
        self, AttemptEvent, CallEvent, CallOutcome, PermitWaitEvent, RetryCause, RetryEvent,
    },
    time::deadline::in_time,
};

/// The header that names the store, the one credential header that holds no token.
const STORE_HASH: &str = "X-Store-Hash";

/// The progress of a call, for the code that runs it and may cancel it.
#[derive(Debug, Default)]
pub(crate) struct CallProgress {
    /// How many attempts were sent.
    sent: AtomicU32,
    /// Whether it had to wait for the store's budget.
    waited: AtomicBool,
    /// The fingerprint of the token that the last attempt was sent with.
    #[cfg(feature = "tokens")]
    token: AtomicU64,
}

impl CallProgress {
    /// An attempt is about to be sent with this token.
    fn sends(&self, token: Option<&Secret>) {
        #[cfg(feature = "tokens")]
        self.token.store(
            token
                .map_or(TokenFingerprint::NONE, TokenFingerprint::of)
                .bits(),
            Ordering::Relaxed,
        );
        #[cfg(not(feature = "tokens"))]
        let _ = token;
        self.sent.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(feature = "tokens")]
impl CallProgress {
    /// The token that the last attempt was sent with.
    pub(crate) fn token(&self) -> TokenFingerprint {
        TokenFingerprint::from_bits(self.token.load(Ordering::Relaxed))
    }

    pub(crate) fn has_sent(&self) -> bool {
        self.sent() > 0
    }

    /// How many attempts were sent so far.
    pub(crate) fn sent(&self) -> u32 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(crate) fn has_waited(&self) -> bool {
        self.waited.load(Ordering::Relaxed)
    }
}

/// What a builder says of its call besides the request.
#[derive(Debug, Default)]
pub(crate) struct CallSettings {
    pub(crate) options: Option<CallOptions>,
    /// The customer that the call is for, for spans of clients that record it.
    pub(crate) customer: Option<CustomerId>,
    pub(crate) progress: Option<Arc<CallProgress>>,
}

impl From<Option<CallOptions>> for CallSettings {
    fn from(options: Option<CallOptions>) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }
}

impl<C: Credentials> Client<C> {
    /// Makes a call. `read` turns the response body into the value that the caller gets.
    pub(crate) async fn perform<K: api::Call, T>(
        &self,
        call: &K,
        settings: impl Into<CallSettings>,
        read: impl FnOnce(K::Response, &ReplyMeta) -> Result<T, Malformed>,
    ) -> Result<Reply<T>, Error> {
        let CallSettings {
            options,
            customer,
            progress,
        } = settings.into();
        let mut secrets = Vec::new();
        call.visit_secrets(&mut |secret| secrets.push(Secret::from_body(secret.clone())));
        let context = CallContext::new(self, K::OPERATION, options, secrets, progress);
        if let Some(customer) = customer
            && context.shared.record_customer_id
        {
            telemetry::record_customer(&context.span, customer);
        }
        let span = context.span.clone();
        let run = context.run(call, read);
        // A span that nobody listens to would still have the call moved into it.
        if span.is_disabled() {
            run.await
        } else {
            run.instrument(span).await
        }
    }
}

/// What all attempts of one call have in common.
#[derive(Debug)]
pub(crate) struct CallContext {
    pub(super) operation: &'static Operation,
    pub(super) shared: Arc<Shared>,
    credentials: Arc<dyn Sealed>,
    store: Arc<StoreLine>,
    options: Settled,
    /// What this call sends besides the credentials and no message may repeat.
    pub(super) secrets: Vec<Secret>,
    progress: Option<Arc<CallProgress>>,
    began: Instant,
    /// By tokio's timer, which ends the wait for a permit.
    deadline: Option<tokio::time::Instant>,
    span: Span,
    attempts: AtomicU32,
    /// Until the call has ended and the observer knows.
    running: AtomicBool,
}

impl CallContext {
    fn new<C: Credentials>(
        client: &Client<C>,
        operation: &'static Operation,
        options: Option<CallOptions>,
        secrets: Vec<Secret>,
        progress: Option<Arc<CallProgress>>,
    ) -> Arc<Self> {
        let shared = Arc::clone(&client.shared);
        let credentials = Arc::clone(&client.credentials) as Arc<dyn Sealed>;
        let options = shared.options.overridden(options);
        let began = shared.clock.instant();
        let deadline = tokio::time::Instant::now().checked_add(options.deadline);
        let span = telemetry::call_span(operation, credentials.budget_key());
        Arc::new(Self {
            operation,
            shared,
            credentials,
            store: Arc::clone(&client.store),
            options,
            secrets,
            progress,
            began,
            deadline,
            span,
            attempts: AtomicU32::new(0),
            running: AtomicBool::new(true),
        })
    }

    async fn run<K: api::Call, T>(
        self: Arc<Self>,
        call: &K,
        read: impl FnOnce(K::Response, &ReplyMeta) -> Result<T, Malformed>,
    ) -> Result<Reply<T>, Error> {
        let result = match self.attempts_until_done(call).await {
            Ok((value, meta)) => match read(value, &meta) {
                Ok(value) => Ok(Reply::new(value, meta)),
                Err(malformed) => Err(self.malformed(malformed).with_meta(meta)),
            },
            Err(error) => Err(error),
        };
        match &result {
            Ok(_) => self.ended(CallOutcome::Succeeded),
            Err(error) => {
                telemetry::record_failure(&self.span, error);
                self.ended(CallOutcome::Failed(error.kind()));
            }
        }
        result
    }

    /// Sends attempts until one succeeds or a retry makes no sense.
    async fn attempts_until_done<K: api::Call>(
        self: &Arc<Self>,
        call: &K,
    ) -> Result<(K::Response, ReplyMeta), Error> {
        let mut state = RetryState {
            idle_since: self.began,
            first_attempt: None,
            may_have_been_applied: false,
            paid: false,
            asked_again: false,
        };
        let mut token = self.token(None).await?;
        let mut last: Option<Failed> = None;
        loop {
            let credentials = self.credential_values(token.as_ref())?;
            let needs_another_connection = match &last {
                Some(failed) => failed.failure.may_be_of_the_connection(),
                None => self.shared.take_suspicion(),
            };
            let permit = match self.permit().await {
                Ok(permit) => permit,
                Err(late) => return Err(self.too_late(late, last, &state)),
            };
            let timeout = self.options.attempt_timeout;
            let attempt = Arc::new(Attempt {
                context: Arc::clone(self),
                number: self.attempts.fetch_add(1, Ordering::Relaxed) + 1,
                token: token.clone(),
                credentials,
                needs_another_connection,
                may_have_been_applied: state.may_have_been_applied,
                limit: self.time_left().map_or(timeout, |left| left.min(timeout)),
                record: OnceLock::new(),
            });
            let mut failed = match self.attempt(call, attempt, permit, &mut state).await {
                Attempted::Succeeded(result) => {
                    if self.needs_access_token() {
                        self.store.successes.count();
                    }
                    self.store.retry_tokens.earn(state.paid);
                    return result;
                }
                Attempted::NotBuilt(error) => return Err(error),
                Attempted::Failed(failed) => *failed,
            };
            state.may_have_been_applied |= failed.failure.may_have_been_applied();
            if let Some(newer) = self.newer_token(&failed, token.as_ref(), &mut state).await {
                token = Some(newer);
                self.note_retry(RetryCause::NewCredential, Duration::ZERO);
                last = Some(failed);
                continue;
            }
            let Some(wait) = self.wait_before_next(&mut failed, &mut state) else {
                return Err(self.give_up(failed, &state));
            };
            self.note_retry(failed.failure.cause(), wait);
            last = Some(failed);
            self.shared.clock.sleep(wait).await;
        }
    }

    /// Sends one attempt by the generated method, and reports it.
    async fn attempt<K: api::Call>(
        self: &Arc<Self>,
        call: &K,
        attempt: Arc<Attempt>,
        permit: HeldPermit<'_>,
        state: &mut RetryState,
    ) -> Attempted<K::Response> {
        if let Some(progress) = &self.progress {
            progress.sends(attempt.token.as_ref());
        }
        let number = attempt.number;
        let clock = &self.shared.clock;
        let began = clock.instant();
        state.first_attempt.get_or_insert(began);
        let waited = began.saturating_duration_since(state.idle_since);
        let base = &self.shared.base_url;
        let span = telemetry::attempt_span(
            self.operation,
            (base.host.as_str(), base.port),
            format_args!("{}{}", base.prefix, self.operation.path),
            number,
            waited,
        );
        let generated = api::Client::new_with_client(
            base.prefix.as_str(),
            self.shared.http.clone(),
            Arc::clone(&attempt) as Arc<dyn Transport>,
        );
        let sent = call.send(&generated);
        let result = if span.is_disabled() {
            sent.await
        } else {
            sent.instrument(span.clone()).await
        };
        drop(generated);
        let recorded = Arc::into_inner(attempt).and_then(Attempt::into_record);
        let attempted = self.outcome(recorded, result);
        permit.settle(&attempted.for_rate_limit());
        state.idle_since = clock.instant();
        let (meta, kind) = (attempted.meta(), attempted.kind());
        telemetry::record_attempt(&span, meta, kind);
        if let Some(observer) = &self.shared.observer {
            observer.on_attempt(&AttemptEvent {
                operation: self.operation,
                store_hash: self.credentials.budget_key(),
                attempt: number,
                status: meta.map(|meta| meta.status),
                failed: kind,
                latency: state.idle_since.saturating_duration_since(began),
                budget: meta.map(|meta| meta.budget).unwrap_or_default(),
            });
        }
        attempted
    }

    /// What an attempt came to, by its record and by what the generated method made of the response.
    fn outcome<T>(
        &self,
        recorded: Option<Result<ReplyMeta, Failed>>,
        result: Result<api::ResponseValue<T>, api::Error<()>>,
    ) -> Attempted<T> {
        match (recorded, result) {
            (Some(Ok(meta)), Ok(value)) => Attempted::Succeeded(Ok((value.into_inner(), meta))),
            (Some(Ok(meta)), Err(error)) => {
                let error = self.malformed(Malformed::new(describe(&error)));
                Attempted::Succeeded(Err(error.with_meta(meta)))
            }
            (Some(Err(failed)), _) => Attempted::Failed(Box::new(failed)),
            // The request never got to the transport.
            (None, _) => Attempted::NotBuilt(
                self.error(
                    ErrorKind::InvalidInput,
                    "the request cannot be built: an argument does not fit into the URL, a header or the body",
                )
                .with_effort(self.attempts(), self.elapsed()),
            ),
        }
    }

    /// A success whose body does not hold what it should: the operation was applied, and its result is lost.
    fn malformed(&self, malformed: Malformed) -> Error {
        self.shared.suspect_connection();
        self.error(
            malformed.kind,
            format!("the service reported success, but {}", malformed.what),
        )
        .with_effort(self.attempts(), self.elapsed())
        .maybe_applied(true)
    }

    pub(super) fn error(&self, kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Error {
        Error::of_call(self.operation.name, kind, summary)
    }

    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    fn elapsed(&self) -> Duration {
        self.shared
            .clock
            .instant()
            .saturating_duration_since(self.began)
    }

    /// What is left until the deadline; `None` if the deadline is beyond what a clock can hold.
    fn time_left(&self) -> Option<Duration> {
        self.deadline?;
        Some(self.options.deadline.saturating_sub(self.elapsed()))
    }

    /// A permit of the store's budget, which is settled whatever becomes of the attempt.
    async fn permit(&self) -> Result<HeldPermit<'_>, TooLate> {
        let mut ask = PermitAsk::new(self.options.priority);
        ask.deadline = self.began.checked_add(self.options.deadline);
        ask.repeats = self.attempts() > 0;
        let clock = &*self.shared.clock;
        let (permit, waited) = HeldPermit::take(&self.store, ask, self.deadline, clock).await;
        if let Some(waited) = waited {
            if let Some(progress) = &self.progress {
                progress.waited.store(true, Ordering::Relaxed);
            }
            if let Some(observer) = &self.shared.observer {
                observer.on_permit_wait(&PermitWaitEvent {
                    operation: self.operation,
                    store_hash: self.credentials.budget_key(),
                    waited,
                    granted: permit.is_ok(),
                });
            }
        }
        permit
    }

    fn wait_before_next(&self, failed: &mut Failed, state: &mut RetryState) -> Option<Duration> {
        let retry = &self.options.retry;
        let decision = retry.decide(
            &FailedAttempt {
                operation: self.operation,
                failure: failed.failure.honoured(self.shared.longest_retry_after),
                attempt: self.attempts(),
                elapsed: state.first_attempt.map_or(Duration::ZERO, |first| {
                    state.idle_since.saturating_duration_since(first)
                }),
                time_left: self.time_left(),
            },
            &*self.shared.jitter,
        );
        let Decision::Repeat { wait } = decision else {
            return None;
        };
        let charged = retry.charges(failed.failure);
        if charged && !self.store.retry_tokens.pay() {
            failed.error.out_of_repetitions();
            return None;
        }
        state.paid = charged;
        Some(wait)
    }

    fn note_retry(&self, cause: RetryCause, wait: Duration) {
        telemetry::note_retry(cause, self.attempts(), wait);
        if let Some(observer) = &self.shared.observer {
            observer.on_retry(&RetryEvent {
                operation: self.operation,
                store_hash: self.credentials.budget_key(),
                attempt: self.attempts(),
                cause,
                wait,
            });
        }
    }

    /// The error of a call that ends with this failure.
    fn give_up(&self, failed: Failed, state: &RetryState) -> Error {
        if failed.failure.may_be_of_the_connection() {
            self.shared.suspect_connection();
        }
        let retryable = failed.failure.is_retryable(self.operation);
        failed
            .error
            .with_effort(self.attempts(), self.elapsed())
            .maybe_applied(state.may_have_been_applied)
            .retryable(retryable)
    }

    /// No permit before the deadline. Where an attempt was made, what it failed with says more.
    fn too_late(&self, late: TooLate, last: Option<Failed>, state: &RetryState) -> Error {
        match last {
            Some(mut failed) => {
                failed.error.wait_at_least(late.available_in);
                self.give_up(failed, state)
            }
            None => self
                .error(
                    ErrorKind::RateLimited,
                    "the request budget of the store gives no permit before the call's deadline",
                )
                .with_hint(Some(Hint::BudgetSpent))
                .with_retry_after(Some(late.available_in))
                .with_effort(0, self.elapsed())
                .retryable(true),
        }
    }

    /// The token of the credentials, if they have one that this operation sends.
    async fn token(&self, refused: Option<&Secret>) -> Result<Option<Secret>, Error> {
        let Some((header, token)) = self.credentials.token() else {
            return Ok(None);
        };
        let provider = match token {
            Token::Fixed(secret) => return Ok(Some(secret.clone())),
            Token::Provided(provider) => provider,
        };
        if !self
            .credential_headers()
            .is_some_and(|sent| sent.contains(&header))
        {
            return Ok(None);
        }
        let unavailable = |summary| {
            self.error(ErrorKind::CredentialsUnavailable, summary)
                .with_effort(self.attempts(), self.elapsed())
        };
        let secret = match in_time(self.deadline, provider.secret(refused)).await {
            Ok(Ok(secret)) => secret,
            Ok(Err(source)) => {
                return Err(unavailable("the provider of the token has none").with_source(source));
            }
            Err(_) => {
                return Err(unavailable(
                    "the provider of the token did not answer in time",
                ));
            }
        };
        header_safe(secret, "token that the provider gave")
            .map(Some)
            .map_err(|error| {
                unavailable("the provider gave what no header can carry")
                    .with_source(Box::new(error))
            })
    }

    /// Another token than the one that was refused, if its provider has one. It is asked once in a call.
    async fn newer_token(
        &self,
        failed: &Failed,
        token: Option<&Secret>,
        state: &mut RetryState,
    ) -> Option<Secret> {
        let refused = matches!(
            failed.error.kind(),
            ErrorKind::Unauthenticated | ErrorKind::Forbidden
        );
        let provided = matches!(self.credentials.token(), Some((_, Token::Provided(_))));
        if !refused || !provided || state.asked_again {
            return None;
        }
        state.asked_again = true;
        // Should the provider fail now, the refusal is what the caller has to hear of.
        let newer = self.token(token).await.ok()??;
        (Some(&newer) != token).then_some(newer)
    }

    /// The credential headers that this call sends, if the client has what the document asks for.
    pub(super) fn credential_headers(&self) -> Option<&'static [&'static str]> {
        let token = self.credentials.token().map(|(header, _)| header);
        let names_store = self.credentials.store_hash_header().is_some();
        self.operation
            .choose_credentials(|name| Some(name) == token || names_store && name == STORE_HASH)
    }

    /// Whether the operation cannot be called without the store's access token, so that its success shows that the token works.
    fn needs_access_token(&self) -> bool {
        let alternatives = self.operation.credentials;
        alternatives
            .iter()
            .all(|headers| headers.contains(&"X-Auth-Token"))
    }

    /// The credential headers of this operation with their values.
    ///
    /// # Errors
    /// A client without them, which only a call without a builder can have: nothing is sent.
    fn credential_values(
        &self,
        token: Option<&Secret>,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let chosen = self
            .credential_headers()
            .ok_or_else(|| self.missing_credentials())?;
        let mut headers = Vec::with_capacity(chosen.len());
        for name in chosen {
            let value = if *name == STORE_HASH {
                HeaderValue::try_from(self.credentials.store_hash_header().unwrap_or_default())
            } else {
                let token = token.map(|token| Bytes::from_owner(Plain(token.clone())));
                HeaderValue::from_maybe_shared(token.unwrap_or_default())
            };
            let (Ok(name), Ok(mut value)) = (credential_header(name), value) else {
                return Err(self.error(
                    ErrorKind::InvalidInput,
                    format!("the credential for {name} cannot be carried by a header"),
                ));
            };
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(headers)
    }

    fn missing_credentials(&self) -> Error {
        let alternatives = self.operation.credentials.iter();
        let needed: Vec<_> = alternatives.map(|headers| headers.join(" with ")).collect();
        let token = self.credentials.token().map(|(header, _)| header);
        let store_hash = self.credentials.store_hash_header().map(|_| STORE_HASH);
        let had: Vec<_> = token.into_iter().chain(store_hash).collect();
        self.error(
            ErrorKind::CredentialsUnavailable,
            format!(
                "not sent: it needs {}, and this client has {}; build a client with the credentials of this operation",
                needed.join(" or "),
                had.join(" with "),
            ),
        )
    }

    fn ended(&self, outcome: CallOutcome) {
        if !self.running.swap(false, Ordering::Relaxed) {
            return;
        }
        self.span.record("b2b.attempts", self.attempts());
        if let Some(observer) = &self.shared.observer {
            observer.on_call(&CallEvent {
                operation: self.operation,
                store_hash: self.credentials.budget_key(),
                attempts: self.attempts(),
                latency: self.elapsed(),
                outcome,
            });
        }
    }
}

impl Drop for CallContext {
    fn drop(&mut self) {
        self.ended(CallOutcome::Dropped);
    }
}

/// The name of a header, which for the usual ones does not have to be made and copied for each call.
fn credential_header(name: &str) -> Result<HeaderName, InvalidHeaderName> {
    match name {
        STORE_HASH => Ok(const { HeaderName::from_static("x-store-hash") }),
        "X-Auth-Token" => Ok(const { HeaderName::from_static("x-auth-token") }),
        _ => HeaderName::try_from(name),
    }
}

/// A secret as the bytes of a header: the header holds on to the secret's own memory, so nothing is copied, and what is
/// wiped in the end is the only one there is.
struct Plain(Secret);

impl AsRef<[u8]> for Plain {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// What the loop remembers from one attempt to the next.
#[derive(Debug)]
struct RetryState {
    /// When the call began, or its last attempt ended.
    idle_since: Instant,
    /// When the first attempt began: the wait for its permit is no part of the time that retries take.
    first_attempt: Option<Instant>,
    /// Whether one of its attempts may have been applied.
    may_have_been_applied: bool,
    /// Whether the current attempt was paid for out of the retry budget.
    paid: bool,
    /// Whether the provider was asked for another token.
    asked_again: bool,
}

/// What an attempt came to.
enum Attempted<T> {
    /// The service reported success. An error says that the body does not hold what it should.
    Succeeded(Result<(T, ReplyMeta), Error>),
    Failed(Box<Failed>),
    /// The request cannot be built from its arguments.
    NotBuilt(Error),
}

impl<T> Attempted<T> {
    fn meta(&self) -> Option<&ReplyMeta> {
        match self {
            Self::Succeeded(Ok((_, meta))) => Some(meta),
            Self::Succeeded(Err(error)) => error.meta(),
            Self::Failed(failed) => failed.error.meta(),
            Self::NotBuilt(_) => None,
        }
    }

    /// The kind of failure. A success that is malformed is a failure of the call, not of the attempt.
    fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Succeeded(_) => None,
            Self::Failed(failed) => Some(failed.error.kind()),
            Self::NotBuilt(error) => Some(error.kind()),
        }
    }

    /// What the rate limiter is told.
    fn for_rate_limit(&self) -> PermitOutcome {
        let reading = self.meta().map(|meta| meta.budget);
        let failure = match self {
            Self::NotBuilt(_) => return PermitOutcome::NotSent,
            Self::Succeeded(_) => None,
            Self::Failed(failed) => Some(failed.failure),
        };
        match (failure, reading) {
            (Some(Failure::NoReply(Delivery::NotSent) | Failure::Untrusted), _) => {
                PermitOutcome::NotSent
            }
            (_, None) => PermitOutcome::Unknown,
            (
                Some(Failure::Refused {
                    status: 429,
                    wanted_wait,
                    ..
                }),
                Some(reading),
            ) => PermitOutcome::Refused {
                reading,
                wait: wanted_wait,
            },
            (_, Some(reading)) => PermitOutcome::Answered { reading },
        }
    }
}

/// Why the generated method did not take a success. The body can hold a token, and the parser's message may quote from it, so
/// neither is repeated.
fn describe(error: &api::Error<()>) -> String {
    match error {
        api::Error::InvalidResponsePayload(body, _) if &body[..] == NOTHING => {
            "it says nothing".to_owned()
        }
        api::Error::InvalidResponsePayload(body, error) => {
            if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_err() {
                error_body::describe(body)
            } else {
                misfit(error)
            }
        }
        _ => "the generated client refused it".to_owned(),
    }
}

/// Where a success does not fit the type. Of the parser's own words only the name of a missing field is passed on, which
/// comes from the type: the others may quote a value.
fn misfit(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let missing = text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split('`').next());
    let place = format!("line {}, column {}", error.line(), error.column());
    match missing {
        Some(field) => format!("the field {field} is missing ({place})"),
        None => format!("a field is of an unknown type ({place})"),
    }
}
