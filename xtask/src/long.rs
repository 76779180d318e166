//! Tests that take too long for CI: fuzzing of what reads foreign bytes, and more interleavings than CI tries. Each is one
//! command with the right arguments. CI does not install the tools.

use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// The fuzz targets of the SDK.
pub const TARGETS: &[&str] = &["envelope", "headers", "claims", "graphql", "snapshot"];

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
