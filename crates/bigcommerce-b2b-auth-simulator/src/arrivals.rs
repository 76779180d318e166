//! The requests of the shoppers: who asks when, on all days. They depend on the scenario and its seed alone, so that every
//! contender has to deal with the same ones.
//!
//! Each day is drawn anew from the same curve. Were the days the same, a customer would come at the same time of each day, and
//! find a token that lasts a day at its end just then.

use std::f64::consts::TAU;

use crate::{
    Scenario,
    chance::{Purpose, stream},
    scenario::DAY_MS,
};

/// A request of a shopper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// When, in milliseconds since the first midnight.
    pub(crate) at_ms: u32,
    /// Whose it is; customers are numbered from 1.
    pub(crate) customer: u32,
}

/// All requests of a simulation, in the order of time.
#[derive(Debug)]
pub(crate) struct Trace(Vec<u64>);

impl Trace {
    /// The requests of a scenario.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut packed = Vec::new();
        let end_ms = scenario.all_days() * DAY_MS;
        for customer in 1..=scenario.customers {
            for day in 0..scenario.all_days() {
                let mut rng = stream(
                    scenario.seed,
                    Purpose::Visits,
                    &[customer.into(), day.into()],
                );
                for _ in 0..poisson(scenario.visits_per_day, &mut rng) {
                    let begins_ms = day * DAY_MS + time_of_visit(scenario, &mut rng);
                    visit(scenario, &mut rng, begins_ms, |at_ms| {
                        if at_ms < end_ms {
                            packed.push(u64::from(at_ms) << 32 | u64::from(customer));
                        }
                    });
                }
            }
        }
        packed.sort_unstable();
        Self(packed)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Arrival> + '_ {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it is taken apart as it was put together: two numbers of 32 bits"
        )]
        self.0.iter().map(|packed| Arrival {
            at_ms: (packed >> 32) as u32,
            customer: *packed as u32,
        })
    }
}

/// How many times the mean as many visits begin at this time of the day.
fn density(scenario: &Scenario, time_ms: u32) -> f64 {
    let since_trough = f64::from(time_ms) - f64::from(scenario.trough_at.ms());
    1.0 - (scenario.peak_over_mean - 1.0) * (TAU * since_trough / f64::from(DAY_MS)).cos()
}

/// Drawn by trying: the denser it is at a time, the likelier that is kept.
fn time_of_visit(scenario: &Scenario, rng: &mut fastrand::Rng) -> u32 {
    loop {
        let time_ms = rng.u32(..DAY_MS);
        if rng.f64() * scenario.peak_over_mean < density(scenario, time_ms) {
            return time_ms;
        }
    }
}

fn visit(
    scenario: &Scenario,
    rng: &mut fastrand::Rng,
    begins_ms: u32,
    mut request: impl FnMut(u32),
) {
    let goes_on = 1.0 - 1.0 / scenario.requests_per_visit;
    let mut at_ms = f64::from(begins_ms);
    loop {
        // Saturates far behind the end of the simulation.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is positive, and what is too large saturates"
        )]
        request(at_ms as u32);
        if rng.f64() >= goes_on {
            return;
        }
        // One minus it is never zero, whose logarithm would be infinite.
        at_ms -= (1.0 - rng.f64()).ln() * scenario.seconds_between_requests * 1_000.0;
    }
}

/// How often something happens that happens so often on average.
fn poisson(mean: f64, rng: &mut fastrand::Rng) -> u32 {
    let limit = (-mean).exp();
    let mut product = rng.f64();
    let mut count = 0;
    while product > limit {
        product *= rng.f64();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario() -> Scenario {
        Scenario {
            customers: 2_000,
            // So that a request stands for its visit.
            requests_per_visit: 1.0,
            ..Scenario::default()
        }
    }

    #[test]
    fn there_are_as_many_as_the_scenario_says() {
        let visits = Trace::of(&scenario()).len();
        // 8,000 on average, and give or take 90.
        assert!((7_600..8_400).contains(&visits), "{visits}");
        let requests = Trace::of(&Scenario {
            requests_per_visit: 20.0,
            ..scenario()
        })
        .len();
        assert!((150_000..170_000).contains(&requests), "{requests}");
    }

    #[test]
    fn they_follow_the_curve_through_the_day() {
        let scenario = Scenario {
            customers: 20_000,
            ..scenario()
        };
        let mut hours = [0.0; 24];
        for arrival in Trace::of(&scenario).iter() {
            hours[(arrival.at_ms % DAY_MS / 3_600_000) as usize] += 1.0;
        }
        let mean = hours.iter().sum::<f64>() / 24.0;
        for (hour, count) in hours.iter().enumerate() {
            let middle = u32::try_from(hour).unwrap() * 3_600_000 + 1_800_000;
            let expected = density(&scenario, middle);
            let is = count / mean;
            assert!(
                (is - expected).abs() < 0.12,
                "hour {hour}: {is}, not {expected}"
            );
        }
        assert!((density(&scenario, 4 * 3_600_000) - 0.2).abs() < 1e-9);
        assert!((density(&scenario, 16 * 3_600_000) - 1.8).abs() < 1e-9);
    }

    #[test]
    fn they_are_in_order_within_the_days_and_repeat_by_seed() {
        let all = |scenario: &Scenario| Trace::of(scenario).iter().collect::<Vec<_>>();
        let scenario = Scenario {
            requests_per_visit: 20.0,
            ..scenario()
        };
        let trace = all(&scenario);
        assert!(trace.is_sorted_by_key(|arrival| arrival.at_ms));
        assert!(trace.iter().all(|arrival| arrival.at_ms < 2 * DAY_MS));
        assert!(
            trace
                .iter()
                .all(|arrival| (1..=2_000).contains(&arrival.customer))
        );
        assert_eq!(trace, all(&scenario));
        assert_ne!(
            trace,
            all(&Scenario {
                seed: 2,
                ..scenario
            })
        );
    }

    #[test]
    fn the_days_are_not_the_same() {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for arrival in Trace::of(&scenario()).iter() {
            if arrival.at_ms < DAY_MS {
                first.push(arrival.at_ms);
            } else {
                second.push(arrival.at_ms - DAY_MS);
            }
        }
        assert_ne!(first, second);
        assert!(first.len().abs_diff(second.len()) < 400);
    }
}
