//! Compiles the workspaces that are excluded from this one and that no other step of CI compiles: `cargo test --workspace` does
//! not see them, so a change of the SDK could break them without a failing test.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::error::Error;

/// The folder of each workspace, and whether it is compiled as the fuzzer compiles it.
const WORKSPACES: &[(&str, bool)] = &[
    ("benches/managed-tokens", false),
    ("crates/bigcommerce-b2b-auth/fuzz", true),
    ("xtask/fuzz", false),
];

/// What the fuzzer sets: the SDK exports what the targets call only with it.
const FUZZING: (&str, &str) = ("RUSTFLAGS", "--cfg fuzzing");

/// The command for one of them.
pub fn shown() -> String {
    format!("cargo {} FOLDER/Cargo.toml, for each", CHECK.join(" "))
}

/// A lock file that no longer fits fails. It is never written.
const CHECK: [&str; 5] = [
    "check",
    "--quiet",
    "--locked",
    "--all-targets",
    "--manifest-path",
];

/// Checks each of the workspaces with its own lock file, in the target folder of this one, and says on `out` how long it took.
///
/// # Errors
/// [`Error::Step`] for the first one that does not compile.
pub fn run(root: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for (folder, is_fuzzed) in WORKSPACES {
        let start = Instant::now();
        let manifest = format!("{folder}/Cargo.toml");
        let failed = |message: Option<String>| {
            let flags = if *is_fuzzed {
                format!("{}='{}' ", FUZZING.0, FUZZING.1)
            } else {
                String::new()
            };
            Error::Step {
                name: folder.to_string(),
                command: format!("{flags}cargo {} {manifest}", CHECK.join(" ")),
                message,
            }
        };
        let status = Command::new(&cargo)
            .args(CHECK)
            .arg(&manifest)
            .envs(is_fuzzed.then_some(FUZZING))
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(root)
            .status()
            .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
        if !status.success() {
            return Err(failed(None));
        }
        // A line that cannot be printed stops nothing.
        let _ = writeln!(out, "    {folder}: {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those that a step of their own compiles and runs.
    const ELSEWHERE: [&str; 3] = [
        "crates/bigcommerce-b2b-auth/interleavings",
        "tests/browser",
        "tests/public-api",
    ];

    #[test]
    fn every_excluded_workspace_is_compiled() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        let (_, list) = manifest.split_once("exclude = [").unwrap();
        let (list, _) = list.split_once("\n]").unwrap();
        let mut excluded: Vec<_> = list
            .lines()
            .filter_map(|line| line.trim().strip_prefix('"')?.split('"').next())
            .collect();
        excluded.sort_unstable();
        let here = WORKSPACES.iter().map(|(folder, _)| *folder);
        let mut compiled: Vec<_> = here.chain(ELSEWHERE).collect();
        compiled.sort_unstable();
        assert_eq!(excluded, compiled);
        for folder in compiled {
            assert!(root.join(folder).join("Cargo.lock").is_file(), "{folder}");
        }
    }
}
