//! Credentials as types. An operation is a method of `Client<C>` only where `C` has what it needs, and no type holds the
//! current and the legacy pair together: sending both has "unexpected results", so it cannot be written down.

use std::{fmt, sync::Arc};
#[cfg(feature = "tokens")]
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::LazyLock,
};

use crate::{Environment, Error, Hint, Secret, SecretProvider, auth::secret_provider::header_safe};

/// The hash that names a store. By itself it exchanges a session JWT and creates a server token; and it logs in, as known
/// clients do, although the vendor's document asks for an access token there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreHash(String);

impl StoreHash {
    /// Takes the hash, such as `abc123`. Also accepts `stores/abc123`, which is how BigCommerce names a store to an app.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::{Hint, StoreHash};
    ///
    /// assert_eq!(StoreHash::new("stores/abc123")?.as_str(), "abc123");
    /// let error = StoreHash::new("https://api.bigcommerce.com/stores/abc123").unwrap_err();
    /// assert_eq!(error.hint(), Some(Hint::StoreHashFormat));
    /// # Ok::<(), bigcommerce_b2b_auth::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty, is a URL, a path or a host name, or
    /// holds anything but visible ASCII characters, which no header could carry.
    pub fn new(hash: impl Into<String>) -> Result<Self, Error> {
        let mut hash = hash.into();
        if let Some(alone) = hash.trim_matches('/').strip_prefix("stores/") {
            hash = alone.to_owned();
        }
        if hash.contains(['/', ':', '.', '?', '#', '@']) {
            return Err(Error::invalid_input(
                "invalid store hash: it is a URL, a path or a host name",
            )
            .with_hint(Some(Hint::StoreHashFormat)));
        }
        if hash.is_empty() {
            return Err(Error::invalid_input("the store hash is empty"));
        }
        if !hash.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::invalid_input(
                "the store hash holds a space, a control character or a letter outside ASCII",
            ));
        }
        Ok(Self(hash))
    }

    /// The hash itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoreHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A store and its access token: the current way to authenticate, and what most clients hold.
///
/// The access token belongs to an API account of the store with the B2B Edition scope "modify". It does not expire, but it
/// can be replaced: [`StoreAccess::from_provider`] takes it from where the newest one is.
#[derive(Debug, Clone)]
pub struct StoreAccess {
    store_hash: StoreHash,
    access_token: Token,
}

#[expect(
    unnameable_types,
    reason = "what a sealed trait returns has to be public, and is of no use to anybody else"
)]
/// A token: one that stays, or one that is asked for.
#[derive(Debug, Clone)]
pub enum Token {
    Fixed(Secret),
    Provided(Arc<dyn SecretProvider>),
}

/// A fingerprint of an access token, by which two of them are distinguished within this process. The token cannot be found
/// from it.
#[cfg(feature = "tokens")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenFingerprint(u64);

#[cfg(feature = "tokens")]
impl TokenFingerprint {
    /// There was no token.
    pub(crate) const NONE: Self = Self(0);

    pub(crate) fn of(token: &Secret) -> Self {
        static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(KEYS.hash_one(token.expose_secret()).max(1))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl StoreAccess {
    /// Pairs a store hash with an access token of that store.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when either is empty or no header could carry it.
    pub fn new(
        store_hash: impl Into<String>,
        access_token: impl Into<Secret>,
    ) -> Result<Self, Error> {
        Ok(Self {
            store_hash: StoreHash::new(store_hash)?,
            access_token: Token::Fixed(header_safe(access_token.into(), "access token")?),
        })
    }

    /// Pairs a store hash with whatever knows the store's access token at the moment, so that the token can be replaced
    /// without building the client anew.
    ///
    /// ```
    /// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
    /// use bigcommerce_b2b_auth::{Client, RotatingSecret, StoreAccess};
    ///
    /// let token = RotatingSecret::new("the access token of today");
    /// let client = Client::builder().credentials(StoreAccess::from_provider("abc123", token.clone())?).build()?;
    /// token.set("the access token of tomorrow");
    /// # drop(client);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the store hash is empty or no header could carry it.
    pub fn from_provider(
        store_hash: impl Into<String>,
        provider: impl SecretProvider,
    ) -> Result<Self, Error> {
        Ok(Self {
            store_hash: StoreHash::new(store_hash)?,
            access_token: Token::Provided(Arc::new(provider)),
        })
    }
}

#[cfg(feature = "tokens")]
impl StoreAccess {
    pub(crate) fn access_token(&self) -> &Token {
        &self.access_token
    }
}

impl Sealed for StoreHash {
    fn store_hash_header(&self) -> Option<&str> {
        Some(self.as_str())
    }

    fn token(&self) -> Option<(&'static str, &Token)> {
        None
    }

    fn budget_key(&self) -> Option<&str> {
        Some(self.as_str())
    }
}

impl Sealed for StoreAccess {
    fn store_hash_header(&self) -> Option<&str> {
        Some(self.store_hash.as_str())
    }

    fn token(&self) -> Option<(&'static str, &Token)> {
        Some(("X-Auth-Token", &self.access_token))
    }

    fn budget_key(&self) -> Option<&str> {
        Some(self.store_hash.as_str())
    }
}

/// A server-to-server `authToken`, the legacy way to authenticate. It lists and deletes server tokens, and nothing else.
///
/// The vendor deprecated it as of 30 September 2025.
#[derive(Debug, Clone)]
pub struct LegacyAuthToken {
    token: Token,
    store_hash: Option<StoreHash>,
}

impl LegacyAuthToken {
    /// Takes the token in.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty or no header could carry it.
    pub fn new(token: impl Into<Secret>) -> Result<Self, Error> {
        Ok(Self {
            token: Token::Fixed(header_safe(token.into(), "authToken")?),
            store_hash: None,
        })
    }

    /// Takes the token from whatever knows it at the moment, as [`StoreAccess::from_provider`] does.
    #[must_use]
    pub fn from_provider(provider: impl SecretProvider) -> Self {
        Self {
            token: Token::Provided(Arc::new(provider)),
            store_hash: None,
        }
    }

    /// Says which store the token belongs to. The hash is not sent: it is what clients share a store's budget by.
    #[must_use]
    pub fn of_store(mut self, store_hash: StoreHash) -> Self {
        self.store_hash = Some(store_hash);
        self
    }
}

impl Sealed for LegacyAuthToken {
    fn store_hash_header(&self) -> Option<&str> {
        None
    }

    fn token(&self) -> Option<(&'static str, &Token)> {
        Some(("authToken", &self.token))
    }

    fn budget_key(&self) -> Option<&str> {
        self.store_hash.as_ref().map(StoreHash::as_str)
    }
}

/// What a [`Client`](crate::Client) authenticates with: [`StoreAccess`], [`StoreHash`] or [`LegacyAuthToken`].
pub trait Credentials: Sealed + Clone {
    /// Takes these credentials from environment variables.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), which names the variables, when one is missing or
    /// cannot be used; and, for those that hold a token, when both the current and the legacy kind are set.
    fn from_environment(environment: &Environment) -> Result<Self, Error>;
}

impl Credentials for StoreAccess {
    fn from_environment(environment: &Environment) -> Result<Self, Error> {
        environment.store_access()
    }
}

impl Credentials for StoreHash {
    fn from_environment(environment: &Environment) -> Result<Self, Error> {
        environment.store_hash()
    }
}

impl Credentials for LegacyAuthToken {
    fn from_environment(environment: &Environment) -> Result<Self, Error> {
        environment.legacy_auth_token()
    }
}

/// Credentials that name a store: [`StoreAccess`] and [`StoreHash`].
pub trait NamesStore: Credentials {
    /// The store that they name.
    fn store_hash(&self) -> &StoreHash;
}

impl NamesStore for StoreAccess {
    fn store_hash(&self) -> &StoreHash {
        &self.store_hash
    }
}

impl NamesStore for StoreHash {
    fn store_hash(&self) -> &StoreHash {
        self
    }
}

pub(crate) use sealed::Sealed;

mod sealed {
    use super::Token;

    #[expect(
        unnameable_types,
        reason = "sealed: nobody else is to implement or call it"
    )]
    /// What the request path asks of credentials. Not for use outside of this crate: it may change at any time.
    pub trait Sealed: std::fmt::Debug + Send + Sync + 'static {
        /// The value of `X-Store-Hash`, if these credentials send it.
        fn store_hash_header(&self) -> Option<&str>;

        /// The token among them, with the header that carries it.
        fn token(&self) -> Option<(&'static str, &Token)>;

        /// What clients share a budget by: the store hash, where it is known.
        fn budget_key(&self) -> Option<&str>;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_header_can_carry_is_refused_and_not_shown() {
        for bad in [
            "",
            "hunter2\r\nX-Evil: 1",
            " hunter2",
            "hunter2\n",
            "h\u{fc}nter2",
        ] {
            for error in [
                StoreAccess::new("abc123", bad).unwrap_err(),
                LegacyAuthToken::new(bad).unwrap_err(),
            ] {
                let shown = format!("{error} {error:?}");
                assert!(!shown.contains("nter2"), "{shown}");
            }
            assert!(StoreAccess::new(bad, "token").is_err());
        }
    }

    #[test]
    fn a_store_hash_is_accepted_as_a_store_context_and_no_other_form() {
        for context in ["abc123", "stores/abc123", "/stores/abc123/"] {
            assert_eq!(StoreHash::new(context).unwrap().as_str(), "abc123");
        }
        for bad in [
            "https://api.bigcommerce.com/stores/abc123/v3",
            "https://store-abc123.mybigcommerce.com",
            "store-abc123.mybigcommerce.com",
            "stores/abc123/v3",
            "stores/",
            "abc123/",
            "shop@abc123",
        ] {
            let error = StoreHash::new(bad).unwrap_err();
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput, "{bad}");
            assert!(!error.summary().contains(bad), "{error}");
        }
    }

    #[test]
    fn debug_shows_the_store_and_not_the_secret() {
        let shown = format!(
            "{:?} {:?}",
            StoreAccess::new("abc123", "hunter2").unwrap(),
            LegacyAuthToken::new("hunter2").unwrap()
        );
        assert!(
            shown.contains("abc123") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
