//! One attempt, between the generated method and the transport: credentials, time-out, the bounded body, and whether the
//! response is a success. Retries are decided in `call.rs`.

use std::{
    borrow::Cow,
    error::Error as StdError,
    io,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use bigcommerce_b2b_auth_api::{Delivery, Operation, Transport, TransportError, TransportFuture};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header::USER_AGENT};
use reqwest::{Request, Response, ResponseBuilderExt as _};
use serde_json::Value;
use tracing::Span;
use url::Url;

use crate::{
    Error, ErrorKind, Hint, ReplyMeta, Secret,
    auth::secret_provider::header_safe,
    error::{
        hint::{RefusedResponse, TokenForm},
        redact::Redactor,
    },
    pipeline::{
        call::CallContext,
        error_body::{self, BodyCode, Problem},
        response::{wanted_wait, wanted_wait_for_budget},
        retry::Failure,
        transport::ask_for_another_connection,
    },
    telemetry,
    time::deadline::in_time,
    token::bearer,
};

/// The longest reply body that is read. A page of 250 server tokens is a tenth of it.
const LONGEST_BODY: usize = 1024 * 1024;

/// What an empty body is taken for: a success where nothing is returned.
pub(super) const NOTHING: &[u8] = b"{}";

/// One attempt: the transport of one call of the generated method, and the write-once record of what happened.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(super) context: Arc<CallContext>,
    /// Counts from 1.
    pub(super) number: u32,
    /// The token among the credentials.
    pub(super) token: Option<Secret>,
    pub(super) credentials: Vec<(HeaderName, HeaderValue)>,
    pub(super) needs_another_connection: bool,
    /// Whether an earlier attempt of the call may have been applied.
    pub(super) may_have_been_applied: bool,
    /// How long the attempt may take, the reading of the response included.
    pub(super) limit: Duration,
    pub(super) record: OnceLock<Result<ReplyMeta, Failed>>,
}

/// A response that is a success.
#[derive(Debug)]
struct Accepted {
    body: Bytes,
    meta: ReplyMeta,
}

/// An attempt without success.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    pub(crate) error: Error,
    /// Whether it is a 404 in which the service itself says that there is no such server token. A proxy's 404 is not.
    pub(crate) is_no_matching_token: bool,
}

impl Failed {
    /// What the generated method sees of it: the status that was meant, without a body, or that there was no response.
    fn response(&self) -> Result<Response, TransportError> {
        match self.failure {
            Failure::Refused { status, .. } => Ok(response(status, Bytes::new())),
            _ => Err(TransportError::new(
                Delivery::Unknown,
                "there is no response; the record of the attempt says why",
            )),
        }
    }

    fn new(failure: Failure, error: Error) -> Self {
        Self {
            failure,
            error,
            is_no_matching_token: false,
        }
    }
}

impl Transport for Attempt {
    fn send<'a>(&'a self, request: Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async move {
            let (response, recorded) = match self.exchange(request).await {
                Ok(Accepted { body, meta }) => (Ok(self.parsable(body)), Ok(meta)),
                Err(failed) => (failed.response(), Err(failed)),
            };
            // The generated method sends once.
            let _ = self.record.set(recorded);
            response
        })
    }
}

impl Attempt {
    /// What happened. `None` if the generated method did not get as far as sending.
    pub(super) fn into_record(self) -> Option<Result<ReplyMeta, Failed>> {
        self.record.into_inner()
    }

    /// Sends the request and reads the whole, bounded response within the limit.
    async fn exchange(&self, mut request: Request) -> Result<Accepted, Failed> {
        let shared = &self.context.shared;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, shared.user_agent.clone());
        for (name, value) in &self.credentials {
            headers.insert(name, value.clone());
        }
        if self.needs_another_connection {
            ask_for_another_connection(headers);
        }
        let requested_at = shared.clock.now();
        let deadline = tokio::time::Instant::now().checked_add(self.limit);
        // The head may have said all that matters when the body stalls, so a time-out does not take it away.
        let mut head = None;
        let exchange = async {
            let mut response = shared
                .transport
                .send(request, self.context.operation)
                .await?;
            telemetry::record_protocol(&Span::current(), response.version());
            head = Some((response.status(), std::mem::take(response.headers_mut())));
            Ok(Body::read(response, LONGEST_BODY).await)
        };
        let exchanged = in_time(deadline, exchange)
            .await
            .map_err(|elapsed| TransportError::timed_out(Delivery::Unknown, elapsed));
        let body = match exchanged {
            Ok(Ok(body)) => body,
            Ok(Err(error)) | Err(error) if head.is_none() => return Err(self.no_reply(error)),
            Ok(Err(error)) | Err(error) => Body::BrokenOff(error),
        };
        let (status, headers) = head.unwrap_or_default();
        let secrets = self.secrets();
        let mut meta = ReplyMeta::read(
            status.as_u16(),
            &headers,
            self.number,
            requested_at,
            &secrets,
        );
        meta.skew = shared.service_clock.observe(requested_at, meta.live_date());
        let classified = self.classify(status, &headers, body, meta);
        classified.or_else(|failed| self.accept_if_done_before(failed))
    }

    /// A success as the generated method parses it: with its one status and a body. Without headers, which nobody reads any
    /// more, and without the URL, which can hold a session JWT.
    fn parsable(&self, body: Bytes) -> Response {
        let body = if body.is_empty() {
            Bytes::from_static(NOTHING)
        } else {
            body
        };
        response(self.context.operation.success_status, body)
    }

    /// The service's own "not found" after an attempt that may have been applied: that attempt was, and its response was lost.
    fn accept_if_done_before(&self, mut failed: Failed) -> Result<Accepted, Failed> {
        let is_done = self.context.operation.absent_is_done
            && self.may_have_been_applied
            && failed.is_no_matching_token;
        if is_done && let Some(meta) = failed.error.take_meta() {
            let body = Bytes::new();
            return Ok(Accepted { body, meta });
        }
        Err(failed)
    }

    fn error(&self, kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Error {
        self.context.error(kind, summary)
    }

    /// What nothing that is shown may repeat.
    fn secrets(&self) -> Vec<Secret> {
        self.context
            .secrets
            .iter()
            .chain(&self.token)
            .cloned()
            .collect()
    }

    fn no_reply(&self, error: TransportError) -> Failed {
        let delivery = error.delivery();
        let timed_out = error.is_timeout();
        // A transport of the caller's own may not have seen to it that the URL, which may hold a session JWT, stays out.
        let source = match error.into_source().downcast::<reqwest::Error>() {
            Ok(error) => Box::new(error.without_url()),
            Err(source) => source,
        };
        let mut failure = Failure::NoReply(delivery);
        let (kind, summary) = if timed_out {
            (ErrorKind::Timeout, "no reply came in time")
        } else if delivery != Delivery::NotSent {
            (
                ErrorKind::Interrupted,
                "the connection broke before the reply was whole",
            )
        } else if is_about_trust(&*source) {
            failure = Failure::Untrusted;
            (
                ErrorKind::Connect,
                "no connection to the service came about, because TLS refused the other side",
            )
        } else {
            (
                ErrorKind::Connect,
                "no connection to the service came about",
            )
        };
        let source = Redactor::new(&self.secrets()).source(source);
        Failed::new(failure, self.error(kind, summary).with_source(source))
    }

    /// Status first, body second.
    fn classify(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Body,
        meta: ReplyMeta,
    ) -> Result<Accepted, Failed> {
        if status.is_success() {
            let body = match body {
                Body::Whole(body) => body,
                Body::TooLong => {
                    let error = self
                        .error(ErrorKind::ReplyTooLarge, "the reply is longer than 1 MiB")
                        .with_meta(meta);
                    return Err(Failed::new(Failure::Unreadable, error));
                }
                Body::BrokenOff(source) => {
                    let Failed { failure, error, .. } = self.no_reply(source);
                    return Err(Failed::new(failure, error.with_meta(meta)));
                }
            };
            // A token in hand ends the call, whatever else the body says: another attempt would only make another token.
            return if error_body::is_success(&body) || holds_token(self.context.operation, &body) {
                Ok(Accepted { body, meta })
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
    ) -> Failed {
        let mut secrets = self.secrets();
        secrets.extend(error_body::tokens_in(body.unwrap_or_default()));
        let (problem, as_it_came) = match body {
            // The hint goes by the words as they came: a password may well occur in them, and be taken out of the message.
            Ok(body) => (
                error_body::read_problem(body, &secrets),
                error_body::read_problem(body, &[]),
            ),
            Err(why) => (
                Problem::described(why.to_owned()),
                Problem::described(why.to_owned()),
            ),
        };
        // Under a success status, the code in the body is the status that was meant.
        let under_success = status.is_success();
        let status = if under_success {
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
        let (kind, summary) = kind_of(status);
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
        let now = self.context.shared.clock.now();
        let wanted_wait = match status {
            429 => wanted_wait_for_budget(headers, now),
            408 | 425 | 500..=599 => wanted_wait(headers, now),
            _ => None,
        };
        let is_no_matching_token = status == 404 && as_it_came.is_no_matching_token();
        let hint = Hint::of_reply(&RefusedResponse {
            kind,
            status,
            operation: self.context.operation,
            sends: self.context.credential_headers().unwrap_or_default(),
            token: self.token.as_ref().map_or(TokenForm::Other, |token| {
                TokenForm::of(token.expose_secret())
            }),
            base_path: &self.context.shared.base_url.path,
            is_json: as_it_came.unreadable.is_none(),
            words: [as_it_came.message, as_it_came.reason],
        });
        let error = self
            .error(kind, summary)
            .with_message(code, message, reason)
            .with_hint(hint)
            .with_retry_after(wanted_wait)
            .with_meta(meta);
        Failed {
            failure: Failure::Refused {
                status,
                under_success,
                wanted_wait,
            },
            error,
            is_no_matching_token,
        }
    }
}

/// Whether the body of a success status holds a usable token where the operation returns one. A list on the way stands for its
/// first element. For an operation that issues no token the answer is no.
fn holds_token(operation: &Operation, body: &[u8]) -> bool {
    fn first(value: &mut Value) -> Option<Value> {
        match value.take() {
            Value::Array(list) => list.into_iter().next(),
            value => Some(value),
        }
    }

    let find = || {
        let mut value: Value = serde_json::from_slice(body).ok()?;
        for name in operation.issued_token? {
            value = first(value.get_mut(name)?)?;
        }
        let Value::String(token) = value else {
            return None;
        };
        let token = Secret::from(token);
        let is_usable = !token.is_empty() && !bearer::is_too_long(token.expose_secret());
        is_usable.then_some(token)
    };
    find().is_some_and(|token| header_safe(token, "token").is_ok())
}

/// A response with this status and body alone. `reqwest` parses a URL for a response without one, so it gets one that is parsed.
fn response(status: u16, body: Bytes) -> Response {
    static NO_URL: LazyLock<Option<Url>> =
        LazyLock::new(|| Url::parse("http://no.url.invalid").ok());

    // A status outside of HTTP cannot come from the table of operations or from a response.
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = http::Response::builder().status(status);
    if let Some(url) = &*NO_URL {
        response = response.url(url.clone());
    }
    // With a status that is valid and no headers, there is nothing to fail.
    response.body(body).unwrap_or_default().into()
}

/// Whether a connection failed because the other side's certificate or its TLS was refused, which no repetition mends. rustls
/// says so by data that are invalid; other kinds of TLS do not say it in a way that could be told apart.
pub(crate) fn is_about_trust(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        cause = match error.downcast_ref::<io::Error>() {
            Some(error) if error.kind() == io::ErrorKind::InvalidData => return true,
            // What an I/O error was made of is not its source, whose place the source of that takes.
            Some(error) => error
                .get_ref()
                .map(|inner| inner as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    false
}

/// What a status is to the SDK, and in words.
fn kind_of(status: u16) -> (ErrorKind, &'static str) {
    match status {
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
    }
}

/// The body of a reply, as far as it was read.
pub(crate) enum Body {
    Whole(Bytes),
    TooLong,
    BrokenOff(TransportError),
}

impl Body {
    /// Reads it, as long as it is not longer than this many bytes.
    pub(crate) async fn read(mut response: Response, longest: usize) -> Self {
        // What a reply says of its length is a reason to stop early, never a reason to reserve.
        if response
            .content_length()
            .is_some_and(|length| length > longest as u64)
        {
            return Self::TooLong;
        }
        // Nearly every reply is one chunk, which then is the body as it came. Only more of them are joined, in a copy.
        let mut whole = Bytes::new();
        let mut joined = BytesMut::new();
        loop {
            let length = whole.len() + joined.len();
            match response.chunk().await {
                Ok(Some(chunk)) if length + chunk.len() > longest => return Self::TooLong,
                Ok(Some(chunk)) if length == 0 => whole = chunk,
                Ok(Some(chunk)) => {
                    joined.extend_from_slice(&std::mem::take(&mut whole));
                    joined.extend_from_slice(&chunk);
                }
                Ok(None) if joined.is_empty() => return Self::Whole(whole),
                Ok(None) => return Self::Whole(joined.freeze()),
                Err(error) => return Self::BrokenOff(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bigcommerce_b2b_auth_api::operations;
    use serde_json::json;

    use super::*;
    use crate::token::bearer::LONGEST_TOKEN;

    #[test]
    fn a_token_is_in_hand_where_the_operation_returns_it() {
        let longest = "x".repeat(LONGEST_TOKEN);
        let too_long = "x".repeat(LONGEST_TOKEN + 1);
        for (data, is_usable) in [
            (json!({"token": "abc"}), true),
            (json!({"token": longest}), true),
            (json!({"token": ["abc"]}), true),
            (json!({"token": ["abc", "def"]}), true),
            (json!({"name": "n", "token": "abc"}), true),
            (json!([{"token": "abc"}]), true),
            (
                json!([{"name": "n", "token": "abc"}, {"token": "def"}]),
                true,
            ),
            (json!({"token": ""}), false),
            (json!({"token": [""]}), false),
            (json!({"token": []}), false),
            (json!([]), false),
            (json!({"token": "line\nbreak"}), false),
            (json!({"token": " abc"}), false),
            (json!({"token": "\u{e9}"}), false),
            (json!({"token": too_long}), false),
            (json!({"token": 7}), false),
            (json!({"token": null}), false),
            (json!({"errMsg": "abc"}), false),
            (json!("abc"), false),
            (json!(null), false),
        ] {
            let body = json!({"code": 429, "data": data, "meta": {"message": "no"}}).to_string();
            for operation in operations::ALL {
                assert_eq!(
                    holds_token(operation, body.as_bytes()),
                    is_usable && operation.issued_token.is_some(),
                    "{} {body}",
                    operation.name
                );
            }
        }
        for body in ["", "abc", "{", r#"{"token": "abc"}"#] {
            for operation in operations::ALL {
                assert!(!holds_token(operation, body.as_bytes()), "{body}");
            }
        }
    }
}
