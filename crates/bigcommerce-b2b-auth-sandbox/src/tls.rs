//! The certificate that a sandbox shows, and https with it. Good ones and bad ones alike: whoever
//! tests a client makes them, and the sandbox asks no questions.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What a client that speaks HTTP/2 offers.
#[cfg(feature = "http2")]
pub(crate) const HTTP2: &[u8] = b"h2";

/// A certificate, the certificates that vouch for it, and its key, all in DER.
///
/// Nothing is checked but that the key belongs to the certificate: one that has expired, that
/// nobody vouches for or that names another host is served like any other. The [base
/// URL](crate::RunningSandbox::base_url) has the address 127.0.0.1 in it, which a valid certificate
/// has to name.
///
/// ```
/// use bigcommerce_b2b_auth_sandbox::{Sandbox, TlsIdentity};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = rcgen::KeyPair::generate()?;
/// let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])?.self_signed(&key)?;
/// let identity = TlsIdentity::new([certificate.der().to_vec()], key.serialize_der());
/// let sandbox = Sandbox::builder().tls(identity).start().await?;
///
/// assert!(sandbox.base_url().starts_with("https://127.0.0.1:"));
/// // Nobody vouches for it, so nobody should talk to it.
/// assert!(reqwest::get(sandbox.base_url()).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct TlsIdentity {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

impl TlsIdentity {
    /// The certificate first, then those that vouch for it, the one that signed it first; the key in
    /// PKCS#8, SEC1 or PKCS#1.
    #[must_use]
    pub fn new(chain: impl IntoIterator<Item = Vec<u8>>, key: Vec<u8>) -> Self {
        Self {
            chain: chain.into_iter().collect(),
            key,
        }
    }

    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        // What the libraries say of a key stays with them.
        let refused = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let key = PrivateKeyDer::try_from(self.key.clone())
            .map_err(|_| refused("the TLS key is not a private key in DER"))?;
        let chain = self.chain.iter().cloned().map(CertificateDer::from);
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?
                .with_no_client_auth()
                .with_single_cert(chain.collect(), key)
                .map_err(|_| {
                    refused("the TLS certificate cannot be read, or the key is of another")
                })?;
        config.alpn_protocols = vec![
            #[cfg(feature = "http2")]
            HTTP2.to_vec(),
            b"http/1.1".to_vec(),
        ];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}
