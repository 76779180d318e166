//! The tests that take too long for CI: mutants of the parts that decide, fuzzing of what reads foreign bytes, and more
//! interleavings than CI tries. Each is one command with the right arguments; the tools are installed by whoever runs it,
//! since CI does not.

use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// The files whose every mutant some test should catch.
const MUTATED: &[&str] = &[
    "crates/bigcommerce-b2b-auth/src/retry.rs",
    "crates/bigcommerce-b2b-auth/src/budget.rs",
    "crates/bigcommerce-b2b-auth/src/budget/ledger.rs",
    "crates/bigcommerce-b2b-auth/src/budget/local.rs",
    "crates/bigcommerce-b2b-auth/src/budget/stores.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/graphql.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/healing.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/layer.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/origins.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/peek.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/rejection.rs",
    "crates/bigcommerce-b2b-auth/src/data_api/storefront_api.rs",
    "crates/bigcommerce-b2b-auth/src/error.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/cache.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/entry.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/failures.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/flight.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/key.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/moments.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot/file.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot/format.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot/key.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot/report.rs",
    "crates/bigcommerce-b2b-auth/src/tokens/snapshot/seal.rs",
];

/// The fuzz targets of the SDK.
pub const TARGETS: &[&str] = &["envelope", "headers", "claims", "graphql", "snapshot"];

/// Runs `cargo mutants` over `files`, or over the files of retry, budget, error, managed tokens and data API.
///
/// # Errors
/// [`Error::Step`] when a mutant survives or the tool cannot be run.
pub fn mutants(root: &Path, files: &[String]) -> Result<(), Error> {
    // The tests beside the code, which take a second: what they do not catch, the whole suite is not relied on for.
    let mut arguments = vec![
        "mutants",
        "--package",
        "bigcommerce-b2b-auth",
        // Beside what is on by default.
        "--features",
        "snapshot",
        "--cargo-test-arg=--lib",
        "--timeout",
        "60",
    ];
    let chosen: Vec<&str> = if files.is_empty() {
        MUTATED.to_vec()
    } else {
        files.iter().map(String::as_str).collect()
    };
    for file in chosen {
        arguments.extend(["--file", file]);
    }
    cargo(root, "mutants", &arguments)
}

/// Fuzzes each target of the SDK for `seconds`, one after the other, starting from the corpus that is checked in.
///
/// # Errors
/// [`Error::Step`] when something is found or the tool cannot be run.
pub fn fuzz(root: &Path, targets: &[String], seconds: u32) -> Result<(), Error> {
    let folder = root.join("crates/bigcommerce-b2b-auth");
    let time = format!("-max_total_time={seconds}");
    for target in TARGETS {
        if !targets.is_empty() && !targets.iter().any(|chosen| chosen == target) {
            continue;
        }
        let found = format!("fuzz/artifacts/{target}-corpus");
        let corpus = format!("fuzz/corpus/{target}");
        let dictionary = format!("-dict=fuzz/dictionaries/{target}.dict");
        // What is found on the way goes to a folder of its own, so that the corpus stays what was chosen.
        std::fs::create_dir_all(folder.join(&found)).map_err(|error| Error::Step {
            name: "fuzz".to_owned(),
            command: format!("mkdir {found}"),
            message: Some(error.to_string()),
        })?;
        let arguments = [
            "+nightly",
            "fuzz",
            "run",
            "-s",
            "none",
            target,
            &found,
            &corpus,
            "--",
            &time,
            "-max_len=2048",
            "-timeout=10",
            &dictionary,
        ];
        cargo(&folder, "fuzz", &arguments)?;
    }
    Ok(())
}

/// Tries the interleavings of the flights of managed tokens: `iterations` of each model, or as many as take a minute in all.
///
/// # Errors
/// [`Error::Step`] when one of them goes wrong.
pub fn interleavings(root: &Path, iterations: Option<usize>) -> Result<(), Error> {
    let folder = root.join("crates/bigcommerce-b2b-auth/interleavings");
    let iterations = iterations.map(|iterations| ("INTERLEAVINGS", iterations.to_string()));
    let arguments = ["test", "--release", "--quiet"];
    run(
        &folder,
        "interleavings",
        &arguments,
        iterations,
        "the schedule is in the output",
    )
}

/// By rustup's `cargo`, which knows `+nightly`: the one that runs xtask does not.
fn cargo(folder: &Path, name: &str, arguments: &[&str]) -> Result<(), Error> {
    let advice = format!("if it is not installed: cargo install cargo-{name}");
    run(folder, name, arguments, None, &advice)
}

fn run(
    folder: &Path,
    name: &str,
    arguments: &[&str],
    environment: Option<(&str, String)>,
    advice: &str,
) -> Result<(), Error> {
    let failed = |message| Error::Step {
        name: name.to_owned(),
        command: format!("cargo {}", arguments.join(" ")),
        message,
    };
    let status = Command::new("cargo")
        .args(arguments)
        .envs(environment)
        .current_dir(folder)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .status()
        .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(Some(advice.to_owned())))
    }
}
