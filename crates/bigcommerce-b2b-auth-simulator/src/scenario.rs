//! What is simulated: every number of it with its default, its flag and its bounds. A scenario comes from defaults, a JSON
//! file and flags, each going before the one named earlier.

use std::{fmt, path::Path, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The length of a day in milliseconds.
pub(crate) const DAY_MS: u32 = 24 * 60 * 60 * 1000;

/// More requests than this in one run are taken for a slip of the keyboard: eight bytes are kept of each.
const MOST_REQUESTS: f64 = 250_000_000.0;

/// Writes the scenario, its defaults and its flags from one list, so that a number is described in one place.
macro_rules! scenario {
    ($($(#[$doc:meta])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// What is simulated.
        ///
        /// ```
        /// use bigcommerce_b2b_auth_simulator::Scenario;
        ///
        /// let small = Scenario { customers: 500, ..Scenario::default() };
        /// assert!(small.check().is_ok());
        /// ```
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Scenario {
            $($(#[$doc])+ pub $name: $type,)+
        }

        impl Default for Scenario {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// The flags that change a scenario, one for each of its numbers.
        #[derive(Debug, Clone, Default, clap::Args)]
        #[command(next_help_heading = "Scenario")]
        pub struct Changes {
            $($(#[$doc])+ #[arg(long)] pub $name: Option<$type>,)+
        }

        impl Changes {
            /// The scenario with these changes.
            #[must_use]
            pub fn apply(self, mut scenario: Scenario) -> Scenario {
                $(if let Some(value) = self.$name { scenario.$name = value; })+
                scenario
            }
        }
    };
}

scenario! {
    /// Active customers of the store.
    customers: u32 = 50_000;
    /// Visits of a customer in a day, on average.
    visits_per_day: f64 = 2.0;
    /// Requests of a visit, on average. Their number is geometric.
    requests_per_visit: f64 = 20.0;
    /// Seconds from one request of a visit to the next, on average. They are exponential.
    seconds_between_requests: f64 = 30.0;
    /// When the fewest visits begin, as HH:MM. The most begin twelve hours later.
    trough_at: TimeOfDay = TimeOfDay::new(4, 0);
    /// How many times the mean the busiest moment of a day has, from 1 (all day the same) to 2 (nobody at the trough).
    peak_over_mean: f64 = 1.8;
    /// Measured days. The day before them is simulated as well and not measured, so that the cache is in its stride.
    days: u32 = 1;
    /// What all chance comes from.
    seed: u64 = 1;
    /// Milliseconds that the fastest mint takes.
    mint_ms_least: u32 = 50;
    /// Milliseconds that the slowest mint takes, unless it meets a fault.
    mint_ms_most: u32 = 200;
    /// The share of mints that meet a fault, on the measured days, from 0 to 1: a 500, 502 or 503, a connection that is
    /// refused or breaks, a reply that does not come.
    fault_share: f64 = 0.01;
    /// When the service is out, as HH:MM of the first measured day.
    outage_at: TimeOfDay = TimeOfDay::new(16, 0);
    /// For how many minutes it is out; 0 for no outage.
    outage_minutes: u32 = 10;
    /// How it is out.
    outage_kind: OutageKind = OutageKind::Unavailable;
    /// When a deploy replaces the process, as HH:MM of the first measured day.
    deploy_at: TimeOfDay = TimeOfDay::new(12, 0);
    /// Requests that the service grants the store in a minute.
    limit_per_minute: u32 = 150;
    /// How the service counts them.
    window: Window = Window::Fixed;
    /// Requests in a minute that another integration spends from the same purse, on average, on all days.
    foreign_per_minute: f64 = 0.0;
    /// Tokens that the cache holds at most.
    capacity: u32 = 100_000;
    /// Renewals that run in the background at once, at most.
    background_renewals: u32 = 8;
    /// Seconds that a shopper's request waits for a token before it fails.
    patience_seconds: f64 = 10.0;
    /// Seconds that one attempt of a mint may take.
    attempt_timeout_seconds: f64 = 30.0;
}

/// How a service is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum OutageKind {
    /// A proxy before it answers 503, in HTML
    Unavailable,
    /// No connection comes about
    Refused,
    /// Requests are taken, and no reply comes
    Stalled,
}

/// How the service counts requests, which nobody outside knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Window {
    /// A window opens with a request and gives everything back at its end
    Fixed,
    /// Each request counts for a minute
    Sliding,
}

/// A time of day, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    minutes: u32,
}

impl TimeOfDay {
    /// So many hours and minutes after midnight. What goes beyond a day begins again at midnight.
    #[must_use]
    pub const fn new(hours: u32, minutes: u32) -> Self {
        Self {
            minutes: (hours * 60 + minutes) % (24 * 60),
        }
    }

    /// Milliseconds since midnight.
    #[must_use]
    pub fn ms(self) -> u32 {
        self.minutes * 60_000
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.minutes / 60, self.minutes % 60)
    }
}

impl FromStr for TimeOfDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once(':').map(|(hours, minutes)| {
            let number = |text: &str| {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                is_number.then(|| text.parse::<u32>().ok()).flatten()
            };
            (number(hours), number(minutes))
        });
        match parts {
            Some((Some(hours @ 0..=23), Some(minutes @ 0..=59))) => Ok(Self::new(hours, minutes)),
            _ => Err(format!(
                "{text:?} is no time of day: write it as HH:MM, from 00:00 to 23:59"
            )),
        }
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> Self {
        time.to_string()
    }
}

impl Scenario {
    /// A scenario from a JSON file; what it does not name has its default. The `scenario` of a `figures.json` is one.
    ///
    /// # Errors
    /// When the file cannot be read, or is no scenario.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.to_owned(),
            source,
        })?;
        Self::from_json(&text).map_err(|message| {
            Error::Scenario(format!(
                "{} is no scenario: {message}; --help lists the names, written with _ in a file",
                path.display()
            ))
        })
    }

    fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Whether it can be simulated.
    ///
    /// # Errors
    /// One that names every number which is out of its bounds, and the bounds.
    pub fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        let mut within = |name: &str, value: f64, least: f64, most: f64| {
            // Not a number is within nothing.
            if !(least..=most).contains(&value) {
                wrong.push(format!(
                    "{name} is {value}, and has to be from {least} to {most}"
                ));
            }
        };
        within("customers", self.customers.into(), 1.0, 5_000_000.0);
        within("visits_per_day", self.visits_per_day, 0.001, 100.0);
        within("requests_per_visit", self.requests_per_visit, 1.0, 10_000.0);
        within(
            "seconds_between_requests",
            self.seconds_between_requests,
            0.001,
            86_400.0,
        );
        within("peak_over_mean", self.peak_over_mean, 1.0, 2.0);
        within("days", self.days.into(), 1.0, 30.0);
        within("mint_ms_most", self.mint_ms_most.into(), 0.0, 60_000.0);
        within(
            "mint_ms_least",
            self.mint_ms_least.into(),
            0.0,
            self.mint_ms_most.into(),
        );
        within("fault_share", self.fault_share, 0.0, 1.0);
        within("outage_minutes", self.outage_minutes.into(), 0.0, 1440.0);
        within(
            "limit_per_minute",
            self.limit_per_minute.into(),
            1.0,
            100_000.0,
        );
        within("foreign_per_minute", self.foreign_per_minute, 0.0, 10_000.0);
        within("capacity", self.capacity.into(), 1.0, 100_000_000.0);
        within("patience_seconds", self.patience_seconds, 0.001, 3_600.0);
        within(
            "attempt_timeout_seconds",
            self.attempt_timeout_seconds,
            0.001,
            3_600.0,
        );
        let requests = f64::from(self.customers)
            * self.visits_per_day
            * self.requests_per_visit
            * f64::from(self.all_days());
        if wrong.is_empty() && requests > MOST_REQUESTS {
            wrong.push(format!(
                "customers, visits_per_day, requests_per_visit and days make {requests:.0} requests, and {MOST_REQUESTS:.0} \
                 are the most that are kept in memory"
            ));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Error::Scenario(wrong.join("; ")))
        }
    }

    /// The days that are simulated: one to run in, and those that are measured.
    #[must_use]
    pub fn all_days(&self) -> u32 {
        self.days + 1
    }

    /// When the outage begins and ends, in milliseconds since the first midnight.
    #[must_use]
    pub fn outage(&self) -> Option<(u32, u32)> {
        let begin = DAY_MS + self.outage_at.ms();
        (self.outage_minutes > 0).then(|| (begin, begin + self.outage_minutes * 60_000))
    }

    /// When the deploy is, in milliseconds since the first midnight.
    #[must_use]
    pub fn deploy(&self) -> u32 {
        DAY_MS + self.deploy_at.ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(scenario: &Scenario) -> String {
        scenario.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_can_be_simulated_and_go_through_json() {
        let scenario = Scenario::default();
        scenario.check().unwrap();
        let json = serde_json::to_string(&scenario).unwrap();
        assert_eq!(Scenario::from_json(&json).unwrap(), scenario);
        assert_eq!(Scenario::from_json("{}").unwrap(), scenario);
    }

    #[test]
    fn what_is_out_of_bounds_is_named_with_its_bounds_all_at_once() {
        let scenario = Scenario {
            customers: 0,
            peak_over_mean: f64::NAN,
            mint_ms_least: 300,
            ..Scenario::default()
        };
        let refusal = refusal(&scenario);
        for part in [
            "customers is 0, and has to be from 1 to 5000000",
            "peak_over_mean is NaN, and has to be from 1 to 2",
            "mint_ms_least is 300, and has to be from 0 to 200",
        ] {
            assert!(refusal.contains(part), "{part} in {refusal}");
        }
    }

    #[test]
    fn more_requests_than_fit_are_refused() {
        let scenario = Scenario {
            customers: 5_000_000,
            ..Scenario::default()
        };
        assert!(refusal(&scenario).contains("400000000 requests"));
    }

    #[test]
    fn a_name_that_is_none_and_a_time_that_is_none_are_told() {
        let error = |json| Scenario::from_json(json).unwrap_err().to_string();
        assert!(error(r#"{"customer": 5}"#).contains("unknown field `customer`"));
        assert!(error(r#"{"outage_at": "24:00"}"#).contains("write it as HH:MM"));
        for wrong in ["", "7", "07:60", "+7:00", "7:", "a:b", "07:00:00"] {
            assert!(wrong.parse::<TimeOfDay>().is_err(), "{wrong}");
        }
        assert_eq!("7:05".parse::<TimeOfDay>().unwrap().to_string(), "07:05");
    }

    #[test]
    fn a_flag_goes_before_what_was_there() {
        let changes = Changes {
            customers: Some(7),
            ..Changes::default()
        };
        let changed = changes.apply(Scenario::default());
        assert_eq!(changed.customers, 7);
        assert_eq!(changed.seed, Scenario::default().seed);
    }
}
