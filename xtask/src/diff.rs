//! `diff`: what changed between two OpenAPI documents on the JSON wire, before our overlay.
//! Both are read into one normal form, the wire, and the two wires are compared; every change has one of three classes.
//!
//! # The normal form
//! Components, inline schemas, `allOf` and path-level parameters are laid flat, `security` and `servers` come down from
//! the root, and a URL is server and path joined. So whatever only moves is no change, nor is another spelling: `nullable: true`
//! beside a type list with `null`, `exclusiveMinimum` as a flag or as a number, `const` or an `enum` of one, a choice of
//! simple types or a list of types, `required: false`, `minLength: 0`, a version of OpenAPI. As the import does, branches of
//! an `allOf` that disagree in their type give the later one, a closed branch beside others is taken for open, and a schema with `properties`
//! is an object also where it does not say so. `oneOf` and `anyOf` count as the same choice.
//!
//! # The rules
//! *Narrower* means that fewer values are allowed than before, *wider* that more are.
//!
//! | what changed | in a request | in a reply |
//! |---|---|---|
//! | narrower: a type or `null` gone, `number` to `integer`, made required, bound or pattern or wire format added or tightened, enum value gone, object closed | breaking | additive |
//! | wider: the converse of each | additive | breaking |
//! | neither: type, pattern or format exchanged for another | breaking | breaking |
//! | field, parameter, header or body gone | breaking | breaking |
//! | field or parameter new and optional; reply header or body new | additive | additive |
//! | field or parameter new and required | breaking | additive |
//! | an object opened to further fields | additive | additive: no reader may stumble over a field more |
//! | `default` of an optional field: new | additive | neutral |
//! | `default` of an optional field: changed or gone, since the same request then means something else | breaking | neutral |
//!
//! Breaking besides: an operation gone; another method, URL or `operationId`; a set of credentials that was accepted and is
//! not any more; a success status gone, new or exchanged; a documented error status gone (that reply was promised);
//! a JSON media type gone; a parameter moved or serialised differently. Additive besides: a new operation, a new URL beside the
//! old, a credential no longer required or a new way to give one, a new error status, a JSON media type beside another.
//!
//! Neutral: texts, examples, tags, contact, version, deprecation, media types other than JSON, names of path parameters, callbacks and links
//! (named, not judged), and formats that are annotations. The formats that decide which JSON is right are `date`, `date-time`,
//! `time`, `duration`, `uuid`, `ipv4`, `ipv6`, `byte`, `binary` and `int32`; the others, `password` and `email` among them, are annotations.
//!
//! A pointer leads into the new document, or into the old one for what is gone. What lies in another file is shown by the
//! reference that leads there.
//!
//! # Why not the crate `drift`
//! `drift` 0.2 was tried on single changes of a small document. It refuses 3.1, panics where a media type comes or goes, sees no
//! change in servers, security, credentials' headers, `operationId` or `nullable`, leaves bounds, `required` and `enum` as
//! "unhandled", and counts a move into `allOf` or a prefix moved from the path to the server as incompatible.

mod compare;
mod compare_schema;
mod coping;
mod place;
mod proposal;
mod references;
mod report;
mod schema;
mod wire;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Finding};
use crate::load;

pub use coping::{Coping, Verdict};
pub use proposal::{Proposal, Step, propose};
pub use references::References;

/// What a change means for whoever speaks the old wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A request that was accepted may be refused, or a reply that was promised may not come.
    Breaking,
    /// More is accepted or promised than before.
    Additive,
    /// The wire is the same.
    Neutral,
}

impl Class {
    /// The class as the reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Breaking => "breaking",
            Self::Additive => "additive",
            Self::Neutral => "neutral",
        }
    }
}

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The document that was.
    Old,
    /// The document that is.
    New,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it means.
    pub class: Class,
    /// The `operationId`, method and path where there is none, or `-` for the document.
    pub operation: String,
    /// Which document the pointer leads into.
    pub side: Side,
    /// Where.
    pub pointer: String,
    /// What changed, in a sentence.
    pub what: String,
    /// Whether this SDK copes with it already.
    pub coping: Coping,
}

impl Change {
    /// What changed and whether the SDK copes.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{} {}", self.what, self.coping.sentence)
    }
}

/// All changes between two documents, in the order of class, operation and pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The changes.
    pub changes: Vec<Change>,
    /// What could not be looked at, such as a branch in a file that is not at hand.
    pub notes: Vec<String>,
}

/// A document that cannot be read as what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Which of the two.
    pub side: Side,
    /// Where and why.
    pub finding: Finding,
}

impl Unreadable {
    /// The same as an error of that file.
    #[must_use]
    pub fn in_file(self, old: &str, new: &str) -> Error {
        self.finding.in_file(match self.side {
            Side::Old => old,
            Side::New => new,
        })
    }
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For a terminal.
    #[default]
    Text,
    /// For the description of a change.
    Markdown,
    /// For a program.
    Json,
}

/// Compares two documents, OpenAPI 3.0 or 3.1 each.
///
/// # Errors
/// If one of them is no OpenAPI document, or if a reference in it is broken or leads back to itself.
pub fn diff(old: &Value, new: &Value, references: &References) -> Result<Report, Unreadable> {
    let old_reader = place::Reader::new(Side::Old, old, references)?;
    let new_reader = place::Reader::new(Side::New, new, references)?;
    let mut changes = compare::documents(&old_reader, &new_reader)?;
    changes.sort_by(|one, other| {
        let key = |change: &Change| {
            (
                change.class,
                change.operation.clone(),
                change.pointer.clone(),
                change.side,
                change.message(),
            )
        };
        key(one).cmp(&key(other))
    });
    changes.dedup();
    let mut notes = old_reader.into_notes();
    notes.extend(new_reader.into_notes());
    Ok(Report { changes, notes })
}

/// Reads two files and compares them.
///
/// # Errors
/// If one of the files or the folder of `refs` cannot be read, or if [`diff`] cannot.
pub fn run(old: &Path, new: &Path, refs: Option<&Path>) -> Result<Report, Error> {
    let references = refs.map_or_else(|| Ok(References::none()), References::read)?;
    let old = load::read(old)?;
    let new = load::read(new)?;
    diff(&load::parse(&old)?, &load::parse(&new)?, &references)
        .map_err(|unreadable| unreadable.in_file(&old.name, &new.name))
}

impl Report {
    /// How many changes are of `class`.
    #[must_use]
    pub fn count(&self, class: Class) -> usize {
        self.changes
            .iter()
            .filter(|change| change.class == class)
            .count()
    }

    /// Fails if there is a breaking change.
    ///
    /// # Errors
    /// One that names the new document and how many there are.
    pub fn refuse_breaking(&self, new: &str) -> Result<(), Error> {
        match self.count(Class::Breaking) {
            0 => Ok(()),
            1 => Err("1 change is breaking".to_owned()),
            count => Err(format!("{count} changes are breaking")),
        }
        .map_err(|message| {
            Error::file(
                new,
                message,
                "see the report above; run without --fail-on to only see it",
            )
        })
    }

    /// The report in `format`.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Text => self.text(),
            Format::Markdown => self.markdown(),
            Format::Json => self.json(),
        }
    }
}
