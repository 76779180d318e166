//! Where a token comes from when it is not fixed: so that credentials can be replaced while a client is in use.

use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
};

use http::HeaderValue;

use crate::{Error, Secret, operations::input::within_bounds};

/// What [`SecretProvider::secret`] returns.
pub type SecretFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Secret, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// Knows the token of a store at the moment: a secret manager, a file that is replaced, a [`RotatingSecret`].
///
/// It is asked once for each call, so it should keep what it fetched; its time counts towards the call's deadline. While a
/// cache of managed tokens remembers that an access token was refused, it is asked by the accesses that would be refused, one at
/// a time and for a second at most: another token is tried at once.
pub trait SecretProvider: fmt::Debug + Send + Sync + 'static {
    /// The token to use now. `refused` is one that the service has just refused: where there is a newer one, the attempt is
    /// made again with it, once.
    ///
    /// # Errors
    /// Whatever kept it from knowing. The call then ends with
    /// [`ErrorKind::CredentialsUnavailable`](crate::ErrorKind::CredentialsUnavailable) and this as its source: do not put
    /// a secret into it.
    fn secret<'a>(&'a self, refused: Option<&'a Secret>) -> SecretFuture<'a>;
}

impl<P: SecretProvider + ?Sized> SecretProvider for Arc<P> {
    fn secret<'a>(&'a self, refused: Option<&'a Secret>) -> SecretFuture<'a> {
        (**self).secret(refused)
    }
}

/// A token that can be replaced at any time. Clones are handles on the same one.
///
/// ```
/// use bigcommerce_b2b_auth::RotatingSecret;
///
/// let token = RotatingSecret::new("old");
/// let handle = token.clone();
/// handle.set("new");
/// assert_eq!(token.get().expose_secret(), "new");
/// ```
#[derive(Debug, Clone)]
pub struct RotatingSecret(Arc<RwLock<Secret>>);

impl RotatingSecret {
    /// Starts with this token.
    #[must_use]
    pub fn new(secret: impl Into<Secret>) -> Self {
        Self(Arc::new(RwLock::new(secret.into())))
    }

    /// Replaces the token. Calls that begin from now on use the new one.
    pub fn set(&self, secret: impl Into<Secret>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = secret.into();
    }

    /// The token at the moment.
    #[must_use]
    pub fn get(&self) -> Secret {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl SecretProvider for RotatingSecret {
    fn secret<'a>(&'a self, _: Option<&'a Secret>) -> SecretFuture<'a> {
        let secret = self.get();
        Box::pin(async move { Ok(secret) })
    }
}

/// Lets through what a header can carry.
pub(crate) fn header_safe(secret: Secret, called: &str) -> Result<Secret, Error> {
    if secret.is_empty() {
        return Err(Error::invalid_input(format!("the {called} is empty")));
    }
    within_bounds(called, &secret)?;
    // Spaces at the ends would be cut off on the wire: they are always a slip of copy and paste.
    let text = secret.expose_secret();
    if HeaderValue::from_str(text).is_err() || text.trim() != text || !text.is_ascii() {
        return Err(Error::invalid_input(format!(
            "the {called} holds a line break, a control character, a letter outside ASCII, or a space at an end"
        )));
    }
    Ok(secret)
}
