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
mod tests {
    use std::io::Write as _;

    use tempfile::TempDir;

    use super::{super::key::SnapshotKey, *};

    fn keys(byte: u8) -> Keys {
        Keys::from(&SnapshotKey::from([byte; 32]))
    }

    fn take(path: &Path) -> Result<Option<Lock>, Failed> {
        Lock::take(path, &[keys(1)])
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// What was done, and what the system said to it.
    fn told(failed: Failed) -> (&'static str, io::ErrorKind) {
        match failed {
            Failed::Io { doing, error, .. } => (doing, error.kind()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let seen = replace(&path, |file| {
            file.write_all(b"one")?;
            Ok(names(&folder))
        });
        let seen = seen.unwrap();
        assert!(
            seen.len() == 1 && is_temporary_of(b"file", seen[0].as_bytes()),
            "{seen:?}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let failed = replace(&path, |file| {
            file.write_all(b"half of two")?;
            Err::<(), _>(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(
            told(failed.unwrap_err()),
            ("write", io::ErrorKind::StorageFull)
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, |file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(&folder), ["file"]);
        let failed = replace(&folder.path().join("missing/file"), |_| Ok(()));
        assert_eq!(
            told(failed.unwrap_err()),
            ("create a file beside", io::ErrorKind::NotFound)
        );
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
            replace(&path, |file| file.write_all(b"new")).unwrap();
            assert_eq!(fs::read(folder.path().join("file.aside")).unwrap(), b"one");
            assert_eq!(fs::read(&path).unwrap(), b"new");
        }
        assert_eq!(names(&folder), ["file", "file.aside"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_are_for_nobody_else() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mode = |name: &str| {
            let metadata = fs::metadata(folder.path().join(name)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        replace(&path, |_| {
            assert_eq!(mode(&names(&folder)[0]), 0o600);
            Ok(())
        })
        .unwrap();
        let _lock = take(&path).unwrap().unwrap();
        for name in names(&folder) {
            assert_eq!(mode(&name), 0o600, "{name}");
        }
    }

    #[test]
    fn what_is_left_over_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut others = [
            "file",
            "file.0123456789abcde.tmp",
            "file.0123456789abcdef",
            "file.0123456789abcde_.tmp",
            "file.lock",
            "file2.0123456789abcdef.tmp",
            "other.0123456789abcdef.tmp",
        ];
        others.sort_unstable();
        // As they are written now, and as they were.
        for name in others
            .iter()
            .chain(&["file.0123456789abcdef.tmp", "file.AbCdEfGhIjKlMnOp.tmp"])
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_left_over(&path);
        assert_eq!(names(&folder), others);
        fs::create_dir(folder.path().join("file.0123456789abcdef.tmp")).unwrap();
        remove_left_over(&path);
        assert_eq!(names(&folder).len(), others.len() + 1);
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
        let lock = take(&path).unwrap().unwrap();
        assert!(lock.is_in_place());
        assert!(take(&path).unwrap().is_none());
        drop(lock);
        let lock = take(&path).unwrap().unwrap();
        fs::remove_file(folder.path().join("file.lock")).unwrap();
        assert!(!lock.is_in_place());
        let other = take(&path).unwrap().unwrap();
        assert!(other.is_in_place() && !lock.is_in_place());
        let failed = take(&folder.path().join("missing/file")).unwrap_err();
        assert_eq!(told(failed), ("open", io::ErrorKind::NotFound));
    }

    #[test]
    fn a_lock_file_of_an_earlier_version_is_emptied_and_any_other_content_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let lock = folder.path().join("file.lock");
        let place = |byte: u8| [&keys(byte).name[..], &[0xa5; PLACE - 8]].concat();
        // The first number that was ever written stood in the second place.
        for ours in [
            place(1),
            [vec![0; PLACE], place(1)].concat(),
            [place(1), place(1)].concat(),
            [place(7), place(1)].concat(),
            [place(2), vec![0; PLACE]].concat(),
        ] {
            fs::write(&lock, &ours).unwrap();
            let taken = Lock::take(&path, &[keys(1), keys(2)]).unwrap().unwrap();
            assert_eq!(fs::metadata(&lock).unwrap().len(), 0);
            drop(taken);
        }
        for foreign in [
            b"x".to_vec(),
            place(7),
            place(1)[..PLACE - 1].to_vec(),
            [&b"x"[..], &place(1)].concat(),
            [place(1), place(1), vec![0]].concat(),
            [vec![0; 8], place(1), vec![0; PLACE - 8]].concat(),
            vec![0; PLACE],
            b"[[package]]\nname = \"addr2line\"\n".repeat(1000),
        ] {
            fs::write(&lock, &foreign).unwrap();
            let failed = Lock::take(&path, &[keys(1), keys(2)]).unwrap_err();
            assert!(
                matches!(&failed, Failed::ForeignLock(path) if *path == lock),
                "{failed:?}"
            );
            assert_eq!(fs::read(&lock).unwrap(), foreign);
        }
        // It is free for others all the while.
        fs::write(&lock, "").unwrap();
        assert!(take(&path).unwrap().is_some());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn nothing_but_a_regular_file_is_opened_replaced_or_set_aside() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        for kind in [
            "link",
            "dangling link",
            "folder",
            "pipe",
            "socket",
            "device",
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            let elsewhere = folder.path().join("elsewhere");
            let make = |at: &Path| match kind {
                "link" => {
                    fs::write(&elsewhere, "theirs").unwrap();
                    symlink(&elsewhere, at).unwrap();
                }
                "dangling link" => symlink(folder.path().join("nowhere"), at).unwrap(),
                "folder" => fs::create_dir(at).unwrap(),
                "pipe" => rustix::fs::mkfifoat(rustix::fs::CWD, at, 0o600.into()).unwrap(),
                "socket" => drop(UnixListener::bind(at).unwrap()),
                _ => symlink("/dev/zero", at).unwrap(),
            };
            let is_refused = |failed: Option<Failed>, at: &Path| {
                assert!(
                    matches!(&failed, Some(Failed::NotAFile(path)) if path == at),
                    "{kind}: {failed:?}"
                );
                assert!(!fs::symlink_metadata(at).unwrap().is_file(), "{kind}");
            };
            make(&path);
            is_refused(open(&path).err(), &path);
            is_refused(replace(&path, |file| file.write_all(b"ours")).err(), &path);
            is_refused(set_aside(&path).err(), &path);
            let lock = folder.path().join("file.lock");
            make(&lock);
            is_refused(take(&path).err(), &lock);
            let other = folder.path().join("other");
            fs::write(&other, "dear diary").unwrap();
            let aside = folder.path().join("other.aside");
            make(&aside);
            is_refused(set_aside(&other).err(), &aside);
            assert_eq!(fs::read(&other).unwrap(), b"dear diary");
            assert!(!folder.path().join("nowhere").exists());
            if kind == "link" {
                assert_eq!(fs::read(&elsewhere).unwrap(), b"theirs");
            }
            let left = names(&folder);
            assert!(
                !left.iter().any(|name| name.ends_with(TEMPORARY)),
                "{left:?}"
            );
        }
        assert!(open(Path::new("/nowhere/at/all")).unwrap().is_none());
    }
}
