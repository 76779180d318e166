//! Import passes that change the form of the document and leave its facts: prose, security, idle flags, order of sets.
//! After them two revisions differ only where the wire differs.

use serde_json::{Map, Value, json};

use super::Changes;
use crate::error::Finding;
use crate::shape::{self, Kind, METHODS};

/// The title that replaces the vendor's.
const NEUTRAL_TITLE: &str = "B2B Edition Authentication";

/// Gives every operation its own `security` and drops the document's, with the schemes that nobody names.
pub(super) fn effective_security(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let inherited = document
        .as_object_mut()
        .and_then(|root| root.remove("security"))
        .unwrap_or_else(|| json!([]));
    for_each_operation(document, |operation| {
        if !operation.contains_key("security") {
            operation.insert("security".to_owned(), inherited.clone());
            changes.one();
        }
    });
    let named: Vec<String> = shape::operations(document)
        .iter()
        .filter_map(|operation| operation.node.get("security")?.as_array())
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|requirement| requirement.keys().cloned())
        .collect();
    if let Some(schemes) = document
        .pointer_mut("/components/securitySchemes")
        .and_then(Value::as_object_mut)
    {
        let before = schemes.len();
        schemes.retain(|name, _| named.contains(name));
        changes.count += before - schemes.len();
    }
    Ok(changes)
}

/// Drops every text, example and extension, and puts a neutral word where OpenAPI demands a text.
pub(super) fn drop_prose(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        let (Some(members), Some(object)) = (kind.members(), node.as_object_mut()) else {
            return Ok(());
        };
        let before = object.len();
        object.retain(|key, _| {
            members
                .iter()
                .any(|(name, kind)| name == key && *kind != Kind::Prose)
        });
        changes.count += before - object.len();
        match kind {
            Kind::Info => {
                object.insert("title".to_owned(), json!(NEUTRAL_TITLE));
                // An unquoted `3.0` is a number to YAML, and the version is a text.
                let version = match object.get("version") {
                    Some(Value::String(version)) => version.clone(),
                    Some(Value::Number(version)) => version.to_string(),
                    _ => String::new(),
                };
                object.insert("version".to_owned(), json!(version));
            }
            Kind::Response => {
                let status = crate::pointer::segments(at).next_back().unwrap_or_default();
                object.insert("description".to_owned(), json!(status_text(&status)));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(changes)
}

/// The neutral text of a status.
fn status_text(status: &str) -> &'static str {
    match status {
        "200" => "OK",
        "201" => "Created",
        "202" => "Accepted",
        "204" => "No Content",
        "301" => "Moved Permanently",
        "400" => "Bad Request",
        "401" => "Unauthorized",
        "403" => "Forbidden",
        "404" => "Not Found",
        "405" => "Method Not Allowed",
        "406" => "Not Acceptable",
        "409" => "Conflict",
        "413" => "Content Too Large",
        "415" => "Unsupported Media Type",
        "422" => "Unprocessable Content",
        "429" => "Too Many Requests",
        "500" => "Internal Server Error",
        "501" => "Not Implemented",
        "503" => "Service Unavailable",
        "507" => "Insufficient Storage",
        _ => "Reply",
    }
}

/// Drops the header parameters that OpenAPI says to ignore.
pub(super) fn drop_ignored_headers(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_operation(document, |operation| {
        if let Some(parameters) = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut)
        {
            let before = parameters.len();
            parameters.retain(|parameter| !parameter.as_object().is_some_and(is_ignored_header));
            changes.count += before - parameters.len();
        }
    });
    Ok(changes)
}

/// Whether `parameter` is a header that OpenAPI says to ignore.
pub(crate) fn is_ignored_header(parameter: &Map<String, Value>) -> bool {
    let text = |key| {
        parameter
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    text("in") == "header"
        && ["accept", "content-type", "authorization"]
            .contains(&text("name").to_ascii_lowercase().as_str())
}

/// Says `type: object` where there are `properties` and no type.
pub(super) fn type_objects(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, _, node| {
        if kind == Kind::Schema
            && let Some(schema) = node.as_object_mut()
            && !schema.contains_key("type")
        {
            if schema.contains_key("properties") {
                schema.insert("type".to_owned(), json!("object"));
                changes.one();
            } else if schema.contains_key("items") {
                schema.insert("type".to_owned(), json!("array"));
                changes.one();
            }
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Drops flags that state their own default, and lists and maps that hold nothing and mean nothing.
pub(super) fn drop_idle_flags(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, _, node| {
        let Some(object) = node.as_object_mut() else {
            return Ok(());
        };
        let idle: &[&str] = match kind {
            Kind::Schema => &[
                "nullable",
                "readOnly",
                "writeOnly",
                "deprecated",
                "exclusiveMinimum",
                "exclusiveMaximum",
                "uniqueItems",
            ],
            Kind::Parameter => &["required", "deprecated", "allowEmptyValue", "allowReserved"],
            Kind::Operation => &["deprecated"],
            Kind::RequestBody => &["required"],
            _ => &[],
        };
        let before = object.len();
        object.retain(|key, value| !(idle.contains(&key.as_str()) && *value == json!(false)));
        let empty: &[&str] = match kind {
            Kind::Schema => &["required", "properties"],
            Kind::Operation | Kind::PathItem => &["parameters"],
            Kind::Response => &["content", "headers"],
            _ => &[],
        };
        object.retain(|key, value| {
            !(empty.contains(&key.as_str())
                && (value.as_array().is_some_and(Vec::is_empty)
                    || value.as_object().is_some_and(Map::is_empty)))
        });
        changes.count += before - object.len();
        Ok(())
    })?;
    Ok(changes)
}

/// Brings what is a set into one order.
pub(super) fn sort_sets(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, _, node| {
        match (kind, node) {
            (Kind::Schema, Value::Object(schema)) => {
                for key in ["required", "enum"] {
                    if let Some(Value::Array(list)) = schema.get_mut(key) {
                        let before = list.clone();
                        list.sort_by_cached_key(Value::to_string);
                        list.dedup();
                        changes.count += usize::from(before != *list);
                    }
                }
            }
            (Kind::Parameters, Value::Array(list)) => {
                let before = list.clone();
                list.sort_by_cached_key(|parameter| {
                    let text = |key| {
                        parameter
                            .get(key)
                            .and_then(Value::as_str)
                            .unwrap_or_default()
                            .to_owned()
                    };
                    (text("in"), text("name"))
                });
                changes.count += usize::from(before != *list);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(changes)
}

/// Calls `change` for every operation.
pub(super) fn for_each_operation(
    document: &mut Value,
    mut change: impl FnMut(&mut Map<String, Value>),
) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else {
        return;
    };
    for item in paths.values_mut() {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                change(operation);
            }
        }
    }
}
