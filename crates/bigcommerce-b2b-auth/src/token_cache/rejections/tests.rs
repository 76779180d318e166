use std::sync::Arc;

use super::*;
use crate::{
    CustomerId,
    token::bearer,
    token_cache::{
        cache::{Capacity, TokenCache},
        cached_token::Life,
    },
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn at(seconds: u64) -> ClockReading {
    ClockReading {
        wall: Duration::from_secs(1_800_000_000 + seconds),
        monotonic: Duration::from_secs(seconds),
    }
}

/// A token of a day that was asked for then.
fn entry(token: &str, seconds: u64) -> Entry {
    let life = Life {
        requested_at: at(seconds).wall,
        expires_at: at(seconds).wall + DAY,
    };
    Entry::of_parts(bearer::header(token).unwrap(), life, at(seconds), 0.5).unwrap()
}

fn key(customer: i64) -> Key {
    Key::new(0, CustomerId::new(customer).unwrap(), None, None)
}

#[test]
fn neither_the_token_that_was_refused_nor_an_older_one_is_taken() {
    let rejections = Rejections::new();
    let accept = |entry: &Entry, now| rejections.accept(&key(1), entry, at(now));
    let refused = entry("refused", 10);
    assert!(accept(&refused, 10));
    let newest = |customer| rejections.newest(&key(customer), at(20));
    assert_eq!(newest(1), None);
    assert!(rejections.note(key(1), &refused, at(20)));
    assert!(!accept(&refused, 20));
    assert_eq!((newest(1), newest(2)), (Some(refused.start()), None));
    assert!(!accept(&entry("older", 5), 20));
    assert!(!accept(&entry("as old", 10), 20));
    assert!(accept(&entry("newer", 11), 20));
    // The same one, as if it were newer.
    let same = entry("refused", 15);
    assert!(!accept(&same, 20));
    assert!(rejections.is_same(&key(1), &same, at(20)));
    assert!(!rejections.is_same(&key(1), &entry("newer", 11), at(20)));
    assert!(rejections.accept(&key(2), &refused, at(20)));
    assert!(!rejections.is_same(&key(2), &refused, at(20)));
    assert_eq!(rejections.len(), 1);
}

#[test]
fn a_refusal_of_an_older_token_than_the_last_one_is_late() {
    let rejections = Rejections::new();
    assert!(rejections.note(key(1), &entry("newer", 10), at(20)));
    assert!(!rejections.note(key(1), &entry("older", 5), at(20)));
    assert!(rejections.note(key(1), &entry("newest", 15), at(20)));
}

#[test]
fn a_second_rejection_of_a_token_does_not_undo_its_replacement() {
    let rejections = Rejections::new();
    assert!(rejections.note(key(1), &entry("one", 0), at(5)));
    assert!(!rejections.note(key(1), &entry("one", 0), at(5)));
    assert!(rejections.is_open(&key(1), at(5)));
    rejections.minted(&key(1), at(6));
    assert!(rejections.replaced(&key(1), &entry("two", 6), at(6)));
    // Two came while the first was still in use; nothing is waited for, wherever the second token has gone.
    assert!(!rejections.note(key(1), &entry("one", 0), at(7)));
    assert!(!rejections.is_open(&key(1), at(7)));
    assert_eq!(rejections.forced_mint_in(&key(1), at(7)), None);
    assert!(rejections.was_forced_lately(&key(1), at(7)));
}

/// What a rejection of the first token and the arrival of another one do, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Note,
    Remove,
    Accept,
    Insert,
    Replaced,
}

/// Every order of the two.
fn orders() -> Vec<Vec<Step>> {
    use Step::{Accept, Insert, Note, Remove, Replaced};
    let mut orders = Vec::new();
    for note in 0..4 {
        for remove in note..4 {
            let mut order = vec![Accept, Insert, Replaced];
            order.insert(remove, Remove);
            order.insert(note, Note);
            orders.push(order);
        }
    }
    orders
}

/// Plays an order as `StorefrontTokens::invalidate` and `Shared::keep` do; says whether the other one was kept.
fn play(order: &[Step], first: &Arc<Entry>, other: &Arc<Entry>) -> (TokenCache, Rejections) {
    let cache = TokenCache::new(Capacity::entries(10));
    let rejections = Rejections::new();
    let (key, now) = (key(1), at(20));
    drop(cache.insert_if_newer(key, first, now));
    let mut is_accepted = false;
    for step in order {
        match step {
            Step::Note => assert!(rejections.note(key, first, now)),
            Step::Remove => {
                if let Some(newer) = cache.remove_up_to(&key, first) {
                    rejections.replaced(&key, &newer, now);
                }
            }
            Step::Accept => is_accepted = rejections.accept(&key, other, now),
            Step::Insert if is_accepted => drop(cache.insert_if_newer(key, other, now)),
            Step::Replaced if is_accepted => {
                if !rejections.replaced(&key, other, now) {
                    cache.remove_up_to(&key, other);
                }
            }
            Step::Insert | Step::Replaced => {}
        }
    }
    (cache, rejections)
}

#[test]
fn a_rejection_and_the_next_token_end_alike_in_every_order() {
    let (first, second) = (Arc::new(entry("one", 0)), Arc::new(entry("two", 10)));
    assert_eq!(orders().len(), 10);
    for order in orders() {
        let (cache, rejections) = play(&order, &first, &second);
        let there = cache.get(&key(1));
        assert!(
            there.is_some_and(|there| Arc::ptr_eq(&there, &second)),
            "{order:?}"
        );
        assert!(!rejections.is_open(&key(1), at(20)), "{order:?}");
        assert!(!rejections.accept(&key(1), &first, at(20)), "{order:?}");
    }
}

#[test]
fn a_rejected_token_that_arrives_again_is_not_kept_in_any_order() {
    let first = Arc::new(entry("one", 10));
    for again in [entry("one", 10), entry("one", 15), entry("older", 5)] {
        let again = Arc::new(again);
        for order in orders() {
            let (cache, rejections) = play(&order, &first, &again);
            assert!(cache.get(&key(1)).is_none(), "{order:?}, {}", again.token());
            assert!(rejections.is_open(&key(1), at(20)), "{order:?}");
        }
    }
}

#[test]
fn a_refusal_is_forgotten_when_its_token_is_over_by_any_clock() {
    let rejections = Rejections::new();
    let refused = entry("refused", 0);
    assert!(rejections.note(key(1), &refused, at(0)));
    let hard = DAY.as_secs() - 30;
    assert!(!rejections.accept(&key(1), &refused, at(hard - 1)));
    assert!(rejections.accept(&key(1), &refused, at(hard)));
    assert_eq!(rejections.len(), 0);
    // One that is over by our clock may not be by the service's: it is remembered for some minutes.
    assert!(rejections.note(key(1), &refused, at(hard)));
    assert!(!rejections.accept(&key(1), &refused, at(hard + 299)));
    assert!(rejections.accept(&key(1), &refused, at(hard + 300)));
}

#[test]
fn a_customer_whose_fresh_tokens_are_refused_costs_a_mint_a_minute() {
    let rejections = Rejections::new();
    let wait = |now| rejections.forced_mint_in(&key(1), at(now));
    assert_eq!(wait(0), None);
    assert!(!rejections.is_open(&key(1), at(0)));
    rejections.note(key(1), &entry("one", 0), at(5));
    assert!(rejections.is_open(&key(1), at(5)));
    assert_eq!(wait(5), None);
    rejections.minted(&key(1), at(6));
    rejections.replaced(&key(1), &entry("two", 6), at(6));
    let lately = |now| rejections.was_forced_lately(&key(1), at(now));
    assert!(lately(6) && lately(65) && !lately(66));
    // There is a good one, as far as is known: nothing to be forced, and nothing to wait for.
    assert!(!rejections.is_open(&key(1), at(6)));
    assert_eq!(wait(6), None);
    rejections.note(key(1), &entry("two", 6), at(10));
    assert!(rejections.is_open(&key(1), at(10)));
    assert!(!lately(10), "its replacement was refused as well");
    assert_eq!(wait(10), Some(56 * SECOND));
    assert_eq!(wait(65), Some(SECOND));
    assert_eq!(wait(66), None);
}

#[test]
fn a_token_that_came_by_another_way_than_a_mint_is_no_reason_to_wait() {
    let rejections = Rejections::new();
    rejections.note(key(1), &entry("one", 0), at(5));
    rejections.replaced(&key(1), &entry("two", 6), at(6));
    assert!(!rejections.was_forced_lately(&key(1), at(6)));
    rejections.note(key(1), &entry("two", 6), at(7));
    assert_eq!(rejections.forced_mint_in(&key(1), at(7)), None);
    // What is minted for another reason says nothing of a refusal that has been answered.
    rejections.replaced(&key(1), &entry("three", 8), at(8));
    rejections.minted(&key(1), at(8));
    rejections.note(key(1), &entry("three", 8), at(9));
    assert_eq!(rejections.forced_mint_in(&key(1), at(9)), None);
}
