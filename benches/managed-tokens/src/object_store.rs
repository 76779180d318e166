//! object_store's credential provider for Azure with a client secret, over a connector that answers at once. Its token
//! cache is the one that its other clouds have too.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{
    ClientOptions,
    azure::{AzureCredential, MicrosoftAzure, MicrosoftAzureBuilder},
    client::{HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService},
};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    Contender, Result,
    contender::{Miss, in_hand, in_turn, runtime},
    jwt,
};

pub(crate) struct ObjectStore(MicrosoftAzure);

impl ObjectStore {
    pub(crate) fn new() -> Result<Self> {
        let reply = json!({
            "access_token": jwt::token(1)?,
            "expires_in": jwt::LIFETIME_SECONDS,
        });
        let store = MicrosoftAzureBuilder::new()
            .with_account("an-account")
            .with_container_name("a-container")
            .with_client_secret_authorization("a-client", "a secret", "a-tenant")
            .with_http_connector(Answer(reply.to_string().into()))
            .build()?;
        let store = Self(store);
        store.hits(&runtime()?, &[1])?;
        Ok(store)
    }
}

impl Contender for ObjectStore {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        let provider = self.0.credentials();
        in_turn(runtime, customers, async |_| {
            let AzureCredential::BearerToken(token) = &*provider.get_credential().await? else {
                return Err(Miss.into());
            };
            in_hand(token);
            Ok(())
        })
    }
}

/// The connector, and what it connects to.
#[derive(Debug, Clone)]
struct Answer(Arc<str>);

impl HttpConnector for Answer {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Answer {
    async fn call(&self, _: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        Ok(HttpResponse::new(self.0.to_string().into()))
    }
}
