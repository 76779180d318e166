//! Every vendor file that is at hand goes through the whole pipeline, and what comes out is compiled in the place of the
//! crates' own. The hand-written files stay as they are: that is what "we take every revision" means.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::error::Error;
use crate::generate;

/// The vendor files, relative to the root of the tree.
pub(crate) const VENDOR_FILES: &str = "../shared/vendor-specs";

/// The folder of the files that external references lead to, below the vendor files.
const REFERENCES: &str = "refs";

/// A document with every kind of argument, in names that are taken in Rust.
const ARGUMENTS: &str = "xtask/tests/fixtures/arguments.yaml";

/// The packages that hold generated files.
const PACKAGES: [&str; 2] = [API, "bigcommerce-b2b-auth-httpmock"];

/// The one of them that holds the client.
const API: &str = "bigcommerce-b2b-auth-api";

/// The names of the vendor files that are at hand, in order. They begin with the date.
pub(crate) fn vendor_files(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(root.join(VENDOR_FILES))
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".yaml"))
        .collect();
    names.sort();
    names
}

/// Imports, generates, compiles and tries every vendor file, with and without the folder of references, and says so on
/// `out`. Compiles what the document of argument shapes gives as well.
///
/// # Errors
/// If one of them does not import, generate the same bytes twice, compile, or read the replies that are known.
pub fn run(root: &Path, out: &mut dyn Write) -> Result<(), Error> {
    let names = vendor_files(root);
    if names.is_empty() {
        say(
            out,
            &format!("    no vendor files in {VENDOR_FILES}: nothing to do"),
        );
        return Ok(());
    }
    let references = root.join(VENDOR_FILES).join(REFERENCES);
    let references = references.is_dir().then_some(references);
    let bench = Bench::set_up(root)?;
    let mut compiled: Vec<(String, String)> = Vec::new();
    for name in names {
        let start = Instant::now();
        let shown = format!("{VENDOR_FILES}/{name}");
        let file = root.join(VENDOR_FILES).join(&name);
        let mut ways = vec![("without --refs", None)];
        ways.extend(
            references
                .as_deref()
                .map(|folder| ("with --refs", Some(folder))),
        );
        for (way, folder) in &ways {
            let made = generated_twice(root, &shown, &file, *folder)?;
            if !compiled.contains(&made) {
                let checked = bench.check(&made.0, &made.1);
                checked.map_err(failed_step(&format!("{shown}, {way}"), &shown))?;
                compiled.push(made);
            }
        }
        let ways: Vec<&str> = ways.iter().map(|(way, _)| *way).collect();
        say(
            out,
            &format!(
                "    {name}: imports, generates the same bytes twice, compiles, decodes replies and keeps errors; {} ({:.1} s)",
                ways.join(" and "),
                start.elapsed().as_secs_f64()
            ),
        );
    }
    let start = Instant::now();
    let (client, mocks) = generated_twice(root, ARGUMENTS, &root.join(ARGUMENTS), None)?;
    let compiled = bench.compile(&client, &mocks);
    compiled.map_err(failed_step(ARGUMENTS, ARGUMENTS))?;
    let seconds = start.elapsed().as_secs_f64();
    say(out, &format!("    {ARGUMENTS}: compiles ({seconds:.1} s)"));
    Ok(())
}

/// Makes the error of a step of what cargo said.
fn failed_step(name: &str, spec: &str) -> impl FnOnce(String) -> Error {
    let name = name.to_owned();
    let command = format!("cargo xtask generate --spec {spec} --out-dir DIR");
    move |message| Error::Step {
        name,
        command,
        message: Some(message),
    }
}

/// A line that cannot be printed stops nothing.
fn say(out: &mut dyn Write, line: &str) {
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn failed(file: &Path, error: &std::io::Error) -> Error {
    Error::file(
        file.display().to_string(),
        format!("cannot be read or written: {error}"),
        "check that it exists and that its folder can be written to",
    )
}

/// Client and mocks of a vendor file, generated into two temporary folders and compared.
fn generated_twice(
    root: &Path,
    shown: &str,
    file: &Path,
    references: Option<&Path>,
) -> Result<(String, String), Error> {
    let folder = tempfile::tempdir().map_err(|error| failed(&std::env::temp_dir(), &error))?;
    let mut runs = Vec::new();
    for run in ["once", "twice"] {
        let folder = folder.path().join(run);
        generate::run_on(root, file, references, &folder, false)?;
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| failed(&path, &error))
        };
        runs.push([
            read("generated.rs")?,
            read("httpmock.rs")?,
            read("authentication.yaml")?,
        ]);
    }
    match runs.as_slice() {
        [once, twice] if once == twice => {
            let [client, mocks, _] = once;
            Ok((client.clone(), mocks.clone()))
        }
        _ => Err(Error::file(
            shown,
            "gives other bytes the second time",
            "look for an order in the pipeline that comes from a hash map",
        )),
    }
}

/// A copy of the packages with generated files, in a workspace of its own. It shares the lock file, the profiles and the
/// folder for what is built, so that nothing is resolved, fetched or built anew but these packages themselves.
struct Bench {
    folder: PathBuf,
    target: PathBuf,
}

impl Bench {
    fn set_up(root: &Path) -> Result<Self, Error> {
        let target = root.join(
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from),
        );
        let folder = target.join("xtask-revisions");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
        }
        let manifest = root.join("Cargo.toml");
        let text = std::fs::read_to_string(&manifest).map_err(|error| failed(&manifest, &error))?;
        let members: Vec<String> = PACKAGES
            .iter()
            .map(|name| format!("\"crates/{name}\""))
            .collect();
        let text: String = text
            .lines()
            .map(|line| {
                if line.starts_with("members = ") {
                    format!("members = [{}]\n", members.join(", "))
                } else {
                    format!("{line}\n")
                }
            })
            .collect();
        for name in PACKAGES {
            let package = Path::new("crates").join(name);
            copy(&root.join(&package), &folder.join(&package))?;
        }
        let copied = folder.join("Cargo.toml");
        std::fs::write(&copied, text).map_err(|error| failed(&copied, &error))?;
        let lock = root.join("Cargo.lock");
        std::fs::copy(&lock, folder.join("Cargo.lock")).map_err(|error| failed(&lock, &error))?;
        Ok(Self { folder, target })
    }

    /// Puts `client` and `mocks` in place, compiles them, and has the client read the replies that are known. The error is
    /// what cargo said.
    fn check(&self, client: &str, mocks: &str) -> Result<(), String> {
        self.compile(client, mocks)?;
        self.cargo(&["test", "--quiet", "--package", API, "--test", "replies"])
    }

    /// Puts `client` and `mocks` in place and compiles them.
    fn compile(&self, client: &str, mocks: &str) -> Result<(), String> {
        for (path, text) in [(generate::CLIENT, client), (generate::MOCKS, mocks)] {
            std::fs::write(self.folder.join(path), text)
                .map_err(|error| format!("{path}: cannot be written: {error}"))?;
        }
        self.cargo(&["check", "--quiet", "--workspace", "--lib"])
    }

    fn cargo(&self, arguments: &[&str]) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(arguments)
            .arg("--offline")
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.folder)
            .output()
            .map_err(|error| format!("cargo cannot be started: {error}"))?;
        if output.status.success() {
            Ok(())
        } else {
            // A compiler speaks on the one, a failing test on the other.
            Err([&output.stderr, &output.stdout]
                .map(|said| String::from_utf8_lossy(said).into_owned())
                .concat())
        }
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(to).map_err(|error| failed(to, &error))?;
    for entry in std::fs::read_dir(from).map_err(|error| failed(from, &error))? {
        let entry = entry.map_err(|error| failed(from, &error))?;
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target).map_err(|error| failed(&path, &error))?;
        }
    }
    Ok(())
}
