//! Requests that state a minimum life: the longest that can be asked for, and a memory of tokens that were granted a shorter
//! life, so that no request mints one after the other in vain.

use std::time::Duration;

use super::{
    cache::{Notes, has_come},
    expiry::Tick,
    key::Key,
};
use crate::{ClockReading, Error, ErrorKind, pipeline::transport::operations};

/// The longest minimum life that a request can state: the documented 24 hours of a storefront token, less the five minutes
/// in which a token is due to be replaced anyway.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60 - 5 * 60);

/// How long a short life is remembered. Until then the same customer costs no further mint for want of life.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);

/// How many customers' short tokens are remembered.
const MOST: usize = 10_000;

/// What the service granted in a mint.
#[derive(Debug, Clone, Copy)]
struct Granted {
    life: Duration,
    until: Tick,
}

/// The customers whose last minted token is shorter than a request may ask for.
#[derive(Debug)]
pub(super) struct ShortLives(Notes<Granted>);

impl ShortLives {
    pub(super) fn new() -> Self {
        Self(Notes::new(MOST))
    }

    /// Takes note of how long a new token can be used. A token of the documented length leaves nothing behind.
    pub(super) fn minted(&self, key: Key, life: Duration, now: ClockReading) {
        if life < LONGEST {
            let until = Tick::of(now.monotonic).plus(REMEMBERED_FOR);
            self.0.set(key, Granted { life, until });
        } else if self.0.get(&key).is_some() {
            self.0.remove(&key);
        }
    }

    /// The life of the token that was minted for this key within the last minute, where that is less than `least`.
    pub(super) fn shorter_than(
        &self,
        least: Duration,
        key: &Key,
        now: ClockReading,
    ) -> Option<Duration> {
        if least.is_zero() {
            return None;
        }
        let granted = self.0.get(key)?;
        if has_come(granted.until, now) {
            self.0.remove(key);
            return None;
        }
        (granted.life < least).then_some(granted.life)
    }
}

/// Refuses a minimum that no new token can have.
pub(super) fn check(least: Duration) -> Result<(), Error> {
    if least <= LONGEST {
        return Ok(());
    }
    Err(Error::invalid_input(format!(
        "invalid minimum life of a token: {} is longer than the {} for which a new token can be used",
        in_words(least),
        in_words(LONGEST),
    )))
}

/// The error of a request that needs a longer life than the service grants.
pub(super) fn too_short(granted: Duration, least: Duration) -> Error {
    Error::of_call(
        operations::POST_AUTH_CUSTOMERS_STOREFRONT.name,
        ErrorKind::TokenTooShort,
        format!(
            "the service granted a token that can be used for {}, and the request needs {}",
            in_words(granted),
            in_words(least),
        ),
    )
}

/// Whole seconds, such as `23h 55m`.
fn in_words(duration: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(duration.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CustomerId, token_cache::expiry::blocking_margin};

    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn at(seconds: u64) -> ClockReading {
        ClockReading {
            wall: Duration::from_secs(1_800_000_000 + seconds),
            monotonic: Duration::from_secs(seconds),
        }
    }

    fn key(customer: u64) -> Key {
        Key::new(0, CustomerId::new(customer).unwrap(), None, None)
    }

    #[test]
    fn the_longest_minimum_is_a_day_less_the_time_in_which_a_token_is_replaced() {
        let day = 24 * HOUR;
        assert_eq!(LONGEST, day - blocking_margin(day));
        assert!(check(LONGEST).is_ok() && check(Duration::ZERO).is_ok());
        let error = check(LONGEST + Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = check(25 * HOUR).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid minimum life of a token: 1day 1h is longer than the 23h 55m for which a new token can be used"
        );
        assert!(check(Duration::MAX).is_err());
    }

    #[test]
    fn a_short_life_is_remembered_for_a_minute() {
        let lives = ShortLives::new();
        lives.minted(key(1), HOUR, at(0));
        assert_eq!(lives.shorter_than(2 * HOUR, &key(1), at(59)), Some(HOUR));
        assert_eq!(lives.shorter_than(HOUR, &key(1), at(59)), None);
        assert_eq!(lives.shorter_than(Duration::ZERO, &key(1), at(59)), None);
        assert_eq!(lives.shorter_than(2 * HOUR, &key(2), at(59)), None);
        assert_eq!(lives.shorter_than(2 * HOUR, &key(1), at(60)), None);
    }

    #[test]
    fn a_token_of_the_documented_length_leaves_nothing_behind() {
        let lives = ShortLives::new();
        lives.minted(key(1), LONGEST, at(0));
        assert_eq!(lives.0.len(), 0);
        lives.minted(key(1), HOUR, at(0));
        lives.minted(key(1), LONGEST, at(1));
        assert_eq!(lives.shorter_than(2 * HOUR, &key(1), at(2)), None);
        assert_eq!(lives.0.len(), 0);
    }

    #[test]
    fn the_error_says_what_was_granted_and_what_is_needed() {
        let error = too_short(HOUR - Duration::from_millis(30_050), 2 * HOUR);
        assert_eq!(error.kind(), ErrorKind::TokenTooShort);
        assert!(!error.is_retryable());
        assert!(
            error
                .to_string()
                .ends_with("can be used for 59m 29s, and the request needs 2h"),
            "{error}"
        );
    }
}
