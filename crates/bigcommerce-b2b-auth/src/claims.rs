//! What a token says of itself. Nothing here is verified: the client has no key, so a claim may inform, never decide.

use std::time::{Duration, SystemTime};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::{Map, Value};

use crate::{Error, EventChannel, token};

/// Padding is not part of a JWT; a sender that adds it is understood all the same.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The claims of a JWT of this service, **read without verifying its signature**.
///
/// Which claims are there depends on how the token came about; each that is missing or of another type is `None` or
/// empty. Use them to show or to log, not to decide whose token it is.
///
/// | token | claims |
/// |---|---|
/// | storefront, by customer id | `email`, `customer_id`, `store_hash`, `database`, `channel_ids` (one), `expires_at` |
/// | storefront, by login | `email`, `store_hash`, `database`, `name`, `channel_ids`, `token_type`, `not_before`, `expires_at` |
/// | server-to-server | `email`, `store_hash`, `database`, sometimes `name` and `event_channel`; no expiry |
/// | session JWT | `email`, `customer_id`, `store_hash`, `issued_at`, `expires_at` |
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Claims {
    /// The e-mail address of the account.
    pub email: Option<String>,
    /// The customer id, not checked to be a valid one.
    pub customer_id: Option<i64>,
    /// The store hash.
    pub store_hash: Option<String>,
    /// The claim `db`.
    pub database: Option<String>,
    /// The channels that the token is for.
    pub channel_ids: Vec<i64>,
    /// The name that was given when the token was made.
    pub name: Option<String>,
    /// The claim `token_type`: 3 on a token by login.
    pub token_type: Option<i64>,
    /// Where a server-to-server token was created.
    pub event_channel: Option<EventChannel>,
    /// When the token was issued (`iat`).
    pub issued_at: Option<SystemTime>,
    /// From when on the token is valid (`nbf`).
    pub not_before: Option<SystemTime>,
    /// Until when the token is valid (`exp`).
    pub expires_at: Option<SystemTime>,
}

impl Claims {
    /// Reads the claims of a JWT, such as the session JWT that a storefront hands out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the text is not a JWT: three parts with dots
    /// between, the middle one a JSON object in base64url. The text is never part of the error.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::Claims;
    ///
    /// // {"email":"ada@example.com","exp":1900000000}
    /// let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJlbWFpbCI6ImFkYUBleGFtcGxlLmNvbSIsImV4cCI6MTkwMDAwMDAwMH0.c2lnbmF0dXJl";
    /// let claims = Claims::read_unverified(jwt)?;
    /// assert_eq!(claims.email.as_deref(), Some("ada@example.com"));
    /// # Ok::<(), bigcommerce_b2b_auth::Error>(())
    /// ```
    pub fn read_unverified(jwt: &str) -> Result<Self, Error> {
        let mut parts = jwt.trim().split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Error::invalid_input(
                "not a JWT: three parts with dots between were expected",
            ));
        };
        let json = BASE64URL
            .decode(claims)
            .map_err(|_| Error::invalid_input("not a JWT: its middle part is not base64url"))?;
        // serde_json's messages may quote the text that they fail on, so none of them is passed on.
        let claims = serde_json::from_slice(&json).map_err(|_| {
            Error::invalid_input("not a JWT: its middle part does not hold a JSON object")
        })?;
        Ok(Self::from_json(&claims))
    }

    fn from_json(claims: &Map<String, Value>) -> Self {
        // A session JWT keeps the customer in an object of its own.
        let customer = claims.get("customer").and_then(Value::as_object);
        let nested = |name| customer.and_then(|customer| customer.get(name));
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let time = |name| claims.get(name).and_then(number).and_then(instant);
        let channels = claims
            .get("channel_ids")
            .and_then(Value::as_array)
            .map(|ids| ids.iter().filter_map(integer).collect())
            .or_else(|| Some(vec![claims.get("bc_channel_id").and_then(integer)?]));
        Self {
            email: text(claims.get("email").or_else(|| nested("email"))),
            customer_id: claims
                .get("bc_customer_id")
                .or_else(|| nested("id"))
                .and_then(integer),
            store_hash: text(claims.get("store_hash")),
            database: text(claims.get("db")),
            channel_ids: channels.unwrap_or_default(),
            name: text(claims.get("name")),
            token_type: claims.get("token_type").and_then(integer),
            event_channel: text(claims.get("event_channel")).map(EventChannel::from),
            issued_at: time("iat"),
            not_before: time("nbf"),
            expires_at: time("exp"),
        }
    }

    /// Whether the token is expired at `now`. A token without an expiry never is.
    #[must_use]
    pub fn is_expired_at(&self, now: SystemTime) -> bool {
        self.expires_at
            .is_some_and(|expires_at| token::is_expired_at(expires_at, now))
    }
}

/// A whole number, also when it is written as text, as some clients and claims have it.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Seconds, whole or with a fraction.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A Unix time in seconds; `None` for what no clock can hold and no calendar can write. A time in milliseconds is one:
/// read as seconds it would make a token last for tens of thousands of years.
fn instant(seconds: f64) -> Option<SystemTime> {
    /// The last second of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    if seconds > LAST {
        return None;
    }
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwt(claims: &Value) -> String {
        format!("e30.{}.c2ln", BASE64URL.encode(claims.to_string()))
    }

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn a_token_by_customer_id() {
        let claims = Claims::read_unverified(&jwt(&json!({
            "email": "ada@example.com", "bc_customer_id": 42, "store_hash": "abc123", "db": "default",
            "bc_channel_id": 1, "exp": 1_900_000_000,
        })))
        .unwrap();
        assert_eq!(claims.customer_id, Some(42));
        assert_eq!(claims.channel_ids, [1]);
        assert_eq!(claims.expires_at, at(1_900_000_000));
        assert_eq!(claims.issued_at, None);
        assert!(!claims.is_expired_at(at(1_899_999_999).unwrap()));
        assert!(claims.is_expired_at(at(1_900_000_000).unwrap()));
    }

    #[test]
    fn a_token_by_login() {
        let claims = Claims::read_unverified(&jwt(&json!({
            "email": "ada@example.com", "store_hash": "abc123", "db": "default", "name": "checkout",
            "channel_ids": [1, "2"], "token_type": 3, "nbf": 1000, "exp": 2000.5,
        })))
        .unwrap();
        assert_eq!(claims.customer_id, None);
        assert_eq!(claims.channel_ids, [1, 2]);
        assert_eq!(claims.not_before, at(1000));
        assert_eq!(
            claims.expires_at,
            at(2000).map(|time| time + Duration::from_millis(500))
        );
    }

    #[test]
    fn a_session_jwt_keeps_the_customer_in_an_object() {
        let claims = Claims::read_unverified(&jwt(&json!({
            "customer": {"id": 7, "email": "ada@example.com", "group_id": "0"}, "iat": 1000, "exp": 1900,
        })))
        .unwrap();
        assert_eq!(claims.customer_id, Some(7));
        assert_eq!(claims.email.as_deref(), Some("ada@example.com"));
    }

    #[test]
    fn a_claim_of_another_type_is_left_out_and_harms_no_other() {
        let claims = Claims::read_unverified(&jwt(&json!({
            "email": ["ada"], "bc_customer_id": 1.5, "store_hash": "abc123", "exp": -1, "nbf": 1e300,
            "channel_ids": {"1": 1}, "bc_channel_id": 5,
        })))
        .unwrap();
        assert_eq!(claims.store_hash.as_deref(), Some("abc123"));
        assert_eq!(claims.channel_ids, [5]);
        assert_eq!(
            (
                claims.email,
                claims.customer_id,
                claims.expires_at,
                claims.not_before
            ),
            (None, None, None, None)
        );
    }

    #[test]
    fn a_time_beyond_the_calendar_is_none() {
        for (exp, expected) in [
            (json!(253_402_300_799_u64), at(253_402_300_799)),
            (json!(253_402_300_800_u64), None),
            (json!(1_900_000_000_000_u64), None),
            (json!("inf"), None),
            (json!("nan"), None),
            (json!("1900000000"), at(1_900_000_000)),
        ] {
            let claims = Claims::read_unverified(&jwt(&json!({"exp": exp}))).unwrap();
            assert_eq!(claims.expires_at, expected, "{exp}");
        }
    }

    #[test]
    fn what_is_no_jwt_is_an_error_that_does_not_repeat_it() {
        for text in [
            "",
            "hunter2",
            "a.b",
            "a.hunter2hunter2!.c",
            "a.aHVudGVyMg.c",
            "a.WyJodW50ZXIyIl0.c",
            "a.b.c.d",
        ] {
            let error = Claims::read_unverified(text).unwrap_err();
            assert!(error.to_string().contains("not a JWT"), "{text}: {error}");
            assert!(
                !format!("{error:?} {error}").contains("hunter2"),
                "{error:?}"
            );
        }
    }
}
