//! A schema laid flat: references followed, `allOf` merged, a choice of simple types turned into a list of types.
//! What two documents say the same comes out the same; each fact keeps the pointer of where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::Unreadable;
use super::place::{Place, Reader};
use crate::load::MAX_DEPTH;
use crate::pointer;

/// A schema before it is laid flat: everything that must hold at once, and where to point at if that is nothing.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    pub(super) places: Vec<Place<'a>>,
    pub(super) at: String,
}

impl<'a> Node<'a> {
    pub(super) fn of(place: Place<'a>) -> Self {
        Self {
            at: place.shown(),
            places: vec![place],
        }
    }

    /// A schema that says nothing.
    pub(super) fn anything(at: &str) -> Self {
        Self {
            places: Vec::new(),
            at: at.to_owned(),
        }
    }
}

/// A set of JSON types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Types {
    bits: u8,
    /// Of numbers only the whole ones.
    integral: bool,
}

pub(super) const NULL: u8 = 1;
pub(super) const BOOLEAN: u8 = 2;
pub(super) const NUMBER: u8 = 4;
pub(super) const STRING: u8 = 8;
pub(super) const ARRAY: u8 = 16;
pub(super) const OBJECT: u8 = 32;
const EVERY: [u8; 6] = [NULL, BOOLEAN, NUMBER, STRING, ARRAY, OBJECT];

impl Types {
    pub(super) const ANY: Self = Self {
        bits: 63,
        integral: false,
    };
    pub(super) const NONE: Self = Self {
        bits: 0,
        integral: false,
    };
    pub(super) const OBJECT: Self = Self {
        bits: OBJECT,
        integral: false,
    };
    const ARRAY: Self = Self {
        bits: ARRAY,
        integral: false,
    };

    fn named(name: &str) -> Option<Self> {
        let bits = match name {
            "null" => NULL,
            "boolean" => BOOLEAN,
            "integer" | "number" => NUMBER,
            "string" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => return None,
        };
        Some(Self {
            bits,
            integral: name == "integer",
        })
    }

    fn of(value: &Value) -> Self {
        let (bits, integral) = match value {
            Value::Null => (NULL, false),
            Value::Bool(_) => (BOOLEAN, false),
            Value::Number(number) => (
                NUMBER,
                number.as_f64().is_some_and(|number| number.fract() == 0.0),
            ),
            Value::String(_) => (STRING, false),
            Value::Array(_) => (ARRAY, false),
            Value::Object(_) => (OBJECT, false),
        };
        Self { bits, integral }
    }

    pub(super) fn has(self, bits: u8) -> bool {
        self.bits & bits != 0
    }

    pub(super) fn is_any(self) -> bool {
        self == Self::ANY
    }

    pub(super) fn is_only(self, bits: u8) -> bool {
        self.bits & !bits == 0
    }

    pub(super) fn without_null(self) -> Self {
        Self {
            bits: self.bits & !NULL,
            ..self
        }
    }

    fn with_null(self) -> Self {
        Self {
            bits: self.bits | NULL,
            ..self
        }
    }

    pub(super) fn and(self, other: Self) -> Self {
        let bits = self.bits & other.bits;
        Self {
            bits,
            integral: bits & NUMBER != 0 && (self.integral || other.integral),
        }
    }

    fn or(self, other: Self) -> Self {
        let fractions =
            (self.has(NUMBER) && !self.integral) || (other.has(NUMBER) && !other.integral);
        let bits = self.bits | other.bits;
        Self {
            bits,
            integral: bits & NUMBER != 0 && !fractions,
        }
    }

    /// Whether every value of this set is in `other` too.
    pub(super) fn within(self, other: Self) -> bool {
        self.and(other) == self
    }

    /// The types one by one.
    pub(super) fn each(self) -> impl Iterator<Item = u8> {
        EVERY.into_iter().filter(move |bit| self.has(*bit))
    }

    /// In words: `string or array`.
    pub(super) fn words(self) -> String {
        if self.is_any() {
            return "anything".to_owned();
        }
        let words: Vec<&str> = self
            .each()
            .filter(|bit| *bit != NULL)
            .chain(self.has(NULL).then_some(NULL))
            .map(|bit| match bit {
                NULL => "null",
                BOOLEAN => "boolean",
                NUMBER if self.integral => "integer",
                NUMBER => "number",
                STRING => "string",
                ARRAY => "array",
                _ => "object",
            })
            .collect();
        if words.is_empty() {
            "nothing".to_owned()
        } else {
            words.join(" or ")
        }
    }
}

/// A bound.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) value: f64,
    pub(super) exclusive: bool,
    /// The bound as the document writes it.
    pub(super) shown: String,
    pub(super) at: String,
}

/// The keywords of bounds: of which type, and whether a larger value is the narrower one.
pub(super) const LIMITS: [(&str, u8, bool); 8] = [
    ("minimum", NUMBER, true),
    ("maximum", NUMBER, false),
    ("minLength", STRING, true),
    ("maxLength", STRING, false),
    ("minItems", ARRAY, true),
    ("maxItems", ARRAY, false),
    ("minProperties", OBJECT, true),
    ("maxProperties", OBJECT, false),
];

/// The keywords that are compared as they stand: of which type.
pub(super) const RULES: [(&str, u8); 24] = [
    ("pattern", STRING),
    ("format", STRING | NUMBER),
    ("contentEncoding", STRING),
    ("contentMediaType", STRING),
    ("contentSchema", STRING),
    ("multipleOf", NUMBER),
    ("uniqueItems", ARRAY),
    ("prefixItems", ARRAY),
    ("contains", ARRAY),
    ("minContains", ARRAY),
    ("maxContains", ARRAY),
    ("additionalItems", ARRAY),
    ("unevaluatedItems", ARRAY),
    ("propertyNames", OBJECT),
    ("patternProperties", OBJECT),
    ("unevaluatedProperties", OBJECT),
    ("dependentRequired", OBJECT),
    ("dependentSchemas", OBJECT),
    ("dependencies", OBJECT),
    ("if", 63),
    ("then", 63),
    ("else", 63),
    ("not", 63),
    // A `type` that JSON does not have.
    ("type", 63),
];

/// The formats that decide which JSON is right. The others are annotations.
const WIRE_FORMATS: [&str; 10] = [
    "date",
    "date-time",
    "time",
    "duration",
    "uuid",
    "ipv4",
    "ipv6",
    "byte",
    "binary",
    "int32",
];

/// A fact that does not touch the wire.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) topic: Topic,
    pub(super) keyword: String,
    /// In canonical form.
    pub(super) value: String,
    pub(super) at: String,
}

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Text,
    Example,
    Deprecation,
    Format,
    Other,
}

/// Which fields an object may have beside its named ones.
#[derive(Clone, Debug)]
pub(super) enum Additional<'a> {
    Open,
    Closed(String),
    Each(Node<'a>),
}

/// A choice that is more than a list of types.
#[derive(Clone, Debug)]
pub(super) struct Choice<'a> {
    pub(super) alternatives: Vec<Node<'a>>,
    pub(super) at: String,
}

/// The values of an `enum`, with where each stands.
#[derive(Clone, Debug)]
pub(super) struct Values {
    /// Canonical value to pointer.
    pub(super) values: BTreeMap<String, String>,
    pub(super) at: String,
}

/// A schema laid flat.
#[derive(Clone, Debug)]
pub(super) struct Flat<'a> {
    pub(super) at: String,
    pub(super) types: Types,
    pub(super) type_at: Option<String>,
    /// Where `null` is allowed by a keyword of its own.
    pub(super) null_at: Option<String>,
    /// By type, where it is restricted.
    pub(super) values: BTreeMap<u8, Values>,
    pub(super) limits: BTreeMap<&'static str, Limit>,
    /// Keyword to canonical value to pointer.
    pub(super) rules: BTreeMap<&'static str, BTreeMap<String, String>>,
    pub(super) items: Option<Node<'a>>,
    pub(super) properties: BTreeMap<String, Node<'a>>,
    /// Name to pointer.
    pub(super) required: BTreeMap<String, String>,
    pub(super) additional: Additional<'a>,
    pub(super) choices: Vec<Choice<'a>>,
    pub(super) default: Option<(String, String)>,
    pub(super) read_only: bool,
    pub(super) write_only: bool,
    pub(super) notes: Vec<Note>,
}

impl<'a> Flat<'a> {
    fn anything(at: String) -> Self {
        Self {
            at,
            types: Types::ANY,
            type_at: None,
            null_at: None,
            values: BTreeMap::new(),
            limits: BTreeMap::new(),
            rules: BTreeMap::new(),
            items: None,
            properties: BTreeMap::new(),
            required: BTreeMap::new(),
            additional: Additional::Open,
            choices: Vec::new(),
            default: None,
            read_only: false,
            write_only: false,
            notes: Vec::new(),
        }
    }

    /// Where the type is said.
    pub(super) fn type_pointer(&self) -> String {
        self.type_at.clone().unwrap_or_else(|| self.at.clone())
    }

    /// Whether it says nothing beside its choices.
    pub(super) fn is_nothing_but_a_choice(&self) -> bool {
        self.limits.is_empty()
            && self.rules.is_empty()
            && self.values.is_empty()
            && self.items.is_none()
            && !self.is_object_like()
    }

    /// Whether it restricts nothing but types and listed values.
    fn is_plain(&self) -> bool {
        self.limits.is_empty()
            && self.rules.is_empty()
            && self.items.is_none()
            && !self.is_object_like()
            && self.choices.is_empty()
    }

    /// Whether it says something of objects.
    pub(super) fn is_object_like(&self) -> bool {
        !self.properties.is_empty()
            || !self.required.is_empty()
            || !matches!(self.additional, Additional::Open)
    }

    fn is_anything(&self) -> bool {
        self.types.is_any() && self.values.is_empty() && self.is_plain()
    }

    /// What holds if both hold; where the types disagree the later one, as the import takes it.
    fn and(self, later: Self) -> Self {
        let types = self.types.and(later.types);
        let disagree = |one: Types, other: Types| {
            one != Types::NONE && other != Types::NONE && one.and(other) == Types::NONE
        };
        if disagree(self.types.without_null(), later.types.without_null()) {
            let mut notes = self.notes;
            notes.extend(later.notes);
            return Self { notes, ..later };
        }
        let additional = match (self.additional, later.additional) {
            (Additional::Open, Additional::Open) => Additional::Open,
            (Additional::Closed(at), Additional::Closed(_))
                if self.properties.keys().eq(later.properties.keys()) =>
            {
                Additional::Closed(at)
            }
            // Beside branches that bring fields of their own a closed one is taken for open, as the import takes it.
            (Additional::Closed(at), Additional::Open)
                if later
                    .properties
                    .keys()
                    .all(|name| self.properties.contains_key(name)) =>
            {
                Additional::Closed(at)
            }
            (Additional::Open, Additional::Closed(at))
                if self
                    .properties
                    .keys()
                    .all(|name| later.properties.contains_key(name)) =>
            {
                Additional::Closed(at)
            }
            (Additional::Each(one), Additional::Each(other)) => Additional::Each(both(one, other)),
            (Additional::Each(one), _) | (_, Additional::Each(one)) => Additional::Each(one),
            _ => Additional::Open,
        };
        let mut limits = self.limits;
        for (keyword, limit) in later.limits {
            let narrower = limits
                .get(keyword)
                .is_none_or(|ours| is_narrower(keyword, &limit, ours));
            if narrower {
                limits.insert(keyword, limit);
            }
        }
        let mut values = self.values;
        for (of_type, theirs) in later.values {
            let common = match values.remove(&of_type) {
                None => theirs,
                Some(mut ours) => {
                    ours.values
                        .retain(|value, _| theirs.values.contains_key(value));
                    ours
                }
            };
            values.insert(of_type, common);
        }
        values.retain(|of_type, _| types.has(*of_type));
        let mut rules = self.rules;
        for (keyword, theirs) in later.rules {
            rules.entry(keyword).or_default().extend(theirs);
        }
        let mut properties = self.properties;
        for (name, theirs) in later.properties {
            let node = match properties.remove(&name) {
                None => theirs,
                Some(ours) => both(ours, theirs),
            };
            properties.insert(name, node);
        }
        let mut required = later.required;
        required.extend(self.required);
        let mut choices = self.choices;
        choices.extend(later.choices);
        let mut notes = self.notes;
        notes.extend(later.notes);
        Self {
            at: self.at,
            type_at: if types == self.types {
                self.type_at.or(later.type_at)
            } else {
                later.type_at.or(self.type_at)
            },
            null_at: self.null_at.or(later.null_at),
            types,
            values,
            limits,
            rules,
            items: match (self.items, later.items) {
                (Some(one), Some(other)) => Some(both(one, other)),
                (one, other) => one.or(other),
            },
            properties,
            required,
            additional,
            choices,
            default: later.default.or(self.default),
            read_only: self.read_only || later.read_only,
            write_only: self.write_only || later.write_only,
            notes,
        }
    }
}

fn both<'a>(one: Node<'a>, other: Node<'a>) -> Node<'a> {
    let mut places = one.places;
    places.extend(other.places);
    Node { places, at: one.at }
}

/// Whether `one` leaves fewer values than `other`.
pub(super) fn is_narrower(keyword: &str, one: &Limit, other: &Limit) -> bool {
    let from_below = LIMITS
        .iter()
        .any(|(name, _, from_below)| *name == keyword && *from_below);
    if one.value == other.value {
        return one.exclusive && !other.exclusive;
    }
    (one.value > other.value) == from_below
}

/// A value with its members in one order and whole numbers written as such.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let members: Vec<String> = sorted
                .into_iter()
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), canonical(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(canonical).collect();
            format!("[{}]", list.join(","))
        }
        Value::Number(number) => match number.as_f64() {
            Some(whole) if number.is_f64() && whole.fract() == 0.0 && whole.abs() < 1e15 => {
                format!("{whole:.0}")
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

impl<'a> Reader<'a> {
    /// What tells a schema from every other, whichever references lead to it.
    pub(super) fn key(&self, node: &Node<'a>) -> String {
        let keys: Vec<String> = node
            .places
            .iter()
            .map(|place| {
                let mut place = place.clone();
                let mut hops = 0;
                while let Some(members) = place.node.as_object()
                    && members.contains_key("$ref")
                    && (members.len() == 1 || !self.is_31)
                    && hops < MAX_DEPTH
                    && let Ok(target) = self.target(&place)
                {
                    place = target;
                    hops += 1;
                }
                place.key()
            })
            .collect();
        keys.join(" & ")
    }

    /// The schema of `node` laid flat.
    pub(super) fn flat(&self, node: &Node<'a>) -> Result<Rc<Flat<'a>>, Unreadable> {
        // A schema that says nothing is nowhere, and points at where it is missed.
        let key = if node.places.is_empty() {
            format!("nothing at {}", node.at)
        } else {
            self.key(node)
        };
        if let Some(flat) = self.flats.borrow().get(&key) {
            return Ok(Rc::clone(flat));
        }
        let mut flat: Option<Flat<'a>> = None;
        for place in &node.places {
            let next = self.flat_place(place, &mut Vec::new())?;
            flat = Some(match flat {
                None => next,
                Some(flat) => flat.and(next),
            });
        }
        let mut flat = flat.unwrap_or_else(|| Flat::anything(node.at.clone()));
        imply_type(&mut flat);
        let flat = Rc::new(flat);
        self.flats.borrow_mut().insert(key, Rc::clone(&flat));
        Ok(flat)
    }

    fn flat_place(
        &self,
        place: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<Flat<'a>, Unreadable> {
        let length = chain.len();
        self.enter(place, chain)?;
        let flat = self.flat_here(place, chain);
        chain.truncate(length);
        flat
    }

    fn flat_here(
        &self,
        place: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<Flat<'a>, Unreadable> {
        match place.node {
            Value::Bool(true) => return Ok(Flat::anything(place.shown())),
            Value::Bool(false) => {
                return Ok(Flat {
                    types: Types::NONE,
                    ..Flat::anything(place.shown())
                });
            }
            _ => self.mapping(place)?,
        };
        if place.node.get("$ref").is_some() {
            let target = self.flat_place(&self.target(place)?, chain)?;
            if !self.is_31 {
                return Ok(target);
            }
            let siblings = self.own_keywords(place, chain)?;
            let mut flat = target.and(siblings);
            // The text beside a reference replaces the one that it leads to.
            let own: BTreeSet<String> = flat
                .notes
                .iter()
                .filter(|note| note.at == pointer::member(&place.shown(), &note.keyword))
                .map(|note| note.keyword.clone())
                .collect();
            flat.notes.retain(|note| {
                !own.contains(&note.keyword)
                    || note.at == pointer::member(&place.shown(), &note.keyword)
            });
            return Ok(flat);
        }
        self.own_keywords(place, chain)
    }

    fn own_keywords(
        &self,
        place: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<Flat<'a>, Unreadable> {
        let mut flat = Flat::anything(place.shown());
        let nullable = (!self.is_31).then(|| place.get("nullable")).flatten();
        let is_nullable = place.flag("nullable") && !self.is_31;
        for (key, member) in place.members() {
            self.keyword(&mut flat, place, key, &member)?;
        }
        if is_nullable && place.node.get("type").is_some() {
            flat.types = flat.types.with_null();
        }
        self.listed_values(&mut flat, place, is_nullable);
        let mut merged: Option<Flat<'a>> = None;
        if let Some(branches) = place.get("allOf") {
            for branch in self.list(&branches)? {
                if self.leaves_out(&branch) {
                    continue;
                }
                let branch = self.flat_place(&branch, chain)?;
                merged = Some(match merged {
                    None => branch,
                    Some(merged) => merged.and(branch),
                });
            }
        }
        let mut flat = match merged {
            Some(merged) => {
                let at = flat.at.clone();
                Flat {
                    at: if merged.type_at.is_some() {
                        merged.at.clone()
                    } else {
                        at
                    },
                    ..merged.and(flat)
                }
            }
            None => flat,
        };
        for keyword in ["oneOf", "anyOf"] {
            if let Some(alternatives) = place.get(keyword) {
                let choice = self.choice(&alternatives, chain)?;
                flat = flat.and(choice);
            }
        }
        // Beside a composition without a type of its own, `nullable` is meant for the whole.
        if is_nullable && place.node.get("type").is_none() {
            flat.types = flat.types.with_null();
        }
        if let Some(nullable) = nullable.filter(|_| is_nullable) {
            flat.null_at = Some(nullable.shown());
        }
        Ok(flat)
    }

    pub(super) fn list(&self, place: &Place<'a>) -> Result<Vec<Place<'a>>, Unreadable> {
        if place.node.is_array() {
            Ok(place.elements())
        } else {
            Err(self.refuse(
                place.shown(),
                "is not a list",
                "correct it, as OpenAPI has it",
            ))
        }
    }

    fn keyword(
        &self,
        flat: &mut Flat<'a>,
        place: &Place<'a>,
        key: &str,
        member: &Place<'a>,
    ) -> Result<(), Unreadable> {
        let at = member.shown();
        let value = member.node;
        let mut rule = |keyword: &'static str, value: String| {
            flat.rules
                .entry(keyword)
                .or_default()
                .insert(value, at.clone());
        };
        match key {
            "$ref" | "$defs" | "definitions" | "$schema" | "$id" | "$anchor" | "nullable"
            | "enum" | "const" | "allOf" | "oneOf" | "anyOf" => {}
            "type" => {
                let names: Vec<&str> = match value {
                    Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                    other => other.as_str().into_iter().collect(),
                };
                let types: Option<Vec<Types>> = names.into_iter().map(Types::named).collect();
                match types {
                    Some(types) if !types.is_empty() => {
                        flat.types = types.into_iter().fold(Types::NONE, Types::or);
                        flat.type_at = Some(at);
                    }
                    _ => rule("type", canonical(value)),
                }
            }
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                self.number_limit(flat, place, key, member);
            }
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" => {
                let keyword = LIMITS.iter().find(|(name, ..)| *name == key);
                if let (Some((keyword, _, from_below)), Some(limit)) = (keyword, value.as_f64())
                    && !(*from_below && limit <= 0.0)
                {
                    let limit = Limit {
                        value: limit,
                        exclusive: false,
                        shown: canonical(value),
                        at,
                    };
                    flat.limits.insert(keyword, limit);
                }
            }
            "format" => {
                let format = value.as_str().unwrap_or_default();
                if WIRE_FORMATS.contains(&format) {
                    rule("format", format.to_owned());
                } else if !format.is_empty() {
                    flat.notes.push(note(Topic::Format, key, value, at));
                }
            }
            "uniqueItems" if value == &Value::Bool(false) => {}
            "items" if value.is_object() || value.is_boolean() => {
                flat.items = Some(Node::of(member.clone()));
            }
            "properties" => {
                self.mapping(member)?;
                for (name, property) in member.members() {
                    if property.node != &Value::Bool(false) {
                        flat.properties.insert(name.to_owned(), Node::of(property));
                    }
                }
            }
            "required" => {
                // A flag here is a mistake of OpenAPI 2 that real documents make: it says nothing.
                for name in member.elements() {
                    if let Some(text) = name.node.as_str() {
                        flat.required.insert(text.to_owned(), name.shown());
                    }
                }
            }
            "additionalProperties" => match value {
                Value::Bool(true) => {}
                Value::Bool(false) => flat.additional = Additional::Closed(at),
                Value::Object(members) if members.is_empty() => {}
                _ => {
                    self.mapping(member)?;
                    flat.additional = Additional::Each(Node::of(member.clone()));
                }
            },
            "default" => flat.default = Some((canonical(value), at)),
            "readOnly" => flat.read_only = value == &Value::Bool(true),
            "writeOnly" => flat.write_only = value == &Value::Bool(true),
            "unevaluatedProperties" | "unevaluatedItems" if value == &Value::Bool(true) => {}
            _ => {
                if let Some((keyword, _)) = RULES.iter().find(|(name, _)| *name == key) {
                    let value = self.unfolded(member, &mut Vec::new())?;
                    flat.rules
                        .entry(keyword)
                        .or_default()
                        .insert(canonical(&value), at);
                } else {
                    flat.notes.extend(self.annotation(key, member));
                }
            }
        }
        Ok(())
    }

    /// `minimum` and `exclusiveMinimum`, which is a flag beside it in 3.0 and a number of its own in 3.1.
    fn number_limit(&self, flat: &mut Flat<'a>, place: &Place<'a>, key: &str, member: &Place<'a>) {
        let (keyword, exclusive) = match key {
            "minimum" => ("minimum", place.flag("exclusiveMinimum")),
            "maximum" => ("maximum", place.flag("exclusiveMaximum")),
            "exclusiveMinimum" => ("minimum", true),
            _ => ("maximum", true),
        };
        let Some(value) = member.node.as_f64() else {
            return;
        };
        let mut limit = Limit {
            value,
            exclusive,
            shown: canonical(member.node),
            at: member.shown(),
        };
        // Of whole numbers, more than 0 is at least 1.
        if exclusive && place.text("type") == "integer" && value.fract() == 0.0 {
            limit.value += if keyword == "minimum" { 1.0 } else { -1.0 };
            limit.exclusive = false;
            limit.shown = format!("{:.0}", limit.value);
        }
        let narrower = flat
            .limits
            .get(keyword)
            .is_none_or(|ours| is_narrower(keyword, &limit, ours));
        if narrower {
            flat.limits.insert(keyword, limit);
        }
    }

    /// `enum` and `const`. Whether `null` is allowed is a matter of types.
    fn listed_values(&self, flat: &mut Flat<'a>, place: &Place<'a>, is_nullable: bool) {
        let listed: Vec<Place<'a>> = match (place.get("const"), place.get("enum")) {
            (Some(constant), _) => vec![constant],
            (None, Some(list)) if list.node.is_array() => list.elements(),
            _ => return,
        };
        let at = place
            .get("const")
            .or_else(|| place.get("enum"))
            .map(|place| place.shown())
            .unwrap_or_default();
        let mut types = listed
            .iter()
            .map(|value| Types::of(value.node))
            .fold(Types::NONE, Types::or);
        if is_nullable {
            types = types.with_null();
        }
        let narrowed = flat.types.and(types);
        if narrowed != flat.types && flat.type_at.is_none() {
            flat.type_at = Some(at.clone());
        }
        flat.types = narrowed;
        for value in listed {
            let of_type = Types::of(value.node).bits;
            if of_type != NULL && flat.types.has(of_type) {
                let values = flat.values.entry(of_type).or_insert_with(|| Values {
                    values: BTreeMap::new(),
                    at: at.clone(),
                });
                values.values.insert(canonical(value.node), value.shown());
            }
        }
        if flat
            .values
            .get(&BOOLEAN)
            .is_some_and(|both| both.values.len() == 2)
        {
            flat.values.remove(&BOOLEAN);
        }
    }

    /// A choice: a list of types where the alternatives are told apart by their type, else as it stands.
    fn choice(
        &self,
        alternatives: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<Flat<'a>, Unreadable> {
        let at = alternatives.shown();
        let mut flats = Vec::new();
        let mut nodes = Vec::new();
        let mut null = false;
        for alternative in self.list(alternatives)? {
            let mut flat = self.flat_place(&alternative, chain)?;
            imply_type(&mut flat);
            if flat.types != Types::NONE && flat.types.is_only(NULL) {
                null = true;
            } else {
                nodes.push(Node::of(alternative));
                flats.push(flat);
            }
        }
        let mut merged = if flats.iter().any(Flat::is_anything) {
            Flat::anything(at.clone())
        } else if flats.len() == 1 {
            flats.pop().unwrap_or_else(|| Flat::anything(at.clone()))
        } else {
            match simple_choice(&at, &flats) {
                Some(merged) => merged,
                None => Flat {
                    types: flats
                        .iter()
                        .map(|flat| flat.types)
                        .fold(Types::NONE, Types::or),
                    choices: vec![Choice {
                        alternatives: nodes,
                        at: at.clone(),
                    }],
                    ..Flat::anything(at.clone())
                },
            }
        };
        if null {
            merged.types = merged.types.with_null();
            merged.null_at = merged.null_at.or(Some(at));
        }
        Ok(merged)
    }

    /// A value with its references followed and its annotations dropped, to be compared as a whole.
    pub(super) fn unfolded(
        &self,
        place: &Place<'a>,
        chain: &mut Vec<String>,
    ) -> Result<Value, Unreadable> {
        self.step(place)?;
        match place.node {
            Value::Object(members) => {
                if members.get("$ref").is_some_and(Value::is_string) {
                    let target = self.target(place)?;
                    let key = target.key();
                    // What holds itself is cut where it begins again; so is what only multiplies.
                    if chain.contains(&key) || chain.len() > 16 {
                        return Ok(Value::from("…"));
                    }
                    chain.push(key);
                    let unfolded = self.unfolded(&target, chain);
                    chain.pop();
                    return unfolded;
                }
                place
                    .members()
                    .into_iter()
                    .filter(|(key, member)| {
                        !(key.starts_with("x-")
                            || [
                                "title",
                                "description",
                                "summary",
                                "example",
                                "examples",
                                "$comment",
                            ]
                            .contains(key)
                                && (member.node.is_string() || key.starts_with("ex")))
                    })
                    .map(|(key, member)| Ok((key.to_owned(), self.unfolded(&member, chain)?)))
                    .collect::<Result<_, _>>()
                    .map(Value::Object)
            }
            Value::Array(_) => place
                .elements()
                .iter()
                .map(|element| self.unfolded(element, chain))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            scalar => Ok(scalar.clone()),
        }
    }

    /// What a member that is no fact of the wire says.
    pub(super) fn annotation(&self, key: &str, member: &Place<'a>) -> Vec<Note> {
        let at = member.shown();
        let topic = match key {
            "title" | "description" | "summary" | "$comment" | "externalDocs" => Topic::Text,
            "example" => Topic::Example,
            "examples" => {
                let values: Vec<Place<'a>> = if member.node.is_array() {
                    member.elements()
                } else {
                    member
                        .members()
                        .into_iter()
                        .map(|(_, value)| value)
                        .collect()
                };
                return values
                    .into_iter()
                    .map(|value| {
                        let shown = value.get("value").unwrap_or_else(|| value.clone());
                        note(Topic::Example, key, shown.node, value.shown())
                    })
                    .collect();
            }
            "deprecated" => Topic::Deprecation,
            _ => Topic::Other,
        };
        let says_nothing = match member.node {
            Value::Null | Value::Bool(false) => topic != Topic::Example,
            Value::String(text) => topic == Topic::Text && text.trim().is_empty(),
            Value::Array(list) => list.is_empty() && topic != Topic::Example,
            Value::Object(members) => members.is_empty() && topic != Topic::Example,
            _ => false,
        };
        if says_nothing {
            Vec::new()
        } else {
            vec![note(topic, key, member.node, at)]
        }
    }
}

fn note(topic: Topic, keyword: &str, value: &Value, at: String) -> Note {
    let value = match value {
        Value::String(text) => canonical(&Value::from(text.trim())),
        other => canonical(other),
    };
    Note {
        topic,
        keyword: keyword.to_owned(),
        value,
        at,
    }
}

/// A schema that speaks of fields alone means an object, one that speaks of elements alone an array.
fn imply_type(flat: &mut Flat<'_>) {
    if flat.types.is_any() && flat.values.is_empty() && flat.choices.is_empty() {
        if flat.is_object_like() {
            flat.types = Types::OBJECT;
        } else if flat.items.is_some() {
            flat.types = Types::ARRAY;
        }
    }
}

/// One flat schema for alternatives that differ in their types, or that only list values.
fn simple_choice<'a>(at: &str, flats: &[Flat<'a>]) -> Option<Flat<'a>> {
    let mut merged = Flat {
        types: Types::NONE,
        type_at: Some(at.to_owned()),
        ..Flat::anything(at.to_owned())
    };
    let mut seen: Vec<&Flat<'a>> = Vec::new();
    for flat in flats {
        if !flat.choices.is_empty() {
            return None;
        }
        for of_type in flat.types.each().filter(|of_type| *of_type != NULL) {
            let before = seen.iter().find(|before| before.types.has(of_type));
            match before {
                None => {
                    if let Some(values) = flat.values.get(&of_type) {
                        merged.values.insert(of_type, values.clone());
                    }
                }
                Some(before) if before.is_plain() && flat.is_plain() => {
                    // Either lists its values, or one of them takes any.
                    match (merged.values.get_mut(&of_type), flat.values.get(&of_type)) {
                        (Some(ours), Some(theirs)) => ours.values.extend(theirs.values.clone()),
                        _ => {
                            merged.values.remove(&of_type);
                        }
                    }
                }
                Some(_) => return None,
            }
        }
        // A rule for every type would fall on the other alternatives too.
        let general = flat
            .rules
            .keys()
            .any(|keyword| RULES.iter().any(|(name, of)| name == keyword && *of == 63));
        if general {
            return None;
        }
        merged.types = merged.types.or(flat.types);
        merged.limits.extend(flat.limits.clone());
        for (keyword, values) in &flat.rules {
            // `format` is a rule of strings and of numbers alike.
            if merged.rules.insert(keyword, values.clone()).is_some() {
                return None;
            }
        }
        merged.items = merged.items.or_else(|| flat.items.clone());
        if flat.is_object_like() {
            merged.properties = flat.properties.clone();
            merged.required = flat.required.clone();
            merged.additional = flat.additional.clone();
        }
        merged.notes.extend(flat.notes.clone());
        merged.default = merged.default.or_else(|| flat.default.clone());
        seen.push(flat);
    }
    // Alternatives of numbers and whole numbers: a list of values holds for both or for neither.
    Some(merged)
}
