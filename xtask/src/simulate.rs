//! `simulate`: a simulated day of a storefront, by a crate of its own, since xtask has to build when the SDK does not.

use std::path::Path;
use std::process::Command;

use crate::error::Error;

/// The crate that simulates.
pub const PACKAGE: &str = "bigcommerce-b2b-auth-simulator";

/// Runs the simulator, in release since it makes millions of requests, with these arguments, from the root of the workspace.
///
/// # Errors
/// [`Error::Step`] when it cannot be built or ends with a failure, which it has printed.
pub fn run(root: &Path, arguments: &[String]) -> Result<(), Error> {
    let failed = |message| Error::Step {
        name: "simulate".to_owned(),
        command: format!(
            "cargo run --release --package {PACKAGE} -- {}",
            arguments.join(" ")
        ),
        message,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", PACKAGE, "--"])
        .args(arguments)
        .current_dir(root)
        .status()
        .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(None))
    }
}
