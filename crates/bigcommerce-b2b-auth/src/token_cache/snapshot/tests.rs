//! A snapshot as a whole: caches that end and others that begin on the same file. On a paused clock, so that an interval takes no
//! time; tokio does not put it forward while a file is written.

#[cfg(target_os = "linux")]
mod faults;

use std::{
    fs::{self, File},
    sync::{
        Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tempfile::TempDir;

use super::*;
use crate::{
    Capacity, Client, Clock, CustomerAccessToken, Jitter, Sleep, StoreAccess, StorefrontToken,
    TokenRequest, token_cache::expiry::Tick,
};

const EPOCH: Duration = Duration::from_secs(1_800_000_000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What no file and no text may show, besides the tokens.
const EMAIL: &str = "somebody@example.com";
const CUSTOMER: i64 = 0x5ec2_e7c0_57ab_1e55;

/// tokio's clock, which is paused, and a wall clock that can be set.
#[derive(Debug)]
struct TestClock {
    start: tokio::time::Instant,
    ahead: AtomicI64,
}

impl TestClock {
    fn jump(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let by = Duration::from_secs(ahead.unsigned_abs());
        let now = SystemTime::UNIX_EPOCH + EPOCH + self.start.elapsed();
        if ahead < 0 { now - by } else { now + by }
    }

    fn instant(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Draws something else each time, so that a moment which is drawn again is another one.
#[derive(Debug, Default)]
struct Chance(AtomicUsize);

impl Jitter for Chance {
    fn fraction(&self) -> f64 {
        let drawn = self.0.fetch_add(1, Ordering::Relaxed) % 10;
        f64::from(u32::try_from(drawn).unwrap()) / 10.0
    }
}

/// Writes down what it is told.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<String>>);

impl Heard {
    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Heard {
    fn on_snapshot(&self, event: &SnapshotEvent<'_>) {
        let text = match event {
            SnapshotEvent::Restored(report) => format!("restored {}", report.restored),
            SnapshotEvent::Written(written) => format!("written {}", written.tokens),
            SnapshotEvent::Failed(error) => format!("failed: {error}"),
        };
        self.0.lock().unwrap().push(text);
    }
}

/// A folder, and what the caches on it have in common.
struct Setting {
    folder: TempDir,
    clock: Arc<TestClock>,
    heard: Arc<Heard>,
}

fn key(byte: u8) -> SnapshotKey {
    SnapshotKey::from([byte; 32])
}

impl Setting {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(TestClock {
                start: tokio::time::Instant::now(),
                ahead: AtomicI64::new(0),
            }),
            heard: Arc::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("tokens.snapshot")
    }

    fn lock(&self) -> PathBuf {
        self.folder.path().join("tokens.snapshot.lock")
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn client(&self, store: &str, service: &str) -> Client<StoreAccess> {
        Client::builder()
            .credentials(StoreAccess::new(store, "an access token").unwrap())
            .base_url(service)
            .clock(Arc::clone(&self.clock) as Arc<dyn Clock>)
            .jitter(Arc::new(Chance::default()))
            .observer(Arc::clone(&self.heard) as Arc<dyn Observer>)
            .build()
            .unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::new(self.path(), key(1));
        // Small chunks, so that few tokens fill several.
        snapshot.chunk = 512;
        snapshot
    }

    fn cache_on(&self, snapshot: Snapshot) -> StorefrontTokens {
        StorefrontTokens::builder()
            .client(self.client("abc123", "http://127.0.0.1:9"))
            .snapshot(snapshot)
            .build()
    }

    fn cache(&self) -> StorefrontTokens {
        self.cache_on(self.snapshot())
    }

    /// A token of a day from now on, unless it is shorter.
    fn put(&self, tokens: &StorefrontTokens, customer: i64) -> String {
        let text = format!(
            "token.{EMAIL}.{customer}.{}",
            self.clock.start.elapsed().as_secs()
        );
        let token = StorefrontToken::new(text.as_str().into(), None, self.clock.now()).unwrap();
        tokens
            .put(CustomerId::new(customer).unwrap(), &token)
            .unwrap();
        text
    }

    /// Customers 1 to `last`, in a snapshot that was written at the end of its process.
    async fn left_behind(&self, last: i64) {
        let tokens = self.cache();
        tokens.restore().await;
        for customer in 1..=last {
            self.put(&tokens, customer);
        }
        tokens.shutdown().await;
    }

    /// What another process that begins now gets out of the files as they are.
    async fn report(&self, snapshot: Snapshot) -> RestoreReport {
        let tokens = self.cache_on(snapshot);
        let report = tokens.restore().await;
        assert_eq!(tokens.metrics().entries, report.restored);
        report
    }
}

fn held(tokens: &StorefrontTokens, customer: i64) -> Option<String> {
    tokens
        .get_cached(CustomerId::new(customer).unwrap())
        .map(|token| token.expose_secret().to_owned())
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_process_had_the_next_one_has() {
    let setting = Setting::new();
    let tokens = setting.cache();
    let first = tokens.restore().await;
    assert!(first.is_writing && first.problem.is_none() && first.written_at.is_none());
    let other = tokens.for_store(setting.client("other", "http://127.0.0.1:9"));
    let mut texts = Vec::new();
    for customer in [1, 2, 3, CUSTOMER, i64::MAX] {
        texts.push((customer, setting.put(&tokens, customer)));
        pass(MINUTE).await;
    }
    let of_other = setting.put(&other, 1);
    let channel =
        TokenRequest::new(CustomerId::new(1).unwrap()).channel(ChannelId::new(7).unwrap());
    let token = StorefrontToken::new("of a channel".into(), None, setting.clock.now()).unwrap();
    tokens.put(channel.clone(), &token).unwrap();
    let entries = |tokens: &StorefrontTokens| {
        let mut all: Vec<_> = tokens
            .shared
            .cache
            .iter()
            .map(|(key, entry)| {
                let due = entry
                    .due()
                    .until(Tick::of(setting.clock.reading().monotonic));
                (
                    key.customer(),
                    key.channel(),
                    entry.token().to_owned(),
                    entry.expires_at(),
                    due,
                )
            })
            .collect();
        all.sort();
        all
    };
    tokens.shutdown().await;
    let before = entries(&tokens);
    assert_eq!(before.len(), 7);

    let again = setting.cache();
    // The stores come in another order, so that their numbers are others.
    let unrelated = again.for_store(setting.client("unrelated", "http://127.0.0.1:9"));
    let report = again.restore().await;
    assert_eq!(
        (
            report.restored,
            report.expired,
            report.left_out,
            report.evicted
        ),
        (7, 0, 0, 0)
    );
    assert!(report.problem.is_none() && report.is_writing);
    assert_eq!(report.written_at, Some(setting.clock.now()));
    let other = again.for_store(setting.client("other", "http://127.0.0.1:9"));
    for (customer, text) in texts {
        assert_eq!(held(&again, customer), Some(text));
    }
    assert_eq!(held(&other, 1), Some(of_other));
    assert_eq!((held(&other, 2), held(&unrelated, 1)), (None, None));
    assert_eq!(
        again.get_cached(channel).unwrap().expose_secret(),
        "of a channel"
    );
    assert!(other.store.breaker.has_ever_worked());
    assert!(!unrelated.store.breaker.has_ever_worked());
    // Each is renewed when it would have been: nothing was drawn anew. A start is kept to the second.
    let after = entries(&again);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&before.0, &before.1, &before.2, &before.3),
            (&after.0, &after.1, &after.2, &after.3)
        );
        assert!(
            before.4.abs_diff(after.4) <= Duration::from_secs(1),
            "{before:?} {after:?}"
        );
    }
    // And the same again through another file, to the tick.
    again.shutdown().await;
    let third = setting.cache();
    assert_eq!(third.restore().await.restored, 7);
    assert_eq!(entries(&third), after);
    assert_eq!(
        setting.heard.taken(),
        [
            "restored 0",
            "written 7",
            "restored 7",
            "written 7",
            "restored 7"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_damaged_file_is_taken() {
    let setting = Setting::new();
    setting.left_behind(20).await;
    let whole = fs::read(setting.path()).unwrap();
    assert!(whole.len() > 2 * 512);
    let tokens = setting.cache();
    let spoilt = |bytes: &[u8]| {
        fs::write(setting.path(), bytes).unwrap();
        let report = tokens.shared.restore_now();
        assert_eq!(
            (report.restored, report.expired, tokens.metrics().entries),
            (0, 0, 0)
        );
        report.problem.unwrap()
    };
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let problem = spoilt(&bytes);
        let expected = match at {
            8 => matches!(problem, SnapshotProblem::NewerVersion(33)),
            9 => matches!(problem, SnapshotProblem::NewerVersion(0x2001)),
            10..18 => problem == SnapshotProblem::OtherKey,
            _ => {
                matches!(problem, SnapshotProblem::Damaged { at: found } if found <= at as u64 || at < 41)
            }
        };
        assert!(expected, "{at}: {problem:?}");
    }
    for length in 0..whole.len() {
        assert!(matches!(
            spoilt(&whole[..length]),
            SnapshotProblem::Damaged { .. }
        ));
    }
    for more in [1, 16, 528, 1000] {
        let bytes = [&whole[..], &vec![7; more]].concat();
        assert!(matches!(spoilt(&bytes), SnapshotProblem::Damaged { .. }));
    }
    let (one, two) = (41..41 + 528, 41 + 528..41 + 2 * 528);
    let swapped = [
        &whole[..41],
        &whole[two.clone()],
        &whole[one],
        &whole[two.end..],
    ]
    .concat();
    assert_eq!(spoilt(&swapped), SnapshotProblem::Damaged { at: 41 });
    // Two snapshots of one key.
    fs::remove_file(setting.path()).unwrap();
    setting.left_behind(20).await;
    let mut mixed = fs::read(setting.path()).unwrap();
    mixed[two.clone()].copy_from_slice(&whole[two.clone()]);
    assert_eq!(
        spoilt(&mixed),
        SnapshotProblem::Damaged {
            at: two.start as u64
        }
    );
}

impl Shared {
    /// What `restore` does, at once.
    fn restore_now(self: &Arc<Self>) -> RestoreReport {
        let keeper = self.snapshot.clone().unwrap();
        let mut state = State::default();
        Shared::read(self, &keeper, &mut state)
    }
}

/// A sealed file of these records.
fn sealed(setting: &Setting, records: &[Record<'_>]) -> Result<(), io::Error> {
    let snapshot = setting.snapshot();
    let file = File::create(setting.path())?;
    let mut sealer = Sealer::begin(file, &snapshot.keys[0], [0; RANDOM], 512)?;
    for record in records {
        assert!(seal(&mut sealer, record)?);
    }
    sealer.finish().map(drop)
}

/// The head of a snapshot that is written now.
fn head_of_now(setting: &Setting) -> Record<'static> {
    Record::Head(Head {
        sequence: 1,
        written_at: setting.clock.reading().wall,
        service: "http://127.0.0.1:9/api/io",
    })
}

/// A day after `EPOCH`.
const A_DAY_ON: u32 = 1_800_086_400;

/// A token of a day, until `expires_at`.
fn token_record(store: u32, customer: i64, expires_at: u32, text: &str) -> Record<'_> {
    Record::Token(Token {
        store,
        customer: CustomerId::new(customer).unwrap(),
        channel: None,
        kept: super::super::cached_token::Kept {
            expires_at,
            life: 8_640_000,
            due: 6_912_000,
        },
        text,
    })
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_and_makes_no_sense_is_damage() {
    let setting = Setting::new();
    let head = head_of_now(&setting);
    let store = Record::Store("abc123");
    let token = |store, text| token_record(store, 1, A_DAY_ON, text);
    sealed(&setting, &[head, store, token(0, "fit")]).unwrap();
    assert_eq!(setting.report(setting.snapshot()).await.restored, 1);
    for records in [
        &[][..],
        &[store],
        &[token(0, "fit")],
        &[head, head],
        &[head, store, token(0, "fit"), head],
        // No such store, or not yet.
        &[head, token(0, "fit"), store],
        &[head, store, token(1, "fit")],
        // No header could carry it.
        &[head, store, token(0, "a\nb")],
    ] {
        sealed(&setting, records).unwrap();
        let report = setting.report(setting.snapshot()).await;
        assert_eq!(
            report.problem,
            Some(SnapshotProblem::Damaged { at: 41 }),
            "{records:?}"
        );
        assert_eq!(report.restored, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_longer_than_16_kib_is_left_out_and_the_others_come_back() {
    let setting = Setting::new();
    let longest = "x".repeat(16 * 1024);
    let too_long = format!("{longest}x");
    let records = [
        head_of_now(&setting),
        Record::Store("abc123"),
        token_record(0, 1, A_DAY_ON, &longest),
        token_record(0, 2, A_DAY_ON, &too_long),
        token_record(0, 3, A_DAY_ON, "short"),
    ];
    let keys = &setting.snapshot().keys[0];
    let file = File::create(setting.path()).unwrap();
    let mut sealer = Sealer::begin(file, keys, [0; RANDOM], CHUNK).unwrap();
    for record in &records {
        assert!(seal(&mut sealer, record).unwrap());
    }
    sealer.finish().unwrap();
    let report = setting.report(setting.snapshot()).await;
    assert_eq!(
        (report.restored, report.left_out, report.problem),
        (2, 1, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_is_replaced_by_naming_the_old_one() {
    let setting = Setting::new();
    setting.left_behind(3).await;
    let of = |byte| Snapshot::new(setting.path(), key(byte));
    let report = setting.report(of(2)).await;
    assert_eq!(
        (report.problem, report.restored),
        (Some(SnapshotProblem::OtherKey), 0)
    );
    let tokens = setting.cache_on(of(2).also_reads(key(9)).also_reads(key(1)));
    assert_eq!(tokens.restore().await.restored, 3);
    // Nothing changed, but the key did.
    tokens.shutdown().await;
    drop(tokens);
    assert_eq!(setting.report(of(2)).await.restored, 3);
    assert_eq!(
        setting.report(of(1)).await.problem,
        Some(SnapshotProblem::OtherKey)
    );
}

/// What it brings back is bounded by its age and by the ends of its tokens. Nothing beside it says that there was a newer one.
#[tokio::test(start_paused = true)]
async fn an_earlier_file_that_is_put_back_is_restored() {
    let setting = Setting::new();
    setting.left_behind(1).await;
    let first = fs::read(setting.path()).unwrap();
    setting.left_behind(2).await;
    assert_eq!(fs::metadata(setting.lock()).unwrap().len(), 0);

    fs::write(setting.path(), &first).unwrap();
    let owner = setting.cache();
    let report = owner.restore().await;
    assert_eq!((report.problem, report.restored), (None, 1));
    assert_eq!(owner.write_snapshot().await.unwrap().sequence, 2);
    // Also while the process runs that wrote a newer one.
    fs::write(setting.path(), &first).unwrap();
    fs::remove_file(setting.lock()).unwrap();
    assert_eq!(owner.write_snapshot().await.unwrap().sequence, 3);
}

/// Snapshots with a number in their lock file, as they were written before.
#[tokio::test(start_paused = true)]
async fn a_snapshot_of_an_earlier_version_comes_back_and_its_lock_is_emptied() {
    let setting = Setting::new();
    setting.left_behind(3).await;
    let name = setting.snapshot().keys[0].name;
    let place = [&name[..], &[0x5a; 48]].concat();
    fs::write(setting.lock(), [vec![0; 56], place].concat()).unwrap();
    let report = setting.report(setting.snapshot()).await;
    assert_eq!((report.problem, report.restored), (None, 3));
    assert!(report.is_writing);
    assert_eq!(fs::metadata(setting.lock()).unwrap().len(), 0);
}

/// As with a `Cargo.lock`, where somebody calls the snapshot `Cargo`.
#[tokio::test(start_paused = true)]
async fn a_lock_file_of_somebody_else_is_left_as_it_is_and_nothing_is_written() {
    let setting = Setting::new();
    setting.left_behind(2).await;
    let before = fs::read(setting.path()).unwrap();
    fs::write(setting.lock(), "[[package]]").unwrap();
    let tokens = setting.cache();
    let report = tokens.restore().await;
    let problem = SnapshotProblem::ForeignLock {
        path: setting.lock(),
    };
    assert_eq!(
        (report.problem, report.restored, report.is_writing),
        (Some(problem), 2, false)
    );
    setting.put(&tokens, 3);
    let error = tokens.write_snapshot().await.unwrap_err();
    assert!(
        matches!(&error, SnapshotError::ForeignLock { path } if *path == setting.lock()),
        "{error:?}"
    );
    assert_eq!(fs::read(setting.lock()).unwrap(), b"[[package]]");
    assert_eq!(fs::read(setting.path()).unwrap(), before);
    // Once it is out of the way, all goes on.
    fs::remove_file(setting.lock()).unwrap();
    assert_eq!(tokens.write_snapshot().await.unwrap().tokens, 3);
    tokens.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_or_of_another_service_is_not_taken() {
    let setting = Setting::new();
    setting.left_behind(1).await;
    pass(HOUR).await;
    let at_most = |age| setting.snapshot().not_older_than(age);
    let report = setting.report(at_most(HOUR)).await;
    assert_eq!((report.restored, report.problem), (1, None));
    pass(Duration::from_millis(1)).await;
    let report = setting.report(at_most(HOUR)).await;
    assert_eq!(
        (report.restored, report.problem),
        (0, Some(SnapshotProblem::TooOld))
    );
    assert!(report.written_at.is_some());
    assert_eq!(setting.report(setting.snapshot()).await.restored, 1);
    for service in ["http://127.0.0.1:10", "http://127.0.0.1:9/elsewhere"] {
        let tokens = StorefrontTokens::builder()
            .client(setting.client("abc123", service))
            .snapshot(setting.snapshot())
            .build();
        let report = tokens.restore().await;
        assert_eq!(
            (report.restored, report.problem),
            (0, Some(SnapshotProblem::OtherService))
        );
        assert!(report.is_writing);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_over_stay_where_they_are() {
    let setting = Setting::new();
    let old = || setting.snapshot().not_older_than(2 * DAY);
    let tokens = setting.cache_on(old());
    tokens.restore().await;
    setting.put(&tokens, 1);
    pass(HOUR).await;
    setting.put(&tokens, 2);
    tokens.write_snapshot().await.unwrap();
    drop(tokens);
    // 31 seconds before the first is over, and 29.
    pass(23 * HOUR - Duration::from_secs(31)).await;
    assert_eq!(setting.report(old()).await.restored, 2);
    pass(Duration::from_secs(2)).await;
    let report = setting.report(old()).await;
    assert_eq!(
        (report.restored, report.expired, report.problem),
        (1, 1, None)
    );
    // By a wall clock that was set forward as well.
    setting.clock.jump(3600);
    let report = setting.report(old()).await;
    assert_eq!((report.restored, report.expired), (0, 2));
    setting.clock.jump(-3600);
    // Those that are over when it is written are not in it.
    let tokens = setting.cache_on(old());
    assert_eq!(tokens.restore().await.restored, 1);
    setting.put(&tokens, 3);
    pass(HOUR).await;
    assert_eq!(tokens.write_snapshot().await.unwrap().tokens, 1);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_from_the_future_is_ignored() {
    let setting = Setting::new();
    setting.left_behind(3).await;
    // By no more than what tokens are not served for at their end.
    setting.clock.jump(-30);
    assert_eq!(setting.report(setting.snapshot()).await.restored, 3);
    for set_back_by in [1, 3600, 24 * 3600] {
        setting.clock.jump(-set_back_by);
        let report = setting.report(setting.snapshot()).await;
        assert_eq!(
            (report.restored, report.expired, &report.problem),
            (0, 0, &Some(SnapshotProblem::FromTheFuture))
        );
        assert!(report.is_writing, "the next one takes its place");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_from_the_future_is_left_out() {
    let setting = Setting::new();
    let head = head_of_now(&setting);
    let store = Record::Store("abc123");
    let token = |ahead| token_record(0, 1, A_DAY_ON + ahead, "text");
    sealed(&setting, &[head, store, token(30)]).unwrap();
    assert_eq!(setting.report(setting.snapshot()).await.restored, 1);
    sealed(&setting, &[head, store, token(31)]).unwrap();
    let report = setting.report(setting.snapshot()).await;
    assert_eq!(
        (report.restored, report.left_out, report.problem),
        (0, 1, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_outlives_no_clock_that_is_set_back_before_the_snapshot_is_written() {
    let setting = Setting::new();
    let tokens = setting.cache();
    tokens.restore().await;
    setting.put(&tokens, 1);
    // 20 hours later the clock turns out to be a day ahead.
    pass(20 * HOUR).await;
    setting.clock.jump(-24 * 3600);
    tokens.write_snapshot().await.unwrap();
    tokens.shutdown().await;
    let tokens = setting.cache();
    assert_eq!(tokens.restore().await.restored, 1);
    pass(4 * HOUR - Duration::from_secs(32)).await;
    assert!(held(&tokens, 1).is_some());
    pass(Duration::from_secs(3)).await;
    assert_eq!(held(&tokens, 1), None);
}

/// A token with these claims.
fn jwt(claims: &serde_json::Value) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[tokio::test(start_paused = true)]
async fn a_token_of_another_customer_or_store_is_left_out_and_counted() {
    use serde_json::json;

    let setting = Setting::new();
    let texts = [
        (
            1,
            jwt(&json!({"bc_customer_id": 1, "store_hash": "abc123"})),
        ),
        (
            2,
            jwt(&json!({"bc_customer_id": 1, "store_hash": "abc123"})),
        ),
        (
            3,
            jwt(&json!({"bc_customer_id": 3, "store_hash": "def456"})),
        ),
        (4, jwt(&json!({"email": "a login names no customer"}))),
        (5, "opaque".to_owned()),
    ];
    let mut records = vec![head_of_now(&setting), Record::Store("abc123")];
    records.extend(
        texts
            .iter()
            .map(|(id, text)| token_record(0, *id, A_DAY_ON, text)),
    );
    sealed(&setting, &records).unwrap();
    let tokens = setting.cache();
    let report = tokens.restore().await;
    assert_eq!(
        (report.restored, report.mismatched, report.left_out),
        (3, 2, 0)
    );
    for (customer, is_there) in [(1, true), (2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(held(&tokens, customer).is_some(), is_there, "{customer}");
    }
    // Nor does it come into the next snapshot.
    assert_eq!(tokens.write_snapshot().await.unwrap().tokens, 3);
}

#[tokio::test(start_paused = true)]
async fn one_writes_and_the_other_takes_over() {
    let setting = Setting::new();
    let one = setting.cache();
    assert!(one.restore().await.is_writing);
    setting.put(&one, 1);
    one.write_snapshot().await.unwrap();
    let other = setting.cache();
    let report = other.restore().await;
    assert_eq!(
        (report.problem, report.restored),
        (Some(SnapshotProblem::HeldByAnother), 1)
    );
    assert!(!report.is_writing);
    let error = other.write_snapshot().await.unwrap_err();
    assert!(matches!(error, SnapshotError::HeldByAnother));
    setting.put(&other, 2);
    let before = fs::read(setting.path()).unwrap();
    pass(6 * MINUTE).await;
    assert_eq!(fs::read(setting.path()).unwrap(), before);
    // A newer token for who waits, which takes the place of the older one there, and nothing else.
    let newer = setting.put(&one, 1);
    setting.heard.taken();
    one.shutdown().await;
    assert_eq!(setting.heard.taken(), ["written 1"]);
    pass(5 * MINUTE).await;
    assert_eq!(held(&other, 1), Some(newer));
    assert_eq!(setting.heard.taken(), ["restored 1", "written 2"]);
    assert_eq!(other.write_snapshot().await.unwrap().sequence, 4);
    // One that is dropped without a word gives the lock back as well.
    drop(other);
    tokio::task::yield_now().await;
    let third = setting.cache();
    let report = third.restore().await;
    assert_eq!((report.restored, report.is_writing), (2, true));
    // And one that waits may write itself as soon as nobody else does.
    let fourth = setting.cache();
    assert!(!fourth.restore().await.is_writing);
    third.shutdown().await;
    setting.heard.taken();
    fourth.write_snapshot().await.unwrap();
    assert_eq!(setting.heard.taken(), ["restored 0", "written 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_file_was_removed_is_taken_anew() {
    let setting = Setting::new();
    let one = setting.cache();
    one.restore().await;
    setting.put(&one, 1);
    one.write_snapshot().await.unwrap();
    fs::remove_file(setting.lock()).unwrap();
    let other = setting.cache();
    assert!(other.restore().await.is_writing);
    setting.put(&one, 2);
    assert!(matches!(
        one.write_snapshot().await,
        Err(SnapshotError::HeldByAnother)
    ));
    other.shutdown().await;
    let written = one.write_snapshot().await.unwrap();
    assert_eq!((written.tokens, written.sequence), (2, 3));
    // Nobody else came: it takes it again.
    fs::remove_file(setting.lock()).unwrap();
    assert_eq!(one.write_snapshot().await.unwrap().sequence, 4);
}

#[tokio::test(start_paused = true)]
async fn it_is_written_at_intervals_when_something_changed() {
    let setting = Setting::new();
    let tokens = setting.cache_on(setting.snapshot().every(10 * MINUTE));
    tokens.restore().await;
    pass(11 * MINUTE).await;
    assert!(!setting.path().exists(), "there was nothing to write");
    setting.put(&tokens, 1);
    pass(8 * MINUTE).await;
    assert!(!setting.path().exists());
    pass(2 * MINUTE).await;
    assert!(setting.path().exists());
    let at_first = fs::read(setting.path()).unwrap();
    pass(20 * MINUTE).await;
    assert_eq!(
        fs::read(setting.path()).unwrap(),
        at_first,
        "nothing changed"
    );
    let token = tokens.get_cached(CustomerId::new(1).unwrap()).unwrap();
    tokens.invalidate(&token);
    pass(10 * MINUTE).await;
    let then = fs::read(setting.path()).unwrap();
    assert!(then != at_first && then.len() < at_first.len());
    assert_eq!(
        setting.heard.taken(),
        ["restored 0", "written 1", "written 0"]
    );
    // Nothing changed since: a shutdown has nothing to write, and afterwards nothing is.
    tokens.shutdown().await;
    setting.put(&tokens, 2);
    assert!(matches!(
        tokens.write_snapshot().await,
        Err(SnapshotError::ShutDown)
    ));
    tokens.shutdown().await;
    pass(HOUR).await;
    assert_eq!(fs::read(setting.path()).unwrap(), then);
    let heard = setting.heard.taken();
    assert_eq!(
        heard,
        ["failed: no snapshot of the tokens was written: the cache was shut down"]
    );
    // What is restored after a shutdown is read, and nothing more.
    let report = tokens.restore().await;
    assert_eq!(
        (report.problem, report.is_writing),
        (Some(SnapshotProblem::ShutDown), false)
    );
    // By default, it is every five minutes; never more often than each second.
    assert_eq!(Snapshot::new("x", key(1)).every, 5 * MINUTE);
    assert_eq!(Snapshot::new("x", key(1)).not_older_than, DAY);
    assert_eq!(Snapshot::new("x", key(1)).chunk, 65_536);
    let often = setting.snapshot().every(Duration::ZERO);
    assert_eq!(often.every, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_was_not_restored_writes_nothing() {
    let setting = Setting::new();
    setting.left_behind(3).await;
    let before = fs::read(setting.path()).unwrap();
    let tokens = setting.cache();
    setting.put(&tokens, 4);
    let error = tokens.write_snapshot().await.unwrap_err();
    assert!(matches!(error, SnapshotError::NotRestored));
    pass(HOUR).await;
    tokens.shutdown().await;
    assert_eq!(fs::read(setting.path()).unwrap(), before);
    let without = StorefrontTokens::builder()
        .client(setting.client("abc123", "http://127.0.0.1:9"))
        .build();
    assert_eq!(
        without.restore().await.problem,
        Some(SnapshotProblem::NotSetUp)
    );
    assert!(matches!(
        without.write_snapshot().await,
        Err(SnapshotError::NotSetUp)
    ));
    without.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_leaves_the_old_one_and_is_tried_again() {
    let setting = Setting::new();
    setting.left_behind(2).await;
    let before = fs::read(setting.path()).unwrap();
    let is_broken = Arc::new(Mutex::new(false));
    let mut snapshot = setting.snapshot();
    let (good, broken) = (Arc::clone(&snapshot.random), Arc::clone(&is_broken));
    snapshot.random = Arc::new(move |bytes| {
        // What stands for a disk that is full: the file is there already, and its nonce is not to be had.
        if *broken.lock().unwrap() && bytes.len() == RANDOM {
            return Err(io::ErrorKind::StorageFull.into());
        }
        good(bytes)
    });
    let tokens = setting.cache_on(snapshot);
    tokens.restore().await;
    setting.put(&tokens, 3);
    *is_broken.lock().unwrap() = true;
    setting.heard.taken();
    pass(11 * MINUTE).await;
    let heard = setting.heard.taken();
    assert_eq!(heard.len(), 2);
    assert!(
        heard[0].starts_with("failed: no snapshot of the tokens was written: could not write "),
        "{heard:?}"
    );
    assert_eq!(fs::read(setting.path()).unwrap(), before);
    assert_eq!(setting.names(), ["tokens.snapshot", "tokens.snapshot.lock"]);
    *is_broken.lock().unwrap() = false;
    pass(5 * MINUTE).await;
    assert_eq!(setting.heard.taken(), ["written 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_that_is_missing_is_said_and_used_when_it_comes() {
    let setting = Setting::new();
    let folder = setting.folder.path().join("later");
    let tokens = setting.cache_on(Snapshot::new(folder.join("tokens"), key(1)));
    let report = tokens.restore().await;
    assert_eq!(
        report.problem,
        Some(SnapshotProblem::Unreadable {
            path: folder.join("tokens.lock"),
            kind: io::ErrorKind::NotFound
        })
    );
    assert!(!report.is_writing);
    setting.put(&tokens, 1);
    setting.heard.taken();
    pass(6 * MINUTE).await;
    let heard = setting.heard.taken();
    assert!(
        heard.len() == 1 && heard[0].contains("could not open "),
        "{heard:?}"
    );
    fs::create_dir(&folder).unwrap();
    pass(5 * MINUTE).await;
    assert_eq!(setting.heard.taken(), ["restored 0", "written 1"]);
    // What is no file cannot be read, and not be replaced either.
    let tokens = setting.cache_on(Snapshot::new(&folder, key(1)));
    let report = tokens.restore().await;
    assert!(
        matches!(&report.problem, Some(SnapshotProblem::NotAFile { path }) if *path == folder),
        "{report:?}"
    );
    setting.put(&tokens, 1);
    let error = tokens.write_snapshot().await.unwrap_err();
    assert!(
        matches!(&error, SnapshotError::NotAFile { path } if *path == folder),
        "{error:?}"
    );
    let io = SnapshotError::Io {
        doing: "replace",
        path: folder,
        error: Arc::new(io::ErrorKind::StorageFull.into()),
    };
    assert!(std::error::Error::source(&io).is_some());
    assert!(std::error::Error::source(&SnapshotError::ShutDown).is_none());
    assert_eq!(setting.names(), ["later", "later.lock"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_cache_knows_better_is_left_out() {
    let setting = Setting::new();
    let tokens = setting.cache();
    tokens.restore().await;
    for customer in 1..=3 {
        setting.put(&tokens, customer);
    }
    tokens.write_snapshot().await.unwrap();
    pass(MINUTE).await;
    let newer = setting.put(&tokens, 1);
    let refused = tokens.get_cached(CustomerId::new(2).unwrap()).unwrap();
    tokens.invalidate(&refused);
    // One that is there already stays as it is, with what was learned of it since.
    let third = tokens.get_cached(CustomerId::new(3).unwrap()).unwrap();
    third.entry.leave_alone_for(setting.clock.reading(), MINUTE);
    let due = third.entry.due();
    let report = tokens.restore().await;
    assert_eq!((report.restored, report.left_out), (0, 3));
    let third = tokens.get_cached(CustomerId::new(3).unwrap()).unwrap();
    assert_eq!(third.entry.due(), due);
    assert_eq!((held(&tokens, 1), held(&tokens, 2)), (Some(newer), None));
    // A newer one from another process is let in, and is then in the place of the refused one.
    let other = setting.cache();
    pass(MINUTE).await;
    other.restore().await;
    let fresh = setting.put(&other, 2);
    fs::remove_file(setting.lock()).unwrap();
    assert!(other.restore().await.is_writing);
    other.shutdown().await;
    tokens.restore().await;
    assert_eq!(held(&tokens, 2), Some(fresh));
    let now = setting.clock.reading();
    assert!(
        !tokens
            .shared
            .rejections
            .is_open(&Key::new(0, CustomerId::new(2).unwrap(), None, None), now)
    );
}

#[tokio::test(start_paused = true)]
async fn a_cache_holds_no_more_than_it_may() {
    let setting = Setting::new();
    setting.left_behind(100).await;
    let tokens = StorefrontTokens::builder()
        .client(setting.client("abc123", "http://127.0.0.1:9"))
        .capacity(Capacity::entries(10))
        .snapshot(setting.snapshot())
        .build();
    let report = tokens.restore().await;
    assert_eq!((report.restored, report.evicted), (100, 90));
    let metrics = tokens.metrics();
    assert_eq!((metrics.entries, metrics.evicted_live), (10, 90));
}

#[tokio::test(start_paused = true)]
async fn tokens_with_a_customer_access_token_and_those_that_are_too_long_are_left_out() {
    let setting = Setting::new();
    let tokens = setting.cache();
    tokens.restore().await;
    let text = "x".repeat(512 - 35);
    for (customer, text) in [(1, text.clone()), (2, text + "x")] {
        let token = StorefrontToken::new(text.into(), None, setting.clock.now()).unwrap();
        tokens
            .put(CustomerId::new(customer).unwrap(), &token)
            .unwrap();
    }
    let customer = CustomerId::new(3).unwrap();
    let request =
        TokenRequest::new(customer).customer_access_token(CustomerAccessToken::new("secret"));
    let token = StorefrontToken::new("token".into(), None, setting.clock.now()).unwrap();
    tokens.put(request, &token).unwrap();
    let written = tokens.write_snapshot().await.unwrap();
    assert_eq!((written.tokens, written.left_out), (1, 2));
    assert_eq!(written.bytes, fs::metadata(setting.path()).unwrap().len());
    drop(tokens);
    assert_eq!(setting.report(setting.snapshot()).await.restored, 1);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_no_record_holds_is_a_failure_and_no_snapshot() {
    let setting = Setting::new();
    let service = format!("http://127.0.0.1:9/{}", "x".repeat(600));
    let tokens = StorefrontTokens::builder()
        .client(setting.client("abc123", &service))
        .snapshot(setting.snapshot())
        .build();
    tokens.restore().await;
    let error = tokens.write_snapshot().await.unwrap_err();
    assert!(
        error.to_string().contains("too long for a snapshot"),
        "{error}"
    );
    assert_eq!(setting.names(), ["tokens.snapshot.lock"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_in_a_file_and_nothing_that_is_said_tells_whose_tokens_they_are() {
    let setting = Setting::new();
    let tokens = setting.cache();
    let first = tokens.restore().await;
    let text = setting.put(&tokens, CUSTOMER);
    let written = tokens.write_snapshot().await.unwrap();
    let mut bytes = fs::read(setting.path()).unwrap();
    bytes.extend(fs::read(setting.lock()).unwrap());
    let is_there = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(is_there(b"b2b-snap"));
    for needle in [
        text.as_bytes(),
        EMAIL.as_bytes(),
        b"token.",
        b"abc123",
        b"127.0.0.1",
        CUSTOMER.to_string().as_bytes(),
        &CUSTOMER.to_le_bytes(),
        &CUSTOMER.to_be_bytes(),
        &[1; 8],
    ] {
        assert!(!is_there(needle), "{needle:?}");
    }
    let again = setting.cache();
    let report = again.restore().await;
    let error = again.write_snapshot().await.unwrap_err();
    let shown = format!(
        "{first:?} {written:?} {report:?} {error:?} {error} {} {:?} {:?}",
        report.problem.clone().unwrap(),
        setting.snapshot(),
        SnapshotEvent::Failed(&error),
    );
    for needle in [
        text.as_str(),
        EMAIL,
        &CUSTOMER.to_string(),
        "abc123",
        "[1, 1",
    ] {
        assert!(!shown.contains(needle), "{shown}");
    }
    assert!(format!("{:?}", setting.snapshot()).contains("not_older_than"));
    // Two snapshots of the same tokens have nothing in common behind what they begin with.
    tokens.write_snapshot().await.unwrap();
    let other = fs::read(setting.path()).unwrap();
    assert_eq!(bytes[..18], other[..18]);
    let alike = bytes[18..].iter().zip(&other[18..]).filter(|(a, b)| a == b);
    assert!(alike.count() < other.len() / 16);
}

#[tokio::test(start_paused = true)]
async fn two_that_write_at_once_write_one_after_the_other() {
    let setting = Setting::new();
    let tokens = setting.cache();
    tokens.restore().await;
    setting.put(&tokens, 1);
    let (one, other) = tokio::join!(tokens.write_snapshot(), tokens.write_snapshot());
    let mut sequences = [one.unwrap().sequence, other.unwrap().sequence];
    sequences.sort_unstable();
    assert_eq!(sequences, [1, 2]);
    // One whose caller does not wait for it is finished all the same, before the next.
    let mut dropped = Box::pin(tokens.write_snapshot());
    assert!(futures_util::FutureExt::now_or_never(&mut dropped).is_none());
    drop(dropped);
    assert_eq!(tokens.write_snapshot().await.unwrap().sequence, 4);
}

#[test]
fn it_works_without_a_runtime_and_on_one_that_was_given() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let setting = runtime.block_on(async { Setting::new() });
    let tokens = runtime.block_on(async { setting.cache() });
    let report = futures_util::FutureExt::now_or_never(tokens.restore()).unwrap();
    assert!(report.is_writing);
    setting.put(&tokens, 1);
    let written = futures_util::FutureExt::now_or_never(tokens.write_snapshot()).unwrap();
    assert_eq!(written.unwrap().tokens, 1);
    drop(tokens);
    // On a runtime that is gone, nothing is, and it is said.
    let tokens = StorefrontTokens::builder()
        .client(setting.client("abc123", "http://127.0.0.1:9"))
        .snapshot(setting.snapshot())
        .runtime(runtime.handle().clone())
        .build();
    drop(runtime);
    let another = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let report = another.block_on(tokens.restore());
    assert_eq!(
        report.problem,
        Some(SnapshotProblem::Unreadable {
            path: setting.path(),
            kind: io::ErrorKind::Interrupted
        })
    );
    let error = another.block_on(tokens.write_snapshot()).unwrap_err();
    assert!(matches!(error, SnapshotError::Interrupted));
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_opened_is_not_taken_for_a_first_start() {
    let setting = Setting::new();
    // A link that leads to itself: it is there, and nobody can open it.
    std::os::unix::fs::symlink(setting.path(), setting.path()).unwrap();
    let report = setting.cache_on(setting.snapshot()).restore().await;
    assert!(
        matches!(&report.problem, Some(SnapshotProblem::NotAFile { path }) if *path == setting.path()),
        "{report:?}"
    );
    assert!(report.is_writing);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_is_kept_beside() {
    let write = async |setting: &Setting, snapshot: Snapshot| {
        let tokens = setting.cache_on(snapshot);
        let report = tokens.restore().await;
        setting.put(&tokens, 1);
        tokens.write_snapshot().await.unwrap();
        tokens.shutdown().await;
        report.problem
    };
    let setting = Setting::new();
    let aside = setting.folder.path().join("tokens.snapshot.aside");
    // Somebody's file, whose path was given by mistake.
    fs::write(setting.path(), "dear diary").unwrap();
    let problem = write(&setting, setting.snapshot()).await;
    assert_eq!(problem, Some(SnapshotProblem::Damaged { at: 0 }));
    assert_eq!(fs::read(&aside).unwrap(), b"dear diary");
    // Ours, written anew by us: nothing is kept of that.
    fs::remove_file(&aside).unwrap();
    assert_eq!(write(&setting, setting.snapshot()).await, None);
    assert!(!aside.exists());
    // Under a key that was mistaken: the right one brings it back.
    let ours = fs::read(setting.path()).unwrap();
    let problem = write(&setting, Snapshot::new(setting.path(), key(2))).await;
    assert_eq!(problem, Some(SnapshotProblem::OtherKey));
    assert_eq!(fs::read(&aside).unwrap(), ours);
    // What is damaged further on is ours, and of no use to anybody.
    fs::remove_file(&aside).unwrap();
    let mut damaged = fs::read(setting.path()).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    fs::write(setting.path(), damaged).unwrap();
    let problem = write(&setting, Snapshot::new(setting.path(), key(2))).await;
    assert!(
        matches!(problem, Some(SnapshotProblem::Damaged { at }) if at > 0),
        "{problem:?}"
    );
    assert!(!aside.exists());
}

#[test]
fn every_problem_says_what_happened_and_what_to_do() {
    let path = PathBuf::from("folder/file");
    let io = |doing| SnapshotError::Io {
        doing,
        path: path.clone(),
        error: Arc::new(io::ErrorKind::PermissionDenied.into()),
    };
    let unreadable = SnapshotProblem::Unreadable {
        path: path.clone(),
        kind: io::ErrorKind::PermissionDenied,
    };
    for (problem, expected) in [
        (SnapshotProblem::Damaged { at: 77 }, "byte 77"),
        (SnapshotProblem::OtherKey, "`also_reads`"),
        (SnapshotProblem::OtherService, "another base URL"),
        (SnapshotProblem::NewerVersion(7), "format 7"),
        (
            SnapshotProblem::NotAFile { path: path.clone() },
            "folder/file is a link, a folder, a pipe or a device",
        ),
        (
            SnapshotProblem::ForeignLock { path: path.clone() },
            "choose another path",
        ),
        (SnapshotProblem::TooOld, "`not_older_than`"),
        (SnapshotProblem::FromTheFuture, "check this machine's clock"),
        (
            unreadable.clone(),
            "folder/file cannot be opened or read (permission denied)",
        ),
        (SnapshotProblem::HeldByAnother, "another process"),
        (SnapshotProblem::ShutDown, "was shut down"),
        (SnapshotProblem::NotSetUp, "without a snapshot"),
    ] {
        assert!(problem.to_string().contains(expected), "{problem}");
    }
    for (error, expected, problem) in [
        (
            SnapshotError::NotSetUp,
            "without one",
            SnapshotProblem::NotSetUp,
        ),
        (
            SnapshotError::NotRestored,
            "call `restore` first",
            SnapshotProblem::NotSetUp,
        ),
        (
            SnapshotError::HeldByAnother,
            "another process",
            SnapshotProblem::HeldByAnother,
        ),
        (
            SnapshotError::ShutDown,
            "was shut down",
            SnapshotProblem::ShutDown,
        ),
        (
            SnapshotError::NotAFile { path: path.clone() },
            "written: folder/file is a link",
            SnapshotProblem::NotAFile { path: path.clone() },
        ),
        (
            SnapshotError::ForeignLock { path: path.clone() },
            "written: folder/file is not empty",
            SnapshotProblem::ForeignLock { path: path.clone() },
        ),
        (
            io("create"),
            "could not create folder/file: permission denied; see",
            unreadable,
        ),
    ] {
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.into_problem(Path::new("elsewhere")), problem);
    }
    assert!(
        SnapshotError::Interrupted
            .to_string()
            .contains("took too long")
    );
}
