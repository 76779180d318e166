//! The key of a snapshot, and the keys that are made of it: one for each thing that it seals, so that no nonce of one thing
//! means anything to another.

use std::fmt;

use base64::{Engine as _, engine::general_purpose};
use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::Error;

/// What seals a [`Snapshot`](super::Snapshot): 32 random bytes. Whoever has them can read the tokens in the file.
///
/// Make one with `openssl rand -base64 32`, and keep it where your other secrets are, not beside the file. It prints as
/// `[REDACTED]` and is wiped from memory when it is dropped.
///
/// ```
/// use bigcommerce_b2b_auth::SnapshotKey;
///
/// # let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="; // std::env::var("SNAPSHOT_KEY")?
/// let key = SnapshotKey::from_base64(text)?;
/// assert_eq!(format!("{key:?}"), "[REDACTED]");
/// # Ok::<(), bigcommerce_b2b_auth::Error>(())
/// ```
#[derive(Clone)]
pub struct SnapshotKey(Zeroizing<[u8; SnapshotKey::LENGTH]>);

impl SnapshotKey {
    const LENGTH: usize = 32;

    /// Reads a key as `openssl rand -base64 32` writes it. Space around it is let pass.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration) when the text is not base64, or not of 32 bytes. It is not
    /// repeated.
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let mut key = Zeroizing::new([0; Self::LENGTH]);
        // Room for more than a key: one that is too long is to be told apart from one that is no base64.
        let mut bytes = Zeroizing::new([0; 256]);
        let length = general_purpose::STANDARD
            .decode_slice(text.trim(), &mut *bytes)
            .map_err(|_| {
                Error::configuration(
                    "the snapshot key is not base64 of 32 bytes: make one with `openssl rand -base64 32`",
                )
            })?;
        match bytes.get(..length) {
            Some(bytes) if length == Self::LENGTH => key.copy_from_slice(bytes),
            _ => {
                return Err(Error::configuration(format!(
                    "the snapshot key has {length} bytes, and 32 are wanted: make one with `openssl rand -base64 32`"
                )));
            }
        }
        Ok(Self(key))
    }

    /// A key for one purpose, which tells nothing of this one nor of those for other purposes: the stream of XChaCha20 under a
    /// nonce that stands for the purpose. The key itself is used for nothing else.
    fn derived<const N: usize>(&self, purpose: Purpose) -> Zeroizing<[u8; N]> {
        let mut nonce = *b"bigcommerce-b2b-auth/v1 ";
        let [.., last] = &mut nonce;
        *last = purpose as u8;
        let mut key = Zeroizing::new([0; N]);
        #[expect(
            clippy::expect_used,
            reason = "only a text of many gigabytes cannot be encrypted, and 32 bytes are none"
        )]
        XChaCha20Poly1305::new(&(*self.0).into())
            .encrypt_inout_detached(&XNonce::from(nonce), b"", key.as_mut_slice().into())
            .expect("it is short");
        key
    }
}

/// What a key is made for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Name = 1,
    Snapshot = 2,
    // 3 was for the number in the lock file.
}

impl From<[u8; 32]> for SnapshotKey {
    fn from(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }
}

impl fmt::Debug for SnapshotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// By what a file tells which key it was sealed with. It tells nothing of the key.
pub(super) type KeyName = [u8; 8];

/// The keys that are made of one that the caller gave. They are wiped when dropped.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) name: KeyName,
    /// Seals snapshots.
    pub(super) snapshot: XChaCha20Poly1305,
}

impl From<&SnapshotKey> for Keys {
    fn from(key: &SnapshotKey) -> Self {
        Self {
            name: *key.derived(Purpose::Name),
            snapshot: XChaCha20Poly1305::new(&(*key.derived::<32>(Purpose::Snapshot)).into()),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const TEXT: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn counting() -> [u8; 32] {
        std::array::from_fn(|at| u8::try_from(at).unwrap())
    }

    #[test]
    fn a_key_is_read_as_openssl_writes_it() {
        for text in [TEXT, &format!(" {TEXT}\n")] {
            assert_eq!(*SnapshotKey::from_base64(text).unwrap().0, counting());
        }
        assert_eq!(*SnapshotKey::from(counting()).0, counting());
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_way_to_one_and_not_repeated() {
        let long = "AAAA".repeat(200);
        for (text, expected) in [
            ("", "has 0 bytes"),
            ("hunter2!", "not base64"),
            ("c2hvcnQ=", "has 5 bytes"),
            (&TEXT[..43], "not base64"),
            (
                "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
                "has 33 bytes",
            ),
            (&long, "not base64 of 32 bytes"),
        ] {
            let error = SnapshotKey::from_base64(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{shown}");
            assert!(shown.contains("openssl rand -base64 32"), "{shown}");
            assert!(text.is_empty() || !shown.contains(text), "{shown}");
        }
    }

    #[test]
    fn keys_for_different_purposes_have_nothing_in_common() {
        let key = SnapshotKey::from(counting());
        let made = [
            *key.derived::<32>(Purpose::Name),
            *key.derived::<32>(Purpose::Snapshot),
            *SnapshotKey::from([0; 32]).derived::<32>(Purpose::Snapshot),
            counting(),
            [0; 32],
        ];
        for (at, one) in made.iter().enumerate() {
            for other in &made[at + 1..] {
                assert!(one.iter().zip(other).filter(|(a, b)| a == b).count() < 8);
            }
        }
        // A file that was written once has to be readable for ever.
        assert_eq!(Keys::from(&key).name, KNOWN_NAME);
    }

    const KNOWN_NAME: KeyName = [216, 211, 0, 138, 88, 227, 246, 187];

    #[test]
    fn debug_shows_no_key() {
        let key = SnapshotKey::from([7; 32]);
        let keys = Keys::from(&key);
        assert_eq!(format!("{key:?} {keys:?}"), "[REDACTED] Keys([REDACTED])");
        assert_eq!(keys.clone().name, keys.name);
    }
}
