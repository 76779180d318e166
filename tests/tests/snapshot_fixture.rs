//! Snapshot files of released formats still restore: every file `tests/fixtures/*.snapshot` was written by an SDK of its time,
//! and holds the same tokens under the same key. In the *time* harness, so that the tokens stay valid.
//!
//! A new version of the format gets a file of its own, and the old files stay. To write one, name it from the folder `tests`:
//! `WRITE_SNAPSHOT_FIXTURE=fixtures/tokens-v2.snapshot cargo test -p tests --test snapshot_fixture`.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL};
use bigcommerce_b2b_auth::{
    BudgetLimit, ChannelId, Client, Clock, CustomerId, Jitter, Snapshot, SnapshotKey, StoreAccess,
    StorefrontTokens, TokenRequest, reqwest,
    transport::{Operation, Transport, TransportFuture},
};
use serde_json::{Value, json};
use tests::{PausedClock, managed::Chance};

/// The key of every fixture, as an application would configure it: 32 times the byte 7.
const KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// When the first tokens of every fixture were minted, since 1970: the start of the paused clock.
const START: Duration = Duration::from_secs(1_800_000_000);

/// When the fixtures are restored, after [`START`]. They were written an hour after it.
const RESTORED_AFTER: Duration = Duration::from_secs(2 * 60 * 60);

/// One token of the fixtures.
#[derive(Debug, Clone, Copy)]
struct Fixed {
    store: &'static str,
    customer: u64,
    channel: Option<u64>,
    text: Text,
}

#[derive(Debug, Clone, Copy)]
enum Text {
    /// No JWT. It counts for 24 hours.
    Opaque,
    /// The same with 15 KiB, so that the file has more than one chunk of 64 KiB.
    Long,
    /// A JWT that expires six hours after [`START`].
    Jwt,
}

const fn fixed(store: &'static str, customer: u64, channel: Option<u64>, text: Text) -> Fixed {
    Fixed {
        store,
        customer,
        channel,
        text,
    }
}

const TOKENS: [Fixed; 11] = [
    fixed("fixture-a", 1, None, Text::Opaque),
    fixed("fixture-a", 1, Some(2), Text::Opaque),
    fixed("fixture-a", 1, Some(3), Text::Opaque),
    fixed("fixture-a", 2, None, Text::Long),
    fixed("fixture-a", 3, None, Text::Long),
    fixed("fixture-a", 4, None, Text::Long),
    fixed("fixture-a", 5, None, Text::Long),
    fixed("fixture-a", 6, None, Text::Long),
    fixed("fixture-a", 9_007_199_254_740_993, None, Text::Jwt),
    fixed("fixture-b", 1, None, Text::Jwt),
    fixed("fixture-b", 2, Some(2), Text::Opaque),
];

impl Fixed {
    fn request(self) -> TokenRequest {
        let request = TokenRequest::new(CustomerId::new(self.customer).unwrap());
        match self.channel {
            Some(channel) => request.channel(ChannelId::new(channel).unwrap()),
            None => request,
        }
    }

    fn token(self) -> String {
        let name = format!(
            "{}.{}.{}",
            self.store,
            self.customer,
            self.channel.unwrap_or(0)
        );
        match self.text {
            Text::Opaque => format!("opaque-{name}"),
            Text::Long => format!("{:x<15360}", format!("opaque-{name}-")),
            Text::Jwt => {
                let claims = json!({
                    "bc_customer_id": self.customer,
                    "store_hash": self.store,
                    "exp": (START + 6 * HOUR).as_secs(),
                });
                let parts = [json!({"alg": "HS256"}).to_string(), claims.to_string()];
                let [header, claims] = parts.map(|part| BASE64URL.encode(part));
                format!("{header}.{claims}.{}", BASE64URL.encode("no signature"))
            }
        }
    }

    fn expires_at(self) -> SystemTime {
        let life = match self.text {
            Text::Opaque | Text::Long => 24 * HOUR,
            Text::Jwt => 6 * HOUR,
        };
        SystemTime::UNIX_EPOCH + START + life
    }
}

/// Mints the tokens of [`TOKENS`] for one store, and counts.
#[derive(Debug)]
struct Mint {
    store: &'static str,
    mints: AtomicUsize,
}

impl Transport for Mint {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        self.mints.fetch_add(1, Ordering::Relaxed);
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap();
        let body: Value = serde_json::from_slice(body).unwrap();
        let (customer, channel) = (body["customerId"].as_u64(), body["channelId"].as_u64());
        let asked = TOKENS.into_iter().find(|fixed| {
            (fixed.store, Some(fixed.customer), fixed.channel) == (self.store, customer, channel)
        });
        let token = asked.unwrap().token();
        let body = json!({"code": 200, "data": {"token": [token]}, "meta": {"message": "SUCCESS"}});
        Box::pin(async move { Ok(http::Response::new(body.to_string()).into()) })
    }
}

/// One cache for both stores, on a snapshot file.
struct Setting {
    clock: PausedClock,
    tokens: [(&'static str, StorefrontTokens); 2],
    mints: [Arc<Mint>; 2],
}

impl Setting {
    fn new(file: &Path) -> Self {
        let clock = PausedClock::start();
        let mints = ["fixture-a", "fixture-b"].map(|store| {
            Arc::new(Mint {
                store,
                mints: AtomicUsize::new(0),
            })
        });
        let [a, b] = mints.clone().map(|mint| {
            Client::builder()
                .credentials(StoreAccess::new(mint.store, "an access token").unwrap())
                .base_url("https://b2b.example.com")
                .transport(mint as Arc<dyn Transport>)
                .clock(Arc::new(clock) as Arc<dyn Clock>)
                .jitter(Chance::of(0.5) as Arc<dyn Jitter>)
                .budget_limit(BudgetLimit::unlimited())
                .build()
                .unwrap()
        });
        let key = SnapshotKey::from_base64(KEY).unwrap();
        let of_a = StorefrontTokens::builder()
            .client(a)
            // Only when it is told to.
            .snapshot(Snapshot::new(file, key).every(24 * HOUR))
            .build();
        let of_b = of_a.for_store(b);
        Self {
            clock,
            tokens: [("fixture-a", of_a), ("fixture-b", of_b)],
            mints,
        }
    }

    fn of(&self, store: &str) -> &StorefrontTokens {
        let mut tokens = self.tokens.iter();
        &tokens.find(|(name, _)| *name == store).unwrap().1
    }

    fn mints(&self) -> usize {
        let counts = self.mints.iter().map(|it| it.mints.load(Ordering::Relaxed));
        counts.sum()
    }
}

/// Writes a fixture with the SDK as it is.
async fn write(file: &Path) {
    assert!(!file.exists(), "{}: an old file stays", file.display());
    let setting = Setting::new(file);
    let tokens = setting.of("fixture-a");
    assert_eq!(tokens.restore().await.problem, None);
    for fixed in TOKENS {
        setting.of(fixed.store).get(fixed.request()).await.unwrap();
    }
    tokio::time::sleep(HOUR).await;
    assert_eq!(tokens.write_snapshot().await.unwrap().tokens, TOKENS.len());
}

/// Restores a copy of a fixture two hours after [`START`]: every token is there, and is refreshed when it was due.
async fn restore(fixture: &Path) {
    let shown = fixture.display();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("tokens.snapshot");
    fs::copy(fixture, &copy).unwrap();
    let setting = Setting::new(&copy);
    tokio::time::sleep(RESTORED_AFTER).await;
    let report = setting.of("fixture-a").restore().await;
    assert_eq!(
        (report.restored, report.problem, report.is_writing),
        (TOKENS.len(), None, true),
        "{shown}"
    );
    let left_out = report.expired + report.left_out + report.mismatched + report.evicted;
    assert_eq!(left_out, 0, "{shown}");
    let written_at = report.written_at.unwrap();
    assert_eq!(written_at, SystemTime::UNIX_EPOCH + START + HOUR, "{shown}");
    for fixed in TOKENS {
        let token = setting.of(fixed.store).get(fixed.request()).await.unwrap();
        assert_eq!(token.expose_secret(), fixed.token(), "{shown}: {fixed:?}");
        assert_eq!(token.expires_at(), fixed.expires_at(), "{shown}: {fixed:?}");
        assert_eq!(token.customer().get(), fixed.customer.cast_signed());
    }
    assert_eq!(setting.mints(), 0, "{shown}");
    // Each is refreshed when its writer would have: after 19 h 12 min with half of the chance.
    let due = fixed("fixture-a", 1, None, Text::Opaque);
    for (after, expected) in [(19 * HOUR, 0), (19 * HOUR + 13 * MINUTE, 1)] {
        tokio::time::sleep(after - setting.clock.elapsed()).await;
        setting.of(due.store).get(due.request()).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(setting.mints(), expected, "{shown}: {after:?}");
    }
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|it| it == "snapshot"));
    files.sort();
    files
}

#[tokio::test(start_paused = true)]
async fn every_fixture_restores() {
    let fixtures = fixtures();
    let names: Vec<_> = fixtures.iter().map(|it| it.file_name().unwrap()).collect();
    assert!(names.contains(&"tokens-v1.snapshot".as_ref()), "{names:?}");
    for fixture in fixtures {
        restore(&fixture).await;
    }
}

/// So that the next fixture holds what the others do. It is kept where `WRITE_SNAPSHOT_FIXTURE` names a file.
#[tokio::test(start_paused = true)]
async fn what_is_written_today_is_what_the_fixtures_hold() {
    let folder = tempfile::tempdir().unwrap();
    let named = std::env::var_os("WRITE_SNAPSHOT_FIXTURE").map(PathBuf::from);
    let file = named.unwrap_or_else(|| folder.path().join("tokens.snapshot"));
    write(&file).await;
    restore(&file).await;
}
