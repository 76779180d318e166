//! What the figures say about how large a cache has to be.

use crate::Figures;

/// What an entry takes, with a token of 300 characters: what the SDK's documentation says of its default capacity.
const BYTES_OF_AN_ENTRY: u64 = 500;

/// A capacity that holds so many entries with a fifth to spare, in round thousands: the shards of a cache do not fill evenly,
/// and tomorrow there may be more customers.
fn capacity_for(entries: u32) -> u32 {
    let with_room = u64::from(entries) * 6 / 5;
    let thousands = with_room.div_ceil(1_000).max(1);
    u32::try_from(thousands * 1_000).unwrap_or(u32::MAX)
}

/// Advice for whoever sizes a cache, from the first run with the SDK's cache, or from the ideal.
#[must_use]
pub fn advice(figures: &Figures) -> String {
    let is_managed = |run: &&crate::Run| run.days.iter().any(|day| day.evicted_live.is_some());
    let run = figures
        .runs
        .iter()
        .find(is_managed)
        .unwrap_or(&figures.ideal);
    let peak = run.peak_entries();
    let evicted: u64 = run.days.iter().filter_map(|day| day.evicted_live).sum();
    let capacity = figures.scenario.capacity;
    let mut text = format!(
        "Sizing, by {}: the cache held {peak} entries at most, and may hold {capacity}.\n",
        run.name()
    );
    if evicted > 0 {
        text.push_str(&format!(
            "{evicted} tokens that were still valid had to go because it was full, and each may cost a mint: run it again with \
             --capacity {} to see how many entries it would hold.\n",
            capacity.saturating_mul(2)
        ));
        return text;
    }
    let fit = capacity_for(peak);
    let megabytes = (u64::from(fit) * BYTES_OF_AN_ENTRY).div_ceil(1_000_000);
    text.push_str(&format!(
        "Capacity::entries({fit}) has a fifth to spare; full, it takes about {megabytes} MB with tokens of 300 characters.\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_fifth_to_spare_in_round_thousands() {
        assert_eq!(capacity_for(0), 1_000);
        assert_eq!(capacity_for(40_000), 48_000);
        assert_eq!(capacity_for(40_001), 49_000);
    }
}
