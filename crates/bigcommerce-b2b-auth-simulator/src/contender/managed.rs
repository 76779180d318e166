//! The SDK's managed tokens, as an application has them: one client, one cache.

use std::time::Duration;

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, CustomerId, Error as SdkError, StorefrontTokens, TokenRequest,
};

use super::{Deploy, Reason};
use crate::{Error, figures::SdkCounts, world::World};

/// Whether the SDK can bring a cache from one process to the next like this.
pub(super) fn can_restore(deploy: Deploy) -> Result<(), Error> {
    match deploy {
        Deploy::None | Deploy::Lost => Ok(()),
        Deploy::Snapshot | Deploy::Crash => Err(Error::Deploy(format!(
            "deploy {deploy} needs the snapshot, which managed tokens do not have: run with --deploy lost"
        ))),
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Managed {
    tokens: StorefrontTokens,
    client: Client,
    patience: Duration,
    /// What the processes before this one counted.
    before: SdkCounts,
}

impl Managed {
    pub(super) fn start(world: &World) -> Result<Self, Error> {
        let scenario = &world.scenario;
        let limit = if world.nature.is_ideal {
            BudgetLimit::unlimited()
        } else {
            BudgetLimit::default()
        };
        let client = world
            .client()?
            .budget_limit(limit)
            .attempt_timeout(Duration::from_secs_f64(scenario.attempt_timeout_seconds))
            .build()?;
        let tokens = StorefrontTokens::builder()
            .client(client.clone())
            .capacity(Capacity::entries(scenario.capacity as usize))
            .background_renewals(scenario.background_renewals as usize)
            .build();
        Ok(Self {
            tokens,
            client,
            patience: Duration::from_secs_f64(scenario.patience_seconds),
            before: SdkCounts::default(),
        })
    }

    pub(super) fn look(&self, customer: CustomerId) -> bool {
        self.tokens.get_cached(customer).is_some()
    }

    pub(super) async fn fetch(self, customer: CustomerId) -> Result<(), Reason> {
        let request = TokenRequest::new(customer).wait_at_most(self.patience);
        match self.tokens.get(request).await {
            Ok(_) => Ok(()),
            Err(error) => Err(reason(&error)),
        }
    }

    pub(super) fn entries(&self) -> usize {
        self.tokens.metrics().entries
    }

    pub(super) fn others_per_minute(&self) -> f64 {
        self.client.budget().others_per_window
    }

    pub(super) fn counts(&self) -> SdkCounts {
        let metrics = self.tokens.metrics();
        self.before.and(&SdkCounts {
            fetches_cold: metrics.fetches_cold,
            fetches_soft: metrics.fetches_soft,
            fetches_blocking: metrics.fetches_blocking,
            fetches_failed: metrics.fetches_failed,
            renewals_put_off: metrics.renewals_put_off,
            budget_waits: metrics.budget_waits,
            remembered_failures: metrics.remembered_failures,
            served_around: metrics.served_around,
            evicted_live: metrics.evicted_live,
        })
    }

    /// A deploy. The one place that knows how a process hands its cache over.
    pub(super) async fn replace(&mut self, deploy: Deploy, world: &World) -> Result<(), Error> {
        can_restore(deploy)?;
        let before = self.counts();
        *self = Self {
            before,
            ..Self::start(world)?
        };
        world.record.all_lost();
        Ok(())
    }
}

/// What an error is, in a word or two, and whether it is an earlier one that is remembered.
pub(super) fn reason(error: &SdkError) -> Reason {
    let remembered = if error.remembered_for().is_some() {
        ", remembered"
    } else {
        ""
    };
    let status = error
        .status()
        .map(|status| format!(" {status}"))
        .unwrap_or_default();
    format!("{:?}{status}{remembered}", error.kind())
}
