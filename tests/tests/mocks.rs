//! The typed mocks, used as a user of the SDK would: an HTTP server that expects what the document describes.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]
#![expect(deprecated, reason = "deprecated calls have mocks as well")]

use bigcommerce_b2b_auth::{
    ChannelId, Client, CustomerId, ErrorKind, LegacyAuthToken, ServerTokenId, StoreAccess,
};
use bigcommerce_b2b_auth_api::{SecretString, types};
use bigcommerce_b2b_auth_httpmock::MockServerExt;
use httpmock::MockServer;

fn client(server: &MockServer) -> Client {
    Client::builder()
        .credentials(StoreAccess::new("abc123", "access token").unwrap())
        .base_url(server.base_url())
        .build()
        .unwrap()
}

fn secret(text: &str) -> SecretString {
    text.into()
}

#[tokio::test]
async fn mint() {
    let server = MockServer::start_async().await;
    let mock = server.post_auth_customers_storefront(|when, then| {
        when.body(&types::PostAuthCustomersStorefrontRequest {
            customer_id: 42,
            channel_id: Some(7),
            customer_access_token: None,
        })
        .into_inner()
        .header("X-Auth-Token", "access token")
        .header("X-Store-Hash", "abc123");
        then.ok(&types::PostAuthCustomersStorefrontResponse200 {
            code: Some(serde_json::json!(200)),
            data: types::PostAuthCustomersStorefrontResponse200Data {
                token: types::TokenOneOrMany::Many(vec![secret("header.claims.signature")]),
            },
            meta: None,
        });
    });
    let token = client(&server)
        .mint_storefront_token(CustomerId::new(42).unwrap())
        .channel(ChannelId::new(7).unwrap())
        .send()
        .await
        .unwrap();
    mock.assert();
    assert_eq!(token.secret().expose_secret(), "header.claims.signature");
}

#[tokio::test]
async fn log_in_and_exchange() {
    let server = MockServer::start_async().await;
    let login = server.post_auth_customer(|_, then| {
        then.ok(&types::PostAuthCustomerResponse200 {
            code: None,
            data: types::PostAuthCustomerResponse200Data {
                name: Some("checkout".into()),
                token: types::TokenOneOrMany::One(secret("opaque")),
            },
            meta: None,
        });
    });
    let exchange = server.get_auth_storefront(|when, then| {
        when.jwt_token("session").channel_id(None);
        then.ok(&types::GetAuthStorefrontResponse200 {
            code: None,
            data: types::GetAuthStorefrontResponse200Data {
                token: types::TokenOneOrMany::One(secret("opaque")),
            },
            meta: None,
        });
    });
    let client = client(&server);
    let token = client
        .log_in_storefront_user()
        .email("ada@example.com")
        .password("p")
        .name("checkout")
        .send()
        .await
        .unwrap();
    assert_eq!(token.name(), Some("checkout"));
    client.exchange_session_jwt("session").send().await.unwrap();
    login.assert();
    exchange.assert();
}

#[tokio::test]
async fn server_tokens() {
    let server = MockServer::start_async().await;
    server.post_auth_backend(|_, then| {
        then.ok(&types::PostAuthBackendResponse200 {
            code: None,
            data: types::PostAuthBackendResponse200Data::Many(vec![
                types::PostAuthBackendResponse200DataItem {
                    name: None,
                    token: secret("legacy"),
                },
            ]),
            meta: None,
        });
    });
    server.get_backend_tokens(|when, then| {
        when.limit(5)
            .offset(None)
            .into_inner()
            .header("authToken", "legacy");
        then.ok(&types::GetBackendTokensResponse200 {
            code: None,
            data: vec![],
            meta: None,
        });
    });
    // What the document does not declare goes through `into_inner`.
    server.delete_auth_backend(|_, then| {
        then.into_inner().status(404).json_body(
            serde_json::json!({"code": 404, "data": {"errMsg": "No matching token was found."}}),
        );
    });
    let client = client(&server);
    let created = client
        .create_server_token()
        .email("ada@example.com")
        .password("p")
        .name("export")
        .send()
        .await
        .unwrap();
    let legacy =
        client.with_legacy_auth_token(LegacyAuthToken::new(created.token.clone()).unwrap());
    let page = legacy.list_server_tokens().limit(5).send().await.unwrap();
    assert!(page.tokens.is_empty());
    let error = legacy
        .delete_server_token(ServerTokenId::new(9).unwrap())
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
