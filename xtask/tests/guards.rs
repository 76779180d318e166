//! Checks of the tree itself that keep other tests from passing by accident: what a fuzzer starts from is replayed by
//! `cargo test`, and the list of mutants names no file that is gone.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on ends with a panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The files below a folder whose names end with one of these.
fn files_below(folder: &Path, ends: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if ends.iter().any(|end| name.ends_with(end)) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

// -- What a fuzzer starts from

/// The folders of the SDK's corpus, with at least how many files each has.
const CORPUS: [(&str, usize); 5] = [
    ("claims", 58),
    ("envelope", 60),
    ("graphql", 26),
    ("headers", 60),
    ("snapshot", 36),
];

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| unreachable!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// The tests replay whole folders, by `replay("name", …)` in the crate's own unit tests.
#[test]
fn the_corpus_of_the_sdk_is_whole_and_replayed() {
    let crate_folder = root().join("crates/bigcommerce-b2b-auth");
    let corpus = crate_folder.join("fuzz/corpus");
    let folders: BTreeSet<String> = CORPUS.map(|(name, _)| name.to_owned()).into();
    assert_eq!(names_in(&corpus), folders);
    let targets = xtask::long::TARGETS.iter();
    assert_eq!(
        targets.map(ToString::to_string).collect::<BTreeSet<_>>(),
        folders
    );
    let with_end = |end: &str| folders.iter().map(|name| format!("{name}{end}")).collect();
    let programs: BTreeSet<String> = with_end(".rs");
    assert_eq!(names_in(&crate_folder.join("fuzz/fuzz_targets")), programs);
    let sources: Vec<_> = files_below(&crate_folder.join("src"), &[".rs"])
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    for (name, at_least) in CORPUS {
        let folder = corpus.join(name);
        let count = names_in(&folder).len();
        assert!(
            count >= at_least,
            "{name} has {count} files, and not {at_least}"
        );
        assert!(
            names_in(&folder)
                .iter()
                .all(|file| folder.join(file).is_file()),
            "{name} has folders, which are not replayed"
        );
        let replay = format!("replay(\"{name}\", ");
        assert!(
            sources.iter().any(|text| text.contains(&replay)),
            "no unit test of the crate replays {name}"
        );
    }
}

/// `tests/mutate.rs` names each file.
#[test]
fn the_corpus_of_the_generator_is_whole_and_replayed() {
    let names = names_in(&root().join("xtask/fuzz/corpus/document"));
    assert!(names.len() >= 3, "{names:?}");
    let tests = fs::read_to_string(root().join("xtask/tests/mutate.rs")).unwrap();
    for name in names {
        assert!(
            tests.contains(&format!("{name:?}")),
            "{name} is not replayed"
        );
    }
}

// -- What is mutated

/// A file that was moved must not leave the list of mutants in silence.
#[test]
fn the_verb_for_mutants_fails_for_a_file_that_does_not_exist() {
    let gone = "crates/bigcommerce-b2b-auth/src/gone.rs";
    let plan = xtask::mutants::Plan {
        files: vec![gone.to_owned()],
        base: None,
        sample: 1,
        seed: 1,
        tests: Vec::new(),
        jobs: 1,
        skip_baseline: false,
        at_least: 100.0,
    };
    let mut said = Vec::new();
    let error = xtask::mutants::run(root(), &plan, &mut said).unwrap_err();
    assert!(matches!(&error, xtask::error::Error::File { file, .. } if file == gone));
    assert!(said.is_empty(), "it ran all the same");
}
