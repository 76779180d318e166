//! `openapi/overlay.yaml`: our corrections and descriptions, as OpenAPI Overlay 1.x.
//! An overlay states facts. Every action says why, and one that does nothing any more is an error that names it.

use roas_overlay::apply::{Apply as _, ApplyErrorKind, ApplyOptions};
use roas_overlay::v1_1;
use roas_overlay::validation::Validate as _;
use serde_json::Value;

use crate::error::{Error, Finding};
use crate::load::{self, Source};
use crate::passes;
use crate::pointer;

/// The overlay, below the root of the tree.
pub const OVERLAY: &str = "openapi/overlay.yaml";

/// Actions that are known to be well-formed.
#[derive(Clone, Debug)]
pub struct Overlay {
    file: String,
    parsed: v1_1::overlay::Overlay,
}

/// What an overlay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many actions changed the document.
    pub applied: usize,
    /// Actions that did not apply, in words. Empty for the project's own document, where they are errors.
    pub skipped: Vec<String>,
}

impl Overlay {
    /// No actions.
    #[must_use]
    pub fn none() -> Self {
        Self {
            file: String::new(),
            parsed: v1_1::overlay::Overlay::default(),
        }
    }

    /// Reads the actions of a source.
    ///
    /// # Errors
    /// If it is no overlay, or an action gives no reason in its `description`.
    pub fn parse(source: &Source) -> Result<Self, Error> {
        let document = load::parse(source)?;
        let mut findings = Vec::new();
        for (index, action) in document
            .get("actions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let reason = action.get("description").and_then(Value::as_str);
            if reason.is_none_or(|reason| reason.trim().is_empty()) {
                let target = action.get("target").and_then(Value::as_str);
                findings.push(Finding::new(
                    pointer::element("/actions", index),
                    format!(
                        "action {index} on `{}` does not say why",
                        target.unwrap_or("?")
                    ),
                    "give it a `description` that states the reason",
                ));
            }
        }
        if !findings.is_empty() {
            return Err(Error::Document {
                file: source.name.clone(),
                findings,
            });
        }
        let invalid = |message: String| {
            Finding::new(
                "",
                format!("is not an OpenAPI Overlay 1.1 document: {message}"),
                "see https://spec.openapis.org/overlay/v1.1.0.html",
            )
            .in_file(&source.name)
        };
        let parsed: v1_1::overlay::Overlay =
            serde_json::from_value(document).map_err(|error| invalid(error.to_string()))?;
        parsed.validate(Default::default()).map_err(|error| {
            // The first line counts the others.
            let text = error.to_string();
            let lines = text.lines().skip(1).filter(|line| !line.is_empty());
            let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("- ")).collect();
            invalid(lines.join("; "))
        })?;
        Ok(Self {
            file: source.name.clone(),
            parsed,
        })
    }

    /// Applies every action, in their order.
    ///
    /// With `strict`, an action that matches nothing or changes nothing is an error; without, it is reported and skipped.
    ///
    /// # Errors
    /// With `strict`, as said; in any case a target that is no JSONPath or matches what an overlay cannot change.
    pub fn apply(&self, document: &mut Value, strict: bool) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        let mut idle = Vec::new();
        // What each `remove` took away, to see whether a later action just puts it back.
        let mut removed: Vec<(usize, String, Value)> = Vec::new();
        let mut single = v1_1::overlay::Overlay {
            actions: Vec::new(),
            ..self.parsed.clone()
        };
        for (index, action) in self.parsed.actions.iter().enumerate() {
            single.actions = vec![action.clone()];
            let before = document.clone();
            let complaint = match single.apply(document, ApplyOptions::ErrorOnZeroMatch.into()) {
                Ok(_) if *document == before => Some("changes nothing any more".to_owned()),
                Ok(_) if strict => None,
                Ok(_) => dangling(&before, document).map(|name| {
                    format!("leads to the schema `{name}`, which this document has not")
                }),
                Err(error) if error.kind == ApplyErrorKind::ZeroMatch => {
                    Some("matches nothing".to_owned())
                }
                Err(error) => {
                    let complaint = match error.kind {
                        ApplyErrorKind::PrimitiveActionTarget => {
                            "targets a single value; an overlay changes what holds it".to_owned()
                        }
                        ref other => format!("does not apply: {other}"),
                    };
                    if strict || error.kind != ApplyErrorKind::PrimitiveActionTarget {
                        return Err(self.finding(index, &complaint).in_file(&self.file));
                    }
                    Some(complaint)
                }
            };
            match complaint {
                Some(complaint) => {
                    idle.push(self.finding(index, &complaint));
                    *document = before;
                    // What the action before took away to make room for this one comes back.
                    if !strict && !action.is_remove() {
                        put_back(document, &removed, index);
                    }
                }
                None => {
                    outcome.applied += 1;
                    if action.is_remove() {
                        missing("", &before, document, &mut |at, value| {
                            removed.push((index, at, value.clone()));
                        });
                    }
                }
            }
        }
        for (index, _) in self.parsed.actions.iter().enumerate() {
            let mut taken = removed.iter().filter(|(by, _, _)| *by == index).peekable();
            if taken.peek().is_some()
                && taken.all(|(_, at, value)| document.pointer(at) == Some(value))
            {
                idle.push(self.finding(index, "removes what later actions put back unchanged"));
            }
        }
        if strict && !idle.is_empty() {
            return Err(Error::Document {
                file: self.file.clone(),
                findings: idle,
            });
        }
        outcome.skipped = idle
            .iter()
            .map(|finding| format!("{}: {}", finding.pointer, finding.message))
            .collect();
        Ok(outcome)
    }

    fn finding(&self, index: usize, complaint: &str) -> Finding {
        let action = self.parsed.actions.get(index);
        let target = action.map_or("?", |action| action.target.as_str());
        let why = action
            .and_then(|action| action.description.as_deref())
            .unwrap_or("?");
        Finding::new(
            pointer::element("/actions", index),
            format!(
                "action {index} on `{target}` {complaint} (its reason: {})",
                why.trim()
            ),
            "look at openapi/authentication.yaml: correct the target, or delete the action if the vendor has mended the document",
        )
    }
}

/// A schema that a reference of `after` leads to and that is not there, though all were in `before`.
fn dangling(before: &Value, after: &Value) -> Option<String> {
    let lost = |document: &Value| {
        let mut names = Vec::new();
        passes::collect_references(document, &mut names);
        names.retain(|name| {
            document
                .pointer(&pointer::member("/components/schemas", name))
                .is_none()
        });
        names
    };
    let earlier = lost(before);
    lost(after).into_iter().find(|name| !earlier.contains(name))
}

/// Puts back what the action before `index` removed, where it stood in a mapping that is still there.
fn put_back(document: &mut Value, removed: &[(usize, String, Value)], index: usize) {
    for (_, at, value) in removed.iter().filter(|(by, _, _)| by + 1 == index) {
        let Some((parent, _)) = at.rsplit_once('/') else {
            continue;
        };
        if let (Some(Value::Object(parent)), Some(key)) = (
            document.pointer_mut(parent),
            pointer::segments(at).next_back(),
        ) {
            parent.entry(key).or_insert_with(|| value.clone());
        }
    }
}

/// Calls `found` for every member of an object in `before` that is not in `after`.
fn missing(at: &str, before: &Value, after: &Value, found: &mut dyn FnMut(String, &Value)) {
    if let (Value::Object(before), Value::Object(after)) = (before, after) {
        for (key, value) in before {
            let at = pointer::member(at, key);
            match after.get(key) {
                None => found(at, value),
                Some(after) => missing(&at, value, after, found),
            }
        }
    } else if let (Value::Array(before), Value::Array(after)) = (before, after)
        && before.len() == after.len()
    {
        for (index, (before, after)) in before.iter().zip(after).enumerate() {
            missing(&pointer::element(at, index), before, after, found);
        }
    }
}
