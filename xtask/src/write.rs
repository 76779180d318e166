//! Writes all files of a command or none, and compares them with what is there.
//! A reader of the tree never sees half a file: each is written beside its place and then renamed.

use std::io::Write;
use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::error::Error;
use crate::load;

/// A file that a command makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it belongs, below the root of the tree.
    pub path: PathBuf,
    /// What it should hold.
    pub text: String,
}

/// Writes all of `outputs` below `root`: first each beside its place, then, when all are there, renames them.
///
/// # Errors
/// If a file cannot be written; up to the first rename the tree is unchanged.
pub fn write_all(root: &Path, outputs: &[Output]) -> Result<(), Error> {
    let mut ready = Vec::new();
    for output in outputs {
        let target = root.join(&output.path);
        let failed = |error: std::io::Error| {
            Error::file(
                output.path.display().to_string(),
                format!("cannot be written: {}", load::describe(&error)),
                "check that the folder exists and can be written to",
            )
        };
        let folder = target.parent().unwrap_or(root);
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut file = tempfile::Builder::new()
            .prefix(".xtask-")
            .tempfile_in(folder)
            .map_err(failed)?;
        file.write_all(output.text.as_bytes()).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        set_mode(file.as_file()).map_err(failed)?;
        ready.push((file, target, output));
    }
    for (file, target, output) in ready {
        file.persist(&target).map_err(|error| {
            Error::file(
                output.path.display().to_string(),
                format!("cannot be written: {}", load::describe(&error.error)),
                "check that the file can be replaced",
            )
        })?;
    }
    Ok(())
}

/// A temporary file is for its owner alone; a file of the tree is for whoever may read the tree.
#[cfg(unix)]
fn set_mode(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_mode(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Compares `outputs` with what is below `root`.
///
/// # Errors
/// [`Error::Stale`] with a diff for each file that differs or is missing, and `command`, which mends it.
pub fn check_all(root: &Path, outputs: &[Output], command: &str) -> Result<(), Error> {
    let mut diffs = Vec::new();
    for output in outputs {
        let path = root.join(&output.path);
        let found = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(Error::file(
                    output.path.display().to_string(),
                    format!("cannot be read: {}", load::describe(&error)),
                    "check that the file can be read",
                ));
            }
        };
        if found != output.text {
            diffs.push(unified(&output.path, &found, &output.text));
        }
    }
    if diffs.is_empty() {
        Ok(())
    } else {
        Err(Error::Stale {
            diffs,
            command: command.to_owned(),
        })
    }
}

/// A unified diff from what is in the tree to what should be.
fn unified(path: &Path, found: &str, wanted: &str) -> String {
    let path = path.display();
    TextDiff::from_lines(found, wanted)
        .unified_diff()
        .context_radius(3)
        .header(
            &format!("a/{path} (in the tree)"),
            &format!("b/{path} (as made)"),
        )
        .to_string()
}
