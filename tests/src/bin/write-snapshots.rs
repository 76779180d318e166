//! Writes snapshots over and over until it is killed, and says of a snapshot whether it is whole. `cargo xtask test
//! snapshot-kills` kills the one and asks the other.
//!
//! All tokens of a cache are of one generation at a time, and the next snapshot is of the next one: a snapshot with two of them,
//! or with a token less, was not written whole.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bigcommerce_b2b_auth::{
    BudgetLimit, Capacity, Client, CustomerId, Snapshot, SnapshotKey, StoreAccess,
    StorefrontTokens, reqwest,
    transport::{Operation, Transport, TransportFuture},
};
use serde_json::json;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "write-snapshots (write | check) FILE TOKENS";

/// About as long as a real token.
const LENGTH: usize = 300;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", file, tokens] => write(file, tokens).await,
        ["check", file, tokens] => check(file, tokens).await,
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whoever asked reads it; if nobody does, the code tells.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Mints the same token for everybody: that of the generation.
#[derive(Debug, Default)]
struct Mint(AtomicU64);

impl Transport for Mint {
    fn send<'a>(&'a self, _: reqwest::Request, _: &'static Operation) -> TransportFuture<'a> {
        let token = format!(
            "{:x<LENGTH$}",
            format!("{}-", self.0.load(Ordering::Relaxed))
        );
        let body = json!({"code": 200, "data": {"token": [token]}, "meta": {"message": "SUCCESS"}});
        Box::pin(async move { Ok(http::Response::new(body.to_string()).into()) })
    }
}

fn generation(token: &str) -> Option<u64> {
    token.split_once('-')?.0.parse().ok()
}

/// A cache on the file, and what mints for it.
fn cache(file: &str, tokens: u64) -> Result<(StorefrontTokens, Client, Arc<Mint>)> {
    let mint = Arc::new(Mint::default());
    let client = Client::builder()
        .credentials(StoreAccess::new("abc123", "an access token")?)
        .base_url("https://b2b.example.com")
        .transport(Arc::clone(&mint) as Arc<dyn Transport>)
        .budget_limit(BudgetLimit::unlimited())
        .build()?;
    let snapshot = Snapshot::new(file, SnapshotKey::from([5; 32]))
        // Only when it is told to.
        .every(Duration::from_secs(24 * 60 * 60));
    let cache = StorefrontTokens::builder()
        .client(client.clone())
        // Room for the unevenness of the shards, so that none is evicted.
        .capacity(Capacity::entries(usize::try_from(tokens)? * 2))
        .snapshot(snapshot)
        .build();
    Ok((cache, client, mint))
}

/// Restores the cache. The generation is returned that all of its tokens are of; `None` where there was no file.
async fn restored(cache: &StorefrontTokens, tokens: u64) -> Result<Option<u64>> {
    let report = cache.restore().await;
    if let Some(problem) = report.problem {
        return Err(problem.to_string().into());
    }
    if report.written_at.is_none() {
        return Ok(None);
    }
    let mut of_all = None;
    for customer in 1..=tokens {
        let token = cache
            .get_cached(CustomerId::new(customer)?)
            .ok_or_else(|| format!("the token of customer {customer} is missing"))?;
        let generation = generation(token.expose_secret()).ok_or("a token is of no generation")?;
        if *of_all.get_or_insert(generation) != generation {
            return Err(format!("customer {customer} has a token of another generation").into());
        }
    }
    if u64::try_from(report.restored)? != tokens {
        return Err(format!("{} tokens came back, and not {tokens}", report.restored).into());
    }
    Ok(of_all)
}

/// Writes one generation after the other, and says so of each.
async fn write(file: &str, tokens: &str) -> Result<()> {
    let tokens = tokens.parse()?;
    let (cache, client, mint) = cache(file, tokens)?;
    let mut generation = restored(&cache, tokens).await?.unwrap_or(0);
    loop {
        generation += 1;
        mint.0.store(generation, Ordering::Relaxed);
        let token = client
            .mint_storefront_token(CustomerId::new(1)?)
            .send()
            .await?;
        for customer in 1..=tokens {
            cache.put(CustomerId::new(customer)?, &token)?;
        }
        cache.write_snapshot().await?;
        let mut out = io::stdout().lock();
        writeln!(out, "{generation}")?;
        out.flush()?;
    }
}

/// Says the generation of a snapshot that is whole.
async fn check(file: &str, tokens: &str) -> Result<()> {
    let tokens = tokens.parse()?;
    let (cache, ..) = cache(file, tokens)?;
    let generation = restored(&cache, tokens)
        .await?
        .ok_or("there is no snapshot")?;
    writeln!(io::stdout(), "{generation}")?;
    Ok(())
}
