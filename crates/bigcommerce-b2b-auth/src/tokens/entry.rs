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
    key::Key,
    moments::{self, LONGEST_LIFE, Tick, blocking_margin, hard_margin, soft_after},
};
use crate::{ChannelId, Claims, ClockReading, CustomerId, StorefrontToken, bearer};

/// A token, its life on both clocks, and when it is due.
///
/// 72 bytes with the counts of its `Arc`, which is what fits the allocator's class of 80: a million of them are kept.
pub(super) struct Entry {
    header: HeaderValue,
    /// When the request that brought it was begun. Of two tokens of one key the one that began later is the newer.
    start: Tick,
    /// How long it is valid from then on, in ticks.
    life: Tick,
    /// Until when it is valid, in seconds since 1970 by our own clock.
    expires_at: u32,
    /// From when on an access has to do more than to hand it out.
    due: AtomicU32,
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
}

/// What is left of a token that is not worth being kept: it would be asked for anew with each access.
const SHORTEST_REST: Duration = Duration::from_secs(2);

/// By how much a clock may be behind that of who says from when on a token is valid.
const LEEWAY: Duration = Duration::from_secs(60);

impl Entry {
    /// An entry for a token, as of `now`. `fraction` is a draw from 0 to 1, for its soft moment.
    pub(super) fn new(
        token: &StorefrontToken,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        let not_before = token.claims().and_then(|claims| claims.not_before);
        if not_before.is_some_and(|at| since_1970(at) > now.wall + LEEWAY) {
            return Err(Unfit::NotYetValid);
        }
        let life = Life {
            requested_at: since_1970(token.requested_at()),
            expires_at: since_1970(token.expires_locally_at()),
        };
        Self::of_parts(token.authorization(), life, now, fraction)
    }

    pub(super) fn of_parts(
        header: HeaderValue,
        life: Life,
        now: ClockReading,
        fraction: f64,
    ) -> Result<Self, Unfit> {
        let Life {
            requested_at,
            expires_at,
        } = life;
        // A request that seems to come from the future is one of a clock that was set back since.
        let age = now.wall.saturating_sub(requested_at);
        let life = expires_at
            .saturating_sub(requested_at.min(now.wall))
            .min(LONGEST_LIFE);
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
    pub(super) fn newer_than(mut self, other: &Self) -> Self {
        if !self.start.is_after(other.start) {
            self.start = other.start.plus(Duration::from_millis(10));
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

    pub(super) fn due(&self) -> Tick {
        Tick::from_bits(self.due.load(Ordering::Relaxed))
    }

    /// Whether it can be served without a further thought, by both clocks. Two comparisons: the common case. Whoever gets
    /// `false` asks for the [`phase`](Self::phase).
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
        self.leave_alone_for(now, moments::after_failure(self.served_for(now), fraction));
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

/// From when to when a token is valid, as time since 1970 by our own clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    pub(super) requested_at: Duration,
    pub(super) expires_at: Duration,
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

    /// Until when it is valid by this machine's clock, in whole seconds: its claim `exp`, put right by what the service's
    /// clock was seen to differ by, or a day from when it was requested.
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
