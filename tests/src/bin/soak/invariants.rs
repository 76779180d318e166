//! What must hold at every moment of the run, and what was found of it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How many examples of each kind of violation are shown.
const EXAMPLES: usize = 4;

/// A rule that the SDK must keep, whatever the server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    OneMintPerCache,
    OneMintPerFleet,
    RateLimit,
    OnlyTheGuilty,
    EveryAccessEnds,
    OwnToken,
    PutOfAnother,
    NotExpired,
    ValidForAtLeast,
    NotRejected,
    NotForgotten,
    OneMintPerRejection,
    OneForcedMintPerMinute,
    TokenLength,
    NothingAfterAToken,
    OtherConnection,
    OneServerToken,
    AppliedIsSaid,
    DeletionIsTrue,
    ExpiredAccessToken,
    LeaseOfADeadProcess,
    NoSecretShown,
    NoPanic,
    Memory,
}

impl Invariant {
    pub(crate) const ALL: [Self; 24] = [
        Self::OneMintPerCache,
        Self::OneMintPerFleet,
        Self::RateLimit,
        Self::OnlyTheGuilty,
        Self::EveryAccessEnds,
        Self::OwnToken,
        Self::PutOfAnother,
        Self::NotExpired,
        Self::ValidForAtLeast,
        Self::NotRejected,
        Self::NotForgotten,
        Self::OneMintPerRejection,
        Self::OneForcedMintPerMinute,
        Self::TokenLength,
        Self::NothingAfterAToken,
        Self::OtherConnection,
        Self::OneServerToken,
        Self::AppliedIsSaid,
        Self::DeletionIsTrue,
        Self::ExpiredAccessToken,
        Self::LeaseOfADeadProcess,
        Self::NoSecretShown,
        Self::NoPanic,
        Self::Memory,
    ];

    /// The rule in words, and what one check of it is.
    pub(crate) fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::OneMintPerCache => (
                "one mint in flight per key in each cache",
                "mints by a cache",
            ),
            Self::OneMintPerFleet => (
                "one mint in flight per key in a fleet, unless its token backend failed",
                "mints by a fleet",
            ),
            Self::RateLimit => (
                "at most 150 requests of a store in any 60 s",
                "requests to the service",
            ),
            Self::OnlyTheGuilty => (
                "nobody is refused without a fault of their own or an outage",
                "accesses",
            ),
            Self::EveryAccessEnds => ("every access ends within 60 s", "accesses"),
            Self::OwnToken => (
                "no customer receives a token of another customer or store",
                "tokens received or shown",
            ),
            Self::PutOfAnother => (
                "a token that names another customer cannot be put",
                "tokens put for the wrong customer",
            ),
            Self::NotExpired => (
                "no token is served after its true expiry",
                "tokens received or shown",
            ),
            Self::ValidForAtLeast => (
                "a token lasts as long as the caller asked for",
                "requests with a minimum life",
            ),
            Self::NotRejected => (
                "no rejected token is served again",
                "tokens received or shown",
            ),
            Self::NotForgotten => (
                "after `forget` no earlier token is served by that cache",
                "tokens received or shown",
            ),
            Self::OneMintPerRejection => (
                "a rejected token costs one mint, however late its rejections arrive",
                "bursts with a rejected token",
            ),
            Self::OneForcedMintPerMinute => (
                "a customer whose tokens are all rejected costs one mint a minute",
                "such customers in a cache",
            ),
            Self::TokenLength => (
                "no token longer than 16 KiB is served",
                "tokens received or shown",
            ),
            Self::NothingAfterAToken => (
                "a token in hand ends the call, whatever the body says",
                "responses with code 429 and a token",
            ),
            Self::OtherConnection => (
                "the retry after a broken connection or a 5xx uses another connection",
                "retries after a 5xx",
            ),
            Self::OneServerToken => (
                "one call creates at most one server token",
                "calls that create",
            ),
            Self::AppliedIsSaid => (
                "a failed creation that was applied says that it may have been",
                "calls that create and failed",
            ),
            Self::DeletionIsTrue => (
                "a deletion that is reported as done was done",
                "calls that delete and succeeded",
            ),
            Self::ExpiredAccessToken => (
                "no customer access token is sent after its expiry",
                "accesses with an expired one",
            ),
            Self::LeaseOfADeadProcess => (
                "a dead lease holder delays its customer for seconds only",
                "leases of a dead holder",
            ),
            Self::NoSecretShown => (
                "no secret in a log line or an error",
                "log lines and error texts",
            ),
            Self::NoPanic => ("nothing panics but the injected panics", "panics"),
            Self::Memory => ("the memory of the process stays bounded", "samples"),
        }
    }
}

/// What was found of one rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finding {
    pub(crate) checks: u64,
    pub(crate) violations: u64,
    /// By their kind: how many, and the first of them.
    pub(crate) examples: BTreeMap<String, (u64, Vec<String>)>,
}

/// What was found of all rules.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<BTreeMap<Invariant, Finding>>);

impl Findings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Invariant, Finding>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one check.
    pub(crate) fn checked(&self, invariant: Invariant) {
        self.lock().entry(invariant).or_default().checks += 1;
    }

    /// Records a violation. The example holds no secret: it is shown.
    pub(crate) fn violated(&self, invariant: Invariant, example: impl FnOnce() -> String) {
        self.violated_by(invariant, "", example);
    }

    /// The same, for rules that are violated in different ways.
    pub(crate) fn violated_by(
        &self,
        invariant: Invariant,
        kind: &str,
        example: impl FnOnce() -> String,
    ) {
        let mut findings = self.lock();
        let finding = findings.entry(invariant).or_default();
        finding.violations += 1;
        let (count, examples) = finding.examples.entry(kind.to_owned()).or_default();
        *count += 1;
        if examples.len() < EXAMPLES {
            examples.push(example());
        }
    }

    pub(crate) fn of(&self, invariant: Invariant) -> Finding {
        self.lock().get(&invariant).cloned().unwrap_or_default()
    }
}
