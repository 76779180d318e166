//! Generation passes on what an operation takes and answers in too few words: parameters that are no plain value, JSON
//! without a schema, fields that are required and nowhere described.

use serde_json::{Value, json};

use super::{Changes, pascal_case};
use crate::error::Finding;
use crate::pointer;
use crate::shape::{self, Kind};

/// Takes a parameter without a type, or with a choice of plain types, for a text: in an address everything is one.
pub(super) fn plain_parameters(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let schemas = document.pointer("/components/schemas").cloned();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        let Some(parameter) = node.as_object_mut().filter(|_| kind == Kind::Parameter) else {
            return Ok(());
        };
        if parameter.contains_key("content") && parameter.contains_key("schema") {
            parameter.remove("content");
        }
        let vague = match parameter.get("schema") {
            None => !parameter.contains_key("content"),
            Some(schema) => is_vague(schema, schemas.as_ref()),
        };
        if vague {
            parameter.insert("schema".to_owned(), json!({"type": "string"}));
            changes.note(format!("{at}: no plain type; taken for a text"));
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Whether a schema says no type, or leaves the choice between plain ones.
fn is_vague(schema: &Value, schemas: Option<&Value>) -> bool {
    let target = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|target| target.strip_prefix("#/components/schemas/"))
        .and_then(|name| schemas?.get(name));
    let schema = target.unwrap_or(schema);
    if schema.get("$ref").is_some() || schema.get("type").is_some() {
        return false;
    }
    match ["oneOf", "anyOf"].iter().find_map(|key| schema.get(*key)) {
        Some(branches) => branches
            .as_array()
            .is_some_and(|branches| branches.iter().all(is_plain)),
        None => schema.is_object(),
    }
}

/// Takes content without a schema for any JSON, and gives every body that is not a text a type of its own: what is inline is
/// named by crates that the users of the mocks have not, and the mocks of a plain number do not compile.
pub(super) fn named_bodies(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let mut bodies: Vec<(String, String)> = Vec::new();
    for operation in shape::operations(document) {
        let id = pascal_case(operation.id());
        let mut find = |holder: &str, name: String| {
            let at = format!("{}{holder}/content", operation.pointer());
            let content = document.pointer(&at).and_then(Value::as_object);
            for media_type in content.into_iter().flat_map(|content| content.keys()) {
                bodies.push((pointer::member(&at, media_type), name.clone()));
            }
        };
        find("/requestBody", format!("{id}Request"));
        let responses = operation.node.get("responses").and_then(Value::as_object);
        for status in responses.into_iter().flat_map(|responses| responses.keys()) {
            find(
                &pointer::member("/responses", status),
                format!("{id}Response{}", pascal_case(status)),
            );
        }
    }
    bodies.sort();
    for (at, name) in bodies {
        let component = pointer::member("/components/schemas", &name);
        if document.pointer(&component).is_some() {
            continue;
        }
        let Some(body) = document.pointer_mut(&at).and_then(Value::as_object_mut) else {
            continue;
        };
        let reference = json!({ "$ref": format!("#{component}") });
        let schema = match body.get("schema") {
            None => {
                changes.note(format!("{at}: no schema; taken for any JSON"));
                json!({})
            }
            Some(schema) if is_text(schema) || schema.get("$ref").is_some() => continue,
            Some(schema) => {
                changes.one();
                schema.clone()
            }
        };
        body.insert("schema".to_owned(), reference);
        if let Some(schemas) = document
            .as_object_mut()
            .map(|root| root.entry("components").or_insert_with(|| json!({})))
            .and_then(Value::as_object_mut)
            .map(|components| components.entry("schemas").or_insert_with(|| json!({})))
            .and_then(Value::as_object_mut)
        {
            schemas.insert(name, schema);
        }
    }
    Ok(changes)
}

/// Whether a schema is one of the types that every crate knows.
fn is_plain(schema: &Value) -> bool {
    schema
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|of| ["string", "integer", "number", "boolean"].contains(&of))
}

/// Whether a schema is that of a text.
fn is_text(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("string")
}

/// Drops names from `required` that no field has.
pub(super) fn required_fields(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        let Some(schema) = node.as_object_mut().filter(|_| kind == Kind::Schema) else {
            return Ok(());
        };
        let fields = schema
            .get("properties")
            .and_then(Value::as_object)
            .map(|fields| fields.keys().cloned().collect::<Vec<_>>())
            .unwrap_or_default();
        if let Some(Value::Array(names)) = schema.get_mut("required") {
            names.retain(|name| {
                let known = name
                    .as_str()
                    .is_none_or(|name| fields.iter().any(|field| field == name));
                if !known {
                    changes.note(format!(
                        "{}: requires {name}, which is not described",
                        pointer::member(at, "required")
                    ));
                }
                known
            });
            if names.is_empty() {
                schema.remove("required");
            }
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Drops `nullable` from named types, which the generator would wrap once more. A field that may be left out takes null as
/// well, whatever its type.
pub(super) fn nullable_types(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let schemas = document.pointer_mut("/components/schemas");
    if let Some(schemas) = schemas.and_then(Value::as_object_mut) {
        for schema in schemas.values_mut().filter_map(Value::as_object_mut) {
            changes.count += usize::from(schema.remove("nullable").is_some());
        }
    }
    Ok(changes)
}
