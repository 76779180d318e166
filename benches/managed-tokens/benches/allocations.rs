//! Allocations per hit on one key: how many, and how many bytes.
//!
//! A benchmark of its own because an allocator that counts is slower. Threads in the background are counted as well, and
//! sleep.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{alloc::System, process::ExitCode};

use managed_tokens::{draws, lineup::LINEUP, runtime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    managed_tokens::run(|_| {
        const HITS: usize = 100_000;
        let runtime = runtime()?;
        let draws = draws::one(HITS);
        println!("one key, allocations per hit, of {HITS}");
        for entrant in LINEUP {
            let contender = entrant.start(1)?;
            // What is made once, on first use, is not counted.
            contender.hits(&runtime, &draws)?;
            let region = Region::new(ALLOCATOR);
            contender.hits(&runtime, &draws)?;
            let change = region.change();
            #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
            let per_hit = |count: usize| count as f64 / HITS as f64;
            println!(
                "    {:<20} {:>6.3} allocations, {:>7.1} bytes",
                entrant.name,
                per_hit(change.allocations + change.reallocations),
                per_hit(change.bytes_allocated)
            );
        }
        Ok(())
    })
}
