//! Keeping secrets out of the service's own words: an error message may repeat what was sent to it.

use std::cmp::Reverse;

use crate::Secret;

const REDACTED: &str = "[REDACTED]";

/// What is shorter than this occurs in ordinary words and in the replacement itself.
pub(crate) const SHORTEST_SECRET: usize = 6;

/// Replaces each of `secrets`, and whatever looks like a JWT, in `text`.
pub(crate) fn redact(text: &str, secrets: &[Secret]) -> String {
    let shown = replace(text, secrets);
    let spaced = |secret: &Secret| secret.expose_secret().contains(' ');
    if !secrets.iter().any(spaced) {
        return shown;
    }
    // A secret that a line break divides here would be whole in the message, which is one line.
    let line = in_one_line(&shown);
    let of_line = replace(&line, secrets);
    if of_line == line { shown } else { of_line }
}

/// `text` without line breaks and control characters: each run of them, and of spaces, is one space.
pub(crate) fn in_one_line(text: &str) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if !word.is_empty() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    line
}

fn replace(text: &str, secrets: &[Secret]) -> String {
    let mut secrets: Vec<&str> = secrets
        .iter()
        .map(Secret::expose_secret)
        .filter(|secret| !secret.is_empty() && text.contains(secret))
        .collect();
    // One may be part of another: the longest goes first, so that none leaves a rest.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    // Cut out, what is this short could be told by its place.
    if secrets
        .last()
        .is_some_and(|shortest| shortest.len() < SHORTEST_SECRET)
    {
        return REDACTED.to_owned();
    }
    let mut text = text.to_owned();
    for secret in secrets {
        text = text.replace(secret, REDACTED);
    }
    text.split_inclusive(char::is_whitespace)
        .map(|word| if holds_jwt(word) { "[REDACTED] " } else { word })
        .collect()
}

/// A JWT starts with `{"` in base64url, which is `eyJ`, and has its parts divided by dots.
fn holds_jwt(word: &str) -> bool {
    word.find("eyJ")
        .and_then(|start| word.get(start..))
        .is_some_and(|rest| rest.len() > 20 && rest.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_and_what_looks_like_a_token_is_replaced() {
        let secrets = ["hunter2".into(), "".into()];
        assert_eq!(
            redact(
                "password 'hunter2' and token \"eyJhbGciOiJIUzI1NiJ9.e30.c2ln\" are bad",
                &secrets
            ),
            "password '[REDACTED]' and token [REDACTED] are bad"
        );
        assert_eq!(redact("a bad day", &secrets), "a bad day");
    }

    #[test]
    fn a_secret_within_another_leaves_no_rest() {
        let secrets = ["hunter".into(), "hunter-and-more".into()];
        assert_eq!(redact("bad hunter-and-more", &secrets), "bad [REDACTED]");
    }

    #[test]
    fn a_secret_that_a_line_break_divides_is_found() {
        assert_eq!(
            redact("bad: correct\r\n horse", &["correct horse".into()]),
            "bad: [REDACTED]"
        );
        assert_eq!(redact("a\n b", &["correct horse".into()]), "a\n b");
    }

    #[test]
    fn a_short_secret_takes_the_whole_text_with_it() {
        assert_eq!(
            redact("wrong password: s3cre", &["s3cre".into()]),
            "[REDACTED]"
        );
        assert_eq!(
            redact("no such customer", &["s3cre".into()]),
            "no such customer"
        );
    }
}
