//! When a failed attempt is made again, and after how long. What may be repeated depends on the operation: making a
//! storefront token twice does no harm, making a server token twice leaves one behind.

use std::time::Duration;

use bigcommerce_b2b_auth_api::{Delivery, Operation, operations};

/// How often and how patiently a call is repeated.
///
/// Repeated is what surely did not happen: a request that found no connection, and one that was refused with 429 by a
/// service that says how long to wait.
///
/// ```
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::RetryPolicy;
///
/// let patient = RetryPolicy::builder().max_attempts(5).longest_wait(Duration::from_secs(120)).build();
/// # drop((patient, RetryPolicy::none()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, bon::Builder)]
#[builder(builder_type(doc {
    /// Builds a [`RetryPolicy`].
}))]
pub struct RetryPolicy {
    /// Attempts in all, the first included. 3 by default; 1 or 0 never repeats.
    #[builder(default = 3)]
    max_attempts: u32,
    /// The longest single wait, also of the doubling ones. A service that asks for more gets no further attempt: the error
    /// tells what it asked for. 60 seconds by default.
    #[builder(default = Duration::from_secs(60))]
    longest_wait: Duration,
    /// The wait before the first repetition when the service does not ask for one; it doubles each time. 250 ms by default.
    #[builder(default = Duration::from_millis(250))]
    first_wait: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl RetryPolicy {
    /// Never repeats anything.
    #[must_use]
    pub fn none() -> Self {
        Self::builder().max_attempts(1).build()
    }

    /// How long to wait before the next attempt; `None` ends the call. `attempt` counts from 1.
    pub(crate) fn wait_before_next(&self, attempt: u32, failure: &Failure) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let wait = match failure {
            Failure::NoReply(Delivery::NotSent) => {
                let doubled = 2_u32.saturating_pow(attempt.saturating_sub(1));
                self.first_wait
                    .saturating_mul(doubled)
                    .min(self.longest_wait)
            }
            Failure::Refused {
                status: 429,
                wanted_wait: Some(wait),
            } => *wait,
            _ => return None,
        };
        (wait <= self.longest_wait).then_some(wait)
    }
}

/// A failed attempt as far as repeating it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No whole reply came.
    NoReply(Delivery),
    /// A success came that is too long to be read, and would be again.
    Unreadable,
    /// The service said no, with this status (or this code in the body of a success).
    Refused {
        status: u16,
        wanted_wait: Option<Duration>,
    },
}

impl Failure {
    /// Whether the service may have done what was asked all the same.
    pub(crate) fn may_have_been_applied(self) -> bool {
        match self {
            Self::NoReply(delivery) => delivery != Delivery::NotSent,
            Self::Unreadable => true,
            // A redirect may be the answer to something that was done, and a 408 is a proxy's guess.
            Self::Refused { status, .. } => matches!(status, 300..=399 | 408 | 500..),
        }
    }

    /// Whether the failure passes by itself, and the operation can be repeated without doing harm.
    pub(crate) fn is_retryable(self, operation: &Operation) -> bool {
        let passes = match self {
            Self::NoReply(_) => true,
            Self::Unreadable => false,
            Self::Refused { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500 | 502..=504 | 507)
            }
        };
        passes && (may_repeat(operation) || !self.may_have_been_applied())
    }
}

/// Creating a server token leaves one behind each time; everything else can be done twice.
fn may_repeat(operation: &Operation) -> bool {
    operation.id != operations::POST_AUTH_BACKEND.id
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_SENT: Failure = Failure::NoReply(Delivery::NotSent);

    fn refused(status: u16, wait: Option<u64>) -> Failure {
        Failure::Refused {
            status,
            wanted_wait: wait.map(Duration::from_secs),
        }
    }

    #[test]
    fn no_connection_is_tried_again_after_doubling_waits() {
        let policy = RetryPolicy::builder().max_attempts(40).build();
        let waits: Vec<_> = [1, 2, 3, 39]
            .map(|attempt| {
                policy
                    .wait_before_next(attempt, &NOT_SENT)
                    .unwrap()
                    .as_millis()
            })
            .into();
        assert_eq!(waits, [250, 500, 1000, 60_000]);
        assert_eq!(policy.wait_before_next(40, &NOT_SENT), None);
    }

    #[test]
    fn a_429_is_tried_again_when_it_says_when_and_that_is_soon_enough() {
        let policy = RetryPolicy::default();
        assert_eq!(
            policy.wait_before_next(1, &refused(429, Some(7))),
            Some(Duration::from_secs(7))
        );
        assert_eq!(policy.wait_before_next(1, &refused(429, Some(61))), None);
        assert_eq!(policy.wait_before_next(1, &refused(429, None)), None);
    }

    #[test]
    fn nothing_else_is_tried_again() {
        let policy = RetryPolicy::default();
        for failure in [
            Failure::NoReply(Delivery::Unknown),
            refused(500, Some(1)),
            refused(400, Some(1)),
        ] {
            assert_eq!(policy.wait_before_next(1, &failure), None, "{failure:?}");
        }
        assert_eq!(RetryPolicy::none().wait_before_next(1, &NOT_SENT), None);
    }

    #[test]
    fn creating_a_server_token_is_retryable_only_when_it_surely_did_not_happen() {
        let create = &operations::POST_AUTH_BACKEND;
        let mint = &operations::POST_AUTH_CUSTOMERS_STOREFRONT;
        for (failure, of_create, of_mint) in [
            (NOT_SENT, true, true),
            (Failure::NoReply(Delivery::Unknown), false, true),
            (refused(429, None), true, true),
            (refused(500, None), false, true),
            (refused(501, None), false, false),
            (refused(404, None), false, false),
            (refused(408, None), false, true),
            (Failure::Unreadable, false, false),
        ] {
            assert_eq!(failure.is_retryable(create), of_create, "{failure:?}");
            assert_eq!(failure.is_retryable(mint), of_mint, "{failure:?}");
        }
    }
}
