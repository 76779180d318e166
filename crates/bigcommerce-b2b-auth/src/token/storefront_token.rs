//! The tokens that the service hands out, and how long they count. Time is an argument throughout.

use std::{
    fmt,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth_api::types;
use http::HeaderValue;

#[cfg(feature = "tokens")]
use crate::time::service_clock::Skew;
use crate::{
    Claims, ReplyMeta, Secret, ServerTokenId,
    error::Malformed,
    token::{
        bearer,
        claims::{Holder, Inspected},
    },
};

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
    /// All of the claims, read when somebody asks for them.
    claims: OnceLock<Option<Claims>>,
    /// Those of the claims that the SDK acts on.
    inspected: Inspected,
    name: Option<String>,
    requested_at: SystemTime,
    /// The end that the request allows, whatever the token says. By the client's clock.
    not_after: SystemTime,
    #[cfg(feature = "tokens")]
    skew: Skew,
}

impl StorefrontToken {
    /// A token that a response brought. It has to be of the holder, and valid at the time of the response.
    ///
    /// The service's own `Date` decides whether it has expired, where the response tells it; this machine's clock does otherwise.
    pub(crate) fn received(
        token: Secret,
        name: Option<String>,
        holder: Holder<'_>,
        meta: &ReplyMeta,
    ) -> Result<Self, Malformed> {
        let token = Self::build(token, name, meta.requested_at, holder)?;
        if let Some(expires_at) = token.inspected.expires_at {
            if expires_at <= SystemTime::UNIX_EPOCH {
                return Err(Malformed::new(
                    "the token has expired: its claim `exp` is 0 or negative",
                ));
            }
            match meta.live_date() {
                Some(date) if expires_at <= date => {
                    return Err(Malformed::new(
                        "the token had expired when it was sent, by the service's own clock",
                    ));
                }
                None if meta.skew.expiry(expires_at, meta.requested_at) <= meta.requested_at => {
                    return Err(Malformed::new(
                        "the token has expired by the clock of this machine: check whether that clock is right",
                    ));
                }
                _ => {}
            }
        }
        #[cfg(feature = "tokens")]
        let token = Self {
            skew: meta.skew,
            ..token
        };
        Ok(token)
    }

    /// A token of anybody, expired or not.
    #[cfg(test)]
    pub(crate) fn new(
        token: Secret,
        name: Option<String>,
        requested_at: SystemTime,
    ) -> Result<Self, Malformed> {
        Self::build(token, name, requested_at, Holder::default())
    }

    /// `requested_at` is when the request was *begun*: the service may have made the token any time after that, and a
    /// life that is counted from the reply's arrival would end too late.
    fn build(
        token: Secret,
        name: Option<String>,
        requested_at: SystemTime,
        holder: Holder<'_>,
    ) -> Result<Self, Malformed> {
        if token.is_empty() {
            return Err(Malformed::new("the token is empty"));
        }
        let authorization = bearer::header(token.expose_secret())
            .map_err(|unsendable| Malformed::new(unsendable.to_string()))?;
        let inspected = holder.inspect(token.expose_secret());
        if inspected.is_mismatch {
            return Err(Malformed::mismatch());
        }
        Ok(Self {
            token,
            authorization,
            claims: OnceLock::new(),
            inspected,
            name,
            requested_at,
            not_after: a_day_after(requested_at),
            #[cfg(feature = "tokens")]
            skew: Skew::None,
        })
    }

    /// Takes note of the times that the request stated: until `end_at`, or for a day from `begin_at` on.
    pub(crate) fn asked_for(
        mut self,
        begin_at: Option<SystemTime>,
        end_at: Option<SystemTime>,
    ) -> Self {
        if let Some(begin_at) = begin_at {
            self.not_after = a_day_after(begin_at.max(self.requested_at));
        }
        if let Some(end_at) = end_at {
            self.not_after = end_at;
        }
        self
    }

    /// When the request that brought it was begun, on the client's clock.
    #[cfg(feature = "tokens")]
    pub(crate) fn requested_at(&self) -> SystemTime {
        self.requested_at
    }

    /// Until when it is valid by the client's clock. Its `exp` is by the service's clock, which may differ; the `Date` of
    /// responses tells by how much. It is never longer than the request allows: a day, unless a login asked for another end.
    #[cfg(feature = "tokens")]
    pub(crate) fn expires_locally_at(&self) -> SystemTime {
        match self.inspected.expires_at {
            Some(expires_at) => self
                .skew
                .expiry(expires_at, self.requested_at)
                .min(self.not_after),
            None => self.expires_at(),
        }
    }

    /// From when on it is valid by the client's clock, where the token says so.
    #[cfg(feature = "tokens")]
    pub(crate) fn valid_locally_from(&self) -> Option<SystemTime> {
        let not_before = self.inspected.not_before?;
        Some(self.skew.at_the_earliest(not_before))
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

    /// Until when the token is valid: its claim `exp`, by the service's clock. Without a readable one it is a day from when the
    /// token was requested, or the end that a login asked for, if that is earlier.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.inspected
            .expires_at
            .unwrap_or_else(|| a_day_after(self.requested_at).min(self.not_after))
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

/// The end of a storefront token that does not say when it ends.
fn a_day_after(time: SystemTime) -> SystemTime {
    time.checked_add(STOREFRONT_LIFE).unwrap_or(time)
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

    /// A token with this claim `exp`.
    fn jwt(exp: &str) -> Secret {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"exp":{exp}}}"#));
        format!("e30.{claims}.c2ln").into()
    }

    fn seconds(time: SystemTime) -> String {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs()
            .to_string()
    }

    /// A response to a request that was begun at `requested_at`.
    fn response(headers: &[(&'static str, String)], skew: Skew) -> ReplyMeta {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        let mut meta = ReplyMeta::read(200, &headers, 1, requested_at(), &[]);
        meta.skew = skew;
        meta
    }

    fn received(exp: &str, meta: &ReplyMeta) -> Result<StorefrontToken, Malformed> {
        StorefrontToken::received(jwt(exp), None, Holder::default(), meta)
    }

    #[test]
    fn a_token_that_had_expired_when_it_came_is_refused() {
        let date = |date| ("date", httpdate::fmt_http_date(date));
        let age = ("age", "72000".to_owned());
        let now = requested_at();
        let exp = |time| seconds(time);
        for (exp, headers, skew, refusal) in [
            // 0 and below, whatever any clock says.
            ("0", &[][..], Skew::None, Some("0 or negative")),
            ("-1", &[], Skew::None, Some("0 or negative")),
            ("\"-1\"", &[], Skew::None, Some("0 or negative")),
            // By the service's clock, although ours is behind, and not although ours is ahead.
            (
                &exp(now + HOUR),
                &[date(now + HOUR)],
                Skew::None,
                Some("service's own clock"),
            ),
            (&exp(now - HOUR), &[date(now - 2 * HOUR)], Skew::None, None),
            // By ours, where the response does not tell the service's.
            (
                &exp(now),
                &[],
                Skew::None,
                Some("check whether that clock is right"),
            ),
            (
                &exp(now),
                &[date(now - HOUR), age.clone()],
                Skew::None,
                Some("check whether that clock is right"),
            ),
            // What is known of the service's clock counts.
            (
                &exp(now + HOUR),
                &[],
                Skew::ServiceAhead(HOUR),
                Some("check whether that clock is right"),
            ),
            (&exp(now), &[], Skew::ServiceBehind(HOUR), None),
            (&exp(now + HOUR), &[date(now)], Skew::None, None),
            // Unreadable is not over: it is the documented day.
            ("{}", &[], Skew::None, None),
            ("1800000000000", &[], Skew::None, None),
        ] {
            let result = received(exp, &response(headers, skew));
            match (&result, refusal) {
                (Ok(_), None) => {}
                (Err(malformed), Some(refusal)) => {
                    assert!(malformed.what.contains(refusal), "{exp}: {malformed:?}");
                    assert_eq!(malformed.kind, crate::ErrorKind::UnexpectedReply);
                }
                _ => panic!("{exp}, {headers:?}, {skew:?}: {result:?}"),
            }
        }
    }

    #[test]
    fn an_unreadable_expiry_is_a_day_from_the_request() {
        for exp in ["{}", "[1]", "null", "true", "\"soon\"", "1800000000000"] {
            let token = received(exp, &response(&[], Skew::None)).unwrap();
            assert_eq!(token.expires_at(), requested_at() + 24 * HOUR, "{exp}");
        }
        for exp in [
            "1800000060",
            "\"1800000060\"",
            "1800000060.0",
            "\" 1800000060.0\"",
        ] {
            let token = received(exp, &response(&[], Skew::None)).unwrap();
            assert_eq!(
                token.expires_at(),
                requested_at() + Duration::from_secs(60),
                "{exp}"
            );
        }
    }

    #[cfg(feature = "tokens")]
    #[test]
    fn an_expiry_is_corrected_by_what_the_clocks_differ_and_never_beyond_a_day() {
        let minute = Duration::from_secs(60);
        let of = |exp: SystemTime, skew| {
            received(&seconds(exp), &response(&[], skew))
                .unwrap()
                .expires_locally_at()
        };
        let start = requested_at();
        assert_eq!(of(start + HOUR, Skew::None), start + HOUR);
        assert_eq!(
            of(start + HOUR, Skew::ServiceAhead(20 * minute)),
            start + 40 * minute
        );
        assert_eq!(
            of(start + HOUR, Skew::ServiceBehind(minute)),
            start + 61 * minute
        );
        assert_eq!(
            of(start + HOUR, Skew::ServiceBehind(20 * HOUR)),
            start + 65 * minute
        );
        assert_eq!(of(start + 25 * HOUR, Skew::None), start + 24 * HOUR);
        assert_eq!(
            of(start + 24 * HOUR, Skew::ServiceBehind(minute)),
            start + 24 * HOUR
        );
        // What the token says to the caller is what it says.
        let token = received(&seconds(start + 25 * HOUR), &response(&[], Skew::None)).unwrap();
        assert_eq!(token.expires_at(), start + 25 * HOUR);
        // Without an expiry it counts from our own clock, whatever the service's says.
        let ahead = response(&[], Skew::ServiceAhead(HOUR));
        let token =
            StorefrontToken::received("opaque".into(), None, Holder::default(), &ahead).unwrap();
        assert_eq!(token.expires_locally_at(), start + 24 * HOUR);
        assert_eq!(token.requested_at(), start);
    }

    #[cfg(feature = "tokens")]
    #[test]
    fn a_login_decides_itself_when_its_token_ends() {
        let start = requested_at();
        let of = |exp: &str, begin_at, end_at| {
            received(exp, &response(&[], Skew::None))
                .unwrap()
                .asked_for(begin_at, end_at)
        };
        let week = seconds(start + 7 * 24 * HOUR);
        for (begin_at, end_at, expected) in [
            (None, None, start + 24 * HOUR),
            (None, Some(start + 48 * HOUR), start + 48 * HOUR),
            (Some(start + HOUR), None, start + 25 * HOUR),
            (Some(start - HOUR), None, start + 24 * HOUR),
            (Some(start + HOUR), Some(start + 2 * HOUR), start + 2 * HOUR),
        ] {
            let token = of(&week, begin_at, end_at);
            assert_eq!(token.expires_locally_at(), expected);
        }
        let opaque = |end_at| of("null", None, Some(end_at)).expires_at();
        assert_eq!(opaque(start + HOUR), start + HOUR);
        assert_eq!(opaque(start + 48 * HOUR), start + 24 * HOUR);
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
