//! What comes back besides the value: the headers of a reply that are worth keeping.

use std::{
    cell::OnceCell,
    ops::Deref,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Secret, error::redact::Redactor, time::service_clock::Skew};

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
    /// `X-Request-Id`: what the vendor's support asks for. Cut to 128 characters; secrets of the call are replaced by
    /// `[REDACTED]`, here and in `trace_id`.
    pub request_id: Option<String>,
    /// `Trace-Id`.
    pub trace_id: Option<String>,
    /// The service's clock when it responded, from `Date`. Where a cache responded, it is the time of the response that was cached,
    /// and the SDK does not read the service's clock from it.
    pub date: Option<SystemTime>,
    /// How long the service worked on it, from `X-Envoy-Upstream-Service-Time`.
    pub service_time: Option<Duration>,
    /// What the service said of the store's request budget.
    pub budget: BudgetReading,
    /// How many attempts were made, the successful one included.
    pub attempts: u32,
    /// When the attempt that brought this reply was begun, on the client's clock.
    pub requested_at: SystemTime,
    /// Whether the headers say that a cache responded: then `date` is not the time of this response.
    pub(crate) is_cached: bool,
    /// By how much the service's clock differs, as far as it was known when this response had come.
    pub(crate) skew: Skew,
}

impl ReplyMeta {
    pub(crate) fn read(
        status: u16,
        headers: &HeaderMap,
        attempts: u32,
        requested_at: SystemTime,
        secrets: &[Secret],
    ) -> Self {
        let mut meta = Self {
            status,
            request_id: None,
            trace_id: None,
            date: None,
            service_time: None,
            budget: BudgetReading::default(),
            attempts,
            requested_at,
            is_cached: false,
            skew: Skew::None,
        };
        let redactor = OnceCell::new();
        let identifier = |text: &str| {
            redactor
                .get_or_init(|| Redactor::new(secrets))
                .identifier(text)
        };
        // One walk over what is there costs a fraction of looking for each of the names. Of a header that is there more
        // than once, the first value that can be read counts.
        for (name, value) in headers {
            let text = || value.to_str().ok();
            match name.as_str() {
                "x-request-id" => {
                    meta.request_id = meta.request_id.or_else(|| identifier(text()?));
                }
                "trace-id" => {
                    meta.trace_id = meta.trace_id.or_else(|| identifier(text()?));
                }
                "date" => meta.date = meta.date.or_else(|| http_date(text()?)),
                "x-envoy-upstream-service-time" => {
                    let millis = || text()?.trim().parse().ok().map(Duration::from_millis);
                    meta.service_time = meta.service_time.or_else(millis);
                }
                _ => {
                    meta.is_cached |= is_of_a_cache(name, value);
                    meta.budget.add(name, value);
                }
            }
        }
        meta
    }
}

impl ReplyMeta {
    /// The service's clock at the time of this response, if the response tells it.
    pub(crate) fn live_date(&self) -> Option<SystemTime> {
        self.date.filter(|_| !self.is_cached)
    }
}

/// Whether this header says that a cache responded: `Age`, or a hit such as `X-Cache: Hit from cloudfront`.
fn is_of_a_cache(name: &HeaderName, value: &HeaderValue) -> bool {
    match name.as_str() {
        "age" => true,
        "x-cache" | "x-cache-status" | "x-proxy-cache" | "cf-cache-status" | "cache-status" => {
            value
                .as_bytes()
                .windows(3)
                .any(|word| word.eq_ignore_ascii_case(b"hit"))
        }
        _ => false,
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
    fn read(headers: &HeaderMap) -> Self {
        let mut reading = Self::default();
        for (name, value) in headers {
            reading.add(name, value);
        }
        reading
    }

    /// Takes in a header, if it is one of the budget's. The vendor writes some of these names with "Request" and some with
    /// "Requests": both spellings of each are read. Where several values are there, the most careful one counts: the
    /// fewest requests and the longest time.
    fn add(&mut self, name: &HeaderName, value: &HeaderValue) {
        let values = || value.to_str().unwrap_or_default().split(',');
        match name.as_str() {
            "x-requests-allocated" | "x-request-allocated" => {
                for value in values() {
                    self.allocated = fewer(self.allocated, whole(value));
                    let window = value.split_once('/').and_then(|(_, rest)| seconds(rest));
                    self.window = self.window.max(window);
                }
            }
            "x-requests-remaining" | "x-request-remaining" => {
                for value in values() {
                    self.remaining = fewer(self.remaining, whole(value));
                }
            }
            "x-request-window-resets-after" | "x-requests-window-resets-after" => {
                for value in values() {
                    self.resets_after = self.resets_after.max(seconds(value));
                }
            }
            _ => {}
        }
    }
}

/// The lesser of two numbers, or the one that is there.
fn fewer(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

/// How long the service wants the caller to wait, the longest of the headers that may say so. Never more than a day.
pub(crate) fn wanted_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    // The service's own clock is the better reference, if the response tells it.
    let now = || live_date(headers).unwrap_or(now);
    texts(headers, "retry-after")
        .chain(texts(headers, "x-retry-after"))
        .filter_map(|value| longest_of_list(value).or_else(|| time_until(value, now())))
        .max()
}

/// As [`wanted_wait`], for a 429, where the time until the budget is there again counts as well. On any other reply it
/// says nothing of when to try again.
pub(crate) fn wanted_wait_for_budget(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let reset = texts(headers, "x-rate-limit-time-reset-ms")
        .flat_map(|list| list.split(','))
        .filter_map(leading_number)
        .map(|millis| bounded(millis / 1000.0))
        .max();
    [
        wanted_wait(headers, now),
        reset,
        BudgetReading::read(headers).resets_after,
    ]
    .into_iter()
    .flatten()
    .max()
}

/// The values of a header that are text. A header may be there more than once, and none of its values hides another.
fn texts<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(HeaderName::from_static(name))
        .iter()
        .filter_map(|value| value.to_str().ok())
}

/// The service's clock, unless a cache responded.
fn live_date(headers: &HeaderMap) -> Option<SystemTime> {
    if headers
        .iter()
        .any(|(name, value)| is_of_a_cache(name, value))
    {
        return None;
    }
    texts(headers, "date").find_map(http_date)
}

fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

/// The number that a value starts with; its unit, as in `150 times` or `0.39 s`, is ignored. Too many digits make it
/// infinite, which [`bounded`] brings down.
fn leading_number(value: &str) -> Option<f64> {
    let value = value.trim_start();
    let end = value
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(value.len());
    let (number, rest) = value.split_at_checked(end)?;
    // A date in a form that HTTP does not have, such as 2026-11-24T10:00:00Z, is no wait of 2026 seconds.
    if rest.starts_with(['-', ':']) {
        return None;
    }
    number.parse().ok()
}

fn whole(value: &str) -> Option<u64> {
    let value = value.trim_start();
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

fn seconds(value: &str) -> Option<Duration> {
    leading_number(value).map(bounded)
}

/// The longest of seconds that a proxy has joined to a list. A date has a comma as well, but starts with a letter.
fn longest_of_list(list: &str) -> Option<Duration> {
    list.trim_start()
        .starts_with(|c: char| c.is_ascii_digit() || c == '.')
        .then(|| list.split(',').filter_map(seconds).max())?
}

/// How long it is from `now` until a date; nothing, if that is past.
fn time_until(date: &str, now: SystemTime) -> Option<Duration> {
    let until = httpdate::parse_http_date(date).ok()?;
    Some(until.duration_since(now).unwrap_or_default().min(LONGEST))
}

/// A wait of more than a day is a mistake of whoever wrote it, and would overflow clocks that are added to.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Of a number that is not negative, and may be infinite.
fn bounded(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(LONGEST, |wait| wait.min(LONGEST))
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
            // A cached `Date` is not the service's clock.
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"),
                    ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
                    ("age", "30"),
                ][..],
                Some(10),
            ),
            (
                &[
                    ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"),
                    ("date", "Sun, 06 Nov 1994 08:49:07 GMT"),
                    ("x-cache", "MISS"),
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
            (&[("retry-after", "2026-11-24T10:00:00Z")][..], None),
            (
                &[("x-retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")][..],
                Some(10),
            ),
            (
                &[("retry-after", "Sunday, 06-Nov-94 08:49:47 GMT")][..],
                Some(10),
            ),
            (&[("retry-after", "Sun Nov  6 08:49:47 1994")][..], Some(10)),
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
    fn a_wait_is_bounded_to_a_day_however_it_is_written() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let digits = "9".repeat(400);
        for (name, value) in [
            ("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("retry-after", "99999999999999999999999"),
            ("x-retry-after", &digits),
            (
                "x-rate-limit-time-reset-ms",
                "99999999999999999999999999999",
            ),
            (
                "x-request-window-resets-after",
                "1000000000000000000000.5 s",
            ),
        ] {
            assert_eq!(
                wanted_wait_for_budget(&headers(&[(name, value)]), now),
                Some(Duration::from_secs(86_400)),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn absurdly_long_numbers_are_harmless_in_any_header() {
        let digits = "9".repeat(100_000);
        let fraction = format!("0.{digits}");
        for value in [&digits, &fraction] {
            let set = [
                ("x-requests-allocated", format!("{value} times/{value} s")),
                ("x-requests-remaining", format!("{value} times")),
                ("x-request-window-resets-after", format!("{value} s")),
                ("x-envoy-upstream-service-time", value.clone()),
                ("date", value.clone()),
            ];
            let set = set.each_ref().map(|(name, value)| (*name, value.as_str()));
            let meta = ReplyMeta::read(200, &headers(&set), 1, SystemTime::UNIX_EPOCH, &[]);
            let reading = meta.budget;
            let is_believed = |count: Option<u64>| count.is_some_and(|count| count > 0);
            assert!(!is_believed(reading.allocated) && !is_believed(reading.remaining));
            assert!(reading.window <= Some(LONGEST) && reading.resets_after <= Some(LONGEST));
            assert_eq!((meta.service_time, meta.date), (None, None));
        }
    }

    #[test]
    fn a_header_that_is_there_twice_hides_nothing() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for set in [
            &[("retry-after", "2"), ("retry-after", "9")][..],
            &[("retry-after", "9"), ("retry-after", "2")][..],
            &[("retry-after", "soon"), ("retry-after", "9")][..],
            &[("retry-after", "2, 9")][..],
            &[
                ("retry-after", "2"),
                ("retry-after", "Sun, 06 Nov 1994 08:49:46 GMT"),
            ][..],
            &[("x-rate-limit-time-reset-ms", "2000, 9000")][..],
            &[
                ("x-request-window-resets-after", "2 s"),
                ("x-requests-window-resets-after", "9 s"),
            ][..],
        ] {
            assert_eq!(
                wanted_wait_for_budget(&headers(set), now),
                Some(Duration::from_secs(9)),
                "{set:?}"
            );
        }
        let reading = BudgetReading::read(&headers(&[
            ("x-requests-remaining", "unknown"),
            ("x-requests-remaining", "12 times"),
            ("x-request-remaining", "3"),
            ("x-requests-allocated", "150 times/60 s, 100 times/60 s"),
        ]));
        assert_eq!((reading.remaining, reading.allocated), (Some(3), Some(100)));
    }

    #[test]
    fn the_date_of_a_cached_response_is_not_the_services_clock() {
        let date = ("date", "Sun, 06 Nov 1994 08:49:07 GMT");
        for (header, is_live) in [
            (("via", "1.1 google"), true),
            (("x-cache", "MISS, MISS"), true),
            (("cache-status", "edge; fwd=miss"), true),
            (("cf-cache-status", "DYNAMIC"), true),
            (("age", "0"), false),
            (("age", "soon"), false),
            (("x-cache", "Hit from cloudfront"), false),
            (("x-cache-status", "HIT"), false),
            (("cf-cache-status", "HIT"), false),
            (("cache-status", "edge; hit"), false),
            (("x-proxy-cache", "TCP_HIT"), false),
        ] {
            let set = headers(&[date, header]);
            let meta = ReplyMeta::read(200, &set, 1, SystemTime::UNIX_EPOCH, &[]);
            assert!(meta.date.is_some(), "{header:?}");
            assert_eq!(meta.live_date().is_some(), is_live, "{header:?}");
        }
    }

    #[test]
    fn identifiers_are_cut_to_what_a_log_line_can_hold() {
        let long = "a".repeat(500);
        let meta = ReplyMeta::read(
            200,
            &headers(&[("x-request-id", &long), ("trace-id", "a b")]),
            1,
            SystemTime::UNIX_EPOCH,
            &[],
        );
        assert_eq!(meta.request_id.map(|id| id.len()), Some(128));
        assert_eq!(meta.trace_id.as_deref(), Some("ab"));
    }

    #[test]
    fn identifiers_show_no_secret_of_the_call() {
        let secrets = ["correct-horse".into()];
        let jwt = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln";
        // Where it is cut, half of a secret would be left.
        let cut = format!("{}correct-horse", "a".repeat(120));
        for (value, expected) in [
            ("of-correct-horse-7", "of-[REDACTED]-7"),
            ("correct- horse", "[REDACTED]"),
            (jwt, "[REDACTED]"),
            (&cut, &format!("{}[REDACTE", "a".repeat(120))),
        ] {
            let set = headers(&[("x-request-id", value), ("trace-id", value)]);
            let meta = ReplyMeta::read(200, &set, 1, SystemTime::UNIX_EPOCH, &secrets);
            assert_eq!(meta.request_id.as_deref(), Some(expected));
            assert_eq!(meta.trace_id.as_deref(), Some(expected));
            assert!(!format!("{meta:?}").contains("horse"), "{meta:?}");
        }
    }
}
