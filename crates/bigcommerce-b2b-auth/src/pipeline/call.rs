//! The one place that sends anything: credentials, budget, attempts, and the decision to try again.
//! By the time a generated method parses, the reply is whole and known to be a success.

#[cfg(feature = "tokens")]
use std::sync::atomic::AtomicU64;
use std::{
    borrow::Cow,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bigcommerce_b2b_auth_api::{
    self as api, Delivery, Operation, ResponseValue, Transport, TransportError, TransportFuture,
    operations,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{InvalidHeaderName, USER_AGENT},
};
use reqwest::{Request, Response, ResponseBuilderExt as _};
use tracing::{Instrument as _, Span};

#[cfg(feature = "tokens")]
use crate::auth::credentials::TokenFingerprint;
use crate::{
    Clock, CustomerId, Error, ErrorKind, Hint, Reply, ReplyMeta, Secret,
    auth::{
        credentials::{Sealed, Token},
        secret_provider::header_safe,
    },
    client::Shared,
    error::Malformed,
    pipeline::{
        attempt::{Accepted, Attempt, Failed},
        error_body,
        options::Settled,
        retry::{Decision, FailedAttempt, Failure},
        transport::ask_for_another_connection,
    },
    rate_limit::{Permit, PermitAsk, PermitOutcome, StoreLine, TooLate},
    telemetry::{
        self, AttemptEvent, CallEvent, CallOutcome, PermitWaitEvent, RetryCause, RetryEvent,
    },
    time::deadline::in_time,
};

/// The header that names the store, the one credential header that holds no token.
const STORE_HASH: &str = "X-Store-Hash";

/// What an empty body is taken for: a success where nothing is returned.
const NOTHING: &[u8] = b"{}";

/// How far a call has come, for those who run it and may want to give it up.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    /// How many attempts were sent.
    sent: AtomicU32,
    /// Whether it had to wait for the store's budget.
    waited: AtomicBool,
    /// The fingerprint of the token that the last attempt was sent with.
    #[cfg(feature = "tokens")]
    token: AtomicU64,
}

impl Effort {
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
impl Effort {
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

/// One call of one operation, with everything that its attempts need.
#[derive(Debug)]
pub(crate) struct Call {
    operation: &'static Operation,
    shared: Arc<Shared>,
    credentials: Arc<dyn Sealed>,
    store: Arc<StoreLine>,
    options: Settled,
    /// What this call sends besides the credentials and no message may repeat.
    secrets: Vec<Secret>,
    effort: Option<Arc<Effort>>,
    began: Instant,
    /// By tokio's timer, which is what a wait for a permit is ended by.
    deadline: Option<tokio::time::Instant>,
    span: Span,
    attempts: AtomicU32,
    /// Left here by the attempt that succeeded: a generated method keeps headers, and neither attempts nor times.
    meta: Mutex<Option<ReplyMeta>>,
    /// Until the call has ended, and whoever watches was told.
    running: AtomicBool,
}

impl Call {
    pub(crate) fn new(
        operation: &'static Operation,
        shared: Arc<Shared>,
        credentials: Arc<dyn Sealed>,
        store: Arc<StoreLine>,
        options: Settled,
        secrets: Vec<Secret>,
        effort: Option<Arc<Effort>>,
    ) -> Arc<Self> {
        let began = shared.clock.instant();
        let deadline = tokio::time::Instant::now().checked_add(options.deadline);
        let span = telemetry::call_span(operation, credentials.budget_key());
        Arc::new(Self {
            operation,
            shared,
            credentials,
            store,
            options,
            secrets,
            effort,
            began,
            deadline,
            span,
            attempts: AtomicU32::new(0),
            meta: Mutex::new(None),
            running: AtomicBool::new(true),
        })
    }

    /// Says whom the call is for, where the client was told to tell.
    pub(crate) fn concerns(&self, customer: CustomerId) {
        if self.shared.record_customer_id {
            telemetry::record_customer(&self.span, customer);
        }
    }

    /// The generated client with this call as its transport.
    pub(crate) fn api(self: &Arc<Self>) -> api::Client {
        api::Client::new_with_client(
            self.shared.base_url.ready.clone(),
            self.shared.http.clone(),
            Arc::clone(self) as Arc<dyn Transport>,
        )
    }

    /// Turns what a generated method returned into the SDK's result, by way of `convert`.
    pub(crate) fn finish<T, U>(
        &self,
        result: Result<ResponseValue<T>, api::Error<()>>,
        convert: impl FnOnce(T, &ReplyMeta) -> Result<U, Malformed>,
    ) -> Result<Reply<U>, Error> {
        let result = self.convert(result, convert);
        match &result {
            Ok(_) => self.ended(CallOutcome::Succeeded),
            Err(error) => {
                telemetry::record_failure(&self.span, error);
                self.ended(CallOutcome::Failed(error.kind()));
            }
        }
        result
    }

    fn convert<T, U>(
        &self,
        result: Result<ResponseValue<T>, api::Error<()>>,
        convert: impl FnOnce(T, &ReplyMeta) -> Result<U, Malformed>,
    ) -> Result<Reply<U>, Error> {
        let value = result.map_err(|error| self.read_client_error(error))?;
        let Some(meta) = self.take_meta() else {
            return Err(self.malformed(Malformed::new("it did not come by way of this call")));
        };
        match convert(value.into_inner(), &meta) {
            Ok(value) => Ok(Reply::new(value, meta)),
            Err(malformed) => Err(self.malformed(malformed).with_meta(meta)),
        }
    }

    fn read_client_error(&self, error: api::Error<()>) -> Error {
        match TransportError::from_client_error(error) {
            Ok(error) => match error.into_source().downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => self
                    .error(ErrorKind::Interrupted, "the reply could not be read")
                    .with_effort(self.attempts(), self.elapsed())
                    .maybe_applied(true)
                    .with_source(source),
            },
            // The body of a success holds a token, and the parser's message may quote from it: only the place is told.
            Err(api::Error::InvalidResponsePayload(body, error)) => {
                let what = if &body[..] == NOTHING {
                    "it says nothing".to_owned()
                } else if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
                    error_body::describe(&body)
                } else {
                    misfit(&error)
                };
                let error = self.malformed(Malformed::new(what));
                match self.take_meta() {
                    Some(meta) => error.with_meta(meta),
                    None => error,
                }
            }
            // The rest is about statuses and requests that never get past the transport.
            Err(_) => self.malformed(Malformed::new("the generated client refused it")),
        }
    }

    fn take_meta(&self) -> Option<ReplyMeta> {
        self.meta
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// A success whose body does not hold what it should: it happened, and what it made is lost.
    fn malformed(&self, malformed: Malformed) -> Error {
        self.shared.suspect_connection();
        self.error(
            malformed.kind,
            format!("the service reported success, but {}", malformed.what),
        )
        .with_effort(self.attempts(), self.elapsed())
        .maybe_applied(true)
    }

    fn error(&self, kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Error {
        Error::of_call(self.operation.id, kind, summary)
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

    /// What is left until the deadline; `None` when there is none that a clock could hold.
    fn time_left(&self) -> Option<Duration> {
        self.deadline?;
        Some(self.options.deadline.saturating_sub(self.elapsed()))
    }

    /// Attempts until one succeeds or there is no point in another.
    async fn run(&self, mut request: Request) -> Result<Response, Error> {
        let mut progress = Progress {
            idle_since: self.began,
            first_attempt: None,
            may_have_been_applied: false,
            paid: false,
            asked_again: false,
        };
        let mut token = self.token(None).await?;
        // The first attempt takes the headers that are there. What is kept for another one is far cheaper than a second map.
        let mut headers = std::mem::take(request.headers_mut());
        let kept: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut last: Option<Failed> = None;
        loop {
            if last.is_some() {
                headers = HeaderMap::new();
                for (name, value) in &kept {
                    headers.append(name, value.clone());
                }
            }
            self.set_headers(&mut headers, token.as_ref())?;
            let needs_another_connection = match &last {
                Some(failed) => failed.failure.may_be_of_the_connection(),
                None => self.shared.take_suspicion(),
            };
            if needs_another_connection {
                ask_for_another_connection(&mut headers);
            }
            let permit = match self.permit().await {
                Ok(permit) => permit,
                Err(late) => return Err(self.too_late(late, last, &progress)),
            };
            // A body of the generated client is bytes, which are copied by counting.
            let Some(mut copy) = request.try_clone() else {
                return Err(self.error(ErrorKind::InvalidInput, "the request cannot be copied"));
            };
            *copy.headers_mut() = std::mem::take(&mut headers);
            let mut failed = match self
                .attempt(copy, permit, token.as_ref(), &mut progress)
                .await
            {
                Ok(accepted) => {
                    if self.needs_access_token() {
                        self.store.successes.count();
                    }
                    self.store.retry_tokens.earn(progress.paid);
                    return Ok(self.accept(accepted));
                }
                Err(failed) => failed,
            };
            if progress.may_have_been_applied
                && self.is_already_deleted(&failed)
                && let Some(response) = self.accept_deletion(&mut failed)
            {
                return Ok(response);
            }
            progress.may_have_been_applied |= failed.failure.may_have_been_applied();
            if let Some(newer) = self
                .newer_token(&failed, token.as_ref(), &mut progress)
                .await
            {
                token = Some(newer);
                self.note_retry(RetryCause::NewCredential, Duration::ZERO);
                last = Some(failed);
                continue;
            }
            let Some(wait) = self.wait_before_next(&mut failed, &mut progress) else {
                return Err(self.give_up(failed, &progress));
            };
            self.note_retry(failed.failure.cause(), wait);
            last = Some(failed);
            self.shared.clock.sleep(wait).await;
        }
    }

    /// A permit of the store's budget, which is settled whatever becomes of the attempt.
    async fn permit(&self) -> Result<HeldPermit<'_>, TooLate> {
        let mut ask = PermitAsk::new(self.options.priority);
        ask.deadline = self.began.checked_add(self.options.deadline);
        ask.repeats = self.attempts() > 0;
        let clock = &*self.shared.clock;
        let (permit, waited) = HeldPermit::take(&self.store, ask, self.deadline, clock).await;
        if let Some(waited) = waited {
            if let Some(effort) = &self.effort {
                effort.waited.store(true, Ordering::Relaxed);
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

    async fn attempt(
        &self,
        request: Request,
        permit: HeldPermit<'_>,
        token: Option<&Secret>,
        progress: &mut Progress,
    ) -> Result<Accepted, Failed> {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(effort) = &self.effort {
            effort.sends(token);
        }
        let clock = &self.shared.clock;
        let began = clock.instant();
        progress.first_attempt.get_or_insert(began);
        let waited = began.saturating_duration_since(progress.idle_since);
        let span = telemetry::attempt_span(self.operation, &self.shared.base_url, number, waited);
        let attempt = Attempt {
            operation: self.operation,
            shared: &self.shared,
            number,
            secrets: &self.secrets,
            token,
            sends: self.credential_headers().unwrap_or_default(),
        };
        let limit = self
            .time_left()
            .map_or(self.options.attempt_timeout, |left| {
                left.min(self.options.attempt_timeout)
            });
        // A span that nobody listens to would still have the attempt moved into it.
        let attempt = pin!(attempt.run(request, limit));
        let result = if span.is_disabled() {
            attempt.await
        } else {
            attempt.instrument(span.clone()).await
        };
        permit.settle(&outcome(&result));
        progress.idle_since = clock.instant();
        telemetry::record_attempt(&span, &result);
        if let Some(observer) = &self.shared.observer {
            let meta = match &result {
                Ok(accepted) => Some(&accepted.meta),
                Err(failed) => failed.error.meta(),
            };
            observer.on_attempt(&AttemptEvent {
                operation: self.operation,
                store_hash: self.credentials.budget_key(),
                attempt: number,
                status: meta.map(|meta| meta.status),
                failed: result.as_ref().err().map(|failed| failed.error.kind()),
                latency: progress.idle_since.saturating_duration_since(began),
                budget: meta.map(|meta| meta.budget).unwrap_or_default(),
            });
        }
        result
    }

    /// Whether the service says that the token to be deleted does not exist. A 404 of a proxy or of a wrong address says
    /// nothing about the token.
    fn is_already_deleted(&self, failed: &Failed) -> bool {
        self.operation.id == operations::DELETE_AUTH_BACKEND.id && failed.is_no_matching_token
    }

    fn wait_before_next(&self, failed: &mut Failed, progress: &mut Progress) -> Option<Duration> {
        let retry = &self.options.retry;
        let decision = retry.decide(
            &FailedAttempt {
                operation: self.operation,
                failure: failed.failure.honoured(self.shared.longest_retry_after),
                attempt: self.attempts(),
                elapsed: progress.first_attempt.map_or(Duration::ZERO, |first| {
                    progress.idle_since.saturating_duration_since(first)
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
        progress.paid = charged;
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
    fn give_up(&self, failed: Failed, progress: &Progress) -> Error {
        if failed.failure.may_be_of_the_connection() {
            self.shared.suspect_connection();
        }
        let retryable = failed.failure.is_retryable(self.operation);
        failed
            .error
            .with_effort(self.attempts(), self.elapsed())
            .maybe_applied(progress.may_have_been_applied)
            .retryable(retryable)
    }

    /// No permit before the deadline. Where an attempt was made, what it failed with says more.
    fn too_late(&self, late: TooLate, last: Option<Failed>, progress: &Progress) -> Error {
        match last {
            Some(mut failed) => {
                failed.error.wait_at_least(late.available_in);
                self.give_up(failed, progress)
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
        progress: &mut Progress,
    ) -> Option<Secret> {
        let refused = matches!(
            failed.error.kind(),
            ErrorKind::Unauthenticated | ErrorKind::Forbidden
        );
        let provided = matches!(self.credentials.token(), Some((_, Token::Provided(_))));
        if !refused || !provided || progress.asked_again {
            return None;
        }
        progress.asked_again = true;
        // Should the provider fail now, the refusal is what the caller has to hear of.
        let newer = self.token(token).await.ok()??;
        (Some(&newer) != token).then_some(newer)
    }

    /// The credential headers that this call sends, if the client has what the document asks for.
    fn credential_headers(&self) -> Option<&'static [&'static str]> {
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

    /// The document says which headers an operation takes; the type of the client has made sure that they are there.
    fn set_headers(&self, headers: &mut HeaderMap, token: Option<&Secret>) -> Result<(), Error> {
        headers.insert(USER_AGENT, self.shared.user_agent.clone());
        let chosen = self.credential_headers().ok_or_else(|| {
            self.error(
                ErrorKind::InvalidInput,
                "the document asks for credentials that this client does not have",
            )
        })?;
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
            headers.insert(name, value);
        }
        Ok(())
    }

    /// Hands a success to the generated method, which knows one status and wants a body.
    fn accept(&self, accepted: Accepted) -> Response {
        let Accepted { body, meta } = accepted;
        let body = if body.is_empty() {
            // Where something should be returned, the parser misses it.
            Bytes::from_static(NOTHING)
        } else {
            body
        };
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta);
        // Without headers, which nobody reads any more and the generated method would copy; and with a URL, or one would be
        // parsed for it. Not the request's own, which can hold a session JWT.
        let mut response = http::Response::builder().status(self.operation.success_status);
        if let Some(url) = self.shared.base_url.ready.url_of(self.operation.path) {
            response = response.url(url.clone());
        }
        // Only a status outside of HTTP could fail here, and the parser refuses an empty body.
        response.body(body).unwrap_or_default().into()
    }

    /// The service's own 404 after an attempt that may have deleted the token: that attempt did, and its response was lost.
    fn accept_deletion(&self, failed: &mut Failed) -> Option<Response> {
        Some(self.accept(Accepted {
            body: Bytes::new(),
            meta: failed.error.take_meta()?,
        }))
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

impl Drop for Call {
    fn drop(&mut self) {
        self.ended(CallOutcome::Dropped);
    }
}

impl Transport for Call {
    fn send<'a>(&'a self, request: Request, _: &'static Operation) -> TransportFuture<'a> {
        let call = async move {
            // The SDK's error rides in the transport's; `read_client_error` takes it out again, delivery and all.
            self.run(request)
                .await
                .map_err(|error| TransportError::new(Delivery::Unknown, error))
        };
        if self.span.is_disabled() {
            Box::pin(call)
        } else {
            Box::pin(call.instrument(self.span.clone()))
        }
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

/// How far a call has come.
#[derive(Debug)]
struct Progress {
    /// When the call began, or its last attempt ended.
    idle_since: Instant,
    /// When the first attempt began: the wait for its permit is no part of what repeating takes.
    first_attempt: Option<Instant>,
    /// Whether one of its attempts may have been.
    may_have_been_applied: bool,
    /// Whether the attempt that is under way was paid for out of the retry budget.
    paid: bool,
    /// Whether the provider was asked for another token.
    asked_again: bool,
}

/// A permit that is settled as unknown when the attempt is dropped half way.
#[derive(Debug)]
pub(crate) struct HeldPermit<'c> {
    store: &'c StoreLine,
    permit: Option<Permit>,
}

impl<'c> HeldPermit<'c> {
    /// Takes a permit of the store's budget, and says how long that took where it was not had at once.
    pub(crate) async fn take(
        store: &'c StoreLine,
        ask: PermitAsk,
        deadline: Option<tokio::time::Instant>,
        clock: &dyn Clock,
    ) -> (Result<Self, TooLate>, Option<Duration>) {
        let budget = &*store.budget;
        let hold = |permit| Self {
            store,
            permit: Some(permit),
        };
        if let Some(permit) = budget.try_acquire(&ask) {
            return (Ok(hold(permit)), None);
        }
        let began = clock.instant();
        let granted = match in_time(deadline, budget.acquire(ask)).await {
            Ok(granted) => granted,
            Err(_) => Err(TooLate::new(budget.status().next_in.unwrap_or_default())),
        };
        let waited = clock.instant().saturating_duration_since(began);
        (granted.map(hold), Some(waited))
    }

    pub(crate) fn settle(mut self, outcome: &PermitOutcome) {
        if let Some(permit) = self.permit.take() {
            self.store.budget.settle(permit, outcome);
        }
    }
}

impl Drop for HeldPermit<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.store.budget.settle(permit, &PermitOutcome::Unknown);
        }
    }
}

/// What the budget is told of an attempt.
fn outcome(result: &Result<Accepted, Failed>) -> PermitOutcome {
    let failed = match result {
        Ok(accepted) => {
            return PermitOutcome::Answered {
                reading: accepted.meta.budget,
            };
        }
        Err(failed) => failed,
    };
    let reading = failed.error.meta().map(|meta| meta.budget);
    match (failed.failure, reading) {
        (Failure::NoReply(Delivery::NotSent) | Failure::Untrusted, _) => PermitOutcome::NotSent,
        (_, None) => PermitOutcome::Unknown,
        (
            Failure::Refused {
                status: 429,
                wanted_wait,
                ..
            },
            Some(reading),
        ) => PermitOutcome::Refused {
            reading,
            wait: wanted_wait,
        },
        (_, Some(reading)) => PermitOutcome::Answered { reading },
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
