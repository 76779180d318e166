//! Cache-miss path: serves and renews, waits and falls back, or joins or starts the single flight of a key.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{runtime::Handle, time::Instant};
use tracing::{Instrument as _, Span};

use super::{
    ManagedToken, OVERDUE, StorefrontTokens, TokenRequest,
    cached_token::{Entry, Phase},
    forgotten::Epoch,
    key::Key,
    minimum_life,
    refresh::{BackgroundSlot, Fetch, a_moment},
    single_flight::{Boarding, Landing, Pilot, Seat, Urgency},
};
use crate::{
    ClockReading, CustomerAccessToken, Error, ErrorKind,
    pipeline::call::CallProgress,
    telemetry::{self, FetchCause},
    time::deadline::in_time,
};

/// How long an access waits for a token to be renewed while there is one that still counts.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);

/// How many tokens that are too short a request waits for, before it fails.
const MOST_TOO_SHORT: u32 = 3;

/// How long a renewal has to itself before somebody else may begin one.
const CLAIM: Duration = Duration::from_secs(30);

impl StorefrontTokens {
    pub(super) fn look_slowly(&self, key: Key, request: TokenRequest) -> Option<ManagedToken> {
        let now = self.shared.clock.reading();
        let entry = self.shared.cache.get(&key)?;
        match entry.phase(now) {
            Phase::Over => return None,
            Phase::Fresh => {}
            Phase::Soft | Phase::Blocking => {
                self.renew_in_background(key, request.customer_access_token, &entry, now);
            }
        }
        let least = request.valid_for_at_least;
        if minimum_life::check(least).is_err() || entry.served_for(now) < least {
            return None;
        }
        self.shared.counters.hits.one();
        Some(ManagedToken { entry, key })
    }

    pub(super) async fn get_slowly(
        &self,
        key: Key,
        request: TokenRequest,
    ) -> Result<ManagedToken, Error> {
        let least = request.valid_for_at_least;
        minimum_life::check(least)?;
        let patience = request.wait_at_most.or(self.shared.settings.wait_at_most);
        let ends_at = patience.and_then(|patience| Instant::now().checked_add(patience));
        let now = self.shared.clock.reading();
        let access_token = request.customer_access_token;
        let there = self.shared.cache.get(&key);
        // While a renewal is waited for, the old token must not fall below the minimum.
        let needed = |phase| match phase {
            Phase::Blocking if !least.is_zero() => least + RENEWAL_PATIENCE,
            _ => least,
        };
        let entry = match there.map(|entry| (entry.phase(now), entry)) {
            Some((phase, entry))
                if phase != Phase::Over && entry.served_for(now) < needed(phase) =>
            {
                self.shared.counters.misses.one();
                let errand = Errand {
                    access_token,
                    urgency: Urgency::Cold,
                    cause: FetchCause::Blocking,
                    old: Some(entry),
                    valid_for_at_least: least,
                    progress: Arc::default(),
                };
                return self.fetch_and_wait(key, errand, ends_at).await;
            }
            Some((Phase::Fresh, entry)) => entry,
            Some((Phase::Soft, entry)) => {
                self.renew_in_background(key, access_token, &entry, now);
                entry
            }
            Some((Phase::Blocking, entry)) => {
                return self
                    .renew_and_wait(key, access_token, entry, least, now, ends_at)
                    .await;
            }
            Some((Phase::Over, _)) | None => {
                self.shared.counters.misses.one();
                let errand = Errand {
                    access_token,
                    urgency: Urgency::Cold,
                    cause: FetchCause::Cold,
                    old: None,
                    valid_for_at_least: least,
                    progress: Arc::default(),
                };
                return self.fetch_and_wait(key, errand, ends_at).await;
            }
        };
        self.shared.counters.hits.one();
        Ok(ManagedToken { entry, key })
    }

    /// Has a token renewed while it is served. Only one access sees to it; what keeps it from doing so puts it off.
    fn renew_in_background(
        &self,
        key: Key,
        access_token: Option<CustomerAccessToken>,
        entry: &Arc<Entry>,
        now: ClockReading,
    ) {
        if !entry.claim(now, CLAIM) {
            return;
        }
        let put_off = |wait: Duration| {
            self.shared.counters.renewals_put_off.one();
            entry.leave_alone_for(now, wait);
        };
        let a_moment = a_moment(self.store.client.jitter().fraction());
        // If the provider of the access token has to be waited for, that happens in the background.
        let refusal = self.refusal(&key, None).now_or_never().flatten();
        if let Some(error) = refusal {
            return put_off(error.retry_after().unwrap_or_default().max(a_moment));
        }
        let Some(slot) = BackgroundSlot::take(&self.shared) else {
            return put_off(a_moment);
        };
        if !self.has_budget_to_spare() {
            return put_off(a_moment);
        }
        let errand = Errand {
            access_token,
            urgency: Urgency::Background,
            cause: FetchCause::Soft,
            old: Some(Arc::clone(entry)),
            valid_for_at_least: Duration::ZERO,
            progress: Arc::default(),
        };
        if self.board(key, errand, Some(slot)).is_err() {
            put_off(a_moment);
        }
    }

    /// Whether two fifths of the store's budget are left, as far as is known.
    fn has_budget_to_spare(&self) -> bool {
        let budget = self.store.client.budget();
        let is_left = match (budget.left, budget.allocated) {
            (Some(left), Some(allocated)) => left.saturating_mul(5) >= allocated.saturating_mul(2),
            _ => true,
        };
        is_left && budget.closed_for.is_none()
    }

    /// Waits for a token that replaces one which is about to end, and falls back on that.
    async fn renew_and_wait(
        &self,
        key: Key,
        access_token: Option<CustomerAccessToken>,
        entry: Arc<Entry>,
        least: Duration,
        now: ClockReading,
        ends_at: Option<Instant>,
    ) -> Result<ManagedToken, Error> {
        let counters = &self.shared.counters;
        if self.shared.flights.is_closed() || self.refusal(&key, ends_at).await.is_some() {
            counters.served_around.one();
            return Ok(ManagedToken { entry, key });
        }
        let patience = RENEWAL_PATIENCE.min(entry.served_for(now));
        let patience = Instant::now().checked_add(patience);
        let patience = match (patience, ends_at) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let errand = Errand {
            access_token,
            urgency: Urgency::Renewal,
            cause: FetchCause::Blocking,
            old: Some(Arc::clone(&entry)),
            valid_for_at_least: least,
            progress: Arc::default(),
        };
        let error = match self.fetch_and_wait(key, errand, patience).await {
            Ok(token) => return Ok(token),
            Err(error) => error,
        };
        let now = self.shared.clock.reading();
        if entry.phase(now) == Phase::Over || !self.shared.rejections.accept(&key, &entry, now) {
            return Err(error);
        }
        if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Panicked) {
            // The fetch goes on, or took no note of how it ended, and nobody else has to wait in vain.
            entry.renewal_failed(now, self.store.client.jitter().fraction());
        }
        counters.served_around.one();
        Ok(ManagedToken { entry, key })
    }

    /// The error of a mint that has to wait for a remembered failure of the customer or the store. It is known at `ends_at`.
    pub(super) async fn refusal(&self, key: &Key, ends_at: Option<Instant>) -> Option<Error> {
        let failure = self.shared.refusal(&self.store, key, ends_at).await?;
        Some(failure.told(self.shared.clock.reading()))
    }

    /// Waits for a fetch that is under way, or for one that begins now.
    pub(super) async fn fetch_and_wait(
        &self,
        key: Key,
        mut errand: Errand,
        ends_at: Option<Instant>,
    ) -> Result<ManagedToken, Error> {
        let least = errand.valid_for_at_least;
        let mut has_vanished = false;
        let mut too_short = 0;
        loop {
            if let Some(error) = self.refusal(&key, ends_at).await {
                self.shared.counters.remembered_failures.one();
                return Err(error);
            }
            let now = self.shared.clock.reading();
            if let Some(granted) = self.shared.short_lives.shorter_than(least, &key, now) {
                return Err(minimum_life::too_short(granted, least));
            }
            let mut this_time = errand.clone();
            if self.shared.rejections.is_open(&key, now) {
                this_time.cause = FetchCause::Forced;
            }
            let mut seat = match self.board(key, this_time, None)? {
                Aboard::There(entry) => return Ok(ManagedToken { entry, key }),
                Aboard::Seated(seat) => seat,
            };
            Span::current().follows_from(seat.tag());
            // Every flight has a deadline of its own, also by the time that is counted here.
            let overdue = self.shared.settings.fetch_deadline.saturating_add(OVERDUE);
            let overdue = Instant::now().checked_add(overdue);
            let is_patient = match (ends_at, overdue) {
                (Some(ends_at), Some(overdue)) => ends_at > overdue,
                (ends_at, _) => ends_at.is_none(),
            };
            let until = if is_patient { overdue } else { ends_at };
            match in_time(until, seat.landing()).await.ok() {
                // What landed may have been refused while the flight still told the shared store of it: another one is
                // fetched.
                Some(Landing::Done(Ok(entry)))
                    if !self.shared.rejections.accept(
                        &key,
                        &entry,
                        self.shared.clock.reading(),
                    ) => {}
                Some(Landing::Done(Ok(entry))) => {
                    let life = entry.served_for(self.shared.clock.reading());
                    if life >= least {
                        return Ok(ManagedToken { entry, key });
                    }
                    // If a mint brought it, that is known by now. Else a request without this minimum took it from the shared
                    // cache, or it was put in meanwhile: a token is fetched once more.
                    too_short += 1;
                    if too_short >= MOST_TOO_SHORT {
                        return Err(minimum_life::too_short(life, least));
                    }
                    errand.old = Some(entry);
                }
                Some(Landing::Done(Err(error))) => return Err(error),
                Some(Landing::Panicked) => return Err(self.panicked(key)),
                Some(Landing::Closed) => return Err(self.shut_down()),
                Some(Landing::Vanished) if has_vanished => {
                    return Err(self.error(
                        ErrorKind::RuntimeGone,
                        "the runtime that fetched the token was shut down, and so was the next one",
                    ));
                }
                Some(Landing::Vanished) => has_vanished = true,
                None if is_patient => {
                    seat.disown();
                    if has_vanished {
                        return Err(self.error(
                            ErrorKind::RuntimeGone,
                            "the runtime that fetches the token does not run",
                        ));
                    }
                    has_vanished = true;
                }
                None => {
                    return Err(self
                        .error(
                            ErrorKind::Timeout,
                            "the token did not come within the time that this caller waits",
                        )
                        .retryable(true));
                }
            }
        }
    }

    /// A place on the flight of this key, which begins if there is none.
    fn board(
        &self,
        key: Key,
        errand: Errand,
        slot: Option<BackgroundSlot>,
    ) -> Result<Aboard, Error> {
        let runtime = match &self.shared.runtime {
            Some(runtime) => runtime.clone(),
            None => Handle::try_current().map_err(|_| {
                self.error(
                    ErrorKind::RuntimeGone,
                    "there is no tokio runtime here that could fetch the token",
                )
            })?,
        };
        // Before the flight is in the table: a log-out from then on finds it there, or is seen by what it fetches.
        let epoch = self.shared.forgotten.epoch(key);
        let second_look = || {
            let now = self.shared.clock.reading();
            let there = self.shared.cache.get(&key)?;
            let is_new = match &errand.old {
                Some(old) => there.is_newer_than(old),
                None => true,
            };
            let is_long_enough = there.served_for(now) >= errand.valid_for_at_least;
            (is_new && is_long_enough && there.phase(now) != Phase::Over).then_some(there)
        };
        let span = || telemetry::fetch_span(self.store.client.store_hash().as_str(), errand.cause);
        let boarding = self
            .shared
            .flights
            .board(&key, errand.urgency, second_look, span);
        match boarding {
            Boarding::NoNeed(entry) => Ok(Aboard::There(entry)),
            Boarding::Joined(seat) => {
                self.shared.counters.joined.one();
                Ok(Aboard::Seated(seat))
            }
            Boarding::Began(seat, pilot) => {
                self.take_off(&runtime, key, errand, epoch, slot, pilot);
                Ok(Aboard::Seated(seat))
            }
            Boarding::Closed => Err(self.shut_down()),
        }
    }

    /// Begins a flight, as a task of its own with a span of its own: that of the first who asked is not everybody's.
    fn take_off(
        &self,
        runtime: &Handle,
        key: Key,
        errand: Errand,
        epoch: Epoch,
        slot: Option<BackgroundSlot>,
        pilot: Pilot<Key, Result<Arc<Entry>, Error>, Span>,
    ) {
        let counters = &self.shared.counters;
        let Errand {
            access_token,
            urgency: _,
            cause,
            old,
            valid_for_at_least,
            progress,
        } = errand;
        match cause {
            FetchCause::Cold => counters.fetches_cold.one(),
            FetchCause::Soft => counters.fetches_soft.one(),
            FetchCause::Blocking => counters.fetches_blocking.one(),
            FetchCause::Forced => counters.fetches_forced.one(),
            FetchCause::Warm => counters.fetches_warm.one(),
        }
        let span = pilot.tag().clone();
        let fetch = Fetch {
            shared: Arc::clone(&self.shared),
            store: Arc::clone(&self.store),
            key,
            customer_access_token: access_token,
            cause,
            old,
            valid_for_at_least,
            progress: Arc::clone(&progress),
            epoch,
            span: span.clone(),
            slot,
        };
        let shared = Arc::clone(&self.shared);
        let flight = async move {
            let urgency = pilot.urgency();
            let work = fetch.run(urgency);
            pilot.fly(work, move || progress.has_sent()).await;
            shared.sweep_now_and_then();
        };
        drop(runtime.spawn(flight.instrument(span)));
    }

    /// What those get who waited for a fetch that panicked. It could not remember that itself.
    fn panicked(&self, key: Key) -> Error {
        let error = self.error(
            ErrorKind::Panicked,
            "what fetched the token panicked: an observer, a transport, a clock or a provider",
        );
        let fraction = self.store.client.jitter().fraction();
        let now = self.shared.clock.reading();
        let failures = &self.shared.failures;
        failures.remember_passing(key, error.clone(), now, fraction);
        error
    }

    fn shut_down(&self) -> Error {
        self.error(
            ErrorKind::ShutDown,
            "the cache of tokens was shut down, and fetches nothing any more",
        )
    }
}

/// What somebody wants to have fetched, how urgently and why.
#[derive(Clone)]
pub(super) struct Errand {
    pub(super) access_token: Option<CustomerAccessToken>,
    pub(super) urgency: Urgency,
    pub(super) cause: FetchCause,
    /// What it is to replace.
    pub(super) old: Option<Arc<Entry>>,
    /// How long the token has to be valid. Zero for any that is.
    pub(super) valid_for_at_least: Duration,
    /// Told how far the fetch has come, if it is this errand that it begins for.
    pub(super) progress: Arc<CallProgress>,
}

enum Aboard {
    There(Arc<Entry>),
    Seated(Seat<Key, Result<Arc<Entry>, Error>, Span>),
}
