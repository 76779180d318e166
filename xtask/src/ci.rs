//! `ci`: the steps that CI runs, in order, stopping at the first that fails.
//! `.ci/run` installs what they need and calls this; a failure names the command that does its step alone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::error::Error;
use crate::provenance::Origin;
use crate::revisions::{self, VENDOR_FILES};
use crate::{browser, excluded, generate, import, long, public_api, simulate, unreferenced};

/// What a step does.
#[derive(Clone, Copy, Debug)]
enum Work {
    /// Runs cargo with these arguments and this addition to the environment.
    Cargo(
        &'static [&'static str],
        Option<(&'static str, &'static str)>,
    ),
    /// Runs every test of the workspace, and looks for snapshots that none of them uses.
    Tests,
    /// Compiles the workspaces that are no part of this one.
    Excluded,
    /// Lints the SDK with each of its features alone, and with none.
    Features,
    /// Tries the interleavings of the flights of managed tokens.
    Interleavings,
    /// Uses the example `storefront` in a browser.
    Browser,
    /// Compares the public API of each published crate with its text.
    PublicApi,
    /// Compares the generated files with what generation gives.
    Generate,
    /// Compares the imported document with what the newest vendor file gives, where the vendor files are at hand.
    Import,
    /// Imports, generates and compiles every vendor file that is at hand.
    Revisions,
}

/// Each of the SDK's features, and none of them.
const FEATURES: &[&str] = &[
    "",
    "rustls",
    "rustls-no-provider",
    "native-tls",
    "http2",
    "blocking",
    "tokens",
    "snapshot",
    "store-contract",
];

const STEPS: &[(&str, Work)] = &[
    ("tests", Work::Tests),
    (
        "quickstart",
        Work::Cargo(&["run", "--quiet", "--example", "quickstart"], None),
    ),
    ("browser", Work::Browser),
    (
        "simulation",
        // A small one, and not in release: what is looked at is that it runs from its command line to its files.
        Work::Cargo(
            &[
                "run",
                "--quiet",
                "--package",
                simulate::PACKAGE,
                "--",
                "--customers",
                "300",
                "--deploy",
                "none,lost,snapshot",
                "--out",
                "target/simulate-small",
            ],
            None,
        ),
    ),
    (
        "format",
        Work::Cargo(&["fmt", "--all", "--", "--check"], None),
    ),
    (
        "lints",
        Work::Cargo(
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ],
            None,
        ),
    ),
    ("features", Work::Features),
    ("excluded workspaces", Work::Excluded),
    ("interleavings", Work::Interleavings),
    (
        "the system's TLS",
        Work::Cargo(
            &[
                "test",
                "--quiet",
                "--package",
                "bigcommerce-b2b-auth",
                "--no-default-features",
                "--features",
                "native-tls,http2",
                "--test",
                "tls",
            ],
            None,
        ),
    ),
    (
        "TLS without a provider",
        Work::Cargo(
            &[
                "test",
                "--quiet",
                "--package",
                "bigcommerce-b2b-auth",
                "--no-default-features",
                "--features",
                "rustls-no-provider,http2",
                "--test",
                "tls",
                "--test",
                "rustls_no_provider",
            ],
            None,
        ),
    ),
    ("generated code", Work::Generate),
    (
        "documentation",
        Work::Cargo(
            &["doc", "--workspace", "--no-deps", "--all-features"],
            Some(("RUSTDOCFLAGS", "-D warnings")),
        ),
    ),
    // After the documentation, with which it shares what is compiled.
    ("public API", Work::PublicApi),
    (
        "dependencies",
        Work::Cargo(&["deny", "check", "bans", "licenses", "sources"], None),
    ),
    ("imported document", Work::Import),
    ("every revision", Work::Revisions),
];

/// Runs every step in the tree below `root` and says on `out` what it does.
///
/// # Errors
/// [`Error::Step`] for the first step that fails.
pub fn run(root: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let start = Instant::now();
    for (name, work) in STEPS {
        say(out, &format!("==> {name}: {}", work.command(root)));
        let step = Instant::now();
        work.run(root, out).map_err(|message| Error::Step {
            name: (*name).to_owned(),
            command: work.command(root),
            message,
        })?;
        say(
            out,
            &format!("    {name}: {:.1} s", step.elapsed().as_secs_f64()),
        );
    }
    say(
        out,
        &format!("all steps passed in {:.1} s", start.elapsed().as_secs_f64()),
    );
    Ok(())
}

/// A line that cannot be printed stops nothing.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

impl Work {
    /// The command that does this step alone.
    fn command(self, root: &Path) -> String {
        match self {
            Self::Cargo(arguments, environment) => {
                let environment = environment
                    .map(|(key, value)| format!("{key}='{value}' "))
                    .unwrap_or_default();
                format!("{environment}cargo {}", arguments.join(" "))
            }
            Self::Tests => "INSTA_UPDATE='no' cargo test --workspace".to_owned(),
            Self::Excluded => excluded::shown(),
            Self::Features => format!("cargo {}, for each", lint_with("FEATURE").join(" ")),
            Self::Interleavings => "cargo xtask test interleavings".to_owned(),
            Self::Browser => "cargo xtask test browser".to_owned(),
            Self::PublicApi => public_api::COMMAND.to_owned(),
            Self::Generate => format!("{} --check", generate::COMMAND),
            Self::Import => newest_vendor_file(root).map_or_else(
                || format!("(nothing to do: no {VENDOR_FILES})"),
                |(shown, _)| format!("cargo xtask import {shown} --check"),
            ),
            Self::Revisions => "cargo xtask revisions".to_owned(),
        }
    }

    /// Does it. The error is what cargo has not printed already.
    fn run(self, root: &Path, out: &mut dyn Write) -> Result<(), Option<String>> {
        match self {
            Self::Cargo(arguments, environment) => cargo(root, arguments, environment),
            Self::Tests => unreferenced::test(root).map_err(|error| Some(error.to_string())),
            Self::Excluded => excluded::run(root, out).map_err(|error| Some(error.to_string())),
            Self::Features => FEATURES
                .iter()
                .try_for_each(|feature| cargo(root, &lint_with(feature), None)),
            Self::Interleavings => {
                long::interleavings(root, None).map_err(|error| Some(error.to_string()))
            }
            Self::Browser => browser::run(root).map_err(|error| Some(error.to_string())),
            Self::PublicApi => {
                public_api::run(root, false).map_err(|error| Some(error.to_string()))
            }
            Self::Generate => generate::run(root, true)
                .map(|_| ())
                .map_err(|error| Some(error.to_string())),
            Self::Import => {
                let Some((_, file)) = newest_vendor_file(root) else {
                    return Ok(());
                };
                import::run(root, &file, None, Origin::default(), true)
                    .map(|_| ())
                    .map_err(|error| Some(error.to_string()))
            }
            Self::Revisions => revisions::run(root, out).map_err(|error| Some(error.to_string())),
        }
    }
}

/// The arguments that lint the SDK with one feature.
fn lint_with(feature: &str) -> [&str; 10] {
    [
        "clippy",
        "--package",
        "bigcommerce-b2b-auth",
        "--lib",
        "--no-default-features",
        "--features",
        feature,
        "--",
        "-D",
        "warnings",
    ]
}

/// Runs cargo, which prints what it has to say.
fn cargo(
    root: &Path,
    arguments: &[&str],
    environment: Option<(&str, &str)>,
) -> Result<(), Option<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .envs(environment)
        .current_dir(root)
        .status()
        .map_err(|error| Some(format!("cargo cannot be started: {error}")))?;
    if status.success() { Ok(()) } else { Err(None) }
}

/// The newest vendor file, as it is called from the root and as it is opened. Their names begin with the date.
fn newest_vendor_file(root: &Path) -> Option<(String, PathBuf)> {
    let name = revisions::vendor_files(root).pop()?;
    let shown = format!("{VENDOR_FILES}/{name}");
    let path = root.join(&shown);
    Some((shown, path))
}
