//! Import passes that mend what documents get wrong in form: operations without a name, `required` as a flag, defaults
//! that are no value of their type. Each says where.

use serde_json::{Map, Value, json};

use super::Changes;
use crate::error::Finding;
use crate::pointer;
use crate::select;
use crate::shape::{self, Kind};

/// Gives an operation without `operationId` the one that is known for its address, else one made of it.
pub(super) fn name_operations(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let nameless: Vec<(String, String)> = shape::operations(document)
        .iter()
        .filter(|operation| operation.id().trim().is_empty())
        .map(|operation| {
            let id = select::known_id(operation.method, operation.path).map_or_else(
                || made_up_id(operation.method, operation.path),
                str::to_owned,
            );
            (operation.pointer(), id)
        })
        .collect();
    for (at, id) in nameless {
        if let Some(operation) = document.pointer_mut(&at).and_then(Value::as_object_mut) {
            changes.note(format!("{at}: called `{id}`"));
            operation.insert("operationId".to_owned(), json!(id));
        }
    }
    Ok(changes)
}

/// `get` and `/keys/{id}` as `get-keys-id`.
fn made_up_id(method: &str, path: &str) -> String {
    let words = path
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("-")
}

/// Turns `required: true` on a field, which is no OpenAPI, into a member of its object's `required`.
pub(super) fn required_flags(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        if kind != Kind::Schema {
            return Ok(());
        }
        let Some(schema) = node.as_object_mut() else {
            return Ok(());
        };
        let mut flagged = Vec::new();
        if let Some(Value::Object(properties)) = schema.get_mut("properties") {
            let names: Vec<String> = Kind::Schemas
                .order(properties)
                .into_iter()
                .cloned()
                .collect();
            for name in names {
                if let Some(Value::Object(property)) = properties.get_mut(&name)
                    && let Some(Value::Bool(flag)) = property.get("required").cloned()
                {
                    property.remove("required");
                    let at = pointer::member(&pointer::member(at, "properties"), &name);
                    changes.note(format!("{at}: `required: {flag}` is its object's to say"));
                    if flag {
                        flagged.push(json!(name));
                    }
                }
            }
        }
        if !flagged.is_empty()
            && let Value::Array(list) = schema.entry("required").or_insert_with(|| json!([]))
        {
            list.extend(flagged);
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Drops defaults that are no value of their schema.
pub(super) fn unfit_defaults(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        if kind == Kind::Schema
            && let Some(schema) = node.as_object_mut()
            && schema
                .get("default")
                .is_some_and(|default| !fits(schema, default))
            && let Some(default) = schema.remove("default")
        {
            changes.note(format!("{at}: its default {default} is no value of it"));
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Whether `value` has the type that `schema` states, and is one of its values where they are listed.
fn fits(schema: &Map<String, Value>, value: &Value) -> bool {
    if value.is_null() {
        return schema.get("nullable") == Some(&json!(true));
    }
    let listed = schema
        .get("enum")
        .and_then(Value::as_array)
        .is_none_or(|values| values.contains(value));
    listed
        && match schema.get("type").and_then(Value::as_str) {
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("number") => value.is_number(),
            Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Some("array") => value.is_array(),
            Some("object") => value.is_object(),
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_of_method_and_path() {
        assert_eq!(made_up_id("get", "/keys/{keyId}"), "get-keys-keyId");
        assert_eq!(made_up_id("put", "/"), "put");
    }
}
