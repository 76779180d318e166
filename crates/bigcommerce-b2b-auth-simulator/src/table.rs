//! The figures as a table for a terminal: a line for each day of each contender.

use std::fmt::Write as _;

use crate::{Day, Figures};

/// What stands above a column, how wide it is, and what stands in it.
type Column = (&'static str, usize, fn(&Day) -> String);

const COLUMNS: &[Column] = &[
    ("requests", 9, |day| day.requests.to_string()),
    ("hits", 9, |day| day.hits.to_string()),
    ("waited", 7, |day| day.waited.to_string()),
    ("p50 ms", 7, |day| day.wait_p50_ms.to_string()),
    ("p99 ms", 7, |day| day.wait_p99_ms.to_string()),
    ("max ms", 7, |day| day.wait_most_ms.to_string()),
    ("failed", 7, |day| day.failed.all().to_string()),
    ("out,live", 9, |day| {
        day.failed.in_outage_with_live_token.to_string()
    }),
    ("end", 5, |day| {
        day.failed.in_outage_with_token_at_its_end.to_string()
    }),
    ("none", 6, |day| {
        day.failed.in_outage_without_token.to_string()
    }),
    ("else,live", 10, |day| {
        day.failed.else_with_live_token.to_string()
    }),
    ("end", 5, |day| {
        day.failed.else_with_token_at_its_end.to_string()
    }),
    ("none", 6, |day| day.failed.else_without_token.to_string()),
    ("mints", 7, |day| day.mints.to_string()),
    ("failed", 7, |day| day.mints_failed.to_string()),
    ("429", 7, |day| day.throttled.to_string()),
    ("/ideal", 7, |day| ratio(day.mints_over_ideal)),
    ("tokens", 7, |day| day.tokens.to_string()),
    ("/ideal", 7, |day| ratio(day.tokens_over_ideal)),
    ("max/min", 8, |day| day.budget_most_per_minute.to_string()),
    ("mean/min", 9, |day| {
        format!("{:.1}", day.budget_mean_per_minute)
    }),
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
        "\nfailed requests: out = in the outage or the minute after it, else = at any other time; live = of a customer whose \
         token was good, end = in its last 30 seconds, none = without\nmints: requests to the service; max/min and mean/min: those that reached it and were \
         not refused, in a minute; entries: the most at any look\n",
    );
    text
}
