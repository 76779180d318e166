//! What a hit costs: the SDK's managed tokens beside caches that one would build on, and beside SDKs that cache a token.
//!
//! All do the same work: a header or token in hand that has not expired, let go of again as its user would. Each is called
//! through its public API. `cargo bench` in this folder runs everything; each benchmark prints ratios between contenders of
//! the same run and asserts nothing: no time is a test.
//!
//! # Where the tokens come from
//! Nobody reaches beyond loopback. moka and quick_cache are filled before anything is measured. azure_identity and
//! object_store get a transport of ours that answers at once, the AWS cache a resolver of ours, and google-cloud-auth, whose
//! transport cannot be replaced, an endpoint on loopback. Nobody had to be left out.
//!
//! # What is not the same
//! - An SDK that holds one token has no rows with many keys. azure_identity and the AWS cache have keys, but theirs are
//!   scopes and resolvers, a handful of each.
//! - moka and quick_cache are asked by the customer alone, a key of four bytes; ours holds a token for each store, customer,
//!   channel and customer access token.
//! - quick_cache expires nothing. It runs a second time with the check that its user would write.
//! - google-cloud-auth runs a second time for somebody who kept the last headers and asks whether they still hold.
//! - What is in hand is a ready `Authorization` header with ours, moka, quick_cache and google-cloud-auth, which builds a
//!   new one each time, and the bare token with the others.

mod aws;
mod azure;
mod contender;
pub mod draws;
mod entry;
mod google;
mod jwt;
pub mod lineup;
mod moka;
mod object_store;
mod ours;
mod quick_cache;
#[path = "../../src/statistics.rs"]
// shared with the benchmarks of a call, without the rest of their crate
pub mod statistics;
mod token_endpoint;

use std::{env, error::Error, process::ExitCode};

pub use contender::{Contender, runtime};
pub use jwt::LENGTH as TOKEN_LENGTH;

/// What goes wrong in a benchmark is for who runs it to read.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The first argument of a benchmark that starts itself as one of the contenders.
pub const CHILD: &str = "child";

/// The `main` of every benchmark: `work` gets the arguments that are not cargo's.
///
/// Without the `--bench` that `cargo bench` adds it does nothing, so that `cargo test --all-targets` measures nothing either.
pub fn run(work: impl FnOnce(&[String]) -> Result<()>) -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let wanted = arguments
        .iter()
        .any(|argument| argument == CHILD || argument == "--bench");
    arguments.retain(|argument| argument != "--bench");
    match if wanted { work(&arguments) } else { Ok(()) } {
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
