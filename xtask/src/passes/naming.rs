//! Gives every inline object a name after operation, direction, status and field, and moves it to the components.
//! The generator names two inline replies of one operation alike, and takes the first for both.

use serde_json::{Map, Value, json};

use super::{Changes, bodies};
use crate::error::Finding;
use crate::pointer;
use crate::shape;

/// Moves every inline object and union to `components.schemas`. What stands there already is searched as well.
pub(super) fn name_schemas(document: &mut Value) -> Result<Changes, Finding> {
    let mut changes = Changes::default();
    let mut named = Named::take(document);
    for (name, schema) in named.given() {
        let mut schema = schema;
        lift_children(&mut schema, &name, &mut named, &mut changes)?;
        named.schemas.insert(name, schema);
    }
    let operations: Vec<(String, &'static str, String)> = shape::operations(document)
        .iter()
        .map(|found| (found.path.to_owned(), found.method, found.id().to_owned()))
        .collect();
    for (path, method, id) in operations {
        let at = pointer::member(&pointer::member("/paths", &path), method);
        let base = pascal_case(&id);
        let Some(operation) = document.pointer_mut(&at) else {
            continue;
        };
        if let Some(parameters) = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut)
        {
            for parameter in parameters {
                let name = parameter
                    .get("name")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                let name = format!("{base}{}", pascal_case(name));
                if let Some(schema) = parameter.get_mut("schema") {
                    lift(schema, name, &at, &mut named, &mut changes)?;
                }
            }
        }
        if let Some(body) = operation.get_mut("requestBody") {
            lift_content(
                body,
                &format!("{base}Request"),
                &at,
                &mut named,
                &mut changes,
            )?;
        }
        if let Some(responses) = operation
            .get_mut("responses")
            .and_then(Value::as_object_mut)
        {
            for status in sorted_keys(responses) {
                if let Some(response) = responses.get_mut(&status) {
                    let name = format!("{base}Response{}", pascal_case(&status));
                    lift_content(response, &name, &at, &mut named, &mut changes)?;
                }
            }
        }
    }
    named.give_back(document);
    Ok(changes)
}

/// The schemas that have a name, while the document is without its components.
struct Named {
    schemas: Map<String, Value>,
}

impl Named {
    fn take(document: &mut Value) -> Self {
        let schemas = document
            .pointer_mut("/components/schemas")
            .and_then(Value::as_object_mut)
            .map(std::mem::take)
            .unwrap_or_default();
        Self { schemas }
    }

    fn given(&self) -> Vec<(String, Value)> {
        sorted_keys(&self.schemas)
            .into_iter()
            .filter_map(|name| Some((name.clone(), self.schemas.get(&name)?.clone())))
            .collect()
    }

    fn give_back(self, document: &mut Value) {
        if self.schemas.is_empty() {
            return;
        }
        if let Some(root) = document.as_object_mut() {
            let components = root.entry("components").or_insert_with(|| json!({}));
            if let Some(components) = components.as_object_mut() {
                components.insert("schemas".to_owned(), Value::Object(self.schemas));
            }
        }
    }
}

fn lift_content(
    holder: &mut Value,
    base: &str,
    at: &str,
    named: &mut Named,
    changes: &mut Changes,
) -> Result<(), Finding> {
    let Some(content) = holder.get_mut("content").and_then(Value::as_object_mut) else {
        return Ok(());
    };
    let media_types = sorted_keys(content);
    let json = bodies::best_json(&media_types).cloned();
    for media_type in media_types {
        let name = if Some(&media_type) == json.as_ref() {
            base.to_owned()
        } else {
            format!("{base}{}", pascal_case(&media_type))
        };
        if let Some(schema) = content
            .get_mut(&media_type)
            .and_then(|body| body.get_mut("schema"))
        {
            lift(schema, name, at, named, changes)?;
        }
    }
    Ok(())
}

/// Moves `schema` to the components if it is an object with fields or a union, with everything in it.
fn lift(
    schema: &mut Value,
    name: String,
    at: &str,
    named: &mut Named,
    changes: &mut Changes,
) -> Result<(), Finding> {
    lift_children(schema, &name, named, changes)?;
    let has = |key: &str| schema.get(key).is_some();
    if !(has("properties") || has("oneOf") || has("anyOf")) {
        return Ok(());
    }
    if named.schemas.contains_key(&name) {
        return Err(Finding::new(
            at,
            format!("two schemas would be called `{name}`"),
            "give one of the two operations or fields another name in the overlay",
        ));
    }
    let reference = json!({ "$ref": format!("#/components/schemas/{name}") });
    named
        .schemas
        .insert(name, std::mem::replace(schema, reference));
    changes.one();
    Ok(())
}

fn lift_children(
    schema: &mut Value,
    name: &str,
    named: &mut Named,
    changes: &mut Changes,
) -> Result<(), Finding> {
    let at = pointer::member("/components/schemas", name);
    let Some(object) = schema.as_object_mut() else {
        return Ok(());
    };
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        for property in sorted_keys(properties) {
            if let Some(child) = properties.get_mut(&property) {
                lift(
                    child,
                    format!("{name}{}", pascal_case(&property)),
                    &at,
                    named,
                    changes,
                )?;
            }
        }
    }
    for (key, suffix) in [("items", "Item"), ("additionalProperties", "Value")] {
        if let Some(child) = object.get_mut(key) {
            lift(child, format!("{name}{suffix}"), &at, named, changes)?;
        }
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(branches) = object.get_mut(key).and_then(Value::as_array_mut) {
            for (index, branch) in branches.iter_mut().enumerate() {
                let suffix = branch
                    .get("title")
                    .and_then(Value::as_str)
                    .map_or_else(|| format!("Variant{index}"), pascal_case);
                lift(branch, format!("{name}{suffix}"), &at, named, changes)?;
            }
        }
    }
    Ok(())
}

fn sorted_keys(object: &Map<String, Value>) -> Vec<String> {
    let mut keys: Vec<String> = object.keys().cloned().collect();
    keys.sort();
    keys
}

/// `post-auth-backend`, `expires_at` or `channelId` as the generator writes it in a type: words in upper camel case.
#[must_use]
pub fn pascal_case(name: &str) -> String {
    words(name)
        .into_iter()
        .map(|word| {
            let mut characters = word.chars();
            characters.next().map_or_else(String::new, |first| {
                first.to_uppercase().chain(characters).collect()
            })
        })
        .collect()
}

/// The same as the generator writes it in a function or a field: words in lower case, with `_` between.
#[must_use]
pub fn rust_snake_case(name: &str) -> String {
    words(name).join("_")
}

/// The words of a name, in lower case: split at what is not a letter or digit and where lower case meets upper case.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let characters: Vec<char> = name.chars().collect();
    for (index, &character) in characters.iter().enumerate() {
        if !character.is_alphanumeric() {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
            continue;
        }
        let before = index.checked_sub(1).and_then(|index| characters.get(index));
        let after = characters.get(index + 1);
        let starts = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if starts && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        word.extend(character.to_lowercase());
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The name of the property whose schema stands at `at`.
pub(crate) fn property_name(at: &str) -> Option<String> {
    let mut segments = pointer::segments(at).rev();
    let name = segments.next()?;
    (segments.next()? == "properties").then_some(name)
}

/// Whether a component of this name keeps it as a Rust type.
pub(crate) fn is_type_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && pascal_case(name) == name
        && name.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_as_the_generator_writes_them() {
        for (name, pascal, snake) in [
            ("post-auth-backend", "PostAuthBackend", "post_auth_backend"),
            ("channelId", "ChannelId", "channel_id"),
            ("expires_at", "ExpiresAt", "expires_at"),
            ("jwtToken", "JwtToken", "jwt_token"),
            ("X-Store-Hash", "XStoreHash", "x_store_hash"),
            (
                "PostAuthBackendResponse200DataItem",
                "PostAuthBackendResponse200DataItem",
                "post_auth_backend_response200_data_item",
            ),
            ("application/xml", "ApplicationXml", "application_xml"),
        ] {
            assert_eq!(pascal_case(name), pascal);
            assert_eq!(rust_snake_case(name), snake);
        }
    }
}
