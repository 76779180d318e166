//! What the SDK costs over a hand-written `reqwest` call: what the benchmarks share.
//!
//! `cargo bench -p benches` runs all of them; BENCHMARKS.md has the figures. Each prints ratios between two contenders of
//! the same run, and asserts nothing: no time is a test.

mod contenders;
mod server;
mod statistics;

use std::{env, error::Error, process::ExitCode};

pub use contenders::{Contender, HandWritten, Mint, check};
pub use server::Server;
pub use statistics::{Ratio, mean, median};

/// What goes wrong in a benchmark is for who runs it to read.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The `main` of every benchmark: `work` gets the arguments that are not cargo's.
///
/// A benchmark starts itself a second time, as its server. Without the `--bench` that `cargo bench` adds it does nothing,
/// so that `cargo test --all-targets` measures nothing either.
pub fn run(work: impl FnOnce(&[String]) -> Result<()>) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(server::ARGUMENT) => server::serve(),
        Some(CLIENT) => work(&arguments),
        _ if arguments.iter().any(|argument| argument == "--bench") => {
            let own: Vec<String> = arguments
                .into_iter()
                .filter(|argument| argument != "--bench")
                .collect();
            work(&own)
        }
        _ => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "whoever runs it reads it there")]
            {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The first argument of a benchmark that starts itself as a client.
pub const CLIENT: &str = "client";
