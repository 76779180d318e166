//! What came in and how it was answered, so that a test can count requests and see their bytes.
//! The secrets are kept, as tests assert on them; `Debug` shows only what is known to be none.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

use crate::fault::Fault;
use crate::header_rules;
use crate::operations::Operation;
use crate::secret::REDACTED;

/// How much of a body is kept. The bodies of the operations are far smaller; this bounds what a
/// client gone wild can make the sandbox hold.
const KEPT_BODY: usize = 8 * 1024;

/// Headers, query parameters and body fields whose values are no secrets. Everything else is
/// redacted: a list of what is harmless fails safe.
const HARMLESS_HEADERS: [&str; 8] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
    "x-store-hash",
];
const HARMLESS_PARAMETERS: [&str; 3] = ["channelId", "limit", "offset"];
const HARMLESS_FIELDS: [&str; 8] = [
    "beginAt",
    "channelId",
    "customerId",
    "email",
    "endAt",
    "id",
    "name",
    "storeHash",
];

/// A request as the sandbox received it, and the status that it was answered with.
#[derive(Clone)]
#[non_exhaustive]
pub struct RecordedRequest {
    pub(crate) operation: Option<Operation>,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) status: StatusCode,
    pub(crate) at: SystemTime,
    pub(crate) fault: Option<Fault>,
}

impl RecordedRequest {
    /// The operation that the request asked for; `None` for an unknown path or a method that the
    /// path does not take.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        self.operation
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The path as it was sent, still percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query as it was sent, without the question mark; empty if there was none. May hold a
    /// secret.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The headers. May hold secrets.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first value of a header, if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body: its first 8 KiB, and nothing if it was over the [body
    /// limit](crate::SandboxBuilder::body_limit). May hold secrets.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The body as JSON, if it is.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The status of the reply.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The fault that the request met. Where the fault kept the reply from arriving, the
    /// [status](Self::status) is the one that it would have had, or 503 for a request that was not
    /// taken.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// When the request was answered, by the sandbox's clock.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Whether the request had the legacy `authToken` together with `X-Auth-Token` or
    /// `X-Store-Hash`, which no client should ever send.
    #[must_use]
    pub fn mixes_header_sets(&self) -> bool {
        header_rules::mixes_header_sets(&self.headers)
    }
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let harmless = HARMLESS_HEADERS.contains(&name.as_str());
                (
                    name.as_str(),
                    value.to_str().ok().filter(|_| harmless).unwrap_or(REDACTED),
                )
            })
            .collect();
        let query: Vec<_> = form_urlencoded::parse(self.query.as_bytes())
            .map(|(name, value)| {
                let harmless = HARMLESS_PARAMETERS.contains(&name.as_ref()) && is_number(&value);
                (
                    name.into_owned(),
                    if harmless {
                        value.into_owned()
                    } else {
                        REDACTED.to_owned()
                    },
                )
            })
            .collect();
        f.debug_struct("RecordedRequest")
            .field("operation", &self.operation)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("query", &query)
            .field("headers", &headers)
            .field("body", &self.redacted_body())
            .field("status", &self.status)
            .field("at", &self.at)
            .field("fault", &self.fault)
            .finish()
    }
}

impl RecordedRequest {
    fn redacted_body(&self) -> String {
        let Some(Value::Object(mut fields)) = self.json() else {
            return format!("[{} bytes]", self.body.len());
        };
        for (name, value) in &mut fields {
            let harmless = HARMLESS_FIELDS.contains(&name.as_str())
                && (value.is_string() || value.is_number());
            if !harmless {
                *value = REDACTED.into();
            }
        }
        Value::Object(fields).to_string()
    }
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The latest requests, and exact counts of all.
#[derive(Debug)]
pub(crate) struct Recorder {
    capacity: usize,
    requests: VecDeque<RecordedRequest>,
    counts: BTreeMap<Option<Operation>, u64>,
}

impl Recorder {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            requests: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn record(&mut self, mut request: RecordedRequest) {
        *self.counts.entry(request.operation).or_default() += 1;
        if self.capacity == 0 {
            return;
        }
        if let Some(kept) = request.body.get(..KEPT_BODY) {
            // A copy, since a slice would keep the whole body alive.
            request.body = Bytes::copy_from_slice(kept);
        }
        if self.requests.len() == self.capacity {
            self.requests.pop_front();
        }
        self.requests.push_back(request);
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = &RecordedRequest> {
        self.requests.iter()
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.values().sum()
    }

    pub(crate) fn count_to(&self, operation: Operation) -> u64 {
        self.counts
            .get(&Some(operation))
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.counts.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use axum::http::HeaderValue;

    use super::*;

    fn request(
        query: &str,
        headers: &[(&'static str, &'static str)],
        body: &str,
    ) -> RecordedRequest {
        RecordedRequest {
            operation: Some(Operation::Mint),
            method: Method::POST,
            path: Operation::Mint.path().to_owned(),
            query: query.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
                .collect(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            status: StatusCode::OK,
            at: UNIX_EPOCH,
            fault: None,
        }
    }

    #[test]
    fn debug_shows_what_is_harmless_and_nothing_else() {
        let debug = format!(
            "{:?}",
            request(
                "jwtToken=canary&jwtTo%6ben=canary&limit=canary&channelId=7",
                &[
                    ("x-auth-token", "canary"),
                    ("authtoken", "canary"),
                    ("authorization", "canary"),
                    ("cookie", "canary"),
                    ("x-unheard-of", "canary"),
                    ("x-store-hash", "abc"),
                ],
                r#"{"password":"canary","customerAccessToken":{"value":"canary"},"email":"a@b.c","name":{"x":"canary"},"id":5}"#,
            )
        );
        assert!(!debug.contains("canary"), "{debug}");
        for shown in ["abc", "a@b.c", "\"7\"", "x-unheard-of"] {
            assert!(debug.contains(shown), "{shown} in {debug}");
        }
    }

    #[test]
    fn debug_of_a_body_that_is_not_an_object_shows_its_length() {
        for body in ["canary", "[\"canary\"]", "\"canary\""] {
            let debug = format!("{:?}", request("", &[], body));
            assert!(
                !debug.contains("canary") && debug.contains("bytes]"),
                "{debug}"
            );
        }
    }

    #[test]
    fn the_oldest_requests_go_first_and_the_counts_stay() {
        let mut recorder = Recorder::new(2);
        for query in ["a", "b", "c"] {
            recorder.record(request(query, &[], ""));
        }
        let kept: Vec<_> = recorder.requests().map(RecordedRequest::query).collect();
        assert_eq!(kept, ["b", "c"]);
        assert_eq!(
            (
                recorder.count(),
                recorder.count_to(Operation::Mint),
                recorder.count_to(Operation::Login)
            ),
            (3, 3, 0)
        );
        recorder.clear();
        assert_eq!(recorder.count(), 0);
    }

    #[test]
    fn a_long_body_is_cut_and_none_is_kept_without_room() {
        let mut recorder = Recorder::new(1);
        recorder.record(request("", &[], &"x".repeat(KEPT_BODY + 1)));
        assert_eq!(recorder.requests().next().unwrap().body().len(), KEPT_BODY);
        let mut counting_only = Recorder::new(0);
        counting_only.record(request("", &[], ""));
        assert_eq!(
            (counting_only.requests().count(), counting_only.count()),
            (0, 1)
        );
    }
}
