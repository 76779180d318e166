//! The catalogue of what can go wrong between a client and the service: one variant for each kind.
//! What a fault is stands here; when it strikes is in `fault_plan`, how it is done in
//! `fault_reply` and `wire`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};

use crate::assumptions::RetrySignal;

/// One thing that goes wrong with a request, its connection or its reply.
///
/// Two questions decide what a client may do after a fault, and both have a method:
/// whether the request [reached](Self::reaches_service) the service, and whether the service
/// [took](Self::is_taken) it, that is, performed what was asked for. A request that reached the
/// service spends from the store's purse and is recorded, unless the fault is a
/// [429](Self::TooManyRequests), which like any 429 spends nothing.
///
/// The [crate's documentation](crate#faults) has them all in one table.
///
/// ```
/// use bigcommerce_b2b_auth_sandbox::{Fault, Moment};
///
/// let lost_reply = Fault::ResetBeforeReply { moment: Moment::AfterEffect };
/// assert!(lost_reply.is_taken(), "the token was made, and nobody heard of it");
/// assert!(!Fault::RefuseConnection.reaches_service());
/// assert!(Fault::catalogue().iter().any(|(_, fault)| *fault == lost_reply));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Nobody takes the connection.
    ///
    /// In-process this is the real thing: [`ConnectionFault::NotSent`]. Behind a socket the
    /// operation is not known before the head of the request has been read, so the connection is
    /// reset right after that, without a byte of reply and without effect; a client cannot tell it
    /// from a lost reply there. For connections that are truly refused there is
    /// [`RunningSandbox::stop_listening`](crate::RunningSandbox::stop_listening).
    RefuseConnection,
    /// The connection is reset before the service has read the request's body.
    ResetBeforeRequest,
    /// The connection is reset when a part of the request's body has been read.
    ResetDuringRequest,
    /// The connection is reset when the request has been read and no byte of the reply was sent.
    ResetBeforeReply {
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// The connection is closed in an orderly way when the request has been read and no byte of
    /// the reply was sent.
    CloseBeforeReply {
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// The reply's head and half of its body are sent, then the connection is reset.
    ResetDuringReply,
    /// The whole reply is sent, then the connection is reset. A client that has read the reply by
    /// then does well to use it.
    ResetAfterReply,
    /// The request is read and nothing ever comes back. The connection stays open until the client
    /// gives up.
    StallBeforeReply {
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// Half of the reply's head is sent, then nothing more.
    StallInHead,
    /// The reply's head and half of its body are sent, then nothing more.
    StallInBody,
    /// The reply's body comes one byte at a time.
    SlowBody {
        /// How long each byte is waited for; in the catalogue, one second. This is the only fault
        /// that uses a timer, tokio's, so that it goes by a paused clock as well.
        every: Duration,
    },
    /// The connection is closed in an orderly way in the middle of a body whose length was
    /// announced.
    TruncatedBody,
    /// A body in chunks that does not end: after [`ENDLESS_BODY_CAP`](Self::ENDLESS_BODY_CAP) bytes
    /// the connection is closed, still without an end of the body.
    EndlessBody,
    /// The whole body is sent, with a `Content-Length` that is not its own.
    WrongContentLength {
        /// In which way it is wrong.
        length: WrongLength,
    },
    /// Two `Content-Length` headers that contradict each other.
    DoubleContentLength,
    /// A 200 with `Content-Encoding: gzip` and JSON as its type, which unpacks to nothing but zero
    /// bytes, some 200 of them for each byte sent.
    GzipOfZeros {
        /// How many bytes it unpacks to, at most
        /// [`ENDLESS_BODY_CAP`](Self::ENDLESS_BODY_CAP).
        unpacked: usize,
    },
    /// An error in HTML, as a proxy in front of the service has it.
    HtmlError {
        /// The status.
        status: StatusCode,
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// An error without a body and without a content type.
    EmptyError {
        /// The status.
        status: StatusCode,
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// An error in the service's own envelope. For a burst there is
    /// [`Sandbox::fail_next_times`](crate::Sandbox::fail_next_times).
    ServerError {
        /// The status, of which the envelope's `code` is a copy.
        status: StatusCode,
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// HTTP 200, with an error in the envelope: only the body's `code` tells.
    BodyCode {
        /// The `code`.
        code: u16,
        /// Whether the service has done its work by then.
        moment: Moment,
    },
    /// The reply, with a byte that is no UTF-8 at the end of each text value in it.
    BadUtf8,
    /// The reply, with a content type that is not that of its body.
    WrongContentType {
        /// The `Content-Type`.
        content_type: HeaderValue,
    },
    /// The reply, with more headers than a client should be asked to keep. Clients have limits: 100
    /// is a common one.
    HeaderFlood {
        /// How many headers are added, each with a value of 64 bytes.
        headers: usize,
    },
    /// A redirect in place of the reply. No operation of the service has one.
    Redirect {
        /// The status: 301, 302, 307 and 308 are in the catalogue.
        status: StatusCode,
        /// Where to.
        to: RedirectTarget,
    },
    /// A 429 that says when to come back in the forms named here, and in no other: the window
    /// headers are left out. Its body is the
    /// [assumed](crate::Assumptions::throttle_body) one.
    TooManyRequests {
        /// The headers. `Retry-After` keeps the form named last.
        signals: Vec<RetrySignal>,
        /// How long the client is to wait.
        wait: Duration,
    },
    /// The store is in maintenance: a 503 in HTML with `Retry-After`. For as long as a test likes
    /// there is [`Sandbox::maintenance`](crate::Sandbox::maintenance).
    Maintenance {
        /// What `Retry-After` says, in whole seconds, rounded up.
        retry_after: Duration,
    },
    /// The service's clock is wrong for this request: the `Date` header, and the times in tokens.
    /// The store's window goes by the right time.
    ///
    /// An exchange reads the same clock: by more than a quarter of an hour ahead, its session JWT
    /// has run out.
    ClockSkew {
        /// By how much.
        by: Duration,
        /// In which direction.
        direction: Skew,
    },
    /// This request is answered as if nothing were wrong, and its connection is kept open. As soon
    /// as the next request arrives on it, it is closed without a reply, and that request has no
    /// effect.
    ///
    /// In-process all requests count as if they came over one connection: the next one, whatever it
    /// asks for, fails with [`ConnectionFault::Reset`].
    CloseOnReuse,
}

/// When a fault strikes, of those that can do so on either side of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Moment {
    /// The service has not acted on the request and will not: nothing was made or deleted.
    BeforeEffect,
    /// The service has done what was asked for, and only its reply is lost.
    AfterEffect,
}

/// In which way a `Content-Length` is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrongLength {
    /// Twice the body's length: the connection is closed after the body, with bytes still due.
    TooLong,
    /// Half the body's length: a client sees the beginning of the body as all of it.
    TooShort,
}

/// Where a redirect points. The request's path goes along, its query does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedirectTarget {
    /// `https://elsewhere.invalid`: another host, whose name nobody can own.
    OtherHost,
    /// The same host by its `Host` header, with the `http` scheme.
    PlainHttp,
    /// The beginning of a URL, scheme and host, for a test that watches whether anybody comes by.
    /// One that cannot stand in a header counts as [`OtherHost`](Self::OtherHost).
    Base(String),
}

/// The direction in which a clock is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skew {
    /// The service's clock is fast.
    Ahead,
    /// The service's clock is slow.
    Behind,
}

impl Fault {
    /// After how many bytes a body that does not end is broken off: 64 MiB. A client should have
    /// given up long before.
    pub const ENDLESS_BODY_CAP: usize = 64 * 1024 * 1024;

    /// At least one fault of every kind, and each form that a kind has, under a name of its own.
    ///
    /// A test that is to hold under any fault goes through this list. The names are for messages;
    /// each begins with [`name`](Self::name).
    #[must_use]
    pub fn catalogue() -> Vec<(&'static str, Self)> {
        use Moment::{AfterEffect, BeforeEffect};

        let redirect = |status, to| Self::Redirect { status, to };
        let throttled = |signals: &[RetrySignal]| Self::TooManyRequests {
            signals: signals.to_vec(),
            wait: Duration::from_secs(7),
        };
        let skew = |direction| Self::ClockSkew {
            by: Duration::from_secs(300),
            direction,
        };
        vec![
            ("refuse-connection", Self::RefuseConnection),
            ("reset-before-request", Self::ResetBeforeRequest),
            ("reset-during-request", Self::ResetDuringRequest),
            (
                "reset-before-reply, before the effect",
                Self::ResetBeforeReply {
                    moment: BeforeEffect,
                },
            ),
            (
                "reset-before-reply, after the effect",
                Self::ResetBeforeReply {
                    moment: AfterEffect,
                },
            ),
            (
                "close-before-reply, before the effect",
                Self::CloseBeforeReply {
                    moment: BeforeEffect,
                },
            ),
            (
                "close-before-reply, after the effect",
                Self::CloseBeforeReply {
                    moment: AfterEffect,
                },
            ),
            ("reset-during-reply", Self::ResetDuringReply),
            ("reset-after-reply", Self::ResetAfterReply),
            (
                "stall-before-reply, before the effect",
                Self::StallBeforeReply {
                    moment: BeforeEffect,
                },
            ),
            (
                "stall-before-reply, after the effect",
                Self::StallBeforeReply {
                    moment: AfterEffect,
                },
            ),
            ("stall-in-head", Self::StallInHead),
            ("stall-in-body", Self::StallInBody),
            (
                "slow-body",
                Self::SlowBody {
                    every: Duration::from_secs(1),
                },
            ),
            ("truncated-body", Self::TruncatedBody),
            ("endless-body", Self::EndlessBody),
            (
                "wrong-content-length, too long",
                Self::WrongContentLength {
                    length: WrongLength::TooLong,
                },
            ),
            (
                "wrong-content-length, too short",
                Self::WrongContentLength {
                    length: WrongLength::TooShort,
                },
            ),
            ("double-content-length", Self::DoubleContentLength),
            (
                "gzip-of-zeros",
                Self::GzipOfZeros {
                    unpacked: 16 * 1024 * 1024,
                },
            ),
            (
                "html-error, before the effect",
                Self::HtmlError {
                    status: StatusCode::BAD_GATEWAY,
                    moment: BeforeEffect,
                },
            ),
            (
                "html-error, after the effect",
                Self::HtmlError {
                    status: StatusCode::BAD_GATEWAY,
                    moment: AfterEffect,
                },
            ),
            (
                "empty-error, before the effect",
                Self::EmptyError {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    moment: BeforeEffect,
                },
            ),
            (
                "empty-error, after the effect",
                Self::EmptyError {
                    status: StatusCode::GATEWAY_TIMEOUT,
                    moment: AfterEffect,
                },
            ),
            (
                "server-error, before the effect",
                Self::ServerError {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    moment: BeforeEffect,
                },
            ),
            (
                "server-error, after the effect",
                Self::ServerError {
                    status: StatusCode::INTERNAL_SERVER_ERROR,
                    moment: AfterEffect,
                },
            ),
            (
                "body-code, 422 before the effect",
                Self::BodyCode {
                    code: 422,
                    moment: BeforeEffect,
                },
            ),
            (
                "body-code, 500 after the effect",
                Self::BodyCode {
                    code: 500,
                    moment: AfterEffect,
                },
            ),
            ("bad-utf8", Self::BadUtf8),
            (
                "wrong-content-type",
                Self::WrongContentType {
                    content_type: HeaderValue::from_static("text/html; charset=utf-8"),
                },
            ),
            ("header-flood", Self::HeaderFlood { headers: 2_000 }),
            (
                "redirect, 301 to another host",
                redirect(StatusCode::MOVED_PERMANENTLY, RedirectTarget::OtherHost),
            ),
            (
                "redirect, 302 to http",
                redirect(StatusCode::FOUND, RedirectTarget::PlainHttp),
            ),
            (
                "redirect, 307 to another host",
                redirect(StatusCode::TEMPORARY_REDIRECT, RedirectTarget::OtherHost),
            ),
            (
                "redirect, 308 to http",
                redirect(StatusCode::PERMANENT_REDIRECT, RedirectTarget::PlainHttp),
            ),
            ("too-many-requests, no signal", throttled(&[])),
            (
                "too-many-requests, Retry-After in seconds",
                throttled(&[RetrySignal::RetryAfterSeconds]),
            ),
            (
                "too-many-requests, Retry-After as a date",
                throttled(&[RetrySignal::RetryAfterDate]),
            ),
            (
                "too-many-requests, X-Retry-After",
                throttled(&[RetrySignal::XRetryAfter]),
            ),
            (
                "too-many-requests, X-Rate-Limit-Time-Reset-Ms",
                throttled(&[RetrySignal::RateLimitTimeResetMs]),
            ),
            (
                "maintenance",
                Self::Maintenance {
                    retry_after: MAINTENANCE_RETRY_AFTER,
                },
            ),
            ("clock-skew, ahead", skew(Skew::Ahead)),
            ("clock-skew, behind", skew(Skew::Behind)),
            ("close-on-reuse", Self::CloseOnReuse),
        ]
    }

    /// What its kind is called, under which [it is counted](crate::Sandbox::fault_counts).
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RefuseConnection => "refuse-connection",
            Self::ResetBeforeRequest => "reset-before-request",
            Self::ResetDuringRequest => "reset-during-request",
            Self::ResetBeforeReply { .. } => "reset-before-reply",
            Self::CloseBeforeReply { .. } => "close-before-reply",
            Self::ResetDuringReply => "reset-during-reply",
            Self::ResetAfterReply => "reset-after-reply",
            Self::StallBeforeReply { .. } => "stall-before-reply",
            Self::StallInHead => "stall-in-head",
            Self::StallInBody => "stall-in-body",
            Self::SlowBody { .. } => "slow-body",
            Self::TruncatedBody => "truncated-body",
            Self::EndlessBody => "endless-body",
            Self::WrongContentLength { .. } => "wrong-content-length",
            Self::DoubleContentLength => "double-content-length",
            Self::GzipOfZeros { .. } => "gzip-of-zeros",
            Self::HtmlError { .. } => "html-error",
            Self::EmptyError { .. } => "empty-error",
            Self::ServerError { .. } => "server-error",
            Self::BodyCode { .. } => "body-code",
            Self::BadUtf8 => "bad-utf8",
            Self::WrongContentType { .. } => "wrong-content-type",
            Self::HeaderFlood { .. } => "header-flood",
            Self::Redirect { .. } => "redirect",
            Self::TooManyRequests { .. } => "too-many-requests",
            Self::Maintenance { .. } => "maintenance",
            Self::ClockSkew { .. } => "clock-skew",
            Self::CloseOnReuse => "close-on-reuse",
        }
    }

    /// Whether the request reaches the service. One that does not is not recorded and spends
    /// nothing.
    #[must_use]
    pub fn reaches_service(&self) -> bool {
        !matches!(
            self,
            Self::RefuseConnection | Self::ResetBeforeRequest | Self::ResetDuringRequest
        )
    }

    /// Whether the service takes the request and acts on it: whatever the operation makes or
    /// deletes is made or deleted, as long as the request itself is in order.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        match self {
            Self::ResetBeforeReply { moment }
            | Self::CloseBeforeReply { moment }
            | Self::StallBeforeReply { moment }
            | Self::HtmlError { moment, .. }
            | Self::EmptyError { moment, .. }
            | Self::ServerError { moment, .. }
            | Self::BodyCode { moment, .. } => *moment == Moment::AfterEffect,
            Self::RefuseConnection
            | Self::ResetBeforeRequest
            | Self::ResetDuringRequest
            | Self::Redirect { .. }
            | Self::TooManyRequests { .. }
            | Self::Maintenance { .. } => false,
            Self::ResetDuringReply
            | Self::ResetAfterReply
            | Self::StallInHead
            | Self::StallInBody
            | Self::SlowBody { .. }
            | Self::TruncatedBody
            | Self::EndlessBody
            | Self::WrongContentLength { .. }
            | Self::DoubleContentLength
            | Self::GzipOfZeros { .. }
            | Self::BadUtf8
            | Self::WrongContentType { .. }
            | Self::HeaderFlood { .. }
            | Self::ClockSkew { .. }
            | Self::CloseOnReuse => true,
        }
    }

    /// Whether the request spends from its store's purse.
    pub(crate) fn spends(&self) -> bool {
        self.reaches_service() && !matches!(self, Self::TooManyRequests { .. })
    }
}

/// What `Retry-After` says while a store is switched to maintenance.
pub(crate) const MAINTENANCE_RETRY_AFTER: Duration = Duration::from_secs(120);

/// What becomes of a request that was sent in-process and gets no reply.
///
/// Without a socket nothing can be reset. The response of [`Sandbox::service`] has this among its
/// extensions then, and whoever mounts the service should do as it says instead of looking at the
/// response, whose status is 503. A body that breaks off, stalls or drips needs nothing of the
/// kind: it is a body that does so. A response that any [`Fault`] had a hand in has that `Fault`
/// as an extension too.
///
/// ```
/// use axum::{body::Body, http::Request};
/// use bigcommerce_b2b_auth_sandbox::{ConnectionFault, Fault, Operation, Sandbox};
/// use tower::ServiceExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let sandbox = Sandbox::builder().build();
/// sandbox.fail_next(Operation::Exchange, Fault::RefuseConnection);
/// let request = Request::get(Operation::Exchange.path()).body(Body::empty())?;
/// let response = sandbox.service().oneshot(request).await?;
/// let what = response.extensions().get::<ConnectionFault>();
/// assert_eq!(what, Some(&ConnectionFault::NotSent));
/// # Ok(())
/// # }
/// ```
///
/// [`Sandbox::service`]: crate::Sandbox::service
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionFault {
    /// There was no connection: the request was surely not sent.
    NotSent,
    /// The connection ended before the reply had begun. What became of the request cannot be told.
    Reset,
    /// No reply ever comes: a caller should wait until its own time runs out.
    Stall,
    /// A reply came whose head cannot be read: it contradicts itself, or is too large.
    Unreadable,
}

impl fmt::Display for ConnectionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSent => "sandbox: the connection was refused",
            Self::Reset => "sandbox: the connection ended before the reply",
            Self::Stall => "sandbox: no reply came",
            Self::Unreadable => "sandbox: the head of the reply cannot be read",
        })
    }
}

impl Error for ConnectionFault {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_of_the_catalogue_is_its_own_and_begins_with_the_kind() {
        let catalogue = Fault::catalogue();
        let names: BTreeSet<_> = catalogue.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), catalogue.len());
        for (name, fault) in &catalogue {
            assert!(name.starts_with(fault.name()), "{name}: {fault:?}");
        }
    }

    #[test]
    fn the_catalogue_has_every_kind() {
        let kinds: BTreeSet<_> = Fault::catalogue()
            .iter()
            .map(|(_, fault)| fault.name())
            .collect();
        assert_eq!(kinds.len(), 28, "a new kind belongs in the catalogue");
    }

    #[test]
    fn what_does_not_reach_the_service_is_not_taken() {
        for (name, fault) in Fault::catalogue() {
            assert!(fault.reaches_service() || !fault.is_taken(), "{name}");
            assert!(fault.reaches_service() || !fault.spends(), "{name}");
        }
    }
}
