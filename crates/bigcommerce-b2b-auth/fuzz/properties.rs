//! What holds for the readers of foreign bytes, whatever the bytes are. Compiled for tests and for the fuzzer alone:
//! `fuzz/fuzz_targets` calls these functions with what it makes up, and the test below with every file of `fuzz/corpus`.
//!
//! A property is stated by a second, slower reading wherever there is one, and not by what the first one does.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a property that does not hold is to panic: that is what a finding is"
)]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::{
    BodyCode, BudgetReading, Claims, CustomerId, ReplyMeta, Secret,
    pipeline::{
        error_body::{Problem, is_success, read_problem},
        response::{wanted_wait, wanted_wait_for_budget},
    },
    token::claims::Holder,
};

#[cfg(feature = "snapshot")]
pub use crate::token_cache::snapshot::fuzzing::snapshot;

/// What a call may have sent: a word, words, and digits. The dictionaries of the fuzzer have them too.
const SECRETS: [&str; 3] = ["canary-7f3a9c", "pass word 42", "20261124"];

/// What a reply says and nobody is to repeat: it occurs in no corpus and no dictionary.
const UNSAID: &str = "q9Xb-unsaid-2LwZ";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The body of a reply, as a success and as a failure.
pub fn envelope(bytes: &[u8]) {
    envelope_of(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    // The same text where the service's own words stand, around what was sent; one of these at a time is fast enough
    // for the fuzzer to try them all.
    let secret = SECRETS[bytes.len() % SECRETS.len()];
    let body = match bytes.first().map(|first| first % 3) {
        Some(0) => {
            json!({"code": text, "data": {"errMsg": format!("{text}{secret}{text}")}})
        }
        Some(1) => {
            json!({"code": 400, "data": {text: [text, secret]}, "meta": {"message": text}})
        }
        _ => json!({"title": text, "errors": {secret: text}}),
    };
    envelope_of(body.to_string().as_bytes());
    // Alone in an envelope that says 200, nothing makes it a failure; nothing makes a 422 a success.
    let json: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    for code in [json!(200), json!("200"), json!(200.0)] {
        let body = json!({"code": code, "data": json});
        assert!(is_success(body.to_string().as_bytes()), "{body}");
    }
    for code in [json!(422), json!("422"), json!(422.5), json!(-200)] {
        let body = json!({"code": code, "data": json});
        assert!(!is_success(body.to_string().as_bytes()), "{body}");
    }
}

fn envelope_of(body: &[u8]) {
    let secrets = SECRETS.map(Secret::from);
    let problem = read_problem(body, &secrets);
    assert_eq!(
        problem,
        read_problem(body, &secrets),
        "read twice, two things"
    );
    presentable(&problem);
    let shown = format!("{problem:?} {}", texts(&problem).join("\n"));
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{secret} is repeated: {shown}");
    }

    let unredacted = read_problem(body, &[]);
    presentable(&unredacted);
    assert_eq!(unredacted.unreadable, problem.unreadable);
    assert!(
        unredacted.message.is_some() == problem.message.is_some(),
        "redaction hides that there is a message: {problem:?}"
    );

    let success = is_success(body);
    assert_eq!(success, is_success(body), "judged twice, two verdicts");
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        assert!(problem.unreadable.is_some() && problem.message.is_none());
        return;
    };
    assert!(
        problem.unreadable.is_none(),
        "what can be read is described"
    );
    let Some(fields) = json.as_object() else {
        assert!(success, "what is no object is for the parser to refuse");
        return;
    };
    match fields.get("code") {
        Some(code) if decides(code).is_some() => {
            assert_eq!(Some(success), decides(code), "{json}");
        }
        // Nothing decides: then it is a success if there is nothing to say of it as a failure.
        _ => {
            let status = fields.get("status").map(plain).unwrap_or_default();
            let failed = status.trim().parse().is_ok_and(|status: f64| {
                status.is_finite() && status.fract() == 0.0 && status >= 300.0
            });
            let silent = unredacted.message.is_none() && unredacted.reason.is_none();
            assert_eq!(success, silent && !failed, "{json}");
        }
    }
}

/// What a code decides by itself, told by its digits.
fn decides(code: &Value) -> Option<bool> {
    if !(code.is_number() || code.is_string()) {
        return None;
    }
    let text = plain(code);
    let text = text.trim();
    let text = if code.is_number() {
        text.strip_suffix(".0").unwrap_or(text)
    } else {
        text.strip_prefix('+').unwrap_or(text)
    };
    let digits = text.trim_start_matches('0');
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let zero = number && digits.is_empty() || matches!(text, "-0" | "-0.0");
    let word = text.eq_ignore_ascii_case("success") || text.eq_ignore_ascii_case("ok");
    if zero || (word && code.is_string()) {
        return None;
    }
    Some(number && digits.len() == 3 && digits.starts_with('2'))
}

/// A text as it is, anything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn texts(problem: &Problem) -> Vec<String> {
    let code = problem.code.as_ref().map(BodyCode::to_string);
    [code, problem.message.clone(), problem.reason.clone()]
        .into_iter()
        .flatten()
        .collect()
}

/// Fit for a line of a log.
fn presentable(problem: &Problem) {
    for text in texts(problem) {
        assert!(text.chars().count() <= 500, "too long: {text:?}");
        assert!(
            !text.contains(char::is_control) && text.lines().count() <= 1,
            "more than a line: {text:?}"
        );
        assert_eq!(
            text.trim(),
            text,
            "a message with space around it: {text:?}"
        );
        assert!(
            !text
                .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.'))
                .any(|word| {
                    word.split_once("eyJ")
                        .is_some_and(|(_, rest)| rest.len() > 17)
                }),
            "a token: {text:?}"
        );
    }
    assert!(problem.message.as_deref() != Some(""), "an empty message");
    assert!(
        problem.reason.is_none() || problem.reason != problem.message,
        "the same twice"
    );
    if let Some(described) = &problem.unreadable {
        assert!(described.len() < 80 && texts(problem).is_empty());
    }
}

/// The headers of a reply, as lines of `name: value`.
pub fn headers(bytes: &[u8]) {
    /// More than a reply has that means well; the property of the longest takes each of them once more.
    const MOST_LINES: usize = 32;
    // In January 2027.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut headers = HeaderMap::new();
    let mut longest = None;
    let mut longest_for_budget = None;
    let lines = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        Some((
            HeaderName::from_bytes(name).ok()?,
            HeaderValue::from_bytes(value[1..].trim_ascii()).ok()?,
        ))
    });
    for (name, value) in lines.take(MOST_LINES) {
        // Another clock to measure dates by may make a wait shorter, and so may that it is no clock.
        let resets = name == http::header::DATE
            || name == http::header::AGE
            || name.as_str().contains("cache");
        headers.append(name, value);
        let wait = wanted_wait(&headers, now);
        let for_budget = wanted_wait_for_budget(&headers, now);
        if !resets {
            assert!(wait >= longest, "a header made it shorter: {headers:?}");
            assert!(
                for_budget >= longest_for_budget,
                "a header made it shorter: {headers:?}"
            );
        }
        assert!(for_budget >= wait, "{headers:?}");
        assert!(for_budget.is_none_or(|wait| wait <= DAY), "{headers:?}");
        (longest, longest_for_budget) = (wait, for_budget);
    }
    close(longest, slow_wait(&headers, now, false), &headers);
    close(longest_for_budget, slow_wait(&headers, now, true), &headers);
    reply_meta(headers, now);
}

fn reply_meta(mut headers: HeaderMap, now: SystemTime) {
    for name in ["set-cookie", "authorization", "x-auth-token"] {
        headers.append(name, HeaderValue::from_static(UNSAID));
    }
    let meta = ReplyMeta::read(429, &headers, 3, now, &[]);
    assert_eq!(meta, ReplyMeta::read(429, &headers, 3, now, &[]));
    assert_eq!(
        (meta.status, meta.attempts, meta.requested_at),
        (429, 3, now)
    );
    let shown = format!("{meta:?}");
    assert!(!shown.contains(UNSAID), "{shown}");
    for id in [&meta.request_id, &meta.trace_id].into_iter().flatten() {
        assert!(
            (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()),
            "{id:?}"
        );
    }
    if let Some(date) = meta.date {
        let written = httpdate::fmt_http_date(date);
        assert_eq!(httpdate::parse_http_date(&written).ok(), Some(date));
    }
    let budget = meta.budget;
    for time in [budget.window, budget.resets_after].into_iter().flatten() {
        assert!(time <= DAY, "{budget:?}");
    }
    // Written as the service writes it, it reads as the same.
    let mut written = HeaderMap::new();
    let mut write = |name: &'static str, value: String| {
        let value = HeaderValue::try_from(value).ok();
        assert!(value.is_some_and(|value| written.insert(name, value).is_none()));
    };
    if budget.allocated.is_some() || budget.window.is_some() {
        let requests = budget.allocated.map(|requests| format!("{requests} times"));
        let window = budget
            .window
            .map(|window| format!("/{} s", window.as_secs_f64()));
        write(
            "x-requests-allocated",
            format!(
                "{}{}",
                requests.unwrap_or_default(),
                window.unwrap_or_default()
            ),
        );
    }
    if let Some(remaining) = budget.remaining {
        write("x-requests-remaining", format!("{remaining} times"));
    }
    if let Some(resets_after) = budget.resets_after {
        write(
            "x-request-window-resets-after",
            format!("{} s", resets_after.as_secs_f64()),
        );
    }
    let again = ReplyMeta::read(200, &written, 1, now, &[]).budget;
    assert_eq!(again, budget, "{written:?}");
    slow_budget(&headers, &budget);
}

/// As near as a float is to decimal digits.
fn close(wait: Option<Duration>, slow: Option<Duration>, headers: &HeaderMap) {
    let near = match (wait, slow) {
        (Some(wait), Some(slow)) => wait.abs_diff(slow) <= Duration::from_micros(1),
        (wait, slow) => wait == slow,
    };
    assert!(near, "{wait:?} is not {slow:?}: {headers:?}");
}

/// The wait again, by decimal digits and over all headers.
fn slow_wait(headers: &HeaderMap, now: SystemTime, for_budget: bool) -> Option<Duration> {
    let text = |name| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|it| it.to_str().ok())
    };
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let is_cached = headers.contains_key("age")
        || [
            "x-cache",
            "x-cache-status",
            "x-proxy-cache",
            "cf-cache-status",
            "cache-status",
        ]
        .into_iter()
        .flat_map(|name| headers.get_all(name))
        .any(|value| {
            String::from_utf8_lossy(value.as_bytes())
                .to_ascii_lowercase()
                .contains("hit")
        });
    let now = text("date")
        .find_map(date)
        .filter(|_| !is_cached)
        .unwrap_or(now);
    let mut waits = Vec::new();
    for value in ["retry-after", "x-retry-after"].into_iter().flat_map(text) {
        if value
            .trim()
            .starts_with(|c: char| "0123456789.".contains(c))
        {
            waits.extend(value.split(',').filter_map(|it| nanos(it, 1_000_000_000)));
        }
        // A date that starts with a digit is none of HTTP's.
        waits.extend(date(value).map(|date| date.duration_since(now).unwrap_or(Duration::ZERO)));
    }
    if for_budget {
        for (name, unit) in [
            ("x-rate-limit-time-reset-ms", 1_000_000),
            ("x-request-window-resets-after", 1_000_000_000),
            ("x-requests-window-resets-after", 1_000_000_000),
        ] {
            let list = text(name).flat_map(|value| value.split(','));
            waits.extend(list.filter_map(|it| nanos(it, unit)));
        }
    }
    waits.into_iter().max().map(|wait| wait.min(DAY))
}

/// The decimal number at the start, in units of so many nanoseconds.
fn nanos(value: &str, unit: u128) -> Option<Duration> {
    let value = value.trim_start();
    let number: String = value
        .chars()
        .take_while(|c| matches!(c, '0'..='9' | '.'))
        .collect();
    let end = value.chars().nth(number.len());
    if matches!(end, Some('-' | ':')) || !number.contains(|c: char| c != '.') {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if fraction.contains('.') {
        return None;
    }
    let mut sum: u128 = 0;
    for digit in whole.bytes() {
        sum = sum
            .saturating_mul(10)
            .saturating_add(u128::from(digit - b'0') * unit);
    }
    let mut unit = unit * 1_000_000;
    let mut rest: u128 = 0;
    for digit in fraction.bytes() {
        unit /= 10;
        rest += u128::from(digit - b'0') * unit;
    }
    let sum = sum.saturating_add(rest / 1_000_000);
    Some(u64::try_from(sum).map_or(DAY, Duration::from_nanos))
}

/// No value of a budget is more generous than any header that states it.
fn slow_budget(headers: &HeaderMap, budget: &BudgetReading) {
    for (names, read) in [
        (
            ["x-requests-allocated", "x-request-allocated"],
            budget.allocated,
        ),
        (
            ["x-requests-remaining", "x-request-remaining"],
            budget.remaining,
        ),
    ] {
        let stated = names
            .into_iter()
            .flat_map(|name| headers.get_all(name))
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|value| {
                let value = value.trim_start();
                value
                    .split(|c: char| !c.is_ascii_digit())
                    .next()?
                    .parse::<u64>()
                    .ok()
            });
        assert_eq!(stated.min(), read, "{headers:?}");
    }
}

/// A token, as it came and as the claims of one.
pub fn claims(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        claims_of(text, slow_claims(text));
    }
    let jwt = format!("{UNSAID}.{}.{UNSAID}", to_base64url(bytes));
    claims_of(&jwt, serde_json::from_slice(bytes).ok());
}

fn claims_of(jwt: &str, slow: Option<Value>) {
    let slow = slow.filter(Value::is_object);
    let claims = match Claims::read_unverified(jwt) {
        Ok(claims) => claims,
        Err(error) => {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(UNSAID), "{shown}");
            assert!(shown.len() < 1000, "the error repeats the text: {shown}");
            assert_eq!(slow, None, "a readable token is refused");
            return;
        }
    };
    let Some(slow) = slow else {
        panic!("what is no token is read: {claims:?}");
    };
    assert_eq!(Claims::read_unverified(jwt).ok().as_ref(), Some(&claims));
    let shown = format!("{claims:?}");
    assert!(
        !shown.contains(UNSAID) || slow.to_string().contains(UNSAID),
        "{shown}"
    );
    for (name, read) in [
        ("exp", claims.expires_at),
        ("iat", claims.issued_at),
        ("nbf", claims.not_before),
    ] {
        same_time(&slow[name], read);
    }
    let id = match slow.get("bc_customer_id") {
        Some(id) => id,
        None => &slow["customer"]["id"],
    };
    let id = match id {
        Value::Number(id) => id.to_string().parse().ok(),
        Value::String(id) => id.parse::<i64>().ok(),
        _ => None,
    };
    assert_eq!(claims.customer_id, id, "{slow}");
    assert_eq!(claims.store_hash.as_deref(), slow["store_hash"].as_str());
    match claims.expires_at {
        Some(end) => {
            assert!(claims.is_expired_at(end));
            assert!(!claims.is_expired_at(end - Duration::from_secs(1)));
        }
        None => assert!(!claims.is_expired_at(SystemTime::UNIX_EPOCH + 365_000 * DAY)),
    }
    inspected(jwt, &claims);
}

/// What the SDK acts on agrees with the claims that it shows.
fn inspected(jwt: &str, claims: &Claims) {
    let without_request = Holder::default().inspect(jwt);
    assert!(!without_request.is_mismatch);
    assert_eq!(without_request.expires_at, claims.expires_at);
    assert_eq!(without_request.not_before, claims.not_before);
    let is_mismatch = |customer: Option<i64>, store_hash| {
        let customer = customer.and_then(|id| CustomerId::new(id).ok());
        let holder = Holder {
            customer,
            store_hash,
        };
        holder.inspect(jwt).is_mismatch
    };
    // A token that names a customer or a store does not suit every other one.
    if claims.customer_id.is_some() {
        assert!(is_mismatch(Some(1), None) || is_mismatch(Some(2), None));
    }
    let store = claims.store_hash.as_deref().unwrap_or_default();
    if !store.trim().is_empty() {
        assert!(is_mismatch(None, Some("one")) || is_mismatch(None, Some("another")));
    }
}

/// The body of a GraphQL reply: does it refuse the token, and was anything done?
#[cfg(feature = "tokens")]
pub fn graphql(bytes: &[u8]) {
    use crate::storefront::fuzzing::of_graphql;

    let verdict = of_graphql(bytes);
    assert_eq!(verdict, of_graphql(bytes), "judged twice, two verdicts");
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        // What is not looked at may be damaged: bytes that are no text among the data, say.
        let names_errors = bytes.windows(6).any(|word| word == b"errors");
        let is_escaped = bytes.contains(&b'\\');
        assert!(
            verdict.is_none() || names_errors || is_escaped,
            "it says nothing of errors"
        );
        return;
    };
    // Written anew, each name is there once: which of two counts is nobody's business.
    let refuses = |reply: &Value| {
        let errors = reply["errors"].as_array();
        errors.into_iter().flatten().any(|error| {
            let extensions = &error["extensions"];
            let bare = error["message"]
                .as_str()
                .map(|message| message.trim().to_ascii_lowercase());
            if error.is_object() && extensions.is_null() {
                bare.as_deref() == Some("jwt verification failed")
            } else {
                extensions["code"] == json!(40101)
                    || extensions["code"]
                        .as_str()
                        .is_some_and(|code| code.trim().parse::<i128>() == Ok(40101))
            }
        })
    };
    let has_data = |reply: &Value| {
        let fields = reply["data"].as_object();
        fields
            .into_iter()
            .flatten()
            .any(|(_, value)| !value.is_null())
    };
    let expected = flat(&json).and_then(|replies| {
        let refused = replies.iter().any(|reply| refuses(reply));
        refused.then(|| replies.iter().any(|reply| has_data(reply)))
    });
    let text = json.to_string();
    assert_eq!(of_graphql(text.as_bytes()), expected, "{text}");
}

/// The replies of a batch, or the one that there is; `None` when any of them is none.
#[cfg(feature = "tokens")]
fn flat(json: &Value) -> Option<Vec<&Value>> {
    match json {
        Value::Array(replies) => {
            let flat: Option<Vec<_>> = replies.iter().map(flat).collect();
            flat.map(|replies| replies.concat())
        }
        Value::Object(fields) => {
            let data = fields.get("data").unwrap_or(&Value::Null);
            (data.is_null() || data.is_object()).then(|| vec![json])
        }
        _ => None,
    }
}

/// A claim of a time says the second that was read from it, and none that no calendar has.
fn same_time(claim: &Value, read: Option<SystemTime>) {
    let seconds = match claim {
        Value::Number(number) => number.to_string().parse::<f64>().ok(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    // What lies before 1970 has passed, and so has 1970.
    let seconds = seconds
        .filter(|seconds| seconds.is_finite() && *seconds <= 253_402_300_799.0)
        .map(|seconds| seconds.max(0.0));
    let Some(read) = read else {
        assert_eq!(seconds, None, "{claim} was not read");
        return;
    };
    let Ok(since) = read.duration_since(SystemTime::UNIX_EPOCH) else {
        panic!("{claim} was read as a time before 1970");
    };
    assert!(
        seconds.is_some_and(|seconds| (since.as_secs_f64() - seconds).abs() < 0.001),
        "{claim} was read as {since:?}"
    );
    // It can be shown.
    assert!(httpdate::fmt_http_date(read).ends_with("GMT"));
    assert!(!humantime::format_rfc3339(read).to_string().is_empty());
}

/// The middle one of three parts, by bits.
fn slow_claims(jwt: &str) -> Option<Value> {
    let parts: Vec<&str> = jwt.trim().split('.').collect();
    let [_, claims, _] = parts.as_slice() else {
        return None;
    };
    let unpadded = claims.trim_end_matches('=');
    let padding = claims.len() - unpadded.len();
    // A group of four is whole, or two or three with as much padding as the sender likes up to four.
    let last = unpadded.len() % 4;
    if last == 1 || (padding > 0 && (last == 0 || last + padding > 4)) {
        return None;
    }
    let mut bits = String::new();
    for c in unpadded.bytes() {
        let place = ALPHABET.iter().position(|it| *it == c)?;
        bits.push_str(&format!("{place:06b}"));
    }
    let bytes: Vec<u8> = bits
        .as_bytes()
        .chunks_exact(8)
        .filter_map(|bits| u8::from_str_radix(std::str::from_utf8(bits).ok()?, 2).ok())
        .collect();
    serde_json::from_slice(&bytes).ok()
}

fn to_base64url(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    bits.as_bytes()
        .chunks(6)
        .filter_map(|bits| {
            let bits = format!("{:0<6}", std::str::from_utf8(bits).ok()?);
            let place = usize::from_str_radix(&bits, 2).ok()?;
            ALPHABET.get(place).copied().map(char::from)
        })
        .collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn replay(target: &str, check: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(target);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= 20, "{} is nearly empty", folder.display());
        // Each of them, so that one run tells all that do not hold; the panics themselves are printed above.
        files.retain(|file| {
            let bytes = fs::read(file).unwrap();
            std::panic::catch_unwind(|| check(&bytes)).is_err()
        });
        assert!(files.is_empty(), "findings: {files:#?}");
    }

    #[test]
    fn the_corpus_of_bodies() {
        replay("envelope", envelope);
    }

    #[test]
    fn the_corpus_of_headers() {
        replay("headers", headers);
    }

    #[cfg(feature = "tokens")]
    #[test]
    fn the_corpus_of_graphql() {
        replay("graphql", graphql);
    }

    #[test]
    fn the_corpus_of_tokens() {
        replay("claims", claims);
    }

    #[cfg(feature = "snapshot")]
    #[test]
    fn the_corpus_of_snapshots() {
        replay("snapshot", snapshot);
    }
}
