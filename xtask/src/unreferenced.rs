//! `cargo test --workspace` as CI runs it, and afterwards a look at the snapshots of insta: each has a test that uses it, and
//! none waits for a review.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// The folders that are searched, below the root.
const FOLDERS: &[&str] = &["benches", "crates", "tests", "xtask"];

/// What insta leaves beside a snapshot that has to be reviewed.
const PENDING: &[&str] = &[".snap.new", ".pending-snap"];

/// Runs every test of the workspace, and compares the snapshots that it used with those that are there.
///
/// # Errors
/// [`Error::Step`] when a test fails, a snapshot is pending, or no test uses one.
pub fn test(root: &Path) -> Result<(), Error> {
    let failed = |message: Option<String>| Error::Step {
        name: "tests".to_owned(),
        command: "INSTA_UPDATE='no' cargo test --workspace".to_owned(),
        message,
    };
    let folder = tempfile::tempdir()
        .map_err(|error| failed(Some(format!("no folder for the references: {error}"))))?;
    let references = folder.path().join("references.txt");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--workspace"])
        // A snapshot that differs fails; it is never written.
        .env("INSTA_UPDATE", "no")
        // Each test appends the snapshots that it uses.
        .env("INSTA_SNAPSHOT_REFERENCES_FILE", &references)
        .current_dir(root)
        .status()
        .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
    if !status.success() {
        return Err(failed(None));
    }
    let references = fs::read_to_string(&references)
        .map_err(|error| failed(Some(format!("no test used a snapshot: {error}"))))?;
    let complaints = complaints(root, &references)
        .map_err(|error| failed(Some(format!("the snapshots cannot be listed: {error}"))))?;
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(failed(Some(complaints.join("\n"))))
    }
}

/// What is wrong with the snapshots below `root`, where `references` lists the used ones, one per line.
fn complaints(root: &Path, references: &str) -> std::io::Result<Vec<String>> {
    let used: BTreeSet<PathBuf> = references
        .lines()
        .filter_map(|line| fs::canonicalize(line).ok())
        .collect();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    let mut complaints = Vec::new();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let shown = path.strip_prefix(root).unwrap_or(&path).display();
            if path.is_dir() && name != "target" {
                folders.push(path);
            } else if PENDING.iter().any(|end| name.ends_with(end)) {
                complaints.push(format!(
                    "{shown} waits for a review: accept it or remove it"
                ));
            } else if name.ends_with(".snap") && !used.contains(&fs::canonicalize(&path)?) {
                complaints.push(format!("{shown} is used by no test: remove it"));
            }
        }
    }
    complaints.sort();
    Ok(complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_that_no_test_uses_or_that_are_pending_are_reported() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tests/tests/snapshots");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(root.path().join("xtask/target")).unwrap();
        for name in [
            "used.snap",
            "gone.snap",
            "used.snap.new",
            ".a.rs.pending-snap",
            "a.txt",
        ] {
            fs::write(folder.join(name), "").unwrap();
        }
        fs::write(root.path().join("xtask/target/old.snap"), "").unwrap();
        // Insta writes the path by way of the manifest's folder, and once for each use.
        let used = folder.join("../snapshots/used.snap");
        let references = format!("{0}\n{0}\n/no/such/file.snap\n", used.display());
        assert_eq!(
            complaints(root.path(), &references).unwrap(),
            [
                "tests/tests/snapshots/.a.rs.pending-snap waits for a review: accept it or remove it",
                "tests/tests/snapshots/gone.snap is used by no test: remove it",
                "tests/tests/snapshots/used.snap.new waits for a review: accept it or remove it",
            ]
        );
    }
}
