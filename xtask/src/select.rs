//! Takes the Authentication operations out of a vendor document, whatever else it holds.
//! An operation is one of them by its tag, or by an `operationId` that has never changed.

use serde_json::Value;

use crate::error::Finding;
use crate::passes::Changes;
use crate::servers;
use crate::shape::{self, Kind, METHODS};

/// The six operations by their `operationId`s, which no revision has changed.
pub const KNOWN_OPERATIONS: [&str; 6] = [
    "delete-auth-backend",
    "get-auth-storefront",
    "get-backend-tokens",
    "post-auth-backend",
    "post-auth-customer",
    "post-auth-customers-storefront",
];

/// One of the operations that are known, and its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its `operationId`.
    pub id: String,
    /// Its method, in lower case.
    pub method: String,
    /// Its path below the service's base path.
    pub path: String,
}

/// Where the six operations stand in every revision, in the order of [`KNOWN_OPERATIONS`].
const ADDRESSES: [(&str, &str); 6] = [
    ("delete", "/auth/backend"),
    ("get", "/auth/storefront"),
    ("get", "/backend/tokens"),
    ("post", "/auth/backend"),
    ("post", "/auth/customers"),
    ("post", "/auth/customers/storefront"),
];

/// The `operationId` that is known for an address.
pub(crate) fn known_id(method: &str, path: &str) -> Option<&'static str> {
    KNOWN_OPERATIONS
        .into_iter()
        .zip(ADDRESSES)
        .find(|(_, address)| *address == (method, path))
        .map(|(id, _)| id)
}

/// The operations to compare with: those of `document` if it is given, else the six.
#[must_use]
pub fn known(document: Option<&Value>) -> Vec<Known> {
    match document {
        Some(document) => shape::operations(document)
            .iter()
            .map(|operation| Known {
                id: operation.id().to_owned(),
                method: operation.method.to_owned(),
                path: operation.path.to_owned(),
            })
            .collect(),
        None => KNOWN_OPERATIONS
            .into_iter()
            .zip(ADDRESSES)
            .map(|(id, (method, path))| Known {
                id: id.to_owned(),
                method: method.to_owned(),
                path: path.to_owned(),
            })
            .collect(),
    }
}

/// What became of the `known` operations in `document`: moved, renamed, vanished, new. One note each.
#[must_use]
pub fn compare(known: &[Known], document: &Value) -> Changes {
    let mut changes = Changes::default();
    let found = shape::operations(document);
    let address = |method: &str, path: &str| format!("{} {path}", method.to_uppercase());
    let mut renamed = Vec::new();
    for one in known {
        let before = address(&one.method, &one.path);
        if let Some(now) = found.iter().find(|operation| operation.id() == one.id) {
            let after = address(now.method, now.path);
            if after != before {
                changes.note(format!("moved: `{}` from {before} to {after}", one.id));
            }
        } else if let Some(now) = found
            .iter()
            .find(|now| now.method == one.method && now.path == one.path)
            .filter(|now| !known.iter().any(|other| other.id == now.id()))
        {
            renamed.push(now.id());
            changes.note(format!(
                "renamed: {before} is `{}` now and was `{}`",
                now.id(),
                one.id
            ));
        } else {
            changes.note(format!("vanished: `{}` at {before}", one.id));
        }
    }
    for now in &found {
        if !known.iter().any(|one| one.id == now.id()) && !renamed.contains(&now.id()) {
            changes.note(format!(
                "new: `{}` at {}; it is generated, and waits for its place in the SDK",
                now.id(),
                address(now.method, now.path)
            ));
        }
    }
    changes
}

/// The tags that the vendor's revisions have used for them.
const TAGS: [&str; 2] = ["auth", "authentication"];

/// Whether an operation is one of the Authentication operations.
#[must_use]
pub fn is_selected(operation: &Value) -> bool {
    let id = operation.get("operationId").and_then(Value::as_str);
    id.is_some_and(|id| KNOWN_OPERATIONS.contains(&id)) || has_tag(operation)
}

fn has_tag(operation: &Value) -> bool {
    tags(operation).any(|tag| TAGS.contains(&tag.trim().to_ascii_lowercase().as_str()))
}

/// What says of one document which of its operations are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// No operation has the tag, so the known addresses count as well.
    by_address: bool,
}

impl Wanted {
    /// Looks at the tags of `document`.
    pub(crate) fn of(document: &Value) -> Self {
        let tagged = document
            .get("paths")
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|paths| paths.values())
            .flat_map(|item| METHODS.into_iter().filter_map(|method| item.get(method)))
            .any(has_tag);
        Self {
            by_address: !tagged,
        }
    }

    /// The methods of the path `item` that are taken.
    pub(crate) fn methods<'a>(self, path: &str, item: &'a Value) -> Vec<(&'static str, &'a Value)> {
        METHODS
            .into_iter()
            .filter_map(|method| Some((method, item.get(method)?)))
            .filter(|(method, operation)| {
                is_selected(operation)
                    || (self.by_address && known_id(method, servers::below_base(path)).is_some())
            })
            .collect()
    }
}

fn tags(operation: &Value) -> impl Iterator<Item = &str> {
    operation
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Checks that `document` is one that can be imported: OpenAPI 3.0 or 3.1. Answers whether it is 3.1.
///
/// # Errors
/// If it is something else, naming what it is.
pub fn check_version(document: &Value) -> Result<bool, Finding> {
    let Some(root) = document.as_object() else {
        return Err(Finding::new(
            "",
            "is not an OpenAPI document: the root is not a mapping",
            "give an OpenAPI 3.0 or 3.1 document",
        ));
    };
    let version = match root.get("openapi") {
        Some(Value::String(version)) => version.as_str(),
        Some(_) => {
            return Err(Finding::new(
                "/openapi",
                "the version is not a string",
                "write it in quotes, such as '3.0.3'",
            ));
        }
        None if root.contains_key("swagger") => {
            return Err(Finding::new(
                "/swagger",
                "is a Swagger 2 document",
                "convert it to OpenAPI 3.0",
            ));
        }
        None => {
            return Err(Finding::new(
                "",
                "is not an OpenAPI document: it has no `openapi`",
                "give an OpenAPI 3.0 or 3.1 document",
            ));
        }
    };
    let is = |family: &str| {
        version
            .strip_prefix(family)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let newer = is("3.1");
    if !newer && !is("3.0") {
        return Err(Finding::new(
            "/openapi",
            format!("OpenAPI {version} is not read"),
            "give an OpenAPI 3.0 or 3.1 document",
        ));
    }
    match root.get("paths") {
        Some(Value::Object(_)) => Ok(newer),
        Some(_) => Err(Finding::new(
            "/paths",
            "`paths` is not a mapping",
            "give an OpenAPI document with paths",
        )),
        None => Err(Finding::new(
            "",
            "is not an OpenAPI document: it has no `paths`",
            "give an OpenAPI document with paths",
        )),
    }
}

/// The error for a document of which nothing was selected.
#[must_use]
pub fn nothing_selected(document: &Value) -> Finding {
    let mut seen: Vec<String> = document
        .get("paths")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|paths| paths.values())
        .flat_map(|item| {
            METHODS
                .into_iter()
                .filter_map(move |method| item.get(method))
        })
        .flat_map(tags)
        .map(|tag| format!("`{tag}`"))
        .collect();
    seen.sort();
    seen.dedup();
    seen.truncate(20);
    let seen = if seen.is_empty() {
        "no operation has a tag".to_owned()
    } else {
        format!("the tags are {}", seen.join(", "))
    };
    Finding::new(
        "/paths",
        format!("has no Authentication operations: {seen}"),
        "give a document with operations tagged `Authentication` or `Auth`",
    )
}

/// Writes the version that the document has from here on: what 3.1 says is said in 3.0 then.
pub(crate) fn settle_version(version: &mut Value, notes: &mut Vec<String>) {
    let before = version.as_str().unwrap_or_default();
    let after = match before {
        "3.0" => "3.0.0",
        newer if newer.starts_with("3.1") => "3.0.3",
        _ => return,
    };
    notes.push(format!("/openapi: {before} brought down to {after}"));
    *version = Value::from(after);
}

/// What of the root a selected document keeps, beside its paths.
pub(crate) const KEPT_OF_ROOT: [(&str, Kind); 4] = [
    ("openapi", Kind::Fact),
    ("info", Kind::Info),
    ("servers", Kind::Servers),
    ("security", Kind::Fact),
];
