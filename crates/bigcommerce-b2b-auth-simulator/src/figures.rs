//! What is measured: counted by the minute while a simulation runs, and put together afterwards as figures of each day and as
//! curves of five minutes.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use http::StatusCode;
use serde::Serialize;

use crate::{
    Contender, Deploy, Scenario,
    scenario::DAY_MS,
    world::{SimulatedClock, locked},
};

const MINUTE_MS: u32 = 60_000;
const MINUTES_IN_A_DAY: usize = 24 * 60;

/// The minutes of one point of a curve.
pub const MINUTES_IN_A_POINT: usize = 5;

/// What follows an outage belongs to it for so long: who waited for a mint that failed in it is told a little later, and the
/// failure is remembered for seconds.
const OUTAGE_TAIL_MS: u32 = 60_000;

/// What happened in a minute.
#[derive(Debug, Clone, Copy, Default)]
struct Minute {
    requests: u32,
    hits: u32,
    waited: u32,
    failed: u32,
    mints: u32,
    mints_failed: u32,
    throttled: u32,
    tokens: u32,
    spent: u32,
    foreign: u32,
    /// At its beginning, where that was looked at.
    entries: Option<u32>,
    /// What the SDK took others to spend, at the same time.
    others_seen: Option<f64>,
}

/// What happened on a day that is no matter of minutes.
#[derive(Debug, Clone, Default)]
struct DayNotes {
    waits_ms: Vec<u32>,
    failed: Failed,
    kinds: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Pages {
    minutes: Vec<Minute>,
    days: Vec<DayNotes>,
}

/// Where all that happens is written down.
#[derive(Debug)]
pub(crate) struct Book {
    clock: SimulatedClock,
    outage: Option<(u32, u32)>,
    pages: Mutex<Pages>,
}

/// How a request that had to wait ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Served,
    Failed { kind: String, had_live_token: bool },
}

impl Book {
    pub(crate) fn new(scenario: &Scenario, clock: SimulatedClock) -> Self {
        let days = scenario.all_days() as usize;
        Self {
            clock,
            outage: scenario.outage(),
            pages: Mutex::new(Pages {
                minutes: vec![Minute::default(); days * MINUTES_IN_A_DAY],
                days: vec![DayNotes::default(); days],
            }),
        }
    }

    /// What comes after the last minute is nobody's.
    fn count(&self, at_ms: u32, change: impl FnOnce(&mut Minute)) {
        let minute = (at_ms / MINUTE_MS) as usize;
        if let Some(minute) = locked(&self.pages).minutes.get_mut(minute) {
            change(minute);
        }
    }

    pub(crate) fn hit(&self, at_ms: u32) {
        self.count(at_ms, |minute| {
            minute.requests += 1;
            minute.hits += 1;
        });
    }

    /// A request that was no hit has ended. It counts for when it came.
    pub(crate) fn ended(&self, came_at_ms: u32, ending: Ending) {
        let now_ms = self.clock.ms();
        self.count(came_at_ms, |minute| {
            minute.requests += 1;
            match ending {
                Ending::Served => minute.waited += 1,
                Ending::Failed { .. } => minute.failed += 1,
            }
        });
        let mut pages = locked(&self.pages);
        let Some(day) = pages.days.get_mut((came_at_ms / DAY_MS) as usize) else {
            return;
        };
        match ending {
            Ending::Served => day.waits_ms.push(now_ms.saturating_sub(came_at_ms)),
            Ending::Failed {
                kind,
                had_live_token,
            } => {
                let in_outage = self.outage.is_some_and(|(begin, end)| {
                    (begin..=end.saturating_add(OUTAGE_TAIL_MS)).contains(&now_ms)
                });
                let failed = &mut day.failed;
                if in_outage {
                    failed.in_outage += 1;
                } else {
                    failed.at_other_times += 1;
                }
                if had_live_token {
                    failed.with_live_token += 1;
                }
                *day.kinds.entry(kind).or_default() += 1;
            }
        }
    }

    /// The service was asked for a token, and answered like this, whether or not that arrives.
    pub(crate) fn mint(&self, status: StatusCode, reached_the_service: bool) {
        self.count(self.clock.ms(), |minute| {
            minute.mints += 1;
            if status == StatusCode::TOO_MANY_REQUESTS {
                minute.throttled += 1;
            } else if reached_the_service {
                minute.spent += 1;
            }
            if status != StatusCode::OK {
                minute.mints_failed += 1;
            }
        });
    }

    pub(crate) fn token_came(&self) {
        self.count(self.clock.ms(), |minute| minute.tokens += 1);
    }

    pub(crate) fn foreign(&self) {
        self.count(self.clock.ms(), |minute| minute.foreign += 1);
    }

    pub(crate) fn look(&self, at_ms: u32, entries: usize, others_seen: Option<f64>) {
        let entries = u32::try_from(entries).unwrap_or(u32::MAX);
        self.count(at_ms, |minute| {
            minute.entries = Some(entries);
            minute.others_seen = others_seen;
        });
    }

    /// The figures of the measured days.
    pub(crate) fn figures(&self, contender: Contender, deploy: Deploy, evicted: &[u64]) -> Run {
        let pages = locked(&self.pages);
        let by_day = pages.minutes.chunks(MINUTES_IN_A_DAY);
        let days = by_day
            .zip(&pages.days)
            .enumerate()
            .skip(1)
            .map(|(number, (minutes, notes))| {
                let evicted_live = match (evicted.get(number - 1), evicted.get(number)) {
                    (Some(before), Some(after)) => Some(after.saturating_sub(*before)),
                    _ => None,
                };
                Day::new(number, minutes, notes, evicted_live)
            })
            .collect();
        let measured = pages.minutes.get(MINUTES_IN_A_DAY..).unwrap_or_default();
        Run {
            contender,
            deploy,
            days,
            curves: Curves::new(measured),
        }
    }
}

/// All figures of a simulation.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// What was simulated.
    pub scenario: Scenario,
    /// The same shoppers with a service that never fails and refuses nothing: what the mints of the others are compared with.
    /// When a token is renewed belongs to the customer and to which of their tokens it is, and is the same in all runs.
    pub ideal: Run,
    /// The contenders.
    pub runs: Vec<Run>,
}

/// The figures of one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    /// Who.
    pub contender: Contender,
    /// What the deploy did to the process.
    pub deploy: Deploy,
    /// The measured days.
    pub days: Vec<Day>,
    /// The measured days, one point for each five minutes.
    pub curves: Curves,
}

impl Run {
    /// How it is called in tables and plots.
    #[must_use]
    pub fn name(&self) -> String {
        match self.deploy {
            Deploy::None => self.contender.to_string(),
            deploy => format!("{}, deploy {deploy}", self.contender),
        }
    }

    /// The most entries that the cache had at any look.
    #[must_use]
    pub fn peak_entries(&self) -> u32 {
        self.days
            .iter()
            .map(|day| day.entries_most)
            .max()
            .unwrap_or_default()
    }

    /// Relates the mints to those of the ideal.
    pub(crate) fn compare(&mut self, ideal: &Self) {
        for (day, ideal) in self.days.iter_mut().zip(&ideal.days) {
            day.mints_over_ideal = (ideal.mints > 0).then(|| ratio(day.mints, ideal.mints));
        }
    }
}

/// The figures of one day.
#[derive(Debug, Clone, Serialize)]
pub struct Day {
    /// The first measured day is 1.
    pub day: usize,
    /// Requests of shoppers. Each of them is a hit, one that waited, or one that failed.
    pub requests: u64,
    /// Those that were answered without waiting.
    pub hits: u64,
    /// Those that waited and got a token.
    pub waited: u64,
    /// How long all but a hundredth of them waited at most, in milliseconds.
    pub wait_p99_ms: u32,
    /// How long the last of them waited.
    pub wait_most_ms: u32,
    /// Those that failed. They are not repeated.
    pub failed: Failed,
    /// Why they failed.
    pub failed_kinds: BTreeMap<String, u64>,
    /// Requests to the service for a token, repetitions included.
    pub mints: u64,
    /// Those that ended without a token, refused ones included.
    pub mints_failed: u64,
    /// Those that were refused with 429.
    pub throttled: u64,
    /// Tokens that came.
    pub tokens: u64,
    /// `mints`, divided by the ideal's.
    pub mints_over_ideal: Option<f64>,
    /// The most requests in a minute of the clock that reached the service and were not refused: what was spent of the
    /// store's budget, or would have been, since a service that is out answers more than it grants.
    pub budget_most_per_minute: u32,
    /// What others spent of it, or tried to.
    pub foreign: u64,
    /// What others spend of it in a minute, as the SDK sees it: the mean of looks every five minutes. Beside `foreign` it
    /// shows how well that is told.
    pub others_seen_per_minute: Option<f64>,
    /// The most entries that the cache had at any look, every five minutes.
    pub entries_most: u32,
    /// Tokens that were evicted although they were still valid, because the SDK's cache was full.
    pub evicted_live: Option<u64>,
}

/// Requests that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Within the outage or the minute after it.
    pub in_outage: u64,
    /// At any other time.
    pub at_other_times: u64,
    /// Those of both whose customer had a token with more than 30 seconds to live.
    pub with_live_token: u64,
}

impl Failed {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.in_outage + self.at_other_times
    }
}

impl Day {
    fn new(number: usize, minutes: &[Minute], notes: &DayNotes, evicted_live: Option<u64>) -> Self {
        let sum = |of: fn(&Minute) -> u32| minutes.iter().map(|minute| u64::from(of(minute))).sum();
        let spent = |minute: &Minute| minute.spent;
        let mut waits = notes.waits_ms.clone();
        waits.sort_unstable();
        Self {
            day: number,
            requests: sum(|minute| minute.requests),
            hits: sum(|minute| minute.hits),
            waited: sum(|minute| minute.waited),
            wait_p99_ms: quantile(&waits, 99),
            wait_most_ms: quantile(&waits, 100),
            failed: notes.failed,
            failed_kinds: notes.kinds.clone(),
            mints: sum(|minute| minute.mints),
            mints_failed: sum(|minute| minute.mints_failed),
            throttled: sum(|minute| minute.throttled),
            tokens: sum(|minute| minute.tokens),
            mints_over_ideal: None,
            budget_most_per_minute: minutes.iter().map(spent).max().unwrap_or_default(),
            foreign: sum(|minute| minute.foreign),
            others_seen_per_minute: mean(minutes.iter().filter_map(|minute| minute.others_seen)),
            entries_most: minutes
                .iter()
                .filter_map(|minute| minute.entries)
                .max()
                .unwrap_or_default(),
            evicted_live,
        }
    }
}

/// The mean, rounded to hundredths; nothing of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| (sum / f64::from(count) * 100.0).round() / 100.0)
}

/// A ratio, rounded to four decimal places.
fn ratio(one: u64, other: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no count here comes near to what a float holds exactly"
    )]
    let ratio = one as f64 / other as f64;
    (ratio * 10_000.0).round() / 10_000.0
}

/// What so many hundredths of the sorted values do not exceed; 0 of none.
fn quantile(sorted: &[u32], hundredths: usize) -> u32 {
    let rank = (sorted.len() * hundredths).div_ceil(100);
    let place = rank.saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// A day's course: sums of five minutes each, from the first measured midnight on.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curves {
    /// Requests of shoppers.
    pub requests: Vec<u32>,
    /// Those that waited and got a token.
    pub waited: Vec<u32>,
    /// Those that failed.
    pub failed: Vec<u32>,
    /// Requests to the service for a token.
    pub mints: Vec<u32>,
    /// Those that were refused with 429.
    pub throttled: Vec<u32>,
    /// Entries of the cache at the beginning of the five minutes.
    pub entries: Vec<u32>,
}

impl Curves {
    fn new(minutes: &[Minute]) -> Self {
        let sums = |of: fn(&Minute) -> u32| {
            let points = minutes.chunks(MINUTES_IN_A_POINT);
            points.map(|point| point.iter().map(of).sum()).collect()
        };
        Self {
            requests: sums(|minute| minute.requests),
            waited: sums(|minute| minute.waited),
            failed: sums(|minute| minute.failed),
            mints: sums(|minute| minute.mints),
            throttled: sums(|minute| minute.throttled),
            entries: sums(|minute| minute.entries.unwrap_or_default()),
        }
    }
}

/// How long it is from one look at the number of entries to the next.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_secs(60 * MINUTES_IN_A_POINT as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let hundred: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&hundred, 50), 50);
        assert_eq!(quantile(&hundred, 99), 99);
        assert_eq!(quantile(&hundred, 100), 100);
        assert_eq!(quantile(&[7], 50), 7);
        assert_eq!(quantile(&[], 99), 0);
    }

    #[test]
    fn a_mean_is_rounded_and_there_may_be_none() {
        assert_eq!(mean([1.0, 2.0, 2.0].into_iter()), Some(1.67));
        assert_eq!(mean(std::iter::empty()), None);
    }

    #[test]
    fn points_are_sums_of_five_minutes() {
        let mut minutes = vec![Minute::default(); 12];
        for (number, minute) in minutes.iter_mut().enumerate() {
            minute.requests = u32::try_from(number).unwrap();
        }
        minutes[5].entries = Some(7);
        let curves = Curves::new(&minutes);
        assert_eq!(curves.requests, [10, 35, 21]);
        assert_eq!(curves.entries, [0, 7, 0]);
    }
}
