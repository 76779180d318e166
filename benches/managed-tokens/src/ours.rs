//! The SDK's managed tokens, over a transport that mints at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, CustomerId, StoreAccess, StorefrontTokens, reqwest,
    transport::{Delivery, Operation, Transport, TransportError, TransportFuture},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::{
    Contender, Result,
    contender::{Miss, in_hand, in_turn},
    jwt,
    lineup::CAPACITY,
};

/// By the call that mints on a miss.
pub(crate) struct Ours {
    tokens: StorefrontTokens,
    mint: Arc<Mint>,
    /// Where the mints ran.
    _background: Runtime,
}

impl Ours {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        let mint = Arc::new(Mint::default());
        let client = Client::builder()
            .credentials(StoreAccess::new("abc123", "an access token")?)
            .base_url("https://b2b.example.com")
            .transport(mint.clone())
            .budget_limit(BudgetLimit::unlimited())
            .build()?;
        let tokens = StorefrontTokens::builder()
            .client(client)
            .capacity(Capacity::entries(usize::try_from(CAPACITY)?))
            .build();
        let background = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        background.block_on(async {
            for customer in 1..=customers {
                tokens.get(CustomerId::new(customer)?).await?;
            }
            Result::Ok(())
        })?;
        Ok(Self {
            tokens,
            mint,
            _background: background,
        })
    }
}

impl Contender for Ours {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        let before = self.mint.count.load(Ordering::Relaxed);
        in_turn(runtime, customers, async |customer| {
            let token = self.tokens.get(CustomerId::new(customer)?).await?;
            in_hand(token.authorization());
            Ok(())
        })?;
        if self.mint.count.load(Ordering::Relaxed) == before {
            Ok(())
        } else {
            Err(Miss.into())
        }
    }
}

/// By the call that never waits.
pub(crate) struct OursCached(Ours);

impl OursCached {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        Ours::with(customers).map(Self)
    }
}

impl Contender for OursCached {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |customer| {
            let token = self.0.tokens.get_cached(CustomerId::new(customer)?);
            in_hand(token.ok_or(Miss)?.authorization());
            Ok(())
        })
    }
}

/// The transport. It counts, so that a miss among the hits shows.
#[derive(Debug, Default)]
struct Mint {
    count: AtomicU64,
}

impl Mint {
    fn reply(&self, request: &reqwest::Request) -> Result<reqwest::Response> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body: Value = serde_json::from_slice(body.ok_or("a mint has a body")?)?;
        let customer = body
            .get("customerId")
            .and_then(Value::as_u64)
            .ok_or("a mint names a customer")?;
        let reply = json!({
            "code": 200,
            "data": { "token": [jwt::token(u32::try_from(customer)?)?] },
            "meta": { "message": "SUCCESS" },
        });
        let response = http::Response::builder()
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(reply.to_string())?;
        Ok(response.into())
    }
}

impl Transport for Mint {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        Box::pin(async move {
            self.reply(&request)
                .map_err(|error| TransportError::new(Delivery::NotSent, error))
        })
    }
}
