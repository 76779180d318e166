//! Every fault that the sandbox has, for every operation, with and without repetition: how the call ends, how many requests
//! it sends, how long it waits, and what it leaves behind. In the *time* harness.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bigcommerce_b2b_auth::{
    BudgetLimit, CallOptions, Client, Error, ErrorKind, RetryPolicy, StoreAccess,
};
use bigcommerce_b2b_auth_sandbox::{EventChannel, Fault, Operation, Sandbox, Store, demo};
use tests::{Caller, InProcess, LongestWait, PausedClock, Seen, render};

const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How a call went.
#[derive(Debug, PartialEq)]
struct Cell {
    /// The status, or the kind of the error.
    outcome: Result<u16, ErrorKind>,
    attempts: u32,
    elapsed: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Ok(status) => write!(f, "{status}")?,
            Err(kind) => write!(f, "{kind:?}")?,
        }
        // tokio's timer rounds up to milliseconds.
        let seconds = (self.elapsed.as_secs_f64() * 100.0).floor() / 100.0;
        write!(f, " after {}, {seconds} s", self.attempts)
    }
}

fn expected(name: &str, fault: &Fault, operation: Operation, retries: bool) -> Cell {
    let seen = Seen::of(name);
    let Some(kind) = seen.kind() else {
        return Cell {
            outcome: Ok(200),
            attempts: 1,
            elapsed: Duration::ZERO,
        };
    };
    // What was deleted before the reply was lost is not there any more, and that is what was asked for. (The request that a
    // connection is closed on has no effect: the one before it had.)
    let gone =
        operation == Operation::DeleteServerToken && fault.is_taken() && name != "close-on-reuse";
    match seen
        .repeated_after(operation, ATTEMPT_TIMEOUT)
        .filter(|_| retries)
    {
        Some(elapsed) => Cell {
            outcome: Ok(if gone { 404 } else { 200 }),
            attempts: 2,
            elapsed,
        },
        None => Cell {
            outcome: Err(kind),
            attempts: 1,
            elapsed: if seen == Seen::Stalled {
                ATTEMPT_TIMEOUT
            } else {
                Duration::ZERO
            },
        },
    }
}

struct Setting {
    sandbox: Sandbox,
    clock: PausedClock,
    caller: Caller,
}

impl Setting {
    fn new() -> Self {
        let clock = PausedClock::start();
        let sandbox = Sandbox::builder()
            .clock(move || clock.wall())
            .store(Store::demo().server_token(
                "to be deleted",
                demo::ADMINISTRATOR_EMAIL,
                EventChannel::App,
            ))
            .build();
        let client = Client::builder()
            .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN).unwrap())
            .transport(InProcess::new(&sandbox))
            .clock(Arc::new(clock))
            .jitter(Arc::new(LongestWait))
            .attempt_timeout(ATTEMPT_TIMEOUT)
            .budget_limit(BudgetLimit::default())
            .build()
            .unwrap();
        let caller = Caller::new(client, &sandbox);
        Self {
            sandbox,
            clock,
            caller,
        }
    }

    fn server_tokens(&self) -> usize {
        self.sandbox.server_tokens(demo::STORE_HASH).len()
    }

    async fn call(&self, operation: Operation, retries: bool) -> (Cell, Option<Error>) {
        let options = CallOptions::builder();
        let options = if retries {
            options.build()
        } else {
            options.retry(RetryPolicy::none()).build()
        };
        let began = self.clock.elapsed();
        let result = self.caller.call(operation, options).await;
        let elapsed = self.clock.elapsed() - began;
        // In whole hundredths of a second: tokio's timer rounds up to milliseconds.
        let elapsed = Duration::from_millis(elapsed.as_millis() as u64 / 10 * 10);
        match result {
            Ok((status, attempts)) => (
                Cell {
                    outcome: Ok(status),
                    attempts,
                    elapsed,
                },
                None,
            ),
            Err(error) => (
                Cell {
                    outcome: Err(error.kind()),
                    attempts: error.attempts(),
                    elapsed,
                },
                Some(error),
            ),
        }
    }
}

/// What a test plants, and no error may show.
fn shows_no_secret(setting: &Setting, error: &Error) {
    let text = render(error);
    let mut secrets = vec![
        demo::ACCESS_TOKEN.to_owned(),
        demo::CUSTOMER_PASSWORD.to_owned(),
        demo::ADMINISTRATOR_PASSWORD.to_owned(),
        "eyJ".to_owned(),
    ];
    secrets.extend(setting.sandbox.auth_token(demo::STORE_HASH));
    for secret in secrets {
        assert!(!text.contains(&secret), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_every_operation_ends_as_expected() {
    let mut table = Vec::new();
    for (name, fault) in Fault::catalogue() {
        for operation in Caller::OPERATIONS {
            for retries in [true, false] {
                let setting = Setting::new();
                let before = setting.server_tokens();
                setting.sandbox.fail_next(operation, fault.clone());
                if name == "close-on-reuse" {
                    // It strikes the request after the one that it is set for.
                    setting.sandbox.clear_faults();
                    setting.sandbox.fail_next(Operation::Mint, fault.clone());
                    assert_eq!(
                        setting.call(Operation::Mint, retries).await.0.outcome,
                        Ok(200)
                    );
                }
                let requests = setting.sandbox.request_count_to(operation);
                let place = format!("{name}, {operation:?}, retries {retries}");
                let (cell, error) = setting.call(operation, retries).await;
                let expected = expected(name, &fault, operation, retries);
                assert_eq!(cell, expected, "{place}");
                if let Some(error) = &error {
                    shows_no_secret(&setting, error);
                    let sent = !matches!(Seen::of(name), Seen::NotSent | Seen::Throttled(_));
                    assert_eq!(error.may_have_been_applied(), sent, "{place}");
                    if let Seen::FailedForLong(wait) = Seen::of(name) {
                        assert_eq!(error.retry_after(), Some(wait), "{place}");
                    }
                }
                let requests = setting.sandbox.request_count_to(operation) - requests;
                assert!(requests <= u64::from(cell.attempts), "{place}: {requests}");
                let made = setting.server_tokens().saturating_sub(before);
                assert!(made <= 1, "{place}: {made} server tokens by one call");
                assert!(
                    operation != Operation::CreateServerToken || cell.outcome.is_err() || made == 1,
                    "{place}"
                );
                table.push(format!("{place}: {cell}"));
            }
        }
    }
    let kinds: BTreeSet<_> = Fault::catalogue()
        .iter()
        .map(|(_, fault)| fault.name())
        .collect();
    assert!(kinds.len() >= 28, "{}", kinds.len());
    insta::assert_snapshot!(table.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_stays_ends_the_call_and_never_makes_two_server_tokens() {
    for (name, fault) in Fault::catalogue() {
        for operation in Caller::OPERATIONS {
            let setting = Setting::new();
            let before = setting.server_tokens();
            setting.sandbox.begin_outage(fault.clone());
            let (cell, error) = setting.call(operation, true).await;
            let place = format!("{name}, {operation:?}");
            // The second attempt finds what was deleted to be gone. A 404 whose body did not arrive does not say so.
            let is_unread_404 = operation == Operation::DeleteServerToken
                && error.as_ref().is_some_and(|error| {
                    error.kind() == ErrorKind::NotFound && error.may_have_been_applied()
                });
            let attempts = match Seen::of(name) {
                _ if is_unread_404 => 2..=2,
                _ if Seen::of(name)
                    .repeated_after(operation, ATTEMPT_TIMEOUT)
                    .is_none() =>
                {
                    1..=1
                }
                _ if cell.outcome.is_ok() => 1..=2,
                Seen::Stalled | Seen::Throttled(_) => 2..=4,
                _ => 4..=4,
            };
            assert!(attempts.contains(&cell.attempts), "{place}: {cell}");
            assert!(cell.elapsed <= Duration::from_secs(120), "{place}: {cell}");
            if let Some(error) = &error {
                shows_no_secret(&setting, error);
                assert!(
                    is_unread_404 || Seen::of(name).kind() == Some(error.kind()),
                    "{place}: {error}"
                );
            }
            let made = setting.server_tokens().saturating_sub(before);
            assert!(made <= 1, "{place}: {made} server tokens by one call");
        }
    }
}
