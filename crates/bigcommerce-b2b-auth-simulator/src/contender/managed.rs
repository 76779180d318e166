//! The SDK's managed tokens, as an application has them: one client, one cache.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, CustomerId, Error as SdkError, RestoreReport, Snapshot,
    SnapshotKey, StorefrontTokens, TokenRequest,
};
use tempfile::TempDir;

use super::{Deploy, Reason};
use crate::{Error, world::World};

/// What seals the snapshots. Nobody else is to read them, and nobody has to.
const KEY: [u8; 32] = [7; 32];

#[derive(Debug, Clone)]
pub(crate) struct Managed {
    tokens: StorefrontTokens,
    client: Client,
    patience: Duration,
    /// Where the snapshot is, if one is kept.
    folder: Option<Arc<TempDir>>,
    /// How many live tokens the processes before this one evicted.
    evicted_before: u64,
}

impl Managed {
    pub(super) async fn start(deploy: Deploy, world: &World) -> Result<Self, Error> {
        let folder = match deploy {
            Deploy::Snapshot | Deploy::Crash => Some(new_folder()?),
            Deploy::None | Deploy::Lost => None,
        };
        Self::begin(folder, world).await.map(|(process, _)| process)
    }

    /// A process, and what it found in the folder.
    async fn begin(
        folder: Option<Arc<TempDir>>,
        world: &World,
    ) -> Result<(Self, Option<RestoreReport>), Error> {
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
            .maybe_snapshot(
                folder
                    .as_ref()
                    .map(|folder| Snapshot::new(file_in(folder), SnapshotKey::from(KEY))),
            )
            .build();
        let report = match &folder {
            Some(_) => Some(tokens.restore().await),
            None => None,
        };
        let process = Self {
            tokens,
            client,
            patience: Duration::from_secs_f64(scenario.patience_seconds),
            folder,
            evicted_before: 0,
        };
        Ok((process, report))
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

    pub(super) fn evicted_live(&self) -> u64 {
        self.evicted_before + self.tokens.metrics().evicted_live
    }

    /// A deploy. The one place that knows how a process hands its cache over.
    pub(super) async fn replace(&mut self, deploy: Deploy, world: &World) -> Result<(), Error> {
        let evicted_before = self.evicted_live();
        let folder = match (deploy, &self.folder) {
            (Deploy::Snapshot, Some(folder)) => {
                self.tokens
                    .write_snapshot()
                    .await
                    .map_err(|error| Error::Deploy(error.to_string()))?;
                Some(Arc::clone(folder))
            }
            // Whoever is killed writes nothing more, also where a request that waits keeps it alive here.
            (Deploy::Crash, Some(folder)) => {
                let copy = new_folder()?;
                let from = file_in(folder);
                std::fs::copy(&from, file_in(&copy))
                    .map_err(|source| Error::File { path: from, source })?;
                Some(copy)
            }
            _ => None,
        };
        let (new, report) = Self::begin(folder, world).await?;
        let old = std::mem::replace(
            self,
            Self {
                evicted_before,
                ..new
            },
        );
        match report.and_then(|report| report.written_at) {
            Some(written_at) => world.record.lost_since(world.clock.elapsed_at(written_at)),
            None => world.record.all_lost(),
        }
        if deploy == Deploy::Snapshot {
            // No new request comes to it; those that wait are answered, and then it gives the snapshot over.
            drop(tokio::spawn(async move {
                tokio::time::sleep(old.patience).await;
                old.tokens.shutdown().await;
            }));
        }
        Ok(())
    }
}

fn new_folder() -> Result<Arc<TempDir>, Error> {
    let folder = tempfile::tempdir().map_err(|source| Error::File {
        path: std::env::temp_dir(),
        source,
    })?;
    Ok(Arc::new(folder))
}

fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("tokens.snapshot")
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
