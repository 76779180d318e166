//! One token in the cache, and the handle on it. An entry is written once: what changes is only when it is looked after next.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::HeaderValue;

use super::{
    expiry::{self, LONGEST_LIFE, Tick, blocking_margin, hard_margin, soft_after},
    key::Key,
};
use crate::{ChannelId, Claims, ClockReading, CustomerId, StorefrontToken, token::bearer};

/// A token, its life on both clocks, and when it is due.
///
/// 72 bytes with the counts of its `Arc`, which is what fits the allocator's class of 80: a million of them are kept. In this
/// order, so that what a hit reads stands beside the count that it raises, mostly in one line of the processor's cache.
#[repr(C)]
pub(super) struct Entry {
    /// From when on an access has to do more than to hand it out.
    due: AtomicU32,
    /// Until when it is valid, in seconds since 1970 by our own clock.
    expires_at: u32,
    /// When the request that brought it was begun. Of two tokens of one key the one that began later is the newer.
    start: Tick,
    /// How long it is valid from then on, in ticks.
    life: Tick,
    header: HeaderValue,
}

/// What an access is to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serve it.
    Fresh,
    /// Serve it, and have it renewed in the background.
    Soft,
    /// Wait for another one, and fall back on it.
    Blocking,
    /// It does not count any more.
    Over,
}

/// Why a token cannot be an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It was over when it came, or as good as.
    Expired,
    /// It will be valid at some later time.
    NotYetValid,
    /// It was requested in the future: the clock was set back since, or another process's clock is wrong. How long ago it was
    /// requested, and so how long it is still valid, is unknown.
    FromTheFuture,
}

/// What is left of a token that is not worth being kept: it would be asked for anew with each access.
const SHORTEST_REST: Duration = Duration::from_secs(2);

/// By how much a clock may be behind that of who says from when on a token is valid.
const LEEWAY: Duration = Duration::from_secs(60);

/// By how much the clocks of two processes may differ, or a clock be set back, for a token of before to be accepted. It is what a
/// token is not served for at its end, so that nobody is handed one that is over.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(30);

impl Entry {
    /// An entry for a token that somebody kept, as of `now`. `fraction` is a draw from 0 to 1, for its soft moment.
    pub(super) fn new(
        token: &StorefrontToken,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        Self::of_token(token, Life::of(token), now, fraction)
    }

    /// The same for a token that has just come. A clock that was set back during the request neither lengthens its life nor
    /// makes it unusable.
    pub(super) fn minted(
        token: &StorefrontToken,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        Self::of_token(token, Life::of(token).begun_by(now.wall), now, fraction)
    }

    fn of_token(
        token: &StorefrontToken,
        life: Life,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        let valid_from = token.valid_locally_from().map(since_1970);
        if valid_from.is_some_and(|at| at > now.wall + LEEWAY) {
            return Err(Unfit::NotYetValid);
        }
        Self::of_parts(token.authorization(), life, now, fraction)
    }

    /// An entry with this life, as of `now`. It is never longer than from the request to the expiry.
    pub(super) fn of_parts(
        header: HeaderValue,
        life: Life,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        if life.requested_at > now.wall.saturating_add(CLOCK_TOLERANCE) {
            return Err(Unfit::FromTheFuture);
        }
        let Life {
            requested_at,
            expires_at,
        } = life.begun_by(now.wall);
        let age = now.wall.saturating_sub(requested_at);
        let life = expires_at.saturating_sub(requested_at).min(LONGEST_LIFE);
        if life.saturating_sub(age) < hard_margin(life).max(SHORTEST_REST) {
            return Err(Unfit::Expired);
        }
        let start = Tick::of(now.monotonic).minus(age);
        Ok(Self {
            header,
            start,
            life: Tick::from_bits(0).plus(life),
            expires_at: u32::try_from(expires_at.as_secs()).unwrap_or(u32::MAX),
            due: AtomicU32::new(start.plus(soft_after(life, fraction)).bits()),
        })
    }

    /// The same token, as one that is newer than `other`. Two that are put within a hundredth of a second are told apart by it.
    pub(super) fn newer_than(self, other: &Self) -> Self {
        self.begun_after(other.start)
    }

    /// The same token, as one whose request is known to have begun after this moment, whatever the clocks make of it.
    pub(super) fn begun_after(mut self, moment: Tick) -> Self {
        if !self.start.is_after(moment) {
            self.start = moment.plus(Duration::from_millis(10));
        }
        self
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }

    pub(super) fn token(&self) -> &str {
        bearer::token(&self.header)
    }

    /// When the request that brought it was begun.
    pub(super) fn start(&self) -> Tick {
        self.start
    }

    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        self.start.is_after(other.start)
    }

    fn life(&self) -> Duration {
        self.life.until(Tick::from_bits(0))
    }

    /// From when on it is not served.
    fn hard(&self) -> Tick {
        let life = self.life();
        self.start.plus(life.saturating_sub(hard_margin(life)))
    }

    #[inline]
    pub(super) fn due(&self) -> Tick {
        Tick::from_bits(self.due.load(Ordering::Relaxed))
    }

    /// Whether it can be served without a further thought, by both clocks. Two comparisons: the common case. Whoever gets
    /// `false` asks for the [`phase`](Self::phase).
    #[inline]
    pub(super) fn is_fresh(&self, now: ClockReading) -> bool {
        const LONGEST_MARGIN: u64 = 30;
        self.due().is_after(Tick::of(now.monotonic))
            && now.wall.as_secs() + LONGEST_MARGIN < u64::from(self.expires_at)
    }

    /// What to do with it.
    pub(super) fn phase(&self, now: ClockReading) -> Phase {
        let tick = Tick::of(now.monotonic);
        let life = self.life();
        // Both clocks: one may have stood still while the machine slept, the other may have been set.
        if self.hard().has_come(tick) || self.wall_left(now) <= hard_margin(life) {
            return Phase::Over;
        }
        if self.due().is_after(tick) {
            return Phase::Fresh;
        }
        let blocking = self.start.plus(life.saturating_sub(blocking_margin(life)));
        if blocking.has_come(tick) || self.wall_left(now) <= blocking_margin(life) {
            Phase::Blocking
        } else {
            Phase::Soft
        }
    }

    fn wall_left(&self, now: ClockReading) -> Duration {
        Duration::from_secs(u64::from(self.expires_at)).saturating_sub(now.wall)
    }

    /// For how long it will still be served.
    pub(super) fn served_for(&self, now: ClockReading) -> Duration {
        let wall = self.wall_left(now).saturating_sub(hard_margin(self.life()));
        self.hard().until(Tick::of(now.monotonic)).min(wall)
    }

    /// Whether it is so close to its end that it is waited for another one.
    pub(super) fn is_at_its_end(&self, now: ClockReading) -> bool {
        let life = self.life();
        self.served_for(now) <= blocking_margin(life).saturating_sub(hard_margin(life))
    }

    /// Takes it upon the caller to see to the renewal, and nobody else for this long. `false` when somebody else has.
    pub(super) fn claim(&self, now: ClockReading, for_this_long: Duration) -> bool {
        let seen = self.due();
        let tick = Tick::of(now.monotonic);
        seen.has_come(tick)
            && self
                .due
                .compare_exchange(
                    seen.bits(),
                    tick.plus(for_this_long).min(self.hard()).bits(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok()
    }

    /// Nothing is to be done for it before this time is over; at its hard moment at the latest.
    pub(super) fn leave_alone_for(&self, now: ClockReading, wait: Duration) {
        let due = Tick::of(now.monotonic).plus(wait).min(self.hard());
        self.due.store(due.bits(), Ordering::Relaxed);
    }

    /// Its renewal failed: when to try again.
    pub(super) fn renewal_failed(&self, now: ClockReading, fraction: f64) {
        self.leave_alone_for(now, expiry::after_failure(self.served_for(now), fraction));
    }

    pub(super) fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.expires_at))
    }

    /// When the request that brought it was begun, by the wall clock as it is now.
    pub(super) fn requested_at(&self) -> SystemTime {
        let expires_at = self.expires_at();
        expires_at.checked_sub(self.life()).unwrap_or(expires_at)
    }
}

/// An entry but for its token, as a snapshot keeps it. What moments it has were drawn once, and are not drawn again.
#[cfg(feature = "snapshot")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    /// In seconds since 1970.
    pub(super) expires_at: u32,
    /// In ticks.
    pub(super) life: u32,
    /// In ticks from its start.
    pub(super) due: u32,
}

#[cfg(feature = "snapshot")]
impl Entry {
    /// What is kept of it as of `now`. Another process has the wall clock alone to go by: where that was set back since the
    /// token came, the end is moved along with it.
    pub(super) fn kept(&self, now: ClockReading) -> Kept {
        /// What two readings of the clocks may differ by.
        const SLACK: Duration = Duration::from_secs(2);
        let since = |tick: Tick, start: Tick| tick.bits().wrapping_sub(start.bits());
        let end = self.start.plus(self.life());
        let by_monotonic = now.wall + end.until(Tick::of(now.monotonic));
        let latest = u32::try_from(by_monotonic.as_secs()).unwrap_or(u32::MAX);
        let was_set_back = u64::from(self.expires_at) > (by_monotonic + SLACK).as_secs();
        Kept {
            expires_at: if was_set_back {
                latest
            } else {
                self.expires_at
            },
            life: self.life.bits(),
            due: since(self.due(), self.start),
        }
    }

    /// The entry as of `now`, whatever the numbers are.
    pub(super) fn of_kept(
        header: HeaderValue,
        kept: Kept,
        now: ClockReading,
    ) -> Result<Self, Unfit> {
        let length = |ticks| Tick::from_bits(ticks).until(Tick::from_bits(0));
        let expires_at = Duration::from_secs(kept.expires_at.into());
        let life = Life {
            requested_at: expires_at.saturating_sub(length(kept.life)),
            expires_at,
        };
        let entry = Self::of_parts(header, life, now, 0.0)?;
        // The wall clock has the last word where the two differ.
        if entry.phase(now) == Phase::Over {
            return Err(Unfit::Expired);
        }
        let due = entry.start.plus(length(kept.due)).min(entry.hard());
        entry.due.store(due.bits(), Ordering::Relaxed);
        Ok(entry)
    }
}

/// From when to when a token is valid, as time since 1970 by our own clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) requested_at: Duration,
    pub(super) expires_at: Duration,
}

impl Life {
    fn of(token: &StorefrontToken) -> Self {
        Self {
            requested_at: since_1970(token.requested_at()),
            expires_at: since_1970(token.expires_locally_at()),
        }
    }

    /// The same length, begun at `now` where it would begin later: the clock that it was measured by was ahead of what ours says
    /// now.
    fn begun_by(self, now: Duration) -> Self {
        let ahead = self.requested_at.saturating_sub(now);
        Self {
            requested_at: self.requested_at.saturating_sub(ahead),
            expires_at: self.expires_at.saturating_sub(ahead),
        }
    }
}

pub(super) fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A storefront token out of a cache of managed tokens: cheap to clone, ready to be sent.
///
/// It is valid when it is handed out, for [`remaining`](Self::remaining) from then on. Do not keep it: ask the cache again,
/// which costs next to nothing, and hand it back to [`invalidate`](crate::StorefrontTokens::invalidate) when it is refused.
///
/// `Debug` shows whose it is and how long it lasts, and not the token.
#[derive(Clone)]
pub struct ManagedToken {
    pub(super) entry: Arc<Entry>,
    pub(super) key: Key,
}

impl ManagedToken {
    /// The value of the `Authorization` header, `Bearer …`, marked as sensitive. A clone of it shares its memory, which is
    /// wiped with the last of them.
    #[must_use]
    pub fn authorization(&self) -> &HeaderValue {
        self.entry.header()
    }

    /// The token itself, a JWT. Hand it on to what needs it, never to a log.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.entry.token()
    }

    /// The customer that it was asked for.
    #[must_use]
    pub fn customer(&self) -> CustomerId {
        self.key.customer()
    }

    /// The channel that it was asked for, if one was.
    #[must_use]
    pub fn channel(&self) -> Option<ChannelId> {
        self.key.channel()
    }

    /// Until when it is valid by this machine's clock, in whole seconds: its claim `exp`, corrected by what the service's clock was
    /// seen to differ by, and at most a day from when it was requested, unless a login asked for another end. A correction that
    /// lets it end later is at most five minutes.
    #[must_use]
    pub fn expires_at(&self) -> SystemTime {
        self.entry.expires_at()
    }

    /// How long it is valid from `now` on; zero once it is expired.
    #[must_use]
    pub fn remaining(&self, now: SystemTime) -> Duration {
        self.expires_at().duration_since(now).unwrap_or_default()
    }

    /// What the token says of itself, **not verified**, read anew with each call. `None` when it is not a readable JWT.
    #[must_use]
    pub fn claims(&self) -> Option<Claims> {
        Claims::read_unverified(self.expose_secret()).ok()
    }
}

impl fmt::Debug for ManagedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedToken")
            .field("customer", &self.customer())
            .field("channel", &self.channel())
            .field("authorization", self.authorization())
            .field("expires_at", &self.expires_at())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const EPOCH: Duration = Duration::from_secs(1_800_000_000);

    /// Both clocks, so long after the beginning.
    fn at(time: Duration) -> ClockReading {
        ClockReading {
            wall: EPOCH + time,
            monotonic: Duration::from_secs(5) + time,
        }
    }

    fn lasting(life: Duration, now: Duration) -> Result<Entry, Unfit> {
        let header = bearer::header("hunter2").unwrap();
        let life = Life {
            requested_at: EPOCH,
            expires_at: EPOCH + life,
        };
        Entry::of_parts(header, life, at(now), 0.5)
    }

    fn of_a_day() -> Entry {
        lasting(DAY, Duration::ZERO).unwrap()
    }

    #[test]
    fn a_day_has_its_phases() {
        let entry = of_a_day();
        let soft = DAY.mul_f64(0.8);
        let blocking = DAY - 5 * MINUTE;
        let hard = DAY - 30 * SECOND;
        let step = Duration::from_millis(10);
        for (time, phase) in [
            (Duration::ZERO, Phase::Fresh),
            (soft - step, Phase::Fresh),
            (soft, Phase::Soft),
            (blocking - step, Phase::Soft),
            (blocking, Phase::Blocking),
            (hard - step, Phase::Blocking),
            (hard, Phase::Over),
            (DAY, Phase::Over),
            (2 * DAY, Phase::Over),
        ] {
            assert_eq!(entry.phase(at(time)), phase, "{time:?}");
            assert_eq!(entry.is_fresh(at(time)), phase == Phase::Fresh, "{time:?}");
        }
        assert_eq!(entry.expires_at(), SystemTime::UNIX_EPOCH + EPOCH + DAY);
        assert_eq!(entry.requested_at(), SystemTime::UNIX_EPOCH + EPOCH);
        assert_eq!(entry.served_for(at(HOUR)), DAY - HOUR - 30 * SECOND);
        assert_eq!(entry.served_for(at(DAY)), Duration::ZERO);
        assert!(!entry.is_at_its_end(at(blocking - SECOND)));
        assert!(entry.is_at_its_end(at(blocking)));
    }

    #[test]
    fn each_clock_can_end_it_alone() {
        let entry = of_a_day();
        let apart = |wall: Duration, monotonic: Duration| ClockReading {
            wall: EPOCH + wall,
            monotonic: Duration::from_secs(5) + monotonic,
        };
        let hard = DAY - 30 * SECOND;
        assert_eq!(entry.phase(apart(hard, Duration::ZERO)), Phase::Over);
        assert!(!entry.is_fresh(apart(hard, Duration::ZERO)));
        assert_eq!(
            entry.phase(apart(hard - SECOND, Duration::ZERO)),
            Phase::Fresh
        );
        assert!(entry.is_fresh(apart(hard - SECOND, Duration::ZERO)));
        assert_eq!(entry.phase(apart(Duration::ZERO, hard)), Phase::Over);
        assert!(!entry.is_fresh(apart(Duration::ZERO, hard)));
        // Due by the one clock, and at its end by the other.
        let due = DAY.mul_f64(0.8);
        assert_eq!(entry.phase(apart(DAY - 5 * MINUTE, due)), Phase::Blocking);
        assert_eq!(
            entry.phase(apart(DAY - 5 * MINUTE - SECOND, due)),
            Phase::Soft
        );
        // What is left is what the clock leaves that leaves less.
        assert_eq!(
            entry.served_for(apart(hard - MINUTE, Duration::ZERO)),
            MINUTE
        );
        assert_eq!(
            entry.served_for(apart(Duration::ZERO, hard - MINUTE)),
            MINUTE
        );
    }

    #[test]
    fn life_counts_from_the_request_whenever_the_reply_came() {
        for late in [Duration::ZERO, 10 * SECOND, HOUR] {
            let entry = lasting(DAY, late).unwrap();
            assert_eq!(entry.phase(at(DAY.mul_f64(0.8) - SECOND)), Phase::Fresh);
            assert_eq!(entry.phase(at(DAY.mul_f64(0.8))), Phase::Soft);
            assert_eq!(entry.phase(at(DAY - 30 * SECOND)), Phase::Over);
            assert_eq!(entry.start(), of_a_day().start());
        }
    }

    #[test]
    fn a_clock_that_was_set_back_never_lengthens_a_life() {
        let requested = |ahead: Duration| Life {
            requested_at: EPOCH + ahead,
            expires_at: EPOCH + ahead + DAY,
        };
        let entry = |life| {
            let header = bearer::header("hunter2").unwrap();
            Entry::of_parts(header, life, at(Duration::ZERO), 0.5)
        };
        // By little: its life is the same length, from now on, by both clocks.
        let close = entry(requested(CLOCK_TOLERANCE)).unwrap();
        assert_eq!(close.start(), of_a_day().start());
        assert_eq!(close.expires_at(), of_a_day().expires_at());
        assert_eq!(close.phase(at(DAY - 31 * SECOND)), Phase::Blocking);
        assert_eq!(close.phase(at(DAY - 30 * SECOND)), Phase::Over);
        // By more: when it was requested is unknown.
        for ahead in [CLOCK_TOLERANCE + SECOND, HOUR, DAY] {
            assert_eq!(entry(requested(ahead)).err(), Some(Unfit::FromTheFuture));
        }
        // A token that has just come is of now, however far the clock was set back meanwhile.
        let token =
            StorefrontToken::new("hunter2".into(), None, SystemTime::UNIX_EPOCH + EPOCH + DAY)
                .unwrap();
        let minted = Entry::minted(&token, at(Duration::ZERO), 0.5).unwrap();
        assert_eq!(minted.expires_at(), of_a_day().expires_at());
        assert_eq!(minted.phase(at(DAY - 30 * SECOND)), Phase::Over);
        let kept = Entry::new(&token, at(Duration::ZERO), 0.5);
        assert_eq!(kept.err(), Some(Unfit::FromTheFuture));
    }

    #[test]
    fn what_is_over_or_as_good_as_is_no_entry() {
        let unfit = |life, now| lasting(life, now).err();
        assert_eq!(unfit(Duration::ZERO, Duration::ZERO), Some(Unfit::Expired));
        assert_eq!(unfit(SECOND, Duration::ZERO), Some(Unfit::Expired));
        assert_eq!(unfit(2 * SECOND, Duration::ZERO), None);
        assert_eq!(unfit(DAY, DAY), Some(Unfit::Expired));
        assert_eq!(unfit(DAY, DAY - 29 * SECOND), Some(Unfit::Expired));
        assert_eq!(unfit(DAY, DAY - 30 * SECOND), None);
        assert_eq!(unfit(DAY, 2 * DAY), Some(Unfit::Expired));
    }

    #[test]
    fn a_life_beyond_measure_is_cut_to_what_a_moment_can_hold() {
        let entry = lasting(DAY * 36_500, Duration::ZERO).unwrap();
        assert_eq!(entry.phase(at(79 * DAY)), Phase::Fresh);
        assert_eq!(entry.phase(at(80 * DAY)), Phase::Soft);
        assert_eq!(entry.phase(at(LONGEST_LIFE - 30 * SECOND)), Phase::Over);
    }

    #[test]
    fn one_caller_takes_a_renewal_upon_itself() {
        let entry = of_a_day();
        let soft = DAY.mul_f64(0.8);
        assert!(!entry.claim(at(soft - SECOND), MINUTE), "it is not due");
        assert!(entry.claim(at(soft), MINUTE));
        assert!(!entry.claim(at(soft), MINUTE), "somebody has");
        assert_eq!(entry.phase(at(soft + MINUTE - SECOND)), Phase::Fresh);
        assert_eq!(entry.phase(at(soft + MINUTE)), Phase::Soft);
        assert!(entry.claim(at(soft + MINUTE), MINUTE));
        // However long it is left alone, its hard moment comes.
        entry.leave_alone_for(at(soft), 2 * DAY);
        assert_eq!(entry.phase(at(DAY - 31 * SECOND)), Phase::Fresh);
        assert!(!entry.is_fresh(at(DAY - 30 * SECOND)));
        assert_eq!(entry.phase(at(DAY - 30 * SECOND)), Phase::Over);
        let entry = of_a_day();
        assert!(entry.claim(at(DAY - MINUTE), HOUR));
        assert!(!entry.is_fresh(at(DAY - 30 * SECOND)));
    }

    #[test]
    fn a_failed_renewal_is_tried_again_sooner_as_the_end_comes_near() {
        let entry = of_a_day();
        let failed_at = DAY.mul_f64(0.8);
        entry.renewal_failed(at(failed_at), 0.0);
        assert_eq!(
            entry.phase(at(failed_at + 10 * MINUTE - SECOND)),
            Phase::Fresh
        );
        assert_eq!(entry.phase(at(failed_at + 10 * MINUTE)), Phase::Soft);
        let failed_at = DAY - 130 * SECOND;
        entry.renewal_failed(at(failed_at), 0.0);
        assert_eq!(entry.phase(at(failed_at + 49 * SECOND)), Phase::Fresh);
        assert_eq!(entry.phase(at(failed_at + 50 * SECOND)), Phase::Blocking);
    }

    #[test]
    fn of_two_tokens_the_later_one_is_newer() {
        let (one, other) = (of_a_day(), of_a_day());
        assert!(!one.is_newer_than(&other) && !other.is_newer_than(&one));
        let other = other.newer_than(&one);
        assert!(other.is_newer_than(&one) && !one.is_newer_than(&other));
        let start = other.start();
        assert_eq!(other.newer_than(&one).start(), start, "it was already");
    }

    #[test]
    fn a_token_that_is_not_valid_yet_is_no_entry_unless_clocks_may_differ_by_it() {
        let token = |not_before: Duration| {
            let claims =
                json!({"nbf": (EPOCH + not_before).as_secs(), "exp": (EPOCH + DAY).as_secs()});
            use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
            let jwt = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()));
            let requested_at = SystemTime::UNIX_EPOCH + EPOCH;
            StorefrontToken::new(jwt.into(), None, requested_at).unwrap()
        };
        let entry = |not_before| Entry::new(&token(not_before), at(Duration::ZERO), 0.5);
        assert!(entry(Duration::ZERO).is_ok());
        assert!(entry(MINUTE).is_ok());
        assert_eq!(entry(MINUTE + SECOND).err(), Some(Unfit::NotYetValid));
    }

    #[test]
    fn an_entry_is_as_small_as_it_says() {
        // With the two counts of its `Arc`.
        assert_eq!(size_of::<Entry>() + 2 * size_of::<usize>(), 72);
    }

    #[test]
    fn a_handle_tells_whose_it_is_and_hides_the_token() {
        let customer = CustomerId::new(42).unwrap();
        let channel = ChannelId::new(2).unwrap();
        let token = ManagedToken {
            entry: Arc::new(of_a_day()),
            key: Key::new(0, customer, Some(channel), None),
        };
        assert_eq!(
            (token.customer(), token.channel()),
            (customer, Some(channel))
        );
        assert_eq!(token.expose_secret(), "hunter2");
        assert_eq!(token.authorization().as_bytes(), b"Bearer hunter2");
        assert!(token.authorization().is_sensitive());
        let now = SystemTime::UNIX_EPOCH + EPOCH;
        assert_eq!(token.expires_at(), now + DAY);
        assert_eq!(token.remaining(now + HOUR), DAY - HOUR);
        assert_eq!(token.remaining(now + 2 * DAY), Duration::ZERO);
        assert!(token.claims().is_none());
        let shown = format!("{token:?}");
        assert!(
            shown.contains("42") && !shown.contains("hunter2"),
            "{shown}"
        );
    }

    #[cfg(feature = "snapshot")]
    #[test]
    fn what_is_kept_moves_with_a_clock_that_was_set_back() {
        let entry = of_a_day();
        let kept = |wall: Duration, monotonic: Duration| {
            let kept = entry.kept(ClockReading {
                wall,
                monotonic: at(monotonic).monotonic,
            });
            assert_eq!(kept.life, 8_640_000);
            Duration::from_secs(kept.expires_at.into())
        };
        assert_eq!(kept(EPOCH + HOUR, HOUR), EPOCH + DAY);
        // Two readings are never quite of the same moment.
        assert_eq!(kept(EPOCH + HOUR - SECOND, HOUR), EPOCH + DAY);
        assert_eq!(kept(EPOCH + HOUR + SECOND, HOUR), EPOCH + DAY);
        // Set back by a day, and set forward.
        assert_eq!(kept(EPOCH + HOUR - DAY, HOUR), EPOCH);
        assert_eq!(kept(EPOCH + 2 * HOUR, HOUR), EPOCH + DAY);
    }

    #[cfg(feature = "snapshot")]
    #[test]
    fn what_is_kept_brings_the_same_entry_back_whatever_the_numbers_are() {
        let header = || bearer::header("token").unwrap();
        let life = |requested_at, expires_at| Life {
            requested_at: EPOCH + requested_at,
            expires_at: EPOCH + expires_at,
        };
        let entry = Entry::of_parts(header(), life(HOUR, HOUR + DAY), at(2 * HOUR), 0.5).unwrap();
        let kept = entry.kept(at(2 * HOUR));
        assert_eq!(
            kept,
            Kept {
                expires_at: 1_800_000_000 + 90_000,
                life: 8_640_000,
                due: 6_912_000,
            }
        );
        // On another monotonic clock, an hour later.
        let now = ClockReading {
            wall: at(3 * HOUR).wall,
            monotonic: MINUTE,
        };
        let again = Entry::of_kept(header(), kept, now).unwrap();
        assert_eq!((again.kept(now), again.token()), (kept, "token"));
        assert_eq!(again.requested_at(), entry.requested_at());
        assert_eq!(again.served_for(now), entry.served_for(at(3 * HOUR)));
        assert_eq!(
            again.due().until(Tick::of(MINUTE)),
            DAY.mul_f64(0.8) - 2 * HOUR
        );
        // What was put off is still put off.
        entry.leave_alone_for(at(23 * HOUR), 7 * MINUTE);
        assert_eq!(entry.kept(at(23 * HOUR)).due, (22 * 3600 + 7 * 60) * 100);
        for life in [0, 1, 8_640_000, i32::MAX as u32, 1 << 31, u32::MAX] {
            for due in [0, 8_640_000, i32::MAX as u32, 1 << 31, u32::MAX] {
                for expires_at in [0, 1_800_000_000, 1_800_090_000, u32::MAX] {
                    let kept = Kept {
                        expires_at,
                        life,
                        due,
                    };
                    if let Ok(entry) = Entry::of_kept(header(), kept, now) {
                        assert_ne!(entry.phase(now), Phase::Over, "{kept:?}");
                        assert!(!entry.due().is_after(entry.hard()), "{kept:?}");
                        assert!(entry.served_for(now) < LONGEST_LIFE, "{kept:?}");
                    }
                }
            }
        }
        // Valid by its length and not by the wall clock, in the last second of whole ones.
        let short = Kept {
            expires_at: 1_800_000_000 + 3 * 3600 + 30,
            ..kept
        };
        assert_eq!(
            Entry::of_kept(header(), short, now).err(),
            Some(Unfit::Expired)
        );
    }
}
