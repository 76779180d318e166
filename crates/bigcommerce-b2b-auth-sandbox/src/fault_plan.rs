//! When a fault strikes: by chance from a seed, by script, or for as long as a switch is on.
//! Every decision is a function of the seed and of how many requests came before, of no clock and
//! no thread: what failed once fails again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::fault::Fault;
use crate::operations::Operation;

/// Which requests fail by chance, and how.
///
/// The nth request to an operation meets the same fate whenever the seed and the rates are the
/// same, whatever other operations are called in between. The rates of all the rules that apply
/// to an operation add up: no request meets two faults, and what goes beyond 1 is cut off, later
/// rules first.
///
/// ```
/// use bigcommerce_b2b_auth_sandbox::{Fault, FaultPlan, Moment, Operation, Sandbox};
/// use axum::http::StatusCode;
///
/// let plan = FaultPlan::new(7)
///     // One request in ten loses its reply, whatever it asks for,
///     .rate(None, 0.1, Fault::ResetBeforeReply { moment: Moment::AfterEffect })
///     // and one mint in a hundred is the first of five that end in a 502.
///     .burst(Operation::Mint, 0.01, 5, Fault::HtmlError {
///         status: StatusCode::BAD_GATEWAY,
///         moment: Moment::BeforeEffect,
///     });
/// let sandbox = Sandbox::builder().faults(plan).build();
/// assert_eq!(sandbox.faults_injected(), 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan does nothing until a sandbox gets it"]
pub struct FaultPlan {
    seed: u64,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    operation: Option<Operation>,
    probability: f64,
    times: usize,
    fault: Fault,
}

impl FaultPlan {
    /// A plan without any rule: nothing fails.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rules: Vec::new(),
        }
    }

    /// A plan in which this share of all requests fails, each kind of fault as often as any other:
    /// for trying an application by hand.
    ///
    /// Every form in the [catalogue](Fault::catalogue) is in it, except those that make a person
    /// wait or send megabytes.
    pub fn mixed(seed: u64, probability: f64) -> Self {
        let mixture: Vec<_> = Fault::catalogue()
            .into_iter()
            .map(|(_, fault)| fault)
            .filter(|fault| {
                !matches!(
                    fault,
                    Fault::StallBeforeReply { .. }
                        | Fault::StallInHead
                        | Fault::StallInBody
                        | Fault::SlowBody { .. }
                        | Fault::EndlessBody
                )
            })
            .collect();
        // There are a few dozen of them: no precision is lost.
        let kinds = u32::try_from(mixture.len()).unwrap_or(u32::MAX).max(1);
        let each = probability.clamp(0.0, 1.0) / f64::from(kinds);
        mixture
            .into_iter()
            .fold(Self::new(seed), |plan, fault| plan.rate(None, each, fault))
    }

    /// Lets requests to one operation fail, or with `None` those to each of them.
    ///
    /// The probability is from 0 to 1; what is below or not a number counts as 0.
    pub fn rate(
        self,
        operation: impl Into<Option<Operation>>,
        probability: f64,
        fault: Fault,
    ) -> Self {
        self.burst(operation, probability, 1, fault)
    }

    /// Lets failures come in bursts: once it strikes, `times` requests to that operation fail in a
    /// row, the first one counted.
    pub fn burst(
        mut self,
        operation: impl Into<Option<Operation>>,
        probability: f64,
        times: usize,
        fault: Fault,
    ) -> Self {
        self.rules.push(Rule {
            operation: operation.into(),
            // `max` takes the number where the other is none.
            probability: probability.max(0.0),
            times,
            fault,
        });
        self
    }

    /// The rule that strikes the `number`th request to an operation.
    fn strike(&self, operation: Operation, number: u64) -> Option<&Rule> {
        let mut left = self.chance(operation, number);
        self.rules
            .iter()
            .filter(|rule| rule.operation.is_none_or(|only| only == operation))
            .find(|rule| {
                left -= rule.probability;
                left < 0.0
            })
    }

    /// A number from 0 up to, not including, 1.
    fn chance(&self, operation: Operation, number: u64) -> f64 {
        let digest: [u8; 32] = Sha256::new()
            .chain_update("bigcommerce-b2b-auth-sandbox fault")
            .chain_update(self.seed.to_be_bytes())
            .chain_update(operation.operation_id())
            .chain_update(number.to_be_bytes())
            .finalize()
            .into();
        let bits = digest
            .iter()
            .take(4)
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        f64::from(bits) / 2_f64.powi(32)
    }
}

/// Where all that is arranged meets, and what came of it is counted. It stands behind the lock of
/// the sandbox's state.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    plan: Option<FaultPlan>,
    /// How many requests to each operation the plan has seen.
    seen: BTreeMap<Operation, u64>,
    /// What is left of a burst of the plan.
    bursts: BTreeMap<Operation, (usize, Fault)>,
    /// The scripted fates, `None` for a request that is to pass, each with how often.
    script: BTreeMap<Operation, VecDeque<(Option<Fault>, usize)>>,
    outage: Option<Fault>,
    maintenance: BTreeSet<String>,
    /// Whether the next request in-process finds its connection closed.
    pub(crate) closed_on_reuse: bool,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn new(plan: Option<FaultPlan>) -> Self {
        Self {
            plan,
            ..Self::default()
        }
    }

    /// Puts another plan in place of the one before, from its beginning.
    pub(crate) fn set_plan(&mut self, plan: Option<FaultPlan>) {
        self.plan = plan;
        self.seen.clear();
        self.bursts.clear();
    }

    pub(crate) fn script(&mut self, operation: Operation, fate: Option<Fault>, times: usize) {
        if times > 0 {
            let queue = self.script.entry(operation).or_default();
            queue.push_back((fate, times));
        }
    }

    pub(crate) fn set_outage(&mut self, fault: Option<Fault>) {
        self.outage = fault;
    }

    pub(crate) fn set_maintenance(&mut self, store_hash: &str, on: bool) {
        if on {
            self.maintenance.insert(store_hash.to_owned());
        } else {
            self.maintenance.remove(store_hash);
        }
    }

    pub(crate) fn in_maintenance(&self, store_hash: &str) -> bool {
        self.maintenance.contains(store_hash)
    }

    /// Ends everything that is arranged. The counts stay.
    pub(crate) fn clear(&mut self) {
        *self = Self {
            counts: std::mem::take(&mut self.counts),
            ..Self::default()
        };
    }

    /// The fate of a request whose head has arrived. An outage goes before the script, and the
    /// script before chance.
    pub(crate) fn draw(&mut self, operation: Option<Operation>) -> Option<Fault> {
        let fault = match (&self.outage, operation) {
            (Some(fault), _) => Some(fault.clone()),
            (None, Some(operation)) => match self.scripted(operation) {
                Some(fate) => fate,
                None => self.by_chance(operation),
            },
            (None, None) => None,
        }?;
        self.count(&fault);
        Some(fault)
    }

    pub(crate) fn count(&mut self, fault: &Fault) {
        *self.counts.entry(fault.name()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    fn scripted(&mut self, operation: Operation) -> Option<Option<Fault>> {
        let queue = self.script.get_mut(&operation)?;
        let (fate, times) = queue.front_mut()?;
        *times -= 1;
        if *times > 0 {
            return Some(fate.clone());
        }
        queue.pop_front().map(|(fate, _)| fate)
    }

    fn by_chance(&mut self, operation: Operation) -> Option<Fault> {
        let plan = self.plan.as_ref()?;
        let seen = self.seen.entry(operation).or_default();
        let number = *seen;
        *seen += 1;
        if let Some((left, fault)) = self.bursts.get_mut(&operation) {
            let fault = fault.clone();
            *left -= 1;
            if *left == 0 {
                self.bursts.remove(&operation);
            }
            return Some(fault);
        }
        let rule = plan
            .strike(operation, number)
            .filter(|rule| rule.times > 0)?;
        if rule.times > 1 {
            let rest = (rule.times - 1, rule.fault.clone());
            self.bursts.insert(operation, rest);
        }
        Some(rule.fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(faults: &mut Faults, operation: Operation, requests: usize) -> Vec<bool> {
        (0..requests)
            .map(|_| faults.draw(Some(operation)).is_some())
            .collect()
    }

    #[test]
    fn a_seed_repeats_itself_and_another_differs() {
        let run = |seed| {
            let plan = FaultPlan::new(seed).rate(None, 0.3, Fault::StallInHead);
            struck(&mut Faults::new(Some(plan)), Operation::Mint, 200)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    #[test]
    fn other_operations_in_between_change_nothing() {
        let plan = FaultPlan::new(5).rate(None, 0.5, Fault::StallInHead);
        let mut alone = Faults::new(Some(plan.clone()));
        let mut mixed = Faults::new(Some(plan));
        for _ in 0..100 {
            mixed.draw(Some(Operation::Login));
            assert_eq!(
                alone.draw(Some(Operation::Mint)),
                mixed.draw(Some(Operation::Mint))
            );
        }
    }

    #[test]
    fn rates_are_about_right_and_add_up() {
        let plan = FaultPlan::new(3)
            .rate(None, 0.2, Fault::StallInHead)
            .rate(Operation::Mint, 0.1, Fault::BadUtf8)
            .rate(Operation::Login, 1.0, Fault::BadUtf8);
        let mut faults = Faults::new(Some(plan));
        struck(&mut faults, Operation::Mint, 10_000);
        let (stalls, bad) = (faults.counts["stall-in-head"], faults.counts["bad-utf8"]);
        assert!((1_900..2_100).contains(&stalls), "{stalls}");
        assert!((900..1_100).contains(&bad), "{bad}");
        assert!(
            struck(&mut faults, Operation::Login, 100)
                .into_iter()
                .all(|hit| hit)
        );
    }

    #[test]
    fn rates_that_are_no_rates_do_no_harm() {
        for (probability, expected) in [(f64::NAN, 0), (-1.0, 0), (0.0, 0), (1.0, 9), (7.5, 9)] {
            let plan = FaultPlan::new(1).rate(None, probability, Fault::BadUtf8);
            let hits = struck(&mut Faults::new(Some(plan)), Operation::Mint, 9);
            assert_eq!(
                hits.iter().filter(|hit| **hit).count(),
                expected,
                "{probability}"
            );
        }
    }

    #[test]
    fn a_burst_goes_on_for_as_long_as_it_says() {
        let plan = FaultPlan::new(11).burst(None, 0.05, 4, Fault::BadUtf8);
        let hits = struck(&mut Faults::new(Some(plan)), Operation::Mint, 2_000);
        let runs: Vec<_> = hits
            .chunk_by(|a, b| a == b)
            .filter(|run| run[0] && run.len() < 2_000)
            .map(<[bool]>::len)
            .collect();
        assert!(
            runs.len() > 10 && runs.iter().all(|length| length % 4 == 0),
            "{runs:?}"
        );
    }

    #[test]
    fn an_outage_goes_before_the_script_and_the_script_before_chance() {
        let plan = FaultPlan::new(1).rate(None, 1.0, Fault::BadUtf8);
        let mut faults = Faults::new(Some(plan));
        faults.script(Operation::Mint, Some(Fault::StallInHead), 2);
        faults.script(Operation::Mint, None, 1);
        faults.set_outage(Some(Fault::RefuseConnection));
        assert_eq!(faults.draw(None), Some(Fault::RefuseConnection));
        assert_eq!(
            faults.draw(Some(Operation::Mint)),
            Some(Fault::RefuseConnection)
        );
        faults.set_outage(None);
        assert_eq!(faults.draw(None), None, "no operation, no chance");
        for expected in [
            Some(Fault::StallInHead),
            Some(Fault::StallInHead),
            None,
            Some(Fault::BadUtf8),
        ] {
            assert_eq!(faults.draw(Some(Operation::Mint)), expected);
        }
        faults.clear();
        assert_eq!(faults.draw(Some(Operation::Mint)), None);
        assert_eq!(faults.counts().values().sum::<u64>(), 5);
    }

    #[test]
    fn the_mixture_has_the_rate_that_it_was_given() {
        let mut faults = Faults::new(Some(FaultPlan::mixed(2, 0.25)));
        let hits = struck(&mut faults, Operation::Mint, 4_000);
        let hits = hits.into_iter().filter(|hit| *hit).count();
        assert!((900..1_100).contains(&hits), "{hits}");
        assert!(faults.counts().len() > 20, "{:?}", faults.counts());
    }
}
