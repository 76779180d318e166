//! Allocations per call of the SDK's mint and of a hand-written `reqwest` call: how many, and how many bytes.
//!
//! The runtime has one thread and the server is another process, so what is counted is the client's. It is a benchmark of
//! its own because an allocator that counts is slower.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{alloc::System, process::ExitCode};

use benches::{Contender, HandWritten, Mint, Result, Server, check};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use tokio::runtime::Builder;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    benches::run(|_| {
        let server = Server::start()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mint = Mint::new(&server.url())?;
            let hand_written = HandWritten::new(&server.url())?;
            check(&mint, &hand_written).await?;
            let mint = measure("mint", &mint).await?;
            let hand_written = measure("reqwest", &hand_written).await?;
            println!(
                "ratio mint/reqwest: allocations {:.2}, bytes {:.2}",
                mint.count / hand_written.count,
                mint.bytes / hand_written.bytes
            );
            Ok(())
        })
    })
}

struct PerCall {
    /// Blocks that were asked for, and blocks that were moved or grown.
    count: f64,
    bytes: f64,
}

async fn measure(name: &str, contender: &impl Contender) -> Result<PerCall> {
    const CALLS: u32 = 1000;
    // Buffers that a connection grows once are none of a call's.
    for _ in 0..CALLS {
        contender.mint().await?;
    }
    let region = Region::new(ALLOCATOR);
    for _ in 0..CALLS {
        contender.mint().await?;
    }
    let Stats {
        allocations,
        reallocations,
        bytes_allocated,
        ..
    } = region.change();
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
    let per_call = |total: usize| total as f64 / f64::from(CALLS);
    let result = PerCall {
        count: per_call(allocations + reallocations),
        bytes: per_call(bytes_allocated),
    };
    println!(
        "{name:<8} {:>6.2} allocations per call, of which {:.2} grow a block; {:>8.1} bytes",
        result.count,
        per_call(reallocations),
        result.bytes
    );
    Ok(result)
}
