//! A small day from one end to the other: that what is counted adds up, that the contenders differ where they should, and that
//! a seed repeats itself.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on ends with a panic"
)]

use bigcommerce_b2b_auth_simulator::{
    Contender, Day, Deploy, Error, Figures, MINUTES_IN_A_POINT, OutageKind, Run, Scenario, Window,
    advice, plots, simulate, table, write,
};

/// A store with few customers and a budget that is as small, so that they come upon its limit.
fn small() -> Scenario {
    Scenario {
        customers: 120,
        requests_per_visit: 5.0,
        limit_per_minute: 1,
        ..Scenario::default()
    }
}

fn run(scenario: &Scenario, runs: &[(Contender, Deploy)]) -> Figures {
    simulate(scenario, runs, |_| {}).unwrap()
}

const EVERYBODY: [(Contender, Deploy); 8] = [
    (Contender::Ours, Deploy::None),
    (Contender::Ours, Deploy::Lost),
    (Contender::Unspread, Deploy::None),
    (Contender::Unspread, Deploy::Lost),
    (Contender::Moka, Deploy::None),
    (Contender::Moka, Deploy::Lost),
    (Contender::Naive, Deploy::None),
    (Contender::Naive, Deploy::Lost),
];

#[test]
fn what_is_counted_adds_up_for_everybody() {
    let scenario = Scenario {
        days: 2,
        foreign_per_minute: 0.5,
        ..small()
    };
    let figures = run(&scenario, &EVERYBODY);
    assert_eq!(figures.runs.len(), EVERYBODY.len());
    for run in figures.runs.iter().chain([&figures.ideal]) {
        let name = run.name();
        assert_eq!(run.days.len(), 2, "{name}");
        for (day, ideal) in run.days.iter().zip(&figures.ideal.days) {
            assert_eq!(day.requests, ideal.requests, "{name}: the same shoppers");
            let failed = day.failed.all();
            assert_eq!(day.requests, day.hits + day.waited + failed, "{name}");
            assert_eq!(day.failed_kinds.values().sum::<u64>(), failed, "{name}");
            assert!(day.hits > day.requests / 2, "{name}");
            assert!(day.mints_failed >= day.throttled, "{name}");
            // What is under way at midnight is sent on one day and comes on the next.
            let came = day.mints - day.mints_failed;
            assert!(came.abs_diff(day.tokens) <= 5, "{name}");
            assert!(day.wait_p99_ms <= day.wait_most_ms);
            assert!(day.wait_most_ms <= 10_000, "{name}: nobody is so patient");
            assert!((1..=120).contains(&day.entries_most), "{name}");
            assert_eq!(day.foreign > 0, run.contender != Contender::Ideal, "{name}");
            match run.contender {
                Contender::Ours | Contender::Unspread => {
                    assert!(day.others_seen_per_minute.is_some() && day.evicted_live.is_some());
                }
                Contender::Moka | Contender::Naive => {
                    assert_eq!((day.others_seen_per_minute, day.evicted_live), (None, None));
                }
                _ => assert_eq!(day.others_seen_per_minute, Some(0.0)),
            }
        }
        let curves = &run.curves;
        assert_eq!(curves.requests.len(), 2 * 24 * 60 / MINUTES_IN_A_POINT);
        let same = |curve: &[u32], of: fn(&Day) -> u64| {
            let points: u64 = curve.iter().map(|count| u64::from(*count)).sum();
            assert_eq!(points, run.days.iter().map(of).sum::<u64>(), "{name}");
        };
        same(&curves.requests, |day| day.requests);
        same(&curves.waited, |day| day.waited);
        same(&curves.failed, |day| day.failed.all());
        same(&curves.mints, |day| day.mints);
        same(&curves.throttled, |day| day.throttled);
    }
    for day in &figures.ideal.days {
        assert_eq!((day.failed.all(), day.mints_failed), (0, 0));
        assert_eq!(day.mints_over_ideal, Some(1.0));
    }
}

#[test]
fn managed_tokens_are_never_refused_and_what_is_hand_written_is() {
    for window in [Window::Fixed, Window::Sliding] {
        let scenario = Scenario { window, ..small() };
        let runs = [Contender::Ours, Contender::Naive, Contender::Moka];
        let figures = run(&scenario, &runs.map(|who| (who, Deploy::None)));
        let refused = |run: &Run| run.days[0].throttled;
        assert_eq!(refused(&figures.runs[0]), 0, "{window:?}");
        assert!(refused(&figures.runs[1]) > 0, "{window:?}");
        assert!(refused(&figures.runs[2]) > 0, "{window:?}");
        assert!(figures.runs[0].days[0].budget_most_per_minute > 0);
    }
}

#[test]
fn what_others_spend_is_seen_and_counted() {
    let with = |foreign_per_minute| {
        let scenario = Scenario {
            foreign_per_minute,
            limit_per_minute: 150,
            mint_ms_least: 100,
            mint_ms_most: 100,
            ..small()
        };
        let figures = run(&scenario, &[(Contender::Ours, Deploy::None)]);
        let day = &figures.runs[0].days[0];
        (day.foreign, day.others_seen_per_minute.unwrap())
    };
    assert_eq!(with(0.0), (0, 0.0));
    let (foreign, seen) = with(20.0);
    assert!(foreign.abs_diff(20 * 24 * 60) < 1_000, "{foreign}");
    assert!(seen > 1.0, "{seen}");
}

#[test]
fn in_an_outage_only_those_without_a_token_fail() {
    for outage_kind in [
        OutageKind::Unavailable,
        OutageKind::Refused,
        OutageKind::Stalled,
    ] {
        let scenario = Scenario {
            outage_kind,
            outage_minutes: 60,
            fault_share: 0.0,
            limit_per_minute: 150,
            ..small()
        };
        let ours = [(Contender::Ours, Deploy::None)];
        let failed = run(&scenario, &ours).runs[0].days[0].failed;
        assert!(failed.in_outage > 0, "{outage_kind:?}");
        assert_eq!(failed.with_live_token, 0, "{outage_kind:?}");
        assert_eq!(failed.at_other_times, 0, "{outage_kind:?}");
        let calm = Scenario {
            outage_minutes: 0,
            ..scenario
        };
        assert_eq!(run(&calm, &ours).runs[0].days[0].failed.all(), 0);
    }
}

#[test]
fn a_cache_that_is_lost_is_filled_again() {
    let figures = run(&small(), &EVERYBODY);
    for pair in figures.runs.chunks(2) {
        let (kept, lost) = (&pair[0], &pair[1]);
        let name = lost.name();
        assert!(lost.days[0].tokens > kept.days[0].tokens, "{name}");
        assert!(lost.days[0].waited > kept.days[0].waited, "{name}");
        // At noon, just before it is lost, it is looked at.
        let noon = 12 * 60 / MINUTES_IN_A_POINT;
        let (kept, lost) = (&kept.curves.entries, &lost.curves.entries);
        assert_eq!(kept[..noon], lost[..noon], "{name}");
        assert!(lost[noon + 1] < lost[noon - 1] / 5, "{name}");
    }
}

#[test]
fn a_seed_gives_the_same_figures_and_another_seed_others() {
    let runs = [
        (Contender::Ours, Deploy::Lost),
        (Contender::Unspread, Deploy::None),
        (Contender::Moka, Deploy::Lost),
        (Contender::Naive, Deploy::None),
    ];
    let json = |seed| {
        let scenario = Scenario { seed, ..small() };
        serde_json::to_string(&run(&scenario, &runs)).unwrap()
    };
    let first = json(1);
    assert_eq!(first, json(1));
    assert_ne!(first, json(2));
}

#[test]
fn a_snapshot_spares_the_mints_of_a_deploy() {
    let deploys = [Deploy::None, Deploy::Snapshot, Deploy::Crash, Deploy::Lost];
    let runs = deploys.map(|deploy| (Contender::Ours, deploy));
    let calm = Scenario {
        outage_minutes: 0,
        fault_share: 0.0,
        limit_per_minute: 150,
        ..small()
    };
    let figures = run(&calm, &runs);
    let [none, snapshot, crash, lost] = figures
        .runs
        .iter()
        .map(|run| run.days[0].tokens)
        .collect::<Vec<_>>()[..]
    else {
        panic!("four runs");
    };
    // At noon some two thirds of them have a token.
    assert!(lost > none + 20, "{lost} and {none}");
    assert!(snapshot <= none + 1, "{snapshot} and {none}");
    // What came in the last five minutes is lost.
    assert!(crash <= none + 5, "{crash} and {none}");
    for run in &figures.runs {
        assert_eq!(run.days[0].failed.all(), 0, "{}", run.name());
    }
}

#[test]
fn what_cannot_be_run_is_refused_before_anything_is() {
    let refusal = |scenario: &Scenario, runs: &[(Contender, Deploy)]| {
        let refused = simulate(scenario, runs, |progress| panic!("{progress}"));
        refused.unwrap_err()
    };
    let nobody = Scenario {
        customers: 0,
        ..small()
    };
    assert!(matches!(refusal(&nobody, &[]), Error::Scenario(_)));
    let deploy = |contender, deploy| refusal(&small(), &[(contender, deploy)]).to_string();
    assert!(deploy(Contender::Ideal, Deploy::Lost).contains("--deploy none"));
    assert!(deploy(Contender::Moka, Deploy::Snapshot).contains("writes nothing down"));
    assert!(deploy(Contender::Naive, Deploy::Crash).contains("writes nothing down"));
}

#[test]
fn a_cache_that_is_too_small_is_told() {
    let scenario = Scenario {
        capacity: 30,
        ..small()
    };
    let ours = [(Contender::Ours, Deploy::None)];
    let told = advice(&run(&scenario, &ours));
    assert!(told.contains("had to go because it was full"), "{told}");
    assert!(told.contains("--capacity 60"), "{told}");
    let told = advice(&run(&small(), &ours));
    assert!(told.contains("Capacity::entries(1000)"), "{told}");
}

#[test]
fn plots_and_files_have_what_they_should() {
    let runs = [Contender::Ours, Contender::Naive].map(|who| (who, Deploy::Lost));
    let figures = run(&small(), &runs);
    for plot in plots(&figures).unwrap() {
        let wanted: &[&str] = match plot.file.as_str() {
            "day-ours-lost.svg" | "day-naive-lost.svg" => &[
                "outage",
                "deploy",
                "the service's limit",
                "mints",
                "refused with 429",
                "waited and got a token",
                "failed",
                "time of day",
                "per minute",
                "16:00",
            ],
            other => panic!("{other} is not looked at here"),
        };
        let texts = texts_of(&plot.svg);
        for text in wanted {
            assert!(
                texts.iter().any(|found| found == text),
                "{text} in {texts:?}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new");
    let written = write(&figures, &folder).unwrap();
    assert_eq!(written.len(), 3);
    let json = std::fs::read_to_string(&written[0]).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["scenario"]["customers"], 120);
    assert_eq!(json["runs"][1]["contender"], "naive");
    let table = table(&figures);
    assert!(
        table.contains("ours, deploy lost") && table.contains("ideal"),
        "{table}"
    );
}

/// The texts of an SVG, which is seen to be well-formed: every element is closed by its own name.
fn texts_of(svg: &str) -> Vec<String> {
    assert!(svg.trim_start().starts_with("<svg"));
    let (mut open, mut texts) = (Vec::new(), Vec::new());
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed.trim()));
            continue;
        }
        assert!(tag.matches('"').count() % 2 == 0, "{tag}");
        if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
        if tag.starts_with("text") {
            texts.push(text.trim().replace("&apos;", "'").replace("&#39;", "'"));
        }
    }
    assert!(open.is_empty(), "{open:?}");
    texts
}
