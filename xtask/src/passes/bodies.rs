//! Generation passes on requests and replies: one success, one media type, nothing that is not reached.
//! What they drop stays in `openapi/authentication.yaml`; the generator just does not get to see it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Changes, facts::for_each_operation};
use crate::error::Finding;
use crate::shape::{self, Kind};

/// Whether `status` is a single 2xx status.
pub(crate) fn is_success(status: &str) -> bool {
    status.len() == 3 && status.starts_with('2') && status.bytes().all(|byte| byte.is_ascii_digit())
}

/// Drops what replies are said to have always.
pub(super) fn loosen_replies(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let mut waiting = Vec::new();
    for operation in shape::operations(document) {
        if let Some(responses) = operation.node.get("responses") {
            collect_references(responses, &mut waiting);
        }
    }
    let replies = reachable(document, waiting);
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        for (_, schema) in schemas
            .iter_mut()
            .filter(|(name, _)| replies.contains(*name))
        {
            shape::visit_mut(Kind::Schema, "", schema, &mut |kind, _, node| {
                if kind == Kind::Schema
                    && let Some(schema) = node.as_object_mut()
                    && schema.remove("required").is_some()
                {
                    changes.one();
                }
                Ok(())
            })?;
        }
    }
    Ok(changes)
}

/// Drops every reply that is not a 2xx.
pub(super) fn drop_failures(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_operation(document, |operation| {
        if let Some(responses) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        {
            // An operation that documents nothing but `2XX` or `default` still needs its one success.
            if !responses.keys().any(|status| is_success(status))
                && let Some(reply) = ["2XX", "2xx", "default"]
                    .iter()
                    .find_map(|status| responses.remove(*status))
            {
                responses.insert("200".to_owned(), reply);
            }
            let before = responses.len();
            responses.retain(|status, _| is_success(status));
            changes.count += before - responses.len();
        }
    });
    Ok(changes)
}

/// Keeps the first 2xx with a body, else the first.
pub(super) fn keep_one_success(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    for_each_operation(document, |operation| {
        if let Some(responses) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        {
            let mut statuses: Vec<String> = responses.keys().cloned().collect();
            statuses.sort();
            let kept = statuses
                .iter()
                .find(|status| responses.get(*status).is_some_and(has_body))
                .or(statuses.first())
                .cloned();
            let before = responses.len();
            responses.retain(|status, _| Some(status) == kept.as_ref());
            changes.count += before - responses.len();
        }
    });
    Ok(changes)
}

fn has_body(response: &Value) -> bool {
    response
        .get("content")
        .and_then(Value::as_object)
        .is_some_and(|content| !content.is_empty())
}

/// Of several media types keeps JSON, and calls what is JSON by another name `application/json`.
pub(super) fn keep_json(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    shape::visit_mut(Kind::Document, "", document, &mut |kind, _, node| {
        if kind != Kind::Content {
            return Ok(());
        }
        let Some(content) = node.as_object_mut() else {
            return Ok(());
        };
        let names: Vec<String> = content.keys().cloned().collect();
        let Some(best) = best_json(&names).cloned() else {
            return Ok(());
        };
        let before = content.len();
        content.retain(|name, _| *name == best);
        changes.count += before - content.len();
        if best != "application/json"
            && let Some(body) = content.remove(&best)
        {
            content.insert("application/json".to_owned(), body);
            changes.one();
        }
        Ok(())
    })?;
    Ok(changes)
}

/// The media type among `names` that says JSON best.
pub(super) fn best_json(names: &[String]) -> Option<&String> {
    names
        .iter()
        .filter_map(|name| Some((json_rank(name)?, name)))
        .min()
        .map(|(_, name)| name)
}

/// How well a media type says JSON: 0 is best, `None` is not at all.
fn json_rank(media_type: &str) -> Option<u8> {
    let essence = media_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "application/json" if media_type == "application/json" => Some(0),
        "application/json" => Some(1),
        other if other.ends_with("+json") => Some(2),
        "*/*" | "application/*" => Some(3),
        _ => None,
    }
}

/// Drops the components that no operation reaches.
pub(super) fn drop_unreachable(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let mut waiting = Vec::new();
    if let Some(paths) = document.get("paths") {
        collect_references(paths, &mut waiting);
    }
    let reached = reachable(document, waiting);
    if let Some(schemas) = document
        .pointer_mut("/components/schemas")
        .and_then(Value::as_object_mut)
    {
        let before = schemas.len();
        schemas.retain(|name, _| reached.contains(name));
        changes.count += before - schemas.len();
    }
    Ok(changes)
}

/// The names of the component schemas that are reached from those of `waiting`.
fn reachable(document: &Value, mut waiting: Vec<String>) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if reached.insert(name.clone())
            && let Some(schema) = document
                .pointer("/components/schemas")
                .and_then(|schemas| schemas.get(&name))
        {
            collect_references(schema, &mut waiting);
        }
    }
    reached
}

/// The names of the component schemas that `node` refers to.
pub(crate) fn collect_references(node: &Value, found: &mut Vec<String>) {
    match node {
        Value::Object(object) => {
            if let Some(name) = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|target| target.strip_prefix("#/components/schemas/"))
            {
                found.push(name.to_owned());
            }
            object
                .values()
                .for_each(|child| collect_references(child, found));
        }
        Value::Array(list) => list
            .iter()
            .for_each(|child| collect_references(child, found)),
        _ => {}
    }
}
