//! The tables at the end of a run.

use std::fmt::Write as _;

use crate::{
    faults::Fault,
    invariants::{Findings, Invariant},
    load::Accesses,
    service::Service,
};

/// The whole report.
pub(crate) fn text(
    service: &Service,
    accesses: &Accesses,
    findings: &Findings,
    memory: &str,
) -> String {
    let mut text = String::new();
    text.push_str("\nfaults injected\n");
    let faults = service.faults();
    for fault in Fault::ALL {
        let count = faults.get(&fault).copied().unwrap_or_default();
        let _ = writeln!(text, "{count:>9}  {}", fault.text());
    }
    text.push_str("\naccesses\n");
    for ((what, how), count) in accesses {
        let _ = writeln!(text, "{count:>9}  {what}: {how}");
    }
    let (requests, data_requests, most) = service.totals();
    let _ = writeln!(
        text,
        "\n{requests} requests, of which {data_requests} to the data API; at most {most} of a store in 60 s; {memory}"
    );
    text.push_str("\n   checks  violations  invariant\n");
    for invariant in Invariant::ALL {
        let finding = findings.of(invariant);
        let (rule, check) = invariant.text();
        let _ = writeln!(
            text,
            "{:>9}  {:>10}  {rule} (counted: {check})",
            finding.checks, finding.violations
        );
    }
    for invariant in Invariant::ALL {
        let finding = findings.of(invariant);
        if finding.violations > 0 {
            let _ = writeln!(
                text,
                "\nviolated {} times: {}",
                finding.violations,
                invariant.text().0
            );
            for (kind, (count, examples)) in finding.examples {
                if !kind.is_empty() {
                    let _ = writeln!(text, "  {count} times {kind}:");
                }
                for example in examples {
                    let _ = writeln!(text, "  - {example}");
                }
            }
        }
    }
    text
}

/// How many violations there are.
pub(crate) fn violations(findings: &Findings) -> u64 {
    let all = Invariant::ALL.into_iter();
    all.map(|invariant| findings.of(invariant).violations).sum()
}
