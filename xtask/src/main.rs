//! The command line of the pipeline: `cargo xtask import`, `generate`, `diff` and `ci`; and of `simulate`, which is a crate of
//! its own.
//! It only reads arguments and prints; what the commands do is in the library beside it.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is the job of a command"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xtask::passes::Applied;
use xtask::provenance::Origin;
use xtask::{
    browser, ci, diff, generate, import, long, mutants, mutate, public_api, revisions, simulate,
    snapshot_kills, soak,
};

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    about = "From the vendor's OpenAPI document to the generated client"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a vendor file into openapi/authentication.yaml and openapi/provenance.toml
    Import {
        /// The vendor's document, YAML or JSON
        file: PathBuf,
        /// The repository that the file is from
        #[arg(long)]
        repository: Option<String>,
        /// The commit that the file is from
        #[arg(long)]
        commit: Option<String>,
        /// The date of that commit
        #[arg(long)]
        date: Option<String>,
        /// A folder with the files that external references lead to
        #[arg(long, value_name = "DIR")]
        refs: Option<PathBuf>,
        /// Write nothing; fail with a diff if the checked-in files are not what the import gives
        #[arg(long)]
        check: bool,
    },
    /// Generate the client and the mocks
    Generate {
        /// Write nothing; fail with a diff if the checked-in files are not what generation gives
        #[arg(long, conflicts_with = "spec")]
        check: bool,
        /// Generate from this vendor file instead of the tree
        #[arg(long, value_name = "FILE", requires = "out_dir")]
        spec: Option<PathBuf>,
        /// Where to write what --spec gives
        #[arg(long, value_name = "DIR", requires = "spec")]
        out_dir: Option<PathBuf>,
        /// A folder with the files that external references lead to
        #[arg(long, value_name = "DIR", requires = "spec")]
        refs: Option<PathBuf>,
        /// Make corrections that do not apply to --spec an error
        #[arg(long, requires = "spec")]
        strict: bool,
    },
    /// Import, generate and compile every vendor file that is at hand, as CI does
    Revisions,
    /// Tell what changed on the JSON wire between two documents
    Diff {
        /// The document that was: YAML or JSON, OpenAPI 3.0 or 3.1
        old: PathBuf,
        /// The document that is
        new: PathBuf,
        /// A folder with the files that external references lead to
        #[arg(long, value_name = "DIR")]
        refs: Option<PathBuf>,
        /// How to write the report
        #[arg(long, value_enum, default_value_t)]
        format: diff::Format,
        /// Exit with 1 if there is a change of this class
        #[arg(long, value_name = "CLASS", value_parser = ["breaking"])]
        fail_on: Option<String>,
    },
    /// Run what CI runs
    Ci,
    /// Simulate a day of a storefront and show what managed tokens make of it; built in release
    #[command(disable_help_flag = true)]
    Simulate {
        /// What the simulator is given: --help lists it
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run what takes longer than a test should
    Test {
        #[command(subcommand)]
        what: Test,
    },
}

#[derive(Debug, Subcommand)]
enum Test {
    /// Change the SDK's code in small ways and see that a test notices; needs cargo-mutants
    ///
    /// Without --base and without files: all of retry, rate limit, error, managed tokens and storefront API. The tests are the
    /// SDK's unit tests, and those of --test.
    Mutants {
        /// Only these files, from the root of the workspace
        files: Vec<String>,
        /// Only lines that changed since this revision, in any file of the SDK unless files are named
        #[arg(long, value_name = "REV")]
        base: Option<String>,
        /// At most this many mutants, drawn at random
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        sample: usize,
        /// What the sample is drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Run this integration test of the crate `tests` for what the unit tests miss, such as `token_bugs`; may be given again
        #[arg(long = "test", value_name = "NAME")]
        tests: Vec<String>,
        /// How many mutants are tested at once, each in a copy of the workspace
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// Take the tests to pass without a mutant instead of running them first
        #[arg(long)]
        skip_baseline: bool,
        /// Exit with 1 if fewer of a hundred are caught
        #[arg(long, value_name = "PERCENT", default_value_t = 100.0)]
        at_least: f64,
    },
    /// Use the SDK for some minutes against a server that injects every known fault at once, and see that its rules hold
    ///
    /// Prints how often each fault was injected, how accesses went, and for each rule how often it was checked and violated.
    /// It only uses loopback. The wait of a 429 and all planned faults are short, so that ten minutes hold many of them.
    Soak {
        /// How long; a fraction will do
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// What the faults and the accesses are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Try the flights of managed tokens in many interleavings, as a step of CI does with fewer
    Interleavings {
        /// How many of each model; so many as take a minute in all if unset
        #[arg(long)]
        iterations: Option<usize>,
    },
    /// Kill a process that writes snapshots of managed tokens at random moments and see that the file is whole each time
    SnapshotKills {
        /// How many times
        #[arg(long, default_value_t = 200)]
        times: u32,
        /// How many tokens are written
        #[arg(long, default_value_t = 20_000)]
        tokens: u32,
        /// What the moments are drawn from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Compare the public API of each published crate with the text that is checked in, as a step of CI does
    PublicApi {
        /// Write the texts
        #[arg(long)]
        update: bool,
    },
    /// Use the example storefront in headless Chromium, as a step of CI does; needs Chromium
    Browser,
    /// Fuzz what reads foreign bytes in the SDK; needs cargo-fuzz and a nightly toolchain
    Fuzz {
        /// Only these of the targets
        #[arg(value_parser = clap::builder::PossibleValuesParser::new(long::TARGETS))]
        targets: Vec<String>,
        /// How long each
        #[arg(long, default_value_t = 900)]
        seconds: u32,
    },
    /// Break documents in seeded ways and see that each becomes code or a clear error; meant for a release build
    Documents {
        /// How many
        #[arg(long, default_value_t = 20_000)]
        count: usize,
        /// What all chance comes from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A folder of documents to break, instead of the fixtures and the vendor files; may be given again
        #[arg(long, value_name = "DIR")]
        dir: Vec<PathBuf>,
        /// Only the document of this index
        #[arg(long, value_name = "INDEX")]
        only: Option<usize>,
        /// Write the document of --only to this file before it is tried
        #[arg(long, value_name = "FILE", requires = "only")]
        keep: Option<PathBuf>,
        /// How many threads; 0 for as many as there are processors
        #[arg(long, default_value_t = 0)]
        threads: usize,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace: the folder that holds this crate's.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

fn run(command: Command) -> Result<(), xtask::error::Error> {
    match command {
        Command::Import {
            file,
            repository,
            commit,
            date,
            refs,
            check,
        } => {
            let origin = Origin {
                repository,
                commit,
                date,
            };
            let outcome = import::run(root(), &file, refs.as_deref(), origin, check)?;
            print_report(&outcome.report);
            if let Some(changes) = outcome.changes.filter(|_| !check) {
                println!("\nAgainst the document that was there:");
                print!("{}{}", changes.text(), diff::propose(&changes).text());
            }
        }
        Command::Generate {
            spec: Some(spec),
            out_dir: Some(out_dir),
            refs,
            strict,
            ..
        } => {
            let generated = generate::run_on(root(), &spec, refs.as_deref(), &out_dir, strict)?;
            print_report(&generated.report);
            print_overlay(&generated.overlay);
        }
        Command::Revisions => revisions::run(root(), &mut std::io::stdout())?,
        Command::Diff {
            old,
            new,
            refs,
            format,
            fail_on,
        } => {
            let report = diff::run(&old, &new, refs.as_deref())?;
            print!("{}", report.render(format));
            if fail_on.is_some() {
                report.refuse_breaking(&new.display().to_string())?;
            }
        }
        Command::Ci => ci::run(root(), &mut std::io::stdout())?,
        Command::Simulate { arguments } => simulate::run(root(), &arguments)?,
        Command::Test {
            what:
                Test::Mutants {
                    files,
                    base,
                    sample,
                    seed,
                    tests,
                    jobs,
                    skip_baseline,
                    at_least,
                },
        } => {
            let plan = mutants::Plan {
                files,
                base,
                sample,
                seed,
                tests,
                jobs,
                skip_baseline,
                at_least,
            };
            mutants::run(root(), &plan, &mut std::io::stdout())?;
        }
        Command::Test {
            what: Test::Soak { minutes, seed },
        } => soak::run(root(), minutes, seed)?,
        Command::Test {
            what: Test::Interleavings { iterations },
        } => long::interleavings(root(), iterations)?,
        Command::Test {
            what: Test::Browser,
        } => browser::run(root())?,
        Command::Test {
            what: Test::PublicApi { update },
        } => public_api::run(root(), update)?,
        Command::Test {
            what:
                Test::SnapshotKills {
                    times,
                    tokens,
                    seed,
                },
        } => snapshot_kills::run(root(), times, tokens, seed, &mut std::io::stdout())?,
        Command::Test {
            what: Test::Fuzz { targets, seconds },
        } => long::fuzz(root(), &targets, seconds)?,
        Command::Test {
            what:
                Test::Documents {
                    count,
                    seed,
                    dir: folders,
                    only,
                    keep,
                    threads,
                },
        } => {
            let plan = mutate::Plan {
                count,
                seed,
                folders,
                only,
                threads,
            };
            if let (Some(index), Some(file)) = (only, keep) {
                mutate::keep(root(), &plan, index, &file)?;
            }
            let summary = mutate::run(root(), &plan)?;
            print!("{}", summary.text());
            summary.verdict()?;
        }
        Command::Generate { check, .. } => {
            let generated = generate::run(root(), check)?;
            if !check {
                print_report(&generated.report);
                print_overlay(&generated.overlay);
            }
        }
    }
    Ok(())
}

fn print_report(report: &[Applied]) {
    for pass in report {
        println!(
            "{:>5} {:<19} {}",
            pass.changes.count, pass.name, pass.reason
        );
        for note in &pass.changes.notes {
            println!("      {note}");
        }
    }
}

fn print_overlay(outcome: &xtask::overlay::Outcome) {
    println!("{:>5} overlay actions applied", outcome.applied);
    for skipped in &outcome.skipped {
        println!("      skipped {skipped}");
    }
}
