//! Ratios of what was measured side by side, and how far they can be trusted.

use std::fmt;

/// The ratio of two contenders over many pairs of measurements: the median of the ratios of the pairs. A pair is measured
/// within milliseconds, so that what slows the machine down slows down both.
#[derive(Debug, Clone, Copy)]
pub struct Ratio {
    /// The median.
    pub value: f64,
    /// The ends of the interval that holds 95 % of the medians of resampled pairs (bootstrap).
    pub interval: (f64, f64),
}

impl Ratio {
    /// The ratio over `pairs` of (the one asked about, the one that it is compared with).
    #[must_use]
    pub fn of(pairs: &[(f64, f64)]) -> Self {
        const RESAMPLINGS: usize = 2000;
        let ratios: Vec<f64> = pairs.iter().map(|(one, other)| one / other).collect();
        // Seeded: the same measurements give the same interval.
        let mut random = fastrand::Rng::with_seed(4711);
        let mut medians: Vec<f64> = (0..RESAMPLINGS)
            .map(|_| {
                let sample: Vec<f64> = (0..ratios.len())
                    .filter_map(|_| random.choice(&ratios).copied())
                    .collect();
                median(&sample)
            })
            .collect();
        medians.sort_unstable_by(f64::total_cmp);
        let end = |index: usize| medians.get(index).copied().unwrap_or(f64::NAN);
        Self {
            value: median(&ratios),
            interval: (
                end(RESAMPLINGS / 40),
                end(RESAMPLINGS - 1 - RESAMPLINGS / 40),
            ),
        }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (low, high) = self.interval;
        write!(f, "{:.3} ({low:.3}\u{2013}{high:.3})", self.value)
    }
}

/// The middle value; of an even number of values the upper one of the middle two. NaN if there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    if values.is_empty() {
        return f64::NAN;
    }
    let middle = values.len() / 2;
    let (_, median, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    *median
}

/// The mean. NaN if there is no value.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a count of measurements is small"
    )]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}
