//! Keeping secrets out of the service's own words: an error message may repeat what was sent to it.

use std::cmp::Reverse;

use crate::Secret;

const REDACTED: &str = "[REDACTED]";

/// Replaces each of `secrets`, and whatever looks like a JWT, in `text`.
pub(crate) fn redact(text: &str, secrets: &[Secret]) -> String {
    let mut secrets: Vec<&str> = secrets
        .iter()
        .map(Secret::expose_secret)
        .filter(|secret| !secret.is_empty() && text.contains(secret))
        .collect();
    // One may be part of another: the longest goes first, so that none leaves a rest.
    secrets.sort_by_key(|secret| Reverse(secret.len()));
    // What is this short occurs in ordinary words and in the replacement itself: cut out, it could be told by its place.
    if secrets.last().is_some_and(|shortest| shortest.len() < 6) {
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
