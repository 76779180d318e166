//! Which customer is asked for next: drawn once, and the same for all contenders.

use std::iter;

/// Always the one customer.
#[must_use]
pub fn one(count: usize) -> Vec<u32> {
    vec![1; count]
}

/// Customers 1 to `customers`, some far more often than others: the n-th most frequent comes 1/n as often as the first
/// (Zipf's law, s = 1).
#[must_use]
pub fn zipf(count: usize, customers: u32) -> Vec<u32> {
    // Seeded: every run measures the same.
    let mut random = fastrand::Rng::with_seed(4711);
    // Else those that are asked for most would be those that were put in first, side by side in memory.
    let mut by_rank: Vec<u32> = (1..=customers).collect();
    random.shuffle(&mut by_rank);
    let mut total = 0.0;
    let up_to_rank: Vec<f64> = (1..=customers)
        .map(|rank| {
            total += 1.0 / f64::from(rank);
            total
        })
        .collect();
    iter::repeat_with(|| {
        let drawn = random.f64() * total;
        up_to_rank.partition_point(|&sum| sum <= drawn)
    })
    .filter_map(|rank| by_rank.get(rank).copied())
    .take(count)
    .collect()
}
