//! Processes that end and begin again on one snapshot, in the *time* harness: what they bring back, what it spares the service,
//! and who writes. What the file looks like is tested beside the code.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::{fs, path::PathBuf, time::Duration};

use bigcommerce_b2b_auth::{Snapshot, SnapshotKey, SnapshotProblem};
use tempfile::TempDir;
use tests::managed::{DAY, Managed, Wanted, customer};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tokens.snapshot")
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            snapshot: Some(Snapshot::new(self.path(), SnapshotKey::from([1; 32]))),
            ..Wanted::default()
        }
    }
}

async fn text(managed: &Managed, id: u64) -> String {
    let token = managed.tokens.get(customer(id)).await.unwrap();
    token.expose_secret().to_owned()
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_mints_nothing() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    assert_eq!(before.tokens.restore().await.restored, 0);
    let mut texts = Vec::new();
    for id in 1..=10 {
        texts.push(text(&before, id).await);
    }
    before.tokens.shutdown().await;
    let after = before.another(folder.wanted());
    let report = after.tokens.restore().await;
    assert_eq!((report.restored, report.problem), (10, None));
    for (id, expected) in (1..=10).zip(texts) {
        assert_eq!(text(&after, id).await, expected);
    }
    assert_eq!(after.mints(), 10);
    assert_eq!(after.tokens.metrics().hits, 10);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_when_it_would_have_been() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    let old = text(&before, 1).await;
    before.tokens.shutdown().await;
    // Half was drawn: it is due after 19 h 12 min. Whatever is drawn now changes nothing of it.
    let after = before.another(folder.wanted());
    after.chance.set(0.0);
    pass(19 * HOUR).await;
    assert_eq!(after.tokens.restore().await.restored, 1);
    assert_eq!(text(&after, 1).await, old);
    after.settle().await;
    assert_eq!(after.mints(), 1, "it is not due yet");
    pass(13 * MINUTE).await;
    assert_eq!(
        text(&after, 1).await,
        old,
        "it is served while it is renewed"
    );
    after.settle().await;
    assert_eq!(after.mints(), 2);
    assert_ne!(text(&after, 1).await, old);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_killed_loses_what_came_after_the_last_interval() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    text(&before, 1).await;
    pass(4 * MINUTE).await;
    assert!(!folder.path().exists());
    pass(MINUTE).await;
    assert!(folder.path().exists());
    text(&before, 2).await;
    let Managed { tokens, .. } = &before;
    let after = before.another(folder.wanted());
    let report = after.tokens.restore().await;
    assert_eq!(
        (report.restored, report.problem),
        (1, Some(SnapshotProblem::HeldByAnother))
    );
    assert_eq!(tokens.metrics().entries, 2);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_writes_what_was_on_its_way() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    before.way.takes(Duration::from_secs(2));
    let asked = before.tokens.clone();
    let waiting = tokio::spawn(async move { asked.get(customer(1)).await });
    pass(Duration::from_secs(1)).await;
    before.tokens.shutdown().await;
    let token = waiting.await.unwrap().unwrap();
    let after = before.another(folder.wanted());
    assert_eq!(after.tokens.restore().await.restored, 1);
    assert_eq!(text(&after, 1).await, token.expose_secret());
    assert_eq!(after.mints(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_written_any_more() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    text(&before, 2).await;
    let refused = before.tokens.get(customer(1)).await.unwrap();
    before.tokens.write_snapshot().await.unwrap();
    before.tokens.invalidate(&refused);
    before.tokens.shutdown().await;
    let after = before.another(folder.wanted());
    assert_eq!(after.tokens.restore().await.restored, 1);
    assert!(after.tokens.get_cached(customer(1)).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_not_restored_leaves_the_file_alone() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    text(&before, 1).await;
    before.tokens.shutdown().await;
    let bytes = fs::read(folder.path()).unwrap();
    let careless = before.another(folder.wanted());
    text(&careless, 2).await;
    pass(HOUR).await;
    careless.tokens.shutdown().await;
    assert_eq!(fs::read(folder.path()).unwrap(), bytes);
    assert_eq!(careless.mints(), 2);
}

#[tokio::test(start_paused = true)]
async fn after_a_day_nothing_comes_back_and_everything_is_minted_as_ever() {
    let folder = Folder::new();
    let before = Managed::new(folder.wanted());
    before.tokens.restore().await;
    let old = text(&before, 1).await;
    before.tokens.shutdown().await;
    pass(DAY + MINUTE).await;
    let after = before.another(folder.wanted());
    let report = after.tokens.restore().await;
    assert_eq!(
        (report.restored, report.problem),
        (0, Some(SnapshotProblem::TooOld))
    );
    assert_ne!(text(&after, 1).await, old);
    // What was ignored is replaced.
    after.tokens.shutdown().await;
    let third = before.another(folder.wanted());
    assert_eq!(third.tokens.restore().await.restored, 1);
}

#[tokio::test(start_paused = true)]
async fn one_process_takes_over_from_another() {
    let folder = Folder::new();
    let one = Managed::new(folder.wanted());
    assert!(one.tokens.restore().await.is_writing);
    text(&one, 1).await;
    one.tokens.write_snapshot().await.unwrap();
    let two = one.another(folder.wanted());
    let report = two.tokens.restore().await;
    assert_eq!((report.restored, report.is_writing), (1, false));
    let of_one = text(&one, 2).await;
    let of_two = text(&two, 3).await;
    one.tokens.shutdown().await;
    pass(5 * MINUTE).await;
    // What the first one had written last is there, and is not minted again.
    assert_eq!(text(&two, 2).await, of_one);
    assert_eq!(two.mints(), 3);
    two.tokens.shutdown().await;
    let three = one.another(folder.wanted());
    assert_eq!(three.tokens.restore().await.restored, 3);
    assert_eq!(text(&three, 3).await, of_two);
}

/// A process of its own, whose files cannot grow beyond some blocks: what fails in the middle of a write leaves the snapshot as
/// it was, and nothing beside it.
#[cfg(unix)]
#[test]
fn a_disk_that_is_full_in_the_middle_of_a_write_leaves_the_old_snapshot() {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Command, Stdio},
    };

    const PROGRAM: &str = env!("CARGO_BIN_EXE_write-snapshots");
    const TOKENS: &str = "500";

    let folder = Folder::new();
    let program = |verb: &str| {
        let mut command = Command::new(PROGRAM);
        command.arg(verb).arg(folder.path()).arg(TOKENS);
        command
    };
    let mut first = program("write").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    first.kill().unwrap();
    first.wait().unwrap();
    let check = || {
        let checked = program("check").output().unwrap();
        assert!(checked.status.success(), "{checked:?}");
        String::from_utf8(checked.stdout).unwrap()
    };
    // It may have been killed right after another one.
    let before = check();
    let length = fs::metadata(folder.path()).unwrap().len();
    // In blocks of 512 bytes or of 1024, which depends on the shell: either way it ends within the file.
    for blocks in [0, 1, 16, 64] {
        assert!(blocks * 1024 < length, "{length}");
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" write \"$1\" {TOKENS}");
        let failed = Command::new("sh")
            .args(["-c", &script, PROGRAM])
            .arg(folder.path())
            .output()
            .unwrap();
        let said = String::from_utf8(failed.stderr).unwrap();
        assert!(said.contains("could not write"), "{blocks}: {said}");
        let names: Vec<_> = fs::read_dir(folder.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert_eq!(check(), before);
    }
}
