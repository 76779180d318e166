//! The arithmetic of a store's budget: what was spent, what the service said is left, and when the next request may go.
//! Nothing here waits or reads a clock, so that every rule can be tested by itself.
//!
//! Whether the service counts in fixed or in sliding windows is unknown. Two facts hold under both: never more than the
//! allocation in any stretch as long as the window, and never more than the service says is left. A request is taken to
//! count from when it was sent until a window after its reply came, which covers every moment at which it can have
//! arrived.
//!
//! No header is believed beyond what the documented service can mean. Allocation, window and time until the reset are
//! clamped when they are read, and an allocation that is larger than the documented one is believed only when all responses
//! of a documented window state it. Besides, if nothing was sent for a documented minute, the next request goes as a probe,
//! whatever the headers said. Only a 429 stops the store for longer, up to
//! [`max_retry_after`](BudgetLimit::max_retry_after).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{BudgetLimit, PermitOutcome};
use crate::BudgetReading;

/// The window that the vendor documents. No header other than that of a 429 has an effect for longer.
const DOCUMENTED_WINDOW: Duration = Duration::from_secs(60);

const SHORTEST_WINDOW: Duration = Duration::from_secs(1);

/// The largest allocation that is believed for a documented window.
const MOST_REQUESTS: u64 = 10_000;

/// The documented allocation for a documented window.
const DOCUMENTED_REQUESTS: u64 = 150;

/// How many responses in a row have to state the same allocation, over a documented window at least, before it is believed to be
/// larger than the documented one. Less is believed at once.
const AGREEING: u32 = 3;

/// While others spend from the store's budget, one request in this many is left alone, so that theirs, which may come at
/// any moment, does not turn ours into a refusal.
const RESERVE: u64 = 50;

/// However much others spend, this part of what there is stays ours.
const LEAST_SHARE: f64 = 0.25;

/// This part of a window has to be over before what others spent in it says how much they will.
const LONG_ENOUGH_TO_JUDGE: u32 = 6;

/// When the next permit can be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Not before this moment; by then something else may have come in between.
    At(Instant),
    /// When one of the requests that are under way has been answered, and at this moment if none is by then.
    AfterResponse { at_latest: Instant },
}

/// What the service said of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allocation {
    requests: u64,
    window: Duration,
}

impl Allocation {
    /// What a header states, clamped to what the documented service can mean. A longer window is cut to the documented one
    /// at the same rate. An allocation of 0 says nothing, since the response that states it was not a 429.
    fn stated(requests: u64, window: Duration) -> Option<Self> {
        if requests == 0 {
            return None;
        }
        let part = |of: u64, time: Duration, whole: Duration| {
            let part = u128::from(of) * time.as_millis() / whole.as_millis().max(1);
            u64::try_from(part).unwrap_or(u64::MAX).max(1)
        };
        let believed = window.clamp(SHORTEST_WINDOW, DOCUMENTED_WINDOW);
        let requests = part(requests, believed, window.max(believed));
        let most = part(MOST_REQUESTS, believed, DOCUMENTED_WINDOW);
        Some(Self {
            requests: requests.min(most),
            window: believed,
        })
    }

    /// Whether it grants more than the documented allocation, in any stretch of time.
    fn is_larger_than_documented(self) -> bool {
        self.requests > DOCUMENTED_REQUESTS
            || u128::from(self.requests) * DOCUMENTED_WINDOW.as_millis()
                > u128::from(DOCUMENTED_REQUESTS) * self.window.as_millis()
    }

    /// What is left alone while others spend as well.
    fn reserve(self) -> u64 {
        (self.requests / RESERVE).max(1)
    }
}

/// What the service said is left.
#[derive(Debug, Clone, Copy)]
struct Left {
    /// The permit whose reply said so: a later one knows better.
    permit: u64,
    requests: u64,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Ledger {
    limit: BudgetLimit,
    allocation: Option<Allocation>,
    /// When a response last stated the allocation.
    stated: Option<Instant>,
    /// An allocation that is larger than the documented one, how many responses in a row stated it, and since when.
    larger: Option<(Allocation, u32, Instant)>,
    /// When each request that still counts was answered, the earliest first. How long it counts is decided by the window
    /// that is known when somebody asks: one response that states a short window makes none of them vanish.
    counted: VecDeque<Instant>,
    /// The permits of requests that are under way, and when they were given, the earliest first.
    under_way: Vec<(u64, Instant)>,
    next_permit: u64,
    /// When the next request is due if all were evenly spread.
    due: Option<Instant>,
    /// The same by the caller's own interval, whatever headers say.
    own_due: Option<Instant>,
    /// When the last permit was given.
    last: Option<Instant>,
    /// When the last request that may have been sent came to its end.
    last_end: Option<Instant>,
    left: Option<Left>,
    others: Others,
    closed_until: Option<Instant>,
    /// After a 429: the first permit that was given since. Such a permit goes alone, as a probe, until one of them is
    /// answered by something other than a 429.
    probe_from: Option<u64>,
}

impl Ledger {
    pub(super) fn new(limit: BudgetLimit) -> Self {
        Self {
            limit,
            allocation: None,
            stated: None,
            larger: None,
            counted: VecDeque::new(),
            under_way: Vec::new(),
            next_permit: 0,
            due: None,
            own_due: None,
            last: None,
            last_end: None,
            left: None,
            others: Others::default(),
            closed_until: None,
            probe_from: None,
        }
    }

    /// When the next permit can be given; a moment that is not after `now` means at once.
    pub(super) fn next(&self, now: Instant) -> Next {
        let open = self.open_at(now);
        let at_latest = self.released_at(now, 0).max(open);
        let at = if self.is_probed() {
            None
        } else {
            self.by_count(self.by_pace(now, 0))
        };
        match at {
            Some(at) => Next::At(at.max(open).min(at_latest)),
            None if at_latest <= now => Next::At(now),
            None => Next::AfterResponse { at_latest },
        }
    }

    /// The earliest moment for a request that has `ahead` others in front of it. It may turn out later, never earlier.
    pub(super) fn not_before(&self, now: Instant, ahead: usize) -> Instant {
        let at = self.by_pace(now, ahead);
        at.min(self.released_at(now, ahead)).max(self.open_at(now))
    }

    /// When a 429 stops nobody any more.
    fn open_at(&self, now: Instant) -> Instant {
        now.max(self.closed_until.unwrap_or(now))
    }

    /// Whether a probe is under way.
    fn is_probed(&self) -> bool {
        self.probe_from
            .zip(self.under_way.last())
            .is_some_and(|(first, (last, _))| *last >= first)
    }

    /// When a request goes even if headers ask to wait for longer: a documented window after the last permit or the last
    /// response, or the caller's own interval where that is longer. The next ones in line may follow at the caller's own
    /// pace, since the response to the first one may correct all that the headers said.
    fn released_at(&self, now: Instant, ahead: usize) -> Instant {
        let given = self.under_way.last().map(|(_, given)| *given);
        let Some(last) = given.max(self.last_end) else {
            return now;
        };
        let own = self.limit.interval();
        let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
        let behind = own.saturating_mul(ahead);
        later(last, own.max(DOCUMENTED_WINDOW).saturating_add(behind))
    }

    /// The moment by even spacing, and by what the service said is left.
    fn by_pace(&self, now: Instant, ahead: usize) -> Instant {
        let mut at = now;
        if self.limit.is_unlimited() {
            return at;
        }
        let turn = |due: Option<Instant>, interval: Duration, headroom| {
            let in_front = interval.saturating_mul(u32::try_from(ahead).unwrap_or(u32::MAX));
            later(due?, in_front).checked_sub(headroom)
        };
        let interval = self.interval();
        at = at.max(turn(self.due, interval, self.headroom(interval)).unwrap_or(at));
        if !self.limit.follows_the_service() {
            let own = self.limit.interval();
            let headroom = own.saturating_mul(self.limit.burst() - 1);
            at = at.max(turn(self.own_due, own, headroom).unwrap_or(at));
        }
        if let Some(turn) = self.turn_beside_others(now) {
            at = at.max(turn);
        }
        match self.left_at(now) {
            Some(left) if left.requests <= ahead as u64 => at.max(left.until),
            _ => at,
        }
    }

    /// `at`, or a later moment if the allocation is used up at that one. `None` if it depends on a response.
    ///
    /// It holds beside what the service says is left: one response that says too much lifts no limit.
    fn by_count(&self, at: Instant) -> Option<Instant> {
        if self.limit.is_unlimited() {
            return Some(at);
        }
        let Some(allocation) = self.allocation else {
            return Some(at);
        };
        let until = |answered: &Instant| later(*answered, allocation.window);
        let over = self
            .counted
            .partition_point(|answered| until(answered) <= at);
        let used = self.under_way.len() + self.counted.len() - over;
        let most = usize::try_from(allocation.requests).unwrap_or(usize::MAX);
        match used.checked_sub(most) {
            None => Some(at),
            Some(excess) => self.counted.get(over + excess).map(|it| at.max(until(it))),
        }
    }

    /// Gives a permit. Ask [`next`](Self::next) for the time first.
    pub(super) fn take(&mut self, now: Instant) -> u64 {
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = Some(later(due, self.interval()));
        let own_due = self.own_due.map_or(now, |due| due.max(now));
        self.own_due = Some(later(own_due, self.limit.interval()));
        self.last = Some(now);
        if let Some(left) = &mut self.left {
            left.requests = left.requests.saturating_sub(1);
        }
        let permit = self.next_permit;
        self.next_permit += 1;
        self.under_way.push((permit, now));
        permit
    }

    /// Books what became of a permit.
    pub(super) fn settle(&mut self, permit: u64, now: Instant, outcome: &PermitOutcome) {
        let Ok(place) = self
            .under_way
            .binary_search_by_key(&permit, |(open, _)| *open)
        else {
            return;
        };
        let (_, given) = self.under_way.remove(place);
        let took = now.saturating_duration_since(given);
        self.forget(now, given);
        match outcome {
            PermitOutcome::NotSent => self.give_back(permit),
            PermitOutcome::Unknown => self.count(now),
            PermitOutcome::Answered { reading } => {
                self.count(now);
                self.read(permit, now, took, reading);
                if self.probe_from.is_some_and(|first| permit >= first) {
                    self.probe_from = None;
                }
            }
            PermitOutcome::Refused { reading, wait } => {
                self.count(now);
                self.read(permit, now, took, reading);
                self.close(now, *wait);
            }
        }
    }

    /// Nothing was sent, so nothing was spent.
    fn give_back(&mut self, permit: u64) {
        let (interval, own) = (self.interval(), self.limit.interval());
        self.due = self.due.and_then(|due| due.checked_sub(interval));
        self.own_due = self.own_due.and_then(|due| due.checked_sub(own));
        if let Some(left) = &mut self.left
            && permit > left.permit
        {
            left.requests += 1;
        }
    }

    /// A request counts for a window from now on, unless nothing is ever measured by it.
    fn count(&mut self, now: Instant) {
        self.last_end = Some(now);
        if !self.limit.is_unlimited() {
            self.counted.push_back(now);
        }
    }

    /// Forgets the requests that count no more: neither now nor at the moment of which a response tells that is still to come, or
    /// that came for a permit that was given then.
    fn forget(&mut self, now: Instant, given: Instant) {
        let under_way = self.under_way.first().map(|(_, given)| *given);
        let told_of = under_way.map_or(given, |under_way| under_way.min(given));
        let longest_ago = now.checked_sub(DOCUMENTED_WINDOW).unwrap_or(told_of);
        let then = told_of.max(longest_ago);
        while self
            .counted
            .front()
            .is_some_and(|answered| later(*answered, DOCUMENTED_WINDOW) <= then)
        {
            self.counted.pop_front();
        }
    }

    /// Whether nothing of what is written here matters any more: a new ledger would do as well.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_past = |moment: Option<Instant>| moment.is_none_or(|moment| moment <= now);
        let counted = self.counted.back().copied();
        // Where a probe is still to come, a new ledger would send a burst in its place.
        let probed = self.closed_until.filter(|_| self.probe_from.is_some());
        let window_after = |moment| later(moment, DOCUMENTED_WINDOW);
        self.under_way.is_empty()
            && is_past(self.own_due)
            && is_past(counted.map(window_after))
            && is_past(self.closed_until)
            && is_past(probed.map(window_after))
            && is_past(self.left.map(|left| left.until))
    }

    fn read(&mut self, permit: u64, now: Instant, took: Duration, reading: &BudgetReading) {
        self.read_allocation(now, took, reading);
        self.read_remaining(permit, now, reading);
        // What was sent at a longer interval than this one is no reason to wait for longer than after a burst.
        let most = self.interval().saturating_mul(self.limit.burst());
        self.due = self.due.map(|due| due.min(later(now, most)));
    }

    fn read_allocation(&mut self, now: Instant, took: Duration, reading: &BudgetReading) {
        let window = reading.window.filter(|window| !window.is_zero());
        let window = window.unwrap_or_else(|| self.window());
        let stated = reading
            .allocated
            .and_then(|requests| Allocation::stated(requests, window));
        if let Some(stated) = stated {
            let believed = self.believed(stated, now);
            self.allocation = Some(believed);
            self.stated = Some(now);
            if believed == stated {
                self.see_others(now, took, reading, stated);
            }
        } else if self
            .stated
            .is_some_and(|at| later(at, DOCUMENTED_WINDOW) <= now)
        {
            // It was stated once and is not any more: it does not hold for ever.
            self.allocation = None;
            self.stated = None;
            self.others = Others::default();
        }
    }

    /// A stated allocation, or the documented one in place of a larger one that not all responses of a window state.
    fn believed(&mut self, stated: Allocation, now: Instant) -> Allocation {
        if !stated.is_larger_than_documented() {
            self.larger = None;
            return stated;
        }
        let (times, since) = match self.larger {
            Some((known, times, since)) if known == stated => (times.saturating_add(1), since),
            _ => (1, now),
        };
        self.larger = Some((stated, times, since));
        if times >= AGREEING && later(since, DOCUMENTED_WINDOW) <= now {
            return stated;
        }
        Allocation {
            requests: DOCUMENTED_REQUESTS,
            window: DOCUMENTED_WINDOW,
        }
    }

    fn read_remaining(&mut self, permit: u64, now: Instant, reading: &BudgetReading) {
        let Some(remaining) = reading.remaining else {
            return;
        };
        // What was sent after this request, or was under way with it, may not have been counted yet.
        let sent_later = self.next_permit.saturating_sub(permit + 1);
        let earlier = self
            .under_way
            .iter()
            .filter(|(open, _)| *open < permit)
            .count() as u64;
        let requests = remaining.saturating_sub(sent_later + earlier);
        let window = self.window();
        let resets_after = reading.resets_after.unwrap_or(window).min(window);
        let new = Left {
            permit,
            requests,
            until: later(now, resets_after),
        };
        self.left = Some(match self.left_at(now) {
            // A reply that comes late tells of an earlier moment: it can only lower what is thought to be left, and only for as
            // long as it says itself.
            Some(known) if known.permit > permit => Left {
                permit: known.permit,
                requests: known.requests.min(requests),
                until: if requests < known.requests {
                    known.until.min(new.until)
                } else {
                    known.until
                },
            },
            _ => new,
        });
    }

    /// What is missing from the service's count and was not spent here was spent by others. The reply took some of `took` to come
    /// here, and by that the window may end earlier than it says from now on: what of our own may be in it counts, lest our own
    /// pass for that of others.
    fn see_others(
        &mut self,
        now: Instant,
        took: Duration,
        reading: &BudgetReading,
        told: Allocation,
    ) {
        let (Some(remaining), Some(resets_after)) = (reading.remaining, reading.resets_after)
        else {
            return;
        };
        if resets_after > told.window {
            // What the service cannot mean says nothing of others.
            return;
        }
        let over = told.window.saturating_sub(resets_after);
        let end = later(now, resets_after);
        let earliest_end = end.checked_sub(took).unwrap_or(now);
        let own = self
            .counted
            .iter()
            .rev()
            .take_while(|answered| later(**answered, told.window) >= earliest_end)
            .count()
            + self.under_way.len();
        let spent = told
            .requests
            .saturating_sub(remaining.saturating_add(own as u64));
        self.others.see(spent, over, end, told.window);
    }

    /// A 429 stops everybody. Without a wait of its own it is taken to mean a whole window: any less could meet the same
    /// window again. Afterwards one request goes alone: whether the wait was long enough is known from its response.
    fn close(&mut self, now: Instant, wait: Option<Duration>) {
        let wait = match wait {
            Some(wait) => wait,
            None if self.limit.is_unlimited() => return,
            None => self.window(),
        };
        let until = later(now, wait.min(self.limit.longest_retry_after()));
        self.closed_until = self.closed_until.max(Some(until));
        self.probe_from = Some(self.next_permit);
    }

    /// From one request to the next.
    fn interval(&self) -> Duration {
        let own = self.limit.interval();
        if self.limit.is_unlimited() {
            return own;
        }
        let Some(allocation) = self.allocation else {
            return own;
        };
        let told = allocation.window.div_f64(float(allocation.requests));
        let told = if self.others.are_there() {
            told.max(self.share(allocation, allocation.requests, allocation.window))
        } else {
            told
        };
        if self.limit.follows_the_service() {
            told
        } else {
            told.max(own)
        }
    }

    /// From one request to the next, so that so many requests last for this time beside others: it leaves them what they are
    /// seen to spend, but never takes less than a fair minimum.
    fn share(&self, allocation: Allocation, requests: u64, time: Duration) -> Duration {
        let left = float(requests);
        let others = self.others.expected_within(time, allocation.window);
        let ours = (left - others - float(allocation.reserve())).max(left * LEAST_SHARE);
        Duration::try_from_secs_f64(time.as_secs_f64() / ours).unwrap_or(allocation.window)
    }

    /// When the next request may go beside others, for what is left to last until there is more. It is computed anew each
    /// time and adds up to nothing: what is scarce now may be plenty in a second.
    fn turn_beside_others(&self, now: Instant) -> Option<Instant> {
        let (allocation, left) = self.allocation.zip(self.left_at(now))?;
        if !self.others.are_there() {
            return None;
        }
        let until_then = left.until.saturating_duration_since(now);
        let share = self.share(allocation, left.requests, until_then);
        Some(later(self.last?, share).min(left.until))
    }

    /// How far ahead of even spacing a burst may get: not at all beside others, who may do the same at that moment.
    fn headroom(&self, interval: Duration) -> Duration {
        if self.others.are_there() {
            Duration::ZERO
        } else {
            interval.saturating_mul(self.limit.burst() - 1)
        }
    }

    fn left_at(&self, now: Instant) -> Option<Left> {
        self.left.filter(|left| left.until > now)
    }

    fn window(&self) -> Duration {
        self.allocation
            .map_or(DOCUMENTED_WINDOW, |allocation| allocation.window)
    }

    /// What can be said of the budget at this moment.
    pub(super) fn describe(&self, now: Instant) -> Described {
        let counts = |answered: &&Instant| later(**answered, self.window()) > now;
        let used = self.counted.iter().filter(counts).count() + self.under_way.len();
        let left = self.left_at(now).map(|left| left.requests);
        let by_count = self
            .allocation
            .map(|allocation| allocation.requests.saturating_sub(used as u64));
        Described {
            allocated: self.allocation.map(|allocation| allocation.requests),
            window: self.window(),
            left: left.or(by_count),
            under_way: self.under_way.len(),
            others_per_window: self.others.expected_within(self.window(), self.window()),
            closed_for: self
                .closed_until
                .map(|until| until.saturating_duration_since(now))
                .filter(|wait| !wait.is_zero()),
            next_in: match self.next(now) {
                Next::At(at) => Some(at.saturating_duration_since(now)),
                Next::AfterResponse { .. } => None,
            },
        }
    }
}

/// The moment that is so much later. A year is as good as for ever, and no clock fails to hold it.
fn later(moment: Instant, by: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    moment.checked_add(by.min(YEAR)).unwrap_or(moment)
}

/// What others spend from the same budget, as far as can be told.
#[derive(Debug, Clone, Copy, Default)]
struct Others {
    /// In the window that is under way, and how much of it is over.
    spent: f64,
    over: Duration,
    /// When it ends.
    end: Option<Instant>,
    /// In the window before it, if there was one.
    before: Option<f64>,
}

impl Others {
    fn see(&mut self, spent: u64, over: Duration, end: Instant, window: Duration) {
        // In a sliding window the end moves along with each reply: that is no new window.
        let is_new = self
            .end
            .is_some_and(|known| end.saturating_duration_since(known) > window / 2);
        if is_new {
            self.before = Some(self.spent);
        }
        self.spent = float(spent);
        self.over = over;
        self.end = Some(end);
    }

    fn are_there(&self) -> bool {
        self.spent > 0.0 || self.before.is_some_and(|before| before > 0.0)
    }

    /// How much they are expected to spend in the time to come. As much as in the window before, as far as they have not
    /// done so yet in this one, and less as its end comes near; without a window before, as fast as in this one.
    fn expected_within(&self, time: Duration, window: Duration) -> f64 {
        let part = time.as_secs_f64() / window.as_secs_f64();
        match self.before {
            Some(before) if part >= 1.0 => before.max(self.spent),
            Some(before) => (before - self.spent).min(before * part).max(0.0),
            None if self.over < window / LONG_ENOUGH_TO_JUDGE => 0.0,
            None => self.spent * time.as_secs_f64() / self.over.as_secs_f64(),
        }
    }
}

/// A count of requests as what rates are computed with.
fn float(requests: u64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "an allocation is at most 10,000, and the precision of larger numbers does not matter"
    )]
    let requests = requests as f64;
    requests
}

/// What [`Ledger::describe`] says.
#[derive(Debug, PartialEq)]
pub(super) struct Described {
    pub(super) allocated: Option<u64>,
    pub(super) window: Duration,
    pub(super) left: Option<u64>,
    pub(super) under_way: usize,
    pub(super) others_per_window: f64,
    pub(super) closed_for: Option<Duration>,
    pub(super) next_in: Option<Duration>,
}

#[cfg(test)]
mod tests;
