//! Breaks a document as a value: drops, duplicates, retypes, renames, swaps and replaces any node.
//! New names and values come from the documents themselves and from a list of what has given generators trouble.

use std::collections::BTreeSet;

use fastrand::Rng;
use serde_json::{Map, Value, json};

use crate::pointer;

/// Names that mean something to OpenAPI, to Rust or to the generator.
const NAMES: [&str; 62] = [
    "",
    " ",
    "$ref",
    "-",
    "200",
    "204",
    "2XX",
    "404",
    "Accept",
    "Error",
    "Option",
    "Self",
    "String",
    "Vec",
    "_",
    "a b",
    "additionalProperties",
    "allOf",
    "allowReserved",
    "anyOf",
    "api-version",
    "application/json",
    "application/xml",
    "async",
    "client",
    "const",
    "content",
    "crate",
    "default",
    "deprecated",
    "discriminator",
    "dyn",
    "enum",
    "exclusiveMinimum",
    "explode",
    "format",
    "header",
    "items",
    "maximum",
    "minLength",
    "new",
    "not",
    "nullable",
    "oneOf",
    "parameters",
    "password",
    "pattern",
    "prefixItems",
    "properties",
    "query",
    "r#type",
    "required",
    "schema",
    "self",
    "servers",
    "style",
    "text/plain",
    "token",
    "type",
    "unevaluatedProperties",
    "x-rust-type",
    "é",
];

/// Values that mean something, or should not.
const TEXTS: [&str; 45] = [
    "",
    " ",
    "#/",
    "#/components/schemas/None",
    "#",
    "2024-08-05",
    "3.0.0",
    "3.0.4",
    "3.1.0",
    "4.0.0",
    "/",
    "/{",
    "/{}",
    "/{a}/{a}",
    "/api/io/auth/backend",
    "Self",
    "apiKey",
    "array",
    "async",
    "base64",
    "binary",
    "boolean",
    "byte",
    "cookie",
    "date-time",
    "deepObject",
    "double",
    "file",
    "form",
    "header",
    "http",
    "https://other.example.com/a.yaml#/a",
    "int64",
    "integer",
    "null",
    "number",
    "oauth2",
    "object",
    "password",
    "path",
    "query",
    "string",
    "type",
    "uuid",
    "ünï code \u{1F511} \" \\ */ #}{",
];

/// What the documents are written with.
#[derive(Clone, Debug)]
pub(super) struct Words {
    names: Vec<String>,
    values: Vec<Value>,
}

impl Words {
    /// The names and the smaller nodes of `documents`.
    pub(super) fn of<'a>(documents: impl Iterator<Item = &'a Value>) -> Self {
        let mut names: BTreeSet<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        let mut values = BTreeSet::new();
        for document in documents {
            gather(document, &mut names, &mut values);
        }
        Self {
            names: names.into_iter().collect(),
            values: values
                .iter()
                .filter_map(|text| serde_json::from_str(text).ok())
                .collect(),
        }
    }
}

fn gather(node: &Value, names: &mut BTreeSet<String>, values: &mut BTreeSet<String>) {
    if let Value::Object(object) = node {
        names.extend(object.keys().cloned());
    }
    let text = node.to_string();
    if text.len() < 2000 {
        values.insert(text);
    }
    children(node).for_each(|child| gather(child, names, values));
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    let (object, list) = match node {
        Value::Object(object) => (Some(object.values()), None),
        Value::Array(list) => (None, Some(list.iter())),
        _ => (None, None),
    };
    object
        .into_iter()
        .flatten()
        .chain(list.into_iter().flatten())
}

/// Breaks `document` at one to a few places.
pub(super) fn apply(document: &mut Value, words: &Words, rng: &mut Rng) {
    thin_out(document, rng);
    // One place mostly, and the more the rarer: a document that is broken all over is refused by the first room.
    let mut more = true;
    while more {
        one(document, words, rng);
        more = rng.u8(..5) < 2;
    }
}

/// Of a document with many operations, one in two keeps only some: the others would be generated over and over.
fn thin_out(document: &mut Value, rng: &mut Rng) {
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut)
        && paths.len() > 3
        && rng.bool()
    {
        let kept = rng.usize(..paths.len());
        let mut index = 0;
        paths.retain(|_, _| {
            index += 1;
            index - 1 == kept || rng.u8(..8) == 0
        });
    }
}

/// The pointers of all nodes, parents first.
fn places(document: &Value) -> Vec<String> {
    fn walk(at: &str, node: &Value, places: &mut Vec<String>) {
        places.push(at.to_owned());
        match node {
            Value::Object(object) => {
                for (key, child) in object {
                    walk(&pointer::member(at, key), child, places);
                }
            }
            Value::Array(list) => {
                for (index, child) in list.iter().enumerate() {
                    walk(&pointer::element(at, index), child, places);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk("", document, &mut found);
    found
}

fn one(document: &mut Value, words: &Words, rng: &mut Rng) {
    let places = places(document);
    let some = |rng: &mut Rng| rng.choice(&places).cloned().unwrap_or_default();
    let at = some(rng);
    match rng.u8(..14) {
        0 | 1 => drop_node(document, &at),
        2 => duplicate(document, &at, words, rng),
        3 | 4 => replace(document, &at, |node| retyped(node, rng)),
        5 => replace(document, &at, |_| word(rng)),
        6 | 7 => rename(document, &at, words, rng),
        8 | 9 => swap(document, &at, &some(rng)),
        10 => {
            // A reference to any place, among them those that hold this one.
            let target = some(rng);
            replace(document, &at, |_| json!({ "$ref": format!("#{target}") }));
        }
        11 => {
            let other = rng.choice(&words.values).cloned().unwrap_or_default();
            replace(document, &at, |_| other);
        }
        _ => add(document, &at, words, rng),
    }
}

fn word(rng: &mut Rng) -> Value {
    Value::from(rng.choice(TEXTS).unwrap_or_default())
}

fn replace(document: &mut Value, at: &str, make: impl FnOnce(Value) -> Value) {
    if let Some(node) = document.pointer_mut(at) {
        *node = make(node.take());
    }
}

/// The node as something of another type.
fn retyped(node: Value, rng: &mut Rng) -> Value {
    match rng.u8(..13) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(false),
        3 => json!(0),
        4 => json!(-1),
        5 => json!(u64::MAX),
        6 => json!(1.5e300),
        7 => json!([]),
        8 => json!({}),
        9 => json!([node]),
        10 => json!({ "a": node }),
        11 => match node {
            Value::Object(object) => object.into_iter().map(|(_, node)| node).collect(),
            Value::Array(list) => {
                let keyed = list.into_iter().enumerate();
                let keyed: Map<String, Value> = keyed
                    .map(|(index, node)| (index.to_string(), node))
                    .collect();
                keyed.into()
            }
            Value::String(text) => match text.parse::<i64>() {
                Ok(number) => number.into(),
                Err(_) => json!([text]),
            },
            scalar => json!(scalar.to_string()),
        },
        _ => word(rng),
    }
}

/// The node that holds the one at `at`, and the name of that one in it.
fn parent<'a>(document: &'a mut Value, at: &str) -> Option<(&'a mut Value, String)> {
    let (above, _) = at.rsplit_once('/')?;
    let name = pointer::segments(at).next_back()?;
    Some((document.pointer_mut(above)?, name))
}

fn drop_node(document: &mut Value, at: &str) {
    match parent(document, at) {
        Some((Value::Object(object), name)) => {
            object.remove(&name);
        }
        Some((Value::Array(list), index)) => {
            if let Some(index) = index.parse().ok().filter(|index| *index < list.len()) {
                list.remove(index);
            }
        }
        _ => {}
    }
}

/// The same node once more: as an element beside itself, or under another name.
fn duplicate(document: &mut Value, at: &str, words: &Words, rng: &mut Rng) {
    let Some(copy) = document.pointer(at).cloned() else {
        return;
    };
    match parent(document, at) {
        Some((Value::Object(object), name)) => {
            let name = new_name(&name, words, rng);
            object.insert(name, copy);
        }
        Some((Value::Array(list), _)) => {
            let index = rng.usize(..=list.len());
            list.insert(index, copy);
        }
        _ => {}
    }
}

fn rename(document: &mut Value, at: &str, words: &Words, rng: &mut Rng) {
    if let Some((Value::Object(object), name)) = parent(document, at)
        && let Some(node) = object.remove(&name)
    {
        let name = new_name(&name, words, rng);
        object.insert(name, node);
    }
}

/// A name instead of `name`: one like it, which may collide with others, or another one.
fn new_name(name: &str, words: &Words, rng: &mut Rng) -> String {
    match rng.u8(..8) {
        0 => name.to_uppercase(),
        1 => name.to_lowercase(),
        2 => format!("_{name}"),
        3 => format!("{name}2"),
        4 => name.chars().rev().collect(),
        5 => name.replace(['-', '_', '/', '{', '}'], ""),
        _ => rng.choice(&words.names).cloned().unwrap_or_default(),
    }
}

/// Two nodes in each other's place. Where one holds the other, it takes the place of that one.
fn swap(document: &mut Value, one: &str, other: &str) {
    let (Some(first), Some(second)) = (
        document.pointer(one).cloned(),
        document.pointer(other).cloned(),
    ) else {
        return;
    };
    replace(document, one, |_| second);
    replace(document, other, |_| first);
}

/// A member or an element more.
fn add(document: &mut Value, at: &str, words: &Words, rng: &mut Rng) {
    let value = if rng.bool() {
        rng.choice(&words.values).cloned().unwrap_or_default()
    } else {
        word(rng)
    };
    match document.pointer_mut(at) {
        Some(Value::Object(object)) => {
            let name = rng.choice(&words.names).cloned().unwrap_or_default();
            object.insert(name, value);
        }
        Some(Value::Array(list)) => list.push(value),
        Some(node) => *node = value,
        None => {}
    }
}
