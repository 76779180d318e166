//! `test documents`: breaks documents in seeded ways and feeds each through the whole pipeline.
//! Every one must become code that parses or an error that helps, in bounded time and memory; each is a function of seed and index.
//!
//! Documents are given out by their index, so neither the number of threads nor their order makes a difference.
//! `--only INDEX` does one of them again and can write it down.

mod damage;
mod text;
mod trial;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::error::Error;
use crate::load;
use crate::overlay::{OVERLAY, Overlay};

pub use trial::{Outcome, Setting, trial};

/// The longest that one document may take. A build without optimisation is allowed ten times as much.
const MAX_TIME: Duration = if cfg!(debug_assertions) {
    Duration::from_secs(20)
} else {
    Duration::from_secs(2)
};
/// When a document that has not ended is given up.
const GIVEN_UP_AFTER: u32 = 10;
/// The most memory that the process may have had at any time, in KiB.
const MAX_MEMORY: u64 = 512 * 1024;
/// The folders that are broken unless others are named, below the root of the tree.
const FOLDERS: [&str; 3] = [
    "xtask/tests/fixtures",
    "xtask/tests/fixtures/diff",
    "../shared/vendor-specs",
];

/// What to break, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many documents.
    pub count: usize,
    /// What all chance comes from.
    pub seed: u64,
    /// The folders with the unbroken documents; empty for the fixtures and the vendor files.
    pub folders: Vec<PathBuf>,
    /// Only the document of this index.
    pub only: Option<usize>,
    /// How many threads; 0 for as many as there are processors.
    pub threads: usize,
}

/// A document that the pipeline did not treat as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its index.
    pub index: usize,
    /// The file that it was made of.
    pub base: String,
    /// What went wrong.
    pub message: String,
}

/// What came of a plan.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many documents were tried.
    pub tried: usize,
    /// The seed.
    pub seed: u64,
    /// How many files they were made of.
    pub bases: usize,
    /// How many ended in which way.
    pub outcomes: BTreeMap<Outcome, usize>,
    /// What failed, by index.
    pub failures: Vec<Failure>,
    /// The time that it took.
    pub elapsed: Duration,
    /// The document that took longest, and how long.
    pub slowest: Option<(usize, Duration)>,
    /// The most memory of the process in KiB, where the system tells.
    pub memory: Option<u64>,
}

/// A document before it is broken.
#[derive(Debug)]
struct Base {
    name: String,
    text: String,
    /// As a value, unless it is one that is refused.
    document: Option<Value>,
    /// How large it is; large ones are taken less often, as each takes the time of many small ones.
    weight: usize,
}

/// What all threads read.
#[derive(Debug)]
struct Stock {
    bases: Vec<Base>,
    words: damage::Words,
    overlay: Overlay,
}

/// What a thread says.
enum Message {
    Begun(usize, usize),
    Ended(usize, usize, Duration, Result<Outcome, String>),
}

impl Stock {
    fn read(root: &Path, folders: &[PathBuf]) -> Result<Self, Error> {
        let folders: Vec<PathBuf> = if folders.is_empty() {
            let usual = FOLDERS.iter().map(|folder| root.join(folder));
            usual.filter(|folder| folder.is_dir()).collect()
        } else {
            folders.to_vec()
        };
        let mut bases = Vec::new();
        for folder in &folders {
            for path in files(folder)? {
                let mut source = load::read(&path)?;
                source.name = path
                    .file_name()
                    .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
                let document = load::parse(&source).ok();
                bases.push(Base {
                    name: source.name,
                    weight: if source.text.len() > 8 * 1024 { 1 } else { 6 },
                    text: source.text,
                    document,
                });
            }
        }
        if bases.is_empty() {
            let names: Vec<String> = folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect();
            return Err(Error::file(
                names.join(", "),
                "holds no document to break",
                "name a folder of YAML files with --dir",
            ));
        }
        let overlay = match load::read(&root.join(OVERLAY)) {
            Ok(mut source) => {
                source.name = OVERLAY.to_owned();
                Overlay::parse(&source)?
            }
            Err(_) => Overlay::none(),
        };
        let words = damage::Words::of(bases.iter().filter_map(|base| base.document.as_ref()));
        Ok(Self {
            bases,
            words,
            overlay,
        })
    }

    /// The document of an index: what it is made of, and its bytes.
    fn make(&self, seed: u64, index: usize) -> Option<(&Base, Vec<u8>)> {
        // Neighbouring indices must not give neighbouring states.
        let step = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut rng = Rng::with_seed(seed.rotate_left(32) ^ step);
        let total: usize = self.bases.iter().map(|base| base.weight).sum();
        let mut lot = rng.usize(..total.max(1));
        let base = self.bases.iter().find(|base| {
            let mine = lot < base.weight;
            lot = lot.saturating_sub(base.weight);
            mine
        })?;
        let bytes = match &base.document {
            Some(document) if rng.u8(..5) > 0 => {
                let mut document = document.clone();
                damage::apply(&mut document, &self.words, &mut rng);
                text::write(&document, &mut rng)
            }
            _ => text::damage(base.text.as_bytes(), &mut rng),
        };
        Some((base, bytes))
    }

    fn run(&self, seed: u64, index: usize) -> Result<Outcome, String> {
        let (base, bytes) = self
            .make(seed, index)
            .ok_or_else(|| "nothing to break".to_owned())?;
        trial(
            bytes,
            &Setting {
                overlay: &self.overlay,
                unbroken: base.document.as_ref(),
            },
        )
    }
}

/// The YAML files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let unreadable = |error: std::io::Error| {
        Error::file(
            folder.display().to_string(),
            format!("cannot be read: {}", load::describe(&error)),
            "name a folder of YAML files with --dir",
        )
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Does what `plan` says, with the overlay of the tree below `root`.
///
/// # Errors
/// If there is nothing to break. What fails is in the summary.
pub fn run(root: &Path, plan: &Plan) -> Result<Summary, Error> {
    let stock = Arc::new(Stock::read(root, &plan.folders)?);
    let (first, end) = plan.only.map_or((0, plan.count), |only| (only, only + 1));
    let start = Instant::now();
    let mut summary = Summary {
        tried: 0,
        seed: plan.seed,
        bases: stock.bases.len(),
        outcomes: BTreeMap::new(),
        failures: Vec::new(),
        elapsed: Duration::ZERO,
        slowest: None,
        memory: None,
    };
    let next = Arc::new(AtomicUsize::new(first));
    let (sender, receiver) = mpsc::channel();
    // Not scoped: a thread that hangs must not keep the report from being given.
    for worker in 0..threads(plan).min(end - first).max(1) {
        let (stock, next, sender) = (Arc::clone(&stock), Arc::clone(&next), sender.clone());
        let seed = plan.seed;
        std::thread::spawn(move || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= end || sender.send(Message::Begun(worker, index)).is_err() {
                    return;
                }
                let begun = Instant::now();
                let outcome = stock.run(seed, index);
                let ended = Message::Ended(worker, index, begun.elapsed(), outcome);
                if sender.send(ended).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    collect(&stock, &receiver, &mut summary);
    summary.failures.sort_by_key(|failure| failure.index);
    summary.elapsed = start.elapsed();
    summary.memory = peak_memory();
    Ok(summary)
}

fn threads(plan: &Plan) -> usize {
    match plan.threads {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        threads => threads,
    }
}

/// Takes what the threads say, until all have ended or those that are left hang.
fn collect(stock: &Stock, receiver: &mpsc::Receiver<Message>, summary: &mut Summary) {
    let mut running: BTreeMap<usize, (usize, Instant)> = BTreeMap::new();
    let mut too_large = false;
    let name = |index: usize, seed: u64| {
        let made = stock.make(seed, index);
        made.map_or_else(String::new, |(base, _)| base.name.clone())
    };
    let seed = summary.seed;
    loop {
        match receiver.recv_timeout(Duration::from_secs(1)) {
            Ok(Message::Begun(worker, index)) => {
                running.insert(worker, (index, Instant::now()));
                continue;
            }
            Ok(Message::Ended(worker, index, took, outcome)) => {
                running.remove(&worker);
                summary.tried += 1;
                if summary.slowest.is_none_or(|(_, slowest)| took > slowest) {
                    summary.slowest = Some((index, took));
                }
                let outcome = match outcome {
                    Ok(_) if took > MAX_TIME => Err(format!(
                        "took {:.1} s, more than {} s",
                        took.as_secs_f64(),
                        MAX_TIME.as_secs()
                    )),
                    other => other,
                };
                match outcome {
                    Ok(outcome) => *summary.outcomes.entry(outcome).or_default() += 1,
                    Err(message) => summary.failures.push(Failure {
                        index,
                        base: name(index, seed),
                        message,
                    }),
                }
                if too_large || peak_memory().is_none_or(|peak| peak <= MAX_MEMORY) {
                    continue;
                }
                too_large = true;
                let others: Vec<String> = running
                    .values()
                    .map(|(index, _)| index.to_string())
                    .collect();
                summary.failures.push(Failure {
                    index,
                    base: name(index, seed),
                    message: format!(
                        "the process had more than 512 MiB when it ended; beside it ran [{}]",
                        others.join(", ")
                    ),
                });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let hangs = |begun: &Instant| begun.elapsed() > MAX_TIME * GIVEN_UP_AFTER;
        if !running.is_empty() && running.values().all(|(_, begun)| hangs(begun)) {
            for (index, begun) in running.values() {
                summary.tried += 1;
                summary.failures.push(Failure {
                    index: *index,
                    base: name(*index, seed),
                    message: format!("has not ended in {} s", begun.elapsed().as_secs()),
                });
            }
            return;
        }
    }
}

/// The most memory that this process has had so far, in KiB; `None` where the system does not tell.
#[must_use]
pub fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

impl Summary {
    /// Whether everything was as it should be.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// The summary in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{} documents from {} files, seed {}, in {:.1} s\n",
            self.tried,
            self.bases,
            self.seed,
            self.elapsed.as_secs_f64()
        );
        if let Some((index, took)) = self.slowest {
            let _ = writeln!(
                text,
                "  slowest: {index}, {:.0} ms (at most {} ms)",
                took.as_secs_f64() * 1000.0,
                MAX_TIME.as_millis()
            );
        }
        let _ = match self.memory {
            Some(memory) => writeln!(
                text,
                "  memory: {} MiB at most (allowed: {} MiB)",
                memory / 1024,
                MAX_MEMORY / 1024
            ),
            None => writeln!(text, "  memory: not measured, this system does not tell"),
        };
        for (outcome, count) in &self.outcomes {
            let _ = writeln!(text, "{count:>7} {outcome}");
        }
        let _ = writeln!(text, "{:>7} failures", self.failures.len());
        for failure in &self.failures {
            let _ = writeln!(
                text,
                "  {} (from {}): {}\n    again: cargo run --release --package xtask -- test documents --seed {} --only {}",
                failure.index, failure.base, failure.message, self.seed, failure.index
            );
        }
        text
    }

    /// The error of a run in which something failed.
    ///
    /// # Errors
    /// If it did.
    pub fn verdict(&self) -> Result<(), Error> {
        if self.passed() {
            return Ok(());
        }
        Err(Error::file(
            "test documents",
            format!("{} documents failed", self.failures.len()),
            "do one again with --only INDEX --keep FILE, mend the pipeline, and keep a small fixture of it",
        ))
    }
}

/// Writes the document of an index of `plan` to `file`, to look at.
///
/// # Errors
/// If there is nothing to break, or if the file cannot be written.
pub fn keep(root: &Path, plan: &Plan, index: usize, file: &Path) -> Result<(), Error> {
    let stock = Stock::read(root, &plan.folders)?;
    let made = stock.make(plan.seed, index);
    let bytes = made.map(|(_, bytes)| bytes).unwrap_or_default();
    std::fs::write(file, bytes).map_err(|error| {
        Error::file(
            file.display().to_string(),
            format!("cannot be written: {}", load::describe(&error)),
            "name another file with --keep",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stock() -> Stock {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        Stock::read(root, &[root.join("xtask/tests/fixtures")]).unwrap()
    }

    #[test]
    fn a_document_is_a_function_of_seed_and_index() {
        let (one, other) = (stock(), stock());
        let bytes = |stock: &Stock, seed, index| stock.make(seed, index).unwrap().1;
        for index in 0..50 {
            assert_eq!(bytes(&one, 7, index), bytes(&other, 7, index), "{index}");
        }
        let differing = (0..50)
            .filter(|index| bytes(&one, 7, *index) != bytes(&one, 8, *index))
            .count();
        assert!(differing > 40, "{differing}");
    }
}
