//! Reads a YAML or JSON file into one kind of value, within bounds: size, depth, aliases, number of nodes.
//! Duplicate keys are refused with their place; unquoted status keys and timestamps stay the text that they are.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::{DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::Error;

/// The largest file that is read. The vendor's merged document has well under 2 MiB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The deepest nesting that is read. The vendor's documents nest about 30 deep.
pub const MAX_DEPTH: usize = 100;
/// The most nodes that a document may have, aliases unfolded.
pub const MAX_NODES: usize = 250_000;

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The file, as the caller named it.
    pub name: String,
    /// Its text, without a byte order mark.
    pub text: String,
    /// Its bytes, for the checksum.
    pub bytes: Vec<u8>,
}

/// Reads a file.
///
/// # Errors
/// If it cannot be read, is larger than 16 MiB, or is not UTF-8.
pub fn read(path: &Path) -> Result<Source, Error> {
    let name = path.display().to_string();
    let unreadable = |error: std::io::Error| {
        Error::file(
            &name,
            format!("cannot be read: {}", describe(&error)),
            "give the path of a YAML or JSON file",
        )
    };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err(Error::file(
            &name,
            "is a directory",
            "give the path of a YAML or JSON file",
        ));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::file(
            &name,
            "is larger than 16 MiB",
            "give an OpenAPI document",
        ));
    }
    source(name, bytes)
}

/// An I/O error in words that do not depend on the system.
pub(crate) fn describe(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    }
}

/// Takes bytes that are at hand for a file called `name`.
///
/// # Errors
/// If they are not UTF-8.
pub fn source(name: String, bytes: Vec<u8>) -> Result<Source, Error> {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Source {
            name,
            text: text.strip_prefix('\u{feff}').unwrap_or(text).to_owned(),
            bytes,
        }),
        Err(error) => Err(Error::file(
            name,
            format!("is not UTF-8 (byte {})", error.valid_up_to()),
            "save it as UTF-8",
        )),
    }
}

/// Parses a source as YAML, or as JSON where it starts like JSON.
///
/// # Errors
/// If it is neither, if a key stands twice in one mapping, or if it is out of bounds.
pub fn parse(source: &Source) -> Result<Value, Error> {
    // A YAML flow mapping may start with a brace too, though hardly with a brace and a quote.
    let starts_like_json = source
        .text
        .trim_start()
        .strip_prefix('{')
        .is_some_and(|rest| rest.trim_start().starts_with(['"', '}']));
    if starts_like_json || source.name.ends_with(".json") {
        parse_json(source)
    } else {
        parse_yaml(source)
    }
}

fn parse_json(source: &Source) -> Result<Value, Error> {
    let mut nodes = 0;
    let mut reader = serde_json::Deserializer::from_str(&source.text);
    let parsed = Node { nodes: &mut nodes }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    parsed.map_err(|error| {
        let message = error.to_string();
        let message = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(message, _)| message);
        Error::File {
            file: source.name.clone(),
            at: Some((error.line() as u64, error.column() as u64)),
            message: format!("is not JSON: {message}"),
            remedy: "correct the file at this place".to_owned(),
        }
    })
}

fn parse_yaml(source: &Source) -> Result<Value, Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_documents: 2,
            max_aliases: 10_000,
            max_inclusion_depth: 0,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_NODES,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let mut nodes = 0;
    serde_saphyr::with_deserializer_from_str_with_options(&source.text, options, |reader| {
        Node { nodes: &mut nodes }.deserialize(reader)
    })
    .map_err(|error| {
        let location = error.location();
        let at = location.map(|location| (location.line(), location.column()));
        let tab = at.is_some_and(|(line, _)| {
            usize::try_from(line)
                .ok()
                .and_then(|line| source.text.lines().nth(line.saturating_sub(1)))
                .is_some_and(|line| {
                    line.chars()
                        .take_while(|character| character.is_whitespace())
                        .any(|character| character == '\t')
                })
        });
        let message = one_line(&error.to_string());
        Error::File {
            file: source.name.clone(),
            at,
            message: format!("is not YAML: {message}"),
            remedy: if tab {
                "YAML is indented by spaces: replace the tab at the start of this line"
            } else {
                "correct the file at this place"
            }
            .to_owned(),
        }
    })
}

/// The first line of a parser's message, without the place that is given beside it and without advice to programmers.
fn one_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    [
        " at line ",
        ", set DuplicateKeyPolicy",
        "; use from_multiple",
    ]
    .iter()
    .fold(line, |line, advice| {
        line.split_once(advice).map_or(line, |(before, _)| before)
    })
    .to_owned()
}

/// Reads a node and refuses duplicate keys and a flood of nodes.
struct Node<'a> {
    nodes: &'a mut usize,
}

impl Node<'_> {
    fn again(&mut self) -> Node<'_> {
        Node { nodes: self.nodes }
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.nodes += 1;
        if *self.nodes > MAX_NODES {
            return Err(serde::de::Error::custom(format!(
                "more than {MAX_NODES} nodes"
            )));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML or JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self.again())? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format!(
                    "`{key}` stands twice in one mapping"
                )));
            }
            let value = map.next_value_seed(self.again())?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
