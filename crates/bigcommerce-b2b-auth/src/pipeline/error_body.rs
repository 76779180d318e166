//! Reading reply bodies: whether a success is one, and what a failure says. Every shape that the service is known to
//! answer with is understood here, and whatever else a proxy may put in its place is described and not repeated.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Number, Value};

use crate::{
    Secret,
    error::redact::{
        LONGEST_IDENTIFIER, LONGEST_READ, Redactor, SHORTEST_SECRET, in_one_line, is_blank,
    },
};

/// What is shorter than this, in bytes, is a word of a message about a token rather than a token.
const SHORTEST_TOKEN: usize = 20;

/// What the service answers to the deletion of a server token that does not exist, without the full stop.
const NO_MATCHING_TOKEN: &str = "No matching token was found";

/// The `code` field of a reply's body: the service writes it as a number or as text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyCode {
    /// A number, also where it is written as text, such as `422` or `"422"`.
    Number(i64),
    /// A word, in one line of at most 128 characters. Secrets of the call are replaced by `[REDACTED]`.
    Text(String),
}

impl BodyCode {
    /// The code as a number, if it is one.
    #[must_use]
    pub fn as_number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }

    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(number) => Some(match number.as_i64().or_else(|| whole(number)) {
                Some(code) => Self::Number(code),
                // 200.5 is not 200, and so no success.
                None => Self::Text(number.to_string()),
            }),
            Value::String(text) => Some(match text.trim().parse() {
                Ok(number) => Self::Number(number),
                Err(_) => Self::Text(text.trim().to_owned()),
            }),
            _ => None,
        }
    }

    /// The same, fit to be shown. A number that is as short as a code stays one, whatever the secrets are; a longer one may
    /// be a password of digits.
    fn shown(self, redactor: &Redactor<'_>) -> Self {
        match self {
            Self::Number(number) => {
                let text = number.to_string();
                let shown = redactor.shown(&text, LONGEST_IDENTIFIER);
                if text.len() < SHORTEST_SECRET || shown == text {
                    Self::Number(number)
                } else {
                    Self::Text(shown)
                }
            }
            Self::Text(text) => Self::Text(redactor.shown(&text, LONGEST_IDENTIFIER)),
        }
    }

    /// Whether a body with this code is a success. The service's own envelope has 200; 0 and a word of success are
    /// taken for one as long as the body does not complain besides.
    fn meaning(&self) -> CodeMeaning {
        match self {
            Self::Number(200..=299) => CodeMeaning::Success,
            Self::Number(0) => CodeMeaning::Unclear,
            Self::Number(_) => CodeMeaning::Failure,
            Self::Text(text)
                if text.eq_ignore_ascii_case("success") || text.eq_ignore_ascii_case("ok") =>
            {
                CodeMeaning::Unclear
            }
            Self::Text(_) => CodeMeaning::Failure,
        }
    }
}

impl fmt::Display for BodyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// A float without a fraction, such as `422.0`, as the whole number that it is.
#[expect(
    clippy::cast_possible_truncation,
    reason = "there is no fraction, and a cast of a float saturates"
)]
fn whole(number: &Number) -> Option<i64> {
    number
        .as_f64()
        .filter(|code| code.fract() == 0.0)
        .map(|code| code as i64)
}

enum CodeMeaning {
    Success,
    Failure,
    Unclear,
}

/// What a body says of a failure.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) code: Option<BodyCode>,
    pub(crate) message: Option<String>,
    pub(crate) reason: Option<String>,
    /// Why there is nothing to be read from the body, if so.
    pub(crate) unreadable: Option<Cow<'static, str>>,
}

impl Problem {
    /// A problem whose body could not be had or read, for the reason that is given.
    pub(crate) fn described(unreadable: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: None,
            message: None,
            reason: None,
            unreadable: Some(unreadable.into()),
        }
    }

    /// Whether the service says, in its documented words, that there is no such server token. Upper and lower case, spaces
    /// and the full stop do not matter.
    pub(crate) fn is_no_matching_token(&self) -> bool {
        [&self.message, &self.reason]
            .into_iter()
            .flatten()
            .any(|words| {
                in_one_line(words)
                    .trim_end_matches(['.', ' '])
                    .eq_ignore_ascii_case(NO_MATCHING_TOKEN)
            })
    }
}

/// Whether the body of a 2xx reply is that of a success.
///
/// A body that is no JSON object passes: the generated method's parser refuses it with a better word for what is wrong.
pub(crate) fn is_success(body: &[u8]) -> bool {
    let Ok(Probe(code)) = serde_json::from_slice(body) else {
        return true;
    };
    let verdict = code
        .as_ref()
        .and_then(BodyCode::read)
        .map_or(CodeMeaning::Unclear, |code| code.meaning());
    match verdict {
        CodeMeaning::Success => true,
        CodeMeaning::Failure => false,
        // Without a code that decides, a body that speaks of anything but success is none.
        CodeMeaning::Unclear => serde_json::from_slice::<Value>(body).is_ok_and(|body| {
            complaint(&body).is_none()
                && text_at(&body, "message").is_none()
                && text_at(&body, "title").is_none()
                && reason(&body).is_none()
                && body
                    .get("status")
                    .and_then(BodyCode::read)
                    .and_then(|status| status.as_number())
                    .is_none_or(|status| status < 300)
        }),
    }
}

/// The `code` of an object, read without keeping the rest, which may hold a token.
///
/// A derived reader would take a list for the object, and refuse a `code` that is there twice: such a failure would pass
/// for a success. Here the last one counts, as in [`Value`].
struct Probe(Option<Value>);

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(body: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Probe;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Probe, A::Error> {
                let mut code = None;
                while let Some(IsCode(is_code)) = fields.next_key()? {
                    if is_code {
                        code = Some(fields.next_value()?);
                    } else {
                        fields.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Probe(code))
            }
        }

        body.deserialize_map(Fields)
    }
}

/// Whether the name of a field is `code`, without a copy of it.
struct IsCode(bool);

impl<'de> Deserialize<'de> for IsCode {
    fn deserialize<D: Deserializer<'de>>(name: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsCode;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsCode, E> {
                Ok(IsCode(name == "code"))
            }
        }

        name.deserialize_str(Name)
    }
}

/// Reads the body of a failure. Never fails: what cannot be read is described.
///
/// Its texts are redacted when they are joined, before they are cut: a secret may be spread over several of them.
pub(crate) fn read_problem(body: &[u8], secrets: &[Secret]) -> Problem {
    let Ok(json) = serde_json::from_slice::<Value>(body) else {
        return Problem::described(describe(body));
    };
    let redactor = Redactor::new(secrets);
    let shown = |text: String| redactor.message(&text);
    let code = json
        .get("code")
        .and_then(BodyCode::read)
        .map(|code| code.shown(&redactor));
    let reason = reason(&json).map(shown);
    let message = complaint(&json)
        .or_else(|| text_at(&json, "message"))
        .or_else(|| text_at(&json, "title"))
        .map(shown);
    match (message, reason) {
        (Some(message), reason) => Problem {
            code,
            reason: reason.filter(|reason| *reason != message),
            message: Some(message),
            unreadable: None,
        },
        (None, reason) => Problem {
            code,
            message: reason,
            reason: None,
            unreadable: None,
        },
    }
}

/// The tokens in a body that is refused: no message of the error may repeat one.
pub(crate) fn tokens_in(body: &[u8]) -> Vec<Secret> {
    let mut tokens = Vec::new();
    if let Ok(json) = serde_json::from_slice::<Value>(body) {
        collect_tokens(&json, "", &mut tokens);
    }
    tokens
}

/// Collects the texts that are tokens by the name of their field. In a field that is only named after a token, such as
/// `accessToken`, long words are tokens: the rest may be a message about it.
fn collect_tokens(json: &Value, field: &str, tokens: &mut Vec<Secret>) {
    match json {
        Value::String(text) => {
            let name = field.to_ascii_lowercase();
            if name == "token" {
                tokens.push(Secret::from(text.as_str()));
            } else if name.contains("token") || name.contains("jwt") {
                let words = text.split_whitespace();
                let long = words.filter(|word| word.len() >= SHORTEST_TOKEN);
                tokens.extend(long.map(Secret::from));
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| collect_tokens(item, field, tokens)),
        Value::Object(fields) => fields
            .iter()
            .for_each(|(field, value)| collect_tokens(value, field, tokens)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text of the service as it is shown: without the call's secrets, in one line, and no longer than a message.
#[cfg(feature = "tokens")]
pub(crate) fn shown(text: &str, secrets: &[Secret]) -> String {
    Redactor::new(secrets).message(text)
}

fn reason(body: &Value) -> Option<String> {
    body.pointer("/meta/message")
        .and_then(Value::as_str)
        .filter(|text| !is_blank(text) && !text.eq_ignore_ascii_case("success"))
        .map(str::to_owned)
}

/// What only an error body has, the most specific first.
fn complaint(body: &Value) -> Option<String> {
    let data = body.get("data");
    data.and_then(|data| data.get("errMsg"))
        .and_then(flatten)
        .or_else(|| text_at(body, "detail"))
        .or_else(|| {
            let errors = body.get("errors").and_then(flatten)?;
            Some(match text_at(body, "title") {
                Some(title) => format!("{title}: {errors}"),
                None => errors,
            })
        })
        .or_else(|| data.and_then(field_messages))
}

/// `data` as a map of field to messages. A success has `data` as an object too, so every value has to be a list of
/// texts, as the service's framework writes them; a token in a list is told apart by its field's name.
fn field_messages(data: &Value) -> Option<String> {
    let fields = data.as_object()?;
    let lists_of_text = fields.iter().all(|(field, messages)| {
        field != "token"
            && messages.as_array().is_some_and(|messages| {
                !messages.is_empty() && messages.iter().all(Value::is_string)
            })
    });
    if fields.is_empty() || !lists_of_text {
        return None;
    }
    flatten(data)
}

fn text_at(body: &Value, field: &str) -> Option<String> {
    body.get(field).and_then(flatten)
}

/// Any JSON value as text: texts as they are, lists joined, objects as `field: text`. `None` when there is nothing to see.
fn flatten(value: &Value) -> Option<String> {
    let mut text = String::new();
    append(&mut text, value);
    (!text.is_empty()).then_some(text)
}

/// Appends a value as text, and nothing to a text that is as long as one is ever read.
fn append(text: &mut String, value: &Value) {
    match value {
        Value::Null => {}
        Value::String(value) if is_blank(value) => {}
        Value::String(value) => text.push_str(value.trim()),
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::Array(items) => append_all(text, items.iter().map(|item| (None, item))),
        Value::Object(fields) => append_all(
            text,
            fields.iter().map(|(field, value)| (Some(field), value)),
        ),
    }
}

fn append_all<'v>(
    text: &mut String,
    values: impl Iterator<Item = (Option<&'v String>, &'v Value)>,
) {
    let start = text.len();
    for (field, value) in values {
        let before = text.len();
        if before > LONGEST_READ {
            return;
        }
        if before > start {
            text.push_str("; ");
        }
        if let Some(field) = field {
            text.push_str(field);
            text.push_str(": ");
        }
        let named = text.len();
        append(text, value);
        if text.len() == named {
            text.truncate(before);
        }
    }
}

/// What a body that is not JSON looks like. Its text stays out: it may be anything.
pub(crate) fn describe(body: &[u8]) -> String {
    let length = match body.len() {
        1 => "1 byte".to_owned(),
        length => format!("{length} bytes"),
    };
    match std::str::from_utf8(body) {
        Ok(text) if text.trim().is_empty() => "the body is empty".to_owned(),
        Ok(text) if text.trim_start().starts_with('<') => {
            format!("the body is {length} of HTML or XML, as a proxy answers")
        }
        Ok(text) if text.trim_start().starts_with(['{', '[']) => {
            format!("the body is {length} of JSON that breaks off or is malformed")
        }
        Ok(_) => format!("the body is {length} of plain text"),
        Err(_) => format!("the body is {length} that are not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::error::redact::LONGEST_MESSAGE;

    fn problem(body: &Value) -> (Option<i64>, String, Option<String>) {
        let problem = read_problem(body.to_string().as_bytes(), &[]);
        (
            problem.code.and_then(|code| code.as_number()),
            problem.message.unwrap_or_default(),
            problem.reason,
        )
    }

    #[test]
    fn every_known_error_shape_gives_its_message() {
        let meta = json!({"message": "API logic error"});
        let reason = Some("API logic error".to_owned());
        for (body, expected) in [
            (
                json!({"code": 400, "data": {"errMsg": "role forbidden"}, "meta": meta}),
                (Some(400), "role forbidden", reason.clone()),
            ),
            (
                json!({"code": "400", "data": {"errMsg": {"email": ["bad", "worse"], "name": "long"}}, "meta": meta}),
                (Some(400), "email: bad; worse; name: long", reason.clone()),
            ),
            (
                json!({"code": 400, "data": {"errMsg": ["one", "two"]}, "meta": meta}),
                (Some(400), "one; two", reason),
            ),
            (
                json!({"code": 401, "data": {}, "meta": {"message": "Unauthorized"}}),
                (Some(401), "Unauthorized", None),
            ),
            (
                json!({"code": 404, "message": "no route"}),
                (Some(404), "no route", None),
            ),
            (json!({"detail": "not found"}), (None, "not found", None)),
            (
                json!({"status": 422, "title": "Invalid", "errors": {"name": "missing"}}),
                (None, "Invalid: name: missing", None),
            ),
            (
                json!({"code": 400, "data": {"email": ["required"], "name": ["too long"]}}),
                (Some(400), "email: required; name: too long", None),
            ),
            (
                json!({"code": 0, "data": {"errMsg": "x"}}),
                (Some(0), "x", None),
            ),
            (json!([]), (None, "", None)),
            (json!(null), (None, "", None)),
        ] {
            let (code, message, reason) = problem(&body);
            assert_eq!(
                (code, message.as_str(), reason),
                (expected.0, expected.1, expected.2),
                "{body}"
            );
        }
    }

    #[test]
    fn a_success_is_told_by_its_code_and_by_what_it_complains_of() {
        for (body, success) in [
            (json!({"code": 200, "data": {"token": ["a"]}}), true),
            (json!({"code": "200", "data": {"token": ["a"]}}), true),
            (json!({"code": 201, "data": []}), true),
            (json!({"code": 0, "data": {"token": ["a"]}}), true),
            (json!({"code": "SUCCESS", "data": {"token": "a"}}), true),
            (json!({"code": null, "data": {"token": "a"}}), true),
            (json!({"data": {"token": ["a"]}}), true),
            (json!({}), true),
            (json!({"code": 422, "data": {}}), false),
            (json!({"code": "500", "data": {}}), false),
            (json!({"code": "DENIED", "data": {}}), false),
            (json!({"code": 0, "data": {"errMsg": "no"}}), false),
            (json!({"data": {"customerId": ["unknown"]}}), false),
            (json!({"detail": "no"}), false),
            (
                json!({"code": 0, "data": {}, "meta": {"message": "Not Found Error"}}),
                false,
            ),
            (
                json!({"data": [], "meta": {"message": "Not Found Error"}}),
                false,
            ),
            (json!({"data": [], "meta": {"message": "SUCCESS"}}), true),
            (json!({"message": "no such route"}), false),
            (json!({"status": 422, "title": "Invalid"}), false),
            (json!({"status": 500}), false),
            (json!({"status": "500"}), false),
            (json!({"status": "active"}), true),
            (json!({"code": 200.0, "data": {"token": "a"}}), true),
            (json!({"code": 200.5, "data": {"token": "a"}}), false),
            (json!({"code": 0.5, "data": {"token": "a"}}), false),
            (json!([422]), true), // no object: for the parser to refuse
        ] {
            assert_eq!(is_success(body.to_string().as_bytes()), success, "{body}");
        }
    }

    #[test]
    fn a_code_that_is_there_twice_is_no_success_for_that() {
        for (body, success) in [
            (
                r#"{"code": 422, "code": 422, "data": {"token": "a"}}"#,
                false,
            ),
            (r#"{"code": 200, "code": 422}"#, false),
            (r#"{"code": 422, "code": 200}"#, true),
            (r#"{"c\u006fde": 422}"#, false),
        ] {
            assert_eq!(is_success(body.as_bytes()), success, "{body}");
        }
    }

    #[test]
    fn only_the_services_own_words_say_that_a_token_does_not_exist() {
        let words = "No matching token was found.";
        for (body, expected) in [
            (
                json!({"code": 404, "data": {"errMsg": words}, "meta": {"message": "Not Found Error"}}),
                true,
            ),
            (
                json!({"code": 404, "data": {}, "meta": {"message": words}}),
                true,
            ),
            (
                json!({"data": {"errMsg": "x"}, "meta": {"message": words}}),
                true,
            ),
            (json!({"message": " no matching\nTOKEN  was found "}), true),
            (json!({"detail": "No matching token was found ."}), true),
            (json!({"code": 404, "message": "no route"}), false),
            (
                json!({"code": 404, "data": {"errMsg": "Not Found Error"}}),
                false,
            ),
            (
                json!({"detail": "No matching token was found for this store"}),
                false,
            ),
            (json!({"data": {"errMsg": {"id": words}}}), false),
            (json!({"code": 404}), false),
            (json!(words), false),
        ] {
            let problem = read_problem(body.to_string().as_bytes(), &[]);
            assert_eq!(problem.is_no_matching_token(), expected, "{body}");
        }
        for other in [
            "",
            "default backend - 404",
            words,
            "<html>No matching token was found.</html>",
        ] {
            assert!(
                !read_problem(other.as_bytes(), &[]).is_no_matching_token(),
                "{other}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_described_and_not_repeated() {
        for (body, expected) in [
            (&b""[..], "empty"),
            (b" \r\n", "empty"),
            (b"<html>hunter2</html>", "HTML"),
            (b"hunter2", "plain text"),
            (b"{\"token\": \"hunter2", "breaks off"),
            (b"\xff\xfehunter2", "not UTF-8"),
        ] {
            let message = read_problem(body, &[]).unreadable.unwrap();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated_wherever_the_body_has_it() {
        let secrets = [Secret::from("correct  horse")];
        for body in [
            json!({"detail": format!("{}correct  horse", "x".repeat(LONGEST_MESSAGE - 10))}),
            json!({"data": {"errMsg": {"correct  horse": ["is not it: correct  horse"]}}}),
            json!({"code": "correct  horse", "meta": {"message": "correct  horse"}}),
        ] {
            let problem = read_problem(body.to_string().as_bytes(), &secrets);
            let shown = format!("{problem:?}");
            assert!(
                shown.contains("[REDACTED") && !shown.contains("horse"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_repeated_as_a_number_or_in_other_whitespace() {
        let secrets = [Secret::from("20261124"), Secret::from("correct horse")];
        for body in [
            json!({"data": {"errMsg": {"password": 20_261_124}}}),
            json!({"data": {"errMsg": {"password": 20_261_124.0}}}),
            json!({"code": 20_261_124, "detail": "no"}),
            json!({"detail": "bad: correct\r\nhorse"}),
            json!({"data": {"errMsg": {"correct\thorse": "bad"}}}),
        ] {
            let problem = read_problem(body.to_string().as_bytes(), &secrets);
            let shown = format!("{problem:?}");
            assert!(
                shown.contains("[REDACTED")
                    && !shown.contains("horse")
                    && !shown.contains("20261124"),
                "{shown}"
            );
        }
        // A code stays one, whatever the password.
        let problem = read_problem(br#"{"code": 401, "detail": "no"}"#, &[Secret::from("401")]);
        assert_eq!(problem.code, Some(BodyCode::Number(401)));
    }

    #[test]
    fn the_tokens_in_a_refused_body_are_found_and_messages_about_them_are_not() {
        let opaque = "0123456789abcdefghij";
        for (body, expected) in [
            (json!({"data": {"token": "abc"}}), vec!["abc"]),
            (
                json!({"data": {"token": ["abc", "line\nbreak"]}}),
                vec!["abc", "line\nbreak"],
            ),
            (
                json!({"data": [{"name": "n", "token": "abc"}, {"token": "d"}]}),
                vec!["abc", "d"],
            ),
            (json!({"data": {"errMsg": {"Token": "abc"}}}), vec!["abc"]),
            (json!({"token": "abc"}), vec!["abc"]),
            (json!({"data": {"accessToken": opaque}}), vec![opaque]),
            (json!({"data": {"jwt": [opaque]}}), vec![opaque]),
            (
                json!({"data": {"customerAccessToken": ["This field is required."]}}),
                vec![],
            ),
            (
                json!({"data": {"accessToken": format!("not {opaque}\n!")}}),
                vec![opaque],
            ),
            (
                json!({"data": {"customerAccessToken": ["Invalid"]}}),
                vec![],
            ),
            (
                json!({"data": {"name": opaque}, "meta": {"message": opaque}}),
                vec![],
            ),
            (json!({"data": {"token": 7}}), vec![]),
            (json!("abc"), vec![]),
        ] {
            let found = tokens_in(body.to_string().as_bytes());
            let found: Vec<_> = found.iter().map(Secret::expose_secret).collect();
            assert_eq!(found, expected, "{body}");
        }
        assert!(tokens_in(b"{\"token\": \"abc").is_empty());
    }

    #[test]
    fn a_message_is_one_line_with_an_end() {
        let (_, message, _) =
            problem(&json!({"detail": format!("a\r\nb\u{7}c {}", "x".repeat(9000))}));
        assert!(message.starts_with("a b c x"), "{message}");
        assert_eq!(message.chars().count(), LONGEST_MESSAGE);
    }
}
