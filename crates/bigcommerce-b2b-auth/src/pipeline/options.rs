//! What a call may be told besides its arguments: how long it may take, how it is repeated, and who goes first.

use std::time::Duration;

use crate::{Priority, RetryPolicy};

/// How one call differs from what its client does by default. What is not set stays as the client has it.
///
/// ```
/// # use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess};
/// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let sandbox = Sandbox::builder().start().await?;
/// # let credentials = StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?;
/// # let client = Client::builder().credentials(credentials).base_url(sandbox.base_url()).build()?;
/// use std::time::Duration;
/// use bigcommerce_b2b_auth::{CallOptions, RetryPolicy};
///
/// // Somebody waits for the page: once, and within two seconds.
/// let hurried = CallOptions::builder().retry(RetryPolicy::none()).deadline(Duration::from_secs(2)).build();
/// let token = client
///     .mint_storefront_token(CustomerId::new(demo::CUSTOMER_ID)?)
///     .options(hurried)
///     .send()
///     .await?;
/// # drop(token);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, bon::Builder)]
#[builder(builder_type(doc {
    /// Builds [`CallOptions`].
}))]
pub struct CallOptions {
    /// What is repeated and after how long.
    pub(crate) retry: Option<RetryPolicy>,
    /// How long the whole call may take: waiting for the budget, attempts, and the waits between them.
    pub(crate) deadline: Option<Duration>,
    /// How long one attempt may take, the reading of the reply included.
    pub(crate) attempt_timeout: Option<Duration>,
    /// Who goes first when several wait for the budget.
    pub(crate) priority: Option<Priority>,
}

/// The options of a call with nothing left open.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    pub(crate) retry: RetryPolicy,
    pub(crate) deadline: Duration,
    pub(crate) attempt_timeout: Duration,
    pub(crate) priority: Priority,
}

impl Settled {
    pub(crate) fn overridden(&self, options: Option<CallOptions>) -> Self {
        let options = options.unwrap_or_default();
        Self {
            retry: options.retry.unwrap_or_else(|| self.retry.clone()),
            deadline: options.deadline.unwrap_or(self.deadline),
            attempt_timeout: options.attempt_timeout.unwrap_or(self.attempt_timeout),
            priority: options.priority.unwrap_or(self.priority),
        }
    }
}

/// The default of a call's deadline: time for a budget that is spent to come back, and for some repetitions.
pub(crate) const DEFAULT_DEADLINE: Duration = Duration::from_secs(120);

/// The default of an attempt's time-out, from the first byte sent to the last byte read.
pub(crate) const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
