//! The table of operations that stands beside the generated client: what the document says beyond types.
//! Made from the same document as the client, so that the transport's facts and the types cannot drift apart.

use std::fmt::Write as _;

use serde_json::Value;

use crate::error::Finding;
use crate::passes::rust_snake_case;
use crate::pointer;
use crate::shape::{self, OperationAt};

/// The source text of `pub mod operations`.
///
/// # Errors
/// If an operation has no single success status, or a credential that is not a header.
pub fn table(document: &Value) -> Result<String, Finding> {
    let mut constants = String::new();
    let mut names = Vec::new();
    for operation in shape::operations(document) {
        let rust_name = rust_snake_case(operation.id());
        let name = rust_name.to_uppercase();
        let method = operation.method.to_uppercase();
        let credentials = credentials(document, &operation)?;
        let _ = write!(
            constants,
            "/// `{method} {path}`{summary}\n\
             pub const {name}: Operation = Operation {{ id: {id:?}, rust_name: {rust_name:?}, method: {method:?}, \
             path: {path:?}, success_status: {status}, deprecated: {deprecated}, credentials: &[{credentials}] }};\n",
            path = operation.path,
            summary = summary(&operation),
            id = operation.id(),
            status = success_status(&operation)?,
            deprecated = operation.node.get("deprecated") == Some(&Value::Bool(true)),
            credentials = credentials
                .iter()
                .map(|headers| format!("&{headers:?}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
        names.push(name);
    }
    Ok(format!(
        "/// What the document says of each operation beyond its types.\n\
         pub mod operations {{\nuse crate::Operation;\n{constants}\
         /// Every operation, in the order of the document.\n\
         pub const ALL: &[Operation] = &[{}];\n}}\n",
        names.join(", ")
    ))
}

fn summary(operation: &OperationAt<'_>) -> String {
    let summary = operation
        .node
        .get("summary")
        .and_then(Value::as_str)
        .and_then(|summary| summary.lines().next())
        .unwrap_or_default();
    if summary.is_empty() {
        String::new()
    } else {
        format!(": {summary}")
    }
}

/// The one success status of an operation.
fn success_status(operation: &OperationAt<'_>) -> Result<u16, Finding> {
    operation
        .node
        .get("responses")
        .and_then(Value::as_object)
        .filter(|responses| responses.len() == 1)
        .and_then(|responses| responses.keys().next())
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| {
            Finding::new(
                pointer::member(&operation.pointer(), "responses"),
                "does not have exactly one success status",
                "the pass `one-success` should have kept one; document a 2xx reply in the overlay",
            )
        })
}

/// The alternatives of credentials, each a set of header names in the order of the alphabet.
///
/// # Errors
/// If a scheme is not a header.
pub(crate) fn credentials(
    document: &Value,
    operation: &OperationAt<'_>,
) -> Result<Vec<Vec<String>>, Finding> {
    let at = pointer::member(&operation.pointer(), "security");
    let alternatives = operation
        .node
        .get("security")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut result = Vec::new();
    for (index, requirement) in alternatives.iter().enumerate() {
        let mut headers = Vec::new();
        for scheme in requirement
            .as_object()
            .into_iter()
            .flat_map(|set| set.keys())
        {
            let name = document
                .pointer(&pointer::member("/components/securitySchemes", scheme))
                .filter(|scheme| {
                    scheme.get("type").and_then(Value::as_str) == Some("apiKey")
                        && scheme.get("in").and_then(Value::as_str) == Some("header")
                })
                .and_then(|scheme| scheme.get("name"))
                .and_then(Value::as_str)
                .ok_or_else(|| {
                    Finding::new(
                        pointer::element(&at, index),
                        format!("`{scheme}` is no security scheme that stands in a header"),
                        "state in the overlay which header carries this credential",
                    )
                })?;
            headers.push(name.to_owned());
        }
        headers.sort();
        result.push(headers);
    }
    if result.is_empty() {
        result.push(Vec::new());
    }
    Ok(result)
}
