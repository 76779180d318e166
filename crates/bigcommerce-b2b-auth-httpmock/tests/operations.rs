//! The generated mocks against the generated client: each operation is matched and answered.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers as well"
)]

use std::sync::Arc;

use bigcommerce_b2b_auth_api::{Client, DirectTransport, Error, SecretString, types};
use bigcommerce_b2b_auth_httpmock::MockServerExt as _;
use httpmock::MockServer;

fn client(server: &MockServer) -> Client {
    let http = reqwest::Client::new();
    let transport = DirectTransport::new(http.clone())
        .credential("X-Auth-Token", "access")
        .credential("X-Store-Hash", "hash")
        .credential("authToken", "legacy");
    Client::new_with_client(&server.url("/api/io"), http, Arc::new(transport))
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

#[tokio::test]
async fn mint_matches_by_its_body() {
    let server = MockServer::start_async().await;
    let request = types::PostAuthCustomersStorefrontRequest {
        customer_id: 42,
        channel_id: Some(3),
        customer_access_token: Some(
            types::PostAuthCustomersStorefrontRequestCustomerAccessToken {
                value: secret("cat"),
                expires_at: None,
            },
        ),
    };
    let mock = server.post_auth_customers_storefront(|when, then| {
        when.body(&request);
        then.ok(&types::PostAuthCustomersStorefrontResponse200 {
            code: Some(serde_json::json!(200)),
            data: types::PostAuthCustomersStorefrontResponse200Data {
                token: types::TokenOneOrMany::Many(vec![secret("t")]),
            },
            meta: None,
        });
    });
    let reply = client(&server)
        .post_auth_customers_storefront(&request)
        .await
        .unwrap();
    mock.assert();
    assert!(
        matches!(&reply.data.token, types::TokenOneOrMany::Many(tokens) if *tokens == [secret("t")])
    );
}

#[tokio::test]
async fn a_token_is_read_alone_and_in_a_list() {
    for (body, expected) in [
        (r#"{"data": {"token": "t"}}"#, "One([REDACTED])"),
        (
            r#"{"code": "200", "data": {"token": ["t"]}, "new": 1}"#,
            "Many([[REDACTED]])",
        ),
    ] {
        let server = MockServer::start_async().await;
        server.get_auth_storefront(|when, then| {
            when.jwt_token("a.b.c").channel_id(None);
            then.into_inner()
                .status(200)
                .header("content-type", "application/json")
                .body(body);
        });
        let reply = client(&server)
            .get_auth_storefront(None, &secret("a.b.c"))
            .await
            .unwrap();
        assert_eq!(format!("{:?}", reply.data.token), expected);
    }
}

#[tokio::test]
async fn a_created_token_is_read_alone_and_in_a_list() {
    let request = types::PostAuthBackendRequest {
        store_hash: "hash".to_owned(),
        email: "user@example.com".to_owned(),
        password: secret("p"),
        name: "n".to_owned(),
        channel_id: None,
        begin_at: None,
        end_at: None,
    };
    for (body, many) in [
        (r#"{"data": [{"name": "n", "token": "t"}]}"#, true),
        (r#"{"data": {"token": "t"}, "meta": {}}"#, false),
    ] {
        let server = MockServer::start_async().await;
        server.post_auth_backend(|when, then| {
            when.body(&request);
            then.into_inner().status(200).body(body);
        });
        let reply = client(&server).post_auth_backend(&request).await.unwrap();
        assert_eq!(
            matches!(reply.data, types::PostAuthBackendResponse200Data::Many(_)),
            many
        );
    }
}

#[tokio::test]
async fn a_deletion_is_read_whatever_its_data_is() {
    let request = types::DeleteAuthBackendRequest {
        id: 7,
        email: None,
        name: None,
    };
    for body in [
        r#"{"code": 200, "data": [], "meta": {"message": "SUCCESS"}}"#,
        r#"{"data": {}}"#,
        r#"{"data": null}"#,
        "{}",
    ] {
        let server = MockServer::start_async().await;
        server.delete_auth_backend(|when, then| {
            when.body(&request);
            then.into_inner().status(200).body(body);
        });
        client(&server).delete_auth_backend(&request).await.unwrap();
    }
}

#[tokio::test]
async fn a_list_needs_no_more_than_ids_and_keeps_unknown_channels() {
    let server = MockServer::start_async().await;
    server.get_backend_tokens(|when, then| {
        when.limit(2).offset(None);
        then.into_inner().status(200).body(
            r#"{"data": [{"id": 1}, {"id": 2, "token": "t", "eventChannel": "new-one"}],
                "meta": {"pagination": {"totalCount": 2}}}"#,
        );
    });
    let reply = client(&server)
        .get_backend_tokens(Some(2), None)
        .await
        .unwrap();
    let [first, second] = reply.data.as_slice() else {
        panic!("two tokens expected: {:?}", reply.data);
    };
    assert_eq!((first.id, first.token.is_some()), (1, false));
    assert_eq!(second.event_channel.as_deref(), Some("new-one"));
    assert!(format!("{second:?}").contains("token: Some([REDACTED])"));
}

#[tokio::test]
async fn a_failure_keeps_its_status() {
    let server = MockServer::start_async().await;
    server.post_auth_customer(|_, then| {
        then.into_inner().status(400).body("<html>");
    });
    let request = types::PostAuthCustomerRequest {
        store_hash: "hash".to_owned(),
        email: "user@example.com".to_owned(),
        password: secret("p"),
        channel_id: None,
        name: "n".to_owned(),
        begin_at: None,
        end_at: None,
    };
    let error = client(&server)
        .post_auth_customer(&request)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::UnexpectedResponse(reply) if reply.status() == 400),
        "{error:?}"
    );
}
