//! What is told of a snapshot: how restoring went, what was written, and what went wrong. No token, no customer and no key
//! comes here.

use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::telemetry::millis;

/// What [`restore`](crate::StorefrontTokens::restore) brought back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Tokens that were put into the cache.
    pub restored: usize,
    /// Tokens that did not count any more.
    pub expired: usize,
    /// Tokens that were left out because the cache has them, or newer ones, because they were refused, because they are longer
    /// than 16 KiB, or because they were requested in the future.
    pub left_out: usize,
    /// Tokens that were left out because they name another customer or another store than they were kept for.
    pub mismatched: usize,
    /// Tokens that had to go for them because the cache was full.
    pub evicted: usize,
    /// What kept the snapshot from being read or this process from writing it. `None` at the first start, when there is no file.
    pub problem: Option<SnapshotProblem>,
    /// When the snapshot was written, where that could be read.
    pub written_at: Option<SystemTime>,
    /// Whether this process writes the snapshot from now on.
    pub is_writing: bool,
    /// How long it took.
    pub took: Duration,
}

impl RestoreReport {
    pub(super) fn of(problem: SnapshotProblem) -> Self {
        Self {
            problem: Some(problem),
            ..Self::default()
        }
    }
}

/// Why a snapshot was not read, or is not written. Its text says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotProblem {
    /// What is in the file is not what was written.
    Damaged {
        /// The byte at or after which that is so.
        at: u64,
    },
    /// It was sealed with a key that is not at hand.
    OtherKey,
    /// It is a snapshot of tokens of another service: the client's base URL was another one.
    OtherService,
    /// It is of a version that this SDK does not know yet.
    NewerVersion(u16),
    /// It was written too long ago.
    TooOld,
    /// It was written in the future: this machine's clock was set back since, or was ahead then. How old its tokens are is unknown.
    FromTheFuture,
    /// A file could not be read or opened.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// A link, a folder, a pipe or a device is where a file of the snapshot should be. Nothing was done with it.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file of the lock holds something that this SDK did not write. Nothing was done with it, and nothing is written.
    ForeignLock {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes it. What it holds was read.
    HeldByAnother,
    /// The cache was shut down before. What the snapshot holds was read, and is not written any more.
    ShutDown,
    /// The cache was built without a snapshot.
    NotSetUp,
}

impl SnapshotProblem {
    /// Whether what is there may be of use to somebody else: it is no snapshot at all, or one that others can read.
    pub(super) fn is_of_others(&self) -> bool {
        matches!(
            self,
            Self::Damaged { at: 0 } | Self::OtherKey | Self::OtherService | Self::NewerVersion(_)
        )
    }
}

impl fmt::Display for SnapshotProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at } => write!(
                f,
                "the snapshot is damaged at or after byte {at} and was ignored: the next one takes its place"
            ),
            Self::OtherKey => f.write_str(
                "the snapshot was sealed with another key and was ignored: name the old key by `also_reads`",
            ),
            Self::OtherService => f.write_str(
                "the snapshot is of another base URL and was ignored: give each service a file of its own",
            ),
            Self::NewerVersion(version) => write!(
                f,
                "the snapshot has the format {version}, which a newer version of the SDK writes, and was ignored"
            ),
            Self::TooOld => {
                f.write_str("the snapshot is older than `not_older_than` allows, and was ignored")
            }
            Self::FromTheFuture => f.write_str(
                "the snapshot was written in the future and was ignored: check this machine's clock",
            ),
            Self::Unreadable { path, kind } => write!(
                f,
                "{} cannot be opened or read ({kind}): see whether its folder is there and its permissions are right",
                path.display()
            ),
            Self::NotAFile { path } => write!(f, "the snapshot cannot be used: {}", NotAFile(path)),
            Self::ForeignLock { path } => {
                write!(f, "the snapshot is not written: {}", ForeignLock(path))
            }
            Self::HeldByAnother => f.write_str(
                "another process writes the snapshot: it was read, and is written here once that process has ended",
            ),
            Self::ShutDown => f.write_str("the cache was shut down: the snapshot was read, and is not written any more"),
            Self::NotSetUp => {
                f.write_str("the cache was built without a snapshot: give its builder one")
            }
        }
    }
}

/// A snapshot that was written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SnapshotWritten {
    /// Tokens in it.
    pub tokens: usize,
    /// Tokens that were left out: those for a customer access token, and those longer than any header.
    pub left_out: usize,
    /// Length of the file.
    pub bytes: u64,
    /// Its number: one more than that of the snapshot before it.
    pub sequence: u64,
    /// How long it took.
    pub took: Duration,
}

/// Why a snapshot was not written. The one before it is still there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The cache was built without a snapshot.
    NotSetUp,
    /// What is there was never read: call [`restore`](crate::StorefrontTokens::restore) first.
    NotRestored,
    /// Another process writes it.
    HeldByAnother,
    /// The cache was shut down.
    ShutDown,
    /// The runtime was shut down, or it took too long.
    Interrupted,
    /// A link, a folder, a pipe or a device is where a file of the snapshot should be. Nothing was done with it.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file of the lock holds something that this SDK did not write. Nothing was done with it.
    ForeignLock {
        /// The file.
        path: PathBuf,
    },
    /// A file could not be written.
    Io {
        /// What failed: `create`, `write`, `replace`, and the like.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: Arc<io::Error>,
    },
}

impl SnapshotError {
    /// The same as a problem of who restores.
    pub(super) fn into_problem(self, snapshot: &Path) -> SnapshotProblem {
        match self {
            Self::NotSetUp | Self::NotRestored => SnapshotProblem::NotSetUp,
            Self::HeldByAnother => SnapshotProblem::HeldByAnother,
            Self::ShutDown => SnapshotProblem::ShutDown,
            Self::Interrupted => SnapshotProblem::Unreadable {
                path: snapshot.to_owned(),
                kind: io::ErrorKind::Interrupted,
            },
            Self::NotAFile { path } => SnapshotProblem::NotAFile { path },
            Self::ForeignLock { path } => SnapshotProblem::ForeignLock { path },
            Self::Io { path, error, .. } => SnapshotProblem::Unreadable {
                path,
                kind: error.kind(),
            },
        }
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no snapshot of the tokens was written: ")?;
        match self {
            Self::NotSetUp => f.write_str("the cache was built without one"),
            Self::NotRestored => {
                f.write_str("call `restore` first, so that what is there is not lost")
            }
            Self::HeldByAnother => f.write_str("another process writes it"),
            Self::ShutDown => f.write_str("the cache was shut down"),
            Self::Interrupted => f.write_str("the runtime was shut down, or it took too long"),
            Self::NotAFile { path } => NotAFile(path).fmt(f),
            Self::ForeignLock { path } => ForeignLock(path).fmt(f),
            Self::Io { doing, path, error } => write!(
                f,
                "could not {doing} {}: {error}; see whether its folder is there, can be written to and has room",
                path.display()
            ),
        }
    }
}

struct NotAFile<'p>(&'p Path);

impl fmt::Display for NotAFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is a link, a folder, a pipe or a device: give the path of a file, and move what is there out of the way",
            self.0.display()
        )
    }
}

struct ForeignLock<'p>(&'p Path);

impl fmt::Display for ForeignLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not empty and does not belong to the snapshot: choose another path for the snapshot, or remove that file if \
             nothing needs it",
            self.0.display()
        )
    }
}

impl StdError for SnapshotError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Io { error, .. } => Some(&**error),
            _ => None,
        }
    }
}

/// What happened to a snapshot. See [`Observer::on_snapshot`](crate::telemetry::Observer::on_snapshot).
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum SnapshotEvent<'e> {
    /// It was read: at the start, and again when this process took over from another.
    Restored(&'e RestoreReport),
    /// It was written.
    Written(&'e SnapshotWritten),
    /// It could not be written.
    Failed(&'e SnapshotError),
}

impl SnapshotEvent<'_> {
    pub(super) fn log(&self) {
        match self {
            Self::Restored(report) => match &report.problem {
                None => tracing::info!(
                    restored = report.restored,
                    expired = report.expired,
                    left_out = report.left_out,
                    mismatched = report.mismatched,
                    took_ms = millis(report.took),
                    "the snapshot of the tokens was restored"
                ),
                Some(problem) => tracing::warn!(restored = report.restored, "{problem}"),
            },
            Self::Written(written) => tracing::info!(
                tokens = written.tokens,
                bytes = written.bytes,
                took_ms = millis(written.took),
                "a snapshot of the tokens was written"
            ),
            Self::Failed(error) => tracing::warn!("{error}"),
        }
    }
}
