//! Claims of a token: what it says of itself. Nothing here is verified, since the client has no key. So a claim never decides
//! whose cached token is handed out; but a token whose claims contradict the request is refused.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::{CustomerId, Error, EventChannel, token::storefront_token};

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
/// empty. Use them to show or to log, not to decide whose token it is. The SDK itself compares them with the request: a token
/// that names another customer or store is refused, with [`ErrorKind::TokenMismatch`](crate::ErrorKind::TokenMismatch).
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
    /// Until when the token is valid (`exp`), in seconds since 1970, as a number or as text. A negative time is read as 1970: such a
    /// token has expired. `None` where it is missing, of another type, or after the year 9999, as a time in milliseconds is.
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
        let claims = middle_part(jwt).ok_or_else(|| {
            Error::invalid_input("not a JWT: three parts with dots between were expected")
        })?;
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
        let time = |name| claims.get(name).and_then(time);
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
            .is_some_and(|expires_at| storefront_token::is_expired_at(expires_at, now))
    }
}

/// The part of a JWT that holds its claims, in base64url.
fn middle_part(jwt: &str) -> Option<&str> {
    let mut parts = jwt.trim().split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(_), Some(claims), Some(_), None) => Some(claims),
        _ => None,
    }
}

/// Whose token was asked for. `None` where the request does not say.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holder<'h> {
    pub(crate) customer: Option<CustomerId>,
    pub(crate) store_hash: Option<&'h str>,
}

/// What the claims of a token say of its use. All of it is missing for a token without readable claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Inspected {
    /// Whether they name another customer or another store than the request.
    pub(crate) is_mismatch: bool,
    pub(crate) not_before: Option<SystemTime>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl Holder<'_> {
    /// Reads the few claims that the SDK acts on. It costs about a microsecond, far less than [`Claims`].
    pub(crate) fn inspect(self, token: &str) -> Inspected {
        let read = || {
            let json = BASE64URL.decode(middle_part(token)?).ok()?;
            let mut json = serde_json::Deserializer::from_slice(&json);
            let inspected = self.deserialize(&mut json).ok()?;
            json.end().ok()?;
            Some(inspected)
        };
        read().unwrap_or_default()
    }

    fn is_another_customer(self, claim: &Value) -> bool {
        let Some(asked_for) = self.customer.map(CustomerId::get) else {
            return false;
        };
        match claim {
            Value::Number(stated) => match stated.as_i64() {
                Some(stated) => stated != asked_for,
                // Beyond the range of IDs, or with a fraction. A fraction of zero is a whole number all the same.
                None => stated.as_f64().is_some_and(|stated| {
                    stated.fract() == 0.0 && stated.to_string() != asked_for.to_string()
                }),
            },
            Value::String(text) => text
                .trim()
                .parse()
                .is_ok_and(|stated: i128| stated != i128::from(asked_for)),
            _ => false,
        }
    }

    fn is_another_store(self, claim: &Value) -> bool {
        let stated = claim.as_str().map(str::trim).unwrap_or_default();
        // Store hashes are in lower case; a caller may have written them otherwise.
        self.store_hash
            .is_some_and(|asked_for| !stated.is_empty() && !stated.eq_ignore_ascii_case(asked_for))
    }
}

/// The names of the claims that are inspected.
#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    BcCustomerId,
    Customer,
    StoreHash,
    Nbf,
    Exp,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Holder<'_> {
    type Value = Inspected;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Inspected, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Holder<'_> {
    type Value = Inspected;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the claims of a token")
    }

    /// Each claim that is there is compared, also where a name is there twice.
    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<Inspected, A::Error> {
        let mut inspected = Inspected::default();
        while let Some(name) = claims.next_key()? {
            match name {
                Name::BcCustomerId => {
                    inspected.is_mismatch |= self.is_another_customer(&claims.next_value()?);
                }
                Name::Customer => {
                    let customer: Value = claims.next_value()?;
                    let id = customer.get("id").unwrap_or(&Value::Null);
                    inspected.is_mismatch |= self.is_another_customer(id);
                }
                Name::StoreHash => {
                    inspected.is_mismatch |= self.is_another_store(&claims.next_value()?);
                }
                Name::Nbf => inspected.not_before = time(&claims.next_value()?),
                Name::Exp => inspected.expires_at = time(&claims.next_value()?),
                Name::Other => {
                    claims.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(inspected)
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

/// A Unix time in seconds, whole or with a fraction, also when it is written as text.
fn time(value: &Value) -> Option<SystemTime> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    instant(seconds)
}

/// A Unix time in seconds; `None` for what no clock can hold and no calendar can write. A time in milliseconds is one:
/// read as seconds it would make a token last for tens of thousands of years. A negative time is read as 1970, which has passed
/// as well.
fn instant(seconds: f64) -> Option<SystemTime> {
    /// The last second of the year 9999.
    const LAST: f64 = 253_402_300_799.0;
    if !seconds.is_finite() || seconds > LAST {
        return None;
    }
    let since_epoch = Duration::try_from_secs_f64(seconds.max(0.0)).ok()?;
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
            "email": ["ada"], "bc_customer_id": 1.5, "store_hash": "abc123", "exp": {"at": 1}, "nbf": 1e300,
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
            (json!("-inf"), None),
            (json!("1900000000"), at(1_900_000_000)),
            (json!(" 1900000000.0 "), at(1_900_000_000)),
            (json!(1_900_000_000.0), at(1_900_000_000)),
        ] {
            let jwt = jwt(&json!({"exp": exp, "nbf": exp}));
            let claims = Claims::read_unverified(&jwt).unwrap();
            assert_eq!(claims.expires_at, expected, "{exp}");
            let inspected = Holder::default().inspect(&jwt);
            assert_eq!(inspected.expires_at, expected, "{exp}");
            assert_eq!(inspected.not_before, expected, "{exp}");
        }
    }

    #[test]
    fn an_expiry_before_1970_has_passed() {
        for exp in [json!(0), json!(-1), json!("-1"), json!(-1e300), json!("0")] {
            let jwt = jwt(&json!({"exp": exp}));
            let claims = Claims::read_unverified(&jwt).unwrap();
            assert_eq!(claims.expires_at, at(0), "{exp}");
            assert!(claims.is_expired_at(at(1).unwrap()));
            assert_eq!(Holder::default().inspect(&jwt).expires_at, at(0), "{exp}");
        }
    }

    #[test]
    fn claims_that_name_another_customer_or_store_are_a_mismatch() {
        let holder = Holder {
            customer: CustomerId::new(42).ok(),
            store_hash: Some("abc123"),
        };
        for (claims, is_mismatch) in [
            (json!({}), false),
            (json!({"bc_customer_id": 42, "store_hash": "abc123"}), false),
            (
                json!({"bc_customer_id": "42", "store_hash": "ABC123 "}),
                false,
            ),
            (json!({"bc_customer_id": 42.0}), false),
            (json!({"customer": {"id": 42}}), false),
            (json!({"bc_customer_id": 43}), true),
            (json!({"bc_customer_id": " 43 "}), true),
            (json!({"bc_customer_id": 43.0}), true),
            (json!({"bc_customer_id": 0}), true),
            (json!({"bc_customer_id": u64::MAX}), true),
            (json!({"bc_customer_id": "99999999999999999999"}), true),
            (json!({"customer": {"id": 43}}), true),
            (json!({"customer": {"id": "43"}}), true),
            (json!({"bc_customer_id": 42, "customer": {"id": 43}}), true),
            (json!({"store_hash": "def456"}), true),
            (json!({"bc_customer_id": 42, "store_hash": "def456"}), true),
            // Unreadable is not another one.
            (json!({"bc_customer_id": "ada", "store_hash": ""}), false),
            (json!({"bc_customer_id": null, "store_hash": null}), false),
            (
                json!({"bc_customer_id": [43], "store_hash": ["def456"]}),
                false,
            ),
            (json!({"bc_customer_id": 43.5, "customer": 43}), false),
            (
                json!({"other": {"bc_customer_id": 43, "store_hash": "def456"}}),
                false,
            ),
        ] {
            let jwt = jwt(&claims);
            assert_eq!(holder.inspect(&jwt).is_mismatch, is_mismatch, "{claims}");
            assert!(!Holder::default().inspect(&jwt).is_mismatch, "{claims}");
        }
        // A name that is there twice does not hide the other value.
        for text in [
            r#"{"bc_customer_id": 43, "bc_customer_id": 42}"#,
            r#"{"bc_customer_id": 42, "bc_customer_id": 43}"#,
            r#"{"bc_customer\u005fid": 43}"#,
        ] {
            let jwt = format!("e30.{}.c2ln", BASE64URL.encode(text));
            assert!(holder.inspect(&jwt).is_mismatch, "{text}");
        }
        // Nothing is known of what cannot be read.
        for opaque in ["", "opaque", "a.b.c", "a.WzQzXQ.c", "a.e30.c.d"] {
            assert_eq!(holder.inspect(opaque), Inspected::default(), "{opaque}");
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
