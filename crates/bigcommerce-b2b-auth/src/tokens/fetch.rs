//! What a flight does for a token: look into the shared store, take a lease there, mint, and keep what came.

use std::{
    fmt,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};
use tracing::Span;

use super::{
    Shared, Store,
    entry::{Entry, Life, Unfit, since_1970},
    failures::{Admission, Blame, judge},
    flight::{Urgency, UrgencyWatch},
    forgotten::Epoch,
    key::Key,
    moments::Tick,
    rejections::BETWEEN_FORCED_MINTS,
    store::{Lease, LeaseOwner, StoreError, StoreKey, StoredToken, TokenStore},
};
use crate::{
    CallOptions, ClockReading, CustomerAccessToken, Error, ErrorKind, Priority, bearer,
    call::Effort,
    mint::Mint,
    transport::operations,
    watch::{FetchCause, TokenFetchEvent, TokenSource},
};

/// How long the shared store may take to say what it has.
const STORE_PATIENCE: Duration = Duration::from_millis(100);

/// How much longer a lease lasts than the mint that it is for may take.
const LEASE_MARGIN: Duration = Duration::from_secs(10);

/// A token says in whole seconds when it is over, and nothing else that would change: within one of them the service may well
/// sign the very token again that was refused.
const A_SECOND: Duration = Duration::from_secs(1);

/// What was asked for this short a time ago may be of the same second, however long the request took.
const YOUNG: Duration = Duration::from_secs(5);

/// One fetch of one token.
pub(super) struct Fetch {
    pub(super) shared: Arc<Shared>,
    pub(super) store: Arc<Store>,
    pub(super) key: Key,
    pub(super) customer_access_token: Option<CustomerAccessToken>,
    pub(super) cause: FetchCause,
    /// The token that is to be replaced, where there is one.
    pub(super) old: Option<Arc<Entry>>,
    /// How long a token of the shared store has to be valid to be taken.
    pub(super) valid_for_at_least: Duration,
    pub(super) effort: Arc<Effort>,
    /// The customer's last log-out when the fetch began.
    pub(super) epoch: Epoch,
    pub(super) span: Span,
    /// Held by those in the background, of which there are not many at a time.
    pub(super) slot: Option<BackgroundSlot>,
}

/// A place among those that may run in the background.
pub(super) struct BackgroundSlot(Arc<Shared>);

impl BackgroundSlot {
    /// A place, if there is one.
    pub(super) fn take(shared: &Arc<Shared>) -> Option<Self> {
        let taken = &shared.background;
        let most = shared.settings.background_renewals;
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
                (now < most).then_some(now + 1)
            })
            .ok()?;
        Some(Self(Arc::clone(shared)))
    }
}

impl Drop for BackgroundSlot {
    fn drop(&mut self) {
        self.0.background.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for BackgroundSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackgroundSlot")
    }
}

/// A token, and where it came from.
type Fetched = Result<(Arc<Entry>, TokenSource), Error>;

impl Fetch {
    /// Fetches, and takes note of how that went.
    pub(super) async fn run(mut self, urgency: UrgencyWatch) -> Result<Arc<Entry>, Error> {
        let began = self.shared.clock.instant();
        let fetched = self.fetch(urgency).await;
        self.slot = None;
        let counters = &self.shared.counters;
        match &fetched {
            Ok((_, TokenSource::Minted)) => counters.mints.one(),
            Ok((_, TokenSource::SharedStore)) => counters.from_shared_store.one(),
            Err(error) => {
                counters.fetches_failed.one();
                self.failed(error);
            }
        }
        if self.effort.has_waited() {
            counters.budget_waits.one();
        }
        let failed = fetched.as_ref().err().map(Error::kind);
        if let Some(kind) = failed {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", format_args!("{kind:?}"));
        }
        if let Some(observer) = self.store.client.observer() {
            let now = self.shared.clock.instant();
            observer.on_token_fetch(&TokenFetchEvent {
                store_hash: self.store.client.store_hash().as_str(),
                cause: self.cause,
                latency: now.saturating_duration_since(began),
                source: fetched.as_ref().ok().map(|(_, source)| *source),
                failed,
            });
        }
        fetched.map(|(entry, _)| entry)
    }

    async fn fetch(&self, urgency: UrgencyWatch) -> Fetched {
        let now = self.now();
        if let Some(wait) = self.shared.rejections.forced_mint_in(&self.key, now) {
            return Err(rejected(
                "the customer's token was refused again, and another one is not minted so soon",
                wait,
            ));
        }
        let probe = match self.store.breaker.admit(now) {
            Admission::Free => None,
            Admission::Probe(probe) => Some(probe),
            Admission::Refused(error) => return Err(error),
        };
        let ends_at = Instant::now().checked_add(self.shared.settings.fetch_deadline);
        let fetched = self.fetch_admitted(urgency, ends_at).await;
        if let (Some(_), Err(error)) = (&probe, &fetched)
            && error.attempts() > 0
            && judge(error, true, 0.0).0 == Blame::Customer
        {
            // Whether the store's credentials work is still unknown, and what failed would fail for the next one too.
            let (_, hold) = judge(error, true, self.fraction());
            self.store.breaker.open(error.clone(), self.now(), hold);
        }
        fetched
    }

    async fn fetch_admitted(&self, urgency: UrgencyWatch, ends_at: Option<Instant>) -> Fetched {
        let Some(store) = &self.shared.store else {
            return self.mint(urgency, ends_at).await;
        };
        let place = SharedPlace {
            fetch: self,
            key: self.store.key_in_shared_store(&self.key),
            store,
        };
        let lease = match place.find_or_lease(ends_at).await {
            Found::Token(entry) => return Ok((entry, TokenSource::SharedStore)),
            Found::Lease(lease) => Some(lease),
            Found::Nothing => None,
            Found::TooLate => {
                return Err(self.error(
                    ErrorKind::Timeout,
                    "another process was to fetch the token, and it did not come in time",
                ));
            }
        };
        let minted = self.mint(urgency, ends_at).await;
        if let Ok((entry, _)) = &minted {
            place.put(entry).await;
        }
        if let Some(lease) = lease {
            lease.release().await;
        }
        minted
    }

    /// Mints. A token that is older than one that was refused meanwhile, or that one again, is not taken.
    async fn mint(&self, urgency: UrgencyWatch, ends_at: Option<Instant>) -> Fetched {
        let mut may_be_older = true;
        let mut may_wait = true;
        loop {
            self.check_not_forgotten()?;
            let refused_before = self.shared.rejections.newest(&self.key, self.now());
            let mut entry = self.mint_once(urgency.clone(), ends_at).await?;
            if let Some(moment) = refused_before {
                // A service that answers within a hundredth of a second gives two tokens of one moment.
                entry = entry.begun_after(moment);
            }
            let entry = Arc::new(entry);
            let now = self.now();
            self.store.has_worked.store(true, Ordering::Relaxed);
            self.store.breaker.close();
            self.shared.rejections.minted(&self.key, now);
            if let Some(kept) = self.keep(Arc::clone(&entry))? {
                self.shared
                    .short_lives
                    .minted(self.key, entry.served_for(now), now);
                return Ok((kept, TokenSource::Minted));
            }
            if self.shared.rejections.is_same(&self.key, &entry, now) {
                let is_young = refused_before.is_some_and(|asked_for| {
                    asked_for.plus(YOUNG).is_after(Tick::of(now.monotonic))
                });
                if !may_wait || !is_young {
                    break;
                }
                may_wait = false;
                self.shared.clock.sleep(A_SECOND).await;
            } else if may_be_older {
                // What came had been asked for before the refusal.
                may_be_older = false;
            } else {
                break;
            }
        }
        Err(rejected(
            "the service handed out a token again that had been refused",
            BETWEEN_FORCED_MINTS,
        ))
    }

    async fn mint_once(
        &self,
        mut urgency: UrgencyWatch,
        ends_at: Option<Instant>,
    ) -> Result<Entry, Error> {
        let token = loop {
            let known = urgency.now();
            let left = ends_at.map_or(self.shared.settings.fetch_deadline, |ends_at| {
                ends_at.saturating_duration_since(Instant::now())
            });
            let options = CallOptions::builder()
                .priority(priority(known))
                .deadline(left)
                .build();
            let mint = Mint {
                customer: self.key.customer(),
                channel: self.key.channel(),
                customer_access_token: self.customer_access_token.clone(),
            };
            let effort = Some(Arc::clone(&self.effort));
            let call = pin!(mint.run(&self.store.client, Some(options), effort));
            match select(call, pin!(urgency.more_than(known))).await {
                Either::Left((reply, _)) => break reply?.into_value(),
                // What was sent takes no permit any more; what was not goes back in line, further to the front.
                Either::Right(((), call)) if self.effort.has_sent() => {
                    break call.await?.into_value();
                }
                Either::Right(_) => {}
            }
        };
        Entry::new(&token, self.now(), self.fraction()).map_err(|unfit| {
            let summary = match unfit {
                Unfit::Expired => {
                    "the service handed out a token that is expired, or as good as: check this machine's clock"
                }
                Unfit::NotYetValid => {
                    "the service handed out a token that is not valid yet: check this machine's clock"
                }
            };
            self.error(ErrorKind::UnexpectedReply, summary)
                .with_effort(1, Duration::ZERO)
        })
    }

    /// Puts a token into the cache unless it was rejected. What is there afterwards may be a newer one.
    ///
    /// # Errors
    /// [`ErrorKind::Forgotten`] when the customer logged out since the fetch began: then it is not there, or not any more.
    fn keep(&self, entry: Arc<Entry>) -> Result<Option<Arc<Entry>>, Error> {
        self.check_not_forgotten()?;
        let Some(kept) = self.shared.keep(self.key, Arc::clone(&entry), &self.store) else {
            return Ok(None);
        };
        // A log-out in between did not find the token.
        self.check_not_forgotten().inspect_err(|_| {
            self.shared.cache.remove_up_to(&self.key, &entry);
        })?;
        self.shared.failures.forget(&self.key);
        Ok(Some(kept))
    }

    fn check_not_forgotten(&self) -> Result<(), Error> {
        if self.shared.forgotten.epoch(self.key) == self.epoch {
            return Ok(());
        }
        Err(Error::of_call(
            operations::POST_AUTH_CUSTOMERS_STOREFRONT.id,
            ErrorKind::Forgotten,
            "the customer was forgotten while the token was fetched",
        ))
    }

    /// Remembers a failure, so that it is not repeated at once.
    fn failed(&self, error: &Error) {
        let now = self.now();
        if let Some(old) = &self.old {
            old.renewal_failed(now, self.fraction());
        }
        if error.remembered_for().is_some() {
            return;
        }
        let has_worked = self.store.has_worked.load(Ordering::Relaxed);
        let (blame, hold) = judge(error, has_worked, self.fraction());
        self.store
            .breaker
            .failed(&self.key, error, now, self.fraction());
        match blame {
            Blame::Store => self.store.breaker.open(error.clone(), now, hold),
            Blame::Customer => {
                self.shared
                    .failures
                    .remember(self.key, error.clone(), now, hold);
            }
            Blame::Nobody => {}
        }
    }

    fn now(&self) -> ClockReading {
        self.shared.clock.reading()
    }

    fn fraction(&self) -> f64 {
        self.store.client.jitter().fraction()
    }

    fn error(&self, kind: ErrorKind, summary: &'static str) -> Error {
        Error::of_call(operations::POST_AUTH_CUSTOMERS_STOREFRONT.id, kind, summary).retryable(true)
    }
}

fn rejected(summary: &'static str, wait: Duration) -> Error {
    Error::of_call(
        operations::POST_AUTH_CUSTOMERS_STOREFRONT.id,
        ErrorKind::TokenRejected,
        summary,
    )
    .with_retry_after(Some(wait))
}

fn priority(urgency: Urgency) -> Priority {
    match urgency {
        Urgency::Cold => Priority::Interactive,
        Urgency::Renewal => Priority::Renewal,
        Urgency::Background => Priority::Background,
    }
}

/// The place of one token in the store that the fleet shares.
struct SharedPlace<'f> {
    fetch: &'f Fetch,
    key: StoreKey,
    store: &'f Arc<dyn TokenStore>,
}

/// What the shared store had.
enum Found<'p> {
    Token(Arc<Entry>),
    /// Nothing, and it is ours to fetch.
    Lease(HeldLease<'p>),
    /// It is of no use at the moment: fetch it without.
    Nothing,
    TooLate,
}

impl SharedPlace<'_> {
    /// The token if it is there, or the lease for fetching it. While another process has that, its token is waited for.
    async fn find_or_lease(&self, ends_at: Option<Instant>) -> Found<'_> {
        let shared = &self.fetch.shared;
        if !shared.store_is_up(self.fetch.now()) {
            return Found::Nothing;
        }
        let length = shared.settings.fetch_deadline + LEASE_MARGIN;
        let mut is_leased = None;
        loop {
            match self.patiently(self.store.load(&self.key)).await {
                None => return Found::Nothing,
                Some(stored) => {
                    if let Some(entry) = stored.and_then(|stored| self.adopt(&stored)) {
                        if let Some(lease) = is_leased.take() {
                            HeldLease::release(lease).await;
                        }
                        return Found::Token(entry);
                    }
                }
            }
            // The lease was had before this look: nobody can have put a token in since.
            if let Some(lease) = is_leased {
                return Found::Lease(lease);
            }
            match self.patiently(self.store.lease(&self.key, length)).await {
                None => return Found::Nothing,
                Some(Lease::Acquired(owner)) => {
                    is_leased = Some(HeldLease {
                        place: self,
                        owner: Some(owner),
                    });
                    continue;
                }
                Some(Lease::Held) => {}
            }
            // Not in step with the others who wait.
            let wait = Duration::from_millis(100)
                + Duration::from_millis(150).mul_f64(self.fetch.fraction().clamp(0.0, 1.0));
            if ends_at.is_some_and(|ends_at| ends_at <= Instant::now() + wait) {
                return Found::TooLate;
            }
            shared.clock.sleep(wait).await;
        }
    }

    /// A token of the shared store as one of ours, if it is any better than what we have.
    fn adopt(&self, stored: &StoredToken) -> Option<Arc<Entry>> {
        let fetch = self.fetch;
        let now = fetch.now();
        let header = bearer::header(stored.secret().expose_secret()).ok()?;
        let life = Life {
            requested_at: since_1970(stored.requested_at()),
            expires_at: since_1970(stored.expires_at()),
        };
        let entry = Entry::of_parts(header, life, now, fetch.fraction()).ok()?;
        let is_better = fetch
            .old
            .as_ref()
            .is_none_or(|old| entry.expires_at() > old.expires_at());
        if !is_better
            || entry.is_at_its_end(now)
            || entry.served_for(now) < fetch.valid_for_at_least
        {
            return None;
        }
        // For a customer who was forgotten meanwhile, the mint says so.
        fetch.keep(Arc::new(entry)).ok().flatten()
    }

    async fn put(&self, entry: &Entry) {
        if !self.fetch.shared.store_is_up(self.fetch.now()) {
            return;
        }
        let stored = self.fetch.store.to_shared_store(entry);
        let _ = self
            .patiently(self.store.put_if_newer(&self.key, &stored))
            .await;
    }

    /// The store's answer; `None` when it failed or took too long, after which it is left alone for a while.
    async fn patiently<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
        let why: &dyn fmt::Display = match timeout(STORE_PATIENCE, answer).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => &{ error },
            Err(_) => &"it took too long",
        };
        tracing::warn!(error = %why, "the shared token store is of no use at the moment, and is done without");
        let shared = &self.fetch.shared;
        shared.counters.shared_store_errors.one();
        shared.store_is_down(self.fetch.now(), self.fetch.fraction());
        None
    }
}

/// A lease in the shared store. Dropped without being released, it is released in the background.
struct HeldLease<'p> {
    place: &'p SharedPlace<'p>,
    owner: Option<LeaseOwner>,
}

impl HeldLease<'_> {
    async fn release(mut self) {
        if let Some(owner) = self.owner.take() {
            let place = self.place;
            let _ = place
                .patiently(place.store.release(&place.key, owner))
                .await;
        }
    }
}

impl Drop for HeldLease<'_> {
    fn drop(&mut self) {
        if let Some(owner) = self.owner.take() {
            let store = Arc::clone(self.place.store);
            let key = self.place.key.clone();
            self.place.fetch.shared.chores.begin(async move {
                // Should it fail, the lease runs out by itself.
                let _ = store.release(&key, owner).await;
            });
        }
    }
}

impl Shared {
    /// Whether the shared store is worth being asked.
    fn store_is_up(&self, now: ClockReading) -> bool {
        let down_until = self.store_down_until.load(Ordering::Relaxed);
        down_until == 0 || Tick::from_bits(down_until).has_come(Tick::of(now.monotonic))
    }

    /// The shared store failed: the cache goes on without it for a few seconds.
    fn store_is_down(&self, now: ClockReading, fraction: f64) {
        let wait =
            Duration::from_secs(1) + Duration::from_secs(4).mul_f64(fraction.clamp(0.0, 1.0));
        let until = Tick::of(now.monotonic).plus(wait).bits().max(1);
        self.store_down_until.store(until, Ordering::Relaxed);
    }
}
