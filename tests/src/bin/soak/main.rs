//! A soak of the SDK: a fault server of its own, callers of several stores in several processes, every fault at once, and rules
//! that must hold throughout. `cargo xtask test soak` builds and runs it.
//!
//! What lives where: `server.rs` the sockets, `service.rs` the service behind them with its log and what the log says,
//! `faults.rs` the faults, `fleet.rs` the processes with their clients, caches and token backends, `load.rs` the callers,
//! `invariants.rs` the rules, `canary.rs` the search for secrets in all that is shown, `memory.rs` and `report.rs` what they say.
//! Nothing here depends on the sandbox.

mod canary;
mod faults;
mod fleet;
mod invariants;
mod load;
mod memory;
mod report;
mod server;
mod service;

use std::{
    env,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use crate::{
    fleet::{INJECTED_PANIC, Result, World},
    invariants::{Findings, Invariant},
    load::Load,
    memory::Memory,
    service::Service,
};

const USAGE: &str = "soak MINUTES SEED";

fn main() -> ExitCode {
    let done = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(Into::into)
        .and_then(|runtime| {
            let done = runtime.block_on(run());
            runtime.shutdown_background();
            done
        });
    match done {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the soak. The number of violations is returned.
async fn run() -> Result<u64> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [minutes, seed] = &arguments[..] else {
        return Err(USAGE.into());
    };
    let seed: u64 = seed.parse().map_err(|_| USAGE)?;
    let minutes: f64 = minutes.parse().map_err(|_| USAGE)?;
    let total = Duration::try_from_secs_f64(minutes * 60.0).map_err(|_| USAGE)?;
    let findings = Arc::new(Findings::default());
    canary::search_log(&findings)?;
    count_panics(&findings);

    let service = Arc::new(Service::new(seed, total, Arc::clone(&findings)));
    let address = server::start(Arc::clone(&service))?;
    let folder = tempfile::tempdir()?;
    let world = World::new(
        Arc::clone(&service),
        address,
        folder.path().to_owned(),
        seed,
    )?;
    let world = Arc::new(world);
    let load = Load::new(Arc::clone(&world), Arc::clone(&findings), total);
    let memory = Memory::sample(Arc::clone(&findings), total);
    load.run(seed).await;
    // What was in flight ends, and overlaps are judged.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    service.tidy();
    world.end();
    let text = report::text(&service, &load.accesses(), &findings, &memory.text());
    let violations = report::violations(&findings);
    let verdict = if violations == 0 {
        "no violation".to_owned()
    } else {
        format!("{violations} violations")
    };
    writeln!(
        io::stdout(),
        "{text}\nseed {seed}, {minutes} minutes: {verdict}"
    )?;
    Ok(violations)
}

/// A panic is a violation, unless it was injected.
fn count_panics(findings: &Arc<Findings>) {
    let findings = Arc::clone(findings);
    std::panic::set_hook(Box::new(move |info| {
        findings.checked(Invariant::NoPanic);
        let said = info.to_string();
        if !said.contains(INJECTED_PANIC) {
            findings.violated(Invariant::NoPanic, || said);
        }
    }));
}
