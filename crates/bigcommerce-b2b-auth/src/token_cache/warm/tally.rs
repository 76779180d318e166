//! How far a warming is: counts, the rate of the last minute, and from where it would go on.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::Warmed;
use crate::{ClockReading, Error};

/// How far a [`Warming`](crate::Warming) is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WarmProgress {
    /// How many customers there are, as far as is known, those included that were passed over.
    pub total: Option<u64>,
    /// Tokens that were fetched.
    pub fetched: u64,
    /// Customers who had a token.
    pub already_there: u64,
    /// Customers who ended with an error.
    pub failed: u64,
    /// Customers whose token is being fetched.
    pub under_way: u64,
    /// Everybody before this place in the stream is settled: where to go on from another time.
    pub resume_at: u64,
    /// Customers who were settled in the last minute, as a rate.
    pub rate_per_minute: f64,
    /// How long it takes at that rate. `None` when there is no rate, or the total is not known.
    pub time_left: Option<Duration>,
    /// What keeps everybody from succeeding at the moment.
    pub trouble: Option<Error>,
}

impl WarmProgress {
    /// Customers who are done, with a token or without.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.fetched + self.already_there + self.failed
    }
}

/// What the rate is counted over.
const RATE_WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    total: Option<u64>,
    began: Duration,
    fetched: u64,
    already_there: u64,
    failed: u64,
    under_way: u64,
    /// Everybody before is settled.
    resume_at: u64,
    /// Who is settled beyond. It is seen to elsewhere that these do not become many.
    settled_ahead: BTreeSet<u64>,
    /// How many were settled in each second of the last minute.
    recent: VecDeque<(u64, u64)>,
    trouble: Option<Error>,
}

impl Tally {
    pub(super) fn new(total: Option<u64>, resume_at: u64, now: ClockReading) -> Self {
        Self(Mutex::new(Counts {
            total,
            began: now.monotonic,
            fetched: 0,
            already_there: 0,
            failed: 0,
            under_way: 0,
            resume_at,
            settled_ahead: BTreeSet::new(),
            recent: VecDeque::new(),
            trouble: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn resume_at(&self) -> u64 {
        self.lock().resume_at
    }

    pub(super) fn began(&self) {
        self.lock().under_way += 1;
    }

    pub(super) fn ended(&self) {
        self.lock().under_way -= 1;
    }

    pub(super) fn in_trouble(&self, error: Option<&Error>) {
        self.lock().trouble = error.cloned();
    }

    pub(super) fn settled(&self, position: u64, result: &Result<Warmed, Error>, now: ClockReading) {
        let mut counts = self.lock();
        match result {
            Ok(Warmed::Fetched) => counts.fetched += 1,
            Ok(Warmed::AlreadyThere) => counts.already_there += 1,
            Err(_) => counts.failed += 1,
        }
        counts.settled_ahead.insert(position);
        while {
            let next = counts.resume_at;
            counts.settled_ahead.remove(&next)
        } {
            counts.resume_at += 1;
        }
        let second = now.monotonic.as_secs();
        match counts.recent.back_mut() {
            Some((last, count)) if *last == second => *count += 1,
            _ => counts.recent.push_back((second, 1)),
        }
        counts.forget_before(now);
    }

    pub(super) fn progress(&self, now: ClockReading) -> WarmProgress {
        let mut counts = self.lock();
        counts.forget_before(now);
        let recent: u64 = counts.recent.iter().map(|(_, count)| count).sum();
        let over = now
            .monotonic
            .saturating_sub(counts.began)
            .clamp(Duration::from_secs(1), RATE_WINDOW);
        let rate_per_minute = recent as f64 * 60.0 / over.as_secs_f64();
        let settled_in_all = counts.resume_at + counts.settled_ahead.len() as u64;
        let left = counts
            .total
            .map(|total| total.saturating_sub(settled_in_all));
        let time_left = left.and_then(|left| {
            let minutes = left as f64 / rate_per_minute;
            // Neither for 0/0 nor for a rate of nothing.
            Duration::try_from_secs_f64(minutes * 60.0).ok()
        });
        WarmProgress {
            total: counts.total,
            fetched: counts.fetched,
            already_there: counts.already_there,
            failed: counts.failed,
            under_way: counts.under_way,
            resume_at: counts.resume_at,
            rate_per_minute,
            time_left,
            trouble: counts.trouble.clone(),
        }
    }
}

impl Counts {
    fn forget_before(&mut self, now: ClockReading) {
        let first = now.monotonic.saturating_sub(RATE_WINDOW).as_secs();
        while self
            .recent
            .front()
            .is_some_and(|(second, _)| *second < first)
        {
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000 + seconds),
            monotonic: Duration::from_secs(1_000 + seconds),
        }
    }

    #[test]
    fn the_place_to_go_on_from_is_before_everybody_who_is_not_settled() {
        let tally = Tally::new(Some(10), 2, at(0));
        let settle = |position| {
            tally.settled(position, &Ok(Warmed::Fetched), at(0));
            tally.resume_at()
        };
        assert_eq!(tally.resume_at(), 2);
        assert_eq!([settle(3), settle(5), settle(2), settle(4)], [2, 2, 4, 6]);
        let left = tally.progress(at(1)).time_left.unwrap();
        // 4 of 10, at 4 a second.
        assert_eq!(left, Duration::from_secs(1));
    }

    #[test]
    fn the_rate_is_that_of_the_last_minute() {
        let tally = Tally::new(None, 0, at(0));
        let rate = |now| tally.progress(at(now)).rate_per_minute;
        assert_eq!(rate(0), 0.0);
        for second in 0..200 {
            tally.settled(second, &Ok(Warmed::AlreadyThere), at(second));
        }
        assert_eq!(tally.lock().recent.len(), 61);
        assert_eq!(rate(199), 61.0);
        assert_eq!((rate(229), rate(259), rate(300)), (31.0, 1.0, 0.0));
        let progress = tally.progress(at(199));
        assert_eq!((progress.total, progress.time_left), (None, None));
        // At the beginning less than a minute has passed.
        let tally = Tally::new(Some(20), 0, at(0));
        for position in 0..10 {
            tally.settled(position, &Ok(Warmed::Fetched), at(5));
        }
        let progress = tally.progress(at(10));
        assert_eq!(progress.rate_per_minute, 60.0);
        assert_eq!(progress.time_left, Some(Duration::from_secs(10)));
    }

    #[test]
    fn everybody_is_counted_for_what_became_of_him() {
        let tally = Tally::new(Some(5), 0, at(0));
        tally.began();
        tally.began();
        tally.ended();
        let error = Error::invalid_input("no");
        tally.settled(0, &Err(error.clone()), at(0));
        tally.settled(1, &Ok(Warmed::AlreadyThere), at(0));
        tally.settled(2, &Ok(Warmed::Fetched), at(0));
        tally.in_trouble(Some(&error));
        let progress = tally.progress(at(1));
        assert_eq!(
            (progress.failed, progress.already_there, progress.fetched),
            (1, 1, 1)
        );
        assert_eq!((progress.settled(), progress.under_way), (3, 1));
        assert!(progress.trouble.is_some());
        tally.in_trouble(None);
        assert!(tally.progress(at(1)).trouble.is_none());
    }
}
