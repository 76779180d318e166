//! The one place that sends anything: credentials, pace, attempts, time-outs, the bounded body and the decision whether
//! a reply is a success. By the time a generated method parses, the reply is whole and known to be one.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bigcommerce_b2b_auth_api::{
    self as api, Delivery, Operation, ResponseValue, Transport, TransportError, TransportFuture,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::USER_AGENT};
use reqwest::{Request, Response};

use crate::{
    Error, ErrorKind, Hint, Reply, ReplyMeta, Secret,
    client::Shared,
    credentials::Sealed,
    envelope::{self, BodyCode, Problem},
    error::Malformed,
    hint::Refusal,
    pacing::Pacer,
    reply,
    retry::Failure,
};

/// The longest reply body that is read. A page of 250 server tokens is a tenth of it.
const LONGEST_BODY: usize = 1024 * 1024;

/// What an empty body is taken for: a success where nothing is returned.
const NOTHING: &[u8] = b"{}";

/// One call of one operation, with everything that its attempts need.
#[derive(Debug)]
pub(crate) struct Call {
    operation: &'static Operation,
    shared: Arc<Shared>,
    credentials: Arc<dyn Sealed>,
    pacer: Arc<Pacer>,
    /// What this call sends and no message may repeat.
    secrets: Vec<Secret>,
    /// Left here by the attempt that succeeded: a generated method keeps headers, and neither attempts nor times.
    meta: Mutex<Option<ReplyMeta>>,
}

impl Call {
    pub(crate) fn new(
        operation: &'static Operation,
        shared: Arc<Shared>,
        credentials: Arc<dyn Sealed>,
        pacer: Arc<Pacer>,
        mut secrets: Vec<Secret>,
    ) -> Arc<Self> {
        secrets.extend(credentials.secrets().cloned());
        Arc::new(Self {
            operation,
            shared,
            credentials,
            pacer,
            secrets,
            meta: Mutex::new(None),
        })
    }

    /// The generated client with this call as its transport.
    pub(crate) fn api(self: &Arc<Self>) -> api::Client {
        api::Client::new_with_client(
            &self.shared.base_url.prefix,
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
                    .maybe_applied(true)
                    .with_source(source),
            },
            // The body of a success holds a token, and the parser's message may quote from it: only the place is told.
            Err(api::Error::InvalidResponsePayload(body, error)) => {
                let what = if &body[..] == NOTHING {
                    "it says nothing".to_owned()
                } else if serde_json::from_slice::<serde::de::IgnoredAny>(&body).is_err() {
                    envelope::describe(&body)
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
        self.error(
            ErrorKind::UnexpectedReply,
            format!("the service reported success, but {}", malformed.0),
        )
        .maybe_applied(true)
    }

    fn error(&self, kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Error {
        Error::of_call(self.operation.id, kind, summary)
    }

    async fn run(&self, mut request: Request) -> Result<Response, Error> {
        self.set_headers(&mut request)?;
        let clock = &self.shared.clock;
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.pacer.take_turn(&**clock).await;
            let Some(copy) = request.try_clone() else {
                return Err(self.error(ErrorKind::InvalidInput, "the request cannot be copied"));
            };
            let (failure, error) = match self.attempt(copy, attempt).await {
                Ok(response) => return Ok(response),
                Err(failed) => failed,
            };
            match self.shared.retry.wait_before_next(attempt, &failure) {
                Some(wait) => clock.sleep(wait).await,
                None => {
                    return Err(error
                        .with_attempts(attempt)
                        .maybe_applied(failure.may_have_been_applied())
                        .retryable(failure.is_retryable(self.operation)));
                }
            }
        }
    }

    /// The credential headers that this call sends, if the client has what the document asks for.
    fn credential_headers(&self) -> Option<&'static [&'static str]> {
        self.operation
            .choose_credentials(|name| self.credentials.header(name).is_some())
    }

    /// The document says which headers an operation takes; the type of the client has made sure that they are there.
    fn set_headers(&self, request: &mut Request) -> Result<(), Error> {
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, self.shared.user_agent.clone());
        let chosen = self.credential_headers().ok_or_else(|| {
            self.error(
                ErrorKind::InvalidInput,
                "the document asks for credentials that this client does not have",
            )
        })?;
        for name in chosen {
            let value = self.credentials.header(name).unwrap_or_default();
            let (Ok(name), Ok(mut value)) =
                (HeaderName::try_from(*name), HeaderValue::try_from(value))
            else {
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

    async fn attempt(&self, request: Request, attempt: u32) -> Result<Response, (Failure, Error)> {
        let requested_at = self.shared.clock.now();
        let limit = self.shared.attempt_timeout;
        let deadline = tokio::time::Instant::now().checked_add(limit);
        let send = self.shared.far_end.send(request, self.operation);
        let response = match in_time(deadline, send).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) | Err(error) => return Err(self.no_reply(error)),
        };
        let status = response.status();
        let headers = response.headers().clone();
        // The head may have said all that matters when the body stalls, so it is not part of this wait.
        let body = match in_time(deadline, Body::read(response)).await {
            Ok(body) => body,
            Err(error) => Body::BrokenOff(error),
        };
        let meta = ReplyMeta::read(status.as_u16(), &headers, attempt, requested_at);
        self.classify(status, &headers, body, meta)
    }

    fn no_reply(&self, error: TransportError) -> (Failure, Error) {
        let delivery = error.delivery();
        let (kind, summary) = if error.is_timeout() {
            (ErrorKind::Timeout, "no reply came in time")
        } else if delivery == Delivery::NotSent {
            (
                ErrorKind::Connect,
                "no connection to the service came about",
            )
        } else {
            (
                ErrorKind::Interrupted,
                "the connection broke before the reply was whole",
            )
        };
        // A transport of the caller's own may not have seen to it that the URL, which may hold a session JWT, stays out.
        let source = match error.into_source().downcast::<reqwest::Error>() {
            Ok(error) => Box::new(error.without_url()),
            Err(source) => source,
        };
        (
            Failure::NoReply(delivery),
            self.error(kind, summary).with_source(source),
        )
    }

    /// Status first, body second.
    fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Body,
        meta: ReplyMeta,
    ) -> Result<Response, (Failure, Error)> {
        if status.is_success() {
            let body = match body {
                Body::Whole(body) => body,
                Body::TooLong => {
                    let error = self
                        .error(ErrorKind::ReplyTooLarge, "the reply is longer than 1 MiB")
                        .with_meta(meta);
                    return Err((Failure::Unreadable, error));
                }
                Body::BrokenOff(source) => {
                    let (failure, error) = self.no_reply(source);
                    return Err((failure, error.with_meta(meta)));
                }
            };
            return if envelope::is_success(&body) {
                Ok(self.accept(headers, body, meta))
            } else {
                Err(self.refused(status, headers, Ok(&body), meta))
            };
        }
        let body = match &body {
            Body::Whole(body) => Ok(&**body),
            Body::TooLong => Err("the body is longer than 1 MiB"),
            Body::BrokenOff(error) if error.is_timeout() => Err("the body did not end in time"),
            Body::BrokenOff(_) => Err("the body broke off"),
        };
        Err(self.refused(status, headers, body, meta))
    }

    /// The service said no. `body` is what it said, or why that could not be had.
    fn refused(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Result<&[u8], &str>,
        meta: ReplyMeta,
    ) -> (Failure, Error) {
        let (problem, as_it_came) = match body {
            // The hint goes by the words as they came: a password may well occur in them, and be taken out of the message.
            Ok(body) => (
                envelope::read_problem(body, &self.secrets),
                envelope::read_problem(body, &[]),
            ),
            Err(why) => (
                Problem::described(why.to_owned()),
                Problem::described(why.to_owned()),
            ),
        };
        // Under a success status, the code in the body is the status that was meant.
        let status = if status.is_success() {
            as_it_came
                .code
                .as_ref()
                .and_then(BodyCode::as_number)
                .and_then(|code| u16::try_from(code).ok())
                .filter(|code| (300..=599).contains(code))
                .unwrap_or(400)
        } else {
            status.as_u16()
        };
        let (kind, summary) = match status {
            300..=399 => (ErrorKind::Redirected, "the service points elsewhere"),
            401 => (
                ErrorKind::Unauthenticated,
                "the credentials were not accepted",
            ),
            403 => (ErrorKind::Forbidden, "the credentials do not allow this"),
            404 => (ErrorKind::NotFound, "not found"),
            429 => (
                ErrorKind::RateLimited,
                "the request budget of the store is spent",
            ),
            400..=499 => (ErrorKind::Rejected, "the service rejected the request"),
            500..=599 => (ErrorKind::Server, "the service failed"),
            _ => (
                ErrorKind::UnexpectedReply,
                "the service answered with an unknown status",
            ),
        };
        let Problem {
            code,
            message,
            reason,
            unreadable,
        } = problem;
        let summary = match unreadable {
            Some(what) => Cow::from(format!("{summary}; {what}")),
            None => Cow::from(summary),
        };
        let now = self.shared.clock.now();
        let wanted_wait = match status {
            429 => reply::wanted_wait_for_budget(headers, now),
            500..=599 => reply::wanted_wait(headers, now),
            _ => None,
        };
        let sends = self.credential_headers().unwrap_or_default();
        let hint = Hint::of_reply(&Refusal {
            kind,
            operation: self.operation,
            sends,
            base_path: &self.shared.base_url.path,
            words: [as_it_came.message, as_it_came.reason],
        });
        let error = self
            .error(kind, summary)
            .with_message(code, message, reason)
            .with_hint(hint)
            .with_retry_after(wanted_wait)
            .with_meta(meta);
        (
            Failure::Refused {
                status,
                wanted_wait,
            },
            error,
        )
    }

    /// Hands a success to the generated method, which knows one status and wants a body.
    fn accept(&self, headers: &HeaderMap, body: Bytes, meta: ReplyMeta) -> Response {
        let body = if body.is_empty() {
            // Where something should be returned, the parser misses it.
            Bytes::from_static(NOTHING)
        } else {
            body
        };
        *self.meta.lock().unwrap_or_else(PoisonError::into_inner) = Some(meta);
        let mut response = http::Response::new(body);
        *response.status_mut() =
            StatusCode::from_u16(self.operation.success_status).unwrap_or(StatusCode::OK);
        *response.headers_mut() = headers.clone();
        response.into()
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

impl Transport for Call {
    fn send<'a>(&'a self, request: Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async move {
            // The SDK's error rides in the transport's; `read_client_error` takes it out again, delivery and all.
            self.run(request)
                .await
                .map_err(|error| TransportError::new(Delivery::Unknown, error))
        })
    }
}

/// Runs `work` up to the deadline; no deadline is one beyond what a clock can hold.
async fn in_time<T>(
    deadline: Option<tokio::time::Instant>,
    work: impl Future<Output = T>,
) -> Result<T, TransportError> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline, work)
            .await
            .map_err(|elapsed| TransportError::timed_out(Delivery::Unknown, elapsed)),
        None => Ok(work.await),
    }
}

enum Body {
    Whole(Bytes),
    TooLong,
    BrokenOff(TransportError),
}

impl Body {
    async fn read(mut response: Response) -> Self {
        // What a reply says of its length is a reason to stop early, never a reason to reserve.
        if response
            .content_length()
            .is_some_and(|length| length > LONGEST_BODY as u64)
        {
            return Self::TooLong;
        }
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LONGEST_BODY => return Self::TooLong,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Self::Whole(body.freeze()),
                Err(error) => return Self::BrokenOff(error.into()),
            }
        }
    }
}

/// How long one attempt may take, from the first byte sent to the last byte read.
pub(crate) const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
