//! Merges `allOf` into one schema. Where branches disagree on a type, one that says no more than its type gives way, else the
//! later one wins, and the report says so: a general envelope stands beside what holds for this reply.

use serde_json::{Map, Value, json};

use super::Changes;
use crate::error::Finding;
use crate::pointer;
use crate::shape::{self, Kind};

/// Merges every `allOf` of the document.
pub(super) fn merge(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, at, node| {
        if kind != Kind::Schema {
            return Ok(());
        }
        let Some(schema) = node.as_object_mut() else {
            return Ok(());
        };
        let Some(branches) = schema.remove("allOf") else {
            return Ok(());
        };
        let Value::Array(branches) = branches else {
            return Err(Finding::new(
                pointer::member(at, "allOf"),
                "`allOf` is not a list",
                "give a list of schemas",
            ));
        };
        let siblings = std::mem::take(schema);
        let mut merged = Map::new();
        for branch in branches.into_iter().chain([Value::Object(siblings)]) {
            let Value::Object(branch) = branch else {
                return Err(Finding::new(
                    pointer::member(at, "allOf"),
                    "a branch of `allOf` is not an object",
                    "give a schema for each branch",
                ));
            };
            merge_into(at, &mut merged, branch, &mut changes)?;
        }
        // Beside other branches a closed branch forbids what they bring, which nobody means.
        if merged.get("additionalProperties") == Some(&json!(false)) {
            merged.remove("additionalProperties");
            changes.note(format!(
                "{at}: `additionalProperties: false` in an allOf dropped"
            ));
        }
        *schema = merged;
        changes.one();
        Ok(())
    })?;
    Ok(changes)
}

/// Adds what `branch` states to `merged`.
fn merge_into(
    at: &str,
    merged: &mut Map<String, Value>,
    branch: Map<String, Value>,
    changes: &mut Changes,
) -> Result<(), Finding> {
    if let (Some(ours), Some(theirs)) = (type_of(merged), type_of(&branch))
        && ours != theirs
    {
        if ours == "integer" && theirs == "number" {
            let mut branch = branch;
            branch.remove("type");
            return merge_into(at, merged, branch, changes);
        }
        if !(ours == "number" && theirs == "integer") {
            let wins = if says_only_its_type(&branch) && !says_only_its_type(merged) {
                "the earlier one, which says more, wins"
            } else {
                *merged = branch;
                "the later one wins"
            };
            changes.note(format!("{at}: allOf says `{ours}` and `{theirs}`; {wins}"));
            return Ok(());
        }
    }
    for (key, theirs) in branch {
        match (key.as_str(), merged.get_mut(&key)) {
            (_, None) => {
                merged.insert(key, theirs);
            }
            (_, Some(ours)) if *ours == theirs => {}
            ("properties", Some(Value::Object(ours))) => {
                let Value::Object(theirs) = theirs else {
                    return Err(not_an_object(at, &key));
                };
                for (name, theirs) in theirs {
                    let at = pointer::member(&pointer::member(at, "properties"), &name);
                    match ours.get_mut(&name) {
                        None => {
                            ours.insert(name, theirs);
                        }
                        Some(ours) => merge_schema(&at, ours, theirs, changes)?,
                    }
                }
            }
            ("items" | "additionalProperties", Some(ours))
                if ours.is_object() && theirs.is_object() =>
            {
                merge_schema(&pointer::member(at, &key), ours, theirs, changes)?;
            }
            ("required", Some(Value::Array(ours))) => {
                let Value::Array(theirs) = theirs else {
                    return Err(not_an_object(at, &key));
                };
                for name in theirs {
                    if !ours.contains(&name) {
                        ours.push(name);
                    }
                }
            }
            ("enum", Some(Value::Array(ours))) => {
                let common: Vec<Value> = ours
                    .iter()
                    .filter(|value| {
                        theirs
                            .as_array()
                            .is_some_and(|theirs| theirs.contains(value))
                    })
                    .cloned()
                    .collect();
                if common.is_empty() {
                    return Err(Finding::new(
                        pointer::member(at, "enum"),
                        "two branches of `allOf` share no value of their `enum`",
                        "correct one of the branches in the vendor's file, or take the values from one of them",
                    ));
                }
                *ours = common;
            }
            ("minimum" | "minLength" | "minItems" | "minProperties", Some(ours)) => {
                if theirs.as_f64() > ours.as_f64() {
                    *ours = theirs;
                }
            }
            ("maximum" | "maxLength" | "maxItems" | "maxProperties", Some(ours)) => {
                if theirs.as_f64() < ours.as_f64() {
                    *ours = theirs;
                }
            }
            ("nullable", Some(ours)) => *ours = json!(false),
            ("readOnly" | "writeOnly" | "deprecated" | "uniqueItems", Some(ours)) => {
                *ours = json!(true)
            }
            ("oneOf" | "anyOf" | "not", Some(_)) => {
                return Err(Finding::new(
                    pointer::member(at, &key),
                    format!("two branches of `allOf` each have `{key}`"),
                    "state one of them in the overlay, or write the combination out",
                ));
            }
            (_, Some(ours)) => {
                if !["default", "type"].contains(&key.as_str()) {
                    changes.note(format!(
                        "{at}: allOf branches differ in `{key}`; the later one wins"
                    ));
                }
                *ours = theirs;
            }
        }
    }
    Ok(())
}

fn merge_schema(
    at: &str,
    ours: &mut Value,
    theirs: Value,
    changes: &mut Changes,
) -> Result<(), Finding> {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => merge_into(at, ours, theirs, changes),
        _ => Err(not_an_object(at, "allOf")),
    }
}

fn not_an_object(at: &str, key: &str) -> Finding {
    Finding::new(
        at,
        format!("`{key}` does not hold what it must in every branch of `allOf`"),
        "correct the branch in the vendor's file",
    )
}

/// The type that a schema states, or means by what it says of its parts.
fn type_of(schema: &Map<String, Value>) -> Option<String> {
    match schema.get("type") {
        Some(stated) => stated.as_str().map(str::to_owned),
        None if schema.contains_key("properties") => Some("object".to_owned()),
        None if schema.contains_key("items") => Some("array".to_owned()),
        None => None,
    }
}

/// Whether a schema says nothing of its values but their type.
fn says_only_its_type(schema: &Map<String, Value>) -> bool {
    schema.iter().all(|(key, value)| match key.as_str() {
        "type" | "default" | "nullable" | "description" | "title" => true,
        "items" | "properties" => value.as_object().is_some_and(Map::is_empty),
        _ => false,
    })
}
