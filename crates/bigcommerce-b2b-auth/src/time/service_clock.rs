//! Estimates by how much the service's clock differs from this machine's, from the `Date` header of responses.
//!
//! A token states its expiry by the service's clock. A correction that ends a token earlier does no harm and acts at once. One
//! that lets it live longer is believed only when several responses in a row agree, and only up to a few minutes: a single wrong
//! `Date` must not lengthen a life. Nor may it make the token of another response unusable: where one without a `Date` of its own
//! would be over when it came, what a single response said is not believed.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// How many responses in a row have to agree before a token is taken to live longer.
const AGREEING: usize = 3;

/// By how much responses that agree may differ, in milliseconds. `Date` is in whole seconds, and responses take their time.
const AGREEMENT: i64 = 2_000;

/// `Date` is in whole seconds, and a response takes its time: a difference below this is not a sign of anything.
const NOTICED: Duration = Duration::from_secs(2);

/// The most that a token is taken to live longer.
const LONGEST_EXTENSION: Duration = Duration::from_secs(5 * 60);

/// Less is not left of a token because of what a single other response said.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// By how much the service's clock and this machine's differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Skew {
    /// By nothing that can be told from the time that a response takes, or nothing is known.
    #[default]
    None,
    ServiceAhead(Duration),
    /// The same by one response alone, which is not the one that is corrected.
    PerhapsAhead(Duration),
    ServiceBehind(Duration),
}

impl Skew {
    /// `millis` is how far the service's clock is ahead.
    fn of(millis: i64) -> Self {
        let by = Duration::from_millis(millis.unsigned_abs());
        if millis < 0 {
            Self::ServiceBehind(by)
        } else if by > NOTICED {
            Self::ServiceAhead(by)
        } else {
            Self::None
        }
    }

    /// An expiry by this machine's clock. It is at most five minutes later than the token states, or than the request, where the
    /// token seems to have expired by then.
    pub(crate) fn expiry(self, stated: SystemTime, requested_at: SystemTime) -> SystemTime {
        let by = match self {
            Self::ServiceBehind(by) => by,
            Self::PerhapsAhead(_) => {
                // A token that has just been issued is not that close to its end.
                let earliest = self.at_the_earliest(stated);
                let left = earliest.duration_since(requested_at).unwrap_or_default();
                return if left < SHORTEST_LIFE {
                    stated
                } else {
                    earliest
                };
            }
            Self::ServiceAhead(_) | Self::None => return self.at_the_earliest(stated),
        };
        let corrected = stated.checked_add(by);
        let latest = stated.max(requested_at).checked_add(LONGEST_EXTENSION);
        match (corrected, latest) {
            (Some(corrected), Some(latest)) => corrected.min(latest),
            (corrected, latest) => corrected.or(latest).unwrap_or(stated),
        }
    }

    /// A time of the service's clock by this machine's clock, where the correction makes it earlier.
    pub(crate) fn at_the_earliest(self, time: SystemTime) -> SystemTime {
        match self {
            // What lies before the beginning of a clock has passed.
            Self::ServiceAhead(by) | Self::PerhapsAhead(by) => {
                time.checked_sub(by).unwrap_or(SystemTime::UNIX_EPOCH)
            }
            Self::ServiceBehind(_) | Self::None => time,
        }
    }
}

/// What the latest responses said of the service's clock. A client and its relatives share one.
#[derive(Debug, Default)]
pub(crate) struct ServiceClock(Mutex<Recent>);

/// The latest differences, the newest first: by how many milliseconds the service is ahead.
#[derive(Debug, Default, Clone, Copy)]
struct Recent([Option<i64>; AGREEING]);

impl ServiceClock {
    /// Takes in a response and returns the correction for the times that it states. `date` is the service's clock when it
    /// responded, if the response tells it.
    pub(crate) fn observe(&self, requested_at: SystemTime, date: Option<SystemTime>) -> Skew {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(date) = date else {
            return recent.borrowed();
        };
        recent.add(millis_ahead(requested_at, date));
        recent.after_latest()
    }

    /// The correction for a token that did not come with a response of the service. What ends it earlier costs a mint at most, so
    /// the latest response is believed alone.
    #[cfg(feature = "tokens")]
    pub(crate) fn skew(&self) -> Skew {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.after_latest()
    }
}

impl Recent {
    fn add(&mut self, millis: i64) {
        let [first, second, _] = self.0;
        self.0 = [Some(millis), first, second];
    }

    /// The latest difference alone where it ends tokens earlier. Otherwise what several agree on.
    fn after_latest(&self) -> Skew {
        match self.0 {
            [Some(latest), ..] if latest >= 0 => Skew::of(latest),
            _ => self.agreed(),
        }
    }

    /// The correction for a response that does not tell the service's clock.
    fn borrowed(&self) -> Skew {
        match (self.agreed(), self.after_latest()) {
            (Skew::None, Skew::ServiceAhead(by)) => Skew::PerhapsAhead(by),
            (agreed, _) => agreed,
        }
    }

    /// The smallest correction of several that agree.
    fn agreed(&self) -> Skew {
        let known = self.0.iter().flatten();
        let furthest_ahead = known.clone().max().copied().unwrap_or_default();
        let furthest_behind = known.clone().min().copied().unwrap_or_default();
        let do_agree = known.count() == AGREEING
            && furthest_ahead.saturating_sub(furthest_behind) <= AGREEMENT;
        if !do_agree {
            Skew::None
        } else if furthest_behind >= 0 {
            Skew::of(furthest_behind)
        } else {
            Skew::of(furthest_ahead)
        }
    }
}

/// `requested_at` is by this machine's clock, `date` by the service's, a little later. What the response took counts as the
/// service being ahead, which makes an expiry earlier and never later.
fn millis_ahead(requested_at: SystemTime, date: SystemTime) -> i64 {
    /// What a time in whole seconds leaves out.
    const CUT_OFF: Duration = Duration::from_secs(1);
    let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match date
        .checked_add(CUT_OFF)
        .unwrap_or(date)
        .duration_since(requested_at)
    {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);

    fn at() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_service_that_is_ahead_is_believed_at_once_and_however_far() {
        for (date, expected) in [
            (at() - SECOND, Skew::None),
            (at(), Skew::None),
            (at() + SECOND, Skew::None),
            // With the second that was cut off.
            (at() + 2 * SECOND, Skew::ServiceAhead(3 * SECOND)),
            (at() + HOUR, Skew::ServiceAhead(HOUR + SECOND)),
            (at() + 48 * HOUR, Skew::ServiceAhead(48 * HOUR + SECOND)),
        ] {
            let clock = ServiceClock::default();
            assert_eq!(clock.observe(at(), Some(date)), expected, "{date:?}");
        }
    }

    #[test]
    fn a_service_that_is_behind_is_believed_when_three_responses_in_a_row_agree() {
        let clock = ServiceClock::default();
        let behind = |by: Duration| clock.observe(at(), Some(at() - by - SECOND));
        assert_eq!(behind(2 * MINUTE), Skew::None);
        assert_eq!(behind(2 * MINUTE + SECOND), Skew::None);
        // The one that corrects the least counts.
        assert_eq!(
            behind(2 * MINUTE + 2 * SECOND),
            Skew::ServiceBehind(2 * MINUTE)
        );
        // A response without a `Date` goes by the last ones.
        assert_eq!(clock.observe(at(), None), Skew::ServiceBehind(2 * MINUTE));
        // One that differs by more ends the agreement, and the next three make a new one.
        assert_eq!(behind(2 * MINUTE + 5 * SECOND), Skew::None);
        assert_eq!(clock.observe(at(), None), Skew::None);
        assert_eq!(behind(2 * MINUTE + 5 * SECOND), Skew::None);
        assert_eq!(
            behind(2 * MINUTE + 5 * SECOND),
            Skew::ServiceBehind(2 * MINUTE + 5 * SECOND)
        );
    }

    #[test]
    fn a_token_is_never_taken_to_live_more_than_five_minutes_longer() {
        let clock = ServiceClock::default();
        let skews: Vec<_> = (0..3)
            .map(|_| clock.observe(at(), Some(at() - 20 * HOUR)))
            .collect();
        assert_eq!(skews[..2], [Skew::None, Skew::None]);
        let skew = skews[2];
        assert_eq!(skew, Skew::ServiceBehind(20 * HOUR - SECOND));
        assert_eq!(skew.expiry(at() + HOUR, at()), at() + HOUR + 5 * MINUTE);
        // One that has expired by this machine's clock alone is not thrown away: five minutes from the request, or what is left.
        assert_eq!(skew.expiry(at() - HOUR, at()), at() + 5 * MINUTE);
        assert_eq!(
            skew.expiry(at() - 20 * HOUR + 2 * MINUTE, at()),
            at() + 2 * MINUTE - SECOND
        );
        assert_eq!(
            skew.expiry(at() - 30 * HOUR, at()),
            at() - 10 * HOUR - SECOND
        );
    }

    #[test]
    fn a_token_ends_earlier_by_as_much_as_the_service_is_ahead() {
        let skew = Skew::ServiceAhead(48 * HOUR);
        assert_eq!(skew.expiry(at(), at()), at() - 48 * HOUR);
        assert_eq!(skew.at_the_earliest(at()), at() - 48 * HOUR);
        assert_eq!(
            skew.at_the_earliest(SystemTime::UNIX_EPOCH + HOUR),
            SystemTime::UNIX_EPOCH - 47 * HOUR
        );
        let behind = Skew::ServiceBehind(HOUR);
        assert_eq!(behind.at_the_earliest(at()), at());
        assert_eq!(Skew::None.expiry(at(), at()), at());
    }

    #[test]
    fn a_service_that_is_ahead_ends_an_agreement_that_it_is_behind() {
        let clock = ServiceClock::default();
        for _ in 0..3 {
            clock.observe(at(), Some(at() - MINUTE));
        }
        let ahead = clock.observe(at(), Some(at() + HOUR));
        assert_eq!(ahead, Skew::ServiceAhead(HOUR + SECOND));
        let borrowed = clock.observe(at(), None);
        assert_eq!(borrowed, Skew::PerhapsAhead(HOUR + SECOND));
        assert_eq!(clock.observe(at(), Some(at() - MINUTE)), Skew::None);
    }

    #[test]
    fn one_response_that_is_ahead_makes_no_token_of_another_unusable() {
        let clock = ServiceClock::default();
        let borrowed = || clock.observe(at(), None);
        let dated = |date| clock.observe(at(), Some(date));
        let ahead = dated(at() + HOUR);
        assert_eq!(ahead, Skew::ServiceAhead(HOUR + SECOND));
        assert_eq!(ahead.expiry(at() + HOUR, at()), at() - SECOND);
        // What is left of it would be less than a minute.
        assert_eq!(borrowed(), Skew::PerhapsAhead(HOUR + SECOND));
        assert_eq!(borrowed().expiry(at() + HOUR, at()), at() + HOUR);
        let just_less = at() + HOUR + MINUTE;
        assert_eq!(borrowed().expiry(just_less, at()), just_less);
        let enough = just_less + SECOND;
        assert_eq!(borrowed().expiry(enough, at()), at() + MINUTE);
        // The third that agrees is believed, by as much as the one that corrects the least.
        dated(at() + HOUR + SECOND);
        assert_eq!(borrowed(), Skew::PerhapsAhead(HOUR + 2 * SECOND));
        dated(at() + HOUR + 2 * SECOND);
        assert_eq!(borrowed(), Skew::ServiceAhead(HOUR + SECOND));
        // And one that is right again ends it.
        dated(at());
        assert_eq!(borrowed(), Skew::None);
    }

    #[test]
    fn nothing_is_known_before_the_first_date() {
        let clock = ServiceClock::default();
        assert_eq!(clock.observe(at(), None), Skew::None);
    }

    #[test]
    fn no_date_and_no_time_is_beyond_what_can_be_counted() {
        let (mut last, mut first) = (at(), at());
        for shift in (0..63).rev() {
            let by = Duration::from_secs(1 << shift);
            last = last.checked_add(by).unwrap_or(last);
            first = first.checked_sub(by).unwrap_or(first);
        }
        for (requested_at, date) in [(first, last), (last, first), (last, last)] {
            let clock = ServiceClock::default();
            for _ in 0..3 {
                let skew = clock.observe(requested_at, Some(date));
                for time in [SystemTime::UNIX_EPOCH, at(), last] {
                    let longest = time.checked_add(5 * MINUTE).unwrap_or(time);
                    assert!(
                        skew.expiry(time, SystemTime::UNIX_EPOCH) <= longest,
                        "{skew:?}"
                    );
                }
            }
        }
    }
}
