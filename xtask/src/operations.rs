//! The table of operations that stands beside the generated client: what document and overlay say beyond types.
//! Made from the same document as the client, so that the transport's facts and the types cannot drift apart.

use std::fmt::Write as _;

use serde_json::Value;

use crate::error::Finding;
use crate::operation_keys;
use crate::pointer;
use crate::shape::OperationAt;

/// The source text of `pub mod operations`, for operations and the names of their methods, both in the order of the
/// document.
///
/// # Errors
/// If an operation has no single success status, or a credential that is not a header.
pub(crate) fn table(
    document: &Value,
    operations: &[(OperationAt<'_>, String)],
) -> Result<String, Finding> {
    let mut constants = String::new();
    let mut names = Vec::new();
    for (operation, rust_name) in operations {
        let name = constant(rust_name);
        let method = operation.method.to_uppercase();
        let credentials = credentials(document, operation)?;
        let issued_token = match operation_keys::issued_token(operation) {
            Some(members) => format!("Some(&{members:?})"),
            None => "None".to_owned(),
        };
        let _ = write!(
            constants,
            "/// {title}\n\
             pub const {name}: Operation = Operation {{ id: {id:?}, rust_name: {rust_name:?}, name: {sdk_name:?}, \
             method: {method:?}, path: {path:?}, success_status: {status}, deprecated: {deprecated}, \
             is_repeatable: {is_repeatable}, absent_is_done: {absent_is_done}, issued_token: {issued_token}, \
             credentials: &[{credentials}] }};\n",
            title = title(operation),
            path = operation.path,
            id = operation.id(),
            sdk_name = operation_keys::name(operation),
            is_repeatable = operation_keys::flag(operation, operation_keys::REPEATABLE),
            absent_is_done = operation_keys::flag(operation, operation_keys::ABSENT_IS_DONE),
            status = success_status(operation)?,
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

/// The name of the constant for the operation that this method sends.
pub(crate) fn constant(rust_name: &str) -> String {
    rust_name.to_uppercase()
}

/// Method, path and summary of an operation, in one line.
pub(crate) fn title(operation: &OperationAt<'_>) -> String {
    let summary = operation
        .node
        .get("summary")
        .and_then(Value::as_str)
        .and_then(|summary| summary.lines().next())
        .unwrap_or_default();
    let address = format!("`{} {}`", operation.method.to_uppercase(), operation.path);
    if summary.is_empty() {
        address
    } else {
        format!("{address}: {summary}")
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
