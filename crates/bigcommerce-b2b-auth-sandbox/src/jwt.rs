//! Real HS256 JSON Web Tokens, signed with a key of the sandbox's own and verified on return.
//! Real, since a client reads their claims, and a test must be able to prove whose they are.
//! No JWT crate: the well-kept one brings RSA and elliptic curves, or C, for what are 30 lines here.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

type HmacSha256 = Hmac<Sha256>;

/// Signs and verifies, and derives every id that the sandbox makes up, from one seed.
///
/// The key follows from the seed, so a sandbox can be made to repeat itself byte for byte. It
/// protects nothing: it only makes the tokens of two sandboxes differ, and a forged one detectable.
pub(crate) struct Signer {
    key: [u8; 64],
    seed: u64,
}

impl Signer {
    pub(crate) fn new(seed: u64) -> Self {
        // Twice the digest fills the block of HMAC-SHA256 exactly: the key is then taken as it is,
        // and taking it cannot fail.
        let digest: [u8; 32] = derive(seed, "signing key", 0);
        let mut key = [0; 64];
        for (byte, source) in key.iter_mut().zip(digest.iter().cycle()) {
            *byte = *source;
        }
        Self { key, seed }
    }

    /// The compact form of a token with these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "HS256" });
        let signed = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = encode(self.mac(&signed).finalize().into_bytes());
        format!("{signed}.{signature}")
    }

    /// The claims of a token that this signer made, whatever its expiry says. The signature is
    /// compared in constant time.
    pub(crate) fn verify(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Value = serde_json::from_slice(&decode(header)?).ok()?;
        if header.get("alg").and_then(Value::as_str) != Some("HS256") {
            return None;
        }
        self.mac(signed).verify_slice(&decode(signature)?).ok()?;
        serde_json::from_slice(&decode(claims)?).ok()
    }

    /// The `number`th id of a kind: 32 hexadecimal digits, the same ones for the same seed.
    pub(crate) fn id(&self, kind: &str, number: u64) -> HeaderValue {
        let digest = derive(self.seed, kind, number);
        let hex: String = digest
            .iter()
            .take(16)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        HeaderValue::try_from(hex).unwrap_or(HeaderValue::from_static("0"))
    }

    fn mac(&self, signed: &str) -> HmacSha256 {
        let mut mac = HmacSha256::new(&self.key.into());
        mac.update(signed.as_bytes());
        mac
    }
}

fn derive(seed: u64, kind: &str, number: u64) -> [u8; 32] {
    Sha256::new()
        .chain_update("bigcommerce-b2b-auth-sandbox")
        .chain_update(seed.to_be_bytes())
        .chain_update(kind)
        .chain_update(number.to_be_bytes())
        .finalize()
        .into()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_token_has_three_parts_and_verifies() {
        let signer = Signer::new(1);
        let claims = json!({ "email": "a@example.org", "exp": 5 });
        let token = signer.sign(&claims);
        let parts: Vec<_> = token.split('.').collect();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[2].len(), 43, "256 bits in unpadded base64url");
        assert_eq!(signer.verify(&token), Some(claims));
    }

    #[test]
    fn the_signature_is_the_one_of_the_standard() {
        // Computed independently of this crate, with a key of 64 zero bytes: Python's hmac module
        // over `HEADER.CLAIMS`
        let signer = Signer {
            key: [0; 64],
            seed: 0,
        };
        let signed = format!("{}.{}", encode(r#"{"alg":"HS256"}"#), encode("{}"));
        assert_eq!(signed, "eyJhbGciOiJIUzI1NiJ9.e30");
        let token = format!(
            "{signed}.{}",
            encode(signer.mac(&signed).finalize().into_bytes())
        );
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiJ9.e30.4E_Bsx-pJi3kOW9wVXN8CgbATwP09D9V5gxh9-9zSZ0"
        );
        assert_eq!(signer.verify(&token), Some(json!({})));
    }

    #[test]
    fn a_changed_token_does_not_verify() {
        let signer = Signer::new(1);
        let token = signer.sign(&json!({ "email": "a@example.org" }));
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let forged = encode(r#"{"email":"b@example.org"}"#);
        let unsigned_header = encode(r#"{"alg":"none"}"#);
        for bad in [
            format!("{header}.{forged}.{signature}"),
            format!("{signed}."),
            format!("{signed}.{}", &signature[..42]),
            format!("{unsigned_header}.{forged}."),
            signed.to_owned(),
            String::new(),
            "..".to_owned(),
            "é.é.é".to_owned(),
        ] {
            assert_eq!(signer.verify(&bad), None, "{bad}");
        }
        assert_eq!(
            Signer::new(2).verify(&token),
            None,
            "another sandbox has another key"
        );
    }

    #[test]
    fn ids_differ_by_kind_and_number_and_repeat_by_seed() {
        let signer = Signer::new(7);
        assert_ne!(signer.id("request", 1), signer.id("request", 2));
        assert_ne!(signer.id("request", 1), signer.id("trace", 1));
        assert_eq!(signer.id("request", 1), Signer::new(7).id("request", 1));
        assert_eq!(signer.id("request", 1).len(), 32);
    }
}
