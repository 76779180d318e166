//! https by whichever TLS feature is on: CI runs this with each of them alone, since all of them together are only one.
//! `cargo test -p bigcommerce-b2b-auth --no-default-features --features native-tls,http2 --test tls`
#![cfg(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
))]
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    error::Error as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use bigcommerce_b2b_auth::{
    Client, CustomerId, Error, ErrorKind, RetryPolicy, StoreAccess,
    transport::{HttpTransport, Operation, Transport, TransportFuture},
};
use bigcommerce_b2b_auth_sandbox::{RunningSandbox, Sandbox, TlsIdentity, demo};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Not the name that a certificate gets by default: it would be taken for this one.
    let name = &mut params.distinguished_name;
    name.push(DnType::CommonName, "an authority");
    Authority::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A sandbox with a certificate for `host` that `authority` signed, or that signed itself.
async fn start(authority: Option<&Authority>, host: &str, until: i32) -> RunningSandbox {
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = match authority {
        Some(authority) => params.signed_by(&key, authority).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let identity = TlsIdentity::new([certificate.der().to_vec()], key.serialize_der());
    let sandbox = Sandbox::builder().tls(identity);
    sandbox.start().await.unwrap()
}

/// A year in which a certificate that is valid now ends.
const VALID: i32 = 4000;

/// Notes which HTTP was spoken.
#[derive(Debug)]
struct Noting {
    transport: HttpTransport,
    spoken: Spoken,
}

impl Transport for Noting {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        operation: &'static Operation,
    ) -> TransportFuture<'a> {
        Box::pin(async move {
            let response = self.transport.send(request, operation).await?;
            self.spoken.lock().unwrap().push(response.version());
            Ok(response)
        })
    }
}

type Spoken = Arc<Mutex<Vec<http::Version>>>;

/// Trusts one authority and no other.
fn trusting(authority: &Authority, sandbox: &RunningSandbox, spoken: &Spoken) -> Client {
    let root = reqwest::Certificate::from_der(authority.der()).unwrap();
    let http = move || {
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([root.clone()])
    };
    Client::builder()
        .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
        .base_url(sandbox.base_url())
        // So that what is repeated is repeated at once.
        .retry(RetryPolicy::builder().first_wait(Duration::ZERO).build())
        .transport(Arc::new(Noting {
            transport: HttpTransport::from_builder(http).unwrap(),
            spoken: Arc::clone(spoken),
        }))
        .build()
        .unwrap()
}

async fn mint(client: &Client) -> Result<(), Error> {
    let customer = CustomerId::new(demo::CUSTOMER_ID).unwrap();
    client
        .mint_storefront_token(customer)
        .send()
        .await
        .map(drop)
}

#[tokio::test]
async fn https_is_spoken_with_whom_the_builder_trusts() {
    #[cfg(not(any(feature = "rustls", feature = "native-tls")))]
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .unwrap();
    let (trusted, unknown) = (authority(), authority());
    let sandbox = start(Some(&trusted), "127.0.0.1", VALID).await;
    let spoken = Spoken::default();
    let client = trusting(&trusted, &sandbox, &spoken);
    mint(&client).await.unwrap();
    mint(&client).await.unwrap();
    let expected = if cfg!(feature = "http2") {
        http::Version::HTTP_2
    } else {
        http::Version::HTTP_11
    };
    assert_eq!(*spoken.lock().unwrap(), [expected, expected]);

    let elsewhere = start(Some(&trusted), "b2b.example.com", VALID).await;
    let expired = start(Some(&trusted), "127.0.0.1", 2001).await;
    let of_itself = start(None, "127.0.0.1", VALID).await;
    for (sandbox, client) in [
        (&sandbox, trusting(&unknown, &sandbox, &spoken)),
        (&elsewhere, trusting(&trusted, &elsewhere, &spoken)),
        (&expired, trusting(&trusted, &expired, &spoken)),
        (&of_itself, trusting(&trusted, &of_itself, &spoken)),
    ] {
        sandbox.clear_requests();
        let error = mint(&client).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
        assert!(error.source().is_some() && !error.may_have_been_applied());
        assert_eq!(sandbox.request_count(), 0);
        // rustls says that it is about trust, which no repetition mends; the system's TLS says no more than that it failed.
        if !cfg!(feature = "native-tls") {
            assert_eq!(error.attempts(), 1, "{error:?}");
            assert!(!error.is_retryable());
            assert!(error.to_string().contains("TLS refused"), "{error}");
        }
    }
}
