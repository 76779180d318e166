//! A string that `Debug` never prints: passwords, access tokens and the JWTs that are handed out.
//! As a type, it lets the structs around it derive `Debug` without anybody having to remember.

use std::fmt;

/// What stands in place of a secret wherever something is printed.
pub(crate) const REDACTED: &str = "[REDACTED]";

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_the_placeholder_alone() {
        assert_eq!(format!("{:?}", Secret::new("canary")), REDACTED);
        assert_eq!(
            format!("{:#?}", Some(Secret::new("canary"))),
            "Some(\n    [REDACTED],\n)"
        );
    }
}
