//! Writes a document in canonical order: the members of OpenAPI objects as the table in `shape` has them, names by name.
//! The order never comes from the map's own, which depends on a feature of `serde_json` that any crate may switch on.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::Value;

use crate::error::Error;
use crate::load;
use crate::shape::Kind;

/// A node that serialises in canonical order.
struct Ordered<'a>(Kind, &'a Value);

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(kind, node) = self;
        match node {
            Value::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for key in kind.order(object) {
                    if let Some(child) = object.get(key) {
                        map.serialize_entry(key, &Ordered(kind.child(key), child))?;
                    }
                }
                map.end()
            }
            Value::Array(list) => {
                let mut sequence = serializer.serialize_seq(Some(list.len()))?;
                for child in list {
                    sequence.serialize_element(&Ordered(kind.element(), child))?;
                }
                sequence.end()
            }
            scalar => scalar.serialize(serializer),
        }
    }
}

/// The document as YAML under `header`, which is a comment. What is written reads back as the same document.
///
/// # Errors
/// If it does not, which would be a defect of the YAML writer.
pub fn to_yaml(file: &str, header: &str, document: &Value) -> Result<String, Error> {
    let broken = |message: String| Error::file(file, message, "report this as a defect of xtask");
    let options = serde_saphyr::ser_options! {
        indent_step: 2,
        compact_list_indent: false,
        empty_as_braces: true,
    };
    let body = serde_saphyr::to_string_with_options(&Ordered(Kind::Document, document), options)
        .map_err(|error| broken(format!("cannot be written as YAML: {error}")))?;
    let text = format!("{header}{body}");
    let again = load::parse(&load::source(file.to_owned(), text.clone().into_bytes())?)?;
    if again == *document {
        Ok(text)
    } else {
        Err(broken("does not read back as what was written".to_owned()))
    }
}

/// The document as JSON, in the same order.
///
/// # Errors
/// None in practice: a document has string keys and finite numbers.
pub fn to_json(document: &Value) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Ordered(Kind::Document, document))
}
