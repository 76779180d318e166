use super::*;
use crate::Hint;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> ClockReading {
    ClockReading {
        wall: Duration::from_secs(1_800_000_000 + seconds),
        monotonic: Duration::from_secs(seconds),
    }
}

fn error(kind: ErrorKind) -> Error {
    Error::of_call("post-something", kind, "no").with_effort(1, SECOND)
}

fn key(customer: i64) -> Key {
    Key::new(0, CustomerId::new(customer).unwrap(), None, None)
}

fn applicant(customer: i64) -> Applicant {
    Applicant {
        key: key(customer),
        has_failed: false,
    }
}

/// A customer whose earlier failures are blamed on the customer.
fn guilty(customer: i64) -> Applicant {
    Applicant {
        has_failed: true,
        ..applicant(customer)
    }
}

const BLAMED: Verdict = Verdict::Customer { with_token: true };

/// A breaker, half of everything drawn: a failure of the store holds for 45 s, one that passes for 3 s.
#[derive(Debug, Default)]
struct Setting {
    breaker: Breaker,
    successes: Successes,
}

impl Setting {
    /// Of a store that has worked.
    fn worked() -> Self {
        let setting = Self::default();
        setting.breaker.close();
        setting
    }

    fn tell(&self, admission: &Admission<'_>, error: &Error, token: &str, now: u64) -> Verdict {
        let mint = FailedMint {
            error,
            token: TokenFingerprint::of(&token.into()),
            successes: &self.successes,
        };
        admission.failed(&mint, at(now), 0.5)
    }

    /// A mint is admitted and fails.
    fn fails(&self, applicant: Applicant, kind: ErrorKind, now: u64) -> Verdict {
        let admission = self.breaker.admit(applicant, at(now)).unwrap();
        self.tell(&admission, &error(kind), "old", now)
    }

    /// Opens it by the failures of customers 1 and 2.
    fn opened() -> Self {
        let setting = Self::worked();
        setting.fails(applicant(1), ErrorKind::Forbidden, 0);
        setting.fails(applicant(2), ErrorKind::Forbidden, 0);
        setting
    }

    fn refuses(&self, applicant: Applicant, now: u64) -> bool {
        let refusal = self.breaker.refusal(&applicant, at(now)).is_some();
        // Who is not refused would be admitted.
        let mut inner = self.breaker.lock();
        let standing = inner.standing(&applicant, at(now));
        assert_eq!(matches!(standing, Standing::Refused(_)), refusal);
        refusal
    }

    fn is_open(&self) -> bool {
        self.breaker.lock().open.is_some()
    }
}

#[test]
fn one_refused_customer_is_no_failure_of_the_store_however_often() {
    let setting = Setting::worked();
    for kind in [ErrorKind::Forbidden, ErrorKind::Unauthenticated] {
        assert_eq!(setting.fails(applicant(666), kind, 0), BLAMED);
        for now in 1..100 {
            assert_eq!(setting.fails(guilty(666), kind, now), BLAMED);
        }
    }
    assert!(!setting.is_open() && !setting.refuses(applicant(1), 0));
    // Nor on two channels.
    let channel = crate::ChannelId::new(2).unwrap();
    let on_channel = Applicant {
        key: Key::new(0, CustomerId::new(666).unwrap(), Some(channel), None),
        has_failed: false,
    };
    assert_eq!(
        setting.fails(on_channel, ErrorKind::Unauthenticated, 100),
        BLAMED
    );
    assert!(!setting.is_open());
}

#[test]
fn a_second_customer_refused_in_the_same_way_is_the_stores_failure() {
    for kind in [ErrorKind::Forbidden, ErrorKind::Unauthenticated] {
        let setting = Setting::worked();
        assert_eq!(setting.fails(applicant(1), kind, 0), BLAMED);
        assert_eq!(setting.fails(applicant(2), kind, 5), Verdict::Settled);
        let told = setting
            .breaker
            .refusal(&applicant(3), at(15))
            .unwrap()
            .told(at(15));
        assert_eq!(told.kind(), kind);
        assert_eq!(told.remembered_for(), Some(10 * SECOND));
        assert_eq!(told.retry_after(), Some(35 * SECOND));
        assert!(setting.refuses(applicant(3), 49) && !setting.refuses(applicant(3), 50));
    }
}

#[test]
fn another_way_a_success_in_between_or_a_customer_who_failed_before_is_no_second_failure() {
    let setting = Setting::worked();
    setting.fails(applicant(1), ErrorKind::Forbidden, 0);
    // Refused in another way.
    assert_eq!(
        setting.fails(applicant(2), ErrorKind::Unauthenticated, 0),
        BLAMED
    );
    // With another access token.
    let admission = setting.breaker.admit(applicant(3), at(0)).unwrap();
    let refused = error(ErrorKind::Unauthenticated);
    assert_eq!(setting.tell(&admission, &refused, "new", 0), BLAMED);
    // After somebody got a token, or a call outside of the cache succeeded.
    setting.breaker.close();
    assert_eq!(setting.fails(applicant(4), ErrorKind::Forbidden, 0), BLAMED);
    setting.successes.count();
    assert_eq!(setting.fails(applicant(5), ErrorKind::Forbidden, 0), BLAMED);
    // A customer who was refused before others got their tokens.
    assert_eq!(setting.fails(guilty(1), ErrorKind::Forbidden, 0), BLAMED);
    // What says nothing of the access token.
    let not_found = Verdict::Customer { with_token: false };
    assert_eq!(
        setting.fails(applicant(6), ErrorKind::NotFound, 0),
        not_found
    );
    assert_eq!(
        setting.fails(applicant(7), ErrorKind::Rejected, 0),
        not_found
    );
    assert!(!setting.is_open());
    assert_eq!(
        setting.fails(applicant(8), ErrorKind::Forbidden, 0),
        Verdict::Settled
    );
    assert!(setting.is_open());
}

#[test]
fn a_store_that_never_worked_fails_with_the_first_customer() {
    for kind in [ErrorKind::Forbidden, ErrorKind::Unauthenticated] {
        let setting = Setting::default();
        assert_eq!(setting.fails(applicant(1), kind, 0), Verdict::Settled);
        assert!(setting.refuses(applicant(2), 2));
        assert!(setting.refuses(applicant(1), 44) && !setting.refuses(applicant(1), 45));
        // A second customer soon shows whose failure it is.
        let probe = setting.breaker.admit(applicant(2), at(3)).unwrap();
        assert!(probe.is_probe);
        let verdict = setting.tell(&probe, &error(kind), "old", 3);
        assert_eq!(verdict, Verdict::Settled);
        drop(probe);
        assert!(setting.refuses(applicant(3), 47) && !setting.refuses(applicant(3), 48));
    }
    let hinted = error(ErrorKind::Server).with_hint(Some(Hint::WrongStoreHash));
    for (setting, verdict) in [
        (Setting::default(), Verdict::Settled),
        (Setting::worked(), Verdict::Passing),
    ] {
        let admission = setting.breaker.admit(applicant(1), at(0)).unwrap();
        assert_eq!(setting.tell(&admission, &hinted, "old", 0), verdict);
        assert_eq!(setting.is_open(), verdict == Verdict::Settled);
    }
    // It worked in another process, or before this one was started.
    let setting = Setting::default();
    setting.breaker.has_worked_before();
    assert_eq!(setting.fails(applicant(1), ErrorKind::Forbidden, 0), BLAMED);
}

#[test]
fn a_store_that_turns_out_to_have_worked_is_not_held_up_by_one_customer_and_still_by_two() {
    let setting = Setting::default();
    setting.fails(applicant(1), ErrorKind::Forbidden, 0);
    assert!(setting.refuses(applicant(2), 0));
    setting.breaker.has_worked_before();
    assert!(!setting.refuses(applicant(2), 0) && !setting.is_open());
    let setting = Setting::default();
    setting.fails(applicant(1), ErrorKind::Forbidden, 0);
    setting.fails(applicant(2), ErrorKind::Forbidden, 3);
    setting.breaker.has_worked_before();
    assert!(setting.refuses(applicant(3), 4));
    // Nor does it end an outage.
    let setting = Setting::default();
    for customer in 1..=5 {
        setting.fails(applicant(customer), ErrorKind::Server, 0);
    }
    setting.breaker.has_worked_before();
    assert!(setting.refuses(applicant(6), 0));
}

#[test]
fn the_only_customer_of_a_store_tries_again_when_the_time_is_over() {
    let setting = Setting::default();
    setting.fails(applicant(1), ErrorKind::Unauthenticated, 0);
    for now in [45, 90, 135, 180] {
        assert!(setting.refuses(applicant(1), now - 1), "{now}");
        let refused = ErrorKind::Unauthenticated;
        assert_eq!(setting.fails(applicant(1), refused, now), Verdict::Settled);
    }
    let told = setting
        .breaker
        .refusal(&applicant(1), at(190))
        .unwrap()
        .told(at(190));
    assert_eq!(told.remembered_for(), Some(10 * SECOND));
    assert_eq!(told.retry_after(), Some(35 * SECOND));
    assert!(setting.breaker.admit(applicant(1), at(225)).is_ok());
    setting.breaker.close();
    assert!(!setting.is_open());
}

#[test]
fn one_customer_probes_when_the_time_is_over() {
    assert!(Setting::worked().breaker.is_at_rest(at(0)));
    let setting = Setting::opened();
    let is_at_rest = |now| setting.breaker.is_at_rest(at(now));
    assert!(!is_at_rest(44) && is_at_rest(45));
    assert!(setting.breaker.admit(applicant(3), at(44)).is_err());
    let probe = setting.breaker.admit(applicant(3), at(45)).unwrap();
    assert!(probe.is_probe && !is_at_rest(45));
    // While it is under way the others are refused, and who wants the same token waits for it.
    assert!(setting.breaker.admit(applicant(4), at(46)).is_err());
    assert!(setting.refuses(applicant(4), 46) && !setting.refuses(applicant(3), 46));
    // A probe that comes to nothing leaves its right to the next customer.
    drop(probe);
    let probe = setting.breaker.admit(applicant(4), at(46)).unwrap();
    assert!(probe.is_probe);
    setting.breaker.close();
    drop(probe);
    assert!(!setting.is_open() && !setting.refuses(applicant(5), 46));
}

#[test]
fn a_probe_that_is_refused_in_the_same_way_opens_it_anew() {
    let setting = Setting::opened();
    let probe = setting.breaker.admit(applicant(3), at(45)).unwrap();
    let refused = error(ErrorKind::Forbidden);
    assert_eq!(setting.tell(&probe, &refused, "old", 46), Verdict::Settled);
    drop(probe);
    assert!(setting.refuses(applicant(4), 90) && !setting.refuses(applicant(4), 91));
    // The customer who probed is no probe any more.
    assert!(
        !setting
            .breaker
            .admit(applicant(3), at(91))
            .unwrap()
            .is_probe
    );
    assert!(
        setting
            .breaker
            .admit(applicant(4), at(91))
            .unwrap()
            .is_probe
    );
}

#[test]
fn a_probe_that_fails_for_the_service_holds_the_others_up_for_a_moment() {
    let setting = Setting::opened();
    let probe = setting.breaker.admit(applicant(3), at(45)).unwrap();
    let down = error(ErrorKind::Server);
    assert_eq!(setting.tell(&probe, &down, "old", 45), Verdict::Passing);
    drop(probe);
    let told = setting.breaker.refusal(&applicant(4), at(46)).unwrap();
    assert_eq!(told.told(at(46)).kind(), ErrorKind::Server);
    // It is still about the access token.
    assert_eq!(told.token(), Some(TokenFingerprint::of(&"old".into())));
    assert!(setting.refuses(applicant(4), 47) && !setting.refuses(applicant(4), 48));
    let probe = setting.breaker.admit(applicant(4), at(48)).unwrap();
    let refused = error(ErrorKind::Forbidden);
    assert_eq!(setting.tell(&probe, &refused, "old", 48), Verdict::Settled);
    assert!(setting.refuses(applicant(5), 92));
    // One that was not even sent says nothing.
    let setting = Setting::opened();
    let probe = setting.breaker.admit(applicant(3), at(45)).unwrap();
    let late = error(ErrorKind::Timeout).with_effort(0, SECOND);
    assert_eq!(setting.tell(&probe, &late, "old", 45), Verdict::Passing);
    drop(probe);
    assert!(!setting.refuses(applicant(4), 45));
}

#[test]
fn a_probe_whose_failure_is_the_customers_leaves_the_next_one_to_probe_at_once() {
    for kind in [
        ErrorKind::NotFound,
        ErrorKind::Rejected,
        ErrorKind::Unauthenticated,
        ErrorKind::RateLimited,
    ] {
        let setting = Setting::opened();
        let probe = setting.breaker.admit(applicant(3), at(45)).unwrap();
        setting.tell(&probe, &error(kind), "old", 45);
        drop(probe);
        assert!(
            setting
                .breaker
                .admit(applicant(4), at(45))
                .unwrap()
                .is_probe,
            "{kind:?}"
        );
    }
}

#[test]
fn a_customer_who_failed_before_is_no_probe_and_holds_up_nobody() {
    let setting = Setting::opened();
    for customer in [applicant(1), applicant(2), guilty(666)] {
        let own = setting.breaker.admit(customer, at(45)).unwrap();
        assert!(!own.is_probe);
        assert!(!setting.refuses(applicant(3), 45));
        let refused = error(ErrorKind::Forbidden);
        assert_eq!(setting.tell(&own, &refused, "old", 45), Verdict::Settled);
        drop(own);
        assert!(setting.refuses(customer, 46) && !setting.refuses(applicant(3), 46));
        assert!(setting.refuses(customer, 89));
    }
    // Nor when somebody else probes, whose right it leaves alone.
    let probe = setting.breaker.admit(applicant(3), at(90)).unwrap();
    let own = setting.breaker.admit(applicant(1), at(90)).unwrap();
    assert!(probe.is_probe && !own.is_probe);
    drop(own);
    assert!(setting.refuses(applicant(4), 90));
    // A success is everybody's.
    setting.breaker.close();
    for customer in [applicant(1), applicant(2), guilty(666), applicant(3)] {
        assert!(!setting.refuses(customer, 90));
    }
}

#[test]
fn customers_who_failed_before_try_one_by_one_when_there_are_many() {
    let setting = Setting::opened();
    for customer in 100..200 {
        setting.breaker.lock().open.as_mut().unwrap().failed_too(
            CustomerId::new(customer).unwrap(),
            Failure::new(error(ErrorKind::Forbidden), None, at(0), 45 * SECOND),
        );
    }
    let mut tries = Vec::new();
    for now in 45..105 {
        for customer in 100..200 {
            if setting.breaker.admit(applicant(customer), at(now)).is_ok() {
                tries.push(now);
            }
        }
    }
    assert_eq!(tries, [45, 45, 45, 60, 75, 90]);
    let told = setting
        .breaker
        .refusal(&applicant(100), at(101))
        .unwrap()
        .told(at(101));
    assert_eq!(told.retry_after(), Some(4 * SECOND));
    // Others are not held up by them.
    assert!(
        setting
            .breaker
            .admit(applicant(3), at(104))
            .unwrap()
            .is_probe
    );
}

#[test]
fn what_is_remembered_of_those_who_failed_is_bounded() {
    let setting = Setting::opened();
    let mut inner = setting.breaker.lock();
    let open = inner.open.as_mut().unwrap();
    for customer in 1..5_000 {
        let failure = Failure::new(error(ErrorKind::Forbidden), None, at(0), SECOND);
        open.failed_too(CustomerId::new(customer).unwrap(), failure);
    }
    assert_eq!(open.failed.len(), MOST_FAILED);
}

#[test]
fn those_who_were_under_way_when_it_opened_do_not_open_it_for_longer() {
    let setting = Setting::worked();
    let under_way = setting.breaker.admit(applicant(3), at(0)).unwrap();
    setting.fails(applicant(1), ErrorKind::Forbidden, 0);
    setting.fails(applicant(2), ErrorKind::Forbidden, 0);
    let refused = error(ErrorKind::Forbidden);
    assert_eq!(
        setting.tell(&under_way, &refused, "old", 20),
        Verdict::Settled
    );
    assert!(!setting.refuses(applicant(4), 45));
    assert!(setting.refuses(applicant(3), 64) && !setting.refuses(applicant(3), 65));
}

#[test]
fn a_provider_without_a_token_is_the_stores_failure_at_once_and_no_customers() {
    let setting = Setting::worked();
    let unavailable = ErrorKind::CredentialsUnavailable;
    assert_eq!(
        setting.fails(applicant(1), unavailable, 0),
        Verdict::Settled
    );
    let failure = setting.breaker.refusal(&applicant(2), at(44)).unwrap();
    assert_eq!(failure.token(), Some(TokenFingerprint::NONE));
    assert!(
        setting
            .breaker
            .admit(applicant(1), at(45))
            .unwrap()
            .is_probe
    );
}

#[test]
fn a_success_outside_of_the_cache_ends_what_may_be_the_access_tokens_failure() {
    let setting = Setting::opened();
    assert!(setting.refuses(applicant(3), 1));
    setting.successes.count();
    assert!(!setting.refuses(applicant(3), 1) && !setting.is_open());
    // It shows that the store works.
    let setting = Setting::default();
    setting.fails(applicant(1), ErrorKind::Forbidden, 0);
    setting.successes.count();
    assert_eq!(setting.fails(applicant(2), ErrorKind::Forbidden, 1), BLAMED);
    // Only mints of the cache count towards an outage.
    let setting = Setting::worked();
    for customer in 1..=5 {
        setting.fails(applicant(customer), ErrorKind::Server, 0);
    }
    setting.successes.count();
    assert!(setting.refuses(applicant(6), 0));
}

#[test]
fn a_mint_with_another_access_token_is_counted_for_that() {
    let setting = Setting::opened();
    let refused = error(ErrorKind::Forbidden);
    let with_new = |customer, now| {
        let admission = setting.breaker.admit_past(applicant(customer));
        setting.tell(&admission, &refused, "new", now)
    };
    assert_eq!(with_new(3, 1), BLAMED);
    assert_eq!(with_new(4, 2), Verdict::Settled);
    let failure = setting.breaker.refusal(&applicant(5), at(3)).unwrap();
    assert_eq!(failure.token(), Some(TokenFingerprint::of(&"new".into())));
    // Those who failed with the old one did not fail with the new one.
    let failed = |customer| {
        let inner = setting.breaker.lock();
        let customer = CustomerId::new(customer).unwrap();
        inner.open.as_ref().unwrap().failed.contains_key(&customer)
    };
    assert_eq!([1, 2, 3, 4].map(failed), [false, false, true, true]);
}

#[test]
fn failures_can_be_forgotten() {
    let setting = Setting::opened();
    setting.breaker.forget_failures();
    assert!(!setting.refuses(applicant(1), 1));
    // The first customer is a first one again, and what has worked still has.
    assert_eq!(setting.fails(applicant(1), ErrorKind::Forbidden, 1), BLAMED);
    setting.breaker.forget_failures();
    assert_eq!(setting.fails(applicant(2), ErrorKind::Forbidden, 1), BLAMED);
    for customer in 1..=4 {
        setting.fails(applicant(customer), ErrorKind::Server, 1);
    }
    setting.breaker.forget_failures();
    setting.fails(applicant(5), ErrorKind::Server, 1);
    assert!(!setting.is_open());
}

#[test]
fn customers_who_fail_in_a_row_because_of_the_service_are_an_outage() {
    let setting = Setting::worked();
    let fail = |customer, error: &Error| {
        let admission = setting.breaker.admit(applicant(customer), at(0)).unwrap();
        setting.tell(&admission, error, "old", 0);
        setting.is_open()
    };
    let down = error(ErrorKind::Server);
    // One customer alone makes no outage, however often they fail.
    assert!((0..20).all(|_| !fail(1, &down)));
    // Nor are four, nor five with a success or an answer between them, nor what was not even sent.
    assert!((2..=4).all(|customer| !fail(customer, &down)));
    setting.breaker.close();
    assert!((5..=8).all(|customer| !fail(customer, &down)));
    assert!(!fail(9, &error(ErrorKind::NotFound)));
    assert!((1..=4).all(|customer| !fail(customer, &down)));
    assert!(!fail(5, &error(ErrorKind::Timeout).with_effort(0, SECOND)));
    assert!(fail(5, &down));
    let told = setting.breaker.refusal(&applicant(6), at(2)).unwrap();
    assert_eq!(
        (told.told(at(2)).kind(), told.token()),
        (ErrorKind::Server, None)
    );
    // After three seconds one customer probes, also one who failed in it.
    assert!(!setting.refuses(applicant(1), 3));
    let probe = setting.breaker.admit(applicant(1), at(3)).unwrap();
    assert!(probe.is_probe && setting.refuses(applicant(2), 3));
    setting.breaker.close();
    drop(probe);
    assert!(!setting.refuses(applicant(2), 3));
    for kind in [
        ErrorKind::Connect,
        ErrorKind::Timeout,
        ErrorKind::Interrupted,
    ] {
        setting.breaker.close();
        let opened = (1..=5).filter(|customer| fail(*customer, &error(kind)));
        assert_eq!(opened.count(), 1, "{kind:?}");
    }
}

#[test]
fn any_answer_of_the_service_ends_an_outage() {
    for kind in [ErrorKind::NotFound, ErrorKind::Forbidden] {
        for applicant in [applicant(6), guilty(666)] {
            let setting = Setting::worked();
            for customer in 1..=5 {
                setting.fails(super::tests::applicant(customer), ErrorKind::Server, 0);
            }
            assert!(setting.refuses(applicant, 2));
            let admission = setting.breaker.admit(applicant, at(3)).unwrap();
            assert_eq!(admission.is_probe, !applicant.has_failed);
            setting.tell(&admission, &error(kind), "old", 3);
            drop(admission);
            assert!(!setting.is_open(), "{kind:?}");
        }
    }
}
