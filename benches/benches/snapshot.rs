//! What a snapshot of a million managed tokens costs: writing it, loading it, its size, and what hits see of it meanwhile.
//!
//! Hits are measured one by one on one thread, in three settings that alternate in one run: beside nobody, beside a thread that
//! only computes, and beside the writing. The second tells what of the third is a neighbour's and not the snapshot's.
//!
//! `cargo bench -p benches --bench snapshot`, and with fewer tokens `-- 100000`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    hint::black_box,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use benches::Result;
use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, CustomerId, RestoreReport, Snapshot, SnapshotKey,
    SnapshotWritten, StoreAccess, StorefrontTokens,
    transport::{Delivery, Operation, Transport, TransportError, TransportFuture},
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

const ROUNDS: usize = 3;

fn main() -> ExitCode {
    benches::run(|arguments| {
        let tokens = match arguments {
            [tokens] => tokens.parse()?,
            _ => 1_000_000,
        };
        measure(tokens)
    })
}

/// The transport: another token of 318 characters for each customer, at once.
#[derive(Debug)]
struct Mint;

impl Mint {
    fn reply(request: &reqwest::Request) -> Result<reqwest::Response> {
        let body = request.body().and_then(reqwest::Body::as_bytes);
        let body: Value = serde_json::from_slice(body.ok_or("a mint has a body")?)?;
        let customer = body.get("customerId").ok_or("a mint names a customer")?;
        let claims = json!({"bc_customer_id": customer, "store_hash": "abc123", "email": "somebody@example.com"});
        let claims = format!("{:<192}", claims.to_string());
        let token = [
            r#"{"alg":"HS256"}"#,
            &claims,
            "a signature that signs nothing",
        ]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".");
        let reply =
            json!({"code": 200, "data": {"token": [token]}, "meta": {"message": "SUCCESS"}});
        Ok(http::Response::new(reply.to_string()).into())
    }
}

impl Transport for Mint {
    fn send<'a>(&'a self, request: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        let reply = Self::reply(&request);
        Box::pin(
            async move { reply.map_err(|error| TransportError::new(Delivery::NotSent, error)) },
        )
    }
}

fn cache(snapshot: Snapshot, tokens: u32) -> Result<StorefrontTokens> {
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", "an access token")?)
        .base_url("https://b2b.example.com")
        .transport(Arc::new(Mint))
        .budget_limit(BudgetLimit::unlimited())
        .build()?;
    let room = usize::try_from(tokens)? / 10 * 11 + 1000;
    Ok(StorefrontTokens::builder()
        .client(client)
        .capacity(Capacity::entries(room))
        .snapshot(snapshot)
        .build())
}

fn measure(tokens: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let snapshot = || {
        Snapshot::new(folder.path().join("tokens"), SnapshotKey::from([7; 32]))
            .every(Duration::from_secs(24 * 60 * 60))
    };
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let first = cache(snapshot(), tokens)?;
    runtime.block_on(async {
        first.restore().await;
        for customer in 1..=tokens {
            first.get(CustomerId::new(customer)?).await?;
        }
        Result::Ok(())
    })?;

    let (mut alone, mut beside_work, mut beside_writing) = (Vec::new(), Vec::new(), Vec::new());
    let mut written = Vec::new();
    // The first round says how long the others take, and warms up.
    let mut took = Duration::from_millis(100);
    for round in 0..=ROUNDS {
        if round == 1 {
            (alone, beside_work, beside_writing) = (Vec::new(), Vec::new(), Vec::new());
        }
        let until = Instant::now() + took;
        hits(&first, tokens, &mut alone, || Instant::now() >= until)?;
        beside(compute(took), |is_done| {
            hits(&first, tokens, &mut beside_work, is_done)
        })?;
        let one = beside(
            || write(&runtime, &first),
            |is_done| hits(&first, tokens, &mut beside_writing, is_done),
        )?;
        took = one.took;
        if round > 0 {
            written.push(one);
        }
    }
    written.sort_by_key(|written| written.took);
    let middle = written.get(ROUNDS / 2).ok_or("nothing was written")?;
    println!(
        "writing {} tokens: {:.2?} to {:.2?}, middle {:.2?}; {} bytes, {:.0} for each",
        middle.tokens,
        written.first().map(|it| it.took).unwrap_or_default(),
        written.last().map(|it| it.took).unwrap_or_default(),
        middle.took,
        middle.bytes,
        per(middle.bytes, tokens),
    );
    print("hits beside nobody", &mut alone);
    print("hits beside a thread that computes", &mut beside_work);
    print("hits beside the writing", &mut beside_writing);

    runtime.block_on(first.shutdown());
    drop(first);
    let mut loaded = Vec::new();
    for _ in 0..ROUNDS {
        let next = cache(snapshot(), tokens)?;
        let report: RestoreReport = runtime.block_on(next.restore());
        if report.restored != usize::try_from(tokens)? {
            return Err(format!("not all came back: {report:?}").into());
        }
        loaded.push(report.took);
        runtime.block_on(next.shutdown());
    }
    loaded.sort();
    println!("loading them: {loaded:.2?}");
    Ok(())
}

fn write(runtime: &Runtime, tokens: &StorefrontTokens) -> Result<SnapshotWritten> {
    Ok(runtime.block_on(tokens.write_snapshot())?)
}

/// Goes through memory, as a writer does, and takes no lock.
fn compute(time: Duration) -> impl FnOnce() -> Result<u64> + Send {
    move || {
        let words: Vec<u64> = (0..8 << 20).collect();
        let until = Instant::now() + time;
        let mut sum = 0;
        while Instant::now() < until {
            sum = black_box(&words).iter().fold(sum, |sum, word| sum ^ word);
        }
        Ok(sum)
    }
}

/// Measures while another thread works.
fn beside<T: Send, M>(
    work: impl FnOnce() -> Result<T> + Send,
    measured: impl FnOnce(&dyn Fn() -> bool) -> Result<M>,
) -> Result<T> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let working = scope.spawn(|| {
            let result = work();
            is_done.store(true, Ordering::Release);
            result
        });
        measured(&|| is_done.load(Ordering::Acquire))?;
        working.join().map_err(|_| "a thread panicked")?
    })
}

/// Looks up customers at random, until it is done, and notes how long each look took, in nanoseconds.
fn hits(
    tokens: &StorefrontTokens,
    customers: u32,
    times: &mut Vec<u32>,
    is_done: impl Fn() -> bool,
) -> Result<()> {
    while !is_done() {
        for _ in 0..256 {
            let customer = CustomerId::new(fastrand::u32(1..=customers))?;
            let began = Instant::now();
            let token = tokens.get_cached(customer);
            let took = began.elapsed();
            black_box(token.ok_or("a token is missing")?);
            times.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
        }
    }
    Ok(())
}

fn print(title: &str, times: &mut [u32]) {
    times.sort_unstable();
    let at = |part: usize| {
        let place = (times.len().saturating_sub(1)) * part / 100_000;
        times
            .get(place)
            .copied()
            .map_or(Duration::ZERO, |nanos| Duration::from_nanos(nanos.into()))
    };
    println!(
        "{title:<36} {:>9} of them: p50 {:?}, p99 {:?}, p99.9 {:?}, p99.99 {:?}, longest {:?}",
        times.len(),
        at(50_000),
        at(99_000),
        at(99_900),
        at(99_990),
        at(100_000),
    );
}

#[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
fn per(bytes: u64, tokens: u32) -> f64 {
    bytes as f64 / f64::from(tokens)
}
