//! Brings one schema down to what OpenAPI 3.0 can say, before what it holds is resolved.
//! What 3.1 says in another spelling is respelled; what 3.0 cannot say at all is refused with its place.

use serde_json::{Map, Value, json};

use crate::error::Finding;
use crate::pointer;

/// What lowering did, added up over the document.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lowered {
    /// How many schemas were respelled.
    pub(crate) count: usize,
    /// What the report says of single places.
    pub(crate) notes: Vec<String>,
}

/// Keywords of JSON Schema 2020-12 for which 3.0 has none that means the same.
const WITHOUT_EQUIVALENT: [&str; 16] = [
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "patternProperties",
    "prefixItems",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "contentSchema",
];

/// Keywords that say nothing about the wire; a reference into one is followed all the same.
const IDLE: [&str; 10] = [
    "$anchor",
    "$comment",
    "$defs",
    "$dynamicAnchor",
    "$id",
    "$schema",
    "$vocabulary",
    "contentEncoding",
    "contentMediaType",
    "definitions",
];

/// Which types a keyword speaks of; every other keyword speaks of all.
const KEYWORDS: [(&str, &[&str]); 20] = [
    ("additionalProperties", &["object"]),
    ("exclusiveMaximum", &["integer", "number"]),
    ("exclusiveMinimum", &["integer", "number"]),
    ("format", &["integer", "number", "string"]),
    ("items", &["array"]),
    ("maxItems", &["array"]),
    ("maxLength", &["string"]),
    ("maxProperties", &["object"]),
    ("maximum", &["integer", "number"]),
    ("minItems", &["array"]),
    ("minLength", &["string"]),
    ("minProperties", &["object"]),
    ("minimum", &["integer", "number"]),
    ("multipleOf", &["integer", "number"]),
    ("pattern", &["string"]),
    ("properties", &["object"]),
    ("required", &["object"]),
    ("uniqueItems", &["array"]),
    ("contentEncoding", &["string"]),
    ("contentMediaType", &["string"]),
];

/// Brings the schema at `at` down. `newer` says that the document is OpenAPI 3.1, where keywords of JSON Schema count
/// that 3.0 says to ignore.
///
/// # Errors
/// If the schema says what 3.0 cannot.
pub(crate) fn schema(
    node: &Value,
    at: &str,
    newer: bool,
    lowered: &mut Lowered,
) -> Result<Value, Finding> {
    let mut schema = match node {
        Value::Bool(true) if newer => Map::new(),
        Value::Bool(false) if newer => return Err(unspeakable(at, "a schema that nothing fits")),
        Value::Object(schema) => schema.clone(),
        other => return Ok(other.clone()),
    };
    if newer {
        if let Some(keyword) = WITHOUT_EQUIVALENT
            .iter()
            .find(|keyword| schema.contains_key(**keyword))
        {
            return Err(unspeakable(
                &pointer::member(at, keyword),
                &format!("`{keyword}`"),
            ));
        }
        siblings_of_reference(&mut schema);
        content_to_format(&mut schema);
        schema.retain(|key, _| !IDLE.contains(&key.as_str()));
        const_to_enum(&mut schema);
        unevaluated(&mut schema);
    }
    if schema.get("x-nullable") == Some(&json!(true)) && !schema.contains_key("nullable") {
        schema.insert("nullable".to_owned(), json!(true));
    }
    exclusive_bounds(&mut schema);
    types(&mut schema, at)?;
    null_branches(&mut schema);
    if *node == Value::Object(schema.clone()) {
        return Ok(node.clone());
    }
    lowered.count += 1;
    Ok(Value::Object(schema))
}

fn unspeakable(at: &str, what: &str) -> Finding {
    Finding::new(
        at,
        format!("{what} cannot be said in OpenAPI 3.0"),
        "say it in the vendor's file in words of OpenAPI 3.0, or leave it out",
    )
}

/// In 3.1 what stands beside a `$ref` holds as well: an allOf of both.
fn siblings_of_reference(schema: &mut Map<String, Value>) {
    if schema.len() < 2 {
        return;
    }
    let Some(reference) = schema.remove("$ref") else {
        return;
    };
    let beside = std::mem::take(schema);
    schema.insert(
        "allOf".to_owned(),
        json!([{ "$ref": reference }, Value::Object(beside)]),
    );
}

/// How bytes travel in a string is a format in 3.0.
fn content_to_format(schema: &mut Map<String, Value>) {
    let encoding = schema.get("contentEncoding").and_then(Value::as_str);
    let format = match encoding.map(str::to_ascii_lowercase).as_deref() {
        Some("base64" | "base64url") => "byte",
        None if schema
            .get("contentMediaType")
            .is_some_and(|media_type| media_type == "application/octet-stream") =>
        {
            "binary"
        }
        _ => return,
    };
    if !schema.contains_key("format") {
        schema.insert("format".to_owned(), json!(format));
    }
}

/// A constant is an enum of one value.
fn const_to_enum(schema: &mut Map<String, Value>) {
    if let Some(value) = schema.remove("const") {
        if let (false, Some(name)) = (schema.contains_key("type"), type_of(&value)) {
            schema.insert("type".to_owned(), json!(name));
        }
        schema.insert("enum".to_owned(), json!([value]));
    }
}

fn type_of(value: &Value) -> Option<&'static str> {
    Some(match value {
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    })
}

/// What is not evaluated is, with every `$ref` and allOf merged, what is not named.
fn unevaluated(schema: &mut Map<String, Value>) {
    if let Some(rest) = schema.remove("unevaluatedProperties")
        && !schema.contains_key("additionalProperties")
    {
        schema.insert("additionalProperties".to_owned(), rest);
    }
}

/// `exclusiveMinimum: 5` is `minimum: 5` with a flag.
fn exclusive_bounds(schema: &mut Map<String, Value>) {
    for (bound, exclusive, upper) in [
        ("minimum", "exclusiveMinimum", false),
        ("maximum", "exclusiveMaximum", true),
    ] {
        let Some(strict) = schema.get(exclusive).filter(|limit| limit.is_number()) else {
            continue;
        };
        let strict = strict.clone();
        let inclusive = schema.get(bound).and_then(Value::as_f64);
        let binds = match (inclusive, strict.as_f64()) {
            (Some(inclusive), Some(strict)) if upper => strict <= inclusive,
            (Some(inclusive), Some(strict)) => strict >= inclusive,
            _ => true,
        };
        if binds {
            schema.insert(bound.to_owned(), strict);
            schema.insert(exclusive.to_owned(), json!(true));
        } else {
            schema.remove(exclusive);
        }
    }
}

/// `type: [string, "null"]` is a string that may be null; several other types are a choice.
fn types(schema: &mut Map<String, Value>, at: &str) -> Result<(), Finding> {
    let names: Vec<String> = match schema.get("type") {
        Some(Value::String(name)) if name == "null" => vec![name.clone()],
        Some(Value::Array(names)) => {
            let mut texts: Vec<String> = Vec::new();
            for name in names {
                match name.as_str() {
                    Some(name) if texts.iter().any(|text| text == name) => {}
                    Some(name) => texts.push(name.to_owned()),
                    None => {
                        return Err(Finding::new(
                            pointer::member(at, "type"),
                            format!("{name} is no type"),
                            "name types by their names",
                        ));
                    }
                }
            }
            texts
        }
        _ => return Ok(()),
    };
    schema.remove("type");
    let nullable = names.iter().any(|name| name == "null");
    // A number takes every integer.
    let number = names.iter().any(|name| name == "number");
    let names: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "null" && !(number && *name == "integer"))
        .collect();
    if nullable {
        schema.insert("nullable".to_owned(), json!(true));
    }
    match names.as_slice() {
        [] => {
            if nullable {
                schema.insert("enum".to_owned(), json!([null]));
            }
        }
        [name] => {
            schema.insert("type".to_owned(), json!(name));
        }
        several => {
            if schema.contains_key("anyOf") {
                return Err(unspeakable(
                    &pointer::member(at, "type"),
                    "a choice of types beside an `anyOf`",
                ));
            }
            let branches: Vec<Value> = several.iter().map(|name| branch(schema, name)).collect();
            schema.retain(|key, _| {
                key != "enum" && !KEYWORDS.iter().any(|(keyword, _)| keyword == key)
            });
            schema.insert("anyOf".to_owned(), json!(branches));
        }
    }
    Ok(())
}

/// What `schema` says of values of the type `name`.
fn branch(schema: &Map<String, Value>, name: &str) -> Value {
    let mut branch = Map::new();
    branch.insert("type".to_owned(), json!(name));
    for (keyword, of) in KEYWORDS {
        if let (true, Some(value)) = (of.contains(&name), schema.get(keyword)) {
            branch.insert(keyword.to_owned(), value.clone());
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let fitting: Vec<&Value> = values
            .iter()
            .filter(|value| {
                type_of(value).is_some_and(|of| of == name || (of == "integer" && name == "number"))
            })
            .collect();
        branch.insert("enum".to_owned(), json!(fitting));
    }
    Value::Object(branch)
}

/// A choice between something and null is something that may be null.
fn null_branches(schema: &mut Map<String, Value>) {
    for key in ["oneOf", "anyOf"] {
        let Some(Value::Array(branches)) = schema.get_mut(key) else {
            continue;
        };
        let before = branches.len();
        branches.retain(|branch| !is_null(branch));
        if branches.len() == before || branches.is_empty() {
            continue;
        }
        let only = match branches.as_slice() {
            [only] => Some(only.clone()),
            _ => None,
        };
        schema.insert("nullable".to_owned(), json!(true));
        if let Some(only) = only {
            schema.remove(key);
            match schema.entry("allOf").or_insert_with(|| json!([])) {
                Value::Array(branches) => branches.push(only),
                other => *other = json!([only]),
            }
        }
    }
}

/// Whether a branch of a choice is null and nothing else.
fn is_null(branch: &Value) -> bool {
    branch
        .get("type")
        .is_some_and(|name| *name == json!("null") || *name == json!(["null"]))
        || branch.get("const") == Some(&Value::Null)
        || branch.get("enum") == Some(&json!([null]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a schema of 3.1 becomes, or where it is refused.
    fn lowered(node: &Value) -> Result<Value, String> {
        schema(node, "/at", true, &mut Lowered::default()).map_err(|finding| finding.pointer)
    }

    #[test]
    fn what_3_1_spells_differently_is_respelled() {
        for (newer, older) in [
            (json!(true), json!({})),
            (
                json!({"type": ["string", "null"], "maxLength": 3}),
                json!({"type": "string", "nullable": true, "maxLength": 3}),
            ),
            (
                json!({"type": ["integer", "number"]}),
                json!({"type": "number"}),
            ),
            (
                json!({"type": ["string", "integer", "null"], "enum": ["a", 1], "maxLength": 3, "minimum": 0, "description": "d"}),
                json!({"nullable": true, "description": "d", "anyOf": [
                    {"type": "string", "maxLength": 3, "enum": ["a"]},
                    {"type": "integer", "minimum": 0, "enum": [1]},
                ]}),
            ),
            (
                json!({"type": "null"}),
                json!({"nullable": true, "enum": [null]}),
            ),
            (
                json!({"const": "door"}),
                json!({"type": "string", "enum": ["door"]}),
            ),
            (
                json!({"const": 1.5}),
                json!({"type": "number", "enum": [1.5]}),
            ),
            (
                json!({"const": null}),
                json!({"nullable": true, "enum": [null]}),
            ),
            (
                json!({"exclusiveMinimum": 5, "minimum": 3}),
                json!({"minimum": 5, "exclusiveMinimum": true}),
            ),
            (
                json!({"exclusiveMinimum": 3, "minimum": 5}),
                json!({"minimum": 5}),
            ),
            (
                json!({"exclusiveMaximum": 5}),
                json!({"maximum": 5, "exclusiveMaximum": true}),
            ),
            (
                json!({"$ref": "#/a", "nullable": true}),
                json!({"allOf": [{"$ref": "#/a"}, {"nullable": true}]}),
            ),
            (json!({"$ref": "#/a"}), json!({"$ref": "#/a"})),
            (
                json!({"oneOf": [{"$ref": "#/a"}, {"type": "null"}]}),
                json!({"allOf": [{"$ref": "#/a"}], "nullable": true}),
            ),
            (
                json!({"anyOf": [{"type": "string"}, {"type": "boolean"}, {"const": null}]}),
                json!({"anyOf": [{"type": "string"}, {"type": "boolean"}], "nullable": true}),
            ),
            (
                json!({"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}),
                json!({"type": "string", "format": "byte"}),
            ),
            (
                json!({"type": "string", "contentMediaType": "application/octet-stream"}),
                json!({"type": "string", "format": "binary"}),
            ),
            (
                json!({"type": "object", "unevaluatedProperties": false, "$defs": {"a": {}}, "$id": "x"}),
                json!({"type": "object", "additionalProperties": false}),
            ),
            (
                json!({"type": "string", "x-nullable": true}),
                json!({"type": "string", "x-nullable": true, "nullable": true}),
            ),
        ] {
            assert_eq!(lowered(&newer), Ok(older), "{newer}");
        }
    }

    #[test]
    fn what_3_0_cannot_say_is_refused_with_its_place() {
        for keyword in WITHOUT_EQUIVALENT {
            let mut node = Map::new();
            node.insert(keyword.to_owned(), json!({}));
            assert_eq!(
                lowered(&Value::Object(node)),
                Err(format!("/at/{keyword}")),
                "{keyword}"
            );
        }
        for (node, place) in [
            (json!(false), "/at"),
            (json!({"type": ["string", 5]}), "/at/type"),
            (
                json!({"type": ["string", "integer"], "anyOf": [{}]}),
                "/at/type",
            ),
        ] {
            assert_eq!(lowered(&node), Err(place.to_owned()), "{node}");
        }
    }

    #[test]
    fn in_3_0_what_3_0_says_to_ignore_is_ignored_and_types_are_respelled_all_the_same() {
        let mut seen = Lowered::default();
        let node = json!({"$ref": "#/a", "if": {}, "const": 1});
        assert_eq!(schema(&node, "", false, &mut seen), Ok(node));
        assert_eq!(seen.count, 0);
        let node = json!({"type": ["string", "null"]});
        assert_eq!(
            schema(&node, "", false, &mut seen),
            Ok(json!({"type": "string", "nullable": true}))
        );
        assert_eq!(seen.count, 1);
    }
}
