//! The token that everybody gets: a JWT of the length of a storefront token, another for each customer.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::Result;

/// How long a token is.
pub const LENGTH: usize = 300;

/// How long a token lives: no benchmark gets near to where somebody would renew it.
pub(crate) const LIFETIME_SECONDS: u64 = 24 * 60 * 60;

/// Its signature signs nothing.
pub(crate) fn token(customer: u32) -> Result<String> {
    const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
    const SIGNATURE: [u8; 32] = [0xA5; 32];
    // What base64 makes 219 characters of. With 36 for the header, 43 for the signature and two dots that is 300.
    const CLAIMS_LENGTH: usize = 164;

    let expiry = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + LIFETIME_SECONDS;
    let claims = |name: &str| {
        format!(
            r#"{{"email":"{name}@example.com","bc_customer_id":{customer},"store_hash":"abc123","db":"default","bc_channel_id":1,"exp":{expiry}}}"#
        )
    };
    let padding = CLAIMS_LENGTH.saturating_sub(claims("").len());
    let token = [
        HEADER.as_bytes(),
        claims(&"a".repeat(padding)).as_bytes(),
        &SIGNATURE,
    ]
    .map(|part| URL_SAFE_NO_PAD.encode(part))
    .join(".");
    if token.len() == LENGTH {
        Ok(token)
    } else {
        Err(format!("a token is {} bytes long", token.len()).into())
    }
}
