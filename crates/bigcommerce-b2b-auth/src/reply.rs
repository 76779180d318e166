//! What comes back besides the value: the headers of a reply that are worth keeping.

use std::{
    ops::Deref,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName};

/// A value and the reply that brought it. Dereferences to the value.
#[derive(Debug, Clone)]
pub struct Reply<T> {
    value: T,
    meta: ReplyMeta,
}

impl<T> Reply<T> {
    pub(crate) fn new(value: T, meta: ReplyMeta) -> Self {
        Self { value, meta }
    }

    /// The value alone.
    #[must_use]
    pub fn into_value(self) -> T {
        self.value
    }

    /// The value and what the reply said besides.
    #[must_use]
    pub fn into_parts(self) -> (T, ReplyMeta) {
        (self.value, self.meta)
    }

    /// What the reply said besides.
    #[must_use]
    pub fn meta(&self) -> &ReplyMeta {
        &self.meta
    }
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Status, identifiers, time and budget of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyMeta {
    /// The HTTP status.
    pub status: u16,
    /// `X-Request-Id`: what the vendor's support asks for.
    pub request_id: Option<String>,
    /// `Trace-Id`.
    pub trace_id: Option<String>,
    /// The service's clock, from `Date`.
    pub date: Option<SystemTime>,
    /// How long the service worked on it, from `X-Envoy-Upstream-Service-Time`.
    pub service_time: Option<Duration>,
    /// What the service said of the store's request budget.
    pub budget: BudgetReading,
    /// How many attempts were made, the successful one included.
    pub attempts: u32,
    /// When the attempt that brought this reply was begun, on the client's clock.
    pub requested_at: SystemTime,
}

impl ReplyMeta {
    pub(crate) fn read(
        status: u16,
        headers: &HeaderMap,
        attempts: u32,
        requested_at: SystemTime,
    ) -> Self {
        Self {
            status,
            request_id: identifier(headers, "x-request-id"),
            trace_id: identifier(headers, "trace-id"),
            date: text(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok()),
            service_time: text(headers, "x-envoy-upstream-service-time")
                .and_then(|millis| millis.trim().parse().ok())
                .map(Duration::from_millis),
            budget: BudgetReading::read(headers),
            attempts,
            requested_at,
        }
    }
}

/// What the headers of one reply say of the store's request budget. The service counts all integrations of a store
/// together; a header that is missing or unreadable is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct BudgetReading {
    /// Requests in a window, from `X-Requests-Allocated: 150 times/60 s`.
    pub allocated: Option<u64>,
    /// Length of the window, from the same header.
    pub window: Option<Duration>,
    /// Requests left in this window, from `X-Requests-Remaining`.
    pub remaining: Option<u64>,
    /// Time until the window starts anew, from `X-Request-Window-Resets-After`.
    pub resets_after: Option<Duration>,
}

impl BudgetReading {
    /// The vendor writes some of these names with "Request" and some with "Requests": both spellings of each are read.
    fn read(headers: &HeaderMap) -> Self {
        let either = |one: &'static str, other: &'static str| {
            text(headers, one).or_else(|| text(headers, other))
        };
        let allocated = either("x-requests-allocated", "x-request-allocated");
        Self {
            allocated: allocated.and_then(whole),
            window: allocated
                .and_then(|value| value.split_once('/'))
                .and_then(|(_, window)| seconds(window)),
            remaining: either("x-requests-remaining", "x-request-remaining").and_then(whole),
            resets_after: either(
                "x-request-window-resets-after",
                "x-requests-window-resets-after",
            )
            .and_then(seconds),
        }
    }
}

/// How long the service wants the caller to wait, the longest of the headers that may say so.
pub(crate) fn wanted_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = |value: &str| {
        let until = httpdate::parse_http_date(value).ok()?;
        // The service's own clock is the better reference, if the reply tells it.
        let now = text(headers, "date")
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .unwrap_or(now);
        Some(until.duration_since(now).unwrap_or_default())
    };
    [
        text(headers, "retry-after").and_then(|value| seconds(value).or_else(|| date(value))),
        text(headers, "x-retry-after").and_then(seconds),
    ]
    .into_iter()
    .flatten()
    .max()
}

/// As [`wanted_wait`], for a 429, where the time until the budget is there again counts as well. On any other reply it
/// says nothing of when to try again.
pub(crate) fn wanted_wait_for_budget(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    [
        wanted_wait(headers, now),
        text(headers, "x-rate-limit-time-reset-ms")
            .and_then(leading_number)
            .and_then(|millis| bounded(millis / 1000.0)),
        BudgetReading::read(headers).resets_after,
    ]
    .into_iter()
    .flatten()
    .max()
}

fn text<'h>(headers: &'h HeaderMap, name: &'static str) -> Option<&'h str> {
    headers.get(HeaderName::from_static(name))?.to_str().ok()
}

/// An identifier goes into messages and logs: it is cut to what an identifier looks like.
fn identifier(headers: &HeaderMap, name: &'static str) -> Option<String> {
    const LONGEST: usize = 128;
    let id: String = text(headers, name)?
        .chars()
        .filter(char::is_ascii_graphic)
        .take(LONGEST)
        .collect();
    (!id.is_empty()).then_some(id)
}

/// The number that a value starts with; its unit, as in `150 times` or `0.39 s`, is ignored.
fn leading_number(value: &str) -> Option<f64> {
    let value = value.trim_start();
    let end = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

fn whole(value: &str) -> Option<u64> {
    let value = value.trim_start();
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

fn seconds(value: &str) -> Option<Duration> {
    bounded(leading_number(value)?)
}

/// A wait of more than a day is a mistake of whoever wrote it, and would overflow clocks that are added to.
fn bounded(seconds: f64) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(set: &[(&'static str, &str)]) -> HeaderMap {
        set.iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    value.parse().expect("a header value"),
                )
            })
            .collect()
    }

    #[test]
    fn budget_headers_are_read_with_and_without_units_in_both_spellings() {
        let with_units = BudgetReading::read(&headers(&[
            ("x-requests-allocated", "150 times/60 s"),
            ("x-requests-window-length", "0 times"),
            ("x-requests-remaining", "149 times"),
            ("x-request-window-resets-after", "0.3973509933774834 s"),
        ]));
        assert_eq!(with_units.allocated, Some(150));
        assert_eq!(with_units.window, Some(Duration::from_secs(60)));
        assert_eq!(with_units.remaining, Some(149));
        assert_eq!(
            with_units.resets_after.map(|time| time.as_millis()),
            Some(397)
        );
        let bare = BudgetReading::read(&headers(&[
            ("x-request-allocated", "150"),
            ("x-request-remaining", "3"),
            ("x-requests-window-resets-after", "12"),
        ]));
        assert_eq!(
            (
                bare.allocated,
                bare.window,
                bare.remaining,
                bare.resets_after
            ),
            (Some(150), None, Some(3), Some(Duration::from_secs(12)))
        );
    }

    #[test]
    fn unreadable_budget_headers_are_left_out() {
        for bad in [
            "",
            "times",
            "-1",
            "..",
            "NaN",
            "1.2.3",
            "99999999999999999999999",
        ] {
            let reading = BudgetReading::read(&headers(&[
                ("x-requests-allocated", bad),
                ("x-requests-remaining", bad),
            ]));
            assert_eq!(reading.window, None, "{bad}");
            assert!(reading.remaining.is_none_or(|left| left == 1), "{bad}");
        }
    }

    #[test]
    fn the_longest_wish_wins_whatever_header_states_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (set, expected) in [
            (&[][..], None),
            (&[("retry-after", "7")][..], Some(7)),
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")][..],
                Some(10),
            ),
            (
                &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")][..],
                Some(0),
            ),
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"),
                    ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
                ][..],
                Some(40),
            ),
            (&[("retry-after", "2"), ("x-retry-after", "9")][..], Some(9)),
            (
                &[
                    ("x-rate-limit-time-reset-ms", "15000"),
                    ("retry-after", "2"),
                ][..],
                Some(15),
            ),
            (&[("x-request-window-resets-after", "3.0 s")][..], Some(3)),
            (&[("retry-after", "soon")][..], None),
            (&[("retry-after", "1e400")][..], Some(1)),
            (&[("retry-after", "999999999999")][..], Some(86_400)),
        ] {
            assert_eq!(
                wanted_wait_for_budget(&headers(set), now),
                expected.map(Duration::from_secs),
                "{set:?}"
            );
        }
        // Of a reply that is no 429, the window says nothing.
        let window = headers(&[
            ("x-request-window-resets-after", "3.0 s"),
            ("retry-after", "2"),
        ]);
        assert_eq!(wanted_wait(&window, now), Some(Duration::from_secs(2)));
    }

    #[test]
    fn identifiers_are_cut_to_what_a_log_line_can_hold() {
        let long = "a".repeat(500);
        let meta = ReplyMeta::read(
            200,
            &headers(&[("x-request-id", &long), ("trace-id", "a b")]),
            1,
            SystemTime::UNIX_EPOCH,
        );
        assert_eq!(meta.request_id.map(|id| id.len()), Some(128));
        assert_eq!(meta.trace_id.as_deref(), Some("ab"));
    }
}
