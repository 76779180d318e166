//! A rule of the application for responses: whether the storefront API accepted the token, where a 401 is not how it says so.

use std::{fmt, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::{buffered_body::LONGEST_LOOK, rejection, replay::Answer};

/// A response of a storefront API, as a [`ResponseJudge`] sees it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ResponseView<'r> {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The body: the whole of it, or its first 64 KiB if it is longer. A compressed body stays compressed. `None` as long as
    /// it was not read: see [`Judgement::NeedsBody`].
    pub body: Option<&'r [u8]>,
}

impl<'r> ResponseView<'r> {
    /// The head of a response.
    #[must_use]
    pub fn new(status: StatusCode, headers: &'r HeaderMap) -> Self {
        Self {
            status,
            headers,
            body: None,
        }
    }

    /// The same with its body, of which no more than 64 KiB are looked at.
    #[must_use]
    pub fn with_body(self, body: &'r [u8]) -> Self {
        Self {
            body: Some(body.get(..LONGEST_LOOK).unwrap_or(body)),
            ..self
        }
    }
}

impl fmt::Debug for ResponseView<'_> {
    // Headers and body may hold anything, a session among it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseView")
            .field("status", &self.status)
            .field("has_body", &self.body.is_some())
            .finish_non_exhaustive()
    }
}

/// What a response says of the token that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Judgement {
    /// The token was accepted, whatever the status is. The response is handed over as it is.
    TokenAccepted,
    /// The token was rejected before anything was done: it is replaced once, and the call is repeated once.
    TokenRejected,
    /// The SDK's own rule decides: a 401 rejects the token, and so does GraphQL's way of saying it.
    NoOpinion,
    /// The function has to see the body. It is called again with it, and an answer of `NeedsBody` then means
    /// [`NoOpinion`](Self::NoOpinion). The body is read to its end, or to 64 KiB, before the response is handed over; it is
    /// handed over whole all the same.
    NeedsBody,
}

/// A function that says of a response whether the token was rejected, for APIs and gateways that signal an expired token by
/// something else than a 401.
///
/// It goes into [`TokenLayer::judge_responses_by`](crate::TokenLayer::judge_responses_by) and into the builder of
/// [`StorefrontApi`](crate::StorefrontApi); with [`StorefrontTokens::call`](crate::StorefrontTokens::call) use its
/// [`answer`](Self::answer).
///
/// ```
/// use bigcommerce_b2b_auth::{Judgement, ResponseJudge};
///
/// let judge = ResponseJudge::new(|response| match (response.status.as_u16(), response.body) {
///     (419 | 501, _) => Judgement::TokenRejected,
///     // The gateway says it in a page of its own, under a 200.
///     (200, None) if response.headers.get("content-type").is_some_and(|kind| kind == "text/html") => {
///         Judgement::NeedsBody
///     }
///     (200, Some(body)) if body.starts_with(b"Session expired") => Judgement::TokenRejected,
///     _ => Judgement::NoOpinion,
/// });
/// # drop(judge);
/// ```
///
/// # Panics
/// A panic of the function is a panic of the call that it judges. It holds up no other call, and the token stays in the cache.
#[derive(Clone)]
pub struct ResponseJudge(Arc<Rule>);

type Rule = dyn Fn(&ResponseView<'_>) -> Judgement + Send + Sync;

impl ResponseJudge {
    /// Judges by this function.
    #[must_use]
    pub fn new(rule: impl Fn(&ResponseView<'_>) -> Judgement + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    /// What the function says of a response.
    #[must_use]
    pub fn judge(&self, response: &ResponseView<'_>) -> Judgement {
        (self.0)(response)
    }

    /// What a call with a token came to, for [`StorefrontTokens::call`](crate::StorefrontTokens::call): as the function says,
    /// or by the status where it has no opinion or wants a body that the view does not have.
    ///
    /// ```
    /// use bigcommerce_b2b_auth::{Answer, Judgement, ResponseJudge, ResponseView};
    /// use http::{HeaderMap, StatusCode};
    ///
    /// let judge = ResponseJudge::new(|response| match response.status.as_u16() {
    ///     419 => Judgement::TokenRejected,
    ///     _ => Judgement::NoOpinion,
    /// });
    /// let headers = HeaderMap::new();
    /// let view = |status| ResponseView::new(StatusCode::from_u16(status).unwrap(), &headers);
    /// assert_eq!(judge.answer(&view(419), "response"), Answer::Refused("response"));
    /// assert_eq!(judge.answer(&view(401), "response"), Answer::Refused("response"));
    /// assert_eq!(judge.answer(&view(200), "response"), Answer::Accepted("response"));
    /// ```
    #[must_use]
    pub fn answer<T>(&self, response: &ResponseView<'_>, reply: T) -> Answer<T> {
        rejection::of_response(self.judge(response), response.status.as_u16(), None).with(reply)
    }
}

impl fmt::Debug for ResponseJudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseJudge")
    }
}

/// What a judge says of the head of a response; without one, nothing.
pub(super) fn of_head(
    judge: Option<&ResponseJudge>,
    status: StatusCode,
    headers: &HeaderMap,
) -> Judgement {
    judge.map_or(Judgement::NoOpinion, |judge| {
        judge.judge(&ResponseView::new(status, headers))
    })
}

/// The same with the body, where the head was not enough and the body could be read.
pub(super) fn of_body(
    judge: Option<&ResponseJudge>,
    by_head: Judgement,
    status: StatusCode,
    headers: &HeaderMap,
    body: Option<&[u8]>,
) -> Judgement {
    match (by_head, judge, body) {
        (Judgement::NeedsBody, Some(judge), Some(body)) => {
            judge.judge(&ResponseView::new(status, headers).with_body(body))
        }
        (by_head, ..) => by_head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_shows_neither_headers_nor_body() {
        let mut headers = HeaderMap::new();
        headers.insert("set-cookie", http::HeaderValue::from_static("hunter2"));
        let view = ResponseView::new(StatusCode::OK, &headers).with_body(b"hunter2");
        let shown = format!(
            "{view:?} {:?}",
            ResponseJudge::new(|_| Judgement::NoOpinion)
        );
        assert!(
            shown.contains("200") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[test]
    fn no_more_of_a_body_is_seen_than_is_looked_at() {
        let headers = HeaderMap::new();
        let view = ResponseView::new(StatusCode::OK, &headers);
        for (length, seen) in [
            (0, 0),
            (LONGEST_LOOK, LONGEST_LOOK),
            (LONGEST_LOOK + 1, LONGEST_LOOK),
        ] {
            let body = vec![b'x'; length];
            assert_eq!(view.with_body(&body).body.map(<[u8]>::len), Some(seen));
        }
    }

    #[test]
    fn a_body_is_asked_for_once() {
        let headers = HeaderMap::new();
        let insists = ResponseJudge::new(|_| Judgement::NeedsBody);
        let by_head = of_head(Some(&insists), StatusCode::OK, &headers);
        assert_eq!(by_head, Judgement::NeedsBody);
        let by_body = of_body(Some(&insists), by_head, StatusCode::OK, &headers, Some(b""));
        assert_eq!(by_body, Judgement::NeedsBody);
        let view = ResponseView::new(StatusCode::UNAUTHORIZED, &headers);
        assert_eq!(insists.answer(&view, ()), Answer::Refused(()));
        assert_eq!(
            of_head(None, StatusCode::OK, &headers),
            Judgement::NoOpinion
        );
    }
}
