//! Instructions per call of the SDK's mint and of a hand-written `reqwest` call, counted by callgrind.
//!
//! What is counted is a client in one thread, over a loopback socket to a server in another process. Two runs of different
//! length are made of each contender: their difference is calls and nothing else.
//!
//! `cargo bench -p benches --bench instructions`, which needs `valgrind`. It keeps callgrind's files and says where, for
//! `callgrind_annotate --inclusive=yes FILE`.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use benches::{CLIENT, Contender, HandWritten, Mint, Result, Server};
use tokio::runtime::Builder;

const FEW: u32 = 100;
const MANY: u32 = 300;

fn main() -> ExitCode {
    benches::run(|arguments| match arguments {
        [first, who, url, calls] if first == CLIENT => client(who, url, calls.parse()?),
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
    let server = Server::start()?;
    let mint = per_call("mint", &server.url())?;
    let hand_written = per_call("reqwest", &server.url())?;
    println!("ratio mint/reqwest: {:.3}", mint / hand_written);
    Ok(())
}

/// Instructions of one call: the difference of two runs, so that neither start-up nor the first connection counts.
fn per_call(who: &str, url: &str) -> Result<f64> {
    let few = instructions(who, url, FEW)?;
    let many = instructions(who, url, MANY)?;
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds")]
    let per_call = many.saturating_sub(few) as f64 / f64::from(MANY - FEW);
    println!("{who:<8} {per_call:>9.0} instructions per call");
    Ok(per_call)
}

/// All instructions of a client that makes so many calls.
fn instructions(who: &str, url: &str, calls: u32) -> Result<u64> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{who}.{calls}"));
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(env::current_exe()?)
        .args([CLIENT, who, url, &calls.to_string()])
        .output()?;
    if !output.status.success() {
        return Err(format!(
            "valgrind failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    let total = fs::read_to_string(&file)?
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .ok_or("callgrind's file has no totals")?
        .trim()
        .parse()?;
    println!("    {}", file.display());
    Ok(total)
}

/// What runs below valgrind.
fn client(who: &str, url: &str, calls: u32) -> Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match who {
            "mint" => call(&Mint::new(url)?, calls).await,
            "reqwest" => call(&HandWritten::new(url)?, calls).await,
            _ => Err("a client is mint or reqwest".into()),
        }
    })
}

async fn call(contender: &impl Contender, calls: u32) -> Result<()> {
    for _ in 0..calls {
        contender.mint().await?;
    }
    Ok(())
}
