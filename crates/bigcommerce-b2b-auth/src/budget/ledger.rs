//! The arithmetic of a store's budget: what was spent, what the service said is left, and when the next request may go.
//! Nothing here waits or reads a clock, so that every rule can be tested by itself.
//!
//! Whether the service counts in fixed or in sliding windows is unknown. Two facts hold under both: never more than the
//! allocation in any stretch as long as the window, and never more than the service says is left. A request is taken to
//! count from when it was sent until a window after its reply came, which covers every moment at which it can have
//! arrived.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{BudgetLimit, PermitOutcome};
use crate::BudgetReading;

/// The window that the vendor documents.
const DOCUMENTED_WINDOW: Duration = Duration::from_secs(60);

/// Allocations and windows outside of these bounds are mistakes of whoever wrote the header.
const BELIEVED_REQUESTS: std::ops::RangeInclusive<u64> = 1..=100_000;
const BELIEVED_WINDOW: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(60 * 60);

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
    /// When one of the requests that are under way has been answered.
    AfterAReply,
}

/// What the service said of its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Allocation {
    requests: u64,
    window: Duration,
}

impl Allocation {
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
    /// When each answered request stops counting, the earliest first.
    counted_until: VecDeque<Instant>,
    /// The permits of requests that are under way, and when they were given.
    under_way: Vec<(u64, Instant)>,
    next_permit: u64,
    /// When the next request is due if all were evenly spread.
    due: Option<Instant>,
    /// When the last permit was given.
    last: Option<Instant>,
    left: Option<Left>,
    others: Others,
    closed_until: Option<Instant>,
}

impl Ledger {
    pub(super) fn new(limit: BudgetLimit) -> Self {
        Self {
            limit,
            allocation: None,
            counted_until: VecDeque::new(),
            under_way: Vec::new(),
            next_permit: 0,
            due: None,
            last: None,
            left: None,
            others: Others::default(),
            closed_until: None,
        }
    }

    /// When the next permit can be given; a moment that is not after `now` means at once.
    pub(super) fn next(&self, now: Instant) -> Next {
        let mut at = self.not_before(now, 0);
        if self.limit.is_unlimited() || self.left_at(now).is_some() {
            return Next::At(at);
        }
        // The service has not said what is left now, so that what is known to have been spent decides.
        if let Some(allocation) = self.allocation {
            let over = self.counted_until.partition_point(|until| *until <= at);
            let used = self.under_way.len() + self.counted_until.len() - over;
            let most = usize::try_from(allocation.requests).unwrap_or(usize::MAX);
            if let Some(excess) = used.checked_sub(most) {
                match self.counted_until.get(over + excess) {
                    Some(until) => at = at.max(*until),
                    None => return Next::AfterAReply,
                }
            }
        }
        Next::At(at)
    }

    /// The earliest moment for a request that has `ahead` others in front of it. It may turn out later, never earlier.
    pub(super) fn not_before(&self, now: Instant, ahead: usize) -> Instant {
        let mut at = now.max(self.closed_until.unwrap_or(now));
        if self.limit.is_unlimited() {
            return at;
        }
        if let Some(due) = self.due {
            let interval = self.interval();
            let ahead = u32::try_from(ahead).unwrap_or(u32::MAX);
            let turn = due
                .checked_add(interval.saturating_mul(ahead))
                .unwrap_or(due);
            if let Some(turn) = turn.checked_sub(self.headroom(interval)) {
                at = at.max(turn);
            }
        }
        if let Some(turn) = self.turn_beside_others(now) {
            at = at.max(turn);
        }
        match self.left_at(now) {
            Some(left) if left.requests <= ahead as u64 => at.max(left.until),
            _ => at,
        }
    }

    /// Gives a permit. Whoever calls it has asked [`next`](Self::next) for the moment.
    pub(super) fn take(&mut self, now: Instant) -> u64 {
        let interval = self.interval();
        let due = self.due.map_or(now, |due| due.max(now));
        self.due = due.checked_add(interval).or(Some(due));
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
        let Some(place) = self.under_way.iter().position(|(open, _)| *open == permit) else {
            return;
        };
        let (_, given) = self.under_way.swap_remove(place);
        let took = now.saturating_duration_since(given);
        self.forget(now);
        match outcome {
            PermitOutcome::NotSent => self.give_back(permit),
            PermitOutcome::Unknown => self.count(now),
            PermitOutcome::Answered { reading } => {
                self.count(now);
                self.read(permit, now, took, reading);
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
        let interval = self.interval();
        self.due = self.due.and_then(|due| due.checked_sub(interval));
        if let Some(left) = &mut self.left
            && permit > left.permit
        {
            left.requests += 1;
        }
    }

    /// A request counts for a window from now on, unless nothing is ever measured by it.
    fn count(&mut self, now: Instant) {
        if self.limit.is_unlimited() {
            return;
        }
        if let Some(until) = now.checked_add(self.window()) {
            self.counted_until.push_back(until);
        }
    }

    fn forget(&mut self, now: Instant) {
        while self
            .counted_until
            .front()
            .is_some_and(|until| *until <= now)
        {
            self.counted_until.pop_front();
        }
    }

    /// Whether nothing of what is written here matters any more: a new ledger would do as well.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_past = |moment: Option<Instant>| moment.is_none_or(|moment| moment <= now);
        self.under_way.is_empty()
            && is_past(self.counted_until.back().copied())
            && is_past(self.closed_until)
            && is_past(self.left.map(|left| left.until))
    }

    fn read(&mut self, permit: u64, now: Instant, took: Duration, reading: &BudgetReading) {
        if let Some(requests) = reading
            .allocated
            .filter(|requests| BELIEVED_REQUESTS.contains(requests))
        {
            let window = reading
                .window
                .filter(|window| BELIEVED_WINDOW.contains(window));
            let told = Allocation {
                requests,
                window: window.unwrap_or_else(|| self.window()),
            };
            self.allocation = Some(told);
            self.see_others(now, took, reading, told);
        }
        let Some(remaining) = reading.remaining else {
            return;
        };
        // What was sent after this request, or was under way with it, may not have been counted yet.
        let later = self.next_permit.saturating_sub(permit + 1);
        let earlier = self
            .under_way
            .iter()
            .filter(|(open, _)| *open < permit)
            .count() as u64;
        let requests = remaining.saturating_sub(later + earlier);
        let Some(until) = now.checked_add(reading.resets_after.unwrap_or_else(|| self.window()))
        else {
            return;
        };
        let new = Left {
            permit,
            requests,
            until,
        };
        self.left = Some(match self.left_at(now) {
            // A reply that comes late tells of an earlier moment: it can only lower what is thought to be left.
            Some(known) if known.permit > permit => Left {
                requests: known.requests.min(requests),
                ..known
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
        let over = told.window.saturating_sub(resets_after);
        let Some(end) = now.checked_add(resets_after) else {
            return;
        };
        let earliest_end = end.checked_sub(took).unwrap_or(now);
        let own = self
            .counted_until
            .iter()
            .rev()
            .take_while(|until| **until >= earliest_end)
            .count()
            + self.under_way.len();
        let spent = told
            .requests
            .saturating_sub(remaining.saturating_add(own as u64));
        self.others.see(spent, over, end, told.window);
    }

    /// A refusal concerns everybody. Without a moment of its own it is taken to mean a whole window: any less could meet
    /// the same window again.
    fn close(&mut self, now: Instant, wait: Option<Duration>) {
        let wait = match wait {
            Some(wait) => wait,
            None if self.limit.is_unlimited() => return,
            None => self.window(),
        };
        let until = now.checked_add(wait);
        self.closed_until = self.closed_until.max(until);
    }

    /// From one request to the next.
    fn interval(&self) -> Duration {
        let own = self.limit.interval();
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
        let turn = self
            .last?
            .checked_add(self.share(allocation, left.requests, until_then))?;
        Some(turn.min(left.until))
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
        let counting = self.counted_until.iter().filter(|until| **until > now);
        let used = counting.count() + self.under_way.len();
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
                Next::AfterAReply => None,
            },
        }
    }
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
        reason = "an allocation is at most 100,000, and what goes beyond it is not told apart"
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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    /// A ledger with a clock that is moved by hand.
    struct Book {
        ledger: Ledger,
        start: Instant,
        now: Instant,
    }

    impl Book {
        fn new(limit: BudgetLimit) -> Self {
            let start = Instant::now();
            Self {
                ledger: Ledger::new(limit),
                start,
                now: start,
            }
        }

        fn at(&self) -> Duration {
            self.now - self.start
        }

        /// Waits for the next permit and takes it.
        fn take(&mut self) -> u64 {
            loop {
                match self.ledger.next(self.now) {
                    Next::At(at) if at <= self.now => return self.ledger.take(self.now),
                    Next::At(at) => self.now = at,
                    Next::AfterAReply => panic!("waits for a reply that does not come"),
                }
            }
        }

        /// A reply that says what is left, and not of how much.
        fn answer(&mut self, permit: u64, remaining: u64, resets_after: Duration) {
            let reading = BudgetReading {
                allocated: None,
                ..reading(remaining, resets_after)
            };
            self.settle(permit, &PermitOutcome::Answered { reading });
        }

        /// A reply that says everything.
        fn answer_in_full(&mut self, permit: u64, remaining: u64, resets_after: Duration) {
            let reading = reading(remaining, resets_after);
            self.settle(permit, &PermitOutcome::Answered { reading });
        }

        fn settle(&mut self, permit: u64, outcome: &PermitOutcome) {
            self.ledger.settle(permit, self.now, outcome);
        }

        /// In how long the next permit can be had.
        fn wait(&self) -> Option<Duration> {
            match self.ledger.next(self.now) {
                Next::At(at) => Some(at.saturating_duration_since(self.now)),
                Next::AfterAReply => None,
            }
        }
    }

    fn reading(remaining: u64, resets_after: Duration) -> BudgetReading {
        BudgetReading {
            allocated: Some(150),
            window: Some(MINUTE),
            remaining: Some(remaining),
            resets_after: Some(resets_after),
        }
    }

    fn told(allocated: u64) -> PermitOutcome {
        PermitOutcome::Answered {
            reading: BudgetReading {
                allocated: Some(allocated),
                window: Some(MINUTE),
                ..BudgetReading::default()
            },
        }
    }

    fn near(actual: Duration, expected: Duration) -> bool {
        actual.abs_diff(expected) < Duration::from_millis(5)
    }

    #[test]
    fn until_told_it_is_15_at_once_and_135_a_minute() {
        let mut book = Book::new(BudgetLimit::default());
        for _ in 0..15 {
            book.take();
        }
        assert_eq!(book.at(), Duration::ZERO);
        for _ in 0..135 {
            book.take();
        }
        assert!(near(book.at(), MINUTE), "{:?}", book.at());
    }

    #[test]
    fn once_told_it_is_the_allocation_and_never_more_in_any_stretch() {
        let mut book = Book::new(BudgetLimit::default());
        let mut sent = Vec::new();
        for _ in 0..1000 {
            let permit = book.take();
            sent.push(book.at());
            book.settle(permit, &told(150));
        }
        for (first, next_window) in sent.iter().zip(&sent[150..]) {
            assert!(*next_window - *first >= MINUTE, "{first:?} {next_window:?}");
        }
        let rate = 1000.0 / sent[999].as_secs_f64() * 60.0;
        assert!(rate > 150.0 && rate < 177.0, "{rate}");
    }

    #[test]
    fn a_request_counts_until_a_window_after_its_reply() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permits = [book.take(), book.take()];
        book.settle(permits[0], &told(2));
        assert_eq!(
            book.wait(),
            Some(MINUTE),
            "one is counted, one is under way"
        );
        book.now += 5 * SECOND;
        book.settle(permits[1], &told(2));
        assert_eq!(book.wait(), Some(55 * SECOND));
        assert_eq!(book.ledger.describe(book.now).left, Some(0));
        book.now += 55 * SECOND;
        assert_eq!(book.ledger.describe(book.now).left, Some(1));
        book.take();
        assert_eq!(book.wait(), Some(5 * SECOND));
    }

    #[test]
    fn when_all_are_under_way_the_next_reply_is_waited_for() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permit = book.take();
        book.settle(permit, &told(1));
        book.now += MINUTE;
        book.take();
        assert_eq!(book.wait(), None);
        assert_eq!(book.ledger.describe(book.now).next_in, None);
    }

    #[test]
    fn what_the_service_says_is_left_decides_until_its_window_ends() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permit = book.take();
        book.answer(permit, 2, 30 * SECOND);
        let (_, _) = (book.take(), book.take());
        assert!(near(book.wait().unwrap(), 30 * SECOND), "{:?}", book.wait());
        book.now += 30 * SECOND;
        assert_eq!(book.wait(), Some(Duration::ZERO));
        // At the moment itself, the word is void.
        assert_eq!(book.ledger.describe(book.now).left, None);
    }

    #[test]
    fn requests_that_the_reply_cannot_have_counted_are_taken_off() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permits: Vec<_> = (0..5).map(|_| book.take()).collect();
        // One was sent before it and is under way, three were sent after it.
        book.answer(permits[1], 6, 30 * SECOND);
        assert_eq!(book.ledger.describe(book.now).left, Some(2));
        // A later reply knows better, in both directions.
        book.answer(permits[4], 9, 30 * SECOND);
        assert_eq!(book.ledger.describe(book.now).left, Some(6));
        // An earlier one that comes late can only lower it.
        book.answer(permits[2], 100, 30 * SECOND);
        assert_eq!(book.ledger.describe(book.now).left, Some(6));
        book.answer(permits[3], 2, 30 * SECOND);
        assert_eq!(book.ledger.describe(book.now).left, Some(0));
        // After the window it is void, and any reply is news.
        book.now += 31 * SECOND;
        book.answer(permits[0], 104, 30 * SECOND);
        assert_eq!(book.ledger.describe(book.now).left, Some(100));
    }

    #[test]
    fn what_was_not_sent_is_given_back() {
        let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 1));
        let permit = book.take();
        book.answer(permit, 10, MINUTE);
        book.now += SECOND;
        let permit = book.take();
        assert_eq!(book.ledger.describe(book.now).left, Some(9));
        assert!(near(book.wait().unwrap(), SECOND));
        book.settle(permit, &PermitOutcome::NotSent);
        assert_eq!(book.wait(), Some(Duration::ZERO), "the turn comes back");
        assert_eq!(book.ledger.describe(book.now).left, Some(10));
        assert_eq!(book.ledger.describe(book.now).under_way, 0);
        // Settled twice it is not given back twice.
        book.settle(permit, &PermitOutcome::NotSent);
        assert_eq!(book.ledger.describe(book.now).left, Some(10));
    }

    #[test]
    fn what_the_reading_already_counted_is_not_given_back_to_it() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let (before, later) = (book.take(), book.take());
        book.answer(later, 10, MINUTE);
        assert_eq!(book.ledger.describe(book.now).left, Some(9));
        book.settle(before, &PermitOutcome::NotSent);
        assert_eq!(book.ledger.describe(book.now).left, Some(9));
    }

    #[test]
    fn what_may_have_been_sent_is_spent() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permit = book.take();
        book.settle(permit, &told(2));
        let permit = book.take();
        book.settle(permit, &PermitOutcome::Unknown);
        assert!(near(book.wait().unwrap(), MINUTE));
    }

    #[test]
    fn a_refusal_stops_everybody_until_the_moment_it_names() {
        for limit in [BudgetLimit::default(), BudgetLimit::unlimited()] {
            let mut book = Book::new(limit);
            let permits = [book.take(), book.take()];
            let refused = |wait| PermitOutcome::Refused {
                reading: BudgetReading::default(),
                wait: Some(wait),
            };
            book.settle(permits[0], &refused(20 * SECOND));
            assert_eq!(book.wait(), Some(20 * SECOND));
            assert_eq!(book.ledger.describe(book.now).closed_for, Some(20 * SECOND));
            // A shorter one that comes later does not open it.
            book.settle(permits[1], &refused(SECOND));
            assert_eq!(book.wait(), Some(20 * SECOND));
            book.now += 20 * SECOND;
            assert_eq!(book.wait(), Some(Duration::ZERO));
            assert_eq!(book.ledger.describe(book.now).closed_for, None);
        }
    }

    #[test]
    fn a_refusal_that_names_no_moment_means_a_window_unless_there_is_no_limit() {
        let refused = PermitOutcome::Refused {
            reading: BudgetReading::default(),
            wait: None,
        };
        let mut book = Book::new(BudgetLimit::default());
        let permit = book.take();
        book.settle(permit, &refused);
        assert_eq!(book.wait(), Some(MINUTE));
        let mut book = Book::new(BudgetLimit::unlimited());
        let permit = book.take();
        book.settle(permit, &refused);
        assert_eq!(book.wait(), Some(Duration::ZERO));
    }

    #[test]
    fn a_refusal_is_read_like_any_reply() {
        let mut book = Book::new(BudgetLimit::default());
        let permit = book.take();
        book.settle(
            permit,
            &PermitOutcome::Refused {
                reading: reading(0, 10 * SECOND),
                wait: Some(SECOND),
            },
        );
        assert_eq!(book.wait(), Some(10 * SECOND), "the budget says more");
    }

    /// A service with a fixed window and a neighbour who spends evenly.
    fn beside(neighbour_per_minute: u64, limit: BudgetLimit) -> (Vec<Duration>, u64) {
        let mut book = Book::new(limit);
        let (mut sent, mut refused) = (Vec::new(), 0);
        let mut own_before = 0;
        let mut window = 0;
        while book.at() < 10 * MINUTE {
            let permit = book.take();
            let number = book.at().as_secs() / 60;
            if number != window {
                window = number;
                own_before = sent.len() as u64;
            }
            let into = book.at() - MINUTE * window as u32;
            let others = (into.as_secs_f64() * neighbour_per_minute as f64 / 60.0) as u64;
            let own = sent.len() as u64 - own_before;
            let resets_after = MINUTE - into;
            if own + others >= 150 {
                refused += 1;
                book.settle(
                    permit,
                    &PermitOutcome::Refused {
                        reading: reading(0, resets_after),
                        wait: Some(resets_after),
                    },
                );
            } else {
                sent.push(book.at());
                book.answer_in_full(permit, 150 - own - others - 1, resets_after);
            }
        }
        (sent, refused)
    }

    #[test]
    fn beside_a_neighbour_it_takes_what_the_neighbour_leaves() {
        let (sent, refused) = beside(100, BudgetLimit::default());
        let last_minutes = sent.iter().filter(|at| **at >= 5 * MINUTE).count();
        assert_eq!(refused, 0, "{last_minutes}");
        // The reserve is left alone, and the end of a window is probed slowly.
        assert!((225..=250).contains(&last_minutes), "{last_minutes}");
    }

    #[test]
    fn a_neighbour_who_wants_everything_does_not_starve_it() {
        let (sent, refused) = beside(150, BudgetLimit::default());
        assert!(refused <= 10, "{refused}");
        let last_minutes = sent.iter().filter(|at| **at >= 5 * MINUTE).count();
        assert!(last_minutes >= 100, "{last_minutes}");
    }

    #[test]
    fn alone_it_sees_no_neighbour_and_uses_it_all() {
        let (sent, refused) = beside(0, BudgetLimit::default());
        assert_eq!(refused, 0);
        assert!(sent.len() >= 1485, "{}", sent.len());
    }

    #[test]
    fn others_are_expected_as_before_and_forgotten_when_they_stop() {
        let mut book = Book::new(BudgetLimit::default());
        let others = |book: &Book| book.ledger.describe(book.now).others_per_window.round();
        let permit = book.take();
        // Too early to say anything.
        book.answer_in_full(permit, 145, 55 * SECOND);
        assert_eq!(others(&book), 0.0);
        // Half of the window is over, and 60 are missing that were not sent from here.
        book.now += 25 * SECOND;
        let permit = book.take();
        book.answer_in_full(permit, 88, 30 * SECOND);
        assert_eq!(others(&book), 120.0);
        // In the next one, what they spent in this one is what is known.
        book.now += 31 * SECOND;
        let permit = book.take();
        book.answer_in_full(permit, 149, 59 * SECOND);
        assert_eq!(others(&book), 60.0);
        // And after one in which they spent nothing, there is nobody.
        book.now += 60 * SECOND;
        let permit = book.take();
        book.answer_in_full(permit, 149, 59 * SECOND);
        assert_eq!(others(&book), 0.0);
        assert!(!book.ledger.others.are_there());
    }

    #[test]
    fn others_are_there_while_they_spend_or_did_in_the_window_before() {
        let seen = |before, spent| Others {
            spent,
            before,
            ..Others::default()
        };
        assert!(seen(None, 1.0).are_there() && seen(Some(0.0), 1.0).are_there());
        assert!(seen(Some(1.0), 0.0).are_there());
        assert!(!seen(None, 0.0).are_there() && !seen(Some(0.0), 0.0).are_there());
    }

    #[test]
    fn what_is_under_way_here_is_not_taken_for_others() {
        let mut book = Book::new(BudgetLimit::default());
        let permits = [book.take(), book.take(), book.take()];
        book.answer_in_full(permits[2], 147, 30 * SECOND);
        assert!(!book.ledger.others.are_there());
        book.answer_in_full(permits[1], 145, 30 * SECOND);
        assert!(
            book.ledger.others.are_there(),
            "two more than the three from here"
        );
    }

    /// Seen in a simulated day with nobody else there: a burst stood still for seconds beside others who were ourselves.
    #[test]
    fn our_own_are_not_taken_for_others_where_one_reply_takes_longer_than_another() {
        let mut book = Book::new(BudgetLimit::default());
        // The window begins with this one's arrival, at 100 ms, and its reply is back at once.
        let first = book.take();
        book.now += Duration::from_millis(100);
        book.answer_in_full(first, 149, MINUTE);
        // The next arrives at 200 ms, and its reply, which says what was true then, is 100 ms on the way.
        let second = book.take();
        book.now += Duration::from_millis(200);
        book.answer_in_full(second, 148, MINUTE - Duration::from_millis(100));
        assert!(!book.ledger.others.are_there());
        // Somebody else is still seen.
        let third = book.take();
        book.now += Duration::from_millis(200);
        book.answer_in_full(third, 146, MINUTE - Duration::from_millis(300));
        assert!(book.ledger.others.are_there());
    }

    #[test]
    fn what_is_expected_of_others_within_a_window() {
        let seen = |before, spent| Others {
            spent,
            over: 20 * SECOND,
            end: None,
            before,
        };
        for (others, rest, expected) in [
            // As much as before, less what they have spent by now.
            (seen(Some(100.0), 60.0), 40, 40.0),
            // But less and less as they do not come.
            (seen(Some(100.0), 0.0), 40, 66.7),
            (seen(Some(100.0), 0.0), 6, 10.0),
            // Who has spent more already is expected to have done.
            (seen(Some(100.0), 120.0), 40, 0.0),
            // Nothing is known from before: as fast as by now.
            (seen(None, 60.0), 40, 120.0),
            // A sixth of a window is enough to judge by.
            (
                Others {
                    over: 10 * SECOND,
                    ..seen(None, 10.0)
                },
                50,
                50.0,
            ),
            // In a whole window, the more of both.
            (seen(Some(100.0), 120.0), 60, 120.0),
            (seen(Some(100.0), 20.0), 60, 100.0),
        ] {
            let within = others.expected_within(rest * SECOND, MINUTE);
            assert!(
                (within - expected).abs() < 0.1,
                "{others:?} {rest}: {within}"
            );
        }
    }

    #[test]
    fn an_end_that_moves_along_is_no_new_window() {
        let start = Instant::now();
        let mut others = Others::default();
        for second in 0..200 {
            others.see(100, 59 * SECOND, start + second * SECOND, MINUTE);
        }
        assert_eq!(others.before, None);
        // Half a window on is not yet a new one either.
        others.see(100, 59 * SECOND, start + 229 * SECOND, MINUTE);
        assert_eq!(others.before, None);
        others.see(50, SECOND, start + 260 * SECOND, MINUTE);
        assert_eq!(others.before, Some(100.0));
    }

    #[test]
    fn where_next_to_nothing_is_left_beside_others_it_is_spread_and_no_longer_than_that_lasts() {
        let mut book = Book::new(BudgetLimit::default());
        let permit = book.take();
        // Eight are left for 30 s, with three of them for the reserve and the rest expected to go to the others.
        book.answer_in_full(permit, 8, 30 * SECOND);
        let permit = book.take();
        let wait = book.wait().unwrap();
        assert!(wait > 5 * SECOND && wait <= 30 * SECOND, "{wait:?}");
        // One after the other: what was waited for once is not added up.
        book.answer_in_full(permit, 2, 10 * SECOND);
        assert!(book.wait().unwrap() <= 10 * SECOND, "{:?}", book.wait());
        let permit = book.take();
        book.answer_in_full(permit, 1, 5 * SECOND);
        assert!(book.wait().unwrap() <= 5 * SECOND, "{:?}", book.wait());
    }

    #[test]
    fn beside_others_there_is_no_burst() {
        let mut book = Book::new(BudgetLimit::default());
        book.now += 100 * SECOND;
        let permit = book.take();
        book.answer_in_full(permit, 100, 30 * SECOND);
        book.take();
        assert!(book.wait().unwrap() > SECOND / 2, "{:?}", book.wait());
    }

    /// A service with a sliding window and a neighbour who spends much at once.
    #[test]
    fn a_neighbour_who_spends_at_once_in_a_sliding_window_is_lived_with() {
        let mut book = Book::new(BudgetLimit::default());
        let mut counted: VecDeque<(Duration, u64)> = VecDeque::new();
        let (mut sent, mut refused, mut neighbours) = (0_u64, 0_u64, 0);
        while book.at() < 20 * MINUTE {
            let permit = book.take();
            let at = book.at();
            while MINUTE * neighbours <= at {
                let moment = MINUTE * neighbours;
                counted.retain(|(when, _)| *when + MINUTE > moment);
                let used: u64 = counted.iter().map(|(_, count)| count).sum();
                counted.push_back((moment, (150 - used).min(100)));
                neighbours += 1;
            }
            counted.retain(|(when, _)| *when + MINUTE > at);
            let used: u64 = counted.iter().map(|(_, count)| count).sum();
            let resets_after = counted
                .front()
                .map_or(MINUTE, |(when, _)| *when + MINUTE - at);
            if used >= 150 {
                refused += 1;
                book.settle(
                    permit,
                    &PermitOutcome::Refused {
                        reading: reading(0, resets_after),
                        wait: Some(resets_after),
                    },
                );
            } else {
                counted.push_back((at, 1));
                sent += 1;
                book.answer_in_full(permit, 150 - used - 1, resets_after);
            }
        }
        assert!(refused <= 20, "at most one a minute: {refused}");
        assert!(sent / 20 >= 42, "{} a minute of the 50", sent / 20);
    }

    #[test]
    fn a_limit_of_ones_own_is_kept_whatever_the_service_grants() {
        let mut book = Book::new(BudgetLimit::at_most(50, MINUTE, 5));
        for _ in 0..105 {
            let permit = book.take();
            book.settle(permit, &told(1000));
        }
        assert!(near(book.at(), 2 * MINUTE), "{:?}", book.at());
        // But less is taken where less is granted.
        let permit = book.take();
        book.settle(permit, &told(6));
        assert!(book.wait().unwrap() > 30 * SECOND, "{:?}", book.wait());
    }

    #[test]
    fn a_pause_earns_the_burst_and_no_more() {
        let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 2));
        for _ in 0..10 {
            book.take();
        }
        book.now += 1000 * SECOND;
        let resumed = book.now;
        let turns: Vec<_> = (0..3)
            .map(|_| {
                book.take();
                book.now - resumed
            })
            .collect();
        assert_eq!(turns, [0, 0, 1].map(Duration::from_secs));
    }

    #[test]
    fn the_earliest_moment_counts_those_in_front() {
        let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 2));
        book.take();
        let wait = |book: &Book, ahead| {
            book.ledger
                .not_before(book.now, ahead)
                .saturating_duration_since(book.now)
        };
        assert_eq!(wait(&book, 0), Duration::ZERO);
        assert_eq!(wait(&book, 1), SECOND);
        assert_eq!(wait(&book, 10), 10 * SECOND);
        let permit = book.take();
        // One of the four is taken off for the request that is under way.
        book.answer(permit, 4, 30 * SECOND);
        assert_eq!(wait(&book, 2), 3 * SECOND);
        assert_eq!(
            wait(&book, 3),
            30 * SECOND,
            "the fourth has to wait for the next window"
        );
        assert!(wait(&book, usize::MAX).as_secs() > 1000);
    }

    #[test]
    fn unbelievable_headers_are_not_believed() {
        for (allocated, window) in [(0, MINUTE), (100_001, MINUTE), (u64::MAX, MINUTE)] {
            let mut book = Book::new(BudgetLimit::default());
            let permit = book.take();
            let reading = BudgetReading {
                allocated: Some(allocated),
                window: Some(window),
                ..BudgetReading::default()
            };
            book.settle(permit, &PermitOutcome::Answered { reading });
            assert_eq!(
                book.ledger.describe(book.now).allocated,
                None,
                "{allocated}"
            );
        }
        for window in [Duration::ZERO, 999 * SECOND / 1000, 3601 * SECOND] {
            let mut book = Book::new(BudgetLimit::default());
            let permit = book.take();
            let reading = BudgetReading {
                allocated: Some(10),
                window: Some(window),
                ..BudgetReading::default()
            };
            book.settle(permit, &PermitOutcome::Answered { reading });
            let described = book.ledger.describe(book.now);
            assert_eq!((described.allocated, described.window), (Some(10), MINUTE));
            assert_eq!(described.left, Some(9));
        }
    }

    #[test]
    fn what_can_be_believed_is() {
        for (allocated, window) in [(1, SECOND), (100_000, 60 * MINUTE)] {
            let mut book = Book::new(BudgetLimit::default());
            let permit = book.take();
            let reading = BudgetReading {
                allocated: Some(allocated),
                window: Some(window),
                ..BudgetReading::default()
            };
            book.settle(permit, &PermitOutcome::Answered { reading });
            let described = book.ledger.describe(book.now);
            assert_eq!(
                (described.allocated, described.window),
                (Some(allocated), window)
            );
        }
    }

    #[test]
    fn the_services_word_of_what_is_left_goes_before_the_count_made_here() {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        let permits = [book.take(), book.take(), book.take()];
        for permit in &permits[..2] {
            book.settle(*permit, &told(2));
        }
        assert!(book.wait().unwrap() > 50 * SECOND, "both are counted");
        // Some were lost on the way, and were never counted there.
        book.answer(permits[2], 1, 30 * SECOND);
        assert_eq!(book.wait(), Some(Duration::ZERO));
        assert_eq!(book.ledger.describe(book.now).left, Some(1));
    }

    #[test]
    fn extremes_are_no_panic() {
        for limit in [
            BudgetLimit::at_most(0, Duration::ZERO, 0),
            BudgetLimit::at_most(u32::MAX, Duration::MAX, u32::MAX),
            BudgetLimit::at_most(1, Duration::MAX, 1),
            BudgetLimit::unlimited(),
        ] {
            let mut ledger = Ledger::new(limit);
            let now = Instant::now();
            for remaining in [0, 1, u64::MAX] {
                for resets_after in [Duration::ZERO, Duration::MAX] {
                    let permit = ledger.take(now);
                    ledger.settle(
                        permit,
                        now,
                        &PermitOutcome::Refused {
                            reading: reading(remaining, resets_after),
                            wait: Some(Duration::MAX),
                        },
                    );
                    ledger.next(now);
                    ledger.not_before(now, usize::MAX);
                    ledger.describe(now);
                }
            }
        }
    }

    #[test]
    fn it_is_over_when_nothing_counts_any_more() {
        let mut book = Book::new(BudgetLimit::default());
        let is_over = |book: &Book| book.ledger.is_over(book.now);
        assert!(is_over(&book));
        let permit = book.take();
        assert!(!is_over(&book), "one is under way");
        book.settle(permit, &told(150));
        assert!(!is_over(&book), "it counts for a minute");
        book.now += MINUTE;
        assert!(is_over(&book));
        let permit = book.take();
        book.settle(permit, &PermitOutcome::NotSent);
        assert!(is_over(&book));
        let permit = book.take();
        book.answer(permit, 10, 90 * SECOND);
        book.now += MINUTE;
        assert!(!is_over(&book), "the service's word still holds");
        book.now += 30 * SECOND;
        assert!(is_over(&book));
        let permit = book.take();
        book.settle(
            permit,
            &PermitOutcome::Refused {
                reading: BudgetReading::default(),
                wait: Some(2 * MINUTE),
            },
        );
        book.now += MINUTE;
        assert!(!is_over(&book), "closed");
        book.now += MINUTE;
        assert!(is_over(&book));
    }

    #[test]
    fn what_nothing_is_measured_by_is_not_kept() {
        let mut book = Book::new(BudgetLimit::unlimited());
        for _ in 0..1000 {
            let permit = book.take();
            book.settle(permit, &told(150));
        }
        assert_eq!(book.at(), Duration::ZERO);
        assert!(book.ledger.counted_until.is_empty() && book.ledger.under_way.is_empty());
        let mut book = Book::new(BudgetLimit::default());
        for _ in 0..1000 {
            let permit = book.take();
            book.settle(permit, &told(150));
        }
        assert!(book.ledger.counted_until.len() <= 150);
    }
}
