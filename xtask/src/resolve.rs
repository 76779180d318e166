//! Resolves every `$ref` that the selected operations reach, so that where a schema stands makes no difference.
//! Local references lead anywhere in the file; external ones are looked up in a folder, and nothing is ever fetched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::{Error, Finding};
use crate::load::{self, MAX_DEPTH, MAX_NODES};
use crate::pointer;
use crate::select;
use crate::shape::Kind;

/// What resolving did.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The selected operations with everything in place.
    pub document: Value,
    /// How many references were resolved.
    pub count: usize,
    /// What the report should say of single references.
    pub notes: Vec<String>,
}

/// The files that external references may lead to.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Path below the folder, with `/`, and the document.
    files: BTreeMap<String, Rc<Value>>,
    given: bool,
}

impl Folder {
    /// No folder: external references stay unresolved.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads every YAML and JSON file below `folder`.
    ///
    /// # Errors
    /// If the folder or one of its files cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        let mut waiting: Vec<(PathBuf, String)> = vec![(folder.to_owned(), String::new())];
        while let Some((directory, prefix)) = waiting.pop() {
            let unreadable = |error: std::io::Error| {
                Error::file(
                    directory.display().to_string(),
                    format!("cannot be read: {}", load::describe(&error)),
                    "give a folder of YAML or JSON files with --refs",
                )
            };
            for entry in std::fs::read_dir(&directory).map_err(unreadable)? {
                let entry = entry.map_err(unreadable)?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let path = entry.path();
                if entry.file_type().map_err(unreadable)?.is_dir() {
                    waiting.push((path, format!("{prefix}{name}/")));
                } else if [".yaml", ".yml", ".json"]
                    .iter()
                    .any(|end| name.ends_with(end))
                {
                    let document = load::parse(&load::read(&path)?)?;
                    files.insert(format!("{prefix}{name}"), Rc::new(document));
                }
            }
        }
        Ok(Self { files, given: true })
    }

    /// The file whose path shares the longest run of last segments with `target`.
    fn find(&self, target: &str) -> Result<Option<(String, Rc<Value>)>, Vec<String>> {
        let wanted: Vec<&str> = target.split('/').rev().collect();
        let shared = |path: &str| {
            path.split('/')
                .rev()
                .zip(&wanted)
                .take_while(|(ours, theirs)| ours == *theirs)
                .count()
        };
        let best = self
            .files
            .keys()
            .map(|path| shared(path))
            .max()
            .unwrap_or(0);
        if best == 0 {
            return Ok(None);
        }
        let matches: Vec<(&String, &Rc<Value>)> = self
            .files
            .iter()
            .filter(|(path, _)| shared(path) == best)
            .collect();
        match matches.as_slice() {
            [(path, document)] => Ok(Some(((*path).clone(), Rc::clone(document)))),
            several => Err(several.iter().map(|(path, _)| (*path).clone()).collect()),
        }
    }
}

/// Where a node comes from: a document and a pointer in it.
#[derive(Clone)]
struct Place {
    /// Empty for the vendor's file itself.
    file: String,
    document: Rc<Value>,
    pointer: String,
}

impl Place {
    fn member(&self, key: &str) -> Self {
        Self {
            pointer: pointer::member(&self.pointer, key),
            ..self.clone()
        }
    }

    fn element(&self, index: usize) -> Self {
        Self {
            pointer: pointer::element(&self.pointer, index),
            ..self.clone()
        }
    }

    /// The pointer as a message gives it.
    fn shown(&self) -> String {
        if self.file.is_empty() {
            self.pointer.clone()
        } else {
            format!("{}#{}", self.file, self.pointer)
        }
    }
}

/// Selects the Authentication operations of `document` and resolves what they reach.
///
/// # Errors
/// If there are none, or if a reference is broken, external without a file, or leads back to itself.
pub fn select_and_resolve(document: Value, folder: &Folder) -> Result<Resolved, Finding> {
    select::check_version(&document)?;
    let root = Rc::new(document);
    let mut resolver = Resolver {
        folder,
        count: 0,
        nodes: 0,
        notes: Vec::new(),
    };
    let start = Place {
        file: String::new(),
        document: Rc::clone(&root),
        pointer: String::new(),
    };
    let mut result = Map::new();
    for (key, kind) in select::KEPT_OF_ROOT {
        if let Some(node) = root.get(key) {
            let node = resolver.expand(kind, node, &start.member(key), &mut Vec::new())?;
            result.insert(key.to_owned(), node);
        }
    }
    let mut paths = Map::new();
    if let Some(items) = root.get("paths").and_then(Value::as_object) {
        for path in Kind::Paths.order(items) {
            if let Some(item) = items.get(path) {
                let place = start.member("paths").member(path);
                let mut chain = Vec::new();
                let (item, place) = resolver.follow(item, place, &mut chain)?;
                let kept = resolver.path_item(&item, &place, &mut chain)?;
                if !kept.is_empty() {
                    paths.insert(path.clone(), Value::Object(kept));
                }
            }
        }
    }
    if paths.is_empty() {
        return Err(select::nothing_selected(&root));
    }
    result.insert("paths".to_owned(), Value::Object(paths));
    if let Some(schemes) = root.pointer("/components/securitySchemes") {
        let place = start.member("components").member("securitySchemes");
        let schemes = resolver.expand(Kind::SecuritySchemes, schemes, &place, &mut Vec::new())?;
        let mut components = Map::new();
        components.insert("securitySchemes".to_owned(), schemes);
        result.insert("components".to_owned(), Value::Object(components));
    }
    Ok(Resolved {
        document: Value::Object(result),
        count: resolver.count,
        notes: resolver.notes,
    })
}

struct Resolver<'a> {
    folder: &'a Folder,
    count: usize,
    nodes: usize,
    notes: Vec<String>,
}

impl Resolver<'_> {
    /// The selected operations of a path, with the path's parameters put into each.
    fn path_item(
        &mut self,
        item: &Value,
        place: &Place,
        chain: &mut Vec<String>,
    ) -> Result<Map<String, Value>, Finding> {
        let mut kept = Map::new();
        let selected = select::selected_methods(&place.pointer, item);
        if selected.is_empty() {
            return Ok(kept);
        }
        let mut shared = Vec::new();
        if let Some(parameters) = item.get("parameters") {
            let place = place.member("parameters");
            if let Value::Array(list) = self.expand(Kind::Parameters, parameters, &place, chain)? {
                shared = list;
            }
        }
        for (method, _, operation) in selected {
            let mut operation =
                self.expand(Kind::Operation, operation, &place.member(method), chain)?;
            if let (Some(operation), false) = (operation.as_object_mut(), shared.is_empty()) {
                let own = operation
                    .entry("parameters")
                    .or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(own) = own {
                    let more: Vec<Value> = shared
                        .iter()
                        .filter(|shared| !own.iter().any(|own| same_parameter(own, shared)))
                        .cloned()
                        .collect();
                    own.extend(more);
                }
            }
            if let (Some(operation), Some(servers)) =
                (operation.as_object_mut(), item.get("servers"))
                && !operation.contains_key("servers")
            {
                operation.insert("servers".to_owned(), servers.clone());
            }
            kept.insert(method.to_owned(), operation);
        }
        Ok(kept)
    }

    /// The node with every reference in it resolved.
    fn expand(
        &mut self,
        kind: Kind,
        node: &Value,
        place: &Place,
        chain: &mut Vec<String>,
    ) -> Result<Value, Finding> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Finding::new(
                place.shown(),
                format!("references unfold to more than {MAX_NODES} nodes"),
                "the document is no plausible API description; look for references that multiply",
            ));
        }
        if chain.len() > MAX_DEPTH || place.pointer.matches('/').count() > 2 * MAX_DEPTH {
            return Err(Finding::new(
                place.shown(),
                format!("nests deeper than {MAX_DEPTH} references"),
                "make the document flatter",
            ));
        }
        if matches!(kind, Kind::Fact | Kind::Prose) {
            return Ok(node.clone());
        }
        let length = chain.len();
        let (node, place) = if references(kind) {
            self.follow(node, place.clone(), chain)?
        } else {
            (node.clone(), place.clone())
        };
        well_formed(kind, &node, &place)?;
        let expanded = match &node {
            Value::Object(object) => {
                let mut result = Map::new();
                for key in kind.order(object) {
                    if let Some(child) = object.get(key) {
                        let place = place.member(key);
                        let child = if key == "allOf" && kind == Kind::Schema {
                            self.branches(child, &place, chain)?
                        } else {
                            self.expand(kind.child(key), child, &place, chain)?
                        };
                        result.insert(key.clone(), child);
                    }
                }
                Value::Object(result)
            }
            Value::Array(list) => Value::Array(
                list.iter()
                    .enumerate()
                    .map(|(index, child)| {
                        self.expand(kind.element(), child, &place.element(index), chain)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            scalar => scalar.clone(),
        };
        chain.truncate(length);
        Ok(expanded)
    }

    /// The branches of an `allOf`: one that lies in a file that is not at hand is left out and reported.
    fn branches(
        &mut self,
        node: &Value,
        place: &Place,
        chain: &mut Vec<String>,
    ) -> Result<Value, Finding> {
        let Some(list) = node.as_array() else {
            return self.expand(Kind::SchemaList, node, place, chain);
        };
        let mut kept = Vec::new();
        for (index, branch) in list.iter().enumerate() {
            let place = place.element(index);
            if let Some(target) = external(branch)
                && !self.folder.given
            {
                self.notes.push(format!(
                    "{}: branch `{target}` left out; give its folder with --refs",
                    place.shown()
                ));
                continue;
            }
            kept.push(self.expand(Kind::Schema, branch, &place, chain)?);
        }
        Ok(Value::Array(kept))
    }

    /// Follows references from `node` to what they mean.
    fn follow(
        &mut self,
        node: &Value,
        place: Place,
        chain: &mut Vec<String>,
    ) -> Result<(Value, Place), Finding> {
        let mut node = node.clone();
        let mut place = place;
        while let Some(reference) = node.get("$ref") {
            let at = place.member("$ref").shown();
            let Some(target) = reference.as_str() else {
                return Err(Finding::new(
                    at,
                    "`$ref` is not a string",
                    "write the reference as a string",
                ));
            };
            let siblings = node.as_object().map_or(0, |node| node.len() - 1);
            if siblings > 0 {
                self.notes.push(format!(
                    "{at}: what stands beside a `$ref` is ignored, as OpenAPI 3.0 says"
                ));
            }
            let (found, next) = self.lookup(target, &place, &at)?;
            let key = format!("{}#{}", next.file, next.pointer);
            if chain.contains(&key) {
                return Err(Finding::new(
                    at,
                    format!("a cycle of references: `{target}` leads back to itself"),
                    "break the cycle in the vendor's file; a type that holds itself has no place in this API",
                ));
            }
            chain.push(key);
            self.count += 1;
            node = found;
            place = next;
        }
        Ok((node, place))
    }

    fn lookup(&self, target: &str, from: &Place, at: &str) -> Result<(Value, Place), Finding> {
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        let (name, document) = if file.is_empty() {
            (from.file.clone(), Rc::clone(&from.document))
        } else {
            match self.folder.find(file) {
                Ok(Some(found)) => found,
                Ok(None) if self.folder.given => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` is in none of the files of the --refs folder"),
                        "put the file there; its path must end like the reference",
                    ));
                }
                Ok(None) => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` is in another file"),
                        "give a folder that holds it with --refs; nothing is fetched",
                    ));
                }
                Err(several) => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` fits several files: {}", several.join(", ")),
                        "leave only one of them in the --refs folder",
                    ));
                }
            }
        };
        let pointer = percent_decoded(fragment);
        let Some(found) = document.pointer(&pointer) else {
            return Err(Finding::new(
                at,
                format!("`{target}` leads nowhere"),
                "correct the reference, or add what it names",
            ));
        };
        let place = Place {
            file: name,
            document: Rc::clone(&document),
            pointer,
        };
        Ok((found.clone(), place))
    }
}

/// Refuses a node that is not a mapping or list where OpenAPI has one.
fn well_formed(kind: Kind, node: &Value, place: &Place) -> Result<(), Finding> {
    let wanted = match kind {
        Kind::Servers | Kind::Parameters | Kind::SchemaList if !node.is_array() => "a list",
        Kind::Servers | Kind::Parameters | Kind::SchemaList => return Ok(()),
        // `additionalProperties` is a schema, true or false.
        Kind::Schema if node.is_boolean() && place.pointer.ends_with("/additionalProperties") => {
            return Ok(());
        }
        _ if !node.is_object() => "a mapping",
        _ => return Ok(()),
    };
    Err(Finding::new(
        place.shown(),
        format!("is not {wanted}"),
        "correct it in the vendor's file, as OpenAPI 3.0 has it",
    ))
}

fn external(node: &Value) -> Option<&str> {
    node.get("$ref")
        .and_then(Value::as_str)
        .filter(|target| !target.starts_with('#'))
}

fn references(kind: Kind) -> bool {
    kind.members()
        .is_some_and(|members| members.iter().any(|(name, _)| *name == "$ref"))
}

fn same_parameter(one: &Value, other: &Value) -> bool {
    one.get("name") == other.get("name") && one.get("in") == other.get("in")
}

/// `%7B` and the like back as the characters they stand for. What is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            bytes.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}
