//! `test mutants`: changes the code in small ways by cargo-mutants and sees that a test notices: the files that decide, or the
//! lines that changed since a revision. Of many mutants a seeded sample is tested.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::error::Error;

/// The package whose code is changed.
const PACKAGE: &str = "bigcommerce-b2b-auth";

/// The files whose every mutant some test should catch.
const FILES: &[&str] = &[
    "crates/bigcommerce-b2b-auth/src/pipeline/retry.rs",
    "crates/bigcommerce-b2b-auth/src/rate_limit.rs",
    "crates/bigcommerce-b2b-auth/src/rate_limit/ledger.rs",
    "crates/bigcommerce-b2b-auth/src/rate_limit/limiter.rs",
    "crates/bigcommerce-b2b-auth/src/rate_limit/per_store.rs",
    "crates/bigcommerce-b2b-auth/src/rate_limit/swept_map.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/graphql.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/replay.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/layer.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/origins.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/buffered_body.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/rejection.rs",
    "crates/bigcommerce-b2b-auth/src/storefront/api.rs",
    "crates/bigcommerce-b2b-auth/src/error.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/cache.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/cached_token.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/negative_cache.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/single_flight.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/key.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/expiry.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot/file.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot/format.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot/key.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot/report.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/snapshot/seal.rs",
    "crates/bigcommerce-b2b-auth/src/token_cache/per_store.rs",
];

/// Which mutants are tested, and by which tests.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Only mutants of these files, from the root of the workspace.
    pub files: Vec<String>,
    /// Only mutants of lines that changed since this revision.
    pub base: Option<String>,
    /// At most this many, drawn at random.
    pub sample: usize,
    /// What the sample is drawn from.
    pub seed: u64,
    /// Integration tests of the crate `tests`, for the mutants that the SDK's unit tests miss.
    pub tests: Vec<String>,
    /// How many mutants are tested at once.
    pub jobs: usize,
    /// Whether the tests are taken to pass without a mutant.
    pub skip_baseline: bool,
    /// How much of a hundred viable mutants has to be caught.
    pub at_least: f64,
}

/// Runs cargo-mutants.
///
/// # Errors
/// [`Error::File`] for a file that does not exist. [`Error::Step`] when fewer mutants are caught than the plan wants, or
/// `git` or cargo-mutants cannot be run.
pub fn run(root: &Path, plan: &Plan, out: &mut dyn Write) -> Result<(), Error> {
    let files = files(root, plan)?;
    let folder =
        tempfile::tempdir().map_err(|error| step(format!("no folder for the diff: {error}")))?;
    let mut chosen = vec!["--package".to_owned(), PACKAGE.to_owned()];
    for file in &files {
        chosen.extend(["--file".to_owned(), file.clone()]);
    }
    if let Some(base) = &plan.base {
        let diff = folder.path().join("changes.diff");
        fs::write(&diff, changes(root, base)?)
            .map_err(|error| step(format!("the diff cannot be written: {error}")))?;
        chosen.extend(["--in-diff".to_owned(), diff.display().to_string()]);
    }
    let names = list(root, &chosen)?;
    let drawn = draw(&names, plan.sample, plan.seed);
    say(
        out,
        &format!(
            "{} mutants, of which {} are tested",
            names.len(),
            drawn.len()
        ),
    );
    if drawn.is_empty() {
        return Ok(());
    }
    let by_name = |names: &[String]| {
        let mut chosen = chosen.clone();
        // A name has file, line and column, so that it is that of one mutant.
        for name in names {
            chosen.extend(["--re".to_owned(), format!("^{}$", escaped(name))]);
        }
        chosen
    };
    let is_all = drawn.len() == names.len();
    let by_unit_tests = if is_all {
        chosen.clone()
    } else {
        by_name(&drawn)
    };
    test(root, plan, &by_unit_tests, Tests::Unit)?;
    let mut outcome = Outcome::read(root)?;
    // Integration tests take much longer to build: they run for what the unit tests missed.
    if !plan.tests.is_empty() && outcome.missed > 0 {
        say(out, &format!("by the unit tests: {}", outcome.text()));
        let missed = missed(root)?;
        test(root, plan, &by_name(&missed), Tests::Integration)?;
        outcome = outcome.after(Outcome::read(root)?);
    }
    say(out, &outcome.text());
    if outcome.caught_of_hundred() < plan.at_least {
        return Err(step(format!(
            "fewer than {} % of the mutants were caught: target/mutants.out/missed.txt names the others",
            plan.at_least
        )));
    }
    Ok(())
}

fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}");
}

fn step(message: String) -> Error {
    Error::Step {
        name: "mutants".to_owned(),
        command: "cargo xtask test mutants".to_owned(),
        message: Some(message),
    }
}

/// The files that are changed, all of which exist. None for all files.
fn files(root: &Path, plan: &Plan) -> Result<Vec<String>, Error> {
    let files = if plan.files.is_empty() && plan.base.is_none() {
        FILES.iter().map(ToString::to_string).collect()
    } else {
        plan.files.clone()
    };
    for file in &files {
        if !root.join(file).is_file() {
            return Err(Error::File {
                file: file.clone(),
                at: None,
                message: "there is no such file".to_owned(),
                remedy: "name files from the root of the workspace; the list of those that are tested without being named is in xtask/src/mutants.rs".to_owned(),
            });
        }
    }
    Ok(files)
}

/// What changed since a revision, as a diff.
fn changes(root: &Path, base: &str) -> Result<Vec<u8>, Error> {
    let arguments = [
        "diff",
        "--no-ext-diff",
        "--no-color",
        "--src-prefix=a/",
        "--dst-prefix=b/",
        base,
        "--",
        "crates/bigcommerce-b2b-auth/src",
    ];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|error| step(format!("git cannot be started: {error}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(step(format!("git diff {base} failed: {}", said.trim())))
    }
}

/// By rustup's `cargo`: the one that runs xtask sets variables that the build of a mutant must not see.
fn cargo_mutants(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .arg("mutants")
        .current_dir(root)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    command
}

/// The names of all mutants that the arguments choose.
fn list(root: &Path, chosen: &[String]) -> Result<Vec<String>, Error> {
    let output = cargo_mutants(root)
        .args(["--list", "--json"])
        .args(chosen)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| step(format!("cargo cannot be started: {error}")))?;
    if !output.status.success() {
        return Err(step(
            "cargo mutants --list failed; if it is not installed: cargo install --locked cargo-mutants"
                .to_owned(),
        ));
    }
    // Where the diff touches no code, there is no list at all.
    if output.stdout.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    let list: Vec<Value> = serde_json::from_slice(&output.stdout)
        .map_err(|error| step(format!("the list of mutants cannot be read: {error}")))?;
    let names = list.iter().map(|mutant| {
        let name = mutant.get("name").and_then(Value::as_str);
        name.map(str::to_owned)
            .ok_or_else(|| step("a mutant in the list has no name".to_owned()))
    });
    names.collect()
}

/// At most `most` of the names, in the order of the list.
fn draw(names: &[String], most: usize, seed: u64) -> Vec<String> {
    let mut drawn = fastrand::Rng::with_seed(seed)
        .choose_multiple(names.iter().enumerate(), most.min(names.len()));
    drawn.sort_unstable_by_key(|(place, _)| *place);
    drawn.into_iter().map(|(_, name)| name.clone()).collect()
}

/// A text as a regular expression that matches it alone.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if letter.is_ascii_punctuation() && !matches!(letter, '_' | '/' | '<' | '>') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// Which tests have to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tests {
    /// The SDK's own beside its code.
    Unit,
    /// Those of the crate `tests` that the plan names.
    Integration,
}

fn test(root: &Path, plan: &Plan, chosen: &[String], tests: Tests) -> Result<(), Error> {
    let mut command = cargo_mutants(root);
    command
        .args(chosen)
        .args(["--output", "target", "--no-shuffle"])
        .args(["--jobs", &plan.jobs.to_string()])
        // Half of the time of a build is spent on what a debugger reads.
        .env("CARGO_PROFILE_DEV_DEBUG", "0");
    if plan.jobs == 1 {
        // Dependencies are built once for all runs.
        command.env("CARGO_TARGET_DIR", root.join("target/mutants"));
    }
    if plan.skip_baseline {
        command.args(["--baseline", "skip"]);
    }
    match tests {
        Tests::Unit => {
            // Beside what is on by default.
            command.args(["--features", "bigcommerce-b2b-auth/snapshot"]);
            command.args(["--cargo-test-arg=--lib", "--timeout", "60"]);
        }
        Tests::Integration => {
            command.args(["--test-package", "tests", "--timeout", "180"]);
            for test in &plan.tests {
                command.arg(format!("--cargo-test-arg=--test={test}"));
            }
        }
    }
    let status = command
        .status()
        .map_err(|error| step(format!("cargo cannot be started: {error}")))?;
    // 2 and 3 say that mutants were missed, or that tests did not end: the outcome tells how many.
    match status.code() {
        Some(0 | 2 | 3) => Ok(()),
        Some(4) => Err(step("the tests fail without a mutant".to_owned())),
        _ => Err(step(format!("cargo mutants ended with {status}"))),
    }
}

/// The names of the mutants that the last run missed.
fn missed(root: &Path) -> Result<Vec<String>, Error> {
    let path = root.join("target/mutants.out/missed.txt");
    let text = fs::read_to_string(&path)
        .map_err(|error| step(format!("{} cannot be read: {error}", path.display())))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// How many mutants had which outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    caught: u64,
    /// Tests that did not end: they noticed as well.
    timeout: u64,
    missed: u64,
    unviable: u64,
}

impl Outcome {
    fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join("target/mutants.out/outcomes.json");
        let text = fs::read_to_string(&path)
            .map_err(|error| step(format!("{} cannot be read: {error}", path.display())))?;
        Self::from_json(&text)
            .ok_or_else(|| step(format!("{} holds no counts of mutants", path.display())))
    }

    fn from_json(text: &str) -> Option<Self> {
        let outcomes: Value = serde_json::from_str(text).ok()?;
        let count = |name| outcomes.get(name).and_then(Value::as_u64);
        Some(Self {
            caught: count("caught")?,
            timeout: count("timeout")?,
            missed: count("missed")?,
            unviable: count("unviable")?,
        })
    }

    /// This outcome, after the mutants that were missed were tested by further tests.
    fn after(self, further: Self) -> Self {
        Self {
            caught: self.caught + further.caught,
            timeout: self.timeout + further.timeout,
            missed: further.missed,
            unviable: self.unviable + further.unviable,
        }
    }

    /// Those that compile.
    fn viable(self) -> u64 {
        self.caught + self.timeout + self.missed
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "there are thousands of mutants at most"
    )]
    fn caught_of_hundred(self) -> f64 {
        let caught = self.caught + self.timeout;
        match self.viable() {
            0 => 100.0,
            viable => 100.0 * caught as f64 / viable as f64,
        }
    }

    fn text(self) -> String {
        format!(
            "{} of {} viable mutants caught ({:.1} %), {} of them because a test did not end; {} missed, {} do not compile",
            self.caught + self.timeout,
            self.viable(),
            self.caught_of_hundred(),
            self.timeout,
            self.missed,
            self.unviable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            files: Vec::new(),
            base: None,
            sample: 300,
            seed: 1,
            tests: Vec::new(),
            jobs: 1,
            skip_baseline: false,
            at_least: 100.0,
        }
    }

    fn workspace() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
    }

    #[test]
    fn every_file_of_the_list_exists() {
        let files = files(workspace(), &plan()).unwrap();
        assert_eq!(files.len(), FILES.len());
    }

    #[test]
    fn a_file_that_does_not_exist_is_an_error_that_names_it() {
        let plan = Plan {
            files: vec!["crates/bigcommerce-b2b-auth/src/nowhere.rs".to_owned()],
            ..plan()
        };
        let error = files(workspace(), &plan).unwrap_err().to_string();
        assert!(error.contains("src/nowhere.rs"), "{error}");
        assert!(error.contains("there is no such file"), "{error}");
    }

    #[test]
    fn with_a_base_all_changed_files_count_unless_some_are_named() {
        let all = Plan {
            base: Some("main".to_owned()),
            ..plan()
        };
        assert!(files(workspace(), &all).unwrap().is_empty());
        let named = Plan {
            files: vec!["Cargo.toml".to_owned()],
            ..all
        };
        assert_eq!(files(workspace(), &named).unwrap(), ["Cargo.toml"]);
    }

    #[test]
    fn a_sample_is_the_same_for_a_seed_and_keeps_the_order() {
        let names: Vec<String> = (0..1_000).map(|number| format!("{number:04}")).collect();
        let drawn = draw(&names, 300, 1);
        assert_eq!(drawn.len(), 300);
        assert!(drawn.is_sorted());
        assert_eq!(drawn, draw(&names, 300, 1));
        assert_ne!(drawn, draw(&names, 300, 2));
        assert_eq!(draw(&names, 1_000, 1), names);
        assert_eq!(draw(&names, 2_000, 1), names);
    }

    #[test]
    fn a_name_is_escaped_for_a_regular_expression() {
        assert_eq!(
            escaped("src/a_b.rs:1:2: replace f -> Option<&T> with Some(*x) in [A]"),
            r"src/a_b\.rs\:1\:2\: replace f \-> Option<\&T> with Some\(\*x\) in \[A\]"
        );
    }

    #[test]
    fn the_share_of_caught_mutants_leaves_out_those_that_do_not_compile() {
        let json = r#"{"outcomes": [], "total_mutants": 50, "missed": 2, "caught": 36, "timeout": 2, "unviable": 10}"#;
        let outcome = Outcome::from_json(json).unwrap();
        assert_eq!(outcome.viable(), 40);
        assert!((outcome.caught_of_hundred() - 95.0).abs() < 1e-9);
        assert_eq!(
            outcome.text(),
            "38 of 40 viable mutants caught (95.0 %), 2 of them because a test did not end; 2 missed, 10 do not compile"
        );
        assert_eq!(Outcome::from_json("{}"), None);
        let further = Outcome {
            caught: 1,
            timeout: 0,
            missed: 1,
            unviable: 0,
        };
        assert!((outcome.after(further).caught_of_hundred() - 97.5).abs() < 1e-9);
        assert_eq!(outcome.after(further).viable(), 40);
    }
}
