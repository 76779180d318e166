//! What a flight does for a token: ask the token backend, take a lease there, mint, and keep what came.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{Either, select};
use tokio::time::Instant;
use tracing::Span;

use super::{
    Shared, Store,
    backend::{
        CustomerEpoch, Lease, LeaseOwner, Put, StoreFuture, StoreKey, StoredToken, TokenStore,
    },
    cached_token::{Entry, Life, Unfit, since_1970},
    circuit_breaker::{Admission, FailedMint, Verdict},
    expiry::Tick,
    forgotten::Epoch,
    guarded_backend::{BACKGROUND_TIMEOUT, Backend},
    key::Key,
    negative_cache::Failure,
    rejections::BETWEEN_FORCED_MINTS,
    single_flight::{Urgency, UrgencyWatch},
};
use crate::{
    CallOptions, ClockReading, CustomerAccessToken, Error, ErrorKind, Priority,
    operations::mint::Mint,
    pipeline::{call::CallProgress, transport::operations},
    telemetry::{FetchCause, TokenFetchEvent, TokenSource},
    time::service_clock::Skew,
    token::bearer::{self, Unsendable},
};

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
    pub(super) progress: Arc<CallProgress>,
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
                self.postpone_renewal(error);
            }
        }
        if self.progress.has_waited() {
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
        let admission = self.admission().await?;
        let ends_at = Instant::now().checked_add(self.shared.settings.fetch_deadline);
        let fetched = self.fetch_admitted(urgency, ends_at).await;
        if let Err(error) = &fetched {
            // Before the admission goes: what it decides is decided by one customer at a time.
            self.failed(&admission, error);
        }
        fetched
    }

    /// The right to mint, or the remembered failure that this mint has to wait for.
    async fn admission(&self) -> Result<Admission<'_>, Error> {
        let now = self.now();
        let heeds = async |failure: &Failure| self.store.heeds(failure, None).await;
        // An access has looked at it, unless the provider of the access token had to be waited for.
        if let Some(failure) = self.shared.failures.of(&self.key, now)
            && heeds(&failure).await
        {
            return Err(failure.told(self.now()));
        }
        let applicant = self.shared.applicant(&self.key, now);
        match self.store.breaker.admit(applicant, now) {
            Ok(admission) => Ok(admission),
            Err(failure) if heeds(&failure).await => Err(failure.told(self.now())),
            Err(_) => Ok(self.store.breaker.admit_past(applicant)),
        }
    }

    async fn fetch_admitted(&self, urgency: UrgencyWatch, ends_at: Option<Instant>) -> Fetched {
        let Some(backend) = &self.shared.backend else {
            return self.mint(urgency, ends_at).await;
        };
        let place = SharedPlace {
            fetch: self,
            key: self.store.key_in_shared_store(&self.key),
            backend,
            is_reported: AtomicBool::new(false),
        };
        if !place.knows_the_log_out().await {
            // It may still have a token from before.
            return self.mint(urgency, ends_at).await;
        }
        let lease = match place.find_or_lease(ends_at).await {
            Found::Token(entry) => return Ok((entry, TokenSource::SharedStore)),
            Found::Nothing(lease) => lease,
        };
        // Before the mint: a log-out in any process from then on concerns its token.
        let epoch = place.ask(|store| store.epoch(&place.key)).await;
        let fetched = match self.mint(urgency, ends_at).await {
            Ok((entry, source)) => match place.put(&entry, epoch).await {
                Some(Put::Forgotten) => {
                    self.shared.cache.remove_up_to(&self.key, &entry);
                    Err(forgotten())
                }
                _ => Ok((entry, source)),
            },
            // Another process may have had more luck meanwhile.
            Err(error) => match place.find().await {
                Some(entry) => Ok((entry, TokenSource::SharedStore)),
                None => Err(error),
            },
        };
        drop(lease);
        fetched
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
        let began = self.shared.clock.instant();
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
            let progress = Some(Arc::clone(&self.progress));
            let call = pin!(mint.run(&self.store.client, Some(options), progress));
            match select(call, pin!(urgency.more_than(known))).await {
                Either::Left((reply, _)) => break reply?.into_value(),
                // What was sent takes no permit any more; what was not goes back in line, further to the front.
                Either::Right(((), call)) if self.progress.has_sent() => {
                    break call.await?.into_value();
                }
                Either::Right(_) => {}
            }
        };
        let now = self.shared.clock.instant();
        self.store
            .usual_mint
            .took(now.saturating_duration_since(began));
        Entry::minted(&token, self.now(), self.fraction()).map_err(|unfit| {
            let summary = match unfit {
                Unfit::Expired | Unfit::FromTheFuture => {
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
            Ok(())
        } else {
            Err(forgotten())
        }
    }

    /// Says when the renewal of the old token is tried again, if there is one.
    fn postpone_renewal(&self, error: &Error) {
        let Some(old) = &self.old else {
            return;
        };
        let (now, fraction) = (self.now(), self.fraction());
        match (error.remembered_for(), error.retry_after()) {
            // Nothing was tried.
            (Some(_), Some(wait)) => old.leave_alone_for(now, wait.max(a_moment(fraction))),
            _ => old.renewal_failed(now, fraction),
        }
    }

    /// Remembers a failure, so that it is not repeated at once.
    fn failed(&self, admission: &Admission<'_>, error: &Error) {
        let (now, fraction) = (self.now(), self.fraction());
        let token = self.progress.token();
        let mint = FailedMint {
            error,
            token,
            successes: self.store.client.successes(),
        };
        let failures = &self.shared.failures;
        match admission.failed(&mint, now, fraction) {
            Verdict::Customer { with_token } => {
                let token = with_token.then_some(token);
                failures.remember_blame(self.key, error.clone(), token, now, fraction);
            }
            Verdict::Passing => failures.remember_passing(self.key, error.clone(), now, fraction),
            Verdict::Settled => {}
        }
    }

    fn now(&self) -> ClockReading {
        self.shared.clock.reading()
    }

    fn fraction(&self) -> f64 {
        self.store.client.jitter().fraction()
    }

    fn error(&self, kind: ErrorKind, summary: &'static str) -> Error {
        Error::of_call(
            operations::POST_AUTH_CUSTOMERS_STOREFRONT.name,
            kind,
            summary,
        )
        .retryable(true)
    }
}

fn forgotten() -> Error {
    Error::of_call(
        operations::POST_AUTH_CUSTOMERS_STOREFRONT.name,
        ErrorKind::Forgotten,
        "the customer was forgotten while the token was fetched",
    )
}

/// How long a renewal that cannot start now is postponed: 5 to 10 s. `fraction` is a draw from 0 to 1.
pub(super) fn a_moment(fraction: f64) -> Duration {
    Duration::from_secs(5).mul_f64(1.0 + fraction.clamp(0.0, 1.0))
}

fn rejected(summary: &'static str, wait: Duration) -> Error {
    Error::of_call(
        operations::POST_AUTH_CUSTOMERS_STOREFRONT.name,
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

/// The place of one token in the backend that the fleet shares.
struct SharedPlace<'f> {
    fetch: &'f Fetch,
    key: StoreKey,
    backend: &'f Arc<Backend>,
    /// Whether it was reported that the backend has a token that cannot be used. Once is enough for a fetch.
    is_reported: AtomicBool,
}

/// What the token backend had.
enum Found<'p> {
    Token(Arc<Entry>),
    /// Nothing, so that it is minted here: with the lease, or without one if the backend fails or the holder takes too long.
    Nothing(Option<HeldLease<'p>>),
}

impl SharedPlace<'_> {
    /// The token if it is there, or the lease for minting it. While another process holds the lease, its token is waited
    /// for: up to twice as long as a mint of the store usually takes, and not longer than half of the time that the fetch and
    /// those who wait for it have.
    async fn find_or_lease(&self, ends_at: Option<Instant>) -> Found<'_> {
        let shared = &self.fetch.shared;
        let length = shared.settings.fetch_deadline + LEASE_MARGIN;
        let mut lease = None;
        let mut wait_until = None;
        loop {
            match self.ask(|store| store.load(&self.key)).await {
                None => return Found::Nothing(lease),
                Some(stored) => {
                    if let Some(entry) = stored.and_then(|stored| self.adopt(&stored)) {
                        return Found::Token(entry);
                    }
                }
            }
            // The lease was had before this look: nobody who waits for it can have put a token in since.
            if lease.is_some() {
                return Found::Nothing(lease);
            }
            match self.ask(|store| store.lease(&self.key, length)).await {
                None => return Found::Nothing(None),
                Some(Lease::Acquired(owner)) => {
                    lease = Some(HeldLease { place: self, owner });
                    continue;
                }
                Some(Lease::Held) => {}
            }
            let now = Instant::now();
            let wait_until = *wait_until.get_or_insert_with(|| {
                let left = ends_at.map(|ends_at| ends_at.saturating_duration_since(now));
                let left = left.into_iter().chain(shared.settings.wait_at_most).min();
                let longest = self.backend.wait_for_holder(&self.fetch.store.usual_mint);
                now + left.map_or(longest, |left| longest.min(left / 2))
            });
            if now >= wait_until {
                return Found::Nothing(None);
            }
            // Not in step with the others who wait.
            let wait = Duration::from_millis(100)
                + Duration::from_millis(150).mul_f64(self.fetch.fraction().clamp(0.0, 1.0));
            shared.clock.sleep(wait.min(wait_until - now)).await;
        }
    }

    /// The token if it is there.
    async fn find(&self) -> Option<Arc<Entry>> {
        let stored = self.ask(|store| store.load(&self.key)).await??;
        self.adopt(&stored)
    }

    async fn ask<'s, T>(
        &'s self,
        call: impl FnOnce(&'s dyn TokenStore) -> StoreFuture<'s, T>,
    ) -> Option<T> {
        self.backend.ask(call).await
    }

    /// A token of the backend as one of ours, if it is any better than what we have.
    fn adopt(&self, stored: &StoredToken) -> Option<Arc<Entry>> {
        let fetch = self.fetch;
        let now = fetch.now();
        let entry = match self.entry(stored, now) {
            Ok(entry) => entry?,
            Err(why) => {
                self.report(why);
                return None;
            }
        };
        let is_enough = |entry: &Entry| {
            let is_better = fetch
                .old
                .as_ref()
                .is_none_or(|old| entry.expires_at() > old.expires_at());
            is_better
                && !entry.is_at_its_end(now)
                && entry.served_for(now) >= fetch.valid_for_at_least
        };
        if !is_enough(&entry) {
            return None;
        }
        fetch.store.breaker.has_worked_before();
        // For a customer who was forgotten meanwhile, the mint says so. And where the cache has a token that was requested later
        // and ends earlier, that one stays.
        let kept = fetch.keep(Arc::new(entry)).ok().flatten()?;
        is_enough(&kept).then_some(kept)
    }

    /// A token of the backend as an entry; `None` when it has expired. A token that cannot be used is an error that says why.
    fn entry(
        &self,
        stored: &StoredToken,
        now: ClockReading,
    ) -> Result<Option<Entry>, &'static str> {
        let fetch = self.fetch;
        let text = stored.secret().expose_secret();
        let header = bearer::header(text).map_err(|unsendable| match unsendable {
            Unsendable::TooLong => "it is longer than 16 KiB",
            Unsendable::NotAHeader => "it cannot be carried by a header",
        })?;
        let claims = fetch.store.holder(&fetch.key).inspect(text);
        if claims.is_mismatch {
            return Err("it names another customer or store");
        }
        // What is known of the service's clock ends it earlier, should the clock have been set back since it was put.
        let skew = fetch.store.client.skew();
        let expires_at = match (claims.expires_at, skew) {
            (Some(expires_at), Skew::ServiceAhead(_)) => {
                stored.expires_at().min(skew.at_the_earliest(expires_at))
            }
            _ => stored.expires_at(),
        };
        let life = Life {
            requested_at: since_1970(stored.requested_at()),
            expires_at: since_1970(expires_at),
        };
        match Entry::of_parts(header, life, now, fetch.fraction()) {
            Ok(entry) => Ok(Some(entry)),
            Err(Unfit::FromTheFuture) => Err(
                "it was requested in the future: check the clocks of the processes that share the backend",
            ),
            Err(Unfit::Expired | Unfit::NotYetValid) => Ok(None),
        }
    }

    fn report(&self, why: &'static str) {
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            self.fetch.shared.counters.backend_tokens_unusable.one();
            tracing::warn!(why, "a token of the token backend is not used");
        }
    }

    /// Whether the backend knows of the customer's last log-out in this process. It is told now if it was not reached before.
    async fn knows_the_log_out(&self) -> bool {
        let Some(told) = self.fetch.shared.forgotten.told(self.fetch.key) else {
            return true;
        };
        let forget = async || self.ask(|store| store.forget(&self.key)).await.ok_or(());
        told.get_or_try_init(forget).await.is_ok()
    }

    /// Stores a token that was minted in this epoch. `None` when the backend failed then or now.
    async fn put(&self, entry: &Entry, epoch: Option<CustomerEpoch>) -> Option<Put> {
        let epoch = epoch?;
        let stored = self.fetch.store.to_shared_store(entry);
        self.ask(|store| store.put_if_newer(&self.key, &stored, epoch))
            .await
    }
}

/// A lease in the token backend. Once dropped, it is released in the background: nobody here waits for that.
struct HeldLease<'p> {
    place: &'p SharedPlace<'p>,
    owner: LeaseOwner,
}

impl Drop for HeldLease<'_> {
    fn drop(&mut self) {
        let backend = Arc::clone(self.place.backend);
        let (key, owner) = (self.place.key.clone(), self.owner);
        self.place.fetch.shared.chores.begin(async move {
            // Also when the backend has just failed. Should this fail as well, the lease runs out by itself.
            let _ = backend
                .ask_now(BACKGROUND_TIMEOUT, |store| store.release(&key, owner))
                .await;
        });
    }
}
