//! The tokens that the service hands out, and how long they count. Time is an argument throughout.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth_api::types;
use http::HeaderValue;

use crate::{Claims, Secret, ServerTokenId, bearer, error::Malformed};

/// How long a storefront token is valid when it does not say so itself.
const STOREFRONT_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// A storefront token: what a shopper's requests to the storefront GraphQL and REST APIs carry as
/// `Authorization: Bearer …`.
///
/// `Debug` shows its claims and expiry, and not the token.
#[derive(Clone)]
pub struct StorefrontToken {
    token: Secret,
    authorization: HeaderValue,
    /// Read when somebody asks, for the claims or for the expiry: a token that is only passed on is never taken apart.
    claims: OnceLock<Option<Claims>>,
    name: Option<String>,
    requested_at: SystemTime,
    /// The service's clock when it replied.
    served_at: Option<SystemTime>,
}

/// By how much the service's clock and ours differ.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skew {
    /// By nothing that could be told from the time that a reply takes.
    None,
    ServiceAhead(Duration),
    ServiceBehind(Duration),
}

#[cfg(feature = "tokens")]
impl Skew {
    /// `Date` is in whole seconds, and a reply takes its time: less than this is no sign of anything.
    const NOTICED: Duration = Duration::from_secs(2);

    /// A `Date` further off than this is a mistake of whoever wrote it.
    const BELIEVED: Duration = STOREFRONT_LIFE;

    /// `requested_at` is ours, `date` the service's, a little later. What the reply took counts as being ahead, which makes
    /// an expiry earlier and never later.
    fn between(requested_at: SystemTime, date: SystemTime) -> Self {
        const CUT_OFF: Duration = Duration::from_secs(1);
        let date = date.checked_add(CUT_OFF).unwrap_or(date);
        match date.duration_since(requested_at) {
            Ok(by) if by > Self::NOTICED && by <= Self::BELIEVED => Self::ServiceAhead(by),
            Err(behind) if behind.duration() <= Self::BELIEVED => {
                Self::ServiceBehind(behind.duration())
            }
            Ok(_) | Err(_) => Self::None,
        }
    }
}

impl StorefrontToken {
    /// `requested_at` is when the request was *begun*: the service may have made the token any time after that, and a
    /// life that is counted from the reply's arrival would end too late.
    pub(crate) fn new(
        token: Secret,
        name: Option<String>,
        requested_at: SystemTime,
    ) -> Result<Self, Malformed> {
        if token.is_empty() {
            return Err(Malformed::new("the token is empty"));
        }
        let authorization = bearer::header(token.expose_secret())
            .map_err(|unsendable| Malformed::new(unsendable.to_string()))?;
        Ok(Self {
            token,
            authorization,
            claims: OnceLock::new(),
            name,
            requested_at,
            served_at: None,
        })
    }

    /// Takes note of what the service's own clock said in the reply.
    pub(crate) fn served_at(mut self, date: Option<SystemTime>) -> Self {
        self.served_at = date;
        self
    }

    /// When the request that brought it was begun, on the client's clock.
    #[cfg(feature = "tokens")]
    pub(crate) fn requested_at(&self) -> SystemTime {
        self.requested_at
    }

    /// Until when it is valid by the client's clock. Its `exp` is by the service's, which may differ by minutes; the `Date` of
    /// the reply tells.
    #[cfg(feature = "tokens")]
    pub(crate) fn expires_locally_at(&self) -> SystemTime {
        let expires_at = self.expires_at();
        if self
            .claims()
            .is_none_or(|claims| claims.expires_at.is_none())
        {
            // Counted from the client's own clock.
            return expires_at;
        }
        match self
            .served_at
            .map_or(Skew::None, |date| Skew::between(self.requested_at, date))
        {
            Skew::None => Some(expires_at),
            Skew::ServiceAhead(by) => expires_at.checked_sub(by),
            Skew::ServiceBehind(by) => expires_at.checked_add(by),
        }
        .unwrap_or(expires_at)
    }

    /// The token itself, a JWT.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.token
    }

    /// The value of the `Authorization` header, `Bearer …`, marked as sensitive.
    #[must_use]
    pub fn authorization(&self) -> HeaderValue {
        self.authorization.clone()
    }

    /// What the token says of itself, **not verified**. `None` when it is not a readable JWT.
    #[must_use]
    pub fn claims(&self) -> Option<&Claims> {
        self.claims
            .get_or_init(|| Claims::read_unverified(self.token.expose_secret()).ok())
            .as_ref()
    }

    /// The name that the service gave back for it, on a login.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Until when the token is valid: its claim `exp`, or a day from when it was requested.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.claims()
            .and_then(|claims| claims.expires_at)
            .or_else(|| self.requested_at.checked_add(STOREFRONT_LIFE))
            .unwrap_or(self.requested_at)
    }

    /// Whether the token is expired at `now`.
    #[must_use]
    pub fn is_expired_at(&self, now: SystemTime) -> bool {
        is_expired_at(self.expires_at(), now)
    }

    /// Whether the token is expired at `now`, or will be within `margin` of it.
    ///
    /// Ask this before using a token, with a margin of what the use may take and what two clocks may differ by.
    #[must_use]
    pub fn expires_within(&self, margin: Duration, now: SystemTime) -> bool {
        self.remaining(now) <= margin
    }

    /// How long the token is valid from `now` on; zero once it is expired.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.expires_at().duration_since(now).unwrap_or_default()
    }
}

impl fmt::Debug for StorefrontToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorefrontToken")
            .field("token", &self.token)
            .field("authorization", &self.authorization)
            .field("claims", &self.claims())
            .field("name", &self.name)
            .field("expires_at", &self.expires_at())
            .finish()
    }
}

/// The token of a reply: the mint call answers a list of one, other calls a text, and which is which has changed before.
/// The service has never been seen to answer more than one, and one must be there.
pub(crate) fn first(tokens: types::TokenOneOrMany) -> Result<Secret, Malformed> {
    match tokens {
        types::TokenOneOrMany::One(token) => Some(token),
        types::TokenOneOrMany::Many(tokens) => tokens.into_iter().next(),
    }
    .map(Secret::from_body)
    .ok_or_else(|| Malformed::new("its list of tokens is empty"))
}

/// A token is valid up to its expiry, and not at it.
pub(crate) fn is_expired_at(expires_at: SystemTime, now: SystemTime) -> bool {
    now >= expires_at
}

/// A server-to-server token that was just created. The reply states no expiry.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreatedServerToken {
    /// The name that it was given.
    pub name: Option<String>,
    /// The token, which [`LegacyAuthToken`](crate::LegacyAuthToken) takes.
    pub token: Secret,
}

/// A server-to-server token as the list shows it. The list holds whole tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerToken {
    /// What it is deleted by.
    pub id: ServerTokenId,
    /// The name that it was given.
    pub name: Option<String>,
    /// The e-mail address of who created it.
    pub email: Option<String>,
    /// The store that it belongs to.
    pub store_hash: Option<String>,
    /// The token itself.
    pub token: Option<Secret>,
    /// Where it was created.
    pub event_channel: Option<EventChannel>,
}

/// Where a server-to-server token was created.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventChannel {
    /// The B2B Edition control panel: `app`.
    App,
    /// The admin: `admin`.
    Admin,
    /// This API: `api`.
    Api,
    /// A place that this version of the SDK does not know.
    Other(String),
}

impl EventChannel {
    /// The value as the service writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::App => "app",
            Self::Admin => "admin",
            Self::Api => "api",
            Self::Other(other) => other,
        }
    }
}

impl From<String> for EventChannel {
    fn from(value: String) -> Self {
        match value.as_str() {
            "app" => Self::App,
            "admin" => Self::Admin,
            "api" => Self::Api,
            _ => Self::Other(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn requested_at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_token_that_says_no_expiry_counts_a_day_from_the_request() {
        let token = StorefrontToken::new("opaque".into(), None, requested_at()).unwrap();
        let start = requested_at();
        assert_eq!(token.expires_at(), start + 24 * HOUR);
        assert_eq!(token.remaining(start + 23 * HOUR), HOUR);
        assert_eq!(token.remaining(start + 25 * HOUR), Duration::ZERO);
        assert!(!token.expires_within(HOUR, start));
        assert!(token.expires_within(HOUR, start + 23 * HOUR));
        assert!(!token.is_expired_at(start + 24 * HOUR - Duration::from_nanos(1)));
        assert!(token.is_expired_at(start + 24 * HOUR));
        assert!(token.expires_within(Duration::ZERO, start + 24 * HOUR));
    }

    #[test]
    fn what_a_token_says_of_itself_does_not_depend_on_when_it_is_asked() {
        // {"email":"ada@example.com","exp":1900000000}
        let jwt = "e30.eyJlbWFpbCI6ImFkYUBleGFtcGxlLmNvbSIsImV4cCI6MTkwMDAwMDAwMH0.c2ln";
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
        let token = StorefrontToken::new(jwt.into(), None, requested_at()).unwrap();
        let unread = token.clone();
        assert!(format!("{unread:?}").contains("ada@example.com"));
        assert_eq!(token.expires_at(), expires_at);
        assert_eq!(token.claims(), Claims::read_unverified(jwt).ok().as_ref());
        assert_eq!(token.clone().claims(), token.claims());
        assert_eq!(format!("{token:?}"), format!("{unread:?}"));
    }

    #[cfg(feature = "tokens")]
    #[test]
    fn an_expiry_by_a_clock_that_differs_is_put_right() {
        // {"exp":1800086400}: a day after the request, if the clocks agree.
        let jwt = "e30.eyJleHAiOjE4MDAwODY0MDB9.c2ln";
        let of = |served_at| {
            StorefrontToken::new(jwt.into(), None, requested_at())
                .unwrap()
                .served_at(served_at)
        };
        let expires_at = requested_at() + 24 * HOUR;
        let second = Duration::from_secs(1);
        for (date, expected) in [
            (None, expires_at),
            // As good as no difference.
            (Some(requested_at() - second), expires_at),
            (Some(requested_at()), expires_at),
            (Some(requested_at() + second), expires_at),
            // Ahead, with the second that was cut off: the token ends earlier by our clock.
            (Some(requested_at() + 2 * second), expires_at - 3 * second),
            (Some(requested_at() + HOUR), expires_at - HOUR - second),
            // Behind, where the second cut off is to the good.
            (Some(requested_at() - HOUR), expires_at + HOUR - second),
            // Beyond belief.
            (Some(requested_at() + 24 * HOUR), expires_at),
            (
                Some(requested_at() + 24 * HOUR - second),
                expires_at - 24 * HOUR,
            ),
            (Some(requested_at() - 25 * HOUR - second), expires_at),
            (
                Some(requested_at() - 24 * HOUR - second),
                expires_at + 24 * HOUR,
            ),
        ] {
            assert_eq!(of(date).expires_locally_at(), expected, "{date:?}");
        }
        // What says no expiry counts from our own clock, whatever the service's says.
        let token = StorefrontToken::new("opaque".into(), None, requested_at()).unwrap();
        let token = token.served_at(Some(requested_at() + HOUR));
        assert_eq!(token.expires_locally_at(), expires_at);
        assert_eq!(token.requested_at(), requested_at());
    }

    #[test]
    fn a_clock_at_its_end_is_no_panic() {
        // The largest time that can be made; a day more does not fit.
        let mut end = SystemTime::UNIX_EPOCH;
        for shift in (0..63).rev() {
            end = end
                .checked_add(Duration::from_secs(1 << shift))
                .unwrap_or(end);
        }
        let token = StorefrontToken::new("opaque".into(), None, end).unwrap();
        assert_eq!(token.expires_at(), end);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_without_being_shown() {
        let long = "hunter2".repeat(16 * 1024 / 7 + 1);
        for bad in ["", "hunter2\n", &long] {
            let malformed = StorefrontToken::new(bad.into(), None, requested_at()).unwrap_err();
            assert!(!format!("{malformed:?}").contains("hunter2"));
        }
    }

    #[test]
    fn debug_shows_no_token() {
        let token = StorefrontToken::new("hunter2".into(), None, requested_at()).unwrap();
        assert!(!format!("{token:?}").contains("hunter2"), "{token:?}");
    }

    #[test]
    fn unknown_event_channels_are_kept() {
        for value in ["app", "admin", "api", "webhook"] {
            assert_eq!(EventChannel::from(value.to_owned()).as_str(), value);
        }
    }
}
