//! What a report means for our own crates: the step of the version, and lines for the changelog.
//! A proposal, for a maintainer to judge: what breaks the wire need not break the API of the SDK.

use std::fmt::Write as _;

use super::{Class, Report, Verdict};

/// The step of a version, by the rules for versions below 1.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to release.
    None,
    /// 0.y.z to 0.y.(z+1).
    Patch,
    /// 0.y.z to 0.(y+1).0.
    Minor,
}

/// What a maintainer may want to do after a change of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The step of the version, which all crates share.
    pub step: Step,
    /// Changelog lines of `bigcommerce-b2b-auth-api`.
    pub api: Vec<String>,
    /// Changelog lines of `bigcommerce-b2b-auth`.
    pub sdk: Vec<String>,
}

/// Proposes the step of the version and the changelog lines.
#[must_use]
pub fn propose(report: &Report) -> Proposal {
    let step = if report.count(Class::Breaking) > 0 {
        Step::Minor
    } else if report.changes.is_empty() {
        Step::None
    } else {
        Step::Patch
    };
    let concerns_api = report.changes.iter().filter(|change| {
        change.class != Class::Neutral && change.coping.verdict != Verdict::NotConcerned
    });
    let mut api: Vec<String> = concerns_api
        .clone()
        .map(|change| {
            format!(
                "{}: {} ({})",
                change.operation,
                change.what,
                change.class.name()
            )
        })
        .collect();
    let mut sdk: Vec<String> = concerns_api
        .filter(|change| change.coping.verdict == Verdict::NeedsWork)
        .map(|change| format!("{}: {}", change.operation, change.message()))
        .collect();
    if !report.changes.is_empty() {
        if api.is_empty() {
            api.push("Generated from a newer document that describes the same wire.".to_owned());
        }
        if sdk.is_empty() {
            sdk.push("Goes with a newer document; nothing to do for its users.".to_owned());
        }
    }
    Proposal {
        step,
        api: unique(api),
        sdk: unique(sdk),
    }
}

/// Each line once, in the order of the report.
fn unique(lines: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for line in lines {
        if !kept.contains(&line) {
            kept.push(line);
        }
    }
    kept
}

impl Proposal {
    /// The proposal for a terminal.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = match self.step {
            Step::None => return "No new version: the wire is the same.\n".to_owned(),
            Step::Patch => {
                "Proposed: a patch version (0.y.z to 0.y.z+1), as nothing is breaking.\n".to_owned()
            }
            Step::Minor => {
                "Proposed: a minor version (0.y.z to 0.y+1.0), as something is breaking.\n"
                    .to_owned()
            }
        };
        text.push_str("For CHANGELOG.md:\n");
        for (name, lines) in [
            ("bigcommerce-b2b-auth-api", &self.api),
            ("bigcommerce-b2b-auth", &self.sdk),
        ] {
            let _ = writeln!(text, "`{name}`");
            for line in lines {
                let _ = writeln!(text, "- {line}");
            }
        }
        text
    }
}
