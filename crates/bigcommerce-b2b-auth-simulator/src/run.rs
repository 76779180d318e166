//! Drives a simulation: one event after the other in the order of time, on one thread and a clock that is paused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::{
    Contender, Deploy, Error, Scenario,
    arrivals::{Arrival, Trace},
    contender::Process,
    figures::{BETWEEN_LOOKS, Ending, Figures, Run},
    scenario::DAY_MS,
    world::{World, customer_id},
};

/// Simulates the contenders, each with each deploy, and the ideal.
///
/// # Errors
/// When the scenario is none, or a contender cannot be deployed like this: before anything is simulated.
pub fn simulate(
    scenario: &Scenario,
    runs: &[(Contender, Deploy)],
    mut on_progress: impl FnMut(&str),
) -> Result<Figures, Error> {
    scenario.check()?;
    for (contender, deploy) in runs {
        contender.can_be_deployed(*deploy)?;
    }
    let scenario = Arc::new(scenario.clone());
    let trace = Trace::of(&scenario);
    on_progress(&format!(
        "{} requests on {} days, of which the first is for running in",
        trace.len(),
        scenario.all_days()
    ));
    let mut ideal = run(&scenario, &trace, Contender::Ideal, Deploy::None)?;
    ideal.compare(&ideal.clone());
    on_progress(&ideal.name());
    let mut figures = Figures {
        scenario: Scenario::clone(&scenario),
        ideal,
        runs: Vec::new(),
    };
    for (contender, deploy) in runs {
        let mut run = run(&scenario, &trace, *contender, *deploy)?;
        run.compare(&figures.ideal);
        on_progress(&run.name());
        figures.runs.push(run);
    }
    Ok(figures)
}

fn run(
    scenario: &Arc<Scenario>,
    trace: &Trace,
    contender: Contender,
    deploy: Deploy,
) -> Result<Run, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        // So that one can wait for what runs beside, which is the sweeps of the cache: see `Course::look`.
        .max_blocking_threads(1)
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(async {
        let mut course = Course::begin(scenario, contender, deploy).await?;
        course.go(trace).await?;
        Ok(course.figures())
    })
}

/// What happens besides the shoppers' requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Midnight,
    FaultsBegin,
    OutageBegins,
    OutageEnds,
    Deploy,
    Look,
    Foreign,
}

/// One run, half way.
struct Course {
    world: World,
    process: Process,
    contender: Contender,
    deploy: Deploy,
    /// Requests that wait.
    waiting: Arc<AtomicUsize>,
    /// How many live tokens the SDK had evicted at the end of each day.
    evicted: Vec<u64>,
}

impl Course {
    async fn begin(
        scenario: &Arc<Scenario>,
        contender: Contender,
        deploy: Deploy,
    ) -> Result<Self, Error> {
        let world = World::new(scenario, contender.nature());
        let process = Process::start(contender, deploy, &world).await?;
        Ok(Self {
            world,
            process,
            contender,
            deploy,
            waiting: Arc::default(),
            evicted: Vec::new(),
        })
    }

    /// All events, in order.
    fn events(&self) -> Vec<(u32, Event)> {
        let scenario = &self.world.scenario;
        let end = scenario.all_days() * DAY_MS;
        let between_looks = u32::try_from(BETWEEN_LOOKS.as_millis()).unwrap_or(DAY_MS);
        let looks = (0..end).step_by(between_looks as usize);
        let mut events: Vec<_> = looks.map(|at| (at, Event::Look)).collect();
        events.extend((1..=scenario.all_days()).map(|day| (day * DAY_MS, Event::Midnight)));
        let foreign = self.world.foreign_times().into_iter();
        events.extend(foreign.map(|at| (at, Event::Foreign)));
        if !self.world.nature.is_ideal {
            events.push((DAY_MS, Event::FaultsBegin));
            events.push((scenario.deploy(), Event::Deploy));
            if let Some((begins, ends)) = scenario.outage() {
                events.push((begins, Event::OutageBegins));
                events.push((ends, Event::OutageEnds));
            }
        }
        events.sort_unstable();
        events
    }

    async fn go(&mut self, trace: &Trace) -> Result<(), Error> {
        let mut events = self.events().into_iter().peekable();
        for arrival in trace.iter() {
            while let Some((at_ms, event)) = events.next_if(|(at, _)| *at <= arrival.at_ms) {
                self.meet(at_ms, event).await?;
            }
            self.arrive(arrival).await?;
        }
        for (at_ms, event) in events {
            self.meet(at_ms, event).await?;
        }
        // Everybody's patience ends.
        while self.waiting.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    async fn meet(&mut self, at_ms: u32, event: Event) -> Result<(), Error> {
        self.world.clock.sleep_until_ms(at_ms).await;
        match event {
            Event::Midnight => self.evicted.extend(self.process.evicted_live()),
            Event::FaultsBegin => self.world.begin_faults(),
            Event::OutageBegins => self.world.begin_outage(),
            Event::OutageEnds => self.world.end_outage(),
            Event::Foreign => self.world.foreign_request(),
            Event::Look => self.look(at_ms).await,
            Event::Deploy => {
                self.process
                    .replace(self.contender, self.deploy, &self.world)
                    .await?;
            }
        }
        Ok(())
    }

    async fn look(&self, at_ms: u32) {
        // The cache is swept on a thread beside. There is one such thread, so that this comes after a sweep that has begun.
        let _ = tokio::task::spawn_blocking(|| ()).await;
        let entries = self.process.entries().await;
        let others = self.process.others_per_minute();
        self.world.book.look(at_ms, entries, others);
    }

    async fn arrive(&self, arrival: Arrival) -> Result<(), Error> {
        let Arrival { at_ms, customer } = arrival;
        self.world.clock.sleep_until_ms(at_ms).await;
        let id = customer_id(customer)?;
        if self.process.look(id).await {
            self.world.book.hit(at_ms);
            return Ok(());
        }
        let fetch = self.process.fetch(id);
        let book = Arc::clone(&self.world.book);
        let record = Arc::clone(&self.world.record);
        let clock = self.world.clock;
        let waiting = Arc::clone(&self.waiting);
        waiting.fetch_add(1, Ordering::Relaxed);
        drop(tokio::spawn(async move {
            let ending = match fetch.await {
                Ok(()) => Ending::Served,
                Err(kind) => Ending::Failed {
                    kind,
                    had_live_token: record.has_live_token(customer, clock.elapsed()),
                },
            };
            book.ended(at_ms, ending);
            waiting.fetch_sub(1, Ordering::Relaxed);
        }));
        Ok(())
    }

    fn figures(&self) -> Run {
        self.world
            .book
            .figures(self.contender, self.deploy, &self.evicted)
    }
}
