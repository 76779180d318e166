//! moka, with an expiry for each entry: a plain look-up in its blocking cache, and the loader of its async one.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{Expiry, future, sync};
use tokio::runtime::Runtime;

use crate::{
    Contender, Result,
    contender::{Miss, in_hand, in_turn, runtime},
    entry::Entry,
    lineup::CAPACITY,
};

struct UntilItExpires;

impl Expiry<u32, Arc<Entry>> for UntilItExpires {
    fn expire_after_create(&self, _: &u32, entry: &Arc<Entry>, now: Instant) -> Option<Duration> {
        Some(entry.expires.saturating_duration_since(now))
    }
}

pub(crate) struct Moka(sync::Cache<u32, Arc<Entry>>);

impl Moka {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        let cache = sync::Cache::builder()
            .max_capacity(CAPACITY)
            .expire_after(UntilItExpires)
            .build();
        for customer in 1..=customers {
            cache.insert(customer, Entry::new(customer)?);
        }
        cache.run_pending_tasks();
        Ok(Self(cache))
    }
}

impl Contender for Moka {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |customer| {
            let entry = self.0.get(&customer).ok_or(Miss)?;
            in_hand(&entry.authorization);
            Ok(())
        })
    }
}

pub(crate) struct MokaLoader(future::Cache<u32, Arc<Entry>>);

impl MokaLoader {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        let cache = future::Cache::builder()
            .max_capacity(CAPACITY)
            .expire_after(UntilItExpires)
            .build();
        runtime()?.block_on(async {
            for customer in 1..=customers {
                cache.insert(customer, Entry::new(customer)?).await;
            }
            cache.run_pending_tasks().await;
            Ok(Self(cache.clone()))
        })
    }
}

impl Contender for MokaLoader {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |customer| {
            let entry = self.0.try_get_with(customer, async { Err(Miss) }).await?;
            in_hand(&entry.authorization);
            Ok(())
        })
    }
}
