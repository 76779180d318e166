//! Generation passes on secrets: what is one, and what may stand beside `format: password`.
//! A secret that slips through here becomes a `String` that any `Debug` prints, so generation checks the result as well.

use serde_json::{Map, Value, json};

use super::{Changes, property_name};
use crate::error::Finding;
use crate::pointer;
use crate::shape::{self, Kind};

/// What may stand in the schema of a secret.
pub(crate) const BARE: [&str; 4] = ["type", "format", "title", "description"];

/// Whether `schema` is marked as a secret.
#[must_use]
pub fn is_secret(schema: &Map<String, Value>) -> bool {
    schema.get("type") == Some(&json!("string")) && schema.get("format") == Some(&json!("password"))
}

/// Whether a string of this name is a secret by its name.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "token", "secret"]
        .iter()
        .any(|word| name.ends_with(word))
}

/// Marks the strings, and lists of strings, that are secrets by their name.
pub(super) fn mark_by_name(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        match kind {
            Kind::Schema if property_name(at).is_some_and(|name| is_secret_name(&name)) => {
                mark(at, node, &mut changes);
            }
            Kind::Parameter => {
                let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
                if is_secret_name(name)
                    && let Some(schema) = node.get_mut("schema")
                {
                    mark(&pointer::member(at, "schema"), schema, &mut changes);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(changes)
}

fn mark(at: &str, node: &mut Value, changes: &mut Changes) {
    let Some(schema) = node.as_object_mut() else {
        return;
    };
    if schema.get("type") == Some(&json!("string")) && !is_secret(schema) {
        schema.insert("format".to_owned(), json!("password"));
        changes.note(format!("{at}: marked as a secret by its name"));
    } else if let Some(items) = schema.get_mut("items") {
        mark(&pointer::member(at, "items"), items, changes);
    } else {
        for key in ["oneOf", "anyOf"] {
            if let Some(Value::Array(branches)) = schema.get_mut(key) {
                for (index, branch) in branches.iter_mut().enumerate() {
                    mark(
                        &pointer::element(&pointer::member(at, key), index),
                        branch,
                        changes,
                    );
                }
            }
        }
    }
}

/// Leaves nothing beside a secret but its type, its format and its texts.
pub(super) fn strip_constraints(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, _, node| {
        if kind == Kind::Schema
            && let Some(schema) = node.as_object_mut()
            && is_secret(schema)
        {
            let before = schema.len();
            schema.retain(|key, _| BARE.contains(&key.as_str()));
            changes.count += before - schema.len();
        }
        Ok(())
    })?;
    Ok(changes)
}
