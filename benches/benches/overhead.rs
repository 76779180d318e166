//! Latency and throughput of the SDK's mint against a hand-written `reqwest` call, to the same server in the same run.
//!
//! Everything alternates: a machine that drifts by several per cent in a run would otherwise drown a difference of one.
//! criterion and divan run one contender after the other and leave the comparison to the reader, hence this `main`.
//!
//! `cargo bench -p benches --bench overhead`, with `-- latency` or `-- throughput` for one half of it.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{process::ExitCode, time::Instant};

use benches::{Contender, HandWritten, Mint, Ratio, Result, Server, check, mean, median};
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    benches::run(|arguments| {
        let wanted = |section: &str| arguments.is_empty() || arguments.iter().any(|a| a == section);
        let server = Server::start()?;
        let url = server.url();
        for (name, make) in RUNTIMES {
            if wanted("latency") {
                make()?.block_on(latency(name, &url))?;
            }
        }
        for (name, make) in RUNTIMES {
            if wanted("throughput") {
                make()?.block_on(throughput(name, &url))?;
            }
        }
        Ok(())
    })
}

/// A name and how to make it.
type NamedRuntime = (&'static str, fn() -> std::io::Result<Runtime>);

const RUNTIMES: [NamedRuntime; 2] = [
    ("current-thread", || {
        Builder::new_current_thread().enable_all().build()
    }),
    ("2 workers", || {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
    }),
];

/// One caller that waits for each reply. Besides the two contenders there is the hand-written call a second time, over a
/// connection of its own: how far its ratio is from 1 is how far the others can be trusted.
async fn latency(runtime: &str, url: &str) -> Result<()> {
    const WARM_UP_CALLS: usize = 500;
    const CALLS: usize = 40; // in a block: some milliseconds
    const ROUNDS: usize = 600; // of a block for each
    // Each is as often before another as after it.
    const ORDERS: [[usize; 3]; 6] = [
        [0, 1, 2],
        [2, 1, 0],
        [1, 2, 0],
        [0, 2, 1],
        [2, 0, 1],
        [1, 0, 2],
    ];
    let mint = Mint::new(url)?;
    let hand_written = HandWritten::new(url)?;
    let again = HandWritten::new(url)?;
    check(&mint, &hand_written).await?;
    block(&mint, WARM_UP_CALLS).await?;
    block(&hand_written, WARM_UP_CALLS).await?;
    block(&again, WARM_UP_CALLS).await?;

    let mut rounds = Vec::with_capacity(ROUNDS);
    let mut all: [Vec<f64>; 3] = Default::default();
    for order in ORDERS.iter().cycle().take(ROUNDS) {
        let mut medians = [f64::NAN; 3];
        for &who in order {
            let times = match who {
                0 => block(&mint, CALLS).await?,
                1 => block(&hand_written, CALLS).await?,
                _ => block(&again, CALLS).await?,
            };
            if let (Some(slot), Some(all)) = (medians.get_mut(who), all.get_mut(who)) {
                *slot = median(&times);
                all.extend(times);
            }
        }
        rounds.push(medians);
    }

    println!("latency, {runtime}, {ROUNDS} rounds of {CALLS} calls");
    for (name, times) in ["mint", "reqwest", "reqwest again"].iter().zip(&all) {
        println!(
            "    {name:<14} median {:>7.2} us   mean {:>7.2} us",
            median(times),
            mean(times)
        );
    }
    let pairs = |pick: fn(&[f64; 3]) -> (f64, f64)| rounds.iter().map(pick).collect::<Vec<_>>();
    println!(
        "ratio mint/reqwest: {}",
        Ratio::of(&pairs(|&[mint, other, _]| (mint, other)))
    );
    println!(
        "ratio reqwest/reqwest, the control: {}",
        Ratio::of(&pairs(|&[_, other, again]| (again, other)))
    );
    Ok(())
}

/// How long each of so many calls took, in microseconds.
async fn block(contender: &impl Contender, calls: usize) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let start = Instant::now();
        contender.mint().await?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

/// Callers that each wait for their replies, as tasks.
async fn throughput(runtime: &str, url: &str) -> Result<()> {
    const ROUNDS: usize = 30;
    // So many calls that a batch takes tenths of a second.
    const LEVELS: [(usize, usize); 3] = [(1, 1500), (16, 240), (256, 20)];
    println!("throughput, {runtime}, median of {ROUNDS} rounds");
    for (callers, calls_each) in LEVELS {
        let mint = Mint::new(url)?;
        let hand_written = HandWritten::new(url)?;
        // Opens the connections as well.
        batch(&mint, callers, calls_each).await?;
        batch(&hand_written, callers, calls_each).await?;
        let mut pairs = Vec::with_capacity(ROUNDS);
        for round in 0..ROUNDS {
            pairs.push(if round % 2 == 0 {
                let first = batch(&mint, callers, calls_each).await?;
                (first, batch(&hand_written, callers, calls_each).await?)
            } else {
                let first = batch(&hand_written, callers, calls_each).await?;
                (batch(&mint, callers, calls_each).await?, first)
            });
        }
        let (mints, others): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
        println!(
            "    {callers:>3} callers   mint {:>6.0}/s   reqwest {:>6.0}/s   ratio mint/reqwest: {}",
            median(&mints),
            median(&others),
            Ratio::of(&pairs)
        );
    }
    Ok(())
}

/// Calls per second while so many callers make so many calls each.
async fn batch(contender: &impl Contender, callers: usize, calls_each: usize) -> Result<f64> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let contender = contender.clone();
            tokio::spawn(async move {
                for _ in 0..calls_each {
                    contender.mint().await?;
                }
                Result::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of calls is small")]
    let calls = (callers * calls_each) as f64;
    Ok(calls / start.elapsed().as_secs_f64())
}
