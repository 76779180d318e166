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

/// What the customer of a failed request had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Had {
    LiveToken,
    /// One in the last seconds of its life, which nobody should serve any more.
    TokenAtItsEnd,
    NoToken,
}

/// How a request that had to wait ended.
#[derive(Debug)]
pub(crate) enum Ending {
    Served,
    Failed { kind: String, had: Had },
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
            Ending::Failed { kind, had } => {
                let in_outage = self.outage.is_some_and(|(begin, end)| {
                    (begin..=end.saturating_add(OUTAGE_TAIL_MS)).contains(&now_ms)
                });
                let failed = &mut day.failed;
                *match (in_outage, had) {
                    (true, Had::LiveToken) => &mut failed.in_outage_with_live_token,
                    (true, Had::TokenAtItsEnd) => &mut failed.in_outage_with_token_at_its_end,
                    (true, Had::NoToken) => &mut failed.in_outage_without_token,
                    (false, Had::LiveToken) => &mut failed.else_with_live_token,
                    (false, Had::TokenAtItsEnd) => &mut failed.else_with_token_at_its_end,
                    (false, Had::NoToken) => &mut failed.else_without_token,
                } += 1;
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
    pub(crate) fn figures(&self, contender: Contender, deploy: Deploy, sdk: &[SdkCounts]) -> Run {
        let pages = locked(&self.pages);
        let by_day = pages.minutes.chunks(MINUTES_IN_A_DAY);
        let days = by_day
            .zip(&pages.days)
            .enumerate()
            .skip(1)
            .map(|(number, (minutes, notes))| {
                let counts = match (sdk.get(number - 1), sdk.get(number)) {
                    (Some(before), Some(after)) => Some(after.since(before)),
                    _ => None,
                };
                Day::new(number, minutes, notes, counts)
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
            let ratio = |own: u64, ideal: u64| (ideal > 0).then(|| rounded(own, ideal, 10_000.0));
            day.mints_over_ideal = ratio(day.mints, ideal.mints);
            day.tokens_over_ideal = ratio(day.tokens, ideal.tokens);
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
    /// How long the middle one of them waited, in milliseconds.
    pub wait_p50_ms: u32,
    /// How long all but a hundredth of them waited at most.
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
    /// `tokens`, divided by the ideal's.
    pub tokens_over_ideal: Option<f64>,
    /// The most requests in a minute of the clock that reached the service and were not refused: what was spent of the
    /// store's budget, or would have been, since a service that is out answers more than it grants.
    pub budget_most_per_minute: u32,
    /// How many that were in a minute, on average.
    pub budget_mean_per_minute: f64,
    /// What others spent of it, or tried to.
    pub foreign: u64,
    /// What others spend of it in a minute, as the SDK sees it: the mean of looks every five minutes. Beside `foreign` it
    /// shows how well that is told.
    pub others_seen_per_minute: Option<f64>,
    /// The most entries that the cache had at any look, every five minutes.
    pub entries_most: u32,
    /// What the SDK counted, where it is the SDK's cache.
    pub sdk: Option<SdkCounts>,
}

/// Requests that failed, by when and whose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Within the outage or the minute after it, of a customer with a token that was not over.
    pub in_outage_with_live_token: u64,
    /// Within the outage or the minute after it, of a customer with a token in its last 30 seconds, which is not served.
    pub in_outage_with_token_at_its_end: u64,
    /// Within the outage or the minute after it, of a customer without.
    pub in_outage_without_token: u64,
    /// At any other time, of a customer with a token that was not over.
    pub else_with_live_token: u64,
    /// At any other time, of a customer with a token in its last 30 seconds, which is not served.
    pub else_with_token_at_its_end: u64,
    /// At any other time, of a customer without.
    pub else_without_token: u64,
}

impl Failed {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.in_outage_with_live_token
            + self.in_outage_with_token_at_its_end
            + self.in_outage_without_token
            + self.else_with_live_token
            + self.else_with_token_at_its_end
            + self.else_without_token
    }
}

/// What the SDK's own metrics say of a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SdkCounts {
    /// Fetches because there was no token.
    pub fetches_cold: u64,
    /// Fetches in the background, ahead of time.
    pub fetches_soft: u64,
    /// Fetches close to the end of a token.
    pub fetches_blocking: u64,
    /// Fetches that ended without a token.
    pub fetches_failed: u64,
    /// Renewals that were put off.
    pub renewals_put_off: u64,
    /// Mints that had to wait for the budget.
    pub budget_waits: u64,
    /// Accesses that were told a remembered failure.
    pub remembered_failures: u64,
    /// Accesses that were served a token because its renewal failed.
    pub served_around: u64,
    /// Tokens that had to go although they were still valid, because the cache was full.
    pub evicted_live: u64,
}

impl SdkCounts {
    fn with(&self, other: &Self, of_each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            fetches_cold: of_each(self.fetches_cold, other.fetches_cold),
            fetches_soft: of_each(self.fetches_soft, other.fetches_soft),
            fetches_blocking: of_each(self.fetches_blocking, other.fetches_blocking),
            fetches_failed: of_each(self.fetches_failed, other.fetches_failed),
            renewals_put_off: of_each(self.renewals_put_off, other.renewals_put_off),
            budget_waits: of_each(self.budget_waits, other.budget_waits),
            remembered_failures: of_each(self.remembered_failures, other.remembered_failures),
            served_around: of_each(self.served_around, other.served_around),
            evicted_live: of_each(self.evicted_live, other.evicted_live),
        }
    }

    /// These and others.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    /// What came to it since.
    fn since(&self, before: &Self) -> Self {
        self.with(before, u64::saturating_sub)
    }
}

impl Day {
    fn new(number: usize, minutes: &[Minute], notes: &DayNotes, sdk: Option<SdkCounts>) -> Self {
        let sum = |of: fn(&Minute) -> u32| minutes.iter().map(|minute| u64::from(of(minute))).sum();
        let spent = |minute: &Minute| minute.spent;
        let mut waits = notes.waits_ms.clone();
        waits.sort_unstable();
        Self {
            day: number,
            requests: sum(|minute| minute.requests),
            hits: sum(|minute| minute.hits),
            waited: sum(|minute| minute.waited),
            wait_p50_ms: quantile(&waits, 50),
            wait_p99_ms: quantile(&waits, 99),
            wait_most_ms: quantile(&waits, 100),
            failed: notes.failed,
            failed_kinds: notes.kinds.clone(),
            mints: sum(|minute| minute.mints),
            mints_failed: sum(|minute| minute.mints_failed),
            throttled: sum(|minute| minute.throttled),
            tokens: sum(|minute| minute.tokens),
            mints_over_ideal: None,
            tokens_over_ideal: None,
            budget_most_per_minute: minutes.iter().map(spent).max().unwrap_or_default(),
            budget_mean_per_minute: rounded(sum(spent), minutes.len().max(1) as u64, 100.0),
            foreign: sum(|minute| minute.foreign),
            others_seen_per_minute: mean(minutes.iter().filter_map(|minute| minute.others_seen)),
            entries_most: minutes
                .iter()
                .filter_map(|minute| minute.entries)
                .max()
                .unwrap_or_default(),
            sdk,
        }
    }
}

/// The mean, rounded to hundredths; nothing of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| (sum / f64::from(count) * 100.0).round() / 100.0)
}

/// A ratio, rounded to so many parts of one.
fn rounded(one: u64, other: u64, parts: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "no count here comes near to what a float holds exactly"
    )]
    let ratio = one as f64 / other as f64;
    (ratio * parts).round() / parts
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
    /// Those that failed.
    pub mints_failed: Vec<u32>,
    /// Those that were refused with 429.
    pub throttled: Vec<u32>,
    /// What others spent, or tried to.
    pub foreign: Vec<u32>,
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
            mints_failed: sums(|minute| minute.mints_failed),
            throttled: sums(|minute| minute.throttled),
            foreign: sums(|minute| minute.foreign),
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
