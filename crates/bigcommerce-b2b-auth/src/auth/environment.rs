//! Configuration from environment variables, under the names that the vendor's own storefront uses.

use std::fmt;

use crate::{
    ChannelId, Error, Hint, LegacyAuthToken, Secret, StoreAccess, StoreHash,
    pipeline::base_url::BaseUrl,
};

const STORE_HASH: &str = "BIGCOMMERCE_STORE_HASH";
const ACCESS_TOKEN: &str = "BIGCOMMERCE_ACCESS_TOKEN";
const CHANNEL_ID: &str = "BIGCOMMERCE_CHANNEL_ID";
const API_HOST: &str = "B2B_API_HOST";
const LEGACY_TOKEN: &str = "B2B_API_TOKEN";

/// What the environment says of the store and its credentials.
///
/// | variable | meaning |
/// |---|---|
/// | `BIGCOMMERCE_STORE_HASH` | the store hash |
/// | `BIGCOMMERCE_ACCESS_TOKEN` | the store's access token, sent as `X-Auth-Token` |
/// | `BIGCOMMERCE_CHANNEL_ID` | the default channel of mint and login; optional |
/// | `B2B_API_HOST` | the base URL; optional, the vendor's host if unset |
/// | `B2B_API_TOKEN` | a legacy `authToken`, for listing and deleting server tokens alone |
///
/// Space at the ends of a value is cut off, and one that is then empty counts as unset. No value is part of any error.
///
/// ```
/// use bigcommerce_b2b_auth::Environment;
///
/// let environment = Environment::from_lookup(|name| match name {
///     "BIGCOMMERCE_STORE_HASH" => Some("abc123".into()),
///     "BIGCOMMERCE_ACCESS_TOKEN" => Some("an access token".into()),
///     _ => None,
/// });
/// assert!(environment.store_access().is_ok());
/// assert!(environment.legacy_auth_token().is_err());
/// ```
#[derive(Clone)]
pub struct Environment {
    store_hash: Option<String>,
    access_token: Option<Secret>,
    channel_id: Option<String>,
    api_host: Option<String>,
    legacy_token: Option<Secret>,
}

impl Environment {
    /// Reads the variables of this process.
    #[must_use]
    pub fn from_process() -> Self {
        // What is not Unicode becomes a text that no variable can hold, so that it is refused by name and not overlooked.
        Self::from_lookup(|name| {
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Reads the variables through a function, for tests and for those who keep secrets elsewhere.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name| {
            lookup(name)
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        Self {
            store_hash: set(STORE_HASH),
            access_token: set(ACCESS_TOKEN).map(Secret::from),
            channel_id: set(CHANNEL_ID),
            api_host: set(API_HOST),
            legacy_token: set(LEGACY_TOKEN).map(Secret::from),
        }
    }

    /// The store and its access token.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when a variable is missing or cannot be used, and
    /// when `B2B_API_TOKEN` is set too, with [`Hint::BothHeaderSets`]: the two kinds must not be mixed, and which is meant
    /// cannot be told.
    pub fn store_access(&self) -> Result<StoreAccess, Error> {
        self.refuse_both_kinds()?;
        let hash = self.store_hash()?;
        let token = self
            .access_token
            .clone()
            .ok_or_else(|| missing(ACCESS_TOKEN))?;
        StoreAccess::new(hash.as_str(), token).map_err(|error| unusable(ACCESS_TOKEN, &error))
    }

    /// The store alone.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the variable is missing or cannot be used.
    pub fn store_hash(&self) -> Result<StoreHash, Error> {
        let hash = self
            .store_hash
            .as_ref()
            .ok_or_else(|| missing(STORE_HASH))?;
        StoreHash::new(hash.as_str()).map_err(|error| unusable(STORE_HASH, &error))
    }

    /// The legacy token, and the store that it belongs to where that is set.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the variable is missing or cannot be used, and
    /// when `BIGCOMMERCE_ACCESS_TOKEN` is set too, with [`Hint::BothHeaderSets`].
    pub fn legacy_auth_token(&self) -> Result<LegacyAuthToken, Error> {
        self.refuse_both_kinds()?;
        let token = self
            .legacy_token
            .clone()
            .ok_or_else(|| missing(LEGACY_TOKEN))?;
        let token = LegacyAuthToken::new(token).map_err(|error| unusable(LEGACY_TOKEN, &error))?;
        Ok(match &self.store_hash {
            Some(_) => token.of_store(self.store_hash()?),
            None => token,
        })
    }

    /// The default channel, if one is set.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when it is not a whole number from 1.
    pub fn channel(&self) -> Result<Option<ChannelId>, Error> {
        self.channel_id
            .as_ref()
            .map(|id| id.parse().map_err(|error| unusable(CHANNEL_ID, &error)))
            .transpose()
    }

    /// The base URL, if one is set.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when no client could be built with it.
    pub fn base_url(&self) -> Result<Option<&str>, Error> {
        self.api_host
            .as_deref()
            .map(|url| {
                BaseUrl::parse(url, false).map_err(|error| unusable(API_HOST, &error))?;
                Ok(url)
            })
            .transpose()
    }

    fn refuse_both_kinds(&self) -> Result<(), Error> {
        if self.access_token.is_some() && self.legacy_token.is_some() {
            return Err(Error::configuration(format!(
                "{ACCESS_TOKEN} and {LEGACY_TOKEN} are both set: unset one, the service must not be sent both kinds"
            ))
            .with_hint(Some(Hint::BothHeaderSets)));
        }
        Ok(())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("store_hash", &self.store_hash)
            .field("access_token", &self.access_token)
            // Either may be a secret in the wrong place: it is refused later, but could be printed before.
            .field("channel_id", &self.channel_id.as_ref().map(|_| "set"))
            .field("api_host", &self.api_host.as_ref().map(|_| "set"))
            .field("legacy_token", &self.legacy_token)
            .finish()
    }
}

fn missing(name: &str) -> Error {
    Error::configuration(format!("{name} is not set"))
}

fn unusable(name: &str, error: &Error) -> Error {
    Error::configuration(format!("{name} cannot be used: {}", error.summary()))
        .with_hint(error.hint())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(set: &[(&str, &str)]) -> Environment {
        Environment::from_lookup(|name| {
            set.iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn both_kinds_at_once_are_an_error_that_names_the_variables() {
        let environment = environment(&[
            (STORE_HASH, "abc123"),
            (ACCESS_TOKEN, "hunter2"),
            (LEGACY_TOKEN, "hunter3"),
        ]);
        for error in [
            environment.store_access().unwrap_err(),
            environment.legacy_auth_token().unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(
                text.contains(ACCESS_TOKEN) && text.contains(LEGACY_TOKEN),
                "{text}"
            );
            assert!(!text.contains("hunter"), "{text}");
            assert_eq!(error.hint(), Some(Hint::BothHeaderSets));
        }
        // The store alone sends neither kind.
        assert!(environment.store_hash().is_ok());
    }

    #[test]
    fn what_is_missing_or_unusable_is_named() {
        for (set, expected) in [
            (vec![], STORE_HASH),
            (vec![(STORE_HASH, "  ")], STORE_HASH),
            (vec![(STORE_HASH, "a b")], STORE_HASH),
            (vec![(STORE_HASH, "abc123")], ACCESS_TOKEN),
            (
                vec![(STORE_HASH, "abc123"), (ACCESS_TOKEN, "a\nb")],
                ACCESS_TOKEN,
            ),
        ] {
            let error = environment(&set).store_access().unwrap_err();
            let text = error.to_string();
            assert!(text.contains(expected), "{text}");
            assert_eq!(error.hint(), None);
        }
        let error = environment(&[(API_HOST, "b2b.example.com")])
            .base_url()
            .unwrap_err();
        assert!(error.to_string().contains(API_HOST), "{error}");
        let error = environment(&[(CHANNEL_ID, "one")]).channel().unwrap_err();
        assert!(error.to_string().contains(CHANNEL_ID), "{error}");
        assert_eq!(environment(&[]).channel().unwrap(), None);
    }

    #[test]
    fn no_value_of_a_variable_is_part_of_an_error() {
        for value in [
            "hunter2:x",
            "hunter2://example.com",
            "https://hunter2@example.com",
            "https://example.com/?hunter2",
            "https://example.com/#hunter2",
            "http://hunter2.example.com",
            "hunter2\n",
            "hunter2 and more",
            "-20261124",
            "20261124.5",
            "99999999999999999999261124",
            "0261124x",
            "hunter2\u{fc}",
        ] {
            let of =
                |name| environment(&[(STORE_HASH, "abc123"), (ACCESS_TOKEN, "t"), (name, value)]);
            let errors = [
                of(STORE_HASH).store_hash().err(),
                of(ACCESS_TOKEN).store_access().err(),
                of(API_HOST).base_url().err(),
                of(CHANNEL_ID).channel().err(),
                environment(&[(LEGACY_TOKEN, value)])
                    .legacy_auth_token()
                    .err(),
            ];
            let mut told = 0;
            for error in errors.into_iter().flatten() {
                let shown = format!("{error} {error:?}");
                assert!(
                    !shown.contains("hunter2") && !shown.contains("61124"),
                    "{shown}"
                );
                told += 1;
            }
            assert!(told > 0, "{value:?}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let environment = environment(&[
            (ACCESS_TOKEN, "hunter2"),
            (LEGACY_TOKEN, "hunter2"),
            (API_HOST, "https://user:hunter2@example.com"),
            (CHANNEL_ID, "hunter2"),
        ]);
        assert!(!format!("{environment:?}").contains("hunter2"));
    }
}
