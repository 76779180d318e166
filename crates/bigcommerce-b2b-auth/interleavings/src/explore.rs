//! Which schedules are tried, and what has to come about in them.

use std::{
    collections::BTreeSet,
    env,
    sync::{Arc, Mutex},
};

use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler},
};

/// How many schedules of each kind are tried unless `INTERLEAVINGS` says otherwise.
const DEFAULT: usize = 5_000;

/// How many tasks the schedules of PCT let wait at the wrong moment. Most bugs need one or two.
const DEPTH: usize = 3;

/// From this many on, everything that a model is about has to have come about.
const ENOUGH: usize = 1_000;

fn iterations() -> usize {
    match env::var("INTERLEAVINGS") {
        Ok(number) => number.parse().expect("INTERLEAVINGS is a number"),
        Err(_) => DEFAULT,
    }
}

/// Tries random schedules of a model, and those of PCT, which are few changes away from running one task after another.
pub(crate) fn explore<F: Future<Output = ()>>(model: impl Fn() -> F + Send + Sync + 'static) {
    let model = Arc::new(model);
    run(RandomScheduler::new(iterations()), &model);
    run(PctScheduler::new(DEPTH, iterations()), &model);
}

/// As [`explore`], and one schedule after another besides. Small models are through before the number is.
pub(crate) fn explore_in_order<F: Future<Output = ()>>(
    model: impl Fn() -> F + Send + Sync + 'static,
) {
    let model = Arc::new(model);
    run(RandomScheduler::new(iterations()), &model);
    run(PctScheduler::new(DEPTH, iterations()), &model);
    let tried = run(DfsScheduler::new(Some(iterations()), false), &model);
    if tried < iterations() {
        println!("all {tried} schedules were tried");
    }
}

fn run<F: Future<Output = ()>>(
    scheduler: impl Scheduler + 'static,
    model: &Arc<impl Fn() -> F + Send + Sync + 'static>,
) -> usize {
    let mut config = Config::new();
    config.stack_size = 0x20000;
    let model = Arc::clone(model);
    Runner::new(scheduler, config).run(move || block_on(model()))
}

/// What came about in any of the schedules. A model that never gets to what it is about would say nothing.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeSet<&'static str>>>);

impl Seen {
    pub(crate) fn note(&self, what: &'static str) {
        self.0.lock().expect("nobody panics with it").insert(what);
    }

    pub(crate) fn must_have(&self, all: &[&'static str]) {
        let seen = self.0.lock().expect("nobody panics with it");
        for what in all {
            assert!(
                iterations() < ENOUGH || seen.contains(what),
                "no schedule came to this: {what}"
            );
        }
    }
}
