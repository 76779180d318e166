//! Takes the Authentication operations out of a vendor document, whatever else it holds.
//! An operation is one of them by its tag, or by an `operationId` that has never changed.

use serde_json::Value;

use crate::error::Finding;
use crate::pointer;
use crate::shape::{Kind, METHODS};

/// The six operations by their `operationId`s, which no revision has changed.
pub const KNOWN_OPERATIONS: [&str; 6] = [
    "delete-auth-backend",
    "get-auth-storefront",
    "get-backend-tokens",
    "post-auth-backend",
    "post-auth-customer",
    "post-auth-customers-storefront",
];

/// The tags that the vendor's revisions have used for them.
const TAGS: [&str; 2] = ["auth", "authentication"];

/// Whether an operation is one of the Authentication operations.
#[must_use]
pub fn is_selected(operation: &Value) -> bool {
    let id = operation.get("operationId").and_then(Value::as_str);
    id.is_some_and(|id| KNOWN_OPERATIONS.contains(&id))
        || tags(operation).any(|tag| TAGS.contains(&tag.trim().to_ascii_lowercase().as_str()))
}

fn tags(operation: &Value) -> impl Iterator<Item = &str> {
    operation
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Checks that `document` is one that can be imported: OpenAPI 3.0.
///
/// # Errors
/// If it is something else, naming what it is.
pub fn check_version(document: &Value) -> Result<(), Finding> {
    let Some(root) = document.as_object() else {
        return Err(Finding::new(
            "",
            "is not an OpenAPI document: the root is not a mapping",
            "give an OpenAPI 3.0 document",
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
                "give an OpenAPI 3.0 document",
            ));
        }
    };
    if version != "3.0" && !version.starts_with("3.0.") {
        return Err(Finding::new(
            "/openapi",
            format!("OpenAPI {version} is not read"),
            "give an OpenAPI 3.0 document",
        ));
    }
    match root.get("paths") {
        Some(Value::Object(_)) => Ok(()),
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

/// The methods of `item` that are selected, with their pointers.
pub(crate) fn selected_methods<'a>(
    at: &str,
    item: &'a Value,
) -> Vec<(&'static str, String, &'a Value)> {
    METHODS
        .into_iter()
        .filter_map(|method| Some((method, item.get(method)?)))
        .filter(|(_, operation)| is_selected(operation))
        .map(|(method, operation)| (method, pointer::member(at, method), operation))
        .collect()
}

/// What of the root a selected document keeps, beside its paths.
pub(crate) const KEPT_OF_ROOT: [(&str, Kind); 4] = [
    ("openapi", Kind::Fact),
    ("info", Kind::Info),
    ("servers", Kind::Servers),
    ("security", Kind::Fact),
];
