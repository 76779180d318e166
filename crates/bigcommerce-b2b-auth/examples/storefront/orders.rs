//! Calls to the storefront's GraphQL API, each with the token of its shopper: `TokenLayer` around any `tower` service that sends
//! `http` requests.
//!
//! It is shown for those who have such a stack already. With nothing to fit into, this is all that it takes:
//!
//! ```text
//! let api = StorefrontApi::builder().tokens(tokens).build()?;
//! let orders: Orders = api.graphql(customer, QUERY).send().await?.into_data()?;
//! ```

use std::sync::Arc;

use axum::http::{Request, Response, header};
use bigcommerce_b2b_auth::{
    AllowedOrigins, CallError, CustomerId, Error, PeekedBody, StorefrontTokens, TokenLayer,
    TokenRequest, TokenUse,
};
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tower::{ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};

use crate::shop::ShopError;

const QUERY: &str = "query { orders { id placed total status } }";

/// The longest reply that is read, in bytes.
const LONGEST_REPLY: usize = 1024 * 1024;

/// The storefront's GraphQL API. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OrdersApi {
    service: BoxCloneSyncService<
        Request<String>,
        Response<PeekedBody<reqwest::Body>>,
        CallError<reqwest::Error>,
    >,
    url: Arc<str>,
}

/// An order, as GraphQL has it and as the page gets it.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    id: u64,
    placed: String,
    total: String,
    status: String,
}

/// A reply of the API: `data`, `errors`, or both.
#[derive(Deserialize)]
struct Reply {
    data: Option<Orders>,
}

#[derive(Deserialize)]
struct Orders {
    orders: Vec<Order>,
}

impl OrdersApi {
    /// The API at this URL: for the real one `https://api-b2b.bigcommerce.com/graphql`.
    pub(crate) fn new(
        tokens: StorefrontTokens,
        url: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let http = reqwest::Client::builder()
            // A redirect that is followed below the layer would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(10))
            .no_proxy() // what stands in for the API is on this machine
            .build()?;
        let send = service_fn(move |request: Request<String>| {
            let http = http.clone();
            async move {
                let reply = http.execute(request.try_into()?).await?;
                Ok::<_, reqwest::Error>(Response::from(reply))
            }
        });
        // Tokens go to this origin and to no other. For the real API: `AllowedOrigins::bigcommerce()`.
        let layer = TokenLayer::new(tokens, AllowedOrigins::only(url)?);
        Ok(Self {
            service: BoxCloneSyncService::new(ServiceBuilder::new().layer(layer).service(send)),
            url: url.into(),
        })
    }

    /// The orders of a customer, and how often the call was sent: twice when its token was refused and replaced.
    pub(crate) async fn of(&self, customer: CustomerId) -> Result<(Vec<Order>, u32), ShopError> {
        let request = Request::post(&*self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .extension(TokenRequest::new(customer)) // whose token the layer puts on it
            .body(json!({ "query": QUERY }).to_string())
            .map_err(ShopError::internal)?;
        let reply = self.service.clone().oneshot(request).await?;
        let status = reply.status();
        let token_use = reply.extensions().get().copied();
        let body = Limited::new(reply.into_body(), LONGEST_REPLY)
            .collect()
            .await
            .map_err(ShopError::storefront)?
            .to_bytes();
        // The layer has done what it could: a refusal that comes through is of a token that was only just replaced.
        let Some(TokenUse {
            sent,
            is_refused: false,
            ..
        }) = token_use
        else {
            return Err(ShopError::TokenRefused);
        };
        let reply: Reply = serde_json::from_slice(&body)
            .map_err(|_| ShopError::storefront(format!("{status}, and no orders")))?;
        let data = reply
            .data
            .ok_or_else(|| ShopError::storefront(format!("{status}, and no data")))?;
        Ok((data.orders, sent))
    }
}

impl From<CallError<reqwest::Error>> for ShopError {
    fn from(error: CallError<reqwest::Error>) -> Self {
        match error {
            CallError::Token(error) | CallError::Renewal(error) => Self::from(error),
            CallError::Send(error) => Self::storefront(error.without_url()),
            // What later versions add.
            error => Self::storefront(error),
        }
    }
}

impl From<Error> for ShopError {
    fn from(error: Error) -> Self {
        Self::Tokens(error)
    }
}
