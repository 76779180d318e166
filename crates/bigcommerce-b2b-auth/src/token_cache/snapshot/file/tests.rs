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
