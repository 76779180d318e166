//! The purse of a store: how many requests it may make in a window, and the headers that say so.
//! Fixed and sliding, since nobody knows which it is and a client has to do well under both.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

/// How many requests a store may make, over all its integrations together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fixed { allocated: u64, window: Duration },
    Sliding { allocated: u64, window: Duration },
    Unlimited,
}

impl RateLimit {
    /// `allocated` requests in each window. A window opens with the first request after the one
    /// before has ended, so that a test is never cut in two by a boundary that it cannot see.
    #[must_use]
    pub const fn fixed(allocated: u64, window: Duration) -> Self {
        Self(Kind::Fixed { allocated, window })
    }

    /// `allocated` requests in any stretch of time as long as `window`.
    #[must_use]
    pub const fn sliding(allocated: u64, window: Duration) -> Self {
        Self(Kind::Sliding { allocated, window })
    }

    /// No limit, and no rate-limit headers.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self(Kind::Unlimited)
    }
}

impl Default for RateLimit {
    /// 150 requests in a fixed minute: the number is documented, the kind of window is not.
    fn default() -> Self {
        Self::fixed(150, Duration::from_secs(60))
    }
}

/// What has been spent of a limit.
#[derive(Debug)]
pub(crate) struct Purse {
    limit: RateLimit,
    /// When requests were made and how many, oldest first; a fixed window has one entry, dated at
    /// its opening.
    spent: VecDeque<(SystemTime, u64)>,
    used: u64,
}

/// What a limit allows and what is left of it at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) allocated: u64,
    pub(crate) window: Duration,
    pub(crate) remaining: u64,
    /// Until a fixed window ends, or until the oldest request leaves a sliding one.
    pub(crate) resets_after: Duration,
}

/// The answer to one request for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Granted(Option<Standing>),
    Exhausted(Standing),
}

impl Purse {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self {
            limit,
            spent: VecDeque::new(),
            used: 0,
        }
    }

    /// Takes one request from the purse. A request that finds it empty costs nothing.
    pub(crate) fn take(&mut self, now: SystemTime) -> Permit {
        match self.standing(now) {
            Some(standing) if standing.remaining == 0 => Permit::Exhausted(standing),
            _ => {
                self.spend(1, now);
                Permit::Granted(self.standing(now))
            }
        }
    }

    /// Takes up to `count` requests, as far as the purse reaches.
    pub(crate) fn spend(&mut self, count: u64, now: SystemTime) {
        let Some(standing) = self.standing(now) else {
            return;
        };
        let count = count.min(standing.remaining);
        if count == 0 {
            return;
        }
        self.used = self.used.saturating_add(count);
        let fixed = matches!(self.limit.0, Kind::Fixed { .. });
        match self.spent.back_mut() {
            // One entry for each moment keeps a sliding window small when many requests share a
            // moment.
            Some((at, spent)) if fixed || *at == now => *spent = spent.saturating_add(count),
            _ => self.spent.push_back((now, count)),
        }
    }

    /// What is left, or nothing where there is no limit.
    pub(crate) fn standing(&mut self, now: SystemTime) -> Option<Standing> {
        let (Kind::Fixed { allocated, window } | Kind::Sliding { allocated, window }) =
            self.limit.0
        else {
            return None;
        };
        while let Some(&(at, count)) = self.spent.front() {
            let counts = match now.duration_since(at) {
                Ok(age) => age < window,
                // A clock may be set back. A little is borne; by more than a window, and what was
                // spent in that future is forgotten, or the window would stay shut until then.
                Err(ahead) => ahead.duration() <= window,
            };
            if counts {
                break;
            }
            self.spent.pop_front();
            self.used = self.used.saturating_sub(count);
        }
        let age = self
            .spent
            .front()
            .and_then(|(at, _)| now.duration_since(*at).ok());
        Some(Standing {
            allocated,
            window,
            remaining: allocated.saturating_sub(self.used),
            resets_after: window.saturating_sub(age.unwrap_or_default()),
        })
    }
}

impl Standing {
    /// The four headers, each with its unit in the value.
    pub(crate) fn headers(self) -> [(&'static str, String); 4] {
        [
            (
                "x-requests-allocated",
                format!("{} times/{} s", self.allocated, self.window.as_secs_f64()),
            ),
            // The documented value is "0 times", whatever the length of the window.
            ("x-requests-window-length", "0 times".to_owned()),
            ("x-requests-remaining", format!("{} times", self.remaining)),
            // Debug keeps the point of a whole number ("60.0"): the value is documented as a float.
            (
                "x-request-window-resets-after",
                format!("{:?} s", self.resets_after.as_secs_f64()),
            ),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds)
    }

    fn granted(purse: &mut Purse, seconds: u64) -> bool {
        matches!(purse.take(at(seconds)), Permit::Granted(_))
    }

    #[test]
    fn a_fixed_window_gives_everything_back_at_once() {
        let mut purse = Purse::new(RateLimit::fixed(2, MINUTE));
        assert!(granted(&mut purse, 0));
        assert!(granted(&mut purse, 59));
        let Permit::Exhausted(standing) = purse.take(at(59)) else {
            panic!("two were spent")
        };
        assert_eq!(standing.resets_after, Duration::from_secs(1));
        assert!(granted(&mut purse, 60));
        assert!(
            granted(&mut purse, 60),
            "the request of second 59 was in the window before"
        );
        assert!(!granted(&mut purse, 60));
    }

    #[test]
    fn a_sliding_window_gives_back_one_by_one() {
        let mut purse = Purse::new(RateLimit::sliding(2, MINUTE));
        assert!(granted(&mut purse, 0));
        assert!(granted(&mut purse, 59));
        assert!(!granted(&mut purse, 59));
        assert!(granted(&mut purse, 60));
        assert!(
            !granted(&mut purse, 60),
            "the request of second 59 still counts"
        );
        let Permit::Exhausted(standing) = purse.take(at(100)) else {
            panic!("both still count")
        };
        assert_eq!(standing.resets_after, Duration::from_secs(19));
        assert!(granted(&mut purse, 119));
    }

    #[test]
    fn a_refused_request_costs_nothing() {
        for limit in [RateLimit::fixed(1, MINUTE), RateLimit::sliding(1, MINUTE)] {
            let mut purse = Purse::new(limit);
            assert!(granted(&mut purse, 0));
            for second in 1..60 {
                assert!(!granted(&mut purse, second));
            }
            assert!(granted(&mut purse, 60));
        }
    }

    #[test]
    fn spending_stops_at_the_bottom() {
        for limit in [RateLimit::fixed(5, MINUTE), RateLimit::sliding(5, MINUTE)] {
            let mut purse = Purse::new(limit);
            purse.spend(3, at(0));
            assert_eq!(purse.standing(at(0)).unwrap().remaining, 2);
            purse.spend(u64::MAX, at(1));
            assert_eq!(purse.standing(at(1)).unwrap().remaining, 0);
            assert_eq!(purse.standing(at(61)).unwrap().remaining, 5);
        }
    }

    #[test]
    fn a_clock_set_back_neither_empties_the_window_nor_shuts_it_for_long() {
        for limit in [RateLimit::fixed(1, MINUTE), RateLimit::sliding(1, MINUTE)] {
            let mut purse = Purse::new(limit);
            assert!(granted(&mut purse, 500));
            let Permit::Exhausted(standing) = purse.take(at(499)) else {
                panic!("one second back")
            };
            assert_eq!(standing.resets_after, MINUTE);
            assert!(granted(&mut purse, 0));
        }
    }

    #[test]
    fn no_limit_and_no_window_are_both_fine() {
        let mut unlimited = Purse::new(RateLimit::unlimited());
        assert_eq!(unlimited.take(at(0)), Permit::Granted(None));
        let mut instant = Purse::new(RateLimit::sliding(1, Duration::ZERO));
        assert!(granted(&mut instant, 0) && granted(&mut instant, 0));
        let mut nothing = Purse::new(RateLimit::fixed(0, MINUTE));
        assert!(!granted(&mut nothing, 0));
    }

    #[test]
    fn headers_have_their_units() {
        let mut purse = Purse::new(RateLimit::default());
        let opened = at(0);
        purse.take(opened);
        let Permit::Granted(Some(standing)) = purse.take(opened + Duration::from_millis(59_610))
        else {
            panic!()
        };
        let expected = [
            ("x-requests-allocated", "150 times/60 s"),
            ("x-requests-window-length", "0 times"),
            ("x-requests-remaining", "148 times"),
            ("x-request-window-resets-after", "0.39 s"),
        ];
        assert_eq!(
            standing.headers(),
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }
}
