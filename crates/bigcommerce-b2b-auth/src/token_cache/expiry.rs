//! When a token is renewed and when it is not served any more. Pure arithmetic: time and chance are arguments.
//!
//! | moment | when | what an access does from then on |
//! |---|---|---|
//! | soft | 70 to 90 % of its life, drawn once | serves it, and has it renewed in the background |
//! | blocking | its last 5 minutes, or tenth of its life | waits for another one, and falls back on this one |
//! | hard | its last 30 seconds, or twentieth of its life | does not serve it |

use std::time::Duration;

/// A moment on the monotonic clock, in hundredths of a second, in four bytes: an entry of the cache holds several.
///
/// It wraps around after 497 days. Moments are compared by which of the ways between them is the shorter one, which is right
/// as long as they are less than 248 days apart: no life is taken to be longer than [`LONGEST_LIFE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tick(u32);

/// What is valid for longer is renewed as if it were not.
pub(super) const LONGEST_LIFE: Duration = Duration::from_secs(100 * 24 * 60 * 60);

const TICKS_IN_A_SECOND: u64 = 100;

impl Tick {
    /// The moment of a reading of the monotonic clock.
    #[inline]
    pub(super) fn of(monotonic: Duration) -> Self {
        let ticks = monotonic
            .as_secs()
            .wrapping_mul(TICKS_IN_A_SECOND)
            .wrapping_add(u64::from(monotonic.subsec_millis() / 10));
        Self::wrapped(ticks)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "wrapping around is what a tick does"
    )]
    fn wrapped(ticks: u64) -> Self {
        Self(ticks as u32)
    }

    /// As it is kept in an atomic.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// So much later.
    pub(super) fn plus(self, duration: Duration) -> Self {
        Self(self.0.wrapping_add(ticks(duration)))
    }

    /// So much earlier.
    pub(super) fn minus(self, duration: Duration) -> Self {
        Self(self.0.wrapping_sub(ticks(duration)))
    }

    /// Whether this moment is later than the other.
    #[inline]
    pub(super) fn is_after(self, other: Self) -> bool {
        other.signed_distance_to(self) > 0
    }

    /// Whether it is now, or over.
    pub(super) fn has_come(self, now: Self) -> bool {
        !self.is_after(now)
    }

    /// How long it is from now until then; zero when it has come.
    pub(super) fn until(self, now: Self) -> Duration {
        let ticks = u32::try_from(now.signed_distance_to(self)).unwrap_or_default();
        Duration::from_millis(u64::from(ticks) * 10)
    }

    /// The earlier of two.
    pub(super) fn min(self, other: Self) -> Self {
        if self.is_after(other) { other } else { self }
    }

    /// The later of two.
    pub(super) fn max(self, other: Self) -> Self {
        if self.is_after(other) { self } else { other }
    }

    fn signed_distance_to(self, other: Self) -> i32 {
        other.0.wrapping_sub(self.0).cast_signed()
    }
}

/// Rounded down: a life is never taken to be longer than it is.
fn ticks(duration: Duration) -> u32 {
    let duration = duration.min(LONGEST_LIFE);
    u32::try_from(duration.as_millis() / 10).unwrap_or(u32::MAX)
}

/// How long before its end a token of this life is not served any more: what its use may take, and what clocks may differ by.
pub(super) fn hard_margin(life: Duration) -> Duration {
    (life / 20).min(Duration::from_secs(30))
}

/// How long before its end a token of this life is waited to be renewed.
pub(super) fn blocking_margin(life: Duration) -> Duration {
    (life / 10).min(Duration::from_secs(5 * 60))
}

/// After which part of its life a token is renewed in the background. `fraction` is a draw from 0 to 1: those minted
/// together do not come due together.
pub(super) fn soft_after(life: Duration, fraction: f64) -> Duration {
    life.mul_f64(0.7 + 0.2 * fraction.clamp(0.0, 1.0))
}

/// How long after a failed renewal the next one is tried: half of what is left, within bounds, and up to a quarter more by
/// chance.
pub(super) fn after_failure(left: Duration, fraction: f64) -> Duration {
    let wait = (left / 2).clamp(Duration::from_secs(30), Duration::from_secs(10 * 60));
    wait.mul_f64(1.0 + 0.25 * fraction.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn moments_are_compared_across_the_end_of_the_clock() {
        for start in [0, 1, u32::MAX / 2, u32::MAX - 50, u32::MAX] {
            let start = Tick::from_bits(start);
            let later = start.plus(DAY);
            assert!(later.is_after(start) && !start.is_after(later) && !start.is_after(start));
            assert!(start.has_come(start) && start.has_come(later) && !later.has_come(start));
            assert_eq!(later.until(start), DAY);
            assert_eq!(start.until(later), Duration::ZERO);
            assert_eq!(later.minus(DAY), start);
            assert_eq!((later.min(start), start.min(later)), (start, start));
        }
    }

    #[test]
    fn a_tick_is_a_hundredth_of_a_second() {
        assert_eq!(Tick::of(Duration::from_millis(1239)).bits(), 123);
        assert_eq!(Tick::of(SECOND).plus(Duration::from_millis(19)).bits(), 101);
        let wrapped = Duration::from_secs(u64::from(u32::MAX) / 100 + 1);
        assert_eq!(Tick::of(wrapped).bits(), 4);
        assert_eq!(ticks(Duration::MAX), ticks(LONGEST_LIFE));
        assert_eq!(ticks(LONGEST_LIFE), 864_000_000);
    }

    #[test]
    fn margins_are_those_of_a_day_and_shrink_with_a_short_life() {
        assert_eq!(hard_margin(DAY), 30 * SECOND);
        assert_eq!(blocking_margin(DAY), 300 * SECOND);
        assert_eq!(hard_margin(100 * SECOND), 5 * SECOND);
        assert_eq!(blocking_margin(100 * SECOND), 10 * SECOND);
        assert_eq!(soft_after(DAY, 0.0), DAY.mul_f64(0.7));
        assert_eq!(soft_after(DAY, 1.0), DAY.mul_f64(0.9));
        assert_eq!(soft_after(DAY, 7.0), soft_after(DAY, 1.0));
    }

    #[test]
    fn the_soft_moment_is_never_after_the_blocking_one_nor_that_after_the_hard_one() {
        for life in [SECOND, 10 * SECOND, 300 * SECOND, HOUR, DAY, 365 * DAY] {
            for fraction in [0.0, 0.5, 1.0] {
                let soft = soft_after(life, fraction);
                let blocking = life - blocking_margin(life);
                let hard = life - hard_margin(life);
                assert!(
                    soft <= blocking && blocking <= hard && hard < life,
                    "{life:?}"
                );
            }
        }
    }

    #[test]
    fn a_failure_is_waited_out_within_bounds() {
        assert_eq!(after_failure(Duration::ZERO, 0.0), 30 * SECOND);
        assert_eq!(after_failure(100 * SECOND, 0.0), 50 * SECOND);
        assert_eq!(after_failure(100 * SECOND, 1.0), SECOND.mul_f64(62.5));
        assert_eq!(after_failure(DAY, 0.0), 600 * SECOND);
        assert_eq!(after_failure(DAY, 1.0), 750 * SECOND);
    }
}
