//! Credentials as types. An operation is a method of `Client<C>` only where `C` has what it needs, and no type holds the
//! current and the legacy pair together: sending both has "unexpected results", so it cannot be written down.

use std::fmt;

use http::HeaderValue;

use crate::{Environment, Error, Secret};

/// The hash that names a store. By itself it exchanges a session JWT and creates a server token; and it logs in, as known
/// clients do, although the vendor's document asks for an access token there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoreHash(String);

impl StoreHash {
    /// Takes the hash as the control panel shows it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty or holds anything but visible ASCII
    /// characters, which no header could carry.
    pub fn new(hash: impl Into<String>) -> Result<Self, Error> {
        let hash = hash.into();
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
/// The access token belongs to an API account of the store with the B2B Edition scope "modify". It does not expire.
#[derive(Debug, Clone)]
pub struct StoreAccess {
    store_hash: StoreHash,
    access_token: Secret,
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
            access_token: header_safe(access_token.into(), "access token")?,
        })
    }
}

impl Sealed for StoreHash {
    fn header(&self, name: &str) -> Option<&str> {
        (name == "X-Store-Hash").then_some(self.as_str())
    }

    fn budget_key(&self) -> Option<&str> {
        Some(self.as_str())
    }

    fn secrets(&self) -> Option<&Secret> {
        None
    }
}

impl Sealed for StoreAccess {
    fn header(&self, name: &str) -> Option<&str> {
        match name {
            "X-Store-Hash" => Some(self.store_hash.as_str()),
            "X-Auth-Token" => Some(self.access_token.expose_secret()),
            _ => None,
        }
    }

    fn budget_key(&self) -> Option<&str> {
        Some(self.store_hash.as_str())
    }

    fn secrets(&self) -> Option<&Secret> {
        Some(&self.access_token)
    }
}

/// A server-to-server `authToken`, the legacy way to authenticate. It lists and deletes server tokens, and nothing else.
///
/// The vendor deprecated it as of 30 September 2025.
#[derive(Debug, Clone)]
pub struct LegacyAuthToken {
    token: Secret,
    store_hash: Option<StoreHash>,
}

impl LegacyAuthToken {
    /// Takes the token in.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty or no header could carry it.
    pub fn new(token: impl Into<Secret>) -> Result<Self, Error> {
        Ok(Self {
            token: header_safe(token.into(), "authToken")?,
            store_hash: None,
        })
    }

    /// Says which store the token belongs to. The hash is not sent: it is what clients share a store's budget by.
    #[must_use]
    pub fn of_store(mut self, store_hash: StoreHash) -> Self {
        self.store_hash = Some(store_hash);
        self
    }
}

impl Sealed for LegacyAuthToken {
    fn header(&self, name: &str) -> Option<&str> {
        (name == "authToken").then(|| self.token.expose_secret())
    }

    fn budget_key(&self) -> Option<&str> {
        self.store_hash.as_ref().map(StoreHash::as_str)
    }

    fn secrets(&self) -> Option<&Secret> {
        Some(&self.token)
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
    use crate::Secret;

    #[expect(
        unnameable_types,
        reason = "sealed: nobody else is to implement or call it"
    )]
    /// What the request path asks of credentials. Not for use outside of this crate: it may change at any time.
    pub trait Sealed: std::fmt::Debug + Send + Sync + 'static {
        /// The value of a credential header, if these credentials have it.
        fn header(&self, name: &str) -> Option<&str>;

        /// What clients share a budget by: the store hash, where it is known.
        fn budget_key(&self) -> Option<&str>;

        /// The secret among them, to be kept out of every message.
        fn secrets(&self) -> Option<&Secret>;
    }
}

fn header_safe(secret: Secret, called: &str) -> Result<Secret, Error> {
    if secret.is_empty() {
        return Err(Error::invalid_input(format!("the {called} is empty")));
    }
    // Spaces at the ends would be cut off on the wire: they are always a slip of copy and paste.
    let text = secret.expose_secret();
    if HeaderValue::from_str(text).is_err() || text.trim() != text || !text.is_ascii() {
        return Err(Error::invalid_input(format!(
            "the {called} holds a line break, a control character, a letter outside ASCII, or a space at an end"
        )));
    }
    Ok(secret)
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
