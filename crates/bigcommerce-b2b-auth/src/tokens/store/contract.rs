//! What every [`TokenStore`] keeps to, as tests that any implementation can run.
//!
//! An implementation says by a [`Subject`] how its stores are made and how time passes for them. [`check_all`] then runs all
//! [`CASES`]; each of them can also be run alone.
//!
//! ```
//! use std::time::Duration;
//! use bigcommerce_b2b_auth::{
//!     MemoryTokenStore, StoreFuture,
//!     store_contract::{PassFuture, Processes, Subject, Violation, check_all},
//! };
//!
//! struct InMemory;
//!
//! impl Subject for InMemory {
//!     fn processes(&self) -> StoreFuture<'_, Processes> {
//!         let store = MemoryTokenStore::new();
//!         Box::pin(async { Ok(Processes::new(store.clone(), store)) })
//!     }
//!
//!     fn pass(&self, time: Duration) -> PassFuture<'_> {
//!         Box::pin(tokio::time::sleep(time))
//!     }
//!
//!     fn moment(&self) -> Duration {
//!         Duration::from_millis(5) // no network is on the way
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Violation> {
//! check_all(&InMemory).await?;
//! # Ok(())
//! # }
//! ```

use std::{
    collections::HashSet,
    error::Error as StdError,
    fmt,
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_util::future::join_all;

use super::{
    Fingerprint, Lease, LeaseOwner, Put, StoreError, StoreFuture, StoreKey, StoredToken, TokenStore,
};
use crate::{ChannelId, CustomerId, Error, Secret, StoreHash};

/// What [`Subject::pass`] returns.
pub type PassFuture<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A kind of store that is put to the test.
pub trait Subject: Send + Sync {
    /// Two processes of one fleet, on a store that has nothing yet. Each case asks for a store of its own: a fresh prefix of
    /// the keys will do. What a case leaves behind expires within two hours.
    ///
    /// They share what two processes of a fleet do, and nothing else: neither a connection, nor what is drawn at random at the
    /// start of a process.
    ///
    /// # Errors
    /// Whatever kept it from making them. The case then fails.
    fn processes(&self) -> StoreFuture<'_, Processes>;

    /// Lets time pass: a clock of a test is put forward, and where the clock is real this sleeps.
    fn pass(&self, time: Duration) -> PassFuture<'_>;

    /// The wall time that the store goes by. The system's unless it is overridden.
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// How long what expires during a case lives. Ten times as much passes in all of them together. A quarter of a second
    /// unless it is overridden.
    fn moment(&self) -> Duration {
        Duration::from_millis(250)
    }
}

/// The stores of two processes of one fleet.
#[derive(Debug, Clone)]
pub struct Processes {
    one: Arc<dyn TokenStore>,
    other: Arc<dyn TokenStore>,
}

impl Processes {
    /// What each of the two has.
    #[must_use]
    pub fn new(one: impl TokenStore, other: impl TokenStore) -> Self {
        Self {
            one: Arc::new(one),
            other: Arc::new(other),
        }
    }
}

/// Something that a store has to do, and that can be tested.
#[derive(Clone, Copy)]
pub struct Case {
    name: &'static str,
    run: for<'a> fn(&'a Run<'a>) -> Pin<Box<dyn Future<Output = Checked> + Send + 'a>>,
}

impl Case {
    /// What the store has to do, in words that are joined by `_`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs this case alone.
    ///
    /// # Errors
    /// The [`Violation`], when the store does something else.
    pub async fn check(&self, subject: &dyn Subject) -> Result<(), Violation> {
        let Processes { one, other } = subject.processes().await.map_err(|error| Violation {
            case: self.name,
            step: "making the stores",
            expected: "two processes on an empty store".to_owned(),
            found: "an error".to_owned(),
            source: Some(error.into()),
        })?;
        let run = Run {
            case: self.name,
            subject,
            one: &*one,
            other: &*other,
            start: whole_seconds(subject.now()),
        };
        (self.run)(&run).await
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// Runs all [`CASES`], one after the other, and stops at the first violation.
///
/// # Errors
/// The [`Violation`].
pub async fn check_all(subject: &dyn Subject) -> Result<(), Violation> {
    for case in CASES {
        case.check(subject).await?;
    }
    Ok(())
}

/// A store does not do what it has to. Nothing in it is the text of a token.
#[derive(Debug)]
pub struct Violation {
    case: &'static str,
    step: &'static str,
    expected: String,
    found: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Violation {
    /// The [name](Case::name) of the case.
    #[must_use]
    pub fn case(&self) -> &'static str {
        self.case
    }

    /// What had just been done.
    #[must_use]
    pub fn step(&self) -> &'static str {
        self.step
    }

    /// What should have come.
    #[must_use]
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What came.
    #[must_use]
    pub fn found(&self) -> &str {
        &self.found
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            case,
            step,
            expected,
            found,
            source: _,
        } = self;
        write!(f, "{case}: {step}: expected {expected}, found {found}")
    }
}

impl StdError for Violation {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(&**source),
            None => None,
        }
    }
}

type Checked = Result<(), Violation>;

/// One case at work, and the words that the cases are written in.
struct Run<'a> {
    case: &'static str,
    subject: &'a dyn Subject,
    one: &'a dyn TokenStore,
    other: &'a dyn TokenStore,
    /// What the times of tokens are counted from: the start of the case, in whole seconds, so that a case fails for what it
    /// is about and not for what becomes of milliseconds.
    start: SystemTime,
}

/// Longer than any case takes.
const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

impl Run<'_> {
    fn violation(
        &self,
        step: &'static str,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Violation {
        Violation {
            case: self.case,
            step,
            expected: expected.into(),
            found: found.into(),
            source: None,
        }
    }

    fn answer<T>(&self, step: &'static str, answer: Result<T, StoreError>) -> Result<T, Violation> {
        answer.map_err(|error| Violation {
            source: Some(error.into()),
            ..self.violation(step, "an answer", "an error")
        })
    }

    /// For the ids and hashes that the cases themselves write down, which are all well-formed.
    fn valid<T>(&self, id: Result<T, Error>) -> Result<T, Violation> {
        id.map_err(|error| Violation {
            source: Some(error.into()),
            ..self.violation("preparing the case", "a valid key", "an error")
        })
    }

    fn key_of(&self, store_hash: &str, customer: i64) -> Result<StoreKey, Violation> {
        Ok(StoreKey::new(
            self.valid(StoreHash::new(store_hash))?,
            self.valid(CustomerId::new(customer))?,
        ))
    }

    fn key(&self) -> Result<StoreKey, Violation> {
        self.key_of("contract", 42)
    }

    fn channel(&self, id: i64) -> Result<ChannelId, Violation> {
        self.valid(ChannelId::new(id))
    }

    /// Keys of which each differs from the first in one thing, or from another one.
    fn different_keys(&self) -> Result<Vec<StoreKey>, Violation> {
        let key = self.key()?;
        let [first, second] = [1, 2].map(Fingerprint::new);
        Ok(vec![
            key.clone(),
            self.key_of("another", 42)?,
            self.key_of("CONTRACT", 42)?,
            self.key_of("contract", 43)?,
            key.clone().in_channel(self.channel(1)?),
            key.clone().in_channel(self.channel(2)?),
            key.clone().with_customer_access_token(first),
            key.clone().with_customer_access_token(second),
            key.in_channel(self.channel(1)?)
                .with_customer_access_token(first),
        ])
    }

    /// A token that lives through the case: it expires after an hour and so many minutes, and was requested so many seconds
    /// after the start. Who asks for 1 and 1 gets a newer one than who asks for 0 and 0.
    fn token(&self, secret: &str, minutes: u32, seconds: u32) -> StoredToken {
        StoredToken::new(
            secret,
            later(self.start, HOUR + 60 * SECOND * minutes),
            later(self.start, SECOND * seconds),
        )
    }

    /// A token that expires in a moment, and is older than any [`token`](Self::token).
    fn short_lived(&self, secret: &str) -> StoredToken {
        let now = self.subject.now();
        StoredToken::new(secret, later(now, self.subject.moment()), self.start)
    }

    /// Passes so much time that what lives for a moment is over.
    async fn outlive_a_moment(&self) {
        self.subject.pass(2 * self.subject.moment()).await;
    }

    async fn puts(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        token: &StoredToken,
        expected: Put,
    ) -> Checked {
        let put = self.answer(step, store.put_if_newer(key, token).await)?;
        self.same(step, expected, put)
    }

    async fn loads(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        expected: Option<&StoredToken>,
    ) -> Checked {
        let found = self.answer(step, store.load(key).await)?;
        if found.as_ref() == expected {
            return Ok(());
        }
        let same_text = match (expected, &found) {
            (Some(expected), Some(found)) => expected.secret() == found.secret(),
            (_, None) | (None, _) => false,
        };
        let found = match found {
            Some(found) if same_text => format!("its text as {}", self.describe(Some(&found))),
            found => self.describe(found.as_ref()),
        };
        Err(self.violation(step, self.describe(expected), found))
    }

    /// A token without its text.
    fn describe(&self, token: Option<&StoredToken>) -> String {
        let after = |time: SystemTime| match time.duration_since(self.start) {
            Ok(after) => format!("{after:?} after the start"),
            Err(before) => format!("{:?} before the start", before.duration()),
        };
        token.map_or_else(
            || "no token".to_owned(),
            |token| {
                format!(
                    "a token of {} bytes that expires {} and was requested {}",
                    token.secret().expose_secret().len(),
                    after(token.expires_at()),
                    after(token.requested_at())
                )
            },
        )
    }

    async fn rejects(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        token: &StoredToken,
    ) -> Checked {
        self.answer(step, store.reject(key, token).await)
    }

    async fn acquires(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        length: Duration,
    ) -> Result<LeaseOwner, Violation> {
        match self.answer(step, store.lease(key, length).await)? {
            Lease::Acquired(owner) => Ok(owner),
            Lease::Held => Err(self.violation(step, "Acquired", "Held")),
        }
    }

    async fn finds_it_held(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
    ) -> Checked {
        match self.answer(step, store.lease(key, HOUR).await)? {
            Lease::Held => Ok(()),
            Lease::Acquired(_) => Err(self.violation(step, "Held", "Acquired")),
        }
    }

    async fn releases(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        owner: LeaseOwner,
    ) -> Checked {
        self.answer(step, store.release(key, owner).await)
    }

    fn same<T: PartialEq + fmt::Debug>(
        &self,
        step: &'static str,
        expected: T,
        found: T,
    ) -> Checked {
        if expected == found {
            return Ok(());
        }
        Err(self.violation(step, format!("{expected:?}"), format!("{found:?}")))
    }

    fn holds(&self, step: &'static str, expected: &str, found: &str, holds: bool) -> Checked {
        if holds {
            return Ok(());
        }
        Err(self.violation(step, expected, found))
    }
}

fn later(time: SystemTime, by: Duration) -> SystemTime {
    time.checked_add(by).unwrap_or(time)
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    later(SystemTime::UNIX_EPOCH, Duration::from_secs(since.as_secs()))
}

macro_rules! cases {
    ($($name:ident,)*) => {
        /// All cases, in an order in which the first violation tells the most.
        pub const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            run: |run| Box::pin($name(run)),
        },)*];
    };
}

cases! {
    a_token_that_was_put_is_loaded_by_another_process,
    times_come_back_to_the_millisecond,
    secrets_come_back_byte_for_byte,
    a_store_shows_no_secret_in_its_debug,
    tokens_of_other_keys_are_not_loaded,
    keys_that_look_alike_are_told_apart,
    an_older_token_does_not_displace_a_newer_one,
    a_newer_token_takes_the_place_of_an_older_one,
    the_same_token_can_be_put_again,
    a_token_that_has_expired_is_not_loaded,
    a_token_expires_by_itself,
    a_newer_token_brings_its_own_expiry,
    a_rejected_token_is_removed,
    what_is_older_than_a_rejected_token_is_removed,
    a_late_rejection_leaves_a_newer_token,
    a_rejected_token_is_not_stored_again,
    what_was_never_there_can_be_rejected,
    what_is_older_than_a_rejected_token_is_not_stored,
    a_rejected_token_is_known_by_its_text,
    what_is_later_than_a_rejected_token_is_stored,
    an_earlier_rejection_is_not_forgotten_for_a_later_one,
    a_rejection_concerns_one_key,
    a_rejection_lasts_until_the_token_would_have_expired,
    a_lease_is_held_by_one,
    leases_of_other_keys_are_free,
    a_lease_runs_out_by_itself,
    a_lease_that_is_given_back_is_free,
    a_lease_is_not_given_back_by_anybody_else,
    a_lease_that_ran_out_does_not_give_back_the_next_one,
    no_two_leases_have_the_same_owner,
    what_is_not_there_can_be_given_back,
    tokens_and_leases_do_not_touch_each_other,
    of_many_who_ask_at_once_one_gets_the_lease,
    of_many_that_are_put_at_once_the_newest_stays,
    a_token_that_is_put_and_rejected_at_once_does_not_stay,
    a_fingerprint_is_the_same_in_each_process,
    fingerprints_of_different_tokens_differ,
    a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key,
}

async fn a_token_that_was_put_is_loaded_by_another_process(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    for store in [run.one, run.other] {
        run.loads("a load from the empty store", store, &key, None)
            .await?;
    }
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    for (step, store) in [
        ("a load by the other process", run.other),
        ("a load by the same process", run.one),
        ("a second load", run.other),
    ] {
        run.loads(step, store, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn times_come_back_to_the_millisecond(run: &Run<'_>) -> Checked {
    // The second one has not a whole number of milliseconds, which a `StoredToken` makes of it.
    for (customer, step, finer) in [
        (
            1,
            "a load of times with milliseconds",
            Duration::from_millis(1),
        ),
        (2, "a load of finer times", Duration::from_micros(998_500)),
    ] {
        let key = run.key_of("contract", customer)?;
        let token = StoredToken::new(
            "a token",
            later(run.start, HOUR + finer),
            later(run.start, finer),
        );
        run.puts("a put", run.one, &key, &token, Put::Stored)
            .await?;
        run.loads(step, run.other, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn secrets_come_back_byte_for_byte(run: &Run<'_>) -> Checked {
    let long = "0123456789abcdef".repeat(1024);
    let secrets = [
        ("a load of a text with spaces at its ends", " a token\t "),
        ("a load of a text with line breaks", "\r\na\ntoken\r\n"),
        ("a load of quotes and backslashes", r#""a\u0041'token`\\""#),
        ("a load of separators", "a:b|c,d;e=f&g/h?i#j%20{k}[l]"),
        (
            "a load of a NUL and other control characters",
            "\0a\x01\x1b[0mtoken\x7f\0",
        ),
        (
            "a load of letters outside ASCII",
            "t\u{f6}ken \u{1f511} e\u{301} \u{e9} \u{feff}",
        ),
        ("a load of a number", "0012345678901234567890"),
        ("a load of a word with a meaning in JSON", "null"),
        ("a load of 16 KiB", &long),
    ];
    for (customer, (step, secret)) in (1..).zip(secrets) {
        let (key, token) = (run.key_of("contract", customer)?, run.token(secret, 0, 0));
        run.puts("a put", run.one, &key, &token, Put::Stored)
            .await?;
        run.loads(step, run.other, &key, Some(&token)).await?;
    }
    Ok(())
}

async fn a_store_shows_no_secret_in_its_debug(run: &Run<'_>) -> Checked {
    let token = run.token("hunter2", 0, 0);
    let (kept, rejected) = (run.key()?, run.key_of("another", 42)?);
    run.puts("a put", run.one, &kept, &token, Put::Stored)
        .await?;
    run.answer("a load", run.other.load(&kept).await)?;
    run.rejects("a reject", run.one, &rejected, &token).await?;
    let cat = Secret::from("hunter2-customer-access-token");
    for store in [run.one, run.other] {
        store.fingerprint(&cat);
        // Also where the bytes are shown as numbers.
        let bytes = format!("{:?}", "hunter2".as_bytes());
        let bytes = bytes.trim_matches(['[', ']']);
        let shown = format!("{store:?} {store:#?}");
        let flat: String = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        run.holds(
            "the Debug of a store with a token",
            "nothing of the token",
            "a part of it",
            !shown.contains("hunter2") && !flat.contains(bytes),
        )?;
    }
    Ok(())
}

/// Puts a token under each key, all of them equally new, and sees whether each is still there at the end.
async fn kept_apart(run: &Run<'_>, keys: &[StoreKey]) -> Checked {
    let tokens: Vec<_> = (0..keys.len())
        .map(|number| run.token(&format!("the token of key {number}"), 0, 0))
        .collect();
    for (key, token) in keys.iter().zip(&tokens) {
        run.loads("a load before the put", run.other, key, None)
            .await?;
        run.puts("a put", run.one, key, token, Put::Stored).await?;
    }
    for (key, token) in keys.iter().zip(&tokens) {
        run.loads("a load after all puts", run.other, key, Some(token))
            .await?;
    }
    Ok(())
}

async fn tokens_of_other_keys_are_not_loaded(run: &Run<'_>) -> Checked {
    kept_apart(run, &run.different_keys()?).await
}

async fn keys_that_look_alike_are_told_apart(run: &Run<'_>) -> Checked {
    // Where the parts are put together with a separator, or with none.
    let mut keys = vec![
        run.key_of("s", 11)?.in_channel(run.channel(1)?),
        run.key_of("s", 1)?.in_channel(run.channel(11)?),
        run.key_of("s1", 1)?.in_channel(run.channel(1)?),
        run.key_of("s", 11)?
            .with_customer_access_token(Fingerprint::new(1)),
        run.key_of("s", 1)?
            .with_customer_access_token(Fingerprint::new(11)),
    ];
    for separator in [":", "/", "|", ",", ";", "-", "_", ".", "#", "="] {
        keys.push(run.key_of(&format!("s{separator}1"), 2)?);
        keys.push(run.key_of(&format!("s{separator}1{separator}2"), 3)?);
    }
    keys.push(run.key_of("s", 1)?.in_channel(run.channel(2)?));
    keys.push(
        run.key_of("s", 1)?
            .in_channel(run.channel(2)?)
            .with_customer_access_token(Fingerprint::new(3)),
    );
    // What a server may take for a pattern, or for the part of a key that tells where it belongs.
    keys.push(run.key_of("*", 1)?);
    keys.push(run.key_of("{s}", 1)?);
    kept_apart(run, &keys).await
}

async fn an_older_token_does_not_displace_a_newer_one(run: &Run<'_>) -> Checked {
    let (key, there) = (run.key()?, run.token("the newer", 5, 5));
    run.puts("the put of the newer", run.one, &key, &there, Put::Stored)
        .await?;
    for (step, older) in [
        (
            "the put of one that expires earlier",
            run.token("expires earlier", 4, 4),
        ),
        (
            "the put of one that expires earlier, though it was requested later",
            run.token("requested later", 4, 6),
        ),
        (
            "the put of one that was requested earlier",
            run.token("requested earlier", 5, 4),
        ),
    ] {
        run.puts(step, run.other, &key, &older, Put::NewerIsThere)
            .await?;
        run.loads("the load after it", run.one, &key, Some(&there))
            .await?;
    }
    Ok(())
}

async fn a_newer_token_takes_the_place_of_an_older_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    for (step, newer) in [
        ("the put into the empty store", run.token("the first", 5, 5)),
        (
            "the put of one that was requested later",
            run.token("requested later", 5, 6),
        ),
        (
            "the put of one that expires later, though it was requested earlier",
            run.token("expires later", 6, 4),
        ),
    ] {
        run.puts(step, run.one, &key, &newer, Put::Stored).await?;
        run.loads("the load after it", run.other, &key, Some(&newer))
            .await?;
    }
    Ok(())
}

async fn the_same_token_can_be_put_again(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    for (step, store) in [
        ("the first put", run.one),
        ("the second put, by the same process", run.one),
        ("the third put, by the other process", run.other),
    ] {
        run.puts(step, store, &key, &token, Put::Stored).await?;
    }
    run.loads("the load", run.other, &key, Some(&token)).await
}

async fn a_token_that_has_expired_is_not_loaded(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let expired = StoredToken::new("a token", run.start, run.start);
    run.answer("a put", run.one.put_if_newer(&key, &expired).await)?;
    run.loads(
        "the load of a token that was put after its time",
        run.other,
        &key,
        None,
    )
    .await?;
    let token = run.token("another token", 0, 0);
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    run.answer(
        "the put of an expired token",
        run.one.put_if_newer(&key, &expired).await,
    )?;
    run.loads(
        "the load after an expired token was put",
        run.other,
        &key,
        Some(&token),
    )
    .await
}

async fn a_token_expires_by_itself(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.short_lived("a token"));
    // On a slow machine it may have expired on its way: so nothing is asked of it while it lives.
    run.answer("a put", run.one.put_if_newer(&key, &token).await)?;
    run.outlive_a_moment().await;
    for store in [run.other, run.one] {
        run.loads("the load after its time", store, &key, None)
            .await?;
    }
    Ok(())
}

async fn a_newer_token_brings_its_own_expiry(run: &Run<'_>) -> Checked {
    let (key, first, second) = (
        run.key()?,
        run.short_lived("the first"),
        run.token("the second", 0, 0),
    );
    run.answer(
        "the put of the first",
        run.one.put_if_newer(&key, &first).await,
    )?;
    run.puts("the put of the second", run.one, &key, &second, Put::Stored)
        .await?;
    run.outlive_a_moment().await;
    run.loads(
        "the load after the time of the first",
        run.other,
        &key,
        Some(&second),
    )
    .await
}

async fn a_rejected_token_is_removed(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.puts("a put", run.one, &key, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.other, &key, &token).await?;
    for store in [run.one, run.other] {
        run.loads("the load after it", store, &key, None).await?;
    }
    Ok(())
}

async fn what_is_older_than_a_rejected_token_is_removed(run: &Run<'_>) -> Checked {
    let (key, older, rejected) = (
        run.key()?,
        run.token("the older", 0, 0),
        run.token("the rejected", 1, 1),
    );
    run.puts("the put of the older", run.one, &key, &older, Put::Stored)
        .await?;
    run.rejects("the reject of a newer one", run.other, &key, &rejected)
        .await?;
    run.loads("the load after it", run.one, &key, None).await
}

async fn a_late_rejection_leaves_a_newer_token(run: &Run<'_>) -> Checked {
    let rejected = run.token("the rejected", 1, 1);
    for (customer, step, newer) in [
        (
            1,
            "the reject while a newer token is there",
            run.token("the newer", 2, 2),
        ),
        (
            2,
            "the reject while a token is there that was requested with it and expires later",
            run.token("to live longer", 2, 1),
        ),
        (
            3,
            "the reject while a token is there that was requested later and expires earlier",
            run.token("to live shorter", 0, 2),
        ),
    ] {
        let key = run.key_of("contract", customer)?;
        run.puts("the put of the newer", run.one, &key, &newer, Put::Stored)
            .await?;
        run.rejects(step, run.other, &key, &rejected).await?;
        run.loads("the load after it", run.one, &key, Some(&newer))
            .await?;
    }
    Ok(())
}

async fn a_rejected_token_is_not_stored_again(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.puts("the first put", run.one, &key, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.other, &key, &token).await?;
    for store in [run.one, run.other] {
        run.puts(
            "the put after the reject",
            store,
            &key,
            &token,
            Put::Rejected,
        )
        .await?;
        run.loads("the load after it", store, &key, None).await?;
    }
    Ok(())
}

async fn what_was_never_there_can_be_rejected(run: &Run<'_>) -> Checked {
    let (key, token) = (run.key()?, run.token("a token", 0, 0));
    run.rejects("the reject, with an empty store", run.one, &key, &token)
        .await?;
    run.puts("the put after it", run.other, &key, &token, Put::Rejected)
        .await?;
    run.loads("the load after that", run.other, &key, None)
        .await
}

async fn what_is_older_than_a_rejected_token_is_not_stored(run: &Run<'_>) -> Checked {
    let (key, rejected) = (run.key()?, run.token("the rejected", 5, 5));
    run.puts(
        "the put of the rejected",
        run.one,
        &key,
        &rejected,
        Put::Stored,
    )
    .await?;
    run.rejects("the reject", run.other, &key, &rejected)
        .await?;
    for (step, older) in [
        ("the put of an older one", run.token("the older", 4, 4)),
        (
            "the put of one that was requested earlier and expires with it",
            run.token("requested earlier", 5, 4),
        ),
        (
            "the put of one that was requested with it and expires earlier",
            run.token("expires earlier", 4, 5),
        ),
    ] {
        run.puts(step, run.one, &key, &older, Put::Rejected).await?;
        run.loads("the load after it", run.other, &key, None)
            .await?;
    }
    Ok(())
}

async fn a_rejected_token_is_known_by_its_text(run: &Run<'_>) -> Checked {
    // Two mints in one second can bring the same text.
    let (key, rejected, again) = (
        run.key()?,
        run.token("a token", 0, 0),
        run.token("a token", 1, 1),
    );
    run.puts(
        "the put with later times",
        run.one,
        &key,
        &again,
        Put::Stored,
    )
    .await?;
    run.rejects("the reject with earlier times", run.other, &key, &rejected)
        .await?;
    run.loads("the load after it", run.one, &key, None).await?;
    run.puts(
        "the second put with later times",
        run.one,
        &key,
        &again,
        Put::Rejected,
    )
    .await?;
    run.loads("the load after that", run.one, &key, None).await
}

async fn what_is_later_than_a_rejected_token_is_stored(run: &Run<'_>) -> Checked {
    let rejected = run.token("the rejected", 5, 5);
    for (customer, step, later) in [
        (1, "the put of a newer one", run.token("the newer", 6, 6)),
        (
            2,
            "the put of one that was requested later and expires earlier",
            run.token("to live shorter", 4, 6),
        ),
        (
            3,
            "the put of one that was requested with it and expires later",
            run.token("to live longer", 6, 5),
        ),
    ] {
        let key = run.key_of("contract", customer)?;
        run.puts(
            "the put of the rejected",
            run.one,
            &key,
            &rejected,
            Put::Stored,
        )
        .await?;
        run.rejects("the reject", run.other, &key, &rejected)
            .await?;
        run.puts(step, run.one, &key, &later, Put::Stored).await?;
        run.loads("the load after it", run.other, &key, Some(&later))
            .await?;
    }
    Ok(())
}

async fn an_earlier_rejection_is_not_forgotten_for_a_later_one(run: &Run<'_>) -> Checked {
    let (key, older, newer, shorter) = (
        run.key()?,
        run.token("the older", 4, 4),
        run.token("the newer", 5, 5),
        run.token("to live shorter", 3, 6),
    );
    for (step, rejected) in [
        ("the reject of the newer", &newer),
        ("the reject of the older", &older),
        ("the reject of one that was requested later", &shorter),
    ] {
        run.puts(
            "the put ahead of the reject",
            run.one,
            &key,
            rejected,
            // The older one falls with the newer.
            if rejected == &older {
                Put::Rejected
            } else {
                Put::Stored
            },
        )
        .await?;
        run.rejects(step, run.other, &key, rejected).await?;
    }
    for (step, rejected) in [
        ("the put of the newer", &newer),
        ("the put of the older", &older),
        ("the put of the one that was requested later", &shorter),
    ] {
        run.puts(step, run.one, &key, rejected, Put::Rejected)
            .await?;
    }
    run.loads("the load after them", run.other, &key, None)
        .await
}

async fn a_rejection_concerns_one_key(run: &Run<'_>) -> Checked {
    let (keys, token) = (run.different_keys()?, run.token("a token", 0, 0));
    let Some((rejected, others)) = keys.split_first() else {
        return Ok(());
    };
    let (before, after) = others.split_at(others.len() / 2);
    for key in before {
        run.puts(
            "a put ahead of the reject",
            run.one,
            key,
            &token,
            Put::Stored,
        )
        .await?;
    }
    run.puts("a put of the key", run.one, rejected, &token, Put::Stored)
        .await?;
    run.rejects("the reject", run.one, rejected, &token).await?;
    for key in after {
        run.puts(
            "a put under another key after the reject",
            run.one,
            key,
            &token,
            Put::Stored,
        )
        .await?;
    }
    for key in others {
        run.loads("a load of another key", run.other, key, Some(&token))
            .await?;
    }
    Ok(())
}

async fn a_rejection_lasts_until_the_token_would_have_expired(run: &Run<'_>) -> Checked {
    let (key, short, long) = (
        run.key()?,
        run.short_lived("expires soon"),
        run.token("expires late", 0, 1),
    );
    run.puts("the put", run.one, &key, &long, Put::Stored)
        .await?;
    run.rejects("the reject of one that expires late", run.one, &key, &long)
        .await?;
    // The note of this one must not cut short the note of the other.
    run.rejects("the reject of one that expires soon", run.one, &key, &short)
        .await?;
    run.outlive_a_moment().await;
    run.puts(
        "the put after a while",
        run.other,
        &key,
        &long,
        Put::Rejected,
    )
    .await?;
    run.loads("the load after it", run.other, &key, None).await
}

async fn a_lease_is_held_by_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.acquires("the first lease", run.one, &key, HOUR).await?;
    run.finds_it_held("the lease by the other process", run.other, &key)
        .await?;
    run.finds_it_held("the lease by the same process again", run.one, &key)
        .await
}

async fn leases_of_other_keys_are_free(run: &Run<'_>) -> Checked {
    let keys = run.different_keys()?;
    for key in &keys {
        run.acquires("the lease of a key of its own", run.one, key, HOUR)
            .await?;
    }
    for key in &keys {
        run.finds_it_held("the second lease of each", run.other, key)
            .await?;
    }
    Ok(())
}

async fn a_lease_runs_out_by_itself(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.acquires("the first lease", run.one, &key, run.subject.moment())
        .await?;
    run.outlive_a_moment().await;
    run.acquires("the lease after its time", run.other, &key, HOUR)
        .await?;
    run.finds_it_held("the lease after that", run.one, &key)
        .await
}

async fn a_lease_that_is_given_back_is_free(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let owner = run.acquires("the first lease", run.one, &key, HOUR).await?;
    run.releases("its release", run.one, &key, owner).await?;
    run.acquires("the lease after the release", run.other, &key, HOUR)
        .await?;
    Ok(())
}

async fn a_lease_is_not_given_back_by_anybody_else(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let owner = run.acquires("the first lease", run.one, &key, HOUR).await?;
    let (high, low) = (owner.get() ^ (1 << 127), owner.get() ^ 1);
    for stranger in [
        LeaseOwner::random(),
        LeaseOwner::new(high),
        LeaseOwner::new(low),
    ] {
        for store in [run.other, run.one] {
            run.releases("the release by a stranger", store, &key, stranger)
                .await?;
            run.finds_it_held("the lease after it", store, &key).await?;
        }
    }
    Ok(())
}

async fn a_lease_that_ran_out_does_not_give_back_the_next_one(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    let late = run
        .acquires("the first lease", run.one, &key, run.subject.moment())
        .await?;
    run.outlive_a_moment().await;
    let owner = run
        .acquires("the lease after its time", run.other, &key, HOUR)
        .await?;
    run.releases("the late release of the first", run.one, &key, late)
        .await?;
    run.finds_it_held("the lease after it", run.one, &key)
        .await?;
    run.releases("the release of the second", run.other, &key, owner)
        .await
}

async fn no_two_leases_have_the_same_owner(run: &Run<'_>) -> Checked {
    let mut owners = HashSet::new();
    for customer in 1..=16 {
        for (store_hash, store) in [("contract", run.one), ("another", run.other)] {
            let key = run.key_of(store_hash, customer)?;
            let owner = run.acquires("a lease", store, &key, HOUR).await?;
            run.holds(
                "the owners of 32 leases",
                "32 different ones",
                "the same one twice",
                owners.insert(owner),
            )?;
        }
    }
    Ok(())
}

async fn what_is_not_there_can_be_given_back(run: &Run<'_>) -> Checked {
    let key = run.key()?;
    run.releases(
        "the release of a lease that nobody has",
        run.one,
        &key,
        LeaseOwner::random(),
    )
    .await?;
    let owner = run.acquires("a lease", run.one, &key, HOUR).await?;
    for step in ["its release", "its second release"] {
        run.releases(step, run.one, &key, owner).await?;
    }
    Ok(())
}

async fn tokens_and_leases_do_not_touch_each_other(run: &Run<'_>) -> Checked {
    let (key, old, new) = (
        run.key()?,
        run.token("the old", 0, 0),
        run.token("the new", 1, 1),
    );
    let owner = run.acquires("the lease", run.one, &key, HOUR).await?;
    run.loads("a load during the lease", run.other, &key, None)
        .await?;
    run.puts("a put during the lease", run.one, &key, &old, Put::Stored)
        .await?;
    run.finds_it_held("the lease after a put", run.other, &key)
        .await?;
    run.rejects("a reject during the lease", run.other, &key, &old)
        .await?;
    run.finds_it_held("the lease after a reject", run.other, &key)
        .await?;
    // A rejection does not stand in the way of a lease, nor a lease in that of a put by somebody else.
    run.puts(
        "a put by a process that has no lease",
        run.other,
        &key,
        &new,
        Put::Stored,
    )
    .await?;
    run.releases("the release", run.one, &key, owner).await?;
    run.loads("the load after the release", run.other, &key, Some(&new))
        .await?;
    run.acquires("the lease while a token is there", run.other, &key, HOUR)
        .await?;
    run.loads("the load while there is a lease", run.one, &key, Some(&new))
        .await
}

async fn of_many_who_ask_at_once_one_gets_the_lease(run: &Run<'_>) -> Checked {
    const STEP: &str = "16 leases at once";
    let key = run.key()?;
    let asked = (0..8).flat_map(|_| [run.one, run.other].map(|store| store.lease(&key, HOUR)));
    let mut acquired = 0_u32;
    for lease in join_all(asked).await {
        if let Lease::Acquired(_) = run.answer(STEP, lease)? {
            acquired += 1;
        }
    }
    run.same(
        STEP,
        "1 that is Acquired".to_owned(),
        format!("{acquired} that is Acquired"),
    )
}

async fn of_many_that_are_put_at_once_the_newest_stays(run: &Run<'_>) -> Checked {
    const STEP: &str = "16 puts at once";
    let key = run.key()?;
    // In a mixed order, with the newest in the middle.
    let tokens: Vec<_> = (0..16)
        .map(|n| (n * 7 + 7) % 16)
        .map(|age| run.token(&format!("token {age}"), age, age))
        .collect();
    let newest = run.token("token 15", 15, 15);
    let put = tokens
        .iter()
        .zip([run.one, run.other].into_iter().cycle())
        .map(|(token, store)| store.put_if_newer(&key, token));
    for (put, token) in join_all(put).await.into_iter().zip(&tokens) {
        match run.answer(STEP, put)? {
            Put::Stored => {}
            Put::NewerIsThere if *token != newest => {}
            put @ (Put::NewerIsThere | Put::Rejected) => {
                return Err(run.violation(
                    STEP,
                    "Stored or, of an older one, NewerIsThere",
                    format!("{put:?}"),
                ));
            }
        }
    }
    for store in [run.one, run.other] {
        run.loads("the load after 16 puts at once", store, &key, Some(&newest))
            .await?;
    }
    Ok(())
}

async fn a_token_that_is_put_and_rejected_at_once_does_not_stay(run: &Run<'_>) -> Checked {
    let token = run.token("a token", 0, 0);
    for customer in 1..=8 {
        let key = run.key_of("contract", customer)?;
        let put = async {
            let put = run.one.put_if_newer(&key, &token).await;
            run.answer("a put", put).map(drop)
        };
        let reject = run.rejects("a reject", run.other, &key, &token);
        // Both ways around: whichever is done first, the token is gone when both are done.
        let both: [PassChecked<'_>; 2] = if customer % 2 == 0 {
            [Box::pin(put), Box::pin(reject)]
        } else {
            [Box::pin(reject), Box::pin(put)]
        };
        for done in join_all(both).await {
            done?;
        }
        run.loads("the load after both", run.one, &key, None)
            .await?;
    }
    Ok(())
}

type PassChecked<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

async fn a_fingerprint_is_the_same_in_each_process(run: &Run<'_>) -> Checked {
    for token in ["", "a", "a customer access token", "t\u{f6}ken"] {
        let token = Secret::from(token);
        let fingerprint = run.one.fingerprint(&token);
        for (step, store) in [
            ("the fingerprint once more", run.one),
            ("the fingerprint in the other process", run.other),
        ] {
            run.same(step, fingerprint, store.fingerprint(&token))?;
        }
    }
    Ok(())
}

async fn fingerprints_of_different_tokens_differ(run: &Run<'_>) -> Checked {
    let mut tokens = vec![
        String::new(),
        "a".to_owned(),
        "A".to_owned(),
        "a ".to_owned(),
    ];
    // Different at the start, at the end, in length, and in order.
    for n in 0..64 {
        tokens.push(format!(
            "{n:02} is how it starts, and then come the same bytes"
        ));
        tokens.push(format!(
            "the same bytes come first, and it ends with {n:02}"
        ));
        tokens.push("x".repeat(n + 2));
    }
    tokens.push("the same letters".to_owned());
    tokens.push("same the letters".to_owned());
    let mut fingerprints = HashSet::new();
    for token in tokens {
        run.holds(
            "the fingerprints of different tokens",
            "different ones",
            "the same one twice",
            fingerprints.insert(run.one.fingerprint(&Secret::from(token))),
        )?;
    }
    Ok(())
}

async fn a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key(run: &Run<'_>) -> Checked {
    for token in [
        "8 bytes!",
        "12345678",
        "01234567",
        "a customer access token",
    ] {
        let mut guesses = Vec::new();
        if let Ok(bytes) = <[u8; 8]>::try_from(token.as_bytes()) {
            guesses.extend([u64::from_be_bytes(bytes), u64::from_le_bytes(bytes)]);
        }
        guesses.extend(token.parse::<u64>());
        guesses.extend(u64::from_str_radix(token, 16));
        // What is found without any secret: std's hash, with its keys of zero, of the text and of its bytes.
        for with_end in [false, true] {
            let mut hasher = DefaultHasher::new();
            if with_end {
                token.hash(&mut hasher);
            } else {
                hasher.write(token.as_bytes());
            }
            guesses.push(hasher.finish());
        }
        let fingerprint = run.one.fingerprint(&Secret::from(token)).get();
        run.holds(
            "a fingerprint",
            "one that takes a secret to find",
            "the bytes of the token, its number, or its hash without a key",
            !guesses.contains(&fingerprint),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        hash::{BuildHasher as _, RandomState},
        sync::{Mutex, MutexGuard},
        time::Instant,
    };

    use super::{super::MemoryTokenStore, super::tests::Manual, *};
    use crate::Clock;

    /// What is wrong with a [`Model`].
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fault {
        None,
        // Loading.
        KeepsTokensForItself,
        RoundsTimesToSeconds,
        TrimsSecrets,
        CutsSecretsOff,
        ReadsJsonWords,
        ShowsTokens,
        ShowsBytes,
        // Keys.
        IgnoresTheStore,
        IgnoresTheCustomer,
        IgnoresTheChannel,
        IgnoresTheFingerprint,
        IgnoresCase,
        JoinsKeysWithColons,
        JoinsKeysWithNothing,
        // Putting.
        Overwrites,
        ComparesExpiryAlone,
        ComparesRequestsFirst,
        SaysStoredOfTheOlder,
        KeepsTheFirst,
        TakesTheSameForNewer,
        // Expiry.
        KeepsWhatCameExpired,
        DropsTheNewerForTheExpired,
        ForgetsExpiry,
        KeepsTheFirstExpiry,
        // Rejecting.
        NotesWithoutRemoving,
        RemovesOnlyTheSameText,
        RemovesWhateverIsThere,
        RemovesByExpiryAlone,
        ForgetsRejections,
        NotesOnlyWhatWasThere,
        NotesTextAlone,
        NotesTimesAlone,
        RefusesForGood,
        RefusesByExpiryAlone,
        NotesTheLastAlone,
        RejectsForAllKeys,
        NotesForAMoment,
        CutsNotesShort,
        // Leasing.
        LeasesTwiceToAProcess,
        LeasesInEachProcess,
        LeasesOneKeyAtATime,
        LeasesForEver,
        IgnoresReleases,
        ReleasesForAnybody,
        ReleasesForHalfTheNumber,
        ReleasesForFormerOwners,
        CountsOwners,
        WantsSomethingToRelease,
        EndsLeasesWithPuts,
        EndsLeasesWithRejections,
        DropsTokensWithReleases,
        RefusesPutsOfOthers,
        // All at once.
        LeasesInTwoSteps,
        PutsInTwoSteps,
        RejectsInTwoSteps,
        // Fingerprints.
        FingerprintsByProcess,
        FingerprintsTheStart,
        FingerprintsTheLength,
        FingerprintsAsBytes,
        FingerprintsWithoutAKey,
        // Errors.
        FailsToLease,
    }

    /// A plain store, written without a look at [`MemoryTokenStore`], with something wrong.
    struct Model {
        fault: Fault,
        process: usize,
        clock: Arc<Manual>,
        moment: Duration,
        fleet: [RandomState; 2],
        state: Arc<Mutex<State>>,
    }

    #[derive(Debug, Default)]
    struct State {
        tokens: HashMap<String, Kept>,
        rejected: HashMap<String, Vec<(StoredToken, SystemTime)>>,
        leases: HashMap<String, Leased>,
        former: HashSet<(String, LeaseOwner)>,
        owners: [u128; 2],
    }

    #[derive(Debug, Clone)]
    struct Kept {
        token: StoredToken,
        until: SystemTime,
    }

    #[derive(Debug)]
    struct Leased {
        owner: LeaseOwner,
        process: usize,
        until: Instant,
    }

    /// Lets everybody else have a turn.
    async fn a_turn_of_others() {
        tokio::task::yield_now().await;
    }

    impl Model {
        fn is(&self, fault: Fault) -> bool {
            self.fault == fault
        }

        fn state(&self) -> MutexGuard<'_, State> {
            self.state.lock().unwrap()
        }

        fn token_key(&self, key: &StoreKey) -> String {
            let (mut store, mut customer) = (key.store_hash.to_string(), key.customer.to_string());
            let mut channel = key.channel.map(|id| id.to_string());
            let mut cat = key.customer_access_token.map(|cat| cat.get().to_string());
            match self.fault {
                Fault::IgnoresTheStore => store.clear(),
                Fault::IgnoresTheCustomer => customer.clear(),
                Fault::IgnoresTheChannel => channel = None,
                Fault::IgnoresTheFingerprint => cat = None,
                Fault::IgnoresCase => store.make_ascii_lowercase(),
                Fault::JoinsKeysWithColons => {
                    let parts: Vec<_> = [Some(store), Some(customer), channel, cat]
                        .into_iter()
                        .flatten()
                        .collect();
                    return parts.join(":");
                }
                Fault::JoinsKeysWithNothing => {
                    let channel = channel.map(|id| format!("c{id}")).unwrap_or_default();
                    return format!("{store}{customer}{channel}cat{cat:?}");
                }
                _ => {}
            }
            let own = self.is(Fault::KeepsTokensForItself).then_some(self.process);
            format!("{:?}", (store, customer, channel, cat, own))
        }

        fn lease_key(&self, key: &StoreKey) -> String {
            match self.fault {
                Fault::LeasesOneKeyAtATime => String::new(),
                Fault::LeasesInEachProcess => format!("{} {}", self.process, key.to_text()),
                _ => key.to_text(),
            }
        }

        fn written(&self, token: &StoredToken) -> StoredToken {
            let text = token.secret().expose_secret();
            let whole = |time: SystemTime| {
                let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
                SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
            };
            let (expires_at, requested_at) = (token.expires_at(), token.requested_at());
            match self.fault {
                Fault::TrimsSecrets => StoredToken::new(text.trim(), expires_at, requested_at),
                Fault::CutsSecretsOff => {
                    let text: String = text.chars().take(8192).collect();
                    StoredToken::new(text, expires_at, requested_at)
                }
                Fault::ReadsJsonWords if text == "null" => {
                    StoredToken::new("", expires_at, requested_at)
                }
                Fault::RoundsTimesToSeconds => {
                    StoredToken::new(text, whole(expires_at), whole(requested_at))
                }
                _ => token.clone(),
            }
        }

        fn there(&self, key: &StoreKey) -> Option<Kept> {
            let now = self.clock.now();
            let kept = self.state().tokens.get(&self.token_key(key)).cloned();
            kept.filter(|kept| kept.until > now)
        }

        fn is_rejected(&self, key: &StoreKey, token: &StoredToken) -> bool {
            let now = self.clock.now();
            let all = self.is(Fault::RejectsForAllKeys);
            let state = self.state();
            state
                .rejected
                .iter()
                .filter(|(of, _)| all || **of == key.to_text())
                .flat_map(|(_, rejected)| rejected)
                .filter(|(_, until)| *until > now)
                .any(|(rejected, _)| match self.fault {
                    Fault::NotesTextAlone => token.secret() == rejected.secret(),
                    Fault::NotesTimesAlone => {
                        token.expires_at() <= rejected.expires_at()
                            && token.requested_at() <= rejected.requested_at()
                    }
                    Fault::RefusesForGood => true,
                    Fault::RefusesByExpiryAlone => {
                        token.expires_at() <= rejected.expires_at()
                            || token.secret() == rejected.secret()
                    }
                    _ => token.falls_with(rejected),
                })
        }

        async fn put(&self, key: &StoreKey, token: &StoredToken) -> Put {
            let now = self.clock.now();
            if self.is_rejected(key, token) {
                return Put::Rejected;
            }
            if self.is(Fault::RefusesPutsOfOthers) {
                let state = self.state();
                let lease = state.leases.get(&self.lease_key(key));
                if lease.is_some_and(|lease| lease.process != self.process) {
                    return Put::NewerIsThere;
                }
            }
            let there = self.there(key);
            if self.is(Fault::PutsInTwoSteps) {
                a_turn_of_others().await;
            }
            let mut until = token.expires_at();
            if let Some(there) = there {
                let stays = match self.fault {
                    Fault::Overwrites => false,
                    Fault::ComparesExpiryAlone => there.token.expires_at() > token.expires_at(),
                    Fault::ComparesRequestsFirst => {
                        there.token.requested_at() > token.requested_at()
                    }
                    Fault::KeepsTheFirst => there.token != *token,
                    Fault::TakesTheSameForNewer => !token.is_newer_than(&there.token),
                    Fault::DropsTheNewerForTheExpired => {
                        !token.is_expired_at(now) && there.token.is_newer_than(token)
                    }
                    _ => there.token.is_newer_than(token),
                };
                if stays {
                    return match self.fault {
                        Fault::SaysStoredOfTheOlder => Put::Stored,
                        _ => Put::NewerIsThere,
                    };
                }
                if self.is(Fault::KeepsTheFirstExpiry) {
                    until = there.until;
                }
            }
            if token.is_expired_at(now) {
                if self.is(Fault::KeepsWhatCameExpired) {
                    until = now + HOUR;
                }
            } else if self.is(Fault::ForgetsExpiry) {
                until = now + 1000 * HOUR;
            }
            let token = self.written(token);
            let mut state = self.state();
            state
                .tokens
                .insert(self.token_key(key), Kept { token, until });
            if self.is(Fault::EndsLeasesWithPuts) {
                state.leases.remove(&self.lease_key(key));
            }
            Put::Stored
        }

        async fn take_away(&self, key: &StoreKey, token: &StoredToken) {
            let now = self.clock.now();
            let there = self.there(key);
            let falls = there.as_ref().is_some_and(|there| match self.fault {
                Fault::NotesWithoutRemoving => false,
                Fault::RemovesOnlyTheSameText => there.token.secret() == token.secret(),
                Fault::RemovesWhateverIsThere => true,
                Fault::RemovesByExpiryAlone => {
                    there.token.expires_at() <= token.expires_at()
                        || there.token.secret() == token.secret()
                }
                _ => there.token.falls_with(token),
            });
            if falls {
                self.state().tokens.remove(&self.token_key(key));
            }
            if self.is(Fault::RejectsInTwoSteps) {
                a_turn_of_others().await;
            }
            let until = match self.fault {
                Fault::NotesForAMoment => now + self.moment,
                _ => token.expires_at(),
            };
            let mut state = self.state();
            let rejected = state.rejected.entry(key.to_text()).or_default();
            if self.is(Fault::NotesTheLastAlone) {
                rejected.clear();
            }
            if self.is(Fault::CutsNotesShort) {
                for (_, of_another) in &mut *rejected {
                    *of_another = until.min(*of_another);
                }
            }
            let forgets = self.is(Fault::ForgetsRejections)
                || (self.is(Fault::NotesOnlyWhatWasThere) && there.is_none());
            if !forgets {
                rejected.push((token.clone(), until));
            }
            if self.is(Fault::EndsLeasesWithRejections) {
                state.leases.remove(&self.lease_key(key));
            }
        }

        async fn ask(&self, key: &StoreKey, length: Duration) -> Lease {
            let (now, key) = (self.clock.instant(), self.lease_key(key));
            let held = self
                .state()
                .leases
                .get(&key)
                .filter(|lease| lease.until > now || self.is(Fault::LeasesForEver))
                .is_some_and(|lease| {
                    !(self.is(Fault::LeasesTwiceToAProcess) && lease.process == self.process)
                });
            if held {
                return Lease::Held;
            }
            if self.is(Fault::LeasesInTwoSteps) {
                a_turn_of_others().await;
            }
            let mut state = self.state();
            let mut owner = LeaseOwner::random();
            if self.is(Fault::CountsOwners) {
                let count = &mut state.owners[self.process];
                *count += 1;
                owner = LeaseOwner::new(*count);
            }
            state.former.insert((key.clone(), owner));
            state.leases.insert(
                key,
                Leased {
                    owner,
                    process: self.process,
                    until: now + length,
                },
            );
            Lease::Acquired(owner)
        }

        fn give_back(&self, key: &StoreKey, owner: LeaseOwner) -> Result<(), StoreError> {
            let token_key = self.token_key(key);
            let key = self.lease_key(key);
            let mut state = self.state();
            if self.is(Fault::DropsTokensWithReleases) {
                state.tokens.remove(&token_key);
            }
            let Some(lease) = state.leases.get(&key) else {
                return if self.is(Fault::WantsSomethingToRelease) {
                    Err(StoreError::new("nothing is there"))
                } else {
                    Ok(())
                };
            };
            let may = match self.fault {
                Fault::IgnoresReleases => false,
                Fault::ReleasesForAnybody => true,
                Fault::ReleasesForHalfTheNumber => (lease.owner.get() ^ owner.get()) << 64 == 0,
                Fault::ReleasesForFormerOwners => state.former.contains(&(key.clone(), owner)),
                _ => lease.owner == owner,
            };
            if may {
                state.leases.remove(&key);
            }
            Ok(())
        }
    }

    impl TokenStore for Model {
        fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<StoredToken>> {
            Box::pin(async move { Ok(self.there(key).map(|kept| kept.token)) })
        }

        fn put_if_newer<'a>(
            &'a self,
            key: &'a StoreKey,
            token: &'a StoredToken,
        ) -> StoreFuture<'a, Put> {
            Box::pin(async move { Ok(self.put(key, token).await) })
        }

        fn reject<'a>(&'a self, key: &'a StoreKey, token: &'a StoredToken) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                self.take_away(key, token).await;
                Ok(())
            })
        }

        fn lease<'a>(&'a self, key: &'a StoreKey, length: Duration) -> StoreFuture<'a, Lease> {
            Box::pin(async move {
                if self.is(Fault::FailsToLease) {
                    return Err(StoreError::new("out of order").with_source("a broken wire"));
                }
                Ok(self.ask(key, length).await)
            })
        }

        fn release<'a>(&'a self, key: &'a StoreKey, owner: LeaseOwner) -> StoreFuture<'a, ()> {
            Box::pin(async move { self.give_back(key, owner) })
        }

        fn fingerprint(&self, customer_access_token: &Secret) -> Fingerprint {
            let text = customer_access_token.expose_secret();
            let [fleet, own] = &self.fleet;
            let bytes = <[u8; 8]>::try_from(text.as_bytes());
            Fingerprint::new(match (self.fault, bytes) {
                (Fault::FingerprintsByProcess, _) => own.hash_one(text),
                (Fault::FingerprintsTheStart, _) => fleet.hash_one(text.get(..8).unwrap_or(text)),
                (Fault::FingerprintsTheLength, _) => fleet.hash_one(text.len()),
                (Fault::FingerprintsAsBytes, Ok(bytes)) => u64::from_le_bytes(bytes),
                (Fault::FingerprintsWithoutAKey, _) => {
                    let mut hasher = DefaultHasher::new();
                    text.hash(&mut hasher);
                    hasher.finish()
                }
                _ => fleet.hash_one(text),
            })
        }
    }

    impl fmt::Debug for Model {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let mut shown = f.debug_struct("Model");
            for kept in self.state().tokens.values() {
                let text = kept.token.secret().expose_secret();
                match self.fault {
                    Fault::ShowsTokens => shown.field("token", &text),
                    Fault::ShowsBytes => shown.field("token", &text.as_bytes()),
                    _ => shown.field("token", &kept.token),
                };
            }
            shown.finish_non_exhaustive()
        }
    }

    /// Stores that are made with a fault, on a clock that stands still.
    struct Models {
        fault: Fault,
        clock: Arc<Manual>,
    }

    impl Models {
        fn with(fault: Fault) -> Self {
            Self {
                fault,
                clock: Arc::new(clock()),
            }
        }

        fn model(&self, process: usize, fleet: &RandomState, state: &Arc<Mutex<State>>) -> Model {
            Model {
                fault: self.fault,
                process,
                clock: Arc::clone(&self.clock),
                moment: self.moment(),
                fleet: [fleet.clone(), RandomState::new()],
                state: Arc::clone(state),
            }
        }
    }

    /// A moment that is no whole number of anything.
    fn clock() -> Manual {
        Manual::at(SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_689_123_456_789))
    }

    impl Subject for Models {
        fn processes(&self) -> StoreFuture<'_, Processes> {
            let (fleet, state) = (RandomState::new(), Arc::default());
            let [one, other] = [0, 1].map(|process| self.model(process, &fleet, &state));
            Box::pin(async { Ok(Processes::new(one, other)) })
        }

        fn pass(&self, time: Duration) -> PassFuture<'_> {
            Box::pin(async move { self.clock.pass(time) })
        }

        fn now(&self) -> SystemTime {
            self.clock.now()
        }
    }

    struct InMemory(Arc<Manual>);

    impl Subject for InMemory {
        fn processes(&self) -> StoreFuture<'_, Processes> {
            let store = MemoryTokenStore::with_clock(1000, Arc::clone(&self.0) as Arc<dyn Clock>);
            Box::pin(async { Ok(Processes::new(store.clone(), store)) })
        }

        fn pass(&self, time: Duration) -> PassFuture<'_> {
            Box::pin(async move { self.0.pass(time) })
        }

        fn now(&self) -> SystemTime {
            self.0.now()
        }
    }

    async fn violated(subject: &dyn Subject) -> Vec<Violation> {
        let mut violations = Vec::new();
        for case in CASES {
            violations.extend(case.check(subject).await.err());
        }
        violations
    }

    #[tokio::test]
    async fn the_store_in_memory_keeps_the_contract() {
        check_all(&InMemory(Arc::new(clock()))).await.unwrap();
    }

    #[tokio::test]
    async fn so_does_the_model_without_a_fault() {
        check_all(&Models::with(Fault::None)).await.unwrap();
    }

    #[tokio::test]
    async fn it_can_be_kept_at_the_beginning_of_time() {
        let clock = Arc::new(Manual::at(SystemTime::UNIX_EPOCH));
        check_all(&InMemory(clock)).await.unwrap();
    }

    #[tokio::test]
    async fn ten_moments_pass_in_all_cases_together() {
        let subject = Models::with(Fault::None);
        let before = subject.now();
        check_all(&subject).await.unwrap();
        assert_eq!(
            subject.now().duration_since(before).unwrap(),
            10 * subject.moment()
        );
    }

    #[test]
    fn each_case_has_a_name_of_its_own() {
        let names: HashSet<_> = CASES.iter().map(Case::name).collect();
        assert_eq!(names.len(), CASES.len());
        assert_eq!(
            format!("{:?}", CASES[0]),
            r#"Case("a_token_that_was_put_is_loaded_by_another_process")"#
        );
    }

    #[test]
    fn a_check_can_be_spawned() {
        fn is_send<T: Send>(_: &T) {}
        is_send(&check_all(&Models::with(Fault::None)));
    }

    /// All cases that find a fault, in their order. "and more" follows on the first one where a fault spoils what half of the
    /// cases rest on.
    const FAULTS: &[(Fault, &[&str])] = &[
        (
            Fault::KeepsTokensForItself,
            &[
                "a_token_that_was_put_is_loaded_by_another_process",
                "and more",
            ],
        ),
        (
            Fault::RoundsTimesToSeconds,
            &["times_come_back_to_the_millisecond"],
        ),
        (Fault::TrimsSecrets, &["secrets_come_back_byte_for_byte"]),
        (Fault::CutsSecretsOff, &["secrets_come_back_byte_for_byte"]),
        (Fault::ReadsJsonWords, &["secrets_come_back_byte_for_byte"]),
        (
            Fault::ShowsTokens,
            &["a_store_shows_no_secret_in_its_debug"],
        ),
        (Fault::ShowsBytes, &["a_store_shows_no_secret_in_its_debug"]),
        (
            Fault::IgnoresTheStore,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "keys_that_look_alike_are_told_apart",
                "a_rejection_concerns_one_key",
            ],
        ),
        (
            Fault::IgnoresTheCustomer,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "a_late_rejection_leaves_a_newer_token",
                "what_is_later_than_a_rejected_token_is_stored",
                "a_rejection_concerns_one_key",
            ],
        ),
        (
            Fault::IgnoresTheChannel,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "keys_that_look_alike_are_told_apart",
            ],
        ),
        (
            Fault::IgnoresTheFingerprint,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "keys_that_look_alike_are_told_apart",
            ],
        ),
        (
            Fault::IgnoresCase,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "a_rejection_concerns_one_key",
            ],
        ),
        (
            Fault::JoinsKeysWithColons,
            &[
                "tokens_of_other_keys_are_not_loaded",
                "keys_that_look_alike_are_told_apart",
            ],
        ),
        (
            Fault::JoinsKeysWithNothing,
            &["keys_that_look_alike_are_told_apart"],
        ),
        (
            Fault::Overwrites,
            &[
                "an_older_token_does_not_displace_a_newer_one",
                "a_token_that_has_expired_is_not_loaded",
                "of_many_that_are_put_at_once_the_newest_stays",
            ],
        ),
        (
            Fault::ComparesExpiryAlone,
            &["an_older_token_does_not_displace_a_newer_one"],
        ),
        (
            Fault::ComparesRequestsFirst,
            &[
                "an_older_token_does_not_displace_a_newer_one",
                "a_newer_token_takes_the_place_of_an_older_one",
                "a_token_that_has_expired_is_not_loaded",
            ],
        ),
        (
            Fault::SaysStoredOfTheOlder,
            &["an_older_token_does_not_displace_a_newer_one"],
        ),
        (
            Fault::KeepsTheFirst,
            &[
                "a_newer_token_takes_the_place_of_an_older_one",
                "a_newer_token_brings_its_own_expiry",
                "of_many_that_are_put_at_once_the_newest_stays",
            ],
        ),
        (
            Fault::TakesTheSameForNewer,
            &["the_same_token_can_be_put_again"],
        ),
        (
            Fault::KeepsWhatCameExpired,
            &["a_token_that_has_expired_is_not_loaded"],
        ),
        (
            Fault::DropsTheNewerForTheExpired,
            &["a_token_that_has_expired_is_not_loaded"],
        ),
        (Fault::ForgetsExpiry, &["a_token_expires_by_itself"]),
        (
            Fault::KeepsTheFirstExpiry,
            &["a_newer_token_brings_its_own_expiry"],
        ),
        (
            Fault::NotesWithoutRemoving,
            &["a_rejected_token_is_removed", "and more"],
        ),
        (
            Fault::RemovesOnlyTheSameText,
            &["what_is_older_than_a_rejected_token_is_removed"],
        ),
        (
            Fault::RemovesWhateverIsThere,
            &["a_late_rejection_leaves_a_newer_token"],
        ),
        (
            Fault::RemovesByExpiryAlone,
            &["a_late_rejection_leaves_a_newer_token"],
        ),
        (
            Fault::ForgetsRejections,
            &["a_rejected_token_is_not_stored_again", "and more"],
        ),
        (
            Fault::NotesOnlyWhatWasThere,
            &[
                "what_was_never_there_can_be_rejected",
                "a_token_that_is_put_and_rejected_at_once_does_not_stay",
            ],
        ),
        (
            Fault::NotesTextAlone,
            &[
                "what_is_older_than_a_rejected_token_is_not_stored",
                "an_earlier_rejection_is_not_forgotten_for_a_later_one",
            ],
        ),
        (
            Fault::NotesTimesAlone,
            &["a_rejected_token_is_known_by_its_text"],
        ),
        (
            Fault::RefusesForGood,
            &[
                "what_is_later_than_a_rejected_token_is_stored",
                "an_earlier_rejection_is_not_forgotten_for_a_later_one",
                "tokens_and_leases_do_not_touch_each_other",
            ],
        ),
        (
            Fault::RefusesByExpiryAlone,
            &[
                "what_is_later_than_a_rejected_token_is_stored",
                "an_earlier_rejection_is_not_forgotten_for_a_later_one",
            ],
        ),
        (
            Fault::NotesTheLastAlone,
            &[
                "an_earlier_rejection_is_not_forgotten_for_a_later_one",
                "a_rejection_lasts_until_the_token_would_have_expired",
            ],
        ),
        (
            Fault::RejectsForAllKeys,
            &[
                "what_is_later_than_a_rejected_token_is_stored",
                "a_rejection_concerns_one_key",
            ],
        ),
        (
            Fault::NotesForAMoment,
            &["a_rejection_lasts_until_the_token_would_have_expired"],
        ),
        (
            Fault::CutsNotesShort,
            &["a_rejection_lasts_until_the_token_would_have_expired"],
        ),
        (
            Fault::LeasesTwiceToAProcess,
            &[
                "a_lease_is_held_by_one",
                "a_lease_is_not_given_back_by_anybody_else",
                "of_many_who_ask_at_once_one_gets_the_lease",
            ],
        ),
        (
            Fault::LeasesInEachProcess,
            &["a_lease_is_held_by_one", "and more"],
        ),
        (
            Fault::LeasesOneKeyAtATime,
            &[
                "leases_of_other_keys_are_free",
                "no_two_leases_have_the_same_owner",
            ],
        ),
        (
            Fault::LeasesForEver,
            &[
                "a_lease_runs_out_by_itself",
                "a_lease_that_ran_out_does_not_give_back_the_next_one",
            ],
        ),
        (
            Fault::IgnoresReleases,
            &[
                "a_lease_that_is_given_back_is_free",
                "tokens_and_leases_do_not_touch_each_other",
            ],
        ),
        (
            Fault::ReleasesForAnybody,
            &[
                "a_lease_is_not_given_back_by_anybody_else",
                "a_lease_that_ran_out_does_not_give_back_the_next_one",
            ],
        ),
        (
            Fault::ReleasesForHalfTheNumber,
            &["a_lease_is_not_given_back_by_anybody_else"],
        ),
        (
            Fault::ReleasesForFormerOwners,
            &["a_lease_that_ran_out_does_not_give_back_the_next_one"],
        ),
        (
            Fault::CountsOwners,
            &[
                "a_lease_that_ran_out_does_not_give_back_the_next_one",
                "no_two_leases_have_the_same_owner",
            ],
        ),
        (
            Fault::WantsSomethingToRelease,
            &["what_is_not_there_can_be_given_back"],
        ),
        (
            Fault::EndsLeasesWithPuts,
            &["tokens_and_leases_do_not_touch_each_other"],
        ),
        (
            Fault::EndsLeasesWithRejections,
            &["tokens_and_leases_do_not_touch_each_other"],
        ),
        (
            Fault::DropsTokensWithReleases,
            &["tokens_and_leases_do_not_touch_each_other"],
        ),
        (
            Fault::RefusesPutsOfOthers,
            &["tokens_and_leases_do_not_touch_each_other"],
        ),
        (
            Fault::LeasesInTwoSteps,
            &["of_many_who_ask_at_once_one_gets_the_lease"],
        ),
        (
            Fault::PutsInTwoSteps,
            &[
                "of_many_that_are_put_at_once_the_newest_stays",
                "a_token_that_is_put_and_rejected_at_once_does_not_stay",
            ],
        ),
        (
            Fault::RejectsInTwoSteps,
            &["a_token_that_is_put_and_rejected_at_once_does_not_stay"],
        ),
        (
            Fault::FingerprintsByProcess,
            &["a_fingerprint_is_the_same_in_each_process"],
        ),
        (
            Fault::FingerprintsTheStart,
            &["fingerprints_of_different_tokens_differ"],
        ),
        (
            Fault::FingerprintsTheLength,
            &["fingerprints_of_different_tokens_differ"],
        ),
        (
            Fault::FingerprintsAsBytes,
            &["a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key"],
        ),
        (
            Fault::FingerprintsWithoutAKey,
            &["a_fingerprint_is_neither_the_token_nor_a_hash_without_a_key"],
        ),
        (Fault::FailsToLease, &["a_lease_is_held_by_one", "and more"]),
    ];

    #[tokio::test]
    async fn each_fault_is_found_by_its_cases_and_by_no_other() {
        let mut found = HashSet::new();
        for (fault, expected) in FAULTS {
            let violations = violated(&Models::with(*fault)).await;
            let cases: Vec<_> = violations.iter().map(Violation::case).collect();
            match expected {
                [first, "and more"] => {
                    assert_eq!(cases.first(), Some(first), "{fault:?}: {violations:#?}");
                    assert!(cases.len() > 4, "{fault:?}: {violations:#?}");
                    found.insert(*first);
                }
                expected => {
                    assert_eq!(&cases, expected, "{fault:?}: {violations:#?}");
                    found.extend(cases);
                }
            }
            let shown = format!("{violations:?} {violations:#?}");
            assert!(
                !shown.contains("hunter2") && !shown.contains("the token of key"),
                "{shown}"
            );
        }
        for case in CASES {
            assert!(found.contains(case.name()), "no fault for {case:?}");
        }
    }

    #[tokio::test]
    async fn check_all_stops_at_the_first_violation() {
        let violation = check_all(&Models::with(Fault::ForgetsExpiry))
            .await
            .unwrap_err();
        assert_eq!(violation.case(), "a_token_expires_by_itself");
        assert_eq!(violation.step(), "the load after its time");
        assert_eq!(violation.expected(), "no token");
        assert!(
            violation
                .found()
                .starts_with("a token of 7 bytes that expires"),
            "{violation}"
        );
        assert!(violation.source().is_none());
        assert_eq!(
            violation.to_string(),
            format!(
                "a_token_expires_by_itself: the load after its time: expected no token, found {}",
                violation.found()
            )
        );
    }

    #[tokio::test]
    async fn a_violation_says_when_the_right_text_came_with_other_times() {
        let violation = check_all(&Models::with(Fault::RoundsTimesToSeconds))
            .await
            .unwrap_err();
        assert_eq!(
            violation.to_string(),
            "times_come_back_to_the_millisecond: a load of times with milliseconds: \
             expected a token of 7 bytes that expires 3600.001s after the start and was requested 1ms after the start, \
             found its text as a token of 7 bytes that expires 3600s after the start and was requested 0ns after the start"
        );
    }

    #[tokio::test]
    async fn an_error_of_the_store_is_the_source_of_the_violation() {
        let violation = check_all(&Models::with(Fault::FailsToLease))
            .await
            .unwrap_err();
        assert_eq!(
            (violation.expected(), violation.found()),
            ("an answer", "an error")
        );
        let error = violation.source().unwrap();
        assert_eq!(error.to_string(), "the token store failed: out of order");
        assert_eq!(error.source().unwrap().to_string(), "a broken wire");
    }

    #[tokio::test]
    async fn a_subject_that_cannot_make_stores_fails_each_case() {
        struct NoServer;

        impl Subject for NoServer {
            fn processes(&self) -> StoreFuture<'_, Processes> {
                Box::pin(async { Err(StoreError::new("no server")) })
            }

            fn pass(&self, _: Duration) -> PassFuture<'_> {
                Box::pin(async {})
            }
        }

        assert!(NoServer.now() > SystemTime::UNIX_EPOCH);
        let violations = violated(&NoServer).await;
        assert_eq!(violations.len(), CASES.len());
        assert_eq!(
            violations[0].source().unwrap().to_string(),
            "the token store failed: no server"
        );
    }
}
