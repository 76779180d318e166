//! The address of the service, checked once when a client is built: what gets past here cannot send a credential in
//! the clear or to a place nobody meant.

use url::{Host, Url};

use crate::Error;

/// The service itself, without the path that the document's server entry adds.
pub(crate) const PRODUCTION: &str = "https://api-b2b.bigcommerce.com";

/// Its host.
#[cfg(feature = "tokens")]
pub(crate) const HOST: &str = "api-b2b.bigcommerce.com";

/// The base path of all six operations. (`/api/v3/io`, which one of the vendor's pages names, answers 404.)
pub(crate) const BASE_PATH: &str = "/api/io";

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BaseUrl {
    /// What every request's URL starts with: no trailing slash, base path included.
    pub(crate) prefix: String,
    /// The path within it.
    pub(crate) path: String,
    /// The host, and the port that it is spoken to on.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether the host is this machine.
    pub(crate) is_loopback: bool,
    /// Whether TLS is spoken.
    pub(crate) is_https: bool,
}

impl BaseUrl {
    /// Scheme, host and port, such as `https://api-b2b.bigcommerce.com`.
    #[cfg(feature = "tokens")]
    pub(crate) fn origin(&self) -> String {
        Url::parse(&self.prefix)
            .map(|url| url.origin().ascii_serialization())
            .unwrap_or_default()
    }

    /// Reads what a person configured.
    pub(crate) fn parse(text: &str, allow_insecure_http: bool) -> Result<Self, Error> {
        let url = Url::parse(text.trim()).map_err(|_| {
            Error::configuration(
                "the base URL is not an absolute URL: write it with its scheme, such as https://api-b2b.bigcommerce.com",
            )
        })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::configuration(
                "the base URL holds a user name or password: leave it out, credentials go into the client's builder",
            ));
        }
        if !matches!(url.scheme(), "https" | "http") {
            // What stands before the colon is not shown: it may be a part of a secret that was taken for the URL.
            return Err(Error::configuration(
                "the base URL starts with neither https:// nor http://: write it with https://",
            ));
        }
        let is_https = url.scheme() == "https";
        let is_loopback = is_loopback(&url);
        if !is_https && !is_loopback && !allow_insecure_http {
            return Err(Error::configuration(
                "the base URL is plain http to a host that is not loopback, which would send credentials in the clear: \
                 use https, or say allow_insecure_http(true) where the network is trusted",
            ));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(Error::configuration(
                "the base URL has a query or a fragment: leave out everything from the ? or #",
            ));
        }
        // A doubled slash makes the service refuse the login call, so none may be left at the end.
        let origin = url.as_str().trim_end_matches('/');
        let path = url.path().trim_end_matches('/');
        let (prefix, path) = if path.is_empty() {
            (format!("{origin}{BASE_PATH}"), BASE_PATH.to_owned())
        } else {
            (origin.to_owned(), path.to_owned())
        };
        Ok(Self {
            prefix,
            path,
            host: url.host_str().unwrap_or_default().to_owned(),
            port: url.port_or_known_default().unwrap_or_default(),
            is_loopback,
            is_https,
        })
    }
}

/// Names other than `localhost` are left to a resolver, which may find anything.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_and_the_base_path_are_taken_care_of() {
        for text in [
            "https://api-b2b.bigcommerce.com",
            "https://api-b2b.bigcommerce.com/",
            "https://api-b2b.bigcommerce.com//",
            "https://api-b2b.bigcommerce.com/api/io",
            " https://api-b2b.bigcommerce.com/api/io/ ",
        ] {
            let url = BaseUrl::parse(text, false).unwrap();
            assert_eq!(
                url.prefix, "https://api-b2b.bigcommerce.com/api/io",
                "{text}"
            );
            assert_eq!(url.path, "/api/io", "{text}");
        }
    }

    #[test]
    fn a_path_of_ones_own_is_kept() {
        let url = BaseUrl::parse("https://gateway.example.com/b2b/", false).unwrap();
        assert_eq!(url.prefix, "https://gateway.example.com/b2b");
        assert_eq!(url.path, "/b2b");
    }

    #[test]
    fn plain_http_is_for_loopback_or_on_request() {
        for text in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost:1",
        ] {
            assert!(BaseUrl::parse(text, false).unwrap().is_loopback, "{text}");
        }
        for text in [
            "http://api-b2b.bigcommerce.com",
            "http://localhost.example.com",
            "http://b2b.localhost",
            "http://10.0.0.1",
        ] {
            let error = BaseUrl::parse(text, false).unwrap_err();
            assert!(error.to_string().contains("plain http"), "{error}");
            assert!(BaseUrl::parse(text, true).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_base_url_is_refused_with_the_way_out() {
        for (text, expected) in [
            ("", "not an absolute URL"),
            ("api-b2b.bigcommerce.com", "not an absolute URL"),
            ("localhost:8080", "neither https:// nor"),
            ("ftp://example.com", "neither https:// nor"),
            ("hunter2:x", "neither https:// nor"),
            ("hunter2://example.com/hunter2", "neither https:// nor"),
            ("https://hunter2 .example.com", "not an absolute URL"),
            ("http://hunter2.example.com", "plain http"),
            ("https://user:hunter2@example.com", "user name or password"),
            ("https://example.com/?a=hunter2", "query"),
            ("https://example.com/#hunter2", "query or a fragment"),
        ] {
            let error = BaseUrl::parse(text, false).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
