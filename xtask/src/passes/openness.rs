//! Generation passes that keep the client from refusing what the service accepts or answers.
//! Bounds, defaults, closed enums and formats are the SDK's to check, or nobody's.

use serde_json::{Map, Value, json};

use super::{Changes, property_name, secrets};
use crate::error::Finding;
use crate::shape::{self, Kind};

/// The keywords that bound a value.
pub(crate) const BOUNDS: &[&str] = &[
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Calls `change` for every schema with its pointer.
fn for_each_schema(
    document: &mut Value,
    mut change: impl FnMut(&str, &mut Map<String, Value>),
) -> Result<(), Finding> {
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        if kind == Kind::Schema
            && let Some(schema) = node.as_object_mut()
        {
            change(at, schema);
        }
        Ok(())
    })
}

/// Drops every bound.
pub(super) fn drop_bounds(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        let before = schema.len();
        schema.retain(|key, _| !BOUNDS.contains(&key.as_str()));
        changes.count += before - schema.len();
    })?;
    Ok(changes)
}

/// Drops every default.
pub(super) fn drop_defaults(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        changes.count += usize::from(schema.remove("default").is_some());
    })?;
    Ok(changes)
}

/// Turns a choice by anyOf into one by oneOf, and drops what steers a choice: nothing generated reads it.
pub(super) fn any_of_to_one_of(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        changes.count += usize::from(schema.remove("discriminator").is_some());
        if !schema.contains_key("oneOf")
            && let Some(branches) = schema.remove("anyOf")
        {
            schema.insert("oneOf".to_owned(), branches);
            changes.one();
        }
    })?;
    Ok(changes)
}

/// Turns a closed list of values into their type.
pub(super) fn open_enums(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        changes.count += usize::from(schema.remove("enum").is_some());
    })?;
    Ok(changes)
}

/// Lets objects hold fields that the document does not know.
pub(super) fn open_objects(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        if schema.get("additionalProperties") == Some(&json!(false)) {
            schema.remove("additionalProperties");
            changes.one();
        }
    })?;
    Ok(changes)
}

/// Drops every format but the one that marks a secret.
pub(super) fn drop_formats(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_schema(document, |_, schema| {
        if schema.contains_key("format") && !secrets::is_secret(schema) {
            schema.remove("format");
            changes.one();
        }
    })?;
    Ok(changes)
}

/// Turns `number` into `integer` where the name says that the value is whole.
pub(super) fn whole_numbers(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        match kind {
            Kind::Schema if property_name(at).is_some_and(|name| is_whole_number_name(&name)) => {
                if let Some(schema) = node.as_object_mut() {
                    set_integer(schema, &mut changes);
                }
            }
            Kind::Parameter => {
                let name = node.get("name").and_then(Value::as_str).unwrap_or_default();
                if is_whole_number_name(name)
                    && let Some(schema) = node.get_mut("schema").and_then(Value::as_object_mut)
                {
                    set_integer(schema, &mut changes);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Whether a value of this name is an id, a code, a point in time or a count.
pub(crate) fn is_whole_number_name(name: &str) -> bool {
    ["id", "code", "limit", "offset", "totalCount"].contains(&name)
        || ["Id", "_id", "Ids", "_ids", "At", "Code", "_code"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Whether a schema is a number that may have a fraction.
pub(crate) fn is_number(schema: &Map<String, Value>) -> bool {
    schema.get("type") == Some(&json!("number"))
}

fn set_integer(schema: &mut Map<String, Value>, changes: &mut Changes) {
    if is_number(schema) {
        schema.insert("type".to_owned(), json!("integer"));
        schema.remove("format");
        changes.one();
    } else if let Some(items) = schema.get_mut("items").and_then(Value::as_object_mut) {
        set_integer(items, changes);
    }
}
