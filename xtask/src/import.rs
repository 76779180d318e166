//! `import`: a vendor file in, `openapi/authentication.yaml` and `openapi/provenance.toml` out.
//! Structural facts in canonical form; nothing of the vendor's prose or examples.

use std::path::Path;

use serde_json::Value;

use crate::canonical;
use crate::diff::{self, References, Report};
use crate::error::Error;
use crate::load::{self, Source};
use crate::passes::{self, Applied, Changes};
use crate::provenance::{self, Origin};
use crate::resolve::{self, Folder};
use crate::select;
use crate::write::{self, Output};

/// The imported document, below the root of the tree.
pub const DOCUMENT: &str = "openapi/authentication.yaml";
/// Its provenance, below the root of the tree.
pub const PROVENANCE: &str = "openapi/provenance.toml";

const HEADER: &str = "\
# IMPORTED, never edited by hand: the structural facts of the vendor's document in canonical order.
# Written by `cargo xtask import`; provenance.toml says from what. Corrections go to overlay.yaml.
";

/// An imported document, and what the passes did to it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The document in canonical form.
    pub document: Value,
    /// What each pass did.
    pub report: Vec<Applied>,
}

/// Brings a vendor document into canonical form.
///
/// # Errors
/// If it cannot be read as an OpenAPI document with Authentication operations.
pub fn import(source: &Source, folder: &Folder) -> Result<Imported, Error> {
    let in_file = |finding: crate::error::Finding| finding.in_file(&source.name);
    let resolved = resolve::select_and_resolve(load::parse(source)?, folder).map_err(in_file)?;
    let mut document = resolved.document;
    let line = |name, reason, count, notes| Applied {
        name,
        reason,
        changes: Changes { count, notes },
    };
    let mut report = vec![
        line(
            "resolve",
            "where a schema stands makes no difference on the wire, so it makes none here",
            resolved.count,
            resolved.notes,
        ),
        line(
            "lower",
            "the generator takes OpenAPI 3.0: what 3.1 spells differently, and a null that says nothing, go before it",
            resolved.lowered,
            resolved.lowered_notes,
        ),
        line(
            "base-path",
            "an address is the same wherever the document splits it into server and path; ours is split after the base path",
            resolved.moved,
            resolved.moved_notes,
        ),
    ];
    report.extend(passes::run(passes::IMPORT, &mut document).map_err(in_file)?);
    Ok(Imported { document, report })
}

/// What became of the operations that the tree below `root` knows, or, where it has no document yet, of the six.
pub(crate) fn compare(root: &Path, document: &Value) -> Applied {
    let checked_in = checked_in(root);
    Applied {
        name: "operations",
        reason: "an operation that moved, vanished or is new needs a look at the SDK",
        changes: select::compare(&select::known(checked_in.as_ref()), document),
    }
}

/// The document of the tree below `root`, if it is there and can be read.
fn checked_in(root: &Path) -> Option<Value> {
    load::read(&root.join(DOCUMENT))
        .and_then(|source| load::parse(&source))
        .ok()
}

/// The two files that an import writes.
///
/// # Errors
/// If the document cannot be written as YAML.
pub fn outputs(
    source: &Source,
    imported: &Imported,
    origin: &Origin,
) -> Result<Vec<Output>, Error> {
    Ok(vec![
        Output {
            path: DOCUMENT.into(),
            text: canonical::to_yaml(DOCUMENT, HEADER, &imported.document)?,
        },
        Output {
            path: PROVENANCE.into(),
            text: provenance::text(source, origin),
        },
    ])
}

/// What the command did.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What each pass did.
    pub report: Vec<Applied>,
    /// What changed on the wire against the document that was there; none where none was, or none that can be read.
    pub changes: Option<Report>,
}

/// Runs the command: writes both files below `root`, or with `check` compares them.
///
/// With `check`, what `origin` leaves out is taken from the provenance that is there.
///
/// # Errors
/// If the file cannot be imported, cannot be written, or, with `check`, if what is there differs.
pub fn run(
    root: &Path,
    file: &Path,
    refs: Option<&Path>,
    origin: Origin,
    check: bool,
) -> Result<Outcome, Error> {
    let folder = refs.map_or_else(|| Ok(Folder::none()), Folder::read)?;
    let source = load::read(file)?;
    let mut imported = import(&source, &folder)?;
    imported.report.push(compare(root, &imported.document));
    // Both are in canonical form, so that what differs is the wire and no text.
    let changes = checked_in(root)
        .and_then(|old| diff::diff(&old, &imported.document, &References::none()).ok());
    if check {
        let stated = std::fs::read_to_string(root.join(PROVENANCE))
            .map(|text| provenance::origin_of(&text))
            .unwrap_or_default();
        let origin = Origin {
            repository: origin.repository.or(stated.repository),
            commit: origin.commit.or(stated.commit),
            date: origin.date.or(stated.date),
        };
        let command = command(&source.name, &origin);
        write::check_all(root, &outputs(&source, &imported, &origin)?, &command)?;
    } else {
        write::write_all(root, &outputs(&source, &imported, &origin)?)?;
    }
    Ok(Outcome {
        report: imported.report,
        changes,
    })
}

fn command(file: &str, origin: &Origin) -> String {
    let mut command = format!("cargo xtask import {file}");
    for (option, value) in [
        ("--repository", &origin.repository),
        ("--commit", &origin.commit),
        ("--date", &origin.date),
    ] {
        if let Some(value) = value {
            command.push_str(&format!(" {option} {value}"));
        }
    }
    command
}
