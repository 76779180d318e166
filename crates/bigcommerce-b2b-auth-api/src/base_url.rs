//! The base URL of a client. Parsing a URL is a large part of what a request costs, so it is done once for each operation
//! and not for each request. Generated code comes here for every request whose path has no parameters.

use std::{fmt, sync::Arc};

use reqwest::{Client, Method, RequestBuilder, Url};

use crate::operations;

/// A base URL, such as `https://b2b.example.com/api/io`, with the URL of every operation below it ready for use.
///
/// Making one parses them all; a clone is cheap. One that is kept makes it cheap to have a [`Client`](crate::Client) for
/// each request.
///
/// A text that is no URL is found out by the first request, which fails.
#[derive(Clone, PartialEq, Eq)]
pub struct BaseUrl(Arc<Ready>);

#[derive(PartialEq, Eq)]
struct Ready {
    text: String,
    by_path: Vec<(&'static str, Url)>,
}

impl BaseUrl {
    /// The text that it was made from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// The URL of a path that is one of [`operations`].
    #[must_use]
    pub fn url_of(&self, path: &str) -> Option<&Url> {
        let mut urls = self.0.by_path.iter();
        urls.find(|(known, _)| *known == path).map(|(_, url)| url)
    }

    pub(crate) fn request(&self, http: &Client, method: Method, path: &str) -> RequestBuilder {
        match self.url_of(path) {
            Some(url) => http.request(method, url.clone()),
            None => http.request(method, format!("{self}{path}")),
        }
    }
}

impl From<&str> for BaseUrl {
    fn from(text: &str) -> Self {
        let ready = |path| Some((path, Url::parse(&format!("{text}{path}")).ok()?));
        let paths = operations::ALL.iter().map(|operation| operation.path);
        Self(Arc::new(Ready {
            text: text.to_owned(),
            by_path: paths.filter_map(ready).collect(),
        }))
    }
}

impl From<&String> for BaseUrl {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_same_url_whether_it_was_ready_or_not() {
        let http = Client::new();
        for base in ["http://127.0.0.1:1/api/io", "HTTPS://B2B.example.com/a b/"] {
            let known = operations::ALL.iter().map(|operation| operation.path);
            for path in known.chain(["/of/another/document"]) {
                let ready = BaseUrl::from(base).request(&http, Method::GET, path);
                let parsed = http.get(format!("{base}{path}"));
                assert_eq!(
                    ready.build().unwrap().url(),
                    parsed.build().unwrap().url(),
                    "{base} {path}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_url_fails_with_the_request() {
        for text in ["", "not a URL", "//b2b.example.com"] {
            let request = BaseUrl::from(text).request(&Client::new(), Method::GET, "/auth/backend");
            assert!(request.build().unwrap_err().is_builder(), "{text}");
        }
    }
}
