//! Two hundred faults of files, drawn from a seed: links, pipes, folders and devices in the place of each file, foreign contents,
//! damage, disks that are full or read-only, locks of others, and processes that were killed. Nothing hangs, nothing foreign is
//! touched, no wrong token comes back, and when the fault is gone all is well again.

use std::{
    collections::BTreeMap,
    os::unix::{
        fs::{FileTypeExt as _, symlink},
        net::UnixListener,
    },
};

use super::*;

const ROUNDS: usize = 200;

/// A step that takes longer than this, on the real clock, hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a file of the snapshot should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Snapshot,
    Lock,
    Aside,
    Temporary,
}

/// What is there instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link,
    LinkToNothing,
    LinkToItself,
    Folder,
    FullFolder,
    Pipe,
    Socket,
    Device,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Other(Place, Kind),
    ForeignLock,
    ForeignSnapshot,
    Truncated,
    Flipped,
    Appended,
    FullDisk,
    ReadOnlyDisk,
    NoFolder,
    FileForFolder,
    LockRemoved,
    LockOfAnother,
    HalfWritten,
    Killed,
}

const PLACES: [Place; 4] = [Place::Snapshot, Place::Lock, Place::Aside, Place::Temporary];

const KINDS: [Kind; 8] = [
    Kind::Link,
    Kind::LinkToNothing,
    Kind::LinkToItself,
    Kind::Folder,
    Kind::FullFolder,
    Kind::Pipe,
    Kind::Socket,
    Kind::Device,
];

const OTHERS: [Fault; 13] = [
    Fault::ForeignLock,
    Fault::ForeignSnapshot,
    Fault::Truncated,
    Fault::Flipped,
    Fault::Appended,
    Fault::FullDisk,
    Fault::ReadOnlyDisk,
    Fault::NoFolder,
    Fault::FileForFolder,
    Fault::LockRemoved,
    Fault::LockOfAnother,
    Fault::HalfWritten,
    Fault::Killed,
];

fn make(kind: Kind, at: &Path, elsewhere: &Path) {
    match kind {
        Kind::Link => {
            fs::write(elsewhere, "theirs").unwrap();
            symlink(elsewhere, at).unwrap();
        }
        Kind::LinkToNothing => symlink(elsewhere, at).unwrap(),
        Kind::LinkToItself => symlink(at, at).unwrap(),
        Kind::Folder => fs::create_dir(at).unwrap(),
        Kind::FullFolder => {
            fs::create_dir(at).unwrap();
            fs::write(at.join("diary"), "theirs").unwrap();
        }
        Kind::Pipe => rustix::fs::mkfifoat(rustix::fs::CWD, at, 0o600.into()).unwrap(),
        Kind::Socket => drop(UnixListener::bind(at).unwrap()),
        Kind::Device => symlink("/dev/zero", at).unwrap(),
    }
}

/// What there is in a folder: the kind of each thing, and what it holds or points to.
fn all_in(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let what = if kind.is_symlink() {
            format!("a link to {:?}", fs::read_link(&path).unwrap())
        } else if kind.is_dir() {
            all.extend(all_in(&path));
            "a folder".to_owned()
        } else if kind.is_file() {
            format!("a file of {:?}", fs::read(&path).unwrap())
        } else {
            format!("a pipe: {}", kind.is_fifo())
        };
        all.insert(path, what);
    }
    all
}

async fn in_time_or_panic<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} hangs"))
}

struct Round {
    setting: Setting,
    random: fastrand::Rng,
    fault: Fault,
    /// How many customers have a token in the snapshot that was there before.
    before: i64,
}

impl Round {
    fn place(&self, place: Place) -> PathBuf {
        let suffix = match place {
            Place::Snapshot => "",
            Place::Lock => ".lock",
            Place::Aside => ".aside",
            Place::Temporary => ".0123456789abcdef.tmp",
        };
        let name = format!("tokens.snapshot{suffix}");
        self.setting.folder.path().join(name)
    }

    fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let length = self.random.usize(1..=longest);
        (0..length).map(|_| self.random.u8(..)).collect()
    }

    /// Puts the fault in the place of what is there. The snapshot that a process then uses is returned.
    fn break_it(&mut self) -> Snapshot {
        let folder = self.setting.folder.path().to_owned();
        let path = self.setting.path();
        let mut snapshot = self.setting.snapshot();
        match self.fault {
            Fault::Other(place, kind) => {
                let at = self.place(place);
                if place == Place::Aside {
                    // Or nothing would have to make room.
                    fs::write(&path, "dear diary").unwrap();
                }
                let _ = fs::remove_file(&at);
                make(kind, &at, &folder.join("elsewhere"));
            }
            Fault::ForeignLock => {
                let longest = [1, 56, 112, 5000][self.random.usize(0..4)];
                let bytes = self.bytes(longest);
                fs::write(self.setting.lock(), bytes).unwrap();
            }
            Fault::ForeignSnapshot => {
                let bytes = self.bytes(5000);
                fs::write(&path, bytes).unwrap();
            }
            Fault::Truncated | Fault::Flipped | Fault::Appended => {
                let mut bytes = fs::read(&path).unwrap();
                let at = self.random.usize(0..bytes.len());
                match self.fault {
                    Fault::Truncated => bytes.truncate(at),
                    Fault::Flipped => bytes[at] ^= 1 << self.random.u32(0..8),
                    _ => bytes.extend(self.bytes(100)),
                }
                fs::write(&path, bytes).unwrap();
            }
            Fault::FullDisk => {
                snapshot.random = Arc::new(|_| Err(io::ErrorKind::StorageFull.into()));
            }
            // Where not even root can write.
            Fault::ReadOnlyDisk => snapshot.path = "/proc/self/tokens.snapshot".into(),
            Fault::NoFolder => snapshot.path = folder.join("missing/tokens.snapshot"),
            Fault::FileForFolder => {
                fs::write(folder.join("file"), "theirs").unwrap();
                snapshot.path = folder.join("file/tokens.snapshot");
            }
            Fault::HalfWritten => {
                let half = self.bytes(3000);
                for name in ["0123456789abcdef", "ABCDEFGHIJKLMNOP"] {
                    let name = format!("tokens.snapshot.{name}.tmp");
                    fs::write(folder.join(name), &half).unwrap();
                }
            }
            Fault::LockRemoved | Fault::LockOfAnother | Fault::Killed => {}
        }
        snapshot
    }

    fn mend(&self, foreign: &BTreeMap<PathBuf, String>) {
        let folder = self.setting.folder.path();
        if let Fault::Other(place, kind) = self.fault {
            let at = self.place(place);
            match kind {
                Kind::Folder | Kind::FullFolder => fs::remove_dir_all(at).unwrap(),
                _ => fs::remove_file(at).unwrap(),
            }
            if place == Place::Aside {
                fs::remove_file(self.setting.path()).unwrap();
            }
        }
        if self.fault == Fault::ForeignLock {
            fs::remove_file(self.setting.lock()).unwrap();
        }
        for name in ["elsewhere", "file"] {
            let path = folder.join(name);
            assert_eq!(foreign.contains_key(&path), path.exists());
            let _ = fs::remove_file(path);
        }
    }

    /// How many tokens come back while the fault is there.
    fn expected(&self, report: &RestoreReport) -> usize {
        match self.fault {
            Fault::Other(Place::Snapshot | Place::Aside, _)
            | Fault::ForeignSnapshot
            | Fault::ReadOnlyDisk
            | Fault::NoFolder
            | Fault::FileForFolder => 0,
            Fault::Truncated | Fault::Flipped | Fault::Appended => {
                assert!(report.problem.is_some());
                0
            }
            _ => usize::try_from(self.before).unwrap(),
        }
    }

    /// Whether a snapshot could be written all the same.
    async fn run(mut self) -> bool {
        let fault = self.fault;
        let is_needed = matches!(fault, Fault::Truncated | Fault::Flipped | Fault::Appended);
        self.before = self.random.i64(i64::from(is_needed)..8);
        if self.before > 0 {
            self.setting.left_behind(self.before).await;
        }
        let holder = match fault {
            Fault::LockOfAnother => {
                let holder = self.setting.cache();
                assert!(holder.restore().await.is_writing);
                Some(holder)
            }
            _ => None,
        };
        let snapshot = self.break_it();
        let foreign = all_in(self.setting.folder.path());
        let tokens = self.setting.cache_on(snapshot);
        let report = in_time_or_panic("restore", tokens.restore()).await;
        assert_eq!(report.restored, self.expected(&report), "{report:?}");
        assert_eq!(tokens.metrics().entries, report.restored);
        if fault == Fault::LockRemoved {
            fs::remove_file(self.setting.lock()).unwrap();
        }
        // The first of them is new where nothing came back.
        for customer in [1, 9] {
            self.setting.put(&tokens, customer);
        }
        let written = in_time_or_panic("a write", tokens.write_snapshot()).await;
        self.check_refusal(&report, written.as_ref().err());
        let held = tokens.metrics().entries;
        if fault == Fault::Killed {
            drop(tokens);
        } else {
            in_time_or_panic("shutdown", tokens.shutdown()).await;
        }
        if let Some(holder) = holder {
            holder.shutdown().await;
        }
        // What is somebody else's is as it was, and nothing is left half written.
        let after = all_in(self.setting.folder.path());
        for (path, what) in &foreign {
            if self.is_foreign(path) {
                assert_eq!(after.get(path), Some(what), "{path:?}");
            }
        }
        let is_half = |path: &&PathBuf| {
            path.extension().is_some_and(|it| it == "tmp")
                && fs::symlink_metadata(path).unwrap().is_file()
        };
        let left: Vec<_> = after.keys().filter(is_half).collect();
        assert!(left.is_empty(), "{left:?}");

        self.mend(&foreign);
        let again = self.setting.cache();
        let report = in_time_or_panic("restore", again.restore()).await;
        assert!(report.is_writing, "{report:?}");
        if written.is_ok() {
            assert_eq!((report.restored, report.problem), (held, None));
        } else if report.problem.is_none() {
            let before = usize::try_from(self.before).unwrap();
            assert!([0, before].contains(&report.restored), "{report:?}");
        }
        self.setting.put(&again, 10);
        let last = again.write_snapshot().await.unwrap();
        assert_eq!(last.tokens, report.restored + 1);
        again.shutdown().await;
        assert_eq!(self.setting.cache().restore().await.restored, last.tokens);
        written.is_ok()
    }

    /// Whether the fault put it there, so that it is to stay as it is.
    fn is_foreign(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap().to_string_lossy();
        match self.fault {
            Fault::Other(place, _) => {
                *path == self.place(place)
                    || matches!(&*name, "elsewhere" | "diary")
                    || place == Place::Aside && *path == self.setting.path()
            }
            Fault::ForeignLock => *path == self.setting.lock(),
            Fault::FileForFolder => name == "file",
            _ => false,
        }
    }

    fn check_refusal(&self, report: &RestoreReport, error: Option<&SnapshotError>) {
        let problem = report.problem.as_ref();
        let are_as_expected = match self.fault {
            Fault::Other(Place::Temporary, _)
            | Fault::LockRemoved
            | Fault::HalfWritten
            | Fault::Killed => problem.is_none() && error.is_none(),
            Fault::Other(place, _) => {
                let at = self.place(place);
                let told =
                    matches!(problem, Some(SnapshotProblem::NotAFile { path }) if *path == at);
                // What is aside is looked at when something has to make room.
                (told || place == Place::Aside)
                    && matches!(error, Some(SnapshotError::NotAFile { path }) if *path == at)
            }
            Fault::ForeignLock => {
                matches!(problem, Some(SnapshotProblem::ForeignLock { .. }))
                    && matches!(error, Some(SnapshotError::ForeignLock { .. }))
            }
            Fault::FullDisk => {
                matches!(error, Some(SnapshotError::Io { error, .. }) if error.kind() == io::ErrorKind::StorageFull)
            }
            Fault::ReadOnlyDisk | Fault::NoFolder | Fault::FileForFolder => {
                matches!(problem, Some(SnapshotProblem::Unreadable { .. }))
                    && matches!(error, Some(SnapshotError::Io { .. }))
            }
            Fault::LockOfAnother => {
                problem == Some(&SnapshotProblem::HeldByAnother)
                    && matches!(error, Some(SnapshotError::HeldByAnother))
            }
            Fault::ForeignSnapshot | Fault::Truncated | Fault::Flipped | Fault::Appended => {
                problem.is_some() && error.is_none()
            }
        };
        assert!(are_as_expected, "{:?}: {problem:?} {error:?}", self.fault);
    }
}

#[tokio::test]
async fn two_hundred_faults_of_files_cost_tokens_and_nothing_else() {
    let mut random = fastrand::Rng::with_seed(20_261_130);
    let kinds = PLACES
        .into_iter()
        .flat_map(|place| KINDS.map(|kind| Fault::Other(place, kind)));
    let all: Vec<_> = kinds.chain(OTHERS).collect();
    let mut counts = BTreeMap::new();
    for round in 0..ROUNDS {
        // Each of them, and then any.
        let drawn = random.usize(0..all.len());
        let fault = *all.get(round).unwrap_or(&all[drawn]);
        let round = Round {
            setting: Setting::new(),
            random: random.fork(),
            fault,
            before: 0,
        };
        let is_written = round.run().await;
        let name = match fault {
            Fault::Other(place, _) => format!("something else in the place of {place:?}"),
            other => format!("{other:?}"),
        };
        let count: &mut (usize, usize) = counts.entry(name).or_default();
        count.0 += 1;
        count.1 += usize::from(is_written);
    }
    for (name, (times, written)) in &counts {
        println!("{name}: {times} times, after {written} of which a snapshot was written");
    }
    assert_eq!(counts.values().map(|count| count.0).sum::<usize>(), ROUNDS);
}
