//! What the overlay states of an operation for the SDK: the `x-` keys on operation objects, and the checks on their values.
//! The generator ignores them. They go into the table of operations.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::Finding;
use crate::passes::{is_secret, rust_snake_case};
use crate::pointer;
use crate::shape::{self, OperationAt};

/// The SDK's name for the operation, such as `mint_storefront_token`.
pub const NAME: &str = "x-sdk-name";
/// Whether a repetition of a request that may have been applied does no harm.
pub const REPEATABLE: &str = "x-repeatable";
/// Whether "not found" after an attempt that may have been applied means that the operation is done.
pub const ABSENT_IS_DONE: &str = "x-absent-is-done";
/// Where a success returns the token that the operation issues, as a list of member names from the root.
pub const ISSUED_TOKEN: &str = "x-issued-token";

/// Every key.
pub const KEYS: [&str; 4] = [NAME, REPEATABLE, ABSENT_IS_DONE, ISSUED_TOKEN];

/// A place of the document and what is wrong there.
type Place = (String, String);

/// The SDK's name for an operation; its id in snake case if the overlay gives no name.
pub(crate) fn name(operation: &OperationAt<'_>) -> String {
    match operation.node.get(NAME).and_then(Value::as_str) {
        Some(name) => name.to_owned(),
        None => rust_snake_case(operation.id()),
    }
}

/// The value of a key that is true or false; false if the overlay does not state it.
pub(crate) fn flag(operation: &OperationAt<'_>, key: &str) -> bool {
    operation.node.get(key) == Some(&Value::Bool(true))
}

/// The member names that lead to the issued token.
pub(crate) fn issued_token<'a>(operation: &OperationAt<'a>) -> Option<Vec<&'a str>> {
    let members = operation.node.get(ISSUED_TOKEN)?.as_array()?;
    members.iter().map(Value::as_str).collect()
}

/// Operations for which the overlay does not state [`REPEATABLE`]. The project's own document states it for each.
#[must_use]
pub fn unstated(document: &Value) -> Vec<Finding> {
    shape::operations(document)
        .iter()
        .filter(|operation| operation.node.get(REPEATABLE).is_none())
        .map(|operation| {
            Finding::new(
                operation.pointer(),
                format!("[unstated] the operation has no `{REPEATABLE}`"),
                format!(
                    "state `{REPEATABLE}: true` in openapi/overlay.yaml if sending the request twice does no harm, else \
                     `{REPEATABLE}: false`"
                ),
            )
        })
        .collect()
}

/// Names that are no Rust identifier, or that two operations have.
pub(crate) fn names(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    let mut seen: BTreeMap<String, (String, bool)> = BTreeMap::new();
    for operation in shape::operations(document) {
        let at = pointer::member(&operation.pointer(), NAME);
        if let Some(stated) = operation.node.get(NAME) {
            let is_name = stated.as_str().is_some_and(|name| {
                rust_snake_case(name) == name
                    && name.is_ascii()
                    && syn::parse_str::<syn::Ident>(name).is_ok()
            });
            if !is_name {
                places.push((
                    at,
                    format!("{stated} is not a Rust identifier in snake case"),
                ));
                continue;
            }
        }
        let name = name(&operation);
        let stated = operation.node.get(NAME).is_some();
        let id = operation.id();
        match seen.insert(name.clone(), (id.to_owned(), stated)) {
            // Two ids that give one name are a finding of their own.
            Some((other, other_stated)) if stated || other_stated => {
                let at = if stated { at } else { operation.pointer() };
                places.push((at, format!("`{id}` and `{other}` are both named `{name}`")));
            }
            _ => {}
        }
    }
    places
}

/// Flags that are neither true nor false.
pub(crate) fn flags(operation: &OperationAt<'_>) -> Vec<Place> {
    [REPEATABLE, ABSENT_IS_DONE]
        .iter()
        .filter_map(|key| {
            let stated = operation.node.get(*key)?;
            let at = pointer::member(&operation.pointer(), key);
            (!stated.is_boolean()).then(|| (at, format!("{stated} is not true or false")))
        })
        .collect()
}

/// An operation that is done when its object is absent, and is never repeated to find that out.
pub(crate) fn absent_but_not_repeated(operation: &OperationAt<'_>) -> Vec<Place> {
    if flag(operation, ABSENT_IS_DONE) && !flag(operation, REPEATABLE) {
        vec![(
            pointer::member(&operation.pointer(), ABSENT_IS_DONE),
            format!("is true for an operation without `{REPEATABLE}: true`"),
        )]
    } else {
        Vec::new()
    }
}

/// Ways to an issued token that are not a list of member names.
pub(crate) fn issued_tokens(operation: &OperationAt<'_>) -> Vec<Place> {
    let stated = operation
        .node
        .get(ISSUED_TOKEN)
        .filter(|_| issued_token(operation).is_none_or(|members| members.is_empty()));
    let place = stated.map(|stated| {
        let at = pointer::member(&operation.pointer(), ISSUED_TOKEN);
        (at, format!("{stated} is not a list of member names"))
    });
    place.into_iter().collect()
}

/// Issued tokens that no success has, or that are not a secret there. The project's own document has none of them.
#[must_use]
pub fn missing_tokens(document: &Value) -> Vec<Finding> {
    shape::operations(document)
        .iter()
        .filter_map(|operation| {
            let members = issued_token(operation)?;
            let found = lead_to_secret(document, success_schemas(operation), &members);
            (!found).then(|| {
                Finding::new(
                    pointer::member(&operation.pointer(), ISSUED_TOKEN),
                    format!("[missing-token] no success has the secret `{}`", members.join(".")),
                    "state in openapi/overlay.yaml the names that lead to a secret of the success, such as `[data, token]`",
                )
            })
        })
        .collect()
}

/// Removes what [`missing_tokens`] finds, for a document that is not the project's own. Returns what it removed, in words.
pub(crate) fn remove_missing_tokens(document: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    for finding in missing_tokens(document) {
        if let Some((operation, _)) = finding.pointer.rsplit_once('/')
            && let Some(operation) = document
                .pointer_mut(operation)
                .and_then(Value::as_object_mut)
            && operation.remove(ISSUED_TOKEN).is_some()
        {
            removed.push(format!("{}: {}", finding.pointer, finding.message));
        }
    }
    removed
}

fn success_schemas<'a>(operation: &OperationAt<'a>) -> Vec<&'a Value> {
    let responses = operation.node.get("responses").and_then(Value::as_object);
    responses
        .into_iter()
        .flat_map(|responses| responses.values())
        .filter_map(|response| response.get("content")?.as_object())
        .flat_map(|content| content.values())
        .filter_map(|body| body.get("schema"))
        .collect()
}

/// Whether some form of these schemas holds a secret under the member names. A list stands for its elements.
fn lead_to_secret<'a>(document: &'a Value, schemas: Vec<&'a Value>, members: &[&str]) -> bool {
    let mut schemas = schemas;
    for member in members {
        schemas = forms(document, schemas)
            .into_iter()
            .filter_map(|schema| schema.get("properties")?.get(*member))
            .collect();
    }
    forms(document, schemas)
        .into_iter()
        .filter_map(Value::as_object)
        .any(is_secret)
}

/// The schemas themselves, and what their references, list elements and branches lead to. Each reference is followed once.
fn forms<'a>(document: &'a Value, schemas: Vec<&'a Value>) -> Vec<&'a Value> {
    let mut followed = BTreeSet::new();
    let mut open = schemas;
    let mut found = Vec::new();
    while let Some(schema) = open.pop() {
        found.push(schema);
        if let Some(target) = schema.get("$ref").and_then(Value::as_str)
            && followed.insert(target)
        {
            let target = target.strip_prefix('#');
            open.extend(target.and_then(|target| document.pointer(target)));
        }
        open.extend(schema.get("items"));
        for key in ["oneOf", "allOf"] {
            open.extend(
                schema
                    .get(key)
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten(),
            );
        }
    }
    found
}
