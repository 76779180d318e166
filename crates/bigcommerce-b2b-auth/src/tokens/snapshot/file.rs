//! The files of a snapshot: one that is always whole, since it is written beside and put in its place, and a lock beside it,
//! which says who writes and remembers the highest number that was written.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use chacha20poly1305::{AeadInOut as _, XNonce};
use fs4::{FileExt, TryLockError};

use super::{Random, key::Keys, seal::take};

/// What could not be done, and with which file.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) doing: &'static str,
    pub(super) path: PathBuf,
    pub(super) error: io::Error,
}

/// Puts the name of the file and of what was done to an error.
fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Failed {
    let path = path.to_owned();
    move |error| Failed { doing, path, error }
}

/// The path with something behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// For nobody but the user that runs the process, where the system knows such a thing.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

const TEMPORARY: &str = ".tmp";

/// Digits of the random part in the name of a temporary file.
const DIGITS: usize = 16;

/// Puts what `write` writes in the place of the file, whole or not at all: a process that is killed leaves the old one.
pub(super) fn replace<T>(
    path: &Path,
    random: &Random,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> Result<T, Failed> {
    let mut number = [0; DIGITS / 2];
    random(&mut number).map_err(failed("draw a name beside", path))?;
    let number = u64::from_le_bytes(number);
    let temporary = beside(path, &format!(".{number:0DIGITS$x}{TEMPORARY}"));
    let done = write_and_move(&temporary, path, write);
    if done.is_err() {
        // What remains is of no use; if it cannot be removed, the next who begins does it.
        let _ = fs::remove_file(&temporary);
    }
    done
}

fn write_and_move<T>(
    temporary: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> Result<T, Failed> {
    let mut file = private(OpenOptions::new().write(true).create_new(true))
        .open(temporary)
        .map_err(failed("create", temporary))?;
    let written = write(&mut file).map_err(failed("write", temporary))?;
    file.sync_all().map_err(failed("write", temporary))?;
    drop(file);
    fs::rename(temporary, path).map_err(failed("replace", path))?;
    sync_folder(path).map_err(failed("replace", path))?;
    Ok(written)
}

/// Keeps what is there under another name, before something else takes its place. What was kept before stays: it was there first.
pub(super) fn set_aside(path: &Path) -> Result<(), Failed> {
    let aside = beside(path, ".aside");
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

/// The lock on a snapshot. The system gives it back when the process ends, however it does.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// The mark in the lock's file has two places that are written in turn, so that one is whole at any time.
const PLACES: u64 = 2;

/// Name of the key, nonce, the number and its tag.
const PLACE: usize = 8 + 24 + 8 + 16;

const MARK: &[u8] = b"b2b-snap mark 1";

impl Lock {
    fn path(snapshot: &Path) -> PathBuf {
        beside(snapshot, ".lock")
    }

    /// Takes the lock; `None` when somebody else has it.
    pub(super) fn take(snapshot: &Path) -> Result<Option<Self>, Failed> {
        let path = Self::path(snapshot);
        let mut options = OpenOptions::new();
        let file = private(options.read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(failed("open", &path))?;
        // By its trait: since Rust 1.89 a file has a method of this name itself.
        match FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let lock = Self { file, path };
        // Somebody may have removed it between the two steps: then it is a lock on nothing.
        Ok(lock.is_in_place().then_some(lock))
    }

    /// Whether the file is still the one that others find under the name.
    pub(super) fn is_in_place(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
            match (self.file.metadata(), fs::metadata(&self.path)) {
                (Ok(ours), Ok(theirs)) => of(ours) == of(theirs),
                _ => false,
            }
        }
        // Elsewhere a file that is open cannot be removed.
        #[cfg(not(unix))]
        true
    }

    /// The highest number that was written, by whoever has one of these keys. What cannot be read or is not by them says nothing.
    pub(super) fn highest_in(snapshot: &Path, keys: &[Keys]) -> u64 {
        File::open(Self::path(snapshot))
            .map(|mut file| highest(&mut file, keys))
            .unwrap_or_default()
    }

    /// The same through the lock, which is the only way where locks keep others from reading.
    pub(super) fn highest(&mut self, keys: &[Keys]) -> u64 {
        match self.file.rewind() {
            Ok(()) => highest(&mut self.file, keys),
            Err(_) => 0,
        }
    }

    /// Remembers a number.
    pub(super) fn mark(&mut self, number: u64, keys: &Keys, random: &Random) -> Result<(), Failed> {
        let failed = || failed("write", &self.path);
        let mut nonce = [0; 24];
        random(&mut nonce).map_err(failed())?;
        let mut text = number.to_le_bytes();
        let tag = keys
            .mark
            .encrypt_inout_detached(&XNonce::from(nonce), MARK, text.as_mut_slice().into())
            .map_err(|_| failed()(io::Error::other("the number cannot be sealed")))?;
        let place = [&keys.name[..], &nonce, &text, &tag].concat();
        let at = SeekFrom::Start(number % PLACES * PLACE as u64);
        self.file
            .seek(at)
            .and_then(|_| self.file.write_all(&place))
            .and_then(|()| self.file.sync_data())
            .map_err(failed())
    }
}

fn highest(file: &mut File, keys: &[Keys]) -> u64 {
    let mut bytes = Vec::new();
    // What could be read counts.
    let _ = file.take(PLACES * PLACE as u64).read_to_end(&mut bytes);
    bytes
        .chunks(PLACE)
        .filter_map(|place| number_in(place, keys))
        .max()
        .unwrap_or_default()
}

fn number_in(mut place: &[u8], keys: &[Keys]) -> Option<u64> {
    let name = take::<8>(&mut place)?;
    let nonce = take::<24>(&mut place)?;
    let mut text = take::<8>(&mut place)?;
    let tag = take::<16>(&mut place)?;
    let keys = keys.iter().find(|keys| keys.name == name)?;
    keys.mark
        .decrypt_inout_detached(
            &XNonce::from(nonce),
            MARK,
            text.as_mut_slice().into(),
            &tag.into(),
        )
        .ok()?;
    Some(u64::from_le_bytes(text))
}

/// Removes what processes that were killed have left beside the snapshot. Only who has the lock may.
pub(super) fn remove_left_over(snapshot: &Path) {
    let Some(name) = snapshot.file_name() else {
        return;
    };
    let Ok(found) = fs::read_dir(folder(snapshot)) else {
        return;
    };
    for entry in found.flatten() {
        if is_temporary_of(
            name.as_encoded_bytes(),
            entry.file_name().as_encoded_bytes(),
        ) {
            // If it cannot be removed now, it is tried again at the next start.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn is_temporary_of(snapshot: &[u8], name: &[u8]) -> bool {
    name.strip_prefix(snapshot)
        .and_then(|rest| rest.strip_prefix(b"."))
        .and_then(|rest| rest.strip_suffix(TEMPORARY.as_bytes()))
        .is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tempfile::TempDir;

    use super::{super::key::SnapshotKey, *};

    fn keys(byte: u8) -> Keys {
        Keys::from(&SnapshotKey::from([byte; 32]))
    }

    /// Not random at all.
    fn always(byte: u8) -> Random {
        Arc::new(move |bytes| {
            bytes.fill(byte);
            Ok(())
        })
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let seen = replace(&path, &always(0xab), |file| {
            file.write_all(b"one")?;
            Ok(names(&folder))
        });
        assert_eq!(seen.unwrap(), ["file.abababababababab.tmp"]);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let failed = replace(&path, &always(0), |file| {
            file.write_all(b"half of two")?;
            Err::<(), _>(io::ErrorKind::StorageFull.into())
        });
        let failed = failed.unwrap_err();
        assert_eq!(
            (failed.doing, failed.error.kind()),
            ("write", io::ErrorKind::StorageFull)
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, &always(0), |file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(&folder), ["file"]);
        // A name that is taken is somebody's.
        fs::write(folder.path().join("file.0000000000000000.tmp"), "theirs").unwrap();
        let failed = replace(&path, &always(0), |_| Ok(())).unwrap_err();
        assert_eq!(failed.doing, "create");
        let no_chance: Random = Arc::new(|_| Err(io::ErrorKind::Unsupported.into()));
        let failed = replace(&path, &no_chance, |_| Ok(())).unwrap_err();
        assert_eq!((failed.doing, &failed.path), ("draw a name beside", &path));
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn what_is_set_aside_first_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        set_aside(&path).unwrap();
        assert!(names(&folder).is_empty(), "there was nothing");
        for text in ["one", "two"] {
            fs::write(&path, text).unwrap();
            set_aside(&path).unwrap();
            replace(&path, &always(0), |file| file.write_all(b"new")).unwrap();
            assert_eq!(fs::read(folder.path().join("file.aside")).unwrap(), b"one");
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(names(&folder), ["file", "file.aside"]);
        // A folder is nothing to be moved out of the way.
        let other = folder.path().join("folder");
        fs::create_dir(&other).unwrap();
        assert_eq!(set_aside(&other).unwrap_err().doing, "set aside");
        assert!(other.is_dir());
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, &always(0), |_| Ok(())).unwrap();
        let _lock = Lock::take(&path).unwrap().unwrap();
        for name in names(&folder) {
            let mode = fs::metadata(folder.path().join(&name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn what_is_left_over_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let others = [
            "file",
            "file.0123456789abcde.tmp",
            "file.0123456789abcdef",
            "file.0123456789abcdeg.tmp",
            "file.lock",
            "file2.0123456789abcdef.tmp",
            "other.0123456789abcdef.tmp",
        ];
        for name in others
            .iter()
            .chain(&["file.0123456789abcdef.tmp", "file.ffffffffffffffff.tmp"])
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_left_over(&path);
        assert_eq!(names(&folder), others);
        // Neither a folder that is missing nor a path that names no file is any harm.
        remove_left_over(&folder.path().join("missing/file"));
        remove_left_over(Path::new("/"));
        assert_eq!(folder_of("a/b"), Path::new("a"));
        assert_eq!(folder_of("a"), Path::new("."));
    }

    fn folder_of(path: &str) -> &Path {
        folder(Path::new(path))
    }

    #[test]
    fn one_has_the_lock_until_it_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(lock.is_in_place());
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        let lock = Lock::take(&path).unwrap().unwrap();
        fs::remove_file(folder.path().join("file.lock")).unwrap();
        assert!(!lock.is_in_place());
        let other = Lock::take(&path).unwrap().unwrap();
        assert!(other.is_in_place() && !lock.is_in_place());
        let failed = Lock::take(&folder.path().join("missing/file")).unwrap_err();
        assert_eq!(
            (failed.doing, failed.error.kind()),
            ("open", io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn the_highest_number_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let highest = |keys: &[Keys]| Lock::highest_in(&path, keys);
        assert_eq!(highest(&[keys(1)]), 0);
        let mut lock = Lock::take(&path).unwrap().unwrap();
        assert_eq!(lock.highest(&[keys(1)]), 0);
        for number in [1, 2, 3, 4, 9, u64::MAX - 1] {
            lock.mark(number, &keys(1), &always(number as u8)).unwrap();
            assert_eq!(lock.highest(&[keys(2), keys(1)]), number);
            assert_eq!(highest(&[keys(1)]), number);
            assert_eq!(highest(&[keys(2)]), 0);
        }
        lock.mark(u64::MAX, &keys(2), &always(7)).unwrap();
        assert_eq!(highest(&[keys(1), keys(2)]), u64::MAX);
        assert_eq!(highest(&[keys(1)]), u64::MAX - 1);
        let no_chance: Random = Arc::new(|_| Err(io::ErrorKind::Unsupported.into()));
        assert_eq!(
            lock.mark(1, &keys(1), &no_chance).unwrap_err().doing,
            "write"
        );
        drop(lock);
        assert_eq!(
            Lock::take(&path).unwrap().unwrap().highest(&[keys(2)]),
            u64::MAX
        );
    }

    #[test]
    fn a_mark_that_was_written_half_leaves_the_one_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut lock = Lock::take(&path).unwrap().unwrap();
        lock.mark(4, &keys(1), &always(4)).unwrap();
        lock.mark(5, &keys(1), &always(5)).unwrap();
        let whole = fs::read(folder.path().join("file.lock")).unwrap();
        assert_eq!(whole.len(), 2 * PLACE);
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(folder.path().join("file.lock"), &bytes).unwrap();
            // An odd number stands in the second place.
            let left = if at < PLACE { 5 } else { 4 };
            assert_eq!(Lock::highest_in(&path, &[keys(1)]), left, "{at}");
            fs::write(folder.path().join("file.lock"), &whole[..at]).unwrap();
            let left = if at < PLACE { 0 } else { 4 };
            assert_eq!(Lock::highest_in(&path, &[keys(1)]), left, "{at}");
        }
        // What is behind is no mark.
        let longer = [&whole[..PLACE], &[0; PLACE], &whole[PLACE..]].concat();
        fs::write(folder.path().join("file.lock"), longer).unwrap();
        assert_eq!(Lock::highest_in(&path, &[keys(1)]), 4);
        // No number stands in the file as it is.
        assert!(!whole.windows(8).any(|bytes| bytes == 4_u64.to_le_bytes()));
    }
}
