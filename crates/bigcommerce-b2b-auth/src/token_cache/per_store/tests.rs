use std::time::Duration;

use super::{
    super::{
        circuit_breaker::{Applicant, FailedMint},
        key::Key,
    },
    *,
};
use crate::{
    Client, Clock, CustomerId, Error, ErrorKind, StoreAccess, StorefrontToken, StorefrontTokens,
    auth::credentials::TokenFingerprint,
    rate_limit::{Successes, tests::ByHand},
};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: u64 = 60 * 60;

fn access(store: &str) -> StoreAccess {
    StoreAccess::new(store, "an access token").unwrap()
}

/// A cache with a clock that is moved by hand.
struct Setting {
    by_hand: Arc<ByHand>,
    tokens: StorefrontTokens,
}

impl Setting {
    fn new() -> Self {
        let by_hand = ByHand::start();
        let client = Client::builder()
            .credentials(access("first"))
            .clock(Arc::clone(&by_hand) as Arc<dyn Clock>)
            .build()
            .unwrap();
        let tokens = StorefrontTokens::builder().client(client).build();
        Self { by_hand, tokens }
    }

    fn of(&self, store: &str) -> StorefrontTokens {
        let client = self.tokens.client().for_store(access(store));
        self.tokens.for_store(client)
    }

    /// A token that lasts a day from now on.
    fn token(&self, text: &str) -> StorefrontToken {
        StorefrontToken::new(text.into(), None, self.by_hand.now()).unwrap()
    }

    fn size(&self) -> (usize, usize) {
        self.tokens.shared.stores.size()
    }

    fn number(&self, store: &str) -> u64 {
        self.of(store).store.number
    }
}

fn customer() -> CustomerId {
    CustomerId::new(7).unwrap()
}

#[test]
fn a_store_is_kept_while_it_is_used_or_has_a_token() {
    let setting = Setting::new();
    let used = setting.of("used");
    let with_token = setting.of("with-token");
    with_token.put(customer(), &setting.token("one")).unwrap();
    drop(with_token);
    drop(setting.of("unused"));
    assert_eq!(setting.size().0, 4);
    setting.tokens.sweep();
    assert_eq!(setting.size().0, 3);
    assert!(setting.of("with-token").get_cached(customer()).is_some());
    assert_eq!(setting.number("used"), used.store.number);
    setting.by_hand.pass(24 * HOUR);
    setting.tokens.sweep();
    assert_eq!(setting.size().0, 2, "the first one and the used one");
    drop(used);
    setting.tokens.sweep();
    assert_eq!(setting.size().0, 1);
    setting
        .tokens
        .put(customer(), &setting.token("two"))
        .unwrap();
    assert!(setting.of("used").get_cached(customer()).is_none());
}

#[test]
fn a_number_is_never_given_twice() {
    let setting = Setting::new();
    let mut numbers = HashSet::new();
    for _ in 0..10 {
        assert!(numbers.insert(setting.number("second")));
        setting.tokens.sweep();
    }
}

#[test]
fn a_store_is_kept_while_a_rejection_a_log_out_or_a_failure_is_remembered() {
    let setting = Setting::new();
    let kept = |store: &str| {
        let number = setting.number(store);
        setting.tokens.sweep();
        setting.number(store) == number
    };
    let rejected = setting.of("rejected");
    let token = rejected.put(customer(), &setting.token("one")).unwrap();
    rejected.invalidate(&token);
    drop(rejected);
    assert!(kept("rejected"), "the token must not come back");
    assert!(
        setting
            .of("rejected")
            .put(customer(), &setting.token("one"))
            .is_err()
    );
    setting.of("forgotten").forget(customer());
    assert!(kept("forgotten"));
    let failed = setting.of("failed");
    let error = Error::invalid_input("any error");
    let now = setting.by_hand.reading();
    let key = Key::new(failed.store.number, customer(), None, None);
    failed
        .shared
        .failures
        .remember_passing(key, error, now, 0.5);
    drop(failed);
    assert!(kept("failed"));
    assert!(!kept("nothing"));
    setting.by_hand.pass(25 * HOUR);
    assert!(!kept("rejected") && !kept("forgotten") && !kept("failed"));
}

#[test]
fn a_store_is_kept_while_its_circuit_breaker_is_open() {
    let setting = Setting::new();
    let store = setting.of("never-worked");
    let number = store.store.number;
    let now = setting.by_hand.reading();
    let applicant = Applicant {
        key: Key::new(number, customer(), None, None),
        has_failed: false,
    };
    let admission = store.store.breaker.admit(applicant, now).unwrap();
    let mint = FailedMint {
        error: &Error::of_call("mint", ErrorKind::Unauthenticated, "no").with_effort(1, SECOND),
        token: TokenFingerprint::NONE,
        successes: &Successes::default(),
    };
    admission.failed(&mint, now, 0.5);
    drop(admission);
    drop(store);
    setting.tokens.sweep();
    assert_eq!(setting.number("never-worked"), number);
    setting.by_hand.pass(60);
    setting.tokens.sweep();
    assert_ne!(setting.number("never-worked"), number);
}

#[test]
fn a_store_that_is_used_again_during_a_sweep_stays() {
    let stores = StoreStates::new();
    let hash = StoreHash::new("abc123").unwrap();
    let now = ClockReading {
        wall: Duration::ZERO,
        monotonic: Duration::ZERO,
    };
    let number = || stores.of(&hash).0.number;
    let nothing = HashSet::new();
    let first = number();
    // What was remembered of it meanwhile may not have been seen.
    let sweep = stores.begin_sweep(now);
    assert_eq!(number(), first);
    stores.end_sweep(&sweep, &nothing, 0);
    assert_eq!(number(), first);
    // Nor by this sweep, where another one has begun since.
    let sweep = stores.begin_sweep(now);
    assert_eq!(number(), first);
    let another = stores.begin_sweep(now);
    stores.end_sweep(&sweep, &nothing, 0);
    assert_eq!(stores.size().0, 1);
    stores.end_sweep(&another, &nothing, 0);
    assert_eq!(stores.size().0, 0);
    assert_ne!(number(), first);
}

#[test]
fn stores_that_are_used_once_leave_no_memory_behind() {
    let setting = Setting::new();
    let mut most = 0;
    for number in 0..200_000 {
        let store = setting.of(&number.to_string());
        // One in ten has a token, which lasts for 864 stores.
        if number % 10 == 0 {
            store.put(customer(), &setting.token("a token")).unwrap();
        }
        setting.by_hand.pass(100);
        most = most.max(setting.size().0);
    }
    assert!(most <= 200, "{most}");
    setting.by_hand.pass(24 * HOUR);
    setting.tokens.sweep();
    let (entries, room) = setting.size();
    assert!(entries == 1 && room <= 500, "{entries} {room}");
}

#[test]
fn a_new_store_costs_a_constant_part_of_a_sweep() {
    let stores = StoreStates::new();
    let now = ClockReading {
        wall: Duration::ZERO,
        monotonic: Duration::ZERO,
    };
    // 40,000 stores are in use and have 400,000 tokens, which a sweep has to look at.
    let (mut in_use, mut visited) = (Vec::new(), 0);
    let tokens = 400_000;
    for number in 0..100_000 {
        let (state, are_many) = stores.of(&StoreHash::new(number.to_string()).unwrap());
        if number < 40_000 {
            in_use.push(state);
        }
        if are_many {
            visited += stores.size().0 + tokens;
            let sweep = stores.begin_sweep(now);
            stores.end_sweep(&sweep, &HashSet::new(), tokens);
        }
    }
    assert!(visited <= 100_000 * 12, "{visited}");
    assert!(stores.size().0 <= 40_000 + tokens / 8);
}
