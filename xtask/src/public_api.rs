//! `test public-api`: compares the public API of each published crate with the text that is checked in.
//! The text is rendered from rustdoc's JSON by a package of its own, `tests/public-api`, beside the texts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::Error;
use crate::write::{Output, check_all, write_all};

/// The command that compares, and with `--update` writes.
pub const COMMAND: &str = "cargo xtask test public-api";

/// The crates that are published, each with all of its features.
pub const CRATES: &[&str] = &[
    "bigcommerce-b2b-auth",
    "bigcommerce-b2b-auth-api",
    "bigcommerce-b2b-auth-httpmock",
    "bigcommerce-b2b-auth-sandbox",
];

/// Where the texts and the program that renders them are.
const FOLDER: &str = "tests/public-api";

/// The program that renders them, and that runs rustdoc.
const PROGRAM: &str = "public-api-text";

/// Stands for a path of modules that are not public.
const PRIVATE: &str = "_";

/// Renders the public API of each published crate, and compares it with the texts or writes them.
///
/// # Errors
/// [`Error::Stale`] with a diff when an API is not what its text says. [`Error::Step`] when rustdoc or the program that
/// renders its JSON fails.
pub fn run(root: &Path, update: bool) -> Result<(), Error> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let manifest = format!("{FOLDER}/Cargo.toml");
    let build = ["build", "--quiet", "--locked", "--manifest-path", &manifest];
    cargo(root, &build, &[("CARGO_TARGET_DIR", target.as_os_str())])?;
    let program = target
        .join("debug")
        .join(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    // The same packages and features as the documentation of CI, so that both share what they compile.
    let document = [
        "doc",
        "--quiet",
        "--workspace",
        "--no-deps",
        "--all-features",
    ];
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    let environment = [
        ("CARGO_TARGET_DIR", target.as_os_str()),
        ("RUSTDOC", program.as_os_str()),
        ("WRAPPED_RUSTDOC", &rustdoc),
        (
            "RUSTDOCFLAGS",
            "-Z unstable-options --output-format json".as_ref(),
        ),
    ];
    cargo(root, &document, &environment)?;
    let outputs: Result<Vec<Output>, Error> = CRATES
        .iter()
        .map(|name| {
            let library = name.replace('-', "_");
            let json = target.join("doc").join(format!("{library}.json"));
            Ok(Output {
                path: Path::new(FOLDER).join(format!("{name}.txt")),
                text: without_private_modules(&render(&program, &json)?, &library),
            })
        })
        .collect();
    if update {
        write_all(root, &outputs?)
    } else {
        check_all(root, &outputs?, &format!("{COMMAND} --update"))
    }
}

fn failed(message: Option<String>) -> Error {
    Error::Step {
        name: "public API".to_owned(),
        command: COMMAND.to_owned(),
        message,
    }
}

/// Runs cargo, which prints what it has to say.
fn cargo(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &std::ffi::OsStr)],
) -> Result<(), Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments)
        .envs(environment.iter().copied())
        .env_remove("CARGO_ENCODED_RUSTDOCFLAGS")
        .current_dir(root)
        .status()
        .map_err(|error| failed(Some(format!("cargo cannot be started: {error}"))))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(Some(format!(
            "cargo {} failed",
            arguments.join(" ")
        ))))
    }
}

/// The public items of a crate, one per line.
fn render(program: &Path, json: &Path) -> Result<String, Error> {
    let output = Command::new(program)
        .arg(json)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| failed(Some(format!("{PROGRAM} cannot be started: {error}"))))?;
    if !output.status.success() {
        return Err(failed(Some(format!(
            "{} cannot be rendered: the version of public-api in {FOLDER}/Cargo.toml has to fit the compiler",
            json.display()
        ))));
    }
    String::from_utf8(output.stdout).map_err(|error| failed(Some(error.to_string())))
}

/// The text with `_` for each path of modules that a caller cannot name, so that code that moves between private modules
/// changes nothing. The last of these modules is kept: the states of a builder are told apart by it.
fn without_private_modules(text: &str, library: &str) -> String {
    let public: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod "))
        .collect();
    let root = format!("{library}::");
    let mut result = String::with_capacity(text.len());
    let is_of_path = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | ':');
    let mut rest = text;
    while let Some(start) = rest.find(is_of_path) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|letter| !is_of_path(letter));
        let (path, after) = from.split_at(end.unwrap_or(from.len()));
        result.push_str(before);
        if path.starts_with(&root) {
            result.push_str(&public_path(path, library, &public));
        } else {
            result.push_str(path);
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

fn public_path(path: &str, library: &str, public: &BTreeSet<&str>) -> String {
    let is_module = |part: &str| part.starts_with(|letter: char| letter.is_lowercase());
    let mut nameable = library.len();
    // As long as what follows is a module as well, and not the item itself.
    while let Some(next) = path.get(nameable + 2..).and_then(|rest| rest.find("::")) {
        let longer = nameable + 2 + next;
        if !path.get(..longer).is_some_and(|path| public.contains(path)) {
            break;
        }
        nameable = longer;
    }
    let parts: Vec<&str> = path
        .get(nameable + 2..)
        .map(|rest| rest.split("::").collect())
        .unwrap_or_default();
    let modules = parts
        .iter()
        .take(parts.len().saturating_sub(1))
        .take_while(|part| is_module(part))
        .count();
    match modules.checked_sub(1) {
        None => path.to_owned(),
        Some(last) => {
            let kept: Vec<&str> = parts.into_iter().skip(last).collect();
            format!("{library}::{PRIVATE}::{}", kept.join("::"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_that_nobody_can_name_are_left_out() {
        let text = "\
pub mod sdk
pub mod sdk::blocking
pub mod sdk::builder
pub fn sdk::connect(&str) -> sdk::blocking::Client
pub fn sdk::blocking::Client::send<S: sdk::builder::State>(self, sdk::Secret) -> Box<sdk::blocking::calls::send::SetTo<S>>
impl sdk::credentials::sealed::Sealed for sdk::Secret
pub fn sdk::blocking::spawn() -> other::private::module::Type
";
        let expected = "\
pub mod sdk
pub mod sdk::blocking
pub mod sdk::builder
pub fn sdk::connect(&str) -> sdk::blocking::Client
pub fn sdk::blocking::Client::send<S: sdk::builder::State>(self, sdk::Secret) -> Box<sdk::_::send::SetTo<S>>
impl sdk::_::sealed::Sealed for sdk::Secret
pub fn sdk::blocking::spawn() -> other::private::module::Type
";
        assert_eq!(without_private_modules(text, "sdk"), expected);
    }

    #[test]
    fn every_published_crate_has_its_text() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let mut published = Vec::new();
        for folder in std::fs::read_dir(root.join("crates")).unwrap() {
            let folder = folder.unwrap();
            let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
            if !manifest.lines().any(|line| line == "publish = false") {
                published.push(folder.file_name().into_string().unwrap());
            }
        }
        published.sort();
        assert_eq!(published, CRATES);
        for name in CRATES {
            let text = root.join(FOLDER).join(format!("{name}.txt"));
            let text = std::fs::read_to_string(text).unwrap();
            assert!(text.starts_with(&format!("pub mod {}\n", name.replace('-', "_"))));
        }
    }
}
