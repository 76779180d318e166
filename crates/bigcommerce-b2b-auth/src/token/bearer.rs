//! The ready-made `Authorization` header of a token: made once, shared by all who send it, and wiped with the last of them.

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

/// What stands in front of the token.
const SCHEME: &str = "Bearer ";

/// The longest token that is accepted, in bytes. A token of this service has some hundred; few servers accept a header that is
/// longer than this.
pub(crate) const LONGEST_TOKEN: usize = 16 * 1024;

/// Whether a token is longer than the SDK accepts.
pub(crate) fn is_too_long(token: &str) -> bool {
    token.len() > LONGEST_TOKEN
}

/// Why a token cannot be sent. It never shows the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsendable {
    TooLong,
    /// It holds a character that no header can carry.
    NotAHeader,
}

impl fmt::Display for Unsendable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is longer than 16 KiB",
            Self::NotAHeader => "the token cannot be carried by a header",
        })
    }
}

/// The memory of a header, which holds a token and is wiped when it is given back.
struct Wiped(Zeroizing<Box<[u8]>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// `Bearer …`, marked as sensitive. Every token that is kept or handed out passes here, so the bound on its length is here too.
pub(crate) fn header(token: &str) -> Result<HeaderValue, Unsendable> {
    if is_too_long(token) {
        return Err(Unsendable::TooLong);
    }
    let mut text = Vec::with_capacity(SCHEME.len() + token.len());
    text.extend_from_slice(SCHEME.as_bytes());
    text.extend_from_slice(token.as_bytes());
    // As large as it has to be from the start, so that nothing is moved and no copy is left behind.
    let text = Wiped(Zeroizing::new(text.into_boxed_slice()));
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
        .map_err(|_| Unsendable::NotAHeader)?;
    header.set_sensitive(true);
    Ok(header)
}

/// The token in such a header.
#[cfg(feature = "tokens")]
pub(crate) fn token(header: &HeaderValue) -> &str {
    header
        .as_bytes()
        .get(SCHEME.len()..)
        .and_then(|token| std::str::from_utf8(token).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_sensitive_and_knows_its_token() {
        let header = header("hunter2").unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header.as_bytes(), b"Bearer hunter2");
        assert!(!format!("{header:?}").contains("hunter2"));
        #[cfg(feature = "tokens")]
        assert_eq!(token(&header), "hunter2");
        assert_eq!(
            super::header("hunter2\n").err(),
            Some(Unsendable::NotAHeader)
        );
    }

    #[test]
    fn a_token_longer_than_16_kib_is_refused() {
        let longest = "a".repeat(16 * 1024);
        assert!(header(&longest).is_ok());
        assert_eq!(header(&(longest + "a")).err(), Some(Unsendable::TooLong));
    }
}
