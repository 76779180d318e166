//! What the GraphQL API answers: data, errors, or both.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rejection;
use crate::{Error, ErrorKind, Hint, ReplyMeta, Secret, pipeline::error_body};

/// A reply of the storefront's GraphQL API.
///
/// `Debug` shows neither data nor messages: either may hold what is nobody's business.
#[derive(Clone)]
#[non_exhaustive]
pub struct GraphqlReply {
    data: Option<Value>,
    errors: Vec<GraphqlError>,
    meta: ReplyMeta,
    times_sent: u32,
}

/// An error that GraphQL reports.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct GraphqlError {
    /// What the API says of it, in one line of at most 500 characters. Secrets of the call are replaced by `[REDACTED]`.
    pub message: String,
    /// `extensions.code`, a number or a text, if there is one. A text is cut and redacted like the message.
    pub code: Option<Value>,
    /// Where in the data it happened: names of fields and numbers of elements.
    pub path: Vec<Value>,
}

impl GraphqlReply {
    /// Reads a body. `secrets` are what no text of it may show.
    pub(super) fn read(body: &[u8], meta: ReplyMeta, secrets: &[Secret]) -> Result<Self, Error> {
        let malformed = |what: &'static str, meta| {
            Error::of_data_api(ErrorKind::UnexpectedReply, what)
                .maybe_applied(true)
                .with_meta(meta)
        };
        let Ok(Value::Object(mut fields)) = serde_json::from_slice::<Value>(body) else {
            return Err(malformed(
                "the storefront API did not answer in GraphQL",
                meta,
            ));
        };
        let data = fields.remove("data").filter(|data| !data.is_null());
        let errors = match fields.remove("errors") {
            Some(Value::Array(errors)) => errors
                .into_iter()
                .map(|error| GraphqlError::read(error, secrets))
                .collect(),
            _ => Vec::new(),
        };
        if data.is_none() && errors.is_empty() {
            return Err(malformed(
                "the storefront API answered with neither data nor errors",
                meta,
            ));
        }
        Ok(Self {
            data,
            errors,
            meta,
            times_sent: 1,
        })
    }

    /// The same, of a call that was sent so often.
    pub(super) fn sent(self, times_sent: u32) -> Self {
        Self { times_sent, ..self }
    }

    /// How often the call was sent: 2 when its token was refused and replaced, and more often where attempts were repeated.
    #[must_use]
    pub fn times_sent(&self) -> u32 {
        self.times_sent
    }

    /// What was asked for, as far as it came. `None` when nothing did.
    #[must_use]
    pub fn data(&self) -> Option<&Value> {
        self.data.as_ref()
    }

    /// What went wrong, if anything did. There may be data besides.
    #[must_use]
    pub fn errors(&self) -> &[GraphqlError] {
        &self.errors
    }

    /// Whether this customer may not do a part of what was asked for: see [`GraphqlError::is_forbidden`]. There may be data
    /// besides.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.errors.iter().any(GraphqlError::is_forbidden)
    }

    /// Status, identifiers and date of the reply.
    #[must_use]
    pub fn meta(&self) -> &ReplyMeta {
        &self.meta
    }

    /// The data as a type of yours.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`] when one of the errors [is of that kind](GraphqlError::is_forbidden), with its message;
    /// [`ErrorKind::Rejected`] for other errors, with the message of the first; and [`ErrorKind::UnexpectedReply`] when the
    /// data are not of that type.
    pub fn into_data<T: DeserializeOwned>(self) -> Result<T, Error> {
        let forbidden = self.errors.iter().find(|error| error.is_forbidden());
        if let Some(shown) = forbidden.or(self.errors.first()) {
            let (kind, summary) = if forbidden.is_some() {
                (
                    ErrorKind::Forbidden,
                    "the storefront API does not allow this customer to do so",
                )
            } else {
                (ErrorKind::Rejected, "the storefront API reported an error")
            };
            let hint = Hint::of_storefront_response(self.meta.status, &shown.message);
            return Err(Error::of_data_api(kind, summary)
                .with_message(None, Some(shown.message.clone()), None)
                .with_hint(hint)
                .with_meta(self.meta));
        }
        serde_json::from_value(self.data.unwrap_or_default()).map_err(|_| {
            // The parser's own words may repeat what it read.
            Error::of_data_api(
                ErrorKind::UnexpectedReply,
                "the data of the storefront API are not of the type that was asked for",
            )
            .maybe_applied(true)
            .with_meta(self.meta)
        })
    }
}

/// The word by which a missing scope is told.
const MISSING_SCOPE: &str = "INSUFFICIENT_ACCESS_SCOPE";

fn is_missing_scope(code: &str) -> bool {
    code.trim().eq_ignore_ascii_case(MISSING_SCOPE)
}

impl GraphqlError {
    /// Whether the API understood the token and does not allow its customer to do this: `extensions.code` 401 or 403
    /// ("Invalid User Access"), or `INSUFFICIENT_ACCESS_SCOPE`. Another token of the customer would fare no better, so the
    /// token is kept and the call is not repeated.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.code.as_ref().is_some_and(|code| {
            matches!(rejection::number(code), Some(401 | 403))
                || code.as_str().is_some_and(is_missing_scope)
        })
    }

    fn read(error: Value, secrets: &[Secret]) -> Self {
        let Value::Object(mut fields) = error else {
            return Self {
                message: "an error of an unknown form".to_owned(),
                code: None,
                path: Vec::new(),
            };
        };
        let message = match fields.remove("message") {
            Some(Value::String(message)) => error_body::shown(&message, secrets),
            _ => "an error without a message".to_owned(),
        };
        let code = match fields.remove("extensions") {
            Some(Value::Object(mut extensions)) => {
                extensions.remove("code").map(|code| match code {
                    // What is decided by it is not left to what the secrets are.
                    Value::String(code) if is_missing_scope(&code) => Value::String(code),
                    Value::String(code) => Value::String(error_body::shown(&code, secrets)),
                    code => code,
                })
            }
            _ => None,
        };
        let path = match fields.remove("path") {
            Some(Value::Array(path)) => path,
            _ => Vec::new(),
        };
        Self {
            message,
            code,
            path,
        }
    }
}

impl fmt::Debug for GraphqlReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GraphqlReply")
            .field("status", &self.meta.status)
            .field("has_data", &self.data.is_some())
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for GraphqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of what is neither a number nor a text nothing is known.
        let code = self
            .code
            .as_ref()
            .filter(|code| code.is_number() || code.is_string());
        f.debug_struct("GraphqlError")
            .field("code", &code)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<GraphqlReply, Error> {
        let headers = http::HeaderMap::new();
        let meta = ReplyMeta::read(200, &headers, 1, SystemTime::UNIX_EPOCH, &[]);
        GraphqlReply::read(body.to_string().as_bytes(), meta, &["hunter2".into()])
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Company {
        name: String,
    }

    #[test]
    fn data_become_a_type() {
        let reply = read(&json!({"data": {"name": "hunter2"}})).unwrap();
        assert_eq!(reply.data(), Some(&json!({"name": "hunter2"})));
        assert!(reply.errors().is_empty());
        assert_eq!(reply.meta().status, 200);
        let shown = format!("{reply:?}");
        assert!(
            shown.contains("has_data: true") && !shown.contains("hunter2"),
            "{shown}"
        );
        let company: Company = reply.clone().into_data().unwrap();
        assert_eq!(company.name, "hunter2");
        let error = reply.into_data::<Vec<u8>>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedReply);
        assert!(error.may_have_been_applied());
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn errors_are_told_beside_the_data_that_came() {
        let reply = read(&json!({
            "data": {"name": null},
            "errors": [
                {"message": "no\nname", "extensions": {"code": 40301}, "path": ["company", 0, "name"]},
                {"extensions": {"code": "LATE"}},
                "odd",
            ],
        }))
        .unwrap();
        assert!(reply.data().is_some());
        let [first, second, third] = reply.errors() else {
            panic!("three");
        };
        assert_eq!(first.message, "no name");
        assert_eq!(first.code, Some(json!(40301)));
        assert_eq!(first.path, [json!("company"), json!(0), json!("name")]);
        assert_eq!(second.code, Some(json!("LATE")));
        assert!(second.message.contains("without") && third.message.contains("unknown"));
        let shown = format!("{reply:?}");
        assert!(
            shown.contains("40301") && !shown.contains("without"),
            "{shown}"
        );
        let error = reply.into_data::<Company>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(error.message(), Some("no name"));
    }

    #[test]
    fn what_the_customer_may_not_do_is_forbidden_whatever_else_came() {
        for code in [
            json!(401),
            json!(403),
            json!("401"),
            json!(" 403 "),
            json!("INSUFFICIENT_ACCESS_SCOPE"),
            json!("insufficient_access_scope"),
        ] {
            let other = json!({"message": "late", "extensions": {"code": "LATE"}});
            let access = json!({"message": "Invalid User Access", "extensions": {"code": code}});
            for data in [json!(null), json!({"name": "hunter2"})] {
                let reply = read(&json!({"data": data, "errors": [other, access]})).unwrap();
                assert!(reply.is_forbidden(), "{code}");
                let [other, access] = reply.errors() else {
                    panic!("two");
                };
                assert!(!other.is_forbidden() && access.is_forbidden(), "{code}");
                assert_eq!(reply.data().is_some(), !data.is_null());
                let error = reply.into_data::<Company>().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Forbidden);
                assert_eq!(error.message(), Some("Invalid User Access"));
            }
        }
        for code in [
            json!(40101),
            json!(40301),
            json!("40301"),
            json!(403.5),
            json!(-403),
            json!([403]),
            json!("FORBIDDEN TREE"),
            json!(null),
        ] {
            let error = json!({"message": "Invalid User Access", "extensions": {"code": code}});
            let reply = read(&json!({"errors": [error]})).unwrap();
            assert!(!reply.is_forbidden(), "{code}");
        }
        let bare = read(&json!({"errors": [{"message": "Invalid User Access"}]})).unwrap();
        assert!(!bare.is_forbidden());
    }

    #[test]
    fn errors_show_no_secret_and_have_an_end() {
        let long = "x".repeat(1_000_000);
        let told = read(&json!({"errors": [
            {"message": "hunter2\nis not yours", "extensions": {"code": "OF hunter2"}},
            {"message": long, "extensions": {"code": long}},
            {"message": "odd", "extensions": {"code": {"token": "hunter2", "why": long}}},
        ]}))
        .unwrap();
        let [first, second, _] = told.errors() else {
            panic!("three");
        };
        assert_eq!(first.message, "[REDACTED] is not yours");
        assert_eq!(first.code, Some(json!("OF [REDACTED]")));
        assert_eq!(second.message.chars().count(), 500);
        let error = told.clone().into_data::<Company>().unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let shown = format!("{told:?} {error} {error:?} {source:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.len() < 3_000, "{}", shown.len());

        let told = read(&json!({"errors": [{"message": long}]})).unwrap();
        let error = told.into_data::<Company>().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.len() < 2_000, "{}", shown.len());
    }

    #[test]
    fn what_is_no_graphql_is_told() {
        for body in [
            json!([]),
            json!("text"),
            json!({}),
            json!({"data": null}),
            json!({"errors": []}),
        ] {
            let error = read(&body).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedReply, "{body}");
            assert!(error.may_have_been_applied());
        }
        assert!(read(&json!({"data": 5})).is_ok());
    }
}
