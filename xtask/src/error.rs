//! The one error of the pipeline: a file, a place in it, what is wrong, and what to do about it.
//! Passes and checks know no file; they report a [`Finding`], and the caller says which file it was found in.

use std::fmt;

/// Something wrong at one place of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where, as a JSON pointer; empty for the document as a whole.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Finding {
    /// A finding at `pointer`.
    pub fn new(
        pointer: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// The same finding as an error of `file`.
    #[must_use]
    pub fn in_file(self, file: &str) -> Error {
        Error::Document {
            file: file.to_owned(),
            findings: vec![self],
        }
    }
}

/// Why a command failed. Its text is the whole message: what, where, and the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, written or parsed.
    File {
        /// The file, as the caller named it.
        file: String,
        /// Line and column, both from 1, where a parser knows them.
        at: Option<(u64, u64)>,
        /// What went wrong.
        message: String,
        /// What to do about it.
        remedy: String,
    },
    /// A document holds what must not be there.
    Document {
        /// The file that holds it.
        file: String,
        /// At least one finding, in the order of the document.
        findings: Vec<Finding>,
    },
    /// Files in the tree are not what the pipeline makes of its input.
    Stale {
        /// A unified diff for each stale file, from what is there to what should be.
        diffs: Vec<String>,
        /// The command that mends it.
        command: String,
    },
    /// A step of `ci` failed.
    Step {
        /// The step.
        name: String,
        /// The command that does only this step.
        command: String,
        /// What it said, where it does not print for itself.
        message: Option<String>,
    },
}

impl Error {
    /// A failure of a file as a whole.
    pub fn file(
        file: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::File {
            file: file.into(),
            at: None,
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File {
                file,
                at,
                message,
                remedy,
            } => {
                write!(f, "{file}")?;
                if let Some((line, column)) = at {
                    write!(f, ":{line}:{column}")?;
                }
                write!(f, ": {message}\n  remedy: {remedy}")
            }
            Self::Document { file, findings } => {
                for (index, finding) in findings.iter().enumerate() {
                    if index > 0 {
                        writeln!(f)?;
                    }
                    let pointer = if finding.pointer.is_empty() {
                        "(whole document)"
                    } else {
                        &finding.pointer
                    };
                    write!(
                        f,
                        "{file}: {pointer}: {}\n  remedy: {}",
                        finding.message, finding.remedy
                    )?;
                }
                Ok(())
            }
            Self::Stale { diffs, command } => {
                for diff in diffs {
                    write!(f, "{diff}")?;
                }
                write!(f, "out of date\n  remedy: {command}")
            }
            Self::Step {
                name,
                command,
                message,
            } => {
                if let Some(message) = message {
                    writeln!(f, "{message}")?;
                }
                write!(f, "step failed: {name}\n  again: {command}")
            }
        }
    }
}

impl std::error::Error for Error {}
