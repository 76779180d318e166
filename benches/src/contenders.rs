//! Who is compared: the SDK's mint, and the same call as one would write it with `reqwest` alone.

use std::time::Duration;

use bigcommerce_b2b_auth::{BudgetLimit, Client, CustomerId, StoreAccess};
use serde::{Deserialize, Serialize};

use crate::Result;

const STORE_HASH: &str = "abc123defg";
const ACCESS_TOKEN: &str = "an-access-token-of-32-characters";
const CUSTOMER: u32 = 4711;

/// One who can mint. Clones share the connections.
pub trait Contender: Clone + Send + Sync + 'static {
    /// Mints a token and gives its length, so that nobody can leave out the work.
    fn mint(&self) -> impl Future<Output = Result<usize>> + Send;
}

/// Sees that both get the same token before anything is measured.
///
/// # Errors
/// When one of them fails, or they get tokens of different lengths.
pub async fn check(mint: &Mint, hand_written: &HandWritten) -> Result<()> {
    let lengths = (mint.mint().await?, hand_written.mint().await?);
    if lengths.0 == lengths.1 && lengths.0 > 0 {
        Ok(())
    } else {
        Err(format!("the contenders get different tokens: {lengths:?} bytes").into())
    }
}

/// The SDK.
#[derive(Debug, Clone)]
pub struct Mint(Client);

impl Mint {
    /// A client of its own, with its own connections to the server at `url`. Everything is at its default, except that
    /// the budget never makes it wait.
    ///
    /// # Errors
    /// As the SDK's builder.
    pub fn new(url: &str) -> Result<Self> {
        let client = Client::builder()
            .credentials(StoreAccess::new(STORE_HASH, ACCESS_TOKEN)?)
            .base_url(url)
            // The one place that names the budget's limiter.
            .budget_limit(BudgetLimit::unlimited())
            .build()?;
        Ok(Self(client))
    }
}

impl Contender for Mint {
    async fn mint(&self) -> Result<usize> {
        let token = self
            .0
            .mint_storefront_token(CustomerId::new(CUSTOMER)?)
            .send()
            .await?;
        Ok(token.secret().expose_secret().len())
    }
}

/// `reqwest` alone: no time-out, no bound, no claims, no classification, and the token a plain `String`.
#[derive(Debug, Clone)]
pub struct HandWritten {
    client: reqwest::Client,
    url: String,
}

impl HandWritten {
    /// A client of its own, with its own connections to the server at `url`, set up as the SDK sets up its own.
    ///
    /// # Errors
    /// As `reqwest`'s builder.
    pub fn new(url: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connection_verbose(false)
            .connect_timeout(Duration::from_secs(10))
            .no_proxy()
            .build()?;
        let url = format!("{url}/api/io/auth/customers/storefront");
        Ok(Self { client, url })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    customer_id: u32,
}

#[derive(Deserialize)]
struct Reply {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    token: Vec<String>,
}

impl Contender for HandWritten {
    async fn mint(&self) -> Result<usize> {
        let body = Body {
            customer_id: CUSTOMER,
        };
        let reply = self
            .client
            .post(&self.url)
            .header("X-Auth-Token", ACCESS_TOKEN)
            .header("X-Store-Hash", STORE_HASH)
            .json(&body)
            .send()
            .await?
            .error_for_status()?
            .json::<Reply>()
            .await?;
        let token = reply.data.token.into_iter().next();
        Ok(token.ok_or("the reply holds no token")?.len())
    }
}
