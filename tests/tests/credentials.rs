//! Which call a client has depends on its credentials. This is proved by the compiler without a second one being run:
//! a method that does not exist inherently is found on a trait instead, and answers `Absent`.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::any::type_name_of_val;

use bigcommerce_b2b_auth::{
    Client, CustomerId, LegacyAuthToken, ServerTokenId, StoreAccess, StoreHash,
    transport::{Operation, operations},
};

/// What the fallback answers. An inherent method, where there is one, is preferred over it.
#[derive(Debug, PartialEq)]
struct Absent;

trait Fallback {
    fn mint_storefront_token(&self, _: CustomerId) -> Absent {
        Absent
    }
    fn log_in_storefront_user(&self) -> Absent {
        Absent
    }
    fn exchange_session_jwt(&self, _: &str) -> Absent {
        Absent
    }
    fn create_server_token(&self) -> Absent {
        Absent
    }
    fn list_server_tokens(&self) -> Absent {
        Absent
    }
    fn all_server_tokens(&self) -> Absent {
        Absent
    }
    fn delete_server_token(&self, _: ServerTokenId) -> Absent {
        Absent
    }
    fn with_legacy_auth_token(&self, _: LegacyAuthToken) -> Absent {
        Absent
    }
}

impl<C> Fallback for Client<C> {}

macro_rules! calls_of {
    ($client:expr) => {{
        let client = $client;
        #[allow(deprecated, reason = "deprecated calls need their credential as well")]
        let calls = [
            (
                "mint",
                type_name_of_val(&client.mint_storefront_token(CustomerId::new(1).unwrap())),
            ),
            ("login", type_name_of_val(&client.log_in_storefront_user())),
            (
                "exchange",
                type_name_of_val(&client.exchange_session_jwt("jwt")),
            ),
            ("create", type_name_of_val(&client.create_server_token())),
            ("list", type_name_of_val(&client.list_server_tokens())),
            ("all", type_name_of_val(&client.all_server_tokens())),
            (
                "delete",
                type_name_of_val(&client.delete_server_token(ServerTokenId::new(1).unwrap())),
            ),
        ];
        calls
            .into_iter()
            .filter(|(_, of_type)| !of_type.ends_with("::Absent"))
            .map(|(call, _)| call)
            .collect::<Vec<_>>()
    }};
}

#[test]
fn a_client_has_the_calls_that_its_credentials_allow_and_no_other() {
    let access = Client::new("abc123", "access token").unwrap();
    let hash = access.for_store(StoreHash::new("abc123").unwrap());
    let legacy = access.with_legacy_auth_token(LegacyAuthToken::new("legacy").unwrap());
    assert_eq!(calls_of!(&access), ["mint", "login", "exchange", "create"]);
    assert_eq!(calls_of!(&hash), ["login", "exchange", "create"]);
    assert_eq!(calls_of!(&legacy), ["list", "all", "delete"]);
    // No way leads from the legacy token to the current pair or back into a mixture of both.
    assert_eq!(
        legacy.with_legacy_auth_token(LegacyAuthToken::new("legacy").unwrap()),
        Absent
    );
}

/// The headers that a type of credentials can send.
fn headers_of<C>(_: &Client<C>) -> &'static [&'static str] {
    match std::any::type_name::<C>().rsplit("::").next().unwrap() {
        "StoreAccess" => &["X-Auth-Token", "X-Store-Hash"],
        "StoreHash" => &["X-Store-Hash"],
        "LegacyAuthToken" => &["authToken"],
        other => panic!("unknown credentials {other}"),
    }
}

#[test]
fn every_operation_of_the_document_can_be_sent_by_some_kind_of_credentials() {
    let access = Client::new("abc123", "access token").unwrap();
    let hash = access.for_store(StoreHash::new("abc123").unwrap());
    let legacy = access.with_legacy_auth_token(LegacyAuthToken::new("legacy").unwrap());
    let chosen = |operation: &Operation, headers: &[&str]| {
        operation.choose_credentials(|name| headers.contains(&name))
    };
    let kinds = [headers_of(&access), headers_of(&hash), headers_of(&legacy)];
    for operation in operations::ALL {
        assert!(
            kinds
                .iter()
                .any(|headers| chosen(operation, headers).is_some()),
            "no kind of credentials can send {}",
            operation.id
        );
    }
}

/// What the compiler finds when a type does not have a trait.
trait Lacks {
    fn has(&self) -> bool {
        false
    }
}

struct Probe<T>(std::marker::PhantomData<T>);

impl<T> Lacks for Probe<T> {}

/// Whether a type has a trait: an inherent method with that bound is preferred over the one of `Lacks`.
macro_rules! has {
    ($type:ty: $bound:path) => {{
        struct With<T>(Probe<T>);
        impl<T> std::ops::Deref for With<T> {
            type Target = Probe<T>;
            fn deref(&self) -> &Probe<T> {
                &self.0
            }
        }
        #[allow(
            dead_code,
            reason = "unused where the type lacks the trait, which is what is asked"
        )]
        impl<T: $bound> With<T> {
            fn has(&self) -> bool {
                true
            }
        }
        With::<$type>(Probe(std::marker::PhantomData)).has()
    }};
}

#[test]
fn a_secret_can_be_neither_printed_nor_serialised() {
    use bigcommerce_b2b_auth::{Secret, StorefrontToken};

    // The probe itself tells one from the other.
    assert!(has!(String: std::fmt::Display) && has!(String: serde::Serialize));
    assert!(!has!(Secret: std::fmt::Display) && !has!(Secret: serde::Serialize));
    assert!(!has!(StorefrontToken: std::fmt::Display) && !has!(StorefrontToken: serde::Serialize));
}

/// Looks at the headers of a request and fails it.
#[derive(Debug, Default)]
struct Inspector(std::sync::Mutex<Vec<(String, bool)>>);

impl bigcommerce_b2b_auth::transport::Transport for Inspector {
    fn send<'a>(
        &'a self,
        request: reqwest::Request,
        _: &'static Operation,
    ) -> bigcommerce_b2b_auth::transport::TransportFuture<'a> {
        *self.0.lock().unwrap() = request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.is_sensitive()))
            .collect();
        Box::pin(async {
            Err(bigcommerce_b2b_auth::transport::TransportError::new(
                bigcommerce_b2b_auth::transport::Delivery::Unknown,
                "inspected",
            ))
        })
    }
}

#[tokio::test]
async fn credential_headers_are_marked_as_sensitive() {
    let inspector = std::sync::Arc::new(Inspector::default());
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", "access token").unwrap())
        .transport(inspector.clone())
        .build()
        .unwrap();
    let error = client
        .mint_storefront_token(CustomerId::new(1).unwrap())
        .send()
        .await
        .unwrap_err();
    assert!(error.may_have_been_applied());
    let seen = inspector.0.lock().unwrap().clone();
    for (name, sensitive) in [
        ("x-auth-token", true),
        ("x-store-hash", true),
        ("user-agent", false),
    ] {
        assert!(seen.contains(&(name.to_owned(), sensitive)), "{seen:?}");
    }
}
