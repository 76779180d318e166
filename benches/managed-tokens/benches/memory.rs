//! What a million customers take in memory: resident bytes per entry, less the token's own. Each contender fills its store in
//! a process of its own; what was resident before the store was made does not count.
//!
//! `cargo bench --bench memory`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env, fs,
    process::{Command, ExitCode},
};

use managed_tokens::{
    CHILD, Result, TOKEN_LENGTH,
    lineup::{self, LINEUP, REFERENCE},
    runtime,
};

const CUSTOMERS: u32 = 1_000_000;

fn main() -> ExitCode {
    managed_tokens::run(|arguments| match arguments {
        [first, who] if first == CHILD => {
            println!("{}", fill(who)?);
            Ok(())
        }
        _ => compare(),
    })
}

fn compare() -> Result<()> {
    println!("{CUSTOMERS} customers, resident bytes per entry over the token's {TOKEN_LENGTH}");
    let mut reference = None;
    for entrant in LINEUP {
        if !entrant.many_keys || entrant.same_store {
            continue;
        }
        let output = Command::new(env::current_exe()?)
            .args([CHILD, entrant.name])
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        let bytes: u32 = String::from_utf8(output.stdout)?.trim().parse()?;
        let ratio = reference.map_or_else(String::new, |reference| {
            format!("times ours: {:.2}", f64::from(bytes) / f64::from(reference))
        });
        println!("    {:<20} {bytes:>5}   {ratio}", entrant.name);
        if entrant.name == REFERENCE {
            reference = Some(bytes);
        }
    }
    Ok(())
}

/// The bytes of each entry.
fn fill(who: &str) -> Result<u64> {
    let before = resident()?;
    let contender = lineup::find(who)?.start(CUSTOMERS)?;
    let grown = resident()?.saturating_sub(before);
    // All of them are there, or this is an error.
    let all: Vec<u32> = (1..=CUSTOMERS).collect();
    contender.hits(&runtime()?, &all)?;
    Ok((grown / u64::from(CUSTOMERS)).saturating_sub(u64::try_from(TOKEN_LENGTH)?))
}

/// What the process has in memory, in bytes.
fn resident() -> Result<u64> {
    const PAGE: u64 = 4096; // of x86-64; other Linux machines can have larger ones
    let pages: u64 = fs::read_to_string("/proc/self/statm")?
        .split_whitespace()
        .nth(1)
        .ok_or("statm names no resident pages")?
        .parse()?;
    Ok(pages * PAGE)
}
