//! All chance of a simulation, from one seed. Each purpose has a stream of its own, so that more draws for one change nothing
//! of another.

/// What chance is drawn for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Visits = 1,
    Latency,
    Faults,
    Foreign,
    Renewals,
    Waits,
    Sandbox,
}

/// The seed of a purpose.
pub(crate) fn seed_of(seed: u64, purpose: Purpose) -> u64 {
    mixed(&[seed, purpose as u64])
}

/// A stream of draws for a purpose, and for what belongs to these numbers.
pub(crate) fn stream(seed: u64, purpose: Purpose, of: &[u64]) -> fastrand::Rng {
    fastrand::Rng::with_seed(mixed(&[seed_of(seed, purpose), mixed(of)]))
}

/// A number from 0 to 1 that belongs to these numbers and to no order of draws.
pub(crate) fn fraction_of(seed: u64, purpose: Purpose, of: &[u64]) -> f64 {
    // 53 bits are what a float holds.
    let bits = mixed(&[seed_of(seed, purpose), mixed(of)]) >> 11;
    #[expect(
        clippy::cast_precision_loss,
        reason = "53 bits are held without a loss"
    )]
    let fraction = bits as f64 / (1_u64 << 53) as f64;
    fraction
}

/// One number made of several, each bit of it depending on all of theirs: splitmix64, over and over.
fn mixed(numbers: &[u64]) -> u64 {
    numbers.iter().fold(0, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_and_numbers_have_draws_of_their_own() {
        let draw = |seed, purpose, of: &[u64]| stream(seed, purpose, of).u64(..);
        let first = draw(1, Purpose::Visits, &[1, 2]);
        assert_eq!(first, draw(1, Purpose::Visits, &[1, 2]));
        for other in [
            draw(2, Purpose::Visits, &[1, 2]),
            draw(1, Purpose::Latency, &[1, 2]),
            draw(1, Purpose::Visits, &[2, 1]),
            draw(1, Purpose::Visits, &[1]),
        ] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn fractions_fill_the_way_from_0_to_1_evenly() {
        let mut tenths = [0_u32; 10];
        for customer in 0..10_000 {
            let fraction = fraction_of(1, Purpose::Renewals, &[customer, 0]);
            tenths[(fraction * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (900..1_100).contains(count)),
            "{tenths:?}"
        );
    }
}
