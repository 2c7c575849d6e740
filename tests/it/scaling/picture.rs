//! The curve of a run as a picture for the README: four panels above one axis of time.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::Sample;
use super::{DISTANCE, Manifest, SHARE, Settings};

const SIZE: (u32, u32) = (960, 760);
/// Pictures of SVG have no background of their own; this one goes with light and dark pages.
const PAPER: RGBColor = RGBColor(250, 250, 247);
const INK: RGBColor = RGBColor(38, 43, 51);
const FAINT: RGBColor = RGBColor(104, 112, 124);
const GRID: RGBColor = RGBColor(226, 227, 223);
const HEAD: u32 = 92;
const FOOT: u32 = 44;
/// Samples on either side that a rate is taken over.
const SPAN: usize = 2;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// One curve, with what it shows in words.
struct Panel {
    title: String,
    colour: RGBColor,
    /// Minutes and values.
    points: Vec<(f64, f64)>,
}

/// Writes the picture of these samples.
pub(super) fn draw(path: &Path, samples: &[Sample], speed: u32) -> Drawn {
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&PAPER)?;
    let (head, rest) = root.split_vertically(HEAD);
    let manifest = Manifest::read();
    let queue = manifest.queues().next().ok_or("no queue")?;
    let prefetch = Settings::load_from(None, [])?.worker.prefetch;
    let text = |size: u32, colour: &RGBColor| ("sans-serif", size).into_font().color(colour);
    let title = "Workers come with the load and go with it";
    head.draw_text(title, &text(24, &INK), (24, 18))?;
    let conditions = [
        format!(
            "KEDA's and Kubernetes' formulas with the manifest's numbers, on real processes, RabbitMQ \
             and Redis. Time is {speed} times as fast: a second here is 1/{speed} s."
        ),
        format!(
            "Of value ({}) and worker.prefetch ({prefetch}), one {SHARE}th each; Redis answers {} ms \
             late; two processor cores for everything.",
            queue.value,
            DISTANCE.as_millis()
        ),
    ];
    for (line, y) in conditions.iter().zip([50, 68]) {
        head.draw_text(line, &text(14, &FAINT), (24, y))?;
    }
    let panels = panels(samples, queue.value / f64::from(SHARE));
    let (body, foot) = rest.split_vertically(SIZE.1 - HEAD - FOOT);
    let end = samples.last().map_or(0.0, minutes);
    for (area, panel) in body.split_evenly((panels.len(), 1)).iter().zip(&panels) {
        draw_panel(area, panel, end)?;
    }
    foot.draw_text("minutes of the manifest's time", &text(14, &FAINT), (76, 14))?;
    root.present()?;
    Ok(())
}

fn panels(samples: &[Sample], value: f64) -> Vec<Panel> {
    let curve = |of: fn(&Sample) -> f64| -> Vec<(f64, f64)> {
        samples.iter().map(|sample| (minutes(sample), of(sample))).collect()
    };
    let (rate, messages) = (rates(samples), curve(|sample| sample.messages));
    let ages = curve(|sample| sample.age.as_secs_f64());
    // Replicas stay as they are until the next look.
    let counts = curve(|sample| f64::from(sample.workers));
    let steps = counts.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
    let workers: Vec<_> = steps.chain(counts.last().copied()).collect();
    vec![
        Panel {
            title: format!("Webhooks a second: up to {:.0}, and then none", top(&rate)),
            colour: RGBColor(74, 116, 168),
            points: rate,
        },
        Panel {
            title: format!(
                "Messages that wait or are in hand: up to {:.0}; {value} for each worker",
                top(&messages)
            ),
            colour: RGBColor(176, 125, 43),
            points: messages,
        },
        Panel {
            title: format!("Workers: from none to {:.0} and back", top(&workers)),
            colour: RGBColor(63, 131, 107),
            points: workers,
        },
        Panel {
            title: format!("Age of the oldest message, in seconds: at most {:.0}", top(&ages)),
            colour: RGBColor(158, 84, 104),
            points: ages,
        },
    ]
}

/// Webhooks a second, each over some samples before and after.
fn rates(samples: &[Sample]) -> Vec<(f64, f64)> {
    let rate = |place: usize| {
        let last = samples.len() - 1;
        let (from, to) = (&samples[place.saturating_sub(SPAN)], &samples[(place + SPAN).min(last)]);
        let count = f64::from(u32::try_from(to.answered - from.answered).unwrap());
        (minutes(&samples[place]), count / to.at.saturating_sub(from.at).as_secs_f64())
    };
    (0..samples.len()).map(rate).collect()
}

fn minutes(sample: &Sample) -> f64 {
    sample.at.as_secs_f64() / 60.0
}

fn top(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

fn draw_panel(area: &Area<'_>, panel: &Panel, end: f64) -> Drawn {
    let colour = panel.colour;
    let title = ("sans-serif", 15).into_font().color(&INK);
    area.draw_text(&panel.title, &title, (76, 4))?;
    let mut chart = ChartBuilder::on(area)
        .margin_top(28)
        .margin_right(28)
        .margin_bottom(4)
        .set_label_area_size(LabelAreaPosition::Left, 76)
        .set_label_area_size(LabelAreaPosition::Bottom, 20)
        .build_cartesian_2d(0.0..end, 0.0..(top(&panel.points) * 1.12).max(1.0))?;
    let labels = ("sans-serif", 13).into_font().color(&FAINT);
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(14)
        .y_labels(4)
        .x_label_formatter(&|minute| format!("{minute:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(labels)
        .draw()?;
    let points = || panel.points.iter().copied();
    chart.draw_series(AreaSeries::new(points(), 0.0, colour.mix(0.16)))?;
    chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
    Ok(())
}
