//! moka's cache with its `try_get_with`, which lets one caller load for all: the best of what is at hand without the SDK's
//! managed tokens.
//!
//! Its own timers do not follow a clock that is paused, so it has none here: whether a token is over is judged when it is
//! looked at.

use std::sync::Arc;

use bigcommerce_b2b_auth::{CustomerId, Error as SdkError, StorefrontToken};
use moka::future::Cache;
use tokio::time::timeout;

use super::{Reason, hand_written::Mint, managed::reason};
use crate::{Error, world::World};

#[derive(Debug, Clone)]
pub(crate) struct Moka {
    cache: Cache<CustomerId, Arc<StorefrontToken>>,
    mint: Mint,
}

impl Moka {
    pub(super) fn start(world: &World) -> Result<Self, Error> {
        Ok(Self {
            cache: Cache::new(world.scenario.capacity.into()),
            mint: Mint::new(world)?,
        })
    }

    pub(super) async fn look(&self, customer: CustomerId) -> bool {
        match self.cache.get(&customer).await {
            Some(token) => !self.mint.is_over(&token),
            None => false,
        }
    }

    pub(super) async fn fetch(self, customer: CustomerId) -> Result<(), Reason> {
        match timeout(self.mint.patience, self.load(customer)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("Timeout".to_owned()),
        }
    }

    async fn load(&self, customer: CustomerId) -> Result<(), Arc<SdkError>> {
        if let Some(token) = self.cache.get(&customer).await
            && self.mint.is_over(&token)
        {
            self.cache.invalidate(&customer).await;
        }
        let mint = async { self.mint.mint(customer).await.map(Arc::new) };
        self.cache.try_get_with(customer, mint).await?;
        Ok(())
    }

    pub(super) async fn entries(&self) -> usize {
        // Its counts are behind until it has looked after itself.
        self.cache.run_pending_tasks().await;
        usize::try_from(self.cache.entry_count()).unwrap_or(usize::MAX)
    }
}
