//! The plots, as SVG on white: the day of each contender, the contenders beside each other, and what their caches hold.
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

use crate::{
    Contender, Curves, Deploy, Error, Figures, MINUTES_IN_A_POINT, Run, Scenario, scenario::DAY_MS,
};

const WIDTH: u32 = 1200;
const PANEL_HEIGHT: u32 = 300;
const TITLE_HEIGHT: u32 = 50;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREY: RGBColor = RGBColor(110, 110, 110);

/// A contender has the same colour in all plots.
fn colour_of(contender: Contender) -> RGBColor {
    match contender {
        Contender::Ours => BLUE,
        Contender::Unspread => SKY,
        Contender::Moka => GREEN,
        Contender::Naive => VERMILION,
        Contender::Ideal => GREY,
    }
}

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
    for deploy in deploys(figures) {
        plots.push(contenders(figures, deploy)?);
    }
    plots.push(entries(figures)?);
    Ok(plots)
}

/// The deploys that were run, each once.
fn deploys(figures: &Figures) -> Vec<Deploy> {
    let mut deploys = Vec::new();
    for run in &figures.runs {
        if !deploys.contains(&run.deploy) {
            deploys.push(run.deploy);
        }
    }
    deploys
}

/// A line for each contender with this deploy. The first comes last, so that it lies above the others.
fn line_of_each(
    figures: &Figures,
    deploy: Deploy,
    scale: Scale,
    of: fn(&Curves) -> &Vec<u32>,
) -> Vec<Line> {
    let runs = figures.runs.iter().rev().filter(|run| run.deploy == deploy);
    runs.map(|run| {
        let name = run.contender.to_string();
        Line::of(&name, colour_of(run.contender), of(&run.curves), 1.0, scale)
    })
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
    let a_minute = 1.0 / minutes_in_a_point();
    let limit = f64::from(scenario.limit_per_minute);
    let panel = |title: &str, lines: &[(&str, RGBColor, &Vec<u32>)], limit| Panel {
        title: title.to_owned(),
        unit: "per minute",
        scale: Scale::Linear,
        legend: SeriesLabelPosition::UpperLeft,
        lines: lines
            .iter()
            .map(|(name, colour, values)| Line::of(name, *colour, values, a_minute, Scale::Linear))
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

/// The contenders with one deploy, beside each other.
fn contenders(figures: &Figures, deploy: Deploy) -> Result<Plot, Error> {
    let panel = |title: &str, of| Panel {
        title: title.to_owned(),
        unit: "per 5 minutes, logarithmic",
        scale: Scale::Logarithmic,
        legend: SeriesLabelPosition::UpperLeft,
        lines: line_of_each(figures, deploy, Scale::Logarithmic, of),
        limit: None,
        deploy,
    };
    let panels = [
        panel("Requests to the service for a token", |curves: &Curves| {
            &curves.mints
        }),
        panel("Refused with 429", |curves| &curves.throttled),
        panel("Requests of shoppers that failed", |curves| &curves.failed),
    ];
    let title = format!("The contenders beside each other, deploy {deploy}");
    Ok(Plot {
        file: format!("contenders-{deploy}.svg"),
        svg: sheet(&title, &panels, &figures.scenario)?,
    })
}

/// What the caches hold: a panel for each deploy.
fn entries(figures: &Figures) -> Result<Plot, Error> {
    let panels: Vec<_> = deploys(figures)
        .into_iter()
        .map(|deploy| Panel {
            title: format!("Entries of the cache, deploy {deploy}"),
            unit: "entries",
            scale: Scale::Linear,
            legend: SeriesLabelPosition::LowerLeft,
            lines: line_of_each(figures, deploy, Scale::Linear, |curves| &curves.entries),
            limit: None,
            deploy,
        })
        .collect();
    Ok(Plot {
        file: "entries.svg".to_owned(),
        svg: sheet("What the caches hold", &panels, &figures.scenario)?,
    })
}

/// One chart of a sheet.
struct Panel {
    title: String,
    unit: &'static str,
    scale: Scale,
    legend: SeriesLabelPosition,
    lines: Vec<Line>,
    /// What the service grants.
    limit: Option<f64>,
    deploy: Deploy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    Linear,
    /// By powers of ten; none at all stands at the foot.
    Logarithmic,
}

/// Where none at all stands, as a power of ten: a little below one.
const FOOT: f64 = -0.3;

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic if value < 1.0 => FOOT,
            Self::Logarithmic => value.log10(),
        }
    }

    fn foot(self) -> f64 {
        match self {
            Self::Linear => 0.0,
            Self::Logarithmic => FOOT,
        }
    }

    /// What stands beside a place of the axis.
    fn label(self, place: f64) -> String {
        match self {
            Self::Linear => plain(place),
            Self::Logarithmic if place < 0.0 || place.fract().abs() > 1e-6 => String::new(),
            Self::Logarithmic => plain(10_f64.powf(place)),
        }
    }
}

struct Line {
    name: String,
    colour: RGBColor,
    /// By the hour.
    points: Vec<(f64, f64)>,
}

impl Line {
    fn of(name: &str, colour: RGBColor, values: &[u32], factor: f64, scale: Scale) -> Self {
        let step = minutes_in_a_point() / 60.0;
        let points = values
            .iter()
            .scan(0.0, |hours, value| {
                let at = *hours;
                *hours += step;
                Some((at, scale.place(f64::from(*value) * factor)))
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
    let foot = panel.scale.foot();
    let most = panel.lines.iter().map(Line::most).fold(1.0, f64::max);
    let top = most.max(panel.limit.unwrap_or_default()) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 18))
        .margin(8)
        .margin_right(30)
        .x_label_area_size(42)
        .y_label_area_size(78)
        .build_cartesian_2d(0.0..end, foot..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.12))
        .x_labels(13)
        .x_label_formatter(&|hours| clock(*hours))
        .y_label_formatter(&|place| panel.scale.label(*place))
        .x_desc("time of day")
        .y_desc(panel.unit)
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 14))
        .draw()?;
    if let Some((begins, ends)) = scenario.outage() {
        let colour = ORANGE.mix(0.35);
        let shade = [(hours(begins), foot), (hours(ends), top)];
        chart
            .draw_series([Rectangle::new(shade, colour.filled())])?
            .label("outage")
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 18, y + 5)], colour.filled()));
    }
    if panel.deploy != Deploy::None {
        let at = hours(scenario.deploy());
        let style = GREY.stroke_width(2);
        chart
            .draw_series(LineSeries::new([(at, foot), (at, top)], style))?
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
            .label(&line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    // At night there is the most room.
    chart
        .configure_series_labels()
        .position(panel.legend.clone())
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
    fn powers_of_ten_are_written_and_nothing_between_them() {
        let scale = Scale::Logarithmic;
        assert_eq!((scale.place(0.0), scale.place(1.0)), (scale.foot(), 0.0));
        assert!((scale.place(1_000.0) - 3.0).abs() < 1e-9);
        assert_eq!(scale.label(3.0), "1000");
        assert_eq!(
            (scale.label(0.5), scale.label(FOOT)),
            (String::new(), String::new())
        );
    }

    #[test]
    fn numbers_have_what_is_needed_behind_the_point() {
        assert_eq!(plain(0.5), "0.5");
        assert_eq!(plain(3.0), "3");
        assert_eq!(plain(150.0), "150");
    }
}
