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

mod cases;
#[cfg(test)]
mod tests;

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

pub use self::cases::CASES;
use super::{
    CustomerEpoch, Fingerprint, Lease, LeaseOwner, Put, StoreError, StoreFuture, StoreKey,
    StoredToken, TokenStore,
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
        let epoch = CustomerEpoch::default();
        self.puts_of(epoch, step, store, key, token, expected).await
    }

    /// A put of a token whose request began in this epoch of the customer.
    async fn puts_of(
        &self,
        epoch: CustomerEpoch,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
        token: &StoredToken,
        expected: Put,
    ) -> Checked {
        let put = self.answer(step, store.put_if_newer(key, token, epoch).await)?;
        self.same(step, expected, put)
    }

    async fn epoch(
        &self,
        step: &'static str,
        store: &dyn TokenStore,
        key: &StoreKey,
    ) -> Result<CustomerEpoch, Violation> {
        self.answer(step, store.epoch(key).await)
    }

    async fn forgets(&self, step: &'static str, store: &dyn TokenStore, key: &StoreKey) -> Checked {
        self.answer(step, store.forget(key).await)
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
