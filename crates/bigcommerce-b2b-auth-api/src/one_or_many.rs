//! A secret alone or in a list, read as it comes. What serde derives for such a choice copies the value into a buffer that
//! nobody wipes, and then tries one form after the other. Generated code comes here for it.

use std::fmt;

use serde::{
    Deserializer,
    de::{Error, SeqAccess, Visitor},
};

use crate::SecretString;

/// Reads either form and makes it what the caller wants.
pub(crate) fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    one: fn(SecretString) -> T,
    many: fn(Vec<SecretString>) -> T,
) -> Result<T, D::Error> {
    from.deserialize_any(OneOrMany { one, many })
}

struct OneOrMany<T> {
    one: fn(SecretString) -> T,
    many: fn(Vec<SecretString>) -> T,
}

impl<'de, T> Visitor<'de> for OneOrMany<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    // serde's own message for a wrong type would quote it.
    fn visit_bool<E: Error>(self, _: bool) -> Result<T, E> {
        Err(E::custom("a text or a list of texts was expected"))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<T, E> {
        self.visit_bool(false)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<T, E> {
        self.visit_bool(false)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<T, E> {
        self.visit_bool(false)
    }

    fn visit_str<E>(self, one: &str) -> Result<T, E> {
        Ok((self.one)(one.into()))
    }

    fn visit_string<E>(self, one: String) -> Result<T, E> {
        Ok((self.one)(one.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut secrets = Vec::new();
        while let Some(secret) = list.next_element()? {
            secrets.push(secret);
        }
        Ok((self.many)(secrets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_json(json: &str) -> Result<Vec<SecretString>, serde_json::Error> {
        read(
            &mut serde_json::Deserializer::from_str(json),
            |one| vec![one],
            |many| many,
        )
    }

    #[test]
    fn a_text_and_a_list_are_read_and_nothing_else() {
        let secrets =
            |texts: &[&str]| -> Vec<_> { texts.iter().map(|text| (*text).into()).collect() };
        assert_eq!(read_json(r#""a""#).unwrap(), secrets(&["a"]));
        assert_eq!(read_json(r#""\u0061\"""#).unwrap(), secrets(&["a\""]));
        assert_eq!(read_json(r#"["a", "b"]"#).unwrap(), secrets(&["a", "b"]));
        assert_eq!(read_json("[]").unwrap(), secrets(&[]));
        for other in ["null", "20261124", "-1", "1.5", "true", "{}", r#"["a", 1]"#] {
            let error = read_json(other).unwrap_err().to_string();
            assert!(!error.contains("20261124"), "{other}: {error}");
        }
    }
}
