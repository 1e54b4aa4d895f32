//! Charts of lines over one quantity: the loss over steps of training, the error over steps of adaptation.

use super::axis::{Axis, range};
use super::canvas::{BLACK, BLUE, Canvas, GREY, Pen, SERIES, SKY, page};
use super::frame::{BELOW_TITLE, Frame, Legend, Sign, title, y_labels_width};
use crate::error::Result;
use plotters::style::RGBColor;
use std::collections::BTreeSet;
use std::path::Path;

const WIDTH: f64 = 720.0;
const PLOT_HEIGHT: f64 = 320.0;
/// More points than this are not seen on a page, but weigh in its file.
const MOST_POINTS: usize = 1600;

/// A named line.
#[derive(Clone, Copy, Debug)]
pub struct Curve<'a> {
    /// What the legend says.
    pub label: &'a str,
    /// Points (x, y) in the order in which they are joined.
    pub points: &'a [(f64, f64)],
}

/// The page with its title and legend, and the frame on it, ready for lines.
fn chart(
    path: &Path,
    name: &str,
    (x, y): (Axis, Axis),
    (x_label, y_label): (&str, &str),
    legend: Vec<(Sign, String)>,
    lines: impl FnOnce(&mut Canvas, &Frame),
) -> Result<()> {
    let left = y_labels_width(&y) + 44.0;
    let legend = Legend::new(legend, WIDTH - left - 24.0);
    let top = BELOW_TITLE + legend.height() + 8.0;
    let frame = Frame { left, top, width: WIDTH - left - 24.0, height: PLOT_HEIGHT, x, y };
    page(path, WIDTH, top + PLOT_HEIGHT + 50.0, |canvas| {
        title(canvas, name, WIDTH);
        legend.draw(canvas, frame.left + frame.width / 2.0, BELOW_TITLE);
        frame.draw(canvas, x_label, y_label);
        lines(canvas, &frame);
    })
}

/// Logarithmic where every value is positive, linear where one is not.
fn log_if_positive(values: Option<(f64, f64)>) -> Axis {
    match values {
        Some((lo, _)) if lo > 0.0 => Axis::log(values, 6),
        _ => Axis::linear(values, 0.05, 6),
    }
}

/// Says in the legend what the chart does not show.
fn remark(left_out: usize) -> Option<(Sign, String)> {
    let what = if left_out == 1 { "value" } else { "values" };
    (left_out > 0).then(|| (Sign::Nothing, format!("({left_out} {what} not finite)")))
}

fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect()
}

/// The loss over training steps: every value as a thin line, a moving average as a bold one. `points` are
/// (step, loss) by step. The loss axis is logarithmic if all losses are positive.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn loss_curve(path: &Path, name: &str, points: &[(f64, f64)]) -> Result<()> {
    let y = log_if_positive(range(finite(points).iter().map(|p| p.1)));
    over_steps(path, name, "loss", y, points)
}

/// The accuracy over training steps, as [`loss_curve`].
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn accuracy_curve(path: &Path, name: &str, points: &[(f64, f64)]) -> Result<()> {
    over_steps(path, name, "accuracy", Axis::linear(Some((0.0, 1.0)), 0.02, 6), points)
}

fn over_steps(path: &Path, name: &str, what: &str, y: Axis, points: &[(f64, f64)]) -> Result<()> {
    let shown = finite(points);
    let x = Axis::linear(range(shown.iter().map(|p| p.0)), 0.01, 7);
    // Averaging fewer would hide more than it shows.
    let half = if shown.len() < 30 { 0 } else { (shown.len() / 80).max(2) };
    let (raw, average) = (Pen::new(SKY, 0.8).opacity(0.75), Pen::new(BLUE, 1.9));
    let mut legend = Vec::new();
    if half > 0 {
        legend.push((Sign::Line(raw), "each value".to_string()));
        legend.push((Sign::Line(average), format!("moving average of {}", 2 * half + 1)));
    }
    legend.extend(remark(points.len() - shown.len()));
    chart(path, name, (x, y), ("training step", what), legend, |canvas, frame| {
        if shown.is_empty() {
            frame.say_empty(canvas);
        } else if half == 0 {
            dotted(canvas, frame, &shown, average);
        } else {
            frame.line(canvas, &thinned(&shown), raw);
            frame.line(canvas, &thinned(&smoothed(&shown, half)), average);
        }
    })
}

/// Named lines over one quantity. `log_y` asks for a logarithmic y axis, if all values are positive.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn curves(
    path: &Path,
    name: &str,
    x_label: &str,
    y_label: &str,
    log_y: bool,
    curves: &[Curve],
) -> Result<()> {
    marked_curves(path, name, (x_label, y_label), log_y, curves, ("", &[]))
}

/// [`curves`], with upright dashed lines at some places, which the legend calls so.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn marked_curves(
    path: &Path,
    name: &str,
    labels: (&str, &str),
    log_y: bool,
    curves: &[Curve],
    (mark, places): (&str, &[f64]),
) -> Result<()> {
    let shown: Vec<_> = curves.iter().map(|c| finite(c.points)).collect();
    let all: Vec<_> = shown.iter().flatten().copied().collect();
    let values = range(all.iter().map(|p| p.1));
    let y = if log_y { log_if_positive(values) } else { Axis::linear(values, 0.05, 6) };
    let x = Axis::linear(range(all.iter().map(|p| p.0)), 0.01, 7);
    let mut legend: Vec<_> =
        curves.iter().enumerate().map(|(i, c)| (Sign::Line(pen(i)), c.label.to_string())).collect();
    let upright = Pen::new(GREY, 1.2).dashed(4.0, 3.0);
    if !places.is_empty() {
        legend.push((Sign::Line(upright), mark.to_string()));
    }
    legend.extend(remark(curves.iter().map(|c| c.points.len()).sum::<usize>() - all.len()));
    chart(path, name, (x, y), labels, legend, |canvas, frame| {
        if all.is_empty() {
            frame.say_empty(canvas);
        }
        for x in places.iter().map(|at| frame.left + frame.x.place(*at) * frame.width) {
            canvas.line(&[(x, frame.top), (x, frame.top + frame.height)], upright);
        }
        for (i, points) in shown.iter().enumerate() {
            match points.as_slice() {
                [one] => canvas.dot(frame.at(*one), 3.2, pen(i)),
                _ => frame.line(canvas, &thinned(points), pen(i)),
            }
        }
    })
}

/// The error over steps of adaptation: one line for each of `series` (a label such as "5 shots", and steps with their
/// values), and a dashed level line for each of `baselines`. The steps stand at even distances
/// whatever their numbers. The error axis is logarithmic if all values are positive and span more than a
/// factor of 10.
///
/// # Errors
/// [`crate::error::Error::Io`] when the file cannot be written.
pub fn error_by_steps(
    path: &Path,
    name: &str,
    metric: &str,
    series: &[(String, Vec<(usize, f64)>)],
    baselines: &[(String, f64)],
) -> Result<()> {
    let steps: BTreeSet<usize> = series.iter().flat_map(|s| s.1.iter().map(|p| p.0)).collect();
    let all: Vec<f64> =
        series.iter().flat_map(|s| s.1.iter().map(|p| p.1)).chain(baselines.iter().map(|b| b.1)).collect();
    let y = match range(all.iter().copied()) {
        Some((lo, hi)) if lo > 0.0 && hi > lo * 10.0 => Axis::log(Some((lo, hi)), 6),
        values => Axis::linear(values, 0.08, 6),
    };
    let x = Axis::names(steps.iter().map(|s| s.to_string()));
    let lines = series.iter().enumerate().map(|(i, (label, _))| (Sign::DottedLine(pen(i)), label.clone()));
    let levels =
        baselines.iter().enumerate().map(|(i, (label, _))| (Sign::Line(level_pen(i)), label.clone()));
    let mut legend: Vec<_> = lines.chain(levels).collect();
    legend.extend(remark(all.iter().filter(|v| !v.is_finite()).count()));
    chart(path, name, (x, y), ("adaptation steps", metric), legend, |canvas, frame| {
        if !all.iter().any(|v| v.is_finite()) {
            frame.say_empty(canvas);
        }
        for (i, (_, value)) in baselines.iter().enumerate().filter(|(_, b)| b.1.is_finite()) {
            let y = frame.at((0.0, *value)).1;
            canvas.line(&[(frame.left, y), (frame.left + frame.width, y)], level_pen(i));
        }
        for (i, (_, values)) in series.iter().enumerate() {
            let place = |step: usize| steps.iter().take_while(|s| **s < step).count() as f64;
            let points: Vec<_> = values.iter().map(|(k, v)| (place(*k), *v)).collect();
            dotted(canvas, frame, &points, pen(i));
        }
    })
}

/// A line with a dot at each of its points.
fn dotted(canvas: &mut Canvas, frame: &Frame, points: &[(f64, f64)], pen: Pen) {
    frame.line(canvas, points, pen);
    for point in finite(points) {
        canvas.dot(frame.at(point), 3.2, pen);
    }
}

/// The pen of line `i`: colours in turn, then the same dashed.
fn pen(i: usize) -> Pen {
    let pen = Pen::new(SERIES[i % SERIES.len()], 1.9);
    if i < SERIES.len() { pen } else { pen.dashed(7.0, 4.0) }
}

/// The pen of level line `i`: greys with dashes of different lengths.
fn level_pen(i: usize) -> Pen {
    let greys = [BLACK, GREY, RGBColor(0xA8, 0xA8, 0xA8)];
    let dash = [(7.0, 4.5), (2.0, 3.5), (12.0, 4.5)][i % 3];
    Pen::new(greys[i / 3 % 3], 1.3).dashed(dash.0, dash.1)
}

/// The mean of each value and the `half` before and after it, fewer at the ends.
fn smoothed(points: &[(f64, f64)], half: usize) -> Vec<(f64, f64)> {
    let mean = |i: usize| {
        let near = &points[i.saturating_sub(half)..(i + half + 1).min(points.len())];
        // Divided first, so that the sum of large values does not overflow.
        near.iter().map(|p| p.1 / near.len() as f64).sum()
    };
    (0..points.len()).map(|i| (points[i].0, mean(i))).collect()
}

/// Fewer points that look the same: of each stretch the lowest and the highest.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let stretch = points.len().div_ceil(MOST_POINTS / 2);
    if stretch <= 2 {
        return points.to_vec();
    }
    let mut kept = vec![points[0]];
    for part in points.chunks(stretch) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (Some(low), Some(high)) = (part.iter().min_by(by_value), part.iter().max_by(by_value)) else {
            continue;
        };
        kept.extend(if low.0 <= high.0 { [*low, *high] } else { [*high, *low] });
    }
    kept.extend(points.last());
    kept
}
