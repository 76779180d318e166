//! The memory of the process, sampled while it runs.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::invariants::{Findings, Invariant};

/// How much the process may grow after the first third of the run, when most customers have come.
const GROWTH: u64 = 96;
/// How much it may take at any time.
const MOST: u64 = 384;

/// The memory in MiB: after the first third of the run, and at most.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    first: AtomicU64,
    most: AtomicU64,
}

impl Memory {
    /// Samples the memory each second until the process ends.
    pub(crate) fn sample(findings: Arc<Findings>, total: Duration) -> Arc<Self> {
        let memory = Arc::new(Self::default());
        let sampled = Arc::clone(&memory);
        let begins_at = Instant::now() + total / 3;
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Some(now) = resident() else { return };
                sampled.most.fetch_max(now, Ordering::Relaxed);
                if Instant::now() < begins_at {
                    continue;
                }
                let first = match sampled.first.load(Ordering::Relaxed) {
                    0 => {
                        sampled.first.store(now, Ordering::Relaxed);
                        now
                    }
                    first => first,
                };
                findings.checked(Invariant::Memory);
                if now > first + GROWTH || now > MOST {
                    findings.violated(Invariant::Memory, || {
                        format!("{now} MiB, after {first} MiB in the first third")
                    });
                }
            }
        });
        memory
    }

    pub(crate) fn text(&self) -> String {
        format!(
            "{} MiB of memory after the first third, at most {} MiB",
            self.first.load(Ordering::Relaxed),
            self.most.load(Ordering::Relaxed)
        )
    }
}

/// The resident memory in MiB. `None` where the system does not say so.
fn resident() -> Option<u64> {
    const PAGE: u64 = 4_096;
    let told = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = told.split(' ').nth(1)?.parse().ok()?;
    Some(pages * PAGE / (1024 * 1024))
}
