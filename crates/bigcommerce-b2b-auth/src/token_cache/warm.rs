//! Fetching tokens before anybody asks for them: a stream of customers in, a stream of outcomes out, within a share of the
//! store's budget. `warm/pace.rs` says when the next request may go, `warm/tally.rs` counts what came of them.

mod pace;
mod tally;

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{
    Stream, StreamExt as _,
    stream::{self, FuturesUnordered},
};
use tokio::sync::watch;

pub use self::tally::WarmProgress;
use self::{pace::Pace, tally::Tally};
use super::{
    StorefrontTokens, TokenRequest,
    cached_token::{Entry, Phase},
    lookup::Errand,
    minimum_life,
    single_flight::Urgency,
};
use crate::{ChannelId, Clock, ClockReading, CustomerId, Error, ErrorKind, telemetry::FetchCause};

/// How often a customer is tried while others succeed.
const MOST_TRIES: u32 = 3;

/// How far the customers that are settled may be ahead of one that is not, which bounds what is remembered of them.
const FURTHEST_AHEAD: u64 = 10_000;

/// The longest wait that a failure is believed to ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

#[bon::bon]
impl StorefrontTokens {
    /// Fetches the tokens of many customers ahead of time, such as before a campaign or after a restart without a snapshot.
    ///
    /// A customer whose [`TokenRequest`] states a minimum life gets a token that is valid for at least that long.
    ///
    /// Customers are drawn from the stream as they are needed, so that there may be millions of them. Each comes out once, with
    /// what became of him, in the order in which that is known. Whoever has a token costs nothing; every other one is fetched at
    /// the lowest priority, which lets everybody else go first.
    ///
    /// ```
    /// # use bigcommerce_b2b_auth_sandbox::{Sandbox, demo};
    /// use bigcommerce_b2b_auth::{Client, CustomerId, StoreAccess, StorefrontTokens};
    /// use futures_util::{StreamExt, stream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let sandbox = Sandbox::builder().start().await?;
    /// # let client = Client::builder()
    /// #     .credentials(StoreAccess::new(demo::STORE_HASH, demo::ACCESS_TOKEN)?)
    /// #     .base_url(sandbox.base_url())
    /// #     .build()?;
    /// let tokens = StorefrontTokens::builder().client(client).build();
    /// let customers = [CustomerId::new(demo::CUSTOMER_ID)?, CustomerId::new(999_999)?];
    /// let mut warming = tokens.warm(stream::iter(customers)).share(0.3).start();
    /// let control = warming.control();
    /// while let Some(outcome) = warming.next().await {
    ///     if let Err(error) = outcome.result {
    ///         println!("{:?}: {error}", outcome.customer);
    ///     }
    ///     // `control.stop()` ends it; `resume_at(progress.resume_at)` goes on from there another time.
    ///     let progress = control.progress();
    ///     println!("{} of {:?}, {:.0} a minute", progress.settled(), progress.total, progress.rate_per_minute);
    /// }
    /// assert_eq!((control.progress().fetched, control.progress().failed), (1, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # What it sees to
    /// - **Failures that pass by themselves**, the store's credentials among them, are waited out: one customer is tried for all,
    ///   after growing waits or as long as the service asks, until it works again. A customer who fails three times while
    ///   others do not, who is refused while others are not, or who is unknown, comes out with the error.
    /// - **Stopping.** [`WarmingControl::stop`] lets what is under way come to its end. Dropping the stream gives up what has
    ///   sent nothing, and what was sent is still finished and kept.
    /// - **Resuming.** Everybody before [`WarmProgress::resume_at`] is settled. Beginning from the start does as well, and costs
    ///   no request for those who have a token.
    ///
    /// A token lasts a day, and is renewed after some four fifths of it: at half of a budget of 150 requests a minute about 86,000
    /// customers can be kept warm, and no more than the cache's [`Capacity`](crate::Capacity).
    #[builder(
        finish_fn = start,
        builder_type(name = Warm, doc {
            /// How tokens are fetched ahead of time; [`StorefrontTokens::warm`] starts it, `start()` ends it.
        }),
        state_mod(vis = "pub(crate)")
    )]
    pub fn warm<S>(
        &self,
        #[builder(start_fn)] customers: S,
        /// Which part of the store's budget may be taken, from 0 to 1. Half of it by default. With all of it, others may have to
        /// wait until the store's next window.
        #[builder(default = 0.5)]
        share: f64,
        /// How many customers are fetched at once, at most. 8 by default.
        #[builder(default = 8)]
        at_once: usize,
        /// How many customers there are, for the time that is left. What the stream says of itself if unset.
        total: Option<u64>,
        /// How many customers at the beginning of the stream are passed over: [`WarmProgress::resume_at`] of another time.
        #[builder(default)]
        resume_at: u64,
        /// How long nothing may work before it is given up: the stream then ends. 30 minutes by default.
        #[builder(default = Duration::from_secs(30 * 60))]
        give_up_after: Duration,
    ) -> Warming
    where
        S: Stream<Item: Into<TokenRequest>> + Send + 'static,
    {
        let customers: Customers = Box::pin(customers.map(Into::into));
        let total = total.or_else(|| customers.size_hint().1.map(|upper| upper as u64));
        let now = self.shared.clock.reading();
        let control = WarmingControl(Arc::new(Control {
            clock: Arc::clone(&self.shared.clock),
            tally: Tally::new(total, resume_at, now),
            stop: watch::Sender::new(false),
        }));
        let engine = Engine {
            tokens: self.clone(),
            customers,
            next: 0,
            resume_at,
            is_drained: false,
            waiting: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            pace: Pace::new(share),
            at_once: at_once.max(1),
            give_up_after,
            trouble: None,
            control: control.clone(),
        };
        let outcomes = stream::unfold(engine, |mut engine| async {
            let outcome = engine.next().await?;
            Some((outcome, engine))
        });
        Warming {
            outcomes: Box::pin(outcomes),
            control,
        }
    }
}

/// The outcomes of [`StorefrontTokens::warm`], as they come. It does its work while it is read.
pub struct Warming {
    outcomes: Pin<Box<dyn Stream<Item = WarmOutcome> + Send>>,
    control: WarmingControl,
}

impl Warming {
    /// What shows how far it is, and stops it: to be kept by others than who reads the outcomes.
    #[must_use]
    pub fn control(&self) -> WarmingControl {
        self.control.clone()
    }
}

impl Stream for Warming {
    type Item = WarmOutcome;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WarmOutcome>> {
        self.outcomes.as_mut().poll_next(context)
    }
}

impl fmt::Debug for Warming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warming")
            .field("progress", &self.control.progress())
            .finish_non_exhaustive()
    }
}

/// What became of one customer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WarmOutcome {
    /// His place in the stream, from 0.
    pub position: u64,
    /// The customer.
    pub customer: CustomerId,
    /// The channel that the token is for, where one was asked for.
    pub channel: Option<ChannelId>,
    /// Whether there is a token of his now, or why there is none.
    pub result: Result<Warmed, Error>,
}

/// How it comes that a customer has a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Warmed {
    /// It was fetched.
    Fetched,
    /// It was there, and is not due to be renewed.
    AlreadyThere,
}

/// Shows how far a [`Warming`] is, and stops it. Cheap to clone.
#[derive(Clone)]
pub struct WarmingControl(Arc<Control>);

struct Control {
    clock: Arc<dyn Clock>,
    tally: Tally,
    stop: watch::Sender<bool>,
}

impl WarmingControl {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> WarmProgress {
        self.0.tally.progress(self.now())
    }

    /// Begins nothing more. What is under way comes to its end, and then the stream ends.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    fn is_stopped(&self) -> bool {
        *self.0.stop.borrow()
    }

    fn now(&self) -> ClockReading {
        self.0.clock.reading()
    }
}

impl fmt::Debug for WarmingControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WarmingControl")
            .field("progress", &self.progress())
            .finish_non_exhaustive()
    }
}

type Customers = Pin<Box<dyn Stream<Item = TokenRequest> + Send>>;

/// What does the work.
struct Engine {
    tokens: StorefrontTokens,
    customers: Customers,
    /// The place of the customer who is drawn next.
    next: u64,
    resume_at: u64,
    /// Whether no more customers are drawn.
    is_drained: bool,
    /// Who was drawn and is not under way.
    waiting: VecDeque<Customer>,
    under_way: FuturesUnordered<Pin<Box<dyn Future<Output = Landed> + Send>>>,
    pace: Pace,
    at_once: usize,
    give_up_after: Duration,
    trouble: Option<Trouble>,
    control: WarmingControl,
}

/// A customer who is not settled.
struct Customer {
    position: u64,
    request: TokenRequest,
    /// How often he failed while others did not.
    tries: u32,
    has_failed: bool,
}

/// What came of a customer who was under way.
struct Landed {
    customer: Customer,
    result: Result<(), Error>,
    /// How many requests it cost.
    sent: u32,
}

/// Nothing works: since when, and when the next one is tried.
struct Trouble {
    since: Duration,
    until: Duration,
    rounds: u32,
    error: Error,
}

/// What is to be done for a customer.
enum Need {
    Nothing,
    /// A token, in the place of this one if there is one.
    Token(Option<Arc<Entry>>),
    /// Nothing can be done at the moment.
    Hopeless(Error),
    /// Nothing can be done for this customer, while others get their tokens.
    Refused(Error),
}

/// What is waited for.
enum Event {
    Landed(Landed),
    Drawn(Option<TokenRequest>),
    Time,
    Stopped,
}

/// Whose business a failure is.
enum Fate {
    /// This customer's: it would be the same another time.
    Settled,
    /// It passes, or somebody mends it.
    Passing,
    /// The end of all of it.
    End,
}

fn fate(error: &Error) -> Fate {
    match error.kind() {
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::Rejected
        | ErrorKind::TokenRejected
        | ErrorKind::TokenTooShort => Fate::Settled,
        ErrorKind::ShutDown | ErrorKind::RuntimeGone | ErrorKind::Configuration => Fate::End,
        _ => Fate::Passing,
    }
}

impl Engine {
    async fn next(&mut self) -> Option<WarmOutcome> {
        loop {
            // Customers who have a token cost no wait: others have to come to their turn all the same.
            tokio::task::consume_budget().await;
            let now = self.control.now();
            let is_stopped = self.control.is_stopped();
            if is_stopped {
                self.waiting.clear();
            } else if let Some(outcome) = self.give_up(now) {
                return Some(outcome);
            }
            let pause = self.trouble.as_ref().and_then(|trouble| {
                let left = trouble.until.saturating_sub(now.monotonic);
                (!left.is_zero()).then_some(left)
            });
            let most = if self.trouble.is_some() {
                1
            } else {
                self.at_once
            };
            let has_room = pause.is_none() && self.under_way.len() < most;
            let mut wake = pause;
            if has_room && !is_stopped && self.should_try_another() && self.draw_now().await {
                continue;
            }
            let turn = has_room.then(|| self.waiting.pop_front()).flatten();
            if let Some(customer) = turn {
                match self.need(&customer, now).await {
                    Need::Nothing => {
                        return Some(self.settled(&customer, Ok(Warmed::AlreadyThere)));
                    }
                    Need::Hopeless(error) => match self.failed(customer, error, now) {
                        Some(outcome) => return Some(outcome),
                        None => continue,
                    },
                    Need::Refused(error) => return Some(self.settled(&customer, Err(error))),
                    Need::Token(old) => match self.pace.wait(now) {
                        Some(wait) => {
                            self.waiting.push_front(customer);
                            wake = Some(wait);
                        }
                        None => {
                            self.begin(customer, old, now);
                            continue;
                        }
                    },
                }
            }
            let draws = has_room && self.may_draw() && self.waiting.is_empty() && !is_stopped;
            if self.under_way.is_empty()
                && self.waiting.is_empty()
                && (self.is_drained || is_stopped)
            {
                return None;
            }
            match self.event(draws, wake, is_stopped).await {
                Event::Drawn(Some(request)) => self.drawn(request),
                Event::Drawn(None) => self.is_drained = true,
                Event::Landed(landed) => {
                    if let Some(outcome) = self.landed(landed) {
                        return Some(outcome);
                    }
                }
                Event::Time | Event::Stopped => {}
            }
        }
    }

    fn may_draw(&self) -> bool {
        !self.is_drained && self.next < self.control.0.tally.resume_at() + FURTHEST_AHEAD
    }

    /// Whether it would be better to try somebody else than those who failed: what fails may be theirs alone.
    fn should_try_another(&self) -> bool {
        self.trouble.is_some()
            && self.may_draw()
            && self.waiting.len() <= self.at_once
            && self
                .waiting
                .front()
                .is_some_and(|customer| customer.has_failed)
    }

    /// Draws a customer if there is one at hand; says whether anything changed.
    async fn draw_now(&mut self) -> bool {
        let drawn =
            poll_fn(|context| Poll::Ready(self.customers.as_mut().poll_next(context))).await;
        match drawn {
            Poll::Ready(Some(request)) => self.drawn(request),
            Poll::Ready(None) => self.is_drained = true,
            Poll::Pending => return false,
        }
        true
    }

    /// Whoever was tried comes out with what came in the way of all, and nobody else is tried.
    fn give_up(&mut self, now: ClockReading) -> Option<WarmOutcome> {
        let trouble = self.trouble.as_ref()?;
        let has_patience = now.monotonic < trouble.since.saturating_add(self.give_up_after);
        if has_patience || !self.under_way.is_empty() {
            return None;
        }
        self.is_drained = true;
        let error = trouble.error.clone();
        let customer = self.waiting.pop_front()?;
        Some(self.settled(&customer, Err(error)))
    }

    /// The next thing that happens.
    async fn event(&mut self, draws: bool, wake: Option<Duration>, is_stopped: bool) -> Event {
        let Self {
            customers,
            under_way,
            control,
            ..
        } = self;
        let mut alarm = wake.map(|wake| control.0.clock.sleep(wake));
        let mut stop = control.0.stop.subscribe();
        let mut stopped = pin!(stop.wait_for(|is_stopped| *is_stopped));
        poll_fn(|context| {
            if let Poll::Ready(Some(landed)) = under_way.poll_next_unpin(context) {
                return Poll::Ready(Event::Landed(landed));
            }
            if draws && let Poll::Ready(drawn) = customers.as_mut().poll_next(context) {
                return Poll::Ready(Event::Drawn(drawn));
            }
            if !is_stopped && stopped.as_mut().poll(context).is_ready() {
                return Poll::Ready(Event::Stopped);
            }
            match &mut alarm {
                Some(alarm) => alarm.as_mut().poll(context).map(|()| Event::Time),
                None => Poll::Pending,
            }
        })
        .await
    }

    fn drawn(&mut self, request: TokenRequest) {
        let position = self.next;
        self.next += 1;
        if position >= self.resume_at {
            self.waiting.push_front(Customer {
                position,
                request,
                tries: 0,
                has_failed: false,
            });
        }
    }

    /// By `&mut self`, so that the stream of customers does not have to be shared between threads.
    async fn need(&mut self, customer: &Customer, now: ClockReading) -> Need {
        let least = customer.request.valid_for_at_least;
        if let Err(error) = minimum_life::check(least) {
            return Need::Hopeless(error);
        }
        let key = self.tokens.key(&customer.request);
        let there = self.tokens.shared.cache.get(&key);
        let old = match there.map(|entry| (entry.phase(now), entry)) {
            Some((Phase::Fresh, entry)) if entry.served_for(now) >= least => {
                return Need::Nothing;
            }
            Some((Phase::Fresh, entry)) => Some(entry),
            Some((Phase::Soft | Phase::Blocking, entry)) => Some(entry),
            Some((Phase::Over, _)) | None => None,
        };
        let failures = &self.tokens.shared.failures;
        let is_to_blame = failures.of(&key, now).is_some() && failures.blames(&key, now);
        match self.tokens.refusal(&key, None).await {
            Some(error) if is_to_blame && self.trouble.is_none() => Need::Refused(error),
            Some(error) => Need::Hopeless(error),
            None => Need::Token(old),
        }
    }

    fn begin(&mut self, customer: Customer, old: Option<Arc<Entry>>, now: ClockReading) {
        let tokens = self.tokens.clone();
        self.pace.take(now, &tokens.client().budget());
        let effort = Arc::default();
        let errand = Errand {
            access_token: customer.request.customer_access_token.clone(),
            urgency: Urgency::Background,
            cause: FetchCause::Warm,
            old,
            valid_for_at_least: customer.request.valid_for_at_least,
            progress: Arc::clone(&effort),
        };
        self.control.0.tally.began();
        self.under_way.push(Box::pin(async move {
            let key = tokens.key(&customer.request);
            let result = tokens.fetch_and_wait(key, errand, None).await;
            Landed {
                customer,
                result: result.map(drop),
                sent: effort.sent(),
            }
        }));
    }

    fn landed(&mut self, landed: Landed) -> Option<WarmOutcome> {
        let Landed {
            customer,
            result,
            sent,
        } = landed;
        self.control.0.tally.ended();
        self.pace.cost(sent);
        match result {
            Ok(()) => {
                self.worked();
                Some(self.settled(&customer, Ok(Warmed::Fetched)))
            }
            Err(error) => {
                let now = self.control.now();
                self.failed(customer, error, now)
            }
        }
    }

    /// What is said of a customer who failed; `None` when he is tried again.
    fn failed(
        &mut self,
        mut customer: Customer,
        error: Error,
        now: ClockReading,
    ) -> Option<WarmOutcome> {
        match fate(&error) {
            Fate::Settled => {
                // The service has looked at it, so it works.
                if error.remembered_for().is_none() && error.kind() != ErrorKind::InvalidInput {
                    self.worked();
                }
                Some(self.settled(&customer, Err(error)))
            }
            Fate::End => {
                self.is_drained = true;
                self.waiting.clear();
                Some(self.settled(&customer, Err(error)))
            }
            Fate::Passing => {
                // While it is the same for everybody, nobody is to blame.
                if self.trouble.is_none() {
                    customer.tries += 1;
                }
                if customer.tries >= MOST_TRIES {
                    return Some(self.settled(&customer, Err(error)));
                }
                customer.has_failed = true;
                self.wait_out(error, now);
                self.waiting.push_back(customer);
                None
            }
        }
    }

    fn worked(&mut self) {
        self.trouble = None;
        self.control.0.tally.in_trouble(None);
    }

    /// Waits as long as the failure asks for, or longer with each round that is in vain.
    fn wait_out(&mut self, error: Error, now: ClockReading) {
        let (since, rounds) = match &self.trouble {
            // Several fail in one round.
            Some(trouble) if now.monotonic < trouble.until => return,
            Some(trouble) => (trouble.since, trouble.rounds + 1),
            None => (now.monotonic, 0),
        };
        let grown = Duration::from_secs(5 << rounds.min(4)).min(Duration::from_secs(60));
        let fraction = self.tokens.client().jitter().fraction().clamp(0.0, 1.0);
        let wait = match error.retry_after() {
            Some(wish) => wish.min(LONGEST_WAIT),
            None => grown,
        };
        self.control.0.tally.in_trouble(Some(&error));
        self.trouble = Some(Trouble {
            since,
            until: now.monotonic + wait + Duration::from_secs(1).mul_f64(fraction),
            rounds,
            error,
        });
    }

    fn settled(&self, customer: &Customer, result: Result<Warmed, Error>) -> WarmOutcome {
        self.control
            .0
            .tally
            .settled(customer.position, &result, self.control.now());
        WarmOutcome {
            position: customer.position,
            customer: customer.request.customer,
            channel: customer.request.channel,
            result,
        }
    }
}
