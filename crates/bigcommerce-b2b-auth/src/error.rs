//! The one error of the SDK: opaque, asked by predicates, and never holding a secret or the body of a success.

pub(crate) mod hint;
pub(crate) mod redact;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

pub use self::hint::Hint;
use crate::{ReplyMeta, pipeline::error_body::BodyCode};

/// Why a call failed, in which operation, and what to do about it.
///
/// Ask it by its methods; what is inside may grow. Its text names the operation, what happened, the service's own
/// message, status, body code and request id, and a [`hint`](Self::hint) for the known misconfigurations. No credential,
/// token or password is part of it, also where the service's message repeats one.
///
/// A clone is cheap and tells the same: all who wait for one token get the same failure.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

/// What kind of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument cannot be sent. Nothing was.
    InvalidInput,
    /// A credential is missing: its provider had none, or [`Client::send`](crate::Client::send) was called for an operation that
    /// needs other credentials than the client has. Nothing was sent.
    CredentialsUnavailable,
    /// A client cannot be built from this configuration, or a blocking call cannot be made here: inside of an async context, or in
    /// a forked process.
    Configuration,
    /// No connection came about. Nothing was sent.
    Connect,
    /// Time ran out: for an attempt, or for the call as a whole.
    Timeout,
    /// The connection broke after the request may have been sent.
    Interrupted,
    /// 401: the credentials were not accepted.
    Unauthenticated,
    /// 403: the credentials do not allow it.
    Forbidden,
    /// 404: no such thing, or no such address.
    NotFound,
    /// The store's request budget is spent. Either the service said so, with a 429, or no permit would have come before the
    /// call's deadline: then [`status`](Error::status) is `None`, and [`attempts`](Error::attempts) tells whether anything was
    /// sent.
    RateLimited,
    /// Any other 4xx, or such a code in the body of a success status.
    Rejected,
    /// 5xx, or such a code in the body of a success status. A wrong store hash answers like this too.
    Server,
    /// A redirect, which is never followed: it would carry credentials to another place.
    Redirected,
    /// A success status with a body that does not hold what it should.
    UnexpectedReply,
    /// A body longer than 1 MiB.
    ReplyTooLarge,
    /// A token names another customer or another store than the one it was requested, or put, for. It was not kept.
    TokenMismatch,
    /// A managed token was refused by those whom it was shown to, and another one cannot be had yet.
    TokenRejected,
    /// The service granted a managed token a shorter life than the request needs, which `TokenRequest::valid_for_at_least`
    /// states.
    TokenTooShort,
    /// The customer was forgotten while a managed token was fetched for them, which is dropped. Nothing is wrong: they logged
    /// out.
    Forgotten,
    /// A customer was forgotten in this process, and a place outside of its memory may still hold their tokens.
    NotConfirmed,
    /// What fetched a managed token panicked: an observer, a transport, a clock or a provider of the caller's own.
    Panicked,
    /// The runtime that fetched a managed token was shut down, or there is none.
    RuntimeGone,
    /// The cache of managed tokens was shut down, and fetches nothing any more.
    ShutDown,
}

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    summary: Cow<'static, str>,
    operation: Option<&'static str>,
    code: Option<BodyCode>,
    message: Option<String>,
    reason: Option<String>,
    hint: Option<Hint>,
    retry_after: Option<Duration>,
    may_have_been_applied: bool,
    retryable: bool,
    meta: Option<ReplyMeta>,
    attempts: u32,
    elapsed: Duration,
    out_of_repetitions: bool,
    /// How long ago it happened, where a cache remembered it.
    remembered_for: Option<Duration>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    fn new(kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            kind,
            summary: summary.into(),
            operation: None,
            code: None,
            message: None,
            reason: None,
            hint: None,
            retry_after: None,
            may_have_been_applied: false,
            retryable: false,
            meta: None,
            attempts: 0,
            elapsed: Duration::ZERO,
            out_of_repetitions: false,
            remembered_for: None,
            source: None,
        }))
    }

    pub(crate) fn invalid_input(summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, summary)
    }

    pub(crate) fn configuration(summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, summary)
    }

    /// Starts an error of a call of the operation with this name.
    pub(crate) fn of_call(
        operation: &'static str,
        kind: ErrorKind,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut error = Self::new(kind, summary);
        error.edit().operation = Some(operation);
        error
    }

    /// Starts an error of a call of a data API, which is none of the operations.
    #[cfg(feature = "tokens")]
    pub(crate) fn of_data_api(kind: ErrorKind, summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(kind, summary)
    }

    /// Where it is changed, which copies it only when somebody else has it as well.
    fn edit(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }

    pub(crate) fn with_source(mut self, source: Box<dyn StdError + Send + Sync>) -> Self {
        self.edit().source = Some(source.into());
        self
    }

    pub(crate) fn with_meta(mut self, meta: ReplyMeta) -> Self {
        self.edit().attempts = meta.attempts;
        self.edit().meta = Some(meta);
        self
    }

    pub(crate) fn with_message(
        mut self,
        code: Option<BodyCode>,
        message: Option<String>,
        reason: Option<String>,
    ) -> Self {
        self.edit().code = code;
        self.edit().message = message;
        self.edit().reason = reason;
        self
    }

    pub(crate) fn with_hint(mut self, hint: Option<Hint>) -> Self {
        self.edit().hint = hint;
        self
    }

    pub(crate) fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.edit().retry_after = wait;
        self
    }

    pub(crate) fn with_effort(mut self, attempts: u32, elapsed: Duration) -> Self {
        self.edit().attempts = attempts;
        self.edit().elapsed = elapsed;
        self
    }

    /// It was not tried again because the retry budget of the store was spent.
    pub(crate) fn out_of_repetitions(&mut self) {
        self.edit().out_of_repetitions = true;
    }

    pub(crate) fn wait_at_least(&mut self, wait: Duration) {
        let longest = self.0.retry_after.max(Some(wait));
        self.edit().retry_after = longest;
    }

    pub(crate) fn take_meta(&mut self) -> Option<ReplyMeta> {
        self.edit().meta.take()
    }

    pub(crate) fn maybe_applied(mut self, applied: bool) -> Self {
        self.edit().may_have_been_applied = applied;
        self
    }

    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.edit().retryable = retryable;
        self
    }

    /// The same failure, told again `age` after it happened to those who ask before it is worth another try.
    #[cfg(feature = "tokens")]
    pub(crate) fn remembered(mut self, age: Duration, retry_after: Duration) -> Self {
        let inner = self.edit();
        inner.remembered_for = Some(age);
        inner.retry_after = Some(retry_after);
        self
    }

    pub(crate) fn summary(&self) -> &str {
        &self.0.summary
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The operation that failed, by the name of its method, such as `mint_storefront_token`. A managed token that cannot be
    /// had names the mint. `None` when there was no call.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The HTTP status of the reply, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.0.meta.as_ref().map(|meta| meta.status)
    }

    /// The `code` of the reply's body. It can differ from the status: the service may answer 422 in the body of a 200.
    #[must_use]
    pub fn code(&self) -> Option<&BodyCode> {
        self.0.code.as_ref()
    }

    /// The service's own words, the most specific that the body has. `None` when it has none, or is no JSON. Cut to one line of at most 500 characters; secrets
    /// of the call are replaced by `[REDACTED]`.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The service's general word for it, from `meta.message`, where [`message`](Self::message) is another text.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// Whether the same call may succeed later, and can be repeated without doing harm.
    ///
    /// # Troubleshooting
    /// `true` says that waiting helps: wait for [`retry_after`](Self::retry_after) where it is given. `false` says that
    /// something has to be changed first, or, for the creation of a server token, that it has to be looked up whether the
    /// token is there already.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// How long to wait before it is worth another try: what the service asked for, or in how long there would have been a
    /// permit. `None` when neither is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the service may have done what was asked although the call failed: when an attempt broke off after it was
    /// sent, on a 408, a redirect or a 5xx, when the body of a success status states an error, and when a success could not be
    /// read. `false` says that the service refused each attempt, or that it was not sent.
    #[must_use]
    pub fn may_have_been_applied(&self) -> bool {
        self.0.may_have_been_applied
    }

    /// `X-Request-Id` of the last attempt's reply, if it had one: what the vendor's support asks for.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.meta()?.request_id.as_deref()
    }

    /// `Trace-Id` of the last attempt's reply, if it had one.
    #[must_use]
    pub fn trace_id(&self) -> Option<&str> {
        self.meta()?.trace_id.as_deref()
    }

    /// Status, identifiers, date and budget of the last attempt's reply, if it had one.
    #[must_use]
    pub fn meta(&self) -> Option<&ReplyMeta> {
        self.0.meta.as_ref()
    }

    /// How many attempts were made; 0 when nothing was tried.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// How long the call took, the waits for the budget and between attempts included. Zero when there was no call.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// How long ago the failure happened, when it was remembered and nothing was tried again. `None` for a failure of its
    /// own. [`retry_after`](Self::retry_after) then says when it will be tried again.
    #[must_use]
    pub fn remembered_for(&self) -> Option<Duration> {
        self.0.remembered_for
    }

    /// What to do about it, for the misconfigurations that are known.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        self.0.hint
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(operation) = inner.operation {
            write!(f, "{operation}: ")?;
        }
        f.write_str(&inner.summary)?;
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        if let Some(reason) = &inner.reason {
            write!(f, " ({reason})")?;
        }
        let mut facts = Vec::new();
        if let Some(meta) = &inner.meta {
            facts.push(format!("HTTP {}", meta.status));
        }
        if let Some(code) = &inner.code {
            facts.push(format!("code {code}"));
        }
        if let Some(id) = self.request_id() {
            facts.push(format!("request id {id}"));
        }
        if inner.attempts > 1 {
            // In tenths of a second, so that a text stays a text and not a measurement.
            let seconds = inner.elapsed.as_millis() / 100;
            facts.push(format!(
                "{} attempts in {}.{} s",
                inner.attempts,
                seconds / 10,
                seconds % 10
            ));
        }
        if let Some(age) = inner.remembered_for {
            facts.push(format!("remembered for {} s", age.as_secs()));
        }
        if inner.out_of_repetitions {
            facts.push("not tried again: the retry budget is spent".to_owned());
        }
        if !facts.is_empty() {
            write!(f, " [{}]", facts.join(", "))?;
        }
        if let Some(hint) = inner.hint {
            write!(f, ". {hint} (see {})", hint.link())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut shown = f.debug_struct("Error");
        shown
            .field("kind", &inner.kind)
            .field("operation", &inner.operation)
            .field("summary", &inner.summary)
            .field("status", &self.status())
            .field("code", &inner.code)
            .field("message", &inner.message)
            .field("reason", &inner.reason)
            .field("request_id", &self.request_id())
            .field("trace_id", &self.trace_id())
            .field("attempts", &inner.attempts)
            .field("elapsed", &inner.elapsed)
            .field("retryable", &inner.retryable)
            .field("retry_after", &inner.retry_after)
            .field("may_have_been_applied", &inner.may_have_been_applied)
            .field("hint", &inner.hint);
        if let Some(age) = inner.remembered_for {
            shown.field("remembered_for", &age);
        }
        shown.field("source", &inner.source).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

/// A success whose value does not hold what it should. It says which part, and never shows it.
#[derive(Debug)]
pub(crate) struct Malformed {
    pub(crate) kind: ErrorKind,
    pub(crate) what: Cow<'static, str>,
}

impl Malformed {
    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: ErrorKind::UnexpectedReply,
            what: what.into(),
        }
    }

    /// A token of somebody else.
    pub(crate) fn mismatch() -> Self {
        Self {
            kind: ErrorKind::TokenMismatch,
            what: "the token names another customer or store than the request, and was not kept"
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use http::HeaderMap;

    use super::*;

    fn meta(status: u16) -> ReplyMeta {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", "request-1".parse().unwrap());
        headers.insert("trace-id", "trace-1".parse().unwrap());
        ReplyMeta::read(status, &headers, 1, SystemTime::UNIX_EPOCH, &[])
    }

    fn plain() -> Error {
        Error::of_call("get-something", ErrorKind::Server, "the service failed")
    }

    fn full() -> Error {
        let message = Some("out of order".to_owned());
        let reason = Some("server error".to_owned());
        plain()
            .with_meta(meta(503))
            .with_message(Some(BodyCode::Number(17)), message, reason)
            .with_hint(Some(Hint::WrongStoreHash))
            .with_retry_after(Some(Duration::from_secs(9)))
            .with_effort(3, Duration::from_millis(12_345))
            .maybe_applied(true)
            .retryable(true)
            .with_source("the cause".into())
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let error = plain();
        assert_eq!(error.to_string(), "get-something: the service failed");
        assert_eq!(error.summary(), "the service failed");
        assert_eq!(error.operation(), Some("get-something"));
        assert_eq!((error.status(), error.attempts()), (None, 0));
        assert_eq!((error.message(), error.reason()), (None, None));
        assert_eq!((error.request_id(), error.trace_id()), (None, None));
        assert_eq!((error.retry_after(), error.hint()), (None, None));
        assert_eq!(error.elapsed(), Duration::ZERO);
        assert!(!error.is_retryable() && !error.may_have_been_applied());
        assert!(error.code().is_none() && error.meta().is_none());
        assert!(StdError::source(&error).is_none());
        assert_eq!(Error::invalid_input("no").operation(), None);
        assert_eq!(Error::invalid_input("no").kind(), ErrorKind::InvalidInput);
        assert_eq!(Error::configuration("no").kind(), ErrorKind::Configuration);
    }

    #[test]
    fn what_is_known_is_told() {
        let error = full();
        let hint = Hint::WrongStoreHash;
        assert_eq!(
            error.to_string(),
            format!(
                "get-something: the service failed: out of order (server error) [HTTP 503, code 17, request id request-1, \
                 3 attempts in 12.3 s]. {hint} (see {})",
                hint.link()
            )
        );
        assert_eq!(error.kind(), ErrorKind::Server);
        assert_eq!((error.status(), error.attempts()), (Some(503), 3));
        assert_eq!(error.message(), Some("out of order"));
        assert_eq!(error.reason(), Some("server error"));
        assert_eq!(error.request_id(), Some("request-1"));
        assert_eq!(error.trace_id(), Some("trace-1"));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
        assert_eq!(error.hint(), Some(hint));
        assert_eq!(error.elapsed(), Duration::from_millis(12_345));
        assert_eq!(error.code(), Some(&BodyCode::Number(17)));
        assert_eq!(error.meta().map(|meta| meta.status), Some(503));
        assert!(error.is_retryable() && error.may_have_been_applied());
        assert_eq!(
            StdError::source(&error).map(ToString::to_string),
            Some("the cause".to_owned())
        );
        let debug = format!("{error:?}");
        for shown in [
            "Server",
            "get-something",
            "503",
            "request-1",
            "trace-1",
            "12.345s",
            "9s",
        ] {
            assert!(debug.contains(shown), "{debug}");
        }
    }

    #[test]
    fn one_attempt_is_not_counted_and_a_spent_retry_budget_is_told() {
        let mut error = plain().with_effort(1, Duration::from_secs(5));
        assert_eq!(error.to_string(), "get-something: the service failed");
        error.out_of_repetitions();
        assert!(
            error.to_string().ends_with("the retry budget is spent]"),
            "{error}"
        );
    }

    #[test]
    fn a_wait_only_grows_and_the_reply_can_be_taken() {
        let mut error = full();
        error.wait_at_least(Duration::from_secs(3));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
        error.wait_at_least(Duration::from_secs(30));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
        assert_eq!(error.take_meta().map(|meta| meta.status), Some(503));
        assert_eq!(error.status(), None);
        let mut error = plain();
        error.wait_at_least(Duration::from_secs(3));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    }
}
