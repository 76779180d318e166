//! `test soak`: the SDK against a fault server for some minutes, by a program of the crate `tests`, since xtask has to build
//! when the SDK does not.

use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// Builds the program in release and runs it for so many minutes.
///
/// # Errors
/// [`Error::Step`] when the program cannot be built, or ends with a failure, which it has printed.
pub fn run(root: &Path, minutes: f64, seed: u64) -> Result<(), Error> {
    let failed = |message| Error::Step {
        name: "soak".to_owned(),
        command: format!("cargo xtask test soak --minutes {minutes} --seed {seed}"),
        message,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let program = ["--release", "--package", "tests", "--bin", "soak"];
    let status = Command::new(cargo)
        .args(["run", "--quiet"])
        .args(program)
        .args(["--", &minutes.to_string(), &seed.to_string()])
        .current_dir(root)
        .status()
        .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(None))
    }
}
