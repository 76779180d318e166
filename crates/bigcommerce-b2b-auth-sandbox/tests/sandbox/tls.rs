//! The sandbox over https, with certificates of every kind, made here.

use std::time::Duration;

use axum::http::StatusCode;
#[cfg(feature = "http2")]
use bigcommerce_b2b_auth_sandbox::WrongLength;
use bigcommerce_b2b_auth_sandbox::{Fault, Operation, RunningSandbox, Sandbox, TlsIdentity};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

use crate::support::Ask;

/// How long a client waits that is to give up.
const BRIEF: Duration = Duration::from_millis(150);

/// An authority that a client trusts, or not.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not the name that a certificate gets by default: it would be taken for this one.
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// A certificate for 127.0.0.1, after what `change` does to it.
    fn vouch(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsIdentity {
        let mut params = for_loopback();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        TlsIdentity::new([certificate.der().to_vec()], key.serialize_der())
    }

    /// A client that trusts this authority and no other.
    fn client(&self) -> reqwest::Client {
        // Longer than a busy machine ever takes.
        self.client_with(Duration::from_secs(30))
    }

    fn client_with(&self, patience: Duration) -> reqwest::Client {
        let root = reqwest::Certificate::from_der(self.0.der()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            // By name, since what a certificate is refused for is told in this one's words.
            .tls_backend_rustls()
            .tls_certs_only([root])
            .timeout(patience)
            .build()
            .unwrap()
    }
}

fn for_loopback() -> CertificateParams {
    CertificateParams::new(["127.0.0.1".to_owned()]).unwrap()
}

async fn start(identity: TlsIdentity) -> RunningSandbox {
    Sandbox::builder().tls(identity).start().await.unwrap()
}

/// The error of a mint, cause by cause.
async fn refusal(identity: TlsIdentity, client: &reqwest::Client) -> String {
    let sandbox = start(identity).await;
    let error = Ask::mint()
        .send_to(sandbox.base_url(), client)
        .await
        .unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(sandbox.request_count(), 0, "nothing was sent");
    format!("{error:?}")
}

#[tokio::test]
async fn a_certificate_that_the_client_trusts_is_good() {
    let authority = Authority::new();
    let sandbox = start(authority.vouch(|_| {})).await;
    let url = sandbox.base_url();
    assert_eq!(
        url,
        format!("https://127.0.0.1:{}", sandbox.address().port())
    );
    let client = authority.client();
    for _ in 0..2 {
        let response = Ask::mint().send_to(url, &client).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(sandbox.request_count(), 2);
    sandbox.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let expired = authority.vouch(|params| {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    });
    let error = refusal(expired, &authority.client()).await;
    assert!(error.contains("Expired"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let key = KeyPair::generate().unwrap();
    let certificate = for_loopback().self_signed(&key).unwrap();
    let identity = TlsIdentity::new([certificate.der().to_vec()], key.serialize_der());
    let error = refusal(identity, &Authority::new().client()).await;
    assert!(error.contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let identity = Authority::new().vouch(|_| {});
    let error = refusal(identity, &Authority::new().client()).await;
    assert!(
        error.contains("UnknownIssuer") || error.contains("BadSignature"),
        "{error}"
    );
}

#[tokio::test]
async fn a_certificate_of_another_name_is_refused() {
    let authority = Authority::new();
    let other = authority.vouch(|params| {
        *params = CertificateParams::new(["elsewhere.invalid".to_owned()]).unwrap();
    });
    let error = refusal(other, &authority.client()).await;
    assert!(error.contains("NotValidForName"), "{error}");
}

#[tokio::test]
async fn faults_of_the_connection_strike_within_tls_too() {
    let authority = Authority::new();
    let sandbox = start(authority.vouch(|_| {})).await;
    let (patient, brief) = (authority.client(), authority.client_with(BRIEF));
    let mint = async |fault, client| {
        sandbox.fail_next(Operation::Mint, fault);
        let response = Ask::mint().send_to(sandbox.base_url(), client).await?;
        response.bytes().await
    };
    for (fault, times_out) in [
        (Fault::RefuseConnection, false),
        (Fault::ResetDuringReply, false),
        (Fault::TruncatedBody, false),
        (Fault::DoubleContentLength, false),
        (Fault::StallInBody, true),
    ] {
        let client = if times_out { &brief } else { &patient };
        let error = mint(fault.clone(), client).await.unwrap_err();
        assert_eq!(error.is_timeout(), times_out, "{fault:?}: {error:?}");
    }
    assert!(mint(Fault::BadUtf8, &patient).await.is_ok());
}

#[tokio::test]
async fn a_handshake_can_be_left_without_a_word() {
    let authority = Authority::new();
    let sandbox = start(authority.vouch(|_| {})).await;
    sandbox.hold_connections(true);
    let (mint, client) = (Ask::mint(), authority.client_with(BRIEF));
    let sent = mint.send_to(sandbox.base_url(), &client).await;
    assert!(sent.unwrap_err().is_timeout());
    assert_eq!(sandbox.request_count(), 0);
}

#[tokio::test]
async fn what_cannot_be_served_is_an_error_at_the_start_and_shows_no_key() {
    let key = KeyPair::generate().unwrap();
    let certificate = for_loopback().self_signed(&key).unwrap();
    let chain = [certificate.der().to_vec()];
    let other_key = KeyPair::generate().unwrap().serialize_der();
    for identity in [
        TlsIdentity::new(chain.clone(), b"no key".to_vec()),
        TlsIdentity::new(chain, other_key),
        TlsIdentity::new([], key.serialize_der()),
        TlsIdentity::new([b"no certificate".to_vec()], key.serialize_der()),
    ] {
        assert!(!format!("{identity:?}").contains("key: ["));
        let error = Sandbox::builder().tls(identity).start().await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn http2_is_spoken_with_whoever_asks_for_it() {
    let authority = Authority::new();
    let sandbox = start(authority.vouch(|_| {})).await;
    let (patient, brief) = (authority.client(), authority.client_with(BRIEF));
    let mint = async |client| {
        let response = Ask::mint().send_to(sandbox.base_url(), client).await?;
        assert_eq!(response.version(), axum::http::Version::HTTP_2);
        let status = response.status();
        response.bytes().await.map(|_| status)
    };
    for (name, fault) in Fault::catalogue() {
        sandbox.fail_next(Operation::Mint, fault.clone());
        let stalls = matches!(
            fault,
            Fault::StallBeforeReply { .. }
                | Fault::StallInHead
                | Fault::StallInBody
                | Fault::SlowBody { .. }
        );
        let failed = mint(if stalls { &brief } else { &patient }).await.is_err();
        let breaks = matches!(
            fault,
            Fault::RefuseConnection
                | Fault::ResetBeforeRequest
                | Fault::ResetDuringRequest
                | Fault::ResetBeforeReply { .. }
                | Fault::CloseBeforeReply { .. }
                | Fault::ResetDuringReply
                | Fault::TruncatedBody
                | Fault::EndlessBody
                | Fault::WrongContentLength {
                    length: WrongLength::TooLong
                }
                | Fault::DoubleContentLength
                | Fault::HeaderFlood { .. }
        );
        assert_eq!(failed, breaks || stalls, "{name}");
        if fault == Fault::CloseOnReuse {
            assert!(mint(&patient).await.is_err());
        }
        assert_eq!(mint(&patient).await.unwrap(), StatusCode::OK, "{name}");
    }
    sandbox.shutdown().await.unwrap();
}
