//! The command line of the pipeline: `cargo xtask import`, `generate` and `ci`.
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
use xtask::{ci, generate, import};

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
    /// Run what CI runs
    Ci,
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
            let report = import::run(root(), &file, refs.as_deref(), origin, check)?;
            print_report(&report);
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
        Command::Ci => ci::run(root(), &mut std::io::stdout())?,
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
