//! Compares two schemas as one side of the wire sees them: what a request may hold, or what a reply may.
//! Pairs of schemas wait in a queue, so that one that holds itself ends, and what is reported first is the shortest way to it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::coping::{self, Kind, Part, Subject};
use super::place::Reader;
use super::schema::{
    ARRAY, Additional, Choice, Flat, LIMITS, Limit, NULL, Node, Note, OBJECT, RULES, Topic, Types,
    is_narrower,
};
use super::{Change, Class, Side, Unreadable};

/// Who may see the values of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Reply,
}

impl Direction {
    fn narrower(self) -> Class {
        match self {
            Self::Request => Class::Breaking,
            Self::Reply => Class::Additive,
        }
    }

    fn wider(self) -> Class {
        match self {
            Self::Request => Class::Additive,
            Self::Reply => Class::Breaking,
        }
    }
}

/// The two documents.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readers<'r, 'a> {
    pub(super) old: &'r Reader<'a>,
    pub(super) new: &'r Reader<'a>,
    /// Pairs of schemas, with their direction, that hold no change: what one operation shows need not be looked at for the next.
    pub(super) unchanged: &'r RefCell<BTreeSet<String>>,
    /// How many pairs of schemas were looked at.
    pub(super) pairs: &'r Cell<usize>,
}

/// Where changes are gathered, and what they have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'s> {
    pub(super) operation: &'s str,
    pub(super) is_selected: bool,
    pub(super) part: Part<'s>,
    pub(super) direction: Direction,
}

/// Where a change is.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    pub(super) side: Side,
    pub(super) pointer: String,
}

pub(super) fn in_old(pointer: impl Into<String>) -> Spot {
    Spot {
        side: Side::Old,
        pointer: pointer.into(),
    }
}

pub(super) fn in_new(pointer: impl Into<String>) -> Spot {
    Spot {
        side: Side::New,
        pointer: pointer.into(),
    }
}

impl Section<'_> {
    /// A change in the field `path` of this section.
    pub(super) fn change(
        &self,
        class: Class,
        kind: Kind,
        spot: Spot,
        path: &str,
        types: Types,
        said: &str,
    ) -> Change {
        let coping = coping::of(&Subject {
            class,
            kind,
            part: self.part,
            operation: self.operation,
            is_selected: self.is_selected,
            path,
            types,
            said,
            credentials: None,
        });
        Change {
            class,
            operation: self.operation.to_owned(),
            side: spot.side,
            pointer: spot.pointer,
            what: sentence(&format!("{} {said}.", self.named(path))),
            coping,
        }
    }

    /// What a reader calls the field `path` of this section.
    fn named(&self, path: &str) -> String {
        match (self.part, path.is_empty()) {
            (Part::Whole, _) => "the operation".to_owned(),
            (Part::Request, true) => "the request body".to_owned(),
            (Part::Request, false) => format!("`{path}` of the request body"),
            (Part::Parameter(location, name), true) => format!("{location} parameter `{name}`"),
            (Part::Parameter(location, name), false) => {
                format!("`{path}` of {location} parameter `{name}`")
            }
            (Part::Reply(status), true) => format!("the body of reply {status}"),
            (Part::Reply(status), false) => format!("`{path}` of reply {status}"),
            (Part::ReplyHeader, true) => "the reply header".to_owned(),
            (Part::ReplyHeader, false) => format!("the reply header, `{path}`,"),
        }
    }

    /// Changes of what does not touch the wire: one for each keyword, and one for all examples.
    pub(super) fn notes(&self, old: &[Note], new: &[Note], path: &str) -> Vec<Change> {
        // An example is the same alone and in a list of one.
        let subject = |note: &Note| match note.topic {
            Topic::Example => (note.topic, String::new()),
            topic => (topic, note.keyword.clone()),
        };
        let subjects: BTreeSet<(Topic, String)> = old.iter().chain(new).map(subject).collect();
        let mut changes = Vec::new();
        for about in subjects {
            let of = |notes: &[Note]| -> BTreeMap<String, String> {
                notes
                    .iter()
                    .filter(|note| subject(note) == about)
                    .map(|note| (note.value.clone(), note.at.clone()))
                    .collect()
            };
            let (before, after) = (of(old), of(new));
            let fresh = after.iter().find(|(value, _)| !before.contains_key(*value));
            let gone = before.iter().find(|(value, _)| !after.contains_key(*value));
            let spot = match (fresh, gone) {
                (Some((_, at)), _) => in_new(at),
                (None, Some((_, at))) => in_old(at),
                (None, None) => continue,
            };
            let has = match (before.is_empty(), after.is_empty()) {
                (true, _) => "has a new",
                (_, true) => "no longer has the",
                _ => "has another",
            };
            let (topic, keyword) = &about;
            let said = match topic {
                Topic::Text => format!("{has} text (`{keyword}`)"),
                Topic::Example => format!("{has} example"),
                Topic::Deprecation if after.is_empty() => "is no longer deprecated".to_owned(),
                Topic::Deprecation => "is deprecated".to_owned(),
                Topic::Format => format!("{has} format, which is an annotation"),
                Topic::Other => format!("{has} `{keyword}`, which is not on the JSON wire"),
            };
            changes.push(self.change(Class::Neutral, Kind::Text, spot, path, Types::NONE, &said));
        }
        changes
    }
}

/// A sentence begins with a capital, unless with a name.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// A pair of schemas that waits to be compared.
struct Task<'a> {
    old: Node<'a>,
    new: Node<'a>,
    path: String,
    /// Whether a request may leave the value out, so that its default says something.
    may_be_left_out: bool,
    above: Option<Rc<Above>>,
}

/// The pairs that hold a pair.
struct Above {
    key: String,
    above: Option<Rc<Above>>,
}

/// How often a pair of schemas is looked at in one section, so that a component that changed shows in several fields.
const MOST_VISITS: usize = 4;
/// How far below the whole that holds; deeper down a pair that was seen is done, or schemas that hold each other would
/// multiply.
const NEAR: usize = 4;
/// How many pairs are looked at in all.
const MOST_PAIRS: usize = 1_000_000;

/// Compares two schemas.
pub(super) fn compare<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Node<'a>,
    new: &Node<'a>,
    may_be_left_out: bool,
) -> Result<Vec<Change>, Unreadable> {
    Comparison {
        readers,
        section,
        changes: Vec::new(),
        queue: VecDeque::new(),
        visits: BTreeMap::new(),
        probed: Some(BTreeMap::new()),
    }
    .run(Task {
        old: old.clone(),
        new: new.clone(),
        path: String::new(),
        may_be_left_out,
        above: None,
    })
}

struct Comparison<'r, 's, 'a> {
    readers: Readers<'r, 'a>,
    section: Section<'s>,
    changes: Vec<Change>,
    queue: VecDeque<Task<'a>>,
    visits: BTreeMap<String, usize>,
    /// Which alternatives were found to say the same. A probe has none: inside it, choices are matched by name and order.
    probed: Option<BTreeMap<String, bool>>,
}

/// A pair laid flat.
struct Pair<'f, 'a> {
    old_node: &'f Node<'a>,
    new_node: &'f Node<'a>,
    old: &'f Flat<'a>,
    new: &'f Flat<'a>,
    path: &'f str,
    above: Rc<Above>,
}

impl<'a> Comparison<'_, '_, 'a> {
    fn run(mut self, first: Task<'a>) -> Result<Vec<Change>, Unreadable> {
        self.queue.push_back(first);
        while let Some(task) = self.queue.pop_front() {
            let key = self.key(&task.old, &task.new);
            let mut above = task.above.as_deref();
            let mut holds_itself = false;
            let mut depth = 0;
            while let Some(holder) = above {
                holds_itself |= holder.key == key;
                depth += 1;
                above = holder.above.as_deref();
            }
            if self.readers.unchanged.borrow().contains(&key) {
                continue;
            }
            let visits = self.visits.entry(key.clone()).or_default();
            *visits += 1;
            let most = if self.probed.is_some() && depth < NEAR {
                MOST_VISITS
            } else {
                1
            };
            if holds_itself || *visits > most {
                continue;
            }
            let old = self.readers.old.flat(&task.old)?;
            let new = self.readers.new.flat(&task.new)?;
            self.default(&old, &new, &task);
            let above = Rc::new(Above {
                key,
                above: task.above.clone(),
            });
            let pairs = self.readers.pairs;
            pairs.set(pairs.get() + 1);
            if pairs.get() > MOST_PAIRS {
                return Err(self.readers.new.refuse(
                    task.new.at,
                    &format!("is one of more than {MOST_PAIRS} schemas to compare"),
                    "compare documents that share fewer schemas that hold each other",
                ));
            }
            self.flats(&Pair {
                old_node: &task.old,
                new_node: &task.new,
                old: &old,
                new: &new,
                path: &task.path,
                above,
            })?;
            if self.probed.is_none() && self.found_a_difference() {
                break;
            }
        }
        if self.changes.is_empty() {
            let visited = self.visits.into_keys();
            self.readers.unchanged.borrow_mut().extend(visited);
        }
        Ok(self.changes)
    }

    fn key(&self, old: &Node<'a>, new: &Node<'a>) -> String {
        format!(
            "{:?} | {} | {}",
            self.section.direction,
            self.readers.old.key(old),
            self.readers.new.key(new)
        )
    }

    fn found_a_difference(&self) -> bool {
        self.changes
            .iter()
            .any(|change| change.class != Class::Neutral)
    }

    fn report(&mut self, class: Class, kind: Kind, spot: Spot, pair: &Pair<'_, 'a>, said: &str) {
        let change = self
            .section
            .change(class, kind, spot, pair.path, pair.new.types, said);
        self.changes.push(change);
    }

    fn wider(&mut self, kind: Kind, spot: Spot, pair: &Pair<'_, 'a>, said: &str) {
        self.report(self.section.direction.wider(), kind, spot, pair, said);
    }

    fn narrower(&mut self, kind: Kind, spot: Spot, pair: &Pair<'_, 'a>, said: &str) {
        self.report(self.section.direction.narrower(), kind, spot, pair, said);
    }

    fn wait(
        &mut self,
        pair: &Pair<'_, 'a>,
        old: Node<'a>,
        new: Node<'a>,
        path: String,
        may_be_left_out: bool,
    ) {
        self.queue.push_back(Task {
            old,
            new,
            path,
            may_be_left_out,
            above: Some(Rc::clone(&pair.above)),
        });
    }

    fn default(&mut self, old: &Flat<'a>, new: &Flat<'a>, task: &Task<'a>) {
        let (class, spot, said) = match (&old.default, &new.default) {
            (Some((before, _)), Some((after, _))) if before == after => return,
            (None, None) => return,
            (None, Some((after, at))) => (
                Class::Additive,
                in_new(at),
                format!("now has the default {after}"),
            ),
            (Some((before, _)), Some((after, at))) => (
                Class::Breaking,
                in_new(at),
                format!(
                    "has the default {after} and had {before}, so the same request means something else"
                ),
            ),
            (Some((before, at)), None) => (
                Class::Breaking,
                in_old(at),
                format!(
                    "no longer has the default {before}, so what it means to leave it out is open"
                ),
            ),
        };
        let counts = task.may_be_left_out && self.section.direction == Direction::Request;
        let (class, said) = if counts {
            (class, said)
        } else {
            (
                Class::Neutral,
                "has another default, which says nothing here".to_owned(),
            )
        };
        let change = self
            .section
            .change(class, Kind::Default, spot, &task.path, new.types, &said);
        self.changes.push(change);
    }

    fn flats(&mut self, pair: &Pair<'_, 'a>) -> Result<(), Unreadable> {
        let (old, new) = (pair.old, pair.new);
        self.changes
            .extend(self.section.notes(&old.notes, &new.notes, pair.path));
        self.types(pair);
        let common = old.types.and(new.types);
        // Where one of them is open to anything, the types have said it all.
        if common.without_null() == Types::NONE || old.types.is_any() != new.types.is_any() {
            return Ok(());
        }
        // A choice on one side alone: the other side is a choice of one.
        let one_of = |node: &Node<'a>| Choice {
            alternatives: vec![node.clone()],
            at: node.at.clone(),
        };
        match (old.choices.as_slice(), new.choices.as_slice()) {
            ([choice], []) if old.is_nothing_but_a_choice() => {
                return self.choice(pair, choice, &one_of(pair.new_node));
            }
            ([], [choice]) if new.is_nothing_but_a_choice() => {
                return self.choice(pair, &one_of(pair.old_node), choice);
            }
            _ => {}
        }
        self.values(pair, common);
        self.limits(pair, common);
        self.rules(pair, common);
        if common.has(OBJECT) {
            self.fields(pair)?;
        }
        if common.has(ARRAY) && (old.items.is_some() || new.items.is_some()) {
            let items = |flat: &Flat<'a>| {
                flat.items
                    .clone()
                    .unwrap_or_else(|| Node::anything(&flat.at))
            };
            let path = format!("{}[]", pair.path);
            self.wait(pair, items(old), items(new), path, false);
        }
        self.choices(pair)
    }

    fn types(&mut self, pair: &Pair<'_, 'a>) {
        let (old, new) = (pair.old.types, pair.new.types);
        if old == new {
            return;
        }
        let at = in_new(pair.new.type_pointer());
        if old.without_null() == new.without_null() {
            if new.has(NULL) {
                let at = pair.new.null_at.clone().map_or(at, in_new);
                self.wider(Kind::NullNew, at, pair, "may now be null");
            } else {
                self.narrower(Kind::NullGone, at, pair, "may no longer be null");
            }
            return;
        }
        let said = format!("is {} and was {}", new.words(), old.words());
        let class = match self.section.direction {
            Direction::Request if old.within(new) => Class::Additive,
            Direction::Reply if new.within(old) => Class::Additive,
            _ => Class::Breaking,
        };
        self.report(class, Kind::Type, at, pair, &said);
    }

    fn values(&mut self, pair: &Pair<'_, 'a>, common: Types) {
        for of_type in common.each() {
            match (pair.old.values.get(&of_type), pair.new.values.get(&of_type)) {
                (None, None) => {}
                (None, Some(new)) => {
                    self.narrower(
                        Kind::Narrower,
                        in_new(&new.at),
                        pair,
                        "now has a list of values",
                    );
                }
                (Some(old), None) => {
                    self.wider(
                        Kind::ValueNew,
                        in_old(&old.at),
                        pair,
                        "is no longer limited to a list of values",
                    );
                }
                (Some(old), Some(new)) => {
                    for (value, at) in &new.values {
                        if !old.values.contains_key(value) {
                            let said = format!("has the new value {value}");
                            self.wider(Kind::ValueNew, in_new(at), pair, &said);
                        }
                    }
                    for (value, at) in &old.values {
                        if !new.values.contains_key(value) {
                            let said = format!("no longer has the value {value}");
                            self.narrower(Kind::ValueGone, in_old(at), pair, &said);
                        }
                    }
                }
            }
        }
    }

    fn limits(&mut self, pair: &Pair<'_, 'a>, common: Types) {
        for (keyword, of_type, _) in LIMITS {
            if !common.has(of_type) {
                continue;
            }
            let shown = |limit: &Limit| {
                let exclusive = if limit.exclusive { ", exclusive" } else { "" };
                format!("{}{exclusive}", limit.shown)
            };
            match (pair.old.limits.get(keyword), pair.new.limits.get(keyword)) {
                (None, None) => {}
                (None, Some(new)) => {
                    let said = format!("now has `{keyword}` {}", shown(new));
                    self.narrower(Kind::Narrower, in_new(&new.at), pair, &said);
                }
                (Some(old), None) => {
                    let said = format!("no longer has `{keyword}` {}", shown(old));
                    self.wider(Kind::Wider, in_old(&old.at), pair, &said);
                }
                (Some(old), Some(new)) => {
                    let said = format!("has `{keyword}` {} and had {}", shown(new), shown(old));
                    if is_narrower(keyword, new, old) {
                        self.narrower(Kind::Narrower, in_new(&new.at), pair, &said);
                    } else if is_narrower(keyword, old, new) {
                        self.wider(Kind::Wider, in_new(&new.at), pair, &said);
                    }
                }
            }
        }
    }

    fn rules(&mut self, pair: &Pair<'_, 'a>, common: Types) {
        for (keyword, of_types) in RULES {
            if !common.each().any(|of_type| of_types & of_type != 0) {
                continue;
            }
            let nothing = BTreeMap::new();
            let old = pair.old.rules.get(keyword).unwrap_or(&nothing);
            let new = pair.new.rules.get(keyword).unwrap_or(&nothing);
            let added = new.iter().find(|(value, _)| !old.contains_key(*value));
            let gone = old.iter().find(|(value, _)| !new.contains_key(*value));
            match (added, gone) {
                (None, None) => {}
                (Some((value, at)), None) => {
                    let said = format!("now has `{keyword}` {value}");
                    self.narrower(Kind::Narrower, in_new(at), pair, &said);
                }
                (None, Some((value, at))) => {
                    let said = format!("no longer has `{keyword}` {value}");
                    self.wider(Kind::Wider, in_old(at), pair, &said);
                }
                (Some((after, at)), Some((before, _))) => {
                    let said = format!("has `{keyword}` {after} and had {before}");
                    let is_multiple = |of: &str, one: &str| {
                        let (of, one) = (of.parse::<f64>(), one.parse::<f64>());
                        matches!((of, one), (Ok(of), Ok(one)) if of != 0.0 && (one / of).fract() == 0.0)
                    };
                    if keyword == "multipleOf" && is_multiple(before, after) {
                        self.narrower(Kind::Narrower, in_new(at), pair, &said);
                    } else if keyword == "multipleOf" && is_multiple(after, before) {
                        self.wider(Kind::Wider, in_new(at), pair, &said);
                    } else {
                        self.report(Class::Breaking, Kind::Exchanged, in_new(at), pair, &said);
                    }
                }
            }
        }
    }

    /// The fields that this direction can have: what is read-only is in no request, what is write-only in no reply.
    fn visible(
        &self,
        reader: &Reader<'a>,
        flat: &Flat<'a>,
    ) -> Result<BTreeMap<String, Node<'a>>, Unreadable> {
        let mut visible = BTreeMap::new();
        for (name, node) in &flat.properties {
            let property = reader.flat(node)?;
            let hidden = match self.section.direction {
                Direction::Request => property.read_only,
                Direction::Reply => property.write_only,
            };
            if !hidden {
                visible.insert(name.clone(), node.clone());
            }
        }
        for (name, at) in &flat.required {
            if !flat.properties.contains_key(name) {
                let node = match &flat.additional {
                    Additional::Each(node) => node.clone(),
                    _ => Node::anything(at),
                };
                visible.insert(name.clone(), node);
            }
        }
        Ok(visible)
    }

    fn fields(&mut self, pair: &Pair<'_, 'a>) -> Result<(), Unreadable> {
        let old = self.visible(self.readers.old, pair.old)?;
        let new = self.visible(self.readers.new, pair.new)?;
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let path = if pair.path.is_empty() {
                name.clone()
            } else {
                format!("{}.{name}", pair.path)
            };
            let was_required = pair.old.required.get(name);
            let is_required = pair.new.required.get(name);
            let (kind, class, spot, said) = match (old.get(name), new.get(name)) {
                (None, Some(new)) => {
                    let required = is_required.is_some();
                    let class = match self.section.direction {
                        Direction::Request if required => Class::Breaking,
                        _ => Class::Additive,
                    };
                    let said = if required {
                        "is new and required"
                    } else {
                        "is new"
                    };
                    (Kind::FieldNew { required }, class, in_new(&new.at), said)
                }
                (Some(old), None) => (Kind::FieldGone, Class::Breaking, in_old(&old.at), "is gone"),
                (Some(old), Some(new)) => {
                    let may_be_left_out = was_required.is_none();
                    self.wait(
                        pair,
                        old.clone(),
                        new.clone(),
                        path.clone(),
                        may_be_left_out,
                    );
                    match (was_required, is_required) {
                        (None, Some(at)) => {
                            let class = self.section.direction.narrower();
                            (Kind::Required, class, in_new(at), "is now required")
                        }
                        (Some(at), None) => {
                            let class = self.section.direction.wider();
                            (Kind::Optional, class, in_old(at), "is no longer required")
                        }
                        _ => continue,
                    }
                }
                (None, None) => continue,
            };
            let change = self
                .section
                .change(class, kind, spot, &path, Types::NONE, said);
            self.changes.push(change);
        }
        self.additional(pair);
        Ok(())
    }

    fn additional(&mut self, pair: &Pair<'_, 'a>) {
        use Additional::{Closed, Each, Open};
        let gone = |flat: &Flat<'a>| match &flat.additional {
            Closed(at) => at.clone(),
            Each(node) => node.at.clone(),
            Open => flat.at.clone(),
        };
        let direction = self.section.direction;
        match (&pair.old.additional, &pair.new.additional) {
            (Open, Open) | (Closed(_), Closed(_)) => {}
            (Each(old), Each(new)) => {
                let path = format!("{}{{}}", pair.path);
                self.wait(pair, old.clone(), new.clone(), path, false);
            }
            (Open, Closed(at)) => {
                self.narrower(
                    Kind::Narrower,
                    in_new(at),
                    pair,
                    "takes no further fields any more",
                );
            }
            // A map whose values no longer come is a field that is gone.
            (Each(_), Closed(at)) => {
                self.report(
                    Class::Breaking,
                    Kind::FieldGone,
                    in_new(at),
                    pair,
                    "has no further fields any more",
                );
            }
            (Open, Each(node)) => {
                self.narrower(
                    Kind::Narrower,
                    in_new(&node.at),
                    pair,
                    "limits what further fields may hold",
                );
            }
            (Each(_), Open) => {
                self.wider(
                    Kind::Wider,
                    in_old(gone(pair.old)),
                    pair,
                    "no longer limits what further fields may hold",
                );
            }
            // A reader that stumbles over a field more is nobody's: as with a field that is new.
            (Closed(_), Open) if direction == Direction::Reply => {
                let kind = Kind::FieldNew { required: false };
                self.report(
                    Class::Additive,
                    kind,
                    in_old(gone(pair.old)),
                    pair,
                    "may have further fields",
                );
            }
            (Closed(_), Open) => {
                self.wider(
                    Kind::Wider,
                    in_old(gone(pair.old)),
                    pair,
                    "takes further fields",
                );
            }
            (Closed(_), Each(node)) => {
                let kind = Kind::FieldNew { required: false };
                self.report(
                    Class::Additive,
                    kind,
                    in_new(&node.at),
                    pair,
                    "may have further fields",
                );
            }
        }
    }

    fn choices(&mut self, pair: &Pair<'_, 'a>) -> Result<(), Unreadable> {
        let (old, new) = (&pair.old.choices, &pair.new.choices);
        for index in 0..old.len().max(new.len()) {
            match (old.get(index), new.get(index)) {
                (Some(old), Some(new)) => self.choice(pair, old, new)?,
                (None, Some(new)) => {
                    self.narrower(
                        Kind::Narrower,
                        in_new(&new.at),
                        pair,
                        "must now be one of several alternatives",
                    );
                }
                (Some(old), None) => {
                    self.wider(
                        Kind::Wider,
                        in_old(&old.at),
                        pair,
                        "need no longer be one of several alternatives",
                    );
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn choice(
        &mut self,
        pair: &Pair<'_, 'a>,
        old: &Choice<'a>,
        new: &Choice<'a>,
    ) -> Result<(), Unreadable> {
        let mut old: Vec<Node<'a>> = old.alternatives.clone();
        let mut new: Vec<Node<'a>> = new.alternatives.clone();
        // First whatever says the same, then what has the same name, then one after the other.
        let mut index = 0;
        while let Some(one) = old.get(index) {
            let mut same = None;
            for (position, other) in new.iter().enumerate() {
                if self.say_the_same(one, other)? {
                    same = Some(position);
                    break;
                }
            }
            if let Some(position) = same {
                let (one, other) = (old.remove(index), new.remove(position));
                self.wait(pair, one, other, pair.path.to_owned(), false);
            } else {
                index += 1;
            }
        }
        let mut index = 0;
        while let Some(one) = old.get(index) {
            let name = name_of(one);
            let same = new
                .iter()
                .position(|other| name.is_some() && name_of(other) == name);
            if let Some(position) = same {
                let (one, other) = (old.remove(index), new.remove(position));
                self.wait(pair, one, other, pair.path.to_owned(), false);
            } else {
                index += 1;
            }
        }
        let paired = old.len().min(new.len());
        for (one, other) in old.drain(..paired).zip(new.drain(..paired)) {
            self.wait(pair, one, other, pair.path.to_owned(), false);
        }
        for one in old {
            self.narrower(
                Kind::Narrower,
                in_old(&one.at),
                pair,
                "has an alternative less",
            );
        }
        for one in new {
            self.wider(Kind::Type, in_new(&one.at), pair, "has an alternative more");
        }
        Ok(())
    }

    /// Whether nothing but texts would change between two alternatives.
    fn say_the_same(&mut self, old: &Node<'a>, new: &Node<'a>) -> Result<bool, Unreadable> {
        let key = self.key(old, new);
        let Some(probed) = &self.probed else {
            return Ok(false);
        };
        if let Some(same) = probed.get(&key) {
            return Ok(*same);
        }
        let changes = Comparison {
            readers: self.readers,
            section: self.section,
            changes: Vec::new(),
            queue: VecDeque::new(),
            visits: BTreeMap::new(),
            probed: None,
        }
        .run(Task {
            old: old.clone(),
            new: new.clone(),
            path: String::new(),
            may_be_left_out: false,
            above: None,
        })?;
        let same = changes.iter().all(|change| change.class == Class::Neutral);
        if let Some(probed) = &mut self.probed {
            probed.insert(key, same);
        }
        Ok(same)
    }
}

/// The name of an alternative: of the component that it refers to, or its title.
fn name_of(node: &Node<'_>) -> Option<String> {
    let place = node.places.first()?;
    let reference = place.text("$ref");
    let name = reference.rsplit('/').next().unwrap_or_default();
    let name = if name.is_empty() {
        place.text("title")
    } else {
        name
    };
    (!name.is_empty()).then(|| name.to_owned())
}
