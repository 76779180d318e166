//! A report as text for a terminal, as markdown for the description of a change, and as JSON for a program.
//! All three have the same changes in the same order.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Change, Class, Report, Side, Verdict};

const CLASSES: [Class; 3] = [Class::Breaking, Class::Additive, Class::Neutral];

/// The report as JSON has it, its members in the promised order.
#[derive(Serialize)]
struct Json<'a> {
    summary: Summary,
    changes: Vec<JsonChange<'a>>,
}

#[derive(Serialize)]
struct Summary {
    breaking: usize,
    additive: usize,
    neutral: usize,
}

#[derive(Serialize)]
struct JsonChange<'a> {
    class: &'static str,
    operation: &'a str,
    pointer: &'a str,
    message: String,
}

impl Report {
    /// The report for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for change in &self.changes {
            let _ = writeln!(
                text,
                "{:<8}  {}  {}{}\n          {}",
                change.class.name(),
                change.operation,
                change.pointer,
                of_old(change),
                change.what,
            );
            // Of neutral changes there are many, and the sentence is always the same.
            if change.class != Class::Neutral {
                let _ = writeln!(text, "          {}", change.coping.sentence);
            }
        }
        for note in &self.notes {
            let _ = writeln!(text, "note      {note}");
        }
        let _ = writeln!(text, "{}", self.summary());
        text
    }

    /// The report to paste into the description of a change.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("## Changes on the JSON wire\n\n{}\n", self.summary());
        for class in CLASSES {
            let changes: Vec<&Change> = self
                .changes
                .iter()
                .filter(|change| change.class == class)
                .collect();
            if changes.is_empty() {
                continue;
            }
            let _ = write!(text, "\n### {} ({})\n\n", title(class), changes.len());
            text.push_str("| operation | where | what changed | this SDK |\n|---|---|---|---|\n");
            for change in changes {
                let _ = writeln!(
                    text,
                    "| {} | {}{} | {} | {} |",
                    code(&change.operation),
                    code(&change.pointer),
                    of_old(change),
                    cell(&change.what),
                    cell(change.coping.sentence),
                );
            }
        }
        if !self.notes.is_empty() {
            text.push_str("\n### Not looked at\n\n");
            for note in &self.notes {
                let _ = writeln!(text, "- {note}");
            }
        }
        text
    }

    /// The report for a program.
    #[must_use]
    pub fn json(&self) -> String {
        let report = Json {
            summary: Summary {
                breaking: self.count(Class::Breaking),
                additive: self.count(Class::Additive),
                neutral: self.count(Class::Neutral),
            },
            changes: self
                .changes
                .iter()
                .map(|change| JsonChange {
                    class: change.class.name(),
                    operation: &change.operation,
                    pointer: &change.pointer,
                    message: change.message(),
                })
                .collect(),
        };
        let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The numbers in a line.
    fn summary(&self) -> String {
        if self.changes.is_empty() {
            return "No change.".to_owned();
        }
        let work = self
            .changes
            .iter()
            .filter(|change| change.coping.verdict == Verdict::NeedsWork)
            .count();
        format!(
            "{} breaking, {} additive, {} neutral; {work} for which somebody should look at the SDK.",
            self.count(Class::Breaking),
            self.count(Class::Additive),
            self.count(Class::Neutral),
        )
    }
}

fn title(class: Class) -> &'static str {
    match class {
        Class::Breaking => "Breaking",
        Class::Additive => "Additive",
        Class::Neutral => "Neutral",
    }
}

/// What is gone stands in the old document only.
fn of_old(change: &Change) -> &'static str {
    match change.side {
        Side::Old => " (old document)",
        Side::New => "",
    }
}

/// A name as code, whatever it holds.
fn code(name: &str) -> String {
    let name = cell(name);
    if name.contains('`') {
        name
    } else {
        format!("`{name}`")
    }
}

/// Text that keeps to its cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
