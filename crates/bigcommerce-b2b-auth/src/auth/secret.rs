//! The secret type of the SDK's public surface: it can be read on purpose, and leaks by no other way.
//! Unlike the api crate's, it does not serialise, so that a result cannot be written to a file by accident.

use std::{fmt, sync::Arc};

use bigcommerce_b2b_auth_api::SecretString;

/// A password, token or session JWT that prints as `[REDACTED]`.
///
/// It has no `Display` and no `Serialize`, compares in constant time, and is wiped from memory when the last of its clones,
/// which share one copy, is dropped. Copies that the HTTP and TLS layers make while a request is under way are beyond it.
///
/// ```
/// use bigcommerce_b2b_auth::Secret;
///
/// let password = Secret::from("correct horse");
/// assert_eq!(format!("{password:?}"), "[REDACTED]");
/// assert_eq!(password.expose_secret(), "correct horse");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<SecretString>);

impl Secret {
    /// The plain text. Hand it on to what needs it, never to a log.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A secret that a reply brought.
    pub(crate) fn from_body(secret: SecretString) -> Self {
        Self(Arc::new(secret))
    }

    /// The same secret as the type that a request body serialises.
    pub(crate) fn to_body(&self) -> SecretString {
        SecretString::clone(&self.0)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Arc::new(secret.into()))
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self(Arc::new(secret.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
