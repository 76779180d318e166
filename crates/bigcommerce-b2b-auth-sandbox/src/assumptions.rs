//! One switch for each thing about the service that nobody outside knows, so that a client can be
//! tested against every answer. The defaults are guesses and say nothing about the service.

use axum::http::StatusCode;

use crate::rate_limit::RateLimit;
use crate::reply::ErrorShape;

/// Whether the token of a mint stands in a list or alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenShape {
    /// `{"token": ["…"]}`
    Array,
    /// `{"token": "…"}`
    String,
}

/// Whether a created server token stands in a list or alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CreatedTokenShape {
    /// `"data": [{"name": "…", "token": "…"}]`
    Array,
    /// `"data": {"name": "…", "token": "…"}`
    Object,
}

/// What a second mint for the same customer and channel gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepeatedMint {
    /// A token signed anew, with a life of its own. The known claims hold nothing but the expiry
    /// that tells two mints apart, and that counts whole seconds: two mints within one second give
    /// the same bytes.
    Anew,
    /// The earlier token, until it expires.
    Same,
}

/// What becomes of `expiresAt` in a customer access token, where `expires_at` is the documented
/// spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CamelCaseExpiry {
    /// Read as if it were spelled `expires_at`: a value that is not an ISO-8601 time is refused.
    Honoured,
    /// Not looked at: any value passes.
    Ignored,
    /// A field that is not known, and so a validation error.
    Refused,
}

/// What a `channelId` does in an exchange with a store that has a single storefront.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeChannel {
    /// The token is for some channel, though neither for the one that was asked for nor for the
    /// store's own.
    Arbitrary,
    /// The parameter is not looked at.
    Ignored,
}

/// A header by which a 429 can say when to come back, beside the window headers that every reply
/// has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetrySignal {
    /// `Retry-After`, whole seconds, rounded up.
    RetryAfterSeconds,
    /// `Retry-After`, an HTTP date, rounded up to the next second.
    RetryAfterDate,
    /// `X-Retry-After`, whole seconds, rounded up.
    XRetryAfter,
    /// `X-Rate-Limit-Time-Reset-Ms`, milliseconds from now, rounded up.
    RateLimitTimeResetMs,
}

/// Writes the struct, its defaults and its setters from one list, so that a switch is described in
/// one place.
macro_rules! assumptions {
    ($($(#[$doc:meta])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// How the sandbox behaves where the behaviour of the service is unknown.
        ///
        /// Each field is one switch and each has a setter of the same name. The default of a switch
        /// is a guess that makes the common case easy to test; it is no statement about the
        /// service.
        ///
        /// ```
        /// use bigcommerce_b2b_auth_sandbox::{Assumptions, RetrySignal, Sandbox, TokenShape};
        ///
        /// let assumptions = Assumptions::default()
        ///     .mint_token(TokenShape::String)
        ///     .throttle_signals(vec![RetrySignal::RetryAfterSeconds]);
        /// let sandbox = Sandbox::builder().assumptions(assumptions).build();
        /// ```
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub struct Assumptions {
            $($(#[$doc])+ pub $name: $type,)+
        }

        impl Default for Assumptions {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        impl Assumptions {
            $(
                $(#[$doc])+
                #[must_use]
                pub fn $name(mut self, $name: $type) -> Self {
                    self.$name = $name;
                    self
                }
            )+
        }
    };
}

assumptions! {
    /// Assumption: a mint answers its token in a list. A live reply showed a list, some clients and
    /// one page of the vendor a string. Default: [`TokenShape::Array`].
    mint_token: TokenShape = TokenShape::Array;

    /// Assumption: the body of a mint that is refused (an unknown customer or channel). No error of
    /// this call is documented. Default: [`ErrorShape::Envelope`].
    mint_error: ErrorShape = ErrorShape::Envelope;

    /// Assumption: the status of a mint that is refused. Default: 404.
    mint_error_status: StatusCode = StatusCode::NOT_FOUND;

    /// Assumption: the status of a mint for a user of a company that is pending or inactive. How the
    /// messages begin is known; that a mint has them, and with which status, is not. Default: 403.
    company_status: StatusCode = StatusCode::FORBIDDEN;

    /// Assumption: the status of an exchange whose session JWT was issued for another app client
    /// id. The message "Signature verification failed" is known. Default: 401.
    other_app_status: StatusCode = StatusCode::UNAUTHORIZED;

    /// Assumption: minting (or exchanging) again for the same customer and channel gives a token
    /// signed anew. Default: [`RepeatedMint::Anew`].
    repeated_mint: RepeatedMint = RepeatedMint::Anew;

    /// Assumption: `expiresAt` in a customer access token is read like the documented `expires_at`.
    /// Default: [`CamelCaseExpiry::Honoured`].
    camel_case_expiry: CamelCaseExpiry = CamelCaseExpiry::Honoured;

    /// Assumption: creating a server token answers a list, as the document has it; a client once
    /// met an object. Default: [`CreatedTokenShape::Array`].
    created_token: CreatedTokenShape = CreatedTokenShape::Array;

    /// Assumption: login works without `X-Auth-Token` and `X-Store-Hash`. The newest document lists
    /// them, no known client sends them. Default: `false`.
    login_requires_headers: bool = false;

    /// Assumption: login refuses a body without `channelId`, which the newest document calls
    /// required and at the same time gives a default of 1. Default: `true`.
    login_requires_channel: bool = true;

    /// Assumption: a channel that the store does not have is refused rather than taken as it comes.
    /// Default: `true`.
    refuse_unknown_channels: bool = true;

    /// Assumption: what a `channelId` does in an exchange with a store that has one storefront. The
    /// document promises nothing predictable, so the default makes a client that sends one notice.
    /// Default: [`ExchangeChannel::Arbitrary`].
    single_storefront_channel: ExchangeChannel = ExchangeChannel::Arbitrary;

    /// Assumption: the status for an `X-Auth-Token` or `authToken` that nobody was given. Default:
    /// 401.
    wrong_credential_status: StatusCode = StatusCode::UNAUTHORIZED;

    /// Assumption: the body for a credential that is missing, wrong, without the scope, or of the
    /// wrong kind. The messages for the last two are known, the shape around them is not. The
    /// documented 401 of an exchange does not follow this switch. Default:
    /// [`ErrorShape::EmptyData`].
    access_error: ErrorShape = ErrorShape::EmptyData;

    /// Assumption: the body of the server error for a missing or wrong `X-Store-Hash`. Default:
    /// [`ErrorShape::EmptyData`].
    store_hash_error: ErrorShape = ErrorShape::EmptyData;

    /// Assumption: the body for a request that lacks a field or has one of the wrong type or out of
    /// range. Default: [`ErrorShape::FieldMessages`].
    validation_error: ErrorShape = ErrorShape::FieldMessages;

    /// Assumption: the status for a request that lacks a field or has one of the wrong type or out
    /// of range. Default: 400.
    validation_status: StatusCode = StatusCode::BAD_REQUEST;

    /// Assumption: the body of a 429. Default: [`ErrorShape::Envelope`].
    throttle_body: ErrorShape = ErrorShape::Envelope;

    /// Assumption: which further headers a 429 has. Any number can be named; `Retry-After` keeps
    /// the form named last. Default: none.
    throttle_signals: Vec<RetrySignal> = Vec::new();

    /// Assumption: a 429 has the same window headers as any other reply. With `false` and no
    /// [`throttle_signals`](Self::throttle_signals) it says nothing about when to come back.
    /// Default: `true`.
    throttle_window_headers: bool = true;

    /// Assumption: the operations spend from the store's own purse, together with every other
    /// integration. With a limit here they have a purse of their own, which
    /// [`Sandbox::spend`](crate::Sandbox::spend) does not touch. Default: none.
    auth_limit: Option<RateLimit> = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setters_change_their_own_switch_alone() {
        let changed = Assumptions::default()
            .login_requires_headers(true)
            .auth_limit(Some(RateLimit::unlimited()));
        assert!(changed.login_requires_headers);
        assert_eq!(changed.auth_limit, Some(RateLimit::unlimited()));
        assert!(changed.login_requires_channel, "left at its default");
    }
}
