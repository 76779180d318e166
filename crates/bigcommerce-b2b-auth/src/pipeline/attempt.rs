//! One attempt: a request goes out, the whole and bounded reply comes back, and it is decided whether it is a success.
//! Whether there is another attempt is not decided here.

use std::{borrow::Cow, error::Error as StdError, io, time::Duration};

use bigcommerce_b2b_auth_api::{
    Delivery, Operation, Transport as _, TransportError, operations, types,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Request, Response};
use serde::de::DeserializeOwned;
use tracing::Span;

use crate::{
    Error, ErrorKind, Hint, ReplyMeta, Secret,
    auth::secret_provider::header_safe,
    client::Shared,
    error::{
        Malformed,
        hint::{Refusal, TokenForm},
        redact::Redactor,
    },
    operations::server_tokens,
    pipeline::{
        error_body::{self, BodyCode, Problem},
        response,
        retry::Failure,
    },
    telemetry,
    time::deadline::in_time,
    token::storefront_token,
};

/// The longest reply body that is read. A page of 250 server tokens is a tenth of it.
const LONGEST_BODY: usize = 1024 * 1024;

/// An attempt that is about to be made.
#[derive(Debug)]
pub(crate) struct Attempt<'c> {
    pub(crate) operation: &'static Operation,
    pub(crate) shared: &'c Shared,
    /// Counts from 1.
    pub(crate) number: u32,
    /// What no message may repeat, besides the token.
    pub(crate) secrets: &'c [Secret],
    /// The token among the credentials.
    pub(crate) token: Option<&'c Secret>,
    /// The credential headers that go along.
    pub(crate) sends: &'c [&'c str],
}

/// A reply that is a success.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) body: Bytes,
    pub(crate) meta: ReplyMeta,
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
    fn new(failure: Failure, error: Error) -> Self {
        Self {
            failure,
            error,
            is_no_matching_token: false,
        }
    }
}

impl Attempt<'_> {
    /// Makes the attempt. It ends after `limit`, the reading of the reply included.
    pub(crate) async fn run(&self, request: Request, limit: Duration) -> Result<Accepted, Failed> {
        let requested_at = self.shared.clock.now();
        let deadline = tokio::time::Instant::now().checked_add(limit);
        // The head may have said all that matters when the body stalls: it is kept where no time-out takes it away.
        let mut head = None;
        let exchange = async {
            let mut response = self.shared.far_end.send(request, self.operation).await?;
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
        meta.skew = self
            .shared
            .service_clock
            .observe(requested_at, meta.live_date());
        self.classify(status, &headers, body, meta)
    }

    fn error(&self, kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Error {
        Error::of_call(self.operation.id, kind, summary)
    }

    /// What nothing that is shown may repeat.
    fn secrets(&self) -> Vec<Secret> {
        self.secrets.iter().chain(self.token).cloned().collect()
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
            return if error_body::is_success(&body) || holds_token(self.operation, &body) {
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
        let now = self.shared.clock.now();
        let wanted_wait = match status {
            429 => response::wanted_wait_for_budget(headers, now),
            408 | 425 | 500..=599 => response::wanted_wait(headers, now),
            _ => None,
        };
        let is_no_matching_token = status == 404 && as_it_came.is_no_matching_token();
        let hint = Hint::of_reply(&Refusal {
            kind,
            status,
            operation: self.operation,
            sends: self.sends,
            token: self.token.map_or(TokenForm::Other, |token| {
                TokenForm::of(token.expose_secret())
            }),
            base_path: &self.shared.base_url.path,
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

/// Whether the body of a success status holds a token that the caller can use. It has to be where the operation returns it,
/// in one of the shapes that are read there. For an operation that makes no token the answer is no.
fn holds_token(operation: &Operation, body: &[u8]) -> bool {
    fn read<T: DeserializeOwned>(
        body: &[u8],
        token: fn(T) -> Result<Secret, Malformed>,
    ) -> Option<Secret> {
        token(serde_json::from_slice(body).ok()?).ok()
    }

    let token = if operation.id == operations::POST_AUTH_CUSTOMERS_STOREFRONT.id {
        read(
            body,
            |reply: types::PostAuthCustomersStorefrontResponse200| {
                storefront_token::first(reply.data.token)
            },
        )
    } else if operation.id == operations::POST_AUTH_CUSTOMER.id {
        read(body, |reply: types::PostAuthCustomerResponse200| {
            storefront_token::first(reply.data.token)
        })
    } else if operation.id == operations::GET_AUTH_STOREFRONT.id {
        read(body, |reply: types::GetAuthStorefrontResponse200| {
            storefront_token::first(reply.data.token)
        })
    } else if operation.id == operations::POST_AUTH_BACKEND.id {
        read(body, |reply: types::PostAuthBackendResponse200| {
            server_tokens::created(reply.data).map(|created| created.token)
        })
    } else {
        None
    };
    token.is_some_and(|token| header_safe(token, "token").is_ok())
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
    use serde_json::{Value, json};

    use super::*;
    use crate::token::bearer::LONGEST_TOKEN;

    #[test]
    fn a_token_is_in_hand_where_and_as_the_operation_returns_it() {
        let longest = "x".repeat(LONGEST_TOKEN);
        let too_long = "x".repeat(LONGEST_TOKEN + 1);
        let storefront = [
            operations::POST_AUTH_CUSTOMERS_STOREFRONT,
            operations::POST_AUTH_CUSTOMER,
            operations::GET_AUTH_STOREFRONT,
        ];
        let create = [operations::POST_AUTH_BACKEND];
        let neither = [
            operations::GET_BACKEND_TOKENS,
            operations::DELETE_AUTH_BACKEND,
        ];
        let holds = |operation: &Operation, data: &Value| {
            let body = json!({"code": 429, "data": data, "meta": {"message": "no"}});
            holds_token(operation, body.to_string().as_bytes())
        };
        for (data, by_storefront, by_create) in [
            (json!({"token": "abc"}), true, true),
            (json!({"token": longest}), true, true),
            (json!({"token": ["abc"]}), true, false),
            (json!({"token": ["abc", "def"]}), true, false),
            (json!({"name": "n", "token": "abc"}), true, true),
            (json!([{"token": "abc"}]), false, true),
            (
                json!([{"name": "n", "token": "abc"}, {"token": "def"}]),
                false,
                true,
            ),
            (json!({"token": ""}), false, false),
            (json!({"token": [""]}), false, false),
            (json!({"token": []}), false, false),
            (json!([]), false, false),
            (json!({"token": "line\nbreak"}), false, false),
            (json!({"token": " abc"}), false, false),
            (json!({"token": "\u{e9}"}), false, false),
            (json!({"token": too_long}), false, false),
            (json!({"token": 7}), false, false),
            (json!({"token": null}), false, false),
            (json!({"errMsg": "abc"}), false, false),
            (json!("abc"), false, false),
            (json!(null), false, false),
        ] {
            for operation in &storefront {
                assert_eq!(
                    holds(operation, &data),
                    by_storefront,
                    "{operation:?} {data}"
                );
            }
            for operation in &create {
                assert_eq!(holds(operation, &data), by_create, "{operation:?} {data}");
            }
            for operation in &neither {
                assert!(!holds(operation, &data), "{operation:?} {data}");
            }
        }
        assert_eq!(
            operations::ALL.len(),
            storefront.len() + create.len() + neither.len()
        );
        for body in ["", "abc", "{", r#"{"token": "abc"}"#] {
            assert!(!holds_token(&storefront[0], body.as_bytes()), "{body}");
        }
    }
}
