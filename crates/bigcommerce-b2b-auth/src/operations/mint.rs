//! Minting a storefront token by customer id: the call that a server-side integration makes for its shoppers.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth_api::{calls, types};

use crate::{
    CallOptions, ChannelId, Client, CustomerId, Error, Reply, ReplyMeta, Secret, StoreAccess,
    StorefrontToken,
    operations::input::filled_secret,
    pipeline::call::{CallProgress, CallSettings},
    token::{claims::Holder, storefront_token},
};

#[bon::bon]
impl Client<StoreAccess> {
    /// Mints a storefront token for a customer, by `POST /auth/customers/storefront`. It is valid for one day.
    ///
    /// Minting the same token twice does no harm.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
    /// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
    /// let token = client.mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID)?).send().await?;
    /// println!("{token:?}, {:?} requests left", token.meta().budget.remaining);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Any [`ErrorKind`](crate::ErrorKind) of a call. A wrong store hash is answered with a server error.
    /// [`TokenMismatch`](crate::ErrorKind::TokenMismatch) when the token names another customer or store;
    /// [`UnexpectedReply`](crate::ErrorKind::UnexpectedReply) when it had expired when it came.
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), before anything is sent, for a customer access token that
    /// has [expired](CustomerAccessToken#expiry).
    #[builder(
        finish_fn = send,
        builder_type(name = MintStorefrontToken, doc {
            /// A call that mints a storefront token; [`Client::mint_storefront_token`] starts it, `send()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub async fn mint_storefront_token(
        &self,
        #[builder(start_fn)] customer: CustomerId,
        /// The channel that the token is for. The client's default channel if unset; the service's own if that is unset
        /// too.
        channel: Option<ChannelId>,
        /// A customer access token of the same customer, to be associated with the storefront token.
        customer_access_token: Option<CustomerAccessToken>,
        /// How this call differs from what the client does by default.
        options: Option<CallOptions>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let mint = Mint {
            customer,
            channel: channel.or(self.default_channel()),
            customer_access_token,
        };
        mint.run(self, options, None).await
    }
}

#[cfg(feature = "blocking")]
impl<S: mint_storefront_token::IsComplete> MintStorefrontToken<'_, S> {
    /// Sends the call, and blocks until its result is there; see [`blocking`](crate::blocking).
    ///
    /// # Errors
    /// As `send()`, and [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) where blocking is not possible.
    pub fn send_blocking(self) -> Result<Reply<StorefrontToken>, Error> {
        crate::blocking::run(self.send())?
    }
}

/// What a storefront token is minted for.
#[derive(Debug, Clone)]
pub(crate) struct Mint {
    pub(crate) customer: CustomerId,
    pub(crate) channel: Option<ChannelId>,
    pub(crate) customer_access_token: Option<CustomerAccessToken>,
}

impl Mint {
    /// Makes the call. `progress` is updated as it goes.
    pub(crate) async fn run(
        self,
        client: &Client<StoreAccess>,
        options: Option<CallOptions>,
        progress: Option<Arc<CallProgress>>,
    ) -> Result<Reply<StorefrontToken>, Error> {
        let Self {
            customer,
            channel,
            customer_access_token,
        } = self;
        if let Some(token) = &customer_access_token {
            filled_secret("customer access token", &token.value)?;
            token.refuse_if_expired(client.clock().now())?;
        }
        let body = types::PostAuthCustomersStorefrontRequest {
            customer_id: customer.get(),
            channel_id: channel.map(ChannelId::get),
            customer_access_token: customer_access_token.map(Into::into),
        };
        let call = calls::PostAuthCustomersStorefront { body };
        let settings = CallSettings {
            options,
            customer: Some(customer),
            progress,
        };
        let read = |reply, meta: &ReplyMeta| {
            // In full, so that a field that the document gains stops the build here.
            let types::PostAuthCustomersStorefrontResponse200 {
                code: _,
                data,
                meta: _,
            } = reply;
            let types::PostAuthCustomersStorefrontResponse200Data { token } = data;
            let holder = Holder {
                customer: Some(customer),
                store_hash: Some(client.store_hash().as_str()),
            };
            StorefrontToken::received(storefront_token::first(token)?, None, holder, meta)
        };
        client.perform(&call, settings, read).await
    }
}

/// A Customer Access Token (CAT) of the core storefront: opaque, and not a JWT.
///
/// # Expiry
/// A mint with an expired token is refused before anything is sent, by the client's [`Clock`](crate::Clock). Two places can
/// state the expiry: [`expires_at`](Self::expires_at) or [`expires_at_text`](Self::expires_at_text), and the end of a token of
/// the form `<64 hex digits>_<Unix seconds>`. The earlier of the two counts. That form is inferred from the two examples in the
/// vendor's documents, where both times are the same. A token of another form without a stated expiry is always sent.
#[derive(Debug, Clone)]
pub struct CustomerAccessToken {
    value: Secret,
    expires_at: Option<String>,
}

impl CustomerAccessToken {
    /// The token itself, which a cache tells whose entry is whose by.
    #[cfg(feature = "tokens")]
    pub(crate) fn value(&self) -> &Secret {
        &self.value
    }

    /// A token whose expiry is not stated.
    #[must_use]
    pub fn new(value: impl Into<Secret>) -> Self {
        Self {
            value: value.into(),
            expires_at: None,
        }
    }

    /// States the expiry as a time. It is sent in ISO 8601, in UTC and whole seconds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a time before 1970 or after the year 9999.
    pub fn expires_at(mut self, time: SystemTime) -> Result<Self, Error> {
        let mut text = String::new();
        // Before 1970 there is no duration, and after 9999 the formatter refuses: neither may become a panic.
        let formatted = time.duration_since(SystemTime::UNIX_EPOCH).is_ok()
            && write!(text, "{}", humantime::format_rfc3339_seconds(time)).is_ok();
        if !formatted {
            return Err(Error::invalid_input(
                "the expiry of the customer access token is not between the years 1970 and 9999",
            ));
        }
        self.expires_at = Some(text);
        Ok(self)
    }

    /// States the expiry as text, as the issuer of the token wrote it, such as `2026-12-31T00:00:00Z`. It is sent unchanged.
    ///
    /// RFC 3339 text with any offset is also understood by the client, which then refuses an expired token. Other text, also
    /// a time without an offset, is only sent.
    #[must_use]
    pub fn expires_at_text(mut self, text: impl Into<String>) -> Self {
        self.expires_at = Some(text.into());
        self
    }

    fn refuse_if_expired(&self, now: SystemTime) -> Result<(), Error> {
        match self.known_expiry() {
            Some(expires_at) if storefront_token::is_expired_at(expires_at, now) => {
                let ago = now.duration_since(expires_at).unwrap_or_default();
                Err(Error::invalid_input(format!(
                    "invalid customer access token: expired {} s ago by the client's clock; get a new one from the core \
                     storefront",
                    ago.as_secs()
                )))
            }
            _ => Ok(()),
        }
    }

    /// The earlier of the stated expiry and the one at the end of the token.
    fn known_expiry(&self) -> Option<SystemTime> {
        let stated = self.expires_at.as_deref().and_then(parse_rfc3339);
        match (stated, expiry_in_token(self.value.expose_secret())) {
            (Some(stated), Some(in_token)) => Some(stated.min(in_token)),
            (stated, in_token) => stated.or(in_token),
        }
    }
}

/// The expiry in a token of the form `<64 hex digits>_<Unix seconds>`.
fn expiry_in_token(token: &str) -> Option<SystemTime> {
    let (id, seconds) = token.split_once('_')?;
    let is_of_this_form = id.len() == 64
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && seconds.bytes().all(|byte| byte.is_ascii_digit());
    if !is_of_this_form {
        return None;
    }
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds.parse().ok()?))
}

/// The time in RFC 3339 text, in whole seconds. Lower case, spaces, and offsets such as `+0200` and `+02` are accepted.
fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let text = text.trim().to_ascii_uppercase();
    let (local, rest) = text.split_at_checked("2026-12-31T00:00:00".len())?;
    let fraction = |c: char| c.is_ascii_digit() || c == '.';
    let offset = offset_in_minutes(rest.trim_start_matches(fraction).trim_start())?;
    // This reader knows only UTC.
    let local = humantime::parse_rfc3339_weak(local).ok()?;
    let by = Duration::from_secs(offset.unsigned_abs() * 60);
    if offset < 0 {
        local.checked_add(by)
    } else {
        local.checked_sub(by)
    }
}

/// How far ahead of UTC an offset is. `None` for text that is not an offset.
fn offset_in_minutes(offset: &str) -> Option<i64> {
    if offset == "Z" {
        return Some(0);
    }
    let (sign, digits) = match offset.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, offset.strip_prefix('+')?),
    };
    let digits = digits.replace(':', "");
    let (hours, minutes) = digits.split_at_checked(2)?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| is_number)
    };
    let minutes = if minutes.is_empty() {
        0
    } else {
        number(minutes)?
    };
    let hours = number(hours)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl From<CustomerAccessToken> for types::PostAuthCustomersStorefrontRequestCustomerAccessToken {
    fn from(token: CustomerAccessToken) -> Self {
        Self {
            expires_at: token.expires_at,
            value: token.value.to_body(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const ID: &str = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789ABCDEF";
    const NOW: u64 = 1_800_000_000; // 2027-01-15T08:00:00Z

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn ending(seconds: u64) -> CustomerAccessToken {
        CustomerAccessToken::new(format!("{ID}_{seconds}"))
    }

    fn is_refused(token: &CustomerAccessToken) -> bool {
        token.refuse_if_expired(at(NOW)).is_err()
    }

    #[test]
    fn a_customer_access_token_is_refused_from_its_expiry_on() {
        for (seconds, refused) in [(NOW - 1, true), (NOW, true), (NOW + 1, false)] {
            let opaque = || CustomerAccessToken::new("opaque");
            let text = humantime::format_rfc3339_seconds(at(seconds)).to_string();
            assert_eq!(is_refused(&ending(seconds)), refused, "{seconds}");
            let stated = opaque().expires_at(at(seconds)).unwrap();
            assert_eq!(is_refused(&stated), refused, "{seconds}");
            assert_eq!(is_refused(&opaque().expires_at_text(&text)), refused);
        }
    }

    #[test]
    fn the_earlier_expiry_of_a_customer_access_token_counts() {
        let (past, future) = (NOW - 60, NOW + 60);
        for (in_token, stated, refused) in [
            (past, future, true),
            (future, past, true),
            (past, past, true),
            (future, future, false),
        ] {
            let token = ending(in_token).expires_at(at(stated)).unwrap();
            assert_eq!(is_refused(&token), refused, "{in_token} {stated}");
        }
        // Text that is not understood takes nothing away from the end of the token.
        assert!(is_refused(&ending(past).expires_at_text("soon")));
    }

    #[test]
    fn a_customer_access_token_of_another_form_states_no_expiry() {
        for other in [
            "opaque".to_owned(),
            "opaque_1".to_owned(),
            format!("{ID}1_1"),
            format!("{}_1", &ID[1..]),
            format!("g{}_1", &ID[1..]),
            format!("{ID}-1"),
            format!("{ID}_"),
            format!("{ID}_-1"),
            format!("{ID}_+1"),
            format!("{ID}_1_1"),
            format!("{ID}_1.5"),
            format!("{ID}_99999999999999999999999999"),
        ] {
            assert_eq!(expiry_in_token(&other), None, "{other}");
        }
        let end = u64::MAX.to_string();
        let _no_panic = expiry_in_token(&format!("{ID}_{end}"));
    }

    #[test]
    fn rfc_3339_text_is_read_with_its_offset() {
        for text in [
            "2027-01-15T08:00:00Z",
            "2027-01-15t08:00:00z",
            " 2027-01-15 08:00:00Z ",
            "2027-01-15T08:00:00.999Z",
            "2027-01-15T08:00:00.123456789012Z",
            "2027-01-15T08:00:00+00:00",
            "2027-01-15T08:00:00-00:00",
            "2027-01-15T10:00:00+02:00",
            "2027-01-15T10:00:00.5+0200",
            "2027-01-15T10:00:00 +02",
            "2027-01-15T13:30:00+05:30",
            "2027-01-14T20:15:00-11:45",
        ] {
            assert_eq!(parse_rfc3339(text), Some(at(NOW)), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_rfc_3339_refuses_no_token() {
        for text in [
            "",
            "soon",
            "1",
            "1700000000",
            "2020-01-01",
            "2020-01-01T00:00:00", // the offset is unknown
            "2020-01-01T00:00:00+",
            "2020-01-01T00:00:00+2",
            "2020-01-01T00:00:00+24:00",
            "2020-01-01T00:00:00+02:60",
            "2020-01-01T00:00:00+02:0",
            "2020-01-01T00:00:00+-2:00",
            "2020-01-01T00:00:00 UTC",
            "2020-13-01T00:00:00Z",
            "1960-01-01T00:00:00Z",
            "2020-01-01T00:00:0\u{e9}Z",
            "Wed, 01 Jan 2020 00:00:00 GMT",
        ] {
            let token = CustomerAccessToken::new("opaque").expires_at_text(text);
            assert!(!is_refused(&token), "{text}");
        }
        // Before 1970, and at both ends of what can be written: no panic.
        for text in [
            "1970-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "1970-01-01T00:00:00Z",
        ] {
            let token = CustomerAccessToken::new("opaque").expires_at_text(text);
            let _ = token.refuse_if_expired(at(NOW));
        }
    }

    #[test]
    fn the_refusal_of_an_expired_customer_access_token_does_not_show_it() {
        let error = ending(NOW - 90).refuse_if_expired(at(NOW)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(
            error.to_string(),
            "invalid customer access token: expired 90 s ago by the client's clock; get a new one from the core storefront"
        );
        assert!(!format!("{error:?}").contains(ID));
    }
}
