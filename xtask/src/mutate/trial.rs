//! Feeds one document through the pipeline and judges what comes out of it.
//! What is refused must say where and what to do; what the net behind the generator catches should have been refused before.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value;

use crate::check::ROWS;
use crate::diff::{Format, References, diff, propose};
use crate::error::{Error, Finding};
use crate::overlay::{OVERLAY, Overlay};
use crate::resolve::Folder;
use crate::{generate, import, load};

/// What the broken documents are called.
const NAME: &str = "broken.yaml";

/// How a document ended, where it ended well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// With code that parses.
    Generated,
    /// With a clear error of this room of the pipeline.
    Refused(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generated => f.write_str("generated"),
            Self::Refused(by) => write!(f, "refused by {by}"),
        }
    }
}

/// What stands beside the document.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The corrections.
    pub overlay: &'a Overlay,
    /// The document before it was broken, to be compared with.
    pub unbroken: Option<&'a Value>,
}

/// Loads, imports, generates and compares the document that `bytes` are.
///
/// # Errors
/// Says what was not as it should be: a panic, an error that does not help, code that does not parse.
pub fn trial(bytes: Vec<u8>, setting: &Setting<'_>) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| through(bytes, setting))).unwrap_or_else(|payload| {
        let message = payload
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| payload.downcast_ref::<&str>().copied())
            .unwrap_or("without a message");
        Err(format!("a panic: {message}"))
    })
}

fn through(bytes: Vec<u8>, setting: &Setting<'_>) -> Result<Outcome, String> {
    let source = match load::source(NAME.to_owned(), bytes) {
        Ok(source) => source,
        Err(error) => return refused("reading", &error),
    };
    let document = match load::parse(&source) {
        Ok(document) => document,
        Err(error) => return refused("reading", &error),
    };
    if let Some(unbroken) = setting.unbroken {
        compare(unbroken, &document)?;
    }
    let imported = match import::import(&source, &Folder::none()) {
        Ok(imported) => imported,
        Err(error) => return refused("import", &error),
    };
    let caught = generate::caught();
    let generated = generate::generate(imported.document, NAME, setting.overlay, false);
    if generate::caught() != caught {
        let said = generated.err().map(|error| error.to_string());
        return Err(format!(
            "no check refused what the generator did: {}",
            said.unwrap_or_default()
        ));
    }
    match generated {
        Err(error) => refused("generation", &error),
        Ok(generated) => {
            for (what, code) in [("client", &generated.client), ("mocks", &generated.mocks)] {
                syn::parse_file(code)
                    .map_err(|error| format!("{what} that do not parse: {error}"))?;
            }
            Ok(Outcome::Generated)
        }
    }
}

/// A refusal by `room`, if it is one that helps.
fn refused(room: &str, error: &Error) -> Result<Outcome, String> {
    let unclear = |why: &str| Err(format!("an error of {room} {why}: {error}"));
    match error {
        Error::File {
            file,
            at,
            message,
            remedy,
        } => {
            // A file that is not text has bytes and no lines.
            if at.is_none() && !message.contains("(byte ") {
                unclear("without line and column")
            } else if file.is_empty() || message.is_empty() || remedy.is_empty() {
                unclear("without file, message or remedy")
            } else {
                Ok(Outcome::Refused(room.to_owned()))
            }
        }
        Error::Document { file, findings } => {
            let Some(first) = findings.first() else {
                return unclear("without a finding");
            };
            for finding in findings {
                if finding.message.is_empty() || finding.remedy.is_empty() || file.is_empty() {
                    return unclear("without file, message or remedy");
                }
                if !has_place(finding, room) {
                    return unclear("without a pointer");
                }
            }
            let row = first
                .message
                .strip_prefix('[')
                .and_then(|message| message.split_once(']'))
                .map(|(row, _)| row)
                .filter(|name| ROWS.iter().any(|row| row.name == *name));
            Ok(Outcome::Refused(match row {
                Some(row) => format!("check {row}"),
                None if file == OVERLAY => "overlay".to_owned(),
                None => room.to_owned(),
            }))
        }
        other => Err(format!("an error of another kind: {other}")),
    }
}

/// The pointer of the root is empty: what is no OpenAPI document at all stands there, and what a check misses there.
fn has_place(finding: &Finding, room: &str) -> bool {
    if finding.pointer.is_empty() {
        finding.message.starts_with('[')
            || (["import", "comparison"].contains(&room)
                && finding.message.starts_with("is not an OpenAPI document"))
    } else {
        finding.pointer.starts_with('/')
    }
}

/// Compares the documents both ways, and the broken one with itself.
fn compare(unbroken: &Value, broken: &Value) -> Result<(), String> {
    let references = References::none();
    for (old, new) in [(unbroken, broken), (broken, unbroken), (broken, broken)] {
        match diff(old, new, &references) {
            Err(unreadable) => {
                refused("comparison", &unreadable.in_file(NAME, NAME))?;
            }
            Ok(report) => {
                if std::ptr::eq(old, new) && !report.changes.is_empty() {
                    return Err(format!(
                        "differs from itself: {}",
                        report.render(Format::Text)
                    ));
                }
                for format in [Format::Text, Format::Markdown] {
                    let _ = report.render(format);
                }
                let _ = propose(&report).text();
                serde_json::from_str::<Value>(&report.render(Format::Json))
                    .map_err(|error| format!("a report that is not JSON: {error}"))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(overlay: &Overlay) -> Setting<'_> {
        Setting {
            overlay,
            unbroken: None,
        }
    }

    #[test]
    fn bytes_words_and_documents_end_well() {
        let overlay = Overlay::none();
        let good = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /keys:\n    get:\n      tags: [Auth]\n      \
                    operationId: get-keys\n      responses: {'200': {description: Found}}\n";
        for (text, outcome) in [
            (good, Outcome::Generated),
            ("a: [", Outcome::Refused("reading".to_owned())),
            ("words", Outcome::Refused("import".to_owned())),
        ] {
            assert_eq!(
                trial(text.into(), &setting(&overlay)),
                Ok(outcome),
                "{text}"
            );
        }
        let bytes = vec![b'a', 0xff];
        let outcome = Outcome::Refused("reading".to_owned());
        assert_eq!(trial(bytes, &setting(&overlay)), Ok(outcome));
    }

    #[test]
    fn an_error_that_does_not_help_is_a_failure() {
        let bare = |pointer: &str, remedy: &str| {
            refused(
                "generation",
                &Finding::new(pointer, "wrong", remedy).in_file("f"),
            )
        };
        assert!(bare("", "mend it").is_err());
        assert!(bare("/a", "").is_err());
        assert!(bare("/a", "mend it").is_ok());
        assert!(refused("reading", &Error::file("f", "wrong", "mend it")).is_err());
    }
}
