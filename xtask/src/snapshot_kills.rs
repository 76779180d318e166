//! Kills a process that writes snapshots, at random moments, and sees that the file is whole each time: the one before or the
//! one that was being written. What writes and what checks is a program of the tests; nothing of the SDK is linked here.

use std::fs;
use std::io::{BufRead as _, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How many snapshots are written undisturbed at first, to know how long one takes.
const UNDISTURBED: u32 = 4;

/// How long anything of it may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came of all kills.
#[derive(Debug, Default)]
struct Tally {
    /// Snapshots that were the last one that had been said to be written.
    old: u32,
    /// Those that were in place and had not been said yet.
    new: u32,
    /// Kills that left a file half written beside it.
    half: u32,
}

/// Kills so many times while a cache of so many tokens is written.
///
/// # Errors
/// [`Error::Step`] when a snapshot is not whole, or the program cannot be built or run.
pub fn run(
    root: &Path,
    times: u32,
    tokens: u32,
    seed: u64,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let failed = |message: String| Error::Step {
        name: "snapshot-kills".to_owned(),
        command: format!(
            "cargo xtask test snapshot-kills --times {times} --tokens {tokens} --seed {seed}"
        ),
        message: Some(message),
    };
    kill(root, times, tokens, seed, out).map_err(failed)
}

fn kill(
    root: &Path,
    times: u32,
    tokens: u32,
    seed: u64,
    out: &mut dyn Write,
) -> Result<(), String> {
    let program = build(root)?;
    let folder = tempfile::tempdir().map_err(|error| format!("no folder to write to: {error}"))?;
    let case = Case {
        program,
        file: folder.path().join("tokens.snapshot"),
        folder: folder.path().to_owned(),
        tokens: tokens.to_string(),
    };
    let one = case.undisturbed()?;
    say(
        out,
        &format!("{tokens} tokens: a generation and its snapshot take {one:.0?}"),
    );
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut last = case.check()?;
    for time in 1..=times {
        let moment = one.mul_f64(2.0 * random.f64());
        last = case
            .once(moment, last, &mut tally)
            .map_err(|error| format!("kill {time} of {times}, after {moment:?}: {error}"))?;
    }
    let Tally { old, new, half } = tally;
    say(
        out,
        &format!(
            "{times} kills: {old} times the old snapshot, {new} times the new one, each of them whole; {half} left half of one beside it, which was removed"
        ),
    );
    Ok(())
}

fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

/// Builds the program and says where it is.
fn build(root: &Path) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = [
        "build",
        "--release",
        "--package",
        "tests",
        "--bin",
        "write-snapshots",
    ];
    let status = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !status.success() {
        return Err(format!("cargo {} failed", arguments.join(" ")));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let name = format!("write-snapshots{}", std::env::consts::EXE_SUFFIX);
    Ok(target.join("release").join(name))
}

struct Case {
    program: PathBuf,
    folder: PathBuf,
    file: PathBuf,
    tokens: String,
}

impl Case {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .arg(&self.file)
            .arg(&self.tokens)
            .stdin(Stdio::null());
        command
    }

    /// How long one generation takes where nobody kills.
    fn undisturbed(&self) -> Result<Duration, String> {
        let mut began = None;
        self.write_until(|generations| {
            let mut count = 0;
            while count < UNDISTURBED {
                generations
                    .recv_timeout(PATIENCE)
                    .map_err(|_| "nothing was written".to_owned())?;
                began.get_or_insert_with(Instant::now);
                count += 1;
            }
            Ok(())
        })?;
        let took = began.map(|began| began.elapsed()).unwrap_or_default();
        Ok(took / (UNDISTURBED - 1))
    }

    /// Starts the program, waits as long as `wait` does, and kills it. The last generation that it said is returned.
    fn write_until(
        &self,
        wait: impl FnOnce(&mpsc::Receiver<u64>) -> Result<(), String>,
    ) -> Result<Option<u64>, String> {
        let mut child = self
            .command("write")
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the program cannot be started: {error}"))?;
        let (to, generations) = mpsc::channel();
        let (last, heard) = mpsc::channel();
        let lines = child.stdout.take().map(BufReader::new);
        let reader = thread::spawn(move || {
            let mut said = None;
            for line in lines
                .into_iter()
                .flat_map(BufReader::lines)
                .map_while(Result::ok)
            {
                said = line.parse().ok();
                // Nobody listens any more after the kill; what was said before it counts.
                let _ = said.map(|said| to.send(said));
            }
            let _ = last.send(said);
        });
        let waited = wait(&generations);
        // On Unix this is SIGKILL.
        let killed = child.kill();
        let ended = child.wait();
        waited?;
        killed.map_err(|error| format!("the program cannot be killed: {error}"))?;
        let status = ended.map_err(|error| format!("the program does not end: {error}"))?;
        if status.code().is_some_and(|code| code != 0) && cfg!(unix) {
            return Err(format!("the program ended by itself, with {status}"));
        }
        drop(reader);
        heard
            .recv_timeout(PATIENCE)
            .map_err(|_| "what the program said cannot be read to its end".to_owned())
    }

    /// Kills once, so long after the program began to write. `last` is the generation that was there before.
    fn once(&self, moment: Duration, last: u64, tally: &mut Tally) -> Result<u64, String> {
        let said = self.write_until(|generations| {
            // From the first one on, so that reading what is there is not among what is killed.
            let first = generations
                .recv_timeout(PATIENCE)
                .map_err(|_| "nothing was written".to_owned())?;
            if first != last + 1 {
                return Err(format!("it went on with generation {first} after {last}"));
            }
            thread::sleep(moment);
            Ok(())
        })?;
        let said = said.ok_or("it said nothing")?;
        if self.names()?.iter().any(|name| name.ends_with(".tmp")) {
            tally.half += 1;
        }
        let found = self.check()?;
        if found == said {
            tally.old += 1;
        } else if found == said + 1 {
            tally.new += 1;
        } else {
            return Err(format!(
                "generation {said} was written, and {found} is there"
            ));
        }
        let names = self.names()?;
        if names != ["tokens.snapshot", "tokens.snapshot.lock"] {
            return Err(format!("what is left over was not removed: {names:?}"));
        }
        Ok(found)
    }

    fn names(&self) -> Result<Vec<String>, String> {
        let unreadable = |error| format!("the folder cannot be read: {error}");
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The generation of the snapshot, which is whole.
    fn check(&self) -> Result<u64, String> {
        let output = self
            .command("check")
            .output()
            .map_err(|error| format!("the program cannot be started: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the snapshot is not whole: {}", said.trim()));
        }
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .map_err(|_| "the program says no generation".to_owned())
    }
}
