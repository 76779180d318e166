//! The figures as a table for a terminal: a line for each day of each contender.

use std::fmt::Write as _;

use crate::{Day, Figures};

/// What stands above a column, how wide it is, and what stands in it.
type Column = (&'static str, usize, fn(&Day) -> String);

const COLUMNS: &[Column] = &[
    ("requests", 9, |day| day.requests.to_string()),
    ("waited", 7, |day| day.waited.to_string()),
    ("p99 ms", 7, |day| day.wait_p99_ms.to_string()),
    ("failed in outage", 17, |day| {
        day.failed.in_outage.to_string()
    }),
    ("at other times", 15, |day| {
        day.failed.at_other_times.to_string()
    }),
    ("with live token", 16, |day| {
        day.failed.with_live_token.to_string()
    }),
    ("mints", 7, |day| day.mints.to_string()),
    ("/ideal", 7, |day| ratio(day.mints_over_ideal)),
    ("429", 7, |day| day.throttled.to_string()),
    ("max/min", 8, |day| day.budget_most_per_minute.to_string()),
    ("entries", 8, |day| day.entries_most.to_string()),
];

fn ratio(ratio: Option<f64>) -> String {
    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"))
}

/// The table, with an explanation below.
#[must_use]
pub fn table(figures: &Figures) -> String {
    let runs = || figures.runs.iter().chain([&figures.ideal]);
    let widest = runs().map(|run| run.name().len()).max().unwrap_or_default();
    let name_width = widest.max("contender".len());
    let mut text = format!("{:name_width$} day", "contender");
    for (title, width, _) in COLUMNS {
        // Writing to a String does not fail.
        let _ = write!(text, "{title:>width$}");
    }
    text.push('\n');
    for run in runs() {
        for day in &run.days {
            let _ = write!(text, "{:name_width$} {:3}", run.name(), day.day);
            for (_, width, of) in COLUMNS {
                let _ = write!(text, "{:>width$}", of(day));
            }
            text.push('\n');
        }
    }
    text.push_str(
        "\nwaited: got a token after a wait, with the 99th percentile of the waits; failed in outage: or in the minute after it\n\
         mints: requests to the service; max/min: the most in a minute that were not refused; entries: the most in the cache\n",
    );
    text
}
