//! `test browser`: the example `storefront` in headless Chromium. The tests are a workspace of their own in `tests/browser`; here
//! is what they need before they can begin.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::error::Error;

/// The variable that says which browser to take.
const VARIABLE: &str = "CHROMIUM";

/// What a browser that speaks Chromium's protocol is called, by system.
const NAMES: &[&str] = &[
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Builds the example and runs the tests of the page.
///
/// # Errors
/// [`Error::Step`] when there is no browser, the example does not build, or a test fails.
pub fn run(root: &Path) -> Result<(), Error> {
    let failed = |command: &str, message: Option<String>| Error::Step {
        name: "browser".to_owned(),
        command: command.to_owned(),
        message,
    };
    let named = std::env::var_os(VARIABLE);
    let browser = browser(named.as_deref())
        .map_err(|message| failed("cargo xtask test browser", Some(message)))?;
    // Before the tests, so that their patience is not spent on a build.
    for (folder, command) in [
        ("", "cargo build --quiet --example storefront"),
        ("tests/browser", "cargo test --quiet --locked"),
    ] {
        let arguments = command.split(' ').skip(1);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args(arguments)
            .current_dir(root.join(folder))
            .env(VARIABLE, &browser)
            .status()
            .map_err(|error| failed(command, Some(format!("cargo cannot be started: {error}"))))?;
        if !status.success() {
            let place = (!folder.is_empty()).then(|| format!("from the folder {folder}"));
            return Err(failed(command, place));
        }
    }
    Ok(())
}

/// The browser to take: the named one alone, or the first of the usual ones that is there.
fn browser(named: Option<&OsStr>) -> Result<OsString, String> {
    if let Some(named) = named {
        return if is_there(named) {
            Ok(named.to_owned())
        } else {
            Err(format!(
                "{VARIABLE} names {}, which cannot be run: set it to a Chromium, or unset it",
                named.display()
            ))
        };
    }
    let found = NAMES.iter().find(|name| is_there(OsStr::new(name)));
    found.map(OsString::from).ok_or_else(|| {
        format!(
            "there is no Chromium here: install it, on Debian with apt-get install chromium, or set {VARIABLE} to the path of one"
        )
    })
}

fn is_there(browser: &OsStr) -> bool {
    Command::new(browser)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_is_named_is_taken_or_said_to_be_missing() {
        // Any program that ends well when it is asked for its version.
        let there = OsStr::new("cargo");
        assert_eq!(browser(Some(there)).unwrap(), there);
        let missing = browser(Some(OsStr::new("/no/such/browser"))).unwrap_err();
        assert!(
            missing.contains("CHROMIUM names /no/such/browser"),
            "{missing}"
        );
    }
}
