//! The feature `rustls-no-provider`, which has to be the only one for TLS, and a process of its own:
//! `cargo test -p bigcommerce-b2b-auth --no-default-features --features rustls-no-provider --test rustls_no_provider`
#![cfg(all(
    feature = "rustls-no-provider",
    not(any(feature = "rustls", feature = "native-tls"))
))]

use bigcommerce_b2b_auth::{Client, ErrorKind, StoreAccess, transport::HttpTransport};
use rustls::crypto::aws_lc_rs;

#[test]
fn a_client_wants_the_provider_that_the_application_installs() {
    let missing = [
        Client::new("abc123", "token").unwrap_err(),
        HttpTransport::new().unwrap_err(),
        HttpTransport::from_builder(reqwest::Client::builder).unwrap_err(),
        Client::builder()
            .credentials(StoreAccess::new("abc123", "token").unwrap())
            .base_url("http://127.0.0.1:8080")
            .build()
            .unwrap_err(),
    ];
    for error in missing {
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("install_default"), "{error}");
    }

    aws_lc_rs::default_provider().install_default().unwrap();
    Client::new("abc123", "token").unwrap();
    HttpTransport::from_builder(reqwest::Client::builder).unwrap();
}
