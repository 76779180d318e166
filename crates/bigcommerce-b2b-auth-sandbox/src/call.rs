//! One request as an operation sees it, and the reading of its JSON body and its query.
//! Wrong fields are collected, so that one reply names them all; no input can make it panic.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use crate::assumptions::Assumptions;
use crate::jwt::Signer;
use crate::reply::{Problems, Refusal};

/// A request on its way through an operation.
pub(crate) struct Call<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) assumptions: &'a Assumptions,
    pub(crate) signer: &'a Signer,
    /// Unix seconds by the sandbox's clock.
    pub(crate) now: u64,
    query: Vec<(String, String)>,
    body: Option<Value>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(
        headers: &'a HeaderMap,
        query: &str,
        body: &[u8],
        now: u64,
        assumptions: &'a Assumptions,
        signer: &'a Signer,
    ) -> Self {
        Self {
            headers,
            assumptions,
            signer,
            now,
            query: form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            body: serde_json::from_slice(body).ok(),
        }
    }

    /// A header's value, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of a query parameter.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The store that the body names, if it can be read that far.
    pub(crate) fn body_store_hash(&self) -> Option<&str> {
        self.body.as_ref()?.get("storeHash")?.as_str()
    }

    /// The body's fields. The service takes JSON; that anything else is a 415 is an assumption, as
    /// is the body of that reply.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, Refusal> {
        let media_type = self
            .header(CONTENT_TYPE.as_str())
            .and_then(|value| value.split(';').next())
            .unwrap_or("");
        if !media_type.trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the body must be application/json",
            )
            .shape(self.assumptions.validation_error));
        }
        match &self.body {
            Some(Value::Object(fields)) => Ok(Fields {
                fields,
                assumptions: self.assumptions,
                problems: Problems::new(),
            }),
            _ => Err(invalid(
                self.assumptions,
                "the body must be a JSON object",
                Problems::new(),
            )),
        }
    }

    /// A number in the query within a range, or the default where it is left out.
    pub(crate) fn query_number(
        &self,
        name: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, Refusal> {
        let Some(text) = self.query(name) else {
            return Ok(default);
        };
        parse_number(text)
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                invalid_field(
                    self.assumptions,
                    name,
                    "must be an integer within the range",
                )
            })
    }
}

/// The fields of a JSON body, read one after another.
///
/// Each reading gives a value in any case and notes what was wrong; [`check`](Self::check) then
/// ends the call if anything was, so that nobody acts on a value that stood in for a missing one.
pub(crate) struct Fields<'a> {
    fields: &'a Map<String, Value>,
    assumptions: &'a Assumptions,
    problems: Problems,
}

impl<'a> Fields<'a> {
    /// A text that must be there and must not be empty.
    pub(crate) fn text(&mut self, name: &'static str) -> &'a str {
        match self.optional_text(name) {
            Some("") => self.problem(name, "must not be empty"),
            Some(text) => return text,
            None if self.present(name).is_none() => self.problem(name, "is required"),
            None => {}
        }
        ""
    }

    pub(crate) fn optional_text(&mut self, name: &'static str) -> Option<&'a str> {
        let value = self.present(name)?;
        if value.as_str().is_none() {
            self.problem(name, "must be a string");
        }
        value.as_str()
    }

    /// An integer that must be there; a number in quotes is not one.
    pub(crate) fn integer(&mut self, name: &'static str) -> u64 {
        if self.present(name).is_none() {
            self.problem(name, "is required");
        }
        self.optional_integer(name).unwrap_or_default()
    }

    pub(crate) fn optional_integer(&mut self, name: &'static str) -> Option<u64> {
        let value = self.present(name)?;
        if value.as_u64().is_none() {
            self.problem(name, "must be an integer, 0 or more");
        }
        value.as_u64()
    }

    /// A channel, which one shipping client sends as a string.
    pub(crate) fn channel(&mut self) -> Option<u64> {
        let name = "channelId";
        match self.present(name)?.as_str() {
            None => self.optional_integer(name),
            Some(text) => {
                let number = parse_number(text);
                if number.is_none() {
                    self.problem(name, "must be an integer, 0 or more");
                }
                number
            }
        }
    }

    /// The customer access token, which is opaque: only its form is looked at.
    pub(crate) fn customer_access_token(&mut self) {
        use crate::assumptions::CamelCaseExpiry::{Honoured, Ignored, Refused};

        let name = "customerAccessToken";
        let Some(token) = self.present(name) else {
            return;
        };
        let Some(token) = token.as_object() else {
            self.problem(name, "must be an object");
            return;
        };
        if token.get("value").is_some_and(|value| !value.is_string()) {
            self.problem(name, "value must be a string");
        }
        let camel_case = token.get("expiresAt");
        let expiry = match self.assumptions.camel_case_expiry {
            Honoured => token.get("expires_at").or(camel_case),
            Ignored => token.get("expires_at"),
            Refused => {
                if camel_case.is_some() {
                    self.problem(name, "expiresAt is not a known field");
                }
                token.get("expires_at")
            }
        };
        if expiry.is_some_and(|expiry| !expiry.as_str().is_some_and(is_iso_8601_time)) {
            self.problem(name, "the expiry must be an ISO-8601 time");
        }
    }

    /// Notes a problem with a field.
    pub(crate) fn problem(&mut self, name: &'static str, problem: &'static str) {
        self.problems.entry(name).or_default().push(problem);
    }

    /// Ends the call if any field was wrong.
    pub(crate) fn check(self) -> Result<(), Refusal> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(invalid(
            self.assumptions,
            "a field is missing or wrong",
            self.problems,
        ))
    }

    /// A field's value, if it is there: `null` counts as absent.
    fn present(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }
}

/// A refusal for one field, in the assumed shape of a validation error.
pub(crate) fn invalid_field(
    assumptions: &Assumptions,
    name: &'static str,
    problem: &'static str,
) -> Refusal {
    invalid(
        assumptions,
        "a field is missing or wrong",
        Problems::from([(name, vec![problem])]),
    )
}

fn invalid(assumptions: &Assumptions, message: &'static str, problems: Problems) -> Refusal {
    Refusal::new(assumptions.validation_status, message)
        .shape(assumptions.validation_error)
        .problems(problems)
}

/// Digits alone: `parse` by itself would take a leading plus.
pub(crate) fn parse_number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// Whether a text has the form `2031-05-17T08:30:00`, with or without a fraction, and then `Z` or
/// an offset.
fn is_iso_8601_time(text: &str) -> bool {
    let Some((date_and_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let well_formed = date_and_time
        .bytes()
        .zip("dddd-dd-ddTdd:dd:dd".bytes())
        .all(|(byte, expected)| match expected {
            b'd' => byte.is_ascii_digit(),
            _ => byte == expected,
        });
    let zone = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
    };
    let offset = |offset: &str| {
        offset.len() == 5
            && offset
                .bytes()
                .zip("dd:dd".bytes())
                .all(|(byte, expected)| match expected {
                    b'd' => byte.is_ascii_digit(),
                    _ => byte == expected,
                })
    };
    well_formed && (zone == "Z" || zone.strip_prefix(['+', '-']).is_some_and(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_8601_times_are_told_from_other_texts() {
        for good in [
            "2031-05-17T08:30:00Z",
            "2031-05-17T08:30:00.0Z",
            "2031-05-17T08:30:00.123456+02:00",
        ] {
            assert!(is_iso_8601_time(good), "{good}");
        }
        for bad in [
            "",
            "tomorrow",
            "2031-05-17",
            "2031-05-17 08:30:00Z",
            "2031-05-17T08:30:00",
            "2031-05-17T08:30:00.Z",
            "2031-05-17T08:30:00+0200",
            "2031-05-17T08:30:00+é0:0",
            "ééééééééé-17T08:30:00Z",
        ] {
            assert!(!is_iso_8601_time(bad), "{bad}");
        }
    }

    #[test]
    fn numbers_are_digits_that_fit() {
        assert_eq!(parse_number("007"), Some(7));
        for bad in ["", "+1", "-1", "1.0", " 1", "18446744073709551616", "one"] {
            assert_eq!(parse_number(bad), None, "{bad:?}");
        }
    }
}
