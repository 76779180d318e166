//! A node of a document together with where it stands, and how references lead from one to the next.
//! Everything that reads a document for `diff` goes through here, so every bound and every refusal stands here too.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::references::Found;
use super::schema::Flat;
use super::{References, Side, Unreadable};
use crate::error::Finding;
use crate::load::{MAX_DEPTH, MAX_NODES};
use crate::pointer;
use crate::references::percent_decoded;

/// A node and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    /// The file it stands in; empty for the document itself.
    file: &'a str,
    root: &'a Value,
    pub(super) node: &'a Value,
    /// Its pointer in that file.
    pointer: String,
    /// In another file: where in the document the reference to it stands.
    site: Option<String>,
}

impl<'a> Place<'a> {
    /// The pointer that a report shows; it resolves in the document.
    pub(super) fn shown(&self) -> String {
        self.site.clone().unwrap_or_else(|| self.pointer.clone())
    }

    /// What tells this place from every other; in another file also by what refers to it, since that is what is shown.
    pub(super) fn key(&self) -> String {
        let site = self.site.as_deref().unwrap_or_default();
        format!("{}#{}@{site}", self.file, self.pointer)
    }

    pub(super) fn get(&self, key: &str) -> Option<Place<'a>> {
        self.node.get(key).map(|node| self.child(key, node))
    }

    fn child(&self, key: &str, node: &'a Value) -> Place<'a> {
        Place {
            file: self.file,
            root: self.root,
            node,
            pointer: pointer::member(&self.pointer, key),
            site: self.site.clone(),
        }
    }

    /// The members of a mapping, by name.
    pub(super) fn members(&self) -> Vec<(&'a str, Place<'a>)> {
        let mut members: Vec<(&'a str, Place<'a>)> = self
            .node
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, node)| (key.as_str(), self.child(key, node)))
            .collect();
        members.sort_by_key(|(key, _)| *key);
        members
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> Vec<Place<'a>> {
        let list = self.node.as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter()
            .enumerate()
            .map(|(index, node)| Place {
                file: self.file,
                root: self.root,
                node,
                pointer: pointer::element(&self.pointer, index),
                site: self.site.clone(),
            })
            .collect()
    }

    /// The text of a member; empty where there is none.
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.node
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Whether a member is `true`.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.node.get(key) == Some(&Value::Bool(true))
    }
}

/// Reads one of the two documents.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    side: Side,
    document: &'a Value,
    references: &'a References,
    /// Whether it is 3.1, where a `$ref` has siblings and `nullable` means nothing.
    pub(super) is_31: bool,
    steps: Cell<usize>,
    notes: RefCell<Vec<String>>,
    /// Schemas that were laid flat before: most fields of a large document share theirs.
    pub(super) flats: RefCell<BTreeMap<String, Rc<Flat<'a>>>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(
        side: Side,
        document: &'a Value,
        references: &'a References,
    ) -> Result<Self, Unreadable> {
        let mut reader = Self {
            side,
            document,
            references,
            is_31: false,
            steps: Cell::new(0),
            notes: RefCell::default(),
            flats: RefCell::default(),
        };
        let refuse = |at: &str, message: &str, remedy: &str| {
            Err(reader.refuse(at.to_owned(), message, remedy))
        };
        const GIVE: &str = "give an OpenAPI 3.0 or 3.1 document";
        let Some(root) = document.as_object() else {
            return refuse(
                "",
                "is not an OpenAPI document: the root is not a mapping",
                GIVE,
            );
        };
        let version = match root.get("openapi") {
            Some(Value::String(version)) => version,
            Some(_) => {
                return refuse(
                    "/openapi",
                    "the version is not a string",
                    "write it in quotes, such as '3.0.3'",
                );
            }
            None if root.contains_key("swagger") => {
                return refuse(
                    "/swagger",
                    "is a Swagger 2 document",
                    "convert it to OpenAPI 3",
                );
            }
            None => return refuse("", "is not an OpenAPI document: it has no `openapi`", GIVE),
        };
        let is = |minor: &str| {
            version
                .strip_prefix(minor)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let is_31 = is("3.1");
        if !is_31 && !is("3.0") {
            return refuse("/openapi", &format!("OpenAPI {version} is not read"), GIVE);
        }
        match root.get("paths") {
            Some(Value::Object(_)) => {}
            None if is_31 => {}
            Some(_) => return refuse("/paths", "`paths` is not a mapping", GIVE),
            None => return refuse("", "is not an OpenAPI document: it has no `paths`", GIVE),
        }
        if is_deeper_than(document, MAX_DEPTH) {
            return refuse(
                "",
                &format!("nests deeper than {MAX_DEPTH} levels"),
                "make the document flatter",
            );
        }
        reader.is_31 = is_31;
        Ok(reader)
    }

    pub(super) fn root(&self) -> Place<'a> {
        Place {
            file: "",
            root: self.document,
            node: self.document,
            pointer: String::new(),
            site: None,
        }
    }

    pub(super) fn into_notes(self) -> Vec<String> {
        let mut notes = self.notes.into_inner();
        notes.sort();
        notes.dedup();
        notes
    }

    /// Counts a step of unfolding.
    pub(super) fn step(&self, place: &Place<'_>) -> Result<(), Unreadable> {
        self.steps.set(self.steps.get() + 1);
        if self.steps.get() > MAX_NODES {
            return Err(self.refuse(
                place.shown(),
                &format!("unfolds to more than {MAX_NODES} nodes"),
                "the document is no plausible API description; look for references that multiply",
            ));
        }
        Ok(())
    }

    pub(super) fn refuse(&self, at: String, message: &str, remedy: &str) -> Unreadable {
        Unreadable {
            side: self.side,
            finding: Finding::new(at, message, remedy),
        }
    }

    /// The mapping at `place`.
    pub(super) fn mapping(&self, place: &Place<'a>) -> Result<&'a Map<String, Value>, Unreadable> {
        place.node.as_object().ok_or_else(|| {
            self.refuse(
                place.shown(),
                "is not a mapping",
                "correct it, as OpenAPI has it",
            )
        })
    }

    /// Follows references from `place` to what they mean, for everything but schemas.
    pub(super) fn follow(&self, place: Place<'a>) -> Result<Place<'a>, Unreadable> {
        let mut place = place;
        let mut chain = vec![place.key()];
        while place.node.get("$ref").is_some() {
            place = self.target(&place)?;
            self.enter(&place, &mut chain)?;
        }
        self.mapping(&place)?;
        Ok(place)
    }

    /// Takes note that a chain of references reached `place`.
    pub(super) fn enter(
        &self,
        place: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<(), Unreadable> {
        self.step(place)?;
        let key = place.key();
        if chain.contains(&key) {
            return Err(self.refuse(
                place.shown(),
                "a cycle of references that never reaches anything",
                "break the cycle; a type may hold itself in a field, not be itself",
            ));
        }
        if chain.len() >= MAX_DEPTH {
            return Err(self.refuse(
                place.shown(),
                &format!("is a chain of more than {MAX_DEPTH} references"),
                "make the document flatter",
            ));
        }
        chain.push(key);
        Ok(())
    }

    /// Whether `place` refers to a file although there are none; then the report says that it is left out.
    pub(super) fn leaves_out(&self, place: &Place<'a>) -> bool {
        let target = place.text("$ref");
        let out = !target.is_empty() && !target.starts_with('#') && !self.references.is_given();
        if out {
            let document = match self.side {
                Side::Old => "old",
                Side::New => "new",
            };
            self.notes.borrow_mut().push(format!(
                "{document} document, {}: branch `{target}` left out; give its folder with --refs",
                place.shown()
            ));
        }
        out
    }

    /// What the `$ref` at `place` leads to.
    pub(super) fn target(&self, place: &Place<'a>) -> Result<Place<'a>, Unreadable> {
        let at = place
            .site
            .clone()
            .unwrap_or_else(|| pointer::member(&place.pointer, "$ref"));
        let Some(target) = place.node.get("$ref").and_then(Value::as_str) else {
            return Err(self.refuse(
                at,
                "`$ref` is not a string",
                "write the reference as a string",
            ));
        };
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        let (name, document) = if file.is_empty() {
            (place.file, place.root)
        } else {
            match self.references.find(file, place.file) {
                Found::File(name, document) => (name, document),
                Found::Unreadable(error) => {
                    return Err(self.refuse(
                        at,
                        &format!("`{target}` cannot be read: {error}"),
                        "correct the file in the --refs folder",
                    ));
                }
                Found::Nothing if self.references.is_given() => {
                    return Err(self.refuse(
                        at,
                        &format!("`{target}` is in none of the files of the --refs folder"),
                        "put the file there; its path must end like the reference",
                    ));
                }
                Found::Nothing => {
                    return Err(self.refuse(
                        at,
                        &format!("`{target}` is in another file"),
                        "give a folder that holds it with --refs; nothing is fetched",
                    ));
                }
                Found::Several(several) => {
                    return Err(self.refuse(
                        at,
                        &format!("`{target}` fits several files: {}", several.join(", ")),
                        "leave only one of them in the --refs folder",
                    ));
                }
            }
        };
        let pointer = percent_decoded(fragment);
        let Some(node) = document.pointer(&pointer) else {
            return Err(self.refuse(
                at,
                &format!("`{target}` leads nowhere"),
                "correct the reference, or add what it names",
            ));
        };
        let site =
            (!name.is_empty()).then(|| place.site.clone().unwrap_or_else(|| place.pointer.clone()));
        Ok(Place {
            file: name,
            root: document,
            node,
            pointer,
            site,
        })
    }
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else {
        return true;
    };
    match value {
        Value::Object(members) => members.values().any(|child| is_deeper_than(child, levels)),
        Value::Array(list) => list.iter().any(|child| is_deeper_than(child, levels)),
        _ => false,
    }
}
