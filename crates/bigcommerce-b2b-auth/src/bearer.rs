//! The ready-made `Authorization` header of a token: made once, shared by all who send it, and wiped with the last of them.

use bytes::Bytes;
use http::{HeaderValue, header::InvalidHeaderValue};
use zeroize::Zeroizing;

/// What stands in front of the token.
const SCHEME: &str = "Bearer ";

/// The memory of a header, which holds a token and is wiped when it is given back.
struct Wiped(Zeroizing<Box<[u8]>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// `Bearer …`, marked as sensitive.
pub(crate) fn header(token: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut text = Vec::with_capacity(SCHEME.len() + token.len());
    text.extend_from_slice(SCHEME.as_bytes());
    text.extend_from_slice(token.as_bytes());
    // As large as it has to be from the start, so that nothing is moved and no copy is left behind.
    let text = Wiped(Zeroizing::new(text.into_boxed_slice()));
    let mut header = HeaderValue::from_maybe_shared(Bytes::from_owner(text))?;
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
        assert!(super::header("hunter2\n").is_err());
    }
}
