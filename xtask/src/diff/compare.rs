//! Compares the wires of two documents: which operation is which, where they are reached, who may call them, what they
//! take and what they answer. Schemas are compared in `compare_schema`.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::compare_schema::{self, Direction, Readers, Section, Spot, in_new, in_old, sentence};
use super::coping::{self, Kind, Part, Subject};
use super::place::Reader;
use super::schema::Types;
use super::wire::{self, Content, Operation, Parameter, Reply, Wire, is_success, nameless};
use super::{Change, Class, Side, Unreadable};

/// All changes between two documents, in no order.
pub(super) fn documents<'a>(old: &Reader<'a>, new: &Reader<'a>) -> Result<Vec<Change>, Unreadable> {
    let unchanged = RefCell::default();
    let pairs = Cell::new(0);
    let readers = Readers {
        old,
        new,
        unchanged: &unchanged,
        pairs: &pairs,
    };
    let (old, new) = (wire::read(old)?, wire::read(new)?);
    let mut changes = document_notes(&old, &new);
    let pairs = matched(&old.operations, &new.operations);
    let moved = root_servers(&old, &new, &pairs);
    if moved {
        changes.extend(servers(&old, &new));
    }
    for (one, other) in &pairs {
        operation(readers, one, other, moved, &mut changes)?;
    }
    for gone in &old.operations {
        if !pairs.iter().any(|(one, _)| std::ptr::eq(*one, gone)) {
            let said = format!("{} {} is gone.", gone.method.to_uppercase(), gone.path);
            changes.push(whole(
                gone,
                Class::Breaking,
                Kind::OperationGone,
                in_old(&gone.at),
                said,
            ));
        }
    }
    for fresh in &new.operations {
        if !pairs.iter().any(|(_, other)| std::ptr::eq(*other, fresh)) {
            let said = format!("{} {} is new.", fresh.method.to_uppercase(), fresh.path);
            changes.push(whole(
                fresh,
                Class::Additive,
                Kind::OperationNew,
                in_new(&fresh.at),
                said,
            ));
        }
    }
    // A text that several places share is one text.
    let mut seen = BTreeSet::new();
    changes.retain(|change| {
        change.class != Class::Neutral
            || seen.insert((
                change.operation.clone(),
                change.side,
                change.pointer.clone(),
            ))
    });
    Ok(changes)
}

/// A change of an operation as a whole.
fn whole(operation: &Operation<'_>, class: Class, kind: Kind, spot: Spot, what: String) -> Change {
    change(
        &operation.label(),
        operation.is_selected,
        None,
        class,
        kind,
        spot,
        what,
    )
}

fn change(
    operation: &str,
    is_selected: bool,
    credentials: Option<&BTreeSet<BTreeSet<String>>>,
    class: Class,
    kind: Kind,
    spot: Spot,
    what: String,
) -> Change {
    let coping = coping::of(&Subject {
        class,
        kind,
        part: Part::Whole,
        operation,
        is_selected,
        path: "",
        types: Types::NONE,
        said: "",
        credentials,
    });
    Change {
        class,
        operation: operation.to_owned(),
        side: spot.side,
        pointer: spot.pointer,
        what: sentence(&what),
        coping,
    }
}

/// Texts of the document, of its servers and of its security schemes.
fn document_notes(old: &Wire<'_>, new: &Wire<'_>) -> Vec<Change> {
    let section = Section {
        operation: "-",
        is_selected: false,
        part: Part::Whole,
        direction: Direction::Request,
    };
    // Each member of `info` is a fact of its own.
    let mut topics: BTreeMap<String, (Vec<_>, Vec<_>)> = BTreeMap::new();
    for note in &old.notes {
        let key = format!("{} {}", note.keyword, stem(&note.at));
        topics.entry(key).or_default().0.push(note.clone());
    }
    for note in &new.notes {
        let key = format!("{} {}", note.keyword, stem(&note.at));
        topics.entry(key).or_default().1.push(note.clone());
    }
    let mut changes: Vec<Change> = topics
        .values()
        .flat_map(|(old, new)| section.notes(old, new, ""))
        .collect();
    for (credential, after) in &new.scheme_notes {
        if let Some(before) = old.scheme_notes.get(credential) {
            changes.extend(section.notes(before, after, ""));
        }
    }
    for change in &mut changes {
        change.what = change.what.replacen("The operation", "The document", 1);
    }
    changes
}

/// The first name of a pointer: what part of the root it is in.
fn stem(pointer: &str) -> &str {
    pointer.split('/').nth(1).unwrap_or_default()
}

type Pairs<'w, 'a> = Vec<(&'w Operation<'a>, &'w Operation<'a>)>;

/// Tells whether two operations are the same one.
trait IsSame: Fn(&Operation<'_>, &Operation<'_>) -> bool {}

impl<F: Fn(&Operation<'_>, &Operation<'_>) -> bool> IsSame for F {}

/// Which operation of the old document is which of the new one: the same in all, by `operationId`, by URL, by path.
fn matched<'w, 'a>(old: &'w [Operation<'a>], new: &'w [Operation<'a>]) -> Pairs<'w, 'a> {
    let same_id =
        |one: &Operation<'_>, other: &Operation<'_>| one.id.is_some() && one.id == other.id;
    let same_url = |one: &Operation<'_>, other: &Operation<'_>| {
        one.method == other.method && one.urls.keys().any(|url| other.urls.contains_key(url))
    };
    let same_path = |one: &Operation<'_>, other: &Operation<'_>| {
        one.method == other.method && nameless(one.path) == nameless(other.path)
    };
    let tests: [&dyn IsSame; 4] = [
        &|one, other| same_id(one, other) && same_url(one, other),
        &same_id,
        &same_url,
        &same_path,
    ];
    let mut pairs: Pairs<'w, 'a> = Vec::new();
    let mut left: Vec<&Operation<'a>> = old.iter().collect();
    let mut right: Vec<&Operation<'a>> = new.iter().collect();
    for is_same in tests {
        left.retain(|one| {
            let position = right.iter().position(|other| is_same(one, other));
            let other = position.map(|position| right.remove(position));
            pairs.extend(other.map(|other| (*one, other)));
            other.is_none()
        });
    }
    pairs
}

/// Whether what moved is the servers of the root: every operation that has them kept its path and lost its URL.
fn root_servers(old: &Wire<'_>, new: &Wire<'_>, pairs: &Pairs<'_, '_>) -> bool {
    let with_root: Vec<_> = pairs
        .iter()
        .filter(|(one, other)| one.has_root_servers && other.has_root_servers)
        .collect();
    !with_root.is_empty()
        && !old.servers.keys().eq(new.servers.keys())
        && with_root
            .iter()
            .all(|(one, other)| nameless(one.path) == nameless(other.path))
}

fn servers(old: &Wire<'_>, new: &Wire<'_>) -> Vec<Change> {
    urls_changed(&old.servers, &new.servers)
        .into_iter()
        .map(|(class, kind, spot, what)| {
            let what = format!("The servers: {what}");
            change("-", false, None, class, kind, spot, what)
        })
        .collect()
}

/// What came and went of a set of URLs.
fn urls_changed(
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
) -> Vec<(Class, Kind, Spot, String)> {
    let gone: Vec<_> = old
        .iter()
        .filter(|(url, _)| !new.contains_key(*url))
        .collect();
    let fresh: Vec<_> = new
        .iter()
        .filter(|(url, _)| !old.contains_key(*url))
        .collect();
    if let ([(before, _)], [(after, at)]) = (gone.as_slice(), fresh.as_slice()) {
        let said = format!("{} was {}.", shown(after), shown(before));
        return vec![(Class::Breaking, Kind::UrlChanged, in_new(*at), said)];
    }
    let gone = gone.into_iter().map(|(url, at)| {
        let said = format!("{} is gone.", shown(url));
        (Class::Breaking, Kind::UrlChanged, in_old(at), said)
    });
    let fresh = fresh.into_iter().map(|(url, at)| {
        let said = format!("{} is new.", shown(url));
        (Class::Additive, Kind::UrlNew, in_new(at), said)
    });
    gone.chain(fresh).collect()
}

fn shown(url: &str) -> String {
    let url = if url.is_empty() { "/" } else { url };
    format!("`{url}`")
}

fn operation<'a>(
    readers: Readers<'_, 'a>,
    old: &Operation<'a>,
    new: &Operation<'a>,
    servers_reported: bool,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let label = new.label();
    let label = label.as_str();
    let is_selected = old.is_selected || new.is_selected;
    let whole =
        |class, kind, spot, what: String| change(label, is_selected, None, class, kind, spot, what);
    match (old.id, new.id) {
        (Some(before), Some(after)) if before != after => {
            let what = format!("The operationId is `{after}` and was `{before}`.");
            let spot = in_new(format!("{}/operationId", new.at));
            let known = change(
                before,
                is_selected,
                None,
                Class::Breaking,
                Kind::IdChanged,
                spot,
                what,
            );
            changes.push(Change {
                operation: label.to_owned(),
                ..known
            });
        }
        (Some(before), None) => {
            let what = format!("The operationId `{before}` is gone.");
            let spot = in_old(format!("{}/operationId", old.at));
            changes.push(whole(Class::Breaking, Kind::IdChanged, spot, what));
        }
        (None, Some(_)) => {
            let what = "The operation now has an operationId.".to_owned();
            let spot = in_new(format!("{}/operationId", new.at));
            changes.push(whole(Class::Neutral, Kind::Text, spot, what));
        }
        _ => {}
    }
    if old.method != new.method {
        let what = format!(
            "The method is {} and was {}.",
            new.method.to_uppercase(),
            old.method.to_uppercase()
        );
        changes.push(whole(
            Class::Breaking,
            Kind::MethodChanged,
            in_new(&new.at),
            what,
        ));
    }
    let by_root = servers_reported && old.has_root_servers && new.has_root_servers;
    if !by_root {
        let is_same_path = nameless(old.path) == nameless(new.path);
        for (class, kind, mut spot, what) in urls_changed(&old.urls, &new.urls) {
            if !is_same_path {
                spot = match spot.side {
                    Side::Old => in_old(&old.path_at),
                    Side::New => in_new(&new.path_at),
                };
            }
            changes.push(whole(class, kind, spot, format!("The URL: {what}")));
        }
    }
    let section = Section {
        operation: label,
        is_selected,
        part: Part::Whole,
        direction: Direction::Request,
    };
    changes.extend(section.notes(&old.notes, &new.notes, ""));
    let (old_parameters, new_parameters) = credentials(section, old, new, changes);
    parameters(readers, section, &old_parameters, &new_parameters, changes)?;
    body(readers, section, old, new, changes)?;
    replies(readers, section, old, new, changes)
}

type Parameters<'w, 'a> = BTreeMap<&'w (String, String), &'w Parameter<'a>>;

/// Compares credentials, and gives back the parameters that are none.
///
/// A header that one document states as a credential and the other as a required parameter is the same header.
fn credentials<'w, 'a>(
    section: Section<'_>,
    old: &'w Operation<'a>,
    new: &'w Operation<'a>,
    changes: &mut Vec<Change>,
) -> (Parameters<'w, 'a>, Parameters<'w, 'a>) {
    let split = |one: &'w Operation<'a>, other: &'w Operation<'a>| {
        let mut sets = one.credentials.clone();
        let mut kept = Parameters::new();
        for (key, parameter) in &one.parameters {
            let credential = match key.0.as_str() {
                "header" => format!("header {}", parameter.name),
                location => format!("{location} parameter {}", parameter.name),
            };
            let is_credential_there = other
                .credentials
                .iter()
                .flatten()
                .any(|known| known.eq_ignore_ascii_case(&credential));
            if parameter.required && is_credential_there && !other.parameters.contains_key(key) {
                sets = sets
                    .into_iter()
                    .map(|mut set| {
                        set.insert(credential.clone());
                        set
                    })
                    .collect();
            } else {
                kept.insert(key, parameter);
            }
        }
        (sets, kept)
    };
    let (old_sets, old_parameters) = split(old, new);
    let (new_sets, new_parameters) = split(new, old);
    // Header names are the same in capitals and in small letters.
    let folded = |sets: &BTreeSet<BTreeSet<String>>| -> Vec<BTreeSet<String>> {
        sets.iter()
            .map(|set| set.iter().map(|one| fold(one)).collect())
            .collect()
    };
    let (before, after) = (folded(&old_sets), folded(&new_sets));
    let lost = before
        .iter()
        .any(|set| !after.iter().any(|other| other.is_subset(set)));
    let gained = after
        .iter()
        .any(|set| !before.iter().any(|other| other.is_subset(set)));
    if lost || gained {
        let spot = new
            .security_at
            .as_ref()
            .map(in_new)
            .or_else(|| old.security_at.as_ref().map(in_old))
            .unwrap_or_else(|| in_new(&new.at));
        let class = if lost {
            Class::Breaking
        } else {
            Class::Additive
        };
        let what = format!(
            "The credentials are {} and were {}.",
            sets_shown(&new_sets),
            sets_shown(&old_sets)
        );
        changes.push(change(
            section.operation,
            section.is_selected,
            Some(&new_sets),
            class,
            Kind::Credentials,
            spot,
            what,
        ));
    }
    (old_parameters, new_parameters)
}

/// A credential for comparing: the name of a header without capitals.
fn fold(credential: &str) -> String {
    if credential.starts_with("header ") {
        credential.to_ascii_lowercase()
    } else {
        credential.to_owned()
    }
}

fn sets_shown(sets: &BTreeSet<BTreeSet<String>>) -> String {
    let sets: Vec<String> = sets
        .iter()
        .map(|set| {
            if set.is_empty() {
                "none".to_owned()
            } else {
                let set: Vec<&str> = set.iter().map(String::as_str).collect();
                format!("`{}`", set.join(" and "))
            }
        })
        .collect();
    sets.join(" or ")
}

fn parameters<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Parameters<'_, 'a>,
    new: &Parameters<'_, 'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let mut fresh: Vec<(&(String, String), &Parameter<'a>)> = new
        .iter()
        .filter(|(key, _)| !old.contains_key(*key))
        .map(|(key, parameter)| (*key, *parameter))
        .collect();
    for (key, before) in old {
        let here = Section {
            part: Part::Parameter(before.location, before.name),
            ..section
        };
        if let Some(after) = new.get(key) {
            parameter(readers, here, before, after, changes)?;
            continue;
        }
        // The same name elsewhere is the parameter, moved.
        let moved = fresh
            .iter()
            .position(|(_, after)| after.name.eq_ignore_ascii_case(before.name))
            .map(|position| fresh.remove(position));
        let (spot, said) = match moved {
            Some((_, after)) => (in_new(&after.at), format!("moved to {}", after.location)),
            None => (in_old(&before.at), "is gone".to_owned()),
        };
        changes.push(here.change(
            Class::Breaking,
            Kind::FieldGone,
            spot,
            "",
            Types::NONE,
            &said,
        ));
    }
    for (_, after) in fresh {
        let here = Section {
            part: Part::Parameter(after.location, after.name),
            ..section
        };
        let required = after.required;
        let (class, said) = if required {
            (Class::Breaking, "is new and required")
        } else {
            (Class::Additive, "is new")
        };
        let kind = Kind::FieldNew { required };
        changes.push(here.change(class, kind, in_new(&after.at), "", Types::NONE, said));
    }
    Ok(())
}

/// A parameter of a request, or a header of a reply.
fn parameter<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Parameter<'a>,
    new: &Parameter<'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let is_request = section.direction == Direction::Request;
    let class = |narrower: bool| {
        if narrower == is_request {
            Class::Breaking
        } else {
            Class::Additive
        }
    };
    let mut report = |class, kind, spot, said: &str| {
        changes.push(section.change(class, kind, spot, "", Types::NONE, said));
    };
    match (old.required, new.required) {
        (false, true) => {
            let spot = in_new(new.required_at.as_ref().unwrap_or(&new.at));
            report(class(true), Kind::Required, spot, "is now required");
        }
        (true, false) => {
            let spot = new
                .required_at
                .as_ref()
                .map(in_new)
                .unwrap_or_else(|| in_old(old.required_at.as_ref().unwrap_or(&old.at)));
            report(class(false), Kind::Optional, spot, "is no longer required");
        }
        _ => {}
    }
    if old.style != new.style
        && (takes_style(readers, old, new)? || old.style.contains('/') || new.style.contains('/'))
    {
        let spot = new
            .style_at
            .as_ref()
            .map(in_new)
            .or_else(|| old.style_at.as_ref().map(in_old))
            .unwrap_or_else(|| in_new(&new.at));
        let said = format!("is written as {} and was as {}", new.style, old.style);
        report(Class::Breaking, Kind::Serialised, spot, &said);
    }
    for (liberty, at) in &new.liberties {
        if !old.liberties.contains_key(liberty) {
            report(
                class(false),
                Kind::Wider,
                in_new(at),
                &format!("now has `{liberty}`"),
            );
        }
    }
    for (liberty, at) in &old.liberties {
        if !new.liberties.contains_key(liberty) {
            report(
                class(true),
                Kind::Narrower,
                in_old(at),
                &format!("no longer has `{liberty}`"),
            );
        }
    }
    changes.extend(section.notes(&old.notes, &new.notes, ""));
    changes.extend(compare_schema::compare(
        readers,
        section,
        &old.schema,
        &new.schema,
        !old.required,
    )?);
    Ok(())
}

/// Whether a parameter can be a list or an object: a single value is written the same in every style.
fn takes_style<'a>(
    readers: Readers<'_, 'a>,
    old: &Parameter<'a>,
    new: &Parameter<'a>,
) -> Result<bool, Unreadable> {
    use super::schema::{ARRAY, OBJECT};
    let old = readers.old.flat(&old.schema)?;
    let new = readers.new.flat(&new.schema)?;
    Ok(old.types.and(new.types).has(ARRAY | OBJECT))
}

fn body<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Operation<'a>,
    new: &Operation<'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let section = Section {
        part: Part::Request,
        direction: Direction::Request,
        ..section
    };
    let mut report = |class, kind, spot, said: &str| {
        changes.push(section.change(class, kind, spot, "", Types::NONE, said));
    };
    match (&old.body, &new.body) {
        (None, None) => Ok(()),
        (None, Some(body)) if body.required => {
            report(
                Class::Breaking,
                Kind::BodyNew,
                in_new(&body.at),
                "is new and required",
            );
            Ok(())
        }
        (None, Some(body)) => {
            report(Class::Additive, Kind::BodyNew, in_new(&body.at), "is new");
            Ok(())
        }
        (Some(body), None) => {
            report(Class::Breaking, Kind::BodyGone, in_old(&body.at), "is gone");
            Ok(())
        }
        (Some(old), Some(new)) => {
            match (old.required, new.required) {
                (false, true) => {
                    let spot = in_new(new.required_at.as_ref().unwrap_or(&new.at));
                    report(Class::Breaking, Kind::Required, spot, "is now required");
                }
                (true, false) => {
                    let spot = new
                        .required_at
                        .as_ref()
                        .map(in_new)
                        .unwrap_or_else(|| in_old(old.required_at.as_ref().unwrap_or(&old.at)));
                    report(
                        Class::Additive,
                        Kind::Optional,
                        spot,
                        "is no longer required",
                    );
                }
                _ => {}
            }
            changes.extend(section.notes(&old.notes, &new.notes, ""));
            content(readers, section, &old.content, &new.content, changes)
        }
    }
}

fn content<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Content<'a>,
    new: &Content<'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let mut report = |class, kind, spot, said: &str| {
        changes.push(section.change(class, kind, spot, "", Types::NONE, said));
    };
    let mut fields = Vec::new();
    for (media, (at, schema)) in &new.json {
        if !old.json.contains_key(media) {
            let first = old.json.is_empty() && section.direction == Direction::Reply;
            let kind = if first { Kind::BodyNew } else { Kind::MediaNew };
            report(
                Class::Additive,
                kind,
                in_new(at),
                &format!("may now be {media}"),
            );
        } else if let Some((_, before)) = old.json.get(media) {
            fields.extend(compare_schema::compare(
                readers, section, before, schema, false,
            )?);
        }
    }
    for (media, (at, _)) in &old.json {
        if !new.json.contains_key(media) {
            report(
                Class::Breaking,
                Kind::MediaGone,
                in_old(at),
                &format!("is no longer {media}"),
            );
        }
    }
    for (media, (at, said)) in &new.other {
        let said = match old.other.get(media) {
            None => format!("may now be {media}, which is not JSON"),
            Some((_, before)) if before != said => {
                format!("as {media}, which is not JSON, is another")
            }
            Some(_) => continue,
        };
        report(Class::Neutral, Kind::Text, in_new(at), &said);
    }
    for (media, (at, _)) in &old.other {
        if !new.other.contains_key(media) {
            let said = format!("is no longer {media}, which is not JSON");
            report(Class::Neutral, Kind::Text, in_old(at), &said);
        }
    }
    changes.extend(fields);
    changes.extend(section.notes(&old.notes, &new.notes, ""));
    Ok(())
}

fn replies<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Operation<'a>,
    new: &Operation<'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    let only = |one: &Operation<'a>, other: &Operation<'a>| -> Vec<String> {
        one.replies
            .keys()
            .filter(|status| is_success(status) && !other.replies.contains_key(*status))
            .cloned()
            .collect()
    };
    let (gone, fresh) = (only(old, new), only(new, old));
    let mut exchanged = None;
    if let ([before], [after]) = (gone.as_slice(), fresh.as_slice()) {
        exchanged = Some((before.as_str(), after.as_str()));
    }
    for (status, reply) in &old.replies {
        let to = match exchanged {
            Some((before, after)) if before == status => after,
            _ => status,
        };
        let here = Section {
            part: Part::Reply(to),
            direction: Direction::Reply,
            ..section
        };
        let Some(other) = new.replies.get(to) else {
            let (kind, said) = if is_success(status) {
                (Kind::SuccessStatus, "is gone as a success")
            } else {
                (Kind::StatusGone, "is no longer documented")
            };
            changes.push(status_change(
                here,
                Class::Breaking,
                kind,
                in_old(&reply.at),
                status,
                said,
            ));
            continue;
        };
        if to != status {
            let said = format!("takes the place of {status}");
            changes.push(status_change(
                here,
                Class::Breaking,
                Kind::SuccessStatus,
                in_new(&other.at),
                to,
                &said,
            ));
        }
        replies_pair(readers, here, reply, other, changes)?;
    }
    for (status, reply) in &new.replies {
        if old.replies.contains_key(status) || exchanged.is_some_and(|(_, after)| after == status) {
            continue;
        }
        let here = Section {
            part: Part::Reply(status),
            direction: Direction::Reply,
            ..section
        };
        let (class, kind, said) = if is_success(status) {
            (
                Class::Breaking,
                Kind::SuccessStatus,
                "may come in place of the success that was promised",
            )
        } else {
            (Class::Additive, Kind::StatusNew, "is newly documented")
        };
        changes.push(status_change(
            here,
            class,
            kind,
            in_new(&reply.at),
            status,
            said,
        ));
    }
    Ok(())
}

fn status_change(
    section: Section<'_>,
    class: Class,
    kind: Kind,
    spot: Spot,
    status: &str,
    said: &str,
) -> Change {
    let change = section.change(class, kind, spot, "", Types::NONE, said);
    Change {
        what: format!("Status {status} {said}."),
        ..change
    }
}

fn replies_pair<'a>(
    readers: Readers<'_, 'a>,
    section: Section<'_>,
    old: &Reply<'a>,
    new: &Reply<'a>,
    changes: &mut Vec<Change>,
) -> Result<(), Unreadable> {
    changes.extend(section.notes(&old.notes, &new.notes, ""));
    content(readers, section, &old.content, &new.content, changes)?;
    let here = Section {
        part: Part::ReplyHeader,
        ..section
    };
    for (name, header) in &old.headers {
        match new.headers.get(name) {
            Some(other) => parameter(readers, here, header, other, changes)?,
            None => changes.push(here.change(
                Class::Breaking,
                Kind::FieldGone,
                in_old(&header.at),
                "",
                Types::NONE,
                &format!("`{}` is gone", header.name),
            )),
        }
    }
    for (name, header) in &new.headers {
        if !old.headers.contains_key(name) {
            changes.push(here.change(
                Class::Additive,
                Kind::FieldNew { required: false },
                in_new(&header.at),
                "",
                Types::NONE,
                &format!("`{}` is new", header.name),
            ));
        }
    }
    Ok(())
}
