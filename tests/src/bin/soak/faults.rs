//! The faults that the server injects into its responses, and how often.

use fastrand::Rng;

/// What is wrong with one response of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    // Rate-limit headers that lie, on a success.
    ClaimsMoreThanAMinute,
    ClaimsAFullMinute,
    ClaimsHugeNumbers,
    ClaimsNonsense,
    ClaimsAtRandom,
    StopsForADay,
    StopsForAnHour,
    StopsWithNothing,
    StopsWithALot,
    // Refusals for the rate limit.
    Throttles,
    ThrottlesForAnHour,
    // A customer whom the service does not serve.
    Forbids,
    // Credentials that were replaced.
    OldCredentials,
    // Time.
    OldDateWithAge,
    OldDate,
    FutureDate,
    NoExpiryLeft,
    ExpiryOfZero,
    NegativeExpiry,
    // Connections.
    BrokenConnection,
    Status500,
    Status502,
    Status503,
    CodeIn200,
    ResetBeforeResponse,
    ResetInBody,
    Truncated,
    NotHttp,
    Stalls,
    Slow,
    // Bodies.
    TokenWithCode429,
    HugeToken,
    NotJson,
    EmptyBody,
    // Identity.
    TokenOfAnotherCustomer,
    TokenOfAnotherStore,
    // Good tokens of unusual form.
    NoClaims,
    NotAJwt,
    TokenAsText,
    // Whole stores.
    Outage,
    // Server tokens.
    ForeignNotFound,
    DeletionLost,
    CreationLost,
    // The data API.
    Rejects,
    RejectsLate,
    RejectsAlways,
    RejectsBy419,
    Disallows,
    DataFails,
    // What is done to the SDK besides.
    BackendHangs,
    BackendFails,
    BackendPanics,
    BackendIsDown,
    LeaseOfADeadProcess,
    ProcessIsKilled,
    ProcessRestarts,
    CustomerLogsOut,
}

/// What a fault means for the request that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A usable token came along.
    Good,
    /// The SDK can repeat the request.
    Retryable,
    /// The call may end with this fault.
    Final,
}

impl Fault {
    pub(crate) const ALL: [Self; 57] = [
        Self::ClaimsMoreThanAMinute,
        Self::ClaimsAFullMinute,
        Self::ClaimsHugeNumbers,
        Self::ClaimsNonsense,
        Self::ClaimsAtRandom,
        Self::StopsForADay,
        Self::StopsForAnHour,
        Self::StopsWithNothing,
        Self::StopsWithALot,
        Self::Throttles,
        Self::ThrottlesForAnHour,
        Self::Forbids,
        Self::OldCredentials,
        Self::OldDateWithAge,
        Self::OldDate,
        Self::FutureDate,
        Self::NoExpiryLeft,
        Self::ExpiryOfZero,
        Self::NegativeExpiry,
        Self::BrokenConnection,
        Self::Status500,
        Self::Status502,
        Self::Status503,
        Self::CodeIn200,
        Self::ResetBeforeResponse,
        Self::ResetInBody,
        Self::Truncated,
        Self::NotHttp,
        Self::Stalls,
        Self::Slow,
        Self::TokenWithCode429,
        Self::HugeToken,
        Self::NotJson,
        Self::EmptyBody,
        Self::TokenOfAnotherCustomer,
        Self::TokenOfAnotherStore,
        Self::NoClaims,
        Self::NotAJwt,
        Self::TokenAsText,
        Self::Outage,
        Self::ForeignNotFound,
        Self::DeletionLost,
        Self::CreationLost,
        Self::Rejects,
        Self::RejectsLate,
        Self::RejectsAlways,
        Self::RejectsBy419,
        Self::Disallows,
        Self::DataFails,
        Self::BackendHangs,
        Self::BackendFails,
        Self::BackendPanics,
        Self::BackendIsDown,
        Self::LeaseOfADeadProcess,
        Self::ProcessIsKilled,
        Self::ProcessRestarts,
        Self::CustomerLogsOut,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::ClaimsMoreThanAMinute => "200 with 100000 times/1 s, 99999 left",
            Self::ClaimsAFullMinute => "200 with 150 times/60 s, 150 left",
            Self::ClaimsHugeNumbers => "200 with numbers of 400 digits",
            Self::ClaimsNonsense => "200 with rate-limit headers that are no numbers",
            Self::ClaimsAtRandom => "200 with random rate-limit headers",
            Self::StopsForADay => "200 with 0 left for 86400 s",
            Self::StopsForAnHour => "200 with 1 times/3600 s, 0 left",
            Self::StopsWithNothing => "200 with 0 times/60 s, 0 left",
            Self::StopsWithALot => "200 with 100000 times/1 s, 0 left for 3600 s",
            Self::Throttles => "429 with Retry-After: 1",
            Self::ThrottlesForAnHour => "429 with Retry-After: 3600",
            Self::Forbids => "403 for one inactive customer",
            Self::OldCredentials => "401 for credentials that were replaced",
            Self::OldDateWithAge => "Date of 20 h ago with Age: 72000",
            Self::OldDate => "Date of 20 h ago without Age",
            Self::FutureDate => "Date of the next hour",
            Self::NoExpiryLeft => "exp in the past",
            Self::ExpiryOfZero => "exp of 0",
            Self::NegativeExpiry => "negative exp",
            Self::BrokenConnection => "503 on a connection that always answers it",
            Self::Status500 => "500",
            Self::Status502 => "502 in HTML",
            Self::Status503 => "503",
            Self::CodeIn200 => "200 with code 500",
            Self::ResetBeforeResponse => "reset before the response",
            Self::ResetInBody => "reset within the body",
            Self::Truncated => "body cut off",
            Self::NotHttp => "bytes that are not HTTP",
            Self::Stalls => "no response at all",
            Self::Slow => "response after 0.7 to 2 s",
            Self::TokenWithCode429 => "200 with code 429 and a token",
            Self::HugeToken => "token of 900 kB",
            Self::NotJson => "200 with a body that is not JSON",
            Self::EmptyBody => "200 with an empty body",
            Self::TokenOfAnotherCustomer => "token that names another customer",
            Self::TokenOfAnotherStore => "token that names another store",
            Self::NoClaims => "token without claims",
            Self::NotAJwt => "token that is not a JWT",
            Self::TokenAsText => "token as a text instead of a list",
            Self::Outage => "outage of a store: 503 or a reset",
            Self::ForeignNotFound => "404 of a proxy for a deletion",
            Self::DeletionLost => "deletion with 502, done or not",
            Self::CreationLost => "creation done, and the response lost",
            Self::Rejects => "token rejected by the data API, 401 or 40101",
            Self::RejectsLate => "the same, with a response after 0.2 to 0.8 s",
            Self::RejectsAlways => "every token of one customer rejected",
            Self::RejectsBy419 => "token rejected by 419",
            Self::Disallows => "403 of the data API, or GraphQL code 403",
            Self::DataFails => "data API fails: 500 or a reset",
            Self::BackendHangs => "token backend: a call never completes",
            Self::BackendFails => "token backend: an error",
            Self::BackendPanics => "token backend: a panic",
            Self::BackendIsDown => "token backend: down for seconds",
            Self::LeaseOfADeadProcess => "token backend: lease of a dead process",
            Self::ProcessIsKilled => "process killed",
            Self::ProcessRestarts => "process restarted with its snapshot",
            Self::CustomerLogsOut => "customer logs out (`forget`)",
        }
    }

    pub(crate) fn effect(self) -> Effect {
        match self {
            Self::BrokenConnection
            | Self::Status500
            | Self::Status502
            | Self::Status503
            | Self::CodeIn200
            | Self::ResetBeforeResponse
            | Self::ResetInBody
            | Self::Truncated
            | Self::NotHttp
            | Self::Throttles
            | Self::ThrottlesForAnHour
            | Self::OldCredentials
            | Self::Outage => Effect::Retryable,
            // Not repeated, or so slow that the caller's patience ends.
            Self::Stalls
            | Self::Forbids
            | Self::FutureDate
            | Self::NoExpiryLeft
            | Self::ExpiryOfZero
            | Self::NegativeExpiry
            | Self::HugeToken
            | Self::NotJson
            | Self::EmptyBody
            | Self::TokenOfAnotherCustomer
            | Self::TokenOfAnotherStore => Effect::Final,
            _ => Effect::Good,
        }
    }

    /// Whether the response says that nothing is left, so that a client may stop for a window.
    pub(crate) fn stops(self) -> bool {
        matches!(
            self,
            Self::StopsForADay
                | Self::StopsForAnHour
                | Self::StopsWithNothing
                | Self::StopsWithALot
                | Self::ClaimsAtRandom
        )
    }
}

/// The lies that may stop a client, one after the other.
pub(crate) const STOPS: [Fault; 5] = [
    Fault::ClaimsAtRandom,
    Fault::StopsForADay,
    Fault::StopsForAnHour,
    Fault::StopsWithNothing,
    Fault::StopsWithALot,
];

/// What may be wrong with a mint or an exchange, and how many of a thousand have it.
const OF_MINTS: &[(Fault, u32)] = &[
    (Fault::ClaimsMoreThanAMinute, 30),
    (Fault::ClaimsAFullMinute, 10),
    (Fault::ClaimsHugeNumbers, 15),
    (Fault::ClaimsNonsense, 15),
    (Fault::OldDateWithAge, 15),
    (Fault::OldDate, 10),
    (Fault::FutureDate, 5),
    (Fault::NoExpiryLeft, 7),
    (Fault::ExpiryOfZero, 7),
    (Fault::NegativeExpiry, 5),
    (Fault::Status500, 10),
    (Fault::Status502, 10),
    (Fault::Status503, 15),
    (Fault::CodeIn200, 7),
    (Fault::ResetBeforeResponse, 15),
    (Fault::ResetInBody, 7),
    (Fault::Truncated, 10),
    (Fault::NotHttp, 5),
    (Fault::Stalls, 4),
    (Fault::Slow, 30),
    (Fault::TokenWithCode429, 10),
    (Fault::HugeToken, 7),
    (Fault::NotJson, 5),
    (Fault::EmptyBody, 5),
    (Fault::TokenOfAnotherCustomer, 10),
    (Fault::TokenOfAnotherStore, 7),
    (Fault::NoClaims, 20),
    (Fault::NotAJwt, 10),
    (Fault::TokenAsText, 30),
];

/// Draws what is wrong with the response to a mint or an exchange; mostly nothing.
pub(crate) fn of_mint(random: &mut Rng) -> Option<Fault> {
    let mut drawn = random.u32(..1_000);
    for (fault, share) in OF_MINTS {
        match drawn.checked_sub(*share) {
            Some(rest) => drawn = rest,
            None => return Some(*fault),
        }
    }
    None
}

/// Rate-limit headers, as lines of a response.
pub(crate) fn lying_headers(fault: Fault, random: &mut Rng) -> Option<Vec<(&'static str, String)>> {
    let all = |allocated: &str, remaining: &str, resets_after: &str| {
        Some(vec![
            ("X-Requests-Allocated", allocated.to_owned()),
            ("X-Requests-Window-Length", "0 times".to_owned()),
            ("X-Requests-Remaining", remaining.to_owned()),
            ("X-Request-Window-Resets-After", resets_after.to_owned()),
        ])
    };
    let huge = "9".repeat(400);
    match fault {
        Fault::ClaimsMoreThanAMinute => all("100000 times/1 s", "99999 times", "1.0 s"),
        Fault::ClaimsAFullMinute => all("150 times/60 s", "150 times", "60.0 s"),
        Fault::ClaimsHugeNumbers => all(
            &format!("{huge} times/{huge} s"),
            &format!("{huge} times"),
            &format!("{huge}.5 s"),
        ),
        Fault::ClaimsNonsense => all("many times/soon", "-1 times", "NaN s"),
        Fault::ClaimsAtRandom => {
            let mut number = || match random.u32(..6) {
                0 => 0,
                1 => 1,
                2 => random.u64(..200),
                3 => random.u64(..100_000),
                4 => random.u64(..),
                _ => u64::MAX,
            };
            let (allocated, window, remaining) = (number(), number(), number());
            let resets_after = number();
            all(
                &format!("{allocated} times/{window} s"),
                &format!("{remaining} times"),
                &format!("{resets_after}.25 s"),
            )
        }
        Fault::StopsForADay => all("150 times/60 s", "0 times", "86400 s"),
        Fault::StopsForAnHour => all("1 times/3600 s", "0 times", "3600 s"),
        Fault::StopsWithNothing => all("0 times/60 s", "0 times", "60 s"),
        Fault::StopsWithALot => all("100000 times/1 s", "0 times", "3600 s"),
        _ => None,
    }
}
