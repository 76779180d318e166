//! Instructions per hit on one key, counted by callgrind. Two runs of different length are made of each contender: their
//! difference is hits and nothing else.
//!
//! Two things to know. Below valgrind the clock is a system call, so that reading it counts as next to nothing here. And moka
//! tidies up by the clock, which callgrind slows down for the code and not for the clock: it tidies more often than usual.
//!
//! `cargo bench --bench instructions`, which needs `valgrind`. It keeps callgrind's files and says where, for
//! `callgrind_annotate --inclusive=yes FILE`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use managed_tokens::{
    CHILD, Result, draws,
    lineup::{self, LINEUP, REFERENCE},
    runtime,
};

const FEW: usize = 20_000;
const MANY: usize = 220_000;

fn main() -> ExitCode {
    managed_tokens::run(|arguments| match arguments {
        [first, who, hits] if first == CHILD => {
            let contender = lineup::find(who)?.start(1)?;
            contender.hits(&runtime()?, &draws::one(hits.parse()?))
        }
        _ => compare(),
    })
}

fn compare() -> Result<()> {
    let found = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        return Err(
            "valgrind counts the instructions, and is not there: install the package valgrind"
                .into(),
        );
    }
    println!("callgrind's files: {}", env!("CARGO_TARGET_TMPDIR"));
    println!("one key, instructions per hit");
    let mut reference = None;
    for entrant in LINEUP {
        let few = instructions(entrant.name, FEW)?;
        let many = instructions(entrant.name, MANY)?;
        #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
        let per_hit = many.saturating_sub(few) as f64 / (MANY - FEW) as f64;
        let ratio = reference.map_or_else(String::new, |reference| {
            format!("times ours: {:.2}", per_hit / reference)
        });
        println!("    {:<20} {per_hit:>7.1}   {ratio}", entrant.name);
        if entrant.name == REFERENCE {
            reference = Some(per_hit);
        }
    }
    Ok(())
}

/// All instructions of a child that makes so many hits.
fn instructions(who: &str, hits: usize) -> Result<u64> {
    let name = format!("callgrind.{}.{hits}", who.replace([' ', ','], "-"));
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args([CHILD, who, &hits.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "valgrind failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    Ok(fs::read_to_string(&file)?
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .ok_or("callgrind's file has no totals")?
        .trim()
        .parse()?)
}
