//! When the next request of a warming may go: evenly, and within its share of what the store is granted.

use std::time::Duration;

use crate::{BudgetStatus, ClockReading};

/// What a store is taken to be granted in a window until a reply has said so.
const USUAL_ALLOCATION: u64 = 135;

/// The longest interval: however little a header grants and however small the share of it is, one response does not stop a
/// warming for longer.
const LONGEST_INTERVAL: Duration = Duration::from_secs(2 * 60);

#[derive(Debug)]
pub(super) struct Pace {
    share: f64,
    /// When the next one may go, on the monotonic clock.
    next_at: Duration,
    /// What lies between two of them at the moment.
    interval: Duration,
}

impl Pace {
    /// A share from 0 to 1; what is less than a hundredth, or no number, is taken for that.
    pub(super) fn new(share: f64) -> Self {
        Self {
            share: if share.is_nan() {
                0.01
            } else {
                share.clamp(0.01, 1.0)
            },
            next_at: Duration::ZERO,
            interval: Duration::ZERO,
        }
    }

    /// In how long the next one may go; `None` when it is now.
    pub(super) fn wait(&self, now: ClockReading) -> Option<Duration> {
        let wait = self.next_at.saturating_sub(now.monotonic);
        (!wait.is_zero()).then_some(wait)
    }

    /// One goes, for which one request is counted.
    pub(super) fn take(&mut self, now: ClockReading, budget: &BudgetStatus) {
        let allocated = budget.allocated.unwrap_or(USUAL_ALLOCATION).max(1);
        let interval = budget.window.div_f64(allocated as f64 * self.share);
        self.interval = interval.min(LONGEST_INTERVAL);
        self.next_at = self.next_at.max(now.monotonic) + self.interval;
    }

    /// It cost so many requests: none when somebody else had begun it, more where it was repeated.
    pub(super) fn cost(&mut self, sent: u32) {
        self.next_at = match sent.checked_sub(1) {
            Some(more) => self.next_at + self.interval * more,
            None => self.next_at.saturating_sub(self.interval),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000),
            monotonic: Duration::from_millis(millis),
        }
    }

    fn granted(allocated: Option<u64>) -> BudgetStatus {
        let mut status = BudgetStatus::unknown();
        status.allocated = allocated;
        status
    }

    fn wait(pace: &Pace, now: u64) -> Option<u128> {
        pace.wait(at(now)).map(|wait| wait.as_millis())
    }

    #[test]
    fn a_share_of_what_is_granted_goes_evenly() {
        let mut pace = Pace::new(0.5);
        assert_eq!(wait(&pace, 5_000), None);
        // 75 a minute.
        pace.take(at(5_000), &granted(Some(150)));
        assert_eq!((wait(&pace, 5_000), wait(&pace, 5_800)), (Some(800), None));
        // What was not taken in time is not made up for.
        pace.take(at(60_000), &granted(Some(150)));
        assert_eq!(wait(&pace, 60_000), Some(800));
        // Until the service has said: half of 135.
        let mut pace = Pace::new(0.5);
        pace.take(at(0), &granted(None));
        assert_eq!(wait(&pace, 0), Some(888));
    }

    #[test]
    fn what_costs_more_or_nothing_is_made_up_for() {
        let mut pace = Pace::new(1.0);
        pace.take(at(1_000), &granted(Some(60)));
        pace.cost(1);
        assert_eq!(wait(&pace, 1_000), Some(1_000));
        pace.cost(3);
        assert_eq!(wait(&pace, 1_000), Some(3_000));
        pace.cost(0);
        assert_eq!(wait(&pace, 1_000), Some(2_000));
    }

    #[test]
    fn a_share_is_between_a_hundredth_and_all() {
        for (share, interval) in [
            (7.0, 1_000),
            (1.0, 1_000),
            (0.01, 100_000),
            (0.0, 100_000),
            (-1.0, 100_000),
            (f64::NAN, 100_000),
        ] {
            let mut pace = Pace::new(share);
            pace.take(at(0), &granted(Some(60)));
            assert_eq!(wait(&pace, 0), Some(interval), "{share}");
        }
        // However little is granted, a small share of it stops nothing for long.
        let mut pace = Pace::new(0.01);
        pace.take(at(0), &granted(Some(1)));
        assert_eq!(wait(&pace, 0), Some(120_000));
        // Nothing granted is taken for one.
        let mut pace = Pace::new(1.0);
        pace.take(at(0), &granted(Some(0)));
        assert_eq!(wait(&pace, 0), Some(60_000));
    }
}
