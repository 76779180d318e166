//! Checks of the tree itself that keep other tests from passing by accident: examples that must not compile have a twin that
//! does, what a fuzzer starts from is replayed by `cargo test`, and the list of mutants names no file that is gone.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
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

// -- Examples that must not compile

/// A block of code in documentation: what stands behind its fence, and its lines.
#[derive(Debug, PartialEq, Eq)]
struct Block<'t> {
    info: &'t str,
    lines: Vec<&'t str>,
}

impl<'t> Block<'t> {
    fn must_not_compile(&self) -> bool {
        self.info.split(',').any(|word| word == "compile_fail")
    }

    /// Whether rustdoc compiles it and expects no error.
    fn compiles(&self) -> bool {
        let words = ["", "rust", "no_run"];
        self.info.split(',').all(|word| words.contains(&word))
    }

    /// The methods and associated functions that are called.
    fn calls(&self) -> BTreeSet<&'t str> {
        let code = self
            .lines
            .iter()
            .map(|line| line.split("//").next().unwrap_or(line));
        let names = code.flat_map(|line| {
            line.split('(').filter_map(|before| {
                let name = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_'));
                name.take(1).next().filter(|name| {
                    !name.is_empty() && before[..before.len() - name.len()].ends_with(['.', ':'])
                })
            })
        });
        names.collect()
    }
}

/// The blocks of the documentation in a Rust or Markdown file, in their order.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut is_open = false;
    for line in text.lines() {
        let line = line.trim_start();
        let comment = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        let line = comment.unwrap_or(line);
        match line.trim_start().strip_prefix("```") {
            Some(_) if is_open => is_open = false,
            Some(info) => {
                is_open = true;
                let info = info.trim();
                blocks.push(Block {
                    info,
                    lines: Vec::new(),
                });
            }
            None if is_open => blocks.last_mut().unwrap().lines.push(line),
            None => {}
        }
    }
    blocks
}

/// The examples that must not compile and have no twin: the block behind or before them that compiles and calls the same.
fn without_twin(text: &str) -> Vec<String> {
    let blocks = blocks(text);
    let is_twin = |place: Option<usize>, of: &Block<'_>| {
        let other = place.and_then(|place| blocks.get(place));
        other.is_some_and(|other| other.compiles() && other.calls() == of.calls())
    };
    let lonely = blocks.iter().enumerate().filter(|(place, block)| {
        block.must_not_compile()
            && !is_twin(Some(place + 1), block)
            && !is_twin(place.checked_sub(1), block)
    });
    lonely.map(|(_, block)| block.lines.join("\n")).collect()
}

#[test]
fn every_example_that_must_not_compile_has_a_twin_that_does() {
    let mut count = 0;
    let mut lonely = Vec::new();
    for file in files_below(root(), &[".rs", ".md"]) {
        // This file has some for its own tests.
        if file.ends_with("xtask/tests/guards.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let expected_errors = blocks(&text);
        count += expected_errors
            .iter()
            .filter(|block| block.must_not_compile())
            .count();
        for example in without_twin(&text) {
            lonely.push(format!("{}:\n{example}", file.display()));
        }
    }
    assert!(count >= 1, "no example is found any more");
    assert!(
        lonely.is_empty(),
        "beside each, add the same code with what it lacks:\n{}",
        lonely.join("\n")
    );
}

#[test]
fn a_twin_compiles_and_calls_the_same() {
    let example = "/// ```compile_fail,E0599\n/// client(hash()).mint(Id::new(1)).send(); // no(t)\n/// ```\n";
    let twin = |info: &str, code: &str| {
        format!("{example}/// It can:\n/// ```{info}\n/// {code}\n/// ```\n")
    };
    assert_eq!(without_twin(example).len(), 1);
    let same = "client(key()).mint(Id::new(1)).send();";
    for info in ["", "no_run", "rust,no_run"] {
        assert_eq!(without_twin(&twin(info, same)), Vec::<String>::new());
    }
    for (info, code) in [
        ("text", same),
        ("compile_fail", same),
        ("ignore", same),
        ("", "client(key()).mint_token(Id::new(1)).send();"),
        ("", "client(key()).mint(Id::new(1));"),
    ] {
        assert!(
            !without_twin(&twin(info, code)).is_empty(),
            "{info}: {code}"
        );
    }
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
    let properties = fs::read_to_string(crate_folder.join("fuzz/properties.rs")).unwrap();
    assert!(
        fs::read_to_string(crate_folder.join("src/lib.rs"))
            .unwrap()
            .contains("#[path = \"../fuzz/properties.rs\"]"),
        "the properties are not compiled for the tests of the crate"
    );
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
            properties.contains(&replay),
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
