use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

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
                Next::AfterResponse { .. } => panic!("waits for a response that does not come"),
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
            Next::AfterResponse { .. } => None,
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
fn a_reset_that_the_service_cannot_mean_says_nothing_of_others() {
    for (resets_after, are_seen) in [(MINUTE, true), (61 * SECOND, false), (DAY, false)] {
        let mut book = Book::new(BudgetLimit::default());
        let permit = book.take();
        book.answer_in_full(permit, 0, resets_after);
        assert_eq!(book.ledger.others.are_there(), are_seen, "{resets_after:?}");
    }
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

/// Seen in a simulated day without other integrations: a burst paused for seconds, because its own requests were taken for those
/// of others.
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
fn our_own_of_a_window_ago_are_not_taken_for_others_where_a_response_is_slow() {
    for is_answered_in_between in [false, true] {
        let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
        for used in 1..=9 {
            let permit = book.take();
            book.answer_in_full(permit, 150 - used, MINUTE);
        }
        book.now = book.start + 59 * SECOND;
        let slow = book.take();
        let quick = book.take();
        book.now += 2 * SECOND;
        if is_answered_in_between {
            book.answer_in_full(quick, 150 - 11, SECOND);
        }
        // It tells of the moment at which it arrived.
        book.answer_in_full(slow, 150 - 10, SECOND);
        let others = book.ledger.describe(book.now).others_per_window;
        assert!(others < 0.5, "{others}");
    }
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

/// What is taken from a response that states this allocation.
fn stated(allocated: u64, window: Option<Duration>) -> (Option<u64>, Duration) {
    let mut book = Book::new(BudgetLimit::default());
    let reading = BudgetReading {
        allocated: Some(allocated),
        window,
        ..BudgetReading::default()
    };
    // All responses of a minute state it.
    for _ in 0..AGREEING {
        let permit = book.take();
        book.settle(permit, &PermitOutcome::Answered { reading });
        book.now += MINUTE / 2;
    }
    let permit = book.take();
    book.settle(permit, &PermitOutcome::Answered { reading });
    let described = book.ledger.describe(book.now);
    (described.allocated, described.window)
}

#[test]
fn a_stated_allocation_is_clamped_to_what_the_documented_service_can_mean() {
    let millis = Duration::from_millis;
    for (allocated, window, expected) in [
        // As documented.
        (150, Some(MINUTE), (Some(150), MINUTE)),
        (1, Some(SECOND), (Some(1), SECOND)),
        (166, Some(SECOND), (Some(166), SECOND)),
        (10_000, Some(MINUTE), (Some(10_000), MINUTE)),
        // No allocation at all.
        (0, Some(MINUTE), (None, MINUTE)),
        (0, Some(SECOND), (None, MINUTE)),
        // Too many: what is believed is pro rata in a shorter window.
        (10_001, Some(MINUTE), (Some(10_000), MINUTE)),
        (u64::MAX, Some(MINUTE), (Some(10_000), MINUTE)),
        (100_000, Some(SECOND), (Some(166), SECOND)),
        (100_000, Some(30 * SECOND), (Some(5_000), 30 * SECOND)),
        // A longer window is cut at the same rate.
        (9_000, Some(60 * MINUTE), (Some(150), MINUTE)),
        (1, Some(60 * MINUTE), (Some(1), MINUTE)),
        (120, Some(2 * MINUTE), (Some(60), MINUTE)),
        (150, Some(Duration::MAX), (Some(1), MINUTE)),
        (u64::MAX, Some(DAY), (Some(10_000), MINUTE)),
        (u64::MAX, Some(60 * MINUTE), (Some(10_000), MINUTE)),
        // A shorter one is taken for a second, and none for the documented one.
        (10, Some(millis(1)), (Some(10), SECOND)),
        (10, Some(millis(999)), (Some(10), SECOND)),
        (10, Some(Duration::ZERO), (Some(10), MINUTE)),
        (10, None, (Some(10), MINUTE)),
    ] {
        assert_eq!(
            stated(allocated, window),
            expected,
            "{allocated} {window:?}"
        );
    }
}

#[test]
fn a_reset_is_at_most_a_window_away() {
    for (window, resets_after, expected) in [
        (MINUTE, 59 * SECOND, 59 * SECOND),
        (MINUTE, 61 * SECOND, MINUTE),
        (MINUTE, DAY, MINUTE),
        (MINUTE, Duration::MAX, MINUTE),
        (10 * SECOND, 60 * SECOND, 10 * SECOND),
    ] {
        let mut book = Book::new(BudgetLimit::default());
        let permit = book.take();
        let reading = BudgetReading {
            allocated: Some(150 * window.as_secs() / 60),
            window: Some(window),
            ..reading(0, resets_after)
        };
        book.settle(permit, &PermitOutcome::Answered { reading });
        assert_eq!(book.wait(), Some(expected), "{window:?} {resets_after:?}");
        // The store is probed once in each window for as long as the headers say so.
        book.now += expected;
        let permit = book.take();
        book.settle(permit, &PermitOutcome::Answered { reading });
        assert_eq!(book.wait(), Some(expected), "{window:?} {resets_after:?}");
    }
}

#[test]
fn an_allocation_that_is_not_stated_any_more_is_forgotten_after_a_window() {
    let nothing = PermitOutcome::Answered {
        reading: BudgetReading::default(),
    };
    let mut book = Book::new(BudgetLimit::default());
    let permit = book.take();
    book.settle(permit, &told(1));
    assert_eq!(book.wait(), Some(MINUTE));
    // Within the window it holds, also where a response says nothing of it.
    let permit = book.ledger.take(book.now);
    book.now += 59 * SECOND;
    book.settle(permit, &nothing);
    assert_eq!(book.ledger.describe(book.now).allocated, Some(1));
    book.now += MINUTE;
    let permit = book.take();
    book.settle(permit, &nothing);
    assert_eq!(book.ledger.describe(book.now).allocated, None);
    let resumed = book.at();
    for _ in 0..10 {
        book.take();
    }
    assert!(book.at() - resumed < 5 * SECOND, "nothing is left of it");
}

#[test]
fn what_others_were_seen_to_spend_is_forgotten_with_the_allocation() {
    let mut book = Book::new(BudgetLimit::default());
    let permit = book.take();
    book.answer_in_full(permit, 0, MINUTE);
    assert!(book.ledger.others.are_there());
    book.now += MINUTE;
    let permit = book.take();
    book.settle(
        permit,
        &PermitOutcome::Answered {
            reading: BudgetReading::default(),
        },
    );
    assert!(!book.ledger.others.are_there());
    for _ in 0..14 {
        book.take();
    }
    assert_eq!(book.at(), MINUTE, "the burst is there again");
}

#[test]
fn once_in_a_minute_a_request_goes_whatever_the_headers_said() {
    let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 1));
    let least = BudgetReading {
        allocated: Some(1),
        ..reading(0, MINUTE)
    };
    let first = book.take();
    book.answer_in_full(first, 10, MINUTE);
    book.now += MINUTE;
    // One in a minute, of which others take more: by even spacing that would be one in four minutes.
    let permit = book.take();
    book.settle(permit, &PermitOutcome::Answered { reading: least });
    assert!(book.ledger.interval() > MINUTE);
    assert_eq!(book.wait(), Some(MINUTE));
    // It counts from the last permit, and from the end of the last request.
    book.now += MINUTE;
    let permit = book.take();
    book.now += 5 * SECOND;
    assert_eq!(book.wait(), None);
    book.settle(permit, &PermitOutcome::Unknown);
    assert_eq!(book.wait(), Some(MINUTE));
    // What was not sent is no probe.
    book.now += MINUTE;
    let permit = book.take();
    book.settle(permit, &PermitOutcome::NotSent);
    assert_eq!(book.wait(), Some(Duration::ZERO));
}

#[test]
fn others_who_appear_after_a_large_burst_leave_one_request_a_minute() {
    let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 1_000));
    let permits: Vec<_> = (0..100).map(|_| book.take()).collect();
    assert_eq!(book.at(), Duration::ZERO);
    book.answer_in_full(permits[99], 20, SECOND);
    assert!(book.ledger.others.are_there());
    // By even spacing, without a burst, it would be 100 seconds.
    assert_eq!(book.wait(), Some(MINUTE));
}

#[test]
fn a_response_that_does_not_come_is_waited_for_no_longer_than_a_minute() {
    let mut book = Book::new(BudgetLimit::default());
    let permit = book.take();
    book.settle(permit, &told(1));
    book.now += MINUTE;
    book.take();
    let at_latest = book.now + MINUTE;
    assert_eq!(
        book.ledger.next(book.now),
        Next::AfterResponse { at_latest }
    );
    book.now = at_latest;
    assert_eq!(book.wait(), Some(Duration::ZERO));
}

#[test]
fn those_behind_in_line_may_follow_the_probe_at_the_callers_own_pace() {
    let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 1));
    for _ in 0..2 {
        let permit = book.take();
        book.settle(permit, &told(1));
    }
    let wait = |ahead| {
        book.ledger
            .not_before(book.now, ahead)
            .saturating_duration_since(book.now)
    };
    assert_eq!(wait(0), MINUTE);
    assert_eq!(wait(10), 70 * SECOND, "not eleven minutes");
}

#[test]
fn an_interval_that_becomes_shorter_leaves_no_old_wait_behind() {
    let mut book = Book::new(BudgetLimit::default());
    // By even spacing of one a minute, six probes beside others are due in half an hour.
    for _ in 0..6 {
        let permit = book.take();
        let reading = BudgetReading {
            allocated: Some(1),
            ..reading(0, MINUTE)
        };
        book.settle(permit, &PermitOutcome::Answered { reading });
        book.now += MINUTE;
    }
    let permit = book.take();
    book.answer_in_full(permit, 149, MINUTE);
    let resumed = book.at();
    for _ in 0..30 {
        book.take();
    }
    assert!(book.at() - resumed < 20 * SECOND, "{:?}", book.at());
}

#[test]
fn a_burst_is_not_had_twice_when_the_interval_becomes_longer() {
    let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 5));
    let permits: Vec<_> = (0..5).map(|_| book.take()).collect();
    book.settle(permits[0], &told(30));
    assert_eq!(book.wait(), Some(SECOND));
}

#[test]
fn a_slower_limit_of_ones_own_is_kept_however_long_its_interval_is() {
    let hour = 60 * MINUTE;
    for interval in [hour, Duration::from_secs(u64::MAX)] {
        let mut book = Book::new(BudgetLimit::at_most(1, interval, 2));
        let permits = [book.take(), book.take()];
        assert_eq!(book.at(), Duration::ZERO);
        for permit in permits {
            book.answer_in_full(permit, 148, MINUTE);
        }
        book.now += hour - SECOND;
        assert!(book.wait().unwrap() >= SECOND);
        assert!(!book.ledger.is_over(book.now), "it still counts");
    }
}

#[test]
fn what_is_given_back_is_no_more_than_what_was_taken() {
    let mut book = Book::new(BudgetLimit::at_most(60, MINUTE, 5));
    let permits: Vec<_> = (0..5).map(|_| book.take()).collect();
    // Meanwhile a header makes the interval a minute long.
    book.settle(permits[0], &told(1));
    book.settle(permits[1], &PermitOutcome::NotSent);
    book.settle(permits[2], &told(1_000));
    assert_eq!(
        book.wait(),
        Some(Duration::ZERO),
        "one of the burst is left"
    );
    book.take();
    assert_eq!(book.wait(), Some(SECOND));
}

fn refused(wait: Duration) -> PermitOutcome {
    PermitOutcome::Refused {
        reading: BudgetReading::default(),
        wait: Some(wait),
    }
}

#[test]
fn the_wait_of_a_429_is_honoured_up_to_its_bound_and_does_not_add_up() {
    for limit in [BudgetLimit::default(), BudgetLimit::unlimited()] {
        for (limit, bound) in [
            (limit, 15 * MINUTE),
            (limit.max_retry_after(5 * MINUTE), 5 * MINUTE),
            (limit.max_retry_after(Duration::ZERO), SECOND),
        ] {
            let mut book = Book::new(limit);
            let permits = [book.take(), book.take()];
            book.settle(permits[0], &refused(DAY));
            book.settle(permits[1], &refused(DAY));
            assert_eq!(book.wait(), Some(bound));
            assert_eq!(book.ledger.describe(book.now).closed_for, Some(bound));
            for _ in 0..3 {
                let permit = book.take();
                book.settle(permit, &refused(Duration::MAX));
                assert_eq!(book.wait(), Some(bound));
            }
            assert_eq!(book.at(), 3 * bound);
        }
    }
}

#[test]
fn after_a_429_one_request_goes_alone_until_it_is_answered_by_something_else() {
    for limit in [BudgetLimit::default(), BudgetLimit::unlimited()] {
        let mut book = Book::new(limit);
        let (first, old) = (book.take(), book.take());
        book.settle(first, &refused(10 * SECOND));
        book.now += 10 * SECOND;
        let probe = book.take();
        assert_eq!(book.wait(), None, "one goes alone");
        // What was sent before the 429 says nothing of what is after it.
        book.settle(old, &told(150));
        assert_eq!(book.wait(), None);
        book.settle(probe, &refused(10 * SECOND));
        assert_eq!(book.wait(), Some(10 * SECOND));
        // One that has no answer decides nothing: another one goes.
        for outcome in [PermitOutcome::NotSent, PermitOutcome::Unknown] {
            book.now += 10 * SECOND;
            let probe = book.take();
            assert_eq!(book.wait(), None);
            book.settle(probe, &outcome);
            assert_eq!(book.wait(), Some(Duration::ZERO));
        }
        let probe = book.take();
        assert_eq!(book.wait(), None);
        book.settle(probe, &told(150));
        let began = book.now;
        for _ in 0..5 {
            book.take();
        }
        assert_eq!(book.now, began, "then all may go");
    }
}

#[test]
fn a_probe_that_is_not_answered_is_followed_by_another_one_after_a_minute() {
    let mut book = Book::new(BudgetLimit::default());
    let permit = book.take();
    book.settle(permit, &refused(SECOND));
    book.now += SECOND;
    book.take();
    assert_eq!(book.wait(), None);
    book.now += MINUTE;
    assert_eq!(book.wait(), Some(Duration::ZERO));
    book.take();
    assert_eq!(book.wait(), None);
}

#[test]
fn a_short_window_that_one_response_states_makes_no_request_vanish() {
    let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
    let short = PermitOutcome::Answered {
        reading: BudgetReading {
            allocated: Some(2),
            window: Some(SECOND),
            ..BudgetReading::default()
        },
    };
    let permits = [book.take(), book.take()];
    book.settle(permits[0], &short);
    book.settle(permits[1], &short);
    assert_eq!(book.wait(), Some(SECOND));
    book.now += SECOND;
    let permit = book.take();
    book.settle(permit, &told(3));
    assert_eq!(book.ledger.describe(book.now).left, Some(0));
    assert_eq!(
        book.wait(),
        Some(59 * SECOND),
        "all three count for a minute"
    );
}

#[test]
fn a_response_that_says_more_is_left_does_not_lift_the_count_made_here() {
    let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
    let permits = [book.take(), book.take(), book.take()];
    for permit in &permits[..2] {
        book.settle(*permit, &told(2));
    }
    assert!(book.wait().unwrap() > 50 * SECOND, "both are counted");
    book.answer(permits[2], 100, 30 * SECOND);
    assert_eq!(book.ledger.describe(book.now).left, Some(100));
    assert!(book.wait().unwrap() > 50 * SECOND, "all three are counted");
    book.now += MINUTE;
    assert_eq!(book.wait(), Some(Duration::ZERO));
}

#[test]
fn a_larger_allocation_than_documented_is_believed_when_all_responses_of_a_minute_state_it() {
    let stating = |allocated: u64, window: Duration| PermitOutcome::Answered {
        reading: BudgetReading {
            allocated: Some(allocated),
            window: Some(window),
            remaining: Some(allocated - 1),
            resets_after: Some(window),
        },
    };
    let documented = (Some(150), MINUTE);
    for (allocated, window) in [(151, MINUTE), (3, SECOND), (166, SECOND), (10_000, MINUTE)] {
        let mut book = Book::new(BudgetLimit::default());
        let state = |book: &mut Book, outcome: &PermitOutcome| {
            let permit = book.take();
            book.settle(permit, outcome);
            let described = book.ledger.describe(book.now);
            (described.allocated, described.window)
        };
        let larger = stating(allocated, window);
        for _ in 0..5 {
            assert_eq!(state(&mut book, &larger), documented);
        }
        book.now += 55 * SECOND;
        assert_eq!(state(&mut book, &larger), documented);
        book.now += 5 * SECOND;
        assert_eq!(state(&mut book, &larger), (Some(allocated), window));
        assert_eq!(state(&mut book, &larger), (Some(allocated), window));
        // Another statement in between ends the agreement.
        for other in [stating(150, MINUTE), stating(9_000, MINUTE)] {
            assert_eq!(state(&mut book, &other), documented);
            assert_eq!(state(&mut book, &larger), documented);
            book.now += MINUTE;
            // Two in a minute are not enough.
            assert_eq!(state(&mut book, &larger), documented);
            assert_eq!(state(&mut book, &larger), (Some(allocated), window));
        }
        // A smaller one is believed at once.
        assert_eq!(state(&mut book, &told(140)), (Some(140), MINUTE));
    }
}

#[test]
fn a_late_response_lowers_what_is_left_only_until_its_own_window_ends() {
    let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
    let permits = [book.take(), book.take()];
    book.answer(permits[1], 150, MINUTE);
    book.answer(permits[0], 0, SECOND);
    assert_eq!(book.ledger.describe(book.now).left, Some(0));
    assert_eq!(book.wait(), Some(SECOND));
    // One that lowers nothing changes nothing.
    let mut book = Book::new(BudgetLimit::at_most(6000, MINUTE, 10));
    let permits = [book.take(), book.take()];
    book.answer(permits[1], 1, MINUTE);
    book.answer(permits[0], 150, SECOND);
    assert_eq!(book.ledger.describe(book.now).left, Some(0));
    assert_eq!(book.wait(), Some(MINUTE));
}

/// A service with a sliding window, one response in ten of which states too much, some of which are slow, and callers who
/// want everything.
#[test]
fn responses_that_state_too_much_cause_neither_too_many_requests_in_a_minute_nor_a_stop() {
    let mut random = fastrand::Rng::with_seed(12);
    let mut book = Book::new(BudgetLimit::default());
    let mut arrived: VecDeque<Instant> = VecDeque::new();
    let mut under_way: Vec<(Instant, u64, BudgetReading)> = Vec::new();
    let (mut sent, mut most, mut longest_pause) = (0, 0, Duration::ZERO);
    while book.at() < 60 * MINUTE {
        while let Some(place) = under_way.iter().position(|(due, ..)| *due <= book.now) {
            let (_, permit, reading) = under_way.swap_remove(place);
            book.settle(permit, &PermitOutcome::Answered { reading });
        }
        while under_way.len() < 24
            && matches!(book.ledger.next(book.now), Next::At(at) if at <= book.now)
        {
            let permit = book.ledger.take(book.now);
            if let Some(last) = arrived.back() {
                longest_pause = longest_pause.max(book.now - *last);
            }
            arrived.push_back(book.now);
            while arrived.front().is_some_and(|it| *it + MINUTE <= book.now) {
                arrived.pop_front();
            }
            sent += 1;
            most = most.max(arrived.len());
            let oldest = arrived.front().copied().unwrap_or(book.now);
            let left = 150_u64.saturating_sub(arrived.len() as u64);
            let mut reading = reading(left, MINUTE - (book.now - oldest));
            match random.u8(..20) {
                0 => {
                    reading.allocated = Some(100_000);
                    reading.window = Some(SECOND);
                    reading.remaining = Some(99_999);
                    reading.resets_after = Some(SECOND);
                }
                1 => {
                    reading.remaining = Some(150);
                    reading.resets_after = Some(MINUTE);
                }
                _ => {}
            }
            let takes = if random.u8(..20) == 0 { 1_500 } else { 50 };
            under_way.push((book.now + Duration::from_millis(takes), permit, reading));
        }
        book.now += Duration::from_millis(5);
    }
    assert!(most <= 150, "{most} in a minute");
    assert!(longest_pause < 30 * SECOND, "{longest_pause:?}");
    assert!(sent > 60 * 120, "{sent} in an hour");
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
    book.settle(permit, &refused(2 * MINUTE));
    book.now += MINUTE;
    assert!(!is_over(&book), "closed");
    book.now += MINUTE;
    assert!(!is_over(&book), "a probe is to come");
    book.now += MINUTE;
    assert!(is_over(&book));
    let mut book = Book::new(BudgetLimit::default());
    let permit = book.take();
    let short = BudgetReading {
        window: Some(SECOND),
        ..reading(3, SECOND)
    };
    book.settle(permit, &PermitOutcome::Answered { reading: short });
    book.now += 59 * SECOND;
    assert!(
        !is_over(&book),
        "one response does not make it count for less"
    );
    book.now += SECOND;
    assert!(is_over(&book));
    // An interval of the caller's own counts for as long as it is.
    let mut book = Book::new(BudgetLimit::at_most(1, 2 * MINUTE, 1));
    let permit = book.take();
    book.settle(permit, &told(150));
    book.now += MINUTE;
    assert!(!is_over(&book), "the next one is not due");
    book.now += MINUTE;
    assert!(is_over(&book));
    // Without a limit, nothing but a 429 counts.
    let mut book = Book::new(BudgetLimit::unlimited());
    let permit = book.take();
    book.settle(permit, &told(1));
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
    assert!(book.ledger.counted.is_empty() && book.ledger.under_way.is_empty());
    let mut book = Book::new(BudgetLimit::default());
    for _ in 0..1000 {
        let permit = book.take();
        book.settle(permit, &told(150));
    }
    assert!(book.ledger.counted.len() <= 150);
}
