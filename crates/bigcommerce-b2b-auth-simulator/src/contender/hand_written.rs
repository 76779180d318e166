//! The mint of those who write their own: no budget, no repetition. It goes through the SDK's client, with all of that
//! switched off, so that what differs is what surrounds it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bigcommerce_b2b_auth::{
    BudgetStatus, Client, Clock, CustomerId, Error as SdkError, Permit, PermitAsk, PermitFuture,
    PermitOutcome, RequestBudget, RequestBudgets, RetryPolicy, StorefrontToken,
};

use crate::{
    Error,
    world::{MARGIN, SimulatedClock, World},
};

/// Mints, and judges what was minted.
#[derive(Debug, Clone)]
pub(super) struct Mint {
    client: Client,
    clock: SimulatedClock,
    pub(super) patience: Duration,
}

impl Mint {
    pub(super) fn new(world: &World) -> Result<Self, Error> {
        let scenario = &world.scenario;
        let client = world
            .client()?
            .budgets(Arc::new(NoBudget))
            .retry(RetryPolicy::none())
            .attempt_timeout(Duration::from_secs_f64(scenario.attempt_timeout_seconds))
            .build()?;
        Ok(Self {
            client,
            clock: world.clock,
            patience: Duration::from_secs_f64(scenario.patience_seconds),
        })
    }

    pub(super) async fn mint(&self, customer: CustomerId) -> Result<StorefrontToken, SdkError> {
        let reply = self.client.mint_storefront_token(customer).send().await?;
        Ok(reply.into_value())
    }

    pub(super) fn is_over(&self, token: &StorefrontToken) -> bool {
        token.expires_within(MARGIN, self.now())
    }

    fn now(&self) -> SystemTime {
        self.clock.now()
    }
}

/// Whoever asks may send. A client whose budget is unlimited would still stop for everybody after a 429, which is more than a
/// hand-written call does.
#[derive(Debug)]
struct NoBudget;

impl RequestBudgets for NoBudget {
    fn of_store(&self, _: Option<&str>, _: &Arc<dyn Clock>) -> Arc<dyn RequestBudget> {
        Arc::new(Self)
    }
}

impl RequestBudget for NoBudget {
    fn try_acquire(&self, _: &PermitAsk) -> Option<Permit> {
        Some(Permit::new(0))
    }

    fn acquire(&self, _: PermitAsk) -> PermitFuture<'_> {
        Box::pin(std::future::ready(Ok(Permit::new(0))))
    }

    fn settle(&self, _: Permit, _: &PermitOutcome) {}

    fn status(&self) -> BudgetStatus {
        BudgetStatus::unknown()
    }
}
