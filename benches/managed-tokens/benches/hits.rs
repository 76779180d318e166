//! How long a hit takes: one key and many, on one thread and on two.
//!
//! Two threads only get in each other's way while both have a core. Where something else takes one of two cores they take
//! turns, and sharing looks cheaper than it is: each table says for how much of the time its threads ran.
//!
//! `cargo bench --bench hits`, and for some of it `-- one` or `-- many`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{fs, process::ExitCode, sync::Barrier, thread, time::Instant};

use managed_tokens::{
    Contender, Result, draws,
    lineup::{Entrant, LINEUP, REFERENCE},
    runtime,
    statistics::{Ratio, mean, median},
};

/// In a row, by one contender: some milliseconds.
const HITS: usize = 1 << 17;
/// Of so many hits by each.
const ROUNDS: usize = 60;
const CUSTOMERS: u32 = 100_000;

fn main() -> ExitCode {
    managed_tokens::run(|arguments| {
        let wanted = |name: &str| arguments.is_empty() || arguments.iter().any(|one| one == name);
        if wanted("one") {
            let started = start(1, |_| true)?;
            let draws = draws::one(HITS);
            table("one key, 1 thread", &started, &draws, 1)?;
            table("one key, 2 threads", &started, &draws, 2)?;
        }
        if wanted("many") {
            let started = start(CUSTOMERS, |entrant| entrant.many_keys)?;
            let draws = draws::zipf(8 * HITS, CUSTOMERS);
            table("100,000 keys by Zipf, 1 thread", &started, &draws, 1)?;
            table("100,000 keys by Zipf, 2 threads", &started, &draws, 2)?;
        }
        Ok(())
    })
}

type Started = Vec<(Entrant, Box<dyn Contender>)>;

fn start(customers: u32, pick: impl Fn(&Entrant) -> bool) -> Result<Started> {
    LINEUP
        .iter()
        .filter(|entrant| pick(entrant))
        .map(|entrant| Ok((*entrant, entrant.start(customers)?)))
        .collect()
}

fn table(title: &str, started: &Started, draws: &[u32], threads: usize) -> Result<()> {
    let mut parts = draws.chunks_exact(HITS).cycle();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); started.len()];
    let mut ran = Vec::new();
    // The first round warms up, and is not counted.
    for round in 0..=ROUNDS {
        // Every thread has draws of its own where there are several, and every contender the same ones.
        let parts: Vec<&[u32]> = parts.by_ref().take(threads).collect();
        let mut order: Vec<usize> = (0..started.len()).collect();
        order.rotate_left(round % started.len());
        if round % 2 == 1 {
            order.reverse();
        }
        for who in order {
            if let (Some((_, contender)), Some(times)) = (started.get(who), times.get_mut(who)) {
                let block = block(&**contender, &parts)?;
                if round > 0 {
                    times.push(block.nanoseconds);
                    ran.push(block.ran);
                }
            }
        }
    }

    println!(
        "{title}: median of {ROUNDS} rounds of {HITS} hits in each thread, which ran {:.0} % of the time",
        mean(&ran) * 100.0
    );
    let reference = started
        .iter()
        .zip(&times)
        .find(|((entrant, _), _)| entrant.name == REFERENCE)
        .map(|(_, times)| times);
    for ((entrant, _), times) in started.iter().zip(&times) {
        let others = reference.filter(|_| entrant.name != REFERENCE);
        let ratio = others.map_or_else(String::new, |reference| {
            let pairs: Vec<_> = times
                .iter()
                .copied()
                .zip(reference.iter().copied())
                .collect();
            format!("times ours: {}", Ratio::of(&pairs))
        });
        println!(
            "    {:<20} {:>6.1} ns   expiry checked by {:<22} {ratio}",
            entrant.name,
            median(times),
            entrant.checks_expiry
        );
    }
    Ok(())
}

/// What came of so many hits in a row, the mean over the threads, which start together.
struct Block {
    /// Per hit, as a thread sees it.
    nanoseconds: f64,
    /// The part of the time that a thread had a core for.
    ran: f64,
}

fn block(contender: &dyn Contender, parts: &[&[u32]]) -> Result<Block> {
    let start = Barrier::new(parts.len());
    let one = |part: &[u32]| {
        let runtime = runtime();
        start.wait(); // even without a runtime, or the others would wait for ever
        let runtime = runtime?;
        let ran_before = ran()?;
        let begin = Instant::now();
        contender.hits(&runtime, part)?;
        let (time, ran) = (begin.elapsed().as_secs_f64() * 1e9, ran()? - ran_before);
        Ok((time, ran))
    };
    let blocks = thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = parts
            .iter()
            .map(|part| scope.spawn(move || one(part)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .collect::<Result<Vec<(f64, f64)>>>()
    })?;
    let hits: usize = parts.iter().map(|part| part.len()).sum();
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
    let hits = hits as f64;
    let (time, ran) = blocks
        .iter()
        .fold((0.0, 0.0), |sum, block| (sum.0 + block.0, sum.1 + block.1));
    Ok(Block {
        nanoseconds: time / hits,
        ran: ran / time,
    })
}

/// For how many nanoseconds this thread has had a core.
fn ran() -> Result<f64> {
    let schedule = fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = schedule.split_whitespace().next();
    Ok(first.ok_or("the kernel keeps no schedstat")?.parse()?)
}
