//! The places that a token may go to. Whoever calls a data API names them, and nobody else gets to see one.

use std::fmt;

use http::Uri;
use url::{Host, Url};

use crate::{Error, StorefrontTokens, pipeline::base_url};

/// The origins that tokens are sent to: scheme, host and port of each.
///
/// ```
/// use bigcommerce_b2b_auth::AllowedOrigins;
///
/// # fn main() -> Result<(), bigcommerce_b2b_auth::Error> {
/// let origins = AllowedOrigins::bigcommerce().and("https://gateway.shop.example:8443")?;
/// # drop(origins);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigins(Vec<Origin>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    is_https: bool,
    /// As a URL has it: lower case, a name in other letters in its ASCII form.
    host: String,
    port: u16,
}

impl AllowedOrigins {
    /// `https://api-b2b.bigcommerce.com`, where the vendor's storefront GraphQL API is. [`of_tokens`](Self::of_tokens) is where
    /// the client of the tokens is, which may be a sandbox.
    #[must_use]
    pub fn bigcommerce() -> Self {
        Self(vec![Origin {
            is_https: true,
            host: base_url::HOST.to_owned(),
            port: 443,
        }])
    }

    /// The origin of the client that fetches these tokens: scheme, host and port of its base URL. A client of a sandbox or a
    /// staging host has its tokens sent there, and not to production.
    ///
    /// It is plain http exactly where the client's base URL is.
    #[must_use]
    pub fn of_tokens(tokens: &StorefrontTokens) -> Self {
        let base = tokens.client().base();
        Self(vec![Origin {
            is_https: base.is_https,
            host: base.host.trim_end_matches('.').to_owned(),
            port: base.port,
        }])
    }

    /// This origin alone, such as `https://gateway.shop.example`. A path is not part of it.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) for what is no such address, and for plain http to a host
    /// that is not loopback.
    pub fn only(origin: &str) -> Result<Self, Error> {
        Origin::read(origin, &[]).map(|origin| Self(vec![origin]))
    }

    /// This origin as well.
    ///
    /// # Errors
    /// As for [`only`](Self::only).
    pub fn and(mut self, origin: &str) -> Result<Self, Error> {
        self.0.push(Origin::read(origin, &[])?);
        Ok(self)
    }

    /// Another origin alone. Plain http to what is not loopback has to be among these already.
    pub(super) fn instead(&self, origin: &str) -> Result<Self, Error> {
        Origin::read(origin, &self.0).map(|origin| Self(vec![origin]))
    }

    /// All of these as well.
    pub(crate) fn and_all(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// Refuses to have a token sent to a URL that was not named.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Error> {
        if Origin::of(url).is_some_and(|origin| self.0.contains(&origin)) {
            return Ok(());
        }
        Err(Error::invalid_input(format!(
            "tokens are sent to {self} alone, and not to {}: name that among the allowed origins if it may see them",
            Origin::of(url).map_or_else(
                || "what is no http address".to_owned(),
                |origin| origin.to_string()
            ),
        )))
    }

    /// The same, which gives the URI as a URL. A URI without scheme or host names no place.
    pub(crate) fn check_uri(&self, uri: &Uri) -> Result<Url, Error> {
        let url = match (uri.scheme(), uri.host()) {
            (Some(_), Some(_)) => Url::parse(&uri.to_string()).ok(),
            _ => None,
        };
        let url = url.ok_or_else(|| {
            Error::invalid_input(
                "the request's URI does not say where it goes to: give it with scheme and host, so that it is known \
                 whether a token may go there",
            )
        })?;
        self.check(&url)?;
        Ok(url)
    }
}

impl fmt::Display for AllowedOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, origin) in self.0.iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{origin}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Origin {
    /// Reads an address. `known` may be plain http, wherever they are.
    fn read(text: &str, known: &[Self]) -> Result<Self, Error> {
        let url = Url::parse(text.trim()).map_err(|_| {
            Error::configuration(
                "the origin is not an absolute URL: write it with its scheme, such as https://api-b2b.bigcommerce.com",
            )
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::configuration(
                "the origin holds a user name or password: leave it out",
            ));
        }
        let origin = Self::of(&url).ok_or_else(|| {
            Error::configuration("the origin is neither https:// nor http://, or names no host")
        })?;
        if !origin.is_https && !base_url::is_loopback(&url) && !known.contains(&origin) {
            return Err(Error::configuration(
                "the origin is plain http to a host that is not loopback, which would send tokens in the clear: use https",
            ));
        }
        Ok(origin)
    }

    fn of(url: &Url) -> Option<Self> {
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = match url.host()? {
            // The same host, in a form of its own that certificates and resolvers treat alike.
            Host::Domain(name) => name.trim_end_matches('.').to_owned(),
            _ => url.host_str()?.to_owned(),
        };
        Some(Self {
            is_https,
            host,
            port: url.port_or_known_default()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn allows(origins: &AllowedOrigins, uri: &str) -> bool {
        origins.check_uri(&uri.parse().unwrap()).is_ok()
    }

    #[test]
    fn what_was_named_is_allowed_and_nothing_that_looks_like_it() {
        let origins = AllowedOrigins::bigcommerce()
            .and("http://127.0.0.1:8080/ignored")
            .unwrap();
        for uri in [
            "https://api-b2b.bigcommerce.com/graphql",
            "https://API-B2B.bigcommerce.com:443/graphql?a=b",
            "https://api-b2b.bigcommerce.com./graphql",
            "http://127.0.0.1:8080/graphql",
        ] {
            assert!(allows(&origins, uri), "{uri}");
        }
        for uri in [
            "http://api-b2b.bigcommerce.com/graphql",
            "https://api-b2b.bigcommerce.com:444/graphql",
            "https://api-b2b.bigcommerce.com.evil.example/graphql",
            "https://evil.example/api-b2b.bigcommerce.com",
            "https://api-b2b.bigcommerce.com@evil.example/graphql",
            "https://bigcommerce.com/graphql",
            "http://127.0.0.1/graphql",
            "http://127.0.0.1:8081/graphql",
            "https://127.0.0.1:8080/graphql",
            "ftp://api-b2b.bigcommerce.com/graphql",
            "/graphql",
            "api-b2b.bigcommerce.com:443",
        ] {
            assert!(!allows(&origins, uri), "{uri}");
        }
    }

    #[test]
    fn a_refusal_says_where_it_was_to_go_and_where_it_may() {
        let origins = AllowedOrigins::bigcommerce();
        let refusal = |uri: &str| {
            let error = origins.check_uri(&uri.parse().unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            error.to_string()
        };
        let text = refusal("https://user:hunter2@evil.example/a?secret=hunter2");
        assert!(
            text.contains("sent to https://api-b2b.bigcommerce.com:443 alone"),
            "{text}"
        );
        assert!(text.contains("not to https://evil.example:443"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(refusal("ftp://evil.example/").contains("no http address"));
        assert!(refusal("/graphql").contains("with scheme and host"));
    }

    #[test]
    fn only_one_is_only_that_one() {
        let origins = AllowedOrigins::only("https://gateway.example").unwrap();
        assert!(allows(&origins, "https://gateway.example/graphql"));
        assert!(!allows(&origins, "https://api-b2b.bigcommerce.com/graphql"));
        assert_eq!(origins.to_string(), "https://gateway.example:443");
        let both = origins.and("http://[::1]:9/").unwrap();
        assert_eq!(
            both.to_string(),
            "https://gateway.example:443, http://[::1]:9"
        );
        assert!(allows(&both, "http://[::1]:9/graphql"));
    }

    #[test]
    fn what_is_no_place_or_an_unsafe_one_is_refused_with_a_reason() {
        for (origin, reason) in [
            ("api-b2b.bigcommerce.com", "absolute"),
            ("https://user:hunter2@api.example", "user name"),
            ("https://user@api.example", "user name"),
            ("ftp://api.example", "neither"),
            ("unix:/socket", "neither"),
            ("http://api.example", "in the clear"),
        ] {
            let error = AllowedOrigins::only(origin).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            let text = error.to_string();
            assert!(text.contains(reason) && !text.contains("hunter2"), "{text}");
            assert!(AllowedOrigins::bigcommerce().and(origin).is_err());
        }
    }
}
