//! What the sandbox answers: the success envelope, the shapes of an error, what a test wrote.
//! Every reply of an operation is built here, so that each shape exists once.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

/// A shape that an error of the service can come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorShape {
    /// `{code, data: {errMsg: "…"}, meta: {message}}`
    Envelope,
    /// `{code, data: {errMsg: {…}}, meta: {message}}`
    EnvelopeWithObject,
    /// `{code, data: {errMsg: ["…"]}, meta: {message}}`
    EnvelopeWithArray,
    /// `{code, data: {}, meta: {message}}`
    EmptyData,
    /// `{code, data: {field: ["…"]}, meta: {message}}`
    FieldMessages,
    /// `{code, message}`
    CodeAndMessage,
    /// `{detail}`
    Detail,
    /// `{status, title, errors}`
    Problem,
    /// [`Envelope`](Self::Envelope), but under HTTP 200: only the body's `code` tells that it
    /// failed.
    EnvelopeUnderHttp200,
    /// No body at all.
    Empty,
}

impl ErrorShape {
    /// Every shape, for a test that goes through them all.
    pub const ALL: &[Self] = &[
        Self::Envelope,
        Self::EnvelopeWithObject,
        Self::EnvelopeWithArray,
        Self::EmptyData,
        Self::FieldMessages,
        Self::CodeAndMessage,
        Self::Detail,
        Self::Problem,
        Self::EnvelopeUnderHttp200,
        Self::Empty,
    ];
}

/// What is wrong with which field of a request.
pub(crate) type Problems = BTreeMap<&'static str, Vec<&'static str>>;

/// A request that an operation does not fulfil.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    shape: ErrorShape,
    message: Cow<'static, str>,
    meta: Option<&'static str>,
    problems: Problems,
}

impl Refusal {
    /// A refusal in the documented envelope, the same message in both places.
    pub(crate) fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            shape: ErrorShape::Envelope,
            message: message.into(),
            meta: None,
            problems: Problems::new(),
        }
    }

    /// The message of `meta`, where it differs.
    pub(crate) fn meta(mut self, message: &'static str) -> Self {
        self.meta = Some(message);
        self
    }

    pub(crate) fn shape(mut self, shape: ErrorShape) -> Self {
        self.shape = shape;
        self
    }

    pub(crate) fn problems(mut self, problems: Problems) -> Self {
        self.problems = problems;
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            status,
            shape,
            message,
            meta,
            problems,
        } = refusal;
        let code = status.as_u16();
        let meta = meta.unwrap_or(&message);
        let by_field = || {
            if problems.is_empty() {
                json!({ "non_field_errors": [message] })
            } else {
                json!(problems)
            }
        };
        let envelope =
            |data: Value| json!({ "code": code, "data": data, "meta": { "message": meta } });
        let body = match shape {
            ErrorShape::Envelope | ErrorShape::EnvelopeUnderHttp200 => {
                envelope(json!({ "errMsg": message }))
            }
            ErrorShape::EnvelopeWithObject => envelope(json!({ "errMsg": by_field() })),
            ErrorShape::EnvelopeWithArray => envelope(json!({ "errMsg": [message] })),
            ErrorShape::EmptyData => envelope(json!({})),
            ErrorShape::FieldMessages => envelope(by_field()),
            ErrorShape::CodeAndMessage => json!({ "code": code, "message": message }),
            ErrorShape::Detail => json!({ "detail": message }),
            ErrorShape::Problem => {
                json!({ "status": code, "title": message, "errors": by_field() })
            }
            ErrorShape::Empty => return Reply::empty(status),
        };
        let status = if shape == ErrorShape::EnvelopeUnderHttp200 {
            StatusCode::OK
        } else {
            status
        };
        Reply::json(status, &body)
    }
}

/// A reply before the headers that all replies share.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    pub(crate) fn json(status: StatusCode, body: &Value) -> Self {
        let headers =
            HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        Self {
            status,
            headers,
            body: body.to_string().into(),
        }
    }

    /// 200 with the success envelope around `data`.
    pub(crate) fn success(data: Value) -> Self {
        Self::success_with_meta(data, json!({ "message": "SUCCESS" }))
    }

    pub(crate) fn success_with_meta(data: Value, meta: Value) -> Self {
        Self::json(
            StatusCode::OK,
            &json!({ "code": 200, "data": data, "meta": meta }),
        )
    }

    /// Adds a header of the sandbox's own, unless the reply has it already: what a test wrote wins.
    pub(crate) fn add(&mut self, name: &'static str, value: HeaderValue) {
        self.headers.entry(name).or_insert(value);
    }
}

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        let mut response = Response::new(Body::from(reply.body));
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }
}

/// A reply that a test puts in place of the one that an operation would give.
///
/// The sandbox adds its own headers (`Date`, `X-Request-Id`, `Trace-Id`,
/// `X-Envoy-Upstream-Service-Time`, the window), except those that stand here.
#[derive(Clone)]
pub struct CannedReply(Reply);

impl CannedReply {
    /// A reply with this status, no body and no content type.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self(Reply::empty(status))
    }

    /// A reply with a JSON body.
    #[must_use]
    pub fn json(status: StatusCode, body: &Value) -> Self {
        Self(Reply::json(status, body))
    }

    /// An error in one of the shapes that the service is known to use, with `message` where that
    /// shape has its message.
    #[must_use]
    pub fn error(status: StatusCode, shape: ErrorShape, message: impl Into<String>) -> Self {
        Self(Refusal::new(status, message.into()).shape(shape).into())
    }

    /// Sets a header, also in place of one that the sandbox would add.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Sets the body: any bytes, whether or not they are what the content type says.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.0.body = body.into();
        self
    }
}

impl From<CannedReply> for Reply {
    fn from(canned: CannedReply) -> Self {
        canned.0
    }
}

impl fmt::Debug for CannedReply {
    /// The status and the names of the headers: a body or a value may hold a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("CannedReply")
            .field("status", &self.0.status)
            .field("headers", &names)
            .field("body", &format_args!("[{} bytes]", self.0.body.len()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body_of(shape: ErrorShape) -> Value {
        let refusal = Refusal::new(StatusCode::NOT_FOUND, "gone")
            .meta("Not Found Error")
            .shape(shape)
            .problems(Problems::from([("id", vec!["unknown"])]));
        let reply = Reply::from(refusal);
        serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
    }

    #[test]
    fn every_shape_is_what_it_is_called() {
        let meta = json!({ "message": "Not Found Error" });
        let by_field = json!({ "id": ["unknown"] });
        for (shape, expected) in [
            (
                ErrorShape::Envelope,
                json!({ "code": 404, "data": { "errMsg": "gone" }, "meta": meta }),
            ),
            (
                ErrorShape::EnvelopeUnderHttp200,
                json!({ "code": 404, "data": { "errMsg": "gone" }, "meta": meta }),
            ),
            (
                ErrorShape::EnvelopeWithObject,
                json!({ "code": 404, "data": { "errMsg": by_field }, "meta": meta }),
            ),
            (
                ErrorShape::EnvelopeWithArray,
                json!({ "code": 404, "data": { "errMsg": ["gone"] }, "meta": meta }),
            ),
            (
                ErrorShape::EmptyData,
                json!({ "code": 404, "data": {}, "meta": meta }),
            ),
            (
                ErrorShape::FieldMessages,
                json!({ "code": 404, "data": by_field, "meta": meta }),
            ),
            (
                ErrorShape::CodeAndMessage,
                json!({ "code": 404, "message": "gone" }),
            ),
            (ErrorShape::Detail, json!({ "detail": "gone" })),
            (
                ErrorShape::Problem,
                json!({ "status": 404, "title": "gone", "errors": by_field }),
            ),
            (ErrorShape::Empty, Value::Null),
        ] {
            assert_eq!(body_of(shape), expected, "{shape:?}");
        }
    }

    #[test]
    fn only_one_shape_changes_the_status() {
        for &shape in ErrorShape::ALL {
            let reply = Reply::from(Refusal::new(StatusCode::NOT_FOUND, "gone").shape(shape));
            let expected = if shape == ErrorShape::EnvelopeUnderHttp200 {
                200
            } else {
                404
            };
            assert_eq!(reply.status, expected, "{shape:?}");
        }
    }

    #[test]
    fn debug_of_a_canned_reply_shows_no_value() {
        let canned = CannedReply::new(StatusCode::OK)
            .header(
                HeaderName::from_static("x-secret"),
                HeaderValue::from_static("canary"),
            )
            .body("canary");
        let debug = format!("{canned:?}");
        assert!(
            debug.contains("x-secret") && debug.contains("[6 bytes]"),
            "{debug}"
        );
        assert!(!debug.contains("canary"), "{debug}");
    }
}
