//! azure_identity's client assertion credential, over a transport that answers at once.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{
    credentials::TokenCredential as _,
    http::{
        AsyncRawResponse, ClientMethodOptions, ClientOptions, HttpClient, Request, StatusCode,
        Transport, headers::Headers,
    },
};
use azure_identity::{
    ClientAssertion, ClientAssertionCredential, ClientAssertionCredentialOptions,
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    Contender, Result,
    contender::{in_hand, in_turn, runtime},
    jwt,
};

const SCOPES: &[&str] = &["https://b2b.example.com/.default"];

pub(crate) struct Azure(Arc<ClientAssertionCredential<Assertion>>);

impl Azure {
    pub(crate) fn new() -> Result<Self> {
        let reply = json!({
            "token_type": "Bearer",
            "expires_in": jwt::LIFETIME_SECONDS,
            "ext_expires_in": jwt::LIFETIME_SECONDS,
            "access_token": jwt::token(1)?,
        });
        let client_options = ClientOptions {
            transport: Some(Transport::new(Arc::new(Answer(reply.to_string())))),
            ..ClientOptions::default()
        };
        let azure = Self(ClientAssertionCredential::new(
            "a-tenant".into(),
            "a-client".into(),
            Assertion,
            Some(ClientAssertionCredentialOptions { client_options }),
        )?);
        azure.hits(&runtime()?, &[1])?;
        Ok(azure)
    }
}

impl Contender for Azure {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |_| {
            let token = self.0.get_token(SCOPES, None).await?;
            in_hand(token.token.secret());
            Ok(())
        })
    }
}

#[derive(Debug)]
struct Assertion;

#[async_trait]
impl ClientAssertion for Assertion {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        Ok("an assertion".into())
    }
}

/// The transport.
#[derive(Debug)]
struct Answer(String);

#[async_trait]
impl HttpClient for Answer {
    async fn execute_request(&self, _: &Request) -> azure_core::Result<AsyncRawResponse> {
        Ok(AsyncRawResponse::from_bytes(
            StatusCode::Ok,
            Headers::new(),
            self.0.clone(),
        ))
    }
}
