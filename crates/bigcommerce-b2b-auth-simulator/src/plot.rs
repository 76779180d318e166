//! The plots, as SVG on white: the day of each contender, the contenders beside each other, and what their caches hold.
//!
//! The colours are those of Okabe and Ito, which people who do not see all colours tell apart too.

use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::IntoDrawingArea as _,
    element::{PathElement, Rectangle},
    series::{DashedLineSeries, LineSeries},
    style::{BLACK, Color as _, RGBColor, WHITE},
};

use crate::{Curves, Deploy, Error, Figures, MINUTES_IN_A_POINT, Run, Scenario, scenario::DAY_MS};

const WIDTH: u32 = 1200;
const PANEL_HEIGHT: u32 = 300;
const TITLE_HEIGHT: u32 = 50;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// Of runs beside each other.
const IN_TURN: [RGBColor; 7] = [BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK];

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The name of its file.
    pub file: String,
    /// The SVG.
    pub svg: String,
}

/// All plots of these figures.
///
/// # Errors
/// [`Error::Plot`] when one cannot be drawn.
pub fn plots(figures: &Figures) -> Result<Vec<Plot>, Error> {
    let mut plots = Vec::new();
    for run in &figures.runs {
        plots.push(day(&figures.scenario, run)?);
    }
    plots.push(contenders(figures)?);
    plots.push(entries(figures)?);
    Ok(plots)
}

/// The day of one contender.
fn day(scenario: &Scenario, run: &Run) -> Result<Plot, Error> {
    let Curves {
        requests,
        waited,
        failed,
        mints,
        throttled,
        ..
    } = &run.curves;
    let a_minute = 1.0 / minutes_in_a_point();
    let limit = f64::from(scenario.limit_per_minute);
    let panels = [
        Panel {
            title: "Requests of shoppers".to_owned(),
            unit: "per minute",
            lines: vec![Line::of("requests", BLUE, requests, a_minute)],
            limit: None,
        },
        Panel {
            title: "Requests to the service for a token".to_owned(),
            unit: "per minute",
            lines: vec![
                Line::of("mints", BLUE, mints, a_minute),
                Line::of("refused with 429", VERMILION, throttled, a_minute),
            ],
            limit: Some(limit),
        },
        Panel {
            title: "Requests of shoppers that were no hit".to_owned(),
            unit: "per minute",
            lines: vec![
                Line::of("waited and got a token", BLUE, waited, a_minute),
                Line::of("failed", VERMILION, failed, a_minute),
            ],
            limit: None,
        },
    ];
    let marks = Marks::of(scenario, [run.deploy]);
    Ok(Plot {
        file: format!("day-{}-{}.svg", run.contender, run.deploy),
        svg: sheet(&format!("A day with {}", run.name()), &panels, &marks)?,
    })
}

/// The contenders beside each other.
fn contenders(figures: &Figures) -> Result<Plot, Error> {
    let of_each = |of: fn(&Curves) -> &Vec<u32>| {
        let runs = figures.runs.iter().zip(IN_TURN.iter().cycle());
        runs.map(|(run, colour)| Line::of(&run.name(), *colour, of(&run.curves), 1.0))
            .collect()
    };
    let panel = |title: &str, of| Panel {
        title: title.to_owned(),
        unit: "per 5 minutes",
        lines: of_each(of),
        limit: None,
    };
    let panels = [
        panel("Requests to the service for a token", |curves: &Curves| {
            &curves.mints
        }),
        panel("Refused with 429", |curves| &curves.throttled),
        panel("Requests of shoppers that failed", |curves| &curves.failed),
    ];
    let deploys = figures.runs.iter().map(|run| run.deploy);
    let marks = Marks::of(&figures.scenario, deploys);
    Ok(Plot {
        file: "contenders.svg".to_owned(),
        svg: sheet("The contenders beside each other", &panels, &marks)?,
    })
}

/// What the caches hold.
fn entries(figures: &Figures) -> Result<Plot, Error> {
    let runs = figures.runs.iter().zip(IN_TURN.iter().cycle());
    let panel = Panel {
        title: "Entries of the cache".to_owned(),
        unit: "entries",
        lines: runs
            .map(|(run, colour)| Line::of(&run.name(), *colour, &run.curves.entries, 1.0))
            .collect(),
        limit: None,
    };
    let deploys = figures.runs.iter().map(|run| run.deploy);
    let marks = Marks::of(&figures.scenario, deploys);
    Ok(Plot {
        file: "entries.svg".to_owned(),
        svg: sheet("What the caches hold", &[panel], &marks)?,
    })
}

/// One chart of a sheet.
struct Panel {
    title: String,
    unit: &'static str,
    lines: Vec<Line>,
    /// What the service grants.
    limit: Option<f64>,
}

struct Line {
    name: String,
    colour: RGBColor,
    /// By the hour.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn of(name: &str, colour: RGBColor, values: &[u32], factor: f64) -> Self {
        let step = minutes_in_a_point() / 60.0;
        let points = values
            .iter()
            .scan(0.0, |hours, value| {
                let at = *hours;
                *hours += step;
                Some((at, f64::from(*value) * factor))
            })
            .collect();
        Self {
            name: name.to_owned(),
            colour,
            points,
        }
    }

    fn most(&self) -> f64 {
        self.points
            .iter()
            .map(|(_, value)| *value)
            .fold(0.0, f64::max)
    }
}

/// What befell everybody, in hours since the first measured midnight.
struct Marks {
    hours: f64,
    outage: Option<(f64, f64)>,
    deploy: Option<f64>,
}

impl Marks {
    fn of(scenario: &Scenario, deploys: impl IntoIterator<Item = Deploy>) -> Self {
        let hours = |ms: u32| f64::from(ms.saturating_sub(DAY_MS)) / 3_600_000.0;
        let is_deployed = deploys.into_iter().any(|deploy| deploy != Deploy::None);
        Self {
            hours: f64::from(scenario.days) * 24.0,
            outage: scenario
                .outage()
                .map(|(begins, ends)| (hours(begins), hours(ends))),
            deploy: is_deployed.then(|| hours(scenario.deploy())),
        }
    }
}

fn minutes_in_a_point() -> f64 {
    // A handful: nothing is lost.
    u32::try_from(MINUTES_IN_A_POINT).map_or(5.0, f64::from)
}

fn sheet(title: &str, panels: &[Panel], marks: &Marks) -> Result<String, Error> {
    let mut svg = String::new();
    let count = u32::try_from(panels.len()).unwrap_or(1);
    draw(
        &mut svg,
        title,
        panels,
        marks,
        TITLE_HEIGHT + count * PANEL_HEIGHT,
    )
    .map_err(|error| Error::Plot(error.to_string()))?;
    Ok(svg)
}

fn draw(
    svg: &mut String,
    title: &str,
    panels: &[Panel],
    marks: &Marks,
    height: u32,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let body = root.titled(title, ("sans-serif", 26))?;
    let areas = body.split_evenly((panels.len().max(1), 1));
    for (panel, area) in panels.iter().zip(&areas) {
        let most = panel.lines.iter().map(Line::most).fold(1.0, f64::max);
        let top = most.max(panel.limit.unwrap_or_default()) * 1.1;
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, ("sans-serif", 18))
            .margin(8)
            .margin_right(30)
            .x_label_area_size(42)
            .y_label_area_size(78)
            .build_cartesian_2d(0.0..marks.hours, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(BLACK.mix(0.12))
            .x_labels(13)
            .x_label_formatter(&|hours| clock(*hours))
            .y_label_formatter(&|value| plain(*value))
            .x_desc("time of day")
            .y_desc(panel.unit)
            .label_style(("sans-serif", 14))
            .axis_desc_style(("sans-serif", 14))
            .draw()?;
        if let Some((begins, ends)) = marks.outage {
            let colour = VERMILION.mix(0.22);
            let shade = Rectangle::new([(begins, 0.0), (ends, top)], colour.filled());
            chart
                .draw_series([shade])?
                .label("outage")
                .legend(move |(x, y)| {
                    Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.filled())
                });
        }
        if let Some(at) = marks.deploy {
            chart
                .draw_series(LineSeries::new(
                    [(at, 0.0), (at, top)],
                    GREY.stroke_width(2),
                ))?
                .label("deploy")
                .legend(|(x, y)| {
                    PathElement::new([(x + 9, y - 6), (x + 9, y + 6)], GREY.stroke_width(2))
                });
        }
        if let Some(limit) = panel.limit {
            let line = [(0.0, limit), (marks.hours, limit)];
            chart
                .draw_series(DashedLineSeries::new(line, 6, 4, BLACK.stroke_width(1)))?
                .label("the service's limit")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK.stroke_width(1)));
        }
        for line in &panel.lines {
            let colour = line.colour;
            chart
                .draw_series(LineSeries::new(
                    line.points.iter().copied(),
                    colour.stroke_width(2),
                ))?
                .label(&line.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3))
                });
        }
        // At night there is the most room.
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .label_font(("sans-serif", 14))
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    root.present()?;
    Ok(())
}

/// Hours as a clock has them; those of later days begin again.
fn clock(hours: f64) -> String {
    let minutes = (hours * 60.0).round().rem_euclid(24.0 * 60.0);
    format!("{:02.0}:{:02.0}", (minutes / 60.0).floor(), minutes % 60.0)
}

/// A number without what nobody needs behind the point.
fn plain(value: f64) -> String {
    if value >= 10.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_written_as_a_clock_has_them() {
        assert_eq!(clock(0.0), "00:00");
        assert_eq!(clock(16.5), "16:30");
        assert_eq!(clock(24.0), "00:00");
        assert_eq!(clock(47.99), "23:59");
    }

    #[test]
    fn numbers_have_what_is_needed_behind_the_point() {
        assert_eq!(plain(0.5), "0.5");
        assert_eq!(plain(3.0), "3");
        assert_eq!(plain(150.0), "150");
    }
}
