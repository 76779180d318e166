//! The secret type of request and reply bodies: the document's `format: password` becomes this.
//! It hides itself in `Debug`, has no `Display`, and is wiped from memory on drop.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A string that must not be shown: a password, a token, a session JWT.
///
/// `Debug` prints `[REDACTED]`, there is no `Display`, equality takes the same time wherever two values of one length
/// differ, and the memory is wiped on drop. **It serialises as plain text**, because a request body has to carry it:
/// serialise a type that holds one only into a request.
///
/// What is beyond this type: copies that serde, hyper and the TLS stack make while a request is sent or a reply is read.
///
/// ```
/// use bigcommerce_b2b_auth_api::SecretString;
///
/// let password = SecretString::from("correct horse");
/// assert_eq!(format!("{password:?}"), "[REDACTED]");
/// assert_eq!(password.expose_secret(), "correct horse");
/// ```
#[derive(Clone)]
pub struct SecretString(Zeroizing<String>);

impl SecretString {
    /// Takes the string in. The bytes are moved, not copied.
    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }

    /// The plain text. Searching a code base for this name finds every place where a secret is read.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for SecretString {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for SecretString {
    fn from(secret: &str) -> Self {
        Self::new(secret.to_owned())
    }
}

/// Shows every secret that a value holds. Generated code implements it for the types of requests.
pub(crate) trait VisitSecrets {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString));
}

impl VisitSecrets for SecretString {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString)) {
        visit(self);
    }
}

impl<T: VisitSecrets> VisitSecrets for Option<T> {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString)) {
        self.iter().for_each(|value| value.visit_secrets(visit));
    }
}

impl<T: VisitSecrets> VisitSecrets for Vec<T> {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString)) {
        self.iter().for_each(|value| value.visit_secrets(visit));
    }
}

impl<K, T: VisitSecrets> VisitSecrets for BTreeMap<K, T> {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString)) {
        self.values().for_each(|value| value.visit_secrets(visit));
    }
}

impl<T: VisitSecrets> VisitSecrets for Box<T> {
    fn visit_secrets(&self, visit: &mut dyn FnMut(&SecretString)) {
        (**self).visit_secrets(visit);
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl PartialEq for SecretString {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for SecretString {}

impl Serialize for SecretString {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretString {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_plain_text_also_inside_other_types() {
        let nested = Some(vec![SecretString::from("hunter2")]);
        assert_eq!(format!("{nested:?}"), "Some([[REDACTED]])");
        assert!(!format!("{nested:#?}").contains("hunter2"));
    }

    #[test]
    fn secrets_are_visited_in_every_type_that_holds_them() {
        let nested = BTreeMap::from([
            (1, vec![Some(Box::new(SecretString::from("a"))), None]),
            (2, vec![Some(Box::new(SecretString::from("b")))]),
        ]);
        let mut seen = Vec::new();
        nested.visit_secrets(&mut |secret| seen.push(secret.expose_secret().to_owned()));
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    fn equality_goes_by_the_plain_text() {
        assert_eq!(SecretString::from("a"), SecretString::from("a"));
        assert_ne!(SecretString::from("a"), SecretString::from("b"));
        assert_ne!(SecretString::from("a"), SecretString::from("aa"));
    }

    #[test]
    fn a_request_body_carries_the_plain_text() {
        let json = serde_json::to_string(&SecretString::from("hunter2")).unwrap();
        assert_eq!(json, r#""hunter2""#);
        let back: SecretString = serde_json::from_str(&json).unwrap();
        assert_eq!(back.expose_secret(), "hunter2");
    }

    #[test]
    fn an_error_while_reading_does_not_show_the_value() {
        let error = serde_json::from_str::<SecretString>("[\"hunter2\"]").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
