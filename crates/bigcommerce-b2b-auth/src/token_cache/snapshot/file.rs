//! The files of a snapshot: the snapshot itself, which is always whole, since it is written beside its place and moved there;
//! and a lock beside it, which says which process writes.
//!
//! Nothing but a regular file is opened, read, replaced or removed: a link, a folder, a pipe or a device in the place of one is
//! an error at once.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use fs4::{FileExt, TryLockError};

use super::key::Keys;

/// What could not be done, and with which file.
#[derive(Debug)]
pub(super) enum Failed {
    /// The system refused it.
    Io {
        doing: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    /// Something else than a regular file is there.
    NotAFile(PathBuf),
    /// The file of the lock is not empty, and what it holds is not of this SDK.
    ForeignLock(PathBuf),
}

/// Puts the name of the file and of what was done to an error.
fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |error| Failed::Io { doing, path, error }
}

/// The path with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Refuses a path at which there is something else than a regular file.
fn refuse_other_kinds(path: &Path) -> Result<(), Failed> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(Failed::NotAFile(path.to_owned())),
        // What cannot be looked at is for the next step to fail with.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Opens a regular file. No link is followed, and nothing is waited for.
fn open_regular(path: &Path, options: &mut OpenOptions) -> Result<File, Failed> {
    // Before it is opened, since opening a device may do something, and a pipe may wait for its other end.
    refuse_other_kinds(path)?;
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options
            .custom_flags(flags.bits().cast_signed())
            // For nobody but the user that runs the process.
            .mode(0o600);
    }
    let file = options.open(path).map_err(failed("open", path))?;
    // Something else may have taken its place in between.
    let metadata = file.metadata().map_err(failed("open", path))?;
    if metadata.is_file() {
        Ok(file)
    } else {
        Err(Failed::NotAFile(path.to_owned()))
    }
}

/// Opens the snapshot to be read. `None` where there is none.
pub(super) fn open(snapshot: &Path) -> Result<Option<File>, Failed> {
    match open_regular(snapshot, OpenOptions::new().read(true)) {
        Err(Failed::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

const TEMPORARY: &str = ".tmp";

/// Letters and digits of the random part in the name of a temporary file.
const RANDOM_LETTERS: usize = 16;

/// Puts what `write` writes in the place of the file, whole or not at all: a process that is killed leaves the old one.
pub(super) fn replace<T>(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> Result<T, Failed> {
    let mut prefix = OsString::from(path.file_name().unwrap_or_default());
    prefix.push(".");
    // It is created for its owner alone, and removed when something fails; if that fails too, the next writer removes it.
    let mut temporary = tempfile::Builder::new()
        .prefix(&prefix)
        .suffix(TEMPORARY)
        .rand_bytes(RANDOM_LETTERS)
        .tempfile_in(folder(path))
        .map_err(failed("create a file beside", path))?;
    let written = write(temporary.as_file_mut()).map_err(failed("write", temporary.path()))?;
    let synced = temporary.as_file().sync_all();
    synced.map_err(failed("write", temporary.path()))?;
    refuse_other_kinds(path)?;
    temporary
        .persist(path)
        .map_err(|error| failed("replace", path)(error.error))?;
    sync_folder(path).map_err(failed("replace", path))?;
    Ok(written)
}

/// Keeps what is there under another name, before something else takes its place. What was kept before stays: it was there first.
pub(super) fn set_aside(path: &Path) -> Result<(), Failed> {
    let aside = beside(path, ".aside");
    refuse_other_kinds(path)?;
    refuse_other_kinds(&aside)?;
    match fs::hard_link(path, &aside) {
        Ok(()) => Ok(()),
        // Kept before, or gone by itself.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
            ) =>
        {
            Ok(())
        }
        // Not every file system has links.
        Err(_) if path.is_file() && !aside.exists() => {
            fs::rename(path, aside).map_err(failed("set aside", path))
        }
        Err(error) => Err(failed("set aside", path)(error)),
    }
}

/// Has the new name written down, without which it may be the old one after a loss of power.
#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// Elsewhere a folder cannot be opened, and the file system sees to it.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The lock on a snapshot. The system gives it back when the process ends, however it does. Its file is empty.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// The file of a lock held a number in two places once, each of which began with the name of a key.
const PLACE: usize = 56;

impl Lock {
    /// Takes the lock; `None` when another process has it. What an earlier version wrote into its file is removed; anything
    /// else that is in there is somebody else's.
    pub(super) fn take(snapshot: &Path, keys: &[Keys]) -> Result<Option<Self>, Failed> {
        let path = beside(snapshot, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = open_regular(&path, &mut options)?;
        // By its trait: since Rust 1.89 a file has a method of this name itself.
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(2 * PLACE as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(failed("read", &path))?;
        if is_of_earlier_version(&bytes, keys) {
            file.set_len(0).map_err(failed("empty", &path))?;
        } else if !bytes.is_empty() {
            return Err(Failed::ForeignLock(path));
        }
        let lock = Self { file, path };
        // It may have been removed between the two steps: then it is a lock on nothing.
        Ok(lock.is_in_place().then_some(lock))
    }

    /// Whether the file is still the one that others find under the name.
    pub(super) fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
                (Ok(ours), Ok(theirs)) => of(ours) == of(theirs),
                _ => false,
            }
        }
        // Elsewhere a file that is open cannot be removed.
        #[cfg(not(unix))]
        true
    }
}

/// Whether a lock holds what earlier versions of the SDK wrote: one or two places, one of them with the name of one of these keys.
fn is_of_earlier_version(bytes: &[u8], keys: &[Keys]) -> bool {
    [PLACE, 2 * PLACE].contains(&bytes.len())
        && bytes
            .chunks(PLACE)
            .any(|place| keys.iter().any(|keys| place.starts_with(&keys.name)))
}

/// Removes what processes that were killed have left beside the snapshot. Only the one that has the lock may.
pub(super) fn remove_left_over(snapshot: &Path) {
    let Some(name) = snapshot.file_name() else {
        return;
    };
    let Ok(found) = fs::read_dir(folder(snapshot)) else {
        return;
    };
    for entry in found.flatten() {
        let is_ours = is_temporary_of(
            name.as_encoded_bytes(),
            entry.file_name().as_encoded_bytes(),
        );
        if is_ours && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // If it cannot be removed now, it is tried again at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary_of(snapshot: &[u8], name: &[u8]) -> bool {
    name.strip_prefix(snapshot)
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(TEMPORARY.as_bytes()))
        .is_some_and(|random| {
            random.len() == RANDOM_LETTERS && random.iter().all(u8::is_ascii_alphanumeric)
        })
}

#[cfg(test)]
mod tests;
