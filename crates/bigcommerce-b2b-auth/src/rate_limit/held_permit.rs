//! A permit that is settled also when its attempt is dropped.

use std::time::Duration;

use super::{Permit, PermitAsk, PermitOutcome, StoreLine, TooLate};
use crate::{Clock, time::deadline::in_time};

/// A permit that is settled as unknown when the attempt is dropped half way.
#[derive(Debug)]
pub(crate) struct HeldPermit<'c> {
    store: &'c StoreLine,
    permit: Option<Permit>,
}

impl<'c> HeldPermit<'c> {
    /// Takes a permit of the store's budget, and says how long that took where it was not had at once.
    pub(crate) async fn take(
        store: &'c StoreLine,
        ask: PermitAsk,
        deadline: Option<tokio::time::Instant>,
        clock: &dyn Clock,
    ) -> (Result<Self, TooLate>, Option<Duration>) {
        let budget = &*store.budget;
        let hold = |permit| Self {
            store,
            permit: Some(permit),
        };
        if let Some(permit) = budget.try_acquire(&ask) {
            return (Ok(hold(permit)), None);
        }
        let began = clock.instant();
        let granted = match in_time(deadline, budget.acquire(ask)).await {
            Ok(granted) => granted,
            Err(_) => Err(TooLate::new(budget.status().next_in.unwrap_or_default())),
        };
        let waited = clock.instant().saturating_duration_since(began);
        (granted.map(hold), Some(waited))
    }

    pub(crate) fn settle(mut self, outcome: &PermitOutcome) {
        if let Some(permit) = self.permit.take() {
            self.store.budget.settle(permit, outcome);
        }
    }
}

impl Drop for HeldPermit<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.store.budget.settle(permit, &PermitOutcome::Unknown);
        }
    }
}
