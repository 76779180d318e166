//! The contract against itself: it holds for a store that keeps to it, and each fault of a store that does not is found by the
//! cases that it concerns.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use super::{
    super::{MemoryTokenStore, tests::Manual},
    *,
};
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
    // Forgetting.
    ForgetsOneKey,
    ForgetsAllCustomers,
    ForgetsInAllStores,
    ForgetsTokensAlone,
    ForgetsEpochsAlone,
    CountsEpochsByKey,
    CountsEpochsByProcess,
    TakesNoTokenAfterAForget,
    ForgetsOnce,
    RaisesEveryEpoch,
    EndsLeasesWithForgets,
    ForgetsRejectionsToo,
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
    epochs: HashMap<String, u64>,
}

#[derive(Debug, Clone)]
struct Kept {
    of: StoreKey,
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

    fn epoch_key(&self, key: &StoreKey) -> String {
        let (store, customer) = (&key.store_hash, key.customer);
        match self.fault {
            Fault::CountsEpochsByKey => key.to_text(),
            Fault::CountsEpochsByProcess => format!("{} {store} {customer}", self.process),
            Fault::RaisesEveryEpoch => String::new(),
            _ => format!("{store} {customer}"),
        }
    }

    fn epoch_of(&self, key: &StoreKey) -> CustomerEpoch {
        let key = self.epoch_key(key);
        CustomerEpoch::new(self.state().epochs.get(&key).copied().unwrap_or_default())
    }

    fn drop_customer(&self, key: &StoreKey) {
        let epoch_key = self.epoch_key(key);
        let mut state = self.state();
        if !self.is(Fault::ForgetsEpochsAlone) {
            state.tokens.retain(|_, kept| match self.fault {
                Fault::ForgetsOneKey => kept.of != *key,
                Fault::ForgetsAllCustomers => kept.of.store_hash != key.store_hash,
                Fault::ForgetsInAllStores => kept.of.customer != key.customer,
                _ => kept.of.store_hash != key.store_hash || kept.of.customer != key.customer,
            });
        }
        if !self.is(Fault::ForgetsTokensAlone) {
            let epoch = state.epochs.entry(epoch_key).or_default();
            *epoch += u64::from(*epoch == 0 || !self.is(Fault::ForgetsOnce));
        }
        if self.is(Fault::EndsLeasesWithForgets) {
            state.leases.clear();
        }
        if self.is(Fault::ForgetsRejectionsToo) {
            state.rejected.clear();
        }
    }

    async fn put(&self, key: &StoreKey, token: &StoredToken, epoch: CustomerEpoch) -> Put {
        let now = self.clock.now();
        let current = self.epoch_of(key);
        if current != epoch
            || (self.is(Fault::TakesNoTokenAfterAForget) && current != CustomerEpoch::default())
        {
            return Put::Forgotten;
        }
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
                Fault::ComparesRequestsFirst => there.token.requested_at() > token.requested_at(),
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
        state.tokens.insert(
            self.token_key(key),
            Kept {
                of: key.clone(),
                token,
                until,
            },
        );
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
        epoch: CustomerEpoch,
    ) -> StoreFuture<'a, Put> {
        Box::pin(async move { Ok(self.put(key, token, epoch).await) })
    }

    fn epoch<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, CustomerEpoch> {
        Box::pin(async move { Ok(self.epoch_of(key)) })
    }

    fn forget<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.drop_customer(key);
            Ok(())
        })
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
            "a_forgotten_customer_has_no_token_left",
        ],
    ),
    (
        Fault::IgnoresTheCustomer,
        &[
            "tokens_of_other_keys_are_not_loaded",
            "a_late_rejection_leaves_a_newer_token",
            "what_is_later_than_a_rejected_token_is_stored",
            "a_rejection_concerns_one_key",
            "a_forgotten_customer_has_no_token_left",
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
            "to_forget_a_customer_leaves_rejections_and_leases",
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
        Fault::ForgetsOneKey,
        &["a_forgotten_customer_has_no_token_left"],
    ),
    (
        Fault::ForgetsAllCustomers,
        &["a_forgotten_customer_has_no_token_left"],
    ),
    (
        Fault::ForgetsInAllStores,
        &["a_forgotten_customer_has_no_token_left"],
    ),
    (
        Fault::ForgetsTokensAlone,
        &[
            "what_was_requested_before_a_customer_was_forgotten_is_not_stored",
            "a_customer_can_be_forgotten_again",
        ],
    ),
    (
        Fault::ForgetsEpochsAlone,
        &["a_forgotten_customer_has_no_token_left"],
    ),
    (
        Fault::CountsEpochsByKey,
        &["what_was_requested_before_a_customer_was_forgotten_is_not_stored"],
    ),
    (
        Fault::CountsEpochsByProcess,
        &[
            "what_was_requested_before_a_customer_was_forgotten_is_not_stored",
            "a_customer_can_be_forgotten_again",
        ],
    ),
    (
        Fault::TakesNoTokenAfterAForget,
        &[
            "what_is_requested_after_a_customer_was_forgotten_is_stored",
            "to_forget_a_customer_leaves_rejections_and_leases",
        ],
    ),
    (
        Fault::ForgetsOnce,
        &[
            "what_was_requested_before_a_customer_was_forgotten_is_not_stored",
            "a_customer_can_be_forgotten_again",
        ],
    ),
    (
        Fault::RaisesEveryEpoch,
        &["to_forget_a_customer_concerns_no_other"],
    ),
    (
        Fault::EndsLeasesWithForgets,
        &["to_forget_a_customer_leaves_rejections_and_leases"],
    ),
    (
        Fault::ForgetsRejectionsToo,
        &["to_forget_a_customer_leaves_rejections_and_leases"],
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
    let (mut found, mut wrong) = (HashSet::new(), Vec::new());
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
                if cases != *expected {
                    wrong.push((fault, cases.clone()));
                }
                found.extend(cases);
            }
        }
        let shown = format!("{violations:?} {violations:#?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("the token of key"),
            "{shown}"
        );
    }
    assert!(wrong.is_empty(), "found by: {wrong:#?}");
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
