//! Prints the public items of a crate, one per line, from the JSON that rustdoc writes for it.
//!
//! The program has two jobs. With the variable `WRAPPED_RUSTDOC` it stands in for rustdoc: it runs the real one with
//! `RUSTC_BOOTSTRAP`, which stable rustdoc needs for JSON. Only rustdoc gets that variable: build scripts look at it, so
//! cargo would compile every dependency again if it were set for all. Otherwise it renders the file that its argument names.

use std::{
    env,
    error::Error,
    io::{self, Write as _},
    process::{Command, ExitCode},
};

/// Auto traits of the standard library that are no promise of a crate: both are unstable.
const UNSTABLE_AUTO_TRAITS: [&str; 2] = ["core::marker::Freeze", "core::marker::UnsafeUnpin"];

fn main() -> Result<ExitCode, Box<dyn Error>> {
    if let Some(rustdoc) = env::var_os("WRAPPED_RUSTDOC") {
        let status = Command::new(rustdoc)
            .args(env::args_os().skip(1))
            .env("RUSTC_BOOTSTRAP", "1")
            .status()?;
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        return Ok(code.unwrap_or(1).into());
    }
    let json = env::args_os()
        .nth(1)
        .ok_or("usage: public-api-text FILE.json")?;
    // What the standard library implements for every type is omitted: it is the same for each.
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .build()?;
    let mut out = io::stdout().lock();
    for line in api.items().map(ToString::to_string) {
        if !UNSTABLE_AUTO_TRAITS.iter().any(|name| line.contains(name)) {
            writeln!(out, "{line}")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
