//! Generation passes on credentials: whatever a document calls them and wherever it puts them, the transport sends them,
//! and no generated method takes one as an argument. They run after the overlay, so that what it states stands.

use serde_json::{Map, Value, json};

use super::{Changes, facts::for_each_operation, is_secret_name};
use crate::error::Finding;
use crate::operations;
use crate::pointer;
use crate::shape;

/// The headers that the service is known to take credentials in.
const HEADERS: [&str; 3] = ["X-Auth-Token", "X-Store-Hash", LEGACY];
/// The legacy header. With the others beside it results are unexpected, so it always goes alone.
const LEGACY: &str = "authToken";
/// The operations on legacy tokens, which the legacy header alone opens.
const TOKEN_MANAGEMENT: [&str; 2] = ["delete-auth-backend", "get-backend-tokens"];

const SCHEMES: &str = "/components/securitySchemes";

/// A header by what is the same in all its spellings.
fn folded(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

/// The known header that `name` is a spelling of.
fn known_header(name: &str) -> Option<&'static str> {
    HEADERS
        .into_iter()
        .find(|header| folded(header) == folded(name))
}

/// Whether a header parameter is a credential: a known one, one that a scheme names, or one by its name.
fn is_credential(document: &Value, name: &str) -> bool {
    known_header(name).is_some()
        || is_secret_name(name)
        || scheme_of(document, name).is_some()
        || folded(name).ends_with("apikey")
        || folded(name).ends_with("storehash")
}

/// The scheme that sends the header `name`.
fn scheme_of(document: &Value, name: &str) -> Option<String> {
    let schemes = document.pointer(SCHEMES)?.as_object()?;
    let mut found: Vec<&String> = schemes
        .iter()
        .filter(|(_, scheme)| {
            scheme.get("in").and_then(Value::as_str) == Some("header")
                && scheme
                    .get("name")
                    .and_then(Value::as_str)
                    .is_some_and(|header| header.eq_ignore_ascii_case(name))
        })
        .map(|(scheme, _)| scheme)
        .collect();
    found.sort();
    found.first().map(|name| (*name).clone())
}

/// The scheme that sends the header `name`, made if there is none.
fn scheme_for(document: &mut Value, name: &str) -> String {
    let header = known_header(name).unwrap_or(name);
    if let Some(scheme) = scheme_of(document, header) {
        return scheme;
    }
    if let Some(schemes) = schemes_mut(document) {
        schemes.insert(
            header.to_owned(),
            json!({"type": "apiKey", "name": header, "in": "header"}),
        );
    }
    header.to_owned()
}

fn schemes_mut(document: &mut Value) -> Option<&mut Map<String, Value>> {
    document
        .as_object_mut()?
        .entry("components")
        .or_insert_with(|| json!({}))
        .as_object_mut()?
        .entry("securitySchemes")
        .or_insert_with(|| json!({}))
        .as_object_mut()
}

/// Says of every scheme which header it is: those that OpenAPI has other words for, and those that nobody declared.
pub(super) fn header_schemes(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    if let Some(schemes) = document.pointer_mut(SCHEMES).and_then(Value::as_object_mut) {
        let mut names: Vec<String> = schemes.keys().cloned().collect();
        names.sort();
        for name in names {
            let Some(scheme) = schemes.get_mut(&name).and_then(Value::as_object_mut) else {
                continue;
            };
            let of = scheme
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned();
            let at = pointer::member(SCHEMES, &name);
            if ["http", "oauth2", "openIdConnect"].contains(&of.as_str()) {
                scheme.retain(|key, _| key == "description");
                scheme.insert("type".to_owned(), json!("apiKey"));
                scheme.insert("name".to_owned(), json!("Authorization"));
                scheme.insert("in".to_owned(), json!("header"));
                changes.note(format!("{at}: `{of}` is the header Authorization"));
            } else if of == "apiKey" && !scheme.contains_key("in") {
                scheme.insert("in".to_owned(), json!("header"));
                changes.note(format!(
                    "{at}: does not say where it stands; taken for a header"
                ));
            }
        }
    }
    let mut undeclared: Vec<String> = shape::operations(document)
        .iter()
        .filter_map(|operation| operation.node.get("security")?.as_array())
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|requirement| requirement.keys().cloned())
        .filter(|name| document.pointer(&pointer::member(SCHEMES, name)).is_none())
        .collect();
    undeclared.sort();
    undeclared.dedup();
    for name in undeclared {
        if let Some(header) = known_header(&name)
            && let Some(schemes) = schemes_mut(document)
        {
            let at = pointer::member(SCHEMES, &name);
            changes.note(format!("{at}: not declared; it is the header {header}"));
            schemes.insert(
                name,
                json!({"type": "apiKey", "name": header, "in": "header"}),
            );
        }
    }
    Ok(changes)
}

/// Makes header parameters that are credentials part of the operation's security.
pub(super) fn header_parameters(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let mut found: Vec<(String, String, bool)> = Vec::new();
    for operation in shape::operations(document) {
        let parameters = operation.node.get("parameters").and_then(Value::as_array);
        for parameter in parameters.into_iter().flatten() {
            let text = |key| {
                parameter
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            if text("in") == "header" && is_credential(document, text("name")) {
                let required = parameter.get("required") == Some(&json!(true));
                found.push((operation.pointer(), text("name").to_owned(), required));
            }
        }
    }
    for (at, name, required) in found {
        let scheme = scheme_for(document, &name);
        let headers = alternatives(document, &at);
        let Some(operation) = document.pointer_mut(&at).and_then(Value::as_object_mut) else {
            continue;
        };
        if let Some(Value::Array(parameters)) = operation.get_mut("parameters") {
            parameters.retain(|parameter| {
                parameter.get("in") != Some(&json!("header"))
                    || parameter.get("name").and_then(Value::as_str) != Some(&name)
            });
        }
        let security = operation.entry("security").or_insert_with(|| json!([]));
        let done = match security {
            Value::Array(security) => join(security, &headers, &scheme, &name, required),
            _ => "left out",
        };
        changes.note(format!("{at}: the header parameter `{name}` {done}"));
    }
    Ok(changes)
}

/// The headers of each alternative of an operation, as far as they can be known.
fn alternatives(document: &Value, at: &str) -> Vec<Vec<String>> {
    shape::operations(document)
        .iter()
        .find(|operation| operation.pointer() == at)
        .and_then(|operation| operations::credentials(document, operation).ok())
        .unwrap_or_default()
}

/// Adds `scheme` to the alternatives of `security`, and says what was done.
fn join(
    security: &mut Vec<Value>,
    headers: &[Vec<String>],
    scheme: &str,
    name: &str,
    required: bool,
) -> &'static str {
    let has = |header: &String| folded(header) == folded(name);
    if security.is_empty() {
        security.push(json!({ scheme: [] }));
        if !required {
            security.push(json!({}));
        }
        return "is its credential";
    }
    if headers.iter().flatten().any(has) {
        return "is a credential of it already";
    }
    if headers.iter().any(Vec::is_empty) {
        return "is left out: the operation works without";
    }
    let is_legacy = |header: &String| folded(header) == folded(LEGACY);
    let alone = folded(name) == folded(LEGACY);
    let mut joined = false;
    for (requirement, headers) in security.iter_mut().zip(headers) {
        if !alone
            && !headers.iter().any(is_legacy)
            && let Some(requirement) = requirement.as_object_mut()
        {
            requirement.insert(scheme.to_owned(), json!([]));
            joined = true;
        }
    }
    if joined {
        "goes with its other credentials"
    } else {
        security.push(json!({ scheme: [] }));
        "is an alternative to its other credentials"
    }
}

/// Gives the operations on legacy tokens their header where the document states no credential at all.
pub(super) fn token_management(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let open: Vec<String> = shape::operations(document)
        .iter()
        .filter(|operation| {
            TOKEN_MANAGEMENT.contains(&operation.id())
                && operation
                    .node
                    .get("security")
                    .and_then(Value::as_array)
                    .is_none_or(Vec::is_empty)
        })
        .map(shape::OperationAt::pointer)
        .collect();
    if open.is_empty() {
        return Ok(changes);
    }
    let scheme = scheme_for(document, LEGACY);
    for_each_operation(document, |operation| {
        let id = operation
            .get("operationId")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let is_open = operation
            .get("security")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty);
        if TOKEN_MANAGEMENT.contains(&id) && is_open {
            operation.insert("security".to_owned(), json!([{ &scheme: [] }]));
        }
    });
    for at in open {
        changes.note(format!("{at}: says no credential; it takes {LEGACY}"));
    }
    Ok(changes)
}
