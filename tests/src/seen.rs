//! How a client sees each fault of the sandbox: what the tests that go through all of them expect.

use std::time::Duration;

use bigcommerce_b2b_auth::ErrorKind;
use bigcommerce_b2b_auth_sandbox::Operation;

/// How a client sees a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seen {
    /// Not at all.
    Success,
    /// Nothing was sent.
    NotSent,
    /// Something may have been sent, and no whole reply came.
    Lost,
    /// The same, when time has run out.
    Stalled,
    /// The service failed for now: 5xx, also as a code in the body.
    Failed,
    /// The same, and it says to come back later than the call has time for.
    FailedForLong(Duration),
    /// 429, and after how long it is worth another try.
    Throttled(Duration),
    /// Something that no repetition mends.
    Final(ErrorKind),
}

impl Seen {
    /// What a client sees of a fault, by its name in the catalogue.
    ///
    /// # Panics
    /// For a fault that nothing is said of here.
    #[must_use]
    #[expect(clippy::panic, reason = "a new fault needs a new line here")]
    pub fn of(name: &str) -> Self {
        match name.split(',').next().unwrap_or_default() {
            "reset-after-reply" | "wrong-content-type" | "clock-skew" => Seen::Success,
            "refuse-connection" => Seen::NotSent,
            "reset-before-request"
            | "reset-during-request"
            | "reset-before-reply"
            | "close-before-reply"
            | "reset-during-reply"
            | "truncated-body"
            | "double-content-length"
            | "header-flood"
            | "close-on-reuse" => Seen::Lost,
            "stall-before-reply" | "stall-in-head" | "stall-in-body" | "slow-body" => Seen::Stalled,
            "html-error" | "empty-error" | "server-error" => Seen::Failed,
            "maintenance" => Seen::FailedForLong(Duration::from_secs(120)),
            "endless-body" => Seen::Final(ErrorKind::ReplyTooLarge),
            "gzip-of-zeros" | "bad-utf8" => Seen::Final(ErrorKind::UnexpectedReply),
            "redirect" => Seen::Final(ErrorKind::Redirected),
            // A length that is too long is one that breaks off; one that is too short leaves half of the JSON.
            "wrong-content-length" if name.ends_with("too long") => Seen::Lost,
            "wrong-content-length" => Seen::Final(ErrorKind::UnexpectedReply),
            "body-code" if name.contains("422") => Seen::Final(ErrorKind::Rejected),
            "body-code" => Seen::Failed,
            // Without a moment of its own, it means the whole window.
            "too-many-requests" if name.ends_with("no signal") => {
                Seen::Throttled(Duration::from_secs(60))
            }
            "too-many-requests" => Seen::Throttled(Duration::from_secs(7)),
            other => panic!("say how a client sees {other}"),
        }
    }

    /// The kind of the error, if it is one.
    #[must_use]
    pub fn kind(self) -> Option<ErrorKind> {
        Some(match self {
            Self::Success => return None,
            Self::NotSent => ErrorKind::Connect,
            Self::Lost => ErrorKind::Interrupted,
            Self::Stalled => ErrorKind::Timeout,
            Self::Failed | Self::FailedForLong(_) => ErrorKind::Server,
            Self::Throttled(_) => ErrorKind::RateLimited,
            Self::Final(kind) => kind,
        })
    }

    /// How long it is until the service can be asked again, if the call may do so.
    #[must_use]
    pub fn repeated_after(
        self,
        operation: Operation,
        attempt_timeout: Duration,
    ) -> Option<Duration> {
        const FIRST_WAIT: Duration = Duration::from_millis(250);

        let creates = operation == Operation::CreateServerToken;
        match self {
            Self::NotSent => Some(FIRST_WAIT),
            Self::Throttled(wait) => Some(wait),
            Self::Lost | Self::Failed if !creates => Some(FIRST_WAIT),
            Self::Stalled if !creates => Some(attempt_timeout + FIRST_WAIT),
            _ => None,
        }
    }
}
