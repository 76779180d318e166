//! quick_cache by its own loader, which expires nothing, and the same with the check that its user would have to write.

use std::{sync::Arc, time::Instant};

use quick_cache::sync::Cache;
use tokio::runtime::Runtime;

use crate::{
    Contender, Result,
    contender::{Miss, in_hand, in_turn},
    entry::Entry,
    lineup::CAPACITY,
};

pub(crate) struct QuickCache(Cache<u32, Arc<Entry>>);

impl QuickCache {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        let cache = Cache::new(usize::try_from(CAPACITY)?);
        for customer in 1..=customers {
            cache.insert(customer, Entry::new(customer)?);
        }
        Ok(Self(cache))
    }

    async fn get(&self, customer: u32) -> Result<Arc<Entry>> {
        let load = async { Err(Miss) };
        Ok(self.0.get_or_insert_async(&customer, load).await?)
    }
}

impl Contender for QuickCache {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |customer| {
            in_hand(&self.get(customer).await?.authorization);
            Ok(())
        })
    }
}

pub(crate) struct Checked(QuickCache);

impl Checked {
    pub(crate) fn with(customers: u32) -> Result<Self> {
        QuickCache::with(customers).map(Self)
    }
}

impl Contender for Checked {
    fn hits(&self, runtime: &Runtime, customers: &[u32]) -> Result<()> {
        in_turn(runtime, customers, async |customer| {
            let entry = self.0.get(customer).await?;
            if entry.expires <= Instant::now() {
                return Err(Miss.into());
            }
            in_hand(&entry.authorization);
            Ok(())
        })
    }
}
