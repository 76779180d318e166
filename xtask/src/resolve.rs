//! Resolves every `$ref` that the selected operations reach, so that where a schema stands makes no difference.
//! Local references lead anywhere in the file; external ones are looked up in a folder, and nothing is ever fetched.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::error::{Error, Finding};
use crate::load::{self, MAX_DEPTH, MAX_NODES};
use crate::lower::{self, Lowered};
use crate::pointer;
use crate::references::{self, percent_decoded};
use crate::select;
use crate::servers;
use crate::shape::Kind;

/// The most that the selected operations may weigh with every reference unfolded; the vendor's weigh about a thousand.
/// Everything after this takes time in proportion.
const MAX_SELECTED: usize = 20_000;
/// The most that what references lead to may weigh together, each as often as it is reached.
const MAX_REACHED: usize = 4_000_000;

/// What resolving did.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The selected operations with everything in place.
    pub document: Value,
    /// How many references were resolved.
    pub count: usize,
    /// What the report should say of single references.
    pub notes: Vec<String>,
    /// How many places were brought down to OpenAPI 3.0.
    pub lowered: usize,
    /// What the report should say of single such places.
    pub lowered_notes: Vec<String>,
    /// How many addresses were split at another place.
    pub moved: usize,
    /// What the report should say of single addresses.
    pub moved_notes: Vec<String>,
}

/// The files that external references may lead to.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// Path below the folder, with `/`, and the file.
    files: BTreeMap<String, PathBuf>,
    /// What was read so far: a folder may hold files that no reference leads to, and that are no YAML.
    read: RefCell<BTreeMap<String, Rc<Value>>>,
    given: bool,
}

/// What became of looking for a file.
enum Found {
    File(String, Rc<Value>),
    Nothing,
    Several(Vec<String>),
    Unreadable(String),
}

impl Folder {
    /// No folder: external references stay unresolved.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Lists every YAML and JSON file below `folder`. A file is read when a reference leads to it.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            files: references::below(folder)?,
            given: true,
            ..Self::default()
        })
    }

    /// The file whose path shares the longest run of last segments with `target`, as `from` calls it.
    fn find(&self, target: &str, from: &str) -> Found {
        let matches = references::matching(self.files.keys().map(String::as_str), target, from);
        match matches.as_slice() {
            [] => Found::Nothing,
            [name] => match self.files.get(*name).map(|path| self.open(name, path)) {
                None => Found::Nothing,
                Some(Ok(document)) => Found::File((*name).to_owned(), document),
                Some(Err(error)) => Found::Unreadable(error.to_string()),
            },
            several => Found::Several(several.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    fn open(&self, name: &str, path: &Path) -> Result<Rc<Value>, Error> {
        if let Some(document) = self.read.borrow().get(name) {
            return Ok(Rc::clone(document));
        }
        let mut source = load::read(path)?;
        source.name = name.to_owned();
        let document = Rc::new(load::parse(&source)?);
        self.read
            .borrow_mut()
            .insert(name.to_owned(), Rc::clone(&document));
        Ok(document)
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
    let newer = select::check_version(&document)?;
    let root = Rc::new(document);
    let mut resolver = Resolver {
        folder,
        newer,
        wanted: select::Wanted::of(&root),
        count: 0,
        nodes: 0,
        prose: 0,
        reached: 0,
        depth: 0,
        notes: Vec::new(),
        lowered: Lowered::default(),
    };
    let start = Place {
        file: String::new(),
        document: Rc::clone(&root),
        pointer: String::new(),
    };
    let mut result = Map::new();
    for (key, kind) in select::KEPT_OF_ROOT {
        if let Some(node) = root.get(key).filter(|node| !node.is_null()) {
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
                if item.is_null() {
                    continue;
                }
                let (item, place) = resolver.follow(Kind::PathItem, item, place, &mut chain)?;
                let kept = resolver.path_item(path, &item, &place, &mut chain)?;
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
    if let Some(schemes) = root
        .pointer("/components/securitySchemes")
        .filter(|schemes| !schemes.is_null())
    {
        let place = start.member("components").member("securitySchemes");
        let schemes = resolver.expand(Kind::SecuritySchemes, schemes, &place, &mut Vec::new())?;
        let mut components = Map::new();
        components.insert("securitySchemes".to_owned(), schemes);
        result.insert("components".to_owned(), Value::Object(components));
    }
    let mut lowered = resolver.lowered;
    if let Some(version) = result.get_mut("openapi") {
        select::settle_version(version, &mut lowered.notes);
    }
    for key in ["jsonSchemaDialect", "webhooks"] {
        if newer && root.get(key).is_some() {
            lowered.count += 1;
            lowered.notes.push(format!("/{key}: left out"));
        }
    }
    let mut document = Value::Object(result);
    let mut moved_notes = Vec::new();
    let moved = servers::normalise(&mut document, &mut moved_notes)?;
    Ok(Resolved {
        document,
        count: resolver.count,
        notes: resolver.notes,
        lowered: lowered.count,
        lowered_notes: lowered.notes,
        moved,
        moved_notes,
    })
}

struct Resolver<'a> {
    folder: &'a Folder,
    /// The document is OpenAPI 3.1.
    newer: bool,
    wanted: select::Wanted,
    count: usize,
    /// What the result weighs, without its prose.
    nodes: usize,
    /// What its prose weighs.
    prose: usize,
    /// What the references led to weighs.
    reached: usize,
    /// How deep the result is at the place where it grows.
    depth: usize,
    notes: Vec<String>,
    lowered: Lowered,
}

impl Resolver<'_> {
    /// The selected operations of a path, with the path's parameters put into each.
    fn path_item(
        &mut self,
        path: &str,
        item: &Value,
        place: &Place,
        chain: &mut Vec<String>,
    ) -> Result<Map<String, Value>, Finding> {
        let mut kept = Map::new();
        let selected = self.wanted.methods(path, item);
        if selected.is_empty() {
            return Ok(kept);
        }
        let mut shared = Vec::new();
        if let Some(parameters) = item.get("parameters").filter(|list| !list.is_null()) {
            let place = place.member("parameters");
            if let Value::Array(list) = self.expand(Kind::Parameters, parameters, &place, chain)? {
                shared = list;
            }
        }
        for (method, operation) in selected {
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
            if let (Some(operation), Some(servers)) = (
                operation.as_object_mut(),
                item.get("servers").filter(|list| list.is_array()),
            ) && !operation.contains_key("servers")
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
        match kind {
            Kind::Fact => self.nodes += weight(node),
            Kind::Prose => self.prose += weight(node),
            _ => self.nodes += 1,
        }
        for (weight, most) in [(self.nodes, MAX_SELECTED), (self.prose, MAX_NODES)] {
            if weight > most {
                return Err(too_much(place.shown(), most));
            }
        }
        if chain.len() > MAX_DEPTH || self.depth > MAX_DEPTH {
            return Err(Finding::new(
                place.shown(),
                format!("nests more than {MAX_DEPTH} deep with its references"),
                "make the document flatter",
            ));
        }
        if matches!(kind, Kind::Fact | Kind::Prose) {
            return Ok(node.clone());
        }
        let length = chain.len();
        self.depth += 1;
        let expanded = self.expand_followed(kind, node, place, chain)?;
        self.depth -= 1;
        chain.truncate(length);
        Ok(expanded)
    }

    fn expand_followed(
        &mut self,
        kind: Kind,
        node: &Value,
        place: &Place,
        chain: &mut Vec<String>,
    ) -> Result<Value, Finding> {
        let respelled;
        let followed;
        let (mut node, mut place) = (node, place);
        // What stands beside a reference must be seen before it is followed, and what it leads to afterwards.
        let is_flag = node.is_boolean() && may_be_flag(place);
        if kind == Kind::Schema && self.newer && !is_flag {
            respelled = lower::schema(node, &place.shown(), true, &mut self.lowered)?;
            node = &respelled;
        }
        if references(kind) && node.get("$ref").is_some() {
            followed = self.follow(kind, node, place.clone(), chain)?;
            (node, place) = (&followed.0, &followed.1);
        }
        let target;
        if kind == Kind::Schema && !is_flag {
            target = lower::schema(node, &place.shown(), self.newer, &mut self.lowered)?;
            node = &target;
        }
        well_formed(kind, node, place)?;
        let expanded = match node {
            Value::Object(object) => {
                let mut result = Map::new();
                for key in kind.order(object) {
                    if let Some(child) = object.get(key) {
                        let place = place.member(key);
                        if child.is_null() && means_absent(kind, key) {
                            self.lowered.count += 1;
                            self.lowered
                                .notes
                                .push(format!("{}: null, so left out", place.shown()));
                            continue;
                        }
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
        kind: Kind,
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
            if siblings > 0 && self.newer && kind == Kind::Schema {
                // In 3.1 these hold as well; whoever asked brings them down.
                break;
            }
            if siblings > 0 {
                self.notes.push(format!(
                    "{at}: what stands beside a `$ref` is ignored, as OpenAPI 3.0 says"
                ));
            }
            let (found, next) = self.lookup(target, &place, &at)?;
            self.reached += weight(&found);
            if self.reached > MAX_REACHED {
                return Err(too_much(at, MAX_REACHED));
            }
            if chain.len() > MAX_DEPTH {
                return Err(Finding::new(
                    at,
                    format!("is a chain of more than {MAX_DEPTH} references"),
                    "let the reference lead to its target at once",
                ));
            }
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
            match self.folder.find(file, &from.file) {
                Found::File(name, document) => (name, document),
                Found::Nothing if self.folder.given => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` is in none of the files of the --refs folder"),
                        "put the file there; its path must end like the reference",
                    ));
                }
                Found::Nothing => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` is in another file"),
                        "give a folder that holds it with --refs; nothing is fetched",
                    ));
                }
                Found::Unreadable(error) => {
                    return Err(Finding::new(
                        at,
                        format!("`{target}` leads to a file that cannot be taken: {error}"),
                        "correct that file",
                    ));
                }
                Found::Several(several) => {
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

/// How many nodes there are in `node`; a long text counts as several.
fn weight(node: &Value) -> usize {
    let of_text = |text: &str| text.len() / 16;
    1 + match node {
        Value::String(text) => of_text(text),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(object) => object
            .iter()
            .map(|(key, child)| of_text(key) + weight(child))
            .sum(),
        _ => 0,
    }
}

fn too_much(at: String, most: usize) -> Finding {
    Finding::new(
        at,
        format!("references unfold to more than {most} nodes"),
        "the document is no plausible API description; look for references that multiply, and for texts of great length",
    )
}

/// Refuses a node that is not a mapping or list where OpenAPI has one.
fn well_formed(kind: Kind, node: &Value, place: &Place) -> Result<(), Finding> {
    let wanted = match kind {
        Kind::Servers | Kind::Parameters | Kind::SchemaList if !node.is_array() => "a list",
        Kind::Servers | Kind::Parameters | Kind::SchemaList => return Ok(()),
        Kind::Schema if node.is_boolean() && may_be_flag(place) => return Ok(()),
        _ if !node.is_object() => "a mapping",
        _ => return Ok(()),
    };
    Err(Finding::new(
        place.shown(),
        format!("is not {wanted}"),
        "correct it in the vendor's file, as OpenAPI 3.0 has it",
    ))
}

/// `additionalProperties` is a schema, true or false.
fn may_be_flag(place: &Place) -> bool {
    place.pointer.ends_with("/additionalProperties")
}

/// Whether a member that is null means the same as none: everything but a value that may be null itself.
fn means_absent(kind: Kind, key: &str) -> bool {
    let is_value = matches!(key, "default" | "example" | "const" | "enum") || key.starts_with("x-");
    kind.members().is_some() && kind.child(key) != Kind::Prose && !is_value
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
