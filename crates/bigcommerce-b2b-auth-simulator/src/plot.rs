//! The plot of a day, as SVG on white: demand, mints against the limit, and requests that waited or failed.
//!
//! The colours are those of Okabe and Ito, which people who do not see all colours tell apart too.

use plotters::{
    backend::SVGBackend,
    chart::{ChartBuilder, SeriesLabelPosition},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea as _},
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
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// A plot.
#[derive(Debug, Clone)]
pub struct Plot {
    /// The name of its file.
    pub file: String,
    /// The SVG.
    pub svg: String,
}

/// The plot of each run.
///
/// # Errors
/// [`Error::Plot`] when one cannot be drawn.
pub fn plots(figures: &Figures) -> Result<Vec<Plot>, Error> {
    figures
        .runs
        .iter()
        .map(|run| day(&figures.scenario, run))
        .collect()
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
    let limit = f64::from(scenario.limit_per_minute);
    let panel = |title, lines: &[(&'static str, RGBColor, &Vec<u32>)], limit| Panel {
        title,
        lines: lines
            .iter()
            .map(|(name, colour, values)| Line::of(name, *colour, values))
            .collect(),
        limit,
        deploy: run.deploy,
    };
    let panels = [
        panel(
            "Requests of shoppers",
            &[("requests", BLUE, requests)],
            None,
        ),
        panel(
            "Requests to the service for a token",
            &[
                ("mints", BLUE, mints),
                ("refused with 429", VERMILION, throttled),
            ],
            Some(limit),
        ),
        panel(
            "Requests of shoppers that were no hit",
            &[
                ("waited and got a token", BLUE, waited),
                ("failed", VERMILION, failed),
            ],
            None,
        ),
    ];
    Ok(Plot {
        file: format!("day-{}-{}.svg", run.contender, run.deploy),
        svg: sheet(&format!("A day with {}", run.name()), &panels, scenario)?,
    })
}

/// One chart of a sheet.
struct Panel {
    title: &'static str,
    lines: Vec<Line>,
    /// What the service grants.
    limit: Option<f64>,
    deploy: Deploy,
}

struct Line {
    name: &'static str,
    colour: RGBColor,
    /// Hours, and how many per minute.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn of(name: &'static str, colour: RGBColor, values: &[u32]) -> Self {
        let minutes = minutes_in_a_point();
        let step = minutes / 60.0;
        let points = values
            .iter()
            .scan(0.0, |hours, value| {
                let at = *hours;
                *hours += step;
                Some((at, f64::from(*value) / minutes))
            })
            .collect();
        Self {
            name,
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

fn minutes_in_a_point() -> f64 {
    // A handful: nothing is lost.
    u32::try_from(MINUTES_IN_A_POINT).map_or(5.0, f64::from)
}

fn sheet(title: &str, panels: &[Panel], scenario: &Scenario) -> Result<String, Error> {
    let mut svg = String::new();
    draw(&mut svg, title, panels, scenario).map_err(|error| Error::Plot(error.to_string()))?;
    Ok(svg)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(svg: &mut String, title: &str, panels: &[Panel], scenario: &Scenario) -> Drawn {
    let count = panels.len().max(1);
    let height = TITLE_HEIGHT + u32::try_from(count)? * PANEL_HEIGHT;
    let root = SVGBackend::with_string(svg, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let body = root.titled(title, ("sans-serif", 26))?;
    for (panel, area) in panels.iter().zip(&body.split_evenly((count, 1))) {
        draw_panel(panel, area, scenario)?;
    }
    root.present()?;
    Ok(())
}

/// Time is in hours since the first measured midnight.
fn draw_panel(
    panel: &Panel,
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    scenario: &Scenario,
) -> Drawn {
    let hours = |ms: u32| f64::from(ms.saturating_sub(DAY_MS)) / 3_600_000.0;
    let end = f64::from(scenario.days) * 24.0;
    let most = panel.lines.iter().map(Line::most).fold(1.0, f64::max);
    let top = most.max(panel.limit.unwrap_or_default()) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(panel.title, ("sans-serif", 18))
        .margin(8)
        .margin_right(30)
        .x_label_area_size(42)
        .y_label_area_size(78)
        .build_cartesian_2d(0.0..end, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(13)
        .x_label_formatter(&|hours| clock(*hours))
        .y_label_formatter(&|value| plain(*value))
        .x_desc("time of day")
        .y_desc("per minute")
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    if let Some((begins, ends)) = scenario.outage() {
        let colour = ORANGE.mix(0.35);
        let shade = [(hours(begins), 0.0), (hours(ends), top)];
        chart
            .draw_series([Rectangle::new(shade, colour.filled())])?
            .label("outage")
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.filled()));
    }
    if panel.deploy != Deploy::None {
        let at = hours(scenario.deploy());
        let style = GREY.stroke_width(2);
        chart
            .draw_series(LineSeries::new([(at, 0.0), (at, top)], style))?
            .label("deploy")
            .legend(move |(x, y)| PathElement::new([(x + 9, y - 6), (x + 9, y + 6)], style));
    }
    if let Some(limit) = panel.limit {
        let line = [(0.0, limit), (end, limit)];
        let style = BLACK.stroke_width(1);
        chart
            .draw_series(DashedLineSeries::new(line, 6, 4, style))?
            .label("the service's limit")
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    for line in &panel.lines {
        let colour = line.colour;
        chart
            .draw_series(LineSeries::new(
                line.points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    // At night there is the most room.
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 14))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
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
